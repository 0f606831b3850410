//! What the settings come out as, and the bounds of single values from both sides.

use std::time::Duration;

use super::*;
use crate::{
    edge::settings::{AccountShown, Balance, HealthSettings, Listen, QueryShown, UpstreamScheme, UpstreamUrl},
    gate::settings::{CacheSettings, PlanLimits, Quota, Rate},
    policy::rule::{AllowEncoded, CountedBy, Pattern, Requirement, RouteRate},
    siwx::{
        claims::UriMatch,
        message::{NonceCharset, StatementCharset},
    },
};

#[test]
fn the_smallest_file_has_the_defaults_of_the_contract() {
    let config = config(SMALLEST);
    assert_eq!(config.public_url.authority(), "127.0.0.1:8080");

    let edge = &config.edge;
    assert_eq!(edge.listen, [Listen::Tcp("127.0.0.1:8080".parse().expect("an address"))]);
    assert_eq!(edge.hosts, ["127.0.0.1"]);
    assert_eq!(edge.realm, "127.0.0.1:8080");
    assert_eq!((edge.http2, edge.keep_odd_header_names, edge.workers), (true, false, 0));
    assert_eq!((edge.drain_delay, edge.drain_timeout), (Duration::from_secs(5), Duration::from_secs(30)));
    assert!(edge.tls.is_none());
    assert_eq!(
        edge.limits,
        edge::settings::Limits {
            connections: 10_000,
            connections_per_ip: 256,
            handshakes: 1000,
            head_bytes: 32 * 1024,
            headers: 100,
            target_bytes: 8 * 1024,
            body_bytes: Some(10 * 1024 * 1024),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            requests_per_connection: 10_000,
            body_idle_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            in_flight: 20_000,
            tunnels: 1000,
            tunnels_per_account: 16,
            http2_streams: 100,
            http2_header_list: 32 * 1024,
            http2_resets: edge::settings::ResetLimits { per_10s: 200, per_connection: 10_000 },
        }
    );
    assert_eq!((edge.identity_prefix.as_str(), edge.forward_credential), ("X-SIWX-", false));
    assert_eq!(edge.schemes, ["SIWX"]);
    let admin = edge.admin.as_ref().expect("an admin listener by default");
    assert_eq!(admin.listen, "127.0.0.1:9464".parse().expect("an address"));
    assert!(admin.token.is_none());
    let log = edge.access_log;
    assert_eq!((log.enabled, log.sample, log.json), (true, 1.0, true));
    assert_eq!((log.query, log.account), (QueryShown::Keys, AccountShown::Short));

    let gate = &config.gate;
    let origins: Vec<_> = gate.expectation.origins.iter().map(Origin::authority).collect();
    assert_eq!(origins, ["127.0.0.1:8080"]);
    assert_eq!(gate.expectation.chains, ["eip155:*", "solana:*"]);
    assert_eq!(
        gate.expectation.labels,
        [("eip155", "Ethereum"), ("solana", "Solana"), ("bip122", "Bitcoin"), ("tron", "TRON"), ("sui", "Sui")]
            .map(|(namespace, label)| (namespace.to_owned(), vec![label.to_owned()]))
    );
    let times = &gate.expectation;
    assert_eq!((times.clock_skew_secs, times.default_lifetime_secs, times.age_secs_max), (30, 300, None));
    assert_eq!((times.lifetime_secs_max, times.require_expiration), (7 * 86_400, true));
    assert_eq!((gate.accepts.compact, gate.accepts.offchain, gate.accepts.memo), (false, true, false));
    assert!(!gate.single_use_nonce);
    assert!(gate.denied.is_empty());
    assert_eq!(gate.proofs, CacheSettings { entries: 100_000, ttl: Duration::from_secs(600) });
    assert_eq!(gate.subscriptions, CacheSettings { entries: 100_000, ttl: Duration::from_secs(30) });
    assert_eq!((gate.negative_ttl, gate.stale_if_error), (Duration::from_secs(5), Duration::ZERO));
    assert_eq!(gate.auth_failures, Some(Rate { per_second: 20.0, burst: 100 }));
    assert!(gate.payments.is_none() && config.facilitators.is_empty() && gate.plan_limits.is_empty());

    assert_eq!(config.store.backend, Backend::Sqlite("siwx-gateway.db".into()));
    assert_eq!((config.store.timeout, config.store.require_at_start), (Duration::from_secs(1), false));
    // Settings of other rooms have no equality of their own; what they print is whole.
    assert_eq!(
        format!("{:?}", config.upstreams),
        format!(
            "{:?}",
            [edge::settings::UpstreamSettings {
                name: "api".to_owned(),
                urls: vec![UpstreamUrl { scheme: UpstreamScheme::Http, host: "127.0.0.1".to_owned(), port: 3000 }],
                balance: Balance::LeastRequests,
                health: HealthSettings { passive_failures: 5, eject: Duration::from_secs(10), check: None },
                http2: false,
                insecure_skip_verify: false,
                host: HostSent::Preserve,
                connect_timeout: Duration::from_secs(3),
                response_timeout: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(60),
                pool_idle: Duration::from_secs(30),
                in_flight: 2000,
                retries: 1,
                ca: None,
                server_name: None,
            }]
        )
    );
    let [rule] = config.routes.as_slice() else { panic!("one route") };
    assert_eq!((rule.name.as_str(), rule.host.as_ref(), rule.upstream), ("all", None, 0));
    assert_eq!(rule.pattern, Pattern::Prefix("/".to_owned()));
    assert_eq!(rule.requirement, Requirement::Subscription { plans: Vec::new() });
    assert_eq!((rule.methods.len(), rule.allow_encoded), (0, AllowEncoded::default()));
    assert_eq!((rule.strip_prefix.as_str(), rule.add_prefix.as_str()), ("", ""));
    assert_eq!((rule.body_bytes, rule.shared_cache), (None, false));
    assert!(rule.sale.is_none() && !rule.sign_in);
    assert_eq!(config.plans, [""; 0]);
    assert_eq!(config.log, LogSettings { level: LogLevel::Info, json: true });
}

#[test]
fn admin_tokens_have_32_characters_or_more() {
    for (chars, good) in [(0, true), (1, false), (31, false), (32, true), (100, true)] {
        let text = changed("[server]", &format!("[admin]\ntoken = \"{}\"\n[server]", "é".repeat(chars)));
        assert_eq!(resolved(&text, &[]).is_ok(), good, "{chars}");
    }
}

#[test]
fn names_have_one_to_32_characters() {
    let long = "a".repeat(33);
    let rows = [
        ("a", true),
        ("a-b_9", true),
        (&long[..32], true),
        (&long, false),
        ("", false),
        ("A", false),
        ("a.b", false),
        ("é", false),
    ];
    for (name, good) in rows {
        let route = changed("name = \"all\"", &format!("name = \"{name}\""));
        assert_eq!(resolved(&route, &[]).is_ok(), good, "route {name}");
        let plan = changed("[server]", &format!("[[plan]]\nname = \"{name}\"\n[server]"));
        assert_eq!(resolved(&plan, &[]).is_ok(), good, "plan {name}");
        let upstream = SMALLEST.replace("[upstreams.api]", &format!("[upstreams.\"{name}\"]"));
        let upstream = upstream.replace("upstream = \"api\"", &format!("upstream = \"{name}\""));
        assert_eq!(resolved(&upstream, &[]).is_ok(), good, "upstream {name}");
    }
}

#[test]
fn routes_and_upstreams_have_a_bound() {
    for (extra, good) in [(63, true), (64, false)] {
        let routes = (0..extra).map(|i| format!("[[route]]\nname = \"r{i}\"\npath = \"/r{i}\"\nupstream = \"api\"\n"));
        let text = SMALLEST.to_owned() + &routes.collect::<String>();
        assert_eq!(resolved(&text, &[]).is_ok(), good, "{extra} more routes");
    }
    for (extra, good) in [(7, true), (8, false)] {
        let upstreams = (0..extra).map(|i| format!("[upstreams.u{i}]\nurls = [\"http://10.0.0.{i}\"]\n"));
        let text = SMALLEST.to_owned() + &upstreams.collect::<String>();
        assert_eq!(resolved(&text, &[]).is_ok(), good, "{extra} more upstreams");
    }
}

#[test]
fn upstream_urls() {
    let url = |scheme, host: &str, port| Some(vec![UpstreamUrl { scheme, host: host.to_owned(), port }]);
    let (http, https) = (UpstreamScheme::Http, UpstreamScheme::Https);
    let rows = [
        ("http://10.1.0.5:3000", url(http, "10.1.0.5", 3000)),
        ("http://API", url(http, "api", 80)),
        ("https://api_1.internal/", url(https, "api_1.internal", 443)),
        ("http://[::1]:3000", url(http, "::1", 3000)),
        ("h2c://api:50051", url(UpstreamScheme::H2c, "api", 50_051)),
        ("http://api:65535", url(http, "api", 65_535)),
        ("http://api:65536", None),
        ("http://api:0", None),
        ("http://api:", None),
        ("http://[::g]:3000", None),
        ("http://api/v1", None),
        ("http://api?x", None),
        ("http://api#x", None),
        ("http://me@api", None),
        ("http://", None),
        ("ftp://api", None),
        ("api:3000", None),
        ("", None),
    ];
    for (text, expected) in rows {
        let result = resolved(&changed("http://127.0.0.1:3000", text), &[]);
        assert_eq!(result.ok().map(|(config, _)| config.upstreams[0].urls.clone()), expected, "{text}");
    }
}

#[test]
fn what_auth_and_chains_come_out_as() {
    let text = changed(
        "[server]\n",
        r#"[auth]
origins = ["https://app.example.com", "http://localhost:3000"]
schemes = ["SIWX", "SIWE"]
age_max = "90s"
lifetime_max = "1h"
uri_match = "request"
nonce = "single-use"
nonce_charset = "token"
statement_charset = "unicode"
labels = { eip155 = ["*"] }
deny_accounts = ["0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B", "eip155:1:0xAB5801A7D398351B8BE11C439E05C5B3259AEC9B", "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene"]
identity_prefix = "X-Wallet-"
[chains]
eip155.allow = ["eip155:8453"]
solana = { allow = ["solana:mainnet"], memo = true }
tron.allow = ["tron:0x94a9059e", "tron:728126428"]
sui.allow = ["sui:*", "sui:35834a8a"]
[server]
hosts = ["api.internal", "Other.example:8443"]
"#,
    );
    let config = config(&text);
    let gate = &config.gate;
    let origins: Vec<_> = gate.expectation.origins.iter().map(Origin::authority).collect();
    assert_eq!(origins, ["127.0.0.1:8080", "api.internal", "other.example:8443", "app.example.com", "localhost:3000"]);
    assert_eq!(config.edge.hosts, ["127.0.0.1", "api.internal", "other.example"]);
    assert_eq!(gate.schemes, ["SIWX", "SIWE"]);
    assert_eq!((gate.expectation.age_secs_max, gate.expectation.lifetime_secs_max), (Some(90), 3600));
    assert_eq!(gate.expectation.uri_match, UriMatch::Request);
    assert!(gate.single_use_nonce);
    assert_eq!(gate.reading.nonce_charset, NonceCharset::Token);
    assert_eq!(gate.reading.statement_charset, StatementCharset::Unicode);
    assert_eq!(gate.expectation.labels, [("eip155".to_owned(), vec!["*".to_owned()])]);
    assert_eq!(
        gate.expectation.chains,
        [
            "eip155:8453",
            "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
            "tron:0x94a9059e",
            "tron:0x2b6653dc",
            "sui:*",
            "sui:mainnet",
        ]
    );
    assert!(gate.accepts.memo);
    let mut denied: Vec<_> = gate.denied.iter().map(String::as_str).collect();
    denied.sort_unstable();
    assert_eq!(
        denied,
        [
            "0xab5801a7d398351b8be11c439e05c5b3259aec9b",
            "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene",
            "eip155:1:0xab5801a7d398351b8be11c439e05c5b3259aec9b",
        ]
    );
    assert_eq!(config.edge.identity_prefix, "X-Wallet-");
}

/// The gate looks an account up in one spelling; denied in another it would be let in.
#[test]
fn denied_accounts_are_held_in_the_spelling_of_their_family() {
    let (evm, solana) = ("0xab5801a7d398351b8be11c439e05c5b3259aec9b", "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene");
    let (tron, sui) = ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", format!("0x{}", "ab".repeat(32)));
    let on_mainnet = format!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:{solana}");
    let rows = [
        ("EIP-55", "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B".to_owned(), evm),
        ("a wrong checksum", "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9b".to_owned(), evm),
        (
            "a wrong checksum on a chain",
            format!("eip155:1:{}", evm.replace("ab58", "aB58")),
            &format!("eip155:1:{evm}"),
        ),
        ("Solana", solana.to_owned(), solana),
        ("Solana by a word", format!("solana:mainnet:{solana}"), &on_mainnet),
        ("Tron by a decimal", format!("tron:728126428:{tron}"), &format!("tron:0x2b6653dc:{tron}")),
        ("Tron", tron.to_owned(), tron),
        ("Sui in capitals", sui.to_uppercase().replace('X', "x"), &sui),
        ("Sui in capitals on a chain", format!("sui:35834a8a:0x{}", "AB".repeat(32)), &format!("sui:mainnet:{sui}")),
        ("an unknown family", "fuel:9889:0xAB".to_owned(), "fuel:9889:0xAB"),
        ("an address of no family", "0xAB".to_owned(), "0xAB"),
    ];
    for (name, text, expected) in rows {
        let config = config(&changed("[server]\n", &format!("[auth]\ndeny_accounts = [\"{text}\"]\n[server]\n")));
        assert_eq!(config.gate.denied.iter().collect::<Vec<_>>(), [expected], "{name}");
    }
}

/// Off unless it is asked for, with its chains by their ids or all of them.
#[test]
fn what_chains_of_bitcoin_come_out_as() {
    let (main, signet) = ("bip122:000000000019d6689c085ae165831e93", "bip122:00000008819873e925422c1ff0f99f7c");
    let rows = [
        ("[]".to_owned(), vec![]),
        (format!("[\"{main}\", \"{signet}\"]"), vec![main, signet]),
        ("[\"bip122:*\"]".to_owned(), vec!["bip122:*"]),
    ];
    for (allow, expected) in rows {
        let text = changed("[server]", &format!("[chains.bip122]\nallow = {allow}\n[server]"));
        let config = config(&text);
        assert_eq!(config.gate.expectation.chains, [&["eip155:*", "solana:*"][..], &expected].concat(), "{allow}");
    }
}

#[test]
fn values_of_auth_and_chains_that_are_refused() {
    let rows = [
        ("auth", "schemes = [\"Bearer\"]"),
        ("auth", "schemes = []"),
        ("auth", "carriers = []"),
        ("auth", "carriers = [\"cookie\"]"),
        ("auth", "origins = [\"app.example.com\"]"),
        ("auth", "lifetime_max = \"0s\""),
        ("auth", "lifetime_max = \"1500ms\""),
        ("auth", "lifetime_max = \"\""),
        ("auth", "clock_skew = \"601s\""),
        ("auth", "labels = { polkadot = [\"Polkadot\"] }"),
        ("auth", "labels = { eip155 = \"Ethereum\" }"),
        ("auth", "deny_accounts = [\"not an account\"]"),
        ("auth", "deny_accounts = [\"BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4\"]"),
        ("auth", "identity_prefix = \"X-SIWX\""),
        ("auth", "identity_prefix = \"X-Forwarded-\""),
        ("auth", "identity_prefix = \"\""),
        ("auth", "identity_prefix = \"X_SIWX-\""),
        ("chains.eip155", "allow = [\"eip155:08453\"]"),
        ("chains.eip155", "allow = [\"solana:*\"]"),
        ("chains.eip155", "allow = [\"eip155\"]"),
        ("chains.eip155", "schemes = []"),
        ("chains.solana", "allow = [\"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9e\"]"),
        ("chains.bip122", "allow = [\"bip122:mainnet\"]"),
        ("chains.bip122", "allow = [\"bip122:000000000019D6689C085AE165831E93\"]"),
        ("chains.bip122", "allow = [\"bip122:12a765e31ffd4059bada1e25190f6e98\"]"),
        ("chains.bip122", "schemes = [\"bip322\"]"),
        ("chains.tron", "allow = [\"tron:0x2b6653d\"]"),
        ("chains.tron", "allow = [\"tron:mainnet\"]"),
        ("chains.tron", "allow = [\"eip155:1\"]"),
        ("chains.sui", "allow = [\"sui:localnet\"]"),
        ("chains.sui", "allow = [\"mainnet\"]"),
        ("store", "url = \"sqlite:\""),
        ("store", "url = \"siwx-gateway.db\""),
        ("store", "url = \"sqlite::disk:\""),
        ("store", "url = \"sqlite:a.db?mode=ro\""),
    ];
    for (table, line) in rows {
        let report = resolved(&changed("[server]", &format!("[{table}]\n{line}\n[server]")), &[]).expect_err(line);
        let lines: Vec<_> =
            report.to_json().as_array().expect(line).iter().map(|fault| fault["line"].clone()).collect();
        assert_eq!(lines, [3], "{line}");
    }
}

#[test]
fn values_of_routes() {
    let text = changed(
        "auth = \"subscription\"",
        r#"auth = "subscription"
methods = ["GET", "POST"]
host = "Other.Example"
plans = ["default"]
body_bytes = "unlimited"
strip_prefix = "/"
add_prefix = "/v3"
allow_encoded = ["%2F", ";"]
shared_cache = true
carriers = ["authorization"]"#,
    );
    let config = config(&text);
    let rule = &config.routes[0];
    assert_eq!(rule.methods, [http::Method::GET, http::Method::POST]);
    assert_eq!(rule.host.as_deref(), Some("other.example"));
    assert_eq!(config.edge.hosts, ["127.0.0.1", "other.example"]);
    assert_eq!(rule.requirement, Requirement::Subscription { plans: vec!["default".to_owned()] });
    assert_eq!(rule.body_bytes, Some(None));
    assert_eq!((rule.strip_prefix.as_str(), rule.add_prefix.as_str()), ("/", "/v3"));
    assert_eq!(rule.allow_encoded, AllowEncoded { slash: true, semicolon: true });
    assert!(rule.shared_cache);
    let Place::File(span) = &config.places.routes[0] else { panic!("the route is in the file") };
    assert_eq!(&text[span.clone()], "\"/\"");
}

#[test]
fn what_plans_and_routes_allow() {
    let rows = [
        ("", None),
        ("rate = { rate = \"20/m\" }\n", Some((CountedBy::Account, 20.0 / 60.0, 20))),
        ("rate = { by = \"account\", rate = \"50/s\", burst = 100 }\n", Some((CountedBy::Account, 50.0, 100))),
        ("rate = { by = \"ip\", rate = \"50/s\", burst = 1 }\n", Some((CountedBy::Address, 50.0, 1))),
    ];
    for (text, expected) in rows {
        let config = config(&format!("{SMALLEST}{text}"));
        let expected = expected.map(|(by, per_second, burst)| RouteRate { by, rate: Rate { per_second, burst } });
        assert_eq!(config.routes[0].rate, expected, "{text}");
    }
    let plans = "[[plan]]\nname = \"nano\"\n[[plan]]\nname = \"pro\"\nrate = \"20/s\"\n\
                 quota = { requests = 100000, window = \"30d\" }\n";
    let nothing = PlanLimits { name: "nano".into(), rate: None, quota: None };
    let all = PlanLimits {
        name: "pro".into(),
        rate: Some(Rate { per_second: 20.0, burst: 20 }),
        quota: Some(Quota { requests: 100_000, window: Duration::from_secs(30 * 86_400) }),
    };
    assert_eq!(config(&format!("{SMALLEST}{plans}")).gate.plan_limits, [nothing, all]);
}

#[test]
fn a_route_for_websockets_to_an_upstream_that_carries_none_is_warned_of() {
    let rows = [
        ("\"http://127.0.0.1:3000\"]", "websocket = true", false),
        ("\"https://127.0.0.1:3000\"]\nhttp2 = true", "websocket = true", false),
        ("\"h2c://127.0.0.1:3000\"]", "websocket = false", false),
        ("\"h2c://127.0.0.1:3000\"]", "websocket = true", true),
    ];
    for (url, websocket, warned) in rows {
        let text = changed("\"http://127.0.0.1:3000\"]", url) + websocket + "\n";
        let told = report(&text, &[]);
        assert!(resolved(&text, &[]).is_ok(), "{told}");
        let title =
            "warning: route \"all\" takes WebSockets, and upstream \"api\" carries none\n --> siwx-gateway.toml:8:10";
        assert_eq!(told.contains(title), warned, "{url} {websocket}: {told}");
    }
}
