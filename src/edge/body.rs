//! Bodies on their way through: bounded, watched for silence, counted, never collected.
//!
//! 1. A request body has a bound in bytes and a bound on the silence between two pieces. What it breaks is
//!    kept in its [`Breach`], for the error that hyper hands on has no shape of its own.
//! 2. Request trailers end here, but on routes that pass them on: there those pass that may stand in a trailer.
//! 3. An answer's body that ends early ends with an error, so that the client never sees a clean end; one that
//!    ends well gives its connection back to the pool. A call of gRPC ends with a status instead, if its length was
//!    not told.
//! 4. An answer's trailers pass, but for the fields that have no place there.
//! 5. In a call of gRPC both sides may speak all the time, and one may only listen: silence is that of both.
//! 6. Timers are made when a body first keeps us waiting, not before: most are here already.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep};

use super::{
    grpc::{self, Cut},
    handler::Live,
    record::Record,
    upstream::Lease,
    wire::stall::Awaited,
};
use crate::policy::decision::Reason;

/// Why a body ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum BodyError {
    /// More bytes than allowed.
    #[error("the body is longer than allowed")]
    TooLarge,
    /// No byte for too long.
    #[error("the body stalled")]
    Stalled,
    /// The sender broke it off, or framed it wrongly.
    #[error("the body was broken off")]
    Broken,
}

/// Shared by a request body and whoever waits for the answer: what the body did wrong, if anything, how much of it
/// was taken, and whether that was all.
#[derive(Debug, Default)]
pub(crate) struct Breach {
    error: Cell<Option<BodyError>>,
    bytes: Cell<u64>,
    /// Pieces of it and of its answer.
    pieces: Cell<u64>,
    ended: Cell<bool>,
}

/// A client's body on its way to an upstream; nothing, if there is none: most requests have no body, and every one
/// is moved about a few times.
pub(crate) struct RequestBody(Option<Box<Receiving>>);

struct Receiving {
    inner: Incoming,
    left: Option<u64>,
    silence: Silence,
    breach: Rc<Breach>,
    /// Whether its silence is broken by the answer, too.
    talks: bool,
    /// By whose rules trailers pass; nothing: they do not.
    trailers: Option<Arc<Live>>,
}

/// A body on its way to a client.
pub(crate) struct ResponseBody {
    kind: Kind,
    /// Nothing, where what follows the head is no body, and is counted elsewhere.
    record: Option<Record>,
}

enum Kind {
    Own(Full<Bytes>),
    Upstream { inner: Incoming, lease: Option<Lease>, silence: Silence, watch: Option<Watched> },
}

/// Ready when a stream must end, with the reason.
pub(crate) type Watched = Pin<Box<dyn Future<Output = Reason>>>;

/// The bound on the time between two pieces.
struct Silence {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
    /// How many pieces there had been of both sides when it began.
    pieces: u64,
}

// === impl Breach ===

impl Breach {
    /// What the body did wrong.
    pub(crate) fn error(&self) -> Option<BodyError> {
        self.error.get()
    }

    /// Bytes that were taken from it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether the body was taken to its end; one without a byte was from the start.
    pub(crate) fn ended(&self) -> bool {
        self.ended.get()
    }

    fn one_more_piece(&self) {
        self.pieces.set(self.pieces.get().wrapping_add(1));
    }

    fn set(&self, error: BodyError) -> BodyError {
        self.error.set(Some(error));
        error
    }
}

// === impl Silence ===

impl Silence {
    const fn new(limit: Duration) -> Self {
        Self { limit, timer: None, armed: false, pieces: 0 }
    }

    /// A piece came: the next silence starts anew.
    const fn broken(&mut self) {
        self.armed = false;
    }

    /// Nothing came: ready once that has lasted too long. `both` counts the pieces of either side, where the other one's
    /// break it, too.
    fn poll(&mut self, both: Option<&Breach>, cx: &mut Context<'_>) -> Poll<()> {
        let pieces = both.map_or(0, |both| both.pieces.get());
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.limit)));
        loop {
            if !self.armed {
                timer.as_mut().reset(Instant::now() + self.limit);
                (self.armed, self.pieces) = (true, pieces);
            }
            ready!(timer.as_mut().poll(cx));
            if pieces == self.pieces {
                return Poll::Ready(());
            }
            self.armed = false;
        }
    }
}

// === impl RequestBody ===

impl RequestBody {
    /// Wraps what a client sends. `limit` is in bytes; nothing: any number.
    pub(crate) fn new(inner: Incoming, limit: Option<u64>, idle: Duration, breach: Rc<Breach>) -> Self {
        let empty = inner.is_end_stream();
        breach.ended.set(empty);
        Self((!empty).then(|| {
            let silence = Silence::new(idle);
            Box::new(Receiving { inner, left: limit, silence, breach, talks: false, trailers: None })
        }))
    }

    /// The same of a call whose answer breaks its silence, too.
    pub(crate) fn talking(mut self) -> Self {
        if let Some(receiving) = self.0.as_mut() {
            receiving.talks = true;
        }
        self
    }

    /// The same with its trailers, by these rules.
    pub(crate) fn with_trailers(mut self, live: &Arc<Live>) -> Self {
        if let Some(receiving) = self.0.as_mut() {
            receiving.trailers = Some(Arc::clone(live));
        }
        self
    }

    /// A body without a byte, for a request that is sent a second time.
    pub(crate) const fn empty() -> Self {
        Self(None)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(receiving) = this.0.as_mut() else {
            return Poll::Ready(None);
        };
        let frame = match Pin::new(&mut receiving.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(receiving.breach.set(BodyError::Broken)))),
            Poll::Ready(None) => {
                receiving.breach.ended.set(true);
                return Poll::Ready(None);
            }
            Poll::Pending => {
                ready!(receiving.silence.poll(receiving.talks.then_some(&receiving.breach), cx));
                return Poll::Ready(Some(Err(receiving.breach.set(BodyError::Stalled))));
            }
        };
        receiving.silence.broken();
        receiving.breach.one_more_piece();
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                // Trailers end the body.
                receiving.breach.ended.set(true);
                let passing = receiving.trailers.take().zip(frame.into_trailers().ok()).map(|(live, mut trailers)| {
                    live.headers.request_trailers(&mut trailers);
                    trailers
                });
                this.0 = None;
                return Poll::Ready(passing.map(|trailers| Ok(Frame::trailers(trailers))));
            }
        };
        let length = data.remaining() as u64;
        receiving.breach.bytes.set(receiving.breach.bytes.get() + length);
        if let Some(left) = receiving.left.as_mut() {
            let Some(rest) = left.checked_sub(length) else {
                return Poll::Ready(Some(Err(receiving.breach.set(BodyError::TooLarge))));
            };
            *left = rest;
        }
        // Of a body whose length was told nobody asks for more than that.
        let ended = receiving.inner.is_end_stream() || receiving.inner.size_hint().exact() == Some(0);
        receiving.breach.ended.set(ended);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|receiving| receiving.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |receiving| receiving.inner.size_hint())
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    /// A body of our own.
    pub(crate) fn own(bytes: Bytes, record: Record) -> Self {
        Self { kind: Kind::Own(Full::new(bytes)), record: Some(record) }
    }

    /// None: a tunnel follows the head.
    pub(crate) fn none() -> Self {
        Self { kind: Kind::Own(Full::default()), record: None }
    }

    /// The body of an upstream's answer; `lease` is its connection, and `watch` says when it must end.
    pub(crate) fn upstream(
        inner: Incoming,
        lease: Lease,
        idle: Duration,
        watch: Option<Watched>,
        mut record: Record,
    ) -> Self {
        let mut lease = Some(lease);
        if inner.is_end_stream() {
            give_back(&mut lease, Some(&mut record));
        }
        Self { kind: Kind::Upstream { inner, lease, silence: Silence::new(idle), watch }, record: Some(record) }
    }

    /// Ends before its end: with a status where the client reads one, and by an error where it does not.
    fn cut(&mut self, cut: Cut, error: BodyError) -> Result<Frame<Bytes>, BodyError> {
        let reads_status = self.record.as_ref().is_some_and(Record::ends_with_status);
        if !reads_status || self.size_hint().exact().is_some() {
            return Err(error);
        }
        // The upstream is told by its stream, which ends here.
        self.kind = Kind::Own(Full::default());
        Ok(Frame::trailers(grpc::trailers(cut)))
    }
}

/// The answer ended well: its connection may carry another request, and the time is taken for both.
fn give_back(lease: &mut Option<Lease>, record: Option<&mut Record>) {
    if let Some(lease) = lease.take() {
        let now = std::time::Instant::now();
        lease.give_back(now);
        if let Some(record) = record {
            record.ended(now);
        }
    }
}

fn broke_off(record: Option<&mut Record>, lease: Option<&Lease>) {
    if let Some(record) = record {
        record.upstream_broke_off();
    }
    if let Some(lease) = lease {
        lease.broke_off();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Kind::Upstream { watch: Some(watch), .. } = &mut this.kind
            && let Poll::Ready(reason) = watch.as_mut().poll(cx)
        {
            // Whatever is said from here on is for somebody who may not hear it any more.
            return Poll::Ready(Some(this.cut(Cut::Watch(reason), BodyError::Broken)));
        }
        let frame = match &mut this.kind {
            Kind::Own(full) => match ready!(Pin::new(full).poll_frame(cx)) {
                Some(Ok(frame)) => Some(frame),
                Some(Err(never)) => match never {},
                None => None,
            },
            Kind::Upstream { inner, lease, silence, .. } => match Pin::new(&mut *inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(mut frame))) => {
                    if let (Some(trailers), Some(record)) = (frame.trailers_mut(), &this.record) {
                        record.worker().live.headers.answer_trailers(trailers);
                    }
                    silence.broken();
                    if let Some(request) = this.record.as_ref().and_then(Record::talk) {
                        request.one_more_piece();
                    }
                    if inner.is_end_stream() {
                        give_back(lease, this.record.as_mut());
                    }
                    Some(frame)
                }
                Poll::Ready(None) => {
                    give_back(lease, this.record.as_mut());
                    None
                }
                Poll::Ready(Some(Err(_))) => {
                    broke_off(this.record.as_mut(), lease.as_ref());
                    let fault = this.record.as_ref().and_then(Record::request_fault);
                    let cut = fault.map_or(Cut::Answer(BodyError::Broken), Cut::Request);
                    return Poll::Ready(Some(this.cut(cut, BodyError::Broken)));
                }
                Poll::Pending => {
                    if let Some(record) = &this.record {
                        record.worker().awaited.set(Awaited::Upstream);
                    }
                    ready!(silence.poll(this.record.as_ref().and_then(Record::talk), cx));
                    broke_off(this.record.as_mut(), lease.as_ref());
                    return Poll::Ready(Some(this.cut(Cut::Answer(BodyError::Stalled), BodyError::Stalled)));
                }
            },
        };
        let Some(frame) = frame else {
            if let Some(record) = this.record.as_mut() {
                record.completed();
            }
            return Poll::Ready(None);
        };
        let ended = this.is_end_stream();
        if let Some(record) = this.record.as_mut() {
            record.worker().awaited.set(Awaited::Client);
            if let Some(data) = frame.data_ref() {
                record.sent(data.remaining() as u64);
            }
            if ended {
                record.completed();
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(full) => full.is_end_stream(),
            Kind::Upstream { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(full) => full.size_hint(),
            Kind::Upstream { inner, .. } => inner.size_hint(),
        }
    }
}
