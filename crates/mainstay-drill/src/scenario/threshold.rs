//! What must hold, as text that people write: `recovery < 30s`.
//! It must not know where the numbers come from.

use std::{fmt, str::FromStr};

use mainstay::config::text;
use serde::{Deserialize, Serialize};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// A share, in percent.
    Share,
    /// Time, in milliseconds.
    Time,
}

macro_rules! metrics {
    ($($variant:ident $word:literal $unit:ident $label:literal),* $(,)?) => {
        /// What is measured.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric { $(#[doc = $label] $variant),* }

        impl Metric {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in thresholds.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// For people.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),* }
            }

            /// What its number counts.
            pub fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit),* }
            }
        }
    };
}

metrics! {
    Failed "failed" Count "failed requests",
    FailedReads "failed_reads" Count "failed reads",
    ErrorRate "error_rate" Share "error rate",
    ReadErrorRate "read_error_rate" Share "error rate of reads",
    FailedAfter "failed_after" Count "failed requests after recovery",
    Recovery "recovery" Time "recovery",
    Opened "opened" Time "breaker open after the fault",
    Lost "lost" Count "acknowledged writes lost",
    DeletedBack "deleted_back" Count "deleted keys back",
    StaleAfter "stale_after" Count "stale reads after recovery",
    Stale "stale" Count "stale reads in all",
    Unexplained "unexplained" Count "values that nobody wrote",
    MedianSteady "p50_steady" Time "median latency before the fault",
    TailSteady "p99_steady" Time "99th percentile before the fault",
    MedianFault "p50_fault" Time "median latency in the fault",
    TailFault "p99_fault" Time "99th percentile in the fault",
    SlowestFault "max_fault" Time "slowest request in the fault",
    SlowestRefusal "max_refusal" Time "slowest refusal",
    HitRate "hit_rate_steady" Share "reads from the cache before the fault",
    Fallback "fallback_steady" Share "fallbacks before the fault",
    DatabaseInflight "db_inflight" Count "calls in flight on the database at most",
    LockOverlaps "lock_overlaps" Count "two holders of one lock at once",
    LockDisorder "lock_disorder" Count "fencing tokens out of order",
    LocksGranted "locks_granted" Count "locks granted",
}

/// How a number is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Is,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
}

impl Relation {
    const ALL: [(&'static str, Self); 5] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Is),
        ("<", Self::Below),
        (">", Self::Above),
    ];

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Below => left < right,
            Self::AtMost => left <= right,
            Self::Is => (left - right).abs() < 1e-9,
            Self::AtLeast => left >= right,
            Self::Above => left > right,
        }
    }

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, each)| *each == self).map_or("==", |(word, _)| word)
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Threshold {
    /// What is measured.
    pub metric: Metric,
    /// How it is compared.
    pub relation: Relation,
    /// With what: a count, a percentage, or milliseconds.
    pub bound: f64,
    shown: String,
}

impl Threshold {
    /// Whether this number meets it. What never happened meets nothing.
    pub fn holds(&self, measured: Option<f64>) -> bool {
        measured.is_some_and(|measured| self.relation.holds(measured, self.bound))
    }

    /// For people: `failed requests == 0`.
    pub fn label(&self) -> String {
        format!("{} {} {}", self.metric.label(), self.relation.as_str(), self.shown)
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Relation::ALL.iter().find_map(|(word, relation)| {
            let (left, right) = text.split_once(word)?;
            Some((left.trim(), *relation, right.trim()))
        });
        let (word, relation, shown) =
            found.ok_or_else(|| format!("`{text}` is no threshold: it reads `recovery < 30s`"))?;
        let known = || {
            let words: Vec<&str> = Metric::ALL.iter().map(|metric| metric.as_str()).collect();
            format!("`{word}` is not measured; there are {}", words.join(", "))
        };
        let metric = Metric::ALL.iter().copied().find(|metric| metric.as_str() == word);
        let metric = metric.ok_or_else(known)?;
        let bound = bound_of(metric.unit(), shown).map_err(|why| format!("`{text}`: {why}"))?;
        Ok(Self { metric, relation, bound, shown: shown.to_owned() })
    }
}

fn bound_of(unit: Unit, text: &str) -> Result<f64, String> {
    match unit {
        Unit::Time => Ok(text::parse_duration(text)?.as_secs_f64() * 1e3),
        Unit::Count => text.replace(',', "").parse().map_err(|_| format!("{text} is no number")),
        Unit::Share => {
            let number = text.strip_suffix('%').map(str::trim_end).and_then(|n| n.parse().ok());
            number.ok_or_else(|| format!("{text} is no share; it reads 1%"))
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.metric.as_str(), self.relation.as_str(), self.shown)
    }
}

impl TryFrom<String> for Threshold {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Threshold> for String {
    fn from(threshold: Threshold) -> Self {
        threshold.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_read_with_their_units_and_written_as_they_were() {
        for (text, bound) in [
            ("failed == 0", 0.0),
            ("recovery < 30s", 30_000.0),
            ("error_rate <= 0.5%", 0.5),
            ("p99_fault < 250ms", 250.0),
            ("locks_granted >= 1,000", 1000.0),
        ] {
            let threshold: Threshold = text.parse().unwrap();
            assert!((threshold.bound - bound).abs() < 1e-9, "{text}");
            assert_eq!(threshold.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| text.parse::<Threshold>().unwrap_err();
        assert!(error("failed").contains("recovery < 30s"));
        assert!(error("fails == 0").contains("there are failed, "));
        assert!(error("recovery < 30").contains("unit"));
        assert!(error("error_rate < 1").contains("1%"));
    }

    #[test]
    fn a_number_meets_it_or_not_and_nothing_never_does() {
        let threshold: Threshold = "recovery < 2s".parse().unwrap();
        assert!(threshold.holds(Some(1999.0)) && !threshold.holds(Some(2000.0)));
        assert!(!threshold.holds(None));
        let threshold: Threshold = "lost == 0".parse().unwrap();
        assert!(threshold.holds(Some(0.0)) && !threshold.holds(Some(1.0)));
        assert_eq!(threshold.label(), "acknowledged writes lost == 0");
    }

    #[test]
    fn every_metric_has_a_word_of_its_own() {
        let mut words: Vec<&str> = Metric::ALL.iter().map(|metric| metric.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Metric::ALL.len());
    }
}
