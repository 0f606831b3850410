//! The session's cookie: how it is given to a browser, and how it is taken away (sessions.md section 2.3).
//!
//! 1. It is for no script (`HttpOnly`), and over TLS it is `Secure`. What it holds is an id or a token of ours: no
//!    character that a cookie would have to escape.
//! 2. It is removed with the attributes it was set with. A browser takes a cookie with another domain, path or partition
//!    for another cookie, and would go on sending the first one.
//! 3. `Max-Age` is the rest of the session's life, so that a browser forgets it when we do.

use http::HeaderValue;

use crate::gate::settings::{CookieSettings, SameSite};

/// The field that gives a browser this value for so long.
pub(super) fn given(cookie: &CookieSettings, value: &str, max_age_secs: u64) -> Option<HeaderValue> {
    let mut field = HeaderValue::try_from(written(cookie, value, max_age_secs)).ok()?;
    field.set_sensitive(true);
    Some(field)
}

/// The field that takes it away.
pub(super) fn removed(cookie: &CookieSettings) -> Option<HeaderValue> {
    HeaderValue::try_from(written(cookie, "", 0)).ok()
}

fn written(cookie: &CookieSettings, value: &str, max_age_secs: u64) -> String {
    let CookieSettings { name, domain, secure, same_site } = cookie;
    let domain = domain.as_ref().map(|domain| format!("; Domain={domain}")).unwrap_or_default();
    let secure = if *secure { "; Secure" } else { "" };
    let same_site = match same_site {
        SameSite::Lax => "; SameSite=Lax",
        // A page of another site gets a cookie jar of its own: what it holds is no way to recognise people elsewhere.
        SameSite::None => "; SameSite=None; Partitioned",
        SameSite::Strict => "; SameSite=Strict",
    };
    format!("{name}={value}; Path=/{domain}{secure}; HttpOnly{same_site}; Max-Age={max_age_secs}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(name: &str, domain: Option<&str>, secure: bool, same_site: SameSite) -> CookieSettings {
        CookieSettings { name: name.to_owned(), domain: domain.map(str::to_owned), secure, same_site }
    }

    #[test]
    fn a_cookie_is_removed_with_the_attributes_it_was_given_with() {
        let rows = [
            (
                "the usual one",
                cookie("__Host-siwx", None, true, SameSite::Lax),
                "__Host-siwx=siwxs_x; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60",
            ),
            (
                "of a dapp on another site",
                cookie("__Host-siwx", None, true, SameSite::None),
                "__Host-siwx=siwxs_x; Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=60",
            ),
            (
                "of a domain",
                cookie("__Secure-siwx", Some("example.com"), true, SameSite::Strict),
                "__Secure-siwx=siwxs_x; Path=/; Domain=example.com; Secure; HttpOnly; SameSite=Strict; Max-Age=60",
            ),
            (
                "on loopback without TLS",
                cookie("siwx", None, false, SameSite::Lax),
                "siwx=siwxs_x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60",
            ),
        ];
        for (name, cookie, expected) in rows {
            let set = given(&cookie, "siwxs_x", 60).expect(name);
            assert_eq!(set, expected, "{name}");
            assert!(set.is_sensitive(), "{name}");
            let gone = expected.replace("siwxs_x", "").replace("Max-Age=60", "Max-Age=0");
            assert_eq!(removed(&cookie).expect(name), gone, "{name}");
        }
    }

    #[test]
    fn what_would_end_the_field_is_not_given() {
        assert_eq!(given(&cookie("siwx", None, false, SameSite::Lax), "a\r\nSet-Cookie: b", 60), None);
    }
}
