//! Who a request is, once its message and its signature are both right.
//!
//! A [`Known`] is what a verified proof leaves behind for later requests: who signed, what the message claims,
//! and the header values an upstream is told, made once. It says nothing about *now*: an [`Identity`] does, and
//! can only be had by [`Identity::establish`], which judges the claims anew on every request, warm or cold.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use crate::{
    caip::AccountId,
    chain::{Scheme, Verified},
    policy::holder::Holder,
    siwx::claims::{self, ClaimError, Claims, Expectation},
    time::UnixTime,
};

/// A verified proof and what later requests with it need.
#[derive(Debug)]
pub struct Known {
    verified: Verified,
    headers: IdentityHeaders,
    /// What an upstream was told last of what opened a route. It seldom changes from one request to the next.
    opened: ArcSwapOption<Told>,
}

/// What opened a route, and the same as an upstream is told it.
#[derive(Debug)]
struct Told {
    until: UnixTime,
    plan: Option<Box<str>>,
    headers: OpenedHeaders,
}

/// What an upstream is told about what opened a route to an account.
#[derive(Debug, Clone)]
pub struct OpenedHeaders {
    /// Until when it is open: RFC 3339, in UTC.
    pub until: HeaderValue,
    /// The plan that opened it, where one did and its name can be written in a field.
    pub plan: Option<HeaderValue>,
}

/// What an upstream is told about an account, ready to be sent.
#[derive(Debug)]
pub struct IdentityHeaders {
    /// The address alone, in its canonical spelling.
    pub address: HeaderValue,
    /// The CAIP-2 chain id.
    pub chain: HeaderValue,
    /// The CAIP-10 account id.
    pub account: HeaderValue,
    /// How the signature was checked.
    pub scheme: HeaderValue,
}

/// Who a request is. Holding one means that a signature was right and its message allows this request now.
#[derive(Debug, Clone)]
pub struct Identity {
    known: Arc<Known>,
    valid_until: UnixTime,
}

// === impl Known ===

impl Known {
    /// Keeps a verified proof.
    pub fn new(verified: Verified) -> Self {
        let account = verified.account();
        let headers = IdentityHeaders {
            address: header_value(account.address()),
            chain: header_value(account.chain_str()),
            account: header_value(account.as_str()),
            scheme: HeaderValue::from_static(verified.scheme().as_str()),
        };
        Self { verified, headers, opened: ArcSwapOption::empty() }
    }

    /// The account that signed.
    pub fn account(&self) -> &AccountId {
        self.verified.account()
    }

    /// What the message claims.
    pub fn claims(&self) -> &Claims {
        self.verified.claims()
    }

    /// How the signature was checked.
    pub fn scheme(&self) -> Scheme {
        self.verified.scheme()
    }
}

// === impl Identity ===

impl Identity {
    /// Judges the claims of a verified proof for a request at a time (message.md section 6).
    pub fn establish(
        known: &Arc<Known>,
        expected: &Expectation,
        request_path: &str,
        now: UnixTime,
    ) -> Result<Self, ClaimError> {
        let valid_until = claims::check(known.claims(), expected, Some(request_path), now)?;
        Ok(Self { known: Arc::clone(known), valid_until })
    }

    /// The account.
    pub fn account(&self) -> &AccountId {
        self.known.account()
    }

    /// How its signature was checked.
    pub fn scheme(&self) -> Scheme {
        self.known.scheme()
    }

    /// As whom it uses what its account holds.
    pub fn holder(&self) -> Holder<'_> {
        if self.scheme().is_contract() { Holder::Contract(self.account().chain_str()) } else { Holder::KeyPair }
    }

    /// What an upstream is told about it.
    pub fn headers(&self) -> &IdentityHeaders {
        &self.known.headers
    }

    /// What an upstream is told about a route that is open until then, by a plan or without one.
    pub fn opened(&self, until: UnixTime, plan: Option<&str>) -> OpenedHeaders {
        let last = self.known.opened.load();
        if let Some(told) = last.as_deref()
            && told.until == until
            && told.plan.as_deref() == plan
        {
            return told.headers.clone();
        }
        let headers = OpenedHeaders {
            until: header_value(&until.to_string()),
            plan: plan.and_then(|plan| HeaderValue::from_str(plan).ok()),
        };
        let told = Told { until, plan: plan.map(Into::into), headers: headers.clone() };
        self.known.opened.store(Some(Arc::new(told)));
        headers
    }

    /// Until when the credential holds.
    pub const fn valid_until(&self) -> UnixTime {
        self.valid_until
    }
}

/// A CAIP-10 id is ASCII without controls, so this is always the value itself.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
