//! The short form of the simulation.

use super::{Plan, run};

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..8 {
        let plan = Plan::of(seed);
        let (first, second) = (run(&plan, None), run(&plan, None));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert!(first.calls > 100 && first.messages > 300, "seed {seed}");
    }
}
