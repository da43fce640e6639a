//! redis-server alone.

use super::hangs;
use mainstay_testkit::servers::{Persist, Redis, RedisOptions};

#[tokio::test]
async fn starts_hangs_dies_and_comes_back() {
    let mut redis = Redis::start().await.unwrap();
    assert_eq!(redis.redis_cli(&["SET", "k", "v"]).await.unwrap(), "OK");
    redis.stop();
    assert!(hangs(redis.redis_cli(&["GET", "k"])).await);
    redis.cont();
    assert_eq!(redis.redis_cli(&["GET", "k"]).await.unwrap(), "v");
    let port = redis.port();
    redis.restart().await.unwrap();
    assert_eq!(
        redis.redis_cli(&["GET", "k"]).await.unwrap(),
        "v",
        "a graceful restart keeps the data"
    );
    assert_eq!(redis.port(), port);
    redis.kill();
    assert!(redis.redis_cli(&["PING"]).await.is_err());
    redis.restart_empty().await.unwrap();
    assert_eq!(redis.redis_cli(&["DBSIZE"]).await.unwrap(), "0");
}

#[tokio::test]
async fn a_snapshot_rolls_back() {
    let mut redis = Redis::start().await.unwrap();
    redis.redis_cli(&["SET", "k", "old"]).await.unwrap();
    redis.snapshot().await.unwrap();
    redis.redis_cli(&["SET", "k", "new"]).await.unwrap();
    redis.restart_from_snapshot().await.unwrap();
    assert_eq!(redis.redis_cli(&["GET", "k"]).await.unwrap(), "old");
}

#[tokio::test]
async fn an_append_only_file_survives_a_kill() {
    let options = RedisOptions { persist: Persist::Aof, ..Default::default() };
    let mut redis = Redis::start_with(options).await.unwrap();
    redis.redis_cli(&["SET", "k", "v"]).await.unwrap();
    redis.kill();
    redis.restart().await.unwrap();
    assert_eq!(redis.redis_cli(&["GET", "k"]).await.unwrap(), "v");
    redis.restart_empty().await.unwrap();
    assert_eq!(redis.redis_cli(&["GET", "k"]).await.unwrap(), "");
}

#[tokio::test]
async fn tls_password_and_unix_socket() {
    let password = Some("secret".to_owned());
    let options = RedisOptions { tls: true, unix_socket: true, password, ..Default::default() };
    let mut redis = Redis::start_with(options).await.unwrap();
    assert_eq!(redis.url(), format!("rediss://:secret@127.0.0.1:{}", redis.port()));
    assert_eq!(redis.redis_cli(&["SET", "k", "v"]).await.unwrap(), "OK");
    let socket = redis.unix_socket();
    let through = ["-s", socket.to_str().unwrap(), "-a", "secret", "--no-auth-warning", "GET", "k"];
    let output = std::process::Command::new("redis-cli").args(through).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "v\n");
    assert!(redis.ca_path().is_file());
    redis.restart().await.unwrap();
    assert_eq!(redis.redis_cli(&["GET", "k"]).await.unwrap(), "v");
}

#[tokio::test]
async fn a_full_memory_refuses() {
    let options = RedisOptions { max_memory: Some((1, "noeviction")), ..Default::default() };
    let redis = Redis::start_with(options).await.unwrap();
    let error = redis.redis_cli(&["SET", "k", "v"]).await.unwrap_err();
    assert!(error.to_string().contains("OOM"), "{error}");
}

#[tokio::test]
async fn dropping_ends_the_process_and_its_files() {
    let redis = Redis::start_with(RedisOptions { tls: true, ..Default::default() }).await.unwrap();
    let (pid, file) = (redis.pid().unwrap(), redis.ca_path());
    assert!(file.exists() && std::path::Path::new(&format!("/proc/{pid}")).exists());
    drop(redis);
    assert!(!file.exists() && !std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let start = || tokio::runtime::Runtime::new().unwrap().block_on(Redis::start()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the point of the test is the thread")]
    let redis = std::thread::spawn(start).join().unwrap();
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(redis.redis_cli(&["PING"]));
    assert_eq!(answer.unwrap(), "PONG");
}
