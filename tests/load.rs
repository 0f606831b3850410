//! A hundred thousand tokens in one run, against the real program as a process of its own.
//!
//! 1,000 wallets with a subscription and 1,000 without, half of them EVM and half Solana, sign 50 messages each. Every
//! token is sent once as it is and once with one bit flipped, in an order that differs from run to run of nothing: the
//! seed is fixed. Every forged one must be 401, every other one 200 or 403 by its wallet, no request may be told to the
//! upstream as another wallet's, and the memory at the end must stay within what the cache entries allow.

#[allow(dead_code, reason = "the gateway's tests use all of it")]
#[path = "gateway/harness/wallet.rs"]
mod wallet;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use siwx_gateway::{
    app::SystemClock,
    caip::AccountId,
    store::{self, Backend, Grant, Settings, Term},
    time::{Clock as _, UnixTime},
};

use crate::wallet::{Wallet, token};

const WALLETS: usize = 2000;
const TOKENS_EACH: usize = 50;
const CLIENTS: usize = 4;

/// What the memory at the end may be: a base, and a share of every entry the caches may hold.
const BASE_KIB: usize = 64 << 10;
const ENTRY_KIB: usize = 2;
const ENTRIES: usize = 100_000 + 100_000;

/// How the answers came out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    subscribed: usize,
    unsubscribed: usize,
    forged: usize,
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// The gateway as a process; killed when dropped.
struct Process {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(config: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_siwx-gateway"))
            .args(["run", "-c"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut address_in = |message: &str| loop {
            let line = lines.next().expect("the program says where it listens").expect("UTF-8");
            if line.contains(message) {
                let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
                return line["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
            }
        };
        let (address, admin) = (address_in("\"listening\""), address_in("metrics, health"));
        // Somebody must read on, or the program would wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, admin }
    }

    fn resident_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("procfs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a field");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn metric(&self, series: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("the private listener");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("UTF-8");
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.unwrap_or_else(|| panic!("no {series} in {text}")).trim().to_owned()
    }
}

/// Answers every request, and counts those that were told as somebody else's.
fn upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mixed_up = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&mixed_up);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || serve(stream, &counted));
        }
    });
    (address, mixed_up)
}

fn serve(stream: TcpStream, mixed_up: &AtomicUsize) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        head.clear();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(reader.read_line(&mut head), Ok(1..)) {
                return;
            }
        }
        let target = head.split(' ').nth(1).expect("a target");
        let told = head.lines().find_map(|line| line.strip_prefix("x-siwx-address: "));
        if told != target.strip_prefix("/paid/") {
            mixed_up.fetch_add(1, Ordering::Relaxed);
        }
        if reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

fn wallet(number: usize) -> Wallet {
    if number.is_multiple_of(2) { Wallet::evm(number as u32) } else { Wallet::solana(number as u32) }
}

/// Every second pair of one EVM and one Solana wallet has a subscription.
const fn is_subscribed(number: usize) -> bool {
    (number / 2).is_multiple_of(2)
}

fn grant_all(path: &std::path::Path, now: UnixTime) {
    let settings = Settings {
        backend: Backend::Sqlite(path.to_owned()),
        timeout: std::time::Duration::from_secs(30),
        require_at_start: true,
    };
    let store = store::open(&settings).expect("the store opens");
    let subscribed = (0..WALLETS).filter(|number| is_subscribed(*number));
    let grants: Vec<Grant> = subscribed
        .map(|number| {
            let account = AccountId::parse(&wallet(number).account()).expect("a CAIP-10 id");
            Grant::new(account.key(), "default", Term::UntilRevoked).expect("a grant")
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let imported = runtime.block_on(store.subscriptions().import(&grants, now)).expect("the store imports");
    assert_eq!(imported, WALLETS / 2);
}

/// One of a wallet's tokens, good and with one bit flipped.
fn pair(wallet: &Wallet, nonce: u64, now: UnixTime, random: &mut Random) -> (String, String) {
    let text = wallet
        .text()
        .nonce(nonce)
        .with("Issued At", &now.to_string())
        .with("Expiration Time", &now.plus_millis(3_600_000).to_string())
        .to_string();
    let signature = wallet.sign(&text);
    let good = token(&text, &wallet.written(&signature));
    let flip = |bytes: &mut [u8], random: &mut Random| bytes[random.below(bytes.len())] ^= 1 << random.below(8);
    let forged = if random.below(2) == 0 {
        let mut signature = signature;
        flip(&mut signature, random);
        token(&text, &wallet.written(&signature))
    } else {
        let mut bytes = text.into_bytes();
        flip(&mut bytes, random);
        format!("SIWX {}.{}", data_encoding::BASE64.encode(&bytes), wallet.written(&signature))
    };
    (good, forged)
}

/// One client's share: its wallets' tokens over one connection, good and forged ones mixed.
fn client(address: SocketAddr, share: usize, now: UnixTime) -> Tally {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (share as u64 + 1));
    let wallets: Vec<(usize, Wallet)> =
        (share..WALLETS).step_by(CLIENTS).map(|number| (number, wallet(number))).collect();
    let mut stream = BufReader::new(TcpStream::connect(address).expect("the gateway accepts"));
    stream.get_ref().set_nodelay(true).expect("an option");
    let (mut tally, mut head, mut requests) = (Tally::default(), String::new(), 0);
    for round in 0..TOKENS_EACH {
        for (number, wallet) in &wallets {
            let (good, forged) = pair(wallet, (number * TOKENS_EACH + round) as u64, now, &mut random);
            let expected = if is_subscribed(*number) { 200 } else { 403 };
            let mut both = [(good, expected), (forged, 401)];
            if random.below(2) == 0 {
                both.reverse();
            }
            for (token, expected) in both {
                requests += 1;
                if requests % 9_000 == 0 {
                    // The gateway may close a connection after 10,000 requests.
                    stream = BufReader::new(TcpStream::connect(address).expect("the gateway accepts"));
                }
                let status = ask(&mut stream, &wallet.address(), &token, &mut head);
                assert_eq!(status, expected, "wallet {number}, round {round}: {token}");
                match expected {
                    200 => tally.subscribed += 1,
                    403 => tally.unsubscribed += 1,
                    _ => tally.forged += 1,
                }
            }
        }
    }
    tally
}

fn ask(stream: &mut BufReader<TcpStream>, address: &str, token: &str, head: &mut String) -> u16 {
    let request = format!("GET /paid/{address} HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: {token}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).expect("the gateway reads");
    head.clear();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(head).expect("an answer") > 0, "the connection ended in {head:?}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).expect("a body");
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[test]
#[expect(clippy::print_stdout, reason = "the summary is part of the output")]
fn a_hundred_thousand_tokens_and_as_many_forged_ones() {
    let directory = tempfile::tempdir().expect("a directory");
    let (database, file) = (directory.path().join("store.db"), directory.path().join("gateway.toml"));
    let now = SystemClock.now();
    grant_all(&database, now);
    let (upstream, mixed_up) = upstream();
    let config = format!(
        "public_url = \"https://api.example.com\"\n[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [limits]\nauth_failures = \"off\"\n[store]\nurl = \"sqlite:{}\"\n[upstreams.api]\nurls = [\"http://{upstream}\"]\n\
         [[route]]\nname = \"paid\"\nprefix = \"/paid\"\nupstream = \"api\"\nauth = \"subscription\"\n",
        database.display()
    );
    std::fs::write(&file, config).expect("a file");
    let gateway = Process::start(&file);

    let begun = Instant::now();
    let address = gateway.address;
    let shares: Vec<_> = (0..CLIENTS).map(|share| std::thread::spawn(move || client(address, share, now))).collect();
    let mut tally = Tally::default();
    for share in shares {
        let Tally { subscribed, unsubscribed, forged } = share.join().expect("every answer as expected");
        tally.subscribed += subscribed;
        tally.unsubscribed += unsubscribed;
        tally.forged += forged;
    }
    let took = begun.elapsed();
    let resident = gateway.resident_kib();
    let allowed = BASE_KIB + ENTRY_KIB * ENTRIES;
    let entries = gateway.metric("siwx_cache_entries{cache=\"proofs\"}");
    println!(
        "load: {} tokens of subscribers 200, {} of others 403, {} forged 401 in {:.1} s; {entries} proofs remembered; \
         resident {} MiB of {} MiB allowed",
        tally.subscribed,
        tally.unsubscribed,
        tally.forged,
        took.as_secs_f64(),
        resident >> 10,
        allowed >> 10,
    );
    let half = WALLETS * TOKENS_EACH / 2;
    assert_eq!(tally, Tally { subscribed: half, unsubscribed: half, forged: 2 * half });
    assert_eq!(mixed_up.load(Ordering::Relaxed), 0, "requests told as another wallet's");
    assert!(resident < allowed, "resident {resident} KiB, allowed {allowed} KiB");
    assert_eq!(gateway.metric("siwx_panics_total"), "0");
}
