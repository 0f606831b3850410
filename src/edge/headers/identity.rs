//! Who a request is, in header fields: their names, and what stands in them.
//!
//! An upstream is told nothing without a permit, and what is said of the account was made once, when its signature was
//! found to be right (`policy::identity`): a warm request copies values that are there.

use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderName};

use super::HeaderRules;
use crate::policy::decision::Permit;

/// Names under which an upstream is told who a request is.
pub(super) struct IdentityNames {
    account: HeaderName,
    address: HeaderName,
    chain: HeaderName,
    expires: HeaderName,
    plan: HeaderName,
    scheme: HeaderName,
}

// === impl IdentityNames ===

impl IdentityNames {
    /// The names with a prefix such as `X-SIWX-`.
    pub(super) fn new(prefix: &str) -> Result<Self, InvalidHeaderName> {
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
        let Some(until) = permit.valid_until() else {
            return;
        };
        let opened = identity.opened(until, permit.opened_by().map(|opened| &*opened.plan));
        headers.insert(self.names.expires.clone(), opened.until);
        if let Some(plan) = opened.plan {
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
        let parts = [
            (&self.names.address, payer.address()),
            (&self.names.chain, payer.chain_str()),
            (&self.names.account, payer.as_str()),
        ];
        for (name, text) in parts {
            // A CAIP-10 id is visible ASCII, so this is always the value itself.
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name.clone(), value);
            }
        }
    }

    /// Names of the fields that tell an upstream who a request is; the plan's comes last.
    pub(crate) const fn identity_names(&self) -> [&HeaderName; 6] {
        let IdentityNames { account, address, chain, expires, plan, scheme } = &self.names;
        [account, address, chain, scheme, expires, plan]
    }
}
