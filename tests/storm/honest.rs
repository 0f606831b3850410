//! Those who have a right to what they ask for, or know that they have not. Each answer must be the one that is due,
//! with the name of the one who asked in it.

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use crate::{
    random::Random,
    ticket::{Kind, SPOOF, Ticket},
    wallet::Wallet,
    world::{Answer, BY_ADMIN, BY_OTHERS, Connection, SUBSCRIBED, UNSUBSCRIBED, World},
};

/// An honest client: its loop until the storm is over.
pub(crate) type Client = fn(&World, Random, Ipv4Addr);

/// All of them.
pub(crate) const CLIENTS: &[Client] =
    &[warm, many, cold, changing, unsubscribed, bodies, spoofing, nginx, sessions, http2];

/// Between two requests of one client, so that two cores are enough for all.
const PAUSE: Duration = Duration::from_micros(300);

/// What a browser says of the page it shows.
const ORIGIN: &str = "Origin: https://api.example.com\r\n";

/// Fields that name what a client may not name, in spellings that services take for the same.
pub(crate) fn spoofed_fields(random: &mut Random) -> String {
    const NAMES: [&str; 24] = [
        "X-SIWX-Account",
        "x-siwx-address",
        "X_SIWX_Account",
        "X-Siwx_Address",
        "x.siwx.account",
        "X~SIWX~Account",
        "x-siwx-plan",
        "X-SIWX-Session",
        "X-SIWX-Assertion",
        "X-SIWX-Anything",
        "X-Forwarded-Uri",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Method",
        "X-HTTP-Method-Override",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "Forwarded",
        "X-Real-IP",
        "X_Forwarded_For",
        "X!SIWX!Account",
        "X-SIWX-ACCOUNT",
        "x-Forwarded-Prefix",
        "X-Original-URI",
    ];
    let mut fields = String::new();
    for _ in 0..1 + random.below(4) {
        let name = random.pick(&NAMES);
        fields.push_str(&format!("{name}: {SPOOF}\r\n"));
        if random.below(4) == 0 {
            fields.push_str(&format!("Connection: {name}\r\n"));
        }
    }
    fields
}

fn head(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: api.example.com\r\n{fields}\r\n")
}

/// Who keeps a connection, and opens another when the gateway asks for that.
struct Keeping<'w> {
    world: &'w World,
    from: Ipv4Addr,
    connection: Option<Connection>,
}

impl<'w> Keeping<'w> {
    const fn new(world: &'w World, from: Ipv4Addr) -> Self {
        Self { world, from, connection: None }
    }

    /// The answer; none is a fault.
    fn ask(&mut self, who: &'static str, request: &[u8]) -> Option<Answer> {
        std::thread::sleep(PAUSE);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match self.world.connect(self.from) {
                Ok(connection) => connection,
                Err(error) => {
                    self.world.fault(format!("{who}: no connection: {error}"));
                    return None;
                }
            },
        };
        match connection.ask(request) {
            Ok(answer) => {
                if !answer.closes() {
                    self.connection = Some(connection);
                }
                Some(answer)
            }
            Err(error) => {
                let shown = String::from_utf8_lossy(request);
                self.world.fault(format!("{who}: no answer: {error} to {}", shown.lines().next().unwrap_or("")));
                self.world.count(who, "no answer");
                None
            }
        }
    }
}

/// Holds an answer to what an upstream would say to exactly this one who asked.
fn expect_ok(world: &World, who: &'static str, prefix: &str, ticket: Ticket, sent: usize, answer: &Answer) {
    let account = if ticket.kind == Kind::Public { "" } else { &world.accounts[ticket.wallet] };
    let due = format!("{prefix}/{ticket}\n{account}\n{sent}\n");
    let body = String::from_utf8_lossy(&answer.body);
    if answer.status != 200 || body != due {
        world.fault(format!("{who}: {} {body:?} where {due:?} was due", answer.status));
    }
}

/// One wallet, one token, one connection.
fn warm(world: &World, mut random: Random, from: Ipv4Addr) {
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    let token = format!("Authorization: {}\r\n", world.token(wallet));
    let mut client = Keeping::new(world, from);
    while !world.is_over() {
        let prefix = *random.pick(&["/paid", "/wallet", "/pro"]);
        let ticket = world.ticket(Kind::Honest, wallet);
        if let Some(answer) =
            client.ask("warm token", head("GET", &format!("{prefix}/{ticket}?a=b"), &token).as_bytes())
        {
            expect_ok(world, "warm token", prefix, ticket, 0, &answer);
            world.count("warm token", answer.status);
        }
    }
}

/// Many wallets by turns on one connection, as behind a proxy of theirs.
fn many(world: &World, mut random: Random, from: Ipv4Addr) {
    let tokens: Vec<String> = SUBSCRIBED.map(|wallet| format!("Authorization: {}\r\n", world.token(wallet))).collect();
    let mut client = Keeping::new(world, from);
    while !world.is_over() {
        let place = random.below(tokens.len());
        let ticket = world.ticket(Kind::Honest, SUBSCRIBED.start + place);
        let request = head("GET", &format!("/paid/{ticket}"), &tokens[place]);
        if let Some(answer) = client.ask("many wallets", request.as_bytes()) {
            expect_ok(world, "many wallets", "/paid", ticket, 0, &answer);
            world.count("many wallets", answer.status);
        }
    }
}

/// A new token with every request.
fn cold(world: &World, mut random: Random, from: Ipv4Addr) {
    let mut client = Keeping::new(world, from);
    while !world.is_over() {
        let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
        let ticket = world.ticket(Kind::Honest, wallet);
        let token = format!("Authorization: {}\r\n", world.token(wallet));
        if let Some(answer) = client.ask("new token", head("GET", &format!("/paid/{ticket}"), &token).as_bytes()) {
            expect_ok(world, "new token", "/paid", ticket, 0, &answer);
            world.count("new token", answer.status);
        }
    }
}

/// Wallets whose subscriptions come and go meanwhile.
fn changing(world: &World, mut random: Random, from: Ipv4Addr) {
    let wallets: Vec<usize> = BY_ADMIN.chain(BY_OTHERS).collect();
    let tokens: Vec<String> =
        wallets.iter().map(|wallet| format!("Authorization: {}\r\n", world.token(*wallet))).collect();
    let mut round = 0u32;
    let mut client = Keeping::new(world, from);
    while !world.is_over() {
        // Each refusal counts against its address, so that many addresses are needed for as many of them.
        round += 1;
        if round.is_multiple_of(10) {
            let [a, b, _, d] = from.octets();
            client = Keeping::new(world, Ipv4Addr::new(a, b, (round / 10 % 250) as u8, d));
        }
        let place = random.below(wallets.len());
        let wallet = wallets[place];
        let ticket = world.ticket(Kind::Honest, wallet);
        let before = world.before(wallet);
        let request = head("GET", &format!("/paid/{ticket}"), &tokens[place]);
        std::thread::sleep(PAUSE * 4);
        let Some(answer) = client.ask("changing subscription", request.as_bytes()) else { continue };
        world.count("changing subscription", answer.status);
        match (world.held(wallet, before), answer.status) {
            (Some(true) | None, 200) => expect_ok(world, "changing subscription", "/paid", ticket, 0, &answer),
            (Some(false) | None, 403) => {}
            (held, status) => world.fault(format!("changing subscription: {status}, held {held:?}, wallet {wallet}")),
        }
    }
}

/// Good wallets that have nothing.
fn unsubscribed(world: &World, mut random: Random, from: Ipv4Addr) {
    let mut round = 0u32;
    while !world.is_over() {
        round += 1;
        let [a, b, _, _] = from.octets();
        let from = Ipv4Addr::new(a, b, (round / 250 % 250) as u8, (round % 250) as u8 + 1);
        let mut client = Keeping::new(world, from);
        let wallet = UNSUBSCRIBED.start + random.below(UNSUBSCRIBED.len());
        let token = format!("Authorization: {}\r\n", world.token(wallet));
        let ticket = world.ticket(Kind::Forbidden, wallet);
        if let Some(answer) = client.ask("no subscription", head("GET", &format!("/paid/{ticket}"), &token).as_bytes())
        {
            world.count("no subscription", answer.status);
            if answer.status != 403 {
                world.fault(format!("no subscription: {}", answer.status));
            }
        }
        // The same wallet is served where it need not have paid.
        let ticket = world.ticket(Kind::Honest, wallet);
        if let Some(answer) =
            client.ask("no subscription", head("GET", &format!("/wallet/{ticket}"), &token).as_bytes())
        {
            world.count("no subscription", answer.status);
            expect_ok(world, "no subscription", "/wallet", ticket, 0, &answer);
        }
    }
}

/// Bodies of all sizes, with a length and in chunks.
fn bodies(world: &World, mut random: Random, from: Ipv4Addr) {
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    let token = format!("Authorization: {}\r\n", world.token(wallet));
    let mut client = Keeping::new(world, from);
    while !world.is_over() {
        let size = [0, 1, 100, 5000, 70_000, 300_000][random.below(6)];
        let ticket = world.ticket(Kind::Honest, wallet);
        let target = format!("/paid/{ticket}");
        let request = if random.below(2) == 0 {
            let mut request = head("POST", &target, &format!("{token}Content-Length: {size}\r\n")).into_bytes();
            request.resize(request.len() + size, b'x');
            request
        } else {
            let mut request = head("PUT", &target, &format!("{token}Transfer-Encoding: chunked\r\n")).into_bytes();
            let mut left = size;
            while left > 0 {
                let chunk = left.min(1 + random.below(9000));
                request.extend_from_slice(format!("{chunk:x}\r\n").as_bytes());
                request.resize(request.len() + chunk, b'x');
                request.extend_from_slice(b"\r\n");
                left -= chunk;
            }
            request.extend_from_slice(b"0\r\n\r\n");
            request
        };
        if let Some(answer) = client.ask("bodies", &request) {
            expect_ok(world, "bodies", "/paid", ticket, size, &answer);
            world.count("bodies", answer.status);
        }
    }
}

/// Subscribers, and visitors of the public part, who also say who they are in words of their own.
fn spoofing(world: &World, mut random: Random, from: Ipv4Addr) {
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    let token = format!("Authorization: {}\r\n", world.token(wallet));
    let mut client = Keeping::new(world, from);
    while !world.is_over() {
        let fields = spoofed_fields(&mut random);
        let (prefix, kind, fields) = match random.below(2) {
            0 => ("/public", Kind::Public, fields),
            _ => ("/paid", Kind::Honest, format!("{token}{fields}")),
        };
        let ticket = world.ticket(kind, wallet);
        if let Some(answer) =
            client.ask("spoofed fields", head("GET", &format!("{prefix}/{ticket}"), &fields).as_bytes())
        {
            expect_ok(world, "spoofed fields", prefix, ticket, 0, &answer);
            world.count("spoofed fields", answer.status);
        }
    }
}

/// Subscribers of what nginx serves, which is there or not.
fn nginx(world: &World, mut random: Random, from: Ipv4Addr) {
    let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
    let token = format!("Authorization: {}\r\n", world.token(wallet));
    let mut client = Keeping::new(world, from);
    while !world.is_over() {
        let before = world.nginx_before();
        let ticket = world.ticket(Kind::Honest, wallet);
        let Some(answer) = client.ask("nginx", head("GET", &format!("/nginx/{ticket}"), &token).as_bytes()) else {
            continue;
        };
        match (world.nginx_was_up(before), answer.status) {
            (_, 200) => {
                expect_ok(world, "nginx", "/nginx", ticket, 0, &answer);
                world.count("nginx", 200);
            }
            (Some(false) | None, 502..=504) => world.count("nginx", format!("{} in an outage", answer.status)),
            (up, status) => world.fault(format!("nginx: {status}, up {up:?}")),
        }
        // Refusals stay right while it is down.
        let ticket = world.ticket(Kind::Forbidden, wallet);
        if random.below(200) == 0
            && let Some(answer) = client.ask("nginx", head("GET", &format!("/nginx/{ticket}"), "").as_bytes())
        {
            world.count("nginx", answer.status);
            if answer.status != 401 {
                world.fault(format!("nginx: {} without a credential", answer.status));
            }
        }
    }
}

/// Browsers that sign in, ask and sign out, and whose old cookies are shown again.
fn sessions(world: &World, mut random: Random, from: Ipv4Addr) {
    let mut round = 0u32;
    while !world.is_over() {
        round += 1;
        let [a, b, _, _] = from.octets();
        let mut client = Keeping::new(world, Ipv4Addr::new(a, b, (round / 250 % 250) as u8, (round % 250) as u8 + 1));
        let wallet = SUBSCRIBED.start + random.below(SUBSCRIBED.len());
        let Some(answer) = client.ask("sessions", head("GET", "/.siwx/nonce", ORIGIN).as_bytes()) else { continue };
        let Some(post) = sign_in(world, wallet, &answer) else {
            world.fault(format!("sessions: no nonce but {}", answer.status));
            continue;
        };
        let Some(answer) = client.ask("sessions", post.as_bytes()) else { continue };
        world.count("sessions", answer.status);
        let Some(cookie) = answer.cookie().filter(|_| answer.status == 201) else {
            world.fault(format!("sessions: a sign-in is {} {}", answer.status, String::from_utf8_lossy(&answer.body)));
            continue;
        };
        let fields = format!("{ORIGIN}Cookie: {cookie}\r\n");
        let ticket = world.ticket(Kind::Honest, wallet);
        if let Some(answer) = client.ask("sessions", head("GET", &format!("/paid/{ticket}"), &fields).as_bytes()) {
            expect_ok(world, "sessions", "/paid", ticket, 0, &answer);
            world.count("sessions", answer.status);
        }
        // The same sign-in once more.
        if let Some(answer) = client.ask("sessions", post.as_bytes()) {
            world.count("sessions, replayed", answer.status);
            if answer.status != 401 {
                world.fault(format!("sessions: a sign-in is taken twice: {}", answer.status));
            }
        }
        let own = &world.wallets[wallet];
        let leave = format!("/.siwx/sessions?chainId={}&address={}", own.chain(), own.address());
        let Some(answer) = client.ask("sessions", head("DELETE", &leave, &fields).as_bytes()) else { continue };
        if !matches!(answer.status, 200 | 204) {
            world.fault(format!("sessions: a sign-out is {}", answer.status));
            continue;
        }
        let ticket = world.ticket(Kind::Forbidden, wallet);
        if let Some(answer) = client.ask("sessions", head("GET", &format!("/paid/{ticket}"), &fields).as_bytes()) {
            world.count("sessions, replayed", answer.status);
            if answer.status != 401 {
                world.fault(format!("sessions: a cookie after the sign-out is {}", answer.status));
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks for a nonce and signs in with it; what a gateway says to that.
pub(crate) fn signs_in(world: &World, wallet: usize, from: Ipv4Addr) -> std::io::Result<Answer> {
    let mut connection = world.connect(from)?;
    let nonce = connection.ask(head("GET", "/.siwx/nonce", ORIGIN).as_bytes())?;
    match sign_in(world, wallet, &nonce) {
        Some(post) => connection.ask(post.as_bytes()),
        None => Ok(nonce),
    }
}

/// A sign-in with the nonce of an answer.
fn sign_in(world: &World, wallet: usize, answer: &Answer) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    let nonce = answer["nonce"].as_str()?;
    let own: &Wallet = &world.wallets[wallet];
    let text = world.text(wallet, 300).with("Nonce", nonce);
    let field = |name: &str| text.fields.iter().find(|(of, _)| *of == name).map(|(_, value)| value.clone());
    let message = text.to_string();
    let body = json!({
        "data": {
            "accountAddress": text.address,
            "chainId": own.chain(),
            "domain": text.domain,
            "version": "1",
            "uri": field("URI"),
            "nonce": nonce,
            "issuedAt": field("Issued At"),
            "expirationTime": field("Expiration Time"),
            "statement": text.statement,
        },
        "message": message,
        "signature": own.written(&own.sign(&message)),
    })
    .to_string();
    Some(head("POST", "/.siwx/sessions", &format!("{ORIGIN}Content-Length: {}\r\n", body.len())) + &body)
}

/// Sixteen wallets at once on one connection of HTTP/2.
fn http2(world: &World, mut random: Random, from: Ipv4Addr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tokens: Vec<String> = SUBSCRIBED.map(|wallet| world.token(wallet)).collect();
    runtime.block_on(async {
        while !world.is_over() {
            let stream = match world.connect(from).and_then(|connection| {
                let stream = connection.0.into_inner();
                stream.set_nonblocking(true)?;
                tokio::net::TcpStream::from_std(stream)
            }) {
                Ok(stream) => stream,
                Err(error) => {
                    world.fault(format!("HTTP/2: no connection: {error}"));
                    return;
                }
            };
            let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let Ok((sender, connection)) = shaken else {
                world.fault("HTTP/2: no handshake".to_owned());
                return;
            };
            let connection = tokio::spawn(connection);
            for _ in 0..20 {
                let asked = (0..16).map(|_| {
                    let place = random.below(tokens.len());
                    let ticket = world.ticket(Kind::Honest, SUBSCRIBED.start + place);
                    let request = http::Request::get(format!("http://api.example.com/paid/{ticket}"))
                        .header("authorization", &tokens[place])
                        .body(Empty::<Bytes>::new())
                        .expect("a request");
                    let answer = sender.clone().send_request(request);
                    tokio::spawn(async move {
                        let (parts, body) = answer.await.map_err(|error| error.to_string())?.into_parts();
                        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes().to_vec();
                        Ok::<_, String>((ticket, Answer { status: parts.status.as_u16(), head: String::new(), body }))
                    })
                });
                for asked in asked.collect::<Vec<_>>() {
                    match asked.await.expect("no panic") {
                        Ok((ticket, answer)) => {
                            expect_ok(world, "HTTP/2", "/paid", ticket, 0, &answer);
                            world.count("HTTP/2", answer.status);
                        }
                        Err(error) => world.fault(format!("HTTP/2: no answer: {error}")),
                    }
                }
                tokio::time::sleep(PAUSE * 16).await;
            }
            drop(sender);
            let _ = connection.await;
        }
    });
}
