//! What an answer of a front door promises, in the words of the history.
//! It must not know whether the promise was kept.

use std::time::Duration;

use mainstay::config::Consistency;

use super::{http::Answer, run::Window, time::micros};
use crate::history::{Fate, Freshness, Micros, Op, Outcome, Source, Trace, Version};

/// What a route promises.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels {
    pub(super) consistency: Consistency,
    pub(super) lease: Duration,
}

const CACHE: Source = Source::Cache { leased: true };

impl Labels {
    /// RESP does not say who answered: it may always be the cache.
    pub(super) fn of_resp(self) -> (Freshness, Source) {
        (self.of_copy(), CACHE)
    }

    pub(super) fn of_http(self, answer: &Answer) -> (Freshness, Source) {
        let cached = answer.header("x-mainstay-source") == Some("redis");
        let stale = answer.header("cache-status").is_some_and(|text| text.contains("stale"));
        match (cached, stale) {
            (_, true) => (Freshness::Unverified, Source::Cache { leased: false }),
            (true, false) => (self.of_copy(), CACHE),
            (false, false) => (Freshness::Linearizable, Source::Record),
        }
    }

    fn of_copy(self) -> Freshness {
        match self.consistency {
            Consistency::Strict => Freshness::Linearizable,
            Consistency::Bounded => Freshness::Bounded(micros(self.lease)),
        }
    }
}

/// A version as the front doors write it.
pub(super) fn version(text: &str) -> Option<Version> {
    let (epoch, counter) = text.trim_matches('"').split_once('-')?;
    Some(Version::new(epoch.parse().ok()?, counter.parse().ok()?))
}

/// Puts in what the answers did not say and the run knows: RESP does not mark copies that cannot be verified, and while
/// Redis takes back what it had acknowledged, the promise is the lease and the time to notice it.
pub(super) fn correct(trace: &mut Trace, windows: &[Window], labels: Labels, detection: Duration) {
    let allowed = micros(labels.lease + detection);
    for op in &mut trace.ops {
        let unsaid = op.client < super::client::HTTP_FROM;
        let within: Vec<&Window> = windows.iter().filter(|window| window.meets(op)).collect();
        let hidden = within.iter().any(|window| window.hides_record());
        let forgotten = within.iter().any(|window| window.forgets());
        let Fate::Ok(Outcome::Read(read), _) = &mut op.fate else { continue };
        if read.source == Source::Record || read.freshness == Freshness::Unverified {
            continue;
        }
        if unsaid && hidden && labels.consistency == Consistency::Bounded {
            read.freshness = Freshness::Unverified;
        } else if forgotten {
            read.freshness = Freshness::Bounded(allowed);
        }
    }
}

/// RESP does not say versions either; whoever has read a value over HTTP knows the version of its write.
pub(super) fn resolve(trace: &mut Trace) {
    let told = |op: &Op| {
        let read = op.read()?;
        Some(((op.key.clone(), read.value?), read.version?))
    };
    let mut known: std::collections::BTreeMap<_, _> = trace.ops.iter().filter_map(told).collect();
    for last in &trace.records {
        if let (Some(value), Some(version)) = (last.value, last.version) {
            known.insert((last.key.clone(), value), version);
        }
    }
    for op in &mut trace.ops {
        let Some(Some(value)) = op.call.stores() else { continue };
        if let Fate::Ok(Outcome::Write(write), _) = &mut op.fate
            && write.applied
            && write.version.is_none()
        {
            write.version = known.get(&(op.key.clone(), value)).copied();
        }
    }
}

impl Window {
    /// Whether a call ran while this lasted, recovery included.
    pub(super) fn meets(&self, op: &Op) -> bool {
        let until: Micros = self.recovered.unwrap_or(Micros::MAX);
        self.from <= op.ended().map_or(Micros::MAX, |at| at.t) && op.invoked.t <= until
    }

    fn hides_record(&self) -> bool {
        self.faults.iter().any(|fault| fault.hides_record())
    }

    fn forgets(&self) -> bool {
        self.faults.iter().any(|fault| fault.forgets())
    }
}
