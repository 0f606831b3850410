//! `signature verify` of a contract's signature: what the configured node says is the verdict.

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

#[test]
fn nobody_is_asked_without_a_configuration() {
    let ran = verify(None, "eip155:1");
    let verdict: Value = serde_json::from_str(&ran.out).expect(&ran.err);
    assert_eq!((ran.code, &verdict["reason"]), (1, &json!("signature_mismatch")));
}
