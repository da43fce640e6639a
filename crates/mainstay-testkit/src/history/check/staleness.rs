//! No read is older than its label says.
//! It must not look at values: versions tell what a read had seen.

use std::{collections::BTreeMap, fmt};

use super::oldest::Oldest;
use super::view::{Seen, View};
use super::{Promise, Verdict};
use crate::history::call::Freshness;
use crate::history::op::{Micros, Op};
use crate::history::trace::Trace;

/// A label without its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// See [`Freshness::Linearizable`].
    Linearizable,
    /// See [`Freshness::Bounded`].
    Bounded,
    /// See [`Freshness::Unverified`].
    Unverified,
    /// See [`Freshness::Pending`].
    Pending,
}

/// How old the oldest read under each label was; a label that no judgeable read had is missing.
pub type MaxStaleness = BTreeMap<Label, Micros>;

/// For each read, by how long the first acknowledged durable write that it missed came before it.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    judge(trace).0
}

/// How old the reads under each label were, also under those that promise nothing.
#[must_use]
pub fn measure(trace: &Trace) -> MaxStaleness {
    judge(trace).1
}

fn judge(trace: &Trace) -> (Verdict, MaxStaleness) {
    let mut verdict = Verdict::new(Promise::Staleness);
    let mut oldest_read = MaxStaleness::new();
    for view in View::of_each(trace) {
        let acknowledged = Oldest::of(view.ops.iter().copied());
        for op in &view.ops {
            let Some(read) = op.read() else { continue };
            let Seen::Upto(version) = view.seen(read.value, read.version, op.finish()) else {
                continue;
            };
            let missed = acknowledged.above(version).filter(|write| write.precedes(op));
            let age = missed.map_or(0, |write| op.invoked.t - write.finish().t);
            let oldest = oldest_read.entry(Label::of(read.freshness)).or_default();
            *oldest = age.max(*oldest);
            let Some(bound) = bound(read.freshness) else { continue };
            verdict.examined += 1;
            // In the same microsecond the order of events decides: a linearizable read may miss nothing at all.
            if let Some(write) = missed
                && (age > bound || read.freshness == Freshness::Linearizable)
            {
                verdict.found(view.key, text(op, write, age, bound), &[write, op]);
            }
        }
    }
    (verdict, oldest_read)
}

fn text(read: &Op, write: &Op, age: Micros, bound: Micros) -> String {
    format!(
        "#{} does not see #{}, acknowledged {age} us before it began; its label allows {bound} us",
        read.id.0, write.id.0
    )
}

fn bound(freshness: Freshness) -> Option<Micros> {
    match freshness {
        Freshness::Linearizable => Some(0),
        Freshness::Bounded(bound) => Some(bound),
        Freshness::Unverified | Freshness::Pending => None,
    }
}

impl Label {
    /// Of an answer.
    #[must_use]
    pub fn of(freshness: Freshness) -> Self {
        match freshness {
            Freshness::Linearizable => Self::Linearizable,
            Freshness::Bounded(_) => Self::Bounded,
            Freshness::Unverified => Self::Unverified,
            Freshness::Pending => Self::Pending,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Linearizable => "linearizable",
            Self::Bounded => "bounded",
            Self::Unverified => "unverified",
            Self::Pending => "pending",
        })
    }
}
