//! `Authorization` from header fields to the account that a token proves.
//!
//! An input is a head: a `name: value` a line.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use siwx_gateway::{
    chain::{self, Accepts},
    credential::{
        Authorization, Bearer, CREDENTIAL_BYTES_MAX, CarrierName, Carriers, Cookie, Presented, SignInWithX, present,
    },
    session::id::{SessionId, SessionKey},
    siwx::message::Reading,
};

use super::is_fit_to_show;

/// What is found is one credential, borrowed from one field; a token holds the text that is judged, and nothing else.
pub fn judge(bytes: &[u8]) {
    let headers = headers(bytes);
    let carriers = Carriers {
        authorization: Some(Authorization::new(vec!["SIWX".to_owned(), "SIWX-Test".to_owned()])),
        sign_in_with_x: Some(SignInWithX),
        bearer: Some(Bearer),
        cookie: Some(Cookie::new("__Host-siwx")),
    };
    let presented = match present(&headers, &carriers) {
        Ok(Some(presented)) => presented,
        Ok(None) => return,
        Err(error) => return is_fit_to_show(&error.to_string()),
    };
    let (name, siblings) = match presented.carrier() {
        CarrierName::Authorization | CarrierName::Bearer => ("authorization", 1),
        CarrierName::SignInWithX => ("sign-in-with-x", 1),
        CarrierName::Cookie => ("cookie", usize::MAX),
    };
    let fields: Vec<_> = headers.get_all(name).iter().collect();
    assert!(fields.len() <= siblings, "one of several fields was taken");
    assert!(fields.iter().any(|field| contains(field.as_bytes(), presented.bytes())));
    match presented.carrier() {
        CarrierName::Authorization => judge_token(&presented),
        CarrierName::Bearer | CarrierName::Cookie => judge_session(presented.bytes()),
        CarrierName::SignInWithX => {}
    }
}

fn judge_token(presented: &Presented<'_>) {
    let proof = match presented.decode(&Reading::default()) {
        Ok(proof) => proof,
        Err(error) => return is_fit_to_show(&error.to_string()),
    };
    assert!(presented.len() <= CREDENTIAL_BYTES_MAX);
    assert_eq!(proof.message().render(), proof.text());
    let message = presented.bytes().split(|byte| *byte == b'.').next().unwrap_or_default().to_vec();
    let message = String::from_utf8(message).expect("base64 is ASCII");
    let spellings = [BASE64_NOPAD, BASE64URL_NOPAD].map(|encoding| encoding.encode(proof.text().as_bytes()));
    assert!(spellings.iter().any(|text| *text == message.trim_end_matches('=')), "a token has one spelling");
    for accepts in [Accepts::default(), Accepts::all()] {
        match chain::verify(&proof, &accepts) {
            Ok(verified) => assert_eq!(Some(verified.account()), proof.message().account.as_ref()),
            Err(error) => is_fit_to_show(&error.to_string()),
        }
    }
}

fn judge_session(bytes: &[u8]) {
    let Some(id) = std::str::from_utf8(bytes).ok().and_then(SessionId::parse) else {
        return;
    };
    assert!(SessionKey::is_meant(bytes));
    assert_eq!(Some(id.key()), SessionKey::of_presented(bytes), "two ways to the key of a session");
}

/// The fields of a head, as far as they are fields.
fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(32) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

fn contains(field: &[u8], part: &[u8]) -> bool {
    part.is_empty() || field.windows(part.len()).any(|window| window == part)
}
