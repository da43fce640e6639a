//! Drains, whole-cache events (degrade, readmit warm or cold, a restart of Redis), and what time does by itself.
//! It must not know how single reads and writes are carried out.

use super::Protocol;
use super::entry::Entry;
use super::state::{Draining, FIRST, State, Writing};
use super::step::ControlStep as Step;
use super::weakening::Weakening as Weak;

impl Protocol {
    /// Whether drain `by` has something to do.
    pub(super) fn may_drain(&self, state: &State, by: usize) -> bool {
        state.drains[by] != Draining::Idle
            || state.record.dirty.is_some() && self.no_open_intent(state)
    }

    /// Read the dirty row; drain Redis; delete the row if it is still the one that was read.
    pub(super) fn drain(&self, state: &mut State, by: usize) -> Option<()> {
        state.drains[by] = match state.drains[by] {
            Draining::Idle => Draining::Selected {
                version: state.record.dirty?,
                generation: state.record.control.generation,
            },
            Draining::Selected { version, generation } => {
                let taints = !self.lacks(Weak::DrainDoesNotTaint);
                state.entry(generation).drain(version, taints);
                Draining::Drained { version }
            }
            Draining::Drained { version } => {
                let same = state.record.dirty == Some(version)
                    || self.lacks(Weak::DirtyRowDeletedUnconditionally);
                if same && self.no_open_intent(state) {
                    state.record.dirty = None;
                }
                Draining::Idle
            }
        };
        Some(())
    }

    fn no_open_intent(&self, state: &State) -> bool {
        state.record.intents == 0 || self.lacks(Weak::DrainUnderOpenIntent)
    }

    /// Whole-cache events that may strike now.
    pub(super) fn control_steps(&self, state: &State, mut may: impl FnMut(Step)) {
        let (control, scenario) = (&state.record.control, &self.scenario);
        let restarted = state.redis.incarnation != control.incarnation;
        if control.active && (restarted || state.degradations < scenario.degradations) {
            may(Step::Degrade);
        }
        if !control.active && self.may_readmit(state) {
            if scenario.warm && (!restarted || self.lacks(Weak::WarmAfterRestart)) {
                may(Step::ReadmitWarm);
            }
            let spare = usize::from(control.generation) + 1 < state.redis.entries.len();
            if scenario.cold && spare && self.may_readmit_cold(state) {
                may(Step::ReadmitCold);
            }
        }
        if state.redis.incarnation < scenario.restarts {
            may(Step::RedisRestarts);
        }
        if state.record.row.mortal {
            may(Step::RecordExpires);
        }
    }

    /// The control row is locked for update: no transaction of a write in degraded state holds it.
    fn may_readmit(&self, state: &State) -> bool {
        self.lacks(Weak::ControlRowNotShared)
            || state.writers.iter().all(|writer| writer.writing != Writing::InDegraded)
    }

    /// The old generation is read by nobody, and nothing that was checked under its epoch can still become visible.
    fn may_readmit_cold(&self, state: &State) -> bool {
        let leases = state.any_lease(|_| true) && !self.lacks(Weak::ReadmitBeforeLeasesEnd);
        let committing =
            state.writers.iter().any(|writer| matches!(writer.writing, Writing::Committing(_)));
        !leases && (!committing || self.lacks(Weak::ReadmitBeforeCommitsEnd))
    }

    /// Carries a whole-cache event out.
    pub(super) fn control(&self, state: &mut State, step: Step) {
        let control = &mut state.record.control;
        match step {
            Step::Degrade => {
                state.degradations += u8::from(state.redis.incarnation == control.incarnation);
                control.active = false;
                control.epoch += 1;
            }
            Step::ReadmitWarm => {
                control.active = true;
                control.epoch += 1;
                control.incarnation = state.redis.incarnation;
                if self.lacks(Weak::WarmDropsDirtyRows) {
                    state.record.dirty = None;
                }
            }
            Step::ReadmitCold => {
                control.active = true;
                control.epoch += 1;
                control.incarnation = state.redis.incarnation;
                control.generation += u8::from(!self.lacks(Weak::ColdKeepsGeneration));
                state.record.dirty = None;
                if !self.lacks(Weak::ColdKeepsIntents) {
                    state.record.intents = 0;
                }
            }
            Step::RedisRestarts => restart(state),
            Step::RecordExpires => {
                let row = &mut state.record.row;
                state.record.expired = Some(row.version);
                row.serial += 1;
                row.deleted = true;
                row.mortal = false;
            }
        }
    }

    /// A copy counts its time from its mark or token, which came before the record gave the value: Redis lets it go no
    /// later than the record does.
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

/// Redis comes back with what a snapshot held long ago. Until the leases of that moment end, staleness is allowed.
fn restart(state: &mut State) {
    state.redis.incarnation += 1;
    state.redis.entries.fill(Entry::Absent);
    state.redis.entries[0] = Entry::Value(FIRST);
    state.leases().for_each(|lease| lease.excused = true);
}
