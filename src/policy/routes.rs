//! The route table: from method, host and canonical path to the rule that judges the request.
//!
//! 1. A rule with the request's host beats one without, an exact path beats a prefix, a longer prefix beats a shorter
//!    one, a rule with methods beats one without. The order of rules has no meaning, so two that would be equal are
//!    a fault of the table, and so are two whose patterns only differ in what rule 5 looks through.
//! 2. A rule takes part only if it is for the method; the next more general one is asked otherwise. GET includes HEAD.
//!    TRACE and CONNECT have no rule.
//! 3. A public rule matches only plain paths. What fits it but for that goes on to the next more general rule that is
//!    not public; where there is none the request is [`Found::None`], which is protected: a wallet that proves itself
//!    is told that there is nothing, and nobody reaches the upstream.
//! 4. `%2F`, `;` and `%3B` pass only under a protected rule that lets them.
//! 5. The shadow rule: an upstream may ignore letter case and parameters or decode what is still escaped. Each reading
//!    of the path such an upstream could have is looked up too, as is the method in upper case. If one of them selects
//!    another rule, and that is not public, the request is refused: a catch-all beside a priced route would sell it
//!    for nothing.
//! 6. A path that is known with other methods only is [`Found::MethodNotAllowed`]. It is as protected as no match at
//!    all: 405 is for a request whose credential is good.
//!
//! A slash at the end of a path or a pattern never matters here. Lookup allocates nothing for paths up to 256 bytes,
//! and looks at readings only of paths, or in tables, that have any. No regular expressions; queries take no part.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    fmt,
};

use http::Method;

use super::{
    rule::{Pattern, Requirement, Rule},
    target::{CanonicalPath, Host, PathError, escape_at, is_plain, never_served},
};

/// All rules, ready for lookup.
#[derive(Debug)]
pub struct Routes {
    rules: Vec<Rule>,
    hosts: HashMap<String, Patterns>,
    any_host: Patterns,
}

/// What a request was matched to.
#[derive(Debug, Clone, Copy)]
pub enum Found<'r> {
    /// Another reading of the path selects this rule, which is not public: 400 `ambiguous_path`, whatever the
    /// credential.
    Ambiguous(&'r Rule),
    /// The path holds what the rule it lies under does not let pass: 400 `bad_path`, whatever the credential.
    BadPath(PathError),
    /// TRACE or CONNECT: 405, whatever the credential.
    MethodNeverAllowed,
    /// The path is known with other methods only ([`Routes::methods`]): protected, then 405.
    MethodNotAllowed,
    /// Nothing matches: protected, then 404 `no_route`.
    None,
    /// This rule judges the request.
    Rule(&'r Rule),
}

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

/// What `check --explain` says about a request.
#[derive(Debug)]
pub struct Explanation<'r> {
    /// The path as it is routed and, but for prefixes, forwarded.
    pub canonical: String,
    /// The outcome.
    pub found: Found<'r>,
    /// Why, in words.
    pub why: String,
}

// === impl Routes ===

impl Routes {
    /// Prepares the rules, or says everything that is wrong with them.
    pub fn build(rules: Vec<Rule>) -> Result<Self, Vec<RouteFault>> {
        let mut faults = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let problems = faults_of(rule).into_iter();
            faults.extend(problems.map(|problem| RouteFault { route: rule.name.clone(), index, problem }));
        }
        faults.extend(collisions(&rules));
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut any_host = Vec::new();
        let mut by_host: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, rule) in rules.iter().enumerate() {
            match &rule.host {
                Some(host) => by_host.entry(host.clone()).or_default().push(index),
                None => any_host.push(index),
            }
        }
        let hosts = by_host.into_iter().map(|(host, of)| (host, Patterns::build(&rules, &of))).collect();
        let any_host = Patterns::build(&rules, &any_host);
        Ok(Self { rules, hosts, any_host })
    }

    /// The rules, in the order given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Finds what judges a request. `host` is a canonical one ([`Host`]).
    pub fn find(&self, method: &Method, host: &str, path: &CanonicalPath<'_>) -> Found<'_> {
        if never_served(method) {
            return Found::MethodNeverAllowed;
        }
        let of_host = if self.hosts.is_empty() { None } else { self.hosts.get(host) };
        let spelled = Reading { method, path: path.as_str().as_bytes(), plain: path.is_plain(), folded: false };
        let (index, rule) = match (self.select(of_host, &spelled), path.reserved()) {
            (Selected::Rule(index), _) => (index, &self.rules[index]),
            (_, Some(error)) => return Found::BadPath(error),
            (Selected::OtherMethods, None) => return Found::MethodNotAllowed,
            (Selected::None, None) => return Found::None,
        };
        if path.holds_encoded_slash() && !rule.allow_encoded.slash {
            return Found::BadPath(PathError::EncodedSlash);
        }
        if path.holds_semicolon() && !rule.allow_encoded.semicolon {
            return Found::BadPath(PathError::Semicolon);
        }
        match self.shadow(of_host, index, &spelled, path) {
            Some(other) => Found::Ambiguous(other),
            None => Found::Rule(rule),
        }
    }

    /// The methods that a path is known with, for the Allow field of a 405 (RFC 9110 §15.5.6). Each once, HEAD beside
    /// GET; none if the path is not known, or known with any method.
    pub fn methods(&self, host: &str, path: &CanonicalPath<'_>) -> Vec<Method> {
        let mut methods = Vec::new();
        for patterns in self.hosts.get(host).into_iter().chain([&self.any_host]) {
            for index in patterns.spelled.candidates(path.as_str().as_bytes()) {
                let rule = &self.rules[index];
                if rule.requirement == Requirement::Public && !path.is_plain() {
                    continue;
                }
                if rule.methods.is_empty() {
                    return Vec::new();
                }
                for method in &rule.methods {
                    let head = (*method == Method::GET).then_some(Method::HEAD);
                    for method in [method.clone()].into_iter().chain(head) {
                        if !methods.contains(&method) {
                            methods.push(method);
                        }
                    }
                }
            }
        }
        methods
    }

    /// The same as [`Self::find`], with the reason in words.
    pub fn explain(&self, method: &Method, host: &str, path: &CanonicalPath<'_>) -> Explanation<'_> {
        let found = self.find(method, host, path);
        let why = match found {
            Found::Rule(rule) => why_chosen(rule),
            Found::Ambiguous(rule) => format!(
                "an upstream that ignores letter case or parameters, or decodes escapes, would read it as a path of \
                 route `{}`, which is not the one it has as it is written",
                rule.name
            ),
            Found::BadPath(error) => format!("{error}: no protected route with allow_encoded for it matches"),
            Found::MethodNeverAllowed => "TRACE and CONNECT are never served".to_owned(),
            Found::MethodNotAllowed => {
                let methods = self.methods(host, path);
                let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
                format!("the path is only known with {}; protected, then refused", methods.join(", "))
            }
            Found::None if path.is_plain() => "no route matches; protected, then not found".to_owned(),
            Found::None => {
                "no route matches, and public ones match only plain paths; protected, then not found".to_owned()
            }
        };
        Explanation { canonical: path.as_str().to_owned(), found, why }
    }

    fn select(&self, of_host: Option<&Patterns>, reading: &Reading<'_>) -> Selected {
        let mut known = false;
        for patterns in of_host.into_iter().chain([&self.any_host]) {
            for index in patterns.table(reading.folded).candidates(reading.path) {
                let rule = &self.rules[index];
                if rule.requirement == Requirement::Public && !reading.plain {
                    continue;
                }
                if covers(&rule.methods, reading.method) {
                    return Selected::Rule(index);
                }
                known = true;
            }
        }
        if known { Selected::OtherMethods } else { Selected::None }
    }

    /// Rule 5: a rule other than `chosen`, and not public, that another reading of the request selects.
    fn shadow(
        &self,
        of_host: Option<&Patterns>,
        chosen: usize,
        spelled: &Reading<'_>,
        path: &CanonicalPath<'_>,
    ) -> Option<&Rule> {
        let odd_method = spelled.method.as_str().bytes().any(|byte| byte.is_ascii_lowercase());
        let odd_table = self.any_host.folded.is_some() || of_host.is_some_and(|of| of.folded.is_some());
        let odd_path = path.has_upper_case() || path.has_escapes() || path.has_plain_semicolon();
        if !(odd_method || odd_table || odd_path) {
            return None;
        }
        // Extension methods are case-sensitive in RFC 9110 §9.1, and not everywhere else.
        let upper = if odd_method {
            Method::from_bytes(spelled.method.as_str().to_ascii_uppercase().as_bytes()).ok()
        } else {
            None
        };
        let mut small = [0; PATH_BYTES_ON_STACK];
        let mut large = Vec::new();
        let buffer = if spelled.path.len() <= small.len() {
            &mut small[..]
        } else {
            large.resize(spelled.path.len(), 0);
            &mut large[..]
        };
        for fold in Fold::all(path) {
            let length = fold.write(spelled.path, buffer);
            let folded = &buffer[..length];
            for method in [Some(spelled.method), upper.as_ref()].into_iter().flatten() {
                let reading = Reading { method, path: folded, plain: is_plain(folded), folded: fold.lower };
                if let Selected::Rule(index) = self.select(of_host, &reading)
                    && index != chosen
                    && self.rules[index].requirement != Requirement::Public
                {
                    return Some(&self.rules[index]);
                }
            }
        }
        None
    }
}

/// One way to understand a request.
struct Reading<'a> {
    method: &'a Method,
    path: &'a [u8],
    plain: bool,
    folded: bool,
}

enum Selected {
    None,
    OtherMethods,
    Rule(usize),
}

/// Longer paths cost an allocation, and only when they have other readings. Nearly every path of an API is shorter.
const PATH_BYTES_ON_STACK: usize = 256;

fn covers(methods: &[Method], method: &Method) -> bool {
    methods.is_empty() || methods.contains(method) || (*method == Method::HEAD && methods.contains(&Method::GET))
}

fn why_chosen(rule: &Rule) -> String {
    let path = match &rule.pattern {
        Pattern::Exact(path) => format!("`{path}` is the exact path of route `{}`", rule.name),
        Pattern::Prefix(path) => format!("`{path}` of route `{}` is the longest prefix that matches", rule.name),
    };
    let host = rule.host.as_ref().map_or_else(String::new, |host| format!(", for host `{host}`"));
    let methods: Vec<&str> = rule.methods.iter().map(Method::as_str).collect();
    let methods = if methods.is_empty() { "any method".to_owned() } else { methods.join(", ") };
    format!("{path}{host}, for {methods}")
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.canonical, self.why)
    }
}

// === impl Rule ===

impl Rule {
    /// The path that is sent to the upstream: `strip_prefix` cut off where the path has it at a boundary of segments,
    /// then `add_prefix` put before it, then rules 4 and 5 of [`CanonicalPath`] once more. A slash at the end of either
    /// prefix has no meaning; a path of which nothing is left is `/`.
    pub fn upstream_path<'p>(&self, path: &'p CanonicalPath<'_>) -> Result<Cow<'p, str>, PathError> {
        let text = path.as_str();
        if self.strip_prefix.is_empty() && self.add_prefix.is_empty() {
            return Ok(Cow::Borrowed(text));
        }
        let stripped = match text.strip_prefix(self.strip_prefix.trim_end_matches('/')) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => text,
        };
        let added = self.add_prefix.trim_end_matches('/');
        if added.is_empty() {
            return CanonicalPath::parse(stripped).map(|_| Cow::Borrowed(stripped));
        }
        let joined = format!("{added}{stripped}");
        let canonical = CanonicalPath::parse(&joined)?.as_str().to_owned();
        Ok(Cow::Owned(canonical))
    }
}

// === impl Patterns ===

/// The rules of one host, or of none.
#[derive(Debug)]
struct Patterns {
    /// By pattern as written.
    spelled: Table,
    /// By folded pattern; nothing if each is its own.
    folded: Option<Table>,
}

impl Patterns {
    fn build(rules: &[Rule], of: &[usize]) -> Self {
        let keys: Vec<(usize, Vec<u8>)> = of.iter().map(|&index| (index, key(&rules[index].pattern))).collect();
        let folded: Vec<_> = of.iter().map(|&index| (index, folded_key(&rules[index].pattern))).collect();
        let folded = (folded != keys).then(|| Table::build(rules, folded));
        Self { spelled: Table::build(rules, keys), folded }
    }

    fn table(&self, folded: bool) -> &Table {
        match &self.folded {
            Some(table) if folded => table,
            _ => &self.spelled,
        }
    }
}

/// Patterns as keys that all end in `/`, in the order of their bytes. In that order all keys with a common beginning
/// stand together behind the key that is this beginning; so the longest key that a path lies under is the
/// greatest not above the path, or one of those which that lies under itself.
#[derive(Debug)]
struct Table {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    key: Vec<u8>,
    /// The longest other key that this one begins with.
    parent: Option<usize>,
    /// Rules for this path alone; those with methods first.
    exact: Vec<usize>,
    /// Rules for this path and what is below; those with methods first.
    prefix: Vec<usize>,
}

impl Table {
    fn build(rules: &[Rule], keys: Vec<(usize, Vec<u8>)>) -> Self {
        let mut grouped: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (index, key) in keys {
            grouped.entry(key).or_default().push(index);
        }
        let mut nodes: Vec<Node> = Vec::with_capacity(grouped.len());
        for (key, mut of) in grouped {
            of.sort_by_key(|&index| rules[index].methods.is_empty());
            let (exact, prefix) = of.into_iter().partition(|&index| matches!(rules[index].pattern, Pattern::Exact(_)));
            let parent = nodes.iter().rposition(|node| key.starts_with(&node.key));
            nodes.push(Node { key, parent, exact, prefix });
        }
        Self { nodes }
    }

    /// The rules whose pattern a path matches, the most specific first.
    fn candidates(&self, path: &[u8]) -> impl Iterator<Item = usize> {
        let after = self.nodes.partition_point(|node| compare(&node.key, path) != Ordering::Greater);
        let mut at = after.checked_sub(1);
        while let Some(index) = at
            && !lies_under(path, &self.nodes[index].key)
        {
            at = self.nodes[index].parent;
        }
        let longest = at.map(|index| &self.nodes[index]);
        let exact = longest.filter(|node| compare(&node.key, path) == Ordering::Equal);
        let exact = exact.into_iter().flat_map(|node| &node.exact);
        let above = std::iter::successors(longest, |node| node.parent.map(|index| &self.nodes[index]));
        exact.chain(above.flat_map(|node| &node.prefix)).copied()
    }
}

/// A key against a path as if the path ended in a slash, which it need not.
fn compare(key: &[u8], path: &[u8]) -> Ordering {
    if path.ends_with(b"/") {
        return key.cmp(path);
    }
    match key.get(..path.len()) {
        Some(start) => start.cmp(path).then_with(|| key[path.len()..].cmp(b"/")),
        None => key.cmp(path),
    }
}

fn lies_under(path: &[u8], key: &[u8]) -> bool {
    path.starts_with(key) || (key.len() == path.len() + 1 && key.starts_with(path))
}

fn key(pattern: &Pattern) -> Vec<u8> {
    let mut key = pattern.as_str().as_bytes().to_vec();
    if !key.ends_with(b"/") {
        key.push(b'/');
    }
    key
}

/// The key by the fold that looks through everything.
fn folded_key(pattern: &Pattern) -> Vec<u8> {
    let fold = Fold { lower: true, cut_first: true, decode: true, cut: true };
    let mut key = key(pattern);
    let mut folded = vec![0; key.len()];
    let length = fold.write(&key, &mut folded);
    key.clear();
    key.extend_from_slice(&folded[..length]);
    key
}

impl Pattern {
    /// The path, without its kind.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(path) | Self::Prefix(path) => path,
        }
    }
}

// === impl Fold ===

/// What an upstream may do to a path before it looks it up. Doubled slashes are dropped in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fold {
    /// Ignores letter case.
    lower: bool,
    /// Cuts what follows a `;` in a segment, before it decodes.
    cut_first: bool,
    /// Decodes what is still escaped.
    decode: bool,
    /// Cuts what follows a `;` in a segment, after it decoded.
    cut: bool,
}

impl Fold {
    /// All that can make a difference to a path. The one that leaves the path as it is comes with them when it is
    /// looked up elsewhere or with another method.
    fn all(path: &CanonicalPath<'_>) -> impl Iterator<Item = Self> {
        let escapes = path.has_escapes();
        let semicolon = path.has_plain_semicolon();
        let any_semicolon = path.holds_semicolon();
        (0_u8..16)
            .map(|bits| Self {
                lower: bits & 1 == 0,
                cut_first: bits & 2 != 0,
                decode: bits & 4 != 0,
                cut: bits & 8 != 0,
            })
            .filter(move |fold| {
                (fold.lower || escapes || semicolon)
                    && (!fold.cut_first || semicolon)
                    && (!fold.decode || escapes)
                    && (!fold.cut || (fold.decode && any_semicolon))
            })
    }

    /// Writes the folded path and says how long it is; never longer than the path, nor than 1 byte shorter than `out`
    /// would need.
    fn write(self, path: &[u8], out: &mut [u8]) -> usize {
        let mut length = 0;
        let mut at = 0;
        let mut skipping_raw = false;
        let mut skipping = false;
        while at < path.len() {
            let raw = path[at];
            let escape = if self.decode { escape_at(path, at) } else { None };
            at += if escape.is_some() { 3 } else { 1 };
            match raw {
                b'/' => skipping_raw = false,
                b';' if self.cut_first => skipping_raw = true,
                _ => {}
            }
            let byte = escape.unwrap_or(raw);
            if skipping_raw {
                continue;
            }
            match byte {
                b'/' => skipping = false,
                b';' if self.cut => skipping = true,
                _ => {}
            }
            if skipping || (byte == b'/' && length > 0 && out[length - 1] == b'/') {
                continue;
            }
            out[length] = if self.lower { byte.to_ascii_lowercase() } else { byte };
            length += 1;
        }
        length
    }
}

// === faults ===

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

/// Pairs of rules between which only their order in the file could choose.
fn collisions(rules: &[Rule]) -> Vec<RouteFault> {
    let mut faults = Vec::new();
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let exact = matches!(rule.pattern, Pattern::Exact(_));
        let group = groups.entry((&rule.host, exact, folded_key(&rule.pattern))).or_default();
        for &other_index in group.iter() {
            let other = &rules[other_index];
            let name = other.name.clone();
            let problem = if key(&rule.pattern) != key(&other.pattern) {
                RouteProblem::Spelling { other: name, other_index }
            } else if overlap(&rule.methods, &other.methods) {
                RouteProblem::Equal { other: name, other_index }
            } else {
                continue;
            };
            faults.push(RouteFault { route: rule.name.clone(), index, problem });
        }
        group.push(index);
    }
    faults.sort_by_key(|fault| fault.index);
    faults
}

/// Whether two lists of methods have one in common and neither beats the other. HEAD counts as named by GET: which
/// of two such rules it belongs to should not need a footnote.
fn overlap(these: &[Method], those: &[Method]) -> bool {
    if these.is_empty() || those.is_empty() {
        return these.is_empty() && those.is_empty();
    }
    these.iter().any(|method| covers(those, method)) || those.iter().any(|method| covers(these, method))
}
