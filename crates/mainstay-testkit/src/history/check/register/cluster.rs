//! A write with all reads of it, and the zone in which it has to be the key's state.
//! It must not know other clusters.

use std::fmt;

use crate::history::op::{Moment, Op, OpId};

/// Names a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Written {
    /// The absent key before every write.
    Nothing,
    /// What that call left.
    By(OpId),
}

/// A write (or the beginning) and the reads of what it left.
#[derive(Clone, Debug)]
pub(super) struct Cluster<'a> {
    pub(super) write: Option<&'a Op>,
    /// The first end of any of them, and whose it is.
    pub(super) first_end: (Moment, Option<&'a Op>),
    /// The last begin of any of them, and whose it is.
    pub(super) last_begin: (Moment, Option<&'a Op>),
}

impl<'a> Cluster<'a> {
    pub(super) fn beginning() -> Self {
        let never = (Moment::MIN, None);
        Self { write: None, first_end: never, last_begin: never }
    }

    pub(super) fn of(write: &'a Op) -> Self {
        Self {
            write: Some(write),
            first_end: (write.finish(), Some(write)),
            last_begin: (write.invoked, Some(write)),
        }
    }

    pub(super) fn read(&mut self, read: &'a Op) {
        if read.finish() < self.first_end.0 {
            self.first_end = (read.finish(), Some(read));
        }
        if read.invoked > self.last_begin.0 {
            self.last_begin = (read.invoked, Some(read));
        }
    }

    pub(super) fn with(&self, read: &'a Op) -> Self {
        let mut cluster = self.clone();
        cluster.read(read);
        cluster
    }

    /// Forward: it is the state in all of `first_end..last_begin`. Backward: some moment in between suffices.
    pub(super) fn forward(&self) -> bool {
        self.first_end.0 < self.last_begin.0
    }

    pub(super) fn low(&self) -> Moment {
        self.first_end.0.min(self.last_begin.0)
    }

    pub(super) fn high(&self) -> Moment {
        self.first_end.0.max(self.last_begin.0)
    }

    /// Whether the two cannot both be.
    pub(super) fn conflicts(&self, other: &Self) -> bool {
        match (self.forward(), other.forward()) {
            (true, true) => self.low() < other.high() && other.low() < self.high(),
            (true, false) => self.low() < other.low() && other.high() < self.high(),
            (false, true) => other.low() < self.low() && self.high() < other.high(),
            (false, false) => false,
        }
    }

    /// The calls that prove the zone.
    pub(super) fn proof(&self) -> Vec<&'a Op> {
        [self.write, self.first_end.1, self.last_begin.1].into_iter().flatten().collect()
    }
}

impl fmt::Display for Cluster<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.write {
            Some(write) => write!(f, "what #{} left", write.id.0)?,
            None => f.write_str("the beginning")?,
        }
        let (low, high) = (self.low().t, self.high().t);
        if self.forward() {
            write!(f, " (the state from {low} to {high})")
        } else if self.high() == Moment::MAX {
            write!(f, " (the state some time after {low})")
        } else {
            write!(f, " (the state some time from {low} to {high})")
        }
    }
}
