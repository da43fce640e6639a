//! Everything that runs: one Redis (alone or watched by Sentinel), one record, three processes, the proxies between them.
//! It must not choose what is broken.

use std::time::Duration;

use super::{options::Options, process::Process, record::Record};
use crate::{
    proxy::{Proxy, Toxics},
    servers::{Persist, Redis, RedisOptions, Sentinel, ServerError},
};

/// How many processes run.
pub(super) const PROCESSES: usize = 3;

/// The servers and processes of a run.
#[derive(Debug)]
pub(super) struct World {
    cache: Cache,
    pub(super) record: Record,
    pub(super) processes: Vec<Process>,
}

/// The server that holds the copies.
#[derive(Debug)]
enum Cache {
    /// Reached through the processes' proxies.
    Alone {
        redis: Box<Redis>,
        /// The master of before, while it still runs.
        demoted: Option<Box<Redis>>,
    },
    /// Reached directly: Sentinel names addresses that no proxy can stand before.
    Watched { sentinel: Box<Sentinel>, failed_over: bool },
}

impl World {
    pub(super) async fn start(options: &Options) -> Result<Self, ServerError> {
        let cache = match options.sentinel {
            false => Cache::Alone { redis: Box::new(start_redis().await?), demoted: None },
            true => {
                let sentinel = Box::new(Sentinel::start().await?);
                Cache::Watched { sentinel, failed_over: false }
            }
        };
        let record = Record::start(options.record).await?;
        let mut world = Self { cache, record, processes: Vec::new() };
        for _ in 0..PROCESSES {
            let url = match &world.cache {
                Cache::Watched { sentinel, .. } => Some(sentinel.url()),
                Cache::Alone { .. } => None,
            };
            let port = world.redis().port();
            let process = Process::start(options, port, url, &world.record).await?;
            world.processes.push(process);
        }
        Ok(world)
    }

    /// The master.
    pub(super) fn redis(&self) -> &Redis {
        match &self.cache {
            Cache::Alone { redis, .. } => redis,
            Cache::Watched { sentinel, failed_over: true } => &sentinel.replica,
            Cache::Watched { sentinel, failed_over: false } => &sentinel.primary,
        }
    }

    /// See [`Self::redis`].
    pub(super) fn redis_mut(&mut self) -> &mut Redis {
        match &mut self.cache {
            Cache::Alone { redis, .. } => redis,
            Cache::Watched { sentinel, failed_over: true } => &mut sentinel.replica,
            Cache::Watched { sentinel, failed_over: false } => &mut sentinel.primary,
        }
    }

    /// Faults on the way from all processes to Redis.
    pub(super) async fn to_redis(&self, toxics: &Toxics) {
        for process in &self.processes {
            process.to_redis.set(toxics.clone()).await;
        }
    }

    /// A replica stops hearing its master, and becomes one itself as it is this much later. The one of before still runs.
    pub(super) async fn promote_lagging(&mut self, lag: Duration) -> Result<(), ServerError> {
        let Cache::Alone { redis, demoted } = &mut self.cache else { return Ok(()) };
        let (fresh, link) = replica_of(redis).await?;
        link.set(Toxics::partition()).await;
        tokio::time::sleep(lag).await;
        fresh.redis_cli(&["REPLICAOF", "NO", "ONE"]).await?;
        *demoted = Some(std::mem::replace(redis, Box::new(fresh)));
        Ok(())
    }

    /// Ends the master of before.
    pub(super) fn end_demoted(&mut self) {
        if let Cache::Alone { demoted, .. } = &mut self.cache {
            *demoted = None;
        }
    }

    /// Waits until Sentinel has promoted the replica.
    pub(super) async fn failover(&mut self) -> Result<(), ServerError> {
        if let Cache::Watched { sentinel, failed_over } = &mut self.cache {
            sentinel.wait_for_failover().await?;
            *failed_over = true;
        }
        Ok(())
    }

    /// The primary of the beginning, under Sentinel.
    pub(super) fn old_primary(&mut self) -> Option<&mut Redis> {
        match &mut self.cache {
            Cache::Watched { sentinel, .. } => Some(&mut sentinel.primary),
            Cache::Alone { .. } => None,
        }
    }

    /// Waits until Sentinel has made a replica of the primary of the beginning: until then it is a master too, and who has
    /// reached it stays there.
    pub(super) async fn demoted(&mut self) {
        let Some(redis) = self.old_primary() else { return };
        for _ in 0..600 {
            if redis.redis_cli(&["ROLE"]).await.is_ok_and(|role| role.starts_with("slave")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A replica in step, and the link over which it follows.
async fn replica_of(redis: &Redis) -> Result<(Redis, Proxy), ServerError> {
    let link = Proxy::start(redis.port()).await?;
    // Told so afterwards: a restart must not make a replica of it again.
    let replica = start_redis().await?;
    let port = link.port().to_string();
    replica.redis_cli(&["REPLICAOF", "127.0.0.1", &port]).await?;
    for _ in 0..400 {
        if replica.redis_cli(&["ROLE"]).await.is_ok_and(|role| role.contains("connected")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok((replica, link))
}

async fn start_redis() -> Result<Redis, ServerError> {
    Redis::start_with(RedisOptions { persist: Persist::Rdb, ..Default::default() }).await
}
