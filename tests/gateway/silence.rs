//! What answers do not tell: the inside of the house, and who is known in it (hardening.md rows C30 and X7).

use siwx_gateway::store::Term;

use crate::harness::{Answer, Gateway, Nobody, Request, Setup, Upstream, Wallet, time};

/// An answer without what differs from request to request.
fn without_ids(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.one("x-request-id").expect("an id").to_owned();
    let own = |(name, _): &(String, String)| !matches!(name.to_lowercase().as_str(), "x-request-id" | "date");
    let headers = answer.headers.iter().filter(|field| own(field)).cloned().collect();
    (answer.status, headers, String::from_utf8_lossy(&answer.body).replace(&id, "ID"))
}

/// Look-ups of subscriptions in the store.
fn looked_up(gateway: &Gateway) -> f64 {
    gateway.metrics().value("siwx_cache_requests_total{cache=\"subscriptions\",result=\"miss\"}")
}

#[test]
fn c30_a_wallet_that_nobody_knows_is_answered_as_one_that_has_not_paid() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let (unknown, known) = (Wallet::evm(1), Wallet::evm(2));
    // Known to the store by a plan that this route does not take.
    gateway.grant_until(&known, "nano", Term::Until(time("2026-12-01T00:00:00Z")));
    gateway.block_on(async {
        let revoked = gateway.store.subscriptions().revoke(&crate::harness::key(&known), "nano").await;
        assert_eq!(revoked.ok(), Some(true));
    });
    for temperature in ["cold", "warm"] {
        let before = looked_up(&gateway);
        let nobody = gateway.get("/pro/x", &unknown.token());
        let between = looked_up(&gateway);
        let somebody = gateway.get("/pro/x", &known.token());
        assert_eq!(nobody.outcome().0, 403, "{temperature}");
        assert_eq!(without_ids(&nobody), without_ids(&somebody), "{temperature}");
        assert_eq!(between - before, looked_up(&gateway) - between, "{temperature}: as many look-ups");
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn x7_no_answer_names_what_is_inside() {
    let nobody = Nobody::new();
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("inside-the-house.db");
    let gateway = Setup::to(&nobody.url()).set("store.url", &format!("sqlite:{}", store.display())).start();
    let authority = nobody.url().trim_start_matches("http://").to_owned();
    let wallet = Wallet::evm(1);
    let requests = [
        Request::get("/public/x"),
        Request::get("/wallet/x").token(&wallet.token()),
        Request::get("/wallet/x").token("SIWX bm9uc2Vuc2U=.0x00"),
        Request::get("/paid/x").token(&wallet.token()),
        Request::get("/nothing-here"),
        Request::get("/public/../paid/x"),
        Request::get("/public/x").host("elsewhere.example"),
        Request::new("TRACE", "/public/x"),
        Request::new("PUT", "/public/x").header("Expect", "a miracle"),
    ];
    for request in requests {
        let answer = gateway.send(&request);
        assert!(answer.status >= 400, "{request:?}: {answer:?}");
        let told = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body)).to_lowercase();
        let inside = [
            authority.as_str(),
            "127.0.0.1",
            "inside-the-house",
            "sqlite",
            "src/",
            ".rs:",
            "panicked",
            "hyper",
            "rustls",
        ];
        for word in inside {
            assert!(!told.contains(word), "{request:?}: `{word}` in {told}");
        }
    }
}
