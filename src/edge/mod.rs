//! The edge: sockets, TLS, HTTP, and everything that has a status code.
//!
//! | file | what |
//! |---|---|
//! | `accept` | connections taken, until a worker closes |
//! | `listener` | connections kept: bounds, deadlines, drain |
//! | `descriptors` | whose the file descriptors of the process are |
//! | `pauses` | addresses that go on after they were refused |
//! | `tls` | certificates and versions |
//! | `handler` | one request from end to end |
//! | `headers` | what ends here, what is added, what an upstream may say |
//! | `assertion` | who a request is, under our signature |
//! | `upstream` | connections to services, and the requests they carry |
//! | `body` | bodies on their way through |
//! | `tunnel`, `watch` | WebSockets; what lasts is judged anew |
//! | `browser` | what a browser gets: the module for dapps, the login page |
//! | `cors` | requests of scripts of other origins |
//! | `peer` | who a request comes from: the connection, and what a trusted proxy says |
//! | `proxy_protocol` | what a balancer that forwards bytes says of the client |
//! | `query` | queries of the endpoints that are ours |
//! | `deadline` | timers that are kept from one request to the next |
//! | `respond`, `unpaid` | answers of our own: all status codes |
//! | `grpc` | the same for clients of gRPC |
//! | `record`, `access_log` | what is said about a request when it ends |
//! | `log_writer` | the thread that writes a log, which nobody waits for |
//! | `session` | the session API: who is signed in, and how that begins and ends |
//! | `shop` | plans: their prices, their purchase, who holds one |
//! | `admin` | metrics, health and the admin API |
//! | `server` | workers, and their life |
//! | `wire` | a client's bytes before hyper reads them |

mod accept;
mod access_log;
pub(crate) mod admin;
pub(crate) mod assertion;
mod body;
pub mod browser;
mod cors;
mod deadline;
pub mod descriptors;
mod grpc;
pub(crate) mod handler;
pub(crate) mod headers;
mod listener;
pub(crate) mod log_writer;
mod pauses;
mod peer;
pub mod proxy_protocol;
mod query;
mod record;
pub(crate) mod respond;
pub mod server;
pub(crate) mod session;
pub mod settings;
mod shop;
pub mod tls;
mod tunnel;
mod unpaid;
mod upstream;
mod watch;
pub mod wire;
