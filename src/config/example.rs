//! Holds `config.example.toml` to the key table: it is written out of it, and a test compares.
//!
//! After a change of the table, `SIWX_WRITE_EXAMPLE=1 cargo test config::example` writes the file anew.

use std::fmt::Write as _;

use super::{
    amounts, default_text,
    keys::{self, Fallback, Key, Kind},
    print::quoted,
};

const HEAD: &str = "\
# siwx-gateway: every key of the configuration, with what it does and its default.
#
# Durations are strings such as \"300ms\", \"5s\", \"10m\", \"24h\" or \"30d\"; sizes such as \"32KiB\" or \"10MiB\"; rates
# \"50/s\" or { rate = \"50/s\", burst = 100 }. In strings `${NAME}` and `${NAME:-default}` stand for environment
# variables, `${file:/path}` for the text of a file, `$${` for the two characters themselves. Unknown keys are errors.
# SIWX__SECTION__KEY in the environment goes over a key here. What stands here is the default, unless the comment
# says otherwise. `siwx-gateway check -c FILE` tells all that is wrong with a file.
";

/// Routes after the first. The second shows the one key that cannot stand beside the others, the third what only a
/// route that is paid for has.
const ROUTES: &[&[(&str, Option<&str>)]] = &[
    &[("name", Some("status")), ("path", None), ("upstream", Some("api")), ("auth", Some("none"))],
    &[
        ("name", Some("weather")),
        ("path", Some("/premium/weather")),
        ("upstream", Some("api")),
        ("auth", Some("payment")),
        ("price", Some("$0.01")),
    ],
];

#[test]
fn the_example_file_is_what_the_key_table_says() {
    let mut written = format!("{HEAD}\n");
    table(keys::ROOT, "", &mut written);
    if std::env::var_os("SIWX_WRITE_EXAMPLE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
        std::fs::write(path, &written).expect("the example file is in the checkout");
        return;
    }
    assert_eq!(default_text(), written);
}

/// Writes the keys of a table, single values first, and the tables within it after them.
fn table(keys: &[Key], path: &str, out: &mut String) {
    for key in keys
        .iter()
        .filter(|key| key.is_built() && key.within().is_none() && (key.name != "path" || !path.starts_with("route")))
    {
        single(key, key.example.unwrap_or(key.default), out);
    }
    for key in keys.iter().filter(|key| key.is_built()) {
        let (Some(inner), path) = (key.within(), format!("{path}{}", key.name)) else {
            continue;
        };
        let header = match key.kind {
            Kind::Sections(_) => format!("[[{path}]]"),
            Kind::Named(_) => format!("[{path}.api]"),
            _ => format!("[{path}]"),
        };
        out.push('\n');
        comment(key.doc, out);
        let _ = writeln!(out, "{header}");
        let path = if matches!(key.kind, Kind::Named(_)) { format!("{path}.api.") } else { format!("{path}.") };
        table(inner, &path, out);
        if key.name == "route" {
            ROUTES.iter().for_each(|route| further_route(inner, route, out));
        }
    }
}

/// A route of these keys: without a value of their own they are shown as any key is.
fn further_route(keys: &[Key], route: &[(&str, Option<&str>)], out: &mut String) {
    out.push_str("\n[[route]]\n");
    for (name, value) in route {
        match (value, keys.iter().find(|key| key.name == *name)) {
            (None, Some(key)) => single(key, key.example.unwrap_or(key.default), out),
            (value, _) => {
                let _ = writeln!(out, "{name} = {}", quoted(value.unwrap_or_default()));
            }
        }
    }
}

fn single(key: &Key, shown: Fallback, out: &mut String) {
    let unit = match key.kind {
        Kind::Choice(words) => {
            format!(" One of {}.", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
        }
        Kind::Duration(span) if !span.optional => format!(
            " A duration from {} to {}.",
            amounts::write_duration(std::time::Duration::from_millis(span.millis_min)),
            amounts::write_duration(std::time::Duration::from_millis(span.millis_max)),
        ),
        Kind::Duration(_) => " A duration.".to_owned(),
        Kind::Size(bounds) if !bounds.unlimited => format!(
            " A size from {} to {}.",
            amounts::write_size(amounts::Size::Bytes(bounds.min)),
            amounts::write_size(amounts::Size::Bytes(bounds.max)),
        ),
        Kind::Size(_) => " A size.".to_owned(),
        Kind::Whole(min, max) if max > 1 => format!(" A whole number from {min} to {max}."),
        _ => String::new(),
    };
    let default = match (key.default, key.example) {
        (Fallback::Required, _) => " No default.".to_owned(),
        (Fallback::Absent, _) => String::new(),
        (default, Some(_)) => format!(" Default: {}.", value(default)),
        (_, None) => String::new(),
    };
    comment(&format!("{}{unit}{default}", key.doc), out);
    let _ = writeln!(out, "{} = {}", key.name, value(shown));
}

fn value(default: Fallback) -> String {
    let texts = |items: &[&str]| format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "));
    match default {
        Fallback::Absent | Fallback::Required | Fallback::Within => String::new(),
        Fallback::Flag(flag) => flag.to_string(),
        Fallback::Lists([]) => "{}".to_owned(),
        Fallback::Lists(lists) => {
            let lists: Vec<_> = lists.iter().map(|(name, items)| format!("{name} = {}", texts(items))).collect();
            format!("{{ {} }}", lists.join(", "))
        }
        Fallback::Number(number) => format!("{number:?}"),
        Fallback::Rate(rate, burst) => format!("{{ rate = {}, burst = {burst} }}", quoted(rate)),
        Fallback::Text(text) => quoted(text),
        Fallback::Texts(items) => texts(items),
        Fallback::Whole(whole) => whole.to_string(),
    }
}

/// Writes a comment in lines of at most 100 characters.
fn comment(text: &str, out: &mut String) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > 100 {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}
