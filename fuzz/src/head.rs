//! Connections of HTTP/1 as bytes: heads, and where they and their bodies begin and end.
//!
//! An input is all that a client sends. Three readers have it: the one that is asked, `httparse`, which hyper reads heads
//! with, and one below that is written after RFC 9112 for plainness alone, with the whole of its bytes at hand.

use siwx_gateway::edge::wire::{
    framing::{Framing, Taken},
    head::{Body, Fault, Head, HeadLimits, Scan},
};

/// As a gateway has them by default, and so that inputs can break them.
const LIMITS: [HeadLimits; 2] =
    [HeadLimits { bytes: 32 * 1024, fields: 100, target: 8 * 1024 }, HeadLimits { bytes: 300, fields: 8, target: 64 }];

/// Of the rules of chunks that have a number.
const SIZE_DIGITS: usize = 16;
const EXTENSION_BYTES: usize = 4 * 1024;
const TRAILER_BYTES: usize = 16 * 1024;
const VALUE_BYTES: usize = 16 * 1024;

/// What became of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Course {
    /// What was passed on.
    passed: Vec<u8>,
    heads: u64,
    within_body: bool,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come.
    Open,
    /// A body is framed as none is.
    Broken,
    /// A head was refused.
    Refused(Fault),
}

/// However the bytes arrive in pieces, they have one course; what passes is read by everybody as the same messages.
pub fn judge(bytes: &[u8]) {
    for limits in LIMITS {
        let whole = course(bytes, bytes.len().max(1), limits);
        for piece in [1, 2, 3, 7, 64, bytes.len() / 2 + 1] {
            let pieces = course(bytes, piece, limits);
            let same = pieces.end == whole.end || both_refused(pieces.end, whole.end);
            assert!(same, "{:?} in pieces of {piece}, {:?} at once", pieces.end, whole.end);
            let Course { passed, heads, within_body, .. } = &whole;
            assert_eq!((&pieces.passed, pieces.heads, pieces.within_body), (passed, *heads, *within_body));
        }
        judge_course(bytes, &whole, limits);
    }
}

/// A head that is both too long and wrong is refused for what is seen first.
fn both_refused(one: End, other: End) -> bool {
    let too_large = |end| matches!(end, End::Refused(Fault::TooLarge));
    let refused = |end| matches!(end, End::Refused(_));
    (too_large(one) && refused(other)) || (refused(one) && too_large(other))
}

/// As the adapter feeds it.
fn course(bytes: &[u8], piece: usize, limits: HeadLimits) -> Course {
    let mut framing = Framing::new(limits);
    let (mut passed, mut held, mut end) = (Vec::new(), Vec::new(), End::Open);
    for piece in bytes.chunks(piece) {
        held.extend_from_slice(piece);
        match framing.take(&held) {
            Taken::All => passed.append(&mut held),
            Taken::Held { from } => passed.extend(held.drain(..from)),
            Taken::Broken { from } => {
                passed.extend(held.drain(..from));
                end = End::Broken;
            }
            Taken::Refused { from, fault } => {
                passed.extend(held.drain(..from));
                end = End::Refused(fault);
            }
        }
        if end != End::Open {
            assert_eq!(framing.take(b"GET / HTTP/1.1\r\n\r\n"), Taken::Broken { from: 0 }, "read on after the end");
            break;
        }
    }
    Course { passed, heads: framing.heads(), within_body: framing.within_body(), end }
}

/// Reads what a client sent as the other two do, and compares.
fn judge_course(bytes: &[u8], course: &Course, limits: HeadLimits) {
    assert!(bytes.starts_with(&course.passed), "what passes is what came");
    let (mut at, mut heads) = (0, 0);
    loop {
        let rest = &bytes[at..];
        // One empty line may stand before a head.
        let empty = if rest.starts_with(b"\r\n") { 2 } else { 0 };
        let (begin, rest) = (at + empty, &rest[empty..]);
        if rest.is_empty() || rest == b"\r" && empty == 0 {
            let passed = if rest.is_empty() { bytes.len() } else { at };
            assert_eq!((course.passed.len(), course.end, course.within_body), (passed, End::Open, false));
            break;
        }
        let expected = plain_head(rest, limits);
        let mut scan = Scan::BEGIN;
        let scanned = scan.advance(rest, &limits);
        judge_head(rest, scanned, expected.as_ref());
        let Ok(Some(head)) = scanned else {
            let passed = (course.passed.len(), course.within_body);
            assert_eq!(passed, (begin, false), "something of a head that is not in order passes");
            let refused = matches!(course.end, End::Refused(_));
            assert_eq!(refused, scanned.is_err(), "{:?}, {scanned:?}", course.end);
            break;
        };
        heads += 1;
        let body = begin + head.bytes;
        match plain_body(&bytes[body..], head.body) {
            Ok(Some(length)) => at = body + length,
            Ok(None) => {
                assert_eq!(course.passed.len(), bytes.len(), "what there is of a body passes");
                assert_eq!((course.end, course.within_body), (End::Open, true));
                break;
            }
            Err(broken) => {
                assert_eq!(course.passed.len(), body + broken, "a body passes up to where it is broken");
                assert_eq!(course.end, End::Broken);
                break;
            }
        }
    }
    assert_eq!(course.heads, heads);
}

/// One head, by three readers.
fn judge_head(bytes: &[u8], scanned: Result<Option<Head>, Fault>, plain: Option<&Plain<'_>>) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut fields);
    let status = parsed.parse(bytes);
    let head = match scanned {
        Ok(Some(head)) => head,
        // Where it waits for more, hyper has nothing to read; where it refuses, neither.
        Ok(None) => return assert!(plain.is_none(), "waits for more of a head that is whole: {plain:?}"),
        Err(fault) => return assert!(plain.is_none(), "{fault:?} of a head that is in order: {plain:?}"),
    };
    let plain = plain.expect("a head passes that is not in order");
    assert_eq!(head, plain.head);
    assert_eq!(status, Ok(httparse::Status::Complete(head.bytes)), "hyper reads another head");
    assert_eq!(parsed.method.map(str::as_bytes), Some(plain.method));
    assert_eq!(parsed.path.map(str::as_bytes), Some(plain.target));
    assert_eq!(parsed.version, Some(plain.minor));
    let parsed_fields: Vec<_> = parsed.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    assert_eq!(parsed_fields, plain.fields);
    // What hyper makes of these; where it cannot, it answers in words of its own.
    assert!(http::Method::from_bytes(plain.method).is_ok());
    let uri = http::Uri::try_from(plain.target).expect("hyper refuses a target that passed");
    if plain.target.starts_with(b"/") {
        let read = uri.path_and_query().map(|target| target.as_str().as_bytes());
        assert_eq!(read, Some(plain.target), "hyper reads another target");
    }
    for (name, value) in &plain.fields {
        assert!(http::HeaderName::from_bytes(name).is_ok() && http::HeaderValue::from_bytes(value).is_ok());
    }
    assert_eq!(head.body, body_by_rfc(&plain.fields, plain.minor));
}

/// A head in order, as it reads.
#[derive(Debug)]
struct Plain<'b> {
    head: Head,
    method: &'b [u8],
    target: &'b [u8],
    minor: u8,
    fields: Vec<(&'b [u8], &'b [u8])>,
}

/// The head at the front, if there is a whole one that keeps to every rule of `edge::wire::head`.
fn plain_head(bytes: &[u8], limits: HeadLimits) -> Option<Plain<'_>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let mut lines = lines(&bytes[..end - 2]);
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let minor = match version {
        b"HTTP/1.0" => 0,
        b"HTTP/1.1" => 1,
        _ => return None,
    };
    let visible = |byte: &u8| matches!(byte, 0x21..=0x7e) && !b"\"#<>`".contains(byte);
    if words.next().is_some() || !is_token(method) || target.is_empty() || !target.iter().all(visible) {
        return None;
    }
    if !target.starts_with(b"/") && http::Uri::try_from(target).is_err() {
        return None;
    }
    let mut fields = Vec::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
        let text = |byte: &u8| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f);
        if !is_token(name) || !value.iter().all(text) || value.len() > VALUE_BYTES {
            return None;
        }
        fields.push((name, value));
    }
    if end > limits.bytes || fields.len() > limits.fields || target.len() > limits.target {
        return None;
    }
    let named = |name: &str| -> Vec<&[u8]> {
        fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| *value)
            .collect()
    };
    let body = match (named("content-length").as_slice(), named("transfer-encoding").as_slice()) {
        ([], []) => Body::Length(0),
        ([length], []) => Body::Length(length_of(length)?),
        ([], [coding]) if minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => Body::Chunked,
        _ => return None,
    };
    let upgrade = !named("upgrade").is_empty();
    Some(Plain { head: Head { bytes: end, body, upgrade }, method, target, minor, fields })
}

/// How long the body is by RFC 9112 section 6.3, of a request in which that is said at most once.
fn body_by_rfc(fields: &[(&[u8], &[u8])], minor: u8) -> Body {
    let find = |name: &str| fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
    if let Some((_, coding)) = find("transfer-encoding") {
        assert!(minor == 1 && coding.to_ascii_lowercase().ends_with(b"chunked"), "no length at all");
        return Body::Chunked;
    }
    Body::Length(find("content-length").map_or(0, |(_, length)| length_of(length).expect("a length")))
}

fn length_of(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let length: i64 = digits.then(|| std::str::from_utf8(value).ok()?.parse().ok())??;
    u64::try_from(length).ok()
}

/// The bytes of the body at the front; nothing if it does not end here; or where it is broken.
fn plain_body(bytes: &[u8], body: Body) -> Result<Option<usize>, usize> {
    match body {
        Body::Length(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            Ok((length <= bytes.len()).then_some(length))
        }
        Body::Chunked => plain_chunks(bytes),
    }
}

/// The same of chunks (RFC 9112 section 7.1).
fn plain_chunks(bytes: &[u8]) -> Result<Option<usize>, usize> {
    let (mut at, mut extensions, mut trailers) = (0, 0, 0);
    loop {
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > SIZE_DIGITS {
            return Err(at + SIZE_DIGITS);
        }
        let number = &bytes[at..at + digits];
        at += digits;
        match bytes.get(at) {
            None => return Ok(None),
            Some(b'\r' | b';') if digits > 0 => {}
            Some(_) => return Err(at),
        }
        if bytes[at] == b';' {
            at += 1;
            let length = bytes[at..].iter().take_while(|byte| is_text(**byte)).count();
            if extensions + length > EXTENSION_BYTES {
                return Err(at + EXTENSION_BYTES - extensions);
            }
            extensions += length;
            at += length;
        }
        at = match line_end(bytes, at)? {
            Some(at) => at,
            None => return Ok(None),
        };
        let number = std::str::from_utf8(number).expect("digits");
        let size = u64::from_str_radix(number, 16).expect("sixteen digits");
        if size == 0 {
            break;
        }
        match usize::try_from(size).ok().and_then(|size| at.checked_add(size)) {
            Some(end) if end <= bytes.len() => at = end,
            _ => return Ok(None),
        }
        at = match line_end(bytes, at)? {
            Some(at) => at,
            None => return Ok(None),
        };
    }
    // Fields until an empty line.
    loop {
        if bytes.get(at) == Some(&b'\r') {
            return line_end(bytes, at);
        }
        let name = bytes[at..].iter().take_while(|byte| is_token(&[**byte])).count();
        let (colon, mut length) = (bytes.get(at + name), name);
        if colon == Some(&b':') && name > 0 {
            length += 1 + bytes[at + name + 1..].iter().take_while(|byte| is_text(**byte)).count();
        }
        if trailers + length > TRAILER_BYTES {
            return Err(at + TRAILER_BYTES - trailers);
        }
        match colon {
            None => return Ok(None),
            Some(b':') if name > 0 => {}
            Some(_) => return Err(at + name),
        }
        trailers += length;
        at = match line_end(bytes, at + length)? {
            Some(at) => at,
            None => return Ok(None),
        };
    }
}

/// The place behind the CRLF that must stand at `at`; nothing if it is not there yet.
fn line_end(bytes: &[u8], at: usize) -> Result<Option<usize>, usize> {
    match &bytes[at..] {
        [b'\r', b'\n', ..] => Ok(Some(at + 2)),
        [] | [b'\r'] => Ok(None),
        [b'\r', ..] => Err(at + 1),
        _ => Err(at),
    }
}

/// Lines that end with CRLF; a text that does not end so has a last one that is cut.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        Some(line)
    })
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

fn is_token(text: &[u8]) -> bool {
    let char = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(char)
}

fn trimmed(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(begin, |last| last + 1);
    &text[begin..end]
}
