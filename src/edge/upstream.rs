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

mod answer;
mod connection;
mod error;
mod pool;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use http::HeaderValue;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    body::Breach,
    deadline::Deadline,
    settings::{HostSent, UpstreamSettings},
};
use crate::metrics::UpstreamMetrics;
use connection::{Connection, HEAD_BYTES_MAX};
pub(crate) use error::UpstreamError;
pub(crate) use pool::{Lease, Pool};

/// An upstream, shared by all workers.
pub(crate) struct Upstream {
    settings: UpstreamSettings,
    metrics: UpstreamMetrics,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    host: Option<HeaderValue>,
    authority: String,
    in_flight: AtomicUsize,
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
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
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
            let _ = connection.with_upgrades().await;
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
