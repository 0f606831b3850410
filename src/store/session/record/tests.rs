//! Sets and sign-ins that no store could keep, and those at the bound.

use super::*;

fn at(millis: i64) -> UnixTime {
    UnixTime::from_millis(millis)
}

fn key(byte: u8) -> SessionKey {
    SessionKey::from_bytes([byte; 32])
}

fn name() -> SessionName {
    SessionName::new(key(1), "sid").expect("a name")
}

fn account(text: &str) -> AccountId {
    AccountId::parse(text).expect("an account")
}

fn new() -> NewSession {
    let facts = SessionFacts {
        id: "one".into(),
        account: account("eip155:1:0xAb16A96D359eC26a11e2C2b3d8f8B8942d5Bfcdb"),
        scheme: "eip191".into(),
        domain: "app.example".into(),
        created_at: at(1000),
        refreshed_at: at(1000),
        verified_at: at(1000),
        not_before: None,
        expires_at: at(2000),
        absolute_end: at(3000),
    };
    let texts = SessionTexts {
        message: "a message".into(),
        signature: "0xab".into(),
        nonce: "n1".into(),
        data: "{}".into(),
        cacao: None,
        public_key: None,
        recap: None,
    };
    NewSession { entry: SessionEntry { facts, texts }, nonce_until: at(1500) }
}

fn with(change: impl Fn(&mut SessionFacts)) -> Vec<NewSession> {
    let mut session = new();
    change(&mut session.entry.facts);
    vec![session]
}

fn saying(change: impl Fn(&mut SessionTexts)) -> Vec<NewSession> {
    let mut session = new();
    change(&mut session.entry.texts);
    vec![session]
}

/// Two, the second one changed.
fn beside(change: impl Fn(&mut SessionFacts)) -> Vec<NewSession> {
    let mut other = new();
    other.entry.facts.id = "other".into();
    change(&mut other.entry.facts);
    vec![new(), other]
}

#[test]
fn what_cannot_be_kept_as_a_session() {
    let named = |what, found: &str| SessionError::Name { what, found: found.into() };
    let json = |what, most, found| SessionError::Json { what, most, found };
    let text = |what, most, found| SessionError::Text { what, most, found };
    let times = |found: &str| SessionError::Times(found.into());
    let twice = || SessionError::Duplicate(new().entry.facts.account);
    let lower = || account(&new().entry.facts.account.as_str().to_lowercase());
    let long = "x".repeat(70_000);
    let second = |millis: i64| at(millis).to_string();
    let rows = [
        ("none", vec![], SessionError::Count(0)),
        ("seventeen", vec![new(); 17], SessionError::Count(17)),
        ("no id", with(|facts| facts.id.clear()), named("session's id", "")),
        ("a scheme of two words", with(|facts| facts.scheme = "eip 191".into()), named("scheme", "eip 191")),
        ("a long domain", with(|facts| facts.domain = "x".repeat(301)), named("domain", &"x".repeat(40))),
        (
            "an end at the beginning",
            with(|facts| facts.expires_at = at(1000)),
            times(&format!("{} to {}, at most {}", second(1000), second(1000), second(3000))),
        ),
        (
            "an end past the last",
            with(|facts| facts.expires_at = at(3001)),
            times(&format!("{} to {}, at most {}", second(1000), second(3001), second(3000))),
        ),
        (
            "year 10000",
            with(|facts| facts.absolute_end = at(253_402_300_800_000)),
            times(&format!("{} to {}, at most {}", second(1000), second(2000), second(253_402_300_800_000))),
        ),
        (
            "a beginning before the calendar",
            with(|facts| facts.not_before = Some(at(i64::MIN))),
            times(&format!("{} to {}, at most {}", second(1000), second(2000), second(3000))),
        ),
        ("no message", saying(|texts| texts.message.clear()), text("message", 8192, 0)),
        ("a long message", saying(|texts| texts.message = "x".repeat(8193)), text("message", 8192, 8193)),
        ("a long signature", saying(|texts| texts.signature = "x".repeat(32_769)), text("signature", 32_768, 32_769)),
        ("no nonce", saying(|texts| texts.nonce.clear()), named("nonce", "")),
        ("a nonce with a line end", saying(|texts| texts.nonce = "n\n".into()), named("nonce", "n\\n")),
        ("data that is no JSON", saying(|texts| texts.data = "{} {}".into()), json("data", 65_536, 5)),
        ("long data", saying(|texts| texts.data = format!("\"{long}\"")), json("data", 65_536, 70_002)),
        ("an empty cacao", saying(|texts| texts.cacao = Some(String::new())), json("cacao", 65_536, 0)),
        ("a long key", saying(|texts| texts.public_key = Some("k".repeat(257))), text("public key", 256, 257)),
        ("a long recap", saying(|texts| texts.recap = Some(format!("\"{long}\""))), json("recap", 8192, 70_002)),
        ("two of a pair", beside(|_| ()), twice()),
        ("in another case", beside(|facts| facts.account = lower()), SessionError::Duplicate(lower())),
        (
            "two of one id",
            beside(|facts| {
                facts.account = account("eip155:2:0xab");
                facts.id = "one".into();
            }),
            SessionError::Duplicate(account("eip155:2:0xab")),
        ),
    ];
    for (row, sessions, expected) in rows {
        assert_eq!(SignIn::new(name(), Change::Begin, sessions), Err(expected), "{row}");
    }
    SignIn::new(name(), Change::Begin, beside(|facts| facts.account = account("eip155:2:0xab"))).expect("two");
}

#[test]
fn a_name_is_new() {
    for change in [Change::Add(key(1)), Change::Replace(key(1))] {
        assert_eq!(SignIn::new(name(), change, vec![new()]), Err(SessionError::Key), "{change:?}");
    }
    SignIn::new(name(), Change::Add(key(2)), vec![new()]).expect("another key");
    for wrong in ["", "a b", &"x".repeat(65)] {
        let found = shown(wrong);
        let expected = SessionError::Name { what: "session's public id", found };
        assert_eq!(SessionName::new(key(1), wrong), Err(expected), "{wrong}");
    }
}

#[test]
fn metadata_is_json_of_sixteen_kib() {
    let longest = format!("\"{}\"", "x".repeat(METADATA_BYTES_MAX - 2));
    assert_eq!(AccountMetadata::new(&longest, at(5)).map(|kept| kept.json().len()), Ok(METADATA_BYTES_MAX));
    for text in ["", "{", "nul", &format!("{longest} ")] {
        let expected = SessionError::Json { what: "metadata", most: METADATA_BYTES_MAX, found: text.len() };
        assert_eq!(AccountMetadata::new(text, at(5)), Err(expected), "{text}");
    }
    let late = at(i64::MAX);
    assert_eq!(AccountMetadata::new("{}", late), Err(SessionError::Times(i64::MAX.to_string())));
}

#[test]
fn nothing_that_signs_somebody_in_is_shown() {
    let change = SignIn::new(name(), Change::Add(key(7)), vec![new()]).expect("a sign-in");
    let shown = format!("{change:?}");
    assert!(shown.contains("eip191") && shown.contains("[redacted]"), "{shown}");
    for secret in ["a message", "0xab\"", "n1", "[1, 1", "[7, 7"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}
