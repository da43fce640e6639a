use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::{
    config::MemoryConfig,
    entry::{Record, Ttl},
    op::{Condition, ExpireCondition, TtlChange},
    reply::{Outcome, Page},
};

mod model;

const VALUE_MAX: usize = 1 << 20;

async fn open(max: u64) -> Memory {
    let config = MemoryConfig { max, ..MemoryConfig::default() };
    opened(Memory::new(&config, VALUE_MAX, Clock::system())).await
}

async fn opened(memory: Memory) -> Memory {
    memory.connect(soon(&memory)).await.unwrap();
    memory
}

fn soon(memory: &Memory) -> Deadline {
    memory.clock.deadline_in(Duration::from_secs(1))
}

async fn run(memory: &Memory, op: Op) -> Result<Reply> {
    memory.execute(&op, soon(memory)).await
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

fn get(key: &str) -> Op {
    Op::Get { key: Key::from(key), with_ttl: true }
}

async fn read(memory: &Memory, key: &str) -> Option<Record> {
    run(memory, get(key)).await.unwrap().into_record().unwrap()
}

async fn version(memory: &Memory, op: Op) -> Version {
    run(memory, op).await.unwrap().into_written().unwrap().version.unwrap()
}

async fn page(memory: &Memory, prefix: &str, cursor: Option<Bytes>, limit: usize) -> Page {
    let prefix = Bytes::copy_from_slice(prefix.as_bytes());
    run(memory, Op::Scan { prefix, cursor, limit }).await.unwrap().into_page().unwrap()
}

async fn scan(memory: &Memory, prefix: &str, limit: usize) -> Vec<Key> {
    let mut first = page(memory, prefix, None, limit).await;
    let mut keys = first.keys;
    while let Some(cursor) = first.next.take() {
        first = page(memory, prefix, Some(cursor), limit).await;
        keys.append(&mut first.keys);
    }
    keys.sort_unstable();
    keys
}

async fn count(memory: &Memory, prefix: &str) -> i64 {
    let prefix = Bytes::copy_from_slice(prefix.as_bytes());
    run(memory, Op::Count { prefix }).await.unwrap().into_integer().unwrap()
}

#[tokio::test]
async fn it_serves_between_connect_and_close_only() {
    let memory = Memory::new(&MemoryConfig::default(), VALUE_MAX, Clock::system());
    assert_eq!(run(&memory, get("k")).await.unwrap_err().kind(), ErrorKind::OutOfUse);
    let memory = opened(memory).await;
    run(&memory, set("k", "v", TtlChange::Clear)).await.unwrap();
    memory.connect(soon(&memory)).await.unwrap();
    assert_eq!(read(&memory, "k").await.unwrap().value, "v", "a second connect keeps the records");
    memory.close().await;
    for error in [
        run(&memory, get("k")).await.unwrap_err(),
        memory.connect(soon(&memory)).await.unwrap_err(),
        memory.probe(ProbeDepth::Ping, soon(&memory)).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::OutOfUse);
    }
    assert_eq!(memory.stats(), MemoryStats::default());
}

#[tokio::test(start_paused = true)]
async fn a_record_is_gone_at_its_expiry_and_not_before() {
    let memory = open(1 << 20).await;
    let ttl = TtlChange::For(Duration::from_millis(100));
    run(&memory, set("k", "v", ttl)).await.unwrap();
    tokio::time::advance(Duration::from_millis(99)).await;
    assert_eq!(read(&memory, "k").await.unwrap().ttl, Some(Duration::from_millis(1)));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(read(&memory, "k").await, None);
    assert_eq!(memory.stats(), MemoryStats::default(), "the read took it away");
}

#[tokio::test(start_paused = true)]
async fn purge_takes_due_records_in_batches_and_writes_take_some_on_the_way() {
    let memory = open(1 << 20).await;
    let ttl = TtlChange::For(Duration::from_millis(10));
    for number in 0..100 {
        run(&memory, set(&format!("due{number}"), "v", ttl)).await.unwrap();
    }
    run(&memory, set("stays", "v", TtlChange::Clear)).await.unwrap();
    tokio::time::advance(Duration::from_millis(10)).await;
    assert_eq!((count(&memory, "").await, count(&memory, "due").await), (1, 0));
    assert_eq!(scan(&memory, "", 10).await, [Key::from("stays")]);
    assert_eq!(memory.purge(60, soon(&memory)).await.unwrap(), 60);
    assert_eq!(memory.stats().keys, 41);
    run(&memory, set("stays", "v", TtlChange::Clear)).await.unwrap();
    let left = memory.stats().keys;
    assert!((39..=41).contains(&left), "{left} left");
    assert_eq!(memory.purge(60, soon(&memory)).await.unwrap(), left - 1);
    assert_eq!(memory.purge(60, soon(&memory)).await.unwrap(), 0);
    assert_eq!(memory.stats().keys, 1);
}

#[tokio::test(start_paused = true)]
async fn no_record_outlives_the_cap() {
    let config =
        MemoryConfig { ttl_max: Some(Duration::from_millis(50)), ..MemoryConfig::default() };
    let memory = opened(Memory::new(&config, VALUE_MAX, Clock::system())).await;
    run(&memory, set("plain", "v", TtlChange::Clear)).await.unwrap();
    run(&memory, set("short", "v", TtlChange::For(Duration::from_millis(20)))).await.unwrap();
    let long = TtlChange::For(Duration::from_secs(60));
    let op = Op::Expire { key: Key::from("short"), ttl: long, condition: ExpireCondition::Always };
    run(&memory, op).await.unwrap();
    for key in ["plain", "short"] {
        assert_eq!(read(&memory, key).await.unwrap().ttl, Some(Duration::from_millis(50)));
    }
}

#[tokio::test]
async fn versions_rise_over_delete_and_recreate() {
    let memory = open(1 << 20).await;
    let delete =
        Op::Delete { key: Key::from("k"), condition: Condition::Always, want_previous: false };
    let mut last = version(&memory, set("k", "v", TtlChange::Clear)).await;
    for _ in 0..3 {
        for op in [delete.clone(), set("k", "v", TtlChange::Clear)] {
            let next = version(&memory, op).await;
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }
    assert_eq!(read(&memory, "k").await.unwrap().version, Some(last));
}

#[tokio::test]
async fn the_bound_holds_and_what_is_used_stays() {
    let max = 1 << 20;
    let memory = open(max).await;
    let value = "v".repeat(1000);
    for number in 0..4000 {
        run(&memory, set(&format!("k{number}"), &value, TtlChange::Clear)).await.unwrap();
        assert!(memory.stats().bytes <= max);
        if number % 20 == 0 {
            assert!(
                read(&memory, "k0").await.is_some(),
                "evicted in spite of its use, at {number}"
            );
        }
    }
    let stats = memory.stats();
    assert_eq!(stats.keys as u64 + stats.evicted, 4000);
    assert!(stats.bytes > max * 9 / 10, "{stats:?}");
}

#[tokio::test]
async fn a_value_over_a_quarter_of_the_bound_is_refused() {
    let memory = open(1 << 16).await;
    assert_eq!(memory.capabilities().value_max, 1 << 14);
    run(&memory, set("k", &"v".repeat(1 << 14), TtlChange::Clear)).await.unwrap();
    let error = run(&memory, set("k", &"v".repeat((1 << 14) + 1), TtlChange::Clear)).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(read(&memory, "k").await.unwrap().value.len(), 1 << 14);
}

#[tokio::test]
async fn clear_counts_the_live_and_frees_the_bytes() {
    let memory = open(1 << 20).await;
    for number in 0..50 {
        run(&memory, set(&format!("k{number}"), "v", TtlChange::Clear)).await.unwrap();
    }
    assert_eq!(memory.clear(), 50);
    assert_eq!((memory.stats(), read(&memory, "k1").await), (MemoryStats::default(), None));
}

#[tokio::test]
async fn a_scan_returns_every_key_that_is_there_throughout() {
    let memory = open(1 << 24).await;
    for number in 0..500 {
        run(&memory, set(&format!("stay{number}"), "v", TtlChange::Clear)).await.unwrap();
        run(&memory, set(&format!("stir{number}"), "v", TtlChange::Clear)).await.unwrap();
    }
    let (mut seen, mut cursor, mut round) = (Vec::new(), None, 0);
    loop {
        let page = page(&memory, "stay", cursor, 7).await;
        assert!(page.keys.len() <= 7);
        seen.extend(page.keys);
        let keys = (0..500).filter(|number| number % 3 == round % 3);
        let keys = keys.map(|number| Key::from(format!("stir{number}"))).collect();
        run(&memory, Op::DeleteMany { keys }).await.unwrap();
        for number in 0..20 {
            let op = set(&format!("stir{}", round * 31 + number), "v", TtlChange::Clear);
            run(&memory, op).await.unwrap();
        }
        round += 1;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    seen.sort_unstable();
    let mut expected: Vec<Key> = (0..500).map(|number| format!("stay{number}").into()).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_foreign_cursor_is_refused() {
    let memory = open(1 << 20).await;
    let op = Op::Scan { prefix: Bytes::new(), cursor: Some(Bytes::from("x")), limit: 1 };
    assert_eq!(run(&memory, op).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let far = Bytes::from(vec![0xff; 16]);
    assert_eq!(page(&memory, "", Some(far), 1).await, Page::default());
}

#[test]
fn threads_lose_no_increment_and_many_key_writes_are_seen_whole() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let memory = runtime.block_on(open(1 << 24));
    let keys: Vec<Key> = (0..20).map(|number| format!("k{number}").into()).collect();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (memory, keys) = (&memory, &keys);
            scope.spawn(move || {
                for _ in 0..500 {
                    memory.execute_now(&Op::Increment { key: Key::from("n"), by: 1 }).unwrap();
                    let value = Bytes::from(writer.to_string());
                    let mut entries: Vec<_> =
                        keys.iter().map(|key| (key.clone(), value.clone())).collect();
                    if writer % 2 == 0 {
                        entries.reverse();
                    }
                    let ttl = TtlChange::Clear;
                    memory.execute_now(&Op::SetMany { entries, ttl, all_absent: false }).unwrap();
                    let read = memory.execute_now(&Op::GetMany { keys: keys.clone() }).unwrap();
                    let read = read.into_records().unwrap();
                    let first = read[0].as_ref().unwrap().value.clone();
                    assert!(read.iter().all(|record| record.as_ref().unwrap().value == first));
                }
            });
        }
    });
    let sum = memory.execute_now(&Op::Increment { key: Key::from("n"), by: 0 }).unwrap();
    assert_eq!(sum.into_written().unwrap().outcome, Outcome::Integer(2000));
}

#[tokio::test]
async fn reads_of_every_kind_agree() {
    let memory = open(1 << 20).await;
    run(&memory, set("k", "value", TtlChange::Clear)).await.unwrap();
    let (k, none) = (Key::from("k"), Key::from("none"));
    let keys = vec![none.clone(), k.clone(), k.clone()];
    let exists = run(&memory, Op::Exists { keys: keys.clone() }).await.unwrap();
    assert_eq!(exists, Reply::Integer(2));
    let many = run(&memory, Op::GetMany { keys }).await.unwrap().into_records().unwrap();
    assert_eq!((many[0].clone(), many[1].clone()), (None, many[2].clone()));
    for (key, length, ttl, range) in [(k, 5, Ttl::Persistent, "alu"), (none, 0, Ttl::Missing, "")] {
        let op = Op::GetRange { key: key.clone(), start: 1, end: -2 };
        assert_eq!(run(&memory, op).await.unwrap(), Reply::Bytes(Bytes::from(range)));
        let op = Op::Length { key: key.clone() };
        assert_eq!(run(&memory, op).await.unwrap(), Reply::Integer(length));
        assert_eq!(run(&memory, Op::TimeToLive { key }).await.unwrap(), Reply::Ttl(ttl));
    }
}

#[test]
fn like_keys_spread_over_the_shards() {
    let mut counts = [0; SHARDS];
    for number in 0..1600 {
        counts[shard_of(&Key::from(format!("user:{number}:profile")))] += 1;
        counts[shard_of(&Key::from(format!("k{number}")))] += 1;
    }
    assert!(counts.iter().all(|count| (120..280).contains(count)), "{counts:?}");
}
