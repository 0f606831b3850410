//! Every counter, gauge and histogram the gateway exports, by the names of its operations conventions.
//!
//! 1. Labels come from the configuration or from closed lists, never from a client; so the number of series
//!    has a bound, and no text of a stranger is ever exported.
//! 2. What has a closed list of labels exists at 0 from the start, so that `rate()` sees the first event.
//! 3. What a request touches is looked up once, at start: a [`RouteMetrics`] holds the series of its route, an
//!    [`UpstreamMetrics`] those of its upstream, and counting is an atomic addition.
//! 4. This room knows words, not domain types: whoever counts turns its own enum into one of the words below.

mod services;
mod striped;
mod words;

use std::{sync::OnceLock, time::Duration};

use prometheus::{Encoder as _, Registry, TextEncoder};

pub use services::{
    FacilitatorMetrics, LookupMetrics, OperationMetrics, RPC_RESULTS, RpcMetrics, SETTLE_RESULTS, SUPPORTED_RESULTS,
    VERIFY_RESULTS,
};
pub use striped::{Counter, Gauge, Histogram, OwnStripe};
use striped::{Family, Series};
pub use words::{
    ADDRESS_PAUSES, AUTH_PATHS, CACHE_RESULTS, CACHES, CONNECTIONS_REJECTED, EVICTIONS, GOAWAYS, HANDSHAKES_DONE,
    HANDSHAKES_FAILED, OPEN_STATUSES, PAYMENT_STATUSES, PROTOCOLS, READY_CHECKS, REJECTED, RELOADS, TLS_VERSIONS,
    UPSTREAM_ERRORS,
};

const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "other"];

/// Statuses that have a place of their own in a [`RouteMetrics`]; others take the slower way by their digits.
const STATUSES: [u16; 48] = [
    200, 201, 202, 203, 204, 205, 206, 207, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406,
    408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503,
    504, 508,
];

const REQUEST_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const OVERHEAD_BUCKETS: [f64; 10] = [0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05];
const AUTH_BUCKETS: [f64; 12] = [2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 1e-1, 1.0];
const LOOKUP_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
const FACILITATOR_BUCKETS: [f64; 14] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0];
const RPC_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// All of them. Fields are named as the metrics without prefix and suffix.
#[allow(missing_docs, reason = "the names and the help texts below are the documentation")]
pub struct Metrics {
    registry: Registry,
    http_requests: Family<Counter>,
    http_request_duration: Family<Histogram>,
    gateway_overhead: Family<Histogram>,
    http_request_bytes: Family<Counter>,
    http_response_bytes: Family<Counter>,
    auth_decisions: Family<Counter>,
    upstream_requests: Family<Counter>,
    upstream_duration: Family<Histogram>,
    upstream_connect_duration: Family<Histogram>,
    upstream_errors: Family<Counter>,
    upstream_connections: Family<Gauge>,
    upstream_retries: Family<Counter>,
    upstream_endpoint_up: Family<Gauge>,
    upstream_tls_unverified: Family<Gauge>,
    signature_verifications: Family<Counter>,
    signature_verify_duration: Family<Histogram>,
    subscription_lookups: Family<Counter>,
    subscription_lookup_duration: Family<Histogram>,
    sign_ins: Family<Counter>,
    store_operations: Family<Counter>,
    store_operation_duration: Family<Histogram>,
    facilitator_requests: Family<Counter>,
    payments: Family<Counter>,
    purchases: Family<Counter>,
    facilitator_duration: Family<Histogram>,
    rpc_requests: Family<Counter>,
    rpc_duration: Family<Histogram>,
    tls_handshakes: Family<Counter>,
    certificate_not_after: Family<Gauge>,
    build_info: Family<Gauge>,
    ready: Family<Gauge>,
    pub http_requests_in_flight: Gauge,
    pub http_rejected: Words<REJECTED_LEN>,
    pub auth_duration: [Histogram; 4],
    pub cache_requests: [Words<5>; 4],
    pub cache_entries: [Gauge; 4],
    pub cache_evictions: [Words<4>; 4],
    pub payments_open: [Gauge; 3],
    rate_limited: Family<Counter>,
    pub connections: [Gauge; 3],
    pub connections_accepted: Words<3>,
    pub connections_rejected: Words<6>,
    pub address_pauses: Words<2>,
    pub goaways: Words<8>,
    pub draining: Gauge,
    pub config_last_reload_successful: Gauge,
    pub config_last_reload_success_timestamp: Gauge,
    pub config_reloads: Words<2>,
    pub log_dropped: Counter,
    pub panics: Counter,
}

const REJECTED_LEN: usize = REJECTED.len();

/// Counters over one closed list of words.
pub struct Words<const N: usize> {
    words: &'static [&'static str; N],
    counters: [Counter; N],
}

/// The series of one route, or of requests that have none.
pub struct RouteMetrics {
    requests: Family<Counter>,
    route: String,
    by_status: [[OnceLock<Counter>; STATUSES.len()]; METHODS.len()],
    decisions: Vec<Option<Counter>>,
    /// Head received to last byte, of admitted requests.
    pub allowed: Histogram,
    /// The same, of refused ones.
    pub denied: Histogram,
    /// The same, of failed ones.
    pub error: Histogram,
    /// Time spent here, without waiting for client or upstream.
    pub overhead: Histogram,
    /// Bytes of request bodies.
    pub request_bytes: Counter,
    /// Bytes of answer bodies.
    pub response_bytes: Counter,
    rate_limited: Vec<(&'static str, Counter)>,
}

/// The series of one upstream.
pub struct UpstreamMetrics {
    requests: Family<Counter>,
    upstream: String,
    by_status: [OnceLock<Counter>; STATUSES.len()],
    /// Sent to answer's head.
    pub duration: Histogram,
    /// Connecting, TLS included.
    pub connect_duration: Histogram,
    /// What went wrong.
    pub errors: Words<7>,
    /// Connections that wait for a request.
    pub idle: Gauge,
    /// Connections that carry one.
    pub active: Gauge,
    /// Requests sent a second time.
    pub retries: Counter,
}

/// The series of one signature scheme.
pub struct SchemeMetrics {
    /// Signatures that held.
    pub valid: Counter,
    /// Signatures that did not.
    pub invalid: Counter,
    /// Signatures of which nobody could say.
    pub error: Counter,
    /// Time of a verification.
    pub duration: Histogram,
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes and registers all of them.
    pub fn new() -> Self {
        let r = Registry::new();
        let _ = r.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()));
        let http_rejected =
            counters(&r, "http_rejected_total", "requests refused before they had a route", &["reason"]);
        let auth_duration = histograms(&r, "auth_duration_seconds", "time of authentication", &["path"], &AUTH_BUCKETS);
        let cache_requests =
            counters(&r, "cache_requests_total", "looks into the caches by what was found", &["cache", "result"]);
        let cache_entries = gauges(&r, "cache_entries", "entries in the caches", &["cache"]);
        let cache_evictions =
            counters(&r, "cache_evictions_total", "entries that left the caches, by cause", &["cache", "cause"]);
        let payments_open = gauges(&r, "payments_open", "payments in the store that are not settled", &["status"]);
        let connections = gauges(&r, "connections", "open client connections", &["protocol"]);
        let accepted = counters(&r, "connections_total", "client connections taken", &["protocol"]);
        let goaways =
            counters(&r, "h2_goaways_total", "HTTP/2 connections of clients that were ended, by why", &["reason"]);
        let pauses =
            counters(&r, "address_pauses_total", "addresses that were not listened to for a while", &["reason"]);
        let refused = counters(&r, "connections_rejected_total", "client connections not taken", &["reason"]);
        let reloads = counters(&r, "config_reloads_total", "readings of the configuration while it ran", &["result"]);
        let tls_handshakes = counters(&r, "tls_handshakes_total", "TLS handshakes", &["result", "version"]);
        for result in HANDSHAKES_FAILED {
            tls_handshakes.with_label_values(&[result, "none"]);
        }
        for (result, version) in
            HANDSHAKES_DONE.iter().flat_map(|result| TLS_VERSIONS.map(|version| (*result, version)))
        {
            tls_handshakes.with_label_values(&[result, version]);
        }
        Self {
            http_requests: counters(
                &r,
                "http_requests_total",
                "requests, counted at their end",
                &["route", "method", "code"],
            ),
            http_request_duration: histograms(
                &r,
                "http_request_duration_seconds",
                "head received to last byte sent",
                &["route", "outcome"],
                &REQUEST_BUCKETS,
            ),
            gateway_overhead: histograms(
                &r,
                "gateway_overhead_seconds",
                "time in the gateway without waiting for client or upstream",
                &["route"],
                &OVERHEAD_BUCKETS,
            ),
            http_request_bytes: counters(&r, "http_request_bytes_total", "bytes of request bodies", &["route"]),
            http_response_bytes: counters(&r, "http_response_bytes_total", "bytes of answer bodies", &["route"]),
            auth_decisions: counters(
                &r,
                "auth_decisions_total",
                "decisions by their reason",
                &["route", "decision", "reason"],
            ),
            upstream_requests: counters(
                &r,
                "upstream_requests_total",
                "answers of upstreams by status",
                &["upstream", "code"],
            ),
            upstream_duration: histograms(
                &r,
                "upstream_duration_seconds",
                "request sent to head of the answer",
                &["upstream"],
                &REQUEST_BUCKETS,
            ),
            upstream_connect_duration: histograms(
                &r,
                "upstream_connect_duration_seconds",
                "connecting to an upstream, TLS included",
                &["upstream"],
                &REQUEST_BUCKETS,
            ),
            upstream_errors: counters(
                &r,
                "upstream_errors_total",
                "requests an upstream failed, by kind",
                &["upstream", "kind"],
            ),
            upstream_connections: gauges(
                &r,
                "upstream_connections",
                "connections to upstreams",
                &["upstream", "state"],
            ),
            upstream_tls_unverified: gauges(
                &r,
                "upstream_tls_unverified",
                "1 for an upstream whose certificate is not verified",
                &["upstream"],
            ),
            upstream_endpoint_up: gauges(
                &r,
                "upstream_endpoint_up",
                "1 for an endpoint that is asked, 0 for one that is left out",
                &["upstream", "endpoint"],
            ),
            upstream_retries: counters(&r, "upstream_retries_total", "requests sent a second time", &["upstream"]),
            signature_verifications: counters(
                &r,
                "signature_verifications_total",
                "signatures checked",
                &["scheme", "result"],
            ),
            signature_verify_duration: histograms(
                &r,
                "signature_verify_duration_seconds",
                "time of one signature check",
                &["scheme"],
                &AUTH_BUCKETS,
            ),
            subscription_lookups: counters(
                &r,
                "subscription_lookups_total",
                "questions to the subscription store",
                &["backend", "result"],
            ),
            subscription_lookup_duration: histograms(
                &r,
                "subscription_lookup_duration_seconds",
                "time of one question to the subscription store",
                &["backend"],
                &LOOKUP_BUCKETS,
            ),
            sign_ins: counters(&r, "sign_ins_total", "sign-ins of the session API", &["scheme", "result"]),
            store_operations: counters(&r, "store_operations_total", "writes to the store", &["operation", "result"]),
            store_operation_duration: histograms(
                &r,
                "store_operation_duration_seconds",
                "time of one write to the store",
                &["operation"],
                &LOOKUP_BUCKETS,
            ),
            purchases: counters(&r, "purchases_total", "plans bought, by whatever door", &["plan"]),
            payments_open: OPEN_STATUSES.map(|status| payments_open.with_label_values(&[status])),
            payments: counters(&r, "payments_total", "payments by what became of them", &["route", "status"]),
            facilitator_requests: counters(
                &r,
                "facilitator_requests_total",
                "requests to facilitators, by what came of them",
                &["facilitator", "operation", "result"],
            ),
            facilitator_duration: histograms(
                &r,
                "facilitator_duration_seconds",
                "time of one request to a facilitator, connecting included",
                &["facilitator", "operation"],
                &FACILITATOR_BUCKETS,
            ),
            rpc_requests: counters(
                &r,
                "rpc_requests_total",
                "calls to nodes of chains, by what came of them",
                &["chain", "result"],
            ),
            rpc_duration: histograms(
                &r,
                "rpc_duration_seconds",
                "time of one call to a node, connecting included",
                &["chain"],
                &RPC_BUCKETS,
            ),
            tls_handshakes,
            certificate_not_after: gauges(
                &r,
                "tls_certificate_not_after_timestamp_seconds",
                "when the certificate that is shown for a host ends",
                &["host"],
            ),
            build_info: gauges(&r, "build_info", "1, with the build in its labels", &["version", "revision", "rustc"]),
            ready: gauges(&r, "ready", "1 if a readiness check holds", &["check"]),
            http_requests_in_flight: gauge(&r, "http_requests_in_flight", "requests being served"),
            http_rejected: Words::new(&http_rejected, &[], &REJECTED),
            auth_duration: AUTH_PATHS.map(|path| auth_duration.with_label_values(&[path])),
            cache_requests: CACHES.map(|cache| Words::new(&cache_requests, &[cache], &CACHE_RESULTS)),
            cache_entries: CACHES.map(|cache| cache_entries.with_label_values(&[cache])),
            cache_evictions: CACHES.map(|cache| Words::new(&cache_evictions, &[cache], &EVICTIONS)),
            rate_limited: counters(&r, "rate_limited_total", "requests over a rate, by whose", &["scope", "route"]),
            connections: PROTOCOLS.map(|protocol| connections.with_label_values(&[protocol])),
            connections_accepted: Words::new(&accepted, &[], &PROTOCOLS),
            address_pauses: Words::new(&pauses, &[], &ADDRESS_PAUSES),
            connections_rejected: Words::new(&refused, &[], &CONNECTIONS_REJECTED),
            goaways: Words::new(&goaways, &[], &GOAWAYS),
            config_last_reload_successful: gauge(
                &r,
                "config_last_reload_successful",
                "1 if the configuration that was read last is in force",
            ),
            config_last_reload_success_timestamp: gauge(
                &r,
                "config_last_reload_success_timestamp_seconds",
                "when the configuration in force was read",
            ),
            config_reloads: Words::new(&reloads, &[], &RELOADS),
            draining: gauge(&r, "draining", "1 while connections are drained"),
            log_dropped: counter(&r, "log_dropped_total", "lines of the logs that found no room"),
            panics: counter(&r, "panics_total", "panics that were caught"),
            registry: r,
        }
    }

    /// The series of a route, made at 0: one for each of the decisions that can occur, each a pair of
    /// decision and reason, and found again by its place in `decisions`.
    ///
    /// A decision that is nothing cannot fall on this route, and has no series. `scopes` are the limits that its
    /// requests can meet, by their words.
    pub fn route(
        &self,
        route: &str,
        decisions: &[Option<(&'static str, &'static str)>],
        scopes: &[&'static str],
    ) -> RouteMetrics {
        self.http_requests.with_label_values(&[route, "GET", "200"]);
        let duration = |outcome| self.http_request_duration.with_label_values(&[route, outcome]);
        RouteMetrics {
            requests: self.http_requests.clone(),
            route: route.to_owned(),
            by_status: std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new())),
            decisions: decisions
                .iter()
                .map(|decision| {
                    let (decision, reason) = (*decision)?;
                    Some(self.auth_decisions.with_label_values(&[route, decision, reason]))
                })
                .collect(),
            allowed: duration("allowed"),
            denied: duration("denied"),
            error: duration("error"),
            overhead: self.gateway_overhead.with_label_values(&[route]),
            request_bytes: self.http_request_bytes.with_label_values(&[route]),
            response_bytes: self.http_response_bytes.with_label_values(&[route]),
            rate_limited: scopes
                .iter()
                .map(|scope| (*scope, self.rate_limited.with_label_values(&[scope, route])))
                .collect(),
        }
    }

    /// The series of an upstream, made at 0.
    pub fn upstream(&self, upstream: &str) -> UpstreamMetrics {
        self.upstream_requests.with_label_values(&[upstream, "200"]);
        let connections = |state| self.upstream_connections.with_label_values(&[upstream, state]);
        UpstreamMetrics {
            requests: self.upstream_requests.clone(),
            upstream: upstream.to_owned(),
            by_status: std::array::from_fn(|_| OnceLock::new()),
            duration: self.upstream_duration.with_label_values(&[upstream]),
            connect_duration: self.upstream_connect_duration.with_label_values(&[upstream]),
            errors: Words::new(&self.upstream_errors, &[upstream], &UPSTREAM_ERRORS),
            idle: connections("idle"),
            active: connections("active"),
            retries: self.upstream_retries.with_label_values(&[upstream]),
        }
    }

    /// Whether the certificate of an upstream goes unverified.
    pub fn unverified(&self, upstream: &str) -> Gauge {
        self.upstream_tls_unverified.with_label_values(&[upstream])
    }

    /// Whether an endpoint of an upstream is asked.
    pub fn endpoint(&self, upstream: &str, endpoint: &str) -> Gauge {
        self.upstream_endpoint_up.with_label_values(&[upstream, endpoint])
    }

    /// The series of a signature scheme, made at 0.
    pub fn scheme(&self, scheme: &'static str) -> SchemeMetrics {
        let verifications = |result| self.signature_verifications.with_label_values(&[scheme, result]);
        SchemeMetrics {
            valid: verifications("valid"),
            invalid: verifications("invalid"),
            error: verifications("error"),
            duration: self.signature_verify_duration.with_label_values(&[scheme]),
        }
    }

    /// Makes the counters of sign-ins: good ones by their scheme, the others by their code.
    pub fn sign_ins(&self, schemes: &[&'static str], codes: &[&'static str]) {
        for scheme in schemes {
            self.sign_ins.with_label_values(&[scheme, "ok"]);
        }
        for code in codes {
            self.sign_ins.with_label_values(&["none", code]);
        }
    }

    /// Counts a sign-in of the session API: `ok`, or the code of its refusal. `scheme` is `none` where no signature was
    /// found good.
    pub fn signed_in(&self, scheme: &str, result: &'static str) {
        self.sign_ins.with_label_values(&[scheme, result]).inc();
    }

    /// Counts a payment for a route by what became of it: one of [`PAYMENT_STATUSES`].
    pub fn payment(&self, route: &str, status: &'static str) {
        self.payments.with_label_values(&[route, status]).inc();
    }

    /// Makes the counters of payments for a route that sells something.
    pub fn sells(&self, route: &str) {
        for status in PAYMENT_STATUSES {
            self.payments.with_label_values(&[route, status]);
        }
    }

    /// Counts a plan that was bought, once its payment is settled.
    pub fn purchase(&self, plan: &str) {
        self.purchases.with_label_values(&[plan]).inc();
    }

    /// Makes the counter of purchases of a plan that is for sale.
    pub fn sells_plan(&self, plan: &str) {
        self.purchases.with_label_values(&[plan]);
    }

    /// Counters of TLS handshakes: for each version spoken one that succeeded and one that resumed, then the
    /// failures, which have no version.
    pub fn handshakes(&self, result: &'static str, version: &'static str) -> Counter {
        self.tls_handshakes.with_label_values(&[result, version])
    }

    /// Says when the certificate for a configured host ends.
    pub fn certificate_ends(&self, host: &str, at: i64) {
        self.certificate_not_after.with_label_values(&[host]).set(at);
    }

    /// Says what was built.
    pub fn built(&self, version: &str, revision: &str, rustc: &str) {
        self.build_info.with_label_values(&[version, revision, rustc]).set(1);
    }

    /// The gauge of one readiness check.
    pub fn ready(&self, check: &'static str) -> Gauge {
        self.ready.with_label_values(&[check])
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(64 * 1024);
        // Encoding fails on a family without a series only, and the registry gives none out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

// === impl Words ===

impl<const N: usize> Words<N> {
    fn new(counters: &Family<Counter>, before: &[&str], words: &'static [&'static str; N]) -> Self {
        let labelled = words.map(|word| counters.with_label_values(&[before, &[word]].concat()));
        Self { words, counters: labelled }
    }

    /// Counts one. A word outside the list is a mistake in this program and is not counted.
    pub fn inc(&self, word: &'static str) {
        let place = self.words.iter().position(|known| *known == word);
        debug_assert!(place.is_some(), "`{word}` is not in the list of its metric");
        if let Some(counter) = place.and_then(|place| self.counters.get(place)) {
            counter.inc();
        }
    }
}

// === impl RouteMetrics ===

impl RouteMetrics {
    /// Counts a request at its end.
    pub fn finished(&self, method: &http::Method, status: u16) {
        let method = method_place(method);
        match status_place(status) {
            Some(place) => self.by_status[method][place]
                .get_or_init(|| self.requests.with_label_values(&[&self.route, METHODS[method], &status.to_string()]))
                .inc(),
            None => self.requests.with_label_values(&[&self.route, METHODS[method], &status.to_string()]).inc(),
        }
    }

    /// Counts a request over a limit, by the word of that limit: one of those this was made with.
    pub fn limited(&self, scope: &'static str) {
        let counter = self.rate_limited.iter().find(|(known, _)| *known == scope);
        debug_assert!(counter.is_some(), "`{scope}` is not among the limits of this route");
        if let Some((_, counter)) = counter {
            counter.inc();
        }
    }

    /// Counts a decision by its place in the list this was made with.
    pub fn decided(&self, place: usize) {
        if let Some(Some(counter)) = self.decisions.get(place) {
            counter.inc();
        }
    }
}

// === impl UpstreamMetrics ===

impl UpstreamMetrics {
    /// Counts an answer and the time to its head.
    pub fn answered(&self, status: u16, after: Duration) {
        self.duration.observe(after);
        match status_place(status) {
            Some(place) => self.by_status[place]
                .get_or_init(|| self.requests.with_label_values(&[&self.upstream, &status.to_string()]))
                .inc(),
            None => self.requests.with_label_values(&[&self.upstream, &status.to_string()]).inc(),
        }
    }
}

fn method_place(method: &http::Method) -> usize {
    METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1)
}

fn status_place(status: u16) -> Option<usize> {
    STATUSES.binary_search(&status).ok()
}

fn family<S: Series + 'static>(registry: &Registry, name: &str, help: &str, labels: &[&str], kind: S::Kind) -> Family<S>
where
    S::Kind: 'static,
{
    let made = Family::new(&format!("siwx_{name}"), help, labels, kind);
    let family = made.expect("the name and labels are constants of this file, and each is a valid one");
    registry.register(Box::new(family.clone())).expect("each name is registered once");
    family
}

fn counter(registry: &Registry, name: &str, help: &str) -> Counter {
    counters(registry, name, help, &[]).with_label_values(&[])
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Family<Counter> {
    family(registry, name, help, labels, ())
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Gauge {
    gauges(registry, name, help, &[]).with_label_values(&[])
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Family<Gauge> {
    family(registry, name, help, labels, ())
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &'static [f64],
) -> Family<Histogram> {
    family(registry, name, help, labels, buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render()).expect("the text format is UTF-8")
    }

    #[test]
    fn a_route_is_there_at_zero_and_counts() {
        let metrics = Metrics::new();
        let route = metrics.route("api", &[Some(("allow", "ok")), Some(("deny", "expired"))], &["ip"]);
        assert!(
            text(&metrics).contains(r#"siwx_auth_decisions_total{decision="deny",reason="expired",route="api"} 0"#)
        );
        route.decided(1);
        route.finished(&http::Method::GET, 200);
        route.finished(&http::Method::GET, 299);
        route.finished(&http::Method::from_bytes(b"BREW").expect("a token"), 418);
        let after = text(&metrics);
        for line in [
            r#"siwx_auth_decisions_total{decision="deny",reason="expired",route="api"} 1"#,
            r#"siwx_http_requests_total{code="200",method="GET",route="api"} 1"#,
            r#"siwx_http_requests_total{code="299",method="GET",route="api"} 1"#,
            r#"siwx_http_requests_total{code="418",method="other",route="api"} 1"#,
        ] {
            assert!(after.contains(line), "{line}\n{after}");
        }
    }

    #[test]
    fn handshakes_are_there_at_zero_before_the_first() {
        let before = text(&Metrics::new());
        for labels in [
            r#"result="ok",version="1.2""#,
            r#"result="ok",version="1.3""#,
            r#"result="resumed",version="1.2""#,
            r#"result="resumed",version="1.3""#,
            r#"result="timeout",version="none""#,
            r#"result="error",version="none""#,
        ] {
            let line = format!("siwx_tls_handshakes_total{{{labels}}} 0\n");
            assert!(before.contains(&line), "{line}\n{before}");
        }
    }

    #[test]
    fn a_plan_is_there_at_zero_and_counts() {
        let metrics = Metrics::new();
        metrics.sells_plan("nano");
        assert!(text(&metrics).contains("siwx_purchases_total{plan=\"nano\"} 0\n"));
        metrics.purchase("nano");
        assert!(text(&metrics).contains("siwx_purchases_total{plan=\"nano\"} 1\n"));
        for status in OPEN_STATUSES {
            assert!(text(&metrics).contains(&format!("siwx_payments_open{{status=\"{status}\"}} 0\n")), "{status}");
        }
    }

    #[test]
    fn statuses_can_be_searched() {
        assert!(STATUSES.is_sorted());
    }
}
