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
    // 2: payments, quotas and kept secrets (x402.md sections 6, 7 and 8; operations.md section 9).
    "CREATE TABLE siwx_payments (
        payment_id      TEXT    NOT NULL PRIMARY KEY
                                CHECK (length(payment_id) = 64 AND payment_id NOT GLOB '*[^0-9a-f]*'),
        network         TEXT    NOT NULL CHECK (length(network) <= 41 AND network GLOB '?*:?*'),
        scheme          TEXT    NOT NULL CHECK (length(scheme) BETWEEN 1 AND 64),
        asset           TEXT    NOT NULL CHECK (length(asset) BETWEEN 1 AND 128),
        amount          TEXT    NOT NULL CHECK (length(amount) BETWEEN 1 AND 78 AND amount NOT GLOB '*[^0-9]*'),
        payer           TEXT             CHECK (length(payer) BETWEEN 1 AND 128),
        \"transaction\" TEXT             CHECK (length(\"transaction\") <= 128),
        facilitator     TEXT    NOT NULL CHECK (length(facilitator) BETWEEN 1 AND 64),
        route           TEXT    NOT NULL CHECK (length(route) BETWEEN 1 AND 64),
        scope           TEXT    NOT NULL CHECK (length(scope) <= 8192
                                            AND (scope GLOB 'plan:?*' OR scope GLOB 'route:?*')),
        plan            TEXT    AS (CASE WHEN scope GLOB 'plan:*' THEN substr(scope, 6) END) VIRTUAL,
        length_millis   INTEGER          CHECK (length_millis > 0),
        status          TEXT    NOT NULL CHECK (status IN ('reserved', 'settling', 'settled', 'unknown')),
        owner           TEXT             CHECK (length(owner) BETWEEN 1 AND 64),
        lease_until     INTEGER,
        payload         BLOB             CHECK (length(payload) BETWEEN 1 AND 65536),
        requirement     BLOB             CHECK (length(requirement) BETWEEN 1 AND 65536),
        response        TEXT             CHECK (length(response) BETWEEN 1 AND 32768),
        created_at      INTEGER NOT NULL,
        settled_at      INTEGER,
        valid_until     INTEGER NOT NULL,
        expires_at      INTEGER,
        attempts        INTEGER NOT NULL CHECK (attempts >= 0),
        next_attempt_at INTEGER,
        keep_until      INTEGER,
        CHECK (network NOT GLOB 'eip155:*' OR payer = lower(payer)),
        CHECK ((owner IS NULL) = (lease_until IS NULL)),
        CHECK (status NOT IN ('reserved', 'settling') OR owner IS NOT NULL),
        CHECK (status NOT IN ('settling', 'unknown') OR (payload IS NOT NULL AND requirement IS NOT NULL)),
        CHECK (status <> 'settled' OR (payer IS NOT NULL AND \"transaction\" IS NOT NULL AND response IS NOT NULL
                                   AND settled_at IS NOT NULL AND keep_until IS NOT NULL AND owner IS NULL))
    ) STRICT;
    CREATE INDEX siwx_payments_open ON siwx_payments (status, lease_until) WHERE status <> 'settled';
    CREATE INDEX siwx_payments_kept ON siwx_payments (keep_until) WHERE keep_until IS NOT NULL;
    CREATE INDEX siwx_payments_created ON siwx_payments (created_at, payment_id);
    CREATE INDEX siwx_payments_payer ON siwx_payments (payer, scope, settled_at) WHERE payer IS NOT NULL;
    CREATE INDEX siwx_entitlements_ended ON siwx_entitlements (expires_at) WHERE scope >= 'route:';
    CREATE TABLE siwx_quotas (
        namespace    TEXT    NOT NULL CHECK (length(namespace) BETWEEN 3 AND 8),
        address      TEXT    NOT NULL CHECK (length(address) BETWEEN 1 AND 128),
        plan         TEXT    NOT NULL CHECK (length(plan) BETWEEN 1 AND 64),
        window_start INTEGER NOT NULL,
        window_end   INTEGER NOT NULL,
        requests     INTEGER NOT NULL CHECK (requests >= 0),
        PRIMARY KEY (namespace, address, plan, window_start),
        CHECK (namespace <> 'eip155' OR address = lower(address))
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX siwx_quotas_end ON siwx_quotas (window_end);
    CREATE TABLE siwx_secrets (
        name   TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
        secret BLOB NOT NULL CHECK (length(secret) = 32)
    ) STRICT, WITHOUT ROWID;",
    // 3: what contracts may use of an entitlement that came from several chains (x402.md section 7), an empty
    // `chain_id` where none was named. Until now the last payment's chain hid those before it. A payment of what is
    // held extends what came from its chain, so that the end is the latest of each payment's time and all lengths
    // from there on.
    "CREATE TABLE siwx_entitlements_by_chain (
        namespace  TEXT    NOT NULL,
        address    TEXT    NOT NULL,
        scope      TEXT    NOT NULL,
        chain_id   TEXT    NOT NULL CHECK (length(chain_id) <= 41
                                       AND (chain_id = '' OR chain_id GLOB namespace || ':?*')),
        starts_at  INTEGER NOT NULL,
        expires_at INTEGER,
        PRIMARY KEY (namespace, address, scope, chain_id),
        FOREIGN KEY (namespace, address, scope) REFERENCES siwx_entitlements ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    INSERT INTO siwx_entitlements_by_chain (namespace, address, scope, chain_id, starts_at, expires_at)
    WITH paid AS (
        SELECT held.namespace, held.address, held.scope, held.expires_at, payments.network, payments.settled_at,
            payments.length_millis, sum(payments.length_millis) OVER (
                PARTITION BY held.namespace, held.address, held.scope, payments.network
                ORDER BY payments.settled_at DESC, payments.payment_id
                ROWS UNBOUNDED PRECEDING) AS length,
            min(payments.network) OVER scopes AS first, max(payments.network) OVER scopes AS last
        FROM siwx_entitlements AS held
        JOIN siwx_payments AS payments ON payments.payer = held.address AND payments.scope = held.scope
            AND payments.network GLOB held.namespace || ':*' AND payments.settled_at >= held.starts_at
        WHERE payments.status = 'settled'
        WINDOW scopes AS (PARTITION BY held.namespace, held.address, held.scope)
    )
    SELECT namespace, address, scope, network, min(settled_at),
        CASE WHEN count(length_millis) < count(*) OR expires_at < max(settled_at + length) THEN expires_at
             ELSE max(settled_at + length) END
    FROM paid WHERE first <> last
    GROUP BY namespace, address, scope, network;",
    // 4: sessions (sessions.md section 2). What is long stands last, so that what is listed is read without it.
    "CREATE TABLE siwx_sessions (
        id         INTEGER NOT NULL PRIMARY KEY,
        key        BLOB    NOT NULL UNIQUE CHECK (length(key) = 32),
        replaces   BLOB    UNIQUE CHECK (length(replaces) = 32),
        sid        TEXT    NOT NULL UNIQUE CHECK (length(sid) BETWEEN 1 AND 64),
        created_at INTEGER NOT NULL,
        seen_at    INTEGER NOT NULL,
        CHECK (key IS NOT replaces)
    ) STRICT;
    CREATE INDEX siwx_sessions_created ON siwx_sessions (created_at, sid);
    CREATE TABLE siwx_session_entries (
        session_id   INTEGER NOT NULL REFERENCES siwx_sessions (id) ON DELETE CASCADE,
        entry_id     TEXT    NOT NULL UNIQUE CHECK (length(entry_id) BETWEEN 1 AND 64),
        namespace    TEXT    NOT NULL CHECK (length(namespace) BETWEEN 3 AND 8),
        chain_id     TEXT    NOT NULL CHECK (length(chain_id) <= 41 AND chain_id GLOB namespace || ':?*'),
        address      TEXT    NOT NULL CHECK (length(address) BETWEEN 1 AND 128),
        account      TEXT    NOT NULL CHECK (account = chain_id || ':' || address
                                          OR namespace = 'eip155'
                                             AND lower(account) = lower(chain_id) || ':' || address),
        scheme       TEXT    NOT NULL CHECK (length(scheme) BETWEEN 1 AND 64),
        domain       TEXT    NOT NULL CHECK (length(domain) BETWEEN 1 AND 300),
        created_at   INTEGER NOT NULL,
        refreshed_at INTEGER NOT NULL,
        verified_at  INTEGER NOT NULL,
        not_before   INTEGER,
        expires_at   INTEGER NOT NULL,
        absolute_end INTEGER NOT NULL,
        nonce        TEXT    NOT NULL CHECK (length(nonce) BETWEEN 1 AND 128),
        message      TEXT    NOT NULL CHECK (octet_length(message) BETWEEN 1 AND 8192),
        signature    TEXT    NOT NULL CHECK (octet_length(signature) BETWEEN 1 AND 32768),
        data         TEXT    NOT NULL CHECK (octet_length(data) BETWEEN 1 AND 65536),
        cacao        TEXT             CHECK (octet_length(cacao) BETWEEN 1 AND 65536),
        public_key   TEXT             CHECK (octet_length(public_key) BETWEEN 1 AND 256),
        recap        TEXT             CHECK (octet_length(recap) BETWEEN 1 AND 8192),
        UNIQUE (session_id, chain_id, address),
        CHECK (namespace <> 'eip155' OR address = lower(address)),
        CHECK (created_at < expires_at AND expires_at <= absolute_end)
    ) STRICT;
    CREATE INDEX siwx_session_entries_account ON siwx_session_entries (namespace, address);
    CREATE INDEX siwx_session_entries_end ON siwx_session_entries (expires_at);
    CREATE TABLE siwx_account_metadata (
        namespace  TEXT    NOT NULL CHECK (length(namespace) BETWEEN 3 AND 8),
        address    TEXT    NOT NULL CHECK (length(address) BETWEEN 1 AND 128),
        metadata   TEXT    NOT NULL CHECK (octet_length(metadata) BETWEEN 1 AND 16384),
        updated_at INTEGER NOT NULL,
        PRIMARY KEY (namespace, address),
        CHECK (namespace <> 'eip155' OR address = lower(address))
    ) STRICT, WITHOUT ROWID;",
    // 5: when accounts signed in by AppKit's cloud class, and by what (sessions.md section 3).
    "CREATE TABLE siwx_account_history (
        namespace  TEXT    NOT NULL CHECK (length(namespace) BETWEEN 3 AND 8),
        address    TEXT    NOT NULL CHECK (length(address) BETWEEN 1 AND 128),
        first_at   INTEGER NOT NULL,
        last_at    INTEGER NOT NULL CHECK (last_at >= first_at),
        connection TEXT             CHECK (octet_length(connection) BETWEEN 1 AND 16384),
        PRIMARY KEY (namespace, address),
        CHECK (namespace <> 'eip155' OR address = lower(address))
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX siwx_account_history_last ON siwx_account_history (last_at);",
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

    #[test]
    fn what_an_older_file_holds_is_kept() {
        let mut on = Connection::open_in_memory().expect("a database in memory");
        on.execute_batch(MIGRATIONS[0]).expect("the first schema");
        let rows = "INSERT INTO siwx_entitlements VALUES ('eip155', '0xab', 'plan:nano', 1, 2, 'eip155:1', 'paid');
            INSERT INTO siwx_nonces VALUES ('issued:n1', 5);
            PRAGMA user_version = 1";
        on.execute_batch(rows).expect("what was there");
        migrate(&mut on).expect("a migration");
        assert_eq!(version(&on).expect("a version"), MIGRATIONS.len());
        let text = |sql: &str| on.query_row(sql, [], |row| row.get::<_, String>(0)).expect(sql);
        let entitlement =
            "SELECT concat_ws(' ', namespace, address, scope, starts_at, expires_at, chain_id, payment_id)
            FROM siwx_entitlements";
        assert_eq!(text(entitlement), "eip155 0xab plan:nano 1 2 eip155:1 paid");
        assert_eq!(text("SELECT concat_ws(' ', key, until) FROM siwx_nonces"), "issued:n1 5");
        let tables = "SELECT group_concat(name, ' ') FROM
            (SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name)";
        let expected = "siwx_account_history siwx_account_metadata siwx_entitlements siwx_entitlements_by_chain siwx_nonces siwx_payments \
            siwx_quotas siwx_secrets siwx_session_entries siwx_sessions";
        assert_eq!(text(tables), expected);
        assert_eq!(text("SELECT count(*) || '' FROM siwx_entitlements_by_chain"), "0", "all of it came from one chain");
    }

    /// Until then the last payment's chain hid those before it.
    #[test]
    fn what_was_paid_on_several_chains_is_told_apart() {
        let mut on = Connection::open_in_memory().expect("a database in memory");
        on.execute_batch(&MIGRATIONS[..2].concat()).expect("the second schema");
        let held = |scope: &str, starts: i64, ends: Option<i64>, chain: &str| {
            let sql = "INSERT INTO siwx_entitlements VALUES ('eip155', '0xab', ?1, ?2, ?3, ?4, NULL)";
            on.execute(sql, rusqlite::params![scope, starts, ends, chain]).expect(scope);
        };
        let mut ids = 0;
        let mut paid = |scope: &str, network: &str, settled: i64, length: Option<i64>| {
            ids += 1;
            let sql = "INSERT INTO siwx_payments (payment_id, network, scheme, asset, amount, payer, \"transaction\",
                    facilitator, route, scope, length_millis, status, response, created_at, settled_at, valid_until,
                    attempts, keep_until)
                VALUES (?1, ?2, 'exact', 'usdc', '1', '0xab', '', 'main', 'api', ?3, ?4, 'settled', 'e30=', ?5, ?5, 0, 1,
                    0)";
            let values = rusqlite::params![format!("{ids:064}"), network, scope, length, settled];
            on.execute(sql, values).expect(scope);
        };
        // Two on Base, the second before the first has ended, and one on the main net between them.
        held("plan:nano", 1000, Some(1300), "eip155:8453");
        paid("plan:nano", "eip155:8453", 500, Some(100));
        paid("plan:nano", "eip155:8453", 1000, Some(100));
        paid("plan:nano", "eip155:1", 1010, Some(100));
        paid("plan:nano", "eip155:8453", 1050, Some(100));
        // Shortened by an operator; for ever on one of them; ended on one before the last came there.
        held("plan:short", 1000, Some(1120), "eip155:1");
        paid("plan:short", "eip155:8453", 1000, Some(100));
        paid("plan:short", "eip155:1", 1050, Some(100));
        held("route:weather", 1000, None, "eip155:1");
        paid("route:weather", "eip155:8453", 1000, Some(100));
        paid("route:weather", "eip155:1", 1050, None);
        held("route:gap", 1000, Some(1400), "eip155:8453");
        paid("route:gap", "eip155:8453", 1000, Some(100));
        paid("route:gap", "eip155:1", 1010, Some(200));
        paid("route:gap", "eip155:8453", 1200, Some(100));
        // One chain alone, and nobody's of ours.
        held("plan:one", 1000, Some(1200), "eip155:8453");
        paid("plan:one", "eip155:8453", 1000, Some(100));
        paid("plan:one", "eip155:8453", 1000, Some(100));
        paid("plan:gone", "eip155:8453", 1000, Some(100));
        paid("plan:gone", "eip155:1", 1000, Some(100));
        on.pragma_update(None, "user_version", 2).expect("a number");
        migrate(&mut on).expect("a migration");

        let sql = "SELECT concat_ws(' ', scope, chain_id, starts_at, coalesce(expires_at, '-'))
            FROM siwx_entitlements_by_chain ORDER BY scope, chain_id";
        let mut statement = on.prepare(sql).expect("a statement");
        let rows: Result<Vec<String>, _> = statement.query_map([], |row| row.get(0)).expect("rows").collect();
        let expected = [
            "plan:nano eip155:1 1010 1110",
            "plan:nano eip155:8453 1000 1200",
            "plan:short eip155:1 1050 1120",
            "plan:short eip155:8453 1000 1100",
            "route:gap eip155:1 1010 1210",
            "route:gap eip155:8453 1000 1300",
            "route:weather eip155:1 1050 -",
            "route:weather eip155:8453 1000 1100",
        ];
        assert_eq!(rows.expect("texts"), expected);
    }
}
