//! The histories about locks: `--locks`, alone or with `--mutations`.
//! It must not know the histories about values.

use std::time::Instant;

use mainstay_testkit::sim::locks::{Mode, Plan, Weakness, run, shrink};

use super::{Arguments, NEWS_EVERY};

/// Of all histories of one mode.
#[derive(Default)]
struct Sum {
    histories: u64,
    broken: u64,
    grants: u64,
    writes: u64,
    refused: u64,
    lost: u64,
    moves: u64,
    faults: u64,
    messages: u64,
    recovered_ms: Vec<u64>,
}

/// Runs what the arguments say; whether all is well.
pub(crate) fn main(arguments: &Arguments) -> bool {
    match (&arguments.only, arguments.mutations) {
        (None, false) => histories(arguments.seed, arguments.runs),
        (None, true) => {
            let caught = Weakness::ALL.map(|weakness| mutation(weakness, arguments));
            caught.into_iter().all(|caught| caught)
        }
        (Some(name), _) => {
            let named = |weakness: &Weakness| format!("{weakness:?}") == *name;
            match Weakness::ALL.into_iter().find(named) {
                Some(weakness) => mutation(weakness, arguments),
                None => {
                    println!("there is no {name}");
                    false
                }
            }
        }
    }
}

fn histories(first: u64, runs: u64) -> bool {
    let begun = Instant::now();
    let (mut news, mut failed) = (begun, 0);
    let mut sums = [Mode::Record, Mode::Failover, Mode::Quorum].map(|mode| (mode, Sum::default()));
    for seed in first..first + runs {
        let plan = Plan::of(seed);
        let outcome = run(&plan, None);
        if let Some((_, sum)) = sums.iter_mut().find(|(mode, _)| *mode == plan.mode) {
            sum.add(&plan, &outcome);
        }
        if runs == 1 {
            println!("{plan}{outcome}{:?}\nhash {:016x}", outcome.counts, outcome.hash);
        }
        if let Some(broken) = outcome.broken {
            failed += 1;
            println!("seed {seed} is broken: {broken:?}");
            if failed <= 3 {
                tell(&plan, None);
            }
        }
        if news.elapsed() >= NEWS_EVERY {
            news = Instant::now();
            let took = begun.elapsed().as_secs_f64();
            println!("    {} histories, {failed} broken, {took:.0} s", seed + 1 - first);
        }
    }
    sums.iter_mut().for_each(|(mode, sum)| sum.print(*mode));
    let took = begun.elapsed().as_secs_f64();
    let rate = runs as f64 * 60.0 / took;
    println!("{runs} histories, {failed} broken, {took:.1} s: {rate:.0} histories a minute");
    failed == 0
}

impl Sum {
    fn add(&mut self, plan: &Plan, outcome: &mainstay_testkit::sim::locks::Outcome) {
        self.histories += 1;
        self.broken += u64::from(outcome.broken.is_some());
        self.grants += outcome.counts.grants;
        self.writes += outcome.counts.writes;
        self.refused += outcome.counts.refused;
        self.lost += outcome.counts.lost;
        self.moves += outcome.counts.moves;
        self.faults += plan.faults.len() as u64;
        self.messages += outcome.messages;
        self.recovered_ms.push(outcome.recovered_ms);
    }

    fn print(&mut self, mode: Mode) {
        self.recovered_ms.sort_unstable();
        let at = |share: usize| {
            let last = self.recovered_ms.len().saturating_sub(1);
            self.recovered_ms.get(last * share / 100).copied().unwrap_or(0)
        };
        println!(
            "{mode:?}: {} histories, {} broken, {} faults, {} grants, {} fenced writes, {} refused, {} lost, {} moves and admissions, {} messages; had again after {} ms (median), {} ms (99 %), {} ms (longest)",
            self.histories,
            self.broken,
            self.faults,
            self.grants,
            self.writes,
            self.refused,
            self.lost,
            self.moves,
            self.messages,
            at(50),
            at(99),
            at(100),
        );
    }
}

/// The smallest plan that fails in the same way, and its history.
fn tell(plan: &Plan, weakness: Option<Weakness>) {
    if let Some((small, outcome)) = shrink(plan, weakness) {
        println!("the shortest that was found:\n{small}{outcome}");
    }
}

fn mutation(weakness: Weakness, arguments: &Arguments) -> bool {
    let begun = Instant::now();
    for seed in arguments.seed..arguments.seed + arguments.runs {
        let plan = weakness.plan(seed);
        if let Some(broken) = run(&plan, Some(weakness)).broken {
            let took = begun.elapsed().as_secs_f64();
            let runs = seed + 1 - arguments.seed;
            println!(
                "{weakness:?}: caught by seed {seed} after {runs} histories, {took:.1} s: {broken:?}"
            );
            tell(&plan, Some(weakness));
            return true;
        }
    }
    println!("{weakness:?}: NOT caught by {} histories", arguments.runs);
    false
}
