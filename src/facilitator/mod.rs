//! Facilitators: who verifies payments, and moves the money (x402.md section 4).
//!
//! 1. A refusal is an answer ([`Verification::Invalid`], [`Settlement::Refused`]); anything that is no answer is a
//!    [`FacilitatorError`], and says for settle whether the money may have moved.
//! 2. What a facilitator names must agree with what it was asked ([`Agreement`]).
//! 3. Nothing is asked twice, but for a settlement that is pending with a transaction: once more, with the same bytes.
//!    After that it stays pending, even if the second answer is a refusal: "nonce already used" and "insufficient
//!    funds" are what one hears once the first transaction has moved the money.
//! 4. What is supported is asked in the background, and the last good answer counts until there is another one.
//! 5. Bodies, header values and payloads are never logged. `EXTENSION-RESPONSES` is not read.

mod agreement;
mod answer;
mod error;
mod header;
mod supported;

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::Value;
use tokio::task::JoinSet;

pub use agreement::{Agreement, Disagreement};
pub use answer::{AnswerError, Refusal, Response, Settlement, Verification};
pub use error::{FacilitatorError, Operation, SetupFault, Trouble};
pub use header::{Header, HeaderError, HeaderSource, Piece};
pub use supported::Supported;

use crate::{
    metrics::{FacilitatorMetrics, Metrics},
    outbound::{self, Answer, Ask, Client, Endpoint, Outbound},
    time::Clock,
    x402,
};

/// What the configuration says about one facilitator.
#[derive(Debug)]
pub struct Settings {
    /// Its name; a metric label.
    pub name: String,
    /// Its base URL.
    pub url: Endpoint,
    /// Headers of every request to it.
    pub headers: Vec<Header>,
    /// The longest time one verify may take; `/supported` as well.
    pub verify_timeout: Duration,
    /// The longest time one settle may take.
    pub settle_timeout: Duration,
    /// File of authorities that are believed beside those of the system.
    pub ca: Option<PathBuf>,
}

/// All facilitators, in the order of the configuration.
#[derive(Debug, Clone)]
pub struct Facilitators(Arc<[Arc<Facilitator>]>);

/// One facilitator.
pub struct Facilitator {
    settings: Settings,
    client: Client,
    metrics: FacilitatorMetrics,
    supported: ArcSwapOption<Supported>,
}

/// What a facilitator is asked about one payment: the bytes, and what its answers must agree with.
#[derive(Debug, Clone)]
pub struct Question {
    body: Bytes,
    agreement: Agreement,
}

/// Bytes of an answer to verify or settle: extensions add some kilobytes to what is some hundred.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Bytes of what is supported: some hundred for each network.
const SUPPORTED_BYTES_MAX: usize = 1024 * 1024;

/// How often `/supported` is asked for in one refresh, as long as the answer is 429.
const SUPPORTED_TRIES: u32 = 3;

/// The wait before another try where 429 does not say how long.
const SUPPORTED_WAIT: Duration = Duration::from_secs(1);

// === impl Question ===

impl Question {
    /// A payment, as received, and the gateway's own requirement, with the amount to be charged.
    pub fn new(payment_payload: &Value, requirement: &Value) -> Self {
        let body =
            format!(r#"{{"x402Version":2,"paymentPayload":{payment_payload},"paymentRequirements":{requirement}}}"#);
        Self { body: body.into(), agreement: Agreement::of(payment_payload, requirement) }
    }

    /// The same of texts that were kept: what is asked for again is asked for with the same bytes. Texts that are no
    /// JSON are asked about all the same, and refused.
    pub fn of(payment_payload: &str, requirement: &str) -> Self {
        let read = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        let agreement = Agreement::of(&read(payment_payload), &read(requirement));
        Self { body: x402::payment::facilitator_request(payment_payload, requirement).into(), agreement }
    }

    /// The bytes that are sent.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

// === impl Facilitators ===

impl Facilitators {
    /// Makes clients of all of them and reads the files that headers need. Asks nothing.
    pub fn new(settings: Vec<Settings>, outbound: &Outbound, metrics: &Metrics) -> Result<Self, SetupFault> {
        let made = settings.into_iter().map(|settings| Facilitator::new(settings, outbound, metrics).map(Arc::new));
        Ok(Self(made.collect::<Result<_, _>>()?))
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Facilitator>] {
        &self.0
    }

    /// One by its name, such as a payment was recorded with.
    pub fn find(&self, name: &str) -> Option<&Arc<Facilitator>> {
        self.0.iter().find(|facilitator| facilitator.name() == name)
    }

    /// Whether these are the very same, with what they said.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Who is asked about payments in a scheme on a network: the first that lists it; else the first that never said
    /// what it supports, because a gateway that could not ask yet still takes payments; else nobody.
    pub fn choose(&self, scheme: &str, network: &str) -> Option<&Arc<Facilitator>> {
        let mut unknown = None;
        for facilitator in self.0.iter() {
            // Looked at once: it may say what it supports at this very moment.
            match facilitator.supported() {
                Some(supported) if supported.lists(scheme, network) => return Some(facilitator),
                Some(_) => {}
                None => unknown = unknown.or(Some(facilitator)),
            }
        }
        unknown
    }

    /// `extra.feePayer` of the facilitator that is chosen; without it terms on Solana cannot be offered.
    pub fn fee_payer(&self, scheme: &str, network: &str) -> Option<String> {
        self.choose(scheme, network)?.supported()?.fee_payer(scheme, network).map(str::to_owned)
    }

    /// `extra.facilitatorAddress` of the facilitator that is chosen; without it `upto` cannot be offered.
    pub fn facilitator_address(&self, scheme: &str, network: &str) -> Option<String> {
        self.choose(scheme, network)?.supported()?.facilitator_address(scheme, network).map(str::to_owned)
    }

    /// Whether all of them have said what they support.
    pub fn is_known(&self) -> bool {
        self.0.iter().all(|facilitator| facilitator.is_known())
    }

    /// Asks all of them, at once, what they support. What goes wrong is logged; the last good answers stay. Takes
    /// up to three time-outs and a minute: call it in a task of its own.
    pub async fn refresh(&self, clock: &Arc<dyn Clock>) {
        let mut asked = JoinSet::new();
        for facilitator in self.all() {
            let (facilitator, clock) = (Arc::clone(facilitator), Arc::clone(clock));
            asked.spawn(async move {
                if let Err(error) = facilitator.refresh(&*clock).await {
                    tracing::warn!(%error, known = facilitator.is_known(), "what is supported could not be refreshed");
                }
            });
        }
        while asked.join_next().await.is_some() {}
    }
}

// === impl Facilitator ===

impl Facilitator {
    fn new(settings: Settings, outbound: &Outbound, metrics: &Metrics) -> Result<Self, SetupFault> {
        let facilitator = || settings.name.clone();
        for header in &settings.headers {
            let fault =
                |cause| SetupFault::Header { facilitator: facilitator(), header: header.name().to_string(), cause };
            header.value().map_err(fault)?;
        }
        let client = outbound.client(outbound::Settings { endpoint: settings.url.clone(), ca: settings.ca.clone() });
        let client = client.map_err(|cause| SetupFault::Outbound { facilitator: facilitator(), cause })?;
        let metrics = metrics.facilitator(&settings.name);
        Ok(Self { client, metrics, supported: ArcSwapOption::empty(), settings })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What it supports, if it ever said.
    pub fn supported(&self) -> Option<Arc<Supported>> {
        self.supported.load_full()
    }

    /// Whether it ever said what it supports.
    pub fn is_known(&self) -> bool {
        self.supported.load().is_some()
    }

    /// Asks whether a payment would settle now. An error has moved nothing.
    pub async fn verify(&self, question: &Question) -> Result<Verification, FacilitatorError> {
        let started = Instant::now();
        let read = |body: &[u8]| answer::verification(body, &question.agreement);
        let verified = self.ask(Operation::Verify, question, self.settings.verify_timeout, read).await;
        self.metrics.verify_duration.observe(started.elapsed());
        self.metrics.verify.inc(match &verified {
            Ok(Verification::Valid { .. }) => "ok",
            Ok(Verification::Invalid(_)) => "refused",
            Err(error) => error.result(),
        });
        verified
    }

    /// Settles a payment. `verified` is the payer that verify named, if it was asked and named one. Asks once more,
    /// with the same bytes, if the answer is pending and names a transaction; so it may take twice its time-out.
    ///
    /// Dropping the future ends the exchange and leaves its outcome unknown: call it in a task of its own.
    pub async fn settle(&self, question: &Question, verified: Option<&str>) -> Result<Settlement, FacilitatorError> {
        match self.settle_once(question, verified).await? {
            Settlement::Pending(response) if !response.transaction().is_empty() => {}
            concluded => return Ok(concluded),
        }
        match self.settle_once(question, verified).await {
            Ok(Settlement::Refused(_, response)) => Ok(Settlement::Pending(response)),
            // The first request was received, whatever became of the second.
            Err(error) => Err(FacilitatorError { outcome_unknown: true, ..error }),
            concluded => concluded,
        }
    }

    async fn settle_once(&self, question: &Question, verified: Option<&str>) -> Result<Settlement, FacilitatorError> {
        let started = Instant::now();
        let read = |body: &[u8]| answer::settlement(body, &question.agreement, verified);
        let settled = self.ask(Operation::Settle, question, self.settings.settle_timeout, read).await;
        self.metrics.settle_duration.observe(started.elapsed());
        self.metrics.settle.inc(match &settled {
            Ok(Settlement::Pending(_)) => "pending",
            Ok(Settlement::Refused(..)) => "refused",
            Ok(Settlement::Settled { .. }) => "ok",
            Err(error) => error.result(),
        });
        settled
    }

    /// Asks what it supports and keeps the answer. On 429 it waits as it is told and tries again, three times in all.
    pub async fn refresh(&self, clock: &dyn Clock) -> Result<(), FacilitatorError> {
        let mut tries = 1;
        loop {
            match self.refresh_once(clock).await {
                Err((_, Some(wait))) if tries < SUPPORTED_TRIES => tokio::time::sleep(wait).await,
                done => return done.map_err(|(error, _)| error),
            }
            tries += 1;
        }
    }

    /// The same, once; with an error comes how long to wait if another try was invited.
    async fn refresh_once(&self, clock: &dyn Clock) -> Result<(), (FacilitatorError, Option<Duration>)> {
        let started = Instant::now();
        let asked = self.send(Method::GET, "/supported", Bytes::new(), self.settings.verify_timeout).await;
        self.metrics.supported_duration.observe(started.elapsed());
        let mut wait = None;
        let read = asked.and_then(|answer| {
            if answer.status == StatusCode::TOO_MANY_REQUESTS {
                let told = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                wait = Some(told.and_then(|told| supported::retry_after(told, clock.now())).unwrap_or(SUPPORTED_WAIT));
            }
            if answer.status != StatusCode::OK {
                return Err(Trouble::Status(answer.status.as_u16()));
            }
            Supported::read(&answer.body).ok_or(Trouble::Answer { status: 200, why: AnswerError::Kinds })
        });
        let supported = read.map_err(|trouble| {
            let error = self.failed(Operation::Supported, trouble);
            self.metrics.supported.inc(error.result());
            (error, wait)
        })?;
        self.metrics.supported.inc("ok");
        self.supported.store(Some(Arc::new(supported)));
        Ok(())
    }

    async fn ask<T>(
        &self,
        operation: Operation,
        question: &Question,
        within: Duration,
        read: impl FnOnce(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<T, FacilitatorError> {
        let path = if operation == Operation::Settle { "/settle" } else { "/verify" };
        let asked = self.send(Method::POST, path, question.body.clone(), within).await;
        let read = asked.and_then(|answer| {
            let status = answer.status;
            read(&answer.body).map_err(|why| match why {
                // The body of a status such as 503 is no answer, and nobody meant it to be one.
                AnswerError::Json | AnswerError::Object(_) | AnswerError::Member { found: "nothing", .. }
                    if !status.is_success() =>
                {
                    Trouble::Status(status.as_u16())
                }
                why => Trouble::Answer { status: status.as_u16(), why },
            })
        });
        read.map_err(|trouble| self.failed(operation, trouble))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes, within: Duration) -> Result<Answer, Trouble> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for header in &self.settings.headers {
            headers.insert(header.name(), header.value().map_err(Trouble::Header)?);
        }
        let answer_bytes_max = if method == Method::POST { ANSWER_BYTES_MAX } else { SUPPORTED_BYTES_MAX };
        let ask = Ask { method, path: path.to_owned(), headers, body, within, answer_bytes_max };
        self.client.send(ask).await.map_err(Trouble::Outbound)
    }

    fn failed(&self, operation: Operation, trouble: Trouble) -> FacilitatorError {
        let outcome_unknown = operation == Operation::Settle && !trouble.had_no_effect();
        FacilitatorError { facilitator: self.settings.name.clone(), operation, trouble, outcome_unknown }
    }
}

impl fmt::Debug for Facilitator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Facilitator({} at {})", self.settings.name, self.settings.url)
    }
}
