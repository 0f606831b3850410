//! Payments that nobody works on any more: taken over, decided by an operator, listed, and kept as history.

use siwx_gateway::{
    caip::AccountKey,
    store::{
        Doubt, HISTORY_DAYS, NewPayment, OpenPayments, PaymentCursor, PaymentFilter, PaymentId, PaymentStatus,
        Recorded, Resolution, Resolved, Step, TAKEN_OVER_MAX, TakenOver,
    },
};

use super::{
    LEASE, access, id, lease, new, owner, receipt, sale, settlement, status, to_settled, to_settling, to_unknown,
    to_weather, weather,
};
use crate::rules::{DAY, alice, at, for_each_store};

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
