//! `run`: serve until told to stop.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{
    ConfigFile,
    configuration::{FAULTY, color, complain, load},
};
use crate::app::{App, StartError, World, start_log};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Check the configuration, open and bind everything, then exit
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (config, report) = match load(&arguments.file.config, &[]) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if report.faults().next().is_some() {
        complain(&report.render(color()));
    }
    start_log(config.log);
    let app = match App::bind(config, report, World::system()) {
        Ok(app) => app,
        Err(StartError::Routes(report)) => {
            complain(&report.render(color()));
            return ExitCode::from(FAULTY);
        }
        Err(error) => {
            complain(&format!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    if arguments.dry_run {
        return ExitCode::SUCCESS;
    }
    for address in app.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = app.admin_address() {
        tracing::info!(%address, "metrics, health and admin API");
    }
    match serve(app) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(app: App) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("draining; a second signal ends at once");
            tokio::spawn(async move {
                tokio::select! {
                    _ = interrupt.recv() => std::process::exit(130),
                    _ = terminate.recv() => std::process::exit(143),
                }
            });
        };
        app.run(stop).await?;
        tracing::info!("drained");
        Ok(())
    })
}
