//! Addresses and chain references of Bitcoin.
//!
//! 1. Four forms: P2PKH and P2SH in base58check, segregated witness version 0 in bech32 (BIP-173) and version 1
//!    and later in bech32m (BIP-350). Upper-case bech32 is legal for QR codes and refused here: an address has
//!    one spelling, and that is its canonical one.
//! 2. A reference is the first 32 hex digits of the hash of the first block (CAIP-4).
//! 3. An address says whether it is of the main network; on that chain no other is taken.

use crate::{chain::base58check, siwx::dialect::AddressError};

/// CAIP-2 reference of the main network.
pub const MAINNET: &str = "000000000019d6689c085ae165831e93";

/// Version bytes of P2PKH and P2SH, on the main network and on test networks.
const BASE58_VERSIONS: [u8; 4] = [0x00, 0x05, 0x6f, 0xc4];

/// The human-readable parts of the main network, the test networks and regtest.
const BECH32_PREFIXES: [&str; 3] = ["bc", "tb", "bcrt"];

/// The digits of bech32 in the order of their values.
const BECH32_DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// What a checksum leaves over, by version of the witness program.
const BECH32_REST: u32 = 1;
const BECH32M_REST: u32 = 0x2bc8_30a3;

/// The canonical spelling of an address, for a `Dialect`: itself, if it is one.
pub fn canonical(text: &str) -> Result<String, AddressError> {
    let bech32 = text.rsplit_once('1').filter(|(prefix, _)| BECH32_PREFIXES.contains(prefix));
    match bech32 {
        Some((prefix, data)) => check_bech32(prefix, data)?,
        None => check_base58(text)?,
    }
    Ok(text.to_owned())
}

/// The canonical chain reference, for a `Dialect`: itself, if it is one.
pub fn reference(text: &str) -> Option<String> {
    let good = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    good.then(|| text.to_owned())
}

/// Whether an address can exist on a chain, for a `Dialect`.
pub fn on_chain(address: &str, reference: &str) -> bool {
    reference != MAINNET || ["bc1", "1", "3"].iter().any(|prefix| address.starts_with(prefix))
}

fn check_base58(text: &str) -> Result<(), AddressError> {
    let (version, _) = base58check::decode(text)?;
    BASE58_VERSIONS.contains(&version).then_some(()).ok_or(AddressError::Form)
}

/// A version digit, a witness program, six digits of checksum.
fn check_bech32(prefix: &str, data: &str) -> Result<(), AddressError> {
    if prefix.len() + 1 + data.len() > 90 {
        return Err(AddressError::Form);
    }
    let digit = |byte: u8| BECH32_DIGITS.iter().position(|digit| *digit == byte).map(|value| value as u8);
    let values: Vec<u8> = data.bytes().map(digit).collect::<Option<_>>().ok_or(AddressError::Form)?;
    let [version, program @ .., _, _, _, _, _, _] = &values[..] else {
        return Err(AddressError::Form);
    };
    let rest = if *version == 0 { BECH32_REST } else { BECH32M_REST };
    if bech32_rest(prefix, &values) != rest {
        return Err(AddressError::Checksum);
    }
    // Five bits a digit; what is left over of the last byte must be zeros, and less than a digit.
    let (bytes, left_over) = (program.len() * 5 / 8, program.len() * 5 % 8);
    let padding = program.last().map_or(0, |last| last & ((1 << left_over) - 1));
    let length_fits = match version {
        0 => bytes == 20 || bytes == 32,
        1..=16 => (2..=40).contains(&bytes),
        _ => false,
    };
    if !length_fits || left_over >= 5 || padding != 0 {
        return Err(AddressError::Form);
    }
    Ok(())
}

/// The polynomial remainder of BIP-173, section "Checksum", over the prefix and the digits.
fn bech32_rest(prefix: &str, values: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    high.chain([0]).chain(low).chain(values.iter().copied()).fold(1, |rest, value| {
        let top = rest >> 25;
        let shifted = (rest & 0x01ff_ffff) << 5 ^ u32::from(value);
        (0..5).filter(|bit| top >> bit & 1 == 1).fold(shifted, |rest, bit| rest ^ GENERATOR[bit])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        // BIP-173 and BIP-350 sections "Test vectors", in lower case; the first block's reward; a P2SH address.
        for text in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
            "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
            "bc1sw50qgdz25j",
            "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs",
            "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn addresses_that_are_refused() {
        let rows = [
            ("empty", "", AddressError::Form),
            ("base58, one letter changed", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", AddressError::Checksum),
            ("base58, letter outside the alphabet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf0a", AddressError::Form),
            ("base58, a Solana key", "4Cw1koUQtqybLFem7uqhzMBznMPGARbFS4cjaYbM9RnR", AddressError::Form),
            ("base58, another coin's version", "LVg2kJoFNg45Nbpy53h7Fe1wKyeXVRhMH9", AddressError::Form),
            ("EVM", "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", AddressError::Form),
            ("bech32, one digit changed", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", AddressError::Checksum),
            ("upper case", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", AddressError::Form),
            ("mixed case", "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sL5k7", AddressError::Form),
            ("unknown prefix", "tc1qw508d6qejxtdg4y5r3zarvary0c5xw7kg3g4ty", AddressError::Form),
            (
                "version 1 in bech32",
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
                AddressError::Checksum,
            ),
            (
                "version 0 in bech32m",
                "bc1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq54well",
                AddressError::Checksum,
            ),
            ("version 17", "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", AddressError::Form),
            ("program of one byte", "bc1pw5dgrnzv", AddressError::Form),
            (
                "program of 41 bytes",
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
                AddressError::Form,
            ),
            ("version 0, program of 16 bytes", "bc1qr508d6qejxtdg4y5r3zarvaryv98gj9p", AddressError::Form),
            (
                "more than four bits of padding",
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
                AddressError::Form,
            ),
            (
                "padding that is not zero",
                "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j",
                AddressError::Form,
            ),
            ("no data", "bc1gmk9yu", AddressError::Form),
        ];
        for (name, text, expected) in rows {
            assert_eq!(canonical(text), Err(expected), "{name}");
        }
    }

    #[test]
    fn references_and_the_addresses_on_them() {
        assert_eq!(reference(MAINNET).as_deref(), Some(MAINNET));
        for text in ["", "1", "000000000019D6689c085ae165831e93", "000000000019d6689c085ae165831e934"] {
            assert_eq!(reference(text), None, "{text}");
        }
        let rows = [
            ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", true),
            ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", true),
            ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", false),
            ("tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", false),
        ];
        for (address, on_mainnet) in rows {
            assert_eq!(on_chain(address, MAINNET), on_mainnet, "{address}");
            assert!(on_chain(address, "000000000933ea01ad0ee984209779ba"), "{address}");
        }
    }
}
