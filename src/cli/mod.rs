//! The command line: arguments in, results out, exit codes.
//!
//! 1. Standard output carries results only; everything else goes to standard error.
//! 2. Exit codes, unless a command says otherwise: 0 it went well; 1 it failed, or the answer is no; 2 the
//!    configuration is wrong; 64 the command was called wrongly.
//! 3. One file or folder a command; what several share is in `asked`, `configuration`, `console`, `fetch`, `input`,
//!    `signals`, `store`, `values` and `wallet`.

mod asked;
mod check;
mod config;
mod configuration;
mod console;
mod demo;
mod fetch;
mod healthcheck;
mod input;
mod keygen;
mod keys;
mod message;
mod payments;
mod plans;
mod run;
mod sessions;
mod signals;
mod signature;
mod store;
mod subscriptions;
mod token;
mod values;
mod version;
mod wallet;

use std::process::ExitCode;

use clap::{ColorChoice, Parser, Subcommand};

use console::USAGE;

/// A reverse proxy that lets a request through when a crypto wallet proves itself.
#[derive(Debug, Parser)]
#[command(name = "siwx-gateway", version, max_term_width = 100)]
struct Arguments {
    /// Whether reports have colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve
    Run(run::Arguments),
    /// Tell all that is wrong with a configuration, or what becomes of a request
    Check(check::Arguments),
    /// Print all keys, the values in effect, or the schema of the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// See it at work: a gateway, an API and throw-away wallets on this machine
    Demo(demo::Arguments),
    /// Make a wallet for tests
    Keygen(keygen::Arguments),
    /// Make, look at or judge a token
    #[command(subcommand)]
    Token(token::Command),
    /// Look at a signing text
    #[command(subcommand)]
    Message(message::Command),
    /// Verify a signature
    #[command(subcommand)]
    Signature(signature::Command),
    /// List, give and take away subscriptions
    #[command(subcommand)]
    Subscriptions(subscriptions::Command),
    /// List payments, and say what became of those whose outcome nobody knows
    #[command(subcommand)]
    Payments(payments::Command),
    /// List the keys of tokens and assertions, and make new ones
    #[command(subcommand)]
    Keys(keys::Command),
    /// List who is signed in, and end sessions
    #[command(subcommand)]
    Sessions(sessions::Command),
    /// List plans
    #[command(subcommand)]
    Plans(plans::Command),
    /// Ask a gateway whether it is ready
    Healthcheck(healthcheck::Arguments),
    /// Print the version and what it was built from
    Version(version::Arguments),
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
    console::choose_color(arguments.color);
    run_command(&arguments.command).unwrap_or_else(|failure| failure.report())
}

fn run_command(command: &Command) -> Result<ExitCode, console::Failure> {
    match command {
        Command::Check(arguments) => check::run(arguments),
        Command::Config(command) => config::run(command),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Healthcheck(arguments) => healthcheck::run(arguments),
        Command::Keygen(arguments) => keygen::run(arguments),
        Command::Message(command) => message::run(command),
        Command::Payments(command) => payments::run(command),
        Command::Plans(command) => plans::run(command),
        Command::Run(arguments) => run::run(arguments),
        Command::Keys(command) => keys::run(command),
        Command::Sessions(command) => sessions::run(command),
        Command::Signature(command) => signature::run(command),
        Command::Subscriptions(command) => subscriptions::run(command),
        Command::Token(command) => token::run(command),
        Command::Version(arguments) => version::run(arguments),
    }
}
