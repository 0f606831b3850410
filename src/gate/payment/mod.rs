//! Payments: what is asked for, what is taken, and what must be settled before an answer leaves (x402.md section 5).
//!
//! 1. A payment is reserved before anybody is asked about it, so that of any number of copies one goes on.
//! 2. Settlement is asked for only when that is on the disk. From there on nothing stops it: it runs on a task of its
//!    own, and what it finds is recorded whether or not a client still waits.
//! 3. An unknown outcome is never a refusal: a client that hears 402 pays again.
//! 4. The head of an upstream's answer goes to a client by a [`Release`], and there are two ways to have one: nothing
//!    is due, or what was due is settled ([`Due::discharge`]). Releasing before settlement does not compile.
//! 5. What the payer bought is fixed when the payment is reserved, by the route that served it and never by what the
//!    client says it paid for.

mod challenge;
mod lease;
mod settle;
mod shop;
mod turn;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderValue, Method};

pub use challenge::Demand;
pub(super) use challenge::PAYMENT_REQUIRED;
use lease::Renewal;
pub use settle::RECOVERY_INTERVAL;
pub(super) use shop::SHOP;
pub use shop::{Door, Price, Status};

use crate::{
    caip::{AccountId, AccountKey},
    chain::account::spelled,
    facilitator::{Facilitator, FacilitatorError, Facilitators, Question, Verification},
    gate::settings::PaymentSettings,
    metrics::{Metrics, OperationMetrics},
    outbound::Outbound,
    policy::{access::Scope, decision::Reason, rule::Rule},
    siwx::origin::Origin,
    store::{NewPayment, Owner, PaymentStore, Receipt, Reserved, Sale, Step, StoreError, counted},
    time::{Clock, UnixTime},
    x402::{
        self, PAYMENT_SIGNATURE,
        nonce::NonceIssuer,
        payment::{Payment, PaymentId},
        terms::{self, PaymentFlow, Terms},
        wire,
    },
};

/// What payments need of the outside.
pub struct Means {
    /// Who verifies and settles.
    pub facilitators: Facilitators,
    /// Where payments are kept.
    pub store: Arc<dyn PaymentStore>,
    /// Makes and knows nonces.
    pub issuer: NonceIssuer,
    /// Runs what must not end with a client.
    pub outbound: Outbound,
    /// What time it is after a wait.
    pub clock: Arc<dyn Clock>,
    /// Fills bytes from the system's random source.
    pub random: fn(&mut [u8]) -> std::io::Result<()>,
    /// Told of every account that bought something.
    pub changed: Box<dyn Fn(&AccountKey) + Send + Sync>,
    /// Counts payments.
    pub metrics: Arc<Metrics>,
}

/// Takes payments.
pub struct Payments {
    means: Means,
    settings: PaymentSettings,
    origins: Vec<Origin>,
    process: String,
    attempts: AtomicU64,
    /// What the store is asked for.
    operations: OperationMetrics,
}

/// A request, as far as a payment for it goes.
#[derive(Clone, Copy)]
pub(super) struct Purchase<'r> {
    pub(super) rule: &'r Rule,
    pub(super) method: &'r Method,
    pub(super) host: &'r str,
    /// The canonical path.
    pub(super) path: &'r str,
    /// Path and query as the client spelled them.
    pub(super) target: &'r str,
    pub(super) headers: &'r HeaderMap,
}

/// Why a payment does not open anything.
#[derive(Debug)]
pub enum PaymentRefusal {
    /// It was settled before; the client is told again what came of it.
    AlreadyUsed(Box<Receipt>),
    /// A challenge: pay, or pay otherwise.
    Demand(Box<Demand>),
    /// The account is on the list of those that are refused whatever they hold.
    Denied,
    /// The facilitator cannot be asked, or does not make sense. Nothing was settled.
    Facilitator {
        /// It was silent for too long.
        timed_out: bool,
    },
    /// Another request works on it.
    InProgress,
    /// Nobody knows whether it was settled.
    OutcomeUnknown {
        /// The facilitator was silent for too long.
        timed_out: bool,
    },
    /// The facilitator did not settle it. The client is told what it said.
    SettlementRefused {
        /// The `PAYMENT-RESPONSE`.
        response: HeaderValue,
        /// The facilitator\'s reason, as it is told to clients.
        error: String,
    },
    /// The store does not take it.
    StoreUnavailable,
    /// What a client would have to sign is not known: the facilitator never said what it supports.
    TermsUnavailable,
    /// Two payments in one request.
    Twice,
}

/// A payment that was accepted: who pays, and what is left to do before the answer may leave.
pub(super) struct Accepted {
    /// The payer, where it is known before settlement.
    pub(super) payer: Option<AccountId>,
    pub(super) due: Due,
}

/// What must be done before an upstream's answer may leave towards the client.
#[must_use]
pub struct Due(Open);

enum Open {
    /// Nothing; with the receipt of a payment that was settled before the upstream was asked.
    Nothing(Option<Box<Receipt>>),
    /// A payment is to be settled.
    Settlement(Box<Obligation>),
}

/// Leave to send an upstream's answer to the client.
#[derive(Debug)]
pub struct Release {
    receipt: Option<Box<Receipt>>,
}

/// A payment that was verified and reserved. Dropped, it gives the reservation back.
struct Obligation {
    payments: Arc<Payments>,
    work: Option<Work>,
}

/// One payment under way.
struct Work {
    id: PaymentId,
    owner: Owner,
    payment: Payment,
    terms: Terms,
    facilitator: Arc<Facilitator>,
    /// Whom verify named.
    payer: Option<String>,
    route: String,
    /// Keeps the payment ours.
    _renewal: Renewal,
}

impl Payments {
    /// Takes payments for routes behind these origins, the first of which is the public one.
    pub fn new(means: Means, settings: PaymentSettings, origins: Vec<Origin>) -> std::io::Result<Arc<Self>> {
        let mut name = [0; 8];
        (means.random)(&mut name)?;
        let process = data_encoding::HEXLOWER.encode(&name);
        let operations = means.metrics.operation("payment");
        Ok(Arc::new(Self { means, settings, origins, process, attempts: AtomicU64::default(), operations }))
    }

    /// What the configuration says.
    pub(super) const fn settings(&self) -> &PaymentSettings {
        &self.settings
    }

    /// Makes and knows nonces.
    pub(super) const fn issuer(&self) -> &NonceIssuer {
        &self.means.issuer
    }

    /// Who verifies and settles.
    pub const fn facilitators(&self) -> &Facilitators {
        &self.means.facilitators
    }

    /// The origin of ours that a host names; there is always one.
    pub(super) fn origin(&self, host: &str) -> Option<&Origin> {
        self.origins.iter().find(|origin| origin.host() == host).or_else(|| self.origins.first())
    }

    /// A name for one attempt, unlike that of any other attempt of any process.
    fn attempt(&self, what: &str) -> Owner {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        let name = format!("{what}-{}-{number}", self.process);
        Owner::new(&name).unwrap_or_else(|error| unreachable!("an owner of letters and digits: {error}"))
    }

    /// The terms of a request as they are now.
    fn terms(&self, purchase: &Purchase<'_>) -> Result<(Vec<Terms>, PaymentFlow), PaymentRefusal> {
        let Some(sale) = &purchase.rule.sale else {
            return Ok((Vec::new(), PaymentFlow::Authorization));
        };
        let (offers, flow) = sale.offers_for(purchase.method);
        let terms = self.available(offers);
        // One network less is an offer still; none at all would invite to sign in for free.
        if terms.is_empty() { Err(PaymentRefusal::TermsUnavailable) } else { Ok((terms, flow)) }
    }

    /// The payment that a request carries, judged; nothing if it carries none. `denied` says who is not let in, by the
    /// chain that is paid on and the payer.
    pub(super) async fn accept(
        self: &Arc<Self>,
        purchase: Purchase<'_>,
        denied: impl Fn(&str, &AccountKey) -> bool,
        now: UnixTime,
    ) -> Option<Result<Accepted, PaymentRefusal>> {
        let mut fields = purchase.headers.get_all(PAYMENT_SIGNATURE).iter();
        let field = fields.next()?;
        if fields.next().is_some() {
            return Some(Err(PaymentRefusal::Twice));
        }
        Some(self.accept_field(purchase, field.as_bytes(), denied, now).await)
    }

    async fn accept_field(
        self: &Arc<Self>,
        purchase: Purchase<'_>,
        field: &[u8],
        denied: impl Fn(&str, &AccountKey) -> bool,
        now: UnixTime,
    ) -> Result<Accepted, PaymentRefusal> {
        let refused = |error: &str| self.demand(&purchase, error, Demand::invalid_payment(), now);
        let payment = match Payment::read(field) {
            Ok(payment) => payment,
            Err(error) => return Err(refused(&error.challenge_error())),
        };
        let (mut offered, flow) = self.terms(&purchase)?;
        let Some(place) = terms::match_terms(&offered, payment.accepted()) else {
            return Err(refused(x402::ERROR_NO_MATCHING_TERMS));
        };
        if let Err(error) = terms::check_echo(&self.advertised(&purchase, now), payment.extensions()) {
            tracing::debug!(%error, "a payment returns an extension with other contents");
            return Err(refused(error.as_str()));
        }
        let terms = offered.swap_remove(place);
        let authorization = match payment.authorization(&terms) {
            Ok(authorization) => authorization,
            Err(error) => return Err(refused(&error.challenge_error())),
        };
        let network = terms.network().as_str();
        if authorization.payers().iter().any(|payer| denied(network, payer)) {
            return Err(PaymentRefusal::Denied);
        }
        let chosen = self.means.facilitators.choose(terms.scheme().as_str(), network);
        let facilitator = Arc::clone(chosen.ok_or(PaymentRefusal::TermsUnavailable)?);
        let sale = self.sale(&purchase, &terms, facilitator.name());
        let valid_until = authorization.remember_until(now).unwrap_or(crate::store::END_OF_TIME);
        let id = crate::store::PaymentId::new(*authorization.id().as_bytes());
        let new = sale.and_then(|sale| NewPayment::new(id, sale, valid_until).ok()).ok_or_else(|| {
            tracing::error!(route = purchase.rule.name, "what a route sells cannot be kept; please report this");
            PaymentRefusal::StoreUnavailable
        })?;
        let owner = self.attempt("request");
        let lease = lease::lease(owner.clone(), now);
        let reserved =
            counted(&self.operations, self.means.store.reserve(&new, &lease, now)).await.map_err(unavailable)?;
        let work = |payer| Work {
            id: authorization.id(),
            owner: owner.clone(),
            payment: payment.clone(),
            terms: terms.clone(),
            facilitator: Arc::clone(&facilitator),
            payer,
            route: purchase.rule.name.clone(),
            _renewal: self.renew(id, owner.clone()),
        };
        match reserved {
            Reserved::Fresh => {}
            Reserved::Held { .. } => return Err(PaymentRefusal::InProgress),
            Reserved::Settled(receipt) => {
                self.means.metrics.payment(&purchase.rule.name, "replayed");
                return Err(PaymentRefusal::AlreadyUsed(Box::new(receipt)));
            }
            // Asked for again with the very bytes of the first time.
            Reserved::Unknown { .. } => return Ok(accepted(self.ask_again(*new.id()).await?)),
        }
        if flow == PaymentFlow::Upfront {
            return Ok(accepted(self.settle_apart(work(None), None).await?));
        }
        let mut obligation = Obligation { payments: Arc::clone(self), work: Some(work(None)) };
        match facilitator.verify(&question(&payment, &terms)).await {
            Ok(Verification::Valid { payer }) => {
                let account = payer.as_deref().and_then(|payer| account(network, payer));
                if account.as_ref().is_some_and(|account| denied(network, &account.key())) {
                    return Err(PaymentRefusal::Denied);
                }
                if let Some(work) = &mut obligation.work {
                    work.payer = payer;
                }
                Ok(Accepted { payer: account, due: Due(Open::Settlement(Box::new(obligation))) })
            }
            Ok(Verification::Invalid(refusal)) => {
                obligation.release().await;
                let error = refusal.text();
                Err(self.demand(&purchase, &error, Demand::refused_payment(&refusal.reason), now))
            }
            Err(error) => {
                obligation.release().await;
                Err(unreachable_facilitator(&error))
            }
        }
    }

    /// What a payment by these terms buys.
    fn sale(&self, purchase: &Purchase<'_>, terms: &Terms, facilitator: &str) -> Option<Sale> {
        let sold = purchase.rule.sale.as_ref()?;
        let (scope, length) = match terms.plan() {
            Some(plan) => {
                let for_sale = self.settings.plans.iter().find(|for_sale| for_sale.name == plan)?;
                (Scope::plan(plan).ok()?, Some(for_sale.length))
            }
            None => (sold.scope(&purchase.rule.name, purchase.path).ok()?, sold.access_for),
        };
        Some(Sale {
            network: terms.network().clone(),
            scheme: terms.scheme().as_str().to_owned(),
            asset: terms.asset().to_owned(),
            amount: terms.amount().to_string(),
            facilitator: facilitator.to_owned(),
            route: purchase.rule.name.clone(),
            scope,
            length,
        })
    }
}

// === impl Due ===

impl Due {
    /// The release, where nothing is due; else what is.
    pub fn release_at_once(self) -> Result<Release, Self> {
        match self.0 {
            Open::Nothing(receipt) => Ok(Release { receipt }),
            Open::Settlement(obligation) => Err(Self(Open::Settlement(obligation))),
        }
    }

    /// Nothing is due.
    pub const fn nothing() -> Self {
        Self(Open::Nothing(None))
    }

    /// Does what is due, now that the upstream has answered with this status and these fields. From a status of 400
    /// on nothing is settled and the payment may be used again.
    ///
    /// May be dropped while it waits: a settlement that has begun goes on.
    pub async fn discharge(self, status: u16, answer: &HeaderMap) -> Result<Release, PaymentRefusal> {
        let mut obligation = match self.0 {
            Open::Nothing(receipt) => return Ok(Release { receipt }),
            Open::Settlement(obligation) => obligation,
        };
        if status >= 400 {
            obligation.release().await;
            return Ok(Release { receipt: None });
        }
        let Some(work) = obligation.work.take() else {
            return Ok(Release { receipt: None });
        };
        let charge = match charge(&work.terms, answer) {
            Ok(charge) => charge,
            Err(error) => {
                tracing::error!(route = work.route, %error, "the upstream names a charge that is none");
                obligation.work = Some(work);
                obligation.release().await;
                return Err(PaymentRefusal::Facilitator { timed_out: false });
            }
        };
        let payments = Arc::clone(&obligation.payments);
        let receipt = payments.settle_apart(work, charge).await?;
        Ok(Release { receipt: Some(Box::new(receipt)) })
    }

    /// The receipt of a payment that was settled before the upstream was asked: it goes with every answer, also with
    /// one of ours because the upstream failed.
    pub fn payment_response(&self) -> Option<HeaderValue> {
        match &self.0 {
            Open::Nothing(receipt) => receipt.as_deref().and_then(response_header),
            Open::Settlement(_) => None,
        }
    }
}

impl fmt::Debug for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Open::Nothing(_) => "Due(nothing)",
            Open::Settlement(_) => "Due(a settlement)",
        })
    }
}

impl Release {
    /// The `PAYMENT-RESPONSE` that the answer carries, if it was paid for.
    pub fn payment_response(&self) -> Option<HeaderValue> {
        self.receipt.as_deref().and_then(response_header)
    }

    /// What the payer bought, if the answer was paid for.
    pub fn into_receipt(self) -> Option<Box<Receipt>> {
        self.receipt
    }
}

// === impl Obligation ===

impl Obligation {
    /// Gives the reservation back, and waits for that.
    async fn release(&mut self) {
        if let Some(work) = self.work.take() {
            self.payments.release(&work).await;
        }
    }
}

impl Drop for Obligation {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            let payments = Arc::clone(&self.payments);
            self.payments.means.outbound.spawn(async move { payments.release(&work).await });
        }
    }
}

impl Payments {
    async fn release(&self, work: &Work) {
        let id = crate::store::PaymentId::new(*work.id.as_bytes());
        match counted(&self.operations, self.means.store.release(&id, &work.owner)).await {
            Ok(Step::Done | Step::Lost) => {}
            // Its lease runs out.
            Err(error) => tracing::warn!(%error, payment = %work.id, "a reservation cannot be given back"),
        }
    }
}

// === impl PaymentRefusal ===

impl PaymentRefusal {
    /// The word for metrics and log.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::AlreadyUsed(_) => Reason::PaymentUsed,
            Self::Demand(demand) => demand.reason(),
            Self::Denied => Reason::AccountDenied,
            Self::Facilitator { .. } | Self::TermsUnavailable => Reason::FacilitatorUnavailable,
            Self::InProgress => Reason::PaymentInProgress,
            Self::OutcomeUnknown { .. } => Reason::SettlementUnknown,
            Self::SettlementRefused { .. } => Reason::PaymentRefused,
            Self::StoreUnavailable => Reason::StoreUnavailable,
            Self::Twice => Reason::Conflict,
        }
    }

    /// Whether it counts against the client's address: terms, echo, verify or settlement refused a payment.
    pub const fn counts_against_address(&self) -> bool {
        match self {
            Self::Demand(demand) => demand.counts_against_address(),
            Self::SettlementRefused { .. } | Self::Denied => true,
            _ => false,
        }
    }
}

/// What the upstream says is to be charged, in atomic units; nothing: all that was offered.
fn charge(terms: &Terms, answer: &HeaderMap) -> Result<Option<u128>, x402::charge::ChargeError> {
    let Some(overrides) = answer.get(x402::SETTLEMENT_OVERRIDES).filter(|_| terms.scheme() == terms::Scheme::Upto)
    else {
        return Ok(None);
    };
    x402::charge::charge(terms, overrides.as_bytes()).map(Some)
}

fn question(payment: &Payment, terms: &Terms) -> Question {
    Question::of(payment.json(), &terms.json())
}

/// An account as a facilitator names it, in the spelling that upstreams read: facilitators write EVM addresses in any
/// letter case.
fn account(network: &str, address: &str) -> Option<AccountId> {
    let key = AccountId::parse(&format!("{network}:{address}")).ok()?.key();
    let spelled = spelled(&key);
    let (_, address) = spelled.split_once(':')?;
    AccountId::parse(&format!("{network}:{address}")).ok()
}

/// A payment that is settled.
fn accepted(receipt: Receipt) -> Accepted {
    let payer = account(receipt.network.as_str(), receipt.payer.address());
    Accepted { payer, due: Due(Open::Nothing(Some(Box::new(receipt)))) }
}

/// The `PAYMENT-RESPONSE` of a receipt: visible ASCII, as every store checks.
pub fn response_header(receipt: &Receipt) -> Option<HeaderValue> {
    HeaderValue::from_str(&receipt.response).ok()
}

/// The store's answer is an error before money moved.
fn unavailable(error: StoreError) -> PaymentRefusal {
    tracing::warn!(%error, "the store does not take a payment");
    PaymentRefusal::StoreUnavailable
}

/// Before settlement was asked for.
fn unreachable_facilitator(error: &FacilitatorError) -> PaymentRefusal {
    tracing::warn!(%error, "a payment cannot be judged");
    PaymentRefusal::Facilitator { timed_out: error.is_timeout() }
}

/// What a client reads about a settlement that was refused.
fn settlement_refused(response: &crate::facilitator::Response) -> PaymentRefusal {
    let outcome = response.as_json();
    let error = outcome["errorReason"].as_str().unwrap_or_default().to_owned();
    match HeaderValue::from_str(&wire::encode_header(&outcome.to_string())) {
        Ok(response) => PaymentRefusal::SettlementRefused { response, error },
        Err(_) => PaymentRefusal::Facilitator { timed_out: false },
    }
}
