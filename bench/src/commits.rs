//! Writes of many tasks to a record with a cache before it, against one commit for each write by the bare driver: the same
//! server, which syncs each commit to the disk, and as many connections.
//! It must not know how writes are sent together.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mainstay::{Config, Storage, config::BackendConfig};
use mainstay_testkit::servers::{MariaDb, MariaDbOptions, Postgres, PostgresOptions, Redis};
use mysql_async::{PoolConstraints, PoolOpts, prelude::Queryable};

use crate::{
    Failure,
    library::{TIME, measure},
    record::{KEYS, config, sets, until},
    table::{Row, Table},
};

/// Connections of the bare driver: as many as a backend of the library has.
const CONNECTIONS: usize = 25;

/// Calls in flight where they are not to be what bounds a batch; the default is one for each connection.
const INFLIGHT: usize = 256;

/// One engine and its bare driver.
enum Bare {
    Postgres(Vec<tokio_postgres::Client>),
    Mysql(mysql_async::Pool),
    Sqlite(Mutex<rusqlite::Connection>),
}

const VALUE: &[u8] = b"some value";
const POSTGRES: &str = "INSERT INTO bare AS b (k, n, v) VALUES ($1, 1, $2) \
     ON CONFLICT (k) DO UPDATE SET n = b.n + 1, v = excluded.v RETURNING n";
const MYSQL: &str = "INSERT INTO bare (k, n, v) VALUES (?, LAST_INSERT_ID(1), ?) \
     ON DUPLICATE KEY UPDATE n = LAST_INSERT_ID(n + 1), v = VALUES(v)";
const SQLITE: &str = "INSERT INTO bare (k, n, v) VALUES (?1, 1, ?2) \
     ON CONFLICT (k) DO UPDATE SET n = n + 1, v = excluded.v RETURNING n";

/// All three engines.
pub(crate) async fn all(table: &mut Table, rounds: usize) -> Result<(), Failure> {
    let redis = Redis::start().await?;
    {
        let options = PostgresOptions { fsync: true, ..Default::default() };
        let postgres = Postgres::start_with(options).await?;
        let bare = Bare::postgres(&postgres.url()).await?;
        engine(table, rounds, ("PostgreSQL", "upsert, commit"), &redis, &postgres.url(), bare)
            .await?;
    }
    {
        let mariadb = MariaDb::start_with(MariaDbOptions { fsync: true, ..Default::default() });
        let mariadb = mariadb.await?;
        let bare = Bare::mysql(&mariadb.url()).await?;
        engine(table, rounds, ("MariaDB", "upsert, commit"), &redis, &mariadb.url(), bare).await?;
    }
    let folder = Folder::new()?;
    let url = format!("sqlite://{}/ours.db", folder.0.display());
    let bare = Bare::sqlite(&folder.0.join("bare.db"))?;
    engine(table, rounds, ("SQLite", "upsert, commit"), &redis, &url, bare).await
}

/// A folder that is gone with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let name = format!("mainstay-bench-commits-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

async fn engine(
    table: &mut Table,
    rounds: usize,
    (name, reference_name): (&'static str, &'static str),
    redis: &Redis,
    url: &str,
    bare: Bare,
) -> Result<(), Failure> {
    let bare = Arc::new(bare);
    let default = BackendConfig::at(url);
    let wide = BackendConfig {
        inflight_max: Some(INFLIGHT),
        connections: Some(CONNECTIONS),
        ..default.clone()
    };
    for (config, kind, tasks) in
        [(default, "", &[1, 16, 64][..]), (wide, ", inflight_max 256", &[64, 256])]
    {
        let storage = Storage::open(record(redis, config)).await?;
        until(|| storage.status().caches[0].readable).await?;
        for tasks in tasks.iter().copied() {
            let (mut ours, mut reference) = (Vec::new(), Vec::new());
            // A write that is alone has to ask Redis once before its commit: that is no cost of ours.
            let trip = if tasks == 1 { Some(connection_to(redis).await?) } else { None };
            for _ in 0..rounds {
                ours.push(measure(tasks, |task| sets(storage.clone(), task)).await?.rate);
                let load = |task| commits(Arc::clone(&bare), trip.clone(), task);
                reference.push(measure(tasks, load).await?.rate);
            }
            table.push(Row {
                name: format!("record route, durable write, {name}, {tasks} tasks{kind}"),
                unit: "/s",
                ours,
                reference_name: if trip.is_some() {
                    "SET on Redis, upsert, commit"
                } else {
                    reference_name
                },
                reference,
                target: match tasks {
                    1 => "ratio >= 0.87",
                    64 => "ratio >= 4",
                    _ => "",
                },
            });
        }
        storage.close(Duration::from_secs(5)).await;
    }
    Ok(())
}

async fn connection_to(redis: &Redis) -> Result<redis::aio::MultiplexedConnection, Failure> {
    Ok(redis::Client::open(redis.url())?.get_multiplexed_async_connection().await?)
}

fn record(redis: &Redis, backend: BackendConfig) -> Config {
    let mut config = config(&redis.url(), &backend.url);
    config.backends.insert("db".to_owned(), backend);
    config
}

impl Bare {
    async fn postgres(url: &str) -> Result<Self, Failure> {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
            drop(tokio::spawn(connection));
            clients.push(client);
        }
        let create = "CREATE TABLE bare (k bytea PRIMARY KEY, n bigint NOT NULL, v bytea)";
        clients[0].batch_execute(create).await?;
        Ok(Self::Postgres(clients))
    }

    async fn mysql(url: &str) -> Result<Self, Failure> {
        let places = PoolConstraints::new(1, CONNECTIONS).ok_or("places")?;
        let options = PoolOpts::new().with_constraints(places).with_reset_connection(false);
        let options = mysql_async::OptsBuilder::from_opts(mysql_async::Opts::from_url(url)?)
            .prefer_socket(false)
            .pool_opts(options);
        let pool = mysql_async::Pool::new(options);
        let create =
            "CREATE TABLE bare (k VARBINARY(2048) PRIMARY KEY, n BIGINT NOT NULL, v LONGBLOB)";
        pool.get_conn().await?.query_drop(create).await?;
        Ok(Self::Mysql(pool))
    }

    fn sqlite(path: &std::path::Path) -> Result<Self, Failure> {
        let connection = rusqlite::Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             CREATE TABLE bare (k BLOB PRIMARY KEY, n INTEGER NOT NULL, v BLOB) WITHOUT ROWID",
        )?;
        Ok(Self::Sqlite(Mutex::new(connection)))
    }
}

/// One commit for each write.
async fn commits(
    bare: Arc<Bare>,
    mut trip: Option<redis::aio::MultiplexedConnection>,
    task: usize,
) -> Result<usize, Failure> {
    let (begun, mut calls) = (Instant::now(), 0);
    let prepared = match &*bare {
        Bare::Postgres(clients) => Some(clients[task % CONNECTIONS].prepare(POSTGRES).await?),
        Bare::Mysql(_) | Bare::Sqlite(_) => None,
    };
    while begun.elapsed() < TIME {
        let key = format!("b{task}:{}", calls % KEYS).into_bytes();
        if let Some(trip) = &mut trip {
            let _: () = redis::cmd("SET").arg(&key).arg(VALUE).query_async(trip).await?;
        }
        match (&*bare, &prepared) {
            (Bare::Postgres(clients), Some(statement)) => {
                // Several tasks on a connection pipeline what they send.
                let client = &clients[task % CONNECTIONS];
                client.query_one(statement, &[&key, &VALUE]).await?;
            }
            (Bare::Mysql(pool), _) => {
                pool.get_conn().await?.exec_drop(MYSQL, (key, VALUE)).await?;
            }
            _ => one_sqlite(&bare, key).await?,
        }
        calls += 1;
    }
    Ok(calls)
}

async fn one_sqlite(bare: &Arc<Bare>, key: Vec<u8>) -> Result<(), Failure> {
    let bare = Arc::clone(bare);
    let write = move || {
        let Bare::Sqlite(connection) = &*bare else { return Ok(0) };
        let connection = connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut statement = connection.prepare_cached(SQLITE)?;
        statement.query_row((&key, VALUE), |row| row.get::<_, i64>(0))
    };
    tokio::task::spawn_blocking(write).await??;
    Ok(())
}
