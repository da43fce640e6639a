//! The scenarios that are explored: a small form for every test run, a full form, and one for each weakening.
//! It must not know the steps.

use super::scenario::{Link, Promise, Scenario, Write};
use super::weakening::Weakening as Weak;

use Write::{CompareAndSet, Delete, Set, SetMortal};

/// Seconds in all; every rule is used in one of them.
pub fn small() -> Vec<Scenario> {
    vec![
        calm("two writers", [Set, Delete]),
        Scenario { reads: 2, values_vanish: true, ..calm("eviction", [Set]) },
        Scenario { readers: 2, ..calm("time to live", [SetMortal]) },
        calm("compare-and-set", [Set, CompareAndSet]),
        bad("bad link", [Set]),
        Scenario { reads: 2, ..gone("no link", [Set]) },
        Scenario { link: Link::LastGone, ..calm("one without link", [Set, Delete]) },
        gone("no link, two writers", [Delete, CompareAndSet]),
        bounded(Scenario { reads: 2, ..bad("bounded", [Set]) }),
        Scenario { degradations: 1, ..bad("readmission", [Set]) },
        bounded(Scenario { degradations: 1, reads: 2, ..gone("bounded, readmission", [Set]) }),
        Scenario { restarts: 1, ..calm("restart", [Set]) },
        Scenario { strays: true, ..bad("other server", [Delete]) },
        Scenario { mark_evictions: 1, reads: 2, strays: true, ..calm("evicted mark", [Set]) },
    ]
}

/// Minutes in all, the largest last.
pub fn full() -> Vec<Scenario> {
    let two = [Set, Delete];
    vec![
        Scenario { readers: 2, ..calm("two writers, two readers", two) },
        Scenario { reads: 2, values_vanish: true, ..calm("cas, eviction", [Set, CompareAndSet]) },
        Scenario { reads: 2, values_vanish: true, ..calm("time to live, set", [SetMortal, Set]) },
        evicted(Scenario { degradations: 1, ..calm("evicted mark, readmission", [Set]) }),
        calm("three writers", [Set, Delete, Set]),
        Scenario { readers: 2, ..bad("bad link, one writer, two readers", [Set]) },
        bad("bad link, compare-and-set", [Set, CompareAndSet]),
        bad("bad link, time to live", [SetMortal, CompareAndSet]),
        Scenario { strays: true, ..bad("bad link, other server", two) },
        Scenario { drainers: 2, ..bad("bad link, two drains", two) },
        bounded(bad("bounded, two writers", two)),
        bounded(Scenario { degradations: 1, ..bad("bounded, readmission, two writers", two) }),
        Scenario { restarts: 1, degradations: 1, ..bad("restart and degradation", [Set]) },
        Scenario { restarts: 1, readers: 2, ..bad("restart, two readers", [Set]) },
        Scenario { degradations: 1, attempts: 2, ..calm("readmission, begun anew", two) },
        Scenario { degradations: 1, ..bad("readmission, two writers", two) },
        evicted(Scenario { reads: 2, strays: true, ..calm("evicted mark, other server", two) }),
        bounded(evicted(Scenario { degradations: 1, ..bad("evicted mark, bounded", [Set]) })),
        Scenario { reads: 2, ..bad("bad link, two reads", two) },
        Scenario { readers: 2, ..bad("bad link, two writers, two readers", two) },
    ]
}

fn calm<const N: usize>(name: &'static str, writes: [Write; N]) -> Scenario {
    Scenario { writes: writes.into(), ..Scenario::calm(name) }
}

fn bad<const N: usize>(name: &'static str, writes: [Write; N]) -> Scenario {
    Scenario { link: Link::Bad, ..calm(name, writes) }
}

fn gone<const N: usize>(name: &'static str, writes: [Write; N]) -> Scenario {
    Scenario { link: Link::Gone, ..calm(name, writes) }
}

fn evicted(scenario: Scenario) -> Scenario {
    Scenario { mark_evictions: 1, ..scenario }
}

fn bounded(scenario: Scenario) -> Scenario {
    Scenario { promise: Promise::Bounded, ..scenario }
}

/// The smallest scenario in which leaving this rule out gives a wrong answer.
pub fn catching(weakening: Weak) -> Scenario {
    let base = Scenario::calm("for one weakening");
    let last_gone = Scenario { link: Link::LastGone, ..base.clone() };
    let gone = Scenario { link: Link::Gone, ..base.clone() };
    let degraded = Scenario { degradations: 1, ..base.clone() };
    let restarted = Scenario { restarts: 1, ..base.clone() };
    let evicted = Scenario { mark_evictions: 1, writes: vec![Set], reads: 2, ..base.clone() };
    let (one, two) = (vec![Set], vec![Set, Set]);
    match weakening {
        Weak::NoMark => Scenario { writes: one, ..base },
        Weak::FillWithoutToken | Weak::MarkMayExpire => Scenario { writes: one, reads: 2, ..base },
        Weak::TokenReused => Scenario { writes: one, reads: 2, values_vanish: true, ..base },
        Weak::PublishUnconditionally | Weak::NonceReused => Scenario { writes: two, ..base },
        Weak::MarkNotVerified => Scenario { writes: one, strays: true, ..base },
        Weak::UnknownCommitRetried => Scenario { writes: one, attempts: 2, ..base },
        Weak::UncleanLeavesValue => Scenario { writes: vec![Delete], ..base },
        Weak::TtlCountsFromStore => Scenario { writes: vec![SetMortal], readers: 2, ..base },
        Weak::JoinsFlightUnderWay => Scenario { writes: one, readers: 2, ..base },
        Weak::ExpiryDoesNotTaint => Scenario { writes: two, ..base },
        Weak::DrainDoesNotTaint => Scenario { writes: two, ..last_gone },
        Weak::DeleteForgetsVersion => {
            Scenario { promise: Promise::Bounded, writes: vec![Set, Delete], ..gone }
        }
        Weak::DrainNotVerified => Scenario { writes: one, strays: true, ..gone },
        Weak::LeaseWithoutDirtySet | Weak::NoWaitInStrict | Weak::StrictIgnoresAge => {
            Scenario { writes: one, ..gone }
        }
        Weak::DirtyRowDeletedUnconditionally | Weak::AgeSurvivesDeletion => {
            Scenario { writes: one, reads: 2, ..gone }
        }
        Weak::AcknowledgedUnconfirmed | Weak::MadeDirtyWithoutWaiting => evicted,
        Weak::ConfirmedByAnotherServer => Scenario { strays: true, ..evicted },
        Weak::NoSessionFloor => Scenario { promise: Promise::Bounded, writes: one, ..gone },
        Weak::CommitIgnoresEpoch | Weak::ReadmitBeforeCommitsEnd => {
            Scenario { writes: one, reads: 2, ..degraded }
        }
        Weak::ReadmitBeforeLeasesEnd | Weak::NoWaitInDegraded | Weak::ControlRowNotShared => {
            Scenario { writes: one, reads: 2, ..degraded }
        }
        Weak::ReadmissionKeepsGeneration
        | Weak::RenewedLeaseAccepted
        | Weak::IncarnationOnlyInMemory
        | Weak::ConnectionNotMet
        | Weak::LeaseCheckedBeforeReply => Scenario { writes: one, ..restarted },
    }
}
