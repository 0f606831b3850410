//! How often: of refused credentials, of a route, of a plan (hardening.md section 2, decision 19).
//!
//! 1. Refused credentials are asked about before cold work only: a warm credential is served whatever its neighbours
//!    do. An address that spends its allowance is told when the next one is looked at; it is never told more.
//! 2. Addresses are counted one by one, IPv6 by its /64, which one subscriber has whole. Their number has a
//!    bound, as that of accounts has: the least used are forgotten, which forgives them, so that memory does not grow
//!    with strangers.
//! 3. What routes and plans allow is taken when a request is admitted, all of it or nothing, and given back if the
//!    request is refused after all.

use std::{
    borrow::ToOwned,
    hash::Hash,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::{
    quotas::{Quotas, Tally, Ticket},
    settings::{PlanLimits, Rate},
};
use crate::{
    caip::AccountKey,
    metrics::Metrics,
    policy::{
        decision::{RateScope, Refusal},
        rule::{CountedBy, Requirement, Rule},
        subscription::Subscription,
    },
    store::UsageStore,
    time::UnixTime,
};

/// Allowances that are kept of one rate. At about 200 bytes each this is 20 MiB at worst.
const KEPT_MAX: u64 = 100_000;

/// Allowances of one rate, by whose they are.
pub(super) struct Allowances<K> {
    origin: Instant,
    /// Nanoseconds that one event costs.
    cost: u64,
    /// Nanoseconds that may be spent ahead.
    ahead: u64,
    spent: Cache<K, Arc<AtomicU64>>,
}

/// What the requests that were let in may use.
pub(super) struct Limits {
    /// By the place of the route.
    routes: Vec<Option<RouteLimit>>,
    plans: Vec<PlanRate>,
    pub(super) quotas: Option<Quotas>,
}

enum RouteLimit {
    Account(Allowances<AccountKey>),
    Address(Allowances<IpAddr>),
}

struct PlanRate {
    name: String,
    allowances: Allowances<AccountKey>,
}

/// A request that is let in, as far as limits go.
pub(super) struct Admitted<'r> {
    pub(super) place: Option<usize>,
    /// Who it is; nobody on a public route, and where a payment comes with the request.
    pub(super) account: Option<&'r AccountKey>,
    /// The plan that opens the route.
    pub(super) plan: Option<&'r Subscription>,
    pub(super) client: IpAddr,
    pub(super) started: Instant,
    pub(super) now: UnixTime,
}

/// What one request took.
#[must_use]
#[derive(Default)]
pub(super) struct Taken {
    rates: [Option<Spent>; 2],
    quota: Option<Ticket>,
}

/// One event of an allowance.
pub(super) struct Spent {
    spent: Arc<AtomicU64>,
    cost: u64,
}

/// Why nothing was taken.
pub(super) enum Short {
    /// There is nothing left.
    Over(Refusal),
    /// The store must be asked first.
    Ask(Arc<Tally>),
}

// === impl Allowances ===

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Allowances<K> {
    pub(super) fn new(rate: Rate, origin: Instant) -> Self {
        // A rate below one in 10^9 seconds is none; the configuration refuses 0 and less.
        let cost = (1e9 / rate.per_second.max(1e-9)) as u64;
        let ahead = cost.saturating_mul(u64::from(rate.burst.max(1)));
        // Once an allowance is whole again, nothing needs to be remembered of it.
        let whole_again = Duration::from_nanos(ahead).max(Duration::from_secs(1));
        let spent = Cache::builder().max_capacity(KEPT_MAX).time_to_idle(whole_again).build();
        Self { origin, cost, ahead, spent }
    }

    /// Whether there is nothing left, and how long that lasts.
    pub(super) fn exhausted(&self, whose: &K, now: Instant) -> Option<Duration> {
        let spent = self.spent.get(whose)?;
        self.over(spent.load(Ordering::Relaxed), self.elapsed(now))
    }

    /// Takes one event, whether or not there is something left.
    pub(super) fn spend(&self, whose: &K, now: Instant) {
        let (spent, elapsed) = (self.of(whose), self.elapsed(now));
        let _ = spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| Some(self.after(until, elapsed)));
    }

    /// Takes one event if there is something left; else how long there is nothing.
    pub(super) fn take(&self, whose: &K, now: Instant) -> Result<Spent, Duration> {
        let (spent, elapsed) = (self.of(whose), self.elapsed(now));
        let taken = spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| {
            self.over(until, elapsed).is_none().then(|| self.after(until, elapsed))
        });
        match taken {
            Ok(_) => Ok(Spent { spent, cost: self.cost }),
            Err(until) => Err(self.over(until, elapsed).unwrap_or_default()),
        }
    }

    fn of(&self, whose: &K) -> Arc<AtomicU64>
    where
        K: ToOwned<Owned = K>,
    {
        self.spent.get_with_by_ref(whose, Arc::default)
    }

    /// The instant at which everything would be earned back if one more event came.
    fn after(&self, until: u64, elapsed: u64) -> u64 {
        until.max(elapsed).saturating_add(self.cost)
    }

    /// By how much one more event would be too many.
    fn over(&self, until: u64, elapsed: u64) -> Option<Duration> {
        let over = self.after(until, elapsed).saturating_sub(elapsed).saturating_sub(self.ahead);
        (over > 0).then(|| Duration::from_nanos(over))
    }

    fn elapsed(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }
}

// === impl Limits ===

impl Limits {
    /// What routes and plans say; nothing if they say nothing.
    pub(super) fn new(
        rules: &[Rule],
        plans: &[PlanLimits],
        usage: Arc<dyn UsageStore>,
        metrics: &Metrics,
        origin: Instant,
    ) -> Option<Self> {
        let of_route = |rule: &Rule| {
            let limit = rule.rate?;
            Some(match limit.by {
                CountedBy::Account => RouteLimit::Account(Allowances::new(limit.rate, origin)),
                CountedBy::Address => RouteLimit::Address(Allowances::new(limit.rate, origin)),
            })
        };
        let of_plan = |plan: &PlanLimits| {
            Some(PlanRate { name: plan.name.clone(), allowances: Allowances::new(plan.rate?, origin) })
        };
        let limits = Self {
            routes: rules.iter().map(of_route).collect(),
            plans: plans.iter().filter_map(of_plan).collect(),
            quotas: Quotas::new(plans, usage, metrics),
        };
        let says_something =
            limits.routes.iter().any(Option::is_some) || !limits.plans.is_empty() || limits.quotas.is_some();
        says_something.then_some(limits)
    }

    /// Takes what a request uses, all of it or nothing.
    pub(super) fn take(&self, request: &Admitted<'_>) -> Result<Taken, Short> {
        let mut taken = Taken::default();
        match self.take_into(&mut taken, request) {
            Ok(()) => Ok(taken),
            Err(short) => {
                taken.give_back();
                Err(short)
            }
        }
    }

    /// The same after the store was asked about a tally.
    pub(super) async fn take_after_asking(&self, request: &Admitted<'_>, tally: &Tally) -> Result<Taken, Refusal> {
        if let Some(quotas) = &self.quotas {
            quotas.ask(tally).await;
        }
        self.take(request).map_err(|short| match short {
            Short::Over(refusal) => refusal,
            // Something was bought while the store was asked. Whoever comes next hears of it.
            Short::Ask(tally) => tally.used_up(request.now),
        })
    }

    fn take_into(&self, taken: &mut Taken, request: &Admitted<'_>) -> Result<(), Short> {
        let over = |scope| move |wait| Short::Over(Refusal::RateLimited { scope, retry_after_secs: whole_secs(wait) });
        let at = request.started;
        let route = request.place.and_then(|place| self.routes.get(place)?.as_ref());
        taken.rates[0] = match (route, request.account) {
            (Some(RouteLimit::Address(of)), _) => {
                Some(of.take(&subscriber(request.client), at).map_err(over(RateScope::Address))?)
            }
            (Some(RouteLimit::Account(of)), Some(account)) => {
                Some(of.take(account, at).map_err(over(RateScope::Account))?)
            }
            (Some(RouteLimit::Account(_)), None) | (None, _) => None,
        };
        let (Some(account), Some(held)) = (request.account, request.plan) else {
            return Ok(());
        };
        if let Some(plan) = self.plans.iter().find(|plan| plan.name == held.plan) {
            taken.rates[1] = Some(plan.allowances.take(account, at).map_err(over(RateScope::Plan))?);
        }
        if let Some(quotas) = &self.quotas {
            taken.quota = quotas.take(account, held, at, request.now)?;
        }
        Ok(())
    }
}

// === impl Taken ===

impl Taken {
    /// As if the request had never come.
    pub(super) fn give_back(self) {
        for Spent { spent, cost } in self.rates.into_iter().flatten() {
            let _ = spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| Some(until.saturating_sub(cost)));
        }
        if let Some(ticket) = self.quota {
            ticket.give_back();
        }
    }
}

/// The words of the limits that requests to a rule can meet, beside that of refused credentials.
pub(super) fn scopes(rule: &Rule, plans: &[PlanLimits]) -> Vec<&'static str> {
    let by_tunnels = rule.websocket.then_some(RateScope::Account.as_str());
    let by_route = rule.rate.map(|limit| match limit.by {
        CountedBy::Account => RateScope::Account.as_str(),
        CountedBy::Address => RateScope::Address.as_str(),
    });
    let opens = |plan: &&PlanLimits| match &rule.requirement {
        Requirement::Public | Requirement::Wallet => false,
        Requirement::Subscription { plans } => plans.is_empty() || plans.contains(&plan.name),
        Requirement::Payment { plans } => plans.contains(&plan.name),
    };
    let opening = || plans.iter().filter(opens);
    let by_plan = opening().any(|plan| plan.rate.is_some()).then_some(RateScope::Plan.as_str());
    let by_quota = opening().any(|plan| plan.quota.is_some()).then_some(QUOTA);
    let by_tunnels = by_tunnels.filter(|scope| by_route != Some(scope));
    [by_route, by_tunnels, by_plan, by_quota].into_iter().flatten().collect()
}

/// The word of quotas in metrics.
pub(super) const QUOTA: &str = "quota";

/// A wait in the whole seconds of `Retry-After`: no earlier than it ends.
pub(super) fn whole_secs(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// What counts as one address, here and wherever addresses are counted: an IPv6 subscriber has a whole /64, and a
/// mapped address is the IPv4 one.
pub(crate) fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_spent_and_earned_back() {
        let start = Instant::now();
        let failures = Allowances::new(Rate { per_second: 10.0, burst: 3 }, start);
        for _ in 0..3 {
            assert_eq!(failures.exhausted(&"a", start), None);
            failures.spend(&"a", start);
        }
        assert_eq!(failures.exhausted(&"a", start), Some(Duration::from_millis(100)));
        assert_eq!(failures.exhausted(&"b", start), None, "another has its own");
        let later = start + Duration::from_millis(99);
        assert_eq!(failures.exhausted(&"a", later), Some(Duration::from_millis(1)));
        assert_eq!(failures.exhausted(&"a", start + Duration::from_millis(100)), None);
    }

    #[test]
    fn what_is_taken_is_never_more_than_there_is() {
        let start = Instant::now();
        let rates = Allowances::new(Rate { per_second: 2.0, burst: 2 }, start);
        let rows = [
            ("the first of the burst", 0, Ok(())),
            ("the last of it", 0, Ok(())),
            ("one too many", 0, Err(500)),
            ("too early", 499, Err(1)),
            ("earned back", 500, Ok(())),
            ("and no more", 500, Err(500)),
            ("whole again", 2000, Ok(())),
            ("the burst", 2000, Ok(())),
            ("no more than the burst", 2000, Err(500)),
        ];
        for (name, at, expected) in rows {
            let taken = rates.take(&"a", start + Duration::from_millis(at)).map(|_| ());
            assert_eq!(taken, expected.map_err(Duration::from_millis), "{name}");
        }
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let start = Instant::now();
        let rates = Allowances::new(Rate { per_second: 1.0, burst: 1 }, start);
        let spent = rates.take(&"a", start).expect("the burst");
        assert!(rates.take(&"a", start).is_err(), "nothing is left");
        Taken { rates: [Some(spent), None], quota: None }.give_back();
        assert!(rates.take(&"a", start).is_ok(), "it is there again");
        assert!(rates.take(&"a", start).is_err(), "and once only");
    }

    fn request<'r>(client: &str, account: Option<&'r AccountKey>, plan: Option<&'r Subscription>) -> Admitted<'r> {
        let client = client.parse().expect("an address");
        Admitted { place: Some(0), account, plan, client, started: Instant::now(), now: UnixTime::from_millis(0) }
    }

    fn scope_of(taken: Result<Taken, Short>) -> Option<RateScope> {
        match taken {
            Err(Short::Over(Refusal::RateLimited { scope, .. })) => Some(scope),
            Err(_) => panic!("another refusal"),
            Ok(_) => None,
        }
    }

    /// A rate that lets one request through, and the next an hour later.
    const ONE: Rate = Rate { per_second: 1.0 / 3600.0, burst: 1 };

    #[test]
    fn addresses_are_counted_as_subscribers() {
        let by_address = Allowances::new(ONE, Instant::now());
        let limits = Limits { routes: vec![Some(RouteLimit::Address(by_address))], plans: Vec::new(), quotas: None };
        let over = Some(RateScope::Address);
        let rows = [
            ("the first", "2001:db8:1:2::1", None),
            ("another of its /64", "2001:db8:1:2:ffff::9", over),
            ("of the next /64", "2001:db8:1:3::1", None),
            ("IPv4", "192.0.2.7", None),
            ("the same, mapped", "::ffff:192.0.2.7", over),
            ("its neighbour", "192.0.2.8", None),
        ];
        for (name, client, expected) in rows {
            assert_eq!(scope_of(limits.take(&request(client, None, None))), expected, "{name}");
        }
    }

    #[test]
    fn all_is_taken_or_nothing() {
        let [by_route, by_plan] = [Rate { burst: 2, ..ONE }, ONE].map(|rate| Allowances::new(rate, Instant::now()));
        let plans = vec![PlanRate { name: "nano".into(), allowances: by_plan }];
        let limits = Limits { routes: vec![Some(RouteLimit::Account(by_route))], plans, quotas: None };
        let alice = AccountKey::new("eip155", "0xa");
        let starts_at = UnixTime::from_millis(0);
        let nano = Subscription { plan: "nano".into(), starts_at, expires_at: None, chain: None, shares: Vec::new() };
        let other = Subscription { plan: "other".into(), ..nano.clone() };
        let rows = [
            ("by its plan", Some(&nano), None),
            ("its plan has no more", Some(&nano), Some(RateScope::Plan)),
            ("and what the route has was not touched", Some(&other), None),
            ("until it has no more", Some(&other), Some(RateScope::Account)),
        ];
        for (name, plan, expected) in rows {
            assert_eq!(scope_of(limits.take(&request("192.0.2.7", Some(&alice), plan))), expected, "{name}");
        }
        for round in 0..5 {
            let nobody = limits.take(&request("192.0.2.7", None, None));
            assert_eq!(scope_of(nobody), None, "nobody is no account, round {round}");
        }
    }

    #[test]
    fn waits_are_told_in_whole_seconds() {
        for (millis, secs) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(whole_secs(Duration::from_millis(millis)), secs, "{millis}");
        }
    }

    #[test]
    fn one_subscriber_is_one_address() {
        let rows = [
            ("the same /64", "2001:db8:1:2:ffff::9", "2001:db8:1:2::"),
            ("the next /64", "2001:db8:1:3::1", "2001:db8:1:3::"),
            ("a mapped address is the IPv4 one", "::ffff:192.0.2.7", "192.0.2.7"),
            ("IPv4", "192.0.2.7", "192.0.2.7"),
        ];
        for (name, address, expected) in rows {
            let [address, expected] = [address, expected].map(|text| text.parse::<IpAddr>().expect("an address"));
            assert_eq!(subscriber(address), expected, "{name}");
        }
    }
}
