//! Every code of an answer about money, produced over a socket by one row each, and the list of rows held against the
//! sources that choose them, as the codes of other answers are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    facilitator::{Act, Latch},
    failures::Flaky,
    harness::{
        Answer, Payment, Request, Shop, Till, Upstream, Wallet,
        shop::{FOR_SALE, SEPOLIA, refused, settled},
    },
};

/// How one code comes about.
type Produce = fn() -> Answer;

const CODES: [(u16, &str, Produce); 18] = [
    (400, "conflicting_credentials", || after(|shop, paid| shop.gateway.send(&with_another(paid)))),
    (401, "proof_refused", proof_refused_where_nothing_is_sold),
    (402, "payment_refused", || after(|shop, _| shop.gateway.send(&weather().header("PAYMENT-SIGNATURE", "e30=")))),
    (402, "payment_required", || after(|shop, _| shop.gateway.send(&weather()))),
    (402, "proof_refused", || after(|shop, _| shop.gateway.send(&weather().header("SIGN-IN-WITH-X", "e30=")))),
    (402, "settlement_refused", || when("/settle", refused("insufficient_funds"))),
    (402, "subscription_required", || after(|shop, _| shop.gateway.get("/weather/x", &Wallet::evm(2).token()))),
    (403, "account_denied", account_denied),
    (404, "unknown_plan", unknown_plan),
    (409, "payment_already_used", payment_already_used),
    (409, "payment_in_progress", payment_in_progress),
    (412, "permit2_allowance_required", || when("/verify", invalid("permit2_allowance_required"))),
    (502, "facilitator_error", || when("/verify", Act::Close)),
    (502, "settlement_outcome_unknown", || when("/settle", Act::Close)),
    (503, "store_unavailable", store_unavailable),
    (503, "terms_unavailable", terms_unavailable),
    (504, "facilitator_timeout", || when("/verify", Act::Hang)),
    (504, "settlement_outcome_unknown", || when("/settle", Act::Hang)),
];

fn weather() -> Request {
    Request::get("/weather/x")
}

fn invalid(reason: &str) -> Act {
    Act::json(200, &json!({"isValid": false, "invalidReason": reason}))
}

fn with_another(paid: &Request) -> Request {
    paid.clone().header("PAYMENT-SIGNATURE", "e30=")
}

/// What comes of something in a shop where everybody pays well, with a payment at hand.
fn after(act: impl FnOnce(&Shop, &Request) -> Answer) -> Answer {
    let wallet = Wallet::evm(1);
    let shop = Shop::before(Upstream::ok(), FOR_SALE, &Till::default().hurrying());
    shop.everybody_is(&wallet);
    let paid = shop.payment(&weather(), &wallet, 1).with(&weather());
    act(&shop, &paid)
}

/// What comes of a payment when the facilitator does this.
fn when(target: &str, act: Act) -> Answer {
    after(|shop, paid| {
        shop.facilitator.on(target, act);
        shop.gateway.send(paid)
    })
}

fn proof_refused_where_nothing_is_sold() -> Answer {
    let routes = "[[plan]]\nname = \"gift\"\n[[route]]\nname = \"gift\"\nprefix = \"/gift\"\nupstream = \"api\"\n\
                  auth = \"subscription\"\n";
    let shop = Shop::open(routes);
    shop.gateway.send(&Request::get("/gift/x").header("SIGN-IN-WITH-X", "e30="))
}

fn account_denied() -> Answer {
    let wallet = Wallet::evm(1);
    let denied = format!("[auth]\ndeny_accounts = [\"{}\"]\n", wallet.address());
    let shop = Shop::set_up(Upstream::ok(), FOR_SALE, &Till::default(), |setup| setup.tables(&denied));
    shop.pay(&weather(), &wallet, 1)
}

fn unknown_plan() -> Answer {
    let plan = "[[plan]]\nname = \"nano\"\nprice = \"$0.50\"\nperiod = \"1h\"\n";
    Shop::open(&format!("{plan}{FOR_SALE}")).gateway.send(&Request::get("/x402/purchase?plan=other"))
}

fn payment_already_used() -> Answer {
    after(|shop, paid| {
        assert_eq!(shop.gateway.send(paid).status, 200);
        shop.gateway.send(paid)
    })
}

fn payment_in_progress() -> Answer {
    let latch = Latch::default();
    after(|shop, paid| {
        shop.facilitator.on("/settle", settled(&Wallet::evm(1).address(), SEPOLIA).held(&latch));
        let mut first = shop.gateway.client();
        first.write(&paid.bytes());
        shop.wait_settlements(1);
        let answer = shop.gateway.send(paid);
        latch.open();
        answer
    })
}

fn store_unavailable() -> Answer {
    let (wallet, flaky) = (Wallet::evm(1), Flaky::new());
    let shop = Shop::set_up(Upstream::ok(), FOR_SALE, &Till::default(), |setup| setup.store(flaky.store()));
    let payment = shop.payment(&weather(), &wallet, 1);
    flaky.fail(true);
    shop.gateway.send(&payment.with(&weather()))
}

fn terms_unavailable() -> Answer {
    let till = Till::default().on(&[crate::harness::shop::DEVNET]);
    Shop::set_up_deaf(Upstream::ok(), FOR_SALE, &till).gateway.send(&weather())
}

/// The codes that stand in a source file: words with an underscore in quotes. Sentences and names of members are none.
fn codes_of(path: &str) -> BTreeSet<String> {
    let source = std::fs::read_to_string(path).expect("the source");
    let source = source.split("#[cfg(test)]").next().expect("a first part");
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    let is_code = |text: &&str| {
        text.contains('_') && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    quoted.filter(is_code).map(str::to_owned).collect()
}

#[test]
fn every_code_about_money_is_produced() {
    let mut chosen = codes_of("src/edge/unpaid.rs");
    chosen.append(&mut codes_of("src/gate/payment/challenge.rs"));
    for (status, code, produce) in CODES {
        let answer = produce();
        assert_eq!(answer.status, status, "{code}: {answer:?}");
        assert_eq!(answer.json()["code"], code, "{answer:?}");
        assert_eq!(answer.one("cache-control"), Some("no-store"), "{code}: {answer:?}");
        let kind = if matches!(status, 402 | 412) { "application/json" } else { "application/problem+json" };
        assert_eq!(answer.one("content-type"), Some(kind), "{code}: {answer:?}");
        assert_eq!(answer.one("retry-after").is_some(), status == 503, "{code}: {answer:?}");
        let paid = matches!(code, "payment_already_used" | "settlement_refused");
        assert_eq!(answer.one("payment-response").is_some(), paid, "{code}: {answer:?}");
    }
    let produced: BTreeSet<String> = CODES.iter().map(|(_, code, _)| (*code).to_owned()).collect();
    assert_eq!(produced, chosen, "the rows here, and what the sources can say");
}

/// Decision 2: after a refused settlement the body says why, and no more.
#[test]
fn a_refused_settlement_says_why() {
    let reason = json!({"error": "insufficient_funds", "code": "settlement_refused"});
    assert_eq!(when("/settle", refused("insufficient_funds")).json(), reason);
    let long = format!("bad\u{7}{}", "x".repeat(1000));
    let answer = when("/settle", refused(&long));
    let told = answer.decoded("payment-response").expect("an outcome");
    for error in [&answer.json()["error"], &told["errorReason"]] {
        let error = error.as_str().expect("a text");
        assert!(error.len() <= 200 && error.starts_with("bad") && error.chars().all(|c| !c.is_control()), "{error:?}");
    }
}

/// A route that is for sale says what it costs beside whatever else it says.
#[test]
fn a_challenge_comes_with_every_refusal_that_a_client_can_mend() {
    let wallet = Wallet::evm(1);
    let shop = Shop::usual();
    let terms = shop.challenge(&weather())["accepts"].clone();
    shop.facilitator.always("/verify", invalid("insufficient_funds"));
    let table: [(&str, Request, Value); 4] = [
        ("nothing", weather(), Value::Null),
        ("a bad proof", weather().header("SIGN-IN-WITH-X", "!"), Value::Null),
        ("a bad payment", weather().header("PAYMENT-SIGNATURE", "!"), Value::Null),
        ("no funds", Payment::of(&terms[0], &wallet.address(), 1).with(&weather()), json!("insufficient_funds")),
    ];
    for (name, request, error) in table {
        let answer = shop.gateway.send(&request);
        assert_eq!(answer.status, 402, "{name}: {answer:?}");
        let challenge = answer.decoded("payment-required").expect("a challenge");
        assert_eq!(challenge["accepts"], terms, "{name}");
        assert!(challenge["extensions"]["sign-in-with-x"]["info"]["nonce"].is_string(), "{name}");
        if !error.is_null() {
            assert_eq!(challenge["error"], error, "{name}");
        }
    }
}
