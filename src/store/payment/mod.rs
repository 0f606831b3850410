//! Payments as a store keeps them: what makes one authorization good for one use, whatever crashes (x402.md sections 6
//! and 7).
//!
//! ```text
//!              reserve            settling             settled
//!   (no row) ----------> reserved ----------> settling ----------> settled
//!      ^   release, lease over |     refused |   | unknown            ^
//!      +-----------------------+-------------+   v                    |
//!      +------------- refused, resolve ------- unknown ---- settled, resolve
//! ```
//!
//! 1. A row that is not settled belongs to whoever holds its lease. Each step is one conditional update on state and
//!    owner; losing that race is an answer ([`Step::Lost`]) and the row is to be read again.
//! 2. What is bought is written down when the payment is reserved, so that a settlement found later, by another
//!    process or under another configuration, opens what was sold.
//! 3. A settlement and what it opens are one transaction. There is no payment without its entitlement.
//! 4. What is released leaves no row: refused payments cannot fill the store. Settled rows stay for
//!    [`HISTORY_DAYS`], and in any case a day longer than the authorization counts.

mod page;
mod record;
mod word;

use super::BoxFuture;
use crate::time::UnixTime;

pub use self::{
    page::{PaymentCursor, PaymentCursorError, PaymentFilter, PaymentPage},
    record::{
        Asked, BLOB_BYTES_MAX, Doubt, Lease, NewPayment, Owner, Payment, PaymentError, PaymentId, PaymentStatus,
        RESPONSE_BYTES_MAX, Receipt, Sale, Settlement,
    },
    word::{Word, WordError},
};

/// Days that a settled payment is kept: a year of books, and a month to close them.
pub const HISTORY_DAYS: i64 = 400;

/// Rows that one call takes over at most. Each is a question to a facilitator that may take a minute.
pub const TAKEN_OVER_MAX: usize = 100;

/// Which payments were reserved, asked for and settled.
///
/// Of any number of reservations of one id, made at once and by whatever processes, at most one at a time is told
/// [`Reserved::Fresh`]. A step that was confirmed is safe from a crash; one that failed may have been done all the
/// same, so that whoever has not asked a facilitator yet tries to undo it and asks nobody.
///
/// Err towards an error and towards `Lost`. A `Fresh` too many serves a payment twice or has a payer charged for one
/// answer twice; a row lost between `settling` and `settled` takes somebody's money for nothing.
pub trait PaymentStore: Send + Sync {
    /// Reserves a payment for the lease's owner, unless it is reserved, asked for or settled already. A reservation
    /// whose lease is over is replaced: nothing was asked for it.
    fn reserve<'a>(&'a self, new: &'a NewPayment, lease: &'a Lease, now: UnixTime) -> BoxFuture<'a, Reserved>;

    /// Prolongs the lease of its owner on a row that is not settled.
    fn renew<'a>(&'a self, id: &'a PaymentId, lease: &'a Lease) -> BoxFuture<'a, Step>;

    /// Gives up a reservation for which nothing was asked.
    fn release<'a>(&'a self, id: &'a PaymentId, owner: &'a Owner) -> BoxFuture<'a, Step>;

    /// Notes that settlement is about to be asked for, and with what. Only when this has answered [`Step::Done`] may
    /// the facilitator be asked: the row is on the disk then and outlives a loss of power.
    ///
    /// After an error nobody is to be asked, and [`refused`](Self::refused) is to be tried: the row may be there.
    fn settling<'a>(&'a self, id: &'a PaymentId, lease: &'a Lease, asked: &'a Asked) -> BoxFuture<'a, Step>;

    /// Removes a payment that was asked for and, without any doubt, not made. A refusal of a second question proves
    /// nothing where the first may have been heard ("nonce already used"): that is [`unknown`](Self::unknown).
    fn refused<'a>(&'a self, id: &'a PaymentId, owner: &'a Owner) -> BoxFuture<'a, Step>;

    /// Marks a payment settled and writes what it opens, in one transaction. What is held already is extended as
    /// [`Term::onto`](super::Term::onto) says. A payment that is settled already stays as it is, whoever asks, and its
    /// receipt is returned.
    fn settled<'a>(
        &'a self,
        id: &'a PaymentId,
        owner: &'a Owner,
        settlement: &'a Settlement,
        now: UnixTime,
    ) -> BoxFuture<'a, Recorded>;

    /// Notes that nobody knows whether a payment was made, and ends the owner's lease on it.
    fn unknown<'a>(&'a self, id: &'a PaymentId, owner: &'a Owner, doubt: &'a Doubt) -> BoxFuture<'a, Step>;

    /// Cleans up after those whose lease is over: reservations are released; what was settling, and what is unknown
    /// and due, becomes the lease's owner's, who asks again. At most `limit` of these, and never more than
    /// [`TAKEN_OVER_MAX`], the oldest first.
    ///
    /// The owner's name is to be another than that of requests in flight, or one of them that lost its lease would be
    /// taken for the one that took over.
    fn take_over<'a>(&'a self, lease: &'a Lease, now: UnixTime, limit: usize) -> BoxFuture<'a, TakenOver>;

    /// The same for one payment, for a request that brings it again: unknown, due or not, or settling with its lease
    /// over. Nothing if it is neither, or somebody asks for it already.
    fn take_over_one<'a>(&'a self, id: &'a PaymentId, lease: &'a Lease, now: UnixTime) -> BoxFuture<'a, Option<Due>>;

    /// Ends a payment by an operator's word, unless somebody holds a lease on it.
    fn resolve<'a>(&'a self, id: &'a PaymentId, how: &'a Resolution, now: UnixTime) -> BoxFuture<'a, Resolved>;

    /// One payment.
    fn payment<'a>(&'a self, id: &'a PaymentId) -> BoxFuture<'a, Option<Payment>>;

    /// Payments, the newest first; at most `limit` of them, and never more than [`PAGE_MAX`](super::PAGE_MAX).
    fn list<'a>(
        &'a self,
        filter: &'a PaymentFilter,
        after: Option<&'a PaymentCursor>,
        limit: usize,
    ) -> BoxFuture<'a, PaymentPage>;

    /// How many payments are not settled.
    fn open_payments(&self) -> BoxFuture<'_, OpenPayments>;
}

/// What became of an attempt to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// It is the caller's.
    Fresh,
    /// Another request works on it.
    Held {
        /// Reserved or settling.
        status: PaymentStatus,
        /// Until when it is that request's; in the past where nobody has taken over yet.
        lease_until: UnixTime,
    },
    /// It was settled before.
    Settled(Receipt),
    /// It was asked for, and nobody knows what came of it.
    Unknown {
        /// When it is asked for again; nothing: an operator decides.
        next_attempt_at: Option<UnixTime>,
        /// Until when somebody asks for it now.
        lease_until: Option<UnixTime>,
    },
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// It was made, and is safe from a crash.
    Done,
    /// The row is gone, in another state or somebody else's; nothing was changed.
    Lost,
}

/// What became of a settlement that was to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Recorded {
    /// As with [`Step::Lost`]: nothing was written. The settlement is a fact all the same; whoever took over asks for
    /// it again.
    Lost,
    /// It is recorded, now or before.
    Settled(Receipt),
}

/// What was taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Settlements to be asked for again.
    pub due: Vec<Due>,
    /// Reservations that were released.
    pub released: usize,
}

/// A settlement to be asked for again, with the very bytes of the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The payment, as it is now that it was taken over.
    pub payment: Payment,
    /// The client's payload.
    pub payload: Vec<u8>,
    /// The requirement it was matched with.
    pub requirement: Vec<u8>,
}

/// What an operator says of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It was not made: the row goes, and the authorization may be presented again.
    Released,
    /// It was made.
    Settled(Settlement),
}

/// What became of an operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Resolved {
    /// There is no such payment.
    Absent,
    /// Somebody works on it until then.
    Held {
        /// The end of the lease.
        lease_until: UnixTime,
    },
    /// It is gone.
    Released,
    /// It is settled: by this word, or before and unchanged by it.
    Settled(Receipt),
}

/// Payments that are not settled, by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenPayments {
    /// Reserved.
    pub reserved: u64,
    /// Settling.
    pub settling: u64,
    /// Unknown.
    pub unknown: u64,
}
