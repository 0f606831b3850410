//! What a request presents to say who it is, taken out of its headers.
//!
//! 1. A [`Carrier`] looks for its own header and borrows what it finds; nothing is decoded before it is known
//!    that it must be, because a warm credential is found again by its [`Digest`] alone.
//! 2. Two fields of one credential header are a conflict, whatever they hold, and so are two kinds of proof: never
//!    first or last wins.
//! 3. The digest covers the carrier and every byte as received. Two spellings of one signature are two entries.
//! 4. A cookie is sent by a browser whoever asks: it counts where nothing else was presented. Two of them are a conflict
//!    all the same.
//! 5. A header of a scheme that is not ours is no credential, and is left to the upstream.

mod authorization;
mod bearer;
mod cookie;
mod sign_in_with_x;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{
    chain::DIALECTS,
    siwx::{MessageError, message::Reading, proof::Proof},
};

pub use authorization::Authorization;
pub use bearer::Bearer;
pub use cookie::Cookie;
pub use sign_in_with_x::{Proven, SignIn, SignInError, SignInExpectation, SignInWithX};

/// Bytes of a credential at most, scheme name left out.
pub const CREDENTIAL_BYTES_MAX: usize = 16 * 1024;

/// A place in a request where a credential rides.
pub trait Carrier: Sync {
    /// Which one it is.
    fn name(&self) -> CarrierName;

    /// Looks for its header. Borrowing only; whatever is found counts, good or bad.
    fn present<'h>(&self, headers: &'h HeaderMap) -> Result<Option<Presented<'h>>, CredentialError>;
}

/// The carriers there are. Each carries a credential of its own kind, so that this also says how to read one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CarrierName {
    /// A token, good until it ends: [`Presented::decode`].
    Authorization,
    /// A session's token.
    Bearer,
    /// A session's cookie.
    Cookie,
    /// An x402 proof, good once: [`SignIn::read`].
    SignInWithX,
}

/// The carriers that a gateway looks for. What is not among them is no credential, and is in nobody's way.
#[derive(Debug, Clone, Default)]
pub struct Carriers {
    /// Tokens in `Authorization`.
    pub authorization: Option<Authorization>,
    /// Proofs in `SIGN-IN-WITH-X`.
    pub sign_in_with_x: Option<SignInWithX>,
    /// Session tokens in `Authorization`.
    pub bearer: Option<Bearer>,
    /// Sessions in a cookie.
    pub cookie: Option<Cookie>,
}

/// What was presented, as received.
#[derive(Clone, Copy)]
pub struct Presented<'h> {
    carrier: CarrierName,
    bytes: &'h [u8],
}

/// SHA-256 over carrier and bytes as received: the name under which a verified credential is remembered.
pub type Digest = [u8; 32];

/// Why what was presented is no credential.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// Two credentials where there must be one.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The part before the dot is not base64 of one alphabet, padded right or not at all.
    #[error("expected base64 of the message before the dot")]
    Encoding,
    /// Not `base64(message) "." signature`.
    #[error("expected `base64(message).signature` with exactly one dot")]
    Form,
    /// The message is not one.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The signature's form is not one that this carrier takes.
    #[error("expected the signature after the dot as {0}")]
    SignatureForm(&'static str),
    /// More bytes than a credential may have.
    #[error("the credential has {0} bytes, the limit is {CREDENTIAL_BYTES_MAX}")]
    TooLarge(usize),
}

/// Two credentials of one request, neither of which can be preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Conflict {
    /// Two fields of one header.
    #[error("the request has two `{}` fields", .0.as_str())]
    Repeated(CarrierName),
    /// A credential in each of two headers.
    #[error("the request has a credential in `{}` and another one in `{}`", .0.as_str(), .1.as_str())]
    Both(CarrierName, CarrierName),
}

/// Looks for what a request presents, in every carrier. A credential in two of them is a conflict even if one is bad, so
/// nothing is decoded here; a cookie is none where there is one elsewhere.
pub fn present<'h>(headers: &'h HeaderMap, carriers: &Carriers) -> Result<Option<Presented<'h>>, CredentialError> {
    let mut found: Option<Presented<'h>> = None;
    for carrier in carriers.each() {
        let Some(presented) = carrier.present(headers)? else {
            continue;
        };
        if let Some(first) = found {
            return Err(Conflict::Both(first.carrier, presented.carrier).into());
        }
        found = Some(presented);
    }
    let Some(cookie) = &carriers.cookie else {
        return Ok(found);
    };
    let in_cookie = cookie.present(headers)?;
    Ok(found.or(in_cookie))
}

// === impl CarrierName ===

impl CarrierName {
    /// Its name in configuration and log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Bearer => "bearer",
            Self::Cookie => "cookie",
            Self::SignInWithX => "sign-in-with-x",
        }
    }
}

// === impl Carriers ===

impl Carriers {
    /// Those in which somebody presents something on purpose.
    fn each(&self) -> impl Iterator<Item = &dyn Carrier> {
        let authorization = self.authorization.as_ref().map(|carrier| carrier as &dyn Carrier);
        let bearer = self.bearer.as_ref().map(|carrier| carrier as &dyn Carrier);
        let sign_in_with_x = self.sign_in_with_x.as_ref().map(|carrier| carrier as &dyn Carrier);
        [authorization, bearer, sign_in_with_x].into_iter().flatten()
    }
}

// === impl CredentialError ===

impl CredentialError {
    /// Its stable code: message.md's own, where the message is at fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflicting_credentials",
            Self::Encoding => "invalid_encoding",
            Self::Form => "invalid_token_form",
            Self::Message(error) => error.code().as_str(),
            Self::SignatureForm(_) => "malformed_signature",
            Self::TooLarge(_) => "credential_too_large",
        }
    }
}

// === impl Presented ===

impl<'h> Presented<'h> {
    /// What came in another place than a header: a cookie's value, or a token, as `bytes`.
    pub const fn new(carrier: CarrierName, bytes: &'h [u8]) -> Self {
        Self { carrier, bytes }
    }

    /// Where it was found.
    pub const fn carrier(&self) -> CarrierName {
        self.carrier
    }

    /// The name under which this credential is remembered.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(self.carrier.as_str().as_bytes());
        hash.update([0]);
        hash.update(self.bytes);
        hash.finalize().into()
    }

    /// The bytes as received.
    pub const fn bytes(&self) -> &'h [u8] {
        self.bytes
    }

    /// Bytes as received.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing follows the scheme name.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes a token apart and reads its message. Nothing is verified. What was found in another carrier than
    /// [`CarrierName::Authorization`] is no token, and is refused as such.
    pub fn decode(&self, reading: &Reading) -> Result<Proof, CredentialError> {
        if self.bytes.len() > CREDENTIAL_BYTES_MAX {
            return Err(CredentialError::TooLarge(self.bytes.len()));
        }
        let (text, signature) = authorization::split(self.bytes)?;
        Ok(Proof::read(text, signature, DIALECTS, reading)?)
    }
}

impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [redacted]", self.carrier.as_str())
    }
}

/// Decodes base64 of one alphabet, padded right or not at all, without stray bits in the last character.
///
/// The decoders that take padding take it in the middle as well, as if one text followed another, so that one text had
/// many spellings. It is cut off here, and none of it is left for them.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) {
        return None;
    }
    let digits = &text[..text.len() - padding];
    let url = digits.iter().any(|b| matches!(b, b'-' | b'_'));
    let encoding = if url { &BASE64URL_NOPAD } else { &BASE64_NOPAD };
    encoding.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
        fields.collect()
    }

    #[test]
    fn one_credential_or_none() {
        use CarrierName::{Authorization as Token, SignInWithX as SignIn};
        const TOKEN: (&str, &str) = ("authorization", "SIWX a.b");
        const OTHER: (&str, &str) = ("authorization", "Basic dTpw");
        const SIGN_IN: (&str, &str) = ("sign-in-with-x", "e30=");
        const BAD: (&str, &str) = ("sign-in-with-x", "");
        const BEARER: (&str, &str) = ("authorization", "Bearer c");
        const COOKIE: (&str, &str) = ("cookie", "siwx=d");
        type Row<'r> = (&'r str, &'r [(&'static str, &'static str)], Result<Option<(CarrierName, &'r str)>, Conflict>);
        let both = Err(Conflict::Both(Token, SignIn));
        let rows: [Row<'_>; 19] = [
            ("nothing", &[], Ok(None)),
            ("a token", &[TOKEN], Ok(Some((Token, "a.b")))),
            ("a proof", &[SIGN_IN], Ok(Some((SignIn, "e30=")))),
            ("an empty proof", &[BAD], Ok(Some((SignIn, "")))),
            ("a proof beside another scheme", &[OTHER, SIGN_IN], Ok(Some((SignIn, "e30=")))),
            ("both", &[TOKEN, SIGN_IN], both),
            ("both, one of them bad", &[BAD, TOKEN], both),
            ("two proofs", &[SIGN_IN, SIGN_IN], Err(Conflict::Repeated(SignIn))),
            ("two proofs, one of them empty", &[BAD, SIGN_IN], Err(Conflict::Repeated(SignIn))),
            ("two tokens beside a proof", &[TOKEN, SIGN_IN, TOKEN], Err(Conflict::Repeated(Token))),
            ("a bearer", &[BEARER], Ok(Some((CarrierName::Bearer, "c")))),
            ("a bearer beside a token", &[BEARER, TOKEN], Err(Conflict::Repeated(Token))),
            ("a bearer beside a proof", &[BEARER, SIGN_IN], Err(Conflict::Both(CarrierName::Bearer, SignIn))),
            ("a cookie", &[COOKIE], Ok(Some((CarrierName::Cookie, "d")))),
            ("a cookie beside a token", &[COOKIE, TOKEN], Ok(Some((Token, "a.b")))),
            ("a cookie beside a proof", &[COOKIE, BAD], Ok(Some((SignIn, "")))),
            ("a cookie beside a bearer", &[COOKIE, BEARER], Ok(Some((CarrierName::Bearer, "c")))),
            ("a cookie beside another scheme", &[COOKIE, OTHER], Ok(Some((CarrierName::Cookie, "d")))),
            ("two cookies beside a token", &[COOKIE, TOKEN, COOKIE], Err(Conflict::Repeated(CarrierName::Cookie))),
        ];
        let carriers = Carriers {
            authorization: Some(Authorization::new(vec!["SIWX".to_owned()])),
            sign_in_with_x: Some(SignInWithX),
            bearer: Some(Bearer),
            cookie: Some(Cookie::new("siwx")),
        };
        for (name, fields, expected) in rows {
            let headers: HeaderMap = headers(fields);
            let found = present(&headers, &carriers);
            let found = found.map(|found| found.map(|found| (found.carrier(), found.bytes().to_vec())));
            let expected = expected.map(|found| found.map(|(carrier, text)| (carrier, text.as_bytes().to_vec())));
            assert_eq!(found, expected.map_err(CredentialError::Conflict), "{name}");
        }
    }

    #[test]
    fn a_carrier_that_is_off_is_in_nobodys_way() {
        let headers = headers(&[("authorization", "SIWX a.b"), ("sign-in-with-x", "e30=")]);
        let authorization = Some(Authorization::new(vec!["SIWX".to_owned()]));
        let rows = [
            (Carriers::default(), None),
            (Carriers { authorization, ..Carriers::default() }, Some(CarrierName::Authorization)),
            (Carriers { sign_in_with_x: Some(SignInWithX), ..Carriers::default() }, Some(CarrierName::SignInWithX)),
        ];
        for (carriers, expected) in rows {
            let found = present(&headers, &carriers).expect("no conflict");
            assert_eq!(found.map(|found| found.carrier()), expected, "{carriers:?}");
        }
    }

    #[test]
    fn the_same_bytes_in_two_carriers_are_two_credentials() {
        let presented = |carrier| Presented { carrier, bytes: b"a.b" }.digest();
        assert_ne!(presented(CarrierName::Authorization), presented(CarrierName::SignInWithX));
    }

    #[test]
    fn conflicts_say_what_stands_against_what() {
        let rows = [
            (Conflict::Repeated(CarrierName::SignInWithX), "the request has two `sign-in-with-x` fields"),
            (
                Conflict::Both(CarrierName::Authorization, CarrierName::SignInWithX),
                "the request has a credential in `authorization` and another one in `sign-in-with-x`",
            ),
        ];
        for (conflict, sentence) in rows {
            let error = CredentialError::from(conflict);
            assert_eq!((error.code(), error.to_string().as_str()), ("conflicting_credentials", sentence));
        }
    }
}
