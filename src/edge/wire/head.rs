//! One request head of HTTP/1 as bytes: what it must be before anybody reads it (hardening.md rows P9, S1 to S3 and S6
//! to S9; RFC 9112 sections 2, 3, 5 and 6).
//!
//! 1. Lines end with CRLF and nothing else; no line is folded; no control byte but a tab inside a value.
//! 2. A request line is three words with one blank between them, and the version is HTTP/1.0 or HTTP/1.1.
//! 3. How long the body is is said once: one `Content-Length` of digits alone, or one `Transfer-Encoding: chunked`,
//!    which HTTP/1.0 has not.
//! 4. Bytes of the head, of the target and of a value are bounded, and so is the number of fields.
//!
//! A head is walked once, and nothing is allocated. What came in pieces is walked on from its last line. Host, path
//! and the other fields are judged where they have a meaning.

use std::num::NonZeroUsize;

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes in all.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
    /// Bytes of the target.
    pub target: usize,
}

/// How far a head was read: the place of the line that is read next, and what the lines before it said.
#[derive(Debug, Clone, Copy)]
pub struct Scan {
    line: Option<NonZeroUsize>,
    fields: usize,
    length: Option<u64>,
    chunked: bool,
    http10: bool,
    upgrade: bool,
}

/// A head that is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its bytes, the empty line among them.
    pub bytes: usize,
    /// What follows it.
    pub body: Body,
    /// Whether it asks for another protocol.
    pub upgrade: bool,
}

/// How the body after a head is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Until a chunk of no bytes.
    Chunked,
    /// So many bytes, none among them.
    Length(u64),
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not HTTP/1; what was expected.
    Malformed(&'static str),
    /// It did not come in time.
    Slow,
    /// A byte that must not stand in a target.
    Target {
        /// The byte.
        byte: u8,
        /// Where it is in the target.
        at: usize,
    },
    /// The target is longer than allowed.
    TargetTooLong,
    /// More bytes or fields than allowed, or a longer value.
    TooLarge,
    /// A transfer coding that is not exactly `chunked`.
    TransferCoding,
}

/// Bytes of one value: hardening.md section 2 has no key for it.
pub(crate) const VALUE_BYTES: usize = 16 * 1024;

/// The longest body that can be told: lengths beyond 2^63 are signed numbers to some reader.
const LENGTH_MAX: u64 = i64::MAX as u64;

const TOKEN: u8 = 1;
const TARGET: u8 = 2;

/// What each byte may be part of: a token (RFC 9110 §5.6.2), a target. Of the bytes that a target must not hold, those
/// that `policy::target` finds and names are left to it: hyper hands them on as they are.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        if !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`') {
            class[byte as usize] |= TARGET;
        }
        let separator = matches!(
            byte,
            b'"' | b'('
                | b')'
                | b','
                | b'/'
                | b':'
                | b';'
                | b'<'
                | b'='
                | b'>'
                | b'?'
                | b'@'
                | b'['
                | b'\\'
                | b']'
                | b'{'
                | b'}'
        );
        if !separator {
            class[byte as usize] |= TOKEN;
        }
        byte += 1;
    }
    class
};

impl Scan {
    /// Nothing is read yet.
    pub const BEGIN: Self = Self { line: None, fields: 0, length: None, chunked: false, http10: false, upgrade: false };

    /// Reads on; `bytes` begin with the head's first. Nothing: there must come more.
    pub fn advance(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<Head>, Fault> {
        let head = self.lines(bytes, limits)?;
        let length = head.map_or(bytes.len(), |head| head.bytes);
        if length > limits.bytes {
            return Err(Fault::TooLarge);
        }
        Ok(head)
    }

    fn lines(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<Head>, Fault> {
        let mut at = match self.line {
            Some(at) => at.get(),
            None => match self.request_line(bytes, limits)? {
                Some(end) => end.get(),
                None => return Ok(None),
            },
        };
        loop {
            let rest = bytes.get(at..).unwrap_or(&[]);
            match rest {
                [b'\r', b'\n', ..] => return self.end(at + 2).map(Some),
                [] | [b'\r'] => break,
                _ => {}
            }
            let Some(length) = self.field(rest)? else { break };
            self.fields += 1;
            if self.fields > limits.fields {
                return Err(Fault::TooLarge);
            }
            at += length;
        }
        self.line = NonZeroUsize::new(at);
        Ok(None)
    }

    /// The place behind the request line.
    fn request_line(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<NonZeroUsize>, Fault> {
        let method = run(bytes, TOKEN);
        match bytes.get(method) {
            None => return Ok(None),
            Some(b' ') if method > 0 => {}
            Some(_) => return Err(Fault::Malformed("expected a method, a target and a version")),
        }
        let rest = &bytes[method + 1..];
        let length = run(rest, TARGET);
        if length > limits.target {
            return Err(Fault::TargetTooLong);
        }
        let (target, rest) = rest.split_at(length);
        match rest.first() {
            None => return Ok(None),
            Some(b' ') if length > 0 => {}
            Some(b' ' | b'\r' | b'\n') => {
                return Err(Fault::Malformed("expected a method, a target and a version"));
            }
            Some(&byte) => return Err(Fault::Target { byte, at: length }),
        }
        // Other forms are seldom, and hyper would refuse some of them in words of its own.
        if target.first() != Some(&b'/') && http::Uri::try_from(target).is_err() {
            return Err(Fault::Malformed("expected a request target that begins with `/`"));
        }
        const VERSION: &[u8] = b"HTTP/1.";
        const END: &[u8] = b"\r\n";
        let rest = &rest[1..];
        let (version, rest) = rest.split_at(rest.len().min(VERSION.len()));
        let (minor, end) = rest.split_at(rest.len().min(1));
        let end = &end[..end.len().min(END.len())];
        if !VERSION.starts_with(version) || !matches!(minor, [] | b"0" | b"1") || !END.starts_with(end) {
            return Err(Fault::Malformed("expected the version HTTP/1.1 or HTTP/1.0 and CRLF behind it"));
        }
        if end.len() < END.len() {
            return Ok(None);
        }
        self.http10 = minor == b"0";
        Ok(NonZeroUsize::new(method + 1 + length + 1 + VERSION.len() + 1 + END.len()))
    }

    /// The bytes of the field line at the front, its end among them.
    fn field(&mut self, line: &[u8]) -> Result<Option<usize>, Fault> {
        let colon = run(line, TOKEN);
        match line.get(colon) {
            Some(b':') if colon > 0 => {}
            Some(b' ' | b'\t') if colon == 0 => {
                return Err(Fault::Malformed("expected no white space before a field, and none that folds one"));
            }
            Some(_) => return Err(Fault::Malformed("expected the name of a field and a colon right behind it")),
            None => return Ok(None),
        }
        let (name, rest) = line.split_at(colon);
        let rest = &rest[1..];
        let length = value_length(rest);
        if length > VALUE_BYTES && trimmed(&rest[..length]).len() > VALUE_BYTES {
            return Err(Fault::TooLarge);
        }
        match rest.get(length..) {
            Some([b'\r', b'\n', ..]) => {}
            None | Some([] | [b'\r']) => return Ok(None),
            Some(_) => {
                return Err(Fault::Malformed("expected CRLF at the end of a field, and no control byte within"));
            }
        }
        let value = &rest[..length];
        match name.len() {
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !trimmed(value).eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::TransferCoding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(Some(colon + 1 + length + 2))
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        const EXPECTED: Fault = Fault::Malformed("expected one Content-Length, of digits alone");
        let value = trimmed(value);
        let number = |number: u64, byte: &u8| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        };
        let length = value.iter().try_fold(0, number).filter(|length| *length <= LENGTH_MAX && !value.is_empty());
        if self.length.is_some() {
            return Err(EXPECTED);
        }
        self.length = Some(length.ok_or(EXPECTED)?);
        Ok(())
    }

    fn end(&self, bytes: usize) -> Result<Head, Fault> {
        let body = match (self.chunked, self.length) {
            (true, Some(_)) => {
                return Err(Fault::Malformed("expected Content-Length or Transfer-Encoding, found both"));
            }
            (true, None) if self.http10 => {
                return Err(Fault::Malformed("expected no Transfer-Encoding in HTTP/1.0"));
            }
            (true, None) => Body::Chunked,
            (false, length) => Body::Length(length.unwrap_or(0)),
        };
        Ok(Head { bytes, body, upgrade: self.upgrade })
    }
}

/// Whether a byte may stand in the name of a field.
pub(super) fn is_token(byte: u8) -> bool {
    CLASS[usize::from(byte)] & TOKEN != 0
}

/// How many bytes at the front are of a class.
fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| CLASS[usize::from(byte)] & class == 0).unwrap_or(bytes.len())
}

/// How many bytes at the front may stand in a value: all but control bytes, the tab apart.
fn value_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += bytes.get(at..).map_or(0, before_control);
        match bytes.get(at) {
            Some(b'\t') => at += 1,
            _ => return at,
        }
    }
}

/// How many bytes stand before the first control byte. Eight are looked at together: most of a head is values.
fn before_control(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let (eights, rest) = bytes.as_chunks::<8>();
    for (number, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        // The classic tests for a byte below a number and for a byte of zero: a borrow can only mark bytes that come
        // after one that is marked rightly, and the first is all that counts.
        let below = word.wrapping_sub(ONES * 0x20) & !word;
        let delete = word ^ (ONES * 0x7f);
        let delete = delete.wrapping_sub(ONES) & !delete;
        let marks = (below | delete) & HIGH;
        if marks != 0 {
            return number * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    let rest_before = rest.iter().position(|&byte| byte < 0x20 || byte == 0x7f).unwrap_or(rest.len());
    bytes.len() - rest.len() + rest_before
}

/// Without the blanks and tabs around it.
fn trimmed(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 32 * 1024, fields: 100, target: 8 * 1024 };

    fn scan(bytes: &[u8]) -> Result<Option<Head>, Fault> {
        let mut scan = Scan::BEGIN;
        scan.advance(bytes, &LIMITS)
    }

    fn length(bytes: &[u8]) -> Option<Body> {
        scan(bytes).ok().flatten().map(|head| head.body)
    }

    #[test]
    fn heads_in_order() {
        let rows: [(&str, Body, bool); 9] = [
            ("GET / HTTP/1.1\r\n\r\n", Body::Length(0), false),
            ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", Body::Length(0), false),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Body::Length(0), false),
            ("GET http://a:80/b?c HTTP/1.1\r\nHost:a\r\n\r\n", Body::Length(0), false),
            ("POST /a\\^{|}[] HTTP/1.1\r\nContent-Length:  \t007 \r\nX-Empty:\r\n\r\n", Body::Length(7), false),
            ("POST / HTTP/1.1\r\ncontent-LENGTH: 9223372036854775807\r\n\r\n", Body::Length(LENGTH_MAX), false),
            ("BREW / HTTP/1.1\r\ntransfer-ENCODING:\tchunKED\r\n\r\n", Body::Chunked, false),
            ("GET / HTTP/1.1\r\nX: a\tb\u{e9}c, d\r\nContent_Length: x\r\n\r\n", Body::Length(0), false),
            ("GET / HTTP/1.1\r\nConnection: upgrade\r\nUPGRADE: websocket\r\n\r\n", Body::Length(0), true),
        ];
        for (text, body, upgrade) in rows {
            let expected = Head { bytes: text.len(), body, upgrade };
            assert_eq!(scan(text.as_bytes()), Ok(Some(expected)), "{text:?}");
            let more = format!("{text}\0\0");
            assert_eq!(scan(more.as_bytes()), Ok(Some(expected)), "what follows is not looked at: {text:?}");
        }
    }

    #[test]
    fn heads_that_are_none() {
        let rows = [
            ("\r\n\r\n", "method"),
            (" / HTTP/1.1\r\n\r\n", "method"),
            ("G(T / HTTP/1.1\r\n\r\n", "method"),
            ("GET\t/ HTTP/1.1\r\n\r\n", "method"),
            ("\x16\x03\x01\x02", "method"),
            ("GET  / HTTP/1.1\r\n\r\n", "method"),
            ("GET /\r\n\r\n", "method"),
            ("GET / y HTTP/1.1\r\n\r\n", "version"),
            ("GET / HTTP/1.1 \r\n\r\n", "version"),
            ("GET / HTTP/1.10\r\n\r\n", "version"),
            ("GET / HTTP/2.0\r\n\r\n", "version"),
            ("GET / http/1.1\r\n\r\n", "version"),
            ("GET / HTTP/1.2\r\n\r\n", "version"),
            ("GET / HTTP/1.1\n\n", "version"),
            ("GET / HTTP/1.1\r\r", "version"),
            ("GET h:x:y HTTP/1.1\r\n\r\n", "begins with `/`"),
            ("GET / HTTP/1.1\r\n X: a\r\n\r\n", "white space"),
            ("GET / HTTP/1.1\r\nX: a\r\n\tb\r\n\r\n", "white space"),
            ("GET / HTTP/1.1\r\nX : a\r\n\r\n", "colon"),
            ("GET / HTTP/1.1\r\n: a\r\n\r\n", "colon"),
            ("GET / HTTP/1.1\r\nX\r\n\r\n", "colon"),
            ("GET / HTTP/1.1\r\nX(a): b\r\n\r\n", "colon"),
            ("GET / HTTP/1.1\r\nX\0: b\r\n\r\n", "colon"),
            ("GET / HTTP/1.1\r\n\nX: b\r\n\r\n", "colon"),
            ("GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n", "CRLF"),
            ("GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", "CRLF"),
            ("GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", "CRLF"),
            ("GET / HTTP/1.1\r\nX: \x7f\r\n\r\n", "CRLF"),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "one Content-Length"),
            ("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", "one Content-Length"),
            ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", "one Content-Length"),
            ("POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n", "one Content-Length"),
            ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", "one Content-Length"),
            ("POST / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n\r\n", "one Content-Length"),
            ("POST / HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n\r\n", "one Content-Length"),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "both"),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0"),
        ];
        for (text, expected) in rows {
            match scan(text.as_bytes()) {
                Err(Fault::Malformed(detail)) => assert!(detail.contains(expected), "{text:?}: {detail}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
        for coding in ["gzip", "chunked, chunked", "identity", "", "\"chunked\"", "chunked;q=1", "xchunked"] {
            let text = format!("POST / HTTP/1.1\r\nTransfer-Encoding: {coding}\r\n\r\n");
            assert_eq!(scan(text.as_bytes()), Err(Fault::TransferCoding), "{coding:?}");
        }
        let twice = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(scan(twice.as_bytes()), Err(Fault::TransferCoding));
        for byte in [b'"', b'#', b'<', b'>', b'`', 0, 7, b'\t', 0x7f, 0x80, 0xff] {
            let mut text = b"GET /a?".to_vec();
            text.push(byte);
            text.extend(b"b HTTP/1.1\r\n\r\n");
            assert_eq!(scan(&text), Err(Fault::Target { byte, at: 3 }), "{byte:#x}");
        }
    }

    /// Whatever target is let through, hyper makes a request of it.
    #[test]
    fn targets_that_pass_are_read_by_hyper() {
        for byte in (0..=255_u8).filter(|byte| CLASS[usize::from(*byte)] & TARGET != 0) {
            for target in [[b'/', byte, b'a'], [b'/', b'?', byte]] {
                let uri = http::Uri::try_from(&target[..]);
                assert!(uri.is_ok_and(|uri| uri.to_string().as_bytes() == target), "{byte:#x}");
            }
        }
    }

    #[test]
    fn bounds() {
        let head = |target: usize, fields: usize, value: usize| {
            let fields = (0..fields).map(|i| format!("X-{i}: {}\r\n", "v".repeat(value))).collect::<String>();
            format!("GET /{} HTTP/1.1\r\n{fields}\r\n", "t".repeat(target - 1)).into_bytes()
        };
        let rows = [
            ("a target at its bound", head(8192, 1, 1), None),
            ("a longer one", head(8193, 1, 1), Some(Fault::TargetTooLong)),
            ("as many fields as may be", head(1, 100, 1), None),
            ("one more", head(1, 101, 1), Some(Fault::TooLarge)),
            ("a value at its bound, a blank before it", head(1, 1, VALUE_BYTES), None),
            ("a longer one", head(1, 1, VALUE_BYTES + 1), Some(Fault::TooLarge)),
            ("more bytes than may be", head(1, 3, 12_000), Some(Fault::TooLarge)),
        ];
        for (name, bytes, fault) in rows {
            assert_eq!(scan(&bytes).err(), fault, "{name}");
            // Whoever never ends is refused too.
            let begun = &bytes[..bytes.len() - 2];
            let unfinished = scan(begun);
            assert!(unfinished.is_err() == fault.is_some(), "{name}, unfinished: {unfinished:?}");
        }
        let exact = head(1, 2, (LIMITS.bytes - 16 - 2 - 2 * 7) / 2);
        assert_eq!((exact.len(), scan(&exact).is_ok()), (LIMITS.bytes, true));
    }

    /// Whatever way a head is cut, it is read as the same one, and a fault is found no later than at its end.
    #[test]
    fn pieces() {
        let texts: [&[u8]; 4] = [
            b"POST /some/path?q=1 HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 12\r\nX: y\r\n\r\n",
            b"POST /some/path HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET /a HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
            b"GET /a#b HTTP/1.1\r\n\r\n",
        ];
        for text in texts {
            let whole = scan(text);
            for cut in 0..text.len() {
                let mut scan = Scan::BEGIN;
                match scan.advance(&text[..cut], &LIMITS) {
                    Ok(None) => assert_eq!(scan.advance(text, &LIMITS), whole, "cut at {cut}"),
                    Ok(Some(head)) => panic!("{head:?} at {cut}"),
                    Err(fault) => assert_eq!(Err(fault), whole, "cut at {cut}"),
                }
            }
            let mut scan = Scan::BEGIN;
            let by_bytes = (0..=text.len()).map(|end| scan.advance(&text[..end], &LIMITS));
            assert_eq!(by_bytes.into_iter().find(|step| *step != Ok(None)), Some(whole));
        }
    }

    #[test]
    fn control_bytes_are_found_wherever_they_stand() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![0xc3; length];
                    bytes[at] = byte;
                    let control = byte < 0x20 || byte == 0x7f;
                    assert_eq!(before_control(&bytes), if control { at } else { length }, "{byte:#x} at {at}");
                }
            }
        }
        assert_eq!(value_length(b"\ta\t\tb\rc"), 5);
        assert_eq!(length(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"), Some(Body::Length(5)));
    }
}
