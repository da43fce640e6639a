//! The journal: a local log, synced before it is acknowledged, that takes writes while the record of a route is down.
//! It must not know the record, nor when and how its entries are applied.
//!
//! One folder, for one process: `NNNNNNNNNNNNNNNNNNNN.journal` (a segment; the name is its first number), `….applied`
//! (what the record has of it), `dead-letters`, `identity`, `lock`, and what could not be read (`….torn-OFFSET`,
//! `….corrupt-OFFSET`). An acknowledged write is on the disk, and stays until it is applied, or is a dead letter that
//! somebody discards. A full journal refuses.

mod codec;
mod dead;
mod disk;
mod entry;
mod export;
mod folder;
mod frame;
mod full;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod inspect;
mod lane;
mod marks;
mod opening;
mod overlay;
mod report;
mod segment;
mod segments;
mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::timeout_at;

use self::{
    disk::{Disk, RealDisk},
    lane::{Append, Job, Lane, Work},
    state::Shared,
};
pub(crate) use self::{
    entry::{Base, DeadLetter, JournalEntry},
    frame::JournalId,
    inspect::inspect,
    overlay::{Overlaid, OverlaidExpiry, OverlaidValue, Overlay},
    report::OpeningReport,
};
use crate::{
    clock::{Clock, Deadline},
    config::JournalConfig,
    entropy::Entropy,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    op::Op,
};

/// A file is left for the next one from this size on, however large the journal.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

/// How much the journal takes before it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalLimits {
    /// Bytes on the disk, dead letters included.
    pub(crate) bytes_max: u64,
    /// Age of the oldest entry that waits.
    pub(crate) age_max: Duration,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self::from(&JournalConfig::default())
    }
}

impl From<&JournalConfig> for JournalLimits {
    fn from(config: &JournalConfig) -> Self {
        Self { bytes_max: config.bytes_max, age_max: config.age_max }
    }
}

impl JournalLimits {
    /// Eight files or more, so that what is applied gives room back.
    fn segment_bytes(&self) -> u64 {
        (self.bytes_max / 8).clamp(1 << 10, SEGMENT_BYTES_MAX)
    }
}

/// An open journal. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    lane: Arc<Lane>,
    shared: Arc<Shared>,
    id: JournalId,
    report: Arc<OpeningReport>,
    clock: Clock,
}

impl Journal {
    /// Opens the journal in this folder, which is created where needed.
    ///
    /// # Errors
    /// `Misconfigured` when another process has the folder or it cannot be used, `Corrupt` when the journal does not know
    /// itself any more. Damaged records are no error: see `report`.
    pub(crate) async fn open(
        dir: PathBuf,
        limits: JournalLimits,
        clock: Clock,
        entropy: Entropy,
    ) -> Result<Self> {
        Self::open_on(dir, limits, clock, entropy, Arc::new(RealDisk)).await
    }

    async fn open_on(
        dir: PathBuf,
        limits: JournalLimits,
        clock: Clock,
        entropy: Entropy,
        disk: Arc<dyn Disk>,
    ) -> Result<Self> {
        let times = clock.clone();
        let open = move || opening::open(dir, limits, times, &entropy, disk);
        let opened = tokio::task::spawn_blocking(open)
            .await
            .map_err(|_| Error::new(ErrorKind::Internal, "opening the journal ended early"))??;
        Ok(Self {
            lane: Arc::new(Lane::new(opened.writer)),
            shared: opened.shared,
            id: opened.id,
            report: Arc::new(opened.report),
            clock,
        })
    }

    /// Takes over bounds. Nothing that waits is dropped for a smaller one; its files stay as large as they were to be.
    pub(crate) fn set_limits(&self, limits: JournalLimits) {
        self.shared.limits.set(limits);
    }

    /// What was found at the opening.
    pub(crate) fn report(&self) -> &OpeningReport {
        &self.report
    }

    /// The journal's random number: with an entry's number it names the entry for ever.
    pub(crate) fn id(&self) -> JournalId {
        self.id
    }

    /// Takes a write for the record of `route` (its prefix); returns its number once it is on the disk. Writes that wait
    /// together share one sync. `base.after_seq` is filled in here.
    ///
    /// # Errors
    /// `Unsupported` for what may not wait; `Overloaded` when the journal or the disk is full; `DeadlineExceeded`. With
    /// `Effect::Unknown` the write may wait all the same: at once when the deadline passed, else after the next opening.
    pub(crate) async fn append(
        &self,
        write: Op,
        route: &str,
        base: Base,
        deadline: Deadline,
    ) -> Result<u64> {
        let accepted_unix_ms = self.clock.unix_ms();
        let bytes = codec::size_max(&write, route);
        if bytes > frame::LEN_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "a write in the journal has 1 GiB at most",
            ));
        }
        let write = entry::accepted(write, accepted_unix_ms)?;
        let append = Append { write, route: route.to_owned(), base, accepted_unix_ms, bytes };
        self.run(Work::Append(Box::new(append)), deadline).await
    }

    /// At most `max` entries behind the number `after`, in their order.
    pub(crate) fn pending(&self, after: Option<u64>, max: usize) -> Vec<JournalEntry> {
        self.shared.with(|state| state.page(after, max))
    }

    /// How many entries wait.
    pub(crate) fn depth(&self) -> u64 {
        self.shared.depth()
    }

    /// Bytes of all its files, except what was set aside.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.disk_bytes.load(Ordering::Acquire)
    }

    /// For how long the oldest entry has waited.
    pub(crate) fn oldest_age(&self) -> Option<Duration> {
        let at = self.shared.with(|state| state.oldest().map(|entry| entry.accepted_unix_ms))?;
        let age = self.clock.unix_ms().saturating_sub(at);
        Some(Duration::from_millis(u64::try_from(age).unwrap_or(0)))
    }

    /// The record has this entry. Without effect when it does not wait. A loss of power may forget it: the record has to
    /// know by the journal's and the entry's number what it has applied.
    ///
    /// # Errors
    /// Of the file system; the entry waits on.
    pub(crate) async fn applied(&self, seq: u64, deadline: Deadline) -> Result<()> {
        self.run(Work::Applied(seq), deadline).await.map(drop)
    }

    /// This entry will not be applied: it is kept with the reason until somebody discards it, and reads do not see it.
    ///
    /// # Errors
    /// `InvalidArgument` when it does not wait; of the file system.
    pub(crate) async fn dead_letter(
        &self,
        seq: u64,
        reason: String,
        deadline: Deadline,
    ) -> Result<()> {
        self.run(Work::Dead(seq, reason), deadline).await.map(drop)
    }

    /// All entries that were not applied and not discarded.
    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.shared.with(|state| state.dead.values().cloned().collect())
    }

    /// How many there are.
    pub(crate) fn dead_letter_count(&self) -> u64 {
        self.shared.with(|state| state.dead.len() as u64)
    }

    /// Whether this entry is one of them.
    pub(crate) fn is_dead_letter(&self, seq: u64) -> bool {
        self.shared.with(|state| state.dead.contains_key(&seq))
    }

    /// Forgets a dead letter.
    ///
    /// # Errors
    /// `InvalidArgument` when there is none with this number; of the file system.
    pub(crate) async fn discard_dead_letter(&self, seq: u64, deadline: Deadline) -> Result<()> {
        self.run(Work::Discard(seq), deadline).await.map(drop)
    }

    /// At most `max` entries behind the number `after`, each as a line of JSON without its line break.
    pub(crate) fn export(&self, after: Option<u64>, max: usize) -> Vec<String> {
        self.pending(after, max).iter().map(JournalEntry::to_json).collect()
    }

    /// What this process's reads of a key have to show. Nothing, and no lock, while nothing waits.
    pub(crate) fn overlaid(&self, key: &Key) -> Option<Overlaid> {
        self.shared.overlaid(key)
    }

    /// Looks at several keys of one state.
    pub(crate) fn overlay<T>(&self, look: impl FnOnce(&Overlay) -> T) -> T {
        self.shared.with(|state| look(state.overlay()))
    }

    /// Refuses what comes, finishes what is queued, and gives the folder back.
    pub(crate) async fn close(&self) {
        self.lane.shut().await;
    }

    async fn run(&self, work: Work, deadline: Deadline) -> Result<u64> {
        let (job, stage, answer) = Job::new(work, deadline);
        self.lane.push(job)?;
        match timeout_at(deadline.instant(), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_dropped)) => {
                let error = Error::new(ErrorKind::Internal, "the journal's writer panicked");
                Err(error.with_effect(stage.give_up()))
            }
            Err(_elapsed) => {
                let effect = stage.give_up();
                let what = match effect {
                    Effect::None => "the journal was busy for too long",
                    Effect::Unknown => "the journal's disk did not answer in time",
                };
                Err(Error::new(ErrorKind::DeadlineExceeded, what).with_effect(effect))
            }
        }
    }
}
