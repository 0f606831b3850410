//! Clients that take their time, all of it, or never end (hardening.md rows X1 to X3, and section 2).

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::harness::{Client, Gateway, Request, Setup, Upstream, frames};

const HEAD: &[u8] = b"GET /public/x HTTP/1.1\r\nHost: api.example.com\r\n";

fn connections(gateway: &Gateway, protocol: &str, count: f64) {
    gateway.expect_metric(&format!("siwx_connections{{protocol=\"{protocol}\"}}"), count);
}

#[test]
fn x1_a_head_byte_by_byte_has_its_time_from_its_first_byte() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("limits.header_timeout", "300ms").start();
    let slowly = |client: &mut Client| {
        let begun = Instant::now();
        for byte in HEAD.repeat(3) {
            if client.try_write(&[byte]).is_err() || begun.elapsed() > Duration::from_millis(600) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(client.read().outcome(), (408, "request_timeout".to_owned()));
        client.expect_close();
    };
    slowly(&mut gateway.client());
    let mut used = gateway.client();
    assert_eq!(used.send(&Request::get("/public/x")).status, 200);
    // Between requests it may wait for longer than a head may take.
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(used.send(&Request::get("/public/x")).status, 200);
    slowly(&mut used);
    assert_eq!(upstream.take().len(), 2);
    gateway.expect_metric("siwx_http_rejected_total{reason=\"timeout\"}", 2.0);
}

#[test]
fn x1_who_says_nothing_is_left_without_a_word() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("limits.header_timeout", "100ms").start();
    for bytes in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut client = TcpStream::connect(gateway.address).expect("the gateway accepts");
        client.write_all(bytes).expect("sent");
        let mut all = Vec::new();
        // What it did not read may end in a reset.
        let _ = client.read_to_end(&mut all);
        // A client of HTTP/2 was told the settings, and nothing else.
        assert!(!all.starts_with(b"HTTP"), "{all:?}");
    }
    gateway.expect_metric("siwx_http_rejected_total{reason=\"timeout\"}", 3.0);
}

#[test]
fn idle_connections_end_without_a_word() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("limits.idle_timeout", "150ms").start();
    let mut client = gateway.client();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(client.send(&Request::get("/public/x")).status, 200);
    }
    client.write(b"\r\n");
    client.expect_close();
    let mut streams = frames::Frames::connect(&gateway, &[]);
    streams.write(&frames::request(1, &frames::get("/public/x"), true));
    assert_eq!(streams.end_of(1), frames::End::Answered(200));
    connections(&gateway, "h1", 0.0);
    gateway.expect_metric("siwx_http_rejected_total{reason=\"timeout\"}", 0.0);
}

/// The head of HTTP/2 has ten seconds at first; being idle is looked at after them.
#[test]
fn idle_connections_of_http2_end_too() {
    let upstream = Upstream::ok();
    let gateway =
        Setup::over(&upstream).set("limits.header_timeout", "100ms").set("limits.idle_timeout", "200ms").start();
    let mut client = frames::Frames::connect(&gateway, &[]);
    client.write(&frames::request(1, &frames::get("/public/x"), true));
    assert_eq!(client.end_of(1), frames::End::Answered(200));
    assert_eq!(client.goaway(), None, "it ends without an error");
    connections(&gateway, "h2", 0.0);
}

#[test]
fn a_connection_has_so_many_requests() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("limits.requests_per_connection", "3").start();
    let mut client = gateway.client();
    let request = Request::get("/public/x");
    client.write(&request.bytes().repeat(5));
    for last in [false, false, true] {
        let answer = client.read();
        assert_eq!((answer.status, answer.one("connection") == Some("close")), (200, last));
    }
    client.expect_close();
    assert_eq!(upstream.take().len(), 3);
    assert_eq!(gateway.send(&request).status, 200);
}

#[test]
fn x2_a_client_that_stops_reading_is_cut() {
    let upstream = Upstream::answering(|seen| {
        let length = if seen.target.ends_with("large") { 32_000_000 } else { 2 };
        let mut bytes = format!("HTTP/1.1 200 OK\r\nx-stub: 1\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        bytes.resize(bytes.len() + length, b'x');
        bytes
    });
    let gateway = Setup::over(&upstream).set("limits.body_idle_timeout", "200ms").start();
    let mut deaf = gateway.client();
    deaf.write(&Request::get("/public/large").bytes());
    let mut polite = gateway.client();
    assert_eq!(polite.send(&Request::get("/public/small")).status, 200);
    connections(&gateway, "h1", 1.0);
    assert_eq!(polite.send(&Request::get("/public/small")).status, 200, "others go on");
    gateway.expect_metric("siwx_http_requests_in_flight", 0.0);
    drop(deaf);
}

#[test]
fn x2_a_body_that_stops_is_answered_408() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("limits.body_idle_timeout", "100ms").start();
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = gateway.client();
        let head = format!("POST /public/x HTTP/1.1\r\nHost: api.example.com\r\n{framing}\r\n\r\n5");
        client.write(head.as_bytes());
        assert_eq!(client.read().outcome(), (408, "request_timeout".to_owned()), "{framing}");
        client.expect_close();
    }
    assert_eq!(upstream.take().len(), 0);
}

/// A head that has begun when the gateway drains is a request like any other in flight.
#[test]
fn a_head_that_began_before_the_drain_is_served() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::over(&upstream).set("server.drain_timeout", "20s").start();
    let (mut used, mut idle) = (gateway.client(), gateway.client());
    for client in [&mut used, &mut idle] {
        assert_eq!(client.send(&Request::get("/public/x")).status, 200);
    }
    used.write(HEAD);
    // It has to be read before the drain begins: what follows on another connection of the one worker comes after it.
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200);
    gateway.stop();
    idle.expect_close();
    used.write(b"\r\n");
    let answer = used.read();
    assert_eq!((answer.status, answer.one("connection")), (200, Some("close")));
    used.expect_close();
    gateway.join();
    assert_eq!(upstream.take().len(), 4);
}

/// What a request comes to on a connection that begins at an address of this machine: its status; nothing if the
/// connection was closed; an error if it did not begin in time.
fn asked_from(gateway: &Gateway, from: [u8; 4], patience: Duration) -> std::io::Result<Option<u16>> {
    let stream = match begin_from(gateway, from, patience) {
        // Closed on before this side had looked.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
        begun => begun?,
    };
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut client = Client::over(Box::new(stream), std::sync::Arc::clone(&gateway.secrets));
    // Whoever is refused may be so before the last byte.
    let _ = client.try_write(&Request::get("/public/x").bytes());
    Ok(client.next("GET").map(|answer| answer.status))
}

fn begin_from(gateway: &Gateway, from: [u8; 4], patience: Duration) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&gateway.address.into(), patience)?;
    Ok(socket.into())
}

/// Less than TCP takes to try again.
const AT_ONCE: Duration = Duration::from_millis(300);

#[test]
fn x3_who_goes_on_after_the_cap_is_not_heard_for_a_while() {
    const GREEDY: [u8; 4] = [127, 0, 0, 7];
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("limits.connections_per_ip", "1").set("server.workers", "1").start();
    let _held = begin_from(&gateway, GREEDY, AT_ONCE).expect("the first one");
    gateway.expect_metric("siwx_connections_rejected_total{reason=\"ip_cap\"}", 0.0);
    let begun = Instant::now();
    let mut refused = 0;
    let unheard = loop {
        match asked_from(&gateway, GREEDY, AT_ONCE) {
            Ok(None) => refused += 1,
            Ok(Some(status)) => panic!("answered {status} after {refused} refusals"),
            Err(error) => break error,
        }
        assert!(refused < 5000, "never paused");
    };
    assert_eq!(unheard.kind(), std::io::ErrorKind::TimedOut, "{unheard}");
    assert!(refused >= 64, "paused after {refused} refusals in {:?}", begun.elapsed());
    gateway.expect_metric("siwx_address_pauses_total{reason=\"ip_cap\"}", 1.0);
    // A second later it is heard, and refused, as before; TCP tries again by itself.
    assert_eq!(asked_from(&gateway, GREEDY, Duration::from_secs(20)).expect("heard again"), None);
}

#[test]
fn t8_who_floods_again_and_again_is_not_heard_for_a_while() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("server.workers", "1").start();
    let mut polite = gateway.client();
    assert_eq!(polite.send(&Request::get("/public/x")).status, 200);
    for number in 0..=20 {
        let mut client = frames::Frames::connect(&gateway, &[]);
        client.write(&frames::frame(frames::PING, 0, 0, &[0; 8]).repeat(50));
        assert_eq!(client.goaway(), Some(11), "flood {number}");
    }
    gateway.expect_metric("siwx_address_pauses_total{reason=\"h2_flood\"}", 1.0);
    // The worker learns of it with the next that comes, which is refused as well.
    let unheard = loop {
        match asked_from(&gateway, [127, 0, 0, 1], AT_ONCE) {
            Ok(refused) => assert_eq!(refused, None),
            Err(error) => break error,
        }
    };
    assert_eq!(unheard.kind(), std::io::ErrorKind::TimedOut, "{unheard}");
    assert_eq!(polite.send(&Request::get("/public/x")).status, 200, "what it had goes on");
    assert_eq!(asked_from(&gateway, [127, 0, 0, 9], AT_ONCE).expect("another address"), Some(200));
}

#[test]
fn trusted_proxies_are_never_paused() {
    let upstream = Upstream::ok();
    let setup = Setup::over(&upstream).trusting(&["127.0.0.1"]).set("limits.connections_per_ip", "1");
    let gateway = setup.set("server.workers", "1").start();
    for number in 0..50 {
        let mut client = frames::Frames::connect(&gateway, &[]);
        client.write(&frames::frame(frames::PING, 0, 0, &[0; 8]).repeat(50));
        assert_eq!(client.goaway(), Some(11), "flood {number}");
    }
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200);
    gateway.expect_metric("siwx_address_pauses_total{reason=\"h2_flood\"}", 0.0);
}
