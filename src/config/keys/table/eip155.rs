//! The rows of `[chains.eip155]`, and of the cache of what its contracts say.

use super::{Fallback, Key, Kind, duration, texts, whole};

/// Nothing a contract said counts for longer: owners change, and a key that was taken away must not open for long.
const CONTRACT_MILLIS_MAX: u64 = 60_000;

pub(super) const EIP155: &[Key] = &[
    texts("allow", &["eip155:*"], "Chains as CAIP-2 ids, or \"eip155:*\"; none turns the family off."),
    texts(
        "schemes",
        &["eip191"],
        "Signature schemes: \"eip191\", always, for accounts with a key; \"eip1271\" and \"eip6492\" for contracts, and \
         for contracts that are not deployed yet. Those two need rpc.",
    ),
    Key::new(
        "rpc",
        Kind::UrlLists,
        Fallback::Lists(&[]),
        "Nodes to ask, by chain and in order of preference, such as \
         { \"eip155:8453\" = [\"https://node.example/v2/${KEY}\"] }; https, or http on loopback. One node is as trusted as the \
         gateway itself: who comes in by a contract is what it says. Paths and queries of these URLs are shown nowhere.",
    ),
    // All calls of one request have five seconds.
    duration("rpc_timeout", 1, 5000, "2s", "The longest that one call may take; all for one request may take 5s."),
    // That many connections one endpoint may have at most.
    whole("rpc_concurrency", 1, 256, 32, "Contracts asked at once, in all; more are answered 503."),
    Key::new(
        "rpc_per_ip",
        Kind::Rate,
        Fallback::Rate("5/s", 20),
        "How often an address may have a contract asked, as \"5/s\" or { rate = \"5/s\", burst = 20 }; \"off\".",
    ),
    whole("rpc_quorum", 1, 8, 1, "How many nodes must agree; every chain in rpc has as many or more."),
    Key::new(
        "validators",
        Kind::Texted,
        Fallback::Lists(&[]),
        "Deployed ERC-6492 validators, for chains of rpc that run no code without an address, such as \
         { \"eip155:324\" = \"0xfB688330379976DA81eB64Fe4BF50d7401763B9C\" }.",
    ),
];

pub(super) const CONTRACTS: &[Key] = &[
    whole("entries", 1, 10_000_000, 10_000, "Answers kept at most."),
    duration(
        "ttl",
        1,
        CONTRACT_MILLIS_MAX,
        "30s",
        "How long a yes counts: an owner that was removed is seen within it.",
    ),
    duration("negative_ttl", 0, CONTRACT_MILLIS_MAX, "5s", "How long a no counts."),
];
