//! Signatures of Bitcoin accounts, on the main network and on the test networks (BIP-137 and BIP-322).
//!
//! 1. The address is of the network that the chain is, and the chain is one whose network is known.
//! 2. The signature is standard base64 with its padding. 65 bytes of which the first is from 27 to 42 are of the old
//!    form, from which the key is recovered; everything else is a witness, the simple form of BIP-322, which may have
//!    `smp` before it, once and in lower case. No text can be both.
//! 3. What only a script interpreter could judge is refused as inconclusive: P2WSH, unknown witness programs, and the
//!    full and proof-of-funds forms (`ful`, `pof`), which no wallet sends to sign in.
//! 4. There is one spelling of each signature but for the prefix and the header: no trailing bytes, strict DER, low s.
//!
//! Own code, because the crate for BIP-322 brings a second C library of the curve and does not look at trailing bytes.

pub mod address;
mod bip137;
mod bip322;
pub mod hash;
pub mod taproot;
pub mod transaction;

use data_encoding::BASE64;

use self::address::Network;
use super::{Accepts, Chain, Outcome, Scheme, SignatureError, Signed};

/// What stands before a signature in the simple form of BIP-322, since its version 1.0; wallets of today leave it out.
pub const SIMPLE_PREFIX: &str = "smp";

/// What stands before the other forms: the whole transaction, and one that spends coins as well.
const OTHER_PREFIXES: [&str; 2] = ["ful", "pof"];

/// The first bytes of signatures in the old form.
const HEADERS: std::ops::RangeInclusive<u8> = 27..=42;

/// The chains of namespace `bip122`.
#[derive(Debug)]
pub struct Bip122;

impl Chain for Bip122 {
    fn namespace(&self) -> &'static str {
        "bip122"
    }

    fn schemes(&self) -> &'static [Scheme] {
        &[Scheme::Bip137, Scheme::Bip322]
    }

    fn verify(&self, signed: &Signed<'_>, _accepts: &Accepts) -> Result<Outcome, SignatureError> {
        scheme_of(signed).map(Outcome::Valid)
    }
}

/// Which scheme the signature is good in.
fn scheme_of(signed: &Signed<'_>) -> Result<Scheme, SignatureError> {
    let network = Network::of_chain(signed.chain.reference()).ok_or(SignatureError::MalformedAddress)?;
    let address = address::parse(signed.address).map_err(|_| SignatureError::MalformedAddress)?;
    if !address.is_of(network) {
        return Err(SignatureError::MalformedAddress);
    }
    if OTHER_PREFIXES.iter().any(|prefix| signed.signature.starts_with(prefix)) {
        return Err(SignatureError::Inconclusive);
    }
    // In base64 these letters would be a first byte of 178, which is neither a header nor a number of items.
    let (digits, prefixed) = match signed.signature.strip_prefix(SIMPLE_PREFIX) {
        Some(digits) => (digits, true),
        None => (signed.signature, false),
    };
    let bytes = BASE64.decode(digits.as_bytes()).map_err(|_| SignatureError::MalformedSignature)?;
    // The decoder takes padding in the middle as well, as if one text followed another.
    if BASE64.encode(&bytes) != digits {
        return Err(SignatureError::MalformedSignature);
    }
    match <&[u8; 65]>::try_from(&bytes[..]) {
        Ok(bytes) if !prefixed && HEADERS.contains(&bytes[0]) => {
            bip137::verify(&address.lock, signed.text, bytes).map(|()| Scheme::Bip137)
        }
        _ => bip322::verify(&address.lock, signed.text, &bytes).map(|()| Scheme::Bip322),
    }
}
