//! What a command reads from standard input or a file, with a bound on it.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::console::Failure;
use crate::siwx::message::{NonceCharset, Reading, StatementCharset};

/// Where a command reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source<'a> {
    /// This file.
    File(&'a Path),
    /// Standard input.
    Stdin,
}

// === impl Source ===

impl<'a> Source<'a> {
    /// The file of this name, or standard input if it is `-`.
    pub(super) fn named(path: &'a Path) -> Self {
        if path == Path::new("-") { Self::Stdin } else { Self::File(path) }
    }

    /// Reads all of it, as long as it has at most `bytes_max` bytes.
    pub(super) fn read(&self, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        let (name, read) = match self {
            Self::File(path) => {
                (format!("`{}`", path.display()), File::open(path).and_then(|file| bounded(file, bytes_max)))
            }
            Self::Stdin => ("standard input".to_owned(), bounded(io::stdin().lock(), bytes_max)),
        };
        let bytes = read.map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
        if bytes.len() as u64 > bytes_max {
            return Err(Failure::Failed(format!("expected at most {bytes_max} bytes from {name}, found more")));
        }
        Ok(bytes)
    }

    /// The same as text.
    pub(super) fn read_text(&self, bytes_max: u64) -> Result<String, Failure> {
        String::from_utf8(self.read(bytes_max)?).map_err(|_| Failure::failed("expected UTF-8, found other bytes"))
    }
}

/// How a signing text is read where no configuration says: as widely as one could.
pub(super) fn widest_reading() -> Reading {
    Reading { nonce_charset: NonceCharset::Token, statement_charset: StatementCharset::Unicode, ..Reading::default() }
}

/// Reads one byte more than allowed, by which the caller sees that there was more.
fn bounded(from: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
