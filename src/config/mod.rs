//! The configuration: text in, settings out. No file is opened here, no socket and no clock.
//!
//! Three stages, each knowing less of the outside than the one before:
//!
//! 1. `tree`: what the operator wrote, in file, environment and flags, every value with its place.
//! 2. `file`: the same by the table of known keys (`keys`), as `section`s with every value of its kind or its
//!    default.
//! 3. `resolve`: what it means together, as the settings of each room.
//!
//! All faults of a configuration are told in one run ([`Report`]); only a syntax error stands alone. Values come
//! from flag, environment, file and default, in that order. What only the outside can tell — whether files exist,
//! what certificates say, whether a port is free — is the caller's to check, with the [`Places`] of what it opens.

pub mod amounts;
#[cfg(test)]
mod example;
mod file;
mod fingerprint;
mod keys;
mod print;
pub mod report;
mod resolve;
mod schema;
mod secrets;
mod section;
mod substitute;
mod tree;

use std::{collections::BTreeMap, io, path::Path};

pub use fingerprint::Fingerprint;
pub use report::{Fault, Place, Report, Severity};

use crate::{edge, facilitator, gate, policy::rule::Rule, rpc, siwx::claims::Origin, store};

/// What a configuration is read from.
pub struct Inputs<'a> {
    /// The text of the file.
    pub text: &'a str,
    /// What the file is called in reports.
    pub name: &'a str,
    /// The environment; variables that are not UTF-8 left out.
    pub environment: &'a BTreeMap<String, String>,
    /// What flags of the command line say about keys.
    pub flags: &'a [Override],
    /// Reads the file of a `${file:/path}`.
    pub files: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// A key that a flag sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The key with its tables, such as `server.workers`.
    pub key: String,
    /// The value as a string.
    pub value: String,
    /// The flag as the operator knows it, such as `--workers`.
    pub flag: String,
}

/// All that a gateway is told.
#[derive(Debug)]
pub struct Config {
    /// The origin that clients use.
    pub public_url: Origin,
    /// Listeners, TLS, limits, admin listener, access log.
    pub edge: edge::settings::Settings,
    /// What requests are judged by.
    pub gate: gate::settings::Settings,
    /// Where state is kept.
    pub store: store::Settings,
    /// Who verifies and settles payments, in the order of the file.
    pub facilitators: Vec<facilitator::Settings>,
    /// Whom to ask about contracts; nothing: nobody.
    pub rpc: Option<rpc::Settings>,
    /// The services behind the gateway, in the order of the file.
    pub upstreams: Vec<edge::settings::UpstreamSettings>,
    /// The routes, in the order of the file.
    pub routes: Vec<Rule>,
    /// Names of the plans of the file; `default` is known besides.
    pub plans: Vec<String>,
    /// The log.
    pub log: LogSettings,
    /// Where in the file what is.
    pub places: Places,
    /// What it says, to be compared with another.
    pub fingerprint: Fingerprint,
    /// Whether its text holds a secret, rather than a reference to one.
    pub holds_secrets: bool,
}

/// What is logged apart from requests, and how all of it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// The least that is worth a line.
    pub level: LogLevel,
    /// JSON, or text for people.
    pub json: bool,
}

/// How grave a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// The gateway helped itself.
    Warn,
    /// A change of state.
    Info,
    /// One request.
    Debug,
    /// All there is.
    Trace,
}

/// Where those parts of a configuration are that can still turn out wrong once the outside is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Of each route, by its index in [`Config::routes`]: its pattern.
    pub routes: Vec<Place>,
    /// Of each certificate, by its index in the TLS settings: the file of the chain and that of the key.
    pub certificates: Vec<(Place, Place)>,
    /// Of each facilitator, by its index: its URL.
    pub facilitators: Vec<Place>,
    /// Of each upstream, by its index: the file of its authorities.
    pub upstream_cas: Vec<Place>,
    /// Of each listening address, by its index.
    pub listen: Vec<Place>,
    /// The address of the admin listener.
    pub admin_listen: Place,
    /// The URL of the store.
    pub store: Place,
}

/// The text of the example file, which is also the reference of every key.
pub const fn default_text() -> &'static str {
    include_str!("../../config.example.toml")
}

/// Reads a configuration. The report holds warnings alone if there is a [`Config`], to which the caller may add;
/// otherwise every fault.
pub fn resolve(inputs: &Inputs<'_>) -> Result<(Config, Report), Report> {
    let mut report = Report::new(inputs.name, inputs.text);
    let config = read(inputs, &mut report).and_then(|root| {
        let config = resolve::config(&root, &mut report)?;
        Some(Config { holds_secrets: secrets::stand_in(inputs.text, &root), ..config })
    });
    match config {
        Some(config) if !report.has_errors() => Ok((config, report)),
        _ => Err(report),
    }
}

/// The effective values as TOML, secrets masked, each with its origin in a comment; or why there are none.
pub fn print(inputs: &Inputs<'_>) -> Result<String, Report> {
    let (_, report) = resolve(inputs)?;
    let mut again = Report::new(inputs.name, inputs.text);
    match read(inputs, &mut again) {
        Some(root) => Ok(print::toml(&root, &report)),
        None => Err(again),
    }
}

/// The JSON Schema (draft 2020-12) of the file.
pub fn schema() -> serde_json::Value {
    schema::of_file()
}

fn read(inputs: &Inputs<'_>, report: &mut Report) -> Option<section::Section> {
    let entries = tree::read(inputs, report)?;
    Some(file::section(keys::ROOT, entries, Place::Nowhere, "", report))
}

#[cfg(test)]
mod tests;
