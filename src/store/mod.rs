//! What outlives a request: who has subscribed, paid or signed in, which nonces and payments were used, and how much of
//! a quota.
//!
//! 1. A store is asked through [`SubscriptionStore`], [`NonceStore`], [`PaymentStore`], [`SessionStore`],
//!    [`UsageStore`] and [`SecretStore`]; which one it is, [`open`] alone knows. Every store passes the same suite of
//!    rules (`tests/store/rules.rs`).
//! 2. **A store that does not answer is an error, never a no** (hardening.md section 7): a row that makes no sense, a
//!    full disk, a time-out and a file that is not there are each a [`StoreError`].
//! 3. Time is an argument. No store judges by a clock of its own, so that an answer can be told from its arguments.
//! 4. Every operation ends within `Settings::timeout`, as seen by its caller.
//! 5. What must happen once is one conditional statement in the store, never a look and then a write: several
//!    processes share one store.

mod counted;
mod error;
mod grant;
mod holding;
mod page;
mod payment;
mod session;
pub mod settings;
mod sqlite;
mod usage;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    caip::AccountKey,
    policy::{
        access::Access,
        subscription::{Subscription, Subscriptions},
    },
    secret::Secret,
    time::UnixTime,
};

pub use self::{
    counted::counted,
    error::StoreError,
    grant::{END_OF_TIME, Grant, GrantError, ID_BYTES_MAX, PLAN_BYTES_MAX, Term, is_plan},
    page::{Cursor, CursorError, Filter, Held, PAGE_MAX, Page},
    payment::{
        Asked, BLOB_BYTES_MAX, Doubt, Due, HISTORY_DAYS, Lease, NewPayment, OpenPayments, Owner, Payment,
        PaymentCursor, PaymentCursorError, PaymentError, PaymentFilter, PaymentId, PaymentPage, PaymentStatus,
        PaymentStore, RESPONSE_BYTES_MAX, Receipt, Recorded, Reserved, Resolution, Resolved, Sale, Settlement, Step,
        TAKEN_OVER_MAX, TakenOver, Word, WordError,
    },
    session::{
        AccountHistory, AccountMetadata, CONNECTION_BYTES_MAX, Change, ListedSet, METADATA_BYTES_MAX, NewSession,
        Renewal, SESSIONS_MAX, SETS_PER_ACCOUNT_MAX, SessionCursor, SessionCursorError, SessionEntry, SessionError,
        SessionFacts, SessionFilter, SessionKey, SessionName, SessionPage, SessionSet, SessionStore, SessionTexts,
        SignIn, SignedIn,
    },
    settings::{Backend, Settings},
    usage::{USAGE_MAX, UsageDelta, UsageStore},
};

/// What a store's operation returns. Stores are asked on cold paths, where one allocation more does not count.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Grants that one import may hold. They are one transaction, which keeps other writers waiting: SQLite takes 20 µs for
/// each in an unoptimised build, so that these take about a second, as long as others wait by default.
pub const IMPORT_MAX: usize = 50_000;

/// How much access to routes is read for one account at once. A wallet that buys path by path may come to hold any
/// number; at some 200 bytes each, so many are what one wallet may take of the memory of all.
pub const ACCESS_MAX: usize = 1000;

/// Who has subscribed to what, and who holds access to routes. Access is written by payments alone.
///
/// Reads may be a moment old, but never older than what this process has been told was written. Err towards an error:
/// an empty answer for somebody who paid turns a customer away, and a subscription that nobody paid for lets a
/// stranger in.
pub trait SubscriptionStore: Send + Sync {
    /// All that the account holds, ended subscriptions too; empty if nothing. Of access to routes at most
    /// [`ACCESS_MAX`]: who holds more is told so ([`Subscriptions::has_more_access`]), and what is not among these is
    /// asked for by [`access`](Self::access).
    fn find<'a>(&'a self, account: &'a AccountKey) -> BoxFuture<'a, Subscriptions>;

    /// What the account holds of this route, and of this path of it: two at most, ended ones too. The path is
    /// canonical.
    fn access<'a>(&'a self, account: &'a AccountKey, route: &'a str, path: &'a str) -> BoxFuture<'a, Vec<Access>>;

    /// Gives or extends a subscription as [`Grant::onto`] says and returns it as it is then, once it is safe from a
    /// crash. One id is applied once: asked again it changes nothing and returns what is held, and it is a conflict if
    /// nothing is held any more.
    fn grant<'a>(&'a self, grant: &'a Grant, now: UnixTime) -> BoxFuture<'a, Subscription>;

    /// Takes a subscription away; false if there was none.
    fn revoke<'a>(&'a self, account: &'a AccountKey, plan: &'a str) -> BoxFuture<'a, bool>;

    /// Subscriptions in the order of namespace, address and plan, byte by byte; at most `limit` of them, and
    /// never more than [`PAGE_MAX`].
    fn list<'a>(&'a self, filter: &'a Filter, after: Option<&'a Cursor>, limit: usize) -> BoxFuture<'a, Page>;

    /// All of these grants, in their order, or none of them; how many there were. At most [`IMPORT_MAX`]; takes longer
    /// than `timeout` by as much as many grants need.
    fn import<'a>(&'a self, grants: &'a [Grant], now: UnixTime) -> BoxFuture<'a, usize>;
}

/// Which nonces have been used: what makes a proof that may be used once good for one use.
///
/// Of any number of claims of one key, made at once and by whatever processes, at most one is ever told
/// [`Claim::Fresh`], from the first claim until its `until`. It is told so only when the claim is safe from a crash.
///
/// It may be wrong in one direction alone. A `Used` for a nonce that nobody used costs an honest wallet one more
/// signature. A `Fresh` too many lets whoever has seen a proof — in a log, at a proxy, in a browser's history — use it
/// a second time, in place of the wallet that signed it. Therefore a store that is not sure answers with an error, a
/// key is kept for some time past its `until` in case clocks disagree, and a claim whose time is over already is
/// `Used`: nothing would remember it.
pub trait NonceStore: Send + Sync {
    /// Claims the key until `until`, atomically.
    ///
    /// `until` is when a proof with this nonce is refused for its age alone; a later claim of the same key does not
    /// change it. A claim that times out may have been made.
    fn claim<'a>(&'a self, key: NonceKey<'a>, until: UnixTime, now: UnixTime) -> BoxFuture<'a, Claim>;
}

/// Keys that are made once and kept, for all processes that share the store and for all their starts.
///
/// Whoever reads the store's file can make nonces that pass as issued here; the file is its owner's alone.
pub trait SecretStore: Send + Sync {
    /// The secret of this name: `fresh` if there was none, and then for ever. Of any number of processes that ask at
    /// once, all are told the same one, and only when it is safe from a crash.
    fn secret<'a>(&'a self, name: &'a str, fresh: Secret<[u8; 32]>) -> BoxFuture<'a, Secret<[u8; 32]>>;

    /// The secret of this name and all that succeeded it, the oldest first; empty if there is none.
    fn succession<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<KeptSecret>>;

    /// Lets `fresh` succeed what there is of this name, as made at `now`, and says whether it does. It does not if one
    /// was made after `after` already: of any number of processes that ask at once, one is told so.
    fn succeed<'a>(
        &'a self,
        name: &'a str,
        fresh: Secret<[u8; 32]>,
        after: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, bool>;
}

/// A secret, and since when there is it.
#[derive(Debug, Clone)]
pub struct KeptSecret {
    /// The secret.
    pub secret: Secret<[u8; 32]>,
    /// When it was made; nothing: it is the first one.
    pub made_at: Option<UnixTime>,
}

/// Under what a used nonce is remembered. Keys of the two kinds are never equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NonceKey<'a> {
    /// A nonce the wallet chose: it counts for this account alone, or one wallet could use up another's.
    Account(&'a AccountKey, &'a str),
    /// A nonce this gateway issued: it is nobody's, and used whoever signs it.
    Issued(&'a str),
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody had claimed the key; now it is claimed.
    Fresh,
    /// The key was claimed before.
    Used,
}

/// An open store. Clones share it; it closes with the last of them, when what was begun is finished.
#[derive(Clone)]
pub struct Store {
    driver: Arc<dyn Driver>,
}

/// All that one kind of store has to offer. Public so that a program which embeds the gateway can bring a store of
/// its own, and a test one that fails when it is told to.
pub trait Driver: SubscriptionStore + NonceStore + PaymentStore + SessionStore + UsageStore + SecretStore {
    /// The value of the label `backend` in metrics.
    fn name(&self) -> &'static str;

    /// See [`Store::foreign_writes`].
    fn foreign_writes(&self) -> &Arc<AtomicU64>;

    /// See [`Store::set_timeout`].
    fn set_timeout(&self, timeout: Duration);

    /// See [`Store::check`].
    fn check(&self) -> BoxFuture<'_, ()>;
}

/// Opens the store that the settings name. Blocks: it is for the start, and takes up to `timeout`.
///
/// If it does not open and need not (`require_at_start`), it answers with [`StoreError::Unavailable`] until it does,
/// and is tried again each second. What waiting cannot cure ([`StoreError::is_lasting`]) fails here in either case.
pub fn open(settings: &Settings) -> Result<Store, StoreError> {
    let driver: Arc<dyn Driver> = match &settings.backend {
        Backend::Sqlite(path) => Arc::new(sqlite::Sqlite::open(sqlite::Place::File(path.clone()), settings)?),
        Backend::SqliteMemory => Arc::new(sqlite::Sqlite::open(sqlite::Place::Memory, settings)?),
    };
    Ok(Store::new(driver))
}

// === impl Store ===

impl Store {
    /// A store that was made elsewhere.
    pub fn new(driver: Arc<dyn Driver>) -> Self {
        Self { driver }
    }

    /// Its subscriptions.
    pub fn subscriptions(&self) -> Arc<dyn SubscriptionStore> {
        Arc::clone(&self.driver) as Arc<dyn SubscriptionStore>
    }

    /// Its used nonces.
    pub fn nonces(&self) -> Arc<dyn NonceStore> {
        Arc::clone(&self.driver) as Arc<dyn NonceStore>
    }

    /// Its payments.
    pub fn payments(&self) -> Arc<dyn PaymentStore> {
        Arc::clone(&self.driver) as Arc<dyn PaymentStore>
    }

    /// Its sessions.
    pub fn sessions(&self) -> Arc<dyn SessionStore> {
        Arc::clone(&self.driver) as Arc<dyn SessionStore>
    }

    /// What was used of quotas.
    pub fn usage(&self) -> Arc<dyn UsageStore> {
        Arc::clone(&self.driver) as Arc<dyn UsageStore>
    }

    /// Its secrets.
    pub fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.driver) as Arc<dyn SecretStore>
    }

    /// The value of the label `backend` in metrics.
    pub fn name(&self) -> &'static str {
        self.driver.name()
    }

    /// A number that changes within about a second of a write by another process, and may change without one.
    ///
    /// Whoever remembers an answer reads the number *before* asking, and forgets the answer when it has changed since.
    pub fn foreign_writes(&self) -> Arc<AtomicU64> {
        Arc::clone(self.driver.foreign_writes())
    }

    /// Another bound on operations that begin from now on: see [`Settings::timeout`].
    pub fn set_timeout(&self, timeout: Duration) {
        self.driver.set_timeout(timeout);
    }

    /// Whether the store answers at all: for readiness, and to say at the start why it does not.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.driver.check().await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.name())
            .field("foreign_writes", &self.driver.foreign_writes().load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

// === impl NonceKey ===

impl fmt::Display for NonceKey<'_> {
    /// The key as stores keep it. No namespace and no address holds a colon, so the parts cannot be mistaken.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account, nonce) => write!(f, "account:{account}:{nonce}"),
            Self::Issued(nonce) => write!(f, "issued:{nonce}"),
        }
    }
}
