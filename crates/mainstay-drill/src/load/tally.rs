//! What the requests of a load came to: by second, by phase, by kind of error.
//! It must not know how requests are made.

use std::{collections::BTreeMap, time::Duration};

use super::register::Judgement;
use crate::{histogram::Histogram, machine::Phase};

/// Kinds of errors that are told apart.
const KINDS_MAX: usize = 20;
/// Examples that are kept of what must not happen.
const EXAMPLES_MAX: usize = 10;

/// What a request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Read,
    Write,
    Delete,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Answered.
    Answered,
    /// An error as the answer, with its text.
    Refused(String),
    /// No answer at all: the connection broke, or the client's patience ended.
    Broken(String),
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) ask: Ask,
    /// When it was due, since the load began.
    pub(crate) due: Duration,
    /// From when it was due to its end.
    pub(crate) latency: Duration,
    pub(crate) end: End,
    /// Of a read that was answered.
    pub(crate) judgement: Option<Judgement>,
    /// For an example.
    pub(crate) key: usize,
}

/// Requests of one second, or of one phase.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// All.
    pub requests: u64,
    /// Reads among them.
    pub reads: u64,
    /// Those that were not answered, or with an error.
    pub failed: u64,
    /// Reads among those.
    pub failed_reads: u64,
    /// Writes and deletes that were acknowledged.
    pub acknowledged: u64,
    /// Reads that answered something older than acknowledged.
    pub stale: u64,
    /// Reads that answered what had been deleted.
    pub deleted_back: u64,
    /// Reads that answered what nobody wrote.
    pub unexplained: u64,
    /// Latencies of all.
    pub latency: Histogram,
    /// The longest that was refused.
    pub slowest_refusal: Duration,
}

impl Slice {
    fn take(&mut self, taken: &Taken) {
        let read = taken.ask == Ask::Read;
        let failed = taken.end != End::Answered;
        self.requests += 1;
        self.reads += u64::from(read);
        self.failed += u64::from(failed);
        self.failed_reads += u64::from(failed && read);
        self.acknowledged += u64::from(!failed && !read);
        if failed {
            self.slowest_refusal = self.slowest_refusal.max(taken.latency);
        }
        match taken.judgement {
            Some(Judgement::Stale) => self.stale += 1,
            Some(Judgement::DeletedBack) => self.deleted_back += 1,
            Some(Judgement::Unexplained) => self.unexplained += 1,
            Some(Judgement::Right) | None => {}
        }
        self.latency.record(taken.latency);
    }
}

/// One kind of error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// How many.
    pub count: u64,
    /// The text of the first.
    pub example: String,
}

/// All requests of a load.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By the second in which they were due.
    pub seconds: Vec<Slice>,
    /// By the phase in which they were due.
    pub phases: BTreeMap<Phase, Slice>,
    /// By the first words of the error.
    pub errors: BTreeMap<String, Errors>,
    /// Answers that must not be.
    pub examples: Vec<String>,
    began: Vec<(Phase, Duration)>,
}

impl Tally {
    /// A phase begins.
    pub(crate) fn begin(&mut self, phase: Phase, at: Duration) {
        self.began.push((phase, at));
        self.phases.entry(phase).or_default();
    }

    pub(crate) fn take(&mut self, taken: &Taken) {
        let second = usize::try_from(taken.due.as_secs()).unwrap_or(0);
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, Slice::default);
        }
        self.seconds[second].take(taken);
        let phase = self.phase_at(taken.due);
        self.phases.entry(phase).or_default().take(taken);
        if let End::Refused(text) | End::Broken(text) = &taken.end {
            self.fail(text);
        }
        let wrong = taken.judgement.filter(|judgement| *judgement != Judgement::Right);
        if let Some(judgement) = wrong
            && self.examples.len() < EXAMPLES_MAX
        {
            let at = taken.due.as_secs_f64();
            self.examples.push(format!("key {} at {at:.1} s: {judgement:?}", taken.key));
        }
    }

    /// All requests, and those that failed.
    pub fn totals(&self) -> (u64, u64) {
        let of = |pick: fn(&Slice) -> u64| self.phases.values().map(pick).sum();
        (of(|slice| slice.requests), of(|slice| slice.failed))
    }

    /// The requests of one phase.
    pub fn phase(&self, phase: Phase) -> Slice {
        self.phases.get(&phase).cloned().unwrap_or_default()
    }

    fn phase_at(&self, due: Duration) -> Phase {
        let began = self.began.iter().rev().find(|(_, at)| *at <= due);
        began.map_or(Phase::Steady, |(phase, _)| *phase)
    }

    fn fail(&mut self, text: &str) {
        let mut kind = kind_of(text);
        if !self.errors.contains_key(&kind) && self.errors.len() >= KINDS_MAX {
            kind = "other".to_owned();
        }
        let errors = self.errors.entry(kind).or_default();
        errors.count += 1;
        if errors.example.is_empty() {
            text.clone_into(&mut errors.example);
        }
    }
}

/// The first word, or the first two where the second says which backend.
fn kind_of(text: &str) -> String {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or("error");
    let second =
        words.next().filter(|_| first == "UNAVAILABLE").map(|word| word.trim_end_matches(','));
    let unknown = if text.contains("outcome unknown") { ", outcome unknown" } else { "" };
    match second {
        Some(second) => format!("{first} {second}{unknown}"),
        None => format!("{first}{unknown}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(due: f64, ask: Ask, end: End) -> Taken {
        let latency = Duration::from_millis(5);
        Taken { ask, due: Duration::from_secs_f64(due), latency, end, judgement: None, key: 1 }
    }

    #[test]
    fn a_request_counts_where_it_was_due() {
        let mut tally = Tally::default();
        tally.begin(Phase::Steady, Duration::ZERO);
        tally.begin(Phase::Fault, Duration::from_secs(2));
        tally.take(&taken(1.9, Ask::Read, End::Answered));
        tally.take(&taken(2.1, Ask::Write, End::Answered));
        tally.take(&taken(3.5, Ask::Read, End::Refused("UNAVAILABLE db, redis down".into())));
        let requests: Vec<u64> = tally.seconds.iter().map(|second| second.requests).collect();
        assert_eq!(requests, [0, 1, 1, 1]);
        let fault = tally.phase(Phase::Fault);
        assert_eq!((fault.requests, fault.failed, fault.failed_reads), (2, 1, 1));
        assert_eq!((fault.acknowledged, tally.totals()), (1, (3, 1)));
        assert_eq!(fault.slowest_refusal, Duration::from_millis(5));
        assert_eq!(tally.errors["UNAVAILABLE db"].count, 1);
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let mut tally = Tally::default();
        for number in 0..100 {
            tally.take(&taken(0.0, Ask::Read, End::Broken(format!("kind{number} of error"))));
        }
        assert!(tally.errors.len() <= KINDS_MAX + 1);
        assert_eq!(tally.errors.values().map(|errors| errors.count).sum::<u64>(), 100);
        assert_eq!(
            kind_of("UNAVAILABLE db late; outcome unknown"),
            "UNAVAILABLE db, outcome unknown"
        );
    }

    #[test]
    fn what_must_not_be_read_is_counted_and_shown() {
        let mut tally = Tally::default();
        let stale =
            Taken { judgement: Some(Judgement::Stale), ..taken(0.0, Ask::Read, End::Answered) };
        (0..20).for_each(|_| tally.take(&stale));
        assert_eq!((tally.phase(Phase::Steady).stale, tally.examples.len()), (20, EXAMPLES_MAX));
    }
}
