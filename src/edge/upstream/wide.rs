//! Answers with more fields than hyper has room for on the stack (hardening.md section 2: 200; hyper: 100).
//!
//! 1. A connection that takes more has its room made anew for every answer, which costs every one of them 535
//!    instructions. So connections are narrow, and an answer is looked at below hyper until it is known to be narrow too.
//!    One of less than 316 bytes is by its length alone (64 instructions); others by a search for the end of their head
//!    (170).
//! 2. One that is not is held back, and the connection with it: hyper has seen nothing of this head. Another hyper takes
//!    both, with room for it, and a request in place of the one that was sent, which goes nowhere. From then on that
//!    connection is wide.
//! 3. Where the body of the request is still on its way, nobody would send the rest of it: such an answer is none.

use std::{
    io,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use http::{Method, Request};
use memchr::memmem::Finder;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Made, Upstream,
    connection::{Answered, Connection, Sender},
};
use crate::edge::body::RequestBody;

/// Fields that hyper takes where it is told nothing.
const NARROW: usize = 100;

/// No answer with more fields than that is so short: a status line, and fields of a letter, a colon and a line feed.
const NARROW_BYTES: usize = "HTTP/1.1 200\n".len() + (NARROW + 1) * "a:\n".len();

/// An answer has more fields than the connection takes.
#[derive(Debug, Error)]
#[error("more than {NARROW} fields")]
pub(super) struct TooWide;

/// A connection that was taken from hyper, with what was read of an answer.
pub(super) struct Held {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
}

/// Where a connection is put that hyper is not to have any longer.
#[derive(Debug, Clone, Default)]
pub(super) struct Place(Arc<Mutex<Option<Held>>>);

/// What an upstream is connected by.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What is known of the answer that is read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What came before, while that is too little to tell.
    read: Vec<u8>,
    decided: bool,
}

/// How many fields a head has, as far as it is there.
#[derive(Debug, PartialEq, Eq)]
enum Fields {
    Few,
    Many,
    Unknown,
}

/// A connection that was held, as hyper sees it: what was read comes first, and what is written before that is dropped.
pub(super) struct Resumed {
    held: Held,
    given: usize,
    asked: bool,
    waiting: Option<Waker>,
}

// === impl Held ===

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("read", &self.read.len()).finish_non_exhaustive()
    }
}

// === impl Place ===

impl Place {
    pub(super) fn put(&self, stream: impl Stream + 'static, read: Vec<u8>) {
        let held = Held { stream: Box::new(stream), read };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }

    fn take(&self) -> Option<Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

// === impl Seen ===

impl Seen {
    /// Another answer begins.
    pub(super) fn begin(&mut self) {
        self.read.clear();
        self.decided = false;
    }

    /// Looks at the next piece; all of the answer so far, if it has too many fields.
    pub(super) fn look(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        if self.decided {
            return None;
        }
        if self.read.is_empty() && piece.len() >= NARROW_BYTES && is_narrow(piece) {
            self.decided = true;
            return None;
        }
        self.read.extend_from_slice(piece);
        if self.read.len() < NARROW_BYTES {
            return None;
        }
        match fields(&self.read) {
            Fields::Unknown => None,
            Fields::Few => {
                self.decided = true;
                self.read.clear();
                None
            }
            Fields::Many => {
                self.decided = true;
                Some(std::mem::take(&mut self.read))
            }
        }
    }
}

/// The usual end of a head. Its first two bytes stand nowhere else in one.
static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n\r\n"));

/// Where the usual end of a head is looked for: few are longer, and what follows it may be.
const USUAL_HEAD: usize = 4096;

/// Whether an answer begins with a usual head of few fields, told in few steps.
fn is_narrow(bytes: &[u8]) -> bool {
    let looked = bytes.get(..USUAL_HEAD).unwrap_or(bytes);
    let Some(end) = END.find(looked).filter(|_| !is_interim(bytes)) else {
        return false;
    };
    end < NARROW_BYTES || memchr::memchr_iter(b'\n', &looked[..end]).count() <= NARROW
}

/// Whether another head follows this one.
fn is_interim(bytes: &[u8]) -> bool {
    bytes.get("HTTP/1.1 ".len()) == Some(&b'1') && !bytes.starts_with(b"HTTP/1.1 101")
}

/// Looks at the heads of an answer, interim ones first. What is no head is hyper's to refuse.
fn fields(mut bytes: &[u8]) -> Fields {
    loop {
        let interim = is_interim(bytes);
        // The status line is none.
        let mut lines = 0;
        loop {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                return Fields::Unknown;
            };
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if matches!(line, [] | b"\r") {
                break;
            }
            lines += 1;
            if lines > NARROW + 1 {
                return Fields::Many;
            }
        }
        if !interim {
            return Fields::Few;
        }
    }
}

// === impl Resumed ===

impl AsyncRead for Resumed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.asked {
            // What nobody asked for would be the end of it.
            this.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let left = this.held.read.get(this.given..).unwrap_or_default();
        if left.is_empty() {
            return Pin::new(&mut this.held.stream).poll_read(cx, buffer);
        }
        let piece = &left[..left.len().min(buffer.remaining())];
        buffer.put_slice(piece);
        this.given += piece.len();
        if this.given == this.held.read.len() {
            (this.held.read, this.given) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Resumed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.held.read.is_empty() {
            return Pin::new(&mut this.held.stream).poll_write(cx, bytes);
        }
        this.asked = true;
        if let Some(waiting) = this.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().held.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().held.stream).poll_shutdown(cx)
    }
}

impl Upstream {
    /// Takes an answer that was held back, with a connection that has room for it.
    pub(super) async fn take_wide(
        self: &Arc<Self>,
        narrow: &Connection,
        method: Method,
        latest: Instant,
    ) -> Option<(Box<Connection>, Option<Answered>)> {
        let Sender::Http1(_, awaited) = &narrow.sender else {
            return None;
        };
        let resumed = Resumed { held: awaited.place().take()?, given: 0, asked: false, waiting: None };
        let Ok(Made::Own(mut connection)) = self.converse(resumed, true, narrow.address, narrow.place).await else {
            return None;
        };
        let mut asked = Request::new(RequestBody::empty());
        *asked.method_mut() = method;
        let answered = connection.answer(asked, latest).await;
        Some((connection, answered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: &str, count: usize, end: &str) -> String {
        format!("HTTP/1.1 {status}{end}{}{end}", format!("a:{end}").repeat(count))
    }

    #[test]
    fn answers_with_many_fields_are_known_however_they_are_cut() {
        let hints = head("103 Early Hints", 3, "\r\n");
        let rows = [
            ("few", head("200 OK", 3, "\r\n"), false),
            ("a hundred", head("200 OK", 100, "\r\n"), false),
            ("one more", head("200 OK", 101, "\r\n"), true),
            ("a hundred, bare", head("200", 100, "\n"), false),
            ("one more, bare", head("200", 101, "\n"), true),
            ("a body of many lines", head("200 OK", 3, "\r\n") + &"a: b\r\n".repeat(500), false),
            ("after hints", hints.clone() + &head("200 OK", 101, "\r\n"), true),
            ("a body after hints", hints + &head("200 OK", 9, "\r\n") + &"a: b\r\n".repeat(500), false),
            ("another protocol", head("101 Switching", 3, "\r\n") + &"a: b\r\n".repeat(500), false),
        ];
        for (name, text, many) in rows {
            for piece in [1, 7, 300, 100_000] {
                let mut seen = Seen::default();
                seen.begin();
                let mut given = 0;
                let found = text.as_bytes().chunks(piece).find_map(|piece| {
                    given += piece.len();
                    seen.look(piece)
                });
                assert_eq!(found.is_some(), many, "{name} in pieces of {piece}");
                if let Some(read) = found {
                    assert_eq!(read, &text.as_bytes()[..given], "{name}: nothing of it is lost");
                }
            }
        }
    }
}
