//! The container in which One-Click Auth hands over a signed text (CACAO, CAIP-74): header, payload, signature.
//!
//! A wallet that is asked for sessions on several networks answers with one of these for each. What was signed is the
//! text; the container describes it. It is kept for the dapp, which gets it back as it came, and it must not say
//! anything but what the text and the signature beside it say: who reads the container alone reads the same session.
//!
//! 1. `h.t` is a kind of container whose payload is such a text.
//! 2. `p` names the account of the text (`iss`, a did:pkh), and has its lines: neither one more nor one less.
//! 3. The statement of `p` may lack the sentence of a ReCap, which is added when the text is written.
//! 4. `s.s` is the signature, letter by letter. `s.t` says how it was made, which is not looked at: the chain of the
//!    text picks how it is checked.

use serde_json::{Map, Value};

use super::{
    DID_PREFIX, SessionError,
    agree::{self, Signed},
    recap::Recap,
};

/// The kinds of containers that describe a signed text (CAIP-74, "Header").
const KINDS: [&str; 2] = ["caip122", "eip4361"];

/// Whether a container describes this text, signed with this signature.
pub(super) fn check(
    cacao: &Map<String, Value>,
    signed: &Signed<'_>,
    signature: &str,
    recap: Option<&Recap>,
) -> Result<(), SessionError> {
    let [header, payload, proof] = ["h", "p", "s"].map(|part| cacao.get(part).and_then(Value::as_object));
    let kind = header.and_then(|header| header.get("t")).and_then(Value::as_str);
    require(kind.is_some_and(|kind| KINDS.contains(&kind)), "h.t")?;
    check_payload(payload.ok_or_else(|| mismatch("p"))?, signed, recap)?;
    let proof = proof.ok_or_else(|| mismatch("s"))?;
    require(proof.get("t").is_some_and(Value::is_string), "s.t")?;
    require(proof.get("s").and_then(Value::as_str) == Some(signature), "s.s")
}

fn check_payload(payload: &Map<String, Value>, signed: &Signed<'_>, recap: Option<&Recap>) -> Result<(), SessionError> {
    let message = signed.message;
    let issuer = payload.get("iss").and_then(Value::as_str).and_then(|issuer| issuer.strip_prefix(DID_PREFIX));
    require(issuer.is_some_and(|account| signed.is_account(account)), "p.iss")?;
    require(agree::is_text(Some(&message.domain), payload.get("domain")), "p.domain")?;
    // `aud` is CAIP-74's name of the URI; the other one is what some libraries write.
    let uris = ["aud", "uri"].map(|name| payload.get(name).filter(|value| !value.is_null()));
    let good = |value: &Value| agree::is_text(message.uri.as_deref(), Some(value));
    require(uris.iter().any(Option::is_some) && uris.into_iter().flatten().all(good), "p.aud")?;
    for (path, line) in
        [("p.version", &message.version), ("p.nonce", &message.nonce), ("p.requestId", &message.request_id)]
    {
        require(agree::is_text(line.as_deref(), payload.get(&path["p.".len()..])), path)?;
    }
    for (path, line) in
        [("p.iat", &message.issued_at), ("p.exp", &message.expiration_time), ("p.nbf", &message.not_before)]
    {
        require(agree::is_moment(line.as_ref(), payload.get(&path["p.".len()..])), path)?;
    }
    require(is_statement(message.statement.as_deref(), payload.get("statement"), recap), "p.statement")?;
    require(are_resources(message.resources.as_deref(), payload.get("resources")), "p.resources")
}

/// Whether a statement is that of the text, or is it but for the sentence that the text has for its ReCap.
fn is_statement(line: Option<&str>, value: Option<&Value>, recap: Option<&Recap>) -> bool {
    let stated = match value {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return false,
    };
    let line = line.unwrap_or_default();
    let with = |sentence: String| if stated.is_empty() { sentence } else { format!("{stated} {sentence}") };
    line == stated || recap.is_some_and(|recap| recap.sentences().into_iter().any(|sentence| with(sentence) == line))
}

/// Whether resources are those of the text. No list and an empty one are the same here: AppKit writes neither.
fn are_resources(lines: Option<&[String]>, value: Option<&Value>) -> bool {
    let lines = lines.unwrap_or_default();
    match value {
        None | Some(Value::Null) => lines.is_empty(),
        Some(Value::Array(values)) => {
            values.len() == lines.len() && values.iter().zip(lines).all(|(value, line)| value.as_str() == Some(line))
        }
        Some(_) => false,
    }
}

fn require(agrees: bool, member: &'static str) -> Result<(), SessionError> {
    if agrees { Ok(()) } else { Err(mismatch(member)) }
}

const fn mismatch(member: &'static str) -> SessionError {
    SessionError::DataMismatch { of: "cacao", member }
}
