//! Scripts of dapps' pages, and what they may read (sessions.md section 2.3).
//!
//! 1. An origin is reflected only if it is listed, byte for byte. There is no `*`, and `null` is nobody's origin.
//! 2. Credentials are allowed with a listed origin and with no other; on ReownAuthentication's endpoints with none, which
//!    its class sends none to.
//! 3. A preflight of a listed origin is answered 204; any other is refused, without a word that a script could read.
//! 4. Every answer says by what it differs, also to those that sent no origin: a cache in between asks nobody.

use http::{
    HeaderMap, HeaderValue,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
    },
};

use crate::{policy::cross_site, siwx::origin::Origin};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");

/// Fields that a script may send.
const REQUEST_FIELDS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-nonce-jwt, x-otp, x-siwx-account");

/// Fields that a script may read beside those that every script may.
const ANSWER_FIELDS: HeaderValue = HeaderValue::from_static("Retry-After, X-Request-Id");

/// Seconds for which a browser may remember a preflight.
const MAX_AGE_SECS: HeaderValue = HeaderValue::from_static("600");

/// Whose script may read an answer, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reader {
    origin: HeaderValue,
    credentials: bool,
}

impl Reader {
    /// The script of a request, if its origin is ours or listed. `credentials`: whether it may send what it holds.
    pub(super) fn of(origins: &[Origin], headers: &HeaderMap, credentials: bool) -> Option<Self> {
        let origin = one_origin(headers)?;
        cross_site::is_listed(origin.as_bytes(), origins).then(|| Self { origin: origin.clone(), credentials })
    }

    /// Lets it read.
    pub(super) fn allow(&self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_FIELDS);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// Says what answers differ by; `public` ones by the origin alone.
pub(super) fn vary(headers: &mut HeaderMap, public: bool) {
    let by = if public { "Origin" } else { "Origin, Cookie, Authorization" };
    headers.insert(VARY, HeaderValue::from_static(by));
}

/// What a preflight of a listed origin is told.
pub(super) fn preflight(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_FIELDS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS);
}

/// The page that sent a request, as sign-ins are judged by it; nothing: no page did, or one that does not say which.
pub(super) fn page(headers: &HeaderMap) -> Option<Origin> {
    Origin::parse(one_origin(headers)?.to_str().ok()?).ok()
}

fn one_origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut fields = headers.get_all(ORIGIN).iter();
    fields.next().filter(|_| fields.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed_origins() -> Vec<Origin> {
        let listed = ["https://api.example.com", "https://app.example.com", "http://localhost:5173"];
        listed.iter().map(|origin| Origin::parse(origin).expect("an origin")).collect()
    }

    #[test]
    fn only_a_listed_origin_is_reflected() {
        let rows: [(&str, &[&'static str], bool); 11] = [
            ("a dapp's", &["https://app.example.com"], true),
            ("another dapp's", &["http://localhost:5173"], true),
            ("our own", &["https://api.example.com"], true),
            ("a stranger's", &["https://evil.example"], false),
            ("another scheme", &["http://app.example.com"], false),
            ("another port", &["https://app.example.com:8443"], false),
            ("a longer name", &["https://app.example.com.evil.example"], false),
            ("other letters", &["https://APP.example.com"], false),
            ("nobody's", &["null"], false),
            ("two", &["https://app.example.com", "https://app.example.com"], false),
            ("none", &[], false),
        ];
        for (name, origins, listed) in rows {
            let headers: HeaderMap = origins.iter().map(|origin| (ORIGIN, HeaderValue::from_static(origin))).collect();
            let reader = Reader::of(&listed_origins(), &headers, true);
            assert_eq!(reader.is_some(), listed, "{name}");
            let mut answer = HeaderMap::new();
            if let Some(reader) = reader {
                reader.allow(&mut answer);
                assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], origins[0], "{name}");
                assert_eq!(answer[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true", "{name}");
            }
        }
    }

    #[test]
    fn without_credentials_none_are_allowed() {
        let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static("https://app.example.com"))]);
        let mut answer = HeaderMap::new();
        Reader::of(&listed_origins(), &headers, false).expect("a listed origin").allow(&mut answer);
        assert_eq!(answer.get(ACCESS_CONTROL_ALLOW_CREDENTIALS), None);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
    }
}
