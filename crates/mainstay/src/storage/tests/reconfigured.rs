//! Another configuration for a storage that is open: in force at once, or refused whole.

use super::*;
use crate::config::BackendConfig;

fn config() -> Config {
    let route = RouteConfig { backends: vec![Config::MEMORY.to_owned()], ..RouteConfig::default() };
    let mut config = Config { routes: vec![route], ..Config::default() };
    // Nothing listens on port 1.
    config.backends.insert("redis".to_owned(), BackendConfig::at("redis://127.0.0.1:1"));
    config
}

#[tokio::test]
async fn limits_lives_and_defaults_are_those_of_the_new_one_at_once() {
    let storage = Storage::open(config()).await.unwrap();
    storage.set("k", vec![0; 1000]).await.unwrap();
    assert_eq!(storage.time_to_live("k").await.unwrap(), Ttl::Persistent);
    let mut new = config();
    new.limits.value_max = 999;
    new.limits.key_max = 3;
    new.memory.max = 1 << 20;
    new.routes[0].ttl = Some(Duration::from_secs(60));
    storage.reconfigure(new.clone()).unwrap();
    assert_eq!(storage.set("k", vec![0; 1000]).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(storage.set("long", "v").await.unwrap_err().kind(), ErrorKind::TooLarge);
    storage.set("n", "v").await.unwrap();
    assert!(matches!(storage.time_to_live("n").await.unwrap(), Ttl::Left(_)));
    assert_eq!(*storage.config(), new);
    // And back.
    storage.reconfigure(config()).unwrap();
    storage.set("long", vec![0; 1000]).await.unwrap();
    assert_eq!(storage.time_to_live("long").await.unwrap(), Ttl::Persistent);
    storage.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_is_over_a_smaller_bound_of_the_memory_goes() {
    let storage = Storage::open(config()).await.unwrap();
    for key in 0..100 {
        storage.set(format!("k{key}").as_str(), vec![0; 10_000]).await.unwrap();
    }
    assert_eq!(storage.count("").await.unwrap(), 100);
    let mut new = config();
    new.memory.max = 100_000;
    storage.reconfigure(new).unwrap();
    let left = storage.count("").await.unwrap();
    assert!((1..10).contains(&left), "{left}");
    storage.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_backends_settings_reach_its_guard_and_its_supervisor() {
    let storage = Storage::open(config()).await.unwrap();
    let mut new = config();
    let backend = new.backends.get_mut("redis").unwrap();
    backend.inflight_max = Some(7);
    backend.queue_wait = Duration::from_millis(70);
    backend.timeout = Some(Duration::from_millis(77));
    backend.retry.max = 0;
    backend.hedge.enabled = false;
    backend.health.interval = Duration::from_secs(1);
    storage.reconfigure(new).unwrap();
    let node = storage.node("redis").unwrap();
    assert_eq!((node.timeout(), node.retry().max), (Duration::from_millis(77), 0));
    assert!(!node.hedge().enabled);
    assert_eq!(node.timing().health.interval, Duration::from_secs(1));
    let bulkhead = node.guard().bulkhead();
    assert_eq!((bulkhead.inflight_max(), bulkhead.limit()), (7, 7));
    assert_eq!(bulkhead.queue_wait(), Duration::from_millis(70));
    storage.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_needs_another_storage_is_refused_whole_and_named() {
    let storage = Storage::open(config()).await.unwrap();
    let mut new = config();
    new.limits.key_max = 3;
    new.backends.insert("extra".to_owned(), BackendConfig::at("redis://h"));
    let refused = storage.reconfigure(new).unwrap_err();
    let expected = "backends.extra: cannot change while the storage is open; open it anew";
    assert_eq!((refused.kind(), refused.message()), (ErrorKind::InvalidArgument, expected));
    let mut invalid = config();
    invalid.limits.key_max = 0;
    let refused = storage.reconfigure(invalid).unwrap_err();
    assert_eq!(refused.message(), "limits.key_max: is between 1 and 2048");
    assert_eq!(*storage.config(), config());
    storage.set("long", "v").await.unwrap();
    storage.close(Duration::from_secs(1)).await;
}
