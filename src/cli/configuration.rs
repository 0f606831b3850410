//! Reading the configuration file for any command that needs one.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::console::{Failure, color, complain};
use crate::config::{self, Config, Inputs, Override, Report};

/// Which configuration.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigFile {
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(super) path: PathBuf,
}

/// A configuration's text, and what else it is read from.
pub(super) struct Source {
    name: String,
    text: String,
    environment: BTreeMap<String, String>,
    flags: Vec<Override>,
}

// === impl ConfigFile ===

impl ConfigFile {
    /// Reads the file and resolves it with the environment of this process, in silence about warnings.
    pub(super) fn load(&self) -> Result<Config, Failure> {
        let (config, _) = Source::read(&self.path, Vec::new())?.resolve()?;
        Ok(config)
    }
}

// === impl Source ===

impl Source {
    /// Reads a file, and the environment of this process.
    pub(super) fn read(path: &Path, flags: Vec<Override>) -> Result<Self, Failure> {
        Self::open(path, flags).map_err(|error| {
            Failure::Faulty(format!("error: cannot read the configuration `{}`: {error}", path.display()))
        })
    }

    /// The same, with the system's word for why not.
    pub(super) fn open(path: &Path, flags: Vec<Override>) -> std::io::Result<Self> {
        let text = String::from_utf8(std::fs::read(path)?).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("expected UTF-8, found other bytes on line {line}"),
            )
        })?;
        Ok(Self { name: path.display().to_string(), text, environment: environment(), flags })
    }

    /// A text of this program's own, which nothing of the environment changes.
    pub(super) fn own(name: &str, text: String) -> Self {
        Self { name: name.to_owned(), text, environment: BTreeMap::new(), flags: Vec::new() }
    }

    /// What the file is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What `config` reads from.
    pub(super) fn inputs(&self) -> Inputs<'_> {
        Inputs {
            text: &self.text,
            name: &self.name,
            environment: &self.environment,
            flags: &self.flags,
            files: &|path| std::fs::read_to_string(path),
        }
    }

    /// The files whose contents are part of it, certificates among them, as far as it can be read at all.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let read = RefCell::new(Vec::new());
        let inputs = Inputs {
            files: &|path| {
                read.borrow_mut().push(path.to_owned());
                std::fs::read_to_string(path)
            },
            ..self.inputs()
        };
        let resolved = config::resolve(&inputs);
        let mut files = read.into_inner();
        if let Ok((config, _)) = resolved {
            let pairs = config.edge.tls.into_iter().flat_map(|tls| tls.certificates);
            files.extend(pairs.flat_map(|pair| [pair.cert, pair.key]));
            files.extend(config.upstreams.into_iter().filter_map(|upstream| upstream.ca));
        }
        files
    }

    /// The configuration and its warnings, or all its faults.
    pub(super) fn resolve(&self) -> Result<(Config, Report), Failure> {
        config::resolve(&self.inputs()).map_err(|report| Failure::Faulty(report.render(color())))
    }
}

/// Tells warnings to whoever started the command.
pub(super) fn warn(report: &Report) {
    if !report.is_empty() {
        complain(&report.render(color()));
    }
}

/// The environment; variables that are not UTF-8 left out.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
