//! One exploration of a model: start the checker, wait, and say what it found.
//! It must not know any protocol.

use stateright::{Checker, HasDiscoveries, Model, Path};
use std::hash::Hash;
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

/// A model whose counter-examples can be told in words.
pub(crate) trait Told:
    Model<State: Clone + PartialEq + Hash + Send + Sync + 'static, Action: Clone + PartialEq>
    + Send
    + Sync
    + 'static
{
    /// Its properties; if several fail, the first of them is told.
    const PROMISES: &'static [&'static str];

    /// When a search for a wrong answer has found one.
    fn wanted() -> HasDiscoveries {
        HasDiscoveries::AnyFailures
    }

    /// Where the story begins.
    fn opening(&self, state: &Self::State) -> String;

    /// What the step did.
    fn line(&self, before: &Self::State, step: Self::Action, after: &Self::State) -> String;

    /// What went wrong.
    fn end(&self, state: &Self::State) -> String;
}

/// Explores a model; ends early after about `steps_max` steps. `progress` hears the number of different states now and then.
pub(crate) fn explore<M: Told>(
    model: M,
    search: Search,
    steps_max: usize,
    progress: impl FnMut(usize),
) -> Exploration {
    let builder = model.checker().target_state_count(steps_max);
    match search {
        Search::ForAWrongAnswer => {
            finish(builder.finish_when(M::wanted()).spawn_bfs(), steps_max, progress)
        }
        Search::Everything => {
            let builder = builder.finish_when(HasDiscoveries::AnyFailures);
            finish(builder.spawn_dfs(), steps_max, progress)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for the checker's own thread")]
fn finish<M: Told>(
    mut checker: impl Checker<M>,
    steps_max: usize,
    mut progress: impl FnMut(usize),
) -> Exploration {
    let workers = checker.handles();
    while !workers.iter().all(JoinHandle::is_finished) {
        std::thread::sleep(Duration::from_millis(20));
        progress(checker.unique_state_count());
    }
    let mut found = checker.discoveries();
    let broken = M::PROMISES.iter().copied().find(|name| found.contains_key(name));
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

fn told<M: Told>(model: &M, path: Path<M::State, M::Action>) -> Vec<String> {
    let mut moments = path.into_vec().into_iter();
    let Some((mut before, mut step)) = moments.next() else { return Vec::new() };
    let mut story = vec![model.opening(&before)];
    for (after, next) in moments {
        story.extend(step.map(|step| model.line(&before, step, &after)));
        (before, step) = (after, next);
    }
    story.push(model.end(&before));
    story
}
