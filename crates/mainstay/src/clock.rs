//! Time as an argument: a monotonic clock, a wall clock, and deadlines.
//! It must not know who asks; under tokio's paused clock both clocks follow the virtual time.

use std::{sync::Arc, time::Duration};

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
    /// Whether the machine's sleep counts: not on a clock that a test or a simulation has set.
    sleeps: bool,
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

    #[expect(clippy::disallowed_methods, reason = "the one place where time comes in")]
    fn from(unix_ms: i64, fast_ppm: i64, sleeps: bool) -> Self {
        Self(Arc::new(Origin { instant: Instant::now(), unix_ms, fast_ppm, sleeps }))
    }

    /// Now, monotonic.
    #[expect(clippy::disallowed_methods, reason = "the one place where time comes in")]
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Milliseconds since the Unix epoch. Steps of the system's clock after start are not followed.
    pub fn unix_ms(&self) -> i64 {
        self.0.unix_ms.saturating_add(self.elapsed_us() / 1_000)
    }

    /// Microseconds since the Unix epoch.
    pub fn unix_us(&self) -> u64 {
        let base = u64::try_from(self.0.unix_ms).unwrap_or(0).saturating_mul(1000);
        base.saturating_add(u64::try_from(self.elapsed_us()).unwrap_or(0))
    }

    /// Wall time since the start.
    fn elapsed_us(&self) -> i64 {
        let elapsed = self.now().duration_since(self.0.instant).as_micros();
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        elapsed
            .saturating_add(elapsed / 1_000_000 * self.0.fast_ppm)
            .saturating_add(elapsed % 1_000_000 * self.0.fast_ppm / 1_000_000)
    }

    /// How long the machine has been suspended since it was started: the monotonic clock stands still meanwhile, the
    /// leases that others count on do not. Only the difference between two answers means something. Zero where the
    /// system has no such clock.
    pub fn suspended(&self) -> Duration {
        if self.0.sleeps { suspended() } else { Duration::ZERO }
    }

    /// A deadline this far away.
    pub fn deadline_in(&self, timeout: Duration) -> Deadline {
        Deadline(self.now() + timeout)
    }
}

/// A thread may lose its processor between two readings, which then looks like a sleep of the machine: readings further
/// apart than this are taken anew.
#[cfg(target_os = "linux")]
const APART: Duration = Duration::from_millis(1);

/// How often.
#[cfg(target_os = "linux")]
const READINGS: u32 = 16;

#[cfg(target_os = "linux")]
fn suspended() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |id| {
        let time = clock_gettime(id);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let mut least = Duration::MAX;
    for _ in 0..READINGS {
        let before = read(ClockId::Monotonic);
        let booted = read(ClockId::Boottime);
        // Never less than it is, and more by the time between the readings at most.
        least = least.min(booted.saturating_sub(before));
        if read(ClockId::Monotonic).saturating_sub(before) < APART {
            break;
        }
    }
    least
}

#[cfg(not(target_os = "linux"))]
fn suspended() -> Duration {
    Duration::ZERO
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

    /// The earlier of this and `timeout` from now.
    #[must_use]
    pub fn within(self, now: Instant, timeout: Duration) -> Self {
        Self(self.0.min(now + timeout))
    }
}
