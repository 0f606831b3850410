//! What comes from who means harm, one test for each way in; their names say which. Three of the ways have their tests
//! beside what they are about:
//!
//! | way in | test |
//! |---|---|
//! | two cookies of the name | `cookies::two_cookies_of_its_name_are_refused`, and `c6` of the routes |
//! | an open redirect | `login::an_open_redirect_leads_nowhere_but_here` |
//! | a nonce token of another nonce | `reown::nonce_tokens_that_open_nothing`, and here |

use serde_json::{Value, json};

use super::{Api, COOKIE, DAPP, OWN, dapp_text, later, signed, text};
use crate::harness::{
    Answer, Gateway, Request, Setup, Shop, Till, Upstream, Wallet,
    shop::{FOR_SALE, proof},
    wallet::Text,
};

/// An address that nobody has a key for.
const ZERO: &str = "0x0000000000000000000000000000000000000000";

/// The points of small order, as keys: a signature of zeros, or one that is tried a few times, is good for each of them
/// where nobody looks. The first is the neutral one, the second Solana's System Program.
const SMALL_ORDER: [[u8; 32]; 4] = [
    point(&[1], 0),
    point(&[0], 0),
    point(&[0], 0x80),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
];

/// Navigates, as a browser does.
const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// A key that begins like this and is zero then, with this sign.
const fn point(begins: &[u8; 1], sign: u8) -> [u8; 32] {
    let mut point = [0; 32];
    point[0] = begins[0];
    point[31] = sign;
    point
}

fn with_cookie(request: Request, value: &str) -> Request {
    request.header("Cookie", &format!("{COOKIE}={value}"))
}

fn no(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// A browser that is signed in, by what its cookie holds.
fn victim(api: &Api) -> String {
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    browser.cookie.clone().expect("a cookie")
}

/// How many sessions a cookie opens.
fn opens(api: &Api, value: &str) -> usize {
    let mut browser = api.browser();
    browser.cookie = Some(value.to_owned());
    browser.accounts().len()
}

fn lax(setup: Setup) -> Setup {
    setup.set("limits.auth_failures", "off")
}

fn with_sessions(setup: Setup) -> Setup {
    lax(setup).tables("[session]\n")
}

#[test]
fn a_replayed_sign_in_opens_nothing() {
    let api = Api::set_up("", lax);
    let sign_in = api.sign_in(&Wallet::evm(1));
    let mut owner = api.browser();
    assert_eq!(owner.post("/.siwx/sessions", &sign_in).status, 201);
    let reused = no(401, "nonce_reused");
    assert_eq!(api.browser().post("/.siwx/sessions", &sign_in).outcome(), reused, "by who read it on the way");
    assert_eq!(api.browser().put(std::slice::from_ref(&sign_in)).outcome(), reused, "in a list");
    let mut other = api.browser();
    other.sign_in(&Wallet::evm(2));
    assert_eq!(other.post("/.siwx/sessions", &sign_in).outcome(), reused, "into another one's session");
    let cookie = owner.cookie.clone();
    assert_eq!(owner.post("/.siwx/sign-out", &json!({})).status, 204);
    owner.cookie = cookie;
    assert_eq!(owner.post("/.siwx/sessions", &sign_in).outcome(), reused, "with the old cookie, after it ended");
}

#[test]
fn a_nonce_that_was_never_issued_opens_nothing() {
    let api = Api::set_up("", lax);
    let (wallet, elsewhere) = (Wallet::evm(1), Api::new());
    let issued = api.nonce();
    let turned: String = issued.chars().rev().collect();
    let (cut, foreign) = (&issued[..issued.len() - 1], elsewhere.nonce());
    for (name, nonce) in [
        ("made up", "4dce662356932ef863ff4eb6d673a3ee"),
        ("turned round", &turned),
        ("cut", cut),
        ("issued by another gateway", &foreign),
    ] {
        let sign_in = signed(&wallet, &text(&wallet, nonce));
        assert_eq!(api.browser().post("/.siwx/sessions", &sign_in).outcome(), no(401, "nonce_unknown"), "{name}");
    }
    assert_eq!(api.browser().post("/.siwx/sessions", &signed(&wallet, &text(&wallet, &issued))).status, 201);
}

/// A shop sells by proofs whose nonces are of the same make. One that it hands out with a price signs nobody in, or
/// whoever a client pays for something would be that client in a browser; and the other way round.
#[test]
fn a_nonce_issued_for_x402_opens_no_session_and_one_for_sessions_buys_nothing() {
    let shop = Shop::set_up(Upstream::ok(), FOR_SALE, &Till::default(), with_sessions);
    let wallet = Wallet::evm(1);
    let post = |gateway: &Gateway, nonce: &str| {
        let body = signed(&wallet, &text(&wallet, nonce)).to_string();
        gateway.send(&Request::new("POST", "/.siwx/sessions").header("Origin", OWN).body(body.as_bytes()))
    };
    let challenge = shop.challenge(&Request::get("/weather/x"));
    let for_x402 = challenge["extensions"]["sign-in-with-x"]["info"]["nonce"].as_str().expect("a nonce").to_owned();
    assert_eq!(post(&shop.gateway, &for_x402).outcome(), no(401, "nonce_unknown"));

    let answer = shop.gateway.send(&Request::get("/.siwx/nonce"));
    let for_session = answer.json()["nonce"].as_str().expect("a nonce").to_owned();
    let mut borrowed = proof(&wallet, &challenge);
    borrowed["nonce"] = for_session.as_str().into();
    let borrowed = crate::harness::shop::signed(&wallet, borrowed);
    let refused = shop.gateway.send(&Request::get("/weather/x").header("SIGN-IN-WITH-X", &borrowed));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (402, Some("proof_refused")));
    assert_eq!(refused.json()["siwx"]["reason"], "invalid_siwx_nonce", "{refused:?}");
    assert_eq!(post(&shop.gateway, &for_session).status, 201, "and nothing was burned");
}

#[test]
fn a_nonce_token_of_another_nonce_opens_nothing() {
    let api = Api::with("reown_prefix = \"/auth/v1\"\n");
    let wallet = Wallet::evm(1);
    let issued = || api.send(&Request::get("/auth/v1/nonce")).json();
    let (own, other) = (issued(), issued());
    let sign_in = signed(&wallet, &dapp_text(&wallet, own["nonce"].as_str().expect("a nonce"))).to_string();
    let by = |token: &Value| {
        let token = format!("Bearer {}", token.as_str().expect("a token"));
        let request =
            Request::new("POST", "/auth/v1/authenticate").header("Origin", DAPP).header("x-nonce-jwt", &token);
        api.send(&request.body(sign_in.as_bytes())).status
    };
    assert_eq!((by(&other["token"]), by(&own["token"])), (401, 200));
}

#[test]
fn data_that_says_something_else_than_the_text_is_a_mismatch() {
    let api = Api::set_up("", lax);
    let wallet = Wallet::evm(1);
    let rows = [
        ("accountAddress", json!(Wallet::evm(2).address())),
        ("accountAddress", json!(ZERO)),
        ("chainId", json!("eip155:1")),
        ("chainId", json!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp")),
        ("nonce", json!(api.nonce())),
        ("domain", json!("evil.example")),
        ("uri", json!("https://evil.example")),
        ("issuedAt", json!(later(0))),
        ("notBefore", json!(later(0))),
        ("expirationTime", json!(later(9_999_999))),
    ];
    for (member, value) in rows {
        let mut sign_in = api.sign_in(&wallet);
        sign_in["data"][member] = value;
        let mismatch = no(400, "data_mismatch");
        assert_eq!(api.browser().post("/.siwx/sessions", &sign_in).outcome(), mismatch, "{member}");
        let listed = api.browser().put(&[api.sign_in(&Wallet::evm(3)), sign_in]);
        assert_eq!((listed.outcome(), listed.json()["index"].as_u64()), (mismatch, Some(1)), "{member}");
    }
}

/// Who plants a cookie in a browser, one made up or one of their own, holds nothing after its user has signed in there.
#[test]
fn a_session_id_that_an_attacker_fixed_opens_nothing() {
    for form in ["opaque", "jwt"] {
        let api = Api::with(&format!("token = \"{form}\"\n"));
        for by_list in [false, true] {
            let mut attacker = api.browser();
            attacker.sign_in(&Wallet::evm(66));
            let own = attacker.cookie.clone().expect("a cookie");
            for planted in [own, format!("siwxs_{}", "A".repeat(32)), "x".to_owned()] {
                let mut user = api.browser();
                user.cookie = Some(planted.clone());
                let sign_in = api.sign_in(&Wallet::evm(1));
                let answer = if by_list { user.put(&[sign_in]) } else { user.post("/.siwx/sessions", &sign_in) };
                assert!(answer.status < 300, "{form}: {answer:?}");
                let given = user.cookie.clone().expect("a cookie");
                assert_ne!(given, planted, "{form}");
                assert!(opens(&api, &given) > 0, "{form}");
                assert_eq!(opens(&api, &planted), 0, "{form}, {planted}");
                let asked = api.send(&with_cookie(Request::get("/wallet/x"), &planted));
                assert_eq!(asked.outcome(), no(401, "invalid_session"), "{form}, {planted}");
            }
        }
    }
}

/// A form of another site can send `text/plain` without asking first, and the browser adds the cookie: with
/// `SameSite=None` always, with `Lax` in the first two minutes of it in some.
#[test]
fn cross_site_posts_of_text_plain_change_nothing() {
    let api = Api::set_up("cookie = { same_site = \"none\" }\nreown_prefix = \"/auth/v1\"\n", lax);
    let cookie = victim(&api);
    let attackers = api.sign_in(&Wallet::evm(66)).to_string();
    let pages: [&[(&str, &str)]; 4] = [
        &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")],
        &[("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[],
    ];
    let posts = [
        ("POST", "/.siwx/sessions", &*attackers),
        ("POST", "/.siwx/sign-out", r#"{"all":true}"#),
        ("POST", "/.siwx/refresh", ""),
        ("POST", "/.siwx/message", "{}"),
        ("POST", "/wallet/x", "to=attacker"),
    ];
    for page in pages {
        for (method, target, body) in posts {
            let request = with_cookie(Request::new(method, target), &cookie).header("Content-Type", "text/plain");
            let request = page.iter().fold(request, |request, (name, value)| request.header(name, value));
            let answer = api.send(&request.body(body.as_bytes()));
            assert_eq!(answer.outcome(), no(403, "csrf"), "{target}, {page:?}");
            assert_eq!(answer.one("set-cookie"), None, "{target}, {page:?}");
        }
    }
    assert!(api.upstream.take().is_empty());
    assert_eq!(opens(&api, &cookie), 1, "it is as it was");

    // There a token opens sessions and no cookie does, but a page could still be asked to sign for another.
    let request = Request::new("POST", "/auth/v1/authenticate").header("Content-Type", "text/plain");
    let answer = api.send(&request.header("Origin", "https://evil.example").body(attackers.as_bytes()));
    assert_eq!(answer.status, 403, "{answer:?}");
    let said = String::from_utf8_lossy(&answer.body);
    assert_eq!(said, "expected a request from an origin that is listed, found another one");
}

/// A page may open a WebSocket to anywhere and the browser adds the cookie; what answers is not asked for CORS. So it is
/// refused before anybody asks whether the route takes WebSockets.
#[test]
fn a_cross_site_websocket_on_a_cookie_is_refused_on_every_route() {
    let route = |name: &str, auth: &str| {
        format!("[[route]]\nname = \"{name}\"\nprefix = \"/{name}\"\nupstream = \"api\"\nauth = \"{auth}\"\n")
    };
    let routes = [route("open", "wallet"), route("plans", "subscription")].concat();
    let api = Api::set_up("", |setup| lax(setup).tables(&routes));
    let cookie = victim(&api);
    let socket = |target: &str| {
        let request = with_cookie(Request::get(target), &cookie);
        let request = request.header("Connection", "Upgrade").header("Upgrade", "websocket");
        request.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    for target in ["/wallet/x", "/open/x", "/plans/x"] {
        let refused: [&[(&str, &str)]; 6] = [
            &[("Origin", "https://evil.example")],
            &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "same-origin")],
            &[("Origin", "null")],
            &[("Origin", OWN), ("Origin", "https://evil.example")],
            &[("Sec-Fetch-Site", "cross-site")],
            &[],
        ];
        for fields in refused {
            let request = fields.iter().fold(socket(target), |request, (name, value)| request.header(name, value));
            assert_eq!(api.send(&request).outcome(), no(403, "csrf"), "{target}, {fields:?}");
        }
        assert!(api.upstream.take().is_empty());
        let own = api.send(&socket(target).header("Origin", OWN));
        assert_ne!(own.code(), "csrf", "{target}: {own:?}");
        api.upstream.take();
    }
}

/// Whoever frames the page lays a button of theirs over its own.
#[test]
fn a_frame_around_the_login_page_shows_nothing() {
    let (api, shop) = (Api::new(), Shop::set_up(Upstream::ok(), FOR_SALE, &Till::default(), with_sessions));
    let cookie = victim(&api);
    let page = |target: &str| Request::get(target).header("Accept", HTML).header("Sec-Fetch-Dest", "iframe");
    let rows = [
        (200, &api.gateway, page("/.siwx/login")),
        (401, &api.gateway, page("/wallet/x")),
        (402, &shop.gateway, page("/weather/x")),
        (403, &api.gateway, with_cookie(page("/paid/x"), &cookie)),
    ];
    for (status, gateway, request) in rows {
        let answer = gateway.send(&request);
        assert_eq!(
            (answer.status, answer.one("content-type")),
            (status, Some("text/html; charset=utf-8")),
            "{answer:?}"
        );
        let policy = answer.one("content-security-policy").expect("a policy");
        assert!(policy.split("; ").any(|rule| rule == "frame-ancestors 'none'"), "{status}: {policy}");
        assert_eq!(answer.one("x-frame-options"), Some("DENY"), "{status}");
    }
}

/// A phishing page asks its visitor to sign a message for this gateway or for a dapp of it, and relays it.
#[test]
fn a_message_relayed_by_a_phishing_origin_opens_nothing() {
    let api = Api::set_up("", lax);
    let wallet = Wallet::evm(1);
    let fresh = |text: fn(&Wallet, &str) -> Text| signed(&wallet, &text(&wallet, &api.nonce()));
    let relayed = |origin: &str, sign_in: &Value| -> Answer {
        let request = Request::new("POST", "/.siwx/sessions").header("Origin", origin);
        api.send(&request.body(sign_in.to_string().as_bytes()))
    };
    for origin in ["https://evil.example", "https://api.example.com.evil.example", "http://api.example.com", "null"] {
        for sign_in in [fresh(text), fresh(dapp_text)] {
            assert_eq!(relayed(origin, &sign_in).outcome(), no(403, "csrf"), "{origin}");
        }
    }
    // By a dapp that went bad, of what was signed for another or for the gateway itself, and the other way round.
    for (origin, sign_in) in [(DAPP, fresh(text)), ("http://localhost:5173", fresh(dapp_text)), (OWN, fresh(dapp_text))]
    {
        assert_eq!(relayed(origin, &sign_in).outcome(), no(400, "domain_mismatch"), "{origin}");
    }
    // What was signed for the phishing page itself is no use anywhere.
    let theirs =
        signed(&wallet, &text(&wallet, &api.nonce()).for_domain("evil.example").with("URI", "https://evil.example/"));
    assert_eq!(relayed(OWN, &theirs).outcome(), no(400, "domain_mismatch"));
}

/// A broken recovery gives the zero account, and so AppKit's verifier and the ERC-6492 bytecode take any malformed
/// signature for it.
#[test]
fn the_zero_account_signs_nobody_in() {
    let api = Api::set_up("", lax);
    let wallet = Wallet::evm(1);
    let garbage = ["00", "11", "ff"].map(|byte| format!("0x{}", byte.repeat(65)));
    let signatures = [&*garbage[0], &*garbage[1], &*garbage[2], "0x", "0x00"];
    for signature in signatures {
        let mut sign_in = signed(&wallet, &text(&wallet, &api.nonce()).of_address(ZERO));
        sign_in["signature"] = signature.into();
        sign_in["data"]["accountAddress"] = ZERO.into();
        let answer = api.browser().post("/.siwx/sessions", &sign_in);
        assert_eq!(answer.outcome(), no(401, "invalid_signature"), "{signature}: {answer:?}");
    }
}

/// For a key of small order anybody makes signatures without a secret; tweetnacl, which AppKit verifies by, takes them.
#[test]
fn small_order_ed25519_keys_sign_nobody_in() {
    let api = Api::set_up("", lax);
    let wallet = Wallet::solana(1);
    for key in SMALL_ORDER {
        let address = bs58::encode(key).into_string();
        for r in SMALL_ORDER {
            let signature = bs58::encode([r, [0; 32]].concat()).into_string();
            let mut sign_in = signed(&wallet, &text(&wallet, &api.nonce()).of_address(&address));
            sign_in["signature"] = signature.into();
            sign_in["data"]["accountAddress"] = address.as_str().into();
            let answer = api.browser().post("/.siwx/sessions", &sign_in);
            assert_eq!(answer.outcome(), no(401, "invalid_signature"), "{address}: {answer:?}");
        }
    }
}
