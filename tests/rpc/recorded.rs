//! The vectors of contract wallets over HTTP, against a node that knows what was recorded and nothing else.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use siwx_gateway::{
    caip::ChainId,
    chain::{Accepts, Outcome, SignatureError, Signed, outcome_of},
    rpc::{ChainSettings, RpcError},
};

use crate::{
    bench::{Bench, Node, chain, result, said, silent},
    server::Act,
};

const FILE: &str = "signatures-evm-contract.json";

/// The word that stands for the validator's creation code in the recorded calls.
const CODE_WORD: &str = "{validator_creation_code}";

/// A contract that returns a megabyte, of which the file holds the beginning.
const MEGABYTE: &str = "wallet-big-return";

fn file() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(FILE);
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(path).expect(FILE)).expect(FILE);
    let code = file["validator_creation_code"].as_str().expect("the code").to_owned();
    for case in file["cases"].as_array_mut().expect("cases") {
        for exchange in case["rpc"].as_array_mut().expect("rpc") {
            if let Some(Value::String(data)) = exchange["params"][0].get_mut("data") {
                *data = data.replace(CODE_WORD, &code).to_lowercase();
            }
            if let Some(bytes) = exchange["truncated_result_bytes"].as_u64() {
                let beginning = exchange["result"].as_str().expect("hex");
                let rest = "0".repeat(2 + 2 * bytes as usize - beginning.len());
                exchange["result"] = json!(format!("{beginning}{rest}"));
            }
        }
    }
    file
}

/// A node of a chain that answers what was recorded in the cases of that chain, and notes what was not.
fn node(file: &Value, reference: u64, unknown: &Arc<Mutex<Vec<String>>>) -> Node {
    let cases = file["cases"].as_array().expect("cases").iter();
    let of_chain = cases.filter(|case| case["chain_id"] == chain(reference).as_str());
    let recorded: Vec<Value> = of_chain.flat_map(|case| case["rpc"].as_array().expect("rpc").clone()).collect();
    let unknown = Arc::clone(unknown);
    Node::on(reference, move |request| {
        let is_this =
            |exchange: &&Value| exchange["method"] == request["method"] && exchange["params"] == request["params"];
        let Some(exchange) = recorded.iter().find(is_this) else {
            unknown.lock().expect("the list").push(request.to_string());
            return Act::Close;
        };
        match exchange.get("error") {
            Some(error) => Act::json(200, &json!({"jsonrpc": "2.0", "id": request["id"], "error": error})),
            None => result(request, &exchange["result"]),
        }
    })
}

fn text<'c>(case: &'c Value, member: &str) -> &'c str {
    case[member].as_str().unwrap_or_else(|| panic!("{member}"))
}

fn outcome(case: &Value) -> Result<Outcome, SignatureError> {
    let signed = Signed {
        chain: &ChainId::parse(text(case, "chain_id")).expect("a CAIP-2 id"),
        address: text(case, "address"),
        text: text(case, "message").as_bytes(),
        domain: None,
        signature: text(case, "signature"),
    };
    outcome_of(&signed, &Accepts::all())
}

#[tokio::test]
async fn recorded_contracts_over_http() {
    let file = file();
    let unknown = Arc::default();
    let nodes = [1, 8453].map(|reference| (chain(reference), node(&file, reference, &unknown)));
    let bench = Bench::with(&[], |mut settings| {
        let of = |(chain, node): &(ChainId, Node)| ChainSettings {
            chain: chain.clone(),
            endpoints: vec![node.endpoint()],
            validator: None,
        };
        settings.chains = nodes.iter().map(of).collect();
        settings
    });
    let (mut accepted, mut rejected, mut optional, mut asked) = (0, 0, 0, 0);
    for case in file["cases"].as_array().expect("cases") {
        let (id, expect) = (text(case, "id"), text(case, "expect"));
        let good_in = match outcome(case) {
            Err(_) => None,
            Ok(Outcome::Valid(scheme)) => Some(scheme),
            Ok(Outcome::AskContract(call)) => {
                asked += 1;
                match bench.rpc.ask(&call).await {
                    Ok(verdict) => verdict.is_yes().then(|| call.scheme()),
                    Err(RpcError::Unavailable { .. }) if id == MEGABYTE => None,
                    Err(error) => panic!("{id}: {error}"),
                }
            }
        };
        match expect {
            "accept" => {
                assert_eq!(good_in.map(|scheme| scheme.as_str()), Some(text(case, "scheme")), "{id}");
                accepted += 1;
            }
            "reject" => {
                assert_eq!(good_in, None, "{id}");
                rejected += 1;
            }
            _ => optional += 1,
        }
    }
    assert_eq!((accepted, rejected, optional), (14, 30, 4));
    assert_eq!(nodes.iter().map(|(_, node)| node.calls()).sum::<usize>(), asked);
    assert_eq!(*unknown.lock().expect("the list"), [""; 0]);
}

/// Where code without an address is not run, the node answers the usual call with nothing.
#[tokio::test]
async fn a_deployed_validator_is_asked_by_its_address() {
    let file = file();
    let cases = file["cases"].as_array().expect("cases");
    let case = cases.iter().find(|case| case["id"] == "6492-undeployed").expect("the case");
    let Ok(Outcome::AskContract(call)) = outcome(case) else { panic!("nobody is asked") };
    let node = Node::new(|request| {
        let (to, yes) = (&request["params"][0]["to"], format!("0x{:064x}", 1));
        result(request, &if *to == json!(format!("0x{}", "fb".repeat(20))) { json!(yes) } else { json!("0x") })
    });
    let with = |validator| {
        Bench::with(&[&node], |mut settings| {
            settings.chains[0].validator = validator;
            settings
        })
    };
    assert_eq!(said(with(Some([0xfb; 20])).rpc.ask(&call).await), Ok(true));
    assert_eq!(said(with(None).rpc.ask(&call).await), silent("expected the validator's 0 or 1, found something else"));
}
