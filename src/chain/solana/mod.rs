//! Signatures of Solana accounts, whose addresses are their Ed25519 keys.
//!
//! 1. The signature is the 64 bytes of Ed25519 in one of the [encodings](encoding::Encoding) that wallets use. A text that is
//!    good in two of them is tried in both.
//! 2. It is looked for over the text itself, then over the off-chain envelopes that hardware wallets and newer
//!    wallets put around the text. At most ten verifications are done, whatever was sent.
//! 3. After `tx:` stands the base64 of a signed transaction that carries the text as its memo.
//!
//! Keys and signatures are held to the strict rules of [`ed25519`](super::ed25519).

pub mod address;
pub mod encoding;
mod memo;
mod offchain;

use super::{Accepts, Chain, Outcome, Scheme, SignatureError, Signed, ed25519::PublicKey};

/// As many as there are candidates for one decoding: the text, six envelopes of version 0, one of version 1
/// and two of the first design. Each costs tens of microseconds.
const ATTEMPTS_MAX: usize = 10;

/// What stands before a transaction in place of a signature.
const TRANSACTION_PREFIX: &str = "tx:";

/// The chains of namespace `solana`.
#[derive(Debug)]
pub struct Solana;

impl Chain for Solana {
    fn namespace(&self) -> &'static str {
        "solana"
    }

    fn schemes(&self) -> &'static [Scheme] {
        &[Scheme::Ed25519, Scheme::SolanaOffchain, Scheme::SolanaMemo]
    }

    fn verify(&self, signed: &Signed<'_>, accepts: &Accepts) -> Result<Outcome, SignatureError> {
        scheme_of(signed, accepts).map(Outcome::Valid)
    }
}

/// Which scheme the signature is good in.
fn scheme_of(signed: &Signed<'_>, accepts: &Accepts) -> Result<Scheme, SignatureError> {
    let account = address::parse(signed.address).map_err(|_| SignatureError::MalformedAddress)?;
    let key = PublicKey::read(&account).ok_or(SignatureError::WeakKey)?;
    if let Some(transaction) = signed.signature.strip_prefix(TRANSACTION_PREFIX) {
        if !accepts.memo {
            return Err(SignatureError::FormNotAccepted);
        }
        let bytes = encoding::base64(transaction).ok_or(SignatureError::MalformedSignature)?;
        return memo::verify(&bytes, &account, &key, signed.text).map(|()| Scheme::SolanaMemo);
    }
    let signatures = encoding::decode(signed.signature, accepts.solana_encodings);
    if signatures.is_empty() {
        return Err(SignatureError::MalformedSignature);
    }
    verify_text(signed, accepts, &account, &key, &signatures)
}

/// Tries the signatures over the text, then over its envelopes.
fn verify_text(
    signed: &Signed<'_>,
    accepts: &Accepts,
    account: &[u8; 32],
    key: &PublicKey,
    signatures: &[[u8; 64]],
) -> Result<Scheme, SignatureError> {
    if signatures.iter().any(|signature| key.verifies(signed.text, signature)) {
        return Ok(Scheme::Ed25519);
    }
    if !accepts.offchain {
        return Err(SignatureError::SignatureMismatch);
    }
    let mut attempts = signatures.len();
    for envelope in offchain::envelopes(signed.text, signed.domain, account) {
        for signature in signatures {
            if attempts == ATTEMPTS_MAX {
                return Err(SignatureError::SignatureMismatch);
            }
            attempts += 1;
            if key.verifies(&envelope, signature) {
                return Ok(Scheme::SolanaOffchain);
            }
        }
    }
    Err(SignatureError::SignatureMismatch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caip::ChainId;

    fn verify(text: &str, signature: &str) -> Result<Scheme, SignatureError> {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
        let chain = ChainId::new("solana", address::MAINNET).expect("a CAIP-2 id");
        let address = bs58::encode(key.to_bytes()).into_string();
        let signed = Signed { chain: &chain, address: &address, text: text.as_bytes(), domain: None, signature };
        scheme_of(&signed, &Accepts::all())
    }

    /// Found by counting texts up: the first signatures that are good in the other alphabet too. About one in
    /// 300,000 is, so a verifier that stops at the first alphabet turns honest users away.
    #[test]
    fn a_text_in_two_alphabets_is_tried_in_both() {
        let base58 = "1xFWYHwHVFqBref1pziMM2zNNkKFppHY8BvEVGeU7DjNMRAtL3TnzmTWTBnJR7SCXPTHXCgkogYidnn4sgoHpA";
        let base64 = "1u1U2eiUHnQh2vbGoyKREZQeYWTmDsishr4UXqVpn9pgHzRbdv833znygb57gtXpk7kKutYbxSpwJM2Eh889Ag";
        for (text, signature) in [("text 237694", base58), ("text 293010", base64)] {
            assert_eq!(encoding::decode(signature, encoding::Encoding::ALL).len(), 2);
            assert_eq!(verify(text, signature), Ok(Scheme::Ed25519), "{text}");
            assert_eq!(verify("another text", signature), Err(SignatureError::SignatureMismatch), "{text}");
        }
    }
}
