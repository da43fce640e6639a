//! From what was counted to the number of each threshold, and whether it is met.
//! It must not know how anything was counted.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    load::{ReadBack, Slice, Tally},
    locks::LockCounts,
    machine::Phase,
    report::number,
    scenario::{Metric, Threshold, threshold::Unit},
    watch::Second,
};

/// All that a drill has counted.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The requests.
    pub tally: Tally,
    /// What was read back at the end.
    pub read_back: ReadBack,
    /// The contended lock, where there was one.
    pub locks: Option<LockCounts>,
    /// From healing to being as before; `None`: it did not come to that.
    pub recovery: Option<Duration>,
    /// From the fault to the first breaker of a target that opened; `None`: none did.
    pub opened: Option<Duration>,
    /// Seconds before the fault.
    pub steady: Vec<Second>,
    /// The most calls in flight at once, by database.
    pub inflight: BTreeMap<String, u64>,
}

/// One threshold, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The threshold.
    pub threshold: Threshold,
    /// Whether it is met.
    pub met: bool,
    /// The number: a count, a percentage, or milliseconds; none when it never came to that.
    pub value: Option<f64>,
    /// The number, for people.
    pub shown: String,
}

/// Judges each.
pub fn judge(thresholds: &[Threshold], facts: &Facts) -> Vec<Verdict> {
    let each = thresholds.iter().map(|threshold| {
        let value = facts.measure(threshold.metric);
        Verdict {
            met: threshold.holds(value),
            value,
            shown: facts.show(threshold.metric, value),
            threshold: threshold.clone(),
        }
    });
    each.collect()
}

impl Facts {
    fn all(&self, pick: fn(&Slice) -> u64) -> u64 {
        self.tally.phases.values().map(pick).sum()
    }

    fn phase(&self, phase: Phase, pick: fn(&Slice) -> u64) -> u64 {
        self.tally.phases.get(&phase).map_or(0, pick)
    }

    /// The number of this metric.
    pub fn measure(&self, metric: Metric) -> Option<f64> {
        let locks =
            |pick: fn(&LockCounts) -> u64| self.locks.as_ref().map(|locks| count(pick(locks)));
        let quantile = |phase, share| {
            self.tally
                .phases
                .get(&phase)
                .and_then(|slice| slice.latency.quantile(share))
                .map(millis)
        };
        match metric {
            Metric::Failed => Some(count(self.all(|slice| slice.failed))),
            Metric::FailedReads => Some(count(self.all(|slice| slice.failed_reads))),
            Metric::ErrorRate => {
                share(self.all(|slice| slice.failed), self.all(|slice| slice.requests))
            }
            Metric::ReadErrorRate => {
                share(self.all(|slice| slice.failed_reads), self.all(|slice| slice.reads))
            }
            Metric::FailedAfter => Some(count(self.phase(Phase::After, |slice| slice.failed))),
            Metric::Recovery => self.recovery.map(millis),
            Metric::Opened => self.opened.map(millis),
            Metric::Lost => Some(count(self.read_back.lost)),
            Metric::DeletedBack => {
                Some(count(self.read_back.deleted_back + self.all(|slice| slice.deleted_back)))
            }
            Metric::StaleAfter => Some(count(self.phase(Phase::After, |slice| slice.stale))),
            Metric::Stale => Some(count(self.all(|slice| slice.stale))),
            Metric::Unexplained => {
                Some(count(self.read_back.unexplained + self.all(|slice| slice.unexplained)))
            }
            Metric::MedianSteady => quantile(Phase::Steady, 0.5),
            Metric::TailSteady => quantile(Phase::Steady, 0.99),
            Metric::MedianFault => quantile(Phase::Fault, 0.5),
            Metric::TailFault => quantile(Phase::Fault, 0.99),
            Metric::SlowestFault => quantile(Phase::Fault, 1.0),
            Metric::SlowestRefusal => Some(millis(self.tally.phase(Phase::Fault).slowest_refusal)),
            Metric::HitRate => {
                let sum = |pick: fn(&Second) -> u64| self.steady.iter().map(pick).sum::<u64>();
                let hits = sum(|second| second.hits);
                share(hits, hits + sum(|second| second.misses))
            }
            Metric::Fallback => {
                let fallbacks = self.steady.iter().map(|second| second.fallbacks).sum();
                let requests = self.steady.iter().flat_map(|second| second.sources.values()).sum();
                share(fallbacks, requests)
            }
            Metric::DatabaseInflight => self.inflight.values().max().copied().map(count),
            Metric::LockOverlaps => locks(|locks| locks.overlaps),
            Metric::LockDisorder => locks(|locks| locks.disorder),
            Metric::LocksGranted => locks(|locks| locks.granted),
        }
    }

    fn show(&self, metric: Metric, value: Option<f64>) -> String {
        let Some(value) = value else { return "never".to_owned() };
        let plain = match metric.unit() {
            Unit::Count => number(whole(value)),
            Unit::Share => format!("{value:.2}%"),
            Unit::Time => time(value),
        };
        let requests = || number(self.all(|slice| slice.requests));
        match metric {
            Metric::Failed => format!("{plain} of {}", requests()),
            Metric::ErrorRate => {
                format!("{plain} of {}", requests())
            }
            Metric::FailedReads | Metric::ReadErrorRate => {
                format!("{plain} of {}", number(self.all(|slice| slice.reads)))
            }
            Metric::FailedAfter | Metric::StaleAfter => {
                format!("{plain} of {}", number(self.phase(Phase::After, |slice| slice.requests)))
            }
            Metric::Recovery => format!("{plain} after healing"),
            Metric::Opened => format!("{plain} after the fault"),
            Metric::Lost => {
                let acknowledged = number(self.all(|slice| slice.acknowledged));
                format!("{plain} of {acknowledged}, {} keys read back", number(self.read_back.keys))
            }
            _ => plain,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a drill")]
fn count(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "was a count")]
fn whole(number: f64) -> u64 {
    number as u64
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// In percent; nothing of nothing is nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    Some(if whole == 0 { 0.0 } else { count(part) / count(whole) * 100.0 })
}

/// `1.9s`, `240ms`, `0.41ms`.
pub(crate) fn time(millis: f64) -> String {
    match millis {
        ms if ms >= 1000.0 => format!("{:.1}s", ms / 1e3),
        ms if ms >= 10.0 => format!("{ms:.0}ms"),
        ms => format!("{ms:.2}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let mut facts = Facts::default();
        let slow = Duration::from_millis(800);
        let mut steady = Slice { requests: 900, reads: 800, acknowledged: 100, ..Slice::default() };
        steady.latency.record(Duration::from_millis(1));
        let mut fault = Slice { requests: 100, failed: 5, reads: 80, ..Slice::default() };
        fault.latency.record(slow);
        fault.slowest_refusal = slow;
        facts.tally.phases.extend([(Phase::Steady, steady), (Phase::Fault, fault)]);
        facts.read_back.keys = 40;
        facts
    }

    #[test]
    fn each_metric_has_its_number_and_its_words() {
        let thresholds: Vec<Threshold> = [
            "failed == 0",
            "error_rate < 1%",
            "recovery < 30s",
            "lost == 0",
            "p50_fault < 1s",
            "lock_overlaps == 0",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec();
        let facts = Facts { recovery: Some(Duration::from_millis(1900)), ..facts() };
        let verdicts = judge(&thresholds, &facts);
        let shown: Vec<(bool, &str)> =
            verdicts.iter().map(|verdict| (verdict.met, &*verdict.shown)).collect();
        assert_eq!(
            shown,
            [
                (false, "5 of 1,000"),
                (true, "0.50% of 1,000"),
                (true, "1.9s after healing"),
                (true, "0 of 100, 40 keys read back"),
                (true, "800ms"),
                (false, "never"),
            ]
        );
    }

    #[test]
    fn what_never_came_meets_nothing() {
        let threshold: Threshold = "recovery < 30s".parse().unwrap();
        assert!(!judge(&[threshold], &facts())[0].met);
    }

    #[test]
    fn every_metric_can_be_asked_for() {
        let facts = facts();
        let known = Metric::ALL.iter().filter(|metric| facts.measure(**metric).is_some()).count();
        assert!(known > Metric::ALL.len() / 2);
    }
}
