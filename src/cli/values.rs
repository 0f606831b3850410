//! Values of arguments that several commands take.

use std::time::Duration;

use crate::{config::amounts, time::UnixTime};

/// A duration, as the configuration writes it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    amounts::duration(text).map_err(|error| error.to_string())
}

/// A time, as messages write it.
pub(super) fn time(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text).ok_or_else(|| "expected an RFC 3339 time such as 2026-01-31T12:00:00Z".to_owned())
}
