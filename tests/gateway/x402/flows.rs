//! Every case of `tests/vectors/x402-flows.json`: one paid request each, with the facilitator's answers as they are
//! written there. The bodies of refusals are the reference's own and are not compared.

use data_encoding::BASE64;
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};

use crate::{
    facilitator::Act,
    harness::{
        Request, Shop, Till, Upstream, Wallet,
        shop::{DEVNET, SEPOLIA},
    },
};

const ROUTES: &str = r#"
[[route]]
name = "weather"
path = "/premium/weather"
upstream = "api"
auth = "payment"
price = "$0.01"
description = "Weather"
mime_type = "application/json"
[[route]]
name = "fail"
path = "/premium/fail"
upstream = "api"
auth = "payment"
price = "$0.01"
[[route]]
name = "upfront"
path = "/premium/upfront"
upstream = "api"
auth = "payment"
price = "$0.01"
settle = "before"
[[route]]
name = "dear"
path = "/premium/dear"
upstream = "api"
auth = "payment"
price = "$0.01"
"#;

/// What the clients of the vectors return as statement, which a server compares.
const STATEMENT: &str = "Sign in to use the paid API";

/// The wallet that pays in the vectors.
fn payer() -> Wallet {
    Wallet::Evm(Box::new(SigningKey::from_slice(&[0x11; 32]).expect("a scalar")))
}

pub(super) fn vectors(file: &str) -> Value {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).expect("the vectors")).expect("JSON")
}

/// A service that answers as the handlers of the vectors do.
fn upstream() -> Upstream {
    Upstream::answering(|seen| {
        let (status, body) = match seen.target.as_str() {
            "/premium/fail" => (500, json!({"error": "upstream failed"})),
            path => (200, json!({"ok": true, "path": path})),
        };
        let body = body.to_string();
        let length = body.len();
        format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
            .into()
    })
}

/// A challenge without what differs from one to the next. `statement` is in the vectors before a payment and not after.
pub(super) fn comparable(mut challenge: Value, statement: bool) -> Value {
    if let Some(info) = challenge.pointer_mut("/extensions/sign-in-with-x/info").and_then(Value::as_object_mut) {
        for member in ["nonce", "issuedAt", "expirationTime"] {
            info.shift_remove(member);
        }
        if !statement {
            info.shift_remove("statement");
        }
    }
    challenge
}

/// What a case came to, in the words of the vectors.
fn outcome(vectors: &Value, case: &Value) -> Result<(), String> {
    let text = |pointer: &str| case.pointer(pointer).and_then(Value::as_str).expect(pointer);
    let path = text("/request/path");
    let statement = if path == "/premium/weather" { STATEMENT } else { "" };
    let till = Till::default().on(&[SEPOLIA, DEVNET]).hurrying().keys(&format!("statement = \"{statement}\"\n"));
    let shop = Shop::before(upstream(), ROUTES, &till);
    shop.gateway.set_time(vectors["now"].as_str().expect("a time"));
    let offered = shop.offering(path, 2);
    for operation in ["verify", "settle"] {
        for act in Act::of_vector(&case["facilitator"][operation]) {
            shop.facilitator.on(&format!("/{operation}"), act);
        }
    }

    let header = text("/request/headers/payment-signature");
    let request = Request::new(text("/request/method"), path).header("payment-signature", header);
    let answer = shop.gateway.send(&request);
    let expect = &case["expect"];
    let mut faults = Vec::new();
    let mut hold = |what: &str, expected: Value, found: Value| {
        if expected != found {
            faults.push(format!("{what}: expected {expected}, found {found}"));
        }
    };

    let silent = ["verify", "settle"].iter().any(|operation| case["facilitator"][operation] == "hang");
    match (case["gateway"]["status"].as_array(), silent) {
        (Some(statuses), _) => hold("status", json!(true), json!(statuses.contains(&json!(answer.status)))),
        // The reference has one status for a facilitator that fails and one that is silent; decision 20 has two.
        (None, true) => hold("status", json!([502, 504]), json!([expect["status"], answer.status])),
        (None, false) => hold("status", expect["status"].clone(), json!(answer.status)),
    }
    let same_status = expect["status"] == answer.status;
    for name in ["payment-required", "payment-response"] {
        let mut expected = expect["decoded"].get(name).cloned().unwrap_or_default();
        if !same_status {
            // What the reference says where this gateway says another thing.
            expected = Value::Null;
        }
        let mut found = answer.decoded(name).unwrap_or_default();
        if name == "payment-required" {
            let said = expected.pointer("/extensions/sign-in-with-x/info/statement").is_some();
            (expected, found) = (comparable(expected, true), comparable(found, said));
        }
        hold(name, expected, found);
    }
    if same_status {
        // The reference leaves the answers out that it neither sold nor made; here they are the payer's alone, too.
        let left_out = if answer.status == 502 { "no-store" } else { "private" };
        let caching = expect["headers"].get("cache-control").cloned().unwrap_or_else(|| json!(left_out));
        hold("cache-control", caching, json!(answer.one("cache-control")));
        if matches!(answer.status, 200 | 500) {
            hold("body", expect["body"].clone(), json!(String::from_utf8_lossy(&answer.body)));
        }
    }
    hold("facilitator", expect["facilitatorCalls"].clone(), json!(shop.calls()));
    hold("upstream", expect["handlerCalls"].clone(), json!(shop.upstream.take().len()));
    for body in shop.bodies() {
        let sent: Value = serde_json::from_slice(&BASE64.decode(header.as_bytes()).expect("base64")).expect("JSON");
        let asked = json!({"x402Version": 2, "paymentPayload": sent, "paymentRequirements": offered["accepts"][0]});
        hold("question", asked, body);
    }

    // What was bought is filed under the route that served it, and under no other that the client names.
    let bought = answer.status == 200;
    hold("sign-in", json!(if bought { 200 } else { 402 }), json!(shop.sign_in(path, &payer()).status));
    hold("sign-in elsewhere", json!(402), json!(shop.sign_in("/premium/dear", &payer()).status));
    if faults.is_empty() { Ok(()) } else { Err(format!("{}\n  {}", case["name"], faults.join("\n  "))) }
}

#[test]
#[expect(clippy::print_stdout, reason = "the count belongs into the log of a test run")]
fn flows() {
    let vectors = vectors("x402-flows.json");
    let cases = vectors["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 33);
    let failures: Vec<String> = cases.iter().filter_map(|case| outcome(&vectors, case).err()).collect();
    println!("x402-flows.json: {} of 33", 33 - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
