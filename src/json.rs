//! JSON objects that have one reading, and the text of each part as it was written.
//!
//! 1. An object that names a member twice is refused at any depth: JSON leaves open which of the two counts (RFC 8259
//!    section 4), and another reader of the same bytes may choose the other. Names are compared as they read, not as
//!    they are escaped.
//! 2. Depth is bounded, and nothing but white space follows the object. How long a text may be is its receiver's to say,
//!    before it comes here.
//! 3. What must be given back unchanged is kept as the text it was ([`members_of`], [`items_of`]): a number that was
//!    read and written again may be another one.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value, error::Category};
use thiserror::Error;

/// Objects and lists inside each other at most. The deepest that clients send, the schema of x402's proofs, has seven.
pub const DEPTH_MAX: usize = 32;

/// Why bytes are not one object with one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JsonError {
    /// More objects or lists inside each other than are read.
    #[error("expected at most {DEPTH_MAX} objects and lists inside each other, found more")]
    Depth,
    /// A member is there twice.
    #[error("expected each member of an object once, found one twice")]
    Duplicate,
    /// Not one JSON value in UTF-8.
    #[error("expected one JSON value, found something else")]
    Form,
    /// A JSON value of another kind.
    #[error("expected a JSON object, found {0}")]
    Kind(&'static str),
    /// The value is `null`.
    #[error("expected a JSON object, found null")]
    Null,
}

/// Reads one JSON object that fills the bytes, its members in their order.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Once { depth: 0 }.deserialize(&mut reader).map_err(|error| refusal(&error))?;
    reader.end().map_err(|error| refusal(&error))?;
    match value {
        Value::Object(members) => Ok(members),
        Value::Null => Err(JsonError::Null),
        other => Err(JsonError::Kind(kind(&other))),
    }
}

/// What a value is, for a sentence that says what was found.
pub const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The members of an object that [`parse_object`] has read, each with its text as it was written. Of a text that was
/// not read before, it gives what it can make of it.
pub fn members_of(object: &str) -> Vec<(String, &str)> {
    let mut members = Vec::new();
    let mut cursor = Cursor::after(object, b'{');
    while let Some(name) = cursor.value() {
        cursor.skip(b':');
        let (Ok(name), Some(value)) = (serde_json::from_str(name), cursor.value()) else {
            break;
        };
        members.push((name, value));
        cursor.skip(b',');
    }
    members
}

/// The items of a list that is part of an object that [`parse_object`] has read, each as it was written.
pub fn items_of(list: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut cursor = Cursor::after(list, b'[');
    while let Some(item) = cursor.value() {
        items.push(item);
        cursor.skip(b',');
    }
    items
}

/// What serde reports, as an error of ours. Only the two texts below are made by [`Once`].
fn refusal(error: &serde_json::Error) -> JsonError {
    if error.classify() == Category::Data {
        let text = error.to_string();
        if text.starts_with(DUPLICATE) {
            return JsonError::Duplicate;
        }
        if text.starts_with(TOO_DEEP) {
            return JsonError::Depth;
        }
    }
    JsonError::Form
}

const DUPLICATE: &str = "a member is there twice";
const TOO_DEEP: &str = "too many values inside each other";

/// Reads any value whose objects have each member once.
#[derive(Clone, Copy)]
struct Once {
    depth: usize,
}

/// Goes through a text that is known to be JSON, value by value.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

// === impl Once ===

impl Once {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(TOO_DEEP));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // JSON has no way to write a number that is not finite.
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("expected a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inside)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(DUPLICATE));
            }
            let value = object.next_value_seed(inside)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    /// Begins inside an object or a list.
    fn after(text: &'a str, opening: u8) -> Self {
        let mut cursor = Self { text, at: 0 };
        cursor.skip(opening);
        cursor
    }

    /// Goes past white space, and past this byte if it comes then.
    fn skip(&mut self, byte: u8) {
        self.blank();
        if self.peek() == Some(byte) {
            self.at += 1;
        }
    }

    /// The next value, if another one comes.
    fn value(&mut self) -> Option<&'a str> {
        self.blank();
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.string(),
                b'{' | b'[' => (self.at, depth) = (self.at + 1, depth + 1),
                b'}' | b']' if depth > 0 => (self.at, depth) = (self.at + 1, depth - 1),
                b',' | b':' | b'}' | b']' if depth == 0 => break,
                b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => break,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
        }
        // All that ends a value is ASCII, so this is a boundary of characters.
        self.text.get(start..self.at).filter(|value| !value.is_empty())
    }

    /// Goes past a string, its quotation marks included.
    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            // What follows a backslash is part of the string whatever it is.
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}{}", "{\"a\":".repeat(depth - 1) + "{}", "}".repeat(depth - 1))
    }

    #[test]
    fn objects_are_read_with_their_order_and_their_kinds() {
        let text = r#"{"z":null,"a":[true,-1,1.5,18446744073709551615,"t\u0000"],"m":{"z":{},"a":[]}}"#;
        let members = parse_object(text.as_bytes()).expect("an object");
        assert_eq!(Value::Object(members).to_string(), text);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = nested(DEPTH_MAX + 1);
        let rows: &[(&str, &[u8], JsonError)] = &[
            ("nothing", b"", JsonError::Form),
            ("cut off", b"{\"a\":", JsonError::Form),
            ("a second value", b"{}{}", JsonError::Form),
            ("a byte order mark", b"\xef\xbb\xbf{}", JsonError::Form),
            ("not UTF-8", b"{\"a\":\"\xff\"}", JsonError::Form),
            ("a comma at the end", b"{\"a\":1,}", JsonError::Form),
            ("half a surrogate", br#"{"a":"\ud800"}"#, JsonError::Form),
            ("a number beyond counting", b"{\"a\":1e999}", JsonError::Form),
            ("null", b"null", JsonError::Null),
            ("a boolean", b"true", JsonError::Kind("a boolean")),
            ("a number", b"2", JsonError::Kind("a number")),
            ("a string", b"\"{}\"", JsonError::Kind("a string")),
            ("a list", b"[{}]", JsonError::Kind("a list")),
            ("a member twice", br#"{"a":1,"b":2,"a":1}"#, JsonError::Duplicate),
            ("a member twice below", br#"{"a":[{"b":{"c":1,"c":1}}]}"#, JsonError::Duplicate),
            ("a member twice, once escaped", br#"{"a":1,"\u0061":2}"#, JsonError::Duplicate),
            ("too deep", deep.as_bytes(), JsonError::Depth),
        ];
        for (name, bytes, expected) in rows {
            assert_eq!(parse_object(bytes).as_ref(), Err(expected), "{name}");
        }
    }

    #[test]
    fn depth_is_counted_from_one() {
        assert!(parse_object(nested(DEPTH_MAX).as_bytes()).is_ok());
        let lists = format!("{{\"a\":{}{}}}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert_eq!(parse_object(lists.as_bytes()), Err(JsonError::Depth));
        // More than the parser's own recursion limit, to see that ours comes first.
        assert_eq!(parse_object("[".repeat(10_000).as_bytes()), Err(JsonError::Depth));
    }

    #[test]
    fn members_of_one_name_in_two_objects_are_fine() {
        assert!(parse_object(br#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#).is_ok());
    }

    #[test]
    fn parts_keep_the_text_they_were() {
        let text = "\r\n{ \"a\" : 1.50e+1 ,\t\"\\u0062\":{ \"x\" : [1, \"}\"] }, \"c\\\"\" : \"\\\\\" , \"é\":[ ],\"d\":null}\n";
        parse_object(text.as_bytes()).expect("an object");
        let members = members_of(text);
        let names: Vec<_> = members.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let expected =
            [("a", "1.50e+1"), ("b", "{ \"x\" : [1, \"}\"] }"), ("c\"", "\"\\\\\""), ("é", "[ ]"), ("d", "null")];
        assert_eq!(names, expected);
        assert_eq!(members_of("{}"), []);
        assert_eq!(members_of(" { } "), []);

        assert_eq!(items_of(r#"[{"a":[1,2]}, "]" ,3]"#), [r#"{"a":[1,2]}"#, "\"]\"", "3"]);
        assert_eq!(items_of("[]"), [""; 0]);
        assert_eq!(items_of(" [ ] "), [""; 0]);
    }

    #[test]
    fn texts_that_are_no_json_end_too() {
        for text in
            ["", "{", "{\"a", "{\"a\"", "{\"a\":", "{\"a\\", "{\"a\":\"b\\", "}", "{]", "[[[[", "{,,,", "é", "{:::"]
        {
            let (members, items) = (members_of(text), items_of(text));
            assert!(members.len() <= 1 && items.len() <= 1, "{text}: {members:?} {items:?}");
        }
    }

    /// Texts with all that a cursor could stumble over.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\[\\]{}:,\"\\\\ é\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a\"\\\\{}:é]{0,3}", inner, 0..4)
                    .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn parts_are_what_was_read(members in prop::collection::hash_map(".{0,3}", value(), 0..5), pretty: bool) {
            let members: Map<String, Value> = members.into_iter().collect();
            let object = Value::from(members.clone());
            let text = if pretty { format!("{object:#}") } else { object.to_string() };
            let found: Vec<_> = members_of(&text)
                .into_iter()
                .map(|(name, value)| (name, serde_json::from_str(value).expect("JSON")))
                .collect();
            prop_assert_eq!(found, members.clone().into_iter().collect::<Vec<(String, Value)>>());

            let list = Value::from(members.values().cloned().collect::<Vec<_>>());
            let text = if pretty { format!("{list:#}") } else { list.to_string() };
            let found: Vec<Value> =
                items_of(&text).into_iter().map(|item| serde_json::from_str(item).expect("JSON")).collect();
            prop_assert_eq!(Value::from(found), list);
        }

        #[test]
        fn no_text_keeps_a_cursor_forever(text in "[\\[\\]{}:,\"\\\\ 1é]{0,24}") {
            let parts = members_of(&text).len() + items_of(&text).len();
            prop_assert!(parts <= text.len() + 1);
        }
    }
}
