//! The scenarios that are explored: a small form for every test run, a full form, and one for each weakening.
//! It must not know the steps.

use super::scenario::{Link, Promise, Scenario, Write};
use super::weakening::Weakening as Weak;

use Write::{CompareAndSet, Delete, Set, SetMortal};

/// Seconds in all; every rule is used in one of them.
pub fn small() -> Vec<Scenario> {
    let calm = Scenario::calm;
    let lost = |name| Scenario { link: Link::Bad, ..calm(name) };
    vec![
        Scenario { writes: vec![Set, Delete], ..calm("two writers") },
        Scenario {
            writes: vec![Set],
            reads: 2,
            values_vanish: true,
            ..calm("two reads, eviction")
        },
        Scenario { writes: vec![SetMortal], readers: 2, ..calm("time to live") },
        Scenario { writes: vec![Set, CompareAndSet], ..calm("compare-and-set") },
        Scenario { writes: vec![Set], readers: 2, ..lost("Redis unreachable, two readers") },
        Scenario { writes: vec![Set, Delete], ..lost("Redis unreachable, two writers") },
        Scenario { writes: vec![Set], promise: Promise::Bounded, reads: 2, ..lost("bounded") },
        Scenario {
            writes: vec![Set],
            degradations: 1,
            warm: true,
            cold: true,
            ..lost("readmission")
        },
        Scenario { writes: vec![Set], restarts: 1, cold: true, ..calm("restart") },
        Scenario { writes: vec![Set], mark_evictions: 1, reads: 2, ..calm("evicted mark") },
    ]
}

/// Minutes in all, the largest last.
pub fn full() -> Vec<Scenario> {
    let calm = Scenario::calm;
    let bad = |name| Scenario { link: Link::Bad, ..calm(name) };
    let (two, mixed) = (vec![Set, Delete], vec![Set, CompareAndSet]);
    let mortal = vec![SetMortal, Set];
    vec![
        Scenario { writes: two.clone(), readers: 2, ..calm("two writers, two readers") },
        Scenario {
            writes: mixed.clone(),
            reads: 2,
            values_vanish: true,
            ..calm("compare-and-set, eviction")
        },
        Scenario { writes: mortal, reads: 2, values_vanish: true, ..calm("time to live") },
        Scenario { writes: two.clone(), mark_evictions: 1, reads: 2, ..calm("evicted mark") },
        Scenario { writes: vec![Set, Delete, Set], ..calm("three writers") },
        Scenario { writes: two.clone(), reads: 2, attempts: 2, ..bad("bad link, retries") },
        Scenario { writes: two.clone(), drainers: 2, ..bad("bad link, two drains") },
        Scenario { writes: two.clone(), promise: Promise::Bounded, ..bad("bounded") },
        Scenario {
            writes: vec![Set],
            restarts: 1,
            degradations: 1,
            warm: true,
            cold: true,
            reads: 2,
            ..bad("restart and degradation")
        },
        Scenario { writes: two.clone(), degradations: 1, warm: true, ..bad("warm readmission") },
        Scenario { writes: two.clone(), degradations: 1, cold: true, ..bad("cold readmission") },
        Scenario {
            writes: vec![Set],
            degradations: 2,
            warm: true,
            cold: true,
            reads: 2,
            ..bad("warm and cold readmission")
        },
        Scenario { writes: two, readers: 2, ..bad("bad link, two readers") },
    ]
}

/// The smallest scenario in which leaving this rule out gives a wrong answer.
pub fn catching(weakening: Weak) -> Scenario {
    let base = Scenario::calm("for one weakening");
    let bad = Scenario { link: Link::Bad, ..base.clone() };
    let gone = Scenario { link: Link::Gone, ..base.clone() };
    let degraded = Scenario { degradations: 1, ..base.clone() };
    let restarted = Scenario { restarts: 1, ..base.clone() };
    let (one, two) = (vec![Set], vec![Set, Set]);
    match weakening {
        Weak::NoMark => Scenario { writes: one, ..base },
        Weak::FillWithoutToken | Weak::MarkMayExpire => Scenario { writes: one, reads: 2, ..base },
        Weak::TokenReused => Scenario { writes: one, reads: 2, values_vanish: true, ..base },
        Weak::PublishUnconditionally | Weak::NonceReused => Scenario { writes: two, ..base },
        Weak::UnknownCommitRetried => Scenario { writes: one, attempts: 2, ..base },
        Weak::TtlCountsFromStore => Scenario { writes: vec![SetMortal], readers: 2, ..base },
        Weak::JoinsFlightUnderWay => Scenario { writes: one, readers: 2, ..base },
        Weak::DrainDoesNotTaint => Scenario { writes: two, ..bad },
        Weak::DeleteForgetsVersion => Scenario { writes: vec![Delete, Set], ..bad },
        Weak::DirtyRowDeletedUnconditionally | Weak::DrainUnderOpenIntent => {
            Scenario { writes: two, ..gone }
        }
        Weak::IntentNotChecked | Weak::LeaseWithoutDirtySet | Weak::NoWaitInStrict => {
            Scenario { writes: one, ..gone }
        }
        Weak::AcknowledgedUnconfirmed => {
            Scenario { writes: one, mark_evictions: 1, reads: 2, ..base }
        }
        Weak::NoSessionFloor => Scenario { promise: Promise::Bounded, writes: one, ..gone },
        Weak::ColdKeepsIntents => {
            Scenario { writes: two, reads: 2, degradations: 1, cold: true, ..gone }
        }
        Weak::CommitIgnoresEpoch | Weak::ReadmitBeforeCommitsEnd => {
            Scenario { writes: one, reads: 2, cold: true, ..degraded }
        }
        Weak::ReadmitBeforeLeasesEnd => Scenario { writes: one, cold: true, ..degraded },
        Weak::WarmDropsDirtyRows | Weak::ControlRowNotShared => {
            Scenario { writes: one, warm: true, ..degraded }
        }
        Weak::ColdKeepsGeneration | Weak::RenewedLeaseAccepted => {
            Scenario { writes: one, cold: true, ..restarted }
        }
        Weak::WarmAfterRestart => Scenario { writes: one, warm: true, ..restarted },
        Weak::IncarnationOnlyInMemory | Weak::LeaseCheckedBeforeReply => {
            Scenario { writes: one, ..restarted }
        }
    }
}
