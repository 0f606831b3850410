//! Why a sign-in or a session is refused: one stable code, the kind of refusal it is, and a sentence for people.
//!
//! 1. The code is the contract (sessions.md section 2); the sentence may be reworded. No sentence holds a signature, a
//!    token, or more than 40 characters of what was sent.
//! 2. What HTTP says is the edge's; [`Class`] has the word it is chosen by.

use thiserror::Error;

use super::{BODY_BYTES_MAX, SESSIONS_MAX, recap::RecapError, token::TokenError};
use crate::{
    json::JsonError,
    siwx::{MessageError, claims::ClaimError},
};

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// What was sent cannot be read, or does not fit together.
    Malformed,
    /// Who sent it is not proven, or not any more.
    Unauthenticated,
    /// It is proven, and not allowed.
    Forbidden,
    /// Too much was asked for. Later it may be answered.
    Limited,
    /// It cannot be told now. Later it may be.
    Unavailable,
}

/// Why a sign-in or a session is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The account is on the list of those that are not let in.
    #[error("this account is not let in")]
    AccountDenied,
    /// The selector names an account that is not among those signed in.
    #[error("expected an account that is signed in, found another one")]
    AccountNotInSession,
    /// The message claims what is not good here and now.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A write on the strength of a cookie, from a page that may not.
    #[error("expected a request from a page of this gateway or of an origin it lists, found another one")]
    Csrf,
    /// What was sent beside the signed text says something else.
    #[error("expected `{member}` of `{of}` to say what the signed text says, found something else")]
    DataMismatch {
        /// `data` or `cacao`.
        of: &'static str,
        /// The member, by its path in it.
        member: &'static str,
    },
    /// Two sessions of one account on one chain.
    #[error("expected each account once on each chain, found one twice")]
    DuplicateSession,
    /// The signature is not one of the account over the text. `reason` is the verifier's word for it.
    #[error("expected a signature of this text by the message's account, found another one ({reason})")]
    InvalidSignature {
        /// Such as `signature_mismatch`.
        reason: &'static str,
    },
    /// The body is not one JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A member of the body is absent, or of another type.
    #[error("expected {expected} as `{member}`, found {found}")]
    Member {
        /// Its name.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// The message cannot be read.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The nonce was used before.
    #[error("expected a nonce that was not used before, found one that was; sign a new message")]
    NonceReused,
    /// The nonce was not issued here, or too long ago.
    #[error("expected a nonce that was issued here lately, found another one; sign a new message")]
    NonceUnknown,
    /// The origin of the page may not use this API.
    #[error("expected a request from an origin that is listed, found another one")]
    OriginNotAllowed,
    /// The message was signed for another page than the one that sent it.
    #[error("expected a message for the page that sends it, `{page}`, found one for another")]
    PageMismatch {
        /// The page's host and port.
        page: Box<str>,
    },
    /// Too many requests.
    #[error("too many requests; try again later")]
    RateLimited,
    /// The statement does not say what the message grants.
    #[error(transparent)]
    Recap(#[from] RecapError),
    /// Only a contract could tell, and whom to ask is not configured.
    #[error("expected a signature by a key, found one that only a contract could verify, and no rpc is configured")]
    RpcNotConfigured,
    /// Only a contract could tell, and nobody who was asked answers.
    #[error("the chain cannot be asked now; try again later")]
    RpcUnavailable,
    /// No signature of this chain or form is verified here.
    #[error("expected a chain and a form of signature that are verified here, found others")]
    SchemeUnsupported,
    /// More bytes than are read.
    #[error("expected at most {limit} bytes as {what}, found {found}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its bytes.
        found: usize,
        /// The most it may have.
        limit: usize,
    },
    /// More sessions than one request or one cookie may have.
    #[error("expected at most {SESSIONS_MAX} sessions, found {0}")]
    TooManySessions(usize),
    /// Nobody is signed in.
    #[error("nobody is signed in")]
    Unauthenticated,
}

/// The same for one of several.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{error}")]
pub struct ItemError {
    /// Which one, from zero; nothing if it is about all of them.
    pub index: Option<usize>,
    /// Why.
    pub error: SessionError,
}

// === impl SessionError ===

impl SessionError {
    /// The codes that are this API's own. Those of a message are [`Code::ALL`](crate::siwx::Code::ALL).
    pub const CODES: &'static [&'static str] = &[
        "account_denied",
        "account_not_in_session",
        "bad_request",
        "csrf",
        "data_mismatch",
        "duplicate_session",
        "invalid_signature",
        "origin_not_allowed",
        "rate_limited",
        "recap_statement_mismatch",
        "rpc_not_configured",
        "rpc_unavailable",
        "scheme_unsupported",
        "too_many_sessions",
        "unauthenticated",
    ];

    /// A body over its size.
    pub(super) const fn body_too_large(found: usize) -> Self {
        Self::TooLarge { what: "a body", found, limit: BODY_BYTES_MAX }
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AccountDenied => "account_denied",
            Self::AccountNotInSession => "account_not_in_session",
            Self::Claim(error) => error.code().as_str(),
            Self::Csrf => "csrf",
            Self::DataMismatch { .. } => "data_mismatch",
            Self::DuplicateSession => "duplicate_session",
            Self::InvalidSignature { .. } => "invalid_signature",
            Self::Json(_) | Self::Member { .. } | Self::TooLarge { .. } => "bad_request",
            Self::Message(error) => error.code().as_str(),
            Self::NonceReused => "nonce_reused",
            Self::NonceUnknown => "nonce_unknown",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::PageMismatch { .. } => "domain_mismatch",
            Self::RateLimited => "rate_limited",
            Self::Recap(_) => "recap_statement_mismatch",
            Self::RpcNotConfigured => "rpc_not_configured",
            Self::RpcUnavailable => "rpc_unavailable",
            Self::SchemeUnsupported => "scheme_unsupported",
            Self::TooManySessions(_) => "too_many_sessions",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// The finer word for the log, where another room has one.
    pub const fn cause(&self) -> Option<&'static str> {
        match self {
            Self::InvalidSignature { reason } => Some(reason),
            _ => None,
        }
    }

    /// What kind of refusal it is.
    pub const fn class(&self) -> Class {
        match self {
            Self::DataMismatch { .. }
            | Self::DuplicateSession
            | Self::Json(_)
            | Self::Member { .. }
            | Self::Message(_)
            | Self::PageMismatch { .. }
            | Self::Recap(_)
            | Self::TooLarge { .. }
            | Self::TooManySessions(_) => Class::Malformed,
            Self::InvalidSignature { .. }
            | Self::NonceReused
            | Self::NonceUnknown
            | Self::RpcNotConfigured
            | Self::SchemeUnsupported
            | Self::Unauthenticated => Class::Unauthenticated,
            Self::AccountDenied | Self::AccountNotInSession | Self::Csrf | Self::OriginNotAllowed => Class::Forbidden,
            Self::RateLimited => Class::Limited,
            Self::RpcUnavailable => Class::Unavailable,
            Self::Claim(error) => class_of(error),
        }
    }
}

/// A message for somewhere else does not fit, one for another time proves nothing now, and what it names may be
/// unwelcome.
const fn class_of(error: &ClaimError) -> Class {
    match error {
        ClaimError::DomainMismatch { .. }
        | ClaimError::InvalidTimeRange
        | ClaimError::LifetimeTooLong { .. }
        | ClaimError::MissingField(_)
        | ClaimError::SchemeMismatch { .. }
        | ClaimError::UriMismatch => Class::Malformed,
        ClaimError::Expired { .. }
        | ClaimError::IssuedInFuture { .. }
        | ClaimError::IssuedTooLongAgo { .. }
        | ClaimError::NotYetValid { .. } => Class::Unauthenticated,
        ClaimError::ChainNotAllowed { .. }
        | ClaimError::LabelNotAllowed { .. }
        | ClaimError::NamespaceNotAllowed { .. } => Class::Forbidden,
    }
}

/// Whatever is wrong with a token, who presents it is not signed in. Which it was is for the log, before this.
impl From<TokenError> for SessionError {
    fn from(_: TokenError) -> Self {
        Self::Unauthenticated
    }
}

// === impl ItemError ===

impl ItemError {
    /// What is wrong with one of several.
    pub const fn at(index: usize, error: SessionError) -> Self {
        Self { index: Some(index), error }
    }
}

/// What is wrong with all of them.
impl From<SessionError> for ItemError {
    fn from(error: SessionError) -> Self {
        Self { index: None, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siwx::{Code, Field};

    fn every_error() -> Vec<(SessionError, &'static str, Class)> {
        let text = |text: &str| -> Box<str> { text.into() };
        let claim = |error| SessionError::Claim(error);
        vec![
            (SessionError::AccountDenied, "account_denied", Class::Forbidden),
            (SessionError::AccountNotInSession, "account_not_in_session", Class::Forbidden),
            (SessionError::Csrf, "csrf", Class::Forbidden),
            (SessionError::DataMismatch { of: "data", member: "nonce" }, "data_mismatch", Class::Malformed),
            (SessionError::DuplicateSession, "duplicate_session", Class::Malformed),
            (
                SessionError::InvalidSignature { reason: "signature_mismatch" },
                "invalid_signature",
                Class::Unauthenticated,
            ),
            (SessionError::Json(JsonError::Duplicate), "bad_request", Class::Malformed),
            (
                SessionError::Member { member: "message", expected: "a string", found: "nothing" },
                "bad_request",
                Class::Malformed,
            ),
            (SessionError::body_too_large(262_145), "bad_request", Class::Malformed),
            (SessionError::NonceReused, "nonce_reused", Class::Unauthenticated),
            (SessionError::NonceUnknown, "nonce_unknown", Class::Unauthenticated),
            (SessionError::OriginNotAllowed, "origin_not_allowed", Class::Forbidden),
            (SessionError::PageMismatch { page: text("evil.example") }, "domain_mismatch", Class::Malformed),
            (SessionError::RateLimited, "rate_limited", Class::Limited),
            (SessionError::Recap(RecapError::Statement), "recap_statement_mismatch", Class::Malformed),
            (SessionError::RpcNotConfigured, "rpc_not_configured", Class::Unauthenticated),
            (SessionError::RpcUnavailable, "rpc_unavailable", Class::Unavailable),
            (SessionError::SchemeUnsupported, "scheme_unsupported", Class::Unauthenticated),
            (SessionError::TooManySessions(17), "too_many_sessions", Class::Malformed),
            (SessionError::Unauthenticated, "unauthenticated", Class::Unauthenticated),
            (TokenError::Expired.into(), "unauthenticated", Class::Unauthenticated),
            (claim(ClaimError::Expired { secs: 1 }), "expired", Class::Unauthenticated),
            (claim(ClaimError::NotYetValid { secs: 1 }), "not_yet_valid", Class::Unauthenticated),
            (claim(ClaimError::IssuedInFuture { secs: 31 }), "issued_in_future", Class::Unauthenticated),
            (
                claim(ClaimError::IssuedTooLongAgo { secs: 601, limit: 600 }),
                "issued_too_long_ago",
                Class::Unauthenticated,
            ),
            (claim(ClaimError::InvalidTimeRange), "invalid_time_range", Class::Malformed),
            (claim(ClaimError::LifetimeTooLong { secs: 2, limit: 1 }), "lifetime_too_long", Class::Malformed),
            (claim(ClaimError::MissingField(Field::Nonce)), "missing_field", Class::Malformed),
            (claim(ClaimError::UriMismatch), "uri_mismatch", Class::Malformed),
            (
                claim(ClaimError::DomainMismatch { found: text("a"), served: text("b") }),
                "domain_mismatch",
                Class::Malformed,
            ),
            (
                claim(ClaimError::SchemeMismatch { found: text("a"), served: text("b") }),
                "scheme_mismatch",
                Class::Malformed,
            ),
            (
                claim(ClaimError::ChainNotAllowed { found: text("a"), accepted: text("b") }),
                "chain_not_allowed",
                Class::Forbidden,
            ),
            (
                claim(ClaimError::NamespaceNotAllowed { found: text("a"), accepted: text("b") }),
                "namespace_not_allowed",
                Class::Forbidden,
            ),
            (
                claim(ClaimError::LabelNotAllowed { found: text("a"), accepted: text("b") }),
                "label_not_allowed",
                Class::Forbidden,
            ),
            (MessageError::new(Code::InvalidHeader, "x").into(), "invalid_header", Class::Malformed),
        ]
    }

    #[test]
    fn errors_have_their_codes_and_classes() {
        for (error, code, class) in every_error() {
            assert_eq!((error.code(), error.class()), (code, class), "{error}");
        }
    }

    #[test]
    fn every_code_is_listed_and_every_listed_code_occurs() {
        let of_messages: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let found: Vec<_> = every_error().iter().map(|(error, ..)| error.code()).collect();
        for code in &found {
            assert!(SessionError::CODES.contains(code) || of_messages.contains(code), "{code}");
        }
        for code in SessionError::CODES {
            assert!(found.contains(code), "{code}");
            assert!(!of_messages.contains(code), "{code}");
        }
    }
}
