//! What any store does with sessions (sessions.md sections 2.1 and 2.2): how they begin, and how sets of them change.
//! How they end is in `ends`.

mod ends;

use siwx_gateway::{
    caip::AccountId,
    store::{
        Change, Claim, NewSession, NonceKey, Renewal, SessionEntry, SessionFacts, SessionFilter, SessionKey,
        SessionName, SessionSet, SessionTexts, SignIn, SignedIn, Store, StoreError,
    },
};

use crate::rules::{DAY, at, for_each_store};

/// How long a session lives here unless a test says otherwise.
pub(crate) const LIFE: i64 = DAY;

/// How long a session can be made to live.
pub(crate) const ABSOLUTE: i64 = 7 * DAY;

const HOUR: i64 = 3_600_000;

pub(crate) fn key(number: u32) -> SessionKey {
    let mut hash = [0x5e; 32];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    SessionKey::from_bytes(hash)
}

pub(crate) fn name(number: u32) -> SessionName {
    SessionName::new(key(number), &format!("sid-{number}")).expect("a name")
}

pub(crate) fn account(text: &str) -> AccountId {
    AccountId::parse(text).expect("an account")
}

pub(crate) fn alice() -> AccountId {
    account("eip155:1:0xAb16A96D359eC26a11e2C2b3d8f8B8942d5Bfcdb")
}

fn alice_on_base() -> AccountId {
    account("eip155:8453:0xAb16A96D359eC26a11e2C2b3d8f8B8942d5Bfcdb")
}

pub(crate) fn bob() -> AccountId {
    account("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene")
}

fn carol() -> AccountId {
    account("eip155:1:0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A")
}

/// A session of this account, made now. Its id and its texts tell it from those with other nonces.
pub(crate) fn session(account: &AccountId, nonce: &str, now: i64) -> NewSession {
    let facts = SessionFacts {
        id: format!(
            "{nonce}-{}-{}",
            account.key().address().get(..6).expect("an address"),
            account.chain().reference()
        ),
        account: account.clone(),
        scheme: "eip191".into(),
        domain: "app.example:8443".into(),
        created_at: at(now),
        refreshed_at: at(now),
        verified_at: at(now),
        not_before: None,
        expires_at: at(now + LIFE),
        absolute_end: at(now + ABSOLUTE),
    };
    let texts = SessionTexts {
        message: format!("app.example wants you to sign in with your account:\n{account}\n\nNonce: {nonce}"),
        signature: format!("0x{nonce}"),
        nonce: nonce.into(),
        data: format!("{{\"nonce\": \"{nonce}\"}}"),
        cacao: None,
        public_key: None,
        recap: None,
    };
    NewSession { entry: SessionEntry { facts, texts }, nonce_until: at(now + HOUR) }
}

pub(crate) fn change(new: u32, change: Change, sessions: &[NewSession]) -> SignIn {
    SignIn::new(name(new), change, sessions.to_vec()).expect("a change")
}

pub(crate) fn entries(sessions: &[NewSession]) -> Vec<SessionEntry> {
    sessions.iter().map(|session| session.entry.clone()).collect()
}

/// A sign-in that is done.
pub(crate) async fn done(store: &Store, change: &SignIn, now: i64) -> SessionSet {
    match store.sessions().sign_in(change, at(now)).await.expect("an answer") {
        SignedIn::Done(set) => set,
        other => panic!("{other:?}"),
    }
}

/// A set of its own under this number.
pub(crate) async fn begun(store: &Store, number: u32, sessions: &[NewSession], now: i64) -> SessionSet {
    done(store, &change(number, Change::Begin, sessions), now).await
}

pub(crate) async fn found(store: &Store, number: u32, now: i64) -> Option<SessionSet> {
    store.sessions().find(&key(number), at(now)).await.expect("an answer")
}

async fn claim(store: &Store, nonce: &str) -> Claim {
    store.nonces().claim(NonceKey::Issued(nonce), at(HOUR), at(0)).await.expect("an answer")
}

fn renewal(new: u32, until: i64) -> Renewal {
    Renewal { name: name(new), expires_at: at(until), verified: Vec::new(), refused: Vec::new() }
}

async fn rotated(store: &Store, old: u32, new: u32, now: i64) -> Option<SessionSet> {
    store.sessions().rotate(&key(old), &renewal(new, now + LIFE), at(now)).await.expect("an answer")
}

async fn ended(store: &Store, number: u32) -> bool {
    store.sessions().end(&key(number)).await.expect("an answer")
}

/// The sids of all sets, the newest first.
async fn listed(store: &Store, filter: &SessionFilter, now: i64) -> Vec<String> {
    let page = store.sessions().list(filter, None, 100, at(now)).await.expect("an answer");
    page.sets.into_iter().map(|set| set.sid).collect()
}

#[test]
fn nobody_is_signed_in_at_first() {
    for_each_store(async |store, name| {
        assert_eq!(found(&store, 1, 0).await, None, "{name}");
        assert!(!ended(&store, 1).await, "{name}");
        assert!(!store.sessions().end_sid("sid-1").await.expect(name), "{name}");
        assert_eq!(store.sessions().end_all(&[alice().key()]).await.expect(name), 0, "{name}");
        assert_eq!(store.sessions().forget_pair(&key(1), &alice(), at(0)).await.expect(name), 0, "{name}");
        assert!(!store.sessions().verified(&key(1), "session-n1", at(0)).await.expect(name), "{name}");
        assert_eq!(listed(&store, &SessionFilter::default(), 0).await, Vec::<String>::new(), "{name}");
    });
}

#[test]
fn what_was_signed_comes_back_byte_for_byte() {
    let longest = |head: &str, most: usize| format!("{head}{}", "x".repeat(most - head.len()));
    let json = |most: usize| format!("\"{}\"", "x".repeat(most - 2));
    let mut odd = session(&alice(), "n1", 0);
    odd.entry.texts = SessionTexts {
        message: "a\r\n\tb  \u{0}\u{fe0f}é\n".into(),
        signature: " 0xAB == \n".into(),
        nonce: "n1".into(),
        data: "\n{ \"b\" : 1.50, \"a\":\"\\u00e4\", \"b\": 1e3 }\n".into(),
        cacao: Some("[ ]".into()),
        public_key: Some("02ab \u{e4}".into()),
        recap: Some("{\"att\":{ }}".into()),
    };
    let mut long = session(&bob(), "n2", 0);
    long.entry.facts.not_before = Some(at(-5));
    long.entry.texts = SessionTexts {
        message: longest("m", 8 * 1024),
        signature: longest("s", 32 * 1024),
        nonce: longest("n2", 128),
        data: json(64 * 1024),
        cacao: Some(json(64 * 1024)),
        public_key: Some(longest("k", 256)),
        recap: Some(json(8 * 1024)),
    };
    let sessions = [odd, long];
    for_each_store(async |store, name| {
        let expected =
            SessionSet { sid: "sid-1".into(), created_at: at(7), seen_at: at(7), entries: entries(&sessions) };
        assert_eq!(begun(&store, 1, &sessions, 7).await, expected, "{name}");
        assert_eq!(found(&store, 1, 8).await.as_ref(), Some(&expected), "{name}");
        assert_eq!(expected.expires_at(), at(LIFE), "{name}");
        assert_eq!(found(&store, 2, 8).await, None, "{name}: another key");
    });
}

#[test]
fn a_used_nonce_among_three_leaves_everything_as_it_was() {
    for_each_store(async |store, name| {
        let before = begun(&store, 1, &[session(&alice(), "n0", 0)], 0).await;
        assert_eq!(claim(&store, "used").await, Claim::Fresh, "{name}");
        let three = [session(&alice(), "n1", 0), session(&bob(), "used", 0), session(&carol(), "n2", 0)];
        for (row, how) in [("begin", Change::Begin), ("add", Change::Add(key(1))), ("replace", Change::Replace(key(1)))]
        {
            let told = store.sessions().sign_in(&change(2, how, &three), at(0)).await.expect(name);
            assert_eq!(told, SignedIn::NonceUsed { index: 1 }, "{name}: {row}");
            assert_eq!(found(&store, 1, 0).await.as_ref(), Some(&before), "{name}: {row}");
            assert_eq!(found(&store, 2, 0).await, None, "{name}: {row}");
            assert_eq!(listed(&store, &SessionFilter::default(), 0).await, ["sid-1"], "{name}: {row}");
        }
        for nonce in ["n1", "n2"] {
            assert_eq!(claim(&store, nonce).await, Claim::Fresh, "{name}: {nonce} was not used");
        }
    });
}

#[test]
fn a_nonce_is_used_once_whatever_it_is_used_for() {
    for_each_store(async |store, name| {
        let shared = [session(&alice(), "n1", 0), session(&alice_on_base(), "n1", 0), session(&bob(), "n2", 0)];
        begun(&store, 1, &shared, 0).await;
        for nonce in ["n1", "n2"] {
            assert_eq!(claim(&store, nonce).await, Claim::Used, "{name}: {nonce}");
        }
        let told = store.sessions().sign_in(&change(2, Change::Begin, &shared[..1]), at(0)).await.expect(name);
        assert_eq!(told, SignedIn::NonceUsed { index: 0 }, "{name}");
        // It is nobody's: whoever signs it.
        let others = [session(&carol(), "n3", 0), session(&bob(), "n2", 0), session(&alice(), "n3", 0)];
        let told = store.sessions().sign_in(&change(2, Change::Begin, &others), at(0)).await.expect(name);
        assert_eq!(told, SignedIn::NonceUsed { index: 1 }, "{name}");
    });
}

#[test]
fn a_nonce_that_would_not_be_remembered_is_used() {
    for_each_store(async |store, name| {
        let mut late = session(&alice(), "n1", 0);
        late.nonce_until = at(500);
        for (now, expected) in [(500, Some(0)), (499, None)] {
            let told = store.sessions().sign_in(&change(1, Change::Begin, &[late.clone()]), at(now)).await;
            let index = match told.expect(name) {
                SignedIn::NonceUsed { index } => Some(index),
                SignedIn::Done(_) => None,
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(index, expected, "{name}: at {now}");
        }
    });
}

#[test]
fn of_fifty_sign_ins_at_once_with_one_nonce_one_is_done() {
    for_each_store(async |store, name| {
        let mut attempts = tokio::task::JoinSet::new();
        for number in 1..=50 {
            let sessions = store.sessions();
            let three =
                [session(&alice(), &format!("own-{number}"), 0), session(&bob(), "n1", 0), session(&carol(), "n1", 0)];
            attempts.spawn(async move {
                sessions.sign_in(&change(number, Change::Begin, &three), at(0)).await.expect("an answer")
            });
        }
        let told = attempts.join_all().await;
        let done: Vec<&str> = told
            .iter()
            .filter_map(|told| match told {
                SignedIn::Done(set) => Some(set.sid.as_str()),
                other => {
                    assert_eq!(*other, SignedIn::NonceUsed { index: 1 }, "{name}");
                    None
                }
            })
            .collect();
        assert_eq!(done.len(), 1, "{name}: {done:?}");
        assert_eq!(listed(&store, &SessionFilter::default(), 0).await, done, "{name}");
    });
}

#[test]
fn every_change_makes_a_new_key_and_spends_the_old_one() {
    for_each_store(async |store, name| {
        begun(&store, 1, &[session(&alice(), "n1", 0)], 0).await;
        let added = done(&store, &change(2, Change::Add(key(1)), &[session(&bob(), "n2", 5)]), 5).await;
        assert_eq!(found(&store, 1, 5).await, None, "{name}: added");
        assert_eq!(found(&store, 2, 5).await.as_ref(), Some(&added), "{name}");
        let renewed = rotated(&store, 2, 3, 6).await;
        assert_eq!(found(&store, 2, 6).await, None, "{name}: renewed");
        assert_eq!(found(&store, 3, 6).await, renewed, "{name}");
        let replaced = done(&store, &change(4, Change::Replace(key(3)), &[session(&carol(), "n3", 7)]), 7).await;
        assert_eq!(found(&store, 3, 7).await, None, "{name}: replaced");
        assert_eq!(found(&store, 4, 7).await.as_ref(), Some(&replaced), "{name}");
        assert_eq!(listed(&store, &SessionFilter::default(), 7).await, ["sid-4"], "{name}: one set all the time");
    });
}

#[test]
fn what_is_added_replaces_the_same_pair_and_nothing_else() {
    for_each_store(async |store, name| {
        let first = [session(&alice(), "n1", 0), session(&alice_on_base(), "n2", 0), session(&bob(), "n3", 0)];
        begun(&store, 1, &first, 0).await;
        // Another spelling of the same address is the same pair.
        let lower = account(&alice().as_str().to_lowercase());
        let again = [session(&lower, "n4", 9), session(&carol(), "n5", 9)];
        let expected = SessionSet {
            sid: "sid-2".into(),
            created_at: at(0),
            seen_at: at(9),
            entries: entries(&[first[1].clone(), first[2].clone(), again[0].clone(), again[1].clone()]),
        };
        assert_eq!(done(&store, &change(2, Change::Add(key(1)), &again), 9).await, expected, "{name}");
        assert_eq!(found(&store, 2, 9).await, Some(expected), "{name}");
    });
}

#[test]
fn what_replaces_a_set_leaves_nothing_of_it() {
    for_each_store(async |store, name| {
        begun(&store, 1, &[session(&alice(), "n1", 0), session(&bob(), "n2", 0)], 0).await;
        let other = begun(&store, 9, &[session(&alice(), "n9", 0)], 0).await;
        let new = [session(&carol(), "n3", 5)];
        let expected = SessionSet { sid: "sid-2".into(), created_at: at(5), seen_at: at(5), entries: entries(&new) };
        assert_eq!(done(&store, &change(2, Change::Replace(key(1)), &new), 5).await, expected, "{name}");
        assert_eq!(found(&store, 2, 5).await, Some(expected), "{name}");
        assert_eq!(found(&store, 1, 5).await, None, "{name}");
        assert_eq!(found(&store, 9, 5).await, Some(other), "{name}: another browser's");
        let of_alice = SessionFilter { account: Some(alice().key()) };
        assert_eq!(listed(&store, &of_alice, 5).await, ["sid-9"], "{name}");
    });
}

#[test]
fn what_is_based_on_a_key_that_is_gone_adds_nothing() {
    for_each_store(async |store, name| {
        begun(&store, 1, &[session(&alice(), "n1", 0)], 0).await;
        assert!(ended(&store, 1).await, "{name}");
        let new = [session(&bob(), "n2", 0)];
        let told = store.sessions().sign_in(&change(2, Change::Add(key(1)), &new), at(0)).await.expect(name);
        assert_eq!(told, SignedIn::Gone, "{name}: added to what was ended");
        assert_eq!(rotated(&store, 1, 2, 0).await, None, "{name}: renewed");
        assert_eq!(listed(&store, &SessionFilter::default(), 0).await, Vec::<String>::new(), "{name}");

        // Its nonce was not used. A replacement takes nothing over, so it is done.
        let set = done(&store, &change(2, Change::Replace(key(1)), &new), 0).await;
        assert_eq!(set.entries, entries(&new), "{name}");

        // A key that was spent by another change brings nobody into what became of it.
        let three = [session(&carol(), "n3", 0)];
        let set = rotated(&store, 2, 3, 0).await;
        let told = store.sessions().sign_in(&change(4, Change::Add(key(2)), &three), at(0)).await.expect(name);
        assert_eq!(told, SignedIn::Gone, "{name}: added to what was renewed");
        assert_eq!(rotated(&store, 2, 4, 0).await, None, "{name}");
        assert_eq!(found(&store, 3, 0).await, set, "{name}");
    });
}

#[test]
fn of_changes_of_one_set_the_last_wins_whole() {
    for_each_store(async |store, name| {
        begun(&store, 100, &[session(&alice(), "n0", 0), session(&carol(), "m0", 0)], 0).await;
        let replacement = |number: u32| {
            let three = [alice(), bob(), alice_on_base()].map(|who| session(&who, &format!("n{number}"), 0));
            change(number, Change::Replace(key(100)), &three)
        };
        let mut changes = tokio::task::JoinSet::new();
        for number in 1..=20 {
            let sessions = store.sessions();
            changes.spawn(async move {
                let told = sessions.sign_in(&replacement(number), at(0)).await.expect("an answer");
                assert!(matches!(told, SignedIn::Done(_)), "{told:?}");
            });
        }
        changes.join_all().await;
        let sids = listed(&store, &SessionFilter::default(), 0).await;
        let [sid] = sids.as_slice() else { panic!("{name}: {sids:?}") };
        let winner: u32 = sid.strip_prefix("sid-").and_then(|number| number.parse().ok()).expect("a number");
        let expected = entries(replacement(winner).sessions());
        assert_eq!(found(&store, winner, 0).await.map(|set| set.entries), Some(expected), "{name}: whole");

        // One after the other, so that it is known which was the last.
        let (one, other) = (replacement(31), replacement(32));
        done(&store, &one, 0).await;
        done(&store, &other, 0).await;
        let sids = listed(&store, &SessionFilter::default(), 0).await;
        assert_eq!(sids, ["sid-32"], "{name}: the last, and nothing of those before");
        assert_eq!(found(&store, 31, 0).await, None, "{name}");
    });
}

/// Somebody put the same cookie of their own making into two browsers.
#[test]
fn a_key_that_was_never_given_ties_no_sets_together() {
    for_each_store(async |store, name| {
        let first = done(&store, &change(1, Change::Replace(key(99)), &[session(&alice(), "n1", 0)]), 0).await;
        let second = done(&store, &change(2, Change::Replace(key(99)), &[session(&bob(), "n2", 0)]), 0).await;
        assert!(!ended(&store, 99).await, "{name}");
        assert_eq!(store.sessions().forget_pair(&key(99), &bob(), at(0)).await.expect(name), 0, "{name}");
        assert_eq!(found(&store, 1, 0).await, Some(first), "{name}");
        assert_eq!(found(&store, 2, 0).await, Some(second), "{name}");
    });
}

#[test]
fn however_changes_of_one_set_meet_one_set_is_left_at_most() {
    for_each_store(async |store, name| {
        for round in 0..5_u32 {
            let base = 1000 * (round + 1);
            begun(&store, base, &[session(&alice(), &format!("n{base}"), 0)], 0).await;
            let mut changes = tokio::task::JoinSet::new();
            for step in 1..=12 {
                let (sessions, number) = (store.sessions(), base + step);
                let new = [session(&bob(), &format!("n{number}"), 0)];
                changes.spawn(async move {
                    match (step + round) % 3 {
                        0 => drop(sessions.rotate(&key(base), &renewal(number, LIFE), at(0)).await.expect("an answer")),
                        1 => {
                            let add = change(number, Change::Add(key(base)), &new);
                            let told = sessions.sign_in(&add, at(0)).await.expect("an answer");
                            assert!(matches!(told, SignedIn::Done(_) | SignedIn::Gone), "{told:?}");
                        }
                        _ => {
                            let replace = change(number, Change::Replace(key(base)), &new);
                            let told = sessions.sign_in(&replace, at(0)).await.expect("an answer");
                            assert!(matches!(told, SignedIn::Done(_)), "{told:?}");
                        }
                    }
                });
            }
            changes.join_all().await;
            assert_eq!(found(&store, base, 0).await, None, "{name}, round {round}");
            let left = listed(&store, &SessionFilter::default(), 0).await;
            assert_eq!(left.len(), 1, "{name}, round {round}: {left:?}");
            assert!(store.sessions().end_sid(&left[0]).await.expect(name), "{name}");
        }
    });
}

#[test]
fn a_new_name_that_is_in_use_is_a_conflict_and_changes_nothing() {
    for_each_store(async |store, name| {
        let first = begun(&store, 1, &[session(&alice(), "n1", 0)], 0).await;
        begun(&store, 2, &[session(&bob(), "n2", 0)], 0).await;
        let second = rotated(&store, 2, 3, 0).await;
        let new = [session(&carol(), "n3", 0)];
        let renamed = |number: u32, sid: &str| SessionName::new(key(number), sid).expect("a name");
        let rows = [
            ("a key that opens another set", renamed(1, "fresh")),
            ("a key that was spent just now", renamed(2, "fresh")),
            ("another set's public id", renamed(9, "sid-1")),
        ];
        let mut same_id = session(&carol(), "n3", 0);
        same_id.entry.facts.id.clone_from(&first.entries[0].facts.id);
        let told = store.sessions().sign_in(&change(9, Change::Begin, &[same_id]), at(0)).await;
        assert!(matches!(told, Err(StoreError::Conflict(_))), "{name}: another session's id: {told:?}");
        for (row, name_in_use) in rows {
            for how in [Change::Begin, Change::Add(key(3)), Change::Replace(key(3))] {
                let change = SignIn::new(name_in_use.clone(), how, new.to_vec()).expect(row);
                let told = store.sessions().sign_in(&change, at(0)).await;
                assert!(matches!(told, Err(StoreError::Conflict(_))), "{name}: {row}, {how:?}: {told:?}");
            }
            let renewal = Renewal { name: name_in_use, ..renewal(9, LIFE) };
            let told = store.sessions().rotate(&key(3), &renewal, at(0)).await;
            assert!(matches!(told, Err(StoreError::Conflict(_))), "{name}: {row}: {told:?}");
        }
        let itself = Renewal { name: renamed(3, "sid-3"), ..renewal(9, LIFE) };
        let told = store.sessions().rotate(&key(3), &itself, at(0)).await;
        assert!(matches!(told, Err(StoreError::Conflict(_))), "{name}: the old key: {told:?}");
        assert_eq!(found(&store, 1, 0).await, Some(first), "{name}");
        assert_eq!(found(&store, 3, 0).await, second, "{name}");
        assert_eq!(claim(&store, "n3").await, Claim::Fresh, "{name}");

        // Its own public id may stay.
        let kept = Renewal { name: renamed(4, "sid-3"), ..renewal(4, LIFE) };
        let set = store.sessions().rotate(&key(3), &kept, at(0)).await.expect(name).expect(name);
        assert_eq!(set.sid, "sid-3", "{name}");
        let replace = SignIn::new(renamed(5, "sid-3"), Change::Replace(key(4)), vec![session(&bob(), "n4", 0)]);
        assert_eq!(done(&store, &replace.expect(name), 0).await.sid, "sid-3", "{name}");
    });
}
