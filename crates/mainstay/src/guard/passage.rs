//! How a call begins and ends: past the lock where that is enough, else under it.
//! It must not know what is called, nor judge.

use std::{
    sync::{PoisonError, atomic::Ordering},
    task::Waker,
    time::Duration,
};

use super::{
    Guard,
    breaker::Ticket,
    classify::Verdict,
    core::{After, Ending, look_for},
    inflight::Alarms,
    permit::{InFlight, Permit, Seen},
    shards::{Ended, Kept, Place},
    trip::Refused,
};
use crate::{clock::Instant, error::Error, op::OpLabel};

impl Guard {
    pub(super) fn begin(
        &self,
        op: OpLabel,
        now: Instant,
        alarms: Alarms,
        waker: &Waker,
    ) -> Result<Permit<'_>, Error> {
        let look = look_for(alarms, now);
        let passed = self.shards.begin(now, look, alarms, waker, || self.seen());
        let begun = passed.map_or_else(|| self.ask(now, look, alarms, waker), Ok);
        match begun {
            Ok((ticket, place, seen)) => {
                let call = InFlight { ticket, place, op, began: now };
                Ok(Permit::new(self, call, alarms.limit, seen, waker))
            }
            Err(refused) => {
                self.spoil();
                Err(self.refusal(&refused))
            }
        }
    }

    /// Begins a call under the lock: an opening afterwards counts one more than it has seen.
    fn ask(
        &self,
        now: Instant,
        look: Instant,
        alarms: Alarms,
        waker: &Waker,
    ) -> Result<(Ticket, Place, Seen), Refused> {
        self.change(|core| {
            let seen = self.seen();
            let (begun, after) = core.begin(now, look);
            let begun = begun.map(|ticket| {
                (ticket, self.shards.enter(now, ticket.epoch(), alarms, waker), seen)
            });
            (begun, after)
        })
    }

    fn seen(&self) -> Seen {
        Seen { cuts: self.cuts.load(Ordering::Acquire), overs: self.overs.load(Ordering::Acquire) }
    }

    pub(super) fn settle(&self, call: InFlight, ending: &Ending<'_>, took: Duration, now: Instant) {
        let InFlight { ticket, op, place, .. } = call;
        let succeeded = ending.verdict == Verdict::Success;
        let ended = succeeded.then_some(Ended { ticket, op, took, at: now });
        match self.shards.leave(place, ended) {
            Kept::Yes => {}
            Kept::Full => self.change(|_core| ((), After::default())),
            Kept::No => self.change(|core| ((), core.settle(call, ending, took, now))),
        }
        if self.adapts.get() {
            self.adapt(ending.verdict, took, now);
        }
    }

    pub(super) fn adapt(&self, verdict: Verdict, took: Duration, now: Instant) {
        let inflight = self.bulkhead.inflight();
        let mut adaptive = self.adaptive.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been turned off while this waited.
        if self.adapts.get() {
            self.bulkhead.set_limit(adaptive.note(verdict, took, inflight, now));
        }
    }
}
