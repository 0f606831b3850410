//! The listeners of all workers on one address: made here, or handed over by whoever started this process.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
};

use super::free;
use crate::edge::{accept::Listener, listener::listen, settings::Listen};

/// A listener that somebody else has opened.
#[derive(Debug)]
pub enum Handed {
    /// On an address and a port.
    Tcp(TcpListener),
    /// In the file system.
    Unix(UnixListener),
}

/// The listeners of one address.
pub(super) struct BoundOnce {
    /// One for each worker.
    pub(super) listeners: Vec<Listener>,
    /// With its port, where it has one.
    pub(super) address: Option<SocketAddr>,
    /// The file that goes with it.
    pub(super) file: Option<PathBuf>,
}

impl Handed {
    fn is_on(&self, address: &Listen) -> bool {
        match (self, address) {
            (Self::Tcp(listener), Listen::Tcp(address)) => listener.local_addr().is_ok_and(|own| own == *address),
            (Self::Unix(listener), Listen::Unix(path)) => {
                listener.local_addr().is_ok_and(|own| own.as_pathname() == Some(path))
            }
            _ => false,
        }
    }
}

impl fmt::Display for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => write!(f, "{:?}", listener.local_addr()),
            Self::Unix(listener) => write!(f, "{:?}", listener.local_addr()),
        }
    }
}

/// Takes the socket that was handed over for an address, or opens one.
pub(super) fn bind(address: &Listen, workers: usize, handed: &mut Vec<Handed>) -> io::Result<BoundOnce> {
    let ready = handed.iter().position(|socket| socket.is_on(address)).map(|place| handed.swap_remove(place));
    match (ready, address) {
        (Some(Handed::Tcp(listener)), _) => {
            listener.set_nonblocking(true)?;
            // One queue for all: whoever opened it decided so.
            let one = |_| Ok(Listener::Tcp { listener: listener.try_clone()?, handed: true });
            let listeners = (0..workers).map(one).collect::<io::Result<_>>()?;
            Ok(BoundOnce { listeners, address: Some(listener.local_addr()?), file: None })
        }
        (Some(Handed::Unix(listener)), _) => {
            Ok(BoundOnce { listeners: all(&listener, workers, true)?, address: None, file: None })
        }
        (None, Listen::Tcp(address)) => {
            let mut bound = free(*address)?;
            let mut listeners = Vec::with_capacity(workers);
            for _ in 0..workers {
                let listener = listen(bound)?;
                bound = listener.local_addr()?;
                listeners.push(Listener::Tcp { listener, handed: false });
            }
            Ok(BoundOnce { listeners, address: Some(bound), file: None })
        }
        (None, Listen::Unix(path)) => {
            let listener = open(path)?;
            Ok(BoundOnce { listeners: all(&listener, workers, false)?, address: None, file: Some(path.clone()) })
        }
    }
}

fn all(listener: &UnixListener, workers: usize, handed: bool) -> io::Result<Vec<Listener>> {
    listener.set_nonblocking(true)?;
    (0..workers).map(|_| Ok(Listener::Unix { listener: listener.try_clone()?, handed })).collect()
}

/// A socket in the file system. One that a process before this left there, and nobody listens to, is replaced.
fn open(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let left = UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            if !left {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}
