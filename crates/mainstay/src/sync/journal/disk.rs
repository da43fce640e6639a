//! The few things the journal asks of a file system, so that tests can make each of them fail.
//! It must not know what is in the files.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Where files are written.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// A file for writing at its end; emptied first unless `keep`.
    fn open(&self, path: &Path, keep: bool) -> io::Result<Box<dyn DiskFile>>;

    /// Returns once the names in this folder are on the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file open for writing.
pub(super) trait DiskFile: fmt::Debug + Send {
    /// Writes at the end; on an error some of the bytes may be there.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once all that was written is on the disk. After an error nothing is known of what was written since the
    /// last success, and asking again does not help: the system may have dropped the pages.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

/// The file system of this host.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, keep: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = private().append(true).create(true).open(path)?;
        if !keep {
            file.set_len(0)?;
        }
        Ok(Box::new(file))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        sync_folder(folder)
    }
}

impl DiskFile for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// The values of the storage stand in these files: nobody else reads them.
pub(super) fn private() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "the mode exists on Unix alone"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Elsewhere than on Unix a folder cannot be opened as a file, and the file system keeps its names by itself.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
