//! Recovers whose key made a signature: secp256k1 over a Keccak digest, as all families sign that go back to Ethereum.
//!
//! 1. 65 bytes are `r ‖ s ‖ v` with v 0, 1, 27 or 28; 64 bytes are those of EIP-2098. Hex alone, either letter case;
//!    `0x` may be missing. `0X`, white space and an odd number of digits are refused.
//! 2. r and s are those that [`secp256k1`] takes. What cannot be a signature of a good account is refused before the
//!    recovery, which is what costs.
//! 3. v of recovery ids 2 and 3 and of EIP-155 are not taken: no wallet makes them for a text.
//! 4. An account is 20 bytes, the end of the hash of its key. Whether the recovered one is the claimed one, and that
//!    nobody is the zero account, is for the family to say.

use k256::{AffinePoint, ecdsa::VerifyingKey};
use sha3::{Digest as _, Keccak256};

use super::{
    SignatureError,
    eip155::address::{decode_hex, of_key},
    secp256k1::{self, made_by, recovered},
};

/// A signature that its key can be recovered from, by its length.
pub(super) enum Recoverable {
    /// `r ‖ s ‖ v`.
    Full([u8; 65]),
    /// `r ‖ (parity << 255 | s)` (EIP-2098).
    Compact([u8; 64]),
}

/// A key that made a signature, and the account it is the key of.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    pub(super) account: [u8; 20],
    key: AffinePoint,
}

/// What a wallet signs for a text: the hash of a line that keeps it apart from transactions, its length in bytes, in
/// decimal, and the text itself (EIP-191 "Version 0x45", TIP-191).
pub(super) fn digest(line: &[u8], text: &[u8]) -> [u8; 32] {
    let mut length = [0; 20];
    let mut hasher = Keccak256::new();
    hasher.update(line);
    hasher.update(decimal(text.len(), &mut length));
    hasher.update(text);
    hasher.finalize().into()
}

// === impl Recoverable ===

impl Recoverable {
    /// Reads the digits of a signature, `0x` before them or not. Nothing, if they are not hex or of another number.
    pub(super) fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
        match digits.len() {
            130 => decoded(digits).map(Self::Full),
            128 => decoded(digits).map(Self::Compact),
            _ => None,
        }
    }

    /// The account whose key made this signature of a digest. `known` is the key of an account that may have made it:
    /// if it did, this takes less.
    pub(super) fn signer(&self, digest: &[u8; 32], known: Option<&Signer>) -> Result<Signer, SignatureError> {
        let (rs, odd) = match self {
            Self::Full([rs @ .., v]) => (*rs, parity(*v).ok_or(SignatureError::MalformedSignature)?),
            Self::Compact(bytes) => {
                let mut rs = *bytes;
                let odd = rs[32] & 0x80 != 0;
                rs[32] &= 0x7f;
                (rs, odd)
            }
        };
        let signature = secp256k1::read(&rs)?;
        if let Some(known) = known.filter(|known| made_by(&known.key, digest, &signature, odd)) {
            return Ok(known.clone());
        }
        let key = recovered(digest, &signature, odd).ok_or(SignatureError::SignatureMismatch)?;
        let account = of_key(&VerifyingKey::from_affine(key).map_err(|_| SignatureError::SignatureMismatch)?);
        Ok(Signer { account, key })
    }

    /// Its bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Full(bytes) => bytes,
            Self::Compact(bytes) => bytes,
        }
    }
}

/// Whether y is odd, by v: 27 and 28 of `personal_sign`, 0 and 1 of hardware wallets.
const fn parity(v: u8) -> Option<bool> {
    match v {
        0 | 27 => Some(false),
        1 | 28 => Some(true),
        _ => None,
    }
}

fn decoded<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    decode_hex(digits, &mut bytes).then_some(bytes)
}

/// Writes a number in decimal without allocating; 20 digits hold every `usize`.
fn decimal(mut number: usize, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_decimal() {
        for number in [0, 1, 9, 10, 99, 100, 8192, usize::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
