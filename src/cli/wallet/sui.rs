//! Sui wallets: a key on Ed25519 that signs personal messages.
//!
//! The key file is a line as Sui's tools write it, `suiprivkey1…`: bech32 of the flag of the curve and 32 bytes. They
//! know keys on two more curves, which are refused by name here: a wallet for tests needs one.

use std::fmt;

use bech32::{Bech32, Hrp, primitives::decode::CheckedHrpstring};
use ed25519_dalek::{Signer as _, SigningKey};

use super::WalletError;
use crate::{chain::sui, secret::Secret};

/// The part of a key file that people read.
pub(super) const PREFIX: &str = "suiprivkey";

/// The flag of Ed25519.
const ED25519: u8 = 0;

/// A key whose account is of the namespace `sui`.
pub(in crate::cli) struct Key(SigningKey);

impl Key {
    pub(super) fn of_seed(seed: &[u8]) -> Result<Self, WalletError> {
        let seed = seed.try_into().map_err(|_| WalletError::Form)?;
        Ok(Self(SigningKey::from_bytes(seed)))
    }

    /// Reads a key file.
    pub(super) fn read(text: &str) -> Result<Self, WalletError> {
        let checked = CheckedHrpstring::new::<Bech32>(text).map_err(|_| WalletError::Form)?;
        let bytes: Secret<Vec<u8>> = Secret::new(checked.byte_iter().collect());
        match bytes.expose().split_first() {
            Some((&ED25519, seed)) if checked.hrp().as_str() == PREFIX => Self::of_seed(seed),
            Some((1 | 2, _)) => Err(WalletError::Curve),
            _ => Err(WalletError::Form),
        }
    }

    /// The text of its key file, without a line end.
    pub(super) fn write(&self) -> String {
        let bytes = Secret::new([&[ED25519], &self.0.to_bytes()[..]].concat());
        let prefix = Hrp::parse_unchecked(PREFIX);
        bech32::encode::<Bech32>(prefix, bytes.expose()).expect("33 bytes are not too long for bech32")
    }

    pub(super) fn address(&self) -> String {
        sui::of_ed25519(self.0.verifying_key().as_bytes())
    }

    /// Signs a text as `signPersonalMessage` does.
    pub(super) fn sign(&self, text: &[u8]) -> String {
        let signature = self.0.sign(&sui::digest(text));
        sui::ed25519_text(&signature.to_bytes(), self.0.verifying_key().as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the seed that is 32 sevens, by @mysten/sui 2.33.1: `getSecretKey` and `signPersonalMessage` of `text`.
    const FILE: &str = "suiprivkey1qqrswpc8qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qurswxzszc4";
    const SIGNATURE: &str = "AIcHqK5C6/H408slU9cj0wnQvcsBaVymPZMFI/0T1VSmhQJnAFMYPwNX9NONbFYTRmRvNGJygKagkManSjMhmgnq\
                             Smxj4pxSCr71UHsTLsX5lUd2rr6+e5JCHuppFEbSLA==";

    #[test]
    fn key_file_address_and_signature_are_those_of_other_tools() {
        let key = Key::read(FILE).expect("a key");
        assert_eq!(key.write(), FILE);
        assert_eq!(key.address(), "0xa0ccc8bcc83f6c628340134f8546a21e0618fd1aaa02432bba454c4a2c2233da");
        assert_eq!(key.sign(b"text"), SIGNATURE);
    }

    #[test]
    fn what_is_no_key_file() {
        let encoded = |prefix: &str, bytes: &[u8]| {
            bech32::encode::<Bech32>(Hrp::parse_unchecked(prefix), bytes).expect("not too long")
        };
        let of_flag = |flag: u8| encoded(PREFIX, &[&[flag][..], &[7; 32]].concat());
        let modified = bech32::encode::<bech32::Bech32m>(Hrp::parse_unchecked(PREFIX), &[0; 33]).expect("not too long");
        let rows = [
            ("a letter changed", FILE.replace("c8qurswx", "c8qurswz"), WalletError::Form),
            ("another prefix", encoded("suipubkey", &[0; 33]), WalletError::Form),
            ("the other bech32", modified, WalletError::Form),
            ("a byte short", encoded(PREFIX, &[0; 32]), WalletError::Form),
            ("a byte more", encoded(PREFIX, &[0; 34]), WalletError::Form),
            ("no bytes", encoded(PREFIX, &[]), WalletError::Form),
            ("secp256k1", of_flag(1), WalletError::Curve),
            ("secp256r1", of_flag(2), WalletError::Curve),
            ("a flag to come", of_flag(7), WalletError::Form),
        ];
        for (name, text, expected) in rows {
            assert_eq!(Key::read(&text).err(), Some(expected), "{name}");
        }
    }
}
