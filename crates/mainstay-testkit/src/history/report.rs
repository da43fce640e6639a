//! Everything that the checkers found in one history, for people and for tests.
//! It must not check anything itself.

use std::{collections::BTreeMap, fmt};

use super::check::staleness::{self, MaxStaleness};
use super::check::{self, Promise, Verdict, Violation};
use super::op::{Effect, Fate, Op};
use super::trace::Trace;

/// How many violations of one promise are printed.
const SHOWN_MAX: usize = 3;

/// Calls by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads that were answered.
    pub reads: u64,
    /// Writes that were acknowledged as durable.
    pub durable: u64,
    /// Writes that were acknowledged with a weaker label.
    pub weaker: u64,
    /// Writes that were answered, but changed nothing.
    pub refused: u64,
    /// Calls that were certainly not executed.
    pub failed: u64,
    /// Calls whose client gave up.
    pub unknown: u64,
    /// Calls without an end.
    pub open: u64,
}

/// The verdict over one history.
#[derive(Clone, Debug)]
pub struct Report {
    /// The calls.
    pub counts: Counts,
    /// One verdict for each promise.
    pub verdicts: BTreeMap<Promise, Verdict>,
    /// How old the oldest read under each label was.
    pub max_staleness: MaxStaleness,
    explanations: BTreeMap<Promise, Vec<String>>,
}

impl Report {
    /// Runs every checker.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        let mut verdicts: BTreeMap<Promise, Verdict> = BTreeMap::new();
        for verdict in check::all(trace) {
            let promise = verdict.promise;
            verdicts.entry(promise).or_insert_with(|| Verdict::new(promise)).absorb(verdict);
        }
        let explain = |verdict: &Verdict| {
            let shown = verdict.violations.iter().take(SHOWN_MAX);
            shown.map(|violation| trace.explain(violation)).collect()
        };
        let explanations = verdicts.iter().map(|(of, verdict)| (*of, explain(verdict))).collect();
        let max_staleness = staleness::measure(trace);
        Self { counts: Counts::of(trace), verdicts, max_staleness, explanations }
    }

    /// Whether no promise was broken. What was not examined passes: see [`Self::unexamined`].
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdicts.values().all(|verdict| verdict.violations_seen == 0)
    }

    /// The promises of which the history says nothing.
    #[must_use]
    pub fn unexamined(&self) -> Vec<Promise> {
        let nothing = |promise: &Promise| {
            self.verdicts.get(promise).is_none_or(|verdict| verdict.examined == 0)
        };
        Promise::ALL.into_iter().filter(nothing).collect()
    }

    /// How often a promise was broken.
    #[must_use]
    pub fn seen(&self, promise: Promise) -> u64 {
        self.verdicts.get(&promise).map_or(0, |verdict| verdict.violations_seen)
    }

    /// The violations that were kept, by promise.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.verdicts.values().flat_map(|verdict| &verdict.violations)
    }
}

impl Counts {
    fn of(trace: &Trace) -> Self {
        let mut counts = Self::default();
        for op in &trace.ops {
            *counts.of_op(op) += 1;
        }
        counts
    }

    fn of_op(&mut self, op: &Op) -> &mut u64 {
        match (op.fate, op.effect()) {
            (Fate::Open, _) => &mut self.open,
            (Fate::Failed(_), _) => &mut self.failed,
            (Fate::Unknown(_), _) => &mut self.unknown,
            (Fate::Ok(..), _) if op.read().is_some() => &mut self.reads,
            (Fate::Ok(..), Effect::Certain) => &mut self.durable,
            (Fate::Ok(..), Effect::Maybe) => &mut self.weaker,
            (Fate::Ok(..), Effect::Never) => &mut self.refused,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { reads, durable, weaker, refused, failed, unknown, open } = self.counts;
        writeln!(
            f,
            "{reads} reads; writes: {durable} durable, {weaker} weaker, {refused} changed nothing; \
             {failed} failed, {unknown} unknown, {open} without an end"
        )?;
        for (promise, verdict) in &self.verdicts {
            let sign = match (verdict.violations_seen, verdict.examined) {
                (0, 0) => "-  ",
                (0, _) => "ok ",
                _ => "BAD",
            };
            let (seen, examined) = (verdict.violations_seen, verdict.examined);
            writeln!(f, "{sign} {:<26} {seen:>8} of {examined:>8} examined", promise.to_string())?;
        }
        for (label, age) in &self.max_staleness {
            writeln!(f, "    oldest {label:<20} {age:>8} us")?;
        }
        for (promise, verdict) in &self.verdicts {
            let texts = self.explanations.get(promise).into_iter().flatten();
            for (violation, slice) in verdict.violations.iter().zip(texts) {
                write!(f, "\n{promise}: key {:?}: {}\n{slice}", &*violation.key, violation.text)?;
            }
        }
        Ok(())
    }
}
