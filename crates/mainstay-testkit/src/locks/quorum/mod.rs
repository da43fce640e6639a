//! The quorum: three independent backends, two phases, arbitrary expiry and late messages, backends that forget.
//! It must not know time: only that a backend sits out longer than any acquisition lasts that counted its vote before.
//!
//! A request may arrive at any time after it was sent, and again. A release, late or lost, does at a backend what an expiry
//! does, and a lease may end there at any time: so releases need no step, and tokens rest on none. What a renewal does where
//! the lease has ended (acquire anew, commit the same token) is in the model: a finished acquisition's requests go on
//! arriving.

mod scenario;
mod state;
mod steps;
mod story;

#[cfg(test)]
mod tests;

pub use scenario::{Scenario, Weakening, catching, full, small};

use crate::exploration::{self, Exploration, Search, Told};
use state::{State, Wrong};
use stateright::{Model, Property};
use steps::Step;

/// Whatever happens.
const UNIQUE: &str = "no two finished acquisitions have the same token";
/// The token of an acquisition that begins after another has finished is higher.
const ORDERED: &str = "a later acquisition has a higher token";

/// The protocol in one scenario, whole or without one of its rules.
#[derive(Debug, Clone)]
struct Quorum {
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
    let model = Quorum { scenario: scenario.clone(), weakening };
    exploration::explore(model, search, steps_max, progress)
}

impl Quorum {
    /// Whether this rule is left out.
    fn lacks(&self, rule: Weakening) -> bool {
        self.weakening == Some(rule)
    }
}

impl Model for Quorum {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.scenario.acquisitions)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.wrong.is_none() {
            self.acquisition_steps(state, steps);
            self.member_steps(state, steps);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut next = last.clone();
        self.take(&mut next, step)?;
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(UNIQUE, |_, state: &State| {
                !matches!(state.wrong, Some(Wrong::Twice { .. }))
            }),
            Property::always(ORDERED, |_, state: &State| {
                !matches!(state.wrong, Some(Wrong::NotHigher { .. }))
            }),
        ]
    }
}

impl Told for Quorum {
    const PROMISES: &'static [&'static str] = &[UNIQUE, ORDERED];

    fn opening(&self, _: &State) -> String {
        "Three backends; the lock is free, every counter is 0.".to_owned()
    }

    fn line(&self, before: &State, step: Step, after: &State) -> String {
        story::line(before, step, after)
    }

    fn end(&self, state: &State) -> String {
        story::end(state)
    }
}
