//! What begins a session, and what does not.

use siwx_gateway::gate::sessions::{How, SignInRequest, Visitor};

use super::{
    add, attempt, get, hand_over, ok, opening, over, refused, sessions, sign_in, sign_out, signed, text, visitor, with,
};
use crate::harness::{Setup, Upstream, Wallet, wallet::Text};

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
