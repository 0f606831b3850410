//! Why an upstream gave no answer, for the operator; what the client is told is chosen in `respond`.

use thiserror::Error;

/// Why there is no answer. What is shown to the client is chosen in `respond`; this text is the operator's.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    #[error("cannot connect to {authority}: {cause}")]
    Connect { authority: String, cause: std::io::Error },
    #[error("cannot connect to {0} in time")]
    ConnectTimeout(String),
    #[error("TLS with {authority} failed: {cause}")]
    Tls { authority: String, cause: std::io::Error },
    #[error("{0} closed the connection before it answered")]
    Reset(String),
    #[error("{authority} did not answer in HTTP: {cause}")]
    Protocol { authority: String, cause: String },
    #[error("{0} did not answer in time")]
    Timeout(String),
    #[error("cannot connect to {0}: there are too few file descriptors; raise the limit of open files")]
    NoRoom(String),
    #[error("too many requests wait for {0}")]
    Overloaded(String),
    #[error("the client's body ended early")]
    RequestBody,
}

// === impl UpstreamError ===

impl UpstreamError {
    /// Whether it speaks against the endpoint: it could not be connected to, or did not speak HTTP. That it is slow does
    /// not.
    pub(super) const fn is_of_endpoint(&self) -> bool {
        self.is_of_connecting() || matches!(self, Self::Reset(_) | Self::Protocol { .. })
    }

    /// Whether nothing was sent, because there is no connection.
    pub(super) const fn is_of_connecting(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::ConnectTimeout(_) | Self::Tls { .. })
    }

    /// The word of `siwx_upstream_errors_total`, if it is one of the upstream's.
    pub(super) const fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Connect { .. } => Some("connect"),
            Self::ConnectTimeout(_) | Self::Timeout(_) => Some("timeout"),
            Self::Tls { .. } => Some("tls"),
            Self::Reset(_) => Some("reset"),
            Self::Protocol { .. } => Some("protocol"),
            Self::NoRoom(_) | Self::Overloaded(_) | Self::RequestBody => None,
        }
    }
}
