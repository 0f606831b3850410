//! The adapter under an HTTP/1 connection: reads as the stream does, but for what `framing` does not let pass.
//!
//! A head that came whole, as most do, is judged where hyper will read it and costs no copy. One that came in pieces is
//! kept here until it is whole.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    framing::{Framing, Taken},
    head::{Fault, HeadLimits},
    stall::Stall,
    told::Told,
};
use crate::edge::deadline::Deadline;

/// A stream of HTTP/1 requests, each judged.
pub(crate) struct Http1<S> {
    stream: S,
    framing: Framing,
    told: Arc<Told>,
    /// What is kept here, and how much of it from the front may be passed on.
    kept: Vec<u8>,
    ready: usize,
    end: Option<End>,
    stall: Stall,
    lingering: Option<Lingering>,
}

/// Why nothing is read any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// A body is framed as none is.
    Broken,
    /// The client has no more to say.
    Client,
    /// A head was refused.
    Refused,
    /// The bytes are no longer HTTP/1.
    Tunnel,
}

/// A connection that is closed on our side; what the client still sends is dropped, so that it reads our answer.
struct Lingering {
    until: Instant,
    left: usize,
    deadline: Deadline,
}

/// hardening.md row S10.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;

/// What hyper reads where a head was refused. Its answer is that of the fault, and it closes the connection.
const INSTEAD: &[u8] = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n";
const INSTEAD_OF_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nconnection: close\r\n\r\n";

/// How hyper begins an answer that leaves HTTP/1.
const SWITCHING: &[u8] = b"HTTP/1.1 101 ";

impl<S> Http1<S> {
    /// Over a stream. `stall` is how long the client may take nothing of what it is sent.
    pub(crate) fn new(stream: S, limits: HeadLimits, stall: Duration, told: Arc<Told>) -> Self {
        Self {
            stream,
            framing: Framing::new(limits),
            told,
            kept: Vec::new(),
            ready: 0,
            end: None,
            stall: Stall::new(stall),
            lingering: None,
        }
    }

    /// Passes on of what is kept.
    fn pass_kept(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.ready.min(buffer.remaining());
        buffer.put_slice(&self.kept[..length]);
        self.ready -= length;
        if length == self.kept.len() {
            // Few heads are kept; an idle connection needs no room for one.
            self.kept = Vec::new();
        } else {
            self.kept.drain(..length);
        }
    }

    /// What came from the stream beyond `before` is judged where it is; says whether there is something to pass on.
    fn judge_in_place(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> bool {
        let came = &buffer.filled()[before..];
        let heads = self.framing.heads();
        let taken = self.framing.take(came);
        if self.framing.heads() != heads {
            self.told.passed(self.framing.heads());
        }
        let from = match taken {
            Taken::All => return true,
            Taken::Held { from } => {
                self.kept.extend_from_slice(&came[from..]);
                self.told.begun(Some(Instant::now()));
                from
            }
            Taken::Broken { from } => {
                self.end = Some(End::Broken);
                from
            }
            Taken::Refused { from, fault } => {
                let instead = instead_of(&came[from..]);
                self.refuse(fault, instead);
                from
            }
        };
        buffer.set_filled(before + from);
        from > 0
    }

    /// What came is put behind what is kept, and all of that is judged.
    fn judge_kept(&mut self, came: &[u8]) {
        self.kept.extend_from_slice(came);
        let heads = self.framing.heads();
        let taken = self.framing.take(&self.kept);
        let more = self.framing.heads() != heads;
        if more {
            self.told.passed(self.framing.heads());
        }
        match taken {
            Taken::All => {
                self.ready = self.kept.len();
                self.told.begun(None);
            }
            Taken::Held { from } => {
                self.ready = from;
                if from > 0 {
                    self.told.begun(Some(Instant::now()));
                }
            }
            Taken::Broken { from } => {
                self.kept.truncate(from);
                self.ready = from;
                self.told.begun(None);
                self.end = Some(End::Broken);
            }
            Taken::Refused { from, fault } => {
                let instead = instead_of(&self.kept[from..]);
                self.kept.truncate(from);
                self.refuse(fault, instead);
            }
        }
    }

    /// From here on there is a fault, after what is kept.
    fn refuse(&mut self, fault: Fault, instead: &[u8]) {
        self.framing.stop();
        self.kept.extend_from_slice(instead);
        self.ready = self.kept.len();
        self.end = Some(End::Refused);
        self.told.refuse(fault);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http1<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.ready > 0 {
                this.pass_kept(buffer);
                return Poll::Ready(Ok(()));
            }
            match this.end {
                None => {}
                Some(End::Broken) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                Some(End::Client) => return Poll::Ready(Ok(())),
                // The answer is on its way. An end here would make hyper close before it is out.
                Some(End::Refused) => return Poll::Pending,
                Some(End::Tunnel) => {
                    if this.kept.is_empty() {
                        return Pin::new(&mut this.stream).poll_read(cx, buffer);
                    }
                    this.ready = this.kept.len();
                    continue;
                }
            }
            if !this.kept.is_empty() && this.told.is_late() {
                let instead = instead_of(&this.kept);
                this.kept.clear();
                this.refuse(Fault::Slow, instead);
                continue;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            if buffer.filled().len() == before {
                this.end = Some(End::Client);
                return Poll::Ready(Ok(()));
            }
            if this.kept.is_empty() {
                if this.judge_in_place(buffer, before) {
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.judge_kept(&buffer.filled()[before..]);
                buffer.set_filled(before);
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Http1<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // The handler lets a 101 through only where a route allows it. Were this ever wrong about one, hyper would
        // present requests that nobody judged, and those are refused.
        if this.framing.upgrade() && this.end.is_none() && bytes.starts_with(SWITCHING) {
            this.end = Some(End::Tunnel);
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if this.end == Some(End::Tunnel) { written } else { this.stall.watch(written, cx) }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if this.end == Some(End::Tunnel) { flushed } else { this.stall.watch(flushed, cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.stall.watch(shut, cx))?;
            let unread = match this.end {
                None => this.framing.within_body() || this.told.is_last(),
                Some(End::Broken | End::Refused) => true,
                Some(End::Client | End::Tunnel) => false,
            };
            if !unread {
                return Poll::Ready(Ok(()));
            }
        }
        let lingering = this.lingering.get_or_insert_with(|| Lingering {
            until: Instant::now() + LINGER,
            left: LINGER_BYTES,
            deadline: Deadline::default(),
        });
        let mut dropped = [0; 4096];
        while lingering.left > 0 {
            let mut dropped = ReadBuf::new(&mut dropped);
            match Pin::new(&mut this.stream).poll_read(cx, &mut dropped) {
                Poll::Ready(Ok(())) if !dropped.filled().is_empty() => {
                    lingering.left = lingering.left.saturating_sub(dropped.filled().len());
                }
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(lingering.deadline.poll(lingering.until, cx));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What hyper reads in place of a head that begins so. An answer to HEAD has no body.
fn instead_of(head: &[u8]) -> &'static [u8] {
    if head.starts_with(b"HEAD ") { INSTEAD_OF_HEAD } else { INSTEAD }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// hyper hands a connection that became a tunnel over to whoever asked for it, on any thread.
    #[test]
    fn it_may_become_a_tunnel() {
        fn may_move<S: Send + 'static>() {}
        may_move::<Http1<tokio::net::TcpStream>>();
        may_move::<Http1<tokio_rustls::server::TlsStream<tokio::net::TcpStream>>>();
    }
}
