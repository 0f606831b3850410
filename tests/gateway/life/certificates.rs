//! Certificates that change while the gateway serves, and those that clients show.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    sync::Arc,
};

use rustls::{
    ClientConfig, HandshakeKind,
    pki_types::{CertificateDer, pem::PemObject as _},
    version::TLS13,
};

use crate::harness::{
    Client, Gateway, Request, Setup, Upstream,
    tls::{self, Authority},
};

const HOST: &str = "api.example.com";

fn with_certificate(upstream: &Upstream, authority: &Authority) -> Setup {
    Setup::over(upstream).hosts(Vec::new()).tables(&authority.tables(&[&[HOST]]))
}

fn leaf_in(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

/// The leaf that a new client is shown, and whether it resumed.
fn shown(gateway: &Gateway, config: &Arc<ClientConfig>) -> (CertificateDer<'static>, bool) {
    let mut stream = tls::connect(gateway.address, Arc::clone(config), HOST).expect("a handshake");
    let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
    let leaf = tls::leaf(&stream.conn);
    stream.write_all(&Request::get("/public/x").header("Connection", "close").bytes()).expect("sent");
    let mut said = String::new();
    // Tickets come before the answer.
    let _ = stream.read_to_string(&mut said);
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    (leaf, resumed)
}

#[test]
fn new_handshakes_use_the_new_pair_and_resume_nothing_of_the_old() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway = with_certificate(&upstream, &authority).start();
    let config = authority.client(&[&TLS13], &[]);
    let first = shown(&gateway, &config).0;
    assert_eq!(shown(&gateway, &config), (first.clone(), true), "a session is resumed");
    let kept = tls::connect(gateway.address, Arc::clone(&config), HOST).expect("a handshake");
    let mut kept = Client::over(Box::new(kept), Arc::clone(&gateway.secrets));
    assert_eq!(gateway.reload().status, 200);
    assert_eq!(shown(&gateway, &config), (first.clone(), true), "nothing new, and tickets are good still");
    let (cert, _) = authority.issue("leaf-0", &[HOST]);
    assert_eq!(gateway.reload().status, 200);
    assert_eq!(shown(&gateway, &config), (leaf_in(&cert), false));
    assert_ne!(leaf_in(&cert), first);
    assert_eq!(kept.send(&Request::get("/public/x")).status, 200, "connections of before go on");
}

#[test]
fn a_pair_that_does_not_fit_or_has_ended_leaves_the_last_good_one() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway = with_certificate(&upstream, &authority).start();
    let config = authority.client(&[&TLS13], &[]);
    let first = shown(&gateway, &config).0;
    let (cert, key) = authority.issue_until("leaf-0", &[HOST], (2026, 1, 1));
    let (other, _) = authority.issue("other", &[HOST]);
    let refused = |what: &str| {
        let answer = gateway.reload();
        assert_eq!(answer.status, 422, "{what}: {answer:?}");
        let fault = answer.json()["faults"][0].clone();
        assert!(fault["line"].is_u64() && fault["message"].to_string().contains(what), "{what}: {fault}");
        assert_eq!(shown(&gateway, &config).0, first, "{what}");
    };
    refused("ended at 2026-01-01T00:00:00");
    std::fs::copy(&other, &cert).expect("copied");
    refused("does not fit");
    std::fs::write(&cert, "no certificate").expect("written");
    refused("it holds no certificate");
    std::fs::remove_file(&key).expect("removed");
    refused("No such file");
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("siwx_config_last_reload_successful"), 0.0);
    assert_eq!(metrics.value("siwx_ready{check=\"certificates\"}"), 1.0);
    authority.issue_until("leaf-0", &[HOST], (2030, 6, 5));
    assert_eq!(gateway.reload().status, 200);
    let ends = format!("siwx_tls_certificate_not_after_timestamp_seconds{{host=\"{HOST}\"}}");
    assert_eq!(gateway.metrics().value(&ends), 1_906_848_000.0);
    gateway.set_time("2030-06-05T00:00:01Z");
    let answer = gateway.admin(Request::get("/readyz?verbose"));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 503);
    assert!(text.contains("certificates: no\n") && text.contains("store: ok\n"), "{text}");
}

#[test]
fn a_certificate_that_is_watched_is_taken_by_itself() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let gateway = with_certificate(&upstream, &authority).start();
    let config = authority.client(&[&TLS13], &[]);
    let (cert, key) = authority.issue("leaf-0", &[HOST]);
    assert_ne!(shown(&gateway, &config).0, leaf_in(&cert), "nobody looked yet");
    gateway.configuration.watch(&[&cert, &key]);
    let taken = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        shown(&gateway, &config).0 == leaf_in(&cert)
    });
    assert!(taken, "the new certificate is shown");
    gateway.expect_metric("siwx_config_reloads_total{result=\"ok\"}", 1.0);
}

/// Whether a client gets an answer; what fails may fail when it writes or when it reads.
fn comes_in(gateway: &Gateway, config: Arc<ClientConfig>) -> bool {
    let Ok(mut stream) = tls::connect(gateway.address, config, HOST) else {
        return false;
    };
    let request = Request::get("/public/x").header("Connection", "close").bytes();
    let mut said = Vec::new();
    stream.write_all(&request).is_ok() && stream.read_to_end(&mut said).is_ok() && said.starts_with(b"HTTP/1.1 200 ")
}

#[test]
fn certificates_of_clients_are_asked_for_as_configured() {
    let (upstream, authority, stranger) = (Upstream::ok(), Authority::new(), Authority::new());
    let (bare, ours) = (|| authority.client(&[&TLS13], &[]), || authority.client_showing(&authority));
    let theirs = || authority.client_showing(&stranger);
    let rows = [("off", [true, true, true]), ("request", [true, true, false]), ("require", [false, true, false])];
    for (mode, expected) in rows {
        let table = format!("[tls.client_auth]\nmode = \"{mode}\"\nca = {:?}\n", authority.file());
        let gateway = with_certificate(&upstream, &authority).tables(&table).start();
        let found = [bare(), ours(), theirs()].map(|config| comes_in(&gateway, config));
        assert_eq!(found, expected, "{mode}: none, ours, a stranger's");
        let turned_away = expected.iter().filter(|comes_in| !**comes_in).count();
        let series = "siwx_tls_handshakes_total{result=\"client_cert\",version=\"none\"}";
        gateway.expect_metric(series, turned_away as f64);
        if mode != "off" {
            let config = ours();
            assert!(!shown(&gateway, &config).1 && !shown(&gateway, &config).1, "{mode}: nothing is resumed");
        }
    }
}

#[test]
fn a_kept_connection_without_a_certificate_ends_where_one_is_demanded_now() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let table = format!("[tls.client_auth]\nmode = \"request\"\nca = {:?}\n", authority.file());
    let gateway = with_certificate(&upstream, &authority).tables(&table).start();
    let stream = tls::connect(gateway.address, authority.client(&[&TLS13], &[]), HOST).expect("a handshake");
    let mut kept = Client::over(Box::new(stream), Arc::clone(&gateway.secrets));
    assert_eq!(kept.send(&Request::get("/public/x")).status, 200);
    gateway.reconfigure("mode = \"request\"", "mode = \"require\"");
    assert_eq!(kept.send(&Request::get("/public/x")).outcome(), (421, "unknown_host".to_owned()));
    let stream = tls::connect(gateway.address, authority.client_showing(&authority), HOST).expect("a handshake");
    let mut shows = Client::over(Box::new(stream), Arc::clone(&gateway.secrets));
    assert_eq!(shows.send(&Request::get("/public/x")).status, 200);
    gateway.reconfigure("[[plan]]", "# the same\n[[plan]]");
    assert_eq!(shows.send(&Request::get("/public/x")).status, 200, "another reload changes nothing for it");
}

#[test]
fn a_kept_connection_is_held_to_the_certificates_of_now() {
    let (upstream, authority) = (Upstream::ok(), Authority::new());
    let both = ["a.example.com", "b.example.com", HOST];
    let gateway = Setup::over(&upstream)
        .hosts(both[..2].iter().map(|host| (*host).to_owned()).collect())
        .tables(&authority.tables(&[&both]))
        .start();
    let stream = tls::connect(gateway.address, authority.client(&[&TLS13], &[]), both[0]).expect("a handshake");
    let mut kept = Client::over(Box::new(stream), Arc::clone(&gateway.secrets));
    let mut ask = |host: &str| kept.send(&Request::get("/public/x").host(host)).status;
    assert_eq!([ask(both[0]), ask(both[1])], [200, 200], "one certificate is for both");
    let text = gateway.configuration.text();
    let tls = text.find("[tls]").expect("the table");
    gateway.configuration.write(&format!("{}{}", &text[..tls], authority.tables(&[&both[1..], &both[..1]])));
    assert_eq!(gateway.reload().status, 200);
    assert_eq!([ask(both[0]), ask(both[1])], [200, 421], "each has its own now");
}
