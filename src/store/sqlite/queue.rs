//! How the runtimes' tasks ask the store's threads: bounded queues, and answers that are not waited for too long.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::StoreError;

/// Requests that may wait in one queue: some 0.2 s of work for a thread. Behind a disk that is too slow for these, more
/// would be answered only after their callers had given up.
pub(super) const WAITING_MAX: usize = 4096;

/// The askers' end of a queue. Dropping it lets the threads finish what waits, and waits for them.
pub(super) struct Queue {
    sender: Option<SyncSender<Box<dyn Task>>>,
    threads: Vec<JoinHandle<()>>,
}

/// The threads' end of a queue.
#[derive(Clone)]
pub(super) struct Tasks(Arc<Mutex<Receiver<Box<dyn Task>>>>);

/// Something to be done on a connection, whose outcome may be told only later.
pub(super) trait Task: Send {
    /// Whether nobody waits for the outcome any more.
    fn is_abandoned(&self) -> bool;

    /// Does it, and keeps the outcome. An error is also handed to the thread: what was written is to be undone.
    fn perform(&mut self, on: &Connection) -> Result<(), StoreError>;

    /// Tells the outcome, which is that of `perform` unless what came after it, or in its place, failed. False if
    /// something was done and nobody was there any more to be told.
    fn answer(self: Box<Self>, after: Result<(), StoreError>) -> bool;
}

struct Asked<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

// === impl Queue ===

impl Queue {
    /// A queue that nobody serves yet.
    pub(super) fn new() -> (Self, Tasks) {
        let (sender, receiver) = mpsc::sync_channel(WAITING_MAX);
        (Self { sender: Some(sender), threads: Vec::new() }, Tasks(Arc::new(Mutex::new(receiver))))
    }

    /// The same, with a thread that ends when its tasks do.
    pub(super) fn served_by(mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<Self, StoreError> {
        let started = thread::Builder::new().name(name.into()).spawn(run);
        let thread = started.map_err(|error| StoreError::Failed {
            doing: "cannot start a thread for the store",
            reported: Arc::new(error),
        })?;
        self.threads.push(thread);
        Ok(self)
    }

    /// Has `work` done on a connection and waits for what came of it, no longer than `patience`.
    pub(super) async fn ask<T, F>(&self, patience: Duration, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Box::new(Asked { work: Some(work), outcome: None, reply }))?;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_closed)) => Err(stopped()),
            Err(_elapsed) => Err(StoreError::Timeout(patience)),
        }
    }

    fn send(&self, task: Box<dyn Task>) -> Result<(), StoreError> {
        let Some(sender) = &self.sender else {
            return Err(stopped());
        };
        sender.try_send(task).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded(WAITING_MAX),
            TrySendError::Disconnected(_) => stopped(),
        })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so, and there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("its thread has stopped".into())
}

// === impl Tasks ===

impl Tasks {
    /// The next task, or nothing if there will be none.
    pub(super) fn next(&self) -> Option<Box<dyn Task>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// The next task if one comes in time.
    pub(super) fn next_within(&self, patience: Duration) -> Result<Box<dyn Task>, RecvTimeoutError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience)
    }

    /// Up to `max` tasks that wait now.
    pub(super) fn waiting(&self, max: usize) -> Vec<Box<dyn Task>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).try_iter().take(max).collect()
    }
}

// === impl Asked ===

impl<T, F> Task for Asked<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn perform(&mut self, on: &Connection) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        let outcome = work(on);
        let told = outcome.as_ref().map(drop).map_err(Clone::clone);
        self.outcome = Some(outcome);
        told
    }

    fn answer(self: Box<Self>, after: Result<(), StoreError>) -> bool {
        let outcome = match (self.outcome, after) {
            // Its own failure says more than that of the whole.
            (Some(Err(own)), _) => Err(own),
            (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Unavailable("the request was not looked at".into())),
        };
        // Whoever asked may have gone; the outcome stands all the same.
        !matches!(self.reply.send(outcome), Err(Ok(_)))
    }
}
