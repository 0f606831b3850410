//! How x402 puts JSON into header fields (x402.md section 1), and the outcome of a settlement as it travels.
//!
//! 1. Out: padded base64 of the standard alphabet. In: the same, the padding right or absent. The URL-safe alphabet
//!    and stray bits in the last character are refused, as nobody sends them.
//! 2. An object is read as [`json`] reads it: one that names a member twice is refused, because another
//!    reader of the same bytes, a facilitator say, may choose the other.
//! 3. Length and depth are bounded before anything is kept.

use data_encoding::{BASE64, BASE64_NOPAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::HEADER_BYTES_MAX;
use crate::json::{self, DEPTH_MAX, JsonError};

/// Characters kept of a reason that a facilitator gives (x402.md section 4).
const REASON_CHARS_MAX: usize = 200;

/// Why a header value, or the JSON in it, is not what it should be. It is the client's, or the facilitator's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Not base64 of the standard alphabet.
    #[error("expected standard base64")]
    Base64,
    /// More objects or lists inside each other than are read.
    #[error("expected at most {DEPTH_MAX} objects and lists inside each other, found more")]
    Depth,
    /// A member is there twice.
    #[error("expected each member of an object once, found one twice")]
    Duplicate,
    /// Not one JSON value in UTF-8.
    #[error("expected one JSON value, found something else")]
    Json,
    /// The value is `null`.
    #[error("expected a JSON object, found null")]
    Null,
    /// A JSON value of another kind.
    #[error("expected a JSON object, found {0}")]
    Kind(&'static str),
    /// Longer than a header value may be.
    #[error("expected at most {HEADER_BYTES_MAX} bytes, found {0}")]
    Length(usize),
    /// An object that is no outcome of a settlement.
    #[error("expected a settlement response with `success`, `transaction` and `network`, found something else")]
    Response,
}

impl HeaderError {
    /// A stable name for logs and answers.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Base64 => "not_base64",
            Self::Depth => "too_deep",
            Self::Duplicate => "duplicate_member",
            Self::Json => "not_json",
            Self::Kind(_) | Self::Null => "not_an_object",
            Self::Length(_) => "too_long",
            Self::Response => "not_a_settlement_response",
        }
    }
}

/// Writes JSON as a header value.
pub fn encode_header(json: &str) -> String {
    BASE64.encode(json.as_bytes())
}

/// The bytes that a header value carries, whatever they are.
pub fn decode_header(value: &[u8]) -> Result<Vec<u8>, HeaderError> {
    if value.len() > HEADER_BYTES_MAX {
        return Err(HeaderError::Length(value.len()));
    }
    // The decoder that takes padding takes it in the middle as well, and so one value would have many spellings.
    let padding = value.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 || (padding > 0 && !value.len().is_multiple_of(4)) {
        return Err(HeaderError::Base64);
    }
    BASE64_NOPAD.decode(&value[..value.len() - padding]).map_err(|_| HeaderError::Base64)
}

/// Reads one JSON object that fills the bytes, its members in their order.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, HeaderError> {
    json::parse_object(bytes).map_err(|error| match error {
        JsonError::Depth => HeaderError::Depth,
        JsonError::Duplicate => HeaderError::Duplicate,
        JsonError::Form => HeaderError::Json,
        JsonError::Kind(kind) => HeaderError::Kind(kind),
        JsonError::Null => HeaderError::Null,
    })
}

/// The outcome of a settlement: a facilitator's answer, and what a client reads in `PAYMENT-RESPONSE`.
///
/// Members that are `null` or of no known name are not kept; a client is shown what the protocol defines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentResponse {
    /// Whether the payment was settled.
    pub success: bool,
    /// Why not, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Who paid, as the facilitator spells the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The transaction on the chain; empty if there is none.
    pub transaction: String,
    /// The chain, as CAIP-2.
    pub network: String,
    /// How much was paid, in the smallest unit of the asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// What extensions of the protocol add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
    /// What the scheme adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

impl PaymentResponse {
    /// Reads a facilitator's answer, or one that was stored. Reasons are cut to 200 printable characters.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let members = parse_object(bytes)?;
        let read: Result<Self, _> = serde_json::from_value(Value::Object(members));
        let mut response = read.map_err(|_| HeaderError::Response)?;
        response.error_reason = response.error_reason.as_deref().map(printable);
        response.error_message = response.error_message.as_deref().map(printable);
        Ok(response)
    }

    /// Its JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("texts and values that were JSON are JSON")
    }

    /// The header value.
    pub fn header(&self) -> String {
        encode_header(&self.json())
    }
}

/// A foreign text as it may be shown: its printable ASCII characters, 200 at most.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~')).take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn header_values_are_base64_with_padding_or_without() {
        type Row<'a> = (&'a str, &'a [u8], Result<&'a [u8], HeaderError>);
        let rows: &[Row<'_>] = &[
            ("empty", b"", Ok(b"")),
            ("padded", b"e30=", Ok(b"{}")),
            ("unpadded", b"e30", Ok(b"{}")),
            ("two signs of padding", b"eyI=", Ok(b"{\"")),
            ("too much padding", b"e30==", Err(HeaderError::Base64)),
            ("only padding", b"=", Err(HeaderError::Base64)),
            ("nothing but padding", b"====", Err(HeaderError::Base64)),
            ("padding in the middle", b"eyI=In0=", Err(HeaderError::Base64)),
            ("padding in the middle alone", b"ew==fSAg", Err(HeaderError::Base64)),
            ("one letter", b"e", Err(HeaderError::Base64)),
            ("stray bits", b"e31=", Err(HeaderError::Base64)),
            ("URL-safe", b"Pj4-Pj8_", Err(HeaderError::Base64)),
            ("a blank", b"e3 0=", Err(HeaderError::Base64)),
            ("no letters", b"!!!!", Err(HeaderError::Base64)),
            ("not ASCII", "é".as_bytes(), Err(HeaderError::Base64)),
        ];
        for (name, value, expected) in rows {
            assert_eq!(decode_header(value).as_deref(), expected.as_ref().copied(), "{name}");
        }
    }

    #[test]
    fn header_values_have_a_length() {
        let longest = vec![b'A'; HEADER_BYTES_MAX];
        assert_eq!(decode_header(&longest).map(|bytes| bytes.len()), Ok(12 * 1024));
        let longer = vec![b'A'; HEADER_BYTES_MAX + 1];
        assert_eq!(decode_header(&longer), Err(HeaderError::Length(HEADER_BYTES_MAX + 1)));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["", "{}", "{\"a\":1}", "{\"å\":\"€\"}"] {
            assert_eq!(decode_header(encode_header(text).as_bytes()).as_deref(), Ok(text.as_bytes()), "{text}");
        }
        assert_eq!(encode_header("{}"), "e30=");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        let rows: &[(&str, &[u8], HeaderError)] = &[
            ("nothing", b"", HeaderError::Json),
            ("null", b"null", HeaderError::Null),
            ("a list", b"[{}]", HeaderError::Kind("a list")),
            ("a member twice", br#"{"a":1,"b":2,"a":1}"#, HeaderError::Duplicate),
            ("too deep", deep.as_bytes(), HeaderError::Depth),
        ];
        for (name, bytes, expected) in rows {
            assert_eq!(parse_object(bytes).as_ref(), Err(expected), "{name}");
        }
    }

    #[test]
    fn settlement_responses_keep_what_the_protocol_defines() {
        let answer = json!({
            "success": true, "errorReason": null, "payer": "0xAB", "transaction": "0xcd", "network": "eip155:84532",
            "amount": "10000", "extra": {"x": 1}, "unknown": 7
        });
        let response = PaymentResponse::parse(answer.to_string().as_bytes()).expect("a response");
        let kept = r#"{"success":true,"payer":"0xAB","transaction":"0xcd","network":"eip155:84532","amount":"10000","extra":{"x":1}}"#;
        assert_eq!(response.json(), kept);
        assert_eq!(decode_header(response.header().as_bytes()).as_deref(), Ok(kept.as_bytes()));
        assert_eq!(PaymentResponse::parse(kept.as_bytes()), Ok(response));
    }

    #[test]
    fn nonsense_is_no_settlement_response() {
        for text in [
            "{}",
            r#"{"success":"yes","transaction":"","network":""}"#,
            r#"{"success":false,"network":"eip155:1"}"#,
            r#"{"success":true,"transaction":null,"network":"eip155:1"}"#,
            r#"{"success":true,"transaction":"","network":"eip155:1","payer":{}}"#,
        ] {
            assert_eq!(PaymentResponse::parse(text.as_bytes()), Err(HeaderError::Response), "{text}");
        }
    }

    #[test]
    fn reasons_are_short_and_printable() {
        let answer = json!({
            "success": false, "errorReason": "a\u{1b}[31mb\nç".to_owned() + &"x".repeat(300), "transaction": "",
            "network": "eip155:1"
        });
        let response = PaymentResponse::parse(answer.to_string().as_bytes()).expect("a response");
        assert_eq!(response.error_reason, Some("a[31mb".to_owned() + &"x".repeat(194)));
    }
}
