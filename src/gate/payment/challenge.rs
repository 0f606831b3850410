//! What a client is asked for: the terms of a request as they are now, and the invitation to sign in.

use http::HeaderValue;
use serde_json::{Map, Value};

use super::{PaymentRefusal, Payments, Purchase};
use crate::{
    policy::decision::Reason,
    time::UnixTime,
    x402::{
        self,
        challenge::{Challenge, SignIn},
        nonce::{Purpose, RANDOM_BYTES},
        terms::{Offer, Terms},
    },
};

/// A challenge, ready to be sent.
#[derive(Debug)]
pub struct Demand {
    header: HeaderValue,
    body: Vec<u8>,
    terms: Vec<Terms>,
    why: Why,
}

/// What led to a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) struct Why {
    reason: Reason,
    code: &'static str,
    /// Why a sign-in proof was refused.
    proof: Option<&'static str>,
    counts: bool,
}

impl Demand {
    /// The value of `PAYMENT-REQUIRED`.
    pub const fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// The JSON body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// What may be paid, as the header has it.
    pub fn terms(&self) -> &[Terms] {
        &self.terms
    }

    /// The word for metrics and log.
    pub const fn reason(&self) -> Reason {
        self.why.reason
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.why.code
    }

    pub(super) const fn counts_against_address(&self) -> bool {
        self.why.counts
    }

    /// Nothing was presented.
    pub(in crate::gate) const fn nothing_presented() -> Why {
        Why { reason: Reason::ChallengeNoCredential, code: "payment_required", proof: None, counts: false }
    }

    /// A good proof or token of a wallet that holds nothing that opens the route.
    pub(in crate::gate) const fn nothing_held() -> Why {
        Why { reason: Reason::ChallengeNoSubscription, code: "subscription_required", proof: None, counts: false }
    }

    /// A sign-in proof that was refused, by the code of why.
    pub(in crate::gate) const fn proof_refused(reason: Reason, proof: &'static str) -> Why {
        Why { reason, code: "proof_refused", proof: Some(proof), counts: true }
    }

    /// A payment that is none, or for other terms.
    pub(super) const fn invalid_payment() -> Why {
        Why { reason: Reason::PaymentInvalid, code: "payment_refused", proof: None, counts: true }
    }

    /// A payment that the facilitator would not settle.
    pub(super) fn refused_payment(reason: &str) -> Why {
        let permit2 = reason == "permit2_allowance_required";
        let code = if permit2 { "permit2_allowance_required" } else { "payment_refused" };
        Why { reason: Reason::PaymentInvalid, code, proof: None, counts: true }
    }
}

impl Payments {
    /// The challenge for a request, or why there can be none.
    pub(in crate::gate) fn demand(
        &self,
        purchase: &Purchase<'_>,
        error: &str,
        why: Why,
        now: UnixTime,
    ) -> PaymentRefusal {
        match self.challenge(purchase, error, why, now) {
            Ok(demand) => PaymentRefusal::Demand(Box::new(demand)),
            Err(refusal) => refusal,
        }
    }

    fn challenge(
        &self,
        purchase: &Purchase<'_>,
        error: &str,
        why: Why,
        now: UnixTime,
    ) -> Result<Demand, PaymentRefusal> {
        let (accepts, _) = self.terms(purchase)?;
        let nonce = self.nonce(purchase.host, now)?;
        let (header, body) = self.written(purchase, &accepts, &nonce, error, now, |challenge| {
            let required = challenge.payment_required();
            (required.header(), required.body(why.code, why.proof))
        })?;
        let header = HeaderValue::try_from(header).map_err(|_| PaymentRefusal::TermsUnavailable)?;
        Ok(Demand { header, body, terms: accepts, why })
    }

    /// The extensions of the challenge for a request, to compare a payment's echo with. What changes from one challenge
    /// to the next is not compared.
    pub(super) fn advertised(&self, purchase: &Purchase<'_>, now: UnixTime) -> Map<String, Value> {
        let written = self.written(purchase, &[], "", "", now, |challenge| challenge.payment_required().extensions());
        written.unwrap_or_default()
    }

    fn written<T>(
        &self,
        purchase: &Purchase<'_>,
        accepts: &[Terms],
        nonce: &str,
        error: &str,
        now: UnixTime,
        write: impl FnOnce(Challenge<'_>) -> T,
    ) -> Result<T, PaymentRefusal> {
        let origin = self.origin(purchase.host).ok_or(PaymentRefusal::TermsUnavailable)?;
        let age = i64::from(self.settings.proof_age_secs_max) * 1000;
        let sign_in = purchase.rule.sign_in.then(|| SignIn {
            nonce,
            issued_at: now,
            expires_at: Some(now.plus_millis(age)),
            statement: &self.settings.statement,
            chains: &self.settings.sign_in_chains,
        });
        let sale = purchase.rule.sale.as_ref();
        Ok(write(Challenge {
            origin,
            target: purchase.target,
            error,
            description: sale.map_or("", |sale| &sale.description),
            mime_type: sale.map_or("", |sale| &sale.mime_type),
            accepts,
            sign_in,
        }))
    }

    /// A nonce for one challenge.
    fn nonce(&self, host: &str, now: UnixTime) -> Result<String, PaymentRefusal> {
        let mut random = [0; RANDOM_BYTES];
        (self.means.random)(&mut random).map_err(|error| {
            tracing::error!(%error, "no random bytes for a nonce");
            PaymentRefusal::StoreUnavailable
        })?;
        let domain = self.origin(host).map_or("", |origin| origin.authority());
        Ok(self.means.issuer.issue(Purpose::X402, domain, now, random))
    }

    /// The offers that a facilitator takes now. One that never said what it supports is believed to take what needs no
    /// word of its own.
    pub(super) fn available(&self, offers: &[Offer]) -> Vec<Terms> {
        offers.iter().filter_map(|offer| self.available_one(offer)).collect()
    }

    fn available_one(&self, offer: &Offer) -> Option<Terms> {
        let (scheme, network) = (offer.scheme().as_str(), offer.network().as_str());
        let facilitators = &self.means.facilitators;
        facilitators.choose(scheme, network)?;
        let mut said = Map::new();
        if let Some(payer) = facilitators.fee_payer(scheme, network) {
            said.insert("feePayer".to_owned(), payer.into());
        }
        if let Some(address) = facilitators.facilitator_address(scheme, network) {
            said.insert("facilitatorAddress".to_owned(), address.into());
        }
        match offer.terms(Some(&said)) {
            Ok(terms) => Some(terms),
            Err(error) => {
                tracing::debug!(%error, "an offer is left out of a challenge");
                None
            }
        }
    }
}

/// The `error` of a challenge that answers a request without a payment.
pub(in crate::gate) const PAYMENT_REQUIRED: &str = x402::ERROR_PAYMENT_REQUIRED;
