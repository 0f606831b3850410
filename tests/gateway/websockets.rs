//! WebSockets, by a real client and a real server on both sides of the gateway: what opens one, what it carries, and
//! what ends it (hardening.md section 4 "Upgrade", rows S12, U5 and C32).

use std::{
    io::{BufReader, Read as _, Write as _},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use siwx_gateway::{
    edge::{
        settings::{CertificateFiles, TlsSettings},
        tls::server_config,
    },
    store::Term,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        handshake::server::{Request as Asked, Response as Agreed},
        http::HeaderValue,
    },
};

use crate::{
    failures::Flaky,
    harness::{
        Gateway, Request, Setup, Upstream, Wallet, http2, key, runtime, time, tls::Authority, upstream::read_request,
    },
};

/// The fields of the handshakes that came.
type Handshakes = Arc<Mutex<Vec<Vec<(String, String)>>>>;

/// A service of WebSockets: it says back what it hears, and tells the test how each of them ended.
struct Echo {
    url: String,
    ended: Receiver<Option<u16>>,
    asked: Handshakes,
    thread: Option<JoinHandle<()>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Echo {
    fn new() -> Self {
        Self::start(None)
    }

    fn start(tls: Option<TlsAcceptor>) -> Self {
        let (ending, ended) = channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (bound, address) = channel();
        let asked: Handshakes = Arc::default();
        let seen = Arc::clone(&asked);
        let thread = std::thread::spawn(move || {
            let runtime = runtime();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                bound.send(listener.local_addr().expect("bound")).expect("the test waits");
                let accepting = async {
                    loop {
                        let (stream, _) = listener.accept().await.expect("a connection");
                        let (tls, ending, seen) = (tls.clone(), ending.clone(), Arc::clone(&seen));
                        tokio::task::spawn_local(async move {
                            match tls {
                                None => echo(stream, ending, seen).await,
                                Some(tls) => {
                                    let Ok(stream) = tls.accept(stream).await else { return };
                                    echo(stream, ending, seen).await;
                                }
                            }
                        });
                    }
                };
                tokio::select! { () = accepting => {}, _ = stopped => {} }
            });
        });
        let url = format!("http://{}", address.recv().expect("it listens"));
        Self { url, ended, asked, thread: Some(thread), stop: Some(stop) }
    }

    /// How the next WebSocket that ends did: the code of the Close that came, if one did.
    fn ended(&self) -> Option<u16> {
        self.ended.recv_timeout(Duration::from_secs(10)).expect("a WebSocket ends")
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin, ending: Sender<Option<u16>>, seen: Handshakes) {
    #[expect(clippy::result_large_err, reason = "the error is tungstenite's")]
    let agree = |asked: &Asked, mut agreed: Agreed| {
        let fields = asked.headers().iter();
        let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()));
        seen.lock().expect("no panic while held").push(fields.collect());
        if asked.headers().contains_key("sec-websocket-protocol") {
            agreed.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
        }
        Ok(agreed)
    };
    let Ok(mut socket) = accept_hdr_async(stream, agree).await else { return };
    let mut code = None;
    while let Some(Ok(message)) = socket.next().await {
        let speaks = message.is_text() || message.is_binary();
        if let Message::Close(close) = message {
            code = close.map(|close| close.code.into());
        } else if speaks && socket.send(message).await.is_err() {
            break;
        }
    }
    let _ = ending.send(code);
}

/// A client's side.
type Socket = WebSocketStream<TcpStream>;

/// Opens one, or says with which status it was refused.
async fn open(gateway: &Gateway, target: &str, fields: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let stream = TcpStream::connect(gateway.address).await.expect("the gateway accepts");
    let mut request = format!("ws://api.example.com{target}").into_client_request().expect("a request");
    for (name, value) in fields {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
    }
    if let Some((_, token)) = fields.iter().find(|(name, _)| *name == "authorization") {
        gateway.secrets.add(token);
    }
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Says something and hears it back.
async fn speak(socket: &mut Socket, message: Message) {
    socket.send(message.clone()).await.expect("it is sent");
    let heard = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("in time");
    assert_eq!(heard.expect("open").expect("a message"), message);
}

/// The code of the Close with which it ends.
async fn closed(socket: &mut Socket) -> u16 {
    let ending = async {
        loop {
            let message = socket.next().await.expect("a Close before the end").expect("a Close before the end");
            if let Message::Close(close) = message {
                return close.expect("a code").code.into();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ending).await.expect("in time")
}

const TABLES: &str = "\n[[route]]\nname = \"ws\"\nprefix = \"/ws\"\nupstream = \"api\"\nauth = \"wallet\"\nwebsocket = true\n\
                      recheck = \"100ms\"\n\
                      [[route]]\nname = \"live\"\nprefix = \"/live\"\nupstream = \"api\"\nauth = \"subscription\"\n\
                      websocket = true\nrecheck = \"100ms\"\n\
                      [[route]]\nname = \"open\"\nprefix = \"/open\"\nupstream = \"api\"\nauth = \"none\"\nwebsocket = true\n\
                      idle_timeout = \"200ms\"\n";

fn over(echo: &Echo) -> Setup {
    Setup::to(&echo.url).tables(TABLES)
}

#[test]
fn a_websocket_carries_what_both_sides_say() {
    let echo = Echo::new();
    let gateway = over(&echo).start();
    let token = Wallet::evm(1).token();
    gateway.expect_metric("siwx_connections{protocol=\"ws\"}", 0.0);
    gateway.block_on(async {
        let fields = [("authorization", token.as_str()), ("sec-websocket-protocol", "chat")];
        let mut socket = open(&gateway, "/ws/room?x=1", &fields).await.expect("a WebSocket");
        speak(&mut socket, Message::text("hello")).await;
        for length in [0, 125, 126, 65_535, 65_536, 300_000] {
            speak(&mut socket, Message::binary(vec![7; length])).await;
        }
        socket.close(None).await.expect("it closes");
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
    });
    assert_eq!(echo.ended(), None);
    let asked = echo.asked.lock().expect("no panic while held").remove(0);
    let one = |name: &str| asked.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    assert_eq!(one("x-siwx-address"), Some(Wallet::evm(1).address().as_str()));
    assert_eq!((one("upgrade"), one("sec-websocket-version")), (Some("websocket"), Some("13")));
    assert!(one("authorization").is_none(), "the credential stays here");
    let line = &gateway.log_lines(1)[0];
    assert_eq!((line["status"].as_u64(), line["route"].as_str()), (Some(101), Some("ws")));
    assert!(line["code"].is_null() && line["aborted"].is_null(), "{line}");
    for direction in ["req_bytes", "resp_bytes"] {
        assert!(line[direction].as_u64() > Some(431_000), "{line}");
    }
    gateway.expect_metric("siwx_connections{protocol=\"ws\"}", 0.0);
    gateway.expect_metric("siwx_connections_total{protocol=\"ws\"}", 1.0);
    gateway.expect_metric("siwx_http_requests_in_flight", 0.0);
    gateway.expect_metric("siwx_upstream_connections{state=\"active\",upstream=\"api\"}", 0.0);
}

/// Where HTTP/2 was agreed on, a WebSocket was answered as if it were any other request.
#[test]
fn a_websocket_goes_by_http1_to_an_upstream_that_speaks_http2() {
    let authority = Authority::new();
    let (cert, key) = authority.issue("api", &["localhost"]);
    let files = CertificateFiles { hosts: vec!["localhost".to_owned()], cert, key };
    let settings = TlsSettings { tls12: true, certificates: vec![files], client_auth: None };
    // It offers both, and would take HTTP/2 if it could.
    let config = server_config(&settings, true).expect("a certificate").expect("one");
    let echo = Echo::start(Some(TlsAcceptor::from(config)));
    let url = echo.url.replace("http://127.0.0.1", "https://localhost");
    let ca = authority.file().display().to_string();
    let setup = Setup::to(&url).tables(TABLES).set("upstreams.api.http2", "true");
    let gateway = setup.set("upstreams.api.tls.ca", &ca).start();
    let token = Wallet::evm(1).token();
    gateway.block_on(async {
        for _ in 0..2 {
            let mut socket = open(&gateway, "/ws", &[("authorization", &token)]).await.expect("a WebSocket");
            speak(&mut socket, Message::text("hello")).await;
        }
    });
}

#[test]
fn what_is_revoked_while_it_is_open_ends_it() {
    let echo = Echo::new();
    let gateway = over(&echo).start();
    let wallet = Wallet::evm(1);
    let token = wallet.token();
    gateway.grant(&wallet, "nano");
    gateway.block_on(async {
        let mut socket = open(&gateway, "/live", &[("authorization", &token)]).await.expect("a WebSocket");
        speak(&mut socket, Message::text("hello")).await;
        // Many looks later it is still open.
        tokio::time::sleep(Duration::from_millis(400)).await;
        speak(&mut socket, Message::text("still here")).await;
        revoke(&gateway, &wallet).await;
        assert_eq!(closed(&mut socket).await, 1008);
    });
    assert_eq!(echo.ended(), Some(1008), "the service is told as well");
    assert_eq!(gateway.log_lines(1)[0]["code"], "no_subscription");
}

/// Revokes the plan as the admin API does.
async fn revoke(gateway: &Gateway, wallet: &Wallet) {
    let revoked = gateway.store.subscriptions().revoke(&key(wallet), "nano").await;
    assert!(revoked.expect("the store revokes"));
    gateway.gate.changed(&key(wallet));
}

#[test]
fn it_ends_with_its_credential_and_with_its_subscription() {
    let echo = Echo::new();
    let gateway = over(&echo).start();
    let (token, wallet) = (Wallet::evm(1).token(), Wallet::solana(2));
    let lasting = wallet.token();
    gateway.grant_until(&wallet, "nano", Term::Until(time("2026-11-20T10:30:00.000Z")));
    gateway.block_on(async {
        let mut one = open(&gateway, "/ws", &[("authorization", &token)]).await.expect("a WebSocket");
        let mut other = open(&gateway, "/live", &[("authorization", &lasting)]).await.expect("a WebSocket");
        gateway.set_time("2026-11-20T10:29:59.000Z");
        tokio::time::sleep(Duration::from_millis(300)).await;
        speak(&mut one, Message::text("a second before")).await;
        speak(&mut other, Message::text("a second before")).await;
        gateway.set_time("2026-11-20T10:30:00.000Z");
        assert_eq!(closed(&mut other).await, 1008, "the subscription ended");
        speak(&mut one, Message::text("a wallet is enough here")).await;
        gateway.set_time("2026-11-20T11:00:00.000Z");
        assert_eq!(closed(&mut one).await, 1008, "the message ended");
    });
    let lines = gateway.log_lines(2);
    // A line is written once the client has gone as well.
    let mut codes: Vec<_> = lines.iter().map(|line| line["code"].as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some("expired"), Some("subscription_expired")]);
}

#[test]
fn what_nobody_can_say_is_asked_again_and_is_a_no_then() {
    let echo = Echo::new();
    let flaky = Flaky::new();
    let gateway = over(&echo)
        .store(flaky.store())
        .set("cache.subscriptions.ttl", "1s")
        .set("cache.subscriptions.negative_ttl", "1s")
        .start();
    let wallet = Wallet::evm(1);
    let token = wallet.token();
    gateway.grant(&wallet, "nano");
    gateway.block_on(async {
        let mut socket = open(&gateway, "/live", &[("authorization", &token)]).await.expect("a WebSocket");
        speak(&mut socket, Message::text("hello")).await;
        flaky.fail(true);
        assert_eq!(closed(&mut socket).await, 1008);
    });
    assert_eq!(gateway.log_lines(1)[0]["code"], "store_unavailable");
}

#[test]
fn there_is_a_bound_on_them_and_on_those_of_one_account() {
    let echo = Echo::new();
    let gateway = over(&echo).set("limits.tunnels", "3").set("limits.tunnels_per_account", "2").start();
    let (one, other) = (Wallet::evm(1).token(), Wallet::solana(2).token());
    gateway.block_on(async {
        let first = open(&gateway, "/ws", &[("authorization", &one)]).await.expect("a WebSocket");
        let _second = open(&gateway, "/ws", &[("authorization", &one)]).await.expect("a WebSocket");
        assert_eq!(open(&gateway, "/ws", &[("authorization", &one)]).await.err(), Some(429));
        let _third = open(&gateway, "/ws", &[("authorization", &other)]).await.expect("another's");
        assert_eq!(open(&gateway, "/ws", &[("authorization", &other)]).await.err(), Some(503));
        drop(first);
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while open(&gateway, "/ws", &[("authorization", &one)]).await.is_err() {
            assert!(std::time::Instant::now() < end, "one that ended makes room");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let metrics = gateway.metrics();
    assert!(metrics.value("siwx_rate_limited_total{route=\"ws\",scope=\"account\"}") >= 1.0);
    assert!(metrics.value("siwx_http_rejected_total{reason=\"overload\"}") >= 1.0);
}

#[test]
fn a_drain_says_goodbye() {
    let echo = Echo::new();
    let mut gateway = over(&echo).set("server.drain_timeout", "10s").start();
    let token = Wallet::evm(1).token();
    let runtime = runtime();
    runtime.block_on(async {
        let mut socket = open(&gateway, "/ws", &[("authorization", &token)]).await.expect("a WebSocket");
        speak(&mut socket, Message::text("hello")).await;
        gateway.stop();
        assert_eq!(closed(&mut socket).await, 1001);
        drop(socket);
    });
    assert_eq!(echo.ended(), Some(1001));
    let begun = std::time::Instant::now();
    gateway.join();
    assert!(begun.elapsed() < Duration::from_secs(5), "the drain waits for nothing more");
}

#[test]
fn nobody_speaks_for_too_long() {
    let echo = Echo::new();
    let gateway = over(&echo).start();
    gateway.block_on(async {
        let mut socket = open(&gateway, "/open", &[]).await.expect("a WebSocket");
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            speak(&mut socket, Message::text("not silent")).await;
        }
        assert_eq!(closed(&mut socket).await, 1001);
    });
    assert_eq!(gateway.log_lines(1)[0]["code"], "idle");
}

#[test]
fn c32_s12_what_opens_none() {
    let echo = Echo::new();
    let gateway = over(&echo).start();
    let token = Wallet::evm(1).token();
    gateway.block_on(async {
        assert_eq!(open(&gateway, "/ws", &[]).await.err(), Some(401), "no credential");
        assert!(echo.asked.lock().expect("no panic while held").is_empty());
    });
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).tables(TABLES).start();
    let asking = |method: &str, target: &str, fields: &[(&str, &str)]| {
        let request = Request::new(method, target).token(&token);
        let request =
            request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").header("Sec-WebSocket-Version", "13");
        fields.iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    let usual = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let rows = [
        ("a route that allows none", asking("GET", "/wallet/x", &usual)),
        ("POST", asking("POST", "/ws", &usual)),
        ("another protocol", asking("GET", "/ws", &[("Connection", "Upgrade"), ("Upgrade", "h2c")])),
        ("two protocols", asking("GET", "/ws", &[("Connection", "Upgrade"), ("Upgrade", "websocket, x")])),
        ("not named by Connection", asking("GET", "/ws", &[("Upgrade", "websocket")])),
    ];
    for (name, request) in rows {
        let mut client = gateway.client();
        assert_eq!(client.send(&request).status, 200, "{name}");
        let seen = upstream.take_one();
        assert_eq!((seen.one("upgrade"), seen.one("connection")), (None, None), "{name}");
        // S12: what follows is a request that is judged on its own.
        assert_eq!(client.send(&Request::get("/wallet/x")).status, 401, "{name}");
        assert!(upstream.take().is_empty(), "{name}");
    }
    // The service does not agree: an answer like others, and no tunnel.
    let mut client = gateway.client();
    assert_eq!(client.send(&asking("GET", "/ws", &usual)).status, 200);
    assert_eq!(upstream.take_one().one("upgrade"), Some("websocket"));
    assert_eq!(client.send(&Request::get("/wallet/x")).status, 401);
    assert!(upstream.take().is_empty());
    let answer = gateway.block_on(async {
        let mut client = http2::Client::connect(gateway.address, Arc::clone(&gateway.secrets)).await;
        client.send(http2::get("http", "/ws", &[("authorization", &token)])).await
    });
    assert_eq!(answer.status, 200, "by HTTP/2 it is a request like others");
    assert_eq!(upstream.take_one().one("upgrade"), None);
}

#[test]
fn u5_a_101_of_another_protocol_opens_none() {
    let rows: [(&str, &'static [u8]); 4] = [
        ("another", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
        ("none", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n"),
        ("a list", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n"),
        ("no Connection", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
    ];
    for (name, bytes) in rows {
        let upstream = Upstream::saying(bytes);
        let gateway = Setup::over(&upstream).tables(TABLES).start();
        let status = gateway.block_on(async { open(&gateway, "/open", &[]).await.err() });
        assert_eq!(status, Some(502), "{name}");
        gateway.expect_metric("siwx_http_requests_in_flight", 0.0);
    }
}

/// A Close of ours never stands within a frame of the service's.
#[test]
fn a_frame_that_has_begun_is_brought_to_its_end() {
    let upstream = Upstream::scripted(|stream, _| {
        let mut reader = BufReader::new(stream);
        if read_request(&mut reader).is_some() {
            let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
            let stream = reader.get_mut();
            // Half of a frame of ten bytes; the rest once the gateway says goodbye.
            let _ = stream.write_all(head).and_then(|()| stream.write_all(b"\x82\x0ahello"));
            let mut bytes = [0; 64];
            // Well after the silence has been noticed, and well before the gateway gives up waiting for it.
            std::thread::sleep(Duration::from_secs(1));
            let _ = stream.write_all(b"world\x82\x01x");
            while stream.read(&mut bytes).is_ok_and(|length| length > 0) {}
        }
    });
    let gateway = Setup::over(&upstream).tables(TABLES).start();
    let mut client = gateway.client();
    let request = Request::get("/open").header("Connection", "Upgrade").header("Upgrade", "websocket");
    client.write(&request.bytes());
    let (status, _) = client.read_head().expect("an answer");
    assert_eq!(status, 101);
    let (mut heard, mut bytes) = (Vec::new(), [0; 64]);
    loop {
        match client.read_some(&mut bytes) {
            0 => break,
            length => heard.extend_from_slice(&bytes[..length]),
        }
    }
    assert_eq!(heard, b"\x82\x0ahelloworld\x88\x02\x03\xe9");
}
