//! Locks as they are had without a library: SET NX PX and compare-and-delete on Redis, a row that a transaction holds in
//! PostgreSQL.
//! It must not know Mainstay.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;

use super::{CONTENDERS, Hands};
use crate::{Failure, library::TIME};

const RELEASE: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";

/// Between two attempts on Redis: a tenth of what redis-py sleeps.
const POLL: Duration = Duration::from_millis(10);

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bare {
    Redis,
    Postgres,
}

/// A connection of its own.
pub(super) enum Locker {
    Redis(MultiplexedConnection),
    Postgres(tokio_postgres::Client),
}

impl Bare {
    pub(super) fn name(self) -> &'static str {
        match self {
            Bare::Redis => "SET NX PX + compare, delete",
            Bare::Postgres => "SELECT FOR UPDATE, commit",
        }
    }

    /// Connects; the row is made where there is none.
    pub(super) async fn open(self, [redis, postgres]: &[String; 2]) -> Result<Locker, Failure> {
        Ok(match self {
            Bare::Redis => {
                let client = redis::Client::open(&**redis)?;
                Locker::Redis(client.get_multiplexed_async_connection().await?)
            }
            Bare::Postgres => {
                let (client, connection) =
                    tokio_postgres::connect(postgres, tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                Locker::Postgres(client)
            }
        })
    }
}

impl Locker {
    async fn prepare(&self) -> Result<(), Failure> {
        if let Locker::Postgres(client) = self {
            let sql = "CREATE TABLE IF NOT EXISTS bare_lock (name text PRIMARY KEY); \
                       INSERT INTO bare_lock VALUES ('a') ON CONFLICT DO NOTHING";
            client.batch_execute(sql).await?;
        }
        Ok(())
    }

    /// Waits until it has the lock.
    async fn lock(&mut self, token: &str) -> Result<(), Failure> {
        match self {
            Locker::Redis(connection) => loop {
                let mut set = redis::cmd("SET");
                set.arg("bare").arg(token).arg("NX").arg("PX").arg(10_000);
                if set.query_async::<Option<String>>(connection).await?.is_some() {
                    return Ok(());
                }
                tokio::time::sleep(POLL).await;
            },
            Locker::Postgres(client) => {
                client.batch_execute("BEGIN").await?;
                client
                    .simple_query("SELECT name FROM bare_lock WHERE name = 'a' FOR UPDATE")
                    .await?;
                Ok(())
            }
        }
    }

    async fn release(&mut self, token: &str) -> Result<(), Failure> {
        match self {
            Locker::Redis(connection) => {
                let mut eval = redis::cmd("EVAL");
                eval.arg(RELEASE).arg(1).arg("bare").arg(token);
                eval.query_async::<i64>(connection).await?;
            }
            Locker::Postgres(client) => client.batch_execute("COMMIT").await?,
        }
        Ok(())
    }
}

/// Locks and releases, alone: how often a second.
pub(super) async fn pairs(mut locker: Locker) -> Result<f64, Failure> {
    locker.prepare().await?;
    let (begun, mut pairs) = (Instant::now(), 0_u32);
    while begun.elapsed() < TIME {
        locker.lock("alone").await?;
        locker.release("alone").await?;
        pairs += 1;
    }
    Ok(f64::from(pairs) / begun.elapsed().as_secs_f64())
}

/// The median of the time from a release to the next grant, each contender with a connection of its own.
pub(super) async fn hand_over(by: Bare, urls: &[String; 2]) -> Result<f64, Failure> {
    let mut lockers = Vec::new();
    for _ in 0..CONTENDERS {
        lockers.push(by.open(urls).await?);
    }
    lockers[0].prepare().await?;
    let (hands, begun) = (Arc::new(Mutex::new(Hands::default())), Instant::now());
    let contend = |(number, mut locker): (usize, Locker)| {
        let hands = Arc::clone(&hands);
        tokio::spawn(async move {
            let token = number.to_string();
            while begun.elapsed() < TIME {
                locker.lock(&token).await?;
                Hands::taken(&hands);
                Hands::releasing(&hands);
                locker.release(&token).await?;
            }
            Ok::<(), Failure>(())
        })
    };
    for ended in try_join_all(lockers.into_iter().enumerate().map(contend)).await? {
        ended?;
    }
    Ok(Hands::median(&hands))
}
