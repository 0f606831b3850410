//! The private listener: metrics, health, and the admin API.
//!
//! | method and path | answers |
//! |---|---|
//! | GET `/metrics` | Prometheus text |
//! | GET `/livez` | 200 as long as the process runs its loop |
//! | GET `/readyz`, `/healthz` | 200 or 503; `?verbose` lists the checks |
//! | GET `/admin/subscriptions?account=&plan=&after=` | a page of what accounts hold |
//! | POST `/admin/subscriptions` | grants or extends: `{account, plan, expires_at? \| period?}` |
//! | DELETE `/admin/subscriptions/{account}/{plan}` | revokes |
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

use std::{
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{
    handler::{Live, RequestIds},
    headers::X_REQUEST_ID,
    listener::Connections,
    settings::AdminSettings,
};
use crate::{
    caip::AccountKey,
    chain::account::{self, Named},
    gate::Gate,
    metrics::Metrics,
    store::{Cursor, Filter, Grant, Held, Store, StoreError, Term},
    time::UnixTime,
};

/// What the private listener tells and changes.
pub(crate) struct Admin {
    pub(crate) settings: AdminSettings,
    /// Spoken where the listener is not on loopback and the gateway has a certificate.
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) live: Arc<Live>,
    pub(crate) store: Store,
    pub(crate) connections: Arc<Connections>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) plans: Vec<String>,
    pub(crate) ids: RequestIds,
    pub(crate) started: Instant,
    pub(crate) version: &'static str,
    /// Reads a duration as the configuration writes it.
    pub(crate) duration: fn(&str) -> Option<Duration>,
}

/// What readiness is made of.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    /// Listeners are bound.
    pub(crate) listeners: std::sync::atomic::AtomicBool,
    /// The store answered the last time it was asked.
    pub(crate) store: std::sync::atomic::AtomicBool,
    /// Draining has begun.
    pub(crate) draining: std::sync::atomic::AtomicBool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantBody {
    account: String,
    plan: String,
    expires_at: Option<String>,
    period: Option<String>,
}

/// An answer that is not the one hoped for.
struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after_secs: Option<u64>,
}

type Answered = Result<Response<Full<Bytes>>, Problem>;

/// Bytes of a request's body here.
const BODY_MAX: usize = 64 * 1024;

/// Subscriptions of one page.
const PAGE: usize = 100;

/// From accept, or the end of an answer, to a complete head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

// === impl Readiness ===

impl Readiness {
    /// Each check and whether it holds.
    pub(crate) fn checks(&self) -> [(&'static str, bool); 4] {
        use std::sync::atomic::Ordering::Relaxed;
        let [configuration, listeners, store, not_draining] = crate::metrics::READY_CHECKS;
        [
            // A gateway with a faulty configuration does not run.
            (configuration, true),
            (listeners, self.listeners.load(Relaxed)),
            (store, self.store.load(Relaxed)),
            (not_draining, !self.draining.load(Relaxed)),
        ]
    }

    /// Whether requests may come.
    pub(crate) fn is_ready(&self) -> bool {
        self.checks().iter().all(|(_, holds)| *holds)
    }

    /// Writes the checks into their gauges.
    pub(crate) fn publish(&self, metrics: &Metrics) {
        for (check, holds) in self.checks() {
            metrics.ready(check).set(i64::from(holds));
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

    async fn connection(self: Rc<Self>, stream: TcpStream, peer: IpAddr) {
        let Some(tls) = self.tls.clone() else {
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
            _ => Err(Problem::new(StatusCode::NOT_FOUND, "no_route", "there is nothing at this path")),
        };
        let mut response = answered.unwrap_or_else(|problem| problem.respond(self.ids.next().0));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let metrics = &self.live.metrics;
        let sizes = self.live.gate.sizes();
        metrics.cache_entries[0].set(i64::try_from(sizes.proofs).unwrap_or(i64::MAX));
        metrics.cache_entries[1].set(i64::try_from(sizes.accounts).unwrap_or(i64::MAX));
        self.readiness.publish(metrics);
        let mut response = Response::new(Full::from(metrics.render()));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
        response
    }

    fn ready(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let ready = self.readiness.is_ready();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let verbose = query.is_some_and(|query| query.split('&').any(|pair| pair == "verbose"));
        if !verbose {
            return text(status, if ready { "ok\n" } else { "not ready\n" }.to_owned());
        }
        let lines =
            self.readiness.checks().map(|(check, holds)| format!("{check}: {}\n", if holds { "ok" } else { "no" }));
        text(status, lines.concat())
    }

    async fn admin(&self, request: Request<Incoming>, peer: IpAddr) -> Answered {
        self.authorize(&request, peer)?;
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or("").to_owned();
        match (request.method().clone(), path.as_str()) {
            (Method::GET, "/admin/state") => Ok(json_answer(StatusCode::OK, &self.state())),
            (Method::POST, "/admin/cache/flush") => {
                self.live.gate.flush();
                tracing::info!(event = "audit", action = "cache_flush", peer = %peer, "caches flushed");
                Ok(empty(StatusCode::NO_CONTENT))
            }
            (Method::GET, "/admin/subscriptions") => self.list(&query).await,
            (Method::POST, "/admin/subscriptions") => self.grant(request, peer).await,
            (Method::DELETE, path) if path.starts_with("/admin/subscriptions/") => {
                self.revoke(path.trim_start_matches("/admin/subscriptions/"), peer).await
            }
            (_, "/admin/state" | "/admin/cache/flush" | "/admin/subscriptions") => {
                Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this method is not taken here"))
            }
            _ => Err(Problem::new(StatusCode::NOT_FOUND, "no_route", "there is nothing at this path")),
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
        let Some(token) = &self.settings.token else {
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
        if let Some(wait) = self.live.gate.exhausted(peer, Instant::now()) {
            let problem = Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_refusals",
                "too many refused credentials came from this address; try again later",
            );
            return Err(Problem { retry_after_secs: Some(wait.as_secs() + 1), ..problem });
        }
        self.live.gate.count_refusal(peer, Instant::now());
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "credential_required",
            "expected `Authorization: Bearer` and the admin token",
        ))
    }

    async fn list(&self, query: &str) -> Answered {
        let mut filter = Filter::default();
        let mut after: Option<Cursor> = None;
        for (name, value) in pairs(query)? {
            match name.as_str() {
                "account" => filter.account = Some(account_key(&value)?),
                "plan" => filter.plan = Some(value),
                "after" => {
                    after = Some(
                        value
                            .parse()
                            .map_err(|_| bad_request("expected `after` as a page before gave it in `next`"))?,
                    );
                }
                _ => return Err(bad_request("expected `account`, `plan` and `after` alone in the query")),
            }
        }
        let page = self.store.subscriptions().list(&filter, after.as_ref(), PAGE).await?;
        let now = self.live.clock.now();
        let held: Vec<Value> = page.held.iter().map(|held| shown(held, now)).collect();
        let next = page.next.map(|cursor| cursor.to_string());
        Ok(json_answer(StatusCode::OK, &json!({ "subscriptions": held, "next": next })))
    }

    async fn grant(&self, request: Request<Incoming>, peer: IpAddr) -> Answered {
        let body = Limited::new(request.into_body(), BODY_MAX).collect().await;
        let body = body.map_err(|_| bad_request("expected a body of at most 64 KiB"))?.to_bytes();
        let body: GrantBody = serde_json::from_slice(&body).map_err(|error| bad_request(&error.to_string()))?;
        let account = account_key(&body.account)?;
        if body.plan != "default" && !self.plans.contains(&body.plan) {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "unknown_plan",
                "no [[plan]] of the configuration has this name",
            ));
        }
        let term = match (body.expires_at, body.period) {
            (None, None) => Term::UntilRevoked,
            (Some(end), None) => Term::Until(
                UnixTime::parse_rfc3339(&end)
                    .ok_or_else(|| bad_request("expected `expires_at` as an RFC 3339 time"))?,
            ),
            (None, Some(period)) => {
                let length =
                    (self.duration)(&period).ok_or_else(|| bad_request("expected `period` such as `30d` or `24h`"))?;
                Term::Period { length, id: None }
            }
            (Some(_), Some(_)) => return Err(bad_request("expected `expires_at` or `period`, not both")),
        };
        let grant = Grant::new(account.clone(), &body.plan, term).map_err(|error| bad_request(&error.to_string()))?;
        let changing = Changing { gate: &self.live.gate, account: &account };
        let subscription = self.store.subscriptions().grant(&grant, self.live.clock.now()).await?;
        drop(changing);
        tracing::info!(event = "audit", action = "grant", account = %account, plan = %subscription.plan, peer = %peer, "subscription granted");
        let held = Held { account, subscription };
        Ok(json_answer(StatusCode::OK, &shown(&held, self.live.clock.now())))
    }

    async fn revoke(&self, rest: &str, peer: IpAddr) -> Answered {
        let Some((account, plan)) = rest.split_once('/') else {
            return Err(bad_request("expected `/admin/subscriptions/{account}/{plan}`"));
        };
        let (account, plan) = (account_key(&decoded(account)?)?, decoded(plan)?);
        let changing = Changing { gate: &self.live.gate, account: &account };
        let revoked = self.store.subscriptions().revoke(&account, &plan).await?;
        drop(changing);
        if !revoked {
            return Err(Problem::new(StatusCode::NOT_FOUND, "no_route", "this account does not hold this plan"));
        }
        tracing::info!(event = "audit", action = "revoke", account = %account, plan = %plan, peer = %peer, "subscription revoked");
        Ok(empty(StatusCode::NO_CONTENT))
    }

    fn state(&self) -> Value {
        let sizes = self.live.gate.sizes();
        let checks: serde_json::Map<String, Value> =
            self.readiness.checks().iter().map(|(check, holds)| ((*check).to_owned(), json!(holds))).collect();
        let upstreams: Vec<Value> = self
            .live
            .upstreams
            .iter()
            .map(|upstream| json!({ "name": upstream.name(), "in_flight": upstream.in_flight() }))
            .collect();
        json!({
            "version": self.version,
            "uptime_seconds": self.started.elapsed().as_secs(),
            "ready": self.readiness.is_ready(),
            "checks": checks,
            "caches": { "proofs": sizes.proofs, "subscriptions": sizes.accounts },
            "connections": self.connections.open(),
            "requests_in_flight": self.live.metrics.http_requests_in_flight.get(),
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

// === impl Problem ===

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: &str) -> Self {
        Self { status, code, detail: detail.to_owned(), retry_after_secs: None }
    }

    fn respond(self, request_id: HeaderValue) -> Response<Full<Bytes>> {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id.to_str().unwrap_or(""),
        });
        let mut response = json_answer(self.status, &body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(X_REQUEST_ID, request_id);
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_secs {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store did not do what the admin API asked");
        // Whoever holds the admin token is the operator, who may read the cause.
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", &error.to_string());
        Self { retry_after_secs: Some(1), ..problem }
    }
}

fn bad_request(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
}

fn shown(held: &Held, now: UnixTime) -> Value {
    let subscription = &held.subscription;
    json!({
        "account": account::spelled(&held.account),
        "plan": subscription.plan,
        "starts_at": subscription.starts_at.to_string(),
        "expires_at": subscription.expires_at.map(|end| end.to_string()),
        "active": subscription.is_active(now),
        "chain": subscription.chain.as_ref().map(ToString::to_string),
    })
}

/// The key of an account, however it is named.
fn account_key(text: &str) -> Result<AccountKey, Problem> {
    Named::parse(text).map(|named| named.key).map_err(|error| bad_request(&error.to_string()))
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// Percent-decoding of one part of a target.
fn decoded(text: &str) -> Result<String, Problem> {
    let wrong = || bad_request("expected percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, more) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = more;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
