//! One connection to an upstream: made, sent on, waited on.
//!
//! 1. HTTP/1.1 carries one request at a time; of HTTP/2 each request has a stream of a connection that is [`Shared`].
//! 2. A request is made for HTTP/1.1; what HTTP/2 says otherwise is changed when it is sent.

use std::{
    cell::Cell,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use http::{
    Request, Response, Uri, Version,
    header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, Scheme},
};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use tokio::time::timeout;

use super::{Upstream, interim::Awaited};
use crate::edge::{body::RequestBody, deadline::Deadline};

/// Bytes of an answer's head.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A kept connection that still has to write what it was given last is closed if that takes longer.
const SETTLES_WITHIN: Duration = Duration::from_millis(20);

/// A connection. A task of its own reads and writes: driven by the task of the client's connection it would cost two
/// wakes less, but its writes would no longer come one after the other for a whole turn of the loop, and the kernel
/// takes more for that than the wakes do (measured: 0.8 µs a request more).
pub(super) struct Connection {
    pub(super) sender: Sender,
    pub(super) address: SocketAddr,
    /// The place of its endpoint.
    pub(super) place: usize,
    /// For the wait for an answer's head.
    pub(super) deadline: Deadline,
}

/// What a connection takes requests by.
pub(super) enum Sender {
    Http1(http1::SendRequest<RequestBody>, Awaited),
    Http2(Stream),
}

/// A connection of HTTP/2, shared by the requests of one worker.
pub(super) struct Shared {
    upstream: Arc<Upstream>,
    pub(super) sender: http2::SendRequest<RequestBody>,
    pub(super) address: SocketAddr,
    pub(super) place: usize,
    /// Requests that it carries.
    pub(super) streams: Cell<usize>,
    /// When it carried one last.
    pub(super) used: Cell<Instant>,
}

/// One request's part of it.
pub(super) struct Stream {
    pub(super) shared: Rc<Shared>,
    sender: http2::SendRequest<RequestBody>,
}

/// What comes of a request.
pub(super) type Answered = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

// === impl Shared ===

impl Shared {
    pub(super) fn new(
        upstream: Arc<Upstream>,
        sender: http2::SendRequest<RequestBody>,
        address: SocketAddr,
        place: usize,
    ) -> Rc<Self> {
        upstream.metrics.active.inc();
        let (streams, used) = (Cell::new(0), Cell::new(Instant::now()));
        Rc::new(Self { upstream, sender, address, place, streams, used })
    }

    /// A connection for one more request.
    pub(super) fn stream(self: &Rc<Self>) -> Box<Connection> {
        self.streams.set(self.streams.get() + 1);
        let stream = Stream { shared: Rc::clone(self), sender: self.sender.clone() };
        let (address, place) = (self.address, self.place);
        Box::new(Connection { sender: Sender::Http2(stream), address, place, deadline: Deadline::default() })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.upstream.metrics.active.dec();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.streams.set(self.shared.streams.get() - 1);
        self.shared.used.set(Instant::now());
    }
}

// === impl Stream ===

impl Stream {
    /// Sends a request, as HTTP/2 has it.
    fn send(&mut self, mut request: Request<RequestBody>) -> Pin<Box<dyn Future<Output = Answered>>> {
        let endpoint = self.shared.upstream.endpoints.get(self.shared.place);
        let named = request.headers_mut().remove(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let authority = named.or_else(|| Authority::try_from(endpoint?.authority.as_str()).ok());
        for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
            request.headers_mut().remove(name);
        }
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        let is_tls = endpoint.is_some_and(|endpoint| endpoint.name.is_some());
        parts.scheme = Some(if is_tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = authority;
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.version_mut() = Version::HTTP_2;
        Box::pin(self.sender.try_send_request(request))
    }
}

/// Makes a request that HTTP/2 gave back into one for any connection.
pub(super) fn unmade(mut request: Request<RequestBody>) -> Request<RequestBody> {
    if request.version() == Version::HTTP_2 {
        let parts = std::mem::take(request.uri_mut()).into_parts();
        if let Some(host) = parts.authority.and_then(|host| http::HeaderValue::from_str(host.as_str()).ok()) {
            request.headers_mut().insert(HOST, host);
        }
        *request.uri_mut() = parts.path_and_query.map(Uri::from).unwrap_or_default();
        *request.version_mut() = Version::HTTP_11;
    }
    request
}

// === impl Connection ===

impl Connection {
    /// Whether it is there no more.
    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender, _) => sender.is_closed(),
            Sender::Http2(stream) => stream.sender.is_closed(),
        }
    }

    /// Whether a kept connection can carry another request: it is still there, and has nothing left to write.
    pub(super) async fn settles(&mut self) -> bool {
        let Sender::Http1(sender, _) = &mut self.sender else {
            return !self.is_closed();
        };
        if sender.is_closed() {
            return false;
        }
        // At once ready, or one turn of its task away from it; a broken one answers with an error.
        sender.is_ready() || matches!(timeout(SETTLES_WITHIN, sender.ready()).await, Ok(Ok(())))
    }

    /// Sends a request and waits for the head of its answer; nothing if none came until `latest`.
    pub(super) fn answer(
        &mut self,
        request: Request<RequestBody>,
        latest: Instant,
    ) -> impl Future<Output = Option<Answered>> {
        // Not in the future: it goes into the connection's queue at once, and need not be carried about.
        let (plain, mut stream) = match &mut self.sender {
            Sender::Http1(sender, awaited) => {
                awaited.begin();
                (Some(sender.try_send_request(request)), None)
            }
            Sender::Http2(stream) => (None, Some(stream.send(request))),
        };
        let deadline = &mut self.deadline;
        async move {
            let mut plain = pin!(plain);
            let wait = std::future::poll_fn(|cx| {
                let polled = match (plain.as_mut().as_pin_mut(), stream.as_mut()) {
                    (Some(plain), _) => plain.poll(cx),
                    (None, Some(stream)) => stream.as_mut().poll(cx),
                    (None, None) => Poll::Pending,
                };
                match polled {
                    Poll::Pending => deadline.poll(latest, cx).map(|()| None),
                    answered => answered.map(Some),
                }
            });
            wait.await
        }
    }
}
