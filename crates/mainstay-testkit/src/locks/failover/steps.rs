//! The steps that the world can take, when each is allowed, and what it does.
//! It must not know how a counter-example is told.

use super::Failover;
use super::scenario::Weakening as Weak;
use super::state::{Epoch, Seat, State, View};
use crate::locks::fleet::{Ask, Guard, Message};
use crate::locks::row::{Row, Rules};

/// Indices name clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Tick,
    /// Looks at the authority.
    Look(usize),
    Acquire(usize),
    Renew(usize),
    Release(usize),
    Arrives(Message),
    /// Somebody moves the authority.
    Move(Seat),
    /// Another Redis takes the place of the one that there is. Requests may reach either.
    Promotion,
}

impl Failover {
    pub(super) fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        let (fleet, scenario) = (&state.fleet, &self.scenario);
        steps.push(Step::Tick);
        for by in 0..fleet.clients.len() {
            steps.push(Step::Look(by));
            let view = state.views[by].filter(|view| self.may_ask(state, *view));
            if let Some(view) = view {
                let most = scenario.acquisitions;
                steps.extend(fleet.may_acquire(by, most).map(|_| Step::Acquire(by)));
                let guard = fleet.may_renew(by, scenario.ttl);
                let guard = guard.filter(|guard| guard.epoch == view.epoch);
                steps.extend(guard.map(|_| Step::Renew(by)));
            }
            steps.extend(fleet.clients[by].guard.map(|_| Step::Release(by)));
        }
        steps.extend(fleet.messages.iter().map(|message| Step::Arrives(*message)));
        if state.newest() < scenario.moves {
            let redis = Seat::Redis(state.redis);
            let seats = [Seat::Record, redis];
            let other = |seat: &Seat| *seat != state.authority().seat;
            steps.extend(seats.into_iter().filter(other).map(Step::Move));
        }
        if state.redis < scenario.losses {
            steps.push(Step::Promotion);
        }
    }

    /// What a process may do with what it has seen: Redis is asked while the view lasts and once the wait is over. The
    /// record looks itself.
    fn may_ask(&self, state: &State, view: View) -> bool {
        let epoch = state.epochs[usize::from(view.epoch)];
        epoch.seat == Seat::Record || epoch.wait == 0
    }

    pub(super) fn take(&self, state: &mut State, step: Step) -> Option<()> {
        let scenario = &self.scenario;
        match step {
            Step::Tick => self.tick(state),
            Step::Look(by) => state.views[by] = Some(View { epoch: state.newest(), age: 0 }),
            Step::Acquire(by) => {
                let nonce = state.fleet.may_acquire(by, scenario.acquisitions)?;
                state.fleet.acquire(nonce, state.views[by]?.epoch);
            }
            Step::Renew(by) => {
                let guard = state.fleet.may_renew(by, scenario.ttl)?;
                state.fleet.renew(guard);
            }
            Step::Release(by) => state.fleet.release(by),
            Step::Arrives(message) => self.arrives(state, message)?,
            Step::Move(seat) => self.hand_over(state, seat),
            Step::Promotion => {
                state.redis += 1;
                if self.lacks(Weak::AnyRedisGrants) {
                    state.epochs.iter_mut().for_each(|epoch| epoch.key = Row::default());
                }
            }
        }
        Some(())
    }

    fn tick(&self, state: &mut State) {
        state.fleet.tick(self.scenario.ttl);
        let keys = state.epochs.iter_mut().map(|epoch| {
            epoch.wait = epoch.wait.saturating_sub(1);
            &mut epoch.key
        });
        for row in keys.chain([&mut state.row]) {
            row.tick();
            if row.left == 0 {
                row.holder = None;
            }
        }
        for seen in &mut state.views {
            *seen = seen.and_then(|view| self.older(&state.epochs, view));
        }
    }

    /// A view of Redis ends after Ta.
    fn older(&self, epochs: &[Epoch], view: View) -> Option<View> {
        let redis = epochs[usize::from(view.epoch)].seat != Seat::Record;
        if !redis || self.lacks(Weak::NoViewLease) {
            return Some(view);
        }
        let age = view.age + 1;
        (age <= self.scenario.view).then_some(View { age, ..view })
    }

    /// Redis may have granted to somebody who has just looked; the record looks itself, so only leases are waited for.
    fn hand_over(&self, state: &mut State, seat: Seat) {
        let (ttl, view) = (self.scenario.ttl, self.scenario.view);
        let before = state.authority();
        let wait = match before.seat {
            Seat::Record if self.lacks(Weak::NoWaitOnTheWayBack) => 0,
            Seat::Record => ttl,
            Seat::Redis(_) if self.lacks(Weak::NoWaitAtHandover) => 0,
            Seat::Redis(_) if self.lacks(Weak::WaitTooShort) => view + ttl - 1,
            Seat::Redis(_) => view + ttl,
        };
        let kept = if self.lacks(Weak::MoveForgetsWait) { 0 } else { before.wait };
        state.epochs.push(Epoch { seat, wait: wait.max(kept), key: Row::default() });
    }

    /// What the row or the key does, and the reply to it.
    fn arrives(&self, state: &mut State, message: Message) -> Option<()> {
        state.fleet.arrived(message)?;
        let Message { nonce, epoch, ask } = message;
        let newest = state.newest();
        let named = *state.epoch(epoch);
        let stands = epoch == newest || self.lacks(Weak::RecordDoesNotLook);
        let ttl = self.scenario.ttl;
        let left = |age: u8| if self.lacks(Weak::LeaseCountsFromReply) { ttl } else { ttl - age };
        let rules =
            Rules { release_checks_holder: !self.lacks(Weak::ReleaseWithoutHolder), ..Rules::ALL };
        let record = named.seat == Seat::Record;
        let row = if record { &mut state.row } else { &mut state.epoch(epoch).key };
        match ask {
            Ask::Release => row.release(nonce, rules),
            _ if record && !(stands && named.wait == 0) => {}
            Ask::Acquire { age } => {
                if let Some(counter) = row.acquire(nonce, ttl, rules) {
                    let prefix = if self.lacks(Weak::TokenWithoutEpoch) { 0 } else { epoch };
                    let token = (prefix, counter);
                    state.fleet.granted(Guard { nonce, epoch, token, left: left(age) });
                }
            }
            Ask::Renew { age } => {
                if row.renew(nonce, ttl, rules) {
                    state.fleet.renewed(nonce, left(age));
                }
            }
        }
        Some(())
    }
}
