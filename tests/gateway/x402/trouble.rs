//! Facilitators that fail or lie, stores that cannot write, and outcomes that nobody knows (x402.md sections 4 to 6).

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    facilitator::{Act, Latch},
    failures::Flaky,
    harness::{
        Answer, Payment, Request, Shop, Till, Upstream, Wallet,
        shop::{FOR_SALE, SEPOLIA, TRANSACTION, refused, settled, verified},
    },
};

fn weather() -> Request {
    Request::get("/weather/x")
}

/// What a facilitator does that is neither yes nor no, and the status that this gives.
fn nonsense() -> Vec<(&'static str, Act, u16)> {
    let json = |value: &Value| Act::json(200, value);
    vec![
        ("hangs", Act::Hang, 504),
        ("hangs up", Act::Close, 502),
        ("no HTTP", Act::Answer(b"SSH-2.0-x\r\n".to_vec()).and_close(), 502),
        ("500", Act::text(500, "text/plain", "oops"), 502),
        ("503 with JSON of another kind", Act::json(503, &json!({"error": "later"})), 502),
        ("404", Act::text(404, "text/html", "<html>"), 502),
        ("a redirect", Act::with(307, &[("location", "http://127.0.0.1:1/")], ""), 502),
        ("no body", Act::text(200, "application/json", ""), 502),
        ("a list", json(&json!([])), 502),
        ("another shape", json(&json!({"isValid": "yes", "success": "yes"})), 502),
        (
            "half an answer",
            Act::Answer(b"HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\n{\"isValid\":true".to_vec()).and_close(),
            502,
        ),
    ]
}

/// An upstream that has something to lose.
fn guarded() -> Upstream {
    Upstream::answering(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nx-secret: 1\r\n\r\nthe goods".to_vec())
}

fn hold_nothing_left(name: &str, answer: &Answer) {
    let all = format!("{answer:?}");
    assert!(!all.contains("goods") && !all.contains("x-secret"), "{name}: {all}");
    assert_eq!((answer.one("payment-required"), answer.one("payment-response")), (None, None), "{name}: {all}");
}

#[test]
fn a_facilitator_that_fails_to_verify_is_an_error_and_not_a_refusal() {
    let wallet = Wallet::evm(1);
    let shop = Shop::before(guarded(), FOR_SALE, &Till::default().hurrying());
    shop.everybody_is(&wallet);
    let payment = shop.payment(&weather(), &wallet, 1);
    for (name, act, status) in nonsense() {
        shop.facilitator.on("/verify", act);
        let answer = shop.gateway.send(&payment.with(&weather()));
        let code = if status == 504 { "facilitator_timeout" } else { "facilitator_error" };
        assert_eq!(answer.outcome(), (status, code.to_owned()), "{name}");
        hold_nothing_left(name, &answer);
    }
    assert_eq!((shop.settlements(), shop.upstream.take().len()), (0, 0));
    // Nothing was asked for, so the payment is as good as before.
    assert_eq!(shop.gateway.send(&payment.with(&weather())).status, 200);
}

#[test]
fn a_facilitator_that_fails_to_settle_leaves_an_unknown_outcome() {
    let wallet = Wallet::evm(1);
    let shop = Shop::before(guarded(), FOR_SALE, &Till::default().hurrying());
    shop.everybody_is(&wallet);
    for (number, (name, act, status)) in (1..).zip(nonsense()) {
        for (request, asked) in [(weather(), 1), (Request::new("POST", "/weather/x"), 0)] {
            let payment = shop.payment(&request, &wallet, number * 2 + asked);
            shop.facilitator.on("/settle", act.clone());
            let before = shop.settlements();
            let answer = shop.gateway.send(&payment.with(&request));
            assert_eq!(answer.outcome(), (status, "settlement_outcome_unknown".to_owned()), "{name}");
            hold_nothing_left(name, &answer);
            assert_eq!(shop.settlements(), before + 1, "{name}");
            assert_eq!(shop.upstream.take().len(), usize::try_from(asked).expect("0 or 1"), "{name}");
        }
    }
    assert_eq!(shop.sign_in("/weather/x", &wallet).status, 402, "nothing is known to be paid");
}

/// Section 6: the same bytes are asked for again when the client comes back with the payment, and it is served.
#[test]
fn an_unknown_payment_that_comes_back_is_asked_for_again() {
    let wallet = Wallet::evm(1);
    for request in [weather(), Request::new("POST", "/weather/x")] {
        let shop = Shop::usual();
        shop.everybody_is(&wallet);
        let payment = shop.payment(&request, &wallet, 1);
        shop.facilitator.on("/settle", Act::Close);
        let answer = shop.gateway.send(&payment.with(&request));
        assert_eq!(answer.outcome(), (502, "settlement_outcome_unknown".to_owned()));
        shop.upstream.take();
        let answer = shop.gateway.send(&payment.with(&request));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.decoded("payment-response").expect("a receipt")["transaction"], TRANSACTION);
        let bodies = shop.bodies();
        let [.., first, second] = &bodies[..] else { panic!("{bodies:?}") };
        assert_eq!(first, second, "the bytes of the first time");
        assert_eq!(shop.upstream.take().len(), 1);
        assert_eq!(shop.sign_in("/weather/x", &wallet).status, 200);
    }
}

/// "Nonce already used" may be our own first question: it proves nothing, so nobody is told to pay again.
#[test]
fn a_refusal_after_doubt_proves_nothing() {
    let wallet = Wallet::evm(1);
    let shop = Shop::usual();
    shop.everybody_is(&wallet);
    let payment = shop.payment(&weather(), &wallet, 1);
    shop.facilitator.on("/settle", Act::Close);
    assert_eq!(shop.gateway.send(&payment.with(&weather())).status, 502);
    shop.facilitator.always("/settle", refused("invalid_exact_evm_nonce_already_used"));
    let answer = shop.gateway.send(&payment.with(&weather()));
    assert_eq!(answer.status, 409, "{answer:?}");
    hold_nothing_left("asked again", &answer);
    assert_eq!(shop.sign_in("/weather/x", &wallet).status, 402);
    // What is found later counts.
    shop.everybody_is(&wallet);
    assert_eq!(shop.gateway.send(&payment.with(&weather())).status, 200);
}

/// Waits for the sweep, which looks every few seconds of the machine's time.
fn signs_in_at_last(shop: &Shop, wallet: &Wallet) -> Answer {
    for _ in 0..400 {
        let answer = shop.sign_in("/weather/x", wallet);
        if answer.status == 200 {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("never recovered; {:?}", shop.calls());
}

#[test]
fn an_unknown_payment_is_found_by_the_sweep() {
    let wallet = Wallet::evm(1);
    let shop = Shop::usual();
    shop.everybody_is(&wallet);
    let payment = shop.payment(&weather(), &wallet, 1);
    shop.facilitator.on("/settle", Act::Close);
    assert_eq!(shop.gateway.send(&payment.with(&weather())).status, 502);
    assert_eq!(shop.sign_in("/weather/x", &wallet).status, 402);
    shop.gateway.set_time("2026-11-20T10:00:07.000Z");
    signs_in_at_last(&shop, &wallet);
    assert_eq!(shop.settlements(), 2);
    let again = shop.gateway.send(&payment.with(&weather()));
    assert_eq!(again.outcome(), (409, "payment_already_used".to_owned()));
    assert_eq!(again.decoded("payment-response").expect("a receipt")["transaction"], TRANSACTION);
    shop.gateway.expect_metric("siwx_payments_total{route=\"weather\",status=\"unknown\"}", 1.0);
    shop.gateway.expect_metric("siwx_payments_total{route=\"weather\",status=\"settled\"}", 1.0);
}

#[test]
fn a_store_that_cannot_write_asks_nobody_to_settle() {
    let wallet = Wallet::evm(1);
    let flaky = Flaky::new();
    // It fails from the moment on at which the upstream answers: between verification and settlement.
    let fails_then = std::sync::Arc::clone(&flaky);
    let upstream = Upstream::answering(move |_| {
        fails_then.fail(true);
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nthe goods".to_vec()
    });
    let shop = Shop::set_up(upstream, FOR_SALE, &Till::default(), |setup| setup.store(flaky.store()));
    shop.everybody_is(&wallet);
    let payment = shop.payment(&weather(), &wallet, 1);
    let post = shop.payment(&Request::new("POST", "/weather/x"), &wallet, 2);
    flaky.fail(true);
    for request in [payment.with(&weather()), post.with(&Request::new("POST", "/weather/x"))] {
        let answer = shop.gateway.send(&request);
        assert_eq!(answer.outcome(), (503, "store_unavailable".to_owned()));
    }
    assert_eq!((shop.calls(), shop.upstream.take().len()), (Vec::new(), 0), "nobody was asked");
    flaky.fail(false);
    let answer = shop.gateway.send(&payment.with(&weather()));
    assert_eq!(answer.outcome(), (503, "store_unavailable".to_owned()));
    hold_nothing_left("before the settlement", &answer);
    assert_eq!(shop.calls(), ["verify"]);
    flaky.fail(false);
    assert_eq!(shop.sign_in("/weather/x", &wallet).status, 402);
}

/// The store is lost between settlement and commit: unknown, and found once it is back.
#[test]
fn a_settlement_that_cannot_be_written_is_found_later() {
    let (wallet, flaky, latch) = (Wallet::evm(1), Flaky::new(), Latch::default());
    let shop = Shop::set_up(guarded(), FOR_SALE, &Till::default(), |setup| setup.store(flaky.store()));
    shop.everybody_is(&wallet);
    shop.facilitator.on("/settle", settled(&wallet.address(), SEPOLIA).held(&latch));
    let payment = shop.payment(&weather(), &wallet, 1);
    let mut client = shop.gateway.client();
    client.write(&payment.with(&weather()).bytes());
    shop.wait_settlements(1);
    flaky.fail(true);
    latch.open();
    let answer = client.read();
    assert_eq!(answer.outcome(), (502, "settlement_outcome_unknown".to_owned()));
    hold_nothing_left("after the settlement", &answer);
    flaky.fail(false);
    // Neither the settlement nor the doubt could be written, so its lease has to run out.
    shop.gateway.set_time("2026-11-20T10:03:00.000Z");
    signs_in_at_last(&shop, &wallet);
    assert_eq!(shop.settlements(), 2);
}

/// Section 4: whoever is named must be one and the same, and on EVM the one whose authorization it is.
#[test]
fn nobody_gets_what_another_is_said_to_have_paid() {
    let (wallet, other) = (Wallet::evm(1), Wallet::evm(2));
    let of = |payer: &str, network: &str| settled(payer, network);
    let silent = Act::json(200, &json!({"isValid": true}));
    let table = [
        ("verify names another", verified(&other.address()), None, "facilitator_error"),
        ("verify names nonsense", verified("0x12"), None, "facilitator_error"),
        (
            "settle names another",
            verified(&wallet.address()),
            Some(of(&other.address(), SEPOLIA)),
            "settlement_outcome_unknown",
        ),
        ("settle alone names another", silent, Some(of(&other.address(), SEPOLIA)), "settlement_outcome_unknown"),
        (
            "another network",
            verified(&wallet.address()),
            Some(of(&wallet.address(), "eip155:8453")),
            "settlement_outcome_unknown",
        ),
    ];
    for (name, verify, settle, code) in table {
        let shop = Shop::before(guarded(), FOR_SALE, &Till::default());
        shop.facilitator.always("/verify", verify);
        if let Some(settle) = settle {
            shop.facilitator.always("/settle", settle);
        }
        let answer = shop.pay(&weather(), &wallet, 1);
        assert_eq!(answer.outcome(), (502, code.to_owned()), "{name}");
        hold_nothing_left(name, &answer);
        for wallet in [&wallet, &other] {
            assert_eq!(shop.sign_in("/weather/x", wallet).status, 402, "{name}");
        }
        if code == "settlement_outcome_unknown" {
            // Asked again, it is the same answer, and as little worth.
            let answer = shop.pay(&weather(), &wallet, 1);
            assert_eq!(answer.status, 502, "{name}: {answer:?}");
            for wallet in [&wallet, &other] {
                assert_eq!(shop.sign_in("/weather/x", wallet).status, 402, "{name}");
            }
        }
    }
}

/// The same for payments that are settled first, where only `from` and the settlement can disagree.
#[test]
fn nobody_gets_what_another_is_said_to_have_paid_before() {
    let (wallet, other) = (Wallet::evm(1), Wallet::evm(2));
    let shop = Shop::before(guarded(), FOR_SALE, &Till::default());
    shop.facilitator.always("/settle", settled(&other.address(), SEPOLIA));
    let answer = shop.pay(&Request::get("/first/x"), &wallet, 1);
    assert_eq!(answer.outcome(), (502, "settlement_outcome_unknown".to_owned()));
    hold_nothing_left("settled first", &answer);
    assert_eq!(shop.upstream.take().len(), 0);
    for wallet in [&wallet, &other] {
        assert_eq!(shop.sign_in("/first/x", wallet).status, 402);
    }
}

/// A settlement that is pending twice stays with its payment: told as it is, and found later.
#[test]
fn a_pending_settlement_is_found_later() {
    let pending = || {
        Act::json(
            200,
            &json!({"success": false, "errorReason": "settlement_pending", "transaction": TRANSACTION, "network": SEPOLIA}),
        )
    };
    let wallet = Wallet::evm(1);
    let shop = Shop::usual();
    shop.everybody_is(&wallet);
    shop.facilitator.on("/settle", pending());
    shop.facilitator.on("/settle", pending());
    let payment = shop.payment(&weather(), &wallet, 1);
    let answer = shop.gateway.send(&payment.with(&weather()));
    assert_eq!(answer.status, 402, "{answer:?}");
    assert_eq!(answer.decoded("payment-response").expect("an outcome")["errorReason"], "settlement_pending");
    shop.gateway.set_time("2026-11-20T10:00:07.000Z");
    signs_in_at_last(&shop, &wallet);
    assert_eq!(shop.settlements(), 3);
}

/// One facilitator is not told of another's trouble, and a payer is not told of its address, its headers, or its words.
#[test]
fn what_a_facilitator_says_is_cut_before_a_client_reads_it() {
    let wallet = Wallet::evm(1);
    let shop = Shop::usual();
    let reason = format!("bad\u{7}{}", "x".repeat(1000));
    let act = Act::with(
        200,
        &[("content-type", "application/json"), ("EXTENSION-RESPONSES", "e30="), ("set-cookie", "a=b")],
        &json!({"isValid": false, "invalidReason": reason}).to_string(),
    );
    shop.facilitator.always("/verify", act);
    let answer = shop.pay(&weather(), &wallet, 1);
    assert_eq!(answer.status, 402, "{answer:?}");
    assert_eq!((answer.one("extension-responses"), answer.one("set-cookie")), (None, None));
    let error = answer.json()["error"].as_str().expect("a reason").to_owned();
    assert!(error.len() <= 200 && error.starts_with("bad") && error.chars().all(|c| !c.is_control()), "{error:?}");
    let payment = Payment::of(&shop.challenge(&weather())["accepts"][0], &wallet.address(), 2);
    shop.facilitator.always("/verify", Act::text(500, "text/plain", "http://10.0.0.1/secret"));
    let answer = shop.gateway.send(&payment.with(&weather()));
    assert!(!String::from_utf8_lossy(&answer.body).contains("10.0.0.1"), "{answer:?}");
}
