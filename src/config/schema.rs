//! The JSON Schema of the file, for editors, out of the key table.
//!
//! It says what a key may hold, not what goes together: `check` is the judge. Strings that hold an amount take a
//! reference such as `${NAME}` as well, so their patterns allow for one.

use serde_json::{Map, Value, json};

use super::keys::{self, Fallback, Key, Kind};

/// What any string may hold in place of its value.
const REFERENCE: &str = r"\$\{";

/// The whole schema.
pub(super) fn of_file() -> Value {
    let mut schema = object(keys::ROOT);
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), "siwx-gateway.toml".into());
    Value::Object(schema)
}

fn object(keys: &[Key]) -> Map<String, Value> {
    let built = || keys.iter().filter(|key| key.is_built());
    let properties: Map<_, _> = built().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<_> = built().filter(|key| is_required(key)).map(|key| key.name).collect();
    let mut object = Map::new();
    object.insert("type".to_owned(), "object".into());
    object.insert("additionalProperties".to_owned(), false.into());
    object.insert("required".to_owned(), required.into());
    object.insert("properties".to_owned(), properties.into());
    object
}

/// Whether a file without the key is refused: it has no default, or it is a table that is always there and holds a
/// key without one.
fn is_required(key: &Key) -> bool {
    match (key.default, key.kind) {
        (Fallback::Required, _) => true,
        (Fallback::Within, Kind::Section(keys)) => keys.iter().any(is_required),
        _ => false,
    }
}

fn property(key: &Key) -> Value {
    let mut property = match of_kind(key.kind) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    property.insert("description".to_owned(), key.doc.into());
    if let Some(default) = default(key.default) {
        property.insert("default".to_owned(), default);
    }
    Value::Object(property)
}

fn of_kind(kind: Kind) -> Value {
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    match kind {
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Duration(span) => amount("[0-9]+(ms|s|m|h|d)", &[(span.optional, "")]),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Later => json!(false),
        Kind::Lists | Kind::UrlLists => json!({ "type": "object", "additionalProperties": texts() }),
        Kind::Named(keys) => {
            json!({ "type": "object", "minProperties": 1, "maxProperties": 8, "additionalProperties": object(keys),
                    "propertyNames": { "pattern": "^[a-z0-9_-]{1,32}$" } })
        }
        Kind::Number(min, max) => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Rate => json!({ "anyOf": [amount("[0-9]+/(s|m|h)", &[(true, "off")]), object(keys::RATE)] }),
        Kind::Secret | Kind::Text => json!({ "type": "string" }),
        Kind::Secrets | Kind::Texted => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Section(keys) => Value::Object(object(keys)),
        Kind::Sections(keys) => json!({ "type": "array", "items": object(keys) }),
        Kind::Size(bounds) => {
            amount("[0-9]+(B|KiB|MiB|GiB)", &[(bounds.unlimited, "unlimited"), (bounds.optional, "")])
        }
        Kind::TextOr(keys) => json!({ "anyOf": [{ "type": "string" }, object(keys)] }),
        Kind::Texts => texts(),
        Kind::Whole(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
    }
}

/// A string of an amount, or of a word that is allowed.
fn amount(pattern: &str, words: &[(bool, &str)]) -> Value {
    let words: String = words.iter().filter(|(allowed, _)| *allowed).map(|(_, word)| format!("|{word}")).collect();
    json!({ "type": "string", "pattern": format!("^({pattern}{words})$|{REFERENCE}") })
}

fn default(default: Fallback) -> Option<Value> {
    Some(match default {
        Fallback::Absent | Fallback::Required | Fallback::Within => return None,
        Fallback::Flag(flag) => flag.into(),
        Fallback::Lists(lists) => {
            Value::Object(lists.iter().map(|(name, items)| ((*name).to_owned(), json!(items))).collect())
        }
        Fallback::Number(number) => number.into(),
        Fallback::Rate(rate, burst) => json!({ "rate": rate, "burst": burst }),
        Fallback::Text(text) => text.into(),
        Fallback::Texts(texts) => json!(texts),
        Fallback::Whole(whole) => whole.into(),
    })
}
