//! Answers about money: status and code of every way in which a request is not paid for, and the headers and bodies
//! that x402 clients read (x402.md sections 1, 4 and 5).
//!
//! 1. 402 invites to pay. It is never said where a payment may have been settled already.
//! 2. A body of the protocol is JSON of the protocol; every other is a problem like those of `respond`.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::respond::Wire;
use crate::{
    gate::payment::{PaymentRefusal, response_header},
    x402::{PAYMENT_REQUIRED, PAYMENT_RESPONSE},
};

/// The code of a payment that opened nothing (x402.md sections 1 and 5).
pub(super) fn wire(refusal: &PaymentRefusal) -> Wire {
    use StatusCode as S;
    let wire = |status, code, detail: &str| Wire { status, code, detail: detail.to_owned() };
    let in_time = |timed_out| if timed_out { S::GATEWAY_TIMEOUT } else { S::BAD_GATEWAY };
    match refusal {
        PaymentRefusal::AlreadyUsed(_) => {
            wire(S::CONFLICT, "payment_already_used", "this payment was settled before; sign in to use what it bought")
        }
        PaymentRefusal::Demand(demand) => {
            let allowance = demand.code() == "permit2_allowance_required";
            let status = if allowance { S::PRECONDITION_FAILED } else { S::PAYMENT_REQUIRED };
            wire(status, demand.code(), "what may be paid is in `PAYMENT-REQUIRED`")
        }
        PaymentRefusal::Denied => wire(S::FORBIDDEN, "account_denied", "this account is not let in"),
        PaymentRefusal::Facilitator { timed_out } => wire(
            in_time(*timed_out),
            if *timed_out { "facilitator_timeout" } else { "facilitator_error" },
            "the payment could not be judged; nothing was settled",
        ),
        PaymentRefusal::InProgress => {
            wire(S::CONFLICT, "payment_in_progress", "another request works on this payment; try again shortly")
        }
        PaymentRefusal::OutcomeUnknown { timed_out } => wire(
            in_time(*timed_out),
            "settlement_outcome_unknown",
            "nobody knows yet whether the payment was settled; do not pay again, sign in later",
        ),
        PaymentRefusal::SettlementRefused { .. } => {
            wire(S::PAYMENT_REQUIRED, "settlement_refused", "the payment was not settled")
        }
        PaymentRefusal::StoreUnavailable => wire(
            S::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "payments cannot be kept at the moment; nothing was settled",
        ),
        PaymentRefusal::TermsUnavailable => wire(
            S::SERVICE_UNAVAILABLE,
            "terms_unavailable",
            "what is to be paid is not known at the moment; try again shortly",
        ),
        PaymentRefusal::Twice => {
            wire(S::BAD_REQUEST, "conflicting_credentials", "expected one PAYMENT-SIGNATURE, found two")
        }
    }
}

/// The JSON of answers that the protocol's clients read; others are problems like any other.
pub(super) fn body(refusal: &PaymentRefusal) -> Option<Bytes> {
    match refusal {
        PaymentRefusal::Demand(demand) => Some(Bytes::copy_from_slice(demand.body())),
        // The outcome is in the header; the body is for people.
        PaymentRefusal::SettlementRefused { error, .. } => {
            Some(Bytes::from(json!({ "error": error, "code": wire(refusal).code }).to_string()))
        }
        _ => None,
    }
}

pub(super) fn headers(refusal: &PaymentRefusal, headers: &mut HeaderMap) {
    match refusal {
        PaymentRefusal::Demand(demand) => {
            headers.insert(PAYMENT_REQUIRED, demand.header().clone());
        }
        PaymentRefusal::AlreadyUsed(receipt) => {
            if let Some(response) = response_header(receipt) {
                headers.insert(PAYMENT_RESPONSE, response);
            }
        }
        PaymentRefusal::SettlementRefused { response, .. } => {
            headers.insert(PAYMENT_RESPONSE, response.clone());
        }
        _ => {}
    }
}

/// A route that asks for a payment, behind a gateway that takes none.
pub(super) fn not_for_sale() -> Wire {
    let detail = "this route is to be paid for, and payments are not taken".to_owned();
    Wire { status: StatusCode::PAYMENT_REQUIRED, code: "payment_required", detail }
}

/// A purchase of a plan that is not for sale.
pub(super) fn unknown_plan() -> Wire {
    let detail = "no plan of this name is for sale".to_owned();
    Wire { status: StatusCode::NOT_FOUND, code: "unknown_plan", detail }
}

/// A sign-in proof on a route that sells nothing.
pub(super) fn proof_refused(reason: &str) -> Wire {
    let detail = format!("the sign-in proof was refused: {reason}");
    Wire { status: StatusCode::UNAUTHORIZED, code: "proof_refused", detail }
}
