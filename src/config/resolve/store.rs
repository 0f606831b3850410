//! `[store]`: which store, and how long it may take.

use crate::{
    config::{report::Report, section::Section},
    store::{Backend, Settings},
};

/// Reads `[store]`, or nothing if its URL is of no store.
pub(super) fn settings(section: &Section, report: &mut Report) -> Option<Settings> {
    Some(Settings {
        backend: backend(section, report)?,
        timeout: section.duration("timeout"),
        require_at_start: section.flag("require_at_start"),
    })
}

fn backend(section: &Section, report: &mut Report) -> Option<Backend> {
    let url = section.text("url");
    match url.value.split_once(':') {
        Some(("sqlite", ":memory:")) => return Some(Backend::SqliteMemory),
        // `?` would begin options, which this build has none of.
        Some(("sqlite", path)) if !path.is_empty() && !path.starts_with(':') && !path.contains('?') => {
            return Some(Backend::Sqlite(path.into()));
        }
        Some((scheme @ ("redis" | "rediss" | "postgres" | "postgresql"), _)) => {
            let title = format!("`store.url` with `{scheme}:` is not built yet");
            report.error(&url.place, title, "expected `sqlite:FILE` or `sqlite::memory:`");
        }
        _ => {
            let title = format!("`store.url` is no store: `{}`", url.shown);
            report.error(&url.place, title, "expected `sqlite:FILE` or `sqlite::memory:`");
        }
    }
    None
}
