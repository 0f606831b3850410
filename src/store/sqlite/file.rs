//! Opening the database: where it may lie, who may read it, and how SQLite is set up.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use super::{StoreError, schema};

/// Where a database lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Place {
    /// In this file.
    File(PathBuf),
    /// In memory, and with its connection gone.
    Memory,
}

/// File systems on which locks and shared memory of other machines are not seen, so that two gateways would each
/// believe themselves alone. 9P and virtiofs are not among them: virtual machines and sandboxes have their own disk
/// there.
const NETWORK_FILE_SYSTEMS: &[&str] = &[
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "fuse.ceph",
    "fuse.ceph-fuse",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.mount.davfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "smb3",
    "smbfs",
];

// === impl Place ===

impl Place {
    /// Opens a connection that waits `busy` for other programs' locks, with the schema in place.
    pub(super) fn open(&self, busy: Duration) -> Result<Connection, StoreError> {
        // `NO_MUTEX`: each connection is one thread's. Without `URI` a path is a path, whatever it holds.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = match self {
            Self::File(path) => {
                prepare(path)?;
                Connection::open_with_flags(path, flags)
            }
            Self::Memory => Connection::open_in_memory_with_flags(flags),
        };
        let mut connection = opened.map_err(|error| failed("cannot open the database", error))?;
        set_up(&connection, busy, self == &Self::Memory)?;
        schema::migrate(&mut connection)?;
        Ok(connection)
    }
}

/// Makes the file if it is not there, for its owner alone. SQLite gives the files beside it the same mode.
fn prepare(path: &Path) -> Result<(), StoreError> {
    if let Some(kind) = network_file_system(path) {
        return Err(StoreError::NetworkFileSystem { path: path.into(), kind });
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_made) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Where nothing may be made the file may still be there; if not, SQLite says so.
        Err(error) if path.exists() && error.kind() != io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let doing = format!("cannot make `{}`: {error}", path.display());
            Err(StoreError::Failed {
                doing: "cannot open the database",
                reported: Arc::new(io::Error::new(error.kind(), doing)),
            })
        }
    }
}

fn set_up(connection: &Connection, busy: Duration, in_memory: bool) -> Result<(), StoreError> {
    let doing = "cannot set up the connection";
    // First, so that what follows waits for other programs as well.
    connection.busy_timeout(busy).map_err(|error| failed(doing, error))?;
    let switching = "cannot switch to write-ahead logging";
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| failed(switching, error))?;
    if !in_memory && mode != "wal" {
        let reported = Arc::new(io::Error::other(format!("expected journal mode `wal`, found `{mode}`")));
        return Err(StoreError::Failed { doing: switching, reported });
    }
    // FULL: a commit is on the disk when it returns. An untrusted schema runs no function with side effects.
    let pragmas = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;";
    connection.execute_batch(pragmas).map_err(|error| failed(doing, error))
}

/// What SQLite reported, as the store's own error.
pub(super) fn failed(doing: &'static str, error: rusqlite::Error) -> StoreError {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => StoreError::Corrupt(format!("{doing}: {error}")),
        // Its text would hold the whole statement.
        rusqlite::Error::SqlInputError { error, msg, .. } => {
            let reported = rusqlite::Error::SqliteFailure(error, Some(msg));
            StoreError::Failed { doing, reported: Arc::new(reported) }
        }
        error => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked,
            _ => StoreError::Failed { doing, reported: Arc::new(error) },
        },
    }
}

/// A column that counts something; SQLite's integers have a sign.
pub(super) fn count(row: &Row<'_>, place: usize) -> rusqlite::Result<u64> {
    let found: i64 = row.get(place)?;
    u64::try_from(found).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(place, found))
}

/// The type of the network file system that a path lies on, where that can be told: on Linux.
fn network_file_system(path: &Path) -> Option<String> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The file itself may be a link to somewhere else.
    let real = fs::canonicalize(path).or_else(|_| fs::canonicalize(folder)).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let kind = file_system_of(&mounts, &real)?;
    NETWORK_FILE_SYSTEMS.contains(&kind).then(|| kind.to_owned())
}

/// The type of the file system that holds a path, by the text of `mountinfo` (proc(5)): of all mount points above the
/// path the deepest counts, and of several mounts on one point the last.
fn file_system_of<'m>(mounts: &'m str, path: &Path) -> Option<&'m str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let Some((mount, source)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (mount.split(' ').nth(4), source.split(' ').next()) else { continue };
        let point = unescape(point);
        let depth = point.len();
        if path.starts_with(&point) && best.is_none_or(|(deepest, _)| deepest <= depth) {
            best = Some((depth, kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// A mount point without the octal escapes that the kernel writes for space, tab, line feed and backslash.
fn unescape(point: &str) -> String {
    point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
40 22 0:40 / /srv rw,relatime shared:9 master:2 - nfs4 files:/srv rw
41 40 8:2 / /srv/local rw - xfs /dev/sdb1 rw
42 22 0:41 / /mnt/my\\040share rw - cifs //files/share rw
43 22 8:3 / /over rw - ext4 /dev/sdc1 rw
44 43 0:42 / /over rw - fuse.sshfs me@host:/ rw
a line that means nothing";

    #[test]
    fn the_deepest_and_last_mount_counts() {
        for (path, kind) in [
            ("/", "ext4"),
            ("/var/lib/siwx/store.db", "ext4"),
            ("/srv/store.db", "nfs4"),
            ("/srv/local/store.db", "xfs"),
            ("/srv/localhost/store.db", "nfs4"),
            ("/mnt/my share/store.db", "cifs"),
            ("/mnt/my", "ext4"),
            ("/over/store.db", "fuse.sshfs"),
        ] {
            assert_eq!(file_system_of(MOUNTS, Path::new(path)), Some(kind), "{path}");
        }
        assert_eq!(file_system_of("", Path::new("/")), None);
    }
}
