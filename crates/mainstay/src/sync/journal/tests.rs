//! The journal as its users see it; what disks and crashes do to it stands in the modules.

mod bounds;
mod codec;
mod crash;
mod damage;
mod dead;
mod faults;
mod folder;
mod kill;
mod overlay;

use std::path::Path;

use bytes::Bytes;

use self::folder::Folder;
use super::*;
use crate::op::{Condition, ExpireCondition, TtlChange};

const NOW: i64 = 1_700_000_000_000;

fn clock() -> Clock {
    Clock::starting_at(NOW)
}

fn soon() -> Deadline {
    clock().deadline_in(Duration::from_secs(60))
}

async fn open(dir: &Path) -> Journal {
    open_with(dir, JournalLimits::default()).await
}

async fn open_with(dir: &Path, limits: JournalLimits) -> Journal {
    Journal::open(dir.to_owned(), limits, clock(), Entropy::seeded(7)).await.unwrap()
}

fn set(key: &str, value: &str) -> Op {
    Op::Set {
        key: key.into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ttl: TtlChange::Clear,
        condition: Condition::Always,
        want_previous: false,
    }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.into(), condition: Condition::Always, want_previous: false }
}

fn expire(key: &str, ttl: TtlChange) -> Op {
    Op::Expire { key: key.into(), ttl, condition: ExpireCondition::Always }
}

async fn append(journal: &Journal, write: Op) -> Result<u64> {
    journal.append(write, "user:", Base::default(), soon()).await
}

fn seqs(journal: &Journal) -> Vec<u64> {
    journal.pending(None, usize::MAX).iter().map(|entry| entry.seq).collect()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let folder = Folder::new("reopen");
    let journal = open(folder.path()).await;
    let base = Base {
        version: Some("1-17".parse().unwrap()),
        known_until_us: Some(5),
        after_seq: Some(99), // not the caller's to say
    };
    let seq = journal.append(set("user:1", "ada"), "user:", base, soon()).await.unwrap();
    append(&journal, delete("user:2")).await.unwrap();
    let (id, before) = (journal.id(), journal.pending(None, 10));
    assert_eq!(before[0].seq, seq);
    assert_eq!(before[0].base, Base { after_seq: None, ..base });
    assert_eq!(
        (before[0].route.as_str(), before[0].accepted_unix_ms / 1000),
        ("user:", NOW / 1000)
    );
    journal.close().await;
    let journal = open(folder.path()).await;
    assert_eq!((journal.id(), journal.pending(None, 10)), (id, before));
    assert_eq!(journal.report(), &OpeningReport { pending: 2, ..OpeningReport::default() });
    assert_eq!(journal.pending(Some(seq), 10).len(), 1);
}

#[tokio::test]
async fn numbers_rise_by_one_and_are_not_given_again_when_all_is_applied() {
    let folder = Folder::new("numbers");
    let mut expected = 1;
    for _ in 0..4 {
        let journal = open(folder.path()).await;
        assert_eq!(journal.depth(), 0);
        for _ in 0..3 {
            let seq = append(&journal, set("k", "v")).await.unwrap();
            assert_eq!(seq, expected);
            expected += 1;
            journal.applied(seq, soon()).await.unwrap();
            journal.applied(seq, soon()).await.unwrap();
        }
        assert_eq!((journal.depth(), journal.oldest_age()), (0, None));
        journal.close().await;
    }
    let segments = folder.names().iter().filter(|name| name.ends_with(".journal")).count();
    assert_eq!(segments, 1, "{:?}", folder.names());
}

#[tokio::test]
async fn entries_are_applied_in_any_order() {
    let folder = Folder::new("order");
    let journal = open(folder.path()).await;
    for number in 0..5 {
        append(&journal, set(&format!("k{number}"), "v")).await.unwrap();
    }
    for seq in [4, 2, 1] {
        journal.applied(seq, soon()).await.unwrap();
    }
    journal.close().await;
    assert_eq!(seqs(&open(folder.path()).await), [3, 5]);
}

#[tokio::test]
async fn writes_that_wait_together_are_taken_together() {
    let folder = Folder::new("together");
    let journal = open(folder.path()).await;
    let writes = (0..500).map(|number| append(&journal, set(&format!("k{number}"), "v")));
    let mut given: Vec<u64> =
        futures_util::future::join_all(writes).await.into_iter().map(Result::unwrap).collect();
    given.sort_unstable();
    assert_eq!(given, (1..=500).collect::<Vec<_>>());
    assert_eq!(seqs(&journal), given);
}

#[tokio::test]
async fn a_second_opener_is_told_the_folder_and_the_fix() {
    let folder = Folder::new("lock");
    let journal = open(folder.path()).await;
    let again = || {
        Journal::open(folder.path().into(), JournalLimits::default(), clock(), Entropy::seeded(1))
    };
    let error = again().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    let text = error.to_string();
    assert!(text.contains(&*folder.path().to_string_lossy()) && text.contains("journal.dir"));
    journal.close().await;
    assert_eq!(append(&journal, set("k", "v")).await.unwrap_err().kind(), ErrorKind::Closed);
    again().await.unwrap();
}

#[tokio::test]
async fn only_writes_that_mean_the_same_later_may_wait() {
    let folder = Folder::new("class");
    let journal = open(folder.path()).await;
    let absent = Op::Set {
        key: "k".into(),
        value: Bytes::new(),
        ttl: TtlChange::Clear,
        condition: Condition::Absent,
        want_previous: false,
    };
    for refused in [
        absent,
        Op::Increment { key: "k".into(), by: 1 },
        Op::Get { key: "k".into(), with_ttl: false },
        Op::Delete { key: "k".into(), condition: Condition::Always, want_previous: true },
    ] {
        let error = append(&journal, refused).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::None));
        assert!(error.message().contains("without a condition"), "{error}");
    }
    let keep = append(&journal, expire("k", TtlChange::Keep)).await.unwrap_err();
    assert_eq!(keep.kind(), ErrorKind::InvalidArgument);
    assert_eq!(journal.depth(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_in_the_journal_counts() {
    let folder = Folder::new("ttl");
    let times = clock();
    let limits = JournalLimits::default();
    let journal = Journal::open(folder.path().into(), limits, times.clone(), Entropy::seeded(1))
        .await
        .unwrap();
    let before = times.unix_ms();
    let base = Base::default();
    let deadline = times.deadline_in(Duration::from_secs(600));
    let ttl = TtlChange::For(Duration::from_secs(10));
    journal.append(expire("k", ttl), "", base, deadline).await.unwrap();
    let zero = TtlChange::For(Duration::ZERO);
    journal.append(expire("z", zero), "", base, deadline).await.unwrap();
    let after = times.unix_ms();
    let at = |entry: &JournalEntry| match &entry.write {
        Op::Expire { ttl: TtlChange::At(at), .. } => *at,
        other => panic!("{other:?}"),
    };
    let entries = journal.pending(None, 2);
    assert!((before + 10_000..=after + 10_000).contains(&at(&entries[0])));
    assert!((before..=after).contains(&at(&entries[1])));
    assert!(journal.overlaid(&"z".into()).unwrap().gone(after));
}

#[tokio::test]
async fn other_bounds_hold_for_the_next_write_and_what_waits_stays() {
    let folder = Folder::new("bounds");
    let journal = open(folder.path()).await;
    let append = async |key: &str| {
        let far = clock().deadline_in(Duration::from_secs(60));
        journal.append(set(key, "v"), "", Base::default(), far).await
    };
    append("a").await.unwrap();
    journal.set_limits(JournalLimits { bytes_max: 1, ..JournalLimits::default() });
    assert_eq!(append("b").await.unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(journal.depth(), 1);
    journal.set_limits(JournalLimits::default());
    append("b").await.unwrap();
    assert_eq!(journal.depth(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_time_is_over_is_not_taken() {
    let folder = Folder::new("deadline");
    let journal = open(folder.path()).await;
    let passed = clock().deadline_in(Duration::ZERO);
    let error = journal.append(set("k", "v"), "", Base::default(), passed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert_eq!((error.effect(), journal.depth()), (Effect::None, 0));
}

#[tokio::test]
async fn a_line_of_json_shows_bytes_that_are_no_text_as_base64() {
    let folder = Folder::new("export");
    let journal = open(folder.path()).await;
    append(&journal, set("naïve", "ada")).await.unwrap();
    let bytes = Op::Set {
        key: Key::new(Bytes::from_static(b"\xff\x00")),
        value: Bytes::from_static(b"\xfe"),
        ttl: TtlChange::At(5),
        condition: Condition::Always,
        want_previous: false,
    };
    append(&journal, bytes).await.unwrap();
    append(&journal, Op::DeleteMany { keys: vec!["a".into(), "naïve".into()] }).await.unwrap();
    let lines = journal.export(None, 10);
    let read = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let read: Vec<serde_json::Value> = lines.iter().map(read).collect();
    assert_eq!((&read[0]["key"], &read[0]["value"]), (&"naïve".into(), &"ada".into()));
    assert!(read[0]["expires_at_unix_ms"].is_null() && read[0]["op"] == "set");
    assert_eq!(
        (&read[1]["key_base64"], &read[1]["value_base64"]),
        (&"/wA=".into(), &"/g==".into())
    );
    assert_eq!(read[1]["expires_at_unix_ms"], 5);
    assert_eq!((&read[2]["keys"][1]["key"], &read[2]["after_seq"]), (&"naïve".into(), &1.into()));
    assert!(lines.iter().all(|line| !line.contains('\n')));
}
