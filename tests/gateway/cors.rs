//! Scripts of other origins (x402.md section 14).

use crate::harness::{Request, Setup, Upstream, Wallet};

const APP: &str = "https://app.example.com";

const ROUTES: &str = r#"
[[route]]
name = "api"
prefix = "/api/"
upstream = "api"
auth = "wallet"
methods = ["GET", "POST"]
cors = { origins = ["https://app.example.com", "http://localhost:5173"] }
[[route]]
name = "closed"
prefix = "/closed/"
upstream = "api"
auth = "wallet"
"#;

fn preflight(target: &str, origin: &str, method: &str) -> Request {
    Request::new("OPTIONS", target).header("Origin", origin).header("Access-Control-Request-Method", method)
}

#[test]
fn a_preflight_is_answered_without_a_credential() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).routes(ROUTES).start();
    for origin in [APP, "http://localhost:5173"] {
        for method in ["GET", "POST"] {
            let answer = gateway.send(&preflight("/api/x", origin, method));
            assert_eq!(answer.status, 204, "{answer:?}");
            assert_eq!(answer.one("access-control-allow-origin"), Some(origin));
            assert_eq!(answer.one("access-control-allow-methods"), Some(method));
            assert_eq!(answer.one("vary"), Some("Origin"));
            let fields = answer.one("access-control-allow-headers").expect("the fields");
            for field in [
                "payment-signature",
                "sign-in-with-x",
                "authorization",
                "content-type",
                "access-control-expose-headers",
            ] {
                assert!(fields.split(", ").any(|one| one == field), "{field} in {fields}");
            }
        }
    }
    assert!(upstream.take().is_empty(), "the upstream sees no preflight");
}

#[test]
fn what_no_route_allows_is_no_preflight() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).routes(ROUTES).start();
    let rows = [
        ("a foreign origin", preflight("/api/x", "https://evil.example", "GET")),
        ("another scheme", preflight("/api/x", "http://app.example.com", "GET")),
        ("other letters", preflight("/api/x", "https://APP.example.com", "GET")),
        ("the origin of nobody", preflight("/api/x", "null", "GET")),
        ("a method that the route does not take", preflight("/api/x", APP, "DELETE")),
        ("a route that names none", preflight("/closed/x", APP, "GET")),
        ("no route", preflight("/nothing", APP, "GET")),
        ("two origins", preflight("/api/x", APP, "GET").header("Origin", APP)),
        ("no method asked for", Request::new("OPTIONS", "/api/x").header("Origin", APP)),
    ];
    for (name, request) in rows {
        let answer = gateway.send(&request);
        assert!(matches!(answer.status, 401 | 404 | 405), "{name}: {answer:?}");
        assert_eq!(answer.one("access-control-allow-origin"), None, "{name}: {answer:?}");
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn a_script_may_read_answers_and_refusals() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).routes(ROUTES).start();
    let token = Wallet::evm(1).token();
    let rows = [
        ("admitted", Request::get("/api/x").token(&token).header("Origin", APP), 200, Some(APP)),
        ("refused", Request::get("/api/x").header("Origin", APP), 401, Some(APP)),
        ("a foreign origin", Request::get("/api/x").token(&token).header("Origin", "https://evil.example"), 200, None),
        ("no origin", Request::get("/api/x").token(&token), 200, None),
        ("a route that names none", Request::get("/closed/x").token(&token).header("Origin", APP), 200, None),
    ];
    for (name, request, status, allowed) in rows {
        let answer = gateway.send(&request);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert_eq!(answer.one("access-control-allow-origin"), allowed, "{name}: {answer:?}");
        let exposed = answer.one("access-control-expose-headers");
        assert_eq!(exposed, allowed.map(|_| "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-Request-Id"), "{name}: {answer:?}");
    }
}
