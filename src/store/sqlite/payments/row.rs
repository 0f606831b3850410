//! How rows become payments. A row that makes no sense is an error and never "there is no such payment", which would
//! have it made a second time.

use std::time::Duration;

use rusqlite::{Row, types::FromSql};

use super::super::{
    super::{Due, Lease, Owner, Payment, PaymentId, PaymentStatus, Sale, StoreError, grant::shown},
    file::failed,
};
use crate::{
    caip::{AccountKey, ChainId},
    policy::access::Scope,
    time::UnixTime,
};

/// What [`payment`] reads.
pub(super) const COLUMNS: &str = "payment_id, network, scheme, asset, amount, payer, \"transaction\", facilitator, \
    route, scope, length_millis, status, owner, lease_until, response, created_at, settled_at, valid_until, \
    expires_at, attempts, next_attempt_at";

pub(super) fn payment(row: &Row<'_>) -> Result<Payment, StoreError> {
    let text: String = column(row, "payment_id")?;
    let id: PaymentId = text.parse().map_err(|_| nonsense(&text, "no id"))?;
    let network: String = column(row, "network")?;
    let network = ChainId::parse(&network).map_err(|error| nonsense(&text, &error.to_string()))?;
    let payer: Option<String> = column(row, "payer")?;
    let payer = payer.map(|address| AccountKey::new(network.namespace(), &address));
    let scope: String = column(row, "scope")?;
    let scope = Scope::parse(&scope).map_err(|error| nonsense(&text, &error.to_string()))?;
    let length: Option<i64> = column(row, "length_millis")?;
    let length = length.map(u64::try_from).transpose().map_err(|_| nonsense(&text, "a length below zero"))?;
    let status: String = column(row, "status")?;
    let status = PaymentStatus::parse(&status).ok_or_else(|| nonsense(&text, "no status"))?;
    Ok(Payment {
        id,
        sale: Sale {
            network,
            scheme: column(row, "scheme")?,
            asset: column(row, "asset")?,
            amount: column(row, "amount")?,
            facilitator: column(row, "facilitator")?,
            route: column(row, "route")?,
            scope,
            length: length.map(Duration::from_millis),
        },
        status,
        payer,
        transaction: column(row, "transaction")?,
        response: column(row, "response")?,
        lease: lease(row, &text)?,
        created_at: UnixTime::from_millis(column(row, "created_at")?),
        settled_at: time(row, "settled_at")?,
        valid_until: UnixTime::from_millis(column(row, "valid_until")?),
        expires_at: time(row, "expires_at")?,
        attempts: column(row, "attempts")?,
        next_attempt_at: time(row, "next_attempt_at")?,
    })
}

/// The same with `payload` and `requirement`.
pub(super) fn due(row: &Row<'_>) -> Result<Due, StoreError> {
    Ok(Due { payment: payment(row)?, payload: column(row, "payload")?, requirement: column(row, "requirement")? })
}

fn lease(row: &Row<'_>, id: &str) -> Result<Option<Lease>, StoreError> {
    let owner: Option<String> = column(row, "owner")?;
    match (owner, time(row, "lease_until")?) {
        (None, None) => Ok(None),
        (Some(owner), Some(until)) => {
            let owner = Owner::new(&owner).map_err(|error| nonsense(id, &error.to_string()))?;
            Ok(Some(Lease { owner, until }))
        }
        _ => Err(nonsense(id, "half a lease")),
    }
}

fn time(row: &Row<'_>, name: &str) -> Result<Option<UnixTime>, StoreError> {
    Ok(column::<Option<i64>>(row, name)?.map(UnixTime::from_millis))
}

fn column<T: FromSql>(row: &Row<'_>, name: &str) -> Result<T, StoreError> {
    row.get(name).map_err(|error| failed("a row of siwx_payments", error))
}

fn nonsense(id: &str, what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} in a row of siwx_payments for `{}`", shown(id)))
}
