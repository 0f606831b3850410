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
    config::{self, Config, Report, Severity},
    policy::routes::Routes,
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
            report.error(&config::Place::Nowhere, error.to_string(), "");
            (report, None)
        }
    };
    outside::examine(&config, source, &mut report);
    (report, routes.map(|routes| (config, routes)))
}

fn warnings(report: &Report) -> String {
    match report.faults().filter(|fault| fault.severity == Severity::Warning).count() {
        0 => String::new(),
        1 => ", with 1 warning".to_owned(),
        count => format!(", with {count} warnings"),
    }
}
