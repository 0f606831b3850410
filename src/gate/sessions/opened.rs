//! Sets that are open, and what is remembered of them.
//!
//! 1. A set is remembered under its key, which is the hash of what opens it: an opaque id is found by one look, and a
//!    token, once its signature was verified, by two. Nothing of a set is decoded again.
//! 2. Only what the store has found gets in. That it found nothing is not remembered: who presents what is no session
//!    pays for it with the refusals of the address.
//! 3. Whoever ends a set counts the end first and then forgets it, and whoever has read one looks at that count after
//!    putting it in: one of the two sees the other. What replaced a set is known for as long as either is remembered.
//! 4. What another process wrote since a set was read makes it too old.

use std::{
    hash::BuildHasherDefault,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::{Fault, Sessions, stored};
use crate::{
    caip::{AccountId, AccountKey},
    chain::SignerKey,
    credential::Presented,
    gate::{
        Gate,
        cache::{DigestHasher, Entry, cause_word},
        settings::CacheSettings,
    },
    metrics::Metrics,
    policy::identity::{Identity, Known},
    session::{
        SessionError,
        id::{SessionKey, Sid},
        set::{Life, Session, SessionSet},
        token::{SessionClaims, TOKEN_BYTES_MAX},
    },
    store,
    time::UnixTime,
};

/// The sessions behind a cookie or token that was presented.
pub struct Opened {
    pub(super) key: SessionKey,
    sid: Box<str>,
    set: Arc<SessionSet>,
    /// Of each session of the set, in its order.
    known: Vec<Arc<Known>>,
    entries: Vec<Arc<Entry>>,
    /// When a contract was last asked in vain, in milliseconds.
    in_vain: AtomicI64,
    /// The writes of others that the store had counted when it was read.
    foreign: u64,
}

/// Who a request is by an open set.
pub(in crate::gate) struct Acting<'s> {
    pub(in crate::gate) identity: Identity,
    pub(in crate::gate) session: &'s Session,
    pub(in crate::gate) entry: &'s Arc<Entry>,
}

/// What is remembered.
pub(super) struct Memory {
    sets: Cache<SessionKey, Arc<Opened>, BuildHasherDefault<DigestHasher>>,
    /// Tokens whose signature was right, by their hash: the key of their set, and their end.
    tokens: Cache<[u8; 32], (SessionKey, UnixTime), BuildHasherDefault<DigestHasher>>,
    /// The key after this one.
    successors: Cache<SessionKey, SessionKey, BuildHasherDefault<DigestHasher>>,
    /// How many sets were ended or changed here.
    ends: AtomicU64,
    foreign: Arc<AtomicU64>,
    /// What came after this memory: what is ended by somebody who still uses this one is ended there too.
    next: OnceLock<Arc<Self>>,
    metrics: Arc<Metrics>,
}

/// The place of this cache among those that are counted.
const CACHE: usize = 3;

// === impl Opened ===

impl Opened {
    fn new(gate: &Gate, key: SessionKey, sid: &str, set: SessionSet, foreign: u64) -> Self {
        let sessions = set.sessions().iter().filter(|session| Known::is_of_ours(session)).cloned().collect();
        let set = Arc::new(SessionSet::new(sessions, set.seen_at()));
        let known = known(&set);
        let at = std::time::Instant::now();
        let entry = |one: &Arc<Known>| {
            let account = gate.accounts.account(&one.account().key(), SignerKey::default());
            Arc::new(Entry::passing(Arc::clone(one), account, at))
        };
        let entries = known.iter().map(entry).collect();
        Self { key, sid: sid.into(), set, known, entries, in_vain: AtomicI64::new(i64::MIN), foreign }
    }

    /// The same with another set of the same sessions.
    fn with(&self, set: SessionSet) -> Self {
        let set = Arc::new(set);
        Self {
            key: self.key,
            sid: self.sid.clone(),
            known: known(&set),
            set,
            entries: self.entries.clone(),
            in_vain: AtomicI64::new(self.in_vain.load(Ordering::Relaxed)),
            foreign: self.foreign,
        }
    }

    /// What the set is called: for logs and operators.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Its sessions, over or not. Which are shown is for [`SessionSet::shown`] to say, by a clock.
    pub fn set(&self) -> &SessionSet {
        &self.set
    }

    /// Whose sessions they are that count now, the newest last.
    pub fn accounts<'o>(&'o self, life: &Life, now: UnixTime) -> impl Iterator<Item = &'o AccountId> {
        self.set.shown(life, now).map(|session| &session.account)
    }

    /// Who a request is that names this account, or none.
    pub(in crate::gate) fn acting(
        &self,
        named: Option<&str>,
        life: &Life,
        now: UnixTime,
    ) -> Result<Acting<'_>, SessionError> {
        let (identity, session) = Identity::open(&self.set, &self.known, named, life, now)?;
        let entry = self.entry_of(session).ok_or(SessionError::Unauthenticated)?;
        Ok(Acting { identity, session, entry })
    }

    /// What is remembered of one of its sessions.
    pub(super) fn entry_of(&self, session: &Session) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| entry.known.session() == Some(session.sid))
    }

    fn is_shown(&self, life: &Life, now: UnixTime) -> bool {
        self.set.shown(life, now).next().is_some()
    }

    /// When a contract was last asked about one of its sessions and nobody answered.
    pub(super) fn asked_in_vain(&self) -> UnixTime {
        UnixTime::from_millis(self.in_vain.load(Ordering::Relaxed))
    }

    pub(super) fn note_in_vain(&self, now: UnixTime) {
        self.in_vain.store(now.millis(), Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("sid", &self.sid).field("set", &self.set).finish_non_exhaustive()
    }
}

// === impl Memory ===

impl Memory {
    pub(super) fn new(settings: CacheSettings, foreign: Arc<AtomicU64>, metrics: &Arc<Metrics>) -> Self {
        let CacheSettings { entries, ttl } = settings;
        let counted = Arc::clone(metrics);
        let sets = Cache::builder()
            .max_capacity(entries)
            .time_to_live(ttl)
            .eviction_listener(move |_, _, cause| counted.cache_evictions[CACHE].inc(cause_word(cause)))
            .build_with_hasher(BuildHasherDefault::default());
        let tokens =
            Cache::builder().max_capacity(entries).time_to_idle(ttl).build_with_hasher(BuildHasherDefault::default());
        let successors =
            Cache::builder().max_capacity(entries).time_to_live(ttl).build_with_hasher(BuildHasherDefault::default());
        let (ends, next, metrics) = (AtomicU64::default(), OnceLock::new(), Arc::clone(metrics));
        Self { sets, tokens, successors, ends, foreign, next, metrics }
    }

    /// Says which memory comes after this one; once.
    pub(super) fn is_followed_by(&self, next: &Arc<Self>) {
        let _ = self.next.set(Arc::clone(next));
    }

    /// What is remembered under a key and not too old.
    fn find(&self, key: &SessionKey) -> Option<Arc<Opened>> {
        self.sets.get(key).filter(|opened| opened.foreign == self.foreign.load(Ordering::Acquire))
    }

    /// Remembers a set, unless something ended since `ends` was read.
    fn keep(&self, opened: &Arc<Opened>, ends: u64) {
        self.sets.insert(opened.key, Arc::clone(opened));
        if self.ends.load(Ordering::Acquire) != ends {
            self.sets.invalidate(&opened.key);
        }
    }

    pub(super) fn ends(&self) -> u64 {
        self.ends.load(Ordering::Acquire)
    }

    /// Forgets the set under a key, and the one that replaced it.
    pub(super) fn forget(&self, key: &SessionKey) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        self.sets.invalidate(key);
        // A chain of changes within one life of what is remembered: each was another request of its owner's.
        let mut last = *key;
        while let Some(next) = self.successors.remove(&last) {
            self.sets.invalidate(&next);
            last = next;
        }
        if let Some(next) = self.next.get() {
            next.forget(key);
        }
    }

    /// The same where the set goes on under another key.
    ///
    /// Where two requests replaced one set at once, the store knows which of them was the last and ended what the other
    /// left. Who comes here first says nothing about that, so that both are forgotten and read again.
    pub(super) fn replaced(&self, old: &SessionKey, new: &SessionKey) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        self.sets.invalidate(old);
        if let Some(other) = self.successors.get(old).filter(|other| other != new) {
            self.sets.invalidate(&other);
            self.sets.invalidate(new);
        }
        self.successors.insert(*old, *new);
        if let Some(next) = self.next.get() {
            next.replaced(old, new);
        }
    }

    /// Forgets the sets in which these accounts are, whatever opens them. It walks through all that is remembered, on a
    /// thread that serves no request: this is asked for now and then, and an index would be paid for by every session.
    pub(super) async fn forget_accounts(&self, accounts: &[AccountKey]) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        let (sets, accounts) = (self.sets.clone(), accounts.to_vec());
        let walked = tokio::task::spawn_blocking(move || {
            for (key, opened) in &sets {
                if opened.set.sessions().iter().any(|session| accounts.contains(&session.account.key())) {
                    sets.invalidate(&*key);
                }
            }
        });
        if walked.await.is_err() {
            self.flush();
        }
    }

    /// Forgets everything.
    pub(super) fn flush(&self) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        self.sets.invalidate_all();
        self.tokens.invalidate_all();
        if let Some(next) = self.next.get() {
            next.flush();
        }
    }

    fn entries(&self) -> u64 {
        self.sets.run_pending_tasks();
        self.sets.entry_count()
    }
}

// === impl Sessions ===

impl Sessions {
    /// The sessions behind what was presented, if any of them count now; nothing for what is no session, or is over.
    pub async fn open(
        &self,
        gate: &Gate,
        presented: &Presented<'_>,
        now: UnixTime,
    ) -> Result<Option<Arc<Opened>>, Fault> {
        let Some(key) = self.key_of(presented, now) else {
            return Ok(None);
        };
        if let Some(opened) = self.remembered_under(&key, now) {
            return Ok(Some(opened));
        }
        self.read(gate, key, now).await
    }

    /// What is remembered of what was presented, and counts now. Looks nowhere else, and verifies nothing.
    pub(in crate::gate) fn remembered(&self, presented: &Presented<'_>, now: UnixTime) -> Option<Arc<Opened>> {
        let key = SessionKey::of_presented(presented.bytes()).or_else(|| self.remembered_token(presented.bytes(), now));
        let opened = key.and_then(|key| self.remembered_under(&key, now));
        self.memory.metrics.cache_requests[CACHE].inc(if opened.is_some() { "hit" } else { "miss" });
        opened
    }

    fn remembered_under(&self, key: &SessionKey, now: UnixTime) -> Option<Arc<Opened>> {
        self.memory.find(key).filter(|opened| opened.is_shown(&self.settings.life, now))
    }

    fn remembered_token(&self, token: &[u8], now: UnixTime) -> Option<SessionKey> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (key, end) = self.memory.tokens.get(&hash(token))?;
        (now < end).then_some(key)
    }

    /// Under what the set behind a cookie or token is kept; nothing for what is neither an id nor a token of ours.
    pub(super) fn key_of(&self, presented: &Presented<'_>, now: UnixTime) -> Option<SessionKey> {
        let bytes = presented.bytes();
        if let Some(key) = SessionKey::of_presented(bytes).or_else(|| self.remembered_token(bytes, now)) {
            return Some(key);
        }
        let claims = self.claims_of(presented, now)?;
        let key = SessionKey::of_sid(&claims.sid);
        self.memory.tokens.insert(hash(bytes), (key, claims.expires_at));
        Some(key)
    }

    /// What a session token says, if it is one of ours and good now. That its session was not ended is for
    /// [`Self::open`] to say.
    pub fn claims_of(&self, presented: &Presented<'_>, now: UnixTime) -> Option<SessionClaims> {
        let token = std::str::from_utf8(presented.bytes()).ok()?;
        SessionClaims::open(&self.keys(), self.parties(), token, now)
            .inspect_err(|error| tracing::debug!(reason = error.as_str(), "a session token is refused"))
            .ok()
    }

    /// Asks the store.
    async fn read(&self, gate: &Gate, key: SessionKey, now: UnixTime) -> Result<Option<Arc<Opened>>, Fault> {
        let (ends, foreign) = (self.memory.ends(), self.memory.foreign.load(Ordering::Acquire));
        let found = self.asked(self.means.store.find(&key, now)).await?;
        let opened = found.map(|set| self.remember(gate, key, set, foreign, ends));
        Ok(opened.filter(|opened| opened.is_shown(&self.settings.life, now)))
    }

    /// Remembers what the store said.
    fn remember(&self, gate: &Gate, key: SessionKey, set: store::SessionSet, foreign: u64, ends: u64) -> Arc<Opened> {
        let sid = set.sid.clone();
        let opened = Arc::new(Opened::new(gate, key, &sid, stored::from_store(set), foreign));
        self.memory.keep(&opened, ends);
        opened
    }

    /// Remembers a set that was written just now, under its new key, in place of the set under `old`. `ends` is what was
    /// counted before it was written: an end that was written after it may have been told of already.
    pub(super) fn begun(
        &self,
        gate: &Gate,
        key: SessionKey,
        set: store::SessionSet,
        old: Option<&SessionKey>,
        ends: u64,
    ) -> Arc<Opened> {
        let foreign = self.memory.foreign.load(Ordering::Acquire);
        if let Some(old) = old {
            self.memory.replaced(old, &key);
        }
        self.remember(gate, key, set, foreign, ends + u64::from(old.is_some()))
    }

    /// Notes in what is remembered that a session's signature was found good at `now`.
    pub(super) fn note_verified(&self, opened: &Opened, sid: &Sid, now: UnixTime) -> Arc<Opened> {
        let ends = self.memory.ends();
        let mut sessions = opened.set.sessions().to_vec();
        for session in sessions.iter_mut().filter(|session| session.sid == *sid) {
            session.verified_at = session.verified_at.max(now);
        }
        let opened = Arc::new(opened.with(SessionSet::new(sessions, opened.set.seen_at())));
        // What was ended meanwhile stays forgotten.
        if self.memory.find(&opened.key).is_some() {
            self.memory.keep(&opened, ends);
        }
        opened
    }

    /// Notes that a set was used, where it ends without use: once in a tenth of that time.
    pub(in crate::gate) async fn note_seen(&self, opened: &Arc<Opened>, now: UnixTime) -> Arc<Opened> {
        if !self.is_seen_due(opened, now) {
            return Arc::clone(opened);
        }
        let ends = self.memory.ends();
        if !matches!(self.asked(self.means.store.seen(&opened.key, now)).await, Ok(true)) {
            return Arc::clone(opened);
        }
        let set = SessionSet::new(opened.set.sessions().to_vec(), Some(now));
        let opened = Arc::new(opened.with(set));
        self.memory.keep(&opened, ends);
        opened
    }

    /// Whether its last use is to be written down.
    pub(in crate::gate) fn is_seen_due(&self, opened: &Opened, now: UnixTime) -> bool {
        let Some(idle) = self.settings.life.idle else {
            return false;
        };
        opened.set.seen_at().is_none_or(|seen| seen.plus(idle / 10) <= now)
    }

    /// Forgets everything that is remembered.
    pub(in crate::gate) fn flush(&self) {
        self.memory.flush();
    }

    /// Sets remembered, as good as the cache knows.
    pub(in crate::gate) fn entries(&self) -> u64 {
        self.memory.entries()
    }
}

/// Who the sessions of a set are.
fn known(set: &Arc<SessionSet>) -> Vec<Arc<Known>> {
    set.sessions().iter().filter_map(|session| Known::of_session(session, set)).map(Arc::new).collect()
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}
