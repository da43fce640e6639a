//! The suite for a record with caches before it passes on memory, and finds what is wrong with one that is nearly right.

use futures_util::future::BoxFuture;
use mainstay::backend::memory::Memory;
use mainstay::backend::semantics::keys_of;
use mainstay::backend::{Backend, Capabilities, ProbeDepth, ProbeReport};
use mainstay::config::MemoryConfig;
use mainstay::op::{DirtyRow, RecordOp, Under};
use mainstay::reply::Committed;
use mainstay::{Clock, Condition, Deadline, Key, Op, Reply, Result};
use mainstay_testkit::conformance;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Memory with one thing wrong.
#[derive(Debug)]
struct Flawed {
    memory: Memory,
    flaw: Flaw,
    seq: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Flaw {
    ForgetsDeadlines,
    NeverWaits,
    HoldsNothingOpen,
    CutsIds,
    CutsJournals,
    AppliesAgain,
    AppliesOverOthers,
    NeverSaysMore,
    OneNumber,
    WritesTheOverdue,
    DrainsWhatItFinds,
    MakesNothingDirty,
    LeavesRowsAfterErrors,
    ReadmitsWithRows,
    LetsWritesPastReadmissions,
}

/// Longer than any row has been there.
const NEVER: Duration = Duration::from_secs(1 << 30);

impl Flawed {
    async fn ask(&self, op: RecordOp, deadline: Deadline) -> Result<Reply> {
        self.memory.execute(&Op::Record(op), deadline).await
    }

    async fn run(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        let Op::Record(op) = op else { return self.memory.execute(op, deadline).await };
        match (self.flaw, op.clone()) {
            (Flaw::DrainsWhatItFinds, RecordOp::Drained { cache, rows }) => {
                let mut found = self.dirty(&cache, deadline).await?;
                found.retain(|row| rows.iter().any(|each| each.key == row.key));
                self.ask(RecordOp::Drained { cache, rows: found }, deadline).await
            }
            (
                Flaw::MakesNothingDirty,
                RecordOp::Commit { write, under: Under::Around { .. }, .. },
            ) => self.plainly(&write, deadline).await,
            // As one that has found the cache degraded, and lets go of the row before it writes.
            (Flaw::LetsWritesPastReadmissions, RecordOp::Commit { write, .. }) => {
                tokio::task::yield_now().await;
                self.plainly(&write, deadline).await
            }
            (Flaw::WritesTheOverdue, RecordOp::Commit { write, .. }) => {
                let reply = self.ask(op.clone(), deadline).await?;
                if reply == Reply::Committed(Committed::Overtaken) {
                    drop(self.memory.execute(&write, deadline).await);
                }
                Ok(reply)
            }
            (Flaw::LeavesRowsAfterErrors, RecordOp::Commit { cache, write, .. }) => {
                let reply = self.ask(op.clone(), deadline).await;
                if reply.is_err() {
                    self.make_dirty(&cache, keys_of(&write), deadline).await?;
                }
                reply
            }
            (Flaw::ReadmitsWithRows, RecordOp::Readmit { cache, .. }) => {
                let rows = self.dirty(&cache, deadline).await?;
                let reply = self.ask(op.clone(), deadline).await?;
                let keys = rows.into_iter().map(|row| row.key).collect();
                self.make_dirty(&cache, keys, deadline).await?;
                Ok(reply)
            }
            (_, op) => Ok(self.bend_reply(self.ask(self.bend(op), deadline).await?)),
        }
    }

    fn bend(&self, mut op: RecordOp) -> RecordOp {
        match (self.flaw, &mut op) {
            (
                Flaw::ForgetsDeadlines,
                RecordOp::Commit { under: Under::Mark { deadline_us, .. }, .. },
            ) => *deadline_us = i64::MAX,
            (Flaw::NeverWaits, RecordOp::Commit { under: Under::Around { known_for, .. }, .. }) => {
                *known_for = None
            }
            (
                Flaw::HoldsNothingOpen,
                RecordOp::Commit { under: Under::Around { open_for, .. }, .. },
            ) => *open_for = Duration::ZERO,
            (Flaw::CutsIds, RecordOp::Lease { id, .. }) => *id &= u64::MAX >> 1,
            (Flaw::CutsJournals, RecordOp::Apply { journal, .. }) => {
                *journal &= u128::from(u64::MAX);
            }
            (Flaw::AppliesAgain, RecordOp::Apply { seq, .. }) => {
                *seq = self.seq.fetch_add(1, Ordering::Relaxed);
            }
            (Flaw::AppliesOverOthers, RecordOp::Apply { base, .. }) => {
                base.known_until_us = Some(i64::MAX);
            }
            _ => {}
        }
        op
    }

    fn bend_reply(&self, mut reply: Reply) -> Reply {
        match (self.flaw, &mut reply) {
            (Flaw::NeverSaysMore, Reply::Lease(row)) => row.more = false,
            (Flaw::OneNumber, Reply::Dirty(rows)) => {
                rows.iter_mut().for_each(|row| row.number = 1);
            }
            _ => {}
        }
        reply
    }

    async fn plainly(&self, write: &Op, deadline: Deadline) -> Result<Reply> {
        let reply = self.memory.execute(write, deadline).await?;
        Ok(Reply::Committed(Committed::Done(Box::new(reply))))
    }

    async fn dirty(&self, cache: &Arc<str>, deadline: Deadline) -> Result<Vec<DirtyRow>> {
        let op = RecordOp::Dirty { cache: Arc::clone(cache), from: None, limit: 1000 };
        self.ask(op, deadline).await?.into_dirty()
    }

    /// By writes whose condition does not hold.
    async fn make_dirty(&self, cache: &Arc<str>, keys: Vec<Key>, deadline: Deadline) -> Result<()> {
        for key in keys {
            // Waits for ever: its rows are made, and nothing is written.
            let under = Under::Around { known_for: Some(NEVER), open_for: Duration::ZERO };
            let write =
                Box::new(Op::Delete { key, condition: Condition::Always, want_previous: false });
            self.ask(RecordOp::Commit { cache: Arc::clone(cache), write, under }, deadline).await?;
        }
        Ok(())
    }
}

impl Backend for Flawed {
    fn engine(&self) -> &'static str {
        "flawed"
    }

    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        self.memory.connect(deadline)
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.run(op, deadline))
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        self.memory.probe(depth, deadline)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.memory.close()
    }
}

/// Whether a check of this topic finds the flaw.
async fn found(flaw: Flaw, topic: &str) -> bool {
    let memory = Memory::new(&MemoryConfig::default(), 1 << 20, Clock::system());
    let backend: Arc<dyn Backend> = Arc::new(Flawed { memory, flaw, seq: AtomicU64::new(1) });
    let deadline = Clock::system().deadline_in(Duration::from_secs(60));
    backend.connect(deadline).await.expect("memory connects");
    let checks = conformance::checks(&backend.capabilities());
    let mut checks = checks.into_iter().filter(|check| check.name.starts_with(topic)).peekable();
    assert!(checks.peek().is_some(), "no check is about {topic}");
    for check in checks {
        if check.run(&backend).await.is_err() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn flaws_are_found() {
    for (flaw, topic) in [
        (Flaw::ForgetsDeadlines, "control writes: a mark has its time"),
        (Flaw::NeverWaits, "control dirty: a strict write"),
        (Flaw::HoldsNothingOpen, "control dirty: a drain leaves what is held open"),
        (Flaw::CutsIds, "control: the first lease"),
        (Flaw::CutsJournals, "control journal: a write is applied once"),
        (Flaw::AppliesAgain, "control journal: a write is applied once"),
        (Flaw::AppliesOverOthers, "control journal: never over"),
        (Flaw::NeverSaysMore, "control dirty: a lease"),
        (Flaw::OneNumber, "control dirty: a drain leaves what was written again"),
        (Flaw::WritesTheOverdue, "control writes: overtaken"),
        (Flaw::DrainsWhatItFinds, "control races: no drain takes a later write"),
        (Flaw::MakesNothingDirty, "control writes: around an active"),
        (Flaw::LeavesRowsAfterErrors, "control writes: the caller's errors"),
        (Flaw::ReadmitsWithRows, "control dirty: a readmission forgets"),
        (Flaw::LetsWritesPastReadmissions, "control races: a write around against"),
    ] {
        assert!(found(flaw, topic).await, "{flaw:?}");
    }
}
