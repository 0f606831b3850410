//! Whose the file descriptors of this process are.
//!
//! 1. Clients stay below three quarters of them, connections to upstreams below seven eighths: whoever fills the gateway
//!    with connections finds those that are in already served, and the operator still gets in. The rest is for the
//!    private listener and the store.
//! 2. The system gives the lowest number that is free, so a number says how many are in use.

use std::{io, os::fd::AsRawFd};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// The numbers that file descriptors stay below; nothing: there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Descriptors {
    clients: Option<i32>,
    upstreams: Option<i32>,
}

impl Descriptors {
    /// By the limit of this process as it is now.
    pub(crate) fn of_this_process() -> Self {
        Self::of(getrlimit(Resource::Nofile).current)
    }

    fn of(limit: Option<u64>) -> Self {
        let limit = limit.and_then(|limit| i32::try_from(limit).ok());
        Self { clients: limit.map(|limit| limit - limit / 4), upstreams: limit.map(|limit| limit - limit / 8) }
    }

    /// Whether a client may have this one.
    pub(crate) fn are_for_client(self, descriptor: &impl AsRawFd) -> bool {
        self.clients.is_none_or(|first| descriptor.as_raw_fd() < first)
    }

    /// Whether a connection to an upstream may have this one.
    pub(crate) fn are_for_upstream(self, descriptor: &impl AsRawFd) -> bool {
        self.upstreams.is_none_or(|first| descriptor.as_raw_fd() < first)
    }
}

/// Whether there is none left at all.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Lets this process have as many as it may have: what it may have without asking is made for programs that wait by
/// `select`, which cannot take more than 1024. Tells how many it had before, and how many it has.
pub fn raise() -> io::Result<(Option<u64>, Option<u64>)> {
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum })?;
    Ok((before.current, getrlimit(Resource::Nofile).current))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_is_not_for_clients_and_the_last_eighth_not_for_upstreams() {
        let rows = [
            (Some(1024), Some(768), Some(896)),
            (Some(80), Some(60), Some(70)),
            (None, None, None),
            // More than there are numbers.
            (Some(1 << 40), None, None),
        ];
        for (limit, clients, upstreams) in rows {
            assert_eq!(Descriptors::of(limit), Descriptors { clients, upstreams }, "{limit:?}");
        }
        let file = std::fs::File::open("/dev/null").expect("a file");
        let (clients, upstreams) = (Some(file.as_raw_fd()), Some(file.as_raw_fd() + 1));
        let descriptors = Descriptors { clients, upstreams };
        assert!(!descriptors.are_for_client(&file) && descriptors.are_for_upstream(&file));
    }
}
