//! The real gateway on free ports of loopback, with everything around it in the test's hands: the clock, the store,
//! the services behind it, the log.
//!
//! When a gateway is dropped it drains, and its log is held to what must always hold: one JSON object a line, and no
//! credential in any of them.

pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod reload;
pub(crate) mod shop;
pub(crate) mod tls;
pub(crate) mod upstream;
pub(crate) mod wallet;

use std::{
    collections::BTreeMap,
    io::Write,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;
use siwx_gateway::{
    app::{App, World},
    caip::{AccountId, AccountKey},
    config::{Config, Override, Report},
    gate::Gate,
    store::{self, Grant, Store, Term},
    time::{Clock, UnixTime},
};

pub(crate) use self::{
    client::{Answer, Client, Request, Secrets},
    shop::{Payment, Shop, Till},
    upstream::{Nobody, Seen, Upstream},
    wallet::Wallet,
};

/// The time at which every test begins; the messages of [`Wallet::text`] were issued a second before.
pub(crate) const NOW: &str = "2026-11-20T10:00:01.000Z";

/// What opens the admin API of the harness.
pub(crate) const ADMIN_TOKEN: &str = "an-admin-token-of-thirty-two-bytes";

/// Three routes, one of each kind.
pub(crate) const ROUTES: &str = r#"
[[plan]]
name = "nano"
[[plan]]
name = "pro"
[[route]]
name = "public"
prefix = "/public"
upstream = "api"
auth = "none"
[[route]]
name = "wallet"
prefix = "/wallet"
upstream = "api"
auth = "wallet"
[[route]]
name = "paid"
prefix = "/paid"
upstream = "api"
auth = "subscription"
[[route]]
name = "pro"
prefix = "/pro"
upstream = "api"
auth = "subscription"
plans = ["pro"]
"#;

/// How long something that must come is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a gateway is started with.
pub(crate) struct Setup {
    routes: String,
    upstreams: Vec<(String, String)>,
    overrides: Vec<(String, String)>,
    store: Option<Store>,
    hosts: Vec<String>,
    trusted: Vec<String>,
    expects_panics: bool,
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    pub(crate) redirect_address: Option<SocketAddr>,
    pub(crate) store: Store,
    pub(crate) gate: Arc<Gate>,
    pub(crate) secrets: Arc<Secrets>,
    clock: Arc<TestClock>,
    log: Buffer,
    expects_panics: bool,
    pub(crate) configuration: reload::Configuration,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
}

/// A clock that stands still until it is set.
pub(crate) struct TestClock(AtomicI64);

/// Where the access log goes.
#[derive(Clone, Default)]
pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

/// What `/metrics` said: series to value, as text.
pub(crate) struct Exported(pub(crate) BTreeMap<String, f64>, pub(crate) String);

impl Clock for TestClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.0.load(Ordering::SeqCst))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic while held").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// === impl Setup ===

impl Setup {
    /// The usual routes before an upstream.
    pub(crate) fn over(upstream: &Upstream) -> Self {
        Self::to(&upstream.url())
    }

    /// The usual routes before an upstream by its URL.
    pub(crate) fn to(url: &str) -> Self {
        Self {
            routes: ROUTES.to_owned(),
            upstreams: vec![("api".to_owned(), url.to_owned())],
            overrides: Vec::new(),
            store: None,
            hosts: vec!["other.example.com".to_owned()],
            trusted: Vec::new(),
            expects_panics: false,
        }
    }

    /// Other routes.
    pub(crate) fn routes(mut self, routes: &str) -> Self {
        routes.clone_into(&mut self.routes);
        self
    }

    /// One more upstream.
    pub(crate) fn upstream(mut self, name: &str, url: &str) -> Self {
        self.upstreams.push((name.to_owned(), url.to_owned()));
        self
    }

    /// A key of the configuration, as a flag would set it.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.overrides.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A store that is open already.
    pub(crate) fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// The configuration with more tables at its end.
    pub(crate) fn tables(mut self, tables: &str) -> Self {
        self.routes.push_str(tables);
        self
    }

    /// Other hosts beside the usual one.
    pub(crate) fn hosts(mut self, hosts: Vec<String>) -> Self {
        self.hosts = hosts;
        self
    }

    /// Proxies whose word is taken.
    pub(crate) fn trusting(mut self, networks: &[&str]) -> Self {
        self.trusted = networks.iter().map(|&network| network.to_owned()).collect();
        self
    }

    /// The test makes the gateway panic on purpose.
    pub(crate) fn panics_are_expected(mut self) -> Self {
        self.expects_panics = true;
        self
    }

    /// The text of the configuration.
    pub(crate) fn text(&self) -> String {
        let upstreams: String =
            self.upstreams.iter().map(|(name, url)| format!("[upstreams.{name}]\nurls = [\"{url}\"]\n")).collect();
        format!(
            "public_url = \"https://api.example.com\"\n\
             [server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\ndrain_delay = \"0s\"\ndrain_timeout = \"1s\"\n\
             hosts = {:?}\ntrusted_proxies = {:?}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{ADMIN_TOKEN}\"\n\
             [store]\nurl = \"sqlite::memory:\"\n{upstreams}{}",
            self.hosts, self.trusted, self.routes
        )
    }

    /// The configuration read; faults are a mistake of the test.
    pub(crate) fn config(&self) -> (Config, Report) {
        self.configuration().read().unwrap_or_else(|report| panic!("{}", report.render(false)))
    }

    /// The configuration as it can be read again and again.
    fn configuration(&self) -> reload::Configuration {
        let flag = |(key, value): &(String, String)| Override {
            key: key.clone(),
            value: value.clone(),
            flag: format!("--{key}"),
        };
        reload::Configuration::new(self.text(), self.overrides.iter().map(flag).collect())
    }

    /// Binds and serves.
    pub(crate) fn start(self) -> Gateway {
        let configuration = self.configuration();
        let (config, report) = self.config();
        let store = self.store.unwrap_or_else(|| store::open(&config.store).expect("the store opens"));
        let clock = Arc::new(TestClock(AtomicI64::new(time(NOW).millis())));
        let log = Buffer::default();
        let world = World { clock: Arc::clone(&clock) as Arc<dyn Clock>, access_log: Box::new(log.clone()) };
        let app = App::bind_with_store(config, report, world, store.clone()).unwrap_or_else(|error| panic!("{error}"));
        let app = app.read_again_from(configuration.clone());
        let (address, gate) = (app.addresses()[0], Arc::clone(app.gate()));
        let admin_address = app.admin_address().expect("an admin listener");
        let redirect_address = app.redirect_address();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let served = runtime().block_on(app.run(async {
                let _ = stopped.await;
            }));
            served.expect("the gateway ends well");
        });
        Gateway {
            address,
            admin_address,
            redirect_address,
            store,
            gate,
            secrets: Arc::default(),
            clock,
            log,
            expects_panics: self.expects_panics,
            configuration,
            stop: Some(stop),
            thread: Some(thread),
            runtime: runtime(),
        }
    }
}

// === impl Gateway ===

impl Gateway {
    /// A connection.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address, Arc::clone(&self.secrets))
    }

    /// One request on a connection of its own.
    pub(crate) fn send(&self, request: &Request) -> Answer {
        self.client().send(request)
    }

    /// GET on a connection of its own, with a credential.
    pub(crate) fn get(&self, target: &str, token: &str) -> Answer {
        self.send(&Request::get(target).token(token))
    }

    /// A request to the private listener, with the admin token.
    pub(crate) fn admin(&self, request: Request) -> Answer {
        let request = request.header("Authorization", &format!("Bearer {ADMIN_TOKEN}"));
        let mut client = Client::connect(self.admin_address, Arc::default());
        client.write(&request.header("Connection", "close").bytes());
        let (status, headers) = client.read_head().expect("an answer of the private listener");
        let mut body = Vec::new();
        let mut buffer = [0; 64 * 1024];
        loop {
            match client.read_some(&mut buffer) {
                0 => break,
                length => body.extend_from_slice(&buffer[..length]),
            }
        }
        Answer { status, headers, body, interim: Vec::new(), whole: true }
    }

    /// What `/metrics` says.
    pub(crate) fn metrics(&self) -> Exported {
        let answer = self.admin(Request::get("/metrics"));
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body).expect("metrics are UTF-8");
        let series = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            (series.to_owned(), value.parse().expect("a number"))
        });
        Exported(series.collect(), text)
    }

    /// Waits until a series has a value: counting ends a moment after the last byte of an answer.
    pub(crate) fn expect_metric(&self, series: &str, value: f64) {
        let metrics = self.metrics_when(|metrics| metrics.value(series) == value);
        assert_eq!(metrics.value(series), value, "{series}");
    }

    /// What `/metrics` says once something holds, or in the end.
    pub(crate) fn metrics_when(&self, holds: impl Fn(&Exported) -> bool) -> Exported {
        let end = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics();
            if holds(&metrics) || Instant::now() > end {
                return metrics;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The access log once it has so many lines.
    pub(crate) fn log_lines(&self, count: usize) -> Vec<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let lines = self.log_so_far();
            if lines.len() >= count || Instant::now() > end {
                assert_eq!(lines.len(), count, "lines of the access log: {lines:?}");
                return lines;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The access log as text.
    pub(crate) fn log_text(&self) -> String {
        String::from_utf8(self.log.0.lock().expect("no panic while held").clone()).expect("the log is UTF-8")
    }

    fn log_so_far(&self) -> Vec<Value> {
        let text = self.log_text();
        let lines = text.lines();
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))).collect()
    }

    /// What the wall clock says.
    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// Sets the wall clock.
    pub(crate) fn set_time(&self, now: &str) {
        self.clock.0.store(time(now).millis(), Ordering::SeqCst);
    }

    /// Grants a plan without end.
    pub(crate) fn grant(&self, wallet: &Wallet, plan: &str) {
        self.grant_until(wallet, plan, Term::UntilRevoked);
    }

    /// Grants a plan for a term.
    pub(crate) fn grant_until(&self, wallet: &Wallet, plan: &str, term: Term) {
        grant(&self.store, wallet, plan, term);
    }

    /// Runs something of the async world to its end.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Begins the drain, and goes on while it lasts.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits for the end of the drain.
    pub(crate) fn join(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the gateway ends without a panic");
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stop();
            return;
        }
        self.join();
        let text = self.log_text();
        assert_eq!(self.secrets.found_in(&text), None, "a secret is in the log");
        for line in self.log_so_far() {
            assert!(self.expects_panics || line["code"] != "internal", "{line}");
        }
    }
}

// === impl Exported ===

impl Exported {
    /// The value of a series; a missing one is a failure.
    pub(crate) fn value(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no series {series} in\n{}", self.1))
    }
}

/// A time as RFC 3339 writes it.
pub(crate) fn time(text: &str) -> UnixTime {
    UnixTime::parse_rfc3339(text).unwrap_or_else(|| panic!("no time: {text}"))
}

/// The key under which a store keeps a wallet's account.
pub(crate) fn key(wallet: &Wallet) -> AccountKey {
    AccountId::parse(&wallet.account()).expect("a CAIP-10 id").key()
}

/// Grants in a store.
pub(crate) fn grant(store: &Store, wallet: &Wallet, plan: &str, term: Term) {
    let grant = Grant::new(key(wallet), plan, term).expect("a grant");
    runtime().block_on(store.subscriptions().grant(&grant, time(NOW))).expect("the store takes a grant");
}

/// A runtime for what the harness itself awaits.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
