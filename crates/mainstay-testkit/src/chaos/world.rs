//! Everything that runs: one Redis, one record, three processes, and the proxies between them.
//! It must not choose what is broken.

use super::{options::Options, process::Process, record::Record};
use crate::{
    proxy::{Proxy, Toxics},
    servers::{Persist, Redis, RedisOptions, ServerError},
};

/// How many processes run.
pub(super) const PROCESSES: usize = 3;

/// The servers and processes of a run.
#[derive(Debug)]
pub(super) struct World {
    pub(super) redis: Redis,
    /// A replica that is to be promoted, and the link over which it follows.
    pub(super) replica: Option<(Redis, Proxy)>,
    /// The master of before, while it still runs.
    pub(super) demoted: Option<Redis>,
    pub(super) record: Record,
    pub(super) processes: Vec<Process>,
}

impl World {
    pub(super) async fn start(options: &Options) -> Result<Self, ServerError> {
        let redis = start_redis().await?;
        let record = Record::start(options.record).await?;
        let mut processes = Vec::new();
        for _ in 0..PROCESSES {
            processes.push(Process::start(options, redis.port(), &record).await?);
        }
        Ok(Self { redis, replica: None, demoted: None, record, processes })
    }

    /// Faults on the way from these processes to Redis.
    pub(super) async fn to_redis(&self, toxics: &Toxics) {
        for process in &self.processes {
            process.to_redis.set(toxics.clone()).await;
        }
    }

    /// A replica that is in step.
    pub(super) async fn add_replica(&mut self) -> Result<(), ServerError> {
        let link = Proxy::start(self.redis.port()).await?;
        // Told so afterwards: a restart must not make a replica of it again.
        let replica = start_redis().await?;
        let port = link.port().to_string();
        replica.redis_cli(&["REPLICAOF", "127.0.0.1", &port]).await?;
        for _ in 0..400 {
            let role = replica.redis_cli(&["ROLE"]).await.unwrap_or_default();
            if role.contains("connected") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        self.replica = Some((replica, link));
        Ok(())
    }

    /// The replica, as it is, becomes the master; the one of before is kept as `demoted`, and still runs.
    pub(super) async fn promote(&mut self) -> Result<(), ServerError> {
        let Some((replica, _link)) = self.replica.take() else { return Ok(()) };
        replica.redis_cli(&["REPLICAOF", "NO", "ONE"]).await?;
        self.demoted = Some(std::mem::replace(&mut self.redis, replica));
        Ok(())
    }
}

async fn start_redis() -> Result<Redis, ServerError> {
    Redis::start_with(RedisOptions { persist: Persist::Rdb, ..Default::default() }).await
}
