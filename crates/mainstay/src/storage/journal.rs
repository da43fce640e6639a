//! The journal as an operator meets it: opened and closed with the storage, looked at, replayed, its dead letters
//! discarded; and the folder of a process that does not run.
//! It must not know when a write is journaled.

use std::path::Path;

use super::Storage;
use crate::{
    clock::{Clock, Deadline},
    config::JournalConfig,
    entropy::Entropy,
    error::{Error, ErrorKind, Result},
    event::{Actor, Details, EventKind},
    route::Table,
    sync::{
        backlog::Backlog,
        journal::{DeadLetter, Journal, JournalEntry, JournalLimits, inspect},
        merge::Merge,
    },
};

/// What stands in a journal's folder: each entry and dead letter as one JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalContents {
    /// Writes that wait, in their order.
    pub entries: Vec<String>,
    /// Writes that will not be applied.
    pub dead_letters: Vec<String>,
    /// Bytes that cannot be read: the end of a file that a crash left half written, or damage.
    pub unreadable_bytes: u64,
}

/// Reads the folder of a journal that no process has open, and changes nothing there.
///
/// # Errors
/// `Misconfigured` when there is no journal, a process has it, or a later version wrote it; what the file system says.
pub fn inspect_journal(dir: &Path) -> Result<JournalContents> {
    let found = inspect(dir)?;
    Ok(JournalContents {
        entries: found.entries.iter().map(JournalEntry::to_json).collect(),
        dead_letters: found.dead_letters.iter().map(DeadLetter::to_json).collect(),
        unreadable_bytes: found.unreadable_bytes,
    })
}

/// Opens the journal where a route wants it.
pub(super) async fn open(
    config: &JournalConfig,
    table: &Table,
    merge: Option<Merge>,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Option<Backlog>> {
    if !table.routes().iter().any(|route| route.journal) {
        return Ok(None);
    }
    let limits = JournalLimits::from(config);
    let journal = Journal::open(config.dir.clone(), limits, clock.clone(), entropy.clone()).await?;
    Ok(Some(Backlog::new(journal, table, merge)))
}

/// Finishes what is queued; false: not in time. What waits stays on the disk for the next process.
pub(super) async fn close(backlog: &Backlog, deadline: Deadline) -> bool {
    let closed = tokio::time::timeout_at(deadline.instant(), backlog.journal.close()).await;
    let depth = backlog.journal.depth();
    if depth > 0 {
        tracing::warn!(depth, "writes wait in the journal until this process is started again");
    }
    closed.is_ok()
}

impl Storage {
    /// At most `max` writes that wait for a record, behind the number `after`, each as one JSON object with `seq`, `op`,
    /// its keys and values, and what it is based on.
    ///
    /// # Errors
    /// `Unsupported` when no route has a journal.
    pub fn journal_entries(&self, after: Option<u64>, max: usize) -> Result<Vec<String>> {
        Ok(self.backlog()?.journal.export(after, max))
    }

    /// Writes that will not be applied, each as one JSON object with the `reason`.
    ///
    /// # Errors
    /// As `journal_entries`.
    pub fn journal_dead_letters(&self) -> Result<Vec<String>> {
        let letters = self.backlog()?.journal.dead_letters();
        Ok(letters.iter().map(DeadLetter::to_json).collect())
    }

    /// Has what waits tried again now, instead of after its pause.
    ///
    /// # Errors
    /// As `journal_entries`.
    pub fn replay_journal(&self) -> Result<()> {
        self.backlog()?.wake_all();
        Ok(())
    }

    /// Forgets a dead letter for ever.
    ///
    /// # Errors
    /// As `journal_entries`; `InvalidArgument` when there is none with this number; of the file system.
    pub async fn discard_dead_letter(&self, seq: u64, reason: &str) -> Result<()> {
        self.discard_dead_letter_by(seq, reason, &Actor::PROGRAM).await
    }

    /// The same, by somebody whom the event names.
    ///
    /// # Errors
    /// As `discard_dead_letter`.
    pub async fn discard_dead_letter_by(
        &self,
        seq: u64,
        reason: &str,
        actor: &Actor,
    ) -> Result<()> {
        let deadline = self.clock().deadline_in(self.config().limits.deadline);
        self.backlog()?.journal.discard_dead_letter(seq, deadline).await?;
        let kind = EventKind::Journal { state: "discarded", entries: seq };
        let details = Details { actor: actor.clone(), ..Details::default() };
        self.events().publish_with(None, kind, reason, details);
        Ok(())
    }

    fn backlog(&self) -> Result<&Backlog> {
        self.0.road.backlog.as_ref().ok_or_else(|| {
            let text = "no route has a journal: on_record_down = \"journal\" gives it one";
            Error::new(ErrorKind::Unsupported, text)
        })
    }
}
