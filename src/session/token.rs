//! Tokens that this gateway signs: JSON Web Tokens (RFC 7519) in compact form, of three kinds.
//!
//! | kind | presented to | says |
//! |---|---|---|
//! | session | this gateway, as cookie or bearer | who is signed in (sessions.md section 2.2) |
//! | nonce | this gateway, at one sign-in | which nonce was issued (section 3) |
//! | assertion | an upstream, with one request | who the request is (section 2.4) |
//!
//! 1. A kind is named by the claim `typ`, and no kind is taken for another (RFC 8725 section 3.11).
//! 2. The header is `alg`, `kid` and `typ`, and nothing else: we made the token, or we did not. `kid` names a key of
//!    ours, and the algorithm is that key's. A member twice, one more, or `crit` refuses the token.
//! 3. Each part is base64url without padding, in its one spelling; a signature is the two numbers and not their DER.
//! 4. Issuer and audience are compared as texts. From `exp` on a token is over, and before `nbf` or `iat` it is not good
//!    yet: no leeway. Times are whole seconds; an end is rounded down.
//! 5. Length comes first, and nothing of what is signed is read before the signature is right.
//!
//! Whether a session was ended before its token is asked of a store, by `sid`; whether a nonce was used, too.

mod claims;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};
use thiserror::Error;

pub use self::claims::{AppKitClaims, Assertion, NonceClaims, SessionClaims};
use super::keys::{SIGNATURE_BYTES, SigningKey, SigningKeys};
use crate::{json, time::UnixTime};

/// Bytes of a token that clients present. It has to fit into a cookie, of which browsers keep 4 KiB.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// Bytes of an assertion. It names the URL of its request, of which a target may be 8 KiB, and goes to an upstream in a
/// header.
pub const ASSERTION_BYTES_MAX: usize = 16 * 1024;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Tells an upstream who a request is.
    Assertion,
    /// Tells us that we issued a nonce.
    Nonce,
    /// Tells us who is signed in.
    Session,
}

/// Who issues tokens, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parties<'a> {
    /// `iss`: the gateway's URL.
    pub issuer: &'a str,
    /// `aud`: the domain. An assertion is for others, and names them itself.
    pub audience: &'a str,
}

/// Why a token is refused, for the log. Whoever presents it is told that nobody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The header names another algorithm than its key has, or none.
    #[error("expected the algorithm of the token's key in its header, found another one")]
    Algorithm,
    /// It is for somebody else.
    #[error("expected a token for here, found one for elsewhere")]
    Audience,
    /// A claim is absent, or of another type.
    #[error("expected a claim `{0}` of its type, found something else")]
    Claim(&'static str),
    /// The header asks for something that has to be understood, and is not.
    #[error("expected no critical members in a token's header, found some")]
    Critical,
    /// It is over.
    #[error("expected a token that is not over, found one that is")]
    Expired,
    /// Not three parts in base64url.
    #[error("expected three parts in base64url, with a dot between them")]
    Form,
    /// The header is no object of the members it has.
    #[error("expected a header of `alg`, `kid` and `typ`, each once, found another one")]
    Header,
    /// Somebody else issued it.
    #[error("expected a token that was issued here, found one from elsewhere")]
    Issuer,
    /// No key of ours has this name, or none that signs any more.
    #[error("expected the name of a key of ours, found another one")]
    Key,
    /// A token of another kind.
    #[error("expected a token of kind `{}`, found another kind", .0.as_str())]
    Kind(Kind),
    /// It is not good yet.
    #[error("expected a token that is good already, found one that will be")]
    NotYetValid,
    /// What is signed is not one object with one reading.
    #[error("expected one JSON object, each member once, found something else")]
    Payload,
    /// The signature is not the key's, or in another form.
    #[error("expected a signature of the token by its key, found another one")]
    Signature,
    /// More bytes than such a token may have.
    #[error("expected at most {limit} bytes, found {found}")]
    TooLong {
        /// How many it has.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
}

// === impl Kind ===

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Assertion, Self::Nonce, Self::Session];

    /// Its word in the claim `typ`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assertion => "siwx-assertion",
            Self::Nonce => "siwx-nonce",
            Self::Session => "siwx-session",
        }
    }

    const fn bytes_max(self) -> usize {
        match self {
            Self::Assertion => ASSERTION_BYTES_MAX,
            Self::Nonce | Self::Session => TOKEN_BYTES_MAX,
        }
    }
}

// === impl TokenError ===

impl TokenError {
    /// A stable name for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Algorithm => "token_algorithm",
            Self::Audience => "token_audience",
            Self::Claim(_) => "token_claim",
            Self::Critical => "token_critical",
            Self::Expired => "token_expired",
            Self::Form => "token_form",
            Self::Header => "token_header",
            Self::Issuer => "token_issuer",
            Self::Key => "token_key",
            Self::Kind(_) => "token_kind",
            Self::NotYetValid => "token_not_yet_valid",
            Self::Payload => "token_payload",
            Self::Signature => "token_signature",
            Self::TooLong { .. } => "token_too_long",
        }
    }
}

/// Whether a text looks like a token at all, so that an opaque id and a token can be told apart.
pub fn is_token(presented: &str) -> bool {
    presented.split('.').count() == 3
}

/// Signs claims as a token of a kind. It is too long if they are; nothing else can be wrong.
fn seal(
    keys: &SigningKeys,
    kind: Kind,
    issuer: &str,
    audience: Value,
    claims: Map<String, Value>,
) -> Result<String, TokenError> {
    let mut payload = Map::new();
    payload.insert("typ".to_owned(), kind.as_str().into());
    payload.insert("iss".to_owned(), issuer.into());
    payload.insert("aud".to_owned(), audience);
    payload.extend(claims);
    let token = sign(keys.current(), &Value::Object(payload).to_string());
    if token.len() > kind.bytes_max() {
        return Err(TokenError::TooLong { found: token.len(), limit: kind.bytes_max() });
    }
    Ok(token)
}

/// The first part of every token that a key signs: what ours are known by before they are verified.
pub fn head(key: &SigningKey) -> String {
    let header = json!({"alg": key.algorithm().as_str(), "kid": key.kid(), "typ": "JWT"}).to_string();
    BASE64URL_NOPAD.encode(header.as_bytes())
}

/// The compact form of a signed payload (RFC 7515 section 7.1).
fn sign(key: &SigningKey, payload: &str) -> String {
    let mut token = head(key);
    token.push('.');
    BASE64URL_NOPAD.encode_append(payload.as_bytes(), &mut token);
    let signature = key.sign(token.as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    token
}

/// The claims of a token of this kind, if it is good now.
fn open(
    keys: &SigningKeys,
    kind: Kind,
    parties: Parties<'_>,
    token: &str,
    now: UnixTime,
) -> Result<Map<String, Value>, TokenError> {
    if token.len() > kind.bytes_max() {
        return Err(TokenError::TooLong { found: token.len(), limit: kind.bytes_max() });
    }
    let payload = verify(keys, token, now)?;
    let payload = json::parse_object(&payload).map_err(|_| TokenError::Payload)?;
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    if text("typ") != Some(kind.as_str()) {
        return Err(TokenError::Kind(kind));
    }
    if text("iss") != Some(parties.issuer) {
        return Err(TokenError::Issuer);
    }
    // What is for this gateway is for it alone.
    if text("aud") != Some(parties.audience) {
        return Err(TokenError::Audience);
    }
    if now >= claims::time(&payload, "exp")? {
        return Err(TokenError::Expired);
    }
    // Both are written as one; what is said to be issued later than it is good was written by another hand.
    if now < claims::time(&payload, "nbf")? || now < claims::time(&payload, "iat")? {
        return Err(TokenError::NotYetValid);
    }
    Ok(payload)
}

/// What a token's key signed.
fn verify(keys: &SigningKeys, token: &str, now: UnixTime) -> Result<Vec<u8>, TokenError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenError::Form)?;
    let key = key_of(keys, &decode(header)?, now)?;
    // Here a second dot within the payload comes out, and an empty signature.
    let payload = decode(payload)?;
    let signature: [u8; SIGNATURE_BYTES] = decode(signature)?.try_into().map_err(|_| TokenError::Signature)?;
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err(TokenError::Signature);
    }
    Ok(payload)
}

/// The key that a header names.
fn key_of<'a>(keys: &'a SigningKeys, header: &[u8], now: UnixTime) -> Result<&'a SigningKey, TokenError> {
    let header = json::parse_object(header).map_err(|_| TokenError::Header)?;
    if header.contains_key("crit") {
        return Err(TokenError::Critical);
    }
    let [algorithm, kid, kind] = ["alg", "kid", "typ"].map(|name| header.get(name).and_then(Value::as_str));
    let (Some(algorithm), Some(kid), Some("JWT"), 3) = (algorithm, kid, kind, header.len()) else {
        return Err(TokenError::Header);
    };
    let key = keys.find(kid, now).ok_or(TokenError::Key)?;
    if algorithm != key.algorithm().as_str() {
        return Err(TokenError::Algorithm);
    }
    Ok(key)
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| TokenError::Form)
}

#[cfg(test)]
mod tests;
