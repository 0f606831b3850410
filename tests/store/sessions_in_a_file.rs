//! Sessions in one file: two stores on it, as two processes have them, what a crash leaves behind, what others write
//! into it, and what is cleaned away.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use rusqlite::Connection;
use siwx_gateway::store::{
    AccountMetadata, Change, Renewal, SessionFilter, SessionSet, SignIn, SignedIn, Store, StoreError,
};

use crate::{
    rules::{at, block_on},
    sessions::{LIFE, alice, begun, bob, change, done, entries, found, key, name, session},
    sqlite::{open, place},
    two_processes::after_a_crash,
};

const HOUR: i64 = 3_600_000;

/// What a successor finds under a key.
async fn after(folder: &Path, step: &str, number: u32) -> Option<SessionSet> {
    found(&after_a_crash(folder, step), number, 9).await
}

fn number(path: &Path, sql: &str) -> i64 {
    let other = Connection::open(path).expect("the file");
    other.query_row(sql, [], |row| row.get(0)).expect(sql)
}

#[test]
fn a_crash_after_any_change_keeps_what_was_promised() {
    let (folder, path) = place();
    let store = open(&path);
    block_on(async {
        let first = begun(&store, 1, &[session(&alice(), "n1", 0)], 0).await;
        assert_eq!(after(folder.path(), "begun", 1).await, Some(first));

        let added = done(&store, &change(2, Change::Add(key(1)), &[session(&bob(), "n2", 1)]), 1).await;
        assert_eq!(after(folder.path(), "added, old", 1).await, None);
        assert_eq!(after(folder.path(), "added", 2).await, Some(added));

        let renewal = Renewal { name: name(3), expires_at: at(2 * LIFE), verified: vec![], refused: vec![] };
        let renewed = store.sessions().rotate(&key(2), &renewal, at(2)).await.expect("an answer");
        assert_eq!(after(folder.path(), "renewed, old", 2).await, None);
        assert_eq!(after(folder.path(), "renewed", 3).await, renewed);

        let replaced = done(&store, &change(4, Change::Replace(key(3)), &[session(&bob(), "n3", 3)]), 3).await;
        assert_eq!(after(folder.path(), "replaced, old", 3).await, None);
        assert_eq!(after(folder.path(), "replaced", 4).await, Some(replaced));

        assert!(store.sessions().end(&key(4)).await.expect("an answer"));
        assert_eq!(after(folder.path(), "ended", 4).await, None);
        // The nonces stay used.
        let next = after_a_crash(folder.path(), "nonces");
        for nonce in ["n1", "n2", "n3"] {
            let again = change(9, Change::Begin, &[session(&alice(), nonce, 9)]);
            let told = next.sessions().sign_in(&again, at(9)).await.expect("an answer");
            assert_eq!(told, SignedIn::NonceUsed { index: 0 }, "{nonce}");
        }
    });
}

#[test]
fn of_fifty_sign_ins_in_two_processes_with_one_nonce_one_is_done() {
    let (_folder, path) = place();
    let stores = [open(&path), open(&path)];
    block_on(async {
        let mut attempts = tokio::task::JoinSet::new();
        for number in 1..=50_u32 {
            let sessions = stores[number as usize % 2].sessions();
            let both = [session(&alice(), &format!("own-{number}"), 0), session(&bob(), "n1", 0)];
            attempts.spawn(async move {
                sessions.sign_in(&change(number, Change::Begin, &both), at(0)).await.expect("an answer")
            });
        }
        let told = attempts.join_all().await;
        assert_eq!(told.iter().filter(|told| matches!(told, SignedIn::Done(_))).count(), 1);
        assert_eq!(told.iter().filter(|told| **told == SignedIn::NonceUsed { index: 1 }).count(), 49);
        let nonces = "SELECT count(*) FROM siwx_nonces";
        assert_eq!(number(&path, nonces), 2, "of those that failed none was used");
    });
}

#[test]
fn of_changes_of_one_set_in_two_processes_the_last_wins_whole() {
    let (_folder, path) = place();
    let stores = [open(&path), open(&path)];
    block_on(async {
        begun(&stores[0], 100, &[session(&alice(), "n0", 0), session(&bob(), "m0", 0)], 0).await;
        let replacement = |number: u32| -> SignIn {
            let both = [session(&alice(), &format!("n{number}"), 0), session(&bob(), &format!("n{number}"), 0)];
            change(number, Change::Replace(key(100)), &both)
        };
        let mut changes = tokio::task::JoinSet::new();
        for number in 1..=30_u32 {
            let sessions = stores[number as usize % 2].sessions();
            changes.spawn(async move {
                let told = sessions.sign_in(&replacement(number), at(0)).await.expect("an answer");
                assert!(matches!(told, SignedIn::Done(_)), "{told:?}");
            });
        }
        changes.join_all().await;
        let page = stores[0].sessions().list(&SessionFilter::default(), None, 9, at(0)).await.expect("an answer");
        let [set] = page.sets.as_slice() else { panic!("{page:?}") };
        let winner: u32 = set.sid.strip_prefix("sid-").and_then(|number| number.parse().ok()).expect("a number");
        let set = found(&stores[1], winner, 0).await.expect("a set");
        assert_eq!(set.entries, entries(replacement(winner).sessions()));
    });
}

#[test]
fn what_another_process_ends_is_ended_here_and_is_told() {
    let (_folder, path) = place();
    let (gateway, operator) = (open(&path), open(&path));
    let writes = gateway.foreign_writes();
    block_on(async {
        begun(&gateway, 1, &[session(&alice(), "n1", 0)], 0).await;
        begun(&gateway, 2, &[session(&bob(), "n2", 0)], 0).await;
        let before = writes.load(Ordering::Acquire);
        assert!(operator.sessions().end_sid("sid-1").await.expect("an answer"));
        assert_eq!(found(&gateway, 1, 0).await, None, "at once, for whoever asks");
        // And soon for whoever remembers.
        let told = async || {
            while writes.load(Ordering::Acquire) == before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), told()).await.expect("told of it");
        assert!(found(&gateway, 2, 0).await.is_some());
    });
}

#[test]
fn ended_sessions_are_deleted_and_young_ones_kept() {
    let (_folder, path) = place();
    let store = open(&path);
    let old = || number(&path, "SELECT count(*) FROM siwx_session_entries WHERE entry_id LIKE 'old%'");
    let sets = || number(&path, "SELECT count(*) FROM siwx_sessions");
    block_on(async {
        let mut ended = session(&alice(), "old0", 0);
        ended.entry.facts.expires_at = at(1000);
        let mut beside = session(&bob(), "old0b", 0);
        beside.entry.facts.expires_at = at(1000);
        begun(&store, 0, &[ended.clone(), beside], 0).await;
        for number in 1..9 {
            let mut another = ended.clone();
            another.entry.facts.id = format!("old{number}");
            another.entry.texts.nonce = format!("old{number}");
            begun(&store, number, &[another], 0).await;
        }
        assert_eq!((old(), sets()), (10, 9));
        let now = 1000 + HOUR;
        begun(&store, 20, &[session(&bob(), "young1", now - 1)], now - 1).await;
        assert_eq!((old(), sets()), (10, 10), "a moment before");
        begun(&store, 21, &[session(&bob(), "young2", now)], now).await;
        assert_eq!((old(), sets()), (6, 8), "four for each that was written, and sets that are empty");
        // A renewal cleans as well.
        let renewal = Renewal { name: name(22), expires_at: at(now), verified: vec![], refused: vec![] };
        assert!(store.sessions().rotate(&key(21), &renewal, at(now)).await.expect("an answer").is_some());
        assert_eq!(old(), 2);
        begun(&store, 23, &[session(&bob(), "young3", now)], now).await;
        assert_eq!((old(), sets()), (0, 3));
        assert!(found(&store, 20, now).await.is_some());
    });
}

#[test]
fn a_sign_in_that_fails_half_way_leaves_everything_as_it_was() {
    // As SQLite does by itself: it undoes a statement, or the whole transaction when a disk is full or fails.
    for undone in ["ABORT", "ROLLBACK"] {
        let (_folder, path) = place();
        let store = open(&path);
        block_on(async {
            let before = begun(&store, 1, &[session(&alice(), "n1", 0)], 0).await;
            let other = Connection::open(&path).expect("the file");
            let trigger = format!(
                "CREATE TRIGGER full BEFORE INSERT ON siwx_session_entries WHEN new.nonce = 'n3'
                 BEGIN SELECT RAISE({undone}, 'database or disk is full'); END"
            );
            other.execute_batch(&trigger).expect("a trigger");
            let two = [session(&alice(), "n2", 1), session(&bob(), "n3", 1)];
            for how in [Change::Begin, Change::Add(key(1)), Change::Replace(key(1))] {
                let failed = store.sessions().sign_in(&change(2, how, &two), at(1)).await.expect_err("no room");
                assert_eq!(failed.to_string(), "cannot write a session: database or disk is full", "{undone}, {how:?}");
                assert_eq!(found(&store, 1, 1).await.as_ref(), Some(&before), "{undone}, {how:?}");
                assert_eq!(found(&store, 2, 1).await, None, "{undone}, {how:?}");
            }
            other.execute_batch("DROP TRIGGER full").expect("room again");
            let set = done(&store, &change(2, Change::Replace(key(1)), &two), 1).await;
            assert_eq!(set.entries, entries(&two), "{undone}: no nonce was used");
        });
    }
}

#[test]
fn nothing_is_left_of_what_was_ended() {
    let (_folder, path) = place();
    let store = open(&path);
    block_on(async {
        begun(&store, 1, &[session(&alice(), "n1", 0), session(&bob(), "n2", 0)], 0).await;
        begun(&store, 2, &[session(&alice(), "n3", 0)], 0).await;
        begun(&store, 3, &[session(&alice(), "n4", 0)], 0).await;
        assert!(store.sessions().end(&key(1)).await.expect("an answer"));
        assert!(store.sessions().end_sid("sid-2").await.expect("an answer"));
        assert_eq!(store.sessions().end_all(&[alice().key()]).await.expect("an answer"), 1);
    });
    assert_eq!(number(&path, "SELECT count(*) FROM siwx_sessions"), 0);
    assert_eq!(number(&path, "SELECT count(*) FROM siwx_session_entries"), 0);
}

#[test]
fn sessions_that_make_no_sense_are_errors_and_never_nobody() {
    let set = |what: &str| format!("UPDATE siwx_session_entries SET {what}");
    let rows = [
        ("a broken account", set("account = 'eip155:1'")),
        ("no id", set("entry_id = ''")),
        ("no scheme", set("scheme = NULL")),
        ("a time that is text", set("expires_at = 'soon'")),
        ("an end beyond the calendar", set("expires_at = 9223372036854775806, absolute_end = 9223372036854775807")),
        ("an end past the last", set("absolute_end = expires_at - 1")),
        ("a huge message", set("message = hex(zeroblob(100000))")),
        ("data that is no JSON", set("data = '{'")),
        ("a cacao that is no JSON", set("cacao = 'x'")),
        ("text that is not UTF-8", set("signature = cast(x'ff' AS TEXT)")),
        ("a public id that is a number", "UPDATE siwx_sessions SET sid = 5".to_owned()),
    ];
    for (name, sql) in rows {
        let (_folder, path) = place();
        let store = open(&path);
        block_on(async {
            begun(&store, 1, &[session(&alice(), "n1", 0)], 0).await;
            let other = Connection::open(&path).expect("the file");
            // As an older or foreign tool might leave them: the same tables without their guards.
            let unguarded = "PRAGMA foreign_keys = OFF;
                CREATE TABLE kept AS SELECT * FROM siwx_session_entries;
                CREATE TABLE kept_sets (id INTEGER PRIMARY KEY, key, replaces, sid, created_at, seen_at);
                INSERT INTO kept_sets SELECT * FROM siwx_sessions;
                DROP TABLE siwx_session_entries; DROP TABLE siwx_sessions;
                ALTER TABLE kept RENAME TO siwx_session_entries;
                ALTER TABLE kept_sets RENAME TO siwx_sessions;";
            other.execute_batch(unguarded).expect("tables without guards");
            other.execute_batch(&sql).expect(name);
            let found = store.sessions().find(&key(1), at(0)).await;
            assert!(matches!(found, Err(StoreError::Corrupt(_))), "{name}: {found:?}");
        });
    }
}

#[test]
fn metadata_that_makes_no_sense_is_an_error() {
    let (_folder, path) = place();
    let store = open(&path);
    block_on(async {
        let metadata = AccountMetadata::new("{}", at(0)).expect("metadata");
        store.sessions().put_metadata(&alice().key(), Some(&metadata)).await.expect("an answer");
        let other = Connection::open(&path).expect("the file");
        other.execute_batch("UPDATE siwx_account_metadata SET metadata = '{'").expect("a change");
        let found = store.sessions().metadata(&alice().key()).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{found:?}");
    });
}

#[test]
fn the_schema_guards_sessions() {
    let (_folder, path) = place();
    let store: Store = open(&path);
    block_on(async {
        begun(&store, 1, &[session(&alice(), "n1", 0), session(&bob(), "n2", 0)], 0).await;
    });
    let other = Connection::open(&path).expect("the file");
    for (name, table, set) in [
        ("a short key", "siwx_sessions", "key = x'00'"),
        ("a key that replaces itself", "siwx_sessions", "replaces = key"),
        ("no public id", "siwx_sessions", "sid = ''"),
        ("no set", "siwx_session_entries", "session_id = 99"),
        (
            "two of one pair",
            "siwx_session_entries",
            "namespace = 'eip155', account = 'eip155:1:0xab', chain_id = 'eip155:1', address = '0xab'",
        ),
        ("an address in mixed case", "siwx_session_entries", "address = upper(address)"),
        ("an account of another address", "siwx_session_entries", "address = '0xab'"),
        ("a chain of another family", "siwx_session_entries", "chain_id = 'tron:1'"),
        ("an end before the beginning", "siwx_session_entries", "expires_at = created_at"),
        ("an end past the last", "siwx_session_entries", "absolute_end = expires_at - 1"),
        ("a huge message", "siwx_session_entries", "message = hex(zeroblob(100000))"),
        ("a huge signature", "siwx_session_entries", "signature = hex(zeroblob(100000))"),
        ("a time that is text", "siwx_session_entries", "verified_at = 'soon'"),
    ] {
        let changed = other.execute_batch(&format!("PRAGMA foreign_keys = ON; UPDATE {table} SET {set}"));
        assert!(changed.is_err(), "{name}");
    }
}
