//! `payments`: what was paid, in the configured store, and an operator's word on what nobody knows; also while a
//! gateway runs on the store.
//!
//! 1. `list` prints the newest first. A payment that was released is in no list.
//! 2. `resolve` ends a payment that nobody works on. What is settled stays settled: a word that agrees with it changes
//!    nothing and is well, one that does not is a failure.
//! 3. Each resolve is one `audit` event in the log, on standard error.
//! 4. What it opens is seen by a running gateway within two seconds. Its admin API makes it seen at once.

mod shown;

use std::process::ExitCode;

use super::{
    configuration::ConfigFile,
    console::{Failure, complain, say, say_json},
    store::{configuration, open},
};
use crate::{
    app::{Events, SystemClock},
    chain::account::{Named, spelled},
    edge::admin::payments::as_json,
    store::{
        PAGE_MAX, Payment, PaymentFilter, PaymentId, PaymentStatus, PaymentStore, Receipt, Resolved, Word, WordError,
    },
    time::Clock as _,
};

/// Commands about payments.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List payments, the newest first
    List(List),
    /// Show one payment
    Show(Show),
    /// Say what became of a payment, so that it is no longer open
    Resolve(Resolve),
}

/// Arguments of `payments list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// Those in this state: reserved, settling, settled or unknown
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<PaymentStatus>,
    /// Those paid by this account: a CAIP-10 id or an address
    #[arg(long, value_name = "ACCOUNT", value_parser = Named::parse)]
    account: Option<Named>,
    /// At most so many [default: all]
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

/// Arguments of `payments show`.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    file: ConfigFile,
    /// The payment's id: 64 hexadecimal digits
    #[arg(value_name = "ID", value_parser = id)]
    id: PaymentId,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `payments resolve`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Look on the chain first. `settled` says that the money moved: the payer gets what was bought.\n\
    `released` says that it did not and never will: the authorization may be presented again, and\n\
    if it was used after all, nobody gets anything for it."
)]
pub(super) struct Resolve {
    #[command(flatten)]
    file: ConfigFile,
    /// The payment's id: 64 hexadecimal digits
    #[arg(value_name = "ID", value_parser = id)]
    id: PaymentId,
    /// What became of it
    #[arg(value_name = "OUTCOME")]
    outcome: Outcome,
    /// Who paid, with `settled` [default: whom the facilitator named when it verified]
    #[arg(long, value_name = "CAIP10", value_parser = Named::parse)]
    payer: Option<Named>,
    /// In which transaction, with `settled` [default: the one the facilitator named]
    #[arg(long, value_name = "HASH")]
    transaction: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Outcome {
    /// The money moved
    Settled,
    /// It did not
    Released,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(arguments) => list(arguments),
        Command::Resolve(arguments) => resolve(arguments),
        Command::Show(arguments) => show(arguments),
    }
}

fn list(arguments: &List) -> Result<ExitCode, Failure> {
    let config = configuration(&arguments.file)?;
    let (runtime, store) = open(&config)?;
    let account = arguments.account.as_ref().map(|account| account.key.clone());
    let filter = PaymentFilter { account, status: arguments.status };
    let limit = arguments.limit.unwrap_or(usize::MAX);
    let payments = runtime.block_on(newest(&*store.payments(), &filter, limit))?;
    if arguments.json {
        for payment in &payments {
            say(as_json(payment).to_string())?;
        }
    } else if payments.is_empty() {
        complain("there are none");
    } else {
        say(shown::as_table(&payments))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// So many, page by page.
async fn newest(store: &dyn PaymentStore, filter: &PaymentFilter, limit: usize) -> Result<Vec<Payment>, Failure> {
    let (mut payments, mut after) = (Vec::new(), None);
    while payments.len() < limit {
        let wanted = PAGE_MAX.min(limit - payments.len());
        let page = store.list(filter, after.as_ref(), wanted).await.map_err(Failure::failed)?;
        payments.extend(page.payments);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(payments)
}

fn show(arguments: &Show) -> Result<ExitCode, Failure> {
    let config = configuration(&arguments.file)?;
    let (runtime, store) = open(&config)?;
    tell(&runtime.block_on(find(&*store.payments(), &arguments.id))?, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

fn resolve(arguments: &Resolve) -> Result<ExitCode, Failure> {
    let Resolve { file, id, json, .. } = arguments;
    let word = word(arguments)?;
    let config = configuration(file)?;
    let (runtime, store) = open(&config)?;
    let events = Events::start().map_err(Failure::failed)?;
    events.show(config.log);
    let payments = store.payments();
    let before = runtime.block_on(find(&*payments, id))?;
    let how = word.resolution(&before).map_err(|error| missing(&error))?;
    match runtime.block_on(payments.resolve(id, &how, SystemClock.now())).map_err(Failure::failed)? {
        Resolved::Absent => Err(absent(id)),
        Resolved::Held { lease_until } => {
            Err(Failure::Failed(format!("somebody works on this payment until {lease_until}; try again then")))
        }
        Resolved::Released => {
            audit(&before, None);
            let text = format!("{id} is released; what it was paid with may be presented again");
            say(if *json {
                serde_json::json!({ "id": id.to_string(), "status": "released" }).to_string()
            } else {
                text
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Resolved::Settled(receipt) if !word.agrees(&receipt) => Err(settled_otherwise(&receipt)),
        Resolved::Settled(receipt) => {
            if before.status != PaymentStatus::Settled {
                audit(&before, Some(&receipt));
            }
            tell(&runtime.block_on(find(&*payments, id))?, *json)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The line of the log that tells who paid for what by whose word.
fn audit(before: &Payment, receipt: Option<&Receipt>) {
    let status = if receipt.is_some() { "settled" } else { "released" };
    tracing::info!(
        event = "audit", action = "payment_resolve", payment = %before.id, status, route = before.sale.route,
        scope = %before.sale.scope, payer = receipt.map(|receipt| receipt.payer.to_string()),
        transaction = receipt.map(|receipt| receipt.transaction.as_str()),
        "a payment was resolved on the command line"
    );
}

fn word(arguments: &Resolve) -> Result<Word, Failure> {
    let Resolve { payer, transaction, .. } = arguments;
    match arguments.outcome {
        Outcome::Released if payer.is_some() || transaction.is_some() => {
            Err(Failure::usage("expected `--payer` and `--transaction` with `settled` alone"))
        }
        Outcome::Released => Ok(Word::Released),
        Outcome::Settled => Ok(Word::Settled { payer: payer.clone(), transaction: transaction.clone() }),
    }
}

async fn find(store: &dyn PaymentStore, id: &PaymentId) -> Result<Payment, Failure> {
    store.payment(id).await.map_err(Failure::failed)?.ok_or_else(|| absent(id))
}

fn tell(payment: &Payment, json: bool) -> Result<(), Failure> {
    let value = as_json(payment);
    if json { say_json(&value) } else { say(shown::as_lines(&value)) }
}

fn missing(error: &WordError) -> Failure {
    let option = match error {
        WordError::Chain { .. } | WordError::Payer => "`--payer`: ",
        WordError::Transaction => "`--transaction`: ",
        WordError::Kept(_) => "",
    };
    Failure::Usage(format!("{option}{error}"))
}

fn absent(id: &PaymentId) -> Failure {
    Failure::Failed(format!("there is no payment {id}; one that was released leaves nothing behind"))
}

fn settled_otherwise(receipt: &Receipt) -> Failure {
    let (payer, transaction) = (spelled(&receipt.payer), &receipt.transaction);
    Failure::Failed(format!("this payment is settled already, paid by `{payer}` in transaction `{transaction}`"))
}

fn status(text: &str) -> Result<PaymentStatus, String> {
    PaymentStatus::parse(text)
        .ok_or_else(|| "expected one of `reserved`, `settling`, `settled` and `unknown`".to_owned())
}

fn id(text: &str) -> Result<PaymentId, String> {
    text.parse().map_err(|error: crate::store::PaymentError| error.to_string())
}
