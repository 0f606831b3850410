//! Between the socket and hyper: what a client's bytes must be before hyper reads them.
//!
//! hyper reads HTTP/1 generously in places, answers some faults without a body of ours and drops what follows a `#`.
//! So an adapter around the stream judges every request head as bytes, first and later ones alike, and follows the
//! bodies between them. It never repairs: it passes bytes on as they came, or refuses.
//!
//! | file | what |
//! |---|---|
//! | `head` | one head of HTTP/1: pure |
//! | `framing` | where heads and bodies of HTTP/1 begin and end: pure |
//! | `frames` | the frames of HTTP/2, counted: pure |
//! | `http1`, `http2` | the adapters |
//! | `told` | what an adapter tells the rest of its connection, and the deadline of a head |
//! | `stall` | clients that do not read what they are sent |
//!
//! 1. A head that is refused is not seen by hyper. It is handed a request in its place, and whoever serves that finds
//!    the fault beside it, so that the answer is one of ours, in its turn, and is counted and logged as any other.
//! 2. Nothing after a refused head is read as a request. The connection closes; what still comes is dropped, up to
//!    64 KiB or a second, so that the client can read the answer.
//! 3. A request that hyper presents and no adapter has judged is refused: if the two ever read the same bytes in two
//!    ways, that is where it ends.

pub mod frames;
pub mod framing;
pub mod head;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod stall;
pub(crate) mod told;
