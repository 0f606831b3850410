//! What a request to the session API carries: a body of bounded size and time, and questions in its query.
//!
//! 1. A body is collected up to 256 KiB, whatever its content type says: AppKit's cloud class sends JSON as text.
//! 2. It has a time for all of it, beside the one between two pieces: it is kept in memory until it is whole.
//! 3. A parameter that comes twice has no reading. One that nobody knows is passed over: the classes of AppKit add some.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::{
    edge::{
        body::{BodyError, Breach, RequestBody},
        query,
        record::Record,
        respond::Answer,
    },
    session::BODY_BYTES_MAX,
};

/// Until a body must be whole: 256 KiB within it are 9 KiB a second, which the slowest telephone sends.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The whole body of a request. `idle` is the longest silence between two pieces.
pub(super) async fn body(body: Incoming, idle: Duration, record: &mut Record) -> Result<Bytes, Answer> {
    let limit = BODY_BYTES_MAX as u64;
    if body.size_hint().lower() > limit {
        return Err(Answer::BodyTooLarge);
    }
    let breach = Rc::new(Breach::default());
    record.receiving(Rc::clone(&breach));
    let body = RequestBody::new(body, Some(limit), idle, breach);
    match tokio::time::timeout(BODY_TIMEOUT, body.collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(BodyError::TooLarge)) => Err(Answer::BodyTooLarge),
        Ok(Err(BodyError::Broken)) => Err(Answer::BadRequest("the body of the request was broken off".to_owned())),
        Ok(Err(BodyError::Stalled)) | Err(_) => Err(Answer::RequestTimeout),
    }
}

/// A parameter of a query, decoded; nothing if it is absent.
pub(super) fn parameter(query: &str, name: &'static str) -> Result<Option<String>, Answer> {
    let mut values = query.split('&').filter_map(|pair| {
        let (of, value) = pair.split_once('=').unwrap_or((pair, ""));
        (of == name).then_some(value)
    });
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Answer::BadRequest(format!("expected `{name}` once in the query, found it twice")));
    }
    let decoded = query::decoded(value);
    decoded.map(Some).ok_or_else(|| Answer::BadRequest(format!("expected `{name}` of the query in UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_read_once_or_not_at_all() {
        let rows = [
            ("absent", "", Ok(None)),
            ("another", "address=0xab", Ok(None)),
            ("a longer name", "chainIds=eip155:1", Ok(None)),
            ("plain", "address=0xab&chainId=eip155:1", Ok(Some("eip155:1"))),
            ("escaped", "chainId=eip155%3A1&projectId=x", Ok(Some("eip155:1"))),
            ("empty", "chainId=", Ok(Some(""))),
            ("without a value", "chainId", Ok(Some(""))),
            ("twice", "chainId=a&chainId=a", Err(())),
            ("broken", "chainId=%", Err(())),
        ];
        for (name, query, expected) in rows {
            let read = parameter(query, "chainId").map_err(|_| ());
            assert_eq!(read.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{name}");
        }
    }
}
