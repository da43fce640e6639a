//! Which entries of a segment the record has: numbers in a file beside it, not synced one by one, for an entry that is
//! shown again is applied under its number only once.
//! It must not know the entries.

use std::{fs, io, path::Path};

use super::{
    disk::{Disk, DiskFile},
    folder::{Folder, failed},
    frame::JournalId,
};
use crate::error::Result;

/// A number and its checksum.
const MARK: usize = 12;

/// Writes marks; keeps the file of the last one open, for entries are applied in order.
#[derive(Debug)]
pub(super) struct Marks {
    id: JournalId,
    open: Option<(u64, Box<dyn DiskFile>)>,
}

impl Marks {
    pub(super) fn new(id: JournalId) -> Self {
        Self { id, open: None }
    }

    /// This entry of this segment is done; with `sync`, also after a loss of power.
    pub(super) fn add(
        &mut self,
        disk: &dyn Disk,
        folder: &Folder,
        segment: u64,
        seq: u64,
        sync: bool,
    ) -> Result<()> {
        let path = folder.marks(segment);
        let written = self.write(disk, &path, segment, seq, sync);
        let named =
            written.and_then(|()| if sync { disk.sync_folder(folder.path()) } else { Ok(()) });
        named.map_err(|error| {
            // What a half written mark leaves is cut off when the file is opened again.
            self.open = None;
            failed(&path, "cannot be written", &error)
        })
    }

    fn write(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        segment: u64,
        seq: u64,
        sync: bool,
    ) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != segment) {
            let mut file = disk.open(path, true)?;
            let length = fs::metadata(path)?.len();
            file.cut(length - length % MARK as u64)?;
            self.open = Some((segment, file));
        }
        let Some((_, file)) = &mut self.open else { return Ok(()) };
        file.write_all(&mark(self.id, seq))?;
        if sync { file.sync() } else { Ok(()) }
    }

    /// The segment is gone.
    pub(super) fn forget(&mut self, segment: u64) {
        if self.open.as_ref().is_some_and(|(open, _)| *open == segment) {
            self.open = None;
        }
    }
}

fn mark(id: JournalId, seq: u64) -> [u8; MARK] {
    let mut bytes = [0; MARK];
    bytes[..8].copy_from_slice(&seq.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.0.to_le_bytes());
    hasher.update(&bytes[..8]);
    bytes[8..].copy_from_slice(&hasher.finalize().to_le_bytes());
    bytes
}

/// The marks that can be read. One that cannot shows its entry again, which does no harm.
pub(super) fn load(id: JournalId, path: &Path) -> Result<Vec<u64>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(path, "cannot be read", &error)),
    };
    let seqs = bytes.chunks_exact(MARK).filter_map(|chunk| {
        let seq = chunk[..8].try_into().ok().map(u64::from_le_bytes)?;
        (chunk == mark(id, seq)).then_some(seq)
    });
    Ok(seqs.collect())
}
