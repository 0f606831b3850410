//! How sessions end, are renewed, listed and bounded, and what is kept for accounts.

use siwx_gateway::{
    caip::{AccountId, AccountKey},
    store::{
        AccountHistory, AccountMetadata, CONNECTION_BYTES_MAX, Change, METADATA_BYTES_MAX, NewSession, Renewal,
        SESSIONS_MAX, SETS_PER_ACCOUNT_MAX, SessionCursor, SessionEntry, SessionFilter, SessionSet, SignedIn,
        StoreError,
    },
};

use super::{
    ABSOLUTE, LIFE, account, alice, alice_on_base, begun, bob, carol, change, done, ended, entries, found, key, listed,
    renewal, rotated, session,
};
use crate::rules::{DAY, at, for_each_store};

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
            assert_eq!((set.sid, set.created_at, set.seen_at), (format!("sid-{new}"), at(0), at(now)), "{name}");
            assert!(set.entries.iter().all(|entry| entry.facts.refreshed_at == at(now)), "{name}");
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
fn a_set_is_ended_by_its_public_id_and_a_session_by_its_own() {
    for_each_store(async |store, name| {
        let both = [session(&alice(), "n1", 0), session(&bob(), "n2", 0)];
        begun(&store, 1, &both, 0).await;
        let other = begun(&store, 2, &[session(&alice(), "n3", 0)], 0).await;
        let end = async |id: &str| store.sessions().end_sid(id).await.expect(name);
        assert!(end(&both[0].entry.facts.id).await, "{name}");
        assert!(!end(&both[0].entry.facts.id).await, "{name}: again");
        assert_eq!(found(&store, 1, 0).await.map(|set| set.entries), Some(entries(&both[1..])), "{name}");
        assert!(end("sid-1").await, "{name}");
        assert!(!end("sid-1").await, "{name}: again");
        assert_eq!(found(&store, 1, 0).await, None, "{name}");
        assert_eq!(found(&store, 2, 0).await.as_ref(), Some(&other), "{name}");
        assert!(end(&other.entries[0].facts.id).await, "{name}: the last of its set");
        assert_eq!(listed(&store, &SessionFilter::default(), 0).await, Vec::<String>::new(), "{name}");
    });
}

#[test]
fn the_last_use_of_a_set_is_noted_and_an_older_one_changes_nothing() {
    for_each_store(async |store, name| {
        begun(&store, 1, &[session(&alice(), "n1", 0)], 0).await;
        for (used, expected) in [(50, 50), (40, 50), (60, 60)] {
            assert!(store.sessions().seen(&key(1), at(used)).await.expect(name), "{name}");
            assert_eq!(found(&store, 1, 70).await.map(|set| set.seen_at), Some(at(expected)), "{name}");
        }
        assert!(!store.sessions().seen(&key(2), at(80)).await.expect(name), "{name}");
        let page = store.sessions().list(&SessionFilter::default(), None, 9, at(70)).await.expect(name);
        assert_eq!(page.sets[0].seen_at, at(60), "{name}");
        let set = rotated(&store, 1, 2, 55).await.expect(name);
        assert_eq!(set.seen_at, at(60), "{name}: by a clock that is behind");
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
        // A few at a time, so that none of them waits for long.
        let mut number = 2;
        while number < most {
            let mut sign_ins = tokio::task::JoinSet::new();
            for number in number..most.min(number + 50) {
                let (store, now) = (store.clone(), i64::from(number));
                let sessions = [session(&alice(), &format!("n{number}"), now)];
                sign_ins.spawn(async move { begun(&store, number, &sessions, now).await });
            }
            number += u32::try_from(sign_ins.join_all().await.len()).expect("a number");
        }
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

#[test]
fn sign_ins_are_known_by_account_the_first_and_the_last() {
    for_each_store(async |store, name| {
        let sessions = store.sessions();
        let (alice, bob) = (alice().key(), bob().key());
        assert_eq!(sessions.history(&alice).await.expect(name), None, "{name}");
        let of = |secs, connection| AccountHistory::of_sign_in(at(secs), connection).expect("a sign-in");
        let known = |first, last, connection: Option<&str>| {
            Some(AccountHistory { first_at: at(first), last_at: at(last), connection: connection.map(str::to_owned) })
        };
        let rows = [
            ("the first", of(10, Some("{\"a\":1}")), known(10, 10, Some("{\"a\":1}"))),
            ("one more, of another wallet", of(20, Some("{\"b\":1}")), known(10, 20, Some("{\"b\":1}"))),
            ("one that comes late", of(5, Some("{\"c\":1}")), known(5, 20, Some("{\"b\":1}"))),
            ("one that says nothing of its wallet", of(30, None), known(5, 30, None)),
        ];
        for (row, sign_in, expected) in rows {
            sessions.note_sign_in(&alice, &sign_in).await.expect(name);
            assert_eq!(sessions.history(&alice).await.expect(name), expected, "{name}: {row}");
        }
        assert_eq!(sessions.history(&bob).await.expect(name), None, "{name}");
        // Somebody else's, more than a year later.
        sessions.note_sign_in(&bob, &of(401 * DAY, None)).await.expect(name);
        assert_eq!(sessions.history(&alice).await.expect(name), None, "{name}");
    });
}

#[test]
fn what_is_said_of_a_wallet_is_json_of_a_bounded_length() {
    let longest = format!("\"{}\"", "x".repeat(CONNECTION_BYTES_MAX - 2));
    assert!(AccountHistory::of_sign_in(at(1), Some(&longest)).is_ok());
    for text in [&*format!("{longest} "), "{", ""] {
        assert!(AccountHistory::of_sign_in(at(1), Some(text)).is_err(), "{}", text.len());
    }
}
