//! Subscriptions and nonces: the statements, and how rows become subscriptions.
//!
//! A plan's scope is `plan:` and its name. Other scopes share the table (`route:…`, x402.md section 7), are not
//! subscriptions and are read in `entitlements`.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};

use super::{
    super::{
        Claim, Cursor, END_OF_TIME, Filter, Grant, Held, Page, StoreError,
        grant::{is_account, is_plan, shown},
        holding::Holding,
    },
    entitlements::{HOLDING, all_access, read_holding, write},
    file::failed,
};
use crate::{
    caip::AccountKey,
    policy::subscription::{Subscription, Subscriptions},
    time::UnixTime,
};

/// Plans that one account may hold. No honest one comes near; more is nonsense in the table.
const PLANS_MAX: usize = 1000;

/// How long a nonce is kept past its end: processes that share a file may differ by this much in time, and a clock may
/// be set back by as much, before a used nonce would seem fresh.
const NONCE_GRACE_MILLIS: i64 = 3_600_000;

/// Old nonces that one claim deletes. More than one, so that they go faster than they come; few, so that no claim
/// waits for a great clean-up.
const NONCES_DELETED: u32 = 4;

/// Whether the tables are there and can be read.
pub(super) fn check(on: &Connection) -> Result<(), StoreError> {
    let found = on.query_row("SELECT 1 FROM siwx_entitlements LIMIT 1", [], |_| Ok(())).optional();
    found.map(drop).map_err(|error| failed("cannot read subscriptions", error))
}

pub(super) fn find(on: &Connection, account: &AccountKey) -> Result<Subscriptions, StoreError> {
    let filter = Filter { account: Some(account.clone()), plan: None };
    let held = select(on, &filter, None, PLANS_MAX + 1)?;
    if held.len() > PLANS_MAX {
        return Err(StoreError::Corrupt(format!("expected at most {PLANS_MAX} plans of {account}, found more")));
    }
    let plans: Subscriptions = held.into_iter().map(|held| held.subscription).collect();
    let (access, more) = all_access(on, account)?;
    Ok(plans.with_access(access, more))
}

pub(super) fn list(on: &Connection, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
    Ok(Page::of(select(on, filter, after, limit + 1)?, limit))
}

pub(super) fn grant(on: &Connection, grant: &Grant, now: UnixTime) -> Result<Subscription, StoreError> {
    let filter = Filter { account: Some(grant.account().clone()), plan: Some(grant.plan().into()) };
    let held = select(on, &filter, None, 1)?.pop().map(|held| held.subscription);
    let granted = grant.onto(held.clone(), now);
    if let Some(id) = grant.id() {
        // A second attempt comes soon or never, so the id is kept as long as what it gave.
        let until = granted.expires_at.unwrap_or(END_OF_TIME);
        let key = format!("grant:{}:{}:{id}", grant.account(), grant.plan());
        if claim(on, &key, until, now)? == Claim::Used {
            let gone =
                || StoreError::Conflict(format!("`{id}` was granted before, and the subscription is gone since"));
            return held.ok_or_else(gone);
        }
    }
    let holding = Holding::of_plan(granted.clone());
    write(on, grant.account(), &scope(grant.plan()), &holding, grant.id())?;
    Ok(granted)
}

pub(super) fn revoke(on: &Connection, account: &AccountKey, plan: &str) -> Result<bool, StoreError> {
    let deleted = on.execute(
        "DELETE FROM siwx_entitlements WHERE namespace = ?1 AND address = ?2 AND scope = ?3",
        params![account.namespace(), account.address(), scope(plan)],
    );
    Ok(deleted.map_err(|error| failed("cannot delete a subscription", error))? > 0)
}

pub(super) fn claim(on: &Connection, key: &str, until: UnixTime, now: UnixTime) -> Result<Claim, StoreError> {
    if until <= now {
        return Ok(Claim::Used);
    }
    let doing = "cannot claim a nonce";
    let inserted = on.execute(
        "INSERT INTO siwx_nonces (key, until) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
        params![key, until.millis()],
    );
    if inserted.map_err(|error| failed(doing, error))? == 0 {
        return Ok(Claim::Used);
    }
    on.execute(
        "DELETE FROM siwx_nonces WHERE key IN (SELECT key FROM siwx_nonces WHERE until <= ?1 LIMIT ?2)",
        params![now.plus_millis(-NONCE_GRACE_MILLIS).millis(), NONCES_DELETED],
    )
    .map_err(|error| failed("cannot delete old nonces", error))?;
    Ok(Claim::Fresh)
}

fn scope(plan: &str) -> String {
    format!("plan:{plan}")
}

/// Subscriptions in the order of the primary key. Conditions are put together here rather than switched off by
/// parameters, so that SQLite walks the key from the right place.
fn select(on: &Connection, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Vec<Held>, StoreError> {
    let mut sql = format!("SELECT namespace, address, scope, {HOLDING} FROM siwx_entitlements WHERE ");
    let mut values: Vec<String> = Vec::new();
    if let Some(account) = &filter.account {
        sql.push_str("namespace = ? AND address = ? AND ");
        values.extend([account.namespace().to_owned(), account.address().to_owned()]);
    }
    if let Some(Cursor { account, plan }) = after {
        sql.push_str("(namespace, address, scope) > (?, ?, ?) AND ");
        values.extend([account.namespace().to_owned(), account.address().to_owned(), scope(plan)]);
    }
    match &filter.plan {
        Some(plan) => {
            sql.push_str("scope = ?");
            values.push(scope(plan));
        }
        // `;` is the character after `:`.
        None => sql.push_str("scope >= 'plan:' AND scope < 'plan;'"),
    }
    sql.push_str(" ORDER BY namespace, address, scope LIMIT ");
    sql.push_str(&limit.to_string());

    let doing = "cannot read subscriptions";
    let mut statement = on.prepare(&sql).map_err(|error| failed(doing, error))?;
    let values = values.iter().map(|value| value as &dyn ToSql);
    let mut rows = statement.query(params_from_iter(values)).map_err(|error| failed(doing, error))?;
    let mut held = Vec::new();
    while let Some(row) = rows.next().map_err(|error| failed(doing, error))? {
        held.push(read(row)?);
    }
    Ok(held)
}

/// One row, or what is wrong with it.
fn read(row: &Row<'_>) -> Result<Held, StoreError> {
    let wrong = |error| failed("a row of siwx_entitlements", error);
    let (namespace, address) = (row.get::<_, String>(0).map_err(wrong)?, row.get::<_, String>(1).map_err(wrong)?);
    let account = AccountKey::new(&namespace, &address);
    if !is_account(&account) || account.address() != address {
        let found = shown(&format!("{namespace}:{address}"));
        return Err(StoreError::Corrupt(format!("expected an account's key in siwx_entitlements, found `{found}`")));
    }
    let nonsense = |what: &str| StoreError::Corrupt(format!("{what} in a row of siwx_entitlements for {account}"));

    let scope: String = row.get(2).map_err(wrong)?;
    let plan = scope.strip_prefix("plan:").filter(|plan| is_plan(plan)).ok_or_else(|| nonsense("no plan's name"))?;
    let subscription = read_holding(row, 3, &account)?.into_plan(plan);
    Ok(Held { account, subscription })
}
