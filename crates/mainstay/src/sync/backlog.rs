//! The journal in use: what this process knows of each record for the writes that wait, and what has become of them.
//! It must not know when a write is journaled (`exec::journal`), nor how an entry is applied (`sync::replay`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, watch};

use super::{
    journal::{Base, Journal, JournalEntry, Overlaid},
    merge::Merge,
    seen::Seen,
};
use crate::{
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::Op,
    route::{NodeId, Shape, Table},
    status::JournalStatus,
};

/// The journal, and the records that it serves.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) journal: Journal,
    /// Where errors and answers of the journal come from.
    pub(crate) name: Arc<str>,
    pub(crate) merge: Option<Merge>,
    /// Versions of keys.
    pub(crate) seen: Seen,
    records: BTreeMap<NodeId, Waiting>,
    applied: AtomicU64,
    conflicts: AtomicU64,
    full: AtomicBool,
    /// Entries that died in this process, while anything waits: what was based on them dies too.
    died: Mutex<BTreeSet<u64>>,
    /// Changes whenever an entry waits no more.
    settled: watch::Sender<u64>,
}

/// What is known of one record.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// See `op::Base::known_until_us`; `i64::MIN`: nothing.
    known_until_us: AtomicI64,
    /// Whether writes for it wait, as was said last.
    waiting: AtomicBool,
    wake: Notify,
}

impl Backlog {
    /// Around an open journal. Records are those of routes with a journal, and those for which something waits already.
    pub(crate) fn new(journal: Journal, table: &Table, merge: Option<Merge>) -> Self {
        let mut records = BTreeMap::new();
        let with_journal = table.routes().iter().filter(|route| route.journal);
        for record in with_journal.map(|route| route.authority()) {
            records.entry(record).or_insert_with(Waiting::new);
        }
        for entry in journal.pending(None, usize::MAX) {
            let Some(record) = record_of(table, &entry) else { continue };
            let of_record = records.entry(record).or_insert_with(Waiting::new);
            of_record.waiting.store(true, Ordering::Release);
            // What the process before this one knew, this one knows as well.
            of_record.know(entry.base.known_until_us);
        }
        Self {
            journal,
            name: Arc::from("journal"),
            merge,
            seen: Seen::default(),
            records,
            applied: AtomicU64::new(0),
            conflicts: AtomicU64::new(0),
            full: AtomicBool::new(false),
            died: Mutex::default(),
            settled: watch::Sender::new(0),
        }
    }

    /// The records that it serves.
    pub(crate) fn records(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.records.keys().copied()
    }

    /// One of them.
    pub(crate) fn of(&self, record: NodeId) -> Option<&Waiting> {
        self.records.get(&record)
    }

    /// What this process's reads of a key have to show.
    pub(crate) fn overlaid(&self, key: &Key) -> Option<Overlaid> {
        self.journal.overlaid(key)
    }

    /// The same of several keys at one moment.
    pub(crate) fn overlaid_all(&self, keys: &[Key]) -> Vec<Option<Overlaid>> {
        if self.journal.depth() == 0 {
            return vec![None; keys.len()];
        }
        self.journal.overlay(|overlay| keys.iter().map(|key| overlay.get(key)).collect())
    }

    /// Whether something waits for one of these keys.
    pub(crate) fn holds(&self, keys: &[Key]) -> bool {
        let waits = || {
            self.journal
                .overlay(|overlay| keys.iter().any(|key| overlay.version_base(key).is_some()))
        };
        self.journal.depth() > 0 && waits()
    }

    /// Takes a write.
    ///
    /// # Errors
    /// As `Journal::append`.
    pub(crate) async fn append(
        &self,
        write: Op,
        route: &str,
        base: Base,
        deadline: Deadline,
    ) -> Result<u64> {
        let appended = self.journal.append(write, route, base, deadline).await;
        let refused = |error: &Error| error.kind() == ErrorKind::Overloaded;
        self.full.store(appended.as_ref().is_err_and(refused), Ordering::Relaxed);
        appended
    }

    /// The record has this entry.
    ///
    /// # Errors
    /// Of the file system; the entry waits on.
    pub(crate) async fn applied(&self, seq: u64, deadline: Deadline) -> Result<()> {
        self.journal.applied(seq, deadline).await?;
        self.applied.fetch_add(1, Ordering::Relaxed);
        self.settle();
        Ok(())
    }

    /// It is done with, though the record has not got it.
    ///
    /// # Errors
    /// As `applied`.
    pub(crate) async fn dropped(&self, seq: u64, deadline: Deadline) -> Result<()> {
        self.journal.applied(seq, deadline).await?;
        self.settle();
        Ok(())
    }

    /// It will not be applied.
    ///
    /// # Errors
    /// Of the file system; the entry waits on.
    pub(crate) async fn dead(&self, seq: u64, reason: String, deadline: Deadline) -> Result<()> {
        self.journal.dead_letter(seq, reason, deadline).await?;
        self.died().insert(seq);
        self.settle();
        Ok(())
    }

    /// Whether this entry has died.
    pub(crate) fn is_dead(&self, seq: u64) -> bool {
        self.died().contains(&seq) || self.journal.is_dead_letter(seq)
    }

    /// An entry met somebody else's write.
    pub(crate) fn met(&self) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until nothing waits for these keys any more; false: the deadline came first.
    pub(crate) async fn until_settled(&self, keys: &[Key], deadline: Deadline) -> bool {
        let mut settled = self.settled.subscribe();
        while self.holds(keys) {
            settled.borrow_and_update();
            if !self.holds(keys) {
                return true;
            }
            let changed = tokio::time::timeout_at(deadline.instant(), settled.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return !self.holds(keys);
            }
        }
        true
    }

    /// Tries again at once, for every record.
    pub(crate) fn wake_all(&self) {
        self.records.values().for_each(|record| record.wake.notify_one());
    }

    pub(crate) fn status(&self) -> JournalStatus {
        let report = self.journal.report();
        let damaged = report.torn.iter().chain(&report.corrupt).map(|aside| aside.bytes);
        let depth = self.journal.depth();
        let unmet = self.records.values().filter(|record| record.known_until_us().is_none());
        JournalStatus {
            depth,
            bytes: self.journal.bytes(),
            oldest_age: self.journal.oldest_age(),
            dead_letters: self.journal.dead_letter_count(),
            applied: self.applied.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
            full: depth > 0 && self.full.load(Ordering::Relaxed),
            unmet_records: unmet.count() as u64,
            damaged_bytes: damaged.sum(),
        }
    }

    fn settle(&self) {
        if self.journal.depth() == 0 {
            self.died().clear();
        }
        self.settled.send_modify(|number| *number = number.wrapping_add(1));
    }

    fn died(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.died.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn new() -> Self {
        Self {
            known_until_us: AtomicI64::new(i64::MIN),
            waiting: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// Whatever was written in the record before this is known here, or overwritten knowingly.
    pub(crate) fn know(&self, until_us: Option<i64>) {
        self.known_until_us.fetch_max(until_us.unwrap_or(i64::MIN), Ordering::AcqRel);
    }

    pub(crate) fn known_until_us(&self) -> Option<i64> {
        Some(self.known_until_us.load(Ordering::Acquire)).filter(|until| *until != i64::MIN)
    }

    /// Says that writes wait, or that none does; whether that is news.
    pub(crate) fn set_waiting(&self, waiting: bool) -> bool {
        self.waiting.swap(waiting, Ordering::AcqRel) != waiting
    }

    /// Something may be done at once.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

/// The record that an entry is for: its route's, or, when the configuration has no such route any more, that of the
/// route which takes its first key now.
pub(crate) fn record_of(table: &Table, entry: &JournalEntry) -> Option<NodeId> {
    let mut first = None;
    entry.write.for_each_key(|key| first = first.or(Some(key)));
    let named = table.routes().iter().find(|route| route.prefix == entry.route.as_bytes());
    let route = named.or_else(|| first.map(|key| table.of(key)))?;
    match route.shape {
        Shape::Record { record, .. } => Some(record),
        Shape::Failover { .. } => None,
    }
}
