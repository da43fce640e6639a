//! The directory of one server: private, removed on drop, and swept by the next process if this one was killed.
//! Knows nothing of what a server keeps there, but for PostgreSQL's shared memory, which outlives its directory.

use super::ServerError;
use super::error::io_error;
use super::user::current_uid;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);
/// Names that are tried.
const CLAIMS_MAX: u32 = 20;

static SWEPT: Once = Once::new();

/// Where everything of this crate lies: `$MAINSTAY_TESTKIT_DIR`, else below the system's temporary directory.
pub(super) fn root() -> PathBuf {
    std::env::var_os("MAINSTAY_TESTKIT_DIR").map_or_else(
        || std::env::temp_dir().join(format!("mainstay-testkit-{}", current_uid())),
        PathBuf::from,
    )
}

/// A directory that lives as long as its value.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    lock_path: PathBuf,
    /// Locked while the directory is in use: a lock that can be had marks a directory as abandoned.
    _lock: File,
}

impl WorkDir {
    /// A new empty directory; `kind` appears in its name.
    pub fn new(kind: &str) -> Result<Self, ServerError> {
        let run = root().join("run");
        fs::create_dir_all(&run).map_err(io_error(format!("create {}", run.display())))?;
        SWEPT.call_once(|| sweep(&run));
        let (path, lock_path, lock) = claim(&run, kind)?;
        remove(&path);
        fs::create_dir(&path).map_err(io_error(format!("create {}", path.display())))?;
        Ok(Self { path, lock_path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Removes the data directory of a server that has been killed; what cannot be removed makes the next start fail.
    pub fn remove_data(&self) {
        release_shared_memory(&self.path.join("data/postmaster.pid"));
        let _absent = fs::remove_dir_all(self.path.join("data"));
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        remove(&self.path);
        let _gone = fs::remove_file(&self.lock_path);
    }
}

/// A name that nobody else has, locked. Another process's sweep may look at a lock before we hold it: then the next name.
fn claim(run: &Path, kind: &str) -> Result<(PathBuf, PathBuf, File), ServerError> {
    let mut last = None;
    for _ in 0..CLAIMS_MAX {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{kind}-{}-{number}", std::process::id());
        let (path, lock_path) = (run.join(&name), run.join(format!("{name}.lock")));
        let lock = File::create(&lock_path).map_err(io_error("create a directory's lock"))?;
        match lock.try_lock() {
            Ok(()) => return Ok((path, lock_path, lock)),
            Err(error) => last = Some(error),
        }
    }
    let error = last.map_or_else(|| std::io::ErrorKind::WouldBlock.into(), Into::into);
    Err(io_error("lock a directory")(error))
}

/// Removes a directory whose processes have ended, with the System V segment that a killed PostgreSQL leaves behind.
fn remove(path: &Path) {
    release_shared_memory(&path.join("data/postmaster.pid"));
    let _absent = fs::remove_dir_all(path);
}

/// The seventh line of `postmaster.pid` is "key id" of the segment.
fn release_shared_memory(pid_file: &Path) {
    let Ok(text) = fs::read_to_string(pid_file) else { return };
    let Some(id) = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) else {
        return;
    };
    let _gone_already =
        Command::new("ipcrm").args(["-m", id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// Removes what processes that were killed have left: first whatever still runs inside, then the directory.
fn sweep(run: &Path) {
    let Ok(entries) = run.read_dir() else { return };
    for lock_path in entries.flatten().map(|entry| entry.path()) {
        if lock_path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(lock) = File::open(&lock_path) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        let path = lock_path.with_extension("");
        super::daemon::kill_inside(&path);
        remove(&path);
        // A copy that is still being written into it is left to the next sweep.
        if !path.exists() {
            let _gone = fs::remove_file(&lock_path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_with_its_value() {
        let dir = WorkDir::new("unit").unwrap();
        let path = dir.path().to_owned();
        fs::write(dir.join("file"), "x").unwrap();
        assert!(path.is_dir());
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn an_abandoned_directory_is_swept_and_a_live_one_is_not() {
        let live = WorkDir::new("live").unwrap();
        let run = live.path().parent().unwrap().to_owned();
        let abandoned = run.join(format!("abandoned-{}", std::process::id()));
        fs::create_dir_all(&abandoned).unwrap();
        fs::write(run.join(format!("abandoned-{}.lock", std::process::id())), "").unwrap();
        sweep(&run);
        assert!(!abandoned.exists());
        assert!(live.path().is_dir());
    }
}
