//! A throw-away PgBouncer in transaction mode, in front of a PostgreSQL.
//! Knows nothing of the PostgreSQL but its port.

use super::ServerError;
use super::command::Run;
use super::daemon::{Daemon, Launch};
use super::error::io_error;
use super::port::PortLease;
use super::postgres::{ACCOUNT, Client, Postgres, url};
use super::user::User;
use super::workdir::WorkDir;
use std::fs;

/// A transaction pooler: no named prepared statement, no LISTEN and no session lock outlives its transaction.
#[derive(Debug)]
pub struct PgBouncer {
    daemon: Daemon,
    client: Client,
    _port: PortLease,
    _dir: WorkDir,
}

impl PgBouncer {
    /// Starts one in front of `postgres`, which must outlive it to be of use; ready when this returns.
    pub async fn start(postgres: &Postgres) -> Result<Self, ServerError> {
        Self::start_with(postgres, "").await
    }

    /// Starts one with further settings, as in the section `[pgbouncer]` of its file, a line each.
    pub async fn start_with(postgres: &Postgres, settings: &str) -> Result<Self, ServerError> {
        let dir = WorkDir::new("pgbouncer")?;
        let port = PortLease::take()?;
        let users = dir.join("users.txt");
        let file = dir.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 4\n\
             admin_users = mainstay\n{settings}\n",
            postgres.port(),
            port.get(),
            users.display()
        );
        fs::write(&file, text).map_err(io_error("write pgbouncer.ini"))?;
        fs::write(&users, "\"mainstay\" \"mainstay\"\n").map_err(io_error("write users.txt"))?;
        let user = User::instead_of_root(ACCOUNT)?;
        let launch = Launch {
            program: "pgbouncer".into(),
            args: vec![file.into()],
            dir: dir.path().to_owned(),
            user,
        };
        let client = Client { port: port.get() };
        let mut bouncer = Self { daemon: Daemon::new(launch), client, _port: port, _dir: dir };
        bouncer.restart().await?;
        Ok(bouncer)
    }

    /// `postgres://…` through the pooler.
    pub fn url(&self) -> String {
        url(self.port())
    }

    /// The port on 127.0.0.1; the same after each restart.
    pub fn port(&self) -> u16 {
        self.client.port
    }

    /// SIGKILL: every client's connection is cut.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn stop(&self) {
        self.daemon.stop();
    }

    /// SIGCONT, the reverse of [`PgBouncer::stop`].
    pub fn cont(&self) {
        self.daemon.cont();
    }

    /// Kills and starts it again on the same port.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        let Self { daemon, client, .. } = self;
        daemon.start(async || client.psql("select 1").await.is_ok()).await
    }

    /// Runs one SQL text with `psql` through the pooler.
    pub async fn psql(&self, sql: &str) -> Result<String, ServerError> {
        self.client.psql(sql).await
    }

    /// Runs one command of the pooler's own console, such as `PAUSE`, `RESUME` or `KILL mainstay`.
    pub async fn admin(&self, command: &str) -> Result<String, ServerError> {
        let console = format!("postgres://mainstay@127.0.0.1:{}/pgbouncer", self.port());
        Run::new("psql")?
            .args(["-X", "-q", "-A", "-t", "-d", &console, "-c", command])
            .output()
            .await
    }
}
