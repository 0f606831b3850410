//! Payments: each step one conditional statement, and the doors to them.

use rusqlite::{Connection, OptionalExtension, Params, ToSql, params, params_from_iter};

mod row;

use self::row::{COLUMNS, due, payment};
use super::{
    super::{
        Asked, BoxFuture, Doubt, Due, HISTORY_DAYS, Lease, NewPayment, OpenPayments, Owner, PAGE_MAX, Payment,
        PaymentCursor, PaymentFilter, PaymentId, PaymentPage, PaymentStatus, PaymentStore, Receipt, Recorded, Reserved,
        Resolution, Resolved, Settlement, Step, StoreError, TAKEN_OVER_MAX, TakenOver,
    },
    Sqlite, entitlements,
    file::{count, failed},
};
use crate::time::UnixTime;

/// How long an id is kept past the end of its authorization: processes and chains may differ in time.
const ID_KEPT_MILLIS: i64 = 86_400_000;

/// How long a settled payment is kept as history.
const HISTORY_MILLIS: i64 = HISTORY_DAYS * 86_400_000;

/// Old payments that one reservation deletes: more than one, so that they go faster than they come.
const OLD_DELETED: u32 = 4;

/// Reservations whose lease is over. The condition on `settled`, here and below, is that of the index of what is open:
/// these are asked every few seconds and must not walk through the history.
const STALE: &str = "DELETE FROM siwx_payments WHERE status <> 'settled' AND status = 'reserved' AND lease_until <= ?1";

/// What is to be asked for again. The signs keep SQLite from walking the history by its order.
const DUE: &str = "SELECT payment_id FROM siwx_payments
    WHERE status <> 'settled' AND status IN ('settling', 'unknown') AND (lease_until IS NULL OR lease_until <= ?1)
      AND (status = 'settling' OR next_attempt_at <= ?1)
    ORDER BY +created_at, +payment_id LIMIT ?2";

/// How many there are of each kind.
const OPEN: &str = "SELECT count(*) FILTER (WHERE status = 'reserved'), count(*) FILTER (WHERE status = 'settling'),
    count(*) FILTER (WHERE status = 'unknown') FROM siwx_payments WHERE status <> 'settled'";

impl PaymentStore for Sqlite {
    fn reserve<'a>(&'a self, new: &'a NewPayment, lease: &'a Lease, now: UnixTime) -> BoxFuture<'a, Reserved> {
        let (new, lease) = (new.clone(), lease.clone());
        Box::pin(self.write(move |on| reserve(on, &new, &lease, now)))
    }

    fn renew<'a>(&'a self, id: &'a PaymentId, lease: &'a Lease) -> BoxFuture<'a, Step> {
        let (id, lease) = (id.to_string(), lease.clone());
        let sql = "UPDATE siwx_payments SET lease_until = ?3
                   WHERE payment_id = ?1 AND owner = ?2 AND status <> 'settled'";
        Box::pin(self.write(move |on| step(on, sql, params![id, lease.owner.as_str(), lease.until.millis()])))
    }

    fn release<'a>(&'a self, id: &'a PaymentId, owner: &'a Owner) -> BoxFuture<'a, Step> {
        let (id, owner) = (id.to_string(), owner.clone());
        let sql = "DELETE FROM siwx_payments WHERE payment_id = ?1 AND owner = ?2 AND status = 'reserved'";
        Box::pin(self.write(move |on| step(on, sql, params![id, owner.as_str()])))
    }

    fn settling<'a>(&'a self, id: &'a PaymentId, lease: &'a Lease, asked: &'a Asked) -> BoxFuture<'a, Step> {
        let (id, lease, asked) = (*id, lease.clone(), asked.clone());
        Box::pin(self.write(move |on| settling(on, &id, &lease, &asked)))
    }

    fn refused<'a>(&'a self, id: &'a PaymentId, owner: &'a Owner) -> BoxFuture<'a, Step> {
        let (id, owner) = (id.to_string(), owner.clone());
        let sql = "DELETE FROM siwx_payments
                   WHERE payment_id = ?1 AND owner = ?2 AND status IN ('settling', 'unknown')";
        Box::pin(self.write(move |on| step(on, sql, params![id, owner.as_str()])))
    }

    fn settled<'a>(
        &'a self,
        id: &'a PaymentId,
        owner: &'a Owner,
        settlement: &'a Settlement,
        now: UnixTime,
    ) -> BoxFuture<'a, Recorded> {
        let (id, owner, settlement) = (*id, owner.clone(), settlement.clone());
        Box::pin(self.write(move |on| settled(on, &id, &owner, &settlement, now)))
    }

    fn unknown<'a>(&'a self, id: &'a PaymentId, owner: &'a Owner, doubt: &'a Doubt) -> BoxFuture<'a, Step> {
        let (id, owner, doubt) = (id.to_string(), owner.clone(), doubt.clone());
        let sql = "UPDATE siwx_payments SET status = 'unknown', owner = NULL, lease_until = NULL, next_attempt_at = ?3,
                      \"transaction\" = coalesce(?4, \"transaction\")
                   WHERE payment_id = ?1 AND owner = ?2 AND status IN ('settling', 'unknown')";
        Box::pin(self.write(move |on| {
            let next = doubt.next_attempt_at.map(UnixTime::millis);
            step(on, sql, params![id, owner.as_str(), next, doubt.transaction])
        }))
    }

    fn take_over<'a>(&'a self, lease: &'a Lease, now: UnixTime, limit: usize) -> BoxFuture<'a, TakenOver> {
        let (lease, limit) = (lease.clone(), limit.min(TAKEN_OVER_MAX));
        Box::pin(self.write(move |on| take_over(on, &lease, now, limit)))
    }

    fn take_over_one<'a>(&'a self, id: &'a PaymentId, lease: &'a Lease, now: UnixTime) -> BoxFuture<'a, Option<Due>> {
        let (id, lease) = (*id, lease.clone());
        Box::pin(self.write(move |on| take_over_one(on, &id, &lease, now)))
    }

    fn resolve<'a>(&'a self, id: &'a PaymentId, how: &'a Resolution, now: UnixTime) -> BoxFuture<'a, Resolved> {
        let (id, how) = (*id, how.clone());
        Box::pin(self.write(move |on| resolve(on, &id, &how, now)))
    }

    fn payment<'a>(&'a self, id: &'a PaymentId) -> BoxFuture<'a, Option<Payment>> {
        let id = *id;
        Box::pin(self.read(move |on| find(on, &id)))
    }

    fn list<'a>(
        &'a self,
        filter: &'a PaymentFilter,
        after: Option<&'a PaymentCursor>,
        limit: usize,
    ) -> BoxFuture<'a, PaymentPage> {
        let (filter, after, limit) = (filter.clone(), after.cloned(), limit.clamp(1, PAGE_MAX));
        Box::pin(self.read(move |on| list(on, &filter, after.as_ref(), limit)))
    }

    fn open_payments(&self) -> BoxFuture<'_, OpenPayments> {
        Box::pin(self.read(open_payments))
    }
}

/// Runs a statement that changes one row or none.
fn step(on: &Connection, sql: &str, values: impl Params) -> Result<Step, StoreError> {
    let changed = on.execute(sql, values).map_err(|error| failed("cannot change a payment", error))?;
    Ok(if changed == 0 { Step::Lost } else { Step::Done })
}

fn find(on: &Connection, id: &PaymentId) -> Result<Option<Payment>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM siwx_payments WHERE payment_id = ?1");
    let found = on.query_row(&sql, [id.to_string()], |row| Ok(payment(row))).optional();
    found.map_err(|error| failed("cannot read a payment", error))?.transpose()
}

fn reserve(on: &Connection, new: &NewPayment, lease: &Lease, now: UnixTime) -> Result<Reserved, StoreError> {
    let stale = "DELETE FROM siwx_payments WHERE payment_id = ?1 AND status = 'reserved' AND lease_until <= ?2";
    on.execute(stale, params![new.id().to_string(), now.millis()])
        .map_err(|error| failed("cannot release a payment", error))?;
    if insert(on, new, lease, now)? {
        delete_old(on, now)?;
        return Ok(Reserved::Fresh);
    }
    let found = find(on, new.id())?;
    // Nobody else writes while this transaction lasts, so what was in the way is there.
    let found = found.ok_or_else(|| nonsense(new.id(), "a row that is in the way and not there"))?;
    let lease_until = found.lease.as_ref().map(|lease| lease.until);
    match found.status {
        PaymentStatus::Settled => {
            let receipt = found.receipt().ok_or_else(|| nonsense(new.id(), "a settled payment without receipt"))?;
            Ok(Reserved::Settled(receipt))
        }
        PaymentStatus::Unknown => Ok(Reserved::Unknown { next_attempt_at: found.next_attempt_at, lease_until }),
        status @ (PaymentStatus::Reserved | PaymentStatus::Settling) => {
            let lease_until = lease_until.ok_or_else(|| nonsense(new.id(), "no lease"))?;
            Ok(Reserved::Held { status, lease_until })
        }
    }
}

/// False if there is a row of this id.
fn insert(on: &Connection, new: &NewPayment, lease: &Lease, now: UnixTime) -> Result<bool, StoreError> {
    let sale = new.sale();
    let inserted = on.execute(
        "INSERT INTO siwx_payments (payment_id, network, scheme, asset, amount, facilitator, route, scope,
            length_millis, status, owner, lease_until, created_at, valid_until, attempts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'reserved', ?10, ?11, ?12, ?13, 0)
         ON CONFLICT (payment_id) DO NOTHING",
        params![
            new.id().to_string(),
            sale.network.as_str(),
            sale.scheme,
            sale.asset,
            sale.amount,
            sale.facilitator,
            sale.route,
            sale.scope.to_string(),
            sale.length.map(|length| i64::try_from(length.as_millis()).unwrap_or(i64::MAX)),
            lease.owner.as_str(),
            lease.until.millis(),
            now.millis(),
            new.valid_until().millis(),
        ],
    );
    Ok(inserted.map_err(|error| failed("cannot reserve a payment", error))? > 0)
}

/// Settled payments that nothing can repeat any more, and that are history no longer.
fn delete_old(on: &Connection, now: UnixTime) -> Result<(), StoreError> {
    let deleted = on.execute(
        "DELETE FROM siwx_payments WHERE payment_id IN (
            SELECT payment_id FROM siwx_payments WHERE keep_until <= ?1 LIMIT ?2)",
        params![now.millis(), OLD_DELETED],
    );
    deleted.map(drop).map_err(|error| failed("cannot delete old payments", error))
}

fn settling(on: &Connection, id: &PaymentId, lease: &Lease, asked: &Asked) -> Result<Step, StoreError> {
    if let Some(payer) = &asked.payer
        && find(on, id)?.is_some_and(|found| found.sale.network.namespace() != payer.namespace())
    {
        return Err(StoreError::Conflict(format!("payment {id} is on another family of chains than `{payer}`")));
    }
    step(
        on,
        "UPDATE siwx_payments SET status = 'settling', lease_until = ?3, payload = ?4, requirement = ?5,
            amount = coalesce(?6, amount), payer = ?7, attempts = 1
         WHERE payment_id = ?1 AND owner = ?2 AND status = 'reserved'",
        params![
            id.to_string(),
            lease.owner.as_str(),
            lease.until.millis(),
            asked.payload,
            asked.requirement,
            asked.amount,
            asked.payer.as_ref().map(|payer| payer.address()),
        ],
    )
}

fn settled(
    on: &Connection,
    id: &PaymentId,
    owner: &Owner,
    settlement: &Settlement,
    now: UnixTime,
) -> Result<Recorded, StoreError> {
    let Some(found) = find(on, id)? else {
        return Ok(Recorded::Lost);
    };
    if let Some(receipt) = found.receipt() {
        return Ok(Recorded::Settled(receipt));
    }
    let owned = found.lease.as_ref().is_some_and(|lease| lease.owner == *owner);
    if !owned || found.status == PaymentStatus::Reserved {
        return Ok(Recorded::Lost);
    }
    record(on, found, settlement, now).map(Recorded::Settled)
}

/// Marks a payment settled and writes what it opens. The row was read in this transaction, so nobody changed it since.
fn record(on: &Connection, found: Payment, settlement: &Settlement, now: UnixTime) -> Result<Receipt, StoreError> {
    let id = found.id;
    let payer = &settlement.payer;
    if payer.namespace() != found.sale.network.namespace() {
        return Err(StoreError::Conflict(format!("payment {id} is on another family of chains than `{payer}`")));
    }
    let opened = entitlements::open(on, payer, &found.sale, &id.to_string(), now)?;
    let keep_until = found.valid_until.plus_millis(ID_KEPT_MILLIS).max(now.plus_millis(HISTORY_MILLIS));
    let sql = format!(
        "UPDATE siwx_payments SET status = 'settled', owner = NULL, lease_until = NULL, payload = NULL,
            requirement = NULL, next_attempt_at = NULL, payer = ?2, \"transaction\" = ?3, response = ?4,
            settled_at = ?5, expires_at = ?6, keep_until = ?7
         WHERE payment_id = ?1 AND status <> 'settled' RETURNING {COLUMNS}"
    );
    let values = params![
        id.to_string(),
        payer.address(),
        settlement.transaction,
        settlement.response,
        now.millis(),
        opened.expires_at.map(UnixTime::millis),
        keep_until.millis(),
    ];
    let written = on.query_row(&sql, values, |row| Ok(payment(row)));
    let written = written.map_err(|error| failed("cannot record a settlement", error))??;
    written.receipt().ok_or_else(|| nonsense(&id, "a settled payment without receipt"))
}

fn take_over(on: &Connection, lease: &Lease, now: UnixTime, limit: usize) -> Result<TakenOver, StoreError> {
    let released = on.execute(STALE, [now.millis()]);
    let released = released.map_err(|error| failed("cannot release payments", error))?;
    let sql = format!(
        "UPDATE siwx_payments SET owner = ?3, lease_until = ?4, attempts = attempts + 1 WHERE payment_id IN ({DUE})
         RETURNING {COLUMNS}, payload, requirement"
    );
    let doing = "cannot take payments over";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = on.prepare(&sql).map_err(|error| failed(doing, error))?;
    let values = params![now.millis(), limit, lease.owner.as_str(), lease.until.millis()];
    let mut rows = statement.query(values).map_err(|error| failed(doing, error))?;
    let mut taken = Vec::new();
    while let Some(row) = rows.next().map_err(|error| failed(doing, error))? {
        taken.push(due(row)?);
    }
    // What an update returns has no order.
    taken.sort_by_key(|due: &Due| (due.payment.created_at, due.payment.id));
    Ok(TakenOver { due: taken, released })
}

fn take_over_one(on: &Connection, id: &PaymentId, lease: &Lease, now: UnixTime) -> Result<Option<Due>, StoreError> {
    let sql = format!(
        "UPDATE siwx_payments SET owner = ?2, lease_until = ?3, attempts = attempts + 1
         WHERE payment_id = ?1 AND status IN ('settling', 'unknown') AND (lease_until IS NULL OR lease_until <= ?4)
         RETURNING {COLUMNS}, payload, requirement"
    );
    let values = params![id.to_string(), lease.owner.as_str(), lease.until.millis(), now.millis()];
    let taken = on.query_row(&sql, values, |row| Ok(due(row))).optional();
    taken.map_err(|error| failed("cannot take a payment over", error))?.transpose()
}

fn resolve(on: &Connection, id: &PaymentId, how: &Resolution, now: UnixTime) -> Result<Resolved, StoreError> {
    let Some(found) = find(on, id)? else {
        return Ok(Resolved::Absent);
    };
    if let Some(receipt) = found.receipt() {
        return Ok(Resolved::Settled(receipt));
    }
    if let Some(lease) = found.lease.as_ref().filter(|lease| now < lease.until) {
        return Ok(Resolved::Held { lease_until: lease.until });
    }
    match how {
        Resolution::Settled(settlement) => record(on, found, settlement, now).map(Resolved::Settled),
        Resolution::Released => {
            let sql = "DELETE FROM siwx_payments WHERE payment_id = ?1 AND status <> 'settled'";
            match step(on, sql, [id.to_string()])? {
                Step::Done => Ok(Resolved::Released),
                Step::Lost => Ok(Resolved::Absent),
            }
        }
    }
}

/// The newest first. Conditions are put together here rather than switched off by parameters, so that SQLite walks
/// an index from the right place.
fn list(
    on: &Connection,
    filter: &PaymentFilter,
    after: Option<&PaymentCursor>,
    limit: usize,
) -> Result<PaymentPage, StoreError> {
    let mut sql = format!("SELECT {COLUMNS} FROM siwx_payments WHERE true");
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(account) = &filter.account {
        // No namespace holds a character that `GLOB` reads as another.
        sql.push_str(" AND payer = ? AND network GLOB ? || ':*'");
        values.push(Box::new(account.address().to_owned()));
        values.push(Box::new(account.namespace().to_owned()));
    }
    match filter.status {
        None => {}
        Some(PaymentStatus::Settled) => sql.push_str(" AND status = 'settled'"),
        Some(open) => {
            sql.push_str(" AND status <> 'settled' AND status = ?");
            values.push(Box::new(open.as_str()));
        }
    }
    if let Some(PaymentCursor { created_at, id }) = after {
        sql.push_str(" AND (created_at, payment_id) < (?, ?)");
        values.push(Box::new(created_at.millis()));
        values.push(Box::new(id.to_string()));
    }
    sql.push_str(" ORDER BY created_at DESC, payment_id DESC LIMIT ?");
    values.push(Box::new(i64::try_from(limit + 1).unwrap_or(i64::MAX)));

    let doing = "cannot list payments";
    let mut statement = on.prepare(&sql).map_err(|error| failed(doing, error))?;
    let mut rows = statement.query(params_from_iter(values)).map_err(|error| failed(doing, error))?;
    let mut payments = Vec::new();
    while let Some(row) = rows.next().map_err(|error| failed(doing, error))? {
        payments.push(payment(row)?);
    }
    Ok(PaymentPage::of(payments, limit))
}

fn open_payments(on: &Connection) -> Result<OpenPayments, StoreError> {
    let counted = on.query_row(OPEN, [], |row| {
        Ok(OpenPayments { reserved: count(row, 0)?, settling: count(row, 1)?, unknown: count(row, 2)? })
    });
    counted.map_err(|error| failed("cannot count payments", error))
}

fn nonsense(id: &PaymentId, what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} in a row of siwx_payments for {id}"))
}

#[cfg(test)]
mod tests {
    use super::{super::file::Place, *};

    #[test]
    fn what_is_asked_every_few_seconds_walks_no_history() {
        let on = Place::Memory.open(std::time::Duration::ZERO).expect("a database in memory");
        for (name, sql, values) in [("stale", STALE, 1), ("due", DUE, 2), ("open", OPEN, 0)] {
            let mut plan = on.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(name);
            let values = (0..values).map(|_| 1_i64);
            let steps: Result<Vec<String>, _> =
                plan.query_map(params_from_iter(values), |row| row.get(3)).expect(name).collect();
            let first = steps.expect(name).swap_remove(0);
            assert!(first.contains("INDEX siwx_payments_open"), "{name}: {first}");
        }
    }
}
