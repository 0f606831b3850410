//! Whether a page may change something on the strength of its visitor's cookie (sessions.md section 2.3, hardening.md
//! row C32).
//!
//! A browser sends cookies with what any page asks for, and says which page that was in fields that no page can write.
//!
//! 1. `Origin` decides where it is there: one of those that are listed, or the gateway's own. `null` is nobody's.
//! 2. Without it `Sec-Fetch-Site` does: from the gateway's own pages, or from no page at all.
//! 3. Without either nobody can tell, and it is refused: what sends neither is no browser, and can send a bearer.

use http::Method;

use crate::siwx::origin::Origin;

/// What a browser says of the page that asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page<'r> {
    /// `Origin`, as received.
    pub origin: Option<&'r [u8]>,
    /// `Sec-Fetch-Site`, as received.
    pub fetch_site: Option<&'r [u8]>,
}

/// Whether this page may change something. `allowed` are the origins of the gateway and those that are listed beside them.
pub fn may_change(page: &Page<'_>, allowed: &[Origin]) -> bool {
    match (page.origin, page.fetch_site) {
        (Some(origin), _) => is_listed(origin, allowed),
        (None, Some(site)) => matches!(site, b"same-origin" | b"none"),
        (None, None) => false,
    }
}

/// Whether an `Origin` field names one of these, in the one spelling that browsers have for it.
pub fn is_listed(origin: &[u8], allowed: &[Origin]) -> bool {
    allowed.iter().any(|listed| listed.as_str().as_bytes() == origin)
}

/// Whether a method changes nothing by its definition (RFC 9110 section 9.2.1).
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_may_change_something() {
        let allowed = ["https://api.example.com", "https://app.example.com", "http://localhost:3000"];
        let allowed = allowed.map(|origin| Origin::parse(origin).expect("an origin"));
        type Row<'t> = (&'t str, Option<&'t str>, Option<&'t str>, bool);
        let rows: &[Row<'_>] = &[
            ("the gateway's own page", Some("https://api.example.com"), Some("same-origin"), true),
            ("a listed page", Some("https://app.example.com"), Some("same-site"), true),
            ("a listed page of another site", Some("http://localhost:3000"), Some("cross-site"), true),
            ("another page", Some("https://evil.example"), Some("cross-site"), false),
            ("another page that says it is ours", Some("https://evil.example"), Some("same-origin"), false),
            ("a page of no origin", Some("null"), Some("same-origin"), false),
            ("an empty origin", Some(""), Some("none"), false),
            ("another scheme", Some("http://api.example.com"), None, false),
            ("another port", Some("https://api.example.com:8443"), None, false),
            ("the port spelled out", Some("https://api.example.com:443"), None, false),
            ("another case", Some("https://API.example.com"), None, false),
            ("a path", Some("https://api.example.com/"), None, false),
            ("a beginning", Some("https://api.example.com.evil.example"), None, false),
            ("no origin, from our own page", None, Some("same-origin"), true),
            ("no origin, typed in", None, Some("none"), true),
            ("no origin, from a sibling", None, Some("same-site"), false),
            ("no origin, from elsewhere", None, Some("cross-site"), false),
            ("no origin, in another case", None, Some("None"), false),
            ("neither", None, None, false),
        ];
        for (name, origin, fetch_site, expected) in rows {
            let page = Page { origin: origin.map(str::as_bytes), fetch_site: fetch_site.map(str::as_bytes) };
            assert_eq!(may_change(&page, &allowed), *expected, "{name}");
        }
    }

    #[test]
    fn methods_that_change_nothing() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            assert!(is_safe(&method), "{method}");
        }
        let own = Method::from_bytes(b"get").expect("a method");
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::CONNECT, own] {
            assert!(!is_safe(&method), "{method}");
        }
    }
}
