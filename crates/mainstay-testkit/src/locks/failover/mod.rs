//! Redis grants while the authority in the record says so; then the record does, after a wait; and back.
//! It must not know how good clocks are: a unit of time is the same for all.
//!
//! Time is discrete and has no end: only what is left of leases, waits and views is kept. A view is good up to and including
//! Ta, which is a little more than a process allows itself. A Redis that was cut off lives on: requests that name it may
//! still reach it, and one that has taken its place refuses them.

mod scenario;
mod state;
mod steps;
mod story;

#[cfg(test)]
mod tests;

pub use scenario::{Scenario, Weakening, catching, full, small};

use super::fleet::Wrong;
use crate::exploration::{self, Exploration, Search, Told};
use state::State;
use stateright::{Model, Property};
use steps::Step;

const ONE_HOLDER: &str = "no two holders within their leases";
const ORDERED: &str = "tokens strictly increase";

/// The protocol in one scenario, whole or without one of its rules.
#[derive(Debug, Clone)]
struct Failover {
    scenario: Scenario,
    weakening: Option<Weakening>,
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
    let model = Failover { scenario: scenario.clone(), weakening };
    exploration::explore(model, search, steps_max, progress)
}

impl Failover {
    /// Whether this rule is left out.
    fn lacks(&self, rule: Weakening) -> bool {
        self.weakening == Some(rule)
    }
}

impl Model for Failover {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.scenario.clients)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.fleet.wrong.is_none() {
            self.steps(state, steps);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut next = last.clone();
        self.take(&mut next, step)?;
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_HOLDER, |_, state: &State| {
                !matches!(state.fleet.wrong, Some(Wrong::TwoHolders { .. }))
            }),
            Property::always(ORDERED, |_, state: &State| {
                !matches!(state.fleet.wrong, Some(Wrong::NotHigher { .. }))
            }),
        ]
    }
}

impl Told for Failover {
    const PROMISES: &'static [&'static str] = &[ONE_HOLDER, ORDERED];

    fn opening(&self, _: &State) -> String {
        let (ttl, view) = (self.scenario.ttl, self.scenario.view);
        format!("Redis grants, epoch 0; a lease lasts {ttl} ticks, a look at the authority {view}.")
    }

    fn line(&self, _: &State, step: Step, after: &State) -> String {
        story::line(step, after)
    }

    fn end(&self, state: &State) -> String {
        state.fleet.wrong.map_or_else(String::new, |wrong| wrong.told())
    }
}
