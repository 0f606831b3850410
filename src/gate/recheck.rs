//! What was let in once and lasts, judged anew: tunnels and streams (hardening.md section 4, "Upgrade").
//!
//! 1. The rules are those of the moment: the route is found again, and what it demands now counts.
//! 2. What the client presented is looked up again as for a request of its own: a session that was ended, a message
//!    that has run out and an account that is denied by now all end it. Nothing is taken from a rate or a quota, and no
//!    nonce is claimed.
//! 3. A proof that is good once opened it once: with it, account and subscription alone are looked at.
//! 4. What nobody can say at the moment is told apart from a no. Whoever asks decides how long that may last.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, Method, header};

use super::{Gate, LastCredential, Met, identify::Halt, view::RequestView};
use crate::{
    chain::SignerKey,
    policy::{
        decision::{Decision, Paid, Permit, Reason, Refusal, admit_payment, decide},
        identity::Identity,
        rule::{Requirement, Rule},
        target::CanonicalPath,
    },
    time::UnixTime,
};

/// What a request was let in by, kept for as long as it lasts.
pub struct Standing {
    method: Method,
    host: String,
    path: String,
    target: String,
    client: IpAddr,
    by: By,
}

/// By what it was let in.
enum By {
    /// A credential that is good more than once: the fields it came in, and those that say which page sent it.
    Credential(HeaderMap),
    /// Nothing that could be presented again: who it was.
    Account(Identity),
    /// Its own payment.
    Payment(Box<Paid>),
    /// Anybody may.
    Nothing,
}

/// What is said of it now.
#[derive(Debug)]
pub enum Word {
    /// It may go on, until then.
    Good(Option<UnixTime>),
    /// It ends here.
    No(Reason),
    /// Nobody can say at the moment.
    Unknown(Reason),
}

/// The field of proofs that are good once.
const SIGN_IN_WITH_X: HeaderName = HeaderName::from_static("sign-in-with-x");

/// Fields by which [`Gate::recheck`] judges.
const JUDGED: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    header::UPGRADE,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("x-siwx-account"),
];

impl Standing {
    /// What a permit was given for.
    pub fn of(permit: &Permit, view: &RequestView<'_>) -> Self {
        // A request with such a proof has no other credential: two are a refusal.
        let good_once = view.headers.contains_key(SIGN_IN_WITH_X);
        let by = match (permit.identity(), permit.paid()) {
            (Some(identity), _) if good_once => By::Account(identity.clone()),
            (Some(_), _) => By::Credential(kept(view.headers)),
            (None, Some(paid)) => By::Payment(Box::new(Paid { payer: paid.payer.clone() })),
            (None, None) => By::Nothing,
        };
        Self {
            method: view.method.clone(),
            host: view.host.to_owned(),
            path: view.path.as_str().to_owned(),
            target: view.target.to_owned(),
            client: view.client,
            by,
        }
    }
}

fn kept(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in JUDGED {
        for value in headers.get_all(&name) {
            let mut value = value.clone();
            value.set_sensitive(true);
            kept.append(name.clone(), value);
        }
    }
    kept
}

impl Gate {
    /// Judges anew what was let in once.
    pub async fn recheck(&self, standing: &Standing, now: UnixTime) -> Word {
        let Ok(path) = CanonicalPath::parse(&standing.path) else {
            return Word::No(Reason::Internal);
        };
        let (nothing, last) = (HeaderMap::new(), LastCredential::default());
        let view = RequestView {
            method: &standing.method,
            host: &standing.host,
            path: &path,
            target: &standing.target,
            headers: if let By::Credential(headers) = &standing.by { headers } else { &nothing },
            client: standing.client,
            last: &last,
            started: Instant::now(),
        };
        // A route that is gone takes what it let in along.
        let Ok(Met { rule: Some(rule), .. }) = self.meet(&view) else {
            return Word::No(Reason::NoCredential);
        };
        match self.decide_again(rule, &standing.by, &view, now).await {
            Ok(permit) => Word::Good(permit.valid_until()),
            Err(refusal) => word(&refusal),
        }
    }

    async fn decide_again(
        &self,
        rule: &Rule,
        by: &By,
        view: &RequestView<'_>,
        now: UnixTime,
    ) -> Result<Permit, Refusal> {
        if rule.requirement == Requirement::Public {
            return permit(decide(rule, view.path.as_str(), None, None, now));
        }
        let (identity, account) = match by {
            By::Credential(_) => {
                let looked = match self.look_up(Some(rule), view, now) {
                    Ok(looked) => looked,
                    Err(Halt::Refused(refusal)) => return Err(refusal),
                    Err(Halt::Ask(pending)) => self.ask_contract(*pending, view, now).await?,
                    Err(Halt::Open(presented)) => self.open_session(presented, view, now).await?,
                };
                (looked.identity, looked.entry.account.clone())
            }
            By::Account(identity) if rule.sign_in => {
                let account = self.accounts.account(&identity.account().key(), SignerKey::default());
                (identity.clone(), account)
            }
            By::Payment(paid) => {
                let payer = paid.payer.as_ref();
                if payer.is_some_and(|payer| self.is_denied(payer)) {
                    return Err(Refusal::AccountDenied);
                }
                let paid = Paid { payer: payer.cloned() };
                return admit_payment(rule, paid).ok_or(Refusal::CredentialRequired);
            }
            By::Account(_) | By::Nothing => return Err(Refusal::CredentialRequired),
        };
        if self.is_denied(identity.account()) {
            return Err(Refusal::AccountDenied);
        }
        let demands = matches!(rule.requirement, Requirement::Subscription { .. } | Requirement::Payment { .. });
        let held = if demands {
            let held = self.accounts.held(&account, view.started, now).await;
            Some(held.map_err(|error| {
                tracing::warn!(%error, "the store does not say what an account holds");
                Refusal::StoreUnavailable
            })?)
        } else {
            None
        };
        permit(decide(rule, view.path.as_str(), Some(identity), held, now))
    }
}

fn permit(decision: Decision) -> Result<Permit, Refusal> {
    match decision {
        Decision::Admit(permit) => Ok(permit),
        Decision::Refuse(refusal) => Err(refusal),
    }
}

/// What others do, or cannot do, says nothing about this one.
fn word(refusal: &Refusal) -> Word {
    match refusal {
        Refusal::QuotaExceeded { .. }
        | Refusal::RateLimited { .. }
        | Refusal::StoreUnavailable
        | Refusal::TooManyRefusals { .. }
        | Refusal::VerifierUnavailable => Word::Unknown(refusal.reason()),
        _ => Word::No(refusal.reason()),
    }
}

/// Within this time an unknown word is asked for again; if it is unknown then, it counts as a no.
pub const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(5);
