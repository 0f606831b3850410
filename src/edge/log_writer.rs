//! What writes logs: a thread of its own behind a queue with a bound.
//!
//! 1. Handing over never waits. What finds no room in the queue is given back as a number of lines, for whoever counts
//!    what was dropped.
//! 2. A log that nobody reads, or that cannot be written, holds up this thread and nothing else; the end of the process
//!    not for longer than a few seconds.

use std::{
    io::Write,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    time::Duration,
};

/// The thread that writes.
pub(crate) struct Writer {
    queue: Queue,
    /// Nothing is ever sent here; it ends with the thread.
    ended: Receiver<()>,
}

/// The right to hand over what is to be written.
#[derive(Clone)]
pub(crate) struct Queue(SyncSender<Piece>);

/// Lines, and how many.
#[derive(Default)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) lines: u64,
}

/// How long the last lines may take: a process that has drained must end, though nobody reads its log any more.
const LAST_LINES: Duration = Duration::from_secs(5);

// === impl Writer ===

impl Writer {
    /// Starts a thread of this name that writes to `out` and flushes after each piece, with room for so many pieces
    /// that wait.
    pub(crate) fn start(name: &str, room: usize, out: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let (queue, pieces) = sync_channel(room);
        let (end, ended) = sync_channel(0);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            write_all(&pieces, out);
            drop(end);
        })?;
        Ok(Self { queue: Queue(queue), ended })
    }

    /// For whoever has something to be written.
    pub(crate) fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// Waits until everything handed over is written, or for a while where nobody reads it; all queues must be gone.
    pub(crate) fn finish(self) {
        let Self { queue, ended } = self;
        drop(queue);
        // An error either way: the thread has ended, or its time is over.
        let _ = ended.recv_timeout(LAST_LINES);
    }
}

// === impl Queue ===

impl Queue {
    /// Hands lines over; the number of those for which there is no room.
    pub(crate) fn hand_over(&self, piece: Piece) -> u64 {
        match self.0.try_send(piece) {
            Ok(()) => 0,
            Err(TrySendError::Full(piece) | TrySendError::Disconnected(piece)) => piece.lines,
        }
    }
}

fn write_all(pieces: &Receiver<Piece>, mut out: Box<dyn Write + Send>) {
    for piece in pieces {
        // A log that cannot be written is no reason to refuse requests; the next piece tries again.
        let _ = out.write_all(piece.text.as_bytes()).and_then(|()| out.flush());
    }
}
