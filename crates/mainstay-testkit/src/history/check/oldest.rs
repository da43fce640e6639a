//! Acknowledged writes by version, and which of those above a version was acknowledged first.
//! It must not judge.

use crate::history::call::Version;
use crate::history::op::Op;

/// Acknowledged writes in the order of their versions, each with the first acknowledged of itself and all above.
pub(super) struct Oldest<'a> {
    writes: Vec<(Version, &'a Op)>,
}

impl<'a> Oldest<'a> {
    /// Of the durable writes among `ops` whose version is known.
    pub(super) fn of(ops: impl Iterator<Item = &'a Op>) -> Self {
        let mut writes: Vec<(Version, &Op)> =
            ops.filter_map(|op| Some((op.durable_version()?, op))).collect();
        writes.sort_by_key(|(version, op)| (*version, op.id));
        for at in (1..writes.len()).rev() {
            let (above, own) = (writes[at].1, writes[at - 1].1);
            if above.finish() < own.finish() {
                writes[at - 1].1 = above;
            }
        }
        Self { writes }
    }

    /// The first acknowledged write with a version above `version`; `None` stands below all versions.
    pub(super) fn above(&self, version: Option<Version>) -> Option<&'a Op> {
        let at = self.writes.partition_point(|(of, _)| Some(*of) <= version);
        self.writes.get(at).map(|(_, op)| *op)
    }
}
