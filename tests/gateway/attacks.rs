//! Hostile bytes on the listener, by the rows of hardening.md section 1. Whatever the answer, nothing that was not let in
//! reaches the upstream, and who behaves is served meanwhile.

mod framing;
mod http2;
mod limits;
