//! What the operator wrote: the TOML of the file with what environment and flags put over it, every value with its
//! place, nothing judged yet.
//!
//! 1. References in strings are replaced here, in those of the file alone.
//! 2. A flag goes over the environment, and that over the file. Both set single values, never anything within an
//!    array of tables. A flag may set a list of strings too, separated by commas.
//! 3. A variable `SIWX__SECTION__KEY` names a key in upper case. Where tables have free names (`[upstreams.*]`)
//!    it must name one that is in the file; `_` stands for `-` as well, which variables cannot have.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    Inputs,
    keys::{self, Key, Kind},
    report::{Place, Report, path_of_url},
    substitute::{FilePart, Sources, substitute},
};

/// A value and where it was set.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// A value of any shape.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A string with a reference that has no value; the report says so already.
    Faulty,
    Flag(bool),
    List(Vec<Node>),
    Number(f64),
    /// A date or time, which no key takes.
    Other,
    Table(Vec<Entry>),
    Text(Text),
    Whole(i64),
}

/// A string as it counts and as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// What counts.
    pub(crate) value: String,
    /// What an error may quote: as it was written if something was put in from outside.
    pub(crate) shown: String,
    /// The parts that came out of files of their own, as secrets do; in their order.
    pub(crate) files: Vec<FilePart>,
    pub(crate) place: Place,
}

/// A key of a table with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Where the key stands, as opposed to its value.
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// Most characters of a foreign text that an error quotes.
const SHOWN_CHARS_MAX: usize = 60;

// === impl Text ===

impl Text {
    /// A string that was not put together.
    pub(crate) fn new(value: &str, place: Place) -> Self {
        Self { value: value.to_owned(), shown: quotable(value), files: Vec::new(), place }
    }
}

// === impl Value ===

impl Value {
    /// What kind of value it is, in the words of TOML.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Faulty | Self::Text(_) => "a string",
            Self::Flag(_) => "a boolean",
            Self::List(_) => "an array",
            Self::Number(_) => "a float",
            Self::Other => "a date or time",
            Self::Table(_) => "a table",
            Self::Whole(_) => "an integer",
        }
    }
}

/// Reads the file and puts environment and flags over it. A syntax error is the only fault of a report that has
/// one, because what follows it means nothing.
pub(crate) fn read(inputs: &Inputs<'_>, report: &mut Report) -> Option<Vec<Entry>> {
    let table = match DeTable::parse(inputs.text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            mask_unread(inputs.text, report);
            let span = error.span().map(|span| visible(inputs.text, span));
            if let Some(open) = span.as_ref().and_then(|span| unclosed(inputs.text, span.start)) {
                report.error(&Place::File(open), "not TOML: a string does not end on its line", "");
                return None;
            }
            // Only the first line: what follows it may quote the text.
            let title = format!("not TOML: {}", error.message().lines().next().unwrap_or_default());
            let header = span.as_ref().is_some_and(|span| inputs.text[..span.start].ends_with('\n'));
            let hint = if header && title.contains("between array elements") { "is a `]` missing above?" } else { "" };
            report.error(&span.map_or(Place::Nowhere, Place::File), title, hint);
            return None;
        }
    };
    let variable = |name: &str| inputs.environment.get(name).cloned();
    let sources = Sources { variable: &variable, file: inputs.files };
    let mut entries = Reader { text: inputs.text, sources, report }.table(&table, "");
    for (name, value) in inputs.environment {
        if let Some(path) = name.strip_prefix("SIWX__") {
            let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
            put(&mut entries, keys::ROOT, &path, value, &Place::Environment(name.clone()), report);
        }
    }
    for flag in inputs.flags {
        let path: Vec<String> = flag.key.split('.').map(str::to_owned).collect();
        put(&mut entries, keys::ROOT, &path, &flag.value, &Place::Flag(flag.flag.clone()), report);
    }
    Some(entries)
}

/// The first string that does not end on its line, in the lines before the one of `at`. The parser goes on and finds
/// fault with what follows. Strings of several lines end the search, since nothing is wrong with them.
fn unclosed(text: &str, at: usize) -> Option<Range<usize>> {
    let before = text.get(..at)?.rfind('\n')?;
    let mut start = 0;
    for line in text[..before].split_inclusive('\n') {
        if line.contains("\"\"\"") || line.contains("'''") {
            return None;
        }
        let (mut quote, mut escaped) = (None, false);
        for (offset, c) in line.char_indices() {
            match quote {
                _ if escaped => escaped = false,
                None if c == '#' => break,
                None if matches!(c, '"' | '\'') => quote = Some((c, offset)),
                Some(('"', _)) if c == '\\' => escaped = true,
                Some((open, _)) if c == open => quote = None,
                _ => {}
            }
        }
        if let Some((_, offset)) = quote {
            return Some(start + offset..start + line.trim_end().len());
        }
        start += line.len();
    }
    None
}

/// Copies the parser's values, replacing references.
struct Reader<'a> {
    text: &'a str,
    sources: Sources<'a>,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Vec<Entry> {
        let mut pairs: Vec<(&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)> = table.iter().collect();
        // The parser keeps tables by name; people want upstreams in the order of their file.
        pairs.sort_by_key(|(key, _)| key.span().start);
        let entries = pairs.into_iter().map(|(key, value)| {
            let name = key.get_ref().clone().into_owned();
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            Entry { name, place: Place::File(key.span()), node: self.node(value, &path) }
        });
        entries.collect()
    }

    fn node(&mut self, spanned: &Spanned<DeValue<'_>>, path: &str) -> Node {
        let span = spanned.span();
        let value = match spanned.get_ref() {
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item, path)).collect()),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(_) => Value::Other,
            DeValue::Float(number) => number.as_str().parse().map_or(Value::Other, Value::Number),
            // The parser leaves out the prefix and the underscores. What does not fit is out of every range.
            DeValue::Integer(whole) => {
                Value::Whole(i64::from_str_radix(whole.as_str(), whole.radix()).unwrap_or(i64::MAX))
            }
            DeValue::String(text) => self.string(text, span.clone(), path).map_or(Value::Faulty, Value::Text),
            DeValue::Table(table) => Value::Table(self.table(table, path)),
        };
        Node { value, place: Place::File(span) }
    }

    fn string(&mut self, raw: &str, span: Range<usize>, path: &str) -> Option<Text> {
        let place = Place::File(span.clone());
        if raw.contains("://") && raw.contains('@') {
            // What stands before `@` in a URL is a user name and often a password.
            self.report.mask(span.clone());
        }
        match substitute(raw, &self.sources) {
            Ok(done) => Some(Text {
                shown: quotable(if done.changed { raw } else { &done.text }),
                value: done.text,
                files: done.files,
                place,
            }),
            Err((error, at)) => {
                let title = format!("`{}`: {error}", quotable(path));
                self.report.error(&Place::File(self.reference(raw, span, at)), title, "");
                None
            }
        }
    }

    /// The bytes of a reference at `at` in a string, if the string stands in the file as it reads, without
    /// escapes; else the whole string.
    fn reference(&self, raw: &str, span: Range<usize>, at: usize) -> Range<usize> {
        let Some(inside) = self.text.get(span.clone()).and_then(|written| written.find(raw)) else {
            return span;
        };
        let length = raw[at..].find('}').map_or(raw.len() - at, |end| end + 1);
        let start = span.start + inside + at;
        start..start + length
    }
}

/// Puts a value from outside the file at a path of keys.
fn put(
    entries: &mut Vec<Entry>,
    known: &'static [Key],
    path: &[String],
    value: &str,
    place: &Place,
    report: &mut Report,
) {
    let Some((name, rest)) = path.split_first() else {
        return;
    };
    let kind = keys::find(known, name).map(|key| key.kind);
    let (within, free) = match kind {
        Some(Kind::Texts) if matches!(place, Place::Flag(_)) => (&[][..], false),
        Some(Kind::Sections(_) | Kind::Texts) => {
            return report.error(place, format!("`{name}` is an array"), "arrays are set in the file alone");
        }
        Some(Kind::Named(keys)) => (keys, true),
        Some(Kind::Section(keys)) => (keys, false),
        Some(Kind::Rate) => (keys::RATE, false),
        _ => (&[][..], false),
    };
    let one = |value| Node { value: Value::Text(Text::new(value, place.clone())), place: place.clone() };
    let node = || match kind {
        Some(Kind::Texts) => Node { value: Value::List(value.split(',').map(one).collect()), place: place.clone() },
        _ => one(value),
    };
    let entry = match entries.iter().position(|entry| entry.name == *name) {
        Some(at) => &mut entries[at],
        None => {
            let table = Node { value: Value::Table(Vec::new()), place: place.clone() };
            let node = if rest.is_empty() { node() } else { table };
            entries.push(Entry { name: name.clone(), place: place.clone(), node });
            let last = entries.len() - 1;
            &mut entries[last]
        }
    };
    if rest.is_empty() {
        (entry.place, entry.node) = (place.clone(), node());
        return;
    }
    let Value::Table(inner) = &mut entry.node.value else {
        return report.error(place, format!("`{name}` is {}, not a table", entry.node.value.kind()), "");
    };
    if !free {
        return put(inner, within, rest, value, place, report);
    }
    let named = inner.iter_mut().find(|entry| entry.name == rest[0] || entry.name.replace('-', "_") == rest[0]);
    match named.map(|entry| &mut entry.node.value) {
        Some(Value::Table(keys)) if rest.len() > 1 => put(keys, within, &rest[1..], value, place, report),
        _ => report.error(place, format!("the file has no table `{name}.{}`", rest[0]), ""),
    }
}

/// Hides what may be a secret in a text that could not be read: on every line, what follows the name of a secret
/// key, and paths of URLs. The text has no structure to go by, so this hides too much rather than too little.
fn mask_unread(text: &str, report: &mut Report) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for name in ["token", "secret", "key", "password"] {
            if let Some(at) = line.to_ascii_lowercase().find(name) {
                let value = &line[at + name.len()..];
                let bare = value.trim_start_matches([' ', '\t', '=']);
                report.mask(start + line.len() - bare.len()..start + line.len());
            }
        }
        if let Some(at) = line.find("://").filter(|_| line.contains('@')) {
            report.mask(start + at..start + line.len());
        }
        let mut url = 0;
        while let Some(path) = path_of_url(&line[url..]) {
            let path = url + path;
            let length = line[path..].find([' ', '\t', '"', '\'', ',']).unwrap_or(line.len() - path);
            report.mask(start + path..start + path + length);
            url = path + length;
        }
        start += line.len();
    }
}

/// The part of a span that is on its first line: what follows was taken in by mistake. At least one character for
/// the caret to point at, unless the text ends there.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    let rest = text.get(span.start..).unwrap_or_default();
    let line = rest.find(['\r', '\n']).unwrap_or(rest.len());
    let first = rest[..line].chars().next().map_or(0, char::len_utf8);
    span.start..span.start + span.len().min(line).max(first)
}

/// As much of a text as an error may quote: escaped and cut, and nothing of a URL with a user name.
pub(crate) fn quotable(text: &str) -> String {
    if text.contains("://") && text.contains('@') {
        return "[redacted]".to_owned();
    }
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
