//! Who a request is, in header fields beside the usual ones: which session it came with, and the names of other gateways
//! (sessions.md section 2.4).

use crate::{
    harness::{Request, Setup, Upstream, Wallet},
    session_api::Api,
};

/// Spellings of one name that some upstream reads as it (hardening.md row F3).
pub(crate) fn spellings(name: &str) -> Vec<String> {
    let mut spellings = vec![name.to_owned(), name.to_lowercase(), name.to_uppercase()];
    spellings.extend(["_", ".", "~", "!"].map(|other| name.replace('-', other)));
    spellings.push(name.replacen('-', "_", 1).to_lowercase());
    spellings
}

#[test]
fn an_upstream_is_told_which_session_a_request_came_with() {
    let api = Api::new();
    let (first, second) = (Wallet::evm(1), Wallet::solana(1));
    let mut browser = api.browser();
    let sessions = [browser.sign_in(&first), browser.sign_in(&second)];
    let cookie = browser.cookie.clone().expect("a cookie");
    for temperature in ["cold", "warm"] {
        for (wallet, session) in [&first, &second].into_iter().zip(&sessions) {
            let named = Request::get("/wallet/x").header("X-SIWX-Account", &wallet.account());
            assert_eq!(browser.send(named.header("X-SIWX-Session", "spoofed")).status, 200, "{temperature}");
            let seen = api.upstream.take_one();
            assert_eq!(seen.one("x-siwx-session"), session["id"].as_str(), "{temperature}");
            assert_eq!(seen.one("x-siwx-account"), Some(&*wallet.account()), "{temperature}");
            let told = format!("{:?}", seen.headers);
            assert!(!told.contains(&cookie), "what opens the session is told to nobody: {told}");
        }
    }
}

#[test]
fn without_a_session_no_session_is_told() {
    let api = Api::new();
    for name in spellings("X-SIWX-Session") {
        for (target, token) in [("/public", None), ("/wallet/x", Some(Wallet::evm(1).token()))] {
            let request = Request::get(target).header(&name, "spoofed");
            let request = token.iter().fold(request, |request, token| request.token(token));
            assert_eq!(api.gateway.send(&request).status, 200, "{name} at {target}");
            let seen = api.upstream.take_one();
            let values: Vec<_> = seen.headers.iter().filter(|(_, value)| value.contains("spoofed")).collect();
            assert!(values.is_empty(), "{name} at {target}: {values:?}");
        }
    }
}

const OAUTH2_PROXY: [&str; 3] = ["X-Forwarded-User", "X-Auth-Request-User", "X-Forwarded-Preferred-Username"];

const AUTHELIA: [&str; 3] = ["Remote-User", "Remote-Name", "Remote-Groups"];

#[test]
fn names_of_another_gateway_are_told_on_demand() {
    let wallet = Wallet::evm(1);
    let (account, address) = (wallet.account(), wallet.address());
    let rows = [
        ("", OAUTH2_PROXY, [None; 3]),
        ("", AUTHELIA, [None; 3]),
        ("oauth2-proxy", OAUTH2_PROXY, [Some(&account), Some(&account), Some(&address)]),
        ("oauth2-proxy", AUTHELIA, [None; 3]),
        ("authelia", AUTHELIA, [Some(&account), Some(&address), None]),
        ("authelia", OAUTH2_PROXY, [None; 3]),
    ];
    for (preset, names, expected) in rows {
        let upstream = Upstream::ok();
        let gateway = Setup::over(&upstream).set("auth.identity_preset", preset).start();
        gateway.grant(&wallet, "pro");
        for temperature in ["cold", "warm"] {
            for target in ["/wallet/x", "/pro/x"] {
                let request = names.iter().fold(Request::get(target), |request, name| request.header(name, "spoofed"));
                assert_eq!(gateway.send(&request.token(&wallet.token())).status, 200, "{preset}");
                let seen = upstream.take_one();
                let told = names.map(|name| seen.one(&name.to_lowercase()).map(str::to_owned));
                let mut expected = expected.map(|value| value.cloned());
                if preset == "authelia" && names == AUTHELIA && target == "/pro/x" {
                    expected[2] = Some("pro".to_owned());
                }
                assert_eq!(told, expected, "`{preset}` at {target}, {temperature}");
                assert_eq!(seen.one("x-siwx-account"), Some(&*account), "ours stay");
            }
        }
    }
}

/// An application behind a public route reads them as well (oauth2-proxy #624), and CGI folds their spellings.
#[test]
fn f2_f3_nobody_but_us_says_who_a_request_is() {
    let token = Wallet::evm(1).token();
    let others = ["X-Auth-Request-Email", "X-Auth-Request-Groups", "X-Forwarded-Groups", "Remote-Email"];
    for preset in ["", "oauth2-proxy", "authelia"] {
        for odd in ["drop", "keep"] {
            let upstream = Upstream::ok();
            let setup = Setup::over(&upstream).set("auth.identity_preset", preset);
            let gateway = setup.set("server.headers_with_underscore", odd).start();
            for name in OAUTH2_PROXY.into_iter().chain(AUTHELIA).chain(others) {
                for name in spellings(name) {
                    for target in ["/public/x", "/wallet/x"] {
                        let request = Request::get(target).token(&token).header(&name, "spoofed");
                        assert_eq!(gateway.send(&request).status, 200, "{name}");
                        let seen = format!("{:?}", upstream.take_one().headers);
                        assert!(!seen.contains("spoofed"), "`{preset}`, {odd}: {name} at {target}: {seen}");
                    }
                }
            }
        }
    }
}

#[test]
fn f7_connection_takes_none_of_ours_away() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("auth.identity_preset", "authelia").start();
    let request = Request::get("/wallet/x").header("Connection", "Remote-User, X-SIWX-Account, X-SIWX-Session");
    assert_eq!(gateway.send(&request.token(&Wallet::evm(1).token())).status, 200);
    let seen = upstream.take_one();
    assert_eq!(seen.one("remote-user"), Some(&*Wallet::evm(1).account()));
    assert_eq!(seen.one("x-siwx-account"), Some(&*Wallet::evm(1).account()));
}
