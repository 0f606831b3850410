//! The endpoints of an upstream: which of them is asked next, and which is left alone for a while (hardening.md
//! section 4, "Endpoints").
//!
//! 1. Where there is one, it is taken, and nothing is counted.
//! 2. One that fails so often in a row, in connecting or in speaking HTTP, is left out for a while; never the last one
//!    that is left.
//! 3. One that does not pass its checks is left out until it does. If none passes, all are asked: checks that are wrong
//!    must not end a service.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use http::HeaderValue;
use rustls::pki_types::ServerName;

use crate::{
    edge::settings::{Balance, HealthSettings, UpstreamUrl},
    metrics::Gauge,
};

/// One address of an upstream, shared by all workers.
pub(crate) struct Endpoint {
    pub(super) url: UpstreamUrl,
    /// Host and port, as errors name it.
    pub(super) authority: String,
    /// The same as a Host field has it: without the port that goes without saying.
    pub(super) host: Option<HeaderValue>,
    /// The name its certificate must have.
    pub(super) name: Option<ServerName<'static>>,
    in_flight: AtomicUsize,
    failures: AtomicU32,
    /// In milliseconds since the upstream was made; 0: it is not left out.
    out_until: AtomicU64,
    fails_checks: AtomicBool,
    up: Gauge,
}

/// All of them.
pub(super) struct Endpoints {
    all: Vec<Endpoint>,
    balance: Balance,
    failures_max: u32,
    out_for: Duration,
    turn: AtomicUsize,
    since: Instant,
}

impl Endpoint {
    /// One by its URL; `up` says whether it is asked.
    pub(crate) fn new(url: UpstreamUrl, name: Option<ServerName<'static>>, up: Gauge) -> Self {
        let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
        let authority = format!("{host}:{}", url.port);
        let field = if url.port == url.scheme.default_port() { &host } else { &authority };
        up.set(1);
        Self {
            host: HeaderValue::from_str(field).ok(),
            authority,
            url,
            name,
            in_flight: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            out_until: AtomicU64::new(0),
            fails_checks: AtomicBool::new(false),
            up,
        }
    }

    fn is_asked(&self, now: u64) -> bool {
        self.out_until.load(Relaxed) <= now && !self.fails_checks.load(Relaxed)
    }

    fn show(&self, now: u64) {
        self.up.set(i64::from(self.is_asked(now)));
    }
}

impl Endpoints {
    /// At least one of them.
    pub(super) fn new(all: Vec<Endpoint>, balance: Balance, health: &HealthSettings) -> Self {
        Self {
            all,
            balance,
            failures_max: health.passive_failures,
            out_for: health.eject,
            turn: AtomicUsize::new(0),
            since: Instant::now(),
        }
    }

    /// Whether there is anything to choose.
    pub(super) const fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    pub(super) fn get(&self, place: usize) -> Option<&Endpoint> {
        self.all.get(place)
    }

    pub(super) const fn count(&self) -> usize {
        self.all.len()
    }

    /// The place of the next one to be asked, but for one; nothing if there is no other.
    pub(super) fn pick(&self, but: Option<usize>) -> Option<usize> {
        let now = self.now();
        let (all, turn) = (self.all.len(), self.turn.fetch_add(1, Relaxed));
        let places = || (0..all).map(|step| turn.wrapping_add(step) % all).filter(|place| Some(*place) != but);
        let is_asked = |place: &usize| self.all.get(*place).is_some_and(|endpoint| endpoint.is_asked(now));
        // The first of those with the fewest, and the turn makes it another one each time.
        let in_flight = |place: &usize| self.all.get(*place).map_or(0, |endpoint| endpoint.in_flight.load(Relaxed));
        let picked = match self.balance {
            Balance::LeastRequests => places().filter(is_asked).min_by_key(in_flight),
            Balance::RoundRobin => places().find(is_asked),
        };
        picked.or_else(|| places().next())
    }

    /// A request is sent to one of several.
    pub(super) fn enter(&self, place: usize) {
        if let Some(endpoint) = self.all.get(place) {
            endpoint.in_flight.fetch_add(1, Relaxed);
        }
    }

    /// It is done with.
    pub(super) fn leave(&self, place: usize) {
        if let Some(endpoint) = self.all.get(place) {
            endpoint.in_flight.fetch_sub(1, Relaxed);
        }
    }

    /// One of several answered.
    pub(super) fn succeeded(&self, place: usize) {
        if let Some(endpoint) = self.all.get(place)
            && endpoint.failures.load(Relaxed) != 0
        {
            endpoint.failures.store(0, Relaxed);
        }
    }

    /// One of several failed to connect or to speak HTTP; whether it is left out from now on.
    pub(super) fn failed(&self, place: usize) -> bool {
        let Some(endpoint) = self.all.get(place) else {
            return false;
        };
        let now = self.now();
        if endpoint.failures.fetch_add(1, Relaxed) + 1 < self.failures_max || !endpoint.is_asked(now) {
            return false;
        }
        let others = self.all.iter().enumerate().filter(|(other, _)| *other != place);
        if !others.into_iter().any(|(_, other)| other.is_asked(now)) {
            return false;
        }
        endpoint.failures.store(0, Relaxed);
        endpoint.out_until.store(now + millis(self.out_for), Relaxed);
        endpoint.show(now);
        true
    }

    /// What a check of one found.
    pub(super) fn checked(&self, place: usize, good: bool) -> bool {
        let Some(endpoint) = self.all.get(place) else {
            return false;
        };
        let changed = endpoint.fails_checks.swap(!good, Relaxed) == good;
        endpoint.show(self.now());
        changed
    }

    /// Shows those again whose time is over.
    pub(super) fn show(&self) {
        let now = self.now();
        self.all.iter().for_each(|endpoint| endpoint.show(now));
    }

    /// From 1 on, so that 0 is before it.
    fn now(&self) -> u64 {
        millis(self.since.elapsed()) + 1
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{edge::settings::UpstreamScheme, metrics::Metrics};

    fn endpoints(count: u16, balance: Balance, eject: Duration) -> Endpoints {
        let metrics = Metrics::new();
        let one = |port: u16| {
            let url = UpstreamUrl { scheme: UpstreamScheme::Http, host: "a".to_owned(), port };
            Endpoint::new(url, None, metrics.endpoint("api", &format!("a:{port}")))
        };
        let health = HealthSettings { passive_failures: 3, eject, check: None };
        Endpoints::new((1..=count).map(one).collect(), balance, &health)
    }

    #[test]
    fn round_robin_takes_one_after_another() {
        let endpoints = endpoints(3, Balance::RoundRobin, Duration::from_secs(10));
        let picked: Vec<_> = (0..6).filter_map(|_| endpoints.pick(None)).collect();
        assert_eq!(picked, [0, 1, 2, 0, 1, 2]);
        assert_ne!(endpoints.pick(Some(0)), Some(0));
    }

    #[test]
    fn least_requests_takes_the_one_with_the_fewest() {
        let endpoints = endpoints(3, Balance::LeastRequests, Duration::from_secs(10));
        let picked: Vec<_> = (0..3).filter_map(|_| endpoints.pick(None)).collect();
        assert_eq!(picked, [0, 1, 2], "as many everywhere: in turn");
        endpoints.enter(0);
        endpoints.enter(2);
        assert_eq!((endpoints.pick(None), endpoints.pick(None)), (Some(1), Some(1)));
        endpoints.leave(2);
        endpoints.enter(1);
        assert_eq!(endpoints.pick(None), Some(2));
    }

    #[test]
    fn one_that_fails_in_a_row_is_left_out_for_a_while() {
        let endpoints = endpoints(2, Balance::RoundRobin, Duration::from_secs(10));
        assert!(!endpoints.failed(0) && !endpoints.failed(0));
        endpoints.succeeded(0);
        assert!(!endpoints.failed(0) && !endpoints.failed(0), "not in a row");
        assert!(endpoints.failed(0));
        assert!((0..4).all(|_| endpoints.pick(None) == Some(1)));
        assert!((0..9).all(|_| !endpoints.failed(1)), "never the last one");
        assert!((0..4).all(|_| endpoints.pick(None) == Some(1)));
        assert_eq!(endpoints.pick(Some(1)), Some(0), "better than none");
    }

    #[test]
    fn one_that_was_left_out_comes_back() {
        let endpoints = endpoints(2, Balance::RoundRobin, Duration::ZERO);
        assert!((0..3).map(|_| endpoints.failed(0)).eq([false, false, true]));
        assert!((0..2).any(|_| endpoints.pick(None) == Some(0)));
    }

    #[test]
    fn checks_leave_out_those_that_fail_but_not_all() {
        let endpoints = endpoints(2, Balance::RoundRobin, Duration::from_secs(10));
        assert!(!endpoints.checked(0, true), "no news");
        assert!(endpoints.checked(0, false));
        assert!((0..4).all(|_| endpoints.pick(None) == Some(1)));
        assert!(endpoints.checked(1, false));
        let picked: Vec<_> = (0..2).filter_map(|_| endpoints.pick(None)).collect();
        assert!(picked.contains(&0) && picked.contains(&1));
        assert!(endpoints.checked(0, true));
        assert!((0..4).all(|_| endpoints.pick(None) == Some(0)));
    }

    #[test]
    fn there_is_no_other_where_there_is_one() {
        let endpoints = endpoints(1, Balance::LeastRequests, Duration::from_secs(10));
        assert!(!endpoints.are_several());
        assert_eq!((endpoints.pick(None), endpoints.pick(Some(0))), (Some(0), None));
    }
}
