//! The series of what the gateway asks: stores, facilitators, nodes of chains.

use super::{Counter, Histogram, Metrics, Words};

/// What came of asking a facilitator to verify.
pub const VERIFY_RESULTS: [&str; 4] = ["ok", "refused", "error", "timeout"];

/// What came of asking a facilitator to settle.
pub const SETTLE_RESULTS: [&str; 5] = ["ok", "refused", "pending", "error", "timeout"];

/// What came of asking a facilitator what it supports.
pub const SUPPORTED_RESULTS: [&str; 3] = ["ok", "error", "timeout"];

/// What came of a call to a node of a chain: it was answered, it failed, it took too long, or it was not made, because
/// whoever wanted it had no more to spend.
pub const RPC_RESULTS: [&str; 4] = ["ok", "failed", "timeout", "rejected"];

/// The series of the subscription store.
pub struct LookupMetrics {
    /// The account holds something that counts now.
    pub active: Counter,
    /// It does not.
    pub inactive: Counter,
    /// The store failed.
    pub error: Counter,
    /// The store did not answer in time.
    pub timeout: Counter,
    /// Time of a lookup.
    pub duration: Histogram,
}

/// The series of one facilitator.
pub struct FacilitatorMetrics {
    /// What came of asking it to verify.
    pub verify: Words<4>,
    /// Time it took.
    pub verify_duration: Histogram,
    /// What came of asking it to settle.
    pub settle: Words<5>,
    /// Time it took.
    pub settle_duration: Histogram,
    /// What came of asking it what it supports.
    pub supported: Words<3>,
    /// Time it took.
    pub supported_duration: Histogram,
}

/// The series of the nodes of one chain.
pub struct RpcMetrics {
    /// What came of the calls.
    pub requests: Words<4>,
    /// Time of one call.
    pub duration: Histogram,
}

/// The series of one kind of write.
pub struct OperationMetrics {
    /// It was done.
    pub ok: Counter,
    /// Another one was first.
    pub conflict: Counter,
    /// It failed.
    pub error: Counter,
    /// It took too long.
    pub timeout: Counter,
    /// Time it took.
    pub duration: Histogram,
}

// === impl Metrics ===

impl Metrics {
    /// The series of subscription lookups in a store, made at 0.
    pub fn lookups(&self, backend: &'static str) -> LookupMetrics {
        let lookups = |result| self.subscription_lookups.with_label_values(&[backend, result]);
        LookupMetrics {
            active: lookups("active"),
            inactive: lookups("inactive"),
            error: lookups("error"),
            timeout: lookups("timeout"),
            duration: self.subscription_lookup_duration.with_label_values(&[backend]),
        }
    }

    /// The series of a kind of write, made at 0.
    pub fn operation(&self, operation: &'static str) -> OperationMetrics {
        let operations = |result| self.store_operations.with_label_values(&[operation, result]);
        OperationMetrics {
            ok: operations("ok"),
            conflict: operations("conflict"),
            error: operations("error"),
            timeout: operations("timeout"),
            duration: self.store_operation_duration.with_label_values(&[operation]),
        }
    }

    /// The series of a facilitator, made at 0.
    pub fn facilitator(&self, facilitator: &str) -> FacilitatorMetrics {
        let duration = |operation| self.facilitator_duration.with_label_values(&[facilitator, operation]);
        FacilitatorMetrics {
            verify: Words::new(&self.facilitator_requests, &[facilitator, "verify"], &VERIFY_RESULTS),
            verify_duration: duration("verify"),
            settle: Words::new(&self.facilitator_requests, &[facilitator, "settle"], &SETTLE_RESULTS),
            settle_duration: duration("settle"),
            supported: Words::new(&self.facilitator_requests, &[facilitator, "supported"], &SUPPORTED_RESULTS),
            supported_duration: duration("supported"),
        }
    }

    /// The series of the nodes of a chain, made at 0.
    pub fn rpc(&self, chain: &str) -> RpcMetrics {
        RpcMetrics {
            requests: Words::new(&self.rpc_requests, &[chain], &RPC_RESULTS),
            duration: self.rpc_duration.with_label_values(&[chain]),
        }
    }
}
