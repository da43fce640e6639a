//! A throw-away PostgreSQL.
//! Knows nothing of any schema or driver: it is told things through `psql`.

use super::certificates;
use super::command::Run;
use super::daemon::{Daemon, Launch};
use super::error::io_error;
use super::port::PortLease;
use super::user::User;
use super::workdir::WorkDir;
use super::{ServerError, template};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

const NAME: &str = "mainstay";
/// PostgreSQL refuses to run as root.
pub(super) const ACCOUNT: &str = "postgres";

/// How a throw-away PostgreSQL is set up.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Syncs to disk as in production; off by default, for speed.
    pub fsync: bool,
    /// Asks clients for the password (SCRAM) that the URL holds; off by default: everybody is trusted.
    pub require_password: bool,
    /// TLS, with a certificate for `127.0.0.1` and `localhost` signed by `Postgres::ca_path`; plain connections go on.
    pub tls: bool,
    /// Whoever does not present a certificate of that authority is refused; only with `tls`.
    pub require_certificate: bool,
    /// Further settings, name and value, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

/// A PostgreSQL of its own, on a free port of 127.0.0.1; user, password and database are `mainstay`.
#[derive(Debug)]
pub struct Postgres {
    daemon: Daemon,
    client: Client,
    options: PostgresOptions,
    user: Option<User>,
    _port: PortLease,
    dir: WorkDir,
}

impl Postgres {
    /// Starts one with the default options.
    pub async fn start() -> Result<Self, ServerError> {
        Self::start_with(PostgresOptions::default()).await
    }

    /// Starts one; ready to answer when this returns.
    pub async fn start_with(options: PostgresOptions) -> Result<Self, ServerError> {
        let dir = WorkDir::new("postgres")?;
        let user = User::instead_of_root(ACCOUNT)?;
        if options.tls {
            certificates::generate(dir.path()).await?;
            certificates::issue(dir.path(), "client", "DNS:client").await?;
        }
        if let Some(user) = user {
            user.own(dir.path())?;
            if options.tls {
                user.own(&dir.join("server.key"))?;
            }
        }
        let port = PortLease::take()?;
        let args = arguments(&options, dir.path(), port.get());
        let launch = Launch { program: "postgres".into(), args, dir: dir.path().to_owned(), user };
        let client = Client { port: port.get() };
        let mut postgres =
            Self { daemon: Daemon::new(launch), client, options, user, _port: port, dir };
        postgres.fill().await?;
        postgres.launch().await?;
        Ok(postgres)
    }

    /// `postgres://…`, with user, password and database.
    pub fn url(&self) -> String {
        url(self.port())
    }

    /// The certificate (PEM) that signed the server's, when [`PostgresOptions::tls`] is set.
    pub fn ca_path(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// A client's certificate of the same authority and its key (PEM), when [`PostgresOptions::tls`] is set.
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("client.crt"), self.dir.join("client.key"))
    }

    /// The port on 127.0.0.1; the same after each restart.
    pub fn port(&self) -> u16 {
        self.client.port
    }

    /// The postmaster, unless it has been killed.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// Whether the process is there; a stopped one is.
    pub fn running(&mut self) -> bool {
        self.daemon.running()
    }

    /// SIGKILL to the postmaster and all its children.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// SIGSTOP to the postmaster and all its children: connections stay, nothing answers.
    pub fn stop(&self) {
        self.daemon.stop();
    }

    /// SIGCONT, the reverse of [`Postgres::stop`].
    pub fn cont(&self) {
        self.daemon.cont();
    }

    /// Kills and restarts with the same data: what was committed is recovered.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.restart_with(&[]).await
    }

    /// The same, with these variables in its environment: libfaketime's, say.
    pub async fn restart_with(&mut self, more: &[(String, String)]) -> Result<(), ServerError> {
        self.daemon.set_variables(more);
        self.kill();
        self.launch().await
    }

    /// Kills and restarts without any data.
    pub async fn restart_empty(&mut self) -> Result<(), ServerError> {
        self.kill();
        self.dir.remove_data();
        self.fill().await?;
        self.launch().await
    }

    /// Runs one SQL text with `psql`; columns are separated by `|`, rows by newlines.
    pub async fn psql(&self, sql: &str) -> Result<String, ServerError> {
        self.client.psql(sql).await
    }

    async fn launch(&mut self) -> Result<(), ServerError> {
        let Self { daemon, client, .. } = self;
        daemon.start(async || client.psql("select 1").await.is_ok()).await
    }

    /// Puts a fresh data directory into place.
    async fn fill(&self) -> Result<(), ServerError> {
        let version = Run::new("postgres")?.args(["--version"]).output().await?;
        let (data, user) = (self.dir.join("data"), self.user);
        template::copy(&version, user, &data, async |dir: &Path| initialize(dir, user).await)
            .await?;
        let method = if self.options.require_password { "scram-sha-256" } else { "trust" };
        // The first rule that fits counts: whoever comes encrypted shows a certificate; the tests' own `psql` comes plain.
        let certificate = match self.options.require_certificate {
            true => format!("hostssl all all 127.0.0.1/32 {method} clientcert=verify-ca\n"),
            false => String::new(),
        };
        let rule = format!(
            "{certificate}host all all 127.0.0.1/32 {method}\nhost replication all 127.0.0.1/32 {method}\n"
        );
        fs::write(data.join("pg_hba.conf"), rule).map_err(io_error("write pg_hba.conf"))
    }
}

async fn initialize(dir: &Path, user: Option<User>) -> Result<(), ServerError> {
    let password = dir.with_extension("password");
    fs::write(&password, NAME).map_err(io_error("write a password file"))?;
    let fixed = [
        "-U",
        NAME,
        "--auth=scram-sha-256",
        "-E",
        "UTF8",
        "--locale=C",
        "--wal-segsize=1",
        "--no-sync",
    ];
    let data = [OsString::from("-D"), dir.into(), "--pwfile".into(), password.clone().into()];
    Run::new("initdb")?.args(fixed).args(data).dir(dir).user(user).output().await?;
    fs::remove_file(&password).map_err(io_error("remove a password file"))?;
    let single = ["--single".into(), "-D".into(), OsString::from(dir), "postgres".into()];
    let create = format!("create database {NAME}\n");
    Run::new("postgres")?.args(single).dir(dir).user(user).input(&create).output().await.map(drop)
}

fn arguments(options: &PostgresOptions, dir: &Path, port: u16) -> Vec<OsString> {
    let data = &dir.join("data");
    // Without fsync a commit still leaves the process before it is acknowledged, and survives SIGKILL.
    let durable = if options.fsync { "on" } else { "off" };
    let fixed = [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("fsync", durable),
        ("full_page_writes", durable),
        ("shared_buffers", "16MB"),
        // In the data directory: a killed server leaves nothing behind in /dev/shm.
        ("dynamic_shared_memory_type", "mmap"),
        ("jit", "off"),
        ("log_min_messages", "warning"),
    ];
    let chosen = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut args =
        vec!["-D".into(), PathBuf::from(data).into(), "-p".into(), port.to_string().into()];
    for (name, value) in fixed.into_iter().chain(chosen) {
        args.push("-c".into());
        args.push(format!("{name}={value}").into());
    }
    if options.tls {
        let file = |name: &str, file: &str| format!("{name}={}", dir.join(file).display());
        let ca = file("ssl_ca_file", "ca.crt");
        let (cert, key) = (file("ssl_cert_file", "server.crt"), file("ssl_key_file", "server.key"));
        for setting in ["ssl=on".to_owned(), ca, cert, key] {
            args.push("-c".into());
            args.push(setting.into());
        }
    }
    args
}

pub(super) fn url(port: u16) -> String {
    format!("postgres://{NAME}:{NAME}@127.0.0.1:{port}/{NAME}")
}

/// How `psql` reaches one server, or the pooler in front of it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) port: u16,
}

impl Client {
    pub(super) async fn psql(&self, sql: &str) -> Result<String, ServerError> {
        let quiet =
            ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &url(self.port), "-c", sql];
        let psql = Run::new("psql")?.args(quiet).env("PGCONNECT_TIMEOUT", "5");
        psql.env("PGSSLMODE", "disable").output().await
    }
}
