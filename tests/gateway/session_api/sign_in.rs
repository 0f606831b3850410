//! Beginning one session (`POST P/sessions`): what opens one, what does not, and what that leaves behind.

use serde_json::{Value, json};

use super::{Api, COOKIE, DAPP, OWN, dapp_text, later, signed, text};
use crate::{
    failures::Flaky,
    harness::{Answer, Request, Wallet, wallet::Text},
};

#[test]
fn a_sign_in_is_answered_with_its_session_a_token_and_a_cookie() {
    let api = Api::new();
    for wallet in [Wallet::evm(1), Wallet::solana(1)] {
        let sign_in = api.sign_in(&wallet);
        let mut browser = api.browser();
        let answer = browser.post("/.siwx/sessions", &sign_in);
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.one("content-type"), Some("application/json"));
        let body = answer.json();
        assert_eq!(body["expiresAt"], later(86_400));
        let token = body["token"].as_str().expect("a token");
        assert!(token.starts_with("siwxs_"), "{token}");
        assert_eq!(
            answer.one("set-cookie"),
            Some(&*format!("{COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=86400"))
        );
        let session = &body["session"];
        assert_eq!(session["account"], wallet.account());
        assert_eq!(session["accountAddress"], wallet.address());
        assert_eq!(session["chainId"], wallet.chain());
        assert_eq!(session["createdAt"], later(0));
        assert_eq!(session["expiresAt"], later(86_400));
        for member in ["data", "message", "signature"] {
            assert_eq!(session[member], sign_in[member], "{member}");
        }
        assert_eq!(browser.sessions(), std::slice::from_ref(session));
    }
}

#[test]
fn what_a_dapp_sends_along_comes_back_byte_for_byte() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let sign_in = api.sign_in(&wallet);
    let data = sign_in["data"].to_string().replacen('{', r#"{ "mine": [1.50, 1e3, "A"], "#, 1);
    let body = format!(
        r#"{{"data":{data},"message":{},"signature":{},"unknown":1}}"#,
        sign_in["message"], sign_in["signature"]
    );
    let answer = api.send(&Request::new("POST", "/.siwx/sessions").header("Origin", OWN).body(body.as_bytes()));
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.body).contains(&data), "{answer:?}");
}

#[test]
fn a_session_opens_routes_and_is_not_passed_on() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let mut browser = api.browser();
    assert_eq!(browser.get("/wallet/x").outcome(), (401, "credential_required".to_owned()));
    browser.sign_in(&wallet);
    let answer = browser.get("/wallet/x");
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = api.upstream.take();
    let cookies = seen[0].all("cookie");
    assert_eq!(cookies, ["theme=dark"]);
}

#[test]
fn a_dapp_of_another_site_signs_in_for_its_own_page() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let sign_in = signed(&wallet, &dapp_text(&wallet, &api.nonce()));
    let answer = api.browser().on_dapp().post("/.siwx/sessions", &sign_in);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.one("access-control-allow-origin"), Some(DAPP));
    assert_eq!(answer.one("access-control-allow-credentials"), Some("true"));
}

/// A sign-in of the wallet, changed before it is signed.
fn changed(api: &Api, wallet: &Wallet, change: impl FnOnce(Text) -> Text) -> Value {
    signed(wallet, &change(text(wallet, &api.nonce())))
}

fn refusal(api: &Api, body: &Value) -> Answer {
    let mut browser = api.browser();
    let answer = browser.post("/.siwx/sessions", body);
    assert!(browser.cookie.is_none() && answer.status != 201, "{answer:?}");
    let told = String::from_utf8_lossy(&answer.body).into_owned();
    let signature = body["signature"].as_str().unwrap_or("none");
    assert!(!told.contains(signature), "the signature is echoed: {told}");
    answer
}

#[test]
fn sign_ins_that_are_refused_and_why() {
    let api = Api::set_up("", |setup| setup.set("limits.auth_failures", "off"));
    let wallet = Wallet::evm(1);
    let of = |change: fn(Text) -> Text| changed(&api, &wallet, change);
    let replaced = |member: &str, value: Value| {
        let mut sign_in = api.sign_in(&wallet);
        sign_in[member] = value;
        sign_in
    };
    let in_data = |member: &str, value: Value| {
        let mut sign_in = api.sign_in(&wallet);
        sign_in["data"][member] = value;
        sign_in
    };
    let other = Wallet::evm(2);
    let rows = [
        ("another domain", of(|text| text.for_domain("evil.example")), 400, "domain_mismatch"),
        ("another URI", of(|text| text.with("URI", "https://evil.example/")), 400, "uri_mismatch"),
        (
            "a label of nobody",
            changed(&api, &wallet, |text| Text { label: "OP Mainnet".to_owned(), ..text }),
            403,
            "label_not_allowed",
        ),
        ("over", of(|text| text.and("Expiration Time", "2026-11-20T10:00:01.000Z")), 401, "expired"),
        ("not yet", of(|text| text.and("Not Before", "2026-11-20T11:00:00.000Z")), 401, "not_yet_valid"),
        ("of the future", of(|text| text.with("Issued At", "2026-11-20T10:05:00.000Z")), 401, "issued_in_future"),
        ("of long ago", of(|text| text.with("Issued At", "2026-11-20T09:49:00.000Z")), 401, "issued_too_long_ago"),
        ("a nonce of nobody", of(|text| text.nonce(7)), 401, "nonce_unknown"),
        (
            "the signature of another",
            replaced("signature", json!(other.written(&other.sign("x")))),
            401,
            "invalid_signature",
        ),
        ("another address in data", in_data("accountAddress", json!(other.address())), 400, "data_mismatch"),
        ("another chain in data", in_data("chainId", json!("eip155:1")), 400, "data_mismatch"),
        ("another nonce in data", in_data("nonce", json!("0")), 400, "data_mismatch"),
        ("another domain in data", in_data("domain", json!("app.example.com")), 400, "data_mismatch"),
        ("another URI in data", in_data("uri", json!("https://app.example.com")), 400, "data_mismatch"),
        ("another time in data", in_data("issuedAt", json!("2026-11-20T10:00:02.000Z")), 400, "data_mismatch"),
        ("an end in data alone", in_data("expirationTime", json!("2026-11-21T10:00:00.000Z")), 400, "data_mismatch"),
    ];
    for (name, body, status, code) in rows {
        assert_eq!(refusal(&api, &body).outcome(), (status, code.to_owned()), "{name}");
    }
}

/// It got a session, which opened nothing.
#[test]
fn an_account_that_is_denied_gets_no_session() {
    let (denied, other) = (Wallet::evm(1), Wallet::evm(2));
    let api =
        Api::set_up("", |setup| setup.set("limits.auth_failures", "off").set("auth.deny_accounts", &denied.address()));
    let sign_in = api.sign_in(&denied);
    let no = (403, "account_denied".to_owned());
    assert_eq!(refusal(&api, &sign_in).outcome(), no);
    let listed = api.browser().put(&[api.sign_in(&other), sign_in.clone()]);
    assert_eq!((listed.outcome(), listed.json()["index"].as_u64()), (no, Some(1)), "{listed:?}");
    // Who has not proved to be the account learns nothing of the list.
    let mut forged = sign_in;
    forged["signature"] = json!(other.written(&other.sign("x")));
    assert_eq!(refusal(&api, &forged).outcome(), (401, "invalid_signature".to_owned()));
    assert_eq!(api.browser().post("/.siwx/sessions", &api.sign_in(&other)).status, 201);
}

#[test]
fn a_label_of_the_session_s_own_is_welcome_in_sign_ins_alone() {
    let api = Api::with("labels = { eip155 = [\"OP Mainnet\"] }\n");
    let wallet = Wallet::evm(1);
    let labelled = |text: Text| Text { label: "OP Mainnet".to_owned(), ..text };
    let sign_in = signed(&wallet, &labelled(text(&wallet, &api.nonce())));
    assert_eq!(api.browser().post("/.siwx/sessions", &sign_in).status, 201);
    assert_eq!(api.gateway.get("/wallet/x", &wallet.token_of(&labelled(wallet.text()))).status, 401);
}

#[test]
fn a_page_does_not_pass_on_what_was_signed_for_another() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let for_own = api.sign_in(&wallet);
    let answer = api.browser().on_dapp().post("/.siwx/sessions", &for_own);
    assert_eq!(answer.outcome(), (400, "domain_mismatch".to_owned()));
    let for_dapp = signed(&wallet, &dapp_text(&wallet, &api.nonce()));
    assert_eq!(refusal(&api, &for_dapp).outcome(), (400, "domain_mismatch".to_owned()));
}

#[test]
fn a_nonce_is_used_once_and_a_refused_attempt_burns_none() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let sign_in = api.sign_in(&wallet);
    let mut bad = sign_in.clone();
    bad["signature"] = json!(wallet.written(&Wallet::evm(2).sign(sign_in["message"].as_str().expect("a text"))));
    assert_eq!(refusal(&api, &bad).outcome(), (401, "invalid_signature".to_owned()));
    let mut browser = api.browser();
    assert_eq!(browser.post("/.siwx/sessions", &sign_in).status, 201);
    assert_eq!(refusal(&api, &sign_in).outcome(), (401, "nonce_reused".to_owned()));
}

#[test]
fn the_same_sign_in_from_the_same_cookie_is_answered_like_the_first_time() {
    let api = Api::new();
    let sign_in = api.sign_in(&Wallet::evm(1));
    let mut browser = api.browser();
    let first = browser.post("/.siwx/sessions", &sign_in);
    let again = browser.post("/.siwx/sessions", &sign_in);
    assert_eq!(again.status, 201, "{again:?}");
    assert_eq!(again.json()["session"], first.json()["session"]);
    assert_eq!(browser.sessions().len(), 1);
}

#[test]
fn a_nonce_is_too_old_after_its_time() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let fresh = |nonce: &str, at: &str| signed(&wallet, &text(&wallet, nonce).with("Issued At", at));
    let (first, second) = (api.nonce(), api.nonce());
    api.gateway.set_time(&later(600));
    assert_eq!(api.browser().post("/.siwx/sessions", &fresh(&first, &later(600))).status, 201);
    api.gateway.set_time(&later(602));
    let old = refusal(&api, &fresh(&second, &later(602)));
    assert_eq!(old.outcome(), (401, "nonce_unknown".to_owned()));
}

#[test]
fn a_session_ends_with_its_time_and_with_its_message() {
    let api = Api::new();
    let (long, short) = (Wallet::evm(1), Wallet::evm(2));
    let mut browser = api.browser();
    browser.sign_in(&long);
    let ends = signed(&short, &text(&short, &api.nonce()).and("Expiration Time", &later(60)));
    assert_eq!(browser.post("/.siwx/sessions", &ends).status, 201);
    assert_eq!(browser.accounts(), [long.account(), short.account()]);
    api.gateway.set_time(&later(60));
    assert_eq!(browser.accounts(), [long.account()]);
    api.gateway.set_time(&later(86_400));
    assert!(browser.accounts().is_empty());
    assert_eq!(browser.get("/.siwx/me").outcome(), (401, "unauthenticated".to_owned()));
}

#[test]
fn too_many_refusals_of_an_address_end_its_attempts_and_not_its_sessions() {
    let api = Api::set_up("", |setup| setup.tables("[limits]\nauth_failures = { rate = \"1/s\", burst = 2 }\n"));
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    let mut bad = api.sign_in(&Wallet::evm(2));
    bad["signature"] = json!("0x00");
    for _ in 0..2 {
        assert_eq!(refusal(&api, &bad).status, 401);
    }
    let limited = refusal(&api, &bad);
    assert_eq!(limited.outcome(), (429, "rate_limited".to_owned()));
    assert!(limited.one("retry-after").is_some());
    assert_eq!(api.send(&Request::get("/.siwx/nonce")).outcome(), (429, "rate_limited".to_owned()));
    assert_eq!(browser.accounts().len(), 1);
}

#[test]
fn refresh_gives_a_longer_life_and_a_new_value() {
    let api = Api::new();
    let mut browser = api.browser();
    assert_eq!(browser.send(Request::new("POST", "/.siwx/refresh")).outcome(), (401, "unauthenticated".to_owned()));
    browser.sign_in(&Wallet::evm(1));
    let before = browser.cookie.clone().expect("a cookie");
    api.gateway.set_time(&later(3600));
    let answer = browser.send(Request::new("POST", "/.siwx/refresh"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["expiresAt"], later(3600 + 86_400));
    assert_eq!(answer.json()["token"].as_str(), browser.cookie.as_deref());
    assert_eq!(browser.accounts().len(), 1);
    let mut old = api.browser();
    old.cookie = Some(before);
    assert!(old.accounts().is_empty());

    // Seven days are the end, however often it is asked for.
    for turn in 1..=7 {
        api.gateway.set_time(&later(turn * 80_000));
        assert_eq!(browser.send(Request::new("POST", "/.siwx/refresh")).status, 200, "turn {turn}");
    }
    api.gateway.set_time(&later(7 * 86_400 - 120));
    let last = browser.send(Request::new("POST", "/.siwx/refresh"));
    assert_eq!(last.json()["expiresAt"], later(7 * 86_400), "{last:?}");
    api.gateway.set_time(&later(7 * 86_400));
    assert_eq!(browser.send(Request::new("POST", "/.siwx/refresh")).status, 401);
}

#[test]
fn sign_out_ends_this_set_and_with_all_every_one_of_its_accounts() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let (mut one, mut two, mut three) = (api.browser(), api.browser(), api.browser());
    for browser in [&mut one, &mut two, &mut three] {
        browser.sign_in(&wallet);
    }
    let kept = one.cookie.clone();
    let answer = one.post("/.siwx/sign-out", &json!({}));
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.one("set-cookie"), Some("__Host-siwx=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"));
    one.cookie = kept;
    assert!(one.accounts().is_empty());
    assert_eq!(two.accounts().len(), 1);
    assert_eq!(two.post("/.siwx/sign-out", &json!({ "all": true })).status, 204);
    assert!(three.accounts().is_empty());
    assert_eq!(api.browser().send(Request::new("POST", "/.siwx/sign-out")).status, 204);
    assert_eq!(api.browser().post("/.siwx/sign-out", &json!({ "all": 1 })).outcome().0, 400);
}

#[test]
fn a_token_in_the_form_of_a_jwt_opens_the_same() {
    let api = Api::with("token = \"jwt\"\n");
    let wallet = Wallet::evm(1);
    let answer = api.browser().post("/.siwx/sessions", &api.sign_in(&wallet));
    let token = answer.json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(token.split('.').count(), 3);
    let nonce_token = api.send(&Request::get("/.siwx/nonce")).json()["token"].as_str().expect("a token").to_owned();
    let bearer = Request::get("/.siwx/me").token(&format!("Bearer {token}"));
    assert_eq!(api.send(&bearer).json()["account"], wallet.account());
    let kind = Request::get("/.siwx/me").token(&format!("Bearer {nonce_token}"));
    assert_eq!(api.send(&kind).outcome(), (401, "unauthenticated".to_owned()), "a nonce's token is no session's");
}

#[test]
fn a_store_that_does_not_answer_signs_nobody_in_and_burns_nothing() {
    let flaky = Flaky::new();
    let api = Api::set_up("", |setup| setup.store(flaky.store()));
    let sign_in = api.sign_in(&Wallet::evm(1));
    let mut browser = api.browser();
    flaky.fail(true);
    for answer in [browser.post("/.siwx/sessions", &sign_in), browser.put(std::slice::from_ref(&sign_in))] {
        assert_eq!(answer.outcome(), (503, "store_unavailable".to_owned()), "{answer:?}");
        assert_eq!((answer.one("retry-after"), answer.one("set-cookie")), (Some("1"), None), "{answer:?}");
    }
    flaky.fail(false);
    assert_eq!(browser.post("/.siwx/sessions", &sign_in).status, 201);
    flaky.fail(true);
    assert_eq!(browser.post("/.siwx/sign-out", &json!({})).outcome(), (503, "store_unavailable".to_owned()));
    assert!(browser.cookie.is_some(), "a session that may live on keeps its cookie");
}
