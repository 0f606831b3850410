//! Credentials that are none.

use std::{net::Ipv4Addr, time::Duration};

use super::{forbidden, get, say};
use crate::{
    random::Random,
    ticket::Kind,
    wallet::{self, Wallet, token},
    world::{SUBSCRIBED, World, now},
};

fn send(world: &World, random: &mut Random, from: Ipv4Addr, token: &[u8]) -> String {
    let target = forbidden(world, random);
    let mut bytes = format!("GET {target} HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: ").into_bytes();
    bytes.extend_from_slice(token);
    bytes.extend_from_slice(b"\r\n\r\n");
    say(world, from, &bytes, 1)
}

/// What a token says, whichever of the allowed spellings it has: padding, alphabet and the case of hex do not count.
fn meaning(token: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(token).ok()?;
    let (message, signature) = text.strip_prefix("SIWX ")?.trim().split_once('.')?;
    let message = message.trim_end_matches('=').replace('-', "+").replace('_', "/");
    let signature = signature.strip_prefix("0x").map_or_else(|| signature.to_owned(), str::to_ascii_lowercase);
    Some((message, signature))
}

fn number(random: &mut Random) -> usize {
    SUBSCRIBED.start + random.below(SUBSCRIBED.len())
}

/// Another wallet of the same family.
fn other(world: &World, number: usize) -> &Wallet {
    &world.wallets[SUBSCRIBED.start + (number + 2 - SUBSCRIBED.start) % SUBSCRIBED.len()]
}

/// A good token, which the cache may know, with something changed in it.
pub(super) fn forged(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let number = number(random);
    let own = &world.wallets[number];
    let text = world.text(number, 3600).to_string();
    let signature = own.sign(&text);
    let written = |signature: &[u8]| token(&text, &own.written(signature)).into_bytes();
    let good = written(&signature);
    let mut bytes = good.clone();
    // The scheme and the blank behind it are the words of `no_credential`.
    let place = 5 + random.below(bytes.len() - 5);
    match random.below(14) {
        0 => bytes[place] ^= 1 << random.below(7),
        1 => bytes[place] |= 0x80,
        2 => bytes[place] = random.byte(),
        3 => drop(bytes.remove(place)),
        4 => bytes.insert(place, *random.pick(b"Aa0.=+/-_ \t,;\"%")),
        5 => bytes.truncate(place),
        6 => {
            let ends: [&[u8]; 7] = [b"A", b".", b"=", b"00", b", SIWX x.y", b"\x00", b"\xff"];
            bytes.extend_from_slice(ends[random.below(ends.len())]);
        }
        7 => bytes.swap(place, 5),
        8 => bytes.insert(bytes.iter().position(|byte| *byte == b'.').unwrap_or(5), b'.'),
        9 => drop(bytes.splice(place..=place, format!("%{:02x}", good[place]).into_bytes())),
        // Another wallet's signature, one over another text, the same with the other s, and one of zeroes.
        10 => bytes = written(&other(world, number).sign(&text)),
        11 => bytes = written(&own.sign(&text.replace("Sign in", "Sign out"))),
        12 if matches!(own, Wallet::Evm(_)) => bytes = written(&wallet::with_high_s(&signature)),
        _ => bytes = written(&vec![0; signature.len()]),
    }
    if meaning(&bytes) == meaning(&good) {
        return "the same after all".to_owned();
    }
    if random.below(2) == 0 {
        // The good one first, from where nobody has used anything up, so that the cache knows it.
        let fields = format!("Authorization: {}\r\n", String::from_utf8_lossy(&good));
        let warm = get(&format!("/wallet/{}", world.ticket(Kind::Honest, number)), &fields);
        let status = say(world, Ipv4Addr::new(127, 9, 9, 1), &warm, 1);
        if status != "200" {
            world.fault(format!("the good one of a forged token: {status}"));
        }
    }
    send(world, random, from, &bytes)
}

/// Signed well by its wallet, and saying what is not so here.
pub(super) fn wrong_claim(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let number = number(random);
    let text = world.text(number, 3600);
    let later = |seconds: i64| now().plus_millis(seconds * 1000).to_string();
    let text = match random.below(14) {
        0 => text.for_domain("evil.example"),
        1 => text.for_domain("api.example.com."),
        2 => text.for_domain("API.example.com"),
        3 => text.for_domain("api.example.com:8443"),
        4 => text.for_domain("x.api.example.com"),
        5 => text.with("URI", "https://api.example.com.evil/"),
        6 => text.with("URI", "https://api.example.com@evil.example/"),
        // Solana's chains have names of any kind.
        7 if matches!(world.wallets[number], Wallet::Evm(_)) => text.with("Chain ID", "08453"),
        8 => text.with("Version", "2"),
        9 => text.without("Expiration Time"),
        10 => text.with("Issued At", &later(600)),
        11 => text.and("Not Before", &later(600)),
        12 => text.with("Expiration Time", &later(3600 * 24 * 365)),
        _ => text.of_address(&other(world, number).address()),
    };
    send(world, random, from, world.wallets[number].token_of(&text).as_bytes())
}

/// Ended before it came.
pub(super) fn expired(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let number = number(random);
    let ended = 1 + random.below(7200) as i64;
    let at = |seconds: i64| now().plus_millis(seconds * 1000).to_string();
    let text = world.text(number, 1).with("Issued At", &at(-ended - 300)).with("Expiration Time", &at(-ended));
    send(world, random, from, world.wallets[number].token_of(&text).as_bytes())
}

/// Good for a moment, remembered, and shown again after its end.
pub(super) fn ending(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let number = number(random);
    let end = now().plus_millis(300);
    let text = world.text(number, 1).with("Expiration Time", &end.to_string());
    let token = world.wallets[number].token_of(&text);
    let warm = get(&format!("/paid/{}", world.ticket(Kind::Honest, number)), &format!("Authorization: {token}\r\n"));
    let first = say(world, from, &warm, 1);
    while now() <= end {
        std::thread::sleep(Duration::from_millis(5));
    }
    format!("{first}, then {}", send(world, random, from, token.as_bytes()))
}
