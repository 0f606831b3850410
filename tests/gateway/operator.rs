//! The operator's view of payments: `/admin/payments`, and the gauge of those that are open. That of sessions is in
//! `sessions`.

mod sessions;

use std::time::Duration;

use serde_json::{Value, json};
use siwx_gateway::{
    caip::ChainId,
    policy::access::Scope,
    store::{Asked, Doubt, Lease, NewPayment, Owner, PaymentId, Recorded, Reserved, Sale, Settlement, Step},
    time::UnixTime,
};

use crate::harness::{Answer, Gateway, NOW, Request, Setup, Upstream, Wallet, key, time};

pub(crate) fn nano() -> Scope {
    Scope::plan("nano").expect("a scope")
}

fn id(number: u8) -> PaymentId {
    PaymentId::new([number; 32])
}

fn now() -> UnixTime {
    time(NOW)
}

/// An hour of it, from now.
fn lease() -> Lease {
    Lease { owner: Owner::new("test").expect("a name"), until: now().plus(Duration::from_secs(3600)) }
}

/// A payment that somebody works on; numbers of more are later.
pub(crate) fn to_reserved(gateway: &Gateway, number: u8, scope: &Scope) {
    let sale = Sale {
        network: ChainId::parse("eip155:8453").expect("a chain"),
        scheme: "exact".into(),
        asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into(),
        amount: "10000".into(),
        facilitator: "main".into(),
        route: "paid".into(),
        scope: scope.clone(),
        length: Some(Duration::from_secs(30 * 86_400)),
    };
    let new = NewPayment::new(id(number), sale, now().plus(Duration::from_secs(60))).expect("a payment");
    let at = now().plus(Duration::from_secs(number.into()));
    let reserved = gateway.block_on(gateway.store.payments().reserve(&new, &lease(), at));
    assert_eq!(reserved.expect("an answer"), Reserved::Fresh);
}

fn to_settling(gateway: &Gateway, number: u8, scope: &Scope, payer: Option<&Wallet>) {
    to_reserved(gateway, number, scope);
    let asked = Asked::new(b"payload".to_vec(), b"requirement".to_vec()).expect("something to ask for");
    let asked = match payer {
        Some(payer) => asked.paid_by(key(payer)).expect("an account"),
        None => asked,
    };
    let step = gateway.block_on(gateway.store.payments().settling(&id(number), &lease(), &asked));
    assert_eq!(step.expect("an answer"), Step::Done);
}

/// A payment of which nobody knows what became of it.
fn to_unknown(gateway: &Gateway, number: u8, scope: &Scope, payer: Option<&Wallet>, transaction: Option<&str>) {
    to_settling(gateway, number, scope, payer);
    let doubt = Doubt { next_attempt_at: None, transaction: transaction.map(str::to_owned) };
    let step = gateway.block_on(gateway.store.payments().unknown(&id(number), &lease().owner, &doubt));
    assert_eq!(step.expect("an answer"), Step::Done);
}

/// A payment of the first wallet that was made.
pub(crate) fn to_settled(gateway: &Gateway, number: u8, scope: &Scope) {
    to_settling(gateway, number, scope, None);
    let settlement = Settlement::new(key(&Wallet::evm(1)), "0xaa", "e30=").expect("a settlement");
    let recorded = gateway.block_on(gateway.store.payments().settled(&id(number), &lease().owner, &settlement, now()));
    assert!(matches!(recorded, Ok(Recorded::Settled(_))), "{recorded:?}");
}

pub(crate) fn resolve(gateway: &Gateway, number: u8, body: &Value) -> Answer {
    let target = format!("/admin/payments/{}/resolve", id(number));
    gateway.admin(Request::new("POST", &target).body(body.to_string().as_bytes()))
}

fn seen(gateway: &Gateway, target: &str) -> Answer {
    gateway.admin(Request::get(&format!("/admin/payments{target}")))
}

/// The first byte of each id in a list.
fn listed(answer: &Answer) -> Vec<u8> {
    let answer = answer.json();
    let payments = answer["payments"].as_array().expect("a list").iter();
    let ids = payments.map(|payment| u8::from_str_radix(&payment["id"].as_str().expect("an id")[..2], 16));
    ids.collect::<Result<_, _>>().expect("hexadecimal digits")
}

#[test]
fn payments_are_listed_by_state_and_payer() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let wallet = Wallet::evm(2);
    to_settled(&gateway, 1, &nano());
    to_unknown(&gateway, 2, &nano(), Some(&wallet), Some("0xbb"));
    to_unknown(&gateway, 3, &nano(), None, None);
    to_reserved(&gateway, 4, &nano());
    to_settling(&gateway, 5, &nano(), Some(&Wallet::evm(1)));
    let account = |number| Wallet::evm(number).account().replace(':', "%3A");
    let rows = [
        ("all", String::new(), vec![5, 4, 3, 2, 1]),
        ("settled", "?status=settled".to_owned(), vec![1]),
        ("unknown", "?status=unknown".to_owned(), vec![3, 2]),
        ("reserved", "?status=reserved".to_owned(), vec![4]),
        ("settling", "?status=settling".to_owned(), vec![5]),
        ("of one payer", format!("?account={}", account(1)), vec![5, 1]),
        ("of one payer, unknown", format!("?account={}&status=unknown", account(2)), vec![2]),
        ("of nobody", format!("?account={}", account(3)), vec![]),
    ];
    for (name, query, expected) in rows {
        let answer = seen(&gateway, &query);
        assert_eq!((answer.status, listed(&answer), &answer.json()["next"]), (200, expected, &Value::Null), "{name}");
    }
    let one = json!({
        "id": "02".repeat(32), "status": "unknown", "network": "eip155:8453", "scheme": "exact",
        "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "amount": "10000", "facilitator": "main",
        "route": "paid", "scope": "plan:nano", "period_seconds": 2_592_000,
        "payer": format!("eip155:{}", wallet.address()), "transaction": "0xbb",
        "created_at": "2026-11-20T10:00:03.000Z", "valid_until": "2026-11-20T10:01:01.000Z", "settled_at": null,
        "expires_at": null, "attempts": 1, "next_attempt_at": null, "lease_until": null,
    });
    assert_eq!(seen(&gateway, &format!("/{}", id(2))).json(), one);
    assert_eq!(seen(&gateway, "?status=unknown").json()["payments"][1], one);
}

#[test]
fn payments_come_in_pages_of_a_hundred() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    (1..=201).for_each(|number| to_reserved(&gateway, number, &nano()));
    let (mut numbers, mut query, mut pages) = (Vec::new(), String::new(), Vec::new());
    loop {
        let answer = seen(&gateway, &query);
        let found = listed(&answer);
        pages.push(found.len());
        numbers.extend(found);
        match answer.json()["next"].as_str() {
            Some(next) => query = format!("?after={next}"),
            None => break,
        }
    }
    assert_eq!(pages, [100, 100, 1]);
    assert_eq!(numbers, (1..=201).rev().collect::<Vec<u8>>());
}

#[test]
fn what_an_operator_settles_opens_at_once() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let wallet = Wallet::evm(1);
    to_unknown(&gateway, 1, &nano(), Some(&wallet), None);
    let refused = (403, "subscription_required".to_owned());
    assert_eq!(gateway.get("/paid/x", &wallet.token()).outcome(), refused);

    let open = resolve(&gateway, 1, &json!({ "status": "settled" }));
    assert_eq!(open.outcome(), (400, "bad_request".to_owned()));
    assert_eq!(open.json()["detail"], "`transaction`: expected a transaction: the store knows none of this payment");
    assert_eq!(gateway.get("/paid/x", &wallet.token()).outcome(), refused);

    let word = json!({ "status": "settled", "transaction": "0xab" });
    let settled = resolve(&gateway, 1, &word);
    assert_eq!(settled.status, 200, "{settled:?}");
    let shown = settled.json();
    let members = ["status", "payer", "transaction", "settled_at", "expires_at"].map(|name| shown[name].clone());
    let payer = format!("eip155:{}", wallet.address());
    let expected = json!(["settled", payer, "0xab", "2026-11-20T10:00:01.000Z", "2026-12-20T10:00:01.000Z"]);
    assert_eq!(json!(members), expected);
    assert_eq!(gateway.get("/paid/x", &wallet.token()).status, 200);

    // Said again it changes nothing, and counts once.
    assert_eq!(resolve(&gateway, 1, &word).json(), shown);
    assert_eq!(resolve(&gateway, 1, &json!({ "status": "settled" })).json(), shown);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("siwx_purchases_total{plan=\"nano\"}"), 1.0);
    assert_eq!(metrics.value("siwx_payments_total{route=\"paid\",status=\"settled\"}"), 1.0);
    for other in [
        json!({ "status": "released" }),
        json!({ "status": "settled", "transaction": "0xac" }),
        json!({ "status": "settled", "payer": Wallet::evm(2).address() }),
    ] {
        let answer = resolve(&gateway, 1, &other);
        assert_eq!(answer.outcome(), (409, "payment_already_used".to_owned()), "{other}");
        let detail = format!("this payment is settled already, paid by `{payer}` in transaction `0xab`");
        assert_eq!(answer.json()["detail"], detail);
    }
    assert_eq!(seen(&gateway, &format!("/{}", id(1))).json(), shown);
}

#[test]
fn an_operator_may_name_the_payer() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let (named, other) = (Wallet::evm(1), Wallet::evm(2));
    to_unknown(&gateway, 1, &nano(), Some(&other), Some("0xaa"));
    let chained = format!("eip155:8453:{}", named.address());
    let settled = resolve(&gateway, 1, &json!({ "status": "settled", "payer": chained }));
    assert_eq!(settled.status, 200, "{settled:?}");
    assert_eq!(gateway.get("/paid/x", &named.token()).status, 200);
    assert_eq!(gateway.get("/paid/x", &other.token()).status, 403);
}

#[test]
fn what_an_operator_releases_is_gone() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    to_unknown(&gateway, 1, &nano(), Some(&Wallet::evm(1)), Some("0xaa"));
    let released = resolve(&gateway, 1, &json!({ "status": "released" }));
    assert_eq!((released.status, released.json()), (200, json!({ "id": "01".repeat(32), "status": "released" })));
    let gone = (404, "no_route".to_owned());
    assert_eq!(seen(&gateway, &format!("/{}", id(1))).outcome(), gone);
    assert_eq!(resolve(&gateway, 1, &json!({ "status": "released" })).outcome(), gone);
    assert_eq!(gateway.get("/paid/x", &Wallet::evm(1).token()).status, 403);
    // The same authorization may be presented again.
    to_reserved(&gateway, 1, &nano());
}

#[test]
fn a_payment_that_somebody_works_on_is_left_to_them() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    to_settling(&gateway, 1, &nano(), Some(&Wallet::evm(1)));
    let settled = json!({ "status": "settled", "transaction": "0xaa" });
    for word in [json!({ "status": "released" }), settled.clone()] {
        let answer = resolve(&gateway, 1, &word);
        assert_eq!(answer.outcome(), (409, "payment_in_progress".to_owned()), "{word}");
    }
    gateway.set_time("2026-11-20T11:00:00.999Z");
    assert_eq!(resolve(&gateway, 1, &settled).status, 409, "a moment before the lease ends");
    gateway.set_time("2026-11-20T11:00:01.000Z");
    assert_eq!(resolve(&gateway, 1, &settled).status, 200, "at its end");
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    to_unknown(&gateway, 1, &nano(), Some(&Wallet::evm(1)), Some("0xaa"));
    let before = seen(&gateway, &format!("/{}", id(1))).json();
    let targets = [
        "?status=open",
        "?status=",
        "?account=alice",
        "?after=x",
        "?plan=nano",
        "?status=%zz",
        "/1",
        &format!("/{}", "0A".repeat(32)),
    ];
    for target in targets {
        assert_eq!(seen(&gateway, target).outcome(), (400, "bad_request".to_owned()), "{target}");
    }
    let bodies = [
        json!({}),
        json!({ "status": "unknown" }),
        json!({ "status": "settled", "amount": "1" }),
        json!({ "status": "settled", "payer": "alice" }),
        json!({ "status": "settled", "payer": format!("eip155:1:{}", Wallet::evm(1).address()) }),
        json!({ "status": "settled", "payer": Wallet::solana(1).address() }),
        json!({ "status": "settled", "transaction": "a b" }),
        json!({ "status": "released", "transaction": "0xaa" }),
        json!({ "status": "released", "payer": Wallet::evm(1).address() }),
    ];
    for body in bodies {
        assert_eq!(resolve(&gateway, 1, &body).outcome(), (400, "bad_request".to_owned()), "{body}");
    }
    let other = Request::new("POST", &format!("/admin/payments/{}/settle", id(1)));
    assert_eq!(gateway.admin(other).outcome(), (404, "no_route".to_owned()));
    let resolve_target = format!("/{}/resolve", id(1));
    for (method, target) in [("POST", ""), ("DELETE", &*format!("/{}", id(1))), ("GET", &*resolve_target)] {
        let answer = gateway.admin(Request::new(method, &format!("/admin/payments{target}")));
        assert_eq!(answer.outcome(), (405, "method_not_allowed".to_owned()), "{method} {target}");
    }
    assert_eq!(seen(&gateway, &format!("/{}", id(1))).json(), before);
}

#[test]
fn open_payments_are_exported() {
    let upstream = Upstream::ok();
    let first = Setup::over(&upstream).start();
    to_settled(&first, 1, &nano());
    to_unknown(&first, 2, &nano(), None, None);
    to_unknown(&first, 3, &nano(), None, None);
    to_reserved(&first, 4, &nano());
    // Another gateway on the store counts them as it starts.
    let second = Setup::over(&upstream).store(first.store.clone()).start();
    second.expect_metric("siwx_payments_open{status=\"unknown\"}", 2.0);
    let metrics = second.metrics();
    let counts =
        ["reserved", "settling"].map(|status| metrics.value(&format!("siwx_payments_open{{status=\"{status}\"}}")));
    assert_eq!(counts, [1.0, 0.0]);
}
