//! Clients that take their time, all of it, or never end (hardening.md rows X1 to X3, and section 2).

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

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
