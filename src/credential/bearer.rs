//! Carries a session token in the `Authorization` header, as `Bearer` (RFC 6750 section 2.1).
//!
//! 1. `Bearer` is ours where sessions are on and the route takes them; elsewhere it is somebody else's (decision 18).
//! 2. The scheme is compared without regard to case, then one space; what follows is the token, as received.
//! 3. Two `Authorization` fields are a refusal when one of them is a `Bearer`.

use http::{HeaderMap, header::AUTHORIZATION};

use super::{Carrier, CarrierName, Conflict, CredentialError, Presented, authorization::after_scheme};

/// The scheme's name.
const SCHEME: &str = "Bearer";

/// The carrier of session tokens in `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer;

impl Bearer {
    /// The tokens that a field value may name, to whoever takes it for a list, or a blank for any white space.
    pub fn tokens_in(value: &[u8]) -> impl Iterator<Item = &[u8]> {
        let elements = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        elements.filter_map(|element| {
            let (name, rest) = element.split_at_checked(SCHEME.len())?;
            let named =
                name.eq_ignore_ascii_case(SCHEME.as_bytes()) && rest.first().is_none_or(u8::is_ascii_whitespace);
            named.then(|| rest.trim_ascii())
        })
    }

    /// The token of a field value, if its scheme is `Bearer`.
    pub fn token(value: &[u8]) -> Option<&[u8]> {
        after_scheme(value, SCHEME)
    }
}

impl Carrier for Bearer {
    fn name(&self) -> CarrierName {
        CarrierName::Bearer
    }

    fn present<'h>(&self, headers: &'h HeaderMap) -> Result<Option<Presented<'h>>, CredentialError> {
        let mut fields = headers.get_all(AUTHORIZATION).iter().map(|value| Self::token(value.as_bytes()));
        let Some(first) = fields.next() else {
            return Ok(None);
        };
        match fields.next() {
            None => Ok(first.map(|bytes| Presented { carrier: self.name(), bytes })),
            Some(second) if first.or(second).is_some() || fields.any(|more| more.is_some()) => {
                Err(Conflict::Repeated(self.name()).into())
            }
            Some(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(values: &[&str]) -> Result<Option<Vec<u8>>, CredentialError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header value"));
        }
        Bearer.present(&headers).map(|found| found.map(|found| found.bytes.to_vec()))
    }

    #[test]
    fn tokens_are_seen_wherever_an_upstream_might_see_them() {
        let rows: [(&str, &[&str]); 6] = [
            ("Bearer a", &["a"]),
            ("bearer\ta", &["a"]),
            ("Basic dTpw, Bearer a,Bearer  b", &["a", "b"]),
            ("Bearer", &[""]),
            ("BearerX a", &[]),
            ("Basic Bearer", &[]),
        ];
        for (value, expected) in rows {
            let found: Vec<_> = Bearer::tokens_in(value.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|token| token.as_bytes()).collect();
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn what_is_a_bearer_and_what_is_not() {
        let conflict = || Err(Conflict::Repeated(CarrierName::Bearer).into());
        type Row<'t> = (&'t str, &'t [&'t str], Result<Option<Vec<u8>>, CredentialError>);
        let rows: &[Row<'_>] = &[
            ("nothing", &[], Ok(None)),
            ("a token", &["Bearer siwxs_a"], Ok(Some(b"siwxs_a".to_vec()))),
            ("in another case", &["bEARER a"], Ok(Some(b"a".to_vec()))),
            ("without a token", &["Bearer"], Ok(Some(Vec::new()))),
            ("another scheme", &["Basic YTpi"], Ok(None)),
            ("a longer scheme", &["BearerX a"], Ok(None)),
            ("two of them", &["Bearer a", "Bearer a"], conflict()),
            ("one beside another scheme", &["Basic YTpi", "Bearer a"], conflict()),
            ("one after two of another scheme", &["Basic YTpi", "Basic YTpi", "Bearer a"], conflict()),
            ("two of another scheme", &["Basic YTpi", "Basic YTpi"], Ok(None)),
        ];
        for (name, values, expected) in rows {
            assert_eq!(&presented(values), expected, "{name}");
        }
    }
}
