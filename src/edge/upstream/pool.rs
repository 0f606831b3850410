//! The connections of one worker to one upstream, kept for the next request.

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use http::{Method, Request, header::HOST, request::Parts};
use tokio::sync::Mutex;

use super::{
    Made, Upstream, UpstreamError, Use,
    answer::{Answer, HeldResponse, unacceptable},
    connection::{Connection, Sender, Shared, unmade},
    interim::is_too_wide,
};
use crate::{
    edge::body::{Breach, RequestBody},
    policy::decision::Permit,
};

/// The connections of one worker to one upstream.
pub(crate) struct Pool {
    upstream: Arc<Upstream>,
    idle: RefCell<Vec<Idle>>,
    /// Connections of HTTP/2.
    shared: RefCell<Vec<Rc<Shared>>>,
    /// Held by whoever makes one, so that not every request of a burst does.
    connecting: Mutex<()>,
}

/// A connection that carries a request; give it back when the answer ended well.
pub(crate) struct Lease {
    pool: Rc<Pool>,
    /// The place of its endpoint, where there are several.
    place: Option<usize>,
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

/// Requests at once on one connection of HTTP/2: as many as most servers take.
const STREAMS_MAX: usize = 100;

/// Connections of HTTP/2 to one endpoint of one worker; what is over what they take waits.
const SHARED_MAX: usize = 4;

/// Idle connections kept for one upstream by one worker.
const IDLE_MAX: usize = 64;

/// A connection unused for longer than this may have been closed by the other side without our having seen it,
/// so the head of a request that may be sent again is kept.
const MAYBE_STALE: Duration = Duration::from_millis(20);

// === impl Pool ===

impl Pool {
    /// An empty pool.
    pub(crate) fn new(upstream: Arc<Upstream>) -> Rc<Self> {
        Rc::new(Self { upstream, idle: RefCell::default(), shared: RefCell::default(), connecting: Mutex::default() })
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
        let several = upstream.endpoints.are_several();
        let mut place = if several { upstream.endpoints.pick(None).unwrap_or(0) } else { 0 };
        let of = if wants_tunnel { Use::Tunnel } else { Use::Requests };
        let mut retries = 0;
        let error = loop {
            if several && upstream.names_endpoints() {
                self.name_endpoint(request, place);
            }
            let (mut lease, unused_for) = match self.lease(place, retries > 0, of, breach, started).await {
                Ok(leased) => leased,
                Err(error) if !several => break error,
                Err(error) => {
                    upstream.endpoint_failed(place, &error);
                    // Nothing was sent, so another one may be asked.
                    let may_repeat = retries < upstream.settings.retries && error.is_of_connecting();
                    let other = upstream.endpoints.pick(Some(place));
                    let (Some(other), true) = (other, may_repeat && request.as_ref().is_some_and(is_idempotent)) else {
                        break error;
                    };
                    if let Some(kind) = error.kind() {
                        upstream.metrics.errors.inc(kind);
                    }
                    (place, retries) = (other, retries + 1);
                    upstream.metrics.retries.inc();
                    continue;
                }
            };
            let may_repeat = retries < upstream.settings.retries && unused_for.is_some();
            let kept = request.as_ref().filter(|_| may_repeat && unused_for > Some(MAYBE_STALE)).and_then(repeatable);
            let kept = kept.map(Box::new);
            let (Some(connection), Some(sent)) = (lease.connection.as_mut(), request.take()) else {
                break UpstreamError::Reset(upstream.authority(place));
            };
            // A new connection took its time, which has a bound of its own.
            let begun = if unused_for.is_some() { started } else { Instant::now() };
            let latest = begun + upstream.settings.response_timeout;
            let head_only = sent.method() == Method::HEAD;
            let mut answered = connection.answer(sent, latest).await;
            if let Some(Err(failure)) = &answered
                && is_too_wide(failure.error())
                && breach.ended()
                && !wants_tunnel
            {
                let method = if head_only { Method::HEAD } else { Method::GET };
                // Boxed: few answers are like this.
                let taken = Box::pin(self.upstream.take_wide(connection, method, latest)).await;
                if let Some((connection, again)) = taken {
                    (lease.connection, answered) = (Some(connection), again);
                }
            }
            let mut failure = match answered {
                Some(Ok(response)) => {
                    if let Some(cause) = unacceptable(&response, wants_tunnel) {
                        break UpstreamError::Protocol { authority: upstream.authority(place), cause };
                    }
                    let at = Instant::now();
                    let waited = at.saturating_duration_since(started);
                    upstream.metrics.answered(response.status().as_u16(), waited);
                    lease.in_flight = Some(in_flight);
                    if several {
                        upstream.endpoints.succeeded(place);
                    }
                    return Ok(Answer { held: HeldResponse(response), lease, waited, at, retries });
                }
                Some(Err(failure)) => failure,
                None => break UpstreamError::Timeout(upstream.authority(place)),
            };
            let unsent = failure.take_message();
            let error = upstream.failed(place, failure.error(), breach);
            let again = match error {
                UpstreamError::Reset(_) if may_repeat => unsent.or_else(|| kept.map(|kept| *kept)),
                _ => None,
            };
            if again.is_none() {
                break error;
            }
            *request = again.map(unmade);
            retries += 1;
            upstream.metrics.retries.inc();
            if several {
                place = upstream.endpoints.pick(Some(place)).unwrap_or(place);
            }
        };
        if several && !error.is_of_connecting() {
            upstream.endpoint_failed(place, &error);
        }
        if let Some(kind) = error.kind() {
            upstream.metrics.errors.inc(kind);
        }
        Err(error)
    }

    /// A connection, kept or new; with a kept one, for how long it was not used.
    async fn lease(
        self: &Rc<Self>,
        place: usize,
        fresh: bool,
        of: Use,
        body: &Rc<Breach>,
        now: Instant,
    ) -> Result<(Lease, Option<Duration>), UpstreamError> {
        while !fresh && let Some(idle) = self.take_idle(place) {
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
        let (connection, unused_for) = Box::pin(self.connection(place, fresh, of, now)).await?;
        Ok((self.leased(connection, body), unused_for))
    }

    /// A new connection, or a stream of one that is shared.
    async fn connection(
        &self,
        place: usize,
        fresh: bool,
        of: Use,
        now: Instant,
    ) -> Result<(Box<Connection>, Option<Duration>), UpstreamError> {
        // A stream of a shared one carries no WebSocket.
        let shares = self.upstream.settings.http2 && of == Use::Requests;
        let kept = || if shares && !fresh { self.stream(place, now) } else { None };
        if let Some((connection, unused_for)) = kept() {
            return Ok((connection, Some(unused_for)));
        }
        let connecting = if shares { Some(self.connecting.lock().await) } else { None };
        // Somebody else may have made one meanwhile.
        if let Some((connection, unused_for)) = connecting.as_ref().and_then(|_| kept()) {
            return Ok((connection, Some(unused_for)));
        }
        Ok(match self.upstream.connect(place, of).await? {
            Made::Own(connection) => (connection, None),
            Made::Shared(shared) => {
                let connection = shared.stream();
                self.shared.borrow_mut().push(shared);
                (connection, None)
            }
        })
    }

    /// A stream of the connection with the fewest, if there is room on one or no room for another one.
    fn stream(&self, place: usize, now: Instant) -> Option<(Box<Connection>, Duration)> {
        let mut all = self.shared.borrow_mut();
        all.retain(|shared| !shared.sender.is_closed());
        let count = all.iter().filter(|shared| shared.place == place).count();
        let least = all.iter().filter(|shared| shared.place == place).min_by_key(|shared| shared.streams.get())?;
        let busy = least.streams.get() > 0;
        let room = least.streams.get() < STREAMS_MAX || count >= SHARED_MAX;
        // One that carries others is alive.
        let unused_for = if busy { Duration::ZERO } else { now.saturating_duration_since(least.used.get()) };
        room.then(|| (least.stream(), unused_for))
    }

    /// Names an endpoint as the Host of a request.
    fn name_endpoint(&self, request: &mut Option<Request<RequestBody>>, place: usize) {
        let host = self.upstream.endpoints.get(place).and_then(|endpoint| endpoint.host.clone());
        if let (Some(request), Some(host)) = (request, host) {
            request.headers_mut().insert(HOST, host);
        }
    }

    /// The one used last of those to an endpoint. Where there is one endpoint, all are.
    fn take_idle(&self, place: usize) -> Option<Idle> {
        let mut all = self.idle.borrow_mut();
        let idle = if self.upstream.endpoints.are_several() {
            let found = all.iter().rposition(|idle| idle.connection.place == place);
            found.map(|found| all.remove(found))
        } else {
            all.pop()
        };
        if idle.is_some() {
            self.upstream.metrics.idle.dec();
        }
        idle
    }

    fn leased(self: &Rc<Self>, connection: Box<Connection>, body: &Rc<Breach>) -> Lease {
        if let Sender::Http1(..) = connection.sender {
            self.upstream.metrics.active.inc();
        }
        let place = self.upstream.endpoints.are_several().then_some(connection.place);
        if let Some(place) = place {
            self.upstream.endpoints.enter(place);
        }
        Lease { pool: Rc::clone(self), place, connection: Some(connection), body: Rc::clone(body), in_flight: None }
    }

    /// Closes connections that were not used for too long, and those that the other side closed.
    pub(crate) fn close_unused(&self) {
        if self.upstream.endpoints.are_several() {
            self.upstream.endpoints.show();
        }
        let limit = self.upstream.settings.pool_idle;
        self.shared.borrow_mut().retain(|shared| {
            !shared.sender.is_closed() && (shared.streams.get() > 0 || shared.used.get().elapsed() <= limit)
        });
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|idle| idle.since.elapsed() <= limit && !idle.connection.is_closed());
        let closed = before - idle.len();
        self.upstream.metrics.idle.add(-i64::try_from(closed).unwrap_or(i64::MAX));
    }
}

/// Whether a method means the same twice, among those that are sent twice.
fn is_idempotent(request: &Request<RequestBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// A copy of a request that may be sent twice: no body, and a method that means the same twice (RFC 9110 §9.2.2).
fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    use hyper::body::Body as _;
    if !is_idempotent(request) || !request.body().is_end_stream() {
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
        let own = self.connection.as_ref().is_some_and(|connection| matches!(connection.sender, Sender::Http1(..)));
        if !own || !self.body.ended() {
            return;
        }
        let Some(connection) = self.connection.take() else {
            return;
        };
        self.pool.upstream.metrics.active.dec();
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() < IDLE_MAX && !connection.is_closed() {
            idle.push(Idle { connection, since: now });
            self.pool.upstream.metrics.idle.inc();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(Sender::Http1(..)) = self.connection.as_ref().map(|connection| &connection.sender) {
            self.pool.upstream.metrics.active.dec();
        }
        if let Some(place) = self.place {
            self.pool.upstream.endpoints.leave(place);
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
            return Err(UpstreamError::Overloaded(upstream.name().to_owned()));
        }
        Ok(entered)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.upstream.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
