//! The segment files while the journal is in use: the one that is written, those that are full, what of them waits.
//! It must not know the entries beyond their number.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use super::{
    codec::Payload,
    disk::{Disk, DiskFile},
    entry::JournalEntry,
    folder::{Folder, failed},
    frame::{self, JournalId},
    segment,
};
use crate::error::{Effect, Result};

/// The segments, by the number in their name.
#[derive(Debug)]
pub(super) struct Segments {
    id: JournalId,
    /// A segment is left for the next one from this size on.
    bytes_max: u64,
    files: BTreeMap<u64, Segment>,
    current: Option<Current>,
    next_seq: u64,
    /// Numbers that were burned by a failure, to be written down as void in the next segment.
    voids: Vec<(u64, u64)>,
}

/// One file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Segment {
    pub(super) bytes: u64,
    /// Entries of it that wait for the record.
    pub(super) waiting: u64,
}

/// The file that is written. All of it up to `Segment::bytes` is on the disk.
#[derive(Debug)]
struct Current {
    first: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// Nothing of it is on the disk for certain.
    fresh: bool,
}

impl Segments {
    /// What was found. Its files are not written any more: a new one begins with the next entry.
    pub(super) fn new(
        id: JournalId,
        bytes_max: u64,
        files: BTreeMap<u64, Segment>,
        next_seq: u64,
    ) -> Self {
        Self { id, bytes_max, files, current: None, next_seq, voids: Vec::new() }
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|segment| segment.bytes).sum()
    }

    /// Bytes from the first file on that has to be kept.
    pub(super) fn kept_bytes(&self) -> u64 {
        let kept = self.files.values().skip_while(|segment| segment.waiting == 0);
        kept.map(|segment| segment.bytes).sum()
    }

    /// An entry of this segment waits no more.
    pub(super) fn done(&mut self, first: u64) {
        if let Some(segment) = self.files.get_mut(&first) {
            segment.waiting = segment.waiting.saturating_sub(1);
        }
    }

    /// Leaves the current file when it is large enough; when nothing waits in it, also for `room`.
    pub(super) fn turn(&mut self, more: u64, room: u64, nothing_waits: bool) {
        let Some(current) = &self.current else { return };
        let bytes = self.files.get(&current.first).map_or(0, |segment| segment.bytes);
        let large = bytes >= self.bytes_max;
        let idle = nothing_waits && (bytes >= self.bytes_max / 2 || bytes + more > room);
        if large || idle {
            self.current = None;
        }
    }

    /// Puts the entries on the disk; they have the numbers from `next_seq` on. Returns their segment.
    ///
    /// # Errors
    /// With `Effect::None` nothing is there and the numbers are free. With `Effect::Unknown` the numbers are burned, and
    /// the file is not written any more: after a failed sync nothing that it says is believed.
    pub(super) fn append(
        &mut self,
        disk: &dyn Disk,
        folder: &Folder,
        entries: &[JournalEntry],
    ) -> Result<u64> {
        let mut bytes = Vec::new();
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.begin(disk, folder, &mut bytes)?,
        };
        for entry in entries {
            frame::write_entry(self.id, entry, &mut bytes);
        }
        if let Err(error) = current.file.write_all(&bytes) {
            let failed = failed(&current.path, "could not be written", &error);
            return Err(self
                .roll_back(disk, folder, current, entries.len())
                .err()
                .unwrap_or(failed));
        }
        let before = self.files.get(&current.first).map_or(0, |segment| segment.bytes);
        let length = before + bytes.len() as u64;
        let durable = current.file.sync().and_then(|()| {
            if current.fresh {
                disk.sync_folder(folder.path())?;
            }
            still_there(&current.path, length)
        });
        if let Err(error) = durable {
            let failed = failed(&current.path, "could not be put on the disk", &error);
            self.burn(current, entries.len());
            return Err(failed.with_effect(Effect::Unknown));
        }
        if std::mem::replace(&mut current.fresh, false) {
            self.voids.clear();
        }
        let first = current.first;
        self.current = Some(current);
        self.next_seq += entries.len() as u64;
        let segment = self.files.entry(first).or_default();
        segment.bytes = length;
        segment.waiting += entries.len() as u64;
        Ok(first)
    }

    /// A new file; what has to stand at its beginning goes into `bytes`.
    fn begin(&mut self, disk: &dyn Disk, folder: &Folder, bytes: &mut Vec<u8>) -> Result<Current> {
        let (first, path) = (self.next_seq, folder.segment(self.next_seq));
        let file = disk.open(&path, false);
        let file = file.map_err(|error| failed(&path, "could not be created", &error))?;
        bytes.extend(segment::header(self.id, first));
        for (first, last) in &self.voids {
            frame::write(self.id, &Payload::Void { first: *first, last: *last }, bytes);
        }
        Ok(Current { first, path, file, fresh: true })
    }

    /// After a failed write: the file as it was before.
    fn roll_back(
        &mut self,
        disk: &dyn Disk,
        folder: &Folder,
        mut current: Current,
        count: usize,
    ) -> Result<()> {
        let undone = if current.fresh {
            fs::remove_file(&current.path).and_then(|()| disk.sync_folder(folder.path()))
        } else {
            let length = self.files.get(&current.first).map_or(0, |segment| segment.bytes);
            current.file.cut(length).and_then(|()| current.file.sync())
        };
        match undone {
            Ok(()) if current.fresh => Ok(()),
            Ok(()) => {
                self.current = Some(current);
                Ok(())
            }
            Err(error) => {
                let failed = failed(&current.path, "could not be repaired", &error);
                self.burn(current, count);
                Err(failed.with_effect(Effect::Unknown))
            }
        }
    }

    /// These numbers may stand in the file, or not.
    fn burn(&mut self, mut current: Current, count: usize) {
        let durable = self.files.entry(current.first).or_default().bytes;
        // The less is left of what nobody was promised, the better; a void entry says so in any case.
        if current.file.cut(durable).is_err() {
            tracing::warn!(path = %current.path.display(), "a failed segment could not be cut");
        }
        self.void(count);
    }

    fn void(&mut self, count: usize) {
        let next = self.next_seq.saturating_add(count as u64);
        self.voids.push((self.next_seq, next - 1));
        self.next_seq = next;
    }

    /// After a panic: as many numbers as a batch may have are burned, and the file is not written any more.
    pub(super) fn distrust(&mut self) {
        self.current = None;
        self.void(super::lane::BATCH_MAX);
    }

    /// Deletes files from the oldest on, of which nothing waits. The newest stays, for its name and its entries tell
    /// which numbers were given. Returns the deleted ones.
    pub(super) fn clean(&mut self, disk: &dyn Disk, folder: &Folder) -> Vec<u64> {
        let candidates = self.files.iter().take(self.files.len().saturating_sub(1));
        let done = candidates.take_while(|(_, segment)| segment.waiting == 0);
        let done: Vec<u64> = done.map(|(first, _)| *first).collect();
        if done.is_empty() {
            return done;
        }
        // The segments before their marks: without these the entries would wait again.
        let each = |path: fn(&Folder, u64) -> PathBuf| {
            done.iter().try_for_each(|first| remove(&path(folder, *first)))
        };
        let removed = each(Folder::segment)
            .and_then(|()| disk.sync_folder(folder.path()))
            .and_then(|()| each(Folder::marks));
        if let Err(error) = removed {
            tracing::warn!(%error, "segments of the journal could not be deleted");
            return Vec::new();
        }
        self.files.retain(|first, _| !done.contains(first));
        done
    }
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What is synced into a file that was removed is lost all the same.
fn still_there(path: &std::path::Path, length: u64) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() == length => Ok(()),
        Ok(_) => Err(io::Error::other("the file was changed while it was open")),
        Err(error) => Err(error),
    }
}
