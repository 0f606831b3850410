//! Who is let in: routes of each kind, plans, denied accounts, and what changes while everything is remembered.

use std::time::{Duration, Instant};

use serde_json::json;
use siwx_gateway::store::{self, Backend, Settings, Term};

use crate::harness::{Gateway, Request, Setup, Upstream, Wallet, grant, key, runtime, time};

fn outcome(gateway: &Gateway, target: &str, token: &str) -> (u16, String) {
    gateway.get(target, token).outcome()
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn admitted() -> (u16, String) {
    refusal(200, "")
}

#[test]
fn each_kind_of_route_lets_in_whom_it_should() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let (nobody, nano, pro, both) = (Wallet::evm(1), Wallet::evm(2), Wallet::solana(3), Wallet::solana(4));
    gateway.grant(&nano, "nano");
    gateway.grant(&pro, "pro");
    gateway.grant(&both, "nano");
    gateway.grant(&both, "pro");
    let forged = Wallet::evm(9).token_of(&Wallet::evm(2).text());
    let rows = [
        ("public, nobody", "/public/x", String::new(), admitted()),
        ("public, any wallet", "/public/x", nobody.token(), admitted()),
        ("public, a bad token", "/public/x", forged.clone(), admitted()),
        ("wallet, nobody", "/wallet/x", String::new(), refusal(401, "credential_required")),
        ("wallet, any wallet", "/wallet/x", nobody.token(), admitted()),
        ("wallet, a bad token", "/wallet/x", forged.clone(), refusal(401, "invalid_token")),
        ("paid, nobody", "/paid/x", String::new(), refusal(401, "credential_required")),
        ("paid, no subscription", "/paid/x", nobody.token(), refusal(403, "subscription_required")),
        ("paid, one plan", "/paid/x", nano.token(), admitted()),
        ("paid, another plan", "/paid/x", pro.token(), admitted()),
        ("paid, two plans", "/paid/x", both.token(), admitted()),
        ("paid, a bad token of a subscriber", "/paid/x", forged, refusal(401, "invalid_token")),
        ("pro, no subscription", "/pro/x", nobody.token(), refusal(403, "subscription_required")),
        ("pro, the other plan", "/pro/x", nano.token(), refusal(403, "plan_required")),
        ("pro, its plan", "/pro/x", pro.token(), admitted()),
        ("pro, both plans", "/pro/x", both.token(), admitted()),
        ("nothing there, nobody", "/nothing", String::new(), refusal(401, "credential_required")),
        ("nothing there, a wallet", "/nothing", nobody.token(), refusal(404, "no_route")),
    ];
    for (round, temperature) in ["cold", "warm"].into_iter().enumerate() {
        for (name, target, token, expected) in &rows {
            let request = Request::get(target);
            let request = if token.is_empty() { request } else { request.token(token) };
            let answer = gateway.send(&request);
            assert_eq!(answer.outcome(), *expected, "{name}, {temperature}");
            let forwarded = upstream.take();
            assert_eq!(forwarded.len(), usize::from(expected.0 == 200), "{name}, {temperature}: {forwarded:?}");
        }
        assert!(gateway.metrics().value("siwx_cache_requests_total{cache=\"proofs\",result=\"hit\"}") >= round as f64);
    }
    let named = gateway.get("/pro/x", &nano.token()).json();
    assert_eq!(named["detail"], "this route needs the plan `pro`");
}

#[test]
fn denied_accounts_are_refused_whatever_they_hold() {
    let upstream = Upstream::ok();
    let (evm, solana, free) = (Wallet::evm(1), Wallet::solana(1), Wallet::evm(2));
    let routes = crate::harness::ROUTES;
    let denied =
        format!("[auth]\ndeny_accounts = [\"{}\", \"{}\"]\n{routes}", evm.address().to_lowercase(), solana.account());
    let gateway = Setup::over(&upstream).routes(&denied).start();
    for wallet in [&evm, &solana, &free] {
        gateway.grant(wallet, "pro");
    }
    for temperature in ["cold", "warm"] {
        for target in ["/wallet/x", "/paid/x", "/pro/x", "/nothing"] {
            for wallet in [&evm, &solana] {
                let expected = refusal(403, "account_denied");
                assert_eq!(outcome(&gateway, target, &wallet.token()), expected, "{target}, {temperature}");
            }
        }
        assert_eq!(outcome(&gateway, "/pro/x", &free.token()), admitted(), "{temperature}");
        assert_eq!(outcome(&gateway, "/public/x", &evm.token()), admitted(), "{temperature}, public is public");
    }
}

/// A gateway over a database file, and a second handle on it, as another process would have.
fn with_another_handle(upstream: &Upstream) -> (Gateway, store::Store, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        backend: Backend::Sqlite(directory.path().join("store.db")),
        timeout: Duration::from_secs(5),
        require_at_start: true,
    };
    let [ours, other] = [(); 2].map(|()| store::open(&settings).expect("the store opens"));
    let gateway = Setup::over(upstream).set("limits.auth_failures", "off").store(ours).start();
    (gateway, other, directory)
}

/// Asks until the outcome is the expected one; fails after two seconds.
fn within_two_seconds(gateway: &Gateway, token: &str, expected: &(u16, String)) {
    let begun = Instant::now();
    loop {
        let seen = outcome(gateway, "/paid/x", token);
        if seen == *expected {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "still {seen:?}, expected {expected:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn c28_what_another_process_grants_and_revokes_is_seen_within_two_seconds() {
    let upstream = Upstream::ok();
    let (gateway, other, _directory) = with_another_handle(&upstream);
    let wallet = Wallet::evm(1);
    let token = wallet.token();
    let none = refusal(403, "subscription_required");
    assert_eq!(outcome(&gateway, "/paid/x", &token), none);
    grant(&other, &wallet, "nano", Term::UntilRevoked);
    within_two_seconds(&gateway, &token, &admitted());
    let revoked = runtime().block_on(other.subscriptions().revoke(&key(&wallet), "nano"));
    assert!(revoked.expect("the store revokes"));
    within_two_seconds(&gateway, &token, &none);
}

#[test]
fn c28_what_the_admin_api_grants_and_revokes_is_seen_at_once() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("limits.auth_failures", "off").start();
    let (none, wallet) = (refusal(403, "subscription_required"), Wallet::solana(1));
    let (token, account) = (wallet.token(), wallet.account());
    let escaped = account.replace(':', "%3A");
    for round in 0..3 {
        assert_eq!(outcome(&gateway, "/paid/x", &token), none, "round {round}");
        let body = format!("{{\"account\":\"{account}\",\"plan\":\"nano\",\"period\":\"30d\"}}");
        let granted = gateway.admin(Request::new("POST", "/admin/subscriptions").body(body.as_bytes()));
        assert_eq!(granted.status, 200, "{granted:?}");
        assert_eq!(granted.json()["expires_at"], "2026-12-20T10:00:01.000Z");
        assert_eq!(outcome(&gateway, "/paid/x", &token), admitted(), "round {round}");
        let listed = gateway.admin(Request::get(&format!("/admin/subscriptions?account={escaped}"))).json();
        assert_eq!(listed["subscriptions"][0]["plan"], "nano");
        let revoked = gateway.admin(Request::new("DELETE", &format!("/admin/subscriptions/{escaped}/nano")));
        assert_eq!(revoked.status, 204, "{revoked:?}");
    }
    assert_eq!(outcome(&gateway, "/paid/x", &token), none);
    assert_eq!(gateway.admin(Request::new("POST", "/admin/cache/flush")).status, 204);
    assert_eq!(outcome(&gateway, "/paid/x", &token), none);
}

/// As with `subscriptions grant`: contracts are let in on that chain alone.
#[test]
fn a_grant_to_an_account_on_a_chain_names_that_chain() {
    let upstream = Upstream::ok();
    let (gateway, wallet) = (Setup::over(&upstream).start(), Wallet::evm(1));
    let address = wallet.address();
    let rows = [(format!("eip155:10:{address}"), json!("eip155:10")), (format!("eip155:{address}"), json!(null))];
    for (account, chain) in rows {
        let body = json!({ "account": account, "plan": if chain.is_null() { "pro" } else { "nano" } }).to_string();
        let granted = gateway.admin(Request::new("POST", "/admin/subscriptions").body(body.as_bytes()));
        assert_eq!((granted.status, &granted.json()["chain"]), (200, &chain), "{account}: {granted:?}");
    }
    assert_eq!(outcome(&gateway, "/pro/x", &wallet.token()), admitted());
}

#[test]
fn the_admin_api_is_for_those_who_have_its_token() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let ask = |request: Request| {
        let mut client = crate::harness::Client::connect(gateway.admin_address, std::sync::Arc::default());
        client.write(&request.bytes());
        client.read_head().expect("an answer").0
    };
    let state = || Request::get("/admin/state");
    let token = crate::harness::ADMIN_TOKEN;
    let rows = [
        ("no token", state(), 401),
        ("a wrong one", state().header("Authorization", "Bearer an-admin-token-of-thirty-two-bytez"), 401),
        ("a beginning of it", state().header("Authorization", "Bearer an-admin-token"), 401),
        ("more than it", state().header("Authorization", &format!("Bearer {token}x")), 401),
        ("another scheme", state().header("Authorization", &format!("Basic {token}")), 401),
        ("a wallet's", state().token(&Wallet::evm(1).token()), 401),
        ("the right one", state().header("Authorization", &format!("Bearer {token}")), 200),
        ("from a web page", state().header("Authorization", &format!("Bearer {token}")).header("Origin", "null"), 403),
    ];
    for (name, request, status) in rows {
        assert_eq!(ask(request), status, "{name}");
    }
    let closed = Setup::over(&upstream).set("admin.token", "").start();
    assert_eq!(closed.admin(state()).status, 404, "without a token in the configuration there is no API");
}

/// Behind a proxy all clients have one address, and any of them could lock the operator out of the admin API.
#[test]
fn the_admin_token_opens_from_an_address_that_sent_too_many_bad_credentials() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("limits.auth_failures", "1/h").start();
    let statuses: Vec<u16> = (0..3).map(|_| gateway.get("/wallet/x", "SIWX x.y").status).collect();
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    assert_eq!(gateway.admin(Request::get("/admin/state")).status, 200);
    let mut client = crate::harness::Client::connect(gateway.admin_address, std::sync::Arc::default());
    client.write(&Request::get("/admin/state").header("Authorization", "Bearer wrong").bytes());
    assert_eq!(client.read_head().expect("an answer").0, 429, "a wrong one is not looked at");
}

#[test]
fn c28_x10_a_subscription_ends_to_the_second_although_it_is_remembered() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let wallet = Wallet::evm(1);
    gateway.grant_until(&wallet, "nano", Term::Until(time("2026-11-20T10:10:00Z")));
    let token = wallet.token();
    let rows = [
        ("while it lasts", "2026-11-20T10:00:01Z", admitted()),
        ("a millisecond before its end", "2026-11-20T10:09:59.999Z", admitted()),
        ("at its end", "2026-11-20T10:10:00Z", refusal(403, "subscription_required")),
        ("a second after", "2026-11-20T10:10:01Z", refusal(403, "subscription_required")),
        ("X10 the clock steps back", "2026-11-20T10:09:59Z", admitted()),
    ];
    for (name, now, expected) in rows {
        gateway.set_time(now);
        let answer = gateway.get("/paid/x", &token);
        assert_eq!(answer.outcome(), expected, "{name}");
        if expected.0 == 403 {
            assert_eq!(answer.json()["detail"], "the subscription of this account has ended", "{name}");
        }
    }
}

#[test]
fn a_remembered_token_expires_to_the_second() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let token = Wallet::evm(1).token();
    let rows = [
        ("fresh", "2026-11-20T10:00:01Z", 200, ""),
        ("a millisecond before its end", "2026-11-20T10:59:59.999Z", 200, ""),
        ("at its end", "2026-11-20T11:00:00Z", 401, "expired"),
        ("a second after", "2026-11-20T11:00:01Z", 401, "expired"),
        ("before it was issued", "2026-11-20T09:59:00Z", 401, "issued_in_future"),
        ("X10 the clock is right again", "2026-11-20T10:00:01Z", 200, ""),
    ];
    for (name, now, status, reason) in rows {
        gateway.set_time(now);
        let answer = gateway.get("/wallet/x", &token);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        if status == 401 {
            assert_eq!(answer.reason(), reason, "{name}");
        }
    }
    assert_eq!(upstream.take().len(), 3);
}

#[test]
fn with_uri_match_request_a_remembered_token_opens_its_own_paths_alone() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("auth.uri_match", "request").start();
    let wallet = Wallet::evm(1);
    let token = wallet.token_of(&wallet.text().with("URI", "https://api.example.com/wallet/a"));
    let rows = [
        ("/wallet/a", 200),
        ("/wallet/a/b", 200),
        ("/wallet/ab", 401),
        ("/wallet", 401),
        ("/wallet/b", 401),
        ("/wallet/a?x", 200),
    ];
    for temperature in ["cold", "warm"] {
        for (target, status) in rows {
            assert_eq!(gateway.get(target, &token).status, status, "{target}, {temperature}");
        }
    }
}

#[test]
fn c20_a_single_use_token_opens_one_request() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("auth.nonce", "single-use").set("limits.auth_failures", "off").start();
    let wallet = Wallet::evm(1);
    gateway.grant(&Wallet::evm(2), "nano");
    let token = |nonce| wallet.token_of(&wallet.text().nonce(nonce));
    let first = gateway.get("/wallet/x", &token(1));
    assert_eq!(first.status, 200);
    let second = gateway.get("/wallet/x", &token(1));
    assert_eq!((second.status, second.reason()), (401, "nonce_reused".to_owned()));
    let respelled = wallet.token_of(&wallet.text().nonce(1).saying("Another text"));
    assert_eq!(gateway.get("/wallet/x", &respelled).status, 401, "another message with that nonce");
    let others = Wallet::evm(2).token_of(&Wallet::evm(2).text().nonce(1));
    assert_eq!(gateway.get("/wallet/x", &others).status, 200, "another wallet has nonces of its own");
    // A refused attempt burns nothing, nor does one for which there is nothing.
    assert_eq!(outcome(&gateway, "/nothing", &token(2)), refusal(404, "no_route"));
    assert_eq!(outcome(&gateway, "/paid/x", &token(2)), refusal(403, "subscription_required"));
    let forged = Wallet::evm(9).token_of(&wallet.text().nonce(2));
    assert_eq!(gateway.get("/wallet/x", &forged).status, 401);
    assert_eq!(gateway.get("/wallet/x", &token(2)).status, 200);
    upstream.take();

    let raced = token(3);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..50).map(|_| scope.spawn(|| gateway.get("/wallet/x", &raced).status)).collect();
        racers.into_iter().map(|racer| racer.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 49, "{statuses:?}");
    assert_eq!(upstream.take().len(), 1);
}

#[test]
fn c31_too_many_refusals_leave_warm_credentials_alone() {
    let upstream = Upstream::ok();
    let routes = format!("[limits]\nauth_failures = {{ rate = \"1/m\", burst = 10 }}\n{}", crate::harness::ROUTES);
    let gateway = Setup::over(&upstream).routes(&routes).start();
    let (good, subscriber) = (Wallet::evm(1), Wallet::solana(1));
    gateway.grant(&subscriber, "nano");
    assert_eq!(outcome(&gateway, "/wallet/x", &good.token()), admitted());
    assert_eq!(outcome(&gateway, "/paid/x", &subscriber.token()), admitted());
    // Throw-away wallets with good signatures count as much as bad ones.
    for number in 0..10 {
        let expected = if number % 2 == 0 { (403, "subscription_required") } else { (401, "invalid_token") };
        let wallet = Wallet::evm(100 + number);
        let token = if number % 2 == 0 { wallet.token() } else { Wallet::evm(9).token_of(&wallet.text()) };
        assert_eq!(outcome(&gateway, "/paid/x", &token), refusal(expected.0, expected.1), "{number}");
    }
    for token in [Wallet::evm(200).token(), Wallet::evm(9).token_of(&good.text()), "SIWX x.y".to_owned()] {
        let answer = gateway.get("/wallet/x", &token);
        assert_eq!(answer.outcome(), refusal(429, "too_many_refusals"));
        let seconds: u64 = answer.one("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
        assert!((1..=61).contains(&seconds), "{seconds}");
    }
    assert_eq!(outcome(&gateway, "/wallet/x", &good.token()), admitted(), "a warm one is served");
    assert_eq!(outcome(&gateway, "/paid/x", &subscriber.token()), admitted(), "a warm subscriber is served");
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200, "public routes too");
    assert_eq!(gateway.send(&Request::get("/wallet/x")).status, 401, "nothing presented is nothing refused");
    assert_eq!(gateway.admin(Request::get("/admin/state")).status, 200, "the operator is not locked out");
    gateway.expect_metric("siwx_rate_limited_total{route=\"wallet\",scope=\"auth_failures\"}", 3.0);
}

#[test]
fn c29_the_needed_plans_are_named() {
    let upstream = Upstream::ok();
    let tables = "[[route]]\nname = \"both\"\nprefix = \"/both\"\nupstream = \"api\"\nauth = \"subscription\"\nplans = [\"pro\", \"default\"]\n";
    let gateway = Setup::over(&upstream).tables(tables).start();
    let wallet = Wallet::evm(1);
    gateway.grant(&wallet, "nano");
    let answer = gateway.get("/both/x", &wallet.token());
    assert_eq!(answer.outcome(), refusal(403, "plan_required"));
    assert_eq!(answer.json()["detail"], "this route needs the plan `pro` or `default`");
}

#[test]
fn head_is_answered_as_get_without_a_body() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let rows = [
        ("/public/x", String::new(), 200),
        ("/wallet/x", String::new(), 401),
        ("/wallet/x", "SIWX x.y".to_owned(), 401),
        ("/paid/x", Wallet::evm(1).token(), 403),
    ];
    for (target, token, status) in rows {
        let request = |method| {
            if token.is_empty() { Request::new(method, target) } else { Request::new(method, target).token(&token) }
        };
        let mut client = gateway.client();
        // On one connection: a body after HEAD would be read as the next answer.
        let answers = ["HEAD", "GET", "HEAD"].map(|method| client.send(&request(method)));
        assert_eq!(answers.each_ref().map(|answer| answer.status), [status; 3], "{target} {token}");
        let fields = |answer: &crate::harness::Answer| {
            let mut names: Vec<_> = answer.headers.iter().map(|(name, _)| name.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(fields(&answers[0]), fields(&answers[1]), "{target}: the same fields");
    }
}
