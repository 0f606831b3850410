//! Sui and its test networks (namespace `sui`): personal messages, signed by a key of one of three curves.
//!
//! 1. An address is the BLAKE2b-256 of a flag, which names the curve, and a public key: `0x` and 64 hex digits, lower
//!    case the canonical spelling. The short spellings of tools, `0x2`, are none here.
//! 2. What is signed is the BLAKE2b-256 of the intent, three bytes that keep a message apart from a transaction, of the
//!    text's length and of the text, as BCS writes a list of bytes.
//! 3. A signature is the flag, 64 bytes and the public key in padded base64, of exactly that length, in one spelling.
//!    The key is the account's, or nothing is verified.
//! 4. Ed25519 (flag 0) is held to the strict rules of [`ed25519`](super::ed25519). secp256k1 (1) and secp256r1 (2) are
//!    ECDSA over the SHA-256 of rule 2's hash, with r and s from 1 to below the order, s at most half of it, and a
//!    compressed key.
//! 5. Signatures of several keys (3), of zkLogin (5) and of passkeys (6) are refused by name: for the second a verifying
//!    key and the keys of an identity provider would be needed, and the third signs what a browser wrapped around the
//!    text.
//! 6. A reference is the name of a network, as wallets write it. What CAIP-2's profile of Sui has for the two whose first
//!    checkpoint is settled, the first digits of its hash, is read as that.

use blake2::{Blake2b, Digest as _, digest::consts::U32};
use data_encoding::{BASE64, HEXLOWER};
use k256::{ecdsa::signature::hazmat::PrehashVerifier, elliptic_curve::scalar::IsHigh as _};
use sha2::Sha256;

use super::{
    Accepts, Chain, Outcome, Scheme, SignatureError, Signed, ed25519::PublicKey, eip155::address::decode_hex, secp256k1,
};
use crate::siwx::dialect::AddressError;

/// CAIP-2 reference of the main network.
pub const MAINNET: &str = "mainnet";
const TESTNET: &str = "testnet";
const DEVNET: &str = "devnet";

/// What is written for a network, and its reference. The devnet begins anew every week or so, with another checkpoint.
const NETWORKS: [(&str, &str); 5] =
    [(MAINNET, MAINNET), (TESTNET, TESTNET), (DEVNET, DEVNET), ("35834a8a", MAINNET), ("4c78adac", TESTNET)];

/// Scope, version and application of a personal message.
const INTENT: [u8; 3] = [3, 0, 0];

/// The curve of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    Ed25519,
    Secp256k1,
    Secp256r1,
}

/// The chains of namespace `sui`.
#[derive(Debug)]
pub struct Sui;

impl Chain for Sui {
    fn namespace(&self) -> &'static str {
        "sui"
    }

    fn schemes(&self) -> &'static [Scheme] {
        &[Scheme::Sui]
    }

    fn verify(&self, signed: &Signed<'_>, _accepts: &Accepts) -> Result<Outcome, SignatureError> {
        let account = parse(signed.address).map_err(|_| SignatureError::MalformedAddress)?;
        let bytes = BASE64.decode(signed.signature.as_bytes()).map_err(|_| SignatureError::MalformedSignature)?;
        // The decoder takes padding in the middle as well, as if one text followed another.
        if BASE64.encode(&bytes) != signed.signature {
            return Err(SignatureError::MalformedSignature);
        }
        let (flag, rest) = bytes.split_first().ok_or(SignatureError::MalformedSignature)?;
        let curve = Curve::of_flag(*flag)?;
        let (signature, key) = rest.split_first_chunk::<64>().ok_or(SignatureError::MalformedSignature)?;
        if key.len() != curve.key_bytes() {
            return Err(SignatureError::MalformedSignature);
        }
        // Cheaper than any curve, and then the key needs no mention below.
        if address_bytes(*flag, key) != account {
            return Err(SignatureError::SignatureMismatch);
        }
        curve.verify(key, &digest(signed.text), signature).map(|()| Outcome::Valid(Scheme::Sui))
    }
}

/// What a wallet signs for a text; with ECDSA, what it hashes once more.
pub fn digest(text: &[u8]) -> [u8; 32] {
    let mut hasher = Blake2b::<U32>::new();
    hasher.update(INTENT);
    let mut length = text.len();
    // ULEB128, the lowest seven bits first, as BCS writes the length of a list.
    while length >= 0x80 {
        hasher.update([length as u8 | 0x80]);
        length >>= 7;
    }
    hasher.update([length as u8]);
    hasher.update(text);
    hasher.finalize().into()
}

/// The address of an Ed25519 key.
pub fn of_ed25519(key: &[u8; 32]) -> String {
    spelled(&address_bytes(Curve::Ed25519.flag(), key))
}

/// The text of a signature by an Ed25519 key.
pub fn ed25519_text(signature: &[u8; 64], key: &[u8; 32]) -> String {
    BASE64.encode(&[&[Curve::Ed25519.flag()][..], signature, key].concat())
}

/// Reads an address: its 32 bytes.
pub fn parse(text: &str) -> Result<[u8; 32], AddressError> {
    let digits = text.strip_prefix("0x").ok_or(AddressError::Form)?;
    let mut bytes = [0; 32];
    let decoded = digits.len() == 64 && decode_hex(digits.as_bytes(), &mut bytes);
    decoded.then_some(bytes).ok_or(AddressError::Form)
}

/// The canonical spelling of an address, for a `Dialect`.
pub fn canonical(text: &str) -> Result<String, AddressError> {
    parse(text).map(|bytes| spelled(&bytes))
}

/// The canonical chain reference, for a `Dialect`.
pub fn reference(text: &str) -> Option<String> {
    let network = NETWORKS.iter().find(|(written, _)| *written == text);
    network.map(|(_, reference)| (*reference).to_owned())
}

fn spelled(address: &[u8; 32]) -> String {
    format!("0x{}", HEXLOWER.encode(address))
}

fn address_bytes(flag: u8, key: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::new().chain_update([flag]).chain_update(key).finalize().into()
}

// === impl Curve ===

impl Curve {
    fn of_flag(flag: u8) -> Result<Self, SignatureError> {
        match flag {
            0 => Ok(Self::Ed25519),
            1 => Ok(Self::Secp256k1),
            2 => Ok(Self::Secp256r1),
            3 | 5 | 6 => Err(SignatureError::FormNotAccepted),
            _ => Err(SignatureError::MalformedSignature),
        }
    }

    const fn flag(self) -> u8 {
        match self {
            Self::Ed25519 => 0,
            Self::Secp256k1 => 1,
            Self::Secp256r1 => 2,
        }
    }

    const fn key_bytes(self) -> usize {
        match self {
            Self::Ed25519 => 32,
            Self::Secp256k1 | Self::Secp256r1 => 33,
        }
    }

    /// Whether the holder of a key of this curve signed a digest.
    fn verify(self, key: &[u8], digest: &[u8; 32], signature: &[u8; 64]) -> Result<(), SignatureError> {
        let good = match self {
            Self::Ed25519 => {
                let key = key.try_into().ok().and_then(PublicKey::read).ok_or(SignatureError::WeakKey)?;
                key.verifies(digest, signature)
            }
            Self::Secp256k1 => {
                let signature = secp256k1::read(signature)?;
                let key = compressed(key).and_then(|key| k256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok());
                key.is_some_and(|key| key.verify_prehash(&Sha256::digest(digest), &signature).is_ok())
            }
            Self::Secp256r1 => {
                let signature = p256::ecdsa::Signature::from_slice(signature);
                let signature = signature.map_err(|_| SignatureError::MalformedSignature)?;
                if signature.s().is_high().into() {
                    return Err(SignatureError::HighS);
                }
                let key = compressed(key).and_then(|key| p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok());
                key.is_some_and(|key| key.verify_prehash(&Sha256::digest(digest), &signature).is_ok())
            }
        };
        if good { Ok(()) } else { Err(SignatureError::SignatureMismatch) }
    }
}

/// The key, if its first byte says that it is a compressed point. The crates know one more form of the same length.
fn compressed(key: &[u8]) -> Option<&[u8]> {
    matches!(key, [2 | 3, ..]).then_some(key)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Signer as _;

    use super::*;
    use crate::caip::ChainId;

    /// As the two TypeScript and Rust kits of Sui have it for the seed of 32 sevens.
    const ADDRESS: &str = "0xa0ccc8bcc83f6c628340134f8546a21e0618fd1aaa02432bba454c4a2c2233da";

    fn secret() -> ed25519_dalek::SigningKey {
        ed25519_dalek::SigningKey::from_bytes(&[7; 32])
    }

    fn signature_of(text: &[u8]) -> String {
        ed25519_text(&secret().sign(&digest(text)).to_bytes(), secret().verifying_key().as_bytes())
    }

    fn verify(address: &str, text: &[u8], signature: &str) -> Result<Scheme, SignatureError> {
        let chain = ChainId::parse("sui:mainnet").expect("a CAIP-2 id");
        let signed = Signed { chain: &chain, address, text, domain: None, signature };
        crate::chain::verify_signature(&signed, &Accepts::default())
    }

    #[test]
    fn addresses_have_one_canonical_spelling() {
        assert_eq!(of_ed25519(secret().verifying_key().as_bytes()), ADDRESS);
        assert_eq!(canonical(ADDRESS).as_deref(), Ok(ADDRESS));
        let upper = format!("0x{}", ADDRESS[2..].to_uppercase());
        assert_eq!(canonical(&upper).as_deref(), Ok(ADDRESS));
        assert_eq!(verify(&upper, b"text", &signature_of(b"text")), Ok(Scheme::Sui));
    }

    #[test]
    fn addresses_that_are_refused() {
        let rows = [
            ("empty", String::new()),
            ("without 0x", ADDRESS[2..].to_owned()),
            ("0X", ADDRESS.replace("0x", "0X")),
            ("the short spelling of a package", "0x2".to_owned()),
            ("63 digits", ADDRESS[..65].to_owned()),
            ("65 digits", format!("{ADDRESS}0")),
            ("an EVM address", "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf".to_owned()),
            ("no hex", ADDRESS.replacen("0x", "0xg", 1)[..66].to_owned()),
            ("a name", "alice.sui".to_owned()),
        ];
        for (name, text) in rows {
            assert_eq!(parse(&text), Err(AddressError::Form), "{name}");
        }
    }

    #[test]
    fn references() {
        let rows = [
            ("mainnet", Some("mainnet")),
            ("testnet", Some("testnet")),
            ("devnet", Some("devnet")),
            ("35834a8a", Some("mainnet")),
            ("4c78adac", Some("testnet")),
            ("35834A8A", None),
            ("Mainnet", None),
            ("localnet", None),
            ("1", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(reference(text).as_deref(), expected, "{text}");
        }
    }

    /// The length of a text is written in as many bytes as it needs, seven bits in each.
    #[test]
    fn lengths_are_written_seven_bits_at_a_time() {
        let of = |parts: &[&[u8]]| -> [u8; 32] { Blake2b::<U32>::digest(parts.concat()).into() };
        for (length, written) in [
            (0, &[0][..]),
            (1, &[1]),
            (127, &[127]),
            (128, &[128, 1]),
            (300, &[172, 2]),
            (16_383, &[255, 127]),
            (16_384, &[128, 128, 1]),
        ] {
            let text = vec![b'x'; length];
            assert_eq!(digest(&text), of(&[&INTENT, written, &text]), "{length}");
        }
    }

    #[test]
    fn forms_that_are_named_and_forms_that_are_none() {
        let good = BASE64.decode(signature_of(b"text").as_bytes()).expect("base64");
        let with_flag = |flag: u8| BASE64.encode(&[&[flag], &good[1..]].concat());
        let of_length = |length: usize| BASE64.encode(&[&good[..], &[0; 8]].concat()[..length]);
        let rows = [
            ("several keys", with_flag(3), SignatureError::FormNotAccepted),
            ("zkLogin", with_flag(5), SignatureError::FormNotAccepted),
            ("a passkey", with_flag(6), SignatureError::FormNotAccepted),
            ("zkLogin, cut off", BASE64.encode(&[5]), SignatureError::FormNotAccepted),
            ("BLS, which is for validators", with_flag(4), SignatureError::MalformedSignature),
            ("a flag to come", with_flag(7), SignatureError::MalformedSignature),
            ("the highest flag", with_flag(255), SignatureError::MalformedSignature),
            ("another curve's flag, whose key is longer", with_flag(1), SignatureError::MalformedSignature),
            ("nothing but a flag", of_length(1), SignatureError::MalformedSignature),
            ("without the key", of_length(65), SignatureError::MalformedSignature),
            ("a byte less", of_length(96), SignatureError::MalformedSignature),
            ("a byte more", of_length(98), SignatureError::MalformedSignature),
        ];
        for (name, signature, expected) in rows {
            assert_eq!(verify(ADDRESS, b"text", &signature), Err(expected), "{name}");
        }
        assert_eq!(verify(ADDRESS, b"text", &of_length(97)), Ok(Scheme::Sui));
    }

    /// A padded text before another is no base64, though decoders read both.
    #[test]
    fn padding_in_the_middle_is_refused() {
        let good = BASE64.decode(signature_of(b"text").as_bytes()).expect("base64");
        let spelled = format!("{}{}", BASE64.encode(&good[..1]), BASE64.encode(&good[1..]));
        assert_eq!(BASE64.decode(spelled.as_bytes()).as_deref(), Ok(&*good));
        assert_eq!(verify(ADDRESS, b"text", &spelled), Err(SignatureError::MalformedSignature));
    }

    /// A key of small order has signatures that take no secret, and an address like any other.
    #[test]
    fn a_small_order_key_signs_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        for key in [[0; 32], identity] {
            let mut forged = [0; 64];
            forged[..32].copy_from_slice(&identity);
            let signature = ed25519_text(&forged, &key);
            assert_eq!(verify(&of_ed25519(&key), b"text", &signature), Err(SignatureError::WeakKey), "{key:?}");
        }
    }
}
