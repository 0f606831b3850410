//! One payment: its id, what it buys, who works on it, and what came of it.
//!
//! Constructors check what every store can keep, before money moves: after a settlement there must be nothing left
//! that a store could refuse.

use std::{fmt, str::FromStr, time::Duration};

use data_encoding::HEXLOWER;
use thiserror::Error;

use super::super::grant::{is_account, is_length, is_plan, is_visible, shown};
use crate::{
    caip::{AccountKey, ChainId},
    policy::access::Scope,
    time::UnixTime,
};

/// Bytes of a payload, and of a requirement, at most. A header of 16 KiB holds 12 KiB; Solana's transactions are far
/// smaller.
pub const BLOB_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a `PAYMENT-RESPONSE` at most: as long as a whole head may be.
pub const RESPONSE_BYTES_MAX: usize = 32 * 1024;

/// Digits of an amount at most: 2^256 has 78.
const AMOUNT_DIGITS_MAX: usize = 78;

/// Bytes of a name at most: of schemes, facilitators, routes and owners.
const NAME_BYTES_MAX: usize = 64;

/// Bytes of an asset's address, and of a transaction's hash, at most.
const REFERENCE_BYTES_MAX: usize = 128;

/// What makes two presentations one payment: a SHA-256 (x402.md section 6). Its text is 64 hexadecimal digits in
/// lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentId([u8; 32]);

/// Who works on a payment. One attempt of one process: requests in flight have names of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(String);

/// A payment that is somebody's until then. After it, whoever comes may take over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose.
    pub owner: Owner,
    /// Until when.
    pub until: UnixTime,
}

/// What is sold, and on what terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    /// The chain that is paid on.
    pub network: ChainId,
    /// The payment scheme: `exact`, `upto`.
    pub scheme: String,
    /// The token's address.
    pub asset: String,
    /// Atomic units, decimal. With `upto` the most that may be charged, until settlement names the charge.
    pub amount: String,
    /// The name of the facilitator that is asked.
    pub facilitator: String,
    /// The name of the route that served the request, or that of the shop.
    pub route: String,
    /// What the payment opens.
    pub scope: Scope,
    /// For how long; nothing: for ever.
    pub length: Option<Duration>,
}

/// A payment to be reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    id: PaymentId,
    sale: Sale,
    valid_until: UnixTime,
}

/// What a facilitator is about to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub(in crate::store) payload: Vec<u8>,
    pub(in crate::store) requirement: Vec<u8>,
    pub(in crate::store) amount: Option<String>,
    pub(in crate::store) payer: Option<AccountKey>,
}

/// A settlement, as a facilitator or an operator reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub(in crate::store) payer: AccountKey,
    pub(in crate::store) transaction: String,
    pub(in crate::store) response: String,
}

/// What is known of a payment of which nobody knows whether it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doubt {
    /// When it is to be asked for again; nothing: an operator decides.
    pub next_attempt_at: Option<UnixTime>,
    /// The transaction, where the facilitator named one that is pending.
    pub transaction: Option<String>,
}

/// The state of a payment that has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// A request works on it; nothing was asked for.
    Reserved,
    /// Settlement is being asked for, or was when the process died.
    Settling,
    /// It was made.
    Settled,
    /// Settlement was asked for, and nobody knows what came of it.
    Unknown,
}

/// A payment as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// What is sold.
    pub sale: Sale,
    /// Its state.
    pub status: PaymentStatus,
    /// Who paid: as verify says until it is settled, then as settle says.
    pub payer: Option<AccountKey>,
    /// The transaction, where one is known.
    pub transaction: Option<String>,
    /// The `PAYMENT-RESPONSE`, once it is settled.
    pub response: Option<String>,
    /// Who works on it.
    pub lease: Option<Lease>,
    /// When it was reserved.
    pub created_at: UnixTime,
    /// When its settlement was recorded.
    pub settled_at: Option<UnixTime>,
    /// When the payer's authorization ends.
    pub valid_until: UnixTime,
    /// The end of what it opened, as it was written then; nothing: for ever, or not settled.
    pub expires_at: Option<UnixTime>,
    /// How often settlement was asked for.
    pub attempts: u32,
    /// When it is asked for again, while it is unknown; nothing: an operator decides.
    pub next_attempt_at: Option<UnixTime>,
}

/// What a settled payment gave, the same however often it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who paid, and who holds what was bought.
    pub payer: AccountKey,
    /// The chain that was paid on.
    pub network: ChainId,
    /// What was bought.
    pub scope: Scope,
    /// The end of it, as it was when this payment was settled; nothing: for ever.
    pub expires_at: Option<UnixTime>,
    /// The transaction.
    pub transaction: String,
    /// The `PAYMENT-RESPONSE`, as it is sent.
    pub response: String,
    /// When the settlement was recorded.
    pub settled_at: UnixTime,
}

/// Why something cannot be kept as a payment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PaymentError {
    /// The payer could not be in a CAIP-10 id.
    #[error("expected a payer's namespace and address as in CAIP-10, found `{0}`")]
    Account(String),
    /// The amount is no count of atomic units.
    #[error("expected an amount of 1 to {AMOUNT_DIGITS_MAX} decimal digits, found `{0}`")]
    Amount(String),
    /// A payload or requirement is empty or too long.
    #[error("expected a {what} of 1 to {BLOB_BYTES_MAX} bytes, found {found}")]
    Blob {
        /// Which.
        what: &'static str,
        /// Its length.
        found: usize,
    },
    /// The id is not one.
    #[error("expected a payment's id of 64 hexadecimal digits in lower case, found `{0}`")]
    Id(String),
    /// What is bought is for no time, or for too long to be counted.
    #[error("expected a period of at least a millisecond and at most 9999 years, found {0:?}")]
    Length(Duration),
    /// A name is empty, too long or not printable.
    #[error("expected a {what} of visible ASCII characters within its bound, found `{found}`")]
    Name {
        /// Whose.
        what: &'static str,
        /// The name.
        found: String,
    },
    /// The response could not be a header.
    #[error("expected a PAYMENT-RESPONSE of 1 to {RESPONSE_BYTES_MAX} visible ASCII characters, found {0} bytes")]
    Response(usize),
    /// The scope could not be found again.
    #[error("expected a scope that reads as itself, found `{0}`")]
    Scope(String),
}

// === impl PaymentId ===

impl PaymentId {
    /// The id of this hash.
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
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

impl FromStr for PaymentId {
    type Err = PaymentError;

    fn from_str(text: &str) -> Result<Self, PaymentError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        let hash = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        hash.map(Self).ok_or_else(|| PaymentError::Id(shown(text)))
    }
}

// === impl Owner ===

impl Owner {
    /// An owner of this name: 1 to 64 visible ASCII characters.
    pub fn new(name: &str) -> Result<Self, PaymentError> {
        visible("owner's name", name, NAME_BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl NewPayment ===

impl NewPayment {
    /// A payment of this id for this sale, whose authorization ends at `valid_until`: never too early, because the
    /// id may be forgotten some time after it.
    pub fn new(id: PaymentId, sale: Sale, valid_until: UnixTime) -> Result<Self, PaymentError> {
        visible("scheme", &sale.scheme, NAME_BYTES_MAX)?;
        visible("asset", &sale.asset, REFERENCE_BYTES_MAX)?;
        visible("facilitator's name", &sale.facilitator, NAME_BYTES_MAX)?;
        visible("route's name", &sale.route, NAME_BYTES_MAX)?;
        check_amount(&sale.amount)?;
        let scope = sale.scope.to_string();
        if Scope::parse(&scope).as_ref() != Ok(&sale.scope) || sale.scope.as_plan().is_some_and(|plan| !is_plan(plan)) {
            return Err(PaymentError::Scope(shown(&scope)));
        }
        if let Some(length) = sale.length.filter(|length| !is_length(*length)) {
            return Err(PaymentError::Length(length));
        }
        Ok(Self { id, sale, valid_until })
    }

    /// Its id.
    pub fn id(&self) -> &PaymentId {
        &self.id
    }

    /// What is sold.
    pub fn sale(&self) -> &Sale {
        &self.sale
    }

    /// When the authorization ends.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }
}

// === impl Asked ===

impl Asked {
    /// Settlement of this payload by this requirement.
    pub fn new(payload: Vec<u8>, requirement: Vec<u8>) -> Result<Self, PaymentError> {
        for (what, blob) in [("payload", &payload), ("requirement", &requirement)] {
            if !(1..=BLOB_BYTES_MAX).contains(&blob.len()) {
                return Err(PaymentError::Blob { what, found: blob.len() });
            }
        }
        Ok(Self { payload, requirement, amount: None, payer: None })
    }

    /// The same, charging this amount instead of the sale's.
    pub fn charging(self, amount: &str) -> Result<Self, PaymentError> {
        check_amount(amount)?;
        Ok(Self { amount: Some(amount.into()), ..self })
    }

    /// The same, paid by whom verify named.
    pub fn paid_by(self, payer: AccountKey) -> Result<Self, PaymentError> {
        check_account(&payer)?;
        Ok(Self { payer: Some(payer), ..self })
    }
}

// === impl Settlement ===

impl Settlement {
    /// A settlement paid by `payer`, in `transaction`, of which `response` tells the client. The transaction may be
    /// empty: a charge of nothing has none.
    pub fn new(payer: AccountKey, transaction: &str, response: &str) -> Result<Self, PaymentError> {
        check_account(&payer)?;
        if !transaction.is_empty() {
            visible("transaction", transaction, REFERENCE_BYTES_MAX)?;
        }
        if !is_visible(response, RESPONSE_BYTES_MAX) {
            return Err(PaymentError::Response(response.len()));
        }
        Ok(Self { payer, transaction: transaction.into(), response: response.into() })
    }

    /// Who paid.
    pub const fn payer(&self) -> &AccountKey {
        &self.payer
    }

    /// The transaction; may be empty.
    pub fn transaction(&self) -> &str {
        &self.transaction
    }
}

// === impl PaymentStatus ===

impl PaymentStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Reserved, Self::Settling, Self::Settled, Self::Unknown];

    /// The word in the store, in lists and as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Settling => "settling",
            Self::Settled => "settled",
            Self::Unknown => "unknown",
        }
    }

    /// The state of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

// === impl Payment ===

impl Payment {
    /// What it gave, if it is settled.
    pub fn receipt(&self) -> Option<Receipt> {
        if self.status != PaymentStatus::Settled {
            return None;
        }
        Some(Receipt {
            payer: self.payer.clone()?,
            network: self.sale.network.clone(),
            scope: self.sale.scope.clone(),
            expires_at: self.expires_at,
            transaction: self.transaction.clone().unwrap_or_default(),
            response: self.response.clone()?,
            settled_at: self.settled_at?,
        })
    }
}

fn check_account(account: &AccountKey) -> Result<(), PaymentError> {
    if is_account(account) { Ok(()) } else { Err(PaymentError::Account(shown(&account.to_string()))) }
}

fn check_amount(amount: &str) -> Result<(), PaymentError> {
    let good = (1..=AMOUNT_DIGITS_MAX).contains(&amount.len()) && amount.bytes().all(|b| b.is_ascii_digit());
    if good { Ok(()) } else { Err(PaymentError::Amount(shown(amount))) }
}

fn visible(what: &'static str, text: &str, bytes_max: usize) -> Result<(), PaymentError> {
    if is_visible(text, bytes_max) { Ok(()) } else { Err(PaymentError::Name { what, found: shown(text) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale() -> Sale {
        Sale {
            network: ChainId::parse("eip155:84532").expect("a chain"),
            scheme: "exact".into(),
            asset: "0x036cbd53842c5426634e7929541ec2318f3dcf7e".into(),
            amount: "10000".into(),
            facilitator: "main".into(),
            route: "weather".into(),
            scope: Scope::route("weather").expect("a scope"),
            length: Some(Duration::from_secs(60)),
        }
    }

    #[test]
    fn ids_read_what_they_write() {
        let text = "00ff".repeat(16);
        assert_eq!(text.parse::<PaymentId>().map(|id| id.to_string()), Ok(text.clone()));
        for wrong in ["", "00", &"0".repeat(63), &"0".repeat(65), &"0".repeat(66), &"FF".repeat(32), &"g".repeat(64)] {
            assert_eq!(wrong.parse::<PaymentId>(), Err(PaymentError::Id(shown(wrong))), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_sold() {
        let name = |what, found: &str| PaymentError::Name { what, found: found.into() };
        let rows = [
            ("no scheme", Sale { scheme: String::new(), ..sale() }, name("scheme", "")),
            ("an asset with a space", Sale { asset: "0x 1".into(), ..sale() }, name("asset", "0x 1")),
            ("no facilitator", Sale { facilitator: String::new(), ..sale() }, name("facilitator's name", "")),
            ("a long route", Sale { route: "x".repeat(65), ..sale() }, name("route's name", &"x".repeat(40))),
            ("no amount", Sale { amount: String::new(), ..sale() }, PaymentError::Amount(String::new())),
            ("a fraction", Sale { amount: "0.1".into(), ..sale() }, PaymentError::Amount("0.1".into())),
            ("a debt", Sale { amount: "-1".into(), ..sale() }, PaymentError::Amount("-1".into())),
            ("79 digits", Sale { amount: "1".repeat(79), ..sale() }, PaymentError::Amount("1".repeat(40))),
            (
                "a route that reads as a path",
                Sale { scope: Scope::Route("a:/b".into()), ..sale() },
                PaymentError::Scope("route:a:/b".into()),
            ),
            ("no time", Sale { length: Some(Duration::ZERO), ..sale() }, PaymentError::Length(Duration::ZERO)),
            ("too long a time", Sale { length: Some(Duration::MAX), ..sale() }, PaymentError::Length(Duration::MAX)),
        ];
        let (id, end) = (PaymentId::new([7; 32]), UnixTime::from_secs(1));
        for (row, sale, expected) in rows {
            assert_eq!(NewPayment::new(id, sale, end), Err(expected), "{row}");
        }
        let longest = Sale { amount: "1".repeat(78), route: "x".repeat(64), length: None, ..sale() };
        NewPayment::new(id, longest, end).expect("the longest names");
    }

    #[test]
    fn what_cannot_be_asked_for_or_settled() {
        let blob = |what, found| PaymentError::Blob { what, found };
        assert_eq!(Asked::new(vec![], vec![1]), Err(blob("payload", 0)));
        assert_eq!(Asked::new(vec![1], vec![]), Err(blob("requirement", 0)));
        assert_eq!(Asked::new(vec![1; BLOB_BYTES_MAX + 1], vec![1]), Err(blob("payload", BLOB_BYTES_MAX + 1)));
        let asked = Asked::new(vec![1; BLOB_BYTES_MAX], vec![1; BLOB_BYTES_MAX]).expect("the longest");
        assert_eq!(asked.clone().charging("1e3"), Err(PaymentError::Amount("1e3".into())));
        let nobody = AccountKey::new("eip155", "");
        assert_eq!(asked.paid_by(nobody.clone()), Err(PaymentError::Account("eip155:".into())));

        let alice = AccountKey::new("eip155", "0xab");
        assert_eq!(Settlement::new(nobody, "0x1", "e30="), Err(PaymentError::Account("eip155:".into())));
        let name = PaymentError::Name { what: "transaction", found: "0x\\n".into() };
        assert_eq!(Settlement::new(alice.clone(), "0x\n", "e30="), Err(name));
        assert_eq!(Settlement::new(alice.clone(), "0x1", ""), Err(PaymentError::Response(0)));
        assert_eq!(Settlement::new(alice.clone(), "0x1", "e30=\r\n"), Err(PaymentError::Response(6)));
        Settlement::new(alice, "", &"e".repeat(RESPONSE_BYTES_MAX)).expect("no transaction, the longest response");
    }
}
