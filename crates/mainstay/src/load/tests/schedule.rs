//! Readers and invalidations in any order, in two processes: nobody gets what was loaded before an invalidation that was
//! acknowledged before they came.

use futures_util::FutureExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    config::Consistency,
    exec::tests::{REFUSES, WELL},
};

/// The truth behind the loaders, and which of its states was invalidated for all.
#[derive(Debug, Default)]
struct Truth {
    now: AtomicU64,
    acknowledged: AtomicU64,
}

fn options() -> LoadOptions {
    LoadOptions { tags: vec!["t".into()], ..LoadOptions::ttl(3_000 * S) }
}

async fn reader(storage: Storage, truth: Arc<Truth>, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..30 {
        tokio::time::sleep(MS * dice.random_range(0..20)).await;
        let least = truth.acknowledged.load(Relaxed);
        let (shown, takes) = (Arc::clone(&truth), MS * dice.random_range(0..30));
        let loader = move || async move {
            let now = shown.now.load(Relaxed);
            tokio::time::sleep(takes).await;
            io::Result::Ok(Some(now.to_string()))
        };
        // Without an answer nothing is claimed.
        let Ok(entry) = storage.get_or_load("k", options(), loader).await else { continue };
        let entry = entry.unwrap();
        let got: u64 = text(&entry).parse().unwrap();
        assert!(got >= least, "seed {seed}: {got} after {least} had ended: {entry:?}");
    }
}

async fn writer(storage: Storage, truth: Arc<Truth>, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..10 {
        tokio::time::sleep(MS * dice.random_range(0..60)).await;
        let next = truth.now.fetch_add(1, Relaxed) + 1;
        let ended = match dice.random_range(0..3) {
            0 => storage.invalidate("k").await,
            1 => storage.invalidate_prefix("k").await,
            _ => storage.invalidate_tag("t").await,
        };
        if ended.is_ok() {
            truth.acknowledged.fetch_max(next, Relaxed);
        }
    }
}

async fn run(route: RouteConfig, seed: u64, faults: bool) {
    let world = World::new();
    let a = world.process(route.clone()).await;
    let shared = !route.cache.is_empty() || route == failover();
    let b = if shared { world.process(route).await } else { a.clone() };
    let truth = Arc::new(Truth::default());
    let number = |at: usize| seed * 100 + u64::try_from(at).unwrap();
    let readers = [&a, &a, &b, &b]
        .into_iter()
        .enumerate()
        .map(|(at, storage)| reader(storage.clone(), Arc::clone(&truth), number(at)).boxed());
    let writers = [&a, &b]
        .into_iter()
        .enumerate()
        .map(|(at, storage)| writer(storage.clone(), Arc::clone(&truth), number(10 + at)).boxed());
    let nemesis = async {
        let mut dice = StdRng::seed_from_u64(seed);
        for _ in 0..if faults { 3 } else { 0 } {
            tokio::time::sleep(MS * dice.random_range(0..200)).await;
            world.cache.is(REFUSES);
            tokio::time::sleep(MS * dice.random_range(0..200)).await;
            world.cache.is(WELL);
        }
    };
    tokio::join!(join_all(readers.chain(writers)), nemesis);
    assert_eq!(a.road().loads.flights.len() + b.road().loads.flights.len(), 0, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_what_had_ended_before_they_came() {
    for seed in 0..40 {
        for route in [cached(), failover(), record_alone(), memory_alone()] {
            run(route, seed, false).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nor_while_the_cache_comes_and_goes_on_a_strict_route() {
    for seed in 0..40 {
        let strict = RouteConfig { consistency: Consistency::Strict, ..cached() };
        run(strict, seed, true).await;
    }
}
