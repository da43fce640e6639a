//! The one clock of a run.
//! It must not know what is timed.

use std::time::Duration;

use mainstay::{Clock, Instant};

use crate::history::Micros;

/// Microseconds since the run began. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Time {
    clock: Clock,
    begun: Instant,
    begun_unix_ms: i64,
}

impl Time {
    pub(super) fn begin() -> Self {
        let clock = Clock::system();
        Self { begun: clock.now(), begun_unix_ms: clock.unix_ms(), clock }
    }

    pub(super) fn now(&self) -> Micros {
        let since = self.clock.now().saturating_duration_since(self.begun);
        Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
    }

    /// A moment of a wall clock of the same host.
    pub(super) fn of_unix_ms(&self, unix_ms: i64) -> Micros {
        let since = unix_ms.saturating_sub(self.begun_unix_ms).max(0);
        since.unsigned_abs().saturating_mul(1000)
    }
}

pub(super) fn micros(time: Duration) -> Micros {
    Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX)
}
