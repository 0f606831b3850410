//! Payments that are refused, and the names of those that are not.

use serde_json::json;

use super::*;
use crate::{
    caip::ChainId,
    x402::{
        HEADER_BYTES_MAX,
        asset::{Asset, Price, TokenDomain},
        terms::{Accept, Offer, PaymentFlow, Scheme},
    },
};

const FROM: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";
const NOW: UnixTime = UnixTime::from_secs(1_795_168_800);

fn nonce() -> String {
    format!("0x{}Ab", "0f".repeat(31))
}

fn header(payment: &Value) -> Vec<u8> {
    wire::encode_header(&payment.to_string()).into_bytes()
}

fn read(payload: &Value) -> Result<Payment, PaymentError> {
    Payment::read(&header(&json!({"x402Version": 2, "accepted": {}, "payload": payload})))
}

fn terms(network: &str) -> Terms {
    let network = ChainId::parse(network).expect(network);
    let domain = TokenDomain { name: "Token".to_owned(), version: "1".to_owned() };
    let asset = Asset { address: "0xToKeN".to_owned(), decimals: 6, domain: Some(domain) };
    let accept = Accept { network, pay_to: "0xPAY".to_owned(), asset, scheme: Scheme::Exact, timeout_secs: 60 };
    let offer = Offer::new(accept, Price::parse("$1").expect("a price"), PaymentFlow::Authorization, None);
    let supported = Map::from_iter([("feePayer".to_owned(), "Fee".into())]);
    offer.expect("an offer").terms(Some(&supported)).expect("terms")
}

fn evm(payload: &Value) -> Result<Authorization, PaymentError> {
    read(payload)?.authorization(&terms("eip155:84532"))
}

fn transfer() -> Value {
    json!({"authorization": {"from": FROM, "nonce": nonce(), "validBefore": "1795172400"}, "signature": "0x12"})
}

fn permit() -> Value {
    json!({"permit2Authorization": {"from": FROM, "nonce": "12", "deadline": "1795172400"}, "signature": "0x12"})
}

/// A payload with the value at a JSON pointer replaced.
fn with(mut payload: Value, pointer: &str, value: Value) -> Value {
    *payload.pointer_mut(pointer).expect(pointer) = value;
    payload
}

/// A payload with a member added to the object at a JSON pointer.
fn adding(mut payload: Value, pointer: &str, name: &str, value: Value) -> Value {
    let object = payload.pointer_mut(pointer).and_then(Value::as_object_mut).expect(pointer);
    object.insert(name.to_owned(), value);
    payload
}

fn sha256(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// A legacy transaction of two signatures, one account and no instruction.
fn transaction(signature: u8, account: u8) -> Vec<u8> {
    let mut bytes = vec![2];
    bytes.extend([signature; 128]);
    bytes.extend([1, 0, 0, 1]);
    bytes.extend([account; 32]);
    bytes.extend([9; 32]);
    bytes.push(0);
    bytes
}

fn solana(bytes: &[u8]) -> Result<Authorization, PaymentError> {
    read(&json!({"transaction": BASE64.encode(bytes)}))?
        .authorization(&terms("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"))
}

#[test]
fn payments_that_cannot_be_read_say_why() {
    let version = |found: &str| PaymentError::Version(found.to_owned());
    let rows = [
        ("null", json!(null), PaymentError::Header(HeaderError::Null)),
        ("a list", json!([]), PaymentError::Header(HeaderError::Kind("a list"))),
        ("no version", json!({}), version("undefined")),
        ("version 1", json!({"x402Version": 1, "payload": {}}), version("1")),
        ("version 3", json!({"x402Version": 3, "payload": {}}), version("3")),
        ("a version as text", json!({"x402Version": "2", "payload": {}}), version("\"2\"")),
        ("a version as fraction", json!({"x402Version": 2.0, "payload": {}}), version("2.0")),
        ("no payload", json!({"x402Version": 2}), PaymentError::Member("payload")),
        ("payload null", json!({"x402Version": 2, "payload": null}), PaymentError::Member("payload")),
        ("payload a list", json!({"x402Version": 2, "payload": []}), PaymentError::Member("payload")),
        (
            "extensions a list",
            json!({"x402Version": 2, "payload": {}, "extensions": []}),
            PaymentError::Member("extensions"),
        ),
    ];
    for (name, payment, expected) in rows {
        assert_eq!(Payment::read(&header(&payment)).err(), Some(expected), "{name}");
    }
    let raw: [(&str, &[u8], HeaderError); 4] = [
        ("not base64", b"!!!!", HeaderError::Base64),
        ("empty", b"", HeaderError::Json),
        ("too long", &[b'A'; HEADER_BYTES_MAX + 1], HeaderError::Length(HEADER_BYTES_MAX + 1)),
        ("not JSON", b"AAAA", HeaderError::Json),
    ];
    for (name, value, expected) in raw {
        assert_eq!(Payment::read(value).err(), Some(PaymentError::Header(expected)), "{name}");
    }
    let twice = wire::encode_header(r#"{"x402Version":2,"payload":{"authorization":{"nonce":"1","nonce":"2"}}}"#);
    assert_eq!(Payment::read(twice.as_bytes()).err(), Some(PaymentError::Header(HeaderError::Duplicate)));
}

#[test]
fn a_second_payload_in_another_letter_case_is_refused() {
    for name in ["Payload", "payloaD", "Accepted", "x402version", "X402Version"] {
        let payment = json!({"x402Version": 2, "payload": {}, name: {}});
        let found = Payment::read(&header(&payment)).err().map(|error| error.as_str());
        assert_eq!(found, Some("payment_authorization_malformed"), "{name}");
    }
    assert!(Payment::read(&header(&json!({"x402Version": 2, "payload": {}, "payloads": {}}))).is_ok());
}

#[test]
fn challenges_say_what_was_wrong_with_a_payment() {
    let rows = [
        (PaymentError::Header(HeaderError::Base64), "Payment required"),
        (PaymentError::Header(HeaderError::Null), "Payment required"),
        (PaymentError::Version("3".to_owned()), "Unsupported x402 version: 3"),
        (PaymentError::Version("undefined".to_owned()), "Unsupported x402 version: undefined"),
        (
            PaymentError::Header(HeaderError::Duplicate),
            "`PAYMENT-SIGNATURE` cannot be read: expected each member of an object once, found one twice",
        ),
        (PaymentError::Member("payload"), "expected an object as `payload` of the payment"),
    ];
    for (error, expected) in rows {
        assert_eq!(error.challenge_error(), expected);
    }
}

#[test]
fn optional_members_may_be_missing() {
    let bare = Payment::read(&header(&json!({"x402Version": 2, "payload": {}}))).expect("a payment");
    assert_eq!((bare.accepted(), bare.extensions()), (&Value::Null, &Map::new()));
    let null = json!({"x402Version": 2, "payload": {}, "extensions": null, "resource": 7});
    assert_eq!(Payment::read(&header(&null)).expect("a payment").extensions(), &Map::new());
}

#[test]
fn the_facilitator_receives_the_payment_as_it_was_received() {
    // Spaces, the order of members, escapes and the spelling of numbers are kept.
    let sent = "{ \"payload\":{\"b\":1.50,\"a\":\"\\u0041\"},\n\"x402Version\":2 ,\"resource\":1e2}";
    let payment = Payment::read(wire::encode_header(sent).as_bytes()).expect("a payment");
    assert_eq!(payment.json(), sent);
    let expected = format!("{{\"x402Version\":2,\"paymentPayload\":{sent},\"paymentRequirements\":{{}}}}");
    assert_eq!(facilitator_request(payment.json(), "{}"), expected);
}

#[test]
fn evm_payments_are_known_by_what_was_authorised() {
    let id = |payload: &Value| evm(payload).expect("an authorization").id().to_string();
    let from = FROM.to_lowercase();
    assert_eq!(id(&transfer()), sha256(&format!("eip155:84532|0xtoken|{from}|{}", nonce().to_lowercase())));
    assert_eq!(id(&permit()), sha256(&format!("eip155:84532|0xtoken|{from}|12")));
    for (name, same) in [
        ("another signature", with(transfer(), "/signature", json!("0x34"))),
        ("addresses in lower case", with(transfer(), "/authorization/from", json!(from))),
        ("a nonce in lower case", with(transfer(), "/authorization/nonce", json!(nonce().to_lowercase()))),
        ("another end", with(transfer(), "/authorization/validBefore", json!("1"))),
        ("more beside it", adding(transfer(), "", "salt", json!(1))),
        ("more in it", adding(transfer(), "/authorization", "salt", json!(1))),
    ] {
        assert_eq!(id(&same), id(&transfer()), "{name}");
    }
    let other = format!("0x{}", "00".repeat(32));
    assert_ne!(id(&with(transfer(), "/authorization/nonce", json!(other))), id(&transfer()));
    let elsewhere = read(&transfer()).and_then(|payment| payment.authorization(&terms("eip155:8453")));
    assert_ne!(elsewhere.expect("an authorization").id().to_string(), id(&transfer()));
    assert_eq!(evm(&transfer()).expect("an authorization").payers(), [AccountKey::new("eip155", FROM)]);
    assert_eq!(evm(&permit()).expect("an authorization").payers(), [AccountKey::new("eip155", FROM)]);
}

#[test]
fn evm_payments_in_other_spellings_are_refused() {
    let both = adding(transfer(), "", "permit2Authorization", permit()["permit2Authorization"].clone());
    let rows = [
        ("both kinds", both, "authorization"),
        ("no object", json!({"authorization": "x"}), "authorization"),
        ("null", json!({"authorization": null}), "authorization"),
        ("another letter case", json!({"Authorization": {}}), "authorization"),
        ("a second letter case", adding(permit(), "", "PERMIT2authorization", json!({})), "permit2Authorization"),
        ("a nonce in a second letter case", adding(transfer(), "/authorization", "Nonce", json!("0x")), "nonce"),
        ("a payer in a second letter case", adding(permit(), "/permit2Authorization", "FROM", json!("0x")), "from"),
        ("no payer", json!({"authorization": {"nonce": nonce(), "validBefore": "1"}}), "from"),
        ("a short payer", with(transfer(), "/authorization/from", json!("0x19")), "from"),
        ("a payer without 0x", with(transfer(), "/authorization/from", json!(FROM[2..])), "from"),
        ("a payer with 0X", with(transfer(), "/authorization/from", json!(FROM.replace("0x", "0X"))), "from"),
        ("a nonce as a number", with(permit(), "/permit2Authorization/nonce", json!(12)), "nonce"),
        ("a nonce with a zero before it", with(permit(), "/permit2Authorization/nonce", json!("012")), "nonce"),
        ("a decimal nonce in hex", with(permit(), "/permit2Authorization/nonce", json!("0xc")), "nonce"),
        ("a nonce with a blank", with(permit(), "/permit2Authorization/nonce", json!(" 12")), "nonce"),
        ("a nonce of 79 digits", with(permit(), "/permit2Authorization/nonce", json!("1".repeat(79))), "nonce"),
        ("an empty nonce", with(permit(), "/permit2Authorization/nonce", json!("")), "nonce"),
        ("a hex nonce in decimal", with(transfer(), "/authorization/nonce", json!("12")), "nonce"),
        ("a short hex nonce", with(transfer(), "/authorization/nonce", json!("0x0f")), "nonce"),
        ("an end as a number", with(transfer(), "/authorization/validBefore", json!(1)), "validBefore"),
        ("an end before 1970", with(permit(), "/permit2Authorization/deadline", json!("-1")), "deadline"),
    ];
    for (name, payload, member) in rows {
        assert_eq!(evm(&payload), Err(PaymentError::Authorization(member)), "{name}");
    }
}

#[test]
fn solana_payments_are_known_by_their_message() {
    let id = |bytes: &[u8]| solana(bytes).expect("an authorization").id();
    let mut named = b"solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1|".to_vec();
    named.extend(&transaction(0, 7)[129..]);
    assert_eq!(id(&transaction(0, 7)).to_string(), HEXLOWER.encode(&Sha256::digest(&named)));
    assert_eq!(id(&transaction(0xaa, 7)), id(&transaction(0, 7)), "signatures do not count");
    assert_ne!(id(&transaction(0, 8)), id(&transaction(0, 7)), "what was signed does");
    assert_eq!(solana(&transaction(0, 7)).expect("an authorization").payers(), []);
}

#[test]
fn solana_payments_in_other_spellings_are_refused() {
    let refused = Err(PaymentError::Authorization("transaction"));
    assert_eq!(solana(&[]), refused);
    assert_eq!(solana(&transaction(0, 7)[..197]), refused);
    assert_eq!(solana(&[&transaction(0, 7)[..], &[0]].concat()), refused);
    let terms = terms("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1");
    let good = BASE64.encode(&transaction(0, 7));
    let rows = [
        ("no text", json!({"transaction": 7})),
        ("URL-safe", json!({"transaction": "Pj4-Pj8_"})),
        ("a line feed", json!({"transaction": format!("{good}\n")})),
        (
            "padding in the middle",
            json!({"transaction": format!("{}{}", BASE64.encode(&[1]), BASE64.encode(&transaction(0, 7)[1..]))}),
        ),
        ("another letter case", json!({"Transaction": good})),
        ("a second letter case", json!({"transaction": good, "tranſaction": "x"})),
    ];
    for (name, payload) in rows {
        let found = read(&payload).and_then(|payment| payment.authorization(&terms));
        assert_eq!(found, refused, "{name}");
    }
}

#[test]
fn other_payloads_are_known_by_their_canonical_json() {
    let payload = json!({"b": [1, {"d": null, "c": "\n"}], "a": {}});
    let found = evm(&payload).expect("an authorization");
    assert_eq!(found.id().to_string(), sha256(r#"{"a":{},"b":[1,{"c":"\n","d":null}]}"#));
    assert_eq!((found.payers(), found.remember_until(NOW)), (&[][..], None));
    let turned = json!({"a": {}, "b": [1, {"c": "\n", "d": null}]});
    assert_eq!(evm(&turned).expect("an authorization").id(), found.id());
    assert_ne!(evm(&json!({"a": {}})).expect("an authorization").id(), found.id());
}

#[test]
fn payments_are_remembered_until_they_cannot_be_settled() {
    let until = |end: &str| {
        let payload = with(transfer(), "/authorization/validBefore", json!(end));
        evm(&payload).expect("an authorization").remember_until(NOW)
    };
    let soon = Some(UnixTime::from_secs(1_795_168_800 + 600));
    assert_eq!(until("1795172400"), Some(UnixTime::from_secs(1_795_172_400)));
    assert_eq!(until("1795169401"), Some(UnixTime::from_secs(1_795_169_401)));
    assert_eq!(until("1795169399"), soon);
    assert_eq!(until("0"), soon);
    assert_eq!(until(&"9".repeat(78)), None);
    assert_eq!(solana(&transaction(0, 7)).expect("an authorization").remember_until(NOW), soon);
}

#[test]
fn ids_are_read_as_they_are_written() {
    let id = evm(&transfer()).expect("an authorization").id();
    assert_eq!(PaymentId::parse(&id.to_string()), Some(id));
    assert_eq!(PaymentId::parse(&id.to_string().to_uppercase()), None);
    assert_eq!(PaymentId::parse(&id.to_string()[1..]), None);
    assert_eq!(PaymentId::parse(""), None);
}

#[test]
fn debug_shows_no_signature() {
    let payment = read(&transfer()).expect("a payment");
    assert_eq!(format!("{payment:?}"), "Payment { accepted: Object {}, .. }");
}
