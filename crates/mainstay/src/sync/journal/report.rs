//! What was found when a journal was opened.
//! It must not know how it was found.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// Bytes that could not be read, and where their copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetAside {
    /// The file.
    pub(crate) file: PathBuf,
    /// The first byte.
    pub(crate) offset: u64,
    /// How many.
    pub(crate) bytes: u64,
    /// The copy.
    pub(crate) copy: PathBuf,
}

impl SetAside {
    pub(super) fn new(file: &Path, range: &Range<usize>, copy: PathBuf) -> Self {
        Self { file: file.to_owned(), offset: range.start as u64, bytes: range.len() as u64, copy }
    }
}

/// What was found when a journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpeningReport {
    /// Writes that wait for the record.
    pub(crate) pending: u64,
    /// Writes that will not be applied.
    pub(crate) dead_letters: u64,
    /// Ends of files that a crash left half written: nothing of them was acknowledged.
    pub(crate) torn: Vec<SetAside>,
    /// Damage: acknowledged writes may be among these bytes.
    pub(crate) corrupt: Vec<SetAside>,
}

impl OpeningReport {
    pub(super) fn torn(&mut self, found: SetAside) {
        let SetAside { file, offset, bytes, copy } = &found;
        let (file, copy) = (file.display(), copy.display());
        tracing::warn!(%file, offset, bytes, %copy, "the journal's last record was half written: cut off");
        self.torn.push(found);
    }

    pub(super) fn corrupt(&mut self, found: SetAside) {
        let SetAside { file, offset, bytes, copy } = &found;
        let (file, copy) = (file.display(), copy.display());
        tracing::error!(
            %file, offset, bytes, %copy,
            "the journal is damaged: acknowledged writes may be lost; the unreadable bytes are set aside"
        );
        self.corrupt.push(found);
    }
}
