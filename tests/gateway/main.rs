//! The real gateway over real sockets, one module a topic. See `harness` for what is held on every answer.

#[path = "../facilitator/server.rs"]
#[allow(dead_code, reason = "the tests of the facilitator use it too, and other parts of it")]
mod facilitator;
mod harness;

mod bitcoin;
mod codes;
mod cors;
mod credentials;
mod decisions;
mod edge;
mod failures;
mod framing;
mod headers;
mod limits;
mod logs;
mod metrics;
mod operator;
mod paths;
mod tron_and_sui;
mod upstreams;
mod x402;
