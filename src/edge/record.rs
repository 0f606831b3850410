//! What is said about one request when it ends: counters, histograms, the access line.
//!
//! A [`Record`] is made when a request arrives and travels with the answer's body; when it is dropped, the
//! request is over, however it ended, and is counted once.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Version};

use super::{
    access_log::Line,
    body::{BodyError, Breach},
    handler::Worker,
    session::LoginWanted,
};

/// One request, from its head to the last byte of its answer.
pub(crate) struct Record {
    inner: Box<Inner>,
}

struct Inner {
    started: Instant,
    method: Method,
    status: u16,
    outcome: Outcome,
    /// Time that was not ours: the wait for the upstream's head, or for its failure.
    waited: Duration,
    /// Until the answer's head was ready.
    head_after: Duration,
    sent: u64,
    /// When the last of the answer's body was there, if the time was taken then.
    ended: Option<Instant>,
    completed: bool,
    upstream_aborted: bool,
    received: Option<Rc<Breach>>,
    /// The place of its route among the routes.
    route: Option<usize>,
    /// The origin whose script may read the answer.
    cors: Option<HeaderValue>,
    /// Whether a person waits who would sign in.
    login: Option<LoginWanted>,
    /// Whether it is a call of gRPC.
    grpc: bool,
    /// Whether it came by HTTP/2.
    http2: bool,
    worker: Rc<Worker>,
    line: Option<Line>,
    /// Bytes that came through a tunnel; nothing: there is none.
    tunnelled: Option<u64>,
}

/// How a request ended, for the histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was forwarded and answered.
    Allowed,
    /// It was refused.
    Denied,
    /// Something failed, here or behind.
    Error,
}

/// What is known when the answer's head is ready.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    /// From the arrival of the request to this head, as the caller knows.
    pub(crate) after: Duration,
    /// Whether the answer has no body to wait for.
    pub(crate) bodiless: bool,
}

impl Record {
    pub(crate) fn new(started: Instant, method: Method, worker: Rc<Worker>, line: Option<Line>) -> Self {
        worker.live.metrics.http_requests_in_flight.inc();
        Self {
            inner: Box::new(Inner {
                started,
                method,
                status: 0,
                outcome: Outcome::Error,
                waited: Duration::ZERO,
                head_after: Duration::ZERO,
                sent: 0,
                ended: None,
                completed: false,
                upstream_aborted: false,
                received: None,
                route: None,
                cors: None,
                login: None,
                grpc: false,
                http2: false,
                worker,
                line,
                tunnelled: None,
            }),
        }
    }

    /// Who serves it.
    pub(crate) fn worker(&self) -> &Worker {
        &self.inner.worker
    }

    /// The request's method.
    pub(crate) fn method(&self) -> &Method {
        &self.inner.method
    }

    /// Whether the request is a HEAD, whose answer has no body.
    pub(crate) fn is_head(&self) -> bool {
        self.inner.method == Method::HEAD
    }

    /// The request has a route after all.
    pub(crate) fn routed(&mut self, route: Option<usize>) {
        self.inner.route = route;
    }

    /// A script of this origin may read the answer.
    pub(crate) fn readable_by(&mut self, origin: HeaderValue) {
        self.inner.cors = Some(origin);
    }

    /// The origin whose script may read the answer, taken.
    pub(crate) fn take_reader(&mut self) -> Option<HeaderValue> {
        self.inner.cors.take()
    }

    /// A refusal is for a person who would sign in.
    pub(crate) fn signs_in(&mut self, login: Option<LoginWanted>) {
        self.inner.login = login;
    }

    /// Whether a refusal is for a person who would sign in.
    pub(crate) fn login(&self) -> Option<LoginWanted> {
        self.inner.login
    }

    /// It is a call of gRPC, which came by HTTP/2 or by something older.
    pub(crate) fn calls_grpc(&mut self, version: Version) {
        (self.inner.grpc, self.inner.http2) = (true, version == Version::HTTP_2);
    }

    /// Whether it is a call of gRPC.
    pub(crate) fn is_grpc(&self) -> bool {
        self.inner.grpc
    }

    /// Whether it is a call of gRPC whose answer may end with a status of ours, whatever came before.
    pub(crate) fn ends_with_status(&self) -> bool {
        self.inner.grpc && self.inner.http2
    }

    /// The request's body, if it is one of a call in which both sides speak.
    pub(crate) fn talk(&self) -> Option<&Breach> {
        self.inner.received.as_deref().filter(|_| self.inner.grpc)
    }

    /// What the request's body did wrong.
    pub(crate) fn request_fault(&self) -> Option<BodyError> {
        self.inner.received.as_ref().and_then(|body| body.error())
    }

    /// The line in the making.
    pub(crate) fn line(&mut self) -> Option<&mut Line> {
        self.inner.line.as_mut()
    }

    /// This request is not among those that are logged.
    pub(crate) fn unlogged(&mut self) {
        self.inner.line = None;
    }

    /// The request's body is counted here.
    pub(crate) fn receiving(&mut self, body: Rc<Breach>) {
        self.inner.received = Some(body);
    }

    /// So long the upstream was waited for.
    pub(crate) fn waited(&mut self, waited: Duration) {
        self.inner.waited = waited;
    }

    /// The answer's head is ready.
    pub(crate) fn head(&mut self, head: &Head) {
        self.inner.status = head.status;
        self.inner.outcome = head.outcome;
        self.inner.head_after = head.after;
        self.inner.completed = head.bodiless || self.is_head();
    }

    /// Bytes of the answer's body went out.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.inner.sent += bytes;
    }

    /// The last of the answer's body is there; it goes out at once.
    pub(crate) fn ended(&mut self, now: Instant) {
        self.inner.ended = Some(now);
    }

    /// The answer's body came to its end.
    pub(crate) fn completed(&mut self) {
        self.inner.completed = true;
    }

    /// The request became a tunnel: it is none of those in flight any more.
    pub(crate) fn tunnels(&mut self) {
        self.inner.tunnelled = Some(0);
        self.inner.worker.live.metrics.http_requests_in_flight.dec();
    }

    /// The tunnel has ended: what came from the client and from the upstream, and why, if not by one of them.
    pub(crate) fn tunnelled(&mut self, received: u64, sent: u64, ended: Option<&'static str>) {
        (self.inner.tunnelled, self.inner.sent) = (Some(received), sent);
        if let Some(line) = self.inner.line.as_mut() {
            line.optional("code", ended);
        }
    }

    /// The upstream broke its answer off.
    pub(crate) fn upstream_broke_off(&mut self) {
        self.inner.upstream_aborted = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.inner.finish();
    }
}

impl Inner {
    fn finish(&mut self) {
        let worker = Rc::clone(&self.worker);
        let route = worker.live.gate.metrics_of(self.route);
        if self.tunnelled.is_none() {
            worker.live.metrics.http_requests_in_flight.dec();
        }
        let duration = self.ended.unwrap_or_else(Instant::now).saturating_duration_since(self.started);
        let answered = self.status != 0;
        if !answered {
            // The client went away before there was an answer: 499 is what proxies call that.
            self.status = 499;
            self.outcome = Outcome::Denied;
        }
        route.finished(&self.method, self.status);
        let histogram = match self.outcome {
            Outcome::Allowed => &route.allowed,
            Outcome::Denied => &route.denied,
            Outcome::Error => &route.error,
        };
        // How long a tunnel was open says nothing about how fast anything is.
        if self.tunnelled.is_none() {
            histogram.observe(duration);
        }
        let overhead = self.head_after.saturating_sub(self.waited);
        if answered {
            route.overhead.observe(overhead);
        }
        let received = self.tunnelled.unwrap_or_else(|| self.received.as_ref().map_or(0, |body| body.bytes()));
        if received > 0 {
            route.request_bytes.inc_by(received);
        }
        if self.sent > 0 {
            route.response_bytes.inc_by(self.sent);
        }
        let aborted = match (self.upstream_aborted, self.completed) {
            (true, _) => Some("upstream"),
            (false, false) => Some("client"),
            (false, true) => None,
        };
        if let Some(mut line) = self.line.take() {
            line.number("status", self.status);
            line.number("overhead_us", overhead.as_micros());
            line.millis("duration_ms", duration);
            line.number("req_bytes", received);
            line.number("resp_bytes", self.sent);
            line.optional("aborted", aborted);
            worker.log.push(line);
        }
    }
}
