//! Counts interim answers (1xx) below hyper, which reads over them in silence (hardening.md row U5).
//!
//! An answer's first bytes are looked at, and nothing else of it: what does not begin with `HTTP/1.x 1` goes by untouched.
//! How many fields it has is looked at on the same way (`wide`).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wide;

/// Interim answers before an answer. Honest services send one or two.
const INTERIM_MAX: usize = 8;

/// Where the status stands in a status line.
const STATUS_AT: usize = "HTTP/1.1 ".len();

/// More came than are read.
#[derive(Debug, Error)]
#[error("more than {INTERIM_MAX} interim answers")]
pub(super) struct TooMany;

/// Says that a request was sent, so that what is read next begins an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Awaited(Arc<AtomicBool>, wide::Place);

/// A stream whose answers are looked at.
pub(super) struct Counted<S> {
    /// Nothing once it was taken away, for an answer that is too wide.
    stream: Option<S>,
    awaited: Awaited,
    interim: Interim,
    /// Nothing, where answers may have any number of fields.
    fields: Option<wide::Seen>,
}

/// Where in the answers to one request we are.
#[derive(Debug, Default)]
struct Interim {
    count: usize,
    place: Place,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Beyond what is of interest.
    #[default]
    Beyond,
    /// In a status line, after so many bytes; the status as far as it is read.
    Status(usize, [u8; 3]),
    /// In the head of an interim answer; whether nothing stands in the line so far.
    Head(bool),
}

/// Whether that is why there is no answer.
pub(super) fn is_too_many(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|cause| cause.is::<TooMany>())
}

/// Whether there is no answer because it is held back.
pub(super) fn is_too_wide(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|cause| cause.is::<wide::TooWide>())
}

fn cause(error: &hyper::Error) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>())?.get_ref()
}

impl Awaited {
    pub(super) fn begin(&self) {
        self.0.store(true, Relaxed);
    }

    /// Where the connection is put if an answer is held back.
    pub(super) const fn place(&self) -> &wide::Place {
        &self.1
    }

    /// Whether a request was sent since the last time.
    fn take(&self) -> bool {
        let begun = self.0.load(Relaxed);
        if begun {
            self.0.store(false, Relaxed);
        }
        begun
    }
}

impl Interim {
    fn begin(&mut self) {
        *self = Self { count: 0, place: Place::Status(0, [0; 3]) };
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), TooMany> {
        for byte in bytes {
            self.place = match self.place {
                Place::Beyond => return Ok(()),
                Place::Status(at, mut status) => {
                    // Empty lines before it are read over, however many.
                    if at == 0 && matches!(byte, b'\r' | b'\n') {
                        continue;
                    }
                    if let Some(place) = at.checked_sub(STATUS_AT).and_then(|place| status.get_mut(place)) {
                        *place = *byte;
                    }
                    match (at + 1).checked_sub(STATUS_AT) {
                        Some(1) if *byte != b'1' => Place::Beyond,
                        // What follows it is no answer.
                        Some(3) if status == *b"101" => Place::Beyond,
                        Some(3) => {
                            self.count += 1;
                            if self.count > INTERIM_MAX {
                                return Err(TooMany);
                            }
                            Place::Head(false)
                        }
                        _ => Place::Status(at + 1, status),
                    }
                }
                Place::Head(empty) => match byte {
                    b'\n' if empty => Place::Status(0, [0; 3]),
                    b'\n' => Place::Head(true),
                    b'\r' => Place::Head(empty),
                    _ => Place::Head(false),
                },
            };
        }
        Ok(())
    }
}

impl<S> Counted<S> {
    /// `wide`: answers may have any number of fields.
    pub(super) fn new(stream: S, awaited: Awaited, wide: bool) -> Self {
        let fields = (!wide).then(wide::Seen::default);
        Self { stream: Some(stream), awaited, interim: Interim::default(), fields }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut S>>
    where
        S: Unpin,
    {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(this.stream()?.poll_read(cx, buffer))?;
        if this.awaited.take() {
            this.interim.begin();
            if let Some(fields) = &mut this.fields {
                fields.begin();
            }
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        if this.interim.place != Place::Beyond {
            this.interim.read(read).map_err(io::Error::other)?;
        }
        if let Some(fields) = &mut this.fields
            && let Some(read) = fields.look(read)
        {
            if let Some(stream) = this.stream.take() {
                this.awaited.place().put(stream, read);
            }
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::other(wide::TooWide)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().stream()?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().stream.as_mut() {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
        const BARE: &str = "HTTP/1.1 100 Continue\n\n";
        const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let rows = [
            ("none", OK.to_owned(), true),
            ("eight", HINTS.repeat(8) + OK, true),
            ("nine", HINTS.repeat(9) + OK, false),
            // The ninth byte was taken for the status, whatever stood before it.
            ("nine behind empty lines", ["\r\n\r\n\r\n", HINTS].concat().repeat(9), false),
            ("eight behind empty lines", ["\n\r\n", HINTS].concat().repeat(8) + "\r\n" + OK, true),
            ("nine with bare line ends", BARE.repeat(9), false),
            ("in a body", OK.to_owned() + &HINTS.repeat(20), true),
            ("after a change of protocol", "HTTP/1.1 101 Switching\r\n\r\n".to_owned() + &HINTS.repeat(20), true),
        ];
        for (name, text, good) in rows {
            for piece in [1, 2, 7, 10_000] {
                let mut interim = Interim::default();
                interim.begin();
                let read = text.as_bytes().chunks(piece).try_for_each(|piece| interim.read(piece));
                assert_eq!(read.is_ok(), good, "{name} in pieces of {piece}");
            }
        }
    }
}
