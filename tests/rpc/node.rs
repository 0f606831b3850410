//! A node of a chain: a server that speaks JSON-RPC, and does what a test says.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::{Value, json};

use crate::server::{Act, Seen, Server};

/// The key in the path of every node. Whatever says it says too much.
pub(crate) const KEY: &str = "s3cret-k3y";

/// What a contract returns for yes.
pub(crate) const YES: &str = "0x1626ba7e00000000000000000000000000000000000000000000000000000000";

/// What one returns for no.
pub(crate) const NO: &str = "0xffffffff00000000000000000000000000000000000000000000000000000000";

/// A node that does what a test says.
pub(crate) struct Node {
    server: Server,
    calls: Arc<AtomicUsize>,
}

impl Node {
    /// One of a chain that is asked about nothing else.
    pub(crate) fn on(chain: u64, call: impl Fn(&Value) -> Act + Send + Sync + 'static) -> Self {
        Self::doing(move |request| match request["method"].as_str() {
            Some("eth_chainId") => result(request, &json!(format!("0x{chain:x}"))),
            Some("eth_call") => call(request),
            other => panic!("asked for {other:?}"),
        })
    }

    /// One of Ethereum.
    pub(crate) fn new(call: impl Fn(&Value) -> Act + Send + Sync + 'static) -> Self {
        Self::on(1, call)
    }

    /// One of Ethereum whose contracts return this.
    pub(crate) fn saying(returned: &'static str) -> Self {
        Self::new(move |request| result(request, &json!(returned)))
    }

    /// One that does this whatever it is asked.
    pub(crate) fn doing(act: impl Fn(&Value) -> Act + Send + Sync + 'static) -> Self {
        let (server, calls) = (Server::start([]), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&calls);
        let act = move |seen: &Seen| {
            let request: Value = serde_json::from_slice(&seen.body).expect("JSON");
            count.fetch_add(usize::from(request["method"] == "eth_call"), SeqCst);
            act(&request)
        };
        server.always(&format!("/v2/{KEY}"), Act::by(act));
        Self { server, calls }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/v2/{KEY}", self.server.url())
    }

    /// How often a contract was asked.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// The methods of what it was asked, in their order.
    pub(crate) fn methods(&self) -> Vec<String> {
        let method = |seen: Seen| {
            let request: Value = serde_json::from_slice(&seen.body).expect("JSON");
            request["method"].as_str().expect("a method").to_owned()
        };
        self.server.seen().into_iter().map(method).collect()
    }

    pub(crate) fn wait_asked(&self, count: usize) {
        self.server.wait_seen(count);
    }
}

/// A good answer to a request.
pub(crate) fn result(request: &Value, result: &Value) -> Act {
    Act::json(200, &json!({"jsonrpc": "2.0", "id": request["id"], "result": result}))
}

/// An error for a request.
pub(crate) fn error(request: &Value, code: i64, message: &str) -> Act {
    let error = json!({"code": code, "message": message});
    Act::json(200, &json!({"jsonrpc": "2.0", "id": request["id"], "error": error}))
}
