//! `check`: everything that is wrong with a configuration, in one run, and on demand what becomes of one request.
//!
//! 1. Nothing is bound, opened for writing or asked over a network; files that the gateway would read are read.
//! 2. What is wrong goes to standard error in words, or with `--json` to standard output as a list.
//! 3. A request is explained only by a configuration that is in order.

mod explain;
mod outside;

use std::process::ExitCode;

use serde_json::json;

use super::{
    configuration::{ConfigFile, Source, warn},
    console::{FAULTY, Failure, say, say_json},
};
use crate::{
    app::{self, StartError},
    config::{self, Config, Place, Report, Severity},
    policy::{
        routes::Routes,
        rule::{Pattern, Requirement, Rule},
    },
};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Tell what would become of this request
    #[arg(long, num_args = 2, value_names = ["METHOD", "URL"])]
    explain: Vec<String>,
    /// A header field of that request; may be given several times
    #[arg(long = "header", value_name = "NAME:VALUE", num_args = 1.., requires = "explain")]
    headers: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let source = Source::read(&arguments.file.path, Vec::new())?;
    let (report, resolved) = examine(&source);
    let sound = resolved.filter(|_| !report.has_errors());
    let request = match arguments.explain.as_slice() {
        [method, url] => Some(explain::Question::read(method, url, &arguments.headers)?),
        _ => None,
    };
    let explanation = match (&sound, &request) {
        (Some((config, routes)), Some(request)) => Some(request.answer(config, routes)?),
        _ => None,
    };
    if arguments.json {
        say_json(&json!({
            "ok": sound.is_some(),
            "faults": report.to_json(),
            "explanation": explanation.as_ref().map(explain::Explanation::as_json),
        }))?;
    } else {
        warn(&report);
        match (&explanation, &sound) {
            (Some(explanation), _) => say(explanation.as_text())?,
            (None, Some(_)) => say(format!("{} is in order{}", source.name(), warnings(&report)))?,
            (None, None) => {}
        }
    }
    Ok(if sound.is_some() { ExitCode::SUCCESS } else { ExitCode::from(FAULTY) })
}

/// All faults, and what the configuration means as far as it means something.
fn examine(source: &Source) -> (Report, Option<(Config, Routes)>) {
    let (config, report) = match config::resolve(&source.inputs()) {
        Ok(resolved) => resolved,
        Err(report) => return (report, None),
    };
    let (mut report, routes) = match app::routes(&config, report.clone()) {
        Ok(routes) => (report, Some(routes)),
        Err(StartError::Routes(report)) => (*report, None),
        Err(error) => {
            let mut report = report;
            report.error(&Place::Nowhere, error.to_string(), "");
            (report, None)
        }
    };
    outside::examine(&config, source, &mut report);
    note_what_is_dearer(&config.routes, &config.places.routes, &mut report);
    (report, routes.map(|routes| (config, routes)))
}

/// Tells of a route that would catch other spellings of a dearer one's path. Nothing is wrong with that, and it is told
/// here alone: such requests are refused as `ambiguous_path`, which is better known before than found out.
fn note_what_is_dearer(rules: &[Rule], places: &[Place], report: &mut Report) {
    let demand = |rule: &Rule| match rule.requirement {
        Requirement::Public => 0,
        Requirement::Wallet => 1,
        Requirement::Subscription { .. } => 2,
        Requirement::Payment { .. } => 3,
    };
    for (dear, place) in rules.iter().zip(places) {
        let path = dear.pattern.as_str();
        let beneath = rules.iter().find(|other| {
            let hosts_meet = other.host.is_none() || dear.host.is_none() || other.host == dear.host;
            let covers = matches!(&other.pattern, Pattern::Prefix(prefix) if covers(prefix, path));
            covers && hosts_meet && demand(other) < demand(dear)
        });
        if let Some(other) = beneath {
            let (dear, other) = (&dear.name, &other.name);
            let title = format!("route \"{other}\" asks for less and covers \"{path}\" (route \"{dear}\")");
            report.note(place, title, "other spellings of this path are refused, so that none gets the cheaper route");
        }
    }
}

fn covers(prefix: &str, path: &str) -> bool {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn warnings(report: &Report) -> String {
    match report.faults().filter(|fault| fault.severity == Severity::Warning).count() {
        0 => String::new(),
        1 => ", with 1 warning".to_owned(),
        count => format!(", with {count} warnings"),
    }
}
