//! Tokens and keys of other libraries: what jose and PyJWT signed is read, what they or worse refuse to sign is not, and
//! what is sealed here is what they make of the same claims.

use std::time::Duration;

use siwx_gateway::{
    caip::AccountId,
    secret::Secret,
    session::{
        id::Sid,
        keys::{Algorithm, KeyError, OldKey, PemFault, SigningKey, SigningKeys},
        token::{AppKitClaims, Assertion, NonceClaims, Parties, SessionClaims, TokenError},
    },
};

use super::*;

struct Vectors {
    file: Value,
}

impl Vectors {
    fn load() -> Self {
        let file = vector_file("session-tokens.json");
        assert_eq!(file["tokens"].as_array().map(Vec::len), Some(94));
        assert_eq!(file["count"], 94);
        Self { file }
    }

    fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.file["now"].as_i64().expect("a time"))
    }

    fn parties(&self) -> Parties<'_> {
        let text = |name: &str| self.file[name].as_str().expect("a text");
        Parties { issuer: text("issuer"), audience: text("audience") }
    }

    fn entry(&self, name: &str) -> &Value {
        let mut keys = self.file["keys"].as_array().expect("keys").iter();
        keys.find(|key| key["name"] == name).expect("a key")
    }

    fn key(&self, name: &str) -> SigningKey {
        let entry = self.entry(name);
        let algorithm = Algorithm::named(entry["algorithm"].as_str().expect("a name")).expect("an algorithm");
        let pem = Secret::new(entry["pem"].as_str().expect("PEM").to_owned());
        SigningKey::from_pem(&pem, algorithm).expect("a key")
    }

    /// One that signs, one that will, and one that did until an hour from now.
    fn keys(&self) -> SigningKeys {
        let old = OldKey { key: self.key("old"), until: self.now().plus(Duration::from_secs(3600)) };
        SigningKeys::with(self.key("ed"), Some(self.key("ec")), vec![old]).expect("keys")
    }

    fn open(&self, case: &Value, now: UnixTime) -> Result<(), TokenError> {
        let token = case["token"].as_str().expect("a token");
        match case["kind"].as_str() {
            Some("nonce") => NonceClaims::open(&self.keys(), self.parties(), token, now).map(drop),
            _ => SessionClaims::open(&self.keys(), self.parties(), token, now).map(drop),
        }
    }

    fn token(&self, id: &str) -> &Value {
        self.file["tokens"].as_array().expect("tokens").iter().find(|case| case["id"] == id).expect(id)
    }
}

const ACCOUNT: &str = "eip155:8453:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11";
const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:FL2nsvFLkb3SJwW15p9tmHbdQTFMVm15AngPS7UQvzvn";

fn account(text: &str) -> AccountId {
    AccountId::parse(text).expect("a CAIP-10 id")
}

fn sid() -> Sid {
    Sid::parse("000102030405060708090a0b0c0d0e0f").expect("a name")
}

/// The claims that the vectors' session tokens have.
fn claims(vectors: &Vectors) -> SessionClaims {
    SessionClaims {
        sid: sid(),
        account: account(ACCOUNT),
        accounts: vec![account(ACCOUNT), account(SOLANA)],
        scheme: "eip191".into(),
        issued_at: vectors.now(),
        expires_at: vectors.now().plus(Duration::from_secs(86_400)),
        token_id: Sid::parse("f0e0d0c0b0a090807060504030201000").expect("a name"),
        appkit: None,
    }
}

fn appkit() -> AppKitClaims {
    AppKitClaims {
        uri: "https://app.gateway.example/path".into(),
        domain: "app.gateway.example".into(),
        nonce: "Kx8nQ2vLw7Tz".into(),
        project_id_key: "p".into(),
        project_uuid: "9f7e1f7c-7e0a-4c1e-9d53-2f4f7a2f1f10".into(),
        profile_uuid: "d2c0a9b1-53b8-4f0e-8f1e-0d8e7b3c5a21".into(),
        email: Some("a@b.example".into()),
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the count belongs into the log of a test run")]
fn each_token_has_its_verdict() {
    let vectors = Vectors::load();
    let (mut wrong, mut good) = (Vec::new(), 0);
    for case in vectors.file["tokens"].as_array().expect("tokens") {
        let found = vectors.open(case, vectors.now());
        let word = found.map_or_else(|error| error.as_str(), |()| "ok");
        good += usize::from(word == "ok");
        if word != case["expect"] {
            wrong.push(format!("{}: expected {}, found {word}", case["id"], case["expect"]));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(good, 14);
    println!("session-tokens.json: 94 of 94, {good} of them good");
}

#[test]
fn what_others_signed_says_what_it_says() {
    let vectors = Vectors::load();
    let read = |id: &str| {
        let token = vectors.token(id)["token"].as_str().expect("a token");
        SessionClaims::open(&vectors.keys(), vectors.parties(), token, vectors.now()).expect(id)
    };
    for id in ["ed-session-jose", "ec-session-jose", "ed-session-pyjwt", "ec-session-pyjwt"] {
        assert_eq!(read(id), claims(&vectors), "{id}");
    }
    for id in ["ed-session-with-appkit-claims", "ec-session-with-appkit-claims"] {
        assert_eq!(read(id), SessionClaims { appkit: Some(appkit()), ..claims(&vectors) }, "{id}");
    }
}

#[test]
fn what_is_sealed_is_what_others_make_of_it() {
    let vectors = Vectors::load();
    let sealed = |name: &str| {
        let mut all = vectors.file["sealed"].as_array().expect("tokens").iter();
        all.find(|case| case["name"] == name).expect(name)["token"].as_str().expect("a token")
    };
    let (keys, parties) = (vectors.keys(), vectors.parties());
    assert_eq!(claims(&vectors).seal(&keys, parties).as_deref(), Ok(sealed("session")));
    let with_appkit = SessionClaims { appkit: Some(appkit()), ..claims(&vectors) };
    assert_eq!(with_appkit.seal(&keys, parties).as_deref(), Ok(sealed("appkit")));
    let nonce = NonceClaims {
        nonce: "006b001a20000102030405060708090aff7aeb6f62fc52849e9c2eec08".into(),
        issued_at: vectors.now(),
        expires_at: vectors.now().plus(Duration::from_secs(600)),
    };
    assert_eq!(nonce.seal(&keys, parties).as_deref(), Ok(sealed("nonce")));
    let solana = account(SOLANA);
    let assertion = Assertion {
        account: &solana,
        accounts: &[&solana],
        scheme: "ed25519",
        plan: Some("pro"),
        sid: Some(sid()),
        request_id: "0f0e0d0c0b0a09080706050403020100",
        method: "POST",
        url: "https://api.gateway.example/v1/orders?page=2#x",
    };
    let sealed_here = assertion.seal(&keys, parties.issuer, &["orders", "api"], 30, vectors.now());
    assert_eq!(sealed_here.as_deref(), Ok(sealed("assertion")));
}

#[test]
fn keys_have_the_names_that_others_give_them() {
    let vectors = Vectors::load();
    let published = vectors.keys().jwks(vectors.now());
    let published = published["keys"].as_array().expect("keys");
    assert_eq!(published.len(), 3);
    for (found, name) in published.iter().zip(["ed", "ec", "old"]) {
        let entry = vectors.entry(name);
        assert_eq!(found["kid"], entry["kid"], "{name}");
        assert_eq!(found["alg"], entry["algorithm"], "{name}");
        assert_eq!(found["use"], "sig", "{name}");
        for (member, value) in entry["jwk"].as_object().expect("a key") {
            assert_eq!(&found[member], value, "{name}: {member}");
        }
        let members = found.as_object().expect("a key").len();
        assert_eq!(members, entry["jwk"].as_object().map_or(0, Map::len) + 3, "{name} has other members");
        for private in ["d", "k", "p", "q", "dp", "dq", "qi", "oth"] {
            assert!(found.get(private).is_none(), "{name} shows {private}");
        }
    }
}

#[test]
fn an_old_key_is_known_until_its_tokens_are_over() {
    let vectors = Vectors::load();
    let case = vectors.token("old-key");
    let hour = vectors.now().plus(Duration::from_secs(3600));
    assert_eq!(vectors.open(case, hour.plus_millis(-1)), Ok(()));
    assert_eq!(vectors.open(case, hour), Err(TokenError::Key));
    let kids = |now: UnixTime| vectors.keys().jwks(now)["keys"].as_array().map_or(0, Vec::len);
    assert_eq!((kids(hour.plus_millis(-1)), kids(hour)), (3, 2));
}

#[test]
fn a_token_is_judged_to_the_millisecond() {
    let vectors = Vectors::load();
    let (begin, end) = (vectors.now(), vectors.now().plus(Duration::from_secs(86_400)));
    let case = vectors.token("ed-session-jose");
    assert_eq!(vectors.open(case, begin.plus_millis(-1)), Err(TokenError::NotYetValid));
    assert_eq!(vectors.open(case, begin), Ok(()));
    assert_eq!(vectors.open(case, end.plus_millis(-1)), Ok(()));
    assert_eq!(vectors.open(case, end), Err(TokenError::Expired));
    for now in [i64::MIN, i64::MAX] {
        assert!(vectors.open(case, UnixTime::from_millis(now)).is_err());
    }
}

#[test]
fn every_changed_character_refuses_a_token() {
    let vectors = Vectors::load();
    for name in ["ed-nonce-jose", "ec-nonce-jose"] {
        let case = vectors.token(name);
        let token = case["token"].as_str().expect("a token");
        for index in 0..token.len() {
            let other = if token.as_bytes()[index] == b'A' { "B" } else { "A" };
            let mut changed = token.to_owned();
            changed.replace_range(index..=index, other);
            let opened = NonceClaims::open(&vectors.keys(), vectors.parties(), &changed, vectors.now());
            assert!(opened.is_err(), "{name}: character {index}");
        }
    }
}

#[test]
fn keys_of_another_algorithm_are_none() {
    let vectors = Vectors::load();
    let pem = |name: &str| Secret::new(vectors.entry(name)["pem"].as_str().expect("PEM").to_owned());
    assert_eq!(
        SigningKey::from_pem(&pem("ed"), Algorithm::Es256).err(),
        Some(KeyError::Pem { wanted: Algorithm::Es256, fault: PemFault::Algorithm("Ed25519") })
    );
    assert_eq!(
        SigningKey::from_pem(&pem("ec"), Algorithm::EdDsa).err(),
        Some(KeyError::Pem { wanted: Algorithm::EdDsa, fault: PemFault::Algorithm("P-256") })
    );
    let padded = Secret::new(format!("\n{}\n\n", pem("ed").expose()));
    assert!(SigningKey::from_pem(&padded, Algorithm::EdDsa).is_ok());
}
