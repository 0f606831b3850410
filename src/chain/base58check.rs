//! Base58check, as Bitcoin writes its first forms of addresses and Tron its only one: a version byte, 20 bytes of hash,
//! and the first 4 bytes of the SHA-256 of the SHA-256 of both, in base58.
//!
//! A text is good in one spelling alone: base58 has one for every row of bytes, and knows letter case.

use sha2::{Digest as _, Sha256};

use crate::siwx::dialect::AddressError;

/// The longest that 25 bytes can take. Decoding takes quadratic time, so length comes first.
const CHARACTERS_MAX: usize = 35;

/// The version and the hash of a text.
pub(super) fn decode(text: &str) -> Result<(u8, [u8; 20]), AddressError> {
    if text.len() > CHARACTERS_MAX {
        return Err(AddressError::Form);
    }
    let mut bytes = [0; 25];
    if bs58::decode(text).onto(&mut bytes) != Ok(bytes.len()) {
        return Err(AddressError::Form);
    }
    let [version, hash @ .., _, _, _, _] = bytes;
    if checksum(version, &hash) != bytes[21..] {
        return Err(AddressError::Checksum);
    }
    Ok((version, hash))
}

/// The text of a version and a hash.
pub(super) fn encode(version: u8, hash: &[u8; 20]) -> String {
    bs58::encode([&[version][..], hash, &checksum(version, hash)].concat()).into_string()
}

fn checksum(version: u8, hash: &[u8; 20]) -> [u8; 4] {
    let once = Sha256::new().chain_update([version]).chain_update(hash).finalize();
    let twice: [u8; 32] = Sha256::digest(once).into();
    [twice[0], twice[1], twice[2], twice[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address that the first block of Bitcoin pays, and the contract of a dollar token on Tron.
    const KNOWN: [(u8, &str); 2] =
        [(0, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"), (0x41, "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")];

    #[test]
    fn texts_come_out_as_they_were() {
        for (version, text) in KNOWN {
            let (found, hash) = decode(text).expect(text);
            assert_eq!((found, encode(version, &hash).as_str()), (version, text));
        }
    }

    #[test]
    fn texts_that_are_refused() {
        let [(_, bitcoin), (_, tron)] = KNOWN;
        let rows = [
            ("empty", String::new(), AddressError::Form),
            ("a letter changed", tron.replace("6t", "6u"), AddressError::Checksum),
            ("two letters swapped", tron.replace("HN", "NH").replace("7NH", "7HN"), AddressError::Checksum),
            ("a letter in the other case", tron.replace("NHq", "Nhq"), AddressError::Checksum),
            ("24 bytes", tron[..32].to_owned(), AddressError::Form),
            ("one zero byte more", format!("1{bitcoin}"), AddressError::Form),
            ("one zero byte less", bitcoin[1..].to_owned(), AddressError::Form),
            ("outside the alphabet", tron.replace("R7", "R0"), AddressError::Form),
            ("a space after it", format!("{tron} "), AddressError::Form),
            ("much too long", "1".repeat(100_000), AddressError::Form),
        ];
        for (name, text, expected) in rows {
            assert_eq!(decode(&text), Err(expected), "{name}: {text}");
        }
    }
}
