//! Why a store did not answer.

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use thiserror::Error;

/// Why a store did not do what it was asked. Never "there is no such subscription": that is an answer.
///
/// Its text is for operators. What a client may read is that the store is unavailable.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The request contradicts what was done before, and would again.
    #[error("{0}")]
    Conflict(String),
    /// The store holds something that is not of our making.
    #[error("the store holds nonsense: {0}")]
    Corrupt(String),
    /// The store's own software or the system below it reported a failure.
    #[error("{doing}: {reported}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// What was reported.
        reported: Arc<dyn Error + Send + Sync>,
    },
    /// Another program kept the store locked for as long as we wait.
    #[error("another program keeps the store locked")]
    Locked,
    /// The file lies where locks of other machines are not seen.
    #[error("expected `{}` on a local disk, found it on the network file system `{kind}`", path.display())]
    NetworkFileSystem {
        /// The file.
        path: PathBuf,
        /// The type of the file system.
        kind: String,
    },
    /// The schema was written by a later version of this program.
    #[error("expected schema version {known} or older, found {found}: the store was written by a newer siwx-gateway")]
    NewerSchema {
        /// The newest version this program knows.
        known: u32,
        /// The version found.
        found: u32,
    },
    /// So many requests wait already that one more would only time out.
    #[error("{0} requests wait for the store already")]
    Overloaded(usize),
    /// No answer in time. It says nothing about whether a write was done; ask again, or look.
    #[error("no answer from the store within {0:?}")]
    Timeout(Duration),
    /// The store is not open; it is tried again once a second.
    #[error("the store is not open: {0}")]
    Unavailable(String),
}

impl StoreError {
    /// The value of the label `result` in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Locked | Self::Timeout(_) => "timeout",
            Self::Corrupt(_)
            | Self::Failed { .. }
            | Self::NetworkFileSystem { .. }
            | Self::NewerSchema { .. }
            | Self::Overloaded(_)
            | Self::Unavailable(_) => "error",
        }
    }

    /// Whether waiting cannot help: the start ends on such an error, also where a store may be opened later.
    pub const fn is_lasting(&self) -> bool {
        matches!(self, Self::NetworkFileSystem { .. } | Self::NewerSchema { .. })
    }
}
