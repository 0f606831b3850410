//! Where heads and bodies of HTTP/1 begin and end on a connection (hardening.md rows S1 to S10; RFC 9112 sections 6
//! and 7).
//!
//! 1. A head is judged before a byte of it is passed on; a head that has only begun is held back until it is whole.
//! 2. Bodies pass at once. Chunks are held to RFC 9112 as written: sizes of hex digits alone, CRLF where it must be,
//!    bounded extensions and trailers, no control byte in either.
//! 3. One CRLF before a head is passed over: old clients send it after a body (RFC 9112 §2.2).
//! 4. After a fault nothing is read any more.

use super::head::{Body, Fault, HeadLimits, Scan, is_token};

/// What a connection reads next.
#[derive(Debug)]
pub struct Framing {
    limits: HeadLimits,
    part: Part,
    heads: u64,
    upgrade: bool,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Head {
        scan: Scan,
        /// Whether an empty line was passed over before it.
        skipped: bool,
    },
    Length(u64),
    Chunks(Chunks),
    Nothing,
}

/// A body in chunks.
#[derive(Debug, Clone, Copy)]
struct Chunks {
    at: Place,
    /// Of the size: its value, and how many digits it has.
    size: u64,
    digits: u8,
    /// Bytes of all extensions, and of the trailers.
    extensions: usize,
    trailers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size,
    Extension,
    SizeEnd,
    Data(u64),
    DataReturn,
    DataEnd,
    Line,
    Name,
    Value,
    LineEnd,
    LastEnd,
}

/// What becomes of bytes that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// All of them may be passed on.
    All,
    /// Those before `from` may; from there on a body is framed as no body is.
    Broken {
        /// Where that begins.
        from: usize,
    },
    /// Those before `from` may; there a head begins that is not whole, and it is to come again with what follows.
    Held {
        /// Where the head begins.
        from: usize,
    },
    /// Those before `from` may; the head that begins there is refused.
    Refused {
        /// Where the head begins.
        from: usize,
        /// Why.
        fault: Fault,
    },
}

/// hardening.md row S5.
const SIZE_DIGITS: u8 = 16;
const EXTENSION_BYTES: usize = 4 * 1024;
/// As many as hyper takes.
const TRAILER_BYTES: usize = 16 * 1024;

// === impl Framing ===

impl Framing {
    /// A connection of which nothing was read yet.
    pub const fn new(limits: HeadLimits) -> Self {
        Self { limits, part: HEAD, heads: 0, upgrade: false }
    }

    /// Heads that were passed on.
    pub const fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether the last of them asked for another protocol.
    pub const fn upgrade(&self) -> bool {
        self.upgrade
    }

    /// Whether a body was begun and has not ended.
    pub const fn within_body(&self) -> bool {
        matches!(self.part, Part::Length(_) | Part::Chunks(_))
    }

    /// No more is read: what came was refused.
    pub const fn stop(&mut self) {
        self.part = Part::Nothing;
    }

    /// Takes the next bytes, or, after a head that was held, the same and those that followed.
    pub fn take(&mut self, bytes: &[u8]) -> Taken {
        let mut from = 0;
        loop {
            let rest = bytes.get(from..).unwrap_or(&[]);
            if rest.is_empty() {
                return Taken::All;
            }
            match &mut self.part {
                Part::Head { scan, skipped } => {
                    match rest {
                        [b'\r'] if !*skipped => return Taken::Held { from },
                        [b'\r', b'\n', ..] if !*skipped => {
                            *skipped = true;
                            from += 2;
                            continue;
                        }
                        _ => {}
                    }
                    match scan.advance(rest, &self.limits) {
                        Ok(None) => return Taken::Held { from },
                        Ok(Some(head)) => {
                            self.heads += 1;
                            self.upgrade = head.upgrade;
                            self.part = match head.body {
                                Body::Length(0) => HEAD,
                                Body::Length(length) => Part::Length(length),
                                Body::Chunked => Part::Chunks(Chunks::BEGIN),
                            };
                            from += head.bytes;
                        }
                        Err(fault) => {
                            self.part = Part::Nothing;
                            return Taken::Refused { from, fault };
                        }
                    }
                }
                Part::Length(left) => {
                    let length = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= length as u64;
                    if *left == 0 {
                        self.part = HEAD;
                    }
                    from += length;
                }
                Part::Chunks(chunks) => match chunks.take(rest) {
                    Ok((length, ended)) => {
                        if ended {
                            self.part = HEAD;
                        }
                        from += length;
                    }
                    Err(at) => {
                        self.part = Part::Nothing;
                        return Taken::Broken { from: from + at };
                    }
                },
                Part::Nothing => return Taken::Broken { from },
            }
        }
    }
}

const HEAD: Part = Part::Head { scan: Scan::BEGIN, skipped: false };

// === impl Chunks ===

impl Chunks {
    const BEGIN: Self = Self { at: Place::Size, size: 0, digits: 0, extensions: 0, trailers: 0 };

    /// How many bytes of this body there are, and whether it ends with them; or where it is broken.
    fn take(&mut self, bytes: &[u8]) -> Result<(usize, bool), usize> {
        let mut from = 0;
        while let Some(&byte) = bytes.get(from) {
            if let Place::Data(left) = self.at {
                let length = (bytes.len() - from).min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - length as u64;
                self.at = if left == 0 { Place::DataReturn } else { Place::Data(left) };
                from += length;
                continue;
            }
            let last = self.at == Place::LastEnd;
            self.at = self.step(byte).ok_or(from)?;
            from += 1;
            if last {
                return Ok((from, true));
            }
        }
        Ok((from, false))
    }

    /// What comes after one more byte that is not data; nothing if it must not stand here.
    fn step(&mut self, byte: u8) -> Option<Place> {
        let text = byte >= 0x20 && byte != 0x7f || byte == b'\t';
        match (self.at, byte) {
            (Place::Size, b'\r') if self.digits > 0 => Some(Place::SizeEnd),
            (Place::Size, b';') if self.digits > 0 => Some(Place::Extension),
            (Place::Size, _) => {
                let digit = char::from(byte).to_digit(16)?;
                self.digits += 1;
                self.size = self.size << 4 | u64::from(digit);
                (self.digits <= SIZE_DIGITS).then_some(Place::Size)
            }
            (Place::Extension, b'\r') => Some(Place::SizeEnd),
            (Place::Extension, _) => {
                self.extensions += 1;
                (text && self.extensions <= EXTENSION_BYTES).then_some(Place::Extension)
            }
            (Place::SizeEnd, b'\n') => {
                let size = std::mem::take(&mut self.size);
                self.digits = 0;
                Some(if size == 0 { Place::Line } else { Place::Data(size) })
            }
            (Place::DataReturn, b'\r') => Some(Place::DataEnd),
            (Place::DataEnd, b'\n') => Some(Place::Size),
            (Place::Line, b'\r') => Some(Place::LastEnd),
            (Place::Name, b':') => self.trailer(Place::Value),
            (Place::Line | Place::Name, _) if is_token(byte) => self.trailer(Place::Name),
            (Place::Value, b'\r') => Some(Place::LineEnd),
            (Place::Value, _) if text => self.trailer(Place::Value),
            (Place::LineEnd, b'\n') => Some(Place::Line),
            (Place::LastEnd, b'\n') => Some(Place::Size),
            _ => None,
        }
    }

    fn trailer(&mut self, next: Place) -> Option<Place> {
        self.trailers += 1;
        (self.trailers <= TRAILER_BYTES).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 1024, fields: 10, target: 100 };
    const CHUNKED: &str = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    const GET: &str = "GET /b HTTP/1.1\r\n\r\n";

    fn framing() -> Framing {
        Framing::new(LIMITS)
    }

    /// Feeds a text as an adapter does that gets it in pieces of so many bytes: what was passed on, and how it ended.
    fn fed(text: &[u8], piece: usize) -> (Vec<u8>, u64, Option<Taken>) {
        let (mut framing, mut passed, mut held) = (framing(), Vec::new(), Vec::new());
        for piece in text.chunks(piece) {
            held.extend_from_slice(piece);
            match framing.take(&held) {
                Taken::All => passed.append(&mut held),
                Taken::Held { from } => passed.extend(held.drain(..from)),
                ended @ (Taken::Broken { from } | Taken::Refused { from, .. }) => {
                    passed.extend(held.drain(..from));
                    return (passed, framing.heads(), Some(ended));
                }
            }
        }
        (passed, framing.heads(), None)
    }

    #[test]
    fn messages_follow_each_other() {
        let length = "POST /a HTTP/1.1\r\nContent-Length: 22\r\n\r\nGET /not HTTP/1.1\r\n\r\n!";
        let chunks = format!("{CHUNKED}5\r\nhello\r\n0a;x=\"y\"\r\n0123456789\r\n0\r\nA: b\tc\r\nB:\r\n\r\n");
        let hidden = format!("{CHUNKED}13\r\n{GET}\r\n0\r\n\r\n");
        assert_eq!(GET.len(), 0x13);
        let text = [GET, length, GET, &chunks, "\r\n", GET, &hidden, GET].concat();
        for piece in 1..text.len() {
            let (passed, heads, ended) = fed(text.as_bytes(), piece);
            assert_eq!((passed.len(), heads, ended), (text.len(), 7, None), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_head_is_held_until_it_is_whole() {
        let mut framing = framing();
        let text = [GET, GET].concat();
        assert_eq!(framing.take(&text.as_bytes()[..GET.len() + 3]), Taken::Held { from: GET.len() });
        assert_eq!(framing.heads(), 1);
        assert_eq!(framing.take(&GET.as_bytes()[..18]), Taken::Held { from: 0 });
        assert_eq!(framing.take(GET.as_bytes()), Taken::All);
        assert_eq!((framing.heads(), framing.within_body()), (2, false));
        assert_eq!(framing.take(b"\r"), Taken::Held { from: 0 });
        assert_eq!(framing.take(b"\r\n"), Taken::All, "an empty line alone is no head that has begun");
        assert!(matches!(framing.take(b"\r\n"), Taken::Refused { from: 0, .. }), "two are");
    }

    #[test]
    fn a_refused_head_is_the_last() {
        let bad = "GET /a#b HTTP/1.1\r\n\r\n";
        let text = [GET, bad, GET].concat();
        let refused = Taken::Refused { from: GET.len(), fault: Fault::Target { byte: b'#', at: 2 } };
        assert_eq!(framing().take(text.as_bytes()), refused);
        for piece in 1..text.len() {
            let (passed, heads, ended) = fed(text.as_bytes(), piece);
            assert_eq!((passed.as_slice(), heads), (GET.as_bytes(), 1), "in pieces of {piece}");
            assert!(matches!(ended, Some(Taken::Refused { .. })), "in pieces of {piece}: {ended:?}");
        }
        let mut framing = framing();
        framing.take(bad.as_bytes());
        assert_eq!(framing.take(GET.as_bytes()), Taken::Broken { from: 0 }, "nothing is read any more");
    }

    #[test]
    fn broken_chunks() {
        let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(EXTENSION_BYTES + 1));
        let extensions = format!("1;{0}\r\na\r\n1;{0}\r\na\r\n0\r\n\r\n", "x".repeat(EXTENSION_BYTES / 2 + 1));
        let trailer = format!("0\r\nA: {}\r\n\r\n", "x".repeat(TRAILER_BYTES));
        let rows = [
            ("0x5\r\nhello\r\n", 1),
            ("+5\r\n", 0),
            (" 5\r\n", 0),
            ("5 \r\n", 1),
            ("5 ;a\r\n", 1),
            ("\r\n", 0),
            (";a\r\n", 0),
            ("g\r\n", 0),
            ("00000000000000005\r\n", 16),
            ("fffffffffffffffff\r\n", 16),
            ("5\nhello", 1),
            ("5\rhello", 2),
            ("5;a\nb\r\n", 3),
            ("5;a\0\r\n", 3),
            ("5\r\nhelloX0\r\n", 8),
            ("5\r\nhello\n0\r\n", 8),
            ("5\r\nhello\rX", 9),
            ("0\r\n\n", 3),
            ("0\r\nA: b\n\r\n", 7),
            ("0\r\nA: b\r\r\n", 8),
            ("0\r\n A: b\r\n", 3),
            ("0\r\nA : b\r\n", 4),
            ("0\r\n: b\r\n", 3),
            ("0\r\nA\r\n", 4),
            ("0\r\nA: \0\r\n", 6),
            (&extension, 2 + EXTENSION_BYTES),
            (&extensions, 2 + EXTENSION_BYTES / 2 + 1 + 2 + 3 + 2 + EXTENSION_BYTES / 2 - 1),
            (&trailer, 3 + TRAILER_BYTES),
        ];
        for (body, at) in rows {
            let text = [CHUNKED, body, GET].concat();
            let from = CHUNKED.len() + at;
            assert_eq!(framing().take(text.as_bytes()), Taken::Broken { from }, "{body:?}");
            for piece in [1, 2, 3, 7] {
                let (passed, heads, ended) = fed(text.as_bytes(), piece);
                assert_eq!((passed.len(), heads), (from, 1), "{body:?} in pieces of {piece}: {ended:?}");
            }
        }
        let most = [CHUNKED, "ffffffffffffffff\r\n", GET].concat();
        assert_eq!(framing().take(most.as_bytes()), Taken::All, "a size that 64 bits hold is data to come");
    }
}
