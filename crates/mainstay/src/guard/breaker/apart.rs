//! What calls that pass without asking mean to a breaker.
//! It must not know where they are kept until then.

use std::time::Duration;

use super::{super::classify::Verdict, Breaker, State, Ticket};
use crate::clock::Instant;

impl Breaker {
    /// The epoch of which every call passes without asking, and in which a quick success may be noted later: while it is
    /// closed by its own judgement.
    pub(in crate::guard) fn pass(&self) -> Option<u64> {
        matches!(self.state, State::Closed { .. }).then_some(self.epoch)
    }

    /// Notes a quick success of a moment ago. If it is slow by now, it is judged with the next that is.
    pub(in crate::guard) fn note_success(&mut self, ticket: Ticket, took: Duration, at: Instant) {
        if ticket.epoch != self.epoch {
            return;
        }
        self.note(Verdict::Success, took >= self.slow_over, took, at);
        if let State::Closed { failures, forbidden } = &mut self.state {
            (*failures, *forbidden) = (0, 0);
        }
    }
}
