//! The command line as its users meet it: the real binary, its exit codes, and what it prints where.

mod contracts;
mod harness;
mod journey;
mod keys;
mod life;
#[path = "../rpc/node.rs"]
#[allow(dead_code, reason = "the tests of the room use it too, and other parts of it")]
mod node;
mod payments;
mod secrets;
#[path = "../facilitator/server.rs"]
#[allow(dead_code, reason = "the tests of the facilitator use it too, and other parts of it")]
mod server;
mod sessions;
mod short;
mod vectors;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use harness::{Desk, end, finish, get_of, get_with, small_configuration};
use serde_json::{Value, json};

/// The commands of operations.md section 2 that this build has, subcommands with a space.
const COMMANDS: [&str; 34] = [
    "run",
    "check",
    "config",
    "config default",
    "config print",
    "config schema",
    "demo",
    "keygen",
    "token",
    "token mint",
    "token inspect",
    "token verify",
    "message",
    "message inspect",
    "signature",
    "signature verify",
    "subscriptions",
    "subscriptions list",
    "subscriptions show",
    "subscriptions grant",
    "subscriptions revoke",
    "subscriptions import",
    "payments",
    "payments list",
    "payments show",
    "payments resolve",
    "sessions",
    "sessions list",
    "sessions end",
    "plans",
    "plans list",
    "healthcheck",
    "version",
    "help",
];

#[test]
fn every_command_is_in_the_help_with_what_it_does() {
    let desk = Desk::new();
    for command in COMMANDS {
        let (parents, name) = command.rsplit_once(' ').unwrap_or(("", command));
        let mut arguments: Vec<&str> = parents.split_whitespace().collect();
        arguments.push("--help");
        let help = desk.run(&arguments);
        assert_eq!((help.code, help.err.as_str()), (0, ""), "{command}");
        let about = help.out.lines().find_map(|line| line.strip_prefix("  ")?.strip_prefix(name)?.strip_prefix(' '));
        assert!(about.is_some_and(|about| about.trim().len() > 4), "{command}: {}", help.out);
    }
}

#[test]
fn calls_that_are_wrong() {
    let desk = Desk::new();
    desk.write("g.toml", &small_configuration("a.db"));
    desk.write("bad.key", "secret");
    let rows: [(&str, &[&str], i32, &str); 16] = [
        ("nothing", &[], 64, "Usage: siwx-gateway [OPTIONS] <COMMAND>"),
        ("no such command", &["serve"], 64, "unrecognized subcommand 'serve'"),
        ("no configuration", &["run"], 64, "--config <FILE>"),
        (
            "a file that is not there",
            &["run", "-c", "x.toml"],
            2,
            "error: cannot read the configuration `x.toml`: No such",
        ),
        (
            "a chain nobody speaks",
            &["keygen", "--chain", "tezos"],
            64,
            "[possible values: evm, solana, bitcoin, tron, sui]",
        ),
        ("no key", &["token", "mint", "--domain", "a.example", "--uri", "https://a.example"], 64, "SIWX_KEY"),
        (
            "a key that is none, whose text is not shown",
            &["token", "mint", "--key", "bad.key", "--domain", "a.example", "--uri", "https://a.example"],
            1,
            "error: expected a key as `0x` and 64 hex digits (EVM), the same after `tron:` (Tron), as a JSON array of 64 \
             bytes (Solana), in WIF (Bitcoin) or as `suiprivkey1…` (Sui), found none of them\n",
        ),
        (
            "a proof of no challenge",
            &["token", "mint", "--domain", "a", "--uri", "b", "--format", "sign-in-with-x"],
            64,
            "error: `--format sign-in-with-x` and `--challenge FILE` go together\n",
        ),
        ("a duration without unit", &["token", "mint", "--expires", "60"], 64, "expected a duration such as"),
        ("no token", &["token", "inspect"], 64, "expected a token as an argument or on standard input"),
        (
            "a URL that is none",
            &["token", "verify", "-c", "g.toml", "--method", "GET", "--url", "example.com", "a.b"],
            64,
            "error: expected a URL such as `https://host/path`, found `example.com`\n",
        ),
        (
            "a time that is none",
            &["token", "verify", "-c", "g.toml", "--method", "GET", "--url", "/", "--now", "noon", "a.b"],
            64,
            "expected an RFC 3339 time",
        ),
        (
            "an account that is none",
            &["subscriptions", "grant", "-c", "g.toml", "--account", "alice"],
            64,
            "expected a CAIP-10 id such as",
        ),
        (
            "a plan that is not configured",
            &["subscriptions", "grant", "-c", "g.toml", "--account", harness::ALICE, "--plan", "pro"],
            64,
            "error: expected one of the plans `nano`, or `default`, found `pro`\n",
        ),
        (
            "two ends",
            &[
                "subscriptions",
                "grant",
                "-c",
                "g.toml",
                "--account",
                "a",
                "--for",
                "1d",
                "--until",
                "2030-01-01T00:00:00Z",
            ],
            64,
            "",
        ),
        (
            "nobody there",
            &["healthcheck", "--url", "http://127.0.0.1:1/readyz"],
            1,
            "error: no answer from http://127.0.0.1:1/readyz",
        ),
    ];
    for (name, arguments, code, said) in rows {
        let ran = desk.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{name}: {}", ran.err);
        assert!(ran.err.contains(said), "{name}: {}", ran.err);
        assert!(!ran.err.contains("secret"), "{name}: {}", ran.err);
    }
    assert!(!desk.path("a.db").exists(), "a wrong call opens no store");
}

#[test]
fn keys_are_for_their_owner_and_never_overwritten() {
    let desk = Desk::new();
    for chain in ["evm", "solana", "bitcoin", "tron", "sui"] {
        let file = &format!("{chain}.key");
        let made = desk.run(&["keygen", "--chain", chain]);
        assert_eq!((made.code, made.out.lines().count()), (0, 1), "{}", made.err);
        let mode = fs::metadata(desk.path(file)).expect(file).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
        let key = fs::read_to_string(desk.path(file)).expect(file);
        assert!(!made.out.contains(key.trim()) && !made.err.contains(key.trim()), "a key is printed nowhere");
        let again = desk.run(&["keygen", "--chain", chain]);
        let said = format!("error: `{file}` exists already, and a key is never overwritten; name another file\n");
        assert_eq!((again.code, again.out.as_str(), again.err), (1, "", said));
        assert_eq!(fs::read_to_string(desk.path(file)).expect(file), key);
    }
}

#[test]
fn the_configuration_explains_itself() {
    let desk = Desk::new();
    let default = desk.run(&["config", "default"]);
    assert_eq!((default.code, default.out.trim_end()), (0, include_str!("../../config.example.toml").trim_end()));

    let schema: Value = serde_json::from_str(&desk.run(&["config", "schema"]).out).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");

    desk.write(
        "g.toml",
        &small_configuration("a.db").replace("[admin]", "[admin]\ntoken = \"hunter2-hunter2-hunter2-hunter2-\""),
    );
    let print = desk.run(&["config", "print", "-c", "g.toml"]);
    assert_eq!((print.code, print.err.as_str()), (0, ""));
    assert!(!print.out.contains("hunter2"), "{}", print.out);
    assert!(print.out.contains("g.toml:"), "{}", print.out);
}

#[test]
fn all_faults_of_a_configuration_in_one_run() {
    let desk = Desk::new();
    desk.write("g.toml", &small_configuration("a.db"));
    let good = desk.run(&["check", "-c", "g.toml"]);
    assert_eq!((good.code, good.out.as_str(), good.err.as_str()), (0, "g.toml is in order\n", ""));

    let faulty = small_configuration("a.db").replace("[store]", "[limits]\nconections = 1\n[store]")
        + "plans = [\"pro\"]\n[[route]]\nname = \"twin\"\nprefix = \"/\"\nupstream = \"api\"\n";
    desk.write("bad.toml", &faulty);
    let bad = desk.run(&["check", "-c", "bad.toml"]);
    assert_eq!((bad.code, bad.out.as_str()), (2, ""));
    for part in ["unknown key `conections`", "did you mean `connections`?", "--> bad.toml:", "pro"] {
        assert!(bad.err.contains(part), "{part}: {}", bad.err);
    }
    let json: Value = serde_json::from_str(&desk.run(&["check", "-c", "bad.toml", "--json"]).out).expect("JSON");
    assert_eq!(json["ok"], false);
    assert!(json["faults"].as_array().is_some_and(|faults| faults.len() >= 2), "{json}");

    let run = desk.run(&["run", "--dry-run", "-c", "bad.toml"]);
    assert_eq!((run.code, run.out.as_str()), (2, ""));
    assert!(!desk.path("a.db").exists(), "checking opens no store");
}

#[test]
fn a_file_with_a_secret_is_for_its_owner() {
    let desk = Desk::new();
    let token = "hunter2-hunter2-hunter2-hunter2-";
    let with = |token: &str| small_configuration("a.db").replace("[admin]", &format!("[admin]\ntoken = \"{token}\""));
    let said = "warning: `g.toml` holds a secret and can be read by other users of this machine\n --> g.toml   (chmod 600 \
        keeps them out; or refer to it as \"${file:/path}\")\n";
    let node = |url: &str| {
        let table = format!(
            "[chains.eip155]\nallow = [\"eip155:8453\"]\nschemes = [\"eip191\", \"eip1271\"]\n\
             rpc = {{ \"eip155:8453\" = [\"{url}\"] }}\n[store]"
        );
        small_configuration("a.db").replace("[store]", &table)
    };
    let with_header = |value: &str| {
        small_configuration("a.db")
            + "[[x402.facilitator]]\nurl = \"https://money.example\"\n"
            + &format!("headers = {{ Authorization = \"{value}\" }}\n")
            + "[[x402.accept]]\nnetwork = \"eip155:8453\"\npay_to = \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\n"
    };
    desk.write("secret", token);
    let elsewhere = format!("${{file:{}}}", desk.path("secret").display());
    for (name, text, secret, warned) in [
        ("for all", with(token), false, said),
        ("for the owner", with(token), true, ""),
        ("elsewhere", with(&elsewhere), false, ""),
        ("the key of a node", node("https://node.example/v2/hunter2"), false, said),
        ("a node without one", node("https://node.example"), false, ""),
        ("a header", with_header("hunter2"), false, said),
        ("a header from elsewhere", with_header(&elsewhere), false, ""),
    ] {
        let _ = fs::remove_file(desk.path("g.toml"));
        if secret {
            desk.write_secret("g.toml", &text)
        } else {
            desk.write("g.toml", &text)
        }
        let ran = desk.run(&["check", "-c", "g.toml"]);
        assert_eq!((ran.code, ran.err.as_str()), (0, warned), "{name}");
    }
}

#[test]
fn routes_that_contradict_each_other_are_shown_where_they_stand() {
    let desk = Desk::new();
    let twin = "[[route]]\nname = \"twin\"\nprefix = \"/\"\nupstream = \"api\"\n";
    desk.write("g.toml", &(small_configuration("a.db") + twin));
    for arguments in [&["check", "-c", "g.toml"], &["run", "-c", "g.toml"]] {
        let ran = desk.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains("twin") && ran.err.contains("--> g.toml:"), "{}", ran.err);
    }
}

#[test]
fn certificates_are_looked_at_by_check() {
    let desk = Desk::new();
    let issue = |host: &str| rcgen::generate_simple_self_signed(vec![host.to_owned()]).expect("a certificate");
    let (ours, other) = (issue("gateway.test"), issue("gateway.test"));
    desk.write("ours.crt", &ours.cert.pem());
    desk.write_secret("ours.key", &ours.signing_key.serialize_pem());
    desk.write_secret("other.key", &other.signing_key.serialize_pem());
    desk.write("elsewhere.crt", &issue("elsewhere.test").cert.pem());
    desk.write("open.key", &ours.signing_key.serialize_pem());
    let rows = [
        ("good", "ours.crt", "ours.key", "", 0, ""),
        ("no certificate", "none.crt", "ours.key", "", 2, "cannot read a certificate chain from `none.crt`"),
        ("no key", "ours.crt", "none.key", "", 2, "cannot read a private key from `none.key`"),
        ("another key", "ours.crt", "other.key", "", 2, "the key `other.key` does not fit the certificate `ours.crt`"),
        ("a key for all", "ours.crt", "open.key", "", 0, "can be read by other users of this machine"),
        ("no authorities", "ours.crt", "ours.key", "none.crt", 2, "cannot read authorities from `none.crt`"),
    ];
    for (name, cert, key, ca, code, said) in rows {
        let tls = format!("[[tls.certificate]]\nhosts = [\"gateway.test\"]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
        let ca = format!("[upstreams.api.tls]\nca = \"{ca}\"\n");
        let text = small_configuration("a.db").replace("http://gateway.test", "https://gateway.test");
        let text = text.replace("http://127.0.0.1:9", "https://127.0.0.1:9") + &tls + &ca;
        desk.write("g.toml", &text);
        let ran = desk.run(&["check", "-c", "g.toml"]);
        assert_eq!(ran.code, code, "{name}: {}", ran.err);
        assert!(ran.err.contains(said) && ran.err.is_empty() == said.is_empty(), "{name}: {}", ran.err);
    }
    let tls = "[[tls.certificate]]\nhosts = [\"gateway.test\"]\ncert = \"elsewhere.crt\"\nkey = \"ours.key\"\n";
    desk.write("g.toml", &(small_configuration("a.db") + tls));
    assert_eq!(desk.run(&["check", "-c", "g.toml"]).code, 2, "the key is not that of the certificate");
}

#[test]
fn the_way_of_a_request_is_explained() {
    let desk = Desk::new();
    let public = "[[route]]\nname = \"status\"\npath = \"/status\"\nupstream = \"api\"\nauth = \"none\"\n";
    desk.write("g.toml", &(small_configuration("a.db") + public));
    let explain = |method: &str, url: &str| {
        let ran = desk.run(&[
            "check",
            "-c",
            "g.toml",
            "--json",
            "--explain",
            method,
            url,
            "--header",
            "Authorization: SIWX a.b",
            "X-Real-IP: 192.0.2.1",
            "Accept: */*",
        ]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        let json: Value = serde_json::from_str(&ran.out).expect("JSON");
        json["explanation"].clone()
    };
    let routed = explain("GET", "http://gateway.test/v1/%41?q=1");
    let expected = json!({
        "method": "GET",
        "url": "http://gateway.test/v1/%41?q=1",
        "canonical_path": "/v1/A",
        "route": "all",
        "auth": "subscription",
        "plans": [],
        "why": "`/` of route `all` is the longest prefix that matches, for any method",
        "answer": null,
        "upstream": {
            "name": "api",
            "url": "http://127.0.0.1:9/v1/A?q=1",
            "headers": {
                "host": "gateway.test",
                "accept": "*/*",
                "x-forwarded-for": "<the client's address>",
                "x-real-ip": "<the client's address>",
                "x-forwarded-host": "gateway.test",
                "x-forwarded-port": "80",
                "x-forwarded-proto": "http",
                "x-request-id": "<of each request>",
                "x-siwx-account": "<the wallet's CAIP-10 id>",
                "x-siwx-address": "<the wallet's address>",
                "x-siwx-chain": "<the wallet's chain>",
                "x-siwx-scheme": "<how it signed>",
                "x-siwx-expires": "<until when this holds>",
                "x-siwx-plan": "<the plan that opened the route>",
            },
        },
    });
    assert_eq!(routed, expected);
    let public = explain("GET", "/status");
    assert_eq!((&public["auth"], &public["upstream"]["headers"]["x-siwx-account"]), (&json!("none"), &Value::Null));
    let rows = [
        ("dot segments", "/v1/../x", json!({ "status": 400, "code": "bad_path" })),
        ("another host", "http://elsewhere.test/", json!({ "status": 421, "code": "unknown_host" })),
    ];
    for (name, url, answer) in rows {
        let explained = explain("GET", url);
        assert_eq!((&explained["answer"], &explained["route"]), (&answer, &Value::Null), "{name}");
    }
    let never = json!({ "status": 405, "code": "method_not_allowed" });
    for url in ["/", "/v1/../x", "http://elsewhere.test/"] {
        assert_eq!(explain("TRACE", url)["answer"], never, "{url}");
    }

    let text = desk.run(&["check", "-c", "g.toml", "--explain", "GET", "/v1/x"]).out;
    let first: Vec<&str> = text.lines().take(4).collect();
    let expected =
        ["request    GET /v1/x", "canonical  /v1/x", "route      all", "auth       subscription, to any plan"];
    assert_eq!(first, expected);
}

/// It named the route that a path has below the gateway's own, which never sees it.
#[test]
fn paths_of_the_gateways_own_are_explained_as_such() {
    let desk = Desk::new();
    let own = "[session]\nreown_prefix = \"/auth/v1\"\n[x402]\n[[x402.facilitator]]\nurl = \"http://127.0.0.1:9\"\n\
               [[x402.accept]]\nnetwork = \"eip155:8453\"\npay_to = \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\n";
    let configuration = small_configuration("a.db").replace("http://gateway.test", "https://gateway.test");
    desk.write("g.toml", &(configuration + own));
    for (path, is_own) in [
        ("/.siwx/me", true),
        ("/.siwx", true),
        ("/%2esiwx/nowhere", true),
        ("/auth/v1/nonce", true),
        ("/x402/pricing", true),
        ("/x402/nowhere", true),
        ("/.siwxx/me", false),
        ("/.SIWX/me", false),
        ("/x4022", false),
    ] {
        let ran = desk.run(&["check", "-c", "g.toml", "--json", "--explain", "GET", path]);
        let json: Value = serde_json::from_str(&ran.out).expect("JSON");
        let explained = &json["explanation"];
        assert_eq!(explained["route"].is_null() && explained["answer"].is_null(), is_own, "{path}: {explained}");
        assert_eq!(explained["why"].as_str().expect("words").contains("go before every route"), is_own, "{path}");
    }
}

#[test]
fn versions_name_what_was_built() {
    let desk = Desk::new();
    let json: Value = serde_json::from_str(&desk.run(&["version", "--json"]).out).expect("JSON");
    let members: Vec<&String> = json.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["version", "commit", "features", "rustc", "crypto"]);
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    let text = desk.run(&["version"]).out;
    assert_eq!(text.lines().next(), Some(concat!("siwx-gateway ", env!("CARGO_PKG_VERSION"))));
    assert_ne!(json["rustc"], "unknown");
}

/// Every line for a shell in what the demo prints, sent to the gateway it started.
#[test]
fn the_demo_serves_the_lines_it_prints() {
    let desk = Desk::new();
    let mut child = desk.command(&["demo"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a process");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut sent = 0;
    let mut promised = None;
    for line in lines.by_ref().take_while(|line| !line.starts_with("Requests to the gateway")) {
        if line.starts_with("# ") {
            promised = line.split(": ").nth(1).and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
        }
        let Some(curl) = line.strip_prefix("curl -") else {
            continue;
        };
        let (_, target) = curl.split_once(" http://").expect("a URL");
        let (authority, path) = target.split_once(' ').map_or(target, |(url, _)| url).split_once('/').expect("a path");
        let (address, path) = (authority.parse().expect("an address"), format!("/{path}"));
        let header = match curl.split_once(" -H ").map(|(_, header)| header) {
            None => String::new(),
            Some(header) if header.starts_with('\'') => format!("{}\r\n", header.trim_matches('\'')),
            Some(header) => {
                let (name, pipeline) = header.trim_matches('"').split_once("$(curl -s ").expect("a pipeline");
                let (url, command) = pipeline.trim_end_matches(')').split_once(" | SIWX_KEY=").expect("a pipe");
                assert_eq!(url, format!("http://{authority}{path}"));
                let mut words = command.split(' ');
                let (key, binary) = (words.next().expect("a key"), words.next());
                assert_eq!(binary, Some(env!("CARGO_BIN_EXE_siwx-gateway")));
                let mut signer = desk.command(&words.collect::<Vec<_>>());
                signer.env("SIWX_KEY", key);
                let (_, challenge) = get_of(address, authority, &path, None);
                let signed = finish(signer, challenge.as_bytes());
                assert_eq!((signed.code, signed.err.as_str()), (0, ""), "{line}");
                format!("{name}{}\r\n", signed.out.trim_end())
            }
        };
        let (status, body) = get_with(address, authority, &path, &header);
        assert_eq!(Some(status), promised, "{line}\n{body}");
        sent += 1;
    }
    assert_eq!(sent, 11);
    assert_eq!(end(&mut child, "INT"), Some(0));
}

#[test]
fn the_demo_keeps_its_promises() {
    let desk = Desk::new();
    let ran = desk.run(&["demo", "--once"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    let marks: Vec<&str> = ran.out.lines().filter_map(|line| line.strip_suffix(" ok")).collect();
    assert_eq!(marks.len(), 11, "{}", ran.out);
    assert_eq!(ran.out.lines().last(), Some("11 of 11 as promised"));
    assert_eq!(fs::read_dir(desk.path(".")).expect("a directory").count(), 0, "the demo leaves nothing behind");
}
