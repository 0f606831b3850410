//! The effective configuration as TOML: every value that counts, with its origin in a comment.
//!
//! 1. What is printed reads back as the same configuration, but for what is masked.
//! 2. Masked are secret keys, what came out of files by `${file:/path}`, URLs with a user name, and of URLs of nodes all
//!    but scheme and host.

use std::fmt::Write as _;

use super::{
    amounts,
    keys::{Key, Kind},
    report::{Report, path_of_url},
    section::{Field, Section, Setting},
    tree::Text,
};

/// What stands in the place of a secret. It is too short for an admin token, so that a printed file does not
/// start a gateway with a token that everybody knows.
const MASK: &str = "[redacted]";

/// Writes a whole configuration.
pub(super) fn toml(root: &Section, report: &Report) -> String {
    let mut out = String::new();
    table(root, "", report, &mut out);
    out
}

/// Writes a table: single values first, because TOML would count them to a table that stands before them.
fn table(section: &Section, path: &str, report: &Report, out: &mut String) {
    for key in section.keys {
        if let Some((field, written)) = section.field(key.name).and_then(|field| Some((field, value(key, field)?))) {
            let line = format!("{} = {written}", key.name);
            // A formatter that writes to a string does not fail.
            let _ = writeln!(out, "{line:<48}  # {}", report.origin(&field.place));
        }
    }
    for key in section.keys {
        let path = format!("{path}{}", key.name);
        match section.field(key.name).map(|field| &field.setting) {
            Some(Setting::Section(inner)) => {
                // A table of tables alone needs no header of its own.
                if inner.keys.iter().any(|key| key.is_built() && key.within().is_none()) {
                    let _ = writeln!(out, "\n[{path}]");
                }
                table(inner, &format!("{path}."), report, out);
            }
            Some(Setting::Sections(sections)) => {
                for inner in sections {
                    let _ = writeln!(out, "\n[[{path}]]");
                    table(inner, &format!("{path}."), report, out);
                }
            }
            Some(Setting::Named(named)) => {
                for (name, inner) in named {
                    let path = format!("{path}.{}", key_text(&name.value));
                    let _ = writeln!(out, "\n[{path}]");
                    table(inner, &format!("{path}."), report, out);
                }
            }
            _ => {}
        }
    }
}

/// A single value, or nothing for a table.
fn value(key: &Key, field: &Field) -> Option<String> {
    Some(match &field.setting {
        Setting::Duration(None) | Setting::Size(None) => "\"\"".to_owned(),
        Setting::Duration(Some(duration)) => format!("\"{}\"", amounts::write_duration(*duration)),
        Setting::Flag(flag) => flag.to_string(),
        Setting::Lists(lists) => {
            let list = if matches!(key.kind, Kind::UrlLists) { urls } else { texts };
            let items = |items: &Option<Vec<Text>>| list(items.as_deref().unwrap_or_default());
            let lists = lists.iter().map(|(name, list)| format!("{} = {}", key_text(&name.value), items(list)));
            braced(lists.collect())
        }
        Setting::Number(number) => format!("{number:?}"),
        Setting::Rate(None) => "\"off\"".to_owned(),
        Setting::Rate(Some(rate)) => {
            format!("{{ rate = \"{}\", burst = {} }}", amounts::write_rate(rate.per_second), rate.burst)
        }
        Setting::Secrets(secrets) => {
            let secrets = secrets.iter().map(|(name, value)| format!("{} = {}", key_text(&name.value), secret(value)));
            braced(secrets.collect())
        }
        Setting::Size(Some(size)) => format!("\"{}\"", amounts::write_size(*size)),
        Setting::Text(value) if matches!(key.kind, Kind::Secret) => secret(value),
        Setting::Text(value) => text(value),
        Setting::Texted(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| format!("{} = {}", key_text(&name.value), text(value)));
            braced(pairs.collect())
        }
        Setting::Texts(items) => texts(items),
        Setting::Whole(whole) => whole.to_string(),
        Setting::Named(_) | Setting::Section(_) | Setting::Sections(_) => return None,
    })
}

/// An inline table.
fn braced(pairs: Vec<String>) -> String {
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

/// That there is a secret, or none.
fn secret(text: &Text) -> String {
    if text.value.is_empty() { "\"\"".to_owned() } else { format!("\"{MASK}\"") }
}

fn texts(items: &[Text]) -> String {
    format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", "))
}

fn urls(items: &[Text]) -> String {
    format!("[{}]", items.iter().map(url).collect::<Vec<_>>().join(", "))
}

/// Scheme and host of a URL, and that there is more.
fn url(url: &Text) -> String {
    match path_of_url(&url.value) {
        Some(path) if matches!(&url.value[path..], "" | "/") => text(url),
        Some(path) => text(&Text { value: format!("{}/{MASK}", &url.value[..path]), ..url.clone() }),
        None => format!("\"{MASK}\""),
    }
}

fn text(text: &Text) -> String {
    let hidden = !text.files.is_empty() || (text.value.contains("://") && text.value.contains('@'));
    if hidden { format!("\"{MASK}\"") } else { quoted(&text.value) }
}

/// A TOML basic string. `${` would be read as a reference, so it is written as the literal it was.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.replace("${", "$${").chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key as it stands before `=` or within a header.
fn key_text(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { name.to_owned() } else { quoted(name) }
}
