//! Bitcoin wallets of this program's own: a key in WIF, an address of one of two types, BIP-322 signatures.
//!
//! 1. WIF names the network of a key, the main one or a test network, and its accounts are on chains of that network
//!    alone. A key is not for both: tools of Bitcoin refuse one of the other network.
//! 2. A key for an address of the witness is compressed, and WIF says so in a byte. One without it is refused.
//! 3. Signatures have their prefix, which BIP-322 asks of whoever signs.

use data_encoding::BASE64;
use k256::{
    NonZeroScalar,
    ecdsa::SigningKey,
    schnorr::{self, signature::hazmat::PrehashSigner as _},
};

use super::WalletError;
use crate::{
    chain::bip122::{
        SIMPLE_PREFIX,
        address::{self, Lock, Network},
        hash::{hash160, sha256d},
        taproot,
        transaction::{SIGHASH_ALL, SIGHASH_DEFAULT, ToSign},
    },
    secret::Secret,
};

/// What kind of address a Bitcoin wallet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum AddressType {
    /// Native segwit, `bc1q…`
    P2wpkh,
    /// Taproot, `bc1p…`
    P2tr,
}

/// A private key, and what signs for its address.
pub(in crate::cli) struct BitcoinKey {
    key: SigningKey,
    network: Network,
    /// The key after its tweak, if the address is a taproot one.
    taproot: Option<schnorr::SigningKey>,
}

/// The first byte of a key in WIF.
const WIF_MAIN: u8 = 0x80;
const WIF_TEST: u8 = 0xef;

/// The last byte of a key in WIF that is compressed.
const WIF_COMPRESSED: u8 = 1;

/// Characters of WIF: 37 bytes without the mark for compressed keys, 38 with it.
const WIF_LENGTHS: std::ops::RangeInclusive<usize> = 51..=52;

/// Whether a text could be a key in WIF, by its length.
pub(super) fn is_wif(text: &str) -> bool {
    WIF_LENGTHS.contains(&text.len())
}

// === impl BitcoinKey ===

impl BitcoinKey {
    /// The key of a seed on the main network, with a native segwit address.
    pub(super) fn of_seed(seed: &[u8]) -> Result<Self, WalletError> {
        Self::new(seed, Network::Main)
    }

    fn new(seed: &[u8], network: Network) -> Result<Self, WalletError> {
        let key = SigningKey::from_slice(seed).map_err(|_| WalletError::Range)?;
        Ok(Self { key, network, taproot: None })
    }

    /// Reads WIF.
    pub(super) fn read(text: &str) -> Result<Self, WalletError> {
        let bytes = Secret::new(bs58::decode(text).into_vec().map_err(|_| WalletError::Form)?);
        let (payload, checksum) = bytes.expose().split_last_chunk::<4>().ok_or(WalletError::Form)?;
        if sha256d(&[payload])[..4] != *checksum {
            return Err(WalletError::Checksum);
        }
        let (network, seed) = match payload {
            [WIF_MAIN, seed @ ..] => (Network::Main, seed),
            [WIF_TEST, seed @ ..] => (Network::Test, seed),
            _ => return Err(WalletError::Form),
        };
        match seed.split_at_checked(32) {
            Some((seed, [WIF_COMPRESSED])) => Self::new(seed, network),
            Some((_, [])) => Err(WalletError::Uncompressed),
            _ => Err(WalletError::Form),
        }
    }

    /// Writes WIF.
    pub(super) fn write(&self) -> String {
        let first = if self.network == Network::Main { WIF_MAIN } else { WIF_TEST };
        let mut bytes = vec![first];
        bytes.extend_from_slice(&self.key.to_bytes());
        bytes.push(WIF_COMPRESSED);
        let checksum = sha256d(&[&bytes]);
        bytes.extend_from_slice(&checksum[..4]);
        let bytes = Secret::new(bytes);
        bs58::encode(bytes.expose()).into_string()
    }

    /// The same key with an address of this type.
    pub(super) fn with(mut self, kind: AddressType) -> Result<Self, WalletError> {
        self.taproot = match kind {
            AddressType::P2wpkh => None,
            AddressType::P2tr => {
                // This has the even y, as a key that is known by its x alone.
                let internal = schnorr::SigningKey::from(*self.key.as_nonzero_scalar());
                let tweak = taproot::tweak(&internal.verifying_key().to_bytes().into()).ok_or(WalletError::Range)?;
                let tweaked = NonZeroScalar::new(**internal.as_nonzero_scalar() + tweak);
                Some(tweaked.into_option().ok_or(WalletError::Range)?.into())
            }
        };
        Ok(self)
    }

    /// The reference of the chain that is meant where none is named.
    pub(super) const fn main_chain(&self) -> &'static str {
        match self.network {
            Network::Main => address::MAINNET,
            Network::Test | Network::Regtest => address::TESTNET,
        }
    }

    /// Whether its address is one of a chain with this reference.
    pub(super) fn is_on(&self, reference: &str) -> bool {
        Network::of_chain(reference) == Some(self.network)
    }

    /// Its address.
    pub(super) fn address(&self) -> String {
        match &self.taproot {
            Some(key) => address::of_program(self.network, 1, &output_key(key)),
            None => address::of_program(self.network, 0, &hash160(&self.public_key())),
        }
    }

    /// Signs a text in the simple form of BIP-322.
    pub(super) fn sign(&self, text: &[u8]) -> String {
        let Some(key) = &self.taproot else {
            let public_key = self.public_key();
            let hash = hash160(&public_key);
            let script = Lock::WitnessKeyHash(hash).script();
            let digest = ToSign::new(&script, text).digest_of_key_hash(&hash);
            let (signature, _) = self.key.sign_prehash_recoverable(&digest);
            let signature = [signature.to_der().as_bytes(), &[SIGHASH_ALL]].concat();
            return written(&[&signature, &public_key]);
        };
        let script = Lock::Taproot(output_key(key)).script();
        let digest = ToSign::new(&script, text).digest_of_taproot(SIGHASH_DEFAULT);
        let signature = key.sign_prehash(&digest).expect("of 256 nonces one is not 0");
        written(&[&signature.to_bytes()])
    }

    fn public_key(&self) -> Vec<u8> {
        self.key.verifying_key().to_sec1_point(true).as_bytes().to_vec()
    }
}

fn output_key(key: &schnorr::SigningKey) -> [u8; 32] {
    key.verifying_key().to_bytes().into()
}

/// A witness of a few short items as the text of a signature.
fn written(items: &[&[u8]]) -> String {
    let mut witness = vec![items.len() as u8];
    for item in items {
        witness.push(item.len() as u8);
        witness.extend_from_slice(item);
    }
    format!("{SIMPLE_PREFIX}{}", BASE64.encode(&witness))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        caip::ChainId,
        chain::{Accepts, Scheme, Signed, verify_signature},
    };

    /// The key of BIP-322's own test vectors, with its addresses as other tools give them.
    const WIF: &str = "L3VFeEujGtevx9w18HD1fhRbCH67Az2dpCymeRE1SoPK6XQtaN2k";
    const P2WPKH: &str = "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l";
    const P2TR: &str = "bc1ppv609nr0vr25u07u95waq5lucwfm6tde4nydujnu8npg4q75mr5sxq8lt3";

    fn key(wif: &str) -> BitcoinKey {
        BitcoinKey::read(wif).expect(wif)
    }

    #[test]
    fn addresses_are_those_of_other_tools() {
        assert_eq!(key(WIF).address(), P2WPKH);
        assert_eq!(key(WIF).with(AddressType::P2tr).expect("a key").address(), P2TR);
        assert_eq!(key(WIF).with(AddressType::P2wpkh).expect("a key").address(), P2WPKH);
        assert_eq!(key(WIF).write(), WIF);
        let test = BitcoinKey { network: Network::Test, ..key(WIF) };
        // The same program, and the other prefix with its checksum.
        assert_eq!(test.address(), "tb1q9vza2e8x573nczrlzms0wvx3gsqjx7vaxwd45v");
        assert_eq!(key(&test.write()).address(), test.address());
    }

    #[test]
    fn signatures_are_good_on_the_chains_of_the_key() {
        let (main, signet) = (address::MAINNET, "00000008819873e925422c1ff0f99f7c");
        let regtest = "0f9188f13cb7b2c71f2a335e3a4fc328";
        for kind in [AddressType::P2wpkh, AddressType::P2tr] {
            let test = BitcoinKey { network: Network::Test, ..key(WIF) };
            let rows = [(key(WIF), vec![main], signet), (test, vec![address::TESTNET, signet], regtest)];
            for (key, on, elsewhere) in rows {
                let key = key.with(kind).expect("a key");
                assert!(on.contains(&key.main_chain()) && !key.is_on(elsewhere), "{kind:?}");
                for text in ["", "text", "other text"] {
                    let (address, signature) = (key.address(), key.sign(text.as_bytes()));
                    for reference in &on {
                        assert!(key.is_on(reference), "{reference}");
                        let chain = ChainId::new("bip122", reference).expect("a CAIP-2 id");
                        let signed = Signed {
                            chain: &chain,
                            address: &address,
                            text: text.as_bytes(),
                            domain: None,
                            signature: &signature,
                        };
                        let verdict = verify_signature(&signed, &Accepts::default());
                        assert_eq!(verdict, Ok(Scheme::Bip322), "{kind:?}, {text}: {signature}");
                    }
                }
            }
        }
    }

    /// BIP-322, "Test vectors": what this key signs, the nonces being those of RFC 6979.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let rows = [
            (
                "",
                "AkgwRQIhAPkJ1Q4oYS0htvyuSFHLxRQpFAY56b70UvE7Dxazen0ZAiAtZfFz1S6T6I23MWI2lK/pcNTWncuyL8UL+oMdydVgzAEhAsfx\
                 IAMZZEKUPYWI4BruhAQjzFT8FSFSajuFwrDL1Yhy",
            ),
            (
                "Hello World",
                "AkgwRQIhAOzyynlqt93lOKJr+wmmxIens//zPzl9tqIOua93wO6MAiBi5n5EyAcPScOjf1lAqIUIQtr3zKNeavYabHyR8eGhowEhAsfx\
                 IAMZZEKUPYWI4BruhAQjzFT8FSFSajuFwrDL1Yhy",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(key(WIF).sign(text.as_bytes()), format!("smp{expected}"), "{text}");
        }
    }

    #[test]
    fn what_is_no_wif() {
        let with = |payload: &[u8]| {
            let checksum = sha256d(&[payload]);
            bs58::encode([payload, &checksum[..4]].concat()).into_string()
        };
        let changed = WIF.replace("L3V", "L3W");
        let rows = [
            ("a letter changed", changed, WalletError::Checksum),
            ("a letter outside the alphabet", WIF.replace('L', "0"), WalletError::Form),
            ("uncompressed", with(&[&[WIF_MAIN], &[7; 32][..]].concat()), WalletError::Uncompressed),
            ("another mark", with(&[&[WIF_MAIN], &[7; 32][..], &[2]].concat()), WalletError::Form),
            ("another coin's version", with(&[&[0xb0], &[7; 32][..], &[1]].concat()), WalletError::Form),
            ("a key that is too short", with(&[&[WIF_MAIN], &[7; 31][..]].concat()), WalletError::Form),
            ("two marks", with(&[&[WIF_MAIN], &[7; 32][..], &[1, 1]].concat()), WalletError::Form),
            ("zero", with(&[&[WIF_MAIN], &[0; 32][..], &[1]].concat()), WalletError::Range),
            ("above the group order", with(&[&[WIF_MAIN], &[0xff; 32][..], &[1]].concat()), WalletError::Range),
            ("nothing", String::new(), WalletError::Form),
        ];
        for (name, text, expected) in rows {
            assert_eq!(BitcoinKey::read(&text).err(), Some(expected), "{name}");
        }
    }
}
