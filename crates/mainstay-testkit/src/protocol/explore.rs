//! One exploration: start the checker, wait, and say what it found.
//! It must not know the protocol.

use super::scenario::Scenario;
use super::state::State;
use super::step::Step;
use super::weakening::Weakening;
use super::{ANSWERS, COPIES, Protocol, story};
use stateright::{Checker, HasDiscoveries, Model, Path};
use std::thread::JoinHandle;
use std::time::Duration;

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Breadth first, until some answer breaks the promise: the story is a shortest one.
    ForAWrongAnswer,
    /// Depth first, in little memory: every state, unless some property fails.
    Everything,
}

/// What an exploration found.
#[derive(Debug, Clone)]
pub struct Exploration {
    /// Different states.
    pub states: usize,
    /// Steps taken, those into known states included.
    pub steps: usize,
    /// The longest chain of steps.
    pub depth: usize,
    /// Which property failed; `None` if all states were visited and every property held in each, or if `ended_early`.
    pub broken: Option<&'static str>,
    /// How it came about: one line for each step.
    pub story: Vec<String>,
    /// The limit of steps was reached before the end.
    pub ended_early: bool,
}

/// Explores a scenario with the whole protocol or without one rule; ends early after about `steps_max` steps.
/// `progress` hears the number of different states now and then.
pub fn explore(
    scenario: &Scenario,
    weakening: Option<Weakening>,
    search: Search,
    steps_max: usize,
    progress: impl FnMut(usize),
) -> Exploration {
    let model = Protocol { scenario: scenario.clone(), weakening };
    let builder = model.checker().target_state_count(steps_max);
    match search {
        Search::ForAWrongAnswer => {
            let wanted = HasDiscoveries::AllOf([ANSWERS].into());
            finish(builder.finish_when(wanted).spawn_bfs(), steps_max, progress)
        }
        Search::Everything => {
            let builder = builder.finish_when(HasDiscoveries::AnyFailures);
            finish(builder.spawn_dfs(), steps_max, progress)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for the checker's own thread")]
fn finish(
    mut checker: impl Checker<Protocol>,
    steps_max: usize,
    mut progress: impl FnMut(usize),
) -> Exploration {
    let workers = checker.handles();
    while !workers.iter().all(JoinHandle::is_finished) {
        std::thread::sleep(Duration::from_millis(20));
        progress(checker.unique_state_count());
    }
    let mut found = checker.discoveries();
    let broken = [ANSWERS, COPIES].into_iter().find(|name| found.contains_key(name));
    let path = broken.and_then(|name| found.remove(name));
    Exploration {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        broken,
        story: path.map_or_else(Vec::new, |path| told(checker.model(), path)),
        ended_early: broken.is_none() && checker.state_count() >= steps_max,
    }
}

fn told(protocol: &Protocol, path: Path<State, Step>) -> Vec<String> {
    let moments = path.into_vec();
    let opening = moments.first().map(|(state, _)| story::opening(state));
    let steps = moments.windows(2).filter_map(|pair| {
        let [(before, step), (after, _)] = pair else { return None };
        Some(story::line(protocol, before, (*step)?, after))
    });
    let end = moments.last().map(|(state, _)| story::end(state));
    opening.into_iter().chain(steps).chain(end).collect()
}
