//! Answers of a facilitator, read: JSON to what it means, or why it means nothing. Nothing is asked here.
//!
//! 1. What counts is `isValid` or `success`; an answer that has it is one, whatever its status (x402.md section 4).
//! 2. Optional members may be `null`. Unknown ones are ignored, and never reach a client.
//! 3. A client gets the members of a `SettlementResponse` alone, reasons at most 200 printable characters.
//! 4. Errors say which member was expected and what kind of value was found, never the value.

use serde_json::{Map, Value};
use thiserror::Error;

use super::agreement::{Agreement, Disagreement};
use crate::caip::is_address;

/// What verify said of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// It will not settle.
    Invalid(Refusal),
    /// It would settle now. `payer` is whom the facilitator names, if anybody.
    Valid {
        /// The address as the facilitator spells it.
        payer: Option<String>,
    },
}

/// Why a payment was refused: text of the facilitator, limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `invalidReason` or `errorReason`; empty if none was given.
    pub reason: String,
    /// `invalidMessage` or `errorMessage`.
    pub message: Option<String>,
}

/// What settle said of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It was not concluded: the money may still move. Keep the payment, and ask again later.
    Pending(Response),
    /// It was refused, and was never said to be under way.
    Refused(Refusal, Response),
    /// The money moved.
    Settled {
        /// The payer's address as the facilitator spells it, if it names one.
        payer: Option<String>,
        /// The transaction; empty if none was needed, as for a charge of nothing.
        transaction: String,
        /// What a client is told.
        response: Response,
    },
}

/// A `SettlementResponse` as clients get it in `PAYMENT-RESPONSE`, before base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response(Value);

/// Why an answer means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// Two names for what must be one.
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    /// It is no JSON.
    #[error("expected JSON, found something else")]
    Json,
    /// It is no list of what is supported.
    #[error("expected a JSON object with a list `kinds`, found something else")]
    Kinds,
    /// A member is missing or something else than it should be.
    #[error("expected {expected} in `{member}`, found {found}")]
    Member {
        /// Its name.
        member: &'static str,
        /// What should be there.
        expected: &'static str,
        /// What kind of value is there.
        found: &'static str,
    },
    /// It is no object.
    #[error("expected a JSON object, found {0}")]
    Object(&'static str),
}

/// Characters of a reason or message that are passed on.
const REASON_CHARS_MAX: usize = 200;

/// Characters of a transaction's name: EVM has 66, Solana 88.
const TRANSACTION_CHARS_MAX: usize = 256;

/// Bytes of what a facilitator may add for the client beside the members that mean something. In base64 they must fit
/// into a header that servers and clients take.
const ADDED_BYTES_MAX: usize = 4 * 1024;

/// The reason of a settlement that is not concluded.
const PENDING: &str = "settlement_pending";

// === impl Refusal ===

impl Refusal {
    /// Reason and message in one line, as clients are told.
    pub fn text(&self) -> String {
        match &self.message {
            Some(message) if self.reason.is_empty() => message.clone(),
            Some(message) => printable(&format!("{}: {message}", self.reason)),
            None => self.reason.clone(),
        }
    }
}

// === impl Response ===

impl Response {
    /// The object.
    pub const fn as_json(&self) -> &Value {
        &self.0
    }

    /// One that was kept.
    pub const fn kept(json: Value) -> Self {
        Self(json)
    }

    /// The transaction it names; empty if none.
    pub fn transaction(&self) -> &str {
        self.0["transaction"].as_str().unwrap_or_default()
    }

    fn of(object: &Object) -> Result<Self, AnswerError> {
        let mut told = Map::new();
        told.insert("success".to_owned(), object.flag("success")?.into());
        for member in ["errorReason", "errorMessage"] {
            if let Some(text) = object.optional_text(member)? {
                told.insert(member.to_owned(), printable(text).into());
            }
        }
        if let Some(payer) = object.payer()? {
            told.insert("payer".to_owned(), payer.into());
        }
        told.insert("transaction".to_owned(), object.transaction()?.into());
        told.insert("network".to_owned(), object.optional_text("network")?.unwrap_or_default().into());
        if let Some(amount) = object.amount()? {
            told.insert("amount".to_owned(), amount.into());
        }
        for member in ["extensions", "extra"] {
            let added = object.0.get(member).filter(|value| value.is_object());
            if let Some(value) = added.filter(|value| value.to_string().len() <= ADDED_BYTES_MAX) {
                told.insert(member.to_owned(), value.clone());
            }
        }
        Ok(Self(told.into()))
    }
}

/// Reads an answer to verify.
pub(super) fn verification(body: &[u8], agreement: &Agreement) -> Result<Verification, AnswerError> {
    let object = Object::read(body)?;
    let valid = object.flag("isValid")?;
    let payer = object.payer()?;
    agreement.check(payer, object.named_network()?, None)?;
    if !valid {
        return Ok(Verification::Invalid(object.refusal("invalidReason", "invalidMessage")?));
    }
    Ok(Verification::Valid { payer: payer.map(str::to_owned) })
}

/// Reads an answer to settle. `verified` is the payer that verify named.
pub(super) fn settlement(
    body: &[u8],
    agreement: &Agreement,
    verified: Option<&str>,
) -> Result<Settlement, AnswerError> {
    let object = Object::read(body)?;
    let success = object.flag("success")?;
    let payer = object.payer()?;
    // On failure some name no network; on success it is part of what was done.
    let network = if success { Some(object.text("network")?) } else { object.named_network()? };
    agreement.check(payer, network, verified)?;
    if success {
        object.text("transaction")?;
    }
    let mut response = Response::of(&object)?;
    if success {
        let transaction = response.transaction().to_owned();
        return Ok(Settlement::Settled { payer: payer.map(str::to_owned), transaction, response });
    }
    if network.is_none()
        && let Value::Object(told) = &mut response.0
    {
        told.insert("network".to_owned(), agreement.network().into());
    }
    let refusal = object.refusal("errorReason", "errorMessage")?;
    Ok(if refusal.reason == PENDING { Settlement::Pending(response) } else { Settlement::Refused(refusal, response) })
}

/// A JSON object, asked member by member.
struct Object(Map<String, Value>);

impl Object {
    fn read(body: &[u8]) -> Result<Self, AnswerError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(other) => Err(AnswerError::Object(kind(&other))),
            Err(_) => Err(AnswerError::Json),
        }
    }

    fn flag(&self, member: &'static str) -> Result<bool, AnswerError> {
        self.0.get(member).and_then(Value::as_bool).ok_or_else(|| self.unfit(member, "true or false"))
    }

    fn text(&self, member: &'static str) -> Result<&str, AnswerError> {
        self.0.get(member).and_then(Value::as_str).ok_or_else(|| self.unfit(member, "a text"))
    }

    fn optional_text(&self, member: &'static str) -> Result<Option<&str>, AnswerError> {
        match self.0.get(member) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(member).map(Some),
        }
    }

    /// Some name nobody by an empty text.
    fn payer(&self) -> Result<Option<&str>, AnswerError> {
        match self.optional_text("payer")?.filter(|payer| !payer.is_empty()) {
            Some(payer) if !is_address(payer) => Err(self.unfit("payer", "an address")),
            payer => Ok(payer),
        }
    }

    fn named_network(&self) -> Result<Option<&str>, AnswerError> {
        Ok(self.optional_text("network")?.filter(|network| !network.is_empty()))
    }

    fn transaction(&self) -> Result<&str, AnswerError> {
        let transaction = self.optional_text("transaction")?.unwrap_or_default();
        if transaction.len() > TRANSACTION_CHARS_MAX || !transaction.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(self.unfit("transaction", "at most 256 visible characters"));
        }
        Ok(transaction)
    }

    fn amount(&self) -> Result<Option<&str>, AnswerError> {
        match self.optional_text("amount")? {
            Some(amount) if amount.len() > 78 || !amount.bytes().all(|b| b.is_ascii_digit()) => {
                Err(self.unfit("amount", "at most 78 digits"))
            }
            amount => Ok(amount),
        }
    }

    fn refusal(&self, reason: &'static str, message: &'static str) -> Result<Refusal, AnswerError> {
        Ok(Refusal {
            reason: self.optional_text(reason)?.map(printable).unwrap_or_default(),
            message: self.optional_text(message)?.map(printable).filter(|message| !message.is_empty()),
        })
    }

    fn unfit(&self, member: &'static str, expected: &'static str) -> AnswerError {
        AnswerError::Member { member, expected, found: self.0.get(member).map_or("nothing", kind) }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::Bool(_) => "true or false",
        Value::Null => "null",
        Value::Number(_) => "a number",
        Value::Object(_) => "an object",
        Value::String(_) => "a text",
    }
}

/// The printable characters of a text, as many as are passed on. What `Debug` would escape is not printable: controls,
/// line separators, marks that turn the direction of writing.
fn printable(text: &str) -> String {
    let is_printable = |c: &char| matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1;
    text.chars().filter(is_printable).take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALICE: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";
    const BOB: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    const BASE: &str = "eip155:84532";

    fn agreement() -> Agreement {
        Agreement::of(&json!({"payload": {"authorization": {"from": ALICE}}}), &json!({"network": BASE}))
    }

    fn refusal(reason: &str, message: Option<&str>) -> Refusal {
        Refusal { reason: reason.to_owned(), message: message.map(str::to_owned) }
    }

    fn member(member: &'static str, expected: &'static str, found: &'static str) -> AnswerError {
        AnswerError::Member { member, expected, found }
    }

    #[test]
    fn answers_to_verify() {
        let valid = |payer: Option<&str>| Ok(Verification::Valid { payer: payer.map(str::to_owned) });
        let invalid = |reason, message| Ok(Verification::Invalid(refusal(reason, message)));
        let rows = [
            ("valid", json!({"isValid": true, "payer": ALICE}), valid(Some(ALICE))),
            ("nobody named", json!({"isValid": true}), valid(None)),
            ("null", json!({"isValid": true, "payer": null, "invalidReason": null, "extra": null}), valid(None)),
            ("an empty payer", json!({"isValid": true, "payer": ""}), valid(None)),
            ("lower case", json!({"isValid": true, "payer": ALICE.to_lowercase()}), valid(Some(&ALICE.to_lowercase()))),
            ("invalid", json!({"isValid": false, "invalidReason": "x", "payer": ALICE}), invalid("x", None)),
            (
                "message",
                json!({"isValid": false, "invalidReason": "x", "invalidMessage": "y"}),
                invalid("x", Some("y")),
            ),
            ("no reason", json!({"isValid": false, "invalidReason": null}), invalid("", None)),
            ("another payer", json!({"isValid": true, "payer": BOB}), Err(Disagreement::PayerOfPayload.into())),
            (
                "another network",
                json!({"isValid": true, "network": "eip155:1"}),
                Err(Disagreement::Network { expected: BASE.to_owned() }.into()),
            ),
            ("wrong shape", json!({"ok": 1}), Err(member("isValid", "true or false", "nothing"))),
            ("a word", json!({"isValid": "true"}), Err(member("isValid", "true or false", "a text"))),
            (
                "a payer that is none",
                json!({"isValid": true, "payer": "a b"}),
                Err(member("payer", "an address", "a text")),
            ),
            ("a number for a payer", json!({"isValid": true, "payer": 1}), Err(member("payer", "a text", "a number"))),
            ("a list", json!([]), Err(AnswerError::Object("a list"))),
        ];
        for (name, body, expected) in rows {
            assert_eq!(verification(body.to_string().as_bytes(), &agreement()), expected, "{name}");
        }
        for text in ["", "OK", "<html>", "{\"isValid\":true", "{\"isValid\":true}}", &"[".repeat(100_000)] {
            assert_eq!(verification(text.as_bytes(), &agreement()), Err(AnswerError::Json), "{text:.20}");
        }
    }

    #[test]
    fn answers_to_settle() {
        let done = json!({"success": true, "transaction": "0xcd", "network": BASE});
        let settled = |payer: Option<&str>, told: &Value| {
            let payer = payer.map(str::to_owned);
            let transaction = told["transaction"].as_str().expect("a text").to_owned();
            Ok(Settlement::Settled { payer, transaction, response: Response(told.clone()) })
        };
        let with = |member: &str, value: Value| {
            let mut changed = done.clone();
            changed[member] = value;
            changed
        };
        let failed = |reason: &str, transaction: &str| json!({"success": false, "errorReason": reason, "transaction": transaction, "network": BASE});
        let pending = |told: Value| Ok(Settlement::Pending(Response(told)));
        let full = json!({"success": true, "payer": ALICE, "transaction": "0xcd", "network": BASE, "amount": "10000",
            "extensions": {"a": 1}, "extra": {"x": 1}});
        let mut more = full.clone();
        more["errorReason"] = Value::Null;
        more["secret"] = json!("of the facilitator");
        let mut large = full.clone();
        large["extra"] = json!({"x": "y".repeat(5000)});
        let mut without_extra = full.clone();
        without_extra.as_object_mut().expect("an object").remove("extra");
        let rows = [
            ("done", done.clone(), settled(None, &done)),
            ("all members", full.clone(), settled(Some(ALICE), &full)),
            ("null and unknown members", more, settled(Some(ALICE), &full)),
            ("too much added", large, settled(Some(ALICE), &without_extra)),
            ("nothing charged", with("transaction", json!("")), settled(None, &with("transaction", json!("")))),
            (
                "refused",
                failed("insufficient_funds", ""),
                Ok(Settlement::Refused(
                    refusal("insufficient_funds", None),
                    Response(failed("insufficient_funds", "")),
                )),
            ),
            (
                "refused, the least of it",
                json!({"success": false}),
                Ok(Settlement::Refused(
                    refusal("", None),
                    Response(json!({"success": false, "transaction": "", "network": BASE})),
                )),
            ),
            (
                "refused, in lines",
                json!({"success": false, "errorReason": "a\nb\u{202e}", "errorMessage": "c\u{0}", "network": ""}),
                Ok(Settlement::Refused(
                    refusal("ab", Some("c")),
                    Response(json!({"success": false, "errorReason": "ab", "errorMessage": "c", "transaction": "",
                        "network": BASE})),
                )),
            ),
            ("pending", failed("settlement_pending", "0xcd"), pending(failed("settlement_pending", "0xcd"))),
            ("pending, no transaction", failed("settlement_pending", ""), pending(failed("settlement_pending", ""))),
            ("wrong shape", json!({"ok": 1}), Err(member("success", "true or false", "nothing"))),
            ("null", json!({"success": null}), Err(member("success", "true or false", "null"))),
            ("no transaction", with("transaction", Value::Null), Err(member("transaction", "a text", "null"))),
            ("no network", with("network", Value::Null), Err(member("network", "a text", "null"))),
            (
                "a header in the transaction",
                with("transaction", json!("0x\r\nSet-Cookie: a=b")),
                Err(member("transaction", "at most 256 visible characters", "a text")),
            ),
            ("an amount in words", with("amount", json!("ten")), Err(member("amount", "at most 78 digits", "a text"))),
            ("another payer", with("payer", json!(BOB)), Err(Disagreement::PayerOfPayload.into())),
            (
                "another network",
                with("network", json!("eip155:8453")),
                Err(Disagreement::Network { expected: BASE.to_owned() }.into()),
            ),
        ];
        for (name, body, expected) in rows {
            assert_eq!(settlement(body.to_string().as_bytes(), &agreement(), None), expected, "{name}");
        }
        let other = json!({"success": true, "transaction": "", "network": "solana:x", "payer": "b"}).to_string();
        let solana = Agreement::of(&json!({}), &json!({"network": "solana:x"}));
        let expected = Err(Disagreement::PayerOfVerify.into());
        assert_eq!(settlement(other.as_bytes(), &solana, Some("a")), expected, "another payer than verify's");
    }

    #[test]
    fn reasons_have_an_end() {
        let rows = [
            ("199", "é".repeat(199), "é".repeat(199)),
            ("200", "é".repeat(200), "é".repeat(200)),
            ("201", "é".repeat(201), "é".repeat(200)),
            ("quotes stay", "\"it's\" \\".to_owned(), "\"it's\" \\".to_owned()),
            ("the others do not count", format!("\t{}", "x".repeat(200)), "x".repeat(200)),
        ];
        for (name, text, expected) in rows {
            assert_eq!(printable(&text), expected, "{name}");
        }
        let texts = [
            (refusal("a", Some("b")), "a: b".to_owned()),
            (refusal("a", None), "a".to_owned()),
            (refusal("", Some("b")), "b".to_owned()),
            (refusal("", None), String::new()),
            (refusal(&"a".repeat(150), Some(&"b".repeat(150))), format!("{}: {}", "a".repeat(150), "b".repeat(48))),
        ];
        for (refusal, expected) in texts {
            assert_eq!(refusal.text(), expected);
        }
    }
}
