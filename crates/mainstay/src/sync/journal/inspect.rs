//! Looking at a journal's folder without opening it: nothing is created, cut, set aside or written.
//! It must not know who looks.

use std::{collections::BTreeSet, fs, io, path::Path};

use super::{
    codec::Payload,
    entry::{DeadLetter, JournalEntry},
    folder::{Folder, failed},
    frame::{self, JournalId, Scan},
    marks, segment,
};
use crate::error::{Error, ErrorKind, Result};

/// What stands in the folder.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    /// Writes that wait, in their order.
    pub(crate) entries: Vec<JournalEntry>,
    /// Writes that will not be applied.
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// Bytes that cannot be read.
    pub(crate) unreadable_bytes: u64,
}

/// Reads the folder. Blocks.
///
/// # Errors
/// `Misconfigured` when there is no journal or a process has it; what the file system says.
pub(crate) fn inspect(dir: &Path) -> Result<Inspection> {
    let folder = Folder::look(dir.to_owned())?;
    let firsts = folder.segments()?;
    let told = || firsts.iter().find_map(|first| segment::journal_of(&folder, *first));
    let id = folder.identity().or_else(told).ok_or_else(|| {
        if !firsts.is_empty() {
            return folder.lost_identity();
        }
        let message = format!("there is no journal in {}", dir.display());
        Error::new(ErrorKind::Misconfigured, message)
    })?;
    let mut found = Inspection::default();
    let mut done = dead_letters(&folder, id, &mut found)?;
    let (mut entries, mut voids) = (Vec::new(), Vec::new());
    for first in firsts {
        let path = folder.segment(first);
        let bytes = fs::read(&path).map_err(|error| failed(&path, "cannot be read", &error))?;
        let start = segment::start_of_records(&path, &bytes, id)?;
        let scan = frame::scan(id, &bytes, start, true);
        found.unreadable_bytes += unreadable(&scan);
        for (payload, _) in scan.payloads {
            match payload {
                Payload::Entry(entry) => entries.push(entry),
                Payload::Void { first, last } => voids.push(first..=last),
                Payload::Dead(_) | Payload::Discard { .. } => {}
            }
        }
        done.extend(marks::load(id, &folder.marks(first))?);
    }
    // A number that stands twice is one entry; `insert` also says whether it is new.
    entries.retain(|entry| {
        !voids.iter().any(|void| void.contains(&entry.seq)) && done.insert(entry.seq)
    });
    entries.sort_unstable_by_key(|entry| entry.seq);
    found.entries = entries;
    Ok(found)
}

/// The dead letters, and every number that stands in their file.
fn dead_letters(folder: &Folder, id: JournalId, found: &mut Inspection) -> Result<BTreeSet<u64>> {
    let path = folder.dead_letters();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(failed(&path, "cannot be read", &error)),
    };
    let scan = frame::scan(id, &bytes, 0, false);
    found.unreadable_bytes += unreadable(&scan);
    let mut seqs = BTreeSet::new();
    for (payload, _) in scan.payloads {
        seqs.insert(payload.seq());
        match payload {
            Payload::Dead(letter) => found.dead_letters.push(letter),
            Payload::Discard { seq } => {
                found.dead_letters.retain(|letter| letter.entry.seq != seq);
            }
            Payload::Entry(_) | Payload::Void { .. } => {}
        }
    }
    Ok(seqs)
}

fn unreadable(scan: &Scan) -> u64 {
    scan.holes.iter().chain(&scan.tail).map(|range| range.len() as u64).sum()
}
