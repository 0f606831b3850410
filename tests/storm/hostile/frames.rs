//! HTTP/2 by hand: what no library would send.

use std::{
    io::{ErrorKind, Read as _},
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use super::forbidden;
use crate::{
    random::Random,
    ticket::{Kind, SPOOF},
    world::{Connection, SUBSCRIBED, World},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const WHOLE: u8 = END_HEADERS | END_STREAM;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A text as HPACK writes it: its length in a prefix of seven bits, and no Huffman code.
fn text(out: &mut Vec<u8>, text: &str) {
    match text.len().checked_sub(127) {
        None => out.push(text.len() as u8),
        Some(mut rest) => {
            out.push(127);
            while rest >= 128 {
                out.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            out.push(rest as u8);
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// A block of fields, none of them remembered.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

fn request(target: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [(":method", "GET"), (":scheme", "http"), (":authority", "api.example.com"), (":path", target)];
    [block(&usual), block(more)].concat()
}

fn open(world: &World, from: Ipv4Addr) -> Option<Connection> {
    let mut connection = world.connect(from).ok()?;
    connection.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).ok()?;
    Some(connection)
}

/// What is said until the end or for a while: the kinds of frames that matter.
fn outcome(mut connection: Connection) -> String {
    connection.wait_at_most(Duration::from_millis(100));
    let (mut bytes, mut buffer, mut closed) = (Vec::new(), [0; 16 * 1024], false);
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end && !closed {
        match connection.0.read(&mut buffer) {
            Ok(0) => closed = true,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(_) => closed = true,
        }
    }
    let (mut rest, mut kinds) = (&bytes[..], [false; 10]);
    while let [a, b, c, kind, ..] = *rest {
        let next = 9 + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c));
        if let Some(seen) = kinds.get_mut(usize::from(kind)) {
            *seen = true;
        }
        rest = rest.get(next..).unwrap_or_default();
    }
    let words = [(7, "GOAWAY"), (3, "RST_STREAM"), (1, "HEADERS")];
    let mut said: Vec<&str> = words.iter().filter(|(kind, _)| kinds[*kind]).map(|(_, word)| *word).collect();
    if closed {
        said.push("closed");
    }
    if said.is_empty() { "silence".to_owned() } else { said.join(" ") }
}

/// Requests whose frames or fields break a rule, each with a target that must not be reached.
pub(super) fn frames(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let Some(mut connection) = open(world, from) else { return "not accepted".to_owned() };
    let target = forbidden(world, random);
    let hidden = format!("x\r\n\r\nGET {target} HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    let public = format!("/public/{}", world.ticket(Kind::Public, 0));
    let split = format!("{public} HTTP/1.1\r\nHost: a\r\n\r\nGET {target}");
    let whole = |fields: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &request(&target, fields));
    let with_data = |fields: &[(&str, &str)], data: &[u8]| {
        [frame(HEADERS, END_HEADERS, 1, &request(&target, fields)), frame(DATA, END_STREAM, 1, data)].concat()
    };
    let bytes = match random.below(18) {
        0 => whole(&[("x-a", &hidden)]),
        1 => frame(HEADERS, WHOLE, 1, &request(&split, &[])),
        2 => whole(&[("X-Upper", "a")]),
        3 => whole(&[("transfer-encoding", "chunked")]),
        4 => whole(&[("connection", "x-siwx-account"), ("te", "gzip")]),
        5 => whole(&[(":path", &public)]),
        6 => whole(&[(":method", "CONNECT"), (":protocol", "websocket")]),
        7 => frame(HEADERS, WHOLE, 1, &request(&target[1..], &[])),
        8 => whole(&[("host", "evil.example")]),
        9 => whole(&[("x:y", "a"), ("x-siwx-account", SPOOF)]),
        // Lengths that disagree with what follows.
        10 => with_data(&[("content-length", "0")], hidden.as_bytes()),
        11 => with_data(&[("content-length", "500")], b"short"),
        12 => with_data(&[("content-length", "3"), ("content-length", "5")], b"hello"),
        // Frames where they may not be.
        13 => frame(DATA, 0, 1, hidden.as_bytes()),
        14 => frame(HEADERS, WHOLE, 2, &request(&target, &[])),
        15 => frame(PUSH_PROMISE, END_HEADERS, 1, &request(&target, &[])),
        16 => [frame(HEADERS, END_STREAM, 1, &request(&target, &[])), frame(PING, 0, 0, &[0; 8])].concat(),
        _ => {
            let full = [0x7f, 0xff, 0xff, 0xff];
            [frame(WINDOW_UPDATE, 0, 0, &full), frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])].concat()
        }
    };
    let _ = connection.write(&bytes);
    outcome(connection)
}

/// A stream with a credential, and many without, on one connection.
pub(super) fn unauthorised(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let Some(mut connection) = open(world, from) else { return "not accepted".to_owned() };
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    let (token, ticket) = (world.token(wallet), world.ticket(Kind::Honest, wallet));
    let good = request(&format!("/paid/{ticket}"), &[("authorization", &token)]);
    let mut bytes = frame(HEADERS, WHOLE, 1, &good);
    for stream in 1..10 {
        bytes.extend(frame(HEADERS, WHOLE, 2 * stream + 1, &request(&forbidden(world, random), &[])));
    }
    let _ = connection.write(&bytes);
    outcome(connection)
}

/// Streams that are opened and reset at once, in every second connection good ones.
pub(super) fn rapid_reset(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let Some(mut connection) = open(world, from) else { return "not accepted".to_owned() };
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    let (token, is_good) = (world.token(wallet), random.below(2) == 0);
    for stream in 0..400 {
        let stream = 2 * stream + 1;
        let fields = if is_good {
            request(&format!("/paid/{}", world.ticket(Kind::Honest, wallet)), &[("authorization", &token)])
        } else {
            request(&forbidden(world, random), &[])
        };
        let end = if random.below(8) == 0 {
            // "Made you reset": the gateway must end this stream itself.
            frame(WINDOW_UPDATE, 0, stream, &[0; 4])
        } else {
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])
        };
        if connection.write(&[frame(HEADERS, WHOLE, stream, &fields), end].concat()).is_err() {
            break;
        }
    }
    outcome(connection)
}

/// Frames that cost little to send, by the thousand.
pub(super) fn flood(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let Some(mut connection) = open(world, from) else { return "not accepted".to_owned() };
    let begin = request(&forbidden(world, random), &[]);
    let one = match random.below(6) {
        0 => frame(PING, 0, 0, &[7; 8]),
        1 => frame(SETTINGS, 0, 0, &[]),
        2 => frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]),
        3 => frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        4 => {
            let _ = connection.write(&frame(HEADERS, END_STREAM, 1, &begin));
            frame(CONTINUATION, 0, 1, &block(&[("x-a", "b")]))
        }
        _ => {
            let _ = connection.write(&frame(HEADERS, END_HEADERS, 1, &begin));
            frame(DATA, 0, 1, &[])
        }
    };
    let many = one.repeat(100);
    for _ in 0..50 {
        if connection.write(&many).is_err() {
            break;
        }
    }
    outcome(connection)
}

/// Frames of any kind on any stream, and bytes that are none.
pub(super) fn random_bytes(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let Some(mut connection) = open(world, from) else { return "not accepted".to_owned() };
    let mut bytes = Vec::new();
    for _ in 0..1 + random.below(20) {
        let length = random.below(200);
        let payload = random.bytes(length);
        if random.below(3) == 0 {
            bytes.extend(payload);
        } else {
            bytes.extend(frame(random.below(11) as u8, random.byte(), random.below(9) as u32, &payload));
        }
    }
    let _ = connection.write(&bytes);
    outcome(connection)
}
