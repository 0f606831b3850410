//! What a request costs over real sockets of loopback: client, gateway with one worker, and a fixed answer behind it,
//! all in this process.
//!
//! The figures are times of round trips, the client's and the upstream's own share in them. They tell one revision
//! from another; what a request costs the gateway alone, beside nginx, `benches/compare` tells.

mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    client::Resumption,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName},
};
use siwx_gateway::{
    app::{App, World},
    store,
    time::{Clock, UnixTime},
};
use support::{CHAIN, address, config, now, runtime, subscribe, token, wallet};
use tokio::sync::oneshot;

/// Connections that are kept busy at once.
const CONNECTIONS: usize = 64;

/// What the service behind the gateway answers.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A gateway that serves until it is dropped. Wallet 1 has a subscription.
struct Gateway {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The time at which the tokens are good.
struct Standing;

impl Clock for Standing {
    fn now(&self) -> UnixTime {
        now()
    }
}

impl Gateway {
    fn start(more: &str) -> Self {
        let (config, report) = config(&format!("http://{}", upstream()), more);
        let store = store::open(&config.store).expect("the store opens");
        subscribe(&runtime(), &store, &format!("{CHAIN}:{}", address(&wallet(1))));
        let world = World { clock: Arc::new(Standing), access_log: Box::new(std::io::sink()) };
        let app = App::bind_with_store(config, report, world, store).unwrap_or_else(|error| panic!("{error}"));
        let address = app.addresses()[0];
        let (stop, stopped) = oneshot::channel();
        let serve = async {
            let _ = stopped.await;
        };
        let thread = thread::spawn(move || runtime().block_on(app.run(serve)).expect("the gateway ends well"));
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the gateway accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the gateway does not panic");
        }
    }
}

/// Starts the service behind the gateway, one thread a connection. Requests have no body.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(length) if length > 0 => buffer.extend_from_slice(&piece[..length]),
            _ => return,
        }
        if buffer.ends_with(b"\r\n\r\n") {
            buffer.clear();
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

fn get(path: &str, token: Option<&str>) -> Vec<u8> {
    let field = token.map_or_else(String::new, |token| format!("authorization: {token}\r\n"));
    format!("GET {path} HTTP/1.1\r\nhost: api.example.com\r\n{field}\r\n").into_bytes()
}

fn warm_request() -> Vec<u8> {
    get("/paid/data", Some(&token(&wallet(1), &wallet(1), 0)))
}

/// Reads one answer, which must be the upstream's.
fn read_answer(stream: &mut impl Read) {
    let mut buffer = [0; 4096];
    let mut length = 0;
    while !buffer[..length].ends_with(b"\r\n\r\nok") {
        let read = stream.read(&mut buffer[length..]).expect("an answer");
        assert!(read > 0, "expected the upstream's answer, found {:?}", String::from_utf8_lossy(&buffer[..length]));
        length += read;
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&buffer[..length]));
}

fn ask(stream: &mut (impl Read + Write), request: &[u8]) {
    stream.write_all(request).expect("the gateway reads");
    read_answer(stream);
}

fn h1_keepalive(bench: &mut Criterion) {
    let gateway = Gateway::start("");
    for (name, request) in
        [("h1_keepalive_public", get("/public/data", None)), ("h1_keepalive_warm_token", warm_request())]
    {
        let mut stream = gateway.connect();
        ask(&mut stream, &request);
        bench.bench_function(name, |bencher| bencher.iter(|| ask(&mut stream, &request)));
    }

    let request = warm_request();
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| gateway.connect()).collect();
    let mut round = || {
        for stream in &mut streams {
            stream.write_all(&request).expect("the gateway reads");
        }
        streams.iter_mut().for_each(read_answer);
    };
    round();
    // One iteration is a request on each connection: the time is of all of them.
    bench.bench_function("h1_keepalive_x64_warm", |bencher| bencher.iter(&mut round));
}

fn tls(bench: &mut Criterion) {
    let made = rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = (folder.path().join("api.crt"), folder.path().join("api.key"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let gateway = Gateway::start(&format!(
        "[[tls.certificate]]\nhosts = [\"api.example.com\"]\ncert = {cert:?}\nkey = {key:?}\n"
    ));
    let trust = trusting(made.cert.der().clone());
    let name = ServerName::try_from("api.example.com").expect("a name");
    let request = warm_request();
    let once = || {
        let session = ClientConnection::new(Arc::clone(&trust), name.clone()).expect("a session");
        ask(&mut StreamOwned::new(session, gateway.connect()), &request);
    };
    once();
    bench.bench_function("tls_handshake_and_one_request", |bencher| bencher.iter(once));
}

/// A client that trusts this certificate alone and never resumes a session: every handshake is a whole one.
fn trusting(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

criterion_group! {
    name = end_to_end;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .without_plots();
    targets = h1_keepalive, tls
}
criterion_main!(end_to_end);
