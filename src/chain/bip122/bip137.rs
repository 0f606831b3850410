//! The old form of signed messages: the key is recovered from the signature, and the address says which (BIP-137).
//!
//! 1. 65 bytes: a header, r and s. The header is 27 and the recovery id, 4 more for a compressed key, and 8 or 12 more
//!    for what kind of address the wallet meant.
//! 2. For P2PKH the header decides whether the key is compressed, strictly, since these are two addresses. One that
//!    names a segwit address is refused.
//! 3. For the addresses of a witness the key is always compressed. Any header that says so is taken: Electrum, Trezor
//!    and UniSat write 31 to 34 for all kinds of addresses.
//! 4. Taproot is not in the document. Wallets sign with the key before its tweak all the same (UniSat and OKX, unless
//!    asked otherwise), so it is that key's output key that the address must have.

use k256::ecdsa::VerifyingKey;

use super::{
    address::Lock,
    hash::{hash160, nested, sha256d},
    taproot,
};
use crate::chain::{
    SignatureError,
    secp256k1::{self, recovered},
};

/// What stands before every text, its own length in front.
const MAGIC: &[u8] = b"\x18Bitcoin Signed Message:\n";

/// Whether the key behind an address made this signature of a text. The header is from 27 to 42.
pub(super) fn verify(lock: &Lock, text: &[u8], signature: &[u8; 65]) -> Result<(), SignatureError> {
    let [header, rs @ ..] = signature;
    let (kind, id) = ((header - 27) / 4, (header - 27) % 4);
    let fits = match lock {
        Lock::KeyHash(_) => kind <= 1,
        Lock::ScriptHash(_) | Lock::Taproot(_) | Lock::WitnessKeyHash(_) => kind >= 1,
        Lock::WitnessScript => return Err(SignatureError::Inconclusive),
    };
    let rs = secp256k1::read(rs)?;
    // Ids 2 and 3 are for an r that no wallet meets.
    if !fits || id > 1 {
        return Err(SignatureError::SignatureMismatch);
    }
    let point = recovered(&digest(text), &rs, id == 1).ok_or(SignatureError::SignatureMismatch)?;
    let key = VerifyingKey::from_affine(point).map_err(|_| SignatureError::SignatureMismatch)?;
    let hash = || hash160(key.to_sec1_point(kind >= 1).as_bytes());
    let is_its_own = match lock {
        Lock::KeyHash(expected) | Lock::WitnessKeyHash(expected) => hash() == *expected,
        Lock::ScriptHash(expected) => nested(&hash()) == *expected,
        Lock::Taproot(expected) => taproot::output_key(key.as_affine()) == Some(*expected),
        Lock::WitnessScript => false,
    };
    if is_its_own { Ok(()) } else { Err(SignatureError::SignatureMismatch) }
}

/// What is signed for a text.
fn digest(text: &[u8]) -> [u8; 32] {
    let (length, used) = compact_size(text.len());
    sha256d(&[MAGIC, &length[..used], text])
}

/// A number of bytes as transactions write it, and in how many bytes.
fn compact_size(number: usize) -> ([u8; 9], usize) {
    let number = number as u64;
    let little = number.to_le_bytes();
    let (marker, width) = match number {
        0..=0xfc => return ([little[0], 0, 0, 0, 0, 0, 0, 0, 0], 1),
        0xfd..=0xffff => (0xfd, 2),
        0x1_0000..=0xffff_ffff => (0xfe, 4),
        _ => (0xff, 8),
    };
    let mut bytes = [0; 9];
    bytes[0] = marker;
    bytes[1..].copy_from_slice(&little);
    (bytes, 1 + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_compact_sizes() {
        let rows: [(usize, &[u8]); 7] = [
            (0, &[0]),
            (252, &[252]),
            (253, &[253, 253, 0]),
            (65535, &[253, 255, 255]),
            (65536, &[254, 0, 0, 1, 0]),
            (0xffff_ffff, &[254, 255, 255, 255, 255]),
            (0x1_0000_0000, &[255, 0, 0, 0, 0, 1, 0, 0, 0]),
        ];
        for (number, expected) in rows {
            let (bytes, used) = compact_size(number);
            assert_eq!(&bytes[..used], expected, "{number}");
        }
    }
}
