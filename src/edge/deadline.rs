//! Deadlines that are set for every request and hardly ever met.
//!
//! A timer of tokio's that is made, waited for and dropped takes the timer wheel's lock twice. One that is kept and
//! only ever moved to a later time is moved by a single atomic write; the wheel finds out when its old time comes.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::Sleep;

/// A timer that is kept from one wait to the next.
#[derive(Default)]
pub(crate) struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl Deadline ===

impl Deadline {
    /// Ready once it is `latest` or later. The timer is made when there is first something to wait for.
    pub(crate) fn poll(&mut self, latest: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let latest = latest.into();
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(latest)));
        if timer.deadline() != latest {
            timer.as_mut().reset(latest);
        }
        timer.as_mut().poll(cx)
    }
}
