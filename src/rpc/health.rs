//! Whether an endpoint is asked at all: on the right chain, and not failing.
//!
//! 1. An endpoint says its chain before it is asked anything else, and again after each failure: what answers then may
//!    be another node. Saying it right clears its failures.
//! 2. So what shuts an endpoint off is that it does not even say its chain, three times in a row. A question on which
//!    every node fails, such as one about a contract that burns all gas or returns megabytes, does not: who could
//!    shut off an endpoint with it would shut out everybody else.
//! 3. Failures that were under way together are one: a node that restarts drops all it was working on.
//! 4. After its time one question is let through, and the others when that one came back.
//! 5. Nothing here reads a clock.

use std::time::{Duration, Instant};

/// Failures in a row before an endpoint is shut off.
const FAILURES_MAX: u32 = 3;

/// How long it is shut off then: a node that restarts takes less, and meanwhile nobody waits for it.
const SHUT_FOR: Duration = Duration::from_secs(30);

/// How long an endpoint of another chain is shut off. Somebody has to change its URL or what is behind it; the second
/// needs no restart here, and the error is in the log again as long as neither is done.
const ELSEWHERE_FOR: Duration = Duration::from_secs(300);

/// How long the one question after that has for its answer before another one is let through: all the time it may
/// take.
const TRIAL_FOR: Duration = super::ASK_WITHIN;

/// What is known of an endpoint.
#[derive(Debug)]
pub(super) struct Health {
    standing: Standing,
    failures: u32,
    /// When the last of them was noted.
    failed: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It said its chain, and has not failed since.
    Good,
    /// It is not asked before this moment.
    Shut(Instant),
    /// It must say its chain.
    Unknown,
}

/// What may be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Anything.
    Any,
    /// Its chain, and then anything.
    ChainFirst,
    /// Nothing.
    None,
}

// === impl Health ===

impl Health {
    /// Of an endpoint that was never asked.
    pub(super) const fn new() -> Self {
        Self { standing: Standing::Unknown, failures: 0, failed: None }
    }

    /// What it may be asked at this moment.
    pub(super) fn admit(&mut self, now: Instant) -> Turn {
        match self.standing {
            Standing::Good => Turn::Any,
            Standing::Shut(until) if now < until => Turn::None,
            Standing::Shut(_) => {
                self.standing = Standing::Shut(now + TRIAL_FOR);
                Turn::ChainFirst
            }
            Standing::Unknown => Turn::ChainFirst,
        }
    }

    /// It said that it is on the right chain. Whether it was shut off until now.
    pub(super) fn is_right(&mut self) -> bool {
        self.failures = 0;
        matches!(std::mem::replace(&mut self.standing, Standing::Good), Standing::Shut(_))
    }

    /// It said that it is on another chain.
    pub(super) fn is_elsewhere(&mut self, now: Instant) {
        self.standing = Standing::Shut(now + ELSEWHERE_FOR);
    }

    /// A call that began then has failed now. Whether that shut it off, which it was not before.
    pub(super) fn has_failed(&mut self, begun: Instant, now: Instant) -> bool {
        if self.failed.is_some_and(|failed| begun < failed) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        self.failed = Some(now);
        let was_shut = matches!(self.standing, Standing::Shut(_));
        let is_shut = self.failures >= FAILURES_MAX || was_shut;
        self.standing = if is_shut { Standing::Shut(now + SHUT_FOR) } else { Standing::Unknown };
        is_shut && !was_shut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MILLI: Duration = Duration::from_millis(1);

    /// One that said its chain.
    fn good() -> Health {
        let mut health = Health::new();
        assert!(!health.is_right());
        health
    }

    /// One that was shut off at this moment.
    fn shut(now: Instant) -> Health {
        let mut health = good();
        let told = [3, 2, 1].map(|before| health.has_failed(now - before * MILLI, now - (before - 1) * MILLI));
        assert_eq!(told, [false, false, true]);
        health
    }

    #[test]
    fn the_chain_comes_first() {
        let now = Instant::now();
        let mut health = Health::new();
        assert_eq!(health.admit(now), Turn::ChainFirst);
        health.is_right();
        assert_eq!(health.admit(now), Turn::Any);
    }

    #[test]
    fn three_failures_shut_it_off_for_30_seconds() {
        let now = Instant::now();
        let mut health = good();
        assert!(!health.has_failed(now, now));
        assert_eq!(health.admit(now), Turn::ChainFirst, "what answers now may be another node");
        assert!(!health.has_failed(now, now));
        assert_eq!(health.admit(now), Turn::ChainFirst);
        assert!(health.has_failed(now, now));
        assert_eq!(health.admit(now), Turn::None);
        assert_eq!(health.admit(now + 30 * SECOND - MILLI), Turn::None);
        assert_eq!(health.admit(now + 30 * SECOND), Turn::ChainFirst);
    }

    #[test]
    fn one_question_is_let_through_after_that() {
        let now = Instant::now();
        let mut health = shut(now);
        let later = now + 30 * SECOND;
        assert_eq!(health.admit(later), Turn::ChainFirst);
        assert_eq!(health.admit(later), Turn::None, "the others wait for what comes of it");
        assert!(health.is_right(), "it is back");
        assert_eq!(health.admit(later), Turn::Any);
        assert!(!health.has_failed(later, later), "it has three failures again");
    }

    #[test]
    fn a_trial_that_fails_shuts_it_off_again() {
        let now = Instant::now();
        let mut health = shut(now);
        let later = now + 30 * SECOND;
        assert_eq!(health.admit(later), Turn::ChainFirst);
        assert!(!health.has_failed(later, later + SECOND), "it was told of before");
        assert_eq!(health.admit(later + 31 * SECOND - MILLI), Turn::None);
        assert_eq!(health.admit(later + 31 * SECOND), Turn::ChainFirst);
    }

    #[test]
    fn a_trial_that_never_ends_is_followed_by_another() {
        let now = Instant::now();
        let mut health = shut(now);
        let later = now + 30 * SECOND;
        assert_eq!(health.admit(later), Turn::ChainFirst);
        assert_eq!(health.admit(later + 5 * SECOND - MILLI), Turn::None);
        assert_eq!(health.admit(later + 5 * SECOND), Turn::ChainFirst);
    }

    #[test]
    fn saying_its_chain_clears_its_failures() {
        let now = Instant::now();
        let mut health = good();
        for _ in 0..10 {
            assert!(!health.has_failed(now, now));
            assert!(!health.has_failed(now, now));
            assert!(!health.is_right());
        }
        assert_eq!(health.admit(now), Turn::Any);
    }

    #[test]
    fn failures_under_way_together_are_one() {
        let now = Instant::now();
        let mut health = good();
        for _ in 0..10 {
            assert!(!health.has_failed(now, now + SECOND));
        }
        assert_eq!(health.admit(now), Turn::ChainFirst);
        assert!(!health.has_failed(now + SECOND, now + 2 * SECOND));
        assert!(!health.has_failed(now + SECOND, now + 2 * SECOND));
        assert!(health.has_failed(now + 2 * SECOND, now + 3 * SECOND));
    }

    #[test]
    fn one_of_another_chain_is_looked_at_again_after_5_minutes() {
        let now = Instant::now();
        let mut health = Health::new();
        health.is_elsewhere(now);
        assert_eq!(health.admit(now + 300 * SECOND - MILLI), Turn::None);
        assert_eq!(health.admit(now + 300 * SECOND), Turn::ChainFirst);
        assert_eq!(health.admit(now + 300 * SECOND), Turn::None);
        health.is_elsewhere(now + 301 * SECOND);
        assert_eq!(health.admit(now + 601 * SECOND - MILLI), Turn::None);
        assert_eq!(health.admit(now + 601 * SECOND), Turn::ChainFirst);
        assert!(health.is_right(), "it was put right");
    }
}
