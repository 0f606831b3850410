//! Verified proofs that are remembered: digest of the credential as received, to what was learnt from it.
//!
//! 1. An entry says that a signature is right. It never says that a request is allowed: the claims, the
//!    subscription and the route are judged anew each time.
//! 2. Only proofs that were verified get in; nothing is remembered under a key that a stranger can choose
//!    without a good signature.
//! 3. An entry ends with the message it is of, and after the configured life at the latest.

use std::{
    sync::Arc,
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
}

/// The proofs cache.
pub(super) struct Proofs {
    cache: Cache<Digest, Arc<Entry>, std::hash::BuildHasherDefault<DigestHasher>>,
}

/// A digest is a uniform hash already: eight of its bytes serve. An attacker who wanted two digests to meet in
/// one bucket would need as many good signatures as tries.
#[derive(Default)]
pub(super) struct DigestHasher(u64);

struct UntilItsEnd;

// === impl Entry ===

impl Entry {
    /// An entry that is not remembered.
    pub(super) const fn passing(known: Arc<Known>, account: Arc<Account>) -> Self {
        Self { known, account, left: Duration::ZERO }
    }
}

// === impl Proofs ===

impl Proofs {
    pub(super) fn new(settings: CacheSettings, metrics: &Arc<Metrics>) -> Self {
        let metrics = Arc::clone(metrics);
        let cache = Cache::builder()
            .max_capacity(settings.entries)
            .time_to_live(settings.ttl)
            .expire_after(UntilItsEnd)
            .eviction_listener(move |_, _, cause| metrics.cache_evictions[0].inc(cause_word(cause)))
            .build_with_hasher(std::hash::BuildHasherDefault::default());
        Self { cache }
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Arc<Entry>> {
        self.cache.get(digest)
    }

    /// Remembers a verified proof until `until` at the latest.
    pub(super) fn remember(
        &self,
        digest: Digest,
        known: Arc<Known>,
        account: Arc<Account>,
        until: UnixTime,
        now: UnixTime,
    ) -> Arc<Entry> {
        let left = Duration::from_millis(u64::try_from(until.millis_since(now)).unwrap_or(0));
        let entry = Arc::new(Entry { known, account, left });
        self.cache.insert(digest, Arc::clone(&entry));
        entry
    }

    pub(super) fn flush(&self) {
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

/// The word of `siwx_cache_evictions_total` for a cause.
pub(super) const fn cause_word(cause: RemovalCause) -> &'static str {
    match cause {
        RemovalCause::Expired => "expired",
        RemovalCause::Explicit => "explicit",
        RemovalCause::Replaced => "replaced",
        RemovalCause::Size => "size",
    }
}
