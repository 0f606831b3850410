//! Verified proofs that are remembered: digest of the credential as received, to what was learnt from it.
//!
//! 1. An entry says that a signature is right. It never says that a request is allowed: the claims, the
//!    subscription and the route are judged anew each time.
//! 2. Only proofs that were verified get in; nothing is remembered under a key that a stranger can choose
//!    without a good signature.
//! 3. An entry ends with the message it is of, and after the configured life at the latest. One that rests on a
//!    contract's word ends with that.
//! 4. A connection remembers the credential it carried last, byte for byte: most clients send one again and again,
//!    and comparing it costs less than hashing it. What it points to is an entry of the cache, with that entry's end;
//!    forgetting everything reaches it too.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{Expiry, notification::RemovalCause, sync::Cache};

use super::{settings::CacheSettings, subscriptions::Account};
use crate::{credential::Digest, metrics::Metrics, policy::identity::Known, time::UnixTime};

/// A remembered proof and the account behind it, shared by all proofs of one wallet.
pub(super) struct Entry {
    pub(super) known: Arc<Known>,
    pub(super) account: Arc<Account>,
    left: Duration,
    /// When it is no longer remembered.
    end: Instant,
}

/// The proofs cache.
pub(super) struct Proofs {
    cache: Cache<Digest, Arc<Entry>, std::hash::BuildHasherDefault<DigestHasher>>,
    settings: CacheSettings,
    /// How often everything was forgotten; begins where no memory before this one came to.
    flushes: AtomicU64,
}

/// The credential that a connection carried last and was found good.
#[derive(Default)]
pub struct LastCredential(RefCell<Last>);

#[derive(Default)]
struct Last {
    bytes: Vec<u8>,
    entry: Option<Arc<Entry>>,
    flushes: u64,
}

/// Bytes of a credential that a connection remembers: most have 700.
const LAST_BYTES_MAX: usize = 1024;

/// How often one memory is emptied at most: once a millisecond for 49 days.
const FLUSHES_MAX: u64 = u32::MAX as u64;

/// A digest is a uniform hash already: eight of its bytes serve. An attacker who wanted two digests to meet in
/// one bucket would need as many good signatures as tries.
#[derive(Default)]
pub(super) struct DigestHasher(u64);

struct UntilItsEnd;

// === impl Entry ===

impl Entry {
    /// An entry that is not remembered.
    pub(super) const fn passing(known: Arc<Known>, account: Arc<Account>, at: Instant) -> Self {
        Self { known, account, left: Duration::ZERO, end: at }
    }
}

// === impl Proofs ===

impl Proofs {
    /// An empty memory. Of one that came `before` no connection's last credential counts.
    pub(super) fn new(before: Option<&Self>, settings: CacheSettings, metrics: &Arc<Metrics>) -> Self {
        let flushes = before.map_or(0, |before| (before.flushes() | FLUSHES_MAX) + 1);
        let metrics = Arc::clone(metrics);
        let cache = Cache::builder()
            .max_capacity(settings.entries)
            .time_to_live(settings.ttl)
            .expire_after(UntilItsEnd)
            .eviction_listener(move |_, _, cause| metrics.cache_evictions[0].inc(cause_word(cause)))
            .build_with_hasher(std::hash::BuildHasherDefault::default());
        Self { cache, settings, flushes: flushes.into() }
    }

    /// Its bound and life.
    pub(super) const fn settings(&self) -> CacheSettings {
        self.settings
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Arc<Entry>> {
        self.cache.get(digest)
    }

    /// What is remembered of a connection's last credential, if this is the same again at `at`.
    pub(super) fn find_last(&self, last: &LastCredential, bytes: &[u8], at: Instant) -> Option<Arc<Entry>> {
        let last = last.0.borrow();
        let entry = last.entry.as_ref().filter(|_| same(&last.bytes, bytes))?;
        let counts = last.flushes == self.flushes.load(Ordering::Acquire) && at < entry.end;
        counts.then(|| Arc::clone(entry))
    }

    /// Lets a connection remember an entry of the cache. `flushes` was read before the entry was found.
    pub(super) fn keep_last(&self, last: &LastCredential, bytes: &[u8], entry: &Arc<Entry>, flushes: u64) {
        if bytes.len() <= LAST_BYTES_MAX && self.settings.entries > 0 {
            let mut last = last.0.borrow_mut();
            // In the room of the one before: who carries the requests of many wallets allocates nothing for it.
            last.bytes.clear();
            last.bytes.extend_from_slice(bytes);
            last.entry = Some(Arc::clone(entry));
            last.flushes = flushes;
        }
    }

    /// How often everything was forgotten.
    pub(super) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Remembers a verified proof until `until` at the latest. `at` and `now` are one time on two clocks.
    pub(super) fn remember(
        &self,
        digest: Digest,
        known: Arc<Known>,
        account: Arc<Account>,
        until: UnixTime,
        (at, now): (Instant, UnixTime),
    ) -> Arc<Entry> {
        let left = Duration::from_millis(u64::try_from(until.millis_since(now)).unwrap_or(0));
        let end = at + left.min(self.settings.ttl);
        let entry = Arc::new(Entry { known, account, left, end });
        self.cache.insert(digest, Arc::clone(&entry));
        entry
    }

    /// The same for one that rests on a contract's word, which counts until `word_until`. Nothing is remembered if
    /// everything was forgotten since `flushes` was read, before the contract was asked.
    pub(super) fn remember_by_word(
        &self,
        digest: Digest,
        (known, account): (Arc<Known>, Arc<Account>),
        (until, word_until): (UnixTime, Instant),
        (at, now): (Instant, UnixTime),
        flushes: u64,
    ) -> Arc<Entry> {
        let message = Duration::from_millis(u64::try_from(until.millis_since(now)).unwrap_or(0));
        let end = word_until.min(at + message.min(self.settings.ttl));
        // It took a while: what is left is counted from here.
        let left = end.saturating_duration_since(Instant::now());
        let entry = Arc::new(Entry { known, account, left, end });
        self.cache.insert(digest, Arc::clone(&entry));
        // Whoever forgets counts first and then empties the cache, so that one of the two sees the other.
        if self.flushes() != flushes {
            self.cache.invalidate(&digest);
        }
        entry
    }

    pub(super) fn flush(&self) {
        self.flushes.fetch_add(1, Ordering::Release);
        self.cache.invalidate_all();
    }

    /// Entries held, as good as the cache knows.
    pub(super) fn entries(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }
}

impl Expiry<Digest, Arc<Entry>> for UntilItsEnd {
    fn expire_after_create(&self, _: &Digest, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.left)
    }
}

impl std::hash::Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some((first, _)) = bytes.split_first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length of an array is hashed before it; it is the same for all.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl std::fmt::Debug for LastCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Whether two credentials are the same, in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// The word of `siwx_cache_evictions_total` for a cause.
pub(super) const fn cause_word(cause: RemovalCause) -> &'static str {
    match cause {
        RemovalCause::Expired => "expired",
        RemovalCause::Explicit => "explicit",
        RemovalCause::Replaced => "replaced",
        RemovalCause::Size => "size",
    }
}
