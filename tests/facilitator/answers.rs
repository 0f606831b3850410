//! What answers, and their absence, mean for a payment.

use std::{net::TcpListener, sync::Arc};

use serde_json::{Value, json};
use siwx_gateway::{
    facilitator::{Header, HeaderSource, Piece, Refusal, Settlement, Verification},
    outbound::Endpoint,
};

use crate::{
    ALICE, BASE, BOB, Bench, question,
    server::{Act, Server},
    settings, settled,
};

/// What came of it, in one line.
fn verified(result: Result<Verification, siwx_gateway::facilitator::FacilitatorError>) -> String {
    match result {
        Ok(Verification::Valid { payer }) => format!("valid {}", payer.unwrap_or_default()),
        Ok(Verification::Invalid(refusal)) => format!("invalid {}", refusal.text()),
        Err(error) => {
            assert!(!error.outcome_unknown(), "verify moves nothing");
            assert!(!error.to_string().contains("s3cret"), "{error}");
            error.as_str().to_owned()
        }
    }
}

fn concluded(result: Result<Settlement, siwx_gateway::facilitator::FacilitatorError>) -> String {
    match result {
        Ok(Settlement::Settled { payer, transaction, .. }) => {
            format!("settled {transaction} {}", payer.unwrap_or_default())
        }
        Ok(Settlement::Refused(refusal, _)) => format!("refused {}", refusal.text()),
        Ok(Settlement::Pending(response)) => format!("pending {}", response.transaction()),
        Err(error) => {
            assert!(!error.to_string().contains("s3cret"), "{error}");
            format!("{}{}", error.as_str(), if error.outcome_unknown() { ", unknown" } else { "" })
        }
    }
}

fn pending(transaction: &str) -> Value {
    json!({"success": false, "errorReason": "settlement_pending", "transaction": transaction, "network": BASE})
}

fn large() -> Act {
    Act::text(200, "application/json", &format!("{{\"x\":\"{}\"}}", "y".repeat(5_000_000)))
}

#[tokio::test]
async fn answers_to_verify() {
    let valid = json!({"isValid": true, "payer": ALICE});
    let nulls = json!({"isValid": true, "payer": null, "invalidReason": null, "extensions": null});
    let refused = json!({"isValid": false, "invalidReason": "insufficient_funds", "invalidMessage": "balance too low"});
    let alice = format!("valid {ALICE}");
    let elsewhere = Server::start([Act::json(200, &valid)]);
    let location = elsewhere.url();
    let rows = [
        ("valid", Act::json(200, &valid), &*alice, "ok"),
        ("null members", Act::json(200, &nulls), "valid ", "ok"),
        ("refused", Act::json(200, &refused), "invalid insufficient_funds: balance too low", "refused"),
        ("refused as 400", Act::json(400, &refused), "invalid insufficient_funds: balance too low", "refused"),
        ("refused as 503", Act::json(503, &refused), "invalid insufficient_funds: balance too low", "refused"),
        ("as plain text", Act::text(200, "text/plain", &valid.to_string()), &*alice, "ok"),
        ("another payer", Act::json(200, &json!({"isValid": true, "payer": BOB})), "nonsense", "error"),
        ("wrong shape", Act::json(200, &json!({"ok": 1})), "nonsense", "error"),
        ("500", Act::json(500, &json!({"error": "boom"})), "nonsense", "error"),
        ("401", Act::text(401, "text/plain", ""), "nonsense", "error"),
        ("HTML", Act::text(502, "text/html", "<html>"), "nonsense", "error"),
        ("HTML as 200", Act::text(200, "text/html", "<html>"), "nonsense", "error"),
        ("nothing", Act::text(204, "text/plain", ""), "nonsense", "error"),
        ("a redirect", Act::with(307, &[("location", &location)], ""), "nonsense", "error"),
        ("5 MB", large(), "nonsense", "error"),
        ("closed", Act::Close, "unreachable", "error"),
        ("silence", Act::Hang, "timeout", "timeout"),
        ("drip", Act::Drip(b"HTTP/1.1 200 OK\r\n\r\n{\"isValid\":true}".to_vec(), 50), "timeout", "timeout"),
    ];
    for (name, act, expected, result) in rows {
        let server = Server::start([act]);
        let bench = if result == "timeout" { Bench::hurrying(&server) } else { Bench::asking(&server) };
        assert_eq!(verified(bench.one().verify(&question()).await), expected, "{name}");
        assert_eq!(server.lines(), ["POST /base/verify"], "{name}");
        assert_eq!(bench.counted(&format!("operation=\"verify\",result=\"{result}\"")), 1, "{name}");
        assert_eq!((bench.timed("verify"), bench.timed("settle")), (1, 0), "{name}");
    }
    assert_eq!(elsewhere.connections(), 0, "nobody follows a redirect");
}

#[tokio::test]
async fn answers_to_settle() {
    let refused = json!({"success": false, "errorReason": "insufficient_funds", "transaction": "", "network": BASE});
    let with = |member: &str, value: &str| {
        let mut changed = settled();
        changed[member] = value.into();
        Act::json(200, &changed)
    };
    let done = format!("settled 0xcd {ALICE}");
    let elsewhere = Server::start([Act::json(200, &settled())]);
    let rows: Vec<(_, Vec<Act>, &str, &[&str])> = vec![
        ("settled", vec![Act::json(200, &settled())], &done, &["ok"]),
        ("refused", vec![Act::json(200, &refused)], "refused insufficient_funds", &["refused"]),
        ("refused as 400", vec![Act::json(400, &refused)], "refused insufficient_funds", &["refused"]),
        ("refused as 500", vec![Act::json(500, &refused)], "refused insufficient_funds", &["refused"]),
        (
            "pending, then done",
            vec![Act::json(200, &pending("0xcd")), Act::json(200, &settled())],
            &done,
            &["pending", "ok"],
        ),
        (
            "pending as 409",
            vec![Act::json(409, &pending("0xcd")), Act::json(200, &settled())],
            &done,
            &["pending", "ok"],
        ),
        (
            "pending twice",
            vec![Act::json(200, &pending("0xcd")), Act::json(200, &pending("0xce")), Act::json(200, &settled())],
            "pending 0xce",
            &["pending", "pending"],
        ),
        (
            "pending, then refused",
            vec![Act::json(200, &pending("0xcd")), Act::json(200, &refused)],
            "pending ",
            &["pending", "refused"],
        ),
        (
            "pending, then closed",
            vec![Act::json(200, &pending("0xcd")), Act::Close],
            "unreachable, unknown",
            &["pending", "error"],
        ),
        (
            "pending, then silence",
            vec![Act::json(200, &pending("0xcd")), Act::Hang],
            "timeout, unknown",
            &["pending", "timeout"],
        ),
        (
            "pending without a transaction",
            vec![Act::json(200, &pending("")), Act::json(200, &settled())],
            "pending ",
            &["pending"],
        ),
        ("another payer", vec![with("payer", BOB)], "nonsense, unknown", &["error"]),
        ("another network", vec![with("network", "eip155:8453")], "nonsense, unknown", &["error"]),
        ("wrong shape", vec![Act::json(200, &json!({"ok": 1}))], "nonsense, unknown", &["error"]),
        ("500", vec![Act::json(500, &json!({"error": "boom"}))], "nonsense, unknown", &["error"]),
        ("HTML", vec![Act::text(502, "text/html", "<html>")], "nonsense, unknown", &["error"]),
        ("a redirect", vec![Act::with(308, &[("location", &elsewhere.url())], "")], "nonsense, unknown", &["error"]),
        ("5 MB", vec![large()], "nonsense, unknown", &["error"]),
        ("no HTTP", vec![Act::AnswerAndClose(b"220 mail ready\r\n".to_vec())], "nonsense, unknown", &["error"]),
        ("closed", vec![Act::Close], "unreachable, unknown", &["error"]),
        (
            "half an answer",
            vec![Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"suc".to_vec())],
            "unreachable, unknown",
            &["error"],
        ),
        ("silence", vec![Act::Hang], "timeout, unknown", &["timeout"]),
    ];
    for (name, script, expected, results) in rows {
        let server = Server::start(script);
        let bench = if results.contains(&"timeout") { Bench::hurrying(&server) } else { Bench::asking(&server) };
        let facilitator = Arc::clone(bench.one());
        // In a task, as settlements are.
        let task = tokio::spawn(async move { facilitator.settle(&question(), Some(ALICE)).await });
        assert_eq!(concluded(task.await.expect("no panic")), expected, "{name}");
        let seen = server.seen();
        assert_eq!(seen.len(), results.len(), "{name}");
        assert_eq!(bench.timed("settle"), results.len() as u64, "{name}");
        for (seen, result) in seen.iter().zip(results) {
            assert_eq!(seen.line, "POST /base/settle", "{name}");
            assert_eq!(&seen.body[..], &question().body()[..], "{name}: the same bytes");
            let same = results.iter().filter(|other| *other == result).count() as u64;
            assert_eq!(bench.counted(&format!("operation=\"settle\",result=\"{result}\"")), same, "{name}");
        }
    }
    assert_eq!(elsewhere.connections(), 0, "nobody follows a redirect");
}

#[tokio::test]
async fn what_was_never_sent_moved_nothing() {
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let server = Server::start([]);
    let mut nowhere = settings("main", &server);
    nowhere.url = Endpoint::parse(&format!("http://{address}")).expect("a URL");
    let bench = Bench::of(vec![nowhere]);
    assert_eq!(verified(bench.one().verify(&question()).await), "unreachable");
    assert_eq!(concluded(bench.one().settle(&question(), None).await), "unreachable");
}

#[tokio::test]
async fn settle_must_name_whom_verify_named() {
    let solana = siwx_gateway::facilitator::Question::new(
        &json!({"payload": {"transaction": "AQ=="}}),
        &json!({"network": "solana:abc"}),
    );
    let answer = |payer: &str| {
        Act::json(200, &json!({"success": true, "transaction": "5", "network": "solana:abc", "payer": payer}))
    };
    for (named, expected) in [("aB", "settled 5 aB"), ("ab", "nonsense, unknown")] {
        let server = Server::start([answer(named)]);
        let outcome = Bench::asking(&server).one().settle(&solana, Some("aB")).await;
        assert_eq!(concluded(outcome), expected, "{named}");
    }
}

#[tokio::test]
async fn requests_as_they_are_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "one\n").expect("a file");
    let valid = json!({"isValid": true});
    let server = Server::start([Act::json(200, &valid), Act::json(200, &valid), Act::json(200, &settled())]);
    let mut from_file = settings("main", &server);
    let pieces = vec![Piece::Text(siwx_gateway::secret::Secret::new("Bearer ".to_owned())), Piece::File(path.clone())];
    from_file.headers = vec![Header::new("Authorization", HeaderSource::new(pieces)).expect("a header")];
    let bench = Bench::of(vec![from_file]);
    bench.one().verify(&question()).await.expect("an answer");
    std::fs::write(&path, "two\n").expect("a file");
    bench.one().verify(&question()).await.expect("an answer");
    bench.one().settle(&question(), None).await.expect("an answer");

    let seen = server.seen();
    let tokens: Vec<_> = seen.iter().filter_map(|seen| seen.header("authorization")).collect();
    assert_eq!(tokens, ["Bearer one", "Bearer two", "Bearer two"], "a file is read again when it changes");
    assert_eq!(server.connections(), 1, "connections are kept");
    for seen in &seen {
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert_eq!(
            serde_json::from_slice::<Value>(&seen.body).expect("JSON"),
            json!({
                "x402Version": 2,
                "paymentPayload": {"x402Version": 2, "payload": {"authorization": {"from": ALICE}, "signature": "0x12ae"}},
                "paymentRequirements": {"scheme": "exact", "network": BASE, "amount": "10000"},
            }),
        );
    }
}

#[tokio::test]
async fn what_a_client_is_told() {
    let mut answer = settled();
    answer["internal"] = json!("of the facilitator");
    answer["errorReason"] = Value::Null;
    let server = Server::start([Act::with(200, &[("extension-responses", "e30=")], &answer.to_string())]);
    match Bench::asking(&server).one().settle(&question(), None).await {
        Ok(Settlement::Settled { response, .. }) => assert_eq!(*response.as_json(), settled()),
        other => panic!("{other:?}"),
    }
    let long = json!({"isValid": false, "invalidReason": format!("a\u{7}{}", "é".repeat(300))});
    let server = Server::start([Act::json(200, &long)]);
    let expected = Refusal { reason: format!("a{}", "é".repeat(199)), message: None };
    let told = Bench::asking(&server).one().verify(&question()).await.expect("an answer");
    assert_eq!(told, Verification::Invalid(expected));
}
