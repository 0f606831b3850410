//! What a route sells: its prices, what a payment opens and for how long, and when it is settled.
//!
//! Plain data, made from configuration alone. What a client is offered is made of it by the gate, because a
//! facilitator adds to it.

use std::time::Duration;

use http::Method;

use super::access::{Scope, ScopeError};
use crate::x402::terms::{Offer, PaymentFlow};

/// What a route sells. On a route of plans each offer names its plan; on others a payment opens the route itself.
#[derive(Debug, Clone)]
pub struct Sale {
    /// Prices that are settled once the upstream has answered its head. In the order in which clients see them.
    pub offers: Vec<Offer>,
    /// The same prices, settled before the upstream is asked; the terms say so.
    pub upfront: Vec<Offer>,
    /// When payments are settled.
    pub settle: Settle,
    /// For how long one payment opens the route; nothing: for ever. Plans have a length of their own.
    pub access_for: Option<Duration>,
    /// How much of the route one payment opens.
    pub access_scope: AccessScope,
    /// `resource.description` of the challenge; may be empty.
    pub description: String,
    /// `resource.mimeType` of the challenge; may be empty.
    pub mime_type: String,
}

/// When payments of a route are settled (x402.md section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Settle {
    /// On the answer's head for methods without effects, before the request for all others.
    #[default]
    ByMethod,
    /// Always when the upstream has answered its head.
    OnHeaders,
    /// Always before the upstream is asked.
    Before,
}

/// How much of a route one payment opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessScope {
    /// All that it covers.
    #[default]
    Route,
    /// The path that was paid for.
    Path,
}

impl Sale {
    /// The offers for a request, and when its payment is settled.
    pub fn offers_for(&self, method: &Method) -> (&[Offer], PaymentFlow) {
        let before = match self.settle {
            Settle::Before => true,
            Settle::ByMethod => !matches!(*method, Method::GET | Method::HEAD),
            Settle::OnHeaders => false,
        };
        if before { (&self.upfront, PaymentFlow::Upfront) } else { (&self.offers, PaymentFlow::Authorization) }
    }

    /// What a payment for this path of the route opens, where it buys no plan.
    pub fn scope(&self, route: &str, path: &str) -> Result<Scope, ScopeError> {
        match self.access_scope {
            AccessScope::Path => Scope::route_path(route, path),
            AccessScope::Route => Scope::route(route),
        }
    }
}
