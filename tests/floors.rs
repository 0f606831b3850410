//! The wall between rooms. A package has none of its own: any module may name any other. So this reads the paths
//! under `src` and fails on every one that does not lead down.
//!
//! 1. Rooms are the direct children of `src`. A room uses rooms on floors below its own, and itself.
//! 2. What counts is code, tests inside `src` included: paths that begin with `crate`, `$crate`, `self`, `super` or
//!    the library's own name, in expressions, in `use` with its groups, and in `pub(in …)`. Comments, documentation
//!    and string literals do not.
//! 3. Nothing takes the crate as a whole (`use crate::*`, `use crate as …`, `super::*` out of a room): what such a
//!    name leads to cannot be read off the source.
//! 4. The map below, the files under `src` and the crate's documentation name the same rooms.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Rooms by floor, the lowest first.
const FLOORS: &[&[&str]] = &[
    &["caip", "json", "metrics", "secret", "time"],
    &["siwx"],
    &["chain", "session", "x402"],
    &["credential", "policy"],
    &["outbound"],
    &["facilitator", "rpc", "store"],
    &["gate"],
    &["edge"],
    &["config"],
    &["app"],
    &["cli"],
];

/// The roots of library and command stand above all floors: one declares the rooms, the other opens the door.
const ROOTS: [&str; 2] = ["lib", "main"];

/// The name under which the command sees the library.
const LIBRARY: &str = "siwx_gateway";

/// A piece of source: a name, `::`, or any other single character.
#[derive(Debug, Clone, Copy)]
struct Token<'s> {
    text: &'s str,
    line: usize,
}

/// A path that may leave its room: where it stands and what it names, from the crate's root.
#[derive(Debug, PartialEq, Eq)]
struct Use {
    line: usize,
    path: Vec<String>,
}

/// A path that does not lead down.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    line: usize,
    what: String,
}

/// A name, a file, its source, and the lines and rooms of its breaches.
type Row<'a> = (&'a str, &'a str, &'a str, &'a [(usize, &'a str)]);

#[test]
fn every_path_leads_down() {
    let mut report = String::new();
    let mut uses_seen = 0;
    for file in sources(&src()) {
        let source = fs::read_to_string(&file).expect("a file that was just listed");
        let inside = file.strip_prefix(src()).expect("a file under src");
        uses_seen += uses(&source, &module_of(inside)).len();
        for breach in breaches(inside, &source) {
            writeln!(report, "src/{}:{}: {}", inside.display(), breach.line, breach.what).expect("a string");
        }
    }
    assert!(report.is_empty(), "\n{report}");
    // A reader that sees nothing finds no fault either.
    assert!(uses_seen > 200, "only {uses_seen} paths were seen under src");
}

#[test]
fn the_map_the_files_and_the_documentation_name_the_same_rooms() {
    let on_map: BTreeSet<_> = FLOORS.iter().flat_map(|floor| floor.iter().copied()).map(str::to_owned).collect();
    let there: BTreeSet<_> = fs::read_dir(src())
        .expect("src can be listed")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .filter(|name| !ROOTS.contains(&name.as_str()))
        .collect();
    assert_eq!(on_map, there);

    let library = fs::read_to_string(src().join("lib.rs")).expect("src/lib.rs");
    let documentation: String = library.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let words: BTreeSet<_> = documentation.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let unnamed: Vec<_> = on_map.iter().filter(|room| !words.contains(room.as_str())).collect();
    assert!(unnamed.is_empty(), "the crate's documentation in src/lib.rs does not name the rooms {unnamed:?}");
}

#[test]
fn each_syntax_of_a_breach_is_caught() {
    let rows: &[Row<'_>] = &[
        ("down", "gate/mod.rs", "use crate::policy::rule::Rule;", &[]),
        ("itself", "gate/mod.rs", "use crate::gate::limits::Rate;", &[]),
        ("up", "caip.rs", "\nuse crate::siwx::Message;", &[(2, "siwx")]),
        ("the same floor", "credential/mod.rs", "use crate::policy::rule::Rule;", &[(1, "policy")]),
        ("re-exported", "siwx/mod.rs", "pub use crate::chain::verify;", &[(1, "chain")]),
        ("renamed", "siwx/mod.rs", "use crate::chain as links;", &[(1, "chain")]),
        (
            "a group",
            "chain/mod.rs",
            "use crate::{\n    caip::ChainId,\n    gate,\n    policy::{rule::{self, Rule}, decision as d},\n    siwx::*,\n};",
            &[(3, "gate"), (4, "policy"), (4, "policy"), (4, "policy")],
        ),
        ("a glob", "time.rs", "use crate::gate::*;", &[(1, "gate")]),
        ("an expression", "siwx/claims.rs", "fn f() -> bool { 1 < crate::edge::tls::LIMIT }", &[(1, "edge")]),
        (
            "with arguments",
            "siwx/claims.rs",
            "fn f() { crate::store::open::<u8>(crate::app::A) }",
            &[(1, "store"), (1, "app")],
        ),
        ("a type", "time.rs", "struct S<'a>(&'a crate::store::Store);", &[(1, "store")]),
        ("of a macro", "time.rs", "macro_rules! m { () => { $crate::config::load() } }", &[(1, "config")]),
        ("a visibility", "time.rs", "pub(in crate::store) struct S;", &[(1, "store")]),
        ("a visibility at home", "store/sqlite/file.rs", "pub(in crate::store) struct S; pub(crate) struct T;", &[]),
        ("super inside a room", "gate/cache.rs", "use super::{limits::Rate, view};", &[]),
        ("super out of a room", "gate/cache.rs", "use super::super::edge::Answer;", &[(1, "edge")]),
        ("super out of a one-file room", "secret.rs", "use super::time::UnixTime;", &[(1, "time")]),
        ("super in a group", "gate/cache.rs", "use super::{super::config::Config, view};", &[(1, "config")]),
        ("self and super", "gate/mod.rs", "use self::super::cli::main;", &[(1, "cli")]),
        (
            "super in a test module",
            "time.rs",
            "mod tests { use super::*; use super::super::gate::Gate; }",
            &[(1, "gate")],
        ),
        ("super after a test module", "time.rs", "mod tests { fn f() { {} } }\nuse super::gate::Gate;", &[(2, "gate")]),
        ("a test module", "time.rs", "#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}", &[(3, "store")]),
        ("a raw name", "time.rs", "use crate::r#gate::Gate;", &[(1, "gate")]),
        ("no room", "gate/mod.rs", "use crate::helpers::x;", &[(1, "helpers")]),
        ("the crate", "gate/mod.rs", "use crate as root;", &[(1, "crate")]),
        ("all of the crate", "gate/mod.rs", "use crate::*;", &[(1, "crate")]),
        ("the crate in a group", "gate/mod.rs", "use crate::{self as root};", &[(1, "crate")]),
        ("the crate by super", "gate/mod.rs", "use super as root; use super::*;", &[(1, "crate"), (1, "crate")]),
        ("the crate from a test module", "time.rs", "mod tests { use super::super::*; }", &[(1, "crate")]),
        ("the crate as an extern", "time.rs", "extern crate self as root;", &[(1, "crate")]),
        ("by the library's name", "time.rs", "fn f() { siwx_gateway::cli::main() }", &[(1, "cli")]),
        ("a command above all", "main.rs", "fn main() { siwx_gateway::cli::main() }", &[]),
        (
            "neither comments nor strings nor characters",
            "caip.rs",
            "//! crate::gate\n/* crate::a /* crate::b */ crate::c */ fn f<'crate_>() { (\"crate::d\", r#\"crate::\"e\"#, \
             b\"\\\"crate::f\", '\"', '\\'', 'é') }",
            &[],
        ),
        (
            "after all of those",
            "caip.rs",
            "fn f() { ('\"', \"\\\\\", r\"\\\", b'\\'', 1.0) } use crate::gate;",
            &[(1, "gate")],
        ),
    ];
    for (name, file, source, expected) in rows {
        let found: Vec<_> = breaches(Path::new(file), source)
            .into_iter()
            .map(|breach| (breach.line, breach.what.split('`').nth(3).expect("a quoted name").to_owned()))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(line, room)| (*line, (*room).to_owned())).collect();
        assert_eq!(found, expected, "{name}");
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All files under a folder, in the order of their names.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a folder that can be listed")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    let files = entries.into_iter().flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The module that a file is, from the crate's root.
fn module_of(inside: &Path) -> Vec<String> {
    let names = inside.with_extension("");
    let mut module: Vec<_> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod" || (module.len() == 1 && last == "lib")) {
        module.pop();
    }
    module
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// What one file breaks.
fn breaches(inside: &Path, source: &str) -> Vec<Breach> {
    let module = module_of(inside);
    let Some(room) = module.first().filter(|room| !ROOTS.contains(&room.as_str())) else {
        return Vec::new();
    };
    let Some(floor) = floor_of(room) else {
        return vec![Breach { line: 1, what: format!("the room `{room}` is not on the map `FLOORS`") }];
    };
    let breach = |used: &Use| {
        let what = match used.path.first().map(String::as_str) {
            Some(other) if other == room => return None,
            None | Some("*") => format!("`{room}` takes the `crate` as a whole, where a room should be named"),
            Some(other) => match floor_of(other) {
                Some(below) if below < floor => return None,
                Some(above) => format!("`{room}` on floor {floor} uses `{other}` on floor {above}"),
                None => format!("`{room}` uses `{other}`, which is not on the map"),
            },
        };
        Some(Breach { line: used.line, what })
    };
    uses(source, &module).iter().filter_map(breach).collect()
}

/// Every path of a file that begins at the crate's root or is relative to its module.
fn uses(source: &str, module: &[String]) -> Vec<Use> {
    let tokens = tokens(source);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut found = Vec::new();
    let mut module = module.to_vec();
    // Depths of braces at which an inline module ends.
    let mut inline = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let before = if at == 0 { "" } else { text(at - 1) };
        match text(at) {
            "mod" if text(at + 2) == "{" => {
                module.push(text(at + 1).to_owned());
                inline.push(depth);
                depth += 1;
                at += 3;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inline.last() == Some(&depth) {
                    inline.pop();
                    module.pop();
                }
            }
            "self" if before == "crate" => found.push(Use { line: tokens[at].line, path: Vec::new() }),
            "crate" | "self" | "super" | LIBRARY if before != "::" && matches!(text(at + 1), "::" | "as") => {
                let mut written = Vec::new();
                let line = tokens[at].line;
                at = branches(&tokens, at + 1, line, &[text(at)], &mut written);
                found.extend(written.iter().map(|(line, path)| Use { line: *line, path: from_root(path, &module) }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Follows a path, and all branches of its groups, from behind its last segment so far; gives the place behind it.
fn branches<'s>(
    tokens: &[Token<'s>],
    at: usize,
    line: usize,
    path: &[&'s str],
    found: &mut Vec<(usize, Vec<&'s str>)>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let is_name = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if text(at) != "::" {
        found.push((line, path.to_vec()));
        return if text(at) == "as" { at + 2 } else { at };
    }
    let next = at + 1;
    if text(next) == "*" || is_name(text(next)) {
        return branches(tokens, next + 1, tokens[next].line, &[path, &[text(next)]].concat(), found);
    }
    if text(next) != "{" {
        found.push((line, path.to_vec()));
        return next;
    }
    let mut at = next + 1;
    while at < tokens.len() && text(at) != "}" {
        at = match text(at) {
            "," => at + 1,
            name => branches(tokens, at + 1, tokens[at].line, &[path, &[name]].concat(), found),
        };
    }
    at + 1
}

/// A path as written in a module, from the crate's root.
fn from_root(written: &[&str], module: &[String]) -> Vec<String> {
    let mut path = match written.first() {
        Some(&"self" | &"super") => module.to_vec(),
        _ => Vec::new(),
    };
    for segment in written {
        match *segment {
            "self" | "crate" | LIBRARY => {}
            "super" => drop(path.pop()),
            name => path.push(name.to_owned()),
        }
    }
    path
}

/// The names and signs of Rust source, without comments and literals.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            '\'' => character_or_lifetime(rest),
            ':' if rest.starts_with("::") => {
                found.push(Token { text: "::", line });
                2
            }
            _ if first.is_alphanumeric() || first == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                match (name, raw_quoted(after)) {
                    ("r" | "br" | "cr", Some(length)) => end + length,
                    // `r#name`: the name follows by itself.
                    ("r", None) if after.starts_with('#') => end + 1,
                    // `b"…"` and `b'…'` leave a lone `b`, which harms nobody.
                    _ => {
                        found.push(Token { text: name, line });
                        end
                    }
                }
            }
            _ => {
                if !first.is_whitespace() {
                    found.push(Token { text: &rest[..first.len_utf8()], line });
                }
                first.len_utf8()
            }
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// The length of a block comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let (step, change) = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string literal with escapes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of a raw string literal behind its prefix, if it is one.
fn raw_quoted(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let body = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(hashes + 1 + body.find(&end)? + end.len())
}

/// The length of a character literal, or of the quote of a lifetime.
fn character_or_lifetime(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let behind = at + escaped.len_utf8();
            behind + text[behind..].find('\'').map_or(0, |end| end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}
