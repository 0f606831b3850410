//! The rows of `[session]`.

use super::{DAY_MILLIS, Fallback, Key, Kind, Span, YEAR_SECS, choice, duration, flag, seconds, section, text_or};

/// Long enough for a hardware wallet, and short enough that a claim on a nonce is not kept for ever.
const AGE_SECS_MAX: u64 = 86_400;

pub(super) const SESSION: &[Key] = &[
    text_or("prefix", "/.siwx", "The path under which browsers sign in; it goes before every route."),
    seconds("ttl", 60, YEAR_SECS, "24h", "How long a session lives from sign-in or refresh on."),
    Key::new(
        "idle",
        // A use is written down once in a tenth of it.
        Kind::Duration(Span { millis_min: 60_000, millis_max: YEAR_SECS * 1000, whole_secs: true, optional: true }),
        Fallback::Text(""),
        "How long a session lives without being used; \"\": as long as any.",
    ),
    seconds("absolute", 60, YEAR_SECS, "7d", "How long a session lives however often it is refreshed."),
    choice(
        "token",
        &["opaque", "jwt"],
        "opaque",
        "What cookies and bearers hold: a random id, or a token that says who is signed in.",
    ),
    section("cookie", COOKIE, "The cookie of browsers."),
    flag(
        "csrf",
        true,
        "Whether methods that change something, and WebSockets, take a cookie from pages of public_url, server.hosts and \
         auth.origins alone.",
    ),
    Key::new(
        "labels",
        Kind::Lists,
        Fallback::Lists(&[]),
        "Further words for a chain family that sign-ins may use, as auth.labels. Dapps with AppKit write the names of \
         their networks: { eip155 = [\"*\"] }.",
    ),
    seconds(
        "message_age_max",
        10,
        AGE_SECS_MAX,
        "10m",
        "How old a nonce may be, and a message of a sign-in, whatever its Expiration Time says.",
    ),
    Key::new(
        "revalidate_after",
        Kind::Duration(Span { millis_min: 1000, millis_max: YEAR_SECS * 1000, whole_secs: false, optional: true }),
        Fallback::Text("15m"),
        "When the contract of a contract wallet is asked again whether it takes the signature; \"\": never.",
    ),
    duration(
        "revalidate_grace",
        0,
        DAY_MILLIS,
        "15m",
        "How much longer its session is good while no node of the chain answers.",
    ),
    flag("login_page", true, "Whether browsers that are refused are shown a page to sign in on."),
    text_or("reown_prefix", "", "The path of the endpoints of ReownAuthentication, such as \"/auth/v1\"; \"\": off."),
];

const COOKIE: &[Key] = &[
    text_or(
        "name",
        "__Host-siwx",
        "Its name. The default is `__Secure-siwx` with a domain, and `siwx` where public_url is http.",
    ),
    choice(
        "same_site",
        &["lax", "none", "strict"],
        "lax",
        "Which sites bring it along: others when they send a visitor over, any (each with a cookie of its own), or none.",
    ),
    text_or("domain", "", "The domain whose hosts all get it; \"\": the host of public_url alone."),
];
