//! Browser sessions: begun by signed texts, opened by a cookie or a token, ended by whoever holds it (sessions.md section
//! 2). The endpoints speak to this room, and so does [`Gate::decide`](super::Gate::decide), for routes that take sessions.
//!
//! 1. A sign-in is judged whole before anything is written: every text by its claims, its nonce and its signature, the
//!    cheapest refusal first. Nonces, the end of the old set and the beginning of the new one are one transaction of the
//!    store. An attempt that fails burns nothing, and counts against its address.
//! 2. What opens a set is new after every change of it, so that nobody can plant one. A store knows its hash alone.
//! 3. An open set is remembered under that hash for a short while. What ends one here ends what is remembered of it first
//!    and at once; what another process writes makes everything remembered too old.
//! 4. Who a session is, is said by [`Identity::open`](crate::policy::identity::Identity::open), by the clock of each
//!    request. A signature that a contract took is asked about again, past what is remembered of contracts.
//!
//! | file | what |
//! |---|---|
//! | `opened` | sets that are open, and what is remembered of them |
//! | `sign_in` | texts to sessions |
//! | `renew` | a longer life under a new name; the end |
//! | `confirm` | contracts that are asked again |
//! | `plans` | what their accounts hold, for their owner to see |
//! | `stored` | sessions as a store has them, and back |

mod confirm;
mod opened;
mod plans;
mod renew;
mod sign_in;
mod stored;

use std::{
    io,
    net::IpAddr,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use http::HeaderMap;

use super::{
    limits,
    settings::{SessionSettings, TokenForm},
};
use crate::{
    chain::{Accepts, DIALECTS, Scheme},
    credential::{self, Bearer, Carriers, Cookie, CredentialError, Presented},
    metrics::{Metrics, OperationMetrics},
    policy::cross_site::{self, Page},
    secret::Secret,
    session::{
        ItemError, SessionError,
        id::Sid,
        keys::{KeyRing, SigningKeys},
        sign_in::{Reader, profile},
        token::{NonceClaims, Parties},
    },
    siwx::{Code, claims::Expectation, message::Reading, origin::Origin},
    store::{SessionStore, StoreError, counted},
    time::UnixTime,
    x402::nonce::{NonceIssuer, Purpose, RANDOM_BYTES},
};

pub use self::{
    opened::Opened,
    plans::HeldPlan,
    renew::Shown,
    sign_in::{How, SignInRequest},
};
pub(super) use confirm::Doubt;
use opened::Memory;

/// The sessions of a gateway.
pub struct Sessions {
    settings: SessionSettings,
    means: Means,
    /// What a sign-in's text must say.
    profile: Expectation,
    reading: Reading,
    accepts: Accepts,
    /// Cookie and bearer.
    carriers: Carriers,
    memory: Arc<Memory>,
    operations: OperationMetrics,
}

/// What sessions need of the outside.
pub struct Means {
    /// Where they are kept.
    pub store: Arc<dyn SessionStore>,
    /// Counts the changes that other processes made.
    pub foreign_writes: Arc<AtomicU64>,
    /// Makes and knows nonces.
    pub issuer: NonceIssuer,
    /// Sign tokens.
    pub keys: Arc<KeyRing>,
    /// Fills bytes with what nobody can foresee.
    pub random: fn(&mut [u8]) -> io::Result<()>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'r> {
    /// The address of the client.
    pub client: IpAddr,
    /// `Origin`, as received.
    pub origin: Option<&'r [u8]>,
    /// When the head of the request was complete, on the clock that never steps.
    pub started: Instant,
    /// The same on the wall clock.
    pub now: UnixTime,
}

/// A nonce for one sign-in.
#[derive(Debug, Clone)]
pub struct Issued {
    /// What goes into the message.
    pub nonce: String,
    /// The same as a token (sessions.md section 3).
    pub token: String,
    /// From when on it is too old.
    pub expires_at: UnixTime,
}

/// A set that was begun or changed, and what opens it from now on.
#[derive(Debug)]
pub struct SignedIn {
    /// The set.
    pub opened: Arc<Opened>,
    /// For cookie and answer: an opaque id or a JWT.
    pub credential: Secret<String>,
    /// When the last of its sessions is over.
    pub expires_at: UnixTime,
}

/// Why nothing came of it.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is refused; which of several is at fault is said where one is.
    Refused(ItemError),
    /// Too many requests of this kind.
    Limited {
        /// When the next one is looked at.
        retry_after_secs: u64,
    },
    /// The store does not answer, or there is no randomness.
    Unavailable,
}

// === impl Sessions ===

impl Sessions {
    /// Sessions over a store, with nothing remembered. `tokens` is what messages of tokens must say, `accepts` which
    /// signatures they may have.
    pub fn new(
        settings: SessionSettings,
        means: Means,
        tokens: &Expectation,
        reading: Reading,
        accepts: Accepts,
    ) -> Arc<Self> {
        let memory = Memory::new(settings.cache, Arc::clone(&means.foreign_writes), &means.metrics);
        Self::remembering(Arc::new(memory), settings, means, tokens, reading, accepts)
    }

    /// The same, after others: what they remember is remembered still, if it holds. What ends with them ends here too.
    pub fn after(
        before: &Self,
        holds: bool,
        settings: SessionSettings,
        means: Means,
        tokens: &Expectation,
        reading: Reading,
        accepts: Accepts,
    ) -> Arc<Self> {
        if holds && before.settings.cache == settings.cache {
            let memory = Arc::clone(&before.memory);
            return Self::remembering(memory, settings, means, tokens, reading, accepts);
        }
        let next = Self::new(settings, means, tokens, reading, accepts);
        before.memory.is_followed_by(&next.memory);
        next
    }

    fn remembering(
        memory: Arc<Memory>,
        settings: SessionSettings,
        means: Means,
        tokens: &Expectation,
        reading: Reading,
        accepts: Accepts,
    ) -> Arc<Self> {
        let codes: Vec<_> =
            SessionError::CODES.iter().copied().chain(Code::ALL.iter().map(|code| code.as_str())).collect();
        let schemes: Vec<_> = Scheme::ALL.iter().map(|scheme| scheme.as_str()).collect();
        means.metrics.sign_ins(&schemes, &codes);
        let carriers =
            Carriers { bearer: Some(Bearer), cookie: Some(Cookie::new(&settings.cookie.name)), ..Carriers::default() };
        Arc::new(Self {
            profile: profile(tokens, &settings.labels, settings.message_age_max),
            reading,
            // Wallets of browsers sign short forms too (decision 5).
            accepts: Accepts { compact: true, ..accepts },
            carriers,
            memory,
            operations: means.metrics.operation("session"),
            settings,
            means,
        })
    }

    /// What the configuration says.
    pub const fn settings(&self) -> &SessionSettings {
        &self.settings
    }

    /// The keys of its tokens.
    pub fn keys(&self) -> Arc<SigningKeys> {
        self.means.keys.keys()
    }

    /// Who issues its tokens, and for whom.
    pub fn parties(&self) -> Parties<'_> {
        Parties { issuer: &self.settings.issuer, audience: &self.settings.domain }
    }

    /// Where sessions are kept: for what has nothing to do with opening one, such as the metadata of accounts. What ends
    /// a session goes through this room, or it would still be remembered.
    pub fn store(&self) -> &dyn SessionStore {
        &*self.means.store
    }

    /// Reads bodies of sign-ins.
    pub const fn reader(&self) -> Reader<'_> {
        Reader { dialects: DIALECTS, reading: &self.reading }
    }

    /// What messages must say.
    pub const fn profile(&self) -> &Expectation {
        &self.profile
    }

    /// The origins whose pages may use the session API: the gateway's own, and those that are listed.
    pub fn origins(&self) -> &[Origin] {
        &self.profile.origins
    }

    /// Whether this page may change something on the strength of a cookie.
    pub fn may_change(&self, page: &Page<'_>) -> bool {
        cross_site::may_change(page, self.origins())
    }

    /// What a request presents to open a session: a bearer, or else a cookie. Two of one kind are a conflict.
    pub fn present<'h>(&self, headers: &'h HeaderMap) -> Result<Option<Presented<'h>>, CredentialError> {
        credential::present(headers, &self.carriers)
    }

    /// The cookie that it looks for.
    pub const fn cookie(&self) -> Option<&Cookie> {
        self.carriers.cookie.as_ref()
    }

    /// The keys of its tokens, as they change.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.means.keys)
    }

    /// A nonce for one sign-in. Nothing is stored, and it is nobody's.
    pub fn nonce(&self, now: UnixTime) -> Result<Issued, Fault> {
        let random = self.random::<RANDOM_BYTES>()?;
        let nonce = self.means.issuer.issue(Purpose::Session, &self.settings.domain, now, random);
        // The nonce counts whole seconds, and is good in the whole of the last one.
        let issued_at = UnixTime::from_secs(now.secs());
        let expires_at = issued_at.plus(self.settings.message_age_max);
        let claims = NonceClaims { nonce: nonce.as_str().into(), issued_at, expires_at };
        let token = claims.seal(&self.keys(), self.parties()).map_err(|error| {
            tracing::error!(%error, "a nonce token cannot be made");
            Fault::Unavailable
        })?;
        Ok(Issued { nonce, token, expires_at })
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        (self.means.random)(&mut bytes).map_err(|error| {
            tracing::error!(%error, "the system gives no random bytes");
            Fault::Unavailable
        })?;
        Ok(bytes)
    }

    /// A new public name.
    fn new_sid(&self) -> Result<Sid, Fault> {
        Ok(Sid::new(self.random()?))
    }

    /// Waits for the store, and counts.
    async fn asked<T>(&self, asking: impl Future<Output = Result<T, StoreError>>) -> Result<T, Fault> {
        let answer = counted(&self.operations, asking).await;
        answer.map_err(|error| {
            tracing::warn!(%error, "the store does not answer about a session");
            Fault::Unavailable
        })
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("settings", &self.settings).finish_non_exhaustive()
    }
}

// === impl Fault ===

impl Fault {
    /// Over a bound that has more after `wait`.
    fn limited(wait: Duration) -> Self {
        Self::Limited { retry_after_secs: limits::whole_secs(wait) }
    }
}

impl From<SessionError> for Fault {
    fn from(error: SessionError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<ItemError> for Fault {
    fn from(error: ItemError) -> Self {
        Self::Refused(error)
    }
}
