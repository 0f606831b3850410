//! Tokens, cookies and nonces that this gateway issues, as clients give them back.
//!
//! An input is a token, or the claims of one, which is then signed with our own key: behind the signature claims are
//! still what another version, or another gateway with the key, wrote.

use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD;
use siwx_gateway::{
    secret::Secret,
    session::{
        id::{SessionId, SessionKey, Sid},
        keys::{Algorithm, SigningKey, SigningKeys},
        set::Pair,
        token::{AppKitClaims, NonceClaims, Parties, SessionClaims, TokenError, head, is_token},
    },
    time::UnixTime,
    x402::nonce::{NonceIssuer, Purpose},
};

use super::is_fit_to_show;

static KEYS: LazyLock<SigningKeys> =
    LazyLock::new(|| SigningKeys::new(SigningKey::derive(&Secret::new([7; 32]), Algorithm::EdDsa)));

const PARTIES: Parties<'_> = Parties { issuer: "https://api.gateway.example", audience: "api.gateway.example" };

/// When the tokens of the corpus are good.
const NOW: UnixTime = UnixTime::from_secs(1_795_168_800);

/// What nobody signed opens nothing, and what is opened can be sealed again and says the same.
pub fn judge(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        judge_text(text);
    }
    let _ = SessionKey::of_presented(bytes);
    if bytes.len() > 16 * 1024 {
        return;
    }
    let mut token = format!("{}.{}", head(KEYS.current()), BASE64URL_NOPAD.encode(bytes));
    let signature = KEYS.current().sign(token.as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    match SessionClaims::open(&KEYS, PARTIES, &token, NOW) {
        Ok(claims) => judge_session(&claims),
        Err(error) => is_fit_to_show(&error.to_string()),
    }
    if let Ok(claims) = NonceClaims::open(&KEYS, PARTIES, &token, NOW) {
        let sealed = claims.seal(&KEYS, PARTIES).expect("what fitted fits");
        assert_eq!(NonceClaims::open(&KEYS, PARTIES, &sealed, NOW), Ok(claims));
    }
}

fn judge_text(text: &str) {
    if is_token(text) {
        assert!(SessionClaims::open(&KEYS, PARTIES, text, NOW).is_err(), "nobody signed this");
        assert!(NonceClaims::open(&KEYS, PARTIES, text, NOW).is_err(), "nobody signed this");
    }
    if let Some(id) = SessionId::parse(text) {
        assert_eq!((id.expose(), Some(id.key())), (text, SessionKey::of_presented(text.as_bytes())));
    }
    if let Some(sid) = Sid::parse(text) {
        assert_eq!(sid.to_string(), text, "a name has one spelling");
    }
    assert!(text.starts_with(AppKitClaims::short_uri(text)) || AppKitClaims::short_uri(text).len() <= text.len());
    let _ = Pair::of_account(text);
    if let Some((chain, address)) = text.split_once(' ') {
        let _ = Pair::read(Some(chain), Some(address));
    }
    let issuer = NonceIssuer::new(Secret::new(vec![9; 32]));
    for purpose in [Purpose::Session, Purpose::X402] {
        let outcome = issuer.check(purpose, "api.gateway.example", text, NOW, 300, 30);
        assert!(outcome.is_err(), "nobody issued this");
    }
}

fn judge_session(claims: &SessionClaims) {
    assert!(claims.issued_at <= NOW, "opened before it was issued");
    assert!(NOW < claims.expires_at, "opened after its end");
    assert!(claims.accounts.contains(&claims.account));
    match claims.seal(&KEYS, PARTIES) {
        Ok(sealed) => assert_eq!(SessionClaims::open(&KEYS, PARTIES, &sealed, NOW).as_ref(), Ok(claims)),
        // Written by another hand it may have been shorter.
        Err(error) => assert!(matches!(error, TokenError::TooLong { .. })),
    }
}
