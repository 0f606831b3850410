//! What most requests lack is looked for once, by a walk over the few names that are there.

use http::{
    HeaderMap, HeaderValue,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, TE, TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

use super::trace::is_of_trace;
use crate::edge::wire::head::VALUE_BYTES;

/// Which of the fields with a meaning to us a request has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) authorization: bool,
    pub(crate) connection: bool,
    pub(crate) cookie: bool,
    pub(crate) expect: bool,
    /// It is a call of gRPC.
    pub(crate) grpc: bool,
    /// It says how long its body is, and says it again.
    pub(crate) length: bool,
    pub(crate) second_length: bool,
    /// A value is longer than any may be. HTTP/1 does not come so far with one.
    pub(crate) long_value: bool,
    pub(crate) te: bool,
    pub(crate) trace: bool,
    pub(crate) transfer_encoding: bool,
    pub(crate) upgrade: bool,
    pub(crate) via: bool,
}

/// What a stream of events says it is.
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// What a call of gRPC says it is, and perhaps more behind it. Types have no letter case (RFC 9110 §8.3.1).
const GRPC: &[u8] = b"application/grpc";

/// Whether a content type is that of a stream of events, whatever its letter case and parameters (RFC 9110 §8.3.1).
pub(super) fn is_event_stream(value: &HeaderValue) -> bool {
    let (name, rest) = value.as_bytes().split_at_checked(EVENT_STREAM.len()).unwrap_or_default();
    name.eq_ignore_ascii_case(EVENT_STREAM) && matches!(rest.trim_ascii_start(), [] | [b';', ..])
}

/// Whether a content type is that of gRPC.
pub(super) fn is_grpc(value: &HeaderValue) -> bool {
    let (name, rest) = value.as_bytes().split_at_checked(GRPC.len()).unwrap_or_default();
    name.eq_ignore_ascii_case(GRPC) && matches!(rest, [] | [b'+' | b';' | b' ' | b'\t', ..])
}

// === impl Seen ===

impl Seen {
    /// Looks at the names of a request's fields.
    pub(crate) fn among(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            seen.long_value |= value.len() > VALUE_BYTES;
            match *name {
                AUTHORIZATION => seen.authorization = true,
                CONNECTION => seen.connection = true,
                CONTENT_LENGTH => (seen.length, seen.second_length) = (true, seen.length),
                CONTENT_TYPE => seen.grpc |= is_grpc(value),
                COOKIE => seen.cookie = true,
                EXPECT => seen.expect = true,
                TE => seen.te = true,
                TRANSFER_ENCODING => seen.transfer_encoding = true,
                UPGRADE => seen.upgrade = true,
                VIA => seen.via = true,
                ref name => seen.trace |= is_of_trace(name.as_str()),
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_grpc_are_known_in_any_letter_case() {
        let rows = [
            ("application/grpc", true),
            ("Application/gRPC", true),
            ("application/grpc+proto", true),
            ("application/grpc; a=b", true),
            ("application/grpc ;a=b", true),
            ("application/grpc-web", false),
            ("application/grp", false),
            ("", false),
        ];
        for (value, expected) in rows {
            assert_eq!(is_grpc(&HeaderValue::from_static(value)), expected, "{value}");
        }
    }
}
