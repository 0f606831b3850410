//! `message inspect`: reads a signing text as the gateway does and says what became of it.

use std::process::ExitCode;

use super::{
    console::{Failure, say_json, yes_or_no},
    input::Source,
};
use crate::{
    chain::DIALECTS,
    siwx::{Message, message::Reading, verdict},
};

/// Commands about signing texts.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Read a signing text on standard input and print its parts, or its first fault, as JSON
    Inspect,
}

/// Bytes looked at: enough that a text over the limit is refused for its length by whom it concerns.
const BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Inspect => inspect(),
    }
}

fn inspect() -> Result<ExitCode, Failure> {
    let text = Source::Stdin.read(BYTES_MAX)?;
    let outcome = Message::parse(&text, DIALECTS, &Reading::default());
    say_json(&verdict::of_reading(&outcome))?;
    Ok(yes_or_no(outcome.is_ok()))
}
