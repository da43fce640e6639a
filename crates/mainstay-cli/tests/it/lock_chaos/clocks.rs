//! Clocks: the kernel's, which no process can be deceived about, and those that libfaketime makes wrong.
//! It must not know who goes by them.

use std::{sync::OnceLock, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use tokio::{process::Command, time::Instant};

use super::PATIENCE;
use crate::{process::Mainstay, support::Scratch};

/// Much more than any round trip, and much less than an hour.
const MINUTE: Duration = Duration::from_secs(60);

/// A thread may lose its processor between two readings of a clock.
const READINGS: u32 = 16;

/// What a process is started with.
pub(super) type Variables = Vec<(String, String)>;

/// Nanoseconds of the kernel's monotonic clock, one for all processes: read by a system call of our own, which libfaketime
/// does not come between.
pub(super) fn nanos() -> u64 {
    read(ClockId::Monotonic).as_nanos().try_into().unwrap()
}

/// The same point of time as this process has it. All are counted from one point that both clocks were read at.
pub(super) fn instant(at: u64) -> Instant {
    static BOTH: OnceLock<(Instant, u64)> = OnceLock::new();
    let (here, there) = *BOTH.get_or_init(|| {
        let readings = (0..READINGS).map(|_| {
            let (before, here, after) = (nanos(), Instant::now(), nanos());
            (after - before, here, before)
        });
        let (_, here, there) = readings.min_by_key(|(apart, ..)| *apart).unwrap();
        (here, there)
    });
    match at.checked_sub(there) {
        Some(later) => here + Duration::from_nanos(later),
        None => here.checked_sub(Duration::from_nanos(there - at)).unwrap(),
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Where libfaketime is, as the loader of programs wants it.
async fn library() -> String {
    let asked =
        Command::new("faketime").args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).output();
    let output = asked.await.expect("faketime is installed (cargo xtask test does it)");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// All clocks run at this rate, and begin right.
pub(super) async fn at_rate(rate: &str) -> Variables {
    let faketime = [("LD_PRELOAD", library().await), ("FAKETIME", format!("+0 x{rate}"))];
    faketime.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// A wall clock that is set while a process runs. Its monotonic clock is right.
pub(super) struct WallClock(Scratch);

impl WallClock {
    pub(super) fn ahead_by(hours: i32) -> Self {
        let clock = Self(Scratch::new());
        clock.set(hours);
        clock
    }

    pub(super) fn set(&self, hours: i32) {
        // Not even for a moment is it half written.
        self.0.write("new", &format!("{hours:+}h\n"));
        std::fs::rename(self.0.path().join("new"), self.0.path().join("clock")).unwrap();
    }

    pub(super) async fn variables(&self) -> Variables {
        let variables = [
            ("LD_PRELOAD", library().await),
            ("FAKETIME_TIMESTAMP_FILE", self.0.path().join("clock").display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }
}

/// Removes what libfaketime leaves of a process that was killed.
pub(super) fn forget(pid: u32) {
    for name in ["faketime_shm_", "sem.faketime_sem_"] {
        // Only those that it was in have it.
        drop(std::fs::remove_file(format!("/dev/shm/{name}{pid}")));
    }
}

/// What time it is in a process.
pub(super) async fn of(mainstay: &Mainstay) -> Duration {
    let answer = mainstay.client().await.list(&["TIME"]).await;
    let number = |at: usize| answer[at].parse::<u64>().unwrap();
    Duration::from_secs(number(0)) + Duration::from_micros(number(1))
}

/// Sees that its clock is wrong by this much.
pub(super) async fn is_ahead(mainstay: &Mainstay, by: Duration) {
    let ahead = of(mainstay).await.checked_sub(read(ClockId::Realtime)).unwrap();
    assert!(ahead.abs_diff(by) < MINUTE, "it is ahead by {ahead:?}");
}

/// Waits until a clock has gained, or lost, more than can be the time that its answers took.
pub(super) async fn drifts(clock: impl AsyncFn() -> Duration, fast: bool) {
    let first = (Instant::now(), clock().await, Instant::now());
    let seen = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let last = (Instant::now(), clock().await, Instant::now());
            let theirs = last.1.checked_sub(first.1).unwrap();
            let (most, least) = (last.2 - first.0, last.0 - first.2);
            if (fast && theirs > most) || (!fast && theirs < least) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the clock runs at another rate");
}
