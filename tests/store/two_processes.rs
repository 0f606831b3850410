//! Two stores on one file, as two processes have them, and what a crash leaves behind.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use rusqlite::Connection;
use siwx_gateway::{
    secret::Secret,
    store::{
        Doubt, Payment, PaymentFilter, PaymentId, PaymentStatus, Recorded, Reserved, Resolution, Resolved, Step, Store,
        StoreError, UsageDelta,
    },
};

use crate::{
    payments::{
        LEASE, access, asked, id, lease, nano, new, owner, receipt, settlement, to_settled, to_settling, weather,
    },
    rules::{DAY, alice, at, block_on, find},
    sqlite::{open, place},
};

/// What a process that is killed now would leave behind, opened by the next one.
pub(crate) fn after_a_crash(folder: &Path, name: &str) -> Store {
    let left = folder.join(name);
    std::fs::create_dir(&left).expect("a folder");
    for file in ["store.db", "store.db-wal"] {
        std::fs::copy(folder.join(file), left.join(file)).expect(file);
    }
    open(&left.join("store.db"))
}

/// What a successor finds once the leases of the dead are over: the state, and what it is to ask for again.
async fn recovered(store: &Store, number: u8) -> (Option<PaymentStatus>, Vec<PaymentId>) {
    let now = 2 * LEASE;
    let taken = store.payments().take_over(&lease("next", now + LEASE), at(now), 10).await.expect("an answer");
    let found = store.payments().payment(&id(number)).await.expect("an answer");
    (found.map(|payment| payment.status), taken.due.into_iter().map(|due| due.payment.id).collect())
}

#[test]
fn a_crash_between_any_two_steps_keeps_what_was_promised() {
    let (folder, path) = place();
    let store = open(&path);
    let payments = store.payments();
    block_on(async {
        let new = new(1, nano(), Some(30));
        assert_eq!(payments.reserve(&new, &lease("a", LEASE), at(0)).await.expect("an answer"), Reserved::Fresh);
        let next = after_a_crash(folder.path(), "reserved");
        assert_eq!(recovered(&next, 1).await, (None, vec![]), "nothing was asked");
        assert_eq!(
            next.payments().reserve(&new, &lease("b", 9 * LEASE), at(2 * LEASE)).await.expect("an answer"),
            Reserved::Fresh
        );

        assert_eq!(payments.settling(&id(1), &lease("a", LEASE), &asked()).await.expect("an answer"), Step::Done);
        let next = after_a_crash(folder.path(), "settling");
        assert_eq!(recovered(&next, 1).await, (Some(PaymentStatus::Settling), vec![id(1)]), "asked for again");
        let found = next.payments().settled(&id(1), &owner("next"), &settlement(1), at(2 * LEASE)).await;
        let given = receipt(1, nano(), Some(2 * LEASE + 30 * DAY), 2 * LEASE);
        assert_eq!(found.expect("an answer"), Recorded::Settled(given));
        assert_eq!(find(&next, &alice()).await.len(), 1, "found later, and opened all the same");

        let doubt = Doubt { next_attempt_at: Some(at(9)), transaction: None };
        assert_eq!(payments.unknown(&id(1), &owner("a"), &doubt).await.expect("an answer"), Step::Done);
        let next = after_a_crash(folder.path(), "unknown");
        assert_eq!(recovered(&next, 1).await, (Some(PaymentStatus::Unknown), vec![id(1)]), "asked for again");

        assert!(payments.take_over_one(&id(1), &lease("b", LEASE), at(1)).await.expect("an answer").is_some());
        let next = after_a_crash(folder.path(), "taken over");
        assert_eq!(recovered(&next, 1).await, (Some(PaymentStatus::Unknown), vec![id(1)]), "and once more");

        let given = receipt(1, nano(), Some(30 * DAY + 2), 2);
        let recorded = payments.settled(&id(1), &owner("b"), &settlement(1), at(2)).await.expect("an answer");
        assert_eq!(recorded, Recorded::Settled(given.clone()));
        let next = after_a_crash(folder.path(), "settled");
        assert_eq!(recovered(&next, 1).await, (Some(PaymentStatus::Settled), vec![]), "never asked for again");
        let replayed = next.payments().reserve(&new, &lease("c", 9 * LEASE), at(3 * LEASE)).await.expect("an answer");
        assert_eq!(replayed, Reserved::Settled(given));
        assert_eq!(find(&next, &alice()).await.len(), 1);
    });
}

#[test]
fn a_store_that_is_closed_and_opened_again_knows_its_payments() {
    let (_folder, path) = place();
    block_on(async {
        let store = open(&path);
        let given = to_settled(&store, 1, weather(), None, 0).await;
        to_settling(&store, &new(2, weather(), None), "a", 0).await;
        drop(store);
        let store = open(&path);
        let replayed = store.payments().reserve(&new(1, weather(), None), &lease("b", LEASE), at(1)).await;
        assert_eq!(replayed.expect("an answer"), Reserved::Settled(given));
        assert_eq!(access(&store, &alice()).await.len(), 1);
        let recorded = store.payments().settled(&id(2), &owner("a"), &settlement(2), at(1)).await.expect("an answer");
        assert_eq!(recorded, Recorded::Settled(receipt(2, weather(), None, 1)));
    });
}

#[test]
fn two_processes_never_work_on_one_payment() {
    let (_folder, path) = place();
    let stores = [open(&path), open(&path)];
    block_on(async {
        let mut attempts = tokio::task::JoinSet::new();
        for number in 0..50_usize {
            let payments = stores[number % 2].payments();
            let lease = lease(&format!("request-{number}"), LEASE);
            attempts.spawn(async move {
                payments.reserve(&new(1, weather(), None), &lease, at(0)).await.expect("an answer")
            });
        }
        let attempts = attempts.join_all().await;
        assert_eq!(attempts.iter().filter(|found| **found == Reserved::Fresh).count(), 1);

        for number in 10..60 {
            to_settling(&stores[0], &new(number, weather(), None), "a", 0).await;
        }
        let mut sweeps = tokio::task::JoinSet::new();
        for number in 0..20_usize {
            let payments = stores[number % 2].payments();
            let lease = lease(&format!("sweep-{number}"), 9 * LEASE);
            sweeps.spawn(async move { payments.take_over(&lease, at(2 * LEASE), 7).await.expect("an answer") });
        }
        let sweeps = sweeps.join_all().await;
        let released: usize = sweeps.iter().map(|taken| taken.released).sum();
        let mut taken: Vec<PaymentId> =
            sweeps.into_iter().flat_map(|taken| taken.due).map(|due| due.payment.id).collect();
        taken.sort();
        assert_eq!((released, taken), (1, (10..60).map(id).collect()), "each by one of them");
    });
}

#[test]
fn of_two_that_record_one_settlement_one_writes_and_both_hold_its_receipt() {
    let (_folder, path) = place();
    let stores = [open(&path), open(&path)];
    block_on(async {
        to_settling(&stores[0], &new(1, nano(), Some(30)), "a", 0).await;
        let mut records = tokio::task::JoinSet::new();
        for number in 0..20_usize {
            let payments = stores[number % 2].payments();
            records.spawn(async move {
                let now = i64::try_from(number).expect("a small number");
                payments.settled(&id(1), &owner("a"), &settlement(1), at(now)).await.expect("an answer")
            });
        }
        let records = records.join_all().await;
        let Recorded::Settled(first) = &records[0] else { panic!("lost") };
        assert!(records.iter().all(|record| *record == Recorded::Settled(first.clone())), "{records:?}");
        let held = find(&stores[1], &alice()).await;
        assert_eq!(held[0].expires_at, first.expires_at, "bought once");
        assert_eq!(held.len(), 1);
    });
}

#[test]
fn an_operator_beside_a_running_gateway() {
    let (_folder, path) = place();
    let (gateway, operator) = (open(&path), open(&path));
    block_on(async {
        to_settling(&gateway, &new(1, weather(), None), "a", 0).await;
        let how = Resolution::Settled(settlement(1));
        let held = operator.payments().resolve(&id(1), &how, at(0)).await.expect("an answer");
        assert_eq!(held, Resolved::Held { lease_until: at(LEASE) });
        assert_eq!(
            gateway.payments().unknown(&id(1), &owner("a"), &Doubt::default()).await.expect("an answer"),
            Step::Done
        );
        let done = operator.payments().resolve(&id(1), &how, at(5)).await.expect("an answer");
        assert_eq!(done, Resolved::Settled(receipt(1, weather(), None, 5)));
        assert_eq!(access(&gateway, &alice()).await.len(), 1);
        let again = gateway.payments().reserve(&new(1, weather(), None), &lease("b", LEASE), at(6)).await;
        assert_eq!(again.expect("an answer"), Reserved::Settled(receipt(1, weather(), None, 5)));
    });
}

#[test]
fn counts_and_secrets_are_shared_and_outlive_a_crash() {
    let (folder, path) = place();
    let (first, second) = (open(&path), open(&path));
    let delta = |requests| UsageDelta {
        account: alice(),
        plan: "nano".into(),
        window_start: at(0),
        window_end: at(DAY),
        requests,
    };
    block_on(async {
        assert_eq!(first.usage().add_usage(&[delta(3)], at(0)).await.expect("an answer"), [3]);
        assert_eq!(second.usage().add_usage(&[delta(4)], at(0)).await.expect("an answer"), [7]);
        assert_eq!(first.usage().usage(&alice(), "nano", at(0)).await.expect("an answer"), 7);
        let made = first.secrets().secret("nonces", Secret::new([1; 32])).await.expect("an answer");
        let told = second.secrets().secret("nonces", Secret::new([2; 32])).await.expect("an answer");
        assert_eq!((made.expose(), told.expose()), (&[1; 32], &[1; 32]));

        let next = after_a_crash(folder.path(), "left");
        assert_eq!(next.usage().usage(&alice(), "nano", at(0)).await.expect("an answer"), 7);
        let told = next.secrets().secret("nonces", Secret::new([3; 32])).await.expect("an answer");
        assert_eq!(told.expose(), &[1; 32]);
    });
}

/// Each change empties the memory of what accounts hold, in every other process.
#[test]
fn a_look_at_what_is_due_is_no_change() {
    let (_folder, path) = place();
    let (ours, theirs) = (open(&path), open(&path));
    let writes = ours.foreign_writes();
    block_on(async {
        to_settled(&ours, 1, weather(), None, 0).await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let before = writes.load(Ordering::Acquire);
        for _ in 0..3 {
            let taken = theirs.payments().take_over(&lease("sweep", 9 * LEASE), at(LEASE), 10).await;
            assert_eq!(taken.expect("an answer").due, []);
        }
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(writes.load(Ordering::Acquire), before);
    });
}

#[test]
fn payments_that_make_no_sense_are_errors_and_never_absent() {
    let set = |what: &str| format!("UPDATE siwx_payments SET {what}");
    let rows = [
        ("a broken network", set("network = 'eip155'")),
        ("no status", set("status = 'lost'")),
        ("a broken scope", set("scope = 'route:'")),
        ("half a lease", set("lease_until = NULL")),
        ("a time that is text", set("created_at = 'soon'")),
        ("a length below zero", set("length_millis = -1")),
        ("attempts below zero", set("attempts = -1")),
        ("an owner that is none", set("owner = ''")),
    ];
    for (name, sql) in rows {
        let (_folder, path) = place();
        let store = open(&path);
        block_on(async {
            to_settling(&store, &new(1, weather(), None), "a", 0).await;
            let other = Connection::open(&path).expect("the file");
            // As an older or foreign tool might leave it: the same table without its guards.
            let unguarded = "CREATE TABLE kept AS SELECT * FROM siwx_payments;
                DROP TABLE siwx_payments;
                ALTER TABLE kept RENAME TO siwx_payments;
                CREATE UNIQUE INDEX kept_id ON siwx_payments (payment_id)";
            other.execute_batch(unguarded).expect("a table without guards");
            other.execute_batch(&sql).expect(name);
            let payments = store.payments();
            let found: Result<Option<Payment>, StoreError> = payments.payment(&id(1)).await;
            assert!(matches!(found, Err(StoreError::Corrupt(_))), "{name}: {found:?}");
            let listed = payments.list(&PaymentFilter::default(), None, 10).await;
            assert!(matches!(listed, Err(StoreError::Corrupt(_))), "{name}: {listed:?}");
            let settled = payments.settled(&id(1), &owner("a"), &settlement(1), at(0)).await;
            assert!(matches!(settled, Err(StoreError::Corrupt(_))), "{name}: {settled:?}");
            assert_eq!(access(&store, &alice()).await, [], "{name}");
        });
    }
}

#[test]
fn the_schema_guards_payments() {
    let (_folder, path) = place();
    let store = open(&path);
    block_on(async {
        to_settling(&store, &new(1, weather(), None), "a", 0).await;
        to_settled(&store, 2, weather(), None, 0).await;
    });
    let other = Connection::open(&path).expect("the file");
    for (name, set) in [
        ("an id in upper case", "payment_id = upper('0a' || substr(payment_id, 3))"),
        ("an amount that is none", "amount = '1.5'"),
        ("a payer in mixed case", "payer = '0xAb'"),
        ("a lease without owner", "owner = NULL"),
        ("a state that is none", "status = 'lost'"),
        ("settling with nothing to ask for", "status = 'unknown', payload = NULL"),
        ("settled without receipt", "status = 'settled', owner = NULL, lease_until = NULL"),
    ] {
        let sql = format!("UPDATE siwx_payments SET {set} WHERE status = 'settling'");
        assert!(other.execute_batch(&sql).is_err(), "{name}");
    }
    let plans = "SELECT count(*) FROM siwx_payments WHERE plan IS NULL AND scope = 'route:weather'";
    assert_eq!(other.query_row(plans, [], |row| row.get::<_, i64>(0)).expect("a count"), 2);
}
