//! Makes a plan that fails as small as it can and still fails in the same way.
//! It must not know why it fails.

use super::{Broken, Noise, Outcome, Plan, Weakness, run};

/// Runs that one shrinking may take.
const RUNS_MAX: usize = 400;

/// The smallest plan that was found, and what comes of it.
#[must_use]
pub fn shrink(plan: &Plan, weakness: Option<Weakness>) -> Option<(Plan, Outcome)> {
    let outcome = run(plan, weakness);
    let broken = outcome.broken()?;
    let alike = |candidate: &Plan| {
        let outcome = run(candidate, weakness);
        fails_alike(&outcome, broken).then_some(outcome)
    };
    Some(smallest((plan.clone(), outcome), RUNS_MAX, candidates, alike))
}

/// The smallest of what fails alike: from `best` on, the first of its candidates that does, until none does or `runs` have
/// been made.
pub(super) fn smallest<P, O>(
    mut best: (P, O),
    mut runs: usize,
    candidates: impl Fn(&P, &O) -> Vec<P>,
    alike: impl Fn(&P) -> Option<O>,
) -> (P, O) {
    loop {
        let mut smaller = candidates(&best.0, &best.1);
        smaller.truncate(runs);
        let better = smaller.into_iter().find_map(|candidate| {
            runs -= 1;
            let outcome = alike(&candidate)?;
            Some((candidate, outcome))
        });
        match better {
            Some(found) => best = found,
            None => return best,
        }
    }
}

fn fails_alike(outcome: &Outcome, broken: Broken) -> bool {
    match broken {
        Broken::Promise(promise) => outcome.report.seen(promise) > 0,
        Broken::Recovery => !outcome.problems.is_empty(),
    }
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
    if let Some(at) = outcome.violated_at {
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
    with(&|plan| plan.processes = (plan.processes - 1).max(1));
    with(&|plan| plan.clients = (plan.clients - 1).max(1));
    with(&|plan| plan.pauses = false);
    with(&|plan| plan.sessions = true);
    with(&|plan| plan.compares = false);
    with(&|plan| plan.fast_ppm = [0; 2]);
    with(&|plan| plan.lagging = &[]);
    with(&|plan| plan.writers = plan.processes);
    with(&|plan| plan.keys = 1);
    with(&|plan| plan.counters = 1);
    with(&|plan| plan.work_ms = plan.work_ms * 3 / 4);
    with(&|plan| plan.calls = plan.calls * 2 / 3);
    with(&|plan| plan.noise.late = 0);
    with(&|plan| plan.noise.slow = 0);
    with(&|plan| plan.noise.lost = 0);
    with(&|plan| plan.noise.refused = 0);
    all.retain(sound);
    all
}

/// Whether every process that a fault names exists.
fn sound(plan: &Plan) -> bool {
    use super::FaultKind::{Crash, Cut, Freeze, Promote};
    plan.faults.iter().all(|fault| match fault.kind {
        Cut { process, .. }
        | Crash { process }
        | Freeze { process }
        | Promote { split: Some(process), .. } => process < plan.processes,
        _ => true,
    })
}
