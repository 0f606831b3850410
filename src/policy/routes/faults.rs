//! What can be wrong with a table of rules: found when it is built, all at once.

use std::collections::BTreeMap;

use http::Method;

use super::{covers, fold::Fold, key};
use crate::policy::{
    rule::{Pattern, Requirement, Rule},
    target::{CanonicalPath, Host, PathError, never_served},
};

/// What is wrong with a table of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route `{route}`: {problem}")]
pub struct RouteFault {
    /// Name of the rule at fault; of two, the later one.
    pub route: String,
    /// Its place among the rules given, from 0.
    pub index: usize,
    /// What is wrong.
    pub problem: RouteProblem,
}

/// What is wrong with a rule, by itself or beside another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteProblem {
    /// `add_prefix`, `path`, `prefix` or `strip_prefix` is not canonical; `found` is what it says.
    #[error("expected {key} to be a canonical path such as `{canonical}`, found `{found}`")]
    NotCanonical {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        found: String,
        /// The canonical spelling.
        canonical: String,
    },
    /// One of those is no path at all.
    #[error("{key} = `{found}`: {error}")]
    BadPath {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        found: String,
        /// Why it is refused.
        error: PathError,
    },
    /// The host is not in canonical form: lower case, no port, no trailing dot.
    #[error("expected host to be a host name in lower case without port, found `{found}`")]
    Host {
        /// What it says.
        found: String,
    },
    /// TRACE or CONNECT.
    #[error("methods: {found} is never served")]
    Method {
        /// The method.
        found: String,
    },
    /// A public rule with `allow_encoded`.
    #[error("allow_encoded is for protected routes only")]
    PublicEncoded,
    /// A public rule whose own pattern is not plain, so that nothing could match it.
    #[error("a public route matches only plain paths, and `{found}` is none")]
    PublicNotPlain {
        /// The pattern.
        found: String,
    },
    /// A pattern with `%2F`, `;` or `%3B` that its own `allow_encoded` does not let pass.
    #[error("`{found}` needs allow_encoded: {error}")]
    Encoded {
        /// The pattern.
        found: String,
        /// What a request for it would be refused with.
        error: PathError,
    },
    /// Another rule matches the same with the same weight.
    #[error("matches the same requests as route `{other}`, and neither is more specific")]
    Equal {
        /// The name of the other.
        other: String,
        /// Its place among the rules given.
        other_index: usize,
    },
    /// Another rule's pattern is the same but for letter case, parameters or escapes.
    #[error("its path differs from that of route `{other}` only in letter case, parameters or escapes")]
    Spelling {
        /// The name of the other.
        other: String,
        /// Its place among the rules given.
        other_index: usize,
    },
}

/// Everything that is wrong with a list of rules, in their order.
pub(super) fn faults(rules: &[Rule]) -> Vec<RouteFault> {
    let mut faults = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let problems = faults_of(rule).into_iter();
        faults.extend(problems.map(|problem| RouteFault { route: rule.name.clone(), index, problem }));
    }
    faults.extend(collisions(rules));
    faults.sort_by_key(|fault| fault.index);
    faults
}

fn faults_of(rule: &Rule) -> Vec<RouteProblem> {
    let mut problems = Vec::new();
    let public = rule.requirement == Requirement::Public;
    let found = rule.pattern.as_str();
    let key = match rule.pattern {
        Pattern::Exact(_) => "path",
        Pattern::Prefix(_) => "prefix",
    };
    if let Some(host) = &rule.host
        && Host::parse(host).map_or(true, |canonical| canonical.as_str() != host)
    {
        problems.push(RouteProblem::Host { found: host.clone() });
    }
    for method in rule.methods.iter().filter(|method| never_served(method)) {
        problems.push(RouteProblem::Method { found: method.to_string() });
    }
    if public && (rule.allow_encoded.slash || rule.allow_encoded.semicolon) {
        problems.push(RouteProblem::PublicEncoded);
    }
    match check_path(key, found) {
        Err(problem) => problems.push(problem),
        Ok(path) if public && !path.is_plain() => {
            problems.push(RouteProblem::PublicNotPlain { found: found.to_owned() });
        }
        Ok(path) => {
            let slash = path.holds_encoded_slash() && !rule.allow_encoded.slash;
            let semicolon = path.holds_semicolon() && !rule.allow_encoded.semicolon;
            let error = if slash { PathError::EncodedSlash } else { PathError::Semicolon };
            if slash || semicolon {
                problems.push(RouteProblem::Encoded { found: found.to_owned(), error });
            }
        }
    }
    for (key, prefix) in [("strip_prefix", &rule.strip_prefix), ("add_prefix", &rule.add_prefix)] {
        if !prefix.is_empty() {
            problems.extend(check_path(key, prefix).err());
        }
    }
    problems
}

fn check_path<'p>(key: &'static str, found: &'p str) -> Result<CanonicalPath<'p>, RouteProblem> {
    let path =
        CanonicalPath::parse(found).map_err(|error| RouteProblem::BadPath { key, found: found.to_owned(), error })?;
    if path.as_str() != found {
        let canonical = path.as_str().to_owned();
        return Err(RouteProblem::NotCanonical { key, found: found.to_owned(), canonical });
    }
    Ok(path)
}

/// Pairs of rules between which only their order in the file could choose, in one reading or another.
fn collisions(rules: &[Rule]) -> Vec<RouteFault> {
    let mut problems = BTreeMap::new();
    for fold in Fold::all() {
        let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate() {
            let exact = matches!(rule.pattern, Pattern::Exact(_));
            let group = groups.entry((&rule.host, exact, key(&rule.pattern, fold))).or_default();
            for &other_index in group.iter() {
                let problem = || collision(rule, &rules[other_index], other_index);
                problems.entry((index, other_index)).or_insert_with(problem);
            }
            group.push(index);
        }
    }
    let faults = problems.into_iter().filter_map(|((index, _), problem)| {
        problem.map(|problem| RouteFault { route: rules[index].name.clone(), index, problem })
    });
    faults.collect()
}

/// What is wrong with a rule whose pattern is read as another's.
fn collision(rule: &Rule, other: &Rule, other_index: usize) -> Option<RouteProblem> {
    let name = other.name.clone();
    if key(&rule.pattern, Fold::AS_IS) != key(&other.pattern, Fold::AS_IS) {
        return Some(RouteProblem::Spelling { other: name, other_index });
    }
    overlap(&rule.methods, &other.methods).then_some(RouteProblem::Equal { other: name, other_index })
}

/// Whether two lists of methods have one in common and neither beats the other. HEAD counts as named by GET: which
/// of two such rules it belongs to should not need a footnote.
fn overlap(these: &[Method], those: &[Method]) -> bool {
    if these.is_empty() || those.is_empty() {
        return these.is_empty() && those.is_empty();
    }
    these.iter().any(|method| covers(those, method)) || those.iter().any(|method| covers(these, method))
}
