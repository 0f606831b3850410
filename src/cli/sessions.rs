//! `sessions`: who is signed in, in the configured store, and an end to it; also while a gateway runs on the store.
//!
//! 1. `list` prints the newest sets first, and of each set a line an account. What was signed is not printed.
//! 2. `end` takes the public id of a set, that of one session in it, which upstreams are told, or an account whose
//!    sessions end all.
//! 3. Each end is one `audit` event in the log, on standard error.
//! 4. What is ended here opens a running gateway no longer within two seconds.

use std::process::ExitCode;

use super::{
    configuration::ConfigFile,
    console::{Failure, complain, say, table, yes_or_no},
    store::{configuration, open},
};
use crate::{
    app::{Events, SystemClock},
    chain::account::{Named, spelled},
    edge::admin::sessions::as_json,
    store::{ListedSet, PAGE_MAX, SessionFacts, SessionFilter, SessionStore},
    time::Clock as _,
};

/// Commands about sessions.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List who is signed in, the newest first
    List(List),
    /// End a session, or all of an account
    End(End),
}

/// Arguments of `sessions list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// Those with this account: a CAIP-10 id or an address
    #[arg(long, value_name = "ACCOUNT", value_parser = Named::parse)]
    account: Option<Named>,
    /// At most so many sets [default: all]
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

/// Arguments of `sessions end`.
#[derive(Debug, clap::Args)]
pub(super) struct End {
    #[command(flatten)]
    file: ConfigFile,
    /// The public id of a set, or of one session in it
    #[arg(value_name = "SID", required_unless_present = "account", conflicts_with = "account")]
    sid: Option<String>,
    /// All sessions of this account: a CAIP-10 id or an address
    #[arg(long, value_name = "ACCOUNT", value_parser = Named::parse)]
    account: Option<Named>,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::End(arguments) => end(arguments),
        Command::List(arguments) => list(arguments),
    }
}

fn list(arguments: &List) -> Result<ExitCode, Failure> {
    let config = configuration(&arguments.file)?;
    let (runtime, store) = open(&config)?;
    let filter = SessionFilter { account: arguments.account.as_ref().map(|account| account.key.clone()) };
    let limit = arguments.limit.unwrap_or(usize::MAX);
    let sets = runtime.block_on(newest(&*store.sessions(), &filter, limit))?;
    if arguments.json {
        for set in &sets {
            say(as_json(set).to_string())?;
        }
    } else if sets.is_empty() {
        complain("there are none");
    } else {
        say(as_table(&sets))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// So many, page by page.
async fn newest(store: &dyn SessionStore, filter: &SessionFilter, limit: usize) -> Result<Vec<ListedSet>, Failure> {
    let (mut sets, mut after, now) = (Vec::new(), None, SystemClock.now());
    while sets.len() < limit {
        let wanted = PAGE_MAX.min(limit - sets.len());
        let page = store.list(filter, after.as_ref(), wanted, now).await.map_err(Failure::failed)?;
        sets.extend(page.sets);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(sets)
}

/// A line for each session, with the public id of its set.
fn as_table(sets: &[ListedSet]) -> String {
    let row = |set: &ListedSet, session: &SessionFacts| {
        [
            session.created_at.to_string(),
            session.expires_at.to_string(),
            session.scheme.clone(),
            session.account.to_string(),
            set.sid.clone(),
        ]
    };
    let rows = sets.iter().flat_map(|set| set.sessions.iter().map(move |session| row(set, session)));
    table(["CREATED", "EXPIRES", "SCHEME", "ACCOUNT", "SID"], rows)
}

fn end(arguments: &End) -> Result<ExitCode, Failure> {
    let config = configuration(&arguments.file)?;
    let (runtime, store) = open(&config)?;
    let events = Events::start().map_err(Failure::failed)?;
    events.show(config.log);
    let sessions = store.sessions();
    match (&arguments.account, &arguments.sid) {
        (Some(account), _) => {
            let ended = runtime.block_on(sessions.end_all(std::slice::from_ref(&account.key)));
            let ended = ended.map_err(Failure::failed)?;
            let account_key = account.key.to_string();
            if ended > 0 {
                audit(None, Some(&account_key), Some(ended));
                say(format!("{}: {ended} ended", spelled(&account.key)))?;
            } else {
                complain(&format!("{} has no session; nothing was changed", spelled(&account.key)));
            }
            Ok(yes_or_no(ended > 0))
        }
        (None, sid) => {
            let sid = sid.as_deref().unwrap_or_default();
            let ended = runtime.block_on(sessions.end_sid(sid)).map_err(Failure::failed)?;
            if ended {
                audit(Some(sid), None, None);
                say(format!("session {sid} is ended"))?;
            } else {
                complain(&format!("there is no session `{}`; nothing was changed", sid.escape_debug()));
            }
            Ok(yes_or_no(ended))
        }
    }
}

/// The line of the log that tells what was ended.
fn audit(sid: Option<&str>, account: Option<&str>, ended: Option<usize>) {
    tracing::info!(
        event = "audit",
        action = "session_end",
        sid,
        account,
        ended,
        "sessions were ended on the command line"
    );
}
