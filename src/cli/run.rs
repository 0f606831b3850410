//! `run`: serve until told to stop.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use tokio::sync::oneshot;

use super::{
    configuration::{ConfigFile, Source},
    console::{Failure, color},
    signals::Signals,
};
use crate::{
    app::{self, App, Events, Handed, Reload, StartError, Supervisor, Unread, World, raise_descriptors},
    config::{self, Config, Override, Report},
    store,
};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Check the configuration, open and bind everything, then exit
    #[arg(long)]
    dry_run: bool,
    /// Listen on this address instead; several are separated by commas
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    listen: Vec<String>,
    /// Serve with this many threads instead
    #[arg(long, value_name = "N")]
    workers: Option<String>,
}

/// The configuration file and flags of this call, to be read again.
struct ReadAgain {
    path: PathBuf,
    flags: Vec<Override>,
}

// === impl ReadAgain ===

impl app::Source for ReadAgain {
    fn read(&self) -> Result<(Config, Report), Unread> {
        let source = Source::open(&self.path, self.flags.clone());
        let source = source.map_err(|error| Unread::File(self.path.clone(), error))?;
        config::resolve(&source.inputs()).map_err(Unread::Faulty)
    }

    fn files(&self) -> Vec<PathBuf> {
        let source = Source::open(&self.path, self.flags.clone());
        let named = source.map(|source| source.files()).unwrap_or_default();
        std::iter::once(self.path.clone()).chain(named).collect()
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let events = Events::start().map_err(Failure::failed)?;
    // Nobody may read standard error, and the process is to end for all that.
    Ok(start(arguments, &events).unwrap_or_else(|failure| failure.report_by(|text| events.say(text))))
}

fn start(arguments: &Arguments, events: &Arc<Events>) -> Result<ExitCode, Failure> {
    let (config, report) = Source::read(&arguments.file.path, overrides(arguments))?.resolve()?;
    if !report.is_empty() {
        events.say(&report.render(color()));
    }
    events.show(config.log);
    match raise_descriptors() {
        Ok((was, is)) if was == is => tracing::info!(is, "file descriptors: as many as this process may have"),
        Ok((was, is)) => tracing::info!(was, is, "file descriptors: this process takes as many as it may have"),
        Err(error) => tracing::warn!(%error, "the limit of file descriptors cannot be raised"),
    }
    let again = ReadAgain { path: arguments.file.path.clone(), flags: overrides(arguments) };
    let store = store::open(&config.store).map_err(Failure::failed)?;
    let handed = Handed::of_environment();
    let app = App::bind_handed(config, report, World::system(), store, handed).map_err(start_failure)?;
    let app = app.log_to(Arc::clone(events)).read_again_from(again).tell(Supervisor::of_environment());
    if arguments.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    for address in app.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = app.admin_address() {
        tracing::info!(%address, "metrics, health and admin API");
    }
    serve(app).map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// Why a gateway does not start, as this command tells it.
pub(super) fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Routes(report) => Failure::Faulty(report.render(color())),
        error => Failure::failed(error),
    }
}

fn serve(app: App) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = Signals::catch()?;
        let reloads = app.reloads().clone();
        let stop = async {
            // What comes of it is in the log.
            signals.stop(|| drop(reloads.send(Reload { answer: oneshot::channel().0 }))).await;
            tracing::info!("draining; a second signal ends at once");
        };
        app.run(stop).await?;
        tracing::info!("drained");
        Ok(())
    })
}

fn overrides(arguments: &Arguments) -> Vec<Override> {
    let flag = |key: &str, flag: &str, value| Override { key: key.to_owned(), value, flag: flag.to_owned() };
    let listen = (!arguments.listen.is_empty()).then(|| arguments.listen.join(","));
    let listen = listen.map(|addresses| flag("server.listen", "--listen", addresses));
    let workers = arguments.workers.clone().map(|count| flag("server.workers", "--workers", count));
    listen.into_iter().chain(workers).collect()
}
