//! One connection to an outside service: made, watched, and ended for good when an exchange on it fails.
//!
//! 1. [`Watch`] notes, beneath TLS, whether the kernel took a single byte since a request was handed over. What it
//!    never took, nobody has received: that is what "not sent" rests on, and not on the kind of an error.
//! 2. A connection lives in a task of its own, which notices that the other side closed while nothing was asked.
//!    Whoever drops a [`Connection`] ends that task, so that nothing is written after an exchange was given up.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Cause, Endpoint};

/// A connection, ready for one request at a time.
pub(super) struct Connection {
    pub(super) sender: http1::SendRequest<Full<Bytes>>,
    task: AbortHandle,
    written: Written,
}

/// Whether the kernel took bytes of the request at hand.
#[derive(Clone, Default)]
struct Written(Arc<AtomicBool>);

/// A socket that notes what was written to it.
struct Watch {
    stream: TcpStream,
    written: Written,
}

/// Bytes of an answer's head. Gateways before a service add some; nobody sends this much.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// A kept connection that still has something to write is not used if that takes longer.
const SETTLES_WITHIN: Duration = Duration::from_millis(20);

// === impl Written ===

impl Written {
    fn note(&self, taken: &Poll<io::Result<usize>>) {
        if matches!(taken, Poll::Ready(Ok(bytes)) if *bytes > 0) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Connects, over TLS if the endpoint says so, within `limit`.
    pub(super) async fn open(endpoint: &Endpoint, tls: Option<&TlsConnector>, limit: Duration) -> Result<Self, Cause> {
        let opened = timeout(limit, Self::open_now(endpoint, tls, limit)).await;
        opened.unwrap_or(Err(Cause::Timeout))
    }

    async fn open_now(endpoint: &Endpoint, tls: Option<&TlsConnector>, limit: Duration) -> Result<Self, Cause> {
        let stream = connect(endpoint, limit).await.map_err(Cause::Connect)?;
        stream.set_nodelay(true).map_err(Cause::Connect)?;
        let written = Written::default();
        let watch = Watch { stream, written: written.clone() };
        let Some(connector) = tls else {
            return Self::handshake(watch, written).await;
        };
        let refused = || Cause::Tls(io::Error::new(io::ErrorKind::InvalidInput, "its host is no name of a server"));
        let name = endpoint.server_name().ok_or_else(refused)?;
        let stream = connector.connect(name, watch).await.map_err(Cause::Tls)?;
        Self::handshake(stream, written).await
    }

    async fn handshake<S>(stream: S, written: Written) -> Result<Self, Cause>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let made = http1::Builder::new()
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX * 2)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = made.map_err(|error| Cause::protocol(&error))?;
        let task = tokio::spawn(async move {
            // Its errors reach whoever waits for the answer.
            let _ = connection.await;
        });
        Ok(Self { sender, task: task.abort_handle(), written })
    }

    /// From here on what is written counts as a request's.
    pub(super) fn watch(&self) {
        self.written.0.store(false, Ordering::Relaxed);
    }

    /// Ends the connection and says whether anything of the request left.
    pub(super) fn end(self) -> bool {
        // First nothing more can be written: an aborted task of this thread's runtime is not polled again.
        self.task.abort();
        self.written.0.load(Ordering::Relaxed)
    }

    /// Whether a kept connection can carry another request: it is still there, and has nothing left to write.
    pub(super) async fn settles(&mut self) -> bool {
        if self.sender.is_closed() {
            return false;
        }
        self.sender.is_ready() || matches!(timeout(SETTLES_WITHIN, self.sender.ready()).await, Ok(Ok(())))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tries the addresses of a host one after the other, each with a fair share of the time that is left, so that one
/// that swallows packets does not keep us from the next.
async fn connect(endpoint: &Endpoint, limit: Duration) -> io::Result<TcpStream> {
    let until = Instant::now() + limit;
    let addresses: Vec<SocketAddr> = lookup_host((endpoint.host(), endpoint.port())).await?.collect();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (at, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::Error::new(io::ErrorKind::TimedOut, "no answer to the first packet"),
        }
    }
    Err(failed)
}

// === impl Watch ===

impl AsyncRead for Watch {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watch {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written.note(&taken);
        taken
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written.note(&taken);
        taken
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
