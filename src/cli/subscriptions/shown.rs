//! Subscriptions as people and programs read them.

use serde_json::{Value, json};

use crate::{
    chain::account::spelled, cli::console::table, policy::subscription::Subscription, store::Held, time::UnixTime,
};

/// A table with a line for each.
pub(super) fn as_table(all: &[Held], now: UnixTime) -> String {
    table(["ACCOUNT", "PLAN", "STATE", "STARTS", "ENDS", "CHAIN"], all.iter().map(|held| row(held, now)))
}

fn row(held: &Held, now: UnixTime) -> [String; 6] {
    let subscription = &held.subscription;
    [
        spelled(&held.account),
        subscription.plan.clone(),
        state(subscription, now).to_owned(),
        subscription.starts_at.to_string(),
        subscription.expires_at.map_or_else(|| "when revoked".to_owned(), |end| end.to_string()),
        subscription.chain.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string),
    ]
}

fn state(subscription: &Subscription, now: UnixTime) -> &'static str {
    if subscription.is_active(now) {
        "active"
    } else if subscription.has_ended(now) {
        "ended"
    } else {
        "not begun"
    }
}

/// The members that the admin API has too.
pub(super) fn as_json(held: &Held, now: UnixTime) -> Value {
    let subscription = &held.subscription;
    json!({
        "account": spelled(&held.account),
        "plan": subscription.plan,
        "starts_at": subscription.starts_at.to_string(),
        "expires_at": subscription.expires_at.map(|end| end.to_string()),
        "active": subscription.is_active(now),
        "chain": subscription.chain.as_ref().map(ToString::to_string),
    })
}
