//! Servers and processes of a run, and what breaks them.
//! It must not know what the contenders do.

use std::{fmt, net::SocketAddr, time::Duration};

use mainstay_testkit::{
    proxy::{Proxy, Toxics},
    servers::{MariaDb, Postgres, Redis},
};

use super::{LEASE, NAMES, contender};
use crate::process::Mainstay;

/// Who grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Record,
    Redis,
    Failover,
    Quorum,
    Local,
    /// No Mainstay at all.
    Bare,
}

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// SIGKILL, and a new Redis without data.
    RedisEmptied,
    /// A replica that is half a second late takes the place of its master.
    RedisPromoted,
    /// SIGKILL of PostgreSQL, and a restart.
    DatabaseKilled,
    /// SIGKILL of one Mainstay, and a restart.
    ProcessKilled,
    /// SIGSTOP of one Mainstay for two leases.
    ProcessPaused,
    /// One Mainstay does not reach Redis for three leases.
    ProcessCutOff,
}

impl Mode {
    pub(super) const ALL: [Self; 6] =
        [Self::Record, Self::Redis, Self::Failover, Self::Quorum, Self::Local, Self::Bare];

    pub(super) fn faults(self) -> &'static [Fault] {
        use Fault::{
            DatabaseKilled, ProcessCutOff, ProcessKilled, ProcessPaused, RedisEmptied,
            RedisPromoted,
        };
        match self {
            Self::Record => &[DatabaseKilled, ProcessKilled, ProcessPaused],
            Self::Redis => {
                &[RedisEmptied, RedisPromoted, ProcessKilled, ProcessPaused, ProcessCutOff]
            }
            Self::Failover | Self::Quorum => &[
                RedisPromoted,
                DatabaseKilled,
                RedisEmptied,
                ProcessKilled,
                ProcessPaused,
                ProcessCutOff,
            ],
            Self::Local => &[ProcessKilled, ProcessPaused],
            Self::Bare => &[RedisPromoted],
        }
    }

    fn has_redis(self) -> bool {
        !matches!(self, Self::Record | Self::Local)
    }

    fn has_database(self) -> bool {
        matches!(self, Self::Record | Self::Failover | Self::Quorum)
    }

    fn processes(self) -> usize {
        match self {
            Self::Local => 1,
            Self::Bare => 0,
            Self::Record | Self::Redis | Self::Failover | Self::Quorum => 3,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record => "record",
            Self::Redis => "redis",
            Self::Failover => "failover",
            Self::Quorum => "quorum",
            Self::Local => "local",
            Self::Bare => "bare",
        })
    }
}

/// Everything that runs.
pub(super) struct World {
    mode: Mode,
    redis: Option<Redis>,
    /// Each process's way to Redis; one of the contenders where there is no process.
    links: Vec<Proxy>,
    postgres: Option<Postgres>,
    _maria: Option<MariaDb>,
    processes: Vec<Mainstay>,
    strikes: usize,
}

impl World {
    pub(super) async fn start(mode: Mode) -> Self {
        let (mut redis, mut postgres, mut maria) = (None, None, None);
        let (mut links, mut processes) = (Vec::new(), Vec::new());
        if mode.has_redis() {
            let started = Redis::start().await.unwrap();
            for _ in 0..mode.processes().max(1) {
                links.push(Proxy::start(started.port()).await.unwrap());
            }
            redis = Some(started);
        }
        if mode.has_database() {
            postgres = Some(Postgres::start().await.unwrap());
        }
        if mode == Mode::Quorum {
            maria = Some(MariaDb::start().await.unwrap());
        }
        for number in 0..mode.processes() {
            let mut backends = Vec::new();
            if let Some(link) = links.get(number) {
                backends.push(("redis", format!("redis://{}", link.address())));
            }
            backends.extend(postgres.as_ref().map(|postgres| ("db", postgres.url())));
            backends.extend(maria.as_ref().map(|maria| ("maria", maria.url())));
            if mode == Mode::Local {
                backends.push(("file", "sqlite:locks.db".to_owned()));
            }
            processes.push(Mainstay::start_with(&configuration(mode, &backends), &[]).await);
        }
        Self { mode, redis, links, postgres, _maria: maria, processes, strikes: 0 }
    }

    /// Where locks are asked for.
    pub(super) fn doors(&self) -> Vec<SocketAddr> {
        match self.mode {
            Mode::Bare => self.links.iter().map(Proxy::address).collect(),
            _ => self.processes.iter().map(Mainstay::resp).collect(),
        }
    }

    /// No lock is held for ever, whatever happened to its holders.
    pub(super) async fn every_lock_is_free(&self) {
        for name in 0..NAMES {
            for door in self.doors() {
                contender::is_free(door, name, self.mode).await;
            }
        }
    }

    /// Breaks, and mends again.
    pub(super) async fn strike(&mut self, fault: Fault) {
        self.strikes += 1;
        let victim = self.strikes % self.processes.len().max(1);
        match fault {
            Fault::RedisEmptied => {
                let redis = self.redis.as_mut().unwrap();
                redis.kill();
                tokio::time::sleep(LEASE / 3).await;
                redis.restart_empty().await.unwrap();
            }
            Fault::RedisPromoted => self.promote().await,
            Fault::DatabaseKilled => {
                let postgres = self.postgres.as_mut().unwrap();
                postgres.kill();
                tokio::time::sleep(LEASE / 2).await;
                postgres.restart().await.unwrap();
            }
            Fault::ProcessKilled => {
                self.processes[victim].kill().await;
                tokio::time::sleep(LEASE / 3).await;
                self.processes[victim].start_again().await;
            }
            Fault::ProcessPaused => {
                self.processes[victim].signal("STOP");
                tokio::time::sleep(LEASE * 2).await;
                self.processes[victim].signal("CONT");
            }
            Fault::ProcessCutOff => {
                self.links[victim].set(Toxics::partition()).await;
                tokio::time::sleep(LEASE * 3).await;
                self.links[victim].heal().await;
            }
        }
    }

    async fn promote(&mut self) {
        let master = self.redis.as_ref().unwrap();
        let replication = Proxy::start(master.port()).await.unwrap();
        let replica = Redis::start().await.unwrap();
        let port = replication.port().to_string();
        replica.redis_cli(&["REPLICAOF", "127.0.0.1", &port]).await.unwrap();
        let in_step = async {
            while !replica.redis_cli(&["ROLE"]).await.unwrap().contains("connected") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(super::PATIENCE, in_step).await.expect("the replica follows");
        replication.set(Toxics::partition()).await;
        tokio::time::sleep(LEASE / 2).await;
        replica.redis_cli(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
        for link in &self.links {
            link.lead_to(replica.port()).await;
        }
        self.redis = Some(replica);
    }
}

fn configuration(mode: Mode, backends: &[(&str, String)]) -> String {
    let lease = LEASE.as_millis();
    let mut text =
        format!("locks.mode = \"{mode}\"\nlocks.ttl_max = \"{lease}ms\"\nlocks.view = \"300ms\"\n");
    for (name, url) in backends {
        text.push_str(&format!(
            "backends.{name}.url = \"{url}\"\nbackends.{name}.breaker.open = \"500ms\"\n\
             backends.{name}.breaker.open_max = \"1s\"\nbackends.{name}.reconnect.max = \"500ms\"\n"
        ));
    }
    let names: Vec<String> = backends.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    text.push_str(&format!("locks.backends = [{}]\n", names.join(", ")));
    text
}
