//! The shop: what plans cost, how they are bought without a route, and what an account holds (x402.md section 12).
//!
//! 1. A purchase goes the way of every payment; the gateway is its own upstream, so that settlement comes before the
//!    answer. It opens the same as a purchase on a route of the plan.
//! 2. A purchase that is presented again is answered again, with the same receipt.
//! 3. Who holds what is told to the account itself, unless the operator says that anybody may know.

use http::HeaderMap;

use super::{Demand, PAYMENT_REQUIRED, PaymentRefusal, Purchase};
use crate::{
    caip::AccountKey,
    chain::SignerKey,
    gate::{
        Gate,
        identify::Halt,
        settings::{PaymentSettings, PlanForSale},
        view::RequestView,
    },
    policy::{
        access::Scope,
        decision::Refusal,
        holder::Holder,
        rule::{Pattern, Requirement, Rule},
        sale::{AccessScope, Sale, Settle},
    },
    store::Receipt,
    time::UnixTime,
};

/// A door of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// What plans cost.
    Pricing,
    /// Where one is bought.
    Purchase,
    /// What an account holds.
    Status,
    /// There is no such door.
    Nowhere,
}

/// What a plan costs at one place where money goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The chain, as CAIP-2.
    pub network: String,
    /// The token.
    pub asset: String,
    /// Atomic units.
    pub amount: String,
}

/// What an account holds of plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The plan that ends last; nothing: it never held one.
    pub plan: Option<String>,
    /// The end of it; nothing: none.
    pub expires_at: Option<UnixTime>,
    /// Whether it counts now.
    pub active: bool,
}

/// The name under which purchases of the shop are counted.
pub(in crate::gate) const SHOP: &str = "shop";

impl PaymentSettings {
    /// The door that a canonical path leads to; nothing: it is none of the shop's.
    pub fn shop_door(&self, path: &str) -> Option<Door> {
        let rest = path.strip_prefix(self.shop.as_deref()?)?;
        match rest.strip_suffix('/').unwrap_or(rest) {
            "/pricing" => Some(Door::Pricing),
            "/purchase" => Some(Door::Purchase),
            "/status" => Some(Door::Status),
            other => (other.is_empty() || other.starts_with('/')).then_some(Door::Nowhere),
        }
    }
}

impl Gate {
    /// The door of the shop that a canonical path leads to, if there is a shop.
    pub fn shop_door(&self, path: &str) -> Option<Door> {
        self.payments.get()?.settings().shop_door(path)
    }

    /// The plans that are for sale, with the seconds of one purchase and what it costs now.
    pub fn pricing(&self) -> Vec<(&str, u64, Vec<Price>)> {
        let Some(payments) = self.payments.get() else {
            return Vec::new();
        };
        let price = |terms: &crate::x402::terms::Terms| Price {
            network: terms.network().to_string(),
            asset: terms.asset().to_owned(),
            amount: terms.amount().to_string(),
        };
        let priced = |plan: &PlanForSale| payments.available(&plan.offers).iter().map(price).collect();
        let plans = &payments.settings().plans;
        plans.iter().map(|plan| (plan.name.as_str(), plan.length.as_secs(), priced(plan))).collect()
    }

    /// Buys a plan by the payment that a request carries; nothing: no such plan is for sale.
    pub async fn purchase(
        &self,
        view: &RequestView<'_>,
        plan: &str,
        now: UnixTime,
    ) -> Option<Result<Receipt, PaymentRefusal>> {
        let payments = self.payments.get()?;
        let rule = rule(payments.settings().plans.iter().find(|for_sale| for_sale.name == plan)?);
        let purchase = Purchase {
            rule: &rule,
            method: view.method,
            host: view.host,
            path: view.path.as_str(),
            target: view.target,
            headers: view.headers,
        };
        let denied = |chain: &str, payer: &AccountKey| self.is_denied_on(chain, payer);
        let accepted = match payments.accept(purchase, denied, now).await {
            None => return Some(Err(payments.demand(&purchase, PAYMENT_REQUIRED, Demand::nothing_presented(), now))),
            Some(Err(PaymentRefusal::AlreadyUsed(receipt))) if receipt.scope == Scope::Plan(plan.to_owned()) => {
                return Some(Ok(*receipt));
            }
            Some(Err(refusal)) => {
                if refusal.counts_against_address() {
                    self.count_refusal(view.client, view.started);
                }
                return Some(Err(refusal));
            }
            Some(Ok(accepted)) => accepted,
        };
        let settled = accepted.due.discharge(200, &HeaderMap::new()).await;
        Some(settled.and_then(|release| {
            release.into_receipt().map_or(Err(PaymentRefusal::StoreUnavailable), |receipt| Ok(*receipt))
        }))
    }

    /// What an account holds of plans. Whoever asks shows a token of that account, unless anybody may ask.
    pub async fn plan_status(
        &self,
        view: &RequestView<'_>,
        asked: Option<AccountKey>,
        now: UnixTime,
    ) -> Result<Status, Refusal> {
        let public = self.payments.get().is_some_and(|payments| payments.settings().public_status);
        let looked;
        let (account, holder) = match asked {
            Some(key) if public => (self.accounts.account(&key, SignerKey::default()), Holder::KeyPair),
            asked => {
                looked = match self.look_up(None, view, now) {
                    Ok(looked) => looked,
                    Err(Halt::Refused(refusal)) => return Err(refusal),
                    Err(Halt::Ask(pending)) => Box::pin(self.ask_contract(*pending, view, now)).await?,
                    Err(Halt::Open(presented)) => Box::pin(self.open_session(presented, view, now)).await?,
                };
                let own = looked.identity.account().key();
                if asked.is_some_and(|asked| asked != own) {
                    return Err(Refusal::AccountDenied);
                }
                (looked.entry.account.clone(), looked.identity.holder())
            }
        };
        let held = self.accounts.held(&account, view.started, now).await.map_err(|error| {
            tracing::warn!(%error, "the store does not say what an account holds");
            Refusal::StoreUnavailable
        })?;
        let last = held.opening(&[], holder, now);
        let last = last.or_else(|| Some(held.used_by(holder).max_by_key(|(_, span)| span.expires_at)?.0));
        let span = last.and_then(|plan| plan.span_for(holder));
        Ok(Status {
            plan: last.map(|plan| plan.plan.clone()),
            expires_at: span.and_then(|span| span.expires_at),
            active: span.is_some_and(|span| span.is_active(now)),
        })
    }
}

/// A plan in the shop, as if it were a route of its own. Settled when the answer is there: it is made here.
fn rule(plan: &PlanForSale) -> Rule {
    let sale = Sale {
        offers: plan.offers.clone(),
        upfront: Vec::new(),
        settle: Settle::OnHeaders,
        access_for: None,
        access_scope: AccessScope::Route,
        description: String::new(),
        mime_type: String::new(),
    };
    let requirement = Requirement::Payment { plans: Vec::new() };
    // There is no such upstream: a mistake that forwarded a purchase would end in an error and not at somebody's API.
    Rule { upstream: usize::MAX, sale: Some(sale), ..Rule::plain(SHOP, Pattern::Exact("/".to_owned()), requirement) }
}
