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

use self::fold::Fold;
use super::{
    rule::{Pattern, Requirement, Rule},
    target::{CanonicalPath, PathError, is_plain, never_served},
};

mod faults;
mod fold;

pub use self::faults::{RouteFault, RouteProblem};

/// All rules, ready for lookup.
#[derive(Debug)]
pub struct Routes {
    rules: Vec<Rule>,
    hosts: HashMap<String, Patterns>,
    any_host: Patterns,
    /// The most that can make a difference to any pattern.
    odd: Fold,
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
        let faults = faults::faults(&rules);
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
        let odd = rules.iter().filter_map(|rule| CanonicalPath::parse(rule.pattern.as_str()).ok());
        let odd = odd.fold(Fold::AS_IS, |odd, pattern| odd.and(Fold::of(&pattern)));
        Ok(Self { rules, hosts, any_host, odd })
    }

    /// The rules, in the order given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Finds what judges a request. `host` is a canonical one
    /// ([`Host`](super::target::Host)).
    pub fn find(&self, method: &Method, host: &str, path: &CanonicalPath<'_>) -> Found<'_> {
        if never_served(method) {
            return Found::MethodNeverAllowed;
        }
        let of_host = if self.hosts.is_empty() { None } else { self.hosts.get(host) };
        let spelled = Reading { method, path: path.as_str().as_bytes(), plain: path.is_plain(), fold: Fold::AS_IS };
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
            for index in patterns.table(Fold::AS_IS).candidates(path.as_str().as_bytes()) {
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
            for index in patterns.table(reading.fold).candidates(reading.path) {
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
        let most = self.odd.and(Fold::of(path));
        if most == Fold::AS_IS && !odd_method {
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
        for fold in odd_method.then_some(Fold::AS_IS).into_iter().chain(most.parts()) {
            let length = fold.write(spelled.path, buffer);
            let folded = &buffer[..length];
            for method in [Some(spelled.method), upper.as_ref()].into_iter().flatten() {
                let reading = Reading { method, path: folded, plain: is_plain(folded), fold };
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
    /// What was done to the path, and is to the patterns.
    fold: Fold,
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
    /// The tables that differ; mostly one, or two where a pattern has upper case.
    tables: Vec<Table>,
    /// Which of them is for which fold.
    by_fold: [u8; Fold::COUNT],
}

impl Patterns {
    fn build(rules: &[Rule], of: &[usize]) -> Self {
        let mut distinct: Vec<Vec<(usize, Vec<u8>)>> = Vec::new();
        let mut patterns = Self { tables: Vec::new(), by_fold: [0; Fold::COUNT] };
        for fold in Fold::all() {
            let keys: Vec<_> = of.iter().map(|&index| (index, key(&rules[index].pattern, fold))).collect();
            let place = distinct.iter().position(|other| *other == keys).unwrap_or(distinct.len());
            if place == distinct.len() {
                patterns.tables.push(Table::build(rules, keys.clone()));
                distinct.push(keys);
            }
            // There are at most as many as there are folds.
            patterns.by_fold[fold.index()] = place as u8;
        }
        patterns
    }

    fn table(&self, fold: Fold) -> &Table {
        &self.tables[usize::from(self.by_fold[fold.index()])]
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

/// The key of a pattern in the table for a fold.
fn key(pattern: &Pattern, fold: Fold) -> Vec<u8> {
    let path = pattern.as_str().as_bytes();
    let mut key = vec![0; path.len()];
    let length = fold.write(path, &mut key);
    key.truncate(length);
    if !key.ends_with(b"/") {
        key.push(b'/');
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `name`, methods, `host/path` or `host/path*` for a prefix, and what is demanded.
    fn rule(name: &str, methods: &[Method], pattern: &str, requirement: Requirement) -> Rule {
        let (host, _) = pattern.split_once('/').unwrap();
        let path = &pattern[host.len()..];
        let pattern = match path.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.to_owned()),
            None => Pattern::Exact(path.to_owned()),
        };
        Rule {
            host: (!host.is_empty()).then(|| host.to_owned()),
            methods: methods.to_vec(),
            ..Rule::plain(name, pattern, requirement)
        }
    }

    fn outcome(routes: &Routes, method: &Method, host: &str, path: &str) -> String {
        let path = CanonicalPath::parse(path).unwrap();
        match routes.find(method, host, &path) {
            Found::Rule(rule) => rule.name.clone(),
            Found::Ambiguous(rule) => format!("ambiguous with {}", rule.name),
            Found::BadPath(error) => format!("bad path: {error}"),
            Found::MethodNeverAllowed => "never".to_owned(),
            Found::MethodNotAllowed => "other methods".to_owned(),
            Found::None => "none".to_owned(),
        }
    }

    #[test]
    fn the_most_specific_rule_is_found_in_any_order() {
        use Requirement::*;
        let (get, post) = (Method::GET, Method::POST);
        let mut rules = vec![
            rule("root", &[], "/*", Wallet),
            rule("v1", &[], "/v1/*", Wallet),
            rule("v1-post", &[Method::POST], "/v1*", Wallet),
            rule("v1-dash", &[], "/v1-a*", Wallet),
            rule("orders", &[], "/v1/orders", Wallet),
            rule("orders-get", &[Method::GET], "/v1/orders/", Wallet),
            rule("orders-below", &[], "/v1/orders*", Wallet),
            rule("other-host", &[], "b.example/v1*", Wallet),
            rule("other-host-only-get", &[Method::GET], "b.example/v2*", Wallet),
            rule("v2-post", &[Method::POST], "/v2/x", Wallet),
        ];
        let rows = [
            (&get, "a", "/", "root"),
            (&get, "a", "/v", "root"),
            (&get, "a", "/v10", "root"),
            (&get, "a", "/v1", "v1"),
            (&get, "a", "/v1/", "v1"),
            (&get, "a", "/v1/x/y", "v1"),
            (&get, "a", "/v1!", "root"),
            (&get, "a", "/v1-a", "v1-dash"),
            (&get, "a", "/v1-a/x", "v1-dash"),
            (&post, "a", "/v1/x", "v1-post"),
            (&post, "a", "/v1/orders", "orders"),
            (&get, "a", "/v1/orders", "orders-get"),
            (&Method::HEAD, "a", "/v1/orders/", "orders-get"),
            (&get, "a", "/v1/orders/7", "orders-below"),
            (&get, "a", "/v1/ordersx", "v1"),
            (&get, "b.example", "/v1/orders", "other-host"),
            (&post, "b.example", "/v2/x", "v2-post"),
            (&get, "b.example", "/v2/x", "other-host-only-get"),
            (&get, "b.example", "/v3", "root"),
            (&Method::TRACE, "a", "/", "never"),
            (&Method::from_bytes(b"connect").unwrap(), "a", "/", "never"),
        ];
        for _ in 0..rules.len() {
            rules.rotate_left(1);
            let routes = Routes::build(rules.clone()).unwrap();
            for (method, host, path, expected) in rows {
                assert_eq!(outcome(&routes, method, host, path), expected, "{method} {host} {path}");
            }
        }
    }

    #[test]
    fn what_no_rule_is_for_is_told_apart() {
        let rules = vec![
            rule("get", &[Method::GET], "/a", Requirement::Wallet),
            rule("docs", &[], "/docs*", Requirement::Public),
        ];
        let routes = Routes::build(rules).unwrap();
        let rows = [
            ("/a", Method::GET, "get"),
            ("/a", Method::HEAD, "get"),
            ("/a", Method::POST, "other methods"),
            ("/b", Method::GET, "none"),
            ("/docs/x", Method::PUT, "docs"),
            ("/docs/x%20y", Method::GET, "none"),
            ("/docs/x;y", Method::GET, "bad path: `;` must not stand in this path"),
        ];
        for (path, method, expected) in rows {
            assert_eq!(outcome(&routes, &method, "h", path), expected, "{method} {path}");
        }
        let allowed = |path| routes.methods("h", &CanonicalPath::parse(path).unwrap());
        assert_eq!(allowed("/a"), [Method::GET, Method::HEAD]);
        assert!(allowed("/b").is_empty());
        assert!(allowed("/docs/x").is_empty());
    }

    #[test]
    fn encoded_separators_pass_only_where_allowed() {
        let mut slash = rule("slash", &[], "/s*", Requirement::Wallet);
        slash.allow_encoded.slash = true;
        let mut semicolon = rule("semicolon", &[], "/p*", Requirement::Wallet);
        semicolon.allow_encoded.semicolon = true;
        let dear = rule("dear", &[], "/s/a/dear", Requirement::Subscription { plans: vec![] });
        let routes = Routes::build(vec![slash, semicolon, dear]).unwrap();
        let rows = [
            ("/s/a%2fb", "slash"),
            ("/s/a%2Fdear", "ambiguous with dear"),
            ("/s/a%2F%2FDear", "ambiguous with dear"),
            ("/s/a;b", "bad path: `;` must not stand in this path"),
            ("/p/a;b/c%3bd", "semicolon"),
            ("/p/a%2fb", "bad path: `%2f` must not stand in this path"),
            ("/s%2fa", "bad path: `%2f` must not stand in this path"),
        ];
        for (path, expected) in rows {
            assert_eq!(outcome(&routes, &Method::GET, "h", path), expected, "{path}");
        }
    }

    #[test]
    fn the_shadow_rule_minds_methods_and_long_paths() {
        let rules = vec![
            rule("root", &[], "/*", Requirement::Wallet),
            rule("dear", &[Method::GET], "/Dear*", Requirement::Wallet),
            rule("free", &[], "/free*", Requirement::Public),
        ];
        let routes = Routes::build(rules).unwrap();
        let long = format!("/dear/{}", "x".repeat(PATH_BYTES_ON_STACK));
        let get = Method::GET;
        let rows = [
            (get.clone(), "/Dear/x", "dear"),
            (get.clone(), "/dear/x", "ambiguous with dear"),
            (get.clone(), &*long, "ambiguous with dear"),
            (Method::HEAD, "/DEAR", "ambiguous with dear"),
            (Method::POST, "/dear", "root"),
            (Method::from_bytes(b"get").unwrap(), "/Dear", "ambiguous with dear"),
            (Method::from_bytes(b"Head").unwrap(), "/dear/", "ambiguous with dear"),
            (Method::from_bytes(b"get").unwrap(), "/x", "root"),
            // What it might be read as asks for nothing, so the wallet asked for is enough.
            (get, "/FREE/x", "root"),
        ];
        for (method, path, expected) in rows {
            assert_eq!(outcome(&routes, &method, "h", path), expected, "{method} {path}");
        }
    }

    #[test]
    fn faults_are_found_all_at_once() {
        let wallet = Requirement::Wallet;
        let mut odd = rule("odd", &[Method::TRACE], "H.example/a//b", Requirement::Public);
        odd.allow_encoded.slash = true;
        odd.strip_prefix = "x".to_owned();
        odd.add_prefix = "/%61".to_owned();
        let rules = vec![
            odd,
            rule("get", &[Method::GET], "/x", wallet.clone()),
            rule("head", &[Method::HEAD], "/x/", wallet.clone()),
            rule("any", &[], "/x", wallet.clone()),
            rule("case", &[Method::PUT], "/X", wallet.clone()),
            rule("prefix", &[], "/X*", wallet.clone()),
            rule("with-host", &[], "h/x", wallet.clone()),
            rule("encoded", &[], "/a;b", wallet),
            rule("not-plain", &[], "/caf%C3%A9", Requirement::Public),
        ];
        let found: Vec<String> = Routes::build(rules).unwrap_err().iter().map(RouteFault::to_string).collect();
        let spelling = |other| {
            format!(
                "route `case`: its path differs from that of route `{other}` only in letter case, parameters or escapes"
            )
        };
        assert_eq!(
            found,
            [
                "route `odd`: expected host to be a host name in lower case without port, found `H.example`".to_owned(),
                "route `odd`: methods: TRACE is never served".to_owned(),
                "route `odd`: allow_encoded is for protected routes only".to_owned(),
                "route `odd`: path = `/a//b`: expected no empty segment, found one at byte 3 of the canonical path"
                    .to_owned(),
                "route `odd`: strip_prefix = `x`: expected a path that begins with `/`".to_owned(),
                "route `odd`: expected add_prefix to be a canonical path such as `/a`, found `/%61`".to_owned(),
                "route `head`: matches the same requests as route `get`, and neither is more specific".to_owned(),
                spelling("get"),
                spelling("head"),
                spelling("any"),
                "route `encoded`: `/a;b` needs allow_encoded: `;` must not stand in this path".to_owned(),
                "route `not-plain`: a public route matches only plain paths, and `/caf%C3%A9` is none".to_owned(),
            ]
        );
    }

    #[test]
    fn prefixes_are_stripped_and_added_at_segments() {
        let rows = [
            ("", "", "/api/x", Ok("/api/x")),
            ("/api", "", "/api/x", Ok("/x")),
            ("/api/", "", "/api/x/", Ok("/x/")),
            ("/api", "", "/api", Ok("/")),
            ("/api", "", "/api/", Ok("/")),
            ("/api", "", "/apix", Ok("/apix")),
            ("/api", "", "/api../x", Ok("/api../x")),
            ("", "/in", "/api/x", Ok("/in/api/x")),
            ("/api", "/in/", "/api/x%2Fy", Ok("/in/x%2Fy")),
            ("/api", "/in", "/api", Ok("/in/")),
            ("/", "", "/x", Ok("/x")),
            // A table with such a prefix is not built; the path is looked at again all the same.
            ("", "/..", "/x", Err(PathError::DotSegment { at: 1 })),
            ("", "in", "/x", Err(PathError::NotAbsolute)),
        ];
        for (strip, add, path, expected) in rows {
            let mut rule = rule("r", &[], "/*", Requirement::Wallet);
            (rule.strip_prefix, rule.add_prefix) = (strip.to_owned(), add.to_owned());
            let canonical = CanonicalPath::parse(path).unwrap();
            let expected = expected.map(Cow::from);
            assert_eq!(rule.upstream_path(&canonical), expected, "{strip} {add} {path}");
        }
    }

    #[test]
    fn an_outcome_is_explained() {
        let rules = vec![
            rule("status", &[Method::GET], "h/Status", Requirement::Public),
            rule("rest", &[], "/rest*", Requirement::Wallet),
        ];
        let routes = Routes::build(rules).unwrap();
        let rows = [
            (Method::GET, "/%53tatus", "/Status: `/Status` is the exact path of route `status`, for host `h`, for GET"),
            (
                Method::GET,
                "/rest/x",
                "/rest/x: `/rest` of route `rest` is the longest prefix that matches, for any method",
            ),
            (Method::POST, "/Status", "/Status: the path is only known with GET, HEAD; protected, then refused"),
            (Method::GET, "/x", "/x: no route matches; protected, then not found"),
        ];
        for (method, path, expected) in rows {
            let path = CanonicalPath::parse(path).unwrap();
            assert_eq!(routes.explain(&method, "h", &path).to_string(), expected);
        }
    }
}
