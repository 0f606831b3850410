//! The order of things when somebody pays (x402.md sections 5 and 6): what is asked when, what leaves when, and that one
//! payment is used once.

use std::{
    collections::BTreeMap,
    io::{BufReader, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::{Mutex, mpsc},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    facilitator::Latch,
    harness::{
        Answer, Nobody, Payment, Request, Setup, Shop, Till, Upstream, Wallet,
        shop::{FOR_SALE, SEPOLIA, TRANSACTION, refused, settled, supported, verified},
        upstream::read_request,
    },
};

fn weather() -> Request {
    Request::get("/weather/x")
}

fn post() -> Request {
    Request::new("POST", "/weather/x").body(b"question")
}

/// A service whose status is what the target asks for.
fn obliging() -> Upstream {
    Upstream::answering(|seen| {
        let status = seen.target.split_once("status=").map_or("200", |(_, status)| status);
        format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok").into()
    })
}

/// Sends the same request on so many connections, all of them before any answer is read.
fn at_once(shop: &Shop, request: &Request, count: usize, meanwhile: impl FnOnce()) -> Vec<Answer> {
    let mut clients: Vec<_> = (0..count).map(|_| shop.gateway.client()).collect();
    clients.iter_mut().for_each(|client| client.write(&request.bytes()));
    meanwhile();
    clients.iter_mut().map(|client| client.read_to(&request.method)).collect()
}

#[test]
fn of_ten_copies_of_a_payment_one_is_served() {
    for (name, request, calls) in [("GET", weather(), &["verify", "settle"][..]), ("POST", post(), &["settle"])] {
        let (shop, wallet) = (Shop::usual(), Wallet::evm(1));
        shop.everybody_is(&wallet);
        let latch = Latch::default();
        match name {
            "GET" => shop.facilitator.on("/verify", verified(&wallet.address()).held(&latch)),
            _ => shop.facilitator.on("/settle", settled(&wallet.address(), SEPOLIA).held(&latch)),
        }
        let paid = shop.payment(&request, &wallet, 1).with(&request);
        let answers = at_once(&shop, &paid, 10, || {
            // Nine of them meet the one that is under way. Requests in flight would not tell: before the others have
            // come there is one as well.
            let met = "siwx_auth_decisions_total{decision=\"deny\",reason=\"payment_in_progress\",route=\"weather\"}";
            shop.gateway.expect_metric(met, 9.0);
            latch.open();
        });
        let mut found = BTreeMap::new();
        answers.iter().for_each(|answer| *found.entry(answer.outcome()).or_insert(0) += 1);
        let expected = [((200, String::new()), 1), ((409, "payment_in_progress".to_owned()), 9)];
        assert_eq!(found, BTreeMap::from(expected), "{name}");
        assert_eq!(
            (shop.upstream.take().len(), shop.calls()),
            (1, calls.iter().map(|call| (*call).to_owned()).collect())
        );
        let late = shop.gateway.send(&paid);
        assert_eq!(late.outcome(), (409, "payment_already_used".to_owned()), "{name}");
        let receipt = answers.iter().find_map(|answer| answer.one("payment-response")).expect("a receipt");
        assert_eq!(late.one("payment-response"), Some(receipt), "{name}");
        shop.gateway.expect_metric("siwx_payments_total{route=\"weather\",status=\"settled\"}", 1.0);
    }
}

/// Section 6: the signature is malleable, and addresses and nonces have letter cases. What was authorised is one.
#[test]
fn another_spelling_of_a_payment_is_the_same_payment() {
    let (shop, wallet) = (Shop::usual(), Wallet::evm(1));
    shop.everybody_is(&wallet);
    let payment = shop.payment(&weather(), &wallet, 0xabcdef);
    assert_eq!(shop.gateway.send(&payment.with(&weather())).status, 200);
    let change = |pointer: &str, value: Value| {
        let mut other = payment.clone();
        *other.0.pointer_mut(pointer).expect(pointer) = value;
        other
    };
    let nonce = format!("0x{:064X}", 0xabcdef);
    for (name, other) in [
        ("another signature", change("/payload/signature", json!(format!("0x{}1c", "34bc".repeat(32))))),
        ("from in lower case", change("/payload/authorization/from", json!(wallet.address().to_lowercase()))),
        ("nonce in upper case", change("/payload/authorization/nonce", json!(nonce))),
        ("another value", change("/payload/authorization/value", json!("1"))),
    ] {
        let answer = shop.gateway.send(&other.with(&weather()));
        assert_eq!(answer.outcome(), (409, "payment_already_used".to_owned()), "{name}");
    }
    assert_eq!((shop.calls().len(), shop.upstream.take().len()), (2, 1));
}

#[test]
fn nobody_pays_for_an_upstreams_error() {
    let wallet = Wallet::evm(1);
    let shop = Shop::before(obliging(), FOR_SALE, &Till::default());
    shop.everybody_is(&wallet);
    let payment = shop.payment(&weather(), &wallet, 1);
    for status in [400, 401, 402, 404, 429, 500, 503] {
        let answer = shop.gateway.send(&payment.with(&Request::get(&format!("/weather/x?status={status}"))));
        assert_eq!((answer.status, answer.one("payment-response")), (status, None), "{answer:?}");
        assert_eq!(answer.body, b"ok", "the upstream's answer is passed on");
    }
    assert_eq!(shop.settlements(), 0);
    // A status below 400 is an answer, also one without a body, and it is paid for.
    for (number, status) in [(1, 200), (2, 204), (3, 302), (4, 304), (5, 399)] {
        let payment = shop.payment(&weather(), &wallet, number);
        let answer = shop.gateway.send(&payment.with(&Request::get(&format!("/weather/x?status={status}"))));
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.decoded("payment-response").is_some(), "{answer:?}");
    }
    assert_eq!(shop.settlements(), 5);
}

#[test]
fn nobody_pays_for_an_upstream_that_is_away() {
    let (nobody, wallet) = (Nobody::new(), Wallet::evm(1));
    let shop = Shop::set_up(Upstream::ok(), FOR_SALE, &Till::default(), |setup| {
        setup.set("upstreams.api.urls", &nobody.url())
    });
    shop.everybody_is(&wallet);
    let payment = shop.payment(&weather(), &wallet, 1);
    for _ in 0..2 {
        let answer = shop.gateway.send(&payment.with(&weather()));
        assert_eq!(answer.outcome(), (502, "upstream_unreachable".to_owned()));
        assert_eq!(answer.one("payment-response"), None, "{answer:?}");
    }
    assert_eq!(shop.calls(), ["verify", "verify"]);
}

#[test]
fn methods_with_effects_are_paid_for_before_they_reach_the_upstream() {
    let wallet = Wallet::evm(1);
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let shop = Shop::usual();
        let latch = Latch::default();
        shop.facilitator.on("/settle", settled(&wallet.address(), SEPOLIA).held(&latch));
        let request = Request::new(method, "/weather/x");
        let challenge = shop.challenge(&request);
        assert_eq!(challenge["accepts"][0]["extra"]["paymentFlow"], "upfront", "{method}");
        let paid = Payment::of(&challenge["accepts"][0], &wallet.address(), 1).with(&request);
        let mut client = shop.gateway.client();
        client.write(&paid.bytes());
        shop.wait_settlements(1);
        assert_eq!(shop.upstream.connections(), 0, "{method}: the upstream was asked before the settlement");
        latch.open();
        let answer = client.read_to(method);
        assert_eq!(answer.status, 200, "{method}: {answer:?}");
        assert_eq!(answer.decoded("payment-response").expect("a receipt")["transaction"], TRANSACTION);
        assert_eq!((shop.calls(), shop.upstream.take().len()), (vec!["settle".to_owned()], 1), "{method}");
    }
    // The terms of the one way are none of the other.
    let shop = Shop::usual();
    shop.everybody_is(&wallet);
    let (get, post) = (shop.payment(&weather(), &wallet, 1), shop.payment(&post(), &wallet, 2));
    assert_eq!(shop.gateway.send(&get.with(&self::post())).status, 402);
    // More members of `extra` than were offered are fine (section 3), so this one fits.
    assert_eq!(shop.gateway.send(&post.with(&weather())).status, 200);
}

/// Section 5: who paid before is told so, whatever comes of the request, and comes back by signing in.
#[test]
fn who_paid_before_is_told_so_whatever_the_upstream_does() {
    let wallet = Wallet::evm(1);
    let nobody = Nobody::new();
    let failing = || Upstream::scripted(|stream, _| drop(read_request(&mut BufReader::new(stream))));
    let silent = || {
        Upstream::scripted(|stream, _| {
            let mut reader = BufReader::new(stream);
            read_request(&mut reader);
            let _ = reader.read_to_end(&mut Vec::new());
        })
    };
    let away = |setup: Setup| setup.set("upstreams.api.urls", &nobody.url());
    let hasty = |setup: Setup| setup.set("upstreams.api.response_timeout", "50ms");
    let same = |setup: Setup| setup;
    type Change<'c> = &'c dyn Fn(Setup) -> Setup;
    let table: [(&str, Upstream, Change<'_>, u16, &str); 5] = [
        ("its own 500", obliging(), &same, 500, ""),
        ("away", Upstream::ok(), &away, 502, "upstream_unreachable"),
        ("no HTTP", Upstream::saying(b"SSH-2.0-x\r\n"), &same, 502, "upstream_invalid"),
        ("silent", silent(), &hasty, 504, "upstream_timeout"),
        ("hangs up", failing(), &same, 502, "upstream_"),
    ];
    for (name, upstream, change, status, code) in table {
        let shop = Shop::set_up(upstream, FOR_SALE, &Till::default(), change);
        shop.everybody_is(&wallet);
        let request = Request::new("POST", "/weather/x?status=500");
        let answer = shop.pay(&request, &wallet, 1);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(answer.code().starts_with(code), "{name}: {answer:?}");
        let receipt = answer.decoded("payment-response").unwrap_or_else(|| panic!("{name}: no receipt in {answer:?}"));
        assert_eq!((&receipt["success"], &receipt["payer"]), (&json!(true), &json!(wallet.address())), "{name}");
        // Signing in opens the route without another payment; what the upstream then does is its own.
        let answer = shop.sign_in("/weather/x?status=500", &wallet);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert_eq!(shop.settlements(), 1, "{name}");
    }
}

/// Rule 4 of section 5, seen on the wire: while the facilitator thinks, the client has not one byte.
#[test]
fn no_byte_leaves_before_the_settlement() {
    let (latch, wallet) = (Latch::default(), Wallet::evm(1));
    let shop = Shop::usual();
    shop.everybody_is(&wallet);
    shop.facilitator.on("/settle", settled(&wallet.address(), SEPOLIA).held(&latch));
    let paid = shop.payment(&weather(), &wallet, 1).with(&weather());
    let mut stream = TcpStream::connect(shop.gateway.address).expect("the gateway accepts");
    stream.write_all(&paid.bytes()).expect("the gateway reads");
    shop.wait_settlements(1);
    assert_eq!(shop.upstream.take().len(), 1, "the upstream has answered");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let early = stream.read(&mut [0; 1]).map_err(|error| error.kind());
    assert!(matches!(early, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{early:?}");
    latch.open();
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut first = [0; 15];
    stream.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
}

/// A refused settlement leaves nothing of the upstream's answer: neither status, nor fields, nor body.
#[test]
fn a_refused_settlement_leaves_nothing_of_the_upstreams_answer() {
    let secret = "HTTP/1.1 203 X\r\ncontent-length: 12\r\nx-secret: the goods\r\nset-cookie: a=b\r\n\r\nthe contents";
    let wallet = Wallet::evm(1);
    let shop = Shop::before(Upstream::answering(|_| secret.into()), FOR_SALE, &Till::default());
    shop.everybody_is(&wallet);
    let payment = shop.payment(&weather(), &wallet, 1);
    shop.facilitator.on("/settle", refused("insufficient_funds"));
    let answer = shop.gateway.send(&payment.with(&weather()));
    let outcome = json!({"success": false, "errorReason": "insufficient_funds", "transaction": "", "network": SEPOLIA});
    assert_eq!((answer.status, answer.decoded("payment-response")), (402, Some(outcome)), "{answer:?}");
    let all = format!("{answer:?}");
    assert!(!all.contains("secret") && !all.contains("contents") && !all.contains("set-cookie"), "{all}");
    assert_eq!(shop.sign_in("/weather/x", &wallet).status, 402, "nothing was bought");
    // It was released, so the same authorization may be settled another time.
    let answer = shop.gateway.send(&payment.with(&weather()));
    assert_eq!((answer.status, answer.body.as_slice()), (203, &b"the contents"[..]), "{answer:?}");
}

/// Paid streams still stream: what the upstream has sent is passed on before it sends more.
#[test]
fn a_paid_answer_streams() {
    let (more, next) = mpsc::channel::<()>();
    let next = Mutex::new(next);
    let upstream = Upstream::scripted(move |stream, _| {
        let mut reader = BufReader::new(stream);
        read_request(&mut reader);
        let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n");
        let _ = next.lock().expect("the channel").recv();
        let _ = reader.get_mut().write_all(b"3\r\ntwo\r\n0\r\n\r\n");
    });
    let wallet = Wallet::evm(1);
    let shop = Shop::before(upstream, FOR_SALE, &Till::default());
    shop.everybody_is(&wallet);
    let mut client = shop.gateway.client();
    client.write(&shop.payment(&weather(), &wallet, 1).with(&weather()).bytes());
    assert_eq!(client.read_head().expect("a head").0, 200);
    let (mut seen, mut buffer) = (Vec::new(), [0; 64]);
    while !seen.ends_with(b"one\r\n") {
        let length = client.read_some(&mut buffer);
        assert!(length > 0, "the stream ended after {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..length]);
    }
    more.send(()).expect("the upstream waits");
    while !seen.ends_with(b"0\r\n\r\n") {
        let length = client.read_some(&mut buffer);
        assert!(length > 0, "the stream ended after {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..length]);
    }
    assert!(seen.windows(3).any(|part| part == b"two"));
}

/// The client going away does not stop a settlement that has begun.
#[test]
fn a_settlement_is_recorded_when_the_client_has_gone() {
    for request in [weather(), post()] {
        let (latch, wallet) = (Latch::default(), Wallet::evm(1));
        let shop = Shop::usual();
        shop.everybody_is(&wallet);
        shop.facilitator.on("/settle", settled(&wallet.address(), SEPOLIA).held(&latch));
        let paid = shop.payment(&request, &wallet, 1).with(&request);
        let mut client = shop.gateway.client();
        client.write(&paid.bytes());
        shop.wait_settlements(1);
        drop(client);
        shop.gateway.expect_metric("siwx_http_requests_in_flight", 0.0);
        latch.open();
        shop.gateway.expect_metric("siwx_payments_total{route=\"weather\",status=\"settled\"}", 1.0);
        assert_eq!(shop.sign_in("/weather/x", &wallet).status, 200, "{}", request.method);
        // A client that lost its answer learns that it paid.
        let again = shop.gateway.send(&paid);
        assert_eq!(again.outcome(), (409, "payment_already_used".to_owned()));
        assert!(again.decoded("payment-response").is_some());
        assert_eq!(shop.settlements(), 1);
    }
}

/// Before a settlement has begun it gives the payment back.
#[test]
fn a_client_that_leaves_before_the_settlement_keeps_its_payment() {
    let upstream = Upstream::scripted(|stream, number| {
        let mut reader = BufReader::new(stream);
        read_request(&mut reader);
        if number == 0 {
            let _ = reader.read_to_end(&mut Vec::new());
        } else {
            let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let wallet = Wallet::evm(1);
    let shop = Shop::before(upstream, FOR_SALE, &Till::default());
    shop.everybody_is(&wallet);
    let paid = shop.payment(&weather(), &wallet, 1).with(&weather());
    let mut client = shop.gateway.client();
    client.write(&paid.bytes());
    while shop.upstream.connections() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(client);
    shop.gateway.expect_metric("siwx_http_requests_in_flight", 0.0);
    // The release is written in the background.
    let answer = (0..500).map(|_| shop.gateway.send(&paid)).find(|answer| {
        std::thread::sleep(Duration::from_millis(5));
        answer.status != 409
    });
    assert_eq!(answer.expect("an end").status, 200);
    assert_eq!(shop.settlements(), 1);
}

/// HEAD is served and paid for like GET, without a body.
#[test]
fn a_head_request_is_paid_for_once_its_head_is_there() {
    let (shop, wallet) = (Shop::usual(), Wallet::evm(1));
    shop.everybody_is(&wallet);
    let terms = shop.challenge(&weather())["accepts"][0].clone();
    let head = Request::new("HEAD", "/weather/x");
    let unpaid = shop.gateway.send(&head);
    assert_eq!((unpaid.status, unpaid.decoded("payment-required").is_some()), (402, true), "{unpaid:?}");
    let answer = shop.gateway.send(&Payment::of(&terms, &wallet.address(), 1).with(&head));
    assert_eq!((answer.status, answer.decoded("payment-response").is_some()), (200, true), "{answer:?}");
    assert_eq!(shop.calls(), ["verify", "settle"]);
}

/// Section 1: version 1 is not spoken, and a field of it is no payment; two payments are none.
#[test]
fn what_is_no_payment_or_two_asks_nobody() {
    let (shop, wallet) = (Shop::usual(), Wallet::evm(1));
    shop.everybody_is(&wallet);
    let payment = shop.payment(&weather(), &wallet, 1);
    let old = shop.gateway.send(&weather().header("X-PAYMENT", &payment.header()));
    assert_eq!((old.status, old.json()["error"].as_str()), (402, Some("Payment required")), "{old:?}");
    let twice = shop.gateway.send(&payment.with(&payment.with(&weather())));
    assert_eq!(twice.outcome(), (400, "conflicting_credentials".to_owned()));
    assert_eq!((shop.calls(), shop.upstream.take().len()), (Vec::new(), 0));
}

/// Section 4, `upto`: the upstream says what is charged of the maximum, and the client does not hear how.
#[test]
fn an_upstream_charges_less_than_the_maximum() {
    let till = Till { accepts: vec![(SEPOLIA, "upto")], ..Till::default() };
    let overrides = |amount: &str| format!("settlement-overrides: {{\"amount\":\"{amount}\"}}\r\n");
    let table = [
        ("all of it", String::new(), Some("10000")),
        ("units", overrides("4000"), Some("4000")),
        ("a share", overrides("50%"), Some("5000")),
        ("dollars", overrides("$0.002"), Some("2000")),
        ("nothing", overrides("0"), Some("0")),
        ("the maximum", overrides("10000"), Some("10000")),
        ("more than the maximum", overrides("10001"), None),
        ("no amount", overrides("a lot"), None),
    ];
    for (name, field, charged) in table {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{field}\r\nok");
        let wallet = Wallet::evm(1);
        let shop = Shop::before(Upstream::answering(move |_| head.clone().into()), FOR_SALE, &till);
        shop.everybody_is(&wallet);
        let terms = shop.offering("/weather/x", 1)["accepts"][0].clone();
        assert_eq!((&terms["scheme"], &terms["amount"]), (&json!("upto"), &json!("10000")), "{name}");
        assert_eq!(terms["extra"]["assetTransferMethod"], "permit2", "{name}");
        assert_eq!(terms["extra"]["facilitatorAddress"], "0x000000000000000000000000000000000000dEaD", "{name}");
        let permit = json!({"from": wallet.address(), "nonce": "1", "deadline": "1795168860"});
        let payload = json!({"permit2Authorization": permit, "signature": "0x12"});
        let payment = Payment(json!({"x402Version": 2, "payload": payload, "accepted": terms}));
        let answer = shop.gateway.send(&payment.with(&weather()));
        assert_eq!(answer.one("settlement-overrides"), None, "{name}");
        let asked: Vec<Value> =
            shop.bodies().iter().map(|body| body["paymentRequirements"]["amount"].clone()).collect();
        match charged {
            Some(charged) => {
                assert_eq!(answer.status, 200, "{name}: {answer:?}");
                assert_eq!(asked, [json!("10000"), json!(charged)], "{name}");
            }
            None => {
                assert_eq!(answer.status, 502, "{name}: {answer:?}");
                assert_eq!(asked, [json!("10000")], "{name}: nothing is settled");
            }
        }
    }
}

/// Section 4: where the facilitator was not heard, what needs its word is not offered, and what does not, is.
#[test]
fn until_the_facilitator_is_heard_only_what_can_be_signed_is_offered() {
    use crate::harness::shop::DEVNET;
    let wallet = Wallet::solana(1);
    let silent = |networks: &[&'static str]| Shop::set_up_deaf(Upstream::ok(), FOR_SALE, &Till::default().on(networks));
    let shop = silent(&[SEPOLIA, DEVNET]);
    let networks: Vec<Value> = shop.challenge(&weather())["accepts"]
        .as_array()
        .expect("terms")
        .iter()
        .map(|one| one["network"].clone())
        .collect();
    assert_eq!(networks, [json!(SEPOLIA)]);
    let shop = silent(&[DEVNET]);
    assert_eq!(shop.gateway.send(&weather()).outcome(), (503, "terms_unavailable".to_owned()));
    // Once it is heard, its word is in the terms, and a wallet of that network pays.
    shop.facilitator.always("/supported", supported());
    shop.everybody_is_called(&wallet.address(), DEVNET);
    for _ in 0..1500 {
        if shop.gateway.send(&weather()).status == 402 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(shop.pay(&weather(), &wallet, 1).status, 200);
    assert_eq!(shop.sign_in("/weather/x", &wallet).status, 200);
}
