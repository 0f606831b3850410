//! Headers of the PROXY protocol.

use siwx_gateway::edge::proxy_protocol::{HEADER_MAX, Header, HeaderError, Versions, parse};

/// However the bytes arrive in pieces, they have one reading, and it does not go past the header.
pub fn judge(bytes: &[u8]) {
    for versions in [Versions::Any, Versions::V1, Versions::V2] {
        let outcome = parse(bytes, versions);
        match outcome {
            Ok(Some(header)) => judge_header(bytes, versions, header),
            Ok(None) => assert!(bytes.len() < HEADER_MAX, "waits for more than is read"),
            Err(_) => {}
        }
        // Longer inputs are cut where it matters: at their beginning.
        for cut in (0..bytes.len()).take(300) {
            let earlier = parse(&bytes[..cut], versions);
            let same = earlier == Ok(None) || earlier == outcome || both_refused(&earlier, &outcome);
            assert!(same, "{earlier:?} after {cut} bytes, then {outcome:?}");
        }
    }
}

fn both_refused(one: &Result<Option<Header>, HeaderError>, other: &Result<Option<Header>, HeaderError>) -> bool {
    one.is_err() && other.is_err()
}

fn judge_header(bytes: &[u8], versions: Versions, header: Header) {
    assert!(header.length <= bytes.len().min(HEADER_MAX));
    assert_eq!(parse(&bytes[..header.length], versions), Ok(Some(header)));
    assert_eq!(parse(&bytes[..header.length - 1], versions), Ok(None), "a header ends where it says");
}
