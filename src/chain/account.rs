//! Accounts as operators write them: a CAIP-10 id, `namespace:address` as lists show it, or an address alone.
//!
//! Whatever is written, the address must be one of its family, and comes out in canonical spelling: a subscription
//! given to a misspelt address would be nobody's.

use thiserror::Error;

use super::DIALECTS;
use crate::{
    caip::{AccountKey, ChainId},
    siwx::dialect::{AddressError, Dialect},
};

/// An account that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Under which stores keep it.
    pub key: AccountKey,
    /// The chain, if one was named.
    pub chain: Option<ChainId>,
}

/// Why a text names no account.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccountError {
    /// The address is not one of its family.
    #[error("expected an address of `{namespace}`, found `{found}`")]
    Address {
        /// The family.
        namespace: &'static str,
        /// The address.
        found: String,
    },
    /// The checksum of an address does not add up; of an EVM one it is in the case of its letters.
    #[error("the checksum of `{found}` is wrong; is it mistyped? An EVM address is taken as it is in lower case")]
    Checksum {
        /// The address.
        found: String,
    },
    /// The chain is not one of its family.
    #[error("expected a chain of `{namespace}`, found `{found}`")]
    Chain {
        /// The family.
        namespace: &'static str,
        /// The reference.
        found: String,
    },
    /// Neither a known family nor an address that tells its own.
    #[error("expected a CAIP-10 id such as `eip155:1:0x…`, or an address of Ethereum, Solana or Bitcoin, found `{0}`")]
    Unknown(String),
}

impl Named {
    /// Reads an account.
    pub fn parse(text: &str) -> Result<Self, AccountError> {
        let mut parts = text.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(address), None, ..) => {
                let dialect = DIALECTS.iter().find(|dialect| (dialect.recognises)(address));
                let dialect = dialect.ok_or_else(|| AccountError::Unknown(shown(text)))?;
                Ok(Self { key: key(dialect, address)?, chain: None })
            }
            (Some(namespace), Some(address), None, _) => {
                Ok(Self { key: key(family(namespace, text)?, address)?, chain: None })
            }
            (Some(namespace), Some(reference), Some(address), None) => {
                let dialect = family(namespace, text)?;
                let key = key(dialect, address)?;
                Ok(Self { key, chain: Some(chain(dialect, reference)?) })
            }
            _ => Err(AccountError::Unknown(shown(text))),
        }
    }
}

/// `namespace:address` in the spelling that people read (EIP-55 for EVM).
pub fn spelled(key: &AccountKey) -> String {
    let dialect = DIALECTS.iter().find(|dialect| dialect.namespace == key.namespace());
    let canonical = dialect.and_then(|dialect| (dialect.address)(key.address()).ok());
    format!("{}:{}", key.namespace(), canonical.as_deref().unwrap_or_else(|| key.address()))
}

fn family(namespace: &str, whole: &str) -> Result<&'static Dialect, AccountError> {
    let dialect = DIALECTS.iter().find(|dialect| dialect.namespace == namespace);
    dialect.ok_or_else(|| AccountError::Unknown(shown(whole)))
}

fn key(dialect: &Dialect, address: &str) -> Result<AccountKey, AccountError> {
    let found = || shown(address);
    let canonical = (dialect.address)(address).map_err(|error| match error {
        AddressError::Checksum => AccountError::Checksum { found: found() },
        AddressError::Form => AccountError::Address { namespace: dialect.namespace, found: found() },
    })?;
    Ok(AccountKey::new(dialect.namespace, &canonical))
}

fn chain(dialect: &Dialect, reference: &str) -> Result<ChainId, AccountError> {
    let wrong = || AccountError::Chain { namespace: dialect.namespace, found: shown(reference) };
    let canonical = (dialect.reference)(reference).ok_or_else(wrong)?;
    ChainId::new(dialect.namespace, &canonical).map_err(|_| wrong())
}

/// As much of a foreign text as an address has, escaped.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVM: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    const SOLANA: &str = "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene";

    #[test]
    fn the_ways_to_name_an_account() {
        let evm = AccountKey::new("eip155", EVM);
        let solana = AccountKey::new("solana", SOLANA);
        let chain = |text: &str| Some(ChainId::parse(text).expect("a CAIP-2 id"));
        let rows = [
            ("address", EVM.to_owned(), &evm, None),
            ("address in lower case", EVM.to_lowercase(), &evm, None),
            ("namespace and address", format!("eip155:{EVM}"), &evm, None),
            ("CAIP-10", format!("eip155:8453:{EVM}"), &evm, chain("eip155:8453")),
            ("Solana address", SOLANA.to_owned(), &solana, None),
            (
                "CAIP-10 by a word",
                format!("solana:mainnet:{SOLANA}"),
                &solana,
                chain("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
            ),
        ];
        for (name, text, key, chain) in rows {
            assert_eq!(Named::parse(&text), Ok(Named { key: key.clone(), chain }), "{name}");
        }
        assert_eq!(spelled(&evm), format!("eip155:{EVM}"));
        assert_eq!(spelled(&solana), format!("solana:{SOLANA}"));
    }

    #[test]
    fn what_names_nobody() {
        let typo = EVM.replace("5aAe", "5aae");
        let rows = [
            ("nothing", String::new(), AccountError::Unknown(String::new())),
            ("a word", "alice".to_owned(), AccountError::Unknown("alice".to_owned())),
            ("unknown family", format!("eip156:1:{EVM}"), AccountError::Unknown(format!("eip156:1:{EVM}"))),
            ("too many parts", format!("eip155:1:2:{EVM}"), AccountError::Unknown(format!("eip155:1:2:{EVM}"))),
            ("mistyped", typo.clone(), AccountError::Checksum { found: typo }),
            (
                "an address of another family",
                format!("eip155:1:{SOLANA}"),
                AccountError::Address { namespace: "eip155", found: SOLANA.to_owned() },
            ),
            (
                "no chain",
                format!("eip155:01:{EVM}"),
                AccountError::Chain { namespace: "eip155", found: "01".to_owned() },
            ),
        ];
        for (name, text, expected) in rows {
            assert_eq!(Named::parse(&text), Err(expected), "{name}");
        }
    }
}
