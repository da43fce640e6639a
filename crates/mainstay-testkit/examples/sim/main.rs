//! Runs simulations of the whole library, one seed after the other. Started by `cargo xtask sim`.
//! `--seed N` is the first seed, `--runs M` how many, `--rough` makes what is rare common, `--locks` is about locks instead
//! of values, `--mutations` leaves each mechanism out in turn and has to notice.
#![expect(clippy::print_stdout, reason = "a command line speaks on standard output")]
#![expect(clippy::disallowed_methods, reason = "a command line takes real time")]

mod locks;

use mainstay_testkit::sim::{Plan, Weakness, run, shrink};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const NEWS_EVERY: Duration = Duration::from_secs(10);
/// Within so many histories each mutation has to be noticed.
const MUTATION_RUNS: u64 = 2_000;

struct Arguments {
    seed: u64,
    runs: u64,
    mutations: bool,
    rough: bool,
    locks: bool,
    /// The name of one mutation.
    only: Option<String>,
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            println!("{problem}");
            return ExitCode::from(2);
        }
    };
    let sound = if arguments.locks { locks::main(&arguments) } else { values(&arguments) };
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn values(arguments: &Arguments) -> bool {
    match (&arguments.only, arguments.mutations) {
        (None, false) => histories(arguments.seed, arguments.runs, arguments.rough),
        (None, true) => {
            let caught = Weakness::ALL.map(|weakness| mutation(weakness, arguments));
            caught.into_iter().all(|caught| caught)
        }
        (Some(name), _) => {
            let named = |weakness: &Weakness| format!("{weakness:?}") == *name;
            if let Some(weakness) = Weakness::ALL.into_iter().find(named) {
                return mutation(weakness, arguments);
            }
            println!("there is no {name}");
            false
        }
    }
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments =
        Arguments { seed: 0, runs: 0, mutations: false, rough: false, locks: false, only: None };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--seed" => arguments.seed = number(value()?)?,
            "--runs" => arguments.runs = number(value()?)?,
            "--rough" => arguments.rough = true,
            "--locks" => arguments.locks = true,
            "--mutations" => arguments.mutations = true,
            "--mutation" => arguments.only = Some(value()?),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    if arguments.runs == 0 {
        let all = arguments.mutations || arguments.only.is_some();
        arguments.runs = if all { MUTATION_RUNS } else { 2_000 };
    }
    Ok(arguments)
}

fn histories(first: u64, runs: u64, rough: bool) -> bool {
    let begun = Instant::now();
    let (mut news, mut failed, mut calls, mut messages) = (begun, 0, 0, 0);
    for seed in first..first + runs {
        let plan = if rough { Plan::rough(seed) } else { Plan::of(seed) };
        let outcome = run(&plan, None);
        calls += outcome.calls;
        messages += outcome.messages;
        if runs == 1 {
            println!("{plan}{outcome}hash {:016x}", outcome.hash);
        }
        if let Some(broken) = outcome.broken() {
            failed += 1;
            println!("seed {seed} is broken: {broken:?}");
            if failed <= 3 {
                tell(&plan, None);
            }
        }
        if news.elapsed() >= NEWS_EVERY {
            news = Instant::now();
            println!(
                "    {} histories, {failed} broken, {:.0} s",
                seed + 1 - first,
                begun.elapsed().as_secs_f64()
            );
        }
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{runs} histories, {failed} broken, {calls} calls, {messages} messages, {took:.1} s: {:.0} histories a minute",
        runs as f64 * 60.0 / took
    );
    failed == 0
}

/// The smallest plan that fails in the same way, and its history.
fn tell(plan: &Plan, weakness: Option<Weakness>) {
    if let Some((small, outcome)) = shrink(plan, weakness) {
        println!("the shortest that was found, of {} calls:\n{small}{outcome}", outcome.calls);
    }
}

fn mutation(weakness: Weakness, arguments: &Arguments) -> bool {
    let begun = Instant::now();
    let mut weakened = 0;
    for seed in arguments.seed..arguments.seed + arguments.runs {
        let plan = weakness.plan(seed);
        let outcome = run(&plan, Some(weakness));
        weakened += outcome.weakened;
        if let Some(broken) = outcome.broken() {
            let took = begun.elapsed().as_secs_f64();
            let runs = seed + 1 - arguments.seed;
            println!(
                "{weakness:?}: caught by seed {seed} after {runs} histories, {took:.1} s: {broken:?}{}",
                difference(weakened)
            );
            if arguments.only.is_some() {
                tell(&plan, Some(weakness));
            }
            return true;
        }
    }
    println!("{weakness:?}: NOT caught by {} histories{}", arguments.runs, difference(weakened));
    false
}

/// How often leaving the mechanism out made a difference, where that is counted.
fn difference(weakened: u64) -> String {
    if weakened > 0 { format!(", a difference {weakened} times") } else { String::new() }
}
