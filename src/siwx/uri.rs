//! URIs of RFC 3986, as a signing text may hold them: with a scheme, in ASCII.
//!
//! 1. A port is empty or at most 65535; an IP literal is an IPv6 address without a zone (RFC 3986 has no zones,
//!    RFC 6874 is withdrawn); an empty host is legal, as in `file:///x`.
//! 2. Nothing is decoded or resolved: parts are cut out and checked.

use std::net::Ipv6Addr;

use super::grammar::{self, Bytes};

/// The parts of a URI that anybody here asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uri<'a> {
    pub(super) scheme: &'a str,
    pub(super) authority: Option<Authority<'a>>,
    pub(super) path: &'a str,
}

/// RFC 3986 section 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    pub(super) userinfo: Option<&'a str>,
    /// With its brackets if it is an IP literal.
    pub(super) host: &'a str,
    /// Nothing if it is absent or empty.
    pub(super) port: Option<u16>,
}

impl<'a> Uri<'a> {
    /// Reads a URI, or nothing if the text is none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let (rest, fragment) = cut(rest, '#');
        let (hier_part, query) = cut(rest, '?');
        let (authority, path) = match hier_part.strip_prefix("//") {
            Some(after) => {
                let end = after.find('/').unwrap_or(after.len());
                (Some(Authority::parse(&after[..end])?), &after[end..])
            }
            None => (None, hier_part),
        };
        let good = grammar::is_scheme(scheme)
            && Bytes::PATH.all_or_escapes(path)
            && [query, fragment].into_iter().flatten().all(|part| Bytes::QUERY.all_or_escapes(part));
        good.then_some(Self { scheme, authority, path })
    }
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (userinfo, rest) = match text.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, text),
        };
        let host_end = match rest.strip_prefix('[') {
            Some(_) => rest.find(']')? + 1,
            None => rest.find(':').unwrap_or(rest.len()),
        };
        let (host, port) = rest.split_at(host_end);
        let good = userinfo.is_none_or(|part| Bytes::USERINFO.all_or_escapes(part)) && is_host(host);
        if !good {
            return None;
        }
        Some(Self { userinfo, host, port: read_port(port)? })
    }
}

/// Splits before the first of a mark, which is in neither part.
fn cut(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_host(text: &str) -> bool {
    match ipv6(text) {
        Some(literal) => literal.is_some(),
        None => Bytes::REG_NAME.all_or_escapes(text),
    }
}

/// Reads `[address]`: nothing if there is no bracket, no address inside if it is not one.
pub(super) fn ipv6(host: &str) -> Option<Option<Ipv6Addr>> {
    let inside = host.strip_prefix('[')?;
    Some(inside.strip_suffix(']').and_then(|address| address.parse().ok()))
}

/// Reads `[ ":" *DIGIT ]`; the outer nothing is a refusal.
fn read_port(text: &str) -> Option<Option<u16>> {
    let Some(digits) = text.strip_prefix(':') else {
        return text.is_empty().then_some(None);
    };
    if digits.is_empty() {
        return Some(None);
    }
    // `u16::from_str` would take a sign.
    let all_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
    if !all_digits {
        return None;
    }
    digits.parse().ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri<'a>(scheme: &'a str, authority: Option<(Option<&'a str>, &'a str, Option<u16>)>, path: &'a str) -> Uri<'a> {
        let authority = authority.map(|(userinfo, host, port)| Authority { userinfo, host, port });
        Uri { scheme, authority, path }
    }

    #[test]
    fn uris_and_their_parts() {
        let rows = [
            ("https://a.example/p?q#f", uri("https", Some((None, "a.example", None)), "/p")),
            ("https://a.example", uri("https", Some((None, "a.example", None)), "")),
            ("https://a.example:/", uri("https", Some((None, "a.example", None)), "/")),
            ("https://a.example:65535", uri("https", Some((None, "a.example", Some(65535))), "")),
            ("https://a.example:0080/", uri("https", Some((None, "a.example", Some(80))), "/")),
            ("https://a.example?q/?", uri("https", Some((None, "a.example", None)), "")),
            ("https://a.example#f/?", uri("https", Some((None, "a.example", None)), "")),
            ("ftp://u:p@h:21/x", uri("ftp", Some((Some("u:p"), "h", Some(21))), "/x")),
            ("http://[2001:DB8::1]:8443/", uri("http", Some((None, "[2001:DB8::1]", Some(8443))), "/")),
            ("file:///etc/hosts", uri("file", Some((None, "", None)), "/etc/hosts")),
            ("did:key:z6Mk", uri("did", None, "key:z6Mk")),
            ("urn:recap:eyJ=", uri("urn", None, "recap:eyJ=")),
            ("a:", uri("a", None, "")),
            ("ipfs://bafy/%20", uri("ipfs", Some((None, "bafy", None)), "/%20")),
            ("x:/a//b", uri("x", None, "/a//b")),
        ];
        for (text, expected) in rows {
            assert_eq!(Uri::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_uri() {
        for text in [
            "",
            ":",
            "service.org/login",
            "//service.org",
            "1a:b",
            "https://a b",
            "https://a/ü",
            "https://a/%zz",
            "https://a/#a#b",
            "https://a/<x>",
            "https://a:65536/",
            "https://a:+80/",
            "https://a:8a/",
            "https://a:99999999999999999999/",
            "https://[::1",
            "https://[::1]x/",
            "https://[fe80::1%25eth0]/",
            "https://[v1.a]/",
            "https://[]/",
            "https://a@b@c/",
            "https://a]/",
            "x:[",
            "https://a/\\",
        ] {
            assert_eq!(Uri::parse(text), None, "{text}");
        }
    }
}
