//! A primary, a replica and the sentinels that watch them.
//! Knows nothing of clients that follow a failover.

use super::{Redis, RedisOptions};
use crate::servers::ServerError;
use crate::servers::command::Run;
use crate::servers::daemon::{Daemon, Launch};
use crate::servers::error::io_error;
use crate::servers::port::PortLease;
use crate::servers::workdir::WorkDir;
use std::fs;
use std::time::Duration;

const NAME: &str = "mainstay";

/// How many sentinels watch, and how patiently.
#[derive(Debug, Clone, Copy)]
pub struct SentinelOptions {
    /// 1 (quorum 1) or 3 (quorum 2).
    pub sentinels: usize,
    /// How long a primary is silent before it counts as down; much longer where no failover is wanted.
    pub down_after: Duration,
}

impl Default for SentinelOptions {
    fn default() -> Self {
        Self { sentinels: 3, down_after: Duration::from_secs(1) }
    }
}

/// One primary, one replica, and one or more sentinels.
#[derive(Debug)]
pub struct Sentinel {
    /// The server that was the primary at the start.
    pub primary: Redis,
    /// The server that was the replica at the start.
    pub replica: Redis,
    watchers: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    daemon: Daemon,
    port: PortLease,
    _dir: WorkDir,
}

impl Sentinel {
    /// Three sentinels, quorum two.
    pub async fn start() -> Result<Self, ServerError> {
        Self::start_with(SentinelOptions::default()).await
    }

    /// Ready when the replica is in step and every sentinel knows it and all the others.
    pub async fn start_with(options: SentinelOptions) -> Result<Self, ServerError> {
        let primary = Redis::start().await?;
        let replica_options =
            RedisOptions { replica_of: Some(primary.port()), ..Default::default() };
        let mut replica = Redis::start_with(replica_options).await?;
        let client = &replica.client;
        let in_step =
            async || client.run(&["ROLE"]).await.is_ok_and(|role| role.contains("connected"));
        replica.daemon.wait(in_step).await?;
        let quorum = options.sentinels / 2 + 1;
        let mut watchers = Vec::new();
        for _ in 0..options.sentinels {
            watchers.push(Watcher::start(primary.port(), quorum, options.down_after).await?);
        }
        for watcher in &mut watchers {
            watcher.wait_for_peers(options.sentinels - 1).await?;
        }
        Ok(Self { primary, replica, watchers })
    }

    /// `redis-sentinel://host:port,…/name`.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.ports().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis-sentinel://{}/{NAME}", hosts.join(","))
    }

    /// The ports of the sentinels.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.watchers.iter().map(|watcher| watcher.port.get())
    }

    /// The name under which the sentinels know the primary.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The port of the primary, as the first sentinel sees it.
    pub async fn primary_port(&self) -> Result<u16, ServerError> {
        let Some(watcher) = self.watchers.first() else { return Ok(self.primary.port()) };
        primary_port(watcher.port.get()).await
    }

    /// Waits until every sentinel names the replica and the replica has taken the role.
    pub async fn wait_for_failover(&mut self) -> Result<(), ServerError> {
        let Self { replica, watchers, .. } = self;
        for Watcher { daemon, port, .. } in watchers {
            let (sentinel, promoted) = (port.get(), replica.port());
            daemon
                .wait(async || primary_port(sentinel).await.is_ok_and(|named| named == promoted))
                .await?;
        }
        let client = &replica.client;
        let took_over =
            async || client.run(&["ROLE"]).await.is_ok_and(|role| role.starts_with("master"));
        replica.daemon.wait(took_over).await
    }
}

impl Watcher {
    async fn start(primary: u16, quorum: usize, down_after: Duration) -> Result<Self, ServerError> {
        let dir = WorkDir::new("sentinel")?;
        let port = PortLease::take()?;
        let file = dir.join("sentinel.conf");
        fs::write(&file, configuration(port.get(), primary, quorum, down_after))
            .map_err(io_error("write sentinel.conf"))?;
        let args = vec![file.into(), "--sentinel".into()];
        let launch =
            Launch { program: "redis-server".into(), args, dir: dir.path().to_owned(), user: None };
        let mut watcher = Self { daemon: Daemon::new(launch), port, _dir: dir };
        let number = watcher.port.get();
        watcher
            .daemon
            .start(async || cli(number, &["PING"]).await.is_ok_and(|answer| answer == "PONG"))
            .await?;
        // Sentinels find each other ten times as fast. The other periods have to stay: with shorter ones a replica whose
        // last INFO is a moment old is not eligible, and failovers are put off.
        let hurry = "SENTINEL DEBUG PUBLISH-PERIOD 200";
        cli(number, &hurry.split(' ').collect::<Vec<_>>()).await?;
        Ok(watcher)
    }

    async fn wait_for_peers(&mut self, peers: usize) -> Result<(), ServerError> {
        let port = self.port.get();
        let knows = async || {
            let Ok(text) = cli(port, &["SENTINEL", "MASTER", NAME]).await else { return false };
            field(&text, "num-slaves") == Some(1)
                && field(&text, "num-other-sentinels") == Some(peers)
        };
        self.daemon.wait(knows).await
    }
}

async fn primary_port(sentinel: u16) -> Result<u16, ServerError> {
    let answer = cli(sentinel, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).await?;
    let port = answer.lines().nth(1).and_then(|line| line.parse().ok());
    port.ok_or(ServerError::Command { command: "SENTINEL".to_owned(), message: answer })
}

fn configuration(port: u16, primary: u16, quorum: usize, down_after: Duration) -> String {
    let down_after = down_after.as_millis();
    format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {primary} {quorum}\n\
         sentinel down-after-milliseconds {NAME} {down_after}\nsentinel failover-timeout {NAME} 2000\n"
    )
}

async fn cli(port: u16, args: &[&str]) -> Result<String, ServerError> {
    Run::new("redis-cli")?
        .args(["-e", "-h", "127.0.0.1", "-p", &port.to_string()])
        .args(args)
        .output()
        .await
}

/// The number under `name` in a reply of alternating names and values.
fn field(text: &str, name: &str) -> Option<usize> {
    let mut lines = text.lines().skip_while(|line| *line != name);
    lines.nth(1)?.parse().ok()
}
