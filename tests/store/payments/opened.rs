//! What a settled payment opens, beside what operators grant.

use std::time::Duration;

use siwx_gateway::{
    caip::ChainId,
    policy::{
        access::Scope,
        holder::{Holder, Span},
    },
    store::{ACCESS_MAX, Filter, Grant, NewPayment, PaymentId, Sale, Term},
};

use super::{
    VALID, access, base, id, nano, owner, receipt, sale, settlement, to_settled, to_settling, to_weather, weather,
};
use crate::rules::{DAY, alice, at, find, for_each_store, until};

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
