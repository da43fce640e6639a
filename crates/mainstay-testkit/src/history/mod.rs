//! What happened in one run, and what it has to obey: recorded by the simulation and by the chaos suite, judged here.
//! It must not know how the calls were made: no IO, no clock, no type of the library.
//!
//! A harness records every call before it is sent and every answer after it came ([`History`]), adds what it knows
//! from outside (faults, outages, the final state of record and caches), and asks for a [`Report`]:
//!
//! ```
//! use mainstay_testkit::history::{Ack, Call, Freshness, History, Outcome, Report, Source, Version};
//!
//! let history = History::bounded(1_000);
//! let (first, second) = (Some(Version::new(1, 1)), Some(Version::new(1, 2)));
//! for (value, version, at) in [(7, first, 10), (8, second, 30)] {
//!     let put = history.invoke(0, 0, "k", Call::Put(value), at).unwrap();
//!     history.ok(put, Outcome::write(version, Ack::Durable, true), at + 5);
//! }
//! let get = history.invoke(1, 1, "k", Call::Get, 50).unwrap();
//! history.ok(get, Outcome::read(Some(7), first, Freshness::Linearizable, Source::Record), 55);
//!
//! let report = Report::of(&history.trace());
//! assert!(!report.passed(), "the second read is stale:\n{report}");
//! ```
//!
//! The checkers never raise a false alarm if the harness keeps three rules: the invocation is recorded before the call
//! is sent and the answer after it came, with times of one clock; `fail` is said only of what was certainly not
//! executed; and the value of each put or compare-and-set is used once in a run. Expiry is not modelled: recorded keys
//! have no time to live.

mod call;
pub mod check;
mod jsonl;
mod op;
mod recorder;
mod render;
mod report;
mod trace;

#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;

pub use call::{Ack, Call, Freshness, Outcome, ReadOutcome, Source, Version, WriteOutcome};
pub use check::{Promise, Verdict, Violation};
pub use op::{ClientId, Effect, Fate, Micros, Moment, Op, OpId, SessionId};
pub use recorder::{Full, History};
pub use report::{Counts, Report};
pub use trace::{Copied, Mark, MarkKind, Outage, Recorded, Trace};
