//! The protocol that keeps caches true, as a model that is explored in every state it can reach.
//! It must not know the library: the words are those of chapter 5 of the design, and a reader can lay the two side by side.
//!
//! One key, one record (D), one Redis (R). Processes write, read, drain; messages to Redis arrive late or never; leases,
//! marks and tokens end at any time that the rules allow; a process that stops simply takes no further step. `entry` is
//! `mainstay::backend::semantics::copies`; `write` and `control` are `semantics::control` and what `mainstay::sync` and
//! `mainstay::exec` make of it; docs/adr/0007 says what is left out.
//! [`explore`] visits all of it and answers with the number of states, or with the shortest [story](Exploration::story)
//! of how a promise was broken.

mod around;
mod beacon;
mod control;
mod entry;
mod explore;
mod read;
mod scenario;
mod scenarios;
mod state;
mod step;
mod story;
mod weakening;
mod write;

#[cfg(test)]
mod tests;

pub use crate::exploration::{Exploration, Search};
pub use beacon::{BeaconRule, false_accusation, unseen_rollback};
pub use explore::explore;
pub use scenario::{Promise, Scenario, Write};
pub use scenarios::{catching, full, small};
pub use weakening::Weakening;

use entry::Entry;
use state::{FIRST, State, Writer, Writing};
use stateright::{Model, Property};
use step::Step;

/// The protocol in one scenario, whole or without one of its rules.
#[derive(Debug, Clone)]
struct Protocol {
    scenario: Scenario,
    weakening: Option<Weakening>,
}

/// Strict: linearizable per key. Bounded: stale only under a lease that a write around Redis did not wait for. Sessions
/// never go back, no write is applied twice.
const ANSWERS: &str = "every answer keeps the promise";
/// Nobody has to know anything for this to be true: no dirty row, no degraded state, then no old copy.
const COPIES: &str = "a copy that nothing forbids to read equals the record";

impl Protocol {
    /// Whether this rule is left out.
    fn lacks(&self, rule: Weakening) -> bool {
        self.weakening == Some(rule)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        [Entry::Value(FIRST), Entry::Absent].map(|entry| State::new(&self.scenario, entry)).into()
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.witness.wrong.is_some() {
            return;
        }
        for by in 0..state.writers.len() {
            self.write_steps(state, by, |step| steps.push(Step::Write(by, step)));
        }
        for by in 0..state.readers.len() {
            self.read_steps(state, by, |step| steps.push(Step::Read(by, step)));
        }
        for by in 0..state.drains.len() {
            self.drain_steps(state, by, |step| steps.push(step));
        }
        self.control_steps(state, |step| steps.push(Step::Control(step)));
        self.expiries(state, steps);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut next = last.clone();
        match step {
            Step::Write(by, step) => self.write(&mut next, by, step)?,
            Step::Read(by, step) => self.read(&mut next, by, step)?,
            Step::Drain(by) => self.drain(&mut next, by)?,
            Step::DrainStrays(by) => self.drain_strays(&mut next, by),
            Step::Control(step) => self.control(&mut next, step),
            Step::MarkExpires(generation, nonce) => {
                let taints = !self.lacks(Weakening::ExpiryDoesNotTaint);
                next.entry(generation).expire(nonce, taints);
            }
            Step::MarkIsEvicted(generation) => {
                *next.entry(generation) = Entry::Absent;
                next.evictions += 1;
            }
            Step::TokenExpires(generation) | Step::ValueVanishes(generation) => {
                *next.entry(generation) = Entry::Absent;
            }
        }
        self.end_expired_copies(&mut next);
        let old = next.record.dirty && around::is_old(&next);
        next.record.aged |= old && self.lacks(Weakening::AgeSurvivesDeletion);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ANSWERS, |_, state: &State| state.witness.wrong.is_none()),
            Property::always(COPIES, |protocol: &Self, state: &State| {
                protocol.write_is_unprotected(state) || copies_are_true(state)
            }),
        ]
    }
}

impl Protocol {
    /// A write whose mark may have been evicted, and which has not yet seen to it that nothing older is left.
    fn write_is_unprotected(&self, state: &State) -> bool {
        let open = |writer: &Writer| matches!(writer.writing, Writing::Committed(_));
        self.scenario.mark_evictions > 0 && state.writers.iter().any(open)
    }

    /// What time alone takes out of Redis.
    fn expiries(&self, state: &State, steps: &mut Vec<Step>) {
        for (generation, entry) in (0..).zip(&state.redis.entries) {
            match entry {
                Entry::Marked(marks) => {
                    if state.evictions < self.scenario.mark_evictions {
                        steps.push(Step::MarkIsEvicted(generation));
                    }
                    let all = (0..u16::BITS).map(|at| 1 << at);
                    let gone = all.filter(|nonce| {
                        marks.nonces & nonce != 0 && !self.mark_is_needed(state, generation, *nonce)
                    });
                    steps.extend(gone.map(|nonce| Step::MarkExpires(generation, nonce)));
                }
                Entry::Token(_) => steps.push(Step::TokenExpires(generation)),
                Entry::Value(_) if self.scenario.values_vanish => {
                    steps.push(Step::ValueVanishes(generation));
                }
                Entry::Value(_) | Entry::Absent => {}
            }
        }
    }
}

fn copies_are_true(state: &State) -> bool {
    let (record, redis) = (&state.record, &state.redis);
    let readable =
        record.control.active && !record.dirty && redis.incarnation == record.control.incarnation;
    let entry = redis.entries[usize::from(record.control.generation)];
    !readable || !matches!(entry, Entry::Value(value) if value.serial != record.row.serial)
}
