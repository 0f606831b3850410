//! What a request presents to say who it is, taken out of its headers.
//!
//! 1. A [`Carrier`] looks for its own header and borrows what it finds; nothing is decoded before it is known
//!    that it must be, because a warm credential is found again by its [`Digest`] alone.
//! 2. Two fields of one credential header are a conflict, whatever they hold: never first or last wins.
//! 3. The digest covers the carrier and every byte as received. Two spellings of one signature are two entries.
//! 4. A header of a scheme that is not ours is no credential, and is left to the upstream.

mod authorization;

use http::HeaderMap;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{
    chain::DIALECTS,
    siwx::{Code, MessageError, message::Reading, proof::Proof},
};

pub use authorization::Authorization;

/// Bytes of a credential at most, scheme name left out.
pub const CREDENTIAL_BYTES_MAX: usize = 16 * 1024;

/// A place in a request where a credential rides.
pub trait Carrier: Sync {
    /// Its name in configuration and log.
    fn name(&self) -> &'static str;

    /// Looks for its header. Borrowing only; whatever is found counts, good or bad.
    fn present<'h>(&self, headers: &'h HeaderMap) -> Result<Option<Presented<'h>>, CredentialError>;
}

/// What was presented, as received.
#[derive(Clone, Copy)]
pub struct Presented<'h> {
    carrier: &'static str,
    bytes: &'h [u8],
}

/// SHA-256 over carrier and bytes as received: the name under which a verified credential is remembered.
pub type Digest = [u8; 32];

/// Why what was presented is no credential.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// Two fields of one header.
    #[error("the request has two `{0}` fields")]
    Conflict(&'static str),
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

    /// The code of message.md, if the message is at fault.
    pub const fn message_code(&self) -> Option<Code> {
        match self {
            Self::Message(error) => Some(error.code()),
            _ => None,
        }
    }
}

// === impl Presented ===

impl Presented<'_> {
    /// The name under which this credential is remembered.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(self.carrier.as_bytes());
        hash.update([0]);
        hash.update(self.bytes);
        hash.finalize().into()
    }

    /// The bytes as received.
    pub const fn bytes(&self) -> &[u8] {
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

    /// Takes the credential apart and reads its message. Nothing is verified.
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
        write!(f, "{} [redacted]", self.carrier)
    }
}
