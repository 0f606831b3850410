//! The forms of EVM signatures.
//!
//! 1. Hex alone, either letter case. `0x` may be missing before 128 or 130 digits; `0X`, white space and an
//!    odd number of digits are refused.
//! 2. 64 and 65 bytes may be a key's, as [`recovery`](crate::chain::recovery) reads them. Whatever else has a form is a
//!    contract's to take.

use super::address::decode_hex;
use crate::chain::{
    Accepts, Scheme, SignatureError,
    recovery::{Recoverable, Signer},
};

/// Whom a signature is wrapped for, by what its last 32 bytes repeat 16 times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapper {
    /// For a contract that is not deployed yet.
    Erc6492,
    /// For an account that is not delegated yet.
    Erc8010,
}

/// A signature by its length.
pub(super) enum Signature {
    /// 65 or 64 bytes, which a key may have made.
    Key(Recoverable),
    /// Any other length: only a contract could make sense of it.
    Contract(Vec<u8>),
}

impl Signature {
    /// Reads the text of a signature.
    pub(super) fn read(text: &str) -> Result<Self, SignatureError> {
        if let Some(signature) = Recoverable::read(text) {
            return Ok(Self::Key(signature));
        }
        let digits = text.strip_prefix("0x").ok_or(SignatureError::MalformedSignature)?;
        let mut bytes = vec![0; digits.len() / 2];
        let hex = digits.len() % 2 == 0 && decode_hex(digits.as_bytes(), &mut bytes);
        hex.then_some(Self::Contract(bytes)).ok_or(SignatureError::MalformedSignature)
    }

    /// The account whose key made this signature of a digest, as [`Recoverable::signer`] finds it.
    pub(super) fn signer(&self, digest: &[u8; 32], known: Option<&Signer>) -> Result<Signer, SignatureError> {
        match self {
            Self::Key(signature) => signature.signer(digest, known),
            Self::Contract(_) => Err(SignatureError::RpcNotConfigured),
        }
    }

    /// Whether the form is one that only a contract could take, whatever the recovery said.
    pub(super) fn asks_contract(&self) -> bool {
        matches!(self, Self::Contract(_)) || self.wrapper().is_some()
    }

    /// In which scheme a contract is to be asked about it, if those that are accepted have one for its form.
    pub(super) fn contract_scheme(&self, accepts: &Accepts) -> Result<Option<Scheme>, SignatureError> {
        match self.wrapper() {
            None => Ok(accepts.eip1271.then_some(Scheme::Eip1271)),
            Some(Wrapper::Erc6492) => Ok(accepts.eip6492.then_some(Scheme::Eip6492)),
            Some(Wrapper::Erc8010) if accepts.eip1271 || accepts.eip6492 => Err(SignatureError::Erc8010Unsupported),
            Some(Wrapper::Erc8010) => Ok(None),
        }
    }

    /// Its bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Key(signature) => signature.as_bytes().to_vec(),
            Self::Contract(bytes) => bytes,
        }
    }

    fn wrapper(&self) -> Option<Wrapper> {
        Wrapper::of(match self {
            Self::Key(signature) => signature.as_bytes(),
            Self::Contract(bytes) => bytes,
        })
    }
}

impl Wrapper {
    /// Whom a signature of these bytes is wrapped for, if it is.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (pairs, _) = bytes.last_chunk::<32>()?.as_chunks::<2>();
        let all = |magic: [u8; 2]| pairs.iter().all(|pair| *pair == magic);
        match pairs[0] {
            [0x64, 0x92] if all([0x64, 0x92]) => Some(Self::Erc6492),
            [0x80, 0x10] if all([0x80, 0x10]) => Some(Self::Erc8010),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of a text, by name, or why it has none.
    fn form(text: &str) -> Result<&'static str, SignatureError> {
        Signature::read(text).map(|signature| match signature {
            Signature::Key(Recoverable::Full(_)) => "full",
            Signature::Key(Recoverable::Compact(_)) => "compact",
            Signature::Contract(_) => "contract",
        })
    }

    #[test]
    fn forms_by_length() {
        let malformed = Err(SignatureError::MalformedSignature);
        let rows = [
            (0, Ok("contract"), malformed),
            (2, Ok("contract"), malformed),
            (126, Ok("contract"), malformed),
            (127, malformed, malformed),
            (128, Ok("compact"), Ok("compact")),
            (129, malformed, malformed),
            (130, Ok("full"), Ok("full")),
            (131, malformed, malformed),
            (132, Ok("contract"), malformed),
            (8192, Ok("contract"), malformed),
        ];
        for (digits, prefixed, bare) in rows {
            let hex = "aB".repeat(digits).split_off(digits);
            assert_eq!(form(&format!("0x{hex}")), prefixed, "0x and {digits} digits");
            assert_eq!(form(&hex), bare, "{digits} digits");
            assert_eq!(form(&format!("0X{hex}")), malformed, "0X and {digits} digits");
        }
        assert_eq!(form(&format!("0x{}", "zz".repeat(66))), malformed, "not hex");
    }

    #[test]
    fn wrapped_forms_ask_a_contract() {
        let rows = [
            ("ERC-6492", "6492".repeat(16), true),
            ("ERC-8010", "8010".repeat(16), true),
            ("one byte off", format!("{}93", &"6492".repeat(16)[..62]), false),
            ("both mixed", "64928010".repeat(8), false),
        ];
        for (name, suffix, expected) in rows {
            for start in ["00".repeat(32), "00".repeat(33)] {
                let signature = Signature::read(&format!("0x{start}{suffix}")).expect(name);
                assert_eq!(signature.asks_contract(), expected, "{name} after {} digits", start.len());
            }
        }
    }
}
