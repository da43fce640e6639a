//! Connecting, probing, purging, deadlines, and the end.
//! Knows nothing of what happens when an engine fails: those are the fault suites.

use super::subject::{deadline, set};
use super::{Check, Subject};
use bytes::Bytes;
use mainstay::backend::{Backend, Durability, ProbeDepth};
use mainstay::{Condition, Deadline, Effect, ErrorKind, Op, TtlChange};
use std::sync::Arc;
use std::time::Duration;

pub(super) const UNCONNECTED: Check =
    Check::new("lifecycle: before connect, calls fail at once", |s| Box::pin(unconnected(s)));
pub(super) const CLOSED: Check =
    Check::new("lifecycle: after close, calls fail at once", |s| Box::pin(closed(s)));

pub(super) const CHECKS: &[Check] = &[
    Check::new("lifecycle: probes answer and leave nothing behind", |s| Box::pin(probes(s))),
    Check::new("lifecycle: connecting again keeps what is durable", |s| Box::pin(reconnect(s))),
    Check::new("lifecycle: connecting again under load", |s| Box::pin(reconnect_under_load(s))),
    Check::new("lifecycle: a deadline that has passed ends the call", |s| Box::pin(late(s))),
    Check::new("lifecycle: purging removes only what has expired", |s| Box::pin(purge(s))),
];

pub(super) async fn connect(backend: &Arc<dyn Backend>) {
    let connected = backend.connect(deadline()).await;
    assert!(connected.is_ok(), "cannot connect to {}: {connected:?}", backend.engine());
}

/// Refused at once and without effect; an engine inside this process may be there from the start.
async fn unconnected(s: Subject) {
    let op = set(&s.key("k"), "v", TtlChange::Clear, Condition::Always);
    match s.execute(&op).await {
        Ok(_) => assert!(s.delete(&s.key("k")).await, "an engine that takes a write has it"),
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::OutOfUse | ErrorKind::Disconnected),
                "{error:?}"
            );
            assert_eq!(error.effect(), Effect::None);
        }
    }
}

async fn closed(s: Subject) {
    s.backend().close().await;
    for op in [
        set(&s.key("k"), "v", TtlChange::Clear, Condition::Always),
        Op::Count { prefix: s.prefix() },
    ] {
        let refused = s.refused(op).await;
        assert_eq!(refused, ErrorKind::OutOfUse);
    }
    s.backend().close().await;
}

async fn probes(s: Subject) {
    let before = s.count(&Bytes::new()).await;
    for depth in [ProbeDepth::Ping, ProbeDepth::WriteRead, ProbeDepth::WriteRead] {
        let probed = s.backend().probe(depth, deadline()).await;
        assert!(probed.is_ok(), "{depth:?}: {probed:?}");
    }
    assert_eq!(s.count(&Bytes::new()).await, before, "a probe leaves no key of the users'");
}

async fn reconnect(s: Subject) {
    let key = s.key("k");
    s.set(&key, "v").await;
    connect(s.backend()).await;
    let found = s.value(&key).await;
    assert!(
        found.is_some() || s.capabilities().durability == Durability::Volatile,
        "durable means durable"
    );
    s.set(&key, "w").await;
    assert_eq!(s.value(&key).await, Some(Bytes::from("w")));
}

/// Calls that run while the client is exchanged succeed, or fail in the way of a lost connection.
async fn reconnect_under_load(s: Subject) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let s = s.clone();
        tasks.spawn(async move {
            for _ in 0..20 {
                let op = set(&s.key(number.to_string()), "v", TtlChange::Clear, Condition::Always);
                if let Err(error) = s.execute(&op).await {
                    let lost =
                        matches!(error.kind(), ErrorKind::OutOfUse | ErrorKind::Disconnected);
                    assert!(lost, "{error:?}");
                }
            }
        });
    }
    for _ in 0..3 {
        connect(s.backend()).await;
    }
    tasks.join_all().await;
    s.set(&s.key("after"), "v").await;
}

async fn late(s: Subject) {
    let key = s.key("k");
    s.set(&key, "v").await;
    let past = Deadline::at(tokio::time::Instant::now());
    let op = Op::Get { key: key.clone(), with_ttl: false };
    let ended = tokio::time::timeout(Duration::from_secs(10), s.backend().execute(&op, past)).await;
    match ended.expect("a call ends soon after its deadline") {
        Ok(reply) => assert!(reply.into_record().is_ok()),
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::Timeout | ErrorKind::DeadlineExceeded),
                "{error:?}"
            );
        }
    }
    assert_eq!(s.value(&key).await, Some(Bytes::from("v")), "the next call is not harmed");
}

async fn purge(s: Subject) {
    let live = s.key("live");
    s.set_for(&live, "v", TtlChange::For(Duration::from_secs(3600))).await;
    s.set(&s.key("persistent"), "v").await;
    for number in 0..10 {
        let key = s.key(number.to_string());
        s.set_for(&key, "v", TtlChange::For(Duration::from_millis(1))).await;
        s.until_gone(&key).await;
    }
    for _ in 0..20 {
        let removed = s.backend().purge(3, deadline()).await.expect("purge");
        assert!(removed <= 3, "no more than was asked for: {removed}");
        if removed == 0 {
            break;
        }
    }
    assert_eq!(s.count(&s.prefix()).await, 2);
    assert!(s.get(&live).await.is_some_and(|record| record.ttl.is_some()));
}
