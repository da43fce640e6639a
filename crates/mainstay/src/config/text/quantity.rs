//! Serde for durations and sizes written with a unit.
//! It must not know which value it reads.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

use super::bare_number;

/// A quantity as written; a number without a unit is refused with the fix.
struct Written(String);

struct WrittenVisitor {
    rule: &'static str,
    usual: &'static str,
}

impl Visitor<'_> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text: {}", self.rule)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
        Ok(Written(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Written, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Written, E> {
        Err(E::custom(bare_number(&number.to_string(), self.rule, self.usual)))
    }
}

const DURATION: WrittenVisitor = WrittenVisitor { rule: super::DURATION_RULE, usual: "s" };
const SIZE: WrittenVisitor = WrittenVisitor { rule: super::SIZE_RULE, usual: "MiB" };

/// One duration, for the containers below.
struct WrittenDuration(std::time::Duration);

impl<'de> Deserialize<'de> for WrittenDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration::deserialize(deserializer).map(Self)
    }
}

/// Serde for a duration.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserializer, Serializer, de::Error};

    use super::super::{format_duration, parse_duration};

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
        let written = deserializer.deserialize_any(super::DURATION)?;
        parse_duration(&written.0).map_err(D::Error::custom)
    }
}

/// Serde for an optional duration.
pub mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{super::format_duration, WrittenDuration};

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
        Ok(Option::<WrittenDuration>::deserialize(deserializer)?.map(|written| written.0))
    }
}

/// Serde for durations by name.
pub mod durations {
    use std::{collections::BTreeMap, time::Duration};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{super::format_duration, WrittenDuration};

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
        let written = BTreeMap::<String, WrittenDuration>::deserialize(deserializer)?;
        Ok(written.into_iter().map(|(name, written)| (name, written.0)).collect())
    }
}

/// Serde for a size in bytes.
pub mod size {
    use serde::{Deserializer, Serializer, de::Error};

    use super::super::{format_size, parse_size};

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
        let written = deserializer.deserialize_any(super::SIZE)?;
        parse_size(&written.0).map_err(D::Error::custom)
    }
}
