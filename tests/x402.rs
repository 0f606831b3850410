//! The x402 vectors that need no server: every case of `tests/vectors/x402-challenges.json` and `x402-payments.json`.
//!
//! The first are answers of the protocol's own server, built here again from equal configuration. The second are
//! payments by its own clients, with the server's verdict on each and the bodies it sends to a facilitator.

use std::fs;

use serde_json::{Map, Value, json};
use siwx_gateway::{
    caip::ChainId,
    chain::account::{Named, spelled},
    siwx::origin::Origin,
    time::UnixTime,
    x402::{
        asset::{Asset, Price},
        challenge::{Challenge, SignIn},
        payment::{Payment, PaymentError, facilitator_request},
        terms::{Accept, Offer, PaymentFlow, Scheme, Terms, check_echo, match_terms},
        wire,
    },
};

const SEPOLIA: &str = "eip155:84532";
const DEVNET: &str = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";

/// What the server of the vectors was told about one of its routes.
struct Route {
    path: &'static str,
    description: &'static str,
    mime_type: &'static str,
    networks: &'static [&'static str],
    flow: PaymentFlow,
    sign_in: Option<Invitation>,
}

struct Invitation {
    chains: &'static [&'static str],
    statement: &'static str,
    expiration_secs: Option<i64>,
}

const JSON: &str = "application/json";

const WEATHER: Route = Route {
    path: "/premium/weather",
    description: "Weather",
    mime_type: JSON,
    networks: &[SEPOLIA, DEVNET],
    flow: PaymentFlow::Authorization,
    sign_in: Some(Invitation {
        chains: &[SEPOLIA, DEVNET],
        statement: "Sign in to use the paid API",
        expiration_secs: Some(300),
    }),
};

const EVM_ONLY: Option<Invitation> = Some(Invitation { chains: &[SEPOLIA], statement: "", expiration_secs: None });

const ROUTES: &[Route] = &[
    WEATHER,
    Route { path: "/premium/%77eather", ..WEATHER },
    Route { path: "/premium/evm", description: "EVM only", networks: &[SEPOLIA], sign_in: EVM_ONLY, ..WEATHER },
    Route {
        path: "/premium/wide",
        description: "More chains to sign in with than to pay with",
        mime_type: "",
        networks: &[SEPOLIA],
        sign_in: Some(Invitation {
            chains: &["eip155:1", "eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"],
            statement: "Sign in",
            expiration_secs: None,
        }),
        ..WEATHER
    },
    Route {
        path: "/premium/upfront",
        description: "Settles first",
        networks: &[SEPOLIA],
        flow: PaymentFlow::Upfront,
        sign_in: EVM_ONLY,
        ..WEATHER
    },
    Route { path: "/premium/plain", description: "No sign-in", networks: &[SEPOLIA], sign_in: None, ..WEATHER },
    Route {
        path: "/profile",
        description: "Sign in only",
        mime_type: "",
        networks: &[],
        sign_in: Some(Invitation {
            chains: &[SEPOLIA, DEVNET],
            statement: "Sign in to see your profile",
            expiration_secs: None,
        }),
        ..WEATHER
    },
];

fn vectors(file: &str, count: usize) -> Value {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let vectors: Value = serde_json::from_str(&fs::read_to_string(path).expect(file)).expect(file);
    assert_eq!(vectors["cases"].as_array().map(Vec::len), Some(count), "{file}");
    vectors
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).expect(pointer)
}

/// The pairs of a case's name and what is wrong with it.
#[expect(clippy::print_stdout, reason = "the count belongs into the log of a test run")]
fn conclude(file: &str, count: usize, failures: &[String]) {
    println!("{file}: {} of {count}", count - failures.len());
    assert!(failures.is_empty(), "{file}:\n{}", failures.join("\n"));
}

fn terms(network: &str, pay_to: &str, flow: PaymentFlow, fee_payer: &str) -> Terms {
    let network = ChainId::parse(network).expect(network);
    let asset = Asset::known("usdc", &network).expect("a known token");
    let accept = Accept { network, pay_to: pay_to.to_owned(), asset, scheme: Scheme::Exact, timeout_secs: 60 };
    let price = Price::parse("$0.01").expect("a price");
    let supported = Map::from_iter([("feePayer".to_owned(), json!(fee_payer))]);
    Offer::new(accept, price, flow, None).expect("an offer").terms(Some(&supported)).expect("terms")
}

/// The challenge for a target, built from the configuration of its route; the nonce is the vector's.
fn challenge(vectors: &Value, target: &str, nonce: &str) -> String {
    let path = target.split('?').next().expect("a path");
    let route = ROUTES.iter().find(|route| route.path == path).expect(path);
    let accepts: Vec<Terms> = route
        .networks
        .iter()
        .map(|network| {
            terms(network, vectors["payTo"][network].as_str().expect("payTo"), route.flow, text(vectors, "/feePayer"))
        })
        .collect();
    let now = UnixTime::parse_rfc3339(text(vectors, "/now")).expect("a time");
    let invited = route.sign_in.as_ref();
    let chains: Vec<ChainId> =
        invited.iter().flat_map(|of| of.chains).map(|chain| ChainId::parse(chain).expect(chain)).collect();
    let challenge = Challenge {
        origin: &Origin::parse(text(vectors, "/origin")).expect("an origin"),
        target,
        error: "Payment required",
        description: route.description,
        mime_type: route.mime_type,
        accepts: &accepts,
        sign_in: invited.map(|of| SignIn {
            nonce,
            issued_at: now,
            expires_at: of.expiration_secs.map(|secs| now.plus_millis(secs * 1000)),
            statement: of.statement,
            chains: &chains,
        }),
    };
    let header = challenge.payment_required().header();
    String::from_utf8(wire::decode_header(header.as_bytes()).expect("base64")).expect("UTF-8")
}

#[test]
fn challenges() {
    let (file, count) = ("x402-challenges.json", 9);
    let vectors = vectors(file, count);
    let mut failures = Vec::new();
    for case in vectors["cases"].as_array().expect("cases") {
        let expected = &case["response"]["decoded"]["payment-required"];
        let nonce = expected["extensions"]["sign-in-with-x"]["info"]["nonce"].as_str().unwrap_or_default();
        let found = challenge(&vectors, text(case, "/request/path"), nonce);
        // As texts: the order of the members is the same too.
        let expected = expected.to_string();
        if found != expected {
            failures.push(format!("{}\n  expected {expected}\n  found    {found}", case["name"]));
        }
    }
    conclude(file, count, &failures);
}

/// The terms and extensions that the server of the payment vectors offers, built here; equal to the vectors' own.
fn offered(vectors: &Value) -> (Vec<Terms>, Map<String, Value>) {
    let advertised = &vectors["paymentRequired"];
    let accepts = [0, 1].map(|index| {
        let entry = &advertised["accepts"][index];
        let fee_payer = entry["extra"]["feePayer"].as_str().unwrap_or_default();
        let terms = terms(text(entry, "/network"), text(entry, "/payTo"), PaymentFlow::Authorization, fee_payer);
        assert_eq!(terms.json(), entry.to_string());
        terms
    });
    (accepts.to_vec(), advertised["extensions"].as_object().expect("extensions").clone())
}

/// The verdict on a payment in the form of the vectors.
fn verdict(payment: &Payment, accepts: &[Terms], extensions: &Map<String, Value>) -> Value {
    let matched = match_terms(accepts, payment.accepted());
    let echo = match check_echo(extensions, payment.extensions()) {
        Ok(()) => json!({"valid": true}),
        Err(error) => {
            json!({"valid": false, "invalidReason": "extension_echo_mismatch", "extensionKey": error.extension})
        }
    };
    json!({"requirements": if matched.is_some() { "match" } else { "no match" }, "extensions": echo})
}

#[test]
fn payments() {
    let (file, count) = ("x402-payments.json", 26);
    let vectors = vectors(file, count);
    let (accepts, extensions) = offered(&vectors);
    let mut failures = Vec::new();
    let mut refused = Vec::new();
    for case in vectors["cases"].as_array().expect("cases") {
        let payment = match Payment::read(text(case, "/header").as_bytes()) {
            Ok(payment) => payment,
            Err(error) => {
                refused.push((text(case, "/name"), error));
                continue;
            }
        };
        let found = verdict(&payment, &accepts, &extensions);
        let kept: Value = serde_json::from_str(payment.json()).expect("JSON");
        if found != case["expect"] || kept != case["payload"] {
            failures.push(format!("{}\n  expected {}\n  found    {found}", case["name"], case["expect"]));
        }
    }
    // The protocol's own server still matches version 1; the note in the vectors says that this one refuses it.
    let expected = [("x402Version 1", "1"), ("x402Version 3", "3")];
    assert_eq!(refused, expected.map(|(name, found)| (name, PaymentError::Version(found.to_owned()))));
    assert_eq!(refused[1].1.challenge_error(), "Unsupported x402 version: 3");
    conclude(file, count, &failures);
}

#[test]
fn the_payments_of_real_clients_are_named() {
    let vectors = vectors("x402-payments.json", 26);
    let (accepts, _) = offered(&vectors);
    let now = UnixTime::parse_rfc3339(text(&vectors, "/now")).expect("a time");
    let found = ["/cases/0", "/cases/1"].map(|case| {
        let payment = Payment::read(text(&vectors, &format!("{case}/header")).as_bytes()).expect("a payment");
        let index = match_terms(&accepts, payment.accepted()).expect("a match");
        let authorization = payment.authorization(&accepts[index]).expect("an authorization");
        let payers: Vec<_> = authorization.payers().iter().map(ToString::to_string).collect();
        (index, authorization.id().to_string(), payers, authorization.remember_until(now))
    });
    // The ids were computed with Python's hashlib from the decoded headers.
    let evm = (
        0,
        "f9021c9de6ee88b888de7bf970f5cde21ae0ad12c6709d7cd75647179757d3b4".to_owned(),
        vec!["eip155:0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a".to_owned()],
        Some(now.plus_millis(600_000)),
    );
    let solana = (
        1,
        "52708f5781c237b32f141866a46c1cfda224cb99a2499344444e05395b8aba46".to_owned(),
        vec!["solana:AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene".to_owned()],
        Some(now.plus_millis(600_000)),
    );
    assert_eq!(found, [evm, solana]);
}

/// A mistyped token would send money nowhere: the letter case of EVM addresses is a checksum, and is right.
#[test]
fn known_tokens_are_addresses_of_their_networks() {
    for network in Asset::networks_of("usdc") {
        let chain = ChainId::parse(network).expect(network);
        let asset = Asset::known("usdc", &chain).expect(network);
        let named = Named::parse(&format!("{network}:{}", asset.address)).expect(network);
        assert_eq!(spelled(&named.key), format!("{}:{}", chain.namespace(), asset.address));
    }
}

#[test]
fn facilitator_requests() {
    let vectors = vectors("x402-payments.json", 26);
    let (accepts, _) = offered(&vectors);
    let payment = Payment::read(text(&vectors, "/cases/0/header").as_bytes()).expect("a payment");
    let body = facilitator_request(payment.json(), &accepts[0].json());
    let calls = vectors["facilitatorRequest"]["calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 2);
    for call in calls {
        assert_eq!(body, call["body"].to_string(), "{}", call["op"]);
    }
}

/// A payment that was cut, or of which one byte is another, is refused, or it is known by what it authorises.
#[test]
fn damaged_payments_do_no_harm() {
    let vectors = vectors("x402-payments.json", 26);
    let (accepts, extensions) = offered(&vectors);
    for (case, terms) in ["/cases/0", "/cases/1"].into_iter().zip(&accepts) {
        let header = text(&vectors, &format!("{case}/header"));
        for length in 0..header.len() {
            // The last characters are the padding and the brace before it.
            let cut = Payment::read(&header.as_bytes()[..length]);
            assert!(cut.is_err() || header[length..].bytes().all(|b| b == b'='), "{length}");
        }
        let json = wire::decode_header(header.as_bytes()).expect("base64");
        let whole = &vectors.pointer(case).expect(case)["payload"]["payload"];
        let id = Payment::read(header.as_bytes()).and_then(|payment| payment.authorization(terms)).map(|it| it.id());
        let mut known = 0;
        for index in 0..json.len() {
            let mut damaged = json.clone();
            damaged[index] = if index % 2 == 0 { b'0' } else { b'"' };
            let Ok(payment) = Payment::read(wire::encode_header(&String::from_utf8_lossy(&damaged)).as_bytes()) else {
                continue;
            };
            verdict(&payment, &accepts, &extensions);
            let read: Value = serde_json::from_str(payment.json()).expect("JSON");
            let found = payment.authorization(terms).map(|it| it.id());
            if authorised(&read["payload"]) == authorised(whole) {
                assert_eq!(found, id, "{case} {index}");
                known += 1;
            }
        }
        assert!(known > 500, "only {known} damaged payments of {case} were known");
    }
}

/// What two payments with one name have in common.
fn authorised(payload: &Value) -> [Option<&Value>; 5] {
    ["/authorization/from", "/authorization/nonce", "/authorization/validBefore", "/transaction", "/authorization"]
        .map(|pointer| payload.pointer(pointer).filter(|value| !value.is_object()))
}
