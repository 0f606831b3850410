//! How many refused credentials an address may send (hardening.md section 2).
//!
//! 1. Asked before cold work only: a warm credential is served whatever its neighbours do.
//! 2. An address that spends its allowance is told when the next one is looked at; it is never told more.
//! 3. Addresses are counted one by one, IPv6 by its /64, which one subscriber has whole. Their number has a
//!    bound: the least used are forgotten, which forgives them, so that memory does not grow with strangers.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::settings::Rate;

/// Addresses that are counted at once. At about 200 bytes each this is 20 MiB at worst.
const ADDRESSES_MAX: u64 = 100_000;

/// Allowances by address.
pub(super) struct Failures {
    origin: Instant,
    /// Nanoseconds that one refusal costs.
    cost: u64,
    /// Nanoseconds that may be spent ahead.
    ahead: u64,
    spent: Cache<IpAddr, Arc<AtomicU64>>,
}

impl Failures {
    pub(super) fn new(rate: Rate, origin: Instant) -> Self {
        // A rate below one in 10^9 seconds is none; the configuration refuses 0 and less.
        let cost = (1e9 / rate.per_second.max(1e-9)) as u64;
        let ahead = cost.saturating_mul(u64::from(rate.burst.max(1)));
        // Once an allowance is whole again, nothing needs to be remembered of its address.
        let whole_again = Duration::from_nanos(ahead).max(Duration::from_secs(1));
        let spent = Cache::builder().max_capacity(ADDRESSES_MAX).time_to_idle(whole_again).build();
        Self { origin, cost, ahead, spent }
    }

    /// Whether the address has nothing left, and how long that lasts.
    pub(super) fn exhausted(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let spent = self.spent.get(&subscriber(address))?;
        let over = self.after(spent.load(Ordering::Relaxed), now).saturating_sub(self.ahead);
        (over > 0).then(|| Duration::from_nanos(over))
    }

    /// Takes one refusal from the address's allowance.
    pub(super) fn refused(&self, address: IpAddr, now: Instant) {
        let spent = self.spent.get_with(subscriber(address), Arc::default);
        let elapsed = self.elapsed(now);
        // The instant at which everything spent so far would be earned back moves on by one cost.
        let _ = spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| {
            Some(until.max(elapsed).saturating_add(self.cost))
        });
    }

    /// What would be spent ahead of `now` if one more refusal came.
    fn after(&self, until: u64, now: Instant) -> u64 {
        until.saturating_sub(self.elapsed(now)).saturating_add(self.cost)
    }

    fn elapsed(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }
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
        let failures = Failures::new(Rate { per_second: 10.0, burst: 3 }, start);
        let address: IpAddr = [192, 0, 2, 1].into();
        for _ in 0..3 {
            assert_eq!(failures.exhausted(address, start), None);
            failures.refused(address, start);
        }
        assert_eq!(failures.exhausted(address, start), Some(Duration::from_millis(100)));
        assert_eq!(failures.exhausted([192, 0, 2, 2].into(), start), None, "another address has its own");
        let later = start + Duration::from_millis(99);
        assert_eq!(failures.exhausted(address, later), Some(Duration::from_millis(1)));
        assert_eq!(failures.exhausted(address, start + Duration::from_millis(100)), None);
    }

    #[test]
    fn one_subscriber_is_one_address() {
        let start = Instant::now();
        let failures = Failures::new(Rate { per_second: 1.0, burst: 1 }, start);
        failures.refused("2001:db8:1:2::1".parse().expect("an address"), start);
        let rows = [("the same /64", "2001:db8:1:2:ffff::9", true), ("the next /64", "2001:db8:1:3::1", false)];
        for (name, address, expected) in rows {
            let address = address.parse().expect("an address");
            assert_eq!(failures.exhausted(address, start).is_some(), expected, "{name}");
        }
        failures.refused("::ffff:192.0.2.7".parse().expect("an address"), start);
        assert!(failures.exhausted([192, 0, 2, 7].into(), start).is_some(), "a mapped address is the IPv4 one");
    }
}
