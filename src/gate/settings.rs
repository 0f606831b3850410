//! What the configuration says about judging requests.

use std::{collections::HashSet, time::Duration};

use crate::{
    caip::ChainId,
    chain::Accepts,
    secret::Secret,
    session::set::{Life, Revalidation},
    siwx::{claims::Expectation, message::Reading},
    x402::terms::Offer,
};

pub use crate::policy::rule::Rate;

/// Everything the gate judges by, apart from the routes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How signing texts are read.
    pub reading: Reading,
    /// What a message must say.
    pub expectation: Expectation,
    /// Which forms of signature are taken.
    pub accepts: Accepts,
    /// Scheme names of the `Authorization` header that carry a proof; compared without regard to case.
    pub schemes: Vec<String>,
    /// Whether a nonce may open only one request.
    pub single_use_nonce: bool,
    /// Accounts that are refused whatever they hold: CAIP-10 ids and bare addresses, EVM ones in lower case.
    pub denied: HashSet<String>,
    /// Verified signatures that are remembered.
    pub proofs: CacheSettings,
    /// Subscriptions that are remembered.
    pub subscriptions: CacheSettings,
    /// How long a remembered no counts.
    pub negative_ttl: Duration,
    /// What contracts said that is remembered: how long a yes of theirs counts, 60 s at most.
    pub contracts: CacheSettings,
    /// How long a no of theirs counts.
    pub contracts_negative_ttl: Duration,
    /// How long past its life a remembered yes may be served while the store does not answer.
    pub stale_if_error: Duration,
    /// How money is taken; nothing: not at all.
    pub payments: Option<PaymentSettings>,
    /// How browsers sign in; nothing: not at all.
    pub sessions: Option<SessionSettings>,
    /// How much each plan may be used; one of no entry is without limit.
    pub plan_limits: Vec<PlanLimits>,
    /// How many refused credentials an address may send; nothing: any number.
    pub auth_failures: Option<Rate>,
    /// How often an address may have a contract asked; nothing: any number of times.
    pub rpc_per_ip: Option<Rate>,
}

/// What the configuration says about payments and about signing in after one (`[x402]`).
#[derive(Debug, Clone)]
pub struct PaymentSettings {
    /// The sentence of a sign-in, in printable ASCII; empty: none.
    pub statement: String,
    /// What authenticates nonces; nothing: the secret that the store keeps.
    pub nonce_secret: Option<Secret<Vec<u8>>>,
    /// Whether a sign-in must be over a nonce that was issued here.
    pub require_issued_nonce: bool,
    /// How old a sign-in proof, and its nonce, may be, in seconds.
    pub proof_age_secs_max: u32,
    /// The chains that challenges invite to sign in on, in their order; empty only where no route takes sign-ins.
    pub sign_in_chains: Vec<ChainId>,
    /// Plans that are for sale.
    pub plans: Vec<PlanForSale>,
    /// The path under which plans are sold, without a slash at its end; nothing: they are sold on their routes alone.
    pub shop: Option<String>,
    /// Whether anybody may ask what an account holds.
    pub public_status: bool,
}

/// What the configuration says about browser sessions (`[session]`).
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The path under which the session API is found, without a slash at its end.
    pub prefix: String,
    /// The gateway's URL, without a path: `iss` of tokens.
    pub issuer: String,
    /// Its domain: `aud` of tokens, and what nonces are issued for.
    pub domain: String,
    /// How long sessions live.
    pub life: Life,
    /// What opens a session.
    pub token: TokenForm,
    /// How the cookie is set.
    pub cookie: CookieSettings,
    /// Whether what changes something on the strength of a cookie, upstream too, needs a page that may.
    pub csrf: bool,
    /// Words for families of chains that are welcome in sign-ins beside those of tokens.
    pub labels: Vec<(String, Vec<String>)>,
    /// How old a nonce, and a message of a sign-in, may be.
    pub message_age_max: Duration,
    /// When contracts are asked again; nothing: never.
    pub revalidation: Option<Revalidation>,
    /// Whether browsers are shown a page to sign in on.
    pub login_page: bool,
    /// The path under which the endpoints of ReownAuthentication are found, without a slash at its end; nothing: nowhere.
    pub reown_prefix: Option<String>,
    /// What makes nonces known as our own; nothing: the secret that the store keeps.
    pub nonce_secret: Option<Secret<Vec<u8>>>,
    /// Sets that are remembered.
    pub cache: CacheSettings,
}

/// What a client holds that opens its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenForm {
    /// A token that says who is signed in.
    Jwt,
    /// An id that says nothing.
    Opaque,
}

/// How the session cookie is set (sessions.md section 2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieSettings {
    /// Its name, as `public_url` and `domain` have it.
    pub name: String,
    /// Whether other sites may bring it along.
    pub same_site: SameSite,
    /// The domain whose hosts all get it; nothing: this host alone.
    pub domain: Option<String>,
    /// Whether it is sent over TLS alone.
    pub secure: bool,
}

/// Which sites may bring a cookie along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Others when they send a visitor over.
    Lax,
    /// Any, each with a cookie of its own (`Partitioned`).
    None,
    /// No other.
    Strict,
}

/// A plan with a price.
#[derive(Debug, Clone)]
pub struct PlanForSale {
    /// Its name.
    pub name: String,
    /// How much longer one purchase makes it.
    pub length: Duration,
    /// Its price at each place where money goes.
    pub offers: Vec<Offer>,
}

/// How much the accounts of a plan may ask for. Accounts are counted apart.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanLimits {
    /// The plan.
    pub name: String,
    /// How often; nothing: any number of times.
    pub rate: Option<Rate>,
    /// How many requests in all; nothing: any number.
    pub quota: Option<Quota>,
}

/// So many requests in each window. The first window begins with the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests in a window.
    pub requests: u64,
    /// How long a window is.
    pub window: Duration,
}

/// Bound and life of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    /// Entries kept at most.
    pub entries: u64,
    /// How long an entry counts.
    pub ttl: Duration,
}
