//! Upstreams: connections kept per worker, requests sent, answers' heads awaited.
//!
//! 1. Nothing is sent without a [`Permit`]: only a decision makes one.
//! 2. A connection belongs to one worker and carries one request at a time. It returns to the pool when the
//!    answer's body ended well and the request's was sent whole, and is closed in every other case: what is left of
//!    one client's body keeps no other client waiting.
//! 3. A request is sent a second time only if the first sending certainly had no effect: hyper gives it back
//!    unsent, or it has no body, an idempotent method, and met a kept connection that closed before a byte of
//!    an answer. Never after a head.
//! 4. Where file descriptors are short, no connection is made and requests are refused as too many: the operator needs
//!    some too.
//! 5. Connect, TLS and the wait for the head have deadlines; the head has bounds. An upstream that switches
//!    protocols unasked (101), or frames its answer twice, is answered 502.

mod answer;
mod connection;
mod endpoint;
mod error;
mod health;
mod interim;
mod pool;
mod wide;

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::HeaderValue;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    body::Breach,
    deadline::Deadline,
    descriptors::{self, Descriptors},
    settings::{HostSent, UpstreamScheme, UpstreamSettings},
};
use crate::metrics::UpstreamMetrics;
use answer::FIELDS_MAX;
use connection::{Connection, HEAD_BYTES_MAX, Sender, Shared};
pub(crate) use endpoint::Endpoint;
use endpoint::Endpoints;
pub(crate) use error::UpstreamError;
use interim::{Awaited, Counted, is_too_many, is_too_wide};
pub(crate) use pool::{Lease, Pool};

/// Tasks of HTTP/2 stay on their worker.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// What connecting makes.
enum Made {
    /// A connection for one request at a time.
    Own(Box<Connection>),
    /// One for several at once.
    Shared(Rc<Shared>),
}

/// Bytes of an answer's fields, as HTTP/2 counts them.
const HEAD_LIST_MAX: u32 = 64 * 1024;

/// As towards clients: what one stream, and one connection, may have on the way to us.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What speaks TLS to an upstream.
pub(crate) struct Connectors {
    /// For requests.
    pub(crate) usual: TlsConnector,
    /// For WebSockets: HTTP/1.1 alone is offered, where the other offers HTTP/2.
    pub(crate) tunnels: TlsConnector,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Requests,
    Tunnel,
}

/// An upstream, shared by all workers.
pub(crate) struct Upstream {
    settings: UpstreamSettings,
    metrics: UpstreamMetrics,
    tls: Option<Connectors>,
    /// What it is to see as Host, if that is neither the client's nor each endpoint's own.
    host: Option<HeaderValue>,
    endpoints: Endpoints,
    descriptors: Descriptors,
    in_flight: AtomicUsize,
}

// === impl Upstream ===

impl Upstream {
    /// An upstream by its settings and endpoints, of which there is at least one; `tls` speaks to them if their URLs say
    /// `https`.
    pub(crate) fn new(
        settings: UpstreamSettings,
        metrics: UpstreamMetrics,
        tls: Option<Connectors>,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        let several = endpoints.len() > 1;
        let host = match &settings.host {
            HostSent::Literal(host) => HeaderValue::from_str(host).ok(),
            HostSent::Upstream if !several => endpoints.first().and_then(|endpoint| endpoint.host.clone()),
            HostSent::Preserve | HostSent::Upstream => None,
        };
        let endpoints = Endpoints::new(endpoints, settings.balance, &settings.health);
        let descriptors = Descriptors::of_this_process();
        Self { host, endpoints, descriptors, in_flight: AtomicUsize::new(0), settings, metrics, tls }
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

    /// Whether it can carry WebSockets.
    pub(crate) fn carries_tunnels(&self) -> bool {
        self.settings.carries_tunnels()
    }

    /// Whether it is spoken to by HTTP/2, where it can.
    pub(crate) const fn speaks_http2(&self) -> bool {
        self.settings.http2
    }

    /// Whether each endpoint is to see its own name as Host.
    fn names_endpoints(&self) -> bool {
        self.endpoints.are_several() && self.settings.host == HostSent::Upstream
    }

    /// Host and port of an endpoint, for errors.
    fn authority(&self, place: usize) -> String {
        self.endpoints.get(place).map_or_else(String::new, |endpoint| endpoint.authority.clone())
    }

    /// One of several endpoints failed.
    fn endpoint_failed(&self, place: usize, error: &UpstreamError) {
        if error.is_of_endpoint() && self.endpoints.failed(place) {
            let endpoint = self.endpoints.get(place).map_or("", |endpoint| &endpoint.authority);
            tracing::warn!(upstream = self.name(), endpoint, %error, "an endpoint failed too often, and is left out");
            self.metrics.errors.inc("ejected");
        }
    }

    async fn connect(self: &Arc<Self>, place: usize, of: Use) -> Result<Made, UpstreamError> {
        let started = Instant::now();
        let connecting = timeout(self.settings.connect_timeout, self.connect_now(place, of));
        let connected =
            connecting.await.unwrap_or_else(|_| Err(UpstreamError::ConnectTimeout(self.authority(place))))?;
        self.metrics.connect_duration.observe(started.elapsed());
        Ok(connected)
    }

    async fn connect_now(self: &Arc<Self>, place: usize, of: Use) -> Result<Made, UpstreamError> {
        let refused = |cause| UpstreamError::Connect { authority: self.authority(place), cause };
        let endpoint = self.endpoints.get(place).ok_or_else(|| refused(io::ErrorKind::NotFound.into()))?;
        let stream = self.reach(endpoint).await.map_err(|cause| match cause {
            None => UpstreamError::NoRoom(self.authority(place)),
            Some(cause) => refused(cause),
        })?;
        stream.set_nodelay(true).map_err(refused)?;
        let address = stream.peer_addr().map_err(refused)?;
        let (Some(connectors), Some(name)) = (&self.tls, &endpoint.name) else {
            let http2 = endpoint.url.scheme == UpstreamScheme::H2c;
            return self.handshake(stream, http2, address, place).await;
        };
        let failed = |cause| UpstreamError::Tls { authority: self.authority(place), cause };
        let connector = match of {
            Use::Requests => &connectors.usual,
            Use::Tunnel => &connectors.tunnels,
        };
        let stream = connector.connect(name.clone(), stream).await.map_err(failed)?;
        let http2 = self.settings.http2 && stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.handshake(stream, http2, address, place).await
    }

    /// A connection to the first address of an endpoint that takes one; nothing, if file descriptors are short.
    async fn reach(&self, endpoint: &Endpoint) -> Result<TcpStream, Option<io::Error>> {
        let known = |error: io::Error| if descriptors::are_used_up(&error) { None } else { Some(error) };
        let addresses = lookup_host((endpoint.url.host.as_str(), endpoint.url.port)).await.map_err(known)?;
        let mut last = io::ErrorKind::NotFound.into();
        for address in addresses {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(known)?;
            if !self.descriptors.are_for_upstream(&socket) {
                return Err(None);
            }
            match socket.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(Some(last))
    }

    async fn handshake<S>(
        self: &Arc<Self>,
        stream: S,
        http2: bool,
        address: SocketAddr,
        place: usize,
    ) -> Result<Made, UpstreamError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if http2 {
            let made = http2::Builder::new(LocalExecutor)
                .timer(TokioTimer::new())
                .max_header_list_size(HEAD_LIST_MAX)
                .initial_stream_window_size(H2_STREAM_WINDOW)
                .initial_connection_window_size(H2_CONNECTION_WINDOW)
                .keep_alive_interval(H2_PING_INTERVAL)
                .keep_alive_timeout(H2_PING_TIMEOUT)
                .handshake(TokioIo::new(stream))
                .await;
            let (sender, connection) = made.map_err(|cause| self.protocol(place, &cause))?;
            tokio::task::spawn_local(async move {
                // Its errors reach whoever waits for an answer.
                let _ = connection.await;
            });
            return Ok(Made::Shared(Shared::new(Arc::clone(self), sender, address, place)));
        }
        self.converse(stream, false, address, place).await
    }

    /// A connection of HTTP/1.1, whose answers may have more fields than most where it is `wide`.
    async fn converse<S>(
        self: &Arc<Self>,
        stream: S,
        wide: bool,
        address: SocketAddr,
        place: usize,
    ) -> Result<Made, UpstreamError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let awaited = Awaited::default();
        let mut builder = http1::Builder::new();
        builder.max_header_size(HEAD_BYTES_MAX).max_buf_size(HEAD_BYTES_MAX * 2).writev(false);
        if wide {
            builder.max_headers(FIELDS_MAX);
        }
        let made = builder.handshake(TokioIo::new(Counted::new(stream, awaited.clone(), wide))).await;
        let (sender, connection) = made.map_err(|cause| self.protocol(place, &cause))?;
        tokio::task::spawn_local(async move {
            // Its errors reach whoever waits for the answer.
            let _ = connection.with_upgrades().await;
        });
        let sender = Sender::Http1(sender, awaited);
        Ok(Made::Own(Box::new(Connection { sender, address, place, deadline: Deadline::default() })))
    }

    fn protocol(&self, place: usize, cause: &dyn std::error::Error) -> UpstreamError {
        let cause = cause.source().map_or_else(|| cause.to_string(), |source| format!("{cause}: {source}"));
        UpstreamError::Protocol { authority: self.authority(place), cause }
    }

    fn failed(&self, place: usize, error: &hyper::Error, breach: &Breach) -> UpstreamError {
        if breach.error().is_some() || error.is_user() {
            UpstreamError::RequestBody
        } else if error.is_parse() || error.is_parse_too_large() || is_too_many(error) || is_too_wide(error) {
            self.protocol(place, error)
        } else {
            UpstreamError::Reset(self.authority(place))
        }
    }
}
