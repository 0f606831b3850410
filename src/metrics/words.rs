//! The words that stand in labels: closed lists, each here once.

/// Reasons for which a request ends before it has a route.
pub const REJECTED: [&str; 9] = [
    "bad_request",
    "head_too_large",
    "uri_too_long",
    "bad_path",
    "bad_host",
    "framing",
    "timeout",
    "method",
    "overload",
];

/// Caches.
pub const CACHES: [&str; 4] = ["proofs", "subscriptions", "contracts", "sessions"];

/// What became of a look into a cache.
pub const CACHE_RESULTS: [&str; 5] = ["hit", "miss", "stale", "negative", "coalesced"];

/// Why an entry left a cache.
pub const EVICTIONS: [&str; 4] = ["expired", "size", "explicit", "replaced"];

/// Ways a request takes through authentication.
pub const AUTH_PATHS: [&str; 4] = ["cache_hit", "verify", "verify_store", "deny"];

/// What went wrong with an upstream.
pub const UPSTREAM_ERRORS: [&str; 7] = ["connect", "tls", "timeout", "reset", "protocol", "body", "ejected"];

/// Protocols of a connection.
pub const PROTOCOLS: [&str; 3] = ["h1", "h2", "ws"];

/// Why a connection was not taken.
pub const CONNECTIONS_REJECTED: [&str; 6] =
    ["global_cap", "ip_cap", "handshake_cap", "handshake_timeout", "draining", "paused"];

/// Why an address is not listened to for a while.
pub const ADDRESS_PAUSES: [&str; 2] = ["h2_flood", "ip_cap"];

/// Why a client's HTTP/2 connection was told to go away.
pub const GOAWAYS: [&str; 8] =
    ["rapid_reset", "local_resets", "header_list", "continuation", "ping", "settings", "protocol", "drain"];

/// What comes of reading the configuration again.
pub const RELOADS: [&str; 2] = ["ok", "failed"];

/// Ends of a TLS handshake that failed; those that succeed have their version beside them.
pub const HANDSHAKES_FAILED: [&str; 3] = ["client_cert", "timeout", "error"];

/// Ends of a TLS handshake that succeeded.
pub const HANDSHAKES_DONE: [&str; 2] = ["ok", "resumed"];

/// Versions of TLS that are spoken.
pub const TLS_VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// What becomes of a payment.
pub const PAYMENT_STATUSES: [&str; 4] = ["settled", "refused", "unknown", "replayed"];

/// States of payments that are not settled.
pub const OPEN_STATUSES: [&str; 3] = ["reserved", "settling", "unknown"];

/// Checks of readiness.
pub const READY_CHECKS: [&str; 5] = ["configuration", "listeners", "certificates", "store", "not_draining"];
