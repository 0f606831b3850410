//! Carries a proof in the `Authorization` header (x402.md section 13).
//!
//! 1. The scheme is one of the configured names (`SIWX`), compared without regard to case, then one space.
//! 2. What follows is `base64(message) "." signature`; exactly one dot.
//! 3. Base64 is standard or URL-safe but not both, padded right or not at all, without stray bits in the last
//!    character: one message has few spellings, and none of them hides bytes.
//! 4. Two `Authorization` fields are a refusal when one of them is ours, never "the first one wins".
//! 5. A signature in base64 that holds a `0x…` text is taken as that text, as one client library sends it.

use http::{HeaderMap, header::AUTHORIZATION};

use super::{Carrier, CarrierName, Conflict, CredentialError, Presented, base64};

/// The `Authorization` carrier with its scheme names.
#[derive(Debug, Clone)]
pub struct Authorization {
    schemes: Vec<String>,
}

impl Authorization {
    /// A carrier that knows these scheme names.
    pub const fn new(schemes: Vec<String>) -> Self {
        Self { schemes }
    }

    /// Whether a field value is of one of our schemes, and what follows the scheme name.
    pub fn ours<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        self.schemes.iter().find_map(|scheme| after_scheme(value, scheme))
    }

    /// Whether one of our schemes is named anywhere in a field value where one can be named: an upstream may read more
    /// generously than we do.
    pub fn is_named_in(&self, value: &[u8]) -> bool {
        // Nearly always it stands in front, and the token behind it is long.
        self.ours(value).is_some() || self.schemes.iter().any(|scheme| names_scheme(value, scheme))
    }
}

impl Carrier for Authorization {
    fn name(&self) -> CarrierName {
        CarrierName::Authorization
    }

    fn present<'h>(&self, headers: &'h HeaderMap) -> Result<Option<Presented<'h>>, CredentialError> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let Some(first) = fields.next() else {
            return Ok(None);
        };
        let found = self.ours(first.as_bytes());
        if let Some(second) = fields.next() {
            let any = found.is_some()
                || self.ours(second.as_bytes()).is_some()
                || fields.any(|more| self.ours(more.as_bytes()).is_some());
            return if any { Err(Conflict::Repeated(self.name()).into()) } else { Ok(None) };
        }
        Ok(found.map(|bytes| Presented { carrier: self.name(), bytes }))
    }
}

/// What follows `scheme` and one space; empty if nothing does.
pub(super) fn after_scheme<'v>(value: &'v [u8], scheme: &str) -> Option<&'v [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    if !name.eq_ignore_ascii_case(scheme.as_bytes()) {
        return None;
    }
    match rest {
        [] => Some(rest),
        [b' ', token @ ..] => Some(token),
        _ => None,
    }
}

/// Whether an element of a list in `value` begins with `scheme` as a word of its own, in quotes or not.
pub(super) fn names_scheme(value: &[u8], scheme: &str) -> bool {
    let begins = |element: &[u8]| {
        let word = element.iter().position(|byte| byte.is_ascii_alphanumeric()).unwrap_or(element.len());
        let word = element.get(word..).unwrap_or_default();
        let length = word.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-').unwrap_or(word.len());
        word.get(..length).is_some_and(|word| word.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    value.split(|byte| *byte == b',').any(begins)
}

/// Takes `base64(message) "." signature` apart.
pub(super) fn split(token: &[u8]) -> Result<(Vec<u8>, String), CredentialError> {
    let dot = token.iter().position(|b| *b == b'.').ok_or(CredentialError::Form)?;
    let (message, signature) = (&token[..dot], &token[dot + 1..]);
    if signature.contains(&b'.') {
        return Err(CredentialError::Form);
    }
    let text = base64(message).ok_or(CredentialError::Encoding)?;
    let printable = signature.iter().all(|b| b.is_ascii_graphic());
    let signature = if printable { String::from_utf8(signature.to_vec()).ok() } else { None };
    let signature = signature.ok_or(CredentialError::SignatureForm("printable ASCII"))?;
    Ok((text, unwrapped(signature)))
}

/// The text inside a signature that is base64 of `0x` and 130 more characters; any other signature as it is. It
/// cannot be mistaken: 65 bytes of hex are shorter, and so are 64 bytes in base58 or base64.
fn unwrapped(signature: String) -> String {
    // 132 characters are 176 of base64.
    let inner = if signature.len() == 176 { base64(signature.as_bytes()) } else { None };
    let inner = inner.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|inner| inner.starts_with("0x"));
    inner.unwrap_or(signature)
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    fn carrier() -> Authorization {
        Authorization::new(vec!["SIWX".to_owned()])
    }

    fn presented(values: &[&str]) -> Result<Option<Vec<u8>>, CredentialError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header value"));
        }
        carrier().present(&headers).map(|found| found.map(|found| found.bytes.to_vec()))
    }

    #[test]
    fn what_is_ours_and_what_is_not() {
        let conflict = || Err(Conflict::Repeated(CarrierName::Authorization).into());
        type Row<'t> = (&'t str, &'t [&'t str], Result<Option<Vec<u8>>, CredentialError>);
        let rows: [Row<'_>; 12] = [
            ("nothing", &[], Ok(None)),
            ("ours", &["SIWX a.b"], Ok(Some(b"a.b".to_vec()))),
            ("any letter case", &["sIwX a.b"], Ok(Some(b"a.b".to_vec()))),
            ("two spaces leave one in the token", &["SIWX  a.b"], Ok(Some(b" a.b".to_vec()))),
            ("scheme alone", &["SIWX"], Ok(Some(Vec::new()))),
            ("another scheme", &["Basic dTpw"], Ok(None)),
            ("a longer scheme", &["SIWXY a.b"], Ok(None)),
            ("no scheme", &["a.b"], Ok(None)),
            ("twice ours", &["SIWX a.b", "SIWX a.b"], conflict()),
            ("ours first", &["SIWX a.b", "Basic dTpw"], conflict()),
            ("ours last", &["Basic dTpw", "Basic dTpw", "SIWX a.b"], conflict()),
            ("two of others", &["Basic dTpw", "Basic dTpw"], Ok(None)),
        ];
        for (name, values, expected) in rows {
            assert_eq!(presented(values), expected, "{name}");
        }
    }

    #[test]
    fn a_scheme_is_seen_wherever_an_upstream_might_see_it() {
        let rows = [
            ("SIWX a.b", true),
            ("SIWX", true),
            ("siwx\ta.b", true),
            ("SIWX=a.b", true),
            ("SIWX;a.b", true),
            ("\"SIWX\" a.b", true),
            (", SIWX a.b", true),
            ("Basic dTpw, SIWX a.b", true),
            ("Basic dTpw,siwx a.b", true),
            ("Basic dTpw", false),
            ("Basic SIWX", false),
            ("SIWXY a.b", false),
            ("SIWX-2 a.b", false),
            ("Digest username=\"SIWX\", realm=\"a\"", false),
            ("", false),
        ];
        for (value, expected) in rows {
            assert_eq!(carrier().is_named_in(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn tokens_come_apart_one_way() {
        let good = |text: &str, signature: &str| Ok((text.as_bytes().to_vec(), signature.to_owned()));
        let rows = [
            ("padded", "aGV5IQ==.0x00", good("hey!", "0x00")),
            ("without padding", "aGV5IQ.0x00", good("hey!", "0x00")),
            ("URL-safe", "Pj4-.s", good(">>>", "s")),
            ("standard", "Pj4+.s", good(">>>", "s")),
            ("empty signature", "aGV5IQ==.", good("hey!", "")),
            ("empty message", ".s", good("", "s")),
            ("no dot", "aGV5IQ==", Err(CredentialError::Form)),
            ("second dot", "aGV5IQ==.s.t", Err(CredentialError::Form)),
            ("both alphabets", "Pj4-Pj4+.s", Err(CredentialError::Encoding)),
            ("too little padding", "aGV5IQ=.s", Err(CredentialError::Encoding)),
            ("too much padding", "aGV5IQ===.s", Err(CredentialError::Encoding)),
            ("padding in the middle", "aGV5IQ==aGV5.s", Err(CredentialError::Encoding)),
            ("padding in the middle and at the end", "aGV5IQ==aGV5IQ==.s", Err(CredentialError::Encoding)),
            ("padding in the middle, URL-safe", "Pj4-IQ==Pj4-.s", Err(CredentialError::Encoding)),
            ("nothing but padding", "====.s", Err(CredentialError::Encoding)),
            ("stray bits in the last character", "aGV5IR==.s", Err(CredentialError::Encoding)),
            ("stray bits without padding", "aGV5IR.s", Err(CredentialError::Encoding)),
            ("white space", "aGV5 IQ==.s", Err(CredentialError::Encoding)),
            ("percent escape", "aGV5IQ%3d%3d.s", Err(CredentialError::Encoding)),
            ("white space in the signature", "aGV5IQ==.s s", Err(CredentialError::SignatureForm("printable ASCII"))),
            (
                "bytes above ASCII in the signature",
                "aGV5IQ==.é",
                Err(CredentialError::SignatureForm("printable ASCII")),
            ),
        ];
        for (name, token, expected) in rows {
            assert_eq!(split(token.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn a_signature_wrapped_in_base64_is_the_text_inside() {
        let signature = format!("0x{}", "ab".repeat(65));
        let token = format!("aGV5IQ==.{}", BASE64.encode(signature.as_bytes()));
        assert_eq!(split(token.as_bytes()), Ok((b"hey!".to_vec(), signature)));
    }
}
