//! What requests are served by, made of a configuration: at the start, and again by every reload.
//!
//! 1. It is made whole or not at all, beside the one that serves.
//! 2. An upstream of which nothing changed is the same one: its connections are kept, and its requests counted on.

use std::sync::Arc;

use rustls::{ClientConfig, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::BindError;
use crate::{
    credential::Authorization,
    edge::{
        assertion::Assertions,
        handler::Live,
        headers::HeaderRules,
        settings::{Settings, UpstreamScheme, UpstreamSettings},
        tls::{self, Tls, TlsError},
        upstream::{Connectors, Endpoint, Upstream},
    },
    gate::{Gate, keys::Keys},
    metrics::Metrics,
    session::keys::KeyRing,
    siwx::origin::Origin,
    time::Clock,
};

/// What a configuration says about serving.
pub struct Served {
    /// Listeners, limits, log.
    pub settings: Settings,
    /// The origin that clients use.
    pub public_url: Origin,
    /// The services behind.
    pub upstreams: Vec<UpstreamSettings>,
    /// Who judges.
    pub gate: Arc<Gate>,
    /// What signs assertions, where there are any.
    pub assertion_keys: Option<Arc<KeyRing>>,
    /// The keys that the store keeps, where any are used.
    pub keys: Option<Arc<Keys>>,
    /// Names of plans that may be granted.
    pub plans: Vec<String>,
    /// What tells this configuration from others.
    pub digest: String,
}

/// What an upstream is made of.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UpstreamParts {
    settings: UpstreamSettings,
    /// The file of its authorities as it was read; nothing where there is none, or it cannot be read.
    ca: Option<Vec<u8>>,
}

/// What a server begins with.
pub(super) fn first(served: Served, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Result<Live, BindError> {
    live(served, None, metrics, clock)
}

/// What comes after another.
pub(super) fn next(served: Served, before: &Live) -> Result<Live, BindError> {
    live(served, Some(before), Arc::clone(&before.metrics), Arc::clone(&before.clock))
}

fn live(
    served: Served,
    before: Option<&Live>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
) -> Result<Live, BindError> {
    let Served { settings, public_url, upstreams, gate, assertion_keys, keys, plans, digest } = served;
    // Whoever starts has nothing better than a certificate that has ended; whoever runs has.
    let now = before.map(|_| clock.now());
    let tls_before = before.and_then(|before| before.tls.as_ref());
    let tls = match &settings.tls {
        Some(tls) => Tls::read(tls, settings.http2, tls_before, now)?,
        None => None,
    };
    publish(tls.as_ref(), &metrics);
    let mut headers = header_rules(&settings, &public_url)?;
    if let Some(sessions) = gate.sessions()
        && let Some(cookie) = sessions.cookie()
    {
        headers = headers.with_sessions(cookie.clone(), Some(sessions.ring()));
    }
    let assertions = settings
        .assertion
        .as_ref()
        .zip(assertion_keys)
        .map(|(settings, ring)| Arc::new(Assertions::new(ring, public_url.as_str().to_owned(), settings.ttl_secs)));
    if assertions.is_some() {
        headers = headers.with_assertions();
    }
    let (mut made, mut made_of) = (Vec::with_capacity(upstreams.len()), Vec::with_capacity(upstreams.len()));
    for settings in upstreams {
        let ca = settings.ca.as_ref().and_then(|path| std::fs::read(path).ok());
        let parts = UpstreamParts { settings, ca };
        let same = before.and_then(|before| {
            let place = before.made_of.iter().position(|known| *known == parts)?;
            before.upstreams.get(place).cloned()
        });
        made.push(match same {
            Some(same) => same,
            None => upstream(parts.settings.clone(), &metrics)?,
        });
        made_of.push(parts);
    }
    let version = before.map_or(0, |before| before.version + 1);
    let demands = tls.as_ref().is_some_and(Tls::demands_client);
    let trusts_as_before = tls.as_ref().zip(tls_before).is_some_and(|(tls, before)| tls.trusts_as(before));
    let client_auth_since = match before.filter(|_| trusts_as_before) {
        Some(before) if demands => before.client_auth_since,
        _ => demands.then_some(version),
    };
    let public_url = public_url.to_string();
    Ok(Live {
        client_auth_since,
        public_url,
        settings,
        gate,
        headers,
        assertions,
        keys,
        upstreams: made,
        made_of,
        tls,
        plans,
        digest,
        version,
        tunnels: before.map(|before| Arc::clone(&before.tunnels)).unwrap_or_default(),
        metrics,
        clock,
    })
}

/// The same with the certificates that its files hold now, if one of them is new; and what is wrong with others.
pub(super) fn with_certificates_read(before: &Live) -> (Option<Live>, Vec<TlsError>) {
    let Some(tls) = &before.tls else {
        return (None, Vec::new());
    };
    let (next, faults) = tls.read_again(before.clock.now());
    publish(next.as_ref(), &before.metrics);
    let live = next.map(|tls| Live { tls: Some(tls), version: before.version + 1, ..before.clone() });
    (live, faults)
}

/// Tells when certificates end.
fn publish(tls: Option<&Tls>, metrics: &Metrics) {
    for pair in tls.into_iter().flat_map(|tls| &tls.pairs) {
        if let Some(end) = pair.not_after {
            for host in &pair.files.hosts {
                metrics.certificate_ends(host, end.secs());
            }
        }
    }
}

/// How header fields are treated on their way through.
pub(crate) fn header_rules(settings: &Settings, public_url: &Origin) -> Result<HeaderRules, BindError> {
    let default_port = if public_url.scheme() == "https" { 443 } else { 80 };
    let rules = HeaderRules::new(
        &settings.identity_prefix,
        settings.identity_preset,
        Authorization::new(settings.schemes.clone()),
        settings.keep_odd_header_names,
        settings.forward_credential,
        public_url.scheme(),
        public_url.port().unwrap_or(default_port),
    )
    .map_err(|_| BindError::IdentityPrefix(settings.identity_prefix.clone()))?;
    Ok(rules.with_via(settings.via))
}

fn upstream(settings: UpstreamSettings, metrics: &Metrics) -> Result<Arc<Upstream>, BindError> {
    let mut endpoints = Vec::with_capacity(settings.urls.len());
    for url in &settings.urls {
        let name = settings.server_name.as_ref().unwrap_or(&url.host);
        let no_name = |_| BindError::ServerName { upstream: settings.name.clone(), name: name.clone() };
        let name = match url.scheme {
            UpstreamScheme::Https => Some(ServerName::try_from(name.clone()).map_err(no_name)?),
            UpstreamScheme::H2c | UpstreamScheme::Http => None,
        };
        let up = metrics.endpoint(&settings.name, &format!("{}:{}", url.host, url.port));
        endpoints.push(Endpoint::new(url.clone(), name, up));
    }
    let is_tls = settings.urls.iter().any(|url| url.scheme == UpstreamScheme::Https);
    let tls = if is_tls { Some(upstream_tls(&settings)?) } else { None };
    metrics.unverified(&settings.name).set(i64::from(settings.insecure_skip_verify));
    if settings.insecure_skip_verify {
        tracing::warn!(
            upstream = settings.name,
            "the upstream's certificate is not verified: whoever is in between can read and change everything"
        );
    }
    let counted = metrics.upstream(&settings.name);
    Ok(Arc::new(Upstream::new(settings, counted, tls, endpoints)))
}

/// TLS towards an upstream, with HTTP/2 offered where that is wanted.
fn upstream_tls(settings: &UpstreamSettings) -> Result<Connectors, TlsError> {
    let config = if settings.insecure_skip_verify {
        tls::unverified_client_config()?
    } else {
        tls::client_config(settings.ca.as_ref())?
    };
    let offering = |protocols: &[&[u8]]| {
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    };
    Ok(if settings.http2 {
        Connectors { usual: offering(&[b"h2", b"http/1.1"]), tunnels: offering(&[b"http/1.1"]) }
    } else {
        let usual = TlsConnector::from(config);
        Connectors { tunnels: usual.clone(), usual }
    })
}
