//! Headers that a facilitator wants to see, such as `Authorization`, and where their values come from.
//!
//! 1. A value is pieces put one behind the other: text that is known from the start, and files. Files are read again
//!    for every request, so that a short-lived token counts from the moment somebody replaces it; they are small, and
//!    a look at the time of change would cost nearly as much and miss a change within its own resolution.
//! 2. One trailing line end of a file is cut, because editors put it there.
//! 3. A file that cannot be read for a moment does not stop payments: the value read last is used, and the log says so.
//! 4. Values are never shown: the pieces are secrets, and the header value is marked sensitive.

use std::{
    fmt, io,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Mutex,
};

use http::{
    HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A piece of a header's value.
#[derive(Debug, Clone)]
pub enum Piece {
    /// What this file holds now.
    File(PathBuf),
    /// This text.
    Text(Secret<String>),
}

/// A header's value, made anew whenever it is asked for.
#[derive(Debug)]
pub struct HeaderSource {
    pieces: Vec<Piece>,
    last: Mutex<Option<HeaderValue>>,
}

/// A header that every request to a facilitator carries.
#[derive(Debug)]
pub struct Header {
    name: HeaderName,
    source: HeaderSource,
}

/// Why a header cannot be sent. Names files, never what is in them.
#[derive(Debug, Error)]
pub enum HeaderError {
    /// A file cannot be read.
    #[error("cannot read `{}`: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is no secret.
    #[error("expected at most {FILE_BYTES_MAX} bytes in `{}`", .0.display())]
    Long(PathBuf),
    /// The name is none, or one that is ours to set.
    #[error("expected the name of a header that may be set, found `{0}`")]
    Name(String),
    /// What was put together is no header value.
    #[error("expected visible characters in the value, found others")]
    Value,
}

/// Bytes of a file that is put into a header: more than servers take in a whole head is no token.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Headers that say how a request is framed or what it is.
const OURS: [HeaderName; 8] = [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

// === impl HeaderSource ===

impl HeaderSource {
    /// A value of these pieces.
    pub const fn new(pieces: Vec<Piece>) -> Self {
        Self { pieces, last: Mutex::new(None) }
    }

    /// A value that stays.
    pub fn literal(value: String) -> Self {
        Self::new(vec![Piece::Text(Secret::new(value))])
    }

    /// The value now. Reads its files; blocks for as long as that takes.
    pub fn value(&self) -> Result<HeaderValue, HeaderError> {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (self.made(), &*last) {
            (Ok(value), _) => Ok(last.insert(value).clone()),
            (Err(error), Some(value)) => {
                tracing::warn!(%error, "a facilitator's header keeps its last value");
                Ok(value.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    fn made(&self) -> Result<HeaderValue, HeaderError> {
        let mut whole = Zeroizing::new(String::new());
        for piece in &self.pieces {
            match piece {
                Piece::File(path) => whole.push_str(&read(path)?),
                Piece::Text(text) => whole.push_str(text.expose()),
            }
        }
        let mut value = HeaderValue::from_str(&whole).map_err(|_| HeaderError::Value)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, HeaderError> {
    let unreadable = |cause| HeaderError::File { path: path.to_owned(), cause };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(HeaderError::Long(path.to_owned()));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

// === impl Header ===

impl Header {
    /// A header by its name. Refuses names that say how a request is framed.
    pub fn new(name: &str, source: HeaderSource) -> Result<Self, HeaderError> {
        let known = HeaderName::try_from(name).ok().filter(|name| !OURS.contains(name));
        let name = known.ok_or_else(|| HeaderError::Name(name.chars().take(40).collect()))?;
        Ok(Self { name, source })
    }

    /// Its name.
    pub const fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Its value now.
    pub fn value(&self) -> Result<HeaderValue, HeaderError> {
        self.source.value()
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [redacted]", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(source: &HeaderSource) -> Result<String, String> {
        let value = source.value().map_err(|error| error.to_string())?;
        assert!(value.is_sensitive());
        Ok(value.to_str().expect("visible characters").to_owned())
    }

    #[test]
    fn a_file_counts_from_the_moment_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let source = HeaderSource::new(vec![
            Piece::Text(Secret::new("Bearer ".to_owned())),
            Piece::File(path.clone()),
            Piece::Text(Secret::new("!".to_owned())),
        ]);
        let missing = value(&source).expect_err("there is no file");
        assert!(missing.starts_with("cannot read `") && missing.contains("token"), "{missing}");
        for (written, expected) in [
            ("one\n", "Bearer one!"),
            ("two\r\n", "Bearer two!"),
            ("three", "Bearer three!"),
            // Not a header value: what was good before stays.
            ("four\n\n", "Bearer three!"),
            ("five", "Bearer five!"),
        ] {
            std::fs::write(&path, written).expect("a file");
            assert_eq!(value(&source).as_deref(), Ok(expected), "{written:?}");
        }
        std::fs::remove_file(&path).expect("the file");
        assert_eq!(value(&source).as_deref(), Ok("Bearer five!"), "the file is gone");
    }

    #[test]
    fn bounds_and_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let source = HeaderSource::new(vec![Piece::File(path.clone())]);
        std::fs::write(&path, "x".repeat(16_385)).expect("a file");
        assert_eq!(value(&source), Err(format!("expected at most 16384 bytes in `{}`", path.display())));
        std::fs::write(&path, "x".repeat(16_384)).expect("a file");
        assert_eq!(value(&source).map(|value| value.len()), Ok(16_384));

        for name in ["Host", "content-length", "Transfer-Encoding", "connection", "", "a b"] {
            let refused = Header::new(name, HeaderSource::literal(String::new()));
            assert!(matches!(refused, Err(HeaderError::Name(found)) if found == name), "{name}");
        }
        let header = Header::new("Authorization", HeaderSource::literal("Bearer s3cret".to_owned())).expect("a header");
        assert!(!format!("{header} {header:?}").contains("s3cret"));
        header.value().expect("a value");
        assert!(!format!("{header:?}").contains("s3cret"), "nor once it was made");
    }
}
