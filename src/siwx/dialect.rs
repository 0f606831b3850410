//! What the message layer must know of a family of chains to read its texts.
//!
//! A [`Dialect`] is a row of functions, not a trait, so that the table of them can be a constant in `chain`
//! while this room stays below it. It decides nothing about signatures.

use super::Field;
use crate::caip;

/// One family of chains, as its signing texts show it (message.md sections 3 and 5).
#[derive(Debug)]
pub struct Dialect {
    /// The CAIP-2 namespace.
    pub namespace: &'static str,
    /// The words between `with your ` and ` account:` that name this family, in exact spelling. The first is
    /// the one written in texts of our own.
    pub labels: &'static [&'static str],
    /// Whose template its texts follow.
    pub template: Template,
    /// The canonical spelling of an address, or what is wrong with it.
    pub address: fn(&str) -> Result<String, AddressError>,
    /// The canonical CAIP-2 reference of what a Chain ID line may say, without its namespace.
    pub reference: fn(&str) -> Option<String>,
    /// Whether an address of this shape says by itself which family it is of; asked only when nothing else does.
    pub recognises: fn(&str) -> bool,
    /// Whether an address can exist on a chain, both canonical. Most families have one space of addresses.
    pub on_chain: fn(address: &str, reference: &str) -> bool,
}

/// The document a family's texts are written after. Reading knows one grammar; the template says which lines
/// may not be missing, and how texts of our own and of x402 are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// CAIP-122 itself, for families whose own document does not say more.
    Caip122,
    /// ERC-4361, Sign-In with Ethereum.
    Erc4361,
    /// Sign In With Solana.
    Siws,
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// Its checksum is wrong.
    Checksum,
    /// It is no address of this family.
    Form,
}

// === impl Dialect ===

impl Dialect {
    /// How texts of a family are read that is known by nothing but its identifiers: CAIP-2 and CAIP-10 say what
    /// a reference and an address look like, and both are their own canonical spelling.
    pub const fn plain(namespace: &'static str, labels: &'static [&'static str]) -> Self {
        Self {
            namespace,
            labels,
            template: Template::Caip122,
            address: plain_address,
            reference: plain_reference,
            recognises: |_| false,
            on_chain: |_, _| true,
        }
    }
}

fn plain_address(text: &str) -> Result<String, AddressError> {
    if !caip::is_address(text) {
        return Err(AddressError::Form);
    }
    Ok(text.to_owned())
}

fn plain_reference(text: &str) -> Option<String> {
    caip::is_reference(text).then(|| text.to_owned())
}

// === impl Template ===

impl Template {
    /// The lines without which a text is refused while it is read. Policy asks for more.
    pub const fn required(self) -> &'static [Field] {
        match self {
            Self::Caip122 => &[Field::Uri, Field::Version, Field::ChainId],
            Self::Erc4361 => &[Field::Uri, Field::Version, Field::ChainId, Field::Nonce, Field::IssuedAt],
            Self::Siws => &[],
        }
    }

    /// How many empty lines stand between the account and the fields of a text without a statement.
    pub const fn blank_lines(self) -> u8 {
        match self {
            Self::Caip122 | Self::Siws => 1,
            Self::Erc4361 => 2,
        }
    }
}
