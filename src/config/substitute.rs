//! References inside configuration strings: `${NAME}`, `${NAME:-default}`, `${file:/path}`.
//!
//! 1. `$${` stands for the two characters `${`. A `$` before anything else is itself.
//! 2. A name is `[A-Za-z_][A-Za-z0-9_]*`. A variable that is not there is an error, never an empty text; the
//!    default counts for an unset variable and for an empty one, as in a shell.
//! 3. Of a file one trailing line end is cut, because editors put it there. A file of more than 64 KiB is no
//!    secret and no setting.
//! 4. What was put in is not looked at again: a variable cannot smuggle in another reference.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Where the values of references come from.
pub(crate) struct Sources<'a> {
    /// The value of an environment variable.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file.
    pub(crate) file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// A string with its references replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Substituted {
    /// The text that counts.
    pub(crate) text: String,
    /// Whether anything was put in.
    pub(crate) changed: bool,
    /// The parts that came out of files, in their order; if there are any, the text is treated as a secret.
    pub(crate) files: Vec<FilePart>,
}

/// A part of a text that came out of a file, for who reads the file again when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePart {
    /// The file.
    pub(crate) path: PathBuf,
    /// Which bytes of the text.
    pub(crate) at: Range<usize>,
}

/// Why a reference has no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum SubstituteError {
    /// The variable is not set.
    #[error("environment variable `{0}` is not set")]
    Missing(String),
    /// The file cannot be read.
    #[error("cannot read `{path}`: {cause}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        cause: String,
    },
    /// The file is too big.
    #[error("expected at most 65536 bytes in `{0}`")]
    Long(String),
    /// There is no closing brace.
    #[error("expected a `}}` after `${{`")]
    Open,
    /// What is between the braces is no reference.
    #[error("expected `${{NAME}}`, `${{NAME:-default}}` or `${{file:/path}}`")]
    Form,
}

/// Bytes of a file that is put into a value: the largest secret known to us, a chain of certificates, is smaller.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Replaces every reference of a string, or tells about the first that has no value, and where it begins.
pub(crate) fn substitute(raw: &str, sources: &Sources<'_>) -> Result<Substituted, (SubstituteError, usize)> {
    let mut done = Substituted { text: String::with_capacity(raw.len()), changed: false, files: Vec::new() };
    let mut rest = raw;
    while let Some(at) = rest.find("${") {
        let begin = raw.len() - rest.len() + at;
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            done.text.push_str(before);
            done.text.push_str("${");
            rest = after;
            continue;
        }
        done.text.push_str(before);
        let end = after.find('}').ok_or((SubstituteError::Open, begin))?;
        let reference = &after[..end];
        let start = done.text.len();
        done.text.push_str(&value(reference, sources).map_err(|error| (error, begin))?);
        done.changed = true;
        if let Some(path) = reference.strip_prefix("file:") {
            done.files.push(FilePart { path: path.into(), at: start..done.text.len() });
        }
        rest = &after[end + 1..];
    }
    done.text.push_str(rest);
    Ok(done)
}

fn value(reference: &str, sources: &Sources<'_>) -> Result<String, SubstituteError> {
    if let Some(path) = reference.strip_prefix("file:") {
        return file(path, sources);
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if !is_name(name) {
        return Err(SubstituteError::Form);
    }
    match ((sources.variable)(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(SubstituteError::Missing(name.to_owned())),
    }
}

fn file(path: &str, sources: &Sources<'_>) -> Result<String, SubstituteError> {
    if path.is_empty() {
        return Err(SubstituteError::Form);
    }
    let read = (sources.file)(Path::new(path));
    let mut text = read.map_err(|error| SubstituteError::File { path: path.to_owned(), cause: error.to_string() })?;
    if text.len() > FILE_BYTES_MAX {
        return Err(SubstituteError::Long(path.to_owned()));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn substituted(raw: &str) -> Result<(String, bool, bool), (SubstituteError, usize)> {
        let variable = |name: &str| match name {
            "HOST" => Some("api.example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        };
        let file = |path: &Path| match path.to_str() {
            Some("/run/secrets/token") => Ok("s3cret\n".to_owned()),
            Some("/run/secrets/windows") => Ok("s3cret\r\n".to_owned()),
            Some("/run/secrets/lines") => Ok("one\ntwo\n\n".to_owned()),
            Some("/run/secrets/full") => Ok("x".repeat(65_536)),
            Some("/run/secrets/long") => Ok("x".repeat(65_537)),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        substitute(raw, &Sources { variable: &variable, file: &file })
            .map(|done| (done.text, done.changed, !done.files.is_empty()))
    }

    #[test]
    fn references_that_have_a_value() {
        let full = "x".repeat(65_536);
        let rows = [
            ("no reference", "plain", ("plain", false, false)),
            ("empty", "", ("", false, false)),
            ("variable", "https://${HOST}/", ("https://api.example.com/", true, false)),
            ("two variables", "${HOST}${HOST}", ("api.example.comapi.example.com", true, false)),
            ("empty variable", "a${EMPTY}b", ("ab", true, false)),
            ("default of an unset variable", "${PORT:-8080}", ("8080", true, false)),
            ("default of an empty variable", "${EMPTY:-8080}", ("8080", true, false)),
            ("default that is not needed", "${HOST:-x}", ("api.example.com", true, false)),
            ("empty default", "${PORT:-}", ("", true, false)),
            ("default with a colon and a dash", "${PORT:-a:-b}", ("a:-b", true, false)),
            ("file", "${file:/run/secrets/token}", ("s3cret", true, true)),
            ("file with a Windows line end", "${file:/run/secrets/windows}", ("s3cret", true, true)),
            ("only one line end is cut", "${file:/run/secrets/lines}", ("one\ntwo\n", true, true)),
            ("largest file", "${file:/run/secrets/full}", (&full, true, true)),
            ("literal", "$${HOST}", ("${HOST}", false, false)),
            ("literal, then a variable", "$${x} ${HOST}", ("${x} api.example.com", true, false)),
            ("lone dollar", "a$b$", ("a$b$", false, false)),
            ("what was put in stays as it is", "${NESTED}", ("${HOST}", true, false)),
        ];
        for (name, raw, (text, changed, from_file)) in rows {
            assert_eq!(substituted(raw), Ok((text.to_owned(), changed, from_file)), "{name}");
        }
    }

    #[test]
    fn references_that_have_none() {
        let rows = [
            ("unset variable", "a ${PORT}", SubstituteError::Missing("PORT".to_owned()), 2),
            ("second of two", "${HOST}${PORT}", SubstituteError::Missing("PORT".to_owned()), 7),
            ("no name", "${}", SubstituteError::Form, 0),
            ("name with a digit first", "${1A}", SubstituteError::Form, 0),
            ("name with a dash", "${A-B}", SubstituteError::Form, 0),
            ("name with a blank", "${ HOST }", SubstituteError::Form, 0),
            ("only a default", "${:-x}", SubstituteError::Form, 0),
            ("no path", "${file:}", SubstituteError::Form, 0),
            ("no end", "x${HOST", SubstituteError::Open, 1),
            ("file too long", "${file:/run/secrets/long}", SubstituteError::Long("/run/secrets/long".to_owned()), 0),
            (
                "no such file",
                "${file:/nowhere}",
                SubstituteError::File { path: "/nowhere".to_owned(), cause: "entity not found".to_owned() },
                0,
            ),
        ];
        for (name, raw, error, at) in rows {
            assert_eq!(substituted(raw), Err((error, at)), "{name}");
        }
    }
}
