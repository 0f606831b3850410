//! Why a text is no key: what it is instead, as far as its first and last lines and its algorithm tell.
//!
//! Whoever configures a key is told what they took for one. Nothing of the text itself is in the answer: it may hold
//! another key.

use std::fmt;

use data_encoding::BASE64;

use super::Algorithm;

/// Bytes of PEM that are read at most; a key has 300.
const PEM_BYTES_MAX: usize = 16 * 1024;

/// What stands before and after the word for what PEM holds (RFC 7468 section 3).
const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// The algorithms that keys are made for, as their object identifiers are written in DER.
const IDENTIFIERS: [(&[u8], &str); 9] = [
    (&[0x06, 0x03, 0x2b, 0x65, 0x70], "Ed25519"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x71], "Ed448"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x6e], "X25519"),
    (&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], "P-256"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22], "P-384"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], "P-521"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a], "secp256k1"),
    (&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], "RSA"),
    (&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01], "DSA"),
];

/// Where the identifiers of a key begin at the latest: before them is a length and a version.
const IDENTIFIERS_END: usize = 40;

/// What a text is that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PemFault {
    /// A key of another algorithm.
    Algorithm(&'static str),
    /// PEM that breaks off, or holds what is no key.
    Damaged,
    /// PEM of something else.
    Holds(&'static str),
    /// No PEM at all.
    NoPem,
    /// More than any key has.
    TooLong,
}

impl fmt::Display for PemFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm(name) => write!(f, "a key of {name}"),
            Self::Damaged => f.write_str("PEM that breaks off or is damaged"),
            Self::Holds(what) => f.write_str(what),
            Self::NoPem => f.write_str("no line `-----BEGIN PRIVATE KEY-----`"),
            Self::TooLong => write!(f, "more than {PEM_BYTES_MAX} bytes"),
        }
    }
}

/// The text that may be a key, without what stands around it.
pub(super) fn bounded(pem: &str) -> Result<&str, PemFault> {
    Some(pem.trim()).filter(|pem| pem.len() <= PEM_BYTES_MAX).ok_or(PemFault::TooLong)
}

/// What is wrong with a text that is no key of this algorithm.
pub(super) fn fault(pem: &str, wanted: Algorithm) -> PemFault {
    let Some((label, rest)) = pem.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(DASHES)) else {
        return PemFault::NoPem;
    };
    match label {
        "PRIVATE KEY" => {}
        "CERTIFICATE" => return PemFault::Holds("a certificate"),
        "PUBLIC KEY" | "EC PUBLIC KEY" | "RSA PUBLIC KEY" => return PemFault::Holds("a public key"),
        "ENCRYPTED PRIVATE KEY" => return PemFault::Holds("a key that a password protects"),
        "OPENSSH PRIVATE KEY" => return PemFault::Holds("a key in the form of OpenSSH"),
        "EC PRIVATE KEY" => return PemFault::Holds("a key in the form of SEC 1, which `openssl pkcs8 -topk8` changes"),
        "RSA PRIVATE KEY" => return PemFault::Algorithm("RSA"),
        _ => return PemFault::Holds("PEM of something else"),
    }
    let Some((body, _)) = rest.split_once("-----END PRIVATE KEY-----") else {
        return PemFault::Damaged;
    };
    let body: String = body.split_ascii_whitespace().collect();
    let Ok(der) = BASE64.decode(body.as_bytes()) else {
        return PemFault::Damaged;
    };
    let head = der.get(..IDENTIFIERS_END).unwrap_or(&der);
    let is_in = |identifier: &[u8]| head.windows(identifier.len()).any(|bytes| bytes == identifier);
    match IDENTIFIERS.iter().find(|(identifier, _)| is_in(identifier)) {
        Some((_, name)) if *name != wanted.curve() => PemFault::Algorithm(name),
        _ => PemFault::Damaged,
    }
}
