//! `[auth]`, `[chains.*]`, `[cache]`: what requests are judged by.

use std::collections::HashSet;

use super::edge::Served;
use crate::{
    caip::{AccountId, AccountKey, ChainId, is_address},
    chain::{
        Accepts, CHAINS, DIALECTS,
        bip122::address::{self, Network},
    },
    config::{report::Report, section::Section, tree::Text},
    gate::settings::{CacheSettings, Settings},
    siwx::{
        claims::{Expectation, Origin, UriMatch},
        dialect::Dialect,
        message::{NonceCharset, Reading, StatementCharset},
    },
    x402::SIGN_IN_WITH_X,
};

/// The scheme names that may be given; others belong to somebody else.
const SCHEMES: [&str; 3] = ["SIWX", "SIWE", "SIWS"];

/// The carrier of tokens.
pub(super) const AUTHORIZATION: &str = "authorization";

/// The carrier of sessions.
pub(super) const SESSION: &str = "session";

/// Reads everything. What is missing without `public_url`, which messages must name, has its report.
pub(super) fn settings(root: &Section, served: &[Served], report: &mut Report) -> Settings {
    let (auth, chains, cache) = (root.section("auth"), root.section("chains"), root.section("cache"));
    if auth.texts("carriers").is_empty() {
        report.error(auth.place("carriers"), "`auth.carriers` is empty", "expected one at least");
    } else {
        check_carriers(auth, report);
    }
    let schemes = schemes(auth, report);
    let denied = denied(auth.texts("deny_accounts"), report);
    let expectation = expectation(auth, chains, served, report);
    let (proofs, subscriptions) = (cache.section("proofs"), cache.section("subscriptions"));
    let contracts = cache.section("contracts");
    let solana = chains.section("solana");
    Settings {
        reading: reading(auth),
        expectation,
        accepts: Accepts { offchain: solana.flag("offchain"), memo: solana.flag("memo"), ..Accepts::default() },
        schemes,
        payments: None,
        sessions: None,
        plan_limits: Vec::new(),
        single_use_nonce: auth.text("nonce").value == "single-use",
        denied,
        proofs: remembered(proofs),
        subscriptions: remembered(subscriptions),
        negative_ttl: subscriptions.duration("negative_ttl"),
        contracts: remembered(contracts),
        contracts_negative_ttl: contracts.duration("negative_ttl"),
        stale_if_error: root.section("store").duration("stale_if_error"),
        auth_failures: root.section("limits").rate("auth_failures"),
        rpc_per_ip: chains.section("eip155").rate("rpc_per_ip"),
    }
}

/// Looks through the carriers of `[auth]` or of a route.
pub(super) fn check_carriers(section: &Section, report: &mut Report) {
    let texts = section.texts("carriers");
    for text in texts {
        match text.value.as_str() {
            AUTHORIZATION | SIGN_IN_WITH_X | SESSION => {}
            _ => {
                let title = format!("unknown carrier `{}`", text.shown);
                report.error(&text.place, title, "expected `authorization`, `sign-in-with-x` or `session`");
            }
        }
    }
}

/// The first part of the identity headers: a name that is ours alone.
pub(super) fn identity_prefix(auth: &Section, report: &mut Report) -> String {
    let text = auth.text("identity_prefix");
    let prefix = &text.value;
    let lower = prefix.to_ascii_lowercase();
    // An upstream could not tell such headers from those that say where a request comes from.
    let reserved = lower == "x-" || lower.starts_with("x-forwarded") || lower.starts_with("sec-");
    let good = (2..=32).contains(&prefix.len())
        && prefix.ends_with('-')
        && prefix.starts_with(|c: char| c.is_ascii_alphabetic())
        && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !good || reserved {
        let title = format!("`{}` cannot begin the identity headers", text.shown);
        report.error(&text.place, title, "expected letters, digits and dashes that end in a dash, such as `X-SIWX-`");
    }
    prefix.clone()
}

fn schemes(auth: &Section, report: &mut Report) -> Vec<String> {
    let texts = auth.texts("schemes");
    if texts.is_empty() {
        report.error(auth.place("schemes"), "`auth.schemes` is empty", "expected `SIWX`, `SIWE` or `SIWS`");
    }
    for text in texts.iter().filter(|text| !SCHEMES.contains(&text.value.as_str())) {
        let title = format!("unknown scheme `{}`", text.shown);
        report.error(&text.place, title, "expected `SIWX`, `SIWE` or `SIWS`");
    }
    texts.iter().map(|text| text.value.clone()).collect()
}

fn reading(auth: &Section) -> Reading {
    let mut reading = Reading::default();
    if auth.text("nonce_charset").value == "token" {
        reading.nonce_charset = NonceCharset::Token;
    }
    if auth.text("statement_charset").value == "unicode" {
        reading.statement_charset = StatementCharset::Unicode;
    }
    reading
}

fn expectation(auth: &Section, chains: &Section, served: &[Served], report: &mut Report) -> Expectation {
    let mut origins: Vec<Origin> = served.iter().filter_map(|served| served.origin.clone()).collect();
    for text in auth.texts("origins") {
        match Origin::parse(&text.value) {
            Ok(origin) => origins.push(origin),
            Err(_) => {
                let title = format!("`{}` is no web origin", text.shown);
                report.error(&text.place, title, "expected something like `https://app.example.com`");
            }
        }
    }
    let mut expectation = Expectation::new(origins);
    expectation.labels = labels(auth, "auth.labels", chains, report);
    let allowed = chains.tables().flat_map(|(namespace, family)| allowed_chains(namespace, family, report));
    expectation.chains = allowed.collect();
    expectation.uri_match = match auth.text("uri_match").value.as_str() {
        "off" => UriMatch::Off,
        "request" => UriMatch::Request,
        _ => UriMatch::Origin,
    };
    let secs = |key| auth.duration_if_any(key).map(|duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX));
    expectation.clock_skew_secs = secs("clock_skew").unwrap_or_default();
    expectation.default_lifetime_secs = secs("default_lifetime").unwrap_or_default();
    expectation.lifetime_secs_max = secs("lifetime_max").unwrap_or_default();
    expectation.age_secs_max = secs("age_max");
    expectation.require_expiration = auth.flag("require_expiration");
    expectation
}

/// The words for each family that are welcome. They may be set for a family before it is let in.
pub(super) fn labels(
    section: &Section,
    key: &str,
    chains: &Section,
    report: &mut Report,
) -> Vec<(String, Vec<String>)> {
    let known: Vec<&str> = chains.keys.iter().map(|key| key.name).collect();
    let lists = section.lists("labels").iter().map(|(namespace, labels)| {
        if !known.contains(&namespace.value.as_str()) {
            let title = format!("`{key}` has no chain family `{}`", namespace.shown);
            report.error(&namespace.place, title, format!("known are: {}", known.join(", ")));
        }
        (namespace.value.clone(), labels.iter().flatten().map(|label| label.value.clone()).collect())
    });
    lists.collect()
}

/// The chains of a family that are let in, as messages name them once they are read.
fn allowed_chains(namespace: &str, section: &Section, report: &mut Report) -> Vec<String> {
    let mut chains = Vec::new();
    for text in section.texts("allow") {
        match allowed_chain(namespace, &text.value) {
            Some(chain) if is_unknown_to_bitcoin(&chain) => {
                let title = format!("no signature of `{}` can be verified", text.shown);
                report.error(&text.place, title, "expected Bitcoin's main network or one of its test networks");
            }
            Some(chain) => chains.push(chain),
            None => {
                let title = format!("`{}` is no chain of `{namespace}`", text.shown);
                report.error(&text.place, title, format!("expected a CAIP-2 id, or `{namespace}:*`"));
            }
        }
    }
    chains
}

fn allowed_chain(namespace: &str, text: &str) -> Option<String> {
    let reference = text.strip_prefix(namespace)?.strip_prefix(':')?;
    if reference == "*" {
        return Some(text.to_owned());
    }
    let dialect = DIALECTS.iter().find(|dialect| dialect.namespace == namespace)?;
    let chain = ChainId::new(namespace, &(dialect.reference)(reference)?).ok()?;
    Some(chain.as_str().to_owned())
}

/// Whether it is a chain of Bitcoin's kind whose addresses are not known, so that everybody on it would be refused.
fn is_unknown_to_bitcoin(chain: &str) -> bool {
    chain.strip_prefix("bip122:").is_some_and(|reference| reference != "*" && Network::of_chain(reference).is_none())
}

/// Accounts that are refused, as the gate looks them up: in the one spelling of their family, because an account may
/// have many. Of Bitcoin's two spellings messages have one alone, and the other is a mistake.
fn denied(texts: &[Text], report: &mut Report) -> HashSet<String> {
    let mut denied = HashSet::with_capacity(texts.len());
    for text in texts {
        let bare = text.value.rsplit(':').next().unwrap_or_default();
        if address::parse(bare).is_ok() && address::canonical(bare).is_err() {
            let title = format!("`{}` is spelled as no message spells it", text.shown);
            report.error(&text.place, title, "expected the address in lower case");
        } else if let Ok(account) = AccountId::parse(&text.value) {
            denied.insert(denied_on_chain(&account));
        } else if is_address(&text.value) {
            denied.extend(denied_anywhere(&text.value));
        } else {
            let title = format!("`{}` is no account", text.shown);
            report.error(&text.place, title, "expected a CAIP-10 id or an address");
            continue;
        }
        if denies_nobody(&text.value) {
            let title = format!("`{}` denies nobody", text.shown);
            let hint = "it is no address of a family of chains that signs in; is it mistyped?";
            report.warn(&text.place, title, hint);
        }
    }
    denied
}

/// Whether an entry has the form of an account, and is none that could ever sign in. It may be of a family that a later
/// release knows, so it is no fault.
fn denies_nobody(text: &str) -> bool {
    let is_evm = |address: &str| address.len() == 42 && address::parse(&address.to_ascii_lowercase()).is_ok();
    // Sui's are written without their zeros too, and so would be every EVM address that was cut off.
    let is_cut = |address: &str| address.starts_with("0x") && address.len() < 42;
    let is_one = |dialect: &Dialect, address: &str| key_in(dialect, address).is_some() && !is_cut(address);
    match AccountId::parse(text) {
        Ok(account) => {
            let dialect = DIALECTS.iter().find(|dialect| dialect.namespace == account.namespace());
            dialect.is_none_or(|dialect| !is_one(dialect, account.address()) && !is_evm(account.address()))
        }
        Err(_) => !DIALECTS.iter().any(|dialect| is_one(dialect, text)) && !is_evm(text),
    }
}

/// An account on one chain. What is no chain of its family stays as it is, and denies nobody.
fn denied_on_chain(account: &AccountId) -> String {
    let (chain, namespace) = (account.chain(), account.namespace());
    let dialect = DIALECTS.iter().find(|dialect| dialect.namespace == namespace);
    let canonical = dialect.and_then(|dialect| (dialect.reference)(chain.reference()));
    let reference = canonical.as_deref().unwrap_or_else(|| chain.reference());
    let key = dialect.and_then(|dialect| key_in(dialect, account.address())).unwrap_or_else(|| account.key());
    format!("{namespace}:{reference}:{}", key.address())
}

/// An address on any chain, in the spelling of each family that signs in and has such addresses.
fn denied_anywhere(address: &str) -> Vec<String> {
    let signs_in = |dialect: &&Dialect| CHAINS.iter().any(|chain| chain.namespace() == dialect.namespace);
    let mut keys: Vec<_> = DIALECTS.iter().filter(signs_in).filter_map(|dialect| key_in(dialect, address)).collect();
    if keys.is_empty() {
        // One with a wrong checksum is meant to be one all the same.
        let evm = address.len() == 42 && address[..2].eq_ignore_ascii_case("0x");
        keys.push(AccountKey::new(if evm { "eip155" } else { "" }, address));
    }
    keys.iter().map(|key| key.address().to_owned()).collect()
}

fn key_in(dialect: &Dialect, address: &str) -> Option<AccountKey> {
    (dialect.address)(address).ok().map(|canonical| AccountKey::new(dialect.namespace, &canonical))
}

fn remembered(section: &Section) -> CacheSettings {
    CacheSettings { entries: section.whole("entries"), ttl: section.duration("ttl") }
}
