//! Why a signing text is refused: one stable code, the part it is about, and a sentence for people.
//!
//! A [`MessageError`] is about a text that cannot be read, a [`ClaimError`] about one that is not good here and
//! now.
//!
//! 1. All of these are the client's. The code is the contract (message.md section 9); the sentence may be
//!    reworded.
//! 2. A sentence shows at most 40 characters of what was found, escaped, and names the line where there is one.

use std::fmt;

use thiserror::Error;

use super::Field;

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $text:literal,)+) => {
        /// The stable name of a refusal, in the order in which reading and judging come upon them.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum Code {
            $($(#[$doc])+ $name,)+
        }

        impl Code {
            /// Every code, for metrics and documentation.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name clients and metrics see.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

codes! {
    /// There are no bytes.
    EmptyMessage = "empty_message",
    /// There are more bytes than the setting allows.
    MessageTooLarge = "message_too_large",
    /// The bytes are not UTF-8.
    InvalidUtf8 = "invalid_utf8",
    /// A carriage return stands somewhere.
    CarriageReturn = "carriage_return",
    /// A control, invisible or direction-changing character stands somewhere.
    ForbiddenCharacter = "forbidden_character",
    /// The last character is a line feed.
    TrailingNewline = "trailing_newline",
    /// Line 1 is no header.
    InvalidHeader = "invalid_header",
    /// Line 2 is absent or empty.
    MissingAccount = "missing_account",
    /// Line 3 is not empty.
    MissingBlankLine = "missing_blank_line",
    /// The line after the statement is not empty.
    MultilineStatement = "multiline_statement",
    /// A line is empty where a field should be.
    UnexpectedBlankLine = "unexpected_blank_line",
    /// A line begins with no known tag.
    UnknownField = "unknown_field",
    /// A tag was there before.
    DuplicateField = "duplicate_field",
    /// A field comes after one it should precede.
    FieldOrder = "field_order",
    /// What stands before `://` in the header is no URI scheme.
    InvalidScheme = "invalid_scheme",
    /// What asks for the signature is no host with an optional port.
    InvalidDomain = "invalid_domain",
    /// The words before ` account:` are no label.
    InvalidLabel = "invalid_label",
    /// Label, account and chain id name different families of chains.
    NamespaceMismatch = "namespace_mismatch",
    /// Nothing in the text says which family of chains it is for.
    NamespaceUndetermined = "namespace_undetermined",
    /// The account is no address of its family, or no CAIP-10 id.
    InvalidAccount = "invalid_account",
    /// The checksum of the address is wrong.
    AddressChecksum = "address_checksum",
    /// The account is on another chain than the chain id says.
    ChainMismatch = "chain_mismatch",
    /// The statement holds a character it may not, or a second header.
    InvalidStatement = "invalid_statement",
    /// A line is absent that must be there.
    MissingField = "missing_field",
    /// A part is longer than its limit.
    FieldTooLong = "field_too_long",
    /// The URI is not one of RFC 3986.
    InvalidUri = "invalid_uri",
    /// The version is not 1.
    InvalidVersion = "invalid_version",
    /// The chain id is none of its family.
    InvalidChainId = "invalid_chain_id",
    /// The nonce is too short or holds a character it may not.
    InvalidNonce = "invalid_nonce",
    /// A time is not one of RFC 3339.
    InvalidTimestamp = "invalid_timestamp",
    /// The request id is not a row of RFC 3986's `pchar`.
    InvalidRequestId = "invalid_request_id",
    /// There are more resources than the limit.
    TooManyResources = "too_many_resources",
    /// A resource is not a URI of RFC 3986, or its line is none.
    InvalidResource = "invalid_resource",
    /// The message is for another domain.
    DomainMismatch = "domain_mismatch",
    /// The message is for another scheme.
    SchemeMismatch = "scheme_mismatch",
    /// The family of chains is not welcome.
    NamespaceNotAllowed = "namespace_not_allowed",
    /// The label is not welcome.
    LabelNotAllowed = "label_not_allowed",
    /// The chain is not welcome.
    ChainNotAllowed = "chain_not_allowed",
    /// The URI is of another origin than the domain, or does not cover the request.
    UriMismatch = "uri_mismatch",
    /// The message ends before it begins.
    InvalidTimeRange = "invalid_time_range",
    /// The message was issued in the future.
    IssuedInFuture = "issued_in_future",
    /// The message begins in the future.
    NotYetValid = "not_yet_valid",
    /// The message has ended.
    Expired = "expired",
    /// The message is older than such a message may be.
    IssuedTooLongAgo = "issued_too_long_ago",
    /// The message lives longer than a message may.
    LifetimeTooLong = "lifetime_too_long",
    /// The nonce was not issued here, or too long ago.
    NonceUnknown = "nonce_unknown",
    /// The nonce was used.
    NonceReused = "nonce_reused",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text could not be read, or not be rebuilt from a payload.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{sentence}")]
pub struct MessageError {
    code: Code,
    field: Option<Field>,
    sentence: Box<str>,
}

impl MessageError {
    pub(crate) fn new(code: Code, sentence: impl Into<Box<str>>) -> Self {
        Self { code, field: None, sentence: sentence.into() }
    }

    /// A refusal whose code goes with a part (marked *f* in message.md section 9).
    pub(crate) fn about(field: Field, code: Code, sentence: impl Into<Box<str>>) -> Self {
        Self { code, field: Some(field), sentence: sentence.into() }
    }

    /// The stable code.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The part it is about, for the codes that go with one.
    pub const fn field(&self) -> Option<Field> {
        self.field
    }
}

/// Why a message is not good here and now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClaimError {
    /// The chain is not welcome.
    #[error("`{found}` is not accepted here; accepted are {accepted}")]
    ChainNotAllowed {
        /// The chain id.
        found: Box<str>,
        /// The welcome ones.
        accepted: Box<str>,
    },
    /// The message is for another domain.
    #[error("the message is for `{found}`, this gateway serves {served}")]
    DomainMismatch {
        /// Its domain.
        found: Box<str>,
        /// The expected ones.
        served: Box<str>,
    },
    /// The message has ended.
    #[error("the message expired {secs} seconds ago; sign a new one")]
    Expired {
        /// Whole seconds since then.
        secs: i64,
    },
    /// The message ends before it begins.
    #[error("the message expires before it begins")]
    InvalidTimeRange,
    /// The message was issued in the future.
    #[error("the message was issued {secs} seconds from now; check the clock")]
    IssuedInFuture {
        /// Seconds until then, rounded up.
        secs: i64,
    },
    /// The message is older than such a message may be.
    #[error("the message was issued {secs} seconds ago, the limit is {limit}; sign a new one")]
    IssuedTooLongAgo {
        /// Seconds since then, rounded up.
        secs: i64,
        /// The most it may be.
        limit: i64,
    },
    /// The label is not welcome.
    #[error("`{found} account` is not accepted here; accepted are {accepted}")]
    LabelNotAllowed {
        /// The label.
        found: Box<str>,
        /// The welcome ones.
        accepted: Box<str>,
    },
    /// The message lives longer than a message may.
    #[error("the message lives {secs} seconds, the limit is {limit}")]
    LifetimeTooLong {
        /// Its life, rounded up.
        secs: i64,
        /// The most it may be.
        limit: i64,
    },
    /// A line is absent that must be there.
    #[error("`{}` is missing", .0.tag())]
    MissingField(Field),
    /// The family of chains is not welcome.
    #[error("`{found}` is not accepted here; accepted are {accepted}")]
    NamespaceNotAllowed {
        /// The namespace.
        found: Box<str>,
        /// The welcome chains.
        accepted: Box<str>,
    },
    /// The message begins in the future.
    #[error("the message begins {secs} seconds from now; check the clock")]
    NotYetValid {
        /// Seconds until then, rounded up.
        secs: i64,
    },
    /// The message is for another scheme.
    #[error("the message is for `{found}`, this gateway serves {served}")]
    SchemeMismatch {
        /// Its scheme and domain.
        found: Box<str>,
        /// The expected origins.
        served: Box<str>,
    },
    /// The URI is of another origin than the domain, or does not cover the request.
    #[error("the message's URI is for another origin than its domain, or for another path")]
    UriMismatch,
}

// === impl ClaimError ===

impl ClaimError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::ChainNotAllowed { .. } => Code::ChainNotAllowed,
            Self::DomainMismatch { .. } => Code::DomainMismatch,
            Self::Expired { .. } => Code::Expired,
            Self::InvalidTimeRange => Code::InvalidTimeRange,
            Self::IssuedInFuture { .. } => Code::IssuedInFuture,
            Self::IssuedTooLongAgo { .. } => Code::IssuedTooLongAgo,
            Self::LabelNotAllowed { .. } => Code::LabelNotAllowed,
            Self::LifetimeTooLong { .. } => Code::LifetimeTooLong,
            Self::MissingField(_) => Code::MissingField,
            Self::NamespaceNotAllowed { .. } => Code::NamespaceNotAllowed,
            Self::NotYetValid { .. } => Code::NotYetValid,
            Self::SchemeMismatch { .. } => Code::SchemeMismatch,
            Self::UriMismatch => Code::UriMismatch,
        }
    }

    /// The part it is about, for the codes that go with one.
    pub const fn field(&self) -> Option<Field> {
        match self {
            Self::MissingField(field) => Some(*field),
            _ => None,
        }
    }
}

/// Shows the beginning of a foreign text: at most 40 characters, escaped.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

/// Long enough to recognise what one wrote, short enough for a header and a log line.
const SHOWN_CHARS_MAX: usize = 40;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars().take(SHOWN_CHARS_MAX) {
            // A quotation mark does no harm inside backticks and reads better as it is.
            match character {
                '"' | '\'' => write!(f, "{character}")?,
                other => write!(f, "{}", other.escape_debug())?,
            }
        }
        if self.0.chars().nth(SHOWN_CHARS_MAX).is_some() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_harmless() {
        let rows = [
            ("plain", "Nonce: abc", "Nonce: abc"),
            ("quotes stay", r#"{"a":'b'}"#, r#"{"a":'b'}"#),
            ("escape sequences are escaped", "\u{1b}[31m", "\\u{1b}[31m"),
            ("line feeds are escaped", "a\nb", "a\\nb"),
            ("direction changes are escaped", "a\u{202e}b", "a\\u{202e}b"),
            (
                "forty characters",
                "0123456789012345678901234567890123456789",
                "0123456789012345678901234567890123456789",
            ),
            ("one more", "01234567890123456789012345678901234567890", "0123456789012345678901234567890123456789…"),
        ];
        for (name, text, expected) in rows {
            assert_eq!(Shown(text).to_string(), expected, "{name}");
        }
    }

    #[test]
    fn codes_are_unique_and_in_snake_case() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'8')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(names.len(), 47);
    }
}
