//! Who a request is: what it presents, remembered or verified, and whether the message allows this request now. Steps 2
//! to 5 of the gate.

use std::{sync::Arc, time::Instant};

use super::{Gate, Looked, cache::Entry, limits, settings::Settings, view::RequestView};
use crate::{
    caip::AccountId,
    chain::{self, SignerKey, Verification, Verified},
    credential::{
        self, CREDENTIAL_BYTES_MAX, CarrierName, CredentialError, Digest, Presented, SignIn, SignInError,
        SignInExpectation,
    },
    policy::{
        decision::{Refusal, TokenFault},
        identity::{Identity, Known},
        rule::Rule,
    },
    siwx::{
        claims::{self, ClaimError, Expectation},
        origin::Origin,
        proof::Proof,
    },
    time::UnixTime,
    x402::nonce::Purpose,
};

impl Gate {
    /// Steps 2 to 5: what was presented, who that is, and whether the message allows this request now.
    pub(super) fn look_up(
        &self,
        rule: Option<&Rule>,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<Looked, Refusal> {
        let carriers = &self.carriers[usize::from(!rule.is_some_and(|rule| rule.sign_in))];
        let presented = credential::present(view.headers, carriers).map_err(|_| Refusal::ConflictingCredentials)?;
        let presented = presented.ok_or(Refusal::CredentialRequired)?;
        if presented.carrier() == CarrierName::SignInWithX {
            return self.sign_in(&presented, view, now);
        }
        let (entry, warm) = self.find_or_verify(&presented, view, now)?;
        let identity = Identity::establish(&entry.known, &self.settings.expectation, view.path.as_str(), now)
            .map_err(|error| claim_fault(&error))?;
        Ok(Looked { entry, identity, warm, issued: None })
    }

    /// Steps 3 to 5 for a proof that is good once: it is neither looked up nor remembered (x402.md section 9).
    fn sign_in(&self, presented: &Presented<'_>, view: &RequestView<'_>, now: UnixTime) -> Result<Looked, Refusal> {
        self.check_failures(view)?;
        let payments = self.payments.get().ok_or(Refusal::CredentialRequired)?;
        let refused = |error: &SignInError| {
            tracing::debug!(%error, "a sign-in proof is refused");
            Refusal::ProofRefused(error.as_str())
        };
        let expectation = payments.origin(view.host).and_then(|origin| {
            self.sign_ins.iter().find(|expected| expected.claims().origins.iter().any(|one| one == origin))
        });
        let expectation = expectation.ok_or(Refusal::CredentialRequired)?;
        let sign_in = SignIn::read(presented.bytes()).map_err(|error| refused(&error))?;
        sign_in.check(expectation, now).map_err(|error| refused(&error))?;
        let verified = sign_in.verify(&self.settings.accepts).map_err(|error| refused(&error))?;
        let settings = payments.settings();
        let skew = self.settings.expectation.clock_skew_secs;
        let until = if settings.require_issued_nonce {
            let domain = payments.origin(view.host).map_or("", |origin| origin.authority());
            let nonce = sign_in.nonce();
            let age = settings.proof_age_secs_max;
            let checked = payments.issuer().check(Purpose::X402, domain, nonce, now, age, skew);
            checked.map_err(|_| refused(&SignInError::Nonce))?
        } else {
            let end = sign_in.until(expectation).unwrap_or(now);
            end.plus_millis(i64::from(skew) * 1000)
        };
        let known = Arc::new(Known::new(verified));
        let account = self.accounts.account(&known.account().key(), SignerKey::default());
        let identity = Identity::establish(&known, expectation.claims(), view.path.as_str(), now)
            .map_err(|error| refused(&SignInError::from(error)))?;
        let entry = Arc::new(Entry::passing(known, account, view.started));
        let issued = Some((sign_in.nonce().to_owned(), until));
        Ok(Looked { entry, identity, warm: false, issued })
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
    ) -> Result<(Arc<Entry>, bool), Refusal> {
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
            None => self.verify(presented, digest, view, now)?,
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
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<Arc<Entry>, Refusal> {
        self.check_failures(view)?;
        let proof = presented.decode(&self.settings.reading).map_err(|error| credential_fault(&error))?;
        let until = claims::check(proof.claims(), &self.settings.expectation, Some(view.path.as_str()), now)
            .map_err(|error| claim_fault(&error))?;
        let key = proof.claims().account().map(AccountId::key);
        let familiar = key.as_ref().and_then(|key| self.accounts.known(key));
        let signer = SignerKey::default();
        let verified = self.verify_signature(&proof, familiar.as_ref().map_or(&signer, |account| &account.signer))?;
        let known = Arc::new(Known::new(verified));
        // Only now that a signature was right: strangers make no accounts here.
        let account = familiar.unwrap_or_else(|| self.accounts.account(&known.account().key(), signer));
        Ok(match digest {
            Some(digest) if !self.settings.single_use_nonce => {
                self.proofs.remember(digest, known, account, until, (view.started, now))
            }
            _ => Arc::new(Entry::passing(known, account, view.started)),
        })
    }

    fn verify_signature(&self, proof: &Proof, signer: &SignerKey) -> Result<Verified, Refusal> {
        let begun = Instant::now();
        let result = match chain::verify_known(proof, &self.settings.accepts, signer) {
            Ok(Verification::Verified(verified)) => Ok(*verified),
            Ok(Verification::AskContract(question)) => Err(question.unasked()),
            Err(error) => Err(error),
        };
        let scheme = match &result {
            Ok(verified) => Some(verified.scheme()),
            // Which scheme a bad signature was meant to be cannot be told; the plain one of its family counts it.
            Err(_) => {
                let family = chain::CHAINS.iter().find(|chain| *chain.namespace() == *proof.message().namespace);
                family.and_then(|family| family.schemes().first().copied())
            }
        };
        let metrics = scheme.and_then(|scheme| self.schemes.iter().find(|(known, _)| *known == scheme));
        if let Some((_, metrics)) = metrics {
            metrics.duration.observe(begun.elapsed());
            if result.is_ok() { metrics.valid.inc() } else { metrics.invalid.inc() }
        }
        result.map_err(|error| Refusal::InvalidToken(TokenFault::signature(error.as_str(), error.to_string())))
    }
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
