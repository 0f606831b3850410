//! Contract wallets (signatures.md section 1): who is asked what, what is made of the answer, how long it counts, and
//! what comes of nodes that fail or lie.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use serde_json::{Value, json};
use siwx_gateway::{
    caip::{AccountKey, ChainId},
    store::{Grant, Term},
};

use crate::{
    facilitator::{Act, Latch},
    harness::{
        Answer, Gateway, Payment, Request, Setup, Shop, Till, Upstream, Wallet,
        shop::{FOR_SALE, SEPOLIA, proof, signed},
        time,
        wallet::token,
    },
    node::{NO, Node, YES, result},
    recording,
};

/// The contract of a wallet without a key.
const CONTRACT: &str = "0x69558E1EAcAbbbA7a4411A50628D5B8223e05eea";

/// A contract that returns a megabyte, of which nobody reads the end.
const MEGABYTE: &str = "wallet-big-return";

const UNAVAILABLE: &str = "verifier_unavailable";

/// Contracts are asked at these nodes, in the order of their chains.
fn asking(chains: &[(&str, &[&Node])], keys: &str) -> String {
    let of_chain = |(chain, nodes): &(&str, &[&Node])| {
        let urls: Vec<String> = nodes.iter().map(|node| node.url()).collect();
        format!("\"{chain}\" = {urls:?}")
    };
    let rpc: Vec<String> = chains.iter().map(of_chain).collect();
    let rpc = rpc.join(", ");
    format!("[chains.eip155]\nschemes = [\"eip191\", \"eip1271\", \"eip6492\"]\nrpc = {{ {rpc} }}\n{keys}\n")
}

/// The usual gateway before these nodes of Base.
fn before(upstream: &Upstream, nodes: &[&Node], keys: &str) -> Setup {
    Setup::over(upstream).tables(&asking(&[("eip155:8453", nodes)], keys))
}

/// A node of Base whose contracts return this.
fn saying(returned: &'static str) -> Node {
    Node::on(8453, move |request| result(request, &json!(returned)))
}

/// A node of Base whose contracts return this once the latch is open.
fn held(latch: &Latch, returned: &'static str) -> Node {
    let latch = latch.clone();
    Node::on(8453, move |request| result(request, &json!(returned)).held(&latch))
}

/// A signature that no key makes; each number is another one.
fn signature(number: u64) -> String {
    format!("0x{}{number:064x}", "ab".repeat(70))
}

/// A token of the contract on a chain, with the signature of this number.
fn token_on(chain: &str, number: u64) -> String {
    let text = Wallet::evm(1).text().of_address(CONTRACT).with("Chain ID", chain);
    token(&text.to_string(), &signature(number))
}

/// The same on Base.
fn contract_token(number: u64) -> String {
    token_on("8453", number)
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn unavailable() -> (u16, String) {
    (503, UNAVAILABLE.to_owned())
}

/// Fails unless this is a 401 for the signature's sake, by this name in the log.
fn assert_refused(answer: &Answer, name: &str, cause: &str) {
    assert_eq!(
        (answer.outcome(), answer.reason()),
        ((401, "invalid_token".to_owned()), "bad_signature".to_owned()),
        "{name}"
    );
    let detail = answer.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.starts_with(&format!("{cause}: ")), "{name}: {detail}");
}

fn contracts(result: &str) -> String {
    format!("siwx_cache_requests_total{{cache=\"contracts\",result=\"{result}\"}}")
}

/// What was recorded of real contracts, as tokens: 48 cases, among them the zero account, broken wrappings, a wrapped
/// signature of a key pair, and contracts that return too little, too much, or nothing in the end.
#[test]
fn c25_recorded_contracts_come_in_or_do_not() {
    let file = recording::file();
    let unknown = Arc::default();
    let nodes = [1, 8453].map(|reference| recording::node(&file, reference, &unknown));
    let tables = asking(&[("eip155:1", &[&nodes[0]]), ("eip155:8453", &[&nodes[1]])], "rpc_per_ip = \"off\"");
    let upstream = Upstream::ok();
    let setup = Setup::over(&upstream).tables(&tables).hosts(vec!["app.gateway.example".to_owned()]);
    let setup = setup.set("auth.require_expiration", "false").set("limits.auth_failures", "off");
    let gateway = setup.start();
    let (mut accepted, mut rejected, mut optional) = (0, 0, 0);
    for case in file["cases"].as_array().expect("cases") {
        let text = |member: &str| case[member].as_str().unwrap_or_else(|| panic!("{member}"));
        let (id, token) = (text("id"), token(text("message"), text("signature")));
        for temperature in ["cold", "warm"] {
            let request = Request::get("/wallet/x").host("app.gateway.example").token(&token);
            let answer = gateway.send(&request);
            let seen = upstream.take();
            match text("expect") {
                _ if id == MEGABYTE => {
                    assert_eq!(answer.outcome(), unavailable(), "{id}");
                    assert!(seen.is_empty(), "{id}");
                    // Only what is known is remembered, and a node that is asked twice is not asked a third time.
                    optional += 1;
                    break;
                }
                "accept" => {
                    assert_eq!(answer.outcome(), ok(), "{id}, {temperature}: {answer:?}");
                    let told = seen.first().map(|seen| (seen.one("X-SIWX-Scheme"), seen.one("X-SIWX-Chain")));
                    assert_eq!(told, Some((Some(text("scheme")), Some(text("chain_id")))), "{id}, {temperature}");
                    accepted += 1;
                }
                "reject" => {
                    assert_eq!(answer.outcome(), (401, "invalid_token".to_owned()), "{id}, {temperature}: {answer:?}");
                    assert_eq!(answer.reason(), "bad_signature", "{id}, {temperature}");
                    rejected += 1;
                }
                _ => {
                    assert!(matches!(answer.status, 200 | 401), "{id}, {temperature}: {answer:?}");
                    optional += 1;
                }
            }
        }
    }
    assert_eq!((accepted, rejected, optional), (2 * 14, 2 * 30, 2 * 3 + 1));
    assert_eq!(*Mutex::lock(&unknown).expect("the list"), [""; 0]);
}

/// Recovery from a malformed signature gives zero, and verifiers that ask anybody let zero in.
#[test]
fn the_zero_account_is_refused_and_nobody_is_asked() {
    let (upstream, node) = (Upstream::ok(), saying(YES));
    let gateway = before(&upstream, &[&node], "").start();
    let text = Wallet::evm(1).text().of_address(&format!("0x{}", "0".repeat(40))).to_string();
    for signature in [signature(1), format!("0x{}1b", "00".repeat(64)), "0x".to_owned()] {
        let answer = gateway.get("/wallet/x", &token(&text, &signature));
        assert_refused(&answer, &signature, "zero_account");
    }
    assert_eq!((node.calls(), upstream.take().len()), (0, 0));
}

/// Whoever wraps a signature asks for a contract, whatever is inside (ERC-6492: the validator never recovers).
#[test]
fn a_wrapped_signature_of_a_key_pair_is_for_its_contract_to_take() {
    let (upstream, node, wallet) = (Upstream::ok(), saying("0x00"), Wallet::evm(1));
    let gateway = before(&upstream, &[&node], "").start();
    let text = wallet.text().to_string();
    let plain = data_encoding::HEXLOWER.encode(&wallet.sign(&text));
    let word = |number: usize| format!("{number:064x}");
    let wrapped = [
        format!("0x{}", word(1)),
        word(0x60),
        word(0x80),
        word(0),
        word(65),
        format!("{plain}{}", "00".repeat(31)),
        "6492".repeat(16),
    ];
    assert_refused(&gateway.get("/wallet/x", &token(&text, &wrapped.concat())), "wrapped", "contract_refused");
    assert_eq!(node.calls(), 1);
    assert_eq!(gateway.get("/wallet/x", &wallet.token()).outcome(), ok(), "as it is");
    assert_eq!(node.calls(), 1, "a key needs nobody");
}

/// Decision 15: trying again would not help, so this is no 503.
#[test]
fn where_nobody_can_be_asked_a_contract_is_refused() {
    let (upstream, node) = (Upstream::ok(), saying(YES));
    let schemes = format!("[chains.eip155]\nrpc = {{ \"eip155:8453\" = [{:?}] }}\n", node.url());
    let rows = [
        ("no node for the chain", asking(&[("eip155:8453", &[&node])], ""), token_on("10", 1)),
        ("no such scheme", schemes, contract_token(1)),
        ("nothing configured", String::new(), contract_token(1)),
    ];
    for (name, tables, token) in rows {
        let gateway = Setup::over(&upstream).tables(&tables).start();
        assert_refused(&gateway.get("/wallet/x", &token), name, "rpc_not_configured");
    }
    assert_eq!(node.calls(), 0);
}

#[test]
fn a_yes_and_a_no_are_remembered_and_a_yes_warms_the_token() {
    let upstream = Upstream::ok();
    let node = Node::on(8453, |request| {
        let data = request["params"][0]["data"].as_str().expect("hex");
        result(request, &json!(if data.contains(&format!("{:064x}", 1)) { YES } else { NO }))
    });
    let gateway = before(&upstream, &[&node], "").start();
    let mut client = gateway.client();
    let get = |number| Request::get("/wallet/x").token(&contract_token(number));
    for _ in 0..2 {
        assert_eq!(client.send(&get(1)).outcome(), ok());
        assert_eq!(gateway.send(&get(1)).outcome(), ok());
    }
    for _ in 0..3 {
        assert_refused(&gateway.send(&get(2)), "no", "contract_refused");
    }
    assert_eq!(node.calls(), 2, "once each");
    let scheme = |result: &str| format!("siwx_signature_verifications_total{{result=\"{result}\",scheme=\"eip1271\"}}");
    gateway.expect_metric("siwx_http_requests_in_flight", 0.0);
    let metrics = gateway.metrics();
    let rows = [
        (contracts("miss"), 2.0),
        (contracts("negative"), 2.0),
        (contracts("hit"), 0.0),
        ("siwx_cache_requests_total{cache=\"proofs\",result=\"hit\"}".to_owned(), 3.0),
        ("siwx_cache_entries{cache=\"contracts\"}".to_owned(), 2.0),
        ("siwx_rpc_requests_total{chain=\"eip155:8453\",result=\"ok\"}".to_owned(), 3.0),
        (scheme("valid"), 1.0),
        (scheme("invalid"), 3.0),
        (scheme("error"), 0.0),
        ("siwx_signature_verify_duration_seconds_count{scheme=\"eip1271\"}".to_owned(), 4.0),
    ];
    for (series, value) in rows {
        assert_eq!(metrics.value(&series), value, "{series}");
    }
    let state = gateway.admin(Request::get("/admin/state")).json();
    assert_eq!(state["caches"], json!({ "proofs": 1, "subscriptions": 1, "contracts": 2, "sessions": 0 }));
}

#[test]
fn what_is_counted_of_contracts_is_there_before_the_first() {
    let (upstream, node) = (Upstream::ok(), saying(YES));
    let gateway = before(&upstream, &[&node], "").start();
    let metrics = gateway.metrics();
    for route in ["none", "paid", "wallet"] {
        for series in [
            format!("siwx_rate_limited_total{{route=\"{route}\",scope=\"rpc\"}}"),
            format!("siwx_auth_decisions_total{{decision=\"error\",reason=\"{UNAVAILABLE}\",route=\"{route}\"}}"),
        ] {
            assert_eq!(metrics.value(&series), 0.0, "{series}");
        }
    }
}

/// What an operator forgets is forgotten, also what rests on it.
#[test]
fn a_flush_makes_contracts_be_asked_again() {
    let (upstream, latches, asked) = (Upstream::ok(), [(); 2].map(|()| Latch::default()), AtomicUsize::new(0));
    let held = latches.clone();
    let node = Node::on(8453, move |request| {
        let answer = result(request, &json!(YES));
        match held.get(asked.fetch_add(1, SeqCst)) {
            Some(latch) => answer.held(latch),
            None => answer,
        }
    });
    let gateway = before(&upstream, &[&node], "").start();
    let request = Request::get("/wallet/x").token(&contract_token(1));
    let flush = || assert_eq!(gateway.admin(Request::new("POST", "/admin/cache/flush")).status, 204);
    // In the middle of a question: whoever waits is answered, and nobody after them by the same answer.
    let [mut before, mut after, mut last] = [(); 3].map(|()| gateway.client());
    before.write(&request.bytes());
    node.wait_asked(2);
    flush();
    after.write(&request.bytes());
    node.wait_asked(3);
    latches[0].open();
    assert_eq!(before.read().outcome(), ok());
    last.write(&request.bytes());
    gateway.expect_metric(&contracts("coalesced"), 1.0);
    latches[1].open();
    assert_eq!((after.read().outcome(), last.read().outcome()), (ok(), ok()));
    for client in [&mut before, &mut after, &mut last] {
        assert_eq!(client.send(&request).outcome(), ok());
    }
    assert_eq!(node.calls(), 2, "remembered from the second on");
    flush();
    assert_eq!(before.send(&request).outcome(), ok());
    assert_eq!(node.calls(), 3);
}

/// A credential that opens one request is not remembered, and its contract need not be asked each time.
#[test]
fn a_single_use_token_of_a_contract_opens_one_request() {
    let (upstream, node) = (Upstream::ok(), saying(YES));
    let gateway = before(&upstream, &[&node], "").set("auth.nonce", "single-use").start();
    let request = Request::get("/wallet/x").token(&contract_token(1));
    assert_eq!(gateway.send(&request).outcome(), ok());
    for _ in 0..2 {
        let again = gateway.send(&request);
        assert_eq!((again.outcome(), again.reason()), ((401, "invalid_token".to_owned()), "nonce_reused".to_owned()));
    }
    assert_eq!((node.calls(), upstream.take().len()), (1, 1));
}

/// Section 7 of hardening.md: 503 for that wallet alone.
#[test]
fn c25_a_node_that_fails_shuts_out_its_contracts_and_nobody_else() {
    let answer = |status, kind: &str, body: &str| Act::text(status, kind, body);
    let megabytes = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x{}\"}}", "00".repeat(1024 * 1024));
    let html = "<html><body>0x1626ba7e00000000000000000000000000000000000000000000000000000000</body></html>";
    let rows = [
        ("hangs", Act::Hang),
        ("closes", Act::Close),
        ("megabytes", answer(200, "application/json", &megabytes)),
        ("HTML", answer(200, "text/html", html)),
        ("an error page", answer(500, "text/html", html)),
        ("a redirect", Act::with(307, &[("location", "https://127.0.0.1:1/")], "")),
        ("nothing", answer(200, "application/json", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}")),
    ];
    let upstream = Upstream::ok();
    for (name, act) in rows {
        let node = Node::on(8453, move |_| act.clone());
        let keys = "rpc_timeout = \"300ms\"";
        let setup = before(&upstream, &[&node], keys).set("limits.auth_failures", "1/h");
        let gateway = setup.start();
        // The key pair is served while the node is being waited for.
        let mut waits = gateway.client();
        waits.write(&Request::get("/wallet/x").token(&contract_token(1)).bytes());
        node.wait_asked(2);
        assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).outcome(), ok(), "{name}");
        let answer = waits.read();
        assert_eq!((answer.outcome(), answer.one("retry-after")), (unavailable(), Some("1")), "{name}");
        // It is no refusal, and not remembered: the node is asked again.
        assert_eq!(gateway.get("/wallet/x", &contract_token(1)).outcome(), unavailable(), "{name}");
        assert_eq!(node.calls(), 2, "{name}");
        assert_eq!(gateway.get("/wallet/x", &Wallet::evm(2).token()).outcome(), ok(), "{name}: nothing was counted");
        let errors = "siwx_signature_verifications_total{result=\"error\",scheme=\"eip1271\"}";
        gateway.expect_metric(errors, 2.0);
        gateway.expect_metric(
            &format!("siwx_auth_decisions_total{{decision=\"error\",reason=\"{UNAVAILABLE}\",route=\"wallet\"}}"),
            2.0,
        );
        assert_eq!(upstream.take().len(), 2, "{name}");
    }
}

#[test]
fn c25_a_node_that_lies_about_its_chain_is_not_asked() {
    let upstream = Upstream::ok();
    let node = Node::on(1, |request| result(request, &json!(YES)));
    let gateway = before(&upstream, &[&node], "").start();
    for number in 0..2 {
        assert_eq!(gateway.get("/wallet/x", &contract_token(number)).outcome(), unavailable());
    }
    assert_eq!(node.calls(), 0);
    assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).outcome(), ok());
}

#[test]
fn a_node_that_comes_back_lets_its_contracts_in() {
    let (upstream, works) = (Upstream::ok(), Arc::new(AtomicBool::new(false)));
    let switch = Arc::clone(&works);
    let answer = move |request: &Value| if switch.load(SeqCst) { result(request, &json!(YES)) } else { Act::Close };
    let node = Node::on(8453, answer);
    let gateway = before(&upstream, &[&node], "").start();
    assert_eq!(gateway.get("/wallet/x", &contract_token(1)).outcome(), unavailable());
    works.store(true, SeqCst);
    assert_eq!(gateway.get("/wallet/x", &contract_token(1)).outcome(), ok());
}

/// One node is as trusted as the gateway itself, so that an operator may want two to agree.
#[test]
fn nodes_that_disagree_let_nobody_in() {
    let upstream = Upstream::ok();
    let rows = [
        ("both say yes", [YES, YES], ok()),
        ("one says no", [YES, NO], unavailable()),
        ("the other one does", [NO, YES], unavailable()),
        ("both do", [NO, NO], (401, "invalid_token".to_owned())),
    ];
    for (name, said, expected) in rows {
        let [first, second] = said.map(saying);
        let gateway = before(&upstream, &[&first, &second], "rpc_quorum = 2").start();
        assert_eq!(gateway.get("/wallet/x", &contract_token(1)).outcome(), expected, "{name}");
        assert_eq!((first.calls(), second.calls()), (1, 1), "{name}");
    }
}

/// Section 1.5: a proof whose signature was a contract's is never served past the life of the contract's yes, neither
/// by the memory of proofs, which is longer, nor by that of the connection.
#[test]
fn an_owner_who_was_removed_is_out_within_the_life_of_a_yes() {
    let (upstream, owner) = (Upstream::ok(), Arc::new(AtomicBool::new(true)));
    let switch = Arc::clone(&owner);
    let node = Node::on(8453, move |request| result(request, &json!(if switch.load(SeqCst) { YES } else { NO })));
    let tables = format!(
        "{}[cache.contracts]\nttl = \"300ms\"\nnegative_ttl = \"60s\"\n",
        asking(&[("eip155:8453", &[&node])], "rpc_per_ip = \"off\"")
    );
    let gateway = Setup::over(&upstream).tables(&tables).set("limits.auth_failures", "off").start();
    let request = Request::get("/wallet/x").token(&contract_token(1));
    let mut kept = gateway.client();
    assert_eq!(kept.send(&request).outcome(), ok());
    assert_eq!(gateway.send(&request).outcome(), ok());
    owner.store(false, SeqCst);
    let removed = Instant::now();
    // From here on all clocks are real: each door is tried until it is shut, which it must be in time.
    loop {
        let (same, other) = (kept.send(&request).status, gateway.send(&request).status);
        if (same, other) == (401, 401) {
            break;
        }
        assert!(removed.elapsed() < Duration::from_secs(5), "still {same} and {other}");
    }
    // And it stays shut.
    assert_eq!((kept.send(&request).status, gateway.send(&request).status), (401, 401));
}

/// Decision 16: who paid with that address elsewhere may be somebody else.
#[test]
fn the_same_contract_on_a_chain_nobody_paid_on_holds_nothing() {
    let nodes = [Node::on(84532, |request| result(request, &json!(YES))), saying(YES)];
    let tables = asking(&[(SEPOLIA, &[&nodes[0]]), ("eip155:8453", &[&nodes[1]])], "");
    let granted = "[[plan]]\nname = \"pro\"\n[[route]]\nname = \"pro\"\nprefix = \"/pro\"\nupstream = \"api\"\n\
                   auth = \"subscription\"\nplans = [\"pro\"]\n";
    let routes = format!("{granted}{FOR_SALE}");
    let shop = Shop::set_up(Upstream::ok(), &routes, &Till::default(), |setup| setup.tables(&tables));
    pays(&shop);
    let key = AccountKey::new("eip155", CONTRACT);
    let grant = Grant::new(key, "pro", Term::UntilRevoked)
        .and_then(|grant| grant.on_chain(ChainId::parse(SEPOLIA).expect("a chain")));
    let grant = grant.expect("a grant");
    shop.gateway
        .block_on(shop.gateway.store.subscriptions().grant(&grant, time(crate::harness::NOW)))
        .expect("a grant");
    let rows = [
        ("paid, on its chain", "/weather/x", "84532", (200, json!(null))),
        ("paid, on another", "/weather/x", "8453", (402, json!("subscription_required"))),
        ("granted, on its chain", "/pro/x", "84532", (200, json!(null))),
        ("granted, on another", "/pro/x", "8453", (403, json!("subscription_required"))),
    ];
    for temperature in ["cold", "warm"] {
        for (name, target, chain, expected) in &rows {
            let answer = shop.gateway.get(target, &token_on(chain, 1));
            let code = if answer.status == 200 { json!(null) } else { answer.json()["code"].clone() };
            assert_eq!((answer.status, code), *expected, "{name}, {temperature}");
        }
    }
    assert_eq!(nodes.each_ref().map(Node::calls), [1, 1]);
    for (chain, status) in [("84532", json!(["pro", true])), ("8453", json!([null, false]))] {
        let held = shop.gateway.get("/x402/status", &token_on(chain, 2)).json();
        assert_eq!(json!([held["plan"], held["active"]]), status, "{chain}");
    }
}

/// Tokens of contracts, each of them new, cost the operator's quota at the node.
#[test]
fn c26_an_address_that_has_too_many_contracts_asked_waits() {
    let (upstream, node) = (Upstream::ok(), saying(YES));
    let keys = "rpc_per_ip = { rate = \"1/h\", burst = 2 }\n[limits]\nauth_failures = { rate = \"1/h\", burst = 3 }";
    let gateway = before(&upstream, &[&node], keys).start();
    for number in 0..2 {
        assert_eq!(gateway.get("/wallet/x", &contract_token(number)).outcome(), ok(), "{number}");
    }
    for number in 2..4 {
        let answer = gateway.get("/wallet/x", &contract_token(number));
        assert_eq!(answer.outcome(), (429, "rate_limited".to_owned()), "{number}");
        let wait: u64 = answer.one("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
        assert!((3500..=3600).contains(&wait), "{wait}");
    }
    // What is known costs nothing, and keys ask nobody.
    assert_eq!(gateway.get("/wallet/x", &contract_token(0)).outcome(), ok());
    assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).outcome(), ok());
    // A key pair whose signature is not right would have to be asked about as well, and is not. Trying its key cost
    // something all the same, so that these are counted as refusals are.
    let forged = Wallet::evm(2).token_of(&Wallet::evm(1).text());
    assert_eq!(gateway.get("/wallet/x", &forged).outcome(), (429, "rate_limited".to_owned()));
    assert_eq!(gateway.get("/wallet/x", &forged).outcome(), (429, "too_many_refusals".to_owned()));
    assert_eq!(gateway.get("/wallet/x", &contract_token(0)).outcome(), ok(), "what is known is served");
    assert_eq!(node.calls(), 2);
    gateway.expect_metric("siwx_rate_limited_total{route=\"wallet\",scope=\"rpc\"}", 3.0);
    gateway.expect_metric("siwx_rpc_requests_total{chain=\"eip155:8453\",result=\"rejected\"}", 3.0);
    gateway.expect_metric("siwx_rate_limited_total{route=\"wallet\",scope=\"auth_failures\"}", 1.0);
}

/// All that may be asked at once is being asked: that is nobody's fault, and nobody waits for it.
#[test]
fn where_too_many_contracts_are_asked_at_once_the_next_is_told_so() {
    let (upstream, latch) = (Upstream::ok(), Latch::default());
    let node = held(&latch, YES);
    let gateway = before(&upstream, &[&node], "rpc_concurrency = 1").start();
    let mut waits = gateway.client();
    waits.write(&Request::get("/wallet/x").token(&contract_token(1)).bytes());
    node.wait_asked(2);
    assert_eq!(gateway.get("/wallet/x", &contract_token(2)).outcome(), unavailable());
    assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).outcome(), ok());
    latch.open();
    assert_eq!(waits.read().outcome(), ok());
    assert_eq!(gateway.get("/wallet/x", &contract_token(2)).outcome(), ok());
}

fn begin(gateway: &Gateway, requests: usize) -> Vec<crate::harness::Client> {
    let begin = |_| {
        let mut client = gateway.client();
        client.write(&Request::get("/wallet/x").token(&contract_token(1)).bytes());
        client
    };
    (0..requests).map(begin).collect()
}

#[test]
fn of_fifty_questions_at_once_one_is_asked() {
    let (upstream, latch) = (Upstream::ok(), Latch::default());
    let node = held(&latch, YES);
    // Who waits for somebody else's answer spends nothing.
    let gateway = before(&upstream, &[&node], "rpc_per_ip = { rate = \"1/h\", burst = 1 }").start();
    let clients = begin(&gateway, 50);
    gateway.expect_metric(&contracts("coalesced"), 49.0);
    latch.open();
    for mut client in clients {
        assert_eq!(client.read().outcome(), ok());
    }
    assert_eq!((node.calls(), upstream.take().len()), (1, 50));
}

#[test]
fn who_goes_away_takes_nobodys_answer_along() {
    let (upstream, latch) = (Upstream::ok(), Latch::default());
    let node = held(&latch, YES);
    let gateway = before(&upstream, &[&node], "").start();
    let first = begin(&gateway, 1);
    gateway.expect_metric(&contracts("miss"), 1.0);
    let mut second = begin(&gateway, 1);
    gateway.expect_metric(&contracts("coalesced"), 1.0);
    drop(first);
    gateway.expect_metric("siwx_http_requests_in_flight", 1.0);
    latch.open();
    assert_eq!(second[0].read().outcome(), ok());
    assert_eq!(node.calls(), 1);
}

/// A proof of the contract that answers a challenge, with the signature of this number.
fn contract_proof(challenge: &Value, address: &str, number: u64) -> String {
    let mut proof = proof(&Wallet::evm(1), challenge);
    proof["address"] = address.into();
    proof["signatureScheme"] = "eip1271".into();
    proof["signature"] = signature(number).into();
    BASE64.encode(proof.to_string().as_bytes())
}

fn weather() -> Request {
    Request::get("/weather/x")
}

/// A shop where the contract has paid on Sepolia, before a node of that chain.
fn paid_by_contract(node: &Node) -> Shop {
    let tables = asking(&[(SEPOLIA, &[node])], "");
    let shop = Shop::set_up(Upstream::ok(), FOR_SALE, &Till::default(), |setup| setup.tables(&tables));
    pays(&shop);
    shop.upstream.take();
    shop
}

/// The contract pays for the weather, as the facilitator says too.
fn pays(shop: &Shop) {
    shop.everybody_is_called(CONTRACT, SEPOLIA);
    let payment = Payment::of(&shop.challenge(&weather())["accepts"][0], CONTRACT, 1);
    assert_eq!(shop.gateway.send(&payment.with(&weather())).status, 200);
}

fn sent(shop: &Shop, proof: &str) -> Answer {
    shop.gateway.send(&weather().header("SIGN-IN-WITH-X", proof))
}

/// The code of a refused proof.
fn proof_refused(answer: &Answer) -> Value {
    assert_eq!((answer.status, &answer.json()["code"]), (402, &json!("proof_refused")), "{answer:?}");
    answer.json()["siwx"]["reason"].clone()
}

/// x402.md section 9: contract wallets sign in too, once for each nonce.
#[test]
fn a_contract_that_has_paid_signs_in() {
    let says = Arc::new(Mutex::new(Some(YES)));
    let said = Arc::clone(&says);
    let node = Node::on(84532, move |request| match *said.lock().expect("a word") {
        Some(word) => result(request, &json!(word)),
        None => Act::Close,
    });
    let say = |word| *says.lock().expect("a word") = word;
    let shop = paid_by_contract(&node);
    let proof = |number| contract_proof(&shop.challenge(&weather()), CONTRACT, number);

    let first = proof(1);
    assert_eq!(sent(&shop, &first).status, 200);
    assert_eq!(shop.upstream.take_one().one("X-SIWX-Scheme"), Some("eip1271"));
    assert_eq!(proof_refused(&sent(&shop, &first)), "invalid_siwx_nonce", "it was used");
    let calls = node.calls();
    say(Some(NO));
    let refused = proof(2);
    assert_eq!(proof_refused(&sent(&shop, &refused)), "invalid_siwx_signature");
    say(None);
    let unheard = proof(3);
    let answer = sent(&shop, &unheard);
    assert_eq!(answer.outcome(), unavailable(), "{answer:?}");
    assert_eq!(node.calls(), calls + 2);
    // Nothing was burnt by a node that did not answer.
    say(Some(YES));
    assert_eq!(sent(&shop, &unheard).status, 200);
}

/// Whether it was issued here is known without asking anybody.
#[test]
fn a_proof_over_a_foreign_nonce_asks_no_contract() {
    let node = Node::on(84532, |request| result(request, &json!(YES)));
    let shop = paid_by_contract(&node);
    let mut challenge = shop.challenge(&weather());
    challenge["extensions"]["sign-in-with-x"]["info"]["nonce"] = json!("a1b2".repeat(14));
    assert_eq!(proof_refused(&sent(&shop, &contract_proof(&challenge, CONTRACT, 1))), "invalid_siwx_nonce");
    assert_eq!(node.calls(), 0);
}

/// JavaScript clients sign the checksummed address, Python ones the address as the payload has it. Keys are tried on
/// both texts before any contract is asked; contracts are asked about both.
#[test]
fn a_proof_in_lower_case_asks_after_both_texts_were_tried() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let node = Node::on(84532, move |request| {
        let data = request["params"][0]["data"].as_str().expect("hex").to_owned();
        // The hash of the text is the first argument, after four bytes of selector.
        let hash = data[10..74].to_owned();
        let mut asked = noted.lock().expect("the list");
        let is_second = asked.last().is_some_and(|last| *last != hash);
        asked.push(hash);
        result(request, &json!(if is_second { YES } else { NO }))
    });
    let shop = paid_by_contract(&node);
    let lower = CONTRACT.to_lowercase();
    assert_eq!(sent(&shop, &contract_proof(&shop.challenge(&weather()), &lower, 1)).status, 200);
    assert_eq!(asked.lock().expect("the list").len(), 2, "one about each text");

    // A key that signed the text as it was spelled.
    let wallet = Wallet::evm(2);
    shop.everybody_is(&wallet);
    assert_eq!(shop.pay(&weather(), &wallet, 2).status, 200);
    let mut proof = proof(&wallet, &shop.challenge(&weather()));
    proof["address"] = wallet.address().to_lowercase().into();
    assert_eq!(sent(&shop, &signed(&wallet, proof)).status, 200);
    assert_eq!(node.calls(), 2, "a key needs nobody");
}
