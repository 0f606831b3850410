//! Keys that may change while the gateway runs.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::SigningKeys;

/// The keys of a purpose as they are now. Whoever signs or verifies takes them once, for as long as that lasts.
#[derive(Debug)]
pub struct KeyRing(ArcSwap<SigningKeys>);

impl KeyRing {
    /// These, until they are changed.
    pub fn new(keys: SigningKeys) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(keys)))
    }

    /// As they are now.
    pub fn keys(&self) -> Arc<SigningKeys> {
        self.0.load_full()
    }

    /// Puts others in their place.
    pub fn change(&self, keys: SigningKeys) {
        self.0.store(Arc::new(keys));
    }
}
