//! WebSockets: opened by a permit, carried byte by byte, ended with what opened them (hardening.md section 4, "Upgrade").
//!
//! 1. A tunnel is asked for by HTTP/1.1 GET with exactly `Upgrade: websocket`, on a route that allows it, and opened by
//!    the upstream's 101 that names `websocket`. Anything else is a request and an answer like others.
//! 2. It is run by the task of its client's connection, so that the connection counts for as long as it lasts, and a
//!    drain waits for it.
//! 3. It ends when both sides have ended, when nobody speaks for the idle time, when its [`Watch`] says so (1008), or
//!    when the gateway drains (1001). A Close of ours stands between two frames of the other side, never within one.
//! 4. There is a bound on tunnels, and on those of one account.

mod frames;

use std::{
    collections::HashMap,
    io,
    ops::Range,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Version,
    header::{CONNECTION, UPGRADE},
    request::Parts,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::timeout,
};

use self::frames::{Frames, GOING_AWAY, POLICY};
use super::{record::Record, upstream::Lease, watch::Watch};
use crate::{caip::AccountKey, policy::decision::Reason};

/// Tunnels that are open, over all workers.
#[derive(Default)]
pub(crate) struct Tunnels {
    open: AtomicUsize,
    by_account: Mutex<HashMap<AccountKey, usize>>,
}

/// A tunnel that counts.
pub(crate) struct Entered {
    tunnels: Arc<Tunnels>,
    account: Option<AccountKey>,
}

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The account's.
    Account,
    /// The gateway's.
    All,
}

/// A tunnel that was asked for and admitted; the upstream has not answered yet.
pub(crate) struct Opening {
    client: OnUpgrade,
    entered: Entered,
    watch: Watch,
    idle: Duration,
}

/// A tunnel whose upstream agreed.
pub(crate) struct Tunnel {
    opening: Opening,
    upstream: OnUpgrade,
    /// The connection to the upstream, which is not free for others.
    lease: Lease,
    record: Record,
}

/// One direction.
struct Direction {
    buffer: Box<[u8]>,
    /// What was read and not written yet.
    held: Range<usize>,
    /// Whether something was written that may wait for a flush.
    unflushed: bool,
    /// Whether there is no more to read.
    read: bool,
    frames: Frames,
    bytes: u64,
    last: Instant,
}

/// Why a tunnel ends before both sides have ended it.
enum End {
    /// The gateway drains.
    Draining,
    /// Both sides have ended it, or one broke off.
    Sides,
    /// Nobody spoke.
    Silence,
    /// What opened it does not hold any more.
    Watch(Reason),
}

/// How long nobody may speak, where the route does not say.
pub(crate) const IDLE: Duration = Duration::from_secs(300);

/// A message is seldom longer, and each tunnel has two.
const BUFFER: usize = 8 * 1024;

/// How long a frame that has begun, a Close and the client's own Close are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Whether a request asks for a WebSocket, in the one way that opens one.
pub(crate) fn is_asked_for(parts: &Parts) -> bool {
    parts.method == Method::GET && parts.version == Version::HTTP_11 && names_websocket(&parts.headers)
}

/// Whether an answer agrees to one.
pub(crate) fn is_opened_by(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS && names_websocket(headers)
}

/// Whether `Upgrade` names `websocket` and nothing else, and `Connection` is about it.
fn names_websocket(headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(UPGRADE).iter();
    let (Some(protocol), None) = (named.next(), named.next()) else {
        return false;
    };
    let mut words = headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
        && words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Says it again, towards the other side: both fields are of one connection alone.
pub(crate) fn ask_for(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
}

// === impl Tunnels ===

impl Tunnels {
    /// Counts one more in, or says which bound it breaks.
    pub(crate) fn enter(
        self: &Arc<Self>,
        account: Option<AccountKey>,
        (all, by_account): (usize, usize),
    ) -> Result<Entered, Full> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= all {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::All);
        }
        if let Some(account) = &account {
            let mut counts = self.by_account.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(account.clone()).or_insert(0);
            if *count >= by_account {
                drop(counts);
                self.open.fetch_sub(1, Ordering::Relaxed);
                return Err(Full::Account);
            }
            *count += 1;
        }
        Ok(Entered { tunnels: Arc::clone(self), account })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.tunnels.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(account) = &self.account {
            let mut counts = self.tunnels.by_account.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get_mut(account) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(account);
                }
            }
        }
    }
}

// === impl Opening ===

impl Opening {
    /// A tunnel to a client's side of it.
    pub(crate) const fn new(client: OnUpgrade, entered: Entered, watch: Watch, idle: Duration) -> Self {
        Self { client, entered, watch, idle }
    }

    /// The upstream agreed, on this connection.
    pub(crate) const fn agreed(self, upstream: OnUpgrade, lease: Lease, record: Record) -> Tunnel {
        Tunnel { opening: self, upstream, lease, record }
    }
}

// === impl Tunnel ===

impl Tunnel {
    /// Carries it to its end. `draining` is done once the gateway drains.
    pub(crate) async fn run(self, draining: impl Future<Output = ()>) {
        let Self { opening: Opening { client, entered, watch, idle }, upstream, lease, mut record } = self;
        record.tunnels();
        let (mut up, mut down) = (Direction::new(), Direction::new());
        if let Ok((client, upstream)) = tokio::try_join!(client, upstream) {
            let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
            let end = {
                let stops = (pin!(watch.ended()), pin!(draining));
                carry((&mut client, &mut upstream), (&mut up, &mut down), stops, idle).await
            };
            let code = match end {
                End::Draining | End::Silence => Some(GOING_AWAY),
                End::Watch(_) => Some(POLICY),
                End::Sides => None,
            };
            if let Some(code) = code {
                // The client first: it has more to gain from knowing why.
                down.close(&mut upstream, &mut client, code, false).await;
                up.close(&mut client, &mut upstream, code, true).await;
                // Bytes that nobody reads would make the system reset the connection, and the Close be lost.
                let _ = timeout(LAST_WORDS, tokio::io::copy(&mut client, &mut tokio::io::sink())).await;
            }
            record.tunnelled(up.bytes, down.bytes, end.word());
        }
        drop((entered, lease));
    }
}

/// Carries bytes both ways until there is a reason not to.
async fn carry<S>(
    (client, upstream): (&mut S, &mut S),
    (up, down): (&mut Direction, &mut Direction),
    (mut watched, mut draining): (Pin<&mut impl Future<Output = Reason>>, Pin<&mut impl Future<Output = ()>>),
    idle: Duration,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut silence = pin!(tokio::time::sleep(idle));
    std::future::poll_fn(|cx| {
        if draining.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Draining);
        }
        if let Poll::Ready(reason) = watched.as_mut().poll(cx) {
            return Poll::Ready(End::Watch(reason));
        }
        match (up.poll(cx, client, upstream), down.poll(cx, upstream, client)) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(End::Sides),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Sides),
            _ => {}
        }
        while silence.as_mut().poll(cx).is_ready() {
            let latest = up.last.max(down.last) + idle;
            if latest <= Instant::now() {
                return Poll::Ready(End::Silence);
            }
            silence.as_mut().reset(latest.into());
        }
        Poll::Pending
    })
    .await
}

// === impl End ===

impl End {
    /// What the access log calls it; nothing for an end that nobody forced.
    const fn word(&self) -> Option<&'static str> {
        match self {
            Self::Draining => Some("draining"),
            Self::Sides => None,
            Self::Silence => Some("idle"),
            Self::Watch(reason) => Some(reason.as_str()),
        }
    }
}

// === impl Direction ===

impl Direction {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into(),
            held: 0..0,
            unflushed: false,
            read: false,
            frames: Frames::default(),
            bytes: 0,
            last: Instant::now(),
        }
    }

    /// Carries what is there. Ready when there is nothing more to come, and the other side was told.
    fn poll<S>(&mut self, cx: &mut Context<'_>, from: &mut S, to: &mut S) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            if !self.held.is_empty() {
                let held = self.buffer.get(self.held.clone()).unwrap_or_default();
                let length = ready!(Pin::new(&mut *to).poll_write(cx, held))?;
                if length == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written(length);
            } else if self.read {
                return Pin::new(&mut *to).poll_shutdown(cx);
            } else if ready!(self.poll_read(cx, from, to))? == 0 {
                self.read = true;
            }
        }
    }

    /// Reads some; while there is nothing, what was written goes out.
    fn poll_read<S>(&mut self, cx: &mut Context<'_>, from: &mut S, to: &mut S) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        match Pin::new(from).poll_read(cx, &mut buffer) {
            Poll::Ready(read) => {
                read?;
                self.held = 0..buffer.filled().len();
                self.last = Instant::now();
                Poll::Ready(Ok(self.held.len()))
            }
            Poll::Pending => {
                if self.unflushed {
                    ready!(Pin::new(to).poll_flush(cx))?;
                    self.unflushed = false;
                }
                Poll::Pending
            }
        }
    }

    /// So many of the bytes that were held went out.
    fn written(&mut self, length: usize) {
        let end = self.held.end.min(self.held.start + length);
        self.frames.pass(self.buffer.get(self.held.start..end).unwrap_or_default());
        self.bytes += (end - self.held.start) as u64;
        (self.held.start, self.unflushed) = (end, true);
    }

    /// Ends it with a Close of ours after the frame that has begun, if there is room for one.
    async fn close<S>(&mut self, from: &mut S, to: &mut S, code: u16, masked: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let closing = async {
            while !self.frames.between() {
                if self.held.is_empty() {
                    self.held = 0..from.read(&mut self.buffer).await?;
                }
                let held = self.buffer.get(self.held.clone()).unwrap_or_default();
                let length = self.frames.clone().rest(held);
                if length == 0 {
                    return Ok(());
                }
                to.write_all(held.get(..length).unwrap_or_default()).await?;
                self.written(length);
            }
            if !self.frames.closed() {
                to.write_all(&frames::close(code, masked)).await?;
            }
            to.shutdown().await
        };
        // One that does not take it is cut without it.
        let _: Result<io::Result<()>, _> = timeout(LAST_WORDS, closing).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caip::AccountId;

    fn account(text: &str) -> Option<AccountKey> {
        Some(AccountId::parse(text).expect("a CAIP-10 id").key())
    }

    #[test]
    fn tunnels_are_bounded_in_all_and_by_account() {
        let tunnels = Arc::new(Tunnels::default());
        let one = || account("eip155:1:0xab16a96D359eC26a11e2C2b3d8f8B8942d5Bfcdb");
        let other = || account("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM");
        let first = tunnels.enter(one(), (4, 2)).ok();
        let second = tunnels.enter(one(), (4, 2)).ok();
        assert_eq!(tunnels.enter(one(), (4, 2)).err(), Some(Full::Account));
        let (third, nobodys) = (tunnels.enter(other(), (4, 2)).ok(), tunnels.enter(None, (4, 2)).ok());
        assert_eq!(tunnels.enter(None, (4, 2)).err(), Some(Full::All));
        drop((first, second, third, nobodys));
        assert_eq!(tunnels.open.load(Ordering::Relaxed), 0);
        assert!(tunnels.by_account.lock().expect("not poisoned").is_empty(), "accounts are forgotten");
        assert!(tunnels.enter(one(), (4, 2)).is_ok());
    }

    #[test]
    fn what_opens_one() {
        type Row<'t> = (&'t str, &'t [(&'t str, &'t str)], bool);
        let rows: &[Row<'_>] = &[
            ("as browsers say it", &[("upgrade", "websocket"), ("connection", "Upgrade")], true),
            ("in another case", &[("upgrade", "WebSocket"), ("connection", "keep-alive, upgrade")], true),
            ("another protocol", &[("upgrade", "h2c"), ("connection", "upgrade")], false),
            ("a list", &[("upgrade", "websocket, h2c"), ("connection", "upgrade")], false),
            ("twice", &[("upgrade", "websocket"), ("upgrade", "websocket"), ("connection", "upgrade")], false),
            ("a version", &[("upgrade", "websocket/13"), ("connection", "upgrade")], false),
            ("not about the connection", &[("upgrade", "websocket"), ("connection", "keep-alive")], false),
            ("no Connection", &[("upgrade", "websocket")], false),
            ("no Upgrade", &[("connection", "upgrade")], false),
        ];
        for (name, fields, expected) in rows {
            let request = http::Request::get("/").body(()).expect("a request");
            let (mut parts, ()) = request.into_parts();
            for (field, value) in *fields {
                parts.headers.append(*field, HeaderValue::from_static(value));
            }
            assert_eq!(is_asked_for(&parts), *expected, "{name}");
            assert_eq!(is_opened_by(StatusCode::SWITCHING_PROTOCOLS, &parts.headers), *expected, "{name}");
            assert!(!is_opened_by(StatusCode::OK, &parts.headers), "{name}");
            parts.version = Version::HTTP_2;
            assert!(!is_asked_for(&parts), "{name} by HTTP/2");
            (parts.version, parts.method) = (Version::HTTP_11, Method::POST);
            assert!(!is_asked_for(&parts), "{name} by POST");
        }
    }
}
