//! Workers and their life: one thread, one runtime and one set of listeners each.
//!
//! 1. Everything is bound before anything serves; an address that somebody else has is a failure here, although
//!    SO_REUSEPORT would let us share it in silence.
//! 2. Workers share the gate, caches, store and counters; connections and upstream pools are their own.
//! 3. The end has an order: told to drain, workers go on for a while so that balancers notice; then listeners
//!    close and connections finish what they carry; then what is left is cut.

use std::{
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::{runtime::LocalOptions, sync::watch, task::LocalSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{
    access_log::Writer,
    admin::{Admin, Readiness},
    assertion::Assertions,
    handler::{Live, RequestIds, Worker},
    headers::HeaderRules,
    listener::{Acceptor, Bounds, Closing, Connections, Phase, listen},
    settings::{Settings, UpstreamSettings},
    tls::{self, TlsError},
    upstream::{Pool, Upstream},
};
use crate::{
    credential::Authorization,
    gate::Gate,
    metrics::{Metrics, OwnStripe},
    session::keys::KeyRing,
    siwx::origin::Origin,
    store::Store,
    time::Clock,
};

/// What a server is made of.
pub struct Parts {
    /// Listeners, limits, log.
    pub settings: Settings,
    /// The origin that clients use.
    pub public_url: Origin,
    /// What signs assertions, where there are any.
    pub assertion_keys: Option<Arc<KeyRing>>,
    /// The services behind.
    pub upstreams: Vec<UpstreamSettings>,
    /// Who judges.
    pub gate: Arc<Gate>,
    /// The store, for the admin API and readiness.
    pub store: Store,
    /// Names of plans that may be granted.
    pub plans: Vec<String>,
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
        address: SocketAddr,
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
    live: Arc<Live>,
    workers: Vec<Bound>,
    addresses: Vec<SocketAddr>,
    admin: Option<(Admin, TcpListener)>,
    admin_address: Option<SocketAddr>,
    tls: Option<TlsAcceptor>,
    connections: Arc<Connections>,
    readiness: Arc<Readiness>,
    store: Store,
    log: Writer,
}

/// What one worker starts with.
struct Bound {
    listeners: Vec<TcpListener>,
    random: [u8; 8],
}

/// How often the store is asked whether it is there.
const STORE_CHECK: Duration = Duration::from_secs(5);

/// How often unused upstream connections are looked for.
const POOL_CHECK: Duration = Duration::from_secs(5);

/// How often the end of a drain is looked for.
const DRAIN_CHECK: Duration = Duration::from_millis(20);

impl Server {
    /// Binds every socket and reads every certificate.
    pub fn bind(parts: Parts) -> Result<Self, BindError> {
        let Parts {
            settings,
            public_url,
            assertion_keys,
            upstreams,
            gate,
            store,
            plans,
            metrics,
            clock,
            version,
            duration,
            access_log,
            random,
        } = parts;
        let tls = match &settings.tls {
            Some(tls) => tls::server_config(tls, settings.http2)?.map(TlsAcceptor::from),
            None => None,
        };
        let upstreams = upstreams.into_iter().map(|settings| upstream(settings, &metrics)).collect::<Result<_, _>>()?;
        let mut headers = header_rules(&settings, &public_url)?;
        if let Some(sessions) = gate.sessions()
            && let Some(cookie) = sessions.cookie()
        {
            headers = headers.with_sessions(cookie.clone(), sessions.token_mark());
        }
        let assertions = settings
            .assertion
            .as_ref()
            .zip(assertion_keys)
            .map(|(settings, ring)| Assertions::new(ring, public_url.as_str().to_owned(), settings.ttl_secs));
        if assertions.is_some() {
            headers = headers.with_assertions();
        }

        let count = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            count => count,
        };
        let mut workers = Vec::with_capacity(count);
        for _ in 0..count {
            workers.push(Bound { listeners: Vec::new(), random: random()? });
        }
        let mut addresses = Vec::new();
        for address in &settings.listen {
            let refused = |cause| BindError::Listen { address: *address, cause };
            let address = free(*address).map_err(refused)?;
            let mut bound = address;
            for worker in &mut workers {
                let listener = listen(bound).map_err(refused)?;
                bound = listener.local_addr().map_err(refused)?;
                worker.listeners.push(listener);
            }
            addresses.push(bound);
        }

        if let Some(tls) = &settings.tls {
            count_handshakes(&metrics, tls.tls12);
        }
        let connections = Arc::new(Connections::default());
        let readiness = Arc::new(Readiness::default());
        let live =
            Arc::new(Live { settings, gate, headers, assertions, upstreams, tunnels: Arc::default(), metrics, clock });
        let admin = match live.settings.admin.clone() {
            None => None,
            Some(settings) => {
                let refused = |cause| BindError::Listen { address: settings.listen, cause };
                let listener = TcpListener::bind(settings.listen).map_err(refused)?;
                listener.set_nonblocking(true).map_err(refused)?;
                let tls = match &live.settings.tls {
                    Some(tls) if !settings.listen.ip().to_canonical().is_loopback() => {
                        tls::server_config(tls, false)?.map(TlsAcceptor::from)
                    }
                    _ => None,
                };
                let admin = Admin {
                    settings,
                    tls,
                    live: Arc::clone(&live),
                    store: store.clone(),
                    connections: Arc::clone(&connections),
                    readiness: Arc::clone(&readiness),
                    plans,
                    ids: RequestIds::new(random()?),
                    started: Instant::now(),
                    version,
                    duration,
                };
                Some((admin, listener))
            }
        };
        let admin_address = admin.as_ref().and_then(|(_, listener)| listener.local_addr().ok());
        let log = Writer::start(access_log)?;
        readiness.listeners.store(true, Relaxed);
        Ok(Self { live, workers, addresses, admin, admin_address, tls, connections, readiness, store, log })
    }

    /// The addresses it listens on, ports known.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
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
        let Self { live, workers, admin, tls, connections, readiness, store, log, .. } = self;
        let limits = live.settings.limits;
        let bounds = Bounds {
            connections: limits.connections,
            connections_per_ip: limits.connections_per_ip,
            handshakes: limits.handshakes,
        };
        let (phase, phases) = watch::channel(Phase::Serving);
        let mut threads = Vec::with_capacity(workers.len());
        for (number, bound) in workers.into_iter().enumerate() {
            let seed = Seed {
                live: Arc::clone(&live),
                tls: tls.clone(),
                connections: Arc::clone(&connections),
                bounds,
                phase: phases.clone(),
                log: log.handle(),
            };
            let thread =
                std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || work(seed, bound))?;
            threads.push(thread);
        }
        if let Some((admin, listener)) = admin {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::task::spawn_local(Rc::new(admin).run(listener));
        }
        tokio::task::spawn_local(watch_store(store, Arc::clone(&readiness), Arc::clone(&live.metrics)));

        stop.await;
        readiness.draining.store(true, Relaxed);
        live.metrics.draining.set(1);
        tokio::time::sleep(live.settings.drain_delay).await;
        let _ = phase.send(Phase::Closing);
        let deadline = Instant::now() + live.settings.drain_timeout;
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

/// What a worker's thread is given.
struct Seed {
    live: Arc<Live>,
    tls: Option<TlsAcceptor>,
    connections: Arc<Connections>,
    bounds: Bounds,
    phase: watch::Receiver<Phase>,
    log: super::access_log::Handle,
}

/// One worker, from its first connection to its last.
fn work(seed: Seed, bound: Bound) -> std::io::Result<()> {
    let _stripe = OwnStripe::take();
    // A runtime whose tasks never leave this thread; a `LocalSet` on an ordinary one would keep a second queue.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let log = runtime.block_on(async move {
        let Seed { live, tls, connections, bounds, mut phase, log } = seed;
        let log = log.log(live.settings.access_log, &live.metrics);
        let pools: Vec<_> = live.upstreams.iter().map(|upstream| Pool::new(Arc::clone(upstream))).collect();
        let worker =
            Rc::new(Worker { live, pools: pools.clone(), log: Rc::clone(&log), ids: RequestIds::new(bound.random) });
        let closing = Rc::new(Closing::default());
        let acceptor =
            Acceptor { worker, tls, connections, bounds, phase: phase.clone(), closing: Rc::clone(&closing) };
        for listener in bound.listeners {
            tokio::task::spawn_local(acceptor.clone().run(listener));
        }
        drop(acceptor);
        let lines = Rc::clone(&log);
        tokio::task::spawn_local(async move { lines.hand_over_each_turn().await });
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(POOL_CHECK).await;
                for pool in &pools {
                    pool.close_unused();
                }
            }
        });
        let _ = phase.wait_for(|phase| *phase >= Phase::Closing).await;
        closing.begin();
        // The sender lives as long as the server; if it is gone, so is everything else.
        let _ = phase.wait_for(|phase| *phase == Phase::Ended).await;
        log
    });
    // Requests that are cut end here, and each has its line.
    drop(runtime);
    log.hand_over();
    Ok(())
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
        readiness.store.store(works, Relaxed);
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

/// How header fields are treated on their way through.
pub(crate) fn header_rules(settings: &Settings, public_url: &Origin) -> Result<HeaderRules, BindError> {
    let default_port = if public_url.scheme() == "https" { 443 } else { 80 };
    let rules = HeaderRules::new(
        &settings.identity_prefix,
        settings.identity_preset,
        Authorization::new(settings.schemes.clone()),
        settings.keep_odd_header_names,
        settings.forward_credential,
        public_url.scheme(),
        public_url.port().unwrap_or(default_port),
    )
    .map_err(|_| BindError::IdentityPrefix(settings.identity_prefix.clone()))?;
    Ok(rules.with_via(settings.via))
}

fn upstream(settings: UpstreamSettings, metrics: &Metrics) -> Result<Arc<Upstream>, BindError> {
    let tls = if settings.url.tls {
        let name = settings.server_name.clone().unwrap_or_else(|| settings.url.host.clone());
        let server_name = ServerName::try_from(name.clone())
            .map_err(|_| BindError::ServerName { upstream: settings.name.clone(), name })?;
        Some((TlsConnector::from(tls::client_config(settings.ca.as_ref())?), server_name))
    } else {
        None
    };
    let counted = metrics.upstream(&settings.name);
    Ok(Arc::new(Upstream::new(settings, counted, tls)))
}
