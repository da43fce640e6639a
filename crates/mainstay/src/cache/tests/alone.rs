//! Before a record without a cache, and where memory is refused.

use super::*;

const L1_TTL: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_value_counts_for_its_time_and_own_writes_end_it() {
    let servers = servers();
    let (a, b) =
        (servers.process(route(&["memory"])).await, servers.process(route(&["memory"])).await);
    a.set("k", "1").await;
    assert_eq!(b.source("k").await, "db");
    let entry = b.storage.get("k").await.unwrap().unwrap();
    assert_eq!((&*entry.source, entry.freshness), ("memory", Freshness::Bounded(L1_TTL)));
    a.set("k", "2").await;
    assert!(b.behind("k", "2").await <= L1_TTL);
    b.set("k", "3").await;
    assert_eq!((b.value("k").await.as_deref(), &*b.source("k").await), (Some("3"), "memory"));
    let l1 = b.storage.status().l1.unwrap();
    assert_eq!((l1.feed, l1.entries), ("none", 1));
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_kept_too() {
    let servers = servers();
    let b = servers.process(route(&["memory"])).await;
    b.set("a", "1").await;
    let keys = || ["a", "none"].map(Key::from).to_vec();
    let expected = [Some(Bytes::from("1")), None];
    assert_eq!(b.storage.get_many(keys()).await.unwrap(), expected);
    assert_eq!(b.source("a").await, "memory");
    assert_eq!(b.storage.get_many(keys()).await.unwrap(), expected);
}

/// A process that keeps the first value of `k`, and a session that has seen the second.
async fn behind_its_session(servers: &Servers) -> (Process, CallOptions) {
    let (a, b) =
        (servers.process(route(&["memory"])).await, servers.process(route(&["memory"])).await);
    a.set("k", "1").await;
    assert_eq!(b.value("k").await.as_deref(), Some("1"));
    a.set("k", "2").await;
    let version = a.storage.get("k").await.unwrap().unwrap().version.unwrap();
    let session = Session::new();
    session.saw(&"k".into(), version, L1_TTL, b.now());
    (b, CallOptions::of(&session))
}

#[tokio::test(start_paused = true)]
async fn a_session_does_not_go_back() {
    let (b, options) = behind_its_session(&servers()).await;
    let op = Op::Get { key: "k".into(), with_ttl: false };
    let answer = b.storage.execute(&op, options).await.unwrap();
    assert_eq!(&*answer.reply.into_record().unwrap().unwrap().value, b"2");
}

#[tokio::test(start_paused = true)]
async fn nor_does_it_by_reading_several() {
    let (b, options) = behind_its_session(&servers()).await;
    let keys = || ["k", "none"].map(Key::from).to_vec();
    let first = async |options: &CallOptions| {
        let answer = b.storage.get_each(keys(), options).await.swap_remove(0).unwrap();
        answer.reply.into_record().unwrap().unwrap().value
    };
    assert_eq!(&*first(&CallOptions::default()).await, b"1", "nobody has seen anything newer");
    assert_eq!(&*first(&options).await, b"2");
}

#[test]
fn a_strict_route_has_no_memory_before_it() {
    let strict = RouteConfig { consistency: Consistency::Strict, ..route(&["memory", "db"]) };
    let strict = RouteConfig { record: Some("other".into()), ..strict };
    let mut config = Config { routes: vec![strict], ..Config::default() };
    for name in ["db", "other"] {
        config.backends.insert(name.to_owned(), BackendConfig::at("sqlite::memory:"));
    }
    let refused = config.validate().unwrap_err();
    assert!(refused.message().contains("route[0].cache") && refused.message().contains("strict"));
    config.routes[0].consistency = Consistency::Bounded;
    config.validate().unwrap();
    config.routes[0].cache = vec!["db".into()];
    config.routes[0].l1_ttl = Some(L1_TTL);
    assert!(config.validate().unwrap_err().message().contains("route[0].l1_ttl"));
}
