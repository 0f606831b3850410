//! Bodies with which dapps begin sessions, the containers in them (CACAO), and what texts grant (ReCap).

use serde_json::{Map, Value};
use siwx_gateway::{
    chain::DIALECTS,
    json,
    session::{
        recap::Recap,
        set,
        sign_in::{Attempt, Reader, profile},
    },
    siwx::{
        claims::{Expectation, Origin},
        message::Reading,
    },
    time::UnixTime,
};

use super::is_fit_to_show;

/// Who signs in is whom the text names, and what is kept is what came.
pub fn judge(bytes: &[u8]) {
    let reading = Reading::default();
    let reader = Reader { dialects: DIALECTS, reading: &reading };
    match reader.session(bytes) {
        Ok(attempt) => judge_attempt(bytes, &attempt),
        Err(error) => is_fit_to_show(&error.to_string()),
    }
    match reader.sessions(bytes) {
        Ok(attempts) => {
            attempts.iter().for_each(|attempt| judge_attempt(bytes, attempt));
            let _ = set::distinct(&attempts);
            let _ = set::nonces(&attempts);
        }
        Err(error) => is_fit_to_show(&error.to_string()),
    }
    if let Ok(authenticate) = reader.authenticate(bytes) {
        judge_attempt(bytes, &authenticate.attempt);
    }
    for encoding in [data_encoding::BASE64URL_NOPAD, data_encoding::BASE64_NOPAD] {
        judge_recap(&format!("urn:recap:{}", encoding.encode(bytes)));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        judge_recap(text);
    }
}

fn judge_attempt(body: &[u8], attempt: &Attempt) {
    let body = std::str::from_utf8(body).expect("what was read is UTF-8");
    for part in [Some(attempt.data()), attempt.cacao()].into_iter().flatten() {
        assert!(body.contains(part), "kept as it came");
        let read: Result<Map<String, Value>, _> = json::parse_object(part.as_bytes());
        assert!(read.is_ok(), "a part of an object has one reading too");
    }
    assert_eq!(attempt.message().render(), attempt.proof().text());
    assert_eq!(Some(attempt.account()), attempt.message().account.as_ref());
    let page = Origin::parse("https://app.gateway.example").expect("an origin");
    let tokens = Expectation::new(vec![page.clone()]);
    let expected =
        profile(&tokens, &[("eip155".to_owned(), vec!["*".to_owned()])], std::time::Duration::from_secs(600));
    let now = UnixTime::parse_rfc3339("2026-11-20T10:01:00Z").expect("a time");
    match attempt.check(&expected, Some(&page), now) {
        Ok(until) => {
            assert!(until >= now);
            assert!(!attempt.nonce().is_empty());
            assert_eq!(attempt.message().domain, page.authority());
        }
        Err(error) => is_fit_to_show(&error.to_string()),
    }
}

fn judge_recap(resource: &str) {
    let recap = match Recap::parse(resource) {
        Ok(recap) => recap,
        Err(error) => return is_fit_to_show(&error.to_string()),
    };
    assert!(json::parse_object(recap.att().as_bytes()).is_ok());
    assert!(!recap.grants().is_empty());
    for sentence in recap.sentences() {
        assert!(sentence.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let named: usize = recap.grants().iter().map(|grant| grant.abilities.len()).sum();
        // Each resource, namespace and name stands between two marks, and no name can bring one.
        assert!(sentence.matches('\'').count() >= 2 * (named + 2 * recap.grants().len()));
        assert_eq!(sentence.matches('\'').count() % 2, 0);
    }
}
