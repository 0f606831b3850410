//! Request targets, from the text of a request line to the rule that judges the request.
//!
//! An input is `METHOD target`, a host, and then rules, each on a line: what is demanded (`none`, `wallet`,
//! `subscription`), `path` or `prefix`, the pattern with a host before it or not, and methods.

use std::sync::LazyLock;

use http::{Method, Uri};
use siwx_gateway::policy::{
    routes::{Found, Routes},
    rule::{AllowEncoded, Pattern, Requirement, Rule},
    target::{Asked, CanonicalPath, Host, Target, TargetError, check_query},
};

use super::{
    is_fit_to_show,
    readings::{self, Step},
};

static UPSTREAMS: LazyLock<Vec<Vec<Step>>> = LazyLock::new(readings::upstreams);

/// Rules at most: tables of more are not odder, and take longer.
const RULES_MAX: usize = 8;

/// A path has one spelling, and whatever a lenient upstream makes of it asks for no more than its rule.
pub fn judge(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut lines = text.split('\n');
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or(("GET", "/"));
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return;
    };
    let field = lines.next().unwrap_or_default();
    let host = match Host::parse(field) {
        Ok(host) => host,
        Err(error) => return is_fit_to_show(&error.to_string()),
    };
    assert_eq!(Host::parse(host.as_str()).as_ref(), Ok(&host), "a host has one spelling");
    let routes = routes(lines);
    let (path, query) = match asked(&method, target, field) {
        Ok(Asked::Path(path, query)) => (path, query),
        Ok(Asked::Server) => return assert_eq!(method, Method::OPTIONS),
        Err(error) => return is_fit_to_show(&error.to_string()),
    };
    if let Err(error) = check_query(query.unwrap_or_default()) {
        is_fit_to_show(&error.to_string());
    }
    let path = match CanonicalPath::parse(path) {
        Ok(path) => path,
        Err(error) => return is_fit_to_show(&error.to_string()),
    };
    assert_eq!(CanonicalPath::parse(path.as_str()).as_ref(), Ok(&path), "a path has one spelling");
    let explained = routes.explain(&method, host.as_str(), &path);
    assert_eq!(explained.canonical, path.as_str());
    match routes.find(&method, host.as_str(), &path) {
        Found::Rule(rule) => judge_rule(&routes, rule, &method, host.as_str(), &path),
        Found::Ambiguous(rule) => assert_ne!(rule.requirement, Requirement::Public),
        Found::BadPath(error) => assert_eq!(path.reserved().is_some(), !error.to_string().is_empty()),
        Found::MethodNeverAllowed => {}
        Found::MethodNotAllowed => assert!(!routes.methods(host.as_str(), &path).contains(&method)),
        Found::None => {
            let found = readings::under(routes.rules(), &method, host.as_str(), path.as_str().as_bytes(), &[]);
            assert!(found.is_none(), "the table has nothing, the walk has {found:?}");
        }
    }
}

/// The target as it is read off the request line, which must be what an HTTP library makes of it.
fn asked<'t>(method: &Method, target: &'t str, host: &str) -> Result<Asked<'t>, TargetError> {
    let asked = Target::parse(target).accept(method, "https", host);
    if let Ok(uri) = target.parse::<Uri>()
        && !target.contains('#')
        && let (Ok(ours), Ok(theirs)) = (asked, Target::of(&uri).accept(method, "https", host))
    {
        assert_eq!(ours, theirs, "{target} is read in two ways");
    }
    asked
}

fn judge_rule(routes: &Routes, rule: &Rule, method: &Method, host: &str, path: &CanonicalPath<'_>) {
    let bytes = path.as_str().as_bytes();
    let chosen = readings::under(routes.rules(), method, host, bytes, &[]).expect("a rule that matches");
    assert_eq!(rule.name, chosen.name, "the table and the walk differ on {}", path.as_str());
    assert!(rule.requirement != Requirement::Public || path.is_plain());
    match rule.upstream_path(path) {
        Ok(sent) => assert_eq!(CanonicalPath::parse(&sent).map(|path| path.as_str().to_owned()), Ok(sent.to_string())),
        Err(error) => is_fit_to_show(&error.to_string()),
    }
    let upper = method.as_str().to_ascii_uppercase();
    let upper = Method::from_bytes(upper.as_bytes()).expect("a method");
    let methods = if upper == *method { vec![upper] } else { vec![method.clone(), upper] };
    for upstream in &*UPSTREAMS {
        for method in &methods {
            let Some(other) = readings::under(routes.rules(), method, host, bytes, upstream) else { continue };
            assert!(
                other.name == rule.name || other.requirement == Requirement::Public,
                "{} went to {:?}, and {:?} lies under {:?}",
                path.as_str(),
                rule.pattern,
                String::from_utf8_lossy(&readings::read(bytes, upstream)),
                other.pattern
            );
        }
    }
}

/// The rules of these lines that can stand beside those before them.
fn routes<'l>(lines: impl Iterator<Item = &'l str>) -> Routes {
    let mut rules: Vec<Rule> = Vec::new();
    for rule in lines.filter_map(rule).take(RULES_MAX) {
        rules.push(Rule { name: format!("r{}", rules.len()), ..rule });
        if Routes::build(rules.clone()).is_err() {
            rules.pop();
        }
    }
    Routes::build(rules).expect("a sound table")
}

fn rule(line: &str) -> Option<Rule> {
    let mut words = line.split(' ');
    let requirement = match words.next()? {
        "none" => Requirement::Public,
        "wallet" => Requirement::Wallet,
        "subscription" => Requirement::Subscription { plans: Vec::new() },
        _ => return None,
    };
    let kind = words.next()?;
    let pattern = words.next()?;
    let (host, path) = pattern.split_at(pattern.find('/')?);
    let pattern = match kind {
        "path" => Pattern::Exact(path.to_owned()),
        "prefix" => Pattern::Prefix(path.to_owned()),
        _ => return None,
    };
    let protected = requirement != Requirement::Public;
    let strip_prefix = if kind == "prefix" && path.len() > 1 { path.to_owned() } else { String::new() };
    Some(Rule {
        host: (!host.is_empty()).then(|| host.to_owned()),
        methods: words.map(|word| Method::from_bytes(word.as_bytes())).collect::<Result<_, _>>().ok()?,
        allow_encoded: AllowEncoded { slash: protected, semicolon: protected },
        strip_prefix,
        ..Rule::plain("", pattern, requirement)
    })
}
