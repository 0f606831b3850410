//! When a certificate ends: the `notAfter` of its validity (RFC 5280 section 4.1.2.5), and nothing else of it.
//!
//! Whether it holds is for its clients to say. What cannot be read has no end that is known.

use crate::time::UnixTime;

/// Tags of DER (X.690 section 8).
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate in DER ends.
pub(super) fn not_after(certificate: &[u8]) -> Option<UnixTime> {
    let (outer, _) = value(certificate, SEQUENCE)?;
    let (inner, _) = value(outer, SEQUENCE)?;
    let inner = value(inner, VERSION).map_or(inner, |(_, rest)| rest);
    // Serial number, algorithm and issuer stand before it.
    let mut rest = inner;
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (validity, _) = value(rest, SEQUENCE)?;
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    let text = std::str::from_utf8(text).ok()?;
    let (year, rest) = match tag {
        // Two digits: 50 and more are of the last century.
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            (if year < "50" { format!("20{year}") } else { format!("19{year}") }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    UnixTime::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// The contents of the element that this begins with, if it has this tag, and what follows it.
fn value(der: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(tag, ..)| *tag == expected).map(|(_, value, rest)| (value, rest))
}

/// The first element: tag, contents, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // No certificate is longer than four bytes can say.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((*tag, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate() {
        // Both forms of a time: years from 2050 on have four digits.
        for (year, expected) in
            [(2030, "2030-06-05T00:00:00Z"), (2049, "2049-06-05T00:00:00Z"), (2071, "2071-06-05T00:00:00Z")]
        {
            let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
            params.not_after = rcgen::date_time_ymd(year, 6, 5);
            let key = rcgen::KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            assert_eq!(not_after(certificate.der()), UnixTime::parse_rfc3339(expected), "{year}");
            for length in 0..certificate.der().len() {
                // Cut short it has an end only if what says so is still there.
                let cut = not_after(&certificate.der()[..length]);
                assert_eq!(cut, None, "{year}, {length} bytes");
            }
        }
    }
}
