//! Chain-agnostic identifiers: which chain, and which account on it.
//!
//! 1. A [`ChainId`] is CAIP-2, `namespace ":" reference`; an [`AccountId`] is CAIP-10, a chain id, `":"`
//!    and an address. Both are checked for their *form* here; what a reference or an address means is
//!    the business of the namespace's own file in `chain`.
//! 2. Nothing is folded or repaired: what was parsed is what is printed.
//! 3. An [`AccountKey`] is what stores keep: the chain left out, because a wallet holds its subscription
//!    on every chain of its family, and EVM addresses in lower case, because their letter case is a checksum.

use std::fmt;

use thiserror::Error;

/// Why a text is not a CAIP-2 or CAIP-10 identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CaipError {
    /// The namespace is not 3 to 8 of `a-z 0-9 -` (CAIP-2, "Syntax").
    #[error("expected a namespace of 3 to 8 characters out of a-z, 0-9 and `-`, found `{0}`")]
    Namespace(String),
    /// The reference is not 1 to 32 of `A-Z a-z 0-9 - _`.
    #[error("expected a chain reference of 1 to 32 characters out of A-Z, a-z, 0-9, `-` and `_`, found `{0}`")]
    Reference(String),
    /// The address is not 1 to 128 of `A-Z a-z 0-9 - . %` (CAIP-10, "Syntax").
    #[error("expected an address of 1 to 128 characters out of A-Z, a-z, 0-9, `-`, `.` and `%`, found `{0}`")]
    Address(String),
    /// A colon is missing.
    #[error("expected `{0}`, found `{1}`")]
    Form(&'static str, String),
}

/// A CAIP-2 chain id such as `eip155:8453`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId {
    text: Box<str>,
    colon: u8,
}

/// A CAIP-10 account id such as `eip155:8453:0xab16…`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId {
    text: Box<str>,
    chain_end: u8,
    colon: u8,
}

/// Under which key a store keeps what an account holds: its namespace and address, without the chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey {
    namespace: Box<str>,
    address: Box<str>,
}

// === impl ChainId ===

impl ChainId {
    /// Joins a namespace and a reference.
    pub fn new(namespace: &str, reference: &str) -> Result<Self, CaipError> {
        if !is_namespace(namespace) {
            return Err(CaipError::Namespace(shown(namespace)));
        }
        if !is_reference(reference) {
            return Err(CaipError::Reference(shown(reference)));
        }
        // A namespace has at most 8 bytes, so the cast keeps its value.
        Ok(Self { text: format!("{namespace}:{reference}").into(), colon: namespace.len() as u8 })
    }

    /// Reads `namespace:reference`.
    pub fn parse(text: &str) -> Result<Self, CaipError> {
        let Some((namespace, reference)) = text.split_once(':') else {
            return Err(CaipError::Form("namespace:reference", shown(text)));
        };
        Self::new(namespace, reference)
    }

    /// The family of chains, such as `eip155`.
    pub fn namespace(&self) -> &str {
        &self.text[..usize::from(self.colon)]
    }

    /// The chain within its family, such as `8453`.
    pub fn reference(&self) -> &str {
        &self.text[usize::from(self.colon) + 1..]
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl AccountId ===

impl AccountId {
    /// Joins a chain and an address. The address is taken as it is; make it canonical first.
    pub fn new(chain: &ChainId, address: &str) -> Result<Self, CaipError> {
        if !is_address(address) {
            return Err(CaipError::Address(shown(address)));
        }
        Ok(Self {
            text: format!("{chain}:{address}").into(),
            // A chain id has at most 8 + 1 + 32 bytes.
            chain_end: chain.text.len() as u8,
            colon: chain.colon,
        })
    }

    /// Reads `namespace:reference:address`.
    pub fn parse(text: &str) -> Result<Self, CaipError> {
        let Some((chain, address)) = text.rsplit_once(':') else {
            return Err(CaipError::Form("namespace:reference:address", shown(text)));
        };
        Self::new(&ChainId::parse(chain)?, address)
    }

    /// The chain the account is on.
    pub fn chain(&self) -> ChainId {
        ChainId { text: self.chain_str().into(), colon: self.colon }
    }

    /// The chain the account is on, as text.
    pub fn chain_str(&self) -> &str {
        &self.text[..usize::from(self.chain_end)]
    }

    /// The family of chains.
    pub fn namespace(&self) -> &str {
        &self.text[..usize::from(self.colon)]
    }

    /// The address alone.
    pub fn address(&self) -> &str {
        &self.text[usize::from(self.chain_end) + 1..]
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The key under which stores keep what this account holds.
    pub fn key(&self) -> AccountKey {
        AccountKey::new(self.namespace(), self.address())
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl AccountKey ===

impl AccountKey {
    /// The key of an address of a namespace; EVM addresses are folded to lower case, others are kept.
    pub fn new(namespace: &str, address: &str) -> Self {
        let address = if namespace == "eip155" { address.to_ascii_lowercase() } else { address.to_owned() };
        Self { namespace: namespace.into(), address: address.into() }
    }

    /// The family of chains.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The address as stores hold it.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.address)
    }
}

/// Whether a text is a CAIP-2 namespace: `[-a-z0-9]{3,8}`.
pub fn is_namespace(text: &str) -> bool {
    (3..=8).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Whether a text is a CAIP-2 reference: `[-_a-zA-Z0-9]{1,32}`.
pub fn is_reference(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Whether a text has the form of a CAIP-10 address: `[-.%a-zA-Z0-9]{1,128}`.
pub fn is_address(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'%'))
}

/// At most 40 characters of a foreign text, escaped, for an error.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_keep_their_text_and_their_parts() {
        for text in ["eip155:1", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "bip122:000000000019d6689c085ae165831e93"] {
            let id = ChainId::parse(text).expect(text);
            assert_eq!(format!("{}:{}", id.namespace(), id.reference()), text);
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_chain_id_says_why() {
        let form = |text: &str| CaipError::Form("namespace:reference", text.into());
        let rows = [
            ("no colon", "eip155", form("eip155")),
            ("short namespace", "ei:1", CaipError::Namespace("ei".into())),
            ("upper case namespace", "EIP155:1", CaipError::Namespace("EIP155".into())),
            ("empty reference", "eip155:", CaipError::Reference(String::new())),
            ("second colon", "eip155:1:2", CaipError::Reference("1:2".into())),
            (
                "long reference",
                "eip155:123456789012345678901234567890123",
                CaipError::Reference("123456789012345678901234567890123".into()),
            ),
            ("not ASCII", "eip155:１", CaipError::Reference("１".into())),
        ];
        for (name, text, expected) in rows {
            assert_eq!(ChainId::parse(text), Err(expected), "{name}");
        }
    }

    #[test]
    fn account_ids_keep_their_text_and_their_parts() {
        let id = AccountId::parse("eip155:8453:0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B").expect("a CAIP-10 id");
        assert_eq!(id.chain_str(), "eip155:8453");
        assert_eq!(id.chain(), ChainId::parse("eip155:8453").expect("a CAIP-2 id"));
        assert_eq!(id.namespace(), "eip155");
        assert_eq!(id.address(), "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B");
        assert_eq!(id.key().to_string(), "eip155:0xab5801a7d398351b8be11c439e05c5b3259aec9b");
    }

    #[test]
    fn keys_fold_evm_addresses_alone() {
        let solana = AccountKey::new("solana", "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene");
        assert_eq!(solana.address(), "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene");
        assert_eq!(AccountKey::new("eip155", "0xAB"), AccountKey::new("eip155", "0xab"));
    }
}
