//! What happens when something behind the gateway fails: never a yes that nobody said, never a no that nobody said
//! (hardening.md section 7).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use siwx_gateway::{
    caip::{AccountId, AccountKey},
    policy::{
        access::Access,
        subscription::{Subscription, Subscriptions},
    },
    secret::Secret,
    store::{
        self, AccountHistory, AccountMetadata, Asked, Backend, BoxFuture, Claim, Cursor, Doubt, Driver, Due, Filter,
        Grant, KeptSecret, Lease, NewPayment, NonceKey, NonceStore, OpenPayments, Owner, Page, Payment, PaymentCursor,
        PaymentFilter, PaymentId, PaymentPage, PaymentStore, Recorded, Renewal, Reserved, Resolution, Resolved,
        SecretStore, SessionCursor, SessionFilter, SessionKey, SessionPage, SessionSet, SessionStore, Settings,
        Settlement, SignIn, SignedIn, Step, Store, StoreError, SubscriptionStore, TakenOver, UsageDelta, UsageStore,
    },
    time::UnixTime,
};

use crate::harness::{Gateway, Nobody, Request, Setup, Upstream, Wallet};

/// A store that fails as long as it is told to.
pub(crate) struct Flaky {
    inner: Store,
    subscriptions: Arc<dyn SubscriptionStore>,
    nonces: Arc<dyn NonceStore>,
    payments: Arc<dyn PaymentStore>,
    sessions: Arc<dyn SessionStore>,
    usage: Arc<dyn UsageStore>,
    secrets: Arc<dyn SecretStore>,
    fails: AtomicBool,
    panics: AtomicBool,
    /// Whether it fails to end the sessions of accounts, and does everything else.
    keeps_sessions: AtomicBool,
    /// Milliseconds until a failure is told.
    silence: AtomicU64,
    /// How long it may take, in milliseconds, if that was changed.
    patience: AtomicU64,
    asked: AtomicUsize,
    foreign_writes: Arc<AtomicU64>,
}

impl Flaky {
    pub(crate) fn new() -> Arc<Self> {
        let settings =
            Settings { backend: Backend::SqliteMemory, timeout: Duration::from_secs(5), require_at_start: true };
        let inner = store::open(&settings).expect("the store opens");
        Arc::new(Self {
            subscriptions: inner.subscriptions(),
            nonces: inner.nonces(),
            payments: inner.payments(),
            sessions: inner.sessions(),
            usage: inner.usage(),
            secrets: inner.secrets(),
            inner,
            fails: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            keeps_sessions: AtomicBool::new(false),
            silence: AtomicU64::new(0),
            patience: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
            foreign_writes: Arc::default(),
        })
    }

    pub(crate) fn store(self: &Arc<Self>) -> Store {
        Store::new(Arc::clone(self) as Arc<dyn Driver>)
    }

    /// How long it may take, if that was changed.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let millis = self.patience.load(Ordering::SeqCst);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// Fails to end the sessions of accounts from now on, or no longer.
    pub(crate) fn keep_sessions(&self, keeps: bool) {
        self.keeps_sessions.store(keeps, Ordering::SeqCst);
    }

    /// Makes the next question for an account a mistake of the program.
    pub(crate) fn panic_once(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    fn or_fail<'a, T: 'a>(&'a self, answer: BoxFuture<'a, T>) -> BoxFuture<'a, T> {
        if self.fails.load(Ordering::SeqCst) {
            let silence = Duration::from_millis(self.silence.load(Ordering::SeqCst));
            return Box::pin(async move {
                tokio::time::sleep(silence).await;
                Err(StoreError::Unavailable("it was told to fail".to_owned()))
            });
        }
        answer
    }
}

impl SubscriptionStore for Flaky {
    fn find<'a>(&'a self, account: &'a AccountKey) -> BoxFuture<'a, Subscriptions> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.swap(false, Ordering::SeqCst), "a panic that a test asked for");
        self.or_fail(self.subscriptions.find(account))
    }

    fn access<'a>(&'a self, account: &'a AccountKey, route: &'a str, path: &'a str) -> BoxFuture<'a, Vec<Access>> {
        self.or_fail(self.subscriptions.access(account, route, path))
    }

    fn grant<'a>(&'a self, grant: &'a Grant, now: UnixTime) -> BoxFuture<'a, Subscription> {
        self.or_fail(self.subscriptions.grant(grant, now))
    }

    fn revoke<'a>(&'a self, account: &'a AccountKey, plan: &'a str) -> BoxFuture<'a, bool> {
        self.or_fail(self.subscriptions.revoke(account, plan))
    }

    fn list<'a>(&'a self, filter: &'a Filter, after: Option<&'a Cursor>, limit: usize) -> BoxFuture<'a, Page> {
        self.or_fail(self.subscriptions.list(filter, after, limit))
    }

    fn import<'a>(&'a self, grants: &'a [Grant], now: UnixTime) -> BoxFuture<'a, usize> {
        self.or_fail(self.subscriptions.import(grants, now))
    }
}

impl NonceStore for Flaky {
    fn claim<'a>(&'a self, key: NonceKey<'a>, until: UnixTime, now: UnixTime) -> BoxFuture<'a, Claim> {
        self.or_fail(self.nonces.claim(key, until, now))
    }
}

impl PaymentStore for Flaky {
    fn reserve<'a>(&'a self, new: &'a NewPayment, lease: &'a Lease, now: UnixTime) -> BoxFuture<'a, Reserved> {
        self.or_fail(self.payments.reserve(new, lease, now))
    }

    fn renew<'a>(&'a self, id: &'a PaymentId, lease: &'a Lease) -> BoxFuture<'a, Step> {
        self.or_fail(self.payments.renew(id, lease))
    }

    fn release<'a>(&'a self, id: &'a PaymentId, owner: &'a Owner) -> BoxFuture<'a, Step> {
        self.or_fail(self.payments.release(id, owner))
    }

    fn settling<'a>(&'a self, id: &'a PaymentId, lease: &'a Lease, asked: &'a Asked) -> BoxFuture<'a, Step> {
        self.or_fail(self.payments.settling(id, lease, asked))
    }

    fn refused<'a>(&'a self, id: &'a PaymentId, owner: &'a Owner) -> BoxFuture<'a, Step> {
        self.or_fail(self.payments.refused(id, owner))
    }

    fn settled<'a>(
        &'a self,
        id: &'a PaymentId,
        owner: &'a Owner,
        settlement: &'a Settlement,
        now: UnixTime,
    ) -> BoxFuture<'a, Recorded> {
        self.or_fail(self.payments.settled(id, owner, settlement, now))
    }

    fn unknown<'a>(&'a self, id: &'a PaymentId, owner: &'a Owner, doubt: &'a Doubt) -> BoxFuture<'a, Step> {
        self.or_fail(self.payments.unknown(id, owner, doubt))
    }

    fn take_over<'a>(&'a self, lease: &'a Lease, now: UnixTime, limit: usize) -> BoxFuture<'a, TakenOver> {
        self.or_fail(self.payments.take_over(lease, now, limit))
    }

    fn take_over_one<'a>(&'a self, id: &'a PaymentId, lease: &'a Lease, now: UnixTime) -> BoxFuture<'a, Option<Due>> {
        self.or_fail(self.payments.take_over_one(id, lease, now))
    }

    fn resolve<'a>(&'a self, id: &'a PaymentId, how: &'a Resolution, now: UnixTime) -> BoxFuture<'a, Resolved> {
        self.or_fail(self.payments.resolve(id, how, now))
    }

    fn payment<'a>(&'a self, id: &'a PaymentId) -> BoxFuture<'a, Option<Payment>> {
        self.or_fail(self.payments.payment(id))
    }

    fn list<'a>(
        &'a self,
        filter: &'a PaymentFilter,
        after: Option<&'a PaymentCursor>,
        limit: usize,
    ) -> BoxFuture<'a, PaymentPage> {
        self.or_fail(self.payments.list(filter, after, limit))
    }

    fn open_payments(&self) -> BoxFuture<'_, OpenPayments> {
        self.or_fail(self.payments.open_payments())
    }
}

impl SessionStore for Flaky {
    fn sign_in<'a>(&'a self, change: &'a SignIn, now: UnixTime) -> BoxFuture<'a, SignedIn> {
        self.or_fail(self.sessions.sign_in(change, now))
    }

    fn rotate<'a>(
        &'a self,
        key: &'a SessionKey,
        renewal: &'a Renewal,
        now: UnixTime,
    ) -> BoxFuture<'a, Option<SessionSet>> {
        self.or_fail(self.sessions.rotate(key, renewal, now))
    }

    fn find<'a>(&'a self, key: &'a SessionKey, now: UnixTime) -> BoxFuture<'a, Option<SessionSet>> {
        self.or_fail(self.sessions.find(key, now))
    }

    fn forget_pair<'a>(&'a self, key: &'a SessionKey, account: &'a AccountId, now: UnixTime) -> BoxFuture<'a, usize> {
        self.or_fail(self.sessions.forget_pair(key, account, now))
    }

    fn end<'a>(&'a self, key: &'a SessionKey) -> BoxFuture<'a, bool> {
        self.or_fail(self.sessions.end(key))
    }

    fn end_sid<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, bool> {
        self.or_fail(self.sessions.end_sid(sid))
    }

    fn end_all<'a>(&'a self, accounts: &'a [AccountKey]) -> BoxFuture<'a, usize> {
        if self.keeps_sessions.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::Unavailable("it was told to keep sessions".to_owned())) });
        }
        self.or_fail(self.sessions.end_all(accounts))
    }

    fn list<'a>(
        &'a self,
        filter: &'a SessionFilter,
        after: Option<&'a SessionCursor>,
        limit: usize,
        now: UnixTime,
    ) -> BoxFuture<'a, SessionPage> {
        self.or_fail(self.sessions.list(filter, after, limit, now))
    }

    fn seen<'a>(&'a self, key: &'a SessionKey, at: UnixTime) -> BoxFuture<'a, bool> {
        self.or_fail(self.sessions.seen(key, at))
    }

    fn verified<'a>(&'a self, key: &'a SessionKey, id: &'a str, at: UnixTime) -> BoxFuture<'a, bool> {
        self.or_fail(self.sessions.verified(key, id, at))
    }

    fn metadata<'a>(&'a self, account: &'a AccountKey) -> BoxFuture<'a, Option<AccountMetadata>> {
        self.or_fail(self.sessions.metadata(account))
    }

    fn put_metadata<'a>(&'a self, account: &'a AccountKey, metadata: Option<&'a AccountMetadata>) -> BoxFuture<'a, ()> {
        self.or_fail(self.sessions.put_metadata(account, metadata))
    }

    fn history<'a>(&'a self, account: &'a AccountKey) -> BoxFuture<'a, Option<AccountHistory>> {
        self.or_fail(self.sessions.history(account))
    }

    fn note_sign_in<'a>(&'a self, account: &'a AccountKey, sign_in: &'a AccountHistory) -> BoxFuture<'a, ()> {
        self.or_fail(self.sessions.note_sign_in(account, sign_in))
    }
}

impl UsageStore for Flaky {
    fn add_usage<'a>(&'a self, deltas: &'a [UsageDelta], now: UnixTime) -> BoxFuture<'a, Vec<u64>> {
        self.or_fail(self.usage.add_usage(deltas, now))
    }

    fn usage<'a>(&'a self, account: &'a AccountKey, plan: &'a str, window_start: UnixTime) -> BoxFuture<'a, u64> {
        self.or_fail(self.usage.usage(account, plan, window_start))
    }

    fn purchases<'a>(
        &'a self,
        account: &'a AccountKey,
        plan: &'a str,
        from: UnixTime,
        to: UnixTime,
    ) -> BoxFuture<'a, u64> {
        self.or_fail(self.usage.purchases(account, plan, from, to))
    }
}

impl SecretStore for Flaky {
    fn secret<'a>(&'a self, name: &'a str, fresh: Secret<[u8; 32]>) -> BoxFuture<'a, Secret<[u8; 32]>> {
        self.or_fail(self.secrets.secret(name, fresh))
    }

    fn succession<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<KeptSecret>> {
        self.or_fail(self.secrets.succession(name))
    }

    fn succeed<'a>(
        &'a self,
        name: &'a str,
        fresh: Secret<[u8; 32]>,
        after: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, bool> {
        self.or_fail(self.secrets.succeed(name, fresh, after, now))
    }
}

impl Driver for Flaky {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn foreign_writes(&self) -> &Arc<AtomicU64> {
        &self.foreign_writes
    }

    fn set_timeout(&self, timeout: Duration) {
        self.patience.store(timeout.as_millis().try_into().expect("a while"), Ordering::SeqCst);
        self.inner.set_timeout(timeout);
    }

    fn check(&self) -> BoxFuture<'_, ()> {
        self.or_fail(Box::pin(self.inner.check()))
    }
}

fn unavailable(gateway: &Gateway, target: &str, wallet: &Wallet) {
    let answer = gateway.get(target, &wallet.token());
    assert_eq!(answer.outcome(), (503, "store_unavailable".to_owned()), "{answer:?}");
    assert_eq!(answer.one("retry-after"), Some("1"));
}

#[test]
fn a_store_that_fails_is_neither_yes_nor_no() {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    let gateway = Setup::over(&upstream).set("limits.auth_failures", "off").store(flaky.store()).start();
    let (subscribed, other) = (Wallet::evm(1), Wallet::evm(2));
    gateway.grant(&subscribed, "nano");
    flaky.fail(true);
    for _ in 0..2 {
        unavailable(&gateway, "/paid/x", &subscribed);
        unavailable(&gateway, "/paid/x", &other);
        unavailable(&gateway, "/pro/x", &subscribed);
    }
    assert_eq!(upstream.take().len(), 0);
    assert_eq!(gateway.get("/wallet/x", &other.token()).status, 200, "who asks the store for nothing is served");
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200);
    assert_eq!(gateway.send(&Request::get("/paid/x")).status, 401, "refusals stay what they are");
    assert_eq!(gateway.get("/paid/x", "SIWX x.y").status, 401);
    flaky.fail(false);
    assert_eq!(gateway.get("/paid/x", &subscribed.token()).status, 200, "and it mends at once");
    assert_eq!(gateway.get("/paid/x", &other.token()).status, 403);
    gateway.expect_metric("siwx_subscription_lookups_total{backend=\"sqlite\",result=\"error\"}", 6.0);
    gateway.expect_metric(
        "siwx_auth_decisions_total{decision=\"error\",reason=\"store_unavailable\",route=\"paid\"}",
        4.0,
    );
}

#[test]
fn a_remembered_yes_is_served_while_it_is_fresh() {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    let gateway = Setup::over(&upstream).store(flaky.store()).start();
    let (subscribed, other) = (Wallet::evm(1), Wallet::evm(2));
    gateway.grant(&subscribed, "nano");
    assert_eq!(gateway.get("/paid/x", &subscribed.token()).status, 200);
    assert_eq!(gateway.get("/paid/x", &other.token()).status, 403);
    flaky.fail(true);
    assert_eq!(gateway.get("/paid/x", &subscribed.token()).status, 200, "a fresh yes");
    assert_eq!(gateway.get("/paid/x", &other.token()).status, 403, "a fresh no");
    let renewed = subscribed.token_of(&subscribed.text().nonce(7));
    assert_eq!(gateway.get("/paid/x", &renewed).status, 200, "of the account, not of the token");
    assert_eq!(gateway.admin(Request::new("POST", "/admin/cache/flush")).status, 204);
    unavailable(&gateway, "/paid/x", &subscribed);
    assert_eq!(flaky.asked.load(Ordering::SeqCst), 3);
}

#[test]
fn a_stale_yes_is_served_only_on_demand() {
    let rows = [("off", "0s", 503), ("on", "60s", 200)];
    for (name, stale_if_error, status) in rows {
        let (upstream, flaky) = (Upstream::ok(), Flaky::new());
        let gateway = Setup::over(&upstream)
            .set("cache.subscriptions.ttl", "1ms")
            .set("cache.subscriptions.negative_ttl", "1ms")
            .set("store.stale_if_error", stale_if_error)
            .store(flaky.store())
            .start();
        let (subscribed, other, ending) = (Wallet::evm(1), Wallet::evm(2), Wallet::evm(3));
        gateway.grant(&subscribed, "nano");
        let end = crate::harness::time("2026-11-20T10:01:00Z");
        gateway.grant_until(&ending, "nano", store::Term::Until(end));
        assert_eq!(gateway.get("/paid/x", &subscribed.token()).status, 200, "{name}");
        assert_eq!(gateway.get("/paid/x", &ending.token()).status, 200, "{name}");
        assert_eq!(gateway.get("/paid/x", &other.token()).status, 403, "{name}");
        flaky.fail(true);
        // What was remembered is a millisecond old; the answers below are no longer fresh ones.
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(gateway.get("/paid/x", &subscribed.token()).status, status, "{name}: a stale yes");
        unavailable(&gateway, "/paid/x", &other);
        gateway.set_time("2026-11-20T10:01:00Z");
        unavailable(&gateway, "/paid/x", &ending);
        let stale = gateway.metrics().value("siwx_cache_requests_total{cache=\"subscriptions\",result=\"stale\"}");
        assert_eq!(stale, if status == 200 { 1.0 } else { 0.0 }, "{name}");
    }
}

#[test]
fn a_nonce_that_cannot_be_recorded_opens_nothing() {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    let gateway = Setup::over(&upstream).set("auth.nonce", "single-use").store(flaky.store()).start();
    flaky.fail(true);
    unavailable(&gateway, "/wallet/x", &Wallet::evm(1));
    assert_eq!(upstream.take().len(), 0);
    flaky.fail(false);
    assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).status, 200, "and was not burnt");
    gateway.expect_metric("siwx_store_operations_total{operation=\"nonce\",result=\"error\"}", 1.0);
}

#[test]
fn a_store_that_is_not_there_at_the_start() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().expect("a directory");
    let missing = format!("sqlite:{}/not/there.db", directory.path().display());
    let gateway = Setup::over(&upstream).set("store.url", &missing).start();
    unavailable(&gateway, "/paid/x", &Wallet::evm(1));
    assert_eq!(gateway.get("/wallet/x", &Wallet::evm(1).token()).status, 200);
    let ready = gateway.admin(Request::get("/readyz?verbose"));
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(String::from_utf8_lossy(&ready.body).contains("store: no"), "{ready:?}");
    assert_eq!(gateway.admin(Request::get("/livez")).status, 200, "alive all the same");
}

#[test]
fn many_requests_of_one_wallet_ask_the_store_once() {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    let gateway = Setup::over(&upstream).store(flaky.store()).start();
    let wallet = Wallet::evm(1);
    gateway.grant(&wallet, "nano");
    std::thread::scope(|scope| {
        for nonce in 0..20 {
            let (gateway, token) = (&gateway, wallet.token_of(&wallet.text().nonce(nonce)));
            scope.spawn(move || assert_eq!(gateway.get("/paid/x", &token).status, 200));
        }
    });
    assert_eq!(flaky.asked.load(Ordering::SeqCst), 1);
}

/// Each of them waited for the store's time-out, one after another.
#[test]
fn many_requests_of_one_wallet_wait_for_a_silent_store_once() {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    let gateway = Setup::over(&upstream).store(flaky.store()).start();
    flaky.fail(true);
    flaky.silence.store(500, Ordering::SeqCst);
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for nonce in 0..8 {
            let wallet = Wallet::evm(1);
            let (gateway, token) = (&gateway, wallet.token_of(&wallet.text().nonce(nonce)));
            scope.spawn(move || {
                assert_eq!(gateway.get("/paid/x", &token).outcome(), (503, "store_unavailable".to_owned()));
            });
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    assert!(flaky.asked.load(Ordering::SeqCst) <= 2, "asked {:?} times", flaky.asked);
}

#[test]
fn an_upstream_that_is_down_leaves_refusals_right() {
    let nobody = Nobody::new();
    let gateway = Setup::to(&nobody.url()).start();
    let rows = [
        ("/public/x", String::new(), 502, "upstream_unreachable"),
        ("/wallet/x", Wallet::evm(1).token(), 502, "upstream_unreachable"),
        ("/wallet/x", String::new(), 401, "credential_required"),
        ("/wallet/x", "SIWX x.y".to_owned(), 401, "invalid_token"),
        ("/paid/x", Wallet::evm(1).token(), 403, "subscription_required"),
        ("/nothing", Wallet::evm(1).token(), 404, "no_route"),
        ("/public/../x", String::new(), 400, "bad_path"),
    ];
    for (target, token, status, code) in rows {
        let request = Request::get(target);
        let request = if token.is_empty() { request } else { request.token(&token) };
        assert_eq!(gateway.send(&request).outcome(), (status, code.to_owned()), "{target} {token}");
    }
    gateway.expect_metric("siwx_ready{check=\"store\"}", 1.0);
    assert_eq!(gateway.admin(Request::get("/readyz")).status, 200, "the upstream is no part of readiness");
    gateway.expect_metric("siwx_upstream_errors_total{kind=\"connect\",upstream=\"api\"}", 2.0);
}

#[test]
fn x9_a_panic_ends_one_request() {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    let gateway = Setup::over(&upstream).panics_are_expected().store(flaky.store()).start();
    let wallet = Wallet::evm(1);
    gateway.grant(&wallet, "nano");
    flaky.panic_once();
    let mut client = gateway.client();
    let request = Request::get("/paid/x").token(&wallet.token());
    assert_eq!(client.send(&request).outcome(), (500, "internal".to_owned()));
    assert_eq!(upstream.take().len(), 0);
    assert_eq!(client.send(&request).status, 200, "the next one on the same connection");
    gateway.expect_metric("siwx_panics_total", 1.0);
    assert_eq!(gateway.log_lines(2)[0]["code"], "internal");
}
