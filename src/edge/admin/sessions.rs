//! `/admin/sessions`: who is signed in, and an end to it.
//!
//! 1. What was signed, and with what signature, is shown to nobody: whoever has both can sign in with them elsewhere.
//! 2. A set has a public id, and so has each session in it: upstreams are told the latter. Either ends what it names.
//! 3. An end is made in the store, for every process, counts here at once, and is one `audit` event in the log, also when
//!    whoever asked for it hung up meanwhile.

use std::net::IpAddr;

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Admin, PAGE,
    answers::{Answered, account_key, bad_request, decoded, empty, json_answer, nothing_here, pairs},
};
use crate::{
    gate::Gate,
    store::{ListedSet, SessionCursor, SessionFacts, SessionFilter},
    time::UnixTime,
};

impl Admin {
    pub(super) async fn list_sessions(&self, query: &str) -> Answered {
        let mut filter = SessionFilter::default();
        let mut after: Option<SessionCursor> = None;
        for (name, value) in pairs(query)? {
            match name.as_str() {
                "account" => filter.account = Some(account_key(&value)?),
                "after" => {
                    let cursor = value.parse();
                    after =
                        Some(cursor.map_err(|_| bad_request("expected `after` as a page before gave it in `next`"))?);
                }
                _ => return Err(bad_request("expected `account` and `after` alone in the query")),
            }
        }
        let now = self.live().clock.now();
        let page = self.store.sessions().list(&filter, after.as_ref(), PAGE, now).await?;
        let sessions: Vec<Value> = page.sets.iter().map(as_json).collect();
        let next = page.next.map(|cursor| cursor.to_string());
        Ok(json_answer(StatusCode::OK, &json!({ "sessions": sessions, "next": next })))
    }

    pub(super) async fn end_session(&self, sid: &str, peer: IpAddr) -> Answered {
        let sid = decoded(sid)?;
        let live = self.live();
        let mut audit = Audit { gate: &live.gate, sid: Some(&sid), account: None, peer, heard: None };
        let ended = self.store.sessions().end_sid(&sid).await?;
        audit.heard = Some(ended.into());
        drop(audit);
        if !ended {
            return Err(nothing_here("there is no such session; one that has ended leaves nothing behind"));
        }
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn end_sessions_of(&self, query: &str, peer: IpAddr) -> Answered {
        let account = match pairs(query)?.as_slice() {
            [(name, value)] if name == "account" => account_key(value)?,
            _ => return Err(bad_request("expected `account` once in the query, and nothing else")),
        };
        let shown = account.to_string();
        let live = self.live();
        let mut audit = Audit { gate: &live.gate, sid: None, account: Some(&shown), peer, heard: None };
        let ended = self.store.sessions().end_all(&[account]).await?;
        audit.heard = Some(ended);
        drop(audit);
        Ok(empty(StatusCode::NO_CONTENT))
    }
}

/// What the log is to say of an end. It is said when this is dropped: the store may have done what it was told although
/// it failed to answer, or nobody waited for the answer.
struct Audit<'r> {
    /// What it remembers of sessions is forgotten.
    gate: &'r Gate,
    sid: Option<&'r str>,
    account: Option<&'r str>,
    peer: IpAddr,
    /// How much was ended; nothing: the store was asked, and its answer was not heard.
    heard: Option<usize>,
}

impl Drop for Audit<'_> {
    fn drop(&mut self) {
        let Self { gate, sid, account, peer, heard } = self;
        gate.forget_sessions();
        let sentence = match heard {
            Some(0) => return,
            Some(_) => "an operator ended sessions",
            None => "an operator ended sessions, and whether it was done was not heard",
        };
        let ended = heard.filter(|_| account.is_some());
        tracing::info!(event = "audit", action = "session_end", sid, account, ended, peer = %peer, "{sentence}");
    }
}

/// A set as operators read it, here and on the command line.
pub(crate) fn as_json(set: &ListedSet) -> Value {
    json!({
        "sid": set.sid,
        "created_at": set.created_at.to_string(),
        "seen_at": set.seen_at.to_string(),
        "expires_at": set.expires_at().to_string(),
        "accounts": set.sessions.iter().map(session).collect::<Vec<Value>>(),
    })
}

fn session(facts: &SessionFacts) -> Value {
    let time = |time: Option<UnixTime>| time.map(|time| time.to_string());
    json!({
        "id": facts.id,
        "account": facts.account.as_str(),
        "scheme": facts.scheme,
        "domain": facts.domain,
        "created_at": facts.created_at.to_string(),
        "refreshed_at": facts.refreshed_at.to_string(),
        "verified_at": facts.verified_at.to_string(),
        "not_before": time(facts.not_before),
        "expires_at": facts.expires_at.to_string(),
        "absolute_end": facts.absolute_end.to_string(),
    })
}
