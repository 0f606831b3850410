//! The simple form of generic signed messages: the witness that would spend from the address (BIP-322).
//!
//! 1. P2WPKH, bare and nested in P2SH: a signature in strict DER with SIGHASH_ALL behind it, and the compressed key.
//!    The nested kind is not in the document's list for this form, but wallets send it (Xverse).
//! 2. P2TR by the key path: 64 bytes with SIGHASH_DEFAULT, or 65 of which the last is SIGHASH_ALL. An explicit 0
//!    there is another spelling and refused (BIP-341). A second item is an annex, or a script and what satisfies it.
//! 3. The witness ends where its last item does. Counts and lengths of good ones fit one byte each, so no other form of
//!    them is read.
//! 4. P2PKH has no witness.

use k256::{
    ecdsa::VerifyingKey,
    schnorr::{self, signature::hazmat::PrehashVerifier as _},
};

use super::{
    address::Lock,
    hash::{hash160, nested},
    transaction::{SIGHASH_ALL, SIGHASH_DEFAULT, ToSign},
};
use crate::chain::{SignatureError, secp256k1};

/// Whether this witness spends from an address for a text.
pub(super) fn verify(lock: &Lock, text: &[u8], witness: &[u8]) -> Result<(), SignatureError> {
    match lock {
        Lock::KeyHash(_) => Err(SignatureError::MalformedSignature),
        Lock::ScriptHash(hash) => verify_key_hash(lock, text, witness, |program| nested(program) == *hash),
        Lock::Taproot(key) => verify_taproot(key, &ToSign::new(&lock.script(), text), witness),
        Lock::WitnessKeyHash(hash) => verify_key_hash(lock, text, witness, |program| program == hash),
        Lock::WitnessScript => Err(SignatureError::Inconclusive),
    }
}

/// A signature and a key, of which the hash is that of the address.
fn verify_key_hash(
    lock: &Lock,
    text: &[u8],
    witness: &[u8],
    is_its_own: impl Fn(&[u8; 20]) -> bool,
) -> Result<(), SignatureError> {
    let [signature, key] = items(witness)?;
    let (sighash, der) = signature.split_last().ok_or(SignatureError::MalformedSignature)?;
    // 2 and 3 say which y a compressed key has. There is a third form of 33 bytes, which no key of Bitcoin has.
    let compressed = key.len() == 33 && matches!(key[0], 2 | 3);
    if *sighash != SIGHASH_ALL || !compressed {
        return Err(SignatureError::MalformedSignature);
    }
    let signature = secp256k1::read_der(der)?;
    let program = hash160(key);
    if !is_its_own(&program) {
        return Err(SignatureError::SignatureMismatch);
    }
    let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| SignatureError::MalformedSignature)?;
    let digest = ToSign::new(&lock.script(), text).digest_of_key_hash(&program);
    key.verify_prehash(&digest, &signature).map_err(|_| SignatureError::SignatureMismatch)
}

/// A signature by the output key.
fn verify_taproot(key: &[u8; 32], to_sign: &ToSign<'_>, witness: &[u8]) -> Result<(), SignatureError> {
    let [item] = items(witness)?;
    let (signature, sighash) = match item.split_first_chunk::<64>() {
        Some((signature, [])) => (signature, SIGHASH_DEFAULT),
        Some((signature, [SIGHASH_ALL])) => (signature, SIGHASH_ALL),
        _ => return Err(SignatureError::MalformedSignature),
    };
    let key = schnorr::VerifyingKey::from_slice(key).map_err(|_| SignatureError::MalformedAddress)?;
    let signature = schnorr::Signature::from_bytes(signature).map_err(|_| SignatureError::MalformedSignature)?;
    key.verify_prehash(&to_sign.digest_of_taproot(sighash), &signature).map_err(|_| SignatureError::SignatureMismatch)
}

/// The items of a witness, if there are so many and nothing follows them.
fn items<const N: usize>(witness: &[u8]) -> Result<[&[u8]; N], SignatureError> {
    let read = || {
        let (count, mut rest) = witness.split_first()?;
        let mut items = [&witness[..0]; N];
        for item in &mut items {
            // From 253 on it would be the mark of a longer length.
            let (length, after) = rest.split_first().filter(|(length, _)| **length < 253)?;
            (*item, rest) = after.split_at_checked(usize::from(*length))?;
        }
        (usize::from(*count) == N && rest.is_empty()).then_some(items)
    };
    read().ok_or(SignatureError::MalformedSignature)
}
