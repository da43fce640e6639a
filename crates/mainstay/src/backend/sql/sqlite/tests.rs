use std::{path::Path, time::Duration};

use bytes::Bytes;
use rusqlite::Connection;

use super::*;
use crate::{
    entry::{Key, Record, Ttl, Version},
    error::Effect,
    op::{Condition, ExpireCondition, TtlChange},
    reply::{Outcome, Page},
};

mod faults;
mod folder;
mod migration;
mod records;
mod versions;

use folder::Folder;

const VALUE_MAX: usize = 1 << 20;

fn new(url: &str, clock: &Clock) -> Sqlite {
    let config = BackendConfig { inflight_max: Some(256), ..BackendConfig::at(url) };
    Sqlite::new(&config, VALUE_MAX, clock.clone()).unwrap()
}

/// Opened on a file.
async fn open(path: &Path) -> Sqlite {
    let sqlite = new(&url(path), &Clock::system());
    sqlite.connect(soon(&sqlite)).await.unwrap();
    sqlite
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

fn soon(sqlite: &Sqlite) -> Deadline {
    sqlite.plan.rules.clock.deadline_in(Duration::from_secs(30))
}

async fn run(sqlite: &Sqlite, op: Op) -> Result<Reply> {
    sqlite.execute(&op, soon(sqlite)).await
}

fn set(key: &str, value: &str, ttl: TtlChange) -> Op {
    Op::Set {
        key: Key::from(key),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ttl,
        condition: Condition::Always,
        want_previous: false,
    }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: Key::from(key), condition: Condition::Always, want_previous: false }
}

fn for_ms(ms: u64) -> TtlChange {
    TtlChange::For(Duration::from_millis(ms))
}

async fn read(sqlite: &Sqlite, key: &str) -> Option<Record> {
    let op = Op::Get { key: Key::from(key), with_ttl: true };
    run(sqlite, op).await.unwrap().into_record().unwrap()
}

async fn write(sqlite: &Sqlite, op: Op) -> Version {
    run(sqlite, op).await.unwrap().into_written().unwrap().version.unwrap()
}

async fn scan(sqlite: &Sqlite, prefix: &[u8], limit: usize) -> Vec<Key> {
    let (mut keys, mut cursor) = (Vec::new(), None);
    loop {
        let op = Op::Scan { prefix: Bytes::copy_from_slice(prefix), cursor, limit };
        let Page { keys: mut page, next } = run(sqlite, op).await.unwrap().into_page().unwrap();
        assert!(page.len() <= limit);
        keys.append(&mut page);
        cursor = next;
        if cursor.is_none() {
            return keys;
        }
    }
}

async fn count(sqlite: &Sqlite, prefix: &'static [u8]) -> i64 {
    let op = Op::Count { prefix: Bytes::from_static(prefix) };
    run(sqlite, op).await.unwrap().into_integer().unwrap()
}

#[tokio::test]
async fn it_serves_between_connect_and_close_only() {
    let folder = Folder::new("lifecycle");
    let sqlite = new(&url(&folder.path("deep/er/main.db")), &Clock::system());
    assert_eq!(
        run(&sqlite, set("k", "v", TtlChange::Clear)).await.unwrap_err().kind(),
        ErrorKind::OutOfUse
    );
    for _ in 0..2 {
        sqlite.connect(soon(&sqlite)).await.unwrap();
        run(&sqlite, set("k", "v", TtlChange::Clear)).await.unwrap();
        assert_eq!(read(&sqlite, "k").await.unwrap().value, "v");
    }
    for depth in [ProbeDepth::Ping, ProbeDepth::WriteRead] {
        let report = sqlite.probe(depth, soon(&sqlite)).await.unwrap();
        assert!(report.facts.contains(&("epoch", "1".to_owned())), "{report:?}");
    }
    sqlite.close().await;
    for error in [
        run(&sqlite, delete("k")).await.unwrap_err(),
        sqlite.connect(soon(&sqlite)).await.unwrap_err(),
        sqlite.probe(ProbeDepth::Ping, soon(&sqlite)).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::OutOfUse, Effect::None));
    }
    let left: Vec<_> = std::fs::read_dir(folder.path("deep/er")).unwrap().collect();
    assert_eq!(left.len(), 1, "the log was written back and removed: {left:?}");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let folder = Folder::new("reopen");
    let path = folder.path("main.db");
    let sqlite = open(&path).await;
    let version = write(&sqlite, set("k", "v", TtlChange::Clear)).await;
    write(&sqlite, set("ttl", "v", for_ms(3_600_000))).await;
    // Without `close`: as after a crash, but for the pages in the system's cache.
    std::mem::forget(sqlite);
    let sqlite = open(&path).await;
    let record = read(&sqlite, "k").await.unwrap();
    assert_eq!((record.value, record.version, record.ttl), (Bytes::from("v"), Some(version), None));
    assert!(read(&sqlite, "ttl").await.unwrap().ttl.is_some());
    assert!(write(&sqlite, set("k", "w", TtlChange::Clear)).await > version);
    sqlite.close().await;
}

#[tokio::test]
async fn tasks_of_two_handles_lose_no_increment() {
    let folder = Folder::new("handles");
    let path = folder.path("main.db");
    let handles = [open(&path).await, open(&path).await];
    let work = (0..64).map(|task| {
        let handle = &handles[task % 2];
        async move {
            for _ in 0..10 {
                let op = Op::Increment { key: Key::from("n"), by: 1 };
                run(handle, op).await.unwrap();
            }
        }
    });
    futures_util::future::join_all(work).await;
    for handle in &handles {
        assert_eq!(read(handle, "n").await.unwrap().value, "640");
        handle.close().await;
    }
}

#[tokio::test]
async fn one_bad_operation_fails_its_caller_only() {
    let folder = Folder::new("group");
    let sqlite = open(&folder.path("main.db")).await;
    run(&sqlite, set("text", "x", TtlChange::Clear)).await.unwrap();
    let work = (0..90).map(|task| {
        let sqlite = &sqlite;
        async move {
            let op = match task % 3 {
                0 => Op::Increment { key: Key::from("text"), by: 1 },
                1 => set("long", &"x".repeat(VALUE_MAX + 1), TtlChange::Clear),
                _ => Op::Increment { key: Key::from("n"), by: 1 },
            };
            (task % 3, run(sqlite, op).await.map_err(|error| error.kind()))
        }
    });
    for (which, result) in futures_util::future::join_all(work).await {
        match which {
            0 => assert_eq!(result, Err(ErrorKind::NotInteger)),
            1 => assert_eq!(result, Err(ErrorKind::TooLarge)),
            _ => assert!(result.unwrap().into_written().unwrap().applied),
        }
    }
    assert_eq!(read(&sqlite, "n").await.unwrap().value, "30");
    sqlite.close().await;
}

#[tokio::test]
async fn a_dropped_future_leaves_the_writer_at_work() {
    let folder = Folder::new("dropped");
    let sqlite = open(&folder.path("main.db")).await;
    for _ in 0..20 {
        let op = Op::Increment { key: Key::from("dropped"), by: 1 };
        let mut future = sqlite.execute(&op, soon(&sqlite));
        assert!(futures_util::poll!(&mut future).is_pending());
        drop(future);
    }
    write(&sqlite, set("k", "v", TtlChange::Clear)).await;
    assert_eq!(read(&sqlite, "k").await.unwrap().value, "v");
    sqlite.close().await;
}

#[tokio::test]
async fn scans_and_counts_stay_under_their_prefix() {
    let folder = Folder::new("scan");
    for url in [url(&folder.path("main.db")), "sqlite::memory:".to_owned()] {
        let sqlite = new(&url, &Clock::system());
        sqlite.connect(soon(&sqlite)).await.unwrap();
        let keys: [&[u8]; 7] = [b"", b"a", b"a\0", b"a\xff", b"a\xff\xff", b"b", b"\xff\xff"];
        let entries = keys.iter().map(|key| (Key::from(*key), Bytes::from("v"))).collect();
        let op = Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false };
        run(&sqlite, op).await.unwrap();
        run(&sqlite, set("a-dead", "v", TtlChange::Clear)).await.unwrap();
        run(&sqlite, delete("a-dead")).await.unwrap();
        let prefixes: [&'static [u8]; 5] = [b"", b"a", b"a\xff", b"\xff", b"c"];
        for prefix in prefixes {
            let mut expected: Vec<Key> = keys
                .iter()
                .filter(|key| key.starts_with(prefix))
                .map(|key| Key::from(*key))
                .collect();
            expected.sort_unstable();
            for limit in [1, 2, 100] {
                assert_eq!(scan(&sqlite, prefix, limit).await, expected, "{prefix:?} {limit}");
            }
            assert_eq!(count(&sqlite, prefix).await, expected.len() as i64);
        }
        sqlite.close().await;
    }
}

#[tokio::test]
async fn a_count_goes_over_many_stretches() {
    let sqlite = new("sqlite::memory:", &Clock::system());
    sqlite.connect(soon(&sqlite)).await.unwrap();
    for part in 0..3 {
        let entries =
            (0..7_000).map(|number| (Key::from(format!("{part}-{number}")), Bytes::new()));
        let op =
            Op::SetMany { entries: entries.collect(), ttl: TtlChange::Clear, all_absent: false };
        run(&sqlite, op).await.unwrap();
    }
    run(&sqlite, delete("1-500")).await.unwrap();
    assert_eq!((count(&sqlite, b"").await, count(&sqlite, b"1-").await), (20_999, 6_999));
}

#[tokio::test]
async fn reads_of_every_kind_agree() {
    let folder = Folder::new("reads");
    let sqlite = open(&folder.path("main.db")).await;
    run(&sqlite, set("k", "value", TtlChange::Clear)).await.unwrap();
    let (k, none) = (Key::from("k"), Key::from("none"));
    let keys = vec![none.clone(), k.clone(), k.clone()];
    let exists = run(&sqlite, Op::Exists { keys: keys.clone() }).await.unwrap();
    assert_eq!(exists, Reply::Integer(2));
    let many = run(&sqlite, Op::GetMany { keys }).await.unwrap().into_records().unwrap();
    assert_eq!((many[0].clone(), many[1].clone()), (None, many[2].clone()));
    for (key, length, ttl, range) in [(k, 5, Ttl::Persistent, "alu"), (none, 0, Ttl::Missing, "")] {
        let op = Op::GetRange { key: key.clone(), start: 1, end: -2 };
        assert_eq!(run(&sqlite, op).await.unwrap(), Reply::Bytes(Bytes::from(range)));
        let op = Op::Length { key: key.clone() };
        assert_eq!(run(&sqlite, op).await.unwrap(), Reply::Integer(length));
        assert_eq!(run(&sqlite, Op::TimeToLive { key }).await.unwrap(), Reply::Ttl(ttl));
    }
    sqlite.close().await;
}

#[tokio::test]
async fn values_of_any_bytes_and_length_come_back() {
    let folder = Folder::new("values");
    let sqlite = open(&folder.path("main.db")).await;
    for value in [vec![], vec![0], (0..=255).collect(), vec![0xff; VALUE_MAX]] {
        let value = Bytes::from(value);
        let op = Op::Set {
            key: Key::from(&[0_u8, 0xff, b'\''][..]),
            value: value.clone(),
            ttl: TtlChange::Clear,
            condition: Condition::Always,
            want_previous: false,
        };
        let key = Key::from(&[0_u8, 0xff, b'\''][..]);
        run(&sqlite, op).await.unwrap();
        let record = run(&sqlite, Op::Get { key, with_ttl: false }).await.unwrap();
        assert_eq!(record.into_record().unwrap().unwrap().value, value);
    }
    sqlite.close().await;
}

#[test]
fn urls_name_a_file_or_memory() {
    let file = |path: &str| Some(Location::File(path.into()));
    for (url, expected) in [
        ("sqlite:data/main.db", file("data/main.db")),
        ("sqlite://data/main.db", file("data/main.db")),
        ("sqlite:///var/lib/main.db", file("/var/lib/main.db")),
        ("sqlite:/var/lib/main.db", file("/var/lib/main.db")),
        ("sqlite::memory:", Some(Location::Memory)),
        ("sqlite:", None),
        ("sqlite://", None),
        ("sqlite:main.db?mode=ro", None),
        ("postgres://127.0.0.1/x", None),
    ] {
        match expected {
            Some(expected) => assert_eq!(Location::parse(url).unwrap(), expected, "{url}"),
            None => {
                let error = Location::parse(url).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
                assert!(error.message().contains("sqlite:PATH"), "{error}");
            }
        }
    }
}
