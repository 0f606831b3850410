//! Amounts with a unit, as configuration strings: durations, sizes and rates.
//!
//! 1. One whole number and one unit, nothing between them: `300ms`, `32KiB`, `50/s`. No fractions, no signs, no
//!    sums such as `1h30m`: one amount has few spellings, and every one of them is read the same everywhere.
//! 2. A unit is required, for zero too; a bare number would mean something else in every other program.
//! 3. Sizes are powers of 1024 and say so. `KB` and `MB` are refused: half of the world means 1000 by them.
//! 4. Writing is the inverse of reading, in the largest unit that leaves a whole number.

use std::time::Duration;

use thiserror::Error;

use crate::gate::settings::Rate;

/// Why a text is not an amount. The text itself is left to the caller, who knows whether it may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not a number with one of the units of time.
    #[error("expected a duration such as `300ms`, `5s`, `10m`, `24h` or `30d`")]
    Duration,
    /// More than this program can count.
    #[error("expected an amount that fits into 64 bits")]
    Overflow,
    /// Not a number, a slash and a unit of time.
    #[error("expected a rate such as `50/s`, `20/m` or `100/h`, at least one")]
    Rate,
    /// Not a number with one of the units of size.
    #[error("expected a size such as `512B`, `32KiB`, `10MiB` or `1GiB`")]
    Size,
}

impl AmountError {
    /// What would have been right, to follow "expected".
    pub(crate) fn expected(self) -> String {
        self.to_string().trim_start_matches("expected ").to_owned()
    }
}

/// A bound in bytes, or the word that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Bytes(u64),
    /// No bound.
    Unlimited,
}

/// Units of time in milliseconds, the largest first.
const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size in bytes, the largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Units of a rate in seconds.
const RATE_UNITS: [(&str, u32); 3] = [("s", 1), ("m", 60), ("h", 3600)];

/// Reads a duration.
pub fn duration(text: &str) -> Result<Duration, AmountError> {
    let millis = amount(text, &DURATION_UNITS, AmountError::Duration)?;
    Ok(Duration::from_millis(millis))
}

/// Writes a duration; below a millisecond nothing is kept, as nothing below it can be read.
pub fn write_duration(duration: Duration) -> String {
    write(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS, "0s")
}

/// Reads a size in bytes.
pub fn bytes(text: &str) -> Result<u64, AmountError> {
    amount(text, &SIZE_UNITS, AmountError::Size)
}

/// Writes a size.
pub fn write_size(size: Size) -> String {
    match size {
        Size::Bytes(bytes) => write(bytes, &SIZE_UNITS, "0B"),
        Size::Unlimited => "unlimited".to_owned(),
    }
}

/// Reads a rate. Alone it lets as many come at once as it names, which is what a reader of `50/s` expects.
pub fn rate(text: &str) -> Result<Rate, AmountError> {
    let (count, unit) = text.split_once('/').ok_or(AmountError::Rate)?;
    let (_, secs) = RATE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(AmountError::Rate)?;
    let count = whole(count, AmountError::Rate)?;
    let burst = u32::try_from(count).map_err(|_| AmountError::Overflow)?;
    if burst == 0 {
        return Err(AmountError::Rate);
    }
    Ok(Rate { per_second: f64::from(burst) / f64::from(*secs), burst })
}

/// Writes how many events a second, minute or hour: the first unit in which they are whole.
pub fn write_rate(per_second: f64) -> String {
    for (unit, secs) in RATE_UNITS {
        let count = per_second * f64::from(secs);
        // A rate was read as a whole number divided by `secs`; the division loses less than this.
        if count >= 1.0 && (count - count.round()).abs() < 1e-6 {
            return format!("{}/{unit}", count.round());
        }
    }
    format!("{}/h", (per_second * 3600.0).ceil())
}

fn amount(text: &str, units: &[(&str, u64)], fault: AmountError) -> Result<u64, AmountError> {
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or(fault)?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or(fault)?;
    whole(number, fault)?.checked_mul(*factor).ok_or(AmountError::Overflow)
}

/// Reads a number of digits alone; `u64::from_str` would take a `+` too.
fn whole(text: &str, fault: AmountError) -> Result<u64, AmountError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fault);
    }
    text.parse().map_err(|_| AmountError::Overflow)
}

fn write(amount: u64, units: &[(&str, u64)], zero: &str) -> String {
    let unit = units.iter().find(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor));
    unit.map_or_else(|| zero.to_owned(), |(name, factor)| format!("{}{name}", amount / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let millis = |millis| Ok(Duration::from_millis(millis));
        let rows = [
            ("zero", "0s", millis(0)),
            ("milliseconds", "300ms", millis(300)),
            ("seconds", "5s", millis(5000)),
            ("minutes", "10m", millis(600_000)),
            ("hours", "24h", millis(86_400_000)),
            ("days", "30d", millis(2_592_000_000)),
            ("leading zero", "05s", millis(5000)),
            ("largest", "18446744073709551615ms", millis(u64::MAX)),
            ("above the largest", "18446744073709551616ms", Err(AmountError::Overflow)),
            ("product above the largest", "18446744073709551615s", Err(AmountError::Overflow)),
            ("nothing", "", Err(AmountError::Duration)),
            ("no unit", "5", Err(AmountError::Duration)),
            ("no number", "s", Err(AmountError::Duration)),
            ("unknown unit", "5w", Err(AmountError::Duration)),
            ("upper case", "5S", Err(AmountError::Duration)),
            ("blank between", "5 s", Err(AmountError::Duration)),
            ("blank after", "5s ", Err(AmountError::Duration)),
            ("fraction", "1.5s", Err(AmountError::Duration)),
            ("sign", "+5s", Err(AmountError::Duration)),
            ("negative", "-5s", Err(AmountError::Duration)),
            ("sum", "1h30m", Err(AmountError::Duration)),
            ("other digits", "５s", Err(AmountError::Duration)),
        ];
        for (name, text, expected) in rows {
            assert_eq!(duration(text), expected, "{name}");
        }
    }

    #[test]
    fn sizes() {
        let rows = [
            ("zero", "0B", Ok(0)),
            ("bytes", "512B", Ok(512)),
            ("kibibytes", "32KiB", Ok(32_768)),
            ("mebibytes", "10MiB", Ok(10_485_760)),
            ("gibibytes", "1GiB", Ok(1_073_741_824)),
            ("largest", "17179869183GiB", Ok(18_446_744_072_635_809_792)),
            ("above the largest", "17179869184GiB", Err(AmountError::Overflow)),
            ("thousands", "32KB", Err(AmountError::Size)),
            ("no unit", "1024", Err(AmountError::Size)),
            ("no number", "KiB", Err(AmountError::Size)),
            ("lower case", "32kib", Err(AmountError::Size)),
            ("word", "unlimited", Err(AmountError::Size)),
            ("nothing", "", Err(AmountError::Size)),
        ];
        for (name, text, expected) in rows {
            assert_eq!(bytes(text), expected, "{name}");
        }
    }

    #[test]
    fn rates() {
        let rows = [
            ("a second", "50/s", Ok(Rate { per_second: 50.0, burst: 50 })),
            ("a minute", "30/m", Ok(Rate { per_second: 0.5, burst: 30 })),
            ("an hour", "3600/h", Ok(Rate { per_second: 1.0, burst: 3600 })),
            ("the least", "1/s", Ok(Rate { per_second: 1.0, burst: 1 })),
            ("none", "0/s", Err(AmountError::Rate)),
            ("largest", "4294967295/s", Ok(Rate { per_second: 4_294_967_295.0, burst: u32::MAX })),
            ("above the largest", "4294967296/s", Err(AmountError::Overflow)),
            ("a day", "50/d", Err(AmountError::Rate)),
            ("no unit", "50/", Err(AmountError::Rate)),
            ("no slash", "50", Err(AmountError::Rate)),
            ("no number", "/s", Err(AmountError::Rate)),
            ("fraction", "0.5/s", Err(AmountError::Rate)),
            ("blank", "50 /s", Err(AmountError::Rate)),
        ];
        for (name, text, expected) in rows {
            assert_eq!(rate(text), expected, "{name}");
        }
    }

    #[test]
    fn writing_is_the_inverse_of_reading() {
        for text in ["0s", "1ms", "1001ms", "59s", "1m", "90m", "1h", "25h", "7d"] {
            assert_eq!(duration(text).map(write_duration).as_deref(), Ok(text));
        }
        for text in ["0B", "1B", "1025B", "1KiB", "8KiB", "10MiB", "1GiB"] {
            assert_eq!(bytes(text).map(Size::Bytes).map(write_size).as_deref(), Ok(text));
        }
        for text in ["1/s", "50/s", "7/m", "100/h"] {
            assert_eq!(rate(text).map(|rate| write_rate(rate.per_second)).as_deref(), Ok(text));
        }
    }
}
