//! `[[route]]`: what may be asked for, by whom, and where it goes.
//!
//! Patterns are looked at for their outer form here; that they are canonical paths, and which rule a request is
//! for, is the business of `policy::routes`.

use http::Method;

use super::{DEFAULT_PLAN, Routed, gate, is_name, listed, plans::Plan, sales::Market};
use crate::{
    config::{
        amounts::{self, Size},
        keys,
        report::{Place, Report},
        section::Section,
        tree::Text,
    },
    policy::rule::{AllowEncoded, CountedBy, Pattern, Rate, Requirement, RouteRate, Rule},
    siwx::claims::Origin,
    x402::SIGN_IN_WITH_X,
};

/// More would make labels without end, and a longer walk for every request.
const ROUTES_MAX: usize = 64;

/// Reads all routes. One that is wrong is left out.
pub(super) fn routes(
    root: &Section,
    upstreams: &[&str],
    plans: &[Plan],
    market: &Market,
    report: &mut Report,
) -> Routed {
    let sections = root.sections("route");
    if let Some(section) = sections.get(ROUTES_MAX) {
        report.error(&section.place, format!("more than {ROUTES_MAX} routes"), "");
    }
    let mut rules: Vec<Rule> = Vec::new();
    let mut places = Vec::new();
    for section in sections {
        let (rule, place) = route(root, section, upstreams, plans, market, report);
        let Some(rule) = rule else {
            continue;
        };
        if rules.iter().any(|earlier| earlier.name == rule.name) {
            report.error(section.place("name"), format!("route \"{}\" stands twice", rule.name), "");
        }
        if let Some(earlier) = rules.iter().find(|earlier| is_equal(earlier, &rule)) {
            let title = format!("routes \"{}\" and \"{}\" are for the same requests", earlier.name, rule.name);
            let apart = earlier.pattern.as_str() != rule.pattern.as_str();
            report.error(&place, title, if apart { "letter case and a last slash do not tell them apart" } else { "" });
        }
        rules.push(rule);
        places.push(place);
    }
    warn_of_public_prefixes(&rules, &places, report);
    Routed { rules, places }
}

/// Reads one route; its place is that of its pattern.
fn route(
    root: &Section,
    section: &Section,
    upstreams: &[&str],
    plans: &[Plan],
    market: &Market,
    report: &mut Report,
) -> (Option<Rule>, Place) {
    let name = section.given("name").filter(|name| is_name("a route", name, report));
    let label = name.map_or_else(|| "this route".to_owned(), |name| format!("route \"{}\"", name.value));
    let (pattern, place) = pattern(section, &label, report);
    let upstream = section.given("upstream").and_then(|text| upstream(text, &label, upstreams, report));
    let requirement = requirement(section, &label, plans, report);
    let methods = methods(section, report);
    let host = host(section.text("host"), report);
    let sale = market.sale(section, &label, &requirement, report);
    let takes = takes(root, section, (&label, &requirement), market, report);
    let is_public = requirement == Requirement::Public;
    let allow_encoded = allow_encoded(section, &requirement, report);
    let cors = cors(section.section("cors"), report);
    let rate = rate(section, &label, &requirement, report);
    let (strip_prefix, add_prefix) = (section.text("strip_prefix"), section.text("add_prefix"));
    is_path(add_prefix, "add_prefix", report);
    if is_path(strip_prefix, "strip_prefix", report) {
        check_stripped(strip_prefix, pattern.as_ref(), report);
    }
    let rule = || {
        Some(Rule {
            name: name?.value.clone(),
            host: host?,
            methods: methods?,
            pattern: pattern?,
            requirement,
            upstream: upstream?,
            allow_encoded,
            strip_prefix: strip_prefix.value.clone(),
            add_prefix: add_prefix.value.clone(),
            body_bytes: section.size("body_bytes").map(|size| match size {
                Size::Bytes(bytes) => Some(bytes),
                Size::Unlimited => None,
            }),
            rate,
            sale,
            sign_in: takes.sign_in && !is_public,
            sessions: takes.sessions && !is_public,
            tokens: takes.tokens,
            cors,
            shared_cache: section.flag("shared_cache"),
            websocket: section.flag("websocket"),
            trailers: section.flag("trailers"),
            idle_timeout: section.duration_if_any("idle_timeout"),
            recheck: section.duration("recheck"),
        })
    };
    (rule(), place)
}

/// Origins whose scripts may use a route, each as browsers write it: they are compared byte for byte.
fn cors(section: &Section, report: &mut Report) -> Vec<String> {
    let mut origins = Vec::new();
    for text in section.texts("origins") {
        match Origin::parse(&text.value) {
            Ok(origin) if origin.to_string() == text.value => origins.push(text.value.clone()),
            Ok(origin) => {
                let title = format!("`{}` is not as browsers write an origin", text.shown);
                report.error(&text.place, title, format!("expected `{origin}`"));
            }
            Err(error) => {
                let title = format!("`{}` is no web origin", text.shown);
                report.error(&text.place, title, error.to_string());
            }
        }
    }
    origins
}

fn pattern(section: &Section, label: &str, report: &mut Report) -> (Option<Pattern>, Place) {
    let (text, pattern) = match (section.given("path"), section.given("prefix")) {
        (Some(path), None) => (path, Pattern::Exact(path.value.clone())),
        (None, Some(prefix)) => (prefix, Pattern::Prefix(prefix.value.clone())),
        (Some(_), Some(prefix)) => {
            let title = format!("{label} has both `path` and `prefix`");
            report.error(&prefix.place, title, "expected one of them");
            return (None, prefix.place.clone());
        }
        (None, None) => {
            let title = format!("{label} has neither `path` nor `prefix`");
            report.error(&section.place, title, "expected one of them");
            return (None, section.place.clone());
        }
    };
    let good = !text.value.is_empty() && is_path(text, "path or prefix", report);
    if let Some(segment) = text.value.split('/').find(|segment| segment.ends_with('*') || segment.starts_with(':')) {
        let title = format!("`{segment}` in `{}` stands for itself", text.shown);
        report.warn(&text.place, title, "there are no patterns in paths; a prefix covers all that lies below it");
    }
    if text.value.is_empty() {
        report.error(&text.place, format!("the path of {label} is empty"), "expected it to begin with `/`");
    }
    (Some(pattern).filter(|_| good), text.place.clone())
}

/// Whether a text is empty or has the outer form of a path; if not, a fault.
pub(super) fn is_path(text: &Text, what: &str, report: &mut Report) -> bool {
    let path = &text.value;
    let title = format!("`{}` is no {what}", text.shown);
    let hint = if path.is_empty() {
        return true;
    } else if !path.starts_with('/') {
        "expected it to begin with `/`"
    } else if path.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'?' | b'#' | b'\\')) {
        "expected a path in ASCII, without blanks, query or fragment"
    } else if path.contains("//") || path.split('/').any(|segment| matches!(segment, "." | "..")) {
        "expected no empty segments, and none of dots alone"
    } else {
        return true;
    };
    report.error(&text.place, title, hint);
    false
}

/// What is cut must be there in every path that the route matches, or some requests would go on uncut.
fn check_stripped(strip: &Text, pattern: Option<&Pattern>, report: &mut Report) {
    let Some(Pattern::Exact(path) | Pattern::Prefix(path)) = pattern else {
        return;
    };
    let bare = strip.value.trim_end_matches('/');
    let rest = path.strip_prefix(bare);
    if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        let title = format!("`strip_prefix` cuts `{}`, with which `{path}` does not begin", strip.shown);
        report.error(&strip.place, title, "expected a part of the route's own path, cut at a `/`");
    }
}

fn upstream(text: &Text, label: &str, upstreams: &[&str], report: &mut Report) -> Option<usize> {
    let index = upstreams.iter().position(|name| *name == text.value);
    if index.is_none() {
        let title = format!("{label} names upstream \"{}\", which no [upstreams.*] defines", text.shown);
        report.error(&text.place, title, known("upstreams", &text.value, upstreams));
    }
    index
}

fn known(what: &str, name: &str, names: &[&str]) -> String {
    match keys::nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{what}: {}", listed(names.iter().copied())),
    }
}

fn requirement(section: &Section, label: &str, plans: &[Plan], report: &mut Report) -> Requirement {
    let (auth, named) = (section.text("auth"), section.texts("plans"));
    let plans: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    if !matches!(auth.value.as_str(), "payment" | "subscription") && !named.is_empty() {
        let title = format!("{label} names plans, but `auth = \"{}\"` asks for none", auth.shown);
        report.error(section.place("plans"), title, "they count with `auth = \"subscription\"` or `\"payment\"`");
    }
    for plan in named.iter().filter(|plan| plan.value != DEFAULT_PLAN && !plans.contains(&plan.value.as_str())) {
        let title = format!("{label} names plan \"{}\", which no [[plan]] defines", plan.shown);
        report.error(&plan.place, title, known("plans", &plan.value, &plans));
    }
    let named = named.iter().map(|plan| plan.value.clone()).collect();
    match auth.value.as_str() {
        "none" => Requirement::Public,
        "wallet" => Requirement::Wallet,
        "subscription" => Requirement::Subscription { plans: named },
        _ => Requirement::Payment { plans: named },
    }
}

fn methods(section: &Section, report: &mut Report) -> Option<Vec<Method>> {
    let methods = section.texts("methods").iter().map(|text| {
        let method = Method::from_bytes(text.value.as_bytes()).ok();
        let hint = match &method {
            None => "expected a method such as `GET`",
            Some(method) if *method == Method::TRACE || *method == Method::CONNECT => "it is always answered 405",
            Some(_) if text.value.bytes().any(|b| b.is_ascii_lowercase()) => {
                "methods tell letter case apart, and those of HTTP are in upper case"
            }
            Some(_) => return method,
        };
        report.error(&text.place, format!("`{}` is no method of a route", text.shown), hint);
        None
    });
    // All are looked at before the first that failed ends it.
    methods.collect::<Vec<_>>().into_iter().collect()
}

/// The host of a route in lower case; the inner nothing is any that is served.
#[expect(clippy::option_option, reason = "the outer one says whether there was a fault")]
fn host(text: &Text, report: &mut Report) -> Option<Option<String>> {
    if text.value.is_empty() {
        return Some(None);
    }
    match Origin::parse(&format!("http://{}", text.value)) {
        Ok(origin) if origin.port().is_none() => Some(Some(origin.host().to_owned())),
        _ => {
            let title = format!("`{}` is no host of a route", text.shown);
            report.error(&text.place, title, "expected a host name or address without port");
            None
        }
    }
}

/// What a route takes.
#[derive(Clone, Copy)]
struct Takes {
    tokens: bool,
    sign_in: bool,
    sessions: bool,
}

/// What a route takes: its own carriers, or those of `[auth]`, as far as what they need is there. One that demands a
/// wallet has to take something.
fn takes(
    root: &Section,
    section: &Section,
    (label, requirement): (&str, &Requirement),
    market: &Market,
    report: &mut Report,
) -> Takes {
    gate::check_carriers(section, report);
    let has_sessions = root.section_if_given("session").is_some();
    let own = section.texts("carriers");
    // That [auth] names one is its default and says nothing; a route that does expects it.
    for text in own {
        let needed = match text.value.as_str() {
            SIGN_IN_WITH_X if !market.is_open() => "[x402]",
            gate::SESSION if !has_sessions => "[session]",
            _ => continue,
        };
        report.error(&text.place, format!("carrier `{}` needs {needed}", text.shown), "");
    }
    let carriers = if own.is_empty() { root.section("auth").texts("carriers") } else { own };
    let names = |carrier: &str| carriers.iter().any(|text| text.value == carrier);
    let takes = Takes {
        tokens: names(gate::AUTHORIZATION),
        sign_in: market.is_open() && section.flag("sign_in") && names(SIGN_IN_WITH_X),
        sessions: has_sessions && names(gate::SESSION),
    };
    let is_wallet = matches!(requirement, Requirement::Wallet | Requirement::Subscription { .. });
    // What is wrong with carriers of its own, or of [auth] where there are none, was said above.
    let is_said = own.iter().any(|text| text.value != SIGN_IN_WITH_X || !market.is_open())
        || !carriers.iter().any(|text| matches!(text.value.as_str(), SIGN_IN_WITH_X | gate::SESSION));
    if is_wallet && !(takes.tokens || takes.sign_in || takes.sessions) && !is_said {
        let title = format!("{label} lets wallets in, and takes no credential of one");
        report.error(section.place("carriers"), title, "expected a carrier that is on");
    }
    takes
}

fn allow_encoded(section: &Section, requirement: &Requirement, report: &mut Report) -> AllowEncoded {
    let mut allowed = AllowEncoded::default();
    let texts = section.texts("allow_encoded");
    if !texts.is_empty() && *requirement == Requirement::Public {
        report.error(section.place("allow_encoded"), "`allow_encoded` on a public route", "it is for protected routes");
    }
    for text in texts {
        match text.value.to_ascii_lowercase().as_str() {
            "%2f" => allowed.slash = true,
            ";" => allowed.semicolon = true,
            _ => {
                let title = format!("`{}` cannot be allowed", text.shown);
                report.error(&text.place, title, "expected `%2f` or `;`");
            }
        }
    }
    allowed
}

/// How often a route may be asked for; nothing: any number of times, or a fault.
fn rate(section: &Section, label: &str, requirement: &Requirement, report: &mut Report) -> Option<RouteRate> {
    let section = section.section_if_given("rate")?;
    let by = match section.text("by").value.as_str() {
        "ip" => CountedBy::Address,
        _ => CountedBy::Account,
    };
    if by == CountedBy::Account && *requirement == Requirement::Public {
        let title = format!("{label} is public, and has a rate by account");
        report.error(section.place("by"), title, "nobody is asked who they are there; expected `by = \"ip\"`");
    }
    let text = section.given("rate")?;
    match amounts::rate(&text.value) {
        Ok(read) => {
            let burst = section.whole_if_given("burst").and_then(|burst| u32::try_from(burst).ok());
            Some(RouteRate { by, rate: Rate { per_second: read.per_second, burst: burst.unwrap_or(read.burst) } })
        }
        Err(error) => {
            report.error(&text.place, format!("`rate.rate` of {label}: {error}, found `{}`", text.shown), "");
            None
        }
    }
}

/// Whether two routes are for the same requests: letter case does not tell them apart, because upstreams exist
/// that ignore it (hardening.md section 3).
fn is_equal(left: &Rule, right: &Rule) -> bool {
    let same_pattern = match (&left.pattern, &right.pattern) {
        (Pattern::Exact(left), Pattern::Exact(right)) | (Pattern::Prefix(left), Pattern::Prefix(right)) => {
            left.trim_end_matches('/').eq_ignore_ascii_case(right.trim_end_matches('/'))
        }
        _ => false,
    };
    let same_methods = match (left.methods.as_slice(), right.methods.as_slice()) {
        ([], []) => true,
        (left, right) => left.iter().any(|method| right.contains(method)),
    };
    same_pattern && same_methods && left.host == right.host
}

/// A public prefix opens whatever it covers and no other route names, so what it covers is told.
fn warn_of_public_prefixes(rules: &[Rule], places: &[Place], report: &mut Report) {
    for (rule, place) in rules.iter().zip(places) {
        let Pattern::Prefix(prefix) = &rule.pattern else {
            continue;
        };
        if rule.requirement != Requirement::Public {
            continue;
        }
        if prefix == "/" {
            let title = format!("route \"{}\" is public and its prefix is `/`", rule.name);
            report.warn(place, title, "whatever no other route names is open to everybody");
            continue;
        }
        for other in rules {
            let (Pattern::Exact(path) | Pattern::Prefix(path)) = &other.pattern;
            let hosts_meet = rule.host.is_none() || other.host.is_none() || rule.host == other.host;
            if other.requirement != Requirement::Public && hosts_meet && covers(prefix, path) {
                let title = format!(
                    "route \"{}\" is public and its prefix also covers \"{path}\" (route \"{}\")",
                    rule.name, other.name
                );
                report.warn(place, title, "");
            }
        }
    }
}

pub(super) fn covers(prefix: &str, path: &str) -> bool {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
