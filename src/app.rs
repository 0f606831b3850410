//! The whole program put together: settings to rooms, rooms to a server, and its life between start and signal.
//!
//! 1. [`App::bind`] checks and opens everything and returns before anything is served, with its addresses known:
//!    that is the door for tests too.
//! 2. A reload builds everything that requests read beside what serves (`ground`), and puts it in its place in one step
//!    (`reload`).
//! 3. Only this room and the command line touch clocks, files and randomness directly; everything below is handed
//!    them.

mod ground;
mod reload;
mod supervisor;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use self::{ground::Ground, reload::Reloader};
use crate::{
    config::{Config, LogLevel, LogSettings, Report, amounts},
    edge::{
        server::{BindError, Parts, Server},
        settings::AssertionSettings,
    },
    facilitator,
    gate::{
        Gate, Stores,
        settings::{SessionSettings, Settings},
    },
    metrics::Metrics,
    outbound::Outbound,
    policy::routes::Routes,
    rpc,
    secret::Secret,
    session::keys::Algorithm,
    store::{self, Store, StoreError},
    time::{Clock, UnixTime},
};

pub use self::{
    reload::{Source, Unread},
    supervisor::Supervisor,
};
pub use crate::edge::server::{Handed, Reload};

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
    reloader: Reloader,
    reloads: mpsc::UnboundedSender<Reload>,
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
        Self::bind_handed(config, report, world, store, Vec::new())
    }

    /// The same, on sockets that were handed over where the configuration names their addresses.
    pub fn bind_handed(
        config: Config,
        report: Report,
        world: World,
        store: Store,
        handed: Vec<Handed>,
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new());
        metrics.built(VERSION, REVISION, RUSTC);
        let ground = Ground::new(store.clone(), Arc::clone(&metrics), Arc::clone(&world.clock));
        let watch = config.edge.watch;
        let (served, made) = ground.make(config, report, None)?;
        let gate = Arc::clone(&served.gate);
        let (reloads, asked) = mpsc::unbounded_channel();
        let server = Server::bind(Parts {
            served,
            store,
            metrics,
            clock: world.clock,
            version: VERSION,
            fresh_secret,
            duration: |text| amounts::duration(text).ok(),
            access_log: world.access_log,
            reloads: reloads.clone(),
            handed,
            random,
        })?;
        let in_force = ground.enter(made, None);
        let reloader = Reloader::new(Arc::new(ground), in_force, server.changes().clone(), watch, asked);
        Ok(Self { server, gate, reloader, reloads })
    }

    /// Where the configuration can be read again. Without it there are no reloads.
    pub fn read_again_from(mut self, source: impl Source + 'static) -> Self {
        self.reloader.read_from(Box::new(source));
        self
    }

    /// Tells who supervises the process how it is.
    pub fn tell(mut self, supervisor: Supervisor) -> Self {
        self.reloader.tell(supervisor);
        self
    }

    /// Asks for reloads while it runs.
    pub const fn reloads(&self) -> &mpsc::UnboundedSender<Reload> {
        &self.reloads
    }

    /// The addresses it listens on, ports known.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// What judges its requests at first.
    pub const fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// The address that sends everybody to `public_url`.
    pub const fn redirect_address(&self) -> Option<SocketAddr> {
        self.server.redirect_address()
    }

    /// The address of the private listener.
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.server.admin_address()
    }

    /// Serves until `stop` is done, then drains. Runs on a current-thread runtime.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { server, gate, reloader, reloads: _ } = self;
        drop(gate);
        let ground = Arc::clone(reloader.ground());
        let supervisor = Arc::clone(reloader.supervisor());
        supervisor.say("READY=1");
        let watchdog = tokio::spawn(Arc::clone(&supervisor).feed_watchdog());
        let (running, ended) = oneshot::channel();
        let keeping = tokio::spawn(keep_usage(ground, ended));
        let reloading = tokio::spawn(reloader.run());
        let stop = async {
            stop.await;
            // Who drains changes nothing any more.
            reloading.abort();
            supervisor.say("STOPPING=1");
        };
        let served = server.run(stop).await;
        // What the last requests used is handed over before the process ends.
        drop(running);
        watchdog.abort();
        let kept = keeping.await.map_err(io::Error::other);
        served.and(kept)
    }
}

/// Hands over what was used of quotas, until the server has ended and once more then.
async fn keep_usage(ground: Arc<Ground>, mut ended: oneshot::Receiver<()>) {
    while tokio::time::timeout(USAGE_INTERVAL, &mut ended).await.is_err() {
        ground.hand_over_usage().await;
    }
    ground.hand_over_usage().await;
}

/// How often the store is told what was used of quotas: so much is forgotten in a crash, less the time it takes.
const USAGE_INTERVAL: Duration = Duration::from_millis(900);

/// A gate over a store, with nothing remembered.
pub(crate) fn gate(settings: Settings, routes: Routes, store: &Store, metrics: &Arc<Metrics>) -> Gate {
    Gate::new(settings, routes, stores(store), metrics, Instant::now())
}

/// What a gate asks of a store.
fn stores(store: &Store) -> Stores {
    Stores {
        subscriptions: store.subscriptions(),
        nonces: store.nonces(),
        usage: store.usage(),
        foreign_writes: store.foreign_writes(),
        backend: store.name(),
    }
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

/// What keys of the store are used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyUse {
    /// How they sign.
    pub(crate) algorithms: Vec<Algorithm>,
    /// How long their tokens live at most.
    pub(crate) life: Duration,
}

/// What keys of the store are used for; nothing: for nothing.
pub(crate) fn key_use(sessions: Option<&SessionSettings>, assertion: Option<&AssertionSettings>) -> Option<KeyUse> {
    let (mut algorithms, mut life) = (Vec::new(), Duration::ZERO);
    if let Some(settings) = sessions {
        algorithms.push(Algorithm::EdDsa);
        life = settings.life.absolute.max(settings.message_age_max);
    }
    if let Some(settings) = assertion.filter(|settings| settings.key.is_none()) {
        if !algorithms.contains(&settings.algorithm) {
            algorithms.push(settings.algorithm);
        }
        life = life.max(Duration::from_secs(settings.ttl_secs.into()));
    }
    (!algorithms.is_empty()).then_some(KeyUse { algorithms, life })
}

/// A secret that nobody can foresee.
pub(crate) fn fresh_secret() -> io::Result<Secret<[u8; 32]>> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh).map_err(io::Error::other)?;
    Ok(Secret::new(fresh))
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
    // Other crates speak of single packets and frames from `debug` down; h2 warns of each flood, so that a client could
    // fill the log. It is counted, and who goes on is told of once.
    let filter = EnvFilter::new(format!("warn,h2=error,siwx_gateway={level}"));
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // A second start, in one process, keeps the first log.
    let _ = if settings.json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
}
