//! Nodes of EVM chains: what a contract says of a signature (EIP-1271, ERC-6492).
//!
//! 1. One endpoint is as trusted as the gateway itself: what it says of a contract is believed, and a lying one lets
//!    anybody in. A quorum spreads that trust.

mod error;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

pub use error::{RpcError, SetupError, Unavailable};

use crate::{
    caip::ChainId,
    chain::{ContractCall, ContractVerdict},
    metrics::Metrics,
    outbound::{self, Client, Endpoint, Outbound},
};

/// What the configuration says about nodes.
#[derive(Debug)]
pub struct Settings {
    /// The chains that have any.
    pub chains: Vec<ChainSettings>,
    /// The longest that one call may take.
    pub timeout: Duration,
    /// Questions at once, of all chains.
    pub concurrency: usize,
    /// How many endpoints must agree.
    pub quorum: usize,
}

/// What the configuration says about the nodes of one chain.
#[derive(Debug)]
pub struct ChainSettings {
    /// The chain.
    pub chain: ChainId,
    /// Its endpoints, in order of preference; none: the chain has no nodes.
    pub endpoints: Vec<Endpoint>,
    /// A deployed validator of ERC-6492, on chains that run no code without an address.
    pub validator: Option<[u8; 20]>,
}

/// The nodes of all chains. One for the process: its bounds are those of the process.
pub struct Rpc {
    chains: Vec<Chain>,
}

/// The nodes of one chain.
struct Chain {
    chain: ChainId,
    clients: Vec<Client>,
}

// === impl Rpc ===

impl Rpc {
    /// Makes clients of all endpoints. Asks nothing.
    pub fn new(settings: Settings, outbound: &Outbound, _metrics: &Arc<Metrics>) -> Result<Self, SetupError> {
        let mut chains = Vec::with_capacity(settings.chains.len());
        for ChainSettings { chain, endpoints, .. } in settings.chains {
            let client = |endpoint| outbound.client(outbound::Settings { endpoint, ca: None });
            let clients = endpoints.into_iter().map(client).collect::<Result<_, _>>();
            chains.push(Chain { clients: clients.map_err(|cause| SetupError { chain: chain.clone(), cause })?, chain });
        }
        Ok(Self { chains })
    }

    /// Whether there is an endpoint for a chain.
    pub fn covers(&self, chain: &ChainId) -> bool {
        self.chains.iter().any(|nodes| nodes.chain == *chain && !nodes.clients.is_empty())
    }

    /// Asks what a contract says, within five seconds. Safe to drop at any time.
    pub async fn ask(&self, call: &ContractCall) -> Result<ContractVerdict, RpcError> {
        self.ask_at(call, Instant::now()).await
    }

    /// The same for who has read the clock already.
    pub async fn ask_at(&self, call: &ContractCall, _now: Instant) -> Result<ContractVerdict, RpcError> {
        if !self.covers(call.chain()) {
            return Err(RpcError::NotConfigured);
        }
        Err(RpcError::Unavailable { chain: call.chain().clone(), why: Unavailable::Silent(Vec::new()) })
    }

    /// Counts a question that is not asked, because who brings it has used up what it may ask.
    pub fn count_rejected(&self, _chain: &ChainId) {}
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rpc")
    }
}
