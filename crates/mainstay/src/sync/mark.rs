//! The mark of one write: placed before the commit, published or taken back after it.
//! It must not know the commit.
//!
//! A mark that is neither published nor taken back (its writer went away, or does not know how the commit ended) ends by
//! itself and leaves nothing: the key is read from the record until then.

use std::{sync::Arc, time::Duration};

use super::{domain::Domain, view::View};
use crate::{
    clock::{Clock, Deadline},
    entry::{Key, Version},
    error::Result,
    exec::Road,
    guard,
    op::{CopyOp, CopyValue, Op, TtlChange, Under},
    reply::Reply,
};

/// A write waits this long for its mark; then it goes around the cache.
const MARK_WAIT: Duration = Duration::from_millis(150);

/// A publish and a taking back are tried so often; then the mark ends by itself.
const TRIES: u32 = 2;

/// Longer values are not published with their write: the next reader fetches them if anybody wants them.
const PUBLISHED_MAX: usize = 1 << 20;

/// A mark that stands.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    view: Arc<View>,
    keys: Vec<Key>,
    nonce: u128,
    deadline_us: i64,
}

impl Mark {
    /// Places a mark under a fresh nonce. `None`: the cache cannot be reached, is not known to be the right one, or is
    /// given up at present.
    pub(crate) async fn place(
        road: &Road,
        domain: &Domain,
        keys: &[Key],
        deadline: Deadline,
    ) -> Option<Self> {
        let view = domain.view().filter(|view| view.control.active && knows(road, domain, view))?;
        let (nonce, sent) = (road.entropy.nonce(), road.clock.now());
        let deadline_us = view.commit_by(sent, domain.statement)?;
        let keys: Vec<Key> = keys.iter().map(|key| view.key_of(key)).collect();
        let op = CopyOp::Mark { keys: keys.clone(), nonce, life: view.control.terms.mark };
        let deadline = deadline.within(sent, MARK_WAIT);
        guard::call(&road.nodes[domain.cache], &Op::Copy(op), deadline).await.ok()?;
        // Another server may have answered: the mark would stand where nobody looks.
        knows(road, domain, &view).then_some(Self { view, keys, nonce, deadline_us })
    }

    /// What the commit has to check.
    pub(crate) fn under(&self) -> Under {
        Under::Mark { epoch: self.view.control.epoch, deadline_us: self.deadline_us }
    }

    /// Takes the mark back in the background: nothing was committed under it.
    pub(crate) fn take_back(self, road: &Arc<Road>, domain: &Domain) {
        let op = CopyOp::Unmark { keys: self.keys, nonce: self.nonce, clean: true };
        spawn(road, domain, op);
    }

    /// Offers what was committed, in the background.
    pub(crate) fn publish(self, road: &Arc<Road>, domain: &Domain, copy: Option<CopyValue>) {
        let op = self.ending(copy);
        spawn(road, domain, op);
    }

    /// The same, confirmed: whether every mark still stood, or the keys are known to hold nothing older.
    pub(crate) async fn publish_now(
        self,
        road: &Road,
        domain: &Domain,
        copy: Option<CopyValue>,
    ) -> bool {
        let drain = CopyOp::Drain { keys: self.keys.clone() };
        let (published, view) = (copy.is_some(), Arc::clone(&self.view));
        let reply = call(road, domain, &Op::Copy(self.ending(copy))).await;
        let confirmed = match reply.map(Reply::into_flags) {
            Ok(Ok(stood)) if published && stood.iter().all(|stood| *stood) => true,
            // What a reader filled while no mark stood is older than the write.
            _ => call(road, domain, &Op::Copy(drain)).await.is_ok(),
        };
        // Another server's word confirms nothing.
        confirmed && knows(road, domain, &view)
    }

    fn ending(self, copy: Option<CopyValue>) -> CopyOp {
        match (copy, self.keys.as_slice()) {
            (Some(copy), [key]) => CopyOp::Publish { key: key.clone(), nonce: self.nonce, copy },
            _ => CopyOp::Unmark { keys: self.keys, nonce: self.nonce, clean: false },
        }
    }
}

/// Whether the server that answers is known to be the one that the record means.
pub(crate) fn knows(road: &Road, domain: &Domain, view: &View) -> bool {
    let node = &road.nodes[domain.cache];
    view.lease().is_some() && !view.is_revoked() && node.guard().is_readable()
}

fn spawn(road: &Arc<Road>, domain: &Domain, op: CopyOp) {
    let (node, clock) = (Arc::clone(&road.nodes[domain.cache]), road.clock.clone());
    let op = Op::Copy(op);
    road.tasks.spawn_to_end(async move {
        for _ in 0..TRIES {
            let deadline = clock.deadline_in(node.timeout());
            if guard::call(&node, &op, deadline).await.is_ok() {
                return;
            }
        }
    });
}

async fn call(road: &Road, domain: &Domain, op: &Op) -> Result<Reply> {
    let node = &road.nodes[domain.cache];
    guard::call(node, op, road.clock.deadline_in(MARK_WAIT.min(node.timeout()))).await
}

/// What a write can offer to readers: the whole value of one key, when its life is known without asking the record.
/// `life_max`: the longest life of a copy.
pub(crate) fn offer(op: &Op, reply: &Reply, life_max: Duration) -> Option<CopyValue> {
    let Op::Set { value, ttl, .. } = op.unfenced() else { return None };
    let Reply::Written(written) = reply else { return None };
    let version = written.version.filter(|_| written.applied)?;
    let ttl = match ttl {
        TtlChange::Clear => None,
        // The record counts from its commit, the copy from the mark before it: the copy ends first.
        TtlChange::For(ttl) => Some(*ttl),
        TtlChange::Keep | TtlChange::At(_) => return None,
    };
    (value.len() <= PUBLISHED_MAX).then(|| copy_of(value.clone(), version, ttl, life_max))
}

/// A copy's life is the record's, less what clocks may drift, and at most `life_max`.
pub(crate) fn copy_of(
    value: bytes::Bytes,
    version: Version,
    ttl: Option<Duration>,
    life_max: Duration,
) -> CopyValue {
    let life = ttl.map_or(life_max, |ttl| ttl.mul_f64(0.98).min(life_max));
    CopyValue { value, version, life, ttl }
}

/// Milliseconds of the cache's clock as a time from now; zero when it has passed.
pub(crate) fn left(view: &View, clock: &Clock, at_ms: i64) -> Duration {
    let now = view.cache_ms(clock.unix_ms());
    Duration::from_millis(u64::try_from(at_ms.saturating_sub(now)).unwrap_or(0))
}
