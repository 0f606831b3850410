//! Who is let in: routes of each kind, plans, denied accounts, and what changes while everything is remembered.

use std::time::{Duration, Instant};

use siwx_gateway::store::{self, Backend, Settings, Term};

use crate::harness::{Gateway, Request, Setup, Upstream, Wallet, grant, key, runtime, time};

fn outcome(gateway: &Gateway, target: &str, token: &str) -> (u16, String) {
    gateway.get(target, token).outcome()
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn admitted() -> (u16, String) {
    refusal(200, "")
}

#[test]
fn each_kind_of_route_lets_in_whom_it_should() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let (nobody, nano, pro, both) = (Wallet::evm(1), Wallet::evm(2), Wallet::solana(3), Wallet::solana(4));
    gateway.grant(&nano, "nano");
    gateway.grant(&pro, "pro");
    gateway.grant(&both, "nano");
    gateway.grant(&both, "pro");
    let forged = Wallet::evm(9).token_of(&Wallet::evm(2).text());
    let rows = [
        ("public, nobody", "/public/x", String::new(), admitted()),
        ("public, any wallet", "/public/x", nobody.token(), admitted()),
        ("public, a bad token", "/public/x", forged.clone(), admitted()),
        ("wallet, nobody", "/wallet/x", String::new(), refusal(401, "credential_required")),
        ("wallet, any wallet", "/wallet/x", nobody.token(), admitted()),
        ("wallet, a bad token", "/wallet/x", forged.clone(), refusal(401, "invalid_token")),
        ("paid, nobody", "/paid/x", String::new(), refusal(401, "credential_required")),
        ("paid, no subscription", "/paid/x", nobody.token(), refusal(403, "subscription_required")),
        ("paid, one plan", "/paid/x", nano.token(), admitted()),
        ("paid, another plan", "/paid/x", pro.token(), admitted()),
        ("paid, two plans", "/paid/x", both.token(), admitted()),
        ("paid, a bad token of a subscriber", "/paid/x", forged, refusal(401, "invalid_token")),
        ("pro, no subscription", "/pro/x", nobody.token(), refusal(403, "subscription_required")),
        ("pro, the other plan", "/pro/x", nano.token(), refusal(403, "plan_required")),
        ("pro, its plan", "/pro/x", pro.token(), admitted()),
        ("pro, both plans", "/pro/x", both.token(), admitted()),
        ("nothing there, nobody", "/nothing", String::new(), refusal(401, "credential_required")),
        ("nothing there, a wallet", "/nothing", nobody.token(), refusal(404, "no_route")),
    ];
    for (round, temperature) in ["cold", "warm"].into_iter().enumerate() {
        for (name, target, token, expected) in &rows {
            let request = Request::get(target);
            let request = if token.is_empty() { request } else { request.token(token) };
            let answer = gateway.send(&request);
            assert_eq!(answer.outcome(), *expected, "{name}, {temperature}");
            let forwarded = upstream.take();
            assert_eq!(forwarded.len(), usize::from(expected.0 == 200), "{name}, {temperature}: {forwarded:?}");
        }
        assert!(gateway.metrics().value("siwx_cache_requests_total{cache=\"proofs\",result=\"hit\"}") >= round as f64);
    }
    let named = gateway.get("/pro/x", &nano.token()).json();
    assert_eq!(named["detail"], "this route needs the plan `pro`");
}
