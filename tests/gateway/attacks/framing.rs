//! Heads and bodies of HTTP/1 that are none, each tried where it could do harm: first on a connection, after a request
//! that was served, right behind one in the same write, and in pieces.

use std::{io::Write as _, time::Duration};

use crate::harness::{Answer, Client, Gateway, Request, Setup, Upstream};

const HOST: &str = "Host: api.example.com\r\n";

/// What an attacker hides behind a request.
const SMUGGLED: &str = "GET /public/smuggled HTTP/1.1\r\nHost: api.example.com\r\n\r\n";

const BAD: (u16, &str) = (400, "bad_request");
const PATH: (u16, &str) = (400, "bad_path");
const CODING: (u16, &str) = (501, "transfer_coding_not_supported");
const LARGE: (u16, &str) = (431, "head_too_large");
const LONG: (u16, &str) = (414, "target_too_long");

/// A row's id, what is wrong, the bytes, the answer.
type Row = (&'static str, &'static str, Vec<u8>, (u16, &'static str));

/// Longer ones are not sent in small pieces: that takes long and shows nothing more.
const WHOLE: usize = 10_000;

fn start(upstream: &Upstream) -> Gateway {
    Setup::over(upstream).set("limits.auth_failures", "off").start()
}

/// A request line and fields as they are.
fn raw(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\n{fields}\r\n").into_bytes()
}

/// GET with these fields.
fn with(fields: &str) -> Vec<u8> {
    raw("GET /public/x HTTP/1.1", &format!("{HOST}{fields}"))
}

/// POST with these fields about a body, and one in chunks.
fn framed(fields: &str) -> Vec<u8> {
    let head = raw("POST /public/x HTTP/1.1", &format!("{HOST}{fields}"));
    [head.as_slice(), b"5\r\nhello\r\n0\r\n\r\n"].concat()
}

fn line(line: &str) -> Vec<u8> {
    raw(line, HOST)
}

/// GET of a target of these bytes.
fn target(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: api.example.com\r\n\r\n"].concat()
}

fn all() -> Vec<Row> {
    let many = (0..100).map(|i| format!("X-{i}: 1\r\n")).collect::<String>();
    vec![
        ("S1", "a length before a coding", framed("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), BAD),
        ("S1", "a length behind a coding", framed("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), BAD),
        ("S1", "in odd case", framed("cOnTeNt-LeNgTh: 80\r\nX: y\r\ntRaNsFeR-eNcOdInG: cHuNkEd\r\n"), BAD),
        ("S2", "a coding before it", framed("Transfer-Encoding: gzip, chunked\r\n"), CODING),
        ("S2", "identity before it", framed("Transfer-Encoding: identity, chunked\r\n"), CODING),
        ("S2", "identity", framed("Transfer-Encoding: identity\r\n"), CODING),
        ("S2", "chunked twice", framed("Transfer-Encoding: chunked, chunked\r\n"), CODING),
        ("S2", "two fields", framed("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), CODING),
        ("S2", "two that differ", framed("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"), CODING),
        ("S2", "quotes", framed("Transfer-Encoding: \"chunked\"\r\n"), CODING),
        ("S2", "a parameter", framed("Transfer-Encoding: chunked;q=1\r\n"), CODING),
        ("S2", "a comma", framed("Transfer-Encoding: chunked,\r\n"), CODING),
        ("S2", "none", framed("Transfer-Encoding:\r\n"), CODING),
        ("S2", "a control byte", framed("Transfer-Encoding: \x0bchunked\r\n"), BAD),
        ("S2", "a blank before the colon", framed("Transfer-Encoding : chunked\r\n"), BAD),
        ("S2", "folded", framed("Transfer-Encoding:\r\n chunked\r\n"), CODING),
        ("S2", "folded behind it", framed("Transfer-Encoding: chunked\r\n , gzip\r\n"), BAD),
        ("S2", "in HTTP/1.0", raw("POST / HTTP/1.0", &format!("{HOST}Transfer-Encoding: chunked\r\n")), BAD),
        ("S3", "two lengths", framed("Content-Length: 5\r\nContent-Length: 6\r\n"), BAD),
        ("S3", "two that agree", framed("Content-Length: 15\r\nContent-Length: 15\r\n"), BAD),
        ("S3", "a list", framed("Content-Length: 5, 5\r\n"), BAD),
        ("S3", "a sign", framed("Content-Length: +5\r\n"), BAD),
        ("S3", "below zero", framed("Content-Length: -5\r\n"), BAD),
        ("S3", "hex", framed("Content-Length: 0x5\r\n"), BAD),
        ("S3", "an exponent", framed("Content-Length: 5e0\r\n"), BAD),
        ("S3", "none", framed("Content-Length: \r\n"), BAD),
        ("S3", "a blank within", framed("Content-Length: 1 5\r\n"), BAD),
        ("S3", "2^63", framed("Content-Length: 9223372036854775808\r\n"), BAD),
        ("S3", "beyond 2^64", framed("Content-Length: 18446744073709551631\r\n"), BAD),
        ("S6", "a bare CR in a value", with("X-A: a\rb\r\n"), BAD),
        ("S6", "a NUL in a value", with("X-A: a\0b\r\n"), BAD),
        ("S6", "another control byte", with("X-A: a\x1bb\r\n"), BAD),
        ("S6", "DEL", with("X-A: a\x7fb\r\n"), BAD),
        ("S6", "no name", with(": a\r\n"), BAD),
        ("S6", "a name that is no token", with("X(A): a\r\n"), BAD),
        ("S6", "a name beyond ASCII", with("X-\u{e4}: a\r\n"), BAD),
        ("S6", "a blank before the colon", with("X-A : a\r\n"), BAD),
        ("S6", "no colon", with("X-A\r\n"), BAD),
        ("S6", "folded", with("X-A: a\r\n b\r\n"), BAD),
        ("S6", "folded by a tab", with("X-A: a\r\n\tb\r\n"), BAD),
        ("S6", "a blank before the first field", raw("GET /public/x HTTP/1.1", &format!(" X-A: a\r\n{HOST}")), BAD),
        ("S8", "HTTP/0.9", b"GET /public/x\r\n\r\n".to_vec(), BAD),
        ("S8", "HTTP/1.10", line("GET /public/x HTTP/1.10"), BAD),
        ("S8", "HTTP/1.2", line("GET /public/x HTTP/1.2"), BAD),
        ("S8", "HTTP/2.0", line("GET /public/x HTTP/2.0"), BAD),
        ("S8", "HTTP/3.0", line("GET /public/x HTTP/3.0"), BAD),
        ("S8", "in lower case", line("GET /public/x http/1.1"), BAD),
        ("S8", "another word", line("GET /public/x y HTTP/1.1"), BAD),
        ("S8", "a blank behind it", line("GET /public/x HTTP/1.1 "), BAD),
        ("S8", "two blanks", line("GET  /public/x HTTP/1.1"), BAD),
        ("S8", "a tab", line("GET\t/public/x HTTP/1.1"), BAD),
        ("S8", "no method", line(" /public/x HTTP/1.1"), BAD),
        ("S8", "a method that is no token", line("G(T /public/x HTTP/1.1"), BAD),
        ("S8", "two empty lines before it", b"\r\n\r\nGET /public/x HTTP/1.1\r\n\r\n".to_vec(), BAD),
        ("S8", "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), BAD),
        ("S9", "bare LF everywhere", b"GET /public/x HTTP/1.1\nHost: api.example.com\n\n".to_vec(), BAD),
        ("S9", "behind the request line", b"GET /public/x HTTP/1.1\nHost: api.example.com\r\n\r\n".to_vec(), BAD),
        ("S9", "behind a field", b"GET /public/x HTTP/1.1\r\nHost: api.example.com\n\r\n".to_vec(), BAD),
        ("S9", "for the empty line", b"GET /public/x HTTP/1.1\r\nHost: api.example.com\r\n\n".to_vec(), BAD),
        ("P9", "a fragment", target(b"/public/x#/../wallet"), PATH),
        ("P9", "in the query", target(b"/public/x?a#b"), PATH),
        ("P9", "alone", target(b"#"), PATH),
        ("P9", "in an absolute target", target(b"http://api.example.com/public#x"), PATH),
        ("P8", "quotes", target(b"/public/x?\"y\""), PATH),
        ("P7", "a control byte", target(b"/public/\x01"), PATH),
        ("P7", "a NUL", target(b"/public/\0"), PATH),
        ("P8", "bytes that are no UTF-8", target(b"/public/\xc0\xae"), PATH),
        ("P8", "UTF-8", target("/public/\u{ff0e}".as_bytes()), PATH),
        ("P11", "an authority that is none", target(b"h:x:y"), BAD),
        ("C8", "a megabyte of base64", with(&format!("Authorization: SIWX {}\r\n", "A".repeat(1 << 20))), LARGE),
        ("C8", "a value over 16 KiB", with(&format!("Authorization: SIWX {}\r\n", "A".repeat(16 << 10))), LARGE),
        ("C8", "a head over 32 KiB", with(&format!("X-A: {0}\r\nX-B: {0}\r\n", "A".repeat(16_370))), LARGE),
        ("C8", "101 fields", with(&many), LARGE),
        ("C8", "a long target", target(format!("/{}", "x".repeat(8192)).as_bytes()), LONG),
        ("C8", "a target without end", format!("GET /{}", "x".repeat(1 << 20)).into_bytes(), LONG),
        ("C8", "a name without end", [&with("")[..40], &[b'x'; 1 << 16]].concat(), LARGE),
    ]
}

/// Sends bytes to somebody who may close in the midst of them.
fn send(client: &mut Client, bytes: &[u8], piece: usize) {
    for piece in bytes.chunks(piece) {
        if client.try_write(piece).is_err() {
            return;
        }
    }
}

/// The answer to a refused head, and the end of the connection. A client that goes on for a megabyte may find the
/// connection reset before it reads.
fn refused_here(client: &mut Client, row: &Row, name: &str) {
    let (_, _, bytes, expected) = row;
    match client.next("GET") {
        Some(answer) => refused(&answer, *expected, name),
        None => assert!(bytes.len() > 100_000, "{name}: no answer"),
    }
    client.expect_close();
}

fn refused(answer: &Answer, expected: (u16, &str), name: &str) {
    assert_eq!(answer.outcome(), (expected.0, expected.1.to_owned()), "{name}");
    assert_eq!(answer.one("connection"), Some("close"), "{name}");
}

#[test]
fn c8_p7_p8_p9_p11_s1_s2_s3_s6_s8_s9_are_answered_here_and_end_the_connection() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let rows = all();
    let first = Request::get("/public/first");
    for row in &rows {
        let (id, what, bytes, _) = row;
        let bytes = [bytes.as_slice(), SMUGGLED.as_bytes()].concat();
        for piece in [usize::MAX, 7] {
            if piece < bytes.len() && bytes.len() > WHOLE {
                continue;
            }
            let name = format!("{id} {what}, in pieces of {piece}");
            let mut client = gateway.client();
            send(&mut client, &bytes, piece);
            refused_here(&mut client, row, &name);
            assert_eq!(upstream.take().len(), 0, "{name}");

            let name = format!("{name}, on a connection in use");
            let mut client = gateway.client();
            assert_eq!(client.send(&first).status, 200, "{name}");
            send(&mut client, &bytes, piece);
            refused_here(&mut client, row, &name);
            assert_eq!(upstream.take_one().target, "/public/first", "{name}");

            let name = format!("{name}, in the same write");
            let mut client = gateway.client();
            send(&mut client, &[first.bytes().as_slice(), &bytes].concat(), piece);
            assert_eq!(client.read().status, 200, "{name}");
            refused_here(&mut client, row, &name);
            assert_eq!(upstream.take_one().target, "/public/first", "{name}");
        }
    }
    let metrics = gateway.metrics();
    let counted: f64 = ["bad_request", "bad_path", "framing", "head_too_large", "uri_too_long"]
        .iter()
        .map(|reason| metrics.value(&format!("siwx_http_rejected_total{{reason=\"{reason}\"}}")))
        .sum();
    let small = rows.iter().filter(|(_, _, bytes, _)| bytes.len() <= WHOLE - SMUGGLED.len()).count();
    assert_eq!(counted, (small * 6 + (rows.len() - small) * 3) as f64, "each is counted once");
}

#[test]
fn a_refused_head_request_gets_no_body() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let mut client = gateway.client();
    client.write(&raw("HEAD /public/x#y HTTP/1.1", HOST));
    let answer = client.read_to("HEAD");
    assert_eq!((answer.status, answer.one("content-type")), (400, Some("application/problem+json")));
    client.expect_close();
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn s5_chunks_that_are_none() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(4097));
    let rows = [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "\t5\r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\0\r\nhello\r\n0\r\n\r\n",
        &extension,
        "5\r\nhelloX0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nA: b\n\r\n",
        "5\r\nhello\r\n0\r\nA : b\r\n\r\n",
        "5\r\nhello\r\n0\r\n A: b\r\n\r\n",
        "5\r\nhello\r\n0\r\nA: \0\r\n\r\n",
    ];
    for body in rows {
        for piece in [usize::MAX, 1] {
            let mut client = gateway.client();
            let head = raw("POST /public/x HTTP/1.1", &format!("{HOST}Transfer-Encoding: chunked\r\n"));
            send(&mut client, &[&head, body.as_bytes(), SMUGGLED.as_bytes()].concat(), piece);
            if let Some(answer) = client.next("POST") {
                assert_eq!(answer.outcome(), (400, "bad_request".to_owned()), "{body:?}");
            }
            client.expect_close();
            assert_eq!(upstream.take().len(), 0, "{body:?}: no whole request");
        }
    }
}

/// Two requests in any pieces are two requests, each with its own decision.
#[test]
fn c12_pipelined_requests_are_judged_one_by_one() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let token = crate::harness::Wallet::evm(1).token();
    gateway.secrets.add(&token);
    let good = Request::new("POST", "/wallet/good").token(&token).body(SMUGGLED.as_bytes()).bytes();
    let chunked = format!(
        "POST /wallet/good HTTP/1.1\r\n{HOST}Authorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{SMUGGLED}\r\n0\r\nX: y\r\n\r\n",
        SMUGGLED.len()
    );
    let bare = Request::get("/wallet/bare").bytes();
    let bytes = [&good[..], &bare, b"\r\n", chunked.as_bytes(), &bare, &good].concat();
    for piece in [usize::MAX, 1, 2, 3, 100, 333] {
        let mut client = gateway.client();
        send(&mut client, &bytes, piece);
        let statuses: Vec<u16> = (0..5).map(|_| client.read().status).collect();
        assert_eq!(statuses, [200, 401, 200, 401, 200], "in pieces of {piece}");
        let seen: Vec<_> = upstream.take().into_iter().map(|seen| (seen.target, seen.body)).collect();
        let expected = ("/wallet/good".to_owned(), SMUGGLED.as_bytes().to_vec());
        assert_eq!(seen, vec![expected; 3], "in pieces of {piece}");
    }
}

/// A client that writes a body nobody reads still reads the answer: the connection was reset under it.
/// `PRI` alone was taken for the beginning of HTTP/2.
#[test]
fn c11_methods_that_begin_as_the_preface_does() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    for method in ["PRI", "PRINT", "PRIVATE", "P", "PR"] {
        for piece in [1, 2, 1000] {
            let mut client = gateway.client();
            send(&mut client, &line(&format!("{method} /wallet/x HTTP/1.1")), piece);
            assert_eq!(client.read().outcome(), (401, "credential_required".to_owned()), "{method}");
        }
    }
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn s10_the_answer_is_read_before_the_connection_ends() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let mut client = gateway.client();
    let head = format!("POST /wallet/x HTTP/1.1\r\n{HOST}Content-Length: 1000000\r\n\r\n");
    client.write(head.as_bytes());
    std::thread::sleep(Duration::from_millis(50));
    let begun = std::time::Instant::now();
    let _ = client.try_write(&SMUGGLED.as_bytes().repeat(500));
    assert_eq!(client.read().status, 401);
    client.expect_close();
    assert!(begun.elapsed() < Duration::from_secs(5), "a client that stays is not waited for");
    assert_eq!(upstream.take().len(), 0);
    gateway.expect_metric("siwx_connections{protocol=\"h1\"}", 0.0);
}

/// hyper is told of a tunnel by nobody but itself; here an answer's body looks like the head of one.
#[test]
fn s12_a_body_that_looks_like_a_101_opens_no_tunnel() {
    let upstream = Upstream::scripted(|stream, _| {
        let mut reader = std::io::BufReader::new(stream);
        while crate::harness::upstream::read_request(&mut reader).is_some() {
            let stream = reader.get_mut();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx-stub: 1\r\ncontent-length: 36\r\n\r\n");
            std::thread::sleep(Duration::from_millis(50));
            let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
        }
    });
    let gateway = start(&upstream);
    let mut client = gateway.client();
    client.write(&with("Connection: upgrade\r\nUpgrade: x\r\n"));
    assert_eq!(client.read().status, 200);
    // Nobody judged this, so nobody serves it.
    client.write(&[SMUGGLED.as_bytes(), SMUGGLED.as_bytes()].concat());
    let answer = client.next("GET");
    assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{answer:?}");
    client.expect_close();
    let requests = "siwx_upstream_requests_total{status_class=\"2xx\",upstream=\"api\"}";
    assert!(gateway.metrics().0.get(requests).is_none_or(|count| *count == 1.0));
}
