//! Rows of a source over RESP, from Redis and from the memory of the process, against a cache-aside written by hand in
//! this process: GET, on a miss a query and a SET.
//! It must not know the library.

use std::{sync::Arc, time::Instant};

use mainstay_testkit::servers::{Postgres, Redis};
use redis::aio::MultiplexedConnection;

use crate::{
    Failure,
    library::{TIME, measure},
    process::start_with,
    table::{Row, Table},
};

const USERS: usize = 1_000;
const QUERY: &str =
    "SELECT row_to_json(u)::text FROM (SELECT id, name, phone FROM users WHERE id = $1) u";

/// The application's own code.
#[derive(Clone)]
struct Aside {
    redis: MultiplexedConnection,
    postgres: Arc<tokio_postgres::Client>,
    query: tokio_postgres::Statement,
}

impl Aside {
    async fn get(&mut self, id: usize) -> Result<String, Failure> {
        let key = format!("aside:{id}");
        let found: Option<String> =
            redis::cmd("GET").arg(&key).query_async(&mut self.redis).await?;
        if let Some(found) = found {
            return Ok(found);
        }
        let row = self.postgres.query_one(&self.query, &[&i32::try_from(id)?]).await?;
        let text: String = row.get(0);
        let set = redis::cmd("SET").arg(&key).arg(&text).arg("EX").arg(600).to_owned();
        let () = set.query_async(&mut self.redis).await?;
        Ok(text)
    }
}

/// One and 64 tasks that read warm rows.
pub(crate) async fn all(
    table: &mut Table,
    rounds: usize,
    binary: &str,
    redis: &Redis,
    postgres: &Postgres,
) -> Result<(), Failure> {
    let (client, connection) =
        tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await?;
    let driven = tokio::spawn(connection);
    client
        .batch_execute(
            "CREATE TABLE users (id int PRIMARY KEY, name text, phone text);
             INSERT INTO users SELECT n, 'user ' || n, '+49 ' || n FROM generate_series(0, 999) n",
        )
        .await?;
    let query = client.prepare(QUERY).await?;
    let raw = redis::Client::open(redis.url())?.get_multiplexed_async_connection().await?;
    let aside = Aside { redis: raw, postgres: Arc::new(client), query };
    for (name, cache) in [
        ("source GET over RESP, Redis", "[\"redis\"]"),
        ("source GET over RESP, memory", "[\"memory\", \"redis\"]"),
    ] {
        let mainstay = start_with(binary, &config(redis, postgres, cache))?;
        let url = format!("redis://127.0.0.1:{}", mainstay.port());
        let through = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        warm(through.clone()).await?;
        for tasks in [1, 64] {
            let (mut ours, mut reference) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                ours.push(measure(tasks, |task| gets(through.clone(), task)).await?.rate);
                reference.push(measure(tasks, |task| asides(aside.clone(), task)).await?.rate);
            }
            table.push(Row {
                name: format!("{name}, {tasks} tasks"),
                unit: "/s",
                ours,
                reference_name: "cache-aside by hand",
                reference,
                target: "",
            });
        }
    }
    drop(aside);
    driven.await??;
    Ok(())
}

/// Twice: the second time from where the copies stand. Redis may not be taken in yet.
async fn warm(mut through: MultiplexedConnection) -> Result<(), Failure> {
    let mut good = 0;
    for _ in 0..200 {
        let mut all = true;
        for id in 0..USERS {
            let found: redis::RedisResult<String> =
                redis::cmd("GET").arg(format!("user:{id}")).query_async(&mut through).await;
            all &= found.is_ok();
        }
        good += usize::from(all);
        if good == 3 {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err("the rows are never served".into())
}

async fn gets(mut through: MultiplexedConnection, task: usize) -> Result<usize, Failure> {
    let (begun, mut calls) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        let id = (calls * 7 + task * 31) % USERS;
        let key = format!("user:{id}");
        let _: String = redis::cmd("GET").arg(key).query_async(&mut through).await?;
        calls += 1;
    }
    Ok(calls)
}

async fn asides(mut aside: Aside, task: usize) -> Result<usize, Failure> {
    let (begun, mut calls) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        aside.get((calls * 7 + task * 31) % USERS).await?;
        calls += 1;
    }
    Ok(calls)
}

fn config(redis: &Redis, postgres: &Postgres, cache: &str) -> String {
    format!(
        r#"
[backends.redis]
url = "{}"
[backends.db]
url = "{}"
[[route]]
prefix = "user:"
cache = {cache}
ttl = "10m"
[route.source]
backend = "db"
query = "SELECT id, name, phone FROM users WHERE id = $1"
rows = "one"
"#,
        redis.url(),
        postgres.url()
    )
}
