//! Settlement: asked for on a task of its own, recorded with what it opens, asked for again where nobody knows.
//!
//! 1. `settling` is on the disk before a facilitator is asked; if it cannot be written, nobody is asked.
//! 2. What a facilitator says is recorded before the client hears it.
//! 3. A refusal of the first question ends a payment. After any doubt a refusal proves nothing ("nonce already used" may
//!    be our own first question), so that such a payment stays unknown until a settlement is found or an operator
//!    decides.

use std::{sync::Arc, time::Duration};

use super::{
    PaymentRefusal, Payments, Work, account, lease::lease, question, settlement_refused, unavailable,
    unreachable_facilitator,
};
use crate::{
    caip::{AccountId, AccountKey},
    facilitator::{Facilitator, Question, Response, Settlement as Answer},
    store::{self, Asked, Doubt, Due, Owner, PaymentId, Receipt, Recorded, Settlement, Step, StoreError, counted},
    time::UnixTime,
    x402::wire,
};

/// The pauses before an unknown payment is asked for again, the last one again and again.
const PAUSES_SECS: [u64; 6] = [5, 15, 60, 120, 300, 600];

/// For so long after its end an authorization is still asked for: it may have been used in time.
const AFTER_THE_END: Duration = Duration::from_secs(600);

/// How many payments that were left are asked for at once: one that hangs holds up few, and all of them a facilitator
/// little.
const ASKED_AT_ONCE: usize = 8;

/// How often to look for payments whose owner is gone.
pub const RECOVERY_INTERVAL: Duration = Duration::from_secs(5);

impl Payments {
    /// Settles a payment, whether or not anybody goes on waiting for it. `charge` is less than was offered, where the
    /// upstream said so.
    pub(super) async fn settle_apart(
        self: &Arc<Self>,
        work: Work,
        charge: Option<u128>,
    ) -> Result<Receipt, PaymentRefusal> {
        let payments = Arc::clone(self);
        let settled = self.means.outbound.spawn(async move { payments.settle(work, charge).await });
        // A task that panicked may have asked already.
        settled.await.unwrap_or(Err(PaymentRefusal::OutcomeUnknown { timed_out: false }))
    }

    async fn settle(&self, work: Work, charge: Option<u128>) -> Result<Receipt, PaymentRefusal> {
        let id = PaymentId::new(*work.id.as_bytes());
        let terms = charge.map_or_else(|| work.terms.clone(), |amount| work.terms.charging(amount));
        let lease = lease(work.owner.clone(), self.means.clock.now());
        let named = work.payer.as_deref().and_then(|payer| account(terms.network().as_str(), payer));
        let asked = asked(&work, &terms.json(), charge, named.as_ref()).map_err(|error| {
            tracing::error!(%error, payment = %id, "a settlement cannot be kept; please report this");
            PaymentRefusal::StoreUnavailable
        })?;
        match counted(&self.operations, self.means.store.settling(&id, &lease, &asked)).await {
            Ok(Step::Done) => {}
            Ok(Step::Lost) => return Err(PaymentRefusal::InProgress),
            Err(error) => {
                // The row may be there; nobody was asked, so it can go.
                let _ = counted(&self.operations, self.means.store.refused(&id, &work.owner)).await;
                return Err(unavailable(error));
            }
        }
        let answer = work.facilitator.settle(&question(&work.payment, &terms), work.payer.as_deref()).await;
        let about = About {
            id,
            owner: &work.owner,
            network: terms.network().as_str(),
            named: named.map(|account| account.key()),
            route: &work.route,
            attempts: 1,
            valid_until: None,
        };
        match answer {
            Ok(Answer::Settled { payer, transaction, response }) => {
                self.record(&about, payer.as_deref(), &transaction, &response).await
            }
            Ok(Answer::Refused(refusal, response)) => {
                tracing::info!(payment = %id, route = work.route, reason = refusal.reason, "a settlement was refused");
                self.step(
                    &about,
                    "given up",
                    counted(&self.operations, self.means.store.refused(&id, &work.owner)).await,
                );
                self.count(&work.route, "refused");
                Err(settlement_refused(&response))
            }
            Ok(Answer::Pending(response)) => {
                self.doubt(&about, Some(response.transaction())).await;
                Err(settlement_refused(&response))
            }
            Err(error) if error.outcome_unknown() => {
                tracing::error!(%error, payment = %id, route = work.route, "nobody knows whether a payment was settled");
                self.doubt(&about, None).await;
                Err(PaymentRefusal::OutcomeUnknown { timed_out: error.is_timeout() })
            }
            Err(error) => {
                self.step(
                    &about,
                    "given up",
                    counted(&self.operations, self.means.store.refused(&id, &work.owner)).await,
                );
                Err(unreachable_facilitator(&error))
            }
        }
    }

    /// Writes a settlement down, and with it what it opens.
    async fn record(
        &self,
        about: &About<'_>,
        payer: Option<&str>,
        transaction: &str,
        response: &Response,
    ) -> Result<Receipt, PaymentRefusal> {
        let unknown = PaymentRefusal::OutcomeUnknown { timed_out: false };
        let payer = payer.and_then(|payer| account(about.network, payer)).map(|account| account.key());
        let Some(payer) = payer.or_else(|| about.named.clone()) else {
            tracing::error!(payment = %about.id, route = about.route, "a payment was settled and nobody is named as payer");
            self.doubt(about, Some(transaction)).await;
            return Err(unknown);
        };
        let told = wire::encode_header(&response.as_json().to_string());
        let settlement = match Settlement::new(payer.clone(), transaction, &told) {
            Ok(settlement) => settlement,
            Err(error) => {
                tracing::error!(%error, payment = %about.id, "a settlement cannot be kept");
                self.doubt(about, None).await;
                return Err(unknown);
            }
        };
        match counted(
            &self.operations,
            self.means.store.settled(&about.id, about.owner, &settlement, self.means.clock.now()),
        )
        .await
        {
            Ok(Recorded::Settled(receipt)) => {
                tracing::info!(
                    event = "audit", payment = %about.id, route = about.route, payer = %payer, scope = %receipt.scope,
                    transaction, "a payment was settled"
                );
                self.count(about.route, "settled");
                if let Some(plan) = receipt.scope.as_plan() {
                    self.means.metrics.purchase(plan);
                }
                (self.means.changed)(&payer);
                Ok(receipt)
            }
            Ok(Recorded::Lost) => Err(unknown),
            Err(error) => {
                tracing::error!(%error, payment = %about.id, transaction, "a settlement cannot be recorded; it is asked for again");
                self.doubt(about, Some(transaction)).await;
                Err(unknown)
            }
        }
    }

    /// Notes that the outcome is unknown, and when it is asked for again.
    async fn doubt(&self, about: &About<'_>, transaction: Option<&str>) {
        let now = self.means.clock.now();
        let pause = Duration::from_secs(PAUSES_SECS[about.attempts.saturating_sub(1).min(PAUSES_SECS.len() - 1)]);
        let in_time = about.valid_until.is_none_or(|end| now.plus(pause) <= end.plus(AFTER_THE_END));
        let doubt = Doubt {
            next_attempt_at: in_time.then(|| now.plus(pause)),
            transaction: transaction.filter(|transaction| !transaction.is_empty()).map(str::to_owned),
        };
        // Once, however often it is asked for again.
        if about.attempts <= 1 {
            self.count(about.route, "unknown");
        }
        self.step(
            about,
            "noted as unknown",
            counted(&self.operations, self.means.store.unknown(&about.id, about.owner, &doubt)).await,
        );
    }

    fn step(&self, about: &About<'_>, what: &str, step: Result<Step, StoreError>) {
        match step {
            Ok(Step::Done) => {}
            Ok(Step::Lost) => tracing::warn!(payment = %about.id, "a payment to be {what} is somebody else's by now"),
            // Its lease runs out, and it is asked for again.
            Err(error) => tracing::warn!(%error, payment = %about.id, "a payment cannot be {what}"),
        }
    }

    /// Takes over what others left, and asks again. Runs until the process ends.
    pub async fn recover(self: Arc<Self>) {
        loop {
            while self.recover_once().await == ASKED_AT_ONCE {}
            tokio::time::sleep(RECOVERY_INTERVAL).await;
        }
    }

    /// One look for payments whose owner is gone; how many were asked for again. None is taken over before its turn to
    /// be asked for.
    pub async fn recover_once(self: &Arc<Self>) -> usize {
        let now = self.means.clock.now();
        let lease = lease(self.attempt("recovery"), now);
        let taken = match self.means.store.take_over(&lease, now, ASKED_AT_ONCE).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "the store does not say which payments were left");
                return 0;
            }
        };
        let asked = taken.due.into_iter().map(|due| {
            let (payments, owner) = (Arc::clone(self), lease.owner.clone());
            self.means.outbound.spawn(async move { payments.ask(&due, &owner).await })
        });
        let asked: Vec<_> = asked.collect();
        let count = asked.len();
        for answer in asked {
            // Whatever comes of it is in the log and in the store.
            let _ = answer.await;
        }
        count
    }

    /// Asks again for one payment that a request brings a second time.
    pub(super) async fn ask_again(self: &Arc<Self>, id: PaymentId) -> Result<Receipt, PaymentRefusal> {
        let payments = Arc::clone(self);
        let asked = self.means.outbound.spawn(async move {
            let now = payments.means.clock.now();
            let lease = lease(payments.attempt("again"), now);
            let due = payments.means.store.take_over_one(&id, &lease, now).await.map_err(unavailable)?;
            match due {
                Some(due) => payments.ask(&due, &lease.owner).await,
                None => Err(PaymentRefusal::InProgress),
            }
        });
        asked.await.unwrap_or(Err(PaymentRefusal::OutcomeUnknown { timed_out: false }))
    }

    /// Asks for a settlement with the bytes of the first time.
    async fn ask(self: &Arc<Self>, due: &Due, owner: &Owner) -> Result<Receipt, PaymentRefusal> {
        let _renewal = self.renew(due.payment.id, owner.clone());
        let store::Payment { id, sale, payer, attempts, valid_until, .. } = &due.payment;
        let about = About {
            id: *id,
            owner,
            network: sale.network.as_str(),
            named: payer.clone(),
            route: &sale.route,
            attempts: usize::try_from(*attempts).unwrap_or(usize::MAX),
            valid_until: Some(*valid_until),
        };
        let Some(facilitator) = self.means.facilitators.find(&sale.facilitator) else {
            tracing::error!(payment = %id, facilitator = sale.facilitator, "a payment was given to a facilitator that is not configured any more");
            self.doubt(&about, None).await;
            return Err(PaymentRefusal::OutcomeUnknown { timed_out: false });
        };
        let (Ok(payload), Ok(requirement)) = (str::from_utf8(&due.payload), str::from_utf8(&due.requirement)) else {
            tracing::error!(payment = %id, "a payment was kept as something that is no text");
            self.doubt(&about, None).await;
            return Err(PaymentRefusal::OutcomeUnknown { timed_out: false });
        };
        self.ask_facilitator(&about, facilitator, &Question::of(payload, requirement)).await
    }

    async fn ask_facilitator(
        &self,
        about: &About<'_>,
        facilitator: &Facilitator,
        question: &Question,
    ) -> Result<Receipt, PaymentRefusal> {
        match facilitator.settle(question, None).await {
            Ok(Answer::Settled { payer, transaction, response }) => {
                self.record(about, payer.as_deref(), &transaction, &response).await
            }
            Ok(Answer::Refused(refusal, _)) => {
                // It proves nothing: the first question may have been heard.
                tracing::warn!(payment = %about.id, reason = refusal.reason, "an unknown payment was refused when asked for again");
                self.doubt(about, None).await;
                Err(PaymentRefusal::InProgress)
            }
            Ok(Answer::Pending(response)) => {
                self.doubt(about, Some(response.transaction())).await;
                Err(settlement_refused(&response))
            }
            Err(error) => {
                tracing::warn!(%error, payment = %about.id, "an unknown payment cannot be asked for again");
                self.doubt(about, None).await;
                Err(PaymentRefusal::OutcomeUnknown { timed_out: error.is_timeout() })
            }
        }
    }

    fn count(&self, route: &str, status: &'static str) {
        self.means.metrics.payment(route, status);
    }
}

/// What is written about a payment under way.
struct About<'w> {
    id: PaymentId,
    owner: &'w Owner,
    network: &'w str,
    /// Whom verify named.
    named: Option<AccountKey>,
    route: &'w str,
    /// How often the facilitator was asked, this time among them.
    attempts: usize,
    valid_until: Option<UnixTime>,
}

fn asked(
    work: &Work,
    requirement: &str,
    charge: Option<u128>,
    payer: Option<&AccountId>,
) -> Result<Asked, store::PaymentError> {
    let mut asked = Asked::new(work.payment.json().into(), requirement.into())?;
    if let Some(charge) = charge {
        asked = asked.charging(&charge.to_string())?;
    }
    if let Some(payer) = payer {
        asked = asked.paid_by(payer.key())?;
    }
    Ok(asked)
}
