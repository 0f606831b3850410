//! The shop's doors on HTTP: `pricing`, `purchase`, `status` under the configured path (x402.md section 12).

use http::Method;
use serde_json::{Value, json};

use super::respond::Answer;
use crate::{
    caip::AccountKey,
    chain::account,
    gate::{
        Gate,
        payment::{Door, Status, response_header},
        view::RequestView,
    },
    policy::decision::Refusal,
    store::Receipt,
    time::UnixTime,
    x402::PAYMENT_SIGNATURE,
};

/// Names of chain families as sellers write them, and the namespaces that they are.
const FAMILIES: [(&str, &str); 2] = [("evm", "eip155"), ("solana", "solana")];

/// Answers a request to the shop.
pub(super) async fn answer(
    gate: &Gate,
    door: Door,
    view: &RequestView<'_>,
    query: Option<&str>,
    now: UnixTime,
) -> Answer {
    let reads = matches!(*view.method, Method::GET | Method::HEAD);
    let query = query.unwrap_or("");
    match door {
        Door::Nowhere => Answer::NoRoute,
        Door::Pricing if reads => shown(pricing(gate)),
        Door::Purchase if reads || *view.method == Method::POST => purchase(gate, view, query, now).await,
        Door::Status if reads => status(gate, view, query, now).await,
        Door::Pricing | Door::Purchase | Door::Status => Answer::MethodNotAllowed,
    }
}

fn pricing(gate: &Gate) -> Value {
    let plans = gate.pricing().into_iter().map(|(name, seconds, prices)| {
        let prices = prices
            .into_iter()
            .map(|price| json!({ "network": price.network, "asset": price.asset, "amount": price.amount }))
            .collect::<Vec<_>>();
        json!({ "name": name, "seconds": seconds, "prices": prices })
    });
    json!({ "plans": plans.collect::<Vec<_>>() })
}

async fn purchase(gate: &Gate, view: &RequestView<'_>, query: &str, now: UnixTime) -> Answer {
    let plan = parameter(query, "plan").unwrap_or("");
    if view.headers.contains_key(PAYMENT_SIGNATURE)
        && let Some(wait) = gate.exhausted(view.client, view.started)
    {
        return Answer::Refused(Refusal::TooManyRefusals { retry_after_secs: wait.as_secs() + 1 });
    }
    match gate.purchase(view, plan, now).await {
        None => Answer::UnknownPlan,
        Some(Err(refusal)) => Answer::Unpaid(Box::new(refusal)),
        Some(Ok(receipt)) => {
            let body = bought(plan, &receipt).to_string();
            Answer::Shop { body, receipt: response_header(&receipt) }
        }
    }
}

/// The receipt in the shape that public sellers use.
fn bought(plan: &str, receipt: &Receipt) -> Value {
    let namespace = receipt.payer.namespace();
    let family = FAMILIES.iter().find(|(_, known)| *known == namespace).map_or(namespace, |(family, _)| family);
    json!({
        "status": "ok",
        "plan": plan,
        "chain": family,
        "address": spelled(&receipt.payer),
        "expiresAt": receipt.expires_at.map(|end| end.to_string()),
        "txHash": receipt.transaction,
    })
}

async fn status(gate: &Gate, view: &RequestView<'_>, query: &str, now: UnixTime) -> Answer {
    let asked = parameter(query, "address").filter(|address| !address.is_empty()).map(|address| {
        let chain = parameter(query, "chain").unwrap_or("evm");
        let namespace = FAMILIES.iter().find(|(family, _)| *family == chain).map_or(chain, |(_, namespace)| namespace);
        AccountKey::new(namespace, address)
    });
    match gate.plan_status(view, asked, now).await {
        Ok(Status { plan, expires_at, active }) => {
            shown(json!({ "plan": plan, "expiresAt": expires_at.map(|end| end.to_string()), "active": active }))
        }
        Err(refusal) => {
            if refusal.counts_against_address() {
                gate.count_refusal(view.client, view.started);
            }
            Answer::Refused(refusal)
        }
    }
}

fn shown(body: Value) -> Answer {
    Answer::Shop { body: body.to_string(), receipt: None }
}

/// An address as people write it: EIP-55 where stores keep lower case.
fn spelled(key: &AccountKey) -> String {
    let whole = account::spelled(key);
    whole.split_once(':').map_or_else(|| whole.clone(), |(_, address)| address.to_owned())
}

/// A parameter of a query. Names of plans and addresses need no escapes, so none are read.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
