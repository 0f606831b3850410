//! The listeners: TLS, HTTP/2, bounds on connections, deadlines and the drain.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::{Arc, mpsc},
    time::Duration,
};

use rustls::version::{TLS12, TLS13};

use crate::harness::{
    Client, Gateway, Request, Setup, Upstream, Wallet, http2,
    tls::{self, Authority},
    upstream::read_request,
};

/// A gateway with TLS: one certificate for `api.example.com`, one for `other.example.com` and all below it.
fn with_tls(upstream: &Upstream, authority: &Authority) -> Setup {
    let tables = authority.tables(&[&["api.example.com"], &["other.example.com", "*.other.example.com"]]);
    Setup::over(upstream).tables(&tables)
}

fn over_tls(gateway: &Gateway, config: &Arc<rustls::ClientConfig>, name: &str) -> Client {
    let stream = tls::connect(gateway.address, Arc::clone(config), name).expect("a handshake");
    Client::over(Box::new(stream), Arc::clone(&gateway.secrets))
}

#[test]
fn tls_versions() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    for (min_version, tls12) in [("1.2", true), ("1.3", false)] {
        let gateway = with_tls(&upstream, &authority).set("tls.min_version", min_version).start();
        let shake =
            |version| tls::connect(gateway.address, authority.client(&[version], &[]), "api.example.com").is_ok();
        assert_eq!((shake(&TLS12), shake(&TLS13)), (tls12, true), "{min_version}");
        let mut client = over_tls(&gateway, &authority.client(&[&TLS13], &["http/1.1"]), "api.example.com");
        let answer = client.send(&Request::get("/wallet/x").token(&Wallet::evm(1).token()));
        assert_eq!(answer.status, 200);
        let line = gateway.log_lines(1).remove(0);
        assert_eq!((line["tls"].as_str(), line["proto"].as_str()), (Some("1.3"), Some("HTTP/1.1")));
        let ok = gateway.metrics().value("siwx_tls_handshakes_total{result=\"ok\",version=\"1.3\"}");
        assert!(ok >= 1.0, "{ok}");
    }
    let gateway = with_tls(&upstream, &authority).start();
    let mut plain = TcpStream::connect(gateway.address).expect("the gateway accepts");
    plain.write_all(&Request::get("/public/x").bytes()).expect("sent");
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "plain HTTP is not spoken on a TLS listener");
    gateway.expect_metric("siwx_tls_handshakes_total{result=\"error\",version=\"none\"}", 1.0);
}

#[test]
fn p16_certificates_by_name() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let routes = "[[route]]\nname = \"below\"\nprefix = \"/public\"\nhost = \"x.other.example.com\"\nupstream = \"api\"\nauth = \"none\"\n";
    let gateway = with_tls(&upstream, &authority).tables(routes).start();
    let config = authority.client(&[&TLS13, &TLS12], &[]);
    let leaf = |name: &str| {
        // A name that no certificate is for fails the client's own check.
        let stream = tls::connect(gateway.address, Arc::clone(&config), name).ok()?;
        Some(tls::leaf(&stream.conn))
    };
    let (first, second, below) = (leaf("api.example.com"), leaf("other.example.com"), leaf("x.other.example.com"));
    assert!(first.is_some() && second.is_some() && first != second);
    assert_eq!(second, below, "a wildcard covers one label");
    assert_eq!(leaf("x.y.other.example.com"), None, "and only one");
    assert_eq!(leaf("evil.example"), None);
    let rows = [
        ("its own", "api.example.com", "api.example.com", 200),
        ("the other's own", "other.example.com", "other.example.com", 200),
        ("another letter case and port", "api.example.com", "API.example.com:443", 200),
        ("under the same certificate", "other.example.com", "x.other.example.com", 200),
        ("another certificate's", "api.example.com", "other.example.com", 421),
        ("the other way round", "other.example.com", "api.example.com", 421),
        ("not served", "api.example.com", "evil.example", 421),
    ];
    for (name, sni, host, status) in rows {
        let mut client = over_tls(&gateway, &config, sni);
        assert_eq!(client.send(&Request::get("/public/x").host(host)).status, status, "{name}");
    }
    let mut anonymous = (*config).clone();
    anonymous.enable_sni = false;
    let mut client = over_tls(&gateway, &Arc::new(anonymous), "api.example.com");
    assert_eq!(client.send(&Request::get("/public/x").host("other.example.com")).status, 200, "no name, any host");
}

#[test]
fn http2_by_alpn() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    for (enabled, expected) in [("true", Some(&b"h2"[..])), ("false", Some(&b"http/1.1"[..]))] {
        let gateway = with_tls(&upstream, &authority).set("server.http2", enabled).start();
        let config = authority.client(&[&TLS13], &["h2", "http/1.1"]);
        let stream = tls::connect(gateway.address, Arc::clone(&config), "api.example.com").expect("a handshake");
        assert_eq!(stream.conn.alpn_protocol(), expected, "http2 = {enabled}");
        drop(stream);
        if enabled == "false" {
            continue;
        }
        let statuses = gateway.block_on(async {
            let stream = tokio::net::TcpStream::connect(gateway.address).await.expect("the gateway accepts");
            let name = "api.example.com".try_into().expect("a name");
            let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.expect("a handshake");
            let mut client = http2::Client::over(stream, Arc::clone(&gateway.secrets)).await;
            let token = Wallet::solana(1).token();
            let good = client.send(http2::get("https", "/wallet/x", &[("authorization", &token)])).await;
            let bare = client.send(http2::get("https", "/wallet/x", &[])).await;
            [good.status, bare.status]
        });
        assert_eq!(statuses, [200, 401]);
        let line = gateway.log_lines(2).remove(0);
        assert_eq!((line["tls"].as_str(), line["proto"].as_str()), (Some("1.3"), Some("HTTP/2.0")));
    }
}

#[test]
fn http2_by_prior_knowledge() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let wallet = Wallet::evm(1);
    let token = wallet.token();
    gateway.block_on(async {
        let mut client = http2::Client::connect(gateway.address, Arc::clone(&gateway.secrets)).await;
        // C13: each stream is judged by itself.
        for expected in [200, 401, 200, 401] {
            let fields: &[(&str, &str)] = if expected == 200 { &[("authorization", &token)] } else { &[] };
            let answer = client.send(http2::get("http", "/wallet/x", fields)).await;
            assert_eq!(answer.status, expected);
        }
        assert_eq!(upstream.take().len(), 2);

        let crumbs =
            [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3"), ("te", "trailers"), ("x-siwx-plan", "gold")];
        assert_eq!(client.send(http2::get("http", "/public/x?q", &crumbs)).await.status, 200);
        let seen = upstream.take_one();
        assert_eq!((seen.target.as_str(), seen.one("cookie")), ("/public/x?q", Some("a=1; b=2; c=3")));
        assert_eq!(
            (seen.one("host"), seen.one("te"), seen.one("x-siwx-plan")),
            (Some("api.example.com"), Some("trailers"), None)
        );

        let agreeing = http2::get("http", "/public/x", &[("host", "api.example.com")]);
        assert_eq!(client.send(agreeing).await.status, 200, "a host that agrees with :authority");
        let differing = http2::get("http", "/public/x", &[("host", "other.example.com")]);
        assert_eq!(client.send(differing).await.outcome(), (400, "bad_request".to_owned()), "T4");
        let elsewhere = http::Request::get("http://evil.example/public/x").body(Default::default()).expect("a request");
        assert_eq!(client.send(elsewhere).await.outcome(), (421, "unknown_host".to_owned()));
        let dotted = http2::get("http", "/public/../wallet/x", &[]);
        assert_eq!(client.send(dotted).await.outcome(), (400, "bad_path".to_owned()));
        upstream.take();

        let body = bytes::Bytes::from(vec![7; 300_000]);
        let trailers = [("x-siwx-address", "spoofed"), ("x-checksum", "1")];
        let post = http2::post("/public/x", body.clone(), &trailers);
        assert_eq!(client.send(post).await.status, 200);
        let head = http::Request::head("http://api.example.com/wallet/x").body(Default::default()).expect("a request");
        assert_eq!(client.send(head).await.status, 401, "HEAD has no body");
        assert_eq!(upstream.take_one().body, body);

        let two = http2::get("http", "/wallet/x", &[("authorization", &token), ("authorization", &token)]);
        assert_eq!(client.send(two).await.outcome(), (400, "conflicting_credentials".to_owned()));
    });
    let off = Setup::over(&upstream).set("server.http2", "false").start();
    let mut client = off.client();
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(client.next("GET").is_none_or(|answer| answer.status == 400), "HTTP/2 is off");
}

#[test]
fn u8_trailers_over_http2() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Checksum: 1\r\nGRPC-Status: 0\r\n\
          X-SIWX-Address: spoofed\r\nContent-Length: 7\r\nSet-Cookie: a=1\r\nCache-Control: public\r\n\r\n"
            .to_vec()
    });
    let gateway = Setup::over(&upstream).start();
    let answer = gateway.block_on(async {
        let mut client = http2::Client::connect(gateway.address, Arc::clone(&gateway.secrets)).await;
        client.send(http2::get("http", "/public/x", &[("te", "trailers")])).await
    });
    let names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["date", "x-checksum", "grpc-status"]);
}

#[test]
fn u4_over_http2_a_broken_answer_has_no_clean_end() {
    let upstream =
        Upstream::saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-stub: 1\r\n\r\n5\r\nshort\r\n");
    let gateway = Setup::over(&upstream).start();
    gateway.block_on(async {
        let mut client = http2::Client::connect(gateway.address, Arc::clone(&gateway.secrets)).await;
        if let Some(answer) = client.try_send(http2::get("http", "/public/x", &[])).await {
            assert!(!answer.whole, "{answer:?}");
        }
    });
}

#[test]
fn an_upstream_over_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (cert, key) = authority.issue("upstream", &["inside.example"]);
    let chain = vec![rustls::pki_types::pem::PemObject::from_pem_file(&cert).expect("a certificate")];
    let key = rustls::pki_types::pem::PemObject::from_pem_file(&key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map(Arc::new)
        .expect("a configuration");
    let upstream = Upstream::scripted(move |mut stream, _| {
        let mut session = rustls::ServerConnection::new(Arc::clone(&config)).expect("a session");
        let mut stream = rustls::Stream::new(&mut session, &mut stream);
        let mut head = Vec::new();
        let mut byte = [0];
        loop {
            while !head.ends_with(b"\r\n\r\n") {
                if !matches!(stream.read(&mut byte), Ok(1)) {
                    return;
                }
                head.push(byte[0]);
            }
            head.clear();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-stub: 1\r\n\r\nok");
        }
    });
    let url = format!("https://localhost:{}", upstream.address.port());
    let rows = [
        ("the right authority and name", &authority, "inside.example", 200),
        ("another name", &authority, "elsewhere.example", 502),
        ("another authority", &stranger, "inside.example", 502),
    ];
    for (name, trusted, server_name, status) in rows {
        let tls = format!("[upstreams.api.tls]\nca = {:?}\nserver_name = \"{server_name}\"\n", trusted.file());
        let gateway = Setup::to(&url).tables(&tls).start();
        for _ in 0..2 {
            assert_eq!(gateway.send(&Request::get("/public/x")).status, status, "{name}");
        }
        let errors = gateway.metrics().value("siwx_upstream_errors_total{kind=\"tls\",upstream=\"api\"}");
        assert_eq!(errors, if status == 200 { 0.0 } else { 2.0 }, "{name}");
    }
}

#[test]
fn x3_connections_are_bounded() {
    let upstream = Upstream::ok();
    let rows = [("limits.connections", "global_cap"), ("limits.connections_per_ip", "ip_cap")];
    for (key, reason) in rows {
        let gateway = Setup::over(&upstream).set(key, "3").start();
        let mut held: Vec<Client> = (0..3).map(|_| gateway.client()).collect();
        for client in &mut held {
            assert_eq!(client.send(&Request::get("/public/x")).status, 200, "{reason}");
        }
        for _ in 0..2 {
            let mut refused = gateway.client();
            let _ = refused.try_write(&Request::get("/public/x").bytes());
            refused.expect_close();
        }
        gateway.expect_metric(&format!("siwx_connections_rejected_total{{reason=\"{reason}\"}}"), 2.0);
        assert_eq!(held[0].send(&Request::get("/public/x")).status, 200, "{reason}: the others are served");
        assert_eq!(gateway.admin(Request::get("/livez")).status, 200, "{reason}: the private listener is apart");
        held.pop();
        gateway.expect_metric("siwx_connections{protocol=\"h1\"}", 2.0);
        assert_eq!(gateway.send(&Request::get("/public/x")).status, 200, "{reason}: there is room again");
    }
}

#[test]
fn x1_slow_heads_are_cut() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway = Setup::over(&upstream).set("limits.header_timeout", "100ms").start();
    let beginnings: [(&str, &[u8]); 6] = [
        ("nothing", b""),
        ("one byte", b"G"),
        ("half a line", b"GET /public/x HT"),
        ("half a head", b"GET /public/x HTTP/1.1\r\nHost: api.example.com\r\n"),
        ("half the preface of HTTP/2", b"PR"),
        ("more of it", b"PRI * HTTP/2.0\r\n"),
    ];
    for (name, bytes) in beginnings {
        let mut client = gateway.client();
        client.write(bytes);
        match client.next("GET") {
            None => {}
            Some(answer) => assert_eq!(answer.outcome(), (408, "request_timeout".to_owned()), "{name}"),
        }
    }
    let mut second = gateway.client();
    assert_eq!(second.send(&Request::get("/public/x")).status, 200);
    second.write(b"GET /public/x HTTP/1.1\r\nHo");
    assert_eq!(second.read().outcome(), (408, "request_timeout".to_owned()));
    second.expect_close();
    assert_eq!(upstream.take().len(), 1);

    let gateway = with_tls(&upstream, &authority).set("limits.handshake_timeout", "100ms").start();
    for hello in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut stream = TcpStream::connect(gateway.address).expect("the gateway accepts");
        stream.write_all(hello).expect("sent");
        let _ = stream.read_to_end(&mut Vec::new());
    }
    gateway.expect_metric("siwx_connections_rejected_total{reason=\"handshake_timeout\"}", 2.0);
    gateway.expect_metric("siwx_tls_handshakes_total{result=\"timeout\",version=\"none\"}", 2.0);
}

#[test]
fn draining_finishes_what_is_in_flight() {
    let (arrived, arrivals) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::scripted(move |stream, _| {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read_request(&mut reader) {
            if request.target == "/public/slow" {
                let _ = arrived.send(());
                let _ = released.lock().expect("no panic while held").recv();
            }
            let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-stub: 1\r\n\r\nok");
        }
    });
    let mut gateway = Setup::over(&upstream).set("server.drain_timeout", "20s").start();
    let (mut idle, mut busy) = (gateway.client(), gateway.client());
    assert_eq!(idle.send(&Request::get("/public/x")).status, 200);
    busy.write(&Request::get("/public/slow").bytes());
    arrivals.recv().expect("the request is with the upstream");
    gateway.stop();
    idle.expect_close();
    // The listener closes a moment after; then nobody is let in any more.
    let refused = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(2));
        TcpStream::connect(gateway.address).is_err()
    });
    assert!(refused, "new connections are refused");
    release.send(()).expect("the upstream waits");
    let answer = busy.read();
    assert_eq!((answer.status, answer.one("connection")), (200, Some("close")));
    busy.expect_close();
    gateway.join();
}

#[test]
fn draining_ends_with_its_time() {
    let (arrived, arrivals) = mpsc::channel();
    let upstream = Upstream::scripted(move |stream, _| {
        let mut reader = BufReader::new(stream);
        read_request(&mut reader);
        let _ = arrived.send(());
        let _ = reader.read_to_end(&mut Vec::new());
    });
    let mut gateway = Setup::over(&upstream).set("server.drain_timeout", "50ms").start();
    let mut stuck = gateway.client();
    stuck.write(&Request::get("/public/x").bytes());
    arrivals.recv().expect("the request is with the upstream");
    gateway.join();
    stuck.expect_close();
    let line = gateway.log_lines(1).remove(0);
    assert_eq!(line["status"], 499, "what was cut is logged as well: {line}");
}

#[test]
fn while_draining_is_announced_requests_are_served() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::over(&upstream).set("server.drain_delay", "1s").start();
    gateway.expect_metric("siwx_ready{check=\"store\"}", 1.0);
    assert_eq!(gateway.admin(Request::get("/readyz")).status, 200);
    gateway.stop();
    gateway.expect_metric("siwx_draining", 1.0);
    assert_eq!(gateway.admin(Request::get("/readyz")).status, 503);
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200, "balancers have not noticed yet");
}

#[test]
fn the_admin_token_never_travels_in_clear_off_loopback() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway = with_tls(&upstream, &authority).set("admin.listen", "0.0.0.0:0").start();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.admin_address.port()));
    let config = authority.client(&[&TLS13], &[]);
    let mut stream = tls::connect(address, config, "api.example.com").expect("the private listener speaks TLS");
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(said.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said));

    let mut plain = TcpStream::connect(address).expect("accepted");
    plain.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&said));
}

/// Over HTTP/2 a refusal of a HEAD came with its body, which is a fault of the stream.
#[test]
fn a_refused_head_over_http2_has_no_body() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    gateway.block_on(async {
        let mut client = http2::Client::connect(gateway.address, Arc::clone(&gateway.secrets)).await;
        let whole = client.send(http2::get("http", "/wallet/x", &[])).await;
        let mut head = http2::get("http", "/wallet/x", &[]);
        *head.method_mut() = http::Method::HEAD;
        let answer = client.send(head).await;
        assert_eq!((answer.status, answer.whole, answer.body.len()), (401, true, 0));
        assert_eq!(answer.one("content-length"), Some(whole.body.len().to_string().as_str()));
    });
}
