//! The facilitator's side of `x402-flows.json` and the bodies of `x402-payments.json`.

use data_encoding::BASE64;
use serde_json::{Value, json};
use siwx_gateway::facilitator::{Question, Settlement, Verification};

use crate::{
    Bench,
    server::{Act, Server},
};

/// A header, read as far as a gateway would ask a facilitator about it.
fn decoded(header: &str) -> Option<Value> {
    let bytes = BASE64.decode(header.as_bytes()).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

fn vectors(file: &str) -> Value {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).expect("the vectors")).expect("JSON")
}

fn bench(server: &Server, acts: &Value) -> Bench {
    if acts == "hang" { Bench::hurrying(server) } else { Bench::asking(server) }
}

#[tokio::test]
async fn flows() {
    let vectors = vectors("x402-flows.json");
    let cases = vectors["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 33);
    let (mut verified, mut settled) = (0, 0);
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let calls: Vec<_> = case["expect"]["facilitatorCalls"].as_array().expect("calls").iter().collect();
        let header = case["request"]["headers"]["payment-signature"].as_str().and_then(decoded);
        let (Some(payload), false) = (header, calls.is_empty()) else {
            continue;
        };
        let question = Question::new(&payload, &payload["accepted"]);
        let statuses = case["gateway"]["status"].as_array();
        let status = case["expect"]["status"].as_u64().expect("a status");
        let is = |expected: u64| match statuses {
            Some(statuses) => statuses.contains(&expected.into()),
            None => status == expected,
        };
        let mut payer = None;
        if calls.contains(&&json!("verify")) {
            verified += 1;
            let server = Server::start(Act::of_vector(&case["facilitator"]["verify"]));
            match bench(&server, &case["facilitator"]["verify"]).one().verify(&question).await {
                Ok(Verification::Valid { payer: named }) => payer = named,
                Ok(Verification::Invalid(refusal)) => {
                    assert!(is(402), "{name}");
                    let told = &case["expect"]["decoded"]["payment-required"]["error"];
                    assert_eq!(*told, json!(refusal.text()), "{name}");
                    continue;
                }
                Err(error) => {
                    assert!(is(502), "{name}: {error}");
                    continue;
                }
            }
        }
        let asked = calls.iter().filter(|call| ***call == "settle").count();
        if asked == 0 {
            assert_eq!(name, "handler answers 500: no settlement");
            continue;
        }
        settled += 1;
        let server = Server::start(Act::of_vector(&case["facilitator"]["settle"]));
        let outcome = bench(&server, &case["facilitator"]["settle"]).one().settle(&question, payer.as_deref()).await;
        let told = &case["expect"]["decoded"]["payment-response"];
        match outcome {
            Ok(Settlement::Settled { response, .. }) => {
                assert!(is(200), "{name}");
                assert_eq!(response.as_json(), told, "{name}");
            }
            Ok(Settlement::Refused(_, response) | Settlement::Pending(response)) => {
                assert!(is(402), "{name}");
                assert_eq!(response.as_json(), told, "{name}");
            }
            Err(error) => {
                assert!(is(502), "{name}: {error}");
                assert!(error.outcome_unknown(), "{name}");
            }
        }
        assert_eq!(server.seen().len(), asked, "{name}");
    }
    assert_eq!((verified, settled), (25, 18));
}

#[test]
fn bodies() {
    let vectors = vectors("x402-payments.json");
    let calls = vectors["facilitatorRequest"]["calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 2);
    for call in calls {
        let body = &call["body"];
        let question = Question::new(&body["paymentPayload"], &body["paymentRequirements"]);
        assert_eq!(serde_json::from_slice::<Value>(question.body()).expect("JSON"), *body, "{}", call["op"]);
    }
}
