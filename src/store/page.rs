//! How subscriptions are listed: by account, by plan, a page at a time.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::grant::{is_account, is_plan};
use crate::{caip::AccountKey, policy::subscription::Subscription};

/// Subscriptions on one page at most. A page is read in one go and held in memory.
pub const PAGE_MAX: usize = 1000;

/// Which subscriptions are listed; nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this account.
    pub account: Option<AccountKey>,
    /// Those to this plan.
    pub plan: Option<String>,
}

/// Some of the subscriptions listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The subscriptions, in order.
    pub held: Vec<Held>,
    /// After what the next page begins; nothing: this is the last.
    pub next: Option<Cursor>,
}

/// A subscription and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who holds it, in the spelling of the store.
    pub account: AccountKey,
    /// What is held.
    pub subscription: Subscription,
}

/// The last subscription of a page. Its text is `namespace:address:plan`; it goes on working when that subscription
/// is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(super) account: AccountKey,
    pub(super) plan: String,
}

/// A text is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected `namespace:address:plan`, as `next` of the page before")]
pub struct CursorError;

// === impl Page ===

impl Page {
    /// A page of `limit` out of what was found when one more was asked for.
    pub(super) fn of(mut held: Vec<Held>, limit: usize) -> Self {
        let more = held.len() > limit;
        held.truncate(limit);
        let next = held.last().filter(|_| more).map(Cursor::at);
        Self { held, next }
    }
}

// === impl Cursor ===

impl Cursor {
    fn at(held: &Held) -> Self {
        Self { account: held.account.clone(), plan: held.subscription.plan.clone() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.account, self.plan)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.splitn(3, ':');
        let (Some(namespace), Some(address), Some(plan)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(CursorError);
        };
        let account = AccountKey::new(namespace, address);
        if !is_account(&account) || !is_plan(plan) {
            return Err(CursorError);
        }
        Ok(Self { account, plan: plan.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_what_they_write() {
        for text in ["eip155:0xab:nano", "solana:AB3FQHs:pro:2026", "eip155:0xab:default"] {
            assert_eq!(text.parse::<Cursor>().map(|cursor| cursor.to_string()), Ok(text.into()), "{text}");
        }
        for text in ["", "eip155", "eip155:0xab", "eip155:0xab:", ":0xab:nano", "eip155::nano", "EIP155:0xab:nano"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
