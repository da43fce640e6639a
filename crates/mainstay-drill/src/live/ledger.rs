//! What callers of a running storage met, by phase and second, from the storage's own counts.
//! It must not make requests, nor know what is injected.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mainstay::{ErrorKind, Instant, Storage, status::Status};

use crate::{
    load::{Errors, Slice, Tally},
    machine::Phase,
    report::number,
    run::Meter,
};

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(200);
/// The error share is that of so long.
const WINDOW: Duration = Duration::from_secs(5);
/// Of fewer requests it says nothing.
const REQUESTS_MIN: u64 = 10;

/// The counts of a storage, phase by phase.
#[derive(Debug)]
pub(super) struct Ledger {
    storage: Storage,
    began: Instant,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    phase: Phase,
    before: Counts,
    tally: Tally,
    /// Requests and failures since the fault began, with when.
    recent: VecDeque<(Duration, u64, u64)>,
}

/// What only rises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    requests: u64,
    reads: u64,
    failed: u64,
    failed_reads: u64,
    by_error: BTreeMap<&'static str, u64>,
}

impl Counts {
    fn of(status: &Status) -> Self {
        let mut counts = Self::default();
        for count in &status.requests {
            let (number, read) = (count.count, count.op == "read");
            let error = ErrorKind::ALL.iter().find(|kind| kind.as_str() == count.outcome);
            let failed = error.filter(|kind| !kind.is_callers());
            counts.requests += number;
            counts.reads += if read { number } else { 0 };
            if let Some(kind) = failed.filter(|_| number > 0) {
                counts.failed += number;
                counts.failed_reads += if read { number } else { 0 };
                *counts.by_error.entry(kind.as_str()).or_default() += number;
            }
        }
        counts
    }

    fn add_since(&self, before: &Self, slice: &mut Slice) {
        slice.requests += self.requests.saturating_sub(before.requests);
        slice.reads += self.reads.saturating_sub(before.reads);
        slice.failed += self.failed.saturating_sub(before.failed);
        slice.failed_reads += self.failed_reads.saturating_sub(before.failed_reads);
    }
}

impl Ledger {
    /// Begins.
    pub(super) fn start(storage: &Storage) -> Self {
        let pages = Pages {
            phase: Phase::Steady,
            before: Counts::of(&storage.status()),
            tally: Tally::default(),
            recent: VecDeque::new(),
        };
        Self { began: storage.clock().now(), storage: storage.clone(), pages: Mutex::new(pages) }
    }

    /// Counts, until more of the requests of the last seconds have failed than this share; then says so.
    pub(super) async fn exceeds(&self, share_max: f64) -> String {
        loop {
            tokio::time::sleep(PERIOD).await;
            self.look();
            let (requests, failed) = self.pages().recent_counts();
            if too_many(requests, failed, share_max) {
                return format!(
                    "{} of the last {} requests failed, more than {} %",
                    number(failed),
                    number(requests),
                    (share_max * 1e4).round() / 1e2
                );
            }
        }
    }

    /// All that was counted.
    pub(super) fn finish(&self) -> Tally {
        self.look();
        self.pages().tally.clone()
    }

    fn look(&self) {
        let now = self.storage.clock().now().saturating_duration_since(self.began);
        let counts = Counts::of(&self.storage.status());
        self.pages().take(now, counts);
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter for Ledger {
    fn began(&self) -> Instant {
        self.began
    }

    fn phase(&self, phase: Phase) {
        self.look();
        let mut pages = self.pages();
        pages.phase = phase;
        pages.tally.phases.entry(phase).or_default();
    }
}

impl Pages {
    fn take(&mut self, now: Duration, counts: Counts) {
        let second = usize::try_from(now.as_secs()).unwrap_or(0);
        if self.tally.seconds.len() <= second {
            self.tally.seconds.resize_with(second + 1, Slice::default);
        }
        let before = std::mem::replace(&mut self.before, counts);
        self.before.add_since(&before, &mut self.tally.seconds[second]);
        self.before.add_since(&before, self.tally.phases.entry(self.phase).or_default());
        for (kind, count) in &self.before.by_error {
            let more = count - before.by_error.get(kind).copied().unwrap_or(0).min(*count);
            if more > 0 {
                let example = format!("{kind}, by the storage's own counts");
                let errors = self.tally.errors.entry((*kind).to_owned());
                errors.or_insert_with(|| Errors { count: 0, example }).count += more;
            }
        }
        if self.phase == Phase::Steady {
            // What failed before is not the drill's.
            return;
        }
        let requests = self.before.requests.saturating_sub(before.requests);
        let failed = self.before.failed.saturating_sub(before.failed);
        self.recent.push_back((now, requests, failed));
        while self.recent.front().is_some_and(|(at, ..)| *at + WINDOW < now) {
            self.recent.pop_front();
        }
    }

    fn recent_counts(&self) -> (u64, u64) {
        self.recent
            .iter()
            .fold((0, 0), |(requests, failed), (_, more, bad)| (requests + more, failed + bad))
    }
}

#[expect(clippy::cast_precision_loss, reason = "requests of some seconds")]
fn too_many(requests: u64, failed: u64, share_max: f64) -> bool {
    requests >= REQUESTS_MIN && failed as f64 > share_max * requests as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, failed: u64) -> Counts {
        let by_error = BTreeMap::from([("unavailable", failed)]);
        Counts { requests, failed, by_error, ..Counts::default() }
    }

    #[test]
    fn what_is_counted_belongs_to_the_phase_and_only_the_faults_own_errors_abort() {
        let mut pages = Pages {
            phase: Phase::Steady,
            before: counts(100, 5),
            tally: Tally::default(),
            recent: VecDeque::new(),
        };
        let at = Duration::from_secs;
        pages.take(at(1), counts(120, 15));
        assert_eq!(pages.recent_counts(), (0, 0), "errors from before say nothing");
        pages.phase = Phase::Fault;
        pages.take(at(2), counts(150, 18));
        pages.take(at(3), counts(160, 18));
        assert_eq!(pages.recent_counts(), (40, 3));
        pages.take(at(8), counts(160, 18));
        assert_eq!(pages.recent_counts(), (10, 0), "only the last seconds count");
        let slice = |phase| pages.tally.phase(phase);
        assert_eq!((slice(Phase::Steady).requests, slice(Phase::Steady).failed), (20, 10));
        assert_eq!((slice(Phase::Fault).requests, slice(Phase::Fault).failed), (40, 3));
        assert_eq!(pages.tally.errors["unavailable"].count, 13);
        assert_eq!(pages.tally.seconds[2].requests, 30);
    }

    #[test]
    fn the_threshold_is_a_share_of_enough_requests() {
        assert!(!too_many(9, 9, 0.05), "nine say nothing");
        assert!(!too_many(100, 5, 0.05));
        assert!(too_many(100, 6, 0.05));
        assert!(too_many(10, 1, 0.0));
        assert!(!too_many(10, 10, 1.0));
    }
}
