//! `Forwarded` and `X-Forwarded-For`: nobody is believed but trusted proxies.
//!
//! An input is the peer's address, and then a value a line, in the order of the fields.

use std::net::IpAddr;

use siwx_gateway::policy::source::{Field, Networks, Source};

/// Hops that are followed at most.
const HOPS_MAX: usize = 16;

/// Whatever clients write, what a trusted proxy wrote behind it counts.
pub fn judge(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let Some(peer) = first.and_then(|line| line.parse::<IpAddr>().ok()) else {
        return;
    };
    let values: Vec<&[u8]> = lines.take(64).collect();
    let trusted = Networks::parse(["10.0.0.0/8", "2001:db8::/32"]).expect("networks");
    let client: IpAddr = "198.51.100.1".parse().expect("an address");
    for (field, written) in [(Field::XForwardedFor, "198.51.100.1"), (Field::Forwarded, "for=198.51.100.1")] {
        let source = trusted.source(peer, field, values.iter().copied());
        judge_source(peer, &trusted, &source);
        // In a field of its own, and at the end of the last one.
        let behind = trusted.source(peer, field, values.iter().copied().chain([written.as_bytes()]));
        let expected = if trusted.contain(peer) { client } else { peer.to_canonical() };
        assert_eq!(behind.client, expected, "{field:?}");
        let last = [values.last().copied().unwrap_or_default(), b", ", written.as_bytes()].concat();
        let before = values.iter().copied().take(values.len().saturating_sub(1));
        let appended = trusted.source(peer, field, before.chain([last.as_slice()])).client;
        // A value that no longer keeps to its grammar says nothing, and then the proxy itself is the client.
        assert!(appended == expected || appended == peer.to_canonical(), "{field:?}: {appended}");
        assert!(field == Field::Forwarded || appended == expected);
    }
}

fn judge_source(peer: IpAddr, trusted: &Networks, source: &Source) {
    assert!(source.hops.len() <= HOPS_MAX);
    assert!(source.hops.iter().all(|hop| trusted.contain(*hop)), "a hop that nobody trusts");
    let last = source.hops.last().copied().unwrap_or(source.client);
    assert_eq!(last, peer.to_canonical(), "the peer is the last hop, or the client");
    assert_eq!(source.client, source.client.to_canonical());
}
