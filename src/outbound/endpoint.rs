//! Where an outside service is: its URL, read once.
//!
//! 1. `http` or `https`, a host, perhaps a port and a path; nothing that a request would have to drop in silence:
//!    no user information, no fragment.
//! 2. Of a base URL ([`Endpoint::parse`]) trailing slashes are cut (x402.md section 4), so that joining is putting one
//!    behind the other, and it has no query. One that is asked as it stands ([`Endpoint::parse_whole`]) keeps both.
//! 3. Path and query are not shown: some services take their key there.

use std::{fmt, net::IpAddr};

use http::{HeaderValue, Uri, uri::PathAndQuery};
use rustls::pki_types::ServerName;
use thiserror::Error;

/// The URL of an outside service.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    tls: bool,
    host: Box<str>,
    port: u16,
    path: Box<str>,
    query: Option<Box<str>>,
}

/// Why a text is no URL of an outside service.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected a URL such as `https://service.example/path`: {0}")]
pub struct EndpointError(&'static str);

// === impl EndpointError ===

impl EndpointError {
    /// What is wrong with it, as half a sentence.
    pub const fn why(&self) -> &'static str {
        self.0
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Reads a base URL, below which paths are asked for.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let whole = Self::parse_whole(text)?;
        if whole.query.is_some() {
            return Err(EndpointError("it has a query"));
        }
        Ok(Self { path: whole.path.trim_end_matches('/').into(), ..whole })
    }

    /// Reads a URL that is asked for as it stands, with the empty path.
    pub fn parse_whole(text: &str) -> Result<Self, EndpointError> {
        if text.contains('#') {
            return Err(EndpointError("it has a fragment"));
        }
        let uri = text.parse::<Uri>().map_err(|_| EndpointError("it is no URL"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(EndpointError("its scheme is neither https nor http")),
            None => return Err(EndpointError("it has no scheme")),
        };
        let authority = uri.authority().ok_or(EndpointError("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(EndpointError("it has user information"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(EndpointError("it has no host"));
        }
        // What `http` leaves unread behind the host is a colon, alone or with a number too great.
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && authority.port_u16().is_none() {
            return Err(EndpointError("its port is no number up to 65535"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        if port == 0 {
            return Err(EndpointError("its port is 0"));
        }
        let query = uri.query().map(Into::into);
        let endpoint = Self { tls, host: host.into(), port, path: uri.path().into(), query };
        if tls && endpoint.server_name().is_none() {
            return Err(EndpointError("its host is no name a certificate can have"));
        }
        Ok(endpoint)
    }

    /// Whether TLS is spoken.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether it is this machine, by its address or the name that is always its own (RFC 6761 §6.3).
    pub fn is_loopback(&self) -> bool {
        &*self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// Host name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The target of a request for a path below the base, which is empty or begins with `/`; nothing if that makes
    /// none.
    pub(super) fn target(&self, below: &str) -> Option<Uri> {
        let mut joined = format!("{}{below}", self.path);
        if joined.is_empty() {
            joined.push('/');
        }
        if let Some(query) = &self.query {
            joined.push('?');
            joined.push_str(query);
        }
        let is_below = below.is_empty() || below.starts_with('/');
        PathAndQuery::try_from(joined).ok().filter(|_| is_below).map(Uri::from)
    }

    /// What requests carry as `Host`; nothing if the host makes no header value.
    pub(super) fn host_header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.authority()).ok()
    }

    /// The name its certificate must have.
    pub(super) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.to_string()).ok()
    }

    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        let default_port = if self.tls { 443 } else { 80 };
        if self.port == default_port { host } else { format!("{host}:{}", self.port) }
    }
}

/// Scheme, host and port, for people.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_and_the_targets_below_them() {
        let rows = [
            ("https://facilitator.example", "https://facilitator.example", "/verify", 443),
            ("https://facilitator.example/", "https://facilitator.example", "/verify", 443),
            ("https://Facilitator.Example:443//", "https://facilitator.example", "/verify", 443),
            ("https://f.example/platform/v2/x402/", "https://f.example", "/platform/v2/x402/verify", 443),
            ("http://127.0.0.1:4021", "http://127.0.0.1:4021", "/verify", 4021),
            ("http://my_service:80/a", "http://my_service", "/a/verify", 80),
            ("https://[::1]:8443/a//", "https://[::1]:8443", "/a/verify", 8443),
        ];
        for (text, shown, target, port) in rows {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.to_string(), shown, "{text}");
            assert_eq!(endpoint.target("/verify").map(|uri| uri.to_string()).as_deref(), Some(target), "{text}");
            assert_eq!(endpoint.port(), port, "{text}");
        }
        for (text, target) in [("https://node.example", "/"), ("https://node.example/v3/key/", "/v3/key")] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.target("").map(|uri| uri.to_string()).as_deref(), Some(target), "{text}");
            assert!(!format!("{endpoint} {endpoint:?}").contains("key"), "{text}");
            for path in ["x", ".evil.example", "@evil.example/", "?x", "/a b", "/\r\nx: y"] {
                assert_eq!(endpoint.target(path), None, "{text} {path:?}");
            }
        }
    }

    #[test]
    fn urls_that_are_asked_as_they_stand() {
        let rows = [
            ("https://node.example", "/"),
            ("https://node.example/v2/key", "/v2/key"),
            ("https://node.example/v2/key/", "/v2/key/"),
            ("https://node.example?apikey=key&a=b", "/?apikey=key&a=b"),
            ("https://node.example/rpc?apikey=key", "/rpc?apikey=key"),
            ("https://node.example/rpc?", "/rpc?"),
        ];
        for (text, target) in rows {
            let endpoint = Endpoint::parse_whole(text).expect(text);
            assert_eq!(endpoint.target("").map(|uri| uri.to_string()).as_deref(), Some(target), "{text}");
            assert_eq!(format!("{endpoint} {endpoint:?}"), "https://node.example https://node.example", "{text}");
        }
    }

    #[test]
    fn what_is_this_machine() {
        let rows = [
            ("http://localhost:8545", true),
            ("http://LOCALHOST", true),
            ("http://127.1.2.3:8545", true),
            ("http://[::1]:8545", true),
            ("http://10.0.0.1:8545", false),
            ("http://localhost.example", false),
            ("http://0.0.0.0", false),
        ];
        for (text, expected) in rows {
            assert_eq!(Endpoint::parse(text).expect(text).is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_base_url() {
        let rows = [
            ("", "it is no URL"),
            ("facilitator.example", "it has no scheme"),
            ("/verify", "it has no scheme"),
            ("ftp://facilitator.example", "its scheme is neither https nor http"),
            ("https://user:secret@facilitator.example", "it has user information"),
            ("https://facilitator.example/?key=secret", "it has a query"),
            ("https://facilitator.example/#x", "it has a fragment"),
            ("https://facilitator.example:65536", "its port is no number up to 65535"),
            ("https://facilitator.example:", "its port is no number up to 65535"),
            ("https://facilitator.example:0", "its port is 0"),
            ("https://a b/", "it is no URL"),
            ("https://-/", "its host is no name a certificate can have"),
        ];
        for (text, why) in rows {
            assert_eq!(Endpoint::parse(text), Err(EndpointError(why)), "{text}");
        }
    }
}
