//! The test facilitator of the demo. It moves no money and asks no chain; nothing outside `demo` can reach it.
//!
//! 1. It knows one thing: scheme `exact` on an EVM chain by EIP-3009. Signature, recipient, amount and times are checked
//!    as a facilitator checks them, and a nonce is settled once. Balances are not: everybody is rich.
//! 2. Each of its answers says that it is a test; its transactions have names that no chain has.

use std::{
    collections::HashSet,
    convert::Infallible,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::transfer::{Token, Transfer};
use crate::{
    app::SystemClock,
    chain::eip155::address::{self, checksummed},
    time::{Clock as _, UnixTime},
    x402::VERSION,
};

/// What it says of itself in every answer.
const NOTE: &str = "test facilitator of the demo: no money moves";

/// Bytes of a request at most: a payment is bounded by a header's length.
const BODY_MAX: usize = 64 * 1024;

/// The nonces that were settled, each with its payer.
#[derive(Debug, Default)]
pub(super) struct Books(HashSet<([u8; 20], [u8; 32])>);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Settle,
    Verify,
}

/// Serves one network until dropped.
pub(super) async fn serve(listener: TcpListener, network: &'static str) -> io::Result<()> {
    let books = Arc::new(Mutex::new(Books::default()));
    loop {
        let (stream, _) = listener.accept().await?;
        let books = Arc::clone(&books);
        let service = service_fn(move |request| {
            let books = Arc::clone(&books);
            async move { Ok::<_, Infallible>(answer(request, network, &books).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, network: &str, books: &Mutex<Books>) -> Response<Full<Bytes>> {
    let call = match request.uri().path() {
        "/settle" => Call::Settle,
        "/verify" => Call::Verify,
        "/supported" => return said(StatusCode::OK, &supported(network)),
        _ => return said(StatusCode::NOT_FOUND, &json!({ "note": NOTE })),
    };
    let body = Limited::new(request.into_body(), BODY_MAX).collect().await;
    let read = body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    let Some(question) = read else {
        return said(StatusCode::BAD_REQUEST, &json!({ "note": NOTE }));
    };
    let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
    said(StatusCode::OK, &books.answer(call, &question, SystemClock.now()))
}

fn said(status: StatusCode, json: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(json.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn supported(network: &str) -> Value {
    let kind = json!({ "x402Version": VERSION, "scheme": "exact", "network": network, "extra": { "note": NOTE } });
    json!({ "kinds": [kind], "extensions": [], "signers": {}, "note": NOTE })
}

// === impl Books ===

impl Books {
    /// Answers a `/verify` or a `/settle`, and keeps what was settled.
    fn answer(&mut self, call: Call, question: &Value, now: UnixTime) -> Value {
        let network = &question["paymentRequirements"]["network"];
        match (call, self.judge(question, now)) {
            (Call::Verify, Ok(transfer)) => {
                json!({ "isValid": true, "payer": checksummed(&transfer.from), "extra": { "note": NOTE } })
            }
            (Call::Verify, Err(reason)) => {
                json!({ "isValid": false, "invalidReason": reason, "invalidMessage": NOTE })
            }
            (Call::Settle, Ok(transfer)) => {
                self.0.insert((transfer.from, transfer.nonce));
                json!({
                    "success": true,
                    "payer": checksummed(&transfer.from),
                    "transaction": format!("test-{}", self.0.len()),
                    "network": network,
                    "extra": { "note": NOTE },
                })
            }
            (Call::Settle, Err(reason)) => {
                json!({
                    "success": false,
                    "errorReason": reason,
                    "errorMessage": NOTE,
                    "transaction": "",
                    "network": network,
                })
            }
        }
    }

    /// The transfer that a payment authorises, if it would settle, or the word that facilitators have for why not.
    fn judge(&self, question: &Value, now: UnixTime) -> Result<Transfer, &'static str> {
        let (payload, requirement) = (&question["paymentPayload"]["payload"], &question["paymentRequirements"]);
        let token = Token::of(requirement).filter(|_| requirement["scheme"] == "exact").ok_or("unsupported_scheme")?;
        let transfer = Transfer::read(&payload["authorization"]).ok_or("invalid_payload")?;
        let pay_to = requirement["payTo"].as_str().and_then(|pay_to| address::parse(pay_to).ok());
        let now_secs = u64::try_from(now.secs()).unwrap_or_default();
        if pay_to != Some(transfer.to) {
            return Err("invalid_exact_evm_recipient_mismatch");
        }
        if requirement["amount"].as_str() != Some(transfer.value.to_string().as_str()) {
            return Err("invalid_exact_evm_payload_authorization_value_mismatch");
        }
        if now_secs <= transfer.valid_after {
            return Err("invalid_exact_evm_payload_authorization_valid_after");
        }
        if now_secs >= transfer.valid_before {
            return Err("invalid_exact_evm_payload_authorization_valid_before");
        }
        if !payload["signature"].as_str().is_some_and(|signature| transfer.is_signed(&token, signature)) {
            return Err("invalid_exact_evm_signature");
        }
        if self.0.contains(&(transfer.from, transfer.nonce)) {
            return Err("invalid_exact_evm_nonce_already_used");
        }
        Ok(transfer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of the minute in which the published client's payment is good, and the one at which it ends.
    const NOW: UnixTime = UnixTime::from_secs(1_795_168_800);
    const END: UnixTime = UnixTime::from_secs(1_795_168_860);

    const PAYER: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";

    /// What the published client asks a facilitator, from the vectors of payments.
    fn question() -> Value {
        let vectors = include_str!("../../../tests/vectors/x402-payments.json");
        let vectors: Value = serde_json::from_str(vectors).expect("JSON");
        vectors["facilitatorRequest"]["calls"][0]["body"].clone()
    }

    /// The same with another value somewhere in it.
    fn changed(pointer: &str, value: &str) -> Value {
        let mut question = question();
        *question.pointer_mut(pointer).expect(pointer) = value.into();
        question
    }

    #[test]
    fn a_payment_of_the_published_client_is_settled_once() {
        let mut books = Books::default();
        let valid = json!({ "isValid": true, "payer": PAYER, "extra": { "note": NOTE } });
        assert_eq!(books.answer(Call::Verify, &question(), NOW), valid);
        // Verifying uses up nothing.
        assert_eq!(books.answer(Call::Verify, &question(), NOW), valid);
        let settled = json!({
            "success": true, "payer": PAYER, "transaction": "test-1", "network": "eip155:84532",
            "extra": { "note": NOTE },
        });
        assert_eq!(books.answer(Call::Settle, &question(), NOW), settled);
        let used = "invalid_exact_evm_nonce_already_used";
        let refused = json!({
            "success": false, "errorReason": used, "errorMessage": NOTE, "transaction": "", "network": "eip155:84532",
        });
        assert_eq!(books.answer(Call::Settle, &question(), NOW), refused);
        let invalid = json!({ "isValid": false, "invalidReason": used, "invalidMessage": NOTE });
        assert_eq!(books.answer(Call::Verify, &question(), NOW), invalid);
    }

    #[test]
    fn every_part_of_a_payment_is_looked_at() {
        let authorization = |member: &str| format!("/paymentPayload/payload/authorization/{member}");
        let signature = question()["paymentPayload"]["payload"]["signature"].as_str().expect("a text").to_owned();
        let v28 = format!("{}1c", &signature[..130]);
        let wrong = "invalid_exact_evm_signature";
        let rows = [
            ("as the client made it", question(), NOW, None),
            ("in its last second", question(), END.plus_millis(-1), None),
            ("at its end", question(), END, Some("invalid_exact_evm_payload_authorization_valid_before")),
            (
                "before its time",
                changed(&authorization("validAfter"), "1795168800"),
                NOW,
                Some("invalid_exact_evm_payload_authorization_valid_after"),
            ),
            ("from its time on", changed(&authorization("validAfter"), "1795168799"), NOW, Some(wrong)),
            ("a longer life", changed(&authorization("validBefore"), "1795168861"), NOW, Some(wrong)),
            ("another payer", changed(&authorization("from"), &checksummed(&[7; 20])), NOW, Some(wrong)),
            (
                "another recipient",
                changed(&authorization("to"), PAYER),
                NOW,
                Some("invalid_exact_evm_recipient_mismatch"),
            ),
            (
                "less",
                changed(&authorization("value"), "9999"),
                NOW,
                Some("invalid_exact_evm_payload_authorization_value_mismatch"),
            ),
            ("another nonce", changed(&authorization("nonce"), &format!("0x{}", "00".repeat(32))), NOW, Some(wrong)),
            ("a nonce that is none", changed(&authorization("nonce"), "0x00"), NOW, Some("invalid_payload")),
            ("another token", changed("/paymentRequirements/asset", PAYER), NOW, Some(wrong)),
            ("another name of the token", changed("/paymentRequirements/extra/name", "USD Coin"), NOW, Some(wrong)),
            ("another version of it", changed("/paymentRequirements/extra/version", "1"), NOW, Some(wrong)),
            ("another chain", changed("/paymentRequirements/network", "eip155:8453"), NOW, Some(wrong)),
            ("no EVM chain", changed("/paymentRequirements/network", "solana:x"), NOW, Some("unsupported_scheme")),
            ("another scheme", changed("/paymentRequirements/scheme", "upto"), NOW, Some("unsupported_scheme")),
            ("another parity", changed("/paymentPayload/payload/signature", &v28), NOW, Some(wrong)),
            ("no signature", changed("/paymentPayload/payload/signature", "0x"), NOW, Some(wrong)),
        ];
        for (name, question, now, expected) in rows {
            assert_eq!(Books::default().judge(&question, now).err(), expected, "{name}");
        }
    }

    #[test]
    fn every_answer_says_that_it_is_a_test() {
        let mut books = Books::default();
        let answers = [
            supported("eip155:84532"),
            books.answer(Call::Verify, &question(), NOW),
            books.answer(Call::Verify, &Value::Null, NOW),
            books.answer(Call::Settle, &question(), NOW),
            books.answer(Call::Settle, &Value::Null, NOW),
        ];
        for answer in answers {
            assert!(answer.to_string().contains("test facilitator"), "{answer}");
        }
    }
}
