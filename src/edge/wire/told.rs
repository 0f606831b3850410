//! What the adapter of an HTTP/1 connection tells the others of that connection: whoever serves its requests, and the
//! timer that hyper asks while it waits for a head.
//!
//! 1. A head has its time from its first byte; the first one of a connection from accept, the search for the protocol
//!    among it. A head that begun and did not come in time is answered 408; a client that sent none of it is left
//!    without a word.
//! 2. All of it is the connection's own and hardly ever waited for. It is shared by atomics and a lock, for a stream
//!    that becomes a tunnel must be able to move between threads.

use std::{
    cell::Cell,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::head::Fault;
use crate::edge::deadline::Deadline;

/// Shared by all of one connection.
pub(crate) struct Told {
    heads: AtomicU64,
    head_timeout: Duration,
    slow: Mutex<Slow>,
}

/// What is looked at when something is out of the ordinary, or once while a head is waited for.
struct Slow {
    deadline: Deadline,
    /// When the first head must be there; nothing once it is.
    first: Option<Instant>,
    /// When a head began that is not whole.
    begun: Option<Instant>,
    late: Late,
    fault: Option<Fault>,
    /// Whether we end the connection after the request that is served.
    last: bool,
}

/// How the wait for a head ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    No,
    /// With a part of one.
    Begun,
    /// With nothing, between two requests.
    Idle,
}

/// The requests of one connection, counted as they are served.
pub(crate) struct Turns {
    told: Arc<Told>,
    served: Cell<u64>,
    most: u64,
}

/// What is to become of the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is served, and the connection goes on.
    One,
    /// It is served, and the connection ends.
    Last,
    /// It stands for one that was refused.
    Refused(Fault),
}

/// The timer that hyper asks.
pub(crate) struct HeadTimer(pub(crate) Arc<Told>);

/// A deadline handed to hyper.
struct Until {
    told: Arc<Told>,
    latest: Instant,
}

// === impl Told ===

impl Told {
    /// Of a connection whose first head must be there by `first`; each later one takes at most `head_timeout`.
    pub(crate) fn new(first: Instant, head_timeout: Duration) -> Self {
        let slow = Slow {
            deadline: Deadline::default(),
            first: Some(first),
            begun: None,
            late: Late::No,
            fault: None,
            last: false,
        };
        Self { heads: AtomicU64::new(0), head_timeout, slow: Mutex::new(slow) }
    }

    /// So many heads were judged and passed on.
    pub(super) fn passed(&self, heads: u64) {
        // Only the adapter writes it.
        let first = self.heads() == 0;
        self.heads.store(heads, Relaxed);
        if first {
            self.slow().first = None;
        }
    }

    /// How many heads were judged and passed on.
    pub(crate) fn heads(&self) -> u64 {
        self.heads.load(Relaxed)
    }

    /// A head began; or it is whole, or was refused.
    pub(super) fn begun(&self, now: Option<Instant>) {
        self.slow().begun = now;
    }

    /// Whether a head began that is not whole.
    pub(crate) fn has_begun(&self) -> bool {
        self.slow().begun.is_some()
    }

    /// Whether the head that began took too long.
    pub(super) fn is_late(&self) -> bool {
        self.slow().late == Late::Begun
    }

    /// Whether the connection ends because nothing was asked on it any more, which is no fault.
    pub(crate) fn was_idle(&self) -> bool {
        self.slow().late == Late::Idle
    }

    pub(super) fn refuse(&self, fault: Fault) {
        let mut slow = self.slow();
        slow.fault = Some(fault);
        slow.begun = None;
    }

    /// Why a request is refused that was not judged: its head was at fault, or hyper read one where none is.
    pub(crate) fn fault(&self) -> Fault {
        self.slow().fault.unwrap_or(Fault::Malformed("expected a request that is framed in one way"))
    }

    /// Whether what follows the request that is served is not read any more.
    pub(super) fn is_last(&self) -> bool {
        self.slow().last
    }

    fn slow(&self) -> std::sync::MutexGuard<'_, Slow> {
        // Nothing panics while it is held.
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Turns ===

impl Turns {
    /// Of a connection that may have so many.
    pub(crate) fn new(told: Arc<Told>, most: u64) -> Self {
        Self { told, served: Cell::new(0), most }
    }

    /// Takes the next.
    pub(crate) fn next(&self) -> Turn {
        let number = self.served.get();
        if number >= self.told.heads() {
            return Turn::Refused(self.told.fault());
        }
        self.served.set(number + 1);
        if number + 1 < self.most {
            return Turn::One;
        }
        self.told.slow().last = true;
        Turn::Last
    }
}

// === impl HeadTimer ===

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    /// hyper asks for the end of the time in which it may hear nothing; the head's own time is ours to know.
    fn sleep_until(&self, latest: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Until { told: Arc::clone(&self.0), latest })
    }
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut slow = self.told.slow();
        let begun = slow.begun.map(|begun| begun + self.told.head_timeout);
        let latest = match (slow.first, begun) {
            (Some(first), Some(begun)) => first.min(begun),
            (Some(latest), None) | (None, Some(latest)) => latest,
            (None, None) => self.latest,
        };
        if slow.late == Late::Begun {
            return Poll::Pending;
        }
        std::task::ready!(slow.deadline.poll(latest, cx));
        if slow.begun.is_some() {
            // It is answered: the adapter is asked again, and has a word for hyper.
            slow.late = Late::Begun;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if slow.first.is_none() {
            slow.late = Late::Idle;
        }
        Poll::Ready(())
    }
}

impl hyper::rt::Sleep for Until {}
