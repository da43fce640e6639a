//! The write under a mark: mark, commit, publish or take back, acknowledge. `mainstay::exec::write`, `sync::mark`.
//! It must not know how reads are served, nor how a write goes around Redis.

use super::Protocol;
use super::entry::{Entry, Value};
use super::scenario::{Link, Write};
use super::state::{State, View, Writing, Wrong};
use super::step::WriteStep as Step;
use super::weakening::Weakening as Weak;

impl Protocol {
    /// What writer `by` and its messages may do next.
    pub(super) fn write_steps(&self, state: &State, by: usize, mut may: impl FnMut(Step)) {
        let writer = &state.writers[by];
        match writer.writing {
            Writing::Idle => may(Step::Begin),
            Writing::Ready(_) => {
                let (reaches, fails) = self.link(by);
                if reaches {
                    may(Step::Mark);
                }
                if reaches && self.scenario.strays {
                    may(Step::MarkStrays);
                }
                if fails {
                    may(Step::MarkTimesOut);
                }
            }
            Writing::Marked(_) => {
                may(Step::Check);
                may(Step::GiveUp);
            }
            Writing::Committing(_) => {
                may(Step::Commit);
                may(Step::Abort);
                may(Step::Repeat);
            }
            Writing::Around => may(Step::SendAround),
            Writing::InDegraded => may(Step::CommitInDegraded),
            Writing::Committed(_) => {
                self.settling_steps(&mut may);
                if self.lacks(Weak::UnknownCommitRetried) && self.may_retry(state, by) {
                    may(Step::RetryUnknown);
                }
            }
            Writing::Confirmed(_) => may(Step::Acknowledge),
            Writing::Done => {}
        }
        if writer.late_mark.is_some() {
            may(Step::MarkArrivesLate);
        }
        if writer.late_unmark.is_some() {
            may(Step::UnmarkArrives);
        }
        if writer.publish.is_some() {
            may(Step::PublishArrives);
        }
    }

    /// After a commit under a mark. Where marks can be evicted, the copies follow before the acknowledgement.
    fn settling_steps(&self, may: &mut impl FnMut(Step)) {
        if self.scenario.mark_evictions == 0 || self.lacks(Weak::AcknowledgedUnconfirmed) {
            may(Step::Acknowledge);
            return;
        }
        may(Step::DrainArrives);
        may(Step::MakeDirty);
        if self.scenario.strays && self.lacks(Weak::ConfirmedByAnotherServer) {
            may(Step::DrainStrays);
        }
    }

    /// Carries one step out; `None` when nothing can come of it.
    pub(super) fn write(&self, state: &mut State, by: usize, step: Step) -> Option<()> {
        let writing = state.writers[by].writing;
        state.writers[by].writing = match (step, writing) {
            (Step::Begin, _) => self.begin(state, by),
            (Step::Mark, Writing::Ready(view)) => self.mark(state, by, view),
            (Step::MarkStrays, Writing::Ready(view)) if self.lacks(Weak::MarkNotVerified) => {
                Writing::Marked(view)
            }
            (Step::MarkStrays, _) => Writing::Around,
            (Step::MarkTimesOut, Writing::Ready(view)) => {
                // A mark without a reply may still arrive.
                let late = (view.generation, Self::nonce(state, by));
                state.writers[by].late_mark = (self.scenario.link == Link::Bad).then_some(late);
                Writing::Around
            }
            (Step::Check, Writing::Marked(view)) => self.check(state, by, view),
            (Step::Commit, Writing::Committing(view)) => self.commit(state, by, view),
            (Step::Abort, Writing::Committing(view)) => {
                self.take_back(state, by, view, true);
                Writing::Done
            }
            (Step::Repeat, Writing::Committing(view)) => Writing::Marked(view),
            (Step::GiveUp, _) => Writing::Done,
            (Step::DrainArrives, Writing::Committed(value)) => {
                let writer = &state.writers[by];
                let published = writer.publish.map(|(generation, ..)| generation);
                let unmarked = writer.late_unmark.map(|(generation, ..)| generation);
                state.entry(published.or(unmarked)?).drain(!self.lacks(Weak::DrainDoesNotTaint));
                Writing::Confirmed(value)
            }
            (Step::DrainStrays, Writing::Committed(value)) => Writing::Confirmed(value),
            (Step::MakeDirty, Writing::Committed(value)) => self.make_dirty(state, value),
            (Step::Acknowledge, Writing::Committed(value) | Writing::Confirmed(value)) => {
                state.witness.seen = state.witness.seen.max(value.serial);
                self.remember(state, by, value);
                Writing::Done
            }
            (Step::RetryUnknown, _) => self.retry(state, by),
            (Step::SendAround, _) => self.send_around(state, by)?,
            (Step::CommitInDegraded, _) => self.commit_in_degraded(state, by),
            (late, _) => {
                self.deliver(state, by, late)?;
                state.writers[by].writing
            }
        };
        Some(())
    }

    /// Whether a mark of this writer may reach Redis in time, and whether it may fail to.
    fn link(&self, by: usize) -> (bool, bool) {
        match self.scenario.link {
            Link::Good => (true, false),
            Link::Bad => (true, true),
            Link::LastGone if by + 1 < self.scenario.writes.len() => (true, false),
            Link::LastGone | Link::Gone => (false, true),
        }
    }

    /// Nothing is marked unless the right Redis is known to be there.
    fn begin(&self, state: &mut State, by: usize) -> Writing {
        if self.scenario.writes[by] == Write::CompareAndSet && state.writers[by].expected == 0 {
            state.writers[by].expected = state.record.row.version;
        }
        let (control, incarnation) = (state.record.control, state.redis.incarnation);
        if !control.active || incarnation != control.incarnation {
            return Writing::Around;
        }
        Writing::Ready(View { epoch: control.epoch, generation: control.generation, incarnation })
    }

    /// After the reply: a mark counts only if the Redis that has answered still is the one of the view.
    fn mark(&self, state: &mut State, by: usize, view: View) -> Writing {
        let nonce = Self::nonce(state, by);
        if !self.lacks(Weak::NoMark) {
            state.entry(view.generation).mark(nonce);
            if self.lacks(Weak::NonceReused) {
                state.writers[by].late_mark = Some((view.generation, nonce));
            }
        }
        let right = state.redis.incarnation == view.incarnation;
        if right || self.lacks(Weak::MarkNotVerified) {
            Writing::Marked(view)
        } else {
            Writing::Around
        }
    }

    /// A mark, an unmark or a publish that reaches Redis at last. Unmark and publish may arrive again and again; a mark
    /// may not.
    fn deliver(&self, state: &mut State, by: usize, step: Step) -> Option<()> {
        match step {
            Step::MarkArrivesLate => {
                let (generation, nonce) = state.writers[by].late_mark.take()?;
                state.entry(generation).mark(nonce);
            }
            Step::UnmarkArrives => {
                let (generation, nonce, clean) = state.writers[by].late_unmark?;
                state.entry(generation).unmark(nonce, clean);
            }
            Step::PublishArrives => {
                let (generation, nonce, value) = state.writers[by].publish?;
                if self.lacks(Weak::PublishUnconditionally) {
                    *state.entry(generation) = Entry::Value(value);
                } else if state.entry(generation).publish(nonce, value) {
                    self.confirm(state, by, value);
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Its publish has found its mark; only where marks can be evicted does anybody wait for that.
    fn confirm(&self, state: &mut State, by: usize, value: Value) {
        let writing = &mut state.writers[by].writing;
        if self.scenario.mark_evictions > 0 && *writing == Writing::Committed(value) {
            *writing = Writing::Confirmed(value);
        }
    }

    /// The marked statement compares the epoch; one that is refused takes its mark back.
    fn check(&self, state: &mut State, by: usize, view: View) -> Writing {
        let control = state.record.control;
        if control.active && control.epoch == view.epoch || self.lacks(Weak::CommitIgnoresEpoch) {
            return Writing::Committing(view);
        }
        self.take_back(state, by, view, true);
        self.retry(state, by)
    }

    /// The marked statement becomes visible. A whole value is published; a write that has none to offer takes its mark
    /// back uncleanly, one whose condition failed cleanly.
    fn commit(&self, state: &mut State, by: usize, view: View) -> Writing {
        let nonce = Self::nonce(state, by);
        let Some(value) = self.apply(state, by) else {
            self.take_back(state, by, view, true);
            return Writing::Done;
        };
        if value.deleted {
            self.take_back(state, by, view, self.lacks(Weak::UncleanLeavesValue));
        } else {
            state.writers[by].publish = Some((view.generation, nonce, value));
        }
        Writing::Committed(value)
    }

    fn take_back(&self, state: &mut State, by: usize, view: View, clean: bool) {
        let nonce = Self::nonce(state, by);
        state.writers[by].late_unmark = Some((view.generation, nonce, clean));
    }

    /// The row changes, unless its version is not the one that a compare-and-set expects.
    pub(super) fn apply(&self, state: &mut State, by: usize) -> Option<Value> {
        let (write, expected) = (self.scenario.writes[by], state.writers[by].expected);
        let row = &mut state.record.row;
        if write == Write::CompareAndSet && row.version != expected {
            return None;
        }
        row.version += 1;
        row.serial += 1;
        row.deleted = write == Write::Delete;
        row.mortal = write == Write::SetMortal;
        let value = *row;
        if value.deleted && self.lacks(Weak::DeleteForgetsVersion) {
            row.version = 0;
        }
        if state.witness.applied & bit(by) != 0 {
            state.witness.wrong = Some(Wrong::AppliedTwice { writer: small(by) });
        }
        state.witness.applied |= bit(by);
        Some(value)
    }

    fn may_retry(&self, state: &State, by: usize) -> bool {
        state.writers[by].attempt + 1 < self.scenario.attempts
    }

    fn retry(&self, state: &mut State, by: usize) -> Writing {
        if !self.may_retry(state, by) {
            return Writing::Done;
        }
        state.writers[by].attempt += 1;
        Writing::Idle
    }

    /// Fresh for each attempt: up to three attempts of up to five writers.
    fn nonce(state: &State, by: usize) -> u16 {
        1 << (3 * by + usize::from(state.writers[by].attempt))
    }

    /// Whether a mark still has to stand, because its write may yet commit.
    pub(super) fn mark_is_needed(&self, state: &State, generation: u8, nonce: u16) -> bool {
        !self.lacks(Weak::MarkMayExpire)
            && (0..state.writers.len()).any(|by| match state.writers[by].writing {
                Writing::Marked(view) | Writing::Committing(view) => {
                    view.generation == generation && Self::nonce(state, by) == nonce
                }
                _ => false,
            })
    }
}

fn bit(by: usize) -> u8 {
    1 << by
}

/// The index of a writer, of which there are at most five.
fn small(by: usize) -> u8 {
    u8::try_from(by).unwrap_or(u8::MAX)
}
