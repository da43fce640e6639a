//! The write around Redis: dirty rows, their age, and the degraded cache. `Under::Around` of `semantics::control`.
//! It must not know marks.

use super::Protocol;
use super::entry::Value;
use super::scenario::Promise;
use super::state::{State, Writing};
use super::weakening::Weakening as Weak;

impl Protocol {
    /// The commit is sent, perhaps not for the first time: one transaction, with dirty row and value, or with the row
    /// alone when it has to be sent again. `None`: it has to be sent again, and changes nothing now.
    pub(super) fn send_around(&self, state: &mut State, by: usize) -> Option<Writing> {
        if !state.record.control.active {
            return self.may_write_degraded(state).then_some(Writing::InDegraded);
        }
        if !self.may_write_dirty(state) {
            state.make_dirty();
            return Some(Writing::Around);
        }
        let Some(value) = self.apply(state, by) else { return Some(Writing::Done) };
        self.excuse(state);
        state.make_dirty();
        Some(Writing::Confirmed(value))
    }

    /// Strict: the row is there, and every lease that does not know it has ended. Bounded: at once.
    fn may_write_dirty(&self, state: &State) -> bool {
        let old = is_old(state) || state.record.aged || self.lacks(Weak::StrictIgnoresAge);
        self.scenario.promise == Promise::Bounded
            || self.lacks(Weak::NoWaitInStrict)
            || state.record.dirty && old
    }

    /// Strict: every lease has ended. Bounded: at once.
    fn may_write_degraded(&self, state: &State) -> bool {
        self.scenario.promise == Promise::Bounded
            || self.lacks(Weak::NoWaitInDegraded)
            || !state.any_lease(|_| true)
    }

    /// The value alone: no copy of this generation will be read any more. The transaction has held the control row shared.
    pub(super) fn commit_in_degraded(&self, state: &mut State, by: usize) -> Writing {
        let Some(value) = self.apply(state, by) else { return Writing::Done };
        self.excuse(state);
        Writing::Confirmed(value)
    }

    /// A write whose mark may have been evicted, and which cannot say that nothing older is left: as a write around Redis
    /// that changes nothing, and acknowledged when that is performed.
    pub(super) fn make_dirty(&self, state: &mut State, value: Value) -> Writing {
        let known = if state.record.control.active {
            let known = self.may_write_dirty(state);
            state.make_dirty();
            known
        } else {
            self.may_write_degraded(state)
        };
        if !known && !self.lacks(Weak::MadeDirtyWithoutWaiting) {
            return Writing::Committed(value);
        }
        self.excuse(state);
        Writing::Confirmed(value)
    }

    /// Bounded: stale for as long as a lease lasts that does not know of the write.
    fn excuse(&self, state: &mut State) {
        if self.scenario.promise == Promise::Bounded {
            state.excuse(|lease| !lease.dirty);
        }
    }
}

/// Whether every lease knows the dirty row: those that do not are older than it, and have ended.
pub(super) fn is_old(state: &State) -> bool {
    !state.any_lease(|lease| !lease.dirty)
}
