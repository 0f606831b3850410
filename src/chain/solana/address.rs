//! Addresses and chain references of Solana.
//!
//! 1. An address is base58 in Bitcoin's alphabet, 32 to 44 characters, of exactly 32 bytes. Base58 knows
//!    upper and lower case apart: nothing is ever folded.
//! 2. A reference is a CAIP-2 reference; the aliases wallets write and the full genesis hashes become the
//!    32-character form of the namespace's profile.

use crate::{caip, siwx::dialect::AddressError};

/// What wallets write for a chain, and its CAIP-2 reference.
const ALIASES: [(&str, &str); 7] = [
    ("mainnet", MAINNET),
    ("mainnet-beta", MAINNET),
    ("testnet", TESTNET),
    ("devnet", DEVNET),
    ("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", MAINNET),
    ("4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY", TESTNET),
    ("EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG", DEVNET),
];

/// CAIP-2 reference of the main network.
pub const MAINNET: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const TESTNET: &str = "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z";
const DEVNET: &str = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1";

/// Reads an address: its 32 bytes, which are an Ed25519 key or would be one.
pub fn parse(text: &str) -> Result<[u8; 32], AddressError> {
    if !(32..=44).contains(&text.len()) {
        return Err(AddressError::Form);
    }
    let mut bytes = [0; 32];
    match bs58::decode(text).onto(&mut bytes) {
        Ok(32) => Ok(bytes),
        _ => Err(AddressError::Form),
    }
}

/// The canonical spelling of an address, for a `Dialect`: itself, if it is one.
pub fn canonical(text: &str) -> Result<String, AddressError> {
    parse(text).map(|_| text.to_owned())
}

/// The canonical chain reference, for a `Dialect`.
pub fn reference(text: &str) -> Option<String> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == text).map(|(_, reference)| *reference);
    let found = alias.or_else(|| caip::is_reference(text).then_some(text))?;
    Some(found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let system_program = "11111111111111111111111111111111";
        assert_eq!(parse(system_program), Ok([0; 32]));
        let rows = [
            ("empty", ""),
            ("31 bytes", "1111111111111111111111111111111"),
            ("33 bytes", "111111111111111111111111111111111"),
            ("letter outside the alphabet", "0yktaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            ("not ASCII", "1111111111111111111111111111111é"),
        ];
        for (name, text) in rows {
            assert_eq!(parse(text), Err(AddressError::Form), "{name}");
        }
    }

    #[test]
    fn references() {
        assert_eq!(reference("mainnet").as_deref(), Some(MAINNET));
        assert_eq!(reference("EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG").as_deref(), Some(DEVNET));
        assert_eq!(reference("8E9rvCKLFQia2Y35HXjjpWzj8weVo44K").as_deref(), Some("8E9rvCKLFQia2Y35HXjjpWzj8weVo44K"));
        assert_eq!(
            reference("Mainnet").as_deref(),
            Some("Mainnet"),
            "aliases know letter case; this is some other chain"
        );
        assert_eq!(reference("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9e"), None);
    }
}
