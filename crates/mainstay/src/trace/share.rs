//! Which operations begin a trace: a share of those that belong to none, and so many a second at most.
//! It must not know who records traces; time and randomness are arguments.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    clock::{Clock, Instant},
    entropy::Entropy,
};

/// What the bound counts over.
const SECOND: Duration = Duration::from_secs(1);

/// Counts down to the next operation that is traced: one subtraction an operation, randomness only when it is reached.
#[derive(Debug)]
pub(crate) struct Share {
    /// The share's bits.
    share: AtomicU64,
    left: AtomicI64,
    most: Most,
    clock: Clock,
    entropy: Entropy,
}

/// So many a second.
#[derive(Debug)]
struct Most {
    most: AtomicU32,
    /// When the second began, and how many there have been in it.
    second: Mutex<(Instant, u32)>,
}

impl Share {
    /// `share` of the operations, from 0 to 1; every one, or none, at the ends. `most`: of them each second.
    pub(crate) fn new(share: f64, most: Option<u32>, clock: Clock, entropy: Entropy) -> Self {
        // At the ends nothing is drawn: who traces nothing has the same choices as before.
        let first = if share > 0.0 && share < 1.0 { gap(share, entropy.unit()) } else { 1 };
        let second = Mutex::new((clock.now(), 0));
        let most = Most { most: AtomicU32::new(most.unwrap_or(Most::ANY)), second };
        let share = AtomicU64::new(share.to_bits());
        Self { share, left: AtomicI64::new(first), most, clock, entropy }
    }

    /// Another share, and another bound.
    pub(crate) fn set(&self, share: f64, most: Option<u32>) {
        let inside = share > 0.0 && share < 1.0;
        let next = if inside { gap(share, self.entropy.unit()) } else { 1 };
        self.share.store(share.to_bits(), Relaxed);
        self.left.store(next, Relaxed);
        self.most.most.store(most.unwrap_or(Most::ANY), Relaxed);
    }

    /// Whether this operation is one of them.
    pub(super) fn take(&self) -> bool {
        self.is_drawn() && (self.most.is_any() || self.most.has_room(self.clock.now()))
    }

    fn is_drawn(&self) -> bool {
        let share = f64::from_bits(self.share.load(Relaxed));
        if share >= 1.0 {
            return true;
        }
        if share <= 0.0 || self.left.fetch_sub(1, Relaxed) != 1 {
            return false;
        }
        // Those that came meanwhile are not traced: a few in a million.
        self.left.store(gap(share, self.entropy.unit()), Relaxed);
        true
    }
}

impl Most {
    /// No bound.
    const ANY: u32 = u32::MAX;

    fn is_any(&self) -> bool {
        self.most.load(Relaxed) == Self::ANY
    }

    fn has_room(&self, now: Instant) -> bool {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(second.0) >= SECOND {
            *second = (now, 0);
        }
        let most = self.most.load(Relaxed);
        second.1 += u32::from(second.1 <= most);
        second.1 <= most
    }
}

/// How many operations there are up to the next that is traced, itself included: geometrically distributed, as if each had
/// been drawn by itself. `unit` lies in `[0, 1)`.
fn gap(share: f64, unit: f64) -> i64 {
    let gap = ((-unit).ln_1p() / (-share).ln_1p()).ceil();
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, which is far enough")]
    let gap = gap as i64;
    gap.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(share: f64, of: u32) -> usize {
        let share = Share::new(share, None, Clock::starting_at(0), Entropy::seeded(1));
        (0..of).filter(|_| share.take()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_traced_in_a_second_than_may_be() {
        let share = Share::new(1.0, Some(3), Clock::starting_at(0), Entropy::seeded(1));
        for _ in 0..2 {
            assert_eq!((0..10).filter(|_| share.take()).count(), 3);
            tokio::time::advance(SECOND).await;
        }
        let none = Share::new(1.0, Some(0), Clock::starting_at(0), Entropy::seeded(1));
        assert!(!none.take());
    }

    #[tokio::test(start_paused = true)]
    async fn another_share_and_another_bound_hold_at_once() {
        let share = Share::new(0.0, Some(0), Clock::starting_at(0), Entropy::seeded(1));
        assert!(!share.take());
        share.set(1.0, None);
        assert_eq!((0..1000).filter(|_| share.take()).count(), 1000);
        share.set(0.5, None);
        let taken = (0..10_000).filter(|_| share.take()).count();
        assert!((4800..5200).contains(&taken), "{taken}");
        share.set(1.0, Some(3));
        tokio::time::advance(SECOND).await;
        assert_eq!((0..10).filter(|_| share.take()).count(), 3);
        share.set(0.0, None);
        assert!(!share.take());
    }

    #[test]
    fn the_ends_are_exact_and_what_lies_between_is_close() {
        assert_eq!((taken(0.0, 1000), taken(1.0, 1000)), (0, 1000));
        for (share, low, high) in [(0.01, 850, 1150), (0.5, 49_000, 51_000)] {
            let taken = taken(share, 100_000);
            assert!((low..high).contains(&taken), "{share}: {taken}");
        }
    }

    #[test]
    fn the_gap_is_at_least_one_and_never_overflows() {
        assert_eq!((gap(0.5, 0.0), gap(0.5, 0.4), gap(0.5, 0.6)), (1, 1, 2));
        assert_eq!(gap(f64::MIN_POSITIVE, 0.999), i64::MAX);
    }
}
