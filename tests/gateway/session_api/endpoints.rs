//! The table of sessions.md section 2, row by row: what each endpoint takes, answers, and is kept by.

use serde_json::json;
use siwx_gateway::store::Term;

use super::{Api, DAPP, OWN, data, later, signed, text};
use crate::{
    failures::Flaky,
    harness::{Request, Setup, Upstream, Wallet, wallet::Text},
};

#[test]
fn config_says_what_a_dapp_has_to_know() {
    let api = Api::new();
    let answer = api.send(&Request::get("/.siwx/config"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.one("content-type"), Some("application/json"));
    let config = answer.json();
    assert_eq!(config["domain"], "api.example.com");
    assert_eq!(config["uri"], OWN);
    assert_eq!(config["nonceTtl"], 600);
    assert_eq!(config["sessionTtl"], 86_400);
    let chains = config["chains"].as_array().expect("a list");
    assert!(chains.contains(&json!("eip155:*")) && chains.contains(&json!("solana:*")), "{chains:?}");
}

#[test]
fn a_host_beside_the_public_one_is_named_as_itself() {
    let api = Api::new();
    let config = api.send(&Request::get("/.siwx/config").host("other.example.com")).json();
    assert_eq!(config["domain"], "other.example.com");
    assert_eq!(config["uri"], "https://other.example.com");
}

#[test]
fn a_nonce_is_new_each_time_and_nobody_s() {
    let api = Api::new();
    let first = api.send(&Request::get("/.siwx/nonce"));
    assert_eq!(first.status, 200, "{first:?}");
    let first = first.json();
    let second = api.send(&Request::get("/.siwx/nonce?chainId=eip155:1&address=0xab")).json();
    assert_ne!(first["nonce"], second["nonce"]);
    assert!(first["nonce"].as_str().is_some_and(|nonce| nonce.bytes().all(|b| b.is_ascii_alphanumeric())));
    assert_eq!(first["token"].as_str().map(|token| token.split('.').count()), Some(3));
    assert_eq!(first["expiresAt"], later(600));
}

#[test]
fn an_answer_is_kept_by_nobody_and_says_by_what_it_differs() {
    let api = Api::new();
    let paths = ["/.siwx/config", "/.siwx/nonce", "/.siwx/sessions", "/.siwx/me", "/.siwx/nothing"];
    for path in paths {
        let answer = api.send(&Request::get(path));
        assert_eq!(answer.one("cache-control"), Some("no-store"), "{path}: {answer:?}");
        assert_eq!(answer.one("vary"), Some("Origin, Cookie, Authorization"), "{path}: {answer:?}");
    }
}

#[test]
fn the_public_keys_are_for_everybody_and_never_none() {
    let api = Api::new();
    let answer = api.send(&Request::get("/.siwx/jwks.json"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.one("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.one("vary"), Some("Origin"));
    let keys = answer.json();
    let keys = keys["keys"].as_array().expect("a list");
    assert!(!keys.is_empty());
    for key in keys {
        assert!(key["kid"].is_string() && key.get("d").is_none() && key.get("k").is_none(), "{key}");
    }
}

#[test]
fn a_message_is_written_here_and_opens_a_session() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let mut browser = api.browser();
    let wanted = json!({
        "accountAddress": wallet.address().to_lowercase(),
        "chainId": wallet.chain(),
        "statement": "Sign in to the API",
        "resources": ["https://api.example.com/terms"],
        "notBefore": "2026-11-20T09:00:00Z",
    });
    let answer = browser.post("/.siwx/message", &wanted);
    assert_eq!(answer.status, 200, "{answer:?}");
    let written = answer.json();
    assert_eq!(written["data"]["accountAddress"], wallet.address());
    assert_eq!(written["data"]["domain"], "api.example.com");
    let message = written["message"].as_str().expect("a text");
    let expected = Text {
        fields: vec![
            ("URI", OWN.to_owned()),
            ("Version", "1".to_owned()),
            ("Chain ID", "8453".to_owned()),
            ("Nonce", written["data"]["nonce"].as_str().expect("a nonce").to_owned()),
            ("Issued At", "2026-11-20T10:00:01.000Z".to_owned()),
            ("Not Before", "2026-11-20T09:00:00.000Z".to_owned()),
        ],
        ..wallet.text()
    };
    assert_eq!(message, format!("{expected}\nResources:\n- https://api.example.com/terms"));

    let signature = wallet.written(&wallet.sign(message));
    let session = json!({ "data": written["data"], "message": message, "signature": signature });
    assert_eq!(browser.post("/.siwx/sessions", &session).status, 201);
}

#[test]
fn a_message_is_for_the_page_that_asks_for_it() {
    let api = Api::new();
    let wanted = json!({ "accountAddress": "", "chainId": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp" });
    let answer = api.browser().on_dapp().post("/.siwx/message", &wanted);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["data"]["domain"], "app.example.com");
    assert_eq!(answer.json()["data"]["uri"], DAPP);
    assert_eq!(answer.json()["data"]["accountAddress"], "");
    let message = answer.json()["message"].as_str().expect("a text").to_owned();
    assert!(message.starts_with("app.example.com wants you to sign in with your Solana account:\n\n"), "{message}");
}

#[test]
fn messages_that_are_not_written() {
    let api = Api::new();
    let mut browser = api.browser();
    let evm = Wallet::evm(1).address();
    let rows = [
        ("no chain", json!({ "accountAddress": evm }), "bad_request"),
        ("no address", json!({ "chainId": "eip155:1" }), "bad_request"),
        ("a chain of nobody", json!({ "accountAddress": evm, "chainId": "cosmos:x" }), "chain_not_allowed"),
        ("a chain that is none", json!({ "accountAddress": evm, "chainId": "eip155" }), "chain_not_allowed"),
        (
            "a chain that is not let in",
            json!({ "accountAddress": "x", "chainId": "bip122:000000000019d6689c085ae165831e93" }),
            "chain_not_allowed",
        ),
        ("a number as chain", json!({ "accountAddress": evm, "chainId": 1 }), "bad_request"),
        (
            "two lines as a statement",
            json!({ "accountAddress": "", "chainId": "eip155:1", "statement": "a\n\nURI: https://evil.example" }),
            "",
        ),
        (
            "two lines as a resource",
            json!({ "accountAddress": evm, "chainId": "eip155:1", "resources": ["https://a.example\n- https://b.example"] }),
            "",
        ),
        (
            "a time that is none",
            json!({ "accountAddress": evm, "chainId": "eip155:1", "notBefore": "now" }),
            "bad_request",
        ),
        ("an address that is none", json!({ "accountAddress": "0x12", "chainId": "eip155:1" }), ""),
        ("a list", json!([]), "bad_request"),
    ];
    for (name, body, code) in rows {
        let answer = browser.post("/.siwx/message", &body);
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        assert!(code.is_empty() || answer.code() == code, "{name}: {answer:?}");
    }
}

#[test]
fn methods_that_an_endpoint_does_not_take() {
    let api = Api::with("reown_prefix = \"/auth/v1\"\n");
    let rows = [
        ("POST", "/.siwx/config"),
        ("POST", "/.siwx/nonce"),
        ("GET", "/.siwx/message"),
        ("PATCH", "/.siwx/sessions"),
        ("OPTIONS", "/.siwx/sessions"),
        ("DELETE", "/.siwx/me"),
        ("GET", "/.siwx/refresh"),
        ("GET", "/.siwx/sign-out"),
        ("PUT", "/.siwx/jwks.json"),
        ("POST", "/.siwx/login"),
        ("POST", "/.siwx/siwx.js"),
    ];
    for (method, path) in rows {
        let answer = api.send(&Request::new(method, path).header("Origin", OWN));
        assert_eq!(answer.outcome(), (405, "method_not_allowed".to_owned()), "{method} {path}: {answer:?}");
    }
    for (method, path) in [("POST", "/auth/v1/nonce"), ("GET", "/auth/v1/authenticate"), ("DELETE", "/auth/v1/me")] {
        assert_eq!(api.send(&Request::new(method, path)).status, 405, "{method} {path}");
    }
    assert!(api.upstream.take().is_empty());
}

#[test]
fn what_is_reserved_is_never_forwarded_though_a_route_covers_it() {
    let api = Api::with("reown_prefix = \"/auth/v1\"\n");
    for path in ["/.siwx", "/.siwx/", "/.siwx/nothing", "/.siwx/nonce/x", "/auth/v1", "/auth/v1/nothing"] {
        let answer = api.send(&Request::get(path));
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    assert!(api.upstream.take().is_empty());
    for path in ["/.siwxx", "/.SIWX/nonce", "/auth/v11/nonce", "/siwx"] {
        assert_eq!(api.send(&Request::get(path)).status, 200, "{path}");
        assert_eq!(api.upstream.take().len(), 1, "{path}");
    }
}

#[test]
fn without_the_table_nothing_is_reserved() {
    let api = Api::set_up("", |setup| setup.routes(&super::ROUTES.replace("[session]", "")));
    assert_eq!(api.send(&Request::get("/.siwx/nonce")).status, 200);
    assert_eq!(api.upstream.take().len(), 1);
}

#[test]
fn a_head_has_the_head_of_a_get() {
    let api = Api::new();
    for path in ["/.siwx/config", "/.siwx/siwx.js", "/.siwx/sessions"] {
        let answer = api.send(&Request::new("HEAD", path));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.body.is_empty());
    }
}

#[test]
fn me_is_who_the_request_is_and_401_for_nobody() {
    let api = Api::new();
    let (evm, solana) = (Wallet::evm(1), Wallet::solana(1));
    let mut browser = api.browser();
    assert_eq!(browser.get("/.siwx/me").outcome(), (401, "unauthenticated".to_owned()));
    browser.sign_in(&evm);
    api.gateway.set_time(&later(1));
    let newest = browser.sign_in(&solana);
    let me = browser.get("/.siwx/me");
    assert_eq!(me.status, 200, "{me:?}");
    let me = me.json();
    assert_eq!(me["account"], solana.account());
    assert_eq!(me["sub"], format!("did:pkh:{}", solana.account()));
    assert_eq!(me["accounts"], json!([evm.account(), solana.account()]));
    assert_eq!(me["sid"], newest["id"]);
    assert_eq!(me["scheme"], "ed25519");

    let named = |account: &str| Request::get("/.siwx/me").header("X-SIWX-Account", account);
    assert_eq!(browser.send(named(&evm.account())).json()["account"], evm.account());
    let foreign = browser.send(named(&Wallet::evm(9).account()));
    assert_eq!(foreign.outcome(), (403, "account_not_in_session".to_owned()));
}

#[test]
fn me_says_what_its_accounts_hold_and_until_when() {
    let api = Api::new();
    let (evm, solana) = (Wallet::evm(1), Wallet::solana(1));
    let mut browser = api.browser();
    browser.sign_in(&evm);
    assert_eq!(browser.get("/.siwx/me").json()["subscriptions"], json!([]));
    api.gateway.grant_until(&evm, "pro", Term::Until(crate::harness::time(&later(60))));
    api.gateway.grant_until(&solana, "pro", Term::UntilRevoked);
    api.gateway.gate.flush();
    let of_evm = json!({ "account": evm.account(), "plan": "pro", "expiresAt": later(60) });
    assert_eq!(browser.get("/.siwx/me").json()["subscriptions"], json!([of_evm]), "the other one is not signed in");
    browser.sign_in(&solana);
    let of_solana = json!({ "account": solana.account(), "plan": "pro", "expiresAt": null });
    assert_eq!(browser.get("/.siwx/me").json()["subscriptions"], json!([of_evm, of_solana]));
    api.gateway.set_time(&later(60));
    assert_eq!(browser.get("/.siwx/me").json()["subscriptions"], json!([of_solana]), "what has ended is no plan");
}

#[test]
fn me_is_answered_without_subscriptions_where_none_is_asked_for_or_the_store_is_silent() {
    let flaky = Flaky::new();
    let api = Api::set_up("", |setup| setup.store(flaky.store()));
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    flaky.fail(true);
    let me = browser.get("/.siwx/me");
    assert_eq!((me.status, me.json().get("subscriptions")), (200, None), "{me:?}");

    let wallets = "[[route]]\nname = \"me\"\nprefix = \"/me\"\nupstream = \"api\"\nauth = \"wallet\"\n[session]\n";
    let upstream = Upstream::ok();
    let api = Api { gateway: Setup::over(&upstream).routes(wallets).start(), upstream };
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    assert_eq!(browser.get("/.siwx/me").json().get("subscriptions"), None);
}

#[test]
fn a_bearer_counts_before_a_cookie_and_a_bad_one_is_401() {
    let api = Api::new();
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    let answer = api.browser().post("/.siwx/sessions", &api.sign_in(&Wallet::evm(2)));
    let token = answer.json()["token"].as_str().expect("a token").to_owned();
    let me = browser.send(Request::get("/.siwx/me").token(&format!("Bearer {token}")));
    assert_eq!(me.json()["account"], Wallet::evm(2).account());
    let bad = browser.send(Request::get("/.siwx/me").token("Bearer siwxs_ab"));
    assert_eq!(bad.outcome(), (401, "unauthenticated".to_owned()));
    assert_eq!(browser.get("/.siwx/me").json()["account"], Wallet::evm(1).account());
}

#[test]
fn a_question_that_cannot_be_read_is_400() {
    let api = Api::new();
    let mut browser = api.browser();
    for query in ["chainId=eip155:1", "address=0xab", "chainId=%&address=0xab", "chainId=a&chainId=b&address=c"] {
        let answer = browser.get(&format!("/.siwx/sessions?{query}"));
        assert_eq!(answer.outcome().0, 400, "{query}: {answer:?}");
        let answer = browser.send(Request::new("DELETE", &format!("/.siwx/sessions?{query}")));
        assert_eq!(answer.outcome().0, 400, "{query}: {answer:?}");
    }
}

#[test]
fn a_body_over_its_size_is_413_whatever_says_so() {
    let api = Api::new();
    let big = vec![b' '; 256 * 1024 + 1];
    let told = Request::new("POST", "/.siwx/sessions").header("Origin", OWN).body(&big);
    assert_eq!(api.send(&told).outcome(), (413, "body_too_large".to_owned()));

    let mut client = api.gateway.client();
    client.write(
        format!("POST /.siwx/sessions HTTP/1.1\r\nHost: api.example.com\r\nOrigin: {OWN}\r\nTransfer-Encoding: chunked\r\n\r\n")
            .as_bytes(),
    );
    let _ = client.try_write(format!("{:x}\r\n", big.len()).as_bytes());
    let _ = client.try_write(&big);
    let _ = client.try_write(b"\r\n0\r\n\r\n");
    assert_eq!(client.read_to("POST").outcome(), (413, "body_too_large".to_owned()));
}

#[test]
fn bodies_that_are_no_sign_in() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let good = api.sign_in(&wallet);
    let without = |member: &str| {
        let mut body = good.clone();
        body.as_object_mut().expect("an object").remove(member);
        body.to_string()
    };
    let rows = [
        ("nothing", String::new(), "bad_request"),
        ("no JSON", "{".to_owned(), "bad_request"),
        ("a list", "[]".to_owned(), "bad_request"),
        ("a member twice", r#"{"data":{},"data":{}}"#.to_owned(), "bad_request"),
        ("no data", without("data"), "bad_request"),
        ("no message", without("message"), "bad_request"),
        ("no signature", without("signature"), "bad_request"),
    ];
    for (name, body, code) in rows {
        let request = Request::new("POST", "/.siwx/sessions").header("Origin", OWN).body(body.as_bytes());
        assert_eq!(api.send(&request).outcome(), (400, code.to_owned()), "{name}");
    }
}

#[test]
fn a_sign_in_is_read_whatever_its_content_type_says() {
    let api = Api::new();
    for (number, kind) in ["text/plain;charset=UTF-8", "application/json", "application/x-www-form-urlencoded", ""]
        .into_iter()
        .enumerate()
    {
        let wallet = Wallet::evm(number as u32);
        let body = signed(&wallet, &text(&wallet, &api.nonce())).to_string();
        let mut request = Request::new("POST", "/.siwx/sessions").header("Origin", OWN).body(body.as_bytes());
        if !kind.is_empty() {
            request = request.header("Content-Type", kind);
        }
        assert_eq!(api.send(&request).status, 201, "{kind}");
    }
}

#[test]
fn sign_ins_are_counted_by_scheme_and_result() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    // Seen in an audit: a rate of what was never counted before has nothing to begin from.
    for (result, scheme) in [("ok", "eip191"), ("ok", "bip322"), ("nonce_reused", "none"), ("csrf", "none")] {
        api.gateway.expect_metric(&format!("siwx_sign_ins_total{{result=\"{result}\",scheme=\"{scheme}\"}}"), 0.0);
    }
    let good = api.sign_in(&wallet);
    let mut browser = api.browser();
    assert_eq!(browser.post("/.siwx/sessions", &good).status, 201);
    assert_eq!(api.browser().post("/.siwx/sessions", &good).outcome(), (401, "nonce_reused".to_owned()));
    api.gateway.expect_metric("siwx_sign_ins_total{result=\"ok\",scheme=\"eip191\"}", 1.0);
    api.gateway.expect_metric("siwx_sign_ins_total{result=\"nonce_reused\",scheme=\"none\"}", 1.0);
}

#[test]
fn the_log_names_the_account_and_no_secret() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let good = api.sign_in(&wallet);
    let answer = api.browser().post("/.siwx/sessions", &good);
    let token = answer.json()["token"].as_str().expect("a token").to_owned();
    let lines = api.gateway.log_lines(2);
    let line = &lines[1];
    assert_eq!(line["path"], "/.siwx/sessions");
    assert_eq!(line["status"], 201);
    assert!(line["code"].is_null() && lines[0]["code"].is_null(), "{lines:?}");
    assert_eq!(line["chain"], wallet.chain());
    assert_eq!(line["scheme"], "eip191");
    let log = api.gateway.log_text();
    assert!(!log.contains(&token) && !log.contains(good["signature"].as_str().expect("a signature")));
    // What stands in the text alone has no place there either.
    assert!(!log.contains(data(&wallet, &text(&wallet, "x"))["statement"].as_str().expect("a statement")));
}
