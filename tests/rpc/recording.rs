//! What was recorded of nodes, in the vectors of contract wallets.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::{
    node::{Node, result},
    server::Act,
};

const FILE: &str = "signatures-evm-contract.json";

/// The word that stands for the validator's creation code in the recorded calls.
const CODE_WORD: &str = "{validator_creation_code}";

/// The file, its calls as they go over the wire.
pub(crate) fn file() -> Value {
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
pub(crate) fn node(file: &Value, reference: u64, unknown: &Arc<Mutex<Vec<String>>>) -> Node {
    let cases = file["cases"].as_array().expect("cases").iter();
    let of_chain = cases.filter(|case| case["chain_id"] == format!("eip155:{reference}"));
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
