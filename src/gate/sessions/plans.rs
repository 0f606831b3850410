//! What the accounts of a set hold: for their owner to see. What it opens is judged anew with each request.

use super::{Sessions, Shown, Visitor};
use crate::{
    caip::AccountId,
    gate::Gate,
    policy::{holder::Holder, rule::Requirement},
    time::UnixTime,
};

/// A plan that an account may use now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPlan {
    /// Whose it is.
    pub account: AccountId,
    /// What it is called.
    pub plan: Box<str>,
    /// The first instant it no longer counts; nothing: without end.
    pub expires_at: Option<UnixTime>,
}

impl Sessions {
    /// The plans that the accounts which are shown may use now, in their order. Nothing, if no route asks for one, or if
    /// the store does not say what is held: who is signed in is told so all the same.
    pub async fn plans(&self, gate: &Gate, shown: &Shown, visitor: &Visitor<'_>) -> Option<Vec<HeldPlan>> {
        let asks = |requirement: &Requirement| match requirement {
            Requirement::Public | Requirement::Wallet => false,
            Requirement::Subscription { .. } | Requirement::Payment { .. } => true,
        };
        if !gate.routes().rules().iter().any(|rule| asks(&rule.requirement)) {
            return None;
        }
        let mut plans = Vec::new();
        for session in shown.sessions(None, &self.settings.life, visitor.now) {
            let entry = shown.opened.entry_of(session)?;
            let held = gate.accounts.held(&entry.account, visitor.started, visitor.now).await;
            let held = held.inspect_err(|error| tracing::warn!(%error, "the store does not say what an account holds"));
            let account = &session.account;
            let holder = if session.by_contract { Holder::Contract(account.chain_str()) } else { Holder::KeyPair };
            let held = held.ok()?;
            let usable = held.used_by(holder).filter(|(_, span)| span.is_active(visitor.now));
            plans.extend(usable.map(|(held, span)| HeldPlan {
                account: account.clone(),
                plan: held.plan.as_str().into(),
                expires_at: span.expires_at,
            }));
        }
        Some(plans)
    }
}
