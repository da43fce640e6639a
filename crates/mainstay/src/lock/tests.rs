//! Guards, waiting and releasing on the paused clock, against a granter that can fail.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures_util::future::BoxFuture;

use super::*;
use crate::{
    Effect, Op, Reply, Storage,
    backend::{
        Backend, Capabilities, Durability, Feed, ProbeDepth, ProbeReport, Scope, memory::Memory,
    },
    config::{BackendConfig, Config, LockModeConfig, MemoryConfig},
};

mod careless;
mod waits;

/// Memory that plays a server.
#[derive(Debug)]
pub(super) struct Granter {
    memory: Memory,
    durable: bool,
    down: AtomicBool,
    /// Performs, and does not answer.
    mute: AtomicBool,
    /// Before it performs, milliseconds.
    delay_ms: AtomicU64,
    /// Tells of releases, if it does.
    tells: Option<tokio::sync::broadcast::Sender<Key>>,
}

impl Granter {
    pub(super) fn new(clock: &Clock, durable: bool) -> Arc<Self> {
        let memory = Memory::new(&MemoryConfig::default(), 1 << 20, clock.clone());
        let (down, mute) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { memory, durable, down, mute, delay_ms: AtomicU64::new(0), tells: None })
    }

    pub(super) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    /// Restarts empty, as another run.
    pub(super) fn forget(&self, identity: &str, clock: &Clock) {
        let empty = Memory::new(&MemoryConfig::default(), 1 << 20, clock.clone());
        self.memory.restore(&empty.snapshot());
        self.memory.set_identity(identity);
    }

    async fn run(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Disconnected, "it is down"));
        }
        tokio::time::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))).await;
        let reply = self.memory.execute(op, deadline).await;
        if let (Some(tells), Op::Lock(LockOp::Release { name, .. })) = (&self.tells, op) {
            // Nobody may listen.
            drop(tells.send(LockOp::freed(name).into()));
        }
        if self.mute.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        reply
    }
}

impl Backend for Granter {
    fn engine(&self) -> &'static str {
        "granter"
    }

    fn capabilities(&self) -> Capabilities {
        let durability = if self.durable { Durability::Crash } else { Durability::Volatile };
        Capabilities { scope: Scope::Shared, durability, ..self.memory.capabilities() }
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        self.memory.connect(deadline)
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.run(op, deadline))
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        self.memory.probe(depth, deadline)
    }

    fn listen<'a>(&'a self, _: &'a str, _: Deadline) -> BoxFuture<'a, Result<Box<dyn Feed>>> {
        let silent = || Error::new(ErrorKind::Unsupported, "it tells nobody");
        let heard = self.tells.as_ref().map(|tells| waits::Heard(tells.subscribe()));
        Box::pin(async move { heard.map(|heard| Box::new(heard) as _).ok_or_else(silent) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.memory.close()
    }
}

pub(super) fn clock() -> Clock {
    Clock::starting_at(1_700_000_000_000)
}

/// A storage over these granters.
pub(super) async fn storage(
    clock: &Clock,
    granters: &[(&str, &Arc<Granter>)],
    locks: LocksConfig,
) -> Storage {
    let mut config = Config { locks, ..Config::default() };
    config.limits.deadline = Duration::from_secs(2);
    // Each process has numbers of its own.
    static SEED: AtomicU64 = AtomicU64::new(1);
    let entropy = Entropy::seeded(SEED.fetch_add(1, Ordering::Relaxed));
    let mut builder = Storage::builder(config).clock(clock.clone()).entropy(entropy);
    for (name, granter) in granters {
        let mut config = BackendConfig::default();
        // The breaker has tests of its own.
        (config.breaker.failures, config.breaker.calls_min) = (u32::MAX, u32::MAX);
        builder = builder.backend(*name, Arc::clone(granter) as Arc<dyn Backend>, config);
    }
    builder.open().await.unwrap()
}

async fn one() -> (Clock, Arc<Granter>, Storage) {
    let clock = clock();
    let granter = Granter::new(&clock, true);
    let storage = storage(&clock, &[("db", &granter)], LocksConfig::default()).await;
    (clock, granter, storage)
}

pub(super) fn ttl(seconds: u64) -> LockOptions {
    LockOptions { ttl: Some(Duration::from_secs(seconds)), ..LockOptions::default() }
}

fn at_once(options: LockOptions) -> LockOptions {
    LockOptions { wait: Some(Duration::ZERO), ..options }
}

/// Waits, in virtual time, until it holds.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(holds(), "it never came to hold");
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_renewed_while_it_lives_and_released_when_it_is_dropped() {
    let (_, _, storage) = one().await;
    let first = storage.lock_with("a", ttl(3)).await.unwrap().unwrap();
    assert_eq!((first.guarantee(), first.mode()), (Guarantee::Fenced, LockMode::Record));
    tokio::time::sleep(Duration::from_secs(40)).await;
    first.check().unwrap();
    assert!(storage.try_lock("a").await.unwrap().is_none());
    assert_eq!(storage.status().locks.held, 1);
    let token = first.token();
    drop(first);
    let second = storage.lock("a").await.unwrap();
    assert!(second.token() > token);
    assert_eq!(second.release().await, Released::Released);
    until(|| storage.status().locks.releasing == 0).await;
    let status = storage.status().locks;
    assert_eq!((status.held, status.lost, status.unreleased), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stalls_past_its_lease_learns_it_before_it_acts() {
    let (_, _, storage) = one().await;
    let guard = storage.lock_with("a", ttl(3)).await.unwrap().unwrap();
    guard.check().unwrap();
    // Nothing of this process runs meanwhile: no renewal, no timer.
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(guard.check().unwrap_err().kind(), ErrorKind::Fenced);
    guard.lost().await;
    let acted = guard.run(async { "acted" }).await;
    assert_eq!(acted.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(guard.release().await, Released::AlreadyLost);
    assert_eq!(storage.status().locks.lost, 1);
    assert!(storage.events().since(0).iter().any(|event| event.kind.as_str() == "lock"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_is_lost_at_its_end_and_not_before() {
    let (clock, granter, storage) = one().await;
    let guard = storage.lock_with("a", ttl(6)).await.unwrap().unwrap();
    granter.set_down(true);
    let began = clock.now();
    let work = guard.run(std::future::pending::<()>()).await;
    assert_eq!(work.unwrap_err().kind(), ErrorKind::Fenced);
    let lasted = clock.now() - began;
    assert!(lasted > Duration::from_secs(5) && lasted < Duration::from_secs(6), "{lasted:?}");
    granter.set_down(false);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(guard.check().is_err(), "never resurrected");
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_in_the_life_of_a_lease_goes_by() {
    let (_, granter, storage) = one().await;
    let guard = storage.lock_with("a", ttl(9)).await.unwrap().unwrap();
    for _ in 0..5 {
        granter.set_down(true);
        tokio::time::sleep(Duration::from_secs(5)).await;
        granter.set_down(false);
        tokio::time::sleep(Duration::from_secs(5)).await;
        guard.check().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_taken_away_is_lost_with_the_next_renewal() {
    let (clock, granter, storage) = one().await;
    let guard = storage.lock_with("a", ttl(30)).await.unwrap().unwrap();
    let stolen = LockOp::Release { name: Key::from("a"), holder: guard.claim().holder };
    granter
        .memory
        .execute(&stolen.into(), clock.deadline_in(Duration::from_secs(1)))
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(15), guard.lost()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_given_up_is_released() {
    let (_, granter, storage) = one().await;
    granter.mute.store(true, Ordering::Relaxed);
    let asking = storage.lock_with("a", ttl(30));
    let given_up = tokio::time::timeout(Duration::from_millis(100), asking).await;
    assert!(given_up.is_err(), "it was granted, and the answer does not come");
    granter.mute.store(false, Ordering::Relaxed);
    let began = storage.clock().now();
    let guard = storage.lock("a").await.unwrap();
    assert!(storage.clock().now() - began < Duration::from_secs(10), "long before its lease ended");
    guard.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_is_no_lock() {
    let (_, granter, storage) = one().await;
    granter.delay_ms.store(1_000, Ordering::Relaxed);
    let short = LockOptions { ttl: Some(Duration::from_millis(500)), ..LockOptions::default() };
    let error = storage.lock_with("a", at_once(short)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::DeadlineExceeded), "{error:?}");
    assert_eq!(storage.status().locks.held, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_lock_of_its_own_process_is_told_so() {
    let (_, _, storage) = one().await;
    let _guard = storage.lock("a").await.unwrap();
    let error = storage.lock("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(error.message().contains("this very process holds it"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_waiting_of_one_process_are_served_in_their_order_and_two_processes_share() {
    let clock = clock();
    let granter = Granter::new(&clock, true);
    let here = storage(&clock, &[("db", &granter)], LocksConfig::default()).await;
    let there = storage(&clock, &[("db", &granter)], LocksConfig::default()).await;
    let inside = Arc::new(AtomicU64::new(0));
    let last = Arc::new(AtomicU64::new(0));
    let mut contenders = tokio::task::JoinSet::new();
    for number in 0..16 {
        let storage = if number % 2 == 0 { here.clone() } else { there.clone() };
        let (inside, last) = (Arc::clone(&inside), Arc::clone(&last));
        contenders.spawn(async move {
            for _ in 0..5 {
                let guard = storage.lock_with("a", ttl(5)).await.unwrap().unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "one at a time");
                assert!(guard.token() > last.swap(guard.token(), Ordering::Relaxed));
                tokio::time::sleep(Duration::from_millis(7)).await;
                guard.check().unwrap();
                inside.fetch_sub(1, Ordering::Relaxed);
                assert_eq!(guard.release().await, Released::Released);
            }
        });
    }
    contenders.join_all().await;
    assert!(last.load(Ordering::Relaxed) >= 80);
}

#[tokio::test(start_paused = true)]
async fn a_wait_goes_on_through_an_outage() {
    let (_, granter, storage) = one().await;
    granter.set_down(true);
    let back = Arc::clone(&granter);
    let mending = async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        back.set_down(false);
    };
    let (guard, ()) = tokio::join!(storage.lock("a"), mending);
    guard.unwrap().check().unwrap();
    granter.set_down(true);
    let error = storage.try_lock("b").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::None));
}

#[tokio::test(start_paused = true)]
async fn a_guarantee_that_is_not_given_is_refused() {
    let clock = clock();
    let redis = Granter::new(&clock, false);
    let storage = storage(&clock, &[("redis", &redis)], LocksConfig::default()).await;
    let locks = storage.locks();
    assert_eq!(
        (locks.mode(), locks.guarantee()),
        (Some(LockMode::Redis), Some(Guarantee::BestEffort))
    );
    let wanted = LockOptions { require: Some(Guarantee::Fenced), ..LockOptions::default() };
    let error = storage.lock_with("a", wanted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let wanted = LockOptions { require: Some(Guarantee::BestEffort), ..LockOptions::default() };
    assert!(storage.lock_with("a", wanted).await.unwrap().is_some());
    for (options, name) in [(ttl(3600), "a"), (ttl(5), "")] {
        let error = storage.lock_with(name, options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_renewed_and_released_from_anywhere() {
    let clock = clock();
    let granter = Granter::new(&clock, true);
    let here = storage(&clock, &[("db", &granter)], LocksConfig::default()).await;
    let there = storage(&clock, &[("db", &granter)], LocksConfig::default()).await;
    let Asked::Granted(grant) = here.locks().ask("a", &at_once(ttl(5))).await.unwrap() else {
        unreachable!("it is free")
    };
    match there.locks().ask("a", &at_once(ttl(5))).await.unwrap() {
        Asked::Held { note, .. } => assert!(note.starts_with("process "), "{note}"),
        Asked::Granted(_) => unreachable!("it is held"),
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let renewed = there.locks().renew(&grant.claim, Duration::from_secs(9)).await.unwrap();
    assert!(renewed.unwrap().left > Duration::from_secs(8));
    let page = here.locks().list(None, 10).await.unwrap();
    assert_eq!((page.rows.len(), page.rows[0].token), (1, grant.claim.token));
    assert_eq!(there.locks().release(&grant.claim).await.unwrap(), Released::Released);
    assert_eq!(here.locks().release(&grant.claim).await.unwrap(), Released::AlreadyLost);
    assert!(here.locks().renew(&grant.claim, Duration::from_secs(9)).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn closing_sends_what_waits_to_be_released() {
    let clock = clock();
    let granter = Granter::new(&clock, true);
    let here = storage(&clock, &[("db", &granter)], LocksConfig::default()).await;
    drop(here.lock("a").await.unwrap());
    assert!(here.close(Duration::from_secs(5)).await);
    assert_eq!(here.lock("a").await.unwrap_err().kind(), ErrorKind::Closed);
    // It closed the granter, too.
    granter.memory.connect(clock.deadline_in(Duration::from_secs(1))).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_write_under_a_lock_that_was_lost_is_refused() {
    let clock = clock();
    let granter = Granter::new(&clock, true);
    let here = storage(&clock, &[("db", &granter)], LocksConfig::default()).await;
    let there = storage(&clock, &[("db", &granter)], LocksConfig::default()).await;
    let under = |guard: &LockGuard| crate::SetOptions {
        fence: Some(guard.fence()),
        ..crate::SetOptions::default()
    };
    let old = here.lock_with("a", LockOptions { renew: false, ..ttl(2) }).await.unwrap().unwrap();
    assert!(here.set_with("k", "old", under(&old)).await.unwrap().applied);
    let new = there.lock_with("a", ttl(5)).await.unwrap().unwrap();
    // Nobody wrote under the new token yet: the fence has not seen it.
    assert!(there.set_with("k", "new", under(&new)).await.unwrap().applied);
    let error = here.set_with("k", "old again", under(&old)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Fenced, Effect::None), "{error}");
    assert_eq!(here.get("k").await.unwrap().unwrap().value, "new");
    let redis = Granter::new(&clock, false);
    let alone = storage(&clock, &[("redis", &redis)], LocksConfig::default()).await;
    let guard = alone.lock("a").await.unwrap();
    let error = alone.set_with("k", "v", under(&guard)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test(start_paused = true)]
async fn one_leads_at_a_time_and_the_other_follows_when_it_resigns_or_is_lost() {
    let clock = clock();
    let granter = Granter::new(&clock, true);
    let here = storage(&clock, &[("db", &granter)], LocksConfig::default()).await;
    let there = storage(&clock, &[("db", &granter)], LocksConfig::default()).await;
    let note = |note: &str| LockOptions { note: Some(note.to_owned()), ..ttl(3) };
    let mut first = here.campaign("leader", note("one")).unwrap();
    let term = first.leading().await.unwrap();
    let mut second = there.campaign("leader", note("two")).unwrap();
    match second.changed().await.unwrap() {
        Leadership::Following(leader) => assert_eq!(leader.as_deref(), Some("one")),
        Leadership::Leading(_) => unreachable!("one leads"),
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    term.check().unwrap();
    assert_eq!(first.resign().await, Released::Released);
    term.over().await;
    assert_eq!(term.check().unwrap_err().kind(), ErrorKind::Fenced);
    let next = second.leading().await.unwrap();
    assert!(next.token() > term.token());
    granter.set_down(true);
    next.over().await;
    assert!(matches!(second.changed().await, Some(Leadership::Following(None))));
    granter.set_down(false);
    assert!(second.leading().await.unwrap().token() > next.token());
    drop(second);
    let mut third = here.campaign("leader", note("three")).unwrap();
    third.leading().await.unwrap();
    assert!(here.campaign("", LockOptions::default()).is_err());
    assert!(here.close(Duration::from_secs(5)).await);
    while third.changed().await.is_some() {}
}

fn several(mode: LockModeConfig, backends: &[&str]) -> LocksConfig {
    let backends = backends.iter().map(|name| (*name).to_owned()).collect();
    LocksConfig { mode, backends, ttl_max: Duration::from_secs(10), ..LocksConfig::default() }
}

async fn three() -> (Clock, [Arc<Granter>; 3], Storage) {
    let clock = clock();
    let granters = [false, true, true].map(|durable| Granter::new(&clock, durable));
    let [a, b, c] = &granters;
    for (granter, name) in granters.iter().zip(["a", "b", "c"]) {
        granter.memory.set_identity(name);
    }
    let locks = several(LockModeConfig::Quorum, &["a", "b", "c"]);
    let storage = storage(&clock, &[("a", a), ("b", b), ("c", c)], locks).await;
    (clock, granters, storage)
}

#[tokio::test(start_paused = true)]
async fn a_quorum_begins_after_the_longest_lease_and_survives_any_minority() {
    let (clock, granters, storage) = three().await;
    let began = clock.now();
    let error = storage.try_lock("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "nobody may vote yet: {error}");
    let first = storage.lock_with("a", ttl(5)).await.unwrap().unwrap();
    assert!(clock.now() - began >= Duration::from_secs(10));
    assert_eq!((first.guarantee(), first.mode()), (Guarantee::Fenced, LockMode::Quorum));
    let mut last = first.token();
    assert_eq!(first.release().await, Released::Released);
    for down in 0..3 {
        granters[down].set_down(true);
        let guard = storage.lock_with("a", ttl(5)).await.unwrap().unwrap();
        assert!(guard.token() > last);
        last = guard.token();
        tokio::time::sleep(Duration::from_secs(20)).await;
        guard.check().unwrap();
        assert!(storage.try_lock("a").await.unwrap().is_none());
        granters[down].set_down(false);
        tokio::time::sleep(Duration::from_secs(5)).await;
        // It holds on the one that was away, too: another may go.
        granters[(down + 1) % 3].set_down(true);
        tokio::time::sleep(Duration::from_secs(20)).await;
        guard.check().unwrap();
        granters[(down + 1) % 3].set_down(false);
        drop(guard);
        until(|| storage.status().locks.releasing == 0).await;
    }
    granters[0].set_down(true);
    granters[1].set_down(true);
    assert_eq!(storage.try_lock("a").await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_forgot_sits_out_and_then_votes_with_the_counters_of_the_others() {
    let (clock, granters, storage) = three().await;
    let guard = storage.lock_with("a", ttl(5)).await.unwrap().unwrap();
    let token = guard.token();
    granters[0].forget("a-again", &clock);
    granters[1].set_down(true);
    let error = storage.lock_with("b", at_once(ttl(5))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "one vote is left: {error}");
    granters[1].set_down(false);
    drop(guard);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let admitted = |event: &Arc<crate::Event>| {
        let admitted = crate::EventKind::Lock { state: "admitted" };
        event.kind == admitted && event.backend.as_deref() == Some("a")
    };
    assert_eq!(storage.events().since(0).iter().filter(|event| admitted(event)).count(), 2);
    granters[2].set_down(true);
    granters[1].set_down(false);
    let guard = storage.lock_with("a", ttl(5)).await.unwrap().unwrap();
    assert!(guard.token() > token, "{} after {token}", guard.token());
}

async fn two() -> (Clock, [Arc<Granter>; 2], Storage) {
    let clock = clock();
    let granters = [false, true].map(|durable| Granter::new(&clock, durable));
    granters[0].memory.set_identity("run1");
    let locks = several(LockModeConfig::Failover, &["redis", "db"]);
    let [redis, db] = &granters;
    let storage = storage(&clock, &[("redis", redis), ("db", db)], locks).await;
    (clock, granters, storage)
}

#[tokio::test(start_paused = true)]
async fn the_authority_moves_to_the_database_after_every_lease_has_ended_and_back() {
    let (clock, granters, storage) = two().await;
    let guard = storage.lock_with("a", ttl(5)).await.unwrap().unwrap();
    assert_eq!(storage.status().locks.authority, Some(("redis".into(), 1)));
    let token = guard.token();
    granters[0].set_down(true);
    let lost_at = async {
        guard.lost().await;
        clock.now()
    };
    let next = async {
        let long = LockOptions { wait: Some(Duration::from_secs(600)), ..ttl(5) };
        let guard = storage.lock_with("a", long).await;
        (guard, clock.now())
    };
    // The second asks in another process: here it would wait for the first guard's turn.
    let (lost_at, (second, granted_at)) = tokio::join!(lost_at, next);
    let second = second.unwrap().unwrap();
    assert!(lost_at < granted_at && second.token() > token);
    assert_eq!(storage.status().locks.authority, Some(("db".into(), 2)));
    second.release().await;
    granters[0].set_down(false);
    tokio::time::sleep(Duration::from_secs(180)).await;
    let third = storage.lock_with("a", ttl(5)).await.unwrap().unwrap();
    assert_eq!(storage.status().locks.authority, Some(("redis".into(), 3)));
    assert!(third.token() > token);
}

#[tokio::test(start_paused = true)]
async fn a_redis_that_forgot_grants_under_a_new_epoch_and_after_a_wait() {
    let (clock, granters, storage) = two().await;
    let other = {
        let [redis, db] = &granters;
        let locks = several(LockModeConfig::Failover, &["redis", "db"]);
        self::storage(&clock, &[("redis", redis), ("db", db)], locks).await
    };
    let guard = storage.lock_with("a", ttl(8)).await.unwrap().unwrap();
    granters[0].forget("run2", &clock);
    let long = LockOptions { wait: Some(Duration::from_secs(600)), ..ttl(5) };
    let second = other.lock_with("a", long).await.unwrap().unwrap();
    assert!(!guard.is_held(), "its lease had ended before another was granted it");
    assert!(second.token() > guard.token());
    assert_eq!(other.status().locks.authority, Some(("redis".into(), 2)));
}

#[tokio::test(start_paused = true)]
async fn while_the_database_is_down_redis_grants_only_as_long_as_the_view_lasts() {
    let (_, granters, storage) = two().await;
    drop(storage.lock_with("a", ttl(5)).await.unwrap().unwrap());
    until(|| storage.status().locks.releasing == 0).await;
    granters[1].set_down(true);
    drop(storage.lock_with("a", at_once(ttl(5))).await.unwrap().unwrap());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let error = storage.lock_with("a", at_once(ttl(5))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
}

#[test]
fn a_mode_needs_backends_that_fit() {
    let locks = |mode, backends: &[&str]| {
        let backends = backends.iter().map(|name| (*name).to_owned()).collect();
        LocksConfig { mode, backends, ..LocksConfig::default() }
    };
    let check = |locks| {
        let mut config = Config { locks, ..Config::default() };
        for name in ["a", "b", "c", "d"] {
            config.backends.insert(name.into(), BackendConfig::at("redis://127.0.0.1:1"));
        }
        config.validate()
    };
    check(locks(LockModeConfig::Quorum, &["a", "b", "c"])).unwrap();
    check(locks(LockModeConfig::Failover, &["a", "b"])).unwrap();
    for (mode, backends) in [
        (LockModeConfig::Auto, &["a"][..]),
        (LockModeConfig::Quorum, &["a", "b"]),
        (LockModeConfig::Quorum, &["a", "b", "c", "d"]),
        (LockModeConfig::Quorum, &["a", "b", "b"]),
        (LockModeConfig::Quorum, &["a", "b", "x"]),
        (LockModeConfig::Failover, &["a"]),
        (LockModeConfig::Redis, &["a", "b"]),
    ] {
        let error = check(locks(mode, backends)).unwrap_err();
        assert!(error.message().starts_with("locks.backends"), "{error}");
    }
}
