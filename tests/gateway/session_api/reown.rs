//! The requests of AppKit's cloud class, literally as it sends them (sessions.md section 3).

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use siwx_gateway::caip::AccountId;

use super::{Api, DAPP, dapp_text, later, signed};
use crate::harness::{Answer, Request, Wallet};

/// What the class adds to every URL.
const QUERY: &str = "projectId=4e2a1b&st=appkit&sv=react-1.8.21";

fn api() -> Api {
    Api::with("reown_prefix = \"/auth/v1\"\n")
}

/// A request of the class: a dapp's page, no cookie, and text as content type where there is a body.
fn request(method: &str, key: &str, body: Option<&Value>) -> Request {
    let request = Request::new(method, &format!("/auth/v1/{key}?{QUERY}")).header("Origin", DAPP);
    match body {
        Some(body) => request.header("Content-Type", "text/plain;charset=UTF-8").body(body.to_string().as_bytes()),
        None => request,
    }
}

struct Nonce {
    nonce: String,
    token: String,
}

fn nonce(api: &Api) -> Nonce {
    let answer = api.send(&request("GET", "nonce", None));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.one("content-type"), Some("application/json"));
    assert_eq!(answer.one("access-control-allow-origin"), Some(DAPP));
    assert_eq!(answer.one("access-control-allow-credentials"), None);
    let json = answer.json();
    let text = |member: &str| json[member].as_str().expect("a text").to_owned();
    Nonce { nonce: text("nonce"), token: text("token") }
}

fn body(wallet: &Wallet, nonce: &str) -> Value {
    let mut body = signed(wallet, &dapp_text(wallet, nonce));
    body["clientId"] = Value::Null;
    body["walletInfo"] = json!({ "type": "extension", "name": "A Wallet", "icon": "data:image/png;base64,AA==" });
    body
}

fn authenticate(api: &Api, wallet: &Wallet) -> Answer {
    let Nonce { nonce, token } = nonce(api);
    let request = request("POST", "authenticate", Some(&body(wallet, &nonce)));
    api.send(&request.header("x-nonce-jwt", &format!("Bearer {token}")))
}

fn token(api: &Api, wallet: &Wallet) -> String {
    let answer = authenticate(api, wallet);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["token"].as_str().expect("a token").to_owned()
}

fn with_token(method: &str, key: &str, token: &str, body: Option<&Value>) -> Request {
    request(method, key, body).header("Authorization", &format!("Bearer {token}"))
}

/// What the class reads out of a token, without a look at its signature.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).expect("base64url")).expect("JSON")
}

#[test]
fn the_endpoints_are_off_unless_they_are_set() {
    let api = Api::new();
    assert_eq!(api.send(&request("GET", "nonce", None)).status, 200);
    assert_eq!(api.upstream.take().len(), 1, "it is the upstream's path");
}

#[test]
fn authenticate_gives_a_token_that_says_who_it_is() {
    let api = api();
    for wallet in [Wallet::evm(1), Wallet::solana(1)] {
        let answer = authenticate(&api, &wallet);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.one("set-cookie"), None);
        let token = answer.json()["token"].as_str().expect("a token").to_owned();
        let claims = claims(&token);
        let (namespace, reference) = wallet.chain().split_once(':').expect("a chain");
        let chain_id = if namespace == "eip155" { json!(8453) } else { json!(reference) };
        for (claim, expected) in [
            ("iss", json!("https://api.example.com")),
            ("sub", json!(format!("did:pkh:{}", wallet.account()))),
            ("address", json!(wallet.address())),
            ("chainId", chain_id),
            ("chainNamespace", json!(namespace)),
            ("caip2Network", json!(wallet.chain())),
            ("domain", json!("app.example.com")),
            ("uri", json!("https://app.example.com/inbox")),
            ("projectIdKey", json!("4e2a1b")),
        ] {
            assert_eq!(claims[claim], expected, "{claim}");
        }
        for claim in ["aud", "nonce", "projectUuid", "profileUuid"] {
            assert!(claims[claim].is_string(), "{claim}: {claims}");
        }
        assert!(claims["exp"].is_i64() && claims.get("email").is_none());
    }
}

#[test]
fn me_is_the_claims_and_the_account_where_it_is_asked_for() {
    let api = api();
    let wallet = Wallet::evm(1);
    let token = token(&api, &wallet);
    let me = api.send(&with_token("GET", "me", &token, None));
    assert_eq!(me.status, 200, "{me:?}");
    let plain = me.json();
    assert_eq!(plain["address"], wallet.address());
    assert_eq!(plain["caip2Network"], wallet.chain());
    assert_eq!(plain.get("appKitAccount"), None);

    let target = format!("/auth/v1/me?{QUERY}&includeAppKitAccount=true");
    let asked = Request::get(&target).header("Origin", DAPP).header("Authorization", &format!("Bearer {token}"));
    let account = api.send(&asked).json()["appKitAccount"].clone();
    assert_eq!(account["caip2_chain"], wallet.chain());
    assert_eq!(account["address"], wallet.address());
    assert_eq!(account["verification_status"], Value::Null);
    assert_eq!(account["metadata"], Value::Null);
    assert_eq!(account["is_main_account"], true);
    assert_eq!(account["created_at"], later(0));
    for member in ["uuid", "profile_uuid", "last_signed_in_at", "signed_up_at", "updated_at"] {
        assert!(account[member].is_string(), "{member}: {account}");
    }
    assert!(account["connection_method"].is_null() || account["connection_method"].is_object());
}

/// It said of each session that it was the account's first, and nothing of the wallet.
#[test]
fn the_account_says_when_it_signed_up_and_by_what_it_signed_in_last() {
    let api = api();
    let wallet = Wallet::evm(1);
    let key = AccountId::parse(&wallet.account()).expect("an account").key();
    let sign_in = |at: i64, wallet_info: Value| {
        api.gateway.set_time(&later(at));
        let Nonce { nonce, token } = nonce(&api);
        let mut body = signed(&wallet, &dapp_text(&wallet, &nonce).with("Issued At", &later(at)));
        body["walletInfo"] = wallet_info;
        let request = request("POST", "authenticate", Some(&body)).header("x-nonce-jwt", &format!("Bearer {token}"));
        let answer = api.send(&request);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["token"].as_str().expect("a token").to_owned()
    };
    let social = json!({ "type": "social", "social": "x", "identifier": "<b>" });
    let rows = [
        (10, social.clone(), Some(social)),
        (20, json!("a text"), None),
        (30, json!({ "type": "unknown", "name": "x".repeat(16_384) }), None),
        (40, Value::Null, None),
    ];
    for (at, said, kept) in rows {
        sign_in(at, said);
        let history =
            api.gateway.block_on(api.gateway.store.sessions().history(&key)).expect("an answer").expect("a row");
        let connection = history.connection.map(|text| serde_json::from_str::<Value>(&text).expect("JSON"));
        assert_eq!(connection, kept, "at {at}");
    }
    let extension = json!({ "type": "extension", "name": "Meadow", "icon": "data:image/png;base64,AA==" });
    let token = sign_in(50, extension.clone());
    let me = Request::get(&format!("/auth/v1/me?{QUERY}&includeAppKitAccount=true"));
    let account = api.send(&me.header("Authorization", &format!("Bearer {token}"))).json()["appKitAccount"].clone();
    assert_eq!(account["connection_method"], extension);
    for (member, at) in [("created_at", 10), ("signed_up_at", 10), ("last_signed_in_at", 50)] {
        assert_eq!(account[member], later(at), "{member}");
    }
}

#[test]
fn nonce_tokens_that_open_nothing() {
    let api = Api::set_up("reown_prefix = \"/auth/v1\"\n", |setup| setup.set("limits.auth_failures", "off"));
    let wallet = Wallet::evm(1);
    let (own, other) = (nonce(&api), nonce(&api));
    let rows = [
        ("none", None),
        ("literally undefined", Some("Bearer undefined".to_owned())),
        ("literally null", Some("Bearer null".to_owned())),
        ("of another nonce", Some(format!("Bearer {}", other.token))),
        ("cut", Some(format!("Bearer {}", &own.token[..own.token.len() - 2]))),
        ("without its word", Some(own.token.clone())),
        ("a session's", Some(format!("Bearer {}", token(&api, &Wallet::evm(2))))),
    ];
    for (name, field) in rows {
        let mut request = request("POST", "authenticate", Some(&body(&wallet, &own.nonce)));
        if let Some(field) = field {
            request = request.header("x-nonce-jwt", &field);
        }
        let answer = api.send(&request);
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        assert!(is_short_text(&answer), "{name}: {answer:?}");
    }
    let good = request("POST", "authenticate", Some(&body(&wallet, &own.nonce)));
    let good = good.header("x-nonce-jwt", &format!("Bearer {}", own.token));
    assert_eq!(api.send(&good).status, 200, "none of these burned it");
    assert_eq!(api.send(&good).status, 401, "and it is used once");
}

#[test]
fn a_nonce_token_is_over_when_its_nonce_is() {
    let api = api();
    let wallet = Wallet::evm(1);
    let Nonce { nonce, token } = nonce(&api);
    api.gateway.set_time(&later(601));
    let text = dapp_text(&wallet, &nonce).with("Issued At", &later(601));
    let request = request("POST", "authenticate", Some(&signed(&wallet, &text)));
    assert_eq!(api.send(&request.header("x-nonce-jwt", &format!("Bearer {token}"))).status, 401);
}

fn is_short_text(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    answer.one("content-type") == Some("text/plain; charset=utf-8")
        && (1..200).contains(&text.len())
        && !text.starts_with('{')
        && answer.one("access-control-allow-origin") == Some(DAPP)
}

#[test]
fn errors_are_short_texts() {
    let api = api();
    let rows = [
        ("no body", request("POST", "authenticate", None), 400),
        ("no JSON", request("POST", "authenticate", Some(&json!("x"))), 400),
        ("nobody", request("GET", "me", None), 401),
        ("a token of nobody", with_token("GET", "me", "a.b.c", None), 401),
        ("metadata of nobody", request("PUT", "account-metadata", Some(&json!({ "metadata": {} }))), 401),
        ("nothing there", request("GET", "nothing", None), 404),
        ("another method", request("DELETE", "me", None), 405),
    ];
    for (name, request, status) in rows {
        let answer = api.send(&request);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(is_short_text(&answer), "{name}: {answer:?}");
    }
}

#[test]
fn metadata_is_kept_for_an_account() {
    let api = api();
    let wallet = Wallet::evm(1);
    let token = token(&api, &wallet);
    let kept = || {
        let target = format!("/auth/v1/me?{QUERY}&includeAppKitAccount=true");
        let me = Request::get(&target).header("Origin", DAPP).header("Authorization", &format!("Bearer {token}"));
        api.send(&me).json()["appKitAccount"]["metadata"].clone()
    };
    let put = |metadata: Value| {
        api.send(&with_token("PUT", "account-metadata", &token, Some(&json!({ "metadata": metadata }))))
    };
    let theme = json!({ "theme": { "dark": true }, "list": [1, 2.5] });
    assert_eq!(put(theme.clone()).status, 200);
    assert_eq!(kept(), theme);
    for (name, bad) in
        [("a number", json!(1)), ("a list", json!([])), ("too long", json!({ "a": "x".repeat(16 * 1024) }))]
    {
        assert_eq!(put(bad).status, 400, "{name}");
        assert_eq!(kept(), theme, "{name}");
    }
    assert_eq!(put(Value::Null).status, 200);
    assert_eq!(kept(), Value::Null);
}

#[test]
fn sign_out_ends_the_token() {
    let api = api();
    let token = token(&api, &Wallet::evm(1));
    let answer = api.send(&with_token("POST", "sign-out", &token, None));
    assert!((200..300).contains(&answer.status), "{answer:?}");
    assert_eq!(api.send(&with_token("GET", "me", &token, None)).status, 401);
}

#[test]
fn a_token_opens_routes_as_any_bearer() {
    let api = api();
    let wallet = Wallet::evm(1);
    let token = token(&api, &wallet);
    let answer = api.send(&Request::get("/wallet/x").header("Authorization", &format!("Bearer {token}")));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        api.send(&Request::get("/.siwx/me").token(&format!("Bearer {token}"))).json()["account"],
        wallet.account()
    );
}

#[test]
fn there_is_no_mail_to_confirm_an_address_by() {
    let api = api();
    let account = Wallet::evm(1).account();
    let rows = [
        request("POST", "otp", Some(&json!({ "email": "a@example.com", "account": account }))),
        request("PUT", "otp", Some(&json!({ "code": "123456" })))
            .header("x-otp", "4f6c5c0e-0000-4000-8000-000000000000"),
    ];
    for request in rows {
        let answer = api.send(&request);
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(String::from_utf8_lossy(&answer.body), "email capture is not enabled");
        assert!(is_short_text(&answer), "{answer:?}");
    }
}

#[test]
fn a_page_that_is_not_listed_is_refused() {
    let api = api();
    for (method, key) in [("GET", "nonce"), ("POST", "authenticate"), ("POST", "otp"), ("POST", "sign-out")] {
        for origin in ["https://evil.example", "null"] {
            let request = Request::new(method, &format!("/auth/v1/{key}?{QUERY}")).header("Origin", origin);
            let answer = api.send(&request);
            assert_eq!(answer.status, 403, "{key} {origin}: {answer:?}");
            assert_eq!(answer.one("access-control-allow-origin"), None, "{key} {origin}");
        }
    }
}

#[test]
fn no_cookie_counts_here() {
    let api = api();
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    let cookie = format!("{}={}", super::COOKIE, browser.cookie.clone().expect("a cookie"));
    assert_eq!(api.send(&request("GET", "me", None).header("Cookie", &cookie)).status, 401);
}
