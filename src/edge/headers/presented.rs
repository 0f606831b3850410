//! What a request presented, kept for as long as its answer lasts.
//!
//! Whether an answer lasts is known when the request is gone, and most do not: so nothing is copied for it. These fields
//! end here anyway, and are moved in place of being dropped.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE, ORIGIN},
};

/// What a request was let in by, taken out of its fields where it ends: should its answer last, the gate is asked about
/// it again.
#[derive(Default)]
pub(crate) struct Presented {
    pub(super) authorization: Option<HeaderValue>,
    pub(super) cookie: Option<HeaderValue>,
    sign_in: Option<HeaderValue>,
    /// Which account of a session acts.
    account: Option<HeaderValue>,
    /// Which page sent the cookie.
    page: [Option<HeaderValue>; 2],
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SIGN_IN_WITH_X: HeaderName = HeaderName::from_static("sign-in-with-x");
const X_SIWX_ACCOUNT: HeaderName = HeaderName::from_static("x-siwx-account");

// === impl Presented ===

impl Presented {
    /// Notes which page a request is of that changes something on the strength of a cookie. It is a look at fields that
    /// go on, so for such requests alone.
    pub(crate) fn of_page(&mut self, headers: &HeaderMap) {
        if self.cookie.is_some() {
            self.page = [ORIGIN, SEC_FETCH_SITE].map(|name| headers.get(name).cloned());
        }
    }

    /// Notes a field that ends here. One may end twice, by its name and by `Connection`.
    pub(super) fn note(&mut self, name: &HeaderName, value: Option<HeaderValue>) {
        if *name == SIGN_IN_WITH_X {
            self.sign_in = value.or_else(|| self.sign_in.take());
        } else if *name == X_SIWX_ACCOUNT {
            self.account = value.or_else(|| self.account.take());
        }
    }

    /// The fields that it was.
    pub(crate) fn into_fields(self) -> HeaderMap {
        let [origin, site] = self.page;
        let fields = [
            (AUTHORIZATION, self.authorization),
            (COOKIE, self.cookie),
            (SIGN_IN_WITH_X, self.sign_in),
            (X_SIWX_ACCOUNT, self.account),
            (ORIGIN, origin),
            (SEC_FETCH_SITE, site),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
