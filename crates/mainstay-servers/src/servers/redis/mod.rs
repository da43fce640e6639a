//! A throw-away redis-server, alone or as a member of a Sentinel set or a cluster.
//! Knows nothing of the client library: it is told things through `redis-cli`.

mod cluster;
mod options;
mod sentinel;

pub use cluster::RedisCluster;
pub use options::{Persist, RedisOptions};
pub use sentinel::{Sentinel, SentinelOptions};

use super::ServerError;
use super::certificates;
use super::command::Run;
use super::daemon::{Daemon, Launch};
use super::error::io_error;
use super::port::PortLease;
use super::workdir::WorkDir;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A redis-server of its own, on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Redis {
    daemon: Daemon,
    client: Client,
    port: PortLease,
    bus: Option<PortLease>,
    dir: WorkDir,
}

impl Redis {
    /// Starts one with the default options: no persistence, no TLS, no password.
    pub async fn start() -> Result<Self, ServerError> {
        Self::start_with(RedisOptions::default()).await
    }

    /// Starts one; ready to answer when this returns.
    pub async fn start_with(options: RedisOptions) -> Result<Self, ServerError> {
        let dir = WorkDir::new("redis")?;
        if options.tls {
            certificates::generate(dir.path()).await?;
            certificates::issue(dir.path(), "client", "DNS:client").await?;
        }
        let port = PortLease::take()?;
        let bus = if options.cluster { Some(PortLease::take()?) } else { None };
        let args = options.arguments(dir.path(), port.get(), bus.as_ref().map(PortLease::get));
        let launch =
            Launch { program: "redis-server".into(), args, dir: dir.path().to_owned(), user: None };
        let client = Client {
            port: port.get(),
            ca: options.tls.then(|| dir.join("ca.crt")),
            password: options.password,
        };
        let mut redis = Self { daemon: Daemon::new(launch), client, port, bus, dir };
        redis.launch().await?;
        Ok(redis)
    }

    /// `redis://…` or `rediss://…`, with the password if there is one.
    pub fn url(&self) -> String {
        let scheme = if self.client.ca.is_some() { "rediss" } else { "redis" };
        let password =
            self.client.password.as_ref().map(|word| format!(":{word}@")).unwrap_or_default();
        format!("{scheme}://{password}127.0.0.1:{}", self.port())
    }

    /// `redis+unix://…`, when [`RedisOptions::unix_socket`] is set.
    pub fn unix_url(&self) -> String {
        format!("redis+unix://{}", self.unix_socket().display())
    }

    /// The path of the unix socket, when [`RedisOptions::unix_socket`] is set.
    pub fn unix_socket(&self) -> PathBuf {
        options::unix_socket(self.dir.path())
    }

    /// The certificate (PEM) that signed the server's, when [`RedisOptions::tls`] is set.
    pub fn ca_path(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// The port on 127.0.0.1; the same after each restart.
    pub fn port(&self) -> u16 {
        self.port.get()
    }

    /// The cluster bus's port; the plain port for a server that is not in a cluster.
    fn bus_port(&self) -> u16 {
        self.bus.as_ref().unwrap_or(&self.port).get()
    }

    /// A client's certificate of the same authority and its key (PEM), when [`RedisOptions::tls`] is set.
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("client.crt"), self.dir.join("client.key"))
    }

    /// The process, unless it has been killed.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// Whether the process is there; a stopped one is.
    pub fn running(&mut self) -> bool {
        self.daemon.running()
    }

    /// SIGKILL: what was not written to disk is gone.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn stop(&self) {
        self.daemon.stop();
    }

    /// SIGCONT, the reverse of [`Redis::stop`].
    pub fn cont(&self) {
        self.daemon.cont();
    }

    /// Restarts with the same data: a running server saves first; one that was killed finds what is on its disk.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        if self.daemon.running() {
            self.daemon.cont();
            // A server that cannot save (or hangs) is killed by the launch below; its disk then holds what it holds.
            let _answer_or_end = self.redis_cli(&["SHUTDOWN", "SAVE"]).await;
            self.daemon.ended(Duration::from_secs(5)).await;
        }
        self.launch().await
    }

    /// Kills and restarts without any data, with a new run id.
    pub async fn restart_empty(&mut self) -> Result<(), ServerError> {
        self.kill();
        self.forget()?;
        self.launch().await
    }

    /// Keeps the present data aside for [`Redis::restart_from_snapshot`].
    pub async fn snapshot(&self) -> Result<(), ServerError> {
        self.redis_cli(&["SAVE"]).await?;
        let copied = fs::copy(self.dir.join("dump.rdb"), self.dir.join("snapshot.rdb"));
        copied.map(drop).map_err(io_error("keep a snapshot"))
    }

    /// Kills and restarts with the data of the last [`Redis::snapshot`]: everything since then is rolled back.
    pub async fn restart_from_snapshot(&mut self) -> Result<(), ServerError> {
        self.kill();
        self.forget()?;
        let copied = fs::copy(self.dir.join("snapshot.rdb"), self.dir.join("dump.rdb"));
        copied.map_err(io_error("restore a snapshot (was one taken?)"))?;
        self.launch().await
    }

    /// Runs `redis-cli` with these arguments; an error reply is an error.
    pub async fn redis_cli(&self, args: &[&str]) -> Result<String, ServerError> {
        self.client.run(args).await
    }

    /// Starts the process anew and waits until it answers PING, its data loaded.
    async fn launch(&mut self) -> Result<(), ServerError> {
        let Self { daemon, client, .. } = self;
        daemon
            .start(async || client.run(&["PING"]).await.is_ok_and(|answer| answer == "PONG"))
            .await
    }

    fn forget(&self) -> Result<(), ServerError> {
        for name in ["dump.rdb", "appendonlydir"] {
            let path = self.dir.join(name);
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(error) = removed
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(io_error(format!("remove {}", path.display()))(error));
            }
        }
        Ok(())
    }
}

/// How `redis-cli` reaches one server.
#[derive(Debug)]
struct Client {
    port: u16,
    ca: Option<PathBuf>,
    password: Option<String>,
}

impl Client {
    async fn run(&self, args: &[&str]) -> Result<String, ServerError> {
        let mut run =
            Run::new("redis-cli")?.args(["-e", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some(ca) = &self.ca {
            run = run.args(["--tls", "--cacert"]).args([ca]);
        }
        if let Some(password) = &self.password {
            run = run.env("REDISCLI_AUTH", password);
        }
        run.args(args).output().await
    }
}
