//! One cache of the record under test, with a name of its own, and short verbs for what a record is asked about it.
//! Knows nothing of what is asserted.

use super::super::Subject;
use mainstay::backend::semantics::control::OVERFLOW;
use mainstay::op::{Base, DirtyRow, LeaseRow, RecordOp, Terms, Under};
use mainstay::reply::{Applied, Committed};
use mainstay::{Key, Op, Reply, Written};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const TERMS: Terms = Terms {
    lease: Duration::from_secs(2),
    mark: Duration::from_secs(5),
    statement: Duration::from_millis(1500),
};

/// Dirty rows, and the write at once.
pub(super) const BOUNDED: Under = Under::Around { known_for: None, open_for: Duration::ZERO };

/// Far more rows than any check but one makes.
pub(super) const ROWS_MAX: usize = 1000;

const LIMIT: Duration = Duration::from_secs(30);
const MINUTE_US: i64 = 60_000_000;

/// Dirty rows, and the write once they have been known for long enough.
pub(super) fn strict(known_for: Duration, open_for: Duration) -> Under {
    Under::Around { known_for: Some(known_for), open_for }
}

/// A cache, whether the record knows it or not.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    pub(super) s: Subject,
    name: Arc<str>,
}

impl Cache {
    /// The record has not heard of it.
    pub(super) fn unknown(s: &Subject) -> Self {
        Self { s: s.clone(), name: Arc::from(format!("check-{:016x}", rand::random::<u64>())) }
    }

    /// What a record took for a better backend: not a cache, and one for all checks.
    pub(super) async fn overflow(s: &Subject) -> Self {
        let cache = Self { s: s.clone(), name: Arc::from(OVERFLOW) };
        if !cache.lease(0).await.control.active {
            // One of the checks that run at once does it.
            cache.readmit(0, "", 0).await;
        }
        cache
    }

    /// Degraded at epoch 0.
    pub(super) async fn degraded(s: &Subject) -> Self {
        let cache = Self::unknown(s);
        cache.lease(0).await;
        cache
    }

    /// Active at epoch 1.
    pub(super) async fn active(s: &Subject) -> Self {
        let cache = Self::degraded(s).await;
        assert!(cache.readmit(0, "run-1", 0).await);
        cache
    }

    /// Asks the record about this cache.
    pub(super) async fn ask(&self, op: RecordOp) -> Reply {
        self.s.done(Op::Record(op)).await
    }

    pub(super) async fn lease(&self, dirty_max: usize) -> LeaseRow {
        self.lease_on(TERMS, 7, dirty_max).await
    }

    pub(super) async fn lease_on(&self, terms: Terms, id: u64, dirty_max: usize) -> LeaseRow {
        let op = RecordOp::Lease { cache: Arc::clone(&self.name), terms, id, dirty_max };
        *self.ask(op).await.into_lease().expect("Lease answers Lease")
    }

    /// The record's clock.
    pub(super) async fn now_us(&self) -> i64 {
        self.lease(0).await.now_us
    }

    /// Waits until the record's clock shows at least this.
    pub(super) async fn until_us(&self, us: i64) {
        let started = Instant::now();
        while self.now_us().await < us {
            assert!(started.elapsed() < LIMIT, "the record's clock stands");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A mark that has a long time to stand.
    pub(super) async fn mark(&self, epoch: u64) -> Under {
        Under::Mark { epoch, deadline_us: self.now_us().await + MINUTE_US }
    }

    pub(super) fn guarded(&self, write: Op, under: Under) -> Op {
        let cache = Arc::clone(&self.name);
        Op::Record(RecordOp::Commit { cache, write: Box::new(write), under })
    }

    pub(super) async fn commit(&self, write: Op, under: Under) -> Committed {
        let reply = self.s.done(self.guarded(write, under)).await;
        reply.into_committed().expect("Commit answers Committed")
    }

    /// Commits what has to be performed at once.
    pub(super) async fn done(&self, write: Op, under: Under) -> Reply {
        match self.commit(write, under).await {
            Committed::Done(reply) => *reply,
            other => unreachable!("{other:?}, where the write is to be performed"),
        }
    }

    pub(super) async fn written(&self, write: Op, under: Under) -> Written {
        self.done(write, under).await.into_written().expect("a write answers Written")
    }

    /// Asserts that a write has to wait, for no longer than this.
    pub(super) async fn waits(&self, write: Op, under: Under, longest: Duration) {
        match self.commit(write, under).await {
            Committed::Wait(left) => assert!(!left.is_zero() && left <= longest, "{left:?}"),
            other => unreachable!("{other:?}, where the write is to wait"),
        }
    }

    /// Commits until it need not wait any more.
    pub(super) async fn in_the_end(&self, write: Op, under: Under) -> Reply {
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            match self.commit(write.clone(), under).await {
                Committed::Done(reply) => return *reply,
                Committed::Wait(left) => tokio::time::sleep(left).await,
                Committed::Overtaken => unreachable!("overtaken, without a mark"),
            }
        }
        unreachable!("the write never ended to wait")
    }

    pub(super) async fn dirty(&self) -> Vec<DirtyRow> {
        self.dirty_from(None, ROWS_MAX).await
    }

    pub(super) async fn dirty_from(&self, from: Option<&Key>, limit: usize) -> Vec<DirtyRow> {
        let cache = Arc::clone(&self.name);
        let reply = self.ask(RecordOp::Dirty { cache, from: from.cloned(), limit }).await;
        reply.into_dirty().expect("Dirty answers Dirty")
    }

    pub(super) async fn dirty_keys(&self) -> BTreeSet<Key> {
        self.dirty().await.into_iter().map(|row| row.key).collect()
    }

    pub(super) async fn drained(&self, rows: Vec<DirtyRow>) -> i64 {
        self.count(RecordOp::Drained { cache: Arc::clone(&self.name), rows }).await
    }

    pub(super) async fn degrade(&self, epoch: u64, reason: &str) -> bool {
        let (cache, reason) = (Arc::clone(&self.name), reason.to_owned());
        self.did(RecordOp::Degrade { cache, epoch, reason }).await
    }

    pub(super) async fn readmit(&self, epoch: u64, identity: &str, beacon: u64) -> bool {
        let (cache, identity) = (Arc::clone(&self.name), identity.to_owned());
        self.did(RecordOp::Readmit { cache, epoch, identity, beacon }).await
    }

    pub(super) async fn raised(&self, epoch: u64, beacon: u64) -> bool {
        self.did(RecordOp::Raised { cache: Arc::clone(&self.name), epoch, beacon }).await
    }

    async fn count(&self, op: RecordOp) -> i64 {
        self.ask(op).await.into_integer().expect("a count answers Integer")
    }

    async fn did(&self, op: RecordOp) -> bool {
        let count = self.count(op).await;
        assert!(matches!(count, 0 | 1), "{count}, where 0 or 1 is due");
        count == 1
    }
}

/// A journaled write.
pub(super) fn journaled(journal: u128, seq: u64, write: Op, base: Base) -> Op {
    Op::Record(RecordOp::Apply { journal, seq, write: Box::new(write), base })
}

pub(super) async fn apply(s: &Subject, journal: u128, seq: u64, write: Op, base: Base) -> Applied {
    let reply = s.done(journaled(journal, seq, write, base)).await;
    reply.into_applied().expect("Apply answers Applied")
}
