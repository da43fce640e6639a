//! Whether it pays to ask for several as one, by what became of those before. Pure.
//! It must not know what is asked for.

use std::sync::{Mutex, PoisonError};

/// Values above this many bytes cost more to copy than their commands do: in the mean, where that is not known before.
pub(crate) const BYTES_MEAN_MAX: usize = 4096;

/// One of so many that is missing has to be asked for again too often.
const MISSES: usize = 4;

/// Batches that are sent as they are after one that did not pay.
const REST: u32 = 16;

/// The same after many that a server refused.
const REST_MAX: u32 = 4096;

/// What became of those that were sent as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) asked: usize,
    /// Those that have to be asked for alone.
    pub(crate) missed: usize,
    /// Of their values.
    pub(crate) bytes: usize,
    /// Not to be tried again soon: the server did not perform one of the commands, or it came to too much.
    pub(crate) refused: bool,
}

impl Tally {
    /// All of them failed together.
    pub(crate) fn failed(asked: usize, refused: bool) -> Self {
        Self { asked, missed: asked, bytes: 0, refused }
    }
}

/// Whether it pays to send several as one.
#[derive(Debug, Default)]
pub(crate) struct Merging {
    rests: u32,
    /// How long it rests after a refusal: longer each time, for one that has no end.
    refused: u32,
}

impl Merging {
    /// Asked before each batch.
    pub(crate) fn pays(&mut self) -> bool {
        let pays = self.rests == 0;
        self.rests = self.rests.saturating_sub(1);
        pays
    }

    /// Notes what became of a batch.
    pub(crate) fn note(&mut self, tally: Tally) {
        let Tally { asked, missed, bytes, refused } = tally;
        if asked == 0 {
            return;
        }
        self.refused = if refused { (self.refused * 2).clamp(REST, REST_MAX) } else { 0 };
        if missed * MISSES > asked || bytes > asked * BYTES_MEAN_MAX {
            self.rests = self.refused.max(REST);
        }
    }
}

/// The same for callers side by side.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<Merging>);

impl Shared {
    /// Asked before each batch.
    pub(crate) fn pays(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pays()
    }

    /// Notes what became of a batch.
    pub(crate) fn note(&self, tally: Tally) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).note(tally);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHT: Tally = Tally { asked: 8, missed: 0, bytes: 0, refused: false };

    #[test]
    fn it_rests_after_a_batch_that_did_not_pay() {
        let mut merging = Merging::default();
        assert!(merging.pays());
        merging.note(Tally { bytes: 8 * BYTES_MEAN_MAX, missed: 2, ..EIGHT });
        assert!(merging.pays());
        let dear = Tally { bytes: 8 * BYTES_MEAN_MAX + 1, ..EIGHT };
        let rare = Tally { missed: 3, ..EIGHT };
        let refused = Tally { missed: 8, refused: true, ..EIGHT };
        let mut rested = |tally| {
            merging.note(tally);
            std::iter::repeat_with(|| merging.pays()).take_while(|pays| !pays).count()
        };
        assert_eq!(
            [dear, rare, refused, refused, refused, rare].map(&mut rested),
            [16, 16, 16, 32, 64, 16]
        );
        let longest = [refused; 20].map(rested);
        assert_eq!(longest.last(), Some(&4096));
        let mut merging = Merging::default();
        merging.note(Tally::default());
        assert!(merging.pays(), "a batch without any says nothing");
    }
}
