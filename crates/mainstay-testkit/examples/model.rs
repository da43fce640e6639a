//! Explores the models of the cache protocol and of the locks: the full forms, then each weakening with its story. Started
//! by `cargo xtask model`; `weakenings` leaves the full forms out, a name explores the scenarios whose names hold it.
#![expect(clippy::print_stdout, reason = "a command line speaks on standard output")]
#![expect(clippy::disallowed_methods, reason = "a command line takes real time")]

use mainstay_testkit::exploration::{Exploration, Search};
use mainstay_testkit::{locks, protocol};
use std::fmt::Debug;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// About 2 GB and ten minutes.
const STEPS_MAX: usize = 400_000_000;
const NEWS_EVERY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let only = std::env::args().nth(1).unwrap_or_default();
    let mut sound = true;
    /// The models have one shape, and no type in common.
    macro_rules! explore_all {
        ($($model:path),*) => {$({
            use $model as model;
            sound &= all(&only, &Subject {
                scenarios: model::small().into_iter().chain(model::full()).collect(),
                weakenings: &model::Weakening::ALL,
                name: |scenario| scenario.name,
                catching: model::catching,
                explore: |scenario, weakening, search, steps_max, progress| {
                    model::explore(scenario, weakening, search, steps_max, progress)
                },
            });
        })*};
    }
    explore_all!(protocol, locks::record, locks::failover, locks::quorum);
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One of the models.
struct Subject<S, W: 'static> {
    scenarios: Vec<S>,
    weakenings: &'static [W],
    name: fn(&S) -> &'static str,
    catching: fn(W) -> S,
    explore: Explore<S, W>,
}

/// `explore` of a model; the last is told the number of states now and then.
type Explore<S, W> = fn(&S, Option<W>, Search, usize, &mut dyn FnMut(usize)) -> Exploration;

/// Whether everything holds, and every weakening is caught.
fn all<S, W: Debug + Copy>(only: &str, subject: &Subject<S, W>) -> bool {
    let mut sound = true;
    let named = |scenario: &&S| (subject.name)(scenario).contains(only);
    for scenario in subject.scenarios.iter().filter(named) {
        let found = run(subject, scenario, None, Search::Everything);
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
        for weakening in subject.weakenings {
            println!("\n{weakening:?}");
            let scenario = (subject.catching)(*weakening);
            let found = run(subject, &scenario, Some(*weakening), Search::ForAWrongAnswer);
            tell(&found);
            sound &= found.broken.is_some();
        }
    }
    sound
}

/// Explores, prints news and at the end the counts.
fn run<S, W>(
    subject: &Subject<S, W>,
    scenario: &S,
    weakening: Option<W>,
    search: Search,
) -> Exploration {
    let begun = Instant::now();
    let mut news = begun;
    let mut progress = |states: usize| {
        if news.elapsed() >= NEWS_EVERY {
            news = Instant::now();
            println!("    {states} states so far, {:.0} s", begun.elapsed().as_secs_f64());
        }
    };
    let found = (subject.explore)(scenario, weakening, search, STEPS_MAX, &mut progress);
    let (states, steps, took) = (found.states, found.steps, begun.elapsed().as_secs_f64());
    let name = (subject.name)(scenario);
    println!("{name:<36} {states:>10} states {steps:>11} steps {took:>6.1} s");
    found
}

fn tell(found: &Exploration) {
    found.story.iter().for_each(|line| println!("    {line}"));
}
