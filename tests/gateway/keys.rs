//! Keys that change while gateways run (sessions.md section 2.4): published before they sign, known as long as what they
//! signed can live, by every process on the store.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    assertion::{kid_of, opened, published, signing, told},
    harness::{Gateway, Request, Setup, Upstream, Wallet, time},
    session_api::Api,
};

/// How long what must come is waited for: other processes' changes are looked for each second.
const PATIENCE: Duration = Duration::from_secs(10);

fn rotate(gateway: &Gateway) -> u16 {
    gateway.admin(Request::new("POST", "/admin/keys/rotate")).status
}

/// What each key is for, the oldest first.
fn standings(gateway: &Gateway) -> Vec<String> {
    let answer = gateway.admin(Request::get("/admin/keys"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let keys = answer.json()["keys"].as_array().expect("a list").clone();
    keys.iter().map(|key| key["standing"].as_str().expect("a word").to_owned()).collect()
}

fn kids(gateway: &Gateway) -> Vec<String> {
    published(gateway).iter().map(|key| key["kid"].as_str().expect("a name").to_owned()).collect()
}

/// Waits until something holds.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assertion(gateway: &Gateway, upstream: &Upstream) -> String {
    assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).status, 200);
    told(&upstream.take_one()).to_owned()
}

/// The harness' time and so many milliseconds.
fn after(millis: i64) -> String {
    time(crate::harness::NOW).plus_millis(millis).to_string()
}

#[test]
fn a_new_key_signs_when_everybody_can_know_it() {
    for algorithm in ["EdDSA", "ES256"] {
        let upstream = Upstream::ok();
        let gateway = signing(Setup::over(&upstream)).set("auth.assertion.algorithm", algorithm).start();
        let first = kids(&gateway);
        assert_eq!((first.len(), standings(&gateway)), (1, vec!["current".to_owned()]));

        assert_eq!(rotate(&gateway), 200);
        let both = kids(&gateway);
        assert_eq!((both.len(), &both[0]), (2, &first[0]), "published at once");
        assert_eq!(standings(&gateway), ["current", "next"]);
        assert_eq!(kid_of(&assertion(&gateway, &upstream)), first[0], "and silent still");
        assert_eq!(rotate(&gateway), 409, "one at a time");
        assert_eq!(kids(&gateway), both);

        gateway.set_time(&after(309_999));
        assert_eq!(standings(&gateway), ["current", "next"]);
        assert_eq!(rotate(&gateway), 409);
        gateway.set_time(&after(310_000));
        wait_until("the new key signs", || kid_of(&assertion(&gateway, &upstream)) == both[1]);
        assert_eq!(standings(&gateway), ["old", "current"]);
        assert!(opened(&assertion(&gateway, &upstream), &published(&gateway)).is_ok());
        assert_eq!(kids(&gateway).len(), 2, "what the old one signed is not over");

        gateway.set_time(&after(339_999));
        assert_eq!(kids(&gateway).len(), 2);
        gateway.set_time(&after(340_000));
        assert_eq!(kids(&gateway), [both[1].clone()], "now it is");
        assert_eq!(standings(&gateway), ["over", "current"]);
        assert_eq!(rotate(&gateway), 200, "and so on");
        assert_eq!(kids(&gateway).len(), 2);
    }
}

#[test]
fn sessions_outlive_the_key_that_signed_them() {
    let api = Api::set_up("token = \"jwt\"\n", signing);
    let (wallet, gateway) = (Wallet::evm(1), &api.gateway);
    let mut browser = api.browser();
    browser.sign_in(&wallet);
    let early = browser.cookie.clone().expect("a token");
    assert_eq!(rotate(gateway), 200);
    gateway.set_time(&after(310_000));
    let bearer = |target: &str, token: &str| gateway.send(&Request::get(target).token(&format!("Bearer {token}")));
    wait_until("the new key signs", || {
        assert_eq!(bearer("/wallet/x", &early).status, 200);
        kid_of(told(&api.upstream.take_one())) != kid_of(&early)
    });
    assert_eq!(browser.send(Request::new("POST", "/.siwx/refresh")).status, 200);
    let late = browser.cookie.clone().expect("a token");
    assert_ne!(kid_of(&early), kid_of(&late));
    assert_eq!(bearer("/wallet/x", &late).status, 200);
    api.upstream.take();
    // Whoever signed it, what opens a session stays here.
    for token in [&early, &late] {
        assert_eq!(bearer("/public", token).status, 200);
        assert_eq!(api.upstream.take_one().one("authorization"), None);
    }
}

#[test]
fn every_process_on_the_store_knows_a_new_key() {
    let (upstream, folder) = (Upstream::ok(), tempfile::tempdir().expect("a folder"));
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let start = || signing(Setup::over(&upstream)).set("store.url", &url).start();
    let (first, second) = (start(), start());
    assert_eq!(rotate(&first), 200);
    wait_until("the other process publishes it", || kids(&second) == kids(&first));
    assert_eq!(kids(&second).len(), 2);
    assert_eq!(rotate(&second), 409);
    drop(first);
    let third = start();
    assert_eq!(kids(&third), kids(&second), "it outlives who made it");
    assert_eq!(standings(&third), ["current", "next"]);
}

#[test]
fn where_no_key_is_kept_there_is_none_to_change() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    for request in [Request::get("/admin/keys"), Request::new("POST", "/admin/keys/rotate")] {
        assert_eq!(gateway.admin(request).outcome(), (404, "no_route".to_owned()));
    }
    let gateway = signing(Setup::over(&upstream)).start();
    for (method, path) in [("POST", "/admin/keys"), ("GET", "/admin/keys/rotate"), ("DELETE", "/admin/keys")] {
        assert_eq!(gateway.admin(Request::new(method, path)).status, 405, "{method} {path}");
    }
    let listed: Value = gateway.admin(Request::get("/admin/keys")).json();
    let members: Vec<&String> = listed["keys"][0].as_object().expect("an object").keys().collect();
    assert_eq!(members, ["kid", "algorithm", "standing", "made_at", "signs_from", "published_until"]);
}
