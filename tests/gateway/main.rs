//! The real gateway over real sockets, one module a topic. See `harness` for what is held on every answer.

#[path = "../facilitator/server.rs"]
#[allow(dead_code, reason = "the tests of the facilitator use it too, and other parts of it")]
mod facilitator;
mod harness;
#[path = "../rpc/node.rs"]
#[allow(dead_code, reason = "the tests of the nodes use it too, and other parts of it")]
mod node;
#[path = "../rpc/recording.rs"]
mod recording;

/// What nodes are made of.
use facilitator as server;

mod assertion;
mod attacks;
mod bitcoin;
mod codes;
mod contracts;
mod cors;
mod credentials;
mod decisions;
mod edge;
mod endpoints;
mod failures;
mod framing;
mod grpc;
mod headers;
mod http2_upstreams;
mod identity;
mod keys;
mod life;
mod limits;
mod logs;
mod metrics;
mod operator;
mod paths;
mod session_api;
mod sessions;
mod silence;
mod sources;
mod streams;
mod tron_and_sui;
mod upstreams;
mod websockets;
mod x402;
