//! What is demanded of a request, who it is, and what becomes of it. Pure: no clock, no network, no state.
//!
//! | file | what |
//! |---|---|
//! | `target` | request targets: the one spelling of a path by which it is routed and forwarded |
//! | `rule`, `routes` | what a route demands; which route a request meets |
//! | `identity` | who a request is, once message and signature are both right |
//! | `access`, `subscription` | what is paid for; what an account holds |
//! | `source` | where a request came from, as far as trusted proxies say so |
//! | `cross_site` | whether a page may change something on the strength of its visitor's cookie |
//! | `holder` | who may use it: a key pair everywhere, a contract on its chain |
//! | `decision` | all of these to one outcome |

pub mod access;
pub mod cross_site;
pub mod decision;
pub mod holder;
pub mod identity;
pub mod routes;
pub mod rule;
pub mod sale;
pub mod source;
pub mod subscription;
pub mod target;
