//! One set of sessions: under what it is kept, what is in it, and how it is changed.
//!
//! Constructors check what every store can keep, before a nonce is used. What signs somebody in — texts, signatures,
//! keys — is in no `Debug`.

use std::fmt;

use serde::de::IgnoredAny;
use thiserror::Error;

use super::super::grant::{is_visible, is_writable, shown};
use crate::{
    caip::{AccountId, AccountKey},
    session::id::SessionKey,
    time::UnixTime,
};

/// Sessions in one set at most, and in one change (sessions.md section 2).
pub const SESSIONS_MAX: usize = 16;

/// Bytes of an account's metadata at most (sessions.md section 3).
pub const METADATA_BYTES_MAX: usize = 16 * 1024;

/// The most bytes of what a dapp says of a wallet: as much as is read of it, with an icon in it.
pub const CONNECTION_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a message at most.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a signature's text at most: what the session API takes for wrapped signatures of contracts.
const SIGNATURE_BYTES_MAX: usize = 32 * 1024;

/// Bytes of `data`, and of a CACAO, at most: a CACAO repeats the fields of a message and the signature, and JSON may
/// write a character in two.
const JSON_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a public key's text at most: twice what the longest key of a wallet has in hexadecimal digits.
const PUBLIC_KEY_BYTES_MAX: usize = 256;

/// Bytes of what a ReCap grants at most (sessions.md section 1.2).
const RECAP_BYTES_MAX: usize = 8 * 1024;

/// Bytes of ids, and of schemes' words, at most.
const NAME_BYTES_MAX: usize = 64;

/// Bytes of a nonce at most: what messages may hold.
const NONCE_BYTES_MAX: usize = 128;

/// Bytes of a domain at most: a host's name of 253 and a port, and some room.
const DOMAIN_BYTES_MAX: usize = 300;

/// A key and the public id that goes with it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionName {
    key: SessionKey,
    sid: String,
}

/// What is known of a session, without what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// Its own id, random and public: no other session of the store has it.
    pub id: String,
    /// Who signed in, and on which chain; in canonical spelling.
    pub account: AccountId,
    /// The word of the scheme of its signature.
    pub scheme: String,
    /// The domain that the message was for.
    pub domain: String,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it was made or last renewed.
    pub refreshed_at: UnixTime,
    /// When its signature was last found good: at sign-in, or when a contract last said so.
    pub verified_at: UnixTime,
    /// The first instant it counts; nothing: at once.
    pub not_before: Option<UnixTime>,
    /// The first instant it no longer counts, unless it is renewed.
    pub expires_at: UnixTime,
    /// What no renewal passes: the end of its absolute life, or the message's own `Expiration Time` where that is
    /// sooner.
    pub absolute_end: UnixTime,
}

/// What was signed, as it was received: each text comes back as it was put in, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionTexts {
    /// The signing text.
    pub message: String,
    /// The signature's text.
    pub signature: String,
    /// The message's nonce.
    pub nonce: String,
    /// The JSON of `data`.
    pub data: String,
    /// The JSON of `cacao`.
    pub cacao: Option<String>,
    /// The signer's public key, where one was sent along.
    pub public_key: Option<String>,
    /// The JSON of what a ReCap grants.
    pub recap: Option<String>,
}

/// A session of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEntry {
    /// What is known of it.
    pub facts: SessionFacts,
    /// What was signed.
    pub texts: SessionTexts,
}

/// A set, or as much of it as counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSet {
    /// Its public id.
    pub sid: String,
    /// When it was begun. What is added to it leaves this as it is.
    pub created_at: UnixTime,
    /// When it was last changed, or used as far as that was noted.
    pub seen_at: UnixTime,
    /// Its sessions, the newest last; never none.
    pub entries: Vec<SessionEntry>,
}

/// A session to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// The session.
    pub entry: SessionEntry,
    /// When its nonce is refused for its age alone: until then it is remembered as used.
    pub nonce_until: UnixTime,
}

/// What a sign-in makes of what there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A set of its own; no key was presented.
    Begin,
    /// The set under this key goes on, under the new one; what it held for the same accounts on the same chains is
    /// replaced.
    Add(SessionKey),
    /// The set under this key ends, with the one that replaced it meanwhile, if there is either. Nothing of them goes
    /// on.
    Replace(SessionKey),
}

/// A sign-in: one session or several that are written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    name: SessionName,
    change: Change,
    sessions: Vec<NewSession>,
}

/// A longer life for a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The set's name from now on.
    pub name: SessionName,
    /// Until when its sessions are to live: no longer than each one's `absolute_end`, and none shorter than before.
    /// What has ended stays so.
    pub expires_at: UnixTime,
    /// Ids of sessions whose signature was found good once more, and when.
    pub verified: Vec<(String, UnixTime)>,
    /// Ids of sessions whose signature is good no longer: they end.
    pub refused: Vec<String>,
}

/// What a dapp keeps for an account: a JSON text that means nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountMetadata {
    json: String,
    updated_at: UnixTime,
}

/// When an account signed in by AppKit's cloud class, and by what the dapp says that was: a JSON text that means nothing
/// here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountHistory {
    /// The first time that is known.
    pub first_at: UnixTime,
    /// The last time.
    pub last_at: UnixTime,
    /// What the dapp said the last time; nothing if it said nothing.
    pub connection: Option<String>,
}

/// Why something cannot be kept as a session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    /// None, or too many.
    #[error("expected 1 to {SESSIONS_MAX} sessions at once, found {0}")]
    Count(usize),
    /// Two sessions are of one account on one chain, or of one id.
    #[error("expected one session of each account and chain, found two of `{0}`")]
    Duplicate(AccountId),
    /// A text that is to be JSON is none, or too long.
    #[error("expected `{what}` as JSON of at most {most} bytes, found {found} bytes")]
    Json {
        /// Which.
        what: &'static str,
        /// The bound.
        most: usize,
        /// Its length.
        found: usize,
    },
    /// The new key is the old one.
    #[error("expected a new key, found the one that it replaces")]
    Key,
    /// A name is empty, too long or not printable.
    #[error("expected a {what} of visible ASCII characters within its bound, found `{found}`")]
    Name {
        /// Whose.
        what: &'static str,
        /// The name.
        found: String,
    },
    /// A text is empty or too long.
    #[error("expected a {what} of 1 to {most} bytes, found {found}")]
    Text {
        /// Which.
        what: &'static str,
        /// The bound.
        most: usize,
        /// Its length.
        found: usize,
    },
    /// Times are in another order, or cannot be written as RFC 3339.
    #[error("expected times between the years 0000 and 9999, made before ended, found {0}")]
    Times(String),
}

// === impl SessionName ===

impl SessionName {
    /// A name of this key and this public id: 1 to 64 visible ASCII characters.
    pub fn new(key: SessionKey, sid: &str) -> Result<Self, SessionError> {
        if !is_sid(sid) {
            return Err(SessionError::Name { what: "session's public id", found: shown(sid) });
        }
        Ok(Self { key, sid: sid.into() })
    }

    /// The key.
    pub const fn key(&self) -> &SessionKey {
        &self.key
    }

    /// The public id.
    pub fn sid(&self) -> &str {
        &self.sid
    }
}

impl fmt::Debug for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionName").field("sid", &self.sid).finish_non_exhaustive()
    }
}

// === impl SessionFacts ===

impl SessionFacts {
    /// Checks that every store can keep them.
    pub(in crate::store) fn check(&self) -> Result<(), SessionError> {
        visible("session's id", &self.id, NAME_BYTES_MAX)?;
        visible("scheme", &self.scheme, NAME_BYTES_MAX)?;
        visible("domain", &self.domain, DOMAIN_BYTES_MAX)?;
        let times = [self.created_at, self.refreshed_at, self.verified_at, self.expires_at, self.absolute_end];
        let writable = times.into_iter().chain(self.not_before).all(is_writable);
        if !writable || self.created_at >= self.expires_at || self.expires_at > self.absolute_end {
            let found = format!("{} to {}, at most {}", self.created_at, self.expires_at, self.absolute_end);
            return Err(SessionError::Times(found));
        }
        Ok(())
    }

    /// What a set holds one session of: the account, EVM addresses in lower case, and the chain.
    fn pair(&self) -> (&str, AccountKey) {
        (self.account.chain_str(), self.account.key())
    }
}

// === impl SessionTexts ===

impl SessionTexts {
    /// Checks that every store can keep them.
    pub(in crate::store) fn check(&self) -> Result<(), SessionError> {
        text("message", &self.message, MESSAGE_BYTES_MAX)?;
        text("signature", &self.signature, SIGNATURE_BYTES_MAX)?;
        visible("nonce", &self.nonce, NONCE_BYTES_MAX)?;
        json("data", &self.data, JSON_BYTES_MAX)?;
        self.cacao.as_deref().map_or(Ok(()), |cacao| json("cacao", cacao, JSON_BYTES_MAX))?;
        self.public_key.as_deref().map_or(Ok(()), |key| text("public key", key, PUBLIC_KEY_BYTES_MAX))?;
        self.recap.as_deref().map_or(Ok(()), |recap| json("recap", recap, RECAP_BYTES_MAX))
    }
}

impl fmt::Debug for SessionTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

// === impl SessionSet ===

impl SessionSet {
    /// When the last of its sessions ends.
    pub fn expires_at(&self) -> UnixTime {
        last_end(self.entries.iter().map(|entry| &entry.facts))
    }
}

/// When the last of these sessions ends; the epoch if there are none.
pub(super) fn last_end<'f>(sessions: impl Iterator<Item = &'f SessionFacts>) -> UnixTime {
    sessions.map(|facts| facts.expires_at).max().unwrap_or(UnixTime::from_millis(0))
}

// === impl SignIn ===

impl SignIn {
    /// A sign-in of these sessions, at most [`SESSIONS_MAX`] and each of another account or chain, under this new name.
    pub fn new(name: SessionName, change: Change, sessions: Vec<NewSession>) -> Result<Self, SessionError> {
        if let Change::Add(old) | Change::Replace(old) = change
            && old == name.key
        {
            return Err(SessionError::Key);
        }
        if !(1..=SESSIONS_MAX).contains(&sessions.len()) {
            return Err(SessionError::Count(sessions.len()));
        }
        for (place, NewSession { entry, .. }) in sessions.iter().enumerate() {
            entry.facts.check()?;
            entry.texts.check()?;
            let before = sessions[..place].iter().map(|before| &before.entry.facts);
            let facts = &entry.facts;
            if before.clone().any(|before| before.id == facts.id || before.pair() == facts.pair()) {
                return Err(SessionError::Duplicate(facts.account.clone()));
            }
        }
        Ok(Self { name, change, sessions })
    }

    /// The set's name from now on.
    pub const fn name(&self) -> &SessionName {
        &self.name
    }

    /// What becomes of what there was.
    pub const fn change(&self) -> Change {
        self.change
    }

    /// What is written.
    pub fn sessions(&self) -> &[NewSession] {
        &self.sessions
    }
}

// === impl AccountMetadata ===

impl AccountMetadata {
    /// This JSON text, as it was put at `updated_at`.
    pub fn new(text: &str, updated_at: UnixTime) -> Result<Self, SessionError> {
        json("metadata", text, METADATA_BYTES_MAX)?;
        if !is_writable(updated_at) {
            return Err(SessionError::Times(updated_at.millis().to_string()));
        }
        Ok(Self { json: text.into(), updated_at })
    }

    /// The text, as it was put.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// When it was put.
    pub const fn updated_at(&self) -> UnixTime {
        self.updated_at
    }
}

// === impl AccountHistory ===

impl AccountHistory {
    /// A sign-in at this time, by what a dapp describes so.
    pub fn of_sign_in(at: UnixTime, connection: Option<&str>) -> Result<Self, SessionError> {
        if let Some(connection) = connection {
            json("connection", connection, CONNECTION_BYTES_MAX)?;
        }
        if !is_writable(at) {
            return Err(SessionError::Times(at.millis().to_string()));
        }
        Ok(Self { first_at: at, last_at: at, connection: connection.map(str::to_owned) })
    }
}

/// Whether a store may hold this as the public id of a set.
pub(super) fn is_sid(text: &str) -> bool {
    is_visible(text, NAME_BYTES_MAX)
}

fn visible(what: &'static str, text: &str, bytes_max: usize) -> Result<(), SessionError> {
    if is_visible(text, bytes_max) { Ok(()) } else { Err(SessionError::Name { what, found: shown(text) }) }
}

fn text(what: &'static str, text: &str, most: usize) -> Result<(), SessionError> {
    let found = text.len();
    if (1..=most).contains(&found) { Ok(()) } else { Err(SessionError::Text { what, most, found }) }
}

/// Whether it is JSON matters because it goes into the JSON of an answer as it is.
fn json(what: &'static str, text: &str, most: usize) -> Result<(), SessionError> {
    let found = text.len();
    if found <= most && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Ok(());
    }
    Err(SessionError::Json { what, most, found })
}

#[cfg(test)]
mod tests;
