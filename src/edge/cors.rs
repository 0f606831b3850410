//! Cross-origin requests, on routes that name the origins they take them from (x402.md section 14).
//!
//! 1. An origin is reflected only if it is one of the route's, byte for byte; there is no `*`.
//! 2. Every answer says so, refusals and challenges too: a browser that may not read a 402 cannot pay.
//! 3. A preflight is answered here, without a credential: browsers send none with it.

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

use crate::policy::rule::Rule;

/// Fields that a script may send. `access-control-expose-headers` is an answer's, but the stock x402 client sends it
/// with its request, and a preflight that leaves it out breaks every payment of a browser.
const REQUEST_FIELDS: HeaderValue = HeaderValue::from_static(
    "payment-signature, sign-in-with-x, authorization, content-type, access-control-expose-headers",
);

/// Fields that a script may read beside those that every script may.
const ANSWER_FIELDS: HeaderValue = HeaderValue::from_static("PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-Request-Id");

/// Seconds for which a browser may remember a preflight.
const MAX_AGE_SECS: HeaderValue = HeaderValue::from_static("600");

/// The origin of a request, if its route takes requests from there.
pub(super) fn origin<'h>(rule: &Rule, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
    if rule.cors.is_empty() {
        return None;
    }
    let mut fields = headers.get_all(ORIGIN).iter();
    let origin = fields.next().filter(|_| fields.next().is_none())?;
    rule.cors.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then_some(origin)
}

/// The method that a preflight asks for; nothing: it is no preflight.
pub(super) fn preflight_method(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if *method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// Answers a preflight for a method that the route takes.
pub(super) fn preflight<B: Default>(asked: &Method) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if let Ok(method) = HeaderValue::from_str(asked.as_str()) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_FIELDS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS);
    response
}

/// Lets a script of this origin read an answer. What an upstream says of its own about origins gives way.
pub(super) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_FIELDS);
    let says = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"origin");
    if !headers.get_all(VARY).iter().any(says) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}
