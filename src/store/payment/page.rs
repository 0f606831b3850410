//! How payments are listed: by state and payer, the newest first, a page at a time.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{Payment, PaymentId, PaymentStatus};
use crate::{caip::AccountKey, time::UnixTime};

/// Which payments are listed; nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaymentFilter {
    /// Those paid by this account, as far as the payer is known.
    pub account: Option<AccountKey>,
    /// Those in this state.
    pub status: Option<PaymentStatus>,
}

/// Some of the payments listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentPage {
    /// The payments, in order.
    pub payments: Vec<Payment>,
    /// After what the next page begins; nothing: this is the last.
    pub next: Option<PaymentCursor>,
}

/// The last payment of a page. Its text is `milliseconds:id`; it goes on working when that payment is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentCursor {
    pub(in crate::store) created_at: UnixTime,
    pub(in crate::store) id: PaymentId,
}

/// A text is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected `milliseconds:id`, as `next` of the page before")]
pub struct PaymentCursorError;

// === impl PaymentPage ===

impl PaymentPage {
    /// A page of `limit` out of what was found when one more was asked for.
    pub(in crate::store) fn of(mut payments: Vec<Payment>, limit: usize) -> Self {
        let more = payments.len() > limit;
        payments.truncate(limit);
        let last = payments.last().filter(|_| more);
        let next = last.map(|last| PaymentCursor { created_at: last.created_at, id: last.id });
        Self { payments, next }
    }
}

// === impl PaymentCursor ===

impl fmt::Display for PaymentCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.created_at.millis(), self.id)
    }
}

impl FromStr for PaymentCursor {
    type Err = PaymentCursorError;

    fn from_str(text: &str) -> Result<Self, PaymentCursorError> {
        let (millis, id) = text.split_once(':').ok_or(PaymentCursorError)?;
        let millis = millis.parse().map_err(|_| PaymentCursorError)?;
        let id = id.parse().map_err(|_| PaymentCursorError)?;
        Ok(Self { created_at: UnixTime::from_millis(millis), id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_what_they_write() {
        let id = "0a".repeat(32);
        for millis in ["0", "1774519500000", "-5"] {
            let text = format!("{millis}:{id}");
            assert_eq!(text.parse::<PaymentCursor>().map(|cursor| cursor.to_string()), Ok(text.clone()), "{text}");
        }
        for text in ["", "5", "5:", &id, &format!("x:{id}"), &format!("5:{id}0")] {
            assert_eq!(text.parse::<PaymentCursor>(), Err(PaymentCursorError), "{text}");
        }
    }
}
