//! The access log: one JSON object for each request, with the fields of operations.md section 4 and nothing that could
//! be used against anybody.

use serde_json::Value;

use crate::harness::{Gateway, Request, Setup, Upstream, Wallet};

/// The fields of every line, in no order.
const ALWAYS: [&str; 18] = [
    "ts",
    "level",
    "event",
    "request_id",
    "client_ip",
    "peer_ip",
    "method",
    "host",
    "path",
    "query",
    "proto",
    "tls",
    "status",
    "code",
    "duration_ms",
    "req_bytes",
    "resp_bytes",
    "aborted",
];

/// Those of a request that was judged.
const JUDGED: [&str; 9] = ["route", "decision", "reason", "account", "chain", "scheme", "plan", "cache", "auth_us"];

/// Those of a request that went on.
const FORWARDED: [&str; 5] = ["upstream", "upstream_addr", "upstream_status", "upstream_ms", "retries"];

fn one(gateway: &Gateway, number: usize) -> Value {
    gateway.log_lines(number).pop().expect("a line")
}

#[test]
fn a_line_says_what_became_of_a_request() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let wallet = Wallet::evm(1);
    gateway.grant(&wallet, "nano");
    let address = wallet.address();
    let short = format!("{}...{}", &address[..6], &address[38..]);
    let request =
        Request::new("POST", "/paid/x?token=secret&page=2").token(&wallet.token()).header("User-Agent", "test/1");
    let answer = gateway.send(&request.clone().body(b"hello"));
    assert_eq!(answer.status, 200);
    let line = one(&gateway, 1);
    for field in ALWAYS.iter().chain(&JUDGED).chain(&FORWARDED).chain(&["overhead_us", "user_agent"]) {
        assert!(line.get(field).is_some(), "`{field}` in {line}");
    }
    let expected = serde_json::json!({
        "ts": "2026-11-20T10:00:01.000Z", "level": "info", "event": "access", "client_ip": "127.0.0.1",
        "peer_ip": "127.0.0.1", "method": "POST", "host": "api.example.com", "path": "/paid/x",
        "query": "token&page", "proto": "HTTP/1.1", "tls": null, "user_agent": "test/1", "route": "paid",
        "decision": "allow", "reason": "ok", "account": short, "chain": "eip155:8453", "scheme": "eip191",
        "plan": "nano", "cache": "miss", "upstream": "api", "upstream_addr": upstream.address.to_string(),
        "upstream_status": 200, "retries": 0, "code": null, "status": 200, "req_bytes": 5, "resp_bytes": 2,
        "aborted": null,
    });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(line[field], *value, "`{field}` in {line}");
    }
    assert_eq!(line["request_id"], upstream.take_one().one("x-request-id").expect("an id"));
    assert!(line["duration_ms"].is_f64() && line["upstream_ms"].is_f64() && line["auth_us"].is_u64(), "{line}");
    assert_eq!(gateway.send(&request).status, 200);
    assert_eq!(one(&gateway, 2)["cache"], "hit");
    for forbidden in [address.as_str(), &address.to_lowercase(), "secret", "4dce6623", "wants you to sign"] {
        assert!(!gateway.log_text().contains(forbidden), "{forbidden}");
    }
}

#[test]
fn a_refusal_says_why() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let wallet = Wallet::solana(1);
    let forged = Wallet::solana(2).token_of(&wallet.text());
    let rows = [
        ("/wallet/x", String::new(), "wallet", "deny", "no_credential", 401, "credential_required"),
        ("/wallet/x", forged, "wallet", "deny", "bad_signature", 401, "invalid_token"),
        ("/paid/x", wallet.token(), "paid", "deny", "no_subscription", 403, "subscription_required"),
        ("/nothing", wallet.token(), "none", "allow", "ok", 404, "no_route"),
    ];
    for (number, (target, token, route, decision, reason, status, code)) in rows.into_iter().enumerate() {
        let request = Request::get(target);
        let request = if token.is_empty() { request } else { request.token(&token) };
        let answer = gateway.send(&request);
        let line = one(&gateway, number + 1);
        let told = ["route", "decision", "reason", "code"].map(|field| line[field].as_str().unwrap_or("null"));
        assert_eq!((told, line["status"].as_u64()), ([route, decision, reason, code], Some(status)), "{line}");
        assert_eq!(line["request_id"].as_str(), answer.one("x-request-id"));
    }
    assert_eq!(gateway.send(&Request::get("/public/../x")).status, 400);
    assert_eq!(one(&gateway, 5)["code"], "bad_path");
}

#[test]
fn x5_one_event_is_one_line() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let hostile = [
        Request::get("/public/%22%0a{\"event\":\"access\"}"),
        Request::get("/public/x?a\"b=1&\\=2"),
        Request::get("/public/x").header("User-Agent", "\"}\\ \t{\"status\":200} \u{1b}[31m \u{2028}"),
        Request::get("/public/x").header("User-Agent", &"a\"".repeat(2000)),
        Request::get(&format!("/public/{}", "x".repeat(4000))),
        Request::get("/public/x").host("evil\"\\.example"),
        Request::new("B\"REW", "/public/x"),
        Request::get("/public/x").host(&"h".repeat(4000)),
        Request::new(&"M".repeat(4000), "/public/x"),
        Request::get("/wallet/x").token("SIWX \"\\\u{7f}.\u{fffd}"),
    ];
    let mut lines = 0;
    for request in hostile {
        let answer = gateway.client().send(&request);
        lines += 1;
        let written = gateway.log_lines(lines);
        let line = &written[lines - 1];
        assert_eq!(line["event"], "access", "{line}");
        // Of a head that is none nothing is shown.
        let shown = line["path"].as_str().is_some_and(|path| path.len() <= 1024);
        assert_eq!(shown, !line["method"].is_null(), "{line}");
        assert!(shown || matches!(answer.code().as_str(), "bad_path" | "bad_request"), "{line}");
        assert!(line["user_agent"].as_str().unwrap_or("").len() <= 256 * 3, "{line}");
        assert!(line["host"].as_str().unwrap_or("").len() <= 256, "{line}");
        assert!(line["method"].as_str().unwrap_or("").len() <= 32, "{line}");
    }
    assert!(gateway.log_text().bytes().all(|b| b == b'\n' || b >= 0x20), "no control byte but line ends");
}

#[test]
fn what_is_shown_is_a_setting() {
    let upstream = Upstream::ok();
    let wallet = Wallet::evm(1);
    let account = wallet.account();
    let rows = [
        ("log.access.account", "full", "account", Some(account.as_str())),
        ("log.access.account", "none", "account", None),
        ("log.access.query", "full", "query", Some("a=1&b")),
        ("log.access.query", "drop", "query", None),
    ];
    for (key, value, field, expected) in rows {
        let gateway = Setup::over(&upstream).set(key, value).start();
        assert_eq!(gateway.get("/wallet/x?a=1&b", &wallet.token()).status, 200);
        assert_eq!(one(&gateway, 1).get(field).and_then(Value::as_str), expected, "{key} = {value}");
    }
    let gateway = Setup::over(&upstream).set("log.access.account", "hash").start();
    assert_eq!(gateway.get("/wallet/x", &wallet.token()).status, 200);
    let hash = one(&gateway, 1)["account"].as_str().expect("a hash").to_owned();
    assert!(hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    let gateway = Setup::over(&upstream).set("log.access.enabled", "false").start();
    assert_eq!(gateway.get("/wallet/x", &wallet.token()).status, 200);
    assert_eq!(gateway.log_text(), "");
    let gateway = Setup::over(&upstream).set("log.access.sample", "0.0").start();
    assert_eq!(gateway.get("/wallet/x", &wallet.token()).status, 200);
    assert_eq!(gateway.send(&Request::get("/wallet/x")).status, 401);
    assert_eq!(one(&gateway, 1)["status"], 401, "refusals are never left out");
}
