//! The operator's view of sessions: `/admin/sessions`.

use std::time::Duration;

use serde_json::{Value, json};
use siwx_gateway::{
    caip::AccountId,
    store::{Change, NewSession, SessionEntry, SessionFacts, SessionKey, SessionName, SessionTexts, SignIn, SignedIn},
};

use super::now;
use crate::harness::{Answer, Gateway, Request, Setup, Upstream, Wallet};

/// What proves a session, which no answer of the admin API holds.
const SECRETS: [&str; 5] = ["a message", "a signature", "a-nonce", "some data", "a cacao"];

fn key(number: u8) -> SessionKey {
    SessionKey::from_bytes([number; 32])
}

/// A set of these wallets; numbers of more are later.
fn sign_in(gateway: &Gateway, number: u8, wallets: &[&Wallet]) {
    let now = now().plus(Duration::from_secs(number.into()));
    let sessions = wallets.iter().enumerate().map(|(place, wallet)| {
        let facts = SessionFacts {
            id: format!("session-{number}-{place}"),
            account: AccountId::parse(&wallet.account()).expect("an account"),
            scheme: "eip191".into(),
            domain: "app.example".into(),
            created_at: now,
            refreshed_at: now,
            verified_at: now,
            not_before: Some(now),
            expires_at: now.plus(Duration::from_secs(3600)),
            absolute_end: now.plus(Duration::from_secs(7200)),
        };
        let texts = SessionTexts {
            message: "a message".into(),
            signature: "a signature".into(),
            nonce: format!("a-nonce-{number}"),
            data: "\"some data\"".into(),
            cacao: Some("\"a cacao\"".into()),
            public_key: None,
            recap: None,
        };
        NewSession { entry: SessionEntry { facts, texts }, nonce_until: now.plus(Duration::from_secs(600)) }
    });
    let name = SessionName::new(key(number), &format!("set-{number}")).expect("a name");
    let sign_in = SignIn::new(name, Change::Begin, sessions.collect()).expect("a sign-in");
    let told = gateway.block_on(gateway.store.sessions().sign_in(&sign_in, now)).expect("an answer");
    assert!(matches!(told, SignedIn::Done(_)), "{told:?}");
}

fn asked(gateway: &Gateway, method: &str, target: &str) -> Answer {
    let answer = gateway.admin(Request::new(method, &format!("/admin/sessions{target}")));
    let shown = format!("{answer:?} {}", String::from_utf8_lossy(&answer.body));
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{shown}");
    }
    answer
}

/// The sids in a list.
fn listed(answer: &Answer) -> Vec<String> {
    let answer = answer.json();
    let sets = answer["sessions"].as_array().expect("a list").iter();
    sets.map(|set| set["sid"].as_str().expect("a text").to_owned()).collect()
}

fn sids(numbers: &[u8]) -> Vec<String> {
    numbers.iter().map(|number| format!("set-{number}")).collect()
}

fn in_a_query(wallet: &Wallet) -> String {
    format!("?account={}", wallet.account().replace(':', "%3A"))
}

#[test]
fn sessions_are_listed_by_account_without_what_was_signed() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let (one, other) = (Wallet::evm(1), Wallet::evm(2));
    assert_eq!(asked(&gateway, "GET", "").json(), json!({ "sessions": [], "next": null }));
    sign_in(&gateway, 1, &[&one]);
    sign_in(&gateway, 2, &[&one, &other]);
    sign_in(&gateway, 3, &[&other]);
    for (name, query, expected) in [
        ("all", String::new(), sids(&[3, 2, 1])),
        ("of one", in_a_query(&one), sids(&[2, 1])),
        ("of nobody", in_a_query(&Wallet::evm(3)), vec![]),
    ] {
        let answer = asked(&gateway, "GET", &query);
        assert_eq!((answer.status, listed(&answer), &answer.json()["next"]), (200, expected, &Value::Null), "{name}");
    }
    let account = |id: &str, wallet: &Wallet| {
        json!({
            "id": id, "account": wallet.account(), "scheme": "eip191", "domain": "app.example",
            "created_at": "2026-11-20T10:00:03.000Z", "refreshed_at": "2026-11-20T10:00:03.000Z",
            "verified_at": "2026-11-20T10:00:03.000Z", "not_before": "2026-11-20T10:00:03.000Z",
            "expires_at": "2026-11-20T11:00:03.000Z", "absolute_end": "2026-11-20T12:00:03.000Z",
        })
    };
    let expected = json!({
        "sid": "set-2", "created_at": "2026-11-20T10:00:03.000Z", "seen_at": "2026-11-20T10:00:03.000Z",
        "expires_at": "2026-11-20T11:00:03.000Z",
        "accounts": [account("session-2-0", &one), account("session-2-1", &other)],
    });
    assert_eq!(asked(&gateway, "GET", &in_a_query(&one)).json()["sessions"][0], expected);

    gateway.set_time("2026-11-20T11:00:02.999Z");
    assert_eq!(listed(&asked(&gateway, "GET", "")), sids(&[3, 2]), "the first has ended");
    gateway.set_time("2026-11-20T11:00:04.000Z");
    assert_eq!(listed(&asked(&gateway, "GET", "")), Vec::<String>::new());
}

#[test]
fn sessions_come_in_pages_of_a_hundred() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    (1..=201).for_each(|number| sign_in(&gateway, number, &[&Wallet::evm(1)]));
    for filter in [String::new(), in_a_query(&Wallet::evm(1))] {
        let (mut found, mut query, mut pages) = (Vec::new(), filter.clone(), Vec::new());
        loop {
            let answer = asked(&gateway, "GET", &query);
            let sids = listed(&answer);
            pages.push(sids.len());
            found.extend(sids);
            let separator = if filter.is_empty() { '?' } else { '&' };
            match answer.json()["next"].as_str() {
                Some(next) => query = format!("{filter}{separator}after={next}"),
                None => break,
            }
        }
        assert_eq!(pages, [100, 100, 1], "{filter}");
        assert_eq!(found, sids(&(1..=201).rev().collect::<Vec<u8>>()), "{filter}");
    }
}

#[test]
fn an_operator_ends_a_set_a_session_and_all_of_an_account() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let (one, other) = (Wallet::evm(1), Wallet::evm(2));
    (1..=4).for_each(|number| sign_in(&gateway, number, &[&one, &other]));
    let (gone, ended) = ((404, "no_route".to_owned()), 204);
    let accounts = |number: u8| {
        let found = gateway.block_on(gateway.store.sessions().find(&key(number), now().plus(Duration::from_secs(9))));
        let entries = found.expect("an answer").map_or_else(Vec::new, |set| set.entries);
        entries.into_iter().map(|entry| entry.facts.account.to_string()).collect::<Vec<_>>()
    };

    assert_eq!(asked(&gateway, "DELETE", "/set-4").status, ended);
    assert_eq!(asked(&gateway, "DELETE", "/set-4").outcome(), gone);
    assert_eq!(accounts(4), Vec::<String>::new());
    assert_eq!(asked(&gateway, "DELETE", "/session%2D3-0").status, ended, "percent-encoded");
    assert_eq!(accounts(3), [other.account()]);
    assert_eq!(asked(&gateway, "DELETE", &in_a_query(&one)).status, ended);
    assert_eq!(asked(&gateway, "DELETE", &in_a_query(&one)).status, ended, "what was asked for is so");
    assert_eq!((accounts(1), accounts(2)), (vec![other.account()], vec![other.account()]), "who was beside it stays");
    assert_eq!(listed(&asked(&gateway, "GET", &in_a_query(&one))), Vec::<String>::new());
    // The chain does not matter: an account is one wallet.
    let elsewhere = format!("?account=eip155:8453:{}", other.address());
    assert_eq!(asked(&gateway, "DELETE", &elsewhere).status, ended);
    assert_eq!(listed(&asked(&gateway, "GET", "")), Vec::<String>::new());
}

#[test]
fn ends_that_make_no_sense_are_refused_and_end_nothing() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let wallet = Wallet::evm(1);
    sign_in(&gateway, 1, &[&wallet]);
    let of_wallet = in_a_query(&wallet);
    let rows = [
        ("GET", "?account=alice".to_owned()),
        ("GET", "?after=x".to_owned()),
        ("GET", "?sid=set-1".to_owned()),
        ("DELETE", String::new()),
        ("DELETE", "?".to_owned()),
        ("DELETE", "?account=".to_owned()),
        ("DELETE", "?account=alice".to_owned()),
        ("DELETE", "?sid=set-1".to_owned()),
        ("DELETE", format!("{of_wallet}&after=5:a")),
        ("DELETE", format!("{of_wallet}&{}", &of_wallet[1..])),
        ("DELETE", "/%zz".to_owned()),
    ];
    for (method, target) in rows {
        assert_eq!(asked(&gateway, method, &target).outcome(), (400, "bad_request".to_owned()), "{method} {target}");
    }
    for (method, target, expected) in [
        ("POST", "", (405, "method_not_allowed")),
        ("PUT", "", (405, "method_not_allowed")),
        ("GET", "/set-1", (405, "method_not_allowed")),
        ("POST", "/set-1", (405, "method_not_allowed")),
        ("DELETE", "/set-1/x", (404, "no_route")),
        ("DELETE", "/", (404, "no_route")),
        ("DELETE", "/SET-1", (404, "no_route")),
    ] {
        let expected = (expected.0, expected.1.to_owned());
        assert_eq!(asked(&gateway, method, target).outcome(), expected, "{method} {target}");
    }
    let from_a_page = Request::new("DELETE", "/admin/sessions/set-1").header("Origin", "https://app.example");
    assert_eq!(gateway.admin(from_a_page).outcome(), (403, "origin_not_allowed".to_owned()));
    assert_eq!(listed(&asked(&gateway, "GET", "")), sids(&[1]));
}
