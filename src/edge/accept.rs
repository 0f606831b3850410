//! Taking connections off the listeners of a worker, until it closes.
//!
//! 1. A listener that closes takes what waits on it first: a connection that the kernel has accepted, and that is dropped
//!    with its listener, is a request that is lost. So newcomers are turned away before (a filter lets no first packet
//!    through), and who is under way still comes in. What comes later than that is counted as `draining`.
//! 2. A socket that was handed over is let go as it is: what waits there is for whoever has it next.
//! 3. A socket in the file system has clients without an address: they all count as one, but where `trusted_proxies`
//!    holds `unix:`. There a proxy says who they are.
//! 4. A worker takes a few connections and looks after those it has before it takes more: what waits in the kernel costs
//!    nothing, and whoever comes by the thousand is not served before others.
//! 5. The listener of `server.http_redirect` answers 308 and reads no further; each connection has one answer.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixListener as StdUnixListener},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, LOCATION},
};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::SocketFlags;
use socket2::{SockFilter, SockRef};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, unix::AsyncFd},
    net::{UnixListener, UnixStream},
    time::{Instant, timeout_at},
};

use super::{
    listener::{Acceptor, Bounds, Phase},
    pauses::Door,
    peer::Peer,
    settings::Limits,
};
use crate::metrics::Metrics;

/// A listener of one worker.
pub(crate) enum Listener {
    /// Sends everybody to `public_url`.
    Redirect(TcpListener),
    /// An address and a port; whether whoever started us has it too.
    Tcp { listener: TcpListener, handed: bool },
    /// A socket in the file system.
    Unix { listener: StdUnixListener, handed: bool },
}

/// A connection that was taken, and that nothing waits for yet.
pub(super) trait Arrived: AsRawFd {
    /// What it is once its worker waits for it.
    type Watched: Connected;

    /// Ends it. A reset leaves nothing to wait for: after an orderly end the kernel would keep it until its client, who
    /// has no hurry, ends it too.
    fn reset(self);

    /// The connection among those that its worker waits for.
    fn watched(self) -> Option<Self::Watched>;
}

/// A connection as its worker has it.
pub(super) trait Connected: AsyncRead + AsyncWrite + AsRawFd + Unpin + Send + 'static {
    /// Lets answers leave at once: they are written whole, waiting for more would only delay them.
    fn without_delay(&self);

    /// Looks at the first bytes, which stay where they are.
    async fn look(&self, into: &mut [u8]) -> io::Result<usize>;
}

/// How long a listener that turns newcomers away still takes those who are under way.
const LAST_ONES: Duration = Duration::from_millis(50);

/// How many connections are taken before the worker looks after others. One that is refused takes some 20 µs, one that
/// floods 100 µs: so nobody waits for a millisecond.
const IN_A_ROW: u64 = 8;

/// Turns a connection away before it begins: drops TCP segments with SYN and without ACK, and lets all others pass.
/// The filter sees a segment from its TCP header on, whose 14th byte holds the flags (RFC 9293 section 3.1).
const NO_NEWCOMERS: [SockFilter; 5] = [
    SockFilter::new(0x30, 0, 0, 13),       // load the byte at 13
    SockFilter::new(0x54, 0, 0, 0x12),     // of it, SYN and ACK
    SockFilter::new(0x15, 0, 1, 0x02),     // SYN alone?
    SockFilter::new(0x06, 0, 0, 0),        // drop
    SockFilter::new(0x06, 0, 0, u32::MAX), // let pass
];

impl Arrived for TcpStream {
    type Watched = tokio::net::TcpStream;

    fn reset(self) {
        let _ = SockRef::from(&self).set_linger(Some(Duration::ZERO));
    }

    fn watched(self) -> Option<Self::Watched> {
        let watched = tokio::net::TcpStream::from_std(self);
        watched.inspect_err(|error| tracing::warn!(%error, "cannot wait for a connection; it is closed")).ok()
    }
}

impl Arrived for UnixStream {
    type Watched = Self;

    fn reset(self) {}

    fn watched(self) -> Option<Self> {
        Some(self)
    }
}

impl Connected for tokio::net::TcpStream {
    fn without_delay(&self) {
        let _ = self.set_nodelay(true);
    }

    async fn look(&self, into: &mut [u8]) -> io::Result<usize> {
        self.peek(into).await
    }
}

impl Connected for UnixStream {
    fn without_delay(&self) {}

    async fn look(&self, into: &mut [u8]) -> io::Result<usize> {
        let peeked = || {
            let flags = rustix::net::RecvFlags::PEEK;
            rustix::net::recv(self, &mut *into, flags).map(|(length, _)| length).map_err(io::Error::from)
        };
        self.async_io(Interest::READABLE, peeked).await
    }
}

impl Acceptor {
    /// Accepts until the worker closes.
    pub(crate) async fn run(self, listener: Listener) -> io::Result<()> {
        match listener {
            Listener::Redirect(listener) => {
                self.accept_tcp(listener, false, |stream, address| self.redirect(stream, address)).await?;
            }
            Listener::Tcp { listener, handed } => {
                self.accept_tcp(listener, handed, |stream, address| self.accepted(stream, Peer::new(address))).await?;
            }
            Listener::Unix { listener, handed } => {
                let listener = UnixListener::from_std(listener)?;
                let accept = async || listener.accept().await.map(|(stream, _)| stream);
                self.until_closing(accept, |stream| self.accepted(stream, Peer::local())).await;
                // Its name is gone by now, so that nobody comes any more.
                let waiting = || ready(|cx| listener.poll_accept(cx));
                while !handed && let Some(Ok((stream, _))) = waiting().await {
                    self.accepted(stream, Peer::local());
                }
            }
        }
        Ok(())
    }

    async fn accept_tcp(
        &self,
        listener: TcpListener,
        handed: bool,
        take: impl Fn(TcpStream, SocketAddr),
    ) -> io::Result<()> {
        #[expect(deprecated, reason = "a listener of std's keeps its descriptor; what came after it is unsafe to call")]
        let listener = AsyncFd::with_interest(listener, Interest::READABLE)?;
        let door = Door::default();
        let pauses = &self.connections.pauses;
        let accept = async || {
            loop {
                // Whoever has a socket after us wants no filter of ours on it.
                if !handed {
                    door.follow(listener.get_ref(), pauses, std::time::Instant::now);
                }
                tokio::select! {
                    biased;
                    accepted = listener.async_io(Interest::READABLE, accepted) => return accepted,
                    () = door.changes() => {}
                }
            }
        };
        let take = |(stream, address)| {
            if door.is_guarded() {
                let _ = SockRef::from(&stream).detach_filter();
            }
            take(stream, address);
        };
        self.until_closing(accept, take).await;
        if handed {
            return Ok(());
        }
        // Where there are no filters, the last ones have less luck.
        let _ = SockRef::from(listener.get_ref()).attach_filter(&NO_NEWCOMERS);
        let end = Instant::now() + LAST_ONES;
        while let Ok(accepted) = timeout_at(end, listener.async_io(Interest::READABLE, accepted)).await {
            if let Ok(accepted) = accepted {
                take(accepted);
            }
        }
        while accepted(listener.get_ref()).is_ok() {
            self.current.worker().live.metrics.connections_rejected.inc("draining");
        }
        Ok(())
    }

    async fn until_closing<T, F: Future<Output = io::Result<T>>>(&self, accept: impl Fn() -> F, take: impl Fn(T)) {
        let mut phase = self.phase.clone();
        for number in 1_u64.. {
            if number.is_multiple_of(IN_A_ROW) {
                tokio::task::yield_now().await;
            }
            let accepted = tokio::select! {
                biased;
                _ = phase.wait_for(|phase| *phase >= Phase::Closing) => return,
                accepted = accept() => accepted,
            };
            match accepted {
                Ok(stream) => take(stream),
                // Out of file descriptors, or a connection that was gone before it was taken. Wait a moment, so
                // that the loop does not spin while there is nothing to be had.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// A connection that is sent to `public_url`.
    fn redirect(&self, stream: TcpStream, address: SocketAddr) {
        let live = Rc::clone(&self.current.worker()).live.clone();
        let bounds = Bounds::of(&live.settings.limits);
        if !self.connections.may_have(&stream) {
            return refuse(stream, "global_cap", &live.metrics);
        }
        let trusted = live.settings.proxies.trusted.contain(address.ip());
        let entered = self.connections.enter(bounds);
        match entered.and_then(|open| if trusted { Ok(open) } else { open.of(address.ip(), bounds) }) {
            Err(reason) => refuse(stream, reason, &live.metrics),
            Ok(open) => {
                let Some(stream) = stream.watched() else { return };
                tokio::task::spawn_local(async move {
                    let Limits { header_timeout, head_bytes, .. } = live.settings.limits;
                    let service = service_fn(|request| {
                        let answer = elsewhere(&live.public_url, &request);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    // A client that goes away is no event here.
                    let _ = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(header_timeout)
                        .max_header_size(head_bytes)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    drop(open);
                });
            }
        }
    }
}

/// The same path and query at the public origin.
fn elsewhere(public_url: &str, request: &Request<Incoming>) -> Response<Empty<Bytes>> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let target = if target.starts_with('/') { target } else { "/" };
    let location = HeaderValue::from_str(&format!("{public_url}{target}"));
    let mut response = Response::new(Empty::new());
    match location {
        Ok(location) => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Takes a connection, if there is one. Who may not come in costs no more than this: nothing waits for it yet.
fn accepted(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (stream, address) = rustix::net::acceptfrom_with(listener, flags)?;
    let address = address.and_then(|address| SocketAddr::try_from(address).ok());
    // The kernel names the other end of every connection by TCP.
    let address = address.ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((stream.into(), address))
}

/// Ends a connection before anything was made of it.
pub(super) fn refuse(stream: impl Arrived, reason: &'static str, metrics: &Metrics) {
    metrics.connections_rejected.inc(reason);
    stream.reset();
}

/// What is there without waiting for it.
async fn ready<T>(mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>) -> Option<T> {
    std::future::poll_fn(|cx| {
        Poll::Ready(match poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}
