//! Sets of sessions: how they change, which of them are shown, and which one counts.

use super::*;

const EVM: &str = "0xe8c4e5881ec748789059d1e71B9622D56d0Abc11";
const OTHER: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const SOLANA: &str = "FL2nsvFLkb3SJwW15p9tmHbdQTFMVm15AngPS7UQvzvn";
const SOLANA_CHAIN: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const HOUR: Duration = Duration::from_secs(3600);
const LIFE: Life = Life { ttl: Duration::from_secs(86_400), idle: None, absolute: Duration::from_secs(7 * 86_400) };

/// Seconds after 2026-11-20T10:00:00Z.
fn at(secs: i64) -> UnixTime {
    UnixTime::from_secs(1_795_168_800 + secs)
}

fn hours(hours: i64) -> UnixTime {
    at(3600 * hours)
}

fn session(sid: u8, chain: &str, address: &str, created_at: UnixTime) -> Session {
    Session {
        sid: Sid::new([sid; 16]),
        account: AccountId::parse(&format!("{chain}:{address}")).expect("an account"),
        scheme: "eip191".into(),
        by_contract: false,
        created_at,
        refreshed_at: created_at,
        verified_at: created_at,
        not_before: None,
        expiration_time: None,
        evidence: Evidence {
            message: "m".into(),
            signature: "s".into(),
            data: "{}".into(),
            cacao: None,
            public_key: None,
            recap: None,
        },
    }
}

/// One account on two EVM chains, and one of Solana; the second is the newest.
fn set() -> SessionSet {
    let sessions = vec![
        session(1, "eip155:1", EVM, at(0)),
        session(2, "eip155:8453", EVM, at(20)),
        session(3, SOLANA_CHAIN, SOLANA, at(10)),
    ];
    SessionSet::new(sessions, None)
}

fn sids<'a>(sessions: impl IntoIterator<Item = &'a Session>) -> Vec<u8> {
    sessions.into_iter().map(|session| session.sid.as_bytes()[0]).collect()
}

fn pair<'a>(chain: &'a str, address: &'a str) -> Pair<'a> {
    Pair::read(Some(chain), Some(address)).expect("a question").expect("a pair")
}

#[test]
fn a_new_session_takes_the_place_of_the_old_one() {
    let mut set = set();
    let replaced = set.insert(session(9, "eip155:1", EVM, at(30)), &LIFE, at(30)).expect("room");
    assert_eq!(sids(replaced.as_ref()), [1]);
    assert_eq!(sids(set.sessions()), [2, 3, 9]);
    // Another chain, and another account, are other pairs.
    assert_eq!(set.insert(session(10, "eip155:10", EVM, at(30)), &LIFE, at(30)), Ok(None));
    assert_eq!(set.insert(session(11, "eip155:1", OTHER, at(30)), &LIFE, at(30)), Ok(None));
    assert_eq!(sids(set.sessions()), [2, 3, 9, 10, 11]);
}

#[test]
fn a_cookie_has_room_for_sixteen() {
    let mut set = SessionSet::default();
    for i in 0..16_u8 {
        assert_eq!(set.insert(session(i, &format!("eip155:{}", i + 1), EVM, at(0)), &LIFE, at(0)), Ok(None));
    }
    let one_more = session(99, "eip155:99", EVM, at(0));
    assert_eq!(set.insert(one_more.clone(), &LIFE, at(0)), Err(SessionError::TooManySessions(17)));
    assert_eq!(set.sessions().len(), 16);
    let again = set.insert(session(50, "eip155:1", EVM, at(1)), &LIFE, at(1)).expect("its own place");
    assert_eq!(sids(again.as_ref()), [0]);
    // What is over makes room; here all but the one that was begun a second later.
    assert_eq!(set.insert(one_more, &LIFE, at(86_400)), Ok(None));
    assert_eq!(sids(set.sessions()), [50, 99]);
}

#[test]
fn a_session_ends_by_the_first_of_its_ends() {
    let idle = Life { idle: Some(HOUR), ..LIFE };
    let short = Life { absolute: HOUR, ..LIFE };
    let plain = session(1, "eip155:1", EVM, at(0));
    let expiring = |time| Session { expiration_time: Some(time), ..plain.clone() };
    let refreshed = |time| Session { refreshed_at: time, ..plain.clone() };
    let rows = [
        ("by ttl", &LIFE, plain.clone(), None, hours(24)),
        ("by its message", &LIFE, expiring(at(1)), None, at(1)),
        ("not later by its message", &LIFE, expiring(hours(48)), None, hours(24)),
        ("refreshed", &LIFE, refreshed(hours(12)), None, hours(36)),
        ("refreshed, by absolute", &LIFE, refreshed(hours(6 * 24 + 12)), None, hours(7 * 24)),
        ("by absolute", &short, plain.clone(), None, hours(1)),
        ("idle", &idle, plain.clone(), Some(hours(2)), hours(3)),
        ("idle, never seen", &idle, plain.clone(), None, hours(24)),
        ("idle is off", &LIFE, plain.clone(), Some(hours(2)), hours(24)),
    ];
    for (name, life, session, seen_at, end) in rows {
        assert_eq!(session.ends_at(life, seen_at), end, "{name}");
        let set = SessionSet::new(vec![session], seen_at);
        assert_eq!(set.shown(life, end.plus_millis(-1)).count(), 1, "{name}: a millisecond before");
        assert_eq!(set.shown(life, end).count(), 0, "{name}: no leeway");
        assert_eq!(set.ends_at(life), Some(end), "{name}");
    }
    assert_eq!(SessionSet::default().ends_at(&LIFE), None);
}

#[test]
fn a_session_is_not_shown_before_it_begins() {
    let set = SessionSet::new(vec![Session { not_before: Some(at(10)), ..session(1, "eip155:1", EVM, at(0)) }], None);
    assert_eq!(set.shown(&LIFE, at(10).plus_millis(-1)).count(), 0);
    assert_eq!(set.shown(&LIFE, at(10)).count(), 1);
    assert_eq!(set.active(None, &LIFE, at(9)), Err(SessionError::Unauthenticated));
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    let endless = Life { ttl: Duration::MAX, idle: Some(Duration::MAX), absolute: Duration::MAX };
    let rule = Revalidation { after: Duration::MAX, grace: Duration::MAX };
    let contract = Session { by_contract: true, ..session(1, "eip155:1", EVM, UnixTime::from_millis(i64::MAX)) };
    let set = SessionSet::new(vec![contract.clone()], Some(UnixTime::from_millis(i64::MAX)));
    for now in [i64::MIN, 0, i64::MAX] {
        let now = UnixTime::from_millis(now);
        assert!(set.shown(&endless, now).count() <= 1);
        assert!(matches!(contract.standing(Some(&rule), now), Standing::Good | Standing::Due { .. }));
    }
}

#[test]
fn pairs_are_compared_as_appkit_compares_them() {
    let set = set();
    let found = |chain: &str, address: &str| sids(set.find(&pair(chain, address), &LIFE, at(60)));
    assert_eq!(found("eip155:1", EVM), [1]);
    assert_eq!(found("eip155:1", &EVM.to_lowercase()), [1]);
    assert_eq!(found("eip155:1", &EVM.to_uppercase()), [1]);
    assert_eq!(found("eip155:8453", EVM), [2]);
    assert_eq!(found(SOLANA_CHAIN, SOLANA), [3]);
    // AppKit asks for every network with whatever address is active, and for networks that nobody knows.
    let nobody = [
        ("eip155:10", EVM.to_owned()),
        ("eip155:1", OTHER.to_owned()),
        ("eip155:1", SOLANA.to_owned()),
        (SOLANA_CHAIN, EVM.to_owned()),
        (SOLANA_CHAIN, SOLANA.to_lowercase()),
        ("EIP155:1", EVM.to_owned()),
        ("eip155:01", EVM.to_owned()),
        ("1", EVM.to_owned()),
        ("undefined", "undefined".to_owned()),
        ("", String::new()),
        ("eip155:1", format!("{EVM} ")),
        ("eip155:1", "0".repeat(100_000)),
    ];
    for (chain, address) in nobody {
        assert_eq!(found(chain, &address), [0_u8; 0], "{chain} {}", address.len());
    }
}

#[test]
fn a_question_has_both_or_neither() {
    assert_eq!(Pair::read(None, None), Ok(None));
    for (chain, address, member) in [(Some("eip155:1"), None, "address"), (None, Some(EVM), "chainId")] {
        let refused = SessionError::Member { member, expected: "a text", found: "nothing" };
        assert_eq!(Pair::read(chain, address), Err(refused));
    }
}

#[test]
fn removing_a_pair_leaves_the_others() {
    let mut set = set();
    assert_eq!(sids(&set.remove(&pair("eip155:1", &EVM.to_lowercase()))), [1]);
    assert_eq!(sids(set.sessions()), [2, 3]);
    assert_eq!(set.remove(&pair("eip155:1", EVM)), [], "again changes nothing");
    // Neither the chain nor the address alone is a pair.
    assert_eq!(set.remove(&pair("eip155:8453", OTHER)), []);
    assert_eq!(set.remove(&pair(SOLANA_CHAIN, EVM)), []);
    assert_eq!(sids(set.sessions()), [2, 3]);
    // What is over is removed as well.
    let mut over = SessionSet::new(vec![session(1, "eip155:1", EVM, at(-1_000_000))], None);
    assert_eq!(sids(&over.remove(&pair("eip155:1", EVM))), [1]);
}

#[test]
fn who_a_request_is() {
    let set = set();
    let active = |named: Option<&str>| set.active(named, &LIFE, at(60)).map(|session| session.sid.as_bytes()[0]);
    assert_eq!(active(None), Ok(2), "the newest");
    assert_eq!(active(Some(&format!("eip155:1:{EVM}"))), Ok(1));
    assert_eq!(active(Some(&format!("eip155:1:{}", EVM.to_lowercase()))), Ok(1));
    assert_eq!(active(Some(&format!("{SOLANA_CHAIN}:{SOLANA}"))), Ok(3));
    let not_there = [
        String::new(),
        EVM.to_owned(),
        format!("eip155:10:{EVM}"),
        format!("eip155:1:{OTHER}"),
        format!("{SOLANA_CHAIN}:{}", SOLANA.to_lowercase()),
        format!("did:pkh:eip155:1:{EVM}"),
        format!(" eip155:1:{EVM}"),
        format!("eip155:1:{EVM}, eip155:8453:{EVM}"),
    ];
    for named in not_there {
        assert_eq!(active(Some(&named)), Err(SessionError::AccountNotInSession), "{named}");
    }
    // Of two that were begun at once, the one that was put in last.
    let twins = SessionSet::new(vec![session(1, "eip155:1", EVM, at(0)), session(2, "eip155:10", EVM, at(0))], None);
    assert_eq!(twins.active(None, &LIFE, at(0)).map(|session| session.sid.as_bytes()[0]), Ok(2));
}

#[test]
fn nobody_is_signed_in_when_all_are_over() {
    let set = set();
    let named = format!("eip155:1:{EVM}");
    // The first is over, the others are not.
    assert_eq!(set.active(Some(&named), &LIFE, hours(24)), Err(SessionError::AccountNotInSession));
    assert_eq!(set.active(None, &LIFE, hours(24)).map(|session| session.sid.as_bytes()[0]), Ok(2));
    for named in [None, Some(named.as_str())] {
        assert_eq!(set.active(named, &LIFE, hours(25)), Err(SessionError::Unauthenticated));
        assert_eq!(SessionSet::default().active(named, &LIFE, at(0)), Err(SessionError::Unauthenticated));
    }
}

#[test]
fn a_refresh_prolongs_what_is_not_over_and_passes_no_end() {
    let mut set = set();
    set.refresh(&LIFE, hours(24));
    assert_eq!(sids(set.sessions()), [2, 3], "the first is over at this very moment");
    assert_eq!(set.ends_at(&LIFE), Some(hours(48)));
    assert_eq!(set.seen_at(), Some(hours(24)));
    for turn in 1..=6 {
        set.refresh(&LIFE, hours(24 + 23 * turn));
    }
    assert_eq!(set.ends_at(&LIFE), Some(hours(7 * 24).plus_millis(20_000)), "a week after the newest was begun");
    set.refresh(&LIFE, hours(7 * 24));
    set.refresh(&LIFE, hours(7 * 24).plus_millis(20_000));
    assert_eq!(set.sessions(), []);
}

#[test]
fn what_a_contract_said_is_asked_again() {
    let rule = Revalidation { after: Duration::from_secs(900), grace: Duration::from_secs(900) };
    let contract = Session { by_contract: true, verified_at: at(100), ..session(1, "eip155:1", EVM, at(0)) };
    let standing = |secs: i64, millis: i64| contract.standing(Some(&rule), at(secs).plus_millis(millis));
    assert_eq!(standing(0, 0), Standing::Good, "a clock that was set back");
    assert_eq!(standing(1000, -1), Standing::Good);
    assert_eq!(standing(1000, 0), Standing::Due { good_unasked: true });
    assert_eq!(standing(1900, -1), Standing::Due { good_unasked: true });
    assert_eq!(standing(1900, 0), Standing::Due { good_unasked: false });
    assert_eq!(contract.standing(None, hours(1000)), Standing::Good, "the rule is off");
    let key = Session { by_contract: false, ..contract.clone() };
    assert_eq!(key.standing(Some(&rule), hours(1000)), Standing::Good, "keys do not change");
}
