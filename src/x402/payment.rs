//! A payment as a client sends it: read, matched by others, named, and passed on (x402.md sections 3 and 6).
//!
//! 1. Of the payload only what names the payment is read: who authorised it and under which nonce, or the transaction.
//!    Whether it is good is the facilitator's to say. `resource` is not read at all: nobody signed it.
//! 2. A [`PaymentId`] covers what was authorised, never a signature, which has several spellings, and never the bytes
//!    of the header. So one authorization is one payment, however it is sent.
//! 3. For that to hold, an authorization has one spelling here: nonces and addresses as clients write them, and no
//!    member that differs from a known one in letter case alone, because some readers take it for that one.
//! 4. The facilitator receives the payment's JSON as it was received, byte for byte.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{
    ERROR_PAYMENT_REQUIRED, VERSION,
    terms::Terms,
    transaction,
    wire::{self, HeaderError},
};
use crate::{caip::AccountKey, time::UnixTime};

/// For how long a Solana payment is remembered: its blockhash is taken for one or two minutes (x402.md section 6).
const SOLANA_MEMORY_MILLIS: i64 = 10 * 60 * 1000;

/// Digits of the largest 256-bit number.
const UINT256_DIGITS: usize = 78;

/// A payment that can be read. Whether it is good, and for what, is not known.
#[derive(Clone)]
pub struct Payment {
    json: String,
    accepted: Value,
    payload: Map<String, Value>,
    extensions: Map<String, Value>,
}

/// Why a payment cannot be read. All of these are the client's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PaymentError {
    /// What was authorised is not written as clients write it, and may be read in several ways.
    #[error("expected `{0}` of the payment as clients write it, found it missing or spelled otherwise")]
    Authorization(&'static str),
    /// The header is not the base64 of one JSON object.
    #[error("`PAYMENT-SIGNATURE` cannot be read: {0}")]
    Header(#[from] HeaderError),
    /// A member is missing, or of another kind.
    #[error("expected an object as `{0}` of the payment")]
    Member(&'static str),
    /// Another version of the protocol.
    #[error("expected x402Version {VERSION}, found {0}")]
    Version(String),
}

impl PaymentError {
    /// A stable name for logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Authorization(_) => "payment_authorization_malformed",
            Self::Header(_) => "payment_header_malformed",
            Self::Member(_) => "payment_malformed",
            Self::Version(_) => "payment_version_unsupported",
        }
    }

    /// The `error` of the challenge that answers such a payment.
    ///
    /// What is no base64, and `null`, count as no payment; a version is named as the protocol's own server names it.
    pub fn challenge_error(&self) -> String {
        match self {
            Self::Header(HeaderError::Base64 | HeaderError::Null) => ERROR_PAYMENT_REQUIRED.to_owned(),
            Self::Version(found) => format!("Unsupported x402 version: {found}"),
            Self::Authorization(_) | Self::Header(_) | Self::Member(_) => self.to_string(),
        }
    }
}

/// The name of what a payer authorised: SHA-256, written in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentId([u8; 32]);

/// What the payer authorised, as far as a gateway looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    id: PaymentId,
    payers: Vec<AccountKey>,
    end: End,
}

/// When an authorization ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// At a second that it names; from then on it cannot be settled.
    At(i64),
    /// Later than can be counted, or unknown.
    Never,
    /// Soon after it was made, with the block it refers to.
    Soon,
}

// === impl Payment ===

impl Payment {
    /// Reads the value of a `PAYMENT-SIGNATURE` header.
    pub fn read(header: &[u8]) -> Result<Self, PaymentError> {
        let bytes = wire::decode_header(header)?;
        let mut members = wire::parse_object(&bytes)?;
        only_spelled(&members, &["x402Version", "payload", "accepted"])?;
        // JSON that was read is UTF-8, so this refuses nothing more.
        let json = String::from_utf8(bytes).map_err(|_| HeaderError::Json)?;
        match members.get("x402Version") {
            Some(version) if *version == VERSION => {}
            Some(other) => return Err(PaymentError::Version(wire::printable(&other.to_string()))),
            // The word that the protocol's own server has for it.
            None => return Err(PaymentError::Version("undefined".to_owned())),
        }
        let Some(Value::Object(payload)) = members.shift_remove("payload") else {
            return Err(PaymentError::Member("payload"));
        };
        let extensions = match members.shift_remove("extensions") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(extensions)) => extensions,
            Some(_) => return Err(PaymentError::Member("extensions")),
        };
        // Without `accepted` a payment can be read, and matches nothing.
        let accepted = members.shift_remove("accepted").unwrap_or_default();
        Ok(Self { json, accepted, payload, extensions })
    }

    /// The terms that the client says it accepts; null if it does not.
    pub const fn accepted(&self) -> &Value {
        &self.accepted
    }

    /// The extensions that the client returned.
    pub const fn extensions(&self) -> &Map<String, Value> {
        &self.extensions
    }

    /// The payment as it was received, for the facilitator and for the store.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// What was authorised, for terms that the payment has matched.
    pub fn authorization(&self, terms: &Terms) -> Result<Authorization, PaymentError> {
        match terms.network().namespace() {
            "eip155" => self.evm(terms),
            "solana" => self.solana(terms),
            _ => Ok(self.other()),
        }
    }

    /// EIP-3009 (`authorization`) or Permit2 (`permit2Authorization`); both would be two authorizations.
    fn evm(&self, terms: &Terms) -> Result<Authorization, PaymentError> {
        only_spelled(&self.payload, &["authorization", "permit2Authorization"])?;
        let transfer = self.payload.get("authorization");
        let permit = self.payload.get("permit2Authorization");
        let (signed, end, nonce_is_good): (_, _, fn(&str) -> bool) = match (transfer, permit) {
            (Some(Value::Object(transfer)), None) => (transfer, "validBefore", |nonce| is_hex(nonce, 64)),
            (None, Some(Value::Object(permit))) => (permit, "deadline", is_uint256),
            (None, None) => return Ok(self.other()),
            _ => return Err(PaymentError::Authorization("authorization")),
        };
        only_spelled(signed, &["from", "nonce", end])?;
        let from = text(signed, "from").filter(|from| is_hex(from, 40)).ok_or(PaymentError::Authorization("from"))?;
        let nonce = text(signed, "nonce").filter(|nonce| nonce_is_good(nonce));
        let nonce = nonce.ok_or(PaymentError::Authorization("nonce"))?;
        let ends = text(signed, end).filter(|secs| is_uint256(secs)).ok_or(PaymentError::Authorization(end))?;
        let named = [terms.network().as_str(), terms.asset(), from, nonce].join("|").to_ascii_lowercase();
        Ok(Authorization {
            id: PaymentId::of(&[named.as_bytes()]),
            payers: vec![AccountKey::new("eip155", from)],
            end: ends.parse().map_or(End::Never, End::At),
        })
    }

    /// A partly signed transaction.
    fn solana(&self, terms: &Terms) -> Result<Authorization, PaymentError> {
        only_spelled(&self.payload, &["transaction"])?;
        let Some(encoded) = self.payload.get("transaction") else {
            return Ok(self.other());
        };
        // Written again it must be the same: the decoder takes padding in the middle, of which other readers know nothing.
        let spelled =
            |encoded: &str| BASE64.decode(encoded.as_bytes()).ok().filter(|bytes| BASE64.encode(bytes) == encoded);
        let bytes = encoded.as_str().and_then(spelled);
        let transaction = bytes.as_deref().and_then(transaction::read);
        let transaction = transaction.ok_or(PaymentError::Authorization("transaction"))?;
        let id = PaymentId::of(&[terms.network().as_str().as_bytes(), b"|", transaction.message]);
        let payers = transaction.payers.into_iter();
        let payers = payers.map(|key| AccountKey::new("solana", &bs58::encode(key).into_string())).collect();
        Ok(Authorization { id, payers, end: End::Soon })
    }

    /// A payload of a kind that is not known here.
    fn other(&self) -> Authorization {
        let mut canonical = String::new();
        write_canonical(&Value::Object(self.payload.clone()), &mut canonical);
        Authorization { id: PaymentId::of(&[canonical.as_bytes()]), payers: Vec::new(), end: End::Never }
    }
}

/// Shows nothing of what the client signed.
impl fmt::Debug for Payment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payment").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}

/// The body of a facilitator's `/verify` and `/settle`: the payment as it was received, and what we required.
///
/// Both are JSON that was kept as text, so that a settlement asked for again is asked for with the same bytes.
pub fn facilitator_request(payment: &str, requirements: &str) -> String {
    format!(r#"{{"x402Version":{VERSION},"paymentPayload":{payment},"paymentRequirements":{requirements}}}"#)
}

fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    members.get(name)?.as_str()
}

/// Refuses members that differ from one of these names in letter case alone.
fn only_spelled(members: &Map<String, Value>, names: &[&'static str]) -> Result<(), PaymentError> {
    for found in members.keys() {
        if let Some(name) = names.iter().find(|name| found != *name && folded(found).eq(folded(name))) {
            return Err(PaymentError::Authorization(name));
        }
    }
    Ok(())
}

/// The letters of a name without their case, as Unicode folds it: a long s is an s, the sign of Kelvin a k.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// `0x` and so many hex digits.
fn is_hex(text: &str, digits: usize) -> bool {
    text.strip_prefix("0x").is_some_and(|hex| hex.len() == digits && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A decimal number without a zero before it.
fn is_uint256(text: &str) -> bool {
    let shortest = text == "0" || !text.starts_with('0');
    shortest && (1..=UINT256_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Writes JSON without spaces, the members of every object in the order of their names.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_canonical(value, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

// === impl Authorization ===

impl Authorization {
    /// The name of the payment.
    pub const fn id(&self) -> PaymentId {
        self.id
    }

    /// Whom the payload names as payers: who signs an EVM authorization, or whose tokens a transaction moves. Nobody has
    /// checked it, and a payload may name nobody; it is good for a no before money moves, and for nothing else.
    pub fn payers(&self) -> &[AccountKey] {
        &self.payers
    }

    /// Until when the name must be remembered, so that the payment is not taken twice; nothing: for ever.
    ///
    /// An EVM authorization can be settled until its own end; one that has ended already is remembered for a while,
    /// as a Solana one is, because clocks differ.
    pub fn remember_until(&self, now: UnixTime) -> Option<UnixTime> {
        let soon = now.plus_millis(SOLANA_MEMORY_MILLIS);
        match self.end {
            End::At(secs) => Some(UnixTime::from_secs(secs).max(soon)),
            End::Never => None,
            End::Soon => Some(soon),
        }
    }
}

// === impl PaymentId ===

impl PaymentId {
    fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// The hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
