//! Sessions: sign-ins, renewals and ends, each one transaction, and the doors to them. How they are read, and how rows
//! become sessions, is in `read`.

use rusqlite::{Connection, OptionalExtension, params};

mod read;

use self::read::{list, set_of};
use super::{
    super::{
        AccountHistory, AccountMetadata, BoxFuture, Change, Claim, NewSession, NonceKey, PAGE_MAX, Renewal,
        SESSIONS_MAX, SETS_PER_ACCOUNT_MAX, SessionCursor, SessionFilter, SessionKey, SessionName, SessionPage,
        SessionSet, SessionStore, SignIn, SignedIn, StoreError,
    },
    Sqlite,
    file::{count, failed},
    rows,
};
use crate::{
    caip::{AccountId, AccountKey},
    time::UnixTime,
};

/// How long a session's row is kept past its end: processes that share a file may differ in time by as much, before one
/// would delete what another still lets in.
const ENDED_KEPT_MILLIS: i64 = 3_600_000;

/// Ended rows that are deleted for each that is written: more than one, so that they go faster than they come; few, so
/// that nobody waits for a great clean-up.
const ENDED_DELETED: usize = 4;

/// How long it is known when an account signed in last. Wallets cost nothing, so that not every one can be known for
/// ever; whoever comes once a year is.
const HISTORY_KEPT_MILLIS: i64 = 400 * 24 * 3_600_000;

/// So many of the accounts that did not sign in for long.
const FORGOTTEN: &str = "DELETE FROM siwx_account_history WHERE (namespace, address) IN (
        SELECT namespace, address FROM siwx_account_history WHERE last_at <= ?1 ORDER BY last_at LIMIT ?2)";

/// A set that has not ended.
const LIVING: &str = "SELECT id FROM siwx_sessions WHERE key = ?1
    AND EXISTS (SELECT 1 FROM siwx_session_entries WHERE session_id = id AND expires_at > ?2)";

/// The set under a key, and the one that replaced it.
const END: &str = "DELETE FROM siwx_sessions WHERE key = ?1 OR replaces = ?1";

/// An account's sessions in the sets that are too many: this one and the newest stay, ended ones count as the oldest.
const BOUND: &str = "DELETE FROM siwx_session_entries WHERE namespace = ?1 AND address = ?2 AND session_id IN (
        SELECT session_id FROM siwx_session_entries WHERE namespace = ?1 AND address = ?2
        GROUP BY session_id
        ORDER BY session_id = ?4 DESC, max(expires_at > ?3) DESC, max(created_at) DESC, session_id DESC
        LIMIT -1 OFFSET ?5)
    RETURNING session_id";

/// So many of those that ended long ago.
const ENDED: &str = "DELETE FROM siwx_session_entries WHERE rowid IN (
        SELECT rowid FROM siwx_session_entries WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
    RETURNING session_id";

impl SessionStore for Sqlite {
    fn sign_in<'a>(&'a self, change: &'a SignIn, now: UnixTime) -> BoxFuture<'a, SignedIn> {
        let change = change.clone();
        Box::pin(self.write(move |on| sign_in(on, &change, now)))
    }

    fn rotate<'a>(
        &'a self,
        key: &'a SessionKey,
        renewal: &'a Renewal,
        now: UnixTime,
    ) -> BoxFuture<'a, Option<SessionSet>> {
        let (key, renewal) = (*key, renewal.clone());
        Box::pin(self.write(move |on| rotate(on, &key, &renewal, now)))
    }

    fn find<'a>(&'a self, key: &'a SessionKey, now: UnixTime) -> BoxFuture<'a, Option<SessionSet>> {
        let key = *key;
        Box::pin(self.read(move |on| set_of(on, &key, now)))
    }

    fn forget_pair<'a>(&'a self, key: &'a SessionKey, account: &'a AccountId, now: UnixTime) -> BoxFuture<'a, usize> {
        let (key, account) = (*key, account.clone());
        Box::pin(self.write(move |on| forget_pair(on, &key, &account, now)))
    }

    fn end<'a>(&'a self, key: &'a SessionKey) -> BoxFuture<'a, bool> {
        let key = *key;
        Box::pin(self.write(move |on| end(on, &key)))
    }

    fn end_sid<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, bool> {
        let sid = sid.to_owned();
        Box::pin(self.write(move |on| {
            let deleted = on.execute("DELETE FROM siwx_sessions WHERE sid = ?1", [&sid]).map_err(cannot_end)?;
            Ok(deleted > 0 || end_session(on, &sid)?)
        }))
    }

    fn end_all<'a>(&'a self, accounts: &'a [AccountKey]) -> BoxFuture<'a, usize> {
        Box::pin(async move {
            if accounts.len() > SESSIONS_MAX {
                let found = accounts.len();
                return Err(StoreError::Conflict(format!(
                    "expected at most {SESSIONS_MAX} accounts at once, found {found}"
                )));
            }
            let accounts = accounts.to_vec();
            self.write(move |on| accounts.iter().try_fold(0, |ended, account| Ok(ended + end_account(on, account)?)))
                .await
        })
    }

    fn list<'a>(
        &'a self,
        filter: &'a SessionFilter,
        after: Option<&'a SessionCursor>,
        limit: usize,
        now: UnixTime,
    ) -> BoxFuture<'a, SessionPage> {
        let (filter, after, limit) = (filter.clone(), after.cloned(), limit.clamp(1, PAGE_MAX));
        Box::pin(self.read(move |on| Ok(SessionPage::of(list(on, &filter, after.as_ref(), limit + 1, now)?, limit))))
    }

    fn seen<'a>(&'a self, key: &'a SessionKey, at: UnixTime) -> BoxFuture<'a, bool> {
        let key = *key;
        Box::pin(self.write(move |on| {
            let sql = "UPDATE siwx_sessions SET seen_at = max(seen_at, ?2) WHERE key = ?1";
            Ok(on.execute(sql, params![key.as_bytes(), at.millis()]).map_err(cannot_change)? > 0)
        }))
    }

    fn verified<'a>(&'a self, key: &'a SessionKey, id: &'a str, at: UnixTime) -> BoxFuture<'a, bool> {
        let (key, id) = (*key, id.to_owned());
        Box::pin(self.write(move |on| {
            let found = on.query_row("SELECT id FROM siwx_sessions WHERE key = ?1", [key.as_bytes()], |row| row.get(0));
            match found.optional().map_err(cannot_change)? {
                Some(set) => verified(on, set, &id, at),
                None => Ok(false),
            }
        }))
    }

    fn metadata<'a>(&'a self, account: &'a AccountKey) -> BoxFuture<'a, Option<AccountMetadata>> {
        let account = account.clone();
        Box::pin(self.read(move |on| read::metadata(on, &account)))
    }

    fn put_metadata<'a>(&'a self, account: &'a AccountKey, metadata: Option<&'a AccountMetadata>) -> BoxFuture<'a, ()> {
        let (account, metadata) = (account.clone(), metadata.cloned());
        Box::pin(self.write(move |on| put_metadata(on, &account, metadata.as_ref())))
    }

    fn history<'a>(&'a self, account: &'a AccountKey) -> BoxFuture<'a, Option<AccountHistory>> {
        let account = account.clone();
        Box::pin(self.read(move |on| read::history(on, &account)))
    }

    fn note_sign_in<'a>(&'a self, account: &'a AccountKey, sign_in: &'a AccountHistory) -> BoxFuture<'a, ()> {
        let (account, sign_in) = (account.clone(), sign_in.clone());
        Box::pin(self.write(move |on| note_sign_in(on, &account, &sign_in)))
    }
}

fn sign_in(on: &Connection, change: &SignIn, now: UnixTime) -> Result<SignedIn, StoreError> {
    // An error undoes the whole request. What is told without being done is undone here.
    on.execute_batch("SAVEPOINT sign_in").map_err(cannot_change)?;
    let told = try_sign_in(on, change, now)?;
    let end = match told {
        SignedIn::Done(_) => "RELEASE sign_in",
        SignedIn::Gone | SignedIn::NonceUsed { .. } | SignedIn::TooMany { .. } => {
            "ROLLBACK TO sign_in; RELEASE sign_in"
        }
    };
    on.execute_batch(end).map_err(cannot_change)?;
    Ok(told)
}

fn try_sign_in(on: &Connection, change: &SignIn, now: UnixTime) -> Result<SignedIn, StoreError> {
    if let Some(index) = claim_all(on, change.sessions(), now)? {
        return Ok(SignedIn::NonceUsed { index });
    }
    check_free(on, change.name())?;
    let set = match change.change() {
        Change::Begin => begin(on, change.name(), None, now)?,
        Change::Add(old) => {
            let Some(set) = living(on, &old, now)? else {
                return Ok(SignedIn::Gone);
            };
            rename(on, set, &old, change.name(), now)?;
            make_room(on, set, change.sessions(), now)?;
            set
        }
        Change::Replace(old) => {
            // A key that nobody was given ties nobody's set to another's.
            let ended = end(on, &old)?;
            begin(on, change.name(), ended.then_some(&old), now)?
        }
    };
    change.sessions().iter().try_for_each(|session| insert(on, set, session))?;
    let found = size(on, set, now)?;
    if found > SESSIONS_MAX {
        return Ok(SignedIn::TooMany { found });
    }
    for session in change.sessions() {
        bound(on, set, &session.entry.facts.account.key(), now)?;
    }
    delete_ended(on, change.sessions().len(), now)?;
    read::whole(on, set).map(SignedIn::Done)
}

/// Claims each nonce once; the place of the first that was used.
fn claim_all(on: &Connection, sessions: &[NewSession], now: UnixTime) -> Result<Option<usize>, StoreError> {
    for (index, session) in sessions.iter().enumerate() {
        let nonce = &session.entry.texts.nonce;
        let with_it = |other: &&NewSession| other.entry.texts.nonce == *nonce;
        if sessions[..index].iter().any(|before| with_it(&before)) {
            continue;
        }
        let latest = sessions.iter().filter(with_it).map(|other| other.nonce_until).max();
        let until = latest.unwrap_or(session.nonce_until);
        if rows::claim(on, &NonceKey::Issued(nonce).to_string(), until, now)? == Claim::Used {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Refuses a key that opens something, or that was spent just now.
fn check_free(on: &Connection, name: &SessionName) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM siwx_sessions WHERE key = ?1 OR replaces = ?1";
    let found = on.query_row(sql, [name.key().as_bytes()], |_| Ok(())).optional().map_err(cannot_change)?;
    found.map_or(Ok(()), |()| Err(StoreError::Conflict("the new key of a session is in use".into())))
}

/// The set under a key that has not ended.
fn living(on: &Connection, key: &SessionKey, now: UnixTime) -> Result<Option<i64>, StoreError> {
    let found = on.query_row(LIVING, params![key.as_bytes(), now.millis()], |row| row.get(0));
    found.optional().map_err(cannot_change)
}

fn begin(on: &Connection, name: &SessionName, old: Option<&SessionKey>, now: UnixTime) -> Result<i64, StoreError> {
    let inserted = on.execute(
        "INSERT INTO siwx_sessions (key, replaces, sid, created_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (sid) DO NOTHING",
        params![name.key().as_bytes(), old.map(SessionKey::as_bytes), name.sid(), now.millis()],
    );
    match inserted.map_err(cannot_change)? {
        0 => Err(sid_in_use(name)),
        _ => Ok(on.last_insert_rowid()),
    }
}

/// Puts a set under a new name. The old key is kept, for whoever ends it.
fn rename(on: &Connection, set: i64, old: &SessionKey, name: &SessionName, now: UnixTime) -> Result<(), StoreError> {
    let taken =
        on.query_row("SELECT 1 FROM siwx_sessions WHERE sid = ?1 AND id <> ?2", params![name.sid(), set], |_| Ok(()));
    if taken.optional().map_err(cannot_change)?.is_some() {
        return Err(sid_in_use(name));
    }
    on.execute(
        "UPDATE siwx_sessions SET key = ?2, replaces = ?3, sid = ?4, seen_at = max(seen_at, ?5) WHERE id = ?1",
        params![set, name.key().as_bytes(), old.as_bytes(), name.sid(), now.millis()],
    )
    .map_err(cannot_change)?;
    Ok(())
}

/// Deletes what has ended in a set, and what these sessions replace.
fn make_room(on: &Connection, set: i64, sessions: &[NewSession], now: UnixTime) -> Result<(), StoreError> {
    let ended = "DELETE FROM siwx_session_entries WHERE session_id = ?1 AND expires_at <= ?2";
    on.execute(ended, params![set, now.millis()]).map_err(cannot_change)?;
    for session in sessions {
        delete_pair(on, set, &session.entry.facts.account)?;
    }
    Ok(())
}

fn delete_pair(on: &Connection, set: i64, account: &AccountId) -> Result<(), StoreError> {
    let sql = "DELETE FROM siwx_session_entries WHERE session_id = ?1 AND chain_id = ?2 AND address = ?3";
    let deleted = on.execute(sql, params![set, account.chain_str(), account.key().address()]);
    deleted.map(drop).map_err(cannot_change)
}

fn insert(on: &Connection, set: i64, session: &NewSession) -> Result<(), StoreError> {
    let (facts, texts) = (&session.entry.facts, &session.entry.texts);
    let key = facts.account.key();
    let inserted = on.execute(
        "INSERT INTO siwx_session_entries (session_id, entry_id, namespace, chain_id, address, account, scheme, domain,
            created_at, refreshed_at, verified_at, not_before, expires_at, absolute_end, nonce, message, signature,
            data, cacao, public_key, recap)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
         ON CONFLICT (entry_id) DO NOTHING",
        params![
            set,
            facts.id,
            key.namespace(),
            facts.account.chain_str(),
            key.address(),
            facts.account.as_str(),
            facts.scheme,
            facts.domain,
            facts.created_at.millis(),
            facts.refreshed_at.millis(),
            facts.verified_at.millis(),
            facts.not_before.map(UnixTime::millis),
            facts.expires_at.millis(),
            facts.absolute_end.millis(),
            texts.nonce,
            texts.message,
            texts.signature,
            texts.data,
            texts.cacao,
            texts.public_key,
            texts.recap,
        ],
    );
    match inserted.map_err(|error| failed("cannot write a session", error))? {
        0 => Err(StoreError::Conflict(format!("the id `{}` is another session's", facts.id))),
        _ => Ok(()),
    }
}

/// How many sessions of a set have not ended.
fn size(on: &Connection, set: i64, now: UnixTime) -> Result<usize, StoreError> {
    let sql = "SELECT count(*) FROM siwx_session_entries WHERE session_id = ?1 AND expires_at > ?2";
    let found = on.query_row(sql, params![set, now.millis()], |row| count(row, 0));
    Ok(usize::try_from(found.map_err(cannot_change)?).unwrap_or(usize::MAX))
}

/// Ends an account's sessions in the sets that are too many.
fn bound(on: &Connection, set: i64, account: &AccountKey, now: UnixTime) -> Result<(), StoreError> {
    let most = i64::try_from(SETS_PER_ACCOUNT_MAX).unwrap_or(i64::MAX);
    let values = params![account.namespace(), account.address(), now.millis(), set, most];
    let sets = delete_returning_sets(on, BOUND, values)?;
    delete_empty(on, &sets)
}

/// Sessions that ended long ago, as many for each that was written as makes them go faster than they come.
fn delete_ended(on: &Connection, written: usize, now: UnixTime) -> Result<(), StoreError> {
    let most = i64::try_from(written.saturating_mul(ENDED_DELETED)).unwrap_or(i64::MAX);
    let sets = delete_returning_sets(on, ENDED, params![now.plus_millis(-ENDED_KEPT_MILLIS).millis(), most])?;
    delete_empty(on, &sets)
}

/// Runs a statement that deletes sessions; in which sets they were, each as often as it lost one.
fn delete_returning_sets(on: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<Vec<i64>, StoreError> {
    let mut statement = on.prepare(sql).map_err(cannot_end)?;
    let deleted = statement.query_map(values, |row| row.get(0)).map_err(cannot_end)?;
    deleted.collect::<Result<_, _>>().map_err(cannot_end)
}

/// Deletes those of these sets in which nothing is left.
fn delete_empty(on: &Connection, sets: &[i64]) -> Result<(), StoreError> {
    let sql = "DELETE FROM siwx_sessions WHERE id = ?1
               AND NOT EXISTS (SELECT 1 FROM siwx_session_entries WHERE session_id = ?1)";
    for set in sets {
        on.execute(sql, [set]).map_err(cannot_end)?;
    }
    Ok(())
}

fn rotate(
    on: &Connection,
    key: &SessionKey,
    renewal: &Renewal,
    now: UnixTime,
) -> Result<Option<SessionSet>, StoreError> {
    check_free(on, &renewal.name)?;
    let Some(set) = living(on, key, now)? else {
        return Ok(None);
    };
    rename(on, set, key, &renewal.name, now)?;
    make_room(on, set, &[], now)?;
    for id in &renewal.refused {
        let sql = "DELETE FROM siwx_session_entries WHERE session_id = ?1 AND entry_id = ?2";
        on.execute(sql, params![set, id]).map_err(cannot_end)?;
    }
    for (id, at) in &renewal.verified {
        verified(on, set, id, *at)?;
    }
    let prolong = "UPDATE siwx_session_entries SET expires_at = max(expires_at, min(?2, absolute_end)),
                      refreshed_at = max(refreshed_at, ?3)
                   WHERE session_id = ?1";
    on.execute(prolong, params![set, renewal.expires_at.millis(), now.millis()]).map_err(cannot_change)?;
    delete_ended(on, 1, now)?;
    if size(on, set, now)? == 0 {
        delete_empty(on, &[set])?;
        return Ok(None);
    }
    read::whole(on, set).map(Some)
}

fn verified(on: &Connection, set: i64, id: &str, at: UnixTime) -> Result<bool, StoreError> {
    let sql = "UPDATE siwx_session_entries SET verified_at = max(verified_at, ?3)
               WHERE session_id = ?1 AND entry_id = ?2";
    Ok(on.execute(sql, params![set, id, at.millis()]).map_err(cannot_change)? > 0)
}

fn forget_pair(on: &Connection, key: &SessionKey, account: &AccountId, now: UnixTime) -> Result<usize, StoreError> {
    let sql = "SELECT id FROM siwx_sessions WHERE key = ?1 OR replaces = ?1";
    let found = on.query_row(sql, [key.as_bytes()], |row| row.get(0)).optional().map_err(cannot_end)?;
    let Some(set) = found else {
        return Ok(0);
    };
    delete_pair(on, set, account)?;
    delete_empty(on, &[set])?;
    size(on, set, now)
}

/// The set under this key, and the one that replaced it.
fn end(on: &Connection, key: &SessionKey) -> Result<bool, StoreError> {
    let deleted = on.execute(END, [key.as_bytes()]);
    Ok(deleted.map_err(cannot_end)? > 0)
}

/// The session of this id, whatever set it is in.
fn end_session(on: &Connection, id: &str) -> Result<bool, StoreError> {
    let sql = "DELETE FROM siwx_session_entries WHERE entry_id = ?1 RETURNING session_id";
    let sets = delete_returning_sets(on, sql, [id])?;
    delete_empty(on, &sets)?;
    Ok(!sets.is_empty())
}

fn end_account(on: &Connection, account: &AccountKey) -> Result<usize, StoreError> {
    let sql = "DELETE FROM siwx_session_entries WHERE namespace = ?1 AND address = ?2 RETURNING session_id";
    let mut sets = delete_returning_sets(on, sql, params![account.namespace(), account.address()])?;
    let ended = sets.len();
    sets.sort_unstable();
    sets.dedup();
    delete_empty(on, &sets)?;
    Ok(ended)
}

fn put_metadata(on: &Connection, account: &AccountKey, metadata: Option<&AccountMetadata>) -> Result<(), StoreError> {
    let (namespace, address) = (account.namespace(), account.address());
    let done = match metadata {
        None => {
            let sql = "DELETE FROM siwx_account_metadata WHERE namespace = ?1 AND address = ?2";
            on.execute(sql, params![namespace, address])
        }
        Some(metadata) => {
            let sql = "INSERT INTO siwx_account_metadata (namespace, address, metadata, updated_at)
                       VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (namespace, address) DO UPDATE SET metadata = excluded.metadata,
                          updated_at = excluded.updated_at";
            on.execute(sql, params![namespace, address, metadata.json(), metadata.updated_at().millis()])
        }
    };
    done.map(drop).map_err(|error| failed("cannot write an account's metadata", error))
}

fn note_sign_in(on: &Connection, account: &AccountKey, sign_in: &AccountHistory) -> Result<(), StoreError> {
    let sql = "INSERT INTO siwx_account_history (namespace, address, first_at, last_at, connection)
               VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (namespace, address) DO UPDATE SET first_at = min(first_at, excluded.first_at),
                  connection = iif(excluded.last_at >= last_at, excluded.connection, connection),
                  last_at = max(last_at, excluded.last_at)";
    let (first, last) = (sign_in.first_at.millis(), sign_in.last_at.millis());
    let values = params![account.namespace(), account.address(), first, last, sign_in.connection];
    let cannot = |error| failed("cannot write an account's sign-in", error);
    on.execute(sql, values).map_err(cannot)?;
    let most = i64::try_from(ENDED_DELETED).unwrap_or(i64::MAX);
    on.execute(FORGOTTEN, params![last.saturating_sub(HISTORY_KEPT_MILLIS), most]).map(drop).map_err(cannot)
}

fn cannot_change(error: rusqlite::Error) -> StoreError {
    failed("cannot change a session", error)
}

fn cannot_end(error: rusqlite::Error) -> StoreError {
    failed("cannot end a session", error)
}

fn sid_in_use(name: &SessionName) -> StoreError {
    StoreError::Conflict(format!("the public id `{}` is another session's", name.sid()))
}

#[cfg(test)]
mod tests {
    use super::{super::file::Place, *};

    #[test]
    fn what_is_asked_often_walks_no_table() {
        let on = Place::Memory.open(std::time::Duration::ZERO).expect("a database in memory");
        let plan = |name: &str, sql: &str| -> Vec<String> {
            let mut plan = on.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(name);
            let values = vec![0_i64; plan.parameter_count()];
            let steps = plan.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).expect(name);
            steps.collect::<Result<_, _>>().expect(name)
        };
        let of_account = SessionFilter { account: Some(AccountKey::new("eip155", "0xab")) };
        let after = SessionCursor { created_at: UnixTime::from_millis(1), sid: "a".into() };
        let rows = [
            ("living", LIVING.to_owned()),
            ("find", read::set_sql(read::COUNTS)),
            ("end", END.to_owned()),
            ("bound", BOUND.to_owned()),
            ("ended", ENDED.to_owned()),
            ("forgotten", FORGOTTEN.to_owned()),
            ("list of an account", read::list_sql(&of_account, Some(&after), 9, UnixTime::from_millis(1)).0),
        ];
        for (name, sql) in rows {
            let steps = plan(name, &sql);
            assert!(!steps.is_empty(), "{name}");
            let walked: Vec<&String> = steps.iter().filter(|step| step.starts_with("SCAN siwx_")).collect();
            assert!(walked.is_empty(), "{name}: {steps:?}");
        }
        let newest = read::list_sql(&SessionFilter::default(), Some(&after), 9, UnixTime::from_millis(1)).0;
        let steps = plan("list", &newest);
        assert!(steps.iter().any(|step| step.contains("INDEX siwx_sessions_created")), "{steps:?}");
    }
}
