//! A cache too small for what is read, which evicts all the time: keys are loaded again and again, but never by many at
//! once, and nobody is told of it. It prints the rate of hits.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use mainstay_testkit::{
    load::{Client, Value},
    servers::{Postgres, Redis},
};
use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::process::Mainstay;

const KEYS: u64 = 2_000;
const READS: u64 = 500;
/// Of each of two processes.
const CLIENTS: u64 = 8;

/// How many loads of a key there are at this moment, as its value tells: an advisory lock for each of the first two.
const QUERY: &str = "SELECT id, at_once, body FROM users, (SELECT nextval('asked'), pg_sleep(0.003), \
    CASE WHEN pg_try_advisory_xact_lock(1, $1) THEN 1 WHEN pg_try_advisory_xact_lock(2, $1) THEN 2 ELSE 3 END AS at_once) load \
    WHERE id = $1";

#[derive(Default)]
struct Seen {
    /// What no reader may be given.
    wrong: Vec<String>,
    /// Keys that two processes have loaded at once.
    twice: BTreeSet<u64>,
}

async fn read(mut client: Client, seed: u64, seen: Arc<Mutex<Seen>>) {
    let mut state = seed;
    for _ in 0..READS {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (one, two) = ((state >> 11) % KEYS, (state >> 33) % KEYS);
        // Small numbers are read more often than large ones.
        let id = 1 + one * two / KEYS;
        let value = client.command(&[b"GET", format!("user:{id}").as_bytes()]).await.unwrap();
        let found = match &value {
            Value::Bulk(Some(rows)) => serde_json::from_slice::<Json>(rows).ok(),
            _ => None,
        };
        let found = found.filter(|user| user["id"] == id).map(|user| user["at_once"].as_u64());
        let mut seen = seen.lock().unwrap();
        match found.flatten() {
            Some(1) => {}
            Some(2) => drop(seen.twice.insert(id)),
            _ => seen.wrong.push(format!("user:{id}: {value:?}")),
        }
    }
}

async fn number(client: &tokio_postgres::Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Leaves so much room for copies that most of them have to go. How many went, and how.
async fn squeeze(redis: &Redis) -> Client {
    let address = format!("127.0.0.1:{}", redis.port()).parse().unwrap();
    let mut client = Client::connect(address).await.unwrap();
    let used = info(&mut client, "used_memory").await;
    let max = (used + 1_500_000).to_string();
    for (name, value) in [("maxmemory", &*max), ("maxmemory-policy", "allkeys-lru")] {
        let set = [b"CONFIG", &b"SET"[..], name.as_bytes(), value.as_bytes()];
        assert!(!matches!(client.command(&set).await.unwrap(), Value::Error(_)));
    }
    client
}

async fn info(client: &mut Client, field: &str) -> u64 {
    let Value::Bulk(Some(text)) = client.command(&[b"INFO", b"everything"]).await.unwrap() else {
        panic!("INFO gives text");
    };
    let text = String::from_utf8(text.to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().trim().parse().unwrap()
}

/// What the processes have counted.
async fn counted(processes: &[Mainstay], field: &str) -> u64 {
    let mut sum = 0;
    for process in processes {
        let answer = process.http_get("/v1/status").await;
        let body = answer.split_once("\r\n\r\n").map_or(&*answer, |(_, body)| body);
        let status: Json = serde_json::from_str(body).unwrap();
        let loads = status["loads"].as_array().unwrap();
        sum += loads.iter().filter_map(|route| route[field].as_u64()).sum::<u64>();
    }
    sum
}

#[tokio::test]
async fn a_cache_that_evicts_all_the_time_makes_no_stampede() {
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let (client, connection) = tokio_postgres::connect(&postgres.url(), NoTls).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async move { connection.await.unwrap_or_default() });
    let setup = format!(
        "CREATE TABLE users (id int PRIMARY KEY, body text); CREATE SEQUENCE asked;
         INSERT INTO users SELECT n, repeat(md5(n::text), 64) FROM generate_series(1, {KEYS}) n"
    );
    client.batch_execute(&setup).await.unwrap();
    let config = format!(
        "[backends.redis]\nurl = \"{}\"\n[backends.db]\nurl = \"{}\"\n[[route]]\nprefix = \"user:\"\ncache = [\"redis\"]\n\
         ttl = \"10m\"\n[route.source]\nbackend = \"db\"\nquery = \"{QUERY}\"\nrows = \"one\"\n",
        redis.url(),
        postgres.url(),
    );
    let processes =
        [Mainstay::start_with(&config, &[]).await, Mainstay::start_with(&config, &[]).await];
    for process in &processes {
        process.wait_for("db", "up").await;
        process.wait_for("redis", "up").await;
    }
    let (mut cache, seen) = (squeeze(&redis).await, Arc::new(Mutex::new(Seen::default())));
    let mut readers = JoinSet::new();
    for reader in 0..2 * CLIENTS {
        let process = &processes[usize::try_from(reader % 2).unwrap()];
        let client = Client::connect(process.resp()).await.unwrap();
        readers.spawn(read(client, reader, Arc::clone(&seen)));
    }
    readers.join_all().await;

    let reads = 2 * CLIENTS * READS;
    let evicted = info(&mut cache, "evicted_keys").await;
    let asked = u64::try_from(number(&client, "SELECT last_value FROM asked").await).unwrap();
    let [hits, joined, loads, shared, refreshes, shed] = [
        counted(&processes, "hits").await,
        counted(&processes, "joined").await,
        counted(&processes, "loads").await,
        counted(&processes, "shared").await,
        counted(&processes, "refreshes").await,
        counted(&processes, "shed_database_saturated").await,
    ];
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let text = format!(
        "{reads} reads of {KEYS} keys, {evicted} evicted: {} % hits, {joined} joined, {shared} left to the other process, \
         {loads} loads; by both processes at once: {} keys",
        hits * 100 / reads,
        seen.twice.len(),
    );
    println!("{text}");
    assert_eq!(seen.wrong, Vec::<String>::new(), "{text}");
    assert!(evicted > 0, "there was a storm: {text}");
    assert_eq!((asked, shed), (loads, 0), "{text}");
    assert!(loads + shared <= reads - hits - joined + refreshes, "one load a miss at most: {text}");
    for process in processes {
        process.terminate().await;
    }
}
