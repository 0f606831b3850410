//! Upstreams: connections kept per worker, requests sent, answers' heads awaited.
//!
//! 1. Nothing is sent without a [`Permit`]: only a decision makes one.
//! 2. A connection belongs to one worker and carries one request at a time. It returns to the pool when the
//!    answer's body ended well and the request's was sent whole, and is closed in every other case: what is left of
//!    one client's body keeps no other client waiting.
//! 3. A request is sent a second time only if the first sending certainly had no effect: hyper gives it back
//!    unsent, or it has no body, an idempotent method, and met a kept connection that closed before a byte of
//!    an answer. Never after a head.
//! 4. Connect, TLS and the wait for the head have deadlines; the head has bounds. An upstream that switches
//!    protocols unasked (101), or frames its answer twice, is answered 502.

use std::{
    cell::RefCell,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request::Parts,
};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    body::{Breach, RequestBody},
    deadline::Deadline,
    settings::{HostSent, UpstreamSettings},
};
use crate::{gate::payment::Release, metrics::UpstreamMetrics, policy::decision::Permit, x402::PAYMENT_RESPONSE};

/// An upstream, shared by all workers.
pub(crate) struct Upstream {
    settings: UpstreamSettings,
    metrics: UpstreamMetrics,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    host: Option<HeaderValue>,
    authority: String,
    in_flight: AtomicUsize,
}

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

/// A connection. A task of its own reads and writes: driven by the task of the client's connection it would cost two
/// wakes less, but its writes would no longer come one after the other for a whole turn of the loop, and the kernel
/// takes more for that than the wakes do (measured: 0.8 µs a request more).
struct Connection {
    sender: http1::SendRequest<RequestBody>,
    address: SocketAddr,
    /// For the wait for an answer's head.
    deadline: Deadline,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// An answer's head, and how it came.
pub(crate) struct Answer {
    pub(crate) held: HeldResponse,
    pub(crate) lease: Lease,
    pub(crate) waited: Duration,
    /// When its head was complete.
    pub(crate) at: Instant,
    pub(crate) retries: u32,
}

/// An upstream's answer that may not leave towards the client yet: only a [`Release`] lets go of it, and the gate gives
/// one when everything that was due is settled.
pub(crate) struct HeldResponse(Response<Incoming>);

/// Why there is no answer. What is shown to the client is chosen in `respond`; this text is the operator's.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    #[error("cannot connect to {authority}: {cause}")]
    Connect { authority: String, cause: std::io::Error },
    #[error("cannot connect to {0} in time")]
    ConnectTimeout(String),
    #[error("TLS with {authority} failed: {cause}")]
    Tls { authority: String, cause: std::io::Error },
    #[error("{0} closed the connection before it answered")]
    Reset(String),
    #[error("{authority} did not answer in HTTP: {cause}")]
    Protocol { authority: String, cause: String },
    #[error("{0} did not answer in time")]
    Timeout(String),
    #[error("too many requests wait for {0}")]
    Overloaded(String),
    #[error("the client's body ended early")]
    RequestBody,
}

/// The field that tells a client what came of its payment.
static RECEIPT: HeaderName = HeaderName::from_static(PAYMENT_RESPONSE);

/// Idle connections kept for one upstream by one worker.
const IDLE_MAX: usize = 64;

/// Bytes of an answer's head. Its fields are bounded by hyper's own 100: any other number costs time with every answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A connection unused for longer than this may have been closed by the other side without our having seen it,
/// so the head of a request that may be sent again is kept.
const MAYBE_STALE: Duration = Duration::from_millis(20);

/// A kept connection that still has to write what it was given last is closed if that takes longer.
const SETTLES_WITHIN: Duration = Duration::from_millis(20);

// === impl UpstreamError ===

impl UpstreamError {
    /// The word of `siwx_upstream_errors_total`, if it is one of the upstream's.
    const fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Connect { .. } => Some("connect"),
            Self::ConnectTimeout(_) | Self::Timeout(_) => Some("timeout"),
            Self::Tls { .. } => Some("tls"),
            Self::Reset(_) => Some("reset"),
            Self::Protocol { .. } => Some("protocol"),
            Self::Overloaded(_) | Self::RequestBody => None,
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// An upstream by its settings; `tls` speaks to it if its URL says `https`.
    pub(crate) fn new(
        settings: UpstreamSettings,
        metrics: UpstreamMetrics,
        tls: Option<(TlsConnector, ServerName<'static>)>,
    ) -> Self {
        let url = &settings.url;
        let default_port = if url.tls { 443 } else { 80 };
        let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
        let own_host = if url.port == default_port { host.clone() } else { format!("{host}:{}", url.port) };
        let sent = match &settings.host {
            HostSent::Literal(host) => Some(host.clone()),
            HostSent::Preserve => None,
            HostSent::Upstream => Some(own_host),
        };
        Self {
            authority: format!("{host}:{}", url.port),
            host: sent.and_then(|host| HeaderValue::from_str(&host).ok()),
            in_flight: AtomicUsize::new(0),
            settings,
            metrics,
            tls,
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// What it is to see as Host, if not the client's.
    pub(crate) const fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// The bound on the silence in its answers' bodies.
    pub(crate) const fn body_idle(&self) -> Duration {
        self.settings.idle_timeout
    }

    /// Requests it is working on.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    async fn connect(&self) -> Result<Box<Connection>, UpstreamError> {
        let started = Instant::now();
        let connecting = timeout(self.settings.connect_timeout, self.connect_now());
        let connected =
            connecting.await.unwrap_or_else(|_| Err(UpstreamError::ConnectTimeout(self.authority.clone())))?;
        self.metrics.connect_duration.observe(started.elapsed());
        Ok(connected)
    }

    async fn connect_now(&self) -> Result<Box<Connection>, UpstreamError> {
        let refused = |cause| UpstreamError::Connect { authority: self.authority.clone(), cause };
        let stream =
            TcpStream::connect((self.settings.url.host.as_str(), self.settings.url.port)).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let address = stream.peer_addr().map_err(refused)?;
        match &self.tls {
            None => self.handshake(stream, address).await,
            Some((connector, name)) => {
                let failed = |cause| UpstreamError::Tls { authority: self.authority.clone(), cause };
                self.handshake(connector.connect(name.clone(), stream).await.map_err(failed)?, address).await
            }
        }
    }

    async fn handshake<S>(&self, stream: S, address: SocketAddr) -> Result<Box<Connection>, UpstreamError>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let made = http1::Builder::new()
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX * 2)
            .writev(false)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = made.map_err(|cause| self.protocol(&cause))?;
        tokio::task::spawn_local(async move {
            // Its errors reach whoever waits for the answer.
            let _ = connection.await;
        });
        Ok(Box::new(Connection { sender, address, deadline: Deadline::default() }))
    }

    fn protocol(&self, cause: &dyn std::error::Error) -> UpstreamError {
        let cause = cause.source().map_or_else(|| cause.to_string(), |source| format!("{cause}: {source}"));
        UpstreamError::Protocol { authority: self.authority.clone(), cause }
    }

    fn failed(&self, error: &hyper::Error, breach: &Breach) -> UpstreamError {
        if breach.error().is_some() || error.is_user() {
            UpstreamError::RequestBody
        } else if error.is_parse() || error.is_parse_too_large() {
            self.protocol(error)
        } else {
            UpstreamError::Reset(self.authority.clone())
        }
    }
}

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

    /// Takes an admitted request, sends it and waits for the head of the answer. `started` is now, as the caller
    /// knows.
    ///
    /// One future without another around it: every request carries it about.
    pub(crate) async fn send(
        self: &Rc<Self>,
        request: &mut Option<Request<RequestBody>>,
        breach: &Rc<Breach>,
        _permit: &Permit,
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
                    if let Some(cause) = unacceptable(&response) {
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

// === impl Connection ===

impl Connection {
    /// Whether a kept connection can carry another request: it is still there, and has nothing left to write.
    async fn settles(&mut self) -> bool {
        if self.sender.is_closed() {
            return false;
        }
        // At once ready, or one turn of its task away from it; a broken one answers with an error.
        self.sender.is_ready() || matches!(timeout(SETTLES_WITHIN, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Sends a request and waits for the head of its answer; nothing if none came until `latest`.
    fn answer(
        &mut self,
        request: Request<RequestBody>,
        latest: Instant,
    ) -> impl Future<Output = Option<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>> {
        // Not in the future: it goes into the connection's queue at once, and need not be carried about.
        let answering = self.sender.try_send_request(request);
        let deadline = &mut self.deadline;
        async move {
            let mut answering = pin!(answering);
            let wait = std::future::poll_fn(|cx| match answering.as_mut().poll(cx) {
                Poll::Pending => deadline.poll(latest, cx).map(|()| None),
                answered => answered.map(Some),
            });
            wait.await
        }
    }
}

/// Whether an answer says twice where it ends (RFC 9112 §6.3 rule 3): somebody may be smuggling, and what follows
/// on the connection is not to be read.
fn framed_twice(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH)
}

/// Why an answer cannot be passed on, whatever its body.
fn unacceptable(response: &Response<Incoming>) -> Option<String> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Some("it switched protocols unasked".to_owned());
    }
    framed_twice(response.headers()).then(|| "its answer has Content-Length beside Transfer-Encoding".to_owned())
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

// === impl HeldResponse ===

impl HeldResponse {
    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// Its fields.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// Lets go of it. What it says of a payment is the upstream's own invention, and ends here.
    pub(crate) fn release(self, release: &Release) -> Response<Incoming> {
        let mut response = self.0;
        // By a name that is one: a text would be read and checked again for every answer.
        response.headers_mut().remove(&RECEIPT);
        if let Some(receipt) = release.payment_response() {
            response.headers_mut().insert(RECEIPT.clone(), receipt);
        }
        response
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
