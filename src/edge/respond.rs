//! Answers the gateway makes itself. All status codes are chosen here, by one `match` without a wildcard arm;
//! the rooms beneath do not know that HTTP has numbers (hardening.md section 5).
//!
//! 1. Every such answer is `application/problem+json` with `type`, `title`, `status`, `code`, `detail` and
//!    `request_id`; a refused token adds `error` and `reason` (x402.md section 13).
//! 2. None may be kept by a cache.
//! 3. Texts are short. They name no upstream, no file and no secret, and quote at most a few escaped characters
//!    of a message.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::{
    cors,
    headers::X_REQUEST_ID,
    session::{Answered, Content},
    unpaid,
    upstream::UpstreamError,
    wire::head::Fault,
};
use crate::{
    gate::payment::PaymentRefusal,
    policy::{
        decision::{RateScope, Reason, Refusal},
        target::PathError,
    },
    session::{Class, SessionError},
    x402::PAYMENT_RESPONSE,
};

/// Why the gateway answers itself.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Another reading of the path selects a dearer route.
    AmbiguousPath,
    /// The path holds what has no single reading, or what its route does not take.
    BadPath(PathError),
    /// The request is not one this gateway reads.
    BadRequest(String),
    /// The body is longer than allowed.
    BodyTooLarge,
    /// An `Expect` other than `100-continue`.
    ExpectationFailed,
    /// More bytes or fields in the head than allowed.
    HeadTooLarge,
    /// A mistake of this program.
    Internal,
    /// The request came through here before, and again.
    LoopDetected,
    /// The method is none that any route takes; those that are taken, if there are some.
    MethodNotAllowed,
    /// A good wallet asked for something that is not there.
    NoRoute,
    /// `OPTIONS *`: about the server as a whole, to which there is nothing to say.
    OptionsAsterisk,
    /// Too many requests at once.
    Overloaded,
    /// The gate refused.
    Refused(Refusal),
    /// Something else went wrong with a request that was paid for before: the payer is told that it was.
    Paid {
        /// The `PAYMENT-RESPONSE`.
        receipt: HeaderValue,
        /// What went wrong.
        answer: Box<Self>,
    },
    /// A browser asks whether a script may send such a request: it may.
    Preflight(Method),
    /// The head or the body stalled.
    RequestTimeout,
    /// The session API's answer.
    Session(Box<Answered>),
    /// The shop's answer, for one wallet.
    Shop {
        /// The JSON body.
        body: String,
        /// The `PAYMENT-RESPONSE`, if something was bought.
        receipt: Option<HeaderValue>,
    },
    /// The target is longer than allowed.
    TargetTooLong,
    /// A transfer coding other than `chunked`.
    TransferCodingNotSupported,
    /// A host that is not served here.
    UnknownHost,
    /// No plan of this name is for sale.
    UnknownPlan,
    /// It is to be paid for, or was not paid right.
    Unpaid(Box<PaymentRefusal>),
    /// The upstream did not answer in HTTP.
    UpstreamInvalid,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The upstream cannot be reached.
    UpstreamUnreachable,
}

/// What goes on the wire, apart from the request's id.
pub(super) struct Wire {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) detail: String,
}

impl Answer {
    /// What is answered when an upstream failed. A body of the client that broke it off speaks first.
    pub(crate) fn of_upstream(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::Connect { .. } | UpstreamError::Reset(_) | UpstreamError::Tls { .. } => {
                Self::UpstreamUnreachable
            }
            UpstreamError::ConnectTimeout(_) | UpstreamError::Timeout(_) => Self::UpstreamTimeout,
            UpstreamError::NoRoom(_) | UpstreamError::Overloaded(_) => Self::Overloaded,
            UpstreamError::Protocol { .. } => Self::UpstreamInvalid,
            UpstreamError::RequestBody => Self::BadRequest("the body of the request was broken off".to_owned()),
        }
    }

    /// What is answered to a head that no request was made of.
    pub(crate) fn of_fault(fault: Fault) -> Self {
        match fault {
            Fault::Malformed(detail) => Self::BadRequest(detail.to_owned()),
            Fault::Slow => Self::RequestTimeout,
            Fault::Target { byte, at } => Self::BadPath(PathError::Byte { byte, at }),
            Fault::TargetTooLong => Self::TargetTooLong,
            Fault::TooLarge => Self::HeadTooLarge,
            Fault::TransferCoding => Self::TransferCodingNotSupported,
        }
    }

    /// The word of `siwx_http_rejected_total`, for what is refused before it has a route.
    pub(crate) fn rejected(&self) -> Option<&'static str> {
        match self {
            Self::BadPath(_) | Self::AmbiguousPath => Some("bad_path"),
            Self::BadRequest(_) | Self::ExpectationFailed | Self::LoopDetected => Some("bad_request"),
            Self::HeadTooLarge => Some("head_too_large"),
            Self::MethodNotAllowed => Some("method"),
            Self::Overloaded => Some("overload"),
            Self::TargetTooLong => Some("uri_too_long"),
            Self::TransferCodingNotSupported => Some("framing"),
            Self::UnknownHost => Some("bad_host"),
            Self::RequestTimeout => Some("timeout"),
            Self::Session(answered) => match &answered.content {
                Content::Refused(answer) => answer.rejected(),
                _ => None,
            },
            Self::BodyTooLarge
            | Self::Internal
            | Self::NoRoute
            | Self::OptionsAsterisk
            | Self::Paid { .. }
            | Self::Preflight(_)
            | Self::Refused(_)
            | Self::Shop { .. }
            | Self::UnknownPlan
            | Self::Unpaid(_)
            | Self::UpstreamInvalid
            | Self::UpstreamTimeout
            | Self::UpstreamUnreachable => None,
        }
    }

    /// The stable code, for log and body.
    pub(crate) fn code(&self) -> &'static str {
        self.wire().code
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.wire().status
    }

    /// The sentence for people.
    pub(crate) fn detail(&self) -> String {
        self.wire().detail
    }

    /// The whole answer.
    pub(crate) fn respond(&self, realm: &str, request_id: HeaderValue) -> Response<Bytes> {
        let Wire { status, detail, .. } = self.wire();
        if let Self::Session(answered) = self {
            let problem = || match &answered.content {
                Content::Refused(answer) => answer.respond(realm, request_id.clone()),
                _ => self.problem(realm, &request_id),
            };
            return answered.respond(status, &detail, request_id.clone(), problem);
        }
        if let Self::Paid { receipt, answer } = self {
            let mut response = answer.respond(realm, request_id);
            response.headers_mut().insert(PAYMENT_RESPONSE, receipt.clone());
            return response;
        }
        if let Self::Preflight(asked) = self {
            let mut response = cors::preflight(asked);
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response.headers_mut().insert(X_REQUEST_ID, request_id);
            return response;
        }
        if let Self::Shop { body, receipt } = self {
            let mut response = Response::new(Bytes::from(body.clone()));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
            headers.insert(X_REQUEST_ID, request_id);
            if let Some(receipt) = receipt {
                headers.insert(PAYMENT_RESPONSE, receipt.clone());
            }
            return response;
        }
        if let Self::Unpaid(refusal) = self
            && let Some(body) = unpaid::body(refusal)
        {
            let mut response = Response::new(body);
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response.headers_mut().insert(X_REQUEST_ID, request_id);
            unpaid::headers(refusal, response.headers_mut());
            return response;
        }
        if matches!(self, Self::OptionsAsterisk) {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = status;
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response.headers_mut().insert(X_REQUEST_ID, request_id);
            return response;
        }
        self.problem(realm, &request_id)
    }

    /// What went wrong, as problems are told.
    fn problem(&self, realm: &str, request_id: &HeaderValue) -> Response<Bytes> {
        let Wire { status, code, detail } = self.wire();
        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
            "request_id": request_id.to_str().unwrap_or(""),
        });
        let reason = self.refused_token();
        if let Some(reason) = reason {
            body["error"] = json!("invalid_token");
            body["reason"] = json!(reason);
        }
        if let Some(index) = self.index() {
            body["index"] = json!(index);
        }
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_REQUEST_ID, request_id.clone());
        if let Self::Unpaid(refusal) = self {
            unpaid::headers(refusal, headers);
        }
        if status == StatusCode::UNAUTHORIZED {
            // A realm is the authority of the configured public URL: no quotes, no backslashes.
            let challenge = reason.map_or_else(
                || format!("SIWX realm=\"{realm}\""),
                |reason| format!("SIWX realm=\"{realm}\", error=\"invalid_token\", error_description=\"{reason}\""),
            );
            if let Ok(challenge) = HeaderValue::try_from(challenge) {
                headers.insert(WWW_AUTHENTICATE, challenge);
            }
        }
        if let Some(seconds) = self.retry_after(status) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::MethodNotAllowed) {
            // RFC 9110 §15.5.6 wants the field; which methods a path takes is nothing to tell a stranger.
            headers.insert(ALLOW, HeaderValue::from_static(""));
        }
        response
    }

    /// x402.md section 13's reason, of a refused token.
    const fn refused_token(&self) -> Option<&'static str> {
        match self {
            Self::Refused(Refusal::InvalidToken(fault)) => Some(match fault.reason() {
                Reason::TooLarge => Reason::Malformed.as_str(),
                reason => reason.as_str(),
            }),
            _ => None,
        }
    }

    /// Which of several sign-ins is refused.
    fn index(&self) -> Option<usize> {
        match self {
            Self::Session(answered) => match &answered.content {
                Content::SessionRefused(refused) => refused.index,
                _ => None,
            },
            _ => None,
        }
    }

    fn retry_after(&self, status: StatusCode) -> Option<u64> {
        match self {
            Self::Refused(
                Refusal::QuotaExceeded { retry_after_secs }
                | Refusal::RateLimited { retry_after_secs, .. }
                | Refusal::TooManyRefusals { retry_after_secs },
            ) => Some(*retry_after_secs),
            Self::Session(answered) => match answered.content {
                Content::Limited { retry_after_secs } => Some(retry_after_secs),
                _ => matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS).then_some(1),
            },
            _ => (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
        }
    }

    fn wire(&self) -> Wire {
        use StatusCode as S;
        let wire = |status, code, detail: &str| Wire { status, code, detail: detail.to_owned() };
        match self {
            Self::AmbiguousPath => wire(
                S::BAD_REQUEST,
                "ambiguous_path",
                "the path is a spelling that a service might read as another path; write it in its plain form",
            ),
            Self::BadPath(error) => wire(S::BAD_REQUEST, "bad_path", &error.to_string()),
            Self::BadRequest(detail) => wire(S::BAD_REQUEST, "bad_request", detail),
            Self::BodyTooLarge => {
                wire(S::PAYLOAD_TOO_LARGE, "body_too_large", "the body of the request is longer than allowed here")
            }
            Self::ExpectationFailed => {
                wire(S::EXPECTATION_FAILED, "expectation_failed", "expected `100-continue`, or no Expect at all")
            }
            Self::HeadTooLarge => wire(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                "the head of the request is longer than allowed, or has more fields",
            ),
            Self::Internal => {
                wire(S::INTERNAL_SERVER_ERROR, "internal", "the gateway failed; the request was not forwarded by it")
            }
            Self::LoopDetected => {
                wire(S::LOOP_DETECTED, "loop_detected", "the request came through this gateway three times already")
            }
            Self::MethodNotAllowed => {
                wire(S::METHOD_NOT_ALLOWED, "method_not_allowed", "this method is not taken here")
            }
            Self::NoRoute => wire(S::NOT_FOUND, "no_route", "there is nothing at this path"),
            Self::OptionsAsterisk | Self::Preflight(_) => wire(S::NO_CONTENT, "", ""),
            Self::Overloaded => {
                wire(S::SERVICE_UNAVAILABLE, "overloaded", "too many requests at once; try again shortly")
            }
            Self::Paid { answer, .. } => answer.wire(),
            Self::Refused(refusal) => refused(refusal),
            Self::RequestTimeout => wire(S::REQUEST_TIMEOUT, "request_timeout", "the request did not arrive in time"),
            Self::Session(answered) => match &answered.content {
                Content::Created(_) => wire(S::CREATED, "", ""),
                Content::Json(_) | Content::Keys(_) => wire(S::OK, "", ""),
                Content::Limited { .. } => session_refused(&SessionError::RateLimited),
                Content::MessageRefused(error) => wire(S::BAD_REQUEST, error.code(), &error.to_string()),
                Content::NoEmail => wire(S::NOT_FOUND, "no_route", "email capture is not enabled"),
                Content::Nothing | Content::Preflight => wire(S::NO_CONTENT, "", ""),
                Content::Refused(answer) => answer.wire(),
                Content::SessionRefused(refused) => session_refused(&refused.error),
                Content::Whole(response) => wire(response.status(), "", ""),
            },
            Self::Shop { .. } => wire(S::OK, "", ""),
            Self::TargetTooLong => {
                wire(S::URI_TOO_LONG, "target_too_long", "the request target is longer than allowed")
            }
            Self::TransferCodingNotSupported => wire(
                S::NOT_IMPLEMENTED,
                "transfer_coding_not_supported",
                "expected `Transfer-Encoding: chunked`, or none",
            ),
            Self::UnknownHost => {
                wire(S::MISDIRECTED_REQUEST, "unknown_host", "the host of the request is not served here")
            }
            Self::UnknownPlan => unpaid::unknown_plan(),
            Self::Unpaid(refusal) => unpaid::wire(refusal),
            Self::UpstreamInvalid => wire(
                S::BAD_GATEWAY,
                "upstream_invalid",
                "the service behind the gateway gave an answer that is not HTTP",
            ),
            Self::UpstreamTimeout => {
                wire(S::GATEWAY_TIMEOUT, "upstream_timeout", "the service behind the gateway did not answer in time")
            }
            Self::UpstreamUnreachable => {
                wire(S::BAD_GATEWAY, "upstream_unreachable", "the service behind the gateway cannot be reached")
            }
        }
    }
}

/// Why nobody is signed in, or not any more (sessions.md section 2).
fn session_refused(error: &SessionError) -> Wire {
    let status = match error.class() {
        Class::Malformed => StatusCode::BAD_REQUEST,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::Limited => StatusCode::TOO_MANY_REQUESTS,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    Wire { status, code: error.code(), detail: error.to_string() }
}

fn refused(refusal: &Refusal) -> Wire {
    use StatusCode as S;
    let wire = |status, code, detail: String| Wire { status, code, detail };
    match refusal {
        Refusal::AccountDenied => wire(S::FORBIDDEN, "account_denied", "this account is not let in".to_owned()),
        Refusal::AccountNotInSession => wire(
            S::FORBIDDEN,
            "account_not_in_session",
            "the account that `X-SIWX-Account` names is not signed in".to_owned(),
        ),
        Refusal::ConflictingCredentials => wire(
            S::BAD_REQUEST,
            "conflicting_credentials",
            "expected one credential, found two; send one header with one token".to_owned(),
        ),
        Refusal::CredentialRequired => wire(
            S::UNAUTHORIZED,
            "credential_required",
            "expected `Authorization: SIWX base64(message).signature`".to_owned(),
        ),
        Refusal::CrossSite => wire(
            S::FORBIDDEN,
            "csrf",
            "expected a page of this gateway or of an origin it lists, found another one or none".to_owned(),
        ),
        Refusal::InvalidSession => {
            wire(S::UNAUTHORIZED, "invalid_session", "the session is over; sign in again".to_owned())
        }
        Refusal::InvalidToken(fault) => {
            wire(S::UNAUTHORIZED, "invalid_token", format!("{}: {}", fault.code(), fault.detail()))
        }
        Refusal::PaymentRequired => unpaid::not_for_sale(),
        Refusal::PlanRequired { plans } => {
            let names: Vec<_> = plans.iter().map(|plan| format!("`{plan}`")).collect();
            wire(S::FORBIDDEN, "plan_required", format!("this route needs the plan {}", names.join(" or ")))
        }
        Refusal::ProofRefused(reason) => unpaid::proof_refused(reason),
        Refusal::QuotaExceeded { .. } => wire(
            S::TOO_MANY_REQUESTS,
            "quota_exceeded",
            "this account has used up the requests of its plan; they begin anew with the plan's next window".to_owned(),
        ),
        Refusal::RateLimited { scope, .. } => {
            let whose = match scope {
                RateScope::Account => "from this account",
                RateScope::Address => "from this address",
                RateScope::Contracts => "from this address that a contract had to be asked about",
                RateScope::Plan => "for the plan of this account",
            };
            wire(S::TOO_MANY_REQUESTS, "rate_limited", format!("too many requests {whose}; try again shortly"))
        }
        Refusal::StoreUnavailable => wire(
            S::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "whether this account has subscribed cannot be told at the moment; try again shortly".to_owned(),
        ),
        Refusal::SubscriptionRequired { ended: false } => {
            wire(S::FORBIDDEN, "subscription_required", "this account has no subscription".to_owned())
        }
        Refusal::SubscriptionRequired { ended: true } => {
            wire(S::FORBIDDEN, "subscription_required", "the subscription of this account has ended".to_owned())
        }
        Refusal::TooManyRefusals { .. } => wire(
            S::TOO_MANY_REQUESTS,
            "too_many_refusals",
            "too many refused credentials came from this address; try again later".to_owned(),
        ),
        Refusal::VerifierUnavailable => wire(
            S::SERVICE_UNAVAILABLE,
            "verifier_unavailable",
            "whether the contract of this account takes the signature cannot be told at the moment; try again shortly"
                .to_owned(),
        ),
    }
}
