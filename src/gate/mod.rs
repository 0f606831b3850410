//! The one gate. Every request that may reach an upstream passes [`Gate::decide`], whatever door it came through.
//!
//! The order of the steps is a security property; it is written down in that one function and nowhere else:
//!
//! 1. The route. A public one is admitted here; nothing was parsed.
//! 2. What was presented. Nothing, or two things, ends here.
//! 3. The memory of verified proofs. A warm credential skips the next step.
//! 4. Cold: the address's count of refusals, then decoding, the message's grammar, its claims, and only then the
//!    signature: the cheapest refusal first. Verification runs on the worker that serves the request, so no more
//!    than one a core runs at once, whatever strangers send. What the account's key did not make, and a contract may
//!    take, is asked of the contract last (`contracts`), within what the address may have asked.
//! 5. The claims again, at this request's time and path: what is remembered is that a signature is right, never
//!    that a request is allowed. A session is found by one look where it is remembered, and in its store where it is
//!    not (`sessions`); its times are judged anew too, and whether the page that asks may change anything.
//! 6. Denied accounts.
//! 7. What the account holds, where the route demands a subscription.
//! 8. The decision, by `policy`. What it lets in takes from what route and plan allow (`limits`), and what is over
//!    that ends here: it is never asked to pay. A one-time nonce is claimed last, when everything else is right: a
//!    refused attempt burns nothing, and what it took is given back.
//! 9. What was presented does not open a route that is for sale, or nothing was: a payment that came along is judged
//!    on its own, and without one the client is told what it may pay (`payment`).

mod cache;
mod contracts;
mod identify;
mod limits;
pub mod payment;
mod quotas;
pub mod recheck;
pub mod sessions;
pub mod settings;
mod subscriptions;
pub mod view;

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::{Duration, Instant},
};

use crate::{
    caip::{AccountId, AccountKey},
    chain::Scheme,
    credential::{Carriers, SignInError, SignInExpectation},
    metrics::{Metrics, OperationMetrics, RouteMetrics, SchemeMetrics},
    outbound::Outbound,
    policy::{
        decision::{Decision, RateScope, Reason, Refusal, TokenFault, decide},
        identity::{Identity, Known},
        routes::{Found, Routes},
        rule::{Requirement, Rule},
        subscription::Subscriptions,
        target::PathError,
    },
    rpc::Rpc,
    siwx::{Code, claims::Claims},
    store::{Claim, NonceKey, NonceStore, StoreError, SubscriptionStore, UsageStore},
    time::UnixTime,
};

pub use cache::LastCredential;
use cache::{Entry, Proofs};
use contracts::Contracts;
use identify::Halt;
pub(crate) use limits::subscriber;
use limits::{Admitted, Allowances, Limits, QUOTA, Short, Taken};
use payment::{Due, PaymentRefusal, Payments};
use quotas::Quotas;
use sessions::Sessions;
use settings::Settings;
use subscriptions::Accounts;
use view::RequestView;

/// Judges requests.
pub struct Gate {
    settings: Settings,
    routes: Routes,
    /// By what a route takes: see [`identify::carriers`].
    carriers: Vec<Carriers>,
    sign_ins: Vec<SignInExpectation>,
    payments: OnceLock<Arc<Payments>>,
    contracts: OnceLock<Arc<Contracts>>,
    sessions: OnceLock<Arc<Sessions>>,
    proofs: Proofs,
    accounts: Accounts,
    nonces: Arc<dyn NonceStore>,
    /// By address: refused credentials.
    failures: Option<Allowances<IpAddr>>,
    /// What may be used by those who are let in; nothing: any amount.
    limits: Option<Limits>,
    metrics: Arc<Metrics>,
    route_metrics: Vec<RouteMetrics>,
    no_route: RouteMetrics,
    schemes: Vec<(Scheme, SchemeMetrics)>,
    nonce_claims: OperationMetrics,
}

/// The stores a gate asks.
pub struct Stores {
    /// Who holds what.
    pub subscriptions: Arc<dyn SubscriptionStore>,
    /// Which nonces were used.
    pub nonces: Arc<dyn NonceStore>,
    /// What was used of quotas.
    pub usage: Arc<dyn UsageStore>,
    /// Counts the changes that other processes made.
    pub foreign_writes: Arc<AtomicU64>,
    /// The word for metrics.
    pub backend: &'static str,
}

/// What became of a request, and what is to be said about it in metrics and log.
pub struct Judged<'g> {
    /// The rule it met; nothing if no route is for it.
    pub rule: Option<&'g Rule>,
    /// The place of that rule among the routes.
    pub place: Option<usize>,
    metrics: &'g RouteMetrics,
    /// The outcome.
    pub verdict: Verdict,
    /// Time it took; nothing where nobody was asked who they are.
    pub after: Duration,
    /// What must be done before the upstream's answer may leave.
    pub due: Due,
    asked: Option<Asked>,
}

/// The outcome for a request.
#[derive(Debug)]
pub enum Verdict {
    /// No route is for it. The wallet is good; there is nothing here.
    NoRoute,
    /// The path is of a route, the method is not.
    MethodNotAllowed,
    /// Another reading of the path selects a dearer route.
    AmbiguousPath,
    /// The path holds an escape that the route does not take.
    BadPath(PathError),
    /// As the policy decided.
    Decided(Decision),
    /// It is to be paid for, or was not paid right.
    Unpaid(Box<PaymentRefusal>),
}

/// A credential that was looked up, and who that is now.
struct Looked {
    entry: Arc<Entry>,
    identity: Identity,
    warm: bool,
    /// The nonce that this use uses up, and until when that is to be remembered.
    issued: Option<(String, UnixTime)>,
}

/// Who asked, admitted or not.
struct Asked {
    entry: Arc<Entry>,
    warm: bool,
}

/// What a payment, or the lack of one, came to.
enum Turned {
    Away(Refusal),
    Unpaid(PaymentRefusal),
}

/// Where a request went in the table of routes.
struct Met<'g> {
    rule: Option<&'g Rule>,
    place: Option<usize>,
    metrics: &'g RouteMetrics,
    /// What a good credential is told when there is no rule.
    otherwise: Otherwise,
}

enum Otherwise {
    Nothing,
    OtherMethods,
}

/// The labels of `siwx_auth_duration_seconds`, in the order of [`crate::metrics::AUTH_PATHS`].
#[derive(Clone, Copy)]
enum AuthWay {
    CacheHit,
    Verify,
    VerifyStore,
    Deny,
}

/// The word of refused credentials in the metric of limits.
const AUTH_FAILURES: &str = "auth_failures";

/// Sizes, for the admin API.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Proofs remembered.
    pub proofs: u64,
    /// Accounts remembered.
    pub accounts: u64,
    /// What contracts said, remembered.
    pub contracts: u64,
    /// Sets of sessions remembered.
    pub sessions: u64,
}

// === impl Gate ===

impl Gate {
    /// A gate over routes and stores, with nothing remembered.
    pub fn new(settings: Settings, routes: Routes, stores: Stores, metrics: &Arc<Metrics>, origin: Instant) -> Self {
        let asks_contracts = settings.accepts.eip1271 || settings.accepts.eip6492;
        let rpc = (asks_contracts && settings.rpc_per_ip.is_some()).then_some(RateScope::Contracts.as_str());
        let series = |route: &str, takes_money: bool, scopes: &[&'static str]| {
            let scopes: Vec<_> = std::iter::once(AUTH_FAILURES).chain(rpc).chain(scopes.iter().copied()).collect();
            let possible = |reason: &Reason| match reason {
                Reason::Quota => scopes.contains(&QUOTA),
                Reason::VerifierUnavailable => asks_contracts,
                reason if reason.is_about_sessions() => settings.sessions.is_some(),
                reason => takes_money || !reason.is_about_money(),
            };
            let labels = |reason: &Reason| possible(reason).then(|| (reason.decision(), reason.as_str()));
            metrics.route(route, &Reason::ALL.iter().map(labels).collect::<Vec<_>>(), &scopes)
        };
        let of_rule = |rule: &Rule| {
            let takes_money = rule.sale.is_some() || rule.sign_in;
            series(&rule.name, takes_money, &limits::scopes(rule, &settings.plan_limits))
        };
        let route_metrics = routes.rules().iter().map(of_rule).collect();
        Self {
            carriers: identify::carriers(&settings),
            sign_ins: identify::sign_ins(&settings),
            payments: OnceLock::new(),
            contracts: OnceLock::new(),
            sessions: OnceLock::new(),
            proofs: Proofs::new(settings.proofs, metrics),
            accounts: Accounts::new(&settings, stores.subscriptions, stores.foreign_writes, stores.backend, metrics),
            nonces: stores.nonces,
            failures: settings.auth_failures.map(|rate| Allowances::new(rate, origin)),
            limits: Limits::new(routes.rules(), &settings.plan_limits, stores.usage, metrics, origin),
            route_metrics,
            no_route: series("none", false, &[]),
            schemes: Scheme::ALL.iter().map(|scheme| (*scheme, metrics.scheme(scheme.as_str()))).collect(),
            nonce_claims: metrics.operation("nonce"),
            metrics: Arc::clone(metrics),
            settings,
            routes,
        }
    }

    /// Asks contracts on these chains from now on; once. `origin` is a moment before the first request.
    pub fn ask_contracts(&self, rpc: Rpc, outbound: Outbound, origin: Instant) {
        let contracts = Contracts::new(rpc, outbound, &self.settings, &self.metrics, origin);
        let _ = self.contracts.set(Arc::new(contracts));
    }

    /// Opens sessions from now on; once.
    pub fn open_sessions(&self, sessions: Arc<Sessions>) {
        let _ = self.sessions.set(sessions);
    }

    /// The sessions of browsers, where there are any.
    pub fn sessions(&self) -> Option<&Arc<Sessions>> {
        self.sessions.get()
    }

    /// What it judges by, apart from the routes.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The routes it judges by.
    pub const fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The series of a route, by its place among the routes, or of requests that have none.
    pub fn metrics_of(&self, place: Option<usize>) -> &RouteMetrics {
        place.and_then(|place| self.route_metrics.get(place)).unwrap_or(&self.no_route)
    }

    /// Judges a request. The order of the steps is the one at the top of this file.
    pub async fn decide(&self, view: &RequestView<'_>, now: UnixTime) -> Judged<'_> {
        let met = match self.meet(view) {
            Ok(met) => met,
            Err(verdict) => return self.judged(Met::nothing(&self.no_route), verdict, None, Duration::ZERO),
        };
        if met.rule.is_some_and(|rule| rule.requirement == Requirement::Public) {
            if let Err(refusal) = self.take_as_nobody(&met, view, now) {
                return self.refused(met, refusal, None, view);
            }
            let verdict = met.decided(view, None, None, now);
            return self.judged(met, verdict, None, Duration::ZERO);
        }
        let looked = match self.look_up(met.rule, view, now) {
            Ok(looked) => Ok(looked),
            Err(Halt::Refused(refusal)) => Err(refusal),
            // Boxed: these are cold ways, and every request would carry the room for them.
            Err(Halt::Ask(pending)) => Box::pin(self.ask_contract(*pending, view, now)).await,
            Err(Halt::Open(presented)) => Box::pin(self.open_session(presented, view, now)).await,
        };
        let looked = match looked {
            Ok(looked) => looked,
            Err(refusal) => return self.turned_down(met, refusal, None, view, now).await,
        };
        if self.is_denied(looked.identity.account()) {
            return self.refused(met, Refusal::AccountDenied, Some(looked.asked()), view);
        }
        let held = if met.demands_subscription() {
            match self.accounts.held(&looked.entry.account, view.started, now).await {
                Ok(held) => Some(held),
                Err(error) => {
                    tracing::warn!(%error, "the store does not say what an account holds");
                    return self.refused(met, Refusal::StoreUnavailable, Some(looked.asked()), view);
                }
            }
        } else {
            None
        };
        let Looked { entry, identity, warm, issued } = looked;
        let valid_until = identity.valid_until();
        let verdict = met.decided(view, Some(identity), held, now);
        let asked = Asked { entry, warm };
        if let Verdict::Decided(Decision::Refuse(refusal)) = verdict {
            return self.turned_down(met, refusal, Some(asked), view, now).await;
        }
        let taken = match &self.limits {
            None => None,
            Some(limits) => match self.take(limits, &met, &verdict, &asked, view, now).await {
                Ok(taken) => Some(taken),
                Err(refusal) => return self.refused(met, refusal, Some(asked), view),
            },
        };
        // What is answered 404 or 405 opens nothing, and burns nothing.
        let burns = issued.is_some() || (self.settings.single_use_nonce && asked.entry.known.session().is_none());
        if burns
            && matches!(verdict, Verdict::Decided(Decision::Admit(_)))
            && let Err(refusal) = self.claim_nonce(&asked.entry.known, issued.as_ref(), valid_until, now).await
        {
            if let Some(taken) = taken {
                taken.give_back();
            }
            return self.turned_down(met, refusal, Some(asked), view, now).await;
        }
        let way = match (warm, met.demands_subscription()) {
            (true, _) => AuthWay::CacheHit,
            (false, true) => AuthWay::VerifyStore,
            (false, false) => AuthWay::Verify,
        };
        let after = self.auth_duration(way, view);
        self.judged(met, verdict, Some(asked), after)
    }

    /// Step 1. What no credential could mend ends here.
    fn meet(&self, view: &RequestView<'_>) -> Result<Met<'_>, Verdict> {
        match self.routes.find(view.method, view.host, view.path) {
            Found::Ambiguous(_) => Err(Verdict::AmbiguousPath),
            Found::BadPath(error) => Err(Verdict::BadPath(error)),
            Found::MethodNeverAllowed => Err(Verdict::MethodNotAllowed),
            Found::MethodNotAllowed => Ok(Met { otherwise: Otherwise::OtherMethods, ..Met::nothing(&self.no_route) }),
            Found::None => Ok(Met::nothing(&self.no_route)),
            Found::Rule(rule) => {
                let place = self.routes.rules().element_offset(rule);
                let metrics = self.metrics_of(place);
                Ok(Met { rule: Some(rule), place, metrics, otherwise: Otherwise::Nothing })
            }
        }
    }

    /// Step 6, for who signed.
    fn is_denied(&self, account: &AccountId) -> bool {
        !self.settings.denied.is_empty() && self.is_denied_on(account.chain_str(), &account.key())
    }

    /// Step 6, for whoever signs or pays on this chain. The list holds CAIP-10 ids and bare addresses, EVM ones in
    /// lower case.
    fn is_denied_on(&self, chain: &str, key: &AccountKey) -> bool {
        let denied = &self.settings.denied;
        denied.contains(key.address()) || denied.contains(&format!("{chain}:{}", key.address()))
    }

    /// Takes what an admitted request uses of its route and plan.
    async fn take(
        &self,
        limits: &Limits,
        met: &Met<'_>,
        verdict: &Verdict,
        asked: &Asked,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<Taken, Refusal> {
        let Verdict::Decided(Decision::Admit(permit)) = verdict else {
            return Ok(Taken::default());
        };
        let (account, plan) = (Some(asked.entry.account.key()), permit.opened_by());
        let (place, client, started) = (met.place, view.client, view.started);
        let request = Admitted { place, account, plan, client, started, now };
        match limits.take(&request) {
            Ok(taken) => Ok(taken),
            Err(Short::Over(refusal)) => Err(refusal),
            // Boxed: this is a cold way, and every request would carry the room for it.
            Err(Short::Ask(tally)) => Box::pin(limits.take_after_asking(&request, &tally)).await,
        }
    }

    /// The same for a request of nobody: on a public route, or with a payment that is still to be looked at.
    fn take_as_nobody(&self, met: &Met<'_>, view: &RequestView<'_>, now: UnixTime) -> Result<(), Refusal> {
        let Some(limits) = &self.limits else {
            return Ok(());
        };
        let (place, client, started) = (met.place, view.client, view.started);
        match limits.take(&Admitted { place, account: None, plan: None, client, started, now }) {
            // Nobody has a plan, so there is no store to be asked.
            Ok(_) | Err(Short::Ask(_)) => Ok(()),
            Err(Short::Over(refusal)) => Err(refusal),
        }
    }

    /// The last step: a nonce that opens one request only.
    async fn claim_nonce(
        &self,
        known: &Known,
        issued: Option<&(String, UnixTime)>,
        valid_until: UnixTime,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let key = known.account().key();
        let skew = i64::from(self.settings.expectation.clock_skew_secs) * 1000;
        let (nonce, until) = match issued {
            Some((nonce, until)) => (NonceKey::Issued(nonce), *until),
            // The policy requires a nonce wherever one is claimed.
            None => (
                NonceKey::Account(&key, known.claims().and_then(Claims::nonce).unwrap_or("")),
                valid_until.plus_millis(skew),
            ),
        };
        let begun = Instant::now();
        let claimed = self.nonces.claim(nonce, until, now).await;
        self.nonce_claims.duration.observe(begun.elapsed());
        match claimed {
            Ok(Claim::Fresh) => {
                self.nonce_claims.ok.inc();
                Ok(())
            }
            Ok(Claim::Used) => {
                self.nonce_claims.conflict.inc();
                if issued.is_some() {
                    return Err(Refusal::ProofRefused(SignInError::Nonce.as_str()));
                }
                let detail = "this nonce was used".to_owned();
                Err(Refusal::InvalidToken(TokenFault::message(Code::NonceReused, detail)))
            }
            Err(error) => {
                let timed_out = matches!(error, StoreError::Timeout(_));
                if timed_out {
                    self.nonce_claims.timeout.inc()
                } else {
                    self.nonce_claims.error.inc()
                }
                tracing::warn!(%error, "the store does not take a nonce");
                Err(Refusal::StoreUnavailable)
            }
        }
    }

    fn refused<'g>(
        &'g self,
        met: Met<'g>,
        refusal: Refusal,
        asked: Option<Asked>,
        view: &RequestView<'_>,
    ) -> Judged<'g> {
        if refusal.counts_against_address() {
            self.count_refusal(view.client, view.started);
        }
        match refusal {
            Refusal::QuotaExceeded { .. } => met.metrics.limited(QUOTA),
            Refusal::RateLimited { scope, .. } => met.metrics.limited(scope.as_str()),
            Refusal::TooManyRefusals { .. } => met.metrics.limited(AUTH_FAILURES),
            _ => {}
        }
        let after = self.auth_duration(AuthWay::Deny, view);
        self.judged(met, Verdict::Decided(Decision::Refuse(refusal)), asked, after)
    }

    fn judged<'g>(&'g self, met: Met<'g>, verdict: Verdict, asked: Option<Asked>, after: Duration) -> Judged<'g> {
        let due = Due::nothing();
        let judged = Judged { rule: met.rule, place: met.place, metrics: met.metrics, verdict, asked, after, due };
        if let Some(reason) = judged.reason() {
            judged.metrics.decided(reason.place());
        }
        judged
    }

    fn auth_duration(&self, way: AuthWay, view: &RequestView<'_>) -> Duration {
        let after = view.started.elapsed();
        self.metrics.auth_duration[way as usize].observe(after);
        after
    }

    /// Something an account holds was changed by this process: it counts at once.
    pub fn changed(&self, key: &AccountKey) {
        self.accounts.changed(key);
        if let Some(quotas) = self.quotas() {
            quotas.changed(key);
        }
    }

    /// Whether requests are counted against quotas, so that they must be handed over to the store.
    pub fn counts_usage(&self) -> bool {
        self.quotas().is_some()
    }

    /// Hands over to the store what was counted against quotas: about once a second, and when the last request is
    /// done. May not be dropped before it ends, or what is under way is lost.
    pub async fn hand_over_usage(&self, now: UnixTime) {
        if let Some(quotas) = self.quotas() {
            quotas.hand_over(now).await;
        }
    }

    fn quotas(&self) -> Option<&Quotas> {
        self.limits.as_ref()?.quotas.as_ref()
    }

    /// If an address has spent its allowance of refused credentials, for how long. For doors beside
    /// [`Self::decide`].
    pub fn exhausted(&self, client: IpAddr, at: Instant) -> Option<Duration> {
        self.failures.as_ref()?.exhausted(&subscriber(client), at)
    }

    /// Counts a refused credential against an address. For doors beside [`Self::decide`].
    pub fn count_refusal(&self, client: IpAddr, at: Instant) {
        if let Some(failures) = &self.failures {
            failures.spend(&subscriber(client), at);
        }
    }

    /// Forgets everything that is remembered.
    pub fn flush(&self) {
        // Before the proofs that rest on it.
        if let Some(contracts) = self.contracts.get() {
            contracts.flush();
        }
        self.proofs.flush();
        self.accounts.flush();
        self.forget_sessions();
    }

    /// Forgets what is remembered of sessions: some were ended in the store.
    pub fn forget_sessions(&self) {
        if let Some(sessions) = self.sessions.get() {
            sessions.flush();
        }
    }

    /// How much is remembered. Settles the caches' own bookkeeping first.
    pub fn sizes(&self) -> Sizes {
        let contracts = self.contracts.get().map_or(0, |contracts| contracts.entries());
        let sessions = self.sessions.get().map_or(0, |sessions| sessions.entries());
        Sizes { proofs: self.proofs.entries(), accounts: self.accounts.entries(), contracts, sessions }
    }
}

// === impl Looked ===

impl Looked {
    fn asked(self) -> Asked {
        Asked { entry: self.entry, warm: self.warm }
    }
}

// === impl Met ===

impl<'g> Met<'g> {
    const fn nothing(metrics: &'g RouteMetrics) -> Self {
        Self { rule: None, place: None, metrics, otherwise: Otherwise::Nothing }
    }

    fn demands_subscription(&self) -> bool {
        let demands =
            |rule: &Rule| matches!(rule.requirement, Requirement::Subscription { .. } | Requirement::Payment { .. });
        self.rule.is_some_and(demands)
    }

    /// Step 8.
    fn decided(
        &self,
        view: &RequestView<'_>,
        who: Option<Identity>,
        has: Option<Arc<Subscriptions>>,
        now: UnixTime,
    ) -> Verdict {
        match (self.rule, &self.otherwise) {
            (Some(rule), _) => Verdict::Decided(decide(rule, view.path.as_str(), who, has, now)),
            (None, Otherwise::Nothing) => Verdict::NoRoute,
            (None, Otherwise::OtherMethods) => Verdict::MethodNotAllowed,
        }
    }
}

// === impl Judged ===

impl Judged<'_> {
    /// The word for metrics and log; nothing for what ended before there was anything to decide.
    pub const fn reason(&self) -> Option<Reason> {
        match &self.verdict {
            Verdict::Decided(Decision::Admit(permit)) => Some(permit.reason()),
            Verdict::Decided(Decision::Refuse(refusal)) => Some(refusal.reason()),
            Verdict::Unpaid(refusal) => Some(refusal.reason()),
            Verdict::NoRoute => Some(Reason::Ok),
            Verdict::AmbiguousPath | Verdict::BadPath(_) | Verdict::MethodNotAllowed => None,
        }
    }

    /// What is known of who asked, admitted or not.
    pub fn known(&self) -> Option<&Known> {
        self.asked.as_ref().map(|asked| &*asked.entry.known)
    }

    /// Who paid with the request itself, where that is known before the answer.
    pub fn payer(&self) -> Option<&AccountId> {
        match &self.verdict {
            Verdict::Decided(Decision::Admit(permit)) => permit.paid()?.payer.as_ref(),
            _ => None,
        }
    }

    /// Whether the credential was remembered; nothing if none was looked up.
    pub fn is_warm(&self) -> Option<bool> {
        self.asked.as_ref().map(|asked| asked.warm)
    }

    /// The plan that opened the route.
    pub fn plan(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Decided(Decision::Admit(permit)) => permit.opened_by().map(|opened| &*opened.plan),
            _ => None,
        }
    }
}
