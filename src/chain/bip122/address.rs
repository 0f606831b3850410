//! Addresses and chain references of Bitcoin.
//!
//! 1. Four forms: P2PKH and P2SH in base58check, segregated witness version 0 in bech32 (BIP-173) and version 1
//!    and later in bech32m (BIP-350). Upper-case bech32 is legal for QR codes: a signature is verified for it, but a
//!    message that has it is refused, because there an address has one spelling, and that is its canonical one.
//! 2. A reference is the first 32 hex digits of the hash of the first block (CAIP-4).
//! 3. An address says whether it is of the main network; on that chain no other is taken. Signatures are verified on
//!    the chains whose network is known, by addresses of that network.

use crate::{chain::base58check, siwx::dialect::AddressError};

/// CAIP-2 reference of the main network.
pub const MAINNET: &str = "000000000019d6689c085ae165831e93";

/// CAIP-2 reference of the third test network, which is meant where none is named.
pub const TESTNET: &str = "000000000933ea01ad0ee984209779ba";

/// The chains whose network is known: the main one, the third and the fourth test network, signet and regtest.
const CHAINS: [(&str, Network); 5] = [
    (MAINNET, Network::Main),
    (TESTNET, Network::Test),
    ("00000000da84f2bafbbc53dee25a72ae", Network::Test),
    ("00000008819873e925422c1ff0f99f7c", Network::Test),
    ("0f9188f13cb7b2c71f2a335e3a4fc328", Network::Regtest),
];

/// A space of addresses. The public test networks share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The one with the money.
    Main,
    /// A network for tests on one's own machine.
    Regtest,
    /// The public test networks.
    Test,
}

/// An address, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    networks: &'static [Network],
    /// What it commits to.
    pub lock: Lock,
}

/// What whoever spends from an address has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// P2PKH: a key with this hash.
    KeyHash([u8; 20]),
    /// P2SH: a script with this hash; of the scripts, the witness program of a key is of interest here.
    ScriptHash([u8; 20]),
    /// P2TR: this x coordinate is the output key's (BIP-341).
    Taproot([u8; 32]),
    /// P2WPKH: a compressed key with this hash.
    WitnessKeyHash([u8; 20]),
    /// P2WSH, and witness programs that have no meaning so far: only a script interpreter could tell.
    WitnessScript,
}

/// Version bytes of base58check: the network and whether it is the hash of a script.
const BASE58_VERSIONS: [(u8, &[Network], bool); 4] = [
    (0x00, &[Network::Main], false),
    (0x05, &[Network::Main], true),
    (0x6f, &[Network::Test, Network::Regtest], false),
    (0xc4, &[Network::Test, Network::Regtest], true),
];

/// The human-readable parts of the main network, the test networks and regtest.
const BECH32_PREFIXES: [(&str, Network, &[Network]); 3] = [
    ("bc", Network::Main, &[Network::Main]),
    ("tb", Network::Test, &[Network::Test]),
    ("bcrt", Network::Regtest, &[Network::Regtest]),
];

/// The digits of bech32 in the order of their values.
const BECH32_DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// What a checksum leaves over, by version of the witness program.
const BECH32_REST: u32 = 1;
const BECH32M_REST: u32 = 0x2bc8_30a3;

/// The longest bech32 text (BIP-173, "Bech32").
const BECH32_BYTES_MAX: usize = 90;

/// Reads an address. Bech32 may be in upper case.
pub fn parse(text: &str) -> Result<Address, AddressError> {
    if text.len() > BECH32_BYTES_MAX {
        return Err(AddressError::Form);
    }
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return read(text);
    }
    // What is all of capitals and digits is bech32 or nothing: in lower case base58 has another value.
    match bech32_parts(&text.to_ascii_lowercase()) {
        Some((networks, prefix, data)) => read_bech32(networks, prefix, data),
        None => read(text),
    }
}

/// The canonical spelling of an address, for a `Dialect`: itself, if it is one.
pub fn canonical(text: &str) -> Result<String, AddressError> {
    if text.len() > BECH32_BYTES_MAX {
        return Err(AddressError::Form);
    }
    read(text)?;
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

/// The address of a witness program (BIP-173 and BIP-350, "Segwit address format").
pub fn of_program(network: Network, version: u8, program: &[u8]) -> String {
    let prefix = BECH32_PREFIXES.iter().find(|(_, known, _)| *known == network).map_or("", |(prefix, ..)| prefix);
    let mut values = vec![version];
    let (mut kept, mut bits) = (0_u32, 0);
    for byte in program {
        kept = (kept << 8 | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            values.push((kept >> bits & 31) as u8);
        }
    }
    if bits > 0 {
        values.push((kept << (5 - bits) & 31) as u8);
    }
    let end = values.len();
    values.extend([0; 6]);
    let checksum = bech32_rest(prefix, &values) ^ rest_of(version);
    for (i, digit) in values[end..].iter_mut().enumerate() {
        *digit = (checksum >> (5 * (5 - i)) & 31) as u8;
    }
    let digits = values.iter().map(|value| char::from(BECH32_DIGITS[usize::from(*value)]));
    format!("{prefix}1{}", digits.collect::<String>())
}

// === impl Network ===

impl Network {
    /// The network of a chain, if it is known.
    pub fn of_chain(reference: &str) -> Option<Self> {
        CHAINS.iter().find(|(known, _)| *known == reference).map(|(_, network)| *network)
    }
}

// === impl Lock ===

impl Lock {
    /// The script that an output to the address has; empty for those that are not interpreted here.
    pub fn script(&self) -> Vec<u8> {
        match self {
            // OP_DUP OP_HASH160 hash OP_EQUALVERIFY OP_CHECKSIG
            Self::KeyHash(hash) => [&[0x76, 0xa9, 20], &hash[..], &[0x88, 0xac]].concat(),
            // OP_HASH160 hash OP_EQUAL
            Self::ScriptHash(hash) => [&[0xa9, 20], &hash[..], &[0x87]].concat(),
            // OP_1 key
            Self::Taproot(key) => [&[0x51, 32], &key[..]].concat(),
            // OP_0 hash
            Self::WitnessKeyHash(hash) => [&[0x00, 20], &hash[..]].concat(),
            Self::WitnessScript => Vec::new(),
        }
    }
}

// === impl Address ===

impl Address {
    /// Whether it is one of this network.
    pub fn is_of(&self, network: Network) -> bool {
        self.networks.contains(&network)
    }
}

/// Reads an address as it is spelled.
fn read(text: &str) -> Result<Address, AddressError> {
    match bech32_parts(text) {
        Some((networks, prefix, data)) => read_bech32(networks, prefix, data),
        None => read_base58(text),
    }
}

fn read_base58(text: &str) -> Result<Address, AddressError> {
    let (version, hash) = base58check::decode(text)?;
    let known = BASE58_VERSIONS.into_iter().find(|(known, ..)| *known == version);
    let (_, networks, is_script) = known.ok_or(AddressError::Form)?;
    Ok(Address { networks, lock: if is_script { Lock::ScriptHash(hash) } else { Lock::KeyHash(hash) } })
}

/// The networks, the prefix and what follows the separator, if the prefix is a known one.
fn bech32_parts(text: &str) -> Option<(&'static [Network], &'static str, &str)> {
    let (found, data) = text.rsplit_once('1')?;
    let (prefix, _, networks) = BECH32_PREFIXES.into_iter().find(|(prefix, ..)| *prefix == found)?;
    Some((networks, prefix, data))
}

/// A version digit, a witness program, six digits of checksum.
fn read_bech32(networks: &'static [Network], prefix: &str, data: &str) -> Result<Address, AddressError> {
    let digit = |byte: u8| BECH32_DIGITS.iter().position(|digit| *digit == byte).map(|value| value as u8);
    let values: Vec<u8> = data.bytes().map(digit).collect::<Option<_>>().ok_or(AddressError::Form)?;
    let [version, program @ .., _, _, _, _, _, _] = &values[..] else {
        return Err(AddressError::Form);
    };
    if bech32_rest(prefix, &values) != rest_of(*version) {
        return Err(AddressError::Checksum);
    }
    let program = bytes_of(program).ok_or(AddressError::Form)?;
    let lock = match (*version, &program[..]) {
        (0, hash) if hash.len() == 20 => Lock::WitnessKeyHash(hash.try_into().map_err(|_| AddressError::Form)?),
        (0, hash) if hash.len() == 32 => Lock::WitnessScript,
        (1, key) if key.len() == 32 => Lock::Taproot(key.try_into().map_err(|_| AddressError::Form)?),
        (1..=16, other) if (2..=40).contains(&other.len()) => Lock::WitnessScript,
        _ => return Err(AddressError::Form),
    };
    Ok(Address { networks, lock })
}

/// The bytes of a program. Five bits a digit; what is left over must be zeros, and less than a digit.
fn bytes_of(digits: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() * 5 / 8);
    let (mut kept, mut bits) = (0_u32, 0);
    for digit in digits {
        kept = (kept << 5 | u32::from(*digit)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((kept >> bits) as u8);
        }
    }
    (bits < 5 && kept & ((1 << bits) - 1) == 0).then_some(bytes)
}

/// What the checksum of an address of a witness version leaves over.
const fn rest_of(version: u8) -> u32 {
    if version == 0 { BECH32_REST } else { BECH32M_REST }
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
