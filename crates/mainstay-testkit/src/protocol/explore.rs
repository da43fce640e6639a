//! How an exploration of this protocol is started, and told.
//! It must not know the protocol.

use super::scenario::Scenario;
use super::state::State;
use super::step::Step;
use super::weakening::Weakening;
use super::{ANSWERS, COPIES, Protocol, story};
use crate::exploration::{self, Exploration, Search, Told};
use stateright::HasDiscoveries;

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
    exploration::explore(model, search, steps_max, progress)
}

impl Told for Protocol {
    const PROMISES: &'static [&'static str] = &[ANSWERS, COPIES];

    /// An old copy that nobody reads is not yet a wrong answer.
    fn wanted() -> HasDiscoveries {
        HasDiscoveries::AllOf([ANSWERS].into())
    }

    fn opening(&self, state: &State) -> String {
        story::opening(state)
    }

    fn line(&self, before: &State, step: Step, after: &State) -> String {
        story::line(self, before, step, after)
    }

    fn end(&self, state: &State) -> String {
        story::end(state)
    }
}
