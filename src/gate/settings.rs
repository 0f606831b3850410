//! What the configuration says about judging requests.

use std::{collections::HashSet, time::Duration};

use crate::{chain::Accepts, siwx::claims::Expectation, siwx::message::Reading};

/// Everything the gate judges by, apart from the routes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How signing texts are read.
    pub reading: Reading,
    /// What a message must say.
    pub expectation: Expectation,
    /// Which forms of signature are taken.
    pub accepts: Accepts,
    /// Scheme names of the `Authorization` header that carry a proof; compared without regard to case.
    pub schemes: Vec<String>,
    /// Whether a nonce may open only one request.
    pub single_use_nonce: bool,
    /// Accounts that are refused whatever they hold: CAIP-10 ids and bare addresses, EVM ones in lower case.
    pub denied: HashSet<String>,
    /// Verified signatures that are remembered.
    pub proofs: CacheSettings,
    /// Subscriptions that are remembered.
    pub subscriptions: CacheSettings,
    /// How long a remembered no counts.
    pub negative_ttl: Duration,
    /// How long past its life a remembered yes may be served while the store does not answer.
    pub stale_if_error: Duration,
    /// How many refused credentials an address may send; nothing: any number.
    pub auth_failures: Option<Rate>,
}

/// Bound and life of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    /// Entries kept at most.
    pub entries: u64,
    /// How long an entry counts.
    pub ttl: Duration,
}

/// So many a second on the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Events a second.
    pub per_second: f64,
    /// Events that may come at once after a silence.
    pub burst: u32,
}
