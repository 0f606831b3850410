//! JSON-RPC 2.0 as nodes speak it: requests written, answers read. Nothing is asked here.
//!
//! 1. An answer must have the id of its request, so that none is taken for another one's.
//! 2. A call that was run and failed is an answer (signatures.md section 1.5): the error has code 3, or one of three
//!    general codes with a message that speaks of the machine. Every other error says nothing of the contract.
//! 3. A call has `to`, if it has one, and `data`, at `latest`: no `from`, no `value`, no overrides.
//! 4. Errors show codes, never a message: a node may put into it what it was asked, or the key in its URL.

use bytes::Bytes;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::Value;
use thiserror::Error;

use crate::chain::{CallAnswer, EthCall};

/// Bytes of an answer's body: the longest result in hexadecimal, and what is around it.
pub(super) const ANSWER_BYTES_MAX: usize = 2 * RESULT_BYTES_MAX + 1024;

/// Bytes that a call may return, once decoded. A contract that says yes needs 32.
const RESULT_BYTES_MAX: usize = 64 * 1024;

/// What geth and those who follow it report a revert with.
const EXECUTION_ERROR: i64 = 3;

/// Codes under which nodes report failed execution among other things: "server error" and "internal error" of JSON-RPC,
/// and OpenEthereum's for execution.
const GENERAL_ERRORS: [i64; 3] = [-32000, -32015, -32603];

/// What the message of such an error has if the call was run. Nodes differ in letter case.
const EXECUTION_WORDS: [&str; 4] = ["revert", "invalid opcode", "out of gas", "stack"];

/// Why an answer means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// It is about another request.
    #[error("expected the id of the request, found another one")]
    Id,
    /// It is no JSON.
    #[error("expected JSON, found something else")]
    Json,
    /// It is no object; a batch is none.
    #[error("expected a JSON object, found something else")]
    Object,
    /// It is an error that says nothing of the contract.
    #[error("expected a result, found an error with code {0}")]
    Refused(i64),
    /// It is an error without a code.
    #[error("expected a result, found an error without a code")]
    RefusedOddly,
    /// There is neither a result nor an error, or the result is none that this call can have.
    #[error("expected a result in hexadecimal, found something else")]
    Result,
    /// The result is longer than is read.
    #[error("expected a result of at most {RESULT_BYTES_MAX} bytes, found a longer one")]
    TooLong,
}

/// An answer to a request.
enum Said {
    Result(Value),
    Error { code: i64, message: String },
}

/// A request for a method with parameters, which are JSON.
pub(super) fn request(id: u64, method: &str, params: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#).into()
}

/// The parameters of a call.
pub(super) fn call_params(call: &EthCall) -> String {
    let to = call.to().map(|to| format!(r#""to":"0x{}","#, HEXLOWER.encode(to))).unwrap_or_default();
    format!(r#"[{{{to}"data":"0x{}"}},"latest"]"#, HEXLOWER.encode(call.data()))
}

/// What came of a call.
pub(super) fn call_answer(body: &[u8], id: u64) -> Result<CallAnswer, AnswerError> {
    match read(body, id)? {
        Said::Result(result) => {
            let digits = digits(&result)?;
            if digits.len() > 2 * RESULT_BYTES_MAX {
                return Err(AnswerError::TooLong);
            }
            let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| AnswerError::Result)?;
            Ok(CallAnswer::Returned(bytes))
        }
        Said::Error { code, message } if is_of_execution(code, &message) => Ok(CallAnswer::Failed),
        Said::Error { code, .. } => Err(AnswerError::Refused(code)),
    }
}

/// The chain that a node is on.
pub(super) fn chain_id(body: &[u8], id: u64) -> Result<u64, AnswerError> {
    match read(body, id)? {
        Said::Result(result) => {
            let digits = digits(&result)?;
            // The reader of numbers would take a sign as well.
            let number = digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok());
            number.flatten().ok_or(AnswerError::Result)
        }
        Said::Error { code, .. } => Err(AnswerError::Refused(code)),
    }
}

fn read(body: &[u8], id: u64) -> Result<Said, AnswerError> {
    let Value::Object(mut members) = serde_json::from_slice(body).map_err(|_| AnswerError::Json)? else {
        return Err(AnswerError::Object);
    };
    if members.get("id").and_then(Value::as_u64) != Some(id) {
        return Err(AnswerError::Id);
    }
    // Some nodes write the one that there is not as `null`.
    match (members.remove("result"), members.remove("error")) {
        (Some(result), None | Some(Value::Null)) => Ok(Said::Result(result)),
        (None | Some(Value::Null), Some(error)) => {
            let code = error.get("code").and_then(Value::as_i64).ok_or(AnswerError::RefusedOddly)?;
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
            Ok(Said::Error { code, message })
        }
        _ => Err(AnswerError::Result),
    }
}

fn digits(result: &Value) -> Result<&str, AnswerError> {
    result.as_str().and_then(|text| text.strip_prefix("0x")).ok_or(AnswerError::Result)
}

fn is_of_execution(code: i64, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    code == EXECUTION_ERROR
        || (GENERAL_ERRORS.contains(&code) && EXECUTION_WORDS.iter().any(|word| message.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returned(bytes: &[u8]) -> Result<CallAnswer, AnswerError> {
        Ok(CallAnswer::Returned(bytes.to_vec()))
    }

    #[test]
    fn what_calls_are_answered() {
        let error = |code: i64, message: &str| format!(r#"{{"id":7,"error":{{"code":{code},"message":"{message}"}}}}"#);
        let long = |bytes: usize| format!(r#"{{"id":7,"result":"0x{}"}}"#, "00".repeat(bytes));
        let refused = |code| Err(AnswerError::Refused(code));
        let failed = || Ok(CallAnswer::Failed);
        let text = str::to_owned;
        let rows = [
            ("bytes", text(r#"{"jsonrpc":"2.0","id":7,"result":"0x01Ff"}"#), returned(&[1, 255])),
            ("nothing", text(r#"{"jsonrpc":"2.0","id":7,"result":"0x"}"#), returned(&[])),
            ("no error, written out", text(r#"{"id":7,"error":null,"result":"0x01"}"#), returned(&[1])),
            ("as long as may be", long(65_536), returned(&[0; 65_536])),
            ("a byte longer", long(65_537), Err(AnswerError::TooLong)),
            ("a revert", error(3, "execution reverted"), failed()),
            ("code 3 alone", error(3, ""), failed()),
            ("no message", text(r#"{"id":7,"error":{"code":3}}"#), failed()),
            ("no result, written out", text(r#"{"id":7,"result":null,"error":{"code":3}}"#), failed()),
            ("an older revert", error(-32000, "execution reverted: no"), failed()),
            ("in other letters", error(-32015, "VM execution error: Reverted 0x"), failed()),
            ("invalid opcode", error(-32000, "invalid opcode: INVALID"), failed()),
            ("out of gas", error(-32603, "out of gas"), failed()),
            ("stack underflow", error(-32000, "stack underflow (0 <=> 1)"), failed()),
            ("a revert of another code", error(-32005, "execution reverted"), refused(-32005)),
            ("another general error", error(-32000, "header not found"), refused(-32000)),
            ("too many requests", error(-32005, "limit exceeded"), refused(-32005)),
            ("no such method", error(-32601, "the method does not exist"), refused(-32601)),
            ("bad parameters", error(-32602, "missing to"), refused(-32602)),
            ("a status for a code", error(429, "too many requests"), refused(429)),
            ("an error without code", text(r#"{"id":7,"error":{"message":"x"}}"#), Err(AnswerError::RefusedOddly)),
            ("an error that is text", text(r#"{"id":7,"error":"revert"}"#), Err(AnswerError::RefusedOddly)),
            ("a code that is text", text(r#"{"id":7,"error":{"code":"3"}}"#), Err(AnswerError::RefusedOddly)),
            ("both", text(r#"{"id":7,"result":"0x01","error":{"code":3}}"#), Err(AnswerError::Result)),
            ("neither", text(r#"{"id":7}"#), Err(AnswerError::Result)),
            ("null", text(r#"{"id":7,"result":null}"#), Err(AnswerError::Result)),
            ("a number", text(r#"{"id":7,"result":1}"#), Err(AnswerError::Result)),
            ("no prefix", text(r#"{"id":7,"result":"01"}"#), Err(AnswerError::Result)),
            ("half a byte", text(r#"{"id":7,"result":"0x1"}"#), Err(AnswerError::Result)),
            ("no hexadecimal", text(r#"{"id":7,"result":"0x0g"}"#), Err(AnswerError::Result)),
            ("another id", text(r#"{"id":8,"result":"0x01"}"#), Err(AnswerError::Id)),
            ("an id that is text", text(r#"{"id":"7","result":"0x01"}"#), Err(AnswerError::Id)),
            ("no id", text(r#"{"result":"0x01"}"#), Err(AnswerError::Id)),
            ("an error without id", text(r#"{"id":null,"error":{"code":3}}"#), Err(AnswerError::Id)),
            ("a batch", text(r#"[{"id":7,"result":"0x01"}]"#), Err(AnswerError::Object)),
            ("text", text(r#""0x01""#), Err(AnswerError::Object)),
            ("HTML", text("<html>0x01</html>"), Err(AnswerError::Json)),
            ("nothing at all", String::new(), Err(AnswerError::Json)),
            ("half of it", text(r#"{"id":7,"result":"0x01"#), Err(AnswerError::Json)),
            ("more behind it", text(r#"{"id":7,"result":"0x01"} {}"#), Err(AnswerError::Json)),
            ("a tower", format!(r#"{{"id":7,"x":{}1{}}}"#, "[".repeat(9000), "]".repeat(9000)), Err(AnswerError::Json)),
        ];
        for (name, body, expected) in rows {
            assert_eq!(call_answer(body.as_bytes(), 7), expected, "{name}");
        }
    }

    #[test]
    fn what_fits_a_result_fits_an_answer() {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":"0x{}"}}"#, u64::MAX, "00".repeat(RESULT_BYTES_MAX));
        assert!(body.len() <= ANSWER_BYTES_MAX);
    }

    #[test]
    fn chains() {
        let rows = [
            ("one", r#""0x1""#, Ok(1)),
            ("another", r#""0x2105""#, Ok(8453)),
            ("in other letters", r#""0xAA36A7""#, Ok(11_155_111)),
            ("with zeros", r#""0x0001""#, Ok(1)),
            ("the greatest", r#""0xffffffffffffffff""#, Ok(u64::MAX)),
            ("greater", r#""0x10000000000000000""#, Err(AnswerError::Result)),
            ("nothing", r#""0x""#, Err(AnswerError::Result)),
            ("a sign", r#""0x+1""#, Err(AnswerError::Result)),
            ("decimal", r#""1""#, Err(AnswerError::Result)),
            ("a number", "1", Err(AnswerError::Result)),
            ("null", "null", Err(AnswerError::Result)),
        ];
        for (name, result, expected) in rows {
            assert_eq!(chain_id(format!(r#"{{"id":7,"result":{result}}}"#).as_bytes(), 7), expected, "{name}");
        }
        let refused = br#"{"id":7,"error":{"code":-32000,"message":"execution reverted"}}"#;
        assert_eq!(chain_id(refused, 7), Err(AnswerError::Refused(-32000)));
    }
}
