//! In which world each weakness is looked for: most anywhere, some in one that is made after the story that the model tells.
//! It must not know how a mechanism is left out.

use std::time::Duration;

use super::{
    plan::{Fault, FaultKind, Noise, Plan, Site, Way},
    weakness::Weakness,
};

impl Weakness {
    /// The plan in which this is looked for: rough where it is rare.
    #[must_use]
    pub fn plan(self, seed: u64) -> Plan {
        match self {
            Self::TokenReused => Plan { pauses: seed.is_multiple_of(2), ..Plan::rough(seed) },
            Self::NonceReused => nonce_reused(seed),
            // A write under a mark is slow while another goes around the cache, is seen by a look and drained.
            Self::DrainDoesNotTaint => {
                let noise = Noise { slow: 400, late: 60, lost: 0, refused: 0 };
                let (lease, processes) = (Duration::from_millis(300), 4);
                Plan { noise, lease, processes, pauses: true, ..Plan::rough(seed) }
            }
            Self::ExpiredMarkDoesNotTaint => expired_mark(seed),
            Self::DirtyRowDeletedUnconditionally => dirty_row(seed),
            Self::CommitIgnoresEpoch => old_epoch(seed),
            // Copies of a strict route are read only where nothing is said to be evicted.
            Self::EvictionsHidden => {
                let kind = FaultKind::Evict(400);
                let mut plan = Plan { evicts: true, strict: true, ..Plan::rough(seed) };
                plan.faults.push(Fault { at_ms: 500, for_ms: plan.work_ms, kind });
                plan
            }
            _ => Plan::of(seed),
        }
    }
}

/// Publishes are so late that they are sent again; between the two the key is deleted, and the mark comes again.
fn nonce_reused(seed: u64) -> Plan {
    Plan { noise: Noise::default(), lagging: &["publish"], ..aimed(seed, 300) }
}

/// A process stops, so that nobody takes away the mark of what it has just committed; another compares with what was
/// there before, changes nothing, and takes its own mark back so late that the first one has ended by itself. Then
/// everybody only reads.
fn expired_mark(seed: u64) -> Plan {
    let noise = Noise { slow: 400, late: 0, lost: 0, refused: 0 };
    let (lease, mark) = (Duration::from_millis(800), Duration::from_secs(1));
    let pauses = Plan { pauses: true, compares: true, lagging: &["unmark"], ..aimed(seed, 200) };
    let mut plan = Plan { noise, lease, mark, ..pauses };
    let kind = FaultKind::Freeze { process: 0 };
    for at_ms in (1_300..plan.work_ms).step_by(3_200) {
        plan.faults.push(Fault { at_ms, for_ms: 2_400, kind });
    }
    plan
}

/// One process does not reach Redis: its writes make their key dirty. Another drains, and its last word to the record is so
/// late that the key was written again meanwhile; a third stops before all this, goes on under a lease that does not know
/// of the dirty key, finds nothing, and fills what the first write left. Then everybody only reads, for longer than a lease.
/// (A strict write does not serve: its row is held open for seconds longer than any such lease lasts.)
fn dirty_row(seed: u64) -> Plan {
    let noise = Noise { slow: 100, late: 0, lost: 0, refused: 0 };
    let (lease, work_ms) = (Duration::from_secs(1), 18_000);
    let pauses = Plan { pauses: true, lagging: &["drained"], clients: 3, ..aimed(seed, 900) };
    let mut plan = Plan { noise, lease, work_ms, writers: 1, strict: false, ..pauses };
    let cut = FaultKind::Cut { process: 0, site: Site::Redis, way: Way::Both };
    plan.faults.push(Fault { at_ms: 500, for_ms: work_ms, kind: cut });
    let kind = FaultKind::Freeze { process: 2 };
    for at_ms in (3_800..work_ms).step_by(4_000) {
        plan.faults.push(Fault { at_ms, for_ms: 600, kind });
    }
    plan
}

/// Writers stop, or their commits are late, while the cache is given up and readmitted: soon, for leases are short; and
/// their deadlines have not passed then, for marks are long.
fn old_epoch(seed: u64) -> Plan {
    let noise = Noise { slow: 200, late: 60, lost: 0, refused: 0 };
    let (lease, mark) = (Duration::from_millis(300), Duration::from_secs(5));
    let mut plan = Plan { noise, lease, mark, ..aimed(seed, 40) };
    let kind = FaultKind::Empty { proxied: false };
    for at_ms in (1_500..plan.work_ms).step_by(2_500) {
        plan.faults.push(Fault { at_ms, for_ms: 0, kind });
        for process in 0..2 {
            let kind = FaultKind::Freeze { process };
            plan.faults.push(Fault { at_ms: at_ms - 20, for_ms: 2_000, kind });
        }
    }
    plan
}

/// For a story of one key: nothing but what it needs, nobody who covers up what went wrong, nobody whose session hides it.
fn aimed(seed: u64, think_ms: u64) -> Plan {
    Plan {
        statement: Duration::from_millis(300),
        strict: true,
        sessions: false,
        evicts: false,
        audits: false,
        dirty_max: 1_000,
        processes: 3,
        writers: 3,
        clients: 2,
        keys: 1,
        counters: 1,
        calls: 1_000,
        think_ms,
        faults: Vec::new(),
        ..Plan::of(seed)
    }
}
