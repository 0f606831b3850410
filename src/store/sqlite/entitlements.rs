//! Entitlements as rows: what is common to plans and access to routes, and how access is read. Plans are read in
//! `rows`.
//!
//! An entitlement is a row of `siwx_entitlements`. What contracts may use of it is told apart in
//! `siwx_entitlements_by_chain`, and only where it came from several chains.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{ACCESS_MAX, Sale, StoreError, Term, grant::is_writable, holding::Holding},
    file::failed,
};
use crate::{
    caip::{AccountKey, ChainId},
    policy::{
        access::{Access, Scope},
        holder::{Share, Span},
    },
    time::UnixTime,
};

/// The columns that [`read_holding`] reads, from the one of its number on, in a statement on `siwx_entitlements`: the
/// last is a line of words for each share, so that an entitlement is one row whatever it came from.
pub(super) const HOLDING: &str = "starts_at, expires_at, chain_id, (
    SELECT group_concat(
        by_chain.starts_at || ' ' || coalesce(by_chain.expires_at, '-') || ' ' || by_chain.chain_id, '\n')
    FROM siwx_entitlements_by_chain AS by_chain
    WHERE by_chain.namespace = siwx_entitlements.namespace AND by_chain.address = siwx_entitlements.address
      AND by_chain.scope = siwx_entitlements.scope)";

/// How long access is kept past its end. Nothing asks for it then; it is for operators who look.
const ENDED_KEPT_MILLIS: i64 = 30 * 86_400_000;

/// Ended rows that one purchase deletes: more than one, so that they go faster than they come.
const ENDED_DELETED: u32 = 4;

/// An account's access to routes, at most [`ACCESS_MAX`], and whether there is more.
pub(super) fn all_access(on: &Connection, account: &AccountKey) -> Result<(Vec<Access>, bool), StoreError> {
    // `;` is the character after `:`.
    let sql = format!(
        "SELECT scope, {HOLDING} FROM siwx_entitlements
         WHERE namespace = ?1 AND address = ?2 AND scope >= 'route:' AND scope < 'route;'
         ORDER BY scope LIMIT ?3"
    );
    let doing = "cannot read access";
    let mut statement = on.prepare(&sql).map_err(|error| failed(doing, error))?;
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
    let held = one(on, account, &sale.scope, |row| read_holding(row, 1, account))?;
    let holding = Holding::after(held, &term, Some(&sale.network), now);
    write(on, account, &sale.scope.to_string(), &holding, Some(payment_id))?;
    delete_ended(on, now)?;
    Ok(holding.span)
}

/// Writes what is held under a scope from now on.
pub(super) fn write(
    on: &Connection,
    account: &AccountKey,
    scope: &str,
    holding: &Holding,
    payment_id: Option<&str>,
) -> Result<(), StoreError> {
    let doing = "cannot write an entitlement";
    let Holding { span, chain, shares } = holding;
    let (namespace, address) = (account.namespace(), account.address());
    on.execute(
        "INSERT INTO siwx_entitlements (namespace, address, scope, starts_at, expires_at, chain_id, payment_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (namespace, address, scope) DO UPDATE SET starts_at = excluded.starts_at,
            expires_at = excluded.expires_at, chain_id = excluded.chain_id,
            payment_id = coalesce(excluded.payment_id, payment_id)",
        params![
            namespace,
            address,
            scope,
            span.starts_at.millis(),
            span.expires_at.map(UnixTime::millis),
            chain.as_ref().map(ChainId::as_str),
            payment_id,
        ],
    )
    .map_err(|error| failed(doing, error))?;
    on.execute(
        "DELETE FROM siwx_entitlements_by_chain WHERE namespace = ?1 AND address = ?2 AND scope = ?3",
        params![namespace, address, scope],
    )
    .map_err(|error| failed(doing, error))?;
    for Share { chain, span } in shares {
        on.execute(
            "INSERT INTO siwx_entitlements_by_chain (namespace, address, scope, chain_id, starts_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                namespace,
                address,
                scope,
                chain.as_ref().map_or("", ChainId::as_str),
                span.starts_at.millis(),
                span.expires_at.map(UnixTime::millis),
            ],
        )
        .map_err(|error| failed(doing, error))?;
    }
    Ok(())
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
    let sql =
        format!("SELECT scope, {HOLDING} FROM siwx_entitlements WHERE namespace = ?1 AND address = ?2 AND scope = ?3");
    let values = params![account.namespace(), account.address(), scope.to_string()];
    let found = on.query_row(&sql, values, |row| Ok(read(row))).optional();
    found.map_err(|error| failed("cannot read an entitlement", error))?.transpose()
}

fn read_access(row: &Row<'_>, account: &AccountKey) -> Result<Access, StoreError> {
    let wrong = |error| failed("a row of siwx_entitlements", error);
    let Holding { span: Span { starts_at, expires_at }, chain, shares } = read_holding(row, 1, account)?;
    let (route, path) = match Scope::parse(&row.get::<_, String>(0).map_err(wrong)?) {
        Ok(Scope::Route(route)) => (route, None),
        Ok(Scope::RoutePath { route, path }) => (route, Some(path)),
        Ok(Scope::Plan(_)) => return Err(nonsense("no route", account)),
        Err(error) => return Err(nonsense(&error.to_string(), account)),
    };
    Ok(Access { route, path, starts_at, expires_at, chain, shares })
}

/// Reads the columns of [`HOLDING`], the first of which is at `place`.
pub(super) fn read_holding(row: &Row<'_>, place: usize, account: &AccountKey) -> Result<Holding, StoreError> {
    let wrong = |error| failed("a row of siwx_entitlements", error);
    let starts_at = row.get(place).map_err(wrong)?;
    let span = span(starts_at, row.get(place + 1).map_err(wrong)?, account)?;
    let chain = row.get::<_, Option<String>>(place + 2).map_err(wrong)?;
    let chain = chain.map(|text| ChainId::parse(&text)).transpose();
    let chain = chain.map_err(|error| nonsense(&error.to_string(), account))?;
    let shares = row.get::<_, Option<String>>(place + 3).map_err(wrong)?.unwrap_or_default();
    let shares = shares.lines().map(|line| share(line, account)).collect::<Result<Vec<Share>, _>>()?;
    Ok(Holding { span, chain, shares })
}

/// Reads `<start> <end or -> <chain or nothing>`.
fn share(line: &str, account: &AccountKey) -> Result<Share, StoreError> {
    let strange = || nonsense("a share that is none", account);
    let mut words = line.splitn(3, ' ');
    let (Some(start), Some(end), Some(chain)) = (words.next(), words.next(), words.next()) else {
        return Err(strange());
    };
    let number = |text: &str| text.parse::<i64>().map_err(|_| strange());
    let end = if end == "-" { None } else { Some(number(end)?) };
    let chain = if chain.is_empty() { None } else { Some(ChainId::parse(chain).map_err(|_| strange())?) };
    Ok(Share { chain, span: span(number(start)?, end, account)? })
}

fn span(starts_at: i64, expires_at: Option<i64>, account: &AccountKey) -> Result<Span, StoreError> {
    let starts_at = UnixTime::from_millis(starts_at);
    let expires_at = expires_at.map(UnixTime::from_millis);
    if !is_writable(starts_at) || expires_at.is_some_and(|end| !is_writable(end)) {
        return Err(nonsense("a time outside the years 0000 to 9999", account));
    }
    Ok(Span { starts_at, expires_at })
}

fn nonsense(what: &str, account: &AccountKey) -> StoreError {
    StoreError::Corrupt(format!("{what} in a row of siwx_entitlements for {account}"))
}
