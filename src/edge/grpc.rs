//! What the gateway itself says to clients of gRPC.
//!
//! 1. A refusal is trailers alone, which is a head with the status in it (hardening.md section 5).
//! 2. An answer that breaks off ends with trailers, too, where it can: a stream that is reset is CANCELLED or UNKNOWN to
//!    most clients, which try neither again.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

use super::body::BodyError;
use crate::policy::decision::Reason;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// An answer of our own, dressed for gRPC. Its other fields stay: a challenge is one for every client.
pub(super) fn dress(answer: Response<Bytes>, detail: &str) -> Response<Bytes> {
    let (mut head, _) = answer.into_parts();
    let status = status_of(head.status);
    head.status = StatusCode::OK;
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.headers.insert(GRPC_STATUS, HeaderValue::from_static(status));
    if let Ok(message) = HeaderValue::try_from(encoded(detail)) {
        head.headers.insert(GRPC_MESSAGE, message);
    }
    Response::from_parts(head, Bytes::new())
}

/// How an answer ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// By the body of the request, or by the one of the answer.
    Request(BodyError),
    Answer(BodyError),
    /// What let the call in holds no more.
    Watch(Reason),
}

/// The trailers of an answer that is cut.
pub(super) fn trailers(cut: Cut) -> HeaderMap {
    let (status, message) = match cut {
        Cut::Request(BodyError::Broken) => ("1", "the request was broken off"),
        Cut::Request(BodyError::Stalled) => ("4", "the request did not arrive in time"),
        Cut::Request(BodyError::TooLarge) => ("8", "the request is longer than allowed here"),
        Cut::Answer(BodyError::Stalled) => ("4", "the service behind the gateway said nothing for too long"),
        Cut::Answer(BodyError::Broken | BodyError::TooLarge) => ("14", "the service behind the gateway broke off"),
        Cut::Watch(
            Reason::AccountDenied | Reason::NoSubscription | Reason::PlanMismatch | Reason::SubscriptionExpired,
        ) => ("7", "the subscription that opened this call does not hold any more"),
        Cut::Watch(Reason::StoreUnavailable | Reason::VerifierUnavailable) => {
            ("14", "whether this call may go on cannot be told at the moment")
        }
        Cut::Watch(_) => ("16", "the credential that opened this call does not hold any more"),
    };
    HeaderMap::from_iter([
        (GRPC_STATUS, HeaderValue::from_static(status)),
        (GRPC_MESSAGE, HeaderValue::from_static(message)),
    ])
}

/// The code of gRPC for a status of HTTP. Those that the specification of the gateway does not name are as gRPC's own
/// mapping has them, but for 413 and 504, for which it has a better word.
const fn status_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "16",
        402 | 403 => "7",
        404 | 405 | 501 => "12",
        408 | 504 => "4",
        413 => "8",
        429 => "8",
        502 | 503 => "14",
        400 | 500 => "13",
        _ => "2",
    }
}

/// As gRPC writes messages: printable ASCII but for `%`, and the rest by its hex digits.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let digit = |digit: u8| char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase();
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_messages() {
        let rows = [(401, "16"), (402, "7"), (403, "7"), (429, "8"), (503, "14"), (502, "14"), (504, "4"), (404, "12")];
        for (status, expected) in rows {
            let mut answer = Response::new(Bytes::from_static(b"{}"));
            *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
            let dressed = dress(answer, "50 % \u{e9}\n");
            assert_eq!(dressed.status(), StatusCode::OK);
            assert_eq!(dressed.headers()[GRPC_STATUS], expected, "{status}");
            assert_eq!(dressed.headers()[GRPC_MESSAGE], "50 %25 %C3%A9%0A");
            assert!(dressed.body().is_empty());
        }
    }
}
