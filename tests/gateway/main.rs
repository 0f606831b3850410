//! The real gateway over real sockets, one module a topic. See `harness` for what is held on every answer.

mod harness;

mod codes;
mod credentials;
mod decisions;
mod edge;
mod failures;
mod framing;
mod headers;
mod limits;
mod logs;
mod metrics;
mod paths;
mod upstreams;
