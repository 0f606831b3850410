//! The table of configuration keys: the one place where their names, kinds, defaults and meanings stand.
//!
//! 1. The reader refuses what is not here, `config schema` and `config.example.toml` show what is, and a test
//!    holds all of them together.
//! 2. A key of the contract whose feature is still to come is listed as [`Kind::Later`], so that it is refused
//!    as not built yet rather than as unknown.
//! 3. Defaults are written as an operator would write them and go through the same reader as a file's values.

mod table;

pub(crate) use table::{RATE, ROOT};

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name within its table.
    pub(crate) name: &'static str,
    /// What may stand there.
    pub(crate) kind: Kind,
    /// What counts when nothing stands there.
    pub(crate) default: Fallback,
    /// What `config.example.toml` shows, if it is not the default.
    pub(crate) example: Option<Fallback>,
    /// What it does, in one or two sentences.
    pub(crate) doc: &'static str,
}

/// What may stand at a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An amount of time.
    Duration(Span),
    /// `true` or `false`.
    Flag,
    /// Known, and not built yet.
    Later,
    /// A table of free names, each with a list of strings.
    Lists,
    /// A table of free names, each with a table of these keys.
    Named(&'static [Key]),
    /// A number between two others, both allowed.
    Number(f64, f64),
    /// A rate, as `"50/s"` or as a table of rate and burst; or `"off"`.
    Rate,
    /// A string that is never shown.
    Secret,
    /// A table of free names, each with a string that is never shown.
    Secrets,
    /// A table of these keys.
    Section(&'static [Key]),
    /// Any number of tables of these keys.
    Sections(&'static [Key]),
    /// An amount of bytes.
    Size(Bounds),
    /// A string.
    Text,
    /// A string, or a table of these keys in its place.
    TextOr(&'static [Key]),
    /// A table of free names, each with a string.
    Texted,
    /// A list of strings.
    Texts,
    /// A table of free names, each with a list of URLs, of which nothing but scheme and host is shown.
    UrlLists,
    /// A whole number between two others, both allowed.
    Whole(u64, u64),
}

/// Which durations a key takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// The shortest, in milliseconds.
    pub(crate) millis_min: u64,
    /// The longest, in milliseconds.
    pub(crate) millis_max: u64,
    /// Whether they are whole seconds.
    pub(crate) whole_secs: bool,
    /// Whether `""` says that there is none.
    pub(crate) optional: bool,
}

/// Which sizes a key takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The fewest bytes.
    pub(crate) min: u64,
    /// The most bytes, not counting `"unlimited"`.
    pub(crate) max: u64,
    /// Whether `"unlimited"` is taken.
    pub(crate) unlimited: bool,
    /// Whether `""` says that another key decides.
    pub(crate) optional: bool,
}

/// What counts in the place of a value that is not given, as an operator would write it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fallback {
    /// Nothing, and that has a meaning of its own.
    Absent,
    /// A boolean.
    Flag(bool),
    /// Lists under free names.
    Lists(&'static [(&'static str, &'static [&'static str])]),
    /// A number with a fraction.
    Number(f64),
    /// A rate and a burst.
    Rate(&'static str, u64),
    /// None: the key must be given.
    Required,
    /// The defaults of the keys within.
    Within,
    /// A string, whatever is in it.
    Text(&'static str),
    /// A list of strings.
    Texts(&'static [&'static str]),
    /// A whole number.
    Whole(u64),
}

impl Key {
    const fn new(name: &'static str, kind: Kind, default: Fallback, doc: &'static str) -> Self {
        Self { name, kind, default, example: None, doc }
    }

    /// A key without default; `example` is what the example file shows.
    const fn required(mut self, example: Fallback) -> Self {
        self.default = Fallback::Required;
        self.example = Some(example);
        self
    }

    /// A key that may be left out, which says something that no value says.
    const fn absent(mut self, example: Fallback) -> Self {
        self.default = Fallback::Absent;
        self.example = Some(example);
        self
    }

    /// The example file shows this rather than the default.
    const fn example(mut self, example: Fallback) -> Self {
        self.example = Some(example);
        self
    }

    /// Whether the key works in this build.
    pub(crate) const fn is_built(&self) -> bool {
        !matches!(self.kind, Kind::Later)
    }

    /// The keys within, of a key that holds one or more tables.
    pub(crate) const fn within(&self) -> Option<&'static [Self]> {
        match self.kind {
            Kind::Named(keys) | Kind::Section(keys) | Kind::Sections(keys) => Some(keys),
            _ => None,
        }
    }
}

/// Looks a key up.
pub(crate) fn find(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name)
}

/// The known name nearest to one that is not known, if it is near enough to be a slip: a third of its letters at
/// most are wrong, and never more than three.
pub(crate) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Nobody mistypes a key of more letters than this; the bound keeps the square small.
    if name.len() > 64 {
        return None;
    }
    let reach = (name.chars().count() / 3).clamp(1, 3);
    let distances = known.into_iter().map(|candidate| (distance(name, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= reach).min_by_key(|(distance, _)| *distance).map(|(_, near)| near)
}

/// Edits from one text to another, a swap of neighbours being one (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for (i, left) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in to.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(left != right)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *left == to[j - 1] && from[i - 1] == *right {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_have_a_nearest_key() {
        let known = ["connections", "connections_per_ip", "headers", "in_flight", "listen", "hosts"];
        let rows = [
            ("letter missing", "conections", Some("connections")),
            ("letters swapped", "haeders", Some("headers")),
            ("other letter", "in-flight", Some("in_flight")),
            ("singular", "host", Some("hosts")),
            ("something else", "timeout", None),
            ("far away", "conn", None),
            ("nothing", "", None),
        ];
        for (name, text, expected) in rows {
            assert_eq!(nearest(text, known), expected, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn names_are_unique_and_documented() {
        fn walk(path: &str, keys: &'static [Key]) -> usize {
            let mut count = 0;
            for (i, key) in keys.iter().enumerate() {
                let path = format!("{path}{}", key.name);
                assert!(keys[..i].iter().all(|earlier| earlier.name != key.name), "{path} stands twice");
                assert_eq!(key.doc.ends_with('.'), key.is_built(), "{path} has a sentence if it is built");
                count += usize::from(key.is_built()) + key.within().map_or(0, |keys| walk(&format!("{path}."), keys));
            }
            count
        }
        assert_eq!(walk("", ROOT), 219);
    }
}
