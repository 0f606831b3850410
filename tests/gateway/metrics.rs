//! `/metrics`: every name of operations.md section 3 that this build covers, with its labels, at 0 before the first
//! request; what requests add; and that nothing a client sends makes a series.

use std::collections::BTreeSet;

use crate::{
    facilitator::Act,
    harness::{Gateway, Request, Setup, Shop, Upstream, Wallet, shop::refused, tls::Authority},
};

const ROUTES: [&str; 5] = ["none", "paid", "pro", "public", "wallet"];

/// The reasons that this build can produce, with their decisions.
const REASONS: [(&str, &str); 22] = [
    ("allow", "ok"),
    ("public", "public"),
    ("deny", "no_credential"),
    ("deny", "conflict"),
    ("deny", "malformed"),
    ("deny", "too_large"),
    ("deny", "bad_signature"),
    ("deny", "domain_mismatch"),
    ("deny", "uri_mismatch"),
    ("deny", "chain_not_allowed"),
    ("deny", "expired"),
    ("deny", "not_yet_valid"),
    ("deny", "issued_in_future"),
    ("deny", "lifetime_too_long"),
    ("deny", "nonce_reused"),
    ("deny", "account_denied"),
    ("deny", "no_subscription"),
    ("deny", "subscription_expired"),
    ("deny", "plan_mismatch"),
    ("deny", "rate_limited"),
    ("error", "store_unavailable"),
    ("error", "internal"),
];

const SCHEMES: [&str; 10] =
    ["eip191", "eip1271", "eip6492", "ed25519", "solana-offchain", "solana-memo", "bip137", "bip322", "tip191", "sui"];

/// The series that must be there at 0, labels in the order of the alphabet as the text format writes them.
fn at_zero() -> BTreeSet<String> {
    let mut series = BTreeSet::new();
    let mut add = |text: String| assert!(series.insert(text.clone()), "{text} twice in the list of the test");
    let plain = ["http_requests_in_flight", "draining", "log_dropped_total", "panics_total"];
    plain.iter().for_each(|name| add(format!("siwx_{name}")));
    let mut by = |name: &str, label: &str, words: &[&str]| {
        words.iter().for_each(|word| add(format!("siwx_{name}{{{label}=\"{word}\"}}")));
    };
    let rejected = [
        "bad_request",
        "head_too_large",
        "uri_too_long",
        "bad_path",
        "bad_host",
        "framing",
        "timeout",
        "method",
        "overload",
    ];
    by("http_rejected_total", "reason", &rejected);
    by("http_request_bytes_total", "route", &ROUTES);
    by("http_response_bytes_total", "route", &ROUTES);
    by("cache_entries", "cache", &["proofs", "subscriptions", "contracts", "sessions"]);
    by("connections", "protocol", &["h1", "h2", "ws"]);
    by("connections_total", "protocol", &["h1", "h2", "ws"]);
    let refused = ["global_cap", "ip_cap", "handshake_cap", "handshake_timeout", "draining", "paused"];
    by("address_pauses_total", "reason", &["h2_flood", "ip_cap"]);
    by("config_reloads_total", "result", &["ok", "failed"]);
    by("connections_rejected_total", "reason", &refused);
    let goaways =
        ["rapid_reset", "local_resets", "header_list", "continuation", "ping", "settings", "protocol", "drain"];
    by("h2_goaways_total", "reason", &goaways);
    by("payments_open", "status", &["reserved", "settling", "unknown"]);
    by("upstream_retries_total", "upstream", &["api"]);
    by("upstream_tls_unverified", "upstream", &["api"]);
    let mut by_two = |name: &str, one: &str, ones: &[&str], two: &str, twos: &[&str]| {
        for first in ones {
            twos.iter().for_each(|second| add(format!("siwx_{name}{{{one}=\"{first}\",{two}=\"{second}\"}}")));
        }
    };
    by_two(
        "cache_requests_total",
        "cache",
        &["proofs", "subscriptions", "contracts", "sessions"],
        "result",
        &["hit", "miss", "stale", "negative", "coalesced"],
    );
    by_two(
        "cache_evictions_total",
        "cache",
        &["proofs", "subscriptions", "contracts", "sessions"],
        "cause",
        &["expired", "size", "explicit", "replaced"],
    );
    by_two("signature_verifications_total", "result", &["valid", "invalid", "error"], "scheme", &SCHEMES);
    by_two("subscription_lookups_total", "backend", &["sqlite"], "result", &["active", "inactive", "error", "timeout"]);
    by_two("store_operations_total", "operation", &["nonce"], "result", &["ok", "conflict", "error", "timeout"]);
    by_two(
        "upstream_errors_total",
        "kind",
        &["connect", "tls", "timeout", "reset", "protocol", "body", "ejected"],
        "upstream",
        &["api"],
    );
    by_two("upstream_connections", "state", &["idle", "active"], "upstream", &["api"]);
    by_two("rate_limited_total", "route", &ROUTES, "scope", &["auth_failures"]);
    by_two("upstream_requests_total", "code", &["200"], "upstream", &["api"]);
    by_two("tls_handshakes_total", "result", &["ok", "resumed"], "version", &["1.2", "1.3"]);
    by_two("tls_handshakes_total", "result", &["client_cert", "timeout", "error"], "version", &["none"]);
    for route in ROUTES {
        for (decision, reason) in REASONS {
            add(format!("siwx_auth_decisions_total{{decision=\"{decision}\",reason=\"{reason}\",route=\"{route}\"}}"));
        }
        add(format!("siwx_http_requests_total{{code=\"200\",method=\"GET\",route=\"{route}\"}}"));
    }
    series
}

/// Histograms and the label sets they are there with.
fn histograms() -> Vec<(&'static str, Vec<String>, &'static [&'static str])> {
    const HTTP: &[&str] = &[
        "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10",
        "+Inf",
    ];
    const OVERHEAD: &[&str] =
        &["0.00002", "0.00005", "0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005", "0.01", "0.05", "+Inf"];
    const AUTH: &[&str] = &[
        "0.000002", "0.000005", "0.00001", "0.00002", "0.00005", "0.0001", "0.0002", "0.0005", "0.001", "0.01", "0.1",
        "1", "+Inf",
    ];
    const LOOKUP: &[&str] =
        &["0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
    let of = |label: &str, words: &[&str]| words.iter().map(|word| format!("{label}=\"{word}\"")).collect::<Vec<_>>();
    let outcomes = ["allowed", "denied", "error"];
    let by_outcome =
        outcomes.iter().flat_map(|outcome| ROUTES.map(|route| format!("outcome=\"{outcome}\",route=\"{route}\"")));
    vec![
        ("http_request_duration_seconds", by_outcome.collect(), HTTP),
        ("gateway_overhead_seconds", of("route", &ROUTES), OVERHEAD),
        ("auth_duration_seconds", of("path", &["cache_hit", "verify", "verify_store", "deny"]), AUTH),
        ("signature_verify_duration_seconds", of("scheme", &SCHEMES), AUTH),
        ("subscription_lookup_duration_seconds", of("backend", &["sqlite"]), LOOKUP),
        ("store_operation_duration_seconds", of("operation", &["nonce"]), LOOKUP),
        ("upstream_duration_seconds", of("upstream", &["api"]), HTTP),
        ("upstream_connect_duration_seconds", of("upstream", &["api"]), HTTP),
    ]
}

#[test]
fn everything_is_there_at_zero_before_the_first_request() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway =
        Setup::over(&upstream).tables(&authority.tables(&[&["api.example.com", "other.example.com"]])).start();
    let metrics = gateway.metrics();
    let mut expected = at_zero();
    for (name, labels, buckets) in histograms() {
        for labels in labels {
            expected.extend(["sum", "count"].map(|part| format!("siwx_{name}_{part}{{{labels}}}")));
            expected.extend(buckets.iter().map(|bucket| format!("siwx_{name}_bucket{{{labels},le=\"{bucket}\"}}")));
        }
    }
    for series in &expected {
        assert_eq!(metrics.0.get(series), Some(&0.0), "{series}");
    }
    // Beyond the list: what is set from the start.
    let ready = ["certificates", "configuration", "listeners", "not_draining", "store"]
        .map(|check| format!("siwx_ready{{check=\"{check}\"}}"));
    let others: Vec<&String> =
        metrics.0.keys().filter(|series| !expected.contains(*series) && !series.starts_with("process_")).collect();
    let (build, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|series| series.starts_with("siwx_build_info{"));
    let up = format!("siwx_upstream_endpoint_up{{endpoint=\"{}\",upstream=\"api\"}}", upstream.address);
    assert_eq!(metrics.value(&up), 1.0);
    let reloaded = ["siwx_config_last_reload_success_timestamp_seconds", "siwx_config_last_reload_successful"];
    let end = |host| format!("siwx_tls_certificate_not_after_timestamp_seconds{{host=\"{host}\"}}");
    let ends = ["api.example.com", "other.example.com"].map(end);
    let named = reloaded.into_iter().chain(ready.iter().map(String::as_str));
    let named: Vec<&str> = named.chain(ends.iter().map(String::as_str)).chain([up.as_str()]).collect();
    assert_eq!(rest, named, "series the specification does not name");
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        build[0].contains(&format!("version=\"{version}\""))
            && build[0].contains("revision=\"")
            && build[0].contains("rustc=\"")
    );
    assert_eq!((build.len(), metrics.value(build[0])), (1, 1.0));
    for family in
        ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"]
    {
        assert!(metrics.0.contains_key(family), "{family}");
    }
    assert!(metrics.0.len() < 20_000, "{}", metrics.0.len());
}

#[test]
fn what_requests_add() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let (subscriber, other) = (Wallet::evm(1), Wallet::solana(1));
    gateway.grant(&subscriber, "nano");
    let mut client = gateway.client();
    let ask = |client: &mut crate::harness::Client, target: &str, token: &str, status: u16| {
        assert_eq!(client.send(&Request::new("POST", target).token(token).body(b"hello")).status, status, "{target}");
    };
    for _ in 0..3 {
        ask(&mut client, "/paid/x", &subscriber.token(), 200);
    }
    ask(&mut client, "/paid/x", &other.token(), 403);
    ask(&mut client, "/paid/x", &Wallet::evm(9).token_of(&subscriber.text()), 401);
    ask(&mut client, "/pro/x", &subscriber.token(), 403);
    ask(&mut client, "/public/x", "", 200);
    ask(&mut client, "/public/../x", "", 400);
    ask(&mut client, "/nothing", &subscriber.token(), 404);
    assert_eq!(client.send(&Request::get("/wallet/x")).status, 401);
    drop(client);
    gateway.expect_metric("siwx_connections{protocol=\"h1\"}", 0.0);
    gateway.expect_metric("siwx_http_requests_in_flight", 0.0);
    let metrics = gateway.metrics();
    let rows = [
        ("siwx_http_requests_total{code=\"200\",method=\"POST\",route=\"paid\"}", 3.0),
        ("siwx_http_requests_total{code=\"403\",method=\"POST\",route=\"paid\"}", 1.0),
        ("siwx_http_requests_total{code=\"401\",method=\"POST\",route=\"paid\"}", 1.0),
        ("siwx_http_requests_total{code=\"400\",method=\"POST\",route=\"none\"}", 1.0),
        ("siwx_http_requests_total{code=\"404\",method=\"POST\",route=\"none\"}", 1.0),
        ("siwx_http_rejected_total{reason=\"bad_path\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"allow\",reason=\"ok\",route=\"paid\"}", 3.0),
        ("siwx_auth_decisions_total{decision=\"deny\",reason=\"no_subscription\",route=\"paid\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"deny\",reason=\"bad_signature\",route=\"paid\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"deny\",reason=\"plan_mismatch\",route=\"pro\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"public\",reason=\"public\",route=\"public\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"deny\",reason=\"no_credential\",route=\"wallet\"}", 1.0),
        ("siwx_auth_duration_seconds_count{path=\"cache_hit\"}", 3.0),
        ("siwx_auth_duration_seconds_count{path=\"verify_store\"}", 1.0),
        ("siwx_signature_verifications_total{result=\"valid\",scheme=\"eip191\"}", 1.0),
        ("siwx_signature_verifications_total{result=\"invalid\",scheme=\"eip191\"}", 1.0),
        ("siwx_signature_verifications_total{result=\"valid\",scheme=\"ed25519\"}", 1.0),
        ("siwx_signature_verify_duration_seconds_count{scheme=\"eip191\"}", 2.0),
        ("siwx_cache_requests_total{cache=\"proofs\",result=\"hit\"}", 4.0),
        ("siwx_cache_requests_total{cache=\"proofs\",result=\"miss\"}", 3.0),
        ("siwx_cache_requests_total{cache=\"subscriptions\",result=\"miss\"}", 2.0),
        ("siwx_cache_requests_total{cache=\"subscriptions\",result=\"hit\"}", 3.0),
        ("siwx_cache_entries{cache=\"proofs\"}", 2.0),
        ("siwx_cache_entries{cache=\"subscriptions\"}", 2.0),
        ("siwx_subscription_lookups_total{backend=\"sqlite\",result=\"active\"}", 1.0),
        ("siwx_subscription_lookups_total{backend=\"sqlite\",result=\"inactive\"}", 1.0),
        ("siwx_subscription_lookup_duration_seconds_count{backend=\"sqlite\"}", 2.0),
        ("siwx_upstream_requests_total{code=\"200\",upstream=\"api\"}", 4.0),
        ("siwx_upstream_duration_seconds_count{upstream=\"api\"}", 4.0),
        ("siwx_http_request_bytes_total{route=\"paid\"}", 15.0),
        ("siwx_http_response_bytes_total{route=\"public\"}", 2.0),
        ("siwx_http_request_duration_seconds_count{outcome=\"allowed\",route=\"paid\"}", 3.0),
        ("siwx_http_request_duration_seconds_count{outcome=\"denied\",route=\"paid\"}", 2.0),
        ("siwx_gateway_overhead_seconds_count{route=\"paid\"}", 5.0),
    ];
    for (series, value) in rows {
        assert_eq!(metrics.value(series), value, "{series}");
    }
    // A refused request with a body may cost its connection, so there is no telling how many there were.
    assert!(metrics.value("siwx_connections_total{protocol=\"h1\"}") >= 1.0);
}

/// The series there are, without those of the process and of answers by their status.
fn series(gateway: &Gateway) -> BTreeSet<String> {
    let metrics = gateway.metrics();
    metrics.0.into_keys().filter(|series| !series.starts_with("siwx_http_requests_total{")).collect()
}

#[test]
fn x4_clients_make_no_series() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("limits.auth_failures", "off").start();
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200);
    let before = series(&gateway);
    let mut sent = 0;
    for number in 0..60u32 {
        let wallet = if number % 2 == 0 { Wallet::evm(number) } else { Wallet::solana(number) };
        let word = format!("w{number}x");
        let requests = [
            Request::new(&format!("M{word}"), "/public/x"),
            Request::get("/public/x").host(&format!("{word}.example")),
            Request::get(&format!("/{word}/{word}")).token(&wallet.token()),
            Request::get("/public/x").header("User-Agent", &word),
            Request::get("/wallet/x").token(&wallet.token()),
            Request::get("/paid/x").token(&wallet.token()),
            Request::get("/wallet/x").token(&wallet.token_of(&wallet.text().for_domain(&format!("{word}.example")))),
            Request::get("/wallet/x").token(&format!("SIWX {word}.{word}")),
        ];
        for request in requests {
            gateway.send(&request);
            sent += 1;
        }
    }
    let metrics = gateway.metrics_when(|metrics| metrics.value("siwx_http_requests_in_flight") == 0.0);
    assert_eq!(series(&gateway), before);
    let by_status: Vec<&String> =
        metrics.0.keys().filter(|series| series.starts_with("siwx_http_requests_total{")).collect();
    assert!(by_status.len() < 20, "{by_status:?}");
    let counted: f64 = by_status.iter().map(|series| metrics.value(series)).sum();
    assert_eq!(counted, f64::from(sent + 1), "each request once");
    for word in ["w7x", "w8x", "127.0.0.1", "api.example.com", &Wallet::evm(2).address(), "0x"] {
        // Where the services are is known from the configuration.
        let mut lines = metrics.1.lines().filter(|line| !line.starts_with("siwx_upstream_endpoint_up{"));
        assert!(!lines.any(|line| line.contains(word)), "{word} in {}", metrics.1);
    }
}

/// What the routes refused by its path alone was counted nowhere.
#[test]
fn a_path_that_no_route_takes_is_counted_as_rejected() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    for (target, count) in [("/paid/a%2fb", 1.0), ("/paid/a;b", 2.0)] {
        assert_eq!(gateway.send(&Request::get(target)).outcome(), (400, "bad_path".to_owned()), "{target}");
        gateway.expect_metric("siwx_http_rejected_total{reason=\"bad_path\"}", count);
    }
}

/// The series that taking money adds, there before the first payment: routes that sell something, and the shop.
fn about_money() -> BTreeSet<String> {
    let open = ["reserved", "settling", "unknown"].map(|status| format!("siwx_payments_open{{status=\"{status}\"}}"));
    let mut series = BTreeSet::from(open);
    for route in ["dear", "first", "shop", "weather"] {
        for status in ["settled", "refused", "unknown", "replayed"] {
            series.insert(format!("siwx_payments_total{{route=\"{route}\",status=\"{status}\"}}"));
        }
    }
    for result in ["ok", "conflict", "error", "timeout"] {
        series.insert(format!("siwx_store_operations_total{{operation=\"payment\",result=\"{result}\"}}"));
    }
    let operations: [(&str, &[&str]); 3] = [
        ("verify", &["ok", "refused", "error", "timeout"]),
        ("settle", &["ok", "refused", "pending", "error", "timeout"]),
        ("supported", &["ok", "error", "timeout"]),
    ];
    for (operation, results) in operations {
        for result in results {
            series.insert(format!(
                "siwx_facilitator_requests_total{{facilitator=\"main\",operation=\"{operation}\",result=\"{result}\"}}"
            ));
        }
    }
    let reasons = [
        ("allow", "paid"),
        ("challenge", "bad_signature"),
        ("challenge", "no_credential"),
        ("challenge", "no_subscription"),
        ("challenge", "payment_invalid"),
        ("challenge", "payment_refused"),
        ("deny", "payment_in_progress"),
        ("deny", "payment_used"),
        ("error", "facilitator_unavailable"),
        ("error", "settlement_unknown"),
    ];
    for route in ["dear", "first", "weather"] {
        for (decision, reason) in reasons {
            series.insert(format!(
                "siwx_auth_decisions_total{{decision=\"{decision}\",reason=\"{reason}\",route=\"{route}\"}}"
            ));
        }
    }
    series
}

#[test]
fn what_is_counted_of_money_is_there_before_the_first_payment() {
    let shop = Shop::usual();
    let supported = "siwx_facilitator_requests_total{facilitator=\"main\",operation=\"supported\",result=\"ok\"}";
    shop.gateway.expect_metric(supported, 1.0);
    let metrics = shop.gateway.metrics();
    let expected = about_money();
    for series in &expected {
        assert_eq!(metrics.value(series), f64::from(u8::from(series == supported)), "{series}");
    }
    let about = |series: &&String| {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        name.starts_with("siwx_payments")
            || (name == "siwx_store_operations_total" && labels.contains("payment"))
            || name == "siwx_facilitator_requests_total"
            || (name == "siwx_auth_decisions_total"
                && ["challenge", "paid", "payment", "settlement", "facilitator"]
                    .iter()
                    .any(|word| labels.contains(word)))
    };
    let found: BTreeSet<String> = metrics.0.keys().filter(about).cloned().collect();
    assert_eq!(found, expected);
    for operation in ["verify", "settle", "supported"] {
        let labels = format!("{{facilitator=\"main\",operation=\"{operation}\",le=\"90\"}}");
        metrics.value(&format!("siwx_facilitator_duration_seconds_bucket{labels}"));
    }
}

#[test]
fn what_payments_add() {
    let (shop, wallet) = (Shop::usual(), Wallet::evm(1));
    shop.everybody_is(&wallet);
    let request = Request::get("/weather/x");
    let paid = shop.payment(&request, &wallet, 1).with(&request);
    assert_eq!(shop.gateway.send(&paid).status, 200);
    assert_eq!(shop.gateway.send(&paid).status, 409);
    assert_eq!(shop.gateway.send(&request.clone().header("PAYMENT-SIGNATURE", "e30=")).status, 402);
    assert_eq!(shop.gateway.send(&request.clone().header("SIGN-IN-WITH-X", "e30=")).status, 402);
    assert_eq!(shop.gateway.get("/weather/x", &Wallet::evm(2).token()).status, 402);
    shop.facilitator.on("/verify", Act::Close);
    assert_eq!(shop.pay(&request, &wallet, 2).status, 502);
    let first = Request::get("/first/x");
    shop.facilitator.on("/settle", refused("insufficient_funds"));
    assert_eq!(shop.pay(&first, &wallet, 3).status, 402);
    shop.facilitator.on("/settle", Act::Close);
    assert_eq!(shop.pay(&first, &wallet, 4).status, 502);
    assert_eq!(shop.sign_in("/weather/x", &wallet).status, 200);
    shop.gateway.expect_metric("siwx_http_requests_in_flight", 0.0);
    let metrics = shop.gateway.metrics();
    for (series, value) in [
        ("siwx_payments_total{route=\"weather\",status=\"settled\"}", 1.0),
        ("siwx_payments_total{route=\"weather\",status=\"replayed\"}", 1.0),
        ("siwx_payments_total{route=\"first\",status=\"refused\"}", 1.0),
        ("siwx_payments_total{route=\"first\",status=\"unknown\"}", 1.0),
        ("siwx_facilitator_requests_total{facilitator=\"main\",operation=\"verify\",result=\"ok\"}", 1.0),
        ("siwx_facilitator_requests_total{facilitator=\"main\",operation=\"verify\",result=\"error\"}", 1.0),
        ("siwx_facilitator_requests_total{facilitator=\"main\",operation=\"settle\",result=\"ok\"}", 1.0),
        ("siwx_facilitator_requests_total{facilitator=\"main\",operation=\"settle\",result=\"refused\"}", 1.0),
        ("siwx_facilitator_requests_total{facilitator=\"main\",operation=\"settle\",result=\"error\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"allow\",reason=\"paid\",route=\"weather\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"allow\",reason=\"ok\",route=\"weather\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"deny\",reason=\"payment_used\",route=\"weather\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"challenge\",reason=\"payment_invalid\",route=\"weather\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"challenge\",reason=\"bad_signature\",route=\"weather\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"challenge\",reason=\"no_subscription\",route=\"weather\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"challenge\",reason=\"no_credential\",route=\"weather\"}", 3.0),
        ("siwx_auth_decisions_total{decision=\"error\",reason=\"facilitator_unavailable\",route=\"weather\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"challenge\",reason=\"payment_refused\",route=\"first\"}", 1.0),
        ("siwx_auth_decisions_total{decision=\"error\",reason=\"settlement_unknown\",route=\"first\"}", 1.0),
        ("siwx_http_requests_total{code=\"402\",method=\"GET\",route=\"weather\"}", 6.0),
    ] {
        assert_eq!(metrics.value(series), value, "{series}");
    }
}
