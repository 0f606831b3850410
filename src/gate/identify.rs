//! Who a request is: what it presents, remembered or verified, and whether the message allows this request now. Steps 2
//! to 5 of the gate.

use std::{sync::Arc, time::Instant};

use http::{
    HeaderName, HeaderValue,
    header::{ORIGIN, UPGRADE},
};

use super::{
    Gate, Looked,
    cache::Entry,
    contracts::{Contracts, Said, Unasked},
    limits,
    payment::Payments,
    sessions::{Doubt, Visitor},
    settings::Settings,
    view::RequestView,
};
use crate::{
    caip::AccountId,
    chain::{self, Question, Scheme, SignatureError, SignerKey, Verification, Verified},
    credential::{
        self, Authorization, Bearer, CREDENTIAL_BYTES_MAX, CarrierName, Carriers, Cookie, CredentialError, Digest,
        Presented, Proven, SignIn, SignInError, SignInExpectation, SignInWithX,
    },
    policy::{
        cross_site::{self, Page},
        decision::{RateScope, Refusal, TokenFault},
        identity::{Identity, Known},
        rule::Rule,
    },
    session::SessionError,
    siwx::{
        claims::{self, ClaimError, Expectation},
        origin::Origin,
    },
    time::UnixTime,
    x402::nonce::Purpose,
};

/// Names the account of its session that a request acts as (sessions.md section 2.1).
const ACCOUNT_SELECTOR: HeaderName = HeaderName::from_static("x-siwx-account");

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why it is not known yet who a request is.
pub(super) enum Halt<'r> {
    /// It ends here.
    Refused(Refusal),
    /// A contract is to be asked.
    Ask(Box<Pending>),
    /// A session is not remembered, or something is to be asked about it.
    Open(Presented<'r>),
}

/// A credential about which a contract decides, and nothing else is left to be said against.
pub(super) struct Pending {
    /// To be asked in this order, until one is answered yes. There is at least one.
    questions: Vec<Question>,
    /// When the verification began.
    begun: Instant,
    then: Then,
}

/// What a credential is good for once it is verified.
enum Then {
    /// A token. How often everything had been forgotten before the contract was asked.
    Token { digest: Option<Digest>, until: UnixTime, flushes: u64 },
    /// A proof that is good once, by its nonce, which is to be remembered until then; for one of our origins, by its
    /// place.
    SignIn { origin: usize, issued: (String, UnixTime) },
}

impl Gate {
    /// Steps 2 to 5: what was presented, who that is, and whether the message allows this request now.
    pub(super) fn look_up<'r>(
        &self,
        rule: Option<&Rule>,
        view: &RequestView<'r>,
        now: UnixTime,
    ) -> Result<Looked, Halt<'r>> {
        let carriers = self.carriers_of(rule);
        let presented = credential::present(view.headers, carriers).map_err(|_| Refusal::ConflictingCredentials)?;
        let presented = presented.ok_or(Refusal::CredentialRequired)?;
        match presented.carrier() {
            CarrierName::Authorization => {
                let (entry, warm) = self.find_or_verify(&presented, view, now)?;
                Ok(self.allowed(entry, warm, view, now)?)
            }
            CarrierName::Bearer | CarrierName::Cookie => self.session(presented, view, now),
            CarrierName::SignInWithX => self.sign_in(&presented, view, now),
        }
    }

    /// What a route takes; where there is none: what is good anywhere, so that only who is known is told so.
    fn carriers_of(&self, rule: Option<&Rule>) -> &Carriers {
        let sessions = self.settings.sessions.is_some();
        let (tokens, sign_in, sessions) =
            rule.map_or((true, false, sessions), |rule| (rule.tokens, rule.sign_in, rule.sessions));
        &self.carriers[place(tokens, sign_in, sessions)]
    }

    /// Steps 3 and 5 for a session that is remembered.
    fn session<'r>(&self, presented: Presented<'r>, view: &RequestView<'r>, now: UnixTime) -> Result<Looked, Halt<'r>> {
        let sessions = self.sessions.get().ok_or(Refusal::CredentialRequired)?;
        if presented.carrier() == CarrierName::Cookie && sessions.settings().csrf && changes_something(view) {
            let field = |name| view.headers.get(name).map(HeaderValue::as_bytes);
            // Two of them are as good as none that is known.
            let page = Page { origin: field(ORIGIN), fetch_site: field(SEC_FETCH_SITE) };
            if view.headers.get_all(ORIGIN).iter().nth(1).is_some() || !sessions.may_change(&page) {
                return Err(Refusal::CrossSite.into());
            }
        }
        let Some(opened) = sessions.remembered(&presented, now) else {
            return Err(Halt::Open(presented));
        };
        let acting =
            opened.acting(named(view)?, &sessions.settings().life, now).map_err(|error| session_fault(&error))?;
        if !sessions.is_sure(&opened, acting.session, now) || sessions.is_seen_due(&opened, now) {
            return Err(Halt::Open(presented));
        }
        Ok(Looked { entry: Arc::clone(acting.entry), identity: acting.identity, warm: true, issued: None })
    }

    /// Steps 4 and 5 for a session about which somebody has to be asked: the store, or a contract. Large and cold:
    /// whoever awaits it boxes it.
    pub(super) async fn open_session(
        &self,
        presented: Presented<'_>,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<Looked, Refusal> {
        self.check_failures(view)?;
        let sessions = self.sessions.get().ok_or(Refusal::CredentialRequired)?;
        let opened = sessions.open(self, &presented, now).await.map_err(|_| Refusal::StoreUnavailable)?;
        let opened = opened.ok_or(Refusal::InvalidSession)?;
        let (named, life) = (named(view)?, &sessions.settings().life);
        let visitor = Visitor { client: view.client, origin: None, started: view.started, now };
        let confirmed = {
            let acting = opened.acting(named, life, now).map_err(|error| session_fault(&error))?;
            sessions.confirm(self, &opened, acting.session, &visitor).await
        };
        let opened = confirmed.map_err(|doubt| match doubt {
            Doubt::Refused => Refusal::InvalidSession,
            Doubt::Unavailable => Refusal::VerifierUnavailable,
            Doubt::Limited(wait) => {
                Refusal::RateLimited { scope: RateScope::Contracts, retry_after_secs: limits::whole_secs(wait) }
            }
        })?;
        let opened = sessions.note_seen(&opened, now).await;
        let acting = opened.acting(named, life, now).map_err(|error| session_fault(&error))?;
        Ok(Looked { entry: Arc::clone(acting.entry), identity: acting.identity, warm: false, issued: None })
    }

    /// Step 5 for a token.
    fn allowed(&self, entry: Arc<Entry>, warm: bool, view: &RequestView<'_>, now: UnixTime) -> Result<Looked, Refusal> {
        let identity = Identity::establish(&entry.known, &self.settings.expectation, view.path.as_str(), now)
            .map_err(|error| claim_fault(&error))?;
        Ok(Looked { entry, identity, warm, issued: None })
    }

    /// Steps 3 to 5 for a proof that is good once: it is neither looked up nor remembered (x402.md section 9).
    fn sign_in(
        &self,
        presented: &Presented<'_>,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<Looked, Halt<'static>> {
        self.check_failures(view)?;
        let payments = self.payments.get().ok_or(Refusal::CredentialRequired)?;
        let served = payments.origin(view.host);
        let is_served = |expected: &SignInExpectation| expected.claims().origins.iter().any(|one| Some(one) == served);
        let origin = self.sign_ins.iter().position(is_served).ok_or(Refusal::CredentialRequired)?;
        let expectation = &self.sign_ins[origin];
        let sign_in = SignIn::read(presented.bytes()).map_err(|error| proof_fault(&error))?;
        sign_in.check(expectation, now).map_err(|error| proof_fault(&error))?;
        let begun = Instant::now();
        let verified = match sign_in.verify(&self.settings.accepts) {
            Ok(Proven::AskContract(questions)) if questions.iter().any(|question| self.asks(question).is_some()) => {
                // What the nonce says is known without asking anybody.
                let issued = self.issued(payments, &sign_in, expectation, view, now)?;
                return Err(Halt::Ask(Box::new(Pending { questions, begun, then: Then::SignIn { origin, issued } })));
            }
            proven => proven.and_then(Proven::by_key),
        };
        if let Ok(_) | Err(SignInError::Signature(_)) = &verified {
            let scheme = verified.as_ref().map_or_else(|_| plain_scheme(sign_in.namespace()), |it| Some(it.scheme()));
            self.count_verification(scheme, begun, Some(verified.is_ok()));
        }
        let verified = verified.map_err(|error| proof_fault(&error))?;
        let issued = self.issued(payments, &sign_in, expectation, view, now)?;
        Ok(self.signed_in(verified, origin, issued, view, now)?)
    }

    /// The nonce that a proof uses up, and until when that is to be remembered.
    fn issued(
        &self,
        payments: &Payments,
        sign_in: &SignIn,
        expectation: &SignInExpectation,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<(String, UnixTime), Refusal> {
        let settings = payments.settings();
        let skew = self.settings.expectation.clock_skew_secs;
        let until = if settings.require_issued_nonce {
            let domain = payments.origin(view.host).map_or("", |origin| origin.authority());
            let age = settings.proof_age_secs_max;
            let checked = payments.issuer().check(Purpose::X402, domain, sign_in.nonce(), now, age, skew);
            checked.map_err(|_| proof_fault(&SignInError::Nonce))?
        } else {
            let end = sign_in.until(expectation).unwrap_or(now);
            end.plus_millis(i64::from(skew) * 1000)
        };
        Ok((sign_in.nonce().to_owned(), until))
    }

    /// Who signed in.
    fn signed_in(
        &self,
        verified: Verified,
        origin: usize,
        issued: (String, UnixTime),
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<Looked, Refusal> {
        let expectation = self.sign_ins.get(origin).ok_or(Refusal::CredentialRequired)?;
        let known = Arc::new(Known::new(verified));
        let account = self.accounts.account(&known.account().key(), SignerKey::default());
        let identity = Identity::establish(&known, expectation.claims(), view.path.as_str(), now)
            .map_err(|error| proof_fault(&SignInError::from(error)))?;
        let entry = Arc::new(Entry::passing(known, account, view.started));
        Ok(Looked { entry, identity, warm: false, issued: Some(issued) })
    }

    /// Whether this client may have something cold looked at.
    pub(super) fn check_failures(&self, view: &RequestView<'_>) -> Result<(), Refusal> {
        match self.exhausted(view.client, view.started) {
            Some(wait) => Err(Refusal::TooManyRefusals { retry_after_secs: limits::whole_secs(wait) }),
            None => Ok(()),
        }
    }

    /// Steps 3 and 4. With the entry: whether it was remembered.
    fn find_or_verify(
        &self,
        presented: &Presented<'_>,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<(Arc<Entry>, bool), Halt<'static>> {
        let hits = &self.metrics.cache_requests[0];
        if let Some(entry) = self.proofs.find_last(view.last, presented.bytes(), view.started) {
            hits.inc("hit");
            return Ok((entry, true));
        }
        let flushes = self.proofs.flushes();
        // A credential over its size is refused by that alone; nothing of it is hashed.
        let digest = (presented.len() <= CREDENTIAL_BYTES_MAX).then(|| presented.digest());
        // Single-use nonces make a credential good once: nothing is remembered of it.
        let remembered = !self.settings.single_use_nonce;
        let found = digest.as_ref().filter(|_| remembered).and_then(|digest| self.proofs.find(digest));
        let warm = found.is_some();
        hits.inc(if warm { "hit" } else { "miss" });
        let entry = match found {
            Some(entry) => entry,
            None => self.verify(presented, digest, flushes, view, now)?,
        };
        if remembered {
            self.proofs.keep_last(view.last, presented.bytes(), &entry, flushes);
        }
        Ok((entry, warm))
    }

    /// Step 4: a credential that is not remembered.
    fn verify(
        &self,
        presented: &Presented<'_>,
        digest: Option<Digest>,
        flushes: u64,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<Arc<Entry>, Halt<'static>> {
        self.check_failures(view)?;
        let proof = presented.decode(&self.settings.reading).map_err(|error| credential_fault(&error))?;
        let until = claims::check(proof.claims(), &self.settings.expectation, Some(view.path.as_str()), now)
            .map_err(|error| claim_fault(&error))?;
        let digest = digest.filter(|_| !self.settings.single_use_nonce);
        let key = proof.claims().account().map(AccountId::key);
        let familiar = key.as_ref().and_then(|key| self.accounts.known(key));
        let signer = SignerKey::default();
        let begun = Instant::now();
        let known_signer = familiar.as_ref().map_or(&signer, |account| &account.signer);
        let verified = match chain::verify_known(&proof, &self.settings.accepts, known_signer) {
            Ok(Verification::Verified(verified)) => Ok(*verified),
            Ok(Verification::AskContract(question)) if self.asks(&question).is_some() => {
                let then = Then::Token { digest, until, flushes };
                return Err(Halt::Ask(Box::new(Pending { questions: vec![*question], begun, then })));
            }
            Ok(Verification::AskContract(question)) => Err(question.unasked()),
            Err(error) => Err(error),
        };
        let namespace = &proof.message().namespace;
        let scheme = verified.as_ref().map_or_else(|_| plain_scheme(namespace), |verified| Some(verified.scheme()));
        self.count_verification(scheme, begun, Some(verified.is_ok()));
        let known = Arc::new(Known::new(verified.map_err(|error| signature_fault(&error))?));
        // Only now that a signature was right: strangers make no accounts here.
        let account = familiar.unwrap_or_else(|| self.accounts.account(&known.account().key(), signer));
        Ok(match digest {
            Some(digest) => self.proofs.remember(digest, known, account, until, (view.started, now)),
            None => Arc::new(Entry::passing(known, account, view.started)),
        })
    }

    /// Who can ask a contract, if somebody can.
    pub(super) fn asks(&self, question: &Question) -> Option<&Arc<Contracts>> {
        self.contracts.get().filter(|contracts| contracts.covers(question.call().chain()))
    }

    /// Steps 4 and 5, where a contract decides. Large and cold: whoever awaits it boxes it.
    pub(super) async fn ask_contract(
        &self,
        pending: Pending,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<Looked, Refusal> {
        let Pending { questions, begun, then } = pending;
        let mut refused = (None, SignatureError::ContractRefused);
        for question in questions {
            let scheme = question.call().scheme();
            let Some(contracts) = self.asks(&question) else {
                refused = (Some(scheme), question.unasked());
                continue;
            };
            let said = match contracts.ask(question.call(), view.client).await {
                Ok(said) => said,
                Err(unasked) => {
                    if !matches!(unasked, Unasked::OverBudget(_)) {
                        self.count_verification(Some(scheme), begun, None);
                    }
                    return Err(unasked.refusal());
                }
            };
            match question.conclude(&said.verdict) {
                Ok(verified) => {
                    self.count_verification(Some(scheme), begun, Some(true));
                    return self.by_word(verified, &said, then, view, now);
                }
                Err(error) => refused = (Some(scheme), error),
            }
        }
        let (scheme, error) = refused;
        self.count_verification(scheme, begun, Some(false));
        Err(match then {
            Then::Token { .. } => signature_fault(&error),
            Then::SignIn { .. } => proof_fault(&error.into()),
        })
    }

    /// Who it is by a contract's word.
    fn by_word(
        &self,
        verified: Verified,
        said: &Said,
        then: Then,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<Looked, Refusal> {
        let (digest, until, flushes) = match then {
            Then::SignIn { origin, issued } => return self.signed_in(verified, origin, issued, view, now),
            Then::Token { digest, until, flushes } => (digest, until, flushes),
        };
        let known = Arc::new(Known::new(verified));
        let account = self.accounts.account(&known.account().key(), SignerKey::default());
        let entry = match digest {
            Some(digest) => {
                let (ends, at) = ((until, said.until), (view.started, now));
                self.proofs.remember_by_word(digest, (known, account), ends, at, flushes)
            }
            None => Arc::new(Entry::passing(known, account, view.started)),
        };
        self.allowed(entry, false, view, now)
    }

    /// Counts a verification: good, bad, or such that nobody could say. Which scheme a bad signature was meant to be
    /// cannot be told where no contract was asked; the plain one of its family counts it.
    pub(super) fn count_verification(&self, scheme: Option<Scheme>, begun: Instant, good: Option<bool>) {
        let metrics = scheme.and_then(|scheme| self.schemes.iter().find(|(known, _)| *known == scheme));
        if let Some((_, metrics)) = metrics {
            metrics.duration.observe(begun.elapsed());
            match good {
                Some(true) => metrics.valid.inc(),
                Some(false) => metrics.invalid.inc(),
                None => metrics.error.inc(),
            }
        }
    }
}

impl From<Refusal> for Halt<'_> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Unasked {
    /// What the client is told. It is never a fault of the signature: nobody has seen one.
    fn refusal(&self) -> Refusal {
        match self {
            Self::OverBudget(wait) => {
                Refusal::RateLimited { scope: RateScope::Contracts, retry_after_secs: limits::whole_secs(*wait) }
            }
            Self::Unavailable(error) => {
                tracing::warn!(%error, "nobody says whether a contract takes a signature");
                Refusal::VerifierUnavailable
            }
            Self::Ended => Refusal::VerifierUnavailable,
        }
    }
}

/// The scheme of a family that needs nobody.
fn plain_scheme(namespace: &str) -> Option<Scheme> {
    chain::CHAINS.iter().find(|chain| chain.namespace() == namespace)?.schemes().first().copied()
}

/// The account that a request acts as, where it names one: in one field of printable ASCII.
fn named<'r>(view: &RequestView<'r>) -> Result<Option<&'r str>, Refusal> {
    let mut fields = view.headers.get_all(ACCOUNT_SELECTOR).iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    if fields.next().is_some() {
        return Err(Refusal::ConflictingCredentials);
    }
    field.to_str().map(Some).map_err(|_| Refusal::AccountNotInSession)
}

/// Whether a request may change something, or opens a WebSocket, which reads what its page may not.
fn changes_something(view: &RequestView<'_>) -> bool {
    !cross_site::is_safe(view.method) || view.headers.contains_key(UPGRADE)
}

fn session_fault(error: &SessionError) -> Refusal {
    match error {
        SessionError::AccountNotInSession => Refusal::AccountNotInSession,
        _ => Refusal::InvalidSession,
    }
}

/// The place of carriers by what a route takes.
const fn place(tokens: bool, sign_in: bool, sessions: bool) -> usize {
    (tokens as usize) << 2 | (sign_in as usize) << 1 | sessions as usize
}

/// The carriers for every combination of what a route may take, each in its [`place`].
pub(super) fn carriers(settings: &Settings) -> Vec<Carriers> {
    let cookie = settings.sessions.as_ref().map(|sessions| Cookie::new(&sessions.cookie.name));
    let one = |place: usize| {
        let (tokens, sign_in, sessions) = (place & 4 != 0, place & 2 != 0, place & 1 != 0);
        Carriers {
            authorization: tokens.then(|| Authorization::new(settings.schemes.clone())),
            sign_in_with_x: sign_in.then_some(SignInWithX),
            bearer: (sessions && cookie.is_some()).then_some(Bearer),
            cookie: cookie.clone().filter(|_| sessions),
        }
    };
    (0..8).map(one).collect()
}

/// What sign-in proofs are judged by, for each origin of ours.
pub(super) fn sign_ins(settings: &Settings) -> Vec<SignInExpectation> {
    let Some(payments) = &settings.payments else {
        return Vec::new();
    };
    let Expectation { origins, chains, clock_skew_secs, .. } = &settings.expectation;
    let one = |origin: &Origin| {
        SignInExpectation::new(origin.clone(), chains.clone(), payments.proof_age_secs_max, *clock_skew_secs)
    };
    origins.iter().map(one).collect()
}

fn proof_fault(error: &SignInError) -> Refusal {
    tracing::debug!(%error, "a sign-in proof is refused");
    Refusal::ProofRefused(error.as_str())
}

fn signature_fault(error: &SignatureError) -> Refusal {
    Refusal::InvalidToken(TokenFault::signature(error.as_str(), error.to_string()))
}

fn claim_fault(error: &ClaimError) -> Refusal {
    Refusal::InvalidToken(TokenFault::message(error.code(), error.to_string()))
}

fn credential_fault(error: &CredentialError) -> Refusal {
    let detail = error.to_string();
    Refusal::InvalidToken(match error {
        CredentialError::Conflict(_) => return Refusal::ConflictingCredentials,
        CredentialError::Message(message) => TokenFault::message(message.code(), detail),
        CredentialError::TooLarge(_) => TokenFault::too_large(detail),
        CredentialError::Encoding | CredentialError::Form => TokenFault::malformed(error.code(), detail),
        CredentialError::SignatureForm(_) => TokenFault::signature(error.code(), detail),
    })
}
