//! The challenge of a 402: what may be paid, and how a wallet that has paid signs in (x402.md sections 2 and 8).
//!
//! 1. `resource.url` and `info.uri` are an origin of ours with path and query as the client spelled them. A client
//!    compares both with the URL it fetched; where they differ it signs nothing, says nothing and pays.
//! 2. The invitation to sign in is there whenever the route takes sign-ins, also after a payment was refused.
//! 3. No terms at all means that signing in suffices.
//!
//! The members are in the order of the protocol's own server, so that two challenges can be compared as texts.

use std::sync::LazyLock;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{SIGN_IN_EXTENSION, VERSION, terms::Terms, wire};
use crate::{caip::ChainId, siwx::origin::Origin, time::UnixTime};

/// The JSON Schema of a `SIGN-IN-WITH-X` proof. It is the same in every challenge; clients echo it and read none of it.
const SCHEMA: &str = concat!(
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"#,
    r#""domain":{"type":"string"},"address":{"type":"string"},"statement":{"type":"string"},"#,
    r#""uri":{"type":"string","format":"uri"},"version":{"type":"string"},"chainId":{"type":"string"},"#,
    r#""type":{"type":"string"},"nonce":{"type":"string"},"issuedAt":{"type":"string","format":"date-time"},"#,
    r#""expirationTime":{"type":"string","format":"date-time"},"notBefore":{"type":"string","format":"date-time"},"#,
    r#""requestId":{"type":"string"},"resources":{"type":"array","items":{"type":"string","format":"uri"}},"#,
    r#""signature":{"type":"string"}},"required":["domain","address","uri","version","chainId","type","nonce","#,
    r#""issuedAt","signature"]}"#
);

static SCHEMA_VALUE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(SCHEMA).expect("a constant that a test has read"));

/// What a challenge is made of.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// The origin of ours that the request came to.
    pub origin: &'a Origin,
    /// Path and query as the client spelled them.
    pub target: &'a str,
    /// Why there is a challenge.
    pub error: &'a str,
    /// What is sold, for people; may be empty.
    pub description: &'a str,
    /// The type of what is sold; may be empty.
    pub mime_type: &'a str,
    /// What may be paid; empty: signing in suffices.
    pub accepts: &'a [Terms],
    /// The invitation to sign in, on routes that take it.
    pub sign_in: Option<SignIn<'a>>,
}

/// The invitation to sign in.
#[derive(Debug, Clone, Copy)]
pub struct SignIn<'a> {
    /// A new nonce.
    pub nonce: &'a str,
    /// The time now.
    pub issued_at: UnixTime,
    /// Until when the proof is taken.
    pub expires_at: Option<UnixTime>,
    /// A sentence for people in printable ASCII; empty: none.
    pub statement: &'a str,
    /// The chains whose proofs are verified.
    pub chains: &'a [ChainId],
}

/// The challenge as it is written.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired<'a> {
    #[serde(rename = "x402Version")]
    version: u64,
    error: &'a str,
    resource: Resource<'a>,
    accepts: &'a [Terms],
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Extensions<'a>>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    url: String,
    description: &'a str,
    mime_type: &'a str,
}

#[derive(Debug, Clone, Serialize)]
struct Extensions<'a> {
    #[serde(rename = "sign-in-with-x")]
    sign_in: Extension<'a>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Extension<'a> {
    info: Info<'a>,
    supported_chains: Vec<SupportedChain<'a>>,
    schema: &'static Value,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    domain: &'a str,
    uri: String,
    version: &'static str,
    nonce: &'a str,
    issued_at: String,
    resources: [String; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_time: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    statement: &'a str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct SupportedChain<'a> {
    chain_id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// The JSON body beside the header: the same, with what a person with a terminal wants to know.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    required: &'a PaymentRequired<'a>,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    siwx: Option<ProofRefused<'a>>,
}

#[derive(Serialize)]
struct ProofRefused<'a> {
    reason: &'a str,
}

impl<'a> Challenge<'a> {
    /// Writes it out.
    pub fn payment_required(&self) -> PaymentRequired<'a> {
        // A request such as `OPTIONS *` or one without a path still names a resource with one.
        let slash = if self.target.starts_with('/') { "" } else { "/" };
        let url = format!("{}{slash}{}", self.origin, self.target);
        let extensions = self.sign_in.map(|sign_in| Extensions { sign_in: sign_in.extension(self.origin, &url) });
        PaymentRequired {
            version: VERSION,
            error: self.error,
            resource: Resource { url, description: self.description, mime_type: self.mime_type },
            accepts: self.accepts,
            extensions,
        }
    }
}

impl<'a> SignIn<'a> {
    fn extension(&self, origin: &'a Origin, url: &str) -> Extension<'a> {
        let info = Info {
            domain: origin.authority(),
            uri: url.to_owned(),
            version: "1",
            nonce: self.nonce,
            issued_at: self.issued_at.to_string(),
            resources: [url.to_owned()],
            expiration_time: self.expires_at.map(|time| time.to_string()),
            statement: self.statement,
        };
        let supported_chains = self
            .chains
            .iter()
            .map(|chain| SupportedChain { chain_id: chain.as_str(), kind: signature_type(chain) })
            .collect();
        Extension { info, supported_chains, schema: &SCHEMA_VALUE }
    }
}

/// The `type` of a chain in a challenge: how its accounts sign.
pub fn signature_type(chain: &ChainId) -> &'static str {
    if chain.namespace() == "solana" { "ed25519" } else { "eip191" }
}

impl PaymentRequired<'_> {
    /// Its JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("texts and values that were JSON are JSON")
    }

    /// The value of the `PAYMENT-REQUIRED` header.
    pub fn header(&self) -> String {
        wire::encode_header(&self.json())
    }

    /// The JSON body, with the code of the answer and why a sign-in proof was refused, if one was.
    pub fn body(&self, code: &str, siwx_reason: Option<&str>) -> Vec<u8> {
        let siwx = siwx_reason.map(|reason| ProofRefused { reason });
        let body = Body { required: self, code, siwx };
        serde_json::to_vec(&body).expect("texts and values that were JSON are JSON")
    }

    /// The extensions it advertises, to compare a payment's echo with.
    pub fn extensions(&self) -> Map<String, Value> {
        let sign_in = self.extensions.as_ref().map(|extensions| &extensions.sign_in);
        let value = sign_in.map(|sign_in| serde_json::to_value(sign_in).expect("texts and values are values"));
        value.into_iter().map(|value| (SIGN_IN_EXTENSION.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::parse(text).expect(text)
    }

    fn challenge<'a>(origin: &'a Origin, target: &'a str) -> Challenge<'a> {
        Challenge {
            origin,
            target,
            error: "Payment required",
            description: "",
            mime_type: "",
            accepts: &[],
            sign_in: Some(SignIn {
                nonce: "abcdefgh",
                issued_at: UnixTime::from_secs(0),
                expires_at: None,
                statement: "",
                chains: &[],
            }),
        }
    }

    #[test]
    fn the_schema_is_one_value_in_one_spelling() {
        assert_eq!(SCHEMA_VALUE.to_string(), SCHEMA);
    }

    #[test]
    fn resources_are_named_behind_our_origin_as_the_client_spelled_them() {
        let rows = [
            ("https://api.example.com", "/a", "api.example.com", "https://api.example.com/a"),
            ("https://api.example.com:8443", "/a?b=c", "api.example.com:8443", "https://api.example.com:8443/a?b=c"),
            ("http://[::1]:8080", "/%77", "[::1]:8080", "http://[::1]:8080/%77"),
            ("https://api.example.com", "", "api.example.com", "https://api.example.com/"),
            ("https://api.example.com", "?q", "api.example.com", "https://api.example.com/?q"),
        ];
        for (ours, target, domain, url) in rows {
            let ours = origin(ours);
            let written = serde_json::to_value(challenge(&ours, target).payment_required()).expect("JSON");
            let info = &written["extensions"][SIGN_IN_EXTENSION]["info"];
            assert_eq!(written["resource"]["url"], url, "{target}");
            assert_eq!((&info["domain"], &info["uri"]), (&domain.into(), &url.into()), "{target}");
            assert_eq!(info["resources"], serde_json::json!([url]), "{target}");
        }
    }

    #[test]
    fn the_body_adds_what_people_want_to_know() {
        let ours = origin("https://api.example.com");
        let plain = Challenge { sign_in: None, ..challenge(&ours, "/a") };
        let required = plain.payment_required();
        let json = concat!(
            r#"{"x402Version":2,"error":"Payment required","resource":"#,
            r#"{"url":"https://api.example.com/a","description":"","mimeType":""},"accepts":[]}"#
        );
        assert_eq!(required.json(), json);
        assert_eq!(wire::decode_header(required.header().as_bytes()), Ok(json.as_bytes().to_vec()));
        let body = |reason| String::from_utf8(required.body("payment_required", reason)).expect("UTF-8");
        let open = json.strip_suffix('}').expect("an object");
        assert_eq!(body(None), format!(r#"{open},"code":"payment_required"}}"#));
        assert_eq!(
            body(Some("invalid_siwx_expired")),
            format!(r#"{open},"code":"payment_required","siwx":{{"reason":"invalid_siwx_expired"}}}}"#)
        );
    }

    #[test]
    fn extensions_are_those_that_were_written() {
        let ours = origin("https://api.example.com");
        let required = challenge(&ours, "/a").payment_required();
        let written = serde_json::to_value(&required).expect("JSON");
        assert_eq!(Value::Object(required.extensions()), written["extensions"]);
        let plain = Challenge { sign_in: None, ..challenge(&ours, "/a") };
        assert_eq!(plain.payment_required().extensions(), Map::new());
    }

    #[test]
    fn foreign_characters_stay_inside_their_texts() {
        let ours = origin("https://api.example.com");
        let odd = Challenge { error: "\"},\u{7}é", ..challenge(&ours, "/\"\\") };
        let read = wire::parse_object(odd.payment_required().json().as_bytes()).expect("an object");
        assert_eq!(read["error"], "\"},\u{7}é");
        assert_eq!(read["resource"]["url"], "https://api.example.com/\"\\");
    }
}
