//! Time as an argument: a monotonic clock, a wall clock, and deadlines.
//! It must not know who asks; under tokio's paused clock both clocks follow the virtual time.

use std::{sync::Arc, time::Duration};

#[cfg(target_os = "linux")]
mod suspension;

#[cfg(target_os = "linux")]
use suspension::Suspension;

/// A timer may fire this much early: tokio's wheel counts in milliseconds.
const TIMER_SLACK: Duration = Duration::from_millis(1);

/// A point on the monotonic clock.
pub type Instant = tokio::time::Instant;

/// The clock of a storage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Origin>);

#[derive(Debug)]
struct Origin {
    instant: Instant,
    unix_ms: i64,
    /// How much faster the wall clock runs than the monotonic one, millionths.
    fast_ppm: i64,
    /// The machine's sleep; `None` on a clock that a test or a simulation has set.
    #[cfg(target_os = "linux")]
    suspension: Option<Suspension>,
    /// At least so much passes between two readings, and when the last was.
    #[cfg(test)]
    slow: Option<(Duration, std::sync::Mutex<Instant>)>,
}

impl Clock {
    /// The system's clock. Must be called inside a tokio runtime when its time is paused.
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "the one place where time comes in"
    )]
    pub fn system() -> Self {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        let unix_ms =
            since_epoch.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX));
        Self::from(unix_ms, 0, true)
    }

    /// A clock whose wall time starts here and whose machine never sleeps, for tests and simulations.
    pub fn starting_at(unix_ms: i64) -> Self {
        Self::from(unix_ms, 0, false)
    }

    /// The same, and its wall time runs `fast_ppm` millionths faster than that of a clock that is right.
    pub fn drifting(unix_ms: i64, fast_ppm: i32) -> Self {
        Self::from(unix_ms, i64::from(fast_ppm), false)
    }

    /// The clock of a machine so busy that at least this passes between two readings, for tests.
    #[cfg(test)]
    pub(crate) fn of_a_slow_machine(step: Duration) -> Self {
        let clock = Self::starting_at(0);
        let last = std::sync::Mutex::new(clock.0.instant);
        let origin = Arc::into_inner(clock.0).expect("nobody else has it");
        Self(Arc::new(Origin { slow: Some((step, last)), ..origin }))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where time comes in")]
    fn from(unix_ms: i64, fast_ppm: i64, sleeps: bool) -> Self {
        #[cfg(target_os = "linux")]
        let (instant, suspension) = Suspension::since(Instant::now);
        #[cfg(not(target_os = "linux"))]
        let instant = Instant::now();
        Self(Arc::new(Origin {
            instant,
            unix_ms,
            fast_ppm,
            #[cfg(target_os = "linux")]
            suspension: sleeps.then_some(suspension),
            #[cfg(test)]
            slow: None,
        }))
    }

    /// Now, monotonic.
    #[expect(clippy::disallowed_methods, reason = "the one place where time comes in")]
    pub fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some((step, last)) = &self.0.slow {
            let mut last = last.lock().expect("no reading panics");
            *last = Instant::now().max(*last + *step);
            return *last;
        }
        Instant::now()
    }

    /// Milliseconds since the Unix epoch. Steps of the system's clock after start are not followed.
    pub fn unix_ms(&self) -> i64 {
        self.unix_ms_at(self.now())
    }

    /// The same at this moment.
    pub fn unix_ms_at(&self, now: Instant) -> i64 {
        if self.0.fast_ppm == 0 {
            // The same in fewer steps: each hit in memory asks.
            let elapsed = now.duration_since(self.0.instant);
            let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
            let ms = seconds.saturating_mul(1000).saturating_add(elapsed.subsec_millis().into());
            return self.0.unix_ms.saturating_add(ms);
        }
        self.0.unix_ms.saturating_add(self.elapsed_us(now) / 1_000)
    }

    /// Microseconds since the Unix epoch.
    pub fn unix_us(&self) -> u64 {
        let base = u64::try_from(self.0.unix_ms).unwrap_or(0).saturating_mul(1000);
        base.saturating_add(u64::try_from(self.elapsed_us(self.now())).unwrap_or(0))
    }

    /// Wall time since the start.
    fn elapsed_us(&self, now: Instant) -> i64 {
        let elapsed = now.duration_since(self.0.instant).as_micros();
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        if self.0.fast_ppm == 0 {
            return elapsed;
        }
        elapsed
            .saturating_add(elapsed / 1_000_000 * self.0.fast_ppm)
            .saturating_add(elapsed % 1_000_000 * self.0.fast_ppm / 1_000_000)
    }

    /// How long the machine has been suspended since it was started: the monotonic clock stands still meanwhile, the
    /// leases that others count on do not. Only the difference between two answers means something. Zero where the
    /// system has no such clock.
    pub fn suspended(&self) -> Duration {
        self.suspended_at(self.now())
    }

    /// The same for a caller that has just read the clock: what is older only makes it look closer.
    #[cfg(target_os = "linux")]
    pub fn suspended_at(&self, now: Instant) -> Duration {
        let elapsed = now.duration_since(self.0.instant);
        self.0.suspension.as_ref().map_or(Duration::ZERO, |suspension| suspension.at(elapsed))
    }

    /// The same for a caller that has just read the clock.
    #[cfg(not(target_os = "linux"))]
    pub fn suspended_at(&self, _now: Instant) -> Duration {
        Duration::ZERO
    }

    /// A deadline this far away.
    pub fn deadline_in(&self, timeout: Duration) -> Deadline {
        Deadline(self.now() + timeout)
    }
}

/// The instant by which an answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline at this instant.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The instant.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Time left; zero when it has passed.
    pub fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Whether it has passed.
    pub fn passed(self, now: Instant) -> bool {
        now >= self.0
    }

    /// Whether a timer for it may have fired: one may fire a millisecond early.
    pub(crate) fn is_due(self, now: Instant) -> bool {
        self.left(now) <= TIMER_SLACK
    }

    /// The earlier of this and `timeout` from now.
    #[must_use]
    pub fn within(self, now: Instant, timeout: Duration) -> Self {
        Self(self.0.min(now + timeout))
    }
}
