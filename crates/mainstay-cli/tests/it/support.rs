//! A directory, a binary to run in it, and a server that is stopped at the end.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use serde_json::Value as Json;

/// Long enough for a loaded machine; only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const LOOKS: u32 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A directory of its own, removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("mainstay-cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// The binary, in this directory, without the environment's own configuration.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(args).current_dir(&self.0).stdin(Stdio::null()).env("NO_COLOR", "1");
        let ours = |name: &str| name.starts_with("MAINSTAY") || name.ends_with("_URL");
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::of(&mut self.command(args))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Stdout of a run that succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Stderr of a run that ended with this code.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

/// `mainstay serve` on free ports.
pub(crate) struct Server<'a> {
    scratch: &'a Scratch,
    child: Child,
    log: Receiver<Json>,
    pub(crate) resp: String,
    pub(crate) http: String,
}

impl<'a> Server<'a> {
    pub(crate) fn start(scratch: &'a Scratch) -> Self {
        Self::start_with(scratch, &[])
    }

    /// Returns when the server can serve: on a slow machine it says that it serves before it is connected.
    pub(crate) fn start_with(scratch: &'a Scratch, env: &[(&str, &str)]) -> Self {
        let server = Self::start_unready(scratch, env);
        for _ in 0..LOOKS {
            if server.is_ready() {
                return server;
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        panic!("the server is not ready");
    }

    /// Returns when the server says that it serves, whether its backends do or not.
    pub(crate) fn start_unready(scratch: &'a Scratch, env: &[(&str, &str)]) -> Self {
        let args =
            ["serve", "--resp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-format", "json"];
        let mut command = scratch.command(&args);
        command.envs(env.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = follow(&mut child);
        let mut server = Self { scratch, child, log, resp: String::new(), http: String::new() };
        let serving = server.logged("serving");
        server.resp = serving["resp"].as_str().unwrap().to_owned();
        server.http = serving["http"].as_str().unwrap().to_owned();
        server
    }

    fn is_ready(&self) -> bool {
        match self.readiness() {
            Ok(answer) if answer.starts_with(b"HTTP/1.1 ") => answer.starts_with(b"HTTP/1.1 200"),
            // Behind TLS, whoever has signed its certificate.
            _ => {
                let url = format!("https://{}/readyz", self.http);
                let mut curl = Command::new("curl");
                curl.args(["-skf", "--noproxy", "*", "--max-time", "20", &url]);
                curl.stdout(Stdio::null()).status().unwrap().success()
            }
        }
    }

    /// What it tells everybody.
    fn readiness(&self) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.http)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// The next log line with this message.
    #[track_caller]
    pub(crate) fn logged(&self, message: &str) -> Json {
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("the server did not log `{message}`"));
            if line["message"] == message {
                return line;
            }
        }
    }

    /// The same, and no line before it has the message `other`.
    #[track_caller]
    pub(crate) fn logged_without(&self, message: &str, other: &str) -> Json {
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("the server did not log `{message}`"));
            assert_ne!(line["message"], other, "{line}");
            if line["message"] == message {
                return line;
            }
        }
    }

    /// A command that talks to this server.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.scratch.command(args);
        command.env("MAINSTAY_URL", format!("http://{}", self.http));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::of(&mut self.command(args))
    }

    /// The JSON that a command prints.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Json {
        let mut command = self.command(args);
        serde_json::from_str(&Run::of(command.args(["--output", "json"])).ok()).unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Ends it and returns the exit code.
    pub(crate) fn stop(self) -> Option<i32> {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for its end and returns the exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the log lines of a child, so that it never waits for a reader.
#[expect(clippy::disallowed_methods, reason = "a test reads a pipe beside its own work")]
fn follow(child: &mut Child) -> Receiver<Json> {
    let (sender, receiver) = channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let parsed = serde_json::from_str(&line).unwrap_or(Json::String(line));
            // The test may have ended before the server.
            let _ = sender.send(parsed);
        }
    });
    receiver
}
