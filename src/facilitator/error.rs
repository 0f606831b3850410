//! Why a facilitator gave no answer that means something, and what that says about the money.

use std::fmt;

use thiserror::Error;

use super::{answer::AnswerError, header::HeaderError};
use crate::outbound::{Cause, OutboundError, Reach, SetupError};

/// A facilitator failed. The text is for operators and holds nothing of the payment; a client learns what
/// [`FacilitatorError::as_str`] and [`FacilitatorError::outcome_unknown`] make of it (decision 20).
#[derive(Debug, Error)]
#[error("facilitator `{facilitator}` did not {operation}: {trouble}")]
pub struct FacilitatorError {
    /// Its name in the configuration.
    pub facilitator: String,
    /// What it was asked to do.
    pub operation: Operation,
    /// What went wrong.
    pub trouble: Trouble,
    pub(super) outcome_unknown: bool,
}

/// What a facilitator is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `POST /settle`.
    Settle,
    /// `GET /supported`.
    Supported,
    /// `POST /verify`.
    Verify,
}

/// What went wrong.
#[derive(Debug, Error)]
pub enum Trouble {
    /// It answered, and the answer means nothing.
    #[error("it answered {status}: {why}")]
    Answer {
        /// The status of the answer.
        status: u16,
        /// What was expected.
        why: AnswerError,
    },
    /// A header it wants to see cannot be made.
    #[error("a header for it cannot be made: {0}")]
    Header(#[source] HeaderError),
    /// It answered with a status that says it will not, such as 401 or 503, or with a redirect.
    #[error("it answered {0}")]
    Status(u16),
    /// There is no whole answer.
    #[error(transparent)]
    Outbound(OutboundError),
}

/// Why facilitators cannot be set up.
#[derive(Debug, Error)]
pub enum SetupFault {
    /// A header has no value.
    #[error("facilitator `{facilitator}`, header `{header}`: {cause}")]
    Header {
        /// Its name in the configuration.
        facilitator: String,
        /// The header.
        header: String,
        /// What is wrong.
        cause: HeaderError,
    },
    /// The client of it cannot be made.
    #[error("facilitator `{facilitator}`: {cause}")]
    Outbound {
        /// Its name in the configuration.
        facilitator: String,
        /// What is wrong.
        cause: SetupError,
    },
}

// === impl FacilitatorError ===

impl FacilitatorError {
    /// `timeout`, `unreachable` or `nonsense`. The first is 504 towards a client, the others 502.
    pub const fn as_str(&self) -> &'static str {
        match &self.trouble {
            Trouble::Answer { .. } | Trouble::Status(_) => "nonsense",
            Trouble::Header(_) => "unreachable",
            Trouble::Outbound(error) => match error.cause {
                Cause::Timeout => "timeout",
                Cause::Protocol(_) | Cause::TooLarge(_) => "nonsense",
                Cause::Closed | Cause::Connect(_) | Cause::Path | Cause::Stopped | Cause::Tls(_) => "unreachable",
            },
        }
    }

    /// Whether it took too long.
    pub fn is_timeout(&self) -> bool {
        self.as_str() == "timeout"
    }

    /// Whether the payment may have settled all the same. Always false but for settle: only there does anything move.
    pub const fn outcome_unknown(&self) -> bool {
        self.outcome_unknown
    }

    /// The word of the label `result` in metrics.
    pub(super) fn result(&self) -> &'static str {
        if self.is_timeout() { "timeout" } else { "error" }
    }
}

// === impl Operation ===

impl Operation {
    /// The word of the label `operation` in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Supported => "supported",
            Self::Verify => "verify",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settle => "settle a payment",
            Self::Supported => "say what it supports",
            Self::Verify => "verify a payment",
        })
    }
}

// === impl Trouble ===

impl Trouble {
    /// Whether a request certainly had no effect.
    pub(super) const fn had_no_effect(&self) -> bool {
        match self {
            Self::Header(_) => true,
            Self::Outbound(error) => matches!(error.reach, Reach::NotSent),
            // Whoever answers nonsense may have acted before.
            Self::Answer { .. } | Self::Status(_) => false,
        }
    }
}
