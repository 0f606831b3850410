//! What a session opens, and by what: a cookie, a bearer, and nothing else.

use super::{COOKIE, SESSION, add, by_bearer, by_cookie, get, ok, over, sign_in, with};
use crate::harness::{Request, Setup, Upstream, Wallet};

#[test]
fn a_session_opens_routes_by_cookie_and_by_bearer() {
    for (form, keys) in [("opaque", ""), ("jwt", "token = \"jwt\"")] {
        let upstream = Upstream::ok();
        let gateway = with(&upstream, keys);
        for wallet in [Wallet::evm(1), Wallet::solana(1)] {
            let credential = sign_in(&gateway, &wallet);
            assert_eq!(credential.starts_with("siwxs_"), form == "opaque");
            for request in [by_cookie("/wallet/x", &credential), by_bearer("/wallet/x", &credential)] {
                for temperature in ["cold", "warm"] {
                    assert_eq!(gateway.send(&request).outcome(), ok(), "{form}, {temperature}");
                    let seen = upstream.take_one();
                    assert_eq!(seen.one("X-SIWX-Account"), Some(wallet.account().as_str()), "{form}");
                }
            }
            let paid = by_cookie("/paid/x", &credential);
            assert_eq!(gateway.send(&paid).outcome(), (403, "subscription_required".to_owned()), "{form}");
            gateway.grant(&wallet, "nano");
            gateway.gate.flush();
            assert_eq!(gateway.send(&paid).outcome(), ok(), "{form}");
            upstream.take();
        }
    }
}

#[test]
fn what_is_no_session_is_refused_and_counts() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "[limits]\nauth_failures = { rate = \"1/h\", burst = 8 }\n");
    let unknown = format!("siwxs_{}", "A".repeat(32));
    for credential in ["", "siwxs_short", &unknown, "a.b.c", "x"] {
        assert_eq!(get(&gateway, credential), over(), "{credential}");
    }
    let bearer = gateway.send(&by_bearer("/wallet/x", &unknown));
    assert_eq!(bearer.outcome(), over());
    for _ in 0..2 {
        assert_eq!(get(&gateway, &unknown), over());
    }
    assert_eq!(get(&gateway, &unknown), (429, "too_many_refusals".to_owned()));
    assert!(upstream.take().is_empty());
}

#[test]
fn a_bearer_goes_before_a_cookie_and_a_bad_one_is_refused() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let [first, second] = [Wallet::evm(1), Wallet::evm(2)];
    let (cookie, bearer) = (sign_in(&gateway, &first), sign_in(&gateway, &second));
    let both = by_cookie("/wallet/x", &cookie).header("Authorization", &format!("Bearer {bearer}"));
    assert_eq!(gateway.send(&both).outcome(), ok());
    assert_eq!(upstream.take_one().one("X-SIWX-Account"), Some(second.account().as_str()));
    for bad in ["Bearer x", "Bearer", &format!("Bearer siwxs_{}", "A".repeat(32))] {
        let request = by_cookie("/wallet/x", &cookie).header("Authorization", bad);
        assert_eq!(gateway.send(&request).outcome(), over(), "{bad}");
    }
    let token = by_cookie("/wallet/x", &cookie).token(&second.token());
    assert_eq!(gateway.send(&token).outcome(), ok(), "a token is presented on purpose");
    assert_eq!(upstream.take_one().one("X-SIWX-Account"), Some(second.account().as_str()));
    let bearers = by_bearer("/wallet/x", &bearer).header("Authorization", &format!("Bearer {bearer}"));
    assert_eq!(gateway.send(&bearers).outcome(), (400, "conflicting_credentials".to_owned()));
}

#[test]
fn c6_two_session_cookies_are_a_conflict() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let good = sign_in(&gateway, &Wallet::evm(1));
    let conflict = (400, "conflicting_credentials".to_owned());
    let twice = Request::get("/wallet/x").header("Cookie", &format!("{COOKIE}={good}; a=b; {COOKIE}=x"));
    assert_eq!(gateway.send(&twice).outcome(), conflict);
    assert_eq!(
        gateway.send(&by_cookie("/wallet/x", &good).header("Cookie", &format!("{COOKIE}=x"))).outcome(),
        conflict
    );
    let beside = by_bearer("/wallet/x", &good).header("Cookie", &format!("{COOKIE}=x; {COOKIE}=y"));
    assert_eq!(gateway.send(&beside).outcome(), conflict, "a good bearer beside them");
    assert!(upstream.take().is_empty());
}

#[test]
fn a_request_acts_as_the_account_it_names_or_as_the_newest() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let [first, second, stranger] = [Wallet::evm(1), Wallet::solana(2), Wallet::evm(3)];
    gateway.grant(&first, "nano");
    let one = sign_in(&gateway, &first);
    let both = add(&gateway, &second, Some(&one));
    let naming = |target: &str, account: &str| by_cookie(target, &both).header("X-SIWX-Account", account);
    let as_whom = |request: &Request| {
        assert_eq!(gateway.send(request).outcome(), ok());
        let seen = upstream.take_one();
        assert_eq!(seen.all("X-SIWX-Account").len(), 1);
        seen.one("X-SIWX-Account").map(str::to_owned)
    };
    assert_eq!(as_whom(&by_cookie("/wallet/x", &both)), Some(second.account()));
    assert_eq!(as_whom(&naming("/wallet/x", &first.account())), Some(first.account()));
    assert_eq!(as_whom(&naming("/wallet/x", &first.account().to_lowercase())), Some(first.account()));
    let foreign = (403, "account_not_in_session".to_owned());
    for account in [stranger.account(), "eip155:8453:x".to_owned(), "x".to_owned(), String::new()] {
        assert_eq!(gateway.send(&naming("/wallet/x", &account)).outcome(), foreign, "{account}");
    }
    let twice = naming("/wallet/x", &first.account()).header("X-SIWX-Account", &first.account());
    assert_eq!(gateway.send(&twice).outcome(), (400, "conflicting_credentials".to_owned()));
    // Sets do not pool their plans.
    assert_eq!(gateway.send(&naming("/paid/x", &first.account())).outcome(), ok());
    let newest = gateway.send(&by_cookie("/paid/x", &both));
    assert_eq!(newest.outcome(), (403, "subscription_required".to_owned()));
}

#[test]
fn c32_what_changes_something_by_cookie_needs_a_page_that_may() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream)
        .tables("[session]\n[auth]\norigins = [\"https://app.example.com\"]\n[limits]\nauth_failures = \"off\"\n")
        .start();
    let credential = sign_in(&gateway, &Wallet::evm(1));
    let csrf = || (403, "csrf".to_owned());
    type Row<'t> = (&'t str, &'t [(&'t str, &'t str)], bool);
    let rows: &[Row<'_>] = &[
        ("our own page", &[("Origin", "https://api.example.com")], true),
        ("a listed page", &[("Origin", "https://app.example.com"), ("Sec-Fetch-Site", "cross-site")], true),
        ("another page", &[("Origin", "https://evil.example")], false),
        ("a page of no origin", &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")], false),
        ("two origins", &[("Origin", "https://api.example.com"), ("Origin", "https://evil.example")], false),
        ("our own page without an origin", &[("Sec-Fetch-Site", "same-origin")], true),
        ("no page", &[("Sec-Fetch-Site", "none")], true),
        ("a sibling", &[("Sec-Fetch-Site", "same-site")], false),
        ("nobody says", &[], false),
    ];
    for (name, fields, admitted) in rows {
        let expected = if *admitted { ok() } else { csrf() };
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let with =
                |request: Request| fields.iter().fold(request, |request, (name, value)| request.header(name, value));
            let request = with(Request::new(method, "/wallet/x").header("Cookie", &format!("{COOKIE}={credential}")));
            assert_eq!(gateway.send(&request).outcome(), expected, "{method}: {name}");
            let bearer =
                with(Request::new(method, "/wallet/x").header("Authorization", &format!("Bearer {credential}")));
            assert_eq!(gateway.send(&bearer).outcome(), ok(), "{method} by bearer: {name}");
        }
        let read = fields
            .iter()
            .fold(by_cookie("/wallet/x", &credential), |request, (name, value)| request.header(name, value));
        assert_eq!(gateway.send(&read).outcome(), ok(), "GET: {name}");
    }
    let socket = by_cookie("/wallet/x", &credential).header("Upgrade", "websocket").header("Connection", "Upgrade");
    let foreign = socket.header("Origin", "https://evil.example");
    assert_eq!(gateway.send(&foreign).outcome(), csrf(), "a WebSocket of another page");
}

#[test]
fn without_csrf_a_cookie_is_enough() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "csrf = false");
    let credential = sign_in(&gateway, &Wallet::evm(1));
    let request = Request::new("POST", "/wallet/x").header("Cookie", &format!("{COOKIE}={credential}"));
    assert_eq!(gateway.send(&request.header("Origin", "https://evil.example")).outcome(), ok());
}

#[test]
fn what_opens_a_session_does_not_reach_an_upstream_and_none_may_set_it() {
    let sets =
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: theme=dark\r\nSet-Cookie: __Host-siwx=evil; Path=/\r\n\
                 Set-Cookie: lang=en\r\n\r\n";
    let upstream = Upstream::answering(|_| sets.to_vec());
    for keys in ["", "token = \"jwt\""] {
        let gateway =
            Setup::over(&upstream).set("auth.forward_credential", "true").tables(&format!("{SESSION}{keys}\n")).start();
        let credential = sign_in(&gateway, &Wallet::evm(1));
        for target in ["/wallet/x", "/public/x"] {
            let crumbs = format!("theme=dark; {COOKIE}={credential}; lang=en");
            let answer = gateway.send(&Request::get(target).header("Cookie", &crumbs));
            assert_eq!(answer.outcome(), ok(), "{target}");
            assert_eq!(answer.all("Set-Cookie"), ["theme=dark", "lang=en"], "{target}");
            assert_eq!(upstream.take_one().all("Cookie"), ["theme=dark; lang=en"], "{target}");
            assert_eq!(gateway.send(&by_cookie(target, &credential)).outcome(), ok(), "{target}");
            assert_eq!(upstream.take_one().one("Cookie"), None, "{target}");
            assert_eq!(gateway.send(&by_bearer(target, &credential)).outcome(), ok(), "{target}");
            assert_eq!(upstream.take_one().one("Authorization"), None, "{target}");
        }
        let foreign = gateway.send(&by_bearer("/public/x", "somebody-elses"));
        assert_eq!(foreign.outcome(), ok());
        assert_eq!(
            upstream.take_one().one("Authorization"),
            Some("Bearer somebody-elses"),
            "not ours on public routes"
        );
    }
}

#[test]
fn routes_take_sessions_where_their_carriers_say_so() {
    let routes = r#"
[[route]]
name = "tokens"
prefix = "/tokens"
upstream = "api"
carriers = ["authorization"]
[[route]]
name = "browsers"
prefix = "/browsers"
upstream = "api"
carriers = ["session"]
"#;
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).routes(routes).tables(SESSION).start();
    let wallet = Wallet::evm(1);
    let credential = sign_in(&gateway, &wallet);
    let required = || (401, "credential_required".to_owned());
    let twice = Request::get("/tokens/x").header("Cookie", &format!("{COOKIE}=a; {COOKIE}=b"));
    let rows = [
        (by_cookie("/tokens/x", &credential), required()),
        (by_bearer("/tokens/x", &credential), required()),
        (twice, required()),
        (Request::get("/tokens/x").token(&wallet.token()), ok()),
        (by_cookie("/browsers/x", &credential), ok()),
        (by_bearer("/browsers/x", &credential), ok()),
        (Request::get("/browsers/x").token(&wallet.token()), required()),
    ];
    for (request, expected) in rows {
        assert_eq!(gateway.send(&request).outcome(), expected, "{}", request.target);
    }
}

#[test]
fn without_sessions_a_bearer_and_a_cookie_are_somebody_elses() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let wallet = Wallet::evm(1);
    let request = Request::get("/wallet/x").token(&wallet.token()).header("Cookie", &format!("{COOKIE}=a; {COOKIE}=b"));
    assert_eq!(gateway.send(&request).outcome(), ok());
    assert_eq!(upstream.take_one().one("Cookie"), Some(format!("{COOKIE}=a; {COOKIE}=b").as_str()));
    assert_eq!(gateway.send(&by_bearer("/public/x", "x")).outcome(), ok());
    assert_eq!(upstream.take_one().one("Authorization"), Some("Bearer x"));
    assert_eq!(get(&gateway, "x"), (401, "credential_required".to_owned()));
}
