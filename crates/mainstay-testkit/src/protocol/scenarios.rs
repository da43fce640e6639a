//! The scenarios that are explored: a small form for every test run, a full form, and one for each weakening.
//! It must not know the steps.

use super::scenario::{Link, Promise, Scenario, Write};
use super::weakening::Weakening as Weak;

use Write::{CompareAndSet, Delete, Set, SetMortal};

/// Seconds in all; every rule is used in one of them.
pub fn small() -> Vec<Scenario> {
    let gone = |scenario| Scenario { link: Link::Gone, ..scenario };
    vec![
        calm("two writers", [Set, Delete]),
        Scenario { reads: 2, values_vanish: true, ..calm("eviction", [Set]) },
        Scenario { readers: 2, ..calm("time to live", [SetMortal]) },
        calm("compare-and-set", [Set, CompareAndSet]),
        bad("bad link", [Set]),
        Scenario { reads: 2, ..gone(calm("no link", [Set])) },
        Scenario { link: Link::LastGone, ..calm("one without link", [Set, Delete]) },
        gone(calm("no link, two writers", [Delete, CompareAndSet])),
        Scenario { promise: Promise::Bounded, reads: 2, ..bad("bounded", [Set]) },
        Scenario { degradations: 1, warm: true, cold: true, ..bad("readmission", [Set]) },
        Scenario { restarts: 1, cold: true, ..calm("restart", [Set]) },
        Scenario { mark_evictions: 1, reads: 2, ..calm("evicted mark", [Set]) },
    ]
}

/// Minutes in all, the largest last.
pub fn full() -> Vec<Scenario> {
    let both = |scenario| Scenario { warm: true, cold: true, reads: 2, ..scenario };
    let two = [Set, Delete];
    vec![
        Scenario { readers: 2, ..calm("two writers, two readers", two) },
        Scenario { reads: 2, values_vanish: true, ..calm("cas, eviction", [Set, CompareAndSet]) },
        Scenario { reads: 2, values_vanish: true, ..calm("time to live, set", [SetMortal, Set]) },
        Scenario { mark_evictions: 1, reads: 2, ..calm("evicted mark, two writers", two) },
        calm("three writers", [Set, Delete, Set]),
        Scenario { readers: 2, ..bad("bad link, one writer, two readers", [Set]) },
        bad("bad link, compare-and-set", [Set, CompareAndSet]),
        bad("bad link, time to live", [SetMortal, Delete]),
        Scenario { drainers: 2, ..bad("bad link, two drains", two) },
        Scenario { promise: Promise::Bounded, ..bad("bounded, two writers", two) },
        both(Scenario { restarts: 1, degradations: 1, ..bad("restart and degradation", [Set]) }),
        both(Scenario { degradations: 2, ..bad("warm and cold readmission", [Set]) }),
        Scenario { degradations: 1, warm: true, ..bad("warm readmission", two) },
        Scenario { degradations: 1, cold: true, ..bad("cold readmission", two) },
        Scenario { attempts: 2, reads: 2, ..bad("bad link, retries", two) },
        Scenario { readers: 2, ..bad("bad link, two writers, two readers", two) },
    ]
}

fn calm<const N: usize>(name: &'static str, writes: [Write; N]) -> Scenario {
    Scenario { writes: writes.into(), ..Scenario::calm(name) }
}

fn bad<const N: usize>(name: &'static str, writes: [Write; N]) -> Scenario {
    Scenario { link: Link::Bad, ..calm(name, writes) }
}

/// The smallest scenario in which leaving this rule out gives a wrong answer.
pub fn catching(weakening: Weak) -> Scenario {
    let base = Scenario::calm("for one weakening");
    let last_gone = Scenario { link: Link::LastGone, ..base.clone() };
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
        Weak::ExpiryDoesNotTaint => Scenario { writes: two, ..base },
        Weak::DrainDoesNotTaint => Scenario { writes: two, ..last_gone },
        Weak::DeleteForgetsVersion => Scenario { writes: vec![Delete, Set], ..last_gone },
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
            Scenario { writes: two, reads: 2, degradations: 1, cold: true, drainers: 0, ..gone }
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
