//! The whole library in a simulated world: several processes, two servers, one seed, and the checkers of [`history`].
//! It must not know how the library keeps its promises; it only breaks the world and looks.
//!
//! The library runs as it is, on the paused clock and one thread. The servers are [`Memory`] backends, which answer by
//! the same pure functions that every adapter is held to. One seed gives one run ([`Plan::of`]); the same plan gives the
//! same run, event by event ([`Outcome::hash`]). What is expected is DESIGN.md's table of promises, chapter 5:
//!
//! - strict: no read misses a write that was acknowledged before it began; bounded: none by more than a lease;
//! - within one lease after Redis's loss of data was noticed, reads of copies may show what Redis held then;
//! - sessions never go back, nothing acknowledged is lost, nothing takes effect twice, labels are true;
//! - after everything is mended: leases everywhere within a minute, no dirty keys, copies equal the record, and are read;
//! - nobody degrades the cache of others without a loss of data or too many dirty keys.
//!
//! [`history`]: crate::history
//! [`Memory`]: mainstay::backend::memory::Memory

mod aim;
mod client;
mod dice;
mod doubt;
mod fate;
mod fleet;
mod freeze;
mod hangs;
mod link;
pub mod locks;
mod nemesis;
mod plan;
mod process;
mod rest;
mod servers;
mod shrink;
mod weakness;
mod world;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::history::{Fate, Promise, Report, Trace};

pub use plan::{Fault, FaultKind, Noise, Plan, Site, Way};
pub use shrink::shrink;
pub use weakness::Weakness;

/// What came of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of every event, in its order: equal runs have equal ones.
    pub hash: u64,
    /// What the checkers say.
    pub report: Report,
    /// What did not become well, or was done for nothing.
    pub problems: Vec<String>,
    /// Calls of clients.
    pub calls: u64,
    /// Messages that a server performed.
    pub messages: u64,
    /// How often the weakness made a difference, where that is counted: messages that were sent again, and those that are
    /// rare.
    pub weakened: u64,
    /// When the last call of a violation ended, microseconds: nothing after it matters.
    pub violated_at: Option<u64>,
}

/// What was broken first, by its kind: two runs with the same one have failed in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// A promise of the history.
    Promise(Promise),
    /// It did not recover, or did something for nothing.
    Recovery,
}

/// Runs one plan; with a weakness, without that mechanism.
///
/// # Panics
/// When no runtime can be built.
#[must_use]
pub fn run(plan: &Plan, weakness: Option<Weakness>) -> Outcome {
    on_virtual_time(live(plan, weakness))
}

/// On one thread, whose clock goes on when nothing else does.
#[expect(clippy::panic, reason = "without a runtime there is no simulation")]
fn on_virtual_time<T>(history: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap_or_else(|error| panic!("no runtime: {error}"));
    runtime.block_on(history)
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
    let problems = rest::bring(&world, &fleet).await;
    let trace = world.history.trace();
    let report = Report::of(&trace);
    let violated_at = violated_at(&report, &trace);
    let mut state = world.state();
    for op in &trace.ops {
        let ended = op.ended().map_or(u64::MAX, |at| at.t);
        let kind = match op.fate {
            Fate::Open => 0,
            Fate::Ok(..) => 1,
            Fate::Failed(_) => 2,
            Fate::Unknown(_) => 3,
        };
        state.fold_numbers(&[op.invoked.t, op.invoked.event, ended, kind]);
    }
    let (hash, messages, weakened) = (state.hash, state.messages, state.weakened);
    let calls = trace.ops.len() as u64;
    Outcome { hash, report, problems, calls, messages, weakened, violated_at }
}

fn violated_at(report: &Report, trace: &Trace) -> Option<u64> {
    let ended = |id: &crate::history::OpId| trace.op(*id)?.ended().map(|at| at.t);
    report.violations().filter_map(|found| found.ops.iter().filter_map(ended).max()).min()
}

impl Outcome {
    /// What was broken, if anything was.
    #[must_use]
    pub fn broken(&self) -> Option<Broken> {
        let promise = Promise::ALL.into_iter().find(|promise| self.report.seen(*promise) > 0);
        let recovery = (!self.problems.is_empty()).then_some(Broken::Recovery);
        promise.map(Broken::Promise).or(recovery)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "BAD {problem}")?;
        }
        write!(f, "{}", self.report)
    }
}
