//! Watches over what was let in once and lasts, a tunnel or a stream: until its credential or its subscription ends, or
//! the gate takes its word back (hardening.md section 4, "Upgrade").
//!
//! 1. The wall clock decides when something ends; it is looked at often enough to be obeyed to the second.
//! 2. Every `recheck` the gate is asked again. What it does not know is asked once more within ten seconds, and is a no
//!    then.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use super::handler::Worker;
use crate::{
    gate::recheck::{ASKED_AGAIN_AFTER, Standing, Word},
    policy::decision::Reason,
    time::UnixTime,
};

/// What is watched.
pub(crate) struct Watch {
    worker: Rc<Worker>,
    standing: Standing,
    /// When it ends, if nothing is said until then.
    until: Option<UnixTime>,
    every: Duration,
}

/// How often the wall clock is looked at: it may be set, and timers do not run by it.
const LOOK: Duration = Duration::from_secs(1);

impl Watch {
    /// Watches over what was let in until then, by rules that ask for a look so often.
    pub(crate) fn new(worker: Rc<Worker>, standing: Standing, until: Option<UnixTime>, every: Duration) -> Self {
        Self { worker, standing, until, every }
    }

    /// Waits until it must end, and says why.
    pub(crate) async fn ended(mut self) -> Reason {
        let (look, again) = (LOOK.min(self.every), ASKED_AGAIN_AFTER.min(self.every));
        let mut next = Instant::now() + self.every;
        let mut unknown = false;
        loop {
            tokio::time::sleep(look).await;
            let now = self.worker.live.clock.now();
            let over = self.until.is_some_and(|until| now >= until);
            if !over && Instant::now() < next {
                continue;
            }
            // What has run out may have been prolonged meanwhile: a plan that was bought again, a session in use.
            match self.worker.live.gate.recheck(&self.standing, now).await {
                Word::Good(until) if until.is_none_or(|until| now < until) => {
                    (self.until, unknown, next) = (until, false, Instant::now() + self.every);
                }
                Word::Good(_) => return Reason::Expired,
                Word::Unknown(reason) if over || unknown => return reason,
                Word::Unknown(_) => (unknown, next) = (true, Instant::now() + again),
                Word::No(reason) => return reason,
            }
        }
    }
}
