//! `tests/vectors/x402-challenges.json` off the wire: what a gateway asks for is what the protocol's own server asks
//! for, from equal configuration. The HTML page that it has for browsers is optional, and not made here.

use serde_json::{Value, json};

use super::flows::{comparable, vectors};
use crate::harness::{
    Request, Shop, Till, Upstream, Wallet,
    shop::{DEVNET, SEPOLIA, proof, signed},
};

/// The server of the vectors has a setting of its own for each route; here they are several gateways.
struct Server {
    path: &'static str,
    route: &'static str,
    networks: &'static [&'static str],
    keys: &'static str,
}

const WEATHER: &str =
    "auth = \"payment\"\nprice = \"$0.01\"\ndescription = \"Weather\"\nmime_type = \"application/json\"";

const SERVERS: [Server; 7] = [
    Server {
        path: "/premium/weather",
        route: WEATHER,
        networks: &[SEPOLIA, DEVNET],
        keys: "statement = \"Sign in to use the paid API\"",
    },
    Server {
        path: "/premium/%77eather",
        route: WEATHER,
        networks: &[SEPOLIA, DEVNET],
        keys: "statement = \"Sign in to use the paid API\"",
    },
    Server {
        path: "/premium/evm",
        route: "auth = \"payment\"\nprice = \"$0.01\"\ndescription = \"EVM only\"\nmime_type = \"application/json\"",
        networks: &[SEPOLIA],
        keys: "",
    },
    Server {
        path: "/premium/wide",
        route: "auth = \"payment\"\nprice = \"$0.01\"\ndescription = \"More chains to sign in with than to pay with\"",
        networks: &[SEPOLIA],
        keys: "statement = \"Sign in\"\n\
               sign_in_chains = [\"eip155:1\", \"eip155:8453\", \"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp\"]",
    },
    Server {
        path: "/premium/upfront",
        route: "auth = \"payment\"\nprice = \"$0.01\"\ndescription = \"Settles first\"\nmime_type = \"application/json\"\n\
                settle = \"before\"",
        networks: &[SEPOLIA],
        keys: "",
    },
    Server {
        path: "/premium/plain",
        route: "auth = \"payment\"\nprice = \"$0.01\"\ndescription = \"No sign-in\"\nmime_type = \"application/json\"\n\
                sign_in = false",
        networks: &[SEPOLIA],
        keys: "",
    },
    Server {
        path: "/profile",
        route: "auth = \"wallet\"",
        networks: &[SEPOLIA, DEVNET],
        keys: "statement = \"Sign in to see your profile\"",
    },
];

/// The answer of a gateway that is configured as the server of the vectors was for this target.
fn asked(vectors: &Value, request: &Value) -> (u16, Option<String>, Value) {
    let target = request["path"].as_str().expect("a path");
    let path = target.split('?').next().expect("a path");
    let server = SERVERS.iter().find(|server| server.path == path).expect(path);
    let canonical = path.replace("%77", "w");
    let route = format!("[[route]]\nname = \"it\"\npath = \"{canonical}\"\nupstream = \"api\"\n{}\n", server.route);
    let till = Till::default().on(server.networks).keys(&format!("{}\n", server.keys));
    let shop = Shop::before(Upstream::ok(), &route, &till);
    shop.gateway.set_time(vectors["now"].as_str().expect("a time"));
    if !server.route.contains("wallet") {
        shop.offering(path, server.networks.len());
    }
    let mut asked = Request::get(target);
    for (name, value) in request["headers"].as_object().expect("fields") {
        asked = asked.header(name, value.as_str().expect("a text"));
    }
    let answer = shop.gateway.send(&asked);
    assert_eq!(shop.upstream.take().len(), 0, "{target}");
    let caching = answer.one("cache-control").map(str::to_owned);
    (answer.status, caching, answer.decoded("payment-required").unwrap_or_default())
}

#[test]
#[expect(clippy::print_stdout, reason = "the count belongs into the log of a test run")]
fn challenges() {
    let vectors = vectors("x402-challenges.json");
    let cases = vectors["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 9);
    let mut failures = Vec::new();
    for case in cases {
        let response = &case["response"];
        let mut expected = response["decoded"]["payment-required"].clone();
        if case["request"]["path"] == "/profile" {
            // A route that sells nothing has nothing to describe here.
            expected["resource"]["description"] = json!("");
        }
        let expected = (402, Some("no-store".to_owned()), comparable(expected, true));
        assert_eq!(response["status"], 402);
        let (status, caching, found) = asked(&vectors, &case["request"]);
        let found = (status, caching, comparable(found, true));
        if found != expected {
            failures.push(format!("{}\n  expected {expected:?}\n  found    {found:?}", case["name"]));
        }
    }
    println!("x402-challenges.json: {} of 9", 9 - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Section 8: times of the clock, 300 seconds apart, and a nonce that is new each time.
#[test]
fn each_challenge_has_a_nonce_of_its_own() {
    let shop = Shop::usual();
    let info = |challenge: Value| challenge["extensions"]["sign-in-with-x"]["info"].clone();
    let [first, second] = [0, 1].map(|_| info(shop.challenge(&Request::get("/weather/x"))));
    for info in [&first, &second] {
        assert_eq!(info["issuedAt"], "2026-11-20T10:00:01.000Z");
        assert_eq!(info["expirationTime"], "2026-11-20T10:05:01.000Z");
        let nonce = info["nonce"].as_str().expect("a nonce");
        assert!(nonce.len() == 58 && nonce.bytes().all(|letter| letter.is_ascii_hexdigit()), "{nonce}");
    }
    assert_ne!(first["nonce"], second["nonce"]);
}

/// Sections 2 and 8: a challenge names the host that was asked, of those that are served, and never what a client adds.
#[test]
fn a_challenge_names_the_origin_that_was_asked() {
    let shop = Shop::usual();
    let forged = Request::get("/weather/x?a=1")
        .header("X-Forwarded-Host", "evil.example")
        .header("X-Forwarded-Proto", "http")
        .header("Forwarded", "host=evil.example;proto=http");
    for (host, origin) in [
        ("api.example.com", "https://api.example.com"),
        ("API.Example.com:8443", "https://api.example.com"),
        ("other.example.com", "https://other.example.com"),
    ] {
        let challenge = shop.challenge(&forged.clone().host(host));
        let info = &challenge["extensions"]["sign-in-with-x"]["info"];
        let uri = format!("{origin}/weather/x?a=1");
        assert_eq!(challenge["resource"]["url"], *uri, "{host}");
        assert_eq!(info["uri"], *uri, "{host}");
        assert_eq!(info["resources"], json!([uri]), "{host}");
        assert_eq!(format!("https://{}", info["domain"].as_str().expect("a domain")), origin, "{host}");
    }
}

/// A sign-in for one of our hosts is none for another: the nonce is bound to its host as the domain is.
#[test]
fn a_challenge_of_one_host_does_not_open_another() {
    let shop = Shop::usual();
    let wallet = Wallet::evm(1);
    shop.everybody_is(&wallet);
    assert_eq!(shop.pay(&Request::get("/weather/x"), &wallet, 1).status, 200);
    let elsewhere = Request::get("/weather/x").host("other.example.com");
    let foreign = shop.challenge(&elsewhere);
    let mut moved = proof(&wallet, &foreign);
    moved["domain"] = json!("api.example.com");
    moved["uri"] = json!("https://api.example.com/weather/x");
    for (what, request, proof, status, reason) in [
        ("as it is", Request::get("/weather/x"), proof(&wallet, &foreign), 402, json!("invalid_siwx_domain_mismatch")),
        ("with another domain", Request::get("/weather/x"), moved, 402, json!("invalid_siwx_nonce")),
        ("where it was issued", elsewhere.clone(), proof(&wallet, &foreign), 200, Value::Null),
    ] {
        let answer = shop.gateway.send(&request.header("SIGN-IN-WITH-X", &signed(&wallet, proof)));
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        if status == 402 {
            assert_eq!(answer.json()["siwx"]["reason"], reason, "{what}");
        }
    }
}
