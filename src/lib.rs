//! A reverse proxy that lets a request through when a crypto wallet proves itself.
//!
//! A client signs a message of the Sign-In-With-X family (CAIP-122) with its wallet and sends it in its
//! `Authorization` header; the gateway checks message and signature, looks up what the account has subscribed to,
//! and forwards the request with the account's name on it, or refuses it with a reason.
//!
//! # The house
//!
//! Rooms are the modules below. They stand on floors; a room uses only rooms on floors below its own, and rooms of
//! one floor do not know each other. `tests/floors.rs` holds them to it.
//!
//! ```text
//! floor  rooms                       knows of the world
//! 10     cli                         arguments in, results out, exit codes
//!  9     app                         everything: clock, signals, files, sockets
//!  8     config                      text in, settings out
//!  7     edge                        hyper, rustls: listener, handler, answers, upstream
//!  6     gate                        awaits stores; no sockets, no bodies, no status codes
//!  5     store  facilitator  rpc     where what is held, paid and counted is kept; who verifies and settles payments;
//!                                    who says what contracts say
//!  4     outbound                    one HTTPS client for the outside services of floor 5
//! ---------------------------------- below this line: no I/O, no async, no clock
//!  3     credential  policy          what a request presents; whether that opens a route
//!  2     chain  session  x402        addresses and signatures of each chain family; sign-ins of browsers and their
//!                                    tokens; offers and payments
//!  1     siwx                        the message: read, judged, written
//!  0     caip  json  time            names of chains and accounts; objects with one reading; moments
//!        secret  metrics             what is never shown; what is counted
//! ```
//!
//! # A request, from socket to upstream
//!
//! 1. `edge::listener` accepts it under a bound, over TLS or not, and hyper reads its head.
//! 2. `edge::handler` takes from it what a decision needs, and the time: once.
//! 3. [`gate::Gate::decide`] finds its rule, what it presents ([`credential`]), and whether that is known already;
//!    if it is not, [`siwx`] reads the message and [`chain`] checks the signature, the cheapest refusal first. What only
//!    a contract could take is asked of a node, by [`rpc`].
//!    A session is found where it is remembered, or in its store: [`gate::sessions`].
//! 4. What is remembered is that a signature is right. Claims, expiry, route and subscription are judged anew each
//!    time: [`policy::decision::decide`].
//! 5. With a [`policy::decision::Permit`], and not without one, the request goes to its upstream, its identity
//!    headers replaced by ours. Anything else is answered in `edge::respond`, the one place with status codes.

pub mod app;
pub mod caip;
pub mod chain;
pub mod cli;
pub mod config;
pub mod credential;
pub mod edge;
pub mod facilitator;
pub mod gate;
pub mod json;
pub mod metrics;
pub mod outbound;
pub mod policy;
pub mod rpc;
pub mod secret;
pub mod session;
pub mod siwx;
pub mod store;
pub mod time;
pub mod x402;
