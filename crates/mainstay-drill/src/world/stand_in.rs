//! Mainstay's own RESP server on memory, as a process of its own, in the place of a Redis that is not installed.
//! It must not know who connects to it.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use mainstay_servers::{
    resp::{Client, Value},
    servers::{
        ServerError,
        daemon::{Daemon, Launch},
        io_error,
        port::PortLease,
        workdir::WorkDir,
    },
};

/// The process, or the place where one was.
#[derive(Debug)]
pub(super) struct StandIn {
    daemon: Daemon,
    port: PortLease,
    _http: PortLease,
    dir: WorkDir,
}

impl StandIn {
    pub(super) async fn start(program: &Path) -> Result<Self, ServerError> {
        let dir = WorkDir::new("stand-in")?;
        let (port, http) = (PortLease::take()?, PortLease::take()?);
        let launch = Launch {
            program: "env".into(),
            args: arguments(program, &dir.join("mainstay.toml"), port.get(), http.get()),
            dir: dir.path().to_owned(),
            user: None,
        };
        let mut server = Self { daemon: Daemon::new(launch), port, _http: http, dir };
        server.restart(None).await?;
        Ok(server)
    }

    pub(super) fn port(&self) -> u16 {
        self.port.get()
    }

    /// Starts it anew, without data; with this password, if there is one.
    pub(super) async fn restart(&mut self, password: Option<&str>) -> Result<(), ServerError> {
        self.daemon.kill();
        let file = self.dir.join("mainstay.toml");
        fs::write(file, configuration(password)).map_err(io_error("write mainstay.toml"))?;
        let port = self.port.get();
        self.daemon.start(async || answers(port).await).await
    }

    pub(super) fn kill(&mut self) {
        self.daemon.kill();
    }

    pub(super) fn stop(&self) {
        self.daemon.stop();
    }

    pub(super) fn cont(&self) {
        self.daemon.cont();
    }

    pub(super) fn running(&mut self) -> bool {
        self.daemon.running()
    }
}

/// Nothing of our environment: what configures us must not configure it.
fn arguments(program: &Path, file: &Path, port: u16, http: u16) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["-i".into(), program.into(), "--config".into(), file.into()];
    args.extend(["serve", "--log-level", "warn", "--resp"].map(OsString::from));
    args.push(format!("127.0.0.1:{port}").into());
    args.push("--http".into());
    args.push(format!("127.0.0.1:{http}").into());
    args
}

fn configuration(password: Option<&str>) -> String {
    let resp = password.map(|word| format!("resp.password = \"{word}\"\n")).unwrap_or_default();
    format!("{resp}[[route]]\nbackends = [\"memory\"]\n")
}

/// Whether it says anything to a PING, be it that a password is needed.
async fn answers(port: u16) -> bool {
    let ping = async {
        let mut client = Client::connect(([127, 0, 0, 1], port).into()).await.ok()?;
        client.command(&[b"PING"]).await.ok()
    };
    matches!(ping.await, Some(Value::Simple(_) | Value::Error(_)))
}

/// The binary that is running.
pub(super) fn this_program() -> Result<PathBuf, ServerError> {
    std::env::current_exe().map_err(io_error("find the running program"))
}
