//! The tables, and how an older file becomes a newer one.
//!
//! 1. `PRAGMA user_version` counts the migrations that were applied. They are applied in one transaction, by
//!    whichever process comes first; a file from the future is refused.
//! 2. A migration that was released is never edited; the next one mends it.
//! 3. Times are milliseconds since 1970, `NULL` for no end. Tables are `STRICT` and checked, because operators and
//!    their tools write into the file too.

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, file::failed};

/// What leads from version *n* to *n* + 1, from an empty file on.
const MIGRATIONS: &[&str] = &[
    // 1: who has subscribed, and which nonces were used (x402.md section 7).
    "CREATE TABLE siwx_entitlements (
        namespace  TEXT    NOT NULL CHECK (length(namespace) BETWEEN 3 AND 8),
        address    TEXT    NOT NULL CHECK (length(address) BETWEEN 1 AND 128),
        scope      TEXT    NOT NULL CHECK (length(scope) <= 8192 AND (scope GLOB 'plan:?*' OR scope GLOB 'route:?*')),
        starts_at  INTEGER NOT NULL,
        expires_at INTEGER,
        chain_id   TEXT    CHECK (length(chain_id) <= 41 AND chain_id GLOB namespace || ':?*'),
        payment_id TEXT    CHECK (length(payment_id) <= 128),
        PRIMARY KEY (namespace, address, scope),
        CHECK (namespace <> 'eip155' OR address = lower(address))
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE siwx_nonces (
        key   TEXT    NOT NULL PRIMARY KEY,
        until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX siwx_nonces_until ON siwx_nonces (until);",
];

/// Brings the file to the newest schema.
pub(super) fn migrate(on: &mut Connection) -> Result<(), StoreError> {
    if version(on)? == MIGRATIONS.len() {
        return Ok(());
    }
    let begun = on.transaction_with_behavior(TransactionBehavior::Immediate);
    let transaction = begun.map_err(|error| failed("cannot begin the migration", error))?;
    // Another process may have been quicker, so the version is read again now that nobody else writes.
    let done = version(&transaction)?;
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration).map_err(|error| failed("cannot migrate the schema", error))?;
    }
    let applied = transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64);
    applied.map_err(|error| failed("cannot note the schema's version", error))?;
    transaction.commit().map_err(|error| failed("cannot commit the migration", error))
}

/// How many migrations were applied: at most as many as there are.
fn version(on: &Connection) -> Result<usize, StoreError> {
    let found = on.query_row("PRAGMA user_version", [], |row| row.get::<_, i32>(0));
    let found = found.map_err(|error| failed("cannot read the schema's version", error))?;
    let known = MIGRATIONS.len();
    match usize::try_from(found) {
        Ok(done) if done <= known => Ok(done),
        Ok(_) => Err(StoreError::NewerSchema { known: known as u32, found: found.unsigned_abs() }),
        Err(_) => Err(StoreError::Corrupt(format!("expected a schema version from 0 to {known}, found {found}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrates_once_and_refuses_the_future() {
        let mut on = Connection::open_in_memory().expect("a database in memory");
        assert_eq!(version(&on).expect("a version"), 0);
        migrate(&mut on).expect("the first time");
        assert_eq!(version(&on).expect("a version"), MIGRATIONS.len());
        migrate(&mut on).expect("the second time");

        on.pragma_update(None, "user_version", 99).expect("a number");
        assert_eq!(
            migrate(&mut on).expect_err("a newer schema").to_string(),
            format!(
                "expected schema version {} or older, found 99: the store was written by a newer siwx-gateway",
                MIGRATIONS.len()
            )
        );
        on.pragma_update(None, "user_version", -1).expect("a number");
        assert_eq!(
            migrate(&mut on).expect_err("no version of ours").to_string(),
            format!("the store holds nonsense: expected a schema version from 0 to {}, found -1", MIGRATIONS.len())
        );
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let mut on = Connection::open_in_memory().expect("a database in memory");
        on.execute_batch("CREATE TABLE siwx_nonces (other TEXT)").expect("a table in the way");
        let error = migrate(&mut on).expect_err("a table of that name");
        assert_eq!(error.to_string(), "cannot migrate the schema: table siwx_nonces already exists");
        let tables: i64 = on
            .query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", [], |row| row.get(0))
            .expect("a count");
        assert_eq!((version(&on).expect("a version"), tables), (0, 1));
    }
}
