//! `token`: credentials as they ride in `Authorization` (x402.md section 13), made, looked at, and judged.

pub(super) mod mint;

use std::process::ExitCode;

use super::console::Failure;

/// Commands about tokens.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Sign a message and print it as an `Authorization` value
    Mint(mint::Arguments),
}

/// The scheme name that a token without one is read under, and that is minted.
pub(super) const SCHEME: &str = "SIWX";

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Mint(arguments) => mint::run(arguments),
    }
}
