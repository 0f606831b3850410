//! What all threads of a storm share: the wallets and what each may do now, the tickets, the tally, the faults.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use siwx_gateway::{
    app::SystemClock,
    time::{Clock as _, UnixTime},
};
use socket2::{Domain, Socket, Type};

use crate::{
    ticket::{Judge, Kind, Ticket},
    wallet::{Text, Wallet},
};

/// Wallets by what becomes of their subscriptions: granted and revoked by the admin API; by another program; held by
/// no one, until the end; held by many, until the end.
pub(crate) const BY_ADMIN: std::ops::Range<usize> = 0..16;
pub(crate) const BY_OTHERS: std::ops::Range<usize> = 16..24;
pub(crate) const UNSUBSCRIBED: std::ops::Range<usize> = 24..64;
pub(crate) const SUBSCRIBED: std::ops::Range<usize> = 64..264;
pub(crate) const WALLETS: usize = 264;

/// What another program wrote is seen within the life of what is remembered, which is two seconds in a storm.
pub(crate) const GRACE: Duration = Duration::from_secs(4);

/// How long after nginx is back a request to it may still fail.
const RECOVERY: Duration = Duration::from_secs(2);

/// The world of a storm.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) store: PathBuf,
    pub(crate) wallets: Vec<Wallet>,
    pub(crate) accounts: Vec<String>,
    pub(crate) judge: Arc<Judge>,
    holds: Vec<Mutex<Changing>>,
    nginx: Mutex<Changing>,
    numbers: AtomicU64,
    over: AtomicBool,
    tally: Mutex<BTreeMap<(&'static str, String), u64>>,
    faults: Mutex<Vec<String>>,
}

/// Something that changes while others look: what it is, since when, and how often it changed.
#[derive(Clone, Copy)]
struct Changing {
    is: bool,
    since: Instant,
    changes: u64,
    /// Between the start of a change and its end anything may be seen.
    settled: bool,
}

/// What was known of a [`Changing`] thing before a request.
#[derive(Clone, Copy)]
pub(crate) struct Before(Changing, Duration);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A connection of HTTP/1.1.
pub(crate) struct Connection(pub(crate) BufReader<TcpStream>);

impl World {
    pub(crate) fn new(
        seed: u64,
        gateway: SocketAddr,
        admin: SocketAddr,
        store: PathBuf,
        wallets: Vec<Wallet>,
        judge: &Arc<Judge>,
    ) -> Self {
        let begin = |is| Mutex::new(Changing { is, since: Instant::now(), changes: 0, settled: true });
        Self {
            seed,
            gateway,
            admin,
            store,
            accounts: wallets.iter().map(Wallet::account).collect(),
            judge: Arc::clone(judge),
            holds: (0..WALLETS).map(|wallet| begin(SUBSCRIBED.contains(&wallet))).collect(),
            wallets,
            nginx: begin(true),
            numbers: AtomicU64::new(1),
            over: AtomicBool::new(false),
            tally: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn ticket(&self, kind: Kind, wallet: usize) -> Ticket {
        self.judge.ticket(kind, self.numbers.fetch_add(1, Ordering::Relaxed), wallet)
    }

    /// A number nobody else has.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn count(&self, kind: &'static str, outcome: impl ToString) {
        let mut tally = self.tally.lock().expect("no panic while held");
        *tally.entry((kind, outcome.to_string())).or_default() += 1;
    }

    pub(crate) fn fault(&self, what: String) {
        let mut faults = self.faults.lock().expect("no panic while held");
        if faults.len() < 30 {
            faults.push(what);
        }
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.lock().expect("no panic while held").clone()
    }

    pub(crate) fn tally(&self) -> BTreeMap<(&'static str, String), u64> {
        self.tally.lock().expect("no panic while held").clone()
    }

    /// Changes what a wallet holds. Nothing is sure until the change is done.
    pub(crate) fn change(&self, wallet: usize, is: bool, make: impl FnOnce()) {
        change(&self.holds[wallet], is, make);
    }

    /// What nginx is about to be.
    pub(crate) fn change_nginx(&self, is: bool, make: impl FnOnce()) {
        change(&self.nginx, is, make);
    }

    /// What is known of a wallet's subscription before a request.
    pub(crate) fn before(&self, wallet: usize) -> Before {
        let grace = if BY_OTHERS.contains(&wallet) { GRACE } else { Duration::ZERO };
        Before(*self.holds[wallet].lock().expect("no panic while held"), grace)
    }

    pub(crate) fn nginx_before(&self) -> Before {
        Before(*self.nginx.lock().expect("no panic while held"), RECOVERY)
    }

    /// Whether a wallet held a subscription all through a request; nothing where it changed meanwhile.
    pub(crate) fn held(&self, wallet: usize, before: Before) -> Option<bool> {
        before.still(&self.holds[wallet].lock().expect("no panic while held"))
    }

    pub(crate) fn nginx_was_up(&self, before: Before) -> Option<bool> {
        before.still(&self.nginx.lock().expect("no panic while held"))
    }

    /// The text of a wallet's message, good from now on for so long.
    pub(crate) fn text(&self, wallet: usize, seconds: i64) -> Text {
        let now = SystemClock.now();
        self.wallets[wallet]
            .text()
            .nonce(self.number())
            .with("Issued At", &now.to_string())
            .with("Expiration Time", &now.plus_millis(seconds * 1000).to_string())
    }

    /// A new token of a wallet.
    pub(crate) fn token(&self, wallet: usize) -> String {
        self.wallets[wallet].token_of(&self.text(wallet, 3600))
    }

    /// A connection from an address of its own within 127/8.
    pub(crate) fn connect(&self, from: Ipv4Addr) -> std::io::Result<Connection> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect_timeout(&self.gateway.into(), Duration::from_secs(5))?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        Ok(Connection(BufReader::new(stream)))
    }
}

/// Marks a change as begun, makes it, and marks it as done.
fn change(thing: &Mutex<Changing>, is: bool, make: impl FnOnce()) {
    let mark = |settled| {
        let mut thing = thing.lock().expect("no panic while held");
        let changes = thing.changes + 1;
        *thing = Changing { is, since: Instant::now(), changes, settled };
    };
    mark(false);
    make();
    mark(true);
}

impl Before {
    fn still(self, after: &Changing) -> Option<bool> {
        let Self(before, grace) = self;
        let same = before.settled && after.settled && before.changes == after.changes;
        // A first state needs no grace: nothing else was ever remembered.
        let sure = before.changes == 0 || before.since.elapsed() >= grace;
        (same && sure).then_some(before.is)
    }
}

impl Connection {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    pub(crate) fn wait_at_most(&self, wait: Duration) {
        let _ = self.0.get_ref().set_read_timeout(Some(wait));
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        self.write(request)?;
        self.read()
    }

    /// Reads one answer that has a length or none.
    pub(crate) fn read(&mut self) -> std::io::Result<Answer> {
        let broken = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.0.read_until(b'\n', &mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = String::from_utf8(head).map_err(|error| broken(error.to_string()))?;
        let status = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "));
        let status = status.and_then(|rest| rest.get(..3)?.parse().ok()).ok_or_else(|| broken(head.clone()))?;
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status, head, body })
    }
}

impl Answer {
    /// Whether the connection ends after this.
    pub(crate) fn closes(&self) -> bool {
        self.head.to_ascii_lowercase().contains("\r\nconnection: close")
    }

    /// The cookie it sets, as a browser sends it back.
    pub(crate) fn cookie(&self) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))?;
        value.split(';').next()
    }
}

/// The moment of a storm.
pub(crate) fn now() -> UnixTime {
    SystemClock.now()
}
