//! Contracts that sign, and the nodes that are asked about them.

mod reports;

use std::time::Duration;

use super::*;
use crate::{
    gate::settings::{CacheSettings, Rate},
    outbound::Endpoint,
    rpc::Settings,
};

/// The smallest file with a table of `[chains.eip155]`.
fn eip155(lines: &str) -> String {
    changed("[upstreams.api]", &format!("[chains.eip155]\n{lines}\n[upstreams.api]"))
}

/// What is said of such a file.
fn said(lines: &str) -> String {
    report(&eip155(lines), &[])
}

#[test]
fn contracts_sign_nothing_unless_they_are_let() {
    let Config { gate, rpc, .. } = config(SMALLEST);
    assert!(!gate.accepts.eip1271 && !gate.accepts.eip6492 && rpc.is_none());
    assert_eq!(gate.rpc_per_ip, Some(Rate { per_second: 5.0, burst: 20 }));
    assert_eq!(gate.contracts, CacheSettings { entries: 10_000, ttl: Duration::from_secs(30) });
    assert_eq!(gate.contracts_negative_ttl, Duration::from_secs(5));
}

#[test]
fn every_key_has_its_meaning() {
    let text = eip155(
        r#"schemes = ["eip191", "eip6492", "eip1271"]
rpc_timeout = "700ms"
rpc_concurrency = 5
rpc_per_ip = { rate = "30/m", burst = 7 }
rpc_quorum = 2
validators = { "eip155:324" = "0xfB688330379976DA81eB64Fe4BF50d7401763B9C" }
[chains.eip155.rpc]
"eip155:324" = ["https://a.example/k?x=y", "http://127.0.0.1:8545/"]
"eip155:1" = ["https://b.example", "https://a.example"]
[cache.contracts]
entries = 9
ttl = "1m"
negative_ttl = "0s""#,
    );
    let Config { gate, rpc, .. } = config(&text);
    assert!(gate.accepts.eip1271 && gate.accepts.eip6492);
    assert_eq!(gate.rpc_per_ip, Some(Rate { per_second: 0.5, burst: 7 }));
    assert_eq!(gate.contracts, CacheSettings { entries: 9, ttl: Duration::from_secs(60) });
    assert_eq!(gate.contracts_negative_ttl, Duration::ZERO);
    let Settings { chains, timeout, concurrency, quorum } = rpc.expect("nodes");
    assert_eq!((timeout, concurrency, quorum), (Duration::from_millis(700), 5, 2));
    let shown: Vec<_> = chains.iter().map(|chain| format!("{} {:?}", chain.chain, chain.endpoints)).collect();
    let expected =
        ["eip155:324 [https://a.example, http://127.0.0.1:8545]", "eip155:1 [https://b.example, https://a.example]"];
    assert_eq!(shown, expected);
    assert_eq!(chains[0].validator.map(|address| (address[0], address[19])), Some((0xfb, 0x9c)));
    assert_eq!(chains[1].validator, None);
}

#[test]
fn each_scheme_is_let_by_its_name() {
    for (scheme, expected) in [("eip1271", (true, false)), ("eip6492", (false, true))] {
        let lines = format!("schemes = [\"eip191\", \"{scheme}\"]\nrpc = {{ \"eip155:1\" = [\"https://a.example\"] }}");
        let accepts = config(&eip155(&lines)).gate.accepts;
        assert_eq!((accepts.eip1271, accepts.eip6492), expected, "{scheme}");
    }
}

#[test]
fn the_rate_of_an_address_can_be_off() {
    assert_eq!(config(&eip155("rpc_per_ip = \"off\"")).gate.rpc_per_ip, None);
}

#[test]
fn a_url_is_asked_as_it_stands_with_what_comes_from_the_environment() {
    let lines = r#"schemes = ["eip191", "eip1271"]
rpc = { "eip155:1" = ["https://a.example/v2/${KEY}"] }"#;
    let (config, report) = resolved(&eip155(lines), &[("KEY", "hunter2")]).expect("a good file");
    assert!(report.is_empty(), "{report}");
    let endpoints = &config.rpc.as_ref().expect("nodes").chains[0].endpoints;
    assert_eq!(endpoints[..], [Endpoint::parse_whole("https://a.example/v2/hunter2").expect("a URL")]);
    assert!(!format!("{config:?}").contains("hunter2"));
    let unset = said(lines);
    assert!(
        unset.starts_with("error: `chains.eip155.rpc.eip155:1`: environment variable `KEY` is not set\n"),
        "{unset}"
    );
    assert_eq!(unset.matches("error").count(), 1, "{unset}");
}

#[test]
fn keys_of_nodes_are_not_printed() {
    let rows = [
        ("a path", "https://a.example/v2/hunter2", "https://a.example/[redacted]"),
        ("a query", "https://a.example?key=hunter2", "https://a.example/[redacted]"),
        ("both, and a port", "https://a.example:8545/?key=hunter2", "https://a.example:8545/[redacted]"),
        ("out of the environment", "https://a.example/${KEY}", "https://a.example/[redacted]"),
        ("all out of the environment", "${URL}", "https://b.example/[redacted]"),
        ("out of a file", "${file:/run/url}", "[redacted]"),
        ("nothing to hide", "https://a.example", "https://a.example"),
        ("nothing either", "https://a.example/", "https://a.example/"),
    ];
    let environment = environment(&[("KEY", "hunter2"), ("URL", "https://b.example/hunter2")]);
    let files = |_: &Path| Ok("https://c.example/hunter2\n".to_owned());
    for (name, written, expected) in rows {
        let text = eip155(&format!("rpc = {{ \"eip155:1\" = [\"{written}\"] }}"));
        let inputs = Inputs { text: &text, name: NAME, environment: &environment, flags: &[], files: &files };
        let printed = print(&inputs).expect("a good file");
        assert!(printed.contains(&format!("rpc = {{ \"eip155:1\" = [\"{expected}\"] }}")), "{name}: {printed}");
        assert!(!printed.contains("hunter2"), "{name}: {printed}");
    }
}

#[test]
fn validators_are_printed_as_they_count() {
    let lines = r#"rpc = { "eip155:324" = ["https://a.example"] }
validators = { "eip155:324" = "0xfB688330379976DA81eB64Fe4BF50d7401763B9C" }"#;
    let text = eip155(lines);
    let environment = BTreeMap::new();
    let inputs = Inputs { text: &text, name: NAME, environment: &environment, flags: &[], files: &no_file };
    let printed = print(&inputs).expect("a good file");
    assert!(lines.lines().all(|line| printed.contains(line)), "{printed}");
}

#[test]
fn keys_of_nodes_are_in_no_report() {
    let rows = [
        ("a string", r#"rpc = "https://a.example/hunter2""#),
        ("strings", r#"rpc = ["https://a.example/hunter2"]"#),
        ("a string for a list", r#"rpc = { "eip155:1" = "https://a.example/hunter2" }"#),
        ("a table for a list", r#"rpc = { "eip155:1" = { url = "https://a.example/hunter2" } }"#),
        ("a list in a list", r#"rpc = { "eip155:1" = [["https://a.example/hunter2"]] }"#),
        ("no URL", r#"rpc = { "eip155:1" = ["a.example/hunter2"] }"#),
        ("no URL of a node", r#"rpc = { "eip155:1" = ["ftp://a.example/hunter2"] }"#),
        ("a user", r#"rpc = { "eip155:1" = ["https://me:hunter2@a.example"] }"#),
        ("plain", r#"rpc = { "eip155:1" = ["http://a.example/hunter2"] }"#),
        ("another chain", r#"rpc = { "solana:mainnet" = ["https://a.example/hunter2"] }"#),
        ("twice", r#"rpc = { "eip155:1" = ["https://a.example/hunter2", "https://a.example/hunter2"] }"#),
        ("no TOML", r#"rpc = { "eip155:1" = ["https://a.example/x", "https://a.example/hunter2", } }"#),
        ("a reference to nothing", r#"rpc = { "eip155:1" = ["https://a.example/hunter2${NONE}"] }"#),
        ("escaped", r#"rpc = { "eip155:1" = ["https:/\u002fa.example\u002fhunter2 "] }"#),
        ("misspelt", r#"rcp = { "eip155:1" = ["https://a.example/hunter2"] }"#),
    ];
    for (name, line) in rows {
        let said = said(line);
        assert!(said.contains("error: "), "{name}: {said}");
        assert!(!said.contains("hunter2"), "{name}: {said}");
    }
}

#[test]
fn chains_and_nodes_have_a_bound() {
    let lines = |chains: usize, nodes: usize| {
        let urls: Vec<_> = (0..nodes).map(|node| format!("\"https://a.example/{node}\"")).collect();
        let chains: String =
            (1..=chains).map(|chain| format!("\"eip155:{chain}\" = [{}]\n", urls.join(", "))).collect();
        format!("schemes = [\"eip191\", \"eip1271\"]\n[chains.eip155.rpc]\n{chains}")
    };
    assert_eq!(config(&eip155(&lines(64, 8))).rpc.expect("nodes").chains.len(), 64);
    assert!(said(&lines(65, 1)).starts_with("error: more than 64 chains with nodes\n"));
    assert!(said(&lines(1, 9)).starts_with("error: more than 8 nodes of `eip155:1`\n"));
}
