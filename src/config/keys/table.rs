//! The rows of the key table, in the order in which the example file shows them.
//!
//! Where a bound is not the contract's, its reason stands beside it or is one of these: durations that end up as
//! timers are at most a day; counts that end up as memory are at most a million; nothing that must be at least
//! one can be zero, because zero would mean "refuse everything" to the code and "no limit" to the reader.

mod eip155;
mod payments;
mod session;

use eip155::{CONTRACTS, EIP155};
use payments::{PLAN, SOLD_SECS_MAX, X402};
use session::SESSION;

use super::{Bounds, Fallback, Key, Kind, Span};

const DAY_MILLIS: u64 = 86_400_000;
const YEAR_SECS: u64 = 366 * 86_400;

/// A rate that is written as a table.
pub(crate) const RATE: &[Key] = &[
    Key::new("rate", Kind::Text, Fallback::Required, "So many on the long run, such as \"50/s\"."),
    Key::new("burst", Kind::Whole(1, 1_000_000), Fallback::Required, "So many at once after a silence."),
];

/// All of the file.
pub(crate) const ROOT: &[Key] = &[
    text(
        "public_url",
        "The origin that clients use: scheme, host and port, no path. Messages must name it, challenges are built \
         from it; it is never taken from Host.",
    )
    .required(Fallback::Text("https://api.example.com")),
    section("server", SERVER, "The listeners that clients reach."),
    section("admin", ADMIN, "The private listener: metrics, health and the admin API."),
    Key::new(
        "tls",
        Kind::Section(TLS),
        Fallback::Absent,
        "TLS of the listeners. Leave the table out for plain HTTP, which earns a warning unless it is on loopback.",
    ),
    section("auth", AUTH, "What a wallet's message must say."),
    section("chains", CHAINS, "Which chains wallets may be of, and which signatures they may make."),
    section("store", STORE, "Where subscriptions are kept."),
    section("cache", CACHE, "What is remembered between requests."),
    Key::new(
        "x402",
        Kind::Section(X402),
        Fallback::Absent,
        "Payments, and signing in by whoever has paid. Leave the table out to take no payments: a request without \
         access is then answered 401 or 403, never 402.",
    ),
    Key::new(
        "plan",
        Kind::Sections(PLAN),
        Fallback::Within,
        "What a subscription is to. Every file also knows the plan `default`, which needs no entry.",
    ),
    Key::new(
        "session",
        Kind::Section(SESSION),
        Fallback::Absent,
        "Sessions of browsers: signing in once, with a cookie or a token after that. Leave the table out to have none.",
    ),
    later("forward_auth"),
    section("limits", LIMITS, "Bounds on what clients may use."),
    Key::new(
        "upstreams",
        Kind::Named(UPSTREAM),
        Fallback::Required,
        "The services behind the gateway by name, [a-z0-9_-]{1,32}: at least one, at most 8.",
    ),
    Key::new(
        "route",
        Kind::Sections(ROUTE),
        Fallback::Required,
        "What may be asked for and by whom: at least one route, at most 64. A route with the request's host beats \
         one without, exact beats prefix, the longest prefix wins, and one with methods beats one without; the \
         order in the file has no meaning.",
    ),
    section("log", LOG, "What is written to standard error and to the access log."),
    later("telemetry"),
];

const SERVER: &[Key] = &[
    texts(
        "listen",
        &[],
        "Addresses and ports to listen on, or \"unix:/path\". Who comes by a socket in the file system has no address: \
         limits of addresses count all of them as one.",
    )
    .required(Fallback::Texts(&["0.0.0.0:8443"])),
    texts(
        "hosts",
        &[],
        "Further hosts that are served, \"name\" or \"name:port\", each with the scheme of public_url. Messages may \
         name them. Any other Host is answered 421.",
    ),
    text_or(
        "http_redirect",
        "",
        "An address and port that answers 308 to public_url and nothing else, such as \"0.0.0.0:8080\"; \"\": none.",
    ),
    flag("http2", true, "HTTP/2: by ALPN with TLS, by prior knowledge without."),
    choice(
        "proxy_protocol",
        &["off", "v1", "v2", "any"],
        "off",
        "The PROXY protocol that every proxy in trusted_proxies begins its connections with. Other peers speak without \
         it.",
    ),
    texts(
        "trusted_proxies",
        &[],
        "Addresses and networks whose word is taken for where a request came from, such as \"10.0.0.0/8\"; \"unix:\" is \
         whoever comes by a socket in the file system. Of these, clients count by the address that is told of them.",
    ),
    choice(
        "forwarded_source",
        &["x-forwarded-for", "forwarded"],
        "x-forwarded-for",
        "Where the proxies in trusted_proxies say it. The other field is not read.",
    ),
    flag("via", false, "Tell upstreams `Via: 1.1 siwx-gateway`, and answer 508 to requests that go in circles."),
    choice(
        "headers_with_underscore",
        &["drop", "keep"],
        "drop",
        "What happens to request headers with `_`, `.` or other odd bytes in their name. Lookalikes of reserved \
         names are dropped either way.",
    ),
    whole("workers", 0, 1024, 0, "Threads that serve; 0 is one for every core."),
    duration("drain_delay", 0, DAY_MILLIS, "5s", "From the signal to stop until the listeners close."),
    duration("drain_timeout", 0, DAY_MILLIS, "30s", "From then until what is left is cut off."),
    flag("watch", true, "Whether the configuration is read again when this file or a certificate changes."),
];

const ADMIN: &[Key] = &[
    text_or("listen", "127.0.0.1:9464", "Its address and port; \"\" turns it off."),
    Key::new(
        "token",
        Kind::Secret,
        Fallback::Text(""),
        "What opens /admin/*, 32 characters or more; \"\" keeps it shut. Best written as \"${NAME}\" or \
         \"${file:/path}\".",
    ),
];

const TLS: &[Key] = &[
    choice("min_version", &["1.2", "1.3"], "1.2", "The oldest TLS version that is spoken."),
    Key::new(
        "certificate",
        Kind::Sections(CERTIFICATE),
        Fallback::Required,
        "At least one. The first also serves clients that name no host.",
    ),
    section("client_auth", CLIENT_AUTH, "Certificates of clients. Where they are asked for, no session is resumed."),
];

const CLIENT_AUTH: &[Key] = &[
    choice("mode", &["off", "request", "require"], "off", "Whether one may be shown, or must be."),
    text_or("ca", "", "PEM file of the authorities that vouch for clients."),
];

const CERTIFICATE: &[Key] = &[
    texts("hosts", &[], "The host names it is for; \"*.example.com\" covers one label.")
        .required(Fallback::Texts(&["api.example.com"])),
    text("cert", "PEM file of the chain, leaf first.").required(Fallback::Text("/etc/siwx/tls/api.crt")),
    text("key", "PEM file of the private key.").required(Fallback::Text("/etc/siwx/tls/api.key")),
];

const AUTH: &[Key] = &[
    texts(
        "origins",
        &[],
        "Further web origins, those of dapps: their messages are accepted, and their pages may use sessions.",
    ),
    texts(
        "carriers",
        &["authorization", "sign-in-with-x", "session"],
        "Where credentials are looked for: tokens in \"authorization\", where [x402] is there proofs in \
         \"sign-in-with-x\", and where [session] is there cookies and bearers of a \"session\".",
    ),
    texts(
        "schemes",
        &["SIWX"],
        "Scheme names of the Authorization header that carry a proof; \"SIWE\" and \"SIWS\" may be added.",
    ),
    flag("require_expiration", true, "Whether a message must have an Expiration Time."),
    seconds("lifetime_max", 1, YEAR_SECS, "7d", "The longest from Issued At to Expiration Time."),
    Key::new(
        "age_max",
        Kind::Duration(Span { millis_min: 1000, millis_max: YEAR_SECS * 1000, whole_secs: true, optional: true }),
        Fallback::Text(""),
        "The longest since Issued At; \"\": only expiry counts.",
    ),
    seconds(
        "default_lifetime",
        1,
        YEAR_SECS,
        "5m",
        "Life of a message without Expiration Time, where it may be absent.",
    ),
    choice(
        "uri_match",
        &["origin", "request", "off"],
        "origin",
        "What the URI of a message must fit: the origin it is for, the path of the request as well, or nothing.",
    ),
    choice("nonce_charset", &["alnum", "token"], "alnum", "Letters and digits, or `-._~` and the like too."),
    choice("statement_charset", &["ascii", "unicode"], "ascii", "Which characters a statement may have."),
    seconds("clock_skew", 0, 600, "30s", "How far the clock of a client may be ahead."),
    choice(
        "nonce",
        &["reusable", "single-use"],
        "reusable",
        "Whether a message opens any number of requests until it expires, or one.",
    ),
    Key::new(
        "labels",
        Kind::Lists,
        Fallback::Lists(&[
            ("eip155", &["Ethereum"]),
            ("solana", &["Solana"]),
            ("bip122", &["Bitcoin"]),
            ("tron", &["TRON"]),
            ("sui", &["Sui"]),
        ]),
        "The words for a chain family that messages may use (\"... with your Ethereum account\"); \"*\" is any.",
    ),
    texts("deny_accounts", &[], "Accounts that are refused whatever they hold: CAIP-10 ids or bare addresses."),
    text_or("identity_prefix", "X-SIWX-", "First part of the names of the headers that tell an upstream who asks."),
    choice(
        "identity_preset",
        &["", "oauth2-proxy", "authelia"],
        "",
        "Whose names for it an upstream is told as well: X-Forwarded-User, X-Auth-Request-User and \
         X-Forwarded-Preferred-Username of oauth2-proxy, or Remote-User, Remote-Name and Remote-Groups of Authelia. The \
         user is the CAIP-10 id, the name its address, the groups the plan. \"\": ours alone.",
    ),
    flag("forward_credential", false, "Whether the credential goes on to the upstream."),
    section(
        "assertion",
        ASSERTION,
        "Who asks, told to upstreams under our signature: X-SIWX-Assertion, a JSON Web Token.",
    ),
];

const ASSERTION: &[Key] = &[
    flag("enabled", false, "Whether upstreams are told. Our public keys are at /jwks.json below session.prefix."),
    Key::new(
        "key",
        Kind::Secret,
        Fallback::Text(""),
        "The private key: PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` writes it, or for ES256 with `-algorithm \
         EC -pkeyopt ec_paramgen_curve:P-256`. \"\": made once and kept in the store. Best written as \"${NAME}\" or \
         \"${file:/path}\".",
    ),
    choice("algorithm", &["EdDSA", "ES256"], "EdDSA", "How it signs: Ed25519, or ECDSA on P-256."),
    seconds("ttl", 1, 60, "30s", "How long what is told is good. Upstreams' clocks should be as right as that."),
];

const CHAINS: &[Key] = &[
    section("eip155", EIP155, "Ethereum and its kin."),
    section("solana", SOLANA, "Solana."),
    section("bip122", BIP122, "Bitcoin."),
    section("tron", TRON, "Tron."),
    section("sui", SUI, "Sui."),
];

const SOLANA: &[Key] = &[
    texts("allow", &["solana:*"], "Chains as CAIP-2 ids, or \"solana:*\"; none turns the family off."),
    flag("offchain", true, "Whether the off-chain envelopes of Ledger and SIWS 1.1 are taken."),
    flag("memo", false, "Whether a signed memo transaction is taken in place of a message."),
];

const BIP122: &[Key] = &[texts(
    "allow",
    &[],
    "Chains as CAIP-2 ids, such as \"bip122:000000000019d6689c085ae165831e93\" for the main network, or \"bip122:*\"; \
     none: the family is off. Signatures are BIP-137 and BIP-322, of keys alone.",
)];

const TRON: &[Key] = &[texts(
    "allow",
    &[],
    "Chains as CAIP-2 ids, such as \"tron:0x2b6653dc\", or \"tron:*\"; none turns the family off.",
)];

const SUI: &[Key] =
    &[texts("allow", &[], "Chains as CAIP-2 ids, such as \"sui:mainnet\", or \"sui:*\"; none turns the family off.")];

const STORE: &[Key] = &[
    text_or(
        "url",
        "sqlite:siwx-gateway.db",
        "\"sqlite:FILE\", or \"sqlite::memory:\" for one that ends with the process.",
    ),
    duration("timeout", 1, DAY_MILLIS, "1s", "The longest that one operation may take."),
    flag("require_at_start", false, "Whether a store that does not open ends the start."),
    duration(
        "stale_if_error",
        0,
        DAY_MILLIS,
        "0s",
        "How long past its life a remembered yes may be served while the store does not answer.",
    ),
    later("lookup"),
];

const CACHE: &[Key] = &[
    section("proofs", PROOFS, "Signatures that were verified; never kept past the message's expiry."),
    section("subscriptions", SUBSCRIPTIONS, "Who has subscribed to what."),
    section("contracts", CONTRACTS, "What contracts said of signatures. That none could be asked is never kept."),
    section("sessions", SESSIONS, "Sessions that are open."),
];

const PROOFS: &[Key] = &[
    whole("entries", 1, 10_000_000, 100_000, "Entries kept at most, about 2 KiB each."),
    duration("ttl", 1, DAY_MILLIS, "10m", "How long one counts."),
];

const SESSIONS: &[Key] = &[
    whole("entries", 1, 10_000_000, 100_000, "Entries kept at most, about 4 KiB each for one session."),
    duration("ttl", 1, DAY_MILLIS, "30s", "How long one counts: a sign-out by another process is seen within it."),
];

const SUBSCRIPTIONS: &[Key] = &[
    whole("entries", 1, 10_000_000, 100_000, "Accounts kept at most."),
    duration("ttl", 1, DAY_MILLIS, "30s", "How long a yes counts: a revocation by another process is seen within it."),
    duration("negative_ttl", 0, DAY_MILLIS, "5s", "How long a no counts."),
];

const LIMITS: &[Key] = &[
    whole("connections", 1, 1_000_000, 10_000, "Connections at once, in all."),
    whole("connections_per_ip", 1, 1_000_000, 256, "Connections at once of one address; of IPv6, of one /64."),
    whole("handshakes", 1, 1_000_000, 1000, "TLS handshakes at once."),
    whole(
        "requests_per_connection",
        1,
        1_000_000_000,
        10_000,
        "Requests of one HTTP/1 connection; it ends after the last.",
    ),
    // hyper refuses a read buffer of less than 8 KiB.
    size("head_bytes", 8192, 1 << 20, "32KiB", "Bytes of a request head."),
    whole("headers", 1, 1000, 100, "Header fields of a request."),
    // A target over 65,534 bytes is refused by the HTTP library whatever stands here.
    size("target_bytes", 64, 65_534, "8KiB", "Bytes of a request target."),
    Key::new(
        "body_bytes",
        Kind::Size(Bounds { min: 0, max: i64::MAX as u64, unlimited: true, optional: false }),
        Fallback::Text("10MiB"),
        "Bytes of a request body, or \"unlimited\"; a route's own value wins.",
    ),
    duration(
        "header_timeout",
        1,
        DAY_MILLIS,
        "10s",
        "From accept to the first complete head; of each later head, from its first byte.",
    ),
    duration("idle_timeout", 1, DAY_MILLIS, "60s", "Between two requests of a connection."),
    duration(
        "body_idle_timeout",
        1,
        DAY_MILLIS,
        "30s",
        "Between two pieces of a request body; how long a client may take nothing of its answer.",
    ),
    duration("handshake_timeout", 1, DAY_MILLIS, "10s", "From accept to the end of the TLS handshake."),
    whole("in_flight", 1, 1_000_000, 20_000, "Requests at once, in all."),
    whole("tunnels", 1, 1_000_000, 1000, "WebSockets at once, in all."),
    whole("tunnels_per_account", 1, 100_000, 16, "WebSockets at once of one account."),
    Key::new(
        "auth_failures",
        Kind::Rate,
        Fallback::Rate("20/s", 100),
        "How many refused credentials an address may send, as \"20/s\" or { rate = \"20/s\", burst = 100 }; \"off\". \
         Warm credentials are not touched by it.",
    ),
    section("http2", HTTP2, "Bounds on one HTTP/2 connection."),
];

const HTTP2: &[Key] = &[
    whole("streams", 1, 10_000, 100, "Streams at once."),
    size("header_list", 1024, 1 << 20, "32KiB", "Bytes of a decoded header list."),
    section("resets", RESETS, "Streams that a client may reset."),
];

const RESETS: &[Key] = &[
    whole("per_10s", 1, 1_000_000, 200, "Within ten seconds."),
    whole("per_connection", 1, 1_000_000_000, 10_000, "In all."),
];

const UPSTREAM: &[Key] = &[
    texts(
        "urls",
        &[],
        "Where it is: \"http://\", \"https://\" or \"h2c://\" URLs of host and port, no path; several are shared out.",
    )
    .required(Fallback::Texts(&["http://10.1.0.5:3000"])),
    choice(
        "balance",
        &["least-requests", "round-robin"],
        "least-requests",
        "Which of several URLs is asked next: the one with the fewest requests, or one after another.",
    ),
    flag("http2", false, "Whether HTTP/2 is offered to \"https://\" URLs; \"h2c://\" ones speak nothing else."),
    text_or(
        "host",
        "preserve",
        "The Host it sees: \"preserve\" the client's, that of its \"upstream\" URL, or this very name.",
    ),
    duration("connect_timeout", 1, DAY_MILLIS, "3s", "From the first packet to the end of the TLS handshake."),
    duration("response_timeout", 1, DAY_MILLIS, "30s", "From the end of sending the head to the head of the answer."),
    duration("idle_timeout", 1, DAY_MILLIS, "60s", "Between two pieces of the body of the answer."),
    duration("pool_idle", 0, DAY_MILLIS, "30s", "How long an unused connection is kept."),
    whole("in_flight", 1, 1_000_000, 2000, "Requests at once; more are answered 503."),
    whole("retries", 0, 1, 1, "How often a request is sent again that it certainly did not read: 0 or 1."),
    section("health", HEALTH, "Which of several URLs are left out: the last one never is."),
    section("tls", UPSTREAM_TLS, "TLS towards an \"https://\" upstream."),
];

const HEALTH: &[Key] = &[
    whole("passive_failures", 1, 1000, 5, "After so many failures in a row, to connect or to speak HTTP."),
    duration("eject", 1, DAY_MILLIS, "10s", "For so long after them."),
    text_or("path", "", "What is asked for by GET to see whether one is well, such as \"/healthz\"; \"\": nothing is."),
    duration("interval", 100, DAY_MILLIS, "5s", "How often."),
    duration("timeout", 1, DAY_MILLIS, "1s", "How long an answer is waited for; one below 400 is good."),
];

const UPSTREAM_TLS: &[Key] = &[
    text_or("ca", "", "PEM file of the authorities that vouch for it; \"\": those of the system."),
    text_or("server_name", "", "The name its certificate must have; \"\": the host of its URL."),
    flag(
        "insecure_skip_verify",
        false,
        "Whether any certificate will do: whoever is in between can read and change all.",
    ),
];

const ROUTE_RATE: &[Key] = &[
    choice(
        "by",
        &["account", "ip"],
        "account",
        "Whose requests count together: an account's, or those of an address (of IPv6, of one /64). A request that \
         brings its own payment belongs to no account.",
    ),
    Key::new("rate", Kind::Text, Fallback::Required, "So many on the long run, such as \"50/s\".")
        .required(Fallback::Text("50/s")),
    Key::new("burst", Kind::Whole(1, 1_000_000), Fallback::Absent, "So many at once after a silence.")
        .absent(Fallback::Whole(100)),
];

const ROUTE: &[Key] = &[
    text("name", "Its name, [a-z0-9_-]{1,32}; a metric label, unique.").required(Fallback::Text("api")),
    text("prefix", "This path and all below it, at a boundary of segments; or `path`.").absent(Fallback::Text("/v2/")),
    text("path", "Exactly this path, with or without one trailing slash; or `prefix`.").absent(Fallback::Text("/v1/status")),
    texts("methods", &[], "The methods it is for; none: any but TRACE and CONNECT. GET includes HEAD."),
    text_or("host", "", "The host it is for; \"\": any that is served."),
    text("upstream", "The name of one of [upstreams].").required(Fallback::Text("api")),
    choice(
        "auth",
        &["none", "wallet", "subscription", "payment"],
        "wallet",
        "What it demands: nothing, a wallet that proves itself, one with a subscription, or one that has paid.",
    )
    .example(Fallback::Text("subscription")),
    texts(
        "plans",
        &[],
        "The plans that open it. With auth = \"subscription\" none means any plan; with \"payment\" they open it beside \
         a payment.",
    )
    .example(Fallback::Texts(&["nano"])),
    texts("carriers", &[], "Where credentials are looked for; none: as [auth] says."),
    Key::new(
        "body_bytes",
        Kind::Size(Bounds { min: 0, max: i64::MAX as u64, unlimited: true, optional: true }),
        Fallback::Text(""),
        "Bytes of a request body, or \"unlimited\"; \"\": as [limits] says.",
    )
    .example(Fallback::Text("1MiB")),
    text_or("strip_prefix", "", "What is cut from the front of the path before it goes on."),
    text_or("add_prefix", "", "What is put before the path after that."),
    texts("allow_encoded", &[], "\"%2f\" and \";\": what may stand in the path of a protected route although it is refused elsewhere."),
    flag("shared_cache", false, "Whether shared caches may keep answers to admitted requests; else they get Cache-Control: private."),
    Key::new(
        "rate",
        Kind::Section(ROUTE_RATE),
        Fallback::Absent,
        "How often one account or one address may ask. Leave it out for any number of times.",
    ),
    section("cors", CORS, "Which web origins' scripts may use it. They may send the credentials that are headers, and read challenges and receipts."),
    flag("websocket", false, "Whether requests for a WebSocket open one: HTTP/1.1 alone, and it ends with what let it in."),
    flag("trailers", false, "Whether trailers of requests pass, as gRPC needs it; those of answers always do."),
    Key::new(
        "idle_timeout",
        Kind::Duration(Span { millis_min: 1, millis_max: DAY_MILLIS, whole_secs: false, optional: true }),
        Fallback::Text(""),
        "Between two pieces of an answer or of a WebSocket; \"\": as the upstream says, and 5m for WebSockets and event \
         streams.",
    ),
    duration("recheck", 100, DAY_MILLIS, "60s", "How often credential, account and subscription of a WebSocket or a stream are judged anew."),
    text_or("price", "", "What it costs, such as \"$0.01\"; with auth = \"payment\", and only there."),
    text_or("description", "", "What is sold, for people: `resource.description` of the challenge."),
    text_or("mime_type", "", "The type of what is sold: `resource.mimeType` of the challenge."),
    Key::new(
        "access_for",
        Kind::Duration(Span { millis_min: 1000, millis_max: SOLD_SECS_MAX * 1000, whole_secs: true, optional: true }),
        Fallback::Text(""),
        "How long one payment opens it, with auth = \"payment\"; \"\": for ever.",
    ),
    choice(
        "access_scope",
        &["route", "path"],
        "route",
        "Whether one payment opens all that the route covers, or the path that was paid for.",
    ),
    choice(
        "settle",
        &["", "on-headers", "before"],
        "",
        "When money moves: once the upstream has answered its head, or before it is asked. \"\": on-headers for GET and \
         HEAD, before for other methods, which may have effects.",
    ),
    flag("sign_in", true, "Whether challenges invite to sign in, and proofs of it are taken, where [x402] is there."),
];

const CORS: &[Key] = &[texts(
    "origins",
    &[],
    "Origins as browsers write them, such as \"https://app.example.com\"; none: no script of another origin.",
)];

const LOG: &[Key] = &[
    choice("level", &["error", "warn", "info", "debug", "trace"], "info", "The least that is worth a line."),
    choice("format", &["json", "text"], "json", "JSON for machines, or text for people."),
    section("access", ACCESS, "One line for a request."),
];

const ACCESS: &[Key] = &[
    flag("enabled", true, "Whether there is an access log."),
    Key::new(
        "sample",
        Kind::Number(0.0, 1.0),
        Fallback::Number(1.0),
        "Part of the admitted requests that get a line, 0 to 1; refused ones always do.",
    ),
    choice("query", &["full", "keys", "drop"], "keys", "What is shown of a query: all, the names alone, nothing."),
    choice("account", &["full", "short", "hash", "none"], "short", "What is shown of an account."),
];

// What follows shortens the rows above.

const fn later(name: &'static str) -> Key {
    Key::new(name, Kind::Later, Fallback::Absent, "")
}

const fn section(name: &'static str, keys: &'static [Key], doc: &'static str) -> Key {
    Key::new(name, Kind::Section(keys), Fallback::Within, doc)
}

const fn text(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Text, Fallback::Absent, doc)
}

const fn text_or(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Text, Fallback::Text(default), doc)
}

const fn texts(name: &'static str, default: &'static [&'static str], doc: &'static str) -> Key {
    Key::new(name, Kind::Texts, Fallback::Texts(default), doc)
}

const fn choice(name: &'static str, words: &'static [&'static str], default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Choice(words), Fallback::Text(default), doc)
}

const fn flag(name: &'static str, default: bool, doc: &'static str) -> Key {
    Key::new(name, Kind::Flag, Fallback::Flag(default), doc)
}

const fn whole(name: &'static str, min: u64, max: u64, default: u64, doc: &'static str) -> Key {
    Key::new(name, Kind::Whole(min, max), Fallback::Whole(default), doc)
}

const fn size(name: &'static str, min: u64, max: u64, default: &'static str, doc: &'static str) -> Key {
    let bounds = Bounds { min, max, unlimited: false, optional: false };
    Key::new(name, Kind::Size(bounds), Fallback::Text(default), doc)
}

const fn duration(
    name: &'static str,
    millis_min: u64,
    millis_max: u64,
    default: &'static str,
    doc: &'static str,
) -> Key {
    let span = Span { millis_min, millis_max, whole_secs: false, optional: false };
    Key::new(name, Kind::Duration(span), Fallback::Text(default), doc)
}

/// A duration of whole seconds, because the times of messages are judged by the second.
const fn seconds(name: &'static str, secs_min: u64, secs_max: u64, default: &'static str, doc: &'static str) -> Key {
    let span = Span { millis_min: secs_min * 1000, millis_max: secs_max * 1000, whole_secs: true, optional: false };
    Key::new(name, Kind::Duration(span), Fallback::Text(default), doc)
}
