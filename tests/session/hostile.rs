//! What a dapp, or whoever took something from one, might send instead. Each is refused, and says why.

use siwx_gateway::session::{
    Class, ItemError, SESSIONS_MAX, SIGNATURE_BYTES_MAX,
    set::{self, Checked, Session},
};

use super::*;

const OTHER: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

fn mismatch(of: &'static str, member: &'static str) -> Option<SessionError> {
    Some(SessionError::DataMismatch { of, member })
}

fn refused(case: &Value) -> Option<SessionError> {
    read(&item(case)).err()
}

#[test]
fn replayed_cacao_with_another_account() {
    // The container names another account than the text that was signed.
    let iss =
        |account: &str| changed("one-click-statement-0", |case| put(case, &["cacao", "p", "iss"], json!(account)));
    for account in [
        format!("did:pkh:eip155:1:{OTHER}"),
        "did:pkh:eip155:8453:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11".to_owned(),
        "did:pkh:solana:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11".to_owned(),
        "did:pkh:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11".to_owned(),
        "did:pkh:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11".to_owned(),
        "eip155:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11".to_owned(),
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".to_owned(),
        String::new(),
    ] {
        assert_eq!(refused(&iss(&account)), mismatch("cacao", "p.iss"), "{account}");
    }
    let other_case = iss("did:pkh:eip155:1:0xE8C4E5881EC748789059D1E71B9622D56D0ABC11");
    assert!(refused(&other_case).is_none(), "letter case is a checksum");

    // Text, data and container name another account, over the signature of the first.
    let all = changed("one-click-statement-0", |case| {
        let text =
            case["message"].as_str().expect("a text").replace("0xe8c4e5881ec748789059d1e71B9622D56d0Abc11", OTHER);
        put(case, &["message"], json!(text));
        put(case, &["data", "accountAddress"], json!(OTHER));
        put(case, &["cacao", "p", "iss"], json!(format!("did:pkh:eip155:1:{OTHER}")));
    });
    assert_eq!(sign_in(&all).err().as_deref(), Some("signature_mismatch"));

    // One that was signed for another network, shown for this one.
    let swapped = changed("one-click-statement-0", |case_0| {
        put(case_0, &["cacao"], case("one-click-statement-1")["cacao"].clone());
    });
    assert_eq!(refused(&swapped), mismatch("cacao", "p.iss"));
}

#[test]
fn a_cacao_that_says_something_else() {
    let rows: [(&[&str], Value, &'static str); 21] = [
        (&["cacao", "h", "t"], json!("eip4361-caip"), "h.t"),
        (&["cacao", "h", "t"], Value::Null, "h.t"),
        (&["cacao", "h"], json!("caip122"), "h.t"),
        (&["cacao", "p"], json!([]), "p"),
        (&["cacao", "s"], Value::Null, "s"),
        (&["cacao", "p", "domain"], json!("evil.example"), "p.domain"),
        (&["cacao", "p", "aud"], json!("https://app.gateway.example"), "p.aud"),
        (&["cacao", "p", "aud"], Value::Null, "p.aud"),
        (&["cacao", "p", "uri"], json!("https://evil.example"), "p.aud"),
        (&["cacao", "p", "version"], json!(1), "p.version"),
        (&["cacao", "p", "nonce"], json!("Kx8nQ2vLw7TZ"), "p.nonce"),
        (&["cacao", "p", "requestId"], json!("r"), "p.requestId"),
        (&["cacao", "p", "iat"], json!("2026-11-20T10:14:10.022Z"), "p.iat"),
        (&["cacao", "p", "exp"], json!("2027-11-20T10:14:10Z"), "p.exp"),
        (&["cacao", "p", "nbf"], json!("yesterday"), "p.nbf"),
        (&["cacao", "p", "statement"], json!("Sign out."), "p.statement"),
        (&["cacao", "p", "statement"], json!(["Sign in."]), "p.statement"),
        (&["cacao", "p", "resources"], json!([]), "p.resources"),
        (&["cacao", "p", "resources"], json!({"0": "x"}), "p.resources"),
        (&["cacao", "s", "s"], json!(case("evm-statement")["signature"]), "s.s"),
        (&["cacao", "s", "t"], Value::Null, "s.t"),
    ];
    for (path, value, member) in rows {
        let case = changed("one-click-statement-0", |case| put(case, path, value.clone()));
        assert_eq!(refused(&case), mismatch("cacao", member), "{path:?} = {value}");
    }
    let good: [(&[&str], Value); 7] = [
        // What the sentence is appended to.
        (&["cacao", "p", "statement"], json!("Sign in.")),
        (&["cacao", "p", "exp"], Value::Null),
        (&["cacao", "p", "nbf"], json!("")),
        (&["cacao", "p", "uri"], json!("https://app.gateway.example/path")),
        // The same moment.
        (&["cacao", "p", "iat"], json!("2026-11-20T11:14:10.021000+01:00")),
        // A hint that nobody looks at.
        (&["cacao", "s", "t"], json!("eip1271")),
        (&["cacao"], Value::Null),
    ];
    for (path, value) in good {
        let case = changed("one-click-statement-0", |case| put(case, path, value.clone()));
        assert_eq!(refused(&case), None, "{path:?} = {value}");
    }
}

#[test]
fn data_of_another_address() {
    for address in [OTHER, "", "<<AccountAddress>>", "eip155:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11"] {
        let case = changed("evm-statement", |case| put(case, &["data", "accountAddress"], json!(address)));
        assert_eq!(refused(&case), mismatch("data", "accountAddress"), "{address}");
    }
    let lower = changed("evm-statement", |case| {
        put(case, &["data", "accountAddress"], json!("0xe8c4e5881ec748789059d1e71b9622d56d0abc11"));
    });
    assert_eq!(refused(&lower), None, "EVM addresses have no letter case");
    let solana = changed("solana", |case| {
        put(case, &["data", "accountAddress"], json!("fL2nsvFLkb3SJwW15p9tmHbdQTFMVm15AngPS7UQvzvn"));
    });
    assert_eq!(refused(&solana), mismatch("data", "accountAddress"), "others have one");
}

#[test]
fn nonce_in_data_differs() {
    for nonce in [json!("Kx8nQ2vLw7T"), json!("kx8nQ2vLw7Tz"), json!(12_345_678), Value::Null] {
        let case = changed("evm-statement", |case| put(case, &["data", "nonce"], nonce.clone()));
        assert_eq!(refused(&case), mismatch("data", "nonce"), "{nonce}");
    }
    let absent = changed("evm-statement", |case| remove(case, &["data", "nonce"]));
    assert_eq!(refused(&absent), mismatch("data", "nonce"));
}

#[test]
fn data_of_another_chain_page_or_time() {
    let rows: [(&str, &str, Value); 20] = [
        ("evm-statement", "chainId", json!("eip155:10")),
        ("evm-statement", "chainId", json!("10")),
        ("evm-statement", "chainId", json!(10)),
        ("evm-statement", "chainId", json!(1.0)),
        ("evm-statement", "chainId", json!(-1)),
        ("evm-statement", "chainId", json!("eip155:01")),
        ("evm-statement", "chainId", json!("0x1")),
        ("evm-statement", "chainId", json!("solana:1")),
        ("evm-statement", "chainId", json!("")),
        ("evm-statement", "chainId", Value::Null),
        ("solana", "chainId", json!("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1")),
        ("solana", "chainId", json!("devnet")),
        ("evm-statement", "domain", json!("evil.example")),
        ("evm-statement", "domain", json!("App.gateway.example")),
        ("evm-statement", "uri", json!("https://app.gateway.example/path?q=1")),
        ("evm-statement", "uri", json!("")),
        ("evm-statement", "issuedAt", json!("2026-11-20T10:00:01.000Z")),
        ("evm-statement", "issuedAt", Value::Null),
        ("evm-statement", "expirationTime", json!("2026-11-20T11:00:00.000Z")),
        ("evm-statement", "notBefore", json!(0)),
    ];
    for (id, member, value) in rows {
        let case = changed(id, |case| put(case, &["data", member], value.clone()));
        let code = refused(&case).map(|error| (error.code(), error.class(), error.to_string()));
        let sentence = format!("expected `{member}` of `data` to say what the signed text says, found something else");
        assert_eq!(code, Some(("data_mismatch", Class::Malformed, sentence)), "{member} = {value}");
    }
    for member in ["expirationTime", "notBefore", "issuedAt"] {
        let case = changed("evm-all-fields", |case| remove(case, &["data", member]));
        assert_eq!(refused(&case), mismatch("data", member), "{member} is in the text alone");
    }
    let good: [(&str, &str, Value); 10] = [
        ("evm-statement", "chainId", json!("1")),
        ("evm-statement", "chainId", json!(1)),
        ("solana", "chainId", json!("solana:mainnet")),
        ("solana", "chainId", json!("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp")),
        ("evm-statement", "issuedAt", json!("2026-11-20T12:00:00+02:00")),
        ("evm-statement", "expirationTime", Value::Null),
        ("evm-statement", "notBefore", json!("")),
        // What no session rests on is the dapp's own.
        ("evm-statement", "statement", json!("Another one.")),
        ("evm-statement", "resources", Value::Null),
        ("evm-statement", "serializedMessage", json!("whatever")),
    ];
    for (id, member, value) in good {
        let case = changed(id, |case| put(case, &["data", member], value.clone()));
        assert_eq!(refused(&case), None, "{member} = {value}");
        assert_eq!(read(&item(&case)).expect("a sign-in").data(), case["data"].to_string());
    }
}

#[test]
fn recap_sentence_missing() {
    let of = |statement: &str| {
        changed("one-click-statement-0", |case| {
            let signed = case["data"]["statement"].as_str().expect("a statement").to_owned();
            let text = case["message"].as_str().expect("a text").replace(&signed, statement);
            put(case, &["message"], json!(text));
        })
    };
    let rows = [
        "Sign in.",
        "Sign in. I further authorize the stated URI to perform the following actions on my behalf: (1) 'request': 'personal_sign' for 'eip155'.",
    ];
    for statement in rows {
        let error = refused(&of(statement)).expect("a refusal");
        assert_eq!((error.code(), error.class()), ("recap_statement_mismatch", Class::Malformed), "{statement}");
    }
}

#[test]
fn recap_too_large() {
    // A text has no room for one: its line is too long before anybody decodes it.
    let case = changed("one-click-statement-0", |case| {
        let recap = case["data"]["resources"][0].as_str().expect("a recap").to_owned();
        let text =
            case["message"].as_str().expect("a text").replace(&recap, &format!("urn:recap:{}", "e".repeat(2100)));
        put(case, &["message"], json!(text));
    });
    assert_eq!(refused(&case).map(|error| error.code()), Some("field_too_long"));
}

#[test]
fn statement_with_newline() {
    // AppKit looks at no statement: this one would be a line of the message.
    let error = refused(&case("statement-with-newline")).expect("a refusal");
    assert_eq!((error.code(), error.class()), ("multiline_statement", Class::Malformed));
}

#[test]
fn unknown_domain_of_a_server() {
    let error = refused(&case("unknown-domain")).expect("a refusal");
    assert_eq!((error.code(), error.class()), ("invalid_domain", Class::Malformed));
}

#[test]
fn a_placeholder_is_never_an_account() {
    // As AppKit has it before the wallet's frame fills the address in, under a signature of another text.
    let case_ = changed("embedded-placeholder", |case_| {
        put(case_, &["signature"], case("evm-no-statement")["signature"].clone());
    });
    let error = refused(&case_).expect("a refusal");
    assert_eq!((error.code(), error.class()), ("invalid_account", Class::Malformed));
    for signature in ["", "0x"] {
        let case = changed("embedded-placeholder", |case| put(case, &["signature"], json!(signature)));
        assert_eq!(refused(&case).map(|error| error.code()), Some("invalid_account"));
    }
    // The text filled in, its description not.
    let half = changed("evm-no-statement", |case| put(case, &["data", "accountAddress"], json!("<<AccountAddress>>")));
    assert_eq!(refused(&half), mismatch("data", "accountAddress"));
}

#[test]
fn an_empty_signature() {
    for signature in ["", " "] {
        let case = changed("evm-no-statement", |case| put(case, &["signature"], json!(signature)));
        assert_eq!(sign_in(&case).err().as_deref(), Some("malformed_signature"), "{signature:?}");
    }
    let ton = read(&item(&case("ton"))).expect("a sign-in");
    assert!(verify(&ton).is_err());
}

#[test]
fn a_message_relayed_by_another_page() {
    let case = case("evm-statement");
    let attempt = read(&item(&case)).expect("a sign-in");
    for page in ["https://evil.example", "https://app.gateway.example:8443", "https://gateway.example"] {
        let origin = Origin::parse(page).expect("an origin");
        let error = attempt.check(&expectation(), Some(&origin), now(&case)).expect_err(page);
        assert_eq!((error.code(), error.class()), ("domain_mismatch", Class::Malformed), "{page}");
    }
    assert!(attempt.check(&expectation(), None, now(&case)).is_ok());
}

#[test]
fn a_message_without_a_chain_is_nobodys() {
    let text = "app.gateway.example wants you to sign in with your Solana account:\n\
                FL2nsvFLkb3SJwW15p9tmHbdQTFMVm15AngPS7UQvzvn\n\nNonce: Kx8nQ2vLw7Tz";
    let case = changed("solana", |case| put(case, &["message"], json!(text)));
    let error = refused(&case).expect("a refusal");
    assert_eq!((error.code(), error.to_string().as_str()), ("missing_field", "`Chain ID: ` is missing"));
}

#[test]
fn bodies_that_are_none() {
    let twice = item(&case("evm-statement")).to_string().replacen("\"data\"", "\"data\":{},\"data\"", 1);
    let reading = reading();
    let reader = Reader { dialects: DIALECTS, reading: &reading };
    let rows: [(&str, &[u8], &str); 8] = [
        ("nothing", b"", "expected one JSON value, found something else"),
        ("null", b"null", "expected a JSON object, found null"),
        ("a list", b"[]", "expected a JSON object, found a list"),
        ("a member twice", twice.as_bytes(), "expected each member of an object once, found one twice"),
        ("not UTF-8", b"{\"message\":\"\xff\"}", "expected one JSON value, found something else"),
        ("no message", br#"{"signature":"0x"}"#, "expected a string as `message`, found nothing"),
        ("no data", br#"{"signature":"0x","message":"m"}"#, "expected an object as `data`, found nothing"),
        ("a signature of bytes", br#"{"signature":{"0":1}}"#, "expected a string as `signature`, found an object"),
    ];
    for (name, body, sentence) in rows {
        let error = reader.session(body).expect_err(name);
        assert_eq!((error.code(), error.to_string().as_str()), ("bad_request", sentence), "{name}");
    }
    for name in ["data", "message", "signature"] {
        let case = changed("evm-statement", |case| put(case, &[name], Value::Null));
        assert_eq!(refused(&case).map(|error| error.code()), Some("bad_request"), "{name}");
    }
}

#[test]
fn bodies_that_are_too_large() {
    let signature = |bytes: usize| changed("evm-statement", |case| put(case, &["signature"], json!("a".repeat(bytes))));
    assert_eq!(refused(&signature(SIGNATURE_BYTES_MAX)), None);
    let too_large = |what, found, limit| Some(SessionError::TooLarge { what, found, limit });
    assert_eq!(refused(&signature(32_769)), too_large("signature", 32_769, 32_768));

    let message = changed("evm-statement", |case| put(case, &["message"], json!("a".repeat(8193))));
    assert_eq!(refused(&message).map(|error| error.code()), Some("message_too_large"));
    let data = changed("evm-statement", |case| put(case, &["data", "mine"], json!("a".repeat(32_768))));
    assert_eq!(refused(&data).map(|error| error.code()), Some("bad_request"));
    let cacao = changed("one-click-statement-0", |case| put(case, &["cacao", "m"], json!("a".repeat(65_536))));
    assert_eq!(refused(&cacao).map(|error| error.code()), Some("bad_request"));
    let key = changed("evm-statement", |case| put(case, &["publicKey"], json!("a".repeat(257))));
    let mut body = item(&key);
    put(&mut body, &["publicKey"], key["publicKey"].clone());
    assert_eq!(read(&body).err(), too_large("publicKey", 257, 256));

    let whole = changed("evm-statement", |case| put(case, &["data", "mine"], json!("a".repeat(300_000))));
    let error = refused(&whole).expect("a refusal");
    assert_eq!((error.code(), error.class()), ("bad_request", Class::Malformed));
}

fn set_of(items: Vec<Value>) -> Result<Vec<Attempt>, ItemError> {
    let body = json!({"sessions": items}).to_string();
    Reader { dialects: DIALECTS, reading: &reading() }.sessions(body.as_bytes())
}

#[test]
fn one_bad_session_of_several_is_named() {
    let good = item(&case("evm-statement"));
    let mut bad = item(&case("solana"));
    put(&mut bad, &["data", "nonce"], json!("another12"));
    let error = set_of(vec![good.clone(), bad.clone(), empty()]).expect_err("a refusal");
    assert_eq!((error.index, error.error.code()), (Some(1), "data_mismatch"));
    let error = set_of(vec![good.clone(), Value::Null]).expect_err("a refusal");
    assert_eq!((error.index, error.error.code()), (Some(1), "bad_request"));

    let many = |count: usize| set_of(vec![good.clone(); count]).map(|attempts| attempts.len());
    assert_eq!(many(SESSIONS_MAX), Ok(16));
    let error = many(SESSIONS_MAX + 1).expect_err("too many");
    assert_eq!((error.index, error.error), (None, SessionError::TooManySessions(17)));

    let reading = reading();
    let reader = Reader { dialects: DIALECTS, reading: &reading };
    for body in [r#"{}"#, r#"{"sessions":null}"#, r#"{"sessions":{}}"#, r#"[]"#] {
        let error = reader.sessions(body.as_bytes()).expect_err(body);
        assert_eq!((error.index, error.error.code()), (None, "bad_request"), "{body}");
    }
}

#[test]
fn an_account_twice_on_one_chain() {
    let items = |ids: &[&str]| ids.iter().map(|id| item(&case(id))).collect::<Vec<_>>();
    let distinct = |ids: &[&str]| set::distinct(&set_of(items(ids)).expect("sign-ins"));
    assert_eq!(distinct(&["one-click-statement-0", "one-click-statement-1", "solana", "bitcoin"]), Ok(()));
    let twice = distinct(&["solana", "evm-statement", "one-click-statement-1", "one-click-statement-0"]);
    assert_eq!(twice, Err(ItemError::at(3, SessionError::DuplicateSession)));
}

#[test]
fn a_nonce_of_two_accounts() {
    let attempts = |ids: &[&str]| set_of(ids.iter().map(|id| item(&case(id))).collect()).expect("sign-ins");
    // One-Click Auth: one account, several networks, one nonce.
    let one_click = attempts(&["one-click-statement-0", "one-click-statement-1"]);
    assert_eq!(set::nonces(&one_click), Ok(vec!["Kx8nQ2vLw7Tz"]));
    let mixed = attempts(&["one-click-statement-0", "one-click-statement-1", "solana"]);
    assert_eq!(set::nonces(&mixed), Err(ItemError::at(2, SessionError::NonceReused)));
}

#[test]
fn nothing_that_proves_a_sign_in_is_shown_by_debug() {
    let case = case("one-click-statement-0");
    let attempt = read(&item(&case)).expect("a sign-in");
    let checked = Checked { scheme: "eip191", by_contract: false };
    let session = Session::begin(&attempt, checked, siwx_gateway::session::id::Sid::new([7; 16]), now(&case));
    let signature = case["signature"].as_str().expect("a signature");
    for shown in [format!("{attempt:?}"), format!("{session:?}")] {
        assert!(shown.contains("eip155:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11"), "{shown}");
        assert!(!shown.contains(&signature[2..20]) && !shown.contains("wants you"), "{shown}");
    }
}

#[test]
fn bodies_with_one_byte_changed() {
    let case = case("one-click-statement-0");
    let body = item(&case).to_string().into_bytes();
    let (mut read, mut signed_in) = (0, 0);
    let reading = reading();
    let reader = Reader { dialects: DIALECTS, reading: &reading };
    for index in 0..body.len() {
        for byte in [b'"', b'\\', b'}', b'0', 0xff] {
            let mut changed = body.clone();
            changed[index] = byte;
            let Ok(attempt) = reader.session(&changed) else {
                continue;
            };
            read += 1;
            // What is read is the same account, and what verifies is the same text.
            assert_eq!(attempt.account().as_str(), "eip155:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11");
            if verify(&attempt).is_ok() {
                signed_in += 1;
                assert_eq!(attempt.proof().text(), case["message"]);
            }
        }
    }
    // Nonces and times of the text are told twice, so a change of the text alone seldom gets this far.
    assert!(read > 100 && signed_in > 100, "{read} {signed_in}");
}
