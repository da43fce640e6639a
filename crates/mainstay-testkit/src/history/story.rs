//! Histories written by hand, for the tests of the checkers.
//! It must not judge.

use super::call::{Ack, Call, Freshness, Outcome, Source, Version};
use super::check::Verdict;
use super::op::{Micros, OpId};
use super::recorder::History;
use super::trace::Trace;

/// A history of the key `k`; the client of each session has the session's number.
pub(super) struct Story(pub(super) History);

pub(super) type Span = (Micros, Micros);

pub(super) fn v(counter: u64) -> Option<Version> {
    Some(Version::new(1, counter))
}

impl Story {
    pub(super) fn new() -> Self {
        Self(History::bounded(1_000))
    }

    pub(super) fn begin(&self, session: u32, call: Call, at: Micros) -> OpId {
        self.0.invoke(session, session, "k", call, at).unwrap()
    }

    pub(super) fn ok(&self, session: u32, call: Call, outcome: Outcome, at: Span) -> OpId {
        let id = self.begin(session, call, at.0);
        self.0.ok(id, outcome, at.1);
        id
    }

    pub(super) fn unknown(&self, session: u32, call: Call, at: Span) -> OpId {
        let id = self.begin(session, call, at.0);
        self.0.unknown(id, at.1);
        id
    }

    pub(super) fn fail(&self, session: u32, call: Call, at: Span) -> OpId {
        let id = self.begin(session, call, at.0);
        self.0.fail(id, at.1);
        id
    }

    pub(super) fn durable(&self, session: u32, call: Call, counter: u64, at: Span) -> OpId {
        self.ok(session, call, Outcome::write(v(counter), Ack::Durable, true), at)
    }

    pub(super) fn put(&self, session: u32, value: u64, counter: u64, at: Span) -> OpId {
        self.durable(session, Call::Put(value), counter, at)
    }

    pub(super) fn delete(&self, session: u32, counter: u64, at: Span) -> OpId {
        self.durable(session, Call::Delete, counter, at)
    }

    pub(super) fn cas(&self, session: u32, from: u64, value: u64, to: u64, at: Span) -> OpId {
        self.durable(session, Call::CompareAndSet { expected: v(from), value }, to, at)
    }

    pub(super) fn add(&self, session: u32, by: i64, number: i64, at: Span) -> OpId {
        let outcome = Outcome::increment(number, None, Ack::Durable);
        self.ok(session, Call::Increment { by }, outcome, at)
    }

    /// A linearizable read.
    pub(super) fn get(
        &self,
        session: u32,
        value: Option<u64>,
        version: Option<Version>,
        at: Span,
    ) -> OpId {
        self.get_as(session, value, version, Freshness::Linearizable, at)
    }

    pub(super) fn get_as(
        &self,
        session: u32,
        value: Option<u64>,
        version: Option<Version>,
        freshness: Freshness,
        at: Span,
    ) -> OpId {
        let outcome = Outcome::read(value, version, freshness, Source::Record);
        self.ok(session, Call::Get, outcome, at)
    }

    /// The record's final state.
    pub(super) fn last(&self, value: Option<u64>, version: Option<Version>) {
        self.0.final_record("k", value, version, 1_000_000);
    }

    /// How often `check` raises the alarm; it has to have examined something.
    pub(super) fn alarms(&self, check: fn(&Trace) -> Verdict) -> u64 {
        let verdict = check(&self.0.trace());
        assert!(verdict.examined > 0, "nothing was examined");
        assert_eq!(verdict.violations.len() as u64, verdict.violations_seen);
        verdict.violations_seen
    }
}
