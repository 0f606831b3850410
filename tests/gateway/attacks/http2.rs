//! Frames of HTTP/2 that are wrong, too many, or never read (hardening.md rows T1 to T10).

use std::time::{Duration, Instant};

use crate::harness::{
    Gateway, Request, Setup, Upstream, Wallet,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Fields, Frames, HEADERS, PADDED, PING, PRIORITY, RST_STREAM,
        SETTINGS, WINDOW_UPDATE, block, frame, get, request,
    },
};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_OF_NONE: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The setting of a client's windows.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// How long a large answer is.
const LARGE: usize = 4_000_000;

/// Large answers to who asks for them.
fn large_answers() -> Upstream {
    Upstream::answering(|seen| {
        let length = if seen.target.ends_with("large") { LARGE } else { 2 };
        let mut bytes = format!("HTTP/1.1 200 OK\r\nx-stub: 1\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        bytes.resize(bytes.len() + length, b'x');
        bytes
    })
}

fn start(upstream: &Upstream) -> Gateway {
    Setup::over(upstream).set("limits.auth_failures", "off").start()
}

/// Whether a stream or its connection ended without an answer, or with one of ours.
fn refused(end: &End) -> bool {
    matches!(end, End::Reset(_) | End::Connection(_) | End::Answered(400 | 401 | 405 | 421 | 431))
}

#[test]
fn p9_p11_t1_t2_t4_heads_that_are_none() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let usual = get("/public/x");
    let and = |field| [&usual[..], &[field]].concat();
    let but = |at: usize, value| {
        let mut fields = usual;
        fields[at].1 = value;
        fields.to_vec()
    };
    let without = |at: usize| {
        let mut fields = usual.to_vec();
        fields.remove(at);
        fields
    };
    let rows: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("T1 CR in a value", and(("x-a", "a\rb"))),
        ("T1 LF in a value", and(("x-a", "a\nx-siwx-address: b"))),
        ("T1 NUL in a value", and(("x-a", "a\0b"))),
        ("T1 upper case in a name", and(("X-A", "a"))),
        ("T1 a colon in a name", and(("x:a", "a"))),
        ("T1 CR LF in a name", and(("x-a\r\nx-siwx-address", "a"))),
        ("T1 a blank in a name", and(("x a", "a"))),
        ("T1 an empty name", and(("", "a"))),
        ("T1 CR LF in the path", but(3, "/public/x HTTP/1.1\r\nX-SIWX-Address: a\r\nX: ")),
        ("T1 a blank in the path", but(3, "/public/x y")),
        ("T1 NUL in the path", but(3, "/public/\0")),
        ("T1 CR LF in the method", but(0, "GET / HTTP/1.1\r\nX: y\r\n\r\nGET")),
        ("T1 a blank in the method", but(0, "GET /wallet/x")),
        ("T1 CR LF in the authority", but(2, "api.example.com\r\nX-SIWX-Address: a")),
        ("T1 a blank in the authority", but(2, "api.example.com evil")),
        ("T2 transfer-encoding", and(("transfer-encoding", "chunked"))),
        ("T2 connection", and(("connection", "x-a"))),
        ("T2 keep-alive", and(("keep-alive", "5"))),
        ("T2 upgrade", and(("upgrade", "websocket"))),
        ("T2 proxy-connection", and(("proxy-connection", "close"))),
        ("T2 te", and(("te", "gzip"))),
        ("T4 two methods", and((":method", "POST"))),
        ("T4 two paths", and((":path", "/public/y"))),
        ("T4 two authorities", and((":authority", "other.example.com"))),
        ("T4 one that comes late", [&[("x-a", "a")], &usual[..]].concat()),
        ("T4 no method", without(0)),
        ("T4 no scheme", without(1)),
        ("T4 no path", without(3)),
        ("T4 no authority and no host", without(2)),
        ("T4 an empty path", but(3, "")),
        ("T4 an empty authority", but(2, "")),
        ("T4 an unknown one", and((":protocol", "websocket"))),
        ("T4 another unknown one", and((":x", "y"))),
        ("T4 one of answers", and((":status", "200"))),
        ("T4 a host that differs", and(("host", "other.example.com"))),
        (
            "T4 a CONNECT with a protocol",
            vec![
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":authority", "api.example.com"),
                (":path", "/public/x"),
            ],
        ),
        ("P11 no slash at the front", but(3, "public/x")),
        ("P11 a path that is a URL", but(3, "http://api.example.com/public/x")),
        ("P11 an asterisk", but(3, "*")),
        ("P9 a fragment before dots", but(3, "/public/../wallet/x#y")),
    ];
    for (name, fields) in rows {
        let mut client = Frames::connect(&gateway, &[]);
        client.write(&request(1, &fields, true));
        let end = client.end_of(1);
        assert!(refused(&end), "{name}: {end:?}");
        assert!(upstream.take().is_empty(), "{name} reached the upstream");
    }
    let mut client = Frames::connect(&gateway, &[]);
    client.write(&request(1, &and(("te", "trailers")), true));
    assert_eq!(client.end_of(1), End::Answered(200));
    assert_eq!(upstream.take_one().target, "/public/x");
}

#[test]
fn t3_lengths_that_are_not_kept() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let post = |lengths: &[&'static str]| {
        let mut fields = get("/public/x").to_vec();
        fields[0].1 = "POST";
        fields.extend(lengths.iter().map(|length| ("content-length", *length)));
        fields
    };
    let hidden = b"GET /public/smuggled HTTP/1.1\r\nhost: api.example.com\r\n\r\n";
    let rows: [(&str, &[&'static str]); 10] = [
        ("none, with data", &["0"]),
        ("shorter than the data", &["5"]),
        ("longer than the data", &["5000"]),
        ("twice", &["57", "57"]),
        // h2 compares the first with the data, and both went on to the upstream.
        ("right, and twice", &["56", "56"]),
        ("right, and then wrong", &["56", "0"]),
        ("twice and different", &["57", "0"]),
        ("a list", &["57, 57"]),
        ("a sign", &["+57"]),
        ("no number", &["x"]),
    ];
    assert_eq!(hidden.len(), 56);
    for (name, lengths) in rows {
        let mut client = Frames::connect(&gateway, &[]);
        client.write(&request(1, &post(lengths), false));
        client.write(&frame(DATA, END_STREAM, 1, hidden));
        let end = client.end_of(1);
        assert!(refused(&end) || end == End::Answered(502), "{name}: {end:?}");
        assert_eq!(upstream.take().len(), 0, "{name}");
    }
    let mut client = Frames::connect(&gateway, &[]);
    client.write(&request(1, &post(&["56"]), false));
    client.write(&frame(DATA, END_STREAM, 1, hidden));
    assert_eq!(client.end_of(1), End::Answered(200));
    assert_eq!(upstream.take_one().body, hidden);
}

/// It counted as `/`, for which there may be a route.
#[test]
fn p11_a_query_is_no_path() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    for (path, expected) in [("?x", 400), ("?", 400), ("/?x", 401)] {
        let mut client = Frames::connect(&gateway, &[]);
        client.write(&request(1, &get(path), true));
        assert_eq!(client.end_of(1), End::Answered(expected), "{path}");
    }
    assert_eq!(upstream.take().len(), 0);
}

/// Only HTTP/1 had these bounds.
#[test]
fn t7_fields_and_values_are_bounded_as_those_of_http_1() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    for (fields, crumbs, expected) in [(100, 0, 200), (101, 0, 431), (99, 200, 200), (100, 2, 431), (4, 300, 200)] {
        let all: Vec<(&str, &str)> =
            [&get("/public/x")[..], &vec![("x-a", "b"); fields], &vec![("cookie", "a=b"); crumbs]].concat();
        let mut client = Frames::connect(&gateway, &[]);
        client.write(&request(1, &all, true));
        assert_eq!(client.end_of(1), End::Answered(expected), "{fields} fields, {crumbs} crumbs");
    }
    // A length of 16 KiB, and one more (RFC 7541 section 5.1).
    for (low, length, expected) in [(0x81, 16 * 1024, 200), (0x82, 16 * 1024 + 1, 431)] {
        let bytes = [&block(&get("/public/x"))[..], b"\0\x03x-a\x7f", &[low, 0x7f], &b"b".repeat(length)].concat();
        let (first, rest) = bytes.split_at(16_000);
        let mut client = Frames::connect(&gateway, &[]);
        client.write(&frame(HEADERS, END_STREAM, 1, first));
        client.write(&frame(CONTINUATION, END_HEADERS, 1, rest));
        assert_eq!(client.end_of(1), End::Answered(expected), "a value of {length} bytes");
    }
}

#[test]
fn c13_each_stream_is_judged_by_itself() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let token = Wallet::evm(1).token();
    gateway.secrets.add(&token);
    let (first, second) = token.split_at(token.len());
    assert!(second.is_empty());
    let mut client = Frames::connect(&gateway, &[]);
    // The token is longer than a block of the harness has: its own length goes before it.
    let mut head = block(&get("/wallet/x"));
    head.extend([0, 13]);
    head.extend(b"authorization");
    let mut rest = first.len() - 127;
    head.push(127);
    while rest >= 128 {
        head.push(u8::try_from(rest % 128).expect("seven bits") | 128);
        rest /= 128;
    }
    head.push(u8::try_from(rest).expect("seven bits"));
    head.extend(first.as_bytes());
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head));
    assert_eq!(client.end_of(1), End::Answered(200));
    client.write(&request(3, &get("/wallet/x"), true));
    assert_eq!(client.end_of(3), End::Answered(401));
    assert_eq!(upstream.take().len(), 1);
}

/// A flood of one kind of frame: what each is, how the connection ends, and what is counted.
struct Flood {
    name: &'static str,
    bytes: Vec<u8>,
    error: u32,
    counted: &'static str,
}

#[test]
fn t5_t6_t7_t8_floods_end_the_connection() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let usual = block(&get("/public/x"));
    let opened = |stream: u32| request(stream, &get("/public/x"), true);
    let resets: Vec<u8> = (0..400)
        .map(|number| number * 2 + 1)
        .flat_map(|stream| [opened(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat())
        .collect();
    // More than was promised is a fault for which the gateway resets the stream.
    let mut nothing = get("/public/x").to_vec();
    nothing[0].1 = "POST";
    nothing.push(("content-length", "0"));
    let made: Vec<u8> = (0..400)
        .map(|number| number * 2 + 1)
        .flat_map(|stream| [request(stream, &nothing, false), frame(DATA, END_STREAM, stream, b"x")].concat())
        .collect();
    let begun = frame(HEADERS, END_STREAM, 1, &usual[..5]);
    let continued = |piece: &[u8]| [&begun[..], &frame(CONTINUATION, 0, 1, piece).repeat(100)].concat();
    let long = [&begun[..], &frame(CONTINUATION, 0, 1, &vec![0; 16_000]).repeat(100)].concat();
    // One field of 4,000 bytes that is remembered, and 1,000 references to it.
    let mut bomb = usual.clone();
    bomb.extend([0x40, 1, b'x', 0x7f]);
    bomb.extend([0x81 + 0x20, 0x1e]);
    bomb.extend(vec![b'a'; 127 + 0x21 + 0x1e * 128]);
    bomb.extend(vec![0xbe; 4000]);
    let post = {
        let mut fields = get("/public/x").to_vec();
        fields[0].1 = "POST";
        request(1, &fields, false)
    };
    let floods = [
        Flood { name: "T5 open and reset", bytes: resets, error: ENHANCE_YOUR_CALM, counted: "rapid_reset" },
        Flood { name: "T5 made to reset", bytes: made, error: ENHANCE_YOUR_CALM, counted: "local_resets" },
        Flood { name: "T6 tiny pieces", bytes: continued(b"x"), error: ENHANCE_YOUR_CALM, counted: "continuation" },
        Flood { name: "T6 empty pieces", bytes: continued(b""), error: ENHANCE_YOUR_CALM, counted: "continuation" },
        Flood { name: "T6 long pieces", bytes: long, error: FLOW_OF_NONE, counted: "" },
        Flood {
            name: "T7 a bomb",
            bytes: frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb),
            error: ENHANCE_YOUR_CALM,
            counted: "header_list",
        },
        Flood {
            name: "T8 PING",
            bytes: frame(PING, 0, 0, &[0; 8]).repeat(50),
            error: ENHANCE_YOUR_CALM,
            counted: "ping",
        },
        Flood {
            name: "T8 SETTINGS",
            bytes: frame(SETTINGS, 0, 0, &[]).repeat(50),
            error: ENHANCE_YOUR_CALM,
            counted: "settings",
        },
        Flood {
            name: "T8 empty DATA",
            bytes: [&post[..], &frame(DATA, 0, 1, &[]).repeat(500)].concat(),
            error: ENHANCE_YOUR_CALM,
            counted: "protocol",
        },
        Flood {
            name: "T8 DATA that is padding",
            bytes: [&post[..], &frame(DATA, PADDED, 1, &[3, 0, 0, 0]).repeat(500)].concat(),
            error: ENHANCE_YOUR_CALM,
            counted: "protocol",
        },
        Flood {
            name: "T8 WINDOW_UPDATE of the connection",
            bytes: frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(500),
            error: ENHANCE_YOUR_CALM,
            counted: "protocol",
        },
        Flood {
            name: "T8 WINDOW_UPDATE of a stream",
            bytes: [&post[..], &frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]).repeat(500)].concat(),
            error: ENHANCE_YOUR_CALM,
            counted: "protocol",
        },
        Flood {
            name: "T8 frames that HTTP/2 does not know",
            bytes: frame(0xbb, 0, 0, b"grease").repeat(500),
            error: ENHANCE_YOUR_CALM,
            counted: "protocol",
        },
        Flood {
            name: "T8 PRIORITY",
            bytes: frame(PRIORITY, 0, 5, &[0, 0, 0, 3, 1]).repeat(500),
            error: ENHANCE_YOUR_CALM,
            counted: "protocol",
        },
    ];
    let mut polite = gateway.client();
    for flood in floods {
        let series = format!("siwx_h2_goaways_total{{reason=\"{}\"}}", flood.counted);
        let before = gateway.metrics().0.get(&series).copied();
        let mut client = Frames::connect(&gateway, &[]);
        client.write(&flood.bytes);
        let error = client.goaway();
        assert_eq!(polite.send(&Request::get("/public/polite")).status, 200, "{}: others are served", flood.name);
        if flood.counted.is_empty() {
            assert!(matches!(error, Some(ENHANCE_YOUR_CALM | COMPRESSION_ERROR | PROTOCOL_ERROR)), "{}", flood.name);
            continue;
        }
        assert_eq!(error, Some(flood.error), "{}", flood.name);
        gateway.expect_metric(&series, before.expect("a series") + 1.0);
        let seen: Vec<_> = upstream.take().into_iter().filter(|seen| seen.target != "/public/polite").collect();
        assert!(seen.len() <= 200, "{}: {} requests went on", flood.name, seen.len());
    }
}

/// Resets of streams that were served, each after its answer began: h2 alone takes any number of them.
#[test]
fn t5_resets_one_by_one_are_counted() {
    let upstream = Upstream::ok();
    let rows = [("limits.http2.resets.per_10s", "20"), ("limits.http2.resets.per_connection", "20")];
    for (key, most) in rows {
        let gateway = Setup::over(&upstream).set(key, most).start();
        let mut client = Frames::connect(&gateway, &[]);
        let mut served = 0;
        for number in 0..40 {
            let stream = number * 2 + 1;
            client.write(&request(stream, &get("/public/x"), true));
            match client.end_of(stream) {
                End::Answered(200) => served += 1,
                End::Connection(error) => {
                    assert_eq!(error, Some(ENHANCE_YOUR_CALM), "{key}");
                    break;
                }
                other => panic!("{key}: {other:?}"),
            }
            client.write(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        }
        assert!((20..=22).contains(&served), "{key}: {served}");
        gateway.expect_metric("siwx_h2_goaways_total{reason=\"rapid_reset\"}", 1.0);
        upstream.take();
    }
}

#[test]
fn t7_crumbs_end_at_the_header_list_limit() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let crumb = ("cookie", "a=0123456789012345678901234567890123456789");
    let fields: Fields<'_> = &[&get("/public/x")[..], &vec![crumb; 600]].concat();
    let bytes = block(fields);
    let (first, rest) = bytes.split_at(16_000);
    let mut client = Frames::connect(&gateway, &[]);
    client.write(&frame(HEADERS, END_STREAM, 1, first));
    client.write(&frame(CONTINUATION, END_HEADERS, 1, rest));
    let end = client.end_of(1);
    assert!(matches!(end, End::Answered(431) | End::Reset(_) | End::Connection(_)), "{end:?}");
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn t9_more_streams_than_allowed_are_refused() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::scripted(move |stream, _| {
        let mut reader = std::io::BufReader::new(stream);
        if crate::harness::upstream::read_request(&mut reader).is_some() {
            let _ = released.lock().expect("no panic while held").recv();
        }
    });
    let gateway = Setup::over(&upstream).set("limits.http2.streams", "5").start();
    let mut client = Frames::connect(&gateway, &[]);
    // Once settings were told, what goes over them is refused.
    client.write(&frame(PING, 0, 0, b"settings"));
    while client.next().is_some_and(|frame| frame.kind != PING) {}
    for number in 0..8 {
        client.write(&request(number * 2 + 1, &get("/public/x"), true));
    }
    let refused: Vec<End> = (5..8).map(|number| client.end_of(number * 2 + 1)).collect();
    assert_eq!(refused, vec![End::Reset(REFUSED_STREAM); 3]);
    assert!(upstream.connections() <= 5);
    drop(release);
}

#[test]
fn t10_a_client_that_takes_nothing_is_cut() {
    let upstream = large_answers();
    let gateway = Setup::over(&upstream).set("limits.body_idle_timeout", "200ms").start();
    for window in [0, 1000] {
        let begun = Instant::now();
        let mut client = Frames::connect(&gateway, &[(INITIAL_WINDOW_SIZE, window)]);
        client.write(&request(1, &get("/public/large"), true));
        assert_eq!(client.end_of(1), End::Answered(200), "a window of {window}");
        assert_eq!(client.end_of(1), End::Reset(CANCEL), "a window of {window}");
        assert!(begun.elapsed() < Duration::from_secs(10), "a window of {window}");
        // The connection goes on for who takes what is sent.
        let window = frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
        client.write(&[window, request(3, &get("/public/small"), true)].concat());
        assert_eq!(client.end_of(3), End::Answered(200));
    }
    // Windows as wide as they can be, and a socket that nobody reads.
    let mut client = Frames::connect(&gateway, &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    client.write(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]));
    for number in 0..8 {
        client.write(&request(number * 2 + 1, &get("/public/large"), true));
    }
    gateway.expect_metric("siwx_connections{protocol=\"h2\"}", 0.0);
    assert_eq!(gateway.send(&Request::get("/public/small")).status, 200);
    gateway.expect_metric("siwx_http_requests_in_flight", 0.0);
}

/// Go's client of gRPC measures the way to us by a WINDOW_UPDATE and a PING after each DATA frame that it gets while none
/// is on the way; eleven of them in a second ended its connection, in the middle of any larger answer.
#[test]
fn a_ping_after_each_frame_of_an_answer_is_no_flood() {
    let upstream = large_answers();
    let gateway = start(&upstream);
    let mut client = Frames::connect(&gateway, &[]);
    client.write(&request(1, &get("/public/large"), true));
    let (mut received, mut pings, mut under_way) = (0, 0, false);
    while received < LARGE {
        let next = client.next().expect("the connection lives");
        match next.kind {
            DATA => {
                received += next.payload.len();
                let length = u32::try_from(next.payload.len()).expect("a short frame").to_be_bytes();
                client.write(&[frame(WINDOW_UPDATE, 0, 1, &length), frame(WINDOW_UPDATE, 0, 0, &length)].concat());
                if !under_way {
                    client.write(&frame(PING, 0, 0, b"measured"));
                    (pings, under_way) = (pings + 1, true);
                }
            }
            PING => under_way = false,
            _ => {}
        }
    }
    assert!(pings > 20, "{pings}");
    client.write(&request(3, &get("/public/x"), true));
    assert_eq!(client.end_of(3), End::Answered(200));
    gateway.expect_metric("siwx_h2_goaways_total{reason=\"ping\"}", 0.0);
}

/// Windows of a kilobyte, and two updates for every half of one: more than a thousand in a second.
#[test]
fn a_large_answer_through_small_windows_is_no_flood() {
    let upstream = large_answers();
    let gateway = start(&upstream);
    let mut client = Frames::connect(&gateway, &[(INITIAL_WINDOW_SIZE, 1024)]);
    client.write(&request(1, &get("/public/large"), true));
    let (mut received, mut updates) = (0, 0);
    while received < LARGE {
        let next = client.next().expect("the connection lives");
        if next.kind == DATA {
            received += next.payload.len();
            for half in [next.payload.len() / 2, next.payload.len().div_ceil(2)].into_iter().filter(|half| *half > 0) {
                let length = u32::try_from(half).expect("a short frame").to_be_bytes();
                client.write(&[frame(WINDOW_UPDATE, 0, 1, &length), frame(WINDOW_UPDATE, 0, 0, &length)].concat());
                updates += 2;
            }
        }
    }
    assert!(updates > 5000, "{updates}");
    client.write(&request(3, &get("/public/x"), true));
    assert_eq!(client.end_of(3), End::Answered(200));
    gateway.expect_metric("siwx_h2_goaways_total{reason=\"protocol\"}", 0.0);
}
