//! `subscriptions`: who holds which plan, in the configured store, also while a gateway runs on it.
//!
//! 1. A plan is one of `[[plan]]` or `default`; what is taken away or shown may also be one that was configured once.
//! 2. Changes are seen by a running gateway within two seconds. Its admin API makes them seen at once.
//! 3. `list --json` prints what `import` reads.

mod import;
mod shown;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use super::{
    configuration::ConfigFile,
    console::{Failure, complain, say, yes_or_no},
    store::{configuration, open},
    values::{duration, time},
};
use crate::{
    app::SystemClock,
    chain::account::{Named, spelled},
    config::Config,
    policy::subscription::DEFAULT_PLAN,
    store::{Filter, Grant, Held, PAGE_MAX, Store, Term},
    time::{Clock as _, UnixTime},
};

/// Commands about subscriptions.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List subscriptions, ended ones too
    List(List),
    /// Show what one account holds
    Show(Show),
    /// Give a subscription, or extend it
    Grant(GrantArguments),
    /// Take a subscription away
    Revoke(Revoke),
    /// Give many subscriptions at once, all of them or none
    Import(Import),
}

/// Arguments of `subscriptions list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// Those of this account: a CAIP-10 id or an address
    #[arg(long, value_name = "ACCOUNT", value_parser = Named::parse)]
    account: Option<Named>,
    /// Those to this plan
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

/// Arguments of `subscriptions show`.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    file: ConfigFile,
    /// A CAIP-10 id or an address
    #[arg(long, value_name = "ACCOUNT", value_parser = Named::parse)]
    account: Named,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

/// Arguments of `subscriptions grant`.
#[derive(Debug, clap::Args)]
pub(super) struct GrantArguments {
    #[command(flatten)]
    file: ConfigFile,
    /// A CAIP-10 id or an address
    #[arg(long, value_name = "ACCOUNT", value_parser = Named::parse)]
    account: Named,
    /// The plan
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PLAN)]
    plan: String,
    /// For so much longer, such as 30d; from the end of what is active, or else from now
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, conflicts_with = "until")]
    period: Option<Duration>,
    /// Until this RFC 3339 time, whatever was there [default: until revoked]
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<UnixTime>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `subscriptions revoke`.
#[derive(Debug, clap::Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    file: ConfigFile,
    /// A CAIP-10 id or an address
    #[arg(long, value_name = "ACCOUNT", value_parser = Named::parse)]
    account: Named,
    /// The plan
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PLAN)]
    plan: String,
}

/// Arguments of `subscriptions import`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "CSV has the columns account, plan, expires_at and period, in the order that its first line names,\n\
    or in this one without such a line. JSON lines are objects with these members, as `list --json`\n\
    prints them. Without plan it is `default`; with neither end nor period it holds until revoked."
)]
pub(super) struct Import {
    #[command(flatten)]
    file: ConfigFile,
    /// CSV or JSON lines; `-` is standard input
    #[arg(value_name = "FILE")]
    from: PathBuf,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Grant(arguments) => grant(arguments),
        Command::Import(arguments) => import(arguments),
        Command::List(List { file, account, plan, json }) => {
            let account = account.as_ref().map(|account| account.key.clone());
            list(file, &Filter { account, plan: plan.clone() }, *json)
        }
        Command::Revoke(arguments) => revoke(arguments),
        Command::Show(Show { file, account, json }) => {
            list(file, &Filter { account: Some(account.key.clone()), plan: None }, *json)
        }
    }
}

fn list(file: &ConfigFile, filter: &Filter, json: bool) -> Result<ExitCode, Failure> {
    let config = configuration(file)?;
    let (runtime, store) = open(&config)?;
    let held = runtime.block_on(all(&store, filter))?;
    let now = SystemClock.now();
    if json {
        for held in &held {
            say(shown::as_json(held, now).to_string())?;
        }
    } else if held.is_empty() {
        complain("there are none");
    } else {
        say(shown::as_table(&held, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every page.
async fn all(store: &Store, filter: &Filter) -> Result<Vec<Held>, Failure> {
    let subscriptions = store.subscriptions();
    let (mut held, mut after) = (Vec::new(), None);
    loop {
        let page = subscriptions.list(filter, after.as_ref(), PAGE_MAX).await.map_err(Failure::failed)?;
        held.extend(page.held);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(held),
        }
    }
}

fn grant(arguments: &GrantArguments) -> Result<ExitCode, Failure> {
    let config = configuration(&arguments.file)?;
    check_plan(&config, &arguments.plan).map_err(Failure::Usage)?;
    let term = match (arguments.period, arguments.until) {
        (Some(length), _) => Term::Period { length, id: None },
        (None, Some(end)) => Term::Until(end),
        (None, None) => Term::UntilRevoked,
    };
    let grant = to_grant(&arguments.account, &arguments.plan, term).map_err(Failure::usage)?;
    let (runtime, store) = open(&config)?;
    let now = SystemClock.now();
    let subscription = runtime.block_on(store.subscriptions().grant(&grant, now)).map_err(Failure::failed)?;
    let held = Held { account: arguments.account.key.clone(), subscription };
    if arguments.json {
        say(shown::as_json(&held, now).to_string())?;
    } else {
        say(shown::as_table(&[held], now))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn revoke(arguments: &Revoke) -> Result<ExitCode, Failure> {
    let config = configuration(&arguments.file)?;
    let (runtime, store) = open(&config)?;
    let Revoke { account, plan, .. } = arguments;
    let revoked = runtime.block_on(store.subscriptions().revoke(&account.key, plan)).map_err(Failure::failed)?;
    if revoked {
        say(format!("{} no longer holds `{plan}`", spelled(&account.key)))?;
    } else {
        complain(&format!("{} does not hold `{plan}`; nothing was changed", spelled(&account.key)));
    }
    Ok(yes_or_no(revoked))
}

fn import(arguments: &Import) -> Result<ExitCode, Failure> {
    let config = configuration(&arguments.file)?;
    let grants = import::read(&arguments.from, &config)?;
    let (runtime, store) = open(&config)?;
    let count = runtime.block_on(store.subscriptions().import(&grants, SystemClock.now())).map_err(Failure::failed)?;
    say(format!("{count} granted"))?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses a plan that the configuration does not know.
fn check_plan(config: &Config, plan: &str) -> Result<(), String> {
    if plan == DEFAULT_PLAN || config.plans.iter().any(|known| known == plan) {
        return Ok(());
    }
    let known: Vec<String> = config.plans.iter().map(|known| format!("`{known}`, ")).collect();
    Err(format!("expected one of the plans {}or `{DEFAULT_PLAN}`, found `{}`", known.concat(), plan.escape_debug()))
}

fn to_grant(account: &Named, plan: &str, term: Term) -> Result<Grant, crate::store::GrantError> {
    let grant = Grant::new(account.key.clone(), plan, term)?;
    match &account.chain {
        Some(chain) => grant.on_chain(chain.clone()),
        None => Ok(grant),
    }
}
