//! Who a request comes from: the connection it came on and, where that is a trusted proxy's, what the proxy says.
//!
//! 1. What a proxy says is read for every request anew: one connection of a proxy's carries requests of many clients.
//! 2. Nobody else is listened to, and nothing is read for them (hardening.md section 4).

use std::{
    cell::Cell,
    fmt,
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};

use super::{
    handler::Live,
    headers::X_REQUEST_ID,
    settings::Proxies,
    tls::place_of,
    tunnel::Tunnel,
    wire::told::{Turn, Turns},
};
use crate::{
    gate::LastCredential,
    policy::source::{Field, LOCAL},
};

/// What is known of a connection before its first request.
pub(crate) struct Peer {
    /// Who speaks: what the PROXY protocol says, else the other end of the connection.
    address: SocketAddr,
    /// The other end of the connection.
    socket: IpAddr,
    shown: HeaderValue,
    tls: Option<&'static str>,
    pub(super) last: LastCredential,
    /// The host that the client named in its handshake.
    named: Option<Box<str>>,
    /// Of several certificates, the place of the one that is for that host.
    certificate: Cell<Option<usize>>,
    trusted: Cell<bool>,
    /// The configuration that these two are of.
    version: Cell<u64>,
    /// The configuration under which it shook hands.
    since: u64,
    /// Of HTTP/1: which of its requests were judged before hyper read them.
    turns: Option<Turns>,
    /// What follows its last answer.
    pub(super) tunnel: Cell<Option<Box<Tunnel>>>,
}

/// What a trusted proxy says of one request.
#[derive(Debug)]
pub(crate) struct Relayed {
    client: IpAddr,
    /// The client, as upstreams are told.
    shown: HeaderValue,
    /// The client and the trusted hops after it.
    path: HeaderValue,
    /// The id it gave the request, if it can be ours.
    request_id: Option<HeaderValue>,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// In the place of an address, where there is none (RFC 7239 section 6.2).
const UNKNOWN: &str = "unknown";

/// An address as the log shows it: `unix:`, where there is none.
pub(super) struct Logged(pub(super) IpAddr);

/// Characters of an id that is taken from a proxy.
const ID_CHARS: std::ops::RangeInclusive<usize> = 8..=64;

// === impl Peer ===

impl Peer {
    /// The peer of a plain connection that speaks for itself.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Self {
            address,
            socket: address.ip(),
            shown: shown(address.ip()),
            tls: None,
            last: LastCredential::default(),
            named: None,
            certificate: Cell::new(None),
            trusted: Cell::new(false),
            version: Cell::new(u64::MAX),
            since: 0,
            turns: None,
            tunnel: Cell::new(None),
        }
    }

    /// Of a connection by a socket in the file system, which has no address.
    pub(crate) fn local() -> Self {
        Self::new(SocketAddr::new(LOCAL, 0))
    }

    /// The same over TLS of this version; with the host it named, and the configuration it shook hands under.
    pub(crate) fn over_tls(self, version: &'static str, named: Option<Box<str>>, since: u64) -> Self {
        Self { tls: Some(version), named, since, ..self }
    }

    /// Judges it by what is served by now, which may have changed since its last request.
    pub(super) fn under(&self, live: &Live) {
        if self.version.replace(live.version) == live.version {
            return;
        }
        self.trusted.set(live.settings.proxies.trusted.contain(self.address.ip()));
        let certificates = live.settings.tls.as_ref().map(|tls| tls.certificates.as_slice());
        // With one certificate there is nothing to tell apart.
        let certificates = certificates.filter(|certificates| certificates.len() > 1);
        let place = self.named.as_deref().zip(certificates).map(|(name, all)| place_of(all, name));
        self.certificate.set(place);
    }

    /// Of several certificates, the place of the one whose host it named.
    pub(super) const fn certificate(&self) -> Option<usize> {
        self.certificate.get()
    }

    /// Whether it shook hands under the rules for certificates of clients that hold now.
    pub(super) fn showed_certificate(&self, live: &Live) -> bool {
        live.client_auth_since.is_none_or(|since| self.since >= since)
    }

    /// The same at the other end of a connection of a proxy's, who speaks the PROXY protocol.
    pub(crate) fn behind(self, socket: IpAddr) -> Self {
        Self { socket: socket.to_canonical(), ..self }
    }

    /// The same, which is listened to if these proxies hold it.
    pub(crate) fn among(self, proxies: &Proxies) -> Self {
        Self { trusted: Cell::new(proxies.trusted.contain(self.address.ip())), ..self }
    }

    /// The same, on a connection of HTTP/1.
    pub(crate) fn taking(self, turns: Turns) -> Self {
        Self { turns: Some(turns), ..self }
    }

    /// What is to become of the next request.
    pub(super) fn turn(&self) -> Turn {
        self.turns.as_ref().map_or(Turn::One, Turns::next)
    }

    /// The tunnel that follows its last answer, taken.
    pub(crate) fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.take()
    }

    /// How the listener was spoken to.
    pub(super) const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The TLS version.
    pub(super) const fn tls(&self) -> Option<&'static str> {
        self.tls
    }

    /// The other end of the connection.
    pub(super) const fn socket(&self) -> IpAddr {
        self.socket
    }

    /// The client of a request.
    pub(super) fn client(&self, relayed: Option<&Relayed>) -> IpAddr {
        relayed.map_or_else(|| self.address.ip(), |relayed| relayed.client)
    }

    /// The client of a request, and the way it came, as upstreams are told.
    pub(super) fn shown<'p>(&'p self, relayed: Option<&'p Relayed>) -> (&'p HeaderValue, &'p HeaderValue) {
        relayed.map_or((&self.shown, &self.shown), |relayed| (&relayed.shown, &relayed.path))
    }

    /// What this peer says of a request, if it is one that is listened to.
    pub(super) fn relayed(&self, proxies: &Proxies, headers: &HeaderMap) -> Option<Box<Relayed>> {
        if !self.trusted.get() {
            return None;
        }
        let field = match proxies.field {
            Field::Forwarded => FORWARDED,
            Field::XForwardedFor => X_FORWARDED_FOR,
        };
        let values = headers.get_all(field).iter().map(HeaderValue::as_bytes);
        let source = proxies.trusted.source(self.address.ip(), proxies.field, values);
        let mut path = told(source.client);
        for hop in &source.hops {
            path.push_str(", ");
            path.push_str(&told(*hop));
        }
        let mut ids = headers.get_all(X_REQUEST_ID).iter();
        let request_id = ids.next().filter(|id| ids.next().is_none() && can_be_ours(id.as_bytes())).cloned();
        Some(Box::new(Relayed {
            client: source.client,
            shown: shown(source.client),
            path: HeaderValue::try_from(path).unwrap_or_else(|_| shown(source.client)),
            request_id,
        }))
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == LOCAL { f.write_str("unix:") } else { self.0.fmt(f) }
    }
}

// === impl Relayed ===

impl Relayed {
    /// The id that the request has already.
    pub(super) fn request_id(&self) -> Option<&HeaderValue> {
        self.request_id.as_ref()
    }
}

fn shown(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(told(address)).unwrap_or_else(|_| HeaderValue::from_static(UNKNOWN))
}

/// An address as upstreams are told.
fn told(address: IpAddr) -> String {
    if address == LOCAL { UNKNOWN.to_owned() } else { address.to_string() }
}

/// Whether an id can stand in logs and headers as it is.
fn can_be_ours(id: &[u8]) -> bool {
    ID_CHARS.contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
