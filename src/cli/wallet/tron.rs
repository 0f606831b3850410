//! Tron wallets: a key on secp256k1 that signs as those of EVM chains do, behind a line of its own (TIP-191).
//!
//! The tools of Tron write a key as those of EVM chains write it, 64 hex digits, and both families would take it. So
//! the key file says whose it is: `tron:` stands before the digits.

use std::fmt;

use data_encoding::HEXLOWER;
use k256::ecdsa::SigningKey;

use super::{WalletError, evm_signature};
use crate::chain::{eip155::address::of_key, tron};

/// What stands before the digits of a key.
pub(super) const PREFIX: &str = "tron:";

/// A key whose account is of the namespace `tron`.
pub(in crate::cli) struct Key(SigningKey);

impl Key {
    pub(super) fn of_seed(seed: &[u8]) -> Result<Self, WalletError> {
        SigningKey::from_slice(seed).map(Self).map_err(|_| WalletError::Range)
    }

    /// The text of its key file, without a line end.
    pub(super) fn write(&self) -> String {
        format!("{PREFIX}0x{}", HEXLOWER.encode(&self.0.to_bytes()))
    }

    pub(super) fn address(&self) -> String {
        tron::spelled(&of_key(self.0.verifying_key()))
    }

    /// Signs a text as `signMessageV2` does.
    pub(super) fn sign(&self, text: &[u8]) -> String {
        evm_signature(&self.0, &tron::digest(text))
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

    /// Made by TronWeb 6.5.1: `signMessageV2('text', key)` of the key that is 32 sevens, and its address.
    #[test]
    fn address_and_signature_are_those_of_other_tools() {
        let key = Key::of_seed(&[7; 32]).expect("a scalar");
        assert_eq!(key.address(), "TGkWdpawVNfeset3P6uTBbLaPY7nZVZvXY");
        assert_eq!(
            key.sign(b"text"),
            "0x574137bea46eb565747f21b9e2e59999006a7ba313e8f49ac328240152c395345b3aefa6b9a77c84550ca0a0922000b03789c41b87e1ee72b7a5dd38cac365421c"
        );
        assert_eq!(key.write(), format!("tron:0x{}", "07".repeat(32)));
    }
}
