//! Leases: what says that somebody works on a payment (x402.md section 6).
//!
//! 1. A lease is short, and renewed while its holder works. So a long settlement keeps its payment, and what a process
//!    leaves behind when it dies is taken over within [`LIFE`] and one look of the recovery.
//! 2. A renewal decides nothing. A holder that lost its lease, because its process stood still for too long, learns it
//!    by its next step, which is conditional on the owner; nobody is asked for anything after such a step.

use std::{sync::Arc, time::Duration};

use tokio::task::AbortHandle;

use super::Payments;
use crate::{
    store::{Lease, Owner, PaymentId, Step},
    time::UnixTime,
};

/// For how long a payment is its holder's without a renewal: three of these may fail, as while the store is busy.
const LIFE: Duration = Duration::from_secs(15);

/// How often a lease is renewed. Most payments end before the first time.
const RENEWED_EVERY: Duration = Duration::from_secs(4);

/// Renews a lease until it is dropped.
#[must_use]
pub(super) struct Renewal(AbortHandle);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A lease from now on.
pub(super) fn lease(owner: Owner, now: UnixTime) -> Lease {
    Lease { owner, until: now.plus(LIFE) }
}

impl Payments {
    /// Renews the owner's lease on a payment while the result lives.
    pub(super) fn renew(self: &Arc<Self>, id: PaymentId, owner: Owner) -> Renewal {
        let payments = Arc::clone(self);
        let task = self.means.outbound.spawn(async move {
            loop {
                tokio::time::sleep(RENEWED_EVERY).await;
                let until = lease(owner.clone(), payments.means.clock.now());
                match payments.means.store.renew(&id, &until).await {
                    Ok(Step::Done) => {}
                    Ok(Step::Lost) => return,
                    Err(error) => tracing::warn!(%error, payment = %id, "the lease on a payment cannot be renewed"),
                }
            }
        });
        Renewal(task.abort_handle())
    }
}
