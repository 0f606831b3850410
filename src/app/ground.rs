//! What outlives one configuration, and rooms built on it: at the start and again by every reload.
//!
//! 1. Building has no effect outside: nobody is asked for money and no task runs until what was built is entered. So a
//!    reload that fails half way leaves nothing behind.
//! 2. Payments under way end with the rooms they began with. The tasks that look after payments in general — recovery,
//!    and asking facilitators what they support — are of those in force alone.
//! 3. Whoever buys something is made known to the gate in force at that moment.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::task::AbortHandle;

use super::{KeyUse, StartError, fresh_secret, gate, key_use, outbound, routes, stores};
use crate::{
    config::{Config, Fingerprint, Report},
    edge::server::Served,
    facilitator::{self, Facilitators},
    gate::{
        Gate,
        keys::{self, Keys},
        payment::{Means, Payments},
        sessions::{self, Sessions},
        settings::{PaymentSettings, SessionSettings, Settings},
    },
    metrics::Metrics,
    outbound::Outbound,
    rpc::Rpc,
    secret::Secret,
    session::keys::{Algorithm, KeyRing},
    siwx::origin::Origin,
    store::Store,
    time::Clock,
    x402::nonce::NonceIssuer,
};

/// A secret by its name in the store.
type Named = (&'static str, Secret<[u8; 32]>);

/// What every configuration of a process is built on.
pub(super) struct Ground {
    store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    /// Started when first something outside is to be asked.
    outbound: OnceLock<Outbound>,
    /// Secrets that the store gave.
    secrets: Mutex<Vec<Named>>,
    /// The gate in force, and the same for those whom it holds itself.
    gate: Mutex<Option<Arc<Gate>>>,
    judge: Arc<Judge>,
}

/// The gate in force, as long as there is one.
#[derive(Default)]
struct Judge(Mutex<Weak<Gate>>);

/// What was built, apart from what serves.
pub(super) struct Made {
    gate: Arc<Gate>,
    fingerprint: Fingerprint,
    payments: Option<(Arc<Payments>, Facilitators)>,
    keys: Option<Kept>,
}

/// Keys that the store keeps, and what they are used for.
#[derive(Clone)]
struct Kept {
    used: KeyUse,
    keys: Arc<Keys>,
}

/// What is in force, and its tasks.
pub(super) struct InForce {
    made: Made,
    recovery: Option<AbortHandle>,
    refreshing: Option<AbortHandle>,
    keeping: Option<AbortHandle>,
}

/// The tables on which it depends what payments are asked for and how they are settled.
const OF_PAYMENTS: &[&str] = &["public_url", "server", "auth", "chains", "x402", "plan", "route"];

/// How often facilitators are asked what they support, once they have said it, and until then.
const SUPPORTED_INTERVALS: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(5)];

/// How long a reload waits for new facilitators to say what they support. What they are silent about is answered 503
/// until they say it.
const SUPPORTED_WAIT: Duration = Duration::from_secs(5);

// === impl Ground ===

impl Ground {
    pub(super) fn new(store: Store, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        let (outbound, secrets) = (OnceLock::new(), Mutex::default());
        Self { store, metrics, clock, outbound, secrets, gate: Mutex::default(), judge: Arc::default() }
    }

    /// Builds everything that a configuration says. Blocks until the store has given its secrets.
    pub(super) fn make(
        &self,
        config: Config,
        report: Report,
        before: Option<&InForce>,
    ) -> Result<(Served, Made), StartError> {
        let routes = routes(&config, report)?;
        let (origins, payments) = (config.gate.expectation.origins.clone(), config.gate.payments.clone());
        let sessions = config.gate.sessions.clone();
        let before_gate = before.map(|before| &before.made.gate);
        let agrees =
            |tables| before.is_some_and(|before| before.made.fingerprint.agrees_with(&config.fingerprint, tables));
        let gate = Arc::new(match before_gate {
            None => gate(config.gate, routes, &self.store, &self.metrics),
            Some(before) => {
                let (facts_hold, stores) = (agrees(&["auth", "chains"]), stores(&self.store));
                Gate::after(before, facts_hold, config.gate, routes, stores, &self.metrics, Instant::now())
            }
        });
        if let Some(settings) = config.rpc.filter(|_| !gate.asks_contracts()) {
            let outbound = self.outbound()?;
            let rpc = Rpc::new(settings, outbound, &self.metrics)?;
            match before_gate {
                None => gate.ask_contracts(rpc, outbound.clone(), Instant::now()),
                Some(before) => gate.ask_contracts_after(before, rpc, outbound.clone(), Instant::now()),
            }
        }
        let used = key_use(sessions.as_ref(), config.edge.assertion.as_ref());
        let keys = used.map(|used| self.keys(used, before)).transpose()?;
        let ring = |algorithm| keys.as_ref().and_then(|kept| kept.keys.ring(algorithm));
        // A key that is not configured is the store's.
        let assertion_keys = config.edge.assertion.as_ref().and_then(|settings| match &settings.key {
            Some(key) => Some(KeyRing::of(key.clone())),
            None => ring(settings.algorithm),
        });
        if let (Some(settings), Some(ring)) = (sessions, ring(Algorithm::EdDsa)) {
            self.open_sessions(&gate, before_gate, settings, ring)?;
        }
        let known = before.and_then(|before| before.made.payments.clone());
        let payments = match (payments, known) {
            (None, _) => None,
            (Some(_), Some(known)) if agrees(OF_PAYMENTS) => Some(known),
            (Some(settings), known) => {
                let facilitators = match known {
                    Some((_, facilitators)) if agrees(&["x402"]) => facilitators,
                    _ => self.facilitators(config.facilitators, before.is_some())?,
                };
                Some((self.payments(settings, origins, facilitators.clone())?, facilitators))
            }
        };
        if let Some((payments, _)) = &payments {
            gate.take_payments(Arc::clone(payments));
        }
        let served = Served {
            settings: config.edge,
            public_url: config.public_url,
            upstreams: config.upstreams,
            gate: Arc::clone(&gate),
            assertion_keys,
            keys: keys.as_ref().map(|kept| Arc::clone(&kept.keys)),
            plans: config.plans,
            digest: config.fingerprint.digest(),
        };
        Ok((served, Made { gate, fingerprint: config.fingerprint, payments, keys }))
    }

    /// Puts what was built in force; the tasks of what was in force before end, or go on for this.
    pub(super) fn enter(&self, made: Made, before: Option<InForce>) -> InForce {
        *lock(&self.judge.0) = Arc::downgrade(&made.gate);
        *lock(&self.gate) = Some(Arc::clone(&made.gate));
        let (old, old_keys, recovery, refreshing, keeping) = match before {
            Some(InForce { made, recovery, refreshing, keeping }) => {
                (made.payments, made.keys, recovery, refreshing, keeping)
            }
            None => (None, None, None, None, None),
        };
        let same_keys = matches!((&old_keys, &made.keys), (Some(old), Some(new)) if Arc::ptr_eq(&old.keys, &new.keys));
        let keeping = if same_keys {
            keeping
        } else {
            keeping.inspect(AbortHandle::abort);
            let kept = made.keys.as_ref().zip(self.outbound.get());
            kept.map(|(kept, outbound)| outbound.spawn(Arc::clone(&kept.keys).keep()).abort_handle())
        };
        let same_payments = matches!((&old, &made.payments), (Some((old, _)), Some((new, _))) if Arc::ptr_eq(old, new));
        let same_facilitators = matches!((&old, &made.payments), (Some((_, old)), Some((_, new))) if old.is(new));
        let recovery = if same_payments {
            recovery
        } else {
            // Settlements that it has begun are tasks of their own, and end as they end.
            recovery.inspect(AbortHandle::abort);
            made.payments
                .as_ref()
                .zip(self.outbound.get())
                .map(|((payments, _), outbound)| outbound.spawn(Arc::clone(payments).recover()).abort_handle())
        };
        let refreshing = if same_facilitators {
            refreshing
        } else {
            refreshing.inspect(AbortHandle::abort);
            made.payments.as_ref().zip(self.outbound.get()).map(|((_, facilitators), outbound)| {
                let (facilitators, clock) = (facilitators.clone(), Arc::clone(&self.clock));
                let refreshing = outbound.spawn(async move {
                    loop {
                        facilitators.refresh(&clock).await;
                        tokio::time::sleep(SUPPORTED_INTERVALS[usize::from(!facilitators.is_known())]).await;
                    }
                });
                refreshing.abort_handle()
            })
        };
        InForce { made, recovery, refreshing, keeping }
    }

    /// How long the store may take from now on.
    pub(super) fn bound_store(&self, timeout: Duration) {
        self.store.set_timeout(timeout);
    }

    /// Hands over what was used of quotas since the last time.
    pub(super) async fn hand_over_usage(&self) {
        let gate = lock(&self.gate).clone();
        if let Some(gate) = gate.filter(|gate| gate.counts_usage()) {
            gate.hand_over_usage(self.clock.now()).await;
        }
    }

    /// What asks outside services: one thread for all of them, and none where there are none.
    fn outbound(&self) -> Result<&Outbound, StartError> {
        if self.outbound.get().is_none() {
            let _ = self.outbound.set(outbound()?);
        }
        self.outbound.get().ok_or_else(|| StartError::Outbound(io::ErrorKind::NotFound.into()))
    }

    fn facilitators(&self, settings: Vec<facilitator::Settings>, wait: bool) -> Result<Facilitators, StartError> {
        let outbound = self.outbound()?;
        let facilitators = Facilitators::new(settings, outbound, &self.metrics)?;
        if wait {
            let (known, clock) = (facilitators.clone(), Arc::clone(&self.clock));
            let (said, heard) = std::sync::mpsc::channel();
            let asking = outbound.spawn(async move {
                known.refresh(&clock).await;
                let _ = said.send(());
            });
            let _ = heard.recv_timeout(SUPPORTED_WAIT);
            asking.abort();
        }
        Ok(facilitators)
    }

    /// Takes payments. What a process before this one left is asked for again once they are in force.
    fn payments(
        &self,
        settings: PaymentSettings,
        origins: Vec<Origin>,
        facilitators: Facilitators,
    ) -> Result<Arc<Payments>, StartError> {
        let secret = match &settings.nonce_secret {
            Some(secret) => secret.clone(),
            None => self.nonce_secret()?,
        };
        let judge = Arc::clone(&self.judge);
        let means = Means {
            facilitators,
            store: self.store.payments(),
            issuer: NonceIssuer::new(secret),
            outbound: self.outbound()?.clone(),
            clock: Arc::clone(&self.clock),
            random: |bytes| getrandom::fill(bytes).map_err(io::Error::other),
            changed: Box::new(move |account| {
                if let Some(gate) = judge.gate() {
                    gate.changed(account);
                }
            }),
            metrics: Arc::clone(&self.metrics),
        };
        Payments::new(means, settings, origins).map_err(StartError::Outbound)
    }

    /// Lets a gate open sessions.
    fn open_sessions(
        &self,
        gate: &Gate,
        before: Option<&Arc<Gate>>,
        settings: SessionSettings,
        keys: Arc<KeyRing>,
    ) -> Result<(), StartError> {
        let secret = match &settings.nonce_secret {
            Some(secret) => secret.clone(),
            None => self.nonce_secret()?,
        };
        let means = sessions::Means {
            store: self.store.sessions(),
            foreign_writes: self.store.foreign_writes(),
            issuer: NonceIssuer::new(secret),
            keys,
            random: |bytes| getrandom::fill(bytes).map_err(io::Error::other),
            metrics: Arc::clone(&self.metrics),
        };
        let Settings { expectation, reading, accepts, .. } = gate.settings();
        let reading = reading.clone();
        gate.open_sessions(match before.and_then(|before| Some((before, before.sessions()?))) {
            None => Sessions::new(settings, means, expectation, reading, *accepts),
            Some((before, known)) => {
                let holds = gate.shares_facts_with(before);
                Sessions::after(known, holds, settings, means, expectation, reading, *accepts)
            }
        });
        Ok(())
    }

    /// The keys that the store keeps, in step with it as long as they are in force. Those of before, if they are used as
    /// before. Blocks until the store has given them.
    fn keys(&self, used: KeyUse, before: Option<&InForce>) -> Result<Kept, StartError> {
        if let Some(kept) = before.and_then(|before| before.made.keys.as_ref()).filter(|kept| kept.used == used) {
            return Ok(kept.clone());
        }
        let fresh = fresh_secret().map_err(StartError::Outbound)?;
        let foreign = self.store.foreign_writes();
        let means = keys::Means { secrets: self.store.secrets(), foreign, clock: Arc::clone(&self.clock) };
        let (answer, answered) = std::sync::mpsc::channel();
        let KeyUse { algorithms, life } = used.clone();
        self.outbound()?.spawn(async move {
            let _ = answer.send(Keys::read(means, &algorithms, life, fresh).await);
        });
        let keys = answered.recv().map_err(|_| StartError::Outbound(io::ErrorKind::BrokenPipe.into()))??;
        Ok(Kept { used, keys })
    }

    /// The secret of nonces that the store keeps.
    fn nonce_secret(&self) -> Result<Secret<Vec<u8>>, StartError> {
        self.kept_secret("nonce").map(|secret| Secret::new(secret.expose().to_vec()))
    }

    /// A secret that the store keeps, made now if there was none. Asked for once.
    fn kept_secret(&self, name: &'static str) -> Result<Secret<[u8; 32]>, StartError> {
        if let Some((_, secret)) = lock(&self.secrets).iter().find(|(known, _)| *known == name) {
            return Ok(secret.clone());
        }
        let fresh = fresh_secret().map_err(StartError::Outbound)?;
        let (secrets, (answer, answered)) = (self.store.secrets(), std::sync::mpsc::channel());
        self.outbound()?.spawn(async move {
            let _ = answer.send(secrets.secret(name, fresh).await);
        });
        let secret = answered.recv().map_err(|_| StartError::Outbound(io::ErrorKind::BrokenPipe.into()))??;
        lock(&self.secrets).push((name, secret.clone()));
        Ok(secret)
    }
}

// === impl InForce ===

impl InForce {
    /// What the configuration in force says.
    pub(super) const fn fingerprint(&self) -> &Fingerprint {
        &self.made.fingerprint
    }
}

// === impl Judge ===

impl Judge {
    fn gate(&self) -> Option<Arc<Gate>> {
        lock(&self.0).upgrade()
    }
}

/// What is in there is replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
