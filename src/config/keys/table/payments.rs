//! The rows of `[x402]` and `[[plan]]`.

use super::{DAY_MILLIS, Fallback, Key, Kind, YEAR_SECS, choice, duration, flag, seconds, text, text_or, texts, whole};

const DAY_SECS: u64 = 86_400;

/// What is sold lasts at most ten years: longer is for ever, which is said otherwise.
pub(super) const SOLD_SECS_MAX: u64 = 10 * YEAR_SECS;

pub(super) const X402: &[Key] = &[
    text_or("statement", "", "The sentence that wallets show who signs in, in printable ASCII; \"\": none."),
    Key::new(
        "nonce_secret",
        Kind::Secret,
        Fallback::Text(""),
        "What makes nonces known as our own; several gateways of one site share it. \"\": made once and kept in the \
         store. Best written as \"${NAME}\" or \"${file:/path}\", 32 characters or more.",
    ),
    flag("require_issued_nonce", true, "Whether a sign-in must be over a nonce that was issued here."),
    seconds("proof_age_max", 1, DAY_SECS, "5m", "How old a sign-in proof, and its nonce, may be."),
    texts(
        "sign_in_chains",
        &[],
        "The chains that challenges invite to sign in on, as CAIP-2 ids; none: the networks of [[x402.accept]] in their \
         order, as far as [chains] lets them in.",
    ),
    text_or(
        "shop",
        "/x402",
        "The path under which plans are sold: its /pricing, /purchase and /status go before every route. \"\": off.",
    ),
    flag("public_status", false, "Whether anybody may ask what an account holds, or only who signs in as it."),
    Key::new(
        "facilitator",
        Kind::Sections(FACILITATOR),
        Fallback::Within,
        "Who verifies payments and moves the money. The first that supports scheme and network of a payment is asked.",
    ),
    Key::new(
        "accept",
        Kind::Sections(ACCEPT),
        Fallback::Within,
        "Where money goes. Every price is offered on each of these, in their order.",
    ),
];

const FACILITATOR: &[Key] = &[
    text_or("name", "main", "Its name, [a-z0-9_-]{1,32}; a metric label, unique."),
    text("url", "Its base URL: https, or http on loopback.").required(Fallback::Text("https://facilitator.example")),
    Key::new(
        "headers",
        Kind::Secrets,
        Fallback::Lists(&[]),
        "Headers of every request to it, such as { Authorization = \"Bearer ${file:/path}\" }. A file is read again \
         when it has changed.",
    ),
    duration("verify_timeout", 1, DAY_MILLIS, "10s", "The longest that verifying one payment may take."),
    duration(
        "settle_timeout",
        1,
        DAY_MILLIS,
        "60s",
        "The longest that settling one payment may take: it waits for a chain.",
    ),
];

const ACCEPT: &[Key] = &[
    text("network", "The chain, as a CAIP-2 id of eip155 or solana.").required(Fallback::Text("eip155:8453")),
    text("pay_to", "The address that is paid.").required(Fallback::Text("0x0000000000000000000000000000000000000001")),
    Key::new(
        "asset",
        Kind::TextOr(ASSET),
        Fallback::Text("usdc"),
        "What is paid with: \"usdc\" where it is known, or { address, decimals, name, version } of another dollar token; \
         name and version are those of its EIP-712 domain, on EVM chains alone.",
    ),
    choice(
        "scheme",
        &["exact", "upto"],
        "exact",
        "Whether the price is charged, or what the upstream says and the price at most; \"upto\" on EVM chains alone.",
    ),
    seconds(
        "timeout",
        1,
        DAY_SECS,
        "60s",
        "How long a payment may be settled after it was signed: at least the response_timeout of the upstreams of what \
         is sold, and 15s.",
    ),
];

pub(super) const PLAN: &[Key] = &[
    text("name", "Its name, [a-z0-9_-]{1,32}; unique.").required(Fallback::Text("nano")),
    text_or(
        "price",
        "",
        "Its price, such as \"$5.00\", where [x402] says how to pay; \"\": not for sale, granted by the operator.",
    )
    .example(Fallback::Text("$5.00")),
    seconds("period", 1, SOLD_SECS_MAX, "30d", "How much longer one purchase makes it."),
    Key::new(
        "rate",
        Kind::Rate,
        Fallback::Text("off"),
        "How often an account may ask by it, as \"20/s\" or { rate = \"20/s\", burst = 40 }; \"off\".",
    )
    .example(Fallback::Rate("20/s", 40)),
    Key::new(
        "quota",
        Kind::Section(QUOTA),
        Fallback::Absent,
        "How many requests an account has in each window, the first of which begins with the plan. Leave it out for \
         any number.",
    ),
];

const QUOTA: &[Key] = &[
    whole("requests", 1, 1_000_000_000_000, 0, "Requests in a window.").required(Fallback::Whole(100_000)),
    seconds("window", 1, SOLD_SECS_MAX, "", "How long a window is.").required(Fallback::Text("30d")),
];

/// A token that has no name of its own here.
const ASSET: &[Key] = &[
    text("address", "Its contract (EVM) or mint (Solana).").required(Fallback::Text("")),
    // 10 to the power of 38 is the greatest that fits into 128 bits.
    Key::new("decimals", Kind::Whole(0, 38), Fallback::Required, "Digits after the point of one whole token."),
    text_or("name", "", "The `name` of its EIP-712 domain; on EVM chains alone."),
    text_or("version", "", "The `version` of its EIP-712 domain; on EVM chains alone."),
];
