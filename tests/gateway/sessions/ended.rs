//! What ends a session, and when it is over.

use siwx_gateway::gate::sessions::How;

use super::{
    SESSION, add, by_cookie, cookie, get, hand_over, ok, opening, over, refused, sessions, shown, sign_in, sign_out,
    signed, text, visitor, with,
};
use crate::{
    failures::Flaky,
    harness::{Request, Setup, Upstream, Wallet},
};

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

/// Everybody's sessions were read from the store again.
#[test]
fn a_sign_out_everywhere_leaves_what_is_remembered_of_others() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let [one, other] = [Wallet::evm(1), Wallet::solana(2)];
    let (here, elsewhere, theirs) = (sign_in(&gateway, &one), sign_in(&gateway, &one), sign_in(&gateway, &other));
    let beside = add(&gateway, &other, Some(&sign_in(&gateway, &one)));
    for credential in [&here, &elsewhere, &theirs, &beside] {
        assert_eq!(get(&gateway, credential), ok());
    }
    let hits = || gateway.metrics().value("siwx_cache_requests_total{cache=\"sessions\",result=\"hit\"}");
    assert!(sign_out(&gateway, &here, true));
    let before = hits();
    assert_eq!(get(&gateway, &theirs), ok());
    assert_eq!(hits(), before + 1.0, "it was remembered still");
    assert_eq!((get(&gateway, &here), get(&gateway, &elsewhere)), (over(), over()));
    assert_eq!(shown(&gateway, &beside, None), 1, "the other account of a set goes on");
}

#[test]
fn a_refresh_prolongs_no_session_of_an_account_that_is_denied_by_now() {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    let [denied, other] = [Wallet::evm(1), Wallet::evm(2)];
    let (alone, with_another) = (sign_in(&gateway, &denied), sign_in(&gateway, &denied));
    let both = add(&gateway, &other, Some(&with_another));
    let setup = Setup::over(&upstream).tables(SESSION).set("auth.deny_accounts", &denied.address());
    let gateway = setup.store(gateway.store.clone()).start();
    let refresh = |credential: &str| {
        let (presented, visitor) = (cookie(credential), visitor(&gateway));
        gateway.block_on(sessions(&gateway).refresh(&gateway.gate, &presented, None, None, &visitor))
    };
    assert_eq!(get(&gateway, &alone), (403, "account_denied".to_owned()));
    assert_eq!(refused(refresh(&alone)), (None, "unauthenticated"));
    let renewed = refresh(&both).expect("the other one's session");
    assert_eq!(shown(&gateway, &opening(&gateway, &renewed), None), 1);
}
