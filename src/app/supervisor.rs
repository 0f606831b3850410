//! What whoever supervises the process is told (sd_notify of systemd), and what it hands over.
//!
//! 1. Each message is one datagram of a few lines to the socket that `NOTIFY_SOCKET` names. Without one nothing is said;
//!    what cannot be said is no reason to stop.
//! 2. `RELOADING` comes with the time of a clock that never steps, as `Type=notify-reload` wants it, and is followed by
//!    `READY` whatever came of it.
//! 3. Where a watchdog is asked for (`WATCHDOG_USEC`), it is fed twice in its time by the loop that also answers health.
//! 4. Sockets that were handed over (`LISTEN_FDS`) are taken once, before anything else runs.

use std::{
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::Arc,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use super::Handed;

/// Who is told.
#[derive(Default)]
pub struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

// === impl Supervisor ===

impl Supervisor {
    /// Whoever the environment names.
    pub fn of_environment() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        // Both may be meant for a process above this one.
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && is_ours).map(Duration::from_micros);
        let path = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
        Self { socket: socket(path.as_bytes()), watchdog }
    }

    /// Tells one thing, or several lines.
    pub(super) fn say(&self, what: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(what.as_bytes(), address)
        {
            tracing::warn!(%error, "the supervisor of this process does not listen");
        }
    }

    /// Tells that a reload begins.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// Feeds the watchdog, where there is one.
    pub(super) async fn feed_watchdog(self: Arc<Self>) {
        let Some(within) = self.watchdog else {
            return;
        };
        let mut turns = tokio::time::interval(within / 2);
        loop {
            turns.tick().await;
            self.say("WATCHDOG=1");
        }
    }
}

/// A socket, and where `NOTIFY_SOCKET` says: a path, or an abstract name after `@`.
fn socket(name: &[u8]) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name.split_first()? {
        (b'@', name) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
    };
    let made = address.and_then(|address| Ok((UnixDatagram::unbound()?, address)));
    made.inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET names no socket")).ok()
}

impl Handed {
    /// The listeners that whoever started this process handed over.
    pub fn of_environment() -> Vec<Self> {
        let mut sockets = listenfd::ListenFd::from_env();
        let mut handed = Vec::new();
        for number in 0..sockets.len() {
            let taken = match sockets.take_tcp_listener(number) {
                Ok(Some(listener)) => Ok(Self::Tcp(listener)),
                _ => match sockets.take_unix_listener(number) {
                    Ok(Some(listener)) => Ok(Self::Unix(listener)),
                    Ok(None) => continue,
                    Err(error) => Err(error),
                },
            };
            match taken {
                Ok(socket) => handed.push(socket),
                Err(error) => tracing::warn!(%error, number, "what was handed over is no listener"),
            }
        }
        handed
    }
}
