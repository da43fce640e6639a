//! The write of chapter 5: mark, commit, publish, acknowledge; around Redis: announce, wait, commit.
//! It must not know how reads are served.

use super::Protocol;
use super::scenario::{Link, Promise, Write};
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
                if fails && writer.late_mark.is_none() {
                    may(Step::MarkTimesOutAndBypass);
                    if self.may_retry(state, by) {
                        may(Step::MarkTimesOutAndRetry);
                    }
                }
            }
            Writing::Marked(_) => {
                may(Step::Check);
                may(Step::GiveUp);
            }
            Writing::Committing(_) => {
                may(Step::Commit);
                may(Step::Abort);
            }
            Writing::Bypassing => {
                may(Step::Announce);
                if !state.record.control.active && !state.any_lease(|_| true) {
                    may(Step::OpenInDegraded);
                }
            }
            Writing::Announced if self.may_bypass(state) => may(Step::Wait),
            Writing::Waited => may(Step::BypassCommit),
            Writing::InDegraded => may(Step::CommitInDegraded),
            Writing::Committed(_) => {
                let awaits_publish =
                    self.scenario.mark_evictions > 0 && !self.lacks(Weak::AcknowledgedUnconfirmed);
                may(if awaits_publish { Step::MakeDirty } else { Step::Acknowledge });
                if self.lacks(Weak::UnknownCommitRetried) && self.may_retry(state, by) {
                    may(Step::RetryUnknown);
                }
            }
            Writing::Confirmed(_) => may(Step::Acknowledge),
            Writing::Unconfirmed(_) if self.may_bypass(state) => may(Step::Acknowledge),
            Writing::Announced | Writing::Unconfirmed(_) | Writing::Done => {}
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
        if state.record.intents & bit(by) != 0 {
            may(Step::IntentExpires);
        }
    }

    /// Carries one step out; `None` when nothing can come of it.
    pub(super) fn write(&self, state: &mut State, by: usize, step: Step) -> Option<()> {
        let nonce = Self::nonce(state, by);
        let writing = state.writers[by].writing;
        state.writers[by].writing = match (step, writing) {
            (Step::Begin, _) => self.begin(state, by),
            (Step::Mark, Writing::Ready(view)) => {
                if !self.lacks(Weak::NoMark) {
                    state.entry(view.generation).mark(nonce);
                    if self.lacks(Weak::NonceReused) {
                        state.writers[by].late_mark = Some((view.generation, nonce));
                    }
                }
                Writing::Marked(view)
            }
            (Step::MarkTimesOutAndBypass, Writing::Ready(view)) => {
                self.leave_mark_behind(state, by, view);
                Writing::Bypassing
            }
            (Step::MarkTimesOutAndRetry, Writing::Ready(view)) => {
                self.leave_mark_behind(state, by, view);
                self.retry(state, by)
            }
            (Step::Check, Writing::Marked(view)) => self.check(state, by, view),
            (Step::Commit, Writing::Committing(view)) => self.commit(state, by, view),
            (Step::GiveUp | Step::Abort, _) => Writing::Done,
            (Step::MakeDirty, Writing::Committed(value)) => {
                let dirty = state.record.dirty.unwrap_or(0);
                state.record.dirty = Some(dirty.max(value.version));
                Writing::Unconfirmed(value)
            }
            (
                Step::Acknowledge,
                Writing::Committed(value) | Writing::Confirmed(value) | Writing::Unconfirmed(value),
            ) => {
                state.witness.seen = state.witness.seen.max(value.serial);
                self.remember(state, by, value);
                Writing::Done
            }
            (Step::RetryUnknown, _) => self.retry(state, by),
            (Step::Announce, _) => {
                state.record.dirty.get_or_insert(0);
                state.record.intents |= bit(by);
                Writing::Announced
            }
            (Step::Wait, _) => Writing::Waited,
            (Step::BypassCommit, _) => self.bypass(state, by),
            (Step::OpenInDegraded, _) => Writing::InDegraded,
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

    /// A mark without a reply may still arrive.
    fn leave_mark_behind(&self, state: &mut State, by: usize, view: View) {
        let nonce = Self::nonce(state, by);
        let bad = self.scenario.link == Link::Bad;
        state.writers[by].late_mark = bad.then_some((view.generation, nonce));
    }

    fn begin(&self, state: &mut State, by: usize) -> Writing {
        if self.scenario.writes[by] == Write::CompareAndSet && state.writers[by].expected == 0 {
            state.writers[by].expected = state.record.row.version;
        }
        let control = state.record.control;
        if control.active {
            Writing::Ready(View { epoch: control.epoch, generation: control.generation })
        } else {
            Writing::Bypassing
        }
    }

    /// A mark, an unmark or a publish that reaches Redis at last, or an intent whose time is over. Unmark and publish may
    /// arrive again and again; a mark may not.
    fn deliver(&self, state: &mut State, by: usize, step: Step) -> Option<()> {
        match step {
            Step::MarkArrivesLate => {
                let (generation, nonce) = state.writers[by].late_mark.take()?;
                state.entry(generation).mark(nonce);
            }
            Step::UnmarkArrives => {
                let (generation, nonce) = state.writers[by].late_unmark?;
                state.entry(generation).unmark(nonce, true);
            }
            Step::PublishArrives => {
                let (generation, nonce, value) = state.writers[by].publish?;
                if self.lacks(Weak::PublishUnconditionally) {
                    *state.entry(generation) = super::entry::Entry::Value(value);
                } else if state.entry(generation).publish(nonce, value)
                    && self.scenario.mark_evictions > 0
                    && state.writers[by].writing == Writing::Committed(value)
                {
                    state.writers[by].writing = Writing::Confirmed(value);
                }
            }
            Step::IntentExpires => state.record.intents &= !bit(by),
            _ => return None,
        }
        Some(())
    }

    /// The marked statement compares the epoch; one that is refused takes its mark back.
    fn check(&self, state: &mut State, by: usize, view: View) -> Writing {
        let control = state.record.control;
        if control.active && control.epoch == view.epoch || self.lacks(Weak::CommitIgnoresEpoch) {
            return Writing::Committing(view);
        }
        state.writers[by].late_unmark = Some((view.generation, Self::nonce(state, by)));
        self.retry(state, by)
    }

    /// The marked statement becomes visible.
    fn commit(&self, state: &mut State, by: usize, view: View) -> Writing {
        let nonce = Self::nonce(state, by);
        let committed = self.apply(state, by);
        let writer = &mut state.writers[by];
        if let Writing::Committed(value) = committed {
            writer.publish = Some((view.generation, nonce, value));
        } else {
            writer.late_unmark = Some((view.generation, nonce));
        }
        committed
    }

    /// Strict: every lease that does not know the dirty row has ended. A bounded write does not wait.
    fn may_bypass(&self, state: &State) -> bool {
        let unaware = state.any_lease(|lease| !lease.dirty);
        self.scenario.promise == Promise::Bounded || self.lacks(Weak::NoWaitInStrict) || !unaware
    }

    /// One transaction: the intent still stands, the value, the dirty row's version, the end of the intent.
    fn bypass(&self, state: &mut State, by: usize) -> Writing {
        let stands = state.record.dirty.is_some() && state.record.intents & bit(by) != 0;
        if !stands && !self.lacks(Weak::IntentNotChecked) {
            return Writing::Bypassing;
        }
        if self.scenario.promise == Promise::Bounded {
            state.leases().filter(|lease| !lease.dirty).for_each(|lease| lease.excused = true);
        }
        let committed = self.apply(state, by);
        state.record.intents &= !bit(by);
        if let (Some(version), Writing::Committed(value)) = (&mut state.record.dirty, committed) {
            *version = value.version;
        }
        committed
    }

    /// Nobody reads Redis: value and dirty row in one transaction, which holds the control row shared.
    fn commit_in_degraded(&self, state: &mut State, by: usize) -> Writing {
        let committed = self.apply(state, by);
        if let Writing::Committed(value) = committed {
            state.record.dirty = Some(value.version);
        }
        committed
    }

    /// The row changes, unless its version is not the one that a compare-and-set expects.
    fn apply(&self, state: &mut State, by: usize) -> Writing {
        let (write, expected) = (self.scenario.writes[by], state.writers[by].expected);
        let row = &mut state.record.row;
        if write == Write::CompareAndSet && row.version != expected {
            return Writing::Done;
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
        Writing::Committed(value)
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
