//! A table of 1,000 users, read by key through a source route: how often the table is asked, and how quick the answers are.
//!
//! `cargo run -p mainstay --example read_through`: a SQLite file, copies in this process. `DATABASE_URL` (PostgreSQL) puts the
//! table `mainstay_example_users` there, `REDIS_URL` the copies into a Redis.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{path::Path, time::Duration};

use futures_util::future::try_join_all;
use mainstay::{
    Clock, Config, Storage,
    config::{BackendConfig, RouteConfig, SourceConfig},
    op::Rows,
    status::LoadStatus,
};
use tokio_postgres::NoTls;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USERS: u64 = 1_000;
const READERS: u64 = 16;
const READS: u64 = 1_000;

const TABLE: &str = "
    drop table if exists mainstay_example_users;
    create table mainstay_example_users (id integer primary key, name text not null, phone_number text);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)
    insert into mainstay_example_users select i, 'user ' || i, '+1-555-' || (10000 + i) from n;";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("mainstay-read-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = run(&folder).await;
    std::fs::remove_dir_all(folder)?;
    outcome
}

async fn run(folder: &Path) -> Result<(), Failure> {
    let database = match std::env::var("DATABASE_URL") {
        Ok(url) => in_postgres(url).await?,
        Err(_) => in_sqlite(folder)?,
    };
    let storage = Storage::open(config(database)).await?;
    until_up(&storage).await;
    for key in ["user:42", "user:1001"] {
        println!("{key}: {:?}", storage.get(key).await?.map(|entry| entry.value));
    }
    for round in ["cold", "warm"] {
        report(round, &storage).await?;
    }
    storage.invalidate_prefix("user:").await?;
    report("after the invalidation of all", &storage).await?;
    storage.close(Duration::from_secs(5)).await;
    Ok(())
}

/// What a file would say in `[[route]]` and `[route.source]`.
fn config(database: BackendConfig) -> Config {
    let placeholder = if database.url.starts_with("postgres") { "$1" } else { "?1" };
    let table = "select id, name, phone_number from mainstay_example_users";
    let source = SourceConfig {
        backend: "db".to_owned(),
        query: format!("{table} where id = {placeholder}"),
        params: vec!["{1}".to_owned()],
        rows: Rows::One,
        empty_ttl: Duration::from_secs(60),
        default: None,
        inflight_max: None,
        tags: Vec::new(),
        changes: None,
    };
    let mut config = Config::default();
    config.backends.insert("db".to_owned(), database);
    let mut cache = vec![Config::MEMORY.to_owned()];
    if let Ok(url) = std::env::var("REDIS_URL") {
        config.backends.insert("redis".to_owned(), BackendConfig::at(url));
        cache.push("redis".to_owned());
    }
    config.routes.push(RouteConfig {
        prefix: "user:".to_owned(),
        cache,
        ttl: Some(Duration::from_secs(360)),
        source: Some(source),
        ..RouteConfig::default()
    });
    config
}

fn in_sqlite(folder: &Path) -> Result<BackendConfig, Failure> {
    let file = folder.join("app.db");
    rusqlite::Connection::open(&file)?.execute_batch(TABLE)?;
    Ok(BackendConfig::at(format!("sqlite:{}", file.display())))
}

async fn in_postgres(url: String) -> Result<BackendConfig, Failure> {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    let (made, driven) = tokio::join!(
        async {
            let made = client.batch_execute(TABLE).await;
            drop(client);
            made
        },
        connection
    );
    made.and(driven)?;
    Ok(BackendConfig::at(url))
}

async fn until_up(storage: &Storage) {
    while storage.status().health != mainstay::status::Health::Up {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sixteen readers of all keys, few of them much more often than most.
async fn report(round: &str, storage: &Storage) -> Result<(), Failure> {
    let (before, clock) = (loads(storage), Clock::system());
    let begun = clock.now();
    let readers = (0..READERS).map(|reader| read(storage.clone(), clock.clone(), reader));
    let mut took: Vec<Duration> = try_join_all(readers).await?.into_iter().flatten().collect();
    let elapsed = clock.now() - begun;
    took.sort_unstable();
    let [half, most] = [50, 99].map(|share| took[took.len() * share / 100]);
    let (after, reads) = (loads(storage), READERS * READS);
    let (loads, joined) = (after.loads - before.loads, after.joined - before.joined);
    println!(
        "{round}: {reads} reads in {elapsed:.0?}, {loads} queries, {joined} waited for another's, {:.1} % without a query; \
         half within {half:.1?}, 99 % within {most:.1?}",
        100.0 - 100.0 * loads as f64 / reads as f64
    );
    Ok(())
}

async fn read(storage: Storage, clock: Clock, reader: u64) -> Result<Vec<Duration>, Failure> {
    let mut took = Vec::new();
    for read in 0..READS {
        // The square of an even spread: a quarter of all reads is for a sixteenth of the keys.
        let spread = (read * 7_919 + reader * 104_729) % USERS;
        let id = 1 + spread * spread / USERS;
        let begun = clock.now();
        let entry = storage.get(format!("user:{id}")).await?.ok_or("a user is missing")?;
        took.push(clock.now() - begun);
        assert!(entry.value.starts_with(format!("{{\"id\":{id},").as_bytes()), "{entry:?}");
    }
    Ok(took)
}

fn loads(storage: &Storage) -> LoadStatus {
    storage.status().loads.into_iter().next().unwrap_or_default()
}
