//! A reverse proxy that lets a request through when a crypto wallet proves itself.

pub mod app;
pub mod caip;
pub mod chain;
pub mod cli;
pub mod config;
pub mod credential;
pub mod edge;
pub mod gate;
pub mod metrics;
pub mod policy;
pub mod secret;
pub mod siwx;
pub mod store;
pub mod time;
