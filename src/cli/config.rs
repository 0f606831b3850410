//! `config`: the reference of all keys, the values in effect, and a schema for editors.

use std::process::ExitCode;

use super::{
    configuration::{ConfigFile, Source},
    console::{Failure, color, say, say_json},
};
use crate::config;

/// Commands about the configuration.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print a file with every key, what it does, and its default
    Default,
    /// Print the values in effect, each with its origin, secrets masked
    Print(ConfigFile),
    /// Print the JSON Schema of the file
    Schema,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Default => say(config::default_text().trim_end())?,
        Command::Print(file) => say(effective(file)?.trim_end())?,
        Command::Schema => say_json(&config::schema())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn effective(file: &ConfigFile) -> Result<String, Failure> {
    let source = Source::read(&file.path, Vec::new())?;
    config::print(&source.inputs()).map_err(|report| Failure::Faulty(report.render(color())))
}
