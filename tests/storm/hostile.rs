//! Those who have no right to anything, and try. None of their hidden requests may reach an upstream; what they are
//! answered is only counted.

mod frames;
mod framing;
mod tokens;

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use crate::{
    random::Random,
    ticket::{Kind, SPOOF},
    world::{Connection, SUBSCRIBED, World},
};

/// One attempt: what came of it.
pub(crate) type Attempt = fn(&World, &mut Random, Ipv4Addr) -> String;

/// All attempts by their names.
const ATTEMPTS: &[(&str, Attempt)] = &[
    ("forged token", tokens::forged),
    ("wrong claim", tokens::wrong_claim),
    ("token of an hour ago", tokens::expired),
    ("token that ends meanwhile", tokens::ending),
    ("no credential", no_credential),
    ("identity fields alone", identity_alone),
    ("header flood", header_flood),
    ("path trick", path_trick),
    ("smuggling", framing::smuggling),
    ("pipelining", framing::pipelining),
    ("half a request", framing::half),
    ("slow writer", framing::slow),
    ("reset in the middle", framing::reset),
    ("random bytes", framing::random_bytes),
    ("TLS where none is spoken", framing::tls),
    ("HTTP/2 frames", frames::frames),
    ("HTTP/2 without a credential", frames::unauthorised),
    ("HTTP/2 rapid reset", frames::rapid_reset),
    ("HTTP/2 flood", frames::flood),
    ("HTTP/2 random bytes", frames::random_bytes),
];

/// A quarter of the attempts come from one address, which uses up what it has; the others each from another one.
pub(crate) fn attacker(world: &World, mut random: Random, from: Ipv4Addr) {
    let [a, b, _, _] = from.octets();
    while !world.is_over() {
        let from = if random.below(4) == 0 {
            from
        } else {
            Ipv4Addr::new(a, b, random.below(250) as u8, 1 + random.below(250) as u8)
        };
        let (name, attempt) = random.pick(ATTEMPTS);
        let outcome = attempt(world, &mut random, from);
        world.count(name, outcome);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Opens connections and never says a word on them, as many as one address may have and more.
pub(crate) fn silent(world: &World, _: Random, from: Ipv4Addr) {
    while !world.is_over() {
        let held: Vec<Connection> = (0..300).map_while(|_| world.connect(from).ok()).collect();
        world.count("silent connections", "held");
        let end = Instant::now() + Duration::from_secs(3);
        while !world.is_over() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(held);
    }
}

/// Sends bytes and reads up to so many answers; the statuses, and how it ended.
fn say(world: &World, from: Ipv4Addr, bytes: &[u8], answers: usize) -> String {
    let Ok(mut connection) = world.connect(from) else { return "not accepted".to_owned() };
    // The gateway may have answered and closed before the last byte.
    let _ = connection.write(bytes);
    statuses(&mut connection, answers)
}

fn statuses(connection: &mut Connection, answers: usize) -> String {
    connection.wait_at_most(Duration::from_millis(400));
    let mut outcome = Vec::new();
    for _ in 0..answers {
        match connection.read() {
            Ok(answer) => outcome.push(answer.status.to_string()),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                outcome.push("silence".to_owned());
                break;
            }
            Err(_) => {
                outcome.push("closed".to_owned());
                break;
            }
        }
    }
    outcome.join(" ")
}

/// A target under a protected prefix that must not be reached.
fn forbidden(world: &World, random: &mut Random) -> String {
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    format!("{}/{}", random.pick(&["/paid", "/wallet", "/pro", "/nginx"]), world.ticket(Kind::Forbidden, wallet))
}

fn get(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: api.example.com\r\n{fields}\r\n").into_bytes()
}

/// Nothing, or what is no credential: of another scheme, or where none is looked for.
fn no_credential(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    let token = world.token(wallet);
    let bare = token.trim_start_matches("SIWX ");
    let rows = [
        String::new(),
        "Authorization: \r\n".to_owned(),
        "Authorization: SIWX\r\n".to_owned(),
        format!("Authorization: {bare}\r\n"),
        format!("Authorization: Bearer {bare}\r\n"),
        format!("Authorization: SIWX SIWX {bare}\r\n"),
        format!("Authorization: {token}, {token}\r\n"),
        format!("Authorization: {token}\r\nAuthorization: {token}\r\n"),
        format!("Proxy-Authorization: {token}\r\n"),
        format!("X-Authorization: {token}\r\n"),
        format!("Authorization_: {token}\r\n"),
        format!("Cookie: __Host-siwx={bare}\r\n"),
        format!("Cookie: siwx={bare}; Authorization={bare}\r\n"),
        "User-Agent: kube-probe/1.30\r\n".to_owned(),
        "Origin: https://app.example.com\r\nAccess-Control-Request-Method: GET\r\n".to_owned(),
    ];
    let fields = random.pick(&rows);
    let method = *random.pick(&["GET", "HEAD", "POST", "OPTIONS", "DELETE", "get", "TRACE", "CONNECT", "SIWX", "PRI"]);
    let target = forbidden(world, random);
    let bytes = format!("{method} {target}?token={bare} HTTP/1.1\r\nHost: api.example.com\r\n{fields}\r\n");
    // The answer to HEAD has a length and no body.
    say(world, from, bytes.as_bytes(), usize::from(method != "HEAD"))
}

fn identity_alone(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    let (account, target) = (&world.accounts[wallet], forbidden(world, random));
    let spoofed = crate::honest::spoofed_fields(random);
    let fields = format!(
        "X-SIWX-Account: {account}\r\nX_SIWX_Address: {account}\r\nX-Forwarded-Uri: /public/x\r\n\
         X-Original-Method: OPTIONS\r\nX-Forwarded-For: 127.0.0.1\r\n{spoofed}"
    );
    say(world, from, &get(&target, &fields), 1)
}

fn header_flood(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    let target = forbidden(world, random);
    let fields = match random.below(5) {
        0 => (0..200 + random.below(2000)).map(|number| format!("X-{number}: {SPOOF}\r\n")).collect(),
        1 => format!("X-Long: {}\r\n", "x".repeat(20_000 + random.below(100_000))),
        2 => format!("Authorization: SIWX {}\r\n", "A".repeat(1 << (10 + random.below(10)))),
        3 => return say(world, from, &get(&format!("{target}?{}", "x".repeat(9000 + random.below(90_000))), ""), 1),
        _ => format!("{}: x\r\n", "X".repeat(30_000 + random.below(30_000))),
    };
    say(world, from, &get(&target, &fields), 1)
}

/// Rows P1 to P15: spellings after which some service would look below a protected prefix.
fn path_trick(world: &World, random: &mut Random, from: Ipv4Addr) -> String {
    const TRICKS: &[&str] = &[
        "/public/..{}",
        "/public/./..{}",
        "/x/..{}",
        "/public/%2e%2e{}",
        "/public/.%2e{}",
        "/public/%2E.{}",
        "/public/%2e%2e%2f{}",
        "/public/..%2f{}",
        "/public%2f..{}",
        "/public/..%5c{}",
        "/public/..\\{}",
        "/public\\..{}",
        "/public/%252e%252e{}",
        "/public/..%252f{}",
        "/public/%25252e%25252e{}",
        "/{}",
        "//{}",
        "/.{}",
        "/public/..;{}",
        "/public;/..{}",
        "/public/..;a=b{}",
        "/public/..%3b{}",
        "/public/..%00{}",
        "/public/%0d%0a{}",
        "/public/\u{1}{}",
        "/public/%c0%ae%c0%ae{}",
        "/public/\u{ff0e}\u{ff0e}{}",
        "/public/\u{200b}{}",
        "/public/..%23{}",
        "/public#/..{}",
        "/public%3f/..{}",
        "{}#/public/x",
        "{}?/public/x",
        "{}/",
        "{}/.",
        "{};a=b",
        "{}%20",
        "{}%2f",
        "/publicity{}",
        "/PUBLIC{}",
        "/Public{}",
        "http://api.example.com{}",
        "http://evil.example{}",
        "https://api.example.com{}",
        "http://public@api.example.com{}",
        "api.example.com:80{}",
        "*{}",
        "public{}",
        "?/public{}",
    ];
    let inner = forbidden(world, random);
    let inner = match random.below(6) {
        0 => inner.to_uppercase().replace("/F", "/f"),
        1 => inner.replacen("/p", "/%70", 1).replacen("/w", "/%77", 1),
        2 => inner.replacen('/', "//", 2),
        _ => inner,
    };
    let target = random.pick(TRICKS).replace("{}", &inner);
    let hosts = ["api.example.com", "API.EXAMPLE.COM.", "api.example.com:8443", "evil.example", "[::1]", ""];
    let host = if random.below(3) == 0 { *random.pick(&hosts) } else { hosts[0] };
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    say(world, from, bytes.as_bytes(), 1)
}
