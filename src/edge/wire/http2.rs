//! The adapter under an HTTP/2 connection: counts frames, and ends a flood.
//!
//! GOAWAY is h2's to send: it knows which streams it took, and writes at the end of a frame. So a flood is ended with
//! frames of ours in the client's place that h2 answers with GOAWAY of ENHANCE_YOUR_CALM: a header block in more pieces
//! than it takes.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    frames::{Flood, Frames},
    stall::Stall,
};
use crate::edge::settings::ResetLimits;

/// A stream of frames, counted.
pub(crate) struct Http2<S> {
    stream: S,
    frames: Frames,
    ending: Rc<Ending>,
    /// What h2 reads in the client's place.
    instead: Vec<u8>,
    stall: Stall,
}

/// Why a connection ends.
pub(crate) struct Ending {
    flood: Cell<Option<Flood>>,
    /// The end of what was written last: h2 says in its GOAWAY, and nowhere else, what was too much.
    written: Cell<Tail>,
}

/// As long as a GOAWAY of h2's.
type Tail = [u8; 48];
const EMPTY: Tail = [0; 48];

/// What h2 says in a GOAWAY, and the words of `siwx_h2_goaways_total`.
const SAID: [(&[u8], &str); 4] = [
    (b"too_many_resets", "rapid_reset"),
    (b"too_many_internal_resets", "local_resets"),
    (b"header_list_way_too_large", "header_list"),
    (b"too_many_continuations", "continuation"),
];

/// More CONTINUATION frames than h2 takes: at most 80, with the longest header list that can be configured.
const PIECES: usize = 128;

/// Frames without a byte on the last stream that can be: HEADERS that do not end, CONTINUATION.
const HEADERS: [u8; 9] = [0, 0, 0, 1, 0, 0x7f, 0xff, 0xff, 0xff];
const CONTINUATION: [u8; 9] = [0, 0, 0, 9, 0, 0x7f, 0xff, 0xff, 0xff];

impl<S> Http2<S> {
    /// Over a stream. `ending` is where it is told why the connection ends.
    pub(crate) fn new(stream: S, limits: ResetLimits, stall: Duration, ending: Rc<Ending>) -> Self {
        Self { stream, frames: Frames::new(limits), ending, instead: Vec::new(), stall: Stall::new(stall) }
    }
}

// === impl Ending ===

impl Default for Ending {
    fn default() -> Self {
        Self { flood: Cell::new(None), written: Cell::new(EMPTY) }
    }
}

impl Ending {
    /// The word of `siwx_h2_goaways_total`, if the client was told to go away: `error` is how its connection ended.
    pub(crate) fn reason(&self, error: Option<&hyper::Error>) -> Option<&'static str> {
        if let Some(flood) = self.flood.get() {
            return Some(flood.as_str());
        }
        let cause = std::error::Error::source(error?)?;
        // h2's errors have no type that could be asked here.
        if !cause.to_string().starts_with("connection error detected") {
            return None;
        }
        let written = self.written.get();
        let said = SAID.iter().find(|(said, _)| written.windows(said.len()).any(|part| part == *said));
        Some(said.map_or("protocol", |(_, word)| word))
    }

    /// Whether a connection that ended for this reason was ended for too much of something, and not for a mistake.
    pub(crate) fn was_flood(&self, reason: &str) -> bool {
        self.flood.get().is_some() || SAID.iter().any(|(_, word)| *word == reason)
    }

    fn wrote(&self, bytes: &[u8]) {
        let mut tail: Tail = EMPTY;
        let end = &bytes[bytes.len().saturating_sub(tail.len())..];
        tail[..end.len()].copy_from_slice(end);
        self.written.set(tail);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http2<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.instead.is_empty() {
                let length = this.instead.len().min(buffer.remaining());
                buffer.put_slice(&this.instead[..length]);
                this.instead.drain(..length);
                return Poll::Ready(Ok(()));
            }
            if this.ending.flood.get().is_some() {
                return Poll::Pending;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            let passed = this.frames.take(&buffer.filled()[before..], Instant::now);
            let Some(flood) = this.frames.flood() else { return Poll::Ready(Ok(())) };
            buffer.set_filled(before + passed);
            this.ending.flood.set(Some(flood));
            this.instead.extend_from_slice(&HEADERS);
            this.instead.extend(CONTINUATION.repeat(PIECES));
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http2<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(length)) = written {
            this.frames.sent(&bytes[..length]);
            this.ending.wrote(&bytes[..length]);
        }
        this.stall.watch(written, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.stall.watch(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.stall.watch(shut, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, pieces);
        if let Poll::Ready(Ok(mut left)) = written {
            for piece in pieces {
                let taken = left.min(piece.len());
                this.frames.sent(&piece[..taken]);
                left -= taken;
            }
        }
        if let (Poll::Ready(Ok(_)), Some(last)) = (&written, pieces.iter().rfind(|piece| !piece.is_empty())) {
            this.ending.wrote(last);
        }
        this.stall.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
