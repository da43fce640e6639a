//! The checkers, one promise a file, and what they find.
//! They must not know how a history came about.

pub mod compare_and_set;
pub mod convergence;
pub mod counters;
pub mod deletions;
pub mod durability;
mod floors;
pub mod labels;
mod oldest;
pub mod recording;
pub mod register;
pub mod sessions;
pub mod staleness;
mod sums;
pub mod versions;
mod view;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_once;

use std::{fmt, sync::Arc};

use super::op::{Op, OpId};
use super::trace::Trace;

/// How many violations of one kind are kept; all are counted.
const VIOLATIONS_MAX: usize = 100;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// The harness recorded what the checkers need; without it they prove nothing.
    Recording,
    /// Each key is a linearizable register for those who are told so.
    Linearizable,
    /// No read is older than its label says.
    Staleness,
    /// No acknowledged durable write is lost.
    Durability,
    /// What was deleted stays deleted.
    Deletion,
    /// A session never goes back, and reads its own writes.
    Sessions,
    /// No increment and no compare-and-set takes effect twice.
    AtMostOnce,
    /// A version names one state, and grows from write to write.
    Versions,
    /// No label says more than can be true.
    Labels,
    /// At rest every cached copy is the record's.
    Convergence,
}

/// A promise that a history broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: Promise,
    /// The key.
    pub key: Arc<str>,
    /// What happened.
    pub text: String,
    /// The calls that prove it.
    pub ops: Vec<OpId>,
}

/// What one checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was checked.
    pub promise: Promise,
    /// How many reads, writes or keys were judged; with 0 the verdict says nothing.
    pub examined: u64,
    /// The first violations.
    pub violations: Vec<Violation>,
    /// All violations, counted.
    pub violations_seen: u64,
}

impl Promise {
    /// All promises, in the order of a report.
    pub const ALL: [Self; 10] = [
        Self::Recording,
        Self::Linearizable,
        Self::Staleness,
        Self::Durability,
        Self::Deletion,
        Self::Sessions,
        Self::AtMostOnce,
        Self::Versions,
        Self::Labels,
        Self::Convergence,
    ];
}

impl Verdict {
    pub(super) fn new(promise: Promise) -> Self {
        Self { promise, examined: 0, violations: Vec::new(), violations_seen: 0 }
    }

    fn found(&mut self, key: &str, text: String, ops: &[&Op]) {
        self.violations_seen += 1;
        if self.violations.len() >= VIOLATIONS_MAX {
            return;
        }
        let mut ops: Vec<OpId> = ops.iter().map(|op| op.id).collect();
        ops.sort_unstable();
        ops.dedup();
        self.violations.push(Violation { promise: self.promise, key: key.into(), text, ops });
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.examined += other.examined;
        self.violations_seen += other.violations_seen;
        self.violations.extend(other.violations);
        self.violations.truncate(VIOLATIONS_MAX);
    }
}

/// The verdict of every checker.
#[must_use]
pub fn all(trace: &Trace) -> Vec<Verdict> {
    let checkers = [
        recording::check,
        register::check,
        staleness::check,
        durability::check,
        deletions::check,
        sessions::check,
        counters::check,
        compare_and_set::check,
        versions::check,
        labels::check,
        convergence::check,
    ];
    checkers.iter().map(|check| check(trace)).collect()
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recording => "the recording is complete",
            Self::Linearizable => "linearizable register",
            Self::Staleness => "no older than the label",
            Self::Durability => "no durable write lost",
            Self::Deletion => "deleted stays deleted",
            Self::Sessions => "sessions never go back",
            Self::AtMostOnce => "at most once",
            Self::Versions => "versions name one state",
            Self::Labels => "labels are true",
            Self::Convergence => "copies equal the record",
        })
    }
}
