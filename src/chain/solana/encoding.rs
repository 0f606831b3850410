//! The text encodings of Solana signatures and transactions.
//!
//! 1. Nothing is trimmed. Each encoding is strict: no foreign characters, no stray bits in the last one.
//! 2. Base64 is in the standard or the URL-safe alphabet, not both at once, with its padding or without any.
//! 3. Only a decoding to exactly 64 bytes is a signature.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};

/// How the bytes of a signature are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 128 digits of either letter case, `0x` before them or not.
    Hex,
    /// Bitcoin's alphabet; what wallets send.
    Base58,
    /// Standard or URL-safe, padded or not.
    Base64,
}

/// A text of 64 bytes in base58 has between 64 characters, if all bytes are zero, and 88.
const BASE58_LENGTHS: std::ops::RangeInclusive<usize> = 64..=88;
/// A text of 64 bytes in base64 has 86 characters, 88 with its padding.
const BASE64_LENGTHS: [usize; 2] = [86, 88];

impl Encoding {
    /// Every encoding, in the order in which they are tried by default.
    pub const ALL: &'static [Self] = &[Self::Hex, Self::Base58, Self::Base64];

    /// The signature that a text is in this encoding, if it is one.
    pub fn decode(self, text: &str) -> Option<[u8; 64]> {
        match self {
            Self::Hex => hex(text),
            Self::Base58 => base58(text),
            Self::Base64 => BASE64_LENGTHS.contains(&text.len()).then(|| base64(text))??.try_into().ok(),
        }
    }
}

/// Every signature that a text is in some of the encodings, in their order. There may be two: a
/// signature whose first byte is zero can have 86 characters in base58, and all of them are of base64 too.
pub(super) fn decode(text: &str, encodings: &[Encoding]) -> Vec<[u8; 64]> {
    encodings.iter().filter_map(|encoding| encoding.decode(text)).collect()
}

/// Decodes base64 of any length.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if padding != 0 && (padding > 2 || !text.len().is_multiple_of(4)) {
        return None;
    }
    let url_safe = digits.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let alphabet = if url_safe { BASE64URL_NOPAD } else { BASE64_NOPAD };
    alphabet.decode(digits.as_bytes()).ok()
}

fn base58(text: &str) -> Option<[u8; 64]> {
    if !BASE58_LENGTHS.contains(&text.len()) {
        return None;
    }
    let mut bytes = [0; 64];
    let length = bs58::decode(text).onto(&mut bytes).ok()?;
    (length == bytes.len()).then_some(bytes)
}

fn hex(text: &str) -> Option<[u8; 64]> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() != 128 {
        return None;
    }
    let mut bytes = [0; 64];
    data_encoding::HEXLOWER_PERMISSIVE.decode_mut(digits.as_bytes(), &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};

    use super::*;

    fn bytes() -> [u8; 64] {
        std::array::from_fn(|i| (i * 37 + 200) as u8)
    }

    #[test]
    fn encodings_of_wallets() {
        let bytes = bytes();
        let rows = [
            ("base58", bs58::encode(bytes).into_string()),
            ("base64", BASE64.encode(&bytes)),
            ("base64 without padding", BASE64_NOPAD.encode(&bytes)),
            ("URL-safe base64", BASE64URL.encode(&bytes)),
            ("URL-safe base64 without padding", BASE64URL_NOPAD.encode(&bytes)),
            ("hex", HEXLOWER.encode(&bytes)),
            ("hex in upper case", HEXUPPER.encode(&bytes)),
            ("hex with 0x", format!("0x{}", HEXLOWER.encode(&bytes))),
        ];
        for (name, text) in rows {
            assert_eq!(decode(&text, Encoding::ALL), [bytes], "{name}");
        }
    }

    #[test]
    fn texts_that_are_no_signature() {
        let padded = BASE64.encode(&bytes());
        let mut stray = padded.clone().into_bytes();
        stray[85] += 1;
        let rows = [
            ("empty", String::new()),
            ("upper case 0X", format!("0X{}", HEXLOWER.encode(&bytes()))),
            ("127 hex digits", "a".repeat(127)),
            ("129 hex digits", "a".repeat(129)),
            ("63 bytes of base58", bs58::encode([255; 63]).into_string()),
            ("65 bytes of base58", bs58::encode([255; 65]).into_string()),
            ("65 zero bytes of base58", "1".repeat(65)),
            ("63 bytes of base64", BASE64.encode(&[9; 63])),
            ("65 bytes of base64", BASE64.encode(&[9; 65])),
            ("half the padding", padded[..87].to_owned()),
            ("padding and a half", format!("{padded}=")),
            ("two alphabets", format!("+-{}", &padded[2..])),
            ("stray bits", String::from_utf8(stray).expect("ASCII")),
            ("white space before", format!(" {padded}")),
            ("white space after", format!("{padded}\n")),
            ("not ASCII", "é".repeat(44)),
        ];
        for (name, text) in rows {
            assert_eq!(decode(&text, Encoding::ALL), [[0; 64]; 0], "{name}");
        }
    }

    #[test]
    fn a_text_may_be_two_signatures() {
        // The last character of 86 carries four stray bits in base64, so it must be one of A, Q, g and w.
        let text = format!("1{}Q", "z".repeat(84));
        let found = decode(&text, Encoding::ALL);
        assert_eq!(found.len(), 2);
        assert_eq!(bs58::encode(found[0]).into_string(), text);
        assert_eq!(BASE64_NOPAD.encode(&found[1]), text);
        assert_eq!(decode(&text, &[Encoding::Base58]), found[..1]);
    }
}
