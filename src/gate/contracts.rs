//! What contracts say of signatures: asked of nodes, remembered for a while (signatures.md section 1.5).
//!
//! 1. What is remembered is an answer to one question: chain, account, text and every byte of the signature. A yes
//!    counts for `ttl` and a no for `negative_ttl`, from before the node was asked; owners change, so a yes never
//!    counts longer than [`YES_MAX`]. That nobody answered is not remembered.
//! 2. Of the same question asked by many at once one goes to the node, and all hear its answer. It is asked on the
//!    outbound thread: whoever goes away takes nobody's answer along.
//! 3. An address spends from its budget for each question that goes to a node for it. What is remembered, or is being
//!    asked already, costs it nothing.
//! 4. Nothing waits for a free place: over an address's budget is that address's trouble, over the bound of all
//!    nobody's in particular, and both are told at once.
//! 5. Forgetting everything forgets what is being asked too: the answer goes to those who wait for it, and to nobody
//!    after them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{Expiry, sync::Cache};
use tokio::sync::watch;

use super::{
    cache::cause_word,
    limits::{Allowances, subscriber},
    settings::{CacheSettings, Settings},
};
use crate::{
    caip::ChainId,
    chain::{ContractCall, ContractKey, ContractVerdict},
    metrics::Metrics,
    outbound::Outbound,
    rpc::{Rpc, RpcError},
};

/// The longest that a yes may count without being asked for again: so long at most an owner who was removed still
/// comes in.
pub(super) const YES_MAX: Duration = Duration::from_secs(60);

/// Asks contracts.
pub(super) struct Contracts {
    rpc: Rpc,
    outbound: Outbound,
    cache: Cache<ContractKey, Said>,
    settings: CacheSettings,
    negative_ttl: Duration,
    /// How often an address may have one asked.
    budget: Option<Arc<Allowances<IpAddr>>>,
    flights: Mutex<HashMap<ContractKey, Flight>>,
    numbers: AtomicU64,
    /// How often everything was forgotten.
    flushes: AtomicU64,
    metrics: Arc<Metrics>,
}

/// What a contract said, and until when that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub(super) verdict: ContractVerdict,
    /// Whoever rests something on the answer rests it on nothing from then on.
    pub(super) until: Instant,
}

/// Why no contract said anything.
#[derive(Debug, Clone)]
pub(super) enum Unasked {
    /// The address has used its budget up; when there is more.
    OverBudget(Duration),
    /// The node could not be asked, or made no sense.
    Unavailable(Arc<RpcError>),
    /// What asks was ended.
    Ended,
}

/// A question that is being asked.
struct Flight {
    number: u64,
    answer: Answer,
}

/// What is heard of it; nothing yet, or what was said.
type Answer = watch::Receiver<Option<Result<Said, Arc<RpcError>>>>;

/// Ends a flight, also when what asks was ended.
struct Landing<'c> {
    contracts: &'c Contracts,
    key: ContractKey,
    number: u64,
}

struct UntilItsEnd;

// === impl Contracts ===

impl Contracts {
    /// Asks these nodes. Nothing is remembered but what addresses have used of their budget `before`.
    pub(super) fn new(
        before: Option<&Self>,
        rpc: Rpc,
        outbound: Outbound,
        settings: &Settings,
        metrics: &Arc<Metrics>,
        now: Instant,
    ) -> Self {
        let CacheSettings { entries, .. } = settings.contracts;
        let counted = Arc::clone(metrics);
        let cache = Cache::builder()
            .max_capacity(entries)
            .expire_after(UntilItsEnd)
            .eviction_listener(move |_, _, cause| counted.cache_evictions[CACHE].inc(cause_word(cause)))
            .build();
        let spent = before.and_then(|before| before.budget.as_ref());
        let budget = settings.rpc_per_ip.map(|rate| match spent {
            Some(spent) => spent.at_rate(rate, now),
            None => Arc::new(Allowances::new(rate, now)),
        });
        Self {
            rpc,
            outbound,
            cache,
            settings: settings.contracts,
            negative_ttl: settings.contracts_negative_ttl,
            budget,
            flights: Mutex::default(),
            numbers: AtomicU64::default(),
            flushes: AtomicU64::default(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Whether these settings would make the same of what is remembered. Nodes and budget are of `[chains]`.
    pub(super) fn is_for(&self, settings: &Settings) -> bool {
        self.settings == settings.contracts && self.negative_ttl == settings.contracts_negative_ttl
    }

    /// Whether contracts on this chain can be asked.
    pub(super) fn covers(&self, chain: &ChainId) -> bool {
        self.rpc.covers(chain)
    }

    /// What a contract says, for a client at this address. Safe to drop at any time.
    pub(super) async fn ask(self: &Arc<Self>, call: &ContractCall, client: IpAddr) -> Result<Said, Unasked> {
        self.hear(call, client, true).await
    }

    /// The same, past what is remembered. What is being asked already is as good as a question of one's own.
    pub(super) async fn ask_again(self: &Arc<Self>, call: &ContractCall, client: IpAddr) -> Result<Said, Unasked> {
        self.hear(call, client, false).await
    }

    async fn hear(self: &Arc<Self>, call: &ContractCall, client: IpAddr, remember: bool) -> Result<Said, Unasked> {
        let mut answer = match self.remembered_or_asked(call, client, remember)? {
            Ok(said) => return Ok(said),
            Err(answer) => answer,
        };
        let heard = answer.wait_for(Option::is_some).await.map(|heard| heard.clone());
        match heard {
            Ok(Some(Ok(said))) => Ok(said),
            Ok(Some(Err(error))) => Err(Unasked::Unavailable(error)),
            Ok(None) | Err(_) => Err(Unasked::Ended),
        }
    }

    /// What is remembered, or where the answer will be heard.
    fn remembered_or_asked(
        self: &Arc<Self>,
        call: &ContractCall,
        client: IpAddr,
        remember: bool,
    ) -> Result<Result<Said, Answer>, Unasked> {
        let (key, now) = (call.key(), Instant::now());
        let looks = &self.metrics.cache_requests[CACHE];
        let remembered = || self.cache.get(&key).filter(|said| remember && now < said.until);
        let word = |said: &Said| if said.verdict.is_yes() { "hit" } else { "negative" };
        if let Some(said) = remembered() {
            looks.inc(word(&said));
            return Ok(Ok(said));
        }
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&key) {
            looks.inc("coalesced");
            return Ok(Err(flight.answer.clone()));
        }
        // A flight may have landed since: what it brought is remembered before it is gone.
        if let Some(said) = remembered() {
            looks.inc(word(&said));
            return Ok(Ok(said));
        }
        looks.inc("miss");
        if let Some(budget) = &self.budget
            && let Err(wait) = budget.take(&subscriber(client), now)
        {
            self.rpc.count_rejected(call.chain());
            return Err(Unasked::OverBudget(wait));
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (tell, answer) = watch::channel(None);
        flights.insert(key, Flight { number, answer: answer.clone() });
        drop(flights);
        let (contracts, call) = (Arc::clone(self), call.clone());
        self.outbound.spawn(async move {
            let landing = Landing { contracts: &contracts, key, number };
            let said = contracts.ask_node(&call, key).await;
            drop(landing);
            let _ = tell.send(Some(said));
        });
        Ok(Err(answer))
    }

    async fn ask_node(&self, call: &ContractCall, key: ContractKey) -> Result<Said, Arc<RpcError>> {
        let flushes = self.flushes.load(Ordering::Acquire);
        let asked = Instant::now();
        let verdict = self.rpc.ask(call).await.map_err(Arc::new)?;
        let life = if verdict.is_yes() { self.settings.ttl.min(YES_MAX) } else { self.negative_ttl };
        let said = Said { verdict, until: asked + life };
        self.cache.insert(key, said);
        // Forgotten while it was asked: then this is forgotten too, by whoever sees the other.
        if self.flushes.load(Ordering::Acquire) != flushes {
            self.cache.invalidate(&key);
        }
        Ok(said)
    }

    /// Forgets everything.
    pub(super) fn flush(&self) {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        self.flights().clear();
        self.cache.invalidate_all();
    }

    /// Answers held, as good as the cache knows.
    pub(super) fn entries(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<ContractKey, Flight>> {
        // What is in there is whole whenever the lock is free.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its place among the caches that are counted.
const CACHE: usize = 2;

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flights = self.contracts.flights();
        // After everything was forgotten another flight may have this key.
        if flights.get(&self.key).is_some_and(|flight| flight.number == self.number) {
            flights.remove(&self.key);
        }
    }
}

impl Expiry<ContractKey, Said> for UntilItsEnd {
    fn expire_after_create(&self, _: &ContractKey, said: &Said, at: Instant) -> Option<Duration> {
        Some(said.until.saturating_duration_since(at))
    }

    fn expire_after_update(&self, _: &ContractKey, said: &Said, at: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(said.until.saturating_duration_since(at))
    }
}
