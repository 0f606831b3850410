//! Tron and its test networks (namespace `tron`): TIP-191, which is the `personal_sign` of EVM chains behind a line of
//! its own.
//!
//! 1. An address is base58check of 0x41 and the 20 bytes that an EVM address of the same key has. Their spelling in
//!    hex, `41…` or `0x…`, is for contracts and is none here.
//! 2. The zero account is refused before anything else, for the reason that the [EVM's](super::eip155) is.
//! 3. A signature is 65 bytes, or 64 where the carrier takes them, by the rules of `recovery`. The line is part of what
//!    is hashed, so that none is good both here and on an EVM chain, though key and bytes are the same.
//! 4. A reference is the last four bytes of the first block's hash, `0x` and 8 digits in lower case, as wallets write
//!    it. The decimal number that CAIP-2's profile of Tron has for the same chain is read as that.
//!
//! What a chain alone could tell is not looked at: whether an account has given its permissions to other keys
//! (multi-signature), or is a contract. The key that the address was made of signs, and no other.

use super::{
    Accepts, Chain, Outcome, Scheme, SignatureError, Signed, base58check,
    recovery::{self, Recoverable},
};
use crate::siwx::dialect::AddressError;

/// CAIP-2 reference of the main network.
pub const MAINNET: &str = "0x2b6653dc";

/// What every address begins with. Test networks have the same.
const VERSION: u8 = 0x41;

/// The chains of namespace `tron`.
#[derive(Debug)]
pub struct Tron;

impl Chain for Tron {
    fn namespace(&self) -> &'static str {
        "tron"
    }

    fn schemes(&self) -> &'static [Scheme] {
        &[Scheme::Tip191]
    }

    fn verify(&self, signed: &Signed<'_>, accepts: &Accepts) -> Result<Outcome, SignatureError> {
        let account = parse(signed.address).map_err(|_| SignatureError::MalformedAddress)?;
        if account == [0; 20] {
            return Err(SignatureError::ZeroAccount);
        }
        let signature = Recoverable::read(signed.signature).ok_or(SignatureError::MalformedSignature)?;
        if matches!(signature, Recoverable::Compact(_)) && !accepts.compact {
            return Err(SignatureError::FormNotAccepted);
        }
        let signer = signature.signer(&digest(signed.text), None)?;
        if signer.account != account {
            return Err(SignatureError::SignatureMismatch);
        }
        Ok(Outcome::Valid(Scheme::Tip191))
    }
}

/// What a wallet signs for a text (TIP-191); the length counts bytes, in decimal.
pub fn digest(text: &[u8]) -> [u8; 32] {
    recovery::digest(b"\x19TRON Signed Message:\n", text)
}

/// Reads an address: its 20 bytes.
pub fn parse(text: &str) -> Result<[u8; 20], AddressError> {
    match base58check::decode(text)? {
        (VERSION, account) => Ok(account),
        _ => Err(AddressError::Form),
    }
}

/// The address of 20 bytes, which are those of an EVM address.
pub fn spelled(account: &[u8; 20]) -> String {
    base58check::encode(VERSION, account)
}

/// The canonical spelling of an address, for a `Dialect`: itself, if it is one.
pub fn canonical(text: &str) -> Result<String, AddressError> {
    parse(text).map(|_| text.to_owned())
}

/// The canonical chain reference, for a `Dialect`.
pub fn reference(text: &str) -> Option<String> {
    let Some(digits) = text.strip_prefix("0x") else {
        let decimal = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let id: u32 = if decimal { text.parse().ok()? } else { return None };
        return Some(format!("0x{id:08x}"));
    };
    let hex = digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    hex.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{caip::ChainId, chain::eip155};

    /// Of the key 1, under which these 20 bytes are known everywhere.
    const EVM: &str = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";
    const TRON: &str = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC";
    const ZERO: &str = "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb";

    fn key() -> k256::ecdsa::SigningKey {
        let mut one = [0; 32];
        one[31] = 1;
        k256::ecdsa::SigningKey::from_slice(&one).expect("a scalar")
    }

    fn signature_of(digest: &[u8; 32]) -> String {
        let (signature, id) = key().sign_prehash_recoverable(digest);
        format!("0x{}{:02x}", data_encoding::HEXLOWER.encode(&signature.to_bytes()), 27 + id.to_byte())
    }

    fn verify(chain: &str, address: &str, text: &[u8], signature: &str) -> Result<Scheme, SignatureError> {
        let chain = ChainId::parse(chain).expect("a CAIP-2 id");
        let signed = Signed { chain: &chain, address, text, domain: None, signature };
        crate::chain::verify_signature(&signed, &Accepts::default())
    }

    #[test]
    fn an_address_has_the_bytes_of_the_evm_one() {
        assert_eq!(parse(TRON), Ok(eip155::address::of_key(key().verifying_key())));
        assert_eq!(parse(TRON), eip155::address::parse(EVM));
        assert_eq!(parse(ZERO), Ok([0; 20]));
        for text in [TRON, ZERO, "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"] {
            assert_eq!(parse(text).map(|account| spelled(&account)).as_deref(), Ok(text));
            assert_eq!(canonical(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn addresses_that_are_refused() {
        let rows = [
            ("empty", "", AddressError::Form),
            ("bad base58check", "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HD", AddressError::Checksum),
            ("first letter in lower case", "tMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC", AddressError::Checksum),
            ("cut off", "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2", AddressError::Form),
            ("a Bitcoin address", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", AddressError::Form),
            ("an EVM address", EVM, AddressError::Form),
            ("hex", "417e5f4552091a69125d5dfcb7b8c2659029395bdf", AddressError::Form),
            // 0xa0, which the test networks had in the first year.
            ("the old version of test networks", "27abhp5LCcYZjKq8Ry84hpNNHLmp9Q6YVxY", AddressError::Form),
        ];
        for (name, text, expected) in rows {
            assert_eq!(parse(text), Err(expected), "{name}");
        }
    }

    #[test]
    fn references() {
        let rows = [
            ("mainnet", "0x2b6653dc", Some("0x2b6653dc")),
            ("shasta", "0x94a9059e", Some("0x94a9059e")),
            ("nile", "0xcd8690dc", Some("0xcd8690dc")),
            ("mainnet, decimal", "728126428", Some("0x2b6653dc")),
            ("shasta, decimal", "2494104990", Some("0x94a9059e")),
            ("nile, decimal", "3448148188", Some("0xcd8690dc")),
            ("a small number", "1", Some("0x00000001")),
            ("the highest", "4294967295", Some("0xffffffff")),
            ("above it", "4294967296", None),
            ("nothing", "", None),
            ("zero", "0", None),
            ("leading zero", "0728126428", None),
            ("sign", "+728126428", None),
            ("upper case", "0x2B6653DC", None),
            ("upper case prefix", "0X2b6653dc", None),
            ("seven digits", "0x2b6653d", None),
            ("nine digits", "0x2b6653dc0", None),
            ("no hex", "0x2b6653dg", None),
            ("a word", "mainnet", None),
        ];
        for (name, text, expected) in rows {
            assert_eq!(reference(text).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_signature_is_good_behind_the_line_of_its_own_family_alone() {
        let (tron, evm) = (signature_of(&digest(b"text")), signature_of(&eip155::digest(b"text")));
        let rows = [
            ("Tron's on Tron", "tron:0x2b6653dc", TRON, &tron, Ok(Scheme::Tip191)),
            ("EVM's on Tron", "tron:0x2b6653dc", TRON, &evm, Err(SignatureError::SignatureMismatch)),
            ("EVM's on EVM", "eip155:1", EVM, &evm, Ok(Scheme::Eip191)),
            ("Tron's on EVM", "eip155:1", EVM, &tron, Err(SignatureError::SignatureMismatch)),
            ("an EVM address on Tron", "tron:0x2b6653dc", EVM, &tron, Err(SignatureError::MalformedAddress)),
            ("a Tron address on EVM", "eip155:1", TRON, &evm, Err(SignatureError::MalformedAddress)),
        ];
        for (name, chain, address, signature, expected) in rows {
            assert_eq!(verify(chain, address, b"text", signature), expected, "{name}");
        }
    }

    /// Recovery from what is no signature yields zero in the EVM, and in libraries that follow it.
    #[test]
    fn the_zero_account_is_refused_whatever_it_signs() {
        for signature in [signature_of(&digest(b"text")), format!("0x{}1b", "0".repeat(128)), "0x".to_owned()] {
            assert_eq!(verify("tron:0x2b6653dc", ZERO, b"text", &signature), Err(SignatureError::ZeroAccount));
        }
    }
}
