//! The configured store, for commands that read or write it beside a gateway that runs.

use tokio::runtime::Runtime;

use super::{configuration::ConfigFile, console::Failure};
use crate::{
    config::Config,
    store::{self, Backend, Settings, Store},
};

/// Opens the store, and makes a runtime to ask it on. A store that does not open is a failure here, whatever the
/// configuration says about the start of a gateway: nobody will ask again later.
pub(super) fn open(config: &Config) -> Result<(Runtime, Store), Failure> {
    let settings = Settings { require_at_start: true, ..config.store.clone() };
    let store = store::open(&settings).map_err(|error| Failure::Failed(format!("the store does not open: {error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    Ok((runtime, store))
}

/// The configuration, if its store outlives a process.
pub(super) fn configuration(file: &ConfigFile) -> Result<Config, Failure> {
    let config = file.load()?;
    if config.store.backend == Backend::SqliteMemory {
        let reason = "this configuration keeps its store in the memory of the gateway; ask its admin API instead";
        return Err(Failure::failed(reason));
    }
    Ok(config)
}
