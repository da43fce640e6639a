//! A throw-away MariaDB.
//! Knows nothing of any schema or driver: it is told things through the `mariadb` client.

use super::certificates;
use super::command::Run;
use super::daemon::{Daemon, Launch};
use super::port::PortLease;
use super::user::current_uid;
use super::workdir::WorkDir;
use super::{ServerError, template};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const NAME: &str = "mainstay";
const SETUP: &str = "\
    flush privileges;\n\
    create database mainstay;\n\
    create user 'mainstay'@'%' identified by 'mainstay';\n\
    grant all on *.* to 'mainstay'@'%' with grant option;\n";
/// The same when the data directory is made and when it is used, or the log would be rebuilt at each start.
const LOG_SIZE: &str = "--innodb-log-file-size=4M";

/// How a throw-away MariaDB is set up.
#[derive(Debug, Clone, Default)]
pub struct MariaDbOptions {
    /// Syncs at each commit as in production; off by default, for speed.
    pub fsync: bool,
    /// TLS, with a certificate for `127.0.0.1` and `localhost` signed by `MariaDb::ca_path`; plain connections go on.
    pub tls: bool,
    /// Further settings, name and value, as in `my.cnf`.
    pub settings: Vec<(String, String)>,
}

/// A MariaDB of its own, on a free port of 127.0.0.1; user, password and database are `mainstay`.
#[derive(Debug)]
pub struct MariaDb {
    daemon: Daemon,
    client: Client,
    _port: PortLease,
    dir: WorkDir,
}

impl MariaDb {
    /// Starts one with the default options.
    pub async fn start() -> Result<Self, ServerError> {
        Self::start_with(MariaDbOptions::default()).await
    }

    /// Starts one; ready to answer when this returns.
    pub async fn start_with(options: MariaDbOptions) -> Result<Self, ServerError> {
        let dir = WorkDir::new("mariadb")?;
        if options.tls {
            certificates::generate(dir.path()).await?;
            certificates::issue(dir.path(), "client", "DNS:client").await?;
        }
        let port = PortLease::take()?;
        let args = arguments(&options, dir.path(), port.get());
        let launch =
            Launch { program: "mariadbd".into(), args, dir: dir.path().to_owned(), user: None };
        let client = Client { port: port.get() };
        let mut mariadb = Self { daemon: Daemon::new(launch), client, _port: port, dir };
        mariadb.fill().await?;
        mariadb.launch().await?;
        Ok(mariadb)
    }

    /// `mysql://…`, with user, password and database.
    pub fn url(&self) -> String {
        format!("mysql://{NAME}:{NAME}@127.0.0.1:{}/{NAME}", self.port())
    }

    /// The certificate (PEM) that signed the server's, when [`MariaDbOptions::tls`] is set.
    pub fn ca_path(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// A client's certificate of the same authority and its key (PEM), when [`MariaDbOptions::tls`] is set.
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("client.crt"), self.dir.join("client.key"))
    }

    /// The port on 127.0.0.1; the same after each restart.
    pub fn port(&self) -> u16 {
        self.client.port
    }

    /// The process, unless it has been killed.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// Whether the process is there; a stopped one is.
    pub fn running(&mut self) -> bool {
        self.daemon.running()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn stop(&self) {
        self.daemon.stop();
    }

    /// SIGCONT, the reverse of [`MariaDb::stop`].
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

    /// Runs one SQL text; columns are separated by tabs, rows by newlines.
    pub async fn sql(&self, sql: &str) -> Result<String, ServerError> {
        self.client.sql(sql).await
    }

    async fn launch(&mut self) -> Result<(), ServerError> {
        let Self { daemon, client, .. } = self;
        daemon.start(async || client.sql("select 1").await.is_ok()).await
    }

    /// Puts a fresh data directory into place.
    async fn fill(&self) -> Result<(), ServerError> {
        let version = Run::new("mariadbd")?.args(["--no-defaults", "--version"]).output().await?;
        template::copy(&version, None, &self.dir.join("data"), initialize).await
    }
}

async fn initialize(dir: &Path) -> Result<(), ServerError> {
    let data = data_directory(dir);
    let fixed =
        ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", LOG_SIZE];
    Run::new("mariadb-install-db")?.args(fixed).args([&data]).args(as_root()).output().await?;
    let bootstrap = ["--no-defaults", "--bootstrap", LOG_SIZE];
    Run::new("mariadbd")?
        .args(bootstrap)
        .args([&data])
        .args(as_root())
        .input(SETUP)
        .output()
        .await
        .map(drop)
}

fn arguments(options: &MariaDbOptions, dir: &Path, port: u16) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--no-defaults".into(), data_directory(&dir.join("data"))];
    args.extend(as_root().map(OsString::from));
    // Either way a commit has left the process when it is acknowledged, and survives SIGKILL.
    let commit = if options.fsync { 1 } else { 2 };
    let fixed = [
        // A starting MariaDB deletes the temporary tables that it finds there, also those of another that runs.
        format!("--tmpdir={}", dir.display()),
        format!("--socket={}", dir.join("mariadb.sock").display()),
        format!("--pid-file={}", dir.join("mariadb.pid").display()),
        format!("--port={port}"),
        format!("--innodb-flush-log-at-trx-commit={commit}"),
        LOG_SIZE.to_owned(),
    ];
    args.extend(fixed.map(OsString::from));
    let plain = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--skip-log-bin",
        "--performance-schema=OFF",
    ];
    args.extend(plain.map(OsString::from));
    args.extend(
        ["--innodb-buffer-pool-size=32M", "--innodb-use-native-aio=OFF"].map(OsString::from),
    );
    if options.tls {
        let files = [("ca", "ca.crt"), ("cert", "server.crt"), ("key", "server.key")];
        let argument =
            |(name, file): (&str, &str)| format!("--ssl-{name}={}", dir.join(file).display());
        args.extend(files.map(argument).map(OsString::from));
    }
    args.extend(options.settings.iter().map(|(name, value)| format!("--{name}={value}").into()));
    args
}

fn data_directory(dir: &Path) -> OsString {
    let mut argument = OsString::from("--datadir=");
    argument.push(dir);
    argument
}

/// Root has to say that it means it.
fn as_root() -> impl Iterator<Item = &'static str> + Clone {
    (current_uid() == 0).then_some("--user=root").into_iter()
}

#[derive(Debug)]
struct Client {
    port: u16,
}

impl Client {
    async fn sql(&self, sql: &str) -> Result<String, ServerError> {
        let port = self.port.to_string();
        let fixed = [
            "--no-defaults",
            "--protocol=tcp",
            "--skip-ssl",
            "-h127.0.0.1",
            "-P",
            &port,
            "-u",
            NAME,
            "-N",
            "-B",
        ];
        let run = Run::new("mariadb")?.args(fixed).args(["--connect-timeout=5", "-e", sql, NAME]);
        run.env("MYSQL_PWD", NAME).output().await
    }
}
