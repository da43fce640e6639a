//! A counter-example in words: one line for each step.
//! It must not decide anything.

use super::super::client;
use super::state::{Acquisition, State, Wrong};
use super::steps::Step;

/// What the step did.
pub(super) fn line(before: &State, step: Step, after: &State) -> String {
    match step {
        Step::Grant(by, at) => {
            let (name, counter) = (client(by), after.members[at].counter);
            match before.acquisitions[by] {
                Acquisition::Idle => {
                    format!("{name} begins; backend {at} grants: counter {counter}.")
                }
                Acquisition::Asking { .. } => {
                    format!("Backend {at} grants to {name}: counter {counter}.")
                }
                Acquisition::Committing { .. }
                | Acquisition::Finished { .. }
                | Acquisition::Over => {
                    format!("A late request of {name} arrives: backend {at} grants to it.")
                }
            }
        }
        Step::Choose(by) => match after.acquisitions[by] {
            Acquisition::Finished { token } => {
                format!("{} has the lock: token {token}.", client(by))
            }
            Acquisition::Committing { token, .. } => {
                format!("{} counts the grants, and is going to commit token {token}.", client(by))
            }
            Acquisition::Idle | Acquisition::Asking { .. } | Acquisition::Over => String::new(),
        },
        Step::Commit(by, at) => committed(before, by, at, after),
        Step::LeaseEnds(at) => match before.members[at].holder {
            Some(holder) => format!("The lease of {} at backend {at} ends.", client(holder)),
            None => String::new(),
        },
        Step::Forget(at) => format!("Backend {at} forgets everything."),
        Step::SatOut(at) => {
            let over = (0..after.acquisitions.len()).filter(|by| {
                after.acquisitions[*by] == Acquisition::Over
                    && before.acquisitions[*by] != Acquisition::Over
            });
            let over: String = over.map(|by| format!(" {} gives up.", client(by))).collect();
            format!("Backend {at} has sat out the longest lease.{over}")
        }
        Step::TakeCounter(at, from) => {
            let counter = before.members[from].counter;
            format!("Backend {at} is told the counter of backend {from}: {counter}.")
        }
        Step::Admit(at) => {
            format!("Backend {at} votes again, from counter {}.", after.members[at].counter)
        }
    }
}

fn committed(before: &State, by: usize, at: usize, after: &State) -> String {
    let (name, counter) = (client(by), after.members[at].counter);
    match (before.acquisitions[by], after.acquisitions[by]) {
        (Acquisition::Committing { .. }, Acquisition::Finished { token }) => {
            format!(
                "Backend {at} commits counter {counter} for {name}, which has the lock: token {token}."
            )
        }
        _ => format!("Backend {at} commits counter {counter} for {name}."),
    }
}

/// What the witness says.
pub(super) fn end(state: &State) -> String {
    match state.wrong {
        Some(Wrong::Twice { by, token }) => {
            format!("WRONG: {} was given token {token}, which was given before.", client(by))
        }
        Some(Wrong::NotHigher { by, token, known }) => format!(
            "WRONG: {} was given token {token}, though token {known} had been given before it began.",
            client(by)
        ),
        None => "Nothing is wrong.".to_owned(),
    }
}
