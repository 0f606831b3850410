//! What any store does with payments (x402.md sections 6 and 7), in the order of a payment's life, to its settlement.
//! What it opens then is in `opened`; what becomes of those that nobody works on any more is in `kept`.

mod kept;
mod opened;

use std::time::Duration;

use siwx_gateway::{
    caip::{AccountKey, ChainId},
    policy::access::{Access, Scope},
    store::{
        Asked, Doubt, Lease, NewPayment, Owner, Payment, PaymentFilter, PaymentId, PaymentStatus, Receipt, Recorded,
        Reserved, Sale, Settlement, Step, Store, StoreError,
    },
};

use crate::rules::{DAY, alice, at, bob, find, for_each_store, held};

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
