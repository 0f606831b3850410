//! Payments: what they come out as, and the bounds of single values from both sides.

mod reports;

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
    let supported = json!({"feePayer": "EUzYVniKtgNNgFweMtRA9vciTWtE8MDTRfh6ai6VvXoU"});
    let terms = offers.iter().map(|offer| offer.terms(supported.as_object()).expect("terms"));
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
    let printed = |text: &str| {
        let environment = BTreeMap::new();
        let inputs = Inputs { text, name: NAME, environment: &environment, flags: &[], files: &no_file };
        print(&inputs).expect("a good file")
    };
    let config = config(&printed(&text));
    assert!(printed(&text).contains("\n[x402.accept.asset]\naddress = \"0x1c7d"));
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
