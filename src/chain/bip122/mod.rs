//! Bitcoin and its test networks (namespace `bip122`).
//!
//! Addresses and chain references alone: what its signing texts need in order to be read.

pub mod address;
