//! What SQLite promises besides the rules: a file that others use at the same time, and failures that are errors.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use siwx_gateway::store::{self, Backend, Claim, Filter, NonceKey, Settings, Store, StoreError};
use tempfile::TempDir;

use crate::rules::{alice, at, block_on, find, held, settings, until};

/// A folder, and the path of a store's file in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    (folder, path)
}

pub(crate) fn open(path: &Path) -> Store {
    store::open(&settings(Backend::Sqlite(path.into()))).expect("a store")
}

fn open_hasty(path: &Path, require_at_start: bool) -> Result<Store, StoreError> {
    let timeout = Duration::from_millis(300);
    store::open(&Settings { backend: Backend::Sqlite(path.into()), timeout, require_at_start })
}

async fn grant(store: &Store, plan: &str) -> Result<(), StoreError> {
    store.subscriptions().grant(&until(alice(), plan, 1000), at(0)).await.map(drop)
}

/// Repeats a question until the answer is yes, and says whether it was in time.
async fn within(limit: Duration, mut question: impl AsyncFnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if question().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[test]
fn the_file_is_its_owners_alone() {
    let (folder, path) = place();
    let store = open(&path);
    block_on(grant(&store, "nano")).expect("a grant");
    let mut files: Vec<(String, u32)> = std::fs::read_dir(folder.path())
        .expect("the folder")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("a file").permissions().mode() & 0o777;
            (entry.file_name().to_string_lossy().into_owned(), mode)
        })
        .collect();
    files.sort();
    let expected = ["store.db", "store.db-shm", "store.db-wal"].map(|name| (name.to_owned(), 0o600));
    assert_eq!(files, expected);
}

#[test]
fn the_file_is_set_up_as_promised() {
    let (_folder, path) = place();
    drop(open(&path));
    let on = Connection::open(&path).expect("the file");
    let text = |sql: &str| on.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).expect(sql);
    assert_eq!(text("PRAGMA journal_mode"), String::from("wal").into());
    assert_eq!(text("PRAGMA user_version"), 5.into());
    let columns: Vec<String> = on
        .prepare("SELECT name FROM pragma_table_info('siwx_entitlements')")
        .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
        .expect("columns");
    let expected = ["namespace", "address", "scope", "starts_at", "expires_at", "chain_id", "payment_id"];
    assert_eq!(columns, expected);
}

#[test]
fn what_was_granted_is_there_after_a_restart() {
    let (_folder, path) = place();
    block_on(async {
        let store = open(&path);
        grant(&store, "nano").await.expect("a grant");
        let key = NonceKey::Issued("n1");
        assert_eq!(store.nonces().claim(key, at(9), at(0)).await.expect("a claim"), Claim::Fresh);
        drop(store);

        let store = open(&path);
        assert_eq!(find(&store, &alice()).await, [held("nano", 0, Some(1000))]);
        assert_eq!(store.nonces().claim(key, at(9), at(0)).await.expect("a claim"), Claim::Used);
    });
}

#[test]
fn what_was_confirmed_is_in_the_files_before_the_store_closes() {
    let (folder, path) = place();
    let store = open(&path);
    block_on(async {
        grant(&store, "nano").await.expect("a grant");
        // What a process that is killed now would leave behind.
        let left = folder.path().join("left");
        std::fs::create_dir(&left).expect("a folder");
        for name in ["store.db", "store.db-wal"] {
            std::fs::copy(folder.path().join(name), left.join(name)).expect(name);
        }
        let after = open(&left.join("store.db"));
        assert_eq!(find(&after, &alice()).await, [held("nano", 0, Some(1000))]);
    });
}

#[test]
fn two_stores_on_one_file_see_each_other() {
    let (_folder, path) = place();
    let (first, second) = (open(&path), open(&path));
    block_on(async {
        grant(&first, "nano").await.expect("a grant");
        assert_eq!(find(&second, &alice()).await, [held("nano", 0, Some(1000))]);
        assert!(second.subscriptions().revoke(&alice(), "nano").await.expect("a revocation"));
        assert_eq!(find(&first, &alice()).await, []);

        let mut claims = tokio::task::JoinSet::new();
        for number in 0..50 {
            let nonces = if number % 2 == 0 { first.nonces() } else { second.nonces() };
            claims.spawn(async move { nonces.claim(NonceKey::Issued("n1"), at(9), at(0)).await.expect("a claim") });
        }
        let fresh = claims.join_all().await.into_iter().filter(|claim| *claim == Claim::Fresh).count();
        assert_eq!(fresh, 1);
    });
}

#[test]
fn a_foreign_write_is_noticed_within_two_seconds_and_an_own_one_never() {
    let (_folder, path) = place();
    let (ours, theirs) = (open(&path), open(&path));
    let writes = ours.foreign_writes();
    block_on(async {
        grant(&ours, "nano").await.expect("a grant");
        find(&ours, &alice()).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(writes.load(Ordering::Acquire), 0, "an own write counted");

        grant(&theirs, "pro").await.expect("a grant");
        let noticed = within(Duration::from_secs(2), async || writes.load(Ordering::Acquire) > 0).await;
        assert!(noticed, "a foreign write went unnoticed");
    });
}

#[test]
fn while_another_program_holds_the_lock_reads_go_on_and_writes_are_errors() {
    let (_folder, path) = place();
    let store = open_hasty(&path, true).expect("a store");
    block_on(async {
        grant(&store, "nano").await.expect("a grant");
        let other = Connection::open(&path).expect("the file");
        other.execute_batch("BEGIN IMMEDIATE").expect("the lock");

        let start = Instant::now();
        let refused = grant(&store, "pro").await;
        assert!(matches!(refused, Err(StoreError::Locked | StoreError::Timeout(_))), "{refused:?}");
        assert_eq!(refused.map_err(|error| error.as_str()), Err("timeout"));
        assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
        assert_eq!(find(&store, &alice()).await, [held("nano", 0, Some(1000))]);

        other.execute_batch("ROLLBACK").expect("the lock given back");
        assert!(within(Duration::from_secs(3), async || grant(&store, "pro").await.is_ok()).await);
        assert_eq!(find(&store, &alice()).await.len(), 2);
    });
}

#[test]
fn a_failure_that_undoes_the_whole_transaction_is_an_error_and_reads_go_on() {
    let (_folder, path) = place();
    let store = open(&path);
    block_on(async {
        grant(&store, "nano").await.expect("a grant");
        // As SQLite does by itself when a disk is full or fails.
        let other = Connection::open(&path).expect("the file");
        let trigger = "CREATE TRIGGER full BEFORE INSERT ON siwx_entitlements
                       BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END";
        other.execute_batch(trigger).expect("a trigger");

        let error = grant(&store, "pro").await.expect_err("no room");
        assert_eq!(error.as_str(), "error");
        assert!(error.to_string().contains("database or disk is full"), "{error}");
        assert_eq!(find(&store, &alice()).await, [held("nano", 0, Some(1000))]);

        other.execute_batch("DROP TRIGGER full").expect("room again");
        grant(&store, "pro").await.expect("a grant");
    });
}

#[test]
fn rows_that_make_no_sense_are_errors_and_never_an_empty_answer() {
    let good = "'plan:nano', 1, 2, 'eip155:1'";
    let rows = [
        ("a time that is text", "'plan:nano', 'soon', 2, NULL"),
        ("an end that is a blob", "'plan:nano', 1, x'00', NULL"),
        ("an end beyond the calendar", "'plan:nano', 1, 9223372036854775807, NULL"),
        ("a start before the calendar", "'plan:nano', -9223372036854775808, NULL, NULL"),
        ("no start", "'plan:nano', NULL, NULL, NULL"),
        ("a broken chain", "'plan:nano', 1, 2, 'eip155'"),
        ("a chain that is a number", "'plan:nano', 1, 2, 8453"),
        ("a plan without a name", "'plan:', 1, 2, NULL"),
        ("a huge plan", "'plan:' || hex(zeroblob(100000)), 1, 2, NULL"),
        ("text that is not UTF-8", "cast(x'706c616e3aff' AS TEXT), 1, 2, NULL"),
    ];
    for (name, values) in rows {
        let (_folder, path) = place();
        drop(open(&path));
        let other = Connection::open(&path).expect("the file");
        // As an older or foreign tool might leave it: the same table without its guards.
        let unguarded = "DROP TABLE siwx_entitlements;
            CREATE TABLE siwx_entitlements (namespace, address, scope, starts_at, expires_at, chain_id, payment_id,
                PRIMARY KEY (namespace, address, scope))";
        other.execute_batch(unguarded).expect("a table without guards");
        let insert = |address: &str, values: &str| {
            let sql = format!("INSERT INTO siwx_entitlements VALUES ('eip155', '{address}', {values}, NULL)");
            other.execute_batch(&sql).expect(name);
        };
        insert(alice().address(), values);
        insert("0xgood", good);
        let store = open(&path);
        block_on(async {
            let found = store.subscriptions().find(&alice()).await;
            assert!(matches!(found, Err(StoreError::Corrupt(_))), "{name}: {found:?}");
            let listed = store.subscriptions().list(&Filter::default(), None, 10).await;
            assert!(matches!(listed, Err(StoreError::Corrupt(_))), "{name}: {listed:?}");
            let other = siwx_gateway::caip::AccountKey::new("eip155", "0xgood");
            assert_eq!(find(&store, &other).await.len(), 1, "{name}: others are not touched");
        });
    }
}

#[test]
fn an_account_that_could_never_be_found_is_an_error_when_listed() {
    let (_folder, path) = place();
    drop(open(&path));
    let other = Connection::open(&path).expect("the file");
    let row = "PRAGMA ignore_check_constraints = ON;
        INSERT INTO siwx_entitlements VALUES ('eip155', '0xAb', 'plan:nano', 1, NULL, NULL, NULL)";
    other.execute_batch(row).expect("a row in spite of the guards");
    let store = open(&path);
    let listed = block_on(store.subscriptions().list(&Filter::default(), None, 10)).expect_err("mixed case");
    let expected = "the store holds nonsense: expected an account's key in siwx_entitlements, found `eip155:0xAb`";
    assert_eq!(listed.to_string(), expected);
}

#[test]
fn the_schema_guards_against_nonsense() {
    let (_folder, path) = place();
    drop(open(&path));
    let other = Connection::open(&path).expect("the file");
    for (name, values) in [
        ("a time that is text", "'eip155', '0xab', 'plan:nano', 'soon', NULL, NULL, NULL"),
        ("no start", "'eip155', '0xab', 'plan:nano', NULL, NULL, NULL, NULL"),
        ("an EVM address in mixed case", "'eip155', '0xAb', 'plan:nano', 1, NULL, NULL, NULL"),
        ("a plan without its kind", "'eip155', '0xab', 'nano', 1, NULL, NULL, NULL"),
        ("a chain of another family", "'eip155', '0xab', 'plan:nano', 1, NULL, 'solana:x', NULL"),
        ("no address", "'eip155', '', 'plan:nano', 1, NULL, NULL, NULL"),
        ("a huge scope", "'eip155', '0xab', 'plan:' || hex(zeroblob(100000)), 1, NULL, NULL, NULL"),
    ] {
        let inserted = other.execute_batch(&format!("INSERT INTO siwx_entitlements VALUES ({values})"));
        assert!(inserted.is_err(), "{name}");
    }
    let good = "'eip155', '0xab', 'plan:nano', 1, NULL, 'eip155:1', NULL";
    other.execute_batch(&format!("INSERT INTO siwx_entitlements VALUES ({good})")).expect("what makes sense");
}

#[test]
fn a_file_that_is_no_database_is_an_error() {
    let (_folder, path) = place();
    std::fs::write(&path, "this is not a database, however long one looks at it".repeat(100)).expect("a file");
    let error = open_hasty(&path, true).expect_err("no database");
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("not a database")), "{error:?}");
}

#[test]
fn a_newer_schema_is_refused_whether_or_not_the_store_is_needed() {
    let (_folder, path) = place();
    drop(open(&path));
    Connection::open(&path).and_then(|on| on.execute_batch("PRAGMA user_version = 7")).expect("a newer file");
    for require_at_start in [true, false] {
        let error = open_hasty(&path, require_at_start).expect_err("a newer file");
        let expected = "expected schema version 5 or older, found 7: the store was written by a newer siwx-gateway";
        assert_eq!(error.to_string(), expected, "{require_at_start}");
    }
}

#[test]
fn a_store_that_may_come_later_is_unavailable_until_it_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("not/yet/store.db");
    assert!(matches!(open_hasty(&path, true), Err(StoreError::Unavailable(_))));

    let store = open_hasty(&path, false).expect("a store that may come later");
    block_on(async {
        let found = store.subscriptions().find(&alice()).await;
        assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
        let granted = grant(&store, "nano").await;
        assert!(matches!(granted, Err(StoreError::Unavailable(_))), "{granted:?}");
        assert!(store.check().await.is_err());

        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        assert!(within(Duration::from_secs(3), async || store.check().await.is_ok()).await, "it never came");
        assert!(within(Duration::from_secs(3), async || grant(&store, "nano").await.is_ok()).await, "no writes");
        assert_eq!(find(&store, &alice()).await, [held("nano", 0, Some(1000))]);
    });
}

#[test]
fn old_nonces_are_deleted_and_young_ones_kept() {
    let (_folder, path) = place();
    let store = open(&path);
    let count = |sql: &str| -> i64 {
        let other = Connection::open(&path).expect("the file");
        other.query_row(sql, [], |row| row.get(0)).expect(sql)
    };
    let hour = 3_600_000;
    block_on(async {
        let claim = async |nonce: String, until: i64, now: i64| {
            let claimed = store.nonces().claim(NonceKey::Issued(&nonce), at(until), at(now)).await;
            assert_eq!(claimed.expect("a claim"), Claim::Fresh, "{nonce}");
        };
        for number in 0..10 {
            claim(format!("old{number}"), 1000, 0).await;
        }
        claim("a".into(), 9 * hour, 1000 + hour - 1).await;
        assert_eq!(count("SELECT count(*) FROM siwx_nonces WHERE key LIKE 'issued:old%'"), 10);
        claim("b".into(), 9 * hour, 1000 + hour).await;
        assert_eq!(count("SELECT count(*) FROM siwx_nonces WHERE key LIKE 'issued:old%'"), 6);
        claim("c".into(), 9 * hour, 1000 + hour).await;
        claim("d".into(), 9 * hour, 1000 + hour).await;
        assert_eq!(count("SELECT count(*) FROM siwx_nonces WHERE key LIKE 'issued:old%'"), 0);
        assert_eq!(count("SELECT count(*) FROM siwx_nonces"), 4);
    });
}
