//! How much of a plan's quota was used.
//!
//! Requests are counted in memory and handed over at most once a second, so that a crash forgets what was counted
//! since (operations.md section 9). Several processes on one store add up what each of them counted.

use super::BoxFuture;
use crate::{caip::AccountKey, time::UnixTime};

/// Deltas that one call may hold. They are one transaction, as those of an import.
pub const USAGE_MAX: usize = super::IMPORT_MAX;

/// One account's requests to one plan within one window of its quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDelta {
    /// Whose.
    pub account: AccountKey,
    /// The plan's name.
    pub plan: String,
    /// When the window began: what tells it from the plan's other windows.
    pub window_start: UnixTime,
    /// When the window ends. Some time after it the count is forgotten.
    pub window_end: UnixTime,
    /// How many requests to add.
    pub requests: u32,
}

/// How much was used.
///
/// Counts may be short by what was not handed over yet, and never exceed what was counted by more than a call that
/// was repeated: a call that timed out may have been made, and whoever repeats it may count twice. Rather let it be:
/// a second's requests are given away, and nobody is refused what was paid for.
pub trait UsageStore: Send + Sync {
    /// Adds all of these, or none; what each window then counts, in their order, with what others added. At most
    /// [`USAGE_MAX`]; takes longer than `timeout` by as much as many of them need.
    fn add_usage<'a>(&'a self, deltas: &'a [UsageDelta], now: UnixTime) -> BoxFuture<'a, Vec<u64>>;

    /// What a window counts; 0 if nothing was added to it.
    fn usage<'a>(&'a self, account: &'a AccountKey, plan: &'a str, window_start: UnixTime) -> BoxFuture<'a, u64>;

    /// How many purchases of the plan were settled for the account from `from` on and before `to`: each adds the plan's
    /// requests to its window. The purchase with which the plan began opened the first window and adds nothing, so the
    /// first window is counted from a millisecond after its start.
    fn purchases<'a>(
        &'a self,
        account: &'a AccountKey,
        plan: &'a str,
        from: UnixTime,
        to: UnixTime,
    ) -> BoxFuture<'a, u64>;
}
