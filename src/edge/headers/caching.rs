//! What caches are told of an answer that was for one wallet (hardening.md row U9).

use http::{HeaderMap, HeaderValue, header::CACHE_CONTROL};

/// `private` in place of whatever in `Cache-Control` would let a shared cache keep an answer (hardening.md row U9).
/// `no-store` and `private` are stricter, or the same, and stay.
pub(super) fn make_private(headers: &mut HeaderMap) {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let directives: Vec<&str> = values.flat_map(|value| directives(value.to_str().unwrap_or(""))).collect();
    let named = |directive: &str, name: &str| {
        let (word, _) = directive.split_once('=').unwrap_or((directive, ""));
        word.trim().eq_ignore_ascii_case(name)
    };
    let kept: Vec<&str> = directives
        .into_iter()
        // `private="field"` allows the rest of an answer to be kept, so it is not enough.
        .filter(|directive| {
            !["public", "s-maxage", "private", "proxy-revalidate"].iter().any(|name| named(directive, name))
        })
        .chain(std::iter::once("private"))
        .collect();
    if let Ok(value) = HeaderValue::try_from(kept.join(", ")) {
        headers.insert(CACHE_CONTROL, value);
    }
}

/// Fields that speak to shared caches alone, which obey them in place of `Cache-Control` (RFC 9213 §2.2).
pub(super) fn is_for_shared_caches(name: &str) -> bool {
    matches!(name, "surrogate-control" | "edge-control") || name.ends_with("cdn-cache-control")
}

/// The directives of one `Cache-Control` field. A comma within quotes ends none; of a field whose quotes do not close
/// nothing is kept, since what follows it would be read as part of it.
fn directives(field: &str) -> Vec<&str> {
    let (mut found, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in field.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                found.push(field[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    if quoted {
        return Vec::new();
    }
    found.push(field[from..].trim());
    found.retain(|directive| !directive.is_empty());
    found
}
