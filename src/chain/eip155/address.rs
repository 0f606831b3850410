//! Addresses and chain references of EVM chains.
//!
//! 1. `0x` and 40 hex digits. All-lower and all-upper digits are taken; mixed case must satisfy EIP-55.
//!    EIP-1191, which mixes the chain id in, is not spoken: CAIP-10 identities could not be compared.
//! 2. A reference is a decimal without a leading zero, from 1 to the limit of EIP-2294.

use k256::ecdsa::VerifyingKey;
use sha3::{Digest as _, Keccak256};

use crate::siwx::dialect::AddressError;

/// The largest chain id (EIP-2294: floor(MAX_UINT64 / 2) - 36).
const CHAIN_ID_MAX: u64 = 9_223_372_036_854_775_771;

/// Reads an address: its 20 bytes.
pub fn parse(text: &str) -> Result<[u8; 20], AddressError> {
    let (bytes, mixed) = form(text)?;
    if mixed && checksummed(&bytes) != text {
        return Err(AddressError::Checksum);
    }
    Ok(bytes)
}

/// The bytes of a text of the right form, and whether its letters are of both cases.
fn form(text: &str) -> Result<([u8; 20], bool), AddressError> {
    let digits = text.strip_prefix("0x").ok_or(AddressError::Form)?;
    let mut bytes = [0; 20];
    let decoded = digits.len() == 40 && decode_hex(digits.as_bytes(), &mut bytes);
    if !decoded {
        return Err(AddressError::Form);
    }
    let mixed = digits.bytes().any(|b| b.is_ascii_lowercase()) && digits.bytes().any(|b| b.is_ascii_uppercase());
    Ok((bytes, mixed))
}

/// The address of a key: the last 20 bytes of the hash of its point (yellow paper, appendix F).
pub fn of_key(key: &VerifyingKey) -> [u8; 20] {
    let point = key.to_sec1_point(false);
    // The first byte says that the point is uncompressed.
    let hash = Keccak256::digest(&point.as_bytes()[1..]);
    let mut account = [0; 20];
    account.copy_from_slice(&hash[12..]);
    account
}

/// The EIP-55 spelling.
pub fn checksummed(address: &[u8; 20]) -> String {
    let lower = data_encoding::HEXLOWER.encode(address);
    let hash = Keccak256::digest(lower.as_bytes());
    let mut text = String::with_capacity(42);
    text.push_str("0x");
    for (i, digit) in lower.chars().enumerate() {
        let nibble = if i % 2 == 0 { hash[i / 2] >> 4 } else { hash[i / 2] & 0x0f };
        text.push(if nibble >= 8 { digit.to_ascii_uppercase() } else { digit });
    }
    text
}

/// The canonical spelling of an address, for a `Dialect`.
pub fn canonical(text: &str) -> Result<String, AddressError> {
    let (bytes, mixed) = form(text)?;
    let canonical = checksummed(&bytes);
    if mixed && canonical != text {
        return Err(AddressError::Checksum);
    }
    Ok(canonical)
}

/// The canonical chain reference, for a `Dialect`: itself, if it is one.
pub fn reference(text: &str) -> Option<String> {
    let form =
        !text.is_empty() && text.len() <= 19 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let value: u64 = if form { text.parse().ok()? } else { return None };
    (value <= CHAIN_ID_MAX).then(|| text.to_owned())
}

/// Decodes hex digits of either case into a buffer of half their number; false if one is none.
pub(in crate::chain) fn decode_hex(digits: &[u8], out: &mut [u8]) -> bool {
    let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode_mut(digits, out);
    decoded.is_ok_and(|length| length == out.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eip55_examples() {
        for text in [
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
            "0xde709f2102306220921060314715629080e2fb77",
            "0x27b1fdb04752bbc536007a920d24acb045561c26",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(text));
            assert_eq!(canonical(&text.to_lowercase()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn addresses_that_are_refused() {
        let rows = [
            ("one letter in the wrong case", "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed", AddressError::Checksum),
            ("no prefix", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed00", AddressError::Form),
            ("upper case prefix", "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", AddressError::Form),
            ("39 digits", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", AddressError::Form),
            ("no hex digit", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg", AddressError::Form),
            ("empty", "", AddressError::Form),
        ];
        for (name, text, expected) in rows {
            assert_eq!(parse(text), Err(expected), "{name}");
        }
    }

    #[test]
    fn references() {
        assert_eq!(reference("8453").as_deref(), Some("8453"));
        assert_eq!(reference("9223372036854775771").as_deref(), Some("9223372036854775771"));
        for text in ["", "0", "01", "+1", "-1", "0x1", "1 ", "9223372036854775772", "99999999999999999999", "１"] {
            assert_eq!(reference(text), None, "{text}");
        }
    }
}
