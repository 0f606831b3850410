//! Workers and their life: one thread, one runtime and one set of listeners each.
//!
//! 1. Everything is bound before anything serves; an address that somebody else has is a failure here, although
//!    SO_REUSEPORT would let us share it in silence.
//! 2. Workers share the gate, caches, store and counters; connections and upstream pools are their own.
//! 3. The end has an order: told to drain, workers go on for a while so that balancers notice; then listeners
//!    close and connections finish what they carry; then what is left is cut.

mod changes;
mod live;
mod sockets;
mod worker;

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    rc::Rc,
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    task::LocalSet,
};

use super::{
    accept::Listener,
    access_log,
    admin::{Admin, Readiness},
    handler::{Live, RequestIds},
    listener::{Connections, Phase, listen},
    log_writer::Writer,
    settings::Listen,
    tls::TlsError,
    upstream::Upstream,
};
use crate::{metrics::Metrics, secret::Secret, store::Store, time::Clock};

pub use super::admin::Reload;
pub use changes::{Changes, Prepared};
pub use live::Served;
pub(crate) use live::{UpstreamParts, header_rules};
pub use sockets::Handed;
pub(crate) use worker::Current;
use worker::{Bound, News, Seed, work};

/// What a server is made of.
pub struct Parts {
    /// What requests are served by at first.
    pub served: Served,
    /// Makes a secret that nobody can foresee.
    pub fresh_secret: fn() -> std::io::Result<Secret<[u8; 32]>>,
    /// The store, for the admin API and readiness.
    pub store: Store,
    /// All counters.
    pub metrics: Arc<Metrics>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The version that is told.
    pub version: &'static str,
    /// Reads a duration as the configuration writes it.
    pub duration: fn(&str) -> Option<Duration>,
    /// Where access lines go.
    pub access_log: Box<dyn std::io::Write + Send>,
    /// Where reloads are asked for.
    pub reloads: mpsc::UnboundedSender<Reload>,
    /// Listeners that whoever started this process had open.
    pub handed: Vec<Handed>,
    /// A source of randomness for the ids of requests.
    pub random: fn() -> Result<[u8; 8], std::io::Error>,
}

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum BindError {
    /// A listener.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Its address.
        address: Listen,
        /// What the system says.
        cause: std::io::Error,
    },
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A name for an upstream's certificate that is none.
    #[error("upstream `{upstream}`: `{name}` is no name a certificate can have")]
    ServerName {
        /// The upstream.
        upstream: String,
        /// The name.
        name: String,
    },
    /// An identity prefix that makes no header name.
    #[error("`{0}` is no beginning of a header name")]
    IdentityPrefix(String),
    /// A thread or the source of randomness.
    #[error("the system refuses a thread or random numbers: {0}")]
    System(#[from] std::io::Error),
}

/// A server with its sockets bound, not serving yet.
pub struct Server {
    changes: Changes,
    workers: Vec<(Bound, mpsc::UnboundedReceiver<News>)>,
    addresses: Vec<SocketAddr>,
    redirect_address: Option<SocketAddr>,
    /// Sockets in the file system, which go with the listeners.
    files: Vec<PathBuf>,
    admin: Option<(Admin, TcpListener)>,
    admin_address: Option<SocketAddr>,
    connections: Arc<Connections>,
    readiness: Arc<Readiness>,
    store: Store,
    log: Writer,
}

/// How often the store is asked whether it is there; what it last said counts for twice as long.
const STORE_CHECK: Duration = Duration::from_secs(5);

/// How often the end of a drain is looked for.
const DRAIN_CHECK: Duration = Duration::from_millis(20);

impl Server {
    /// Binds every socket and reads every certificate.
    pub fn bind(parts: Parts) -> Result<Self, BindError> {
        let Parts {
            served,
            fresh_secret,
            store,
            metrics,
            clock,
            version,
            duration,
            access_log: access_lines,
            reloads,
            handed,
            random,
        } = parts;
        let live = Arc::new(live::first(served, metrics, clock)?);
        let settings = &live.settings;

        let count = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            count => count,
        };
        let mut workers = Vec::with_capacity(count);
        for _ in 0..count {
            workers.push(Bound { listeners: Vec::new(), random: random()? });
        }
        let (mut addresses, mut files) = (Vec::new(), Vec::new());
        let mut handed = handed;
        for listen in &settings.listen {
            let bound = sockets::bind(listen, workers.len(), &mut handed)
                .map_err(|cause| BindError::Listen { address: listen.clone(), cause })?;
            addresses.extend(bound.address);
            files.extend(bound.file);
            for (worker, listener) in workers.iter_mut().zip(bound.listeners) {
                worker.listeners.push(listener);
            }
        }
        let mut redirect_address = None;
        if let Some(address) = settings.http_redirect {
            let refused = |cause| BindError::Listen { address: Listen::Tcp(address), cause };
            let mut bound = free(address).map_err(refused)?;
            for worker in &mut workers {
                let listener = listen(bound).map_err(refused)?;
                bound = listener.local_addr().map_err(refused)?;
                worker.listeners.push(Listener::Redirect(listener));
            }
            redirect_address = Some(bound);
        }
        for socket in handed {
            tracing::warn!(%socket, "a socket that was handed over is in no list of this configuration; it is closed");
        }

        if let Some(tls) = &settings.tls {
            count_handshakes(&live.metrics, tls.tls12);
        }
        let connections = Arc::new(Connections::of_this_process(Arc::clone(&live.metrics)));
        let readiness = Arc::new(Readiness::default());
        let (news, heard): (Vec<_>, Vec<_>) = workers.iter().map(|_| mpsc::unbounded_channel()).unzip();
        let changes = Changes::new(Arc::clone(&live), news);
        let admin = match live.settings.admin.clone() {
            None => None,
            Some(settings) => {
                let refused = |cause| BindError::Listen { address: Listen::Tcp(settings.listen), cause };
                let listener = TcpListener::bind(settings.listen).map_err(refused)?;
                listener.set_nonblocking(true).map_err(refused)?;
                let admin = Admin {
                    off_loopback: !settings.listen.ip().to_canonical().is_loopback(),
                    live: changes.subscribe(),
                    reloads,
                    store: store.clone(),
                    fresh_secret,
                    connections: Arc::clone(&connections),
                    readiness: Arc::clone(&readiness),
                    ids: RequestIds::new(random()?),
                    started: Instant::now(),
                    version,
                    duration,
                };
                Some((admin, listener))
            }
        };
        let admin_address = admin.as_ref().and_then(|(_, listener)| listener.local_addr().ok());
        let log = access_log::start(access_lines)?;
        readiness.listeners.store(true, Relaxed);
        let workers = workers.into_iter().zip(heard).collect();
        Ok(Self {
            changes,
            workers,
            addresses,
            redirect_address,
            files,
            admin,
            admin_address,
            connections,
            readiness,
            store,
            log,
        })
    }

    /// What changes it while it serves.
    pub const fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The addresses it listens on, ports known.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address that sends everybody to `public_url`.
    pub const fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect_address
    }

    /// The address of the private listener.
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Serves until `stop` is done, then drains. Runs on a current-thread runtime of the caller's; the workers
    /// have their own threads.
    pub async fn run(self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let local = LocalSet::new();
        local.run_until(self.serve(stop)).await
    }

    async fn serve(self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let Self { changes, workers, files, admin, connections, readiness, store, log, .. } = self;
        let metrics = Arc::clone(&changes.live().metrics);
        let (phase, phases) = watch::channel(Phase::Serving);
        let mut threads = Vec::with_capacity(workers.len());
        for (number, (bound, news)) in workers.into_iter().enumerate() {
            let seed = Seed {
                live: changes.live(),
                news,
                connections: Arc::clone(&connections),
                phase: phases.clone(),
                log: access_log::Handle(log.queue()),
            };
            let thread =
                std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || work(seed, bound))?;
            threads.push(thread);
        }
        if let Some((admin, listener)) = admin {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::task::spawn_local(Rc::new(admin).run(listener));
        }
        tokio::task::spawn_local(check_upstreams(changes.subscribe()));
        tokio::task::spawn_local(watch_store(store, Arc::clone(&readiness), Arc::clone(&metrics)));

        stop.await;
        readiness.draining.store(true, Relaxed);
        metrics.draining.set(1);
        tokio::time::sleep(changes.live().settings.drain_delay).await;
        for file in files {
            // Somebody may have taken it away already.
            let _ = std::fs::remove_file(file);
        }
        let _ = phase.send(Phase::Closing);
        let deadline = Instant::now() + changes.live().settings.drain_timeout;
        while connections.open() > 0 && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_CHECK).await;
        }
        let _ = phase.send(Phase::Ended);
        tokio::task::spawn_blocking(move || join(threads)).await??;
        log.finish();
        Ok(())
    }
}

/// Makes the series of handshakes at 0: those that succeed have a version beside them.
fn count_handshakes(metrics: &Metrics, tls12: bool) {
    let versions: &[&'static str] = if tls12 { &["1.2", "1.3"] } else { &["1.3"] };
    for result in ["ok", "resumed"] {
        for version in versions {
            metrics.handshakes(result, version);
        }
    }
    for result in crate::metrics::HANDSHAKES_FAILED {
        metrics.handshakes(result, "none");
    }
}

fn join(threads: Vec<JoinHandle<std::io::Result<()>>>) -> std::io::Result<()> {
    for thread in threads {
        thread.join().map_err(|_| std::io::Error::other("a worker panicked"))??;
    }
    Ok(())
}

/// Asks the store now and then, for readiness, and how many payments are open.
async fn watch_store(store: Store, readiness: Arc<Readiness>, metrics: Arc<Metrics>) {
    let (mut known, payments) = (None, store.payments());
    loop {
        let answer = store.check().await;
        let works = answer.is_ok();
        if works {
            readiness.heard_of_store();
        }
        match answer {
            Err(error) if known != Some(false) => {
                tracing::warn!(%error, "the store does not answer; requests that need it get 503");
            }
            Ok(()) if known == Some(false) => tracing::info!("the store answers again"),
            Ok(()) | Err(_) => {}
        }
        known = Some(works);
        // A store that does not answer leaves the numbers as they were; that it does not is told above.
        if works && let Ok(open) = payments.open_payments().await {
            let [reserved, settling, unknown] = &metrics.payments_open;
            for (gauge, count) in [(reserved, open.reserved), (settling, open.settling), (unknown, open.unknown)] {
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        tokio::time::sleep(STORE_CHECK).await;
    }
}

/// The address, if nobody has it. The check and the real bind are two steps, so a race is possible; it would end
/// in sharing the port, as two starts of one user may.
fn free(address: SocketAddr) -> std::io::Result<SocketAddr> {
    if address.port() != 0 {
        drop(TcpListener::bind(address)?);
    }
    Ok(address)
}

/// Begins the checks of upstreams: of those at the start, and of those that reloads bring.
async fn check_upstreams(mut live: watch::Receiver<Arc<Live>>) {
    let mut begun: Vec<Weak<Upstream>> = Vec::new();
    loop {
        begun.retain(|upstream| upstream.strong_count() > 0);
        let now = Arc::clone(&live.borrow_and_update());
        for upstream in &now.upstreams {
            if !begun.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(upstream))) {
                upstream.begin_checks();
                begun.push(Arc::downgrade(upstream));
            }
        }
        // What is served by no more ends with its last request.
        drop(now);
        if live.changed().await.is_err() {
            return;
        }
    }
}
