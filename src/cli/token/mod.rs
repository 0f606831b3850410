//! `token`: credentials as they ride in `Authorization` (x402.md section 13), made, looked at, and judged.

mod inspect;
pub(super) mod mint;
pub(super) mod sign_in;
mod verify;

use std::process::ExitCode;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use super::{console::Failure, input::Source};
use crate::credential::CREDENTIAL_BYTES_MAX;

/// Commands about tokens.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Sign a message and print it as the value of a header
    Mint(mint::Arguments),
    /// Take a token apart and show each check, offline
    Inspect(inspect::Arguments),
    /// Judge a token for a request as the server would, using up nothing
    Verify(verify::Arguments),
}

/// The scheme name that a token without one is read under, and that is minted.
pub(super) const SCHEME: &str = "SIWX";

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Mint(arguments) => mint::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
    }
}

/// The token of a command line: the argument, or standard input where there is none or `-`. Line ends around it and
/// the name of the header before it are dropped, so that what was copied from a request can be pasted.
fn presented(argument: Option<&str>) -> Result<String, Failure> {
    let text = match argument {
        None | Some("-") => Source::Stdin.read_text(4 * CREDENTIAL_BYTES_MAX as u64)?,
        Some(text) => text.to_owned(),
    };
    let text = text.trim();
    let text = match text.split_once(':') {
        Some((name, value)) if name.eq_ignore_ascii_case(AUTHORIZATION.as_str()) => value.trim_start(),
        _ => text,
    };
    if text.is_empty() {
        return Err(Failure::usage("expected a token as an argument or on standard input, found nothing"));
    }
    Ok(text.to_owned())
}

/// The header of a request that presents a token; one without a scheme gets `scheme`.
fn header(token: &str, scheme: &str) -> Result<HeaderMap, Failure> {
    let value = if token.contains(' ') { token.to_owned() } else { format!("{scheme} {token}") };
    let value = HeaderValue::try_from(value)
        .map_err(|_| Failure::usage("expected a token that a header can carry, found control characters"))?;
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}
