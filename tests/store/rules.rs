//! What any store does, whichever it is. A new store adds its factory to [`for_each_store`] and nothing else.

use std::{path::Path, sync::Arc, time::Duration};

use siwx_gateway::{
    caip::{AccountKey, ChainId},
    policy::subscription::{Subscription, Subscriptions},
    store::{
        self, Backend, Claim, Cursor, Filter, Grant, Held, IMPORT_MAX, NonceKey, Settings, Store, StoreError, Term,
    },
    time::UnixTime,
};

const ALICE: &str = "0xab16a96d359ec26a11e2c2b3d8f8b8942d5bfcdb";
const BOB: &str = "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene";
pub(crate) const NOW: i64 = 1_774_519_500_000;
pub(crate) const DAY: i64 = 86_400_000;

/// The settings of a store that answers within five seconds: tests run beside others on a slow machine.
pub(crate) fn settings(backend: Backend) -> Settings {
    Settings { backend, timeout: Duration::from_secs(5), require_at_start: true }
}

/// A fresh store of each kind, one after the other, with its name.
pub(crate) fn for_each_store<F: Future<Output = ()>>(rule: impl Fn(Store, &'static str) -> F) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = Backend::Sqlite(folder.path().join("store.db"));
    for (name, backend) in [("sqlite", file), ("sqlite in memory", Backend::SqliteMemory)] {
        let store = store::open(&settings(backend)).expect(name);
        block_on(rule(store, name));
    }
}

/// Runs a test as a worker of the gateway would: on a runtime of one thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

pub(crate) fn at(millis: i64) -> UnixTime {
    UnixTime::from_millis(NOW + millis)
}

pub(crate) fn alice() -> AccountKey {
    AccountKey::new("eip155", ALICE)
}

pub(crate) fn bob() -> AccountKey {
    AccountKey::new("solana", BOB)
}

pub(crate) fn until(account: AccountKey, plan: &str, end: i64) -> Grant {
    Grant::new(account, plan, Term::Until(at(end))).expect("a grant")
}

fn period(plan: &str, days: u64, id: Option<&str>) -> Grant {
    let length = Duration::from_secs(days * 86_400);
    Grant::new(alice(), plan, Term::Period { length, id: id.map(Into::into) }).expect("a grant")
}

pub(crate) fn held(plan: &str, starts: i64, end: Option<i64>) -> Subscription {
    Subscription { plan: plan.into(), starts_at: at(starts), expires_at: end.map(at), chain: None, shares: Vec::new() }
}

pub(crate) async fn find(store: &Store, account: &AccountKey) -> Vec<Subscription> {
    store.subscriptions().find(account).await.expect("an answer").iter().cloned().collect()
}

async fn grant(store: &Store, grant: &Grant, now: i64) -> Subscription {
    store.subscriptions().grant(grant, at(now)).await.expect("a grant")
}

#[test]
fn an_account_holds_nothing_at_first() {
    for_each_store(async |store, name| {
        store.check().await.expect(name);
        let found = store.subscriptions().find(&alice()).await.expect(name);
        assert_eq!(found, Subscriptions::default(), "{name}");
        assert!(!store.subscriptions().revoke(&alice(), "nano").await.expect(name), "{name}");
    });
}

#[test]
fn what_is_granted_is_found() {
    for_each_store(async |store, name| {
        let base = ChainId::parse("eip155:8453").expect("a chain");
        let on_base = until(alice(), "nano", DAY).on_chain(base.clone()).expect("a grant");
        let expected = Subscription { chain: Some(base), ..held("nano", 0, Some(DAY)) };
        assert_eq!(grant(&store, &on_base, 0).await, expected, "{name}");
        assert_eq!(find(&store, &alice()).await, [expected], "{name}");
        assert_eq!(find(&store, &bob()).await, [], "{name}");
    });
}

#[test]
fn evm_addresses_are_one_in_any_case_and_others_are_not() {
    for_each_store(async |store, name| {
        let mixed = AccountKey::new("eip155", "0xAb16A96D359eC26a11e2C2b3d8f8B8942d5Bfcdb");
        grant(&store, &until(mixed, "nano", DAY), 0).await;
        assert_eq!(find(&store, &alice()).await, [held("nano", 0, Some(DAY))], "{name}");

        grant(&store, &until(bob(), "nano", DAY), 0).await;
        let folded = AccountKey::new("solana", &BOB.to_lowercase());
        assert_eq!(find(&store, &folded).await, [], "{name}");
        let other_family = AccountKey::new("tron", ALICE);
        assert_eq!(find(&store, &other_family).await, [], "{name}");
    });
}

#[test]
fn one_wallet_holds_several_plans() {
    for_each_store(async |store, name| {
        grant(&store, &until(alice(), "pro", 2 * DAY), 0).await;
        grant(&store, &until(alice(), "nano", DAY), 0).await;
        let forever = Grant::new(alice(), "default", Term::UntilRevoked).expect("a grant");
        grant(&store, &forever, 5).await;
        let nano = held("nano", 0, Some(DAY));
        let pro = held("pro", 0, Some(2 * DAY));
        assert_eq!(find(&store, &alice()).await, [held("default", 5, None), nano.clone(), pro.clone()], "{name}");

        assert!(store.subscriptions().revoke(&alice(), "default").await.expect(name), "{name}");
        assert_eq!(find(&store, &alice()).await, [nano, pro], "{name}");
        assert!(!store.subscriptions().revoke(&alice(), "default").await.expect(name), "{name}");
    });
}

#[test]
fn an_end_is_granted_as_often_as_one_likes() {
    for_each_store(async |store, name| {
        for now in [0, 1, 2] {
            assert_eq!(grant(&store, &until(alice(), "nano", DAY), now).await, held("nano", 0, Some(DAY)), "{name}");
        }
        assert_eq!(grant(&store, &until(alice(), "nano", 5), 3).await, held("nano", 0, Some(5)), "{name}: shortened");
        assert_eq!(
            grant(&store, &until(alice(), "nano", DAY), 5).await,
            held("nano", 5, Some(DAY)),
            "{name}: begun anew"
        );
        assert_eq!(find(&store, &alice()).await, [held("nano", 5, Some(DAY))], "{name}");
    });
}

#[test]
fn periods_add_up_and_one_id_counts_once() {
    for_each_store(async |store, name| {
        assert_eq!(grant(&store, &period("nano", 1, None), 0).await, held("nano", 0, Some(DAY)), "{name}");
        assert_eq!(grant(&store, &period("nano", 1, None), 9).await, held("nano", 0, Some(2 * DAY)), "{name}");
        let paid = period("nano", 1, Some("payment-1"));
        assert_eq!(grant(&store, &paid, 9).await, held("nano", 0, Some(3 * DAY)), "{name}");
        assert_eq!(grant(&store, &paid, 9).await, held("nano", 0, Some(3 * DAY)), "{name}: again");
        let other = period("nano", 1, Some("payment-2"));
        assert_eq!(grant(&store, &other, 9).await, held("nano", 0, Some(4 * DAY)), "{name}: another");
        assert_eq!(grant(&store, &paid, 9).await, held("nano", 0, Some(4 * DAY)), "{name}: the first once more");

        let elsewhere = period("pro", 1, Some("payment-1"));
        assert_eq!(grant(&store, &elsewhere, 9).await, held("pro", 9, Some(DAY + 9)), "{name}: another plan");

        store.subscriptions().revoke(&alice(), "nano").await.expect(name);
        store.subscriptions().revoke(&alice(), "pro").await.expect(name);
        let again = store.subscriptions().grant(&paid, at(9)).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{name}: {again:?}");
        assert_eq!(find(&store, &alice()).await, [], "{name}");
    });
}

#[test]
fn many_grants_at_once_all_count() {
    for_each_store(async |store, name| {
        let mut grants = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let store = store.clone();
            grants.spawn(async move { grant(&store, &period("nano", 1, None), 0).await });
        }
        let mut ends: Vec<i64> =
            grants.join_all().await.iter().filter_map(|held| Some(held.expires_at?.millis())).collect();
        ends.sort_unstable();
        let expected: Vec<i64> = (1..=20).map(|days| NOW + days * DAY).collect();
        assert_eq!(ends, expected, "{name}");
        assert_eq!(find(&store, &alice()).await, [held("nano", 0, Some(20 * DAY))], "{name}");
    });
}

#[test]
fn lists_go_page_by_page_in_order() {
    for_each_store(async |store, name| {
        let subscriptions = store.subscriptions();
        let mut expected = Vec::new();
        for number in 0..25 {
            let account = AccountKey::new("eip155", &format!("0x{number:040x}"));
            for plan in ["nano", "pro"] {
                grant(&store, &until(account.clone(), plan, DAY), 0).await;
                expected.push(Held { account: account.clone(), subscription: held(plan, 0, Some(DAY)) });
            }
        }
        grant(&store, &until(bob(), "nano", DAY), 0).await;
        expected.push(Held { account: bob(), subscription: held("nano", 0, Some(DAY)) });

        let (mut found, mut after, mut sizes) = (Vec::new(), None::<Cursor>, Vec::new());
        loop {
            let page = subscriptions.list(&Filter::default(), after.as_ref(), 20).await.expect(name);
            sizes.push(page.held.len());
            found.extend(page.held);
            // As it goes through a URL.
            after = page.next.map(|next| next.to_string().parse().expect("a cursor"));
            if after.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [20, 20, 11], "{name}");
        assert_eq!(found, expected, "{name}");

        let nano = Filter { plan: Some("nano".into()), ..Filter::default() };
        let page = subscriptions.list(&nano, None, 26).await.expect(name);
        assert_eq!((page.held.len(), page.next), (26, None), "{name}: exactly one page");
        assert!(page.held.iter().all(|held| held.subscription.plan == "nano"), "{name}");

        let one = Filter { account: Some(expected[6].account.clone()), plan: None };
        let page = subscriptions.list(&one, None, 100).await.expect(name);
        assert_eq!(page.held, expected[6..8], "{name}");
        let both = Filter { plan: Some("pro".into()), ..one };
        let page = subscriptions.list(&both, None, 100).await.expect(name);
        assert_eq!(page.held, expected[7..8], "{name}");
        let nobody = Filter { account: Some(alice()), plan: None };
        assert_eq!(subscriptions.list(&nobody, None, 100).await.expect(name).held, [], "{name}");
    });
}

#[test]
fn a_cursor_outlives_what_it_points_at() {
    for_each_store(async |store, name| {
        for plan in ["a", "b", "c"] {
            grant(&store, &until(alice(), plan, DAY), 0).await;
        }
        let subscriptions = store.subscriptions();
        let page = subscriptions.list(&Filter::default(), None, 2).await.expect(name);
        subscriptions.revoke(&alice(), "b").await.expect(name);
        let rest = subscriptions.list(&Filter::default(), page.next.as_ref(), 2).await.expect(name);
        assert_eq!(rest.held, [Held { account: alice(), subscription: held("c", 0, Some(DAY)) }], "{name}");
        assert_eq!(rest.next, None, "{name}");
    });
}

#[test]
fn an_import_is_all_or_nothing() {
    for_each_store(async |store, name| {
        let subscriptions = store.subscriptions();
        grant(&store, &period("gone", 1, Some("used")), 0).await;
        subscriptions.revoke(&alice(), "gone").await.expect(name);

        let good = [until(alice(), "nano", DAY), until(bob(), "pro", DAY), until(alice(), "nano", 2 * DAY)];
        let mut bad = good.to_vec();
        bad.push(period("gone", 1, Some("used")));
        let refused = subscriptions.import(&bad, at(0)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{name}: {refused:?}");
        assert_eq!(find(&store, &alice()).await, [], "{name}");
        assert_eq!(find(&store, &bob()).await, [], "{name}");

        assert_eq!(subscriptions.import(&good, at(0)).await.expect(name), 3, "{name}");
        assert_eq!(find(&store, &alice()).await, [held("nano", 0, Some(2 * DAY))], "{name}");
        assert_eq!(find(&store, &bob()).await, [held("pro", 0, Some(DAY))], "{name}");
        assert_eq!(subscriptions.import(&[], at(0)).await.expect(name), 0, "{name}");
    });
}

#[test]
fn an_import_has_a_bound() {
    for_each_store(async |store, name| {
        let subscriptions = store.subscriptions();
        let grants = |count: usize| -> Vec<Grant> {
            (0..count).map(|n| until(AccountKey::new("eip155", &format!("0x{n:040x}")), "nano", DAY)).collect()
        };
        let refused = subscriptions.import(&grants(IMPORT_MAX + 1), at(0)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{name}: {refused:?}");
        assert_eq!(subscriptions.import(&grants(IMPORT_MAX), at(0)).await.expect(name), IMPORT_MAX, "{name}");
    });
}

#[test]
fn of_fifty_claims_at_once_one_is_fresh() {
    for_each_store(async |store, name| {
        let account = Arc::new(alice());
        for round in 0..4 {
            let mut claims = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let (nonces, account) = (store.nonces(), Arc::clone(&account));
                claims.spawn(async move {
                    let nonce = format!("nonce{round}");
                    nonces.claim(NonceKey::Account(&account, &nonce), at(DAY), at(0)).await
                });
            }
            let claims = claims.join_all().await;
            let fresh = claims.iter().filter(|claim| matches!(claim, Ok(Claim::Fresh))).count();
            let used = claims.iter().filter(|claim| matches!(claim, Ok(Claim::Used))).count();
            assert_eq!((fresh, used), (1, 49), "{name}, round {round}");
        }
    });
}

#[test]
fn keys_of_nonces_are_apart() {
    for_each_store(async |store, name| {
        let nonces = store.nonces();
        let mixed = AccountKey::new("eip155", &ALICE.to_uppercase().replacen("0X", "0x", 1));
        let (alice, bob) = (alice(), bob());
        let rows = [
            ("issued", NonceKey::Issued("n1"), Claim::Fresh),
            ("issued, again", NonceKey::Issued("n1"), Claim::Used),
            ("issued, in another case", NonceKey::Issued("N1"), Claim::Fresh),
            ("an account's", NonceKey::Account(&alice, "n1"), Claim::Fresh),
            ("another account's", NonceKey::Account(&bob, "n1"), Claim::Fresh),
            ("the first one's in another case", NonceKey::Account(&mixed, "n1"), Claim::Used),
            ("one that looks like an account's", NonceKey::Issued("eip155:0xab:n1"), Claim::Fresh),
        ];
        for (row, key, expected) in rows {
            assert_eq!(nonces.claim(key, at(DAY), at(0)).await.expect(row), expected, "{name}: {row}");
        }
    });
}

#[test]
fn a_nonce_is_remembered_past_its_end() {
    for_each_store(async |store, name| {
        let nonces = store.nonces();
        let key = NonceKey::Issued("n1");
        let rows = [
            ("its time is over", 0, 0, Claim::Used),
            ("its time was over", -1, 0, Claim::Used),
            ("a moment is left", 1, 0, Claim::Fresh),
            ("again, for longer", DAY, 0, Claim::Used),
            ("again, after its end", DAY, 2, Claim::Used),
            ("again, the clock set back", DAY, -DAY, Claim::Used),
        ];
        for (row, until, now, expected) in rows {
            assert_eq!(nonces.claim(key, at(until), at(now)).await.expect(row), expected, "{name}: {row}");
        }
    });
}

#[test]
fn an_open_store_knows_itself() {
    for_each_store(async |store, name| {
        assert_eq!(store.name(), "sqlite", "{name}");
        assert_eq!(store.foreign_writes().load(std::sync::atomic::Ordering::Relaxed), 0, "{name}");
    });
    let nowhere = settings(Backend::Sqlite(Path::new("/nonexistent/store.db").into()));
    let error = store::open(&nowhere).expect_err("no such folder").to_string();
    assert!(error.contains("cannot make `/nonexistent/store.db`"), "{error}");
}
