//! Trailers, both ways: what may stand in one passes, and is announced.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::HeaderRules;

/// Fields that have no place in a trailer (RFC 9110 §6.5.1): framing, routing, authentication, what an answer's
/// handling or the reading of its body rests on.
const NO_TRAILERS: [&str; 21] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expires",
    "host",
    "location",
    "payment-response",
    "proxy-authorization",
    "retry-after",
    "set-cookie",
    "trailer",
    "vary",
    "warning",
    "www-authenticate",
    "x-request-id",
];

impl HeaderRules {
    /// Makes the trailers of a client's request into those an upstream sees (hardening.md row F4).
    pub(crate) fn request_trailers(&self, trailers: &mut HeaderMap) {
        let passes = |name: &HeaderName| self.passes(name) && !NO_TRAILERS.contains(&name.as_str());
        let doomed: Vec<HeaderName> = trailers.keys().filter(|name| !passes(name)).cloned().collect();
        for name in doomed {
            trailers.remove(name);
        }
    }

    /// Those names of a client's `Trailer` that may pass, for an upstream to be told.
    pub(crate) fn announced(&self, trailer: &HeaderValue) -> Option<HeaderValue> {
        let names = trailer.as_bytes().split(|byte| *byte == b',');
        let names = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
        let passing = names.filter(|name| self.passes(name) && !NO_TRAILERS.contains(&name.as_str()));
        let told: Vec<String> = passing.map(|name| name.to_string()).collect();
        HeaderValue::try_from(told.join(", ")).ok().filter(|told| !told.is_empty())
    }

    /// Makes the trailers of an upstream's answer into those the client sees (hardening.md row U8).
    pub(crate) fn answer_trailers(&self, trailers: &mut HeaderMap) {
        let passes = |name: &str| self.answer_passes(name) && !NO_TRAILERS.contains(&name);
        let doomed: Vec<HeaderName> = trailers.keys().filter(|name| !passes(name.as_str())).cloned().collect();
        for name in doomed {
            trailers.remove(name);
        }
    }
}
