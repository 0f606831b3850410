//! What is no proof, and the checks that ask no key, each boundary from both sides.

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64_NOPAD};
use serde_json::{Value, json};

use super::*;

fn payload() -> Value {
    json!({
        "domain": "api.example.com",
        "address": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
        "uri": "https://api.example.com/premium",
        "version": "1",
        "chainId": "eip155:84532",
        "type": "eip191",
        "nonce": "e6be4e43cb5e265c28e492c25c483925",
        "issuedAt": "2026-11-20T10:00:00.000Z",
        "signature": "0x00",
    })
}

/// The proof with some members set; a member set to nothing is taken away.
fn with(changes: &[(&str, Option<Value>)]) -> Value {
    let mut payload = payload();
    let members = payload.as_object_mut().expect("an object");
    for (name, value) in changes {
        match value {
            Some(value) => members.insert((*name).to_owned(), value.clone()),
            None => members.remove(*name),
        };
    }
    payload
}

fn read(json: &str) -> Result<SignIn, SignInError> {
    SignIn::read(BASE64.encode(json.as_bytes()).as_bytes())
}

fn member(name: &'static str, expected: &'static str, found: &'static str) -> SignInError {
    SignInError::Member { name, expected, found }
}

#[test]
fn members_are_there_with_their_type() {
    let string = "a string";
    let list = "a list of strings";
    let types = "`eip191` or `ed25519`";
    let hints = "`eip191`, `eip1271`, `eip6492` or `siws`";
    let set = |name, value| with(&[(name, Some(value))]);
    let absent = |name| with(&[(name, None)]);
    let rows = [
        ("no domain", absent("domain"), member("domain", string, "nothing")),
        ("no address", absent("address"), member("address", string, "nothing")),
        ("no type", absent("type"), member("type", types, "nothing")),
        ("no signature", absent("signature"), member("signature", string, "nothing")),
        ("a required member that is null", set("uri", Value::Null), member("uri", string, "null")),
        ("an optional member that is null", set("statement", Value::Null), member("statement", string, "null")),
        ("a number", set("version", json!(1)), member("version", string, "a number")),
        ("a list", set("requestId", json!([])), member("requestId", string, "a list")),
        ("an object", set("notBefore", json!({})), member("notBefore", string, "an object")),
        ("resources null", set("resources", Value::Null), member("resources", list, "null")),
        ("resources a string", set("resources", json!("a:b")), member("resources", list, "a string")),
        (
            "a number among the resources",
            set("resources", json!(["a:b", 1])),
            member("resources", list, "a list with something else in it"),
        ),
        ("unknown type", set("type", json!("EIP191")), member("type", types, "another word")),
        ("unknown hint", set("signatureScheme", json!("")), member("signatureScheme", hints, "another word")),
        ("hint that is null", set("signatureScheme", Value::Null), member("signatureScheme", string, "null")),
    ];
    for (name, payload, expected) in rows {
        assert_eq!(read(&payload.to_string()), Err(expected), "{name}");
    }
}

#[test]
fn what_is_ignored() {
    let plain = read(&payload().to_string()).expect("a proof");
    let rows = [
        ("unknown members", with(&[("extra", Some(json!({ "domain": [1, null] }))), ("Domain", Some(json!(1)))])),
        ("the hint", with(&[("signatureScheme", Some(json!("siws")))])),
    ];
    for (name, payload) in rows {
        assert_eq!(read(&payload.to_string()).as_ref(), Ok(&plain), "{name}");
    }
    // A number that no type here could hold.
    let text = payload().to_string().replacen('{', r#"{"extra":1e999,"#, 1);
    assert_eq!(read(&text), Ok(plain));
}

#[test]
fn what_is_no_object() {
    let text = payload().to_string();
    let twice = |member: &str, name: &str| (text.replacen('{', &format!("{{{member},"), 1), name.to_owned());
    let values = text.trim_matches(['{', '}']).split(',').map(|member| member.split_once(':').expect("a member").1);
    let rows = [
        ("nothing", String::new()),
        ("null", "null".to_owned()),
        ("a list of the values in their order", format!("[{}]", values.collect::<Vec<_>>().join(","))),
        ("two objects", format!("{text}{text}")),
        ("something behind it", format!("{text} x")),
        ("byte order mark", format!("\u{feff}{text}")),
        ("a comma at the end", text.replace('}', ",}")),
        ("half a surrogate pair", text.replace("api", "\\ud800")),
    ];
    for (name, json) in rows {
        assert_eq!(read(&json), Err(SignInError::Json), "{name}");
    }
    assert_eq!(SignIn::read(BASE64.encode(b"{\"domain\":\"\xff\"}").as_bytes()), Err(SignInError::Json));
    // Also in a member that nobody looks at: the rest of such a proof used to be taken.
    let unknown = text.replacen('{', "{\"extra\":\"\u{e9}\",", 1).into_bytes();
    let cut = unknown.iter().position(|byte| *byte == 0xc3).expect("a first byte of two");
    let broken = [&unknown[..cut], &unknown[cut + 1..]].concat();
    assert!(SignIn::read(BASE64.encode(&unknown).as_bytes()).is_ok());
    assert_eq!(SignIn::read(BASE64.encode(&broken).as_bytes()), Err(SignInError::Json));
    let rows = [
        ("before the other", twice(r#""address":"0x1C5A77d9FA7eF466951B2F01F724BCa3A5820b63""#, "address")),
        ("with the same value", twice(r#""version":"1""#, "version")),
        ("in another spelling", twice(r#""\u006eonce":"12345678""#, "nonce")),
        ("unknown to us", twice(r#""a":1,"a":1"#, "a")),
    ];
    for (name, (json, member)) in rows {
        assert_eq!(read(&json), Err(SignInError::Twice(member.into())), "{name}");
    }
}

#[test]
fn base64_has_few_spellings() {
    // So many spaces that one character of padding is needed.
    let spaces = (5 - payload().to_string().len() % 3) % 3;
    let padded = BASE64.encode(format!("{}{}", payload(), " ".repeat(spaces)).as_bytes());
    assert!(padded.ends_with('='));
    let bare = padded.trim_end_matches('=').to_owned();
    for (name, header) in [("padded", &padded), ("without padding", &bare)] {
        assert!(SignIn::read(header.as_bytes()).is_ok(), "{name}");
    }
    let rows = [
        ("white space", format!("{padded} ")),
        ("too much padding", format!("{padded}=")),
        ("both alphabets", format!("-+{bare}")),
        ("percent escape", bare.clone() + "%3d"),
        ("two values", format!("{padded},{padded}")),
        (
            "padding in the middle",
            format!("{}{}", BASE64.encode(b"{"), BASE64.encode(&payload().to_string().as_bytes()[1..])),
        ),
    ];
    for (name, header) in rows {
        assert_eq!(SignIn::read(header.as_bytes()), Err(SignInError::Encoding), "{name}");
    }
}

#[test]
fn the_limit_counts_what_was_received() {
    // 12,288 bytes are 16,384 of base64.
    let room = CREDENTIAL_BYTES_MAX / 4 * 3 - payload().to_string().len();
    let header = |spaces: usize| BASE64_NOPAD.encode(format!("{}{}", payload(), " ".repeat(spaces)).as_bytes());
    assert_eq!(header(room).len(), CREDENTIAL_BYTES_MAX);
    assert!(SignIn::read(header(room).as_bytes()).is_ok());
    let over = header(room + 1);
    assert_eq!(SignIn::read(over.as_bytes()), Err(SignInError::TooLarge(over.len())));
}

const NOW: &str = "2026-11-20T10:00:00.000Z";

fn time(text: &str) -> UnixTime {
    UnixTime::parse_rfc3339(text).expect("a time")
}

fn expectation(chains: &[&str]) -> SignInExpectation {
    let origin = Origin::parse("https://api.example.com").expect("an origin");
    SignInExpectation::new(origin, chains.iter().map(|chain| (*chain).to_owned()).collect(), 300, 30)
}

/// The code of what [`SignIn::check`] says at a time.
fn code(payload: &Value, now: UnixTime) -> Result<(), &'static str> {
    let sign_in = read(&payload.to_string()).expect("a proof");
    sign_in.check(&expectation(&["eip155:*", "solana:*"]), now).map_err(|error| error.as_str())
}

#[test]
fn times_from_both_sides() {
    let too_old = Err("invalid_siwx_issued_at_too_old");
    let in_future = Err("invalid_siwx_issued_at_in_future");
    let expired = Err("invalid_siwx_expired");
    let not_yet = Err("invalid_siwx_not_yet_valid");
    let ends_first = Err("invalid_siwx_expiration_time");
    let at = |issued, expires, begins| {
        let member = |text: &'static str| if text.is_empty() { None } else { Some(json!(text)) };
        with(&[("issuedAt", member(issued)), ("expirationTime", member(expires)), ("notBefore", member(begins))])
    };
    let rows = [
        ("issued now", at(NOW, "", ""), Ok(())),
        ("at the age limit", at("2026-11-20T09:55:00.000Z", "", ""), Ok(())),
        ("a millisecond older", at("2026-11-20T09:54:59.999Z", "", ""), too_old),
        ("too old, however far its end", at("2026-11-20T09:54:59.999Z", "2027-11-20T10:00:00Z", ""), too_old),
        ("at the skew", at("2026-11-20T10:00:30.000Z", "", ""), Ok(())),
        ("a millisecond further", at("2026-11-20T10:00:30.001Z", "", ""), in_future),
        ("ends in a millisecond", at("2026-11-20T09:59:00Z", "2026-11-20T10:00:00.001Z", ""), Ok(())),
        ("ends now", at("2026-11-20T09:59:00Z", NOW, ""), expired),
        ("skew prolongs nothing", at("2026-11-20T09:58:00Z", "2026-11-20T09:59:59.999Z", ""), expired),
        ("begins at the skew", at(NOW, "", "2026-11-20T10:00:30Z"), Ok(())),
        ("begins a millisecond later", at(NOW, "", "2026-11-20T10:00:30.001Z"), not_yet),
        ("ends before it was issued", at("2026-11-20T10:00:20Z", "2026-11-20T10:00:20Z", ""), ends_first),
        ("ends after it was issued", at("2026-11-20T10:00:20Z", "2026-11-20T10:00:20.001Z", ""), Ok(())),
        ("ends before it begins", at(NOW, "2026-11-20T10:00:10Z", "2026-11-20T10:00:10Z"), ends_first),
        ("ends after it begins", at(NOW, "2026-11-20T10:00:10.001Z", "2026-11-20T10:00:10Z"), Ok(())),
        ("issued at no time", at("2026-11-20T10:00:00", "", ""), Err("invalid_siwx_issued_at")),
        ("ends at no time", at(NOW, "tomorrow", ""), ends_first),
        ("begins at no time", at(NOW, "", "2026-11-20"), Err("invalid_siwx_not_before")),
    ];
    for (name, payload, expected) in rows {
        assert_eq!(code(&payload, time(NOW)), expected, "{name}");
    }
    // What is empty is on no line of the text, and so no time.
    let empty = with(&[("expirationTime", Some(json!(""))), ("notBefore", Some(json!("")))]);
    assert_eq!(code(&empty, time(NOW)), Ok(()));
    assert_eq!(code(&with(&[("issuedAt", Some(json!("")))]), time(NOW)), Err("invalid_siwx_issued_at"));
}

#[test]
fn origins_and_chains() {
    let domain = Err("invalid_siwx_domain_mismatch");
    let uri = Err("invalid_siwx_uri_mismatch");
    let chain_id = Err("invalid_siwx_chain_id");
    let unsupported = Err("invalid_siwx_unsupported_chain");
    let rows = [
        ("its port", "domain", "api.example.com:443", domain),
        ("another case", "domain", "Api.example.com", domain),
        ("nothing", "domain", "", domain),
        ("a longer host", "domain", "api.example.com.evil.example", domain),
        ("any path and query", "uri", "https://api.example.com/a?b#c", Ok(())),
        ("no path", "uri", "https://api.example.com", Ok(())),
        ("the default port", "uri", "https://api.example.com:443/", Ok(())),
        ("host in another case", "uri", "HTTPS://API.example.com/", Ok(())),
        ("another port", "uri", "https://api.example.com:8443/", uri),
        ("another scheme", "uri", "http://api.example.com/", uri),
        ("user information", "uri", "https://u@api.example.com/", uri),
        ("the host as user information", "uri", "https://api.example.com@evil.example/", uri),
        ("a longer host", "uri", "https://api.example.com.evil.example/", uri),
        ("a backslash", "uri", "https://api.example.com\\@evil.example/", uri),
        ("no URI", "uri", "/premium", uri),
        ("another chain of the family", "chainId", "eip155:1", Ok(())),
        ("leading zero", "chainId", "eip155:01", chain_id),
        ("no reference", "chainId", "eip155:", chain_id),
        ("two references", "chainId", "eip155:1:2", chain_id),
        ("above EIP-2294", "chainId", "eip155:9223372036854775772", chain_id),
        ("a chain that `type` does not fit", "chainId", "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", chain_id),
        ("another family", "chainId", "bip122:000000000019d6689c085ae165831e93", unsupported),
        ("family in upper case", "chainId", "EIP155:1", unsupported),
        ("a reference alone", "chainId", "1", unsupported),
    ];
    for (name, member, value, expected) in rows {
        assert_eq!(code(&with(&[(member, Some(json!(value)))]), time(NOW)), expected, "{member}: {name}");
    }
}

#[test]
fn the_first_failure_is_the_answer() {
    let wrong = [
        ("domain", "evil.example", "invalid_siwx_domain_mismatch"),
        ("uri", "https://evil.example/", "invalid_siwx_uri_mismatch"),
        ("issuedAt", "2026-11-20T09:00:00Z", "invalid_siwx_issued_at_too_old"),
        ("expirationTime", "2026-11-20T09:00:01Z", "invalid_siwx_expired"),
        ("notBefore", "2026-11-20T11:00:00Z", "invalid_siwx_not_yet_valid"),
        ("chainId", "tezos:NetXdQprcVkpaWU", "invalid_siwx_unsupported_chain"),
    ];
    for (at, (.., expected)) in wrong.iter().enumerate() {
        let changes: Vec<_> = wrong[at..].iter().map(|(name, value, _)| (*name, Some(json!(value)))).collect();
        assert_eq!(code(&with(&changes), time(NOW)), Err(*expected));
    }
}

#[test]
fn chains_that_are_welcome() {
    let solana = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
    let rows: [(&str, &str, &[&str], bool); 6] = [
        ("the one", "eip155:8453", &["eip155:1", "eip155:8453"], true),
        ("the beginning of one", "eip155:845", &["eip155:8453"], false),
        ("all of a family", "eip155:8453", &["eip155:*"], true),
        ("all of another family", "eip155:8453", &["solana:*"], false),
        ("none", "eip155:8453", &[], false),
        ("by a word", "solana:mainnet", &[solana], true),
    ];
    for (name, chain, welcome, good) in rows {
        let kind = if chain.starts_with("solana") { "ed25519" } else { "eip191" };
        let payload = with(&[("chainId", Some(json!(chain))), ("type", Some(json!(kind)))]);
        let sign_in = read(&payload.to_string()).expect("a proof");
        let found = sign_in.check(&expectation(welcome), time(NOW));
        let expected = if good { Ok(()) } else { Err(SignInError::UnsupportedChain(chain.into())) };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn the_end_by_age() {
    let until =
        |changes: &[(&str, Option<Value>)]| read(&with(changes).to_string()).expect("a proof").until(&expectation(&[]));
    assert_eq!(until(&[]), Some(time("2026-11-20T10:05:00Z")));
    assert_eq!(until(&[("expirationTime", Some(json!("2026-11-20T10:01:00Z")))]), Some(time("2026-11-20T10:05:00Z")));
    assert_eq!(until(&[("issuedAt", Some(json!("now")))]), None);
}

/// What no signature was asked for, because the text is none that a careful reader takes.
#[test]
fn texts_that_are_no_messages() {
    let rows = [
        ("version", "2", "invalid_siwx_message", "invalid_version"),
        ("nonce", "1234567", "invalid_siwx_nonce", "invalid_nonce"),
        ("nonce", "a-b-c-d-e-f", "invalid_siwx_nonce", "invalid_nonce"),
        ("statement", "ü", "invalid_siwx_message", "invalid_statement"),
        ("statement", "a\nURI: b", "invalid_siwx_message", "forbidden_character"),
        ("requestId", "a\nResources:\n- a:b", "invalid_siwx_message", "forbidden_character"),
        ("requestId", "a b", "invalid_siwx_message", "invalid_request_id"),
        (
            "address",
            "0x19e7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
            "invalid_siwx_malformed_signature",
            "address_checksum",
        ),
        ("address", "0x19E7", "invalid_siwx_malformed_signature", "invalid_account"),
        ("signature", "0x00", "invalid_siwx_signature", "rpc_not_configured"),
        ("signature", "", "invalid_siwx_malformed_signature", "malformed_signature"),
    ];
    for family in ["eip155:1", "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"] {
        for (member, value, code, cause) in rows {
            let mut changes = vec![("chainId", Some(json!(family)))];
            if family.starts_with("solana") {
                if matches!((member, value), ("address" | "signature", _)) {
                    continue;
                }
                changes.push(("type", Some(json!("ed25519"))));
                changes.push(("address", Some(json!("AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene"))));
            }
            changes.push((member, Some(json!(value))));
            let sign_in = read(&with(&changes).to_string()).expect("a proof");
            let error = sign_in.verify(&Accepts::all()).and_then(Proven::by_key).expect_err(value);
            assert_eq!((error.as_str(), error.cause()), (code, Some(cause)), "{family}, {member}: {value}");
        }
    }
}

#[test]
fn codes_are_distinct_and_complete() {
    let codes: BTreeSet<_> = SignInError::CODES.iter().collect();
    assert_eq!(codes.len(), SignInError::CODES.len());
    let signatures = SignatureError::ALL.iter().map(|error| SignInError::Signature(*error).as_str());
    let others = [SignInError::Nonce, SignInError::Json, SignInError::ChainId("".into())];
    for code in signatures.chain(others.iter().map(SignInError::as_str)) {
        assert!(codes.contains(&code), "{code}");
    }
}

#[test]
fn what_proves_is_not_shown() {
    let sign_in = read(&payload().to_string()).expect("a proof");
    let shown = format!("{sign_in:?}");
    assert!(!shown.contains("0x00") && !shown.contains("e6be4e43"), "{shown}");
    assert!(shown.contains("api.example.com"), "{shown}");
}
