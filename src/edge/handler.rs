//! One request from end to end: judged by its head, then forwarded or answered here.
//!
//! 1. A request's target and framing are judged before it has a route: what could be read two ways is refused.
//! 2. The clock is read once, the configuration taken once; a decision is never inherited by the next request on
//!    the connection.
//! 3. The body is not touched before the decision, so a client that expects `100-continue` is told to go on by
//!    nobody but a permit.
//! 4. A panic ends one request with 500, not the worker.

mod lines;
mod target;

use std::{
    cell::Cell,
    convert::Infallible,
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    rc::{Rc, Weak},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING},
    uri::PathAndQuery,
};
use hyper::{
    body::{Body as _, Incoming},
    upgrade::OnUpgrade,
};

use self::target::{authority, rewritten};
use super::{
    access_log::Log,
    assertion::{self, Assertions, JWKS_PATH},
    body::{BodyError, Breach, RequestBody, ResponseBody, Watched},
    cors, grpc,
    headers::{HeaderRules, Origin, Presented, Seen},
    listener::Closing,
    peer::{Peer, Relayed},
    record::{Head, Outcome, Record},
    respond::Answer,
    server::{Current, UpstreamParts},
    session::{self, LoginWanted, Visit},
    settings::Settings,
    shop,
    tls::Tls,
    tunnel::{self, Full, Opening, Tunnels},
    upstream::{Lease, Pool, Upstream},
    watch::Watch,
    wire::{stall::Awaited, told::Turn},
};
use crate::{
    caip::AccountId,
    gate::{Gate, Judged, LastCredential, Verdict, keys::Keys, payment::Due, recheck::Standing, view::RequestView},
    metrics::Metrics,
    policy::{
        cross_site,
        decision::{Decision, Permit, RateScope, Refusal},
        identity::Identity,
        routes::Found,
        rule::Rule,
        target::CanonicalPath,
    },
    time::{Clock, UnixTime},
};

/// Everything a request reads, shared by all workers.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) settings: Settings,
    pub(crate) gate: Arc<Gate>,
    pub(crate) headers: HeaderRules,
    pub(crate) assertions: Option<Arc<Assertions>>,
    /// The keys that the store keeps, where any are used.
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// What each upstream was made of: one of the same is not made again.
    pub(crate) made_of: Vec<UpstreamParts>,
    /// Spoken on the public listeners; nothing: plain HTTP.
    pub(crate) tls: Option<Tls>,
    /// Since which version clients must show the certificates that they must show now.
    pub(crate) client_auth_since: Option<u64>,
    /// The origin that clients use, without a slash at its end.
    pub(crate) public_url: String,
    /// Names of plans that may be granted.
    pub(crate) plans: Vec<String>,
    /// What tells the configuration from others.
    pub(crate) digest: String,
    /// Counts the configurations and certificates of this process, from 0.
    pub(crate) version: u64,
    pub(crate) tunnels: Arc<Tunnels>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What a worker has of its own.
pub(crate) struct Worker {
    pub(crate) live: Arc<Live>,
    pub(crate) pools: Vec<Rc<Pool>>,
    pub(crate) log: Rc<Log>,
    pub(crate) ids: RequestIds,
    /// Whom the answer that was looked at last waits for.
    pub(crate) awaited: Rc<Cell<Awaited>>,
    /// Whether its connections are to end.
    pub(crate) closing: Rc<Closing>,
    /// Where what comes after it is found.
    pub(crate) current: Weak<Current>,
}

/// Ids of requests: unique, not secret.
pub(crate) struct RequestIds {
    prefix: [u8; 16],
    next: Cell<u64>,
}

// === impl RequestIds ===

impl RequestIds {
    /// Ids that begin with 8 bytes of a random source.
    pub(crate) fn new(random: [u8; 8]) -> Self {
        let mut prefix = [0; 16];
        data_encoding::HEXLOWER.encode_mut(&random, &mut prefix);
        Self { prefix, next: Cell::new(0) }
    }

    /// The number of the next request.
    pub(crate) fn next(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        number
    }

    /// Those after the last one of these.
    pub(crate) const fn go_on(&self) -> Self {
        Self { prefix: self.prefix, next: Cell::new(self.next.get()) }
    }

    /// The id of a request, by its number: 32 hex digits, the prefix and the number.
    pub(crate) fn id(&self, number: u64) -> HeaderValue {
        let mut text = [0; 32];
        text[..16].copy_from_slice(&self.prefix);
        data_encoding::HEXLOWER.encode_mut(&number.to_be_bytes(), &mut text[16..]);
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

// === impl Worker ===

impl Worker {
    /// What its worker serves by now: itself, or what came after it.
    pub(crate) fn latest(self: &Rc<Self>) -> Rc<Self> {
        self.current.upgrade().map_or_else(|| Rc::clone(self), |current| current.worker())
    }

    /// Answers a request, whatever happens.
    ///
    /// A service of hyper's returns a result; this one never fails. It is the service itself, for another future
    /// around it would make every request twice as large.
    pub(crate) async fn serve(
        self: Rc<Self>,
        peer: Rc<Peer>,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        peer.under(&self.live);
        let http1 = request.version() < Version::HTTP_2;
        let arrival = Arrival {
            started: Instant::now(),
            now: self.live.clock.now(),
            number: self.ids.next(),
            relayed: peer.relayed(&self.live.settings.proxies, request.headers()),
        };
        let turn = peer.turn();
        let line = match turn {
            Turn::One | Turn::Last => self.first_line(&arrival, &peer, &request),
            Turn::Refused(_) => self.refused_line(&arrival, &peer),
        };
        let mut record = Record::new(arrival.started, request.method().clone(), Rc::clone(&self), line);
        if let Turn::Refused(fault) = turn {
            let answer = Answer::of_fault(fault);
            if let Some(reason) = answer.rejected() {
                self.live.metrics.http_rejected.inc(reason);
            }
            let mut response = self.answer_here(&answer, &arrival, record);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return Ok(response);
        }
        let handled = {
            let mut handling = pin!(self.handle(&peer, request, &arrival, &mut record));
            caught(handling.as_mut()).await
        };
        let mut response = match handled {
            Ok(Ok(forwarded)) => forwarded.into_response(record, &peer),
            Ok(Err(answer)) => self.answer_here(&answer, &arrival, record),
            Err(Panicked) => {
                self.live.metrics.panics.inc();
                tracing::error!(
                    request_id = self.id(&arrival).to_str().unwrap_or(""),
                    "a request made the gateway panic; please report this"
                );
                self.answer_here(&Answer::Internal, &arrival, record)
            }
        };
        if turn == Turn::Last || (http1 && self.closing.has_begun()) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // Its body is to be taken from here on.
        self.awaited.set(Awaited::Client);
        Ok(response)
    }

    /// In two parts, so that what the judgement needs is gone while the upstream is waited for.
    async fn handle(
        self: &Rc<Self>,
        peer: &Peer,
        request: Request<Incoming>,
        arrival: &Arrival,
        record: &mut Record,
    ) -> Result<Forwarded, Answer> {
        let mut ready = self.judge(peer, request, arrival, record).await?;
        self.forward(&mut ready, arrival, record).await
    }

    /// From a request to one that may be sent, and where.
    async fn judge<'w>(
        self: &'w Rc<Self>,
        peer: &Peer,
        request: Request<Incoming>,
        arrival: &Arrival,
        record: &mut Record,
    ) -> Result<Ready<'w>, Answer> {
        let live = &self.live;
        let (mut parts, body) = request.into_parts();
        let rejected = |answer: &Answer| {
            if let Some(reason) = answer.rejected() {
                live.metrics.http_rejected.inc(reason);
            }
        };
        let seen = Seen::among(&parts.headers);
        if seen.grpc {
            record.calls_grpc(parts.version);
        }
        let target = self.target(peer, &parts, seen).inspect_err(rejected)?;
        let view = RequestView {
            method: &parts.method,
            host: target.host.as_str(),
            path: &target.path,
            target: parts.uri.path_and_query().map_or("/", PathAndQuery::as_str),
            headers: &parts.headers,
            client: peer.client(arrival.relayed.as_deref()),
            last: &peer.last,
            started: arrival.started,
        };
        if let Some(sessions) = live.gate.sessions()
            && let Some(door) = session::door(sessions.settings(), view.path.as_str())
        {
            let visit = Visit {
                gate: &live.gate,
                sessions,
                metrics: &live.metrics,
                view,
                query: parts.uri.query().unwrap_or(""),
                now: arrival.now,
                others: live.assertions.as_ref().map(|assertions| assertions.keys()),
                idle: live.settings.limits.body_idle_timeout,
            };
            // Boxed: few requests are these.
            return Err(Box::pin(visit.answer(door, body, record)).await);
        }
        if let Some(assertions) = &live.assertions
            && view.path.as_str() == JWKS_PATH
            && live.gate.sessions().is_none()
        {
            return Err(session::published(&assertions.keys(), view.method, arrival.now));
        }
        if let Some(door) = live.gate.shop_door(view.path.as_str()) {
            return Err(Box::pin(shop::answer(&live.gate, door, &view, parts.uri.query(), arrival.now)).await);
        }
        if let Some(asked) = cors::preflight_method(&parts.method, &parts.headers)
            && let Found::Rule(rule) = live.gate.routes().find(&asked, view.host, view.path)
            && let Some(origin) = cors::origin(rule, &parts.headers)
        {
            record.readable_by(origin.clone());
            return Err(Answer::Preflight(asked));
        }
        let judged = live.gate.decide(&view, arrival.now).await;
        record.routed(judged.place);
        if let Some(origin) = judged.rule.and_then(|rule| cors::origin(rule, &parts.headers)) {
            record.readable_by(origin.clone());
        }
        let login = judged.rule.and_then(|rule| LoginWanted::by(live.gate.sessions()?.settings(), rule, &view));
        record.signs_in(login);
        if let Some(line) = record.line() {
            self.judged_line(line, &judged);
        }
        let undecided = judged.reason().is_none();
        let (rule, permit, due) = admitted(judged).inspect_err(|answer| {
            if undecided {
                rejected(answer);
            }
        })?;
        if !self.log.sampled(arrival.number) {
            record.unlogged();
        }
        let pool = self.pools.get(rule.upstream).ok_or(Answer::Internal)?;
        let tunnel = if rule.websocket
            && seen.upgrade
            && pool.upstream().carries_tunnels()
            && tunnel::is_asked_for(&parts)
            && body.is_end_stream()
        {
            let upgrade = parts.extensions.get::<OnUpgrade>().cloned();
            self.open_tunnel(upgrade, rule, &permit, &view).inspect_err(rejected)?
        } else {
            None
        };
        let path_and_query = rewritten(rule, &target.path, &parts.uri)?;
        let limit = rule.body_bytes.unwrap_or(live.settings.limits.body_bytes);
        if limit.is_some_and(|limit| body.size_hint().lower() > limit) {
            return Err(Answer::BodyTooLarge);
        }
        // One that HTTP/2 names elsewhere is given to the upstream as HTTP/1.1 says it.
        let (host, host_field) = match parts.headers.get(HOST) {
            Some(host) => (host.clone(), None),
            None => {
                let host = authority(&parts.uri);
                (host.clone(), Some(host))
            }
        };
        let breach = Rc::new(Breach::default());
        record.receiving(Rc::clone(&breach));

        let trailer = if rule.trailers { parts.headers.get(TRAILER).cloned() } else { None };
        let (client, path) = peer.shown(arrival.relayed.as_deref());
        let origin =
            Origin { client, path, host, request_id: self.id(arrival), http1: parts.version != Version::HTTP_2 };
        let (served, source) = (target.served, view.client);
        let mut presented = live.headers.forward(&mut parts.headers, seen, rule.sessions, origin);
        if !cross_site::is_safe(&parts.method) {
            presented.of_page(&parts.headers);
        }
        live.headers.attach_identity(&mut parts.headers, &permit);
        if let Some(assertions) = &live.assertions {
            let forwarded = assertion::Forwarded {
                rule,
                upstream: pool.upstream().name(),
                method: &parts.method,
                path: path_and_query.path(),
                id: &self.id(arrival),
            };
            let sessions = live.gate.sessions().map(|sessions| sessions.settings());
            // Nothing but a path can make it too long.
            let made =
                assertions.make(&permit, &forwarded, sessions, arrival.now).map_err(|_| Answer::TargetTooLong)?;
            if let Some(assertion) = made {
                live.headers.attach_assertion(&mut parts.headers, assertion);
            }
        }
        if tunnel.is_some() {
            tunnel::ask_for(&mut parts.headers);
        }
        // The client's own passes as it is, where the upstream is to see none of its own.
        if let Some(host) = pool.upstream().host().cloned().or(host_field) {
            parts.headers.insert(HOST, host);
        }
        parts.version = Version::HTTP_11;
        let asked = std::mem::replace(&mut parts.uri, Uri::from(path_and_query));
        parts.extensions.clear();
        let body = if seen.grpc {
            let idle = rule.idle_timeout.unwrap_or(tunnel::IDLE);
            RequestBody::new(body, limit, idle, Rc::clone(&breach)).talking()
        } else {
            RequestBody::new(body, limit, live.settings.limits.body_idle_timeout, Rc::clone(&breach))
        };
        let body = if rule.trailers { body.with_trailers(live) } else { body };
        let trailer = trailer.and_then(|trailer| live.headers.announced(&trailer));
        // HTTP/2 may tell the length of what has trailers; by HTTP/1.1 they follow chunks alone (RFC 9112 §7.1.2).
        let chunked = body.size_hint().exact().is_none() || (trailer.is_some() && !pool.upstream().speaks_http2());
        if let Some(trailer) = trailer {
            parts.headers.insert(TRAILER, trailer);
        }
        if chunked && !body.is_end_stream() {
            // hyper would leave the body of a GET or HEAD out, had it not been told that there is one. It takes the
            // length away where it finds this.
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let private = permit.is_personal() && !rule.shared_cache;
        let let_in = LetIn { asked, served, source: Some(source), presented };
        let lasts = Lasts { tunnel, let_in, idle: rule.idle_timeout, recheck: rule.recheck };
        Ok(Ready {
            request: Some(Request::from_parts(parts, body)),
            permit,
            due: Some(due),
            breach,
            pool,
            private,
            lasts,
        })
    }

    /// A tunnel for a request that asks for one and was admitted, if there is room.
    fn open_tunnel(
        self: &Rc<Self>,
        upgrade: Option<OnUpgrade>,
        rule: &Rule,
        permit: &Permit,
        view: &RequestView<'_>,
    ) -> Result<Option<Box<Opening>>, Answer> {
        let Some(upgrade) = upgrade else {
            return Ok(None);
        };
        let live = &self.live;
        let payer = permit.paid().and_then(|paid| paid.payer.as_ref());
        let account = permit.identity().map(Identity::account).or(payer).map(AccountId::key);
        let limits = &live.settings.limits;
        let entered = live.tunnels.enter(account, (limits.tunnels, limits.tunnels_per_account));
        let entered = entered.map_err(|full| match full {
            Full::All => Answer::Overloaded,
            Full::Account => {
                let scope = RateScope::Account;
                live.gate.metrics_of(live.gate.routes().rules().element_offset(rule)).limited(scope.as_str());
                Answer::Refused(Refusal::RateLimited { scope, retry_after_secs: 1 })
            }
        })?;
        let watch = Watch::new(Rc::clone(self), Some(Standing::of(permit, view)), permit.valid_until(), rule.recheck);
        let idle = rule.idle_timeout.unwrap_or(tunnel::IDLE);
        Ok(Some(Box::new(Opening::new(upgrade, entered, watch, idle))))
    }

    /// Sends what may be sent and waits for the head of the answer.
    ///
    /// What it sends is lent to it: as an argument of its own it would be copied from frame to frame.
    async fn forward(
        self: &Rc<Self>,
        ready: &mut Ready<'_>,
        arrival: &Arrival,
        record: &mut Record,
    ) -> Result<Forwarded, Answer> {
        let Ready { request, permit, due, breach, pool, private, lasts } = ready;
        let due = due.take().unwrap_or_else(Due::nothing);
        let begun = Instant::now();
        let answer = match pool.send(request, breach, permit, lasts.tunnel.is_some(), begun).await {
            Ok(answer) => answer,
            Err(error) => {
                record.waited(begun.elapsed());
                let (id, upstream) = (self.id(arrival), pool.upstream().name());
                tracing::warn!(request_id = id.to_str().unwrap_or(""), upstream, %error, "no answer from the upstream");
                let answer = body_fault(breach).unwrap_or_else(|| Answer::of_upstream(&error));
                // What was settled before stays settled, and the payer is told, whatever the upstream does.
                return Err(match due.payment_response() {
                    Some(receipt) => Answer::Paid { receipt, answer: Box::new(answer) },
                    None => answer,
                });
            }
        };
        record.waited(answer.waited);
        if let Some(line) = record.line() {
            line.text("upstream", pool.upstream().name());
            if let Some(address) = answer.lease.address() {
                line.plain("upstream_addr", address);
            }
            line.number("upstream_status", answer.held.status().as_u16());
            line.millis("upstream_ms", answer.waited);
            line.number("retries", answer.retries);
        }
        let release = match due.release_at_once() {
            Ok(release) => release,
            // Boxed: few requests pay on their way back.
            Err(due) => {
                let (status, headers) = (answer.held.status().as_u16(), answer.held.headers());
                Box::pin(due.discharge(status, headers)).await.map_err(|refusal| Answer::Unpaid(Box::new(refusal)))?
            }
        };
        let (mut head, body) = answer.held.release(&release).into_parts();
        // The upstream's version is of its own connection (RFC 9110 §2.5); hyper would write it into the client's.
        head.version = Version::HTTP_11;
        let streams = self.live.headers.answer(&mut head.headers, *private);
        let usual = if streams { tunnel::IDLE } else { pool.upstream().body_idle() };
        let idle = lasts.idle.unwrap_or(usual);
        let watch = (streams && permit.is_personal()).then(|| -> Watched {
            let standing = std::mem::take(&mut lasts.let_in).standing(&self.live, record.method(), permit);
            Box::pin(Watch::new(Rc::clone(self), standing, permit.valid_until(), lasts.recheck).ended())
        });
        let after = answer.at.saturating_duration_since(arrival.started);
        let tunnel = match lasts.tunnel.take() {
            // The answer has agreed to it, or it would have ended above.
            Some(opening) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                tunnel::ask_for(&mut head.headers);
                head.extensions.remove::<OnUpgrade>().map(|upgrade| Box::new((opening, upgrade)))
            }
            _ => None,
        };
        Ok(Forwarded { head, body, lease: answer.lease, after, idle, watch, tunnel })
    }

    fn answer_here(&self, answer: &Answer, arrival: &Arrival, mut record: Record) -> Response<ResponseBody> {
        let mut response = answer.respond(&self.live.settings.realm, self.id(arrival));
        if let (Some(login), Some(sessions)) = (record.login(), self.live.gate.sessions()) {
            response = login.dress(&sessions.settings().prefix, answer, response);
        }
        if let (Answer::Session(answered), Some(line)) = (answer, record.line()) {
            line.text("route", "none");
            let who = answered.who();
            line.account(who.map(|(account, _)| account), self.log.account_shown());
            line.optional("chain", who.map(|(account, _)| account.chain_str()));
            line.optional("scheme", who.map(|(_, scheme)| scheme));
        }
        let status = response.status();
        let outcome = if status.is_server_error() { Outcome::Error } else { Outcome::Denied };
        if let Some(line) = record.line() {
            let code = answer.code();
            line.optional("code", (!code.is_empty()).then_some(code));
        }
        if record.is_grpc() {
            response = grpc::dress(response, &answer.detail());
        }
        if record.is_head() {
            // HTTP/1 would leave the body out by itself, HTTP/2 would send it.
            let length = response.body().len();
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            *response.body_mut() = Bytes::new();
        }
        let bodiless = response.body().is_empty();
        if let Some(origin) = record.take_reader() {
            cors::allow(response.headers_mut(), origin);
        }
        let after = arrival.started.elapsed();
        record.head(&Head { status: status.as_u16(), outcome, after, bodiless });
        response.map(|bytes| ResponseBody::own(bytes, record))
    }

    /// The id of a request: the one it came with from a trusted proxy, or one of ours.
    fn id(&self, arrival: &Arrival) -> HeaderValue {
        let kept = arrival.relayed.as_ref().and_then(|relayed| relayed.request_id());
        kept.cloned().unwrap_or_else(|| self.ids.id(arrival.number))
    }
}

/// What is known of a request when it arrives.
struct Arrival {
    started: Instant,
    now: UnixTime,
    /// Among those of its worker.
    number: u64,
    /// What a trusted proxy says of it. Boxed: few gateways have one in front.
    relayed: Option<Box<Relayed>>,
}

/// A request that may be sent, and where.
struct Ready<'w> {
    /// Taken when it is sent.
    request: Option<Request<RequestBody>>,
    permit: Permit,
    /// Taken when the answer is there.
    due: Option<Due>,
    breach: Rc<Breach>,
    pool: &'w Rc<Pool>,
    /// Whether no shared cache may keep the answer.
    private: bool,
    lasts: Lasts,
}

/// What is to be known where an answer lasts.
struct Lasts {
    /// Taken when the answer is there.
    tunnel: Option<Box<Opening>>,
    let_in: LetIn,
    /// The silence that the route allows.
    idle: Option<Duration>,
    recheck: Duration,
}

/// What a request was let in by. Its answer says whether it lasts, when the request is gone; so this is what was left
/// over of it, and no copy.
#[derive(Default)]
struct LetIn {
    /// The target as the client sent it.
    asked: Uri,
    /// The host that it is for, by its place among those that are served.
    served: usize,
    source: Option<IpAddr>,
    presented: Presented,
}

impl LetIn {
    /// What the gate is asked about again.
    fn standing(self, live: &Live, method: &Method, permit: &Permit) -> Option<Standing> {
        let (headers, last) = (self.presented.into_fields(), LastCredential::default());
        let view = RequestView {
            method,
            host: live.settings.hosts.get(self.served)?,
            path: &CanonicalPath::parse(self.asked.path()).ok()?,
            target: self.asked.path_and_query().map_or("/", PathAndQuery::as_str),
            headers: &headers,
            client: self.source?,
            last: &last,
            started: Instant::now(),
        };
        Some(Standing::of(permit, &view))
    }
}

/// An answer of an upstream, on its way.
struct Forwarded {
    head: http::response::Parts,
    body: Incoming,
    lease: Lease,
    after: Duration,
    idle: Duration,
    watch: Option<Watched>,
    /// The tunnel that it opens, and the upstream's side of it.
    tunnel: Option<Box<(Box<Opening>, OnUpgrade)>>,
}

impl Forwarded {
    fn into_response(self, mut record: Record, peer: &Peer) -> Response<ResponseBody> {
        let mut head = self.head;
        if let Some(origin) = record.take_reader() {
            cors::allow(&mut head.headers, origin);
        }
        let status = head.status.as_u16();
        let bodiless = self.body.is_end_stream();
        record.head(&Head { status, outcome: Outcome::Allowed, after: self.after, bodiless });
        if let Some(tunnel) = self.tunnel {
            let (opening, upgrade) = *tunnel;
            peer.tunnel.set(Some(Box::new(opening.agreed(upgrade, self.lease, record))));
            return Response::from_parts(head, ResponseBody::none());
        }
        if let Some(line) = record.line() {
            line.null("code");
        }
        Response::from_parts(head, ResponseBody::upstream(self.body, self.lease, self.idle, self.watch, record))
    }
}

/// The permit of an admitted request, or the answer of any other.
pub(crate) fn admitted(judged: Judged<'_>) -> Result<(&Rule, Permit, Due), Answer> {
    match (judged.verdict, judged.rule) {
        (Verdict::Decided(Decision::Admit(permit)), Some(rule)) => Ok((rule, permit, judged.due)),
        (Verdict::Unpaid(refusal), _) => Err(Answer::Unpaid(refusal)),
        (Verdict::Decided(Decision::Admit(_)), None) | (Verdict::NoRoute, _) => Err(Answer::NoRoute),
        (Verdict::Decided(Decision::Refuse(refusal)), _) => Err(Answer::Refused(refusal)),
        (Verdict::MethodNotAllowed, _) => Err(Answer::MethodNotAllowed),
        (Verdict::AmbiguousPath, _) => Err(Answer::AmbiguousPath),
        (Verdict::BadPath(error), _) => Err(Answer::BadPath(error)),
    }
}

/// What the client's body did wrong, if that is why there is no answer.
fn body_fault(breach: &Breach) -> Option<Answer> {
    breach.error().map(|error| match error {
        BodyError::Broken => Answer::BadRequest("the body of the request was broken off".to_owned()),
        BodyError::Stalled => Answer::RequestTimeout,
        BodyError::TooLarge => Answer::BodyTooLarge,
    })
}

struct Panicked;

/// Runs a future; a panic in it is its result. The future is borrowed, so that it need not be moved here.
async fn caught<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panicked> {
    std::future::poll_fn(|cx| {
        // What a request leaves half-done is its own: shared state is atomics, caches and channels, none of which
        // a panic between two awaits can leave in disorder.
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}
