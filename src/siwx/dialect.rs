//! What the message layer must know of a family of chains to read its texts.
//!
//! A [`Dialect`] is a row of functions, not a trait, so that the table of them can be a constant in `chain`
//! while this room stays below it. It decides nothing about signatures.

use super::Field;

/// One family of chains, as its signing texts show it (message.md sections 3 and 5).
#[derive(Debug)]
pub struct Dialect {
    /// The CAIP-2 namespace.
    pub namespace: &'static str,
    /// The words between `with your ` and ` account:` that name this family, in exact spelling. The first is
    /// the one written in texts of our own.
    pub labels: &'static [&'static str],
    /// The lines without which a text of this family is refused.
    pub required: &'static [Field],
    /// The canonical spelling of an address, or what is wrong with it.
    pub address: fn(&str) -> Result<String, AddressError>,
    /// The canonical CAIP-2 reference of what a Chain ID line may say, without its namespace.
    pub reference: fn(&str) -> Option<String>,
    /// Whether an address of this shape says by itself which family it is of; asked only when nothing else does.
    pub recognises: fn(&str) -> bool,
    /// Whether an address can exist on a chain, both canonical. Most families have one space of addresses.
    pub on_chain: fn(address: &str, reference: &str) -> bool,
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// Its checksum is wrong.
    Checksum,
    /// It is no address of this family.
    Form,
}
