//! TERM and INT: the first asks for an end in good order, the second ends at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals to stop, caught from here on.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches them. Needs a runtime.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the first. From then on the next one ends the process.
    pub(super) async fn stop(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
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
