//! Waits across processes: what is told, how often is looked, who is served when.

use tokio::{sync::broadcast, task::JoinSet};

use super::*;
use crate::backend::{Told, semantics::locks::PASSES_MAX};

/// What a granter tells.
#[derive(Debug)]
pub(super) struct Heard(pub(super) broadcast::Receiver<Key>);

impl Feed for Heard {
    fn next(&mut self) -> BoxFuture<'_, Result<Told>> {
        Box::pin(async {
            match self.0.recv().await {
                Ok(told) => Ok(Told::Changed(vec![told])),
                Err(_) => Err(Error::new(ErrorKind::Disconnected, "nobody tells any more")),
            }
        })
    }
}

/// Several storages on one granter that takes a moment.
async fn several_storages(many: usize, tells: bool) -> Vec<Storage> {
    let clock = clock();
    let mut granter = Granter::new(&clock, true);
    if let Some(granter) = Arc::get_mut(&mut granter) {
        granter.delay_ms = AtomicU64::new(1);
        granter.tells = tells.then(|| broadcast::channel(256).0);
    }
    let mut all = Vec::new();
    for _ in 0..many {
        all.push(storage(&clock, &[("db", &granter)], LocksConfig::default()).await);
    }
    all
}

/// Looks of this storage that found a lock held.
fn in_vain(storage: &Storage) -> u64 {
    storage.status().locks.contended
}

/// Waits over a hold of 20 s and then for its end: the looks in vain before, and after it.
async fn looks(here: &Storage, there: &Storage) -> [u64; 2] {
    let guard = here.lock("a").await.unwrap();
    let waiting = there.clone();
    let waiting = async move { waiting.lock("a").await.unwrap() };
    let before = in_vain(there);
    let hold = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let looked = in_vain(there);
        assert_eq!(guard.release().await, Released::Released);
        looked
    };
    let (got, looked) = tokio::join!(waiting, hold);
    let after = in_vain(there);
    got.release().await;
    [looked - before, after - looked]
}

#[tokio::test(start_paused = true)]
async fn where_releases_are_told_who_waits_looks_rarely_and_is_woken() {
    let all = several_storages(2, true).await;
    let [first, _] = looks(&all[0], &all[1]).await;
    assert!(first > 200, "{first} looks: it has not heard anything yet");
    for _ in 0..3 {
        let [while_held, after] = looks(&all[0], &all[1]).await;
        assert!(while_held < 70, "{while_held} looks");
        assert!(while_held > 20, "{while_held} looks: a hint may be lost");
        assert_eq!(after, 0, "the release woke it");
    }
    // Nobody has waited for long: the next to wait listens anew, and relies on nothing yet.
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(all[0].lock("b").await.unwrap());
    assert!(looks(&all[0], &all[1]).await[0] > 20);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_told_who_waits_looks_often() {
    let all = several_storages(2, false).await;
    for _ in 0..2 {
        let [while_held, _] = looks(&all[0], &all[1]).await;
        assert!((200..1_000).contains(&while_held), "{while_held} looks");
    }
}

/// Eight in each of two processes take the lock as fast as they can; how many had it in each wait of a ninth elsewhere.
async fn passes(tells: bool) -> Vec<u64> {
    let all = several_storages(3, tells).await;
    let granted = || all[..2].iter().map(|storage| storage.status().locks.granted).sum::<u64>();
    let mut busy = JoinSet::new();
    for number in 0..16 {
        let storage = all[number % 2].clone();
        busy.spawn(async move {
            loop {
                storage.lock("a").await.unwrap().release().await;
            }
        });
    }
    until(|| granted() > 100).await;
    let mut found = Vec::new();
    for _ in 0..20 {
        let before = granted();
        let guard = all[2].lock("a").await.unwrap();
        found.push(granted() - before);
        guard.release().await;
        // Busy for a while with something else: they go on.
        let then = granted();
        until(|| granted() > then + 40).await;
    }
    busy.shutdown().await;
    found
}

/// Those of busy processes who have waited longer, and whom each lets pass.
const BOUND: u64 = 4 * (PASSES_MAX + 1);

/// Where nothing is told, also those who have it between two looks.
const PAUSED: u64 = 80;

#[tokio::test(start_paused = true)]
async fn a_single_waiter_is_served_among_busy_processes() {
    let found = passes(false).await;
    assert!(found.iter().all(|passed| *passed <= BOUND + PAUSED), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_single_waiter_is_served_among_busy_processes_that_are_told() {
    let found = passes(true).await;
    assert!(found.iter().all(|passed| *passed <= BOUND), "{found:?}");
}
