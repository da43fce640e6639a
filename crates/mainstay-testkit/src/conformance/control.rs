//! A record with caches before it, the control row: leases, epochs, the beacon.
//! Knows nothing of what a cache is; what each operation means is `semantics::control`.

use self::cache::{Cache, TERMS};
use super::{Check, Subject};
use mainstay::op::{Control, Terms};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) mod around;
mod cache;
pub(super) mod journal;
pub(super) mod races;
mod script;
pub(super) mod writes;

pub(super) const CHECKS: &[Check] = &[
    Check::new("control: the first lease makes the row", |s| Box::pin(first_lease(s)))
        .when(|c| c.control),
    Check::new("control: first leases at once agree", |s| Box::pin(first_leases(s)))
        .when(|c| c.control),
    Check::new("control: a cache that nobody leased", |s| Box::pin(unknown(s))).when(|c| c.control),
    Check::new("control: epochs move on by their known number only", |s| Box::pin(epochs(s)))
        .when(|c| c.control),
    Check::new("control: one of many degrades, one readmits", |s| Box::pin(one_winner(s)))
        .when(|c| c.control),
    Check::new("control: names of any length and script", |s| Box::pin(names(s)))
        .when(|c| c.control),
    Check::new("control: the beacon only rises, under its epoch", |s| Box::pin(beacon(s)))
        .when(|c| c.control),
    Check::new("control: caches stand apart", |s| Box::pin(apart(s))).when(|c| c.control),
];

/// Runs so many tasks at once and returns what they return.
async fn race<F>(cache: &Cache, tasks: usize, task: fn(Cache, usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let mut running = JoinSet::new();
    for number in 0..tasks {
        running.spawn(task(cache.clone(), number));
    }
    running.join_all().await
}

async fn first_lease(s: Subject) {
    let cache = Cache::unknown(&s);
    let row = cache.lease_on(TERMS, u64::MAX - 1, 10).await;
    let control = &row.control;
    assert_eq!((control.id, control.terms), (u64::MAX - 1, TERMS));
    assert_eq!((control.active, control.epoch, control.generation), (false, 0, 0));
    assert_eq!((control.identity.as_str(), control.beacon), ("", 0));
    assert!(!control.reason.is_empty(), "it says why it is degraded");
    assert_eq!((row.dirty, row.more), (Vec::new(), false));
    assert!(row.now_us > 1_600_000_000_000_000, "Unix microseconds: {}", row.now_us);
    let other = Terms { lease: Duration::from_secs(9), ..TERMS };
    let again = cache.lease_on(other, 5, 10).await;
    assert_eq!((again.control.id, again.control.terms), (u64::MAX - 1, TERMS), "kept");
    assert!(again.now_us >= row.now_us);
}

async fn first_leases(s: Subject) {
    let cache = Cache::unknown(&s);
    let leases = race(&cache, 16, |cache, number| async move {
        let row = cache.lease_on(TERMS, u64::try_from(number).unwrap_or(0), 1).await;
        (row.control.id, row.control.epoch)
    });
    let rows: BTreeSet<_> = leases.await.into_iter().collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
}

async fn unknown(s: Subject) {
    let cache = Cache::unknown(&s);
    assert!(!cache.degrade(0, "why").await && !cache.readmit(0, "run", 1).await);
    assert!(!cache.raised(0, 5).await);
    assert_eq!((cache.dirty().await, cache.drained(Vec::new()).await), (Vec::new(), 0));
    let row = cache.lease(1).await.control;
    assert_eq!((row.active, row.epoch, row.beacon), (false, 0, 0), "nothing was made before");
}

async fn epochs(s: Subject) {
    let cache = Cache::degraded(&s).await;
    assert!(!cache.readmit(1, "run-1", 3).await && !cache.degrade(0, "again").await);
    assert!(cache.readmit(0, "run-1", 3).await && !cache.readmit(0, "run-2", 4).await);
    assert!(!cache.readmit(1, "run-2", 4).await, "it is active");
    let row = cache.lease(1).await.control;
    assert_eq!((row.active, row.epoch, row.generation), (true, 1, 1));
    assert_eq!((row.identity.as_str(), row.beacon, row.reason.as_str()), ("run-1", 3, ""));
    assert!(!cache.degrade(0, "early").await && !cache.degrade(2, "late").await);
    assert!(cache.degrade(1, "restarted").await && !cache.degrade(1, "again").await);
    let row = cache.lease(1).await.control;
    assert_eq!((row.active, row.epoch, row.generation), (false, 2, 1));
    assert_eq!((row.identity.as_str(), row.reason.as_str()), ("run-1", "restarted"));
    assert!(cache.readmit(2, "run-2", 1).await, "a beacon may be lower after a readmission");
    let row = cache.lease(1).await.control;
    assert_eq!((row.id, row.active, row.epoch, row.generation), (7, true, 3, 2));
    assert_eq!((row.identity.as_str(), row.beacon, row.reason.as_str()), ("run-2", 1, ""));
}

async fn one_winner(s: Subject) {
    let cache = Cache::degraded(&s).await;
    for epoch in [0, 2, 4] {
        let readmitted = match epoch {
            0 => race(&cache, 16, |cache, _| async move { cache.readmit(0, "run", 1).await }).await,
            2 => race(&cache, 16, |cache, _| async move { cache.readmit(2, "run", 1).await }).await,
            _ => race(&cache, 16, |cache, _| async move { cache.readmit(4, "run", 1).await }).await,
        };
        assert_eq!(readmitted.iter().filter(|did| **did).count(), 1);
        let row = cache.lease(0).await.control;
        assert_eq!((row.active, row.epoch, row.generation), (true, epoch + 1, epoch / 2 + 1));
        let degraded = race(&cache, 16, |cache, _| async move {
            let epoch = cache.lease(0).await.control.epoch;
            cache.degrade(epoch, "why").await
        });
        assert_eq!(degraded.await.iter().filter(|did| **did).count(), 1);
    }
}

async fn names(s: Subject) {
    let cache = Cache::degraded(&s).await;
    let identity = "rün-\u{1f9ed}-'\"\\%_".repeat(200);
    let beacon = u64::try_from(i64::MAX).unwrap_or(0) - 1;
    assert!(cache.readmit(0, &identity, beacon).await);
    let Control { identity: kept, beacon: number, .. } = cache.lease(0).await.control;
    assert!(kept == identity, "an identity names each node of a cluster");
    assert_eq!(number, beacon);
    assert!(cache.raised(1, beacon + 1).await);
    let reason = "the server's history forked: \u{1f4a5} 'x' \\ %s\n";
    assert!(cache.degrade(1, reason).await);
    assert_eq!(cache.lease(0).await.control.reason, reason);
}

async fn beacon(s: Subject) {
    let cache = Cache::degraded(&s).await;
    assert!(!cache.raised(0, 9).await, "it is degraded");
    assert!(cache.readmit(0, "run", 3).await);
    let raised_us = |row: &mainstay::op::LeaseRow| {
        row.now_us - i64::try_from(row.control.beacon_age.as_micros()).unwrap_or(i64::MAX)
    };
    assert!(!cache.raised(1, 3).await && !cache.raised(1, 2).await && !cache.raised(0, 9).await);
    let first = cache.lease(0).await;
    cache.until_us(first.now_us + 2000).await;
    let later = cache.lease(0).await;
    assert_eq!(raised_us(&first), raised_us(&later), "the age counts from the readmission");
    assert!(cache.raised(1, 5).await && !cache.raised(1, 5).await && !cache.raised(1, 4).await);
    let risen = cache.lease(0).await;
    assert_eq!(risen.control.beacon, 5);
    assert!(later.now_us <= raised_us(&risen) && raised_us(&risen) <= risen.now_us);
    assert!(
        cache.degrade(1, "why").await && !cache.raised(1, 9).await && !cache.raised(2, 9).await
    );
    let answers = Cache::active(&s).await;
    let rose = race(&answers, 16, |cache, _| async move { cache.raised(1, 7).await }).await;
    assert_eq!(rose.iter().filter(|did| **did).count(), 1, "one of many raises it");
}

async fn apart(s: Subject) {
    let (one, two) = (Cache::active(&s).await, Cache::active(&s).await);
    assert!(one.degrade(1, "why").await);
    let row = two.lease(0).await.control;
    assert_eq!((row.active, row.epoch), (true, 1));
    assert!(two.raised(1, 4).await);
    let row = one.lease(0).await.control;
    assert_eq!((row.active, row.epoch, row.beacon), (false, 2, 0));
}
