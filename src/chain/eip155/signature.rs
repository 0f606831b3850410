//! Reads an EVM signature and recovers who made it.
//!
//! 1. Hex alone, either letter case. `0x` may be missing before 128 or 130 digits; `0X`, white space and an
//!    odd number of digits are refused.
//! 2. What cannot be a signature of a good account is refused before the recovery, which is what costs.
//! 3. v of recovery ids 2 and 3 and of EIP-155 are not taken: no wallet makes them for a text.

use k256::{AffinePoint, ecdsa::VerifyingKey};

use super::address::{decode_hex, of_key};
use crate::chain::{
    Accepts, Scheme, SignatureError,
    secp256k1::{self, made_by, recovered},
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
    /// `r ‖ s ‖ v`.
    Full([u8; 65]),
    /// `r ‖ (parity << 255 | s)` (EIP-2098).
    Compact([u8; 64]),
    /// Any other length: only a contract could make sense of it.
    Contract(Vec<u8>),
}

/// A key that made a signature, and the account it is the key of.
#[derive(Debug, Clone)]
pub(in crate::chain) struct Signer {
    pub(in crate::chain) account: [u8; 20],
    key: AffinePoint,
}

impl Signature {
    /// Reads the text of a signature.
    pub(super) fn read(text: &str) -> Result<Self, SignatureError> {
        let (digits, prefixed) = match text.strip_prefix("0x") {
            Some(digits) => (digits.as_bytes(), true),
            None => (text.as_bytes(), false),
        };
        let form = match digits.len() {
            130 => decoded(digits).map(Self::Full),
            128 => decoded(digits).map(Self::Compact),
            length => {
                let mut bytes = vec![0; length / 2];
                let hex = prefixed && length % 2 == 0 && decode_hex(digits, &mut bytes);
                hex.then_some(Self::Contract(bytes))
            }
        };
        form.ok_or(SignatureError::MalformedSignature)
    }

    /// The account whose key made this signature of a digest. `known` is the key of an account that may have made it:
    /// if it did, this takes less.
    pub(super) fn signer(&self, digest: &[u8; 32], known: Option<&Signer>) -> Result<Signer, SignatureError> {
        let (rs, odd) = match self {
            Self::Full([rs @ .., v]) => (*rs, parity(*v).ok_or(SignatureError::MalformedSignature)?),
            Self::Compact(bytes) => {
                let mut rs = *bytes;
                let odd = rs[32] & 0x80 != 0;
                rs[32] &= 0x7f;
                (rs, odd)
            }
            Self::Contract(_) => return Err(SignatureError::RpcNotConfigured),
        };
        let signature = secp256k1::read(&rs)?;
        if let Some(known) = known.filter(|known| made_by(&known.key, digest, &signature, odd)) {
            return Ok(known.clone());
        }
        let key = recovered(digest, &signature, odd).ok_or(SignatureError::SignatureMismatch)?;
        let account = of_key(&VerifyingKey::from_affine(key).map_err(|_| SignatureError::SignatureMismatch)?);
        Ok(Signer { account, key })
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
            Self::Full(bytes) => bytes.to_vec(),
            Self::Compact(bytes) => bytes.to_vec(),
            Self::Contract(bytes) => bytes,
        }
    }

    fn wrapper(&self) -> Option<Wrapper> {
        Wrapper::of(match self {
            Self::Full(bytes) => bytes,
            Self::Compact(bytes) => bytes,
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

/// Whether y is odd, by v: 27 and 28 of `personal_sign`, 0 and 1 of hardware wallets.
const fn parity(v: u8) -> Option<bool> {
    match v {
        0 | 27 => Some(false),
        1 | 28 => Some(true),
        _ => None,
    }
}

fn decoded<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    decode_hex(digits, &mut bytes).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of a text, by name, or why it has none.
    fn form(text: &str) -> Result<&'static str, SignatureError> {
        Signature::read(text).map(|signature| match signature {
            Signature::Full(_) => "full",
            Signature::Compact(_) => "compact",
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
