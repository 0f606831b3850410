//! Whole reports about contracts and nodes, as operators see them.

use super::*;

/// A name, lines of `[chains.eip155]`, and the whole report.
type Row = (&'static str, &'static str, &'static str);

#[test]
fn faults_are_told_with_line_column_caret_and_hint() {
    for (name, lines, expected) in FAULTS {
        let report = resolved(&eip155(lines), &[]).expect_err(name);
        assert_eq!(report.to_string(), *expected, "{name}");
    }
}

#[test]
fn nodes_that_nobody_will_ask_are_told_of() {
    for (name, lines, expected) in WARNINGS {
        let (config, report) = resolved(&eip155(lines), &[]).expect(name);
        assert_eq!(report.to_string(), *expected, "{name}");
        assert!(config.rpc.is_some(), "{name}");
    }
}

const FAULTS: &[Row] = &[
    (
        "nobody to ask",
        r#"schemes = ["eip6492", "eip712"]"#,
        r#"error: schemes without `eip191` are not built yet
 --> siwx-gateway.toml:5:11
  |
5 | schemes = ["eip6492", "eip712"]
  |           ^^^^^^^^^^^^^^^^^^^^^ expected it beside the others: a key needs nobody to be asked
error: scheme `eip6492` needs a node to be asked
 --> siwx-gateway.toml:5:12
  |
5 | schemes = ["eip6492", "eip712"]
  |            ^^^^^^^^^ expected `chains.eip155.rpc` to name one for a chain at least
error: unknown scheme `eip712`
 --> siwx-gateway.toml:5:23
  |
5 | schemes = ["eip6492", "eip712"]
  |                       ^^^^^^^^ expected `eip191`, `eip1271` or `eip6492`
"#,
    ),
    (
        "chains",
        r#"schemes = ["eip191", "eip1271"]
[chains.eip155.rpc]
"eip155:*" = ["https://a.example"]
8453 = ["https://a.example"]
"eip155:01" = []
"eip155:5" = []"#,
        r#"error: `eip155:*` is no chain of `eip155`
 --> siwx-gateway.toml:7:1
  |
7 | "eip155:*" = ["https://a.example"]
  | ^^^^^^^^^^ expected a CAIP-2 id such as `eip155:8453`
error: `8453` is no chain of `eip155`
 --> siwx-gateway.toml:8:1
  |
8 | 8453 = ["https://a.example"]
  | ^^^^ expected a CAIP-2 id such as `eip155:8453`
error: `eip155:01` is no chain of `eip155`
 --> siwx-gateway.toml:9:1
  |
9 | "eip155:01" = []
  | ^^^^^^^^^^^ expected a CAIP-2 id such as `eip155:8453`
error: `eip155:5` has no node
  --> siwx-gateway.toml:10:1
   |
10 | "eip155:5" = []
   | ^^^^^^^^^^ expected a URL, or the chain left out
"#,
    ),
    (
        "nodes",
        r#"schemes = ["eip191", "eip1271"]
[chains.eip155.rpc]
"eip155:1" = ["http://a.example/k3y", "https://me:k3y@a.example", "https://a.example/k3y#x"]
"eip155:2" = ["http://[::1]:8545/k3y", "http://[::1]:8545/k3y"]"#,
        r#"error: `http://a.example` speaks plain HTTP and is not on loopback
 --> siwx-gateway.toml:7:15
  |
7 | "eip155:1" = ["http://a.example****", "************************", "https://a.example******"]
  |               ^^^^^^^^^^^^^^^^^^^^^^ expected `https://`: whoever answers in its place says who comes in
error: no URL of a node of `eip155:1`
 --> siwx-gateway.toml:7:39
  |
7 | "eip155:1" = ["http://a.example****", "************************", "https://a.example******"]
  |                                       ^^^^^^^^^^^^^^^^^^^^^^^^^^ expected one such as `https://node.example/v2/KEY`: it has user information
error: no URL of a node of `eip155:1`
 --> siwx-gateway.toml:7:67
  |
7 | "eip155:1" = ["http://a.example****", "************************", "https://a.example******"]
  |                                                                   ^^^^^^^^^^^^^^^^^^^^^^^^^ expected one such as `https://node.example/v2/KEY`: it has a fragment
error: a node of `eip155:2` at `http://[::1]:8545` stands twice
 --> siwx-gateway.toml:8:40
  |
8 | "eip155:2" = ["http://[::1]:8545****", "http://[::1]:8545****"]
  |                                        ^^^^^^^^^^^^^^^^^^^^^^^ it would replace itself, and agree with itself
"#,
    ),
    (
        "a quorum that cannot be had",
        r#"schemes = ["eip191", "eip1271"]
rpc_quorum = 2
rpc = { "eip155:1" = ["https://a.example", "https://b.example"], "eip155:5" = ["https://a.example"] }"#,
        r#"error: `eip155:5` has fewer nodes than must agree
 --> siwx-gateway.toml:6:14
  |
6 | rpc_quorum = 2
  |              ^ expected at most 1, found 2
"#,
    ),
    (
        "validators",
        r#"schemes = ["eip191", "eip6492"]
rpc = { "eip155:1" = ["https://a.example"], "eip155:5" = ["https://a.example"] }
[chains.eip155.validators]
"eip155:1" = "0xfb688330379976DA81eB64Fe4BF50d7401763B9C"
"eip155:5" = "0x00"
"eip155:324" = "0xfb688330379976da81eb64fe4bf50d7401763b9c"
ethereum = "0xfb688330379976da81eb64fe4bf50d7401763b9c"
"eip155:6" = 6"#,
        r#"error: the checksum of `0xfb688330379976DA81eB64Fe4BF50d7401763B9C` is wrong
 --> siwx-gateway.toml:8:14
  |
8 | "eip155:1" = "0xfb688330379976DA81eB64Fe4BF50d7401763B9C"
  |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ is it mistyped? In lower case it is taken as it is
error: `0x00` is no address of `eip155`
 --> siwx-gateway.toml:9:14
  |
9 | "eip155:5" = "0x00"
  |              ^^^^^^ expected `0x` and 40 hex digits
error: the validator of `eip155:324` will never be asked
  --> siwx-gateway.toml:10:1
   |
10 | "eip155:324" = "0xfb688330379976da81eb64fe4bf50d7401763b9c"
   | ^^^^^^^^^^^^ expected `chains.eip155.rpc` to name a node of that chain
error: `ethereum` is no chain of `eip155`
  --> siwx-gateway.toml:11:1
   |
11 | ethereum = "0xfb688330379976da81eb64fe4bf50d7401763b9c"
   | ^^^^^^^^ expected a CAIP-2 id such as `eip155:8453`
error: `chains.eip155.validators.eip155:6`: expected a string, found an integer
  --> siwx-gateway.toml:12:14
   |
12 | "eip155:6" = 6
   |              ^
"#,
    ),
    (
        "bounds",
        r#"rpc_timeout = "5001ms"
rpc_concurrency = 0
rpc_per_ip = "5"
rpc_quorum = 9
[cache.contracts]
ttl = "61s"
negative_ttl = "61s""#,
        r#"error: `chains.eip155.rpc_timeout`: expected from 1ms to 5s, found `5001ms`
 --> siwx-gateway.toml:5:15
  |
5 | rpc_timeout = "5001ms"
  |               ^^^^^^^^
error: `chains.eip155.rpc_concurrency`: expected a whole number from 1 to 256, found `0`
 --> siwx-gateway.toml:6:19
  |
6 | rpc_concurrency = 0
  |                   ^
error: `chains.eip155.rpc_per_ip`: expected a rate such as `50/s`, `20/m` or `100/h`, at least one, found `5`
 --> siwx-gateway.toml:7:14
  |
7 | rpc_per_ip = "5"
  |              ^^^
error: `chains.eip155.rpc_quorum`: expected a whole number from 1 to 8, found `9`
 --> siwx-gateway.toml:8:14
  |
8 | rpc_quorum = 9
  |              ^
error: `cache.contracts.ttl`: expected from 1ms to 1m, found `61s`
  --> siwx-gateway.toml:10:7
   |
10 | ttl = "61s"
   |       ^^^^^
error: `cache.contracts.negative_ttl`: expected from 0s to 1m, found `61s`
  --> siwx-gateway.toml:11:16
   |
11 | negative_ttl = "61s"
   |                ^^^^^
"#,
    ),
];

const WARNINGS: &[Row] = &[
    (
        "no scheme",
        r#"rpc = { "eip155:1" = ["https://a.example/k3y"] }"#,
        r#"warning: nodes of `eip155:1` will never be asked
 --> siwx-gateway.toml:5:9
  |
5 | rpc = { "eip155:1" = ["https://a.example****"] }
  |         ^^^^^^^^^^ expected `eip1271` or `eip6492` in `chains.eip155.schemes`
"#,
    ),
    (
        "not let in",
        r#"allow = ["eip155:10"]
schemes = ["eip191", "eip1271"]
rpc = { "eip155:1" = ["https://a.example"], "eip155:10" = ["https://a.example"] }"#,
        r#"warning: nodes of `eip155:1` will never be asked
 --> siwx-gateway.toml:7:9
  |
7 | rpc = { "eip155:1" = ["https://a.example"], "eip155:10" = ["https://a.example"] }
  |         ^^^^^^^^^^ `chains.eip155.allow` does not let it in
"#,
    ),
];
