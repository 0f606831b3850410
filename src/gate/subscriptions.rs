//! What accounts hold, remembered for a while.
//!
//! 1. An [`Account`] is shared by all proofs of one wallet. What the store said about it is one [`Snapshot`],
//!    replaced whole; a warm request loads it without a lock.
//! 2. A snapshot with something active counts for `ttl`, one without for `negative_ttl`, which protects the
//!    store from wallets that hold nothing. The end of a subscription is judged by the clock each time.
//! 3. When a snapshot is too old, one request asks the store and the others of that account wait for it. What it
//!    hears is theirs too, a failure as well: nobody waits out the store's silence twice.
//! 4. A store that fails leaves the old snapshot where it is. It may be served past its life only if it held
//!    something active and `stale_if_error` allows it; otherwise the state is unknown, and unknown is refused.
//! 5. A change made here is seen at once, one made by another process when the store tells of it: both move an
//!    *epoch* on, and a snapshot of an earlier epoch is too old whatever its age. There is one epoch for all and
//!    one for each of a number of groups of accounts, so that a grant does not empty the memory of the others.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use moka::sync::Cache;
use tokio::sync::Mutex;

use super::{
    Stores,
    cache::cause_word,
    settings::{CacheSettings, Settings},
};
use crate::{
    caip::AccountKey,
    chain::SignerKey,
    metrics::{LookupMetrics, Metrics},
    policy::subscription::Subscriptions,
    store::{StoreError, SubscriptionStore},
    time::UnixTime,
};

/// One wallet, as far as subscriptions go.
pub(super) struct Account {
    key: AccountKey,
    /// The public key behind it, for the next new credential of this wallet.
    pub(super) signer: SignerKey,
    group: usize,
    snapshot: ArcSwapOption<Snapshot>,
    /// Held by the one request that asks the store; the others wait here. Inside is the store's last failure.
    asking: Mutex<Option<Failure>>,
}

/// The store failed.
struct Failure {
    ended: Instant,
    error: StoreError,
}

/// What the store said, and when.
struct Snapshot {
    held: Arc<Subscriptions>,
    asked: Instant,
    epoch: Epoch,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Epoch {
    all: u64,
    foreign: u64,
    group: u64,
}

/// The subscriptions cache.
pub(super) struct Accounts {
    cache: Cache<AccountKey, Arc<Account>>,
    settings: CacheSettings,
    negative_ttl: Duration,
    stale_if_error: Duration,
    all: AtomicU64,
    foreign: Arc<AtomicU64>,
    groups: Vec<AtomicU64>,
    hasher: RandomState,
    store: Arc<dyn SubscriptionStore>,
    metrics: Arc<Metrics>,
    lookups: LookupMetrics,
}

/// Groups of accounts that go stale together when one of them changes. At 8 bytes each this is 8 KiB; a grant
/// makes the store answer for one account in a thousand once more.
const GROUPS: usize = 1024;

// === impl Account ===

impl Account {
    /// Which account it is.
    pub(super) const fn key(&self) -> &AccountKey {
        &self.key
    }
}

// === impl Accounts ===

impl Accounts {
    /// An empty memory of a store.
    pub(super) fn of(settings: &Settings, stores: &Stores, metrics: &Arc<Metrics>) -> Self {
        let CacheSettings { entries, ttl } = settings.subscriptions;
        let counted = Arc::clone(metrics);
        let cache = Cache::builder()
            .max_capacity(entries)
            // Long enough that an account outlives its snapshots; what counts is the snapshot's own age.
            .time_to_idle(ttl.saturating_mul(10).max(Duration::from_secs(60)))
            .eviction_listener(move |_, _, cause| counted.cache_evictions[1].inc(cause_word(cause)))
            .build();
        Self {
            cache,
            settings: settings.subscriptions,
            negative_ttl: settings.negative_ttl,
            stale_if_error: settings.stale_if_error,
            all: AtomicU64::default(),
            foreign: Arc::clone(&stores.foreign_writes),
            groups: std::iter::repeat_with(AtomicU64::default).take(GROUPS).collect(),
            hasher: RandomState::new(),
            store: Arc::clone(&stores.subscriptions),
            metrics: Arc::clone(metrics),
            lookups: metrics.lookups(stores.backend),
        }
    }

    /// Whether these settings would make the same of what is remembered.
    pub(super) fn is_for(&self, settings: &Settings) -> bool {
        self.settings == settings.subscriptions
            && self.negative_ttl == settings.negative_ttl
            && self.stale_if_error == settings.stale_if_error
    }

    /// The account behind a key, if something was verified of it lately.
    pub(super) fn known(&self, key: &AccountKey) -> Option<Arc<Account>> {
        self.cache.get(key)
    }

    /// The account behind a key, the same for all its proofs; `signer` is what was just learnt of it, in case it is new.
    pub(super) fn account(&self, key: &AccountKey, signer: SignerKey) -> Arc<Account> {
        self.cache.get_with_by_ref(key, || {
            let group = self.group(key);
            let (snapshot, asking) = (ArcSwapOption::empty(), Mutex::default());
            Arc::new(Account { key: key.clone(), signer, group, snapshot, asking })
        })
    }

    /// What an account holds, fresh enough to decide by; asks the store if need be.
    pub(super) async fn held(
        &self,
        account: &Account,
        started: Instant,
        now: UnixTime,
    ) -> Result<Arc<Subscriptions>, StoreError> {
        if let Some((held, word)) = self.fresh(account, started, now) {
            self.metrics.cache_requests[1].inc(word);
            return Ok(held);
        }
        let Ok(mut failure) = account.asking.try_lock() else {
            return self.held_after_others(account, now).await;
        };
        self.ask(account, &mut failure, now).await
    }

    /// Somebody asks already. What they hear counts for us too; a failure as well, or those who wait while the store
    /// is silent would wait for its time-out one after another.
    async fn held_after_others(&self, account: &Account, now: UnixTime) -> Result<Arc<Subscriptions>, StoreError> {
        let came = Instant::now();
        let mut failure = account.asking.lock().await;
        let fresh = self.fresh(account, Instant::now(), now).map(|(held, _)| held);
        if let Some(held) = fresh.or_else(|| self.heard_since(account, came)) {
            self.metrics.cache_requests[1].inc("coalesced");
            return Ok(held);
        }
        if let Some(Failure { error, .. }) = failure.as_ref().filter(|failure| failure.ended >= came) {
            return self.stale(account, Instant::now(), now, error.clone());
        }
        self.ask(account, &mut failure, now).await
    }

    /// What is remembered and counts, and the word for what that is.
    fn fresh(&self, account: &Account, at: Instant, now: UnixTime) -> Option<(Arc<Subscriptions>, &'static str)> {
        let snapshot = account.snapshot.load();
        let snapshot = snapshot.as_ref()?;
        if snapshot.epoch != self.epoch(account) {
            return None;
        }
        let age = at.saturating_duration_since(snapshot.asked);
        let active = snapshot.held.has_active(now);
        let (life, word) = if active { (self.settings.ttl, "hit") } else { (self.negative_ttl, "negative") };
        (age < life).then(|| (Arc::clone(&snapshot.held), word))
    }

    /// What the store was asked after a request came, which counts for that request whatever the lives are.
    fn heard_since(&self, account: &Account, came: Instant) -> Option<Arc<Subscriptions>> {
        let snapshot = account.snapshot.load();
        let snapshot = snapshot.as_ref()?;
        let counts = snapshot.asked >= came && snapshot.epoch == self.epoch(account);
        counts.then(|| Arc::clone(&snapshot.held))
    }

    async fn ask(
        &self,
        account: &Account,
        failure: &mut Option<Failure>,
        now: UnixTime,
    ) -> Result<Arc<Subscriptions>, StoreError> {
        // Read before asking: a change that comes in between makes the answer old, not new.
        let epoch = self.epoch(account);
        let asked = Instant::now();
        let answer = self.store.find(&account.key).await;
        self.lookups.duration.observe(asked.elapsed());
        let held = match answer {
            Ok(held) => Arc::new(held),
            Err(error) => {
                let timed_out = matches!(error, StoreError::Timeout(_));
                if timed_out {
                    self.lookups.timeout.inc()
                } else {
                    self.lookups.error.inc()
                }
                *failure = Some(Failure { ended: Instant::now(), error: error.clone() });
                return self.stale(account, asked, now, error);
            }
        };
        *failure = None;
        let active = held.has_active(now);
        if active {
            self.lookups.active.inc()
        } else {
            self.lookups.inactive.inc()
        }
        self.metrics.cache_requests[1].inc("miss");
        account.snapshot.store(Some(Arc::new(Snapshot { held: Arc::clone(&held), asked, epoch })));
        Ok(held)
    }

    /// The store failed: what it said before, if that may still be served.
    fn stale(
        &self,
        account: &Account,
        at: Instant,
        now: UnixTime,
        error: StoreError,
    ) -> Result<Arc<Subscriptions>, StoreError> {
        let snapshot = account.snapshot.load();
        let Some(snapshot) = snapshot.as_ref() else {
            return Err(error);
        };
        let served_until = self.settings.ttl.saturating_add(self.stale_if_error);
        let allowed = !self.stale_if_error.is_zero()
            && at.saturating_duration_since(snapshot.asked) < served_until
            && snapshot.epoch == self.epoch(account)
            && snapshot.held.has_active(now);
        if !allowed {
            return Err(error);
        }
        self.metrics.cache_requests[1].inc("stale");
        Ok(Arc::clone(&snapshot.held))
    }

    /// Something about this account was changed here: the next request asks the store.
    pub(super) fn changed(&self, key: &AccountKey) {
        self.groups[self.group(key)].fetch_add(1, Ordering::Release);
    }

    /// Forgets everything.
    pub(super) fn flush(&self) {
        self.all.fetch_add(1, Ordering::Release);
        self.cache.invalidate_all();
    }

    /// Accounts remembered, as good as the cache knows.
    pub(super) fn entries(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }

    fn epoch(&self, account: &Account) -> Epoch {
        let group = self.groups.get(account.group).map_or(0, |group| group.load(Ordering::Acquire));
        Epoch { all: self.all.load(Ordering::Acquire), foreign: self.foreign.load(Ordering::Acquire), group }
    }

    fn group(&self, key: &AccountKey) -> usize {
        // The remainder is below GROUPS, so the casts keep the value.
        (self.hasher.hash_one(key) % GROUPS as u64) as usize
    }
}
