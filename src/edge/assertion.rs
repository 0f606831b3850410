//! What an upstream is told of a request under the gateway's signature: `X-SIWX-Assertion` (sessions.md section 2.4).
//!
//! 1. It is made from a [`Permit`] that was given to somebody, and from nothing a client sent. A public route has none.
//! 2. It is for one request: its method, its URL as it is forwarded without the query, its id, and a minute at most.
//! 3. It is for the route and the upstream of the request, and names no other.
//! 4. One that cannot be made is no request forwarded: an upstream that relies on it would take it for nobody's.
//!
//! Where nobody signs in there is still a document of its keys, at [`JWKS_PATH`].

use std::sync::Arc;

use http::{HeaderValue, Method};

use crate::{
    caip::AccountId,
    gate::settings::SessionSettings,
    policy::{decision::Permit, rule::Rule},
    session::{
        keys::{KeyRing, SigningKeys},
        token::{Assertion, TokenError},
    },
    time::UnixTime,
};

/// Where keys are published if there is no session API, below whose prefix they are otherwise.
pub(crate) const JWKS_PATH: &str = "/.siwx/jwks.json";

/// What signs assertions, and for how long.
pub(crate) struct Assertions {
    ring: Arc<KeyRing>,
    /// The gateway's URL, without a path.
    issuer: String,
    ttl_secs: u32,
}

/// One request as it is forwarded.
pub(crate) struct Forwarded<'r> {
    pub(crate) rule: &'r Rule,
    pub(crate) upstream: &'r str,
    pub(crate) method: &'r Method,
    pub(crate) path: &'r str,
    pub(crate) id: &'r HeaderValue,
}

/// Who a request is, as far as an assertion says it.
struct Who<'p> {
    account: &'p AccountId,
    accounts: Vec<&'p AccountId>,
    scheme: &'static str,
}

impl Assertions {
    /// Assertions of a gateway at this URL.
    pub(crate) const fn new(ring: Arc<KeyRing>, issuer: String, ttl_secs: u32) -> Self {
        Self { ring, issuer, ttl_secs }
    }

    /// The keys, as they are now.
    pub(crate) fn keys(&self) -> Arc<SigningKeys> {
        self.ring.keys()
    }

    /// What an upstream is told of this request; nothing if it is nobody's.
    pub(crate) fn make(
        &self,
        permit: &Permit,
        request: &Forwarded<'_>,
        sessions: Option<&SessionSettings>,
        now: UnixTime,
    ) -> Result<Option<HeaderValue>, TokenError> {
        let Some(Who { account, accounts, scheme }) = who(permit, sessions, now) else {
            return Ok(None);
        };
        let Forwarded { rule, upstream, method, path, id } = request;
        let assertion = Assertion {
            account,
            accounts: &accounts,
            scheme,
            plan: permit.opened_by().map(|opened| &*opened.plan),
            sid: permit.identity().and_then(|identity| identity.session()),
            request_id: id.to_str().unwrap_or_default(),
            method: method.as_str(),
            url: &format!("{}{path}", self.issuer),
        };
        // A route is often called as its upstream is.
        let both = [&*rule.name, *upstream];
        let audience = if rule.name == *upstream { &both[..1] } else { &both[..] };
        let token = assertion.seal(&self.keys(), &self.issuer, audience, self.ttl_secs, now)?;
        // Three parts of base64url are always a value.
        let mut value = HeaderValue::try_from(token).map_err(|_| TokenError::Form)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn who<'p>(permit: &'p Permit, sessions: Option<&SessionSettings>, now: UnixTime) -> Option<Who<'p>> {
    if let Some(identity) = permit.identity() {
        let account = identity.account();
        let accounts = match sessions {
            Some(sessions) => identity.accounts(&sessions.life, sessions.revalidation.as_ref(), now),
            None => vec![account],
        };
        return Some(Who { account, accounts, scheme: identity.scheme().as_str() });
    }
    let account = permit.paid()?.payer.as_ref()?;
    Some(Who { account, accounts: vec![account], scheme: "payment" })
}
