//! The proxy in front of a real server.

use mainstay_testkit::proxy::{Proxy, Toxics};
use mainstay_testkit::servers::Redis;
use std::time::Duration;

/// Long enough that only a failure reaches it.
const FOREVER: Duration = Duration::from_secs(20);

#[tokio::test]
async fn redis_behind_a_proxy_is_cut_and_healed() {
    let redis = Redis::start().await.unwrap();
    let proxy = Proxy::start(redis.port()).await.unwrap();
    let url = proxy.url(&redis.url(), redis.port());
    assert_eq!(url, format!("redis://127.0.0.1:{}", proxy.port()));
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let set: String =
        redis::cmd("SET").arg("k").arg("v").query_async(&mut connection).await.unwrap();
    assert_eq!(set, "OK");
    proxy.cut().await;
    let cut = redis::cmd("GET").arg("k").query_async::<String>(&mut connection).await.unwrap_err();
    assert!(cut.is_io_error(), "{cut}");
    proxy.set(Toxics::refuse()).await;
    assert!(client.get_multiplexed_async_connection().await.unwrap_err().is_connection_refusal());
    proxy.set(Toxics::black_hole()).await;
    let hanging = tokio::time::timeout(Duration::from_millis(100), ping(&client)).await;
    assert!(hanging.is_err(), "a black hole answers nothing");
    proxy.heal().await;
    assert_eq!(tokio::time::timeout(FOREVER, ping(&client)).await.unwrap().unwrap(), "PONG");
}

async fn ping(client: &redis::Client) -> redis::RedisResult<String> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("PING").query_async(&mut connection).await
}
