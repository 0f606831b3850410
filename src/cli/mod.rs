//! The command line: arguments in, results out, exit codes.
//!
//! 1. Standard output carries results only; everything else goes to standard error.
//! 2. Exit codes, unless a command says otherwise: 0 it went well; 1 it failed, or the answer is no; 2 the
//!    configuration is wrong; 64 the command was called wrongly.

pub mod configuration;
mod run;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

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
}

/// Which configuration.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: PathBuf,
}

/// The command was called wrongly.
const USAGE: u8 = 64;

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
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
    }
}
