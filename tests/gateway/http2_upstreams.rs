//! Services that speak HTTP/2, with a real server of it: multiplexing, trailers both ways, calls of gRPC (hardening.md
//! section 4, rows U1, U4, U8 and F4).

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http2 as server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Request, Setup, Upstream, Wallet, http2, runtime, tls::Authority};

/// What it saw of a request: the head, the body, the trailers.
type Seen = (http::request::Parts, Bytes, Option<http::HeaderMap>);

/// A service that speaks HTTP/2 and nothing else. It says a body back, with trailers as gRPC has them.
struct Service {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    fn start(tls: Option<TlsAcceptor>) -> Self {
        let (seen, connections): (Arc<Mutex<Vec<Seen>>>, Arc<AtomicUsize>) = Default::default();
        let (record, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let (bound, address) = channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                bound.send(listener.local_addr().expect("bound")).expect("the test waits");
                let accepting = async {
                    loop {
                        let (stream, _) = listener.accept().await.expect("a connection");
                        count.fetch_add(1, Ordering::SeqCst);
                        let (record, tls) = (Arc::clone(&record), tls.clone());
                        tokio::spawn(async move {
                            let serving = service_fn(move |request| answer(request, Arc::clone(&record)));
                            let builder = server::Builder::new(TokioExecutor::new());
                            match tls {
                                Some(tls) => {
                                    let Ok(stream) = tls.accept(stream).await else { return };
                                    let _ = builder.serve_connection(TokioIo::new(stream), serving).await;
                                }
                                None => {
                                    let _ = builder.serve_connection(TokioIo::new(stream), serving).await;
                                }
                            }
                        });
                    }
                };
                tokio::select! { () = accepting => {}, _ = stopped => {} }
            });
        });
        let address = address.recv().expect("it listens");
        Self { address, seen, connections, stop: Some(stop), thread: Some(thread) }
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().expect("no panic while held"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(
    request: http::Request<Incoming>,
    record: Arc<Mutex<Vec<Seen>>>,
) -> Result<http::Response<http2::Body>, Infallible> {
    let (head, body) = request.into_parts();
    let many = head.uri.path().strip_prefix("/public/fields/").and_then(|count| count.parse::<usize>().ok());
    let collected = body.collect().await.expect("the body comes to its end");
    let (trailers, body) = (collected.trailers().cloned(), collected.to_bytes());
    record.lock().expect("no panic while held").push((head, body.clone(), trailers));
    // Long enough for others to be on the way.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let fields = [("grpc-status", "0"), ("x-siwx-address", "0xevil"), ("content-length", "7"), ("x-sum", "1")];
    let trailers: http::HeaderMap =
        fields.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
    let body = Full::new(body).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed();
    if let Some(fields) = many {
        // Two are the date and the length.
        let answer = (2..fields).fold(http::Response::builder(), |answer, _| answer.header("x-stub", "1"));
        return Ok(answer.body(body).expect("an answer"));
    }
    let answer = http::Response::builder().header("x-stub", "1").header("content-type", "application/grpc+proto");
    Ok(answer.body(body).expect("an answer"))
}

const TABLES: &str = "\n[[route]]\nname = \"grpc\"\nprefix = \"/echo.Echo\"\nupstream = \"api\"\nauth = \"wallet\"\n\
                      trailers = true\n\
                      [[route]]\nname = \"sold\"\nprefix = \"/sold.Echo\"\nupstream = \"api\"\nauth = \"subscription\"\n";

/// A message of gRPC: not compressed, its length, its bytes.
fn message(payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&[0], &length[..], payload].concat().into()
}

fn call(
    target: &str,
    token: Option<&str>,
    payload: &[u8],
    trailers: &[(&'static str, &'static str)],
) -> http2::Request {
    let mut request = http2::post(target, message(payload), trailers);
    let fields = [("content-type", "application/grpc+proto"), ("te", "trailers")];
    for (name, value) in fields.into_iter().chain(token.map(|token| ("authorization", token))) {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    request
}

#[test]
fn u8_a_call_of_grpc_goes_through_with_its_trailers() {
    let service = Service::start(None);
    let gateway = Setup::to(&format!("h2c://{}", service.address)).tables(TABLES).start();
    let token = Wallet::evm(1).token();
    let answer = gateway.block_on(async {
        let mut client = http2::Client::connect(gateway.address, Arc::clone(&gateway.secrets)).await;
        let trailers = [("x-checksum", "7"), ("x-siwx-address", "0xevil"), ("authorization", "SIWX evil")];
        client.send(call("/echo.Echo/Say", Some(&token), b"hello", &trailers)).await
    });
    assert_eq!((answer.status, answer.body.as_slice()), (200, &message(b"hello")[..]));
    assert_eq!((answer.one("grpc-status"), answer.one("x-sum")), (Some("0"), Some("1")));
    assert_eq!((answer.one("x-siwx-address"), answer.all("content-length")), (None, vec!["10"]));
    let (head, body, trailers) = service.take().remove(0);
    assert_eq!(head.uri.authority().map(http::uri::Authority::as_str), Some("api.example.com"));
    assert_eq!(head.uri.path(), "/echo.Echo/Say");
    assert_eq!((head.version, body), (http::Version::HTTP_2, message(b"hello")));
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["x-siwx-address"], Wallet::evm(1).address().as_str());
    for name in ["connection", "transfer-encoding", "host", "upgrade"] {
        assert!(!head.headers.contains_key(name), "{name}");
    }
    let trailers = trailers.expect("trailers");
    assert_eq!((trailers.len(), trailers.get("x-checksum").map(|value| value.as_bytes())), (1, Some(&b"7"[..])), "F4");
}

#[test]
fn f4_trailers_of_requests_end_here_where_the_route_does_not_pass_them() {
    let service = Service::start(None);
    let gateway = Setup::to(&format!("h2c://{}", service.address)).tables(TABLES).start();
    let answer = gateway.block_on(async {
        let mut client = http2::Client::connect(gateway.address, Arc::clone(&gateway.secrets)).await;
        client.send(http2::post("/public/x", Bytes::from_static(b"body"), &[("x-checksum", "7")])).await
    });
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"body"[..]));
    let (_, body, trailers) = service.take().remove(0);
    assert_eq!((&body[..], trailers), (&b"body"[..], None));
}

/// nghttp tells the length of what it sends trailers after. They were announced to the service, and never came.
#[test]
fn u8_a_length_that_is_told_takes_no_trailers_away() {
    let (say, said) = channel();
    let upstream = Upstream::scripted(move |mut stream, _| {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 1024]);
        while !bytes.ends_with(b"\r\n\r\n") || !bytes.windows(5).any(|part| part == b"\r\n0\r\n") {
            match std::io::Read::read(&mut stream, &mut buffer) {
                Ok(length @ 1..) => bytes.extend_from_slice(&buffer[..length]),
                _ => break,
            }
        }
        let _ = say.send(String::from_utf8_lossy(&bytes).into_owned());
        let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nx-stub: 1\r\ncontent-length: 0\r\n\r\n");
    });
    let gateway = Setup::over(&upstream).tables(TABLES).start();
    let token = Wallet::evm(1).token();
    let answer = gateway.block_on(async {
        let mut client = http2::Client::connect(gateway.address, Arc::clone(&gateway.secrets)).await;
        let mut request = call("/echo.Echo/Say", Some(&token), b"hello", &[("x-checksum", "7"), ("cookie", "evil")]);
        request.headers_mut().insert("content-length", "10".parse().expect("a value"));
        request.headers_mut().insert("trailer", "x-checksum, cookie".parse().expect("a value"));
        client.send(request).await
    });
    assert_eq!(answer.status, 200);
    let said = said.recv().expect("a request");
    let (head, body) = said.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("\r\ntransfer-encoding: chunked") && head.contains("\r\ntrailer: x-checksum"), "{said}");
    assert!(!head.contains("content-length"), "{said}");
    assert!(body.ends_with("hello\r\n0\r\nx-checksum: 7\r\n\r\n"), "{said}");
}

/// hardening.md section 5: trailers alone, with the status of gRPC.
#[test]
fn refusals_of_calls_are_said_as_grpc_says_them() {
    let service = Service::start(None);
    let gateway = Setup::to(&format!("h2c://{}", service.address)).tables(TABLES).start();
    let token = Wallet::evm(1).token();
    let mut rows = vec![
        ("no credential", call("/echo.Echo/Say", None, b"x", &[]), "16"),
        ("a bad one", call("/echo.Echo/Say", Some("SIWX x.y"), b"x", &[]), "16"),
        ("no subscription", call("/sold.Echo/Say", Some(&token), b"x", &[]), "7"),
        ("nothing there", call("/none", Some(&token), b"x", &[]), "12"),
    ];
    gateway.block_on(async {
        let mut client = http2::Client::connect(gateway.address, Arc::clone(&gateway.secrets)).await;
        for (name, request, status) in rows.drain(..) {
            let answer = client.send(request).await;
            assert_eq!((answer.status, answer.one("grpc-status")), (200, Some(status)), "{name}: {answer:?}");
            assert_eq!(answer.one("content-type"), Some("application/grpc"), "{name}");
            assert!(
                answer.body.is_empty() && answer.one("grpc-message").is_some_and(|said| !said.is_empty()),
                "{name}"
            );
            assert!(answer.one("x-request-id").is_some(), "{name}");
        }
    });
    assert!(service.take().is_empty());
    let codes: Vec<_> = gateway.log_lines(4).iter().map(|line| line["status"].as_u64()).collect();
    assert_eq!(codes, [Some(401), Some(401), Some(403), Some(404)], "the log says what it was");
}

#[test]
fn one_connection_carries_many_requests() {
    let service = Service::start(None);
    let gateway = Setup::to(&format!("h2c://{}", service.address)).tables(TABLES).start();
    gateway.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(http2::Client::connect(gateway.address, Arc::clone(&gateway.secrets)).await);
        }
        let asking = clients.iter_mut().map(|client| async {
            for _ in 0..5 {
                assert_eq!(client.send(http2::get("http", "/public/x", &[])).await.status, 200);
            }
        });
        futures_util::future::join_all(asking).await;
    });
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200, "whatever the client speaks");
    assert_eq!(service.take().len(), 101);
    assert_eq!(service.connections.load(Ordering::SeqCst), 1);
    gateway.expect_metric("siwx_upstream_connections{state=\"active\",upstream=\"api\"}", 1.0);
}

#[test]
fn http2_is_agreed_on_within_tls() {
    let authority = Authority::new();
    let (cert, key) = authority.issue("api", &["localhost"]);
    let files = siwx_gateway::edge::settings::CertificateFiles { hosts: vec!["localhost".to_owned()], cert, key };
    let settings =
        siwx_gateway::edge::settings::TlsSettings { tls12: true, certificates: vec![files], client_auth: None };
    let config = siwx_gateway::edge::tls::server_config(&settings, true).expect("a certificate").expect("one");
    let service = Service::start(Some(TlsAcceptor::from(config)));
    let url = format!("https://localhost:{}", service.address.port());
    let ca = authority.file().display().to_string();
    let setup = || Setup::to(&url).tables(TABLES).set("upstreams.api.http2", "true");
    let gateway = setup().set("upstreams.api.tls.ca", &ca).start();
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200);
    let (head, ..) = service.take().remove(0);
    assert_eq!((head.version, head.uri.scheme_str()), (http::Version::HTTP_2, Some("https")));
    gateway.expect_metric("siwx_upstream_tls_unverified{upstream=\"api\"}", 0.0);

    let strict = setup().start();
    assert_eq!(strict.send(&Request::get("/public/x")).outcome(), (502, "upstream_unreachable".to_owned()));
    let lax = setup().set("upstreams.api.tls.insecure_skip_verify", "true").start();
    assert_eq!(lax.send(&Request::get("/public/x")).status, 200, "whoever it is");
    lax.expect_metric("siwx_upstream_tls_unverified{upstream=\"api\"}", 1.0);
}

#[test]
fn u1_a_service_that_comes_back_is_connected_anew() {
    let service = Service::start(None);
    let address = service.address;
    let gateway = Setup::to(&format!("h2c://{address}")).tables(TABLES).start();
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200);
    drop(service);
    assert_eq!(gateway.send(&Request::get("/public/x")).outcome(), (502, "upstream_unreachable".to_owned()));
}

#[test]
fn an_answer_has_two_hundred_fields_at_most() {
    let service = Service::start(None);
    let gateway = Setup::to(&format!("h2c://{}", service.address)).tables(TABLES).start();
    for fields in [100, 101, 200] {
        let answer = gateway.send(&Request::get(&format!("/public/fields/{fields}")));
        assert_eq!((answer.status, answer.all("x-stub").len()), (200, fields - 2));
    }
    let answer = gateway.send(&Request::get("/public/fields/201"));
    assert_eq!(answer.outcome(), (502, "upstream_invalid".to_owned()));
}
