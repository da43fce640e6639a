//! Which sums some of a few numbers can have.
//! It must not know what they count.

use std::collections::BTreeSet;

/// Beyond this many different sums only their range is known.
const EXACT_MAX: usize = 4096;

/// The sums of all subsets: exactly while they are few, else their range.
pub(super) struct Sums {
    exact: Option<BTreeSet<i128>>,
    pub(super) min: i128,
    pub(super) max: i128,
}

impl Sums {
    pub(super) fn of(numbers: impl Iterator<Item = i128>) -> Self {
        let mut sums = Self { exact: Some(BTreeSet::from([0])), min: 0, max: 0 };
        for number in numbers {
            sums.min += number.min(0);
            sums.max += number.max(0);
            sums.exact = sums.exact.and_then(|exact| {
                let more: Vec<i128> = exact.iter().map(|sum| sum + number).collect();
                let exact: BTreeSet<i128> = exact.into_iter().chain(more).collect();
                (exact.len() <= EXACT_MAX).then_some(exact)
            });
        }
        sums
    }

    pub(super) fn contains(&self, sum: i128) -> bool {
        match &self.exact {
            Some(exact) => exact.contains(&sum),
            None => self.min <= sum && sum <= self.max,
        }
    }
}
