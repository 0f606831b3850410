//! What any store does with sessions (sessions.md sections 2.1 and 2.2), in the order of a session's life.

use siwx_gateway::{
    caip::{AccountId, AccountKey},
    store::{
        AccountMetadata, Change, Claim, METADATA_BYTES_MAX, NewSession, NonceKey, Renewal, SESSIONS_MAX,
        SETS_PER_ACCOUNT_MAX, SessionCursor, SessionEntry, SessionFacts, SessionFilter, SessionKey, SessionName,
        SessionSet, SessionTexts, SignIn, SignedIn, Store, StoreError,
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
    SessionKey::new(hash)
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
        recap: Some(json(8 * 1024)),
    };
    let sessions = [odd, long];
    for_each_store(async |store, name| {
        let expected = SessionSet { sid: "sid-1".into(), created_at: at(7), entries: entries(&sessions) };
        assert_eq!(begun(&store, 1, &sessions, 7).await, expected, "{name}");
        assert_eq!(found(&store, 1, 8).await.as_ref(), Some(&expected), "{name}");
        assert_eq!((expected.expires_at(), expected.absolute_end()), (at(LIFE), at(ABSOLUTE)), "{name}");
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
        let expected = SessionSet { sid: "sid-2".into(), created_at: at(5), entries: entries(&new) };
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
        let told =
            store.sessions().sign_in(&change(3, Change::Add(key(1)), &[session(&carol(), "n3", 0)]), at(0)).await;
        assert_eq!(told.expect(name), SignedIn::Gone, "{name}: added to what was replaced");
        assert_eq!(rotated(&store, 1, 3, 0).await, None, "{name}");
        assert_eq!(found(&store, 2, 0).await, Some(set), "{name}");
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

#[test]
fn a_session_counts_to_the_millisecond() {
    for_each_store(async |store, name| {
        let mut short = session(&alice(), "n1", 0);
        short.entry.facts.expires_at = at(1000);
        let mut later = session(&bob(), "n2", 0);
        later.entry.facts.not_before = Some(at(500));
        let sessions = [short.clone(), later.clone()];
        begun(&store, 1, &sessions, 0).await;
        let rows = [
            (0, vec![&short]),
            (499, vec![&short]),
            (500, vec![&short, &later]),
            (999, vec![&short, &later]),
            (1000, vec![&later]),
            (LIFE - 1, vec![&later]),
            (LIFE, vec![]),
        ];
        for (now, expected) in rows {
            let expected: Vec<SessionEntry> = expected.into_iter().map(|session| session.entry.clone()).collect();
            let counts = found(&store, 1, now).await.map_or_else(Vec::new, |set| set.entries);
            assert_eq!(counts, expected, "{name}: at {now}");
        }
        let left = async |now: i64| listed(&store, &SessionFilter::default(), now).await.len();
        assert_eq!((left(LIFE - 1).await, left(LIFE).await), (1, 0), "{name}");
        let of_alice = SessionFilter { account: Some(alice().key()) };
        let of_alice = async |now: i64| listed(&store, &of_alice, now).await.len();
        assert_eq!((of_alice(999).await, of_alice(1000).await), (1, 0), "{name}");

        // What has ended is as if it were not there, for whoever changes it as well.
        let new = [session(&carol(), "n3", LIFE)];
        let told = store.sessions().sign_in(&change(2, Change::Add(key(1)), &new), at(LIFE)).await.expect(name);
        assert_eq!(told, SignedIn::Gone, "{name}");
        assert_eq!(rotated(&store, 1, 2, LIFE).await, None, "{name}");
        let set = done(&store, &change(2, Change::Add(key(1)), &new), LIFE - 1).await;
        assert_eq!(set.entries, entries(&[later, new[0].clone()]), "{name}: what ended was left behind");
    });
}

#[test]
fn a_renewal_prolongs_what_counts_up_to_its_absolute_end() {
    for_each_store(async |store, name| {
        let mut short = session(&alice(), "n1", 0);
        short.entry.facts.expires_at = at(1000);
        let mut bounded = session(&alice_on_base(), "n2", 0);
        bounded.entry.facts.absolute_end = at(2 * DAY);
        let open = session(&bob(), "n3", 0);
        begun(&store, 1, &[short, bounded.clone(), open.clone()], 0).await;

        let until = async |old: u32, new: u32, wanted: i64, now: i64| {
            let set = store.sessions().rotate(&key(old), &renewal(new, wanted), at(now)).await.expect(name);
            let set = set.expect(name);
            assert_eq!((set.sid, set.created_at), (format!("sid-{new}"), at(0)), "{name}");
            set.entries.iter().map(|entry| entry.facts.expires_at).collect::<Vec<_>>()
        };
        assert_eq!(until(1, 2, 3 * DAY, 1000).await, [at(2 * DAY), at(3 * DAY)], "{name}: what ended stays ended");
        assert_eq!(until(2, 3, 2 * DAY, 2000).await, [at(2 * DAY), at(3 * DAY)], "{name}: none is made shorter");
        assert_eq!(until(3, 4, 99 * DAY, 2 * DAY).await, [at(ABSOLUTE)], "{name}");
        assert_eq!(rotated(&store, 4, 5, ABSOLUTE).await, None, "{name}");
        assert_eq!(found(&store, 4, ABSOLUTE - 1).await.map(|set| set.entries.len()), Some(1), "{name}");
    });
}

#[test]
fn a_renewal_says_what_contracts_said() {
    for_each_store(async |store, name| {
        let sessions = [session(&alice(), "n1", 0), session(&bob(), "n2", 0), session(&carol(), "n3", 0)];
        begun(&store, 1, &sessions, 0).await;
        let id = |place: usize| sessions[place].entry.facts.id.clone();
        let said = Renewal {
            verified: vec![(id(0), at(50)), ("nobody's".into(), at(50))],
            refused: vec![id(1), "nobody's".into()],
            ..renewal(2, LIFE)
        };
        let set = store.sessions().rotate(&key(1), &said, at(60)).await.expect(name).expect(name);
        let times: Vec<_> = set.entries.iter().map(|entry| (entry.facts.id.clone(), entry.facts.verified_at)).collect();
        assert_eq!(times, [(id(0), at(50)), (id(2), at(0))], "{name}");
        assert_eq!(found(&store, 2, 60).await, Some(set), "{name}");

        let none = Renewal { refused: vec![id(0), id(2)], ..renewal(3, LIFE) };
        assert_eq!(store.sessions().rotate(&key(2), &none, at(70)).await.expect(name), None, "{name}");
        for number in [2, 3] {
            assert_eq!(found(&store, number, 70).await, None, "{name}: nothing is left");
        }
        assert_eq!(listed(&store, &SessionFilter::default(), 70).await, Vec::<String>::new(), "{name}");
    });
}

#[test]
fn of_renewals_at_once_one_is_made() {
    for_each_store(async |store, name| {
        begun(&store, 100, &[session(&alice(), "n1", 0)], 0).await;
        let mut renewals = tokio::task::JoinSet::new();
        for number in 1..=20 {
            let sessions = store.sessions();
            renewals.spawn(async move { sessions.rotate(&key(100), &renewal(number, LIFE), at(0)).await });
        }
        let made = renewals.join_all().await;
        let made: Vec<SessionSet> = made.into_iter().filter_map(|made| made.expect("an answer")).collect();
        assert_eq!(made.len(), 1, "{name}: {made:?}");
        assert_eq!(listed(&store, &SessionFilter::default(), 0).await, [made[0].sid.as_str()], "{name}");
    });
}

#[test]
fn a_yes_of_a_contract_is_noted_and_an_older_one_changes_nothing() {
    for_each_store(async |store, name| {
        let sessions = [session(&alice(), "n1", 0), session(&bob(), "n2", 0)];
        begun(&store, 1, &sessions, 0).await;
        let (first, second) = (&sessions[0].entry.facts.id, &sessions[1].entry.facts.id);
        for (at_millis, expected) in [(50, 50), (40, 50), (60, 60)] {
            assert!(store.sessions().verified(&key(1), first, at(at_millis)).await.expect(name), "{name}");
            let set = found(&store, 1, 70).await.expect(name);
            let times: Vec<_> = set.entries.iter().map(|entry| entry.facts.verified_at).collect();
            assert_eq!(times, [at(expected), at(0)], "{name}");
        }
        assert!(!store.sessions().verified(&key(1), "nobody's", at(80)).await.expect(name), "{name}");
        assert!(!store.sessions().verified(&key(2), second, at(80)).await.expect(name), "{name}");
    });
}

#[test]
fn forgetting_a_pair_leaves_the_others() {
    for_each_store(async |store, name| {
        let sessions = [session(&alice(), "n1", 0), session(&alice_on_base(), "n2", 0), session(&bob(), "n3", 0)];
        begun(&store, 1, &sessions, 0).await;
        let elsewhere = begun(&store, 9, &[session(&alice(), "n9", 0)], 0).await;
        let forget = async |who: &AccountId| store.sessions().forget_pair(&key(1), who, at(0)).await.expect(name);
        let left = async || found(&store, 1, 0).await.map_or_else(Vec::new, |set| set.entries);

        assert_eq!(forget(&carol()).await, 3, "{name}: not in the set");
        assert_eq!(forget(&account(&alice().as_str().to_lowercase())).await, 2, "{name}");
        assert_eq!(left().await, entries(&sessions[1..]), "{name}: the same account on another chain stays");
        assert_eq!(forget(&alice()).await, 2, "{name}: again");
        let folded = account(&bob().as_str().replace("AB3FQH", "ab3fqh"));
        assert_eq!(forget(&folded).await, 2, "{name}: addresses of Solana are one in one case only");
        assert_eq!(forget(&alice_on_base()).await, 1, "{name}");
        assert_eq!(forget(&bob()).await, 0, "{name}");
        assert_eq!(found(&store, 1, 0).await, None, "{name}: nothing is left");
        assert_eq!(listed(&store, &SessionFilter::default(), 0).await, ["sid-9"], "{name}");
        assert_eq!(found(&store, 9, 0).await, Some(elsewhere), "{name}: another browser's");
    });
}

/// A sign-out and a refresh, sent by one browser at once.
#[test]
fn what_takes_away_follows_a_key_to_the_set_that_replaced_it() {
    for_each_store(async |store, name| {
        let both =
            |prefix: &str| [session(&alice(), &format!("{prefix}1"), 0), session(&bob(), &format!("{prefix}2"), 0)];
        begun(&store, 1, &both("a"), 0).await;
        rotated(&store, 1, 2, 0).await;
        assert!(ended(&store, 1).await, "{name}");
        assert_eq!(found(&store, 2, 0).await, None, "{name}: signed out for good");

        begun(&store, 11, &both("b"), 0).await;
        done(&store, &change(12, Change::Add(key(11)), &[session(&carol(), "b3", 0)]), 0).await;
        let left = store.sessions().forget_pair(&key(11), &bob(), at(0)).await.expect(name);
        assert_eq!(left, 2, "{name}");
        let set = found(&store, 12, 0).await.expect(name);
        let accounts: Vec<_> = set.entries.into_iter().map(|entry| entry.facts.account).collect();
        assert_eq!(accounts, [alice(), carol()], "{name}");

        // One step: a key from the day before yesterday ends nothing.
        rotated(&store, 12, 13, 0).await;
        assert!(!ended(&store, 11).await, "{name}");
        assert_eq!(store.sessions().forget_pair(&key(11), &alice(), at(0)).await.expect(name), 0, "{name}");
        assert_eq!(found(&store, 13, 0).await.map(|set| set.entries.len()), Some(2), "{name}");
        assert!(ended(&store, 13).await, "{name}");
        assert!(!ended(&store, 13).await, "{name}: again");
    });
}

#[test]
fn a_set_is_ended_by_its_public_id() {
    for_each_store(async |store, name| {
        begun(&store, 1, &[session(&alice(), "n1", 0)], 0).await;
        let other = begun(&store, 2, &[session(&alice(), "n2", 0)], 0).await;
        assert!(store.sessions().end_sid("sid-1").await.expect(name), "{name}");
        assert!(!store.sessions().end_sid("sid-1").await.expect(name), "{name}: again");
        assert_eq!(found(&store, 1, 0).await, None, "{name}");
        assert_eq!(found(&store, 2, 0).await, Some(other), "{name}");
    });
}

#[test]
fn all_sessions_of_accounts_end_and_no_others() {
    for_each_store(async |store, name| {
        let (alice_1, bob_1, carol_1) =
            (session(&alice(), "a1", 0), session(&bob(), "b1", 0), session(&carol(), "c1", 0));
        begun(&store, 1, &[alice_1, session(&alice_on_base(), "a2", 0), carol_1.clone()], 0).await;
        begun(&store, 2, &[session(&alice(), "a3", 0)], 0).await;
        begun(&store, 3, &[bob_1], 0).await;
        begun(&store, 4, &[session(&carol(), "c2", 0)], 0).await;

        let end_all = async |accounts: &[AccountKey]| store.sessions().end_all(accounts).await.expect(name);
        assert_eq!(end_all(&[alice().key(), bob().key()]).await, 4, "{name}");
        assert_eq!(end_all(&[alice().key(), bob().key()]).await, 0, "{name}: again");
        let left = found(&store, 1, 0).await.map(|set| set.entries);
        assert_eq!(left, Some(entries(&[carol_1])), "{name}: who was beside them stays");
        assert_eq!(listed(&store, &SessionFilter::default(), 0).await, ["sid-4", "sid-1"], "{name}");
        assert_eq!(end_all(&[]).await, 0, "{name}");
        let many = vec![alice().key(); SESSIONS_MAX + 1];
        let refused = store.sessions().end_all(&many).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{name}: {refused:?}");
    });
}

#[test]
fn sets_are_listed_page_by_page_without_what_was_signed() {
    for_each_store(async |store, name| {
        for number in 1..=7 {
            let who = if number % 2 == 0 { alice() } else { bob() };
            // Two of them at once.
            let now = i64::from(number / 2 * 2);
            begun(
                &store,
                number,
                &[session(&who, &format!("n{number}"), now), session(&carol(), &format!("n{number}"), now)],
                now,
            )
            .await;
        }
        let mut short = session(&alice(), "short", 0);
        short.entry.facts.expires_at = at(5);
        begun(&store, 8, &[short], 0).await;

        let pages = async |filter: &SessionFilter, limit: usize| {
            let (mut sids, mut after, mut sizes) = (Vec::new(), None::<SessionCursor>, Vec::new());
            loop {
                let page = store.sessions().list(filter, after.as_ref(), limit, at(10)).await.expect(name);
                sizes.push(page.sets.len());
                sids.extend(page.sets.into_iter().map(|set| set.sid));
                // As it goes through a URL.
                after = page.next.map(|next| next.to_string().parse().expect("a cursor"));
                if after.is_none() {
                    return (sizes, sids);
                }
            }
        };
        let named = |numbers: &[u32]| numbers.iter().map(|number| format!("sid-{number}")).collect::<Vec<_>>();
        let all = (vec![3, 3, 1], named(&[7, 6, 5, 4, 3, 2, 1]));
        assert_eq!(pages(&SessionFilter::default(), 3).await, all, "{name}");
        let of_alice = SessionFilter { account: Some(alice().key()) };
        assert_eq!(pages(&of_alice, 2).await, (vec![2, 1], named(&[6, 4, 2])), "{name}");
        assert_eq!(pages(&of_alice, 3).await, (vec![3], named(&[6, 4, 2])), "{name}: exactly one page");

        let page = store.sessions().list(&of_alice, None, 1, at(10)).await.expect(name);
        let expected = [session(&alice(), "n6", 6), session(&carol(), "n6", 6)].map(|session| session.entry.facts);
        assert_eq!((page.sets[0].sid.as_str(), page.sets[0].created_at), ("sid-6", at(6)), "{name}");
        assert_eq!(page.sets[0].sessions, expected, "{name}: sets are listed whole");

        // A cursor outlives what it points at.
        assert!(ended(&store, 6).await, "{name}");
        let rest = store.sessions().list(&of_alice, page.next.as_ref(), 9, at(10)).await.expect(name);
        assert_eq!(rest.sets.iter().map(|set| set.sid.as_str()).collect::<Vec<_>>(), ["sid-4", "sid-2"], "{name}");
    });
}

#[test]
fn a_set_holds_sixteen_sessions() {
    for_each_store(async |store, name| {
        let on = |chain: usize| account(&format!("eip155:{chain}:{}", alice().address()));
        let sixteen: Vec<NewSession> = (1..=16).map(|chain| session(&on(chain), &format!("n{chain}"), 0)).collect();
        assert_eq!(begun(&store, 1, &sixteen[..15], 0).await.entries.len(), 15, "{name}");
        let two = [sixteen[15].clone(), session(&bob(), "n17", 0)];
        let told = store.sessions().sign_in(&change(2, Change::Add(key(1)), &two), at(0)).await.expect(name);
        assert_eq!(told, SignedIn::TooMany { found: 17 }, "{name}");
        assert_eq!(found(&store, 1, 0).await.map(|set| set.entries), Some(entries(&sixteen[..15])), "{name}");
        let set = done(&store, &change(2, Change::Add(key(1)), &two[..1]), 0).await;
        assert_eq!(set.entries, entries(&sixteen), "{name}: its nonce was not used");
        let again = [session(&on(3), "again", 0)];
        assert_eq!(
            done(&store, &change(3, Change::Add(key(2)), &again), 0).await.entries.len(),
            16,
            "{name}: replaced"
        );
    });
}

#[test]
fn an_account_is_in_a_thousand_sets_and_the_oldest_end() {
    for_each_store(async |store, name| {
        let most = u32::try_from(SETS_PER_ACCOUNT_MAX).expect("a number");
        // The first has ended before the others begin, the second holds another account too.
        let mut short = session(&alice(), "n0", 0);
        short.entry.facts.expires_at = at(1);
        begun(&store, 0, &[short], 0).await;
        begun(&store, 1, &[session(&alice(), "n1", 1), session(&bob(), "b1", 1)], 1).await;
        let mut sign_ins = tokio::task::JoinSet::new();
        for number in 2..most {
            let store = store.clone();
            let now = i64::from(number);
            sign_ins.spawn(async move {
                begun(&store, number, &[session(&alice(), &format!("n{number}"), now)], now).await
            });
        }
        assert_eq!(sign_ins.join_all().await.len(), 998, "{name}");
        let last = async |number: u32| {
            let now = i64::from(number);
            begun(&store, number, &[session(&alice(), &format!("n{number}"), now)], now).await
        };
        last(most).await;
        assert_eq!(found(&store, 0, 0).await, None, "{name}: what has ended goes first");
        assert_eq!(found(&store, 1, 5).await.map(|set| set.entries.len()), Some(2), "{name}");
        last(most + 1).await;
        let left = found(&store, 1, 5).await.map(|set| set.entries);
        assert_eq!(left, Some(entries(&[session(&bob(), "b1", 1)])), "{name}: the oldest, and who was beside it stays");
        assert!(found(&store, 2, 5).await.is_some(), "{name}");
        last(most + 2).await;
        assert_eq!(found(&store, 2, 5).await, None, "{name}");
        assert!(found(&store, 3, 5).await.is_some(), "{name}");
    });
}

#[test]
fn metadata_is_kept_by_account() {
    for_each_store(async |store, name| {
        let sessions = store.sessions();
        let (alice, bob) = (alice().key(), bob().key());
        assert_eq!(sessions.metadata(&alice).await.expect(name), None, "{name}");
        let first = AccountMetadata::new("{ \"b\":1, \"a\":\"\\u00e4\" }", at(1)).expect(name);
        let longest = format!("\"{}\"", "x".repeat(METADATA_BYTES_MAX - 2));
        let second = AccountMetadata::new(&longest, at(2)).expect(name);
        for metadata in [&first, &second] {
            sessions.put_metadata(&alice, Some(metadata)).await.expect(name);
            assert_eq!(sessions.metadata(&alice).await.expect(name).as_ref(), Some(metadata), "{name}");
        }
        sessions.put_metadata(&bob, Some(&first)).await.expect(name);
        sessions.put_metadata(&alice, None).await.expect(name);
        assert_eq!(sessions.metadata(&alice).await.expect(name), None, "{name}");
        sessions.put_metadata(&alice, None).await.expect(name);
        assert_eq!(sessions.metadata(&bob).await.expect(name), Some(first), "{name}");
    });
}
