//! Why nobody said what a contract says.

use thiserror::Error;

use super::wire::AnswerError;
use crate::{
    caip::ChainId,
    chain::UnclearAnswer,
    outbound::{self, Cause, Endpoint},
};

/// There is no answer. The text is for operators; it names hosts alone, and nothing of what was asked.
#[derive(Debug, Error)]
pub enum RpcError {
    /// As many questions as may be asked at once are under way: 503, because others use the bound up, not who asks.
    #[error("too many contracts are being asked at once")]
    Busy,
    /// The chain has no endpoint: what it was asked about is refused (decision 15).
    #[error("no rpc is configured for this chain")]
    NotConfigured,
    /// The endpoints did not answer, or not the same: 503.
    #[error("{chain}: {why}")]
    Unavailable {
        /// The chain that was asked.
        chain: ChainId,
        /// What went wrong.
        why: Unavailable,
    },
}

/// What went wrong with the endpoints of a chain.
#[derive(Debug, Error)]
pub enum Unavailable {
    /// Too few of them gave an answer; why the others did not.
    #[error("too few endpoints answered: {}", listed(.0))]
    Silent(Vec<NodeError>),
    /// They contradict each other: one of them lies, or is behind.
    #[error("the endpoints contradict each other")]
    Split,
}

/// Why an endpoint gave no answer.
#[derive(Debug, Error)]
#[error("{endpoint}: {trouble}")]
pub struct NodeError {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What went wrong.
    pub trouble: Trouble,
}

/// What went wrong with an endpoint.
#[derive(Debug, Error)]
pub enum Trouble {
    /// It answered, and the answer means nothing.
    #[error(transparent)]
    Answer(AnswerError),
    /// It is on the chain of this number, not on that of the question.
    #[error("expected the chain it is configured for, found {0}")]
    OtherChain(u64),
    /// There is no whole answer.
    #[error(transparent)]
    Outbound(Cause),
    /// It is not asked for a while, because it failed, or is on another chain.
    #[error("it is not asked for a while")]
    ShutOff,
    /// It answered with a status that is not 200, such as that of a redirect.
    #[error("it answered {0}")]
    Status(u16),
    /// It ran the call and returned what cannot be: it does not run calls of this kind.
    #[error(transparent)]
    Unclear(UnclearAnswer),
}

/// Why nodes cannot be set up.
#[derive(Debug, Error)]
#[error("rpc of {chain}: {cause}")]
pub struct SetupError {
    /// The chain.
    pub chain: ChainId,
    /// What is wrong.
    #[source]
    pub cause: outbound::SetupError,
}

fn listed(errors: &[NodeError]) -> String {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}
