//! Who vouches for whom, on the paused clock.

use super::*;
use crate::{
    Storage,
    load::tests::{MS, S, World, cached},
};

/// The load that a reader of `k` is served; a new one only if what was kept has ended.
async fn load_of(world: &World, storage: &Storage) -> String {
    let entry = world.read(storage, crate::LoadOptions { ttl: 3_000 * S, ..Default::default() });
    String::from_utf8(entry.await.unwrap().unwrap().value.to_vec()).unwrap()
}

/// Two processes that share a cache in which a value is kept; the second one has `lives` signs of life after the first one
/// has begun anew. Whether the first one took it for a gap.
async fn is_a_gap(lives: u32, settled: bool) -> bool {
    let world = World::new();
    let (a, b) = (world.process(cached()).await, world.process(cached()).await);
    let roads = [a.road(), b.road()];
    let [one, two] = roads.map(|road| Watch::new(road, &road.table.routes()[0]));
    assert_eq!(load_of(&world, &a).await, "load 1");
    tokio::time::sleep(S).await;
    if settled {
        two.sign_of_life().await;
    }
    let others = async {
        for _ in 0..lives {
            tokio::time::sleep(300 * MS).await;
            two.sign_of_life().await;
        }
    };
    let (begun, ()) = tokio::join!(one.begin(), others);
    begun.unwrap();
    load_of(&world, &a).await != "load 1"
}

#[tokio::test(start_paused = true)]
async fn who_still_listens_after_the_question_vouches_for_the_time_before() {
    for settled in [false, true] {
        assert!(!is_a_gap(2, settled).await);
        assert!(!is_a_gap(5, settled).await);
    }
}

#[tokio::test(start_paused = true)]
async fn one_sign_of_life_may_be_older_than_the_question() {
    for settled in [false, true] {
        assert!(is_a_gap(0, settled).await);
        assert!(is_a_gap(1, settled).await);
    }
}

#[test]
fn a_question_is_answered_once_with_the_sign_of_life_after_it_was_seen() {
    let mut vouching = Vouching::default();
    let question = Some(Bytes::from_static(b"q"));
    assert_eq!(vouching.due(), None);
    vouching.asked(question.clone(), true);
    assert_eq!(vouching.due(), question);
    vouching.asked(question.clone(), false);
    assert_eq!(vouching.due(), question, "not said, so said again");
    vouching.asked(question, true);
    assert_eq!(vouching.due(), None);
    let next = Some(Bytes::from_static(b"next"));
    vouching.asked(next.clone(), true);
    assert_eq!(vouching.due(), next);
}
