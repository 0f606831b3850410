//! The keys that the store keeps: which there are, and what each is for, in step with the store and the clock.
//!
//! 1. A store knows secrets and when they were made. Keys of each algorithm follow from those, and what they are for from
//!    the time (`session::keys::ring`): nobody writes down that a key was changed.
//! 2. What another process adds is read within two seconds. While the store does not answer, what is known stays.
//! 3. A key is added at once or not at all: while the last one does not sign yet there is no place for the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    secret::Secret,
    session::keys::{
        Algorithm, KeyRing,
        ring::{Generation, LEAD, Standing, obstacle},
    },
    store::{SecretStore, StoreError},
    time::{Clock, UnixTime},
};

/// The name of the secrets in the store.
pub const NAME: &str = "token";

/// How often it is looked whether anything has changed.
const CHECK: Duration = Duration::from_secs(1);

/// The keys of a gateway that its store keeps.
pub struct Keys {
    secrets: Arc<dyn SecretStore>,
    foreign: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    rings: Vec<(Algorithm, Arc<KeyRing>)>,
}

/// What keys are read from.
pub struct Means {
    /// Where the secrets are.
    pub secrets: Arc<dyn SecretStore>,
    /// Counts the changes that other processes made.
    pub foreign: Arc<AtomicU64>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// What became of the wish for a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// It is published, and signs in a while.
    Done,
    /// There is no place for it now.
    Not(&'static str),
}

impl Keys {
    /// Keys of these algorithms, whose tokens live so long at most. `fresh` is the first secret if there is none.
    pub async fn read(
        means: Means,
        algorithms: &[Algorithm],
        life: Duration,
        fresh: Secret<[u8; 32]>,
    ) -> Result<Arc<Self>, StoreError> {
        let Means { secrets, foreign, clock } = means;
        secrets.secret(NAME, fresh).await?;
        let now = clock.now();
        let mut rings = Vec::new();
        for algorithm in algorithms {
            let generations = generations(&*secrets, *algorithm).await?;
            let ring = KeyRing::new(generations, life, now);
            rings.push((*algorithm, ring.ok_or_else(|| StoreError::Corrupt("a kept secret is gone".to_owned()))?));
        }
        Ok(Arc::new(Self { secrets, foreign, clock, rings }))
    }

    /// The keys of an algorithm.
    pub fn ring(&self, algorithm: Algorithm) -> Option<Arc<KeyRing>> {
        self.rings.iter().find(|(of, _)| *of == algorithm).map(|(_, ring)| Arc::clone(ring))
    }

    /// All of them and what each is for.
    pub fn list(&self, now: UnixTime) -> Vec<(Generation, Standing)> {
        self.rings.iter().flat_map(|(_, ring)| ring.generations(now)).collect()
    }

    /// Adds a key of every algorithm.
    pub async fn rotate(&self, fresh: Secret<[u8; 32]>, now: UnixTime) -> Result<Rotated, StoreError> {
        self.reread().await?;
        let rotated = rotate(&*self.secrets, self.rings.first(), fresh, now).await?;
        self.reread().await?;
        Ok(rotated)
    }

    /// Keeps in step for as long as it is waited for.
    pub async fn keep(self: Arc<Self>) {
        let mut known = None;
        loop {
            tokio::time::sleep(CHECK).await;
            // Before the store is asked: what is written meanwhile is read the next time.
            let foreign = self.foreign.load(Ordering::Acquire);
            if known != Some(foreign) {
                match self.reread().await {
                    Ok(()) => known = Some(foreign),
                    Err(error) => tracing::debug!(%error, "the store does not say which keys there are"),
                }
            }
            let now = self.clock.now();
            for (_, ring) in &self.rings {
                ring.turn(now);
            }
        }
    }

    async fn reread(&self) -> Result<(), StoreError> {
        for (algorithm, ring) in &self.rings {
            let generations = generations(&*self.secrets, *algorithm).await?;
            // A store that has forgotten all is one that was put in its place: what is signed already stays good.
            if !generations.is_empty() {
                ring.change(generations, self.clock.now());
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("rings", &self.rings).finish_non_exhaustive()
    }
}

async fn rotate(
    secrets: &dyn SecretStore,
    ring: Option<&(Algorithm, Arc<KeyRing>)>,
    fresh: Secret<[u8; 32]>,
    now: UnixTime,
) -> Result<Rotated, StoreError> {
    let Some((_, ring)) = ring else {
        return Ok(Rotated::Not("there are no keys in use that the store keeps"));
    };
    let standings: Vec<_> = ring.generations(now).into_iter().map(|(_, standing)| standing).collect();
    if let Some(why) = obstacle(&standings) {
        return Ok(Rotated::Not(why));
    }
    let lead = i64::try_from(LEAD.as_millis()).unwrap_or(i64::MAX);
    let done = secrets.succeed(NAME, fresh, now.plus_millis(-lead), now).await?;
    Ok(if done { Rotated::Done } else { Rotated::Not("another process made a new key just now") })
}

/// The keys of an algorithm that a store keeps, the oldest first.
async fn generations(secrets: &dyn SecretStore, algorithm: Algorithm) -> Result<Vec<Generation>, StoreError> {
    let kept = secrets.succession(NAME).await?;
    Ok(Generation::derive(kept.iter().map(|kept| (&kept.secret, kept.made_at)), algorithm))
}
