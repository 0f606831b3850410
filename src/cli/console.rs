//! What a command says, and where: results on standard output, everything else on standard error.
//!
//! A command that cannot give its result returns a [`Failure`]; only this file knows what that looks like.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    sync::OnceLock,
};

use clap::ColorChoice;

/// The command failed, or the answer is no.
pub(super) const NO: u8 = 1;

/// The configuration is wrong.
pub(super) const FAULTY: u8 = 2;

/// The command was called wrongly.
pub(super) const USAGE: u8 = 64;

/// Why a command ends without its result.
#[derive(Debug)]
pub(super) enum Failure {
    /// It failed, for this reason.
    Failed(String),
    /// The configuration is wrong. The text is a whole report.
    Faulty(String),
    /// Nobody reads the result any more; there is nothing left to say and nobody to say it to.
    Unread,
    /// It was called wrongly.
    Usage(String),
}

// === impl Failure ===

impl Failure {
    /// A failure of this program or of what it leans on.
    pub(super) fn failed(reason: impl ToString) -> Self {
        Self::Failed(reason.to_string())
    }

    /// A mistake in the arguments.
    pub(super) fn usage(reason: impl ToString) -> Self {
        Self::Usage(reason.to_string())
    }

    /// Says what is wrong, and gives the exit code that tells it to programs.
    pub(super) fn report(&self) -> ExitCode {
        self.report_by(complain)
    }

    /// The same, said in this way.
    pub(super) fn report_by(&self, complain: impl FnOnce(&str)) -> ExitCode {
        match self {
            Self::Failed(reason) => {
                complain(&format!("error: {reason}"));
                ExitCode::from(NO)
            }
            Self::Faulty(report) => {
                complain(report);
                ExitCode::from(FAULTY)
            }
            Self::Unread => ExitCode::from(NO),
            Self::Usage(reason) => {
                complain(&format!("error: {reason}"));
                ExitCode::from(USAGE)
            }
        }
    }
}

/// A failure to write a result.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Failed(format!("cannot write the result: {error}")),
        }
    }
}

/// Writes a result and a line end.
pub(super) fn say(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.as_ref())?;
    out.flush()?;
    Ok(())
}

/// Writes a JSON result on lines of its own, to be read by people too.
pub(super) fn say_json(value: &serde_json::Value) -> Result<(), Failure> {
    // The alternate form of a JSON value is the indented one.
    say(format!("{value:#}"))
}

/// A head and rows as a table for people, its columns as wide as they must be.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let lines = rows.iter().map(|row| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Says something on standard error.
pub(super) fn complain(text: &str) {
    // Nobody is there to be told that nobody reads.
    let _ = writeln!(io::stderr(), "{}", text.trim_end());
}

/// What the command line says about colours. It holds for the whole process, as the terminal does.
static COLOR: OnceLock<ColorChoice> = OnceLock::new();

/// Decides about colours; the first decision stays.
pub(super) fn choose_color(choice: ColorChoice) {
    let _ = COLOR.set(choice);
}

/// Whether standard error is read by a person who sees colours.
pub(super) fn color() -> bool {
    match COLOR.get() {
        Some(ColorChoice::Always) => true,
        Some(ColorChoice::Never) => false,
        Some(ColorChoice::Auto) | None => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// The exit code of an answer.
pub(super) fn yes_or_no(yes: bool) -> ExitCode {
    if yes { ExitCode::SUCCESS } else { ExitCode::from(NO) }
}
