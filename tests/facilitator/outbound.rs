//! The client: how far it came, and what it keeps.

use std::{net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use siwx_gateway::outbound::{Answer, Ask, Client, Endpoint, Outbound, OutboundError, Reach, Settings};

use crate::server::{Act, Server};

fn client(url: &str, ca: Option<PathBuf>) -> Client {
    let outbound = Outbound::start().expect("a thread");
    outbound.client(Settings { endpoint: Endpoint::parse(url).expect("a URL"), ca }).expect("a client")
}

fn ask(path: &str, body: &'static str) -> Ask {
    Ask {
        method: if body.is_empty() { Method::GET } else { Method::POST },
        path: path.to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
        within: Duration::from_secs(20),
        answer_bytes_max: 10,
    }
}

/// The same, where no answer is waited for.
fn hurried(path: &str, body: &'static str) -> Ask {
    Ask { within: Duration::from_millis(500), ..ask(path, body) }
}

fn ok(body: &str) -> Act {
    Act::text(200, "text/plain", body)
}

/// How far it came and why it ended, as text without the port.
fn failure(answer: Result<Answer, OutboundError>) -> (Reach, String) {
    let error = answer.expect_err("no answer");
    (error.reach, error.cause.to_string())
}

#[tokio::test]
async fn how_far_a_request_came() {
    const CLOSED: &str = "the connection was closed before the answer was complete";
    const LATE: &str = "no whole answer in time";
    const LONG: &str = "expected an answer of at most 10 bytes, found a longer one";
    let chunked =
        |rest: &str| Act::AnswerAndClose(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{rest}").into());
    let raw = |text: &str| Act::AnswerAndClose(text.as_bytes().to_vec());
    let rows = [
        ("closed once it was read", Act::Close, CLOSED),
        ("never answered", Act::Hang, LATE),
        ("slow head", Act::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(), 100), LATE),
        ("slow body", Act::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789".to_vec(), 12), LATE),
        ("half a head", raw("HTTP/1.1 200 OK\r\ncontent-le"), CLOSED),
        ("half a body", raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234"), CLOSED),
        ("half a chunk", chunked("4\r\n12"), CLOSED),
        ("a byte too long", ok("12345678901"), LONG),
        ("too long in chunks", chunked("6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n"), LONG),
        ("5 MB announced", Act::Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n".to_vec()), LONG),
    ];
    for (name, act, why) in rows {
        let server = Server::start([act]);
        let asked = if why == LATE { hurried("/x", "body") } else { ask("/x", "body") };
        let answer = client(&server.url(), None).send(asked).await;
        assert_eq!(failure(answer), (Reach::Unknown, why.to_owned()), "{name}");
        assert_eq!(server.lines(), ["POST /x"], "{name}: asked once");
    }
    let server = Server::start([Act::AnswerAndClose(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())]);
    let (reach, why) = failure(client(&server.url(), None).send(ask("/x", "body")).await);
    assert_eq!(reach, Reach::Unknown);
    assert!(why.starts_with("it did not answer in HTTP: "), "{why}");
}

#[tokio::test]
async fn what_certainly_was_not_sent() {
    // Nobody listens.
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let (reach, why) = failure(client(&format!("http://{address}"), None).send(ask("/x", "body")).await);
    assert_eq!(reach, Reach::NotSent);
    assert!(why.starts_with("cannot connect: "), "{why}");

    // Somebody listens, and nobody accepts TLS.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let authority = Authority::new();
    let ca = Some(authority.file());
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let silent = failure(client(&url, ca.clone()).send(hurried("/x", "body")).await);
    assert_eq!(silent, (Reach::NotSent, "no whole answer in time".to_owned()));

    // A certificate of an authority that nobody believes.
    let server = Server::start_with([ok("never")], Some(Authority::new().server()));
    let (reach, why) = failure(client(&server.url(), ca).send(ask("/x", "body")).await);
    assert_eq!(reach, Reach::NotSent);
    assert!(why.starts_with("TLS failed: invalid peer certificate"), "{why}");
    assert_eq!(server.seen(), []);

    // A path that is none.
    let answer = client(&server.url(), Some(authority.file())).send(ask("/x y", "body")).await;
    let expected = "expected a path that can stand in a request, found another".to_owned();
    assert_eq!(failure(answer), (Reach::NotSent, expected));
}

#[tokio::test]
async fn a_connection_that_closes_unread_is_never_said_to_be_unsent_once_written() {
    // The kernel takes the bytes before it learns of the end, or learns of it before: both occur, and only the
    // second may be called unsent.
    for _ in 0..20 {
        let server = Server::start([Act::CloseUnread]);
        let (reach, why) = failure(client(&server.url(), None).send(ask("/x", "body")).await);
        assert!(matches!(reach, Reach::NotSent | Reach::Unknown));
        assert_eq!(why, "the connection was closed before the answer was complete");
        assert_eq!(server.connections(), 1, "a new connection that fails is the last");
    }
}

#[tokio::test]
async fn connections_are_kept_and_shared_by_runtimes() {
    let server = Server::start([ok("one"), ok("two"), ok("three")]);
    let client = client(&format!("{}/base/", server.url()), None);
    let answer = client.send(ask("/x?y=1", "")).await.expect("an answer");
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"one"[..]));
    let second = client.clone();
    let other = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(second.send(ask("/x", "body"))).expect("an answer").body
    });
    assert_eq!(other.join().expect("the other thread"), "two");
    assert_eq!(client.send(ask("", "")).await.expect("an answer").body, "three", "its runtime has ended since");

    let seen = server.seen();
    assert_eq!(server.lines(), ["GET /base/x?y=1", "POST /base/x", "GET /base"]);
    assert!(seen.iter().all(|seen| seen.connection == 0), "{seen:?}");
    let fields = |name: &str| seen.iter().filter_map(|seen| seen.header(name)).collect::<Vec<_>>();
    let host = server.url().replace("http://", "");
    assert_eq!(fields("host"), [&*host; 3]);
    assert_eq!(fields("accept-encoding"), ["identity"; 3]);
    assert_eq!(fields("content-length"), ["4"]);
    assert!(fields("user-agent").iter().all(|agent| agent.starts_with("siwx-gateway/")));
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let server = Server::start([ok("one")]);
    let client = client(&server.url(), None);
    client.send(ask("/1", "")).await.expect("an answer");
    tokio::task::spawn_blocking(move || server.wait_closed(1)).await.expect("the connection ended");
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_noticed_and_the_request_sent_once() {
    let server = Server::start([ok("one").and_close(), ok("two")]);
    let client = client(&server.url(), None);
    assert_eq!(client.send(ask("/1", "body")).await.expect("an answer").body, "one");
    server.wait_closed(1);
    assert_eq!(client.send(ask("/2", "body")).await.expect("an answer").body, "two");
    assert_eq!(server.lines(), ["POST /1", "POST /2"]);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_ends_under_a_request_is_not_tried_again() {
    let server = Server::start([ok("one"), Act::Close, ok("never")]);
    let client = client(&server.url(), None);
    assert_eq!(client.send(ask("/1", "body")).await.expect("an answer").body, "one");
    let (reach, _) = failure(client.send(ask("/2", "body")).await);
    assert_eq!(reach, Reach::Unknown);
    assert_eq!(server.lines(), ["POST /1", "POST /2"]);
}

#[tokio::test]
async fn connections_that_are_not_kept() {
    let twice = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n";
    let rows = [
        ("said to be closed", Act::with(200, &[("connection", "close")], "one")),
        ("two lengths", Act::Answer(twice.into())),
        ("longer than a second ago", ok("one")),
    ];
    for (name, act) in rows {
        let server = Server::start([act, ok("two")]);
        let client = client(&server.url(), None);
        assert_eq!(client.send(ask("/1", "")).await.expect(name).body, "one", "{name}");
        if name.starts_with("longer") {
            tokio::time::sleep(Duration::from_millis(1050)).await;
        }
        assert_eq!(client.send(ask("/2", "")).await.expect(name).body, "two", "{name}");
        assert_eq!(server.connections(), 2, "{name}");
    }
}

#[tokio::test]
async fn connections_at_once_have_a_bound() {
    let server = Server::start(std::iter::repeat_n(Act::Hang, 257));
    let client = client(&server.url(), None);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..257 {
        let client = client.clone();
        let patient = Ask { within: Duration::from_secs(3), ..ask("/x", "body") };
        asked.spawn(async move { failure(client.send(patient).await) });
    }
    let failures = asked.join_all().await;
    assert_eq!(failures.iter().filter(|(reach, _)| *reach == Reach::Unknown).count(), 256);
    assert!(failures.contains(&(Reach::NotSent, "no whole answer in time".to_owned())), "one waited in vain");
    assert_eq!(server.connections(), 256);
}

#[tokio::test]
async fn redirects_are_answers() {
    let elsewhere = Server::start([ok("never")]);
    for status in [301, 302, 303, 307, 308] {
        let server = Server::start([Act::with(status, &[("location", &format!("{}/x", elsewhere.url()))], "")]);
        let answer = client(&server.url(), None).send(ask("/x", "body")).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(server.seen().len(), 1);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_its_exchange() {
    let server = Server::start([Act::Drip(b"HTTP/1.1 200 OK\r\nx: ".repeat(1000), 10)]);
    let client = client(&server.url(), None);
    let task = tokio::spawn(async move { client.send(ask("/x", "body")).await });
    let waiting = tokio::task::spawn_blocking(move || {
        server.wait_seen(1);
        server
    });
    let server = waiting.await.expect("the request");
    task.abort();
    assert!(task.await.expect_err("it was ended").is_cancelled());
    tokio::task::spawn_blocking(move || server.wait_closed(1)).await.expect("the connection ended");
}

#[tokio::test]
async fn over_tls_with_an_authority_of_ones_own() {
    let authority = Authority::new();
    let server = Server::start_with([ok("one"), ok("two")], Some(authority.server()));
    let client = client(&server.url(), Some(authority.file()));
    for expected in ["one", "two"] {
        assert_eq!(client.send(ask("/x", "body")).await.expect("an answer").body, expected);
    }
    assert_eq!(server.connections(), 1);

    let closes = Server::start_with([Act::Close], Some(authority.server()));
    let client = crate::outbound::client(&closes.url(), Some(authority.file()));
    assert_eq!(failure(client.send(ask("/x", "body")).await).0, Reach::Unknown);
    assert_eq!(closes.lines(), ["POST /x"]);
}

/// An authority with one server.
struct Authority {
    folder: tempfile::TempDir,
    server: Arc<ServerConfig>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("a file");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("a key that fits");
        Self { folder, server: Arc::new(server) }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}
