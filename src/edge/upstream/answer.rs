//! Answers of upstreams: their heads, judged before anything of them leaves.

use std::time::{Duration, Instant};

use http::{
    HeaderMap, HeaderName, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper::body::Incoming;

use super::pool::Lease;
use crate::{
    edge::{headers::transfer_encoding_is_plain, tunnel},
    gate::payment::Release,
    x402::PAYMENT_RESPONSE,
};

/// An answer's head, and how it came.
pub(crate) struct Answer {
    pub(crate) held: HeldResponse,
    pub(crate) lease: Lease,
    pub(crate) waited: Duration,
    /// When its head was complete.
    pub(crate) at: Instant,
    pub(crate) retries: u32,
}

/// An upstream's answer that may not leave towards the client yet: only a [`Release`] lets go of it, and the gate gives
/// one when everything that was due is settled.
pub(crate) struct HeldResponse(pub(super) Response<Incoming>);

/// The field that tells a client what came of its payment.
static RECEIPT: HeaderName = HeaderName::from_static(PAYMENT_RESPONSE);

// === impl HeldResponse ===

impl HeldResponse {
    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// Its fields.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// Lets go of it. What it says of a payment is the upstream's own invention, and ends here.
    pub(crate) fn release(self, release: &Release) -> Response<Incoming> {
        let mut response = self.0;
        // By a name that is one: a text would be read and checked again for every answer.
        response.headers_mut().remove(&RECEIPT);
        if let Some(receipt) = release.payment_response() {
            response.headers_mut().insert(RECEIPT.clone(), receipt);
        }
        response
    }
}

/// Fields of an answer's head.
pub(super) const FIELDS_MAX: usize = 200;

/// What an answer says of its end that another reader may take for something else (RFC 9112 §6.3): somebody may be
/// smuggling, and what follows on the connection is not to be read. hyper takes lengths that agree, and any coding,
/// which would reach the client without its name.
fn framed_oddly(headers: &HeaderMap) -> Option<&'static str> {
    let length = headers.get(CONTENT_LENGTH);
    if headers.contains_key(TRANSFER_ENCODING) {
        if length.is_some() {
            return Some("its answer has Content-Length beside Transfer-Encoding");
        }
        return (!transfer_encoding_is_plain(headers)).then_some("its answer has a transfer coding besides chunked");
    }
    let is_plain = length.is_none_or(|length| length.as_bytes().iter().all(u8::is_ascii_digit));
    (!is_plain).then_some("its answer has a Content-Length of more than digits")
}

/// Why an answer cannot be passed on, whatever its body.
pub(super) fn unacceptable(response: &Response<Incoming>, wants_tunnel: bool) -> Option<String> {
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS && !(wants_tunnel && tunnel::is_opened_by(status, response.headers()))
    {
        return Some("it switched protocols unasked".to_owned());
    }
    if response.headers().len() > FIELDS_MAX {
        return Some(format!("its answer has more than {FIELDS_MAX} fields"));
    }
    framed_oddly(response.headers()).map(str::to_owned)
}
