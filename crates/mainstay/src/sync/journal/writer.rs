//! The one that writes: does the jobs in their order, and answers once the disk has them.
//! It must not know who waits, nor how the bytes are laid out.

use std::sync::{Arc, atomic::Ordering};

use super::{
    dead::DeadLetters,
    disk::Disk,
    entry::{DeadLetter, JournalEntry},
    folder::Folder,
    full,
    lane::{Append, Job, Work},
    marks::Marks,
    segments::Segments,
    state::Shared,
};
use crate::{
    clock::Clock,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
};

/// The one that writes. All of its work blocks.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) folder: Folder,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) segments: Segments,
    pub(super) marks: Marks,
    pub(super) dead: DeadLetters,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
}

impl Writer {
    /// Does some jobs: appends, or a single other one.
    pub(super) fn perform(&mut self, jobs: Vec<Job>) {
        let (overdue, due): (Vec<Job>, Vec<Job>) = {
            let now = self.clock.now();
            jobs.into_iter().partition(|job| job.overdue(now))
        };
        for job in overdue {
            job.answer(Err(Error::new(
                ErrorKind::DeadlineExceeded,
                "the deadline passed in the queue of the journal",
            )));
        }
        let mut appends = Vec::new();
        for job in due.into_iter().filter(Job::begin) {
            let result = match &job.work {
                Work::Append(_) => {
                    appends.push(job);
                    continue;
                }
                Work::Applied(seq) => self.applied(*seq),
                Work::Dead(seq, reason) => self.died(*seq, reason.clone()),
                Work::Discard(seq) => self.discard(*seq),
            };
            job.answer(result);
        }
        self.append(appends);
        self.count();
    }

    /// Nothing is known of the end of the segment any more.
    pub(super) fn distrust(&mut self) {
        self.segments.distrust();
    }

    /// What all files take.
    pub(super) fn count(&self) {
        let bytes = self.segments.bytes() + self.dead.bytes();
        self.shared.disk_bytes.store(bytes, Ordering::Release);
    }

    fn append(&mut self, jobs: Vec<Job>) {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for job in jobs {
            let Work::Append(append) = &job.work else { continue };
            match self.room(bytes, append.bytes as u64) {
                Ok(()) => {
                    bytes += append.bytes as u64;
                    taken.push(job);
                }
                Err(error) => job.answer(Err(error)),
            }
        }
        if taken.is_empty() {
            return;
        }
        let written = self.commit(&taken, bytes);
        match written {
            Ok(first) => {
                for (job, seq) in taken.into_iter().zip(first..) {
                    job.answer(Ok(seq));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the journal could not take {} writes", taken.len());
                taken.into_iter().for_each(|job| job.answer(Err(error.clone())));
            }
        }
    }

    /// Whether one more fits behind what this batch takes already.
    fn room(&self, taken: u64, more: u64) -> Result<()> {
        let limits = self.shared.limits.full();
        let used = self.segments.kept_bytes() + self.dead.bytes();
        if used + taken + more > limits.bytes_max {
            return Err(full::by_bytes(&limits, self.dead.bytes()));
        }
        let oldest = self.shared.with(|state| state.oldest().map(|entry| entry.accepted_unix_ms));
        let age = oldest.map_or(0, |at| self.clock.unix_ms().saturating_sub(at));
        if i128::from(age) > i128::try_from(limits.age_max.as_millis()).unwrap_or(i128::MAX) {
            return Err(full::by_age(&limits));
        }
        Ok(())
    }

    /// Puts the writes on the disk, into a new segment when the one in use failed; returns the first number.
    fn commit(&mut self, jobs: &[Job], bytes: u64) -> Result<u64> {
        let room = self.shared.limits.get().bytes_max.saturating_sub(self.dead.bytes());
        self.segments.turn(bytes, room, self.shared.depth() == 0);
        let first_try = self.write(jobs);
        match first_try {
            Err(error) if error.effect() == Effect::Unknown => {
                tracing::warn!(%error, "the journal begins a new segment");
                self.write(jobs).map_err(|error| error.with_effect(Effect::Unknown))
            }
            result => result,
        }
    }

    fn write(&mut self, jobs: &[Job]) -> Result<u64> {
        let first = self.segments.next_seq();
        let entries = self.entries(jobs, first);
        let segment = self.segments.append(&*self.disk, &self.folder, &entries)?;
        // Read before they are acknowledged: a reader may see a write that is on the disk.
        self.shared.add(entries, segment);
        self.clean();
        Ok(first)
    }

    fn entries(&self, jobs: &[Job], first: u64) -> Vec<JournalEntry> {
        let mut newest = std::collections::HashMap::<Key, u64>::new();
        let appends = jobs.iter().filter_map(|job| match &job.work {
            Work::Append(append) => Some(&**append),
            Work::Applied(_) | Work::Dead(..) | Work::Discard(_) => None,
        });
        let number = |(seq, append): (u64, &Append)| {
            let mut base = append.base;
            base.after_seq = None;
            append.write.for_each_key(|key| {
                let before = newest.insert(key.clone(), seq).filter(|before| *before != seq);
                let before = before.or_else(|| self.shared.overlaid(key).map(|seen| seen.seq));
                base.after_seq = base.after_seq.max(before);
            });
            JournalEntry {
                seq,
                accepted_unix_ms: append.accepted_unix_ms,
                route: append.route.clone(),
                write: append.write.clone(),
                base,
            }
        };
        (first..).zip(appends).map(number).collect()
    }

    fn applied(&mut self, seq: u64) -> Result<u64> {
        let segment = self.shared.with(|state| state.pending(seq).map(|pending| pending.segment));
        // Said twice: it is so already.
        let Some(segment) = segment else { return Ok(seq) };
        self.marks.add(&*self.disk, &self.folder, segment, seq, false)?;
        self.shared.applied(seq);
        self.segments.done(segment);
        self.clean();
        Ok(seq)
    }

    fn died(&mut self, seq: u64, reason: String) -> Result<u64> {
        let pending = self.shared.with(|state| state.pending(seq).cloned());
        let Some(pending) = pending else {
            let message = format!("no entry {seq} waits in the journal");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        };
        let entry = JournalEntry::clone(&pending.entry);
        let letter = DeadLetter { entry, reason, at_unix_ms: self.clock.unix_ms() };
        let all = self.shared.with(|state| state.dead.clone());
        self.dead.add(&*self.disk, &self.folder, &all, &letter)?;
        // From here on it is dead whatever happens: its number stands in the file of the dead letters.
        let marked = self.marks.add(&*self.disk, &self.folder, pending.segment, seq, true);
        if let Err(error) = marked {
            tracing::warn!(%error, seq, "a dead letter could not be marked in its segment");
        }
        self.shared.died(letter);
        self.segments.done(pending.segment);
        self.clean();
        Ok(seq)
    }

    fn discard(&mut self, seq: u64) -> Result<u64> {
        let all = self.shared.with(|state| state.dead.clone());
        if !all.contains_key(&seq) {
            let message = format!("there is no dead letter {seq} in the journal");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        self.dead.discard(&*self.disk, &self.folder, &all, seq)?;
        self.shared.discarded(seq);
        Ok(seq)
    }

    /// Segments of which nothing waits are deleted, oldest first.
    pub(super) fn clean(&mut self) {
        for gone in self.segments.clean(&*self.disk, &self.folder) {
            self.marks.forget(gone);
        }
    }
}
