//! What an upstream is told under the gateway's signature (sessions.md section 2.4): `X-SIWX-Assertion`, and the keys that
//! it is verified by. They are read here as any upstream would read them, by what is published.

use data_encoding::BASE64URL_NOPAD;
use p256::ecdsa::signature::Verifier as _;
use serde_json::{Value, json};

use crate::{
    harness::{Gateway, NOW, Request, Seen, Setup, Shop, Till, Upstream, Wallet, shop, time},
    identity::spellings,
    session_api::Api,
};

/// The name of the field, as upstreams see it.
const ASSERTION: &str = "x-siwx-assertion";

const ALGORITHMS: [&str; 2] = ["EdDSA", "ES256"];

/// A key of each algorithm, as `openssl genpkey` writes it. They are nobody's.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                       -----END PRIVATE KEY-----\n";

/// What `openssl genpkey` calls the first of them: the thumbprint of RFC 8037 section A.3.
const ED25519_KID: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

fn signing(setup: Setup) -> Setup {
    setup.set("auth.assertion.enabled", "true")
}

/// The keys that a gateway publishes.
fn published(gateway: &Gateway) -> Vec<Value> {
    let answer = gateway.send(&Request::get("/.siwx/jwks.json"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.one("content-type"), Some("application/json"));
    assert_eq!(answer.one("cache-control"), Some("public, max-age=300"));
    let keys = answer.json()["keys"].as_array().expect("a list").clone();
    for key in &keys {
        for secret in ["d", "k", "p", "q", "dp", "dq", "qi", "oth"] {
            assert!(key.get(secret).is_none(), "{secret} is published");
        }
    }
    keys
}

/// The claims of a token, if one of these keys signed it.
fn opened(token: &str, keys: &[Value]) -> Result<Value, &'static str> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err("three parts");
    };
    let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| "base64url");
    let json = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).map_err(|_| "JSON");
    let header = json(header)?;
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).ok_or("a key that is published")?;
    if header["alg"] != key["alg"] {
        return Err("the key's algorithm");
    }
    let number = |name: &str| decode(key[name].as_str().unwrap_or_default());
    let signed = token.rsplit_once('.').ok_or("three parts")?.0.as_bytes();
    let signature = decode(signature)?;
    let is_good = match key["alg"].as_str() {
        Some("EdDSA") => {
            let key: [u8; 32] = number("x")?.try_into().map_err(|_| "32 bytes")?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| "a point")?;
            let signature = ed25519_dalek::Signature::from_slice(&signature).map_err(|_| "64 bytes")?;
            key.verify_strict(signed, &signature).is_ok()
        }
        Some("ES256") => {
            let point = [vec![4], number("x")?, number("y")?].concat();
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| "a point")?;
            let signature = p256::ecdsa::Signature::from_slice(&signature).map_err(|_| "64 bytes")?;
            key.verify(signed, &signature).is_ok()
        }
        _ => false,
    };
    if is_good { json(payload) } else { Err("a signature") }
}

fn told(seen: &Seen) -> &str {
    assert_eq!(seen.all(ASSERTION).len(), 1, "{seen:?}");
    seen.one(ASSERTION).expect("an assertion")
}

fn secs(text: &str) -> i64 {
    time(text).secs()
}

#[test]
fn an_assertion_says_who_a_request_is() {
    let (evm, solana) = (Wallet::evm(1), Wallet::solana(1));
    for algorithm in ALGORITHMS {
        let upstream = Upstream::ok();
        let gateway = signing(Setup::over(&upstream)).set("auth.assertion.algorithm", algorithm).start();
        gateway.grant(&evm, "pro");
        let keys = published(&gateway);
        assert_eq!(keys.len(), 1, "{keys:?}");
        let rows = [
            ("GET", "/wallet/x?page=2", "/wallet/x", "wallet", &evm, "eip191", None, json!(8453)),
            ("POST", "/wallet/%41b", "/wallet/Ab", "wallet", &solana, "ed25519", None, json!(solana.chain()[7..])),
            ("DELETE", "/pro/x", "/pro/x", "pro", &evm, "eip191", Some("pro"), json!(8453)),
        ];
        for temperature in ["cold", "warm"] {
            for (method, target, path, route, wallet, scheme, plan, chain) in &rows {
                let answer = gateway.send(&Request::new(method, target).token(&wallet.token()));
                assert_eq!(answer.status, 200, "{answer:?}");
                let seen = upstream.take_one();
                let token = told(&seen);
                let header = BASE64URL_NOPAD.decode(token.split('.').next().expect("a part").as_bytes());
                let header: Value = serde_json::from_slice(&header.expect("base64url")).expect("JSON");
                assert_eq!(header, json!({"alg": algorithm, "kid": keys[0]["kid"], "typ": "JWT"}));
                let mut expected = json!({
                    "typ": "siwx-assertion",
                    "iss": "https://api.example.com",
                    "aud": [route, "api"],
                    "sub": format!("did:pkh:{}", wallet.account()),
                    "account": wallet.account(),
                    "accounts": [wallet.account()],
                    "chainId": chain,
                    "caip2Network": wallet.chain(),
                    "scheme": scheme,
                    "iat": secs(NOW),
                    "nbf": secs(NOW),
                    "exp": secs(NOW) + 30,
                    "jti": seen.one("x-request-id"),
                    "htm": method,
                    "htu": format!("https://api.example.com{path}"),
                });
                if let Some(plan) = plan {
                    expected["plan"] = (*plan).into();
                }
                assert_eq!(opened(token, &keys), Ok(expected), "{method} {target}, {temperature}");
            }
        }
    }
}

#[test]
fn it_names_the_path_that_the_upstream_sees() {
    let upstream = Upstream::ok();
    let route = "[[route]]\nname = \"api\"\nprefix = \"/v1\"\nupstream = \"api\"\nauth = \"wallet\"\n\
                 strip_prefix = \"/v1\"\nadd_prefix = \"/inner\"\n";
    let gateway = signing(Setup::over(&upstream)).tables(route).start();
    assert_eq!(gateway.get("/v1/orders?secret=1", &Wallet::evm(1).token()).status, 200);
    let seen = upstream.take_one();
    let claims = opened(told(&seen), &published(&gateway)).expect("claims");
    assert_eq!(seen.target, "/inner/orders?secret=1");
    assert_eq!(claims["htu"], "https://api.example.com/inner/orders");
    assert_eq!(claims["aud"], json!(["api"]), "a route that is called as its upstream is");
}

#[test]
fn each_request_has_its_own() {
    let upstream = Upstream::ok();
    let gateway = signing(Setup::over(&upstream)).set("auth.assertion.ttl", "60s").start();
    let keys = published(&gateway);
    let mut seen_before = Vec::new();
    for (method, target) in [("GET", "/wallet/x"), ("GET", "/wallet/x"), ("PUT", "/wallet/x"), ("GET", "/wallet/y")] {
        assert_eq!(gateway.send(&Request::new(method, target).token(&Wallet::evm(1).token())).status, 200);
        let token = told(&upstream.take_one()).to_owned();
        let claims = opened(&token, &keys).expect("claims");
        assert_eq!((claims["htm"].as_str(), claims["exp"].as_i64()), (Some(method), Some(secs(NOW) + 60)));
        assert!(!seen_before.contains(&claims["jti"]), "{claims}");
        seen_before.push(claims["jti"].clone());
    }
    gateway.set_time("2026-11-20T10:00:31.999Z");
    assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).status, 200);
    let claims = opened(told(&upstream.take_one()), &keys).expect("claims");
    assert_eq!(claims["iat"].as_i64(), Some(secs(NOW) + 30), "made when the request came, in whole seconds");
}

#[test]
fn f2_f3_nobody_but_the_gateway_makes_one() {
    let wallet = Wallet::evm(1);
    for (enabled, odd) in [("true", "drop"), ("true", "keep"), ("false", "drop"), ("false", "keep")] {
        let upstream = Upstream::ok();
        let setup = Setup::over(&upstream).set("auth.assertion.enabled", enabled);
        let gateway = setup.set("server.headers_with_underscore", odd).start();
        assert_eq!(gateway.get("/wallet/x", &wallet.token()).status, 200);
        let honest = upstream.take_one().one(ASSERTION).unwrap_or("spoofed").to_owned();
        for name in spellings("X-SIWX-Assertion") {
            for target in ["/public/x", "/wallet/x"] {
                // Also one that is good, which another client may have seen.
                for value in ["spoofed", &*honest] {
                    let request = Request::get(target).token(&wallet.token());
                    let request = request.header(&name, value).header("Connection", "X-SIWX-Assertion");
                    assert_eq!(gateway.send(&request).status, 200, "{name}");
                    let seen = upstream.take_one();
                    let found: Vec<_> = seen.headers.iter().filter(|(_, found)| found == value).collect();
                    assert!(found.is_empty(), "{name} at {target}: {found:?}");
                    let expected = usize::from(enabled == "true" && target == "/wallet/x");
                    assert_eq!(seen.all(ASSERTION).len(), expected, "{name} at {target}, enabled: {enabled}");
                }
            }
        }
    }
}

#[test]
fn without_the_setting_there_is_nothing() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).status, 200);
    assert_eq!(upstream.take_one().one(ASSERTION), None);
    let keys = gateway.get("/.siwx/jwks.json", &Wallet::evm(1).token());
    assert_eq!(keys.outcome(), (404, "no_route".to_owned()), "a path like any other");
}

#[test]
fn the_keys_alone_are_published_where_nobody_signs_in() {
    let upstream = Upstream::ok();
    let route = "[[route]]\nname = \"all\"\nprefix = \"/\"\nupstream = \"api\"\nauth = \"none\"\n";
    let gateway = signing(Setup::over(&upstream)).tables(route).start();
    assert_eq!(published(&gateway).len(), 1);
    assert_eq!(gateway.send(&Request::new("HEAD", "/.siwx/jwks.json")).status, 200);
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(gateway.send(&Request::new(method, "/.siwx/jwks.json")).status, 405, "{method}");
    }
    assert_eq!(upstream.take().len(), 0, "what is ours is not forwarded");
    for path in ["/.siwx", "/.siwx/nonce", "/.siwx/sessions", "/.siwx/jwks.json/", "/.siwx/jwks"] {
        assert_eq!(gateway.send(&Request::get(path)).status, 200, "{path} is the route's");
        assert_eq!(upstream.take_one().target, path);
    }
}

#[test]
fn a_session_is_named_with_all_its_accounts() {
    let api = Api::set_up("ttl = \"1h\"\n", signing);
    let (first, second) = (Wallet::evm(1), Wallet::solana(1));
    let mut browser = api.browser();
    let session = browser.sign_in(&first);
    api.gateway.set_time("2026-11-20T10:00:31.000Z");
    browser.sign_in(&second);
    let keys = published(&api.gateway);
    let mut asked = |wallet: &Wallet| {
        let answer = browser.send(Request::get("/wallet/x").header("X-SIWX-Account", &wallet.account()));
        (answer.status == 200).then(|| opened(told(&api.upstream.take_one()), &keys).expect("claims"))
    };
    let claims = asked(&first).expect("claims");
    assert_eq!((&claims["sid"], &claims["account"]), (&session["id"], &first.account().into()));
    assert_eq!(claims["accounts"], json!([first.account(), second.account()]));
    let claims = asked(&second).expect("claims");
    assert_eq!((&claims["account"], claims["sid"] == session["id"]), (&second.account().into(), false));
    // The first is over an hour after it was begun, and nobody is told of it any more.
    api.gateway.set_time("2026-11-20T11:00:01.000Z");
    let claims = asked(&second).expect("claims");
    assert_eq!(claims["accounts"], json!([second.account()]));
    assert!(asked(&first).is_none());
}

#[test]
fn keys_of_tokens_and_of_assertions_stand_side_by_side() {
    for (algorithm, expected) in [("EdDSA", vec!["EdDSA"]), ("ES256", vec!["EdDSA", "ES256"])] {
        let change = |setup| signing(setup).set("auth.assertion.algorithm", algorithm);
        let api = Api::set_up("token = \"jwt\"\n", change);
        let keys = published(&api.gateway);
        let found: Vec<_> = keys.iter().map(|key| key["alg"].as_str().expect("a name")).collect();
        assert_eq!(found, expected, "one key has both purposes where the algorithm is one");
        let mut browser = api.browser();
        browser.sign_in(&Wallet::evm(1));
        let session = browser.cookie.clone().expect("a token");
        assert_eq!(opened(&session, &keys).expect("claims")["typ"], "siwx-session");
        assert_eq!(browser.get("/wallet/x").status, 200);
        let assertion = told(&api.upstream.take_one()).to_owned();
        assert_eq!(opened(&assertion, &keys).expect("claims")["typ"], "siwx-assertion");

        // What an upstream was told opens nothing here, in whatever place it comes back.
        for request in [
            Request::get("/wallet/x").token(&format!("Bearer {assertion}")),
            Request::get("/wallet/x").token(&format!("SIWX {assertion}")),
            Request::get("/wallet/x").header("Cookie", &format!("__Host-siwx={assertion}")),
            Request::get("/wallet/x").header("X-SIWX-Assertion", &assertion),
            Request::get("/.siwx/me").token(&format!("Bearer {assertion}")),
        ] {
            let answer = api.gateway.send(&request);
            assert_eq!(answer.status, 401, "{request:?}: {answer:?}");
            assert_eq!(api.upstream.take().len(), 0, "{request:?}");
        }
    }
}

#[test]
fn who_pays_or_shows_a_proof_is_told_too() {
    let wallet = Wallet::evm(1);
    let shop = Shop::set_up(Upstream::ok(), shop::FOR_SALE, &Till::default(), signing);
    shop.everybody_is(&wallet);
    assert_eq!(shop.pay(&Request::get("/weather/x"), &wallet, 1).status, 200);
    let keys = published(&shop.gateway);
    let account = format!("{}:{}", shop::SEPOLIA, wallet.address());
    let claims = |seen: &Seen| {
        let mut claims = opened(told(seen), &keys).expect("claims");
        assert_eq!((&claims["aud"], &claims["chainId"]), (&json!(["weather", "api"]), &json!(84532)));
        let scheme = claims["scheme"].take();
        assert_eq!(claims["account"], account.as_str());
        scheme.as_str().expect("a name").to_owned()
    };
    assert_eq!(claims(&shop.upstream.take_one()), "payment");
    assert_eq!(shop.sign_in("/weather/x", &wallet).status, 200);
    assert_eq!(claims(&shop.upstream.take_one()), "eip191");
}

/// Nobody can be named, and nobody is.
#[test]
fn a_payer_without_a_name_has_no_assertion() {
    let shop = Shop::set_up(Upstream::ok(), shop::FOR_SALE, &Till::default(), signing);
    shop.everybody_is(&Wallet::evm(1));
    let nobody = json!({"isValid": true, "payer": null});
    shop.facilitator.always("/verify", crate::facilitator::Act::json(200, &nobody));
    assert_eq!(shop.pay(&Request::get("/weather/x"), &Wallet::evm(1), 1).status, 200);
    assert_eq!(shop.upstream.take_one().one(ASSERTION), None);
}

#[test]
fn a_key_that_is_configured_signs() {
    let upstream = Upstream::ok();
    let gateway = signing(Setup::over(&upstream)).set("auth.assertion.key", ED25519).start();
    let keys = published(&gateway);
    assert_eq!(keys[0]["kid"], ED25519_KID);
    assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).status, 200);
    let claims = opened(told(&upstream.take_one()), &keys).expect("claims");
    assert_eq!(claims["account"], Wallet::evm(1).account());
    let secret = ED25519.lines().nth(1).expect("a line");
    for text in
        [gateway.log_text(), format!("{keys:?}"), gateway.admin(Request::get("/admin/state")).json().to_string()]
    {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_kept_key_outlives_the_process_and_is_every_processs() {
    let (upstream, folder) = (Upstream::ok(), tempfile::tempdir().expect("a folder"));
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let start = || signing(Setup::over(&upstream)).set("store.url", &url).start();
    let (first, second) = (start(), start());
    let keys = published(&first);
    assert_eq!(published(&second), keys);
    drop(first);
    assert_eq!(published(&start()), keys);
}

#[test]
fn an_assertion_that_was_touched_is_none() {
    for algorithm in ALGORITHMS {
        let upstream = Upstream::ok();
        let gateway = signing(Setup::over(&upstream)).set("auth.assertion.algorithm", algorithm).start();
        let keys = published(&gateway);
        assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).status, 200);
        let token = told(&upstream.take_one()).to_owned();
        assert!(opened(&token, &keys).is_ok());
        for at in (0..token.len()).step_by(7) {
            let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mut changed = token.clone();
            changed.replace_range(at..=at, other);
            assert!(opened(&changed, &keys).is_err(), "{algorithm}: character {at}");
        }
        let elsewhere = signing(Setup::over(&upstream)).set("auth.assertion.algorithm", algorithm).start();
        assert_eq!(opened(&token, &published(&elsewhere)), Err("a key that is published"), "{algorithm}");
    }
}

/// The id of a request is the one name that the log has for it, too.
#[test]
fn the_log_knows_the_request_and_not_the_assertion() {
    let upstream = Upstream::ok();
    let gateway = signing(Setup::over(&upstream)).start();
    assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).status, 200);
    let seen = upstream.take_one();
    let token = told(&seen).to_owned();
    let line = gateway.log_lines(1).remove(0);
    let claims = opened(&token, &published(&gateway)).expect("claims");
    assert_eq!(line["request_id"], claims["jti"]);
    assert!(!gateway.log_text().contains(&token));
}
