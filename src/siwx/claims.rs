//! What a message claims, judged against what a gateway expects and a clock (message.md section 6).
//!
//! 1. [`check`] is asked on every request, also when the signature was verified before: a text expires while
//!    its verdict is cached, and routes expect different things. It parses nothing and, unless it refuses for
//!    a reason that does not change with time, allocates nothing.
//! 2. The expected domain comes from configuration, never from a header of the request. Domain, scheme and URI
//!    are matched against one and the same origin, by their parts and not as prefixes of strings.
//! 3. Every time is judged by itself, whichever others are there. Clock skew forgives a client whose clock runs
//!    ahead; it prolongs nothing.
//! 4. The nonce is not judged here: its store is asked when everything else is right.

use std::fmt;

use super::{Field, Message, error::Shown, uri::Uri};
pub use super::{
    error::ClaimError,
    origin::{Origin, OriginError},
};
use crate::{
    caip::{AccountId, ChainId},
    time::UnixTime,
};

/// What [`check`] must know of a message, taken out once. Small, because caches keep many.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    /// The texts below, one after the other.
    packed: Box<str>,
    ends: [usize; Text::COUNT],
    chain: Option<ChainId>,
    account: Option<AccountId>,
    issued_at: Option<UnixTime>,
    expiration_time: Option<UnixTime>,
    not_before: Option<UnixTime>,
    /// Which parts the message has, a bit for each [`Field`].
    present: u16,
}

/// The texts of [`Claims::packed`], in its order.
#[derive(Clone, Copy)]
enum Text {
    Domain,
    Scheme,
    Label,
    Namespace,
    /// Empty if there is an account, which has it.
    Address,
    Nonce,
    /// The canonical web origin of the URI; empty if it has none.
    UriOrigin,
    /// The path of the URI without the slashes at its end.
    UriPath,
}

/// What a gateway expects of a message.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The web origins that messages may be for.
    pub origins: Vec<Origin>,
    /// For a namespace the labels that are welcome; `*` is any.
    pub labels: Vec<(String, Vec<String>)>,
    /// The chains that are welcome: `eip155:8453`, or `eip155:*` for all of a namespace.
    pub chains: Vec<String>,
    /// The parts a message must have.
    pub required: Vec<Field>,
    /// What the URI must agree with.
    pub uri_match: UriMatch,
    /// By how much a client's clock may run ahead.
    pub clock_skew_secs: u32,
    /// How long a message without Expiration Time is good from its Issued At on.
    pub default_lifetime_secs: u32,
    /// The most seconds between Issued At, or now if there is none, and Expiration Time.
    pub lifetime_secs_max: u32,
    /// The most seconds since Issued At, whatever Expiration Time says.
    pub age_secs_max: Option<u32>,
    /// Whether Expiration Time must be there.
    pub require_expiration: bool,
}

/// What the URI of a message must agree with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UriMatch {
    /// Nothing: the URI is not looked at.
    Off,
    /// The origin that the domain matched.
    Origin,
    /// That origin, and its path must be the request's or lie above it.
    Request,
}

/// Judges a message, and says until when it stays good. At that time a message with an Expiration Time is
/// refused; one that ends by its age is still good and is refused a millisecond later.
///
/// `request_path` is the canonical path of the request; only [`UriMatch::Request`] looks at it, and refuses
/// where there is none.
pub fn check(
    claims: &Claims,
    expected: &Expectation,
    request_path: Option<&str>,
    now: UnixTime,
) -> Result<UnixTime, ClaimError> {
    check_origin(claims, expected, request_path)?;
    check_times(claims, expected, now)
}

/// Rules 1 to 6 of message.md section 6: what does not change with time.
fn check_origin(claims: &Claims, expected: &Expectation, request_path: Option<&str>) -> Result<(), ClaimError> {
    let by_domain = || expected.origins.iter().filter(|origin| origin.authority() == claims.domain());
    if by_domain().next().is_none() {
        return Err(domain_mismatch(claims, expected));
    }
    // One authority may be served with two schemes, on one port of its own.
    let by_scheme = || by_domain().filter(|origin| claims.scheme().is_none_or(|scheme| scheme == origin.scheme()));
    if by_scheme().next().is_none() {
        return Err(scheme_mismatch(claims, expected));
    }
    check_chain_family(claims, expected)?;
    check_required(claims, expected)?;
    check_chain(claims, expected)?;
    if expected.uri_match == UriMatch::Off || !claims.holds(Field::Uri) {
        return Ok(());
    }
    let same_origin = by_scheme().any(|origin| origin.as_str() == claims.text(Text::UriOrigin));
    let same_path = expected.uri_match != UriMatch::Request
        || request_path.is_some_and(|path| covers(claims.text(Text::UriPath), path));
    if !same_origin || !same_path {
        return Err(ClaimError::UriMismatch);
    }
    Ok(())
}

fn check_chain_family(claims: &Claims, expected: &Expectation) -> Result<(), ClaimError> {
    let namespace = claims.namespace();
    if !expected.chains.iter().any(|chain| reference_in(chain, namespace).is_some()) {
        return Err(namespace_not_allowed(claims, expected));
    }
    let welcome = expected.labels.iter().find(|(of, _)| of == namespace).map_or(&[][..], |(_, labels)| labels);
    let label = claims.text(Text::Label);
    if !welcome.iter().any(|welcome| welcome == "*" || welcome == label) {
        return Err(label_not_allowed(claims, welcome));
    }
    Ok(())
}

fn check_required(claims: &Claims, expected: &Expectation) -> Result<(), ClaimError> {
    if let Some(absent) = expected.required.iter().find(|field| !claims.holds(**field)) {
        return Err(ClaimError::MissingField(*absent));
    }
    // A text without any time would be good for ever.
    let unbounded = claims.expiration_time.is_none() && (expected.require_expiration || claims.issued_at.is_none());
    if unbounded {
        return Err(ClaimError::MissingField(Field::ExpirationTime));
    }
    if expected.age_secs_max.is_some() && claims.issued_at.is_none() {
        return Err(ClaimError::MissingField(Field::IssuedAt));
    }
    Ok(())
}

fn check_chain(claims: &Claims, expected: &Expectation) -> Result<(), ClaimError> {
    let Some(chain) = claims.chain() else {
        return Ok(());
    };
    let welcome =
        |entry: &String| matches!(reference_in(entry, chain.namespace()), Some("*")) || entry == chain.as_str();
    if !expected.chains.iter().any(welcome) {
        return Err(chain_not_allowed(chain, expected));
    }
    Ok(())
}

/// Rules 7 and 8.
fn check_times(claims: &Claims, expected: &Expectation, now: UnixTime) -> Result<UnixTime, ClaimError> {
    let (issued, expires, begins) = (claims.issued_at, claims.expiration_time, claims.not_before);
    let latest = now.plus_millis(millis(expected.clock_skew_secs));
    if expires.is_some_and(|expires| [issued, begins].into_iter().flatten().any(|start| expires <= start)) {
        return Err(ClaimError::InvalidTimeRange);
    }
    if let Some(issued) = issued.filter(|issued| *issued > latest) {
        return Err(ClaimError::IssuedInFuture { secs: secs_up(issued.millis_since(now)) });
    }
    if let Some(begins) = begins.filter(|begins| *begins > latest) {
        return Err(ClaimError::NotYetValid { secs: secs_up(begins.millis_since(now)) });
    }
    if let Some(expires) = expires.filter(|expires| now >= *expires) {
        return Err(ClaimError::Expired { secs: now.millis_since(expires) / 1000 });
    }
    let by_default = expires.is_none().then_some(expected.default_lifetime_secs);
    let limit = [expected.age_secs_max, by_default].into_iter().flatten().min().map(millis);
    let ages_out =
        issued.zip(limit).map(|(issued, limit)| (issued.plus_millis(limit), now.millis_since(issued), limit));
    if let Some((_, age, limit)) = ages_out.filter(|(last, ..)| now > *last) {
        return Err(ClaimError::IssuedTooLongAgo { secs: secs_up(age), limit: limit / 1000 });
    }
    if let Some(expires) = expires {
        let lifetime = expires.millis_since(issued.unwrap_or(now));
        let limit = millis(expected.lifetime_secs_max);
        if lifetime > limit {
            return Err(ClaimError::LifetimeTooLong { secs: secs_up(lifetime), limit: limit / 1000 });
        }
    }
    let ends = [expires, ages_out.map(|(last, ..)| last)].into_iter().flatten().min();
    // One of the two is there, or `check_required` had refused.
    ends.ok_or(ClaimError::MissingField(Field::ExpirationTime))
}

/// The reference of a chain, if it is of this namespace; `*` stands for all.
fn reference_in<'a>(chain: &'a str, namespace: &str) -> Option<&'a str> {
    chain.strip_prefix(namespace)?.strip_prefix(':')
}

/// Whether a path is this one or lies below it, at a boundary of segments.
fn covers(above: &str, path: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn millis(secs: u32) -> i64 {
    i64::from(secs) * 1000
}

fn secs_up(millis: i64) -> i64 {
    millis.saturating_add(999) / 1000
}

// === impl Text ===

impl Text {
    const COUNT: usize = Self::UriPath as usize + 1;
}

// === impl Claims ===

impl Claims {
    /// Takes out what will be judged.
    pub fn of(message: &Message) -> Self {
        let uri = message.uri.as_deref().and_then(Uri::parse);
        let uri_origin = uri.as_ref().and_then(Origin::of_uri);
        let has_account = message.account.is_some();
        let texts: [&str; Text::COUNT] = [
            &message.domain,
            message.scheme.as_deref().unwrap_or_default(),
            &message.label,
            &message.namespace,
            if has_account { "" } else { message.canonical_address() },
            message.nonce.as_deref().unwrap_or_default(),
            uri_origin.as_ref().map(Origin::as_str).unwrap_or_default(),
            uri.map(|uri| uri.path.trim_end_matches('/')).unwrap_or_default(),
        ];
        let mut end = 0;
        let ends = texts.map(|text| {
            end += text.len();
            end
        });
        Self {
            packed: texts.concat().into(),
            ends,
            chain: message.chain.clone(),
            account: message.account.clone(),
            issued_at: message.issued_at.as_ref().map(|time| time.instant),
            expiration_time: message.expiration_time.as_ref().map(|time| time.instant),
            not_before: message.not_before.as_ref().map(|time| time.instant),
            present: parts_of(message),
        }
    }

    /// The account in canonical spelling, if the message names a chain.
    pub fn account(&self) -> Option<&AccountId> {
        self.account.as_ref()
    }

    /// The family of chains.
    pub fn namespace(&self) -> &str {
        self.text(Text::Namespace)
    }

    /// The address in canonical spelling.
    pub fn address(&self) -> &str {
        self.account.as_ref().map_or_else(|| self.text(Text::Address), AccountId::address)
    }

    /// The chain in canonical spelling.
    pub fn chain(&self) -> Option<&ChainId> {
        self.chain.as_ref()
    }

    /// The nonce, as the message has it.
    pub fn nonce(&self) -> Option<&str> {
        self.holds(Field::Nonce).then(|| self.text(Text::Nonce))
    }

    /// When the message was issued, as it says itself.
    pub fn issued_at(&self) -> Option<UnixTime> {
        self.issued_at
    }

    /// From when on the message is not good any more, as it says itself.
    pub fn expiration_time(&self) -> Option<UnixTime> {
        self.expiration_time
    }

    /// For whom the message is.
    pub fn domain(&self) -> &str {
        self.text(Text::Domain)
    }

    fn scheme(&self) -> Option<&str> {
        self.holds(Field::Scheme).then(|| self.text(Text::Scheme))
    }

    fn holds(&self, field: Field) -> bool {
        self.present & bit(field) != 0
    }

    fn text(&self, text: Text) -> &str {
        let index = text as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.packed[start..self.ends[index]]
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("domain", &self.domain())
            .field("namespace", &self.namespace())
            .field("address", &self.address())
            .field("chain", &self.chain)
            .field("issued_at", &self.issued_at)
            .field("expiration_time", &self.expiration_time)
            .finish_non_exhaustive()
    }
}

const fn bit(field: Field) -> u16 {
    1 << field as u16
}

fn parts_of(message: &Message) -> u16 {
    let optional = [
        (Field::Scheme, message.scheme.is_some()),
        (Field::Statement, message.statement.is_some()),
        (Field::Uri, message.uri.is_some()),
        (Field::Version, message.version.is_some()),
        (Field::ChainId, message.chain_id.is_some()),
        (Field::Nonce, message.nonce.is_some()),
        (Field::IssuedAt, message.issued_at.is_some()),
        (Field::ExpirationTime, message.expiration_time.is_some()),
        (Field::NotBefore, message.not_before.is_some()),
        (Field::RequestId, message.request_id.is_some()),
        (Field::Resources, message.resources.is_some()),
    ];
    let always = bit(Field::Domain) | bit(Field::Label) | bit(Field::Account);
    optional.into_iter().filter(|(_, present)| *present).fold(always, |set, (field, _)| set | bit(field))
}

// === impl Expectation ===

impl Expectation {
    /// The defaults of message.md section 6 for these origins.
    pub fn new(origins: Vec<Origin>) -> Self {
        let labels = [("eip155", "Ethereum"), ("solana", "Solana"), ("bip122", "Bitcoin")];
        Self {
            origins,
            labels: labels.map(|(namespace, label)| (namespace.to_owned(), vec![label.to_owned()])).into(),
            chains: vec!["eip155:*".to_owned(), "solana:*".to_owned()],
            required: vec![Field::Uri, Field::Version, Field::ChainId, Field::Nonce, Field::IssuedAt],
            uri_match: UriMatch::Origin,
            clock_skew_secs: 30,
            default_lifetime_secs: 300,
            lifetime_secs_max: 86_400,
            age_secs_max: None,
            require_expiration: false,
        }
    }
}

fn domain_mismatch(claims: &Claims, expected: &Expectation) -> ClaimError {
    ClaimError::DomainMismatch {
        found: shown(claims.domain()),
        served: list(expected.origins.iter().map(Origin::authority)),
    }
}

fn scheme_mismatch(claims: &Claims, expected: &Expectation) -> ClaimError {
    let found = format!("{}://{}", claims.scheme().unwrap_or_default(), claims.domain());
    ClaimError::SchemeMismatch { found: shown(&found), served: list(expected.origins.iter().map(Origin::as_str)) }
}

fn namespace_not_allowed(claims: &Claims, expected: &Expectation) -> ClaimError {
    let accepted = list(expected.chains.iter().map(String::as_str));
    ClaimError::NamespaceNotAllowed { found: shown(claims.namespace()), accepted }
}

fn label_not_allowed(claims: &Claims, welcome: &[String]) -> ClaimError {
    let accepted = list(welcome.iter().map(String::as_str));
    ClaimError::LabelNotAllowed { found: shown(claims.text(Text::Label)), accepted }
}

fn chain_not_allowed(chain: &ChainId, expected: &Expectation) -> ClaimError {
    let accepted = list(expected.chains.iter().map(String::as_str));
    ClaimError::ChainNotAllowed { found: shown(chain.as_str()), accepted }
}

fn shown(text: &str) -> Box<str> {
    Shown(text).to_string().into()
}

/// The first few of what is accepted: enough to see one's mistake, not a directory.
fn list<'a>(mut names: impl Iterator<Item = &'a str>) -> Box<str> {
    let first: Vec<String> = names.by_ref().take(4).map(|name| format!("`{name}`")).collect();
    let more = if names.next().is_some() { " and others" } else { "" };
    if first.is_empty() { "none".into() } else { (first.join(", ") + more).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siwx::{dialect::Dialect, error::Code, message::Reading};

    const DIALECTS: &[Dialect] = &[Dialect::plain("eip155", &["Ethereum"]), Dialect::plain("solana", &["Solana"])];

    /// 2026-01-31T12:00:00Z, when the messages below are issued.
    const ISSUED: i64 = 1_769_860_800_000;

    fn claims(header: &str, uri: &str, times: &str) -> Claims {
        let text = format!("{header} account:\nabc\n\nURI: {uri}\nVersion: 1\nChain ID: 1\nNonce: 12345678{times}",);
        Claims::of(&Message::parse(text.as_bytes(), DIALECTS, &Reading::default()).expect(&text))
    }

    fn timed(times: &str) -> Claims {
        claims("a.example wants you to sign in with your Ethereum", "https://a.example", times)
    }

    fn expectation() -> Expectation {
        Expectation::new(vec![Origin::parse("https://a.example").expect("an origin")])
    }

    /// The outcome in short: the end relative to issuing, or code and sentence.
    fn outcome(claims: &Claims, expected: &Expectation, after_issuing_ms: i64) -> Result<i64, (Code, String)> {
        check(claims, expected, None, UnixTime::from_millis(ISSUED + after_issuing_ms))
            .map(|end| end.millis() - ISSUED)
            .map_err(|error| (error.code(), error.to_string()))
    }

    #[test]
    fn times_at_their_boundaries() {
        const IAT: &str = "\nIssued At: 2026-01-31T12:00:00Z";
        const FIVE: &str = "\nIssued At: 2026-01-31T12:00:00Z\nExpiration Time: 2026-01-31T12:05:00Z";
        const DAY: &str = "\nIssued At: 2026-01-31T12:00:00Z\nExpiration Time: 2026-02-01T12:00:00Z";
        const OVER: &str = "\nIssued At: 2026-01-31T12:00:00Z\nExpiration Time: 2026-02-01T12:00:00.001Z";
        const LATER: &str = "\nIssued At: 2026-01-31T12:00:00Z\nExpiration Time: 2026-01-31T12:05:00Z\nNot Before: 2026-01-31T12:01:00Z";
        const EXP: &str = "\nExpiration Time: 2026-01-31T12:05:00Z";
        const SAME: &str = "\nIssued At: 2026-01-31T12:00:00Z\nExpiration Time: 2026-01-31T12:00:00Z";
        const JUST: &str = "\nIssued At: 2026-01-31T12:00:00Z\nExpiration Time: 2026-01-31T12:00:00.001Z";
        let plain = expectation();
        let aged = Expectation { age_secs_max: Some(60), ..expectation() };
        let old = Expectation { age_secs_max: Some(600), ..expectation() };
        let any = Expectation { required: vec![], ..expectation() };
        let strict = Expectation { clock_skew_secs: 0, ..expectation() };
        let ended = Expectation { require_expiration: true, ..expectation() };
        let endless = Expectation { clock_skew_secs: u32::MAX, lifetime_secs_max: u32::MAX, ..expectation() };
        let refused = |code: Code, sentence: &str| Err((code, sentence.to_owned()));
        let rows = [
            ("a millisecond before it expires", &plain, FIVE, 299_999, Ok(300_000)),
            (
                "as it expires",
                &plain,
                FIVE,
                300_000,
                refused(Code::Expired, "the message expired 0 seconds ago; sign a new one"),
            ),
            (
                "two seconds later",
                &plain,
                FIVE,
                302_999,
                refused(Code::Expired, "the message expired 2 seconds ago; sign a new one"),
            ),
            (
                "skew does not prolong",
                &endless,
                FIVE,
                300_000,
                refused(Code::Expired, "the message expired 0 seconds ago; sign a new one"),
            ),
            ("clock ahead by the skew", &plain, FIVE, -30_000, Ok(300_000)),
            (
                "and a millisecond",
                &plain,
                FIVE,
                -30_001,
                refused(Code::IssuedInFuture, "the message was issued 31 seconds from now; check the clock"),
            ),
            ("no skew, just issued", &strict, FIVE, 0, Ok(300_000)),
            (
                "no skew, a millisecond early",
                &strict,
                FIVE,
                -1,
                refused(Code::IssuedInFuture, "the message was issued 1 seconds from now; check the clock"),
            ),
            ("begins within the skew", &plain, LATER, 30_000, Ok(300_000)),
            (
                "begins a millisecond later",
                &plain,
                LATER,
                29_999,
                refused(Code::NotYetValid, "the message begins 31 seconds from now; check the clock"),
            ),
            ("no skew, begins now", &strict, LATER, 60_000, Ok(300_000)),
            (
                "no skew, begins in a millisecond",
                &strict,
                LATER,
                59_999,
                refused(Code::NotYetValid, "the message begins 1 seconds from now; check the clock"),
            ),
            ("ends by default at its age", &plain, IAT, 300_000, Ok(300_000)),
            (
                "and a millisecond",
                &plain,
                IAT,
                300_001,
                refused(
                    Code::IssuedTooLongAgo,
                    "the message was issued 301 seconds ago, the limit is 300; sign a new one",
                ),
            ),
            ("an age of its own", &aged, FIVE, 60_000, Ok(60_000)),
            (
                "and a millisecond",
                &aged,
                FIVE,
                60_001,
                refused(
                    Code::IssuedTooLongAgo,
                    "the message was issued 61 seconds ago, the limit is 60; sign a new one",
                ),
            ),
            ("the smaller age counts", &old, IAT, 0, Ok(300_000)),
            ("expiration before age", &old, FIVE, 0, Ok(300_000)),
            ("age instead of expiration", &old, DAY, 0, Ok(600_000)),
            ("the longest life", &plain, DAY, 0, Ok(86_400_000)),
            (
                "and a millisecond",
                &plain,
                OVER,
                0,
                refused(Code::LifetimeTooLong, "the message lives 86401 seconds, the limit is 86400"),
            ),
            ("without issuing, from now", &any, EXP, 300_000 - 86_400_000, Ok(300_000)),
            (
                "and a millisecond",
                &any,
                EXP,
                300_000 - 86_400_001,
                refused(Code::LifetimeTooLong, "the message lives 86401 seconds, the limit is 86400"),
            ),
            (
                "ends as it begins",
                &plain,
                SAME,
                0,
                refused(Code::InvalidTimeRange, "the message expires before it begins"),
            ),
            ("ends a millisecond later", &plain, JUST, 0, Ok(1)),
            ("issuing is required", &plain, EXP, 0, refused(Code::MissingField, "`Issued At: ` is missing")),
            ("no time at all", &any, "", 0, refused(Code::MissingField, "`Expiration Time: ` is missing")),
            ("an end is required", &ended, IAT, 0, refused(Code::MissingField, "`Expiration Time: ` is missing")),
        ];
        for (name, expected, times, after_issuing_ms, verdict) in rows {
            assert_eq!(outcome(&timed(times), expected, after_issuing_ms), verdict, "{name}");
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let far = "\nIssued At: 0000-01-01T00:00:00Z\nExpiration Time: 9999-12-31T23:59:59.999Z";
        for now in [i64::MIN, -1, 0, 1, i64::MAX] {
            let outcome = check(&timed(far), &expectation(), None, UnixTime::from_millis(now));
            assert!(outcome.is_err(), "{now}: {outcome:?}");
        }
    }

    #[test]
    fn what_is_expected_is_named() {
        const IAT: &str = "\nIssued At: 2026-01-31T12:00:00Z";
        let many = ["b", "c", "d", "e", "f"].map(|host| Origin::parse(&format!("https://{host}")).expect("an origin"));
        let others = Expectation { origins: many.to_vec(), ..expectation() };
        let none = Expectation { chains: vec![], ..expectation() };
        let base = Expectation { chains: vec!["eip155:8453".into(), "eip155:10".into()], ..expectation() };
        let solana = Expectation { chains: vec!["solana:*".into()], ..expectation() };
        let http =
            Expectation { origins: vec![Origin::parse("http://a.example").expect("an origin")], ..expectation() };
        let unlabelled = Expectation { labels: vec![], ..expectation() };
        let with_scheme = "https://a.example wants you to sign in with your Ethereum";
        let plain = "a.example wants you to sign in with your Ethereum";
        let rows = [
            (plain, &others, "the message is for `a.example`, this gateway serves `b`, `c`, `d`, `e` and others"),
            (with_scheme, &http, "the message is for `https://a.example`, this gateway serves `http://a.example`"),
            (plain, &none, "`eip155` is not accepted here; accepted are none"),
            (plain, &solana, "`eip155` is not accepted here; accepted are `solana:*`"),
            (plain, &base, "`eip155:1` is not accepted here; accepted are `eip155:8453`, `eip155:10`"),
            (plain, &unlabelled, "`Ethereum account` is not accepted here; accepted are none"),
            (plain, &http, "the message's URI is for another origin than its domain, or for another path"),
        ];
        for (header, expected, sentence) in rows {
            let claims = claims(header, "https://a.example", IAT);
            assert_eq!(outcome(&claims, expected, 0).map_err(|(_, sentence)| sentence), Err(sentence.to_owned()));
        }
    }

    #[test]
    fn one_authority_may_have_two_schemes() {
        let origins = ["http://a.example:8080", "https://a.example:8080"];
        let both = Expectation::new(origins.map(|origin| Origin::parse(origin).expect("an origin")).to_vec());
        let rows = [
            ("a.example:8080", "http://a.example:8080", None),
            ("a.example:8080", "https://a.example:8080", None),
            ("https://a.example:8080", "https://a.example:8080/x", None),
            ("https://a.example:8080", "http://a.example:8080/x", Some(Code::UriMismatch)),
            ("ftp://a.example:8080", "https://a.example:8080", Some(Code::SchemeMismatch)),
        ];
        for (origin, uri, expected) in rows {
            let header = format!("{origin} wants you to sign in with your Ethereum");
            let claims = claims(&header, uri, "\nIssued At: 2026-01-31T12:00:00Z");
            assert_eq!(outcome(&claims, &both, 0).err().map(|(code, _)| code), expected, "{origin} and {uri}");
        }
    }

    #[test]
    fn uris_cover_requests_by_segments() {
        let expected = Expectation { uri_match: UriMatch::Request, ..expectation() };
        let rows = [
            ("https://a.example/v1?q#f", Some("/v1"), true),
            ("https://a.example/v1//", Some("/v1/x"), true),
            ("https://a.example/v1", Some("/v1/"), true),
            ("https://a.example/v1", Some("/v"), false),
            ("https://a.example/v1", Some("/V1"), false),
            ("https://a.example/v1/../v2", Some("/v2"), false),
            ("https://a.example/%761", Some("/v1"), false),
            ("https://a.example", Some("/"), true),
            ("https://a.example", None, false),
        ];
        for (uri, path, good) in rows {
            let claims =
                claims("a.example wants you to sign in with your Ethereum", uri, "\nIssued At: 2026-01-31T12:00:00Z");
            let outcome = check(&claims, &expected, path, UnixTime::from_millis(ISSUED));
            let expected =
                if good { Ok(UnixTime::from_millis(ISSUED + 300_000)) } else { Err(ClaimError::UriMismatch) };
            assert_eq!(outcome, expected, "{uri} for {path:?}");
        }
    }

    #[test]
    fn claims_keep_what_stores_and_upstreams_ask_for() {
        let claims = timed("\nExpiration Time: 2026-01-31T12:05:00Z");
        assert_eq!(claims.account().map(AccountId::as_str), Some("eip155:1:abc"));
        assert_eq!(claims.chain().map(ChainId::as_str), Some("eip155:1"));
        assert_eq!((claims.namespace(), claims.address(), claims.domain()), ("eip155", "abc", "a.example"));
        assert_eq!(claims.nonce(), Some("12345678"));
        assert_eq!(claims.issued_at(), None);
        assert_eq!(claims.expiration_time(), Some(UnixTime::from_millis(ISSUED + 300_000)));
        // Every token that is remembered holds one.
        let bytes = size_of::<Claims>() + claims.packed.len();
        assert!(bytes < 400, "{bytes}");

        // Without a chain there is no account, and still an address.
        let siws = Dialect { template: crate::siwx::dialect::Template::Siws, ..Dialect::plain("solana", &["Solana"]) };
        let text = "a.example wants you to sign in with your Solana account:\nabc";
        let bare = Message::parse(text.as_bytes(), &[siws], &Reading::default()).expect("a message");
        let claims = Claims::of(&bare);
        assert_eq!((claims.account(), claims.chain(), claims.nonce()), (None, None, None));
        assert_eq!((claims.namespace(), claims.address()), ("solana", "abc"));
    }
}
