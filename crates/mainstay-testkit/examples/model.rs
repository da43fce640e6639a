//! Explores the model of the cache protocol: the full form, then each weakening with its story. Started by
//! `cargo xtask model`; `weakenings` leaves the full form out, a name explores the scenarios whose names hold it.
#![expect(clippy::print_stdout, reason = "a command line speaks on standard output")]
#![expect(clippy::disallowed_methods, reason = "a command line takes real time")]

use mainstay_testkit::protocol::{
    Exploration, Scenario, Search, Weakening, catching, explore, full, small,
};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// About 2 GB and ten minutes.
const STEPS_MAX: usize = 400_000_000;
const NEWS_EVERY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let only = std::env::args().nth(1).unwrap_or_default();
    let scenarios: Vec<Scenario> = small().into_iter().chain(full()).collect();
    let chosen = scenarios.iter().filter(|scenario| scenario.name.contains(&only));
    let mut sound = true;
    for scenario in chosen {
        let found = run(scenario, None, Search::Everything);
        let verdict = match (found.broken, found.ended_early) {
            (Some(property), _) => format!("BROKEN: {property}"),
            (None, true) => "ended early, nothing broken so far".to_owned(),
            (None, false) => "holds in every state".to_owned(),
        };
        println!("    {verdict}");
        tell(&found);
        sound &= found.broken.is_none();
    }
    if only.is_empty() || only == "weakenings" {
        for weakening in Weakening::ALL {
            println!("\n{weakening:?}");
            let found = run(&catching(weakening), Some(weakening), Search::ForAWrongAnswer);
            tell(&found);
            sound &= found.broken.is_some();
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Explores, prints news and at the end the counts.
fn run(scenario: &Scenario, weakening: Option<Weakening>, search: Search) -> Exploration {
    let begun = Instant::now();
    let mut news = begun;
    let found = explore(scenario, weakening, search, STEPS_MAX, |states| {
        if news.elapsed() >= NEWS_EVERY {
            news = Instant::now();
            println!("    {states} states so far, {:.0} s", begun.elapsed().as_secs_f64());
        }
    });
    let (states, steps, took) = (found.states, found.steps, begun.elapsed().as_secs_f64());
    println!("{:<36} {states:>10} states {steps:>11} steps {took:>6.1} s", scenario.name);
    found
}

fn tell(found: &Exploration) {
    found.story.iter().for_each(|line| println!("    {line}"));
}
