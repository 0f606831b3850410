//! Where a request came from, when proxies in front of us say so (hardening.md section 4, rows F5 and F6).
//!
//! 1. Only who is trusted is listened to: a peer of a trusted network, and each hop it names in turn. The list is read
//!    from its end, where each proxy writes, and reading stops at the first address that nobody trusted vouches for.
//! 2. What stands before a malformed entry is not looked at: the last good address is the client's.
//! 3. One field is read, the configured one. The other is nobody's word.
//! 4. Whoever comes by a socket in the file system has no address. [`LOCAL`] stands for all of them, and `unix:` in the
//!    list for the trust in them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use thiserror::Error;

/// Networks whose proxies are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    networks: Vec<IpNet>,
    /// Whether those who come by a socket in the file system are.
    local: bool,
}

/// Stands for everybody who comes by a socket in the file system: an address that no connection can come from.
pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What a list has for them.
const LOCAL_NAME: &str = "unix:";

/// Why a text is no network to trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// Neither an address nor a network.
    #[error("expected an address, a network such as `10.0.0.0/8`, or `unix:`")]
    Syntax,
    /// Everybody's.
    #[error("it is everybody's; whoever is in it may say who a client is")]
    Everybody,
}

/// The field in which proxies say where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`.
    XForwardedFor,
}

/// A client and the trusted proxies between it and us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The client.
    pub client: IpAddr,
    /// The trusted hops, the client's first; the peer is the last. Empty where the peer is the client.
    pub hops: Vec<IpAddr>,
}

/// Hops that are followed. A path through more proxies of one's own is a loop.
const HOPS_MAX: usize = 16;

// === impl Networks ===

impl Networks {
    /// Networks of these texts; an address alone is a network of one. A mapped IPv4 address is the IPv4 one.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, (&'t str, NetworkError)> {
        let mut read = Self::default();
        for text in texts {
            if text == LOCAL_NAME {
                read.local = true;
            } else {
                read.networks.push(network(text).map_err(|error| (text, error))?);
            }
        }
        Ok(read)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.local
    }

    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if address == LOCAL {
            return self.local;
        }
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Where a request of this peer came from, by the values of `field` in the order in which they were received.
    pub fn source<'v>(&self, peer: IpAddr, field: Field, values: impl IntoIterator<Item = &'v [u8]>) -> Source {
        let mut source = Source { client: peer.to_canonical(), hops: Vec::new() };
        if !self.contain(peer) {
            return source;
        }
        let mut told = Vec::new();
        for value in values {
            match field {
                Field::XForwardedFor => told.extend(value.split(|byte| *byte == b',').map(address)),
                // Where an element ends cannot be told any more: what stands before is as good as malformed.
                Field::Forwarded => match forwarded(value) {
                    Some(elements) => told.extend(elements),
                    None => told.push(None),
                },
            }
        }
        for next in told.into_iter().rev() {
            let Some(next) = next else {
                break;
            };
            if source.hops.len() == HOPS_MAX {
                break;
            }
            source.hops.push(source.client);
            source.client = next;
            if !self.contain(next) {
                break;
            }
        }
        source.hops.reverse();
        source
    }
}

fn network(text: &str) -> Result<IpNet, NetworkError> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => text.parse::<IpNet>().map_err(|_| NetworkError::Syntax)?,
    };
    if network.prefix_len() == 0 {
        return Err(NetworkError::Everybody);
    }
    Ok(network.trunc())
}

/// An address of a list: alone, or with a port, IPv6 with brackets or, without a port, without.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).filter(|text| text.contains(':'));
    let alone = bare.unwrap_or(text).parse::<IpAddr>().ok();
    Some(alone.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?.to_canonical())
}

/// The addresses of the elements of a `Forwarded` value (RFC 7239 section 4): nothing in the place of one that names
/// no address, such as `unknown` or a name of the proxy's own making; nothing at all if it does not keep to the grammar.
fn forwarded(value: &[u8]) -> Option<Vec<Option<IpAddr>>> {
    let mut elements = Vec::new();
    // Of the element that is read: whether it has a pair, and what its `for` names.
    let (mut rest, mut seen, mut named) = (value, false, None::<Option<IpAddr>>);
    loop {
        rest = rest.trim_ascii_start();
        // An element may be empty, as those of every list may be (RFC 9110 section 5.6.1).
        if let Some(&end @ (b',' | b';')) = rest.first() {
            rest = &rest[1..];
            if end == b',' && std::mem::take(&mut seen) {
                elements.push(named.take().flatten());
            }
            continue;
        }
        if rest.is_empty() {
            if seen {
                elements.push(named.flatten());
            }
            return Some(elements);
        }
        let (name, after) = token(rest)?;
        let (value, after) = match after.strip_prefix(b"=")? {
            [b'"', quoted @ ..] => quoted_string(quoted)?,
            bare => token(bare).map(|(value, after)| (value.to_vec(), after))?,
        };
        if name.eq_ignore_ascii_case(b"for") {
            // Twice in one element: whom to believe cannot be told.
            if named.is_some() {
                return None;
            }
            named = Some(address(&value));
        }
        seen = true;
        rest = after.trim_ascii_start();
        if !matches!(rest.first(), None | Some(b',' | b';')) {
            return None;
        }
    }
}

/// A token (RFC 9110 section 5.6.2), and what follows it. A bare IPv6 address is none, and needs quotes.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_char = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = text.iter().position(|byte| !is_char(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The text of a quoted string whose first quote was read (RFC 9110 section 5.6.4), and what follows it.
fn quoted_string(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut read, mut bytes) = (Vec::new(), text.iter().enumerate());
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return Some((read, &text[at + 1..])),
            b'\\' => read.push(*bytes.next()?.1),
            byte => read.push(byte),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::parse(texts.iter().copied()).expect("networks")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn networks_are_read() {
        let trusted = networks(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "10.1.2.3/16"]);
        for inside in ["10.255.0.1", "192.0.2.7", "2001:db8:1::1", "::ffff:10.1.2.3"] {
            assert!(trusted.contain(ip(inside)), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::1"] {
            assert!(!trusted.contain(ip(outside)), "{outside}");
        }
        let refused = [
            ("", NetworkError::Syntax),
            ("10.0.0.0/33", NetworkError::Syntax),
            ("10.0.0/8", NetworkError::Syntax),
            ("proxy.example", NetworkError::Syntax),
            ("0.0.0.0/0", NetworkError::Everybody),
            ("::/0", NetworkError::Everybody),
        ];
        for (text, error) in refused {
            assert_eq!(Networks::parse([text]), Err((text, error)), "{text}");
        }
    }

    #[test]
    fn the_list_is_walked_from_its_end_as_far_as_somebody_trusted_vouches() {
        let trusted = networks(&["10.0.0.0/8"]);
        type Row<'t> = (&'t str, &'t str, &'t [&'t str], &'t str, &'t [&'t str]);
        let rows: &[Row<'_>] = &[
            ("nobody trusted", "192.0.2.1", &["198.51.100.1"], "192.0.2.1", &[]),
            ("no list", "10.0.0.1", &[], "10.0.0.1", &[]),
            ("one hop", "10.0.0.1", &["198.51.100.1"], "198.51.100.1", &["10.0.0.1"]),
            ("invented in front", "10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1", &["10.0.0.1"]),
            ("two hops", "10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1", &["10.0.0.2", "10.0.0.1"]),
            ("two fields", "10.0.0.1", &["198.51.100.1", "10.0.0.2"], "198.51.100.1", &["10.0.0.2", "10.0.0.1"]),
            ("all trusted", "10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3", &["10.0.0.2", "10.0.0.1"]),
            ("malformed before", "10.0.0.1", &["x, 198.51.100.1"], "198.51.100.1", &["10.0.0.1"]),
            ("malformed at the end", "10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1", &[]),
            ("malformed in between", "10.0.0.1", &["198.51.100.1, , 10.0.0.2"], "10.0.0.2", &["10.0.0.1"]),
            ("empty", "10.0.0.1", &[""], "10.0.0.1", &[]),
            ("with ports", "10.0.0.1", &["198.51.100.1:99,[2001:db8::1]:8"], "2001:db8::1", &["10.0.0.1"]),
            ("brackets", "10.0.0.1", &["[2001:db8::1]"], "2001:db8::1", &["10.0.0.1"]),
            ("brackets around IPv4", "10.0.0.1", &["[198.51.100.1]"], "10.0.0.1", &[]),
            ("bare IPv6", "10.0.0.1", &["2001:db8::1"], "2001:db8::1", &["10.0.0.1"]),
            ("mapped", "::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1", &["10.0.0.1"]),
            ("no UTF-8 needed", "10.0.0.1", &["\u{e9}"], "10.0.0.1", &[]),
        ];
        for (name, peer, values, client, hops) in rows {
            let source = trusted.source(ip(peer), Field::XForwardedFor, values.iter().map(|value| value.as_bytes()));
            let expected = Source { client: ip(client), hops: hops.iter().map(|hop| ip(hop)).collect() };
            assert_eq!(source, expected, "{name}");
        }
    }

    #[test]
    fn a_loop_of_proxies_ends() {
        let endless = vec!["10.0.0.2"; 5000].join(",");
        let source = networks(&["10.0.0.0/8"]).source(ip("10.0.0.1"), Field::XForwardedFor, [endless.as_bytes()]);
        assert_eq!((source.client, source.hops.len()), (ip("10.0.0.2"), HOPS_MAX));
    }

    #[test]
    fn forwarded_is_read_by_its_grammar() {
        let trusted = networks(&["10.0.0.0/8"]);
        let rows: &[(&str, &[&str], &str)] = &[
            ("one", &["for=198.51.100.1"], "198.51.100.1"),
            ("with other pairs", &["proto=https;For=198.51.100.1;by=10.0.0.9"], "198.51.100.1"),
            ("quoted IPv6 and port", &[r#"for="[2001:db8::1]:4711""#], "2001:db8::1"),
            ("invented in front", &["for=1.1.1.1, for=198.51.100.1"], "198.51.100.1"),
            ("two elements", &["for=198.51.100.1 , for=10.0.0.2"], "198.51.100.1"),
            ("two fields", &["for=198.51.100.1", "for=10.0.0.2"], "198.51.100.1"),
            ("empty elements", &["for=198.51.100.1,, ;,for=10.0.0.2,"], "198.51.100.1"),
            ("a comma in quotes", &[r#"for=1.1.1.1;x="a, for=2.2.2.2", for=198.51.100.1"#], "198.51.100.1"),
            ("escaped quote", &[r#"for=1.1.1.1;x="a\", for=2.2.2.2", for=198.51.100.1"#], "198.51.100.1"),
            ("escapes", &[r#"for="198.51\.100.1""#], "198.51.100.1"),
            ("unknown", &["for=198.51.100.1, for=unknown"], "10.0.0.1"),
            ("hidden", &["for=198.51.100.1, for=_secret"], "10.0.0.1"),
            ("an element without for", &["for=198.51.100.1, proto=https"], "10.0.0.1"),
            ("twice in one element", &["for=198.51.100.1;for=1.1.1.1"], "10.0.0.1"),
            ("twice, once hidden", &["for=_x;for=1.1.1.1"], "10.0.0.1"),
            ("bare IPv6", &["for=2001:db8::1"], "10.0.0.1"),
            ("broken quotes", &[r#"for=198.51.100.1, for="10.0.0.2"#], "10.0.0.1"),
            ("broken field before a good one", &["for=\"", "for=198.51.100.1"], "198.51.100.1"),
            ("no value", &["for="], "10.0.0.1"),
            ("blank around =", &["for = 198.51.100.1"], "10.0.0.1"),
            ("two values", &["for=198.51.100.1 1.1.1.1"], "10.0.0.1"),
            ("the other field's form", &["198.51.100.1"], "10.0.0.1"),
        ];
        for (name, values, client) in rows {
            let values = values.iter().map(|value| value.as_bytes());
            let source = trusted.source(ip("10.0.0.1"), Field::Forwarded, values);
            assert_eq!(source.client, ip(client), "{name}");
        }
    }

    #[test]
    fn a_socket_in_the_file_system_is_trusted_by_its_name_alone() {
        let header = b"198.51.100.7, 10.0.0.2".as_slice();
        let source = |trusted: &Networks| trusted.source(LOCAL, Field::XForwardedFor, [header]);
        for stranger in [networks(&["10.0.0.0/8"]), networks(&["0.0.0.0/8"]), Networks::default()] {
            assert_eq!(source(&stranger), Source { client: LOCAL, hops: Vec::new() });
        }
        let trusted = networks(&["unix:", "10.0.0.0/8"]);
        assert_eq!(source(&trusted), Source { client: ip("198.51.100.7"), hops: vec![ip("10.0.0.2"), LOCAL] });
        assert!(!networks(&["unix:"]).is_empty() && !networks(&["unix:"]).contain(ip("127.0.0.1")));
    }

    proptest::proptest! {
        /// Nothing a client writes makes it somebody else: what it can write stands before the address that the
        /// trusted peer wrote at the end.
        #[test]
        fn what_a_client_writes_before_is_never_believed(invented in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let trusted = networks(&["10.0.0.0/8"]);
            let mut value = invented;
            value.extend(b", 198.51.100.1");
            let source = trusted.source(ip("10.0.0.1"), Field::XForwardedFor, [value.as_slice()]);
            proptest::prop_assert_eq!(source.client, ip("198.51.100.1"));
        }
    }
}
