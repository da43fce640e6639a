//! Rows of the application's own tables by a plain GET, and how they are known to have changed.

use mainstay_testkit::servers::{MariaDb, Postgres, Redis};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::process::{Mainstay, until};

/// The application, which knows nothing of Mainstay.
struct App {
    client: tokio_postgres::Client,
    _driver: JoinSet<()>,
}

impl App {
    async fn start(postgres: &Postgres) -> Self {
        let (client, connection) = tokio_postgres::connect(&postgres.url(), NoTls).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move { connection.await.unwrap_or_default() });
        let app = Self { client, _driver: driver };
        app.run(
            "CREATE TABLE users (id int PRIMARY KEY, name text, changed bigserial);
             INSERT INTO users (id, name) VALUES (1, 'ada'), (2, 'bob')",
        )
        .await;
        app
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }
}

const ONE: &str = r#"{"id":1,"name":"ada"}"#;

fn config(redis: &Redis, database: &str, query: &str, more: &str) -> String {
    format!(
        r#"
[backends.redis]
url = "{}"
timeout = "20s"
hedge = {{ patience = "15s" }}
[backends.db]
url = "{database}"
[[route]]
prefix = "user:"
cache = ["memory", "redis"]
ttl = "1h"
[route.source]
backend = "db"
query = "{query}"
rows = "one"
{more}
[[route]]
prefix = "team:"
cache = ["redis"]
[route.source]
backend = "db"
query = "select id from users where id >= {} order by id"
empty_ttl = "1h"
"#,
        redis.url(),
        if database.starts_with("postgres") { "$1" } else { "?" },
    )
}

const QUERY: &str = "select id, name from users where id = $1";

async fn start(redis: &Redis, postgres: &Postgres, more: &str) -> Mainstay {
    let mainstay = Mainstay::start_with(&config(redis, &postgres.url(), QUERY, more), &[]).await;
    mainstay.wait_for("db", "up").await;
    mainstay.wait_for("redis", "up").await;
    mainstay
}

/// Waits until a row, or that there is none, is kept in memory.
async fn until_near(mainstay: &Mainstay, key: &str) {
    until(&format!("{key} to be kept in memory"), async || {
        let answer = mainstay.http_get(&format!("/v1/kv/{key}")).await.to_ascii_lowercase();
        answer.contains("x-mainstay-source: memory")
    })
    .await;
}

#[tokio::test]
async fn rows_are_read_by_a_plain_get_kept_and_invalidated() {
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let app = App::start(&postgres).await;
    let mainstay = start(&redis, &postgres, "").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["GET", "user:1"]).await, ONE);
    assert_eq!(client.text(&["GET", "user:3"]).await, "(nil)");
    assert_eq!(client.text(&["GET", "team:1"]).await, r#"[{"id":1}, {"id":2}]"#);
    assert_eq!(client.text(&["GET", "team:9"]).await, "[]");
    assert_eq!(client.text(&["STRLEN", "user:1"]).await, ONE.len().to_string());
    assert_eq!(client.text(&["EXISTS", "user:1", "user:3"]).await, "1");
    let many = client.text(&["MGET", "user:1", "user:3", "user:2"]).await;
    assert!(many.contains("Bulk(None)"), "{many}");
    let refused = client.text(&["GET", "user:x"]).await;
    assert!(refused.contains("invalid input syntax"), "{refused}");
    let refused = client.text(&["SET", "user:1", "x"]).await;
    assert!(refused.contains("change its tables"), "{refused}");

    until_near(&mainstay, "user:1").await;
    until_near(&mainstay, "user:3").await;
    app.run("UPDATE users SET name = 'ada l' WHERE id = 1; INSERT INTO users VALUES (3, 'eve')")
        .await;
    assert_eq!(client.text(&["GET", "user:1"]).await, ONE, "kept");
    assert_eq!(client.text(&["GET", "user:3"]).await, "(nil)", "that there is nothing is kept");
    assert_eq!(client.text(&["DEL", "user:1", "user:3"]).await, "2");
    client.until(&["GET", "user:1"], r#"{"id":1,"name":"ada l"}"#).await;
    client.until(&["GET", "user:3"], r#"{"id":3,"name":"eve"}"#).await;

    app.run("UPDATE users SET name = 'z'").await;
    let answer = mainstay.http("POST", "/v1/invalidate", r#"{"prefixes":["user:"]}"#).await;
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(client.text(&["GET", "user:2"]).await, r#"{"id":2,"name":"z"}"#);
    // A query that fails says nothing against the database.
    app.run("ALTER TABLE users RENAME TO people").await;
    client.text(&["DEL", "user:1"]).await;
    for _ in 0..20 {
        let failed = client.text(&["GET", "user:1"]).await;
        assert!(failed.contains("does not exist"), "{failed}");
    }
    assert_eq!(client.text(&["SET", "k", "v"]).await, "OK");
    mainstay.terminate().await;
}

#[tokio::test]
async fn what_the_application_notifies_is_loaded_anew_in_every_process() {
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let app = App::start(&postgres).await;
    let more = "changes = { listen = \"users_changed\" }";
    let first = start(&redis, &postgres, more).await;
    let second = start(&redis, &postgres, more).await;
    let (mut one, mut two) = (first.client().await, second.client().await);
    assert_eq!(one.text(&["GET", "user:1"]).await, ONE);
    assert_eq!(two.text(&["GET", "user:1"]).await, ONE);
    app.run("UPDATE users SET name = 'new' WHERE id = 1; NOTIFY users_changed, '1'").await;
    for client in [&mut one, &mut two] {
        client.until(&["GET", "user:1"], r#"{"id":1,"name":"new"}"#).await;
    }
    app.run("UPDATE users SET name = 'all'; NOTIFY users_changed").await;
    for client in [&mut one, &mut two] {
        client.until(&["GET", "user:2"], r#"{"id":2,"name":"all"}"#).await;
    }
    // While nobody can listen nothing is heard: all is loaded anew afterwards. Changed first, and not notified: whoever
    // listened again before the change would never learn of it.
    app.run("UPDATE users SET name = 'missed' WHERE id = 2").await;
    app.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        .await;
    for client in [&mut one, &mut two] {
        client.until(&["GET", "user:2"], r#"{"id":2,"name":"missed"}"#).await;
    }
    first.terminate().await;
    second.terminate().await;
}

#[tokio::test]
async fn a_query_that_is_repeated_tells_what_was_changed() {
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let app = App::start(&postgres).await;
    let more = "changes = { query = \"select id::text as key, changed as mark from users where changed >= $1 order by changed limit 10\", from = \"select max(changed) as mark from users\", every = \"100ms\" }";
    let mainstay = start(&redis, &postgres, more).await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["GET", "user:1"]).await, ONE);
    for name in ["a", "b", "c"] {
        app.run(&format!("UPDATE users SET name = '{name}', changed = DEFAULT WHERE id = 1")).await;
        client.until(&["GET", "user:1"], &format!(r#"{{"id":1,"name":"{name}"}}"#)).await;
    }
    mainstay.terminate().await;
}

#[tokio::test]
async fn what_was_read_most_is_loaded_anew_when_the_cache_has_lost_it() {
    let (mut redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let app = App::start(&postgres).await;
    let mainstay = start(&redis, &postgres, "").await;
    let mut client = mainstay.client().await;
    until("the row to be kept in memory", async || {
        mainstay.http_get("/v1/kv/user:1?meta").await.contains("\"source\":\"memory\"")
    })
    .await;
    app.run("UPDATE users SET name = 'since'").await;
    redis.kill();
    mainstay.wait_for("redis", "down").await;
    redis.restart().await.unwrap();
    // Nobody reads it.
    until("it to be loaded anew", async || {
        let events = mainstay.http_get("/v1/events?format=json").await;
        events.contains("1 of the keys that were read most")
    })
    .await;
    app.run("UPDATE users SET name = 'later'").await;
    assert_eq!(client.text(&["GET", "user:1"]).await, r#"{"id":1,"name":"since"}"#);
    mainstay.terminate().await;
}

#[tokio::test]
async fn mariadb_rows_are_read_by_a_plain_get() {
    let (redis, mariadb) = (Redis::start().await.unwrap(), MariaDb::start().await.unwrap());
    let query = "select 'é' as name, id from (select 1 as id) t where id = ?";
    let mainstay = Mainstay::start_with(&config(&redis, &mariadb.url(), query, ""), &[]).await;
    mainstay.wait_for("db", "up").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["GET", "user:1"]).await, r#"{"name":"é","id":1}"#);
    assert_eq!(client.text(&["GET", "user:2"]).await, "(nil)");
    until("the copy to be kept", async || {
        mainstay.http_get("/v1/kv/user:1?meta").await.contains("\"source\":\"redis\"")
            || mainstay.http_get("/v1/kv/user:1?meta").await.contains("\"source\":\"memory\"")
    })
    .await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn while_the_database_is_down_old_rows_are_served_then_the_default_then_an_error_that_says_why()
 {
    let (redis, mut postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let app = App::start(&postgres).await;
    let config = format!(
        r#"
[backends.redis]
url = "{}"
[backends.db]
url = "{}"
[[route]]
prefix = "user:"
cache = ["redis"]
ttl = "500ms"
stale_if_error = "1h"
source = {{ backend = "db", query = "{QUERY}", rows = "one" }}
[[route]]
prefix = "team:"
cache = ["redis"]
source = {{ backend = "db", query = "{QUERY}", default = "[]" }}
"#,
        redis.url(),
        postgres.url(),
    );
    let mainstay = Mainstay::start_with(&config, &[]).await;
    mainstay.wait_for("db", "up").await;
    mainstay.until_cached("user:1").await;
    drop(app);
    postgres.kill();
    let mut client = mainstay.client().await;
    until("the row to be old", async || {
        mainstay.http_get("/v1/kv/user:1?meta").await.contains("\"stale\":true")
    })
    .await;
    assert_eq!(client.text(&["GET", "user:1"]).await, ONE);
    assert_eq!(client.text(&["GET", "team:1"]).await, "[]");
    let failed = client.text(&["GET", "user:2"]).await;
    assert!(failed.starts_with("UNAVAILABLE") && failed.contains("db"), "{failed}");
    mainstay.terminate().await;
}
