//! Makes a plan that fails as small as it can and still fails in the same way.
//! It must not know why it fails.

use super::{Outcome, Plan, Trouble, Weakness, run};
use crate::sim::{Noise, shrink::smallest};

/// Runs that one shrinking may take.
const RUNS_MAX: usize = 300;

/// The smallest plan that was found, and what comes of it.
#[must_use]
pub fn shrink(plan: &Plan, weakness: Option<Weakness>) -> Option<(Plan, Outcome)> {
    let outcome = run(plan, weakness);
    let broken = outcome.broken?;
    let alike = |candidate: &Plan| {
        let outcome = run(candidate, weakness);
        (outcome.broken == Some(broken)).then_some(outcome)
    };
    Some(smallest((plan.clone(), outcome), RUNS_MAX, candidates, alike))
}

/// Smaller plans, the boldest first.
fn candidates(plan: &Plan, outcome: &Outcome) -> Vec<Plan> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        if smaller != *plan {
            all.push(smaller);
        }
    };
    if let Some(at) = outcome.broken_at {
        let needed = at / 1_000 + 1;
        if needed + 200 < plan.work_ms {
            with(&|plan| plan.work_ms = needed);
        }
    }
    with(&|plan| plan.faults.clear());
    for index in 0..plan.faults.len() {
        with(&|plan| {
            plan.faults.remove(index);
        });
    }
    with(&|plan| plan.noise = Noise::default());
    with(&|plan| plan.fast_ppm = [0; 3]);
    with(&|plan| plan.processes = (plan.processes - 1).max(1));
    with(&|plan| plan.contenders = (plan.contenders - 1).max(1));
    with(&|plan| plan.locks = 1);
    with(&|plan| plan.think_ms *= 2);
    with(&|plan| plan.work_ms = plan.work_ms * 3 / 4);
    with(&|plan| plan.noise.late = 0);
    with(&|plan| plan.noise.slow = 0);
    with(&|plan| plan.noise.lost = 0);
    with(&|plan| plan.noise.refused = 0);
    all.retain(|plan| plan.think_ms < 10_000 && sound(plan));
    all
}

/// Whether every process that a fault names exists.
fn sound(plan: &Plan) -> bool {
    plan.faults.iter().all(|fault| match fault.kind {
        Trouble::Cut { process, .. }
        | Trouble::Alone { process }
        | Trouble::Crash { process }
        | Trouble::Freeze { process }
        | Trouble::Forget { split: Some(process), .. } => process < plan.processes,
        _ => true,
    })
}
