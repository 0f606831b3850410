//! Who a request is, in header fields: their names, and what stands in them.
//!
//! An upstream is told nothing without a permit, and what is said of the account was made once, when its signature was
//! found to be right (`policy::identity`): a warm request copies values that are there.
//!
//! The names of other gateways never pass from a client, whichever of them are set: an application behind a public route
//! may read any of them.

use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderName};

use super::{HeaderRules, IdentityPreset};
use crate::policy::decision::Permit;

/// Names under which an upstream is told who a request is.
pub(super) struct IdentityNames {
    account: HeaderName,
    address: HeaderName,
    chain: HeaderName,
    expires: HeaderName,
    plan: HeaderName,
    scheme: HeaderName,
    session: HeaderName,
    assertion: HeaderName,
    /// The names of another gateway for some of it.
    also: Vec<(HeaderName, Told)>,
}

/// Names that oauth2-proxy has. A user is a CAIP-10 id: contracts of one address on two chains may be two owners'.
const OAUTH2_PROXY: [(HeaderName, Told); 3] = [
    (HeaderName::from_static("x-forwarded-user"), Told::Account),
    (HeaderName::from_static("x-auth-request-user"), Told::Account),
    (HeaderName::from_static("x-forwarded-preferred-username"), Told::Address),
];

/// Names that Authelia has.
const AUTHELIA: [(HeaderName, Told); 3] = [
    (HeaderName::from_static("remote-user"), Told::Account),
    (HeaderName::from_static("remote-name"), Told::Address),
    (HeaderName::from_static("remote-groups"), Told::Plan),
];

/// What an upstream is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The CAIP-10 id.
    Account,
    /// The address alone.
    Address,
    /// All of it under our signature.
    Assertion,
    /// The CAIP-2 id.
    Chain,
    /// Until when this holds.
    Expires,
    /// The plan that opened the route.
    Plan,
    /// How the signature was checked.
    Scheme,
    /// What the session is called.
    Session,
}

// === impl IdentityNames ===

impl IdentityNames {
    /// The names with a prefix such as `X-SIWX-`, and those of another gateway.
    pub(super) fn new(prefix: &str, preset: Option<IdentityPreset>) -> Result<Self, InvalidHeaderName> {
        // Made once, for the life of the process: what is static is copied without counting references.
        let name = |word: &str| {
            let name = format!("{prefix}{word}").to_ascii_lowercase();
            HeaderName::from_bytes(name.as_bytes())?;
            Ok(HeaderName::from_static(name.leak()))
        };
        Ok(Self {
            account: name("account")?,
            address: name("address")?,
            chain: name("chain")?,
            expires: name("expires")?,
            plan: name("plan")?,
            scheme: name("scheme")?,
            session: name("session")?,
            assertion: name("assertion")?,
            also: match preset {
                None => Vec::new(),
                Some(IdentityPreset::Authelia) => AUTHELIA.to_vec(),
                Some(IdentityPreset::Oauth2Proxy) => OAUTH2_PROXY.to_vec(),
            },
        })
    }
}

// === impl HeaderRules ===

impl HeaderRules {
    /// Tells the upstream who the request is, by the permit it was given.
    pub(crate) fn attach_identity(&self, headers: &mut HeaderMap, permit: &Permit) {
        let Some(identity) = permit.identity() else {
            return self.attach_payer(headers, permit);
        };
        let values = identity.headers();
        headers.insert(self.names.address.clone(), values.address.clone());
        headers.insert(self.names.chain.clone(), values.chain.clone());
        headers.insert(self.names.account.clone(), values.account.clone());
        headers.insert(self.names.scheme.clone(), values.scheme.clone());
        if let Some(session) = &values.session {
            headers.insert(self.names.session.clone(), session.clone());
        }
        let until = permit.valid_until();
        let opened = until.map(|until| identity.opened(until, permit.opened_by().map(|opened| &*opened.plan)));
        let (until, plan) = opened.map_or((None, None), |opened| (Some(opened.until), opened.plan));
        for (name, told) in &self.names.also {
            let value = match told {
                Told::Account => Some(&values.account),
                Told::Address => Some(&values.address),
                Told::Assertion => None,
                Told::Chain => Some(&values.chain),
                Told::Expires => until.as_ref(),
                Told::Plan => plan.as_ref(),
                Told::Scheme => Some(&values.scheme),
                Told::Session => values.session.as_ref(),
            };
            if let Some(value) = value {
                headers.insert(name.clone(), value.clone());
            }
        }
        if let Some(until) = until {
            headers.insert(self.names.expires.clone(), until);
        }
        if let Some(plan) = plan {
            headers.insert(self.names.plan.clone(), plan);
        }
    }

    /// Tells the upstream who paid for the request with the request itself.
    fn attach_payer(&self, headers: &mut HeaderMap, permit: &Permit) {
        let Some(paid) = permit.paid() else {
            return;
        };
        headers.insert(self.names.scheme.clone(), HeaderValue::from_static("payment"));
        let Some(payer) = &paid.payer else {
            return;
        };
        let own = [
            (&self.names.address, payer.address()),
            (&self.names.chain, payer.chain_str()),
            (&self.names.account, payer.as_str()),
        ];
        let also = self.names.also.iter().filter_map(|(name, told)| match told {
            Told::Account => Some((name, payer.as_str())),
            Told::Address => Some((name, payer.address())),
            _ => None,
        });
        for (name, text) in own.into_iter().chain(also) {
            // A CAIP-10 id is visible ASCII, so this is always the value itself.
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name.clone(), value);
            }
        }
    }

    /// Tells the upstream the same under our signature.
    pub(crate) fn attach_assertion(&self, headers: &mut HeaderMap, assertion: HeaderValue) {
        headers.insert(self.names.assertion.clone(), assertion);
    }

    /// Everything that an upstream may be told, with the name of its field.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&HeaderName, Told)> {
        let IdentityNames { account, address, chain, expires, plan, scheme, session, assertion, also } = &self.names;
        [
            (account, Told::Account),
            (address, Told::Address),
            (chain, Told::Chain),
            (scheme, Told::Scheme),
            (expires, Told::Expires),
            (plan, Told::Plan),
            (session, Told::Session),
            (assertion, Told::Assertion),
        ]
        .into_iter()
        .chain(also.iter().map(|(name, told)| (name, *told)))
    }
}
