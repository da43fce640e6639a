use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::{
    config::RouteConfig,
    entry::Ttl,
    op::{Condition, TtlChange},
};

mod observed;
mod reconfigured;

async fn in_memory() -> Storage {
    let route = RouteConfig { backends: vec![Config::MEMORY.to_owned()], ..RouteConfig::default() };
    Storage::open(Config { routes: vec![route], ..Config::default() }).await.unwrap()
}

async fn all_keys(storage: &Storage, prefix: &'static str) -> Vec<crate::Key> {
    let (mut keys, mut cursor) = (Vec::new(), None);
    loop {
        let page = storage.scan(prefix, cursor, 10).await.unwrap();
        keys.extend(page.keys);
        cursor = page.next;
        if cursor.is_none() {
            return keys;
        }
    }
}

#[tokio::test]
async fn the_verbs_do_what_they_say() {
    let storage = in_memory().await;
    assert_eq!(storage.get("k").await.unwrap(), None);
    let written = storage.set("k", "v").await.unwrap();
    let entry = storage.get("k").await.unwrap().unwrap();
    assert_eq!((&*entry.value, &*entry.source, entry.stale), (&b"v"[..], "memory", false));
    assert_eq!(entry.version, written.version);
    let outdated = storage.compare_and_set("k", entry.version.unwrap(), "w").await.unwrap();
    assert!(outdated.applied);
    assert!(!storage.compare_and_set("k", entry.version.unwrap(), "x").await.unwrap().applied);
    assert_eq!(storage.increment("n", 5).await.unwrap(), 5);
    assert!(storage.expire("k", TtlChange::For(Duration::from_secs(60))).await.unwrap());
    assert!(
        matches!(storage.time_to_live("k").await.unwrap(), Ttl::Left(left) if left <= Duration::from_secs(60))
    );
    assert_eq!(storage.count("").await.unwrap(), 2);
    assert_eq!(all_keys(&storage, "k").await, [crate::Key::from("k")]);
    assert!(storage.delete("k").await.unwrap());
    assert!(!storage.delete("k").await.unwrap());
    assert!(storage.close(Duration::from_secs(20)).await);
    assert_eq!(storage.get("k").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused_before_it_is_sent() {
    let storage = in_memory().await;
    let error = storage.set(vec![b'k'; 2049].as_slice(), "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let error = storage.set("k", vec![0; (16 << 20) + 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_no_error() {
    let storage = in_memory().await;
    let options = || SetOptions {
        condition: Condition::Absent,
        want_previous: true,
        ..SetOptions::default()
    };
    assert!(storage.set_with("k", "first", options()).await.unwrap().applied);
    let second = storage.set_with("k", "second", options()).await.unwrap();
    assert_eq!((second.applied, second.previous.unwrap().value), (false, Bytes::from("first")));
}
