//! `SIGN-IN-WITH-X`: no member of a proof says another thing than the text that was signed.
//!
//! An input is the JSON that the header carries; it is tried as the header's value as well.

use std::sync::LazyLock;

use serde_json::{Map, Value};
use siwx_gateway::{
    chain::{Accepts, DIALECTS},
    credential::{SignIn, SignInExpectation},
    siwx::{Message, claims::Origin, message::Reading},
    time::UnixTime,
};

use super::is_fit_to_show;

static EXPECTED: LazyLock<SignInExpectation> = LazyLock::new(|| {
    let origin = Origin::parse("https://api.example.com").expect("an origin");
    SignInExpectation::new(origin, vec!["eip155:*".to_owned(), "solana:*".to_owned()], 300, 30)
});

/// The text that is rebuilt says what the members say, line for line.
pub fn judge(bytes: &[u8]) {
    let _ = SignIn::read(bytes);
    let header = data_encoding::BASE64.encode(bytes);
    let proof = match SignIn::read(header.as_bytes()) {
        Ok(proof) => proof,
        Err(error) => return is_fit_to_show(&error.to_string()),
    };
    // Unknown members may hold what no value could, such as a number beyond all others.
    let Ok(members) = serde_json::from_slice::<Map<String, Value>>(bytes) else {
        return assert!(std::str::from_utf8(bytes).is_ok());
    };
    if let Ok(text) = proof.signing_text()
        && let Ok(message) = Message::parse(text.as_bytes(), DIALECTS, &Reading::default())
    {
        judge_members(&members, &message);
    }
    let now = UnixTime::parse_rfc3339("2026-11-20T10:00:01Z").expect("a time");
    if let Err(error) = proof.check(&EXPECTED, now) {
        is_fit_to_show(&error.to_string());
    } else {
        assert!(proof.until(&EXPECTED).is_some_and(|until| until >= now));
    }
    for accepts in [Accepts::default(), Accepts::all()] {
        let verified = match proof.verify(&accepts).and_then(|proven| proven.by_key()) {
            Ok(verified) => verified,
            Err(error) => {
                is_fit_to_show(&error.to_string());
                continue;
            }
        };
        assert_eq!(verified.account().namespace(), proof.namespace());
        assert!(Some(verified.account().address().to_lowercase()) == text(&members, "address").map(str::to_lowercase));
        assert_eq!(verified.claims().nonce(), Some(proof.nonce()));
    }
}

fn judge_members(members: &Map<String, Value>, message: &Message) {
    let same = |line: Option<&str>, name| {
        // What is empty is written as an empty line, or on none.
        let member = text(members, name).filter(|text| !text.is_empty());
        assert_eq!(line.filter(|line| !line.is_empty()), member, "the line of `{name}`");
    };
    same(Some(&message.domain), "domain");
    same(message.uri.as_deref(), "uri");
    same(message.version.as_deref(), "version");
    same(message.nonce.as_deref(), "nonce");
    same(message.statement.as_deref(), "statement");
    same(message.request_id.as_deref(), "requestId");
    same(message.issued_at.as_ref().map(|time| &*time.text), "issuedAt");
    same(message.expiration_time.as_ref().map(|time| &*time.text), "expirationTime");
    same(message.not_before.as_ref().map(|time| &*time.text), "notBefore");
    let resources = members.get("resources").and_then(Value::as_array).cloned().unwrap_or_default();
    let lines = message.resources.iter().flatten();
    assert!(lines.eq(resources.iter().filter_map(Value::as_str)), "the lines of `resources`");
}

fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    members.get(name)?.as_str()
}
