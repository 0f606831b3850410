//! The real gateway over real sockets, one module a topic. See `harness` for what is held on every answer.

mod harness;

mod credentials;
mod decisions;
mod failures;
mod framing;
mod headers;
mod logs;
mod paths;
mod upstreams;
