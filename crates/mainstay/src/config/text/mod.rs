//! How durations, sizes and secret URLs are written: `250ms`, `5s`, `64MiB`, `redis://***@host`.
//! It must not know which value it reads.

use std::time::Duration;

mod quantity;
#[cfg(feature = "schema")]
mod schema;
mod url;

#[cfg(feature = "schema")]
pub use schema::{DurationText, SizeText};
pub(super) use url::redacted_url;
pub use url::{redact_url, shown_option};
// Named by `#[serde(with = "text::...")]`.
pub use quantity::{duration, durations, optional_duration, size};

#[cfg(test)]
mod tests;

/// What a duration looks like.
pub const DURATION_RULE: &str = "a duration has a unit, as in 250ms, 5s, 10m, 1h or 7d";
/// What a size looks like.
pub const SIZE_RULE: &str = "a size has a unit, as in 512KiB, 64MiB or 1GiB";
/// Longer texts are not repeated in an error: they may be anything, a secret too.
const ECHO_MAX: usize = 24;

const DURATION_UNITS: [(&str, u64); 6] = [
    ("ms", 1_000_000),
    ("us", 1_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];
const SIZE_UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Reads `250ms`, `5s`, `10m`, `7d`, `1.5h`; whole microseconds, and one at least of what is above zero, since nothing finer
/// can be written.
///
/// # Errors
/// The problem and the fix, in words.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let nanos = parse_quantity(text, &DURATION_UNITS, DURATION_RULE, "s")?;
    Ok(Duration::from_micros((nanos / 1000).max(u64::from(nanos > 0))))
}

/// Reads `64MiB`, `512KB`, `100B`.
///
/// # Errors
/// The problem and the fix, in words.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse_quantity(text, &SIZE_UNITS, SIZE_RULE, "MiB")
}

fn parse_quantity(
    text: &str,
    units: &[(&str, u64)],
    rule: &str,
    usual: &str,
) -> Result<u64, String> {
    let wrong = || {
        if text.len() > ECHO_MAX {
            rule.to_owned()
        } else if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            bare_number(text, rule, usual)
        } else {
            format!("`{}`: {rule}", text.escape_debug())
        }
    };
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let too_large = || format!("`{unit}` times that number is too large");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*factor).ok_or_else(too_large);
    }
    let fraction: f64 = number.parse().map_err(|_| wrong())?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded below, saturating above"
    )]
    let scaled = (fraction * *factor as f64) as u64;
    // What is above zero stays so.
    let scaled = scaled.max(u64::from(fraction > 0.0));
    if scaled == u64::MAX { Err(too_large()) } else { Ok(scaled) }
}

/// The error for a number without a unit, with the fix.
fn bare_number(number: &str, rule: &str, usual: &str) -> String {
    format!("{number} has no unit: {rule}; write \"{number}{usual}\" if that is what is meant")
}

/// Writes a duration in the largest unit that holds it whole.
pub fn format_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    format_quantity(
        nanos,
        &[
            ("d", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
        ],
    )
}

/// Writes a size in the largest unit that holds it whole.
pub fn format_size(bytes: u64) -> String {
    format_quantity(bytes, &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)])
}

fn format_quantity(amount: u64, units: &[(&str, u64)]) -> String {
    let smallest = units[units.len() - 1];
    if amount == 0 {
        return format!("0{}", smallest.0);
    }
    let (unit, factor) = units
        .iter()
        .copied()
        .find(|(_, factor)| amount.is_multiple_of(*factor))
        .unwrap_or(smallest);
    format!("{}{unit}", amount / factor)
}
