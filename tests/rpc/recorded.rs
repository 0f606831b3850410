//! The vectors of contract wallets over HTTP, against a node that knows what was recorded and nothing else.

use std::sync::Arc;

use serde_json::{Value, json};
use siwx_gateway::{
    caip::ChainId,
    chain::{Accepts, Outcome, SignatureError, Signed, outcome_of},
    rpc::{ChainSettings, RpcError},
};

use crate::{
    bench::{Bench, chain, endpoint, said, silent},
    node::{Node, result},
    recording::{file, node},
};

/// A contract that returns a megabyte, of which the file holds the beginning.
const MEGABYTE: &str = "wallet-big-return";

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
            endpoints: vec![endpoint(node)],
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
