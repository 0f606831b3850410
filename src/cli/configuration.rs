//! Reading the configuration file for any command that needs one.

use std::{collections::BTreeMap, io::IsTerminal as _, path::Path, process::ExitCode};

use crate::config::{self, Config, Inputs, Override, Report};

/// The configuration is wrong.
pub const FAULTY: u8 = 2;

/// Reads a file and resolves it with the environment of this process.
pub fn load(path: &Path, flags: &[Override]) -> Result<(Config, Report), ExitCode> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        complain(&format!("error: cannot read the configuration `{}`: {error}", path.display()));
        ExitCode::from(FAULTY)
    })?;
    let name = path.display().to_string();
    let environment = environment();
    let inputs = Inputs {
        text: &text,
        name: &name,
        environment: &environment,
        flags,
        files: &|path| std::fs::read_to_string(path),
    };
    config::resolve(&inputs).map_err(|report| {
        complain(&report.render(color()));
        ExitCode::from(FAULTY)
    })
}

/// The environment; variables that are not UTF-8 left out.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Whether standard error is read by a person who sees colours.
pub fn color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Says something on standard error.
pub fn complain(text: &str) {
    use std::io::Write as _;
    // Nobody is there to be told that nobody reads.
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}
