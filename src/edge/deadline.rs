//! Deadlines that are set for every request and hardly ever met.
//!
//! A timer of tokio's that is made, waited for and dropped takes the timer wheel's lock twice. One that is kept and
//! only ever moved to a later time is moved by a single atomic write; the wheel finds out when its old time comes.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::Sleep;

/// A timer that is kept from one wait to the next.
#[derive(Default)]
pub(crate) struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
}

/// One deadline of a connection, as hyper asks for it: hyper drops its timer with every head it has read.
#[derive(Clone, Default)]
pub(crate) struct ConnectionTimer {
    kept: Arc<Mutex<Deadline>>,
}

/// A deadline handed to hyper.
struct Until {
    kept: Arc<Mutex<Deadline>>,
    latest: Instant,
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

// === impl ConnectionTimer ===

impl hyper::rt::Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, latest: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Until { kept: Arc::clone(&self.kept), latest })
    }
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Nobody else holds it: hyper waits for one deadline of a connection at a time.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).poll(self.latest, cx)
    }
}

impl hyper::rt::Sleep for Until {}
