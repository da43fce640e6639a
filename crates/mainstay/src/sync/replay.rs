//! The task that gives a record what waits for it in the journal: in order, each once, never over somebody else's write.
//! It must not know the callers who wrote it.

use std::{sync::Arc, time::Duration};

use super::{
    backlog::{Backlog, Waiting, record_of},
    journal::{JournalEntry, JournalId},
    merge::{JournalConflict, Merged},
};
use crate::{
    backend::semantics::keys_of,
    entry::{Key, Record},
    error::Result,
    event::EventKind,
    exec::Road,
    guard::{self, backoff::full_jitter},
    op::{Base, Op, RecordOp},
    reply::{Applied, Reply, Written},
    route::NodeId,
};

/// How often a record is asked for its time while nothing waits.
const CONTACT_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether a record is back.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between attempts on an entry that the record fails on.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Time for one step in the journal's own files.
const DISK_STEP: Duration = Duration::from_secs(10);
/// Entries that are looked at together.
const PAGE: usize = 64;
/// How often a merge function is asked about one entry.
const MERGES_MAX: usize = 8;

/// Why an entry dies whose keys are nowhere in a record.
const ORPHAN: &str = "no route has a record for its keys any more";

/// One record's entries.
struct Replay<'a> {
    road: &'a Arc<Road>,
    backlog: &'a Backlog,
    waiting: &'a Waiting,
    record: NodeId,
}

/// Serves one record for ever.
pub(crate) async fn keep(road: Arc<Road>, record: NodeId) {
    let Some(backlog) = &road.backlog else { return };
    let Some(waiting) = backlog.of(record) else { return };
    let replay = Replay { road: &road, backlog, waiting, record };
    let (mut failures, mut dealt_with) = (0, 0);
    loop {
        let pause = match replay.round(&mut dealt_with).await {
            Ok(pause) => {
                failures = 0;
                pause
            }
            Err(error) => {
                failures += 1;
                tracing::debug!(%error, failures, "the journal's next entry waits on");
                let backoff = full_jitter(RETRY_MIN, RETRY_MAX, failures, road.entropy.unit());
                RETRY_MIN + backoff
            }
        };
        tokio::select! {
            biased;
            () = waiting.woken() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Replay<'_> {
    /// Everything that can be done now; how long to wait before the next look.
    async fn round(&self, dealt_with: &mut u64) -> Result<Duration> {
        let node = &self.road.nodes[self.record];
        if !node.view(self.road.clock.now()).is_available() {
            return Ok(LOOK_EVERY);
        }
        self.meet().await?;
        let mut after = None;
        loop {
            let page = self.backlog.journal.pending(after, PAGE);
            let Some(last) = page.last().map(|entry| entry.seq) else { break };
            for entry in page {
                match record_of(&self.road.table, &entry) {
                    Some(record) if record == self.record => self.give(&entry).await?,
                    Some(_) => continue,
                    None => self.die(&entry, ORPHAN.to_owned()).await?,
                }
                *dealt_with += 1;
            }
            after = Some(last);
        }
        if self.waiting.set_waiting(false) {
            let kind = EventKind::Journal { state: "replayed", entries: *dealt_with };
            node.publish(kind, "what waited for it is applied, or a dead letter");
        }
        *dealt_with = 0;
        Ok(CONTACT_EVERY)
    }

    /// With a cache before the record, leases tell its time; without one it is asked.
    async fn meet(&self) -> Result<()> {
        let domains = self.road.domains.iter().filter(|domain| domain.record == self.record);
        let views = domains.filter_map(|domain| domain.view());
        let known = match views.map(|view| view.known_until_us()).max() {
            Some(known) => known,
            None => self.ask_time().await?,
        };
        self.waiting.know(Some(known));
        Ok(())
    }

    /// Up to when everything is known that was written in the record: its clock, less the longest statement, for a write
    /// carries the time at which it was made.
    async fn ask_time(&self) -> Result<i64> {
        let now_us = self.ask(RecordOp::Now).await?.into_integer()?;
        let statement = self.road.nodes[self.record].timeout().as_micros();
        Ok(now_us.saturating_sub(i64::try_from(statement).unwrap_or(i64::MAX)))
    }

    /// Gives the record one entry.
    async fn give(&self, entry: &JournalEntry) -> Result<()> {
        if let Some(before) = entry.base.after_seq.filter(|seq| self.backlog.is_dead(*seq)) {
            let reason = format!("it is based on entry {before}, which is a dead letter");
            return self.die(entry, reason).await;
        }
        let base = self.base(entry);
        match self.apply(entry, entry.write.clone(), base).await {
            Ok(Applied::Done(_) | Applied::Already) => self.done(entry).await,
            Ok(Applied::Conflict(key)) => self.met(entry, key).await,
            Err(error) if error.kind().is_callers() => {
                self.die(entry, format!("the record does not take it: {error}")).await
            }
            Err(error) => Err(error),
        }
    }

    /// What the writer knew. A write of this process that went to the record beside this entry was not acknowledged
    /// before the entry was: they may stand in this order.
    fn base(&self, entry: &JournalEntry) -> Base {
        let given = match keys_of(&entry.write).as_slice() {
            [key] => self.backlog.seen.given(key),
            _ => None,
        };
        Base { version: entry.base.version.max(given), known_until_us: entry.base.known_until_us }
    }

    async fn apply(&self, entry: &JournalEntry, write: Op, base: Base) -> Result<Applied> {
        let keys = keys_of(&write);
        // Copies of before must not be read from the moment at which the overlay is gone.
        self.note_around(&keys);
        let route = keys.first().map(|key| self.road.table.of(key));
        let l1 = route.and_then(|route| self.road.l1.of_route(route));
        let _writing = l1.map(|l1| l1.writing(&keys));
        let applied = self
            .ask(RecordOp::Apply {
                journal: stream(self.backlog.journal.id(), &entry.route),
                seq: entry.seq,
                write: Box::new(write),
                base,
            })
            .await?
            .into_applied()?;
        self.note_around(&keys);
        if let (Applied::Done(reply), [key]) = (&applied, keys.as_slice())
            && let Reply::Written(Written { version: Some(version), .. }) = &**reply
        {
            self.backlog.seen.gave(key, *version);
        }
        Ok(applied)
    }

    fn note_around(&self, keys: &[Key]) {
        let domains = self.road.domains.iter().filter(|domain| domain.record == self.record);
        for domain in domains {
            domain.note_around(keys, self.road.clock.now());
            domain.want_drain();
        }
    }

    async fn done(&self, entry: &JournalEntry) -> Result<()> {
        self.backlog.applied(entry.seq, self.road.clock.deadline_in(DISK_STEP)).await
    }

    async fn die(&self, entry: &JournalEntry, reason: String) -> Result<()> {
        let deadline = self.road.clock.deadline_in(DISK_STEP);
        self.backlog.dead(entry.seq, reason.clone(), deadline).await?;
        let kind = EventKind::Journal { state: "dead_letter", entries: entry.seq };
        self.road.nodes[self.record].publish(kind, reason);
        Ok(())
    }

    /// Somebody else wrote the key since.
    async fn met(&self, entry: &JournalEntry, key: Key) -> Result<()> {
        self.backlog.met();
        let single = matches!(keys_of(&entry.write).as_slice(), [_]);
        let Some(merge) = self.backlog.merge.as_ref().filter(|_| single) else {
            let reason = format!("{key:?} was written by somebody else in the meantime");
            return self.die(entry, reason).await;
        };
        for _ in 0..MERGES_MAX {
            let (known_until_us, current) = (self.ask_time().await?, self.read(&key).await?);
            let base = Base {
                version: current.as_ref().and_then(|record| record.version),
                known_until_us: Some(known_until_us),
            };
            let conflict = JournalConflict {
                key: key.clone(),
                journaled: entry.write.clone(),
                accepted_unix_ms: entry.accepted_unix_ms,
                current,
            };
            let write = match merge.decide(&conflict) {
                Ok(Merged::Replace(write)) => write,
                Ok(Merged::Keep | Merged::DeadLetter) => {
                    let deadline = self.road.clock.deadline_in(DISK_STEP);
                    return self.backlog.dropped(entry.seq, deadline).await;
                }
                Err(reason) => return self.die(entry, format!("{key:?}: {reason}")).await,
            };
            match self.apply(entry, write, base).await? {
                Applied::Done(_) | Applied::Already => return self.done(entry).await,
                Applied::Conflict(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        self.die(entry, format!("{key:?} was written again and again while it was merged")).await
    }

    async fn read(&self, key: &Key) -> Result<Option<Record>> {
        self.send(&Op::Get { key: key.clone(), with_ttl: true }).await?.into_record()
    }

    async fn ask(&self, op: RecordOp) -> Result<Reply> {
        self.send(&Op::Record(op)).await
    }

    async fn send(&self, op: &Op) -> Result<Reply> {
        let node = &self.road.nodes[self.record];
        let deadline = self.road.clock.deadline_in(node.timeout());
        // An entry that may have been applied is given again: its number tells.
        guard::call(node, op, deadline).await
    }
}

/// The number under which a record counts the entries of one route: a route that is given another record begins anew
/// there, whatever that one has of other routes. FNV-1a, which never changes.
fn stream(journal: JournalId, route: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    journal.0 ^ route.bytes().fold(BASIS, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_its_own_number_in_the_record_for_ever() {
        let (one, other) = (stream(JournalId(7), "a:"), stream(JournalId(7), "b:"));
        assert_ne!(one, other);
        assert_eq!(one ^ 7, stream(JournalId(0), "a:"));
        // The published FNV-1a of one letter.
        assert_eq!(stream(JournalId(0), "a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
