//! The main job on real servers: a Redis client keeps working while Redis, or the database, dies, hangs and comes back.

use std::time::Duration;

use mainstay_testkit::{
    load::{Load, LoadOptions, Report},
    servers::{MariaDb, Postgres, Redis},
};

use crate::process::Mainstay;

/// Seconds that Redis is well, killed or stopped at a time. The suite runs the short form, `cargo xtask scenario` the
/// whole one.
struct Times {
    well: Duration,
    ill: Duration,
}

fn times() -> Times {
    let whole = std::env::var_os("MAINSTAY_WHOLE_SCENARIO").is_some();
    let (well, ill) = if whole { (10, 15) } else { (3, 6) };
    Times { well: Duration::from_secs(well), ill: Duration::from_secs(ill) }
}

async fn through_redis_outages(database_url: &str) -> Report {
    let mut redis = Redis::start().await.unwrap();
    let mainstay =
        Mainstay::start(&[("REDIS_URL", &redis.url()), ("DATABASE_URL", database_url)]).await;
    mainstay.wait_for("db", "up").await;
    mainstay.wait_for("redis", "up").await;
    let load = Load::start(mainstay.resp(), LoadOptions::default());
    load.phase("steady");
    tokio::time::sleep(times().well).await;
    load.phase("redis killed");
    redis.kill();
    tokio::time::sleep(times().ill).await;
    load.phase("redis back");
    redis.restart().await.unwrap();
    mainstay.wait_for("redis", "up").await;
    load.phase("steady again");
    tokio::time::sleep(times().well).await;
    load.phase("redis stopped");
    redis.stop();
    tokio::time::sleep(times().ill).await;
    load.phase("redis continued");
    redis.cont();
    mainstay.wait_for("redis", "up").await;
    load.phase("steady at last");
    tokio::time::sleep(times().well).await;
    let report = load.finish().await;
    println!("{report}");
    outages_are_told(&mainstay).await;
    mainstay.terminate().await;
    report
}

/// Both outages stand in the status, the metrics and the history, with how long they lasted.
async fn outages_are_told(mainstay: &Mainstay) {
    let status = mainstay.status().await;
    let (resilience, last) = (&status["resilience"], &status["resilience"]["last_recovery"]);
    assert!(resilience["recoveries"].as_u64().is_some_and(|count| count >= 2), "{resilience}");
    assert!(resilience["successful_reconnections"].as_u64().is_some_and(|count| count >= 1));
    assert!(resilience["cache_hit_rate"].as_f64().is_some_and(|rate| rate > 0.0), "{resilience}");
    assert_eq!(last["backend"], "redis");
    let (outage, recovery) = (last["outage_ms"].as_u64(), last["recovery_ms"].as_u64());
    assert!(outage.is_some() && recovery <= outage, "{last}");
    assert_eq!(status["kpis"]["recovery_time"]["met"], true, "{}", status["kpis"]);
    let metrics = mainstay.http_get("/metrics").await;
    for start in [
        "mainstay_recovery_duration_seconds_count{backend=\"redis\"} ",
        "mainstay_breaker_transitions_total{backend=\"redis\",from=\"closed\",to=\"open\",reason=",
        "mainstay_cache_hits_total{cache=\"redis\",record=\"db\"} ",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(start)), "{start}\n{metrics}");
    }
    // Which of its calls was the one that failed is chance.
    let failed = |line: &str| {
        line.starts_with("mainstay_backend_request_duration_seconds_count{backend=\"redis\",")
            && line.contains("outcome=\"failure\"")
    };
    assert!(metrics.lines().any(failed), "{metrics}");
    let history = mainstay.http_get("/v1/history?backend=redis&format=csv").await;
    assert!(history.lines().any(|line| line.contains(",redis,breaker,closed,open,")), "{history}");
}

fn nobody_noticed(report: &Report) {
    assert_eq!(report.total(|phase| phase.errors), 0, "{report}");
    assert_eq!(report.total(|phase| phase.unknown), 0, "{report}");
    assert_eq!(report.total(|phase| phase.connections), 0, "{report}");
    assert_eq!(report.total(|phase| phase.stale), 0, "{report}");
    assert_eq!(report.lost, 0, "{report}");
    let served = |name: &str| {
        report.phases.iter().any(|phase| phase.name == name && phase.reads > 0 && phase.writes > 0)
    };
    for phase in ["steady", "redis killed", "steady again", "redis stopped", "steady at last"] {
        assert!(served(phase), "nothing was served while {phase}\n{report}");
    }
}

#[tokio::test]
async fn nobody_notices_that_redis_dies_and_hangs_before_postgres() {
    let postgres = Postgres::start().await.unwrap();
    nobody_noticed(&through_redis_outages(&postgres.url()).await);
}

#[tokio::test]
async fn nobody_notices_that_redis_dies_and_hangs_before_mariadb() {
    let mariadb = MariaDb::start().await.unwrap();
    nobody_noticed(&through_redis_outages(&mariadb.url()).await);
}

#[tokio::test]
async fn cached_keys_are_read_and_writes_are_refused_at_once_while_the_database_is_down() {
    let (redis, mut postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let mainstay =
        Mainstay::start(&[("REDIS_URL", &redis.url()), ("DATABASE_URL", &postgres.url())]).await;
    mainstay.wait_for("redis", "up").await;
    mainstay.wait_for("db", "up").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["SET", "greeting", "hello"]).await, "OK");
    // The first read fills the copy; it is there when the database is no longer asked.
    client.until(&["GET", "greeting"], "hello").await;
    mainstay.until_cached("greeting").await;
    postgres.kill();
    mainstay.wait_for("db", "down").await;
    assert_eq!(client.text(&["GET", "greeting"]).await, "hello");
    let refused = client.text(&["SET", "greeting", "lost?"]).await;
    assert!(
        refused.starts_with("UNAVAILABLE db") && refused.contains("retry_after_ms="),
        "{refused}"
    );
    let uncached = client.text(&["GET", "never read"]).await;
    assert!(uncached.starts_with("UNAVAILABLE db"), "{uncached}");
    postgres.restart().await.unwrap();
    mainstay.wait_for("db", "up").await;
    client.until(&["SET", "greeting", "back"], "OK").await;
    assert_eq!(client.text(&["GET", "greeting"]).await, "back");
    mainstay.terminate().await;
}

#[tokio::test]
async fn it_starts_with_redis_down_and_takes_it_in_when_it_comes() {
    let (mut redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    redis.kill();
    let mainstay =
        Mainstay::start(&[("REDIS_URL", &redis.url()), ("DATABASE_URL", &postgres.url())]).await;
    // It serves before a database that takes its time has answered.
    mainstay.wait_for("db", "up").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["SET", "k", "v"]).await, "OK");
    assert_eq!(client.text(&["GET", "k"]).await, "v");
    assert!(mainstay.status_text().await.contains("redis"), "it says what is missing");
    redis.restart().await.unwrap();
    mainstay.wait_for("redis", "up").await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn it_starts_with_the_database_down_and_says_so() {
    let (redis, mut postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    postgres.kill();
    let mainstay =
        Mainstay::start(&[("REDIS_URL", &redis.url()), ("DATABASE_URL", &postgres.url())]).await;
    let mut client = mainstay.client().await;
    let refused = client.text(&["SET", "k", "v"]).await;
    assert!(refused.starts_with("UNAVAILABLE db"), "{refused}");
    postgres.restart().await.unwrap();
    mainstay.wait_for("db", "up").await;
    client.until(&["SET", "k", "v"], "OK").await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn all_down_is_a_clear_error_that_names_each_backend() {
    let (mut redis, mut postgres) =
        (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let mainstay =
        Mainstay::start(&[("REDIS_URL", &redis.url()), ("DATABASE_URL", &postgres.url())]).await;
    mainstay.wait_for("redis", "up").await;
    redis.kill();
    postgres.kill();
    mainstay.wait_for("redis", "down").await;
    mainstay.wait_for("db", "down").await;
    let mut client = mainstay.client().await;
    let refused = client.text(&["GET", "k"]).await;
    assert!(refused.starts_with("UNAVAILABLE"), "{refused}");
    assert!(refused.contains("db") && refused.contains("redis"), "{refused}");
    assert_eq!(client.text(&["PING"]).await, "PONG");
    mainstay.terminate().await;
}
