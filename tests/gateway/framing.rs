//! Where a request ends: bytes that two readers could frame differently (hardening.md rows S1 to S14). Whatever the
//! answer, one accepted request is one request at the upstream, and the stub fails on any framing that RFC 9112 has not.

use crate::harness::{Answer, Gateway, Request, Setup, Upstream, Wallet};

const HOST: &str = "Host: api.example.com\r\n";

/// What an attacker hides behind a request: it must never arrive at the upstream as a request of its own without a
/// credential of its own.
const SMUGGLED: &str = "GET /paid/smuggled HTTP/1.1\r\nHost: api.example.com\r\n\r\n";

fn start(upstream: &Upstream) -> Gateway {
    Setup::over(upstream).set("limits.auth_failures", "off").start()
}

/// Everything the gateway says to these bytes until it closes or `count` answers came.
fn say(gateway: &Gateway, bytes: &[u8], count: usize) -> Vec<Answer> {
    let mut client = gateway.client();
    client.write(bytes);
    (0..count).map_while(|_| client.next("GET")).collect()
}

/// A POST to a public route with these fields and body, and a smuggled request behind it.
fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /public/x HTTP/1.1\r\n{HOST}{fields}\r\n{body}{SMUGGLED}").into_bytes()
}

#[test]
fn s1_length_beside_chunked() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    let rows = [
        ("length first", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("coding first", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("a length that hides the rest", "Content-Length: 80\r\nTransfer-Encoding: chunked\r\n"),
        ("a length of zero", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        ("odd case", "cOnTeNt-LeNgTh: 5\r\ntRaNsFeR-eNcOdInG: cHuNkEd\r\n"),
    ];
    for (name, fields) in rows {
        let answers = say(&gateway, &post(fields, chunked), 2);
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [400], "{name}: {answers:?}");
        assert_eq!(upstream.take().len(), 0, "{name}");
        assert_eq!(answers[0].one("connection"), Some("close"), "{name}: {answers:?}");
    }
}

#[test]
fn s2_transfer_codings() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let rows = [
        ("an extra coding", "Transfer-Encoding: gzip, chunked\r\n"),
        ("identity before it", "Transfer-Encoding: identity, chunked\r\n"),
        ("identity alone", "Transfer-Encoding: identity\r\n"),
        ("gzip alone", "Transfer-Encoding: gzip\r\n"),
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n"),
        ("chunked not last", "Transfer-Encoding: chunked, gzip\r\n"),
        ("two fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("two fields that differ", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        ("quotes", "Transfer-Encoding: \"chunked\"\r\n"),
        ("a parameter", "Transfer-Encoding: chunked;q=1\r\n"),
        ("a longer word", "Transfer-Encoding: xchunked\r\n"),
        ("empty", "Transfer-Encoding:\r\n"),
        ("a control byte", "Transfer-Encoding: \x0bchunked\r\n"),
        ("a blank before the colon", "Transfer-Encoding : chunked\r\n"),
        ("folded", "Transfer-Encoding:\r\n chunked\r\n"),
    ];
    for (name, fields) in rows {
        let answers = say(&gateway, &post(fields, "5\r\nhello\r\n0\r\n\r\n"), 2);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert!(matches!(statuses[..], [400 | 501]), "{name}: {answers:?}");
        assert_eq!(upstream.take().len(), 0, "{name}");
    }
    let bytes = format!("POST /public/x HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let answers = say(&gateway, bytes.as_bytes(), 1);
    assert!(matches!(answers[0].status, 400 | 501), "HTTP/1.0: {answers:?}");
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn s3_s4_lengths() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let rows = [
        ("two that differ", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("a list", "Content-Length: 5, 5\r\n"),
        ("a sign", "Content-Length: +5\r\n"),
        ("negative", "Content-Length: -5\r\n"),
        ("hex", "Content-Length: 0x5\r\n"),
        ("an exponent", "Content-Length: 5e0\r\n"),
        ("empty", "Content-Length:\r\n"),
        ("a blank inside", "Content-Length: 5 5\r\n"),
        ("beyond 2^64", "Content-Length: 18446744073709551617\r\n"),
        ("no digits", "Content-Length: five\r\n"),
        ("a blank before the colon", "Content-Length : 5\r\n"),
    ];
    for (name, fields) in rows {
        let answers = say(&gateway, &post(fields, "hello"), 1);
        assert_eq!(answers[0].status, 400, "{name}: {answers:?}");
        assert_eq!(upstream.take().len(), 0, "{name}");
    }
    let answers = say(&gateway, &post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 2);
    assert_eq!(answers[0].status, 400, "two that agree: {answers:?}");
    assert_eq!(upstream.take().len(), 0, "two that agree");
    let aliases = "Content-Length: 5\r\nContent_Length: 0\r\nTransfer_Encoding: chunked\r\n";
    let answers = say(&gateway, &post(aliases, "hello"), 2);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 401], "S4");
    let seen = upstream.take_one();
    assert_eq!(
        (seen.body.as_slice(), seen.one("content_length"), seen.one("transfer_encoding")),
        (&b"hello"[..], None, None)
    );
}

#[test]
fn s5_chunks() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let rows = [
        ("0x before the size", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("more than 16 digits", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("an overflow", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("a bare LF behind the size", "5\nhello\r\n0\r\n\r\n"),
        ("no CRLF behind the data", "5\r\nhelloX0\r\n\r\n"),
        ("empty size", "\r\nhello\r\n0\r\n\r\n"),
        ("no hex", "g\r\nhello\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ];
    for (name, body) in rows {
        let answers = say(&gateway, &post("Transfer-Encoding: chunked\r\n", body), 2);
        assert!(answers.iter().all(|answer| matches!(answer.status, 400 | 502)), "{name}: {answers:?}");
        // The head may be at the upstream by then, the body never ends there.
        assert_eq!(upstream.take().len(), 0, "{name}: no whole request");
    }
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000));
    let answers = say(&gateway, &post("Transfer-Encoding: chunked\r\n", &extension), 1);
    assert!(answers.iter().all(|answer| answer.status == 400), "an endless extension: {answers:?}");
    assert_eq!(upstream.take().len(), 0);
    let answers = say(&gateway, &post("Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n"), 1);
    assert_eq!(answers[0].status, 200, "a short extension");
    assert_eq!(upstream.take_one().body, b"hello");
}

#[test]
fn s6_s7_s8_heads() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let head = |line: &str, fields: &str| format!("{line}\r\n{fields}\r\n").into_bytes();
    let get = "GET /public/x HTTP/1.1";
    let rows = [
        ("S6 bare CR in a value", head(get, &format!("{HOST}X-A: a\rb\r\n"))),
        ("S6 NUL in a value", head(get, &format!("{HOST}X-A: a\0b\r\n"))),
        ("S6 a control byte in a value", head(get, &format!("{HOST}X-A: a\x07b\r\n"))),
        ("S6 an empty name", head(get, &format!("{HOST}: a\r\n"))),
        ("S6 a name that is no token", head(get, &format!("{HOST}X(A): a\r\n"))),
        ("S6 a blank before the colon", head(get, &format!("{HOST}X-A : a\r\n"))),
        ("S6 no colon", head(get, &format!("{HOST}X-A\r\n"))),
        ("S6 folded", head(get, &format!("{HOST}X-A: a\r\n b\r\n"))),
        ("S6 white space before the first field", head(get, &format!(" X-A: a\r\n{HOST}"))),
        ("S7 no Host", head(get, "X-A: a\r\n")),
        ("S7 an empty Host", head(get, "Host:\r\n")),
        ("S7 two Hosts", head(get, &format!("{HOST}{HOST}"))),
        ("S7 two that differ", head(get, &format!("{HOST}Host: evil.example\r\n"))),
        ("S7 a Host that is none", head(get, "Host: api example com\r\n")),
        ("S8 HTTP/0.9", b"GET /public/x\r\n\r\n".to_vec()),
        ("S8 HTTP/1.10", head("GET /public/x HTTP/1.10", HOST)),
        ("S8 HTTP/2.0", head("GET /public/x HTTP/2.0", HOST)),
        ("S8 HTTP/3.0", head("GET /public/x HTTP/3.0", HOST)),
        ("S8 lower case", head("GET /public/x http/1.1", HOST)),
        ("S8 extra words", head("GET /public/x y HTTP/1.1", HOST)),
        ("S8 two blanks", head("GET  /public/x HTTP/1.1", HOST)),
        ("S8 no method", head(" /public/x HTTP/1.1", HOST)),
        ("S8 a method that is no token", head("G(T /public/x HTTP/1.1", HOST)),
    ];
    for (name, bytes) in rows {
        let answers = say(&gateway, &bytes, 1);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [400], "{name}: {answers:?}");
        assert_eq!(upstream.take().len(), 0, "{name}");
    }
    let bare = "GET /public/x HTTP/1.1\nHost: api.example.com\nX-A: b\n\n";
    assert_eq!(say(&gateway, bare.as_bytes(), 1)[0].status, 400, "S9");
    assert_eq!(upstream.take().len(), 0, "S9");
    let http10 = say(&gateway, format!("GET /public/x HTTP/1.0\r\n{HOST}\r\n").as_bytes(), 1);
    assert_eq!(http10[0].status, 200, "HTTP/1.0 is served");
}

#[test]
fn bounds_of_a_head() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let fields =
        |count: usize| (1..count).fold(Request::get("/public/x"), |request, i| request.header(&format!("X-{i}"), "1"));
    let two = |length: usize| {
        let value = "a".repeat(length);
        Request::get("/public/x").header("X-A", &value).header("X-B", &value)
    };
    let rows = [
        ("100 fields", fields(100), 200),
        ("101 fields", fields(101), 431),
        ("a head under 32 KiB", two(16_000), 200),
        ("a value of 16 KiB, a blank before it", Request::get("/public/x").header("X-A", &"a".repeat(16_384)), 200),
        ("a longer value", Request::get("/public/x").header("X-A", &"a".repeat(16_385)), 431),
        ("a head over 32 KiB", two(16_383), 431),
        ("a target of 8 KiB", Request::get(&format!("/public/{}", "x".repeat(8192 - 8))), 200),
        ("a longer one", Request::get(&format!("/public/{}", "x".repeat(8193 - 8))), 414),
        ("one of 8 KiB with its query", Request::get(&format!("/public/x?{}", "x".repeat(8192 - 10))), 200),
        ("a longer query", Request::get(&format!("/public/x?{}", "x".repeat(8193 - 10))), 414),
    ];
    for (name, request, status) in rows {
        assert_eq!(gateway.send(&request).status, status, "{name}");
        assert_eq!(upstream.take().len(), usize::from(status == 200), "{name}");
    }
}

#[test]
fn s10_an_unread_body_is_never_the_next_request() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    for length in [SMUGGLED.len(), SMUGGLED.len() + 100_000, 1 << 20] {
        let mut client = gateway.client();
        let head = format!("POST /wallet/x HTTP/1.1\r\n{HOST}Content-Length: {length}\r\n\r\n{SMUGGLED}");
        client.write(head.as_bytes());
        assert_eq!(client.read().status, 401, "{length}");
        // The rest of the body, if anybody still reads it, and an honest request behind it.
        let rest = "GET /public/smuggled HTTP/1.1\r\nHost: api.example.com\r\n\r\n".repeat(2000);
        let _ = client.try_write(&rest.as_bytes()[..(length - SMUGGLED.len()).min(rest.len())]);
        if length == SMUGGLED.len() {
            let _ = client.try_write(&Request::get("/wallet/y").bytes());
            if let Some(second) = client.next("GET") {
                assert_eq!(second.status, 401);
            }
        }
        let smuggled: Vec<_> = upstream.take().into_iter().map(|seen| seen.target).collect();
        assert_eq!(smuggled, Vec::<String>::new(), "{length}");
    }
}

#[test]
fn s11_expectations() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let head = |target: &str, expect: &str, token: &str| {
        format!(
            "POST {target} HTTP/1.1\r\n{HOST}Authorization: {token}\r\nExpect: {expect}\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut refused = gateway.client();
    refused.write(head("/wallet/x", "100-continue", "none").as_bytes());
    let answer = refused.read();
    assert_eq!((answer.outcome().1.as_str(), answer.interim.len()), ("credential_required", 0));
    let token = Wallet::evm(1).token();
    gateway.secrets.add(&token);
    let mut admitted = gateway.client();
    admitted.write(head("/wallet/x", "100-continue", &token).as_bytes());
    let (status, _) = admitted.read_head().expect("an interim answer");
    assert_eq!(status, 100);
    admitted.write(b"hello");
    assert_eq!(admitted.read().status, 200);
    let seen = upstream.take_one();
    assert_eq!((seen.body.as_slice(), seen.one("expect")), (&b"hello"[..], None));
    for other in ["200-ok", "100-continue, x", "100-continue; a=b", ""] {
        let mut client = gateway.client();
        client.write(head("/public/x", other, "none").as_bytes());
        assert_eq!(client.read().outcome(), (417, "expectation_failed".to_owned()), "{other:?}");
    }
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn s12_no_tunnel_by_asking() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    for upgrade in ["x", "websocket", "h2c", "TLS/1.0"] {
        let first = format!("GET /public/x HTTP/1.1\r\n{HOST}Connection: upgrade\r\nUpgrade: {upgrade}\r\n\r\n");
        let answers = say(&gateway, format!("{first}{SMUGGLED}").as_bytes(), 2);
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 401], "{upgrade}");
        let seen = upstream.take_one();
        assert_eq!((seen.one("upgrade"), seen.one("connection")), (None, None), "{upgrade}");
    }
}

#[test]
fn s14_encoded_line_ends_stay_encoded() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let query = "/public/x?a=%0d%0aX-Injected:%201&b=%0A%0a%0D%00";
    assert_eq!(gateway.send(&Request::get(query)).status, 200);
    let seen = upstream.take_one();
    assert_eq!((seen.target.as_str(), seen.one("x-injected")), (query, None));
    for path in ["/public/x%0d%0aX-Injected:%201", "/public/%0A", "/public/%0d/x"] {
        assert_eq!(gateway.send(&Request::get(path)).outcome(), (400, "bad_path".to_owned()), "{path}");
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn s13_bodies_of_methods_that_seldom_have_one() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let answer = gateway.send(&Request::new(method, "/public/x").body(b"hello"));
        assert_eq!(answer.status, 200, "{method}");
        let seen = upstream.take_one();
        assert_eq!((seen.body.as_slice(), seen.one("content-length")), (&b"hello"[..], Some("5")), "{method}");
        let mut client = gateway.client();
        let head = format!("{method} /public/x HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
        client.write(format!("{head}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n").as_bytes());
        assert_eq!(client.read_to(method).status, 200, "{method}, chunked");
        let seen = upstream.take_one();
        assert_eq!((seen.body.as_slice(), seen.one("transfer-encoding")), (&b"hello"[..], Some("chunked")), "{method}");
    }
    for method in ["GET", "HEAD", "DELETE", "POST"] {
        gateway.send(&Request::new(method, "/public/x"));
        let seen = upstream.take_one();
        assert_eq!(seen.one("transfer-encoding"), None, "{method} without a body");
    }
}
