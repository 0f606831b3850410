//! Hosts: from a Host field or `:authority` to the one spelling that is compared.
//!
//! Letters, digits, `-`, `_` and dots between them, or an IPv6 address in brackets; a port is checked and left behind.
//! Anything else is refused, not repaired. A host that is canonical as it came is borrowed.

use std::{borrow::Cow, io::Write, net::Ipv6Addr};

/// Why a host is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// What stands between `[` and `]` is no IPv6 address.
    #[error("expected an IPv6 address between `[` and `]`")]
    Address,
    /// Empty, longer than a DNS name can be, with an empty label, or with a byte no host name has.
    #[error("expected a host name of ASCII letters, digits, `-`, `_` and `.`")]
    Name,
    /// What follows the colon is no port.
    #[error("expected a port from 0 to 65535 after the colon")]
    Port,
}

/// A host as it is compared: lower case, without port and trailing dot, an IPv6 address in its shortest form and in
/// brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host<'h>(Cow<'h, str>);

/// Not of a host's name.
const HOST_REFUSED: u8 = 1;
/// To be written in lower case.
const HOST_UPPER: u8 = 2;

/// What each byte means in a host's name.
const HOST_CLASS: [u8; 256] = {
    let mut class = [HOST_REFUSED; 256];
    let mut byte = 0;
    while byte < 0x80 {
        class[byte] = match byte as u8 {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => 0,
            b'A'..=b'Z' => HOST_UPPER,
            _ => HOST_REFUSED,
        };
        byte += 1;
    }
    class
};

// === impl Host ===

impl<'h> Host<'h> {
    /// Reads a Host field or `:authority`.
    pub fn parse(text: &'h str) -> Result<Self, HostError> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or(HostError::Address)?;
            if !port.is_empty() {
                check_port(port.strip_prefix(':').ok_or(HostError::Port)?)?;
            }
            let literal = &text[..address.len() + 2];
            let address: Ipv6Addr = address.parse().map_err(|_| HostError::Address)?;
            return Ok(Self(shortest(literal, address)));
        }
        // One pass, and no more than a look-up a byte: every request has a host.
        let bytes = text.as_bytes();
        let (mut seen, mut before, mut end) = (0, b'.', bytes.len());
        for (at, &byte) in bytes.iter().enumerate() {
            if byte == b':' {
                check_port(&text[at + 1..])?;
                end = at;
                break;
            }
            // Dots at the beginning, or two after each other.
            if byte == b'.' && before == b'.' {
                return Err(HostError::Name);
            }
            seen |= HOST_CLASS[usize::from(byte)];
            before = byte;
        }
        let name = text[..end].strip_suffix('.').unwrap_or(&text[..end]);
        if seen & HOST_REFUSED != 0 || name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(HostError::Name);
        }
        let upper = seen & HOST_UPPER != 0;
        Ok(Self(if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) }))
    }

    /// The host itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 1035 §2.3.4: 255 octets on the wire are 253 characters as text.
const NAME_BYTES_MAX: usize = 253;

fn check_port(port: &str) -> Result<(), HostError> {
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostError::Port);
    }
    port.parse::<u16>().map(drop).map_err(|_| HostError::Port)
}

/// RFC 5952, in brackets; `literal` itself where it is that already.
fn shortest(literal: &str, address: Ipv6Addr) -> Cow<'_, str> {
    // 45 characters is the longest text of an IPv6 address, then the brackets.
    let mut buffer = [0; 47];
    let mut rest = buffer.as_mut_slice();
    let written = write!(rest, "[{address}]").is_ok();
    let length = 47 - rest.len();
    if written && &buffer[..length] == literal.as_bytes() {
        return Cow::Borrowed(literal);
    }
    Cow::Owned(format!("[{address}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_canonical_or_refused() {
        use HostError::*;
        let long = format!("{}a", "a.".repeat(126));
        let longer = format!("{long}a");
        let rows = [
            ("name", "api.example", Ok("api.example")),
            ("letter case", "API.Example", Ok("api.example")),
            ("trailing dot", "api.example.", Ok("api.example")),
            ("port", "api.example:8443", Ok("api.example")),
            ("all at once", "API.example.:0", Ok("api.example")),
            ("IPv4", "127.0.0.1:80", Ok("127.0.0.1")),
            ("IPv6", "[::1]", Ok("[::1]")),
            ("IPv6, long", "[0:0:0:0:0:0:0:1]:443", Ok("[::1]")),
            ("IPv6, letter case", "[2001:DB8::1]", Ok("[2001:db8::1]")),
            ("longest", &long, Ok(&*long)),
            ("too long", &longer, Err(Name)),
            ("empty", "", Err(Name)),
            ("dot", ".", Err(Name)),
            ("two trailing dots", "a..", Err(Name)),
            ("empty label", "a..b", Err(Name)),
            ("not ASCII", "ä.example", Err(Name)),
            ("user", "u@a", Err(Name)),
            ("escape", "a%2eb", Err(Name)),
            ("list", "a,b", Err(Name)),
            ("no port after the colon", "a:", Err(Port)),
            ("port too great", "a:65536", Err(Port)),
            ("signed port", "a:+1", Err(Port)),
            ("IPv6 without brackets", "::1", Err(Port)),
            ("IPv6, not closed", "[::1", Err(Address)),
            ("IPv6 zone", "[fe80::1%25eth0]", Err(Address)),
            ("IPv6, junk behind", "[::1]x", Err(Port)),
        ];
        for (name, text, expected) in rows {
            let found = Host::parse(text);
            assert_eq!(found.as_ref().map(Host::as_str).map_err(|error| *error), expected, "{name}");
            if found.as_ref().is_ok_and(|host| text.starts_with(host.as_str())) {
                assert!(matches!(found, Ok(Host(Cow::Borrowed(_)))), "{name}");
            }
        }
    }
}
