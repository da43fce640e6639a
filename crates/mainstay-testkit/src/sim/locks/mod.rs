//! The locks of the library in the simulated world: contenders in several processes, one to three servers, one seed.
//! It must not know how a lock stays one lock; it only breaks the world and looks.
//!
//! What is expected is docs/locks.md, while what it assumes holds (clocks that differ by 1 %, a database that does not
//! forget, not more than one of three members that has forgotten, and none that is two servers for a second):
//!
//! - at no moment two believe to hold one lock, by the guard's own word or until the end of a grant;
//! - each grant's token is higher than those of all grants before;
//! - no fenced write is applied after one of a later holder;
//! - a lease that has ended does not last again;
//! - after everything is mended each process gets each lock within a minute, and nobody has it at the end.

mod aim;
mod contender;
mod judge;
mod link;
mod nemesis;
mod plan;
mod process;
mod rest;
mod shrink;
mod weakness;
mod world;

#[cfg(test)]
mod tests;

use std::fmt;

pub use judge::{Broken, Counts};
pub use plan::{Fault, Mode, Plan, Trouble};
pub use shrink::shrink;
pub use weakness::Weakness;

/// What came of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of every event, in its order: equal runs have equal ones.
    pub hash: u64,
    /// What was broken first.
    pub broken: Option<Broken>,
    /// When, microseconds.
    pub broken_at: Option<u64>,
    /// The last events before that, or before the end.
    pub story: Vec<String>,
    /// How much happened.
    pub counts: Counts,
    /// Messages that a server performed.
    pub messages: u64,
    /// How long it took, once everything was mended, until each process had had each lock, milliseconds.
    pub recovered_ms: u64,
}

/// Runs one plan; with a weakness, without that rule.
///
/// # Panics
/// When no runtime can be built.
#[must_use]
pub fn run(plan: &Plan, weakness: Option<Weakness>) -> Outcome {
    super::on_virtual_time(live(plan, weakness))
}

async fn live(plan: &Plan, weakness: Option<Weakness>) -> Outcome {
    let world = world::World::new(plan, weakness);
    let fleet = process::Fleet::new(plan.processes);
    let faults = mainstay::Tasks::new();
    for fault in &plan.faults {
        faults.spawn(nemesis::carry_out(world.clone(), fleet.clone(), *fault));
    }
    let starts = (0..plan.processes).map(|index| fleet.restart(&world, index));
    futures_util::future::join_all(starts).await;
    tokio::time::sleep_until(world.at(plan.work_ms)).await;
    let recovered_ms = rest::bring(&world, &fleet).await;
    let state = world.state();
    let (found, story) = state.judge.verdict();
    Outcome {
        hash: state.hash,
        broken: found.as_ref().map(|found| found.broken),
        broken_at: found.map(|found| found.at),
        story,
        counts: state.judge.counts,
        messages: state.messages,
        recovered_ms,
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.story.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
