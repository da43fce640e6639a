//! How durations, sizes and secret URLs are written: `250ms`, `5s`, `64MiB`, `redis://***@host`.
//! It must not know which value it reads.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// Reads `250ms`, `5s`, `10m`, `7d`, `1.5h`.
///
/// # Errors
/// The problem and the fix, in words.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let nanos = parse_quantity(
        text,
        &DURATION_UNITS,
        "a duration has a unit, as in 250ms, 5s, 10m, 1h or 7d",
    )?;
    Ok(Duration::from_nanos(nanos))
}

/// Reads `64MiB`, `512KB`, `100B`.
///
/// # Errors
/// The problem and the fix, in words.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse_quantity(text, &SIZE_UNITS, "a size has a unit, as in 512KiB, 64MiB or 1GiB")
}

fn parse_quantity(text: &str, units: &[(&str, u64)], rule: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let Some(factor) = factor else { return Err(format!("`{text}`: {rule}")) };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"));
    }
    let fraction: f64 = number.parse().map_err(|_| format!("`{text}`: {rule}"))?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded below, saturating above"
    )]
    let scaled = (fraction * factor as f64) as u64;
    if scaled == u64::MAX { Err(format!("`{text}` is too large")) } else { Ok(scaled) }
}

/// Writes a duration in the largest unit that holds it whole.
pub fn format_duration(duration: Duration) -> String {
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

/// The URL without user and password, and without the values of its query: `redis://***@host:6379/0`.
pub fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url
            .split_once(':')
            .map_or_else(|| "***".to_owned(), |(scheme, path)| format!("{scheme}:{path}"));
    };
    let (before_query, query) =
        rest.split_once('?').map_or((rest, ""), |(before, query)| (before, query));
    let authority_end = before_query.find('/').unwrap_or(before_query.len());
    let (authority, path) = before_query.split_at(authority_end);
    let (mark, host) =
        authority.rsplit_once('@').map_or(("", authority), |(_, host)| ("***@", host));
    let query = if query.is_empty() { "" } else { "?***" };
    format!("{scheme}://{mark}{host}{path}{query}")
}

pub(super) fn redacted_url<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&redact_url(url))
}

/// Serde for a duration.
pub mod duration {
    use super::{Deserialize, Deserializer, Duration, Serializer, format_duration, parse_duration};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*duration))
    }

    /// Reads it.
    ///
    /// # Errors
    /// A bare number or an unknown unit, with the fix.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map_err(serde::de::Error::custom)
    }
}

/// Serde for an optional duration.
pub mod optional_duration {
    use super::{Deserialize, Deserializer, Duration, Serializer, format_duration, parse_duration};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_str(&format_duration(*duration)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// A bare number or an unknown unit, with the fix.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| parse_duration(&text).map_err(serde::de::Error::custom)).transpose()
    }
}

/// Serde for durations by name.
pub mod durations {
    use super::{
        BTreeMap, Deserialize, Deserializer, Duration, Serialize, Serializer, format_duration,
        parse_duration,
    };

    /// Writes them.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(
        map: &BTreeMap<String, Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let texts: BTreeMap<&String, String> =
            map.iter().map(|(name, value)| (name, format_duration(*value))).collect();
        texts.serialize(serializer)
    }

    /// Reads them.
    ///
    /// # Errors
    /// A bare number or an unknown unit, with the fix.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Duration>, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let parse = |(name, text): (String, String)| {
            Ok((name, parse_duration(&text).map_err(serde::de::Error::custom)?))
        };
        texts.into_iter().map(parse).collect()
    }
}

/// Serde for a size in bytes.
pub mod size {
    use super::{Deserialize, Deserializer, Serializer, format_size, parse_size};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_size(*bytes))
    }

    /// Reads it.
    ///
    /// # Errors
    /// A bare number or an unknown unit, with the fix.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_size(&text).map_err(serde::de::Error::custom)
    }
}
