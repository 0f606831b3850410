//! What a request says of its way: `Via`, and the trace it is part of.

use http::{HeaderMap, HeaderName, header::VIA};

/// The name of ours in `Via`.
const OUR_NAME: &[u8] = b"siwx-gateway";

/// A request that came through here so often goes in circles (hardening.md section 4).
const PASSES_MAX: usize = 3;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Whether a name is one of the trace context's (W3C Trace Context section 3).
pub(super) fn is_of_trace(name: &str) -> bool {
    name == TRACEPARENT.as_str() || name == TRACESTATE.as_str()
}

/// Takes a trace out that cannot be one, and what belongs to it: an upstream would continue it, or trip over it.
pub(super) fn keep_trace(headers: &mut HeaderMap) {
    let mut parents = headers.get_all(&TRACEPARENT).iter();
    let good = parents.next().is_some_and(|parent| parents.next().is_none() && is_parent(parent.as_bytes()));
    if !good {
        headers.remove(&TRACEPARENT);
        headers.remove(&TRACESTATE);
    }
}

/// Whether a text is a `traceparent` (W3C Trace Context section 3.2): version, ids that are not all zeros, flags. A
/// later version may say more behind them.
fn is_parent(text: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &[u8]| hex(part) && part.iter().any(|byte| *byte != b'0');
    let (&[v0, v1, b'-', ref rest @ ..], false) = (text, text.starts_with(b"ff")) else {
        return false;
    };
    let Some((ids, after)) = rest.split_at_checked(52) else {
        return false;
    };
    let parts =
        hex(&[v0, v1]) && id(&ids[..32]) && ids[32] == b'-' && id(&ids[33..49]) && ids[49] == b'-' && hex(&ids[50..]);
    parts && (after.is_empty() || ([v0, v1] != *b"00" && after[0] == b'-'))
}

/// Whether a request went through gateways of our name too often already.
pub(crate) fn holds_our_name_too_often(headers: &HeaderMap) -> bool {
    let elements = headers.get_all(VIA).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    // Protocol, blanks, name, and perhaps a comment (RFC 9110 section 7.6.3).
    let names =
        elements.filter_map(|element| element.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1));
    names.filter(|name| name.eq_ignore_ascii_case(OUR_NAME)).count() >= PASSES_MAX
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_trace_is_kept_if_it_is_one() {
        let good = [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-will-be",
        ];
        let bad = [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ];
        for (texts, kept) in [(good.as_slice(), true), (bad.as_slice(), false)] {
            for text in texts {
                let mut headers = HeaderMap::new();
                headers.insert(TRACEPARENT, HeaderValue::from_static(text));
                headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
                keep_trace(&mut headers);
                assert_eq!(
                    (headers.contains_key(TRACEPARENT), headers.contains_key(TRACESTATE)),
                    (kept, kept),
                    "{text}"
                );
            }
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(good[0]));
        headers.append(TRACEPARENT, HeaderValue::from_static(good[1]));
        keep_trace(&mut headers);
        assert!(headers.is_empty(), "of two, neither");
    }

    #[test]
    fn a_request_that_goes_in_circles_is_known() {
        let rows: &[(&str, &[&str], bool)] = &[
            ("none", &[], false),
            ("others", &["1.1 nginx, 1.1 nginx, 1.1 nginx, 1.1 nginx"], false),
            ("twice", &["1.1 siwx-gateway, 2 siwx-gateway"], false),
            ("three times", &["1.1 siwx-gateway, 1.1 nginx, 2 SIWX-Gateway (edge), HTTP/1.1 siwx-gateway"], true),
            ("in three fields", &["1.1 siwx-gateway", "1.1 siwx-gateway", "1.1 siwx-gateway"], true),
            ("with tabs and more blanks", &["1.1  siwx-gateway,\t1.1\tsiwx-gateway , 1.1 \t siwx-gateway"], true),
            ("in a comment", &["1.1 a (siwx-gateway), 1.1 b (siwx-gateway), 1.1 c (siwx-gateway)"], false),
            ("part of a name", &["1.1 siwx-gateway2, 1.1 siwx-gateway3, 1.1 siwx-gateway.example"], false),
        ];
        for (name, values, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(VIA, HeaderValue::from_static(value));
            }
            assert_eq!(holds_our_name_too_often(&headers), *expected, "{name}");
        }
    }
}
