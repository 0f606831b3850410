//! Who a request comes from: the connection it came on and, where that is a trusted proxy's, what the proxy says.
//!
//! 1. What a proxy says is read for every request anew: one connection of a proxy's carries requests of many clients.
//! 2. Nobody else is listened to, and nothing is read for them (hardening.md section 4).

use std::{
    cell::Cell,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};

use super::{headers::X_REQUEST_ID, settings::Proxies, tunnel::Tunnel};
use crate::{gate::LastCredential, policy::source::Field};

/// What is known of a connection before its first request.
pub(crate) struct Peer {
    /// Who speaks: what the PROXY protocol says, else the other end of the connection.
    address: SocketAddr,
    /// The other end of the connection.
    socket: IpAddr,
    shown: HeaderValue,
    tls: Option<&'static str>,
    pub(super) last: LastCredential,
    /// Of several certificates, the place of the one whose host the client named in its handshake.
    pub(super) certificate: Option<usize>,
    trusted: bool,
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
            certificate: None,
            trusted: false,
            tunnel: Cell::new(None),
        }
    }

    /// The same over TLS of this version; of several certificates, with the place of the one whose host it named.
    pub(crate) fn over_tls(self, version: &'static str, certificate: Option<usize>) -> Self {
        Self { tls: Some(version), certificate, ..self }
    }

    /// The same at the other end of a connection of a proxy's, who speaks the PROXY protocol.
    pub(crate) fn behind(self, socket: IpAddr) -> Self {
        Self { socket: socket.to_canonical(), ..self }
    }

    /// The same, which is listened to if these proxies hold it.
    pub(crate) fn among(self, proxies: &Proxies) -> Self {
        Self { trusted: proxies.trusted.contain(self.address.ip()), ..self }
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
        relayed.map_or(self.address.ip(), |relayed| relayed.client)
    }

    /// The client of a request, and the way it came, as upstreams are told.
    pub(super) fn shown<'p>(&'p self, relayed: Option<&'p Relayed>) -> (&'p HeaderValue, &'p HeaderValue) {
        relayed.map_or((&self.shown, &self.shown), |relayed| (&relayed.shown, &relayed.path))
    }

    /// What this peer says of a request, if it is one that is listened to.
    pub(super) fn relayed(&self, proxies: &Proxies, headers: &HeaderMap) -> Option<Box<Relayed>> {
        if !self.trusted {
            return None;
        }
        let field = match proxies.field {
            Field::Forwarded => FORWARDED,
            Field::XForwardedFor => X_FORWARDED_FOR,
        };
        let values = headers.get_all(field).iter().map(HeaderValue::as_bytes);
        let source = proxies.trusted.source(self.address.ip(), proxies.field, values);
        let mut path = source.client.to_string();
        for hop in &source.hops {
            // Writing to a string cannot fail.
            let _ = write!(path, ", {hop}");
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

// === impl Relayed ===

impl Relayed {
    /// The id that the request has already.
    pub(super) fn request_id(&self) -> Option<&HeaderValue> {
        self.request_id.as_ref()
    }
}

fn shown(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// Whether an id can stand in logs and headers as it is.
fn can_be_ours(id: &[u8]) -> bool {
    ID_CHARS.contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
