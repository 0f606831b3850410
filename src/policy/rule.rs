//! What a route asks of a request. Plain data: it is found by `routes` and judged by `decision`.

use std::time::Duration;

use http::Method;

use super::sale::Sale;

/// One `[[route]]`: what it matches, what that demands and where it goes.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name; a metric label, unique.
    pub name: String,
    /// The host it is for, in lower case without port; nothing: any that is served.
    pub host: Option<String>,
    /// The methods it is for; empty: any but TRACE and CONNECT. GET includes HEAD.
    pub methods: Vec<Method>,
    /// The paths it is for.
    pub pattern: Pattern,
    /// What it demands.
    pub requirement: Requirement,
    /// Which upstream, as an index into the configured ones.
    pub upstream: usize,
    /// Escapes that pass although they are refused elsewhere.
    pub allow_encoded: AllowEncoded,
    /// What is cut from the front of the path before it is sent on; empty: nothing.
    pub strip_prefix: String,
    /// What is put before the path after that; empty: nothing.
    pub add_prefix: String,
    /// Bytes of a request body, if other than the general limit. `Some(None)`: any number.
    pub body_bytes: Option<Option<u64>>,
    /// Whether an answer to an admitted request may be kept by shared caches.
    pub shared_cache: bool,
    /// Web origins whose scripts may use it, as browsers write them; empty: none.
    pub cors: Vec<String>,
    /// How often one account or address may ask; nothing: any number of times.
    pub rate: Option<RouteRate>,
    /// What it sells; nothing: nothing.
    pub sale: Option<Sale>,
    /// Whether it takes proofs of `SIGN-IN-WITH-X`, and its challenges invite to one.
    pub sign_in: bool,
    /// Whether it takes sessions, in a cookie or as a bearer.
    pub sessions: bool,
    /// Whether it takes tokens in `Authorization`.
    pub tokens: bool,
    /// Whether requests for a WebSocket open one.
    pub websocket: bool,
    /// Whether trailers of requests pass.
    pub trailers: bool,
    /// Between two pieces of a long answer or of a tunnel; nothing: as its kind has it.
    pub idle_timeout: Option<Duration>,
    /// How often what lasts is judged anew.
    pub recheck: Duration,
}

/// The paths of a rule. Both are canonical paths that begin with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This path, with or without one trailing slash.
    Exact(String),
    /// This path and all below it, at a boundary of segments.
    Prefix(String),
}

/// What a rule demands, from the least to the most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing.
    Public,
    /// A wallet that proves itself.
    Wallet,
    /// A wallet with a subscription to one of these plans; none named: to any.
    Subscription {
        /// Names of plans.
        plans: Vec<String>,
    },
    /// A wallet that has paid for the route, or a payment with the request itself.
    Payment {
        /// Names of plans that open it too.
        plans: Vec<String>,
    },
}

/// How often a route may be asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouteRate {
    /// Whose requests are counted together.
    pub by: CountedBy,
    /// How often.
    pub rate: Rate,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedBy {
    /// Those of one account, whatever it signs in with and wherever it comes from. Who brings a payment with the
    /// request itself is no account yet, and is not counted.
    Account,
    /// Those of one client address.
    Address,
}

/// So many a second on the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Events a second.
    pub per_second: f64,
    /// Events that may come at once after a silence.
    pub burst: u32,
}

/// Characters that a protected route lets through encoded, because its upstream needs them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllowEncoded {
    /// `%2f`.
    pub slash: bool,
    /// `;` and `%3b`.
    pub semicolon: bool,
}

// === impl Rule ===

impl Rule {
    /// A rule for every host and method that takes tokens and demands `requirement`, and has nothing else: the least
    /// that a rule can be. It goes to the first upstream.
    pub fn plain(name: &str, pattern: Pattern, requirement: Requirement) -> Self {
        Self {
            name: name.to_owned(),
            host: None,
            methods: Vec::new(),
            pattern,
            requirement,
            upstream: 0,
            allow_encoded: AllowEncoded::default(),
            strip_prefix: String::new(),
            add_prefix: String::new(),
            body_bytes: None,
            shared_cache: false,
            cors: Vec::new(),
            rate: None,
            sale: None,
            sign_in: false,
            sessions: false,
            tokens: true,
            websocket: false,
            trailers: false,
            idle_timeout: None,
            // The default of the key.
            recheck: Duration::from_secs(60),
        }
    }
}
