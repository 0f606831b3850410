//! A refusal of a route, dressed in the login page (sessions.md section 2.6).
//!
//! 1. It is for whoever waits in front of a browser, on a route that takes sessions, and for nobody else: other clients
//!    read bodies.
//! 2. Status and fields stay. Nothing is redirected, so that clients and caches see what they always saw.

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::{
    edge::{
        browser::{
            landing::is_navigation,
            page::{Offer, Page, Purpose, Refused},
        },
        respond::Answer,
    },
    gate::{payment::PaymentRefusal, settings::SessionSettings, view::RequestView},
    policy::rule::Rule,
};

/// A person waits for the answer, and would sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted(());

impl Wanted {
    /// Whether a refusal of this request is to be a page.
    pub(crate) fn by(settings: &SessionSettings, rule: &Rule, view: &RequestView<'_>) -> Option<Self> {
        let offered = settings.login_page && rule.sessions;
        (offered && is_navigation(view.method, view.headers)).then_some(Self(()))
    }

    /// Puts the page into the answer, if it is a refusal that a sign-in may mend.
    pub(crate) fn dress(self, prefix: &str, answer: &Answer, response: Response<Bytes>) -> Response<Bytes> {
        let mends = [StatusCode::UNAUTHORIZED, StatusCode::PAYMENT_REQUIRED, StatusCode::FORBIDDEN];
        if !mends.contains(&response.status()) {
            return response;
        }
        let offers = match answer {
            Answer::Unpaid(refusal) => offers(refusal),
            _ => Vec::new(),
        };
        let detail = answer.detail();
        let purpose = Purpose::Refused(Refused { code: answer.code(), detail: &detail, offers });
        Page { prefix, purpose }.dress(response)
    }
}

fn offers(refusal: &PaymentRefusal) -> Vec<Offer> {
    match refusal {
        PaymentRefusal::Demand(demand) => demand.terms().iter().map(Offer::from).collect(),
        _ => Vec::new(),
    }
}
