//! The cookie (sessions.md section 2.3): given, changed, taken away, and never two of them.

use super::{Api, COOKIE, OWN};
use crate::harness::{Request, Wallet};

#[test]
fn every_change_of_a_set_gives_it_a_new_value() {
    let api = Api::new();
    let mut browser = api.browser();
    let mut seen = Vec::new();
    for number in 1..4 {
        browser.sign_in(&Wallet::evm(number));
        let now = browser.cookie.clone().expect("a cookie");
        assert!(!seen.contains(&now));
        seen.push(now);
    }
    for old in &seen[..2] {
        let mut planted = api.browser();
        planted.cookie = Some(old.clone());
        assert!(planted.accounts().is_empty(), "an old value opens nothing");
    }
}

#[test]
fn a_planted_value_is_left_behind_by_a_sign_in() {
    let api = Api::new();
    let mut browser = api.browser();
    browser.cookie = Some(format!("siwxs_{}", "A".repeat(32)));
    browser.sign_in(&Wallet::evm(1));
    assert_ne!(browser.cookie, Some(format!("siwxs_{}", "A".repeat(32))));
}

#[test]
fn two_cookies_of_its_name_are_refused() {
    let api = Api::new();
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    let value = browser.cookie.clone().expect("a cookie");
    let twice = format!("{COOKIE}={value}; {COOKIE}={value}");
    for path in ["/.siwx/sessions", "/.siwx/me", "/wallet/x"] {
        let answer = api.send(&Request::get(path).header("Cookie", &twice));
        assert_eq!(answer.outcome(), (400, "conflicting_credentials".to_owned()), "{path}");
    }
}

#[test]
fn a_dapp_on_another_site_has_a_jar_of_its_own() {
    let api = Api::with("cookie = { same_site = \"none\" }\n");
    let mut browser = api.browser();
    let answer = browser.post("/.siwx/sessions", &api.sign_in(&Wallet::evm(1)));
    let given = answer.one("set-cookie").expect("a cookie").to_owned();
    assert!(given.ends_with("; Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=86400"), "{given}");
    let gone = browser.send(Request::new("POST", "/.siwx/sign-out"));
    assert_eq!(
        gone.one("set-cookie"),
        Some("__Host-siwx=; Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=0")
    );
}

#[test]
fn a_cookie_of_a_domain_has_another_name() {
    let api = Api::with("cookie = { domain = \"example.com\" }\n");
    let body = api.sign_in(&Wallet::evm(1)).to_string();
    let answer = api.send(&Request::new("POST", "/.siwx/sessions").header("Origin", OWN).body(body.as_bytes()));
    let given = answer.one("set-cookie").expect("a cookie");
    assert!(given.starts_with("__Secure-siwx=siwxs_"), "{given}");
    assert!(given.contains("; Path=/; Domain=example.com; Secure; HttpOnly; SameSite=Lax"), "{given}");
}
