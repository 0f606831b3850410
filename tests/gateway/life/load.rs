//! Under load: reloads, new certificates and the drain lose no request.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustls::{ClientConfig, version::TLS13};

use crate::harness::{
    Request, Setup, Upstream, Wallet,
    tls::{self, Authority},
};

const HOST: &str = "api.example.com";

/// Clients that send without a pause.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Some keep their connections, some open a new one for each request.
    fn begin(address: SocketAddr, config: &Arc<ClientConfig>, request: &[u8]) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..6).map(|number| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let (config, request, keeps) = (Arc::clone(config), request.to_vec(), number % 3 != 0);
            std::thread::spawn(move || client(address, &config, &request, keeps, &stop, &answered))
        });
        Self { clients: clients.collect(), stop, answered }
    }

    /// Waits until so many more were answered.
    fn wait_for(&self, more: usize) {
        let (from, begun) = (self.answered.load(Ordering::SeqCst), std::time::Instant::now());
        while self.answered.load(Ordering::SeqCst) < from + more {
            assert!(begun.elapsed() < Duration::from_secs(30), "the load makes no progress");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many were answered, and what went wrong.
    fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let faults = self.clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
        (self.answered.load(Ordering::SeqCst), faults)
    }
}

/// One client, until it is told to stop or nobody listens any more; gives its requests that were lost.
fn client(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    request: &[u8],
    keeps: bool,
    stop: &AtomicBool,
    answered: &AtomicUsize,
) -> Vec<String> {
    let mut faults = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let Ok(probe) = TcpStream::connect(address) else {
            // Nobody listens: it was not accepted, and is not lost.
            return faults;
        };
        drop(probe);
        let mut stream = match tls::connect(address, Arc::clone(config), HOST) {
            Ok(stream) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return faults,
            Err(error) => {
                faults.push(format!("handshake: {error}"));
                continue;
            }
        };
        loop {
            match exchange(&mut stream, request) {
                Ok((200, close)) => {
                    answered.fetch_add(1, Ordering::SeqCst);
                    if close || !keeps || stop.load(Ordering::SeqCst) {
                        break;
                    }
                }
                Ok((status, _)) => faults.push(format!("status {status}")),
                Err(error) => {
                    faults.push(format!("request: {error}"));
                    break;
                }
            }
        }
    }
    faults
}

/// One request and its answer: the status, and whether the connection ends.
fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> std::io::Result<(u16, bool)> {
    stream.write_all(request)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&answer);
        // The stub's body.
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && (body.len() >= 2)
        {
            let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
            return Ok((status, head.contains("connection: close")));
        }
    }
}

#[test]
fn reloads_and_new_certificates_lose_no_request() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway = Setup::over(&upstream)
        .hosts(Vec::new())
        .set("server.workers", "2")
        .tables(&authority.tables(&[&[HOST]]))
        .start();
    let token = Wallet::evm(1).token();
    let request = Request::get("/wallet/x").token(&token).bytes();
    let load = Load::begin(gateway.address, &authority.client(&[&TLS13], &[]), &request);
    load.wait_for(20);
    for turn in 0..20 {
        authority.issue("leaf-0", &[HOST]);
        let skew = format!("clock_skew = \"{}s\"", 10 + turn);
        let before = gateway.configuration.text();
        let after = match before.find("clock_skew") {
            Some(at) => {
                let end = at + before[at..].find('\n').expect("a line");
                format!("{}{skew}{}", &before[..at], &before[end..])
            }
            None => before.replacen("[[plan]]", &format!("[auth]\n{skew}\n[[plan]]"), 1),
        };
        gateway.configuration.write(&after);
        assert_eq!(gateway.reload().status, 200);
        load.wait_for(5);
    }
    let (answered, faults) = load.end();
    assert_eq!(faults, Vec::<String>::new(), "of {answered}");
    gateway.expect_metric("siwx_config_reloads_total{result=\"ok\"}", 20.0);
}

#[test]
fn the_drain_loses_no_request() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let setup = || {
        Setup::over(&upstream)
            .hosts(Vec::new())
            .set("server.workers", "2")
            .set("server.drain_delay", "100ms")
            .set("server.drain_timeout", "10s")
            .tables(&authority.tables(&[&[HOST]]))
    };
    let request = Request::get("/public/x").bytes();
    for turn in 0..3 {
        let mut gateway = setup().start();
        let load = Load::begin(gateway.address, &authority.client(&[&TLS13], &[]), &request);
        load.wait_for(30);
        gateway.stop();
        gateway.join();
        let (answered, faults) = load.end();
        assert_eq!(faults, Vec::<String>::new(), "turn {turn}, of {answered}");
    }
}
