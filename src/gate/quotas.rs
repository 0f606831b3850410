//! How much of a plan's quota an account has used (decision 19).
//!
//! 1. A window begins with the plan and lasts as long as the quota says; then the next one begins. Every purchase
//!    within a window adds the quota's requests to it.
//! 2. Requests are counted here, one by one and exactly, and handed over to the store about once a second: what was
//!    counted since is lost with the process. What the store then counts, with what other processes added, counts
//!    here from then on.
//! 3. The store is asked when an account is met for the first time in a window, and again where a quota seems used
//!    up: at once if this process knows of a purchase, else at most once a second.
//! 4. A store that does not answer refuses nobody: what it would have said counts as nothing until it says it.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::{
    limits::{QUOTA, Short},
    settings::{PlanLimits, Quota},
};
use crate::{
    caip::AccountKey,
    metrics::{Metrics, OperationMetrics},
    policy::{decision::Refusal, subscription::Subscription},
    store::{StoreError, USAGE_MAX, UsageDelta, UsageStore},
    time::UnixTime,
};

/// Accounts whose tallies are kept, for each plan. At about 300 bytes each this is 30 MiB at worst. One that is
/// forgotten is asked of the store again.
const TALLIES_MAX: u64 = 100_000;

/// How long a tally is kept that nobody asks for.
const TALLY_IDLE: Duration = Duration::from_secs(600);

/// How long a quota stays used up before the store is asked whether somebody bought more.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The quotas of all plans.
pub(super) struct Quotas {
    plans: Vec<PlanQuota>,
    store: Arc<dyn UsageStore>,
    ledger: Arc<Ledger>,
    metrics: OperationMetrics,
}

/// What is still to be handed over, whichever configuration it was counted under.
#[derive(Default)]
struct Ledger {
    unwritten: Unwritten,
    /// One handing over at a time: what the store says of a window must not arrive out of order.
    handing: tokio::sync::Mutex<()>,
}

struct PlanQuota {
    name: String,
    quota: Quota,
    tallies: Cache<AccountKey, Arc<Tally>>,
}

/// Tallies that hold something the store does not know.
type Unwritten = Mutex<Vec<Arc<Tally>>>;

/// One account's requests within one window of a plan.
pub(super) struct Tally {
    account: AccountKey,
    plan: String,
    window: Window,
    count: Mutex<Count>,
    /// Held by the one request that asks the store; the others wait here.
    asking: tokio::sync::Mutex<()>,
}

/// A window of a plan that began at `opened`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    opened: UnixTime,
    start: UnixTime,
    end: UnixTime,
}

/// How much is used, and of how much.
#[derive(Default)]
struct Count {
    /// What the store counted when it was last heard.
    stored: u64,
    /// What is being handed over.
    under_way: u64,
    /// What was counted since.
    fresh: u64,
    /// What was given back too late to be taken out of the others.
    credit: u64,
    /// How many purchases add to the window.
    purchases: u64,
    /// When the store was last asked.
    asked: Option<Instant>,
    /// Whether something was bought since.
    bought: bool,
    /// Whether it is among the unwritten.
    listed: bool,
}

/// One request taken of a quota.
pub(super) struct Ticket(Arc<Tally>);

/// What a count says to one more request.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Taken,
    UsedUp,
    Ask,
}

// === impl Quotas ===

impl Quotas {
    /// Those of these plans, with what was counted `before`; nothing if none has one or had.
    pub(super) fn new(
        before: Option<&Self>,
        plans: &[PlanLimits],
        store: Arc<dyn UsageStore>,
        metrics: &Metrics,
    ) -> Option<Self> {
        let of_plan = |plan: &PlanLimits| {
            let quota = plan.quota?;
            // A window of another length is another window, whose tallies the store is asked for.
            let same = |known: &&PlanQuota| known.name == plan.name && known.quota.window == quota.window;
            let tallies = match before.and_then(|before| before.plans.iter().find(same)) {
                Some(known) => known.tallies.clone(),
                None => Cache::builder().max_capacity(TALLIES_MAX).time_to_idle(TALLY_IDLE).build(),
            };
            Some(PlanQuota { name: plan.name.clone(), quota, tallies })
        };
        let plans: Vec<_> = plans.iter().filter_map(of_plan).collect();
        if plans.is_empty() && before.is_none() {
            return None;
        }
        let ledger = before.map(|before| Arc::clone(&before.ledger)).unwrap_or_default();
        Some(Self { plans, store, ledger, metrics: metrics.operation(QUOTA) })
    }

    /// Takes one request of the plan that an account holds; nothing if that has no quota.
    pub(super) fn take(
        &self,
        account: &AccountKey,
        held: &Subscription,
        at: Instant,
        now: UnixTime,
    ) -> Result<Option<Ticket>, Short> {
        let Some(plan) = self.plans.iter().find(|plan| plan.name == held.plan) else {
            return Ok(None);
        };
        let tally = plan.tally(account, Window::at(held.starts_at, plan.quota.window, now));
        match tally.take(plan.quota.requests, at, &self.ledger.unwritten) {
            Turn::Taken => Ok(Some(Ticket(tally))),
            Turn::Ask => Err(Short::Ask(tally)),
            Turn::UsedUp => Err(Short::Over(tally.used_up(now))),
        }
    }

    /// Asks the store about a tally, unless somebody has since this was called. Afterwards it can be taken from.
    pub(super) async fn ask(&self, tally: &Tally) {
        let came = Instant::now();
        let _turn = tally.asking.lock().await;
        let is_new = {
            let mut count = tally.count();
            if count.asked.is_some_and(|asked| asked >= came) && !count.bought {
                return;
            }
            // Before asking: what is bought in between is asked for again.
            count.bought = false;
            count.asked.is_none()
        };
        let (store, window) = (&self.store, tally.window);
        let stored = if is_new { store.usage(&tally.account, &tally.plan, window.start).await } else { Ok(0) };
        let purchases = store.purchases(&tally.account, &tally.plan, window.purchases_from(), window.end).await;
        let mut count = tally.count();
        match (stored, purchases) {
            (Ok(stored), Ok(purchases)) => {
                count.stored = count.stored.max(stored);
                count.purchases = purchases;
            }
            (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "the store does not say what was used"),
        }
        count.asked = Some(Instant::now());
    }

    /// An account bought something, it may be of a plan with a quota.
    pub(super) fn changed(&self, account: &AccountKey) {
        for tally in self.plans.iter().filter_map(|plan| plan.tallies.get(account)) {
            tally.count().bought = true;
        }
    }

    /// Hands over what was counted since the last time.
    pub(super) async fn hand_over(&self, now: UnixTime) {
        let _turn = self.ledger.handing.lock().await;
        let tallies = mem::take(&mut *lock(&self.ledger.unwritten));
        for tallies in tallies.chunks(USAGE_MAX) {
            let deltas: Vec<_> = tallies.iter().map(|tally| tally.delta()).collect();
            let begun = Instant::now();
            let answer = self.store.add_usage(&deltas, now).await;
            self.metrics.duration.observe(begun.elapsed());
            match &answer {
                Ok(_) => self.metrics.ok.inc(),
                Err(StoreError::Timeout(_)) => self.metrics.timeout.inc(),
                Err(_) => self.metrics.error.inc(),
            }
            if let Err(error) = &answer {
                tracing::warn!(%error, accounts = tallies.len(), "the store does not take what was used");
            }
            for (place, tally) in tallies.iter().enumerate() {
                let mut count = tally.count();
                count.handed_over(&answer, place);
                tally.list(count, &self.ledger.unwritten);
            }
        }
    }
}

// === impl PlanQuota ===

impl PlanQuota {
    /// The tally of an account. A request that comes late, after another has begun a new window, is counted there.
    fn tally(&self, account: &AccountKey, window: Window) -> Arc<Tally> {
        let is_over = |tally: &Tally| tally.window.opened != window.opened || tally.window.start < window.start;
        if let Some(tally) = self.tallies.get(account).filter(|tally| !is_over(tally)) {
            return tally;
        }
        let new = || {
            Arc::new(Tally {
                account: account.clone(),
                plan: self.name.clone(),
                window,
                count: Mutex::default(),
                asking: tokio::sync::Mutex::default(),
            })
        };
        self.tallies.entry_by_ref(account).or_insert_with_if(new, |tally| is_over(tally)).into_value()
    }
}

// === impl Tally ===

impl Tally {
    fn count(&self) -> MutexGuard<'_, Count> {
        lock(&self.count)
    }

    /// Takes one of the `requests` that the quota has in a window.
    fn take(self: &Arc<Self>, requests: u64, at: Instant, unwritten: &Unwritten) -> Turn {
        let mut count = self.count();
        let turn = count.take(requests, at);
        self.list(count, unwritten);
        turn
    }

    /// Sees to it that what was counted is handed over.
    fn list(self: &Arc<Self>, mut count: MutexGuard<'_, Count>, unwritten: &Unwritten) {
        if count.fresh == 0 || mem::replace(&mut count.listed, true) {
            return;
        }
        drop(count);
        lock(unwritten).push(Arc::clone(self));
    }

    /// What is to be handed over, from now on under way.
    fn delta(&self) -> UsageDelta {
        let mut count = self.count();
        let requests = u32::try_from(count.fresh).unwrap_or(u32::MAX);
        count.under_way = requests.into();
        count.fresh -= count.under_way;
        count.listed = false;
        UsageDelta {
            account: self.account.clone(),
            plan: self.plan.clone(),
            window_start: self.window.start,
            window_end: self.window.end,
            requests,
        }
    }

    /// The refusal of one request too many.
    pub(super) fn used_up(&self, now: UnixTime) -> Refusal {
        let millis = u64::try_from(self.window.end.millis_since(now)).unwrap_or(0);
        Refusal::QuotaExceeded { retry_after_secs: millis.div_ceil(1000).max(1) }
    }
}

// === impl Window ===

impl Window {
    /// The window at `now` of a plan that began at `opened`.
    fn at(opened: UnixTime, length: Duration, now: UnixTime) -> Self {
        let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1);
        let before = now.millis_since(opened).div_euclid(length).saturating_mul(length);
        let start = opened.plus_millis(before);
        Self { opened, start, end: start.plus_millis(length) }
    }

    /// From when on purchases add to it: the one with which the plan began opened the first window and adds nothing.
    fn purchases_from(&self) -> UnixTime {
        if self.start == self.opened { self.start.plus_millis(1) } else { self.start }
    }
}

// === impl Count ===

impl Count {
    fn take(&mut self, requests: u64, at: Instant) -> Turn {
        let Some(asked) = self.asked else {
            return Turn::Ask;
        };
        if self.used() < requests.saturating_mul(self.purchases.saturating_add(1)) {
            if self.credit > 0 {
                self.credit -= 1;
            } else {
                self.fresh += 1;
            }
            return Turn::Taken;
        }
        if self.bought || at.saturating_duration_since(asked) >= ASK_AGAIN { Turn::Ask } else { Turn::UsedUp }
    }

    fn give_back(&mut self) {
        if self.fresh > 0 {
            self.fresh -= 1;
        } else {
            self.credit += 1;
        }
    }

    const fn used(&self) -> u64 {
        self.stored.saturating_add(self.under_way).saturating_add(self.fresh).saturating_sub(self.credit)
    }

    /// What came of handing over.
    fn handed_over(&mut self, answer: &Result<Vec<u64>, StoreError>, place: usize) {
        let under_way = mem::take(&mut self.under_way);
        match answer {
            // The store's count, with what others added.
            Ok(totals) => self.stored = totals.get(place).copied().unwrap_or(self.stored),
            // It may have been made: asked for again, it might count twice.
            Err(StoreError::Timeout(_)) => self.stored = self.stored.saturating_add(under_way),
            Err(_) => self.fresh = self.fresh.saturating_add(under_way),
        }
    }
}

// === impl Ticket ===

impl Ticket {
    /// As if the request had never come.
    pub(super) fn give_back(self) {
        self.0.count().give_back();
    }
}

/// Counts are whole after each step, so one that was held in a panic is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{self, Backend, Settings, Store};

    const HOUR: i64 = 3_600_000;

    #[test]
    fn windows_follow_each_other_from_the_beginning_of_the_plan() {
        let rows = [
            ("at its beginning", 1000, 1000),
            ("the last moment of the first", 1000 + HOUR - 1, 1000),
            ("the first of the second", 1000 + HOUR, 1000 + HOUR),
            ("long after", 1000 + 50 * HOUR + 7, 1000 + 50 * HOUR),
            ("before it, by a clock that was set back", 999, 1000 - HOUR),
        ];
        let at = UnixTime::from_millis;
        for (name, now, start) in rows {
            let window = Window::at(at(1000), Duration::from_secs(3600), at(now));
            let expected = Window { opened: at(1000), start: at(start), end: at(start + HOUR) };
            assert_eq!(window, expected, "{name}");
            let from = if start == 1000 { 1001 } else { start };
            assert_eq!(window.purchases_from(), at(from), "{name}");
        }
        let endless = Window::at(at(0), Duration::MAX, at(5));
        assert_eq!((endless.start, endless.end), (at(0), at(i64::MAX)));
    }

    /// A count that the store was asked for at `asked`.
    fn known(stored: u64, purchases: u64, asked: Instant) -> Count {
        Count { stored, purchases, asked: Some(asked), ..Count::default() }
    }

    #[test]
    fn a_count_lets_in_what_is_left() {
        let start = Instant::now();
        let rows = [
            ("unknown", Count::default(), Turn::Ask),
            ("nothing used", known(0, 0, start), Turn::Taken),
            ("the last one", known(2, 0, start), Turn::Taken),
            ("used up", known(3, 0, start), Turn::UsedUp),
            ("more than used up", known(9, 0, start), Turn::UsedUp),
            ("bought once more", known(5, 1, start), Turn::Taken),
            ("and used up again", known(6, 1, start), Turn::UsedUp),
            ("used up, and something was bought", Count { bought: true, ..known(3, 0, start) }, Turn::Ask),
            ("what is under way counts", Count { under_way: 1, ..known(2, 0, start) }, Turn::UsedUp),
            ("what is fresh counts", Count { fresh: 1, ..known(2, 0, start) }, Turn::UsedUp),
            ("what was given back does not", Count { credit: 1, ..known(3, 0, start) }, Turn::Taken),
        ];
        for (name, mut count, expected) in rows {
            assert_eq!(count.take(3, start), expected, "{name}");
        }
        let mut used_up = known(3, 0, start);
        for (after, expected) in [(ASK_AGAIN - Duration::from_millis(1), Turn::UsedUp), (ASK_AGAIN, Turn::Ask)] {
            assert_eq!(used_up.take(3, start + after), expected, "{after:?}");
        }
    }

    #[test]
    fn what_comes_of_handing_over() {
        let timeout = || Err(StoreError::Timeout(Duration::from_secs(1)));
        let rows = [
            ("with what others added", Ok(vec![0, 20]), (20, 2)),
            ("the store forgot what came after its last backup", Ok(vec![0, 5]), (5, 2)),
            ("an answer too short", Ok(vec![0]), (10, 2)),
            ("perhaps done: not repeated", timeout(), (15, 2)),
            ("certainly not done: repeated", Err(StoreError::Locked), (10, 7)),
        ];
        for (name, answer, expected) in rows {
            let mut count = Count { under_way: 5, fresh: 2, ..known(10, 0, Instant::now()) };
            count.handed_over(&answer, 1);
            assert_eq!((count.stored, count.fresh), expected, "{name}");
            assert_eq!(count.under_way, 0, "{name}");
        }
    }

    #[test]
    fn what_is_given_back_is_not_used() {
        let start = Instant::now();
        let mut count = known(0, 0, start);
        assert_eq!(count.take(1, start), Turn::Taken);
        count.give_back();
        assert_eq!((count.used(), count.fresh), (0, 0), "before it was handed over");
        assert_eq!(count.take(1, start), Turn::Taken);
        count.under_way = mem::take(&mut count.fresh);
        count.give_back();
        count.handed_over(&Ok(vec![1]), 0);
        assert_eq!((count.used(), count.stored), (0, 1), "after it was");
        assert_eq!((count.take(1, start), count.fresh), (Turn::Taken, 0), "the store knows of it already");
        assert_eq!(count.take(1, start), Turn::UsedUp);
    }

    fn memory() -> Store {
        let settings =
            Settings { backend: Backend::SqliteMemory, timeout: Duration::from_secs(5), require_at_start: true };
        store::open(&settings).expect("the store opens")
    }

    fn quotas(store: &Store, requests: u64) -> Quotas {
        let quota = Some(Quota { requests, window: Duration::from_secs(3600) });
        let plans = [PlanLimits { name: "nano".into(), rate: None, quota }];
        Quotas::new(None, &plans, store.usage(), &Metrics::new()).expect("a plan with a quota")
    }

    fn held(starts: i64) -> Subscription {
        let starts_at = UnixTime::from_millis(starts);
        Subscription { plan: "nano".into(), starts_at, expires_at: None, chain: None, shares: Vec::new() }
    }

    /// Takes one, asking the store if need be; whether there was one.
    async fn take(quotas: &Quotas, account: &AccountKey, held: &Subscription, now: i64) -> bool {
        let now = UnixTime::from_millis(now);
        let turn = || quotas.take(account, held, Instant::now(), now);
        match turn() {
            Err(Short::Ask(tally)) => {
                quotas.ask(&tally).await;
                turn().is_ok()
            }
            turn => turn.is_ok(),
        }
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn counts_reach_the_store_and_come_back_from_it() {
        block_on(async {
            let store = memory();
            let (ours, others) = (quotas(&store, 5), quotas(&store, 5));
            let (alice, plan, now) = (AccountKey::new("eip155", "0xa"), held(0), UnixTime::from_millis(1));
            let stored = async || store.usage().usage(&alice, "nano", plan.starts_at).await.expect("an answer");
            for _ in 0..2 {
                assert!(take(&ours, &alice, &plan, 1).await);
            }
            assert_eq!(stored().await, 0, "not yet");
            ours.hand_over(now).await;
            ours.hand_over(now).await;
            assert_eq!(stored().await, 2, "once");
            assert!(take(&others, &alice, &plan, 1).await);
            others.hand_over(now).await;
            assert!(take(&ours, &alice, &plan, 1).await);
            ours.hand_over(now).await;
            assert_eq!(stored().await, 4);
            assert!(take(&ours, &alice, &plan, 1).await, "the fifth");
            assert!(!take(&ours, &alice, &plan, 1).await, "it has heard of the other's one");
        });
    }

    #[test]
    fn a_new_window_keeps_what_the_old_one_counted() {
        block_on(async {
            let store = memory();
            let quotas = quotas(&store, 1);
            let (alice, plan) = (AccountKey::new("eip155", "0xa"), held(0));
            let rows = [
                ("the first window", 1, true),
                ("used up", HOUR - 1, false),
                ("the second", HOUR, true),
                ("used up as well", HOUR, false),
                ("a request of the first that comes late is one of the second", HOUR - 1, false),
            ];
            for (name, now, expected) in rows {
                assert_eq!(take(&quotas, &alice, &plan, now).await, expected, "{name}");
            }
            quotas.hand_over(UnixTime::from_millis(HOUR)).await;
            for start in [0, HOUR] {
                let used = store.usage().usage(&alice, "nano", UnixTime::from_millis(start)).await;
                assert_eq!(used.expect("an answer"), 1, "from {start}");
            }
            assert!(take(&quotas, &alice, &held(5), HOUR).await, "the plan began anew");
        });
    }

    #[test]
    fn accounts_and_plans_are_counted_apart() {
        block_on(async {
            let quotas = quotas(&memory(), 1);
            let [alice, bob] = ["0xa", "0xb"].map(|address| AccountKey::new("eip155", address));
            assert!(take(&quotas, &alice, &held(0), 1).await);
            assert!(!take(&quotas, &alice, &held(0), 1).await);
            assert!(take(&quotas, &bob, &held(0), 1).await);
            let other = Subscription { plan: "pro".into(), ..held(0) };
            for _ in 0..3 {
                assert!(take(&quotas, &alice, &other, 1).await, "a plan without a quota");
            }
        });
    }
}
