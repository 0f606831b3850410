//! The small productions of the grammar: which bytes a part may hold.
//!
//! Digits and letters are ASCII. Nothing here asks Unicode, whose digits and letters are many more.

/// A set of ASCII bytes; a bit for each.
#[derive(Clone, Copy)]
pub(super) struct Bytes(u128);

impl Bytes {
    const ALNUM: Self = Self::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    /// RFC 3986 section 2.3.
    const UNRESERVED: Self = Self::ALNUM.and(b"-._~");
    /// RFC 3986 section 2.2, `sub-delims`.
    const SUB_DELIMS: &'static [u8] = b"!$&'()*+,;=";
    /// RFC 3986 section 3.1, after the first letter.
    const SCHEME: Self = Self::ALNUM.and(b"+-.");
    /// RFC 3986 section 3.2.2, without escapes.
    pub(super) const REG_NAME: Self = Self::UNRESERVED.and(Self::SUB_DELIMS);
    /// RFC 3986 section 3.2.1, without escapes.
    pub(super) const USERINFO: Self = Self::REG_NAME.and(b":");
    /// RFC 3986 section 3.3, `pchar` without escapes.
    pub(super) const PCHAR: Self = Self::REG_NAME.and(b":@");
    /// RFC 3986 section 3.3: what a path holds, without escapes.
    pub(super) const PATH: Self = Self::PCHAR.and(b"/");
    /// RFC 3986 sections 3.4 and 3.5: what a query and a fragment hold, without escapes.
    pub(super) const QUERY: Self = Self::PATH.and(b"?");
    /// ERC-4361, `statement`: reserved, unreserved and the space.
    const STATEMENT: Self = Self::QUERY.and(b"#[] ");
    const LABEL: Self = Self::ALNUM.and(b" ._+&'()/-");
    /// A host label of message.md section 2.
    pub(super) const HOST_LABEL: Self = Self::ALNUM.and(b"-_");
    const TOKEN: Self = Self::ALNUM.and(b"._~+/=:-");

    const fn of(bytes: &[u8]) -> Self {
        Self(0).and(bytes)
    }

    const fn and(self, bytes: &[u8]) -> Self {
        let (mut set, mut i) = (self.0, 0);
        while i < bytes.len() {
            set |= 1 << bytes[i];
            i += 1;
        }
        Self(set)
    }

    pub(super) const fn holds(self, byte: u8) -> bool {
        byte < 128 && self.0 >> byte & 1 == 1
    }

    pub(super) fn all(self, text: &str) -> bool {
        text.bytes().all(|byte| self.holds(byte))
    }

    /// Whether a text is of these bytes and of whole `%` escapes (RFC 3986 section 2.1).
    pub(super) fn all_or_escapes(self, text: &str) -> bool {
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let good = match byte {
                b'%' => {
                    let mut hex = || bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit());
                    hex() && hex()
                }
                other => self.holds(other),
            };
            if !good {
                return false;
            }
        }
        true
    }
}

/// `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )`
pub(super) fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && Bytes::SCHEME.all(text)
}

/// A label of 1 to 64 bytes; its length is checked before.
pub(super) fn is_label(text: &str) -> bool {
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().next_back()) else {
        return false;
    };
    let ends = first.is_ascii_alphanumeric() && (last.is_ascii_alphanumeric() || matches!(last, b'.' | b')' | b'+'));
    ends && Bytes::LABEL.all(text)
}

/// Printable ASCII, the space included.
pub(super) fn is_printable_ascii(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

/// Whether a statement keeps to the characters ERC-4361 gives it.
pub(super) fn is_erc4361_statement(text: &str) -> bool {
    Bytes::STATEMENT.all(text)
}

/// At least 8 letters and digits; the upper limit is checked before.
pub(super) fn is_alnum_nonce(text: &str) -> bool {
    text.len() >= 8 && Bytes::ALNUM.all(text)
}

/// At least 8 letters, digits and the marks of UUIDs, base64 and base64url.
pub(super) fn is_token_nonce(text: &str) -> bool {
    text.len() >= 8 && Bytes::TOKEN.all(text)
}

/// `*pchar` of RFC 3986.
pub(super) fn is_request_id(text: &str) -> bool {
    Bytes::PCHAR.all_or_escapes(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for text in ["E", "Ethereum", "OP Mainnet", "A.B_c+d&e'f(g)/h-i", "Chain (test)", "C+", "7"] {
            assert!(is_label(text), "{text}");
        }
        for text in ["", " a", "a ", "-a", "a-", "(a)", "a:b", "Εthereum", "a\"b", "a'"] {
            assert!(!is_label(text), "{text}");
        }
    }

    #[test]
    fn nonces() {
        let rows = [
            ("8 letters and digits", "abcDEF12", true, true),
            ("7", "abcDEF1", false, false),
            ("UUID", "961ec513-cc51-4ad0-9c68-d34b11fa7566", false, true),
            ("base64", "ab+/cdefgh==", false, true),
            ("space", "abcd efgh", false, false),
            ("full-width digits", "１２３４５６７８", false, false),
            ("comma", "abcd,efgh", false, false),
        ];
        for (name, text, alnum, token) in rows {
            assert_eq!((is_alnum_nonce(text), is_token_nonce(text)), (alnum, token), "{name}");
        }
    }

    #[test]
    fn escapes_are_whole_or_nothing() {
        for text in ["", "%41", "a%2fb", "a:b@c", "%C3%bc"] {
            assert!(is_request_id(text), "{text}");
        }
        for text in ["%", "%4", "a%2", "%4g", "%%41", "a/b", "a?b", "ü", "%ü1"] {
            assert!(!is_request_id(text), "{text}");
        }
    }
}
