//! Where a request came from: proxies in front that are trusted and others, in header fields and by the PROXY protocol
//! (hardening.md section 4, rows F5 and F6).

use crate::harness::{Answer, Gateway, Request, Seen, Setup, Upstream, Wallet};

/// The test itself, as the gateway sees it.
const HERE: &str = "127.0.0.1";

const CLIENT: &str = "198.51.100.7";

/// What the upstream saw of a request to the public route.
fn seen(gateway: &Gateway, upstream: &Upstream, request: Request) -> Seen {
    let answer = gateway.send(&request);
    assert_eq!(answer.status, 200, "{answer:?}");
    upstream.take_one()
}

/// What came back for bytes that begin with a PROXY header; nothing if the connection was closed.
fn announced(gateway: &Gateway, header: &[u8], request: &Request) -> Option<Answer> {
    let mut client = gateway.client();
    let _ = client.try_write(&[header, &request.bytes()].concat());
    client.next(&request.method)
}

/// A header of version 2 for [`CLIENT`], with a few bytes of extensions.
fn binary() -> Vec<u8> {
    let addresses = [198, 51, 100, 7, 192, 0, 2, 2, 0x9c, 0x40, 0x01, 0xbb];
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[0x21, 0x11, 0, 15], &addresses, &[4, 0, 0]].concat()
}

fn line() -> Vec<u8> {
    format!("PROXY TCP4 {CLIENT} 192.0.2.2 40000 443\r\n").into_bytes()
}

#[test]
fn f5_f6_nobody_is_believed_by_default() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let request = Request::get("/public/x")
        .header("X-Forwarded-For", CLIENT)
        .header("Forwarded", "for=198.51.100.7")
        .header("X-Real-IP", CLIENT)
        .header("X-Request-Id", "an-id-of-the-client");
    let seen = seen(&gateway, &upstream, request);
    assert_eq!((seen.one("x-forwarded-for"), seen.one("x-real-ip")), (Some(HERE), Some(HERE)));
    assert_eq!(seen.one("forwarded"), None);
    assert_ne!(seen.one("x-request-id"), Some("an-id-of-the-client"));
    let [line] = gateway.log_lines(1).try_into().expect("one line");
    assert_eq!((&line["client_ip"], &line["peer_ip"]), (&HERE.into(), &HERE.into()));
}

#[test]
fn a_trusted_proxy_says_who_the_client_is() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).trusting(&["127.0.0.0/8", "10.0.0.0/8"]).start();
    let rows = [
        ("nothing said", "", HERE, HERE),
        ("the client", CLIENT, CLIENT, "198.51.100.7, 127.0.0.1"),
        ("an invention of the client's", "1.1.1.1, 198.51.100.7", CLIENT, "198.51.100.7, 127.0.0.1"),
        ("two proxies", "1.1.1.1, 198.51.100.7, 10.0.0.3", CLIENT, "198.51.100.7, 10.0.0.3, 127.0.0.1"),
        ("malformed", "198.51.100.7, none of your business", HERE, HERE),
    ];
    for (name, sent, client, path) in rows {
        let request = Request::get("/public/x").header("X-Forwarded-For", sent).header("Forwarded", "for=203.0.113.9");
        let seen = seen(&gateway, &upstream, request);
        assert_eq!((seen.one("x-real-ip"), seen.one("x-forwarded-for")), (Some(client), Some(path)), "{name}");
    }
    let lines = gateway.log_lines(rows.len());
    for (line, (name, _, client, _)) in lines.iter().zip(rows) {
        assert_eq!((&line["client_ip"], &line["peer_ip"]), (&client.into(), &HERE.into()), "{name}");
    }
}

#[test]
fn one_connection_of_a_proxy_carries_requests_of_many_clients() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).trusting(&[HERE]).set("limits.auth_failures", "1/h").start();
    let mut proxy = gateway.client();
    let refused = |client: &str| Request::get("/wallet/x").token("SIWX nonsense").header("X-Forwarded-For", client);
    assert_eq!(proxy.send(&refused("198.51.100.7")).status, 401);
    assert_eq!(proxy.send(&refused("198.51.100.7")).outcome(), (429, "too_many_refusals".to_owned()));
    assert_eq!(proxy.send(&refused("198.51.100.8")).status, 401, "another client has a count of its own");
    assert_eq!(proxy.send(&refused("1.1.1.1, 198.51.100.7")).status, 429, "an invention in front changes nothing");
    let wallet = Wallet::evm(1);
    let good = Request::get("/wallet/x").token(&wallet.token()).header("X-Forwarded-For", "198.51.100.9");
    assert_eq!(proxy.send(&good).status, 200);
    assert_eq!(upstream.take_one().one("x-real-ip"), Some("198.51.100.9"));
}

#[test]
fn of_two_fields_only_the_configured_one_is_read() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).trusting(&[HERE]).set("server.forwarded_source", "forwarded").start();
    let request = Request::get("/public/x")
        .header("X-Forwarded-For", "203.0.113.9")
        .header("Forwarded", r#"for=1.1.1.1, for="198.51.100.7:1234";proto=https"#);
    let seen = seen(&gateway, &upstream, request);
    assert_eq!((seen.one("x-real-ip"), seen.all("forwarded").len()), (Some(CLIENT), 0));
}

#[test]
fn an_id_and_a_trace_are_kept_where_they_can_be() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).trusting(&[HERE]).start();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let rows =
        [("an-id_of-1-proxy", true), ("short", false), ("with blanks in it", false), ("{\"json\":\"...\"}", false)];
    for (id, kept) in rows {
        let request = Request::get("/public/x").header("X-Request-Id", id).header("traceparent", trace);
        let answer = gateway.send(&request);
        let seen = upstream.take_one();
        assert_eq!(seen.one("x-request-id") == Some(id), kept, "{id}");
        assert_eq!(seen.one("traceparent"), Some(trace), "{id}");
        assert_eq!(answer.status, 200, "{id}");
    }
    let longer = "x".repeat(65);
    let request = Request::get("/public/x").header("X-Request-Id", &longer).header("traceparent", "nonsense");
    let seen = seen(&gateway, &upstream, request.header("tracestate", "a=b"));
    assert_ne!(seen.one("x-request-id"), Some(longer.as_str()));
    assert_eq!((seen.one("traceparent"), seen.one("tracestate")), (None, None));
    // It is the id of the log and of our own answers, too.
    let mut client = gateway.client();
    client.write(&Request::get("/wallet/x").header("X-Request-Id", "an-id_of-1-proxy").bytes());
    let (status, headers) = client.read_head().expect("an answer");
    assert_eq!(status, 401);
    assert!(headers.iter().any(|(name, value)| name == "x-request-id" && value == "an-id_of-1-proxy"), "{headers:?}");
    let lines = gateway.log_lines(rows.len() + 2);
    assert_eq!(lines.iter().filter(|line| line["request_id"] == "an-id_of-1-proxy").count(), 2);
}

#[test]
fn via_is_told_and_a_circle_is_ended() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("server.via", "true").start();
    let told = seen(&gateway, &upstream, Request::get("/public/x").header("Via", "1.1 nginx"));
    assert_eq!(told.all("via"), ["1.1 nginx", "1.1 siwx-gateway"]);
    let twice = Request::get("/public/x").header("Via", "1.1 siwx-gateway, 1.1 siwx-gateway");
    assert_eq!(seen(&gateway, &upstream, twice).all("via").len(), 2);
    let circle =
        Request::get("/public/x").header("Via", "1.1 siwx-gateway, 1.1 nginx, 1.1 siwx-gateway, 2 siwx-gateway");
    assert_eq!(gateway.send(&circle).outcome(), (508, "loop_detected".to_owned()));
    assert!(upstream.take().is_empty());

    let silent = Setup::over(&upstream).start();
    assert_eq!(seen(&silent, &upstream, Request::get("/public/x")).all("via").len(), 0, "off by default");
}

#[test]
fn the_proxy_protocol_says_who_the_client_is() {
    let upstream = Upstream::ok();
    let request = Request::get("/public/x");
    for (versions, headers) in [("v1", vec![line()]), ("v2", vec![binary()]), ("any", vec![line(), binary()])] {
        let gateway = Setup::over(&upstream).trusting(&[HERE]).set("server.proxy_protocol", versions).start();
        for header in &headers {
            let answer = announced(&gateway, header, &request).expect("an answer");
            assert_eq!(answer.status, 200, "{versions}");
            let seen = upstream.take_one();
            assert_eq!(
                (seen.one("x-real-ip"), seen.one("x-forwarded-for")),
                (Some(CLIENT), Some(CLIENT)),
                "{versions}"
            );
        }
        for line in gateway.log_lines(headers.len()) {
            assert_eq!((&line["client_ip"], &line["peer_ip"]), (&CLIENT.into(), &HERE.into()), "{versions}");
        }
    }
}

#[test]
fn a_connection_of_the_balancer_s_own_has_its_address() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).trusting(&[HERE]).set("server.proxy_protocol", "any").start();
    for header in [b"PROXY UNKNOWN\r\n".as_slice(), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        assert_eq!(announced(&gateway, header, &Request::get("/public/x")).expect("an answer").status, 200);
        assert_eq!(upstream.take_one().one("x-real-ip"), Some(HERE));
    }
}

#[test]
fn a_trusted_peer_without_the_header_is_closed_on() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream)
        .trusting(&[HERE])
        .set("server.proxy_protocol", "v1")
        .set("limits.header_timeout", "300ms")
        .start();
    let rows: &[(&str, &[u8])] = &[
        ("no header", b""),
        ("the other version", &binary()),
        ("malformed", b"PROXY TCP4 198.51.100.7 nonsense 1 2\r\n"),
        ("twice", &[line(), line()].concat()),
    ];
    for (name, header) in rows {
        let answer = announced(&gateway, header, &Request::get("/public/x"));
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{name}: {answer:?}");
    }
    let mut half = gateway.client();
    half.write(b"PROXY TCP4 198.51");
    assert!(half.next("GET").is_none(), "half a header meets the deadline");
    assert!(upstream.take().is_empty());
    gateway.expect_metric("siwx_http_rejected_total{reason=\"timeout\"}", 1.0);
}

#[test]
fn a_peer_that_is_not_trusted_cannot_announce_anybody() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).trusting(&["10.0.0.0/8"]).set("server.proxy_protocol", "any").start();
    for header in [line(), binary()] {
        let answer = announced(&gateway, &header, &Request::get("/public/x"));
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{answer:?}");
    }
    assert!(upstream.take().is_empty());
    assert_eq!(
        seen(&gateway, &upstream, Request::get("/public/x")).one("x-real-ip"),
        Some(HERE),
        "it speaks for itself"
    );
}

#[test]
fn connections_are_counted_by_client_and_not_by_proxy() {
    let upstream = Upstream::ok();
    let setup = || Setup::over(&upstream).trusting(&[HERE]).set("limits.connections_per_ip", "2");
    // A proxy has as many connections as it likes.
    let gateway = setup().start();
    let mut proxies: Vec<_> = (0..5).map(|_| gateway.client()).collect();
    for proxy in &mut proxies {
        assert_eq!(proxy.send(&Request::get("/public/x")).status, 200);
    }
    // A client that is announced has its own count.
    let gateway = setup().set("server.proxy_protocol", "v1").start();
    let mut clients: Vec<_> = (0..3).map(|_| gateway.client()).collect();
    let statuses: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let _ = client.try_write(&[line(), Request::get("/public/x").bytes()].concat());
            client.next("GET").map(|answer| answer.status)
        })
        .collect();
    assert_eq!(statuses, [Some(200), Some(200), None]);
    gateway.expect_metric("siwx_connections_rejected_total{reason=\"ip_cap\"}", 1.0);
}
