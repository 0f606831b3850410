//! `[x402]`: where money goes, who moves it, and how a wallet that has paid signs in.

use http::HeaderValue;

use super::{Routed, chain, is_name, listed, routes, sales::Market};
use crate::{
    caip::ChainId,
    config::{
        report::{Place, Report},
        section::Section,
        tree::Text,
    },
    facilitator::{self, Header, HeaderSource, Piece},
    gate::settings::PaymentSettings,
    outbound::Endpoint,
    policy::{
        rule::{Pattern, Rule},
        target::CanonicalPath,
    },
    secret::Secret,
    siwx::dialect::{AddressError, Dialect},
    x402::{
        asset::{Asset, TokenDomain},
        terms::{Accept, Scheme},
    },
};

/// The families of chains that x402 has payments and a signing text for. More of them can be verified in tokens.
const FAMILIES: [&str; 2] = ["eip155", "solana"];

/// Names of facilitators are metric labels.
const FACILITATORS_MAX: usize = 8;

/// Each adds some 400 bytes to every challenge, and many clients take 16 KiB of headers.
const ACCEPTS_MAX: usize = 16;

/// What a signing text may hold of one (message.md section 3).
const STATEMENT_BYTES_MAX: usize = 2048;

/// What would make a signing text look like two.
const HEADER_PHRASE: &str = " wants you to sign in with your ";

/// A secret of this length out of hexadecimal digits has 128 bits; one nonce is enough to guess at a shorter one.
const NONCE_SECRET_CHARS_MIN: usize = 32;

/// Networks whose money is worth nothing: Ethereum Sepolia, Fuji, Amoy, Base Sepolia, Arbitrum Sepolia, and those of
/// Solana.
const TEST_NETWORKS: [&str; 7] = [
    "eip155:11155111",
    "eip155:43113",
    "eip155:80002",
    "eip155:84532",
    "eip155:421614",
    "solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z",
    "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
];

/// A place where money goes, and where in the file what is.
pub(super) struct Accepted {
    pub(super) accept: Accept,
    pub(super) timeout_place: Place,
    place: Place,
}

/// Reads `[[x402.accept]]`. One that is wrong is left out.
pub(super) fn accepted(x402: &Section, report: &mut Report) -> Vec<Accepted> {
    let sections = x402.sections("accept");
    if let Some(section) = sections.get(ACCEPTS_MAX) {
        report.error(&section.place, format!("more than {ACCEPTS_MAX} places where money goes"), "");
    }
    let mut accepted: Vec<Accepted> = Vec::new();
    for section in sections {
        let Some(accept) = accept(section, report) else {
            continue;
        };
        let is_same = |other: &Accept| {
            (&other.network, &other.asset.address, other.scheme)
                == (&accept.network, &accept.asset.address, accept.scheme)
        };
        if accepted.iter().any(|earlier| is_same(&earlier.accept)) {
            let scheme = accept.scheme.as_str();
            let title = format!("`{scheme}` on `{}` in the same token stands twice", accept.network);
            report.error(&section.place, title, "money of one kind goes to one place");
        }
        let timeout_place = section.place("timeout").clone();
        accepted.push(Accepted { accept, timeout_place, place: section.place("network").clone() });
    }
    warn_of_test_money(&accepted, report);
    accepted
}

fn accept(section: &Section, report: &mut Report) -> Option<Accept> {
    // What can be said about the others rests on the network.
    let (network, dialect) = section.given("network").and_then(|text| network(text, report))?;
    let pay_to = section.given("pay_to").and_then(|text| address(text, dialect, report));
    let asset = asset(section, &network, dialect, report);
    let scheme = scheme(section.text("scheme"), &network, report);
    let timeout_secs = u32::try_from(section.duration("timeout").as_secs()).unwrap_or(u32::MAX);
    Some(Accept { pay_to: pay_to?, asset: asset?, scheme: scheme?, network, timeout_secs })
}

fn network(text: &Text, report: &mut Report) -> Option<(ChainId, &'static Dialect)> {
    let found = chain(&text.value).filter(|(chain, _)| FAMILIES.contains(&chain.namespace()));
    if found.is_none() {
        let title = format!("`{}` is no network to be paid on", text.shown);
        report.error(&text.place, title, "expected a CAIP-2 id of `eip155` or `solana`, such as `eip155:8453`");
    }
    found
}

/// An address in the spelling of its family.
pub(super) fn address(text: &Text, dialect: &Dialect, report: &mut Report) -> Option<String> {
    let (title, hint) = match (dialect.address)(&text.value) {
        Ok(address) => return Some(address),
        Err(AddressError::Checksum) => {
            (format!("the checksum of `{}` is wrong", text.shown), "is it mistyped? In lower case it is taken as it is")
        }
        Err(AddressError::Form) => {
            let form = if dialect.namespace == "eip155" { "expected `0x` and 40 hex digits" } else { "" };
            (format!("`{}` is no address of `{}`", text.shown, dialect.namespace), form)
        }
    };
    report.error(&text.place, title, hint);
    None
}

fn asset(section: &Section, network: &ChainId, dialect: &Dialect, report: &mut Report) -> Option<Asset> {
    let text = match section.text_or_table("asset") {
        Ok(text) => text,
        Err(table) => return token(table, network, dialect, report),
    };
    let known = Asset::known(&text.value, network);
    if known.is_none() {
        let networks = Asset::networks_of(&text.value);
        let (title, hint) = if networks.is_empty() {
            let hint = "expected `usdc`, or a table of address, decimals, name and version".to_owned();
            (format!("unknown asset `{}`", text.shown), hint)
        } else {
            let hint = format!(
                "it is known on: {}; elsewhere expected a table of address, decimals, name and version",
                listed(networks)
            );
            (format!("asset `{}` is not known on `{network}`", text.shown), hint)
        };
        let place = if text.place == Place::Nowhere { section.place("network") } else { &text.place };
        report.error(place, title, hint);
    }
    known
}

/// A token that is described.
fn token(table: &Section, network: &ChainId, dialect: &Dialect, report: &mut Report) -> Option<Asset> {
    let address = table.given("address").and_then(|text| address(text, dialect, report));
    let decimals = table.whole_if_given("decimals").and_then(|decimals| u8::try_from(decimals).ok());
    let (name, version) = (table.text("name"), table.text("version"));
    let is_evm = network.namespace() == "eip155";
    let mut good = true;
    for (key, text) in [("name", name), ("version", version)] {
        if text.value.is_empty() == is_evm {
            good = false;
            let (title, hint) = if is_evm {
                (
                    format!("the asset has no `{key}`"),
                    "it is of the token's EIP-712 domain, without which nobody can sign",
                )
            } else {
                (format!("`{key}` of an asset has no use on `{network}`"), "it is of an EIP-712 domain")
            };
            report.error(table.place(key), title, hint);
        }
    }
    let domain = is_evm.then(|| TokenDomain { name: name.value.clone(), version: version.value.clone() });
    good.then_some(Asset { address: address?, decimals: decimals?, domain })
}

fn scheme(text: &Text, network: &ChainId, report: &mut Report) -> Option<Scheme> {
    let scheme = Scheme::named(&text.value)?;
    if scheme == Scheme::Upto && network.namespace() != "eip155" {
        let title = format!("scheme `upto` cannot be offered on `{network}`");
        report.error(&text.place, title, "expected `exact`: there it would need an escrow");
        return None;
    }
    Some(scheme)
}

fn warn_of_test_money(accepted: &[Accepted], report: &mut Report) {
    let is_test = |accepted: &Accepted| TEST_NETWORKS.contains(&accepted.accept.network.as_str());
    let Some(first) = accepted.first() else {
        return;
    };
    if let Some(other) = accepted.iter().find(|other| is_test(other) != is_test(first)) {
        let title = format!("`{}` and `{}` are a main and a test network", first.accept.network, other.accept.network);
        report.warn(&other.place, title, "test money would open what real money buys");
    }
}

/// Reads `[[x402.facilitator]]`, and where the URL of each is. One that is wrong is left out.
pub(super) fn facilitators(x402: &Section, report: &mut Report) -> (Vec<facilitator::Settings>, Vec<Place>) {
    let sections = x402.sections("facilitator");
    if let Some(section) = sections.get(FACILITATORS_MAX) {
        report.error(&section.place, format!("more than {FACILITATORS_MAX} facilitators"), "");
    }
    let mut facilitators: Vec<facilitator::Settings> = Vec::new();
    let mut places = Vec::new();
    for section in sections {
        let Some(settings) = facilitator(section, report) else {
            continue;
        };
        if facilitators.iter().any(|earlier| earlier.name == settings.name) {
            let title = format!("facilitator \"{}\" stands twice", settings.name);
            report.error(section.place("name"), title, "names are metric labels");
        }
        places.push(section.place("url").clone());
        facilitators.push(settings);
    }
    (facilitators, places)
}

fn facilitator(section: &Section, report: &mut Report) -> Option<facilitator::Settings> {
    let name = section.text("name");
    let named = is_name("a facilitator", name, report);
    let url = section.given("url").and_then(|text| url(text, report));
    let headers = headers(section.secrets("headers"), report);
    Some(facilitator::Settings {
        name: named.then(|| name.value.clone())?,
        url: url?,
        headers,
        verify_timeout: section.duration("verify_timeout"),
        settle_timeout: section.duration("settle_timeout"),
        ca: None,
    })
}

fn url(text: &Text, report: &mut Report) -> Option<Endpoint> {
    let endpoint = match Endpoint::parse(&text.value) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            let hint = format!("expected one such as `https://facilitator.example/x402`: {}", error.why());
            report.error(&text.place, format!("`{}` is no URL of a facilitator", text.shown), hint);
            return None;
        }
    };
    if !endpoint.is_tls() && !endpoint.is_loopback() {
        let title = format!("`{}` speaks plain HTTP and is not on loopback", text.shown);
        report.error(&text.place, title, "expected `https://`: whoever answers in its place says what is paid");
        return None;
    }
    Some(endpoint)
}

fn headers(secrets: &[(Text, Text)], report: &mut Report) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::with_capacity(secrets.len());
    for (name, value) in secrets {
        let Ok(header) = Header::new(&name.value, source(value)) else {
            let title = format!("`{}` is no header that may be set", name.shown);
            report.error(&name.place, title, "expected the name of a header that does not frame a request");
            continue;
        };
        if HeaderValue::from_str(&value.value).is_err() {
            let title = format!("the value of `{}` holds characters that no header may have", name.shown);
            report.error(&value.place, title, "expected visible characters");
        }
        if headers.iter().any(|earlier| earlier.name() == header.name()) {
            let title = format!("header `{}` stands twice", name.shown);
            report.error(&name.place, title, "names of headers do not tell letter case apart");
        }
        headers.push(header);
    }
    headers
}

/// A value whose parts out of files are read again by who sends it.
fn source(text: &Text) -> HeaderSource {
    let mut pieces = Vec::new();
    let literal = |text: &str| Piece::Text(Secret::new(text.to_owned()));
    let mut from = 0;
    for file in &text.files {
        if from < file.at.start {
            pieces.push(literal(&text.value[from..file.at.start]));
        }
        pieces.push(Piece::File(file.path.clone()));
        from = file.at.end;
    }
    if from < text.value.len() {
        pieces.push(literal(&text.value[from..]));
    }
    HeaderSource::new(pieces)
}

/// Reads `[x402]` itself. `allowed` are the chains that `[chains]` lets in.
pub(super) fn settings(
    x402: &Section,
    market: &Market,
    allowed: &[String],
    routed: &Routed,
    report: &mut Report,
) -> PaymentSettings {
    let secret = x402.text("nonce_secret");
    let chars = secret.value.chars().count();
    if (1..NONCE_SECRET_CHARS_MIN).contains(&chars) {
        let title = format!("`x402.nonce_secret` has {chars} characters");
        let hint = format!("whoever has seen a nonce can guess at it; expected at least {NONCE_SECRET_CHARS_MIN}");
        report.warn(&secret.place, title, hint);
    }
    PaymentSettings {
        statement: statement(x402.text("statement"), report),
        nonce_secret: (chars != 0).then(|| Secret::new(secret.value.clone().into_bytes())),
        require_issued_nonce: x402.flag("require_issued_nonce"),
        proof_age_secs_max: u32::try_from(x402.duration("proof_age_max").as_secs()).unwrap_or(u32::MAX),
        sign_in_chains: sign_in_chains(x402, market, allowed, &routed.rules, report),
        plans: market.plans(),
        shop: own_path(x402.text("shop"), "x402.shop", "/x402", "where plans are sold", routed, report),
        public_status: x402.flag("public_status"),
    }
}

fn statement(text: &Text, report: &mut Report) -> String {
    let hint = if !text.value.bytes().all(|b| matches!(b, b' '..=b'~')) {
        "expected printable ASCII"
    } else if text.value.len() > STATEMENT_BYTES_MAX {
        "expected at most 2048 characters"
    } else if text.value.contains(HEADER_PHRASE) {
        "it holds the words with which a message begins"
    } else {
        return text.value.clone();
    };
    report.error(&text.place, "`x402.statement` is none that wallets sign", hint);
    String::new()
}

/// The chains of the invitation to sign in: those that are named, or else the networks that are paid on.
fn sign_in_chains(
    x402: &Section,
    market: &Market,
    allowed: &[String],
    rules: &[Rule],
    report: &mut Report,
) -> Vec<ChainId> {
    let texts = x402.texts("sign_in_chains");
    let mut chains: Vec<ChainId> = Vec::new();
    let mut faulty = market.is_faulty();
    for text in texts {
        match sign_in_chain(text, allowed, report) {
            Some(chain) if !chains.contains(&chain) => chains.push(chain),
            Some(_) => {}
            None => faulty = true,
        }
    }
    if texts.is_empty() {
        for network in market.accepted().iter().map(|accepted| &accepted.accept.network) {
            if is_allowed(network, allowed) && !chains.contains(network) {
                chains.push(network.clone());
            }
        }
    }
    if faulty || !rules.iter().any(|rule| rule.sign_in) {
        return chains;
    }
    let place = x402.place("sign_in_chains");
    if chains.is_empty() {
        let hint = "expected `sign_in_chains`, or [[x402.accept]] on a network that [chains] lets in";
        report.error(place, "[x402] names no chain to sign in on", hint);
    } else if let Some(first) = market.accepted().first().filter(|first| !chains.contains(&first.accept.network)) {
        // x402.md section 8: stock clients sign in on the first network of the terms, or not at all.
        let title = format!("nobody can sign in on `{}`, the first network to be paid on", first.accept.network);
        report.warn(place, title, "many clients sign in on that one or not at all, and pay again");
    }
    chains
}

fn sign_in_chain(text: &Text, allowed: &[String], report: &mut Report) -> Option<ChainId> {
    let Some((chain, _)) = chain(&text.value).filter(|(chain, _)| FAMILIES.contains(&chain.namespace())) else {
        let title = format!("nobody can sign in on `{}`", text.shown);
        report.error(&text.place, title, format!("expected a CAIP-2 id of: {}", listed(FAMILIES.into_iter())));
        return None;
    };
    if !is_allowed(&chain, allowed) {
        let title = format!("nobody can sign in on `{}`", text.shown);
        let hint = format!("`chains.{}.allow` does not let it in", chain.namespace());
        report.error(&text.place, title, hint);
        return None;
    }
    Some(chain)
}

/// Whether `[chains]` lets a chain in, by its id or with all of its family.
fn is_allowed(chain: &ChainId, allowed: &[String]) -> bool {
    let is_welcome = |welcome: &String| {
        welcome == chain.as_str() || welcome.strip_suffix(":*").is_some_and(|family| family == chain.namespace())
    };
    allowed.iter().any(is_welcome)
}

/// A path under which the gateway answers itself, without a slash at its end; nothing: nowhere. No route lies under it.
/// `key` is what says it, `example` a good one, and `what` what is found there.
pub(super) fn own_path(
    text: &Text,
    key: &str,
    example: &str,
    what: &str,
    routed: &Routed,
    report: &mut Report,
) -> Option<String> {
    if text.value.is_empty() || !routes::is_path(text, key, report) {
        return None;
    }
    let own = text.value.strip_suffix('/').unwrap_or(&text.value);
    let is_canonical = CanonicalPath::parse(own).is_ok_and(|path| path.as_str() == own);
    if !is_canonical {
        let title = format!("`{}` is no {key}", text.shown);
        report.error(&text.place, title, format!("expected a path such as `{example}`, nothing in it escaped"));
        return None;
    }
    let (lower, spelled) = (own.to_ascii_lowercase(), own.to_owned());
    for (rule, place) in routed.rules.iter().zip(&routed.places) {
        let (Pattern::Exact(path) | Pattern::Prefix(path)) = &rule.pattern;
        // Letter case does not tell them apart: upstreams exist that ignore it (hardening.md section 3).
        if routes::covers(&lower, &path.to_ascii_lowercase()) {
            let title = format!("route \"{}\" lies under `{spelled}`, {what}", rule.name);
            report.error(place, title, format!("expected it elsewhere, or another `{key}`"));
        }
    }
    Some(spelled)
}
