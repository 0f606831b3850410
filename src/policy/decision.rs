//! The decision about one request: a plain function of the rule, who asks, what they hold, and the time.
//!
//! 1. A [`Permit`] is made here and nowhere else, and an upstream takes nothing without one.
//! 2. Whoever is identified is judged by the list of denied accounts before anything they hold is looked at.
//! 3. A refusal says which rule of the policy spoke; what that looks like on the wire is the edge's business.

use std::sync::Arc;

use crate::{
    caip::AccountId,
    policy::{
        holder::Holder,
        identity::Identity,
        rule::{Requirement, Rule},
        subscription::{Standing, Subscription, Subscriptions},
    },
    siwx::Code,
    time::UnixTime,
};

/// What becomes of a request.
#[derive(Debug)]
pub enum Decision {
    /// It goes on to the upstream.
    Admit(Permit),
    /// It ends here.
    Refuse(Refusal),
}

/// Leave to forward one request, and on whose behalf.
#[derive(Debug)]
pub struct Permit {
    identity: Option<Identity>,
    opened_by: Option<OpenedBy>,
    /// Boxed: few have one, and every request carries its permit about.
    paid: Option<Box<Paid>>,
}

/// Who paid for a request with the request itself. Nobody signed in; a facilitator has named the payer.
#[derive(Debug)]
pub struct Paid {
    /// The payer, where the facilitator names one before the request goes on.
    pub payer: Option<AccountId>,
}

/// One of the things an account holds. Shared rather than copied: a warm request makes none.
#[derive(Debug)]
struct OpenedBy {
    held: Arc<Subscriptions>,
    place: Place,
}

/// Where it is among them.
#[derive(Debug, Clone, Copy)]
enum Place {
    Access(usize),
    Plan(usize),
}

/// Why a request ends here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The account is on the list of those that are refused whatever they hold.
    AccountDenied,
    /// The request names an account that is not among those of its session.
    AccountNotInSession,
    /// Two fields of one credential header, or two credentials that say different things.
    ConflictingCredentials,
    /// Nothing was presented where something is demanded.
    CredentialRequired,
    /// A cookie came from a page that may not change anything on the strength of it.
    CrossSite,
    /// The session that was presented is over, or none.
    InvalidSession,
    /// What was presented is not good.
    InvalidToken(TokenFault),
    /// The account has not paid for the route.
    PaymentRequired,
    /// The account holds a subscription, to other plans than the route takes.
    PlanRequired {
        /// Those it takes.
        plans: Vec<String>,
    },
    /// The account has used up what its plan allows within a window.
    QuotaExceeded {
        /// When the next window begins.
        retry_after_secs: u64,
    },
    /// Too many requests within too short a time.
    RateLimited {
        /// Whose rate it is.
        scope: RateScope,
        /// When the next one is let through.
        retry_after_secs: u64,
    },
    /// A one-time proof that is not good, by the code of x402.md section 9.
    ProofRefused(&'static str),
    /// Nobody could say whether the account holds a subscription.
    StoreUnavailable,
    /// The account holds no subscription.
    SubscriptionRequired {
        /// Whether it held one that has ended.
        ended: bool,
    },
    /// The client's address sent more bad credentials than it may.
    TooManyRefusals {
        /// When the next one is looked at.
        retry_after_secs: u64,
    },
    /// The signature is one for a contract to judge, and nobody could ask it.
    VerifierUnavailable,
}

/// Whose rate a request is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateScope {
    /// The account's on its route.
    Account,
    /// The client address's on its route.
    Address,
    /// The client address's of questions to contracts.
    Contracts,
    /// The account's by its plan.
    Plan,
}

/// What is wrong with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFault {
    reason: Reason,
    code: &'static str,
    detail: String,
}

/// Why a decision fell as it did: the closed list of `siwx_auth_decisions_total`, as far as this build can
/// produce it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the word it prints")]
pub enum Reason {
    AccountDenied,
    BadSignature,
    ChainNotAllowed,
    ChallengeBadProof,
    ChallengeNoCredential,
    ChallengeNoSubscription,
    Conflict,
    Csrf,
    DomainMismatch,
    Expired,
    FacilitatorUnavailable,
    Internal,
    IssuedInFuture,
    LifetimeTooLong,
    Malformed,
    NoCredential,
    NoSubscription,
    NonceReused,
    NotYetValid,
    Ok,
    Paid,
    PaymentInProgress,
    PaymentInvalid,
    PaymentRefused,
    PaymentUsed,
    PlanMismatch,
    ProofRefused,
    Public,
    Quota,
    RateLimited,
    SessionInvalid,
    SettlementUnknown,
    StoreUnavailable,
    SubscriptionExpired,
    TooLarge,
    UriMismatch,
    VerifierUnavailable,
}

/// Judges a request that has a route. `who` is nobody on a public route, and may be nobody elsewhere; `has` is
/// what the store knows about them, asked only where the rule demands a subscription or a payment. `path` is the
/// request's canonical one.
pub fn decide(
    rule: &Rule,
    path: &str,
    who: Option<Identity>,
    has: Option<Arc<Subscriptions>>,
    now: UnixTime,
) -> Decision {
    let admit = |identity, opened_by| Decision::Admit(Permit { identity, opened_by, paid: None });
    if rule.requirement == Requirement::Public {
        return admit(None, None);
    }
    let Some(identity) = who else {
        return Decision::Refuse(Refusal::CredentialRequired);
    };
    let plans = match &rule.requirement {
        Requirement::Public | Requirement::Wallet => return admit(Some(identity), None),
        Requirement::Payment { plans } => {
            let opened_by = has.and_then(|held| paid(&rule.name, path, plans, held, identity.holder(), now));
            return match opened_by {
                Some(opened_by) => admit(Some(identity), Some(opened_by)),
                None => Decision::Refuse(Refusal::PaymentRequired),
            };
        }
        Requirement::Subscription { plans } => plans,
    };
    let Some(held) = has else {
        return Decision::Refuse(Refusal::SubscriptionRequired { ended: false });
    };
    match held.standing(plans, identity.holder(), now) {
        Standing::Active(subscription) => {
            let place = plan_place(&held, subscription);
            admit(Some(identity), Some(OpenedBy { held, place }))
        }
        Standing::Expired(_) => Decision::Refuse(Refusal::SubscriptionRequired { ended: true }),
        Standing::Nothing => Decision::Refuse(Refusal::SubscriptionRequired { ended: false }),
        Standing::OtherPlan(_) => Decision::Refuse(Refusal::PlanRequired { plans: plans.clone() }),
    }
}

/// The permit of a request that brings its own payment, which was verified, or settled already. Nothing if the route
/// sells nothing: then no payment opens it.
pub fn admit_payment(rule: &Rule, paid: Paid) -> Option<Permit> {
    rule.sale.as_ref()?;
    Some(Permit { identity: None, opened_by: None, paid: Some(Box::new(paid)) })
}

/// What opens a route that is paid for: access to it, or one of the plans that open it too. No plan named is none.
fn paid(
    route: &str,
    path: &str,
    plans: &[String],
    held: Arc<Subscriptions>,
    holder: Holder<'_>,
    now: UnixTime,
) -> Option<OpenedBy> {
    if let Some(access) = held.opens(route, path, holder, now) {
        let place = held.access().position(|one| std::ptr::eq(one, access)).unwrap_or(0);
        return Some(OpenedBy { held, place: Place::Access(place) });
    }
    if plans.is_empty() {
        return None;
    }
    let place = plan_place(&held, held.opening(plans, holder, now)?);
    Some(OpenedBy { held, place })
}

fn plan_place(held: &Subscriptions, subscription: &Subscription) -> Place {
    Place::Plan(held.iter().position(|one| std::ptr::eq(one, subscription)).unwrap_or(0))
}

// === impl Permit ===

impl Permit {
    /// Who the request is; nobody on a public route.
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The subscription that opened the route, where a plan did.
    pub fn opened_by(&self) -> Option<&Subscription> {
        let OpenedBy { held, place } = self.opened_by.as_ref()?;
        match *place {
            Place::Access(_) => None,
            Place::Plan(place) => held.iter().nth(place),
        }
    }

    /// The end of what opened the route; nothing: none, or nothing was demanded.
    fn opened_until(&self) -> Option<UnixTime> {
        let OpenedBy { held, place } = self.opened_by.as_ref()?;
        let holder = self.identity.as_ref().map_or(Holder::KeyPair, Identity::holder);
        match *place {
            Place::Access(place) => held.access().nth(place)?.span_for(holder)?.expires_at,
            Place::Plan(place) => held.iter().nth(place)?.span_for(holder)?.expires_at,
        }
    }

    /// Who paid with the request itself, if somebody did.
    pub fn paid(&self) -> Option<&Paid> {
        self.paid.as_deref()
    }

    /// Whether it was given to somebody, and not to anybody.
    pub const fn is_personal(&self) -> bool {
        self.identity.is_some() || self.paid.is_some()
    }

    /// Why it was given.
    pub const fn reason(&self) -> Reason {
        match (&self.identity, &self.paid) {
            (_, Some(_)) => Reason::Paid,
            (Some(_), None) => Reason::Ok,
            (None, None) => Reason::Public,
        }
    }

    /// The earlier end of credential and subscription.
    pub fn valid_until(&self) -> Option<UnixTime> {
        let credential = self.identity.as_ref().map(Identity::valid_until);
        [credential, self.opened_until()].into_iter().flatten().min()
    }
}

// === impl Refusal ===

impl Refusal {
    /// Its word in metrics and log.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::AccountDenied => Reason::AccountDenied,
            Self::AccountNotInSession | Self::InvalidSession => Reason::SessionInvalid,
            Self::ConflictingCredentials => Reason::Conflict,
            Self::CredentialRequired => Reason::NoCredential,
            Self::CrossSite => Reason::Csrf,
            Self::InvalidToken(fault) => fault.reason,
            Self::PaymentRequired => Reason::NoSubscription,
            Self::PlanRequired { .. } => Reason::PlanMismatch,
            Self::ProofRefused(_) => Reason::ProofRefused,
            Self::QuotaExceeded { .. } => Reason::Quota,
            Self::StoreUnavailable => Reason::StoreUnavailable,
            Self::SubscriptionRequired { ended: true } => Reason::SubscriptionExpired,
            Self::SubscriptionRequired { ended: false } => Reason::NoSubscription,
            Self::RateLimited { .. } | Self::TooManyRefusals { .. } => Reason::RateLimited,
            Self::VerifierUnavailable => Reason::VerifierUnavailable,
        }
    }

    /// Whether it counts against the client's address (hardening.md section 2, "refused credentials").
    pub const fn counts_against_address(&self) -> bool {
        match self {
            Self::AccountDenied
            | Self::InvalidSession
            | Self::InvalidToken(_)
            | Self::ProofRefused(_)
            | Self::PlanRequired { .. }
            | Self::SubscriptionRequired { .. } => true,
            // A key was tried before, and that costs: else bad signatures could be tried without end under this name.
            Self::RateLimited { scope: RateScope::Contracts, .. } => true,
            Self::AccountNotInSession
            | Self::ConflictingCredentials
            | Self::CredentialRequired
            | Self::CrossSite
            | Self::PaymentRequired
            | Self::QuotaExceeded { .. }
            | Self::RateLimited { .. }
            | Self::StoreUnavailable
            | Self::TooManyRefusals { .. }
            | Self::VerifierUnavailable => false,
        }
    }
}

// === impl RateScope ===

impl RateScope {
    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "ip",
            Self::Contracts => "rpc",
            Self::Plan => "plan",
        }
    }
}

// === impl TokenFault ===

impl TokenFault {
    /// A fault of the message, by its own code (x402.md section 13 has the table of reasons).
    pub fn message(code: Code, detail: String) -> Self {
        Self { reason: Reason::of_message(code), code: code.as_str(), detail }
    }

    /// A token over its size.
    pub fn too_large(detail: String) -> Self {
        Self { reason: Reason::TooLarge, code: "credential_too_large", detail }
    }

    /// A token that does not come apart into message and signature.
    pub fn malformed(code: &'static str, detail: String) -> Self {
        Self { reason: Reason::Malformed, code, detail }
    }

    /// A signature that is not the account's over the message.
    pub fn signature(code: &'static str, detail: String) -> Self {
        Self { reason: Reason::BadSignature, code, detail }
    }

    /// The word for metrics and, but for `too_large`, for the client.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The precise code, for the log and for the client's `detail`.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// One sentence. It quotes at most a few characters of what was sent, and nothing of a signature.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

// === impl Reason ===

impl Reason {
    /// All of them, in the order of their place in a route's counters.
    pub const ALL: [Self; 37] = [
        Self::AccountDenied,
        Self::BadSignature,
        Self::ChainNotAllowed,
        Self::ChallengeBadProof,
        Self::ChallengeNoCredential,
        Self::ChallengeNoSubscription,
        Self::Conflict,
        Self::Csrf,
        Self::DomainMismatch,
        Self::Expired,
        Self::FacilitatorUnavailable,
        Self::Internal,
        Self::IssuedInFuture,
        Self::LifetimeTooLong,
        Self::Malformed,
        Self::NoCredential,
        Self::NoSubscription,
        Self::NonceReused,
        Self::NotYetValid,
        Self::Ok,
        Self::Paid,
        Self::PaymentInProgress,
        Self::PaymentInvalid,
        Self::PaymentRefused,
        Self::PaymentUsed,
        Self::PlanMismatch,
        Self::ProofRefused,
        Self::Public,
        Self::Quota,
        Self::RateLimited,
        Self::SessionInvalid,
        Self::SettlementUnknown,
        Self::StoreUnavailable,
        Self::SubscriptionExpired,
        Self::TooLarge,
        Self::UriMismatch,
        Self::VerifierUnavailable,
    ];

    /// Its place in [`Self::ALL`].
    pub const fn place(self) -> usize {
        self as usize
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountDenied => "account_denied",
            Self::BadSignature => "bad_signature",
            Self::ChainNotAllowed => "chain_not_allowed",
            Self::ChallengeBadProof => "bad_signature",
            Self::ChallengeNoCredential => "no_credential",
            Self::ChallengeNoSubscription => "no_subscription",
            Self::Conflict => "conflict",
            Self::Csrf => "csrf",
            Self::DomainMismatch => "domain_mismatch",
            Self::Expired => "expired",
            Self::FacilitatorUnavailable => "facilitator_unavailable",
            Self::Internal => "internal",
            Self::IssuedInFuture => "issued_in_future",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::Malformed => "malformed",
            Self::NoCredential => "no_credential",
            Self::NoSubscription => "no_subscription",
            Self::NonceReused => "nonce_reused",
            Self::NotYetValid => "not_yet_valid",
            Self::Ok => "ok",
            Self::Paid => "paid",
            Self::PaymentInProgress => "payment_in_progress",
            Self::PaymentInvalid => "payment_invalid",
            Self::PaymentRefused => "payment_refused",
            Self::PaymentUsed => "payment_used",
            Self::PlanMismatch => "plan_mismatch",
            Self::ProofRefused => "bad_signature",
            Self::Public => "public",
            Self::Quota => "quota",
            Self::RateLimited => "rate_limited",
            Self::SessionInvalid => "session_invalid",
            Self::SettlementUnknown => "settlement_unknown",
            Self::StoreUnavailable => "store_unavailable",
            Self::SubscriptionExpired => "subscription_expired",
            Self::TooLarge => "too_large",
            Self::UriMismatch => "uri_mismatch",
            Self::VerifierUnavailable => "verifier_unavailable",
        }
    }

    /// The decision it belongs to.
    pub const fn decision(self) -> &'static str {
        match self {
            Self::Ok | Self::Paid => "allow",
            Self::Public => "public",
            Self::FacilitatorUnavailable
            | Self::Internal
            | Self::SettlementUnknown
            | Self::StoreUnavailable
            | Self::VerifierUnavailable => "error",
            Self::ChallengeBadProof
            | Self::ChallengeNoCredential
            | Self::ChallengeNoSubscription
            | Self::PaymentInvalid
            | Self::PaymentRefused => "challenge",
            _ => "deny",
        }
    }

    /// Whether it falls only where there are sessions.
    pub const fn is_about_sessions(self) -> bool {
        matches!(self, Self::Csrf | Self::SessionInvalid)
    }

    /// Whether it falls only where something is sold, or signed in for once.
    pub const fn is_about_money(self) -> bool {
        matches!(
            self,
            Self::ChallengeBadProof
                | Self::ChallengeNoCredential
                | Self::ChallengeNoSubscription
                | Self::FacilitatorUnavailable
                | Self::Paid
                | Self::PaymentInProgress
                | Self::PaymentInvalid
                | Self::PaymentRefused
                | Self::PaymentUsed
                | Self::ProofRefused
                | Self::SettlementUnknown
        )
    }

    /// What x402.md section 13 calls a code of message.md.
    const fn of_message(code: Code) -> Self {
        match code {
            Code::InvalidAccount
            | Code::AddressChecksum
            | Code::NamespaceMismatch
            | Code::NamespaceUndetermined
            | Code::ChainMismatch => Self::BadSignature,
            Code::DomainMismatch | Code::SchemeMismatch => Self::DomainMismatch,
            Code::UriMismatch => Self::UriMismatch,
            Code::NamespaceNotAllowed | Code::ChainNotAllowed | Code::LabelNotAllowed => Self::ChainNotAllowed,
            Code::Expired | Code::IssuedTooLongAgo => Self::Expired,
            Code::IssuedInFuture => Self::IssuedInFuture,
            Code::NotYetValid => Self::NotYetValid,
            Code::LifetimeTooLong => Self::LifetimeTooLong,
            Code::NonceReused => Self::NonceReused,
            _ => Self::Malformed,
        }
    }
}
