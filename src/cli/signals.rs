//! TERM and INT: the first asks for an end in good order, the second ends at once. HUP: the configuration is read again.

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

    /// Waits for the first to stop; `hang_up` is called at each HUP before. From then on the next one ends the process,
    /// and HUP changes nothing any more.
    pub(super) async fn stop(mut self, hang_up: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
                _ = self.hangup.recv() => hang_up(),
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
