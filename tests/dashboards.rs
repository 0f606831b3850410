//! Holds the dashboard and the alerts to what the running gateway exports.
//!
//! 1. The gateway is started and scraped before its first request: what is asked for must be there at 0.
//! 2. Every expression of `dashboards/siwx-gateway.json` and `dashboards/rules.yml` names metrics that are exported,
//!    labels that these metrics have, and, where it compares a label with plain words, values that occur.
//! 3. PromQL is read only as far as that takes: names, matchers and label lists, not types.
//!
//! That the dashboard is what its generator writes is checked by `dashboards/generate.py --check`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use serde_json::Value;
use siwx_gateway::{
    app::{App, SystemClock, World},
    config::{self, Inputs},
};

const CONFIGURATION: &str = r#"
public_url = "http://127.0.0.1:8080"
[server]
listen = ["127.0.0.1:0"]
drain_delay = "0s"
drain_timeout = "1s"
[admin]
listen = "127.0.0.1:0"
[store]
url = "sqlite::memory:"
[upstreams.api]
urls = ["http://127.0.0.1:9"]
[[route]]
name = "all"
prefix = "/"
upstream = "api"
auth = "subscription"
"#;

/// Words of PromQL that stand where a metric could.
const KEYWORDS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// Words of PromQL before a list of labels.
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Labels that Prometheus adds to whatever it scrapes.
const SCRAPED: [&str; 2] = ["job", "instance"];

/// Series by name: the values that each label has.
type Exported = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    /// Metrics, each with the labels it is narrowed by and the values they are compared with.
    metrics: Vec<(String, Vec<(String, String)>)>,
    /// Labels that are grouped or joined by.
    labels: Vec<String>,
}

/// A piece of PromQL.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    Text(String),
    Sign(char),
}

#[test]
fn every_expression_names_what_the_gateway_exports() {
    let exported = series(&scrape());
    let dashboard: Value = serde_json::from_str(&read("siwx-gateway.json")).expect("the dashboard is JSON");
    let mut asked = 0;
    let mut faults = Vec::new();
    let mut ask = |place: &str, expression: &str, shown: &[String]| {
        asked += 1;
        faults.extend(faults_of(expression, shown, &exported).into_iter().map(|fault| format!("{place}: {fault}")));
    };

    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let place = format!("panel {}", panel["title"]);
            let legend = labels_of_legend(target["legendFormat"].as_str().expect("a legend"));
            ask(&place, target["expr"].as_str().expect("an expression"), &legend);
        }
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let asked_for = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (expression, label) = asked_for.and_then(|rest| rest.rsplit_once(", ")).expect("label_values(…, label)");
        ask(&format!("variable {}", variable["name"]), expression, &[label.to_owned()]);
    }
    let (alerts, expressions) = rules(&read("rules.yml"));
    assert_eq!(alerts.len(), expressions.len(), "each alert has an expression on one line: {alerts:?}");
    for (alert, expression) in alerts.iter().zip(&expressions) {
        ask(&format!("alert {alert}"), expression, &[]);
    }

    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(asked > 60, "only {asked} expressions were found");
}

#[test]
fn what_is_not_exported_is_found() {
    let exported = series(
        "# HELP siwx_cache_requests_total looks\n\
         siwx_cache_requests_total{cache=\"proofs\",result=\"hit\"} 0\n\
         siwx_cache_requests_total{cache=\"subscriptions\",result=\"miss\"} 0\n\
         siwx_auth_duration_seconds_bucket{path=\"a,b \\\"c\\\"\",le=\"+Inf\"} 0\n\
         siwx_panics_total 0\n",
    );
    let rows: &[(&str, &str, &[&str])] = &[
        ("a plain metric", "siwx_panics_total > 0", &[]),
        ("a ratio", "sum by (cache) (rate(siwx_cache_requests_total{result=\"hit\"}[5m])) / 2", &[]),
        ("alternatives", "siwx_cache_requests_total{result=~\"hit|miss\",job=~\"$job\"}", &[]),
        ("a pattern", "siwx_cache_requests_total{result=~\"h.*\"}", &[]),
        (
            "a quantile",
            "histogram_quantile(0.99, sum by (le, path) (rate(siwx_auth_duration_seconds_bucket[1d])))",
            &[],
        ),
        ("grouped behind", "sum(siwx_panics_total) by (job, instance) and on (job) siwx_panics_total offset 5m", &[]),
        ("no such metric", "rate(siwx_panic_total[5m])", &["no metric `siwx_panic_total` is exported"]),
        (
            "a histogram without its suffix",
            "siwx_auth_duration_seconds",
            &["no metric `siwx_auth_duration_seconds` is exported"],
        ),
        ("no such label", "siwx_panics_total{cache=\"proofs\"}", &["`siwx_panics_total` has no label `cache`"]),
        (
            "no such value",
            "siwx_cache_requests_total{result=\"hits\"}",
            &["`siwx_cache_requests_total` never has `result` = `hits`"],
        ),
        (
            "no such alternative",
            "siwx_cache_requests_total{result!~\"hit|mis\"}",
            &["`siwx_cache_requests_total` never has `result` = `mis`"],
        ),
        (
            "grouped by what is not there",
            "sum by (route) (siwx_panics_total)",
            &["no metric here has the label `route`"],
        ),
        ("nothing", "1 + 1", &["no metric is named in `1 + 1`"]),
    ];
    for (name, expression, expected) in rows {
        assert_eq!(faults_of(expression, &[], &exported), *expected, "{name}");
    }
    let legend = labels_of_legend("p99 {{path}} {{ route }}");
    assert_eq!(
        faults_of("siwx_auth_duration_seconds_bucket", &legend, &exported),
        ["no metric here has the label `route`"]
    );
}

/// What an expression names that is not exported; `shown` are labels its result must have.
fn faults_of(expression: &str, shown: &[String], exported: &Exported) -> Vec<String> {
    let names = names(expression);
    let mut faults = Vec::new();
    let mut labels: BTreeSet<&str> = SCRAPED.into_iter().collect();
    if names.metrics.is_empty() {
        faults.push(format!("no metric is named in `{expression}`"));
    }
    for (metric, matchers) in &names.metrics {
        let Some(has) = exported.get(metric) else {
            faults.push(format!("no metric `{metric}` is exported"));
            continue;
        };
        labels.extend(has.keys().map(String::as_str));
        for (label, compared) in matchers.iter().filter(|(label, _)| !SCRAPED.contains(&label.as_str())) {
            let Some(values) = has.get(label) else {
                faults.push(format!("`{metric}` has no label `{label}`"));
                continue;
            };
            let plain = |word: &&str| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            let missing = compared.split('|').filter(plain).filter(|word| !values.contains(*word));
            faults.extend(missing.map(|word| format!("`{metric}` never has `{label}` = `{word}`")));
        }
    }
    let wanted = names.labels.iter().chain(shown).filter(|label| !labels.contains(label.as_str()));
    faults.extend(wanted.map(|label| format!("no metric here has the label `{label}`")));
    faults
}

/// What an expression names.
fn names(expression: &str) -> Names {
    let tokens = tokens(expression);
    let mut names = Names::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let opens = |sign| tokens.get(at + 1) == Some(&Token::Sign(sign));
        // `sum by (…)`: only an aggregation stands before these.
        let groups = matches!(tokens.get(at + 1), Some(Token::Name(next)) if next == "by" || next == "without");
        let until =
            |sign| tokens[at..].iter().position(|token| *token == Token::Sign(sign)).map_or(tokens.len(), |n| at + n);
        at = match token {
            Token::Name(word) if LABEL_LISTS.contains(&word.as_str()) && opens('(') => {
                let list = at + 2..until(')');
                names.labels.extend(tokens[list.clone()].iter().filter_map(|token| match token {
                    Token::Name(label) => Some(label.clone()),
                    _ => None,
                }));
                list.end
            }
            Token::Name(word) if opens('(') || groups || KEYWORDS.contains(&word.as_str()) => at + 1,
            Token::Name(metric) if opens('{') => {
                let matchers = at + 2..until('}');
                names.metrics.push((metric.clone(), self::matchers(&tokens[matchers.clone()])));
                matchers.end
            }
            Token::Name(metric) => {
                names.metrics.push((metric.clone(), Vec::new()));
                at + 1
            }
            _ => at + 1,
        };
    }
    names
}

/// Labels and what they are compared with, from what stands between braces.
fn matchers(tokens: &[Token]) -> Vec<(String, String)> {
    let labels = tokens.iter().filter_map(|token| match token {
        Token::Name(label) => Some(label.clone()),
        _ => None,
    });
    let values = tokens.iter().filter_map(|token| match token {
        Token::Text(value) => Some(value.clone()),
        _ => None,
    });
    labels.zip(values).collect()
}

/// Names, strings and signs; ranges, numbers, durations and variables left out.
fn tokens(expression: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_:.".contains(c))).unwrap_or(rest.len());
        let length = match first {
            '"' => {
                let text = rest[1..].split('"').next().unwrap_or("");
                found.push(Token::Text(text.to_owned()));
                text.len() + 2
            }
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            '0'..='9' => word,
            'a'..='z' | 'A'..='Z' | '_' => {
                found.push(Token::Name(rest[..word].to_owned()));
                word
            }
            sign => {
                if !sign.is_whitespace() {
                    found.push(Token::Sign(sign));
                }
                sign.len_utf8()
            }
        };
        rest = &rest[length.min(rest.len())..];
    }
    found
}

/// Labels between double braces.
fn labels_of_legend(legend: &str) -> Vec<String> {
    legend.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim().to_owned())).collect()
}

/// Names of alerts, and expressions, of a file whose expressions stand on one line each, as plain scalars.
fn rules(text: &str) -> (Vec<String>, Vec<String>) {
    let after = |key: &'static str| {
        text.lines().filter_map(move |line| Some(line.trim_start().strip_prefix(key)?.to_owned())).collect()
    };
    let expressions: Vec<String> = after("expr: ");
    for expression in &expressions {
        let plain = !expression.starts_with(['|', '>', '"', '\'', '{', '[']) && !expression.contains(": ");
        assert!(plain && !expression.contains(" #"), "not one plain line: {expression}");
    }
    (after("- alert: "), expressions)
}

/// Series of the Prometheus text format.
fn series(text: &str) -> Exported {
    let mut exported = Exported::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or("");
        let labels = exported.entry(name.to_owned()).or_default();
        let mut rest = line[name.len()..].strip_prefix('{').unwrap_or("");
        while let Some((label, after)) = rest.trim_start_matches(',').split_once("=\"") {
            let end = end_of_value(after);
            labels.entry(label.to_owned()).or_default().insert(after[..end].to_owned());
            rest = &after[end + 1..];
        }
    }
    exported
}

/// Where the quote stands that ends a label's value.
fn end_of_value(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    panic!("a label's value without an end: {text}");
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Starts the gateway, reads its metrics before anybody asked it for anything, and ends it.
fn scrape() -> String {
    let (bound, is_bound) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let gateway = thread::spawn(move || {
        let environment = BTreeMap::new();
        let no_files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let inputs = Inputs {
            text: CONFIGURATION,
            name: "siwx-gateway.toml",
            environment: &environment,
            flags: &[],
            files: &no_files,
        };
        let (config, report) = config::resolve(&inputs).unwrap_or_else(|report| panic!("{}", report.render(false)));
        let world = World { clock: Arc::new(SystemClock), access_log: Box::new(std::io::sink()) };
        let app = App::bind(config, report, world).expect("free ports on loopback");
        bound.send(app.admin_address().expect("an admin listener")).expect("the test waits");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(app.run(async { drop(stopped.await) })).expect("it serves until it is stopped");
    });
    let text = fetch(is_bound.recv().expect("the gateway starts"));
    stop.send(()).expect("it still runs");
    gateway.join().expect("it ends in order");
    text
}

fn fetch(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("the admin listener");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}
