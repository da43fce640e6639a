//! A counter-example in words: one line for each step.
//! It must not decide anything.

use super::state::{Epoch, Seat, State};
use super::steps::Step;
use crate::locks::client;

/// What the step did.
pub(super) fn line(step: Step, after: &State) -> String {
    match step {
        Step::Tick => format!("Time passes: {}{}.", after.fleet.told(), waits(after)),
        Step::Look(by) => {
            format!("{} looks: {}.", client(by), authority(after.newest(), after.authority()))
        }
        Step::Acquire(by) => {
            let epoch = after.views[by].map_or(0, |view| view.epoch);
            let seat = seat(after.epochs[usize::from(epoch)].seat);
            format!("{} asks {seat} for the lock, epoch {epoch}.", client(by))
        }
        Step::Renew(by) => format!("{} asks for its lease anew.", client(by)),
        Step::Release(by) => format!("{} releases.", client(by)),
        Step::Arrives(message) => {
            let epoch = after.epochs[usize::from(message.epoch)];
            let row = if epoch.seat == Seat::Record { after.row } else { epoch.key };
            format!(
                "{}: at {} the lock is {}, counter {}; {}.",
                message.told(),
                seat(epoch.seat),
                row.told(),
                row.counter,
                after.fleet.told()
            )
        }
        Step::Move(_) => {
            format!("The authority moves: {}.", authority(after.newest(), after.authority()))
        }
        Step::Promotion => {
            format!("Redis {} takes the place of the other, without its data.", after.redis)
        }
    }
}

fn authority(number: u8, epoch: Epoch) -> String {
    let wait = if epoch.wait > 0 { format!(" in {}", epoch.wait) } else { String::new() };
    format!("epoch {number}, {} grants{wait}", seat(epoch.seat))
}

fn waits(state: &State) -> String {
    let (number, authority) = (state.newest(), state.authority());
    if authority.wait == 0 {
        return String::new();
    }
    format!("; epoch {number} begins in {}", authority.wait)
}

fn seat(seat: Seat) -> String {
    match seat {
        Seat::Record => "the record".to_owned(),
        Seat::Redis(0) => "Redis".to_owned(),
        Seat::Redis(number) => format!("Redis {number}"),
    }
}
