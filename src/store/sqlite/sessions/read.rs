//! How sessions are read. A row that makes no sense is an error and never "nobody is signed in": a browser that is told
//! so throws away what it has.

use rusqlite::{Connection, OptionalExtension, Params, Row, ToSql, params, params_from_iter, types::FromSql};

use super::super::{
    super::{
        AccountHistory, AccountMetadata, ListedSet, SessionCursor, SessionEntry, SessionError, SessionFacts,
        SessionFilter, SessionKey, SessionSet, SessionTexts, StoreError, grant::shown,
    },
    file::failed,
};
use crate::{
    caip::{AccountId, AccountKey},
    time::UnixTime,
};

/// What [`facts`] reads, and the set it is in.
const FACTS: &str =
    "siwx_sessions.sid, siwx_sessions.created_at AS begun_at, seen_at, entry_id, account, scheme, domain,
    siwx_session_entries.created_at, refreshed_at, verified_at, not_before, expires_at, absolute_end";

/// What [`texts`] reads.
const TEXTS: &str = "nonce, message, signature, data, cacao, public_key, recap";

/// The order of sessions in a set: as they were made, and those of one sign-in as they were brought.
const ORDER: &str = "siwx_session_entries.created_at, siwx_session_entries.rowid";

/// What counts of the set under a key.
pub(super) const COUNTS: &str = "key = ?1 AND expires_at > ?2 AND (not_before IS NULL OR not_before <= ?2)";

/// The set under a key, with what counts of it.
pub(super) fn set_of(on: &Connection, key: &SessionKey, now: UnixTime) -> Result<Option<SessionSet>, StoreError> {
    set(on, COUNTS, params![key.as_bytes(), now.millis()])
}

/// A set that was just written, whole.
pub(super) fn whole(on: &Connection, set_id: i64) -> Result<SessionSet, StoreError> {
    let found = set(on, "session_id = ?1", [set_id])?;
    found.ok_or_else(|| StoreError::Corrupt("a session that was written and is not there".into()))
}

pub(super) fn set_sql(which: &str) -> String {
    format!(
        "SELECT {FACTS}, {TEXTS} FROM siwx_sessions JOIN siwx_session_entries ON session_id = siwx_sessions.id
         WHERE {which} ORDER BY {ORDER}"
    )
}

fn set(on: &Connection, which: &str, values: impl Params) -> Result<Option<SessionSet>, StoreError> {
    let mut found: Option<SessionSet> = None;
    each(on, &set_sql(which), values, |row| {
        let entry = SessionEntry { facts: facts(row)?, texts: texts(row)? };
        match &mut found {
            Some(set) => set.entries.push(entry),
            None => {
                let (created_at, seen_at) = (time(row, "begun_at")?, time(row, "seen_at")?);
                found = Some(SessionSet { sid: column(row, "sid")?, created_at, seen_at, entries: vec![entry] });
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// The statement that lists so many sets, and its values. Conditions are put together here rather than switched off by
/// parameters, and what is walked is written down: one account's sets, or all in their order.
pub(super) fn list_sql(
    filter: &SessionFilter,
    after: Option<&SessionCursor>,
    limit: usize,
    now: UnixTime,
) -> (String, Vec<Box<dyn ToSql>>) {
    // `?1` is mentioned first, so that what follows without a number is counted on from it.
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(now.millis())];
    let mut page = String::from("SELECT siwx_sessions.id FROM ");
    match &filter.account {
        Some(account) => {
            page.push_str(
                "(SELECT DISTINCT session_id FROM siwx_session_entries
                  WHERE expires_at > ?1 AND namespace = ? AND address = ?) AS held
                 CROSS JOIN siwx_sessions ON siwx_sessions.id = held.session_id WHERE true",
            );
            values.push(Box::new(account.namespace().to_owned()));
            values.push(Box::new(account.address().to_owned()));
        }
        None => page.push_str(
            "siwx_sessions WHERE EXISTS (
                SELECT 1 FROM siwx_session_entries WHERE session_id = siwx_sessions.id AND expires_at > ?1)",
        ),
    }
    if let Some(SessionCursor { created_at, sid }) = after {
        page.push_str(" AND (siwx_sessions.created_at, sid) < (?, ?)");
        values.push(Box::new(created_at.millis()));
        values.push(Box::new(sid.clone()));
    }
    page.push_str(" ORDER BY siwx_sessions.created_at DESC, sid DESC LIMIT ?");
    values.push(Box::new(i64::try_from(limit).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT {FACTS} FROM siwx_sessions JOIN siwx_session_entries ON session_id = siwx_sessions.id
         WHERE siwx_sessions.id IN ({page}) AND expires_at > ?1
         ORDER BY siwx_sessions.created_at DESC, sid DESC, {ORDER}"
    );
    (sql, values)
}

/// So many sets, the newest first.
pub(super) fn list(
    on: &Connection,
    filter: &SessionFilter,
    after: Option<&SessionCursor>,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<ListedSet>, StoreError> {
    let (sql, values) = list_sql(filter, after, limit, now);
    let mut sets: Vec<ListedSet> = Vec::new();
    each(on, &sql, params_from_iter(values), |row| {
        let (sid, session): (String, _) = (column(row, "sid")?, facts(row)?);
        match sets.last_mut().filter(|last| last.sid == sid) {
            Some(last) => last.sessions.push(session),
            None => {
                let (created_at, seen_at) = (time(row, "begun_at")?, time(row, "seen_at")?);
                sets.push(ListedSet { sid, created_at, seen_at, sessions: vec![session] });
            }
        }
        Ok(())
    })?;
    Ok(sets)
}

pub(super) fn metadata(on: &Connection, account: &AccountKey) -> Result<Option<AccountMetadata>, StoreError> {
    let sql = "SELECT metadata, updated_at FROM siwx_account_metadata WHERE namespace = ?1 AND address = ?2";
    let values = params![account.namespace(), account.address()];
    let found = on.query_row(sql, values, |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))).optional();
    let found = found.map_err(|error| failed("cannot read an account's metadata", error))?;
    let metadata = found.map(|(json, updated_at)| AccountMetadata::new(&json, UnixTime::from_millis(updated_at)));
    let nonsense = |error| StoreError::Corrupt(format!("{error} in a row of siwx_account_metadata for {account}"));
    metadata.transpose().map_err(nonsense)
}

pub(super) fn history(on: &Connection, account: &AccountKey) -> Result<Option<AccountHistory>, StoreError> {
    let sql = "SELECT first_at, last_at, connection FROM siwx_account_history WHERE namespace = ?1 AND address = ?2";
    let found = on.query_row(sql, params![account.namespace(), account.address()], |row| {
        let time = |column| row.get::<_, i64>(column).map(UnixTime::from_millis);
        Ok(AccountHistory { first_at: time(0)?, last_at: time(1)?, connection: row.get(2)? })
    });
    found.optional().map_err(|error| failed("cannot read an account's sign-ins", error))
}

fn each(
    on: &Connection,
    sql: &str,
    values: impl Params,
    mut take: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let doing = "cannot read sessions";
    let mut statement = on.prepare(sql).map_err(|error| failed(doing, error))?;
    let mut rows = statement.query(values).map_err(|error| failed(doing, error))?;
    while let Some(row) = rows.next().map_err(|error| failed(doing, error))? {
        take(row)?;
    }
    Ok(())
}

fn facts(row: &Row<'_>) -> Result<SessionFacts, StoreError> {
    let id: String = column(row, "entry_id")?;
    let account: String = column(row, "account")?;
    let account = AccountId::parse(&account).map_err(|error| nonsense(&id, &error.to_string()))?;
    let not_before: Option<i64> = column(row, "not_before")?;
    let facts = SessionFacts {
        account,
        scheme: column(row, "scheme")?,
        domain: column(row, "domain")?,
        created_at: time(row, "created_at")?,
        refreshed_at: time(row, "refreshed_at")?,
        verified_at: time(row, "verified_at")?,
        not_before: not_before.map(UnixTime::from_millis),
        expires_at: time(row, "expires_at")?,
        absolute_end: time(row, "absolute_end")?,
        id,
    };
    checked(&facts.id, facts.check())?;
    Ok(facts)
}

fn texts(row: &Row<'_>) -> Result<SessionTexts, StoreError> {
    let texts = SessionTexts {
        message: column(row, "message")?,
        signature: column(row, "signature")?,
        nonce: column(row, "nonce")?,
        data: column(row, "data")?,
        cacao: column(row, "cacao")?,
        public_key: column(row, "public_key")?,
        recap: column(row, "recap")?,
    };
    checked(&column::<String>(row, "entry_id")?, texts.check())?;
    Ok(texts)
}

fn time(row: &Row<'_>, name: &str) -> Result<UnixTime, StoreError> {
    column(row, name).map(UnixTime::from_millis)
}

fn column<T: FromSql>(row: &Row<'_>, name: &str) -> Result<T, StoreError> {
    row.get(name).map_err(|error| failed("a row of siwx_session_entries", error))
}

fn checked(id: &str, checked: Result<(), SessionError>) -> Result<(), StoreError> {
    checked.map_err(|error| nonsense(id, &error.to_string()))
}

fn nonsense(id: &str, what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} in a row of siwx_session_entries for `{}`", shown(id)))
}
