//! One endpoint: what it is asked, and what is made of its failures.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};

use super::{
    error::{NodeError, Trouble},
    health::{Health, Turn},
    wire,
};
use crate::{
    caip::ChainId,
    chain::{ContractVerdict, EthCall},
    metrics::RpcMetrics,
    outbound::{Ask, Cause, Client},
};

/// One endpoint of a chain.
pub(super) struct Node {
    chain: ChainId,
    client: Client,
    metrics: Arc<RpcMetrics>,
    health: Mutex<Health>,
    last_id: AtomicU64,
}

/// One question to any endpoint of a chain, and its bounds.
pub(super) struct Question {
    call: EthCall,
    params: String,
    timeout: Duration,
    until: Instant,
    /// The time it was asked as it was told, and as it was.
    told: Instant,
    begun: Instant,
}

// === impl Question ===

impl Question {
    /// A question asked at a moment. Each call has `timeout`, all of them together have `within`.
    pub(super) fn new(call: EthCall, timeout: Duration, within: Duration, now: Instant) -> Self {
        let begun = Instant::now();
        Self { params: wire::call_params(&call), call, timeout, until: begun + within, told: now, begun }
    }

    /// Whether there is no time left for another call.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    /// How long the next call has.
    fn left(&self) -> Duration {
        self.timeout.min(self.until.saturating_duration_since(Instant::now()))
    }

    /// The time by the clock of who asks.
    fn now(&self) -> Instant {
        self.told + self.begun.elapsed()
    }
}

// === impl Node ===

impl Node {
    pub(super) fn new(chain: ChainId, client: Client, metrics: Arc<RpcMetrics>) -> Self {
        Self { chain, client, metrics, health: Mutex::new(Health::new()), last_id: AtomicU64::new(0) }
    }

    /// What the contract says, if this endpoint is asked and gives an answer.
    pub(super) async fn ask(&self, question: &Question) -> Result<ContractVerdict, Trouble> {
        let turn = self.health().admit(question.now());
        match turn {
            Turn::None => return Err(Trouble::ShutOff),
            Turn::ChainFirst => self.check_chain(question).await?,
            Turn::Any => {}
        }
        self.exchange(question, "eth_call", &question.params, |body, id| {
            let answer = wire::call_answer(body, id).map_err(Trouble::Answer)?;
            question.call.read(&answer).map_err(Trouble::Unclear)
        })
        .await
    }

    /// What went wrong, and with which endpoint.
    pub(super) fn error(&self, trouble: Trouble) -> NodeError {
        NodeError { endpoint: self.client.endpoint().clone(), trouble }
    }

    async fn check_chain(&self, question: &Question) -> Result<(), Trouble> {
        let read = |body: &[u8], id| {
            let found = wire::chain_id(body, id).map_err(Trouble::Answer)?;
            if found.to_string() == self.chain.reference() { Ok(()) } else { Err(Trouble::OtherChain(found)) }
        };
        self.exchange(question, "eth_chainId", "[]", read).await?;
        if self.health().is_right() {
            tracing::info!(chain = %self.chain, endpoint = %self.client.endpoint(), "an rpc endpoint is asked again");
        }
        Ok(())
    }

    async fn exchange<T>(
        &self,
        question: &Question,
        method: &str,
        params: &str,
        read: impl FnOnce(&[u8], u64) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let (begun, started, within) = (question.now(), Instant::now(), question.left());
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let ask = Ask {
            method: Method::POST,
            path: String::new(),
            headers,
            body: wire::request(id, method, params),
            within,
            answer_bytes_max: wire::ANSWER_BYTES_MAX,
        };
        let said = match self.client.send(ask).await {
            Ok(answer) if answer.status == StatusCode::OK => read(&answer.body, id),
            Ok(answer) => Err(Trouble::Status(answer.status.as_u16())),
            Err(error) => Err(Trouble::Outbound(error.cause)),
        };
        self.metrics.duration.observe(started.elapsed());
        self.metrics.requests.inc(match &said {
            Ok(_) => "ok",
            Err(Trouble::Outbound(Cause::Timeout)) => "timeout",
            Err(_) => "failed",
        });
        if let Err(trouble) = &said {
            // What had less than half its time, because others had taken it, says nothing of the endpoint.
            let is_own = within >= question.timeout / 2 || !matches!(trouble, Trouble::Outbound(Cause::Timeout));
            if is_own {
                self.note(trouble, begun, question.now());
            }
        }
        said
    }

    fn note(&self, trouble: &Trouble, begun: Instant, now: Instant) {
        let (chain, endpoint) = (&self.chain, self.client.endpoint());
        if let Trouble::OtherChain(found) = trouble {
            self.health().is_elsewhere(now);
            tracing::error!(%chain, %endpoint, found, "an rpc endpoint is on another chain, and is not asked");
            return;
        }
        let is_shut = self.health().has_failed(begun, now);
        if is_shut {
            tracing::warn!(%chain, %endpoint, error = %trouble, "an rpc endpoint failed three times, and is not asked");
        } else {
            tracing::debug!(%chain, %endpoint, error = %trouble, "an rpc endpoint failed");
        }
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
