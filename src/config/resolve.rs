//! What a configuration means: the settings of each room, and what does not fit together.
//!
//! 1. Each part is read even when another was wrong, so that one run tells all.
//! 2. A check that rests on a value which was wrong itself is left out: one mistake, one report.

mod edge;
mod gate;
mod plans;
mod routes;
mod rpc;
mod sales;
mod session;
mod store;
mod upstreams;
mod x402;

use super::{
    Config, Fingerprint, LogLevel, LogSettings, Places,
    report::{Place, Report},
    section::Section,
    tree::Text,
};
use crate::{
    caip::ChainId,
    chain::DIALECTS,
    policy::rule::Rule,
    siwx::{claims::Origin, dialect::Dialect},
};

/// Plans and upstreams and routes are metric labels and part of stored keys, so their names are bounded.
const NAME_BYTES_MAX: usize = 32;

/// The plan that every configuration knows.
pub(crate) const DEFAULT_PLAN: &str = "default";

/// Routes, and where the pattern of each is.
struct Routed {
    rules: Vec<Rule>,
    places: Vec<Place>,
}

/// Reads everything. Nothing, if a part without which there is no configuration is missing; the report says why.
pub(crate) fn config(root: &Section, report: &mut Report) -> Option<Config> {
    let public_url = root.given("public_url").and_then(|text| public_url(text, report));
    let x402 = root.section_if_given("x402");
    let plans = plans::plans(root.sections("plan"), report);
    let accepted = x402.map(|section| x402::accepted(section, report)).unwrap_or_default();
    let (facilitators, facilitator_places) =
        x402.map(|section| x402::facilitators(section, report)).unwrap_or_default();
    let market = sales::Market::new(x402, accepted, &plans, report);
    let (upstreams, upstream_cas) = upstreams::upstreams(root, report);
    let names: Vec<&str> = root.named("upstreams").iter().map(|(name, _)| name.value.as_str()).collect();
    let routed = routes::routes(root, &names, &plans, &market, report);
    upstreams::check_websockets(&upstreams, &routed, report);
    market.check(x402, root, &routed.rules, report);
    let hosts = edge::served(root, public_url.as_ref(), &routed.rules, report);
    let (tls, certificates) = edge::tls(root, &hosts, report);
    let (listen, listen_places) = edge::listeners(root.section("server"), tls.is_some(), report);
    let http_redirect = edge::http_redirect(root.section("server"), public_url.as_ref(), &listen, report);
    let admin = edge::admin(root, &listen, report);
    let proxies = edge::proxies(root.section("server"), report);
    let identity_prefix = gate::identity_prefix(root.section("auth"), report);
    let assertion = edge::assertion(root.section("auth"), report);
    let mut gate = gate::settings(root, &hosts, report);
    if let Some(section) = x402 {
        let allowed = gate.expectation.chains.clone();
        gate.payments = Some(x402::settings(section, &market, &allowed, &routed, report));
    }
    if let (Some(section), Some(public_url)) = (root.section_if_given("session"), &public_url) {
        let nonce_secret = gate.payments.as_ref().and_then(|payments| payments.nonce_secret.clone());
        gate.sessions = Some(session::settings(section, root, public_url, &routed, nonce_secret, report));
    }
    if assertion.is_some() {
        edge::check_assertions(&routed, &names, root.section_if_given("session").is_none(), report);
    }
    let contracts = rpc::contracts(root.section("chains").section("eip155"), &gate.expectation.chains, report);
    (gate.accepts.eip1271, gate.accepts.eip6492) = (contracts.eip1271, contracts.eip6492);
    gate.plan_limits = plans.iter().map(|plan| plan.limits.clone()).collect();
    let store = store::settings(root.section("store"), report);
    let log = root.section("log");
    let json = log.text("format").value == "json";

    let (public_url, store) = (public_url?, store?);
    let edge = edge::settings(
        root,
        edge::Parts {
            public_url: &public_url,
            hosts,
            listen,
            http_redirect,
            tls,
            admin,
            proxies,
            identity_prefix,
            assertion,
            schemes: &gate.schemes,
            json,
        },
    );
    Some(Config {
        public_url,
        edge,
        gate,
        store,
        facilitators,
        rpc: contracts.rpc,
        upstreams,
        routes: routed.rules,
        plans: plans.into_iter().map(|plan| plan.name).collect(),
        log: LogSettings { level: level(&log.text("level").value), json },
        places: Places {
            routes: routed.places,
            facilitators: facilitator_places,
            certificates,
            upstream_cas,
            listen: listen_places,
            admin_listen: root.section("admin").place("listen").clone(),
            store: root.section("store").place("url").clone(),
        },
        fingerprint: Fingerprint::of(root),
        holds_secrets: false,
    })
}

fn public_url(text: &Text, report: &mut Report) -> Option<Origin> {
    // A path has its own report, because it is the mistake that is made.
    let after_scheme = text.value.split_once("://").map_or("", |(_, rest)| rest);
    if let Some(slash) = after_scheme.find('/') {
        let hint = if text.value.contains('@') || text.shown != text.value {
            "expected scheme, host and port alone".to_owned()
        } else {
            let end = text.value.len() - (after_scheme.len() - slash);
            format!("expected scheme, host and port alone: `{}`", &text.value[..end])
        };
        report.error(&text.place, "`public_url` has a path", hint);
        return None;
    }
    match Origin::parse(&text.value) {
        Ok(origin) => Some(origin),
        Err(_) => {
            let title = format!("`public_url` is no web origin: `{}`", text.shown);
            report.error(&text.place, title, "expected something like `https://api.example.com`");
            None
        }
    }
}

/// A chain as its family spells it, and the family.
fn chain(text: &str) -> Option<(ChainId, &'static Dialect)> {
    let (namespace, reference) = text.split_once(':')?;
    let dialect = DIALECTS.iter().find(|dialect| dialect.namespace == namespace)?;
    let chain = ChainId::new(namespace, &(dialect.reference)(reference)?).ok()?;
    Some((chain, dialect))
}

fn level(word: &str) -> LogLevel {
    match word {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => LogLevel::Info,
    }
}

/// Whether a name may be a metric label and a part of stored keys; if not, a fault.
fn is_name(what: &str, name: &Text, report: &mut Report) -> bool {
    let good = (1..=NAME_BYTES_MAX).contains(&name.value.len())
        && name.value.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if !good {
        let title = format!("`{}` is no name of {what}", name.shown);
        report.error(&name.place, title, "expected 1 to 32 characters out of a-z, 0-9, `_` and `-`");
    }
    good
}

/// A comma list of names for a hint, or a word that there are none.
fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
