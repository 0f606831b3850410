//! The envelopes of Solana off-chain messages, which hardware wallets sign in place of the text.
//!
//! Clients send the text and the signature alone, so every envelope that may have been signed is rebuilt. All
//! begin with a byte no transaction begins with, and the name of the purpose.
//!
//! | design | after the name |
//! |---|---|
//! | version 0 | `00`, application domain (32 bytes), format, `01`, signer's key, length (u16, little-endian), text |
//! | version 1 | `01`, `01`, signer's key, text |
//! | the first, of the command line and old Ledger firmware | `00`, format, length, text |
//!
//! 1. One signer, and it is the account.
//! 2. The application domain is the message's own domain, cut or filled with zeros to 32 bytes, or all zeros.
//! 3. Format 0 holds printable ASCII and line feeds, which the Ledger application allows though the
//!    specification's text does not; 1 and 2 hold UTF-8. In formats 0 and 1 the whole envelope fits a network
//!    packet. An envelope in a format that its text does not fit is never a candidate.

/// What every envelope begins with.
const SIGNING_DOMAIN: &[u8; 16] = b"\xffsolana offchain";
/// The size of a packet without headers: what a hardware wallet is sure to hold.
const PACKET_BYTES_MAX: usize = 1232;
/// The largest envelope of format 2.
const EXTENDED_BYTES_MAX: usize = 65535;

/// One way to wrap a text.
#[derive(Debug, Clone, Copy)]
enum Design {
    /// Version 0, with an application domain and a format.
    V0([u8; 32], Format),
    /// Version 1.
    V1,
    /// The first design, with a format alone.
    Legacy(Format),
}

/// The character sets and limits of versions 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    RestrictedAscii = 0,
    LimitedUtf8 = 1,
    ExtendedUtf8 = 2,
}

/// The envelopes that an account may have signed for a text, the likeliest first. Each is built when asked for.
pub(super) fn envelopes<'a>(
    text: &'a [u8],
    domain: Option<&str>,
    account: &'a [u8; 32],
) -> impl Iterator<Item = Vec<u8>> + use<'a> {
    use Format::{ExtendedUtf8, LimitedUtf8, RestrictedAscii};
    let named = padded(domain.unwrap_or_default());
    let unnamed = [0; 32];
    let designs = [
        Design::V0(named, RestrictedAscii),
        Design::V0(named, LimitedUtf8),
        Design::V0(named, ExtendedUtf8),
        Design::V0(unnamed, RestrictedAscii),
        Design::V0(unnamed, LimitedUtf8),
        Design::V0(unnamed, ExtendedUtf8),
        Design::V1,
        Design::Legacy(RestrictedAscii),
        Design::Legacy(LimitedUtf8),
    ];
    // Without a domain the first three would repeat the next.
    let first = if named == unnamed { 3 } else { 0 };
    // An envelope of nothing is no message in any design.
    let readable = !text.is_empty() && std::str::from_utf8(text).is_ok();
    let designs = designs.into_iter().skip(first).filter(move |_| readable);
    designs.filter_map(move |design| design.wrap(text, account))
}

impl Design {
    /// The bytes that are signed, if this design can hold the text.
    fn wrap(self, text: &[u8], account: &[u8; 32]) -> Option<Vec<u8>> {
        let mut envelope = Vec::with_capacity(SIGNING_DOMAIN.len() + 69 + text.len());
        envelope.extend_from_slice(SIGNING_DOMAIN);
        match self {
            Self::V0(application, format) => {
                envelope.push(0);
                envelope.extend_from_slice(&application);
                envelope.push(format as u8);
                envelope.push(1);
                envelope.extend_from_slice(account);
                format.append(text, &mut envelope)?;
            }
            Self::V1 => {
                envelope.extend_from_slice(&[1, 1]);
                envelope.extend_from_slice(account);
                envelope.extend_from_slice(text);
            }
            Self::Legacy(format) => {
                envelope.extend_from_slice(&[0, format as u8]);
                format.append(text, &mut envelope)?;
            }
        }
        Some(envelope)
    }
}

impl Format {
    /// Ends an envelope with the length and the text, if they fit.
    fn append(self, text: &[u8], envelope: &mut Vec<u8>) -> Option<()> {
        let length = u16::try_from(text.len()).ok()?;
        envelope.extend_from_slice(&length.to_le_bytes());
        envelope.extend_from_slice(text);
        let fits = match self {
            Self::RestrictedAscii => envelope.len() <= PACKET_BYTES_MAX && text.iter().all(is_restricted_ascii),
            Self::LimitedUtf8 => envelope.len() <= PACKET_BYTES_MAX,
            Self::ExtendedUtf8 => envelope.len() <= EXTENDED_BYTES_MAX,
        };
        fits.then_some(())
    }
}

const fn is_restricted_ascii(byte: &u8) -> bool {
    matches!(byte, 0x20..=0x7e | b'\n')
}

/// A domain as an application domain: 32 bytes, cut or filled with zeros.
fn padded(domain: &str) -> [u8; 32] {
    let mut application = [0; 32];
    for (to, from) in application.iter_mut().zip(domain.bytes()) {
        *to = from;
    }
    application
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version, format and length of the envelopes of a text of so many bytes.
    fn kinds(text: &[u8], domain: Option<&str>) -> Vec<(usize, u8)> {
        let all = envelopes(text, domain, &[7; 32]);
        all.map(|envelope| (envelope.len() - text.len(), envelope[16])).collect()
    }

    #[test]
    fn the_table_of_headers() {
        let (v0, v1, legacy) = ((85, 0), (51 - 1, 1), (20, 0));
        let all = [v0, v0, v0, v0, v0, v0, v1, legacy, legacy];
        assert_eq!(kinds(b"text", Some("a.example")), all);
        assert_eq!(kinds(b"text", None), all[3..]);
        assert_eq!(kinds("täxt".as_bytes(), None), [v0, v0, v1, legacy], "no format 0");
        assert_eq!(kinds(b"te\rxt", None), [v0, v0, v1, legacy], "no control characters in format 0");
        assert_eq!(kinds(b"te\nxt", None), all[3..], "line feeds in format 0");
        assert_eq!(kinds(b"\xff", None), [(0, 0); 0], "not UTF-8");
        assert_eq!(kinds(b"", None), [(0, 0); 0], "nothing");
    }

    #[test]
    fn limits_from_both_sides() {
        let (v0, v1, legacy) = ((85, 0), (50, 1), (20, 0));
        let rows = [
            (1232 - 85, vec![v0, v0, v0, v1, legacy, legacy]),
            (1232 - 84, vec![v0, v1, legacy, legacy]),
            (1232 - 20, vec![v0, v1, legacy, legacy]),
            (1232 - 19, vec![v0, v1]),
            (65535 - 85, vec![v0, v1]),
            (65535 - 84, vec![v1]),
        ];
        for (length, expected) in rows {
            assert_eq!(kinds(&vec![b'a'; length], None), expected, "{length}");
        }
    }

    #[test]
    fn application_domains() {
        assert_eq!(padded(""), [0; 32]);
        assert_eq!(&padded("a.example")[..10], b"a.example\0");
        let long = "0123456789abcdef0123456789abcdef.example";
        assert_eq!(&padded(long), &long.as_bytes()[..32]);
    }
}
