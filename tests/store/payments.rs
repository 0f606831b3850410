//! What any store does with payments (x402.md sections 6 and 7), in the order of a payment's life.

use std::time::Duration;

use siwx_gateway::{
    caip::{AccountKey, ChainId},
    policy::{
        access::{Access, Scope},
        holder::{Holder, Span},
    },
    store::{
        ACCESS_MAX, Asked, Doubt, Filter, Grant, HISTORY_DAYS, Lease, NewPayment, OpenPayments, Owner, Payment,
        PaymentCursor, PaymentFilter, PaymentId, PaymentStatus, Receipt, Recorded, Reserved, Resolution, Resolved,
        Sale, Settlement, Step, Store, StoreError, TAKEN_OVER_MAX, TakenOver, Term,
    },
};

use crate::rules::{DAY, alice, at, bob, find, for_each_store, held, until};

/// The milliseconds of a lease.
pub(crate) const LEASE: i64 = 60_000;

/// When the authorization of every payment here ends.
pub(crate) const VALID: i64 = 120_000;

pub(crate) fn id(number: u8) -> PaymentId {
    PaymentId::new([number; 32])
}

pub(crate) fn owner(name: &str) -> Owner {
    Owner::new(name).expect("a name")
}

pub(crate) fn lease(name: &str, until: i64) -> Lease {
    Lease { owner: owner(name), until: at(until) }
}

fn base() -> ChainId {
    ChainId::parse("eip155:8453").expect("a chain")
}

pub(crate) fn sale(scope: Scope, days: Option<u64>) -> Sale {
    Sale {
        network: base(),
        scheme: "exact".into(),
        asset: "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913".into(),
        amount: "10000".into(),
        facilitator: "main".into(),
        route: "weather".into(),
        scope,
        length: days.map(|days| Duration::from_secs(days * 86_400)),
    }
}

pub(crate) fn weather() -> Scope {
    Scope::route("weather").expect("a scope")
}

pub(crate) fn nano() -> Scope {
    Scope::plan("nano").expect("a scope")
}

pub(crate) fn new(number: u8, scope: Scope, days: Option<u64>) -> NewPayment {
    NewPayment::new(id(number), sale(scope, days), at(VALID)).expect("a payment")
}

pub(crate) fn asked() -> Asked {
    Asked::new(b"payload".to_vec(), b"requirement".to_vec()).expect("something to ask for")
}

pub(crate) fn settlement(number: u8) -> Settlement {
    Settlement::new(alice(), &format!("0x{number:02x}"), &format!("cmVz{number:02x}")).expect("a settlement")
}

pub(crate) fn receipt(number: u8, scope: Scope, expires: Option<i64>, settled: i64) -> Receipt {
    Receipt {
        payer: alice(),
        network: base(),
        scope,
        expires_at: expires.map(at),
        transaction: format!("0x{number:02x}"),
        response: format!("cmVz{number:02x}"),
        settled_at: at(settled),
    }
}

/// A payment as far as `settling`, by `name`, at `now`.
pub(crate) async fn to_settling(store: &Store, new: &NewPayment, name: &str, now: i64) {
    let payments = store.payments();
    let lease = lease(name, now + LEASE);
    assert_eq!(payments.reserve(new, &lease, at(now)).await.expect("an answer"), Reserved::Fresh);
    assert_eq!(payments.settling(new.id(), &lease, &asked()).await.expect("an answer"), Step::Done);
}

/// A payment as far as `settled`, by alice.
pub(crate) async fn to_settled(store: &Store, number: u8, scope: Scope, days: Option<u64>, now: i64) -> Receipt {
    to_settling(store, &new(number, scope, days), "a", now).await;
    let recorded = store.payments().settled(&id(number), &owner("a"), &settlement(number), at(now)).await;
    match recorded.expect("an answer") {
        Recorded::Settled(receipt) => receipt,
        Recorded::Lost => panic!("lost"),
    }
}

/// A payment as far as `unknown`, to be asked for again at `next`.
async fn to_unknown(store: &Store, number: u8, next: Option<i64>, now: i64) {
    to_settling(store, &new(number, weather(), None), "a", now).await;
    let doubt = Doubt { next_attempt_at: next.map(at), transaction: None };
    assert_eq!(store.payments().unknown(&id(number), &owner("a"), &doubt).await.expect("an answer"), Step::Done);
}

async fn status(store: &Store, number: u8) -> Option<PaymentStatus> {
    store.payments().payment(&id(number)).await.expect("an answer").map(|payment| payment.status)
}

pub(crate) async fn access(store: &Store, account: &AccountKey) -> Vec<Access> {
    store.subscriptions().find(account).await.expect("an answer").access().cloned().collect()
}

fn to_weather(path: Option<&str>, starts: i64, expires: Option<i64>) -> Access {
    Access {
        route: "weather".into(),
        path: path.map(Into::into),
        starts_at: at(starts),
        expires_at: expires.map(at),
        chain: Some(base()),
        shares: Vec::new(),
    }
}

#[test]
fn a_payment_from_end_to_end() {
    for_each_store(async |store, name| {
        let payments = store.payments();
        assert_eq!(payments.payment(&id(1)).await.expect(name), None, "{name}");
        let new = new(1, weather(), Some(1));
        assert_eq!(payments.reserve(&new, &lease("a", LEASE), at(0)).await.expect(name), Reserved::Fresh, "{name}");
        let mut expected = Payment {
            id: id(1),
            sale: sale(weather(), Some(1)),
            status: PaymentStatus::Reserved,
            payer: None,
            transaction: None,
            response: None,
            lease: Some(lease("a", LEASE)),
            created_at: at(0),
            settled_at: None,
            valid_until: at(VALID),
            expires_at: None,
            attempts: 0,
            next_attempt_at: None,
        };
        assert_eq!(payments.payment(&id(1)).await.expect(name).as_ref(), Some(&expected), "{name}: reserved");

        let asked = asked().charging("7").and_then(|asked| asked.paid_by(bob_on_base())).expect("a charge");
        assert_eq!(payments.settling(&id(1), &lease("a", 2 * LEASE), &asked).await.expect(name), Step::Done, "{name}");
        expected.sale.amount = "7".into();
        expected.status = PaymentStatus::Settling;
        expected.payer = Some(bob_on_base());
        expected.lease = Some(lease("a", 2 * LEASE));
        expected.attempts = 1;
        assert_eq!(payments.payment(&id(1)).await.expect(name).as_ref(), Some(&expected), "{name}: settling");
        assert_eq!(access(&store, &alice()).await, [], "{name}");

        let given = receipt(1, weather(), Some(DAY + 5), 5);
        let recorded = payments.settled(&id(1), &owner("a"), &settlement(1), at(5)).await.expect(name);
        assert_eq!(recorded, Recorded::Settled(given.clone()), "{name}");
        expected.status = PaymentStatus::Settled;
        expected.payer = Some(alice());
        expected.transaction = Some(given.transaction.clone());
        expected.response = Some(given.response.clone());
        expected.lease = None;
        expected.settled_at = Some(at(5));
        expected.expires_at = Some(at(DAY + 5));
        assert_eq!(payments.payment(&id(1)).await.expect(name).as_ref(), Some(&expected), "{name}: settled");
        assert_eq!(expected.receipt(), Some(given), "{name}");
        assert_eq!(access(&store, &alice()).await, [to_weather(None, 5, Some(DAY + 5))], "{name}");
        assert_eq!(access(&store, &bob_on_base()).await, [], "{name}: who verify named pays nothing");
        assert_eq!(find(&store, &alice()).await, [], "{name}: access is no plan");
    });
}

/// An account that verify named, and settle did not.
fn bob_on_base() -> AccountKey {
    AccountKey::new("eip155", "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a")
}

#[test]
fn of_fifty_reservations_at_once_one_is_fresh() {
    for_each_store(async |store, name| {
        let mut attempts = tokio::task::JoinSet::new();
        for number in 0..50 {
            let payments = store.payments();
            let lease = lease(&format!("request-{number}"), LEASE);
            attempts.spawn(async move { payments.reserve(&new(1, weather(), None), &lease, at(0)).await });
        }
        let attempts = attempts.join_all().await;
        let held = Reserved::Held { status: PaymentStatus::Reserved, lease_until: at(LEASE) };
        let count = |expected: &Reserved| attempts.iter().filter(|found| found.as_ref().ok() == Some(expected)).count();
        assert_eq!((count(&Reserved::Fresh), count(&held)), (1, 49), "{name}");
    });
}

#[test]
fn what_a_second_reservation_is_told() {
    for_each_store(async |store, name| {
        let payments = store.payments();
        let again = async |number: u8, now: i64| {
            let new = new(number, nano(), Some(9));
            payments.reserve(&new, &lease("b", now + LEASE), at(now)).await.expect(name)
        };
        let held = |status, until| Reserved::Held { status, lease_until: at(until) };

        payments.reserve(&new(1, weather(), None), &lease("a", LEASE), at(0)).await.expect(name);
        assert_eq!(again(1, LEASE - 1).await, held(PaymentStatus::Reserved, LEASE), "{name}: a moment before");
        assert_eq!(again(1, LEASE).await, Reserved::Fresh, "{name}: its lease is over and nothing was asked");

        to_settling(&store, &new(2, weather(), None), "a", 0).await;
        let settling = held(PaymentStatus::Settling, LEASE);
        assert_eq!(again(2, LEASE - 1).await, settling, "{name}");
        assert_eq!(again(2, LEASE).await, settling, "{name}: its lease is over, and something was asked");

        to_unknown(&store, 3, Some(500), 0).await;
        let unknown = Reserved::Unknown { next_attempt_at: Some(at(500)), lease_until: None };
        assert_eq!(again(3, 501).await, unknown, "{name}");

        let given = to_settled(&store, 4, weather(), Some(1), 0).await;
        assert_eq!(given, receipt(4, weather(), Some(DAY), 0), "{name}");
        for now in [1, VALID + 1, 2 * DAY] {
            assert_eq!(again(4, now).await, Reserved::Settled(given.clone()), "{name}: at {now}");
        }
    });
}

#[test]
fn every_step_is_its_owners_alone_and_from_the_right_state() {
    type Row = (&'static str, PaymentStatus, [bool; 5]);
    // What the owner may do in each state: renew, release, settling, refused, unknown.
    let rows: [Row; 4] = [
        ("reserved", PaymentStatus::Reserved, [true, true, true, false, false]),
        ("settling", PaymentStatus::Settling, [true, false, false, true, true]),
        ("unknown, taken over", PaymentStatus::Unknown, [true, false, false, true, true]),
        ("settled", PaymentStatus::Settled, [false; 5]),
    ];
    for_each_store(async |store, name| {
        let payments = store.payments();
        let mut number = 0;
        for (row, state, allowed) in rows {
            for (step, allowed) in allowed.into_iter().enumerate() {
                number += 1;
                match state {
                    PaymentStatus::Reserved => {
                        let new = new(number, weather(), None);
                        payments.reserve(&new, &lease("a", LEASE), at(0)).await.map(drop).expect(name);
                    }
                    PaymentStatus::Settling => to_settling(&store, &new(number, weather(), None), "a", 0).await,
                    PaymentStatus::Settled => drop(to_settled(&store, number, weather(), None, 0).await),
                    PaymentStatus::Unknown => {
                        to_unknown(&store, number, None, 0).await;
                        let due = payments.take_over_one(&id(number), &lease("a", LEASE), at(0)).await.expect(name);
                        assert!(due.is_some(), "{name}: {row}");
                    }
                }
                let take = async |who: &str| {
                    let (id, lease) = (id(number), lease(who, 2 * LEASE));
                    match step {
                        0 => payments.renew(&id, &lease).await,
                        1 => payments.release(&id, &lease.owner).await,
                        2 => payments.settling(&id, &lease, &asked()).await,
                        3 => payments.refused(&id, &lease.owner).await,
                        _ => payments.unknown(&id, &lease.owner, &Doubt::default()).await,
                    }
                    .expect(name)
                };
                let before = payments.payment(&id(number)).await.expect(name);
                assert_eq!(take("b").await, Step::Lost, "{name}: {row}, step {step}, another's");
                assert_eq!(payments.payment(&id(number)).await.expect(name), before, "{name}: {row}, step {step}");
                let expected = if allowed { Step::Done } else { Step::Lost };
                assert_eq!(take("a").await, expected, "{name}: {row}, step {step}");
                let after = payments.payment(&id(number)).await.expect(name);
                assert_eq!(after != before, allowed, "{name}: {row}, step {step}");
            }
        }
        let nobody = id(200);
        assert_eq!(payments.renew(&nobody, &lease("a", 1)).await.expect(name), Step::Lost, "{name}");
        assert_eq!(payments.settling(&nobody, &lease("a", 1), &asked()).await.expect(name), Step::Lost, "{name}");
        let recorded = payments.settled(&nobody, &owner("a"), &settlement(1), at(0)).await.expect(name);
        assert_eq!(recorded, Recorded::Lost, "{name}");
    });
}

#[test]
fn what_is_released_or_refused_leaves_no_row() {
    for_each_store(async |store, name| {
        let payments = store.payments();
        for _ in 0..3 {
            let new = new(1, weather(), None);
            assert_eq!(payments.reserve(&new, &lease("a", LEASE), at(0)).await.expect(name), Reserved::Fresh, "{name}");
            assert_eq!(payments.release(&id(1), &owner("a")).await.expect(name), Step::Done, "{name}");
            to_settling(&store, &new, "a", 0).await;
            assert_eq!(payments.refused(&id(1), &owner("a")).await.expect(name), Step::Done, "{name}");
        }
        let page = payments.list(&PaymentFilter::default(), None, 10).await.expect(name);
        assert_eq!((page.payments, page.next), (vec![], None), "{name}");
        assert_eq!(access(&store, &alice()).await, [], "{name}");
    });
}

#[test]
fn nothing_is_settled_that_was_not_asked_for_by_its_owner() {
    for_each_store(async |store, name| {
        let payments = store.payments();
        payments.reserve(&new(1, weather(), None), &lease("a", LEASE), at(0)).await.map(drop).expect(name);
        let recorded = payments.settled(&id(1), &owner("a"), &settlement(1), at(0)).await.expect(name);
        assert_eq!(recorded, Recorded::Lost, "{name}: only reserved");
        to_settling(&store, &new(2, weather(), None), "a", 0).await;
        let recorded = payments.settled(&id(2), &owner("b"), &settlement(2), at(0)).await.expect(name);
        assert_eq!(recorded, Recorded::Lost, "{name}: another's");
        to_unknown(&store, 3, None, 0).await;
        let recorded = payments.settled(&id(3), &owner("a"), &settlement(3), at(0)).await.expect(name);
        assert_eq!(recorded, Recorded::Lost, "{name}: given up");
        assert_eq!(access(&store, &alice()).await, [], "{name}");

        let solana = Settlement::new(bob(), "5x", "cmVz").expect("a settlement");
        let refused = payments.settled(&id(2), &owner("a"), &solana, at(0)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{name}: {refused:?}");
        let by_bob = asked().paid_by(bob()).expect("a payer");
        payments.reserve(&new(4, weather(), None), &lease("a", LEASE), at(0)).await.map(drop).expect(name);
        let refused = payments.settling(&id(4), &lease("a", LEASE), &by_bob).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{name}: {refused:?}");
        assert_eq!(access(&store, &bob()).await, [], "{name}");
        assert_eq!(status(&store, 2).await, Some(PaymentStatus::Settling), "{name}");
    });
}

#[test]
fn a_replay_changes_nothing_and_gets_the_same_receipt() {
    for_each_store(async |store, name| {
        let payments = store.payments();
        let first = to_settled(&store, 1, nano(), Some(30), 0).await;
        assert_eq!(first, receipt(1, nano(), Some(30 * DAY), 0), "{name}");
        let second = to_settled(&store, 2, nano(), Some(30), 9).await;
        assert_eq!(second, receipt(2, nano(), Some(60 * DAY), 9), "{name}: extended from the end of what is active");
        for who in ["a", "b"] {
            let other = Settlement::new(bob_on_base(), "0xff", "b3RoZXI=").expect("a settlement");
            let again = payments.settled(&id(1), &owner(who), &other, at(77)).await.expect(name);
            assert_eq!(again, Recorded::Settled(first.clone()), "{name}: {who}");
        }
        let chained =
            siwx_gateway::policy::subscription::Subscription { chain: Some(base()), ..held("nano", 0, Some(60 * DAY)) };
        assert_eq!(find(&store, &alice()).await, [chained], "{name}");
        assert_eq!(find(&store, &bob_on_base()).await, [], "{name}");
    });
}

#[test]
fn what_a_purchase_opens() {
    for_each_store(async |store, name| {
        let path = |path: &str| Scope::route_path("weather", path).expect("a scope");
        store.subscriptions().grant(&until(alice(), "nano", 10 * DAY), at(0)).await.expect(name);
        // What is bought, for how long, when, and the end of it then.
        let rows = [
            (nano(), Some(1), 1, Some(11 * DAY)),
            (Scope::plan("pro").expect("a scope"), Some(1), 1, Some(DAY + 1)),
            (weather(), Some(1), 0, Some(DAY)),
            (weather(), Some(1), DAY - 1, Some(2 * DAY)),
            (weather(), Some(1), 2 * DAY, Some(3 * DAY)),
            (path("/a"), Some(1), 5, Some(DAY + 5)),
            (path("/b"), None, 5, None),
            (path("/b"), Some(1), 6, None),
            (weather(), None, 7, None),
        ];
        for (number, (scope, days, now, expires)) in (1..).zip(rows) {
            let given = to_settled(&store, number, scope.clone(), days, now).await;
            assert_eq!(given, receipt(number, scope, expires, now), "{name}: {number}");
        }
        let expected =
            [to_weather(None, 7, None), to_weather(Some("/a"), 5, Some(DAY + 5)), to_weather(Some("/b"), 5, None)];
        assert_eq!(access(&store, &alice()).await, expected, "{name}");
        let plans: Vec<(String, Option<i64>)> = find(&store, &alice())
            .await
            .into_iter()
            .map(|held| (held.plan, held.expires_at.map(|end| end.millis_since(at(0)))))
            .collect();
        assert_eq!(plans, [("nano".to_owned(), Some(11 * DAY)), ("pro".to_owned(), Some(DAY + 1))], "{name}");
        let listed = store.subscriptions().list(&Filter::default(), None, 10).await.expect(name);
        assert_eq!(listed.held.len(), 2, "{name}: access is not listed among subscriptions");
        assert!(!store.subscriptions().revoke(&alice(), "weather").await.expect(name), "{name}");

        let asked =
            async |route: &str, path: &str| store.subscriptions().access(&alice(), route, path).await.expect(name);
        assert_eq!(asked("weather", "/a/").await, expected[..2], "{name}");
        assert_eq!(asked("weather", "/c").await, expected[..1], "{name}");
        assert_eq!(asked("dear", "/a").await, [], "{name}");
        assert_eq!(asked("weather:", "no path").await, [], "{name}: no scopes");
    });
}

/// Section 7: the same contract address on another chain may be somebody else's.
#[test]
fn what_was_paid_on_each_chain_is_kept_apart() {
    for_each_store(async |store, name| {
        let subscriptions = store.subscriptions();
        let optimism = ChainId::parse("eip155:10").expect("a chain");
        let buy = async |number: u8, scope: Scope, network: &ChainId, now: i64| {
            let sale = Sale { network: network.clone(), ..sale(scope, Some(1)) };
            to_settling(&store, &NewPayment::new(id(number), sale, at(VALID)).expect(name), "a", now).await;
            store
                .payments()
                .settled(&id(number), &owner("a"), &settlement(number), at(now))
                .await
                .map(drop)
                .expect(name);
        };
        let end = |span: Option<Span>| span.map(|span| span.expires_at.map(|end| end.millis_since(at(0))));
        // What a key pair may use, and contracts on Base, on Optimism and elsewhere.
        let ends = async || {
            let found = subscriptions.find(&alice()).await.expect(name);
            let plan = found.iter().next().cloned();
            let access = found.access().next().cloned();
            let holders = [
                Holder::KeyPair,
                Holder::Contract("eip155:8453"),
                Holder::Contract("eip155:10"),
                Holder::Contract("eip155:1"),
            ];
            holders.map(|holder| {
                let of_plan = plan.as_ref().and_then(|plan| end(plan.span_for(holder)));
                let of_access = access.as_ref().and_then(|access| end(access.span_for(holder)));
                assert_eq!(of_plan, of_access, "{name}: {holder:?}");
                of_plan
            })
        };
        let both = async |number: u8, network: &ChainId, now: i64| {
            buy(number, nano(), network, now).await;
            buy(number + 1, weather(), network, now).await;
        };
        let day = |days: i64| Some(Some(days * DAY));
        both(1, &base(), 0).await;
        assert_eq!(ends().await, [day(1), day(1), None, None], "{name}: one payment");
        both(3, &optimism, 0).await;
        assert_eq!(ends().await, [day(2), day(1), day(1), None], "{name}: the second takes nothing from the first");
        both(5, &base(), DAY / 2).await;
        assert_eq!(ends().await, [day(3), day(2), day(1), None], "{name}: the first again");
        let asked = subscriptions.access(&alice(), "weather", "/x").await.expect(name);
        let found = subscriptions.find(&alice()).await.expect(name);
        assert_eq!(asked, found.access().cloned().collect::<Vec<_>>(), "{name}");
        let listed = subscriptions.list(&Filter::default(), None, 9).await.expect(name);
        assert_eq!(listed.held.first().map(|held| &held.subscription), found.iter().next(), "{name}");
        both(7, &optimism, 5 * DAY).await;
        assert_eq!(ends().await, [day(6), None, day(6), None], "{name}: what has ended is forgotten");
        assert!(subscriptions.find(&alice()).await.expect(name).iter().all(|plan| plan.shares.is_empty()), "{name}");
    });
}

#[test]
fn what_an_operator_grants_counts_on_every_chain_unless_one_is_named() {
    for_each_store(async |store, name| {
        let subscriptions = store.subscriptions();
        to_settled(&store, 1, nano(), Some(1), 0).await;
        let holders = [Holder::KeyPair, Holder::Contract("eip155:8453"), Holder::Contract("eip155:1")];
        let ends = async || {
            let found = subscriptions.find(&alice()).await.expect(name);
            let plan = found.iter().next().cloned().expect(name);
            holders
                .map(|holder| plan.span_for(holder).and_then(|span| span.expires_at).map(|end| end.millis_since(at(0))))
        };
        assert_eq!(ends().await, [Some(DAY), Some(DAY), None], "{name}: paid on Base");
        let length = Duration::from_secs(86_400);
        let more = Grant::new(alice(), "nano", Term::Period { length, id: Some("more".into()) }).expect("a grant");
        for _ in 0..2 {
            let granted = subscriptions.grant(&more, at(0)).await.expect(name);
            assert_eq!(granted.shares.len(), 2, "{name}");
            assert_eq!(ends().await, [Some(2 * DAY), Some(2 * DAY), Some(DAY)], "{name}: a day more for everybody");
        }
        let on_main = ChainId::parse("eip155:1").expect("a chain");
        let there = until(alice(), "nano", 3 * DAY).on_chain(on_main).expect("a grant");
        subscriptions.grant(&there, at(0)).await.expect(name);
        assert_eq!(ends().await, [Some(3 * DAY), Some(2 * DAY), Some(3 * DAY)], "{name}: on one chain");
        assert!(subscriptions.revoke(&alice(), "nano").await.expect(name), "{name}");
        to_settled(&store, 2, nano(), Some(1), 1).await;
        assert_eq!(ends().await, [Some(DAY + 1), Some(DAY + 1), None], "{name}: nothing is left of what was revoked");
    });
}

#[test]
fn access_that_ended_long_ago_is_forgotten_and_plans_are_not() {
    for_each_store(async |store, name| {
        to_settled(&store, 1, weather(), Some(1), 0).await;
        to_settled(&store, 2, nano(), Some(1), 0).await;
        let forever = Scope::route_path("weather", "/a").expect("a scope");
        to_settled(&store, 3, forever, None, 0).await;
        let ended = to_weather(None, 0, Some(DAY));
        let lasting = to_weather(Some("/a"), 0, None);
        let dear =
            |number: u8, now: i64| to_settled(&store, number, Scope::plan("pro").expect("a scope"), Some(1), now);
        dear(4, 31 * DAY - 1).await;
        assert_eq!(access(&store, &alice()).await, [ended, lasting.clone()], "{name}");
        dear(5, 31 * DAY).await;
        assert_eq!(access(&store, &alice()).await, [lasting], "{name}");
        let plans: Vec<String> = find(&store, &alice()).await.into_iter().map(|held| held.plan).collect();
        assert_eq!(plans, ["nano", "pro"], "{name}");
    });
}

#[test]
fn whoever_holds_more_than_memory_does_is_told_so() {
    for_each_store(async |store, name| {
        let mut ids = 0_u64;
        let mut buy = async |path: String| {
            ids += 1;
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&ids.to_be_bytes());
            let id = PaymentId::new(hash);
            let scope = Scope::route_path("weather", &path).expect("a scope");
            let new = NewPayment::new(id, sale(scope, None), at(VALID)).expect("a payment");
            to_settling(&store, &new, "a", 0).await;
            store.payments().settled(&id, &owner("a"), &settlement(1), at(0)).await.map(drop).expect(name);
        };
        for number in 0..ACCESS_MAX {
            buy(format!("/{number:06}")).await;
        }
        let held = store.subscriptions().find(&alice()).await.expect(name);
        assert_eq!((held.access().count(), held.has_more_access()), (ACCESS_MAX, false), "{name}");
        buy("/last".into()).await;
        let held = store.subscriptions().find(&alice()).await.expect(name);
        assert_eq!((held.access().count(), held.has_more_access()), (ACCESS_MAX, true), "{name}");
        assert_eq!(held.opens("weather", "/last", Holder::KeyPair, at(0)), None, "{name}");
        let last = store.subscriptions().access(&alice(), "weather", "/last").await.expect(name);
        assert_eq!(last, [to_weather(Some("/last"), 0, None)], "{name}");
    });
}

#[test]
fn what_is_taken_over() {
    for_each_store(async |store, name| {
        let payments = store.payments();
        payments.reserve(&new(1, weather(), None), &lease("a", LEASE), at(0)).await.map(drop).expect(name);
        to_settling(&store, &new(2, weather(), None), "a", 1).await;
        to_unknown(&store, 3, Some(5000), 2).await;
        to_unknown(&store, 4, None, 3).await;
        to_settled(&store, 5, weather(), None, 4).await;

        let sweep = async |now: i64, limit| {
            let taken = payments.take_over(&lease("sweep", now + LEASE), at(now), limit).await.expect(name);
            let due: Vec<PaymentId> = taken.due.iter().map(|due| due.payment.id).collect();
            (taken.released, due, taken)
        };
        assert_eq!(sweep(4999, 9).await.2, TakenOver::default(), "{name}: nothing is due");
        assert_eq!(sweep(5000, 0).await.2, TakenOver::default(), "{name}: nothing is wanted");
        let (released, due, taken) = sweep(5000, 9).await;
        assert_eq!((released, due), (0, vec![id(3)]), "{name}: unknown and due");
        let again = &taken.due[0];
        assert_eq!((again.payload.as_slice(), again.requirement.as_slice()), (&b"payload"[..], &b"requirement"[..]));
        assert_eq!(again.payment.lease, Some(lease("sweep", 5000 + LEASE)), "{name}");
        assert_eq!((again.payment.status, again.payment.attempts), (PaymentStatus::Unknown, 2), "{name}");
        assert_eq!(sweep(5001, 9).await.2, TakenOver::default(), "{name}: it is being asked for");

        let (released, due, taken) = sweep(LEASE, 9).await;
        assert_eq!((released, due, taken.due.len()), (1, vec![], 0), "{name}: the reservation is released");
        assert_eq!(status(&store, 1).await, None, "{name}");
        let (released, due, taken) = sweep(LEASE + 1, 9).await;
        assert_eq!((released, due), (0, vec![id(2)]), "{name}: settling, its lease over");
        assert_eq!((taken.due[0].payment.status, taken.due[0].payment.attempts), (PaymentStatus::Settling, 2));

        let lost = payments.settled(&id(2), &owner("a"), &settlement(2), at(0)).await.expect(name);
        assert_eq!(lost, Recorded::Lost, "{name}: the first owner has lost it");
        assert_eq!(payments.refused(&id(2), &owner("a")).await.expect(name), Step::Lost, "{name}");
        assert_eq!(payments.renew(&id(2), &lease("a", DAY)).await.expect(name), Step::Lost, "{name}");
        let found = payments.settled(&id(2), &owner("sweep"), &settlement(2), at(LEASE + 9)).await.expect(name);
        assert_eq!(found, Recorded::Settled(receipt(2, weather(), None, LEASE + 9)), "{name}");

        let (released, due, _) = sweep(9 * DAY, 9).await;
        assert_eq!((released, due), (0, vec![id(3)]), "{name}: whoever took it over has died as well");
        assert_eq!(status(&store, 4).await, Some(PaymentStatus::Unknown), "{name}: left to an operator");
    });
}

#[test]
fn what_is_taken_over_has_a_bound_and_the_oldest_come_first() {
    for_each_store(async |store, name| {
        let count = u8::try_from(TAKEN_OVER_MAX).expect("a small bound") + 5;
        for number in 0..count {
            to_settling(&store, &new(number, weather(), None), "a", 1000 - i64::from(number)).await;
        }
        let payments = store.payments();
        let mut found = Vec::new();
        for (limit, expected) in [(3, 3), (usize::MAX, TAKEN_OVER_MAX), (9, 2), (9, 0)] {
            let taken = payments.take_over(&lease("sweep", 2 * DAY), at(DAY), limit).await.expect(name);
            assert_eq!(taken.due.len(), expected, "{name}");
            found.extend(taken.due.into_iter().map(|due| due.payment.id));
        }
        let expected: Vec<PaymentId> = (0..count).rev().map(id).collect();
        assert_eq!(found, expected, "{name}");
    });
}

#[test]
fn one_payment_is_taken_over_by_one_alone() {
    for_each_store(async |store, name| {
        let payments = store.payments();
        let one = async |number: u8, who: &str, now: i64| {
            let due = payments.take_over_one(&id(number), &lease(who, now + LEASE), at(now)).await.expect(name);
            due.map(|due| (due.payment.status, due.payment.attempts))
        };
        assert_eq!(one(1, "b", 0).await, None, "{name}: there is none");
        payments.reserve(&new(1, weather(), None), &lease("a", LEASE), at(0)).await.map(drop).expect(name);
        assert_eq!(one(1, "b", DAY).await, None, "{name}: nothing was asked");
        to_settling(&store, &new(2, weather(), None), "a", 0).await;
        assert_eq!(one(2, "b", LEASE - 1).await, None, "{name}: somebody asks");
        assert_eq!(one(2, "b", LEASE).await, Some((PaymentStatus::Settling, 2)), "{name}");
        to_settled(&store, 3, weather(), None, 0).await;
        assert_eq!(one(3, "b", DAY).await, None, "{name}: settled");

        to_unknown(&store, 4, Some(DAY), 0).await;
        let mut attempts = tokio::task::JoinSet::new();
        for number in 0..20 {
            let (payments, lease) = (store.payments(), lease(&format!("request-{number}"), LEASE));
            attempts.spawn(async move { payments.take_over_one(&id(4), &lease, at(1)).await.expect("an answer") });
        }
        let taken: Vec<_> = attempts.join_all().await.into_iter().flatten().collect();
        assert_eq!(taken.len(), 1, "{name}: not yet due, and asked for by one");
        let due = &taken[0];
        assert_eq!((due.payment.status, due.payment.attempts), (PaymentStatus::Unknown, 2), "{name}");

        let holder = due.payment.lease.as_ref().expect("a lease").owner.clone();
        let doubt = Doubt { next_attempt_at: Some(at(2 * DAY)), transaction: Some("0xpending".into()) };
        assert_eq!(payments.unknown(&id(4), &holder, &doubt).await.expect(name), Step::Done, "{name}");
        let found = payments.payment(&id(4)).await.expect(name).expect("a payment");
        let known = (found.next_attempt_at, found.transaction.as_deref(), found.lease);
        assert_eq!(known, (Some(at(2 * DAY)), Some("0xpending"), None), "{name}");
        assert_eq!(one(4, "b", 2).await, Some((PaymentStatus::Unknown, 3)), "{name}");
        let recorded = payments.settled(&id(4), &owner("b"), &settlement(4), at(3)).await.expect(name);
        assert_eq!(recorded, Recorded::Settled(receipt(4, weather(), None, 3)), "{name}");
    });
}

#[test]
fn operators_decide_what_nobody_works_on() {
    for_each_store(async |store, name| {
        let payments = store.payments();
        let say = async |number: u8, how: Resolution, now: i64| {
            payments.resolve(&id(number), &how, at(now)).await.expect(name)
        };
        let settled = |number: u8| Resolution::Settled(settlement(number));
        assert_eq!(say(1, settled(1), 0).await, Resolved::Absent, "{name}");
        assert_eq!(say(1, Resolution::Released, 0).await, Resolved::Absent, "{name}");

        to_unknown(&store, 1, None, 0).await;
        assert_eq!(say(1, settled(1), 9).await, Resolved::Settled(receipt(1, weather(), None, 9)), "{name}");
        assert_eq!(access(&store, &alice()).await, [to_weather(None, 9, None)], "{name}");
        let given = Resolved::Settled(receipt(1, weather(), None, 9));
        assert_eq!(say(1, settled(7), 10).await, given, "{name}: again, with another transaction");
        assert_eq!(say(1, Resolution::Released, 10).await, given, "{name}: what is settled stays");

        to_unknown(&store, 2, Some(DAY), 0).await;
        assert_eq!(say(2, Resolution::Released, 0).await, Resolved::Released, "{name}");
        assert_eq!(status(&store, 2).await, None, "{name}");

        let given = Resolved::Settled(receipt(3, weather(), None, LEASE));
        for (number, how, expected) in [(3, settled(3), given), (4, Resolution::Released, Resolved::Released)] {
            to_settling(&store, &new(number, weather(), None), "a", 0).await;
            let held = Resolved::Held { lease_until: at(LEASE) };
            assert_eq!(say(number, how.clone(), LEASE - 1).await, held, "{name}: somebody works on it");
            assert_eq!(say(number, how, LEASE).await, expected, "{name}: nobody does any more");
        }
        let lost = payments.settled(&id(4), &owner("a"), &settlement(4), at(LEASE)).await.expect(name);
        assert_eq!(lost, Recorded::Lost, "{name}: it is gone");
    });
}

#[test]
fn payments_are_listed_the_newest_first() {
    for_each_store(async |store, name| {
        let payments = store.payments();
        for number in 1..=3 {
            to_settled(&store, number, weather(), None, i64::from(number)).await;
        }
        to_unknown(&store, 4, None, 4).await;
        to_settling(&store, &new(5, weather(), None), "a", 5).await;
        to_settling(&store, &new(6, weather(), None), "a", 5).await;
        payments.reserve(&new(7, weather(), None), &lease("a", LEASE), at(7)).await.map(drop).expect(name);

        let list = async |filter: &PaymentFilter, limit: usize| {
            let (mut found, mut after, mut sizes) = (Vec::new(), None::<PaymentCursor>, Vec::new());
            loop {
                let page = payments.list(filter, after.as_ref(), limit).await.expect(name);
                sizes.push(page.payments.len());
                found.extend(page.payments.into_iter().map(|payment| payment.id));
                // As it goes through a URL.
                after = page.next.map(|next| next.to_string().parse().expect("a cursor"));
                if after.is_none() {
                    return (found, sizes);
                }
            }
        };
        let ids = |numbers: &[u8]| numbers.iter().map(|number| id(*number)).collect::<Vec<_>>();
        let all = PaymentFilter::default();
        assert_eq!(list(&all, 3).await, (ids(&[7, 6, 5, 4, 3, 2, 1]), vec![3, 3, 1]), "{name}");
        assert_eq!(list(&all, 7).await, (ids(&[7, 6, 5, 4, 3, 2, 1]), vec![7]), "{name}");
        for (status, expected) in [
            (PaymentStatus::Reserved, ids(&[7])),
            (PaymentStatus::Settling, ids(&[6, 5])),
            (PaymentStatus::Settled, ids(&[3, 2, 1])),
            (PaymentStatus::Unknown, ids(&[4])),
        ] {
            let filter = PaymentFilter { status: Some(status), account: None };
            assert_eq!(list(&filter, 9).await.0, expected, "{name}: {status:?}");
        }
        let alices = PaymentFilter { account: Some(alice()), status: None };
        assert_eq!(list(&alices, 2).await, (ids(&[3, 2, 1]), vec![2, 1]), "{name}");
        let none = PaymentFilter { status: Some(PaymentStatus::Unknown), ..alices };
        assert_eq!(list(&none, 2).await.0, [], "{name}");
        let elsewhere = AccountKey::new("tron", alice().address());
        let elsewhere = PaymentFilter { account: Some(elsewhere), status: None };
        assert_eq!(list(&elsewhere, 2).await.0, [], "{name}: another family of chains");

        let open = payments.open_payments().await.expect(name);
        assert_eq!(open, OpenPayments { reserved: 1, settling: 2, unknown: 1 }, "{name}");
    });
}

#[test]
fn settled_payments_are_kept_as_history_and_longer_than_they_can_be_repeated() {
    for_each_store(async |store, name| {
        let payments = store.payments();
        let history = HISTORY_DAYS * DAY;
        to_settled(&store, 1, weather(), None, 0).await;
        let lasting = NewPayment::new(id(2), sale(weather(), None), at(9 * history)).expect("a payment");
        to_settling(&store, &lasting, "a", 0).await;
        payments.settled(&id(2), &owner("a"), &settlement(2), at(0)).await.map(drop).expect(name);
        to_unknown(&store, 3, None, 0).await;

        let poke = async |now: i64| {
            // Reservations clean up.
            payments.reserve(&new(9, weather(), None), &lease("p", now + 1), at(now)).await.map(drop).expect(name);
            payments.release(&id(9), &owner("p")).await.map(drop).expect(name);
        };
        let there = async || {
            let mut there = Vec::new();
            for number in 1..=3 {
                there.push(status(&store, number).await.is_some());
            }
            there
        };
        poke(history - 1).await;
        assert_eq!(there().await, [true, true, true], "{name}");
        poke(history).await;
        assert_eq!(there().await, [false, true, true], "{name}: what is unknown waits for its operator");
        poke(9 * history + DAY - 1).await;
        assert_eq!(there().await, [false, true, true], "{name}");
        poke(9 * history + DAY).await;
        assert_eq!(there().await, [false, false, true], "{name}");
        assert_eq!(
            access(&store, &alice()).await,
            [to_weather(None, 0, None)],
            "{name}: what was bought for ever stays"
        );
    });
}
