//! The read of chapter 5: under a lease from Redis, else from the record, filling only with a token; and the lease itself.
//! It must not know how writes are carried out.

use super::Protocol;
use super::entry::{Entry, Value};
use super::scenario::Promise;
use super::state::{Lease, Reading, State, View, Wrong, asked_under};
use super::step::ReadStep as Step;
use super::weakening::Weakening as Weak;

impl Protocol {
    /// What reader `by` and its message may do next.
    pub(super) fn read_steps(&self, state: &State, by: usize, mut may: impl FnMut(Step)) {
        let reader = &state.readers[by];
        match reader.reading {
            Reading::Idle if reader.reads < self.scenario.reads => {
                if reader.lease.is_some_and(|lease| self.allows(&lease)) {
                    may(Step::Ask);
                } else {
                    may(Step::ReadRecord);
                }
                let answered = |other: &usize| {
                    matches!(state.readers[*other].reading, Reading::Answered { .. })
                };
                (0..state.readers.len()).filter(answered).for_each(|other| may(Step::Join(other)));
            }
            Reading::Asked { .. } => may(Step::RedisReplies),
            Reading::Replied { .. } => may(Step::Serve),
            Reading::Missed { .. } => may(Step::TakeToken),
            Reading::AtRecord { .. } => may(Step::ReadRecord),
            Reading::Answered { .. } => may(Step::Return),
            Reading::Idle => {}
        }
        if reader.fill.is_some() {
            may(Step::FillArrives);
            if self.lacks(Weak::TokenReused) {
                may(Step::TokenArrivesAgain);
            }
        }
        if self.grant(state).is_some_and(|lease| reader.lease != Some(lease)) {
            may(Step::Renew);
        }
        if state.readers[by].lease.is_some() || asked_under(&reader.reading).is_some() {
            may(Step::LeaseEnds);
        }
    }

    /// Carries one step out; `None` when nothing can come of it.
    pub(super) fn read(&self, state: &mut State, by: usize, step: Step) -> Option<()> {
        match (step, state.readers[by].reading) {
            (Step::Ask, _) => {
                let lease = state.readers[by].lease?;
                let (floor, generation) = (state.witness.seen, lease.view.generation);
                state.readers[by].reading =
                    Reading::Asked { floor, generation, lease: Some(lease) };
            }
            (Step::RedisReplies, Reading::Asked { floor, generation, lease }) => {
                if lease.is_some_and(|lease| !self.is_met(state, lease.view)) {
                    state.readers[by].reading = Reading::AtRecord { floor, token: None };
                    return Some(());
                }
                state.readers[by].reading = match *state.entry(generation) {
                    Entry::Value(value) => Reading::Replied { floor, lease, value },
                    Entry::Absent => Reading::Missed { floor, generation },
                    Entry::Marked(_) | Entry::Token(_) => Reading::AtRecord { floor, token: None },
                };
            }
            (Step::Serve, Reading::Replied { floor, lease, value }) => {
                self.serve(state, by, floor, lease, value);
            }
            (Step::TakeToken, Reading::Missed { floor, generation }) => {
                let token = token(by, state.readers[by].reads);
                let taken =
                    self.lacks(Weak::FillWithoutToken) || state.entry(generation).take_token(token);
                let token = taken.then_some((generation, token));
                state.readers[by].reading = Reading::AtRecord { floor, token };
            }
            (Step::ReadRecord, Reading::AtRecord { floor, token }) => {
                let value = state.record.row;
                let fill = &mut state.readers[by].fill;
                // One late fill is enough: an older one is the more dangerous. That there is nothing is not filled.
                let token = token.filter(|_| !value.deleted);
                *fill = fill.or(token.map(|(generation, token)| (generation, token, value)));
                self.answer(state, by, floor, value);
            }
            (Step::ReadRecord, Reading::Idle) => {
                self.answer(state, by, state.witness.seen, state.record.row);
            }
            (Step::Return, Reading::Answered { floor, value }) => {
                self.finish(state, by, floor, value, false);
            }
            (Step::Join(other), Reading::Idle) => {
                let Reading::Answered { value, .. } = state.readers[other].reading else {
                    return None;
                };
                self.finish(state, by, state.witness.seen, value, false);
            }
            (Step::TokenArrivesAgain, _) => {
                let (generation, token, _) = state.readers[by].fill?;
                state.entry(generation).take_token(token);
            }
            (Step::FillArrives, _) => self.fill(state, by)?,
            (Step::Renew, _) => state.readers[by].lease = self.grant(state),
            (Step::LeaseEnds, _) => end_older_lease(state, by),
            _ => return None,
        }
        Some(())
    }

    /// One snapshot of control row and dirty set, and a look at Redis's incarnation.
    fn grant(&self, state: &State) -> Option<Lease> {
        let control = state.record.control;
        let right = state.redis.incarnation == control.incarnation
            || self.lacks(Weak::IncarnationOnlyInMemory);
        (control.active && right).then_some(Lease {
            view: View {
                epoch: control.epoch,
                generation: control.generation,
                incarnation: state.redis.incarnation,
            },
            dirty: state.record.dirty,
            excused: false,
        })
    }

    /// Whether the Redis that answers is the one of this view: who answers a new connection is asked for by name first.
    pub(super) fn is_met(&self, state: &State, view: View) -> bool {
        state.redis.incarnation == view.incarnation || self.lacks(Weak::ConnectionNotMet)
    }

    fn allows(&self, lease: &Lease) -> bool {
        !lease.dirty || self.lacks(Weak::LeaseWithoutDirtySet)
    }

    /// The reply counts only if the lease that it was asked under still lasts, and the session has seen nothing newer.
    fn serve(&self, state: &mut State, by: usize, floor: u8, lease: Option<Lease>, value: Value) {
        let reader = &mut state.readers[by];
        let lasts = if self.lacks(Weak::LeaseCheckedBeforeReply) {
            true
        } else if self.lacks(Weak::RenewedLeaseAccepted) {
            reader.lease.is_some_and(|lease| self.allows(&lease))
        } else {
            lease.is_some()
        };
        let older = value.version < reader.session && !self.lacks(Weak::NoSessionFloor);
        if lasts && !older {
            self.finish(state, by, floor, value, lease.is_some_and(|lease| lease.excused));
        } else {
            reader.reading = Reading::AtRecord { floor, token: None };
        }
    }

    /// The record's answer. It is held back only where others might take it.
    fn answer(&self, state: &mut State, by: usize, floor: u8, value: Value) {
        if self.lacks(Weak::JoinsFlightUnderWay) {
            state.readers[by].reading = Reading::Answered { floor, value };
        } else {
            self.finish(state, by, floor, value, false);
        }
    }

    /// The caller has its answer; the witness judges it.
    fn finish(&self, state: &mut State, by: usize, floor: u8, value: Value, excused: bool) {
        let known = state.readers[by].session_serial;
        if value.serial < floor && !excused {
            state.witness.wrong = Some(Wrong::StaleRead { got: value.serial, known: floor });
        } else if value.serial < known {
            state.witness.wrong = Some(Wrong::SessionWentBack { got: value.serial, known });
        }
        if self.scenario.mark_evictions == 0 {
            state.witness.seen = state.witness.seen.max(value.serial);
        }
        self.remember(state, by, value);
        let reader = &mut state.readers[by];
        reader.reads += 1;
        reader.reading = Reading::Idle;
    }

    /// A session's floor; strict needs none. Writer `n` and reader `n` are one session.
    pub(super) fn remember(&self, state: &mut State, by: usize, value: Value) {
        if self.scenario.promise == Promise::Bounded
            && let Some(reader) = state.readers.get_mut(by)
        {
            reader.session = reader.session.max(value.version);
            reader.session_serial = reader.session_serial.max(value.serial);
        }
    }

    fn fill(&self, state: &mut State, by: usize) -> Option<()> {
        let (generation, token, value) = state.readers[by].fill.take()?;
        let entry = state.entry(generation);
        if !self.lacks(Weak::FillWithoutToken) {
            entry.fill(token, value);
        } else if matches!(entry, Entry::Absent)
            || matches!(entry, Entry::Value(old) if old.version < value.version)
        {
            *entry = Entry::Value(value);
        }
        Some(())
    }
}

/// A lease that a read in flight was asked under is never younger than the one held: it ends first.
fn end_older_lease(state: &mut State, by: usize) {
    let reader = &mut state.readers[by];
    let older = asked_under(&reader.reading);
    if older.is_none() || older == reader.lease {
        reader.lease = None;
    }
    if let Reading::Asked { lease, .. } | Reading::Replied { lease, .. } = &mut reader.reading {
        *lease = None;
    }
}

/// Unique for each read: tokens are random.
fn token(by: usize, reads: u8) -> u8 {
    u8::try_from(by).unwrap_or(u8::MAX) * 16 + reads
}
