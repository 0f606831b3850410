//! Nodes of EVM chains: what a contract says of a signature (EIP-1271, ERC-6492; signatures.md section 1.5).
//!
//! 1. One endpoint is as trusted as the gateway itself: what it says of a contract is believed, and a lying one lets
//!    anybody in. A quorum spreads that trust over several.
//! 2. The chain of the question picks the endpoints, and an endpoint that is on another chain is not asked. No chain is
//!    taken for another one.
//! 3. A yes is what as many endpoints as the quorum said, and so is a no. They are asked side by side, in their order;
//!    whoever gives no answer is replaced by the next, at once. If one says yes and one says no, or too few say
//!    anything, nobody knows: [`RpcError::Unavailable`].
//! 4. That a call failed on the node, by a revert or for want of gas, is a no. Everything else that is no answer is the
//!    endpoint's failure, and three of them in a row shut it off for half a minute (`health`).
//! 5. Everything is bounded: each call in time and bytes, a question in time, questions in number. What is over the
//!    number is not queued: who waits for a slow node would wait behind all others who do.
//! 6. Only `eth_chainId` and `eth_call` are sent. Bodies are never logged, and of URLs the host alone.

mod error;
mod health;
mod node;
mod wire;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};

pub use error::{NodeError, RpcError, SetupError, Trouble, Unavailable};
use node::{Node, Question};
pub use wire::AnswerError;

use crate::{
    caip::ChainId,
    chain::{ContractCall, ContractVerdict},
    metrics::{Metrics, RpcMetrics},
    outbound::{self, Endpoint, Outbound},
};

/// What the configuration says about nodes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The chains that have any.
    pub chains: Vec<ChainSettings>,
    /// The longest that one call may take.
    pub timeout: Duration,
    /// Questions at once, of all chains.
    pub concurrency: usize,
    /// How many endpoints must agree; at least 1.
    pub quorum: usize,
}

/// What the configuration says about the nodes of one chain.
#[derive(Debug, Clone)]
pub struct ChainSettings {
    /// The chain.
    pub chain: ChainId,
    /// Its endpoints, in order of preference; none: the chain has no nodes.
    pub endpoints: Vec<Endpoint>,
    /// A deployed validator of ERC-6492, for chains that run no code without an address.
    pub validator: Option<[u8; 20]>,
}

/// The nodes of all chains. One for the process: its bounds are those of the process.
pub struct Rpc {
    chains: Vec<Nodes>,
    timeout: Duration,
    quorum: usize,
    /// One permit a question.
    permits: Semaphore,
}

/// The nodes of one chain.
struct Nodes {
    chain: ChainId,
    nodes: Vec<Arc<Node>>,
    validator: Option<[u8; 20]>,
    metrics: Arc<RpcMetrics>,
}

/// All attempts of one question together. Somebody waits for it with a request open.
const ASK_WITHIN: Duration = Duration::from_secs(5);

// === impl Rpc ===

impl Rpc {
    /// Makes clients of all endpoints. Asks nothing.
    pub fn new(settings: Settings, outbound: &Outbound, metrics: &Arc<Metrics>) -> Result<Self, SetupError> {
        let chains = settings.chains.into_iter().filter(|chain| !chain.endpoints.is_empty());
        Ok(Self {
            chains: chains.map(|chain| Nodes::new(chain, outbound, metrics)).collect::<Result<_, _>>()?,
            timeout: settings.timeout,
            quorum: settings.quorum.max(1),
            permits: Semaphore::new(settings.concurrency.min(Semaphore::MAX_PERMITS)),
        })
    }

    /// Whether there is an endpoint for a chain.
    pub fn covers(&self, chain: &ChainId) -> bool {
        self.of(chain).is_some()
    }

    /// Asks what a contract says, within five seconds. Safe to drop at any time.
    pub async fn ask(&self, call: &ContractCall) -> Result<ContractVerdict, RpcError> {
        self.ask_at(call, Instant::now()).await
    }

    /// The same at a moment that whoever asks has read off a clock already.
    pub async fn ask_at(&self, call: &ContractCall, now: Instant) -> Result<ContractVerdict, RpcError> {
        let nodes = self.of(call.chain()).ok_or(RpcError::NotConfigured)?;
        let Ok(_permit) = self.permits.try_acquire() else {
            nodes.metrics.requests.inc("rejected");
            return Err(RpcError::Busy);
        };
        let question = Question::new(call.eth_call(nodes.validator), self.timeout, ASK_WITHIN, now);
        let asked = nodes.ask(Arc::new(question), self.quorum).await;
        asked.map_err(|why| RpcError::Unavailable { chain: nodes.chain.clone(), why })
    }

    /// Counts a question that was not brought here, because who wanted it asked had used up a budget.
    pub fn count_rejected(&self, chain: &ChainId) {
        if let Some(nodes) = self.of(chain) {
            nodes.metrics.requests.inc("rejected");
        }
    }

    fn of(&self, chain: &ChainId) -> Option<&Nodes> {
        self.chains.iter().find(|nodes| nodes.chain == *chain)
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.chains.iter().map(|nodes| &nodes.chain)).finish()
    }
}

// === impl Nodes ===

impl Nodes {
    fn new(settings: ChainSettings, outbound: &Outbound, metrics: &Metrics) -> Result<Self, SetupError> {
        let ChainSettings { chain, endpoints, validator } = settings;
        let metrics = Arc::new(metrics.rpc(chain.as_str()));
        let node = |endpoint| {
            let client = outbound.client(outbound::Settings { endpoint, ca: None });
            let client = client.map_err(|cause| SetupError { chain: chain.clone(), cause })?;
            Ok(Arc::new(Node::new(chain.clone(), client, Arc::clone(&metrics))))
        };
        let nodes = endpoints.into_iter().map(node).collect::<Result<_, _>>()?;
        Ok(Self { nodes, validator, metrics, chain })
    }

    /// What so many nodes agree on.
    async fn ask(&self, question: Arc<Question>, quorum: usize) -> Result<ContractVerdict, Unavailable> {
        let mut rest = self.nodes.iter();
        let mut asked = JoinSet::new();
        let ask = |asked: &mut JoinSet<_>, node: &Arc<Node>| {
            let (node, question) = (Arc::clone(node), Arc::clone(&question));
            asked.spawn(async move { node.ask(&question).await.map_err(|trouble| node.error(trouble)) });
        };
        rest.by_ref().take(quorum).for_each(|node| ask(&mut asked, node));
        let (mut said, mut troubles) = (Vec::with_capacity(quorum), Vec::new());
        while let Some(done) = asked.join_next().await {
            match done {
                Ok(Ok(verdict)) if said.iter().any(|other| *other != verdict) => return Err(Unavailable::Split),
                Ok(Ok(verdict)) => {
                    said.push(verdict);
                    if said.len() == quorum {
                        return Ok(verdict);
                    }
                }
                Ok(Err(trouble)) => {
                    troubles.push(trouble);
                    match rest.next().filter(|_| !question.is_late()) {
                        Some(node) => ask(&mut asked, node),
                        None => break,
                    }
                }
                // A panic, which is reported already, or the end of the runtime.
                Err(_) => break,
            }
        }
        Err(Unavailable::Silent(troubles))
    }
}
