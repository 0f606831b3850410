//! Access to routes: the rows of `siwx_entitlements` whose scope is no plan's, and what a payment writes into that
//! table.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{ACCESS_MAX, Sale, Span, StoreError, Term, grant::is_writable},
    file::failed,
};
use crate::{
    caip::{AccountKey, ChainId},
    policy::access::{Access, Scope},
    time::UnixTime,
};

/// How long access is kept past its end. Nothing asks for it then; it is for operators who look.
const ENDED_KEPT_MILLIS: i64 = 30 * 86_400_000;

/// Ended rows that one purchase deletes: more than one, so that they go faster than they come.
const ENDED_DELETED: u32 = 4;

/// An account's access to routes, at most [`ACCESS_MAX`], and whether there is more.
pub(super) fn all_access(on: &Connection, account: &AccountKey) -> Result<(Vec<Access>, bool), StoreError> {
    // `;` is the character after `:`.
    let sql = "SELECT scope, starts_at, expires_at, chain_id FROM siwx_entitlements
               WHERE namespace = ?1 AND address = ?2 AND scope >= 'route:' AND scope < 'route;'
               ORDER BY scope LIMIT ?3";
    let doing = "cannot read access";
    let mut statement = on.prepare(sql).map_err(|error| failed(doing, error))?;
    let limit = i64::try_from(ACCESS_MAX + 1).unwrap_or(i64::MAX);
    let asked = statement.query(params![account.namespace(), account.address(), limit]);
    let mut rows = asked.map_err(|error| failed(doing, error))?;
    let mut held = Vec::new();
    while let Some(row) = rows.next().map_err(|error| failed(doing, error))? {
        held.push(read_access(row, account)?);
    }
    let more = held.len() > ACCESS_MAX;
    held.truncate(ACCESS_MAX);
    Ok((held, more))
}

/// What an account holds under these scopes.
pub(super) fn access(on: &Connection, account: &AccountKey, scopes: &[Scope]) -> Result<Vec<Access>, StoreError> {
    let mut held = Vec::new();
    for scope in scopes {
        held.extend(one(on, account, scope, |row| read_access(row, account))?);
    }
    Ok(held)
}

/// Writes what a payment opens and returns from when until when it is held. The chain is the one paid on.
pub(super) fn open(
    on: &Connection,
    account: &AccountKey,
    sale: &Sale,
    payment_id: &str,
    now: UnixTime,
) -> Result<Span, StoreError> {
    let term = match sale.length {
        Some(length) => Term::Period { length, id: None },
        None => Term::UntilRevoked,
    };
    let held = one(on, account, &sale.scope, |row| read_span(row, account))?;
    let span = term.onto(held, now);
    on.execute(
        "INSERT INTO siwx_entitlements (namespace, address, scope, starts_at, expires_at, chain_id, payment_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (namespace, address, scope) DO UPDATE SET starts_at = excluded.starts_at,
            expires_at = excluded.expires_at, chain_id = excluded.chain_id, payment_id = excluded.payment_id",
        params![
            account.namespace(),
            account.address(),
            sale.scope.to_string(),
            span.starts_at.millis(),
            span.expires_at.map(UnixTime::millis),
            sale.network.as_str(),
            payment_id,
        ],
    )
    .map_err(|error| failed("cannot write an entitlement", error))?;
    delete_ended(on, now)?;
    Ok(span)
}

/// Access that ended long ago. Plans are left: whoever held one is told that it has ended.
fn delete_ended(on: &Connection, now: UnixTime) -> Result<(), StoreError> {
    let deleted = on.execute(
        "DELETE FROM siwx_entitlements WHERE (namespace, address, scope) IN (
            SELECT namespace, address, scope FROM siwx_entitlements
            WHERE scope >= 'route:' AND expires_at <= ?1 LIMIT ?2)",
        params![now.plus_millis(-ENDED_KEPT_MILLIS).millis(), ENDED_DELETED],
    );
    deleted.map(drop).map_err(|error| failed("cannot delete ended access", error))
}

/// What an account holds under one scope.
fn one<T>(
    on: &Connection,
    account: &AccountKey,
    scope: &Scope,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let sql = "SELECT scope, starts_at, expires_at, chain_id FROM siwx_entitlements
               WHERE namespace = ?1 AND address = ?2 AND scope = ?3";
    let values = params![account.namespace(), account.address(), scope.to_string()];
    let found = on.query_row(sql, values, |row| Ok(read(row))).optional();
    found.map_err(|error| failed("cannot read an entitlement", error))?.transpose()
}

fn read_access(row: &Row<'_>, account: &AccountKey) -> Result<Access, StoreError> {
    let Span { starts_at, expires_at } = read_span(row, account)?;
    let wrong = |error| failed("a row of siwx_entitlements", error);
    let (route, path) = match Scope::parse(&row.get::<_, String>(0).map_err(wrong)?) {
        Ok(Scope::Route(route)) => (route, None),
        Ok(Scope::RoutePath { route, path }) => (route, Some(path)),
        Ok(Scope::Plan(_)) => return Err(nonsense("no route", account)),
        Err(error) => return Err(nonsense(&error.to_string(), account)),
    };
    let chain = row.get::<_, Option<String>>(3).map_err(wrong)?;
    let chain = chain.map(|text| ChainId::parse(&text)).transpose();
    let chain = chain.map_err(|error| nonsense(&error.to_string(), account))?;
    Ok(Access { route, path, starts_at, expires_at, chain })
}

fn read_span(row: &Row<'_>, account: &AccountKey) -> Result<Span, StoreError> {
    let wrong = |error| failed("a row of siwx_entitlements", error);
    let starts_at = UnixTime::from_millis(row.get(1).map_err(wrong)?);
    let expires_at = row.get::<_, Option<i64>>(2).map_err(wrong)?.map(UnixTime::from_millis);
    if !is_writable(starts_at) || expires_at.is_some_and(|end| !is_writable(end)) {
        return Err(nonsense("a time outside the years 0000 to 9999", account));
    }
    Ok(Span { starts_at, expires_at })
}

fn nonsense(what: &str, account: &AccountKey) -> StoreError {
    StoreError::Corrupt(format!("{what} in a row of siwx_entitlements for {account}"))
}
