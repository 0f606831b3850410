//! Signed texts to sessions.

use std::{pin::Pin, sync::Arc, task::Poll, time::Instant};

use super::{Fault, Opened, Sessions, SignedIn, TokenForm, Visitor, stored};
use crate::{
    chain::{self, Question, SignatureError, SignerKey, Verification, Verified},
    credential::Presented,
    gate::{Gate, contracts::Unasked},
    secret::Secret,
    session::{
        ItemError, SessionError,
        id::{ID_RANDOM_BYTES, SessionId, SessionKey, Sid},
        set::{self, Checked, Session},
        sign_in::Attempt,
        token::{AppKitClaims, SessionClaims},
    },
    siwx::origin::Origin,
    store::{self, Change, SessionName},
    time::UnixTime,
    x402::nonce::Purpose,
};

/// What a sign-in makes of the set that its request opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It goes on, and has the new sessions too (POST).
    Add,
    /// It ends, and the new sessions are all there is (PUT).
    Replace,
}

/// A sign-in.
#[derive(Clone, Copy)]
pub struct SignInRequest<'r> {
    /// The texts; at least one.
    pub attempts: &'r [Attempt],
    /// What becomes of what there was.
    pub how: How,
    /// What the request presents to open a session, good or bad.
    pub presented: Option<&'r Presented<'r>>,
    /// What is handed out; nothing: what the configuration says.
    pub form: Option<TokenForm>,
    /// What a token says to AppKit's cloud class.
    pub appkit: Option<&'r AppKitClaims>,
}

/// A new set's name, and what opens it.
pub(super) struct NewName {
    pub(super) key: SessionKey,
    pub(super) sid: Sid,
    pub(super) name: SessionName,
    /// Nothing: a token, which says what is in the set.
    id: Option<SessionId>,
}

impl Sessions {
    /// Signs in: judges every text, and only if all of them are good writes their sessions, in one transaction with the
    /// claims of their nonces. What opens the set is new. Whoever sends a live session's very text and signature again,
    /// and what opens it, is answered as the first time.
    ///
    /// Takes no page on trust: endpoints look at its origin before ([`Self::may_change`]).
    pub async fn sign_in(
        &self,
        gate: &Gate,
        request: SignInRequest<'_>,
        visitor: &Visitor<'_>,
    ) -> Result<SignedIn, Fault> {
        if let Some(wait) = gate.exhausted(visitor.client, visitor.started) {
            return Err(Fault::limited(wait));
        }
        let signed_in = self.try_sign_in(gate, request, visitor).await;
        if let Err(Fault::Refused(ItemError { error, .. })) = &signed_in
            && !matches!(error, SessionError::RpcUnavailable)
        {
            gate.count_refusal(visitor.client, visitor.started);
        }
        signed_in
    }

    async fn try_sign_in(
        &self,
        gate: &Gate,
        request: SignInRequest<'_>,
        visitor: &Visitor<'_>,
    ) -> Result<SignedIn, Fault> {
        let SignInRequest { attempts, how, presented, .. } = request;
        let now = visitor.now;
        set::distinct(attempts)?;
        set::nonces(attempts)?;
        let open = match presented {
            Some(presented) => self.open(gate, presented, now).await?,
            None => None,
        };
        if let (Some(presented), Some(open)) = (presented, &open)
            && self.is_repeated(attempts, how, open, now)
        {
            let_in(gate, attempts)?;
            return Ok(self.as_before(presented, open));
        }
        let untils = self.judge(attempts, visitor)?;
        let verified = self.verify(gate, attempts, visitor).await?;
        // Only who has proved to be an account is told what is said of it.
        let_in(gate, attempts)?;
        // What is presented and opens nothing is left behind: it is no set to add to. Another list may have been put in its
        // place a moment ago, and of several the last one counts.
        let change = match (&open, how) {
            (None, How::Add) => Change::Begin,
            (None, How::Replace) => {
                let key = presented.and_then(|presented| self.key_of(presented, now));
                key.map_or(Change::Begin, Change::Replace)
            }
            (Some(open), How::Add) => Change::Add(open.key),
            (Some(open), How::Replace) => Change::Replace(open.key),
        };
        let written = self.write(gate, &request, &verified, &untils, change, now).await?;
        let (new, opened) = match written {
            Some(written) => written,
            // What it would add to is another's by now, or over: then these begin a set of their own.
            None => {
                self.write(gate, &request, &verified, &untils, Change::Begin, now).await?.ok_or(Fault::Unavailable)?
            }
        };
        self.hand_out(&new, opened, request.appkit, now)
    }

    /// Whether these texts began the sessions that are open, all of them.
    fn is_repeated(&self, attempts: &[Attempt], how: How, open: &Opened, now: UnixTime) -> bool {
        let life = &self.settings.life;
        let whole = how == How::Add || open.set().shown(life, now).count() == attempts.len();
        whole && attempts.iter().all(|attempt| open.set().repeated(attempt, life, now).is_some())
    }

    fn as_before(&self, presented: &Presented<'_>, open: &Arc<Opened>) -> SignedIn {
        let expires_at = open.set().ends_at(&self.settings.life).unwrap_or(UnixTime::from_millis(0));
        let credential = Secret::new(String::from_utf8_lossy(presented.bytes()).into_owned());
        SignedIn { opened: Arc::clone(open), credential, expires_at }
    }

    /// What can be told without asking anybody: claims, the page, and where the nonces are from. For each text: until
    /// when its nonce is to be remembered.
    fn judge(&self, attempts: &[Attempt], visitor: &Visitor<'_>) -> Result<Vec<UnixTime>, ItemError> {
        let page = visitor.origin.map(page_of).transpose()?;
        let (age, skew) = (self.settings.message_age_max.as_secs(), self.profile.clock_skew_secs);
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        let one = |(index, attempt): (usize, &Attempt)| {
            attempt.check(&self.profile, page.as_ref(), visitor.now).map_err(|error| ItemError::at(index, error))?;
            let (issuer, domain) = (&self.means.issuer, &self.settings.domain);
            issuer
                .check(Purpose::Session, domain, attempt.nonce(), visitor.now, age, skew)
                .map_err(|_| ItemError::at(index, SessionError::NonceUnknown))
        };
        attempts.iter().enumerate().map(one).collect()
    }

    /// The signatures: those that a key decides first, then those that contracts are asked about, all at once.
    async fn verify(&self, gate: &Gate, attempts: &[Attempt], visitor: &Visitor<'_>) -> Result<Vec<Verified>, Fault> {
        let mut pending = Vec::with_capacity(attempts.len());
        for (index, attempt) in attempts.iter().enumerate() {
            let begun = Instant::now();
            let verification = chain::verify_known(attempt.proof(), &self.accepts, &SignerKey::default());
            let refused = |error: &SignatureError| {
                gate.count_verification(None, begun, Some(false));
                ItemError::at(index, signature_fault(error))
            };
            pending.push(verification.map_err(|error| refused(&error))?);
        }
        let asked = pending.into_iter().enumerate().map(|(index, verification)| {
            let asked = async move {
                match verification {
                    Verification::Verified(verified) => Ok(*verified),
                    Verification::AskContract(question) => self.ask(gate, *question, visitor).await,
                }
            };
            Box::pin(async move {
                asked.await.map_err(|fault| match fault {
                    Fault::Refused(ItemError { error, .. }) => ItemError::at(index, error).into(),
                    other => other,
                })
            })
        });
        all(asked.collect()).await.into_iter().collect()
    }

    async fn ask(&self, gate: &Gate, question: Question, visitor: &Visitor<'_>) -> Result<Verified, Fault> {
        let (begun, scheme) = (Instant::now(), question.call().scheme());
        let Some(contracts) = gate.asks(&question) else {
            gate.count_verification(Some(scheme), begun, Some(false));
            return Err(signature_fault(&question.unasked()).into());
        };
        match contracts.ask(question.call(), visitor.client).await {
            Ok(said) => {
                let verified = question.conclude(&said.verdict);
                gate.count_verification(Some(scheme), begun, Some(verified.is_ok()));
                verified.map_err(|error| signature_fault(&error).into())
            }
            Err(Unasked::OverBudget(wait)) => Err(Fault::limited(wait)),
            Err(Unasked::Unavailable(_) | Unasked::Ended) => {
                gate.count_verification(Some(scheme), begun, None);
                Err(SessionError::RpcUnavailable.into())
            }
        }
    }

    /// Writes; nothing if there is no set any more that these would be added to.
    async fn write(
        &self,
        gate: &Gate,
        request: &SignInRequest<'_>,
        verified: &[Verified],
        untils: &[UnixTime],
        change: Change,
        now: UnixTime,
    ) -> Result<Option<(NewName, Arc<Opened>)>, Fault> {
        let mut sessions = Vec::with_capacity(request.attempts.len());
        for ((attempt, verified), until) in request.attempts.iter().zip(verified).zip(untils) {
            let scheme = verified.scheme();
            let checked = Checked { scheme: scheme.as_str(), by_contract: scheme.is_contract() };
            let session = Session::begin(attempt, checked, self.new_sid()?, now);
            sessions.push(stored::to_store(&session, attempt, &self.settings.life, *until));
        }
        let new = self.new_name(request.form)?;
        let old = match change {
            Change::Begin => None,
            Change::Add(key) | Change::Replace(key) => Some(key),
        };
        let ends = self.memory.ends();
        let change = store::SignIn::new(new.name.clone(), change, sessions).map_err(|error| {
            // What was read has smaller bounds than what is kept.
            tracing::error!(%error, "a session cannot be kept");
            Fault::Unavailable
        })?;
        match self.asked(self.means.store.sign_in(&change, now)).await? {
            store::SignedIn::Done(set) => {
                let opened = self.begun(gate, new.key, set, old.as_ref(), ends);
                Ok(Some((new, opened)))
            }
            store::SignedIn::Gone => Ok(None),
            store::SignedIn::NonceUsed { index } => Err(ItemError::at(index, SessionError::NonceReused).into()),
            store::SignedIn::TooMany { found } => Err(SessionError::TooManySessions(found).into()),
        }
    }

    /// A name for a set, and what will open it.
    pub(super) fn new_name(&self, form: Option<TokenForm>) -> Result<NewName, Fault> {
        let sid = self.new_sid()?;
        let (key, id) = match form.unwrap_or(self.settings.token) {
            TokenForm::Jwt => (SessionKey::of_sid(&sid), None),
            TokenForm::Opaque => {
                let id = SessionId::new(&self.random::<ID_RANDOM_BYTES>()?);
                (id.key(), Some(id))
            }
        };
        let name = SessionName::new(key, &sid.to_string()).map_err(|error| {
            tracing::error!(%error, "a session's name cannot be kept");
            Fault::Unavailable
        })?;
        Ok(NewName { key, sid, name, id })
    }

    /// What opens a set from now on.
    pub(super) fn hand_out(
        &self,
        new: &NewName,
        opened: Arc<Opened>,
        appkit: Option<&AppKitClaims>,
        now: UnixTime,
    ) -> Result<SignedIn, Fault> {
        let life = &self.settings.life;
        let expires_at = opened.set().ends_at(life).unwrap_or(now);
        let credential = match &new.id {
            Some(id) => Secret::new(id.expose().to_owned()),
            None => Secret::new(self.token(new.sid, &opened, appkit, expires_at, now)?),
        };
        Ok(SignedIn { opened, credential, expires_at })
    }

    fn token(
        &self,
        sid: Sid,
        opened: &Opened,
        appkit: Option<&AppKitClaims>,
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<String, Fault> {
        // One that is not shown yet, for its Not Before, is one of the set all the same.
        let newest = opened.set().sessions().last().ok_or(SessionError::Unauthenticated)?;
        let claims = SessionClaims {
            sid,
            account: newest.account.clone(),
            accounts: opened.set().sessions().iter().map(|session| session.account.clone()).collect(),
            scheme: newest.scheme.clone(),
            issued_at: UnixTime::from_secs(now.secs()),
            expires_at: UnixTime::from_secs(expires_at.secs()),
            token_id: self.new_sid()?,
            appkit: appkit.cloned(),
        };
        claims.seal(&self.keys(), self.parties()).map_err(|error| {
            tracing::warn!(%error, "a session token cannot be made");
            SessionError::TooManySessions(claims.accounts.len()).into()
        })
    }
}

/// Whether each account may have a session: one that no route lets in has no use for it.
fn let_in(gate: &Gate, attempts: &[Attempt]) -> Result<(), ItemError> {
    let denied = attempts.iter().position(|attempt| gate.is_denied(attempt.account()));
    denied.map_or(Ok(()), |index| Err(ItemError::at(index, SessionError::AccountDenied)))
}

/// The page that asks, by its `Origin`.
fn page_of(origin: &[u8]) -> Result<Origin, SessionError> {
    let text = std::str::from_utf8(origin).ok();
    text.and_then(|text| Origin::parse(text).ok()).ok_or(SessionError::OriginNotAllowed)
}

/// What the session API calls a refused signature.
pub(super) fn signature_fault(error: &SignatureError) -> SessionError {
    match error {
        SignatureError::RpcNotConfigured => SessionError::RpcNotConfigured,
        SignatureError::Erc8010Unsupported
        | SignatureError::FormNotAccepted
        | SignatureError::Inconclusive
        | SignatureError::UnknownNamespace => SessionError::SchemeUnsupported,
        other => SessionError::InvalidSignature { reason: other.as_str() },
    }
}

/// Waits for all of these at once; their outcomes in their order.
async fn all<F: Future + Unpin>(waiting: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<(Option<F>, Option<F::Output>)> = waiting.into_iter().map(|one| (Some(one), None)).collect();
    std::future::poll_fn(move |context| {
        for (future, outcome) in &mut waiting {
            if let Some(one) = future
                && let Poll::Ready(done) = Pin::new(one).poll(context)
            {
                (*future, *outcome) = (None, Some(done));
            }
        }
        if waiting.iter().any(|(future, _)| future.is_some()) {
            return Poll::Pending;
        }
        Poll::Ready(waiting.iter_mut().filter_map(|(_, outcome)| outcome.take()).collect())
    })
    .await
}
