//! Sessions as a store keeps them: what a browser's cookie or a session token opens (sessions.md sections 2.1 and 2.2).
//!
//! 1. A cookie or token names a *set* of sessions, one for each account of a chain that signed in. A store knows the
//!    set by a hash of what the client holds, so that whoever reads the store can be nobody by it.
//! 2. Every change of a set is made under a new key, and the old one opens nothing from then on: who has put a cookie
//!    of their own choice into a browser holds nothing after its user signed in.
//! 3. A key is followed one step, to the set that replaced its own, by what takes away and never by what gives. So a
//!    sign-out that meets a refresh still ends the set, and a key that was spent brings nobody into it.
//! 4. Nonces, the end of the old set and the beginning of the new one are one transaction. An attempt that fails leaves
//!    everything as it was, the nonces unused.

mod page;
mod record;

use super::BoxFuture;
use crate::{
    caip::{AccountId, AccountKey},
    time::UnixTime,
};

pub use crate::session::id::SessionKey;

pub use self::{
    page::{ListedSet, SessionCursor, SessionCursorError, SessionFilter, SessionPage},
    record::{
        AccountHistory, AccountMetadata, CONNECTION_BYTES_MAX, Change, METADATA_BYTES_MAX, NewSession, Renewal,
        SESSIONS_MAX, SessionEntry, SessionError, SessionFacts, SessionName, SessionSet, SessionTexts, SignIn,
    },
};

/// Sets that may hold sessions of one account: more browsers than anybody has, and few enough that one wallet which
/// signs in again and again fills no disk.
pub const SETS_PER_ACCOUNT_MAX: usize = 1000;

/// Who is signed in.
///
/// A change that was confirmed is safe from a crash. One that failed may have been made all the same: a sign-in then
/// has used its nonces and begun a set whose key nobody was told, and whoever failed to end a set tries again.
///
/// Err towards signed out. A session too few costs its wallet one more signature. A session too many is somebody else's
/// way in: it lets whoever found an old cookie go on after its owner signed out, and puts a stranger's account into a
/// browser or a browser's account into a stranger's.
///
/// A session counts from its `not_before` on and until its `expires_at`, to the millisecond, by the `now` of the
/// caller. What has ended is in no set that is answered and in no list; its rows are kept for some time in case clocks
/// disagree, and go a few at a time with every sign-in and renewal.
pub trait SessionStore: Send + Sync {
    /// Begins a set, adds to one or puts one in the place of another: see [`Change`]. All or nothing, and atomically
    /// with the claims of all its nonces, which are those of [`NonceKey::Issued`](super::NonceKey::Issued): of any
    /// number of sign-ins with one nonce at most one is ever [`SignedIn::Done`].
    ///
    /// Of changes that name one old key the last to be committed wins whole. An [`Add`](Change::Add) that comes after
    /// another of them is [`SignedIn::Gone`]: what it would add to is another's by now. A [`Replace`](Change::Replace)
    /// ends what the others left, and is done also when there is nothing left: it takes nothing over.
    ///
    /// An account may be in [`SETS_PER_ACCOUNT_MAX`] sets; with one more its sessions in the set that it signed in to
    /// longest ago end, and those that have ended already go first. Other accounts of that set stay.
    ///
    /// It is a conflict to name a new key, a public id or the id of a session that is in use.
    fn sign_in<'a>(&'a self, change: &'a SignIn, now: UnixTime) -> BoxFuture<'a, SignedIn>;

    /// Gives a set a new key and a longer life (`P/refresh`): see [`Renewal`]. The set as it is then, or nothing if
    /// there was none under this key or nothing is left of it. Of several at once one is made.
    ///
    /// It is a conflict to name a new key or a public id that is in use.
    fn rotate<'a>(
        &'a self,
        key: &'a SessionKey,
        renewal: &'a Renewal,
        now: UnixTime,
    ) -> BoxFuture<'a, Option<SessionSet>>;

    /// The set under this key, with those of its sessions that count now; nothing if none does.
    fn find<'a>(&'a self, key: &'a SessionKey, now: UnixTime) -> BoxFuture<'a, Option<SessionSet>>;

    /// Ends the session of this account, on this chain, in the set under this key or in the one that replaced it; how
    /// many sessions of the set count after it. With the last of them the set is gone. Addresses of EVM accounts are
    /// compared in any case.
    fn forget_pair<'a>(&'a self, key: &'a SessionKey, account: &'a AccountId, now: UnixTime) -> BoxFuture<'a, usize>;

    /// Ends the set under this key and the one that replaced it; false if there was neither.
    fn end<'a>(&'a self, key: &'a SessionKey) -> BoxFuture<'a, bool>;

    /// Ends the set of this public id, or else the one session of this id; false if there was neither.
    fn end_sid<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, bool>;

    /// Ends every session of these accounts, in whatever set and on whatever chain; how many that were, those included
    /// that had ended by themselves and were not forgotten yet. Other accounts of these sets stay. At most
    /// [`SESSIONS_MAX`] accounts.
    fn end_all<'a>(&'a self, accounts: &'a [AccountKey]) -> BoxFuture<'a, usize>;

    /// Sets with sessions that count now or will, the newest set first; at most `limit` of them, and never more than
    /// [`PAGE_MAX`](super::PAGE_MAX). What was signed is not read.
    fn list<'a>(
        &'a self,
        filter: &'a SessionFilter,
        after: Option<&'a SessionCursor>,
        limit: usize,
        now: UnixTime,
    ) -> BoxFuture<'a, SessionPage>;

    /// Notes that a set was used, at `at`. An earlier time changes nothing. False if there is no set under this key.
    ///
    /// It is a write: ask for it no more often than a life without use has to be told apart from one with.
    fn seen<'a>(&'a self, key: &'a SessionKey, at: UnixTime) -> BoxFuture<'a, bool>;

    /// Notes that a session's signature was found good once more, at `at`. An earlier time changes nothing. False if
    /// there is no such session under this key.
    fn verified<'a>(&'a self, key: &'a SessionKey, id: &'a str, at: UnixTime) -> BoxFuture<'a, bool>;

    /// What was last put for an account, on whatever chain.
    fn metadata<'a>(&'a self, account: &'a AccountKey) -> BoxFuture<'a, Option<AccountMetadata>>;

    /// Keeps this for an account in the place of what was kept, or nothing. It outlives every session.
    fn put_metadata<'a>(&'a self, account: &'a AccountKey, metadata: Option<&'a AccountMetadata>) -> BoxFuture<'a, ()>;

    /// What is known of an account's sign-ins, on whatever chain.
    fn history<'a>(&'a self, account: &'a AccountKey) -> BoxFuture<'a, Option<AccountHistory>>;

    /// Adds a sign-in to what is known of an account: the earliest and the latest time stay, and what was said at the
    /// latest. It outlives every session, and is forgotten a year and more after the last.
    fn note_sign_in<'a>(&'a self, account: &'a AccountKey, sign_in: &'a AccountHistory) -> BoxFuture<'a, ()>;
}

/// What became of a sign-in. Unless it is done nothing was changed, and no nonce was used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum SignedIn {
    /// The set as it is now, under its new key.
    Done(SessionSet),
    /// There is no set to add to: it has ended, or was changed meanwhile.
    Gone,
    /// This nonce was used before, or is too old to be remembered.
    NonceUsed {
        /// The place of the first session of the change that has it.
        index: usize,
    },
    /// The set would hold more than [`SESSIONS_MAX`] sessions.
    TooMany {
        /// So many.
        found: usize,
    },
}
