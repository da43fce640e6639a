//! What a backend was asked since start: each kind of call by its outcome, with how long it took.
//! It must not know what a call did.

use std::time::Duration;

use super::classify::Verdict;
use crate::{
    observe::{CALLS, Histogram},
    op::OpLabel,
    status::RequestLatency,
};

const OUTCOMES: [&str; 3] = ["success", "failure", "abandoned"];

/// A fixed table, so that counting costs an increment.
#[derive(Debug)]
pub(super) struct Requests(Vec<Histogram>);

impl Default for Requests {
    fn default() -> Self {
        Self(vec![Histogram::new(CALLS); OpLabel::ALL.len() * OUTCOMES.len()])
    }
}

impl Requests {
    /// One call has ended.
    pub(super) fn record(&mut self, op: OpLabel, verdict: Verdict, took: Duration) {
        self.0[op as usize * OUTCOMES.len() + outcome(verdict)].record(took);
    }

    /// Those that there were.
    pub(super) fn snapshot(&self) -> Vec<RequestLatency> {
        let named = OpLabel::ALL.iter().flat_map(|op| OUTCOMES.map(|outcome| (*op, outcome)));
        let all = named.zip(&self.0).filter(|(_, histogram)| histogram.count() > 0);
        let shown = all.map(|((op, outcome), histogram)| RequestLatency {
            op: op.as_str(),
            outcome,
            latency: histogram.snapshot(),
        });
        shown.collect()
    }
}

fn outcome(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Success => 0,
        Verdict::Failure
        | Verdict::Overload
        | Verdict::Refused
        | Verdict::Forbidden
        | Verdict::Corrupt => 1,
        Verdict::Abandoned => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart_by_what_was_asked_and_how_it_ended() {
        let mut requests = Requests::default();
        requests.record(OpLabel::Read, Verdict::Success, Duration::from_millis(1));
        requests.record(OpLabel::Lock, Verdict::Abandoned, Duration::from_millis(2));
        requests.record(OpLabel::Lock, Verdict::Abandoned, Duration::from_millis(2));
        let shown: Vec<_> = requests
            .snapshot()
            .into_iter()
            .map(|found| (found.op, found.outcome, found.latency.count))
            .collect();
        assert_eq!(shown, [("read", "success", 1), ("lock", "abandoned", 2)]);
    }
}
