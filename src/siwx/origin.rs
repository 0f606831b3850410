//! Web origins: for whom messages are expected to be, and the hosts they name.
//!
//! 1. An [`Origin`] is written in configuration; it is a scheme, a host and perhaps a port, nothing else. Its
//!    canonical authority is what browsers write: host in lower case, IPv6 as RFC 5952, the port only if it is
//!    not the scheme's own.
//! 2. The domain of a message is read by a narrower grammar than RFC 3986's: no user information, no escapes,
//!    no number that some reader takes for an IPv4 address and another for a name.

use std::fmt;

use thiserror::Error;

use super::{
    error::Shown,
    grammar::Bytes,
    uri::{self, Uri},
};

/// A web origin such as `https://api.example.com` (RFC 6454), in canonical form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    text: Box<str>,
    scheme: WebScheme,
    /// Where the host ends in `text`; the port follows if there is one.
    host_end: usize,
    port: Option<u16>,
}

/// Why a text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected an origin such as `https://api.example.com`, found `{found}`: {why}")]
pub struct OriginError {
    found: String,
    why: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum WebScheme {
    Http,
    Https,
}

// === impl WebScheme ===

impl WebScheme {
    fn named(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

// === impl Origin ===

impl Origin {
    /// Reads an origin and makes it canonical.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let refuse = |why| OriginError { found: Shown(text).to_string(), why };
        let (scheme, authority) = text.split_once("://").ok_or_else(|| refuse("it has no scheme"))?;
        let scheme = WebScheme::named(scheme).ok_or_else(|| refuse("its scheme is neither https nor http"))?;
        let (host, port) = split_domain(authority)
            .ok_or_else(|| refuse("after the scheme there must be a host name with an optional port and no path"))?;
        Ok(Self::new(scheme, host, port))
    }

    /// The origin of the URI that a text is, if it is one and a web origin could equal its origin: http or https, a
    /// host, no user information.
    pub fn of(uri: &str) -> Option<Self> {
        Self::of_uri(&Uri::parse(uri)?)
    }

    /// The origin of a URI, if it has one that a web origin could equal: no user information, a host, http(s).
    pub(super) fn of_uri(uri: &Uri<'_>) -> Option<Self> {
        let scheme = WebScheme::named(uri.scheme)?;
        let authority = uri.authority?;
        if authority.userinfo.is_some() || authority.host.is_empty() {
            return None;
        }
        Some(Self::new(scheme, authority.host, authority.port))
    }

    fn new(scheme: WebScheme, host: &str, port: Option<u16>) -> Self {
        let host = match uri::ipv6(host) {
            Some(Some(address)) => format!("[{address}]"),
            _ => host.to_ascii_lowercase(),
        };
        let port = port.filter(|port| *port != scheme.port());
        let mut text = format!("{}://{host}", scheme.as_str());
        let host_end = text.len();
        if let Some(port) = port {
            text.push_str(&format!(":{port}"));
        }
        Self { text: text.into(), scheme, host_end, port }
    }

    /// The whole origin.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port, as the domain of a message says it.
    pub fn authority(&self) -> &str {
        &self.text[self.host_start()..]
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &str {
        self.scheme.as_str()
    }

    /// The host in lower case; the brackets of an IPv6 address are kept.
    pub fn host(&self) -> &str {
        &self.text[self.host_start()..self.host_end]
    }

    /// The port, if it is not the scheme's own.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    fn host_start(&self) -> usize {
        self.scheme.as_str().len() + "://".len()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a text is a `domain` of message.md section 2.
pub(super) fn is_domain(text: &str) -> bool {
    split_domain(text).is_some()
}

/// Splits a domain into host and port, or nothing if it is none.
fn split_domain(text: &str) -> Option<(&str, Option<u16>)> {
    let host_end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, port) = text.split_at(host_end);
    let is_host = match uri::ipv6(host) {
        Some(literal) => literal.is_some(),
        None => is_name_or_ipv4(host),
    };
    if !is_host {
        return None;
    }
    match port.strip_prefix(':') {
        Some(digits) => Some((host, Some(read_port(digits)?))),
        None => port.is_empty().then_some((host, None)),
    }
}

/// `%x31-39 *4DIGIT`, 1 to 65535.
fn read_port(digits: &str) -> Option<u16> {
    // `u16::from_str` would take a sign; a leading zero would be a second spelling.
    if !digits.starts_with(|first: char| matches!(first, '1'..='9')) {
        return None;
    }
    digits.parse().ok()
}

/// The longest host name of DNS (RFC 1035 section 2.3.4), written with dots.
const NAME_BYTES_MAX: usize = 253;

fn is_name_or_ipv4(host: &str) -> bool {
    let labels_good = host.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && Bytes::HOST_LABEL.all(label)
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    if !labels_good || host.len() > NAME_BYTES_MAX {
        return false;
    }
    // URL parsers take a host for a number when its last label looks like one (WHATWG URL, "ends in a number").
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex = last.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    let numeric = hex || last.bytes().all(|byte| byte.is_ascii_digit());
    !numeric || host.parse::<std::net::Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_made_canonical() {
        let rows = [
            ("https://api.example.com", "https://api.example.com", "api.example.com", "api.example.com", None),
            ("HTTPS://API.Example.com:443", "https://api.example.com", "api.example.com", "api.example.com", None),
            ("http://localhost:3000", "http://localhost:3000", "localhost:3000", "localhost", Some(3000)),
            ("http://localhost:443", "http://localhost:443", "localhost:443", "localhost", Some(443)),
            ("http://a:80", "http://a", "a", "a", None),
            (
                "https://[2001:DB8:0:0::1]:8443",
                "https://[2001:db8::1]:8443",
                "[2001:db8::1]:8443",
                "[2001:db8::1]",
                Some(8443),
            ),
            ("https://192.0.2.1", "https://192.0.2.1", "192.0.2.1", "192.0.2.1", None),
        ];
        for (text, whole, authority, host, port) in rows {
            let origin = Origin::parse(text).expect(text);
            assert_eq!(
                (origin.as_str(), origin.authority(), origin.host(), origin.port()),
                (whole, authority, host, port)
            );
            assert!(whole.starts_with(origin.scheme()));
        }
    }

    #[test]
    fn what_is_no_origin_says_why() {
        let rest = "after the scheme there must be a host name with an optional port and no path";
        let rows = [
            ("api.example.com", "it has no scheme"),
            ("ftp://api.example.com", "its scheme is neither https nor http"),
            ("https://", rest),
            ("https://api.example.com/", rest),
            ("https://api.example.com/v1", rest),
            ("https://user@api.example.com", rest),
            ("https://bücher.example", rest),
            ("https://a:0", rest),
            ("https://*.example.com", rest),
        ];
        for (text, why) in rows {
            let expected = OriginError { found: text.into(), why };
            assert_eq!(Origin::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn domains() {
        let long = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert_eq!(long.len(), 253);
        assert!(is_domain(&long));
        assert!(is_domain(&format!("{long}:65535")));
        assert!(!is_domain(&format!("{long}d")));
        for text in
            ["a", "A.b-c.D_e", "xn--bcher-kva.example", "1.2.3.4", "1a.2b", "[::]", "[::ffff:1.2.3.4]:1", "_x.y"]
        {
            assert!(is_domain(text), "{text}");
        }
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a:",
            "a:0",
            "a:01",
            "a:+1",
            "a:65536",
            "a:1:2",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.04",
            "0x7f.1",
            "a.0X1",
            "a.1",
            "1",
            "[::1",
            "::1",
            "[::1]a",
            "[fe80::1%eth0]",
            "[v1.a]",
            "a/b",
            "a?b",
            "a@b",
            "a%41",
            "a b",
            "ａ",
            "*.a",
            "a!b",
        ] {
            assert!(!is_domain(text), "{text}");
        }
    }
}
