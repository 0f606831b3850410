//! Keys as an operator sees them, beside a gateway that runs on the same store.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Desk, Ran, get_of, small_configuration};

fn keys(desk: &Desk, command: &str, more: &[&str]) -> Ran {
    desk.run(&[&["keys", command, "-c", "g.toml"], more].concat())
}

fn with_assertions(algorithm: &str) -> String {
    let settings = format!("[auth.assertion]\nenabled = true\nalgorithm = \"{algorithm}\"\n[[route]]");
    small_configuration("a.db").replacen("[[route]]", &settings, 1)
}

/// What each key is for, the oldest first.
fn standings(desk: &Desk) -> Vec<String> {
    let ran = keys(desk, "list", &["--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let line = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    ran.out.lines().map(|text| line(text)["standing"].as_str().expect("a word").to_owned()).collect()
}

#[test]
fn a_new_key_is_made_once_at_a_time() {
    for algorithm in ["EdDSA", "ES256"] {
        let desk = Desk::new();
        desk.write("g.toml", &with_assertions(algorithm));
        assert_eq!(standings(&desk), ["current"]);
        let made = keys(&desk, "rotate", &[]);
        assert_eq!(made.code, 0, "{}", made.err);
        assert!(made.err.contains("\"action\":\"keys_rotate\""), "{}", made.err);
        assert_eq!(standings(&desk), ["current", "next"]);
        assert_eq!(keys(&desk, "list", &[]).out, made.out);
        let words: Vec<&str> = made.out.lines().flat_map(|line| line.split_whitespace().take(2)).collect();
        assert_eq!(words, ["ALGORITHM", "STANDING", algorithm, "current", algorithm, "next"]);
        let again = keys(&desk, "rotate", &[]);
        assert_eq!((again.code, again.out.as_str()), (1, ""));
        assert!(again.err.contains("does not sign yet; nothing was changed"), "{}", again.err);
        assert_eq!(standings(&desk), ["current", "next"]);
    }
}

#[test]
fn where_no_key_is_kept_there_is_none_to_change() {
    let desk = Desk::new();
    desk.write("g.toml", &small_configuration("a.db"));
    for command in ["list", "rotate"] {
        let ran = keys(&desk, command, &[]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{command}");
        assert!(ran.err.contains("uses no key that the store keeps"), "{command}: {}", ran.err);
    }
}

#[test]
fn a_running_gateway_publishes_what_the_command_line_made() {
    let desk = Desk::new();
    desk.write("g.toml", &with_assertions("EdDSA"));
    let gateway = desk.serve(&["run", "-c", "g.toml"]);
    let published = || {
        let (status, body) = get_of(gateway.address, "gateway.test", "/.siwx/jwks.json", None);
        assert_eq!(status, 200, "{body}");
        let json: Value = serde_json::from_str(&body).expect("JSON");
        json["keys"].as_array().expect("a list").iter().map(|key| key["kid"].clone()).collect::<Vec<_>>()
    };
    let first = published();
    assert_eq!(first.len(), 1);
    let made = keys(&desk, "rotate", &[]);
    assert_eq!(made.code, 0, "{}", made.err);
    let end = Instant::now() + Duration::from_secs(10);
    let mut both = published();
    while both.len() < 2 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
        both = published();
    }
    assert_eq!((both.len(), &both[0]), (2, &first[0]));
    assert!(both.iter().all(|kid| made.out.contains(kid.as_str().expect("a name"))), "{}", made.out);
    assert_eq!(gateway.stop(), Some(0));
}
