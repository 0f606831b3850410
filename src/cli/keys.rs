//! `keys`: the keys of tokens and assertions that the configured store keeps, and a new one; also while a gateway runs on
//! the store.
//!
//! 1. `list` prints a line a key, the oldest first: its name, how it signs and what it is for. Nothing else of it is shown.
//! 2. `rotate` makes one more. A running gateway publishes it within two seconds, and signs with it five minutes later,
//!    when all verifiers can know it; the one before stays published as long as tokens of its can live.
//! 3. It is one `audit` event in the log, on standard error.

use std::{process::ExitCode, sync::Arc};

use super::{
    configuration::ConfigFile,
    console::{Failure, complain, say, table, yes_or_no},
    store::{configuration, open},
};
use crate::{
    app::{Events, SystemClock, fresh_secret, key_use},
    edge::admin::keys::as_json,
    gate::keys::{self, Keys, Rotated},
    session::keys::ring::{Generation, Standing},
    time::Clock as _,
};

/// Commands about keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the keys that the store keeps, and what each is for
    List(List),
    /// Make a new key, which is published at once and signs five minutes later
    Rotate(Rotate),
}

/// Arguments of `keys list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

/// Arguments of `keys rotate`.
#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let file = match command {
        Command::List(arguments) => &arguments.file,
        Command::Rotate(arguments) => &arguments.file,
    };
    let config = configuration(file)?;
    let Some(used) = key_use(config.gate.sessions.as_ref(), config.edge.assertion.as_ref()) else {
        let reason = "this configuration uses no key that the store keeps: it has no [session], and no [auth.assertion] \
                      or a key of yours in it";
        return Err(Failure::failed(reason));
    };
    let (runtime, store) = open(&config)?;
    let means = keys::Means { secrets: store.secrets(), foreign: store.foreign_writes(), clock: Arc::new(SystemClock) };
    let fresh = fresh_secret().map_err(Failure::failed)?;
    let kept = runtime.block_on(Keys::read(means, &used.algorithms, used.life, fresh)).map_err(Failure::failed)?;
    let now = SystemClock.now();
    match command {
        Command::List(arguments) if arguments.json => {
            for key in as_json(&kept.list(now)) {
                say(key.to_string())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::List(_) => {
            say(as_table(&kept.list(now)))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Rotate(_) => {
            let events = Events::start().map_err(Failure::failed)?;
            events.show(config.log);
            let fresh = fresh_secret().map_err(Failure::failed)?;
            let rotated = runtime.block_on(kept.rotate(fresh, now)).map_err(Failure::failed)?;
            match rotated {
                Rotated::Done => {
                    tracing::info!(event = "audit", action = "keys_rotate", "a key was made on the command line");
                    say(as_table(&kept.list(now)))?;
                }
                Rotated::Not(why) => complain(&format!("{why}; nothing was changed")),
            }
            Ok(yes_or_no(rotated == Rotated::Done))
        }
    }
}

fn as_table(keys: &[(Generation, Standing)]) -> String {
    let row = |(generation, standing): &(Generation, Standing)| {
        let at = match standing {
            Standing::Next(at) | Standing::Old(at) => at.to_string(),
            Standing::Current | Standing::Over => String::new(),
        };
        [
            generation.key.algorithm().as_str().to_owned(),
            standing.as_str().to_owned(),
            at,
            generation.key.kid().to_owned(),
        ]
    };
    table(["ALGORITHM", "STANDING", "UNTIL", "KID"], keys.iter().map(row))
}
