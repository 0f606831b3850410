//! Sessions as an operator sees them, beside a gateway that runs on the same store.

use std::time::Duration;

use serde_json::{Value, json};
use siwx_gateway::{
    app::SystemClock,
    caip::AccountId,
    store::{
        Change, NewSession, SessionEntry, SessionFacts, SessionKey, SessionName, SessionTexts, SignIn, SignedIn, Store,
    },
    time::{Clock as _, UnixTime},
};
use tokio::runtime::Runtime;

use crate::harness::{ALICE, Desk, Ran, delete, small_configuration};

const BOB: &str = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";
const SECRETS: [&str; 4] = ["a message", "a signature", "a-nonce", "some data"];

/// The store of a desk, to sign people in.
struct Books {
    store: Store,
    runtime: Runtime,
    now: UnixTime,
}

impl Books {
    fn open(desk: &Desk) -> Self {
        let (store, runtime) = desk.store();
        Self { store, runtime, now: SystemClock.now() }
    }

    /// A set of these accounts; numbers of more are later.
    fn sign_in(&self, number: u8, addresses: &[&str]) {
        let now = self.now.plus(Duration::from_secs(number.into()));
        let sessions = addresses.iter().enumerate().map(|(place, address)| {
            let facts = SessionFacts {
                id: format!("session-{number}-{place}"),
                account: AccountId::parse(&format!("eip155:1:{address}")).expect("an account"),
                scheme: "eip191".into(),
                domain: "app.example".into(),
                created_at: now,
                refreshed_at: now,
                verified_at: now,
                not_before: None,
                expires_at: now.plus(Duration::from_secs(3600)),
                absolute_end: now.plus(Duration::from_secs(7200)),
            };
            let texts = SessionTexts {
                message: "a message".into(),
                signature: "a signature".into(),
                nonce: format!("a-nonce-{number}"),
                data: "\"some data\"".into(),
                cacao: None,
                public_key: None,
                recap: None,
            };
            NewSession { entry: SessionEntry { facts, texts }, nonce_until: now.plus(Duration::from_secs(600)) }
        });
        let name = SessionName::new(SessionKey::from_bytes([number; 32]), &format!("set-{number}")).expect("a name");
        let sign_in = SignIn::new(name, Change::Begin, sessions.collect()).expect("a sign-in");
        let told = self.runtime.block_on(self.store.sessions().sign_in(&sign_in, now)).expect("an answer");
        assert!(matches!(told, SignedIn::Done(_)), "{told:?}");
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Calls a command; what proves a session is in nothing that it says.
fn sessions(desk: &Desk, command: &str, more: &[&str]) -> Ran {
    let ran = desk.run(&[&["sessions", command, "-c", "g.toml"], more].concat());
    for secret in SECRETS {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{ran:?}");
    }
    ran
}

/// The sids that are listed.
fn listed(desk: &Desk, more: &[&str]) -> Vec<String> {
    let ran = sessions(desk, "list", &[more, &["--json"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out.lines().map(|line| json_of(line)["sid"].as_str().expect("a text").to_owned()).collect()
}

/// The lines of the log in what a command said, audit lines alone: the id, the account and how many.
fn audited(ran: &Ran) -> Vec<Value> {
    let lines = ran.err.lines().filter(|line| line.starts_with('{')).map(json_of);
    let lines = lines.filter(|line| line["event"] == "audit" && line["action"] == "session_end");
    lines.map(|line| json!([line["sid"], line["account"], line["ended"]])).collect()
}

#[test]
fn sessions_are_listed_without_what_was_signed() {
    let desk = Desk::new();
    desk.write("g.toml", &small_configuration("a.db"));
    let none = sessions(&desk, "list", &[]);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", "there are none\n"));

    let books = Books::open(&desk);
    books.sign_in(1, &[ALICE]);
    books.sign_in(2, &[BOB, ALICE]);
    books.sign_in(3, &[BOB]);
    let rows: [(&str, &[&str], &[&str]); 4] = [
        ("all, the newest first", &[], &["set-3", "set-2", "set-1"]),
        ("two", &["--limit", "2"], &["set-3", "set-2"]),
        ("none", &["--limit", "0"], &[]),
        ("of an account", &["--account", &ALICE.to_lowercase()], &["set-2", "set-1"]),
    ];
    for (name, arguments, expected) in rows {
        assert_eq!(listed(&desk, arguments), expected, "{name}");
    }
    let table = sessions(&desk, "list", &[]).out;
    let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let (alice, bob) = (format!("eip155:1:{ALICE}"), format!("eip155:1:{BOB}"));
    assert_eq!(cells[0], ["CREATED", "EXPIRES", "SCHEME", "ACCOUNT", "SID"]);
    let rest: Vec<&[&str]> = cells[1..].iter().map(|line| &line[2..]).collect();
    let expected: [&[&str]; 4] = [
        &["eip191", &bob, "set-3"],
        &["eip191", &bob, "set-2"],
        &["eip191", &alice, "set-2"],
        &["eip191", &alice, "set-1"],
    ];
    assert_eq!(rest, expected);

    let line = json_of(sessions(&desk, "list", &["--account", ALICE, "--limit", "1", "--json"]).out.trim());
    let time = |seconds: u64| books.now.plus(Duration::from_secs(seconds)).to_string();
    let account = |id: &str, account: &str| {
        json!({
            "id": id, "account": account, "scheme": "eip191", "domain": "app.example", "created_at": time(2),
            "refreshed_at": time(2), "verified_at": time(2), "not_before": null, "expires_at": time(3602),
            "absolute_end": time(7202),
        })
    };
    let expected = json!({
        "sid": "set-2", "created_at": time(2), "seen_at": time(2), "expires_at": time(3602),
        "accounts": [account("session-2-0", &bob), account("session-2-1", &alice)],
    });
    assert_eq!(line, expected);
}

#[test]
fn sessions_are_ended_by_their_ids_and_by_account() {
    let desk = Desk::new();
    desk.write("g.toml", &small_configuration("a.db"));
    let books = Books::open(&desk);
    books.sign_in(1, &[ALICE, BOB]);
    books.sign_in(2, &[ALICE]);
    books.sign_in(3, &[ALICE, BOB]);
    books.sign_in(4, &[BOB]);

    let set = sessions(&desk, "end", &["set-4"]);
    assert_eq!((set.code, set.out.as_str()), (0, "session set-4 is ended\n"), "{}", set.err);
    assert_eq!(audited(&set), [json!(["set-4", null, null])]);
    let one = sessions(&desk, "end", &["session-3-0"]);
    assert_eq!((one.code, one.out.as_str()), (0, "session session-3-0 is ended\n"), "{}", one.err);
    assert_eq!(listed(&desk, &["--account", ALICE]), ["set-2", "set-1"]);
    assert_eq!(listed(&desk, &[]), ["set-3", "set-2", "set-1"]);

    let all = sessions(&desk, "end", &["--account", ALICE]);
    assert_eq!((all.code, all.out), (0, format!("eip155:{ALICE}: 2 ended\n")), "{}", all.err);
    assert_eq!(
        audited(&sessions(&desk, "end", &["--account", BOB])),
        [json!([null, format!("eip155:{}", BOB.to_lowercase()), 2])]
    );
    assert_eq!(listed(&desk, &[]), Vec::<String>::new());

    for (arguments, said) in [
        (vec!["set-4"], "there is no session `set-4`; nothing was changed\n".to_owned()),
        (vec!["--account", ALICE], format!("eip155:{ALICE} has no session; nothing was changed\n")),
    ] {
        let nothing = sessions(&desk, "end", &arguments);
        assert_eq!((nothing.code, nothing.out.as_str(), audited(&nothing)), (1, "", vec![]), "{arguments:?}");
        assert!(nothing.err.ends_with(&said), "{}", nothing.err);
    }
}

#[test]
fn ends_that_are_not_taken() {
    let desk = Desk::new();
    desk.write("g.toml", &small_configuration("a.db"));
    desk.write("memory.toml", &small_configuration("a.db").replace("sqlite:a.db", "sqlite::memory:"));
    let rows: [(&str, &[&str], &str); 3] = [
        ("nothing", &[], "error: the following required arguments were not provided:\n  <SID>"),
        ("both", &["set-1", "--account", ALICE], "error: the argument '[SID]' cannot be used with '--account"),
        ("no account", &["--account", "alice"], "error: invalid value 'alice' for '--account"),
    ];
    for (name, arguments, said) in rows {
        let ran = sessions(&desk, "end", arguments);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{name}: {}", ran.err);
        assert!(ran.err.starts_with(said), "{name}: {}", ran.err);
    }
    let memory = desk.run(&["sessions", "list", "-c", "memory.toml"]);
    assert_eq!((memory.code, memory.out.as_str()), (1, ""));
    assert!(memory.err.contains("ask its admin API instead"), "{}", memory.err);
}

#[test]
fn what_is_ended_by_the_admin_api_is_in_the_log_of_the_gateway() {
    const TOKEN: &str = "an-admin-token-of-thirty-two-bytes";
    let desk = Desk::new();
    let text = small_configuration("a.db").replace("[admin]\n", &format!("[admin]\ntoken = \"{TOKEN}\"\n"));
    desk.write_secret("g.toml", &text);
    let gateway = desk.serve(&["run", "-c", "g.toml"]);
    let books = Books::open(&desk);
    books.sign_in(1, &[ALICE]);
    books.sign_in(2, &[ALICE, BOB]);
    books.sign_in(3, &[ALICE]);
    let of_alice = format!("/admin/sessions?account=eip155%3A1%3A{ALICE}");
    // What changes nothing is not told.
    for (target, status) in [
        ("/admin/sessions/set-1", 204),
        ("/admin/sessions/set-1", 404),
        (of_alice.as_str(), 204),
        (of_alice.as_str(), 204),
        ("/admin/sessions/session-2-1", 204),
    ] {
        assert_eq!(delete(gateway.admin, target, TOKEN), status, "{target}");
    }
    let told = [gateway.audited(), gateway.audited(), gateway.audited()]
        .map(|line| json!(["action", "sid", "account", "ended", "peer"].map(|name| line[name].clone())));
    let alice = format!("eip155:{}", ALICE.to_lowercase());
    let expected = [
        json!(["session_end", "set-1", null, null, "127.0.0.1"]),
        json!(["session_end", null, alice, 2, "127.0.0.1"]),
        json!(["session_end", "session-2-1", null, null, "127.0.0.1"]),
    ];
    assert_eq!(told, expected);
    assert_eq!(listed(&desk, &[]), Vec::<String>::new());
}
