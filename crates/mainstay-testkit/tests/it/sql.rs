//! What the SQL backends have to do alike when something goes wrong; the engines' modules bring the servers.
//! Knows nothing of any engine.

use bytes::Bytes;
use mainstay::backend::{Backend, ProbeDepth};
use mainstay::config::BackendConfig;
use mainstay::op::{Counting, Ground, LockOp, Waiter};
use mainstay::reply::Locked;
use mainstay::{Condition, Deadline, Effect, Error, ErrorKind, Key, Op, Reply, Result, TtlChange};
use mainstay_testkit::proxy::{Proxy, Toxics};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) const VALUE_MAX: usize = 8 << 20;

/// Makes an adapter; the engine's constructor.
pub(crate) type New = fn(&BackendConfig) -> Result<Arc<dyn Backend>>;

pub(crate) fn soon() -> Deadline {
    Deadline::at(Instant::now() + Duration::from_millis(400))
}

/// For a call whose answer is lost: time enough for the server to have performed it.
pub(crate) fn unanswered() -> Deadline {
    Deadline::at(Instant::now() + Duration::from_secs(2))
}

pub(crate) fn generous() -> Deadline {
    Deadline::at(Instant::now() + Duration::from_secs(30))
}

pub(crate) fn config(url: &str, connections: usize) -> BackendConfig {
    BackendConfig {
        connections: Some(connections),
        connect_timeout: Duration::from_secs(10),
        timeout: Some(Duration::from_secs(10)),
        ..BackendConfig::at(url)
    }
}

pub(crate) async fn connected(new: New, url: &str, connections: usize) -> Arc<dyn Backend> {
    let backend = new(&config(url, connections)).unwrap();
    backend.connect(generous()).await.unwrap();
    backend
}

pub(crate) fn set(key: &str, value: &'static str) -> Op {
    Op::Set {
        key: Key::from(key),
        value: Bytes::from(value),
        ttl: TtlChange::Clear,
        condition: Condition::Always,
        want_previous: false,
    }
}

pub(crate) fn get(key: &str) -> Op {
    Op::Get { key: Key::from(key), with_ttl: false }
}

pub(crate) fn increment(key: &str) -> Op {
    Op::Increment { key: Key::from(key), by: 1 }
}

pub(crate) async fn done(backend: &Arc<dyn Backend>, op: Op) -> Reply {
    backend.execute(&op, generous()).await.unwrap()
}

pub(crate) async fn value(backend: &Arc<dyn Backend>, key: &str) -> Option<Bytes> {
    done(backend, get(key)).await.into_record().unwrap().map(|record| record.value)
}

async fn refused(backend: &Arc<dyn Backend>, op: Op, deadline: Deadline) -> Error {
    let began = Instant::now();
    let error = backend.execute(&op, deadline).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "a call ends soon after its deadline");
    error
}

/// The server says nothing: calls end in time, a write that was sent is in doubt, and when the server goes on, no
/// answer of before reaches a call of after.
pub(crate) async fn silence(backend: &Arc<dyn Backend>, stop: impl Fn(), cont: impl Fn()) {
    done(backend, set("silence", "before")).await;
    done(backend, increment("silence:n")).await;
    stop();
    let read = loop {
        // The signal may take a moment to reach the thread that serves this connection.
        if let Err(error) = backend.execute(&get("silence"), soon()).await {
            break error;
        }
    };
    assert_eq!((read.kind(), read.effect()), (ErrorKind::Timeout, Effect::None), "{read}");
    let write = refused(backend, set("silence", "during"), soon()).await;
    assert_eq!(write.kind(), ErrorKind::Timeout, "{write}");
    let relative = refused(backend, increment("silence:n"), soon()).await;
    assert_eq!((relative.kind(), relative.effect()), (ErrorKind::Timeout, Effect::None));
    cont();
    done(backend, set("silence", "after")).await;
    assert_eq!(value(backend, "silence").await.as_deref(), Some(b"after".as_slice()));
    assert_eq!(value(backend, "silence:n").await.as_deref(), Some(b"1".as_slice()));
}

/// The only connection is busy: the next call is refused in time, before anything is sent.
pub(crate) async fn exhausted(backend: &Arc<dyn Backend>, key: &str) {
    let blocked = {
        let (backend, op) = (Arc::clone(backend), increment(key));
        tokio::spawn(async move { backend.execute(&op, generous()).await })
    };
    loop {
        // Until the other call holds the connection, this one may get it and wait for the lock itself.
        let error = refused(backend, increment(key), soon()).await;
        assert_eq!(error.effect(), Effect::None, "{error}");
        if error.kind() == ErrorKind::Overloaded {
            break;
        }
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    blocked.abort();
}

/// Calls that are dropped at any time leave every connection in step.
pub(crate) async fn dropped(backend: &Arc<dyn Backend>) {
    let ops = [
        get("dropped"),
        set("dropped", "v"),
        increment("dropped:n"),
        Op::GetMany { keys: vec![Key::from("dropped"), Key::from("dropped:n")] },
    ];
    let mut unfinished = 0;
    for round in 0..400_u64 {
        let op = &ops[usize::try_from(round % 4).unwrap()];
        let limit = Duration::from_micros(round * 37 % 1500);
        let call = backend.execute(op, generous());
        unfinished += u32::from(tokio::time::timeout(limit, call).await.is_err());
        if round % 20 == 0 {
            done(backend, set("check", "in step")).await;
            assert_eq!(value(backend, "check").await.as_deref(), Some(b"in step".as_slice()));
        }
    }
    assert!(unfinished > 0, "some calls were dropped under way");
}

/// A connection that is cut while it carries a probe says nothing of the server: a new one does.
pub(crate) async fn cut_under_the_probe(backend: &Arc<dyn Backend>, proxy: &Proxy) {
    let open = proxy.accepted();
    proxy.set(Toxics::partition()).await;
    let mut probe = backend.probe(ProbeDepth::Ping, generous());
    // Polled at once: it is under way by then.
    let early = tokio::time::timeout(Duration::from_millis(100), &mut probe).await;
    assert!(early.is_err(), "nothing answers: {early:?}");
    proxy.cut().await;
    proxy.heal().await;
    assert!(probe.await.unwrap().reconnected, "the connection was cut under the probe");
    assert_eq!(proxy.accepted(), open + 1);
}

/// Many processes that find an empty database all start.
pub(crate) async fn created_at_once(new: New, url: &str) {
    let mut starts = JoinSet::new();
    for _ in 0..12 {
        let url = url.to_owned();
        starts.spawn(async move { connected(new, &url, 1).await.close().await });
    }
    starts.join_all().await;
    let backend = connected(new, url, 1).await;
    let probe = backend.probe(ProbeDepth::WriteRead, generous()).await.unwrap();
    assert!(probe.facts.iter().any(|(name, _)| *name == "version"));
}

/// The table of locks as schema 3 had it, with one lock that was released.
pub(crate) const SCHEMA_3: &str = "alter table mainstay_lock drop column waiter, \
     drop column waiter_since_us, drop column waiter_until_us, drop column waiter_token; \
     update mainstay_meta set schema_version = 3; \
     insert into mainstay_lock (name, holder, token, expires_us, note) values ('a', null, 41, 0, 'n')";

/// A lock of schema 3 goes on counting.
pub(crate) async fn goes_on_counting(backend: &Arc<dyn Backend>) {
    let op = LockOp::Acquire {
        name: Key::from("a"),
        holder: 1,
        ttl: Duration::from_secs(60),
        counting: Counting::Here,
        note: String::new(),
        ground: Ground::Free,
        waiter: Some(Waiter { process: 1, waited: Duration::ZERO }),
    };
    let locked = done(backend, op.into()).await.into_locked().unwrap();
    assert!(matches!(locked, Locked::Granted { token: 42, .. }), "{locked:?}");
}

/// What connecting answers.
pub(crate) async fn connecting(new: New, url: &str) -> Error {
    new(&config(url, 1)).unwrap().connect(generous()).await.unwrap_err()
}

/// Multi-key writes over the same keys in any order: nothing is lost, and nobody waits in a circle.
pub(crate) async fn crossing(backend: &Arc<dyn Backend>) {
    let mut tasks = JoinSet::new();
    for task in 0..16_usize {
        let backend = Arc::clone(backend);
        tasks.spawn(async move {
            for round in 0..20 {
                let key = |n: usize| Key::from(format!("cross:{}", (task * 7 + round * 3 + n) % 5));
                let entries = (0..3).map(|n| (key(n), Bytes::from("1"))).collect();
                let op = match (task + round) % 4 {
                    0 => Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false },
                    1 => Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: true },
                    2 => Op::DeleteMany { keys: vec![key(2), key(0), key(1)] },
                    _ => Op::Move { from: key(1), to: key(0), keep_source: true, replace: true },
                };
                // A deadlock is broken by the server at once and has no effect: the road tries again.
                while let Err(error) = backend.execute(&op, generous()).await {
                    if error.kind() == ErrorKind::NoSuchKey {
                        break;
                    }
                    let found = (error.kind(), error.effect());
                    assert_eq!(found, (ErrorKind::Conflict, Effect::None), "{error}");
                }
            }
        });
    }
    tasks.join_all().await;
}
