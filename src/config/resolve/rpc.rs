//! `[chains.eip155]`, but for `allow`: which signatures count, and who is asked about those of contracts.

use super::{chain, x402};
use crate::{
    caip::ChainId,
    chain::eip155::address,
    config::{report::Report, section::Section, tree::Text},
    outbound::Endpoint,
    rpc::{ChainSettings, Settings},
    siwx::dialect::Dialect,
};

/// Chains are metric labels, and each node has connections of its own.
const CHAINS_MAX: usize = 64;

/// More than this are not asked within the time that a request has.
const ENDPOINTS_MAX: usize = 8;

/// Which contracts may sign, and who is asked about them.
pub(super) struct Contracts {
    pub(super) eip1271: bool,
    pub(super) eip6492: bool,
    pub(super) rpc: Option<Settings>,
}

/// Reads the schemes and the nodes. `allowed` are the chains that are let in.
pub(super) fn contracts(section: &Section, allowed: &[String], report: &mut Report) -> Contracts {
    let [eip1271, eip6492] = schemes(section, report);
    let lists = section.lists("rpc");
    if let Some((name, _)) = lists.get(CHAINS_MAX) {
        report.error(&name.place, format!("more than {CHAINS_MAX} chains with nodes"), "");
    }
    let mut chains = Vec::with_capacity(lists.len());
    for (name, urls) in lists {
        if let (Some((chain, _)), Some(urls)) = (evm_chain(name, report), urls) {
            let endpoints = endpoints(&chain, name, urls, report);
            check_quorum(section, &chain, urls.len(), report);
            warn_if_idle(&chain, name, [eip1271, eip6492], allowed, report);
            chains.push(ChainSettings { chain, endpoints, validator: None });
        }
    }
    read_validators(section, &mut chains, report);
    let rpc = (!lists.is_empty()).then(|| Settings {
        chains,
        timeout: section.duration("rpc_timeout"),
        concurrency: section.count("rpc_concurrency"),
        quorum: section.count("rpc_quorum"),
    });
    Contracts { eip1271, eip6492, rpc }
}

/// Whether contracts may sign, and contracts that are not deployed yet.
fn schemes(section: &Section, report: &mut Report) -> [bool; 2] {
    const EXPECTED: &str = "expected `eip191`, `eip1271` or `eip6492`";
    let texts = section.texts("schemes");
    let has = |scheme| texts.iter().any(|text| text.value == scheme);
    if texts.is_empty() {
        report.error(section.place("schemes"), "`chains.eip155.schemes` is empty", "expected `eip191`");
    } else if !has("eip191") {
        let title = "schemes without `eip191` are not built yet";
        report.error(section.place("schemes"), title, "expected it beside the others: a key needs nobody to be asked");
    }
    for text in texts {
        match text.value.as_str() {
            "eip191" => {}
            "eip1271" | "eip6492" if section.lists("rpc").is_empty() => {
                let title = format!("scheme `{}` needs a node to be asked", text.shown);
                report.error(&text.place, title, "expected `chains.eip155.rpc` to name one for a chain at least");
            }
            "eip1271" | "eip6492" => {}
            _ => report.error(&text.place, format!("unknown scheme `{}`", text.shown), EXPECTED),
        }
    }
    ["eip1271", "eip6492"].map(has)
}

fn evm_chain(name: &Text, report: &mut Report) -> Option<(ChainId, &'static Dialect)> {
    let found = chain(&name.value).filter(|(chain, _)| chain.namespace() == "eip155");
    if found.is_none() {
        let title = format!("`{}` is no chain of `eip155`", name.shown);
        report.error(&name.place, title, "expected a CAIP-2 id such as `eip155:8453`");
    }
    found
}

fn endpoints(chain: &ChainId, name: &Text, urls: &[Text], report: &mut Report) -> Vec<Endpoint> {
    if urls.is_empty() {
        report.error(&name.place, format!("`{chain}` has no node"), "expected a URL, or the chain left out");
    }
    if let Some(url) = urls.get(ENDPOINTS_MAX) {
        report.error(&url.place, format!("more than {ENDPOINTS_MAX} nodes of `{chain}`"), "");
    }
    let mut endpoints = Vec::with_capacity(urls.len());
    for url in urls {
        let Some(endpoint) = endpoint(chain, url, report) else {
            continue;
        };
        if endpoints.contains(&endpoint) {
            let title = format!("a node of `{chain}` at `{endpoint}` stands twice");
            report.error(&url.place, title, "it would replace itself, and agree with itself");
        }
        endpoints.push(endpoint);
    }
    endpoints
}

/// Nothing of a URL but scheme and host is quoted: keys stand in paths.
fn endpoint(chain: &ChainId, url: &Text, report: &mut Report) -> Option<Endpoint> {
    let endpoint = match Endpoint::parse_whole(&url.value) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            let hint = format!("expected one such as `https://node.example/v2/KEY`: {}", error.why());
            report.error(&url.place, format!("no URL of a node of `{chain}`"), hint);
            return None;
        }
    };
    if !endpoint.is_tls() && !endpoint.is_loopback() {
        let title = format!("`{endpoint}` speaks plain HTTP and is not on loopback");
        report.error(&url.place, title, "expected `https://`: whoever answers in its place says who comes in");
        return None;
    }
    Some(endpoint)
}

fn check_quorum(section: &Section, chain: &ChainId, nodes: usize, report: &mut Report) {
    let quorum = section.count("rpc_quorum");
    if nodes > 0 && quorum > nodes {
        let title = format!("`{chain}` has fewer nodes than must agree");
        report.error(section.place("rpc_quorum"), title, format!("expected at most {nodes}, found {quorum}"));
    }
}

/// Nodes that nobody will ask.
fn warn_if_idle(chain: &ChainId, name: &Text, schemes: [bool; 2], allowed: &[String], report: &mut Report) {
    let is_allowed = allowed.iter().any(|allowed| allowed == "eip155:*" || allowed == chain.as_str());
    let hint = if schemes == [false; 2] {
        "expected `eip1271` or `eip6492` in `chains.eip155.schemes`"
    } else if !is_allowed {
        "`chains.eip155.allow` does not let it in"
    } else {
        return;
    };
    report.warn(&name.place, format!("nodes of `{chain}` will never be asked"), hint);
}

fn read_validators(section: &Section, chains: &mut [ChainSettings], report: &mut Report) {
    for (name, text) in section.texted("validators") {
        let Some((chain, dialect)) = evm_chain(name, report) else {
            continue;
        };
        let validator = x402::address(text, dialect, report).and_then(|text| address::parse(&text).ok());
        match chains.iter_mut().find(|settings| settings.chain == chain) {
            Some(settings) => settings.validator = validator,
            None => {
                let title = format!("the validator of `{chain}` will never be asked");
                report.error(&name.place, title, "expected `chains.eip155.rpc` to name a node of that chain");
            }
        }
    }
}
