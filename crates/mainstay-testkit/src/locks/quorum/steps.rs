//! The steps that the world can take, when each is allowed, and what it does.
//! It must not know how a counter-example is told.

use super::Quorum;
use super::scenario::Weakening as Weak;
use super::state::{Acquisition, MAJORITY, MEMBERS, Standing, State, Taken, bit};

/// Indices name acquisitions, then members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// A request of the first phase arrives, and its reply.
    Grant(usize, usize),
    /// A majority has granted: one more than the highest counter.
    Choose(usize),
    /// A request of the second phase arrives, and its reply.
    Commit(usize, usize),
    /// By its time, or by a release.
    LeaseEnds(usize),
    Forget(usize),
    SatOut(usize),
    /// The first takes the counter of the second.
    TakeCounter(usize, usize),
    Admit(usize),
}

impl Quorum {
    /// What acquisitions may do next. They are alike: the second begins after the first, and so on.
    pub(super) fn acquisition_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let two_phases = !self.lacks(Weak::CountedPerBackend) && !self.lacks(Weak::NotWrittenBack);
        for (by, acquisition) in state.acquisitions.iter().enumerate() {
            let begun = by == 0 || state.acquisitions[by - 1] != Acquisition::Idle;
            let members = (0..MEMBERS).filter(|at| state.members[*at].standing == Standing::Votes);
            for at in members {
                let holder = state.members[at].holder;
                if holder.is_none() && begun {
                    steps.push(Step::Grant(by, at));
                }
                let own = holder.map(usize::from) == Some(by);
                let may = own || self.lacks(Weak::CommitIgnoresHolder);
                if may && two_phases && token_of(acquisition).is_some() {
                    steps.push(Step::Commit(by, at));
                }
            }
            if let Acquisition::Asking { counted, .. } = acquisition {
                let needed = if self.lacks(Weak::MinorityGrants) { 1 } else { MAJORITY };
                if (counted.iter().flatten()).zip(1..).any(|(_, nth)| nth >= needed) {
                    steps.push(Step::Choose(by));
                }
            }
        }
    }

    /// What may happen to the members.
    pub(super) fn member_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let all_vote = state.members.iter().all(|member| member.standing == Standing::Votes);
        for (at, member) in state.members.iter().enumerate() {
            if member.holder.is_some() {
                steps.push(Step::LeaseEnds(at));
            }
            if all_vote && state.forgotten < self.scenario.amnesia {
                steps.push(Step::Forget(at));
            }
            match member.standing {
                Standing::Votes => {}
                Standing::SitsOut(taken) => {
                    steps.push(Step::SatOut(at));
                    if self.lacks(Weak::CountersTakenTooSoon) {
                        steps.extend(others(at, taken));
                    }
                }
                Standing::Asks(taken) => {
                    steps.extend(others(at, taken));
                    let needed = if self.lacks(Weak::CounterOfOneOther) { 1 } else { MAJORITY };
                    if taken.from.count_ones() >= needed {
                        steps.push(Step::Admit(at));
                    }
                }
            }
        }
    }

    /// Carries a step out.
    pub(super) fn take(&self, state: &mut State, step: Step) -> Option<()> {
        match step {
            Step::Grant(by, at) => self.grant(state, by, at),
            Step::Choose(by) => self.choose(state, by)?,
            Step::Commit(by, at) => self.commit(state, by, at)?,
            Step::LeaseEnds(at) => state.members[at].holder = None,
            Step::Forget(at) => {
                let member = &mut state.members[at];
                (member.holder, member.counter) = (None, 0);
                let sits = !self.lacks(Weak::NoSittingOut);
                let taken = Taken::default();
                member.standing = if sits { Standing::SitsOut } else { Standing::Asks }(taken);
                state.forgotten += 1;
            }
            Step::SatOut(at) => sat_out(state, at)?,
            Step::TakeCounter(at, from) => {
                let counter = state.members[from].counter;
                let (Standing::SitsOut(taken) | Standing::Asks(taken)) =
                    &mut state.members[at].standing
                else {
                    return None;
                };
                taken.from |= bit(from);
                taken.floor = taken.floor.max(counter);
            }
            Step::Admit(at) => {
                let Standing::Asks(taken) = state.members[at].standing else { return None };
                state.members[at].counter = taken.floor;
                state.members[at].standing = Standing::Votes;
            }
        }
        Some(())
    }

    /// The member is free, and grants. Only the first phase counts the reply; later requests may take the lock all the same.
    fn grant(&self, state: &mut State, by: usize, at: usize) {
        let floor = state.highest();
        let member = &mut state.members[at];
        member.holder = u8::try_from(by).ok();
        member.counter += u8::from(self.lacks(Weak::CountedPerBackend));
        let counter = member.counter;
        let acquisition = &mut state.acquisitions[by];
        if *acquisition == Acquisition::Idle {
            *acquisition = Acquisition::Asking { floor, counted: [None; MEMBERS] };
        }
        if let Acquisition::Asking { counted, .. } = acquisition {
            counted[at].get_or_insert(counter);
        }
    }

    fn choose(&self, state: &mut State, by: usize) -> Option<()> {
        let Acquisition::Asking { floor, counted } = state.acquisitions[by] else { return None };
        let highest = counted.iter().flatten().max().copied()?;
        if self.lacks(Weak::CountedPerBackend) {
            state.finish(by, floor, highest);
        } else if self.lacks(Weak::NotWrittenBack) {
            state.finish(by, floor, highest + 1);
        } else {
            let members = (0..MEMBERS).filter(|at| counted[*at].is_some()).map(bit);
            let counted = members.fold(0, |set, member| set | member);
            state.acquisitions[by] =
                Acquisition::Committing { floor, token: highest + 1, counted, committed: 0 };
        }
        Some(())
    }

    /// The member's lease is this acquisition's, and its counter is lower: it becomes the token.
    fn commit(&self, state: &mut State, by: usize, at: usize) -> Option<()> {
        let token = token_of(&state.acquisitions[by])?;
        let member = &mut state.members[at];
        if member.counter >= token && !self.lacks(Weak::CommitOverwrites) {
            return None;
        }
        member.counter = member.counter.max(token);
        if let Acquisition::Committing { floor, committed, .. } = &mut state.acquisitions[by] {
            *committed |= bit(at);
            let needed = if self.lacks(Weak::MinorityCommits) { 1 } else { MAJORITY };
            if committed.count_ones() >= needed {
                let floor = *floor;
                state.finish(by, floor, token);
            }
        }
        Some(())
    }
}

/// The longest lease has passed since the member forgot: whoever counted what it said before has given up.
fn sat_out(state: &mut State, at: usize) -> Option<()> {
    let Standing::SitsOut(taken) = state.members[at].standing else { return None };
    state.members[at].standing = Standing::Asks(taken);
    for acquisition in &mut state.acquisitions {
        if acquisition.counts_on(at) {
            *acquisition = Acquisition::Over;
        }
    }
    Some(())
}

fn others(at: usize, taken: Taken) -> impl Iterator<Item = Step> {
    let left = (0..MEMBERS).filter(move |from| *from != at && taken.from & bit(*from) == 0);
    left.map(move |from| Step::TakeCounter(at, from))
}

/// What its requests of the second phase carry.
fn token_of(acquisition: &Acquisition) -> Option<u8> {
    match acquisition {
        Acquisition::Committing { token, .. } | Acquisition::Finished { token } => Some(*token),
        Acquisition::Idle | Acquisition::Asking { .. } | Acquisition::Over => None,
    }
}
