//! Applications that were not written for Mainstay, from their registries, through an outage of Redis: sessions and rate limits
//! on the record go on, the queue says why it cannot and goes on after.

use std::{process::Stdio, time::Duration};

use mainstay_testkit::servers::Redis;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use crate::{
    clients::{install_node, install_python, script},
    process::Mainstay,
};

/// Longer than any step of an application: only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The keys of the queues are passed through to Redis; all others are in SQLite, with Redis as their cache.
fn config(redis: &Redis) -> String {
    format!(
        "[backends.redis]\nurl = \"{}\"\nbreaker = {{ open = \"200ms\", open_max = \"500ms\" }}\n\
         [backends.db]\nurl = \"sqlite:./apps.db\"\n\
         [[route]]\nprefix = \"bull:\"\npassthrough = \"redis\"\n\
         [[route]]\nprefix = \"rq:\"\npassthrough = \"redis\"\n",
        redis.url()
    )
}

async fn through_an_outage(mut command: Command) {
    let mut redis = Redis::start().await.unwrap();
    let mainstay = Mainstay::start_with(&config(&redis), &[]).await;
    mainstay.wait_for("db", "up").await;
    mainstay.wait_for("redis", "up").await;
    command.arg(mainstay.resp().port().to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut outages, mut done) = (0, false);
    while let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap()
    {
        println!("{line}");
        done |= line == "done";
        match &*line {
            "outage?" => {
                redis.kill();
                outages += 1;
                mainstay.until_backend("redis", "not up", |found| found["health"] != "up").await;
            }
            "over?" => {
                redis.restart().await.unwrap();
                mainstay.wait_for("redis", "up").await;
            }
            _ => continue,
        }
        input.write_all(b"go\n").await.unwrap();
    }
    assert!(child.wait().await.unwrap().success() && done && outages == 1);
    mainstay.terminate().await;
}

#[tokio::test]
async fn express_sessions_a_rate_limit_and_bullmq_go_through_an_outage() {
    let packages = [
        "express",
        "express-session",
        "connect-redis",
        "redis",
        "rate-limiter-flexible",
        "bullmq",
        "ioredis",
    ];
    let modules = install_node("apps-node", &packages).await;
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules).arg(script("apps.js"));
    through_an_outage(command).await;
}

#[tokio::test]
async fn flask_sessions_a_rate_limit_and_rq_go_through_an_outage() {
    let packages = ["redis", "rq", "limits", "flask", "flask-session", "msgspec"];
    let packages = install_python("apps-python", &packages).await;
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).arg(script("apps.py"));
    through_an_outage(command).await;
}
