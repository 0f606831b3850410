//! Quotas and kept secrets: the statements, and the doors to them.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    super::{BoxFuture, KeptSecret, SecretStore, StoreError, USAGE_MAX, UsageDelta, UsageStore},
    Sqlite,
    file::{count, failed},
};
use crate::{caip::AccountKey, secret::Secret, time::UnixTime};

/// How long a window's count is kept past its end: processes that share a file may differ in time, and what was
/// counted just before the end arrives after it.
const WINDOW_KEPT_MILLIS: i64 = 86_400_000;

/// Old windows that each addition makes room for. More than one, so that they go faster than they come.
const WINDOWS_DELETED: usize = 4;

impl UsageStore for Sqlite {
    fn add_usage<'a>(&'a self, deltas: &'a [UsageDelta], now: UnixTime) -> BoxFuture<'a, Vec<u64>> {
        Box::pin(async move {
            if deltas.len() > USAGE_MAX {
                let found = deltas.len();
                return Err(StoreError::Conflict(format!(
                    "expected at most {USAGE_MAX} counts at once, found {found}"
                )));
            }
            let deltas = deltas.to_vec();
            let patience = self.patience(deltas.len());
            self.writer.ask(patience, move |on| add(on, &deltas, now)).await
        })
    }

    fn usage<'a>(&'a self, account: &'a AccountKey, plan: &'a str, window_start: UnixTime) -> BoxFuture<'a, u64> {
        let (account, plan) = (account.clone(), plan.to_owned());
        Box::pin(self.read(move |on| usage(on, &account, &plan, window_start)))
    }

    fn purchases<'a>(
        &'a self,
        account: &'a AccountKey,
        plan: &'a str,
        from: UnixTime,
        to: UnixTime,
    ) -> BoxFuture<'a, u64> {
        let (account, plan) = (account.clone(), plan.to_owned());
        Box::pin(self.read(move |on| purchases(on, &account, &plan, from, to)))
    }
}

impl SecretStore for Sqlite {
    fn secret<'a>(&'a self, name: &'a str, fresh: Secret<[u8; 32]>) -> BoxFuture<'a, Secret<[u8; 32]>> {
        let name = name.to_owned();
        Box::pin(self.write(move |on| secret(on, &name, &fresh)))
    }

    fn succession<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<KeptSecret>> {
        let name = name.to_owned();
        Box::pin(self.read(move |on| succession(on, &name)))
    }

    fn succeed<'a>(
        &'a self,
        name: &'a str,
        fresh: Secret<[u8; 32]>,
        after: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, bool> {
        let name = name.to_owned();
        Box::pin(self.write(move |on| succeed(on, &name, &fresh, after, now)))
    }
}

fn add(on: &Connection, deltas: &[UsageDelta], now: UnixTime) -> Result<Vec<u64>, StoreError> {
    let doing = "cannot count what was used";
    let sql = "INSERT INTO siwx_quotas (namespace, address, plan, window_start, window_end, requests)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (namespace, address, plan, window_start) DO UPDATE SET
                  requests = requests + excluded.requests, window_end = excluded.window_end
               RETURNING requests";
    let mut statement = on.prepare(sql).map_err(|error| failed(doing, error))?;
    let mut totals = Vec::with_capacity(deltas.len());
    for delta in deltas {
        let values = params![
            delta.account.namespace(),
            delta.account.address(),
            delta.plan,
            delta.window_start.millis(),
            delta.window_end.millis(),
            delta.requests,
        ];
        let total = statement.query_row(values, |row| count(row, 0));
        totals.push(total.map_err(|error| failed(doing, error))?);
    }
    let most = i64::try_from(deltas.len().saturating_mul(WINDOWS_DELETED)).unwrap_or(i64::MAX);
    on.execute(
        "DELETE FROM siwx_quotas WHERE (namespace, address, plan, window_start) IN (
            SELECT namespace, address, plan, window_start FROM siwx_quotas WHERE window_end <= ?1 LIMIT ?2)",
        params![now.plus_millis(-WINDOW_KEPT_MILLIS).millis(), most],
    )
    .map_err(|error| failed("cannot delete old counts", error))?;
    Ok(totals)
}

fn usage(on: &Connection, account: &AccountKey, plan: &str, window_start: UnixTime) -> Result<u64, StoreError> {
    let sql = "SELECT requests FROM siwx_quotas
               WHERE namespace = ?1 AND address = ?2 AND plan = ?3 AND window_start = ?4";
    let values = params![account.namespace(), account.address(), plan, window_start.millis()];
    let found = on.query_row(sql, values, |row| count(row, 0)).optional();
    Ok(found.map_err(|error| failed("cannot read what was used", error))?.unwrap_or(0))
}

fn purchases(
    on: &Connection,
    account: &AccountKey,
    plan: &str,
    from: UnixTime,
    to: UnixTime,
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM siwx_payments
               WHERE payer = ?1 AND network GLOB ?2 || ':*' AND scope = 'plan:' || ?3 AND status = 'settled'
                 AND settled_at >= ?4 AND settled_at < ?5";
    let values = params![account.address(), account.namespace(), plan, from.millis(), to.millis()];
    let found = on.query_row(sql, values, |row| count(row, 0));
    found.map_err(|error| failed("cannot count purchases", error))
}

fn secret(on: &Connection, name: &str, fresh: &Secret<[u8; 32]>) -> Result<Secret<[u8; 32]>, StoreError> {
    let doing = "cannot keep a secret";
    let find = || {
        let sql = "SELECT secret FROM siwx_secrets WHERE name = ?1";
        let found = on.query_row(sql, [name], |row| row.get::<_, Vec<u8>>(0)).optional();
        found.map_err(|error| failed(doing, error))
    };
    // One that is there is read and no more, which a file that cannot be written allows.
    let kept = match find()? {
        Some(kept) => kept,
        None => {
            let sql = "INSERT INTO siwx_secrets (name, secret) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
            on.execute(sql, params![name, fresh.expose()]).map_err(|error| failed(doing, error))?;
            find()?.ok_or_else(|| StoreError::Corrupt("a secret is gone again".to_owned()))?
        }
    };
    let length = kept.len();
    let kept = <[u8; 32]>::try_from(kept);
    kept.map(Secret::new).map_err(|_| StoreError::Corrupt(format!("expected a secret of 32 bytes, found {length}")))
}

/// Successors are called as the first one is, with the millisecond in which they were made.
fn succession(on: &Connection, name: &str) -> Result<Vec<KeptSecret>, StoreError> {
    let doing = "cannot read secrets";
    let sql = "SELECT CAST(substr(name, length(?1) + 2) AS INTEGER), secret FROM siwx_secrets
               WHERE name = ?1 OR name GLOB ?1 || '@*' ORDER BY 1";
    let mut statement = on.prepare(sql).map_err(|error| failed(doing, error))?;
    let rows = statement.query_map([name], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let rows = rows.map_err(|error| failed(doing, error))?;
    let kept = rows.map(|row| {
        let (millis, bytes) = row.map_err(|error| failed(doing, error))?;
        let length = bytes.len();
        let secret = <[u8; 32]>::try_from(bytes)
            .map_err(|_| StoreError::Corrupt(format!("expected a secret of 32 bytes, found {length}")))?;
        let made_at = (millis != 0).then(|| UnixTime::from_millis(millis));
        Ok(KeptSecret { secret: Secret::new(secret), made_at })
    });
    kept.collect()
}

fn succeed(
    on: &Connection,
    name: &str,
    fresh: &Secret<[u8; 32]>,
    after: UnixTime,
    now: UnixTime,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO siwx_secrets (name, secret)
               SELECT ?1 || '@' || ?2, ?3 WHERE NOT EXISTS (
                  SELECT 1 FROM siwx_secrets
                  WHERE name GLOB ?1 || '@*' AND CAST(substr(name, length(?1) + 2) AS INTEGER) > ?4)
               ON CONFLICT (name) DO NOTHING";
    let made = on.execute(sql, params![name, now.millis(), fresh.expose(), after.millis()]);
    Ok(made.map_err(|error| failed("cannot keep a secret", error))? == 1)
}
