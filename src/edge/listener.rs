//! Accepting connections and keeping them: one listener a worker on each address, bounds, deadlines, drain.
//!
//! 1. Every worker has a listener of its own on each address (SO_REUSEPORT): the kernel spreads connections, and
//!    nothing is shared between workers on a request's way but caches and counters.
//! 2. Connections are bounded in all and by address (IPv6: by /64) before a byte is read; handshakes too. Not all file
//!    descriptors are for clients (`descriptors`). What is refused is reset: nothing of it stays, neither here nor in the
//!    kernel. Who goes on after that is paused (`pauses`).
//! 3. Everything that waits for a client has a deadline: handshake, finding the protocol, and each head.
//! 4. Drain has two steps: first requests go on while balancers notice; then listeners close, connections finish
//!    what they carry, and what is left at the end of the time is cut.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ProtocolVersion;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    accept::{Arrived, Connected, refuse},
    descriptors::Descriptors,
    pauses::{Offence, Pauses},
    peer::{Logged, Peer},
    proxy_protocol,
    server::Current,
    settings::Limits,
    tls,
    tunnel::Tunnel,
    wire::{
        head::HeadLimits,
        http1::Http1,
        http2::{Ending, Http2},
        stall::{Awaited, Streams},
        told::{HeadTimer, Told, Turns},
    },
};
use crate::{gate::subscriber, metrics::Metrics};

/// Where a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Serving,
    /// It finishes what it has.
    Closing,
    /// It ends now.
    Ended,
}

/// Connections that are open, shared by all workers.
#[derive(Default)]
pub(crate) struct Connections {
    open: AtomicUsize,
    handshakes: AtomicUsize,
    descriptors: Descriptors,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    pub(super) pauses: Pauses,
}

/// Whether the connections of one worker are to finish what they carry, and whom to wake when that begins.
#[derive(Default)]
pub(crate) struct Closing {
    begun: Cell<bool>,
    waiting: RefCell<HashMap<u64, Waker>>,
    next: Cell<u64>,
}

/// A connection's place among those to be woken; it ends with the connection.
struct Woken<'c> {
    closing: &'c Closing,
    number: u64,
}

/// Bounds of [`Connections`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) connections: usize,
    pub(crate) connections_per_ip: usize,
    pub(crate) handshakes: usize,
}

// === impl Bounds ===

impl Bounds {
    pub(super) const fn of(limits: &Limits) -> Self {
        let Limits { connections, connections_per_ip, handshakes, .. } = *limits;
        Self { connections, connections_per_ip, handshakes }
    }
}

/// An open connection; it is counted until this is dropped.
pub(super) struct Open {
    connections: Arc<Connections>,
    /// Whose it is; nothing for a proxy's, whose clients come by the thousand from one address.
    address: Option<IpAddr>,
}

struct Handshaking(Arc<Connections>);

/// How long a connection without a request is kept once closing has begun: its client may have sent one.
const IDLE_GRACE: Duration = Duration::from_millis(250);

/// The queue of connections the kernel has accepted and we have not.
const BACKLOG: i32 = 4096;

/// Read buffers: hyper's own default grows to 400 KiB a connection.
const READ_BUFFER_MAX: usize = 64 * 1024;

/// What hyper may see before a head: the empty line that some clients send.
const BEFORE_HEAD: usize = 2;

/// The header fields that hyper takes when it is told nothing.
const HYPER_HEADERS: usize = 100;

/// HTTP/2 windows and frames (hardening.md section 2).
const H2_STREAM_WINDOW: u32 = 256 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
const H2_FRAME: u32 = 16 * 1024;
/// Streams reset before we saw them, and streams we reset because of the peer.
const H2_PENDING_RESETS: usize = 20;
const H2_LOCAL_RESETS: usize = 128;
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The first line of HTTP/2 by prior knowledge. All of it: `PRI` alone is how a method of HTTP/1 may begin, too.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Opens a listener that shares its address with those of other workers.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

// === impl Connections ===

impl Connections {
    /// None yet, within the file descriptors of this process.
    pub(crate) fn of_this_process(metrics: Arc<Metrics>) -> Self {
        let (descriptors, pauses) = (Descriptors::of_this_process(), Pauses::counted(metrics));
        Self { descriptors, pauses, ..Self::default() }
    }

    /// Whether a client may have this file descriptor.
    pub(super) fn may_have(&self, descriptor: &impl AsRawFd) -> bool {
        self.descriptors.are_for_client(descriptor)
    }

    /// Counts a connection in, or says which bound it breaks.
    pub(super) fn enter(self: &Arc<Self>, bounds: Bounds) -> Result<Open, &'static str> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= bounds.connections {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err("global_cap");
        }
        Ok(Open { connections: Arc::clone(self), address: None })
    }

    fn shake_hands(self: &Arc<Self>, bounds: Bounds) -> Option<Handshaking> {
        let entered = Handshaking(Arc::clone(self));
        let before = self.handshakes.fetch_add(1, Ordering::Relaxed);
        (before < bounds.handshakes).then_some(entered)
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Open {
    /// The same, counted for this address; or which bound that breaks.
    pub(super) fn of(mut self, address: IpAddr, bounds: Bounds) -> Result<Self, &'static str> {
        let address = subscriber(address);
        let pauses = &self.connections.pauses;
        if pauses.hold(address, std::time::Instant::now) {
            return Err("paused");
        }
        let mut by_address = self.connections.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(address).or_insert(0);
        let full = *count >= bounds.connections_per_ip;
        *count += usize::from(!full);
        drop(by_address);
        if full {
            pauses.count(address, Offence::Refused, std::time::Instant::now());
            return Err("ip_cap");
        }
        self.address = Some(address);
        Ok(self)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else {
            return;
        };
        let mut by_address = self.connections.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything an accept loop needs.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) current: Rc<Current>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) closing: Rc<Closing>,
}

impl Acceptor {
    /// A connection, by TCP or by a socket in the file system.
    pub(super) fn accepted(&self, stream: impl Arrived, peer: Peer) {
        let live = &self.current.worker().live;
        let metrics = Arc::clone(&live.metrics);
        if !self.connections.may_have(&stream) {
            return refuse(stream, "global_cap", &metrics);
        }
        let address = peer.socket();
        let trusted = live.settings.proxies.trusted.contain(address);
        let bounds = Bounds::of(&live.settings.limits);
        let entered = self.connections.enter(bounds);
        let entered = entered.and_then(|open| if trusted { Ok(open) } else { open.of(address, bounds) });
        match entered {
            Err(reason) => refuse(stream, reason, &metrics),
            Ok(open) => {
                let Some(mut stream) = stream.watched() else { return };
                let this = self.clone();
                tokio::task::spawn_local(async move {
                    if !trusted {
                        this.connection(stream, peer, &metrics).await;
                        drop(open);
                    } else if let Some((peer, open)) = this.announced(&mut stream, peer, open, &metrics).await {
                        this.connection(stream, peer, &metrics).await;
                        drop(open);
                    }
                });
            }
        }
    }

    /// Who speaks on a connection of a trusted proxy's, by the PROXY protocol where it speaks that.
    async fn announced(
        &self,
        stream: &mut impl Connected,
        proxy: Peer,
        open: Open,
        metrics: &Metrics,
    ) -> Option<(Peer, Open)> {
        let live = Arc::clone(&self.current.worker().live);
        let settings = &live.settings;
        let Some(versions) = settings.proxies.protocol else {
            return Some((proxy.among(&settings.proxies), open));
        };
        let deadline = Instant::now() + settings.limits.header_timeout;
        let announced = timeout_at(deadline, proxy_protocol::read(stream, versions)).await;
        let client = match announced {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                if error.kind() == std::io::ErrorKind::InvalidData {
                    metrics.http_rejected.inc("bad_request");
                    let peer = Logged(proxy.socket());
                    tracing::warn!(%peer, %error, "a trusted proxy does not speak the PROXY protocol");
                }
                return None;
            }
            Err(_) => {
                metrics.http_rejected.inc("timeout");
                return None;
            }
        };
        let Some(client) = client else {
            return Some((proxy.among(&settings.proxies), open));
        };
        let peer = Peer::new(client).behind(proxy.socket()).among(&settings.proxies);
        // A proxy behind a balancer has many clients too.
        if settings.proxies.trusted.contain(client.ip()) {
            return Some((peer, open));
        }
        match open.of(client.ip(), Bounds::of(&settings.limits)) {
            Ok(open) => Some((peer, open)),
            Err(reason) => {
                metrics.connections_rejected.inc(reason);
                None
            }
        }
    }

    pub(super) async fn connection<S: Connected>(self, stream: S, peer: Peer, metrics: &Metrics) {
        stream.without_delay();
        // As it is now: a reload in the middle of a handshake is for the next one.
        let live = Arc::clone(&self.current.worker().live);
        let limits = live.settings.limits;
        let Some(acceptor) = live.tls.as_ref().map(|tls| tls.public.clone()) else {
            let http2 = live.settings.http2;
            let deadline = Instant::now() + limits.header_timeout;
            let spoken = timeout_at(deadline, speaks_http2(&stream, http2)).await;
            let spoken = match spoken {
                Ok(Ok(spoken)) => spoken,
                // The client is gone, which is no fault of its.
                Ok(Err(_)) => return,
                Err(_) => return metrics.http_rejected.inc("timeout"),
            };
            return self.serve(stream, spoken, peer, deadline, metrics).await;
        };
        let Some(handshaking) = self.connections.shake_hands(Bounds::of(&limits)) else {
            metrics.connections_rejected.inc("handshake_cap");
            return;
        };
        let deadline = Instant::now() + limits.handshake_timeout;
        let shaken = timeout_at(deadline, acceptor.accept(stream)).await;
        drop(handshaking);
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return metrics.handshakes(tls::fault_word(&error), "none").inc(),
            Err(_) => {
                metrics.handshakes("timeout", "none").inc();
                return metrics.connections_rejected.inc("handshake_timeout");
            }
        };
        let (_, session) = stream.get_ref();
        let version = version_word(session.protocol_version());
        let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        metrics.handshakes(if resumed { "resumed" } else { "ok" }, version).inc();
        let http2 = session.alpn_protocol() == Some(b"h2");
        let named = session.server_name().map(Box::from);
        let deadline = Instant::now() + limits.header_timeout;
        self.serve(stream, http2, peer.over_tls(version, named, live.version), deadline, metrics).await;
    }

    /// Serves a connection, whose first head must be there by `first`.
    async fn serve<S>(self, stream: S, http2: bool, peer: Peer, first: Instant, metrics: &Metrics)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let protocol = usize::from(http2);
        metrics.connections_accepted.inc(crate::metrics::PROTOCOLS[protocol]);
        metrics.connections[protocol].inc();
        let ended =
            if http2 { self.serve_http2(stream, peer).await } else { self.serve_http1(stream, peer, first).await };
        metrics.connections[protocol].dec();
        // What hyper refuses by itself never reaches a handler; it is counted here.
        if let Err(error) = ended
            && let Some(reason) = rejected(&error)
        {
            metrics.http_rejected.inc(reason);
        }
    }

    async fn serve_http1<S>(&self, stream: S, peer: Peer, first: Instant) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.current.worker().live.settings.limits;
        let head = HeadLimits { bytes: limits.head_bytes, fields: limits.headers, target: limits.target_bytes };
        let told = Arc::new(Told::new(first.into_std(), limits.header_timeout));
        let stream = Http1::new(stream, head, limits.body_idle_timeout, Arc::clone(&told));
        let mut builder = http1::Builder::new();
        builder
            .timer(HeadTimer(Arc::clone(&told)))
            .header_read_timeout(limits.idle_timeout)
            .max_header_size(limits.head_bytes + BEFORE_HEAD)
            .max_buf_size(READ_BUFFER_MAX.max(limits.head_bytes + BEFORE_HEAD + 1))
            .writev(false);
        // hyper's own limit is the same number, for which it has room on the stack; any other is filled anew for
        // every request.
        if limits.headers != HYPER_HEADERS {
            builder.max_headers(limits.headers);
        }
        let turns = Turns::new(Arc::clone(&told), limits.requests_per_connection);
        let (current, peer) = (Rc::clone(&self.current), Rc::new(peer.taking(turns)));
        let of_requests = Rc::clone(&peer);
        let service = service_fn(move |request| current.worker().serve(Rc::clone(&of_requests), request));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let ended = match self.closing.before(connection.as_mut()).await {
            Some(ended) => ended,
            // Its answers say by now that it closes. Closed at once it could meet a request half way, which would be lost.
            None => match tokio::time::timeout(IDLE_GRACE, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    // hyper has not seen a head that has only begun, and would close over it.
                    if let Some(ended) = until(|| !told.has_begun(), connection.as_mut()).await {
                        return ended;
                    }
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            },
        };
        if let Some(tunnel) = peer.take_tunnel() {
            self.carry(*tunnel).await;
        }
        // A connection on which nothing was asked any more ends as it should.
        if told.was_idle() { Ok(()) } else { ended }
    }

    /// Carries what follows the last answer of a connection.
    async fn carry(&self, tunnel: Tunnel) {
        let metrics = Arc::clone(&self.current.worker().live.metrics);
        let [http1, _, websockets] = &metrics.connections;
        metrics.connections_accepted.inc(crate::metrics::PROTOCOLS[2]);
        http1.dec();
        websockets.inc();
        let draining = async {
            let _ = self.closing.before(pin!(std::future::pending::<()>())).await;
        };
        // Boxed: few connections end like this, and all of them would carry the room for it.
        Box::pin(tunnel.run(draining)).await;
        http1.inc();
        websockets.dec();
    }

    async fn serve_http2<S>(&self, stream: S, peer: Peer) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let worker = self.current.worker();
        let metrics = Arc::clone(&worker.live.metrics);
        let limits = worker.live.settings.limits;
        let whose = peer.client(None);
        let (current, peer) = (Rc::clone(&self.current), Rc::new(peer));
        let begun = Rc::new(Cell::new(false));
        let seen = Rc::clone(&begun);
        let ending = Rc::new(Ending::default());
        let stream = Http2::new(stream, limits.http2_resets, limits.body_idle_timeout, Rc::clone(&ending));
        let streams = Rc::new(Streams::new(limits.body_idle_timeout));
        let executor = StreamExecutor { streams: Rc::clone(&streams), awaited: Rc::clone(&worker.awaited) };
        let connection = http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.http2_streams)
            .max_header_list_size(limits.http2_header_list)
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_frame_size(H2_FRAME)
            .max_pending_accept_reset_streams(H2_PENDING_RESETS)
            .max_local_error_reset_streams(H2_LOCAL_RESETS)
            .keep_alive_interval(H2_PING_INTERVAL)
            .keep_alive_timeout(H2_PING_TIMEOUT)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| {
                    seen.set(true);
                    current.worker().serve(Rc::clone(&peer), request)
                }),
            );
        let mut connection = pin!(connection);
        // hyper waits for the preface, the first head and each later one without end.
        let silence = async {
            tokio::time::sleep(limits.header_timeout).await;
            if !begun.get() {
                return;
            }
            loop {
                let since = streams.idle_since().map_or_else(Instant::now, Instant::from_std);
                if since.elapsed() >= limits.idle_timeout {
                    return;
                }
                tokio::time::sleep_until(since + limits.idle_timeout).await;
            }
        };
        let ended = tokio::select! {
            biased;
            ended = self.closing.before(connection.as_mut()) => match ended {
                Some(ended) => ended,
                None => {
                    metrics.goaways.inc("drain");
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            },
            () = silence => {
                if !begun.get() {
                    metrics.http_rejected.inc("timeout");
                    return Ok(());
                }
                connection.as_mut().graceful_shutdown();
                // What was given to h2 and never taken by the client would keep it.
                tokio::time::timeout(limits.body_idle_timeout, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Some(reason) = ending.reason(ended.as_ref().err()) {
            metrics.goaways.inc(reason);
            // A proxy is not at fault for what one of its clients did.
            if ending.was_flood(reason) && !self.current.worker().live.settings.proxies.trusted.contain(whose) {
                self.connections.pauses.count(subscriber(whose), Offence::Flood, std::time::Instant::now());
            }
        }
        ended
    }
}

// === impl Closing ===

impl Closing {
    /// Whether connections are to end with what they carry.
    pub(crate) const fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Tells every connection of this worker to finish what it carries.
    pub(crate) fn begin(&self) {
        self.begun.set(true);
        for (_, waker) in self.waiting.take() {
            waker.wake();
        }
    }

    /// Runs a connection until it ends, or until this begins: then nothing.
    ///
    /// Every wake of a connection comes through here, so nothing is asked but a flag; the task says once who is to
    /// be woken, which for one task does not change.
    async fn before<F: Future>(&self, mut connection: Pin<&mut F>) -> Option<F::Output> {
        let mut told = None;
        std::future::poll_fn(|cx| {
            if self.begun.get() {
                return Poll::Ready(None);
            }
            told.get_or_insert_with(|| self.tell(cx.waker()));
            connection.as_mut().poll(cx).map(Some)
        })
        .await
    }

    fn tell(&self, waker: &Waker) -> Woken<'_> {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        self.waiting.borrow_mut().insert(number, waker.clone());
        Woken { closing: self, number }
    }
}

impl Drop for Woken<'_> {
    fn drop(&mut self) {
        self.closing.waiting.borrow_mut().remove(&self.number);
    }
}

/// Tasks of HTTP/2 streams stay on their worker, and are watched.
#[derive(Clone)]
struct StreamExecutor {
    streams: Rc<Streams>,
    awaited: Rc<Cell<Awaited>>,
}

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(self.streams.watch(future, &self.awaited));
    }
}

/// Runs a connection until it ends, or until this holds: then nothing.
async fn until<F: Future>(holds: impl Fn() -> bool, mut connection: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        if !holds()
            && let Poll::Ready(ended) = connection.as_mut().poll(cx)
        {
            return Poll::Ready(Some(ended));
        }
        if holds() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Whether a plain connection begins with HTTP/2's preface. Reads nothing: it looks.
async fn speaks_http2(stream: &impl Connected, allowed: bool) -> std::io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let length = stream.look(&mut seen).await?;
        let begun = &seen[..length];
        if begun.is_empty() || !PREFACE.starts_with(begun) {
            return Ok(false);
        }
        if length == PREFACE.len() {
            return Ok(allowed);
        }
        // A part of it came alone. Looking again would spin until there are more.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const fn version_word(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        _ => "none",
    }
}

/// The word of `siwx_http_rejected_total` for what hyper answers by itself.
fn rejected(error: &hyper::Error) -> Option<&'static str> {
    if error.is_parse_too_large() {
        Some("head_too_large")
    } else if error.is_parse() {
        Some("bad_request")
    } else if error.is_timeout() {
        Some("timeout")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { connections: 3, connections_per_ip: 2, handshakes: 1 };

    #[test]
    fn connections_are_bounded_in_all_and_by_address() {
        let connections = Arc::new(Connections::default());
        let (one, other): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let enter = |address| connections.enter(BOUNDS).and_then(|open| open.of(address, BOUNDS));
        let first = enter(one).ok();
        let second = enter(one).ok();
        assert_eq!(enter(one).err(), Some("ip_cap"));
        let third = enter(other).ok();
        assert_eq!(enter(other).err(), Some("global_cap"));
        assert_eq!(connections.open(), 3);
        drop((first, second, third));
        assert_eq!(connections.open(), 0);
        assert!(connections.by_address.lock().expect("not poisoned").is_empty(), "addresses are forgotten");
        assert!(enter(one).is_ok());
    }

    #[test]
    fn handshakes_are_bounded() {
        let connections = Arc::new(Connections::default());
        let first = connections.shake_hands(BOUNDS);
        assert!(first.is_some());
        assert!(connections.shake_hands(BOUNDS).is_none());
        drop(first);
        assert!(connections.shake_hands(BOUNDS).is_some());
    }
}
