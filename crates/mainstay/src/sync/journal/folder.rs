//! The folder of a journal: its lock, its identity, the names of its files.
//! It must not know what is in the segments.

use std::{
    fs::{self, File, TryLockError},
    io,
    io::Write,
    path::{Path, PathBuf},
};

use super::{
    disk::{private, sync_folder},
    frame::JournalId,
};
use crate::error::{Error, ErrorKind, Result};

const IDENTITY: &str = "identity";
const IDENTITY_WORD: &str = "mainstay-journal ";

/// A folder that belongs to this journal alone while this value lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held open: the lock ends with it, also when the process is killed. None: there was none to take.
    _lock: Option<File>,
}

impl Folder {
    /// Creates it where needed, and takes it.
    ///
    /// # Errors
    /// `Misconfigured`, also when another process has it.
    pub(super) fn take(path: PathBuf) -> Result<Self> {
        let failed =
            |error: io::Error| failed(&path, "cannot be used as the journal's folder", &error);
        create_private(&path).map_err(failed)?;
        let lock = private().create(true).truncate(false).write(true).open(path.join("lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(in_use(
                &path,
                "stop that one, or give this one a folder of its own (journal.dir)",
            )),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// A folder that is only looked at; nothing is created, and others may look as well.
    ///
    /// # Errors
    /// `Misconfigured` when a process has it.
    pub(super) fn look(path: PathBuf) -> Result<Self> {
        let lock = match File::open(path.join("lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, _lock: None });
            }
            Err(error) => return Err(failed(&path, "cannot be read", &error)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(Self { path, _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => {
                Err(in_use(&path, "ask that one (without --dir), or stop it"))
            }
            Err(TryLockError::Error(error)) => Err(failed(&path, "cannot be read", &error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The segments, by the number in their name.
    pub(super) fn segments(&self) -> Result<Vec<u64>> {
        let listed = fs::read_dir(&self.path).and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()
        });
        let names = listed.map_err(|error| failed(&self.path, "cannot be listed", &error))?;
        let first = |name: &std::ffi::OsString| {
            let digits = name.to_str()?.strip_suffix(".journal")?;
            let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain { digits.parse().ok() } else { None }
        };
        let mut firsts: Vec<u64> = names.iter().filter_map(first).collect();
        firsts.sort_unstable();
        Ok(firsts)
    }

    pub(super) fn segment(&self, first: u64) -> PathBuf {
        self.path.join(format!("{first:020}.journal"))
    }

    /// The marks of what was applied of a segment.
    pub(super) fn marks(&self, first: u64) -> PathBuf {
        self.path.join(format!("{first:020}.applied"))
    }

    pub(super) fn dead_letters(&self) -> PathBuf {
        self.path.join("dead-letters")
    }

    /// The journal's random number, if it can be read.
    pub(super) fn identity(&self) -> Option<JournalId> {
        let text = fs::read_to_string(self.path.join(IDENTITY)).ok()?;
        let digits = text.strip_prefix(IDENTITY_WORD)?.trim_end();
        u128::from_str_radix(digits, 16).ok().map(JournalId)
    }

    /// It cannot be read, nor told from the segments.
    pub(super) fn lost_identity(&self) -> Error {
        let message = format!(
            "the journal in {} has lost its identity, and without it its records cannot be checked: put the file \
             `identity` back, or move the folder away to begin anew",
            self.path.display()
        );
        Error::new(ErrorKind::Corrupt, message)
    }

    pub(super) fn set_identity(&self, id: JournalId) -> Result<()> {
        let text = format!("{IDENTITY_WORD}{:032x}\n", id.0);
        self.replace(&self.path.join(IDENTITY), text.as_bytes())
            .map_err(|error| failed(&self.path, "cannot be written", &error))
    }

    /// The whole content of a file, all or nothing.
    pub(super) fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let new = path.with_extension("new");
        self.write(&new, content)?;
        fs::rename(&new, path)?;
        sync_folder(&self.path)
    }

    /// Copies what cannot be read out of the way, so that nobody has to wonder what it was.
    pub(super) fn set_aside(&self, of: &Path, suffix: &str, content: &[u8]) -> Result<PathBuf> {
        let mut name = of.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        let path = self.path.join(name);
        let written = self.write(&path, content).and_then(|()| sync_folder(&self.path));
        written.map_err(|error| failed(&path, "cannot be written", &error))?;
        Ok(path)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = private().create(true).truncate(true).write(true).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    }
}

fn in_use(path: &Path, fix: &str) -> Error {
    let message =
        format!("the journal's folder {} is in use by another process: {fix}", path.display());
    Error::new(ErrorKind::Misconfigured, message)
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// An error of the file system, in the library's words.
pub(super) fn failed(path: &Path, what: &str, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Overloaded,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Forbidden,
        _ => ErrorKind::Misconfigured,
    };
    Error::new(kind, format!("{} {what}: {error}", path.display()))
}
