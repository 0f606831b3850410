//! Several sessions behind one cookie: which of them there are, which are shown, and which one counts (sessions.md
//! section 2.1).
//!
//! 1. A set has one session of an account on a chain. A new one takes the place of the old one.
//! 2. A session is shown, and opens something, from its `Not Before` on until the first of its ends: the message's own
//!    `Expiration Time`, `ttl` after it was begun or refreshed, `idle` after the cookie was last used, `absolute` after
//!    it was begun. At that moment it is over. When the message was issued is not asked again.
//! 3. Pairs of chain and address are compared as AppKit compares them: EVM addresses without their letter case, all else
//!    as it is written. What is no pair of ours is not an error; it is nobody's.
//! 4. Who a request is, is the account it names, if that is in the set, or else the newest one.
//! 5. A signature that a contract took is asked about again once it is older than `after`. While the chain does not
//!    answer, it stays good for `grace`.
//!
//! Nothing here reads a clock: every question about time gets one.

use std::time::Duration;

use super::{ItemError, SESSIONS_MAX, SessionError, agree::same_address, id::Sid, sign_in::Attempt};
use crate::{
    caip::{AccountId, AccountKey},
    time::UnixTime,
};

/// Characters of a chain or an address in a question at most. What is longer is nobody's, and need not be looked at.
const PAIR_BYTES_MAX: usize = 170;

/// One account's sign-in on one chain, verified. `Debug` shows whose it is, not what proves it.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// What it is called.
    pub sid: Sid,
    /// Whose it is, in canonical spelling.
    pub account: AccountId,
    /// How the signature was checked, by the names of decision 22.
    pub scheme: Box<str>,
    /// Whether a contract took the signature, which it may do no more tomorrow.
    pub by_contract: bool,
    /// When it was begun.
    pub created_at: UnixTime,
    /// When it was begun or last prolonged.
    pub refreshed_at: UnixTime,
    /// When the signature was last found to be right.
    pub verified_at: UnixTime,
    /// The message's Not Before.
    pub not_before: Option<UnixTime>,
    /// The message's Expiration Time.
    pub expiration_time: Option<UnixTime>,
    /// What proves it, as it came.
    pub evidence: Evidence,
}

/// What proves a session, byte for byte as its dapp sent it and gets it back. Whoever holds it can show it elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The signing text.
    pub message: Box<str>,
    /// The signature.
    pub signature: Box<str>,
    /// JSON: the dapp's description of the text.
    pub data: Box<str>,
    /// JSON: the container of One-Click Auth.
    pub cacao: Option<Box<str>>,
    /// The signer's public key.
    pub public_key: Option<Box<str>>,
    /// JSON: what the text grants (`att` of ERC-5573).
    pub recap: Option<Box<str>>,
}

/// How a signature was verified, which only the verifier knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked<'a> {
    /// The scheme's name.
    pub scheme: &'a str,
    /// Whether a contract took it.
    pub by_contract: bool,
}

/// How long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// From begin or refresh on.
    pub ttl: Duration,
    /// From the last use of the cookie on.
    pub idle: Option<Duration>,
    /// From the begin on, however often it is refreshed.
    pub absolute: Duration,
}

/// When what a contract said is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revalidation {
    /// How long its word is good.
    pub after: Duration,
    /// How much longer, while nobody can ask it.
    pub grace: Duration,
}

/// Whether a session's signature can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can.
    Good,
    /// The contract has to be asked first. If nobody can, it is `good_unasked` or not shown.
    Due {
        /// Whether the grace is not over.
        good_unasked: bool,
    },
}

/// The sessions behind one cookie, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionSet {
    sessions: Vec<Session>,
    /// When the cookie was last used, as far as it was written down.
    seen_at: Option<UnixTime>,
}

/// A chain and an address, as a dapp asks for their sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    chain: &'a str,
    address: &'a str,
}

/// That no two of several sign-ins are of one account on one chain.
pub fn distinct(attempts: &[Attempt]) -> Result<(), ItemError> {
    for (index, attempt) in attempts.iter().enumerate() {
        if attempts[..index].iter().any(|other| other.account() == attempt.account()) {
            return Err(ItemError::at(index, SessionError::DuplicateSession));
        }
    }
    Ok(())
}

/// The nonces of several sign-ins, each once. One nonce may be that of several texts of one account, as One-Click Auth
/// has it; two accounts do not share one.
pub fn nonces(attempts: &[Attempt]) -> Result<Vec<&str>, ItemError> {
    let mut found: Vec<(&str, AccountKey)> = Vec::with_capacity(attempts.len());
    for (index, attempt) in attempts.iter().enumerate() {
        let (nonce, account) = (attempt.nonce(), attempt.account().key());
        match found.iter().find(|(other, _)| *other == nonce) {
            None => found.push((nonce, account)),
            Some((_, other)) if *other == account => {}
            Some(_) => return Err(ItemError::at(index, SessionError::NonceReused)),
        }
    }
    Ok(found.into_iter().map(|(nonce, _)| nonce).collect())
}

// === impl Session ===

impl Session {
    /// Begins a session. Whoever calls this has verified the signature and claimed the nonce.
    pub fn begin(attempt: &Attempt, checked: Checked<'_>, sid: Sid, now: UnixTime) -> Self {
        let message = attempt.message();
        Self {
            sid,
            account: attempt.account().clone(),
            scheme: checked.scheme.into(),
            by_contract: checked.by_contract,
            created_at: now,
            refreshed_at: now,
            verified_at: now,
            not_before: message.not_before.as_ref().map(|time| time.instant),
            expiration_time: message.expiration_time.as_ref().map(|time| time.instant),
            evidence: Evidence {
                message: attempt.proof().text().into(),
                signature: attempt.proof().signature().into(),
                data: attempt.data().into(),
                cacao: attempt.cacao().map(Into::into),
                public_key: attempt.public_key().map(Into::into),
                recap: attempt.recap().map(|recap| recap.att().into()),
            },
        }
    }

    /// When it is over. `seen_at` is the last use of its cookie.
    pub fn ends_at(&self, life: &Life, seen_at: Option<UnixTime>) -> UnixTime {
        let by_age = self.refreshed_at.plus(life.ttl).min(self.created_at.plus(life.absolute));
        let by_rest = seen_at.zip(life.idle).map(|(seen, idle)| seen.plus(idle));
        [self.expiration_time, by_rest].into_iter().flatten().fold(by_age, UnixTime::min)
    }

    /// Whether it can be relied on that its signature is right.
    pub fn standing(&self, rule: Option<&Revalidation>, now: UnixTime) -> Standing {
        let Some(rule) = rule.filter(|_| self.by_contract) else {
            return Standing::Good;
        };
        let due = self.verified_at.plus(rule.after);
        if now < due { Standing::Good } else { Standing::Due { good_unasked: now < due.plus(rule.grace) } }
    }

    fn is_shown(&self, life: &Life, seen_at: Option<UnixTime>, now: UnixTime) -> bool {
        now < self.ends_at(life, seen_at) && self.not_before.is_none_or(|begins| begins <= now)
    }

    fn is_of(&self, pair: &Pair<'_>) -> bool {
        self.account.chain_str() == pair.chain && same_address(&self.account, self.account.address(), pair.address)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("sid", &self.sid)
            .field("account", &self.account)
            .field("scheme", &self.scheme)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

// === impl Pair ===

impl<'a> Pair<'a> {
    /// Reads a question: chain and address, or neither, which asks for all.
    pub fn read(chain: Option<&'a str>, address: Option<&'a str>) -> Result<Option<Self>, SessionError> {
        let refuse = |member| SessionError::Member { member, expected: "a text", found: "nothing" };
        match (chain, address) {
            (Some(chain), Some(address)) => Ok(Some(Self { chain, address })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(refuse("chainId")),
            (Some(_), None) => Err(refuse("address")),
        }
    }

    /// The pair of a CAIP-10 id; nothing if it has no chain.
    pub fn of_account(account: &'a str) -> Option<Self> {
        let (chain, address) = account.rsplit_once(':')?;
        Some(Self { chain, address })
    }

    const fn is_long(&self) -> bool {
        self.chain.len() + self.address.len() > PAIR_BYTES_MAX
    }
}

// === impl SessionSet ===

impl SessionSet {
    /// A set as a store holds it.
    pub const fn new(sessions: Vec<Session>, seen_at: Option<UnixTime>) -> Self {
        Self { sessions, seen_at }
    }

    /// Puts a session in, and hands out the one whose place it takes. What is over makes room for it.
    pub fn insert(&mut self, session: Session, life: &Life, now: UnixTime) -> Result<Option<Session>, SessionError> {
        let seen_at = self.seen_at;
        self.sessions.retain(|other| other.account == session.account || now < other.ends_at(life, seen_at));
        let place = self.sessions.iter().position(|other| other.account == session.account);
        let replaced = place.map(|place| self.sessions.remove(place));
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(SessionError::TooManySessions(self.sessions.len() + 1));
        }
        self.sessions.push(session);
        Ok(replaced)
    }

    /// Takes out all sessions of a pair, over or not.
    pub fn remove(&mut self, pair: &Pair<'_>) -> Vec<Session> {
        self.sessions.extract_if(.., |session| session.is_of(pair)).collect()
    }

    /// Prolongs what is not over. What its own message or `absolute` ends, it does not pass.
    pub fn refresh(&mut self, life: &Life, now: UnixTime) {
        let seen_at = self.seen_at;
        self.sessions.retain(|session| now < session.ends_at(life, seen_at));
        self.sessions.iter_mut().for_each(|session| session.refreshed_at = now);
        self.seen_at = Some(now);
    }

    /// All of them, over or not.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// When the cookie was last used, as far as it was written down.
    pub const fn seen_at(&self) -> Option<UnixTime> {
        self.seen_at
    }

    /// Those that are shown now.
    pub fn shown(&self, life: &Life, now: UnixTime) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter(move |session| session.is_shown(life, self.seen_at, now))
    }

    /// Those of a pair that are shown now: one or none.
    pub fn find(&self, pair: &Pair<'_>, life: &Life, now: UnixTime) -> impl Iterator<Item = &Session> {
        self.shown(life, now).filter(|session| !pair.is_long() && session.is_of(pair))
    }

    /// Who a request is: the account that it names, or the newest one.
    ///
    /// `named` is the value of `X-SIWX-Account`, a CAIP-10 id. A name that is not in the set, or whose session is over,
    /// is [`SessionError::AccountNotInSession`]; nobody is [`SessionError::Unauthenticated`].
    pub fn active(&self, named: Option<&str>, life: &Life, now: UnixTime) -> Result<&Session, SessionError> {
        // Of two that were begun at once, the one that was put in last.
        let newest = self.shown(life, now).max_by_key(|session| session.created_at);
        let newest = newest.ok_or(SessionError::Unauthenticated)?;
        let Some(named) = named else {
            return Ok(newest);
        };
        let found = Pair::of_account(named).and_then(|pair| self.find(&pair, life, now).next());
        found.ok_or(SessionError::AccountNotInSession)
    }

    /// The session that this very text and signature began, if it is shown: whoever sends them again with its cookie
    /// gains nothing, and may be answered as the first time.
    pub fn repeated(&self, attempt: &Attempt, life: &Life, now: UnixTime) -> Option<&Session> {
        self.shown(life, now).find(|session| {
            session.account == *attempt.account()
                && *session.evidence.message == *attempt.proof().text()
                && *session.evidence.signature == *attempt.proof().signature()
        })
    }

    /// When the last of them is over, and the cookie with it; nothing if there is none.
    pub fn ends_at(&self, life: &Life) -> Option<UnixTime> {
        self.sessions.iter().map(|session| session.ends_at(life, self.seen_at)).max()
    }
}

#[cfg(test)]
mod tests;
