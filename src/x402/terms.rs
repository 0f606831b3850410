//! The terms of a payment: what is offered, and whether a payment accepts it (x402.md sections 2 and 3).
//!
//! 1. An [`Offer`] is what configuration knows: a place where money goes and a price. It is made once, and whatever
//!    is wrong with it is found then.
//! 2. [`Terms`] are an offer with what the facilitator adds. Where it has not said yet what a client needs, there are
//!    no terms ([`TermsUnavailable`]), never incomplete ones: a client would sign something that cannot be settled.
//! 3. A payment accepts terms if it repeats them as text: all members outside `extra` and no others, and of `extra`
//!    every member that was offered. More in `extra` is fine.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{
    SIGN_IN_EXTENSION,
    asset::{Asset, Price, PriceError},
};
use crate::caip::{self, ChainId};

/// How a payment is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// The amount that was offered.
    Exact,
    /// What the upstream says, at most the amount that was offered. On EVM chains only.
    Upto,
}

/// When a payment is settled. It goes on the wire where it is not the protocol's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentFlow {
    /// Verified, served, settled. The default.
    Authorization,
    /// Settled, served.
    Upfront,
}

/// Where money goes: one `[[x402.accept]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// The chain.
    pub network: ChainId,
    /// Who is paid, spelled as it is put on the wire.
    pub pay_to: String,
    /// What with.
    pub asset: Asset,
    /// How.
    pub scheme: Scheme,
    /// For how long a payment may be settled after it was signed, in seconds.
    pub timeout_secs: u32,
}

/// A price at one place where money goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    accept: Accept,
    price: Price,
    amount: u128,
    flow: PaymentFlow,
    plan: Option<String>,
}

/// Why there can be no such offer. It is the operator's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OfferError {
    /// An EVM token without the domain in which transfers of it are signed.
    #[error("expected `name` and `version` of the token's EIP-712 domain on `{0}`")]
    Domain(ChainId),
    /// A chain of a family that cannot be paid on.
    #[error("expected a network of eip155 or solana, found `{0}`")]
    Network(ChainId),
    /// The price cannot be said in this token.
    #[error(transparent)]
    Price(#[from] PriceError),
    /// A scheme that is not offered on this chain: it would need an escrow (x402.md section 4).
    #[error("expected scheme `exact` on `{network}`, found `{}`", scheme.as_str())]
    Scheme {
        /// The chain.
        network: ChainId,
        /// The scheme.
        scheme: Scheme,
    },
    /// A payment that would have no time to be settled in.
    #[error("expected a timeout of at least one second")]
    Timeout,
}

/// Why there are no terms now: the facilitator has not said what they need. It is the facilitator's, and passes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TermsUnavailable {
    /// It named no address that a client of `upto` must name as settler.
    #[error("expected `facilitatorAddress` for `{0}` from the facilitator, found none")]
    FacilitatorAddress(ChainId),
    /// It named no payer of fees, without whom a Solana client cannot build its transaction.
    #[error("expected `feePayer` for `{0}` from the facilitator, found none")]
    FeePayer(ChainId),
}

/// One payment requirement, complete. Its JSON has the members in the order of the protocol's own server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    scheme: Scheme,
    #[serde(serialize_with = "chain_text")]
    network: ChainId,
    #[serde(serialize_with = "amount_text")]
    amount: u128,
    asset: String,
    pay_to: String,
    #[serde(rename = "maxTimeoutSeconds")]
    max_timeout_secs: u32,
    extra: Map<String, Value>,
    #[serde(skip)]
    decimals: u8,
}

/// A client returned an extension with other contents than it was given (x402.md section 3).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected the `info` of extension `{extension}` as it was advertised, found it changed")]
pub struct EchoError {
    /// The extension.
    pub extension: String,
}

// === impl TermsUnavailable and EchoError ===

impl TermsUnavailable {
    /// The code of the answer and of the log.
    pub const fn as_str(&self) -> &'static str {
        "terms_unavailable"
    }
}

impl EchoError {
    /// The `error` of the challenge that answers such a payment, and the reason in the log.
    pub const fn as_str(&self) -> &'static str {
        "extension_echo_mismatch"
    }
}

// === impl Scheme ===

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Exact, Self::Upto];

    /// The name on the wire and in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Upto => "upto",
        }
    }

    /// The scheme of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == name)
    }
}

impl Serialize for Scheme {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

// === impl PaymentFlow ===

impl PaymentFlow {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Upfront => "upfront",
        }
    }
}

// === impl Offer ===

impl Offer {
    /// Offers a price at a place; `plan` names what is sold, if it is a plan.
    pub fn new(accept: Accept, price: Price, flow: PaymentFlow, plan: Option<String>) -> Result<Self, OfferError> {
        match (accept.network.namespace(), accept.scheme) {
            ("eip155", _) if accept.asset.domain.is_none() => return Err(OfferError::Domain(accept.network)),
            ("eip155", _) | ("solana", Scheme::Exact) => {}
            ("solana", scheme) => return Err(OfferError::Scheme { network: accept.network, scheme }),
            _ => return Err(OfferError::Network(accept.network)),
        }
        if accept.timeout_secs == 0 {
            return Err(OfferError::Timeout);
        }
        let amount = price.amount(accept.asset.decimals)?;
        Ok(Self { accept, price, amount, flow, plan })
    }

    /// The chain it is for: with [`Offer::scheme`] what a facilitator must support.
    pub const fn network(&self) -> &ChainId {
        &self.accept.network
    }

    /// The scheme it is for.
    pub const fn scheme(&self) -> Scheme {
        self.accept.scheme
    }

    /// What it costs, as the configuration says it.
    pub const fn price(&self) -> Price {
        self.price
    }

    /// The terms, with `supported`, the `extra` that the facilitator's `/supported` has for chain and scheme.
    pub fn terms(&self, supported: Option<&Map<String, Value>>) -> Result<Terms, TermsUnavailable> {
        let Accept { network, pay_to, asset, scheme, timeout_secs } = &self.accept;
        let mut extra = Map::new();
        if let Some(domain) = &asset.domain {
            extra.insert("name".to_owned(), domain.name.as_str().into());
            extra.insert("version".to_owned(), domain.version.as_str().into());
        }
        if *scheme == Scheme::Upto {
            let settler = address_in(supported, "facilitatorAddress");
            let settler = settler.ok_or_else(|| TermsUnavailable::FacilitatorAddress(network.clone()))?;
            extra.insert("assetTransferMethod".to_owned(), "permit2".into());
            extra.insert("facilitatorAddress".to_owned(), settler.into());
        }
        if network.namespace() == "solana" {
            let payer = address_in(supported, "feePayer");
            let payer = payer.ok_or_else(|| TermsUnavailable::FeePayer(network.clone()))?;
            extra.insert("feePayer".to_owned(), payer.into());
        }
        if self.flow != PaymentFlow::Authorization {
            extra.insert("paymentFlow".to_owned(), self.flow.as_str().into());
        }
        if let Some(plan) = &self.plan {
            extra.insert("plan".to_owned(), plan.as_str().into());
        }
        Ok(Terms {
            scheme: *scheme,
            network: network.clone(),
            amount: self.amount,
            asset: asset.address.clone(),
            pay_to: pay_to.clone(),
            max_timeout_secs: *timeout_secs,
            extra,
            decimals: asset.decimals,
        })
    }
}

/// An address that the facilitator names. It reaches every client, so its form is looked at.
fn address_in<'s>(supported: Option<&'s Map<String, Value>>, name: &str) -> Option<&'s str> {
    supported?.get(name)?.as_str().filter(|address| caip::is_address(address))
}

// === impl Terms ===

impl Terms {
    /// How it is paid.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The chain.
    pub const fn network(&self) -> &ChainId {
        &self.network
    }

    /// How much, in the smallest unit of the asset; with [`Scheme::Upto`] at most.
    pub const fn amount(&self) -> u128 {
        self.amount
    }

    /// The contract or mint of what is paid with.
    pub fn asset(&self) -> &str {
        &self.asset
    }

    /// Digits after the point of the asset. Not on the wire.
    pub const fn decimals(&self) -> u8 {
        self.decimals
    }

    /// Who is paid.
    pub fn pay_to(&self) -> &str {
        &self.pay_to
    }

    /// The plan that is sold, if it is one.
    pub fn plan(&self) -> Option<&str> {
        self.extra.get("plan")?.as_str()
    }

    /// Whether the payment is settled before anything is served.
    pub fn is_upfront(&self) -> bool {
        self.extra.get("paymentFlow").is_some_and(|flow| flow == PaymentFlow::Upfront.as_str())
    }

    /// The JSON that a facilitator is sent, and that is kept until the payment is settled.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("texts, numbers and values that were JSON are JSON")
    }

    /// The same terms for what is charged in the end.
    #[must_use]
    pub fn charging(&self, amount: u128) -> Self {
        Self { amount, ..self.clone() }
    }

    /// Whether `accepted` repeats these terms.
    fn accepted_by(&self, accepted: &Map<String, Value>) -> bool {
        let text = |name: &str, expected: &str| accepted.get(name).and_then(Value::as_str) == Some(expected);
        // Six members outside `extra`, and `extra` itself, which is always offered.
        accepted.len() == 7
            && text("scheme", self.scheme.as_str())
            && text("network", self.network.as_str())
            && text("amount", &self.amount.to_string())
            && text("asset", &self.asset)
            && text("payTo", &self.pay_to)
            && accepted.get("maxTimeoutSeconds").is_some_and(|secs| *secs == self.max_timeout_secs)
            && accepted.get("extra").and_then(Value::as_object).is_some_and(|extra| {
                // `recentBlockhash` and `lastValidBlockHeight`, which may change, are never offered here.
                self.extra.iter().all(|(name, value)| extra.get(name) == Some(value))
            })
    }
}

fn chain_text<S: Serializer>(chain: &ChainId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(chain.as_str())
}

fn amount_text<S: Serializer>(amount: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

/// Which of the offered terms a payment's `accepted` repeats.
///
/// Because more in `extra` is fine, one text may repeat several offers, one with a plan and one without, say. The one
/// with the most in `extra` was meant; of equals, the first.
pub fn match_terms(offered: &[Terms], accepted: &Value) -> Option<usize> {
    let accepted = accepted.as_object()?;
    let matching = offered.iter().enumerate().filter(|(_, terms)| terms.accepted_by(accepted));
    // Of equals `max_by_key` takes the last, so the order is turned round.
    matching.rev().max_by_key(|(_, terms)| terms.extra.len()).map(|(index, _)| index)
}

/// Whether the extensions that a client returns hold what they were advertised with.
///
/// An extension that is not returned is fine, and so is one that was never advertised. What changes between two
/// challenges of one request is not compared.
pub fn check_echo(advertised: &Map<String, Value>, echoed: &Map<String, Value>) -> Result<(), EchoError> {
    for (extension, echo) in echoed {
        let Some(given) = advertised.get(extension) else {
            continue;
        };
        let fresh: &[&str] =
            if extension == SIGN_IN_EXTENSION { &["nonce", "issuedAt", "expirationTime"] } else { &[] };
        if !contains(info(echo), info(given), fresh) {
            return Err(EchoError { extension: extension.clone() });
        }
    }
    Ok(())
}

/// What is compared of an extension: its `info`, or all of it if it has none.
fn info(extension: &Value) -> &Value {
    extension.get("info").unwrap_or(extension)
}

/// Whether `found` holds all of `expected`, members named in `fresh` left out. Lists and plain values must be equal.
fn contains(found: &Value, expected: &Value, fresh: &[&str]) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected
            .iter()
            .filter(|(name, _)| !fresh.contains(&name.as_str()))
            .all(|(name, value)| found.get(name).is_some_and(|there| contains(there, value, &[]))),
        _ => found == expected,
    }
}

#[cfg(test)]
mod tests;
