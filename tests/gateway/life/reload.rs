//! Reloads: what changes at once, what stays, and what is refused.

use std::time::Duration;

use serde_json::json;

use crate::{
    failures::Flaky,
    harness::{ADMIN_TOKEN, Request, Setup, Upstream, Wallet},
};

/// One more table at the end of the configuration of the harness.
const DENIED: &str = "[[plan]]\nname = \"nano\"\n";

#[test]
fn another_upstream_is_used_from_the_next_request_of_a_kept_connection() {
    let (one, other) = (Upstream::ok(), Upstream::ok());
    let gateway = Setup::over(&one).start();
    let mut client = gateway.client();
    assert_eq!(client.send(&Request::get("/public/x")).status, 200);
    gateway.reconfigure(&one.url(), &other.url());
    assert_eq!(client.send(&Request::get("/public/x")).status, 200);
    assert_eq!((one.take().len(), other.take().len()), (1, 1));
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("siwx_config_last_reload_successful"), 1.0);
    assert_eq!(metrics.value("siwx_config_reloads_total{result=\"ok\"}"), 1.0);
    assert_eq!(metrics.value("siwx_config_reloads_total{result=\"failed\"}"), 0.0);
    let at = metrics.value("siwx_config_last_reload_success_timestamp_seconds");
    assert_eq!(at as i64, gateway.now().secs());
}

#[test]
fn a_denied_account_is_refused_at_the_next_request_of_a_warm_connection() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let wallet = Wallet::evm(1);
    let token = wallet.token();
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.send(&Request::get("/wallet/x").token(&token)).status, 200);
    }
    let denied = format!("[auth]\ndeny_accounts = [\"{}\"]\n{DENIED}", wallet.address());
    gateway.reconfigure(DENIED, &denied);
    let refused = client.send(&Request::get("/wallet/x").token(&token));
    assert_eq!(refused.outcome(), (403, "account_denied".to_owned()));
    gateway.reconfigure(&denied, DENIED);
    assert_eq!(client.send(&Request::get("/wallet/x").token(&token)).status, 200, "and let in again");
    assert_eq!(upstream.take().len(), 4);
}

#[test]
fn what_is_remembered_survives_unless_the_rules_it_rests_on_change() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let (wallet, hits) = (Wallet::evm(1), "siwx_cache_requests_total{cache=\"proofs\",result=\"hit\"}");
    let verified = "siwx_signature_verifications_total{result=\"valid\",scheme=\"eip191\"}";
    let request = Request::get("/wallet/x").token(&wallet.token());
    let mut client = gateway.client();
    assert_eq!(client.send(&request).status, 200);
    gateway.reconfigure("[[plan]]\nname = \"pro\"\n", "[[plan]]\nname = \"pro\"\n[[plan]]\nname = \"gold\"\n");
    assert_eq!(client.send(&request).status, 200);
    assert_eq!((gateway.metrics().value(verified), gateway.metrics().value(hits)), (1.0, 1.0), "plans change nothing");
    gateway.reconfigure(DENIED, &format!("[auth]\nclock_skew = \"20s\"\n{DENIED}"));
    for after in [2.0, 2.0] {
        assert_eq!(client.send(&request).status, 200);
        assert_eq!(gateway.metrics().value(verified), after, "[auth] does");
    }
    gateway.reconfigure(DENIED, &format!("[chains.solana]\nallow = []\n{DENIED}"));
    assert_eq!(client.send(&request).status, 200);
    assert_eq!(gateway.metrics().value(verified), 3.0, "and so does [chains]");
}

#[test]
fn a_faulty_configuration_changes_nothing_and_says_where_it_is_wrong() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let good = gateway.configuration.text();
    let broken = good.replacen("upstream = \"api\"\nauth = \"none\"", "upstream = \"spi\"\nauth = \"none\"", 1);
    let line = 1 + broken.lines().position(|line| line == "upstream = \"spi\"").expect("the line");
    gateway.configuration.write(&broken);
    let answer = gateway.reload();
    assert_eq!(answer.status, 422, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["code"], "bad_configuration");
    let fault = &json["faults"][0];
    assert_eq!((&fault["severity"], &fault["line"]), (&json!("error"), &json!(line)), "{json}");
    assert!(fault["message"].as_str().expect("a message").contains("spi"), "{json}");
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("siwx_config_last_reload_successful"), 0.0);
    assert_eq!(metrics.value("siwx_config_reloads_total{result=\"failed\"}"), 1.0);
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200, "it serves as before");
    gateway.configuration.write("this = is no configuration");
    assert_eq!(gateway.reload().status, 422);
    gateway.configuration.write(&good);
    assert_eq!(gateway.reload().status, 200);
    assert_eq!(gateway.metrics().value("siwx_config_last_reload_successful"), 1.0);
}

#[test]
fn what_only_a_restart_can_change_is_refused_with_all_that_came_along() {
    let (upstream, other) = (Upstream::ok(), Upstream::ok());
    let gateway = Setup::over(&upstream).start();
    let good = gateway.configuration.text();
    let rows = [
        ("server.listen", "listen = [\"127.0.0.1:0\"]", "listen = [\"127.0.0.1:0\", \"127.0.0.2:0\"]"),
        ("server.workers", "workers = 1", "workers = 2"),
        ("admin.listen", "[admin]\nlisten = \"127.0.0.1:0\"", "[admin]\nlisten = \"127.0.0.1:1\""),
        ("store.url", "sqlite::memory:", "sqlite:other.db"),
    ];
    for (key, old, new) in rows {
        let changed = good.replacen(old, new, 1).replacen(&upstream.url(), &other.url(), 1);
        gateway.configuration.write(&changed);
        let answer = gateway.reload();
        assert_eq!(answer.status, 422, "{key}: {answer:?}");
        let message = answer.json()["faults"][0]["message"].to_string();
        assert!(message.contains(&format!("`{key}` cannot be changed by a reload")), "{key}: {message}");
        assert_eq!(gateway.send(&Request::get("/public/x")).status, 200);
    }
    assert_eq!((upstream.take().len(), other.take().len()), (rows.len(), 0), "nothing of them is in force");
}

#[test]
fn the_patience_with_the_store_changes_with_a_reload() {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    let gateway = Setup::over(&upstream).store(flaky.store()).start();
    assert_eq!(flaky.patience(), None, "nobody changed it");
    gateway.reconfigure("url = \"sqlite::memory:\"", "url = \"sqlite::memory:\"\ntimeout = \"7s\"");
    assert_eq!(flaky.patience(), Some(Duration::from_secs(7)));
    gateway
        .configuration
        .write(&gateway.configuration.text().replace("workers = 1", "workers = 2").replace("7s", "8s"));
    assert_eq!(gateway.reload().status, 422);
    assert_eq!(flaky.patience(), Some(Duration::from_secs(7)), "a reload that failed changes nothing");
}

#[test]
fn what_was_spent_stays_spent() {
    let upstream = Upstream::ok();
    let routes = "[[plan]]\nname = \"nano\"\nquota = { requests = 2, window = \"30d\" }\n[[route]]\nname = \"all\"\n\
                  prefix = \"/\"\nupstream = \"api\"\nauth = \"subscription\"\nrate = { rate = \"1/m\", burst = 5 }\n";
    let gateway = Setup::over(&upstream).routes(routes).set("limits.auth_failures", "off").start();
    let [limited, counted] = [1, 2].map(Wallet::evm);
    gateway.grant(&limited, "default");
    gateway.grant(&counted, "nano");
    let get = |wallet: &Wallet| gateway.get("/x", &wallet.token()).outcome();
    for _ in 0..2 {
        assert_eq!(get(&counted).0, 200);
    }
    for _ in 0..5 {
        assert_eq!(get(&limited).0, 200);
    }
    let refused = [(429, "quota_exceeded".to_owned()), (429, "rate_limited".to_owned())];
    assert_eq!([get(&counted), get(&limited)], refused);
    // The very same, another rule beside them, and another [auth].
    for (old, new) in [
        ("[[route]]", "[[route]]"),
        ("[[route]]", "[[route]]\nname = \"open\"\npath = \"/open\"\nupstream = \"api\"\nauth = \"none\"\n[[route]]"),
        ("[[plan]]", "[auth]\nclock_skew = \"20s\"\n[[plan]]"),
    ] {
        gateway.reconfigure(old, new);
        assert_eq!([get(&counted), get(&limited)], refused, "after {new}");
    }
    gateway.reconfigure("requests = 2", "requests = 3");
    assert_eq!(get(&counted).0, 200, "one more was allowed");
    assert_eq!(get(&counted).1, "quota_exceeded");
}

#[test]
fn refused_credentials_count_on() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).tables("[limits]\nauth_failures = { rate = \"1/m\", burst = 2 }\n").start();
    let refused = || gateway.get("/wallet/x", "SIWX bm8=.bm8=").outcome().0;
    assert_eq!([refused(), refused(), refused()], [401, 401, 429]);
    gateway.reconfigure(DENIED, &format!("[auth]\nclock_skew = \"20s\"\n{DENIED}"));
    assert_eq!(refused(), 429);
}

#[test]
fn requests_under_way_end_with_the_rules_they_began_with() {
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let slow = Upstream::answering(move |_| {
        let _ = arrived.send(());
        let _ = released.lock().expect("no panic while held").recv_timeout(Duration::from_secs(20));
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold".to_vec()
    });
    let other = Upstream::answering(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew".to_vec());
    let gateway = Setup::over(&slow).start();
    let mut busy = gateway.client();
    busy.write(&Request::get("/public/x").bytes());
    arrivals.recv().expect("the request is with the upstream");
    gateway.reconfigure(&slow.url(), &other.url());
    assert_eq!(gateway.send(&Request::get("/public/x")).body, b"new");
    release.send(()).expect("the upstream waits");
    assert_eq!(busy.read().body, b"old");
    assert_eq!(busy.send(&Request::get("/public/x")).body, b"new");
}

#[test]
fn the_admin_token_and_hosts_change_too() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let elsewhere = Request::get("/public/x").host("new.example.com");
    assert_eq!(gateway.send(&elsewhere).status, 421);
    gateway.reconfigure("other.example.com", "new.example.com");
    assert_eq!(gateway.send(&elsewhere).status, 200);
    assert_eq!(gateway.send(&Request::get("/public/x").host("other.example.com")).status, 421);
    gateway.reconfigure(ADMIN_TOKEN, "another-admin-token-of-forty-bytes-or-so");
    assert_eq!(gateway.reload().status, 401);
}

#[test]
fn the_state_names_the_configuration() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let digest = || gateway.admin(Request::get("/admin/state")).json()["configuration"].clone();
    let before = digest();
    assert_eq!(before.as_str().map(str::len), Some(16));
    gateway.reconfigure("[[plan]]", "# a comment\n[[plan]]");
    assert_eq!(digest(), before, "what counts is what it says");
    gateway.reconfigure(DENIED, &format!("[auth]\nclock_skew = \"20s\"\n{DENIED}"));
    assert_ne!(digest(), before);
}
