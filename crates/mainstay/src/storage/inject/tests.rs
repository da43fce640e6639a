//! Faults on a whole storage over a scripted backend, on paused time.

use std::{sync::atomic::Ordering, time::Duration};

use super::*;
use crate::{
    Config, Effect, EventKind, FaultKind,
    backend::{Backend, Scope},
    clock::Clock,
    config::{BackendConfig, RouteConfig},
    entropy::Entropy,
    entry::Key,
    guard::fake::{Fake, Mode},
    status::{BackendStatus, BreakerState, Health},
};

struct Stand {
    fake: Arc<Fake>,
    storage: Storage,
}

impl Stand {
    async fn open() -> Self {
        let fake = Fake::new(Scope::Shared);
        let route = RouteConfig {
            backends: vec!["redis".to_owned(), Config::MEMORY.to_owned()],
            ..RouteConfig::default()
        };
        let config = Config { routes: vec![route], ..Config::default() };
        let storage = Storage::builder(config)
            .backend("redis", Arc::clone(&fake) as Arc<dyn Backend>, BackendConfig::default())
            .clock(Clock::starting_at(0))
            .entropy(Entropy::seeded(3))
            .open()
            .await
            .unwrap();
        let stand = Self { fake, storage };
        stand.until("up", |redis| redis.health == Health::Up).await;
        stand
    }

    fn redis(&self) -> BackendStatus {
        let backends = self.storage.status().backends;
        backends.into_iter().find(|backend| &*backend.name == "redis").unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&BackendStatus) -> bool) {
        for _ in 0..600_000 {
            if holds(&self.redis()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {what}: {:?}", self.redis());
    }

    fn inject(&self, fault: Fault) -> Result<Injection> {
        self.storage.inject("redis", fault, "a test", &Actor::new("http 127.0.0.1"))
    }

    /// Calls of the backend itself, one by one; how many were refused.
    async fn refused_of(&self, key: &str, calls: u32) -> u32 {
        let road = self.storage.road();
        let node = road.nodes.iter().find(|node| &**node.name() == "redis").unwrap();
        let op = crate::Op::Get { key: Key::from(key), with_ttl: false };
        let mut refused = 0;
        for _ in 0..calls {
            let deadline = road.clock.deadline_in(Duration::from_secs(5));
            refused += u32::from(crate::guard::call(node, &op, deadline).await.is_err());
        }
        refused
    }

    fn told(&self) -> Vec<String> {
        let events = self.storage.events().since(0);
        let drills = events.iter().filter(|event| matches!(event.kind, EventKind::Drill { .. }));
        drills.map(ToString::to_string).collect()
    }
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

#[tokio::test(start_paused = true)]
async fn a_whole_fault_takes_the_backend_down_and_lifting_brings_it_back() {
    let stand = Stand::open().await;
    let (probes, executes) = (&stand.fake.probes, &stand.fake.executes);
    let injection = stand.inject(Fault::outage(minute())).unwrap();
    let before = (probes.load(Ordering::SeqCst), executes.load(Ordering::SeqCst));
    stand.until("down", |redis| redis.health == Health::Down).await;
    stand.until("tried again", |redis| redis.reconnect.attempts > 2).await;
    assert_eq!(stand.refused_of("k", 3).await, 3);
    let after = (probes.load(Ordering::SeqCst), executes.load(Ordering::SeqCst));
    assert_eq!(before, after, "the backend itself is left alone");
    let status = stand.storage.status();
    assert!(
        status.sentence.contains("A drill is under way: Mainstay refuses every call before redis"),
        "{}",
        status.sentence
    );
    assert!(status.sentence.contains("injected by a drill"), "{}", status.sentence);
    let shown = stand.redis().injected.unwrap();
    assert_eq!((shown.reason.as_str(), shown.actor.as_str()), ("a test", "http 127.0.0.1"));
    drop(injection);
    stand
        .until("back", |redis| {
            redis.health == Health::Up && redis.breaker.state == BreakerState::Closed
        })
        .await;
    assert_eq!(stand.redis().injected, None);
    assert_eq!(stand.refused_of("k", 3).await, 0);
    let begun = "redis fault injected: refuses every call: a test (by http 127.0.0.1)";
    let ended = "redis fault lifted: no longer wanted (by http 127.0.0.1)";
    assert_eq!(stand.told(), [begun, ended]);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_calls_is_met_and_none_but_those_of_the_prefix() {
    let stand = Stand::open().await;
    let config = |share, prefix| Fault { share, prefix, ..Fault::outage(minute()) };
    let injection = stand.inject(config(0.2, None)).unwrap();
    let refused = stand.refused_of("k", 40).await;
    assert!((1..20).contains(&refused), "{refused} of 40");
    injection.lift("enough");
    let injection = stand.inject(config(1.0, Some(Key::from("user:")))).unwrap();
    assert_eq!(stand.refused_of("order:1", 20).await, 0);
    assert_eq!(stand.refused_of("user:1", 1).await, 1);
    assert_eq!(stand.redis().health, Health::Up, "probes go on");
    drop(injection);
}

#[tokio::test(start_paused = true)]
async fn it_ends_by_itself_also_where_no_call_comes() {
    let stand = Stand::open().await;
    let injection = stand.inject(Fault::outage(Duration::from_secs(2))).unwrap();
    assert!(injection.lasts());
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert!(!injection.lasts());
    assert_eq!(stand.redis().injected, None);
    assert_eq!(stand.told()[1], "redis fault lifted: its time is over");
    drop(injection);
    assert_eq!(stand.told().len(), 2, "it is told of once");
}

#[tokio::test(start_paused = true)]
async fn there_is_one_at_a_time_and_not_before_memory() {
    let stand = Stand::open().await;
    let kind = |result: Result<Injection>| result.map(drop).unwrap_err().kind();
    let injection = stand.inject(Fault::outage(minute())).unwrap();
    assert_eq!(kind(stand.inject(Fault::outage(minute()))), ErrorKind::Conflict);
    drop(injection);
    drop(stand.inject(Fault::outage(minute())).unwrap());
    let on = |name| stand.storage.inject(name, Fault::outage(minute()), "", &Actor::PROGRAM);
    assert_eq!(kind(on("memory")), ErrorKind::InvalidArgument);
    assert_eq!(kind(on("nobody")), ErrorKind::InvalidArgument);
    assert!(stand.storage.close(Duration::from_secs(1)).await);
    assert_eq!(kind(on("redis")), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_or_is_late_has_had_no_effect() {
    let stand = Stand::open().await;
    let road = stand.storage.road();
    let node = &road.nodes[0];
    let (key, value) = (Key::from("k"), "v".into());
    let (ttl, condition) = (crate::TtlChange::Clear, crate::Condition::Always);
    let op = crate::Op::Set { key, value, ttl, condition, want_previous: false };
    for what in [FaultKind::Hang, FaultKind::Refuse, FaultKind::Error(ErrorKind::Overloaded)] {
        let injection = stand.inject(Fault { what, ..Fault::outage(minute()) }).unwrap();
        let deadline = road.clock.deadline_in(Duration::from_secs(5));
        let error = crate::guard::call(node, &op, deadline).await.unwrap_err();
        assert_eq!(error.effect(), Effect::None, "{error}");
        drop(injection);
        stand
            .until("back", |redis| {
                redis.health == Health::Up && redis.breaker.state == BreakerState::Closed
            })
            .await;
    }
    let what = FaultKind::Slow(Duration::from_millis(100));
    let injection = stand.inject(Fault { what, ..Fault::outage(minute()) }).unwrap();
    let began = road.clock.now();
    stand.fake.set_execute(Mode::Serve);
    assert_eq!(stand.refused_of("k", 1).await, 0);
    assert!(road.clock.now() - began >= Duration::from_millis(100));
    drop(injection);
}
