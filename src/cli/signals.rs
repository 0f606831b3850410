//! TERM and INT: the first asks for an end in good order, the second ends at once. HUP changes nothing yet: by
//! itself it would end the process, while whoever sends it to a server wants it to go on.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals to stop, caught from here on.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches them. Needs a runtime.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the first. From then on the next one ends the process.
    pub(super) async fn stop(mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
                _ = self.hangup.recv() => {
                    tracing::warn!("reloading is not built yet; restart to read the configuration again");
                }
            }
        }
        tokio::spawn(async move {
            // 128 and the number of the signal, as shells count.
            tokio::select! {
                _ = self.interrupt.recv() => std::process::exit(130),
                _ = self.terminate.recv() => std::process::exit(143),
            }
        });
    }
}
