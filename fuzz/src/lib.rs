//! What must hold of input that strangers write, whatever they write. libFuzzer looks for bytes for which it does not
//! (`fuzz/run`); `tests/corpus.rs` holds the bytes that it found, and the seeds, to the same.
//!
//! A target is a function of bytes that panics where something does not hold. It asks for more than that nothing
//! panics: one reading of each input, verdicts that agree with each other, refusals that are fit to be shown. Nothing
//! here opens a file or a socket, or looks at a clock.

pub mod config;
pub mod credential;
pub mod frames;
pub mod head;
pub mod json;
pub mod message;
pub mod payment;
pub mod proxy;
#[path = "../../tests/paths/readings.rs"]
mod readings;
pub mod sign_in;
pub mod sign_in_with_x;
pub mod signature;
pub mod source;
pub mod target;
pub mod token;

/// A target, and what it is called: so are its binary and the folder of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("config", config::judge),
    ("credential", credential::judge),
    ("frames", frames::judge),
    ("head", head::judge),
    ("json", json::judge),
    ("message", message::judge),
    ("payment", payment::judge),
    ("proxy", proxy::judge),
    ("sign_in", sign_in::judge),
    ("sign_in_with_x", sign_in_with_x::judge),
    ("signature", signature::judge),
    ("source", source::judge),
    ("target", target::judge),
    ("token", token::judge),
];

/// Bytes of a sentence at most: it goes into a header, a body and a line of the log.
const SENTENCE_BYTES_MAX: usize = 2048;

/// A sentence about input shows a piece of it at most, and nothing that a terminal, a log or a header would obey.
fn is_fit_to_show(sentence: &str) {
    assert!(!sentence.is_empty() && sentence.len() <= SENTENCE_BYTES_MAX, "{} bytes: {sentence}", sentence.len());
    assert!(!sentence.contains(char::is_control), "{sentence:?}");
}
