//! The whole program put together: settings to rooms, rooms to a server, and its life between start and signal.
//!
//! 1. [`App::bind`] checks and opens everything and returns before anything is served, with its addresses known:
//!    that is the door for tests too.
//! 2. Only this room and the command line touch clocks, files and randomness directly; everything below is handed
//!    them.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use thiserror::Error;
use tokio::sync::oneshot;

use crate::{
    config::{Config, LogLevel, LogSettings, Report, amounts},
    edge::{
        server::{BindError, Parts, Server},
        settings::AssertionSettings,
    },
    facilitator::{self, Facilitators},
    gate::{
        Gate, Stores,
        payment::{Means, Payments},
        sessions::{self, Sessions},
        settings::{PaymentSettings, SessionSettings, Settings},
    },
    metrics::Metrics,
    outbound::Outbound,
    policy::routes::Routes,
    rpc::{self, Rpc},
    secret::Secret,
    session::keys::{Algorithm, KeyRing, SigningKey, SigningKeys},
    siwx::origin::Origin,
    store::{self, Store, StoreError},
    time::{Clock, UnixTime},
    x402::nonce::NonceIssuer,
};

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, if the build said so.
pub const REVISION: &str = match option_env!("SIWX_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The compiler it was built with, if the build said so.
pub const RUSTC: &str = match option_env!("SIWX_RUSTC") {
    Some(rustc) => rustc,
    None => "unknown",
};

/// A gateway with everything open and bound, not serving yet.
pub struct App {
    server: Server,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
}

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Why a gateway does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A socket, a certificate or a thread.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Routes that contradict each other; the report says where.
    #[error("the routes contradict each other")]
    Routes(Box<Report>),
    /// A facilitator cannot be set up.
    #[error(transparent)]
    Facilitator(#[from] facilitator::SetupFault),
    /// What asks outside services cannot be started.
    #[error("outside services cannot be asked: {0}")]
    Outbound(#[source] io::Error),
    /// A node of a chain cannot be set up.
    #[error(transparent)]
    Rpc(#[from] rpc::SetupError),
    /// The store does not open, and must.
    #[error("the store does not open: {0}")]
    Store(#[from] StoreError),
}

/// What a gateway is given beside its configuration.
pub struct World {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where access lines go.
    pub access_log: Box<dyn io::Write + Send>,
}

impl World {
    /// The system's clock and standard output.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), access_log: Box::new(io::stdout()) }
    }
}

// === impl SystemClock ===

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        // Before 1970 the wall clock is broken; 0 makes every message one of the future, which is refused.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

// === impl App ===

impl App {
    /// Opens the store and binds every socket. Blocks for as long as that takes.
    pub fn bind(config: Config, report: Report, world: World) -> Result<Self, StartError> {
        let store = store::open(&config.store)?;
        Self::bind_with_store(config, report, world, store)
    }

    /// The same with a store that is open already.
    pub fn bind_with_store(config: Config, report: Report, world: World, store: Store) -> Result<Self, StartError> {
        let routes = routes(&config, report)?;
        let metrics = Arc::new(Metrics::new());
        metrics.built(VERSION, REVISION, RUSTC);
        let (origins, payments) = (config.gate.expectation.origins.clone(), config.gate.payments.clone());
        let sessions = config.gate.sessions.clone();
        let gate = Arc::new(gate(config.gate, routes, &store, &metrics));
        // One thread for all outside services, and none where there are none.
        // A key that is not configured is the store's.
        let signs = config.edge.assertion.as_ref().is_some_and(|assertion| assertion.key.is_none());
        let asks = payments.is_some() || config.rpc.is_some() || sessions.is_some() || signs;
        let outbound = if asks { Some(outbound()?) } else { None };
        if let (Some(settings), Some(outbound)) = (config.rpc, &outbound) {
            gate.ask_contracts(Rpc::new(settings, outbound, &metrics)?, outbound.clone(), Instant::now());
        }
        let kept = match &outbound {
            Some(outbound) if sessions.is_some() || signs => Some(kept_secret("token", outbound, &store)?),
            _ => None,
        };
        let assertion_keys =
            config.edge.assertion.as_ref().and_then(|settings| assertion_keys(settings, kept.as_ref()));
        if let (Some(settings), Some(outbound), Some(kept)) = (sessions, &outbound, &kept) {
            open_sessions(&gate, settings, kept, outbound, &store, &metrics)?;
        }
        if let (Some(settings), Some(outbound)) = (payments, outbound) {
            let facilitators = config.facilitators;
            let outside = Outside { outbound, facilitators, store: &store, metrics: &metrics, clock: &world.clock };
            take_payments(&gate, settings, origins, outside)?;
        }
        let (judge, clock) = (Arc::clone(&gate), Arc::clone(&world.clock));
        let server = Server::bind(Parts {
            settings: config.edge,
            public_url: config.public_url,
            assertion_keys,
            upstreams: config.upstreams,
            gate,
            store,
            plans: config.plans,
            metrics,
            clock: world.clock,
            version: VERSION,
            duration: |text| amounts::duration(text).ok(),
            access_log: world.access_log,
            random,
        })?;
        Ok(Self { server, gate: judge, clock })
    }

    /// The addresses it listens on, ports known.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// What judges its requests.
    pub const fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// The address of the private listener.
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.server.admin_address()
    }

    /// Serves until `stop` is done, then drains. Runs on a current-thread runtime.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        if !self.gate.counts_usage() {
            return self.server.run(stop).await;
        }
        let (running, ended) = oneshot::channel();
        let keeping = tokio::spawn(keep_usage(self.gate, self.clock, ended));
        let served = self.server.run(stop).await;
        // What the last requests used is handed over before the process ends.
        drop(running);
        let kept = keeping.await.map_err(io::Error::other);
        served.and(kept)
    }
}

/// Hands over what was used of quotas, until the server has ended and once more then.
async fn keep_usage(gate: Arc<Gate>, clock: Arc<dyn Clock>, mut ended: oneshot::Receiver<()>) {
    while tokio::time::timeout(USAGE_INTERVAL, &mut ended).await.is_err() {
        gate.hand_over_usage(clock.now()).await;
    }
    gate.hand_over_usage(clock.now()).await;
}

/// How often the store is told what was used of quotas: so much is forgotten in a crash, less the time it takes.
const USAGE_INTERVAL: Duration = Duration::from_millis(900);

/// A gate over a store, with nothing remembered.
pub(crate) fn gate(settings: Settings, routes: Routes, store: &Store, metrics: &Arc<Metrics>) -> Gate {
    let stores = Stores {
        subscriptions: store.subscriptions(),
        nonces: store.nonces(),
        usage: store.usage(),
        foreign_writes: store.foreign_writes(),
        backend: store.name(),
    };
    Gate::new(settings, routes, stores, metrics, Instant::now())
}

/// What asks outside services.
pub(crate) fn outbound() -> Result<Outbound, StartError> {
    Outbound::start().map_err(StartError::Outbound)
}

/// The route table of a configuration, or what is wrong with it, shown where it stands in the file.
pub(crate) fn routes(config: &Config, mut report: Report) -> Result<Routes, StartError> {
    Routes::build(config.routes.clone()).map_err(|faults| {
        for fault in faults {
            let place = config.places.routes.get(fault.index).cloned().unwrap_or_default();
            report.error(&place, fault.to_string(), "");
        }
        StartError::Routes(Box::new(report))
    })
}

/// What payments need beside their settings.
struct Outside<'a> {
    outbound: Outbound,
    facilitators: Vec<facilitator::Settings>,
    store: &'a Store,
    metrics: &'a Arc<Metrics>,
    clock: &'a Arc<dyn Clock>,
}

/// How often facilitators are asked what they support, once they have said it, and until then.
const SUPPORTED_INTERVALS: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(5)];

/// Lets a gate take payments: facilitators are asked in the background what they support, and what a process before
/// this one left is asked for again. Blocks until the store has given the secret of nonces.
fn take_payments(
    gate: &Arc<Gate>,
    settings: PaymentSettings,
    origins: Vec<Origin>,
    outside: Outside<'_>,
) -> Result<(), StartError> {
    let outbound = outside.outbound;
    let facilitators = Facilitators::new(outside.facilitators, &outbound, outside.metrics)?;
    let secret = match &settings.nonce_secret {
        Some(secret) => secret.clone(),
        None => nonce_secret(&outbound, outside.store)?,
    };
    let buyers = Arc::downgrade(gate);
    let means = Means {
        facilitators: facilitators.clone(),
        store: outside.store.payments(),
        issuer: NonceIssuer::new(secret),
        outbound: outbound.clone(),
        clock: Arc::clone(outside.clock),
        random: |bytes| getrandom::fill(bytes).map_err(io::Error::other),
        changed: Box::new(move |account| {
            if let Some(gate) = buyers.upgrade() {
                gate.changed(account);
            }
        }),
        metrics: Arc::clone(outside.metrics),
    };
    let payments = Payments::new(means, settings, origins).map_err(StartError::Outbound)?;
    outbound.spawn(Arc::clone(&payments).recover());
    let clock = Arc::clone(outside.clock);
    outbound.spawn(async move {
        loop {
            facilitators.refresh(&clock).await;
            tokio::time::sleep(SUPPORTED_INTERVALS[usize::from(!facilitators.is_known())]).await;
        }
    });
    gate.take_payments(payments);
    Ok(())
}

/// The keys of assertions: the one that is configured, or one of what the store keeps.
fn assertion_keys(settings: &AssertionSettings, kept: Option<&Secret<[u8; 32]>>) -> Option<Arc<KeyRing>> {
    let key = match &settings.key {
        Some(key) => key.clone(),
        None => SigningKey::derive(kept?, settings.algorithm),
    };
    Some(KeyRing::new(SigningKeys::new(key)))
}

/// Lets a gate open sessions, with tokens of the secret that the store keeps. Blocks until the store has given that of
/// nonces.
fn open_sessions(
    gate: &Gate,
    settings: SessionSettings,
    kept: &Secret<[u8; 32]>,
    outbound: &Outbound,
    store: &Store,
    metrics: &Arc<Metrics>,
) -> Result<(), StartError> {
    let secret = match &settings.nonce_secret {
        Some(secret) => secret.clone(),
        None => nonce_secret(outbound, store)?,
    };
    let key = SigningKey::derive(kept, Algorithm::EdDsa);
    let means = sessions::Means {
        store: store.sessions(),
        foreign_writes: store.foreign_writes(),
        issuer: NonceIssuer::new(secret),
        keys: KeyRing::new(SigningKeys::new(key)),
        random: |bytes| getrandom::fill(bytes).map_err(io::Error::other),
        metrics: Arc::clone(metrics),
    };
    let Settings { expectation, reading, accepts, .. } = gate.settings();
    gate.open_sessions(Sessions::new(settings, means, expectation, reading.clone(), *accepts));
    Ok(())
}

/// The secret of nonces that the store keeps.
fn nonce_secret(outbound: &Outbound, store: &Store) -> Result<Secret<Vec<u8>>, StartError> {
    kept_secret("nonce", outbound, store).map(|secret| Secret::new(secret.expose().to_vec()))
}

/// A secret that the store keeps, made now if there was none.
fn kept_secret(name: &'static str, outbound: &Outbound, store: &Store) -> Result<Secret<[u8; 32]>, StartError> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh).map_err(|error| StartError::Outbound(io::Error::other(error)))?;
    let (secrets, (answer, answered)) = (store.secrets(), std::sync::mpsc::channel());
    outbound.spawn(async move {
        let _ = answer.send(secrets.secret(name, Secret::new(fresh)).await);
    });
    Ok(answered.recv().map_err(|_| StartError::Outbound(io::ErrorKind::BrokenPipe.into()))??)
}

/// Random bytes of the system.
fn random() -> io::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Starts the log of everything that is not a request. Call once.
pub fn start_log(settings: LogSettings) {
    use tracing_subscriber::{EnvFilter, fmt};
    let level = match settings.level {
        LogLevel::Debug => "debug",
        LogLevel::Error => "error",
        LogLevel::Info => "info",
        LogLevel::Trace => "trace",
        LogLevel::Warn => "warn",
    };
    // Other crates speak of single packets and frames from `debug` down.
    let filter = EnvFilter::new(format!("warn,siwx_gateway={level}"));
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // A second start, in one process, keeps the first log.
    let _ = if settings.json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
}
