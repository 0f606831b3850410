//! Subscriptions as people and programs read them.

use serde_json::{Value, json};

use crate::{chain::account::spelled, policy::subscription::Subscription, store::Held, time::UnixTime};

/// A table with a line for each.
pub(super) fn as_table(all: &[Held], now: UnixTime) -> String {
    let head = ["ACCOUNT", "PLAN", "STATE", "STARTS", "ENDS", "CHAIN"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(all.iter().map(|held| row(held, now))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let lines = rows.iter().map(|row| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
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
