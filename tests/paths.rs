//! Hostile spellings of paths, from the bytes a client sends to the rule that judges them.
//!
//! The rows are those of the hardening specification, section 1.2; the properties are checked against a second
//! reading of its rules that is written for plainness, not for speed.

use http::Method;
use proptest::prelude::*;
use siwx_gateway::policy::{
    routes::{Found, Routes},
    rule::{AllowEncoded, Pattern, Requirement, Rule},
    target::{Asked, CanonicalPath, Host, Target, check_query},
};

use readings::{read, under, upstreams};

#[path = "paths/readings.rs"]
mod readings;

fn exact(path: &str) -> Pattern {
    Pattern::Exact(path.to_owned())
}

fn prefix(path: &str) -> Pattern {
    Pattern::Prefix(path.to_owned())
}

fn subscription() -> Requirement {
    Requirement::Subscription { plans: vec!["gold".to_owned()] }
}

/// What becomes of a request without a credential.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// 400, whatever the credential.
    Refused,
    /// 401 or 402: the rule's name, or `none`.
    Protected(&'static str),
    /// It reaches the upstream by this rule.
    Public(&'static str),
}

fn fate(routes: &Routes, target: &str) -> Fate {
    let Ok(Asked::Path(path, query)) = Target::parse(target).accept(&Method::GET, "https", "api.example") else {
        return Fate::Refused;
    };
    let Ok(path) = CanonicalPath::parse(path) else {
        return Fate::Refused;
    };
    if query.is_some_and(|query| check_query(query).is_err()) {
        return Fate::Refused;
    }
    let name = |rule: &Rule| {
        ["api", "dear", "public", "root"].into_iter().find(|name| *name == rule.name).expect("a rule of the table")
    };
    match routes.find(&Method::GET, "api.example", &path) {
        Found::Rule(rule) if rule.requirement == Requirement::Public => Fate::Public(name(rule)),
        Found::Rule(rule) => Fate::Protected(name(rule)),
        Found::None | Found::MethodNotAllowed => Fate::Protected("none"),
        Found::Ambiguous(_) | Found::BadPath(_) | Found::MethodNeverAllowed => Fate::Refused,
    }
}

#[test]
fn every_path_row_is_refused_or_protected() {
    let public = || Rule::plain("public", prefix("/public"), Requirement::Public);
    let api = || Rule::plain("api", prefix("/api"), Requirement::Wallet);
    let dear = || Rule::plain("dear", exact("/premium/weather"), subscription());
    let closed = Routes::build(vec![public(), api(), dear()]).expect("a sound table");
    let root = Rule::plain("root", prefix("/"), Requirement::Wallet);
    let with_root = Routes::build(vec![public(), api(), dear(), root]).expect("a sound table");
    let root = Rule::plain("root", prefix("/"), Requirement::Public);
    let open = Routes::build(vec![public(), api(), dear(), root]).expect("a sound table");

    use Fate::{Protected, Public, Refused};
    // The same request at three tables: no catch-all; one for wallets; one for everybody.
    let rows = [
        ("P1", "/public/../api/x", Refused, Refused, Refused),
        ("P1", "/public/./../api/x", Refused, Refused, Refused),
        ("P1", "/x/../api/x", Refused, Refused, Refused),
        ("P2", "/public/%2e%2e/api/x", Refused, Refused, Refused),
        ("P2", "/public/.%2e/api/x", Refused, Refused, Refused),
        ("P2", "/public/%2E./api/x", Refused, Refused, Refused),
        ("P2", "/public/%2e%2e%2fapi/x", Refused, Refused, Refused),
        ("P3", "/public%2f..%2Fapi/x", Refused, Refused, Refused),
        ("P3", "/api%2fx", Refused, Refused, Refused),
        ("P3", "/public/..%5capi", Refused, Refused, Refused),
        ("P3", "/public\\..\\api", Refused, Refused, Refused),
        ("P4", "/public/%252e%252e/api", Refused, Refused, Refused),
        ("P4", "/public%252fapi", Refused, Refused, Refused),
        ("P4", "/public/%25252e%25252e/api", Refused, Refused, Refused),
        ("P4", "/public/%25%32%65/api", Refused, Refused, Refused),
        ("P5", "//api/x", Refused, Refused, Refused),
        ("P5", "///api", Refused, Refused, Refused),
        ("P5", "/api//x", Refused, Refused, Refused),
        ("P5", "/./api/x", Refused, Refused, Refused),
        ("P6", "/public/..;/api/x", Refused, Refused, Refused),
        ("P6", "/api;a=b/x", Refused, Refused, Refused),
        ("P6", "/public;/../api/x", Refused, Refused, Refused),
        ("P6", "/api%3ba=b/x", Refused, Refused, Refused),
        ("P7", "/public/x%00", Refused, Refused, Refused),
        ("P7", "/public/%0d%0ax", Refused, Refused, Refused),
        ("P7", "/public/%09", Refused, Refused, Refused),
        ("P7", "/api%20", Protected("none"), Protected("root"), Protected("none")),
        ("P7", "/public/x%20", Protected("none"), Protected("root"), Protected("none")),
        ("P7", "/api/x%20y", Protected("api"), Protected("api"), Protected("api")),
        ("P8", "/public/%c0%ae%c0%ae/api", Protected("none"), Protected("root"), Protected("none")),
        ("P8", "/public/\u{ff0e}\u{ff0e}/api", Refused, Refused, Refused),
        ("P8", "/public/%ef%bc%8f", Protected("none"), Protected("root"), Protected("none")),
        ("P8", "/ap\u{200b}i/x", Refused, Refused, Refused),
        ("P8", "/ap%e2%80%8bi/x", Protected("none"), Protected("root"), Protected("none")),
        ("P8", "/public/%ff", Protected("none"), Protected("root"), Protected("none")),
        ("P9", "/public/%23/../api", Refused, Refused, Refused),
        ("P9", "/public%3f/api", Refused, Refused, Refused),
        ("P9", "/public#/api", Refused, Refused, Refused),
        ("P9", "/public?x#y", Refused, Refused, Refused),
        ("P10", "/API/x", Protected("none"), Refused, Refused),
        ("P10", "/api/", Protected("api"), Protected("api"), Protected("api")),
        ("P10", "/%61pi/x", Protected("api"), Protected("api"), Protected("api")),
        ("P10", "/%41pi/x", Protected("none"), Refused, Refused),
        ("P11", "https://api.example/api/x", Protected("api"), Protected("api"), Protected("api")),
        ("P11", "https://other.example/public/x", Refused, Refused, Refused),
        ("P11", "http://api.example/public/x", Refused, Refused, Refused),
        ("P11", "https://public@api.example/public/x", Refused, Refused, Refused),
        ("P11", "api.example:443", Refused, Refused, Refused),
        ("P11", "*", Refused, Refused, Refused),
        ("P11", "public/x", Refused, Refused, Refused),
        ("P12", "/api/x?/public/", Protected("api"), Protected("api"), Protected("api")),
        ("P12", "/api?next=/public", Protected("api"), Protected("api"), Protected("api")),
        ("P12", "/api/x#/public", Refused, Refused, Refused),
        ("P13", "/publicity", Protected("none"), Protected("root"), Public("root")),
        ("P13", "/public.", Protected("none"), Protected("root"), Public("root")),
        ("P13", "/public", Public("public"), Public("public"), Public("public")),
        ("P13", "/public/x", Public("public"), Public("public"), Public("public")),
        ("P13", "/apiary", Protected("none"), Protected("root"), Public("root")),
        ("P17", "/premium/weather", Protected("dear"), Protected("dear"), Protected("dear")),
        ("P17", "/premium/weather/", Protected("dear"), Protected("dear"), Protected("dear")),
        ("P17", "/premium/%77eather", Protected("dear"), Protected("dear"), Protected("dear")),
        ("P17", "/Premium/Weather", Protected("none"), Refused, Refused),
        ("P17", "/premium/weather;a=b", Refused, Refused, Refused),
        ("P17", "/premium;a/weather", Refused, Refused, Refused),
        ("P17", "/premium%2fweather", Refused, Refused, Refused),
    ];
    for (row, target, without, wallets, everybody) in rows {
        assert_eq!(fate(&closed, target), without, "{row} {target}, no catch-all");
        assert_eq!(fate(&with_root, target), wallets, "{row} {target}, a catch-all for wallets");
        assert_eq!(fate(&open, target), everybody, "{row} {target}, a catch-all for everybody");
    }
}

#[test]
fn p14_a_rewritten_path_is_looked_at_again() {
    let mut api = Rule::plain("api", prefix("/api"), Requirement::Wallet);
    api.strip_prefix = "/api".to_owned();
    for (path, expected) in [("/api../x", Ok("/api../x")), ("/api", Ok("/")), ("/api/x", Ok("/x"))] {
        let path = CanonicalPath::parse(path).expect("canonical");
        assert_eq!(api.upstream_path(&path).as_deref(), expected.as_ref().map(|path: &&str| *path), "P14");
    }
    for path in ["/api/../x", "/api/%2e%2e/x", "/api//x", "/api..%2f../x"] {
        assert!(CanonicalPath::parse(path).is_err(), "P14 {path}");
    }
}

#[test]
fn p15_a_host_has_one_spelling() {
    let rules = (0..150).map(|at| {
        let mut rule = Rule::plain(&format!("r{at}"), prefix("/"), Requirement::Wallet);
        rule.host = Some(format!("h{at}.example"));
        rule
    });
    let routes = Routes::build(rules.collect()).expect("a sound table");
    let path = CanonicalPath::parse("/x").expect("canonical");
    for spelling in ["h149.example", "H149.Example", "h149.example.", "h149.example:8443", "H149.EXAMPLE.:443"] {
        let host = Host::parse(spelling).expect("a host");
        let Found::Rule(found) = routes.find(&Method::GET, host.as_str(), &path) else {
            panic!("P15 {spelling}: no rule");
        };
        assert_eq!(found.name, "r149", "P15 {spelling}");
    }
    for refused in ["h149.example, h0.example", "h149.example..", "h149.example:x", "h149\u{3002}example", ""] {
        assert!(Host::parse(refused).is_err(), "P15 {refused}");
    }
}

// === properties ===

/// How much a rule asks for. Two subscriptions may name different plans, so between them only the same rule will do.
fn rank(requirement: &Requirement) -> u8 {
    match requirement {
        Requirement::Public => 0,
        Requirement::Wallet => 1,
        Requirement::Subscription { .. } | Requirement::Payment { .. } => 2,
    }
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[abAB]{1,2}",
        1 => "[ab];[ab]",
        1 => "[ab]%2F[ab]",
        1 => "[ab]%3B[ab]",
        1 => "[ab]%20",
        1 => "%[46]1;?[ab]?",
        1 => "[ab]{1,2}(%2f|;|%3b|%2F%2F){1,2}[abAB]{0,2}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    (prop::collection::vec(segment(), 0..4), any::<bool>()).prop_map(|(segments, slash)| {
        let end = if slash && !segments.is_empty() { "/" } else { "" };
        format!("/{}{end}", segments.join("/"))
    })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let one = (prop_oneof![4 => "(/[abAB]{1,2}){0,3}/?", 1 => path()], 0..3_u8, any::<bool>());
    prop::collection::vec(one, 1..9).prop_map(|rows| {
        let mut rules: Vec<Rule> = Vec::new();
        for (at, (path, level, is_exact)) in rows.into_iter().enumerate() {
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let requirement = match level {
                0 => Requirement::Public,
                1 => Requirement::Wallet,
                _ => subscription(),
            };
            let pattern = if is_exact { Pattern::Exact(path) } else { Pattern::Prefix(path) };
            let mut rule = Rule::plain(&format!("r{at}"), pattern, requirement);
            let allowed = level != 0;
            rule.allow_encoded = AllowEncoded { slash: allowed, semicolon: allowed };
            rules.push(rule);
            // What cannot stand beside the others is left out, so that most tables are sound.
            if Routes::build(rules.clone()).is_err() {
                rules.pop();
            }
        }
        rules
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_reading_of_a_path_lies_under_a_dearer_rule(rules in rules(), paths in prop::collection::vec(path(), 1..12)) {
        let routes = Routes::build(rules.clone()).expect("a sound table");
        let upstreams = upstreams();
        for path in paths {
            let Ok(path) = CanonicalPath::parse(&path) else { continue };
            let Found::Rule(found) = routes.find(&Method::GET, "h", &path) else { continue };
            let chosen = under(&rules, &Method::GET, "h", path.as_str().as_bytes(), &[]).expect("a rule that matches");
            prop_assert_eq!(&found.name, &chosen.name, "the table and the walk differ on {}", path.as_str());
            for upstream in &upstreams {
                let Some(other) = under(&rules, &Method::GET, "h", path.as_str().as_bytes(), upstream) else { continue };
                let reading = read(path.as_str().as_bytes(), upstream);
                prop_assert!(
                    other.name == found.name || rank(&other.requirement) == 0,
                    "{} went to {} ({:?}), and {:?} lies under {} ({:?})",
                    path.as_str(), found.name, found.pattern, String::from_utf8_lossy(&reading), other.name, other.pattern
                );
            }
        }
    }

    #[test]
    fn canonical_paths_stay_as_they_are(path in "(/[a-cA-C.;%0-9fF-]{0,6}|/(%[0-9a-fA-F]{2}){0,3}){1,4}") {
        if let Ok(once) = CanonicalPath::parse(&path) {
            let twice = CanonicalPath::parse(once.as_str());
            prop_assert_eq!(twice.as_ref(), Ok(&once));
        }
    }

    #[test]
    fn hosts_stay_as_they_are(host in "[a-zA-Z0-9.:-]{0,12}|\\[[0-9a-fA-F:]{2,20}\\](:[0-9]{1,5})?") {
        if let Ok(once) = Host::parse(&host) {
            let twice = Host::parse(once.as_str());
            prop_assert_eq!(twice.as_ref(), Ok(&once));
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,40}|/[%./;0-9a-fA-F?#:@\\[\\]*]{0,40}", host in "\\PC{0,20}") {
        let routes = Routes::build(vec![Rule::plain("root", prefix("/"), Requirement::Wallet)]).expect("a sound table");
        let _ = Host::parse(&host);
        let _ = check_query(&text);
        let _ = Target::parse(&text).accept(&Method::GET, "https", &host);
        if let Ok(path) = CanonicalPath::parse(&text) {
            let is_refused = path.reserved().is_some();
            let found = routes.find(&Method::GET, &host, &path);
            prop_assert_eq!(matches!(found, Found::BadPath(_)), is_refused);
        }
    }
}
