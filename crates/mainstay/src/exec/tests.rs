//! The road on the paused clock: a record and a cache whose cables can be pulled.

mod each;
mod journal;
mod overflow;
mod sizes;
mod transact;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    CallOptions, Clock, Config, Deadline, Effect, Error, ErrorKind, Op, Reply, Result, Storage,
    TtlChange,
    backend::{Backend, Capabilities, Durability, ProbeDepth, ProbeReport, Scope, memory::Memory},
    config::{BackendConfig, Consistency, ConsistencyConfig, RouteConfig, Select},
    status::Health,
};

pub(crate) const WELL: u8 = 0;
/// A read takes 400 ms after it was performed.
const CRAWLS: u8 = 6;
pub(crate) const REFUSES: u8 = 1;
/// Answers probes and reads.
const REFUSES_WRITES: u8 = 7;
/// Performs everything but the end of a move.
const REFUSES_DRAINS: u8 = 8;
const HANGS: u8 = 2;
/// Performs everything but reads of many keys, which it forbids.
const FORBIDS_MANY: u8 = 9;
/// Performs the operation, then loses the reply.
const SWALLOWS: u8 = 3;

/// Performs one operation and breaks the connection before the reply; then it is well.
const BREAKS: u8 = 4;
/// The same, and refuses afterwards.
const BREAKS_FOR_GOOD: u8 = 5;

/// Memory that claims to be shared, behind a cable.
#[derive(Debug)]
pub(crate) struct Remote {
    memory: Memory,
    durability: Durability,
    state: AtomicU8,
    calls: AtomicU64,
    /// Of them, reads of values.
    reads: AtomicU64,
}

impl Remote {
    pub(crate) fn new(durability: Durability) -> Arc<Self> {
        let memory = Memory::new(&Config::default().memory, 1 << 20, Clock::system());
        let [calls, reads] = [0, 0].map(AtomicU64::new);
        Arc::new(Self { memory, durability, state: AtomicU8::new(WELL), calls, reads })
    }

    pub(crate) fn is(&self, state: u8) {
        self.state.store(state, Relaxed);
    }

    async fn cable(&self) -> Result<()> {
        match self.state.load(Relaxed) {
            REFUSES => Err(Error::new(ErrorKind::Disconnected, "Connection refused")),
            HANGS => std::future::pending().await,
            _ => Ok(()),
        }
    }

    /// Puts a value under a key, past every guard.
    async fn put(&self, key: &str, value: &str) {
        let op = Op::Set {
            key: key.into(),
            value: value.to_owned().into(),
            ttl: TtlChange::Clear,
            condition: crate::Condition::Always,
            want_previous: false,
        };
        self.memory
            .execute(&op, Clock::system().deadline_in(Duration::from_secs(1)))
            .await
            .unwrap();
    }

    /// What stands under a key, past every guard.
    async fn holds(&self, key: &str) -> Option<Bytes> {
        let op = Op::Get { key: key.into(), with_ttl: false };
        let reply =
            self.memory.execute(&op, Clock::system().deadline_in(Duration::from_secs(1))).await;
        reply.unwrap().into_record().unwrap().map(|record| record.value)
    }
}

impl Backend for Remote {
    fn engine(&self) -> &'static str {
        "remote"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            scope: Scope::Shared,
            durability: self.durability,
            ..self.memory.capabilities()
        }
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.cable().await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.memory.connect(deadline).await
        })
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Relaxed);
            if matches!(op, Op::Get { .. } | Op::GetMany { .. }) {
                self.reads.fetch_add(1, Relaxed);
            }
            self.cable().await?;
            if self.state.load(Relaxed) == REFUSES_WRITES && op.class() != crate::OpClass::Read {
                return Err(Error::new(ErrorKind::Overloaded, "OOM command not allowed"));
            }
            if self.state.load(Relaxed) == FORBIDS_MANY && matches!(op, Op::GetMany { .. }) {
                return Err(Error::new(ErrorKind::Forbidden, "NOPERM"));
            }
            let drains = matches!(op, Op::Record(crate::op::RecordOp::Drained { .. }));
            if drains && self.state.load(Relaxed) == REFUSES_DRAINS {
                return Err(Error::new(ErrorKind::Overloaded, "too many connections"));
            }
            // A network's round trip, so that operations interleave.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let reply = self.memory.execute(op, deadline).await;
            if self.state.load(Relaxed) == CRAWLS {
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            let after = match self.state.load(Relaxed) {
                BREAKS => Some(WELL),
                BREAKS_FOR_GOOD => Some(REFUSES),
                _ => None,
            };
            if let Some(after) = after.filter(|_| op.class() != crate::OpClass::Read) {
                self.is(after);
                return Err(Error::new(ErrorKind::Disconnected, "Connection reset by peer")
                    .with_effect(Effect::Unknown));
            }
            if self.state.load(Relaxed) == SWALLOWS {
                return Err(Error::new(ErrorKind::Timeout, "the reply was lost")
                    .with_effect(Effect::Unknown));
            }
            reply
        })
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async move {
            self.cable().await?;
            self.memory.probe(depth, deadline).await
        })
    }

    /// A server outlives its clients.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

const DIRTY_MAX: usize = 1000;

struct World {
    storage: Storage,
    cache: Arc<Remote>,
    record: Arc<Remote>,
}

async fn world(route: RouteConfig) -> World {
    world_of(Remote::new(Durability::Volatile), Remote::new(Durability::Crash), route).await
}

async fn world_of(cache: Arc<Remote>, record: Arc<Remote>, route: RouteConfig) -> World {
    let consistency = ConsistencyConfig { dirty_max: DIRTY_MAX, ..ConsistencyConfig::default() };
    let config = Config { routes: vec![route], consistency, ..Config::default() };
    configured(cache, record, config).await
}

async fn configured(cache: Arc<Remote>, record: Arc<Remote>, config: Config) -> World {
    let timeouts =
        BackendConfig { timeout: Some(Duration::from_millis(500)), ..BackendConfig::default() };
    let storage = Storage::builder(config)
        .backend("cache", Arc::clone(&cache) as Arc<dyn Backend>, timeouts.clone())
        .backend("db", Arc::clone(&record) as Arc<dyn Backend>, timeouts)
        .open()
        .await
        .unwrap();
    World { storage, cache, record }
}

fn record_route() -> RouteConfig {
    RouteConfig { cache: vec!["cache".into()], record: Some("db".into()), ..RouteConfig::default() }
}

fn failover_route() -> RouteConfig {
    RouteConfig {
        backends: vec!["cache".into(), "db".into()],
        select: Select::Failover,
        ..RouteConfig::default()
    }
}

impl World {
    /// What the cache holds of a key.
    async fn copy(&self, key: &str) -> Option<Bytes> {
        let view = self.storage.road().domains[0].view()?;
        let key = view.key_of(&key.into());
        self.cache.holds(std::str::from_utf8(key.as_bytes()).unwrap()).await
    }

    async fn value(&self, key: &str) -> Option<String> {
        let entry = self.storage.get(key).await.unwrap();
        entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
    }

    async fn source(&self, key: &str) -> String {
        self.storage.get(key).await.unwrap().unwrap().source.to_string()
    }

    async fn until(&self, backend: &str, health: Health) {
        for _ in 0..10_000 {
            let status = self.storage.status();
            if status.backends.iter().any(|found| &*found.name == backend && found.health == health)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{backend} is never {health:?}: {}", self.storage.status().sentence);
    }

    async fn until_cache(&self, done: impl Fn(&crate::status::CacheStatus) -> bool) {
        for _ in 0..10_000 {
            if done(&self.storage.status().caches[0]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never so: {:?}", self.storage.status().caches[0]);
    }

    async fn until_cached(&self, key: &str) {
        for _ in 0..1_000 {
            if self.source(key).await == "cache" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{key} is never cached");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_fills_the_copy_and_a_write_publishes_a_new_one() {
    let world = world(record_route()).await;
    world.storage.set("k", "old").await.unwrap();
    assert_eq!(world.source("k").await, "db");
    world.until_cached("k").await;
    world.storage.set("k", "new").await.unwrap();
    assert_eq!(world.value("k").await.as_deref(), Some("new"));
    world.until_cached("k").await;
    let copy = crate::backend::semantics::copies::read(world.copy("k").await.unwrap());
    let crate::backend::semantics::copies::Seen::Value { value, .. } = copy else {
        panic!("{copy:?}");
    };
    assert_eq!(&*value, b"new");
    world.storage.increment("n", 1).await.unwrap();
    while world.copy("n").await.is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.source("n").await, "db", "what a write does not know is not published");
}

#[tokio::test(start_paused = true)]
async fn a_write_is_acknowledged_one_round_trip_after_its_commit_alone_and_a_copy_is_read_in_one() {
    const ROUND_TRIP: Duration = Duration::from_millis(1);
    let world = world(record_route()).await;
    world.storage.set("k", "old").await.unwrap();
    world.until_cached("k").await;
    let clock = world.storage.clock().clone();
    for value in ["1", "2", "3"] {
        let begun = clock.now();
        world.storage.set("k", value).await.unwrap();
        assert_eq!(clock.now() - begun, 2 * ROUND_TRIP, "the mark, and the commit");
        world.until_cached("k").await;
        let begun = clock.now();
        assert_eq!(world.value("k").await.as_deref(), Some(value));
        assert_eq!(clock.now() - begun, ROUND_TRIP);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_fill_never_brings_an_old_value_back() {
    let world = world(record_route()).await;
    world.storage.set("k", "0").await.unwrap();
    for round in 1..200 {
        let (written, _) =
            tokio::join!(world.storage.set("k", round.to_string()), world.storage.get("k"));
        written.unwrap();
        assert_eq!(world.value("k").await, Some(round.to_string()));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_stale_comes_back_with_the_cache() {
    let world = world(record_route()).await;
    world.storage.set("k", "old").await.unwrap();
    world.until_cached("k").await;
    world.cache.is(REFUSES);
    world.storage.set("k", "new").await.unwrap();
    assert_eq!(world.value("k").await.as_deref(), Some("new"));
    world.until("cache", Health::Down).await;
    assert!(world.copy("k").await.is_some(), "the cache still has the old copy");
    world.cache.is(WELL);
    world.until("cache", Health::Up).await;
    assert_eq!(world.value("k").await.as_deref(), Some("new"));
    world.until_cached("k").await;
    assert_eq!(world.value("k").await.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_cache_costs_at_most_its_patience() {
    let world = world(record_route()).await;
    world.storage.set("k", "v").await.unwrap();
    world.until_cached("k").await;
    world.cache.is(HANGS);
    let clock = world.storage.clock().clone();
    let mut longest = Duration::ZERO;
    for _ in 0..500 {
        let begun = clock.now();
        assert_eq!(world.value("k").await.as_deref(), Some("v"));
        world.storage.set("k", "v").await.unwrap();
        longest = longest.max(clock.now() - begun);
    }
    assert!(longest <= Duration::from_millis(160 + 110), "{longest:?}");
    let begun = clock.now();
    world.value("k").await;
    assert!(
        clock.now() - begun <= Duration::from_millis(5),
        "the breaker is open: the hang costs nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_caller_goes_away_leaves_no_stale_copy() {
    let world = world(record_route()).await;
    world.storage.set("k", "old").await.unwrap();
    world.until_cached("k").await;
    for micros in (0..4_000).step_by(250) {
        let write = world.storage.set("k", format!("new {micros}"));
        let _ = tokio::time::timeout(Duration::from_micros(micros), write).await;
        let truth = world.record.holds("k").await;
        let read = world.storage.get("k").await.unwrap().map(|entry| entry.value);
        assert!(
            read == truth || read == world.record.holds("k").await,
            "{read:?} instead of {truth:?}"
        );
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.until_cached("k").await;
        assert_eq!(
            world.storage.get("k").await.unwrap().map(|entry| entry.value),
            world.record.holds("k").await
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_strict_operation_is_never_repeated_when_it_may_have_been_applied() {
    let world = world(record_route()).await;
    world.storage.increment("n", 1).await.unwrap();
    world.record.is(SWALLOWS);
    let error = world.storage.increment("n", 1).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    world.record.is(WELL);
    assert_eq!(world.record.holds("n").await.as_deref(), Some(&b"2"[..]));
    world.until("db", Health::Up).await;
    assert_eq!(
        world.value("n").await.as_deref(),
        Some("2"),
        "the copy is not trusted after an unknown outcome"
    );
}

#[tokio::test(start_paused = true)]
async fn cached_keys_are_read_while_the_record_is_down_and_the_error_names_everyone() {
    let world = world(record_route()).await;
    world.storage.set("k", "v").await.unwrap();
    world.until_cached("k").await;
    world.record.is(REFUSES);
    world.until("db", Health::Down).await;
    assert_eq!(world.value("k").await.as_deref(), Some("v"));
    let error = world.storage.set("k", "w").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None));
    assert!(error.to_string().contains("db: ") && error.retry_hint().is_some(), "{error}");
    world.cache.is(REFUSES);
    world.until("cache", Health::Down).await;
    let error = world.storage.get("k").await.unwrap_err().to_string();
    assert!(error.contains("db: ") && error.contains("cache: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_default_is_served_stale_when_nothing_else_can_be() {
    let world = world(RouteConfig { default: Some("[]".into()), ..record_route() }).await;
    world.record.is(REFUSES);
    world.until("db", Health::Down).await;
    let entry = world.storage.get("k").await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.stale, &*entry.source), (&b"[]"[..], true, "default"));
}

#[tokio::test(start_paused = true)]
async fn what_a_lower_backend_took_is_moved_up_before_the_higher_one_serves() {
    let world = world(failover_route()).await;
    world.storage.set("k", "old").await.unwrap();
    world.storage.set("gone", "old").await.unwrap();
    world.cache.is(REFUSES);
    world.until("cache", Health::Down).await;
    world.storage.set("k", "new").await.unwrap();
    world.storage.delete("gone").await.unwrap();
    assert_eq!(world.source("k").await, "db");
    world.cache.is(WELL);
    world.until("cache", Health::Up).await;
    assert_eq!(
        (world.value("k").await.as_deref(), world.source("k").await.as_str()),
        (Some("new"), "cache")
    );
    assert_eq!(world.value("gone").await, None);
    assert_eq!(world.record.holds("k").await, None);
}

#[tokio::test(start_paused = true)]
async fn what_memory_took_is_discarded_when_a_shared_backend_returns() {
    let world = world(failover_route()).await;
    world.storage.set("k", "shared").await.unwrap();
    world.cache.is(REFUSES);
    world.record.is(REFUSES);
    world.until("cache", Health::Down).await;
    world.until("db", Health::Down).await;
    world.storage.set("k", "volatile").await.unwrap();
    assert_eq!(world.source("k").await, "memory");
    world.cache.is(WELL);
    world.until("cache", Health::Up).await;
    assert_eq!(world.value("k").await.as_deref(), Some("shared"));
}

#[tokio::test(start_paused = true)]
async fn a_strict_operation_goes_on_to_the_next_backend_only_when_it_was_not_applied() {
    let world = world(failover_route()).await;
    world.cache.is(REFUSES);
    assert_eq!(world.storage.increment("n", 1).await.unwrap(), 1);
    world.cache.is(WELL);
    world.until("cache", Health::Up).await;
    assert_eq!(world.storage.increment("n", 1).await.unwrap(), 2, "the counter has moved up");
    world.cache.is(SWALLOWS);
    let error = world.storage.increment("n", 1).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
}

#[tokio::test(start_paused = true)]
async fn expiry_reaches_the_copy() {
    let world = world(record_route()).await;
    world.storage.set("k", "v").await.unwrap();
    world.storage.expire("k", TtlChange::For(Duration::from_secs(30))).await.unwrap();
    world.until_cached("k").await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(world.value("k").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_copy_filled_by_a_read_of_many_keys_ends_with_its_record() {
    let world = world(record_route()).await;
    let options = crate::SetOptions {
        ttl: TtlChange::For(Duration::from_secs(30)),
        ..crate::SetOptions::default()
    };
    world.storage.set_with("k", "v", options).await.unwrap();
    world.storage.get_many(vec!["k".into()]).await.unwrap();
    world.until_cached("k").await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(world.value("k").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_reply_that_took_long_does_not_outlive_the_record() {
    let world = world(record_route()).await;
    let options = crate::SetOptions {
        ttl: TtlChange::For(Duration::from_secs(2)),
        ..crate::SetOptions::default()
    };
    world.storage.set_with("k", "v", options).await.unwrap();
    let begun = world.storage.clock().now();
    world.record.is(CRAWLS);
    assert_eq!(world.value("k").await.as_deref(), Some("v"));
    world.record.is(WELL);
    world.until_cached("k").await;
    tokio::time::sleep_until(begun + Duration::from_millis(2_001)).await;
    assert_eq!(world.value("k").await, None);
}

#[tokio::test(start_paused = true)]
async fn many_keys_come_from_copies_and_record_together() {
    let world = world(record_route()).await;
    for key in ["a", "b", "c"] {
        world.storage.set(key, key).await.unwrap();
    }
    world.until_cached("a").await;
    let keys = || ["a", "b", "none", "c", "a"].map(crate::Key::from).to_vec();
    let expected = [Some("a"), Some("b"), None, Some("c"), Some("a")]
        .map(|value| value.map(Bytes::from))
        .to_vec();
    assert_eq!(world.storage.get_many(keys()).await.unwrap(), expected);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = world.record.calls.load(Relaxed);
    let op = Op::GetMany { keys: ["a", "b", "c"].map(crate::Key::from).to_vec() };
    let answer = world.storage.execute(&op, CallOptions::default()).await.unwrap();
    assert_eq!((&*answer.source, world.record.calls.load(Relaxed)), ("cache", before));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_reply_was_lost_is_not_repeated_and_leaves_no_stale_copy() {
    let world = world(record_route()).await;
    world.storage.set("k", "old").await.unwrap();
    world.until_cached("k").await;
    world.record.is(BREAKS);
    let error = world.storage.delete("k").await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
    assert_eq!(world.value("k").await, None);
    world.storage.set("k", "new").await.unwrap();
    assert_eq!(world.value("k").await.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_lost_try_may_have_been_applied_says_so_and_is_not_read_from_the_copy() {
    let world = world(record_route()).await;
    world.storage.set("k", "old").await.unwrap();
    world.until_cached("k").await;
    world.record.is(BREAKS_FOR_GOOD);
    let error = world.storage.set("k", "new").await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
    assert_eq!(world.record.holds("k").await.as_deref(), Some(&b"new"[..]));
    world.record.is(WELL);
    world.until("db", Health::Up).await;
    assert_eq!(world.value("k").await.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_finds_nothing_takes_the_copy_with_it() {
    let world = world(record_route()).await;
    world.storage.set("k", "v").await.unwrap();
    world.until_cached("k").await;
    // Another process deletes it and does not reach the cache.
    let op = Op::DeleteMany { keys: vec!["k".into()] };
    let deadline = world.storage.clock().deadline_in(Duration::from_secs(1));
    world.record.memory.execute(&op, deadline).await.unwrap();
    assert!(!world.storage.delete("k").await.unwrap());
    assert_eq!(world.value("k").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_one_timeout_sent_down_is_read_and_is_not_put_over_a_newer_one() {
    let world = world(failover_route()).await;
    world.storage.set("k", "1").await.unwrap();
    world.storage.set("n", "10").await.unwrap();
    world.cache.is(REFUSES_WRITES);
    world.storage.set("k", "2").await.unwrap();
    world.storage.set("n", "20").await.unwrap();
    world.cache.is(WELL);
    assert_eq!(world.value("k").await.as_deref(), Some("2"), "acknowledged by the lower backend");
    assert_eq!(world.storage.increment("n", 1).await.unwrap(), 21);
    world.storage.set("k", "3").await.unwrap();
    // An outage and its readmission later the old overflow must not come back.
    world.cache.is(REFUSES);
    world.until("cache", Health::Down).await;
    world.cache.is(WELL);
    world.until("cache", Health::Up).await;
    assert_eq!(world.value("k").await.as_deref(), Some("3"));
    assert_eq!(world.value("n").await.as_deref(), Some("21"));
    assert_eq!(world.record.holds("k").await, None);
}

#[tokio::test(start_paused = true)]
async fn what_a_lower_backend_refused_to_change_is_not_deleted_above() {
    let world = world(failover_route()).await;
    world.storage.set("session", "v").await.unwrap();
    world.cache.is(REFUSES);
    world.until("cache", Health::Down).await;
    let minute = TtlChange::For(Duration::from_secs(60));
    assert!(!world.storage.expire("session", minute).await.unwrap());
    world.cache.is(WELL);
    world.until("cache", Health::Up).await;
    assert_eq!(world.value("session").await.as_deref(), Some("v"));
}

#[tokio::test(start_paused = true)]
async fn a_lower_backend_that_has_gone_does_not_keep_the_higher_one_from_returning() {
    let world = world(failover_route()).await;
    world.storage.set("k", "old").await.unwrap();
    world.cache.is(REFUSES);
    world.until("cache", Health::Down).await;
    world.storage.set("k", "new").await.unwrap();
    world.record.is(REFUSES);
    world.until("db", Health::Down).await;
    world.cache.is(WELL);
    world.until("cache", Health::Up).await;
    let entry = world.storage.get("k").await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.stale, &*entry.source), (&b"old"[..], true, "cache"));
    let error = world.storage.increment("k", 1).await.unwrap_err();
    assert!(error.to_string().contains("db: "), "{error}");
    world.record.is(WELL);
    world.until("db", Health::Up).await;
    assert_eq!(world.value("k").await.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn no_acknowledged_write_is_lost_while_keys_are_moved_up() {
    let world = world(failover_route()).await;
    for round in 0..30_u64 {
        world.cache.is(REFUSES);
        world.until("cache", Health::Down).await;
        world.storage.set("k", format!("{round}")).await.unwrap();
        world.cache.is(WELL);
        let mut last = String::new();
        for step in 0..600 {
            last = format!("{round}-{step}");
            world.storage.set("k", last.clone()).await.unwrap();
            assert_eq!(world.value("k").await.as_deref(), Some(&*last));
        }
        world.until("cache", Health::Up).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(world.value("k").await, Some(last));
        tokio::time::sleep(Duration::from_secs(61)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_expires_while_it_is_moved_up_does_not_live_for_ever() {
    let world = world(failover_route()).await;
    let options = crate::SetOptions {
        ttl: TtlChange::For(Duration::from_secs(40)),
        ..crate::SetOptions::default()
    };
    world.cache.is(REFUSES);
    world.until("cache", Health::Down).await;
    world.storage.set_with("k", "v", options).await.unwrap();
    world.cache.is(WELL);
    world.until("cache", Health::Up).await;
    assert_eq!(world.source("k").await, "cache");
    tokio::time::sleep(Duration::from_secs(41)).await;
    assert_eq!(world.value("k").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_has_missed_too_much_serves_again_without_an_outage() {
    let world = world(record_route()).await;
    world.storage.set("k", "v").await.unwrap();
    world.until_cached("k").await;
    world.cache.is(REFUSES_WRITES);
    let before = world.storage.status().caches[0].generation;
    let entries = (0..DIRTY_MAX + 1).map(|n| (n.to_string().into(), "v".into())).collect();
    let op = Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false };
    world.storage.execute(&op, CallOptions::default()).await.unwrap();
    // Given up as a whole, and begun anew.
    world.until_cache(|cache| cache.phase == "readmitting").await;
    world.cache.is(WELL);
    world.until_cache(|cache| cache.generation > before).await;
    world.until_cached("k").await;
    assert_eq!(world.storage.status().caches[0].dirty_keys, 0);
}

/// The connection stands, and the server says that it is the same.
#[tokio::test(start_paused = true)]
async fn a_cache_that_is_emptied_right_after_it_was_taken_in_is_begun_anew() {
    let world = world(record_route()).await;
    let nothing = Remote::new(Durability::Volatile).memory.snapshot();
    world.until_cache(|cache| cache.readable).await;
    let before = world.storage.status().caches[0].generation;
    world.cache.memory.restore(&nothing);
    world.until_cache(|cache| cache.readable && cache.generation > before).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_strict_write_of_a_process_without_its_cache_waits_no_longer_than_later_ones() {
    let route = RouteConfig { consistency: Consistency::Strict, ..record_route() };
    let before = world(route.clone()).await;
    let cache = Remote::new(Durability::Volatile);
    cache.is(HANGS);
    let world = world_of(cache, Arc::clone(&before.record), route).await;
    world.storage.set("k", "v").await.unwrap();
    assert_eq!(world.value("k").await.as_deref(), Some("v"));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_cache_and_record_fail_tells_the_reason_of_each() {
    let world = world(record_route()).await;
    world.cache.is(REFUSES);
    world.record.is(REFUSES);
    let error = world.storage.get("k").await.unwrap_err().to_string();
    assert!(error.contains("cache: Connection refused"), "{error}");
    assert!(error.contains("db: Connection refused"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_write_over_several_routes_that_failed_in_part_does_not_say_that_nothing_was_applied() {
    let (one, other) = (Remote::new(Durability::Crash), Remote::new(Durability::Crash));
    let route = |prefix: &str, record: &str| RouteConfig {
        prefix: prefix.into(),
        record: Some(record.into()),
        ..RouteConfig::default()
    };
    let routes = vec![route("a:", "one"), route("b:", "other")];
    let storage = Storage::builder(Config { routes, ..Config::default() })
        .backend("one", Arc::clone(&one) as Arc<dyn Backend>, BackendConfig::default())
        .backend("other", Arc::clone(&other) as Arc<dyn Backend>, BackendConfig::default())
        .open()
        .await
        .unwrap();
    other.is(REFUSES);
    let entries = vec![("a:k".into(), "v".into()), ("b:k".into(), "v".into())];
    let op = Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false };
    let error = storage.execute(&op, CallOptions::default()).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
    assert!(one.holds("a:k").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_degraded_backend_is_not_taken_for_an_empty_one() {
    let world = world(failover_route()).await;
    world.storage.set("k", "v").await.unwrap();
    world.cache.is(REFUSES_WRITES);
    for n in 0..9 {
        world.storage.set(format!("other {n}"), "v").await.unwrap();
        assert_eq!(world.value("k").await.as_deref(), Some("v"));
    }
    world.until("cache", Health::Degraded).await;
    assert_eq!(world.value("k").await.as_deref(), Some("v"));
}

#[tokio::test(start_paused = true)]
async fn a_scan_goes_on_when_another_backend_takes_over_in_its_middle() {
    let world = world(failover_route()).await;
    for n in 0..40 {
        let key = crate::Key::from(format!("k{n}"));
        let set = |value: &'static str| Op::Set {
            key: key.clone(),
            value: value.into(),
            ttl: TtlChange::Clear,
            condition: crate::Condition::Always,
            want_previous: false,
        };
        let deadline = world.storage.clock().deadline_in(Duration::from_secs(1));
        world.cache.memory.execute(&set("v"), deadline).await.unwrap();
        world.record.memory.execute(&set("v"), deadline).await.unwrap();
    }
    let first = world.storage.scan("k", None, 30).await.unwrap();
    world.cache.is(REFUSES);
    world.until("cache", Health::Down).await;
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), first.next);
    while let Some(next) = cursor {
        let page = world.storage.scan("k", Some(next), 30).await.unwrap();
        seen.extend(page.keys);
        cursor = page.next;
    }
    assert_eq!(seen.len(), 40);
}
