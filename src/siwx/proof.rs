//! A message, the exact text it was read from, and the signature presented with it. Unverified.
//!
//! 1. The text is kept byte for byte: it is what the wallet signed, and no other text is ever hashed.
//! 2. The signature is kept as presented; the chain's verifier decodes it.
//! 3. Message and text belong together: there is no way to pair one with another.
//! 4. Neither is shown by `Debug`: whoever holds both can present them again.

use std::fmt;

use super::{
    claims::Claims,
    dialect::Dialect,
    error::{Code, MessageError},
    message::{Message, Reading},
};

/// What a request presents to prove itself, read and not yet verified.
#[derive(Clone)]
pub struct Proof {
    message: Message,
    claims: Claims,
    text: String,
    signature: String,
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
        Ok(Self { claims: Claims::of(&message), message, text, signature })
    }

    /// What the text says.
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// What it claims, for [`super::claims::check`].
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The signing text, exactly.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature as presented: an encoding of bytes, not yet decoded.
    pub fn signature(&self) -> &str {
        &self.signature
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
