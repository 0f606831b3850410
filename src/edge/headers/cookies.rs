//! Cookies on their way through: joined as HTTP/1.1 knows them, and without ours in either direction.

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, Entry, SET_COOKIE},
};

use crate::credential::Cookie;

/// HTTP/2 lets a client send a cookie in pieces; HTTP/1.1 knows one field (RFC 9113 §8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// Takes a cookie out of the one field that there is, and the field with the last of them; gives the field as it was, if
/// the cookie was in it.
pub(super) fn remove_cookie(headers: &mut HeaderMap, cookie: &Cookie) -> Option<HeaderValue> {
    let field = headers.get(COOKIE)?;
    let pairs = || field.as_bytes().split(|b| *b == b';');
    if !pairs().any(|pair| cookie.is_ours(pair)) {
        return None;
    }
    let mut kept = Vec::with_capacity(field.len());
    for pair in pairs().filter(|pair| !cookie.is_ours(pair)).map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()) {
        if !kept.is_empty() {
            kept.extend_from_slice(b"; ");
        }
        kept.extend_from_slice(pair);
    }
    // Parts of a field value are one; and if they were not, nothing of it goes on.
    match HeaderValue::from_bytes(&kept) {
        Ok(kept) if !kept.is_empty() => headers.insert(COOKIE, kept),
        _ => headers.remove(COOKIE),
    }
}

/// Keeps an upstream from setting our cookie, or ending it.
pub(super) fn keep_cookie(headers: &mut HeaderMap, cookie: &Cookie) {
    let is_ours = |value: &HeaderValue| {
        let pair = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
        cookie.is_ours(pair)
    };
    let Entry::Occupied(found) = headers.entry(SET_COOKIE) else {
        return;
    };
    if !found.iter().any(is_ours) {
        return;
    }
    let (_, values) = found.remove_entry_mult();
    let kept: Vec<_> = values.filter(|value| !is_ours(value)).collect();
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}
