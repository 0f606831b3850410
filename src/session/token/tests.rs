//! Tokens: what is read back as it was written, and what is opened by nobody.

use std::time::Duration;

use super::*;
use crate::{
    caip::AccountId,
    secret::Secret,
    session::{
        id::Sid,
        keys::{Algorithm, SigningKey},
    },
};

const NOW: UnixTime = UnixTime::from_secs(1_795_168_800);
const PARTIES: Parties<'_> = Parties { issuer: "https://gw.example", audience: "gw.example" };

fn keys(algorithm: Algorithm) -> SigningKeys {
    SigningKeys::new(SigningKey::derive(&Secret::new([7; 32]), algorithm))
}

fn account(text: &str) -> AccountId {
    AccountId::parse(text).expect("a CAIP-10 id")
}

fn session(account: AccountId) -> SessionClaims {
    SessionClaims {
        sid: Sid::new([1; 16]),
        accounts: vec![account.clone()],
        account,
        scheme: "eip191".into(),
        issued_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(3600)),
        token_id: Sid::new([2; 16]),
        appkit: None,
    }
}

fn assertion<'a>(account: &'a AccountId, accounts: &'a [&'a AccountId], url: &'a str) -> Assertion<'a> {
    let request_id = "0f0e0d0c0b0a09080706050403020100";
    Assertion { account, accounts, scheme: "eip191", plan: None, sid: None, request_id, method: "GET", url }
}

fn nonce() -> NonceClaims {
    NonceClaims { nonce: "12345678".into(), issued_at: NOW, expires_at: NOW.plus(Duration::from_secs(600)) }
}

#[test]
fn what_is_sealed_is_opened() {
    for algorithm in Algorithm::ALL {
        let keys = keys(*algorithm);
        let claims = session(account("eip155:1:0xab"));
        let token = claims.seal(&keys, PARTIES).expect("a token");
        assert!(is_token(&token));
        assert_eq!(SessionClaims::open(&keys, PARTIES, &token, NOW), Ok(claims));
        let token = nonce().seal(&keys, PARTIES).expect("a token");
        assert_eq!(NonceClaims::open(&keys, PARTIES, &token, NOW), Ok(nonce()));
    }
}

#[test]
fn a_kind_is_refused_in_place_of_another() {
    let keys = keys(Algorithm::EdDsa);
    let session_token = session(account("eip155:1:0xab")).seal(&keys, PARTIES).expect("a token");
    let nonce_token = nonce().seal(&keys, PARTIES).expect("a token");
    let who = account("eip155:1:0xab");
    let accounts = [&who];
    let assertion = assertion(&who, &accounts, "https://gw.example/");
    // Were an upstream called as this gateway's domain is, the kind would still tell them apart.
    let assertion = assertion.seal(&keys, PARTIES.issuer, &[PARTIES.audience], 30, NOW).expect("a token");
    for token in [&nonce_token, &assertion] {
        assert_eq!(SessionClaims::open(&keys, PARTIES, token, NOW), Err(TokenError::Kind(Kind::Session)));
    }
    for token in [&session_token, &assertion] {
        assert_eq!(NonceClaims::open(&keys, PARTIES, token, NOW), Err(TokenError::Kind(Kind::Nonce)));
    }
    for token in [&session_token, &nonce_token] {
        assert_eq!(open(&keys, Kind::Assertion, PARTIES, token, NOW), Err(TokenError::Kind(Kind::Assertion)));
    }
    let said = verify(&keys, &assertion, NOW).expect("a token of ours");
    let said = json::parse_object(&said).expect("an object");
    assert_eq!((said["typ"].as_str(), said["aud"][0].as_str()), (Some("siwx-assertion"), Some(PARTIES.audience)));
}

#[test]
fn a_token_has_a_length() {
    let keys = keys(Algorithm::EdDsa);
    let of = |accounts: usize| {
        let mut claims = session(account("eip155:1:0xab"));
        let long = |i| account(&format!("starknet:{i}:{}", "a".repeat(128)));
        claims.accounts.extend((1..accounts).map(long));
        claims.seal(&keys, PARTIES).map(|token| token.len())
    };
    assert!(matches!(of(16), Ok(..=TOKEN_BYTES_MAX)), "{:?}", of(16));
    assert!(matches!(of(24), Err(TokenError::TooLong { limit: TOKEN_BYTES_MAX, .. })), "{:?}", of(24));
    // What is too long is not even looked at.
    let long = "a.".repeat(TOKEN_BYTES_MAX);
    let refused = TokenError::TooLong { found: 2 * TOKEN_BYTES_MAX, limit: TOKEN_BYTES_MAX };
    assert_eq!(SessionClaims::open(&keys, PARTIES, &long, NOW), Err(refused));
    assert_eq!(NonceClaims::open(&keys, PARTIES, &long, NOW), Err(refused));
}

#[test]
fn sixteen_accounts_of_usual_length_fit_with_all_claims() {
    let keys = keys(Algorithm::Es256);
    let solana = |i: u8| {
        let chain = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
        account(&format!("{chain}:{}{}", "F".repeat(42), char::from(b'a' + i)))
    };
    let mut claims = session(solana(0));
    claims.accounts.extend((1..16).map(solana));
    let uri = format!("https://app.gateway.example/{}", "p".repeat(2000));
    claims.appkit = Some(AppKitClaims {
        uri: AppKitClaims::short_uri(&uri).into(),
        domain: "app.gateway.example".into(),
        nonce: "0".repeat(58).into(),
        project_id_key: "0".repeat(32).into(),
        project_uuid: "0".repeat(36).into(),
        profile_uuid: "0".repeat(36).into(),
        email: Some(format!("{}@mail.example", "m".repeat(40)).into()),
    });
    let token = claims.seal(&keys, PARTIES).expect("a token");
    assert_eq!(SessionClaims::open(&keys, PARTIES, &token, NOW), Ok(claims));
}

#[test]
fn long_uris_are_cut_at_a_boundary() {
    let path = "p".repeat(600);
    let rows = [
        ("https://a.example/x?y#z".to_owned(), "https://a.example/x"),
        ("https://a.example#z".to_owned(), "https://a.example"),
        (format!("https://a.example/{path}"), "https://a.example"),
        (format!("https://a.example:8443/x?{path}"), "https://a.example:8443/x"),
        (String::new(), ""),
    ];
    for (uri, expected) in rows {
        assert_eq!(AppKitClaims::short_uri(&uri), expected);
    }
    assert_eq!(AppKitClaims::short_uri(&format!("urn:{}", "x".repeat(2000))).len(), 512);
    assert_eq!(AppKitClaims::short_uri(&format!("urn:{}", "é".repeat(2000))).len() % 2, 0);
}

#[test]
fn chains_are_numbers_on_evm_and_texts_elsewhere() {
    let rows = [
        ("eip155:8453:0xab", serde_json::json!(8453), "eip155", "eip155:8453"),
        (
            "eip155:9223372036854775771:0xab",
            serde_json::json!(9_223_372_036_854_775_771_u64),
            "eip155",
            "eip155:9223372036854775771",
        ),
        (
            "bip122:000000000019d6689c085ae165831e93:1A",
            "000000000019d6689c085ae165831e93".into(),
            "bip122",
            "bip122:000000000019d6689c085ae165831e93",
        ),
        ("tezos:NetX:tz1", "NetX".into(), "tezos", "tezos:NetX"),
        ("cosmos:123:c", "123".into(), "cosmos", "cosmos:123"),
    ];
    for (text, reference, namespace, chain) in rows {
        let claims = session(account(text)).claims();
        assert_eq!(claims["chainId"], reference);
        assert_eq!((&claims["chainNamespace"], &claims["caip2Network"]), (&namespace.into(), &chain.into()));
        assert_eq!(claims["sub"], format!("did:pkh:{text}"));
    }
}

#[test]
fn an_assertion_lives_a_minute_at_most() {
    let keys = keys(Algorithm::EdDsa);
    let who = account("eip155:1:0xab");
    let accounts = [&who];
    let of =
        |url: &str, ttl_secs, now| assertion(&who, &accounts, url).seal(&keys, PARTIES.issuer, &["api"], ttl_secs, now);
    let ends = |ttl_secs| {
        let token = of("https://gw.example/a?b#c", ttl_secs, NOW.plus_millis(999)).expect("a token");
        let claims = json::parse_object(&verify(&keys, &token, NOW).expect("a token of ours")).expect("claims");
        assert_eq!(claims["htu"], "https://gw.example/a");
        assert_eq!(claims.get("sid"), None);
        claims["exp"].as_i64().expect("a time") - NOW.secs()
    };
    assert_eq!([1, 30, 60, 61, u32::MAX].map(ends), [1, 30, 60, 60, 60]);

    // A target of 8 KiB has room in it; what no listener lets in does not.
    let url = |bytes: usize| format!("https://gw.example/{}", "p".repeat(bytes));
    let of = |url: &str| of(url, 30, NOW).map(drop);
    assert_eq!(of(&url(8192)), Ok(()));
    assert!(matches!(of(&url(16_384)), Err(TokenError::TooLong { limit: ASSERTION_BYTES_MAX, .. })));
}

#[test]
fn ends_are_rounded_down() {
    let keys = keys(Algorithm::EdDsa);
    let claims = NonceClaims { expires_at: NOW.plus_millis(1999), ..nonce() };
    let token = claims.seal(&keys, PARTIES).expect("a token");
    assert!(NonceClaims::open(&keys, PARTIES, &token, NOW.plus_millis(999)).is_ok());
    assert_eq!(NonceClaims::open(&keys, PARTIES, &token, NOW.plus_millis(1000)), Err(TokenError::Expired));
}

/// Another hand with our key wrote `iat` later than `nbf`: sealed again it would have been refused.
#[test]
fn a_token_issued_later_than_it_is_good_opens_nothing() {
    let keys = keys(Algorithm::EdDsa);
    let issued = NOW.plus(Duration::from_secs(1)).secs();
    let claims = serde_json::json!({
        "typ": Kind::Nonce.as_str(), "iss": PARTIES.issuer, "aud": PARTIES.audience,
        "nonce": "12345678", "iat": issued, "nbf": NOW.secs(), "exp": NOW.secs() + 600,
    });
    let token = sign(keys.current(), &claims.to_string());
    assert_eq!(NonceClaims::open(&keys, PARTIES, &token, NOW), Err(TokenError::NotYetValid));
    assert!(NonceClaims::open(&keys, PARTIES, &token, NOW.plus(Duration::from_secs(1))).is_ok());
}

#[test]
fn errors_have_names_of_their_own() {
    let all = [
        TokenError::Algorithm,
        TokenError::Audience,
        TokenError::Claim("exp"),
        TokenError::Critical,
        TokenError::Expired,
        TokenError::Form,
        TokenError::Header,
        TokenError::Issuer,
        TokenError::Key,
        TokenError::Kind(Kind::Nonce),
        TokenError::NotYetValid,
        TokenError::Payload,
        TokenError::Signature,
        TokenError::TooLong { found: 2, limit: 1 },
    ];
    let mut names: Vec<_> = all.iter().map(|error| error.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
    assert!(names.iter().all(|name| name.starts_with("token_")));
    assert_eq!(Kind::ALL.len(), 3);
}

#[test]
fn an_id_is_no_token() {
    for text in ["", "siwxs_AAECAwQFBgcICQoLDA0ODxAREhMUFRb_", "a.b", "a.b.c.d"] {
        assert!(!is_token(text), "{text}");
    }
}
