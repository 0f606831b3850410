//! What is charged of an `upto` maximum: the upstream says it in `Settlement-Overrides` (x402.md section 4).
//!
//! 1. The header is the JSON object `{"amount":"…"}`: an amount in the smallest unit, a share `50%` of the maximum with
//!    at most two digits after the point, or dollars `$0.01`.
//! 2. What does not come out even is rounded down, in the payer's favour.
//! 3. More than the maximum is refused, not cut: the payer signed the maximum, and the upstream means something else.
//!    Nothing at all may be charged.

use serde_json::Value;
use thiserror::Error;

use super::{
    asset::{Decimal, DecimalError},
    terms::Terms,
    wire::parse_object,
};

/// Bytes of the header looked at. An amount of 39 digits in its object has 53.
const OVERRIDES_BYTES_MAX: usize = 1024;

/// A whole, in hundredths of a percent.
const WHOLE: u128 = 10_000;

/// Why an upstream's charge cannot be settled. It is the upstream's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChargeError {
    /// More than the payer signed.
    #[error("expected a charge of at most {maximum}, found a larger one")]
    AboveMaximum {
        /// The maximum, in the smallest unit of the asset.
        maximum: u128,
    },
    /// Not one of the three forms.
    #[error("expected an amount such as `123`, `50%` or `$0.01`, found something else")]
    Amount,
    /// Not the object with an `amount`.
    #[error("expected `{{\"amount\":\"…\"}}`, found something else")]
    Form,
}

impl ChargeError {
    /// A stable name for logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::AboveMaximum { .. } => "charge_above_maximum",
            Self::Amount => "charge_not_an_amount",
            Self::Form => "charge_malformed",
        }
    }
}

/// What a header of the upstream charges of these terms, in the smallest unit of the asset.
pub fn charge(terms: &Terms, overrides: &[u8]) -> Result<u128, ChargeError> {
    if overrides.len() > OVERRIDES_BYTES_MAX {
        return Err(ChargeError::Form);
    }
    let members = parse_object(overrides).map_err(|_| ChargeError::Form)?;
    let text = members.get("amount").and_then(Value::as_str).ok_or(ChargeError::Form)?;
    let maximum = terms.amount();
    let above = ChargeError::AboveMaximum { maximum };
    let decimal = |text: &str| {
        Decimal::parse(text).map_err(|error| match error {
            DecimalError::Form => ChargeError::Amount,
            DecimalError::Overflow => above.clone(),
        })
    };
    let charged = if let Some(share) = text.strip_suffix('%') {
        let share = decimal(share)?;
        if share.places > 2 {
            return Err(ChargeError::Amount);
        }
        let share = share.shifted(2).filter(|share| *share <= WHOLE).ok_or_else(|| above.clone())?;
        share_of(maximum, share)
    } else if let Some(dollars) = text.strip_prefix('$') {
        decimal(dollars)?.shifted(terms.decimals()).ok_or_else(|| above.clone())?
    } else if text.contains('.') {
        return Err(ChargeError::Amount);
    } else {
        decimal(text)?.units
    };
    if charged > maximum { Err(above) } else { Ok(charged) }
}

/// So many hundredths of a percent of an amount, rounded down, without a product that might not fit.
const fn share_of(amount: u128, share: u128) -> u128 {
    amount / WHOLE * share + amount % WHOLE * share / WHOLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        caip::ChainId,
        x402::{
            asset::{Asset, Price},
            terms::{Accept, Offer, PaymentFlow, Scheme},
        },
    };

    fn terms(amount: u128) -> Terms {
        let network = ChainId::parse("eip155:8453").expect("a chain");
        let asset = Asset::known("usdc", &network).expect("a token");
        let accept = Accept { network, pay_to: "0x0".to_owned(), asset, scheme: Scheme::Exact, timeout_secs: 60 };
        let offer = Offer::new(accept, Price::parse("$1").expect("a price"), PaymentFlow::Authorization, None);
        offer.expect("an offer").terms(None).expect("terms").charging(amount)
    }

    fn charged(maximum: u128, amount: &str) -> Result<u128, ChargeError> {
        charge(&terms(maximum), format!("{{\"amount\":\"{amount}\"}}").as_bytes())
    }

    #[test]
    fn charges_have_three_forms() {
        let above = || Err(ChargeError::AboveMaximum { maximum: 10_000 });
        let rows: &[(&str, Result<u128, ChargeError>)] = &[
            ("0", Ok(0)),
            ("1", Ok(1)),
            ("007", Ok(7)),
            ("10000", Ok(10_000)),
            ("10001", above()),
            ("340282366920938463463374607431768211456", above()),
            ("50%", Ok(5_000)),
            ("0%", Ok(0)),
            ("100%", Ok(10_000)),
            ("100.00%", Ok(10_000)),
            ("100.01%", above()),
            ("33.33%", Ok(3_333)),
            ("0.01%", Ok(1)),
            ("0.001%", Err(ChargeError::Amount)),
            ("$0.01", Ok(10_000)),
            ("$0.0000019", Ok(1)),
            ("$0", Ok(0)),
            ("$0.010001", above()),
            ("$340282366920938463463374607431768211455", above()),
            ("", Err(ChargeError::Amount)),
            ("%", Err(ChargeError::Amount)),
            ("$", Err(ChargeError::Amount)),
            ("$50%", Err(ChargeError::Amount)),
            ("1.0", Err(ChargeError::Amount)),
            ("-1", Err(ChargeError::Amount)),
            ("+1", Err(ChargeError::Amount)),
            ("1e3", Err(ChargeError::Amount)),
            ("0x10", Err(ChargeError::Amount)),
            (" 1", Err(ChargeError::Amount)),
        ];
        for (amount, expected) in rows {
            assert_eq!(&charged(10_000, amount), expected, "{amount}");
        }
    }

    #[test]
    fn shares_are_rounded_down_and_do_not_overflow() {
        assert_eq!(charged(3, "50%"), Ok(1));
        assert_eq!(charged(9_999, "0.01%"), Ok(0));
        assert_eq!(charged(u128::MAX, "100%"), Ok(u128::MAX));
        assert_eq!(charged(u128::MAX, "50%"), Ok(u128::MAX / 2));
    }

    #[test]
    fn what_is_no_object_with_an_amount_is_refused() {
        let long = format!("{{\"amount\":\"{}\"}}", "0".repeat(OVERRIDES_BYTES_MAX));
        for text in ["", "123", "{}", r#"{"amount":123}"#, r#"{"amount":"1","amount":"2"}"#, "[]", &long] {
            assert_eq!(charge(&terms(10_000), text.as_bytes()), Err(ChargeError::Form), "{text}");
        }
        assert_eq!(charge(&terms(10_000), br#"{"amount":"5","more":1}"#), Ok(5));
    }
}
