//! `plans`: what the configuration knows of, what it costs, and how many hold it.
//!
//! A store in the memory of a gateway cannot be asked by another process: then nobody is counted.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use serde_json::{Value, json};

use super::{
    configuration::ConfigFile,
    console::{Failure, complain, say, table},
    store::open,
};
use crate::{
    app::SystemClock,
    config::{Config, amounts::write_duration},
    policy::subscription::DEFAULT_PLAN,
    store::{Backend, Filter, PAGE_MAX, Store},
    time::{Clock as _, UnixTime},
};

/// Commands about plans.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List plans, their prices and how many hold them
    List(List),
}

/// Arguments of `plans list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

/// A plan as it is shown.
struct Shown<'c> {
    name: &'c str,
    /// Price and length of one purchase; nothing: it is granted by the operator alone.
    price: Option<(String, Duration)>,
    /// Accounts that hold it now; nothing: they cannot be counted.
    holders: Option<u64>,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let Command::List(List { file, json }) = command;
    let config = file.load()?;
    let holders = if config.store.backend == Backend::SqliteMemory {
        complain("holders are not counted: this configuration keeps its store in the memory of the gateway");
        None
    } else {
        let (runtime, store) = open(&config)?;
        Some(runtime.block_on(holders(&store, SystemClock.now()))?)
    };
    let plans = shown(&config, holders.as_ref());
    if *json {
        for plan in &plans {
            say(as_json(plan).to_string())?;
        }
    } else {
        say(table(["PLAN", "PRICE", "PERIOD", "HOLDERS"], plans.iter().map(row)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Active subscriptions by plan, of all that there are, page by page.
async fn holders(store: &Store, now: UnixTime) -> Result<BTreeMap<String, u64>, Failure> {
    let subscriptions = store.subscriptions();
    let (mut counts, mut after) = (BTreeMap::new(), None);
    loop {
        let page = subscriptions.list(&Filter::default(), after.as_ref(), PAGE_MAX).await.map_err(Failure::failed)?;
        for held in page.held.into_iter().filter(|held| held.subscription.is_active(now)) {
            *counts.entry(held.subscription.plan).or_default() += 1;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(counts),
        }
    }
}

/// The plans of the file in their order, then the one that every file knows.
fn shown<'c>(config: &'c Config, holders: Option<&BTreeMap<String, u64>>) -> Vec<Shown<'c>> {
    let for_sale = config.gate.payments.as_ref().map(|payments| payments.plans.as_slice()).unwrap_or_default();
    let names = config.plans.iter().map(String::as_str).chain([DEFAULT_PLAN]);
    let plans = names.map(|name| {
        let sold = for_sale.iter().find(|plan| plan.name == name);
        // It costs the same wherever the money goes.
        let price = sold.and_then(|plan| Some((plan.offers.first()?.price().to_string(), plan.length)));
        Shown { name, price, holders: holders.map(|counts| counts.get(name).copied().unwrap_or_default()) }
    });
    plans.collect()
}

fn row(plan: &Shown<'_>) -> [String; 4] {
    let none = || "-".to_owned();
    let (price, period) = match &plan.price {
        Some((price, length)) => (price.clone(), write_duration(*length)),
        None => (none(), none()),
    };
    [plan.name.to_owned(), price, period, plan.holders.map_or_else(none, |count| count.to_string())]
}

fn as_json(plan: &Shown<'_>) -> Value {
    json!({
        "plan": plan.name,
        "price": plan.price.as_ref().map(|(price, _)| price),
        "period": plan.price.as_ref().map(|(_, length)| write_duration(*length)),
        "holders": plan.holders,
    })
}
