//! How sets of sessions are listed for operators: by account, the newest first, a page at a time. What was signed, and
//! with what signature, is in no list: both are credentials.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::record::{SessionFacts, is_sid, last_end};
use crate::{caip::AccountKey, time::UnixTime};

/// Which sets are listed; nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Those with a session of this account. They are listed whole.
    pub account: Option<AccountKey>,
}

/// A set without what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSet {
    /// Its public id.
    pub sid: String,
    /// When it was begun.
    pub created_at: UnixTime,
    /// When it was last changed, or used as far as that was noted.
    pub seen_at: UnixTime,
    /// Its sessions that have not ended, the newest last.
    pub sessions: Vec<SessionFacts>,
}

/// Some of the sets listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPage {
    /// The sets, in order.
    pub sets: Vec<ListedSet>,
    /// After what the next page begins; nothing: this is the last.
    pub next: Option<SessionCursor>,
}

/// The last set of a page. Its text is `milliseconds:sid`; it goes on working when that set is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCursor {
    pub(in crate::store) created_at: UnixTime,
    pub(in crate::store) sid: String,
}

/// A text is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected `milliseconds:sid`, as `next` of the page before")]
pub struct SessionCursorError;

// === impl ListedSet ===

impl ListedSet {
    /// When the last of its sessions ends.
    pub fn expires_at(&self) -> UnixTime {
        last_end(self.sessions.iter())
    }
}

// === impl SessionPage ===

impl SessionPage {
    /// A page of `limit` out of what was found when one more was asked for.
    pub(in crate::store) fn of(mut sets: Vec<ListedSet>, limit: usize) -> Self {
        let more = sets.len() > limit;
        sets.truncate(limit);
        let last = sets.last().filter(|_| more);
        let next = last.map(|last| SessionCursor { created_at: last.created_at, sid: last.sid.clone() });
        Self { sets, next }
    }
}

// === impl SessionCursor ===

impl fmt::Display for SessionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.created_at.millis(), self.sid)
    }
}

impl FromStr for SessionCursor {
    type Err = SessionCursorError;

    fn from_str(text: &str) -> Result<Self, SessionCursorError> {
        let (millis, sid) = text.split_once(':').ok_or(SessionCursorError)?;
        let millis = millis.parse().map_err(|_| SessionCursorError)?;
        if !is_sid(sid) {
            return Err(SessionCursorError);
        }
        Ok(Self { created_at: UnixTime::from_millis(millis), sid: sid.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_what_they_write() {
        for text in ["0:a", "1774519500000:AbC_-9", "-5:a:b"] {
            assert_eq!(text.parse::<SessionCursor>().map(|cursor| cursor.to_string()), Ok(text.into()), "{text}");
        }
        for text in ["", "5", "5:", ":a", "x:a", "5:a b", "5:\u{e4}", &format!("5:{}", "x".repeat(65))] {
            assert_eq!(text.parse::<SessionCursor>(), Err(SessionCursorError), "{text}");
        }
    }
}
