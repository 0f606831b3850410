//! What the admin API reads and answers, whatever it is about.

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    caip::AccountKey,
    chain::account::Named,
    edge::{headers::X_REQUEST_ID, query},
    store::StoreError,
};

/// An answer that is not the one hoped for.
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) detail: String,
    pub(super) retry_after_secs: Option<u64>,
    /// What is wrong with a configuration. Boxed: few problems are of one.
    pub(super) faults: Option<Box<Value>>,
}

/// What a handler gives.
pub(super) type Answered = Result<Response<Full<Bytes>>, Problem>;

/// Bytes of a request's body here.
const BODY_MAX: usize = 64 * 1024;

// === impl Problem ===

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: &str) -> Self {
        Self { status, code, detail: detail.to_owned(), retry_after_secs: None, faults: None }
    }

    pub(super) fn respond(self, request_id: HeaderValue) -> Response<Full<Bytes>> {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id.to_str().unwrap_or(""),
        });
        if let Some(faults) = self.faults {
            body["faults"] = *faults;
        }
        let mut response = json_answer(self.status, &body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(X_REQUEST_ID, request_id);
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_secs {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store did not do what the admin API asked");
        // Whoever holds the admin token is the operator, who may read the cause.
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", &error.to_string());
        Self { retry_after_secs: Some(1), ..problem }
    }
}

/// There is nothing by this name.
pub(super) fn nothing_here(detail: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_route", detail)
}

/// The path is known, the method is not for it.
pub(super) fn other_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this method is not taken here")
}

/// What the request says makes no sense.
pub(super) fn bad_request(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
}

/// The key of an account, however it is named.
pub(super) fn account_key(text: &str) -> Result<AccountKey, Problem> {
    named(text).map(|named| named.key)
}

/// The same with the chain, if one is named.
pub(super) fn named(text: &str) -> Result<Named, Problem> {
    Named::parse(text).map_err(|error| bad_request(&error.to_string()))
}

/// The JSON of a request's body.
pub(super) async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Problem> {
    let body = Limited::new(request.into_body(), BODY_MAX).collect().await;
    let body = body.map_err(|_| bad_request("expected a body of at most 64 KiB"))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| bad_request(&error.to_string()))
}

/// Names and values of a query.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// Percent-decoding of one part of a target.
pub(super) fn decoded(text: &str) -> Result<String, Problem> {
    query::decoded(text).ok_or_else(|| bad_request("expected percent-encoded UTF-8"))
}

/// Lines for people.
pub(super) fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A status and nothing else.
pub(super) fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// JSON on a line.
pub(super) fn json_answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
