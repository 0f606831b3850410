//! `version`: what this program is and what it was built from.

use std::process::ExitCode;

use serde_json::json;

use super::console::{Failure, say, say_json};
use crate::app::{REVISION, RUSTC, VERSION};

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Cargo features that are on: abilities that a build may have or lack. There are none so far.
const FEATURES: [&str; 0] = [];

/// Who computes what. The curves of wallets and those of TLS are different crates.
const CRYPTO: &str = "k256, ed25519-dalek; TLS by rustls with aws-lc-rs";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.json {
        say_json(&json!({
            "version": VERSION,
            "commit": REVISION,
            "features": FEATURES,
            "rustc": RUSTC,
            "crypto": CRYPTO,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let features = if FEATURES.is_empty() { "none".to_owned() } else { FEATURES.join(", ") };
    say(format!(
        "siwx-gateway {VERSION}\ncommit    {REVISION}\nfeatures  {features}\nrustc     {RUSTC}\ncrypto    {CRYPTO}"
    ))?;
    Ok(ExitCode::SUCCESS)
}
