//! Carries a session in a cookie (sessions.md section 2.3, RFC 6265 section 5.4).
//!
//! 1. The name is compared byte for byte: what looks like it is another cookie.
//! 2. Two cookies of the name are a refusal, in one field or in several: who set the other one is not known, and a
//!    sibling domain could have (hardening.md row C6).
//! 3. A browser sends its cookies with whatever a page asks for. Therefore a cookie counts only where nothing was
//!    presented on purpose, and what changes something needs a page that may ask for it.

use http::{HeaderMap, header::COOKIE};

use super::{Carrier, CarrierName, Conflict, CredentialError, Presented};

/// The carrier of sessions in a cookie of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    name: Box<str>,
}

impl Cookie {
    /// A carrier that looks for a cookie of this name.
    pub fn new(name: &str) -> Self {
        Self { name: name.into() }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of one `name=value`, if the name is this one's.
    fn value<'v>(&self, pair: &'v [u8]) -> Option<&'v [u8]> {
        let rest = pair.trim_ascii().strip_prefix(self.name.as_bytes())?;
        // Blanks around the sign are left out by some who read it, so that `name =x` must not pass as another cookie.
        rest.trim_ascii_start().strip_prefix(b"=").map(<[u8]>::trim_ascii)
    }

    /// Whether one pair of a field is ours.
    pub fn is_ours(&self, pair: &[u8]) -> bool {
        self.value(pair).is_some()
    }
}

impl Carrier for Cookie {
    fn name(&self) -> CarrierName {
        CarrierName::Cookie
    }

    fn present<'h>(&self, headers: &'h HeaderMap) -> Result<Option<Presented<'h>>, CredentialError> {
        let pairs = headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
        let mut found = None;
        for bytes in pairs.filter_map(|pair| self.value(pair)) {
            if found.is_some() {
                return Err(Conflict::Repeated(CarrierName::Cookie).into());
            }
            found = Some(Presented { carrier: CarrierName::Cookie, bytes });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(values: &[&str]) -> Result<Option<Vec<u8>>, CredentialError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, value.parse().expect("a header value"));
        }
        Cookie::new("__Host-siwx").present(&headers).map(|found| found.map(|found| found.bytes.to_vec()))
    }

    #[test]
    fn what_is_the_cookie_and_what_is_not() {
        let conflict = || Err(Conflict::Repeated(CarrierName::Cookie).into());
        type Row<'t> = (&'t str, &'t [&'t str], Result<Option<Vec<u8>>, CredentialError>);
        let rows: &[Row<'_>] = &[
            ("nothing", &[], Ok(None)),
            ("alone", &["__Host-siwx=a"], Ok(Some(b"a".to_vec()))),
            ("among others", &["theme=dark; __Host-siwx=a; lang=en"], Ok(Some(b"a".to_vec()))),
            ("without blanks between", &["theme=dark;__Host-siwx=a;lang=en"], Ok(Some(b"a".to_vec()))),
            ("in a field of its own", &["theme=dark", "__Host-siwx=a"], Ok(Some(b"a".to_vec()))),
            ("blanks around the sign", &["__Host-siwx = a "], Ok(Some(b"a".to_vec()))),
            ("empty", &["__Host-siwx="], Ok(Some(Vec::new()))),
            ("in another case", &["__host-siwx=a"], Ok(None)),
            ("a longer name", &["__Host-siwx2=a"], Ok(None)),
            ("a longer name before it", &["x__Host-siwx=a"], Ok(None)),
            ("a name without a value", &["__Host-siwx"], Ok(None)),
            ("in another cookie's value", &["a=__Host-siwx=a"], Ok(None)),
            ("two in one field", &["__Host-siwx=a; __Host-siwx=a"], conflict()),
            ("two in two fields", &["__Host-siwx=a", "__Host-siwx=b"], conflict()),
            ("one and an empty one", &["__Host-siwx=a; __Host-siwx="], conflict()),
        ];
        for (name, values, expected) in rows {
            assert_eq!(&presented(values), expected, "{name}");
        }
    }
}
