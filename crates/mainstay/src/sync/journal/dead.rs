//! The file of the dead letters: appended and synced; written anew when most of it is of no use.
//! It must not know why an entry died.

use std::{collections::BTreeMap, fs, io};

use super::{
    codec::Payload,
    disk::{Disk, DiskFile},
    entry::DeadLetter,
    folder::{Folder, failed},
    frame::{self, JournalId},
    report::{OpeningReport, SetAside},
};
use crate::error::{Effect, Result};

/// Below this a file is not written anew for the sake of its size.
const GARBAGE_MIN: u64 = 64 << 10;

/// The file.
#[derive(Debug)]
pub(super) struct DeadLetters {
    id: JournalId,
    /// None: after an error nothing is known of the end of the file, so it is written anew before anything else.
    file: Option<Box<dyn DiskFile>>,
    bytes: u64,
    garbage: u64,
}

impl DeadLetters {
    /// Reads the file; damage is set aside and the file written anew at the next change. Returns as well every number
    /// that stands in it: an entry with such a number waits no more, whatever its segment says.
    pub(super) fn load(
        folder: &Folder,
        id: JournalId,
        report: &mut OpeningReport,
    ) -> Result<(Self, Vec<DeadLetter>, Vec<u64>)> {
        let path = folder.dead_letters();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(&path, "cannot be read", &error)),
        };
        let scan = frame::scan(id, &bytes, 0, false);
        for hole in scan.holes.iter().chain(&scan.tail) {
            let suffix = format!(".corrupt-{}", hole.start);
            let copy = folder.set_aside(&path, &suffix, &bytes[hole.clone()])?;
            report.corrupt(SetAside::new(&path, hole, copy));
        }
        let (mut letters, mut seqs) = (BTreeMap::new(), Vec::new());
        for (payload, _) in scan.payloads {
            seqs.push(payload.seq());
            match payload {
                Payload::Dead(letter) => drop(letters.insert(letter.entry.seq, letter)),
                Payload::Discard { seq } => drop(letters.remove(&seq)),
                Payload::Entry(_) | Payload::Void { .. } => {}
            }
        }
        let this = Self { id, file: None, bytes: bytes.len() as u64, garbage: 0 };
        Ok((this, letters.into_values().collect(), seqs))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts one more on the disk beside `all`.
    pub(super) fn add(
        &mut self,
        disk: &dyn Disk,
        folder: &Folder,
        all: &BTreeMap<u64, DeadLetter>,
        letter: &DeadLetter,
    ) -> Result<()> {
        self.change(disk, folder, all, &Payload::Dead(letter.clone()))
    }

    /// Takes one out of `all`, which still has it.
    pub(super) fn discard(
        &mut self,
        disk: &dyn Disk,
        folder: &Folder,
        all: &BTreeMap<u64, DeadLetter>,
        seq: u64,
    ) -> Result<()> {
        if let Some(letter) = all.get(&seq) {
            self.garbage += self.encoded(&Payload::Dead(letter.clone())).len() as u64;
        }
        self.change(disk, folder, all, &Payload::Discard { seq })?;
        // The file is right either way; only its size is at stake.
        if self.garbage > GARBAGE_MIN.max(self.bytes / 2) {
            self.file = None;
        }
        Ok(())
    }

    fn change(
        &mut self,
        disk: &dyn Disk,
        folder: &Folder,
        all: &BTreeMap<u64, DeadLetter>,
        payload: &Payload,
    ) -> Result<()> {
        let path = folder.dead_letters();
        let changed = self.open(disk, folder, all).and_then(|()| {
            let bytes = self.encoded(payload);
            let Some(file) = &mut self.file else { return Ok(()) };
            file.write_all(&bytes)?;
            file.sync()?;
            self.bytes += bytes.len() as u64;
            Ok(())
        });
        changed.map_err(|error| {
            self.file = None;
            // Without the change: then it is certain that it was not made.
            let effect =
                if self.open(disk, folder, all).is_ok() { Effect::None } else { Effect::Unknown };
            failed(&path, "cannot be written", &error).with_effect(effect)
        })
    }

    /// Written anew, from what is known, unless it is open. Discarded numbers are forgotten with it: their entries were
    /// marked as done before.
    fn open(
        &mut self,
        disk: &dyn Disk,
        folder: &Folder,
        all: &BTreeMap<u64, DeadLetter>,
    ) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let mut content = Vec::new();
        for letter in all.values() {
            frame::write(self.id, &Payload::Dead(letter.clone()), &mut content);
        }
        let path = folder.dead_letters();
        folder.replace(&path, &content)?;
        self.bytes = content.len() as u64;
        self.garbage = 0;
        self.file = Some(disk.open(&path, true)?);
        Ok(())
    }

    fn encoded(&self, payload: &Payload) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::write(self.id, payload, &mut bytes);
        bytes
    }
}
