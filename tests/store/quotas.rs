//! What any store does with quotas and kept secrets.

use std::time::Duration;

use siwx_gateway::{
    caip::AccountKey,
    policy::access::Scope,
    secret::Secret,
    store::{StoreError, USAGE_MAX, UsageDelta},
    time::UnixTime,
};

use crate::{
    payments::{nano, to_settled, weather},
    rules::{DAY, alice, at, bob, for_each_store},
};

fn delta(account: AccountKey, plan: &str, window: i64, requests: u32) -> UsageDelta {
    let (window_start, window_end) = (at(window), at(window + DAY));
    UsageDelta { account, plan: plan.into(), window_start, window_end, requests }
}

#[test]
fn counts_add_up_by_account_plan_and_window() {
    for_each_store(async |store, name| {
        let usage = store.usage();
        assert_eq!(usage.usage(&alice(), "nano", at(0)).await.expect(name), 0, "{name}");
        let deltas = [
            delta(alice(), "nano", 0, 5),
            delta(alice(), "pro", 0, 7),
            delta(alice(), "nano", DAY, 9),
            delta(bob(), "nano", 0, 11),
            delta(alice(), "nano", 0, 1),
        ];
        assert_eq!(usage.add_usage(&deltas, at(0)).await.expect(name), [5, 7, 9, 11, 6], "{name}");
        let more = [delta(alice(), "nano", 0, u32::MAX), delta(alice(), "nano", 0, u32::MAX)];
        let most = 6 + u64::from(u32::MAX);
        let expected = [most, most + u64::from(u32::MAX)];
        assert_eq!(usage.add_usage(&more, at(1)).await.expect(name), expected, "{name}");
        assert_eq!(usage.add_usage(&[], at(1)).await.expect(name), Vec::<u64>::new(), "{name}");
        for (account, plan, window, expected) in [
            (alice(), "nano", 0, expected[1]),
            (alice(), "pro", 0, 7),
            (alice(), "nano", DAY, 9),
            (bob(), "nano", 0, 11),
            (bob(), "pro", 0, 0),
            (alice(), "nano", 1, 0),
        ] {
            let found = usage.usage(&account, plan, at(window)).await.expect(name);
            assert_eq!(found, expected, "{name}: {account} {plan} {window}");
        }
    });
}

#[test]
fn counts_are_all_or_none_and_have_a_bound() {
    for_each_store(async |store, name| {
        let usage = store.usage();
        let nameless = [delta(alice(), "nano", 0, 5), delta(alice(), "", 0, 5)];
        usage.add_usage(&nameless, at(0)).await.expect_err(name);
        assert_eq!(usage.usage(&alice(), "nano", at(0)).await.expect(name), 0, "{name}");
        let many = vec![delta(alice(), "nano", 0, 1); USAGE_MAX + 1];
        let refused = usage.add_usage(&many, at(0)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{name}: {refused:?}");
        let totals = usage.add_usage(&many[1..], at(0)).await.expect(name);
        assert_eq!(totals.last(), Some(&(USAGE_MAX as u64)), "{name}");
    });
}

#[test]
fn old_windows_are_forgotten_a_day_after_their_end() {
    for_each_store(async |store, name| {
        let usage = store.usage();
        usage.add_usage(&[delta(alice(), "nano", 0, 5)], at(0)).await.expect(name);
        for (now, expected) in [(2 * DAY - 1, 5), (2 * DAY, 0)] {
            usage.add_usage(&[delta(bob(), "nano", 2 * DAY, 1)], at(now)).await.expect(name);
            assert_eq!(usage.usage(&alice(), "nano", at(0)).await.expect(name), expected, "{name}: at {now}");
        }
        assert_eq!(usage.usage(&bob(), "nano", at(2 * DAY)).await.expect(name), 2, "{name}");
    });
}

#[test]
fn purchases_are_counted_by_account_plan_and_window() {
    for_each_store(async |store, name| {
        to_settled(&store, 1, nano(), Some(30), 0).await;
        to_settled(&store, 2, nano(), Some(30), 1).await;
        to_settled(&store, 3, nano(), Some(30), DAY - 1).await;
        to_settled(&store, 4, nano(), Some(30), DAY).await;
        to_settled(&store, 5, weather(), None, 5).await;
        to_settled(&store, 6, Scope::plan("pro").expect("a scope"), Some(30), 5).await;
        let count = async |account: &AccountKey, plan: &str, from: i64| {
            store.usage().purchases(account, plan, at(from), at(DAY)).await.expect(name)
        };
        for (account, plan, from, expected) in [
            (alice(), "nano", 0, 3),
            (alice(), "nano", 1, 2),
            (alice(), "nano", DAY - 1, 1),
            (alice(), "nano", DAY, 0),
            (alice(), "pro", 5, 1),
            (alice(), "pro", 6, 0),
            (alice(), "weather", 0, 0),
            (bob(), "nano", 0, 0),
        ] {
            assert_eq!(count(&account, plan, from).await, expected, "{name}: {account} {plan} {from}");
        }
        let elsewhere = AccountKey::new("tron", alice().address());
        assert_eq!(count(&elsewhere, "nano", 0).await, 0, "{name}: another family of chains");
    });
}

#[test]
fn a_secret_is_made_once() {
    for_each_store(async |store, name| {
        let mut attempts = tokio::task::JoinSet::new();
        for number in 0..20 {
            let secrets = store.secrets();
            attempts.spawn(
                async move { *secrets.secret("nonces", Secret::new([number; 32])).await.expect("one").expose() },
            );
        }
        let told = attempts.join_all().await;
        assert!(told.iter().all(|secret| *secret == told[0]), "{name}: {told:?}");
        let other = store.secrets().secret("other", Secret::new([99; 32])).await.expect(name);
        assert_eq!(other.expose(), &[99; 32], "{name}");
        let again = store.secrets().secret("nonces", Secret::new([98; 32])).await.expect(name);
        assert_eq!(again.expose(), &told[0], "{name}");
    });
}

#[test]
fn one_secret_succeeds_another() {
    for_each_store(async |store, name| {
        let secrets = store.secrets();
        let first = secrets.secret("token", Secret::new([1; 32])).await.expect(name);
        secrets.secret("tokens", Secret::new([9; 32])).await.expect(name);
        let now = UnixTime::from_millis(1_795_168_800_123);
        let (pause, later) = (Duration::from_secs(300), now.plus_millis(300_000));
        let before = |now: UnixTime| now.plus_millis(-i64::try_from(pause.as_millis()).expect("a number"));
        // Of many that ask at once one is told yes, and none after it before the pause is over.
        let mut attempts = tokio::task::JoinSet::new();
        for number in 10..30 {
            let (secrets, now) = (store.secrets(), now.plus_millis(i64::from(number) - 10));
            let after = before(now);
            let fresh = Secret::new([number; 32]);
            attempts.spawn(async move { secrets.succeed("token", fresh, after, now).await.expect("an answer") });
        }
        let told = attempts.join_all().await;
        assert_eq!(told.iter().filter(|made| **made).count(), 1, "{name}");
        let kept = secrets.succession("token").await.expect(name);
        assert_eq!((kept.len(), kept[0].made_at), (2, None), "{name}");
        assert_eq!(kept[0].secret.expose(), first.expose(), "{name}");
        let made_at = kept[1].made_at.expect("a time");
        assert!((now..now.plus_millis(20)).contains(&made_at), "{name}: {made_at}");
        for (at, expected) in [(made_at.plus_millis(299_999), false), (made_at.plus_millis(300_000), true)] {
            let made = secrets.succeed("token", Secret::new([3; 32]), before(at), at).await.expect(name);
            assert_eq!(made, expected, "{name}: {at}, {later}");
        }
        let kept = secrets.succession("token").await.expect(name);
        assert_eq!((kept.len(), kept[2].secret.expose()), (3, &[3; 32]), "{name}: the newest comes last");
        assert_eq!(secrets.secret("token", Secret::new([4; 32])).await.expect(name).expose(), first.expose(), "{name}");
        assert!(secrets.succession("other").await.expect(name).is_empty(), "{name}");
    });
}
