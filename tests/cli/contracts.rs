//! `signature verify` and `token verify` of a contract's signature: what the configured node says is the verdict.

use serde_json::{Value, json};

use crate::{
    harness::{Desk, Ran, small_configuration},
    node::{KEY, NO, Node, YES},
    server::Act,
    vectors::cases,
};

/// A signature that the account's key did not make, and what a node says of it.
fn verify(configuration: Option<&str>, chain: &str) -> Ran {
    let desk = Desk::new();
    let all = cases("signatures-evm-contract.json");
    let case = all.iter().find(|case| case["id"] == "wallet-1271").expect("the case");
    let text = |member: &str| case[member].as_str().expect("a text");
    let (account, signature) = (text("address"), text("signature"));
    let mut arguments = vec!["signature", "verify", "--chain", chain, "--account", account, "--signature", signature];
    if let Some(configuration) = configuration {
        desk.write("g.toml", configuration);
        arguments.extend(["-c", "g.toml"]);
    }
    let ran = desk.run_with(&arguments, text("message").as_bytes());
    assert!(!ran.err.contains(KEY), "{}", ran.err);
    ran
}

/// A configuration with a node of Ethereum.
fn configuration(node: &Node, schemes: &str) -> String {
    let (url, table) = (node.url(), "[upstreams.api]");
    let chains = format!("[chains.eip155]\nschemes = {schemes}\nrpc = {{ \"eip155:1\" = [\"{url}\"] }}\n{table}");
    let text = small_configuration(":memory:");
    assert!(text.contains(table), "{text}");
    text.replacen(table, &chains, 1)
}

#[test]
fn the_contract_is_asked_at_the_configured_node() {
    const BOTH: &str = "[\"eip191\", \"eip1271\"]";
    let (yes, no) = (|| Node::saying(YES), || Node::saying(NO));
    let unwell = || Node::new(|_| Act::text(500, "text/plain", "not well"));
    let rows = [
        ("yes", yes(), BOTH, "eip155:1", 0, json!(["valid", "eip1271", null])),
        ("no", no(), BOTH, "eip155:1", 1, json!(["invalid", null, "contract_refused"])),
        ("no answer", unwell(), BOTH, "eip155:1", 2, json!(["unavailable", null, "verifier_unavailable"])),
        ("no node", yes(), BOTH, "eip155:10", 1, json!(["invalid", null, "signature_mismatch"])),
        ("not let", yes(), "[\"eip191\"]", "eip155:1", 1, json!(["invalid", null, "signature_mismatch"])),
    ];
    for (name, node, schemes, chain, code, expected) in rows {
        let ran = verify(Some(&configuration(&node, schemes)), chain);
        let verdict: Value = serde_json::from_str(&ran.out).expect(&ran.err);
        let found = json!([verdict["verdict"], verdict["scheme"], verdict["reason"]]);
        assert_eq!((ran.code, found), (code, expected), "{name}: {}", ran.err);
        let told = ran.err.contains("error: eip155:1: too few endpoints answered: http://127.0.0.1:");
        assert_eq!(told, code == 2, "{name}: {}", ran.err);
    }
}

/// The decision that a server would make, by the same question.
#[test]
fn a_token_of_a_contract_is_verified_at_the_configured_node() {
    let desk = Desk::new();
    let address = desk.run(&["keygen", "--chain", "evm"]).out.trim().to_owned();
    let mint = ["token", "mint", "--key", "evm.key", "--domain", "gateway.test", "--uri", "http://gateway.test"];
    let token = desk.run(&mint).out.trim().to_owned();
    let message = token.split_once('.').expect("a dot").0;
    // Of a length that no key's signature has.
    let token = format!("{message}.0x{}", "ab".repeat(66));
    let account = json!(format!("eip155:1:{address}"));
    let unwell = Node::new(|_| Act::text(500, "text/plain", "not well"));
    let rows = [
        ("yes", Node::saying(YES), json!(["deny", 403, "subscription_required", "no_subscription", account])),
        ("no", Node::saying(NO), json!(["deny", 401, "invalid_token", "bad_signature", null])),
        ("no answer", unwell, json!(["error", 503, "verifier_unavailable", "verifier_unavailable", null])),
    ];
    for (name, node, expected) in rows {
        desk.write("g.toml", &configuration(&node, "[\"eip191\", \"eip1271\"]").replace(":memory:", "a.db"));
        let ran =
            desk.run(&["token", "verify", "-c", "g.toml", "--method", "GET", "--url", "/x", "--json", token.as_str()]);
        let found: Value = serde_json::from_str(&ran.out).expect(&ran.err);
        let found = json!(["decision", "status", "code", "reason", "account"].map(|member| found[member].clone()));
        assert_eq!((ran.code, found), (1, expected), "{name}: {}", ran.err);
        assert!(!ran.err.contains(KEY) && node.calls() == 1, "{name}: {}", ran.err);
    }
}

#[test]
fn nobody_is_asked_without_a_configuration() {
    let ran = verify(None, "eip155:1");
    let verdict: Value = serde_json::from_str(&ran.out).expect(&ran.err);
    assert_eq!((ran.code, &verdict["reason"]), (1, &json!("signature_mismatch")));
}
