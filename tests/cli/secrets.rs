//! What the log of a gateway never holds, however much it is told to say (hardening.md row X8).

use std::{fs, net::SocketAddr, process::Stdio, time::Instant};

use data_encoding::BASE64;
use serde_json::Value;

use crate::harness::{Desk, PATIENCE, end, get_with, small_configuration};

/// What opens the admin API.
const ADMIN_TOKEN: &str = "the-admin-token-that-nobody-may-read";

/// Waits for the addresses in a log: the public one and the private one.
fn addresses(desk: &Desk) -> [SocketAddr; 2] {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(desk.path("err")).expect("a log");
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found: Vec<SocketAddr> = lines.filter_map(|line| line["address"].as_str()?.parse().ok()).collect();
        if let [public, private] = found[..] {
            return [public, private];
        }
        assert!(begun.elapsed() < PATIENCE, "no addresses in {text}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn x8_no_secret_is_in_the_log_at_any_level() {
    let desk = Desk::new();
    let (key, secret_key) = ("w.key", fs::read_to_string);
    let made = desk.run(&["keygen", "--chain", "evm", "--out", key]);
    assert_eq!(made.code, 0, "{}", made.err);
    let minted = desk.run(&[
        "token",
        "mint",
        "--key",
        key,
        "--domain",
        "gateway.test",
        "--uri",
        "https://gateway.test",
        "--chain",
        "eip155:1",
        "--expires",
        "1h",
    ]);
    assert_eq!(minted.code, 0, "{}", minted.err);
    let token = minted.out.trim().strip_prefix("SIWX ").expect("a token").to_owned();
    let (message, signature) = token.split_once('.').expect("two parts");
    // One that nobody signed: refused texts are the ones that a log would quote.
    let forged = format!("{message}.{}", signature.replace(['a', 'b', 'c', '1', '2', '3'], "4"));

    for level in ["trace", "debug", "info"] {
        let text = small_configuration("s.db")
            .replace("http://gateway.test", "https://gateway.test")
            .replace("[admin]\n", &format!("[admin]\ntoken = \"{ADMIN_TOKEN}\"\n"))
            + &format!("[session]\n[log]\nlevel = \"{level}\"\naccess = {{ query = \"full\", account = \"full\" }}\n");
        desk.write_secret("g.toml", &text);
        let mut command = desk.command(&["run", "-c", "g.toml"]);
        let file = |name| Stdio::from(fs::File::create(desk.path(name)).expect(name));
        let mut child = command.stdout(file("out")).stderr(file("err")).spawn().expect("a process");
        let [public, private] = addresses(&desk);

        let cookie = "siwxs_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
        let proof = BASE64.encode(br#"{"domain":"gateway.test","signature":"0xdeadbeefcafe"}"#);
        let rows = [
            format!("Authorization: SIWX {token}\r\n"),
            format!("Authorization: SIWX {forged}\r\n"),
            format!("Authorization: SIWX {token} {token}\r\n"),
            format!("Authorization: Bearer {cookie}\r\n"),
            format!("Cookie: __Host-siwx={cookie}; theme=dark\r\n"),
            format!("SIGN-IN-WITH-X: {proof}\r\n"),
            format!("PAYMENT-SIGNATURE: {proof}\r\nX-PAYMENT: {proof}\r\n"),
            format!("Authorization: SIWX {token}\r\nCookie: __Host-siwx={cookie}\r\nSIGN-IN-WITH-X: {proof}\r\n"),
        ];
        for fields in &rows {
            let (status, body) = get_with(public, "gateway.test", "/x", fields);
            assert!((400..500).contains(&status), "{fields}: {status} {body}");
        }
        let admin = format!("Authorization: Bearer {ADMIN_TOKEN}\r\n");
        assert_eq!(get_with(private, "localhost", "/admin/state", &admin).0, 200);
        assert_eq!(end(&mut child, "TERM"), Some(0));

        let said = ["out", "err"].map(|name| fs::read_to_string(desk.path(name)).expect(name)).concat();
        assert!(said.lines().filter(|line| line.contains("\"event\":\"access\"")).count() >= rows.len(), "{said}");
        let key = secret_key(desk.path(key)).expect("a key");
        let secrets = [message, signature, cookie, proof.as_str(), ADMIN_TOKEN, key.trim()];
        for secret in secrets {
            // A part is as bad as the whole.
            let part = &secret[secret.len() / 2..];
            assert!(!said.contains(part), "at {level}: {part} is in the log");
        }
    }
}
