//! Writes while the record is down: they wait, are read, and reach it once, in order, never over somebody else's.

use std::path::PathBuf;

use super::*;
use crate::{
    Ack, Answer, Freshness, Merged, Ttl, Worth,
    config::{JournalConfig, OnRecordDown},
    entry::Key,
    op::{Condition, RecordOp, Under},
    status::JournalStatus,
    storage::Builder,
};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("mainstay-exec-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn journaled(route: RouteConfig) -> RouteConfig {
    RouteConfig { on_record_down: OnRecordDown::Journal, ..route }
}

fn without_cache() -> RouteConfig {
    journaled(RouteConfig { cache: Vec::new(), ..record_route() })
}

fn builder(folder: &Folder, route: RouteConfig, world: (&Arc<Remote>, &Arc<Remote>)) -> Builder {
    let timeouts =
        BackendConfig { timeout: Some(Duration::from_millis(500)), ..BackendConfig::default() };
    let journal =
        JournalConfig { dir: folder.0.clone(), bytes_max: 1 << 20, ..JournalConfig::default() };
    Storage::builder(Config { routes: vec![route], journal, ..Config::default() })
        .backend("cache", Arc::clone(world.0) as Arc<dyn Backend>, timeouts.clone())
        .backend("db", Arc::clone(world.1) as Arc<dyn Backend>, timeouts)
}

async fn open(folder: &Folder, route: RouteConfig) -> World {
    let (cache, record) = (Remote::new(Durability::Volatile), Remote::new(Durability::Crash));
    let storage = builder(folder, route, (&cache, &record)).open().await.unwrap();
    World { storage, cache, record }
}

impl World {
    async fn record_goes_down(&self) {
        // Long enough that what was written last is known to every look.
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.record.is(REFUSES);
        self.until("db", Health::Down).await;
    }

    async fn run(&self, op: Op) -> Result<Answer> {
        self.storage.execute(&op, CallOptions::default()).await
    }

    async fn put(&self, key: &str, value: &str) -> Result<Worth> {
        self.run(set(key, value)).await.map(|answer| answer.worth)
    }

    fn journal(&self) -> JournalStatus {
        self.storage.status().journal.unwrap()
    }

    async fn until_journal(&self, done: impl Fn(&JournalStatus) -> bool) {
        for _ in 0..10_000 {
            if done(&self.journal()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never so: {:?}", self.journal());
    }

    async fn held(&self, key: &str) -> Option<String> {
        let value = self.record.holds(key).await;
        value.map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    /// Another process, which still reaches the record, writes around the cache.
    async fn somebody_else_writes(&self, key: &str, value: &str) {
        let under = Under::Around { known_for: None, open_for: Duration::ZERO };
        let write = Box::new(set(key, value));
        let op = Op::Record(RecordOp::Commit { cache: "cache".into(), write, under });
        let deadline = self.storage.clock().deadline_in(Duration::from_secs(1));
        self.record.memory.execute(&op, deadline).await.unwrap();
    }

    async fn until_dead(&self, letters: u64) -> Vec<String> {
        self.until_journal(|journal| journal.dead_letters == letters && journal.depth == 0).await;
        self.storage.journal_dead_letters().unwrap()
    }
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

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| Key::from(*name)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_is_read_and_reaches_the_record_once() {
    let folder = Folder::new("once");
    let world = open(&folder, journaled(record_route())).await;
    world.storage.set("k", "old").await.unwrap();
    world.until_cached("k").await;
    world.record_goes_down().await;
    let answer = world.run(set("k", "new")).await.unwrap();
    assert_eq!(answer.worth, Worth::Write(Ack::Journaled(1)));
    assert_eq!(&*answer.source, "journal");
    let entry = world.storage.get("k").await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.freshness), (&b"new"[..], Freshness::Pending));
    assert!(!entry.stale, "it is the newest that there is");
    let calls = world.record.calls.load(Relaxed);
    world.record.is(WELL);
    world.until_journal(|journal| journal.depth == 0).await;
    assert!(world.record.calls.load(Relaxed) > calls);
    assert_eq!(world.held("k").await.as_deref(), Some("new"));
    assert_eq!(world.value("k").await.as_deref(), Some("new"), "the old copy is not read");
    let entry = world.storage.get("k").await.unwrap().unwrap();
    assert_ne!(entry.freshness, Freshness::Pending);
    let journal = world.journal();
    assert_eq!((journal.applied, journal.conflicts, journal.dead_letters), (1, 0, 0));
    world.until_cached("k").await;
    assert_eq!(world.value("k").await.as_deref(), Some("new"));
    let events = world.storage.events().since(0);
    let states: Vec<String> = events
        .iter()
        .filter(|event| event.kind.as_str() == "journal")
        .map(|event| event.kind.to_string())
        .collect();
    assert_eq!(states, ["down: 1 writes wait in the journal", "has the journal's 1 writes"]);
}

#[tokio::test(start_paused = true)]
async fn every_read_of_a_key_sees_what_waits_for_it() {
    let folder = Folder::new("reads");
    let world = open(&folder, journaled(record_route())).await;
    for key in ["kept", "gone", "touched"] {
        world.storage.set(key, "before").await.unwrap();
        world.until_cached(key).await;
    }
    world.record_goes_down().await;
    world.put("new", "12345").await.unwrap();
    assert!(world.storage.delete("gone").await.unwrap());
    assert!(!world.storage.delete("gone").await.unwrap(), "it is known to be gone");
    let ttl = TtlChange::For(Duration::from_secs(60));
    assert!(world.storage.expire("touched", ttl).await.unwrap());
    let names = keys(&["new", "gone"]);
    let answer = world.run(Op::GetMany { keys: names.clone() }).await.unwrap();
    assert_eq!(answer.worth, Worth::Read(Freshness::Pending));
    let records = answer.reply.into_records().unwrap();
    assert_eq!(records[0].as_ref().map(|record| &*record.value), Some(&b"12345"[..]));
    assert!(records[1].is_none());
    let count = world.run(Op::Exists { keys: names }).await.unwrap().reply.into_integer();
    assert_eq!(count.unwrap(), 1);
    let length = world.run(Op::Length { key: "new".into() }).await.unwrap();
    assert_eq!(length.reply.into_integer().unwrap(), 5);
    let range = Op::GetRange { key: "new".into(), start: 1, end: 2 };
    assert_eq!(&*world.run(range).await.unwrap().reply.into_bytes().unwrap(), b"23");
    assert_eq!(world.storage.time_to_live("new").await.unwrap(), Ttl::Persistent);
    assert_eq!(world.storage.time_to_live("gone").await.unwrap(), Ttl::Missing);
    let entry = world.storage.get("touched").await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.freshness), (&b"before"[..], Freshness::Pending));
    assert!(entry.ttl.is_some_and(|ttl| ttl <= Duration::from_secs(60)), "{entry:?}");
    assert_eq!(world.value("kept").await.as_deref(), Some("before"));
    let deleted = world.storage.delete_many(keys(&["new", "gone", "kept"])).await.unwrap();
    assert_eq!(deleted, 2, "one of them is known to be gone");
    world.record.is(WELL);
    world.until_journal(|journal| journal.depth == 0).await;
    assert_eq!(world.held("new").await, None);
    assert_eq!(world.held("kept").await, None);
    assert_eq!(world.held("touched").await.as_deref(), Some("before"));
    assert_eq!(world.journal().dead_letters, 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_never_goes_over_somebody_elses_and_its_followers_die_with_it() {
    let folder = Folder::new("conflict");
    let world = open(&folder, journaled(record_route())).await;
    world.storage.set("k", "old").await.unwrap();
    world.record_goes_down().await;
    world.put("k", "first").await.unwrap();
    world.put("k", "second").await.unwrap();
    world.put("other", "fine").await.unwrap();
    world.somebody_else_writes("k", "theirs").await;
    world.record.is(WELL);
    let letters = world.until_dead(2).await;
    assert!(letters[0].contains("somebody else"), "{letters:?}");
    assert!(letters[1].contains("entry 1"), "{letters:?}");
    assert_eq!(world.value("k").await.as_deref(), Some("theirs"));
    assert_eq!(world.held("other").await.as_deref(), Some("fine"));
    assert_eq!(world.journal().conflicts, 1);
    world.storage.discard_dead_letter(1, "looked at").await.unwrap();
    assert!(world.storage.discard_dead_letter(1, "again").await.is_err());
    assert_eq!(world.journal().dead_letters, 1);
}

#[tokio::test(start_paused = true)]
async fn a_merge_function_decides_where_there_is_one() {
    let folder = Folder::new("merge");
    let (cache, record) = (Remote::new(Durability::Volatile), Remote::new(Durability::Crash));
    let storage = builder(&folder, journaled(record_route()), (&cache, &record))
        .merge(|conflict| match (&conflict.journaled, &conflict.current) {
            (Op::Set { key, value, ttl, .. }, Some(current)) if key.as_bytes() == b"both" => {
                let value = [&current.value[..], b"+", value].concat().into();
                let (key, condition) = (key.clone(), Condition::Always);
                let ttl = *ttl;
                Merged::Replace(Op::Set { key, value, ttl, condition, want_previous: false })
            }
            (_, Some(_)) => Merged::Keep,
            (_, None) => Merged::DeadLetter,
        })
        .open()
        .await
        .unwrap();
    let world = World { storage, cache, record };
    for key in ["both", "kept"] {
        world.storage.set(key, "old").await.unwrap();
    }
    world.record_goes_down().await;
    for key in ["both", "kept"] {
        world.put(key, "ours").await.unwrap();
        world.somebody_else_writes(key, "theirs").await;
    }
    world.record.is(WELL);
    world.until_journal(|journal| journal.depth == 0).await;
    assert_eq!(world.held("both").await.as_deref(), Some("theirs+ours"));
    assert_eq!(world.held("kept").await.as_deref(), Some("theirs"));
    let journal = world.journal();
    assert_eq!((journal.applied, journal.conflicts, journal.dead_letters), (1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn later_writes_come_behind_earlier_ones_also_when_the_record_is_back() {
    let folder = Folder::new("order");
    let world = open(&folder, journaled(record_route())).await;
    world.storage.set("k", "old").await.unwrap();
    world.record_goes_down().await;
    for round in 0..20 {
        world.put("k", &format!("down {round}")).await.unwrap();
    }
    world.record.is(WELL);
    let mut journaled = 0;
    for round in 0..200 {
        let worth = world.put("k", &format!("back {round}")).await.unwrap();
        journaled += u32::from(matches!(worth, Worth::Write(Ack::Journaled(_))));
        assert_eq!(world.value("k").await, Some(format!("back {round}")));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    assert!(journaled > 0, "some come behind");
    world.until_journal(|journal| journal.depth == 0).await;
    assert_eq!(world.value("k").await.as_deref(), Some("back 199"));
    assert_eq!(world.held("k").await.as_deref(), Some("back 199"));
    assert_eq!(world.journal().dead_letters, 0);
    assert_eq!(world.put("k", "straight").await.unwrap(), Worth::Write(Ack::Durable));
}

#[tokio::test(start_paused = true)]
async fn strict_operations_never_wait_in_the_journal() {
    let folder = Folder::new("strict");
    let world = open(&folder, journaled(record_route())).await;
    world.storage.set("n", "1").await.unwrap();
    world.record_goes_down().await;
    let refused = world.storage.increment("other", 1).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Unavailable, Effect::None));
    world.put("n", "5").await.unwrap();
    let refused = world.storage.increment("n", 1).await.unwrap_err();
    assert!(refused.to_string().contains("try again"), "{refused}");
    assert!(refused.retry_hint().is_some() && refused.effect() == Effect::None);
    assert_eq!(world.journal().depth, 1);
    world.record.is(WELL);
    world.until("db", Health::Up).await;
    assert_eq!(world.storage.increment("n", 1).await.unwrap(), 6, "it waits its turn");
    world.record_goes_down().await;
    world.put("n", "10").await.unwrap();
    let look = async |read: crate::Snapshot| {
        let value = read.into_values().next().flatten().map(|record| record.value);
        Ok(crate::Decision { changes: Vec::new(), output: value })
    };
    let refused = world.storage.transact(keys(&["n"]), look).await.unwrap_err();
    assert!(refused.to_string().contains("try again"), "{refused}");
    world.record.is(WELL);
    world.until("db", Health::Up).await;
    let read = world.storage.transact(keys(&["n"]), look).await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"10"[..]), "it waits its turn as well");
    assert_eq!(world.journal().depth, 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_have_been_applied_is_never_journaled() {
    let folder = Folder::new("unknown");
    let world = open(&folder, journaled(record_route())).await;
    world.storage.set("k", "old").await.unwrap();
    world.record.is(SWALLOWS);
    let error = world.put("k", "perhaps").await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    assert_eq!(world.journal().depth, 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_survives_the_process() {
    let folder = Folder::new("restart");
    let world = open(&folder, without_cache()).await;
    world.storage.set("k", "old").await.unwrap();
    world.record_goes_down().await;
    world.put("k", "new").await.unwrap();
    let second = builder(&folder, without_cache(), (&world.cache, &world.record)).open().await;
    let second = second.map(drop).unwrap_err();
    assert!(second.to_string().contains("in use by another process"), "{second}");
    assert!(crate::inspect_journal(&folder.0).is_err(), "a process has it");
    assert!(world.storage.close(Duration::from_secs(5)).await);
    let found = crate::inspect_journal(&folder.0).unwrap();
    assert_eq!((found.entries.len(), found.dead_letters.len()), (1, 0));
    assert!(found.entries[0].contains("\"new\""), "{found:?}");
    let storage =
        builder(&folder, without_cache(), (&world.cache, &world.record)).open().await.unwrap();
    let world = World { storage, ..world };
    assert_eq!(world.value("k").await.as_deref(), Some("new"));
    world.put("k2", "what the journal knew is known").await.unwrap();
    world.record.is(WELL);
    world.until_journal(|journal| journal.depth == 0).await;
    assert_eq!(world.held("k").await.as_deref(), Some("new"));
    assert_eq!(world.journal().applied, 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_never_met_the_record_takes_no_promise_for_it() {
    let folder = Folder::new("never-met");
    let (cache, record) = (Remote::new(Durability::Volatile), Remote::new(Durability::Crash));
    record.is(REFUSES);
    let storage = builder(&folder, without_cache(), (&cache, &record)).open().await.unwrap();
    let world = World { storage, cache, record };
    let error = world.put("k", "v").await.unwrap_err();
    assert!(error.to_string().contains("not met the record"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    world.record.is(WELL);
    world.until("db", Health::Up).await;
    world.put("k", "v").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_journal_refuses_and_says_so() {
    let folder = Folder::new("full");
    let world = open(&folder, without_cache()).await;
    world.storage.set("k", "old").await.unwrap();
    world.record_goes_down().await;
    let big = "x".repeat(300 << 10);
    let mut taken = 0;
    let error = loop {
        match world.put(&format!("big{taken}"), &big).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 10, "1 MiB is all it may take");
    };
    assert!(error.to_string().contains("the journal is full"), "{error}");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None));
    assert!(taken > 0 && world.journal().full);
    world.record.is(WELL);
    world.until_journal(|journal| journal.depth == 0).await;
    assert_eq!(world.journal().applied, taken);
    assert!(!world.journal().full);
}
