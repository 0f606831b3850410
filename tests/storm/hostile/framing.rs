//! Bytes of HTTP/1 that two readers could cut differently, that never end, or that are none.

use std::{net::Ipv4Addr, time::Duration};

use super::{forbidden, get, say, statuses};
use crate::{
    random::Random,
    ticket::Kind,
    world::{SUBSCRIBED, World},
};

const HOST: &str = "Host: api.example.com\r\n";

/// Rows S1 to S12: a request that is public, and behind it one that is not, which some reader would not see.
pub(super) fn smuggling(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    const FIELDS: &[&str] = &[
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 200\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer_Encoding: chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 18446744073709551617\r\n",
        "Content-Length : 5\r\n",
        "Content_Length: 5\r\n",
        "Content-Length: 5\r\nContent_Length: 0\r\n",
        "Content-Length: 5\r\nConnection: Content-Length\r\n",
        "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding, close\r\n",
        "Expect: 100-continue\r\nContent-Length: 5\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    ];
    const BODIES: &[&str] = &[
        "5\r\nhello\r\n0\r\n\r\n",
        "hello",
        "0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-SIWX-Account: a\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r",
        "",
    ];
    let outer = world.ticket(Kind::Public, 0);
    let hidden = forbidden(world, random);
    let (fields, body) = (random.pick(FIELDS), random.pick(BODIES));
    let method = *random.pick(&["POST", "POST", "GET", "HEAD", "DELETE", "OPTIONS"]);
    let version = if random.below(12) == 0 { "1.0" } else { "1.1" };
    let mut bytes = format!("{method} /public/{outer} HTTP/{version}\r\n{HOST}{fields}\r\n{body}").into_bytes();
    bytes.extend(get(&hidden, ""));
    say(world, from, &bytes, if method == "HEAD" { 1 } else { 2 })
}

/// Good requests and bad ones in one write: a good one does not open the door for the next.
pub(super) fn pipelining(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    let token = format!("Authorization: {}\r\n", world.token(wallet));
    let mut bytes = Vec::new();
    let count = 2 + random.below(6);
    for _ in 0..count {
        if random.below(2) == 0 {
            bytes.extend(get(&format!("/paid/{}", world.ticket(Kind::Honest, wallet)), &token));
        } else {
            bytes.extend(get(&forbidden(world, random), ""));
        }
    }
    let answers = say(world, from, &bytes, count);
    let all = answers.split(' ').filter(|status| matches!(*status, "200" | "401" | "429")).count() == count;
    if all { "all answered".to_owned() } else { "cut short".to_owned() }
}

/// A request with a body, good for its wallet.
fn upload(world: &World, random: &mut Random, size: usize) -> Vec<u8> {
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    let (token, ticket) = (world.token(wallet), world.ticket(Kind::Honest, wallet));
    let fields = format!("{HOST}Authorization: {token}\r\nContent-Length: {size}\r\n");
    let mut bytes = format!("POST /paid/{ticket} HTTP/1.1\r\n{fields}\r\n").into_bytes();
    bytes.resize(bytes.len() + size, b'x');
    bytes
}

/// A part of a good request; the rest never comes.
pub(super) fn half(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let mut bytes = upload(world, random, 10_000);
    bytes.truncate(1 + random.below(bytes.len() - 1));
    say(world, from, &bytes, 1)
}

/// A request without a credential, a few bytes at a time, with or without an end.
pub(super) fn slow(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let Ok(mut connection) = world.connect(from) else { return "not accepted".to_owned() };
    let bytes = get(&forbidden(world, random), "X-Slow: yes\r\n");
    let end = if random.below(2) == 0 { bytes.len() } else { random.below(bytes.len()) };
    for part in bytes[..end].chunks(1 + random.below(9)) {
        if connection.write(part).is_err() {
            return "closed".to_owned();
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    statuses(&mut connection, 1)
}

/// A good request, and a reset while its body or its answer is on the way.
pub(super) fn reset(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let Ok(mut connection) = world.connect(from) else { return "not accepted".to_owned() };
    let bytes = upload(world, random, 100_000);
    let _ = connection.write(&bytes[..1 + random.below(bytes.len())]);
    let _ = socket2::SockRef::from(connection.0.get_ref()).set_linger(Some(Duration::ZERO));
    "reset".to_owned()
}

pub(super) fn random_bytes(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let length = 1 + random.below(3000);
    let mut bytes = random.bytes(length);
    if random.below(2) == 0 {
        bytes.splice(0..0, *b"GET ");
    }
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend(get(&forbidden(world, random), ""));
    say(world, from, &bytes, 1)
}

/// A greeting of TLS, or half of one.
pub(super) fn tls(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let length = random.below(600);
    let mut bytes = vec![0x16, 3, 1, (length >> 8) as u8, length as u8, 1, 0, 1, 0xfc, 3, 3];
    bytes.extend(random.bytes(length));
    say(world, from, &bytes, 1)
}
