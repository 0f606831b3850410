//! `signature verify`: whether an account made a signature of a text, and nothing else about either.
//!
//! Exit codes are the verdict: 0 valid, 1 invalid, 2 unavailable. The last is for what only a network could answer,
//! and no scheme of this build asks one.

use std::process::ExitCode;

use serde_json::json;

use super::{
    console::{Failure, say, yes_or_no},
    input::{Source, widest_reading},
};
use crate::{
    caip::{AccountId, ChainId},
    chain::{self, Accepts, DIALECTS, Signed},
    siwx::Message,
};

/// Commands about signatures.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Verify a signature of the text on standard input
    Verify(Arguments),
}

/// Arguments of `signature verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The chain, as a CAIP-2 id
    #[arg(long, value_name = "CAIP2", value_parser = chain_id)]
    chain: ChainId,
    /// The account's address, or its CAIP-10 id
    #[arg(long, value_name = "ADDRESS")]
    account: String,
    /// The signature, in any form that its chain has
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    signature: String,
}

/// Bytes of a text: as much as a wallet could be made to sign.
const BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Verify(arguments) => verify(arguments),
    }
}

fn verify(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let text = Source::Stdin.read(BYTES_MAX)?;
    // Off-chain envelopes may name the domain of the text, where it is a message at all.
    let message = Message::parse(&text, DIALECTS, &widest_reading()).ok();
    let account = AccountId::parse(&arguments.account).ok();
    if let Some(account) = &account
        && account.chain() != arguments.chain
    {
        let (expected, found) = (&arguments.chain, account.chain_str());
        return Err(Failure::Usage(format!("expected an account of the chain `{expected}`, found one of `{found}`")));
    }
    let signed = Signed {
        chain: &arguments.chain,
        address: account.as_ref().map_or(&arguments.account, AccountId::address),
        text: &text,
        domain: message.as_ref().map(|message| message.domain.as_str()),
        signature: &arguments.signature,
    };
    let verdict = chain::verify_signature(&signed, &Accepts::all());
    let shown = match &verdict {
        Ok(scheme) => json!({ "verdict": "valid", "scheme": scheme.as_str(), "reason": null }),
        Err(error) => json!({ "verdict": "invalid", "scheme": null, "reason": error.as_str() }),
    };
    say(shown.to_string())?;
    Ok(yes_or_no(verdict.is_ok()))
}

fn chain_id(text: &str) -> Result<ChainId, String> {
    ChainId::parse(text).map_err(|error| error.to_string())
}
