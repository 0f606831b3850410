//! What is wrong with a configuration, and showing it: line, column, caret and a hint, all of it in one run.
//!
//! 1. A report is in the order of the file; what has no place in it comes last.
//! 2. No secret is shown. The text that is quoted is a copy in which the values of secret keys, of keys that are
//!    not known (they may be a misspelt secret) and of URLs with a user name are stars, one for each byte, so
//!    that the carets stay where they belong.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Where a value was set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is a default, or missing.
    #[default]
    Nowhere,
    /// These bytes of the file.
    File(Range<usize>),
    /// This environment variable.
    Environment(String),
    /// This flag of the command line.
    Flag(String),
}

/// Whether a gateway may start in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It may not.
    Error,
    /// It may, and nothing is wrong.
    Note,
    /// It may.
    Warning,
}

impl Severity {
    /// The word that opens its report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Note => "note",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in lower case and without full stop.
    pub title: String,
    /// Where.
    pub place: Place,
    /// What would be right, to stand beside the caret; may be empty.
    pub hint: String,
}

/// All that is wrong, with the text in which it is wrong.
#[derive(Clone)]
pub struct Report {
    name: String,
    /// The text as it may be shown: see [`Report::mask`].
    shown: Vec<u8>,
    faults: Vec<Fault>,
}

// === impl Report ===

impl Report {
    /// An empty report about a text; `name` is what the file is called.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), shown: text.as_bytes().to_vec(), faults: Vec::new() }
    }

    /// Adds what forbids the start.
    pub fn error(&mut self, place: &Place, title: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, place, title.into(), hint.into());
    }

    /// Adds what an operator should know.
    pub fn warn(&mut self, place: &Place, title: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Warning, place, title.into(), hint.into());
    }

    /// Adds what is worth knowing and nothing to be changed.
    pub fn note(&mut self, place: &Place, title: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Note, place, title.into(), hint.into());
    }

    fn push(&mut self, severity: Severity, place: &Place, title: String, hint: String) {
        self.faults.push(Fault { severity, title, place: place.clone(), hint });
    }

    /// Makes sure that these bytes of the file are never shown.
    pub(crate) fn mask(&mut self, range: Range<usize>) {
        for byte in self.shown.get_mut(range).unwrap_or_default() {
            if !matches!(byte, b'\n' | b'\r' | b'"' | b'\'') {
                *byte = b'*';
            }
        }
    }

    /// Makes sure that a string of the file is never shown, save the names of what it refers to: `${NAME}` and
    /// `${file:/path}` are no secrets and help to find one that is missing.
    pub(crate) fn mask_literal(&mut self, range: Range<usize>) {
        let mut start = range.start;
        while let Some(length) = self.shown.get(start..range.end).and_then(reference) {
            self.mask(start..start + length.start);
            start += length.end;
        }
        self.mask(start..range.end);
    }

    /// The same for a URL, of which scheme and host may be shown. What is no URL is hidden in whole.
    pub(crate) fn mask_url(&mut self, range: Range<usize>) {
        let written = self.shown.get(range.clone()).and_then(|written| std::str::from_utf8(written).ok());
        let start = written.and_then(path_of_url).unwrap_or_default();
        self.mask_literal(range.start + start..range.end);
    }

    /// What is wrong, in the order of the file.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        let mut faults: Vec<&Fault> = self.faults.iter().collect();
        faults.sort_by_key(|fault| match &fault.place {
            Place::File(range) => range.start,
            _ => usize::MAX,
        });
        faults.into_iter()
    }

    /// Whether anything forbids the start.
    pub fn has_errors(&self) -> bool {
        self.faults.iter().any(|fault| fault.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub const fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Line and column of a byte of the file, both counted from 1, the column in characters.
    pub fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = &self.shown[..at.min(self.shown.len())];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        (line, String::from_utf8_lossy(&before[line_start..]).chars().count() + 1)
    }

    /// Where a place is, in a few words: `siwx-gateway.toml:12`, `environment variable SIWX__…`, `default`.
    pub fn origin(&self, place: &Place) -> String {
        match place {
            Place::Nowhere => "default".to_owned(),
            Place::File(range) => format!("{}:{}", self.name, self.line_and_column(range.start).0),
            Place::Environment(name) => format!("environment variable {name}"),
            Place::Flag(name) => format!("flag {name}"),
        }
    }

    /// The whole report as text for people, with escape sequences for colours if wanted. Ends with a line end
    /// unless it is empty.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        // What was masked is ASCII in whole characters, so the text is UTF-8 as it was before.
        let shown = String::from_utf8_lossy(&self.shown);
        let rendered = self.faults().map(|fault| self.render_fault(fault, &shown, &renderer) + "\n");
        rendered.collect()
    }

    fn render_fault(&self, fault: &Fault, shown: &str, renderer: &Renderer) -> String {
        let level = match fault.severity {
            Severity::Error => Level::ERROR,
            Severity::Note => Level::NOTE,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(fault.title.as_str());
        match &fault.place {
            Place::File(range) => {
                let annotation = AnnotationKind::Primary.span(range.clone()).label(fault.hint.as_str());
                let snippet = Snippet::source(shown).path(self.name.as_str()).annotation(annotation);
                renderer.render(&[title.element(snippet)])
            }
            place => {
                let origin = match place {
                    Place::Nowhere => self.name.clone(),
                    place => self.origin(place),
                };
                let head = renderer.render(&[Group::with_title(title)]);
                let hint = if fault.hint.is_empty() { String::new() } else { format!("   ({})", fault.hint) };
                format!("{head}\n --> {origin}{hint}")
            }
        }
    }

    /// The report for programs: a list of objects with severity, message, hint, file, line and column.
    pub fn to_json(&self) -> serde_json::Value {
        let objects = self.faults().map(|fault| {
            let position = match &fault.place {
                Place::File(range) => Some(self.line_and_column(range.start)),
                _ => None,
            };
            serde_json::json!({
                "severity": fault.severity.as_str(),
                "message": fault.title,
                "hint": fault.hint,
                "origin": match &fault.place {
                    Place::Nowhere => self.name.clone(),
                    place => self.origin(place),
                },
                "line": position.map(|(line, _)| line),
                "column": position.map(|(_, column)| column),
            })
        });
        serde_json::Value::Array(objects.collect())
    }
}

/// Where in a text the path of its first URL begins, or query, or fragment; its end, if there is none. Nothing, if there
/// is no URL. What follows an escape may be anything.
pub(crate) fn path_of_url(text: &str) -> Option<usize> {
    let host = text.find("://")? + "://".len();
    Some(text[host..].find(['/', '?', '#', '\\']).map_or(text.len(), |path| host + path))
}

/// The first reference without default in some bytes.
fn reference(bytes: &[u8]) -> Option<Range<usize>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut from = 0;
    while let Some(at) = text[from..].find("${") {
        let start = from + at;
        let end = start + text[start..].find('}')? + 1;
        if !text[start..end].contains(":-") {
            return Some(start..end);
        }
        from = end;
    }
    None
}

/// As [`Report::render`] without colours.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("name", &self.name).field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_bytes_are_stars_and_keep_their_columns() {
        let text = "[admin]\ntoken = \"gehëim\" # secret\n";
        let mut report = Report::new("a.toml", text);
        let value = text.find("\"gehëim\"").expect("the value");
        report.mask(value..value + "\"gehëim\"".len());
        report.error(&Place::File(value..value + "\"gehëim\"".len()), "too short", "expected 32 characters");
        assert_eq!(
            report.to_string(),
            "error: too short\n --> a.toml:2:9\n  |\n2 | token = \"*******\" # secret\n  |         ^^^^^^^^^ expected 32 characters\n"
        );
    }

    #[test]
    fn references_in_a_masked_literal_are_shown() {
        let rows = [
            ("alone", "${TOKEN}", "${TOKEN}"),
            ("within", "hunter2-${TOKEN}-x", "********${TOKEN}**"),
            ("two", "${A}b${file:/c}", "${A}*${file:/c}"),
            ("with a default", "${TOKEN:-hunter2}", "*****************"),
            ("default, then none", "${A:-b}${C}", "*******${C}"),
            ("open", "${hunter2", "*********"),
            ("none", "hunter2", "*******"),
            ("empty", "", ""),
        ];
        for (name, text, expected) in rows {
            let mut report = Report::new("a.toml", text);
            report.mask_literal(0..text.len());
            assert_eq!(String::from_utf8_lossy(&report.shown), expected, "{name}");
        }
    }

    #[test]
    fn of_a_masked_url_scheme_and_host_are_shown() {
        let rows = [
            ("a path", "https://node.example/v2/hunter2", "https://node.example***********"),
            ("a query", "https://node.example?key=hunter2", "https://node.example************"),
            ("an escape", r"https://node.example\u002fhunter2", "https://node.example*************"),
            ("a reference", "https://node.example/${KEY}", "https://node.example*${KEY}"),
            ("references alone", "${URL}", "${URL}"),
            ("neither", "https://node.example:8545", "https://node.example:8545"),
            ("no URL", "node.example/hunter2", "********************"),
        ];
        for (name, text, expected) in rows {
            let mut report = Report::new("a.toml", text);
            report.mask_url(0..text.len());
            assert_eq!(String::from_utf8_lossy(&report.shown), expected, "{name}");
        }
    }

    #[test]
    fn a_report_is_in_the_order_of_the_file() {
        let mut report = Report::new("a.toml", "a = 1\nb = 2\n");
        report.warn(&Place::Nowhere, "last", "");
        report.error(&Place::File(6..7), "second", "");
        report.error(&Place::File(0..1), "first", "");
        let titles: Vec<_> = report.faults().map(|fault| fault.title.as_str()).collect();
        assert_eq!(titles, ["first", "second", "last"]);
        assert!(report.has_errors());
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        let report = Report::new("a.toml", "é = 1\n\nb = 2");
        let rows = [
            ("start", 0, (1, 1)),
            ("after a letter of two bytes", 2, (1, 2)),
            ("third line", 8, (3, 1)),
            ("past the end", 99, (3, 6)),
        ];
        for (name, at, expected) in rows {
            assert_eq!(report.line_and_column(at), expected, "{name}");
        }
    }
}
