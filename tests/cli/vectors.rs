//! Vector files by way of the binary. All of them are run against the library elsewhere; here it is a few of each
//! kind, and every token, because they show that a command asks the library the right question.

use std::path::Path;

use data_encoding::BASE64;
use serde_json::Value;

use crate::harness::{Desk, small_configuration};

/// Cases of a file of messages or signatures that are run.
const FEW: usize = 8;

pub(crate) fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    let text = std::fs::read_to_string(path).expect(file);
    let json: Value = serde_json::from_str(&text).expect(file);
    json["cases"].as_array().expect("a list of cases").clone()
}

fn text_of(case: &Value) -> Vec<u8> {
    match case["message_base64"].as_str() {
        Some(encoded) => BASE64.decode(encoded.as_bytes()).expect("base64"),
        None => case["message"].as_str().expect("a text").as_bytes().to_vec(),
    }
}

#[test]
fn messages_are_told_in_the_shape_of_the_vectors() {
    let desk = Desk::new();
    for file in ["message-eip4361.json", "message-siws.json", "message-hardening.json"] {
        let all = cases(file);
        let plain = || all.iter().filter(|case| case["kind"] == "parse" && case["config"].is_null());
        let some = |ok: bool| plain().filter(move |case| case["expect"]["ok"] == ok).take(FEW / 2);
        for case in some(true).chain(some(false)) {
            let ran = desk.run_with(&["message", "inspect"], &text_of(case));
            let verdict: Value = serde_json::from_str(&ran.out).expect("JSON");
            let code = if case["expect"]["ok"] == true { 0 } else { 1 };
            assert_eq!((ran.code, verdict.to_string()), (code, case["expect"].to_string()), "{}", case["name"]);
        }
    }
}

#[test]
fn signatures_are_judged_by_all_schemes() {
    let desk = Desk::new();
    let files = [
        ("signatures-eip191.json", "eip191"),
        ("signatures-solana.json", "ed25519"),
        ("signatures-solana-offchain.json", "solana-offchain"),
        ("signatures-solana-memo.json", "solana-memo"),
        ("signatures-bip137.json", "bip137"),
        ("signatures-bip322.json", "bip322"),
    ];
    for (file, scheme) in files {
        let all = cases(file);
        let some = |expect: &'static str| all.iter().filter(move |case| case["expect"] == expect).take(FEW / 2);
        for case in some("accept").chain(some("reject")) {
            let text = |member: &str| case[member].as_str().map(str::to_owned);
            let chain = text("chain_id").unwrap_or_else(|| "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".to_owned());
            let signature = text("signature").or_else(|| Some(format!("tx:{}", text("transaction_base64")?)));
            let (address, signature) = (text("address").expect("an address"), signature.expect("a signature"));
            let arguments =
                ["signature", "verify", "--chain", &chain, "--account", &address, "--signature", &signature];
            let ran = desk.run_with(&arguments, &text_of(case));
            let verdict: Value = serde_json::from_str(&ran.out).expect("JSON");
            let accepted = case["expect"] == "accept";
            let (code, word) = if accepted { (0, "valid") } else { (1, "invalid") };
            assert_eq!((ran.code, &verdict["verdict"]), (code, &Value::from(word)), "{file} {}", case["id"]);
            assert_eq!(verdict["scheme"], if accepted { Value::from(scheme) } else { Value::Null }, "{}", case["id"]);
            assert_eq!(verdict["reason"].is_string(), !accepted, "{}", case["id"]);
        }
    }
}

#[test]
fn every_token_gets_the_decision_of_a_server() {
    let desk = Desk::new();
    let text = small_configuration(":memory:").replace("http://gateway.test", "https://api.example.com");
    desk.write("g.toml", &text.replace("auth = \"subscription\"", "auth = \"wallet\""));
    let cases = cases("x402-authorization-tokens.json");
    assert_eq!(cases.len(), 43);
    for case in &cases {
        let (now, token) = (case["now"].as_str().expect("a time"), case["authorization"].as_str().expect("a token"));
        let arguments =
            ["token", "verify", "-c", "g.toml", "--method", "GET", "--url", "/", "--json", "--now", now, token];
        let ran = desk.run(&arguments);
        let verdict: Value = serde_json::from_str(&ran.out).expect(&ran.err);
        let expect = &case["expect"];
        let found = (ran.code, verdict["decision"].as_str(), verdict["reason"].as_str());
        let expected = match expect["verdict"].as_str() {
            Some("accept") => (0, Some("allow"), Some("ok")),
            // Left to the gateway: a life longer than `lifetime_max`.
            Some("either") => (1, Some("deny"), Some("lifetime_too_long")),
            _ => (1, Some("deny"), expect["error"].as_str()),
        };
        assert_eq!(found, expected, "{}: {verdict}", case["name"]);
    }
}
