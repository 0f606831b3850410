//! What a cookie holds, what is stored of it, and what a session is called.
//!
//! 1. A [`SessionId`] opens sessions: whoever presents it is their owner. It is `siwxs_` and 192 random bits, and no
//!    `Debug` shows it. It is made for the first sign-in and anew at every change, so that nobody can plant one
//!    (session fixation).
//! 2. A [`SessionKey`] is the SHA-256 of it and the only thing that stores keep: who reads a store signs in as nobody.
//! 3. A [`Sid`] is a session's name for people and upstreams. It is random and has nothing to do with the id, so that
//!    logs and headers may show it.
//! 4. Each has one spelling. What is presented in another one is none of ours.

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};

use crate::secret::Secret;

/// Random bytes of an id. 128 bits are asked for; with 192 the text has no bits to spare at its end, so that every text
/// of that length has one reading.
pub const ID_RANDOM_BYTES: usize = 24;

/// Random bytes of a name: no two of one gateway are ever equal.
pub const SID_RANDOM_BYTES: usize = 16;

/// What an id begins with, so that people and scanners of leaked secrets know it when they see it.
const ID_PREFIX: &str = "siwxs_";

/// Characters of an id after its prefix.
const ID_CHARS: usize = ID_RANDOM_BYTES / 3 * 4;

/// What opens the sessions behind a cookie.
#[derive(Clone)]
pub struct SessionId(Secret<String>);

/// Under what a store keeps the sessions behind a cookie.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey([u8; 32]);

/// What one session is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid([u8; SID_RANDOM_BYTES]);

// === impl SessionId ===

impl SessionId {
    /// A new id out of bytes that nobody can foresee.
    pub fn new(random: &[u8; ID_RANDOM_BYTES]) -> Self {
        let mut text = String::with_capacity(ID_PREFIX.len() + ID_CHARS);
        text.push_str(ID_PREFIX);
        BASE64URL_NOPAD.encode_append(random, &mut text);
        Self(Secret::new(text))
    }

    /// Reads what was presented; nothing if it cannot be an id of ours.
    pub fn parse(presented: &str) -> Option<Self> {
        let random = presented.strip_prefix(ID_PREFIX)?;
        let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let good = random.len() == ID_CHARS && random.bytes().all(in_alphabet);
        good.then(|| Self(Secret::new(presented.to_owned())))
    }

    /// Its text, for a cookie or a token. Do not log what this returns.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Under what its sessions are stored.
    pub fn key(&self) -> SessionKey {
        SessionKey(Sha256::digest(self.0.expose().as_bytes()).into())
    }
}

/// Shows nothing of it.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId([redacted])")
    }
}

// === impl SessionKey ===

impl SessionKey {
    /// The key of what was presented, if it has the form of an id; nothing is copied.
    pub fn of_presented(presented: &[u8]) -> Option<Self> {
        let of_form = presented.len() == ID_PREFIX.len() + ID_CHARS && presented.starts_with(ID_PREFIX.as_bytes());
        of_form.then(|| Self(Sha256::digest(presented).into()))
    }

    /// Whether what was presented means to be an id, good or bad.
    pub fn is_meant(presented: &[u8]) -> bool {
        presented.starts_with(ID_PREFIX.as_bytes())
    }

    /// The key of the sessions behind a token, by the name in it.
    pub fn of_sid(sid: &Sid) -> Self {
        Self(Sha256::digest(sid.to_string().as_bytes()).into())
    }

    /// A key as a store holds it.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Its beginning: enough to tell two apart.
impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({}…)", HEXLOWER.encode(&self.0[..4]))
    }
}

// === impl Sid ===

impl Sid {
    /// A new name.
    pub const fn new(random: [u8; SID_RANDOM_BYTES]) -> Self {
        Self(random)
    }

    /// Reads a name: 32 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; SID_RANDOM_BYTES] {
        &self.0
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "siwxs_AAECAwQFBgcICQoLDA0ODxAREhMUFRb_";

    fn id() -> SessionId {
        SessionId::new(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 255])
    }

    #[test]
    fn an_id_is_its_prefix_and_random_bits() {
        assert_eq!(id().expose(), TEXT);
        const { assert!(ID_RANDOM_BYTES * 8 >= 128) };
        assert_eq!(SessionId::parse(TEXT).map(|id| id.expose().to_owned()), Some(TEXT.to_owned()));
    }

    #[test]
    fn what_is_stored_is_the_hash_of_the_text() {
        // `printf siwxs_AAECAwQFBgcICQoLDA0ODxAREhMUFRb_ | sha256sum`
        let expected = "5dfe0dc15d08a3cdc7b5217a576430c668d71f5096f691cdaa0927b5dbbfa36a";
        assert_eq!(HEXLOWER.encode(id().key().as_bytes()), expected);
        assert_eq!(SessionKey::from_bytes(*id().key().as_bytes()), id().key());
        assert_ne!(SessionId::new(&[0; ID_RANDOM_BYTES]).key(), id().key());
    }

    #[test]
    fn an_id_is_not_shown() {
        assert_eq!(format!("{:?}", id()), "SessionId([redacted])");
        assert_eq!(format!("{:?}", Some(id())), "Some(SessionId([redacted]))");
        assert_eq!(format!("{:?}", id().key()), "SessionKey(5dfe0dc1…)");
    }

    #[test]
    fn other_texts_are_no_ids() {
        let rows = [
            ("nothing", String::new()),
            ("only the prefix", "siwxs_".to_owned()),
            ("no prefix", TEXT[6..].to_owned()),
            ("another prefix", TEXT.replace("siwxs_", "SIWXS_")),
            ("one character less", TEXT[..TEXT.len() - 1].to_owned()),
            ("one character more", format!("{TEXT}A")),
            ("padded", format!("{TEXT}=")),
            ("a blank before it", format!(" {TEXT}")),
            ("a line feed after it", format!("{TEXT}\n")),
            ("quoted", format!("\"{TEXT}\"")),
            ("of the other alphabet", TEXT.replace("Rb_", "Rb/")),
            ("not ASCII", format!("siwxs_{}", "é".repeat(16))),
            ("very long", format!("siwxs_{}", "A".repeat(100_000))),
            ("a token", "eyJhbGciOiJFZERTQSJ9.e30.AA".to_owned()),
        ];
        for (name, text) in rows {
            assert!(SessionId::parse(&text).is_none(), "{name}");
        }
    }

    #[test]
    fn names_have_one_spelling() {
        let sid = Sid::new([0xab; SID_RANDOM_BYTES]);
        assert_eq!(sid.to_string(), "ab".repeat(16));
        assert_eq!(Sid::parse(&sid.to_string()), Some(sid));
        for text in ["", "ab", &"AB".repeat(16), &"ab".repeat(17), &"ab".repeat(15), &"zz".repeat(16)] {
            assert_eq!(Sid::parse(text), None, "{text}");
        }
    }
}
