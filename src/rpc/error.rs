//! Why nobody said what a contract says.

use thiserror::Error;

use crate::{caip::ChainId, outbound};

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
    /// Too few of them gave an answer; what each did instead.
    #[error("too few endpoints answered: {}", .0.join("; "))]
    Silent(Vec<String>),
    /// They contradict each other.
    #[error("the endpoints contradict each other")]
    Split,
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
