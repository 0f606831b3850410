//! The login page, alone and as the body of refusals (sessions.md section 2.6).

use super::{Api, DAPP};
use crate::harness::{Answer, Request, Shop, Till, Upstream, Wallet, shop::FOR_SALE};

const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// What the page's script is told.
fn data(answer: &Answer) -> String {
    let html = String::from_utf8_lossy(&answer.body).into_owned();
    let (_, after) = html.split_once("data-page=\"").expect("the attribute");
    after.split_once('"').expect("its end").0.replace("&quot;", "\"").replace("&amp;", "&")
}

fn is_page(answer: &Answer) -> bool {
    answer.one("content-type") == Some("text/html; charset=utf-8")
}

#[test]
fn the_page_has_the_fields_that_guard_it() {
    let api = Api::new();
    let answer = api.send(&Request::get("/.siwx/login"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(is_page(&answer), "{answer:?}");
    assert_eq!(answer.one("content-security-policy"), Some(POLICY));
    assert_eq!(answer.one("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.one("x-frame-options"), Some("DENY"));
    assert_eq!(answer.one("cache-control"), Some("no-store"));
}

#[test]
fn an_open_redirect_leads_nowhere_but_here() {
    let api = Api::new();
    let rows = [
        ("return=/wallet/x", "/wallet/x"),
        ("return=%2Fwallet%2Fx%3Fa%3D1", "/wallet/x?a=1"),
        ("", "/"),
        ("return=https://evil.example", "/"),
        ("return=//evil.example", "/"),
        ("return=%2F%2Fevil.example", "/"),
        ("return=/%5Cevil.example", "/"),
        ("return=%5C%5Cevil.example", "/"),
        ("return=/%09/evil.example", "/"),
        ("return=/%0d%0aSet-Cookie:a=b", "/"),
        ("return=/.//evil.example", "/"),
        ("return=javascript:alert(1)", "/"),
        ("return=/a&return=//evil.example", "/"),
        ("return=evil.example", "/"),
    ];
    for (query, expected) in rows {
        let answer = api.send(&Request::get(&format!("/.siwx/login?{query}")));
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        assert_eq!(answer.one("location"), None, "{query}");
        assert!(data(&answer).contains(&format!("\"return\":\"{expected}\"")), "{query}: {}", data(&answer));
    }
}

#[test]
fn a_refusal_keeps_its_status_and_fields_and_becomes_a_page_for_people() {
    let api = Api::new();
    let person = |path: &str| Request::get(path).header("Accept", HTML).header("Sec-Fetch-Mode", "navigate");
    let answer = api.send(&person("/wallet/x"));
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(is_page(&answer), "{answer:?}");
    assert_eq!(answer.one("www-authenticate"), Some("SIWX realm=\"api.example.com\""));
    assert_eq!(answer.one("content-security-policy"), Some(POLICY));
    assert!(answer.one("x-request-id").is_some());
    assert!(data(&answer).contains("credential_required"), "{}", data(&answer));

    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    let answer = browser.send(person("/paid/x"));
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(is_page(&answer) && data(&answer).contains("subscription_required"), "{answer:?}");
}

/// Clients of x402 are asked to sign in by a 402 that offers nothing, which people read as a price.
#[test]
fn a_route_that_sells_nothing_says_no_word_of_a_price() {
    let shop = Shop::set_up(Upstream::ok(), FOR_SALE, &Till::default(), |setup| {
        setup.tables("[session]\n[[route]]\nname = \"me\"\nprefix = \"/me\"\nupstream = \"api\"\nauth = \"wallet\"\n")
    });
    let answer = shop.gateway.send(&Request::get("/me").header("Accept", HTML));
    assert_eq!((answer.status, is_page(&answer)), (402, true), "{answer:?}");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains("This page opens for wallets that sign in."), "{text}");
    assert!(!text.contains("has a price"), "{text}");
}

#[test]
fn a_page_that_is_for_sale_says_what_clients_would_pay() {
    let shop = Shop::set_up(Upstream::ok(), FOR_SALE, &Till::default(), |setup| setup.tables("[session]\n"));
    shop.offering("/weather/x", 1);
    let answer = shop.gateway.send(&Request::get("/weather/x").header("Accept", HTML));
    assert_eq!((answer.status, is_page(&answer)), (402, true), "{answer:?}");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains("This page has a price."), "{text}");
    let page: serde_json::Value = serde_json::from_str(&data(&answer)).expect("JSON");
    let offered = answer.decoded("payment-required").expect("what clients read");
    let (said, asked) = (&page["offers"][0], &offered["accepts"][0]);
    assert_eq!(said["price"], "$0.01");
    for (member, same) in [("network", "network"), ("amount", "amount"), ("asset", "asset"), ("payTo", "payTo")] {
        assert_eq!(said[member], asked[same], "{member}");
    }
}

#[test]
fn others_read_what_they_always_read() {
    let api = Api::new();
    let rows = [
        ("curl", Request::get("/wallet/x").header("Accept", "*/*")),
        ("a script", Request::get("/wallet/x").header("Accept", HTML).header("Sec-Fetch-Mode", "cors")),
        ("a form", Request::new("POST", "/wallet/x").header("Accept", HTML).header("Sec-Fetch-Mode", "navigate")),
        ("a HEAD", Request::new("HEAD", "/wallet/x").header("Accept", HTML)),
        ("a dapp", Request::get("/wallet/x").header("Accept", "application/json").header("Origin", DAPP)),
    ];
    for (name, request) in rows {
        let answer = api.send(&request);
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        assert!(!is_page(&answer), "{name}: {answer:?}");
    }
}

#[test]
fn a_route_that_takes_no_sessions_has_no_page() {
    let route = "[[route]]\nname = \"api\"\nprefix = \"/api\"\nupstream = \"api\"\nauth = \"wallet\"\ncarriers = [\"authorization\"]\n";
    let api = Api::set_up("", |setup| setup.tables(route));
    let answer = api.send(&Request::get("/api/x").header("Accept", HTML));
    assert_eq!(answer.outcome(), (401, "credential_required".to_owned()));
}

#[test]
fn without_the_page_refusals_are_problems() {
    let api = Api::with("login_page = false\n");
    assert_eq!(api.send(&Request::get("/wallet/x").header("Accept", HTML)).outcome().1, "credential_required");
    assert_eq!(api.send(&Request::get("/.siwx/login")).outcome(), (404, "no_route".to_owned()));
    assert_eq!(api.send(&Request::get("/.siwx/siwx.js")).status, 200);
}

#[test]
fn the_module_is_served_and_not_sent_twice() {
    let api = Api::new();
    let module = api.send(&Request::get("/.siwx/siwx.js"));
    assert_eq!(module.one("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(module.one("vary"), Some("Origin"));
    let tag = module.one("etag").expect("a tag").to_owned();
    let again = api.send(&Request::get("/.siwx/siwx.js").header("If-None-Match", &tag));
    assert_eq!(again.status, 304, "{again:?}");
}
