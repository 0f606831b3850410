//! Ed25519, verified strictly (RFC 8032, section 5.1.7, and narrower).
//!
//! 1. S is below the group order, and R and the key A are in their one canonical encoding.
//! 2. Neither R nor A is of small order. For such keys anyone can make a signature without a secret, and the
//!    all-zero key, Solana's System Program, is one of them.
//! 3. The equation is checked without the cofactor, one signature at a time.
//!
//! Verifiers that multiply by the cofactor, or skip rule 2, say yes to signatures that this one refuses, and
//! among wallet libraries those are the usual ones. Never call the crate's `verify` in place of `verify_strict`.

use ed25519_dalek::{Signature, VerifyingKey};

/// A public key that satisfies the rules on A.
#[derive(Debug)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a key: nothing, if it is no point of the curve, of small order or not canonical.
    pub fn read(bytes: &[u8; 32]) -> Option<Self> {
        if !is_canonical(bytes) {
            return None;
        }
        let key = VerifyingKey::from_bytes(bytes).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }

    /// Whether the holder of this key signed exactly this message.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

/// Whether the y coordinate is below 2^255 - 19. The crate reduces a higher one and takes it for a second
/// spelling of the same key; the two points with x = 0, where the sign bit is free, are of small order.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *low < 0xed || high & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    #[test]
    fn only_the_signed_message_verifies() {
        let secret = SigningKey::from_bytes(&[7; 32]);
        let key = PublicKey::read(&secret.verifying_key().to_bytes()).expect("an honest key");
        let signature = secret.sign(b"text").to_bytes();
        assert!(key.verifies(b"text", &signature));
        assert!(!key.verifies(b"text ", &signature));
        assert!(!key.verifies(b"", &signature));
    }

    #[test]
    fn keys_that_are_refused() {
        let p_plus = |k: u8, high: u8| {
            let mut bytes = [0xff; 32];
            bytes[0] = 0xed + k;
            bytes[31] = high;
            bytes
        };
        let one = |high: u8| {
            let mut bytes = [0; 32];
            bytes[0] = 1;
            bytes[31] = high;
            bytes
        };
        let rows = [
            ("y = 0, order 4", [0; 32]),
            ("y = 1, the identity", one(0)),
            ("y = 1 with a sign", one(0x80)),
            ("y = p, the other spelling of 0", p_plus(0, 0x7f)),
            ("y = p + 1, the other spelling of 1", p_plus(1, 0xff)),
            ("y = 2^255 - 1", p_plus(18, 0x7f)),
        ];
        for (name, bytes) in rows {
            assert!(PublicKey::read(&bytes).is_none(), "{name}");
        }
    }

    /// Some y of 2 to 18 are points of large order, which the crate would take spelled as p + y too.
    #[test]
    fn no_key_has_two_spellings() {
        let (mut small, mut large) = (0, 0);
        for y in 2..19 {
            let mut canonical = [0; 32];
            canonical[0] = y;
            let mut other = [0xff; 32];
            other[0] = 0xed + y;
            other[31] = 0x7f;
            small += usize::from(PublicKey::read(&canonical).is_some());
            large += usize::from(VerifyingKey::from_bytes(&other).is_ok());
            assert!(PublicKey::read(&other).is_none(), "p + {y}");
        }
        assert!(small > 0 && large > 0, "the canonical check would be idle: {small} and {large}");
    }

    #[test]
    fn the_canonical_bound_is_the_field_order() {
        let mut bytes = [0xff; 32];
        bytes[31] = 0x7f;
        bytes[0] = 0xec;
        assert!(is_canonical(&bytes), "p - 1");
        bytes[0] = 0xed;
        assert!(!is_canonical(&bytes), "p");
        bytes[31] = 0xff;
        assert!(!is_canonical(&bytes), "p, with a sign");
        bytes[30] = 0xfe;
        assert!(is_canonical(&bytes), "below p in a middle byte");
    }
}
