//! What real servers do besides dying: they refuse, run full, change their role. Mainstay names it, serves meanwhile
//! what the route promises, and recovers by itself when the cause is gone.

mod mariadb;
mod postgres;
mod redis;
mod start;

use std::time::Duration;

use mainstay_testkit::{
    load::{Client, Load, LoadOptions, Report, Value},
    servers::{Postgres, Redis, RedisOptions},
};

use crate::process::{Mainstay, until};

/// Mainstay with Redis as the cache of PostgreSQL, and an operator's connection to that Redis.
struct World {
    redis: Redis,
    operator: Client,
    _postgres: Postgres,
    mainstay: Mainstay,
}

impl World {
    async fn start(options: RedisOptions) -> Self {
        let password = options.password.clone();
        let (redis, postgres) =
            (Redis::start_with(options).await.unwrap(), Postgres::start().await.unwrap());
        let variables = [("REDIS_URL", &*redis.url()), ("DATABASE_URL", &*postgres.url())];
        let mainstay = Mainstay::start(&variables).await;
        let mut operator = Client::connect(([127, 0, 0, 1], redis.port()).into()).await.unwrap();
        if let Some(password) = password {
            operator.command(&[b"AUTH", password.as_bytes()]).await.unwrap();
        }
        mainstay.wait_for("redis", "up").await;
        mainstay.wait_for("db", "up").await;
        Self { redis, operator, _postgres: postgres, mainstay }
    }

    /// Tells Redis something over a connection from before the fault, which goes on where new ones are refused.
    async fn tell_redis(&mut self, words: &[&str]) {
        let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let answer = self.operator.command(&args).await.unwrap();
        assert!(!matches!(answer, Value::Error(_)), "{words:?}: {answer:?}");
    }

    async fn cut_other_clients(&mut self) {
        self.tell_redis(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    }
}

/// A load that a machine with much else to do can bear.
fn light_load(mainstay: &Mainstay) -> Load {
    let pause = Duration::from_millis(2);
    Load::start(mainstay.resp(), LoadOptions { clients: 4, keys: 200, write_every: 4, pause })
}

/// Waits until clients have read and written so often in a phase of their own.
async fn let_it_run(load: &Load, phase: &str) {
    load.phase(phase);
    until(&format!("traffic while {phase}"), async || {
        let report = load.report();
        report.phases.last().is_some_and(|phase| phase.reads >= 50 && phase.writes >= 5)
    })
    .await;
}

fn nobody_noticed(report: &Report) {
    assert_eq!(report.total(|phase| phase.unknown), 0, "{report}");
    nobody_was_misled(report);
}

/// A write that was under way when its connection to the record was cut may have been committed: it says so, and is not
/// repeated, for a second one of it could undo what others wrote since. Nothing else is noticed.
fn nobody_was_misled(report: &Report) {
    assert_eq!(report.total(|phase| phase.errors), 0, "{report}");
    assert_eq!(report.total(|phase| phase.connections), 0, "{report}");
    assert_eq!(report.total(|phase| phase.stale), 0, "{report}");
    assert_eq!(report.lost, 0, "{report}");
}

/// Waits until a backend is in this health because of an error of this kind with these words of the server.
async fn until_ill(mainstay: &Mainstay, backend: &str, health: &str, kind: &str, words: &str) {
    let what = format!("{health}, {kind}: {words}");
    mainstay
        .until_backend(backend, &what, |found| {
            let error = &found["last_error"];
            let message = error["message"].as_str().unwrap_or_default();
            found["health"] == health && error["kind"] == kind && message.contains(words)
        })
        .await;
}
