//! Opening: reads all that is in the folder, sorts out what waits and what is dead, and counts on from there.
//! It must not know how the journal is used afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use super::{
    JournalLimits,
    codec::Payload,
    dead::DeadLetters,
    disk::Disk,
    entry::JournalEntry,
    folder::Folder,
    frame::JournalId,
    marks::{self, Marks},
    report::OpeningReport,
    segment,
    segments::{Segment, Segments},
    state::Shared,
    writer::Writer,
};
use crate::{clock::Clock, entropy::Entropy, error::Result};

/// A journal as it was found.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) writer: Writer,
    pub(super) shared: Arc<Shared>,
    pub(super) id: JournalId,
    pub(super) report: OpeningReport,
}

/// Opens the folder. Blocks.
pub(super) fn open(
    dir: PathBuf,
    limits: JournalLimits,
    clock: Clock,
    entropy: &Entropy,
    disk: Arc<dyn Disk>,
) -> Result<Opened> {
    let folder = Folder::take(dir)?;
    let firsts = folder.segments()?;
    let id = identify(&folder, &firsts, entropy)?;
    let mut report = OpeningReport::default();
    let (dead, letters, dead_seqs) = DeadLetters::load(&folder, id, &mut report)?;
    let mut found = Found::default();
    for first in &firsts {
        found.read(&folder, id, *first, firsts.last() == Some(first), &mut report)?;
    }
    found.done.extend(dead_seqs);
    let shared = Arc::new(Shared::new(limits));
    report.dead_letters = letters.len() as u64;
    shared.load_dead(letters);
    let (files, next_seq) = found.settle(&shared);
    report.pending = shared.depth();
    let mut writer = Writer {
        segments: Segments::new(id, limits.segment_bytes(), files, next_seq),
        marks: Marks::new(id),
        shared: Arc::clone(&shared),
        folder,
        disk,
        dead,
        clock,
    };
    writer.clean();
    writer.count();
    Ok(Opened { writer, shared, id, report })
}

/// The journal's number: its file's, or else that of the first segment which tells, or else a new one.
fn identify(folder: &Folder, firsts: &[u64], entropy: &Entropy) -> Result<JournalId> {
    if let Some(id) = folder.identity() {
        return Ok(id);
    }
    let told = firsts.iter().find_map(|first| segment::journal_of(folder, *first));
    let empty = |first: &u64| {
        std::fs::metadata(folder.segment(*first)).is_ok_and(|metadata| metadata.len() == 0)
    };
    let id = match told {
        Some(id) => id,
        None if firsts.iter().all(empty) && !folder.dead_letters().exists() => {
            JournalId(entropy.nonce())
        }
        None => return Err(folder.lost_identity()),
    };
    folder.set_identity(id)?;
    Ok(id)
}

/// What the segments say.
#[derive(Debug, Default)]
struct Found {
    /// In the order of the segments; each with its segment.
    entries: Vec<(u64, JournalEntry)>,
    files: BTreeMap<u64, Segment>,
    done: BTreeSet<u64>,
    voids: Vec<(u64, u64)>,
    /// Above every number that was given.
    next_seq: u64,
}

impl Found {
    fn read(
        &mut self,
        folder: &Folder,
        id: JournalId,
        first: u64,
        newest: bool,
        report: &mut OpeningReport,
    ) -> Result<()> {
        let loaded = segment::load(folder, id, first, newest, report)?;
        self.next_seq = self.next_seq.max(first);
        for (payload, _) in loaded.payloads {
            self.next_seq = self.next_seq.max(payload.seq().saturating_add(1));
            match payload {
                Payload::Entry(entry) => self.entries.push((first, entry)),
                Payload::Void { first, last } => self.voids.push((first, last)),
                Payload::Dead(_) | Payload::Discard { .. } => {}
            }
        }
        // What was cut off may have been given as well.
        self.next_seq = self.next_seq.saturating_add(loaded.lost_max);
        self.files.insert(first, Segment { bytes: loaded.bytes, waiting: 0 });
        self.done.extend(marks::load(id, &folder.marks(first))?);
        Ok(())
    }

    /// Puts what waits into the state; returns the files and the next number.
    fn settle(mut self, shared: &Shared) -> (BTreeMap<u64, Segment>, u64) {
        let done = self.done.last().map_or(0, |last| last.saturating_add(1));
        let mut next_seq = self.next_seq.max(done).max(1);
        while self.files.contains_key(&next_seq) {
            next_seq += 1;
        }
        let void = |seq| self.voids.iter().any(|(first, last)| (*first..=*last).contains(&seq));
        for (segment, entry) in self.entries {
            // A number that stands twice, in a file that somebody copied, is one entry.
            let known = shared.with(|state| state.pending(entry.seq).is_some());
            if known || self.done.contains(&entry.seq) || void(entry.seq) {
                continue;
            }
            if let Some(file) = self.files.get_mut(&segment) {
                file.waiting += 1;
            }
            shared.add(vec![entry], segment);
        }
        (self.files, next_seq)
    }
}
