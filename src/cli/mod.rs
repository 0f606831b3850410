//! The command line: arguments in, results out, exit codes.
//!
//! 1. Standard output carries results only; everything else goes to standard error.
//! 2. Exit codes, unless a command says otherwise: 0 it went well; 1 it failed, or the answer is no; 2 the
//!    configuration is wrong; 64 the command was called wrongly.
//! 3. One file a command; what several share is in `configuration`, `console`, `fetch`, `input`, `signals` and
//!    `wallet`.

mod configuration;
mod console;
mod demo;
mod fetch;
mod input;
mod keygen;
mod run;
mod signals;
mod token;
mod wallet;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use console::USAGE;

/// A reverse proxy that lets a request through when a crypto wallet proves itself.
#[derive(Debug, Parser)]
#[command(name = "siwx-gateway", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve
    Run(run::Arguments),
    /// See it at work: a gateway, an API and throw-away wallets on this machine
    Demo(demo::Arguments),
    /// Make a wallet for tests
    Keygen(keygen::Arguments),
    /// Make, look at or judge a token
    #[command(subcommand)]
    Token(token::Command),
}

/// Runs the command that the arguments of this process name.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Printing fails when nobody reads; there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    run_command(&arguments.command).unwrap_or_else(|failure| failure.report())
}

fn run_command(command: &Command) -> Result<ExitCode, console::Failure> {
    match command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Keygen(arguments) => keygen::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Token(command) => token::run(command),
    }
}
