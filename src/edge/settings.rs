//! What the configuration says about sockets, TLS, limits and upstreams.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::proxy_protocol::Versions;
use crate::{
    policy::source::{Field, Networks},
    secret::Secret,
    session::keys::{Algorithm, SigningKey},
};

/// The listeners and what holds for every connection.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses to listen on.
    pub listen: Vec<Listen>,
    /// Answers 308 to `public_url`, and nothing else.
    pub http_redirect: Option<SocketAddr>,
    /// Hosts served, in lower case and without port; any other is 421.
    pub hosts: Vec<String>,
    /// What `WWW-Authenticate` names as realm, and `X-Forwarded-*` where the request does not say: the
    /// authority of `public_url`.
    pub realm: String,
    /// HTTP/2: by ALPN with TLS, by prior knowledge without.
    pub http2: bool,
    /// Whether names with `_` and other odd bytes are kept when they are no alias of a reserved one.
    pub keep_odd_header_names: bool,
    /// Proxies in front that may say where a request came from.
    pub proxies: Proxies,
    /// Whether upstreams are told in `Via` that a request came through here.
    pub via: bool,
    /// Threads that serve; one a core if 0.
    pub workers: usize,
    /// From the signal to stop until listeners close.
    pub drain_delay: Duration,
    /// From closing listeners until what is left is cut.
    pub drain_timeout: Duration,
    /// Whether the configuration is read again when a file of it changes.
    pub watch: bool,
    /// Certificates; nothing: plain HTTP.
    pub tls: Option<TlsSettings>,
    /// Limits of connections and requests.
    pub limits: Limits,
    /// First part of the identity headers, such as `X-SIWX-`.
    pub identity_prefix: String,
    /// Whose names for it an upstream is told as well; nothing: ours alone.
    pub identity_preset: Option<IdentityPreset>,
    /// What upstreams are told under our signature; nothing: nothing.
    pub assertion: Option<AssertionSettings>,
    /// Whether the credential goes on to the upstream.
    pub forward_credential: bool,
    /// Scheme names of `Authorization` that are ours and stay here.
    pub schemes: Vec<String>,
    /// The private listener.
    pub admin: Option<AdminSettings>,
    /// One line a request.
    pub access_log: AccessLog,
}

/// Proxies in front that may say where a request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    /// Their networks.
    pub trusted: Networks,
    /// Where they say it.
    pub field: Field,
    /// The PROXY protocol, which all of them speak if one does.
    pub protocol: Option<Versions>,
}

/// Where clients connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Who a request is, told under our signature.
#[derive(Debug, Clone)]
pub struct AssertionSettings {
    /// The key; nothing: one of what the store keeps.
    pub key: Option<SigningKey>,
    /// How it signs.
    pub algorithm: Algorithm,
    /// How many seconds an assertion is good.
    pub ttl_secs: u32,
}

/// A gateway whose headers applications know already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityPreset {
    /// `Remote-User`, `Remote-Name`, `Remote-Groups`.
    Authelia,
    /// `X-Forwarded-User`, `X-Auth-Request-User`, `X-Forwarded-Preferred-Username`.
    Oauth2Proxy,
}

/// TLS of the public listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whether TLS 1.2 is spoken beside 1.3.
    pub tls12: bool,
    /// Certificates; the first also serves clients that name no host.
    pub certificates: Vec<CertificateFiles>,
    /// Certificates of clients; nothing: none is asked for.
    pub client_auth: Option<ClientAuth>,
}

/// Certificates that clients show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    /// Whether nobody comes in without.
    pub required: bool,
    /// PEM file of the authorities that vouch for them.
    pub ca: PathBuf,
}

/// A certificate chain, its key and the hosts it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Host names, in lower case.
    pub hosts: Vec<String>,
    /// PEM file of the chain, leaf first.
    pub cert: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// Bounds; each has a key in the configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Connections at once, in all.
    pub connections: usize,
    /// Connections at once of one address (IPv6: one /64).
    pub connections_per_ip: usize,
    /// TLS handshakes at once.
    pub handshakes: usize,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Bytes of a request target.
    pub target_bytes: usize,
    /// Bytes of a request body; nothing: any number.
    pub body_bytes: Option<u64>,
    /// From accept to the first complete head; of each later head, from its first byte.
    pub header_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// Requests of one HTTP/1 connection.
    pub requests_per_connection: u64,
    /// Between two pieces of a request body.
    pub body_idle_timeout: Duration,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// Requests at once, in all.
    pub in_flight: usize,
    /// WebSockets at once, in all.
    pub tunnels: usize,
    /// WebSockets at once of one account.
    pub tunnels_per_account: usize,
    /// Streams at once on one HTTP/2 connection.
    pub http2_streams: u32,
    /// Bytes of a decoded HTTP/2 header list.
    pub http2_header_list: u32,
    /// Streams that a client may reset.
    pub http2_resets: ResetLimits,
}

/// How many streams the client of one HTTP/2 connection may reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetLimits {
    /// Within ten seconds.
    pub per_10s: u32,
    /// In all.
    pub per_connection: u32,
}

/// The listener of metrics, health and the admin API.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Its address.
    pub listen: SocketAddr,
    /// What opens `/admin/*`; nothing: it is closed.
    pub token: Option<Secret<String>>,
}

/// The access log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccessLog {
    /// Whether there is one.
    pub enabled: bool,
    /// Part of the admitted requests that are logged, 0 to 1; refusals always are.
    pub sample: f64,
    /// JSON, or a line for people.
    pub json: bool,
    /// What is shown of a query.
    pub query: QueryShown,
    /// What is shown of an account.
    pub account: AccountShown,
}

/// What the access log shows of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryShown {
    /// Nothing.
    Drop,
    /// All of it.
    Full,
    /// The names, without their values.
    Keys,
}

/// What the access log shows of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountShown {
    /// All of it.
    Full,
    /// Its SHA-256, cut.
    Hash,
    /// Nothing.
    None,
    /// The first and last characters of the address.
    Short,
}

/// A service behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Its name; a metric label.
    pub name: String,
    /// Where it is: at least one, all of one scheme.
    pub urls: Vec<UpstreamUrl>,
    /// Which of them is asked next.
    pub balance: Balance,
    /// Which of them are left out.
    pub health: HealthSettings,
    /// Whether HTTP/2 is spoken: by prior knowledge, or offered by ALPN.
    pub http2: bool,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
    /// What the upstream sees as Host.
    pub host: HostSent,
    /// From the first packet to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// From the end of sending the head to the answer's head.
    pub response_timeout: Duration,
    /// Between two pieces of the answer's body.
    pub idle_timeout: Duration,
    /// How long an unused connection is kept.
    pub pool_idle: Duration,
    /// Requests at once; more are answered 503.
    pub in_flight: usize,
    /// How often a request is sent again that certainly was not read: 0 or 1.
    pub retries: u32,
    /// File of the authorities that vouch for the upstream; nothing: those of the system.
    pub ca: Option<PathBuf>,
    /// The name its certificate must have; nothing: the host of `url`.
    pub server_name: Option<String>,
}

/// Where an upstream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// What is spoken.
    pub scheme: UpstreamScheme,
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamScheme {
    /// HTTP/2 in the clear, by prior knowledge.
    H2c,
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

impl UpstreamSettings {
    /// Whether a WebSocket can be carried there: it needs HTTP/1.1, which whoever speaks TLS can be asked for.
    pub fn carries_tunnels(&self) -> bool {
        self.urls.iter().all(|url| url.scheme != UpstreamScheme::H2c)
    }
}

impl UpstreamScheme {
    /// What a URL begins with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H2c => "h2c",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL need not name.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::H2c | Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Which of several endpoints is asked next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest requests.
    LeastRequests,
    /// One after another.
    RoundRobin,
}

/// Which of several endpoints are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// After so many failures in a row.
    pub passive_failures: u32,
    /// For so long.
    pub eject: Duration,
    /// Checks of their own; nothing: none.
    pub check: Option<CheckSettings>,
}

/// How endpoints are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSettings {
    /// What is asked for by GET.
    pub path: String,
    /// How often.
    pub interval: Duration,
    /// How long an answer is waited for, connecting included.
    pub timeout: Duration,
}

/// What an upstream sees as Host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostSent {
    /// This.
    Literal(String),
    /// What the client sent.
    Preserve,
    /// The authority of the upstream's URL.
    Upstream,
}
