//! The private listener: metrics, health, and the admin API. What is behind `/admin/keys`,
//! `/admin/payments`, `/admin/sessions` and `/admin/subscriptions` stands in files of these names.
//!
//! | method and path | answers |
//! |---|---|
//! | GET `/metrics` | Prometheus text |
//! | GET `/livez` | 200 as long as the process runs its loop |
//! | GET `/readyz`, `/healthz` | 200 or 503; `?verbose` lists the checks |
//! | GET `/admin/subscriptions?account=&plan=&after=` | a page of what accounts hold |
//! | POST `/admin/subscriptions` | grants or extends: `{account, plan, expires_at? \| period?}` |
//! | DELETE `/admin/subscriptions/{account}/{plan}` | revokes |
//! | GET `/admin/payments?status=&account=&after=` | a page of payments, the newest first |
//! | GET `/admin/payments/{id}` | one of them |
//! | POST `/admin/payments/{id}/resolve` | ends one that nobody knows the outcome of: `{status, payer?, transaction?}` |
//! | GET `/admin/sessions?account=&after=` | a page of who is signed in, the newest first |
//! | DELETE `/admin/sessions/{sid}` | ends a set of sessions, or one session of it by its own id |
//! | DELETE `/admin/sessions?account=` | ends all sessions of an account |
//! | GET `/admin/keys` | the keys of tokens and assertions that the store keeps, and what each is for |
//! | POST `/admin/keys/rotate` | publishes a new one, which signs in five minutes |
//! | POST `/admin/reload` | reads the configuration again: 200, or 422 with every fault |
//! | POST `/admin/cache/flush` | forgets everything that is remembered |
//! | GET `/admin/state` | versions, readiness, sizes |
//!
//! 1. `/admin/*` is closed unless a token is configured. It is compared in constant time; a wrong one counts as
//!    a refusal of its address. The right one is taken whatever others at its address sent: behind a proxy all
//!    clients have one, and the operator must not be locked out by them.
//! 2. A request with an `Origin` comes from a page in somebody's browser and is refused.
//! 3. A change made here is seen by this process at once, and is one `audit` event in the log.
//! 4. Off loopback it speaks TLS with the certificates of the public listeners, if there are any; the configuration
//!    refuses a token without.
//! 5. Nothing here is served on a public listener.

mod answers;
pub(crate) mod keys;
pub(crate) mod payments;
mod reload;
pub(crate) mod sessions;
mod subscriptions;

use std::{
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ORIGIN},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use self::answers::{Answered, Problem, bad_request, empty, json_answer, nothing_here, other_method, text};
pub use self::reload::Reload;
use super::{
    handler::{Live, RequestIds},
    listener::Connections,
    tls::Tls,
};
use crate::{caip::AccountKey, gate::Gate, secret::Secret, store::Store};

/// What the private listener tells and changes.
pub(crate) struct Admin {
    /// Whether TLS is spoken, if the gateway has a certificate.
    pub(crate) off_loopback: bool,
    /// What is served by, now.
    pub(crate) live: watch::Receiver<Arc<Live>>,
    /// Where reloads are asked for.
    pub(crate) reloads: mpsc::UnboundedSender<Reload>,
    pub(crate) store: Store,
    /// Makes a secret that nobody can foresee.
    pub(crate) fresh_secret: fn() -> std::io::Result<Secret<[u8; 32]>>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) ids: RequestIds,
    pub(crate) started: Instant,
    pub(crate) version: &'static str,
    /// Reads a duration as the configuration writes it.
    pub(crate) duration: fn(&str) -> Option<Duration>,
}

/// What readiness is made of.
#[derive(Debug)]
pub(crate) struct Readiness {
    /// Listeners are bound.
    pub(crate) listeners: AtomicBool,
    /// Draining has begun.
    pub(crate) draining: AtomicBool,
    /// When the store answered last, in milliseconds from `begun` on.
    answered: AtomicU64,
    begun: Instant,
}

/// It never answered.
const NEVER: u64 = u64::MAX;

/// So long ago at most the store answered, if it is there: it is asked twice in this time, and one answer that is missed
/// changes nothing yet.
const STORE_HEARD_WITHIN: Duration = Duration::from_secs(10);

/// Rows of one page of a list.
const PAGE: usize = 100;

/// From accept, or the end of an answer, to a complete head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

// === impl Readiness ===

impl Default for Readiness {
    fn default() -> Self {
        let [listeners, draining] = [false; 2].map(AtomicBool::new);
        Self { listeners, draining, answered: AtomicU64::new(NEVER), begun: Instant::now() }
    }
}

impl Readiness {
    /// The store answered.
    pub(crate) fn heard_of_store(&self) {
        self.answered.store(self.millis(Instant::now()), Relaxed);
    }

    /// Whether it did lately.
    fn store_is_there(&self, now: Instant) -> bool {
        let answered = self.answered.load(Relaxed);
        let ago = Duration::from_millis(self.millis(now).saturating_sub(answered));
        answered != NEVER && ago < STORE_HEARD_WITHIN
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(NEVER - 1)
    }

    /// Each check and whether it holds.
    fn checks(&self, live: &Live) -> [(&'static str, bool); 5] {
        let [configuration, listeners, certificates, store, not_draining] = crate::metrics::READY_CHECKS;
        let now = live.clock.now();
        let ended = |tls: &Tls| tls.pairs.iter().any(|pair| pair.has_ended(now));
        [
            // A gateway with a faulty configuration does not run.
            (configuration, true),
            (listeners, self.listeners.load(Relaxed)),
            (certificates, !live.tls.as_ref().is_some_and(ended)),
            (store, self.store_is_there(Instant::now())),
            (not_draining, !self.draining.load(Relaxed)),
        ]
    }

    /// Whether requests may come.
    fn is_ready(&self, live: &Live) -> bool {
        self.checks(live).iter().all(|(_, holds)| *holds)
    }

    /// Writes the checks into their gauges.
    fn publish(&self, live: &Live) {
        for (check, holds) in self.checks(live) {
            live.metrics.ready(check).set(i64::from(holds));
        }
    }
}

// === impl Admin ===

impl Admin {
    /// Serves until dropped.
    pub(crate) async fn run(self: Rc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let this = Rc::clone(&self);
                    tokio::task::spawn_local(this.connection(stream, peer.ip()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection on the admin listener");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// What is served by, now.
    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.borrow())
    }

    async fn connection(self: Rc<Self>, stream: TcpStream, peer: IpAddr) {
        let tls = self.live().tls.as_ref().filter(|_| self.off_loopback).map(|tls| tls.private.clone());
        let Some(tls) = tls else {
            return self.serve(stream, peer).await;
        };
        if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
            self.serve(stream, peer).await;
        }
    }

    async fn serve<S>(self: Rc<Self>, stream: S, peer: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let service = service_fn(move |request| {
            let this = Rc::clone(&self);
            async move { Ok::<_, std::convert::Infallible>(this.answer(request, peer).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        // A client that goes away is no event here.
        let _ = served.await;
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let answered = match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => Ok(self.metrics()),
            (&Method::GET, "/livez") => Ok(text(StatusCode::OK, "ok\n".to_owned())),
            (&Method::GET, "/readyz" | "/healthz") => Ok(self.ready(request.uri().query())),
            (_, path) if path == "/admin" || path.starts_with("/admin/") => self.admin(request, peer).await,
            _ => Err(nothing_here("there is nothing at this path")),
        };
        let mut response = answered.unwrap_or_else(|problem| problem.respond(self.ids.id(self.ids.next())));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let live = self.live();
        let metrics = &live.metrics;
        let sizes = live.gate.sizes();
        metrics.cache_entries[0].set(i64::try_from(sizes.proofs).unwrap_or(i64::MAX));
        metrics.cache_entries[1].set(i64::try_from(sizes.accounts).unwrap_or(i64::MAX));
        metrics.cache_entries[2].set(i64::try_from(sizes.contracts).unwrap_or(i64::MAX));
        metrics.cache_entries[3].set(i64::try_from(sizes.sessions).unwrap_or(i64::MAX));
        self.readiness.publish(&live);
        let mut response = Response::new(Full::from(metrics.render()));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
        response
    }

    fn ready(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let ready = self.readiness.is_ready(&self.live());
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let verbose = query.is_some_and(|query| query.split('&').any(|pair| pair == "verbose"));
        if !verbose {
            return text(status, if ready { "ok\n" } else { "not ready\n" }.to_owned());
        }
        let lines = self
            .readiness
            .checks(&self.live())
            .map(|(check, holds)| format!("{check}: {}\n", if holds { "ok" } else { "no" }));
        text(status, lines.concat())
    }

    async fn admin(&self, request: Request<Incoming>, peer: IpAddr) -> Answered {
        self.authorize(&request, peer)?;
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or("").to_owned();
        let parts: Vec<&str> = path.split('/').skip(2).collect();
        match (request.method().clone(), parts.as_slice()) {
            (Method::GET, ["state"]) => Ok(json_answer(StatusCode::OK, &self.state())),
            (Method::POST, ["cache", "flush"]) => {
                self.live().gate.flush();
                tracing::info!(event = "audit", action = "cache_flush", peer = %peer, "caches flushed");
                Ok(empty(StatusCode::NO_CONTENT))
            }
            (Method::POST, ["reload"]) => self.reload(peer).await,
            (Method::GET, ["subscriptions"]) => self.list_subscriptions(&query).await,
            (Method::POST, ["subscriptions"]) => self.grant(request, peer).await,
            (Method::DELETE, ["subscriptions", account, plan]) => self.revoke(account, plan, peer).await,
            (Method::DELETE, ["subscriptions", ..]) => {
                Err(bad_request("expected `/admin/subscriptions/{account}/{plan}`"))
            }
            (Method::GET, ["payments"]) => self.list_payments(&query).await,
            (Method::GET, ["payments", id]) => self.payment(id).await,
            (Method::POST, ["payments", id, "resolve"]) => self.resolve(id, request, peer).await,
            (Method::GET, ["sessions"]) => self.list_sessions(&query).await,
            (Method::DELETE, ["sessions"]) => self.end_sessions_of(&query, peer).await,
            (Method::DELETE, ["sessions", sid]) => self.end_session(sid, peer).await,
            (Method::GET, ["keys"]) => self.list_keys(),
            (Method::POST, ["keys", "rotate"]) => self.rotate_keys(peer).await,
            (
                _,
                ["state" | "reload" | "subscriptions" | "payments" | "sessions" | "keys"]
                | ["keys", "rotate"]
                | ["sessions", _]
                | ["cache", "flush"]
                | ["payments", _]
                | ["payments", _, "resolve"],
            ) => Err(other_method()),
            _ => Err(nothing_here("there is nothing at this path")),
        }
    }

    fn authorize(&self, request: &Request<Incoming>, peer: IpAddr) -> Result<(), Problem> {
        if request.headers().contains_key(ORIGIN) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "origin_not_allowed",
                "the admin API takes no requests of web pages",
            ));
        }
        let live = self.live();
        let Some(token) = live.settings.admin.as_ref().and_then(|admin| admin.token.as_ref()) else {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "no_route",
                "the admin API is closed; `admin.token` in the configuration opens it",
            ));
        };
        let presented = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        // First of all: the refusals of wallets count by the same address, and must not lock the operator out.
        if presented.strip_prefix(b"Bearer ").is_some_and(|presented| token.matches(presented)) {
            return Ok(());
        }
        if let Some(wait) = self.live().gate.exhausted(peer, Instant::now()) {
            let problem = Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_refusals",
                "too many refused credentials came from this address; try again later",
            );
            return Err(Problem { retry_after_secs: Some(wait.as_secs() + 1), ..problem });
        }
        self.live().gate.count_refusal(peer, Instant::now());
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "credential_required",
            "expected `Authorization: Bearer` and the admin token",
        ))
    }

    fn state(&self) -> Value {
        let live = self.live();
        let sizes = self.live().gate.sizes();
        let checks: serde_json::Map<String, Value> =
            self.readiness.checks(&live).iter().map(|(check, holds)| ((*check).to_owned(), json!(holds))).collect();
        let upstreams: Vec<Value> = live
            .upstreams
            .iter()
            .map(|upstream| json!({ "name": upstream.name(), "in_flight": upstream.in_flight() }))
            .collect();
        json!({
            "version": self.version,
            "configuration": live.digest,
            "uptime_seconds": self.started.elapsed().as_secs(),
            "ready": self.readiness.is_ready(&self.live()),
            "checks": checks,
            "caches": {
                "proofs": sizes.proofs,
                "subscriptions": sizes.accounts,
                "contracts": sizes.contracts,
                "sessions": sizes.sessions,
            },
            "connections": self.connections.open(),
            "requests_in_flight": self.live().metrics.http_requests_in_flight.get(),
            "store": self.store.name(),
            "upstreams": upstreams,
        })
    }
}

// === impl Changing ===

/// A change on its way to the store. The gate is told of it when it is over, also when whoever asked for it hung up
/// meanwhile.
struct Changing<'c> {
    gate: &'c Gate,
    account: &'c AccountKey,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.gate.changed(self.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One check that failed took the gateway out of service at once.
    #[test]
    fn a_store_is_there_if_it_answered_within_ten_seconds() {
        let readiness = Readiness::default();
        let now = Instant::now();
        assert!(!readiness.store_is_there(now), "nobody asked it yet");
        readiness.heard_of_store();
        let heard = Instant::now();
        assert!(readiness.store_is_there(heard));
        assert!(readiness.store_is_there(heard + Duration::from_millis(9_900)));
        assert!(!readiness.store_is_there(heard + Duration::from_secs(10)));
        readiness.heard_of_store();
        assert!(readiness.store_is_there(heard + Duration::from_secs(9)));
    }
}
