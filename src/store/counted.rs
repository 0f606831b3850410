//! Counting what a store is asked for: how often, with what outcome, and how long it took.

use std::time::Instant;

use super::StoreError;
use crate::metrics::OperationMetrics;

/// Waits for the store's answer, and counts it.
pub async fn counted<T>(
    operations: &OperationMetrics,
    asking: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let begun = Instant::now();
    let answer = asking.await;
    operations.duration.observe(begun.elapsed());
    match &answer {
        Ok(_) => operations.ok.inc(),
        Err(StoreError::Conflict(_)) => operations.conflict.inc(),
        Err(StoreError::Locked | StoreError::Timeout(_)) => operations.timeout.inc(),
        Err(_) => operations.error.inc(),
    }
    answer
}
