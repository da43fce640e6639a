//! Who may grant, as one process knows it, and when the authority is to move: pure.
//! It must not know IO; time is an argument.

use std::time::Duration;

use crate::{
    clock::Instant,
    lock::lease::{Lease, Moment, RHO, allowance},
    op::{Authority, Seat},
};

/// Bits of a token that count within an epoch; those above are the epoch.
const COUNTER_BITS: u32 = 43;

/// The longest that a granter works on what it was sent, beside what its clock may differ.
const WORK_MAX: Duration = Duration::from_secs(2);

/// The token of a grant: a later epoch is higher than any counter of one before.
pub(crate) fn token(epoch: u64, counter: u64) -> u64 {
    (epoch << COUNTER_BITS) | (counter & ((1 << COUNTER_BITS) - 1))
}

/// The epoch of a token.
pub(crate) fn epoch_of(token: u64) -> u64 {
    token >> COUNTER_BITS
}

/// How long nothing is granted after the authority has moved away from this seat: until no process goes by it any more,
/// and then as long as its longest lease. The arbiter grants in the statement that looks at its own row: nobody goes by
/// it afterwards.
pub(crate) fn wait_after(seat: &Seat, is_arbiter: bool) -> Duration {
    let view = if is_arbiter { Duration::ZERO } else { seat.view };
    view + seat.ttl_max + allowance(seat.ttl_max, RHO) + WORK_MAX
}

/// What the arbiter said, and until when a process may go by it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) authority: Authority,
    believed: Lease,
    asked: Instant,
    /// When nothing stands against granting any more.
    opens: Instant,
}

impl View {
    /// The answer to what was asked at `asked` came at `heard`; `drift` is the arbiter's.
    pub(crate) fn new(authority: Authority, asked: Moment, heard: Instant, drift: f64) -> Self {
        let view = authority.seat.view;
        // Counted from after the answer, and longer by what the clocks may differ.
        let wait = authority.wait;
        let opens = if wait.is_zero() { heard } else { heard + wait + allowance(wait, drift) };
        Self { believed: Lease::new(asked, view, drift), asked: asked.instant, opens, authority }
    }

    /// Whether something may be sent to the authority at this moment.
    pub(crate) fn is_believed(&self, now: Moment) -> bool {
        self.authority.epoch > 0 && self.believed.is_held(now)
    }

    /// How long nothing may be granted yet.
    pub(crate) fn closed_for(&self, now: Instant) -> Duration {
        self.opens.saturating_duration_since(now)
    }

    /// Whether it is time to ask again.
    pub(crate) fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.asked) >= self.authority.seat.view / 3
    }
}

/// What this process knows of the first backend, which it would rather have grant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// Its identity, if it answered the last time.
    identity: Option<String>,
    /// Since when it has answered, or has not.
    since: Option<Instant>,
}

/// Where the authority is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// The first backend, as the run that it is now.
    Fast,
    /// The arbiter itself.
    Arbiter,
}

impl Watch {
    /// It answered with this identity, or did not answer.
    pub(crate) fn note(&mut self, identity: Option<String>, now: Instant) {
        if self.identity.is_some() != identity.is_some() || self.since.is_none() {
            self.since = Some(now);
        }
        self.identity = identity;
    }

    /// Whether the authority is to move. `fast` is the first backend's name; `admitted` whether it may grant as what it is;
    /// `settled` for how long this epoch has been open, as this process saw it.
    pub(crate) fn decide(
        &self,
        authority: &Authority,
        fast: &str,
        admitted: bool,
        settled: Duration,
        now: Instant,
    ) -> Option<To> {
        let lasted =
            self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let patience = authority.seat.view.max(Duration::from_secs(1)) * 2;
        match (&self.identity, authority.epoch, authority.seat.backend == fast) {
            (Some(_), 0, _) => Some(To::Fast),
            (None, 0, _) => (lasted >= patience).then_some(To::Arbiter),
            // Another run of it, or another server, or its memory is gone: what it granted it may have forgotten.
            (Some(identity), _, true) => {
                (*identity != authority.seat.identity || !admitted).then_some(To::Fast)
            }
            (None, _, true) => (lasted >= patience).then_some(To::Arbiter),
            // Each move costs a wait: back only when it has been well for a while, and this epoch was of some use.
            (Some(_), _, false) => {
                let long = (authority.seat.ttl_max * 5).max(Duration::from_secs(10));
                (lasted >= patience * 2 && settled >= long).then_some(To::Fast)
            }
            (None, _, false) => None,
        }
    }
}

#[cfg(test)]
mod tests;
