//! What a payment buys (x402.md section 7): the route that served it, for as long as it says, for whoever paid; and what
//! the upstream and the client are told of it.

use serde_json::{Value, json};

use crate::harness::{
    Payment, Request, Shop, Till, Upstream, Wallet,
    shop::{FOR_SALE, SEPOLIA, sign_in},
};

fn weather() -> Request {
    Request::get("/weather/x")
}

fn route(keys: &str) -> String {
    format!(
        "[[route]]\nname = \"weather\"\nprefix = \"/weather\"\nupstream = \"api\"\nauth = \"payment\"\nprice = \"$0.01\"\n{keys}\n"
    )
}

/// Section 3: `resource` and what is added to `extra` are a client's words, and nobody signed them.
#[test]
fn a_cheap_payment_never_opens_a_dear_route() {
    let wallet = Wallet::evm(1);
    let plans = "[[plan]]\nname = \"pro\"\nprice = \"$50\"\nperiod = \"30d\"\n\
                 [[route]]\nname = \"pro\"\nprefix = \"/pro\"\nupstream = \"api\"\nauth = \"subscription\"\n";
    let shop = Shop::open(&format!("{plans}{FOR_SALE}"));
    shop.everybody_is(&wallet);
    let dear = Request::get("/dear/x");
    let cheap = shop.payment(&weather(), &wallet, 1);
    let change = |change: &dyn Fn(&mut Value)| {
        let mut payment = cheap.clone();
        change(&mut payment.0);
        payment
    };
    let named = change(&|payment| payment["resource"] = json!({"url": "https://api.example.com/dear/x"}));
    let refused = shop.gateway.send(&named.with(&dear));
    assert_eq!(refused.json()["error"], "No matching payment requirements", "{refused:?}");
    let dear_terms = shop.challenge(&dear)["accepts"][0].clone();
    let raised = change(&|payment| payment["accepted"] = dear_terms.clone());
    assert_eq!(raised.0["payload"]["authorization"]["value"], "10000");
    let refused = shop.gateway.send(&raised.with(&weather()));
    assert_eq!(refused.json()["error"], "No matching payment requirements", "{refused:?}");
    assert_eq!(shop.calls(), Vec::<String>::new());

    let everything = change(&|payment| {
        payment["resource"] = json!({"url": "https://api.example.com/dear/x"});
        payment["accepted"]["extra"]["plan"] = json!("pro");
    });
    let answer = shop.gateway.send(&everything.with(&weather()));
    assert_eq!(answer.status, 200, "{answer:?}");
    // The facilitator was asked about our terms, not about the client's.
    for body in shop.bodies() {
        assert_eq!(body["paymentRequirements"]["extra"], json!({"name": "USDC", "version": "2"}));
    }
    for (target, status) in [("/weather/y", 200), ("/dear/x", 402), ("/first/x", 402), ("/pro/x", 402)] {
        assert_eq!(shop.sign_in(target, &wallet).status, status, "{target}");
    }
    assert_eq!(shop.settlements(), 1);
}

#[test]
fn a_paid_request_tells_the_upstream_who_paid() {
    let wallet = Wallet::evm(1);
    let shop = Shop::usual();
    shop.everybody_is_called(&wallet.address().to_lowercase(), SEPOLIA);
    let (account, stranger) = (format!("{SEPOLIA}:{}", wallet.address()), Wallet::evm(9).address());
    for (number, request) in [(1, weather()), (2, Request::new("POST", "/weather/x")), (3, Request::get("/first/x"))] {
        let request = request
            .header("X-SIWX-Address", &stranger)
            .header("X-SIWX-Account", &format!("{SEPOLIA}:{stranger}"))
            .header("X-SIWX-Plan", "pro")
            .header("x_siwx_scheme", "eip191")
            .header("X-PAYMENT", "old");
        assert_eq!(shop.pay(&request, &wallet, number).status, 200, "{number}");
        let seen = shop.upstream.take_one();
        let told = ["Account", "Address", "Chain", "Scheme", "Plan", "Expires"]
            .map(|name| seen.one(&format!("X-SIWX-{name}")).map(str::to_owned));
        let expected = [Some(&*account), Some(&*wallet.address()), Some(SEPOLIA), Some("payment"), None, None];
        assert_eq!(told, expected.map(|told| told.map(str::to_owned)), "{number}: {seen:?}");
        for name in ["payment-signature", "x-payment", "sign-in-with-x", "x_siwx_scheme"] {
            assert!(seen.all(name).is_empty(), "{name} went to the upstream: {seen:?}");
        }
    }
}

/// A facilitator need not name the payer before it has settled; on EVM the authorization does.
#[test]
fn a_payer_that_verify_does_not_name() {
    use crate::facilitator::Act;
    let wallet = Wallet::evm(1);
    let shop = Shop::usual();
    shop.everybody_is(&wallet);
    shop.facilitator.always("/verify", Act::json(200, &json!({"isValid": true, "payer": null})));
    assert_eq!(shop.pay(&weather(), &wallet, 1).status, 200);
    let seen = shop.upstream.take_one();
    assert_eq!((seen.one("X-SIWX-Scheme"), seen.one("X-SIWX-Address")), (Some("payment"), None), "{seen:?}");
    assert_eq!(shop.sign_in("/weather/x", &wallet).status, 200);
}

/// Section 5: a shared cache in front knows nothing of our headers.
#[test]
fn no_shared_cache_keeps_what_one_client_paid_for() {
    let wallet = Wallet::evm(1);
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncache-control: public, max-age=60, s-maxage=600\r\n\r\nok";
    for (keys, expected) in [("", "max-age=60, private"), ("shared_cache = true", "public, max-age=60, s-maxage=600")] {
        let shop = Shop::before(Upstream::answering(|_| answer.into()), &route(keys), &Till::default());
        shop.everybody_is(&wallet);
        for (name, answer) in
            [("paid", shop.pay(&weather(), &wallet, 1)), ("signed in", shop.sign_in("/weather/x", &wallet))]
        {
            assert_eq!((answer.status, answer.one("cache-control")), (200, Some(expected)), "{name}: {answer:?}");
        }
    }
}

/// What only the gateway says, an upstream cannot: a receipt above all.
#[test]
fn an_upstream_cannot_say_what_is_the_gateways_to_say() {
    let forged =
        "payment-response: Zm9yZ2Vk\r\npayment-required: Zm9yZ2Vk\r\nsettlement-overrides: {\"amount\":\"1\"}\r\n";
    let upstream = Upstream::answering(move |seen| {
        let status = seen.target.split_once("status=").map_or("200", |(_, status)| status);
        format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n{forged}\r\nok").into()
    });
    let public = "[[route]]\nname = \"public\"\nprefix = \"/public\"\nupstream = \"api\"\nauth = \"none\"\n";
    let (shop, wallet) = (Shop::before(upstream, &format!("{public}{FOR_SALE}"), &Till::default()), Wallet::evm(1));
    shop.everybody_is(&wallet);
    let payment = shop.payment(&weather(), &wallet, 1);
    let answers = [
        ("public", shop.gateway.send(&payment.with(&Request::get("/public/x"))), false),
        ("failed", shop.gateway.send(&payment.with(&Request::get("/weather/x?status=500"))), false),
        ("402 of its own", shop.gateway.send(&payment.with(&Request::get("/weather/x?status=402"))), false),
        ("paid", shop.gateway.send(&payment.with(&weather())), true),
        ("signed in", shop.sign_in("/weather/x", &wallet), false),
    ];
    for (name, answer, paid) in answers {
        assert_eq!(answer.body, b"ok", "{name}: {answer:?}");
        for field in ["payment-required", "settlement-overrides"] {
            assert_eq!(answer.one(field), None, "{name}: {answer:?}");
        }
        assert_eq!(answer.one("payment-response").is_some_and(|it| it != "Zm9yZ2Vk"), paid, "{name}: {answer:?}");
        assert_ne!(answer.one("payment-response"), Some("Zm9yZ2Vk"), "{name}");
    }
    // Also on a public route, credentials of ours end here.
    let seen = shop.upstream.take();
    assert!(seen.iter().all(|seen| seen.all("payment-signature").is_empty() && seen.all("sign-in-with-x").is_empty()));
    // Without `upto` all of the price is settled, whatever the upstream says.
    assert_eq!(shop.bodies().last().expect("a settlement")["paymentRequirements"]["amount"], "10000");
}

/// `access_for` ends to the second, for sign-ins and tokens alike.
#[test]
fn access_ends_to_the_second() {
    let wallet = Wallet::evm(1);
    let shop = Shop::open(&route("access_for = \"1h\""));
    shop.everybody_is(&wallet);
    assert_eq!(shop.pay(&weather(), &wallet, 1).status, 200);
    let token = |now: &str| {
        let text = wallet.text().with("Issued At", now).with("Expiration Time", "2026-11-20T12:00:00.000Z");
        wallet.token_of(&text)
    };
    for (now, status) in [
        ("2026-11-20T10:00:01.000Z", 200),
        ("2026-11-20T11:00:00.999Z", 200),
        ("2026-11-20T11:00:01.000Z", 402),
        ("2026-11-20T11:00:02.000Z", 402),
    ] {
        shop.gateway.set_time(now);
        assert_eq!(shop.sign_in("/weather/x", &wallet).status, status, "{now}");
        let answer = shop.gateway.get("/weather/x", &token(now));
        assert_eq!(answer.status, status, "{now}: {answer:?}");
        if status == 402 {
            assert_eq!(answer.json()["code"], "subscription_required", "{now}");
            assert!(answer.decoded("payment-required").is_some(), "{now}");
        }
    }
    // And it can be bought again, with the same request.
    assert_eq!(shop.pay(&weather(), &wallet, 2).status, 200);
    assert_eq!(shop.sign_in("/weather/x", &wallet).status, 200);
}

#[test]
fn a_payment_opens_the_whole_route_or_its_path_alone() {
    let wallet = Wallet::evm(1);
    for (keys, elsewhere) in [("", 200), ("access_scope = \"path\"", 402)] {
        let shop = Shop::open(&route(keys));
        shop.everybody_is(&wallet);
        assert_eq!(shop.pay(&Request::get("/weather/oslo?day=1"), &wallet, 1).status, 200);
        for (target, status) in [
            ("/weather/oslo", 200),
            ("/weather/oslo/", 200),
            ("/weather/%6fslo?day=2", 200),
            ("/weather/rome", elsewhere),
            ("/weather/oslo/more", elsewhere),
            ("/weather/Oslo", elsewhere),
            ("/weather", elsewhere),
        ] {
            assert_eq!(shop.sign_in(target, &wallet).status, status, "{keys} {target}");
        }
    }
}

/// Section 7: a wallet with a key pair is the same wallet on every chain of its family, and no other is.
#[test]
fn who_paid_on_one_chain_signs_in_on_another() {
    let till = Till::default().keys("sign_in_chains = [\"eip155:1\", \"eip155:84532\"]\n");
    let (shop, wallet) = (Shop::before(Upstream::ok(), FOR_SALE, &till), Wallet::evm(1));
    shop.everybody_is(&wallet);
    assert_eq!(shop.pay(&weather(), &wallet, 1).status, 200);
    shop.upstream.take();
    let answer = shop.sign_in("/weather/x", &wallet);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(shop.upstream.take_one().one("X-SIWX-Chain"), Some("eip155:1"));
    assert_eq!(shop.gateway.get("/weather/x", &wallet.token()).status, 200, "a token of a third chain");
    assert_eq!(shop.sign_in("/weather/x", &Wallet::evm(2)).status, 402);
}

/// Decision 4: a token is judged before a payment, and a bad one does not spoil a good payment.
#[test]
fn tokens_beside_payments() {
    let wallet = Wallet::evm(1);
    let shop = Shop::usual();
    shop.everybody_is(&wallet);
    let bad = weather().token("SIWX a.b");
    assert_eq!(shop.gateway.send(&bad).outcome(), (401, "invalid_token".to_owned()));
    let payment = shop.payment(&weather(), &wallet, 1);
    assert_eq!(shop.gateway.send(&payment.with(&bad)).status, 200);
    assert_eq!(shop.calls(), ["verify", "settle"]);
    // A token that opens the route: the payment is not looked at.
    let other = shop.payment(&weather(), &wallet, 2);
    let answer = shop.gateway.send(&other.with(&weather().token(&wallet.token())));
    assert_eq!((answer.status, answer.one("payment-response")), (200, None), "{answer:?}");
    assert_eq!(shop.calls().len(), 2);
    // A good one of a wallet that holds nothing is told what it may pay, or pays at once.
    let stranger = Wallet::evm(2);
    let unpaid = shop.gateway.get("/weather/x", &stranger.token());
    assert_eq!((unpaid.status, &unpaid.json()["code"]), (402, &json!("subscription_required")), "{unpaid:?}");
    shop.everybody_is(&stranger);
    let payment =
        Payment::of(&unpaid.decoded("payment-required").expect("terms")["accepts"][0], &stranger.address(), 3);
    assert_eq!(shop.gateway.send(&payment.with(&weather().token(&stranger.token()))).status, 200);
}

/// Section 12: on a plan's own routes a payment buys the plan and the request goes on.
#[test]
fn a_plan_is_bought_by_the_very_request_that_needs_it() {
    let routes = "[[plan]]\nname = \"nano\"\nprice = \"$0.50\"\nperiod = \"1h\"\n\
                  [[plan]]\nname = \"pro\"\nprice = \"$5\"\nperiod = \"2h\"\n\
                  [[route]]\nname = \"api\"\nprefix = \"/api\"\nupstream = \"api\"\nauth = \"subscription\"\n\
                  [[route]]\nname = \"more\"\nprefix = \"/more\"\nupstream = \"api\"\nauth = \"subscription\"\nplans = [\"pro\"]\n";
    let (shop, wallet) = (Shop::open(routes), Wallet::evm(1));
    shop.everybody_is(&wallet);
    let request = Request::get("/api/x");
    let offers = shop.challenge(&request)["accepts"].clone();
    let plans: Vec<_> = offers.as_array().expect("terms").iter().map(|terms| &terms["extra"]["plan"]).collect();
    assert_eq!(plans, ["nano", "pro"]);
    let payment = Payment::of(&offers[0], &wallet.address(), 1);
    assert_eq!(shop.gateway.send(&payment.with(&request)).status, 200);
    shop.upstream.take();
    assert_eq!(shop.sign_in("/api/y", &wallet).status, 200);
    let seen = shop.upstream.take_one();
    assert_eq!(seen.one("X-SIWX-Plan"), Some("nano"), "{seen:?}");
    assert_eq!(shop.sign_in("/more/x", &wallet).status, 402, "another plan opens that");
    assert_eq!(shop.gateway.send(&payment.with(&request)).status, 409, "a replay buys nothing");
    // A second purchase is added to the first; a plan ends to the second.
    shop.gateway.set_time("2026-11-20T10:30:00.000Z");
    let renewal = Payment::of(&offers[0], &wallet.address(), 2);
    assert_eq!(shop.gateway.send(&renewal.with(&request)).status, 200);
    for (now, status) in [("2026-11-20T12:00:00.999Z", 200), ("2026-11-20T12:00:01.000Z", 402)] {
        shop.gateway.set_time(now);
        assert_eq!(shop.sign_in("/api/x", &wallet).status, status, "{now}");
    }
}

/// Whoever is not let in does not pay either.
#[test]
fn a_denied_payer_is_not_asked_for_money() {
    use crate::harness::shop::DEVNET;
    let (wallet, solana) = (Wallet::evm(1), Wallet::solana(1));
    let denied = format!("[auth]\ndeny_accounts = [\"{}\", \"{}\"]\n", wallet.address(), solana.address());
    let till = Till::default().on(&[SEPOLIA, DEVNET]);
    let shop = Shop::set_up(Upstream::ok(), FOR_SALE, &till, |setup| setup.tables(&denied));
    shop.everybody_is(&wallet);
    let offers = shop.offering("/weather/x", 2)["accepts"].clone();
    let payment = Payment::of(&offers[0], &wallet.address(), 1);
    assert_eq!(shop.gateway.send(&payment.with(&weather())).outcome(), (403, "account_denied".to_owned()));
    assert_eq!(shop.calls(), Vec::<String>::new(), "its authorization names it");
    // On Solana the facilitator is the first to name the payer.
    shop.everybody_is_called(&solana.address(), DEVNET);
    let payment = Payment::of(&offers[1], &solana.address(), 2);
    assert_eq!(shop.gateway.send(&payment.with(&weather())).outcome(), (403, "account_denied".to_owned()));
    assert_eq!((shop.calls(), shop.upstream.take().len()), (vec!["verify".to_owned()], 0));
    // It is not kept reserved.
    assert_eq!(shop.gateway.send(&payment.with(&weather())).outcome(), (403, "account_denied".to_owned()));
    let proof = sign_in(&wallet, &shop.challenge(&weather()));
    let answer = shop.gateway.send(&weather().header("SIGN-IN-WITH-X", &proof));
    assert_eq!(answer.outcome(), (403, "account_denied".to_owned()));
}

/// Seen in an audit: where money moves before the upstream is asked, nobody verifies first, and a denied payer on Solana
/// was named when it had paid.
#[test]
fn a_denied_payer_on_solana_does_not_pay_where_money_moves_first() {
    use crate::harness::shop::DEVNET;
    let (denied, other) = (Wallet::solana(1), Wallet::solana(2));
    let list = format!("[auth]\ndeny_accounts = [\"{}\"]\n", denied.address());
    let plan = "[[plan]]\nname = \"nano\"\nprice = \"$0.50\"\nperiod = \"1h\"\n";
    let till = Till::default().on(&[SEPOLIA, DEVNET]);
    let shop = Shop::set_up(Upstream::ok(), &format!("{plan}{FOR_SALE}"), &till, |setup| setup.tables(&list));
    shop.offering("/weather/x", 2);
    let doors = [("a route", weather()), ("the shop", Request::get("/x402/purchase?plan=nano"))];
    for (number, (door, request)) in (1..).zip(doors) {
        let (offers, before) = (shop.challenge(&request)["accepts"].clone(), shop.calls());
        let payment = Payment::of_tokens(&offers[1], &denied.address(), number);
        assert_eq!(shop.gateway.send(&payment.with(&request)).outcome(), (403, "account_denied".to_owned()), "{door}");
        assert_eq!(shop.calls(), before, "{door}: its transaction names it");
        shop.everybody_is_called(&other.address(), DEVNET);
        let payment = Payment::of_tokens(&offers[1], &other.address(), number);
        assert_eq!(shop.gateway.send(&payment.with(&request)).outcome(), (200, String::new()), "{door}");
        assert!(shop.calls().len() > before.len(), "{door}");
    }
}

/// Seen in review: an entry that names a chain was held against who signs in, and not against who pays.
#[test]
fn an_account_denied_on_one_chain_does_not_pay_there() {
    use crate::harness::shop::DEVNET;
    let (wallet, solana) = (Wallet::evm(1), Wallet::solana(1));
    let plan = "[[plan]]\nname = \"nano\"\nprice = \"$0.50\"\nperiod = \"1h\"\n";
    let till = Till::default().on(&[SEPOLIA, DEVNET]);
    let rows = [
        ("the chain paid on", SEPOLIA, DEVNET, (403, "account_denied".to_owned())),
        ("another chain", "eip155:1", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", (200, String::new())),
    ];
    for (name, evm, svm, expected) in rows {
        // As people paste it.
        let denied =
            format!("[auth]\ndeny_accounts = [\"{evm}:{}\", \"{svm}:{}\"]\n", wallet.address(), solana.address());
        let shop = Shop::set_up(Upstream::ok(), &format!("{plan}{FOR_SALE}"), &till, |setup| setup.tables(&denied));
        shop.offering("/weather/x", 2);
        let doors = [("a route", weather()), ("the shop", Request::get("/x402/purchase?plan=nano"))];
        for (number, (door, request)) in (1..).zip(doors) {
            let offers = shop.challenge(&request)["accepts"].clone();
            shop.everybody_is(&wallet);
            let payment = Payment::of(&offers[0], &wallet.address(), number);
            assert_eq!(shop.gateway.send(&payment.with(&request)).outcome(), expected, "{name}, {door}");
            shop.everybody_is_called(&solana.address(), DEVNET);
            let payment = Payment::of(&offers[1], &solana.address(), number);
            assert_eq!(shop.gateway.send(&payment.with(&request)).outcome(), expected, "{name}, {door}, Solana");
        }
        assert_eq!(shop.settlements(), if expected.0 == 200 { 4 } else { 0 }, "{name}");
    }
}

/// Section 3: refused payments count as refused credentials do, and then the answer is 429, not an invitation.
#[test]
fn an_address_whose_payments_are_refused_waits() {
    let limit = "[limits]\nauth_failures = { rate = \"1/h\", burst = 2 }\n";
    let wallet = Wallet::evm(1);
    let shop = Shop::set_up(Upstream::ok(), FOR_SALE, &Till::default(), |setup| setup.tables(limit));
    shop.everybody_is(&wallet);
    let good = shop.payment(&weather(), &wallet, 1);
    for _ in 0..2 {
        let answer = shop.gateway.send(&weather().header("PAYMENT-SIGNATURE", "e30="));
        assert_eq!(answer.status, 402, "{answer:?}");
    }
    let answer = shop.gateway.send(&good.with(&weather()));
    assert_eq!(answer.outcome(), (429, "too_many_refusals".to_owned()), "{answer:?}");
    assert_eq!((shop.calls(), shop.upstream.take().len()), (Vec::new(), 0));
    // What is asked without a credential is not held up.
    for _ in 0..5 {
        assert_eq!(shop.gateway.send(&weather()).status, 402);
    }
}

/// Seen in review: a payment that is merely not new is no offence, and so it washed the bad token beside it clean. Bad
/// signatures could then be tried without end.
#[test]
fn a_used_payment_does_not_hide_bad_tokens() {
    let limit = "[limits]\nauth_failures = { rate = \"1/h\", burst = 2 }\n";
    let wallet = Wallet::evm(1);
    let shop = Shop::set_up(Upstream::ok(), FOR_SALE, &Till::default(), |setup| setup.tables(limit));
    shop.everybody_is(&wallet);
    let used = shop.payment(&weather(), &wallet, 1).with(&weather());
    assert_eq!(shop.gateway.send(&used).status, 200);
    for _ in 0..2 {
        let answer = shop.gateway.send(&used.clone().token("SIWX a.b"));
        assert_eq!(answer.outcome(), (409, "payment_already_used".to_owned()));
    }
    assert_eq!(shop.gateway.send(&used.token("SIWX a.b")).outcome(), (429, "too_many_refusals".to_owned()));
}

/// The shop is a door beside the routes, and strangers could try tokens and payments there without end.
#[test]
fn the_shop_counts_refusals_as_routes_do() {
    let limit = "[limits]\nauth_failures = { rate = \"1/h\", burst = 2 }\n";
    let plan = "[[plan]]\nname = \"nano\"\nprice = \"$0.50\"\nperiod = \"1h\"\n";
    let routes = format!("{plan}{FOR_SALE}");
    let buy = Request::get("/x402/purchase?plan=nano");
    let doors = [
        ("status", Request::get("/x402/status").token("SIWX a.b"), 401),
        ("purchase", buy.clone().header("PAYMENT-SIGNATURE", "e30="), 402),
    ];
    for (name, request, status) in doors {
        let (shop, wallet) =
            (Shop::set_up(Upstream::ok(), &routes, &Till::default(), |setup| setup.tables(limit)), Wallet::evm(1));
        shop.everybody_is(&wallet);
        let good = shop.payment(&buy, &wallet, 1);
        for _ in 0..2 {
            assert_eq!(shop.gateway.send(&request).status, status, "{name}");
        }
        for request in [request, good.with(&buy)] {
            let answer = shop.gateway.send(&request);
            assert_eq!(answer.outcome(), (429, "too_many_refusals".to_owned()), "{name}: {answer:?}");
        }
        assert_eq!(shop.calls(), Vec::<String>::new(), "{name}");
    }
}
