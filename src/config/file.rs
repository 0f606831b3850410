//! The shape of a configuration: every key of the table with a value of its kind, read or by default.
//!
//! 1. What is here has the right kind and is within its own bounds. Whether it makes sense beside the other keys
//!    is for [`super::resolve`].
//! 2. All unknown keys, keys not built yet, missing keys and wrong values are told, not just the first. A wrong
//!    value then counts as its default, so that reading goes on.
//! 3. serde's `deny_unknown_fields` would stop at the first fault, which is why the table is walked by hand.

use std::{collections::BTreeMap, time::Duration};

use super::{
    amounts::{self, Size},
    keys::{self, Bounds, Fallback, Key, Kind, Span},
    report::{Place, Report},
    section::{Field, Section, Setting},
    tree::{Entry, Node, Text, Value},
};
use crate::gate::settings::Rate;

/// Reads a table by its keys. `path` is its name with a dot at the end, empty for the root.
pub(crate) fn section(
    keys: &'static [Key],
    entries: Vec<Entry>,
    place: Place,
    path: &str,
    report: &mut Report,
) -> Section {
    let mut fields = BTreeMap::new();
    for entry in entries {
        let Some(key) = known(keys, &entry, path, report) else {
            continue;
        };
        // Only a fault of the value leaves nothing; the default takes its place below, without a second report.
        let field = setting(key, entry.node, &entry.place, path, report);
        fields.insert(key.name, field);
    }
    let mut section = Section::new(keys, place);
    for key in keys {
        let field = match fields.remove(key.name) {
            Some(Some(field)) => Some(field),
            Some(None) => default(key, path, &section.place, report, true),
            None => default(key, path, &section.place, report, false),
        };
        if let Some(field) = field {
            section.put(key.name, field);
        }
    }
    section
}

/// The key of an entry, or a fault.
fn known(keys: &'static [Key], entry: &Entry, path: &str, report: &mut Report) -> Option<&'static Key> {
    let key = keys::find(keys, &entry.name);
    if let Some(key) = key.filter(|key| key.is_built()) {
        return Some(key);
    }
    mask(&entry.node, report);
    if key.is_some() {
        report.error(&entry.place, format!("`{path}{}` is not built yet", entry.name), "leave it out");
        return None;
    }
    let hint = match keys::nearest(&entry.name, keys.iter().map(|key| key.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if !path.is_empty() && keys::find(keys::ROOT, &entry.name).is_some() => {
            // Below a table's header everything is that table's, which is easily forgotten.
            "it stands at the top of the file, above the first `[table]`".to_owned()
        }
        None => {
            let names: Vec<_> = keys.iter().filter(|key| key.is_built()).map(|key| key.name).collect();
            format!("known keys are: {}", names.join(", "))
        }
    };
    report.error(&entry.place, format!("unknown key `{}`", super::tree::quotable(&entry.name)), hint);
    None
}

/// Hides every string within a value.
fn mask(node: &Node, report: &mut Report) {
    match (&node.value, &node.place) {
        (Value::Faulty | Value::Text(_), Place::File(span)) => report.mask_literal(span.clone()),
        (Value::List(nodes), _) => nodes.iter().for_each(|node| mask(node, report)),
        (Value::Table(entries), _) => entries.iter().for_each(|entry| mask(&entry.node, report)),
        _ => {}
    }
}

/// Hides a value of whatever shape that stands in the place of a secret.
fn mask_whole(node: &Node, report: &mut Report) {
    if let Place::File(span) = &node.place {
        report.mask_literal(span.clone());
    }
    mask(node, report);
}

/// Hides all but scheme and host of the URLs of a list; of anything else all of it.
fn mask_urls(node: &Node, report: &mut Report) {
    let Value::List(nodes) = &node.value else {
        return mask_whole(node, report);
    };
    for node in nodes {
        match (&node.value, &node.place) {
            (Value::Faulty | Value::Text(_), Place::File(span)) => report.mask_url(span.clone()),
            _ => mask_whole(node, report),
        }
    }
}

/// The default of a key, or nothing where that is its meaning. A key without default is a fault unless it was
/// `given`, in which case its value was one.
fn default(key: &'static Key, path: &str, within: &Place, report: &mut Report, given: bool) -> Option<Field> {
    let node = match key.default {
        Fallback::Absent => return None,
        Fallback::Required => {
            if !given {
                report.error(within, format!("missing key `{path}{}`", key.name), "it has no default");
            }
            return None;
        }
        default => Node { value: written(default), place: Place::Nowhere },
    };
    setting(key, node, &Place::Nowhere, path, report)
}

/// A default as if it had been read.
fn written(default: Fallback) -> Value {
    let node = |value| Node { value, place: Place::Nowhere };
    let entry = |name: &str, value| Entry { name: name.to_owned(), place: Place::Nowhere, node: node(value) };
    let text = |text: &str| Value::Text(Text::new(text, Place::Nowhere));
    let texts = |texts: &[&str]| Value::List(texts.iter().map(|item| node(text(item))).collect());
    match default {
        Fallback::Absent | Fallback::Required | Fallback::Within => Value::Table(Vec::new()),
        Fallback::Flag(flag) => Value::Flag(flag),
        Fallback::Lists(lists) => Value::Table(lists.iter().map(|(name, items)| entry(name, texts(items))).collect()),
        Fallback::Number(number) => Value::Number(number),
        Fallback::Rate(rate, burst) => {
            Value::Table(vec![entry("rate", text(rate)), entry("burst", Value::Whole(burst.cast_signed()))])
        }
        Fallback::Text(value) => text(value),
        Fallback::Texts(items) => texts(items),
        Fallback::Whole(whole) => Value::Whole(whole.cast_signed()),
    }
}

/// Reads the value of a key.
fn setting(key: &'static Key, node: Node, at: &Place, path: &str, report: &mut Report) -> Option<Field> {
    match (key.kind, &node.value) {
        (Kind::Secrets, Value::Table(entries)) => entries.iter().for_each(|entry| mask_whole(&entry.node, report)),
        (Kind::UrlLists, Value::Table(entries)) => entries.iter().for_each(|entry| mask_urls(&entry.node, report)),
        (Kind::Secret | Kind::Secrets | Kind::UrlLists, _) => mask_whole(&node, report),
        _ => {}
    }
    if matches!(node.value, Value::Faulty) {
        return None;
    }
    let inner = || format!("{path}{}.", key.name);
    let place = node.place.clone();
    let setting = match (key.kind, node.value) {
        (Kind::Section(keys), Value::Table(entries)) => {
            // A table's own place is its key: its span ends at the bracket of its header.
            Setting::Section(section(keys, entries, at.clone(), &inner(), report))
        }
        (Kind::Sections(keys), Value::List(nodes)) => Setting::Sections(sections(keys, nodes, &inner(), report)),
        (Kind::Sections(_), Value::Table(entries)) if entries.is_empty() && place == Place::Nowhere => {
            Setting::Sections(Vec::new())
        }
        (Kind::Named(keys), Value::Table(entries)) => Setting::Named(named(keys, entries, &inner(), report)),
        (Kind::TextOr(keys), Value::Table(entries)) => {
            Setting::Section(section(keys, entries, at.clone(), &inner(), report))
        }
        (Kind::Secrets, Value::Table(entries)) => Setting::Secrets(named_texts(entries, &inner(), report)),
        (Kind::Texted, Value::Table(entries)) => Setting::Texted(named_texts(entries, &inner(), report)),
        (Kind::Lists | Kind::UrlLists, Value::Table(entries)) => Setting::Lists(lists(entries, &inner(), report)),
        (Kind::Texts, Value::List(nodes)) => Setting::Texts(texts(nodes, &format!("{path}{}", key.name), report)?),
        (Kind::Rate, Value::Table(entries)) => Setting::Rate(rate(entries, at, &inner(), report)),
        (_, value) => {
            let node = Node { value, place: place.clone() };
            match scalar(key.kind, &node) {
                Ok(setting) => setting,
                Err(expected) => {
                    let found = found(key, &node.value);
                    let title = format!("`{path}{}`: expected {expected}, found {found}", key.name);
                    report.error(&place, title, amended(key.kind, &node));
                    return None;
                }
            }
        }
    };
    Some(Field { setting, place: if place == Place::Nowhere { place } else { value_place(place, at) } })
}

/// Where a value is: tables are shown at their key, because their span is that of a header.
fn value_place(place: Place, at: &Place) -> Place {
    match (&place, at) {
        (Place::File(value), Place::File(key)) if value.start < key.start => at.clone(),
        _ => place,
    }
}

/// What an error says was found; nothing of a secret.
fn found(key: &Key, value: &Value) -> String {
    match (key.kind, value) {
        (Kind::Secret | Kind::Secrets | Kind::UrlLists, value) => value.kind().to_owned(),
        // Without its quotes `"true"` would look like what was expected.
        (Kind::Flag | Kind::Number(..) | Kind::Whole(..), Value::Text(text)) => format!("the string `{}`", text.shown),
        (_, Value::Text(text)) => format!("`{}`", text.shown),
        (_, Value::Whole(whole)) => format!("`{whole}`"),
        (_, Value::Number(number)) => format!("`{number}`"),
        (_, Value::Flag(flag)) => format!("`{flag}`"),
        (_, other) => other.kind().to_owned(),
    }
}

/// What is to be done about a value of another kind, where quotes or brackets are all that is the matter.
fn amended(kind: Kind, node: &Node) -> String {
    if matches!(node.place, Place::Environment(_) | Place::Flag(_)) {
        return String::new();
    }
    match (kind, &node.value) {
        (Kind::Texts, Value::Text(text)) => format!("a list of one is `[\"{}\"]`", text.shown),
        (Kind::Flag | Kind::Number(..) | Kind::Whole(..), Value::Text(text)) => {
            let bare = Node { value: Value::Text(text.clone()), place: Place::Flag(String::new()) };
            if scalar(kind, &bare).is_ok() { "without quotes".to_owned() } else { String::new() }
        }
        (Kind::Text, Value::Whole(_) | Value::Number(_) | Value::Flag(_)) => "in quotes".to_owned(),
        _ => String::new(),
    }
}

/// Reads a value that is neither table nor list, or says what was expected. From the environment and flags come
/// strings alone, so numbers and booleans may be strings there.
fn scalar(kind: Kind, node: &Node) -> Result<Setting, String> {
    let outside = matches!(node.place, Place::Environment(_) | Place::Flag(_));
    match (kind, &node.value) {
        (Kind::Choice(words), Value::Text(text)) if words.contains(&text.value.as_str()) => {
            Ok(Setting::Text(text.clone()))
        }
        (Kind::Choice(words), _) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            Err(format!("one of {}", words.join(", ")))
        }
        (Kind::Duration(span), Value::Text(text)) => duration(span, &text.value),
        (Kind::Duration(_), _) => Err(amounts::AmountError::Duration.expected()),
        (Kind::Flag, Value::Flag(flag)) => Ok(Setting::Flag(*flag)),
        (Kind::Flag, Value::Text(text)) if outside => {
            text.value.parse().map(Setting::Flag).map_err(|_| "`true` or `false`".to_owned())
        }
        (Kind::Flag, _) => Err("`true` or `false`".to_owned()),
        (Kind::Number(min, max), value) => {
            let number = match value {
                Value::Number(number) => Some(*number),
                Value::Whole(whole) => i32::try_from(*whole).ok().map(f64::from),
                Value::Text(text) if outside => text.value.parse().ok(),
                _ => None,
            };
            let number = number.filter(|number| (min..=max).contains(number));
            number.map(Setting::Number).ok_or_else(|| format!("a number from {min} to {max}"))
        }
        (Kind::Rate, Value::Text(text)) if text.value == "off" => Ok(Setting::Rate(None)),
        (Kind::Rate, Value::Text(text)) => {
            amounts::rate(&text.value).map(|rate| Setting::Rate(Some(rate))).map_err(amounts::AmountError::expected)
        }
        (Kind::Rate, _) => Err("a rate such as `50/s`, a table of `rate` and `burst`, or `off`".to_owned()),
        (Kind::Secret | Kind::Text | Kind::TextOr(_), Value::Text(text)) => Ok(Setting::Text(text.clone())),
        (Kind::Secret | Kind::Text, _) => Err("a string".to_owned()),
        (Kind::TextOr(_), _) => Err("a string or a table".to_owned()),
        (Kind::Size(bounds), Value::Text(text)) => size(bounds, &text.value),
        (Kind::Size(_), _) => Err(amounts::AmountError::Size.expected()),
        (Kind::Whole(min, max), value) => {
            let whole = match value {
                Value::Whole(whole) => u64::try_from(*whole).ok(),
                Value::Text(text) if outside => text.value.parse().ok(),
                _ => None,
            };
            let whole = whole.filter(|whole| (min..=max).contains(whole));
            whole.map(Setting::Whole).ok_or_else(|| format!("a whole number from {min} to {max}"))
        }
        (Kind::Texts, _) => Err("an array of strings".to_owned()),
        (Kind::Later | Kind::Lists | Kind::Named(_) | Kind::Secrets | Kind::Section(_), _)
        | (Kind::Texted | Kind::UrlLists, _) => Err("a table".to_owned()),
        (Kind::Sections(_), _) => Err("an array of tables, `[[…]]`".to_owned()),
    }
}

fn duration(span: Span, text: &str) -> Result<Setting, String> {
    if span.optional && text.is_empty() {
        return Ok(Setting::Duration(None));
    }
    let duration = amounts::duration(text).map_err(amounts::AmountError::expected)?;
    let (min, max) = (Duration::from_millis(span.millis_min), Duration::from_millis(span.millis_max));
    if !(min..=max).contains(&duration) {
        return Err(format!("from {} to {}", amounts::write_duration(min), amounts::write_duration(max)));
    }
    if span.whole_secs && duration.subsec_nanos() != 0 {
        return Err("whole seconds".to_owned());
    }
    Ok(Setting::Duration(Some(duration)))
}

fn size(bounds: Bounds, text: &str) -> Result<Setting, String> {
    if bounds.optional && text.is_empty() {
        return Ok(Setting::Size(None));
    }
    if bounds.unlimited && text == "unlimited" {
        return Ok(Setting::Size(Some(Size::Unlimited)));
    }
    let bytes = amounts::bytes(text).map_err(amounts::AmountError::expected)?;
    if !(bounds.min..=bounds.max).contains(&bytes) {
        let (min, max) = (Size::Bytes(bounds.min), Size::Bytes(bounds.max));
        return Err(format!("from {} to {}", amounts::write_size(min), amounts::write_size(max)));
    }
    Ok(Setting::Size(Some(Size::Bytes(bytes))))
}

fn rate(entries: Vec<Entry>, at: &Place, path: &str, report: &mut Report) -> Option<Rate> {
    let table = section(keys::RATE, entries, at.clone(), path, report);
    let rate = table.given("rate")?;
    match amounts::rate(&rate.value) {
        Ok(read) => {
            let burst = table.whole_if_given("burst").and_then(|burst| u32::try_from(burst).ok());
            Some(Rate { per_second: read.per_second, burst: burst.unwrap_or(read.burst) })
        }
        Err(error) => {
            report.error(&rate.place, format!("`{path}rate`: {error}, found `{}`", rate.shown), "");
            None
        }
    }
}

/// Reads a list of strings; nothing if only faults were in it, so that it is not called empty besides.
fn texts(nodes: Vec<Node>, path: &str, report: &mut Report) -> Option<Vec<Text>> {
    let mut texts = Vec::with_capacity(nodes.len());
    let mut faulty = false;
    for node in nodes {
        match node.value {
            Value::Faulty => faulty = true,
            Value::Text(text) => texts.push(text),
            other => {
                faulty = true;
                let title = format!("`{path}`: expected a string, found {}", other.kind());
                report.error(&node.place, title, "");
            }
        }
    }
    (!faulty || !texts.is_empty()).then_some(texts)
}

fn lists(entries: Vec<Entry>, path: &str, report: &mut Report) -> Vec<(Text, Option<Vec<Text>>)> {
    let mut lists = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = Text::new(&entry.name, entry.place);
        match entry.node.value {
            Value::List(nodes) => {
                let path = format!("{path}{}", name.shown);
                let texts = texts(nodes, &path, report);
                lists.push((name, texts));
            }
            other => {
                let title = format!("`{path}{}`: expected an array of strings, found {}", name.shown, other.kind());
                report.error(&entry.node.place, title, "");
                lists.push((name, None));
            }
        }
    }
    lists
}

fn named_texts(entries: Vec<Entry>, path: &str, report: &mut Report) -> Vec<(Text, Text)> {
    let mut texts = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = Text::new(&entry.name, entry.place);
        match entry.node.value {
            Value::Text(text) => texts.push((name, text)),
            Value::Faulty => {}
            other => {
                let title = format!("`{path}{}`: expected a string, found {}", name.shown, other.kind());
                report.error(&entry.node.place, title, "");
            }
        }
    }
    texts
}

fn named(keys: &'static [Key], entries: Vec<Entry>, path: &str, report: &mut Report) -> Vec<(Text, Section)> {
    let mut named = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = Text::new(&entry.name, entry.place.clone());
        match entry.node.value {
            Value::Table(inner) => {
                let path = format!("{path}{}.", name.shown);
                named.push((name, section(keys, inner, entry.place, &path, report)));
            }
            other => {
                let title = format!("`{path}{}`: expected a table, found {}", name.shown, other.kind());
                report.error(&entry.node.place, title, "");
            }
        }
    }
    named
}

fn sections(keys: &'static [Key], nodes: Vec<Node>, path: &str, report: &mut Report) -> Vec<Section> {
    let mut read = Vec::with_capacity(nodes.len());
    for node in nodes {
        match node.value {
            Value::Table(entries) => read.push(section(keys, entries, node.place, path, report)),
            other => {
                let title = format!("`{}`: expected a table, found {}", path.trim_end_matches('.'), other.kind());
                report.error(&node.place, title, "");
            }
        }
    }
    read
}
