//! Scripts of other origins (sessions.md section 2.3).

use super::{Api, DAPP};
use crate::harness::Request;

fn preflight(path: &str, origin: &str, method: &str) -> Request {
    Request::new("OPTIONS", path).header("Origin", origin).header("Access-Control-Request-Method", method)
}

#[test]
fn a_preflight_of_a_listed_origin_is_204() {
    let api = Api::with("reown_prefix = \"/auth/v1\"\n");
    for origin in [DAPP, "http://localhost:5173"] {
        for (path, credentials) in
            [("/.siwx/sessions", Some("true")), ("/.siwx/refresh", Some("true")), ("/auth/v1/authenticate", None)]
        {
            let answer = api.send(&preflight(path, origin, "POST"));
            assert_eq!(answer.status, 204, "{path}: {answer:?}");
            assert_eq!(answer.one("access-control-allow-origin"), Some(origin));
            assert_eq!(answer.one("access-control-allow-credentials"), credentials, "{path}");
            assert_eq!(answer.one("access-control-allow-methods"), Some("GET, POST, PUT, DELETE"));
            assert_eq!(
                answer.one("access-control-allow-headers"),
                Some("authorization, content-type, x-nonce-jwt, x-otp, x-siwx-account")
            );
            assert_eq!(answer.one("access-control-max-age"), Some("600"));
            assert!(answer.one("vary").is_some_and(|vary| vary.starts_with("Origin")));
        }
    }
    assert!(api.upstream.take().is_empty());
}

#[test]
fn origins_that_are_not_listed_read_nothing() {
    let api = Api::new();
    let origins = [
        "https://evil.example",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://APP.example.com",
        "https://app.example.com.evil.example",
        "https://app.example.com/",
        "null",
        "",
    ];
    for origin in origins {
        let refused = api.send(&preflight("/.siwx/sessions", origin, "POST"));
        assert_eq!(refused.outcome(), (403, "origin_not_allowed".to_owned()), "{origin:?}: {refused:?}");
        let read = api.send(&Request::get("/.siwx/sessions").header("Origin", origin));
        assert_eq!(read.status, 200, "{origin:?}");
        for answer in [&refused, &read] {
            assert_eq!(answer.one("access-control-allow-origin"), None, "{origin:?}: {answer:?}");
            assert_eq!(answer.one("access-control-allow-credentials"), None, "{origin:?}: {answer:?}");
        }
    }
}

#[test]
fn a_listed_origin_reads_answers_and_refusals() {
    let api = Api::new();
    for path in ["/.siwx/config", "/.siwx/nonce", "/.siwx/sessions", "/.siwx/me", "/.siwx/siwx.js", "/.siwx/nothing"] {
        let answer = api.send(&Request::get(path).header("Origin", DAPP));
        assert_eq!(answer.one("access-control-allow-origin"), Some(DAPP), "{path}: {answer:?}");
        assert_eq!(answer.one("access-control-allow-credentials"), Some("true"), "{path}: {answer:?}");
        assert!(answer.one("vary").is_some_and(|vary| vary.starts_with("Origin")), "{path}: {answer:?}");
    }
}
