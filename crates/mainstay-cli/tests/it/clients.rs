//! Clients from their registries connect and work without special settings.

use std::{path::PathBuf, process::Output, time::Duration};

use mainstay_testkit::servers::{Postgres, Redis};
use redis::AsyncCommands;
use tokio::process::Command;

use crate::process::Mainstay;

/// Longer than any command takes, on a slow disk too: only a failure waits for it. Shorter than
/// what `.config/nextest.toml` leaves these tests.
const PATIENCE: Duration = Duration::from_secs(420);

/// Mainstay before a real Redis and a real PostgreSQL, and both are up.
async fn served() -> (Redis, Postgres, Mainstay) {
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let mainstay =
        Mainstay::start(&[("REDIS_URL", &redis.url()), ("DATABASE_URL", &postgres.url())]).await;
    mainstay.wait_for("db", "up").await;
    mainstay.wait_for("redis", "up").await;
    (redis, postgres, mainstay)
}

/// A folder under `target` that keeps what a registry gave between runs.
pub(crate) fn kept(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

pub(crate) async fn run(command: &mut Command) -> Output {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}");
    output
}

/// The newest of these packages, in a folder of its own.
pub(crate) async fn install_python(folder: &str, packages: &[&str]) -> PathBuf {
    let folder = kept(folder);
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
        "--upgrade",
        "--target",
    ];
    run(Command::new("python3").args(install).arg(&folder).args(packages)).await;
    folder
}

/// These packages, in a folder of their own; the folder of the modules.
pub(crate) async fn install_node(folder: &str, packages: &[&str]) -> PathBuf {
    let folder = kept(folder);
    let install = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
    run(Command::new("npm").args(install).arg(&folder).args(packages)).await;
    folder.join("node_modules")
}

#[tokio::test]
async fn redis_py_works() {
    let (_redis, _postgres, mainstay) = served().await;
    let packages = install_python("redis-py", &["redis"]).await;
    let port = mainstay.resp().port().to_string();
    run(Command::new("python3")
        .env("PYTHONPATH", &packages)
        .arg(script("normal_use.py"))
        .arg(port))
    .await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn ioredis_works() {
    let (_redis, _postgres, mainstay) = served().await;
    let modules = install_node("ioredis", &["ioredis"]).await;
    let port = mainstay.resp().port().to_string();
    run(Command::new("node").env("NODE_PATH", modules).arg(script("normal_use.js")).arg(port))
        .await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn the_rust_redis_crate_works() {
    let (_redis, _postgres, mainstay) = served().await;
    let client = redis::Client::open(format!("redis://{}", mainstay.resp())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = connection.set("rs:a", "1").await.unwrap();
    assert_eq!(connection.incr::<_, _, i64>("rs:a", 41).await.unwrap(), 42);
    let () = connection.set_ex("rs:b", "x", 60).await.unwrap();
    assert!(connection.ttl::<_, i64>("rs:b").await.unwrap() > 0);
    let (a, none): (i64, Option<String>) = connection.mget(&["rs:a", "rs:none"]).await.unwrap();
    assert_eq!((a, none), (42, None));
    let both: (i64, i64) =
        redis::pipe().incr("rs:a", 1).incr("rs:a", 1).query_async(&mut connection).await.unwrap();
    assert_eq!(both, (43, 44));
    mainstay.terminate().await;
}

#[tokio::test]
async fn redis_cli_and_redis_benchmark_work() {
    let (_redis, _postgres, mainstay) = served().await;
    let port = mainstay.resp().port().to_string();
    let output =
        run(Command::new("redis-cli").args(["-p", &port, "set", "user:1", "ada", "ex", "60"]))
            .await;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "OK");
    let output = run(Command::new("redis-cli").args(["-3", "-p", &port, "get", "user:1"])).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("ada"));
    let benchmark =
        ["-p", &port, "-t", "ping,set,get,incr,mset", "-n", "2000", "-c", "10", "-P", "4", "-q"];
    let output = run(Command::new("redis-benchmark").args(benchmark)).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        ["PING", "SET", "GET", "INCR", "MSET"].iter().all(|test| text.contains(test)),
        "{text}"
    );
    mainstay.terminate().await;
}
