//! What the votes of the members lead to: pure, so that every order of them can be tried.
//! It must not know IO, nor time but for durations.

use std::time::Duration;

use crate::{op::Member, reply::Locked};

/// What one member said in the first phase, or to a renewal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Vote {
    /// It granted; its counter.
    Granted(u64),
    /// Somebody else has the lock there.
    Held { left: Duration, note: String },
    /// It does not hold it for this one, or may not vote.
    No,
    /// No answer: it may have granted all the same.
    Lost,
}

/// What the first phase leads to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tally {
    /// A majority granted: this token is to be committed.
    Commit(u64),
    /// Somebody else has it, or several share the votes.
    Held { left: Duration, note: String },
    /// Too few may vote or answer.
    TooFew,
}

/// What a renewal leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A majority holds it.
    Yes,
    /// No majority ever will again.
    No,
    /// It cannot be told: the lease of before stands.
    Unknown,
}

impl From<Locked> for Vote {
    fn from(locked: Locked) -> Self {
        match locked {
            Locked::Granted { token, .. } => Vote::Granted(token),
            Locked::Held { left, note, .. } => Vote::Held { left, note },
            Locked::Gone | Locked::Fenced(_) | Locked::Refused => Vote::No,
        }
    }
}

/// More than half.
pub(crate) fn majority(members: usize) -> usize {
    members / 2 + 1
}

/// One more than the highest counter of a majority. Whoever was granted the lock before has committed its token on a
/// majority, which meets this one in a member that tells a counter no lower.
pub(crate) fn tally(votes: &[Vote]) -> Tally {
    let counters = votes.iter().filter_map(|vote| match vote {
        Vote::Granted(counter) => Some(*counter),
        Vote::Held { .. } | Vote::No | Vote::Lost => None,
    });
    let granted = counters.clone().count();
    if granted >= majority(votes.len()) {
        return Tally::Commit(counters.max().unwrap_or(0) + 1);
    }
    let held = votes.iter().filter_map(|vote| match vote {
        Vote::Held { left, note } => Some((*left, note.clone())),
        Vote::Granted(_) | Vote::No | Vote::Lost => None,
    });
    match held.max() {
        Some((left, note)) => Tally::Held { left, note },
        None => Tally::TooFew,
    }
}

/// Whether a majority holds a lock of this token still. A higher counter shows that somebody else had it in between.
pub(crate) fn kept(votes: &[Vote], token: u64) -> Kept {
    let (mut yes, mut no) = (0, 0);
    for vote in votes {
        match vote {
            Vote::Granted(counter) if *counter > token => return Kept::No,
            Vote::Granted(_) => yes += 1,
            Vote::Held { .. } | Vote::No => no += 1,
            Vote::Lost => {}
        }
    }
    if yes >= majority(votes.len()) {
        Kept::Yes
    } else if votes.len() - no < majority(votes.len()) {
        Kept::No
    } else {
        Kept::Unknown
    }
}

/// The floor under which a member that may have forgotten may vote again; `None`: not yet. `members` are as they answered
/// once its quarantine had ended: every acquisition that counted a vote of before is over by then.
///
/// A token that was given before was committed on a majority; all of it but this member is among the others, and any
/// majority of the members among them meets it.
pub(crate) fn floor_for(
    own: usize,
    members: &[Option<Member>],
    quarantine: Duration,
) -> Option<u64> {
    let (mut trusted, mut highest) = (0, 0);
    for member in
        members.iter().enumerate().filter(|(at, _)| *at != own).filter_map(|(_, m)| m.as_ref())
    {
        highest = highest.max(member.counter);
        trusted += usize::from(member.admitted);
    }
    if trusted >= majority(members.len()) {
        return Some(highest);
    }
    // A fleet that begins, or more than a minority that may have forgotten: what is left of all of them is all there is.
    let ripe = |member: &Member| member.admitted || member.known_for >= quarantine;
    let all = members.iter().all(|member| member.as_ref().is_some_and(ripe));
    let own = members[own].as_ref().map_or(0, |member| member.counter);
    all.then_some(highest.max(own))
}

#[cfg(test)]
mod tests;
