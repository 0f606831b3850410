//! The hashes of Bitcoin, over parts that follow each other.
//!
//! 1. SHA-256 twice, for checksums, transactions and what BIP-137 signs.
//! 2. RIPEMD-160 of SHA-256, for keys and scripts.
//! 3. SHA-256 that begins with the hash of a tag twice, so that no two purposes share a hash (BIP-340, "Design").

use ripemd::Ripemd160;
use sha2::{Digest as _, Sha256};

/// SHA-256 of SHA-256.
pub fn sha256d(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(sha256(parts)).into()
}

/// SHA-256.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    absorbed(Sha256::new(), parts).finalize().into()
}

/// RIPEMD-160 of SHA-256.
pub fn hash160(bytes: &[u8]) -> [u8; 20] {
    Ripemd160::digest(Sha256::digest(bytes)).into()
}

/// The script hash under which the witness program of a key is nested (BIP-141, "P2WPKH nested in BIP16 P2SH").
pub fn nested(hash: &[u8; 20]) -> [u8; 20] {
    let mut script = [0; 22];
    // Version 0, and a push.
    script[1] = 20;
    script[2..].copy_from_slice(hash);
    hash160(&script)
}

/// SHA-256 for one purpose.
pub(super) fn tagged(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    let tag = Sha256::digest(tag);
    absorbed(Sha256::new_with_prefix(tag).chain_update(tag), parts).finalize().into()
}

fn absorbed(mut hasher: Sha256, parts: &[&[u8]]) -> Sha256 {
    for part in parts {
        hasher.update(part);
    }
    hasher
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn hashes_that_others_published() {
        let generator = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        let generator = HEXLOWER.decode(generator.as_bytes()).expect("hex");
        // BIP-173, "Test vectors": the key of its examples is the generator.
        assert_eq!(HEXLOWER.encode(&hash160(&generator)), "751e76e8199196d454941c45d1b3a323f1433bd6");
        // BIP-322, "Test vectors": message hashes.
        let rows = [
            ("", "c90c269c4f8fcbe6880f72a721ddfbf1914268a794cbb21cfafee13770ae19f1"),
            ("Hello World", "f0eb03b1a75ac6d9847f55c624a99169b5dccba2a31f5b23bea77ba270de0a7a"),
        ];
        for (text, expected) in rows {
            let parts: &[&[u8]] = &[text.as_bytes()];
            assert_eq!(HEXLOWER.encode(&tagged("BIP0322-signed-message", parts)), expected, "{text}");
        }
        let parts: &[&[u8]] = &[b"hel", b"", b"lo"];
        let hello = "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50";
        assert_eq!(HEXLOWER.encode(&sha256d(parts)), hello);
    }
}
