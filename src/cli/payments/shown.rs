//! Payments as people read them. Programs read what the admin API writes.

use serde_json::Value;

use crate::{chain::account::spelled, cli::console::table, store::Payment};

/// A table with a line for each.
pub(super) fn as_table(all: &[Payment]) -> String {
    table(["CREATED", "STATUS", "AMOUNT", "NETWORK", "OPENS", "PAYER", "ID"], all.iter().map(row))
}

fn row(payment: &Payment) -> [String; 7] {
    [
        payment.created_at.to_string(),
        payment.status.as_str().to_owned(),
        payment.sale.amount.clone(),
        payment.sale.network.to_string(),
        payment.sale.scope.to_string(),
        payment.payer.as_ref().map_or_else(|| "-".to_owned(), spelled),
        payment.id.to_string(),
    ]
}

/// All that is known of one, a member a line.
pub(super) fn as_lines(payment: &Value) -> String {
    let members = payment.as_object().into_iter().flatten();
    let lines = members.map(|(name, value)| {
        let value = match value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        format!("{name:<15}  {value}")
    });
    lines.collect::<Vec<_>>().join("\n")
}
