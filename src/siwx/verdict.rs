//! What became of a text, as JSON: the shape of `expect` in `tests/vectors/message-*.json`, and what the
//! command line prints.
//!
//! Absent is `null`; empty is `""` or `[]`. The order of members is part of the shape.

use serde_json::{Map, Value, json};

use super::{
    Field,
    claims::ClaimError,
    error::{Code, MessageError},
    message::{Message, Timestamp},
};
use crate::time::UnixTime;

/// The outcome of reading a text.
pub fn of_reading(outcome: &Result<Message, MessageError>) -> Value {
    match outcome {
        Ok(message) => json!({ "ok": true, "fields": fields(message) }),
        Err(error) => refusal(error.code(), error.field().map(Field::as_str)),
    }
}

/// The outcome of judging a message that was read.
pub fn of_check(outcome: &Result<UnixTime, ClaimError>) -> Value {
    match outcome {
        Ok(good_until) => json!({ "ok": true, "valid_until_ms": good_until.millis() }),
        Err(error) => refusal(error.code(), error.field().map(Field::as_str)),
    }
}

/// The outcome of rebuilding a text from a payload, whose errors name members of the payload.
pub fn of_rebuilding(outcome: &Result<String, MessageError>) -> Value {
    match outcome {
        Ok(text) => json!({ "ok": true, "message": text }),
        Err(error) => refusal(error.code(), error.field().map(Field::member)),
    }
}

fn refusal(code: Code, field: Option<&'static str>) -> Value {
    let mut verdict = Map::new();
    verdict.insert("ok".into(), false.into());
    verdict.insert("error".into(), code.as_str().into());
    if let Some(field) = field {
        verdict.insert("field".into(), field.into());
    }
    verdict.into()
}

fn fields(message: &Message) -> Value {
    let time = |time: &Option<Timestamp>| time.as_ref().map(|time| time.text.clone());
    json!({
        "scheme": message.scheme,
        "domain": message.domain,
        "label": message.label,
        "namespace": message.namespace,
        "address": message.address,
        "account": message.account.as_ref().map(|account| account.as_str()),
        "chain": message.chain.as_ref().map(|chain| chain.as_str()),
        "statement": message.statement,
        "uri": message.uri,
        "version": message.version,
        "chain_id": message.chain_id,
        "nonce": message.nonce,
        "issued_at": time(&message.issued_at),
        "expiration_time": time(&message.expiration_time),
        "not_before": time(&message.not_before),
        "request_id": message.request_id,
        "resources": message.resources,
        "times_ms": times_ms(message),
        "blank_lines": message.blank_lines,
        "warnings": message.warnings.iter().map(|warning| warning.as_str()).collect::<Vec<_>>(),
    })
}

fn times_ms(message: &Message) -> Map<String, Value> {
    let times = [
        (Field::IssuedAt, &message.issued_at),
        (Field::ExpirationTime, &message.expiration_time),
        (Field::NotBefore, &message.not_before),
    ];
    times
        .into_iter()
        .filter_map(|(field, time)| Some((field.as_str().to_owned(), time.as_ref()?.instant.millis().into())))
        .collect()
}
