//! What lenient upstreams make of a path, written for plainness and not for speed: the second opinion on the route
//! table and its shadow rule.

use http::Method;
use siwx_gateway::policy::rule::{Pattern, Requirement, Rule};

/// One thing a lenient upstream does to a path.
pub(crate) type Step = fn(&[u8]) -> Vec<u8>;

/// All orders in which upstreams may do any of these: ignore letter case, decode (once), cut parameters (before and
/// after that), drop doubled slashes.
pub(crate) fn upstreams() -> Vec<Vec<Step>> {
    let steps: [Step; 5] = [<[u8]>::to_ascii_lowercase, decode, cut, cut, collapse];
    let mut all = Vec::new();
    let mut open: Vec<Vec<usize>> = vec![Vec::new()];
    while let Some(order) = open.pop() {
        for next in (0..steps.len()).filter(|next| !order.contains(next)) {
            open.push([order.as_slice(), &[next]].concat());
        }
        // The two cuts are one thing, done at two times.
        let place = |step| order.iter().position(|at| *at == step);
        if place(3).is_none() || place(2).is_some_and(|first| Some(first) < place(3)) {
            all.push(order.into_iter().map(|at| steps[at]).collect());
        }
    }
    all
}

/// What an upstream reads.
pub(crate) fn read(path: &[u8], upstream: &[Step]) -> Vec<u8> {
    upstream.iter().fold(path.to_vec(), |path, step| step(&path))
}

fn cut(path: &[u8]) -> Vec<u8> {
    let first = |segment: &[u8]| segment.split(|&byte| byte == b';').next().unwrap_or_default().to_vec();
    path.split(|&byte| byte == b'/').map(first).collect::<Vec<_>>().join(&b'/')
}

fn collapse(path: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    out.dedup_by(|next, before| *next == b'/' && *before == b'/');
    out
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if byte == b'%' => {
                out.push(value);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// The rule that a reading lies under, by a plain walk over all rules in place of the table.
pub(crate) fn under<'r>(
    rules: &'r [Rule],
    method: &Method,
    host: &str,
    path: &[u8],
    upstream: &[Step],
) -> Option<&'r Rule> {
    let reading = read(path, upstream);
    let trimmed = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
    let path = trimmed(&reading);
    let plain = reading.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._~!$&'()*+,=:@-".contains(byte));
    let lies = |rule: &&Rule| match &rule.pattern {
        Pattern::Exact(pattern) => path == trimmed(&read(pattern.as_bytes(), upstream)),
        Pattern::Prefix(pattern) => {
            let pattern = trimmed(&read(pattern.as_bytes(), upstream));
            path.strip_prefix(&*pattern).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        }
    };
    let serves = |rule: &&Rule| rule.host.as_deref().is_none_or(|of| of == host) && covers(&rule.methods, method);
    let weight = |rule: &&Rule| {
        let exact = matches!(rule.pattern, Pattern::Exact(_));
        let length = trimmed(&read(rule.pattern.as_str().as_bytes(), upstream)).len();
        (rule.host.is_some(), exact, length, !rule.methods.is_empty())
    };
    let fits = |rule: &&Rule| serves(rule) && lies(rule) && (plain || rule.requirement != Requirement::Public);
    rules.iter().filter(fits).max_by_key(weight)
}

/// A route for GET has HEAD as well.
fn covers(methods: &[Method], method: &Method) -> bool {
    methods.is_empty() || methods.contains(method) || (method == Method::HEAD && methods.contains(&Method::GET))
}
