//! One-time proofs (`SIGN-IN-WITH-X`): every case of `tests/vectors/x402-siwx-proofs.json`, and what becomes of good
//! proofs with one character changed.

use std::fs;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
use ed25519_dalek::Signer as _;
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use siwx_gateway::{
    chain::{Accepts, Scheme, Verified, eip155},
    credential::{Proven, SignIn, SignInError, SignInExpectation},
    siwx::{claims, origin::Origin},
    time::UnixTime,
};

/// What becomes of a proof that is not refused for its nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accept,
    Refuse,
    /// Both are in order, as long as nothing breaks.
    Either,
}

/// Where this gateway has another code than the packages: case, theirs, ours.
const OTHER_CODES: [(&str, &str, &str); 9] = [
    // Theirs has one code for every EVM signature that does not fit; section 9 tells those apart that do not decode.
    ("evm: recovery byte 29", "invalid_siwx_signature", "invalid_siwx_malformed_signature"),
    ("evm: 64-byte compact signature (EIP-2098)", "invalid_siwx_signature", "invalid_siwx_malformed_signature"),
    ("evm: one byte too few", "invalid_siwx_signature", "invalid_siwx_malformed_signature"),
    ("evm: all-zero signature", "invalid_siwx_signature", "invalid_siwx_malformed_signature"),
    ("evm: empty signature", "invalid_siwx_signature", "invalid_siwx_malformed_signature"),
    ("evm: r = 0", "invalid_siwx_signature", "invalid_siwx_malformed_signature"),
    // Theirs reads a number from the front of a text, and does without a reference on Solana.
    ("chainId \"eip155:01\"", "invalid_siwx_signature", "invalid_siwx_chain_id"),
    // Their dates are what `Date.parse` makes of a text, ours are those of RFC 3339.
    ("issuedAt \"2026-11-20\"", "invalid_siwx_issued_at_too_old", "invalid_siwx_issued_at"),
    ("solana: chainId without reference", "invalid_siwx_signature", "invalid_siwx_chain_id"),
];

/// The texts that this gateway does not build as the packages do. It refuses each of these proofs for another reason.
const OTHER_TEXTS: [&str; 4] = [
    "chainId \"eip155:01\"",
    "chainId \"eip155:01\" over a message signed for chain 1",
    "solana: statement with a line feed forging fields",
    "solana: chainId without reference",
];

fn vectors() -> Vec<Value> {
    let path = format!("{}/tests/vectors/x402-siwx-proofs.json", env!("CARGO_MANIFEST_DIR"));
    let vectors: Value = serde_json::from_str(&fs::read_to_string(path).expect("the vectors")).expect("JSON");
    let cases = vectors["cases"].as_array().expect("a list of cases").clone();
    assert_eq!(cases.len(), 148);
    cases
}

fn name(case: &Value) -> &str {
    case["name"].as_str().expect("a name")
}

fn now(case: &Value) -> UnixTime {
    UnixTime::parse_rfc3339(case["now"].as_str().expect("a time")).expect("a time")
}

/// `gateway` is this project's verdict, `expect` that of the packages.
fn expected_verdict(case: &Value) -> Verdict {
    let verdict = case["gateway"]["verdict"].as_str().or_else(|| case["expect"]["verdict"].as_str());
    match verdict.expect("a verdict") {
        "accept" => Verdict::Accept,
        "refuse" => Verdict::Refuse,
        "either" => Verdict::Either,
        other => panic!("{}: unknown verdict {other}", name(case)),
    }
}

fn expectation() -> SignInExpectation {
    let origin = Origin::parse("https://api.example.com").expect("an origin");
    SignInExpectation::new(origin, vec!["eip155:*".to_owned(), "solana:*".to_owned()], 300, 30)
}

fn verdict(header: &[u8], now: UnixTime) -> Result<Verified, SignInError> {
    let sign_in = SignIn::read(header)?;
    let expected = expectation();
    sign_in.check(&expected, now)?;
    let verified = sign_in.verify(&Accepts::default())?.by_key()?;
    // What a gate does with a verified message. It must not think otherwise of it.
    claims::check(verified.claims(), expected.claims(), None, now)?;
    Ok(verified)
}

fn header(case: &Value) -> &[u8] {
    case["header"].as_str().expect("a header").as_bytes()
}

#[test]
#[expect(clippy::print_stdout, reason = "the count belongs into the log of a test run")]
fn verdicts() {
    let (mut counts, mut wrong) = ([0; 3], Vec::new());
    for case in vectors() {
        let (found, expected) = (verdict(header(&case), now(&case)), expected_verdict(&case));
        let good = match expected {
            Verdict::Accept => found.is_ok(),
            Verdict::Refuse => found.is_err(),
            Verdict::Either => true,
        };
        counts[expected as usize] += 1;
        if !good {
            wrong.push(format!("{}: expected {expected:?}, found {found:?}", name(&case)));
        }
    }
    println!("x402-siwx-proofs.json: {} of 148", 148 - wrong.len());
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(counts, [35, 105, 8]);
}

/// An accepted proof says who signed, as the packages name the payer.
#[test]
fn accounts() {
    let mut compared = 0;
    for case in vectors() {
        let Ok(verified) = verdict(header(&case), now(&case)) else {
            continue;
        };
        let address = verified.account().address();
        let evm = address.starts_with("0x");
        // A signature without `0x` is good here and not there, so they name nobody.
        if let Some(payer) = case["expect"]["verify"]["payer"].as_str() {
            let same = if evm { payer.eq_ignore_ascii_case(address) } else { payer == address };
            assert!(same, "{}: expected {payer}, found {address}", name(&case));
            compared += 1;
        }
        let scheme = if evm { Scheme::Eip191 } else { Scheme::Ed25519 };
        assert_eq!(verified.scheme(), scheme, "{}", name(&case));
    }
    assert_eq!(compared, 37);
}

#[test]
fn parsing() {
    let mut counts = (0, 0);
    for case in vectors() {
        let read = SignIn::read(header(&case));
        match (case["expect"]["parse"].as_str(), expected_verdict(&case)) {
            // Spellings of the header that may be read or not.
            (_, Verdict::Either) if name(&case).starts_with("header: ") => {}
            (Some("ok"), _) => {
                assert!(read.is_ok(), "{}: {read:?}", name(&case));
                counts.0 += 1;
            }
            _ => {
                let error = read.expect_err(name(&case));
                assert_eq!(error.as_str(), "invalid_siwx_header", "{}", name(&case));
                counts.1 += 1;
            }
        }
    }
    assert_eq!(counts, (119, 26));
}

#[test]
fn signing_texts() {
    let mut differing = Vec::new();
    let mut compared = 0;
    for case in vectors() {
        let Some(message) = case["message"].as_str() else {
            continue;
        };
        let text = SignIn::read(header(&case)).and_then(|sign_in| sign_in.signing_text());
        compared += 1;
        if text.as_deref().ok() != Some(message) {
            assert_eq!(expected_verdict(&case), Verdict::Refuse, "{}: {text:?}", name(&case));
            differing.push(name(&case).to_owned());
        }
    }
    assert_eq!((compared, differing), (91, OTHER_TEXTS.map(str::to_owned).to_vec()));
}

#[test]
fn codes() {
    let mut compared = 0;
    let mut other = Vec::new();
    for case in vectors() {
        let expect = &case["expect"];
        let theirs = [&expect["validate"], &expect["verify"]].into_iter().find_map(|of| of["invalidReason"].as_str());
        let found = verdict(header(&case), now(&case)).map_err(|error| error.as_str());
        if let (Some(theirs), Err(ours)) = (theirs, found) {
            compared += 1;
            if theirs != ours {
                other.push((name(&case).to_owned(), theirs.to_owned(), ours));
            }
        }
    }
    let expected: Vec<_> = OTHER_CODES.map(|(name, theirs, ours)| (name.to_owned(), theirs.to_owned(), ours)).into();
    assert_eq!((compared, other), (59, expected));
}

/// The decoded proof of a case.
fn payload(case: &Value) -> Value {
    let text = case["header"].as_str().expect("a header").trim_end_matches('=');
    serde_json::from_slice(&BASE64_NOPAD.decode(text.as_bytes()).expect("base64")).expect("JSON")
}

fn encoded(payload: &Value) -> String {
    BASE64.encode(payload.to_string().as_bytes())
}

/// The members that the signature covers, and the signature.
const SIGNED: [&str; 13] = [
    "domain",
    "address",
    "statement",
    "uri",
    "version",
    "chainId",
    "nonce",
    "issuedAt",
    "expirationTime",
    "notBefore",
    "requestId",
    "resources",
    "signature",
];

/// Those members of a proof with their texts, each entry of a list by itself.
fn texts_of(payload: &Value) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for name in SIGNED {
        match &payload[name] {
            Value::Null => {}
            Value::Array(entries) => {
                let entry = |(at, entry): (usize, &Value)| (format!("/{name}/{at}"), text(entry));
                texts.extend(entries.iter().enumerate().map(entry));
            }
            member => texts.push((format!("/{name}"), text(member))),
        }
    }
    texts
}

fn text(member: &Value) -> String {
    member.as_str().expect("a text").to_owned()
}

/// Another character of the same kind, and not the same letter in another case: a digit for a digit, a letter of
/// hexadecimal digits for one of them.
fn another(character: char) -> char {
    match character {
        '9' | 'z' | 'Z' => '0',
        'f' => 'a',
        'F' => 'A',
        'a'..='y' | 'A'..='Y' | '0'..='8' => (character as u8 + 1) as char,
        _ => 'x',
    }
}

#[test]
fn proofs_with_one_character_changed_are_refused() {
    let expected = expectation();
    let mut tried = 0;
    for case in vectors().iter().filter(|case| expected_verdict(case) == Verdict::Accept) {
        let good = payload(case);
        for (place, text) in texts_of(&good) {
            for (at, character) in text.char_indices() {
                let mut changed = good.clone();
                let mut text = text.clone();
                text.replace_range(at..at + character.len_utf8(), &another(character).to_string());
                *changed.pointer_mut(&place).expect("a member") = text.into();
                let sign_in = SignIn::read(encoded(&changed).as_bytes()).expect("what is changed is inside");
                // By the signature alone, whatever the checks before would have said.
                let found = sign_in.verify(&Accepts::all()).and_then(Proven::by_key);
                assert!(found.is_err(), "{}, {place} at {at}: {found:?}", name(case));
                if place == "/domain" {
                    let error = sign_in.check(&expected, now(case)).expect_err(name(case));
                    assert_eq!(error.as_str(), "invalid_siwx_domain_mismatch", "{}", name(case));
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 13_117);
}

/// The first key of the vectors.
const KEY: [u8; 32] = [0x11; 32];
const ADDRESS: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";

/// A signature in the way of `personal_sign`.
fn signed(text: &str) -> String {
    let key = SigningKey::from_slice(&KEY).expect("a scalar");
    let (signature, recovery) = key.sign_prehash_recoverable(&eip155::digest(text.as_bytes()));
    format!("0x{}{:02x}", HEXLOWER.encode(&signature.to_bytes()), 27 + recovery.to_byte())
}

/// JavaScript clients sign the checksummed address, Python ones the address as the payload has it.
#[test]
fn an_address_in_lower_case_may_be_signed_in_two_spellings() {
    let lower = ADDRESS.to_lowercase();
    let upper = format!("0x{}", ADDRESS[2..].to_uppercase());
    let rows = [
        ("checksummed, signed so", ADDRESS, ADDRESS, true),
        ("checksummed, signed in lower case", ADDRESS, &lower, false),
        ("lower case, signed checksummed", &lower, ADDRESS, true),
        ("lower case, signed so", &lower, &lower, true),
        ("lower case, signed in upper case", &lower, &upper, false),
        ("upper case, signed checksummed", &upper, ADDRESS, true),
        ("upper case, signed so", &upper, &upper, false),
    ];
    for (name, spelled, signed_as, good) in rows {
        let text = format!(
            "api.example.com wants you to sign in with your Ethereum account:\n{signed_as}\n\n\n\
             URI: https://api.example.com/\nVersion: 1\nChain ID: 8453\nNonce: e6be4e43cb5e265c\n\
             Issued At: 2026-11-20T10:00:00Z"
        );
        let header = encoded(&json!({
            "domain": "api.example.com", "address": spelled, "uri": "https://api.example.com/", "version": "1",
            "chainId": "eip155:8453", "type": "eip191", "nonce": "e6be4e43cb5e265c",
            "issuedAt": "2026-11-20T10:00:00Z", "signature": signed(&text),
        }));
        let now = UnixTime::parse_rfc3339("2026-11-20T10:00:01Z").expect("a time");
        let found = verdict(header.as_bytes(), now).map(|verified| verified.account().as_str().to_owned());
        let expected = format!("eip155:8453:{ADDRESS}");
        match found {
            Ok(account) => assert_eq!((good, account), (true, expected), "{name}"),
            Err(error) => assert_eq!((good, error.as_str()), (false, "invalid_siwx_signature"), "{name}"),
        }
    }
}

/// Hardware wallets of Solana sign an envelope around the text. An operator may turn these off, here too.
#[test]
fn what_is_not_taken_elsewhere_is_not_taken_here() {
    let key = ed25519_dalek::SigningKey::from_bytes(&[0x21; 32]);
    let account = key.verifying_key().to_bytes();
    let address = bs58::encode(account).into_string();
    let text = format!(
        "api.example.com wants you to sign in with your Solana account:\n{address}\n\n\
         URI: https://api.example.com/\nVersion: 1\nChain ID: EtWTRABZaYq6iMfeYKouRu166VU2xqa1\n\
         Nonce: e6be4e43cb5e265c\nIssued At: 2026-11-20T10:00:00Z"
    );
    let envelope = [b"\xffsolana offchain\x01\x01", &account[..], text.as_bytes()].concat();
    let signature = key.sign(&envelope).to_bytes();
    let read = |signature: String| {
        let header = encoded(&json!({
            "domain": "api.example.com", "address": address, "uri": "https://api.example.com/", "version": "1",
            "chainId": "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", "type": "ed25519", "nonce": "e6be4e43cb5e265c",
            "issuedAt": "2026-11-20T10:00:00Z", "signature": signature,
        }));
        SignIn::read(header.as_bytes()).expect("a proof")
    };
    let off = Accepts { offchain: false, ..Accepts::all() };
    let base58 = bs58::encode(signature).into_string();
    let rows = [
        ("base58", base58.clone(), Accepts::all(), Ok(Scheme::SolanaOffchain)),
        ("envelopes off", base58, off, Err("signature_mismatch")),
        ("hex", HEXLOWER.encode(&signature), Accepts::all(), Err("malformed_signature")),
        ("base64", BASE64.encode(&signature), Accepts::all(), Err("malformed_signature")),
        ("a transaction", "tx:AAAA".to_owned(), Accepts::all(), Err("form_not_accepted")),
    ];
    for (name, signature, accepts, expected) in rows {
        let found = read(signature).verify(&accepts).and_then(Proven::by_key);
        let found = found.map(|verified| verified.scheme()).map_err(|error| error.cause().unwrap_or("nothing"));
        assert_eq!(found, expected, "{name}");
    }
}
