//! Queries of the endpoints that are ours.

/// Percent-decoding of a name or a value; nothing, if it is broken or not UTF-8. A plus is a plus.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, more) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(digits[0])? << 4 | digit(digits[1])?).ok()?);
        rest = more;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once_or_not_at_all() {
        for (text, expected) in [
            ("", Some("")),
            ("plain", Some("plain")),
            ("eip155%3A1", Some("eip155:1")),
            ("%25", Some("%")),
            ("%2525", Some("%25")),
            ("a+b", Some("a+b")),
            ("%C3%A9", Some("é")),
            ("%c3%a9", Some("é")),
            ("%C3", None),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
            ("100%", None),
        ] {
            assert_eq!(decoded(text).as_deref(), expected, "{text}");
        }
    }
}
