//! The configuration as a whole.

mod assertions;
mod contracts;
mod hostile;
mod meaning;
mod payments;
mod reports;
mod sessions;
mod sources;

use super::*;
use crate::{edge::settings::HostSent, store::Backend};

/// The smallest file that is of use (operations.md section 1).
const SMALLEST: &str = r#"public_url = "http://127.0.0.1:8080"
[server]
listen = ["127.0.0.1:8080"]
[upstreams.api]
urls = ["http://127.0.0.1:3000"]
[[route]]
name = "all"
prefix = "/"
upstream = "api"
auth = "subscription"
"#;

const NAME: &str = "siwx-gateway.toml";

fn no_file(_: &Path) -> io::Result<String> {
    Err(io::Error::from(io::ErrorKind::NotFound))
}

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The configuration of a text, with an environment.
fn resolved(text: &str, variables: &[(&str, &str)]) -> Result<(Config, Report), Report> {
    let environment = environment(variables);
    resolve(&Inputs { text, name: NAME, environment: &environment, flags: &[], files: &no_file })
}

fn config(text: &str) -> Config {
    match resolved(text, &[]) {
        Ok((config, _)) => config,
        Err(report) => panic!("{report}"),
    }
}

fn report(text: &str, variables: &[(&str, &str)]) -> String {
    match resolved(text, variables) {
        Ok((_, report)) | Err(report) => report.to_string(),
    }
}

/// The smallest file with one part of it replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(SMALLEST.contains(from), "{from}");
    SMALLEST.replacen(from, to, 1)
}
