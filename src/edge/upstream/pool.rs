//! The connections of one worker to one upstream, kept for the next request.

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use http::{Method, Request, request::Parts};

use super::{
    Upstream, UpstreamError,
    answer::{Answer, HeldResponse, unacceptable},
    connection::Connection,
};
use crate::{
    edge::body::{Breach, RequestBody},
    policy::decision::Permit,
};

/// The connections of one worker to one upstream.
pub(crate) struct Pool {
    upstream: Arc<Upstream>,
    idle: RefCell<Vec<Idle>>,
}

/// A connection that carries a request; give it back when the answer ended well.
pub(crate) struct Lease {
    pool: Rc<Pool>,
    /// Boxed, as everywhere: whoever has a lease is moved about with it.
    connection: Option<Box<Connection>>,
    /// What is known of the body of the request that it carries.
    body: Rc<Breach>,
    in_flight: Option<InFlight>,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// Idle connections kept for one upstream by one worker.
const IDLE_MAX: usize = 64;

/// A connection unused for longer than this may have been closed by the other side without our having seen it,
/// so the head of a request that may be sent again is kept.
const MAYBE_STALE: Duration = Duration::from_millis(20);

// === impl Pool ===

impl Pool {
    /// An empty pool.
    pub(crate) fn new(upstream: Arc<Upstream>) -> Rc<Self> {
        Rc::new(Self { upstream, idle: RefCell::new(Vec::new()) })
    }

    /// Whose connections these are.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Takes an admitted request, sends it and waits for the head of the answer. `wants_tunnel`: it asks for a WebSocket.
    /// `started` is now, as the caller knows.
    ///
    /// One future without another around it: every request carries it about.
    pub(crate) async fn send(
        self: &Rc<Self>,
        request: &mut Option<Request<RequestBody>>,
        breach: &Rc<Breach>,
        _permit: &Permit,
        wants_tunnel: bool,
        started: Instant,
    ) -> Result<Answer, UpstreamError> {
        let in_flight = InFlight::enter(self)?;
        let upstream = &*self.upstream;
        let mut retries = 0;
        let error = loop {
            let (mut lease, unused_for) = match self.lease(retries > 0, breach, started).await {
                Ok(leased) => leased,
                Err(error) => break error,
            };
            let may_repeat = retries < upstream.settings.retries && unused_for.is_some();
            let kept = request.as_ref().filter(|_| may_repeat && unused_for > Some(MAYBE_STALE)).and_then(repeatable);
            let kept = kept.map(Box::new);
            let (Some(connection), Some(sent)) = (lease.connection.as_mut(), request.take()) else {
                break UpstreamError::Reset(upstream.authority.clone());
            };
            // A new connection took its time, which has a bound of its own.
            let begun = if unused_for.is_some() { started } else { Instant::now() };
            let latest = begun + upstream.settings.response_timeout;
            let mut failure = match connection.answer(sent, latest).await {
                Some(Ok(response)) => {
                    if let Some(cause) = unacceptable(&response, wants_tunnel) {
                        break UpstreamError::Protocol { authority: upstream.authority.clone(), cause };
                    }
                    let at = Instant::now();
                    let waited = at.saturating_duration_since(started);
                    upstream.metrics.answered(response.status().as_u16(), waited);
                    lease.in_flight = Some(in_flight);
                    return Ok(Answer { held: HeldResponse(response), lease, waited, at, retries });
                }
                Some(Err(failure)) => failure,
                None => break UpstreamError::Timeout(upstream.authority.clone()),
            };
            let unsent = failure.take_message();
            let error = upstream.failed(failure.error(), breach);
            let again = match error {
                UpstreamError::Reset(_) if may_repeat => unsent.or_else(|| kept.map(|kept| *kept)),
                _ => None,
            };
            if again.is_none() {
                break error;
            }
            *request = again;
            retries += 1;
            upstream.metrics.retries.inc();
        };
        if let Some(kind) = error.kind() {
            upstream.metrics.errors.inc(kind);
        }
        Err(error)
    }

    /// A connection, kept or new; with a kept one, for how long it was not used.
    async fn lease(
        self: &Rc<Self>,
        fresh: bool,
        body: &Rc<Breach>,
        now: Instant,
    ) -> Result<(Lease, Option<Duration>), UpstreamError> {
        while !fresh && let Some(idle) = self.take_idle() {
            let unused_for = now.saturating_duration_since(idle.since);
            if unused_for > self.upstream.settings.pool_idle {
                continue;
            }
            let mut connection = idle.connection;
            if connection.settles().await {
                return Ok((self.leased(connection, body), Some(unused_for)));
            }
        }
        // Boxed: with TLS in it this future has kilobytes, which every request would carry about.
        let connection = Box::pin(self.upstream.connect()).await?;
        Ok((self.leased(connection, body), None))
    }

    fn take_idle(&self) -> Option<Idle> {
        let idle = self.idle.borrow_mut().pop();
        if idle.is_some() {
            self.upstream.metrics.idle.dec();
        }
        idle
    }

    fn leased(self: &Rc<Self>, connection: Box<Connection>, body: &Rc<Breach>) -> Lease {
        self.upstream.metrics.active.inc();
        Lease { pool: Rc::clone(self), connection: Some(connection), body: Rc::clone(body), in_flight: None }
    }

    /// Closes connections that were not used for too long, and those that the other side closed.
    pub(crate) fn close_unused(&self) {
        let limit = self.upstream.settings.pool_idle;
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|idle| idle.since.elapsed() <= limit && !idle.connection.sender.is_closed());
        let closed = before - idle.len();
        self.upstream.metrics.idle.add(-i64::try_from(closed).unwrap_or(i64::MAX));
    }
}

/// A copy of a request that may be sent twice: no body, and a method that means the same twice (RFC 9110 §9.2.2).
fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    use hyper::body::Body as _;
    let idempotent =
        matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE);
    if !idempotent || !request.body().is_end_stream() {
        return None;
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    copy_head(request, &mut parts);
    Some(Request::from_parts(parts, RequestBody::empty()))
}

fn copy_head(from: &Request<RequestBody>, to: &mut Parts) {
    to.method = from.method().clone();
    to.uri = from.uri().clone();
    to.version = from.version();
    to.headers = from.headers().clone();
}

// === impl Lease ===

impl Lease {
    /// Where the connection leads.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.connection.as_ref().map(|connection| connection.address)
    }

    /// The answer broke off in its body.
    pub(crate) fn broke_off(&self) {
        self.pool.upstream.metrics.errors.inc("body");
    }

    /// The answer ended well: the connection may carry another request, unless the upstream did not wait for the
    /// whole of this one. `now` is when it ended.
    pub(crate) fn give_back(mut self, now: Instant) {
        if !self.body.ended() {
            return;
        }
        let Some(connection) = self.connection.take() else {
            return;
        };
        self.pool.upstream.metrics.active.dec();
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() < IDLE_MAX && !connection.sender.is_closed() {
            idle.push(Idle { connection, since: now });
            self.pool.upstream.metrics.idle.inc();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.connection.is_some() {
            self.pool.upstream.metrics.active.dec();
        }
    }
}

/// One request an upstream is working on, to the end of its answer.
struct InFlight(Rc<Pool>);

impl InFlight {
    fn enter(pool: &Rc<Pool>) -> Result<Self, UpstreamError> {
        let upstream = &pool.upstream;
        let before = upstream.in_flight.fetch_add(1, Ordering::Relaxed);
        let entered = Self(Rc::clone(pool));
        if before >= upstream.settings.in_flight {
            return Err(UpstreamError::Overloaded(upstream.authority.clone()));
        }
        Ok(entered)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.upstream.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
