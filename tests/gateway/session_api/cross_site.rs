//! Who may change something (sessions.md section 2.3), row by row, at the API and at routes.

use serde_json::json;

use super::{Api, COOKIE, DAPP, OWN};
use crate::harness::{Request, Wallet};

/// Fields of a request, and whether it may write.
type Row = (&'static str, &'static [(&'static str, &'static str)], bool);

const ROWS: [Row; 14] = [
    ("our own page", &[("Origin", OWN)], true),
    ("a page of another host of ours", &[("Origin", "https://other.example.com")], true),
    ("a listed page", &[("Origin", DAPP)], true),
    ("a listed page of another site", &[("Origin", DAPP), ("Sec-Fetch-Site", "cross-site")], true),
    ("a stranger's page", &[("Origin", "https://evil.example")], false),
    (
        "a stranger's page that says it is ours",
        &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "same-origin")],
        false,
    ),
    ("a page of no origin", &[("Origin", "null")], false),
    ("a page of no origin, from here", &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")], false),
    ("two origins", &[("Origin", OWN), ("Origin", OWN)], false),
    ("no origin, from our own page", &[("Sec-Fetch-Site", "same-origin")], true),
    ("no origin, typed in", &[("Sec-Fetch-Site", "none")], true),
    ("no origin, from a sibling", &[("Sec-Fetch-Site", "same-site")], false),
    ("no origin, from elsewhere", &[("Sec-Fetch-Site", "cross-site")], false),
    ("neither", &[], false),
];

#[test]
fn pages_that_may_write_and_pages_that_may_not() {
    let api = Api::new();
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    let cookie = format!("{COOKIE}={}", browser.cookie.clone().expect("a cookie"));
    for (name, fields, may) in ROWS {
        // What it asks for changes nothing if it may: this pair is nobody's.
        let mut request =
            Request::new("DELETE", "/.siwx/sessions?chainId=eip155:1&address=0xab").header("Cookie", &cookie);
        for (field, value) in fields {
            request = request.header(field, value);
        }
        let answer = api.send(&request);
        let expected = if may { (204, String::new()) } else { (403, "csrf".to_owned()) };
        assert_eq!(answer.outcome(), expected, "{name}: {answer:?}");
    }
    assert_eq!(browser.accounts().len(), 1);
}

#[test]
fn every_endpoint_that_writes_asks_for_its_page() {
    let api = Api::new();
    let sign_in = api.sign_in(&Wallet::evm(1)).to_string();
    let list = json!({ "sessions": [] }).to_string();
    let rows = [
        ("POST", "/.siwx/sessions", &*sign_in),
        ("PUT", "/.siwx/sessions", &*list),
        ("DELETE", "/.siwx/sessions?chainId=eip155:1&address=0xab", ""),
        ("POST", "/.siwx/refresh", ""),
        ("POST", "/.siwx/sign-out", "{}"),
        ("POST", "/.siwx/message", "{}"),
    ];
    for (method, path, body) in rows {
        let request = Request::new(method, path).header("Origin", "https://evil.example").body(body.as_bytes());
        let answer = api.send(&request);
        assert_eq!(answer.outcome(), (403, "csrf".to_owned()), "{method} {path}: {answer:?}");
        assert_eq!(answer.one("set-cookie"), None, "{method} {path}");
    }
}

#[test]
fn a_bearer_without_a_cookie_needs_no_page() {
    let api = Api::new();
    let answer = api.browser().post("/.siwx/sessions", &api.sign_in(&Wallet::evm(1)));
    let bearer = format!("Bearer {}", answer.json()["token"].as_str().expect("a token"));
    let forget = Request::new("DELETE", "/.siwx/sessions?chainId=eip155:1&address=0xab").token(&bearer);
    assert_eq!(api.send(&forget).status, 204);
    assert_eq!(api.send(&forget.clone().header("Cookie", "theme=dark")).status, 204);
    let beside = forget.header("Cookie", &format!("{COOKIE}=siwxs_x"));
    assert_eq!(api.send(&beside).outcome(), (403, "csrf".to_owned()));
}

#[test]
fn a_cookie_changes_nothing_upstream_for_a_stranger_s_page() {
    let api = Api::new();
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    let cookie = format!("{COOKIE}={}", browser.cookie.clone().expect("a cookie"));
    let post = |origin: &str| Request::new("POST", "/wallet/x").header("Cookie", &cookie).header("Origin", origin);
    assert_eq!(api.send(&post("https://evil.example")).outcome(), (403, "csrf".to_owned()));
    assert!(api.upstream.take().is_empty());
    assert_eq!(api.send(&post(OWN)).status, 200);
}

#[test]
fn c32_a_cookie_opens_no_websocket_for_a_stranger_s_page() {
    let api = Api::new();
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    let cookie = format!("{COOKIE}={}", browser.cookie.clone().expect("a cookie"));
    let open = Request::get("/wallet/x").header("Cookie", &cookie);
    let open = open.header("Connection", "Upgrade").header("Upgrade", "websocket");
    for origin in ["https://evil.example", "null"] {
        assert_eq!(api.send(&open.clone().header("Origin", origin)).outcome(), (403, "csrf".to_owned()), "{origin}");
    }
    assert_eq!(api.send(&open).outcome(), (403, "csrf".to_owned()), "of nobody knows which page");
    assert!(api.upstream.take().is_empty());
}
