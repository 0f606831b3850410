//! Payments: what they come out as, and what about them is refused.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::{
    gate::settings::{PaymentSettings, PlanLimits, Quota, Rate},
    policy::{
        access::Scope,
        rule::Requirement,
        sale::{AccessScope, Sale, Settle},
    },
    x402::terms::{Offer, PaymentFlow},
};

/// A name, a part of the file, what stands there instead, and the whole report.
type Row = (&'static str, &'static str, &'static str, &'static str);

/// A file in which everything that is sold has a place.
const PAID: &str = r#"public_url = "http://127.0.0.1:8080"
[server]
listen = ["127.0.0.1:8080"]
[x402]
[[x402.facilitator]]
url = "https://facilitator.example/x402/"
[[x402.accept]]
network = "eip155:84532"
pay_to = "0x209693bc6afc0c5328ba36faf03c514ef312287c"
[[x402.accept]]
network = "solana:devnet"
pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
[[plan]]
name = "nano"
price = "$5.00"
[[plan]]
name = "gold"
[upstreams.api]
urls = ["http://127.0.0.1:3000"]
[[route]]
name = "all"
prefix = "/"
upstream = "api"
auth = "subscription"
[[route]]
name = "weather"
path = "/premium/weather"
upstream = "api"
auth = "payment"
price = "$0.01"
"#;

/// The file with one part of it replaced.
fn edited(from: &str, to: &str) -> String {
    assert!(PAID.contains(from), "{from}");
    PAID.replacen(from, to, 1)
}

fn payments(config: &Config) -> &PaymentSettings {
    config.gate.payments.as_ref().expect("payments")
}

fn sale<'c>(config: &'c Config, route: &str) -> Option<&'c Sale> {
    config.routes.iter().find(|rule| rule.name == route).expect(route).sale.as_ref()
}

/// Offers as terms, where the facilitator has said what they need.
fn terms(offers: &[Offer]) -> Vec<Value> {
    let supported = match json!({"feePayer": "EUzYVniKtgNNgFweMtRA9vciTWtE8MDTRfh6ai6VvXoU"}) {
        Value::Object(members) => members,
        _ => unreachable!("an object"),
    };
    let terms = offers.iter().map(|offer| offer.terms(Some(&supported)).expect("terms"));
    terms.map(|terms| serde_json::from_str(&terms.json()).expect("JSON")).collect()
}

/// What of an offer tells it from others.
fn told(offers: &[Offer]) -> Vec<(String, String, Value, Value)> {
    let terms = terms(offers).into_iter().map(|terms| {
        let text = |name: &str| terms[name].as_str().expect(name).to_owned();
        (text("network"), text("amount"), terms["extra"]["plan"].clone(), terms["extra"]["paymentFlow"].clone())
    });
    terms.collect()
}

#[test]
fn the_defaults_of_payments_are_those_of_the_contract() {
    let (config, report) = resolved(PAID, &[]).expect("a good file");
    assert_eq!(report.to_string(), "");
    let payments = payments(&config);
    assert_eq!((payments.statement.as_str(), payments.nonce_secret.is_some()), ("", false));
    assert_eq!((payments.require_issued_nonce, payments.proof_age_secs_max), (true, 300));
    assert_eq!((payments.shop.as_deref(), payments.public_status), (Some("/x402"), false));
    let chains: Vec<_> = payments.sign_in_chains.iter().map(ToString::to_string).collect();
    assert_eq!(chains, ["eip155:84532", "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"]);

    let [facilitator] = config.facilitators.as_slice() else { panic!("one facilitator") };
    assert_eq!(
        (facilitator.name.as_str(), facilitator.url.to_string().as_str()),
        ("main", "https://facilitator.example")
    );
    let times = (facilitator.verify_timeout, facilitator.settle_timeout);
    assert_eq!(times, (Duration::from_secs(10), Duration::from_secs(60)));
    assert!(facilitator.headers.is_empty() && facilitator.ca.is_none());
    let Place::File(span) = &config.places.facilitators[0] else { panic!("its URL is in the file") };
    assert_eq!(&PAID[span.clone()], "\"https://facilitator.example/x402/\"");

    assert_eq!(config.plans, ["nano", "gold"]);
    let unlimited = |name: &str| PlanLimits { name: name.to_owned(), rate: None, quota: None };
    assert_eq!(config.gate.plan_limits, [unlimited("nano"), unlimited("gold")]);
}

#[test]
fn every_price_is_offered_at_each_place() {
    let config = config(PAID);
    let weather = sale(&config, "weather").expect("a sale");
    let evm = |extra: Value| {
        json!({
            "scheme": "exact", "network": "eip155:84532", "amount": "10000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "maxTimeoutSeconds": 60, "extra": extra,
        })
    };
    let solana = json!({
        "scheme": "exact", "network": "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", "amount": "10000",
        "asset": "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
        "payTo": "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w", "maxTimeoutSeconds": 60,
        "extra": {"feePayer": "EUzYVniKtgNNgFweMtRA9vciTWtE8MDTRfh6ai6VvXoU"},
    });
    assert_eq!(terms(&weather.offers), [evm(json!({"name": "USDC", "version": "2"})), solana]);
    assert_eq!(terms(&weather.upfront)[0], evm(json!({"name": "USDC", "version": "2", "paymentFlow": "upfront"})));
    assert_eq!(
        (weather.settle, weather.access_for, weather.access_scope),
        (Settle::ByMethod, None, AccessScope::Route)
    );
    assert_eq!(weather.offers_for(&Method::GET).1, PaymentFlow::Authorization);

    let row =
        |network: &str, amount: &str, plan: Value, flow: Value| (network.to_owned(), amount.to_owned(), plan, flow);
    let devnet = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";
    let nano = || json!("nano");
    let expected = [row("eip155:84532", "5000000", nano(), Value::Null), row(devnet, "5000000", nano(), Value::Null)];
    let all = sale(&config, "all").expect("a sale");
    assert_eq!(told(&all.offers), expected);
    let upfront = json!("upfront");
    let expected_upfront =
        [row("eip155:84532", "5000000", nano(), upfront.clone()), row(devnet, "5000000", nano(), upfront)];
    assert_eq!(told(&all.upfront), expected_upfront);

    let [plan] = payments(&config).plans.as_slice() else { panic!("one plan has a price") };
    assert_eq!((plan.name.as_str(), plan.length), ("nano", Duration::from_secs(30 * 86_400)));
    assert_eq!(told(&plan.offers), expected);
}

#[test]
fn routes_sell_the_plans_that_open_them() {
    let text = edited("name = \"gold\"\n", "name = \"gold\"\nprice = \"$50\"\nperiod = \"1h\"\n");
    let rows: [(&str, &[&str]); 5] = [
        ("", &["nano", "nano", "gold", "gold"]),
        ("plans = [\"gold\", \"nano\"]", &["gold", "gold", "nano", "nano"]),
        ("plans = [\"gold\"]", &["gold", "gold"]),
        ("plans = [\"gold\", \"default\"]", &["gold", "gold"]),
        ("plans = [\"default\"]", &[]),
    ];
    for (line, expected) in rows {
        let config = config(&text.replacen("\"subscription\"", &format!("\"subscription\"\n{line}"), 1));
        let sold: Vec<_> = sale(&config, "all")
            .map(|sale| told(&sale.offers))
            .unwrap_or_default()
            .into_iter()
            .map(|row| row.2)
            .collect();
        assert_eq!(sold, expected, "{line}");
    }
    // A plan without a price may open what is paid for; the payment buys the route.
    let config = config(&edited("price = \"$0.01\"", "price = \"$0.01\"\nplans = [\"gold\"]"));
    assert_eq!(config.routes[1].requirement, Requirement::Payment { plans: vec!["gold".to_owned()] });
    assert_eq!(told(&sale(&config, "weather").expect("a sale").offers)[0].2, Value::Null);
}

#[test]
fn values_of_payments() {
    let text = edited(
        "[x402]\n",
        r#"[x402]
statement = "Sign in to use the paid API"
nonce_secret = "0123456789abcdef0123456789abcdef"
require_issued_nonce = false
proof_age_max = "1m"
sign_in_chains = ["solana:mainnet", "eip155:84532", "solana:mainnet-beta"]
shop = "/buy/here/"
public_status = true
"#,
    );
    let text = text.replacen(
        "price = \"$5.00\"",
        "price = \"$5.00\"\nrate = { rate = \"20/s\", burst = 40 }\nquota = { requests = 100000, window = \"30d\" }",
        1,
    );
    let text = text.replacen(
        "price = \"$0.01\"",
        r#"price = "$0.01"
description = "Weather — now"
mime_type = "application/json"
access_for = "24h"
access_scope = "path"
settle = "before""#,
        1,
    );
    let (config, report) = resolved(&text, &[]).expect("a good file");
    assert_eq!(report.to_string(), "");
    let payments = payments(&config);
    assert_eq!(payments.statement, "Sign in to use the paid API");
    let secret = payments.nonce_secret.as_ref().expect("a secret");
    assert!(secret.matches(b"0123456789abcdef0123456789abcdef"));
    assert_eq!((payments.require_issued_nonce, payments.proof_age_secs_max), (false, 60));
    let chains: Vec<_> = payments.sign_in_chains.iter().map(ToString::to_string).collect();
    assert_eq!(chains, ["solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "eip155:84532"]);
    assert_eq!((payments.shop.as_deref(), payments.public_status), (Some("/buy/here"), true));
    let limits = &config.gate.plan_limits[0];
    assert_eq!(limits.rate, Some(Rate { per_second: 20.0, burst: 40 }));
    assert_eq!(limits.quota, Some(Quota { requests: 100_000, window: Duration::from_secs(30 * 86_400) }));
    let weather = sale(&config, "weather").expect("a sale");
    assert_eq!((weather.description.as_str(), weather.mime_type.as_str()), ("Weather — now", "application/json"));
    assert_eq!(weather.access_for, Some(Duration::from_secs(86_400)));
    assert_eq!((weather.access_scope, weather.settle), (AccessScope::Path, Settle::Before));
}

#[test]
fn tokens_of_other_names() {
    let table =
        "{ address = \"0x1c7d4b196cb0c7b01d743fbc6116a902379c7238\", decimals = 2, name = \"USD₮0\", version = \"1\" }";
    let text = edited(
        "network = \"eip155:84532\"",
        &format!("network = \"eip155:11155111\"\nasset = {table}\nscheme = \"upto\""),
    );
    let config = config(&text);
    let supported = json!({"facilitatorAddress": "0xFAC"});
    let offer = &sale(&config, "weather").expect("a sale").offers[0];
    let terms = offer.terms(supported.as_object()).expect("terms");
    let terms: Value = serde_json::from_str(&terms.json()).expect("JSON");
    assert_eq!(
        (&terms["asset"], &terms["amount"]),
        (&json!("0x1c7D4B196Cb0C7B01d743Fbc6116a902379C7238"), &json!("1"))
    );
    assert_eq!((&terms["scheme"], &terms["extra"]["name"]), (&json!("upto"), &json!("USD₮0")));
}

#[test]
fn who_takes_proofs_that_sign_in() {
    let route = "path = \"/premium/weather\"";
    let with = |line: &str| edited(route, &format!("{route}\n{line}"));
    let wallet = edited("auth = \"payment\"\nprice = \"$0.01\"", "auth = \"wallet\"");
    let auth = edited("[x402]", "[auth]\ncarriers = [\"authorization\"]\n[x402]");
    let rows = [
        ("by default", PAID.to_owned(), true),
        ("switched off", with("sign_in = false"), false),
        ("named by the route", with("carriers = [\"authorization\", \"sign-in-with-x\"]"), true),
        ("not named by the route", with("carriers = [\"authorization\"]"), false),
        ("not named by [auth]", auth.clone(), false),
        (
            "named by the route alone",
            auth.replacen(route, &format!("{route}\ncarriers = [\"sign-in-with-x\", \"authorization\"]"), 1),
            true,
        ),
        ("a wallet suffices", wallet.clone(), true),
        ("public", wallet.replacen("\"wallet\"", "\"none\"", 1), false),
    ];
    for (name, text, expected) in rows {
        let config = config(&text);
        assert_eq!(config.routes[1].sign_in, expected, "{name}");
    }
    assert!(config(&wallet).routes[1].sale.is_none());
}

#[test]
fn secrets_of_facilitators_stay_secret_and_their_files_are_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let write = |token: &str| std::fs::write(&path, token).expect("a file");
    write("one\n");
    let url = "url = \"https://facilitator.example/x402/\"\n";
    let headers = format!(
        "{url}headers = {{ Authorization = \"Bearer ${{file:{0}}}.${{TAIL}}\", X-Key = \"hunter2\", X-Tail = \"${{TAIL}}\" }}\n",
        path.display()
    );
    let text = edited(url, &headers);
    let environment = environment(&[("TAIL", "t41l")]);
    let files = |path: &Path| std::fs::read_to_string(path);
    let inputs = Inputs { text: &text, name: NAME, environment: &environment, flags: &[], files: &files };
    let (config, _) = resolve(&inputs).expect("a good file");
    let values = || -> Vec<String> {
        let headers = config.facilitators[0].headers.iter();
        headers.map(|header| header.value().expect("a value").to_str().expect("a text").to_owned()).collect()
    };
    assert_eq!(values(), ["Bearer one.t41l", "hunter2", "t41l"]);
    write("two");
    assert_eq!(values(), ["Bearer two.t41l", "hunter2", "t41l"]);

    let printed = print(&inputs).expect("a good file");
    assert!(
        printed
            .contains("headers = { Authorization = \"[redacted]\", X-Key = \"[redacted]\", X-Tail = \"[redacted]\" }")
    );
    for shown in [printed, format!("{config:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains("one.") && !shown.contains("t41l"), "{shown}");
    }
}

#[test]
fn a_payment_outlives_the_slowest_upstream_of_what_is_sold() {
    let other = "[upstreams.slow]\nurls = [\"http://127.0.0.1:3001\"]\nresponse_timeout = \"90s\"\n[upstreams.api]";
    let rows = [
        ("long enough", "response_timeout = \"45s\"", "[upstreams.api]", true),
        ("a millisecond too long", "response_timeout = \"45001ms\"", "[upstreams.api]", false),
        ("of an upstream of nothing that is sold", "", other, true),
    ];
    for (name, line, upstreams, good) in rows {
        let text = edited("urls = [\"http://127.0.0.1:3000\"]", &format!("urls = [\"http://127.0.0.1:3000\"]\n{line}"));
        let text = text.replacen("[upstreams.api]", upstreams, 1);
        assert_eq!(resolved(&text, &[]).is_ok(), good, "{name}");
    }
}

#[test]
fn names_of_routes_and_plans_make_scopes() {
    for name in ["a", "a-b_9", &"z".repeat(32)] {
        assert!(Scope::plan(name).is_ok() && Scope::route(name).is_ok() && Scope::route_path(name, "/a").is_ok());
    }
}

#[test]
fn statements_and_shops() {
    let long = "a".repeat(2049);
    let statements = [
        ("Sign in!", true),
        (&long[..2048], true),
        (&long, false),
        ("Melde dich an, bitte schön", false),
        ("a\\nb", false),
        ("a\\u007f", false),
        ("x wants you to sign in with your y", false),
    ];
    for (text, good) in statements {
        let result = resolved(&edited("[x402]\n", &format!("[x402]\nstatement = \"{text}\"\n")), &[]);
        assert_eq!(result.is_ok(), good, "{text}");
    }
    let shops = [
        ("", Some(None)),
        ("/x402", Some(Some("/x402"))),
        ("/a/b/", Some(Some("/a/b"))),
        ("/premium/weather/buy", Some(Some("/premium/weather/buy"))),
        ("/", None),
        ("//", None),
        ("x402", None),
        ("/x402/../a", None),
        ("/a%62", None),
        ("/a b", None),
        ("/premium", None),
        ("/premium/WEATHER", None),
    ];
    for (text, expected) in shops {
        let result = resolved(&edited("[x402]\n", &format!("[x402]\nshop = \"{text}\"\n")), &[]);
        let shop = result.ok().map(|(config, _)| payments(&config).shop.clone());
        assert_eq!(shop, expected.map(|shop| shop.map(str::to_owned)), "{text}");
    }
}

#[test]
fn schemas_of_tables_in_the_place_of_strings() {
    let schema = schema();
    let accept = &schema["properties"]["x402"]["properties"]["accept"]["items"];
    assert_eq!(accept["required"], json!(["network", "pay_to"]));
    assert_eq!(accept["properties"]["asset"]["anyOf"][0], json!({"type": "string"}));
    assert_eq!(accept["properties"]["asset"]["anyOf"][1]["required"], json!(["address", "decimals"]));
    let facilitator = &schema["properties"]["x402"]["properties"]["facilitator"]["items"];
    assert_eq!(facilitator["properties"]["headers"]["additionalProperties"], json!({"type": "string"}));
}

#[test]
fn places_facilitators_and_offers_have_a_bound() {
    let accept = |i: usize| {
        format!(
            "[[x402.accept]]\nnetwork = \"eip155:{i}\"\npay_to = \"0x0000000000000000000000000000000000000001\"\nasset = {{ address = \"0x036cbd53842c5426634e7929541ec2318f3dcf7e\", decimals = 6, name = \"a\", version = \"1\" }}\n"
        )
    };
    let facilitator = |i: usize| format!("[[x402.facilitator]]\nname = \"f{i}\"\nurl = \"https://f{i}.example\"\n");
    let plan = |i: usize| format!("[[plan]]\nname = \"p{i}\"\nprice = \"${i}\"\n");
    let with = |text: String| edited("[[plan]]\n", &format!("{text}[[plan]]\n"));
    for (extra, good) in [(14, true), (15, false)] {
        let text = with((1..=extra).map(accept).collect());
        assert_eq!(resolved(&text, &[]).is_ok(), good, "{extra} more places");
    }
    for (extra, good) in [(7, true), (8, false)] {
        let text = with((1..=extra).map(facilitator).collect());
        assert_eq!(resolved(&text, &[]).is_ok(), good, "{extra} more facilitators");
    }
    for (extra, warned) in [(11, false), (12, true)] {
        let (_, report) = resolved(&with((1..=extra).map(plan).collect()), &[]).expect("a warning at most");
        assert_eq!(report.to_string().contains("route \"all\" offers 26 prices"), warned, "{extra} more plans");
        assert_eq!(report.is_empty(), !warned, "{extra} more plans");
    }
    for (key, bytes_max) in [("description", 1024), ("mime_type", 255)] {
        for (bytes, good) in [(bytes_max, true), (bytes_max + 1, false)] {
            let text = edited("price = \"$0.01\"", &format!("price = \"$0.01\"\n{key} = \"{}\"", "a".repeat(bytes)));
            assert_eq!(resolved(&text, &[]).is_ok(), good, "{key} of {bytes}");
        }
    }
}

#[test]
fn faults_of_payments_are_told_with_place_and_hint() {
    for (name, from, to, expected) in FAULTS {
        let report = resolved(&edited(from, to), &[]).expect_err(name);
        assert_eq!(report.to_string(), *expected, "{name}");
    }
}

#[test]
fn warnings_of_payments() {
    for (name, from, to, expected) in WARNINGS {
        let (_, report) = resolved(&edited(from, to), &[]).expect(name);
        assert_eq!(report.to_string(), *expected, "{name}");
    }
}

const FAULTS: &[Row] = &[
    (
        "no [x402]",
        r#"[x402]
[[x402.facilitator]]
url = "https://facilitator.example/x402/"
[[x402.accept]]
network = "eip155:84532"
pay_to = "0x209693bc6afc0c5328ba36faf03c514ef312287c"
[[x402.accept]]
network = "solana:devnet"
pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
"#,
        r#""#,
        r#"error: plan "nano" has a price, and there is no [x402]
 --> siwx-gateway.toml:6:9
  |
6 | price = "$5.00"
  |         ^^^^^^^ it says how payments are made
error: route "weather" is to be paid for, and there is no [x402]
  --> siwx-gateway.toml:20:8
   |
20 | auth = "payment"
   |        ^^^^^^^^^ it says how payments are made
"#,
    ),
    (
        "nobody to ask, nowhere to pay",
        r#"[[x402.facilitator]]
url = "https://facilitator.example/x402/"
[[x402.accept]]
network = "eip155:84532"
pay_to = "0x209693bc6afc0c5328ba36faf03c514ef312287c"
[[x402.accept]]
network = "solana:devnet"
pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
"#,
        r#"sign_in_chains = ["eip155:1"]
"#,
        r#"error: there are prices and no facilitator
 --> siwx-gateway.toml:4:2
  |
4 | [x402]
  |  ^^^^ expected at least one [[x402.facilitator]]: it verifies payments and moves the money
error: plan "nano" has a price, and no [[x402.accept]] says where money goes
 --> siwx-gateway.toml:8:9
  |
8 | price = "$5.00"
  |         ^^^^^^^ expected at least one
error: route "weather" has a price, and no [[x402.accept]] says where money goes
  --> siwx-gateway.toml:23:9
   |
23 | price = "$0.01"
   |         ^^^^^^^ expected at least one
"#,
    ),
    (
        "places where money goes",
        r#"network = "eip155:84532"
pay_to = "0x209693bc6afc0c5328ba36faf03c514ef312287c"
"#,
        r#"network = "eip155:2"
pay_to = "0x209693BC6afc0C5328bA36FaF03C514EF312287C"
[[x402.accept]]
network = "bip122:000000000019d6689c085ae165831e93"
pay_to = "x"
asset = "usdt"
[[x402.accept]]
network = "eip155:1"
pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
asset = "usdt"
[[x402.accept]]
network = "eip155:137"
pay_to = "0x0000000000000000000000000000000000000001"
asset = { address = "0x01", decimals = 6, version = "1" }
"#,
        r#"error: asset `usdc` is not known on `eip155:2`
 --> siwx-gateway.toml:8:11
  |
8 | network = "eip155:2"
  |           ^^^^^^^^^^ it is known on: eip155:1, eip155:137, eip155:8453, eip155:42161, eip155:43114, eip155:84532, eip155:421614, solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp, solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1; elsewhere expected a table of address, decimals, name and version
error: the checksum of `0x209693BC6afc0C5328bA36FaF03C514EF312287C` is wrong
 --> siwx-gateway.toml:9:10
  |
9 | pay_to = "0x209693BC6afc0C5328bA36FaF03C514EF312287C"
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ is it mistyped? In lower case it is taken as it is
error: `bip122:000000000019d6689c085ae165831e93` is no network to be paid on
  --> siwx-gateway.toml:11:11
   |
11 | network = "bip122:000000000019d6689c085ae165831e93"
   |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a CAIP-2 id of `eip155` or `solana`, such as `eip155:8453`
error: `EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w` is no address of `eip155`
  --> siwx-gateway.toml:16:10
   |
16 | pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
   |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
error: unknown asset `usdt`
  --> siwx-gateway.toml:17:9
   |
17 | asset = "usdt"
   |         ^^^^^^ expected `usdc`, or a table of address, decimals, name and version
error: the asset has no `name`
  --> siwx-gateway.toml:21:1
   |
21 | asset = { address = "0x01", decimals = 6, version = "1" }
   | ^^^^^ it is of the token's EIP-712 domain, without which nobody can sign
error: `0x01` is no address of `eip155`
  --> siwx-gateway.toml:21:21
   |
21 | asset = { address = "0x01", decimals = 6, version = "1" }
   |                     ^^^^^^
"#,
    ),
    (
        "upto on Solana, and twice the same",
        r#"network = "solana:devnet"
"#,
        r#"network = "solana:devnet"
scheme = "upto"
pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
[[x402.accept]]
network = "eip155:84532"
timeout = "61s"
pay_to = "0x0000000000000000000000000000000000000001"
[[x402.accept]]
network = "solana:devnet"
"#,
        r#"error: scheme `upto` cannot be offered on `solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1`
  --> siwx-gateway.toml:12:10
   |
12 | scheme = "upto"
   |          ^^^^^^ expected `exact`: there it would need an escrow
error: `exact` on `eip155:84532` in the same token stands twice
  --> siwx-gateway.toml:14:1
   |
14 | [[x402.accept]]
   | ^^^^^^^^^^^^^^^ money of one kind goes to one place
"#,
    ),
    (
        "facilitators",
        r#"url = "https://facilitator.example/x402/"
"#,
        r#"url = "http://facilitator.example"
[[x402.facilitator]]
url = "https://me:hunter2@facilitator.example"
name = "Main"
[[x402.facilitator]]
url = "http://127.0.0.1:4021"
headers = { Host = "hunter2", X-Key = "hunter\n2", x-key = 5 }
[[x402.facilitator]]
url = "http://localhost"
"#,
        r#"error: `http://facilitator.example` speaks plain HTTP and is not on loopback
 --> siwx-gateway.toml:6:7
  |
6 | url = "http://facilitator.example"
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `https://`: whoever answers in its place says what is paid
error: `[redacted]` is no URL of a facilitator
 --> siwx-gateway.toml:8:7
  |
8 | url = "**************************************"
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a URL such as `https://facilitator.example/x402`: it has user information; name a header instead
error: `Main` is no name of a facilitator
 --> siwx-gateway.toml:9:8
  |
9 | name = "Main"
  |        ^^^^^^ expected 1 to 32 characters out of a-z, 0-9, `_` and `-`
error: `Host` is no header that may be set
  --> siwx-gateway.toml:12:13
   |
12 | headers = { Host = "*******", X-Key = "*********", x-key = * }
   |             ^^^^ expected the name of a header that does not frame a request
error: the value of `X-Key` holds characters that no header may have
  --> siwx-gateway.toml:12:39
   |
12 | headers = { Host = "*******", X-Key = "*********", x-key = * }
   |                                       ^^^^^^^^^^^ expected visible characters
error: `x402.facilitator.headers.x-key`: expected a string, found an integer
  --> siwx-gateway.toml:12:60
   |
12 | headers = { Host = "*******", X-Key = "*********", x-key = * }
   |                                                            ^
error: facilitator "main" stands twice
  --> siwx-gateway.toml:13:1
   |
13 | [[x402.facilitator]]
   | ^^^^^^^^^^^^^^^^^^^^ names are metric labels
"#,
    ),
    (
        "prices",
        r#"price = "$5.00""#,
        r#"price = "5"
[[plan]]
name = "fine"
price = "$0.0000001"
[[plan]]
name = "free"
price = "$0"
"#,
        r#"error: `5` is no price
  --> siwx-gateway.toml:15:9
   |
15 | price = "5"
   |         ^^^ expected something like `$0.01`
error: the price of plan "fine" cannot be paid on `eip155:84532`
  --> siwx-gateway.toml:18:9
   |
18 | price = "$0.0000001"
   |         ^^^^^^^^^^^^ expected at most 6 digits after the point, as the token has, found 7
error: `$0` is no price
  --> siwx-gateway.toml:21:9
   |
21 | price = "$0"
   |         ^^^^ expected a price above zero
"#,
    ),
    (
        "a route without its price",
        r#"price = "$0.01""#,
        r#"access_scope = "path""#,
        r#"error: route "weather" is to be paid for and has no price
  --> siwx-gateway.toml:29:8
   |
29 | auth = "payment"
   |        ^^^^^^^^^ expected a key such as `price = "$0.01"`
"#,
    ),
    (
        "keys of a sale that is none",
        r#"auth = "subscription"
"#,
        r#"auth = "subscription"
price = "$1"
access_for = "1h"
[[route]]
name = "w"
path = "/w"
upstream = "api"
access_scope = "path"
settle = "before"
description = "x"
plans = ["nano"]
"#,
        r#"error: `price` of route "all" has no use with `auth = "subscription"`
  --> siwx-gateway.toml:25:9
   |
25 | price = "$1"
   |         ^^^^ it counts with `auth = "payment"`
error: `access_for` of route "all" has no use with `auth = "subscription"`
  --> siwx-gateway.toml:26:14
   |
26 | access_for = "1h"
   |              ^^^^ it counts with `auth = "payment"`
error: `access_scope` of route "w" has no use with `auth = "wallet"`
  --> siwx-gateway.toml:31:16
   |
31 | access_scope = "path"
   |                ^^^^^^ it counts with `auth = "payment"`
error: `settle` of route "w" has no use with `auth = "wallet"`
  --> siwx-gateway.toml:32:10
   |
32 | settle = "before"
   |          ^^^^^^^^ it counts with `auth = "payment"` or `"subscription"`
error: `description` of route "w" has no use with `auth = "wallet"`
  --> siwx-gateway.toml:33:15
   |
33 | description = "x"
   |               ^^^ it counts with `auth = "payment"` or `"subscription"`
error: route "w" names plans, but `auth = "wallet"` asks for none
  --> siwx-gateway.toml:34:9
   |
34 | plans = ["nano"]
   |         ^^^^^^^^ they count with `auth = "subscription"` or `"payment"`
"#,
    ),
    (
        "a payment that lapses",
        r#"network = "solana:devnet"
"#,
        r#"network = "solana:devnet"
timeout = "44s"
"#,
        r#"error: a payment on `solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1` may lapse before upstream "api" of route "all" answers
  --> siwx-gateway.toml:12:11
   |
12 | timeout = "44s"
   |           ^^^^^ expected at least `45s`: its response_timeout of 30s, and 15s to settle
"#,
    ),
    (
        "a route in the shop",
        r#"path = "/premium/weather""#,
        r#"path = "/X402/pricing""#,
        r#"error: route "weather" lies under `/x402`, where plans are sold
  --> siwx-gateway.toml:27:8
   |
27 | path = "/X402/pricing"
   |        ^^^^^^^^^^^^^^^ expected it elsewhere, or another `x402.shop`
"#,
    ),
    (
        "chains to sign in on",
        r#"[x402]
"#,
        r#"[chains.eip155]
allow = ["eip155:1"]
[x402]
sign_in_chains = ["eip155:84532", "bip122:000000000019d6689c085ae165831e93", "solana", "eip155:1"]
"#,
        r#"error: nobody can sign in on `eip155:84532`
 --> siwx-gateway.toml:7:19
  |
7 | sign_in_chains = ["eip155:84532", "bip122:000000000019d6689c085ae165831e93", "solana", "eip155:1"]
  |                   ^^^^^^^^^^^^^^ `chains.eip155.allow` does not let it in
error: nobody can sign in on `bip122:000000000019d6689c085ae165831e93`
 --> siwx-gateway.toml:7:35
  |
7 | sign_in_chains = ["eip155:84532", "bip122:000000000019d6689c085ae165831e93", "solana", "eip155:1"]
  |                                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a CAIP-2 id of: eip155, solana
error: nobody can sign in on `solana`
 --> siwx-gateway.toml:7:78
  |
7 | sign_in_chains = ["eip155:84532", "bip122:000000000019d6689c085ae165831e93", "solana", "eip155:1"]
  |                                                                              ^^^^^^^^ expected a CAIP-2 id of: eip155, solana
"#,
    ),
    (
        "no chain to sign in on",
        r#"[x402]
"#,
        r#"[chains]
eip155.allow = []
solana.allow = ["solana:mainnet"]
[x402]
"#,
        r#"error: [x402] names no chain to sign in on
 --> siwx-gateway.toml:7:2
  |
7 | [x402]
  |  ^^^^ expected `sign_in_chains`, or [[x402.accept]] on a network that [chains] lets in
"#,
    ),
    (
        "carriers",
        r#"auth = "payment"
"#,
        r#"auth = "payment"
price = "$1"
carriers = ["sign-in-with-x"]
[[route]]
name = "b"
path = "/b"
upstream = "api"
carriers = ["cookie", "session"]
[[route]]
name = "c"
path = "/c"
upstream = "api"
auth = "payment"
"#,
        r#"error: carriers without `authorization` are not built yet
  --> siwx-gateway.toml:31:12
   |
31 | carriers = ["sign-in-with-x"]
   |            ^^^^^^^^^^^^^^^^^^ expected it beside `sign-in-with-x`
error: unknown carrier `cookie`
  --> siwx-gateway.toml:36:13
   |
36 | carriers = ["cookie", "session"]
   |             ^^^^^^^^ expected `authorization` or `sign-in-with-x`
error: carrier `session` is not built yet
  --> siwx-gateway.toml:36:23
   |
36 | carriers = ["cookie", "session"]
   |                       ^^^^^^^^^ expected `authorization` or `sign-in-with-x`
"#,
    ),
];

const WARNINGS: &[Row] = &[
    (
        "test money",
        r#"network = "eip155:84532""#,
        r#"network = "eip155:8453""#,
        r#"warning: `eip155:8453` and `solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1` are a main and a test network
  --> siwx-gateway.toml:11:11
   |
11 | network = "solana:devnet"
   |           ^^^^^^^^^^^^^^^ test money would open what real money buys
"#,
    ),
    (
        "a chain that is paid on first",
        r#"[x402]
"#,
        r#"[x402]
sign_in_chains = ["eip155:1"]
"#,
        r#"warning: nobody can sign in on `eip155:84532`, the first network to be paid on
 --> siwx-gateway.toml:5:18
  |
5 | sign_in_chains = ["eip155:1"]
  |                  ^^^^^^^^^^^^ many clients sign in on that one or not at all, and pay again
"#,
    ),
    (
        "a secret that can be guessed",
        r#"[x402]
"#,
        r#"[x402]
nonce_secret = "hunter2"
"#,
        r#"warning: `x402.nonce_secret` has 7 characters
 --> siwx-gateway.toml:5:16
  |
5 | nonce_secret = "*******"
  |                ^^^^^^^^^ whoever has seen a nonce can guess at it; expected at least 32
"#,
    ),
];
