//! The head of a request judged before it has a route: method, target, host and framing.

use http::{
    HeaderMap, HeaderValue, Uri, Version,
    header::{COOKIE, EXPECT, HOST},
    uri::PathAndQuery,
};

use super::Worker;
use crate::{
    edge::{
        headers::{Seen, holds_our_name_too_often, transfer_encoding_is_plain},
        peer::Peer,
        respond::Answer,
        tls,
    },
    policy::{
        rule::Rule,
        target::{self, Asked, CanonicalPath, Host, Target as RequestTarget, TargetError},
    },
};

/// A request whose head is in order.
pub(super) struct Target<'r> {
    pub(super) host: Host<'r>,
    /// Its place among the hosts that are served.
    pub(super) served: usize,
    pub(super) path: CanonicalPath<'r>,
}

impl Worker {
    /// Judges method, target, host and framing (hardening.md section 3, steps 1 and 2, and rows S2, S7, S11).
    pub(super) fn target<'r>(
        &self,
        peer: &Peer,
        parts: &'r http::request::Parts,
        seen: Seen,
    ) -> Result<Target<'r>, Answer> {
        let live = &*self.live;
        let limits = &live.settings.limits;
        let in_flight = usize::try_from(live.metrics.http_requests_in_flight.get()).unwrap_or(0);
        if in_flight > limits.in_flight {
            return Err(Answer::Overloaded);
        }
        let written = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
        if written.len() > limits.target_bytes {
            return Err(Answer::TargetTooLong);
        }
        if parts.version == Version::HTTP_2 {
            self.of_http2(parts, seen, written)?;
        }
        let host = one_host(parts)?;
        let asked = RequestTarget::of(&parts.uri).accept(&parts.method, peer.scheme(), host);
        let asked = asked.map_err(|error| match error {
            TargetError::Method => Answer::MethodNotAllowed,
            error => Answer::BadRequest(error.to_string()),
        })?;
        let host = Host::parse(host).map_err(|error| Answer::BadRequest(error.to_string()))?;
        let served = live.settings.hosts.iter().position(|served| served == host.as_str());
        let served = served.ok_or(Answer::UnknownHost)?;
        if !peer.showed_certificate(live) {
            return Err(Answer::UnknownHost);
        }
        if let (Some(named), Some(tls)) = (peer.certificate(), &live.settings.tls)
            && named != tls::place_of(&tls.certificates, host.as_str())
        {
            return Err(Answer::UnknownHost);
        }
        if seen.transfer_encoding && !transfer_encoding_is_plain(&parts.headers) {
            return Err(Answer::TransferCodingNotSupported);
        }
        if seen.expect && expects_something_else(&parts.headers) {
            return Err(Answer::ExpectationFailed);
        }
        if seen.via && live.settings.via && holds_our_name_too_often(&parts.headers) {
            return Err(Answer::LoopDetected);
        }
        let Asked::Path(path, query) = asked else {
            return Err(Answer::OptionsAsterisk);
        };
        let path = CanonicalPath::parse(path).map_err(Answer::BadPath)?;
        target::check_query(query.unwrap_or("")).map_err(Answer::BadPath)?;
        Ok(Target { host, served, path })
    }
}

impl Worker {
    /// What is judged of HTTP/1 as bytes, and what h2 leaves to us: fields and their values are bounded, the length of
    /// the body is said once (hardening.md row T3), and `:path` begins with a slash (row P11).
    fn of_http2(&self, parts: &http::request::Parts, seen: Seen, written: &str) -> Result<(), Answer> {
        let most = self.live.settings.limits.headers;
        // A cookie may come in as many pieces as it has pairs (RFC 9113 §8.2.3), and counts as the one field it is.
        let others = || parts.headers.iter().filter(|(name, _)| **name != COOKIE).count();
        if seen.long_value || (parts.headers.len() > most && others() >= most) {
            return Err(Answer::HeadTooLarge);
        }
        if seen.second_length {
            return Err(Answer::BadRequest("expected one Content-Length, of digits alone".to_owned()));
        }
        // CONNECT has none.
        if !written.is_empty() && !written.starts_with('/') && written != "*" {
            return Err(Answer::BadRequest("expected a request target that begins with `/`".to_owned()));
        }
        Ok(())
    }
}

/// The target towards the upstream: the canonical path, rewritten if the rule says so, and the query untouched.
pub(super) fn rewritten(rule: &Rule, path: &CanonicalPath<'_>, uri: &Uri) -> Result<PathAndQuery, Answer> {
    let path = rule.upstream_path(path).map_err(Answer::BadPath)?;
    let as_sent = uri.path_and_query().ok_or(Answer::Internal)?;
    if *path == *as_sent.path() {
        return Ok(as_sent.clone());
    }
    let text = as_sent.query().map_or_else(|| path.to_string(), |query| format!("{path}?{query}"));
    PathAndQuery::try_from(text).map_err(|_| Answer::Internal)
}

/// The one host of a request: the Host field, or `:authority` where HTTP/2 has no such field. That an absolute
/// target agrees with it is seen later.
fn one_host(parts: &http::request::Parts) -> Result<&str, Answer> {
    let refused = |detail: &str| Answer::BadRequest(detail.to_owned());
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(refused("expected one Host field, found two"));
    }
    match (field, parts.uri.authority()) {
        (Some(field), _) => field.to_str().map_err(|_| refused("expected a host name in the Host field")),
        (None, Some(authority)) if parts.version == Version::HTTP_2 => Ok(authority.as_str()),
        (None, _) => Err(refused("expected a Host field, found none")),
    }
}

/// The host of a request that has no such field, as HTTP/2 names it.
pub(super) fn authority(uri: &Uri) -> HeaderValue {
    let authority = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    authority.unwrap_or_else(|| HeaderValue::from_static(""))
}

/// Whether `Expect` says anything but `100-continue` (RFC 9110 §10.1.1).
fn expects_something_else(headers: &HeaderMap) -> bool {
    headers.get_all(EXPECT).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}
