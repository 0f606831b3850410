//! A message, the exact text it was read from, and the signature presented with it. Unverified.
//!
//! 1. The text is kept byte for byte: it is what the wallet signed, and no other text is ever hashed.
//! 2. The signature is kept as presented; the chain's verifier decodes it.
//! 3. Neither is shown by `Debug`: whoever holds both can present them again.

use std::fmt;

use super::{
    dialect::Dialect,
    error::{Code, MessageError},
    message::{Message, Reading},
};

/// What a request presents to prove itself, read and not yet verified.
#[derive(Clone)]
pub struct Proof {
    /// What the text says.
    pub message: Message,
    /// The signing text, exactly.
    pub text: String,
    /// The signature as presented: an encoding of bytes, not yet decoded.
    pub signature: String,
}

impl Proof {
    /// Reads the text of a proof.
    pub fn read(
        text: Vec<u8>,
        signature: String,
        dialects: &[Dialect],
        reading: &Reading,
    ) -> Result<Self, MessageError> {
        let message = Message::parse(&text, dialects, reading)?;
        let text = String::from_utf8(text)
            .map_err(|error| MessageError::new(Code::InvalidUtf8, error.utf8_error().to_string()))?;
        Ok(Self { message, text, signature })
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("domain", &self.message.domain)
            .field("namespace", &self.message.namespace)
            .field("address", &self.message.address)
            .field("text", &"[redacted]")
            .field("signature", &"[redacted]")
            .finish()
    }
}
