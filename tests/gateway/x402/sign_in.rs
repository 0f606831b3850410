//! Signing in with a wallet that has paid (x402.md section 9), through the whole gateway.

use std::collections::{BTreeMap, HashSet};

use data_encoding::{BASE64, BASE64_NOPAD};
use serde_json::{Value, json};

use super::flows::vectors;
use crate::harness::{
    Answer, Payment, Request, Shop, Till, Upstream, Wallet,
    shop::{DEVNET, FOR_SALE, SEPOLIA, proof, sign_in, signed},
};

fn with_proof(proof: &str) -> Request {
    Request::get("/weather/x").header("SIGN-IN-WITH-X", proof)
}

/// A shop where this wallet has paid for the weather.
fn paid_by(wallet: &Wallet) -> Shop {
    let shop = Shop::usual();
    shop.everybody_is(wallet);
    assert_eq!(shop.pay(&Request::get("/weather/x"), wallet, 1).status, 200);
    shop.upstream.take();
    shop
}

fn reason(answer: &Answer) -> String {
    assert_eq!(answer.status, 402, "{answer:?}");
    assert!(answer.decoded("payment-required").is_some(), "{answer:?}");
    let body = answer.json();
    assert_eq!(body["code"], "proof_refused", "{answer:?}");
    body["siwx"]["reason"].as_str().expect("a reason").to_owned()
}

/// A shop where every wallet of the vectors has paid, and every nonce counts as issued.
fn vectors_shop(vectors: &Value) -> Shop {
    let till = Till::default().on(&[SEPOLIA, DEVNET]).keys("require_issued_nonce = false\n");
    let routes = FOR_SALE.replace("/weather", "/premium/weather");
    let shop = Shop::set_up(Upstream::ok(), &routes, &till, |setup| setup.set("limits.auth_failures", "off"));
    // Some of the vectors are from a moment before the others.
    shop.gateway.set_time("2026-11-20T09:00:00.000Z");
    let offered = shop.offering("/premium/weather", 2);
    for (place, (family, network)) in [("evm", SEPOLIA), ("solana", DEVNET)].into_iter().enumerate() {
        for (number, key) in vectors["keys"][family].as_array().expect("keys").iter().enumerate() {
            let address = key["address"].as_str().expect("an address");
            shop.everybody_is_called(address, network);
            let payment = Payment::of(&offered["accepts"][place], address, number as u64);
            let answer = shop.gateway.send(&payment.with(&Request::get("/premium/weather")));
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    shop.upstream.take();
    shop
}

/// Every case of `tests/vectors/x402-siwx-proofs.json`. Nonces that several good proofs share get a gateway each.
#[test]
#[expect(clippy::print_stdout, reason = "the count belongs into the log of a test run")]
fn proofs() {
    let vectors = vectors("x402-siwx-proofs.json");
    let cases = vectors["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 148);
    let mut shops = vec![vectors_shop(&vectors)];
    let mut used: Vec<HashSet<String>> = vec![HashSet::new()];
    let mut failures = Vec::new();
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let header = case["header"].as_str().expect("a header");
        let unpadded = header.trim_end_matches('=').as_bytes();
        let decoded = BASE64_NOPAD.decode(unpadded).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
        let nonce = decoded.as_ref().and_then(|proof| proof["nonce"].as_str()).unwrap_or(name).to_owned();
        let verdict =
            case["gateway"]["verdict"].as_str().or_else(|| case["expect"]["verdict"].as_str()).expect("a verdict");
        let place = match used.iter().position(|used| !used.contains(&nonce)) {
            Some(place) => place,
            None => {
                shops.push(vectors_shop(&vectors));
                used.push(HashSet::new());
                used.len() - 1
            }
        };
        let shop = &shops[place];
        shop.gateway.set_time(case["now"].as_str().expect("a time"));
        let answer = shop.gateway.send(&Request::get("/premium/weather").header("SIGN-IN-WITH-X", header));
        if answer.status == 200 {
            used[place].insert(nonce);
        }
        let expected: &[u16] = match verdict {
            "accept" => &[200],
            "refuse" => &[402],
            _ => &[200, 402],
        };
        if !expected.contains(&answer.status) {
            failures.push(format!("{name}: expected {verdict}, found {answer:?}"));
            continue;
        }
        let forwarded = shop.upstream.take();
        assert_eq!(forwarded.len(), usize::from(answer.status == 200), "{name}");
        for seen in forwarded {
            assert!(seen.one("sign-in-with-x").is_none(), "{name}: {seen:?}");
        }
        if answer.status == 402 {
            let (body, required) = (answer.json(), answer.decoded("payment-required"));
            let code = body["siwx"]["reason"].as_str().unwrap_or("");
            if !code.starts_with("invalid_siwx") || required.is_none() {
                failures.push(format!("{name}: found {answer:?}"));
            }
            // The reference reads a date without a time as a time.
            let said =
                case["expect"]["validate"]["invalidReason"].as_str().filter(|_| name != "issuedAt \"2026-11-20\"");
            if let Some(said) = said.filter(|said| *said != code) {
                failures.push(format!("{name}: expected {said}, found {code}"));
            }
        }
    }
    println!("x402-siwx-proofs.json: {} of 148", 148 - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_paid_wallet_signs_in_once_for_each_challenge() {
    let wallet = Wallet::evm(1);
    let shop = paid_by(&wallet);
    let proof = sign_in(&wallet, &shop.challenge(&Request::get("/weather/x")));
    let answer = shop.gateway.send(&with_proof(&proof));
    assert_eq!((answer.status, answer.one("payment-response")), (200, None), "{answer:?}");
    let seen = shop.upstream.take_one();
    assert_eq!(seen.one("X-SIWX-Scheme"), Some("eip191"), "{seen:?}");
    assert_eq!(seen.one("X-SIWX-Account"), Some(&*format!("{SEPOLIA}:{}", wallet.address())), "{seen:?}");
    let replayed = shop.gateway.send(&with_proof(&proof));
    assert_eq!(reason(&replayed), "invalid_siwx_nonce");
    // A refusal brings a new nonce, and with that it goes.
    let again = sign_in(&wallet, &replayed.decoded("payment-required").expect("a challenge"));
    assert_eq!(shop.gateway.send(&with_proof(&again)).status, 200);
    assert_eq!(shop.settlements(), 1);
}

#[test]
fn of_fifty_copies_of_a_sign_in_one_goes_through() {
    let wallet = Wallet::evm(1);
    let shop = paid_by(&wallet);
    let request = with_proof(&sign_in(&wallet, &shop.challenge(&Request::get("/weather/x"))));
    let mut clients: Vec<_> = (0..50).map(|_| shop.gateway.client()).collect();
    // All of them are on their way before any answer is read.
    clients.iter_mut().for_each(|client| client.write(&request.bytes()));
    let mut statuses = BTreeMap::new();
    for client in &mut clients {
        let answer = client.read();
        if answer.status != 200 {
            assert_eq!(reason(&answer), "invalid_siwx_nonce");
        }
        *statuses.entry(answer.status).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(200, 1), (402, 49)]));
    assert_eq!(shop.upstream.take().len(), 1);
}

/// A proof that fails for another reason than its nonce leaves the nonce as it was.
#[test]
fn a_refused_proof_burns_nothing() {
    let wallet = Wallet::evm(1);
    let shop = paid_by(&wallet);
    let challenge = shop.challenge(&Request::get("/weather/x"));
    let stranger = Wallet::evm(2);
    let good = proof(&wallet, &challenge);
    let changed = |member: &str, value: Value| {
        let mut proof = good.clone();
        proof[member] = value;
        signed(&wallet, proof)
    };
    let mut forged = good.clone();
    forged["address"] = json!(wallet.address());
    let table = [
        ("another domain", changed("domain", json!("evil.example")), "invalid_siwx_domain_mismatch"),
        ("another uri", changed("uri", json!("https://evil.example/")), "invalid_siwx_uri_mismatch"),
        ("from the future", changed("issuedAt", json!("2026-11-20T10:01:00.000Z")), "invalid_siwx_issued_at_in_future"),
        ("ended", changed("expirationTime", json!("2026-11-20T10:00:01.000Z")), "invalid_siwx_expired"),
        ("signed by another", signed(&stranger, forged), "invalid_siwx_signature"),
        ("not a proof", BASE64.encode(b"{}"), "invalid_siwx_header"),
    ];
    for (name, proof, code) in &table {
        let found = reason(&shop.gateway.send(&with_proof(proof)));
        assert!(found == *code || *name == "not a proof", "{name}: {found}");
    }
    // The nonce of a wallet that has not paid is not burnt either, and it is told what it may pay.
    let unpaid = shop.gateway.send(&with_proof(&sign_in(&stranger, &challenge)));
    assert_eq!((unpaid.status, unpaid.json()["code"].as_str()), (402, Some("subscription_required")), "{unpaid:?}");
    assert!(unpaid.decoded("payment-required").is_some());
    assert_eq!(shop.upstream.take().len(), 0);
    assert_eq!(shop.gateway.send(&with_proof(&signed(&wallet, good))).status, 200);
}

/// The life of a nonce is the gateway's to say, whatever the client signs.
#[test]
fn a_nonce_ends_with_its_age_whatever_is_signed() {
    for (now, status) in [("2026-11-20T10:05:01.000Z", 200), ("2026-11-20T10:05:02.000Z", 402)] {
        let wallet = Wallet::evm(1);
        let shop = paid_by(&wallet);
        let mut proof = proof(&wallet, &shop.challenge(&Request::get("/weather/x")));
        shop.gateway.set_time(now);
        proof["issuedAt"] = json!(now);
        proof.as_object_mut().expect("an object").shift_remove("expirationTime");
        let answer = shop.gateway.send(&with_proof(&signed(&wallet, proof)));
        assert_eq!(answer.status, status, "{now}: {answer:?}");
        if status == 402 {
            assert_eq!(reason(&answer), "invalid_siwx_nonce");
        }
    }
}

/// A nonce that the client made up is none, however good the signature.
#[test]
fn a_nonce_of_the_clients_own_is_refused() {
    let wallet = Wallet::evm(1);
    let shop = paid_by(&wallet);
    let mut proof = proof(&wallet, &shop.challenge(&Request::get("/weather/x")));
    let issued = proof["nonce"].as_str().expect("a nonce").to_owned();
    let (last, rest) = (issued.as_bytes()[57], &issued[..57]);
    for nonce in [format!("{rest}{}", if last == b'0' { '1' } else { '0' }), "e6be4e43cb5e265c28e492c25c483925".into()]
    {
        proof["nonce"] = json!(nonce);
        assert_eq!(reason(&shop.gateway.send(&with_proof(&signed(&wallet, proof.clone())))), "invalid_siwx_nonce");
    }
}

/// Section 11: any wallet that proves itself is let in, and nobody pays.
#[test]
fn a_route_for_wallets_takes_any_wallet_that_signs_in() {
    let route = "[[route]]\nname = \"profile\"\nprefix = \"/profile\"\nupstream = \"api\"\nauth = \"wallet\"\n";
    let shop = Shop::before(Upstream::ok(), route, &Till::default().on(&[SEPOLIA, DEVNET]));
    for wallet in [Wallet::evm(7), Wallet::solana(7)] {
        let challenge = shop.challenge(&Request::get("/profile"));
        assert_eq!(challenge["accepts"], json!([]));
        let answer =
            shop.gateway.send(&Request::get("/profile").header("SIGN-IN-WITH-X", &sign_in(&wallet, &challenge)));
        assert_eq!(answer.status, 200, "{answer:?}");
        let seen = shop.upstream.take_one();
        assert_eq!(seen.one("X-SIWX-Address"), Some(&*wallet.address()));
        assert_eq!(seen.one("sign-in-with-x"), None);
    }
    // A payment is nothing here.
    let payment = json!({"x402Version": 2, "payload": {}, "accepted": {}}).to_string();
    let answer =
        shop.gateway.send(&Request::get("/profile").header("PAYMENT-SIGNATURE", &BASE64.encode(payment.as_bytes())));
    assert_eq!(answer.status, 402, "{answer:?}");
    assert_eq!(shop.calls(), Vec::<String>::new());
}

/// Decision 4: two kinds of proof are a conflict, and a proof that opens the route makes a payment needless.
#[test]
fn a_sign_in_beside_other_credentials() {
    let wallet = Wallet::evm(1);
    let shop = paid_by(&wallet);
    let challenge = shop.challenge(&Request::get("/weather/x"));
    let proof = || sign_in(&wallet, &challenge);
    let both = with_proof(&proof()).token("SIWX a.b");
    assert_eq!(shop.gateway.send(&both).outcome(), (400, "conflicting_credentials".to_owned()));
    let twice = with_proof(&proof()).header("SIGN-IN-WITH-X", &proof());
    assert_eq!(shop.gateway.send(&twice).outcome(), (400, "conflicting_credentials".to_owned()));
    let before = shop.calls().len();
    let payment = Payment::of(&challenge["accepts"][0], &wallet.address(), 2);
    let answer = shop.gateway.send(&payment.with(&with_proof(&proof())));
    assert_eq!((answer.status, answer.one("payment-response")), (200, None), "{answer:?}");
    assert_eq!(shop.calls().len(), before, "the payment was not looked at");
    // The proof was used by now; so the payment is judged on its own.
    let answer = shop.gateway.send(&payment.with(&with_proof(&proof())));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.decoded("payment-response").is_some());
    assert_eq!(shop.calls().len(), before + 2);
}
