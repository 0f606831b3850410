//! The store's threads: one that writes, and those that read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::RecvTimeoutError,
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::{
    StoreError,
    file::{Place, failed},
    queue::{Task, Tasks},
};

/// How often it is looked whether another process wrote, and how soon a store that did not open is tried again.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Writes in one commit at most. A commit costs one wait for the disk however many there are; the bound keeps the
/// first of them from waiting for all.
pub(super) const GROUP_MAX: usize = 256;

/// A connection that is opened when it is needed, and again after it broke.
pub(super) struct Line {
    place: Place,
    busy: Patience,
    /// What the connection knows of that.
    told: Duration,
    connection: Option<Connection>,
    failure: Option<(Instant, StoreError)>,
    opened: u64,
}

/// The longest that an operation may take, as it is now.
#[derive(Debug, Clone)]
pub(super) struct Patience(Arc<AtomicU64>);

/// Serves reads.
pub(super) struct Reader {
    line: Line,
    tasks: Tasks,
}

/// Serves writes, in groups.
pub(super) struct Writer {
    line: Line,
    tasks: Tasks,
    foreign_writes: Arc<AtomicU64>,
    commits: Arc<AtomicU64>,
    /// Which connection was looked at last, and what it said of the data; zeros before the first.
    seen: (u64, i64),
}

// === impl Patience ===

impl Patience {
    pub(super) fn new(timeout: Duration) -> Self {
        let patience = Self(Arc::default());
        patience.set(timeout);
        patience
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, timeout: Duration) {
        self.0.store(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

// === impl Line ===

impl Line {
    /// A connection to `place` that waits `busy` for other programs' locks.
    pub(super) fn new(place: Place, busy: Patience) -> Self {
        Self { place, told: busy.get(), busy, connection: None, failure: None, opened: 0 }
    }

    /// The connection, opened if it was not; at most one attempt a second.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = self.open()?;
                self.opened += 1;
                connection
            }
        };
        let busy = self.busy.get();
        if busy != self.told {
            connection.busy_timeout(busy).map_err(|error| failed("cannot set up the connection", error))?;
            self.told = busy;
        }
        Ok(self.connection.insert(connection))
    }

    fn open(&mut self) -> Result<Connection, StoreError> {
        if let Some((when, error)) = &self.failure
            && when.elapsed() < WATCH_EVERY
        {
            return Err(StoreError::Unavailable(error.to_string()));
        }
        self.told = self.busy.get();
        let opened = self.place.open(self.told);
        self.failure = opened.as_ref().err().map(|error| (Instant::now(), error.clone()));
        opened.map_err(|error| match error.is_lasting() {
            true => error,
            false => StoreError::Unavailable(error.to_string()),
        })
    }

    /// Lets go of a connection that an error has made useless, so that the next request opens another one. What is in
    /// memory would be lost with it, and stays.
    fn heed(&mut self, error: &StoreError) {
        if self.place != Place::Memory && breaks_connection(error) {
            self.connection = None;
            self.failure = Some((Instant::now(), error.clone()));
        }
    }
}

/// Whether a new connection may do better than the one that said this: the file was moved, its disk came back, it
/// may be written again.
fn breaks_connection(error: &StoreError) -> bool {
    let StoreError::Failed { reported, .. } = error else {
        return false;
    };
    let code = reported.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    matches!(
        code,
        Some(
            ErrorCode::CannotOpen
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NotADatabase
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
        )
    )
}

// === impl Reader ===

impl Reader {
    /// A reader that has not opened its connection yet.
    pub(super) fn new(line: Line, tasks: Tasks) -> Self {
        Self { line, tasks }
    }

    /// Reads until there is nobody left to ask.
    pub(super) fn run(mut self) {
        while let Some(task) = self.tasks.next() {
            if !task.is_abandoned() {
                self.serve(task);
            }
        }
    }

    fn serve(&mut self, mut task: Box<dyn Task>) {
        let done = self.line.connection().and_then(|on| task.perform(on));
        if let Err(error) = &done {
            self.line.heed(error);
        }
        task.answer(done);
    }
}

// === impl Writer ===

impl Writer {
    /// A writer over a connection that may or may not be open.
    pub(super) fn new(line: Line, tasks: Tasks, foreign_writes: Arc<AtomicU64>, commits: Arc<AtomicU64>) -> Self {
        let mut writer = Self { line, tasks, foreign_writes, commits, seen: (0, 0) };
        if let Some(version) = writer.data_version() {
            writer.seen = version;
        }
        writer
    }

    /// Writes until there is nobody left to ask.
    pub(super) fn run(mut self) {
        let mut watch_at = Instant::now() + WATCH_EVERY;
        loop {
            match self.tasks.next_within(watch_at.saturating_duration_since(Instant::now())) {
                Ok(first) => self.serve(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if watch_at <= Instant::now() {
                self.watch();
                watch_at = Instant::now() + WATCH_EVERY;
            }
        }
    }

    /// Commits a task together with those that wait behind it, then answers them all.
    fn serve(&mut self, first: Box<dyn Task>) {
        let mut group = vec![first];
        group.extend(self.tasks.waiting(GROUP_MAX - 1));
        group.retain(|task| !task.is_abandoned());
        if group.is_empty() {
            return;
        }
        let mut failures = Vec::new();
        let done = self.line.connection().and_then(|on| perform_all(on, &mut group, &mut failures));
        if done.is_ok() {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        for error in failures.iter().chain(done.as_ref().err()) {
            self.line.heed(error);
        }
        let mut untold = false;
        for task in group {
            untold |= !task.answer(done.clone());
        }
        // Who asked for a change and left, or gave up waiting, has told nobody of it.
        if untold {
            self.foreign_writes.fetch_add(1, Ordering::Release);
        }
    }

    /// Compares the version of the data with the one seen last. The writer's own commits do not change it, and
    /// readers make none; another connection's version says nothing about this one's, so that a new connection counts
    /// as a change.
    fn watch(&mut self) {
        let Some(version) = self.data_version() else {
            return;
        };
        if self.seen != version {
            self.seen = version;
            self.foreign_writes.fetch_add(1, Ordering::Release);
        }
    }

    fn data_version(&mut self) -> Option<(u64, i64)> {
        let version = self.line.connection().and_then(|on| {
            let version = on.query_row("PRAGMA data_version", [], |row| row.get(0));
            version.map_err(|error| failed("cannot look for writes", error))
        });
        match version {
            Ok(version) => Some((self.line.opened, version)),
            Err(error) => {
                self.line.heed(&error);
                None
            }
        }
    }
}

/// Performs all in one transaction, each within a savepoint of its own: one that fails undoes itself and nothing
/// else, and is among the `failures`. An error here is one of the transaction, and nothing was written.
fn perform_all(
    on: &mut Connection,
    group: &mut [Box<dyn Task>],
    failures: &mut Vec<StoreError>,
) -> Result<(), StoreError> {
    let begun = on.transaction_with_behavior(TransactionBehavior::Immediate);
    let mut transaction = begun.map_err(|error| failed("cannot begin a transaction", error))?;
    for task in group {
        let begun = transaction.savepoint();
        let savepoint = begun.map_err(|error| failed("cannot set a savepoint", error))?;
        match task.perform(&savepoint) {
            Ok(()) => savepoint.commit().map_err(|error| failed("cannot release a savepoint", error))?,
            Err(error) => {
                drop(savepoint);
                // A full disk and some other failures undo the whole transaction, and those before would be lost
                // while they are answered as written.
                if transaction.is_autocommit() {
                    return Err(error);
                }
                failures.push(error);
            }
        }
    }
    transaction.commit().map_err(|error| failed("cannot commit", error))
}
