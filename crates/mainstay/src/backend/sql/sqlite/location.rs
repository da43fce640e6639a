//! Where the database is: the URL of the configuration, the path, and whether the file is still the one that was opened.
//! It must not know what is in the file.

#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// A file, shared with the other processes of this host.
    File(PathBuf),
    /// The memory of this process.
    Memory,
}

impl Location {
    /// Understands `sqlite:PATH`, `sqlite://PATH` (so that `sqlite:///abs` is absolute) and `sqlite::memory:`.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let refused = |problem: &str| {
            let message =
                format!("{problem}; use sqlite:PATH, sqlite:///absolute/PATH or sqlite::memory:");
            Error::new(ErrorKind::InvalidArgument, message)
        };
        let rest = url.strip_prefix("sqlite:").ok_or_else(|| refused("not an URL of SQLite"))?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match path {
            "" => Err(refused("the URL names no file")),
            ":memory:" => Ok(Self::Memory),
            _ if path.contains('?') => Err(refused("the URL takes no options")),
            _ if path.contains('\0') => Err(refused("a path holds no NUL")),
            _ => Ok(Self::File(PathBuf::from(path))),
        }
    }
}

/// A file as the system tells it from all others, whatever its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    path: PathBuf,
    #[cfg(unix)]
    device_and_inode: (u64, u64),
}

impl FileIdentity {
    /// The file that stands under this path now.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let missing = |error: std::io::Error| {
            Error::new(ErrorKind::Misconfigured, format!("{}: {error}", path.display()))
        };
        let metadata = std::fs::metadata(path).map_err(missing)?;
        if !metadata.is_file() {
            let message = format!("{}: not a file", path.display());
            return Err(Error::new(ErrorKind::Misconfigured, message));
        }
        Ok(Self {
            path: path.to_owned(),
            #[cfg(unix)]
            device_and_inode: (metadata.dev(), metadata.ino()),
        })
    }

    /// Fails when the path leads elsewhere by now: what is written then goes into a file that nobody will see again.
    pub(super) fn check(&self) -> Result<()> {
        if Self::of(&self.path).is_ok_and(|now| now == *self) {
            return Ok(());
        }
        let message = format!(
            "the database file {} was removed or replaced while it was open: put it back, or restart to begin anew",
            self.path.display()
        );
        Err(Error::new(ErrorKind::Misconfigured, message))
    }
}
