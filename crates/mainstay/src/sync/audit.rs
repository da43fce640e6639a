//! Copies that were served, compared with the record now and then: the safety net under the protocol.
//! It must not know how copies are kept true; what it finds is a defect, or a writer that does not keep to the protocol.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::domain::{Counts, Domain};
use crate::{
    backend::semantics::copies::{self, Seen},
    entry::{Key, Record, Version},
    error::Result,
    event::EventKind,
    exec::Road,
    guard::{self, backoff},
    live::LiveDuration,
    op::{CopyOp, Op},
};

/// Every so many hits one is remembered.
const EVERY: u64 = 16;
/// Keys of one audit at most.
const KEYS_MAX: usize = 100;
/// How often it is looked whether there are to be audits, and how often.
const LOOK: Duration = Duration::from_secs(5);
/// Time for one question.
const STEP: Duration = Duration::from_secs(1);

/// Some of the keys that were served from copies since the last audit.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    hits: AtomicU64,
    keys: Mutex<Vec<Key>>,
}

impl Sample {
    /// A copy was served.
    pub(crate) fn note(&self, key: &Key) {
        let hit = self.hits.fetch_add(1, Ordering::Relaxed);
        if !hit.is_multiple_of(EVERY) {
            return;
        }
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < KEYS_MAX {
            keys.push(key.kept());
        } else {
            // The newest in the place of an old one, in turn.
            let place = usize::try_from(hit / EVERY).unwrap_or(0) % KEYS_MAX;
            keys[place] = key.kept();
        }
    }

    fn take(&self) -> Vec<Key> {
        let mut keys =
            std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner));
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// Audits one cache for ever.
pub(crate) async fn keep(road: Arc<Road>, id: usize) {
    let domain = &road.domains[id];
    loop {
        until_due(&domain.audit, road.entropy.unit()).await;
        if domain.may_read(&road.clock) {
            // A failure is the node's: its breaker has seen it, and the next audit comes.
            drop(audit(&road, domain, domain.served.take()).await);
        }
    }
}

/// Waits for the next audit. Another pause counts soon, also for the one that has begun; zero: never, as long as nobody says
/// otherwise.
async fn until_due(every: &LiveDuration, unit: f64) {
    let mut waited = Duration::ZERO;
    loop {
        let pause = every.get();
        let left = backoff::spread(pause, 0.1, unit).saturating_sub(waited);
        if !pause.is_zero() && left.is_zero() {
            return;
        }
        let step = if pause.is_zero() { LOOK } else { left.min(LOOK) };
        tokio::time::sleep(step).await;
        waited += step;
    }
}

/// A copy that is older than what the record held before the copy was read is suspect; it is wrong if it still is when
/// every lease and every message of that moment has ended, and the key is not dirty.
async fn audit(road: &Arc<Road>, domain: &Domain, keys: Vec<Key>) -> Result<()> {
    let suspects = older(road, domain, keys).await?;
    if suspects.is_empty() {
        return Ok(());
    }
    let wait = domain
        .view()
        .map_or(domain.config.lease, |view| view.control.terms.mark + view.control.terms.lease);
    tokio::time::sleep(wait).await;
    let keys = suspects.iter().map(|(key, _)| key.clone()).collect();
    let again = older(road, domain, keys).await?;
    let wrong: Vec<Key> =
        again.into_iter().filter(|now| suspects.contains(now)).map(|(key, _)| key).collect();
    if !wrong.is_empty() {
        heal(road, domain, wrong).await?;
    }
    Ok(())
}

/// Those whose copy is older than the record, with the copy's version.
async fn older(road: &Arc<Road>, domain: &Domain, keys: Vec<Key>) -> Result<Vec<(Key, Version)>> {
    let Some(view) = domain.view().filter(|_| domain.may_read(&road.clock)) else {
        return Ok(Vec::new());
    };
    let keys: Vec<Key> = keys.into_iter().filter(|key| !view.is_dirty(key)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let op = Op::GetMany { keys: keys.clone() };
    let deadline = road.clock.deadline_in(STEP);
    let records = guard::call(&road.nodes[domain.record], &op, deadline).await?.into_records()?;
    let op = Op::GetMany { keys: keys.iter().map(|key| view.key_of(key)).collect() };
    let held = guard::call(&road.nodes[domain.cache], &op, deadline).await?.into_records()?;
    Counts::add(&domain.counts.audited, keys.len());
    let pairs = keys.into_iter().zip(records).zip(held);
    Ok(pairs.filter_map(|((key, record), copy)| Some((key, stale(record, copy)?))).collect())
}

fn stale(record: Option<Record>, copy: Option<Record>) -> Option<Version> {
    let Seen::Value { version, .. } = copies::read(copy?.value) else { return None };
    match record.and_then(|record| record.version) {
        Some(current) if current > version => Some(version),
        // Deleted or expired: the copy should have gone as well.
        None => Some(version),
        Some(_) => None,
    }
}

async fn heal(road: &Arc<Road>, domain: &Domain, keys: Vec<Key>) -> Result<()> {
    let Some(view) = domain.view() else { return Ok(()) };
    Counts::add(&domain.counts.inconsistent, keys.len());
    let text = format!("{} were older than the record, such as {:?}", keys.len(), keys[0]);
    road.nodes[domain.cache].publish(EventKind::Copies { state: "inconsistent" }, text);
    let op = CopyOp::Drain { keys: keys.iter().map(|key| view.key_of(key)).collect() };
    let deadline = road.clock.deadline_in(STEP);
    guard::call(&road.nodes[domain.cache], &Op::Copy(op), deadline).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn another_pause_counts_for_the_wait_that_has_begun() {
        let every = LiveDuration::new(Duration::from_secs(86_400));
        let change = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            every.set(Duration::from_secs(3));
        };
        let both = async { tokio::join!(until_due(&every, 0.5), change) };
        tokio::time::timeout(2 * LOOK, both).await.expect("it is due");
        // None at all, until there are to be some.
        every.set(Duration::ZERO);
        let long = Duration::from_secs(3600);
        assert!(tokio::time::timeout(long, until_due(&every, 0.5)).await.is_err());
    }
}
