//! Rates and quotas (decision 19): whose requests count together, what is told when they are used up, and what of the
//! count survives.

use std::time::{Duration, Instant};

use siwx_gateway::{
    caip::ChainId,
    policy::access::Scope,
    store::{
        self, Asked, Backend, Grant, Lease, NewPayment, Owner, PaymentId, Recorded, Reserved, Sale, Settings,
        Settlement, Step, Store, Term,
    },
    time::UnixTime,
};

use crate::{
    failures::Flaky,
    harness::{Answer, Gateway, NOW, Request, Setup, Upstream, Wallet, grant, key, runtime, time},
};

/// One route for each kind of limit, and two plans: `nano` with a quota, `pro` with a rate.
fn routes(requests: u64) -> String {
    format!(
        r#"
[[plan]]
name = "nano"
quota = {{ requests = {requests}, window = "1h" }}
[[plan]]
name = "pro"
rate = {{ rate = "1/m", burst = 2 }}
[[route]]
name = "open"
prefix = "/open"
upstream = "api"
auth = "none"
rate = {{ by = "ip", rate = "1/m", burst = 2 }}
[[route]]
name = "mine"
prefix = "/mine"
upstream = "api"
rate = {{ by = "account", rate = "1/m", burst = 2 }}
[[route]]
name = "near"
prefix = "/near"
upstream = "api"
rate = {{ by = "ip", rate = "1/m", burst = 2 }}
[[route]]
name = "quick"
prefix = "/quick"
upstream = "api"
rate = {{ rate = "20/s", burst = 1 }}
[[route]]
name = "free"
prefix = "/free"
upstream = "api"
[[route]]
name = "nano"
prefix = "/nano"
upstream = "api"
auth = "subscription"
plans = ["nano"]
[[route]]
name = "pro"
prefix = "/pro"
upstream = "api"
auth = "subscription"
plans = ["pro"]
"#
    )
}

fn setup(upstream: &Upstream, requests: u64) -> Setup {
    Setup::over(upstream).routes(&routes(requests))
}

/// A store on a file, as one process would open it.
fn open(directory: &tempfile::TempDir) -> Store {
    let backend = Backend::Sqlite(directory.path().join("store.db"));
    let settings = Settings { backend, timeout: Duration::from_secs(5), require_at_start: true };
    store::open(&settings).expect("the store opens")
}

fn statuses(gateway: &Gateway, count: usize, target: &str, token: &str) -> Vec<u16> {
    (0..count).map(|_| gateway.get(target, token).status).collect()
}

/// The seconds of `Retry-After` on a refusal with this code.
fn retry_after(answer: &Answer, code: &str) -> u64 {
    assert_eq!(answer.outcome(), (429, code.to_owned()), "{answer:?}");
    answer.one("retry-after").and_then(|text| text.parse().ok()).expect("seconds")
}

fn minute_at_most(answer: &Answer) {
    let seconds = retry_after(answer, "rate_limited");
    assert!((50..=60).contains(&seconds), "{seconds}");
}

/// What the store counts for the window that began at [`NOW`].
fn stored(store: &Store, wallet: &Wallet) -> u64 {
    runtime().block_on(store.usage().usage(&key(wallet), "nano", time(NOW))).expect("the store answers")
}

/// Waits until the store counts so many.
fn expect_stored(store: &Store, wallet: &Wallet, expected: u64) {
    let end = Instant::now() + Duration::from_secs(5);
    while stored(store, wallet) != expected && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(stored(store, wallet), expected);
}

#[test]
fn a_rate_by_account_counts_all_of_its_tokens_and_connections() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 1).start();
    let (wallet, other) = (Wallet::evm(1), Wallet::solana(1));
    let second = wallet.token_of(&wallet.text().saying("Another text"));
    assert_ne!(wallet.token(), second, "two tokens of one wallet");
    assert_eq!(gateway.get("/mine/x", &wallet.token()).status, 200);
    assert_eq!(gateway.get("/mine/y", &second).status, 200);
    for token in [wallet.token(), second] {
        minute_at_most(&gateway.get("/mine/x", &token));
    }
    assert_eq!(gateway.get("/mine/x", &other.token()).status, 200, "another account");
    assert_eq!(gateway.get("/free/x", &wallet.token()).status, 200, "another route");
    assert_eq!(upstream.take().len(), 4, "what is refused goes nowhere");
    gateway.expect_metric("siwx_rate_limited_total{route=\"mine\",scope=\"account\"}", 2.0);
    let denied = "siwx_auth_decisions_total{decision=\"deny\",reason=\"rate_limited\",route=\"mine\"}";
    gateway.expect_metric(denied, 2.0);
}

#[test]
fn a_rate_by_address_counts_whoever_comes_from_there() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 1).start();
    for wallet in [Wallet::evm(1), Wallet::evm(2)] {
        assert_eq!(gateway.get("/near/x", &wallet.token()).status, 200);
    }
    minute_at_most(&gateway.get("/near/x", &Wallet::evm(3).token()));
    assert_eq!(gateway.send(&Request::get("/open/x")).status, 200, "another route");
    assert_eq!(gateway.get("/open/x", &Wallet::evm(1).token()).status, 200);
    minute_at_most(&gateway.send(&Request::get("/open/x")));
    gateway.expect_metric("siwx_rate_limited_total{route=\"near\",scope=\"ip\"}", 1.0);
    gateway.expect_metric("siwx_rate_limited_total{route=\"open\",scope=\"ip\"}", 1.0);
}

#[test]
fn what_is_not_let_in_uses_up_nothing() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 1).start();
    let wallet = Wallet::evm(1);
    for _ in 0..4 {
        assert_eq!(gateway.send(&Request::get("/near/x")).status, 401);
        assert_eq!(gateway.get("/mine/x", &Wallet::evm(9).token_of(&wallet.text())).status, 401);
    }
    for target in ["/near/x", "/mine/x"] {
        assert_eq!(statuses(&gateway, 3, target, &wallet.token()), [200, 200, 429], "{target}");
    }
}

#[test]
fn a_rate_is_earned_back() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 1).start();
    let token = Wallet::evm(1).token();
    let mut client = gateway.client();
    let begun = Instant::now();
    let mut admitted = 0;
    while begun.elapsed() < Duration::from_millis(1000) {
        let answer = client.send(&Request::get("/quick/x").token(&token));
        match answer.status {
            200 => admitted += 1,
            _ => assert_eq!(retry_after(&answer, "rate_limited"), 1),
        }
    }
    let most = 1 + begun.elapsed().as_millis() / 50;
    assert!((5..=most).contains(&admitted), "{admitted} of {most}");
}

#[test]
fn the_rate_of_a_plan_is_the_account_s() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 1).start();
    let wallets = [Wallet::evm(1), Wallet::evm(2)];
    for wallet in &wallets {
        gateway.grant(wallet, "pro");
        assert_eq!(statuses(&gateway, 2, "/pro/x", &wallet.token()), [200, 200]);
        minute_at_most(&gateway.get("/pro/x", &wallet.token()));
    }
    gateway.expect_metric("siwx_rate_limited_total{route=\"pro\",scope=\"plan\"}", 2.0);
}

#[test]
fn a_quota_is_used_up_until_its_window_ends() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 3).start();
    let wallet = Wallet::evm(1);
    gateway.grant(&wallet, "nano");
    let token = wallet.token();
    assert_eq!(statuses(&gateway, 3, "/nano/x", &token), [200, 200, 200]);
    for (now, left) in [
        (NOW, 3600),
        ("2026-11-20T10:00:01.001Z", 3600),
        ("2026-11-20T10:00:02.000Z", 3599),
        ("2026-11-20T10:04:00.000Z", 3361),
    ] {
        gateway.set_time(now);
        assert_eq!(retry_after(&gateway.get("/nano/x", &token), "quota_exceeded"), left, "{now}");
    }
    gateway.expect_metric("siwx_rate_limited_total{route=\"nano\",scope=\"quota\"}", 4.0);
    gateway.expect_metric("siwx_auth_decisions_total{decision=\"deny\",reason=\"quota\",route=\"nano\"}", 4.0);
    assert_eq!(upstream.take().len(), 3);
}

/// Windows follow each other from the plan's beginning on; a token lives for minutes, so the plan begins long ago.
#[test]
fn a_new_window_is_whole() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 2).start();
    let wallet = Wallet::evm(1);
    let began = time(NOW).plus_millis(-3_600_000 * 48 + 60_000);
    let granted = Grant::new(key(&wallet), "nano", Term::UntilRevoked).expect("a grant");
    gateway.block_on(gateway.store.subscriptions().grant(&granted, began)).expect("the store takes a grant");
    let token = wallet.token();
    assert_eq!(statuses(&gateway, 2, "/nano/x", &token), [200, 200]);
    assert_eq!(retry_after(&gateway.get("/nano/x", &token), "quota_exceeded"), 60);
    gateway.set_time("2026-11-20T10:01:00.999Z");
    assert_eq!(retry_after(&gateway.get("/nano/x", &token), "quota_exceeded"), 1);
    gateway.set_time("2026-11-20T10:01:01.000Z");
    assert_eq!(statuses(&gateway, 2, "/nano/x", &token), [200, 200]);
    assert_eq!(retry_after(&gateway.get("/nano/x", &token), "quota_exceeded"), 3600);
}

/// Settles a purchase of `nano`, as another process would.
fn buy(store: &Store, wallet: &Wallet, number: u8, now: UnixTime) {
    let sale = Sale {
        network: ChainId::parse("eip155:8453").expect("a chain"),
        scheme: "exact".into(),
        asset: "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913".into(),
        amount: "10000".into(),
        facilitator: "main".into(),
        route: "shop".into(),
        scope: Scope::plan("nano").expect("a scope"),
        length: Some(Duration::from_secs(86_400)),
    };
    let (id, owner) = (PaymentId::new([number; 32]), Owner::new("another").expect("an owner"));
    let lease = Lease { owner: owner.clone(), until: now.plus_millis(60_000) };
    let new = NewPayment::new(id, sale, now.plus_millis(60_000)).expect("a payment");
    let asked = Asked::new(b"payload".to_vec(), b"requirement".to_vec()).expect("something to ask for");
    let settlement = Settlement::new(key(wallet), "0x01", "cmVz").expect("a settlement");
    runtime().block_on(async {
        let payments = store.payments();
        assert_eq!(payments.reserve(&new, &lease, now).await.expect("an answer"), Reserved::Fresh);
        assert_eq!(payments.settling(&id, &lease, &asked).await.expect("an answer"), Step::Done);
        let recorded = payments.settled(&id, &owner, &settlement, now).await.expect("an answer");
        assert!(matches!(recorded, Recorded::Settled(_)), "{recorded:?}");
    });
}

#[test]
fn a_purchase_within_the_window_adds_to_it() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 2).start();
    let (wallet, token) = (Wallet::evm(1), Wallet::evm(1).token());
    buy(&gateway.store, &wallet, 1, time(NOW));
    assert_eq!(statuses(&gateway, 3, "/nano/x", &token), [200, 200, 429], "the first one opened the window");
    for number in 2..4 {
        buy(&gateway.store, &wallet, number, time(NOW).plus_millis(number.into()));
        // Nobody told this process.
        let begun = Instant::now();
        while gateway.get("/nano/x", &token).status != 200 {
            assert!(begun.elapsed() < Duration::from_secs(3), "purchase {number} is not seen");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(statuses(&gateway, 2, "/nano/x", &token), [200, 429], "purchase {number}");
    }
}

#[test]
fn the_count_survives_a_restart() {
    let (upstream, directory) = (Upstream::ok(), tempfile::tempdir().expect("a directory"));
    let (wallet, token) = (Wallet::evm(1), Wallet::evm(1).token());
    let mut gateway = setup(&upstream, 4).store(open(&directory)).start();
    gateway.grant(&wallet, "nano");
    assert_eq!(statuses(&gateway, 2, "/nano/x", &token), [200, 200]);
    expect_stored(&open(&directory), &wallet, 2);
    assert_eq!(statuses(&gateway, 1, "/nano/x", &token), [200]);
    gateway.join();
    assert_eq!(stored(&open(&directory), &wallet), 3, "the drain hands over the rest");
    drop(gateway);
    let gateway = setup(&upstream, 4).store(open(&directory)).start();
    assert_eq!(statuses(&gateway, 2, "/nano/x", &token), [200, 429]);
    gateway.expect_metric("siwx_store_operations_total{operation=\"quota\",result=\"error\"}", 0.0);
}

#[test]
fn two_gateways_share_a_quota() {
    let (upstream, directory) = (Upstream::ok(), tempfile::tempdir().expect("a directory"));
    let (wallet, token) = (Wallet::evm(1), Wallet::evm(1).token());
    let [one, other] = [(); 2].map(|()| setup(&upstream, 6).store(open(&directory)).start());
    grant(&one.store, &wallet, "nano", Term::UntilRevoked);
    for (gateway, total) in [(&one, 2), (&other, 4), (&one, 5)] {
        let more = total - stored(&one.store, &wallet);
        let asked = usize::try_from(more).expect("a few");
        assert_eq!(statuses(gateway, asked, "/nano/x", &token), vec![200; asked]);
        expect_stored(&one.store, &wallet, total);
    }
    assert_eq!(statuses(&one, 2, "/nano/x", &token), [200, 429], "it has heard of the other's two");
}

#[test]
fn many_at_once_never_have_more_than_the_quota() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 50).set("server.workers", "2").start();
    let wallet = Wallet::evm(1);
    gateway.grant(&wallet, "nano");
    let token = wallet.token();
    let admitted: usize = std::thread::scope(|scope| {
        let ask = || {
            let mut client = gateway.client();
            let answers = (0..25).map(|_| client.send(&Request::get("/nano/x").token(&token)).status);
            answers.filter(|status| *status == 200).count()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!((admitted, upstream.take().len()), (50, 50));
    expect_stored(&gateway.store, &wallet, 50);
}

#[test]
fn a_store_that_does_not_take_the_count_is_told_again() {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    let gateway = setup(&upstream, 5).store(flaky.store()).start();
    let (wallet, token) = (Wallet::evm(1), Wallet::evm(1).token());
    gateway.grant(&wallet, "nano");
    assert_eq!(statuses(&gateway, 1, "/nano/x", &token), [200]);
    flaky.fail(true);
    assert_eq!(statuses(&gateway, 3, "/nano/x", &token), [200; 3]);
    let failed = "siwx_store_operations_total{operation=\"quota\",result=\"error\"}";
    assert!(gateway.metrics_when(|metrics| metrics.value(failed) > 0.0).value(failed) > 0.0);
    flaky.fail(false);
    expect_stored(&gateway.store, &wallet, 4);
    assert_eq!(statuses(&gateway, 2, "/nano/x", &token), [200, 429]);
}

#[test]
fn a_used_nonce_uses_up_nothing() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 2).set("auth.nonce", "single-use").start();
    let wallet = Wallet::evm(1);
    gateway.grant(&wallet, "nano");
    assert_eq!(gateway.get("/nano/x", &wallet.token()).status, 200);
    for _ in 0..5 {
        assert_eq!(gateway.get("/nano/x", &wallet.token()).outcome(), (401, "invalid_token".to_owned()));
    }
    let tokens = [2, 3].map(|nonce| wallet.token_of(&wallet.text().nonce(nonce)));
    assert_eq!(gateway.get("/nano/x", &tokens[0]).status, 200, "one is left");
    assert_eq!(gateway.get("/nano/x", &tokens[1]).outcome(), (429, "quota_exceeded".to_owned()));
    expect_stored(&gateway.store, &wallet, 2);
}

#[test]
fn what_is_over_a_limit_burns_no_nonce() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 1).set("auth.nonce", "single-use").start();
    let wallet = Wallet::evm(1);
    let token = |number| wallet.token_of(&wallet.text().nonce(number));
    assert_eq!(gateway.get("/mine/x", &token(1)).status, 200);
    assert_eq!(gateway.get("/mine/x", &token(2)).status, 200);
    assert_eq!(gateway.get("/mine/x", &token(3)).status, 429);
    assert_eq!(gateway.get("/free/x", &token(3)).status, 200, "its nonce is unused");
}

#[test]
fn limits_are_there_at_zero() {
    let upstream = Upstream::ok();
    let gateway = setup(&upstream, 1).start();
    let metrics = gateway.metrics();
    let prefix = "siwx_rate_limited_total{";
    let mut scopes: Vec<_> = metrics.0.keys().filter_map(|series| series.strip_prefix(prefix)).collect();
    scopes.retain(|labels| !labels.contains("auth_failures"));
    scopes.sort_unstable();
    let expected = ["mine,account", "nano,quota", "near,ip", "open,ip", "pro,plan", "quick,account"].map(|row| {
        let (route, scope) = row.split_once(',').expect("two");
        format!("route=\"{route}\",scope=\"{scope}\"}}")
    });
    assert_eq!(scopes, expected);
    let quotas: Vec<_> = metrics.0.keys().filter(|series| series.contains("reason=\"quota\"")).collect();
    assert_eq!(quotas, ["siwx_auth_decisions_total{decision=\"deny\",reason=\"quota\",route=\"nano\"}"]);
    for result in ["ok", "conflict", "error", "timeout"] {
        let series = format!("siwx_store_operations_total{{operation=\"quota\",result=\"{result}\"}}");
        assert_eq!(metrics.value(&series), 0.0, "{series}");
    }
}
