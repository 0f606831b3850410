//! Clients that do not read what they are sent (hardening.md rows X2 and T10).
//!
//! 1. A connection whose socket takes no byte for the body's idle time is cut.
//! 2. So is a stream of HTTP/2 whose client opens no window for that long while there is something to send; the
//!    others of its connection go on.
//!
//! Nothing here makes a timer before something has to be waited for.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

use crate::edge::deadline::Deadline;

/// How long a socket may take nothing.
pub(super) struct Stall {
    limit: Duration,
    since: Option<Instant>,
    deadline: Deadline,
}

/// Whom the answer that was looked at last waits for. A worker does one thing at a time, so one note does for all of
/// its streams: it is read right after a stream was polled, and only what that stream's own answer left there counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Awaited {
    /// Its body gave something, or has not been asked yet: the client is to take it.
    Client,
    /// Nobody looked at an answer.
    #[default]
    Nobody,
    /// Its body has nothing yet.
    Upstream,
}

/// The streams of one HTTP/2 connection.
pub(crate) struct Streams {
    limit: Duration,
    open: Cell<usize>,
    idle_since: Cell<Instant>,
}

/// One stream's place among those that are open.
struct Open(Rc<Streams>);

pin_project! {
    /// One of them, as long as its client takes what it is sent.
    pub(crate) struct Stream<F> {
        #[pin]
        stream: F,
        open: Open,
        note: Rc<Cell<Awaited>>,
        owed_since: Option<Instant>,
        deadline: Deadline,
    }
}

// === impl Stall ===

impl Stall {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, deadline: Deadline::default() }
    }

    /// What a write came to; one that waits too long fails.
    pub(super) fn watch<T>(
        &mut self,
        written: Poll<std::io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<T>> {
        if written.is_ready() {
            self.since = None;
            return written;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        ready!(self.deadline.poll(since + self.limit, cx));
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }
}

// === impl Streams ===

impl Streams {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, open: Cell::new(0), idle_since: Cell::new(Instant::now()) }
    }

    /// Since when there is no stream, if there is none.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        (self.open.get() == 0).then(|| self.idle_since.get())
    }

    /// Watches over one more. `note` is where its worker's answers say whom they wait for.
    pub(crate) fn watch<F: Future>(self: &Rc<Self>, stream: F, note: &Rc<Cell<Awaited>>) -> Stream<F> {
        self.open.set(self.open.get() + 1);
        Stream {
            stream,
            open: Open(Rc::clone(self)),
            note: Rc::clone(note),
            owed_since: None,
            deadline: Deadline::default(),
        }
    }
}

// === impl Stream ===

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.note.set(Awaited::Nobody);
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match this.note.get() {
            Awaited::Client => *this.owed_since = Some(Instant::now()),
            Awaited::Nobody => {}
            Awaited::Upstream => *this.owed_since = None,
        }
        // One that is over before its answer is sent is dropped, and so reset.
        match *this.owed_since {
            Some(since) => this.deadline.poll(since + this.open.0.limit, cx),
            None => Poll::Pending,
        }
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        let Self(streams) = self;
        let open = streams.open.get() - 1;
        streams.open.set(open);
        if open == 0 {
            streams.idle_since.set(Instant::now());
        }
    }
}
