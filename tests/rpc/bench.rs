//! Who asks nodes.

use std::{sync::Arc, time::Duration};

use siwx_gateway::{
    caip::ChainId,
    chain::{Accepts, ContractCall, ContractVerdict, Outcome, Signed, outcome_of},
    metrics::Metrics,
    outbound::{Endpoint, Outbound},
    rpc::{ChainSettings, Rpc, RpcError, Settings},
};

use crate::node::{KEY, Node};

/// Who asks, and what is counted.
pub(crate) struct Bench {
    pub(crate) rpc: Rpc,
    metrics: Arc<Metrics>,
}

impl Bench {
    /// Who has these nodes of Ethereum, and no patience.
    pub(crate) fn asking(nodes: &[&Node]) -> Self {
        Self::with(nodes, |settings| settings)
    }

    /// The same, where so many must agree.
    pub(crate) fn with_quorum(nodes: &[&Node], quorum: usize) -> Self {
        Self::with(nodes, |settings| Settings { quorum, ..settings })
    }

    /// The same with other settings.
    pub(crate) fn with(nodes: &[&Node], change: impl FnOnce(Settings) -> Settings) -> Self {
        let endpoints = nodes.iter().map(|node| endpoint(node)).collect();
        Self::of(change(Settings {
            chains: vec![ChainSettings { chain: chain(1), endpoints, validator: None }],
            timeout: Duration::from_secs(20),
            concurrency: 8,
            quorum: 1,
        }))
    }

    pub(crate) fn of(settings: Settings) -> Self {
        let (outbound, metrics) = (Outbound::start().expect("a thread"), Arc::new(Metrics::new()));
        Self { rpc: Rpc::new(settings, &outbound, &metrics).expect("clients"), metrics }
    }

    /// What a contract of Ethereum says.
    pub(crate) async fn ask(&self) -> Result<bool, String> {
        said(self.rpc.ask(&question(1)).await)
    }

    /// How many calls to nodes of Ethereum came to this.
    pub(crate) fn counted(&self, result: &str) -> u64 {
        self.series(&format!("siwx_rpc_requests_total{{chain=\"eip155:1\",result=\"{result}\"}} "))
    }

    /// How many of them had their time taken.
    pub(crate) fn timed(&self) -> u64 {
        self.series("siwx_rpc_duration_seconds_count{chain=\"eip155:1\"} ")
    }

    fn series(&self, before: &str) -> u64 {
        let text = String::from_utf8(self.metrics.render()).expect("text");
        assert!(!text.contains(KEY), "{text}");
        let line = text.lines().find_map(|line| line.strip_prefix(before));
        line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no series {before}"))
    }
}

/// Where a node is.
pub(crate) fn endpoint(node: &Node) -> Endpoint {
    Endpoint::parse_whole(&node.url()).expect("a URL")
}

/// A verdict, or why there is none, in the words an operator reads, without ports. A key in them is found here.
pub(crate) fn said(asked: Result<ContractVerdict, RpcError>) -> Result<bool, String> {
    asked.map(|verdict| verdict.is_yes()).map_err(|error| {
        let (shown, inside) = (error.to_string(), format!("{error:?}"));
        assert!(!shown.contains(KEY) && !inside.contains(KEY), "{shown} {inside}");
        shown.split("127.0.0.1:").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect()
    })
}

/// What the one node of Ethereum that is asked does wrong, in the words of an operator.
pub(crate) fn silent(why: &str) -> Result<bool, String> {
    Err(format!("eip155:1: too few endpoints answered: http://: {why}"))
}

/// A question about a contract on a chain.
pub(crate) fn question(reference: u64) -> Box<ContractCall> {
    let signed = Signed {
        chain: &chain(reference),
        address: "0x69558E1EAcAbbbA7a4411A50628D5B8223e05eea",
        text: b"hello",
        domain: None,
        signature: "0x1234",
    };
    match outcome_of(&signed, &Accepts::all()) {
        Ok(Outcome::AskContract(call)) => call,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn chain(reference: u64) -> ChainId {
    ChainId::new("eip155", &reference.to_string()).expect("a CAIP-2 id")
}
