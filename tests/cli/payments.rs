//! Payments and plans as an operator sees them, beside a gateway that runs on the same store.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use siwx_gateway::{
    app::SystemClock,
    caip::{AccountKey, ChainId},
    policy::access::Scope,
    store::{Asked, Doubt, Lease, NewPayment, Owner, PaymentId, Recorded, Reserved, Sale, Settlement, Step, Store},
    time::{Clock as _, UnixTime},
};
use tokio::runtime::Runtime;

use crate::harness::{ALICE, Desk, Ran, get, post, small_configuration, upstream};

/// How soon a gateway sees what another process changed, and some time for a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// The store of a desk, to put payments into.
struct Books {
    store: Store,
    runtime: Runtime,
}

impl Books {
    fn open(desk: &Desk) -> Self {
        let (store, runtime) = desk.store();
        Self { store, runtime }
    }

    /// A payment that is somebody's for an hour.
    fn reserve(&self, number: u8) {
        let sale = Sale {
            network: ChainId::parse("eip155:8453").expect("a chain"),
            scheme: "exact".into(),
            asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into(),
            amount: "5000000".into(),
            facilitator: "main".into(),
            route: "all".into(),
            scope: Scope::plan("nano").expect("a scope"),
            length: Some(Duration::from_secs(30 * 86_400)),
        };
        let new = NewPayment::new(PaymentId::new([number; 32]), sale, later(60)).expect("a payment");
        let created = later(number.into());
        let reserved = self.runtime.block_on(self.store.payments().reserve(&new, &lease(), created));
        assert_eq!(reserved.expect("an answer"), Reserved::Fresh);
    }

    fn settling(&self, number: u8, payer: Option<&str>) {
        self.reserve(number);
        let asked = Asked::new(b"payload".to_vec(), b"requirement".to_vec()).expect("something to ask for");
        let asked = match payer {
            Some(payer) => asked.paid_by(AccountKey::new("eip155", payer)).expect("an account"),
            None => asked,
        };
        let step = self.store.payments();
        let step = self.runtime.block_on(step.settling(&PaymentId::new([number; 32]), &lease(), &asked));
        assert_eq!(step.expect("an answer"), Step::Done);
    }

    fn unknown(&self, number: u8, payer: Option<&str>, transaction: Option<&str>) {
        self.settling(number, payer);
        let doubt = Doubt { next_attempt_at: None, transaction: transaction.map(str::to_owned) };
        let payments = self.store.payments();
        let step = self.runtime.block_on(payments.unknown(&PaymentId::new([number; 32]), &lease().owner, &doubt));
        assert_eq!(step.expect("an answer"), Step::Done);
    }

    fn settled(&self, number: u8, payer: &str) {
        self.settling(number, None);
        let settlement = Settlement::new(AccountKey::new("eip155", payer), "0xaa", "e30=").expect("a settlement");
        let (id, payments) = (PaymentId::new([number; 32]), self.store.payments());
        let recorded = self.runtime.block_on(payments.settled(&id, &lease().owner, &settlement, later(0)));
        assert!(matches!(recorded, Ok(Recorded::Settled(_))), "{recorded:?}");
    }
}

fn later(seconds: u64) -> UnixTime {
    SystemClock.now().plus(Duration::from_secs(seconds))
}

fn lease() -> Lease {
    Lease { owner: Owner::new("test").expect("a name"), until: later(3600) }
}

fn id(number: u8) -> String {
    PaymentId::new([number; 32]).to_string()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn payments(desk: &Desk, command: &str, more: &[&str]) -> Ran {
    desk.run(&[&["payments", command, "-c", "g.toml"], more].concat())
}

/// A member of each line.
fn member(ran: &Ran, name: &str) -> Vec<String> {
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    ran.out.lines().map(|line| json_of(line)[name].as_str().expect("a text").to_owned()).collect()
}

/// The lines of the log in what a command said, audit lines alone.
fn audited(ran: &Ran) -> Vec<Value> {
    let lines = ran.err.lines().filter(|line| line.starts_with('{')).map(json_of);
    lines.filter(|line| line["event"] == "audit").collect()
}

#[test]
fn payments_are_listed_and_shown() {
    let desk = Desk::new();
    desk.write("g.toml", &small_configuration("a.db"));
    let none = payments(&desk, "list", &[]);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", "there are none\n"));

    let books = Books::open(&desk);
    books.settled(1, ALICE);
    books.unknown(2, Some(ALICE), None);
    books.unknown(3, None, Some("0xbb"));
    books.reserve(4);
    let rows: [(&str, &[&str], &[u8]); 6] = [
        ("all, the newest first", &[], &[4, 3, 2, 1]),
        ("two", &["--limit", "2"], &[4, 3]),
        ("none", &["--limit", "0"], &[]),
        ("unknown", &["--status", "unknown"], &[3, 2]),
        ("of an account", &["--account", ALICE], &[2, 1]),
        ("of both", &["--account", ALICE, "--status", "settled"], &[1]),
    ];
    for (name, arguments, expected) in rows {
        let listed = payments(&desk, "list", &[arguments, &["--json"]].concat());
        assert_eq!(member(&listed, "id"), expected.iter().map(|number| id(*number)).collect::<Vec<_>>(), "{name}");
    }
    let table = payments(&desk, "list", &[]).out;
    let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0], ["CREATED", "STATUS", "AMOUNT", "NETWORK", "OPENS", "PAYER", "ID"]);
    let (unknown, alice) = (id(2), format!("eip155:{ALICE}"));
    assert_eq!(cells[2][1..6], ["unknown", "5000000", "eip155:8453", "plan:nano", "-"]);
    assert_eq!(cells[3][1..], ["unknown", "5000000", "eip155:8453", "plan:nano", &alice, &unknown]);

    let shown = json_of(&payments(&desk, "show", &[&id(3), "--json"]).out);
    let found =
        ["status", "transaction", "route", "period_seconds", "attempts", "payer"].map(|name| shown[name].clone());
    assert_eq!(json!(found), json!(["unknown", "0xbb", "all", 2_592_000, 1, null]));
    let lines = payments(&desk, "show", &[&id(3)]).out;
    assert!(lines.contains("\ntransaction      0xbb\n") && lines.contains("\npayer            -\n"), "{lines}");
    let absent = payments(&desk, "show", &[&id(9)]);
    let said = format!("error: there is no payment {}; one that was released leaves nothing behind\n", id(9));
    assert_eq!((absent.code, absent.out.as_str(), absent.err), (1, "", said));
}

#[test]
fn what_is_settled_on_the_command_line_opens_a_gateway_that_runs() {
    let desk = Desk::new();
    let text = small_configuration("a.db").replace("127.0.0.1:9", &upstream().to_string());
    desk.write("g.toml", &(text + "[cache.subscriptions]\nnegative_ttl = \"1s\"\n"));
    let address = desk.run(&["keygen", "--chain", "evm"]).out.trim().to_owned();
    let mint = ["token", "mint", "--key", "evm.key", "--domain", "gateway.test", "--uri", "http://gateway.test"];
    let token = desk.run(&mint).out.trim().to_owned();
    let gateway = desk.serve(&["run", "-c", "g.toml"]);
    let books = Books::open(&desk);
    books.unknown(1, Some(&address.to_ascii_lowercase()), None);
    books.unknown(2, None, None);
    assert_eq!(get(gateway.address, "/x", Some(&token)).0, 403);

    let open = payments(&desk, "resolve", &[&id(1), "settled"]);
    let said = "error: `--transaction`: expected a transaction: the store knows none of this payment\n";
    assert_eq!((open.code, open.out.as_str(), open.err.as_str()), (64, "", said));
    let settled = payments(&desk, "resolve", &[&id(1), "settled", "--transaction", "0xab", "--json"]);
    assert_eq!(settled.code, 0, "{}", settled.err);
    let shown = json_of(&settled.out);
    let account = format!("eip155:{address}");
    assert_eq!([&shown["status"], &shown["payer"], &shown["transaction"]], ["settled", &account, "0xab"]);
    let [line] = audited(&settled).try_into().expect("one line");
    let found =
        ["action", "payment", "status", "route", "scope", "payer", "transaction"].map(|name| line[name].clone());
    let payer = account.to_ascii_lowercase();
    assert_eq!(json!(found), json!(["payment_resolve", id(1), "settled", "all", "plan:nano", payer, "0xab"]));
    let begun = Instant::now();
    while get(gateway.address, "/x", Some(&token)).0 != 200 {
        assert!(begun.elapsed() < SEEN_WITHIN, "not seen within {SEEN_WITHIN:?}");
        std::thread::sleep(Duration::from_millis(100));
    }

    let again = payments(&desk, "resolve", &[&id(1), "settled", "--json"]);
    assert_eq!((again.code, json_of(&again.out), audited(&again)), (0, shown, vec![]));
    let unsaid = payments(&desk, "resolve", &[&id(1), "released"]);
    let said = format!("error: this payment is settled already, paid by `{account}` in transaction `0xab`\n");
    assert_eq!((unsaid.code, unsaid.out.as_str(), unsaid.err), (1, "", said));

    let released = payments(&desk, "resolve", &[&id(2), "released"]);
    let said = format!("{} is released; what it was paid with may be presented again\n", id(2));
    assert_eq!((released.code, released.out.as_str()), (0, said.as_str()), "{}", released.err);
    assert_eq!(audited(&released).len(), 1, "{}", released.err);
    let gone = payments(&desk, "resolve", &[&id(2), "released"]);
    assert_eq!((gone.code, gone.out.as_str(), audited(&gone)), (1, "", vec![]));
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn what_is_resolved_by_the_admin_api_is_in_the_log_of_the_gateway() {
    const TOKEN: &str = "an-admin-token-of-thirty-two-bytes";
    let desk = Desk::new();
    let text = small_configuration("a.db").replace("[admin]\n", &format!("[admin]\ntoken = \"{TOKEN}\"\n"));
    desk.write_secret("g.toml", &text);
    let gateway = desk.serve(&["run", "-c", "g.toml"]);
    let books = Books::open(&desk);
    books.unknown(1, Some(ALICE), Some("0xaa"));
    books.unknown(2, Some(ALICE), Some("0xbb"));
    books.reserve(3);
    let resolve = |number: u8, status: &str| {
        let target = format!("/admin/payments/{}/resolve", id(number));
        post(gateway.admin, &target, TOKEN, &json!({ "status": status })).0
    };
    // What changes nothing is not told: neither a second word, nor one on what somebody works on.
    let words = [(1, "settled", 200), (1, "settled", 200), (1, "released", 409), (3, "released", 409)];
    for (number, status, answer) in words.into_iter().chain([(2, "released", 200)]) {
        assert_eq!(resolve(number, status), answer, "{number} {status}");
    }
    let told = [gateway.audited(), gateway.audited()].map(|line| {
        let members = ["action", "payment", "status", "route", "scope", "payer", "transaction", "peer"];
        json!(members.map(|name| line[name].clone()))
    });
    let payer = format!("eip155:{}", ALICE.to_ascii_lowercase());
    let expected = [
        json!(["payment_resolve", id(1), "settled", "all", "plan:nano", payer, "0xaa", "127.0.0.1"]),
        json!(["payment_resolve", id(2), "released", "all", "plan:nano", null, null, "127.0.0.1"]),
    ];
    assert_eq!(told, expected);
}

#[test]
fn words_that_are_not_taken() {
    let desk = Desk::new();
    desk.write("g.toml", &small_configuration("a.db"));
    desk.write("memory.toml", &small_configuration("a.db").replace("sqlite:a.db", "sqlite::memory:"));
    let books = Books::open(&desk);
    books.reserve(1);
    books.unknown(2, None, Some("0xbb"));
    let (held, open) = (id(1), id(2));
    let other_chain = format!("eip155:1:{ALICE}");
    let rows: [(&str, &[&str], i32, &str); 9] = [
        ("somebody works on it", &[&held, "released"], 1, "error: somebody works on this payment until 2"),
        ("nobody paid", &[&open, "settled"], 64, "error: `--payer`: expected a payer: the store knows none"),
        (
            "another chain",
            &[&open, "settled", "--payer", &other_chain],
            64,
            "error: `--payer`: expected a payer on `eip155:8453`, which was paid on, found `eip155:1`\n",
        ),
        (
            "a transaction that is none",
            &[&open, "settled", "--payer", ALICE, "--transaction", "a b"],
            64,
            "error: expected a transaction of visible ASCII characters",
        ),
        (
            "a payer of what was not paid",
            &[&open, "released", "--payer", ALICE],
            64,
            "error: expected `--payer` and `--transaction` with `settled` alone\n",
        ),
        ("no account", &[&open, "settled", "--payer", "alice"], 64, "error: invalid value 'alice' for '--payer"),
        ("no outcome", &[&open], 64, "error: the following required arguments were not provided:\n  <OUTCOME>"),
        ("another outcome", &[&open, "refused"], 64, "error: invalid value 'refused' for '<OUTCOME>'"),
        ("no id", &["1", "released"], 64, "error: invalid value '1' for '<ID>': expected a payment's id of 64"),
    ];
    for (name, arguments, code, said) in rows {
        let ran = payments(&desk, "resolve", arguments);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{name}: {}", ran.err);
        assert!(ran.err.starts_with(said), "{name}: {}", ran.err);
    }
    let wrong = payments(&desk, "list", &["--status", "released"]);
    assert_eq!(wrong.code, 64, "{}", wrong.err);
    assert_eq!(member(&payments(&desk, "list", &["--json"]), "status"), ["unknown", "reserved"]);
    let memory = desk.run(&["payments", "list", "-c", "memory.toml"]);
    assert_eq!((memory.code, memory.out.as_str()), (1, ""));
    assert!(memory.err.contains("ask its admin API instead"), "{}", memory.err);
}

#[test]
fn plans_are_listed_with_price_period_and_holders() {
    let desk = Desk::new();
    let sold = "[x402]\n[[x402.facilitator]]\nname = \"main\"\nurl = \"http://127.0.0.1:9\"\n[[x402.accept]]\n\
        network = \"eip155:84532\"\npay_to = \"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\"\n\
        [[plan]]\nname = \"pro\"\nprice = \"$5\"\nperiod = \"30d\"\n\
        [[plan]]\nname = \"max\"\nprice = \"$12.50\"\nperiod = \"1h\"\n";
    desk.write("g.toml", &(small_configuration("a.db") + sold));
    let grant = |account: &str, more: &[&str]| {
        let granted = desk.run(&[&["subscriptions", "grant", "-c", "g.toml", "--account", account], more].concat());
        assert_eq!(granted.code, 0, "{}", granted.err);
    };
    let bob = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";
    grant(ALICE, &["--plan", "nano"]);
    grant(bob, &["--plan", "nano"]);
    grant(bob, &["--plan", "pro", "--for", "30d"]);
    grant(ALICE, &["--plan", "pro", "--until", "2020-01-01T00:00:00Z"]);
    let listed = desk.run(&["plans", "list", "-c", "g.toml", "--json"]);
    assert_eq!((listed.code, listed.err.as_str()), (0, ""));
    let expected = [
        json!({ "plan": "nano", "price": null, "period": null, "holders": 2 }),
        json!({ "plan": "pro", "price": "$5", "period": "30d", "holders": 1 }),
        json!({ "plan": "max", "price": "$12.50", "period": "1h", "holders": 0 }),
        json!({ "plan": "default", "price": null, "period": null, "holders": 0 }),
    ];
    assert_eq!(listed.out.lines().map(json_of).collect::<Vec<_>>(), expected);
    let table = desk.run(&["plans", "list", "-c", "g.toml"]).out;
    let lines = ["PLAN     PRICE   PERIOD  HOLDERS", "nano     -       -       2", "pro      $5      30d     1"];
    assert!(table.starts_with(&lines.join("\n")), "{table}");

    desk.write("memory.toml", &(small_configuration("a.db").replace("sqlite:a.db", "sqlite::memory:") + sold));
    let memory = desk.run(&["plans", "list", "-c", "memory.toml", "--json"]);
    assert_eq!(memory.code, 0, "{}", memory.err);
    assert_eq!(json_of(memory.out.lines().nth(1).expect("a plan"))["holders"], Value::Null);
    assert!(memory.err.starts_with("holders are not counted"), "{}", memory.err);
}
