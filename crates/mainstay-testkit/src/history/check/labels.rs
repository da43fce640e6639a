//! No label says more than can be true.
//! It must not compare answers with each other.

use std::collections::BTreeMap;

use super::{Promise, Verdict};
use crate::history::call::{Freshness, Source};
use crate::history::op::{ClientId, Effect, Op};
use crate::history::trace::{Outage, Trace};

/// A write that began and was answered while its client could not reach the record is not durable; a read that was
/// answered outside a lease by anything but the record is not linearizable; an answer from the journal is pending.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    let mut verdict = Verdict::new(Promise::Labels);
    let mut outages: BTreeMap<ClientId, Vec<&Outage>> = BTreeMap::new();
    for outage in &trace.outages {
        outages.entry(outage.client).or_default().push(outage);
    }
    for op in &trace.ops {
        if let Some(read) = op.read() {
            verdict.examined += 1;
            if let Some(text) = wrong(read.freshness, read.source) {
                verdict.found(&op.key, format!("#{}: {text}", op.id.0), &[op]);
            }
        } else if op.effect() == Effect::Certain {
            verdict.examined += 1;
            let outage = outages.get(&op.client).and_then(|all| all.iter().find(|o| within(op, o)));
            if let Some(Outage { client, from, to }) = outage {
                let text = format!(
                    "#{} is called durable, but client {client} did not reach the record from {from} to {to}",
                    op.id.0
                );
                verdict.found(&op.key, text, &[op]);
            }
        }
    }
    verdict
}

fn within(op: &Op, outage: &Outage) -> bool {
    outage.from <= op.invoked.t && op.ended().is_some_and(|at| at.t <= outage.to)
}

fn wrong(freshness: Freshness, source: Source) -> Option<&'static str> {
    match (freshness, source) {
        (Freshness::Linearizable, Source::Cache { leased: false }) => {
            Some("called linearizable, but answered by a cache without a lease")
        }
        (Freshness::Linearizable, Source::Memory) => {
            Some("called linearizable, but answered by a copy in the process")
        }
        (Freshness::Linearizable | Freshness::Bounded(_), Source::Journal) => {
            Some("answered by the journal, but not called pending or unverified")
        }
        (
            Freshness::Linearizable | Freshness::Bounded(_),
            Source::Record | Source::Cache { .. } | Source::Memory,
        )
        | (Freshness::Unverified | Freshness::Pending, _) => None,
    }
}
