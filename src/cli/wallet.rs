//! Wallets of this program's own: for tests, load tests and the demo.
//!
//! 1. A key file holds one key in the form that the tools of its chain write: `0x` and 64 hex digits for EVM
//!    (a private key as wallets export it), a JSON array of 64 bytes for Solana (as `solana-keygen` writes it: the
//!    seed and the public key), WIF for Bitcoin, `suiprivkey1…` for Sui (bech32). Which one it is shows by how it begins
//!    and by its length; where the tools of two families write the same, as those of Tron and of EVM do, a word before
//!    it tells.
//! 2. A key comes from a file, standard input or the environment, never from an argument, which every user of the
//!    machine can read.
//! 3. Keys are wiped from memory when they are dropped, and `Debug` does not show them.

mod bitcoin;
mod sui;
mod tron;

use std::fmt;

use clap::ValueEnum;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::Signer as _;
use thiserror::Error;

pub(super) use self::bitcoin::AddressType;
use self::bitcoin::BitcoinKey;
use crate::{
    chain::{
        self,
        eip155::{self, address::checksummed},
        solana,
    },
    secret::Secret,
};

/// A private key that signs texts.
pub(super) enum Wallet {
    /// A key on secp256k1, whose account is of the namespace `eip155`.
    Evm(Box<k256::ecdsa::SigningKey>),
    /// A key on Ed25519, whose account is of the namespace `solana`.
    Solana(Box<ed25519_dalek::SigningKey>),
    /// A key on secp256k1, whose account is of the namespace `bip122`.
    Bitcoin(Box<BitcoinKey>),
    /// A key on secp256k1, whose account is of the namespace `tron`.
    Tron(Box<tron::Key>),
    /// A key on Ed25519, whose account is of the namespace `sui`.
    Sui(Box<sui::Key>),
}

/// A family of wallets, as `keygen` calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Family {
    /// Ethereum and its kin
    Evm,
    /// Solana
    Solana,
    /// Bitcoin
    Bitcoin,
    /// Tron
    Tron,
    /// Sui
    Sui,
}

/// Why there is no wallet. The text of a key file is never part of it.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum WalletError {
    /// Only Bitcoin has types of addresses.
    #[error("expected a Bitcoin wallet to have an address of a type, found one of another family")]
    AddressType,
    /// A key in WIF that does not add up.
    #[error("the checksum of the key is wrong; is it mistyped?")]
    Checksum,
    /// A Sui key, and not on Ed25519.
    #[error("expected a Sui key on Ed25519, found one on another curve")]
    Curve,
    /// None of the forms of a key file.
    #[error(
        "expected a key as `0x` and 64 hex digits (EVM), the same after `tron:` (Tron), as a JSON array of 64 bytes \
         (Solana), in WIF (Bitcoin) or as `suiprivkey1…` (Sui), found none of them"
    )]
    Form,
    /// Zero, or not below the group order.
    #[error("expected a private key of secp256k1, found a number outside its range")]
    Range,
    /// The second half of a Solana key is not the public key of the first.
    #[error("expected the public key in the second half of a Solana key to belong to the first, found another one")]
    Halves,
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// Typed data is of EVM chains.
    #[error("expected an EVM wallet to sign typed data, found one of another family")]
    TypedData,
    /// A key for addresses that have no witness.
    #[error("expected a Bitcoin key in its compressed form, found an uncompressed one")]
    Uncompressed,
}

/// Bytes of a key file at most: an array of 64 numbers, generously spaced.
pub(super) const KEY_FILE_BYTES_MAX: u64 = 4096;

// === impl Family ===

impl Family {
    /// The word for it on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

// === impl Wallet ===

impl Wallet {
    /// A new wallet.
    pub(super) fn generate(family: Family) -> Result<Self, WalletError> {
        loop {
            let seed = Secret::new(random::<32>()?.to_vec());
            match Self::of_seed(family, seed.expose()) {
                // One seed in 2^128 is no scalar of secp256k1.
                Err(WalletError::Range) => {}
                made => return made,
            }
        }
    }

    fn of_seed(family: Family, seed: &[u8]) -> Result<Self, WalletError> {
        match family {
            Family::Evm => {
                let key = k256::ecdsa::SigningKey::from_slice(seed).map_err(|_| WalletError::Range)?;
                Ok(Self::Evm(Box::new(key)))
            }
            Family::Solana => {
                let seed = seed.try_into().map_err(|_| WalletError::Form)?;
                Ok(Self::Solana(Box::new(ed25519_dalek::SigningKey::from_bytes(seed))))
            }
            Family::Bitcoin => Ok(Self::Bitcoin(Box::new(BitcoinKey::of_seed(seed)?))),
            Family::Tron => tron::Key::of_seed(seed).map(|key| Self::Tron(Box::new(key))),
            Family::Sui => sui::Key::of_seed(seed).map(|key| Self::Sui(Box::new(key))),
        }
    }

    /// Reads a key file.
    pub(super) fn read(text: &str) -> Result<Self, WalletError> {
        let text = text.trim();
        if text.starts_with('[') {
            let bytes: Vec<u8> = serde_json::from_str(text).map_err(|_| WalletError::Form)?;
            let bytes = Secret::new(bytes);
            let pair: &[u8; 64] = bytes.expose().as_slice().try_into().map_err(|_| WalletError::Form)?;
            let key = ed25519_dalek::SigningKey::from_keypair_bytes(pair).map_err(|_| WalletError::Halves)?;
            return Ok(Self::Solana(Box::new(key)));
        }
        if bitcoin::is_wif(text) {
            return Ok(Self::Bitcoin(Box::new(BitcoinKey::read(text)?)));
        }
        if text.starts_with(sui::PREFIX) {
            return sui::Key::read(text).map(|key| Self::Sui(Box::new(key)));
        }
        let (family, text) = match text.strip_prefix(tron::PREFIX) {
            Some(text) => (Family::Tron, text),
            None => (Family::Evm, text),
        };
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.len() != 64 {
            return Err(WalletError::Form);
        }
        let seed = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| WalletError::Form)?;
        Self::of_seed(family, Secret::new(seed).expose())
    }

    /// The same wallet with an address of this type; without one it is as it was.
    pub(super) fn with_address_type(self, kind: Option<AddressType>) -> Result<Self, WalletError> {
        match (self, kind) {
            (wallet, None) => Ok(wallet),
            (Self::Bitcoin(key), Some(kind)) => Ok(Self::Bitcoin(Box::new(key.with(kind)?))),
            (_, Some(_)) => Err(WalletError::AddressType),
        }
    }

    /// The text of its key file, line end included.
    pub(super) fn write(&self) -> Secret<String> {
        Secret::new(match self {
            Self::Evm(key) => format!("0x{}\n", HEXLOWER.encode(&key.to_bytes())),
            Self::Solana(key) => {
                let numbers: Vec<String> = key.to_keypair_bytes().iter().map(u8::to_string).collect();
                format!("[{}]\n", numbers.join(","))
            }
            Self::Bitcoin(key) => format!("{}\n", key.write()),
            Self::Tron(key) => format!("{}\n", key.write()),
            Self::Sui(key) => format!("{}\n", key.write()),
        })
    }

    /// The CAIP-2 namespace of its accounts.
    pub(super) const fn namespace(&self) -> &'static str {
        match self {
            Self::Evm(_) => "eip155",
            Self::Solana(_) => "solana",
            Self::Bitcoin(_) => "bip122",
            Self::Tron(_) => "tron",
            Self::Sui(_) => "sui",
        }
    }

    /// The chain that is meant where none is named: the main one of the family.
    pub(super) const fn main_chain(&self) -> &'static str {
        match self {
            Self::Evm(_) => "1",
            Self::Solana(_) => solana::address::MAINNET,
            Self::Bitcoin(key) => key.main_chain(),
            Self::Tron(_) => chain::tron::MAINNET,
            Self::Sui(_) => chain::sui::MAINNET,
        }
    }

    /// Whether its address is one of a chain of its namespace; where addresses do not say, it is.
    pub(super) fn is_on(&self, reference: &str) -> bool {
        match self {
            Self::Bitcoin(key) => key.is_on(reference),
            _ => true,
        }
    }

    /// Its address in canonical spelling.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Evm(key) => checksummed(&eip155::address::of_key(key.verifying_key())),
            Self::Solana(key) => bs58::encode(key.verifying_key().as_bytes()).into_string(),
            Self::Bitcoin(key) => key.address(),
            Self::Tron(key) => key.address(),
            Self::Sui(key) => key.address(),
        }
    }

    /// Signs a text as a wallet of its family does, in the spelling that `Authorization` carries.
    pub(super) fn sign(&self, text: &[u8]) -> String {
        match self {
            Self::Evm(key) => evm_signature(key, &eip155::digest(text)),
            Self::Solana(key) => bs58::encode(key.sign(text).to_bytes()).into_string(),
            Self::Bitcoin(key) => key.sign(text),
            Self::Tron(key) => key.sign(text),
            Self::Sui(key) => key.sign(text),
        }
    }

    /// Signs the digest of typed data (EIP-712), as EVM wallets do.
    pub(super) fn sign_typed(&self, digest: &[u8; 32]) -> Result<String, WalletError> {
        match self {
            Self::Evm(key) => Ok(evm_signature(key, digest)),
            _ => Err(WalletError::TypedData),
        }
    }
}

/// `0x` and 65 bytes in hex, v being 27 or 28.
fn evm_signature(key: &k256::ecdsa::SigningKey, digest: &[u8; 32]) -> String {
    let (signature, id) = key.sign_prehash_recoverable(digest);
    let v = 27 + u8::from(id.is_y_odd());
    format!("0x{}{v:02x}", HEXLOWER.encode(&signature.to_bytes()))
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wallet({}:{})", self.namespace(), self.address())
    }
}

/// A nonce nobody can guess: 32 hex digits.
pub(super) fn nonce() -> Result<String, WalletError> {
    Ok(HEXLOWER.encode(&random::<16>()?))
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], WalletError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| WalletError::Random(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        caip::ChainId,
        chain::{Accepts, Signed, verify_signature},
    };

    /// Keys that everybody knows, with their addresses: the first of the EVM development chains, and an Ed25519 seed
    /// of sevens.
    const EVM: (&str, &str) = (
        "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    );
    const SOLANA_ADDRESS: &str = "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB";

    fn solana() -> Wallet {
        Wallet::of_seed(Family::Solana, &[7; 32]).expect("a seed")
    }

    #[test]
    fn addresses_are_those_of_other_tools() {
        assert_eq!(Wallet::read(EVM.0).expect("a key").address(), EVM.1);
        assert_eq!(Wallet::read(&EVM.0[2..]).expect("a key without prefix").address(), EVM.1);
        assert_eq!(solana().address(), SOLANA_ADDRESS);
    }

    #[test]
    fn key_files_are_read_as_they_are_written() {
        for family in Family::value_variants() {
            let wallet = Wallet::generate(*family).expect("random numbers");
            let read = Wallet::read(wallet.write().expose()).expect("a key file");
            assert_eq!(format!("{read:?}"), format!("{wallet:?}"), "{family:?}");
        }
    }

    /// One key, two wallets: the word before it decides.
    #[test]
    fn a_key_is_of_evm_unless_it_says_otherwise() {
        let namespace = |text: &str| Wallet::read(text).expect("a key").namespace();
        let digits = &EVM.0[2..];
        assert_eq!((namespace(EVM.0), namespace(digits)), ("eip155", "eip155"));
        assert_eq!((namespace(&format!("tron:{}", EVM.0)), namespace(&format!("tron:{digits}"))), ("tron", "tron"));
    }

    #[test]
    fn what_is_no_key_file() {
        let halves = solana().write().expose().replacen("[7,", "[8,", 1);
        let rows = [
            ("empty", "", WalletError::Form),
            ("a word", "secret", WalletError::Form),
            ("hex that is too short", &EVM.0[..64], WalletError::Form),
            ("not hex", &EVM.0.replace("ac", "xy"), WalletError::Form),
            ("zero", &"0".repeat(64), WalletError::Range),
            ("above the group order", &"f".repeat(64), WalletError::Range),
            ("half a Solana key", "[1,2,3]", WalletError::Form),
            ("the word of Tron alone", "tron:", WalletError::Form),
            ("the word of Tron in upper case", &format!("TRON:{}", EVM.0), WalletError::Form),
            ("zero for Tron", &format!("tron:{}", "0".repeat(64)), WalletError::Range),
            ("numbers above a byte", "[256]", WalletError::Form),
            ("halves that do not belong together", &halves, WalletError::Halves),
        ];
        for (name, text, expected) in rows {
            assert_eq!(Wallet::read(text).err(), Some(expected), "{name}");
        }
    }

    #[test]
    fn signatures_are_good_by_the_rules_of_headers() {
        for family in Family::value_variants() {
            let wallet = Wallet::generate(*family).expect("random numbers");
            let chain = ChainId::new(wallet.namespace(), wallet.main_chain()).expect("a CAIP-2 id");
            let (address, signature) = (wallet.address(), wallet.sign(b"text"));
            let signed =
                Signed { chain: &chain, address: &address, text: b"text", domain: None, signature: &signature };
            verify_signature(&signed, &Accepts::default()).expect("a good signature");
        }
    }

    #[test]
    fn debug_shows_the_account_alone() {
        assert_eq!(format!("{:?}", solana()), format!("Wallet(solana:{SOLANA_ADDRESS})"));
    }
}
