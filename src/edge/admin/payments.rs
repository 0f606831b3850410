//! `/admin/payments`: which payments there are, and an operator's word on those whose outcome nobody knows.
//!
//! 1. A payment that somebody works on is not resolved (409): whoever asks the facilitator may learn the truth.
//! 2. What is settled stays settled. A word that agrees with it changes nothing and is answered with what there is,
//!    one that does not is a conflict (409).
//! 3. What a resolve opens counts for this process at once, and is one `audit` event in the log, also when whoever asked
//!    for it hung up meanwhile.

use std::net::IpAddr;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Admin, Changing, PAGE,
    answers::{Answered, Problem, account_key, bad_request, body, decoded, json_answer, nothing_here, pairs},
};
use crate::{
    chain::account::{Named, spelled},
    store::{
        Payment, PaymentCursor, PaymentFilter, PaymentId, PaymentStatus, Receipt, Resolution, Resolved, Settlement,
        Word, WordError,
    },
    time::UnixTime,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolveBody {
    status: Outcome,
    payer: Option<String>,
    transaction: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Released,
    Settled,
}

impl Admin {
    pub(super) async fn list_payments(&self, query: &str) -> Answered {
        let mut filter = PaymentFilter::default();
        let mut after: Option<PaymentCursor> = None;
        for (name, value) in pairs(query)? {
            match name.as_str() {
                "account" => filter.account = Some(account_key(&value)?),
                "status" => filter.status = Some(status(&value)?),
                "after" => {
                    let cursor = value.parse();
                    after =
                        Some(cursor.map_err(|_| bad_request("expected `after` as a page before gave it in `next`"))?);
                }
                _ => return Err(bad_request("expected `status`, `account` and `after` alone in the query")),
            }
        }
        let page = self.store.payments().list(&filter, after.as_ref(), PAGE).await?;
        let payments: Vec<Value> = page.payments.iter().map(as_json).collect();
        let next = page.next.map(|cursor| cursor.to_string());
        Ok(json_answer(StatusCode::OK, &json!({ "payments": payments, "next": next })))
    }

    pub(super) async fn payment(&self, id: &str) -> Answered {
        let payment = self.find_payment(&payment_id(id)?).await?;
        Ok(json_answer(StatusCode::OK, &as_json(&payment)))
    }

    pub(super) async fn resolve(&self, id: &str, request: Request<Incoming>, peer: IpAddr) -> Answered {
        let (id, word) = (payment_id(id)?, word(body(request).await?)?);
        let before = self.find_payment(&id).await?;
        let how = word.resolution(&before)?;
        let live = self.live();
        let changing = match &how {
            Resolution::Released => None,
            Resolution::Settled(settlement) => Some(Changing { gate: &live.gate, account: settlement.payer() }),
        };
        let mut audit = Audit { before: &before, how: &how, peer, heard: None };
        let resolved = self.store.payments().resolve(&id, &how, live.clock.now()).await?;
        drop(changing);
        let is_news = match &resolved {
            Resolved::Released => true,
            Resolved::Settled(receipt) => before.status != PaymentStatus::Settled && word.agrees(receipt),
            Resolved::Absent | Resolved::Held { .. } => false,
        };
        audit.heard = Some(is_news);
        drop(audit);
        match resolved {
            Resolved::Absent => Err(no_payment()),
            Resolved::Held { lease_until } => Err(held(lease_until)),
            Resolved::Released => {
                Ok(json_answer(StatusCode::OK, &json!({ "id": id.to_string(), "status": "released" })))
            }
            Resolved::Settled(receipt) if !word.agrees(&receipt) => Err(settled_otherwise(&receipt)),
            Resolved::Settled(receipt) => {
                if is_news {
                    self.count(&before, &receipt);
                }
                Ok(json_answer(StatusCode::OK, &as_json(&self.find_payment(&id).await?)))
            }
        }
    }

    fn count(&self, before: &Payment, receipt: &Receipt) {
        let live = self.live();
        live.metrics.payment(&before.sale.route, "settled");
        if let Some(plan) = receipt.scope.as_plan() {
            live.metrics.purchase(plan);
        }
    }

    async fn find_payment(&self, id: &PaymentId) -> Result<Payment, Problem> {
        self.store.payments().payment(id).await?.ok_or_else(no_payment)
    }
}

/// What the log is to say of a word. It is said when this is dropped: the store may have done what it was told although
/// it failed to answer, or nobody waited for the answer.
struct Audit<'r> {
    before: &'r Payment,
    how: &'r Resolution,
    peer: IpAddr,
    /// Whether something was changed; nothing: the store was asked, and its answer was not heard.
    heard: Option<bool>,
}

impl Drop for Audit<'_> {
    fn drop(&mut self) {
        let Self { before: Payment { id, sale, .. }, how, peer, heard } = self;
        let settlement = match how {
            Resolution::Released => None,
            Resolution::Settled(settlement) => Some(settlement),
        };
        let status = if settlement.is_some() { "settled" } else { "released" };
        let payer = settlement.map(|settlement| settlement.payer().to_string());
        let transaction = settlement.map(Settlement::transaction);
        let sentence = match heard {
            Some(false) => return,
            Some(true) => "a payment was resolved by an operator",
            None => "an operator resolved a payment, and whether it was done was not heard",
        };
        tracing::info!(
            event = "audit", action = "payment_resolve", payment = %id, status, route = sale.route,
            scope = %sale.scope, payer, transaction, peer = %peer, "{sentence}"
        );
    }
}

impl From<WordError> for Problem {
    fn from(error: WordError) -> Self {
        let member = match &error {
            WordError::Chain { .. } | WordError::Payer => "`payer`: ",
            WordError::Transaction => "`transaction`: ",
            WordError::Kept(_) => "",
        };
        bad_request(&format!("{member}{error}"))
    }
}

/// A payment as operators read it, here and on the command line. Its `PAYMENT-RESPONSE` is a client's, and left out.
pub(crate) fn as_json(payment: &Payment) -> Value {
    let sale = &payment.sale;
    let time = |time: Option<UnixTime>| time.map(|time| time.to_string());
    json!({
        "id": payment.id.to_string(),
        "status": payment.status.as_str(),
        "network": sale.network.as_str(),
        "scheme": sale.scheme,
        "asset": sale.asset,
        "amount": sale.amount,
        "facilitator": sale.facilitator,
        "route": sale.route,
        "scope": sale.scope.to_string(),
        "period_seconds": sale.length.map(|length| length.as_secs()),
        "payer": payment.payer.as_ref().map(spelled),
        "transaction": payment.transaction,
        "created_at": payment.created_at.to_string(),
        "valid_until": payment.valid_until.to_string(),
        "settled_at": time(payment.settled_at),
        "expires_at": time(payment.expires_at),
        "attempts": payment.attempts,
        "next_attempt_at": time(payment.next_attempt_at),
        "lease_until": time(payment.lease.as_ref().map(|lease| lease.until)),
    })
}

fn payment_id(text: &str) -> Result<PaymentId, Problem> {
    decoded(text)?.parse().map_err(|error: crate::store::PaymentError| bad_request(&error.to_string()))
}

fn status(text: &str) -> Result<PaymentStatus, Problem> {
    PaymentStatus::parse(text)
        .ok_or_else(|| bad_request("expected `status` as one of `reserved`, `settling`, `settled` and `unknown`"))
}

fn word(body: ResolveBody) -> Result<Word, Problem> {
    let ResolveBody { status, payer, transaction } = body;
    match status {
        Outcome::Released if payer.is_some() || transaction.is_some() => {
            Err(bad_request("expected `payer` and `transaction` with `settled` alone"))
        }
        Outcome::Released => Ok(Word::Released),
        Outcome::Settled => {
            let payer = payer.map(|payer| Named::parse(&payer).map_err(|error| bad_request(&error.to_string())));
            Ok(Word::Settled { payer: payer.transpose()?, transaction })
        }
    }
}

fn no_payment() -> Problem {
    nothing_here("there is no such payment; one that was released leaves nothing behind")
}

fn held(lease_until: UnixTime) -> Problem {
    let detail = format!("somebody works on this payment until {lease_until}; try again then");
    Problem::new(StatusCode::CONFLICT, "payment_in_progress", &detail)
}

fn settled_otherwise(receipt: &Receipt) -> Problem {
    let (payer, transaction) = (spelled(&receipt.payer), &receipt.transaction);
    let detail = format!("this payment is settled already, paid by `{payer}` in transaction `{transaction}`");
    Problem::new(StatusCode::CONFLICT, "payment_already_used", &detail)
}
