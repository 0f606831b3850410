//! Listeners of other kinds: sockets in the file system, those that were handed over, and the one that sends elsewhere.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
};

use crate::harness::{Client, Gateway, Request, Setup, Upstream, http2};

fn by_file(gateway: &Gateway, path: &Path) -> Client {
    let stream = UnixStream::connect(path).expect("the gateway accepts");
    Client::over(Box::new(stream), Arc::clone(&gateway.secrets))
}

fn listening_on(upstream: &Upstream, path: &Path) -> Setup {
    Setup::over(upstream).set("server.listen", &format!("127.0.0.1:0,unix:{}", path.display()))
}

#[test]
fn a_socket_in_the_file_system_serves_and_goes_with_the_gateway() {
    let (upstream, directory) = (Upstream::ok(), tempfile::tempdir().expect("a directory"));
    let path = directory.path().join("siwx.sock");
    let mut gateway = listening_on(&upstream, &path).set("limits.connections_per_ip", "2").start();
    let mut clients = [by_file(&gateway, &path), by_file(&gateway, &path)];
    for client in &mut clients {
        assert_eq!(client.send(&Request::get("/public/x")).status, 200);
    }
    let seen = upstream.take();
    assert_eq!(seen[0].one("x-forwarded-for"), Some("unknown"), "{seen:?}");
    let mut third = by_file(&gateway, &path);
    let _ = third.try_write(&Request::get("/public/x").bytes());
    third.expect_close();
    gateway.expect_metric("siwx_connections_rejected_total{reason=\"ip_cap\"}", 1.0);
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200, "clients with an address count apart");
    drop(clients);
    gateway.join();
    assert!(!path.exists());
}

/// All clients of a proxy on the same machine counted as one, at an address that nobody has.
#[test]
fn a_trusted_proxy_on_a_socket_in_the_file_system_says_who_its_clients_are() {
    let (upstream, directory) = (Upstream::ok(), tempfile::tempdir().expect("a directory"));
    let path = directory.path().join("siwx.sock");
    let gateway = listening_on(&upstream, &path)
        .trusting(&["unix:"])
        .set("limits.connections_per_ip", "1")
        .set("limits.auth_failures", "1/h")
        .start();
    let mut clients: Vec<_> = (0..4).map(|_| by_file(&gateway, &path)).collect();
    let of = |client: &str| Request::get("/public/x").header("X-Forwarded-For", client);
    for (number, client) in clients.iter_mut().enumerate() {
        let address = format!("198.51.100.{number}");
        assert_eq!(client.send(&of(&format!("1.1.1.1, {address}"))).status, 200, "the cap is not the proxy's");
        let seen = upstream.take_one();
        assert_eq!(seen.one("x-real-ip"), Some(address.as_str()));
        assert_eq!(seen.one("x-forwarded-for"), Some(format!("{address}, unknown").as_str()));
    }
    let refused = |client: &str| Request::get("/wallet/x").token("SIWX nonsense").header("X-Forwarded-For", client);
    for (client, status) in [("198.51.100.7", 401), ("198.51.100.7", 429), ("198.51.100.8", 401)] {
        assert_eq!(clients[0].send(&refused(client)).status, status, "{client}");
    }
    assert_eq!(clients[1].send(&Request::get("/public/x")).status, 200);
    assert_eq!(upstream.take_one().one("x-real-ip"), Some("unknown"));
    let lines = gateway.log_lines(8);
    let told = |line: &serde_json::Value| ["client_ip", "peer_ip"].map(|field| line[field].as_str().map(str::to_owned));
    assert_eq!(told(&lines[0]), ["198.51.100.0", "unix:"].map(|text| Some(text.to_owned())));
    assert_eq!(told(&lines[7]), ["unix:", "unix:"].map(|text| Some(text.to_owned())));
    // Who comes by TCP is trusted no more than before.
    assert_eq!(gateway.send(&of("198.51.100.9")).status, 200);
    assert_eq!(upstream.take_one().one("x-real-ip"), Some("127.0.0.1"));
}

#[test]
fn a_trusted_proxy_on_a_socket_in_the_file_system_speaks_the_proxy_protocol() {
    let (upstream, directory) = (Upstream::ok(), tempfile::tempdir().expect("a directory"));
    let path = directory.path().join("siwx.sock");
    let gateway = listening_on(&upstream, &path).trusting(&["unix:"]).set("server.proxy_protocol", "v1").start();
    let request = Request::get("/public/x").header("X-Forwarded-For", "198.51.100.8").bytes();
    let mut client = by_file(&gateway, &path);
    client.write(&[b"PROXY TCP4 198.51.100.7 192.0.2.2 40000 443\r\n".as_slice(), &request].concat());
    assert_eq!(client.next("GET").expect("an answer").status, 200);
    assert_eq!(upstream.take_one().one("x-forwarded-for"), Some("198.51.100.7"));
    assert_eq!(gateway.log_lines(1)[0]["peer_ip"], "unix:");
    let mut client = by_file(&gateway, &path);
    let _ = client.try_write(&request);
    client.expect_close();
}

#[test]
fn http2_comes_by_a_socket_in_the_file_system_too() {
    let (upstream, directory) = (Upstream::ok(), tempfile::tempdir().expect("a directory"));
    let path = directory.path().join("siwx.sock");
    let gateway = listening_on(&upstream, &path).start();
    let mut stream = UnixStream::connect(&path).expect("the gateway accepts");
    // The preface in two pieces, and an empty SETTINGS frame.
    stream.write_all(b"P").expect("sent");
    stream.write_all(b"RI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("sent");
    let mut head = [0; 9];
    stream.read_exact(&mut head).expect("a frame");
    assert_eq!(head[3], 4, "SETTINGS: {head:?}");
    drop(stream);
    let _ = http2::get("http", "/public/x", &[]);
    gateway.expect_metric("siwx_connections_total{protocol=\"h2\"}", 1.0);
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_a_living_one_is_not() {
    let (upstream, directory) = (Upstream::ok(), tempfile::tempdir().expect("a directory"));
    let path = directory.path().join("siwx.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let gateway = listening_on(&upstream, &path).start();
    assert_eq!(by_file(&gateway, &path).send(&Request::get("/public/x")).status, 200);
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| listening_on(&upstream, &path).start()));
    let error = again.err().expect("it does not start");
    let text = error.downcast_ref::<String>().expect("a text");
    assert!(text.contains("cannot listen on unix:"), "{text}");
    assert_eq!(by_file(&gateway, &path).send(&Request::get("/public/x")).status, 200);
}

#[test]
fn the_redirecting_listener_sends_everybody_to_the_public_origin_and_does_nothing_else() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("server.http_redirect", "127.0.0.1:0").start();
    let address = gateway.redirect_address.expect("an address");
    let rows = [
        ("GET /public/x?a=b HTTP/1.1\r\nHost: evil.example\r\n\r\n", "https://api.example.com/public/x?a=b"),
        ("GET //evil.example/x HTTP/1.1\r\nHost: a\r\n\r\n", "https://api.example.com//evil.example/x"),
        ("GET http://evil.example/x HTTP/1.1\r\nHost: a\r\n\r\n", "https://api.example.com/x"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "https://api.example.com/"),
        ("POST /wallet/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "https://api.example.com/wallet/x"),
    ];
    for (request, location) in rows {
        let mut stream = TcpStream::connect(address).expect("the gateway accepts");
        stream.write_all(request.as_bytes()).expect("sent");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 308 "), "{request}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "one answer: {answer}");
        assert!(answer.contains(&format!("\r\nlocation: {location}\r\n")), "{request}: {answer}");
    }
    assert!(upstream.take().is_empty());
}
