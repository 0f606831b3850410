//! From a key to an answer of the upstream, with the commands alone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{ALICE, Desk, get, small_configuration, upstream};

const MINT: [&str; 8] =
    ["token", "mint", "--key", "evm.key", "--domain", "gateway.test", "--uri", "http://gateway.test"];

/// How soon a gateway sees what another process changed (operations.md section 2), and some time for a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

/// A directory with both keys, and the addresses.
fn desk_with_keys() -> (Desk, String, String) {
    let desk = Desk::new();
    let made = |chain| desk.run(&["keygen", "--chain", chain]).out.trim().to_owned();
    let (evm, solana) = (made("evm"), made("solana"));
    (desk, evm, solana)
}

#[test]
fn from_a_key_to_the_upstream() {
    let (desk, address, _) = desk_with_keys();
    let text = small_configuration("a.db").replace("127.0.0.1:9", &upstream().to_string());
    // The memory of a no is shorter than what is waited for here.
    desk.write("g.toml", &(text + "[cache.subscriptions]\nnegative_ttl = \"1s\"\n"));
    let token = desk.run(&MINT).out.trim().to_owned();

    let verify = ["token", "verify", "-c", "g.toml", "--method", "GET", "--url", "/x", "--json", token.as_str()];
    let account = format!("eip155:1:{address}");
    let denied = json!({
        "decision": "deny", "status": 403, "code": "subscription_required", "reason": "no_subscription",
        "account": account, "route": "all",
    });
    let ran = desk.run(&verify);
    assert_eq!((ran.code, json_of(&ran.out), ran.err.as_str()), (1, denied, ""));

    let gateway = desk.serve(&["run", "-c", "g.toml"]);
    assert_eq!(get(gateway.address, "/x", Some(&token)).0, 403);
    let healthy = desk.run(&["healthcheck", "--url", &format!("http://{}/readyz", gateway.admin)]);
    assert_eq!((healthy.code, healthy.out.as_str()), (0, "ok\n"), "{}", healthy.err);
    let missing = desk.run(&["healthcheck", "--url", &format!("http://{}/nothing", gateway.admin)]);
    assert_eq!(missing.code, 1);

    let grant = desk.run(&["subscriptions", "grant", "-c", "g.toml", "--account", &address, "--plan", "nano"]);
    assert_eq!(grant.code, 0, "{}", grant.err);
    let allowed = json!({
        "decision": "allow", "status": 200, "code": null, "reason": "ok", "account": account, "route": "all",
    });
    let ran = desk.run(&verify);
    assert_eq!((ran.code, json_of(&ran.out)), (0, allowed));
    let body = wait_for(|| Some(get(gateway.address, "/x", Some(&token))).filter(|(status, _)| *status == 200)).1;
    let head = body.to_ascii_lowercase();
    for line in [format!("x-siwx-account: {account}"), "x-siwx-plan: nano".to_owned()] {
        assert!(head.contains(&line.to_ascii_lowercase()), "{line}: {body}");
    }
    assert!(!head.contains("authorization"), "{body}");

    let revoke = desk.run(&["subscriptions", "revoke", "-c", "g.toml", "--account", &account, "--plan", "nano"]);
    assert_eq!((revoke.code, revoke.out), (0, format!("eip155:{address} no longer holds `nano`\n")));
    wait_for(|| Some(()).filter(|()| get(gateway.address, "/x", Some(&token)).0 == 403));
    assert_eq!(gateway.stop(), Some(0), "told to end, it ends in good order");
}

#[test]
fn decisions_without_a_server() {
    let (desk, address, _) = desk_with_keys();
    let routes = "[[route]]\nname = \"open\"\npath = \"/open\"\nupstream = \"api\"\nauth = \"none\"\n\
        [[route]]\nname = \"wallets\"\nprefix = \"/wallets\"\nupstream = \"api\"\n";
    // A nonce that opens one request is not used up by asking.
    let auth = "[auth]\nnonce = \"single-use\"\n";
    let text = small_configuration("a.db").replace("prefix = \"/\"", "prefix = \"/paid\"");
    desk.write("g.toml", &(text + auth + routes));
    let token = desk.run(&MINT).out.trim().to_owned();
    let account = format!("eip155:1:{address}");
    let account = Some(account.as_str());
    let late = Some("2100-01-01T00:00:00Z");
    let rows = [
        ("public", "/open", None, 0, json!(["public", 200, null, "public", null, "open"])),
        ("a wallet", "/wallets/x", None, 0, json!(["allow", 200, null, "ok", account, "wallets"])),
        ("the same again", "/wallets/x", None, 0, json!(["allow", 200, null, "ok", account, "wallets"])),
        (
            "no subscription",
            "http://GATEWAY.test:80/paid",
            None,
            1,
            json!(["deny", 403, "subscription_required", "no_subscription", account, "all"]),
        ),
        ("expired", "/wallets", late, 1, json!(["deny", 401, "invalid_token", "expired", null, "wallets"])),
        ("nothing there", "/nothing", None, 1, json!(["deny", 404, "no_route", null, account, null])),
        ("dot segments", "/wallets/../paid", None, 1, json!(["deny", 400, "bad_path", null, null, null])),
        ("another host", "http://b.test/open", None, 1, json!(["deny", 421, "unknown_host", null, null, null])),
    ];
    for (name, url, now, code, expected) in rows {
        let mut arguments = vec!["token", "verify", "-c", "g.toml", "--method", "GET", "--json", "--url", url];
        arguments.extend(now.iter().flat_map(|now| ["--now", now]));
        let ran = desk.run_with(&arguments, token.as_bytes());
        let json = json_of(&ran.out);
        let members = ["decision", "status", "code", "reason", "account", "route"];
        assert_eq!(
            json.as_object().map(|json| json.keys().collect::<Vec<_>>()),
            Some(members.map(String::from).iter().collect())
        );
        let found = json!(members.map(|member| json[member].clone()));
        assert_eq!((ran.code, found), (code, expected), "{name}");
    }
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < SEEN_WITHIN, "not seen within {SEEN_WITHIN:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn tokens_are_good_for_every_family_and_each_of_its_own() {
    let desk = Desk::new();
    for (family, chain, scheme) in [
        ("evm", "eip155:8453", "eip191"),
        ("solana", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "ed25519"),
        ("tron", "tron:0x2b6653dc", "tip191, where the gateway takes that"),
        ("sui", "sui:mainnet", "sui, where the gateway takes that"),
    ] {
        let address = desk.run(&["keygen", "--chain", family]).out.trim().to_owned();
        let key = &format!("{family}.key");
        let mint = |more: &[&str]| {
            let base = ["token", "mint", "--key", key, "--domain", "gateway.test", "--uri", "http://gateway.test"];
            desk.run(&[&base, more].concat())
        };
        let minted = mint(&["--chain", chain, "--count", "20", "--statement", "Hello.", "--resource", "urn:a:b"]);
        assert_eq!((minted.code, minted.err.as_str()), (0, ""));
        let mut tokens: Vec<&str> = minted.out.lines().collect();
        let inspected = desk.run_with(&["token", "inspect", "--json", "-"], tokens[0].as_bytes());
        assert_eq!(inspected.code, 0, "{}", inspected.out);
        let json = json_of(&inspected.out);
        assert_eq!(json["message"]["account"], format!("{chain}:{address}"));
        assert_eq!(json["message"]["statement"], "Hello.");
        assert_eq!(json["message"]["resources"], json!(["urn:a:b"]));
        assert_eq!(json["checks"][6], json!({ "check": "signature", "ok": true, "code": null, "detail": scheme }));
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), 20, "each has a nonce of its own");
    }
    let crossed = ["token", "mint", "--key", "evm.key", "--domain", "a.example", "--uri", "https://a.example"];
    let crossed = desk.run(&[&crossed[..], &["--chain", "solana:mainnet"]].concat());
    assert_eq!((crossed.code, crossed.out.as_str()), (64, ""));
}

/// A key that another tool wrote, both of its addresses, and what a gateway makes of them.
#[test]
fn a_bitcoin_wallet_from_its_key_to_a_decision() {
    let desk = Desk::new();
    // The key of BIP-322's test vectors.
    desk.write("bitcoin.key", "L3VFeEujGtevx9w18HD1fhRbCH67Az2dpCymeRE1SoPK6XQtaN2k\n");
    let off = small_configuration("a.db");
    desk.write("off.toml", &off);
    desk.write("on.toml", &(off + "[chains.bip122]\nallow = [\"bip122:*\"]\n"));
    let chain = "bip122:000000000019d6689c085ae165831e93";
    let rows: [(&[&str], &str); 3] = [
        (&[], "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l"),
        (&["--address-type", "p2wpkh", "--chain", chain], "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l"),
        (&["--address-type", "p2tr"], "bc1ppv609nr0vr25u07u95waq5lucwfm6tde4nydujnu8npg4q75mr5sxq8lt3"),
    ];
    for (more, address) in rows {
        let mint =
            ["token", "mint", "--key", "bitcoin.key", "--domain", "gateway.test", "--uri", "http://gateway.test"];
        let minted = desk.run(&[&mint[..], more].concat());
        assert_eq!((minted.code, minted.err.as_str()), (0, ""), "{more:?}");
        let token = minted.out.trim();
        let inspected = desk.run(&["token", "inspect", "--json", token]);
        let json = json_of(&inspected.out);
        assert_eq!((inspected.code, &json["message"]["account"]), (0, &json!(format!("{chain}:{address}"))));
        assert_eq!(json["checks"][6], json!({ "check": "signature", "ok": true, "code": null, "detail": "bip322" }));

        let (message, signature) = token.strip_prefix("SIWX ").and_then(|token| token.split_once('.')).expect("a dot");
        let text = data_encoding::BASE64.decode(message.as_bytes()).expect("base64");
        let verify = ["signature", "verify", "--chain", chain, "--account", address, "--signature", signature];
        let verdict = |text: &[u8]| json_of(&desk.run_with(&verify, text).out);
        assert_eq!(verdict(&text), json!({ "verdict": "valid", "scheme": "bip322", "reason": null }));
        let mismatch = json!({ "verdict": "invalid", "scheme": null, "reason": "signature_mismatch" });
        assert_eq!(verdict(b"another text"), mismatch);

        let granted = desk.run(&["subscriptions", "grant", "-c", "on.toml", "--account", address, "--plan", "nano"]);
        assert_eq!(granted.code, 0, "{}", granted.err);
        for (file, decision, reason) in [("on.toml", "allow", "ok"), ("off.toml", "deny", "chain_not_allowed")] {
            let verify = ["token", "verify", "-c", file, "--method", "GET", "--url", "/x", "--json", token];
            let json = json_of(&desk.run(&verify).out);
            assert_eq!((&json["decision"], &json["reason"]), (&json!(decision), &json!(reason)), "{file}: {json}");
        }
    }
    let evm = desk.run(&["keygen", "--chain", "evm", "--address-type", "p2tr"]);
    assert_eq!((evm.code, evm.out.as_str()), (64, ""), "{}", evm.err);
    assert!(!desk.path("evm.key").exists());
    let made = desk.run(&["keygen", "--chain", "bitcoin", "--address-type", "p2tr", "--out", "taproot.key"]);
    assert!(made.code == 0 && made.out.starts_with("bc1p"), "{} {}", made.out, made.err);
}

/// What a family needs that is off by default: to be let in, and an account that says whose it is.
#[test]
fn families_that_are_off_until_they_are_let_in() {
    for (family, namespace, chain) in [("tron", "tron", "tron:0x2b6653dc"), ("sui", "sui", "sui:mainnet")] {
        let desk = Desk::new();
        let address = desk.run(&["keygen", "--chain", family]).out.trim().to_owned();
        let key = format!("{family}.key");
        let token = desk.run(&["token", "mint", "--key", &key, MINT[4], MINT[5], MINT[6], MINT[7]]);
        desk.write("off.toml", &small_configuration("a.db"));
        let letting_in = format!("[chains.{namespace}]\nallow = [\"{chain}\"]\n");
        desk.write("on.toml", &(small_configuration("a.db") + &letting_in));
        let decided = |file: &str| {
            let verify = ["token", "verify", "-c", file, "--method", "GET", "--url", "/x", "--json"];
            let json = json_of(&desk.run_with(&verify, token.out.as_bytes()).out);
            json!([json["status"], json["reason"], json["account"]])
        };
        let account = format!("{chain}:{address}");
        assert_eq!(decided("off.toml"), json!([401, "chain_not_allowed", null]), "{family}");
        assert_eq!(decided("on.toml"), json!([403, "no_subscription", account]), "{family}");
        let alone = desk.run(&["subscriptions", "grant", "-c", "on.toml", "--account", &address]);
        assert_eq!((alone.code, alone.out.as_str()), (64, ""), "{family}: {}", alone.err);
        let named = format!("{namespace}:{address}");
        let grant = desk.run(&["subscriptions", "grant", "-c", "on.toml", "--account", &named]);
        assert_eq!(grant.code, 0, "{family}: {}", grant.err);
        assert_eq!(decided("on.toml"), json!([200, "ok", account]), "{family}");
    }
}

#[test]
fn keys_come_from_a_file_from_standard_input_or_from_the_environment() {
    let (desk, evm, _) = desk_with_keys();
    let key = std::fs::read_to_string(desk.path("evm.key")).expect("a key");
    let rest = ["--domain", "gateway.test", "--uri", "http://gateway.test"];
    let calls = [
        ("file", desk.run(&MINT)),
        ("standard input", desk.run_with(&[&["token", "mint", "--key", "-"], &rest[..]].concat(), key.as_bytes())),
        ("environment", desk.run_in(("SIWX_KEY", &key), &[&["token", "mint"], &rest[..]].concat())),
    ];
    for (name, minted) in calls {
        assert_eq!((minted.code, minted.err.as_str()), (0, ""), "{name}");
        let inspected = desk.run_with(&["token", "inspect", "--json"], minted.out.as_bytes());
        assert_eq!(json_of(&inspected.out)["message"]["address"], evm, "{name}");
    }
}

#[test]
fn each_check_of_a_token_is_shown() {
    let (desk, _, _) = desk_with_keys();
    let token = desk.run(&MINT).out.trim().to_owned();
    let (message, signature) = token.split_once('.').expect("a dot");
    let good = ["yes"; 7];
    let stopped = |at: usize| {
        let mut shown = ["-"; 7];
        shown[..at].fill("yes");
        shown[at] = "no";
        shown
    };
    let failed = |at: usize| {
        let mut shown = good;
        shown[at] = "no";
        shown
    };
    let other_digit = if signature.as_bytes()[10] == b'0' { '1' } else { '0' };
    let rows = [
        ("as minted", token.clone(), None, 0, good, ""),
        ("without scheme", token.replace("SIWX ", ""), None, 0, good, ""),
        ("as a header", format!("authorization: {token}\r\n"), None, 0, good, ""),
        ("another scheme", token.replace("SIWX", "Bearer"), None, 1, stopped(0), "unknown_scheme"),
        ("no dot", message.to_owned(), None, 1, stopped(1), "invalid_token_form"),
        ("no base64", format!("{}!.{signature}", &message[..40]), None, 1, stopped(2), "invalid_encoding"),
        ("no message", "SIWX aGV5IQ==.0x00".to_owned(), None, 1, stopped(3), "invalid_header"),
        ("expired", token.clone(), Some("2100-01-01T00:00:00Z"), 1, failed(5), "expired"),
        ("of the future", token.clone(), Some("2020-01-01T00:00:00Z"), 1, failed(5), "issued_in_future"),
        (
            "a digit changed",
            format!("{message}.{}{other_digit}{}", &signature[..10], &signature[11..]),
            None,
            1,
            failed(6),
            "",
        ),
    ];
    for (name, token, now, code, shown, fault) in rows {
        let mut arguments = vec!["token", "inspect", "--json"];
        arguments.extend(now.iter().flat_map(|now| ["--now", now]));
        let ran = desk.run_with(&arguments, token.as_bytes());
        let json = json_of(&ran.out);
        let checks = json["checks"].as_array().expect("a list");
        let found: Vec<&str> = checks
            .iter()
            .map(|check| match check["ok"].as_bool() {
                Some(true) => "yes",
                Some(false) => "no",
                None => "-",
            })
            .collect();
        assert_eq!((ran.code, found.as_slice()), (code, &shown[..]), "{name}: {json}");
        let code = checks.iter().find_map(|check| check["code"].as_str()).unwrap_or_default();
        assert!(fault.is_empty() || fault == code, "{name}: {code}");
    }
    let text = desk.run(&["token", "inspect", &token]).out;
    assert!(text.starts_with("scheme     ok\nform       ok    "), "{text}");
    assert!(text.contains("\n    gateway.test wants you to sign in with your Ethereum account:\n"), "{text}");
}

/// What a contract takes cannot be told offline; that there is one to be asked, and how, can.
#[test]
fn a_token_that_only_a_contract_could_take_says_so() {
    let (desk, _, _) = desk_with_keys();
    let token = desk.run(&MINT).out.trim().to_owned();
    let (message, signature) = token.split_once('.').expect("a dot");
    let word = |number: u8| format!("{number:064x}");
    let wrapping = [word(1), word(0x60), word(0x80), word(0), word(0), "6492".repeat(16)].concat();
    let other_digit = if signature.as_bytes()[10] == b'0' { '1' } else { '0' };
    let changed = format!("{}{other_digit}{}", &signature[..10], &signature[11..]);
    let rows = [
        ("of a length that no key's has", format!("0x{}", "ab".repeat(66)), "rpc_not_configured", "eip1271"),
        ("none at all", "0x".to_owned(), "rpc_not_configured", "eip1271"),
        ("of another text", changed, "", "eip1271"),
        ("wrapped", format!("0x{wrapping}"), "rpc_not_configured", "eip6492"),
    ];
    for (name, signature, code, scheme) in rows {
        let ran = desk.run_with(&["token", "inspect", "--json"], format!("{message}.{signature}").as_bytes());
        let check = json_of(&ran.out)["checks"][6].clone();
        assert_eq!((ran.code, &check["ok"]), (1, &json!(false)), "{name}: {check}");
        assert!(code.is_empty() || check["code"] == code, "{name}: {check}");
        let asks = format!(
            "; the account's contract on eip155:1 would have to be asked, by {scheme}, which is not done offline"
        );
        assert!(check["detail"].as_str().expect("a text").ends_with(&asks), "{name}: {check}");
    }
}

#[test]
fn subscriptions_are_listed_extended_and_imported_whole_or_not() {
    let (desk, evm, solana) = desk_with_keys();
    desk.write("g.toml", &small_configuration("a.db"));
    let subscriptions =
        |command: &str, more: &[&str]| desk.run(&[&["subscriptions", command, "-c", "g.toml"], more].concat());
    let list = || subscriptions("list", &["--json"]).out;
    let empty = subscriptions("list", &[]);
    assert_eq!((empty.code, empty.out.as_str(), empty.err.as_str()), (0, "", "there are none\n"));

    let until = ["--account", &evm, "--plan", "nano", "--until", "2100-01-01T00:00:00Z", "--json"];
    let granted = json_of(&subscriptions("grant", &until).out);
    assert_eq!(granted["expires_at"], "2100-01-01T00:00:00.000Z");
    let longer = json_of(&subscriptions("grant", &["--account", &evm, "--plan", "nano", "--for", "24h", "--json"]).out);
    assert_eq!(
        (&longer["expires_at"], &longer["starts_at"], &longer["account"]),
        (&json!("2100-01-02T00:00:00.000Z"), &granted["starts_at"], &json!(format!("eip155:{evm}")))
    );
    let endless = subscriptions("grant", &["--account", &format!("solana:mainnet:{solana}")]);
    let cells: Vec<&str> = endless.out.lines().nth(1).expect("a row").split("  ").map(str::trim).collect();
    let cells: Vec<&str> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells[1..3], ["default", "active"]);
    assert_eq!(cells[4..], ["when revoked", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"]);
    assert_eq!(list().lines().count(), 2);
    assert_eq!(subscriptions("show", &["--account", &evm, "--json"]).out.lines().count(), 1);
    assert_eq!(subscriptions("list", &["--plan", "nano", "--json"]).out.lines().count(), 1);

    let before = list();
    desk.write("faulty.csv", &format!("account,plan\n{ALICE},nano\n{ALICE},pro\nalice,nano\n"));
    let faulty = subscriptions("import", &["faulty.csv"]);
    let said = "error: nothing was imported:\nline 3: expected one of the plans `nano`, or `default`, found `pro`\n\
        line 4: expected a CAIP-10 id";
    assert_eq!((faulty.code, faulty.out.as_str()), (1, ""));
    assert!(faulty.err.starts_with(said), "{}", faulty.err);
    assert_eq!(list(), before);

    desk.write("good.csv", &format!("{ALICE},nano,,30d\n"));
    let good = subscriptions("import", &["good.csv"]);
    assert_eq!((good.code, good.out.as_str()), (0, "1 granted\n"), "{}", good.err);

    // What a list prints fills another store.
    let all = list();
    desk.write("other.toml", &small_configuration("b.db"));
    let moved = desk.run_with(&["subscriptions", "import", "-c", "other.toml", "-"], all.as_bytes());
    assert_eq!((moved.code, moved.out.as_str()), (0, "3 granted\n"), "{}", moved.err);
    let members = |text: &str| -> Vec<Value> {
        let rows = text.lines().map(json_of);
        rows.map(|row| json!([row["account"], row["plan"], row["expires_at"], row["chain"]])).collect()
    };
    let there = desk.run(&["subscriptions", "list", "-c", "other.toml", "--json"]).out;
    assert_eq!(members(&there), members(&all));

    let absent = subscriptions("revoke", &["--account", &evm]);
    assert_eq!((absent.code, absent.out.as_str()), (1, ""));
    desk.write("memory.toml", &small_configuration("a.db").replace("sqlite:a.db", "sqlite::memory:"));
    let memory = desk.run(&["subscriptions", "list", "-c", "memory.toml"]);
    assert_eq!((memory.code, memory.out.as_str()), (1, ""));
}

#[test]
fn flags_go_over_the_file() {
    let desk = Desk::new();
    desk.write(
        "g.toml",
        &small_configuration("a.db").replace("listen = [\"127.0.0.1:0\"]", "listen = [\"192.0.2.1:1\"]"),
    );
    assert_eq!(desk.run(&["run", "-c", "g.toml", "--dry-run"]).code, 1, "that address is not of this machine");
    let moved = desk.run(&["run", "-c", "g.toml", "--dry-run", "--listen", "127.0.0.1:0", "--workers", "2"]);
    assert_eq!((moved.code, moved.out.as_str()), (0, ""), "{}", moved.err);
    let wrong = desk.run(&["run", "-c", "g.toml", "--dry-run", "--workers", "many"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("--workers"), "{}", wrong.err);
}
