//! How long the machine has slept, at the price of one clock reading a look.
//! It must not know who counts on it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// A thread may lose its processor between two readings, which then looks like a sleep of the machine: readings further
/// apart than this are taken anew.
const APART: Duration = Duration::from_millis(1);

/// How often.
const READINGS: u32 = 16;

/// What is known of the machine's sleep.
#[derive(Debug)]
pub(super) struct Suspension {
    /// The monotonic clock when this began.
    begun: Duration,
    /// The machine's sleep by then or since, nanoseconds, as it was last measured: less is never true again.
    known: AtomicU64,
}

impl Suspension {
    /// From now on, and what `now` shows then. Begun no later than that: what is hidden is never hidden for good.
    pub(super) fn since<T>(mut now: impl FnMut() -> T) -> (T, Self) {
        let mut tries = 0;
        loop {
            let (begun, shown) = (read(ClockId::Monotonic), now());
            tries += 1;
            if read(ClockId::Monotonic).saturating_sub(begun) < APART / 10 || tries == READINGS {
                return (shown, Self { begun, known: AtomicU64::new(nanos(measured())) });
            }
        }
    }

    /// Since the machine was started, `elapsed` after this began; short by `APART` at most. A look that shows more may
    /// come from a thread that has lost its processor meanwhile: then it is measured.
    pub(super) fn at(&self, elapsed: Duration) -> Duration {
        let shown = read(ClockId::Boottime).saturating_sub(self.begun + elapsed);
        let known = Duration::from_nanos(self.known.load(Relaxed));
        if shown < known + APART {
            return known;
        }
        let measured = measured();
        self.known.store(nanos(measured), Relaxed);
        measured
    }
}

/// Never less than it is, and more by the time between two readings at most.
fn measured() -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..READINGS {
        let before = read(ClockId::Monotonic);
        let booted = read(ClockId::Boottime);
        least = least.min(booted.saturating_sub(before));
        if read(ClockId::Monotonic).saturating_sub(before) < APART {
            break;
        }
    }
    least
}

fn read(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_shows_and_a_late_thread_does_not() {
        let ((), clock) = Suspension::since(|| ());
        let awake = clock.at(Duration::ZERO);
        std::hint::black_box((0..1_000_000).fold(0_u64, |sum, n| sum ^ n));
        let late = clock.at(Duration::ZERO);
        assert!(late < awake + 2 * APART, "a time that is old is no sleep: {awake:?} {late:?}");
        let asleep = Suspension { begun: clock.begun, known: AtomicU64::new(0) };
        let slept = asleep.at(Duration::ZERO);
        assert!(slept < awake + 2 * APART && awake < slept + 2 * APART, "{awake:?} {slept:?}");
        assert_eq!(
            clock.at(Duration::from_secs(3600)),
            late,
            "a caller that is ahead sees no sleep"
        );
    }
}
