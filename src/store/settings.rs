//! What the configuration says about the store.

use std::{path::PathBuf, time::Duration};

/// Where state is kept, and how long it may take to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which store.
    pub backend: Backend,
    /// The longest one operation may take before it counts as failed.
    pub timeout: Duration,
    /// Whether a store that does not open ends the start.
    pub require_at_start: bool,
}

/// A store this build knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// One SQLite file, made if it is not there.
    Sqlite(PathBuf),
    /// A SQLite database that lives and dies with the process.
    SqliteMemory,
}
