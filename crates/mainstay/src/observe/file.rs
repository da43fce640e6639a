//! The file of the history: a line of JSON for each entry, read at the start, appended to, rewritten when it has grown to
//! twice its bound.
//! It must not know who reads the history. Every call may block, and none of it is synced: it is no promise.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::history::{HistoryEntry, Rings};

const NAME: &str = "history.jsonl";
const LOCK: &str = "history.lock";

/// Bytes from the end that are read at the start: more than any file of ours has.
const READ_MAX: u64 = 16 << 20;

/// The open file, for this process alone.
#[derive(Debug)]
pub(crate) struct HistoryFile {
    path: PathBuf,
    file: File,
    /// What stands in it, as far as it still counts.
    rings: Rings,
    lines: usize,
    /// Held open: the lock ends with it, also when the process is killed.
    _lock: File,
}

impl HistoryFile {
    /// Opens it in this folder, which is created where needed. Returns with it how many lines could not be read; the end
    /// of the last one may be missing after a crash.
    ///
    /// # Errors
    /// Of the file system, and when another process has it.
    pub(crate) fn open(dir: &Path, empty: Rings) -> io::Result<(Self, u64)> {
        create_private(dir)?;
        let lock = private().create(true).truncate(false).write(true).open(dir.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("another process keeps its history there"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let path = dir.join(NAME);
        let mut rings = empty;
        let (lines, damaged) = read(&path, &mut rings)?;
        let file = private().create(true).append(true).open(&path)?;
        let mut open = Self { path, file, rings, lines, _lock: lock };
        // What cannot be read must not stand before what is appended.
        if damaged > 0 || open.is_long() {
            open.rewrite()?;
        }
        Ok((open, damaged))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What stands in it.
    pub(crate) fn rings(&self) -> &Rings {
        &self.rings
    }

    /// Adds entries at its end.
    ///
    /// # Errors
    /// Of the file system; some of them may be there.
    pub(crate) fn append(&mut self, entries: Vec<HistoryEntry>) -> io::Result<()> {
        let mut text = String::new();
        for entry in entries {
            push_line(&mut text, &entry)?;
            self.rings.push(entry);
            self.lines += 1;
        }
        self.file.write_all(text.as_bytes())?;
        if self.is_long() { self.rewrite() } else { Ok(()) }
    }

    fn is_long(&self) -> bool {
        self.lines >= 2 * self.rings.max()
    }

    /// The whole of it anew, all or nothing.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = String::new();
        let entries = self.rings.last(None, usize::MAX);
        for entry in &entries {
            push_line(&mut text, entry)?;
        }
        let new = self.path.with_extension("new");
        let mut file = private().create(true).truncate(true).write(true).open(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &self.path)?;
        self.file = private().append(true).open(&self.path)?;
        self.lines = entries.len();
        Ok(())
    }
}

fn push_line(text: &mut String, entry: &HistoryEntry) -> io::Result<()> {
    text.push_str(&serde_json::to_string(entry)?);
    text.push('\n');
    Ok(())
}

/// How many lines there are, and how many of them cannot be read.
fn read(path: &Path, rings: &mut Rings) -> io::Result<(usize, u64)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        Err(error) => return Err(error),
    };
    let skipped = file.metadata()?.len().saturating_sub(READ_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(READ_MAX).read_to_end(&mut bytes)?;
    let (mut lines, mut damaged) = (0, u64::from(skipped > 0));
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        lines += 1;
        // A line without its end may be one whose end says something else.
        let whole = line.strip_suffix(b"\n");
        match whole.map(serde_json::from_slice) {
            Some(Ok(entry)) => rings.push(entry),
            Some(Err(_)) | None => damaged += 1,
        }
    }
    Ok((lines, damaged))
}

/// Errors of servers stand in it: nobody else reads it.
fn private() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "the mode exists on Unix alone"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::observe::history::tests::{entry, names};

    /// A folder of its own, removed at the end.
    #[derive(Debug)]
    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new() -> Self {
            static COUNT: AtomicU64 = AtomicU64::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("mainstay-history-{}-{number}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A file that takes nothing any more.
    pub(crate) fn full(dir: &Path) -> HistoryFile {
        let (mut file, _) = HistoryFile::open(dir, Rings::new(&names())).unwrap();
        file.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        file
    }

    /// A pipe in this folder.
    pub(crate) fn pipe(dir: &Path, name: &str) -> PathBuf {
        fs::create_dir_all(dir).unwrap();
        let path = dir.join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    /// A file that takes nothing until its pipe is read.
    pub(crate) fn hanging(dir: &Path) -> (HistoryFile, PathBuf) {
        let (mut file, _) = HistoryFile::open(dir, Rings::new(&names())).unwrap();
        let path = pipe(dir, "pipe");
        file.file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        // As many bytes as a pipe holds.
        file.file.write_all(&[0; 1 << 16]).unwrap();
        (file, path)
    }

    fn open(scratch: &Scratch) -> (HistoryFile, u64) {
        HistoryFile::open(scratch.path(), Rings::new(&names())).unwrap()
    }

    fn ids(file: &HistoryFile) -> Vec<u64> {
        file.rings().last(None, usize::MAX).iter().map(|entry| entry.id).collect()
    }

    #[tokio::test]
    async fn what_was_written_is_there_after_a_restart() {
        let scratch = Scratch::new();
        let (mut file, damaged) = open(&scratch);
        assert_eq!((ids(&file), damaged), (vec![], 0));
        file.append(vec![entry(None, 1), entry(Some("redis"), 2)]).unwrap();
        let other = HistoryFile::open(scratch.path(), Rings::new(&names()));
        assert!(other.is_err(), "one process at a time");
        drop(file);
        let (file, damaged) = open(&scratch);
        assert_eq!((ids(&file), damaged), (vec![1, 2], 0));
    }

    #[tokio::test]
    async fn a_torn_or_broken_line_is_left_out_and_nothing_is_appended_to_it() {
        let scratch = Scratch::new();
        let (mut file, _) = open(&scratch);
        file.append((1..=4).map(|id| entry(Some("redis"), id)).collect()).unwrap();
        drop(file);
        let path = scratch.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (content, left) in [
            // Cut inside the last line, at its end, and a line that is not JSON in the middle.
            (text[..text.len() - 9].to_owned(), vec![1, 2, 3]),
            (text[..text.len() - 1].to_owned(), vec![1, 2, 3]),
            (text.replace(lines[1], "{\"id\":\u{fffd}"), vec![1, 3, 4]),
        ] {
            fs::write(&path, content).unwrap();
            let (mut file, damaged) = open(&scratch);
            assert_eq!((ids(&file), damaged), (left.clone(), 1));
            file.append(vec![entry(Some("db"), 9)]).unwrap();
            drop(file);
            let (file, damaged) = open(&scratch);
            assert_eq!((ids(&file), damaged), ([&left[..], &[9]].concat(), 0));
        }
        fs::write(&path, [0xff, b'\n', 0, 0, b'\n']).unwrap();
        assert_eq!(open(&scratch).1, 2);
    }

    #[tokio::test]
    async fn it_is_rewritten_at_twice_its_bound() {
        let scratch = Scratch::new();
        let (mut file, _) = open(&scratch);
        let lines = || fs::read_to_string(scratch.path().join(NAME)).unwrap().lines().count();
        let mut most = 0;
        for id in 0..2000 {
            file.append(vec![entry(Some("redis"), id)]).unwrap();
            most = most.max(lines());
        }
        // Three rings of a hundred.
        assert_eq!((most, file.rings().len()), (599, 100));
        drop(file);
        let (file, damaged) = open(&scratch);
        assert_eq!((ids(&file), damaged), ((1900..2000).collect(), 0));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_is_an_error() {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.path()).unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(HistoryFile::open(&file.join("below"), Rings::new(&names())).is_err());
        let error = full(scratch.path()).append(vec![entry(None, 1)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
