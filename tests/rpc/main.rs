//! What nodes of chains are asked, against a server that speaks JSON-RPC as well or as badly as a test wants: what was
//! recorded of a node, and every way in which one can fail or lie.

mod bench;
mod failures;
mod hostile;
mod node;
mod recorded;
mod recording;
#[path = "../facilitator/server.rs"]
#[allow(dead_code, reason = "the tests of the facilitator use it too, and other parts of it")]
mod server;
