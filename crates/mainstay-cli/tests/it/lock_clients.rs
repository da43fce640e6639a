//! Lock clients from their registries, unchanged: normal use, and Redis killed under a lock that is held.

use std::{process::Stdio, time::Duration};

use mainstay_testkit::servers::{Postgres, Redis};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use crate::{
    clients::{install_node, install_python, run, script},
    process::{Mainstay, redis_alone},
};

/// Longer than any step of a client: only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(90);

/// Node with the lock clients; both versions of redlock beside each other. Tests run at once: each has its `folder`.
async fn node(folder: &str, name: &str) -> Command {
    let at = |part: &str| format!("{folder}-{part}");
    let modules = install_node(&at("node"), &["ioredis", "redis-semaphore"]).await;
    let four = install_node(&at("redlock-4"), &["redlock@4"]).await;
    let five = install_node(&at("redlock-5"), &["redlock@5.0.0-beta.2"]).await;
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules).env("REDLOCK_4", four).env("REDLOCK_5", five);
    command.arg(script(name));
    command
}

/// Python with the lock clients.
async fn python(folder: &str, name: &str) -> Command {
    let packages = ["redis", "pottery", "sherlock", "python-redis-lock"];
    let packages = install_python(&format!("{folder}-python"), &packages).await;
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).arg(script(name));
    command
}

/// Runs a client through its use. Where it holds a lock, Redis is killed; where an outage is over, it is started again.
async fn through_outages(mut command: Command, mainstay: &Mainstay, redis: &mut Redis) {
    mainstay.wait_for("db", "up").await;
    mainstay.wait_for("redis", "up").await;
    command.arg(mainstay.resp().port().to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut works, mut outages, mut done) = (0, 0, false);
    while let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap()
    {
        println!("{line}");
        works += i32::from(line.ends_with(" works"));
        done |= line == "done";
        let Some(at) = line.strip_suffix('?') else { continue };
        if at == "over" {
            redis.restart().await.unwrap();
            mainstay.wait_for("redis", "up").await;
        } else {
            redis.kill();
            outages += 1;
        }
        input.write_all(b"go\n").await.unwrap();
    }
    assert!(child.wait().await.unwrap().success() && done);
    assert_eq!((works, outages), (3, 3));
}

#[tokio::test]
async fn python_lock_clients_work_through_outages_on_postgres() {
    let (mut redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let urls = [("REDIS_URL", &*redis.url()), ("DATABASE_URL", &*postgres.url())];
    let mainstay = Mainstay::start(&urls).await;
    through_outages(python("locks", "locks.py").await, &mainstay, &mut redis).await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn node_lock_clients_work_through_outages_on_sqlite() {
    let mut redis = Redis::start().await.unwrap();
    let urls = [("REDIS_URL", &*redis.url()), ("DATABASE_URL", "sqlite:locks.db")];
    let mainstay = Mainstay::start(&urls).await;
    through_outages(node("locks", "locks.js").await, &mainstay, &mut redis).await;
    mainstay.terminate().await;
}

/// Compares them with a bare Redis.
async fn well_known_scripts_on(config: &str, variables: &[(&str, &str)], backend: &str) {
    let redis = Redis::start().await.unwrap();
    let mainstay = Mainstay::start_with(config, variables).await;
    mainstay.wait_for(backend, "up").await;
    let folder = format!("scripts-{backend}");
    let texts = run(&mut node(&folder, "lock_scripts.js").await).await.stdout;
    let texts = String::from_utf8(texts).unwrap();
    let ports = [mainstay.resp().port().to_string(), redis.port().to_string()];
    let mut command = python(&folder, "lock_scripts.py").await;
    let output = run(command.args(ports).arg(texts.trim())).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("runs agree"));
    mainstay.terminate().await;
}

#[tokio::test]
async fn well_known_scripts_do_by_their_name_what_they_do_by_their_text() {
    well_known_scripts_on("", &[("DATABASE_URL", "sqlite:scripts.db")], "db").await;
}

#[tokio::test]
async fn well_known_scripts_do_the_same_on_redis() {
    let behind = Redis::start().await.unwrap();
    well_known_scripts_on(&redis_alone(&behind.url()), &[], "redis").await;
}
