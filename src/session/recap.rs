//! Abilities that a text grants (ERC-5573, "ReCaps"): the resource that holds them, and the sentence that must name them.
//!
//! One-Click Auth asks for a session's methods this way. To the gateway the grants are information: it shows them, and
//! nothing is allowed because of them.
//!
//! 1. A text has one ReCap at most, and it is the last resource. Which of two would count, readers could disagree about.
//! 2. The statement ends with the sentence that ERC-5573's algorithm makes of the ReCap, or is that sentence: what a
//!    person read is what a program reads. Abilities of one resource are named as they stand in the object, or in the
//!    order of their names, as WalletConnect writes them.
//! 3. The resource is `urn:recap:` and base64 without padding: of the URL-safe alphabet, as the standard has it, or of
//!    the other one, as WalletConnect writes it. A text is of one of them.
//! 4. A resource with a quotation mark in its name is refused: the sentence puts names between such marks, and could be
//!    made to read as another one.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    json::{self, JsonError},
    siwx::Message,
};

/// Bytes of a decoded ReCap at most. A signing text has room for less; this holds wherever one is read.
pub const RECAP_BYTES_MAX: usize = 8 * 1024;

/// What the resource begins with.
const PREFIX: &str = "urn:recap:";

/// What the sentence begins with (ERC-5573, "ReCap Translation Algorithm").
const PREAMBLE: &str = "I further authorize the stated URI to perform the following actions on my behalf:";

/// What a text grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recap {
    att: Box<str>,
    grants: Vec<Grant>,
}

/// What is granted on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it is about: a URI, or for WalletConnect the namespace of a family of chains.
    pub resource: Box<str>,
    /// What may be done with it, in the order in which it is written.
    pub abilities: Vec<Ability>,
}

/// Something that may be done: `request/personal_sign` is the name `personal_sign` of the namespace `request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ability {
    /// What stands before the slash.
    pub namespace: Box<str>,
    /// What stands after it.
    pub name: Box<str>,
}

/// Why a text with a ReCap is refused. All of these are the client's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecapError {
    /// An ability is none of ERC-5573's, or there is none on a resource.
    #[error("expected abilities such as `crud/read` with a list of objects on each resource of a recap")]
    Ability,
    /// No `att`, or nothing in it.
    #[error("expected an object `att` with a resource in it in a recap")]
    Att,
    /// It is not base64 without padding of one alphabet.
    #[error("expected `urn:recap:` and base64 without padding")]
    Base64,
    /// What was encoded is no object.
    #[error("in the recap: {0}")]
    Json(JsonError),
    /// It is not the last resource, or not the only one of its kind.
    #[error("expected one recap at most, as the last resource")]
    Place,
    /// The name of a resource could make the sentence read as another one.
    #[error("expected a name of printable ASCII without quotation marks for each resource of a recap")]
    Resource,
    /// The statement does not end with the sentence.
    #[error("expected a statement that ends with the sentence its recap makes, found another one")]
    Statement,
    /// More bytes than are read.
    #[error("expected at most {RECAP_BYTES_MAX} bytes as a recap, found {0}")]
    TooLarge(usize),
}

// === impl Recap ===

impl Recap {
    /// What a message grants, if its statement says so; nothing if it grants nothing.
    pub fn of(message: &Message) -> Result<Option<Self>, RecapError> {
        let resources = message.resources.as_deref().unwrap_or_default();
        let Some((last, before)) = resources.split_last() else {
            return Ok(None);
        };
        if before.iter().any(|resource| is_recap(resource)) {
            return Err(RecapError::Place);
        }
        if !is_recap(last) {
            return Ok(None);
        }
        let recap = Self::parse(last)?;
        let statement = message.statement.as_deref().unwrap_or_default();
        if !recap.sentences().iter().any(|sentence| ends_with_sentence(statement, sentence)) {
            return Err(RecapError::Statement);
        }
        Ok(Some(recap))
    }

    /// Reads the resource. Whether a statement names what is in it is [`Self::of`]'s question.
    pub fn parse(resource: &str) -> Result<Self, RecapError> {
        let text = decode(resource)?;
        let object = json::parse_object(text.as_bytes()).map_err(RecapError::Json)?;
        let Some(Value::Object(att)) =
            object.get("att").filter(|att| att.as_object().is_some_and(|att| !att.is_empty()))
        else {
            return Err(RecapError::Att);
        };
        let grants =
            att.iter().map(|(resource, abilities)| Grant::read(resource, abilities)).collect::<Result<_, _>>()?;
        let att = json::members_of(&text).into_iter().find(|(name, _)| name == "att").map(|(_, att)| att.into());
        Ok(Self { att: att.ok_or(RecapError::Att)?, grants })
    }

    /// The JSON object `att` as it was signed: resources, abilities and their limits.
    pub fn att(&self) -> &str {
        &self.att
    }

    /// What is granted.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The sentences that name what is granted: as it stands, and in the order of names.
    pub fn sentences(&self) -> [String; 2] {
        let as_written: Vec<_> = self.grants.iter().map(|grant| grant.abilities.iter().collect()).collect();
        let mut by_name: Vec<Vec<&Ability>> = as_written.clone();
        by_name.iter_mut().for_each(|abilities| abilities.sort_by_key(|ability| &*ability.name));
        [as_written, by_name].map(|abilities| self.sentence(&abilities))
    }

    /// ERC-5573, "ReCap Translation Algorithm", without the statement that may stand before it.
    fn sentence(&self, abilities: &[Vec<&Ability>]) -> String {
        let mut sentence = PREAMBLE.to_owned();
        let mut number = 0;
        for (grant, abilities) in self.grants.iter().zip(abilities) {
            for (namespace, names) in by_namespace(abilities) {
                number += 1;
                let names = names.join("', '");
                sentence.push_str(&format!(" ({number}) '{namespace}': '{names}' for '{}'.", grant.resource));
            }
        }
        sentence
    }
}

// === impl Grant ===

impl Grant {
    fn read(resource: &str, abilities: &Value) -> Result<Self, RecapError> {
        let plain = resource.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\'');
        if resource.is_empty() || !plain {
            return Err(RecapError::Resource);
        }
        let abilities = abilities.as_object().filter(|abilities| !abilities.is_empty()).ok_or(RecapError::Ability)?;
        Ok(Self { resource: resource.into(), abilities: read_abilities(abilities)? })
    }
}

fn read_abilities(abilities: &Map<String, Value>) -> Result<Vec<Ability>, RecapError> {
    let read = |(text, limits): (&String, &Value)| {
        let (namespace, name) = text.split_once('/').ok_or(RecapError::Ability)?;
        let limited = limits.as_array().is_some_and(|limits| limits.iter().all(Value::is_object));
        if !limited || !is_word(namespace) || !is_word(name) {
            return Err(RecapError::Ability);
        }
        Ok(Ability { namespace: namespace.into(), name: name.into() })
    };
    abilities.iter().map(read).collect()
}

/// Names by their namespaces, both in the order in which they first occur.
fn by_namespace<'a>(abilities: &[&'a Ability]) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for ability in abilities {
        match groups.iter_mut().find(|(namespace, _)| *namespace == &*ability.namespace) {
            Some((_, names)) => names.push(&ability.name),
            None => groups.push((&ability.namespace, vec![&ability.name])),
        }
    }
    groups
}

/// A namespace or a name of ERC-5573, "Ability Strings".
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'*' | b'_' | b'+' | b'-'))
}

/// Whether a resource is meant to be one. A URN's name has no letter case (RFC 8141 section 3.1), and what is misspelt
/// is refused rather than passed over.
fn is_recap(resource: &str) -> bool {
    resource.get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
}

fn decode(resource: &str) -> Result<String, RecapError> {
    let encoded = resource.strip_prefix(PREFIX).ok_or(RecapError::Base64)?;
    // Four characters are three bytes.
    let bytes = encoded.len() / 4 * 3;
    if bytes > RECAP_BYTES_MAX {
        return Err(RecapError::TooLarge(bytes));
    }
    let alphabet = if encoded.contains(['-', '_']) { BASE64URL_NOPAD } else { BASE64_NOPAD };
    let decoded = alphabet.decode(encoded.as_bytes()).map_err(|_| RecapError::Base64)?;
    if decoded.len() > RECAP_BYTES_MAX {
        return Err(RecapError::TooLarge(decoded.len()));
    }
    String::from_utf8(decoded).map_err(|_| RecapError::Json(JsonError::Form))
}

fn ends_with_sentence(statement: &str, sentence: &str) -> bool {
    statement.strip_suffix(sentence).is_some_and(|before| before.is_empty() || before.ends_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siwx::{dialect::Dialect, message::Reading};

    const DIALECTS: &[Dialect] = &[Dialect::plain("eip155", &["Ethereum"])];

    /// The first example of ERC-5573: its resource, and its statement.
    const RESOURCE: &str = "urn:recap:eyJhdHQiOnsiaHR0cHM6Ly9leGFtcGxlLmNvbSI6eyJleGFtcGxlL2FwcGVuZCI6W10sImV4YW1wbGUvcmVhZCI6W10sIm90aGVyL2FjdGlvbiI6W119LCJteTpyZXNvdXJjZTp1cmkuMSI6eyJleGFtcGxlL2FwcGVuZCI6W10sImV4YW1wbGUvZGVsZXRlIjpbXX0sIm15OnJlc291cmNlOnVyaS4yIjp7ImV4YW1wbGUvYXBwZW5kIjpbXX0sIm15OnJlc291cmNlOnVyaS4zIjp7ImV4YW1wbGUvYXBwZW5kIjpbXX19LCJwcmYiOltdfQ";
    const STATEMENT: &str = "I further authorize the stated URI to perform the following actions on my behalf: (1) 'example': 'append', 'read' for 'https://example.com'. (2) 'other': 'action' for 'https://example.com'. (3) 'example': 'append', 'delete' for 'my:resource:uri.1'. (4) 'example': 'append' for 'my:resource:uri.2'. (5) 'example': 'append' for 'my:resource:uri.3'.";

    fn resource(json: &str) -> String {
        PREFIX.to_owned() + &BASE64_NOPAD.encode(json.as_bytes())
    }

    fn message(statement: &str, resources: &[&str]) -> Message {
        let statement = if statement.is_empty() { String::new() } else { format!("{statement}\n\n") };
        let resources: String = resources.iter().map(|resource| format!("\n- {resource}")).collect();
        let text = format!(
            "a.example wants you to sign in with your Ethereum account:\nabc\n\n{statement}URI: https://a.example\n\
             Version: 1\nChain ID: 1\nNonce: 12345678\nIssued At: 2026-01-31T12:00:00Z\nResources:{resources}"
        );
        Message::parse(text.as_bytes(), DIALECTS, &Reading::default()).expect(&text)
    }

    #[test]
    fn the_example_of_the_standard() {
        let recap = Recap::of(&message(STATEMENT, &["https://a.example", RESOURCE])).expect("a recap").expect("one");
        assert_eq!(recap.sentences()[0], STATEMENT);
        assert_eq!(recap.grants().len(), 4);
        assert_eq!(&*recap.grants()[1].resource, "my:resource:uri.1");
        let names: Vec<_> = recap.grants()[1].abilities.iter().map(|ability| &*ability.name).collect();
        assert_eq!(names, ["append", "delete"]);
        assert!(recap.att().starts_with(r#"{"https://example.com":{"example/append":[],"#), "{}", recap.att());

        let longer = format!("Sign in to a.example. {STATEMENT}");
        assert!(Recap::of(&message(&longer, &[RESOURCE])).is_ok());
    }

    #[test]
    fn texts_without_a_recap_grant_nothing() {
        for resources in [&[][..], &["https://a.example"], &["urn:other:recap:x"]] {
            assert_eq!(Recap::of(&message(STATEMENT, resources)), Ok(None));
        }
    }

    #[test]
    fn recap_sentence_missing() {
        let rows = [
            ("no statement", String::new()),
            ("another statement", "Sign in.".to_owned()),
            ("cut", STATEMENT[..STATEMENT.len() - 1].to_owned()),
            ("something after it", format!("{STATEMENT} Or not.")),
            ("an ability less", STATEMENT.replace("'append', 'read'", "'append'")),
            ("another resource", STATEMENT.replace("uri.3", "uri.4")),
            ("another number", STATEMENT.replace("(5)", "(6)")),
            ("no blank before it", format!("Sign in.{STATEMENT}")),
        ];
        for (name, statement) in rows {
            let message = message(&statement, &[RESOURCE]);
            assert_eq!(Recap::of(&message), Err(RecapError::Statement), "{name}");
        }
    }

    #[test]
    fn abilities_are_named_as_written_or_by_their_names() {
        let resource =
            resource(r#"{"att":{"eip155":{"request/personal_sign":[{}],"request/eth_sign":[{}],"a/b":[{}]}}}"#);
        let [as_written, by_name] = Recap::parse(&resource).expect("a recap").sentences();
        assert_eq!(
            as_written,
            format!("{PREAMBLE} (1) 'request': 'personal_sign', 'eth_sign' for 'eip155'. (2) 'a': 'b' for 'eip155'.")
        );
        assert_eq!(
            by_name,
            format!("{PREAMBLE} (1) 'a': 'b' for 'eip155'. (2) 'request': 'eth_sign', 'personal_sign' for 'eip155'.")
        );
        for statement in [&as_written, &by_name] {
            assert!(Recap::of(&message(statement, &[&resource])).is_ok());
        }
    }

    #[test]
    fn a_recap_is_the_last_resource_and_the_only_one() {
        let rows: [&[&str]; 4] = [
            &[RESOURCE, "https://a.example"],
            &[RESOURCE, RESOURCE],
            &["URN:recap:e30", RESOURCE],
            &["urn:recap:", "https://a.example"],
        ];
        for resources in rows {
            assert_eq!(Recap::of(&message(STATEMENT, resources)), Err(RecapError::Place), "{resources:?}");
        }
    }

    #[test]
    fn recap_too_large() {
        let of = |bytes: usize| {
            let rest = r#"{"att":{"a:b":{"c/d":[]}},"x":""}"#;
            resource(&rest.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - rest.len()))))
        };
        assert!(Recap::parse(&of(RECAP_BYTES_MAX)).is_ok());
        assert_eq!(Recap::parse(&of(RECAP_BYTES_MAX + 1)), Err(RecapError::TooLarge(RECAP_BYTES_MAX + 1)));
        // What is far too long is not even decoded.
        let endless = format!("{PREFIX}{}", "A".repeat(1 << 20));
        assert_eq!(Recap::parse(&endless), Err(RecapError::TooLarge((1 << 20) / 4 * 3)));
    }

    #[test]
    fn what_is_no_recap_says_why() {
        let of = |json: &str| resource(json);
        let rows = [
            ("nothing", PREFIX.to_owned(), RecapError::Json(JsonError::Form)),
            ("in other letters", RESOURCE.replace("urn:recap", "URN:Recap"), RecapError::Base64),
            ("padded", of("{ }") + "=", RecapError::Base64),
            ("two alphabets", format!("{PREFIX}ab+_"), RecapError::Base64),
            ("stray bits", format!("{PREFIX}e31"), RecapError::Base64),
            ("not UTF-8", format!("{PREFIX}/w"), RecapError::Json(JsonError::Form)),
            ("a list", of("[]"), RecapError::Json(JsonError::Kind("a list"))),
            (
                "a resource twice",
                of(r#"{"att":{"a:b":{"c/d":[]},"a:b":{"e/f":[]}}}"#),
                RecapError::Json(JsonError::Duplicate),
            ),
            ("no att", of("{}"), RecapError::Att),
            ("att is a list", of(r#"{"att":[]}"#), RecapError::Att),
            ("att is empty", of(r#"{"att":{}}"#), RecapError::Att),
            ("a resource without abilities", of(r#"{"att":{"a:b":{}}}"#), RecapError::Ability),
            ("abilities in a list", of(r#"{"att":{"a:b":["c/d"]}}"#), RecapError::Ability),
            ("no slash", of(r#"{"att":{"a:b":{"cd":[]}}}"#), RecapError::Ability),
            ("two slashes", of(r#"{"att":{"a:b":{"c/d/e":[]}}}"#), RecapError::Ability),
            ("no name", of(r#"{"att":{"a:b":{"c/":[]}}}"#), RecapError::Ability),
            ("a quoted name", of(r#"{"att":{"a:b":{"c/d', 'e":[]}}}"#), RecapError::Ability),
            ("limits that are no list", of(r#"{"att":{"a:b":{"c/d":{}}}}"#), RecapError::Ability),
            ("a limit that is no object", of(r#"{"att":{"a:b":{"c/d":[1]}}}"#), RecapError::Ability),
            ("a resource with marks", of(r#"{"att":{"a'. (2) 'b": {"c/d":[]}}}"#), RecapError::Resource),
            ("a resource in other letters", of(r#"{"att":{"é:b": {"c/d":[]}}}"#), RecapError::Resource),
            ("a resource without a name", of(r#"{"att":{"": {"c/d":[]}}}"#), RecapError::Resource),
        ];
        for (name, resource, expected) in rows {
            assert_eq!(Recap::parse(&resource), Err(expected), "{name}");
        }
    }

    #[test]
    fn both_alphabets_are_read() {
        let json = r#"{"att":{"a:b":{"c/d":[]}},"x":"???>>>~~~"}"#;
        let (standard, safe) = (BASE64_NOPAD.encode(json.as_bytes()), BASE64URL_NOPAD.encode(json.as_bytes()));
        assert_ne!(standard, safe);
        let read = |encoded: &str| Recap::parse(&format!("{PREFIX}{encoded}"));
        assert_eq!(read(&standard), read(&safe));
        assert!(read(&safe).is_ok());
    }
}
