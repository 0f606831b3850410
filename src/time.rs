//! Wall-clock time as messages and stores write it. Nothing here reads a clock.
//!
//! 1. [`UnixTime`] is milliseconds since 1970-01-01T00:00:00Z; it is an argument everywhere below the edge.
//! 2. RFC 3339 is read strictly (message.md section 2, `time`): a real Gregorian date, hours to 23, minutes
//!    and seconds to 59 — `:60` is refused, because readers disagree on its instant —, at most nine digits
//!    of fraction, an offset or `Z`, `T` and `Z` in either case. Years run from 0000 to 9999.
//! 3. What is cut is cut towards the past: a fraction beyond milliseconds is truncated.

use std::fmt;

/// Milliseconds since the Unix epoch; negative before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

/// Where wall-clock time comes from. Implemented by the outermost floor, and by tests.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> UnixTime;
}

impl UnixTime {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Later by so many milliseconds; stays at the end of time rather than wrap.
    /// So much later; what would be past the end of time is the end of time.
    pub fn plus(self, length: std::time::Duration) -> Self {
        self.plus_millis(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
    }

    /// So many milliseconds later.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to here; negative if here is before it.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads an RFC 3339 time, or nothing if it is not one to the letter.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        // `YYYY-MM-DDTHH:MM:SS` and at least a `Z`; with fraction and offset no more than 35.
        if !(20..=35).contains(&bytes.len()) {
            return None;
        }
        let punctuation = bytes[4] == b'-' && bytes[7] == b'-' && bytes[13] == b':' && bytes[16] == b':';
        if !punctuation || !bytes[10].eq_ignore_ascii_case(&b'T') {
            return None;
        }
        let year = digits(&bytes[0..4])?;
        let month = digits(&bytes[5..7])?;
        let day = digits(&bytes[8..10])?;
        let (hour, minute, second) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?);
        let month_known = (1..=12).contains(&month);
        if !month_known || !(1..=days_in_month(year, month)).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (fraction_ms, rest) = fraction(&bytes[19..])?;
        let offset_minutes = offset(rest)?;
        let secs =
            days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_minutes * 60;
        Some(Self(secs * 1000 + fraction_ms))
    }
}

/// `YYYY-MM-DDTHH:MM:SS.sssZ`, the form in which this project writes times.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(86_400_000);
        let in_day = self.0.rem_euclid(86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |value, b| b.is_ascii_digit().then(|| value * 10 + i64::from(b - b'0')))
}

/// Reads `[ "." 1*9DIGIT ]`: milliseconds, and what follows.
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = bytes.split_first() else {
        return Some((0, bytes));
    };
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let kept = count.min(3);
    let millis = digits(&rest[..kept])? * [100, 10, 1][kept - 1];
    Some((millis, &rest[count..]))
}

/// Reads `Z` or `+hh:mm`: minutes east of UTC.
fn offset(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let total = hours * 60 + minutes;
            Some(if *sign == b'-' { -total } else { total })
        }
        _ => None,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a Gregorian date, counted in eras of 400 years that begin in March, so that
/// the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The Gregorian date of a count of days: the inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_of_year = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_of_year + 2) / 5 + 1;
    let month = if month_of_year < 10 { month_of_year + 3 } else { month_of_year - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_understood() {
        let rows = [
            ("epoch", "1970-01-01T00:00:00Z", 0),
            ("lower case letters", "1970-01-01t00:00:01z", 1000),
            ("fraction is cut", "2026-03-26T10:05:00.9999Z", 1_774_519_500_999),
            ("one digit of fraction", "1970-01-01T00:00:00.5Z", 500),
            ("nine digits of fraction", "1970-01-01T00:00:00.123456789Z", 123),
            ("east of UTC", "1970-01-01T02:00:00+02:00", 0),
            ("west of UTC", "1969-12-31T18:30:00-05:30", 0),
            ("unknown offset is UTC", "1970-01-01T00:00:00-00:00", 0),
            ("leap day", "2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("year 0000", "0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("year 9999", "9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ];
        for (name, text, millis) in rows {
            assert_eq!(UnixTime::parse_rfc3339(text), Some(UnixTime::from_millis(millis)), "{name}");
        }
    }

    #[test]
    fn times_that_are_refused() {
        for text in [
            "",
            "2026-03-26",
            "2026-03-26 10:05:00Z",
            "2026-03-26T10:05:00",
            "2026-03-26T10:05Z",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-12-31T23:59:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00ZZ",
            "+026-01-01T00:00:00Z",
            "２026-01-01T00:00:00Z",
            "2026-01-01T00:00:00,5Z",
        ] {
            assert_eq!(UnixTime::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn printing_is_the_inverse_of_reading() {
        for days in (-719_528..2_932_896).step_by(997) {
            let time = UnixTime::from_millis(days * 86_400_000 + 45_296_789);
            assert_eq!(UnixTime::parse_rfc3339(&time.to_string()), Some(time));
        }
    }
}
