//! `signature verify`: whether an account made a signature of a text, and nothing else about either.
//!
//! Exit codes are the verdict: 0 valid, 1 invalid, 2 unavailable. The last is for contracts that could not be asked.
//! Nobody is asked without a configuration: then a key must have signed, and every form in which one can is taken. With
//! one its forms are taken, and its nodes asked.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use serde_json::json;

use super::{
    configuration::ConfigFile,
    console::{FAULTY, Failure, complain, say, yes_or_no},
    input::{Source, widest_reading},
};
use crate::{
    caip::{AccountId, ChainId},
    chain::{self, Accepts, ContractCall, DIALECTS, Outcome, Scheme, SignatureError, Signed},
    config::Config,
    metrics::Metrics,
    outbound::Outbound,
    rpc::{Rpc, RpcError},
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
    /// The configuration file, which says which forms are taken and who is asked about contracts [default: every form,
    /// and nobody]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A verdict, or that there is none because nobody could be asked.
type Verdict = Result<Result<Scheme, SignatureError>, RpcError>;

/// Nobody could be asked. A configuration that is wrong ends with the same code, and without a verdict.
const UNAVAILABLE: u8 = FAULTY;

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
    let config = arguments.config.clone().map(|path| ConfigFile { path }.load()).transpose()?;
    // It is header carriers that take no signatures of 64 bytes (decision 5), and this is none.
    let accepts = config.as_ref().map_or(Accepts::all(), |config| Accepts { compact: true, ..config.gate.accepts });
    let verdict = match chain::outcome_of(&signed, &accepts) {
        Ok(Outcome::Valid(scheme)) => Ok(Ok(scheme)),
        Ok(Outcome::AskContract(call)) => ask(&call, config)?,
        Err(error) => Ok(Err(error)),
    };
    let (verdict, scheme, reason, code) = match verdict {
        Ok(Ok(scheme)) => ("valid", Some(scheme.as_str()), None, yes_or_no(true)),
        Ok(Err(error)) => ("invalid", None, Some(error.as_str()), yes_or_no(false)),
        Err(error) => {
            complain(&format!("error: {error}"));
            ("unavailable", None, Some("verifier_unavailable"), ExitCode::from(UNAVAILABLE))
        }
    };
    say(json!({ "verdict": verdict, "scheme": scheme, "reason": reason }).to_string())?;
    Ok(code)
}

/// What a contract says, if a configuration says whom to ask.
fn ask(call: &ContractCall, config: Option<Config>) -> Result<Verdict, Failure> {
    let Some(settings) = config.and_then(|config| config.rpc) else {
        return Ok(Ok(Err(call.unasked())));
    };
    let outbound = Outbound::start().map_err(Failure::failed)?;
    let rpc = Rpc::new(settings, &outbound, &Arc::new(Metrics::new())).map_err(Failure::failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    Ok(match runtime.block_on(rpc.ask(call)) {
        Ok(verdict) if verdict.is_yes() => Ok(Ok(call.scheme())),
        Ok(_) => Ok(Err(SignatureError::ContractRefused)),
        Err(RpcError::NotConfigured) => Ok(Err(call.unasked())),
        Err(error) => Err(error),
    })
}

fn chain_id(text: &str) -> Result<ChainId, String> {
    ChainId::parse(text).map_err(|error| error.to_string())
}
