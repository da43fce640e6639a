//! Drains, whole-cache events (degrade, readmit, a restart of Redis), and what time does by itself.
//! It must not know how single reads and writes are carried out.

use super::Protocol;
use super::entry::Entry;
use super::state::{Draining, FIRST, State, Writing};
use super::step::{ControlStep as Event, Step};
use super::weakening::Weakening as Weak;

impl Protocol {
    /// What drain `by` may do next. That a strict write holds its row open is not modelled: it only spares the write
    /// another wait, and ends by time alone.
    pub(super) fn drain_steps(&self, state: &State, by: usize, mut may: impl FnMut(Step)) {
        if state.drains[by] != Draining::Idle || state.record.dirty {
            may(Step::Drain(by));
        }
        if self.scenario.strays && matches!(state.drains[by], Draining::Selected { .. }) {
            may(Step::DrainStrays(by));
        }
    }

    /// Read the dirty row; drain Redis; delete the row if it is still the one that was read.
    pub(super) fn drain(&self, state: &mut State, by: usize) -> Option<()> {
        state.drains[by] = match state.drains[by] {
            Draining::Idle if !state.record.dirty => return None,
            Draining::Idle => {
                Draining::Selected { same: true, generation: state.record.control.generation }
            }
            Draining::Selected { same, generation } => {
                state.entry(generation).drain(!self.lacks(Weak::DrainDoesNotTaint));
                Draining::Drained { same }
            }
            Draining::Drained { same } => {
                if same || self.lacks(Weak::DirtyRowDeletedUnconditionally) {
                    state.make_clean();
                }
                Draining::Idle
            }
        };
        Some(())
    }

    /// Another server was drained: the drain is given up, unless nobody looks who has answered.
    pub(super) fn drain_strays(&self, state: &mut State, by: usize) {
        state.drains[by] = match state.drains[by] {
            Draining::Selected { same, .. } if self.lacks(Weak::DrainNotVerified) => {
                Draining::Drained { same }
            }
            _ => Draining::Idle,
        };
    }

    /// Whole-cache events that may strike now.
    pub(super) fn control_steps(&self, state: &State, mut may: impl FnMut(Event)) {
        let (control, scenario) = (&state.record.control, &self.scenario);
        let restarted = state.redis.incarnation != control.incarnation;
        if control.active && (restarted || state.degradations < scenario.degradations) {
            may(Event::Degrade);
        }
        let spare = usize::from(control.generation) + 1 < state.redis.entries.len();
        if !control.active && spare && self.may_readmit(state) {
            may(Event::Readmit);
        }
        if state.redis.incarnation < scenario.restarts {
            may(Event::RedisRestarts);
        }
        if state.record.row.mortal {
            may(Event::RecordExpires);
        }
    }

    /// The old generation is read by nobody, and nothing that was checked under its epoch can still become visible. The
    /// control row is locked for update: no transaction of a write in degraded state holds it.
    fn may_readmit(&self, state: &State) -> bool {
        let leases = state.any_lease(|_| true) && !self.lacks(Weak::ReadmitBeforeLeasesEnd);
        let any =
            |test: fn(&Writing) -> bool| state.writers.iter().any(|writer| test(&writer.writing));
        let committing = any(|writing| matches!(writing, Writing::Committing(_)));
        let in_degraded = any(|writing| *writing == Writing::InDegraded);
        !leases
            && (!committing || self.lacks(Weak::ReadmitBeforeCommitsEnd))
            && (!in_degraded || self.lacks(Weak::ControlRowNotShared))
    }

    /// Carries a whole-cache event out.
    pub(super) fn control(&self, state: &mut State, step: Event) {
        let control = &mut state.record.control;
        match step {
            Event::Degrade => {
                state.degradations += u8::from(state.redis.incarnation == control.incarnation);
                control.active = false;
                control.epoch += 1;
            }
            // Always cold.
            Event::Readmit => {
                control.active = true;
                control.epoch += 1;
                control.incarnation = state.redis.incarnation;
                control.generation += u8::from(!self.lacks(Weak::ReadmissionKeepsGeneration));
                state.make_clean();
            }
            Event::RedisRestarts => restart(state),
            Event::RecordExpires => {
                let row = &mut state.record.row;
                state.record.expired = Some(row.version);
                row.serial += 1;
                row.deleted = true;
                row.mortal = false;
            }
        }
    }

    /// A copy counts its time from its mark or token, which came before the record gave the value: Redis lets it go no
    /// later than the record does, also when it was kept behind marks meanwhile.
    pub(super) fn end_expired_copies(&self, state: &mut State) {
        let Some(expired) = state.record.expired else { return };
        if self.lacks(Weak::TtlCountsFromStore) {
            return;
        }
        for entry in &mut state.redis.entries {
            if matches!(entry, Entry::Value(value) if value.mortal && value.version == expired) {
                *entry = Entry::Absent;
            }
        }
    }
}

/// Redis comes back with what a snapshot held long ago.
fn restart(state: &mut State) {
    state.redis.incarnation += 1;
    state.redis.entries.fill(Entry::Absent);
    state.redis.entries[0] = Entry::Value(FIRST);
}
