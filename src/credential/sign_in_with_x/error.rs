//! Why a proof is refused: one stable code, which x402 packages know, and a sentence for people.
//!
//! Two codes are this gateway's own, because the packages have none there: `invalid_siwx_header` for what is no proof,
//! and `invalid_siwx_message` for one whose rebuilt text is no message.

use thiserror::Error;

use super::CREDENTIAL_BYTES_MAX;
use crate::{
    chain::SignatureError,
    siwx::{Code, Field, MessageError, claims::ClaimError},
};

/// Why a `SIGN-IN-WITH-X` proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignInError {
    /// The chain id is none of its family.
    #[error("expected a CAIP-2 chain id in `chainId`, found `{0}`")]
    ChainId(Box<str>),
    /// What the message claims is not good here and now.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The value is not base64.
    #[error("expected base64 of one alphabet, padded right or not at all")]
    Encoding,
    /// What was encoded is not one JSON object.
    #[error("expected base64 of one JSON object")]
    Json,
    /// A member is absent or of another type.
    #[error("expected {expected} as `{name}`, found {found}")]
    Member {
        /// Its name.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// The rebuilt text is no message, or a member is such that no text can be built.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The nonce was not issued here, is too old, or was used before.
    #[error("expected a nonce that was issued here lately and not used before")]
    Nonce,
    /// The signature is not one of the account over the rebuilt text.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A time is not understood.
    #[error("expected an RFC 3339 time in `{}`, found `{found}`", field.member())]
    Time {
        /// Which one.
        field: Field,
        /// What stands there.
        found: Box<str>,
    },
    /// More bytes than a credential may have.
    #[error("the credential has {0} bytes, the limit is {CREDENTIAL_BYTES_MAX}")]
    TooLarge(usize),
    /// A member stands there twice.
    #[error("expected each member once, found `{0}` twice")]
    Twice(Box<str>),
    /// The type of signature is not one of the chain's family.
    #[error("expected `{expected}` as the `type` of a proof on this chain, found `{found}`")]
    Type {
        /// What goes with the chain.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// The chain is of no family that proofs are taken of, or not welcome.
    #[error("expected a chain that is accepted here in `chainId`, found `{0}`")]
    UnsupportedChain(Box<str>),
}

// === impl SignInError ===

impl SignInError {
    /// Every code, for metrics.
    pub const CODES: &'static [&'static str] = &[
        "invalid_siwx_header",
        "invalid_siwx_domain_mismatch",
        "invalid_siwx_uri_mismatch",
        "invalid_siwx_issued_at",
        "invalid_siwx_issued_at_too_old",
        "invalid_siwx_issued_at_in_future",
        "invalid_siwx_expiration_time",
        "invalid_siwx_expired",
        "invalid_siwx_not_before",
        "invalid_siwx_not_yet_valid",
        "invalid_siwx_chain_id",
        "invalid_siwx_unsupported_chain",
        "invalid_siwx_message",
        "invalid_siwx_malformed_signature",
        "invalid_siwx_signature",
        "invalid_siwx_nonce",
    ];

    /// The stable code, as x402 clients read it in `siwx.reason`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Encoding | Self::Json | Self::Member { .. } | Self::TooLarge(_) | Self::Twice(_) => {
                "invalid_siwx_header"
            }
            Self::Claim(error) => of_claim(error),
            Self::Time { field: Field::ExpirationTime, .. } => "invalid_siwx_expiration_time",
            Self::Time { field: Field::NotBefore, .. } => "invalid_siwx_not_before",
            Self::Time { .. } => "invalid_siwx_issued_at",
            Self::ChainId(_) | Self::Type { .. } => "invalid_siwx_chain_id",
            Self::UnsupportedChain(_) => "invalid_siwx_unsupported_chain",
            Self::Message(error) => of_message(error),
            Self::Signature(error) => of_signature(*error),
            Self::Nonce => "invalid_siwx_nonce",
        }
    }

    /// The finer word for the log, where another room has one: the code of message.md or the name of what is wrong
    /// with the signature.
    pub const fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Claim(error) => Some(error.code().as_str()),
            Self::Message(error) => Some(error.code().as_str()),
            Self::Signature(error) => Some(error.as_str()),
            _ => None,
        }
    }
}

const fn of_claim(error: &ClaimError) -> &'static str {
    match error {
        ClaimError::DomainMismatch { .. } | ClaimError::SchemeMismatch { .. } => "invalid_siwx_domain_mismatch",
        ClaimError::UriMismatch => "invalid_siwx_uri_mismatch",
        ClaimError::IssuedTooLongAgo { .. } => "invalid_siwx_issued_at_too_old",
        ClaimError::IssuedInFuture { .. } => "invalid_siwx_issued_at_in_future",
        ClaimError::InvalidTimeRange | ClaimError::LifetimeTooLong { .. } => "invalid_siwx_expiration_time",
        ClaimError::Expired { .. } => "invalid_siwx_expired",
        ClaimError::NotYetValid { .. } => "invalid_siwx_not_yet_valid",
        ClaimError::ChainNotAllowed { .. } | ClaimError::NamespaceNotAllowed { .. } => "invalid_siwx_unsupported_chain",
        ClaimError::LabelNotAllowed { .. } | ClaimError::MissingField(_) => "invalid_siwx_message",
    }
}

const fn of_message(error: &MessageError) -> &'static str {
    match error.code() {
        // The packages say so of an address that is no base58 of 32 bytes.
        Code::InvalidAccount | Code::AddressChecksum => "invalid_siwx_malformed_signature",
        // What is no nonce was never issued.
        Code::InvalidNonce => "invalid_siwx_nonce",
        _ => "invalid_siwx_message",
    }
}

const fn of_signature(error: SignatureError) -> &'static str {
    match error {
        SignatureError::FormNotAccepted | SignatureError::MalformedAddress | SignatureError::MalformedSignature => {
            "invalid_siwx_malformed_signature"
        }
        SignatureError::NoChain | SignatureError::UnknownNamespace => "invalid_siwx_unsupported_chain",
        SignatureError::ContractRefused
        | SignatureError::Erc8010Unsupported
        | SignatureError::HighS
        | SignatureError::Inconclusive
        | SignatureError::RpcNotConfigured
        | SignatureError::SignatureMismatch
        | SignatureError::UnexpectedTransaction
        | SignatureError::WeakKey
        | SignatureError::ZeroAccount => "invalid_siwx_signature",
    }
}
