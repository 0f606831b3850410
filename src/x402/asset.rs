//! Tokens that are paid with, and prices in dollars as exact amounts of them.
//!
//! 1. A token is known by network: its address, its decimals and, on EVM chains, the EIP-712 domain in which
//!    transfers of it are signed. A wrong domain gives signatures that no facilitator accepts (x402.md section 2).
//! 2. A price is a decimal, `$0.01`, and one dollar is one whole token. It becomes an amount by shifting digits;
//!    no binary fraction is involved, and one that the token cannot express is refused rather than rounded.

use std::fmt;

use thiserror::Error;

use crate::caip::ChainId;

/// A token on one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Its contract (EVM) or mint (Solana), spelled as it is put on the wire.
    pub address: String,
    /// Digits after the point of one whole token.
    pub decimals: u8,
    /// The domain in which transfers are signed; nothing on Solana.
    pub domain: Option<TokenDomain>,
}

/// The `name` and `version` of a token's EIP-712 domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDomain {
    /// What the contract calls itself there, which need not be its symbol.
    pub name: String,
    /// The version of the domain.
    pub version: String,
}

/// USDC by network: its address and, on EVM chains, the name in its EIP-712 domain, whose version is 2 everywhere.
const USDC: &[(&str, &str, Option<&str>)] = &[
    ("eip155:1", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", Some("USD Coin")),
    ("eip155:137", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", Some("USD Coin")),
    ("eip155:8453", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", Some("USD Coin")),
    ("eip155:42161", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", Some("USD Coin")),
    ("eip155:43114", "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", Some("USD Coin")),
    ("eip155:84532", "0x036CbD53842c5426634e7929541eC2318f3dCF7e", Some("USDC")),
    ("eip155:421614", "0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d", Some("USD Coin")),
    ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", None),
    ("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", None),
];

/// Digits after the point of USDC, on every network.
const USDC_DECIMALS: u8 = 6;

impl Asset {
    /// The token of a name on a network: `usdc`, where it is known.
    pub fn known(name: &str, network: &ChainId) -> Option<Self> {
        if name != "usdc" {
            return None;
        }
        let (_, address, domain) = USDC.iter().find(|(id, ..)| *id == network.as_str())?;
        let domain = domain.map(|name| TokenDomain { name: name.to_owned(), version: "2".to_owned() });
        Some(Self { address: (*address).to_owned(), decimals: USDC_DECIMALS, domain })
    }

    /// The networks on which a name is known, for messages and documentation.
    pub fn networks_of(name: &str) -> Vec<&'static str> {
        if name == "usdc" { USDC.iter().map(|(network, ..)| *network).collect() } else { Vec::new() }
    }

    /// What people call the token at an address, where it is known.
    pub fn symbol_at(network: &ChainId, address: &str) -> Option<&'static str> {
        USDC.iter().any(|(id, known, _)| *id == network.as_str() && *known == address).then_some("USDC")
    }
}

/// A price in dollars, more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price(Decimal);

/// Why a text is no price, or a price no amount of a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PriceError {
    /// Not `$` and a decimal number.
    #[error("expected a price such as `$0.01`, found `{0}`")]
    Form(String),
    /// More than can be counted.
    #[error("expected a price whose amount fits into 128 bits, found a larger one")]
    Overflow,
    /// More digits after the point than the token has.
    #[error("expected at most {decimals} digits after the point, as the token has, found {found}")]
    TooFine {
        /// Digits of the token.
        decimals: u8,
        /// Digits of the price, without zeros at its end.
        found: u8,
    },
    /// No price at all.
    #[error("expected a price above zero")]
    Zero,
}

impl Price {
    /// Reads `$`, digits, and perhaps a point and digits: no sign, no exponent, no separators.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let form = || PriceError::Form(text.chars().take(40).flat_map(char::escape_debug).collect());
        let number = text.strip_prefix('$').ok_or_else(form)?;
        let decimal = Decimal::parse(number).map_err(|error| match error {
            DecimalError::Form => form(),
            DecimalError::Overflow => PriceError::Overflow,
        })?;
        if decimal.units == 0 {
            return Err(PriceError::Zero);
        }
        Ok(Self(decimal))
    }

    /// The price that is this amount of a token with so many decimals; nothing, if that is no money at all.
    pub fn of_amount(amount: u128, decimals: u8) -> Option<Self> {
        let mut decimal = Decimal { units: amount, places: decimals };
        while decimal.places > 0 && decimal.units.is_multiple_of(10) {
            decimal = Decimal { units: decimal.units / 10, places: decimal.places - 1 };
        }
        (amount > 0).then_some(Self(decimal))
    }

    /// The amount in the smallest unit of a token with so many decimals.
    pub fn amount(self, decimals: u8) -> Result<u128, PriceError> {
        if self.0.places > decimals {
            return Err(PriceError::TooFine { decimals, found: self.0.places });
        }
        self.0.shifted(decimals).ok_or(PriceError::Overflow)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = usize::from(self.0.places);
        let digits = format!("{:0>width$}", self.0.units, width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        write!(f, "${whole}")?;
        // Money has two digits at least, or none.
        if fraction.is_empty() { Ok(()) } else { write!(f, ".{fraction:0<2}") }
    }
}

/// A decimal number that is not negative: `units` divided by ten to the power of `places`, the last digit after the
/// point not being a zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) units: u128,
    pub(super) places: u8,
}

/// Why a text is no [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecimalError {
    Form,
    Overflow,
}

impl Decimal {
    /// Reads `1*DIGIT [ "." 1*DIGIT ]`.
    pub(super) fn parse(text: &str) -> Result<Self, DecimalError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(DecimalError::Form),
            Some((whole, fraction)) => (whole, fraction.trim_end_matches('0')),
            None => (text, ""),
        };
        if whole.is_empty() || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') || fraction.contains('.') {
            return Err(DecimalError::Form);
        }
        let mut units: u128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            let next = units.checked_mul(10).and_then(|tens| tens.checked_add(u128::from(digit - b'0')));
            units = next.ok_or(DecimalError::Overflow)?;
        }
        let places = u8::try_from(fraction.len()).map_err(|_| DecimalError::Overflow)?;
        Ok(Self { units, places })
    }

    /// The number times ten to the power of `decimals`, rounded down; nothing if it does not fit.
    pub(super) fn shifted(self, decimals: u8) -> Option<u128> {
        if self.places > decimals {
            // A divisor that does not fit is greater than any number here.
            let divisor = 10_u128.checked_pow(u32::from(self.places - decimals));
            return Some(divisor.map_or(0, |divisor| self.units / divisor));
        }
        self.units.checked_mul(10_u128.checked_pow(u32::from(decimals - self.places))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usdc_is_known_by_network() {
        let network = |text: &str| ChainId::parse(text).expect(text);
        let sepolia = Asset::known("usdc", &network("eip155:84532")).expect("USDC on Base Sepolia");
        let domain = sepolia.domain.map(|domain| (domain.name, domain.version));
        assert_eq!(domain, Some(("USDC".to_owned(), "2".to_owned())));
        let base = Asset::known("usdc", &network("eip155:8453")).expect("USDC on Base");
        assert_eq!(base.domain.map(|domain| domain.name).as_deref(), Some("USD Coin"));
        let devnet = Asset::known("usdc", &network("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1")).expect("USDC on devnet");
        assert_eq!((devnet.decimals, devnet.domain), (6, None));
        assert_eq!(Asset::known("usdc", &network("eip155:2")), None);
        assert_eq!(Asset::known("USDC", &network("eip155:1")), None);
        assert_eq!(Asset::known("usdt", &network("eip155:1")), None);
        assert_eq!(Asset::networks_of("usdc").len(), 9);
        assert_eq!(Asset::symbol_at(&network("eip155:84532"), &sepolia.address), Some("USDC"));
        assert_eq!(Asset::symbol_at(&network("eip155:8453"), &sepolia.address), None, "an address of another network");
        for name in Asset::networks_of("usdc") {
            let asset = Asset::known("usdc", &network(name)).expect(name);
            assert_eq!(asset.domain.is_some(), name.starts_with("eip155:"), "{name}");
        }
    }

    #[test]
    fn prices_become_exact_amounts() {
        let rows: &[(&str, u8, Result<u128, PriceError>)] = &[
            ("$0.01", 6, Ok(10_000)),
            ("$5.00", 6, Ok(5_000_000)),
            ("$5", 6, Ok(5_000_000)),
            ("$0.000001", 6, Ok(1)),
            ("$0.0000010", 6, Ok(1)),
            ("$0.0000015", 6, Err(PriceError::TooFine { decimals: 6, found: 7 })),
            ("$1.5", 0, Err(PriceError::TooFine { decimals: 0, found: 1 })),
            ("$1.0", 0, Ok(1)),
            ("$0.1", 18, Ok(100_000_000_000_000_000)),
            // A binary fraction would make 1.1 * 10^18 something else.
            ("$1.1", 18, Ok(1_100_000_000_000_000_000)),
            ("$0.29", 2, Ok(29)),
            ("$007", 2, Ok(700)),
            ("$340282366920938463463374607431768211455", 0, Ok(u128::MAX)),
            ("$340282366920938463463374607431768211456", 0, Err(PriceError::Overflow)),
            ("$340282366920938463463374607431768211455", 1, Err(PriceError::Overflow)),
            ("$1", 39, Err(PriceError::Overflow)),
            ("$1", 38, Ok(100_000_000_000_000_000_000_000_000_000_000_000_000)),
            ("$0", 6, Err(PriceError::Zero)),
            ("$0.00", 6, Err(PriceError::Zero)),
        ];
        for (text, decimals, expected) in rows {
            assert_eq!(&Price::parse(text).and_then(|price| price.amount(*decimals)), expected, "{text} {decimals}");
        }
    }

    #[test]
    fn amounts_become_the_prices_they_came_from() {
        for (amount, decimals, written) in [
            (10_000, 6, "$0.01"),
            (5_000_000, 6, "$5"),
            (1, 6, "$0.000001"),
            (12_500_000, 6, "$12.50"),
            (7, 0, "$7"),
            (1_100_000_000_000_000_000, 18, "$1.10"),
        ] {
            let price = Price::of_amount(amount, decimals).expect(written);
            assert_eq!(price.to_string(), written);
            assert_eq!(price.amount(decimals), Ok(amount), "{written}");
            assert_eq!(Price::parse(written), Ok(price), "{written}");
        }
        assert_eq!(Price::of_amount(0, 6), None);
        assert!(Price::of_amount(1, 255).is_some());
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in [
            "", "$", "0.01", "$-1", "-$1", "$+1", "$1.", "$.5", "$1e3", "$1,000", "$ 1", "$1 ", "€1", "$1.2.3", "$0x1",
            "$１", "$1.2.0", "$..",
        ] {
            assert_eq!(Price::parse(text), Err(PriceError::Form(text.to_owned())), "{text}");
        }
        let long = format!("$0.{}1", "0".repeat(300));
        assert_eq!(Price::parse(&long), Err(PriceError::Overflow));
    }

    #[test]
    fn prices_are_written_as_people_write_them() {
        for (text, written) in
            [("$5", "$5"), ("$5.00", "$5"), ("$0.10", "$0.10"), ("$0.001", "$0.001"), ("$12.5", "$12.50")]
        {
            assert_eq!(Price::parse(text).map(|price| price.to_string()).as_deref(), Ok(written), "{text}");
        }
    }
}
