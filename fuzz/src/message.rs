//! Signing texts: read, written again, judged.

use std::sync::LazyLock;

use siwx_gateway::{
    chain::DIALECTS,
    session::recap::Recap,
    siwx::{
        Message,
        claims::{self, Claims, Expectation, Origin, UriMatch},
        message::{NonceCharset, Reading, StatementCharset},
        verdict,
    },
    time::UnixTime,
};

use super::is_fit_to_show;

/// When the texts of the corpus are good.
const NOW: &str = "2026-11-20T10:00:01Z";

/// What gateways expect: the defaults, and as little as can be asked.
static EXPECTED: LazyLock<[Expectation; 3]> = LazyLock::new(|| {
    let hosts = ["app.gateway.example", "api.example.com", "example.com", "service.org", "localhost:3000"];
    let origins = hosts.map(|host| Origin::parse(&format!("https://{host}")).expect("an origin"));
    let strict = Expectation::new(origins.into());
    let aged = Expectation { age_secs_max: Some(600), require_expiration: true, ..strict.clone() };
    let any = |namespace: &str| (namespace.to_owned(), vec!["*".to_owned()]);
    let lax = Expectation {
        labels: DIALECTS.iter().map(|dialect| any(dialect.namespace)).collect(),
        chains: DIALECTS.iter().map(|dialect| format!("{}:*", dialect.namespace)).collect(),
        required: Vec::new(),
        uri_match: UriMatch::Off,
        lifetime_secs_max: u32::MAX,
        ..strict.clone()
    };
    [strict, aged, lax]
});

/// A text has one reading, which is written as it was read; and what is good now is good until the time that is said.
pub fn judge(bytes: &[u8]) {
    let wide = Reading {
        nonce_charset: NonceCharset::Token,
        statement_charset: StatementCharset::Unicode,
        ..Reading::default()
    };
    let narrow = Message::parse(bytes, DIALECTS, &Reading::default());
    let read = Message::parse(bytes, DIALECTS, &wide);
    assert!(narrow.is_err() || narrow == read, "what is read by default is read the same by wider settings");
    for outcome in [narrow, read] {
        assert!(verdict::of_reading(&outcome).is_object());
        match outcome {
            Err(error) => is_fit_to_show(&error.to_string()),
            Ok(message) => judge_message(bytes, &message),
        }
    }
}

fn judge_message(bytes: &[u8], message: &Message) {
    assert_eq!(message.render().as_bytes(), bytes, "a text is written as it was read");
    let _ = Recap::of(message);
    let claims = Claims::of(message);
    let times = [&message.issued_at, &message.expiration_time, &message.not_before];
    let times = times.into_iter().flatten().map(|time| time.instant);
    let now = UnixTime::parse_rfc3339(NOW).expect("a time");
    for now in times.chain([now, UnixTime::from_millis(i64::MIN), UnixTime::from_millis(i64::MAX)]) {
        for expected in &*EXPECTED {
            judge_claims(message, &claims, expected, now);
        }
    }
}

fn judge_claims(message: &Message, claims: &Claims, expected: &Expectation, now: UnixTime) {
    let check = |now| claims::check(claims, expected, Some("/v1/x"), now);
    let outcome = check(now);
    assert!(verdict::of_check(&outcome).is_object());
    match outcome {
        Err(error) => is_fit_to_show(&error.to_string()),
        Ok(until) => {
            assert!(expected.origins.iter().any(|origin| origin.authority() == message.domain));
            assert!(until >= now, "good until {until}, which was before {now}");
            assert!(check(until.plus_millis(1)).is_err(), "good after {until}");
            let last = UnixTime::from_millis(until.millis() - 1).max(now);
            assert_eq!(check(last), Ok(until), "good at {now}, and not at {last}");
        }
    }
}
