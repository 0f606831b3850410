//! One HTTPS client for the outside services the gateway asks: facilitators, and nodes of chains.
//!
//! 1. All exchanges run on one thread of their own, with its own runtime, whoever asks. A socket belongs to the
//!    runtime it was made on, and workers are runtimes that come and go: connections kept by each worker would be
//!    reused rarely, as payments are few, and one pool over all workers would hold sockets whose driver is somebody
//!    else's. The way to the thread and back costs microseconds, an exchange milliseconds to seconds. Futures are
//!    `Send` and can be awaited anywhere.
//! 2. A failure says how far it came ([`Reach`]): nothing of the request left this machine, or the service may have
//!    received it. Settlement rests on that, so doubt is always [`Reach::Unknown`].
//! 3. A request is sent a second time only if the first certainly was not: when a kept connection turns out to be
//!    closed. That second time is on a new connection, and the last.
//! 4. Everything is bounded: the whole exchange in time, the answer in bytes, connections in number. What is over
//!    the bound is not read to its end.
//! 5. A redirect is an answer like any other: bodies and credentials go to the configured host alone. No proxy is
//!    taken from the environment.
//! 6. A caller that goes away ends its exchange.

mod connection;
mod endpoint;
mod tls;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use thiserror::Error;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
    task::{AbortHandle, JoinHandle},
    time::timeout_at,
};
use tokio_rustls::TlsConnector;

use connection::Connection;
pub use endpoint::{Endpoint, EndpointError};
pub use tls::TlsError;

/// The thread on which exchanges run. It ends with the last clone, and with it what is still under way.
#[derive(Clone)]
pub struct Outbound(Arc<Thread>);

struct Thread {
    runtime: Handle,
    /// Dropped, it ends the thread.
    _alive: oneshot::Sender<()>,
}

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the service is.
    pub endpoint: Endpoint,
    /// File of authorities that are believed beside those of the system.
    pub ca: Option<PathBuf>,
}

/// A client of one service. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    outbound: Outbound,
    service: Arc<Service>,
}

/// A service and the connections to it.
struct Service {
    endpoint: Endpoint,
    host: HeaderValue,
    tls: Option<TlsConnector>,
    /// One permit a connection that carries a request.
    permits: Semaphore,
    /// The one used last is the last.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// One request, and the bounds of its exchange.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Method.
    pub method: Method,
    /// Path below the base URL, beginning with `/`; may be empty.
    pub path: String,
    /// Header fields; `Host` and the framing are ours. Mark secrets as sensitive.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// From now to the last byte of the answer, waiting for a connection and making one included.
    pub within: Duration,
    /// Bytes of the answer's body that are read at most.
    pub answer_bytes_max: usize,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// How far a request came that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Not a byte of it left: it can have had no effect.
    NotSent,
    /// It may have been received and acted upon.
    Unknown,
}

/// Why there is no answer. The text is for operators; it holds nothing of the request.
#[derive(Debug, Error)]
#[error("{endpoint}: {cause}")]
pub struct OutboundError {
    /// Whom we asked.
    pub endpoint: Endpoint,
    /// How far the request came.
    pub reach: Reach,
    /// What went wrong.
    #[source]
    pub cause: Cause,
}

/// What went wrong.
#[derive(Debug, Error)]
pub enum Cause {
    /// The connection ended before the answer did.
    #[error("the connection was closed before the answer was complete")]
    Closed,
    /// No connection could be made.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The request cannot be written: its path makes no target.
    #[error("expected a path that can stand in a request, found another")]
    Path,
    /// What came was not HTTP.
    #[error("it did not answer in HTTP: {0}")]
    Protocol(String),
    /// The exchange was ended from this side, because the gateway stops.
    #[error("the gateway stops")]
    Stopped,
    /// The deadline passed.
    #[error("no whole answer in time")]
    Timeout,
    /// TLS could not be agreed on.
    #[error("TLS failed: {0}")]
    Tls(#[source] io::Error),
    /// The answer is longer than was asked for.
    #[error("expected an answer of at most {0} bytes, found a longer one")]
    TooLarge(usize),
}

/// Why a client cannot be made.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The host cannot be named in a request.
    #[error("`{0}` cannot be named in a request")]
    Host(Endpoint),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Connections at once to one service. A gateway that waits for more than this many settlements at once has met
/// a service that does not answer, and more connections would not help it.
const CONNECTIONS_MAX: usize = 256;

/// Unused connections kept for one service.
const IDLE_MAX: usize = 32;

/// An unused connection is not used again after this long. It is less than servers wait before they close one
/// (gunicorn 2 s, Node and uvicorn 5 s), because a request that meets such an end has an unknown fate. It spans
/// what matters: the way from verify to settle, and busy times.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// For a place among the connections, name, connection and TLS together: who does not take a connection within this
/// will not settle a payment either. Never more than half of the whole time, because a request that is sent with no
/// time left for its answer has an unknown fate for nothing.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

// === impl Outbound ===

impl Outbound {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel();
        std::thread::Builder::new().name("outbound".to_owned()).spawn(move || {
            // An error is what the end of the other half gives.
            let _ = runtime.block_on(ended);
            // A name that is still being looked up must not hold up the end of the program.
            runtime.shutdown_background();
        })?;
        Ok(Self(Arc::new(Thread { runtime: handle, _alive: alive })))
    }

    /// Runs something on the thread, whether or not anybody waits for it.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.runtime.spawn(future)
    }

    /// A client of a service. Reads files of authorities.
    pub fn client(&self, settings: Settings) -> Result<Client, SetupError> {
        let Settings { endpoint, ca } = settings;
        let tls = if endpoint.is_tls() { Some(tls::client_config(ca.as_ref())?) } else { None };
        let host = endpoint.host_header().ok_or_else(|| SetupError::Host(endpoint.clone()))?;
        let service = Service {
            endpoint,
            host,
            tls: tls.map(TlsConnector::from),
            permits: Semaphore::new(CONNECTIONS_MAX),
            idle: Mutex::default(),
        };
        Ok(Client { outbound: self.clone(), service: Arc::new(service) })
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound")
    }
}

// === impl Client ===

/// Ends a task when its caller goes away.
struct EndOnDrop(AbortHandle);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Sends a request and gives its whole answer, of whatever status. Safe to drop at any time; a request that had
    /// been sent by then may still have an effect.
    pub async fn send(&self, ask: Ask) -> Result<Answer, OutboundError> {
        let service = Arc::clone(&self.service);
        let task = self.outbound.0.runtime.spawn(async move { service.exchange(ask).await });
        let _end = EndOnDrop(task.abort_handle());
        let (reach, cause) = match task.await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failed)) => failed,
            // Ended with its runtime, at a place nobody knows.
            Err(_) => (Reach::Unknown, Cause::Stopped),
        };
        Err(OutboundError { endpoint: self.service.endpoint.clone(), reach, cause })
    }

    /// Where the service is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.service.endpoint
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.service.endpoint)
    }
}

// === impl Service ===

type Failed = (Reach, Cause);

impl Service {
    async fn exchange(self: &Arc<Self>, ask: Ask) -> Result<Answer, Failed> {
        let started = Instant::now();
        let until = started + ask.within;
        let connected_by = started + CONNECT_WITHIN.min(ask.within / 2);
        let not_sent = |cause| (Reach::NotSent, cause);
        let target = self.endpoint.target(&ask.path).ok_or_else(|| not_sent(Cause::Path))?;
        // A semaphore that nobody closes gives every permit in the end.
        let permit = timeout_at(connected_by.into(), self.permits.acquire()).await;
        let _permit = permit.map_err(|_| not_sent(Cause::Timeout))?;
        if let Some(connection) = self.kept().await {
            match self.exchange_on(connection, &target, &ask, until).await {
                Err((Reach::NotSent, Cause::Closed)) => {}
                done => return done,
            }
        }
        let limit = connected_by.saturating_duration_since(Instant::now());
        // Boxed: with TLS in it this future has kilobytes.
        let opening = Box::pin(Connection::open(&self.endpoint, self.tls.as_ref(), limit));
        let connection = opening.await.map_err(not_sent)?;
        self.exchange_on(connection, &target, &ask, until).await
    }

    /// The connection used last, if one is still good.
    async fn kept(&self) -> Option<Connection> {
        loop {
            let idle = self.idle().pop()?;
            let mut connection = idle.connection;
            if idle.since.elapsed() < IDLE_FOR && connection.settles().await {
                return Some(connection);
            }
        }
    }

    async fn exchange_on(
        self: &Arc<Self>,
        mut connection: Connection,
        target: &Uri,
        ask: &Ask,
        until: Instant,
    ) -> Result<Answer, Failed> {
        let request = self.request(target, ask);
        connection.watch();
        let answered = timeout_at(until.into(), answer(&mut connection, request, ask.answer_bytes_max)).await;
        match answered.unwrap_or(Err(Cause::Timeout)) {
            Ok((answer, reusable)) => {
                if reusable {
                    self.keep(connection);
                }
                Ok(answer)
            }
            Err(cause) => {
                let reach = if connection.end() { Reach::Unknown } else { Reach::NotSent };
                Err((reach, cause))
            }
        }
    }

    fn request(&self, target: &Uri, ask: &Ask) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = target.clone();
        let headers = request.headers_mut();
        *headers = ask.headers.clone();
        headers.insert(HOST, self.host.clone());
        // Nothing here unpacks, and what is packed has two sizes.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // Some services refuse who does not say what it is.
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("siwx-gateway/", env!("CARGO_PKG_VERSION"))));
        // hyper writes the length of the body it is given.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        request
    }

    fn keep(self: &Arc<Self>, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.idle();
        if idle.len() >= IDLE_MAX {
            return;
        }
        idle.push(Idle { connection, since: Instant::now() });
        drop(idle);
        let service = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(IDLE_FOR).await;
            if let Some(service) = service.upgrade() {
                service.idle().retain(|idle| idle.since.elapsed() < IDLE_FOR);
            }
        });
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a request and reads its answer; whether the connection may carry another one is beside it.
async fn answer(
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<(Answer, bool), Cause> {
    let sent = connection.sender.try_send_request(request).await;
    let response = sent.map_err(|error| Cause::of(error.error()))?;
    let (head, mut body) = response.into_parts();
    // Two lengths in one answer (RFC 9112 §6.3 rule 3): what follows on this connection is not to be trusted.
    let framed_twice = head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH);
    let reusable = !framed_twice && head.status != StatusCode::SWITCHING_PROTOCOLS;
    let body = read(&mut body, bytes_max).await?;
    Ok((Answer { status: head.status, headers: head.headers, body }, reusable))
}

/// Reads a body to its end, unless it is longer than it may be.
async fn read(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, Cause> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > bytes_max {
        return Err(Cause::TooLarge(bytes_max));
    }
    let mut whole = BytesMut::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        // A frame that is no data is a trailer, and nobody asked for those.
        let Ok(data) = frame.map_err(|error| Cause::of(&error))?.into_data() else {
            continue;
        };
        if data.len() > bytes_max - whole.len() {
            return Err(Cause::TooLarge(bytes_max));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

// === impl Cause ===

impl Cause {
    fn of(error: &hyper::Error) -> Self {
        if error.is_parse() || error.is_parse_too_large() { Self::protocol(error) } else { Self::Closed }
    }

    fn protocol(error: &dyn std::error::Error) -> Self {
        Self::Protocol(error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")))
    }
}
