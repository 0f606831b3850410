//! The message layer: how a signing text is read, judged, written and refused.
//!
//! Everything here is pure: bytes, settings and a clock value go in; fields or one error come out. Signatures
//! are the business of `chain`, nonces that of a store, HTTP that of `edge`. Three rules stand above the rest:
//!
//! 1. A signature is checked over the received bytes, never over a text written again. Reading trims nothing,
//!    folds no case and normalises nothing.
//! 2. A text has one reading or none: what two careful readers could split differently is refused.
//! 3. Time fails closed: a time that is not understood refuses the text, and a text without any bound on its
//!    life is refused.
//!
//! | file | what |
//! |---|---|
//! | `message` | bytes to [`Message`]: characters, then structure (`lines`), then parts (`fields`) |
//! | `claims` | a message against an expectation and a clock, on every request |
//! | `render` | fields to text: exact, and canonical for texts of our own |
//! | `rebuild` | the text an x402 payload stands for |
//! | `proof` | message, text and signature together, unverified |
//! | `verdict` | the outcome as JSON, for people and tests |
//!
//! What differs between families of chains comes in as a table of [`dialect::Dialect`]s.

pub mod claims;
pub mod dialect;
pub mod error;
mod fields;
mod grammar;
mod lines;
pub mod message;
pub mod origin;
pub mod proof;
pub mod rebuild;
pub mod render;
mod uri;
pub mod verdict;

pub use error::{Code, MessageError};
pub use message::Message;

/// A part of a signing text: of its header, or one of its tagged lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Field {
    /// What stands before `://` in the header.
    Scheme,
    /// Who asks for the signature.
    Domain,
    /// The words between `with your ` and ` account:`.
    Label,
    /// The second line.
    Account,
    /// The sentence for people.
    Statement,
    /// `URI: `
    Uri,
    /// `Version: `
    Version,
    /// `Chain ID: `
    ChainId,
    /// `Nonce: `
    Nonce,
    /// `Issued At: `
    IssuedAt,
    /// `Expiration Time: `
    ExpirationTime,
    /// `Not Before: `
    NotBefore,
    /// `Request ID: `
    RequestId,
    /// `Resources:` and the entries below it.
    Resources,
}

impl Field {
    /// The parts in the order in which a text holds them.
    pub const ALL: &[Self] = &[
        Self::Scheme,
        Self::Domain,
        Self::Label,
        Self::Account,
        Self::Statement,
        Self::Uri,
        Self::Version,
        Self::ChainId,
        Self::Nonce,
        Self::IssuedAt,
        Self::ExpirationTime,
        Self::NotBefore,
        Self::RequestId,
        Self::Resources,
    ];

    /// The lines with a tag and one value, in the order of ERC-4361.
    pub(crate) const TAGGED: [Self; 8] = [
        Self::Uri,
        Self::Version,
        Self::ChainId,
        Self::Nonce,
        Self::IssuedAt,
        Self::ExpirationTime,
        Self::NotBefore,
        Self::RequestId,
    ];

    /// Its name in errors, settings and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheme => "scheme",
            Self::Domain => "domain",
            Self::Label => "label",
            Self::Account => "account",
            Self::Statement => "statement",
            Self::Uri => "uri",
            Self::Version => "version",
            Self::ChainId => "chain_id",
            Self::Nonce => "nonce",
            Self::IssuedAt => "issued_at",
            Self::ExpirationTime => "expiration_time",
            Self::NotBefore => "not_before",
            Self::RequestId => "request_id",
            Self::Resources => "resources",
        }
    }

    /// The part of this name, or nothing; the inverse of [`Field::as_str`].
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.as_str() == name)
    }

    /// The member that carries it in a payload of x402's `sign-in-with-x` extension.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Account => "address",
            Self::ChainId => "chainId",
            Self::IssuedAt => "issuedAt",
            Self::ExpirationTime => "expirationTime",
            Self::NotBefore => "notBefore",
            Self::RequestId => "requestId",
            other => other.as_str(),
        }
    }

    /// What its line begins with, trailing space included. The header and the statement have no tag of their
    /// own; they are named in words, for errors.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::Scheme => "scheme",
            Self::Domain => "domain",
            Self::Label => "label",
            Self::Account => "account",
            Self::Statement => "statement",
            Self::Uri => "URI: ",
            Self::Version => "Version: ",
            Self::ChainId => "Chain ID: ",
            Self::Nonce => "Nonce: ",
            Self::IssuedAt => "Issued At: ",
            Self::ExpirationTime => "Expiration Time: ",
            Self::NotBefore => "Not Before: ",
            Self::RequestId => "Request ID: ",
            Self::Resources => "Resources:",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_parts_belong_together() {
        for (position, field) in Field::ALL.iter().enumerate() {
            assert_eq!(Field::named(field.as_str()), Some(*field));
            // Sets of parts are kept as bits under this number.
            assert_eq!(*field as usize, position);
        }
        assert_eq!(Field::named("URI"), None);
        assert_eq!(Field::named("chainId"), None);
    }
}
