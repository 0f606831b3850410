//! The PROXY protocol, versions 1 and 2: what a balancer that forwards bytes says of the client, before the first of
//! them (hardening.md section 4).
//!
//! 1. It is read from trusted peers alone, and is not optional for them: a connection of theirs without it is closed.
//! 2. Exactly the header is read: what follows it is the client's TLS or HTTP, and stays in the socket.
//! 3. What is unknown is refused: a version, a command, an address family or a length that the configured versions do
//!    not have. `LOCAL` and `UNKNOWN` are the balancer's own connections, and have the balancer's address.
//! 4. Its extensions (TLVs) are stepped over, and nothing in them is believed.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use thiserror::Error;
use tokio::io::AsyncReadExt as _;

use super::accept::Connected;

/// Versions that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Either.
    Any,
    /// The line of text.
    V1,
    /// The binary header.
    V2,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The client; nothing for a connection of the balancer's own.
    pub client: Option<SocketAddr>,
    /// Bytes of the header.
    pub length: usize,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// They begin like neither version that is read.
    #[error("no PROXY header of a version that is read")]
    Missing,
    /// They begin like one and go on like none.
    #[error("a malformed PROXY header")]
    Malformed,
    /// More bytes than are read.
    #[error("a PROXY header of more than {HEADER_MAX} bytes")]
    TooLong,
}

/// What a header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What one of version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// Bytes of a line of version 1 at most, its end among them.
const LINE_MAX: usize = 107;
/// Bytes of version 2 before the addresses.
const FIXED: usize = 16;
/// Bytes that are read at most: balancers add a few hundred bytes of extensions, certificates of clients among them.
pub const HEADER_MAX: usize = 4096;
/// How long to wait for the rest of a header that came in parts.
const AGAIN: Duration = Duration::from_millis(5);

/// Reads a header off the beginning of some bytes; nothing if there are too few of them to tell.
pub fn parse(bytes: &[u8], versions: Versions) -> Result<Option<Header>, HeaderError> {
    let begins = |with: &[u8]| with.starts_with(&bytes[..bytes.len().min(with.len())]);
    if versions != Versions::V1 && begins(SIGNATURE) {
        return if bytes.len() < FIXED { Ok(None) } else { binary(bytes) };
    }
    if versions != Versions::V2 && begins(WORD) {
        return line(bytes);
    }
    Err(HeaderError::Missing)
}

/// Reads a header and nothing after it; waits as long as it is asked.
///
/// Fails with [`io::ErrorKind::InvalidData`] around a [`HeaderError`], or as reading fails.
pub(super) async fn read(stream: &mut impl Connected, versions: Versions) -> io::Result<Option<SocketAddr>> {
    // Looked at before it is taken, for nothing says beforehand how long a line is.
    let mut seen = vec![0; HEADER_MAX];
    loop {
        let length = stream.look(&mut seen).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let read =
            parse(&seen[..length], versions).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(header) = read {
            stream.read_exact(&mut seen[..header.length]).await?;
            return Ok(header.client);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 40000 443`, CR LF.
fn line(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let looked = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = looked.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE_MAX { Ok(None) } else { Err(HeaderError::Malformed) };
    };
    let text = looked[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let words: Vec<&str> = text.ok_or(HeaderError::Malformed)?.split(' ').collect();
    let length = end + 1;
    match *words.as_slice() {
        // Whatever stands behind it is not looked at.
        [_, "UNKNOWN", ..] => Ok(Some(Header { client: None, length })),
        [_, family, from, to, from_port, to_port] => {
            let addresses = Some((ip(family, from)?, ip(family, to)?));
            let ports = port(from_port).zip(port(to_port));
            let ((client, _), (port, _)) = addresses.zip(ports).ok_or(HeaderError::Malformed)?;
            Ok(Some(Header { client: Some(SocketAddr::new(client, port)), length }))
        }
        _ => Err(HeaderError::Malformed),
    }
}

fn ip(family: &str, text: &str) -> Result<IpAddr, HeaderError> {
    let address = match family {
        "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6),
        _ => return Err(HeaderError::Malformed),
    };
    address.map_err(|_| HeaderError::Malformed)
}

/// A port in decimal digits, without a sign or a zero in front.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

/// Version 2, whose signature and fixed part are there.
fn binary(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let &[version, family, high, low] =
        bytes.get(SIGNATURE.len()..FIXED).and_then(|fixed| fixed.as_array()).ok_or(HeaderError::Malformed)?;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_MAX {
        return Err(HeaderError::TooLong);
    }
    let Some(rest) = bytes.get(FIXED..length) else {
        return Ok(None);
    };
    let client = match (version, family) {
        // LOCAL: what it says of addresses is to be discarded.
        (0x20, _) => None,
        // Over TCP; datagrams and sockets of one machine do not come here.
        (0x21, 0x11) => {
            let (from, [high, low]) = addresses::<4>(rest)?;
            Some(SocketAddr::new(Ipv4Addr::from(from).into(), u16::from_be_bytes([high, low])))
        }
        (0x21, 0x21) => {
            let (from, [high, low]) = addresses::<16>(rest)?;
            Some(SocketAddr::new(Ipv6Addr::from(from).into(), u16::from_be_bytes([high, low])))
        }
        // The balancer does not know.
        (0x21, 0x00) => None,
        _ => return Err(HeaderError::Malformed),
    };
    Ok(Some(Header { client, length }))
}

/// The client's address and port: before them nothing, between them the server's address.
fn addresses<const N: usize>(bytes: &[u8]) -> Result<([u8; N], [u8; 2]), HeaderError> {
    let from = bytes.first_chunk().ok_or(HeaderError::Malformed)?;
    let ports = bytes.get(2 * N..2 * N + 4).and_then(|ports| ports.first_chunk()).ok_or(HeaderError::Malformed)?;
    Ok((*from, *ports))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2.
    fn v2(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [SIGNATURE.as_slice(), &[version, family], &length, rest].concat()
    }

    fn v4_addresses() -> Vec<u8> {
        [[192, 0, 2, 1], [192, 0, 2, 2]].concat().into_iter().chain([0x9c, 0x40, 0x01, 0xbb]).collect()
    }

    #[test]
    fn lines_of_version_1_are_read_or_refused() {
        let client = |text: &str| Some(text.parse::<SocketAddr>().expect("an address"));
        let good = [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\r\n", client("192.0.2.1:40000")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", client("[2001:db8::1]:1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff:f...f:ffff x y z\r\n", None),
        ];
        for (line, client) in good {
            let followed = format!("{line}GET / HTTP/1.1\r\n");
            let expected = Ok(Some(Header { client, length: line.len() }));
            assert_eq!(parse(followed.as_bytes(), Versions::V1), expected, "{line}");
            assert_eq!(parse(followed.as_bytes(), Versions::Any), expected, "{line}");
            assert_eq!(parse(followed.as_bytes(), Versions::V2), Err(HeaderError::Missing), "{line}");
            for cut in 0..line.len() {
                assert_eq!(parse(&line.as_bytes()[..cut], Versions::Any), Ok(None), "{line} cut at {cut}");
            }
        }
        let bad = [
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000 443 \r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 40000 443\r\n",
            "PROXY TCP4 2001:db8::1 192.0.2.2 40000 443\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 40000 443\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 40000 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 443\r\n",
            "PROXY tcp4 192.0.2.1 192.0.2.2 1 443\r\n",
            "PROXY \r\n",
        ];
        for line in bad {
            assert_eq!(parse(line.as_bytes(), Versions::Any), Err(HeaderError::Malformed), "{line}");
        }
        let endless = [WORD, &[b'x'; LINE_MAX]].concat();
        assert_eq!(parse(&endless, Versions::Any), Err(HeaderError::Malformed));
    }

    #[test]
    fn headers_of_version_2_are_read_or_refused() {
        let v6 = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [0; 16]].concat();
        let v6: Vec<u8> = v6.into_iter().chain([0, 80, 0, 81]).collect();
        let extended = [v4_addresses(), vec![0xee; 300]].concat();
        let client = |text: &str| Some(text.parse::<SocketAddr>().expect("an address"));
        let good = [
            ("TCP over IPv4", v2(0x21, 0x11, &v4_addresses()), client("192.0.2.1:40000")),
            ("TCP over IPv6", v2(0x21, 0x21, &v6), client("[2001:db8::1]:80")),
            ("extensions", v2(0x21, 0x11, &extended), client("192.0.2.1:40000")),
            ("LOCAL", v2(0x20, 0x00, &[]), None),
            ("LOCAL with addresses", v2(0x20, 0x11, &v4_addresses()), None),
            ("unspecified", v2(0x21, 0x00, &[1, 2, 3]), None),
        ];
        for (name, bytes, client) in good {
            let followed = [bytes.as_slice(), b"\x16\x03\x01"].concat();
            let expected = Ok(Some(Header { client, length: bytes.len() }));
            assert_eq!(parse(&followed, Versions::V2), expected, "{name}");
            assert_eq!(parse(&followed, Versions::Any), expected, "{name}");
            assert_eq!(parse(&followed, Versions::V1), Err(HeaderError::Missing), "{name}");
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut], Versions::Any), Ok(None), "{name} cut at {cut}");
            }
        }
        let bad = [
            ("version 1", v2(0x11, 0x11, &v4_addresses())),
            ("version 3", v2(0x31, 0x11, &v4_addresses())),
            ("another command", v2(0x22, 0x11, &v4_addresses())),
            ("UDP", v2(0x21, 0x12, &v4_addresses())),
            ("a UNIX socket", v2(0x21, 0x31, &[0; 216])),
            ("another family", v2(0x21, 0x41, &v4_addresses())),
            ("too few bytes", v2(0x21, 0x11, &v4_addresses()[..11])),
            ("IPv6 with the bytes of IPv4", v2(0x21, 0x21, &v4_addresses())),
        ];
        for (name, bytes) in bad {
            assert_eq!(parse(&bytes, Versions::Any), Err(HeaderError::Malformed), "{name}");
        }
        assert_eq!(parse(&v2(0x21, 0x11, &[0; HEADER_MAX]), Versions::Any), Err(HeaderError::TooLong));
    }

    #[test]
    fn what_is_no_header_is_refused_at_once() {
        for bytes in [b"GET / HTTP/1.1\r\n".as_slice(), b"\x16\x03\x01", b"P ", b"PRI * HTTP/2.0", b"\r\n\r\n\r"] {
            assert_eq!(parse(bytes, Versions::Any), Err(HeaderError::Missing), "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            for begun in [Vec::new(), SIGNATURE.to_vec(), WORD.to_vec()] {
                let all = [begun, bytes.clone()].concat();
                if let Ok(Some(header)) = parse(&all, Versions::Any) {
                    proptest::prop_assert!(header.length <= all.len());
                }
            }
        }
    }
}
