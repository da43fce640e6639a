//! One row grants, on its database's clock: leases, late messages, holders that stall.
//! It must not know any other backend.

mod scenario;

#[cfg(test)]
mod tests;

pub use scenario::{Scenario, Weakening, catching, full, small};

use super::client;
use super::fleet::{Ask, Fleet, Guard, Message, Wrong};
use super::row::{Row, Rules};
use crate::exploration::{self, Exploration, Search, Told};
use stateright::{Model, Property};

const ONE_HOLDER: &str = "no two holders within their leases";
const ORDERED: &str = "tokens strictly increase";
/// Whoever was told that the lease had ended can rely on it.
const ENDED: &str = "a lease that has ended does not come back";

/// The protocol in one scenario, whole or without one of its rules.
#[derive(Debug, Clone)]
struct Record {
    scenario: Scenario,
    rules: Rules,
}

/// The world: the row, and who believes what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    row: Row,
    fleet: Fleet,
}

/// Indices name clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Tick,
    Acquire(usize),
    Renew(usize),
    Release(usize),
    Arrives(Message),
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
    let rules = Rules {
        release_checks_holder: weakening != Some(Weakening::ReleaseWithoutHolder),
        renewal_checks_expiry: weakening != Some(Weakening::RenewalIgnoresExpiry),
        expiry_moves_token: weakening != Some(Weakening::ExpiryKeepsToken),
    };
    let model = Record { scenario: scenario.clone(), rules };
    exploration::explore(model, search, steps_max, progress)
}

impl Record {
    /// What the row does, and the reply to it.
    fn arrives(&self, state: &mut State, message: Message) -> Option<()> {
        state.fleet.arrived(message)?;
        let (ttl, nonce, epoch) = (self.scenario.ttl, message.nonce, message.epoch);
        match message.ask {
            Ask::Acquire { age } => {
                if let Some(counter) = state.row.acquire(nonce, ttl, self.rules) {
                    let (token, left) = ((epoch, counter), ttl - age);
                    state.fleet.granted(Guard { nonce, epoch, token, left });
                }
            }
            Ask::Renew { age } => {
                let had_ended = state.row.left == 0;
                if state.row.renew(nonce, ttl, self.rules) {
                    state.fleet.renewed(nonce, ttl - age);
                    if had_ended {
                        state.fleet.wrong = Some(Wrong::CameBack { of: nonce.client });
                    }
                }
            }
            Ask::Release => state.row.release(nonce, self.rules),
        }
        Some(())
    }
}

impl Model for Record {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State { row: Row::default(), fleet: Fleet::new(self.scenario.clients) }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let (fleet, scenario) = (&state.fleet, &self.scenario);
        if fleet.wrong.is_some() {
            return;
        }
        steps.push(Step::Tick);
        for by in 0..fleet.clients.len() {
            steps.extend(fleet.may_acquire(by, scenario.acquisitions).map(|_| Step::Acquire(by)));
            steps.extend(fleet.may_renew(by, scenario.ttl).map(|_| Step::Renew(by)));
            steps.extend(fleet.clients[by].guard.map(|_| Step::Release(by)));
        }
        steps.extend(fleet.messages.iter().map(|message| Step::Arrives(*message)));
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut next = last.clone();
        let (fleet, scenario) = (&mut next.fleet, &self.scenario);
        match step {
            Step::Tick => {
                fleet.tick(scenario.ttl);
                next.row.tick();
            }
            Step::Acquire(by) => fleet.acquire(fleet.may_acquire(by, scenario.acquisitions)?, 0),
            Step::Renew(by) => fleet.renew(fleet.may_renew(by, scenario.ttl)?),
            Step::Release(by) => fleet.release(by),
            Step::Arrives(message) => self.arrives(&mut next, message)?,
        }
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
            Property::always(ENDED, |_, state: &State| {
                !matches!(state.fleet.wrong, Some(Wrong::CameBack { .. }))
            }),
        ]
    }
}

impl Told for Record {
    const PROMISES: &'static [&'static str] = &[ONE_HOLDER, ORDERED, ENDED];

    fn opening(&self, _: &State) -> String {
        format!("The row is free; a lease lasts {} ticks.", self.scenario.ttl)
    }

    fn line(&self, _: &State, step: Step, after: &State) -> String {
        match step {
            Step::Tick => {
                format!("Time passes: {}; the row is {}.", after.fleet.told(), after.row.told())
            }
            Step::Acquire(by) => format!("{} asks for the lock.", client(by)),
            Step::Renew(by) => format!("{} asks for its lease anew.", client(by)),
            Step::Release(by) => format!("{} releases.", client(by)),
            Step::Arrives(message) => format!(
                "{}: the row is {}, token {}; {}.",
                message.told(),
                after.row.told(),
                after.row.counter,
                after.fleet.told()
            ),
        }
    }

    fn end(&self, state: &State) -> String {
        state.fleet.wrong.map_or_else(String::new, |wrong| wrong.told())
    }
}
