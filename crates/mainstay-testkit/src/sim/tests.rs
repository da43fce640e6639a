//! The short form of the simulation; `cargo xtask sim` is the long one.

use super::{Fault, FaultKind, Noise, Plan, Site, Way, Weakness, run, shrink};
use std::time::Duration;

/// A weakness is noticed within so many seeds.
const SEEDS_MAX: u64 = 300;

fn hold(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let outcome = run(&Plan::of(seed), None);
        assert_eq!(outcome.broken(), None, "`cargo xtask sim --seed {seed} --runs 1`\n{outcome}");
        assert!(outcome.calls > 50 && outcome.messages > 100, "seed {seed} does nothing");
    }
}

#[test]
fn every_promise_holds_1() {
    hold(0..30);
}

#[test]
fn every_promise_holds_2() {
    hold(30..60);
}

#[test]
fn every_promise_holds_3() {
    hold(60..90);
}

#[test]
fn every_promise_holds_in_a_rough_sea() {
    for seed in 0..20 {
        let outcome = run(&Plan::rough(seed), None);
        assert_eq!(
            outcome.broken(),
            None,
            "`cargo xtask sim --rough --seed {seed} --runs 1`\n{outcome}"
        );
    }
}

/// The library as it is, in the worlds that are made after the stories of what it must not be without.
#[test]
fn every_promise_holds_where_weaknesses_show() {
    for weakness in [
        Weakness::NonceReused,
        Weakness::ExpiredMarkDoesNotTaint,
        Weakness::DirtyRowDeletedUnconditionally,
        Weakness::CommitIgnoresEpoch,
    ] {
        for seed in 0..10 {
            let plan = weakness.plan(seed);
            let outcome = run(&plan, None);
            assert_eq!(outcome.broken(), None, "{weakness:?}, seed {seed}\n{plan}{outcome}");
        }
    }
}

/// Nothing of a stopped process runs, and it goes on: what it was asked has waited meanwhile.
#[test]
fn a_process_stops_and_goes_on() {
    let kind = FaultKind::Freeze { process: 0 };
    let fault = Fault { at_ms: 2_000, for_ms: 4_000, kind };
    let calm = Plan { processes: 1, writers: 1, noise: Noise::default(), ..Plan::unfrozen(3) };
    let calm = Plan { faults: Vec::new(), work_ms: 9_000, calls: 100_000, think_ms: 10, ..calm };
    let stopped = run(&Plan { faults: vec![fault], ..calm.clone() }, None);
    let calm = run(&calm, None);
    assert_eq!((calm.broken(), stopped.broken()), (None, None), "{calm}{stopped}");
    assert!(stopped.calls < calm.calls * 3 / 4, "{} and {}", stopped.calls, calm.calls);
    assert!(stopped.calls > calm.calls / 3, "{} and {}", stopped.calls, calm.calls);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..5 {
        let plan = Plan::of(seed);
        assert_eq!(run(&plan, None).hash, run(&plan, None).hash, "seed {seed}");
    }
    assert_ne!(run(&Plan::of(0), None).hash, run(&Plan::of(1), None).hash);
}

#[test]
fn a_missing_mechanism_is_noticed() {
    // Those that few seeds notice are for the long form.
    for weakness in [
        Weakness::NoMark,
        Weakness::FillWithoutToken,
        Weakness::PublishUnconditionally,
        Weakness::NoWaitInStrict,
        Weakness::UnknownCommitRetried,
        Weakness::ColdKeepsGeneration,
        Weakness::IdentityNotChecked,
    ] {
        let noticed = |seed| run(&Plan::of(seed), Some(weakness)).broken().is_some();
        assert!((0..SEEDS_MAX).any(noticed), "{weakness:?} is not noticed by {SEEDS_MAX} seeds");
    }
}

#[test]
fn what_fails_is_made_small() {
    let weakness = Some(Weakness::PublishUnconditionally);
    let found = (1..50).find_map(|seed| {
        let plan = Plan::unfrozen(seed);
        shrink(&plan, weakness).map(|small| (plan, small))
    });
    let (plan, (small, outcome)) = found.unwrap();
    assert!(outcome.broken().is_some(), "{small}{outcome}");
    assert!(small.work_ms < plan.work_ms && small.processes <= plan.processes, "{small}");
}

/// Found by the simulation: every process that looked raised the beacon, whatever it found, before it compared it; so after
/// a silent roll-back the looks themselves brought it back to where the record's stood, and the loss was hidden for ever.
#[test]
fn looking_does_not_hide_a_roll_back() {
    for seed in [4_325, 4_410, 5_632, 7_939] {
        let outcome = run(&Plan::unfrozen(seed), None);
        assert_eq!(outcome.broken(), None, "seed {seed}\n{outcome}");
    }
}

/// What is rolled back to a state in which a key was dirty shows what that key was before: dirty rows tell of it then, and
/// not any more after they have been drained in the state that is lost.
#[test]
fn a_roll_back_to_dirty_keys_is_excused() {
    let outcome = run(&Plan::of(6_761), None);
    assert_eq!(outcome.broken(), None, "{outcome}");
}

/// Found by the simulation: a strict write that came before its process's first look did not know how long it had to
/// wait, so it held its dirty row open for a minute, though its caller had long gone.
#[test]
fn a_dirty_row_is_not_held_open_for_nobody() {
    let cut = FaultKind::Cut { process: 1, site: Site::Record, way: Way::There };
    let plan = Plan {
        strict: true,
        lease: Duration::from_millis(1_542),
        statement: Duration::from_millis(310),
        mark: Duration::from_millis(1_283),
        dirty_max: 1_000,
        evicts: false,
        audits: false,
        processes: 2,
        writers: 2,
        clients: 1,
        keys: 1,
        counters: 1,
        work_ms: 9_741,
        calls: 42,
        pauses: false,
        sessions: true,
        compares: false,
        noise: Noise::default(),
        lagging: &[],
        fast_ppm: [0; 2],
        faults: vec![
            Fault { at_ms: 3_412, for_ms: 4_283, kind: cut },
            Fault { at_ms: 4_865, for_ms: 284, kind: FaultKind::Crash { process: 1 } },
        ],
        ..Plan::unfrozen(67)
    };
    let outcome = run(&plan, None);
    assert_eq!(outcome.broken(), None, "{plan}{outcome}");
}
