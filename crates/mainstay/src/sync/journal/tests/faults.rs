//! Disks that are full or broken: never an acknowledgement too many, and the right word on what may have happened.

use std::{
    collections::BTreeSet,
    io,
    sync::{Mutex, atomic::AtomicU64},
};

use proptest::prelude::*;

use super::{super::disk::DiskFile, crash::LIMITS, *};

/// What goes wrong from now on.
#[derive(Debug, Default, Clone, Copy)]
struct Faults {
    /// Bytes that still fit.
    room: Option<usize>,
    /// So many syncs of files fail.
    syncs: u32,
    /// A sync that fails drops what was written since the last good one, as a system that lost the pages does.
    drops: bool,
    cuts_fail: bool,
    opens_fail: bool,
    /// Counted: syncs that went well.
    good_syncs: u32,
}

#[derive(Debug, Default, Clone)]
struct FaultyDisk(Arc<Mutex<Faults>>);

impl FaultyDisk {
    fn set(&self, faults: Faults) {
        *self.0.lock().unwrap() = faults;
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    file: Box<dyn DiskFile>,
    length: AtomicU64,
    synced: u64,
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, keep: bool) -> io::Result<Box<dyn DiskFile>> {
        if self.0.lock().unwrap().opens_fail {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = RealDisk.open(path, keep)?;
        let length = std::fs::metadata(path)?.len();
        let (disk, synced) = (self.clone(), length);
        Ok(Box::new(FaultyFile { disk, file, length: AtomicU64::new(length), synced }))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.sync_folder(folder)
    }
}

impl DiskFile for FaultyFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut faults = self.disk.0.lock().unwrap();
        let fits = faults.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if let Some(room) = &mut faults.room {
            *room -= fits;
        }
        self.file.write_all(&bytes[..fits])?;
        *self.length.get_mut() += fits as u64;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut faults = self.disk.0.lock().unwrap();
        if faults.syncs == 0 {
            faults.good_syncs += 1;
            self.synced = *self.length.get_mut();
            return self.file.sync();
        }
        faults.syncs -= 1;
        if faults.drops {
            self.file.cut(self.synced)?;
            *self.length.get_mut() = self.synced;
        }
        Err(io::Error::other("input/output error"))
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        if self.disk.0.lock().unwrap().cuts_fail {
            return Err(io::Error::other("input/output error"));
        }
        *self.length.get_mut() = length;
        self.file.cut(length)
    }
}

async fn open_faulty(folder: &Folder) -> (Journal, FaultyDisk) {
    let disk = FaultyDisk::default();
    let dir = folder.path().to_owned();
    let on = Arc::new(disk.clone());
    let journal = Journal::open_on(dir, LIMITS, clock(), Entropy::seeded(7), on).await.unwrap();
    (journal, disk)
}

#[tokio::test]
async fn a_full_disk_refuses_and_leaves_nothing_behind() {
    let folder = Folder::new("enospc");
    let (journal, disk) = open_faulty(&folder).await;
    for room in [0, 17, 45, 52] {
        disk.set(Faults { room: Some(room), ..Faults::default() });
        let error = append(&journal, set("refused", "v")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::None), "{room}");
        disk.set(Faults::default());
        append(&journal, set("taken", "v")).await.unwrap();
    }
    assert_eq!(seqs(&journal), [1, 2, 3, 4]);
    let before = journal.pending(None, 10);
    journal.close().await;
    let journal = open(folder.path()).await;
    assert_eq!(journal.pending(None, 10), before);
    assert_eq!(journal.report(), &OpeningReport { pending: 4, ..OpeningReport::default() });
}

#[tokio::test]
async fn after_a_failed_sync_the_write_goes_into_a_new_file() {
    for (drops, cuts_fail) in [(false, false), (false, true), (true, false)] {
        let folder = Folder::new("fsync");
        let (journal, disk) = open_faulty(&folder).await;
        append(&journal, set("a", "1")).await.unwrap();
        disk.set(Faults { syncs: 1, drops, cuts_fail, ..Faults::default() });
        assert_eq!(append(&journal, set("a", "2")).await.unwrap(), 3);
        disk.set(Faults::default());
        append(&journal, set("a", "3")).await.unwrap();
        assert_eq!((seqs(&journal), folder.segments().len()), (vec![1, 3, 4], 2));
        let before = journal.pending(None, 10);
        journal.close().await;
        // The number that failed may stand in the old file: it counts no more.
        assert_eq!(open(folder.path()).await.pending(None, 10), before);
    }
}

#[tokio::test]
async fn when_the_new_file_fails_too_the_outcome_is_unknown() {
    let folder = Folder::new("twice");
    let (journal, disk) = open_faulty(&folder).await;
    append(&journal, set("a", "1")).await.unwrap();
    disk.set(Faults { syncs: 2, cuts_fail: true, ..Faults::default() });
    let error = append(&journal, set("a", "2")).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    assert_eq!(seqs(&journal), [1]);
    // No file can be made: refused, and certainly not there.
    disk.set(Faults { opens_fail: true, ..Faults::default() });
    let error = append(&journal, set("a", "3")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::None));
    disk.set(Faults::default());
    append(&journal, set("a", "4")).await.unwrap();
    let before = journal.pending(None, 10);
    assert_eq!(before.len(), 2);
    journal.close().await;
    assert_eq!(open(folder.path()).await.pending(None, 10), before);
}

#[tokio::test]
async fn a_write_into_a_removed_file_is_not_acknowledged_there() {
    let folder = Folder::new("removed");
    let journal = open(folder.path()).await;
    append(&journal, set("a", "1")).await.unwrap();
    std::fs::remove_file(&folder.segments()[0]).unwrap();
    let seq = append(&journal, set("b", "2")).await.unwrap();
    journal.close().await;
    assert_eq!(seqs(&open(folder.path()).await), [seq]);
}

#[tokio::test]
async fn writes_that_wait_together_share_one_sync() {
    let folder = Folder::new("group");
    let (journal, disk) = open_faulty(&folder).await;
    let writes: Vec<Op> = (0..100).map(|number| set(&format!("k{number}"), "v")).collect();
    let appends = writes.into_iter().map(|write| append(&journal, write));
    let mut all = Box::pin(futures_util::future::join_all(appends));
    {
        // The writer stands still at the disk until all are queued.
        let _still = disk.0.lock().unwrap();
        assert!(futures_util::FutureExt::now_or_never(&mut all).is_none());
    }
    assert!(all.await.iter().all(Result::is_ok));
    let syncs = disk.0.lock().unwrap().good_syncs;
    assert!((1..=2).contains(&syncs), "{syncs}");
}

#[tokio::test]
async fn a_writer_that_was_given_up_is_not_in_the_way_of_others() {
    let folder = Folder::new("given-up");
    let (journal, disk) = open_faulty(&folder).await;
    {
        let _still = disk.0.lock().unwrap();
        let first = futures_util::FutureExt::now_or_never(append(&journal, set("a", "1")));
        let second = futures_util::FutureExt::now_or_never(append(&journal, set("b", "2")));
        assert!(first.is_none() && second.is_none());
    }
    let seq = append(&journal, set("c", "3")).await.unwrap();
    journal.close().await;
    let journal = open(folder.path()).await;
    let last = journal.pending(None, 9).pop().unwrap();
    assert_eq!((last.seq, last.write), (seq, set("c", "3")));
}

#[cfg(target_os = "linux")]
#[test]
fn the_system_s_word_for_a_full_disk_is_understood() {
    let path = Path::new("/dev/full");
    let error = RealDisk.open(path, true).unwrap().write_all(b"x").unwrap_err();
    let error = super::super::folder::failed(path, "cannot be written", &error);
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::None));
}

#[tokio::test]
async fn after_a_panic_of_the_writer_no_number_is_given_twice() {
    let folder = Folder::new("panic");
    let (journal, disk) = open_faulty(&folder).await;
    append(&journal, set("a", "1")).await.unwrap();
    // A poisoned lock makes the disk panic in the middle of an append.
    let poison = disk.clone();
    let poisoned = std::thread::scope(|scope| {
        scope
            .spawn(move || {
                let _held = poison.0.lock().unwrap();
                panic!("poison");
            })
            .join()
    });
    assert!(poisoned.is_err());
    let error = append(&journal, set("a", "2")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Internal, Effect::Unknown));
    disk.0.clear_poison();
    let seq = append(&journal, set("a", "3")).await.unwrap();
    assert!(seq > 2, "{seq}");
    journal.close().await;
    assert_eq!(seqs(&open(folder.path()).await), [1, seq]);
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_written_still_waits() {
    let folder = Folder::new("deadfault");
    let (journal, disk) = open_faulty(&folder).await;
    append(&journal, set("a", "1")).await.unwrap();
    append(&journal, set("a", "2")).await.unwrap();
    for faults in [
        Faults { opens_fail: true, ..Faults::default() },
        Faults { syncs: 1, ..Faults::default() },
        Faults { room: Some(9), ..Faults::default() },
    ] {
        disk.set(faults);
        journal.dead_letter(1, "conflict".into(), soon()).await.unwrap_err();
        assert_eq!((journal.dead_letters().len(), seqs(&journal)), (0, vec![1, 2]));
        disk.set(Faults::default());
    }
    journal.dead_letter(1, "conflict".into(), soon()).await.unwrap();
    journal.close().await;
    let journal = open(folder.path()).await;
    assert_eq!((journal.dead_letters().len(), seqs(&journal)), (1, vec![2]));
    assert_eq!(journal.report().corrupt, []);
}

#[tokio::test]
async fn an_entry_whose_mark_cannot_be_written_still_waits() {
    let folder = Folder::new("markfault");
    let (journal, disk) = open_faulty(&folder).await;
    append(&journal, set("a", "1")).await.unwrap();
    disk.set(Faults { room: Some(5), ..Faults::default() });
    journal.applied(1, soon()).await.unwrap_err();
    assert_eq!(seqs(&journal), [1]);
    disk.set(Faults::default());
    journal.applied(1, soon()).await.unwrap();
    journal.close().await;
    assert_eq!(open(folder.path()).await.depth(), 0);
}

fn faults() -> impl Strategy<Value = Faults> {
    let none = Just(Faults::default());
    let some = (proptest::option::of(0..300_usize), 0..3_u32, any::<[bool; 3]>());
    let some = some.prop_map(|(room, syncs, [drops, cuts_fail, opens_fail])| Faults {
        room,
        syncs,
        drops,
        cuts_fail,
        opens_fail,
        good_syncs: 0,
    });
    prop_oneof![2 => none, 3 => some]
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Apply,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4_u8).prop_map(Step::Append),
        2 => Just(Step::Apply),
        1 => Just(Step::Reopen),
    ]
}

/// What has to be there, what may be, and all that was ever seen.
#[derive(Default)]
struct Expected {
    waits: BTreeSet<u64>,
    unknown: BTreeSet<String>,
    number: u32,
    highest: u64,
}

async fn play(steps: Vec<(Step, Faults)>) {
    let folder = Folder::new("play");
    let (mut journal, mut disk) = open_faulty(&folder).await;
    let mut expected = Expected::default();
    for (step, faults) in steps {
        disk.set(faults);
        match step {
            Step::Append(count) => append_some(&journal, &mut expected, count).await,
            Step::Apply => {
                if let Some(seq) = expected.waits.first().copied()
                    && journal.applied(seq, soon()).await.is_ok()
                {
                    expected.waits.remove(&seq);
                }
            }
            Step::Reopen => {
                journal.close().await;
                (journal, disk) = open_faulty(&folder).await;
            }
        }
        check(&journal, &mut expected);
    }
    journal.close().await;
    check(&open(folder.path()).await, &mut expected);
}

async fn append_some(journal: &Journal, expected: &mut Expected, count: u8) {
    let from = expected.number;
    expected.number += u32::from(count);
    let values: Vec<String> = (from..expected.number).map(|number| number.to_string()).collect();
    let appends = values.iter().map(|value| append(journal, set("k", value)));
    let results = futures_util::future::join_all(appends).await;
    for (value, result) in values.into_iter().zip(results) {
        match result {
            Ok(seq) => {
                assert!(seq > expected.highest && expected.waits.insert(seq));
            }
            Err(error) if error.effect() == Effect::Unknown => {
                expected.unknown.insert(value);
            }
            Err(_refused) => {}
        }
    }
    expected.highest = expected.highest.max(expected.waits.last().copied().unwrap_or(0));
}

/// All that was acknowledged waits; nothing else does but what was reported as unknown.
fn check(journal: &Journal, expected: &mut Expected) {
    for entry in journal.pending(None, usize::MAX) {
        let Op::Set { value, .. } = &entry.write else { panic!("{entry:?}") };
        let value = String::from_utf8(value.to_vec()).unwrap();
        let known = expected.waits.contains(&entry.seq);
        assert!(known || expected.unknown.remove(&value), "{entry:?}");
        // From now on it is seen, so it has to stay.
        expected.waits.insert(entry.seq);
        expected.highest = expected.highest.max(entry.seq);
    }
    assert_eq!(seqs(journal), expected.waits.iter().copied().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn whatever_the_disk_does_what_was_acknowledged_is_there(
        steps in proptest::collection::vec((step(), faults()), 1..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(play(steps));
    }
}
