//! Streams of events: passed on as they come, and ended with what let them in (hardening.md section 4, "Bodies").

use std::{
    io::{BufReader, Read as _, Write as _},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use crate::harness::{Client, Gateway, Request, Setup, Upstream, Wallet, key, upstream::read_request};

const TABLES: &str = "\n[[route]]\nname = \"live\"\nprefix = \"/live\"\nupstream = \"api\"\nauth = \"subscription\"\n\
                      recheck = \"100ms\"\n\
                      [[route]]\nname = \"short\"\nprefix = \"/short\"\nupstream = \"api\"\nauth = \"none\"\n\
                      idle_timeout = \"100ms\"\n";

/// An upstream that sends an event whenever the test has one, and says when the gateway hung up.
fn events() -> (Upstream, std::sync::mpsc::Sender<&'static str>, Receiver<()>) {
    events_as("text/event-stream")
}

/// The same with this content type.
fn events_as(kind: &'static str) -> (Upstream, std::sync::mpsc::Sender<&'static str>, Receiver<()>) {
    let (say, said) = channel::<&'static str>();
    let (hang_up, hung_up) = channel();
    let said = std::sync::Mutex::new(said);
    let upstream = Upstream::scripted(move |stream, _| {
        let mut reader = BufReader::new(stream);
        if read_request(&mut reader).is_none() {
            return;
        }
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\nx-stub: 1\r\n\r\n");
        let mut stream = reader.into_inner();
        let _ = stream.write_all(head.as_bytes());
        let said = said.lock().expect("no panic while held");
        stream.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
        loop {
            if let Ok(event) = said.recv_timeout(Duration::from_millis(5)) {
                let _ = write!(stream, "{:x}\r\n{event}\r\n", event.len());
            }
            if matches!(stream.read(&mut [0; 16]), Ok(0)) {
                let _ = hang_up.send(());
                return;
            }
        }
    });
    (upstream, say, hung_up)
}

fn open(gateway: &Gateway, target: &str, fields: &[(&str, &str)]) -> Client {
    open_by(gateway, Request::get(target), fields)
}

fn open_by(gateway: &Gateway, request: Request, fields: &[(&str, &str)]) -> Client {
    let mut client = gateway.client();
    let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
    client.write(&request.bytes());
    let (status, headers) = client.read_head().expect("an answer");
    assert_eq!(status, 200, "{headers:?}");
    client
}

/// Reads until the stream has said this.
fn hear(client: &mut Client, event: &str) {
    let (mut heard, mut bytes) = (Vec::new(), [0; 256]);
    while !String::from_utf8_lossy(&heard).contains(event) {
        let length = client.read_some(&mut bytes);
        assert!(length > 0, "the stream ended before `{event}`");
        heard.extend_from_slice(&bytes[..length]);
    }
}

/// Reads to the end of the connection; what it says.
fn rest(client: &mut Client) -> Vec<u8> {
    let (mut heard, mut bytes) = (Vec::new(), [0; 256]);
    loop {
        match client.read_some(&mut bytes) {
            0 => return heard,
            length => heard.extend_from_slice(&bytes[..length]),
        }
    }
}

#[test]
fn each_event_comes_through_at_once_and_a_revoked_subscription_ends_the_stream() {
    let (upstream, say, hung_up) = events();
    let gateway = Setup::over(&upstream).tables(TABLES).start();
    let wallet = Wallet::evm(1);
    gateway.grant(&wallet, "nano");
    let token = wallet.token();
    gateway.secrets.add(&token);
    let mut client = open(&gateway, "/live", &[("Authorization", &token), ("Accept", "text/event-stream")]);
    for event in ["data: one\n\n", "data: two\n\n"] {
        say.send(event).expect("the service lives");
        hear(&mut client, event);
    }
    std::thread::sleep(Duration::from_millis(300));
    say.send("data: still\n\n").expect("the service lives");
    hear(&mut client, "data: still");
    let revoked = gateway.block_on(gateway.store.subscriptions().revoke(&key(&wallet), "nano"));
    assert!(revoked.expect("the store revokes"));
    gateway.gate.changed(&key(&wallet));
    let rest = rest(&mut client);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "U4: it is no clean end");
    hung_up.recv_timeout(Duration::from_secs(10)).expect("the service is told");
}

#[test]
fn a_stream_ends_with_its_credential_however_it_was_asked_for() {
    for fields in [&[("Accept", "text/event-stream")][..], &[]] {
        let (upstream, say, hung_up) = events();
        let gateway = Setup::over(&upstream).tables(TABLES).start();
        let wallet = Wallet::evm(1);
        gateway.grant(&wallet, "nano");
        let token = wallet.token();
        gateway.secrets.add(&token);
        let fields: Vec<_> = fields.iter().copied().chain([("Authorization", token.as_str())]).collect();
        let mut client = open(&gateway, "/live", &fields);
        say.send("data: one\n\n").expect("the service lives");
        hear(&mut client, "data: one");
        gateway.set_time("2026-11-20T11:00:00.000Z");
        rest(&mut client);
        hung_up.recv_timeout(Duration::from_secs(10)).expect("the service is told");
    }
}

#[test]
fn a_stream_may_be_silent_for_longer_than_an_answer() {
    let (upstream, say, _hung_up) = events();
    let gateway = Setup::over(&upstream).tables(TABLES).set("upstreams.api.idle_timeout", "100ms").start();
    let mut client = open(&gateway, "/public/x", &[]);
    std::thread::sleep(Duration::from_millis(400));
    say.send("data: late\n\n").expect("the service lives");
    hear(&mut client, "data: late");
    drop(client);
    let (upstream, _say, hung_up) = events();
    let gateway = Setup::over(&upstream).tables(TABLES).start();
    let mut client = open(&gateway, "/short", &[]);
    assert!(!rest(&mut client).ends_with(b"0\r\n\r\n"), "U7: the route's own limit goes before it");
    hung_up.recv_timeout(Duration::from_secs(10)).expect("the service is told");
}

/// Whoever did not ask for `text/event-stream` was heard until the end of its credential, whatever became of its plan.
#[test]
fn a_stream_that_nobody_asked_for_by_its_name_is_judged_anew_like_any_other() {
    let rows = [
        ("no Accept", "text/event-stream", None, "GET"),
        ("any", "text/event-stream; charset=utf-8", Some("*/*"), "GET"),
        ("one of several", "text/event-stream;charset=utf-8", Some("application/json, text/event-stream"), "GET"),
        ("a question with a body", "Text/Event-Stream ; charset=utf-8", Some("application/json"), "POST"),
        ("gRPC", "application/grpc", None, "POST"),
    ];
    for (name, kind, accept, method) in rows {
        let (upstream, say, hung_up) = events_as(kind);
        let gateway = Setup::over(&upstream).tables(TABLES).set("upstreams.api.idle_timeout", "200ms").start();
        let wallet = Wallet::evm(1);
        gateway.grant(&wallet, "nano");
        let token = wallet.token();
        gateway.secrets.add(&token);
        let accept = accept.map(|accept| ("Accept", accept));
        let fields: Vec<_> = accept.into_iter().chain([("Authorization", token.as_str())]).collect();
        let mut client = open_by(&gateway, Request::new(method, "/live/x?a=b"), &fields);
        std::thread::sleep(Duration::from_millis(500));
        say.send("data: still\n\n").expect("the service lives");
        hear(&mut client, "data: still");
        let revoked = gateway.block_on(gateway.store.subscriptions().revoke(&key(&wallet), "nano"));
        assert!(revoked.expect("the store revokes"), "{name}");
        gateway.gate.changed(&key(&wallet));
        assert!(!rest(&mut client).ends_with(b"0\r\n\r\n"), "{name}: U4: it is no clean end");
        hung_up.recv_timeout(Duration::from_secs(10)).expect("the service is told");
    }
}

#[test]
fn what_only_begins_like_a_stream_of_events_is_none() {
    let (upstream, _say, hung_up) = events_as("text/event-streaming");
    let gateway = Setup::over(&upstream).tables(TABLES).set("upstreams.api.idle_timeout", "100ms").start();
    let mut client = open(&gateway, "/public/x", &[]);
    assert!(!rest(&mut client).ends_with(b"0\r\n\r\n"), "the upstream's limit counts");
    hung_up.recv_timeout(Duration::from_secs(10)).expect("the service is told");
}
