//! The end in good order.

use std::time::Duration;

use crate::harness::{Request, Setup, Upstream};

#[test]
fn the_checks_of_readiness_are_listed_and_one_turns_at_once() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::over(&upstream).set("server.drain_delay", "1s").start();
    gateway.expect_metric("siwx_ready{check=\"store\"}", 1.0);
    let verbose = || {
        let answer = gateway.admin(Request::get("/readyz?verbose"));
        (answer.status, String::from_utf8(answer.body).expect("text"))
    };
    let checks = |draining: &str| {
        format!("configuration: ok\nlisteners: ok\ncertificates: ok\nstore: ok\nnot_draining: {draining}\n")
    };
    assert_eq!(verbose(), (200, checks("ok")));
    let mut kept = gateway.client();
    assert_eq!(kept.send(&Request::get("/public/x")).one("connection"), None);
    gateway.stop();
    gateway.expect_metric("siwx_draining", 1.0);
    let answer = gateway.admin(Request::get("/readyz?verbose"));
    assert_eq!((answer.status, answer.body), (503, checks("no").into_bytes()));
    assert_eq!(kept.send(&Request::get("/public/x")).status, 200);
}

/// A request that was on its way when the drain began met a closed connection.
#[test]
fn a_request_that_meets_the_end_of_its_kept_connection_is_answered() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::over(&upstream).set("server.drain_timeout", "5s").start();
    let mut kept: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut kept {
        assert_eq!(client.send(&Request::get("/public/x")).status, 200);
    }
    gateway.stop();
    gateway.expect_metric("siwx_draining", 1.0);
    for client in &mut kept {
        let answer = client.send(&Request::get("/public/x"));
        assert_eq!(answer.status, 200);
        if answer.one("connection") == Some("close") {
            client.expect_close();
        }
    }
    drop(kept);
    let begun = std::time::Instant::now();
    gateway.join();
    assert!(begun.elapsed() < Duration::from_secs(4), "nothing is waited for that is over");
}
