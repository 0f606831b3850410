//! Sessions in the gate (sessions.md sections 2.1 to 2.3): what begins one, what it opens, and what ends it.
//!
//! They are begun at the room below the endpoints, and used over the wire.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Instant,
};

use serde_json::json;
use siwx_gateway::{
    credential::{CarrierName, Presented},
    gate::sessions::{Fault, How, Sessions, SignInRequest, SignedIn, Visitor},
    session::{set::Pair, sign_in::Attempt},
};

use crate::{
    facilitator::Act,
    failures::Flaky,
    harness::{Answer, Gateway, Request, Setup, Upstream, Wallet, wallet::Text},
    node::{NO, Node, YES, result},
};

/// The contract of a wallet without a key.
const CONTRACT: &str = "0x69558E1EAcAbbbA7a4411A50628D5B8223e05eea";

/// The cookie's name behind `https`.
const COOKIE: &str = "__Host-siwx";

/// What sessions are kept under in these tests.
const SESSION: &str = "[session]\n";

/// The one address that they sign in from.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The usual gateway with sessions.
fn with(upstream: &Upstream, keys: &str) -> Gateway {
    Setup::over(upstream).tables(&format!("{SESSION}{keys}\n")).start()
}

fn sessions(gateway: &Gateway) -> &Arc<Sessions> {
    gateway.gate.sessions().expect("[session] is there")
}

fn visitor(gateway: &Gateway) -> Visitor<'static> {
    Visitor { client: CLIENT, origin: None, started: Instant::now(), now: gateway.now() }
}

/// The usual text of a sign-in, over a fresh nonce.
fn text(gateway: &Gateway, wallet: &Wallet) -> Text {
    let issued = sessions(gateway).nonce(gateway.now()).expect("a nonce");
    wallet.text().with("Nonce", &issued.nonce).without("Expiration Time")
}

/// A text and its signature, as a dapp hands them over.
fn attempt(gateway: &Gateway, text: &Text, chain: &str, signature: &str) -> Attempt {
    let field = |name: &str| text.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let body = json!({
        "data": {
            "accountAddress": text.address, "chainId": chain, "domain": text.domain, "uri": field("URI"),
            "version": "1", "nonce": field("Nonce"), "issuedAt": field("Issued At"), "notBefore": field("Not Before"),
            "expirationTime": field("Expiration Time"),
        },
        "message": text.to_string(),
        "signature": signature,
    });
    sessions(gateway).reader().session(body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// What a wallet hands over that signs this text.
fn signed(gateway: &Gateway, wallet: &Wallet, text: &Text) -> Attempt {
    attempt(gateway, text, wallet.chain(), &wallet.written(&wallet.sign(&text.to_string())))
}

fn cookie(credential: &str) -> Presented<'_> {
    Presented::new(CarrierName::Cookie, credential.as_bytes())
}

fn hand_over(gateway: &Gateway, attempts: &[Attempt], how: How, credential: Option<&str>) -> Result<SignedIn, Fault> {
    let presented = credential.map(cookie);
    let request = SignInRequest { attempts, how, presented: presented.as_ref(), form: None, appkit: None };
    gateway.block_on(sessions(gateway).sign_in(&gateway.gate, request, &visitor(gateway)))
}

/// Signs in, and remembers that nobody may see what opens it.
fn sign_in(gateway: &Gateway, wallet: &Wallet) -> String {
    add(gateway, wallet, None)
}

/// The same into what is open already.
fn add(gateway: &Gateway, wallet: &Wallet, credential: Option<&str>) -> String {
    let attempts = [signed(gateway, wallet, &text(gateway, wallet))];
    let signed_in = hand_over(gateway, &attempts, How::Add, credential).unwrap_or_else(|fault| panic!("{fault:?}"));
    opening(gateway, &signed_in)
}

fn opening(gateway: &Gateway, signed_in: &SignedIn) -> String {
    let credential = signed_in.credential.expose().clone();
    gateway.secrets.add(&format!("Bearer {credential}"));
    credential
}

/// The code of a refused sign-in, and which of several it is about.
fn refused(outcome: Result<SignedIn, Fault>) -> (Option<usize>, &'static str) {
    match outcome {
        Err(Fault::Refused(refused)) => (refused.index, refused.error.code()),
        other => panic!("{other:?}"),
    }
}

/// Signs out; whether there was something to end.
fn sign_out(gateway: &Gateway, credential: &str, all: bool) -> bool {
    let presented = cookie(credential);
    let ending = sessions(gateway).sign_out(&gateway.gate, &presented, all, gateway.now());
    gateway.block_on(ending).expect("the store answers")
}

/// How many sessions are shown of a pair, or in all.
fn shown(gateway: &Gateway, credential: &str, pair: Option<&Pair<'_>>) -> usize {
    let (presented, visitor) = (cookie(credential), visitor(gateway));
    let shown = gateway.block_on(sessions(gateway).shown(&gateway.gate, &presented, &visitor));
    let shown = shown.expect("the store answers").expect("it is not over");
    shown.sessions(pair, &sessions(gateway).settings().life, gateway.now()).count()
}

/// The answer to what somebody asks who is signed in.
pub(crate) fn asked_with_one(request: impl FnOnce(&str) -> Request) -> Answer {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    gateway.send(&request(&sign_in(&gateway, &Wallet::evm(1))))
}

pub(crate) fn by_cookie(target: &str, credential: &str) -> Request {
    Request::get(target).header("Cookie", &format!("{COOKIE}={credential}"))
}

fn by_bearer(target: &str, credential: &str) -> Request {
    Request::get(target).header("Authorization", &format!("Bearer {credential}"))
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn over() -> (u16, String) {
    (401, "invalid_session".to_owned())
}

fn get(gateway: &Gateway, credential: &str) -> (u16, String) {
    outcome(&gateway.send(&by_cookie("/wallet/x", credential)))
}

fn outcome(answer: &Answer) -> (u16, String) {
    answer.outcome()
}

#[test]
fn a_session_opens_routes_by_cookie_and_by_bearer() {
    for (form, keys) in [("opaque", ""), ("jwt", "token = \"jwt\"")] {
        let upstream = Upstream::ok();
        let gateway = with(&upstream, keys);
        for wallet in [Wallet::evm(1), Wallet::solana(1)] {
            let credential = sign_in(&gateway, &wallet);
            assert_eq!(credential.starts_with("siwxs_"), form == "opaque");
            for request in [by_cookie("/wallet/x", &credential), by_bearer("/wallet/x", &credential)] {
                for temperature in ["cold", "warm"] {
                    assert_eq!(gateway.send(&request).outcome(), ok(), "{form}, {temperature}");
                    let seen = upstream.take_one();
                    assert_eq!(seen.one("X-SIWX-Account"), Some(wallet.account().as_str()), "{form}");
                }
            }
            let paid = by_cookie("/paid/x", &credential);
            assert_eq!(gateway.send(&paid).outcome(), (403, "subscription_required".to_owned()), "{form}");
            gateway.grant(&wallet, "nano");
            gateway.gate.flush();
            assert_eq!(gateway.send(&paid).outcome(), ok(), "{form}");
            upstream.take();
        }
    }
}

/// It ended the session that asked first: when the store failed then, the others stayed, and nothing opened the way to
/// try again.
#[test]
fn a_sign_out_everywhere_that_fails_can_be_tried_again() {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    let gateway = Setup::over(&upstream).tables(SESSION).store(flaky.store()).start();
    let wallet = Wallet::evm(1);
    let (here, elsewhere) = (sign_in(&gateway, &wallet), sign_in(&gateway, &wallet));
    let presented = cookie(&here);
    let everywhere = || gateway.block_on(sessions(&gateway).sign_out(&gateway.gate, &presented, true, gateway.now()));
    flaky.keep_sessions(true);
    assert!(everywhere().is_err());
    assert_eq!((get(&gateway, &here), get(&gateway, &elsewhere)), (ok(), ok()));
    flaky.keep_sessions(false);
    assert!(everywhere().is_ok_and(|ended| ended));
    assert_eq!((get(&gateway, &here), get(&gateway, &elsewhere)), (over(), over()));
}

/// What the gateway remembers of a session would let it in for another half minute.
#[test]
fn a_session_that_an_operator_ends_is_over_at_once() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let wallet = Wallet::evm(1);
    for by_account in [true, false] {
        let credential = sign_in(&gateway, &wallet);
        assert_eq!(get(&gateway, &credential), ok());
        let listed = gateway.admin(Request::get("/admin/sessions"));
        let target = if by_account {
            format!("/admin/sessions?account={}", wallet.account())
        } else {
            format!("/admin/sessions/{}", listed.json()["sessions"][0]["sid"].as_str().expect("a sid"))
        };
        assert_eq!(gateway.admin(Request::new("DELETE", &target)).status, 204, "{target}");
        assert_eq!(get(&gateway, &credential), over(), "{target}");
    }
}

#[test]
fn what_is_no_session_is_refused_and_counts() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "[limits]\nauth_failures = { rate = \"1/h\", burst = 8 }\n");
    let unknown = format!("siwxs_{}", "A".repeat(32));
    for credential in ["", "siwxs_short", &unknown, "a.b.c", "x"] {
        assert_eq!(get(&gateway, credential), over(), "{credential}");
    }
    let bearer = gateway.send(&by_bearer("/wallet/x", &unknown));
    assert_eq!(bearer.outcome(), over());
    for _ in 0..2 {
        assert_eq!(get(&gateway, &unknown), over());
    }
    assert_eq!(get(&gateway, &unknown), (429, "too_many_refusals".to_owned()));
    assert!(upstream.take().is_empty());
}

#[test]
fn a_bearer_goes_before_a_cookie_and_a_bad_one_is_refused() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let [first, second] = [Wallet::evm(1), Wallet::evm(2)];
    let (cookie, bearer) = (sign_in(&gateway, &first), sign_in(&gateway, &second));
    let both = by_cookie("/wallet/x", &cookie).header("Authorization", &format!("Bearer {bearer}"));
    assert_eq!(gateway.send(&both).outcome(), ok());
    assert_eq!(upstream.take_one().one("X-SIWX-Account"), Some(second.account().as_str()));
    for bad in ["Bearer x", "Bearer", &format!("Bearer siwxs_{}", "A".repeat(32))] {
        let request = by_cookie("/wallet/x", &cookie).header("Authorization", bad);
        assert_eq!(gateway.send(&request).outcome(), over(), "{bad}");
    }
    let token = by_cookie("/wallet/x", &cookie).token(&second.token());
    assert_eq!(gateway.send(&token).outcome(), ok(), "a token is presented on purpose");
    assert_eq!(upstream.take_one().one("X-SIWX-Account"), Some(second.account().as_str()));
    let bearers = by_bearer("/wallet/x", &bearer).header("Authorization", &format!("Bearer {bearer}"));
    assert_eq!(gateway.send(&bearers).outcome(), (400, "conflicting_credentials".to_owned()));
}

#[test]
fn c6_two_session_cookies_are_a_conflict() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let good = sign_in(&gateway, &Wallet::evm(1));
    let conflict = (400, "conflicting_credentials".to_owned());
    let twice = Request::get("/wallet/x").header("Cookie", &format!("{COOKIE}={good}; a=b; {COOKIE}=x"));
    assert_eq!(gateway.send(&twice).outcome(), conflict);
    assert_eq!(
        gateway.send(&by_cookie("/wallet/x", &good).header("Cookie", &format!("{COOKIE}=x"))).outcome(),
        conflict
    );
    let beside = by_bearer("/wallet/x", &good).header("Cookie", &format!("{COOKIE}=x; {COOKIE}=y"));
    assert_eq!(gateway.send(&beside).outcome(), conflict, "a good bearer beside them");
    assert!(upstream.take().is_empty());
}

#[test]
fn a_sign_in_is_good_once() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let wallet = Wallet::evm(1);
    let attempts = [signed(&gateway, &wallet, &text(&gateway, &wallet))];
    let first = hand_over(&gateway, &attempts, How::Add, None).expect("the first time");
    let credential = opening(&gateway, &first);
    assert_eq!(refused(hand_over(&gateway, &attempts, How::Add, None)), (Some(0), "nonce_reused"));
    let again = hand_over(&gateway, &attempts, How::Add, Some(&credential)).expect("with the cookie that it gave");
    assert_eq!(again.credential.expose(), &credential);
    assert_eq!(again.expires_at, first.expires_at);
    assert_eq!(get(&gateway, &credential), ok());
    // What ended cannot be answered like the first time.
    assert!(sign_out(&gateway, &credential, false));
    assert_eq!(refused(hand_over(&gateway, &attempts, How::Add, Some(&credential))), (Some(0), "nonce_reused"));
}

#[test]
fn a_sign_in_that_fails_burns_nothing_and_changes_nothing() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let [first, second, third] = [Wallet::evm(1), Wallet::evm(2), Wallet::evm(3)];
    let before = sign_in(&gateway, &first);
    let good = signed(&gateway, &second, &text(&gateway, &second));
    let wrong = {
        let text = text(&gateway, &third);
        attempt(&gateway, &text, third.chain(), &second.written(&second.sign(&text.to_string())))
    };
    let batch = [good.clone(), wrong];
    let outcome = refused(hand_over(&gateway, &batch, How::Replace, Some(&before)));
    assert_eq!(outcome, (Some(1), "invalid_signature"));
    assert_eq!(get(&gateway, &before), ok(), "the old set is as it was");
    let after = hand_over(&gateway, &[good], How::Replace, Some(&before)).expect("its nonce was not used");
    assert_eq!(get(&gateway, &before), over(), "what was replaced opens nothing");
    assert_eq!(get(&gateway, &opening(&gateway, &after)), ok());
}

#[test]
fn sign_ins_that_are_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream)
        .tables("[session]\n[limits]\nauth_failures = \"off\"\n[auth]\norigins = [\"https://app.example.com\"]\n")
        .start();
    let wallet = Wallet::evm(1);
    let fresh = || text(&gateway, &wallet);
    let rows: [(&str, Text, &str); 8] = [
        ("a nonce of nobody", fresh().nonce(7), "nonce_unknown"),
        ("another domain", fresh().for_domain("evil.example"), "domain_mismatch"),
        ("another page's URI", fresh().with("URI", "https://evil.example/"), "uri_mismatch"),
        (
            "another label",
            {
                let mut text = fresh();
                text.label = "Base".to_owned();
                text
            },
            "label_not_allowed",
        ),
        ("issued too long ago", fresh().with("Issued At", "2026-11-20T09:49:00Z"), "issued_too_long_ago"),
        ("issued in the future", fresh().with("Issued At", "2026-11-20T10:01:00Z"), "issued_in_future"),
        ("over", fresh().and("Expiration Time", "2026-11-20T10:00:01Z"), "expired"),
        ("not good yet", fresh().and("Not Before", "2026-11-20T10:05:00Z"), "not_yet_valid"),
    ];
    for (name, text, expected) in rows {
        let outcome = hand_over(&gateway, &[signed(&gateway, &wallet, &text)], How::Add, None);
        assert_eq!(refused(outcome), (Some(0), expected), "{name}");
    }
    let twice = [signed(&gateway, &wallet, &fresh()), signed(&gateway, &wallet, &fresh())];
    assert_eq!(refused(hand_over(&gateway, &twice, How::Replace, None)), (Some(1), "duplicate_session"));
}

/// A page relays a message that its visitor signed for another one.
#[test]
fn a_message_is_good_from_its_own_page_alone() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).tables("[session]\n[auth]\norigins = [\"https://app.example.com\"]\n").start();
    let wallet = Wallet::evm(1);
    let rows: [(&[u8], Result<(), &str>); 4] = [
        (b"https://app.example.com", Err("domain_mismatch")),
        (b"https://evil.example", Err("domain_mismatch")),
        (b"null", Err("origin_not_allowed")),
        (b"https://api.example.com", Ok(())),
    ];
    for (origin, expected) in rows {
        let attempts = [signed(&gateway, &wallet, &text(&gateway, &wallet))];
        let request = SignInRequest { attempts: &attempts, how: How::Add, presented: None, form: None, appkit: None };
        let from = Visitor { origin: Some(origin), ..visitor(&gateway) };
        let outcome = gateway.block_on(sessions(&gateway).sign_in(&gateway.gate, request, &from));
        let shown = String::from_utf8_lossy(origin);
        match expected {
            Ok(()) => assert!(outcome.is_ok(), "{shown}"),
            Err(code) => assert_eq!(refused(outcome).1, code, "{shown}"),
        }
    }
}

/// Whoever put a cookie of their own choice into a browser holds nothing after its user signed in.
#[test]
fn a_cookie_that_was_planted_opens_nothing_of_who_signs_in() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let [attacker, user] = [Wallet::evm(1), Wallet::evm(2)];
    let planted = format!("siwxs_{}", "A".repeat(32));
    let after = add(&gateway, &user, Some(&planted));
    assert_ne!(after, planted);
    assert_eq!(get(&gateway, &planted), over(), "one that was made up");
    let own = sign_in(&gateway, &attacker);
    let after = add(&gateway, &user, Some(&own));
    assert_eq!(get(&gateway, &own), over(), "one of the attacker's own sessions");
    assert_eq!(get(&gateway, &after), ok());
}

#[test]
fn a_request_acts_as_the_account_it_names_or_as_the_newest() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let [first, second, stranger] = [Wallet::evm(1), Wallet::solana(2), Wallet::evm(3)];
    gateway.grant(&first, "nano");
    let one = sign_in(&gateway, &first);
    let both = add(&gateway, &second, Some(&one));
    let naming = |target: &str, account: &str| by_cookie(target, &both).header("X-SIWX-Account", account);
    let as_whom = |request: &Request| {
        assert_eq!(gateway.send(request).outcome(), ok());
        let seen = upstream.take_one();
        assert_eq!(seen.all("X-SIWX-Account").len(), 1);
        seen.one("X-SIWX-Account").map(str::to_owned)
    };
    assert_eq!(as_whom(&by_cookie("/wallet/x", &both)), Some(second.account()));
    assert_eq!(as_whom(&naming("/wallet/x", &first.account())), Some(first.account()));
    assert_eq!(as_whom(&naming("/wallet/x", &first.account().to_lowercase())), Some(first.account()));
    let foreign = (403, "account_not_in_session".to_owned());
    for account in [stranger.account(), "eip155:8453:x".to_owned(), "x".to_owned(), String::new()] {
        assert_eq!(gateway.send(&naming("/wallet/x", &account)).outcome(), foreign, "{account}");
    }
    let twice = naming("/wallet/x", &first.account()).header("X-SIWX-Account", &first.account());
    assert_eq!(gateway.send(&twice).outcome(), (400, "conflicting_credentials".to_owned()));
    // Sets do not pool their plans.
    assert_eq!(gateway.send(&naming("/paid/x", &first.account())).outcome(), ok());
    let newest = gateway.send(&by_cookie("/paid/x", &both));
    assert_eq!(newest.outcome(), (403, "subscription_required".to_owned()));
}

#[test]
fn c32_what_changes_something_by_cookie_needs_a_page_that_may() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream)
        .tables("[session]\n[auth]\norigins = [\"https://app.example.com\"]\n[limits]\nauth_failures = \"off\"\n")
        .start();
    let credential = sign_in(&gateway, &Wallet::evm(1));
    let csrf = || (403, "csrf".to_owned());
    type Row<'t> = (&'t str, &'t [(&'t str, &'t str)], bool);
    let rows: &[Row<'_>] = &[
        ("our own page", &[("Origin", "https://api.example.com")], true),
        ("a listed page", &[("Origin", "https://app.example.com"), ("Sec-Fetch-Site", "cross-site")], true),
        ("another page", &[("Origin", "https://evil.example")], false),
        ("a page of no origin", &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")], false),
        ("two origins", &[("Origin", "https://api.example.com"), ("Origin", "https://evil.example")], false),
        ("our own page without an origin", &[("Sec-Fetch-Site", "same-origin")], true),
        ("no page", &[("Sec-Fetch-Site", "none")], true),
        ("a sibling", &[("Sec-Fetch-Site", "same-site")], false),
        ("nobody says", &[], false),
    ];
    for (name, fields, admitted) in rows {
        let expected = if *admitted { ok() } else { csrf() };
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let with =
                |request: Request| fields.iter().fold(request, |request, (name, value)| request.header(name, value));
            let request = with(Request::new(method, "/wallet/x").header("Cookie", &format!("{COOKIE}={credential}")));
            assert_eq!(gateway.send(&request).outcome(), expected, "{method}: {name}");
            let bearer =
                with(Request::new(method, "/wallet/x").header("Authorization", &format!("Bearer {credential}")));
            assert_eq!(gateway.send(&bearer).outcome(), ok(), "{method} by bearer: {name}");
        }
        let read = fields
            .iter()
            .fold(by_cookie("/wallet/x", &credential), |request, (name, value)| request.header(name, value));
        assert_eq!(gateway.send(&read).outcome(), ok(), "GET: {name}");
    }
    let socket = by_cookie("/wallet/x", &credential).header("Upgrade", "websocket").header("Connection", "Upgrade");
    let foreign = socket.header("Origin", "https://evil.example");
    assert_eq!(gateway.send(&foreign).outcome(), csrf(), "a WebSocket of another page");
}

#[test]
fn without_csrf_a_cookie_is_enough() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "csrf = false");
    let credential = sign_in(&gateway, &Wallet::evm(1));
    let request = Request::new("POST", "/wallet/x").header("Cookie", &format!("{COOKIE}={credential}"));
    assert_eq!(gateway.send(&request.header("Origin", "https://evil.example")).outcome(), ok());
}

#[test]
fn a_sign_out_counts_at_once() {
    for keys in ["", "token = \"jwt\""] {
        let upstream = Upstream::ok();
        let gateway = with(&upstream, keys);
        let wallet = Wallet::evm(1);
        let (one, other) = (sign_in(&gateway, &wallet), sign_in(&gateway, &wallet));
        assert_eq!((get(&gateway, &one), get(&gateway, &other)), (ok(), ok()), "both are remembered");
        assert!(sign_out(&gateway, &one, false));
        assert_eq!((get(&gateway, &one), get(&gateway, &other)), (over(), ok()));
        assert!(!sign_out(&gateway, &one, false), "it is over already");
        let third = sign_in(&gateway, &wallet);
        assert_eq!(get(&gateway, &third), ok());
        assert!(sign_out(&gateway, &third, true));
        assert_eq!((get(&gateway, &other), get(&gateway, &third)), (over(), over()), "all of the account");
    }
}

/// A sign-out that meets a refresh ends the set all the same.
#[test]
fn a_sign_out_with_what_was_replaced_ends_what_replaced_it() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let first = sign_in(&gateway, &Wallet::evm(1));
    let second = add(&gateway, &Wallet::evm(2), Some(&first));
    assert_eq!(get(&gateway, &second), ok());
    assert!(sign_out(&gateway, &first, false));
    assert_eq!(get(&gateway, &second), over());
}

#[test]
fn one_pair_is_forgotten_and_the_others_stay() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let [first, second] = [Wallet::evm(1), Wallet::evm(2)];
    let credential = add(&gateway, &second, Some(&sign_in(&gateway, &first)));
    let forget = |chain: &str, address: &str| {
        let presented = cookie(&credential);
        let ending = sessions(&gateway).forget(&gateway.gate, &presented, chain, address, gateway.now());
        gateway.block_on(ending).expect("the store answers")
    };
    assert_eq!(forget("eip155:1", &first.address()), 2, "another chain");
    assert_eq!(forget("nonsense", "x y"), 2);
    assert_eq!(forget(second.chain(), &second.address().to_lowercase()), 1);
    assert_eq!(gateway.send(&by_cookie("/wallet/x", &credential)).outcome(), ok());
    assert_eq!(upstream.take_one().one("X-SIWX-Account"), Some(first.account().as_str()));
    assert_eq!(forget(first.chain(), &first.address()), 0);
    assert_eq!(get(&gateway, &credential), over());
}

#[test]
fn a_session_ends_at_the_first_of_its_ends() {
    let rows = [
        ("its life", "ttl = \"2h\"", None, &["12:00:00.999"][..], "12:00:01.000"),
        ("the message's own end", "ttl = \"2h\"", Some("2026-11-20T11:00:00Z"), &["10:59:59.999"], "11:00:00.000"),
        ("without being used", "idle = \"1h\"", None, &["10:59:00.000", "11:58:59.000"], "12:59:00.000"),
    ];
    for (name, keys, expiration, good, end) in rows {
        let upstream = Upstream::ok();
        let gateway = with(&upstream, keys);
        let wallet = Wallet::evm(1);
        let text = text(&gateway, &wallet);
        let text = match expiration {
            Some(end) => text.and("Expiration Time", end),
            None => text,
        };
        let signed_in = hand_over(&gateway, &[signed(&gateway, &wallet, &text)], How::Add, None).expect(name);
        let credential = opening(&gateway, &signed_in);
        for moment in good {
            gateway.set_time(&format!("2026-11-20T{moment}Z"));
            assert_eq!(get(&gateway, &credential), ok(), "{name}: {moment}");
        }
        gateway.set_time(&format!("2026-11-20T{end}Z"));
        assert_eq!(get(&gateway, &credential), over(), "{name}");
        gateway.gate.flush();
        assert_eq!(get(&gateway, &credential), over(), "{name}, read anew");
    }
}

#[test]
fn a_refresh_rotates_and_does_not_pass_the_absolute_end() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "ttl = \"2h\"\nabsolute = \"3h\"");
    let first = sign_in(&gateway, &Wallet::evm(1));
    gateway.set_time("2026-11-20T11:30:00Z");
    let refresh = |credential: &str| {
        let (presented, visitor) = (cookie(credential), visitor(&gateway));
        gateway.block_on(sessions(&gateway).refresh(&gateway.gate, &presented, None, None, &visitor))
    };
    let renewed = refresh(&first).expect("a longer life");
    let second = opening(&gateway, &renewed);
    assert_eq!(renewed.expires_at.to_string(), "2026-11-20T13:00:01.000Z");
    assert_eq!((get(&gateway, &first), get(&gateway, &second)), (over(), ok()));
    gateway.set_time("2026-11-20T13:00:00.999Z");
    assert_eq!(get(&gateway, &second), ok());
    gateway.set_time("2026-11-20T13:00:01Z");
    assert_eq!(get(&gateway, &second), over());
    assert_eq!(refused(refresh(&second)), (None, "unauthenticated"));
}

/// A gateway whose contract wallets are asked at this node.
fn asking(upstream: &Upstream, node: &Node, keys: &str) -> Gateway {
    let rpc = format!(
        "[chains.eip155]\nschemes = [\"eip191\", \"eip1271\"]\nrpc = {{ \"eip155:8453\" = [{:?}] }}\nrpc_per_ip = \"off\"\n",
        node.url()
    );
    Setup::over(upstream).tables(&format!("{SESSION}{keys}\n{rpc}")).start()
}

fn sign_in_as_contract(gateway: &Gateway) -> String {
    let text = text(gateway, &Wallet::evm(1)).of_address(CONTRACT);
    let attempts = [attempt(gateway, &text, "eip155:8453", &format!("0x{}", "ab".repeat(80)))];
    let signed_in = hand_over(gateway, &attempts, How::Add, None).unwrap_or_else(|fault| panic!("{fault:?}"));
    opening(gateway, &signed_in)
}

/// An owner who was removed is out after `revalidate_after`, whatever is remembered of the contract.
#[test]
fn a_removed_owner_is_out() {
    let (upstream, removed) = (Upstream::ok(), Arc::new(AtomicBool::new(false)));
    let says = Arc::clone(&removed);
    let node = Node::on(8453, move |request| result(request, &json!(if says.load(SeqCst) { NO } else { YES })));
    let gateway = asking(&upstream, &node, "revalidate_after = \"15m\"");
    let credential = sign_in_as_contract(&gateway);
    assert_eq!((get(&gateway, &credential), node.calls()), (ok(), 1));
    assert_eq!(upstream.take_one().one("X-SIWX-Scheme"), Some("eip1271"));
    gateway.set_time("2026-11-20T10:15:00.999Z");
    assert_eq!((get(&gateway, &credential), node.calls()), (ok(), 1), "not yet");
    gateway.set_time("2026-11-20T10:15:01Z");
    assert_eq!((get(&gateway, &credential), node.calls()), (ok(), 2), "asked again, though it is remembered");
    assert_eq!((get(&gateway, &credential), node.calls()), (ok(), 2));
    removed.store(true, SeqCst);
    gateway.set_time("2026-11-20T10:30:01Z");
    assert_eq!((get(&gateway, &credential), node.calls()), (over(), 3));
    removed.store(false, SeqCst);
    assert_eq!((get(&gateway, &credential), node.calls()), (over(), 3), "it was ended for good");
}

#[test]
fn while_no_node_answers_a_contract_session_is_good_for_its_grace() {
    let (upstream, silent) = (Upstream::ok(), Arc::new(AtomicBool::new(false)));
    let says = Arc::clone(&silent);
    let node =
        Node::on(
            8453,
            move |request| {
                if says.load(SeqCst) { Act::text(500, "text/plain", "") } else { result(request, &json!(YES)) }
            },
        );
    let gateway = asking(&upstream, &node, "revalidate_after = \"15m\"\nrevalidate_grace = \"10m\"");
    let credential = sign_in_as_contract(&gateway);
    silent.store(true, SeqCst);
    gateway.set_time("2026-11-20T10:15:01Z");
    assert_eq!(get(&gateway, &credential), ok());
    let asked = node.calls();
    assert!(asked > 1);
    assert_eq!((get(&gateway, &credential), node.calls()), (ok(), asked), "not asked again at once");
    gateway.set_time("2026-11-20T10:25:00.999Z");
    assert_eq!(get(&gateway, &credential), ok());
    gateway.set_time("2026-11-20T10:25:01Z");
    assert_eq!(get(&gateway, &credential), (503, "verifier_unavailable".to_owned()));
    assert_eq!(shown(&gateway, &credential, None), 0, "hidden");
    silent.store(false, SeqCst);
    assert_eq!(get(&gateway, &credential), ok());
    let pair = Pair::read(Some("eip155:8453"), Some(CONTRACT)).expect("a pair");
    assert_eq!(shown(&gateway, &credential, pair.as_ref()), 1);
}

#[test]
fn what_opens_a_session_does_not_reach_an_upstream_and_none_may_set_it() {
    let sets =
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: theme=dark\r\nSet-Cookie: __Host-siwx=evil; Path=/\r\n\
                 Set-Cookie: lang=en\r\n\r\n";
    let upstream = Upstream::answering(|_| sets.to_vec());
    for keys in ["", "token = \"jwt\""] {
        let gateway =
            Setup::over(&upstream).set("auth.forward_credential", "true").tables(&format!("{SESSION}{keys}\n")).start();
        let credential = sign_in(&gateway, &Wallet::evm(1));
        for target in ["/wallet/x", "/public/x"] {
            let crumbs = format!("theme=dark; {COOKIE}={credential}; lang=en");
            let answer = gateway.send(&Request::get(target).header("Cookie", &crumbs));
            assert_eq!(answer.outcome(), ok(), "{target}");
            assert_eq!(answer.all("Set-Cookie"), ["theme=dark", "lang=en"], "{target}");
            assert_eq!(upstream.take_one().all("Cookie"), ["theme=dark; lang=en"], "{target}");
            assert_eq!(gateway.send(&by_cookie(target, &credential)).outcome(), ok(), "{target}");
            assert_eq!(upstream.take_one().one("Cookie"), None, "{target}");
            assert_eq!(gateway.send(&by_bearer(target, &credential)).outcome(), ok(), "{target}");
            assert_eq!(upstream.take_one().one("Authorization"), None, "{target}");
        }
        let foreign = gateway.send(&by_bearer("/public/x", "somebody-elses"));
        assert_eq!(foreign.outcome(), ok());
        assert_eq!(
            upstream.take_one().one("Authorization"),
            Some("Bearer somebody-elses"),
            "not ours on public routes"
        );
    }
}

#[test]
fn routes_take_sessions_where_their_carriers_say_so() {
    let routes = r#"
[[route]]
name = "tokens"
prefix = "/tokens"
upstream = "api"
carriers = ["authorization"]
[[route]]
name = "browsers"
prefix = "/browsers"
upstream = "api"
carriers = ["session"]
"#;
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).routes(routes).tables(SESSION).start();
    let wallet = Wallet::evm(1);
    let credential = sign_in(&gateway, &wallet);
    let required = || (401, "credential_required".to_owned());
    let twice = Request::get("/tokens/x").header("Cookie", &format!("{COOKIE}=a; {COOKIE}=b"));
    let rows = [
        (by_cookie("/tokens/x", &credential), required()),
        (by_bearer("/tokens/x", &credential), required()),
        (twice, required()),
        (Request::get("/tokens/x").token(&wallet.token()), ok()),
        (by_cookie("/browsers/x", &credential), ok()),
        (by_bearer("/browsers/x", &credential), ok()),
        (Request::get("/browsers/x").token(&wallet.token()), required()),
    ];
    for (request, expected) in rows {
        assert_eq!(gateway.send(&request).outcome(), expected, "{}", request.target);
    }
}

#[test]
fn without_sessions_a_bearer_and_a_cookie_are_somebody_elses() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let wallet = Wallet::evm(1);
    let request = Request::get("/wallet/x").token(&wallet.token()).header("Cookie", &format!("{COOKIE}=a; {COOKIE}=b"));
    assert_eq!(gateway.send(&request).outcome(), ok());
    assert_eq!(upstream.take_one().one("Cookie"), Some(format!("{COOKIE}=a; {COOKIE}=b").as_str()));
    assert_eq!(gateway.send(&by_bearer("/public/x", "x")).outcome(), ok());
    assert_eq!(upstream.take_one().one("Authorization"), Some("Bearer x"));
    assert_eq!(get(&gateway, "x"), (401, "credential_required".to_owned()));
}
