//! The members of the JSON object that a proof is.
//!
//! 1. A member that occurs twice refuses the proof, known or not: readers disagree on which of the two counts.
//! 2. A member is there with a value of its type, or it is absent. `null` is neither.
//! 3. Unknown members are skipped, whatever they hold, as long as all of it is UTF-8. They are not kept.

use std::{collections::BTreeSet, fmt};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::SignInError;

/// The members that are looked at.
const NAMES: [&str; 15] = [
    "domain",
    "address",
    "statement",
    "uri",
    "version",
    "chainId",
    "type",
    "nonce",
    "issuedAt",
    "expirationTime",
    "notBefore",
    "requestId",
    "resources",
    "signature",
    "signatureScheme",
];

/// What was read and not yet taken.
pub(super) struct Members(Map<String, Value>);

/// An object before it is known whether each of its members stands there once.
struct Object {
    members: Map<String, Value>,
    twice: Option<String>,
}

// === impl Members ===

impl Members {
    /// Reads one JSON object and nothing after it.
    pub(super) fn read(json: &[u8]) -> Result<Self, SignInError> {
        // Of bytes the reader would look only into the strings that are kept.
        let json = std::str::from_utf8(json).map_err(|_| SignInError::Json)?;
        let object: Object = serde_json::from_str(json).map_err(|_| SignInError::Json)?;
        match object.twice {
            Some(name) => Err(SignInError::Twice(super::shown(&name))),
            None => Ok(Self(object.members)),
        }
    }

    /// Takes a string that must be there.
    pub(super) fn required(&mut self, name: &'static str) -> Result<String, SignInError> {
        self.optional(name)?.ok_or(SignInError::Member { name, expected: "a string", found: "nothing" })
    }

    /// Takes a string that may be absent.
    pub(super) fn optional(&mut self, name: &'static str) -> Result<Option<String>, SignInError> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(SignInError::Member { name, expected: "a string", found: kind(&other) }),
        }
    }

    /// Takes a list of strings that may be absent.
    pub(super) fn list(&mut self, name: &'static str) -> Result<Option<Vec<String>>, SignInError> {
        let refuse = |found| SignInError::Member { name, expected: "a list of strings", found };
        let entry = |value| match value {
            Value::String(text) => Ok(text),
            _ => Err(refuse("a list with something else in it")),
        };
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Array(values)) => values.into_iter().map(entry).collect::<Result<_, _>>().map(Some),
            Some(other) => Err(refuse(kind(&other))),
        }
    }

    /// Takes a string that may be absent and must be one of these words, which `expected` lists.
    pub(super) fn one_of(
        &mut self,
        name: &'static str,
        words: &[&'static str],
        expected: &'static str,
    ) -> Result<Option<&'static str>, SignInError> {
        let Some(text) = self.optional(name)? else {
            return Ok(None);
        };
        let word = words.iter().find(|word| **word == text);
        word.map(|word| Some(*word)).ok_or(SignInError::Member { name, expected, found: "another word" })
    }
}

// === impl Object ===

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object { members: Map::new(), twice: None };
                let mut seen = BTreeSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if NAMES.contains(&name.as_str()) {
                        object.members.insert(name.clone(), map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                    if let Some(name) = seen.replace(name) {
                        object.twice.get_or_insert(name);
                    }
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
