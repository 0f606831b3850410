//! What a payment, or the lack of one, makes of a refusal: step 9 of the gate.

use std::sync::Arc;

use super::{Demand, Due, PAYMENT_REQUIRED, Payments, Purchase, SHOP};
use crate::{
    caip::AccountKey,
    gate::{Asked, AuthWay, Gate, Judged, Met, Turned, Verdict, view::RequestView},
    policy::{
        decision::{self, Decision, Paid, Permit, Reason, Refusal},
        rule::Requirement,
    },
    time::UnixTime,
    x402::PAYMENT_SIGNATURE,
};

impl Gate {
    /// Step 9, and the refusal where there is nothing to pay.
    pub(in crate::gate) async fn turned_down<'g>(
        &'g self,
        met: Met<'g>,
        mut refusal: Refusal,
        asked: Option<Asked>,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Judged<'g> {
        // Boxed: this is a cold way, and every request would carry the room for it.
        match Box::pin(self.payment_turn(&met, &mut refusal, view, now)).await {
            None => self.refused(met, refusal, asked, view),
            Some(Ok((permit, due))) => {
                let after = self.auth_duration(AuthWay::VerifyStore, view);
                let admitted = Verdict::Decided(Decision::Admit(permit));
                Judged { due, ..self.judged(met, admitted, asked, after) }
            }
            Some(Err(Turned::Away(refusal))) => self.refused(met, refusal, asked, view),
            Some(Err(Turned::Unpaid(unpaid))) => {
                // A payment that is merely not new is no offence; the bad token beside it still is.
                let hidden =
                    matches!(refusal, Refusal::InvalidSession | Refusal::InvalidToken(_) | Refusal::ProofRefused(_));
                if hidden || unpaid.counts_against_address() {
                    self.count_refusal(view.client, view.started);
                }
                let after = self.auth_duration(AuthWay::Deny, view);
                self.judged(met, Verdict::Unpaid(Box::new(unpaid)), asked, after)
            }
        }
    }

    /// What a payment, or the lack of one, makes of a refusal; nothing where the refusal stands, or became that of an
    /// address whose payments are not looked at for now.
    async fn payment_turn(
        &self,
        met: &Met<'_>,
        refusal: &mut Refusal,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Option<Result<(Permit, Due), Turned>> {
        let (payments, rule) = (self.payments.get()?, met.rule?);
        let sells = rule.sale.is_some();
        let invites = rule.requirement == Requirement::Wallet && rule.sign_in;
        if !(sells || invites) {
            return None;
        }
        let why = match refusal {
            Refusal::CredentialRequired => Some(Demand::nothing_presented()),
            Refusal::PaymentRequired | Refusal::PlanRequired { .. } | Refusal::SubscriptionRequired { .. } => {
                Some(Demand::nothing_held())
            }
            Refusal::ProofRefused(code) => Some(Demand::proof_refused(Reason::ChallengeBadProof, code)),
            // A bad token or session is told so, unless a payment came along.
            Refusal::InvalidSession | Refusal::InvalidToken(_) => None,
            Refusal::AccountDenied
            | Refusal::AccountNotInSession
            | Refusal::ConflictingCredentials
            | Refusal::CrossSite
            | Refusal::QuotaExceeded { .. }
            | Refusal::RateLimited { .. }
            | Refusal::StoreUnavailable
            | Refusal::TooManyRefusals { .. }
            | Refusal::VerifierUnavailable => return None,
        };
        let purchase = Purchase {
            rule,
            method: view.method,
            host: view.host,
            path: view.path.as_str(),
            target: view.target,
            headers: view.headers,
        };
        if sells && view.headers.contains_key(PAYMENT_SIGNATURE) {
            if let Err(waits) = self.check_failures(view) {
                *refusal = waits;
                return None;
            }
            if let Err(refusal) = self.take_as_nobody(met, view, now) {
                return Some(Err(Turned::Away(refusal)));
            }
            let denied = |chain: &str, payer: &AccountKey| self.is_denied_on(chain, payer);
            let accepted = match payments.accept(purchase, denied, now).await? {
                Ok(accepted) => accepted,
                Err(refusal) => return Some(Err(Turned::Unpaid(refusal))),
            };
            let permit = decision::admit_payment(rule, Paid { payer: accepted.payer })?;
            return Some(Ok((permit, accepted.due)));
        }
        Some(Err(Turned::Unpaid(payments.demand(&purchase, PAYMENT_REQUIRED, why?, now))))
    }

    /// Takes payments from now on; once.
    pub fn take_payments(&self, payments: Arc<Payments>) {
        for rule in self.routes.rules().iter().filter(|rule| rule.sale.is_some()) {
            self.metrics.sells(&rule.name);
        }
        if payments.settings().shop.is_some() {
            self.metrics.sells(SHOP);
        }
        for plan in &payments.settings().plans {
            self.metrics.sells_plan(&plan.name);
        }
        let _ = self.payments.set(payments);
    }
}
