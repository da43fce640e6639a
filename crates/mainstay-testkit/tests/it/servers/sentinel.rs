//! Sentinel sets.

use mainstay_testkit::servers::{Sentinel, SentinelOptions};

#[tokio::test]
async fn one_sentinel_promotes_the_replica() {
    let options = SentinelOptions { sentinels: 1, ..Default::default() };
    let mut set = Sentinel::start_with(options).await.unwrap();
    assert_eq!(set.primary_port().await.unwrap(), set.primary.port());
    set.primary.redis_cli(&["SET", "k", "v"]).await.unwrap();
    while set.replica.redis_cli(&["GET", "k"]).await.unwrap() != "v" {}
    let refused = set.replica.redis_cli(&["SET", "k", "w"]).await.unwrap_err();
    assert!(refused.to_string().contains("READONLY"), "{refused}");
    set.primary.kill();
    set.wait_for_failover().await.unwrap();
    assert_eq!(set.primary_port().await.unwrap(), set.replica.port());
    assert_eq!(set.replica.redis_cli(&["GET", "k"]).await.unwrap(), "v");
    assert_eq!(set.replica.redis_cli(&["SET", "k", "w"]).await.unwrap(), "OK");
}

#[tokio::test]
async fn three_sentinels_agree() {
    let mut set = Sentinel::start().await.unwrap();
    assert_eq!(set.ports().count(), 3);
    assert!(
        set.url().starts_with("redis-sentinel://127.0.0.1:") && set.url().ends_with("/mainstay")
    );
    set.primary.kill();
    set.wait_for_failover().await.unwrap();
    assert_eq!(set.primary_port().await.unwrap(), set.replica.port());
}
