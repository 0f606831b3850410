//! The head of an admitted request, made into the one that its upstream gets.
//!
//! 1. What is the gateway's own goes, what the upstream believes of the client is ours: `headers` says how.
//! 2. The upstream is spoken to as HTTP/1.1 has it, whatever the client spoke; HTTP/2 is made of that below.

use http::{
    Uri, Version,
    header::{HOST, TRAILER},
    request::Parts,
    uri::PathAndQuery,
};

use super::{Arrival, Worker, target::authority};
use crate::{
    edge::{
        assertion,
        headers::{Origin, Seen},
        peer::Peer,
        respond::Answer,
        tunnel,
        upstream::Upstream,
    },
    policy::{decision::Permit, rule::Rule},
};

/// Where an admitted request goes, and as what.
pub(super) struct Onward<'r> {
    pub(super) rule: &'r Rule,
    pub(super) permit: &'r Permit,
    pub(super) upstream: &'r Upstream,
    pub(super) seen: Seen,
    /// Its target, as the rule rewrites it.
    pub(super) target: PathAndQuery,
    /// Whether it opens a WebSocket.
    pub(super) tunnels: bool,
}

impl Worker {
    /// Makes the head over. All that is the body's to say is left to whoever sends it.
    pub(super) fn make_over(
        &self,
        parts: &mut Parts,
        peer: &Peer,
        arrival: &Arrival,
        onward: Onward<'_>,
    ) -> Result<(), Answer> {
        let live = &self.live;
        let Onward { rule, permit, upstream, seen, target, tunnels } = onward;
        // One that HTTP/2 names elsewhere is given to the upstream as HTTP/1.1 says it.
        let (host, host_field) = match parts.headers.get(HOST) {
            Some(host) => (host.clone(), None),
            None => {
                let host = authority(&parts.uri);
                (host.clone(), Some(host))
            }
        };
        let trailer = if rule.trailers { parts.headers.get(TRAILER).cloned() } else { None };
        let (client, path) = peer.shown(arrival.relayed.as_deref());
        let origin =
            Origin { client, path, host, request_id: self.id(arrival), http1: parts.version != Version::HTTP_2 };
        live.headers.forward(&mut parts.headers, seen, rule.sessions, origin);
        live.headers.attach_identity(&mut parts.headers, permit);
        if let Some(assertions) = &live.assertions {
            let forwarded = assertion::Forwarded {
                rule,
                upstream: upstream.name(),
                method: &parts.method,
                path: target.path(),
                id: &self.id(arrival),
            };
            let sessions = live.gate.sessions().map(|sessions| sessions.settings());
            // Nothing but a path can make it too long.
            let made = assertions.make(permit, &forwarded, sessions, arrival.now).map_err(|_| Answer::TargetTooLong)?;
            if let Some(assertion) = made {
                live.headers.attach_assertion(&mut parts.headers, assertion);
            }
        }
        if tunnels {
            tunnel::ask_for(&mut parts.headers);
        }
        // The client's own passes as it is, where the upstream is to see none of its own.
        if let Some(host) = upstream.host().cloned().or(host_field) {
            parts.headers.insert(HOST, host);
        }
        parts.version = Version::HTTP_11;
        parts.uri = Uri::from(target);
        parts.extensions.clear();
        if let Some(trailer) = trailer.and_then(|trailer| live.headers.announced(&trailer)) {
            parts.headers.insert(TRAILER, trailer);
        }
        Ok(())
    }
}
