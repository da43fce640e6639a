//! A `mainstay serve` of the test's own: free ports, an empty folder, ended with the test.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use mainstay_testkit::{
    load::{Client, Value},
    servers::port::PortLease,
};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

/// How often a condition is looked at before a test gives up.
const LOOKS: u32 = 1200;
/// Attempts to start on ports that nobody else takes.
const STARTS: u32 = 5;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The process.
pub(crate) struct Mainstay {
    child: Child,
    resp: SocketAddr,
    http: SocketAddr,
    folder: PathBuf,
    variables: Vec<(String, String)>,
    /// Nobody takes its ports while it is down.
    _ports: [PortLease; 2],
}

/// A client that talks in texts.
pub(crate) struct TextClient(Client);

impl Mainstay {
    /// Starts it with these variables and waits until both doors answer.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_with("", variables).await
    }

    /// The same, with this configuration file.
    pub(crate) async fn start_with(config: &str, variables: &[(&str, &str)]) -> Self {
        // Somebody without a lease may take a free port before the process does.
        for _ in 0..STARTS {
            if let Some(mainstay) = Self::try_start(config, variables).await {
                return mainstay;
            }
        }
        panic!("mainstay did not start");
    }

    async fn try_start(config: &str, variables: &[(&str, &str)]) -> Option<Self> {
        let ports = [PortLease::take().unwrap(), PortLease::take().unwrap()];
        let [resp, http] =
            ports.each_ref().map(|port| SocketAddr::from(([127, 0, 0, 1], port.get())));
        let folder = std::env::temp_dir().join(format!(
            "mainstay-it-{}-{}",
            std::process::id(),
            resp.port()
        ));
        std::fs::create_dir_all(&folder).unwrap();
        if !config.is_empty() {
            std::fs::write(folder.join("mainstay.toml"), config).unwrap();
        }
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut variables: Vec<(String, String)> = variables.iter().map(owned).collect();
        variables.push(("MAINSTAY__RESP__LISTEN".to_owned(), resp.to_string()));
        variables.push(("MAINSTAY__HTTP__LISTEN".to_owned(), http.to_string()));
        let child = command(&folder, &variables).arg("serve").spawn().unwrap();
        let mut mainstay = Self { child, resp, http, folder, variables, _ports: ports };
        mainstay.opens().await.then_some(mainstay)
    }

    /// Whether both doors open; not if it ends.
    async fn opens(&mut self) -> bool {
        for _ in 0..LOOKS {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let open = self.is_open().await;
            tokio::time::sleep(LOOK_EVERY).await;
            // The doors may be another's: then this one has ended by now.
            if open {
                return self.child.try_wait().unwrap().is_none();
            }
        }
        panic!("waited for both doors to open");
    }

    async fn is_open(&self) -> bool {
        let doors = (TcpStream::connect(self.resp).await, TcpStream::connect(self.http).await);
        doors.0.is_ok() && doors.1.is_ok()
    }

    async fn until_open(&self) {
        until("both doors to open", async || self.is_open().await).await;
    }

    /// The process that runs.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Kills it as a crash of the machine would, and leaves its folder.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again in its folder.
    pub(crate) async fn start_again(&mut self) {
        self.start_again_with(&[]).await;
    }

    /// The same, this time with more variables.
    pub(crate) async fn start_again_with(&mut self, more: &[(String, String)]) {
        let mut command = command(&self.folder, &self.variables);
        command.envs(more.iter().map(|(name, value)| (name, value)));
        self.child = command.arg("serve").spawn().unwrap();
        self.until_open().await;
    }

    /// What another run of the binary prints in its folder; it has to succeed.
    pub(crate) async fn run(&self, args: &[&str]) -> String {
        let mut command = command(&self.folder, &self.variables);
        command.env("MAINSTAY_URL", format!("http://{}", self.http));
        let output = command.args(args).output().await.unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// One HTTP request with a body, or without; head and body of the answer.
    pub(crate) async fn http(&self, method: &str, path: &str, body: &str) -> String {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.http,
            body.len()
        );
        self.exchange(&request).await
    }

    /// Where RESP is spoken.
    pub(crate) fn resp(&self) -> SocketAddr {
        self.resp
    }

    /// Where HTTP is spoken.
    pub(crate) fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// A new RESP connection.
    pub(crate) async fn client(&self) -> TextClient {
        TextClient(Client::connect(self.resp).await.unwrap())
    }

    /// The body of an HTTP GET.
    pub(crate) async fn http_get(&self, path: &str) -> String {
        self.http_get_with(path, "").await
    }

    /// The same with more headers, each with its end of line.
    pub(crate) async fn http_get_with(&self, path: &str, headers: &str) -> String {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            self.http
        );
        self.exchange(&request).await
    }

    async fn exchange(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The status as a person reads it.
    pub(crate) async fn status_text(&self) -> String {
        self.http_get("/status.txt").await
    }

    /// The status document; null when there is none.
    pub(crate) async fn status(&self) -> Json {
        let answer = self.http_get("/v1/status").await;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let body = &body[body.find('{').unwrap_or(0)..=body.rfind('}').unwrap_or(0)];
        serde_json::from_str(body).unwrap_or_default()
    }

    /// One backend of the status document.
    pub(crate) async fn backend(&self, name: &str) -> Json {
        let status = self.status().await;
        let backends = status["backends"].as_array().cloned().unwrap_or_default();
        backends.into_iter().find(|found| found["name"] == name).unwrap_or_default()
    }

    /// Waits until what the status says of a backend fulfils a condition.
    pub(crate) async fn until_backend(
        &self,
        name: &str,
        what: &str,
        condition: impl Fn(&Json) -> bool,
    ) {
        let mut last = Json::Null;
        for _ in 0..LOOKS {
            last = self.backend(name).await;
            if condition(&last) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("waited for {name}: {what}\n{last:#}");
    }

    /// Waits until a backend has this health.
    pub(crate) async fn wait_for(&self, backend: &str, health: &str) {
        self.until_backend(backend, health, |found| found["health"] == health).await;
    }

    /// Waits until it can serve; everybody is told that, also where users are asked for.
    pub(crate) async fn until_ready(&self) {
        until("it to be ready", async || {
            self.http_get("/readyz").await.starts_with("HTTP/1.1 200")
        })
        .await;
    }

    /// Gives a backend's breaker back to itself, as an operator who has removed the cause does.
    pub(crate) async fn operator_auto(&self, backend: &str) {
        let body = r#"{"state":"auto","reason":"the cause is gone"}"#;
        let answer = self.http("POST", &format!("/v1/backends/{backend}/breaker"), body).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Waits until a key is answered from a cache.
    pub(crate) async fn until_cached(&self, key: &str) {
        until(&format!("{key} to be cached"), async || {
            self.http_get(&format!("/v1/kv/{key}?meta")).await.contains("\"source\":\"redis\"")
        })
        .await;
    }

    /// Replaces its configuration file.
    pub(crate) fn write_config(&self, text: &str) {
        std::fs::write(self.folder.join("mainstay.toml"), text).unwrap();
    }

    /// Takes its configuration file away.
    pub(crate) fn remove_config(&self) {
        std::fs::remove_file(self.folder.join("mainstay.toml")).unwrap();
    }

    /// Sends it a signal: STOP, CONT.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Asks it to end, and sees that it ends cleanly.
    pub(crate) async fn terminate(mut self) {
        self.signal("TERM");
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        assert!(ended.expect("it ends within 20 s").unwrap().success(), "it ends cleanly");
    }
}

fn command(folder: &Path, variables: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.current_dir(folder).kill_on_drop(true).stdin(Stdio::null());
    command.env_remove("REDIS_URL").env_remove("DATABASE_URL");
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

impl Drop for Mainstay {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl TextClient {
    /// One command; its reply as text, an error without its dash, nil as `(nil)`.
    pub(crate) async fn text(&mut self, args: &[&str]) -> String {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        match self.0.command(&args).await.unwrap() {
            Value::Simple(text) | Value::Error(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Bulk(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Value::Bulk(None) => "(nil)".to_owned(),
            Value::Array(items) => format!("{items:?}"),
        }
    }

    /// Whether the connection ends in place of an answer.
    pub(crate) async fn is_cut_off(&mut self, args: &[&str]) -> bool {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        self.0.command(&args).await.is_err()
    }

    /// The parts of a reply that is an array of texts.
    pub(crate) async fn list(&mut self, args: &[&str]) -> Vec<String> {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let Value::Array(items) = self.0.command(&args).await.unwrap() else {
            panic!("{args:?} is not answered with an array")
        };
        let text = |item| match item {
            Value::Bulk(Some(bytes)) => String::from_utf8(bytes.into()).unwrap(),
            other => panic!("not a text: {other:?}"),
        };
        items.into_iter().map(text).collect()
    }

    /// Repeats a command until it answers this.
    pub(crate) async fn until(&mut self, args: &[&str], expected: &str) {
        let mut last = String::new();
        for _ in 0..LOOKS {
            last = self.text(args).await;
            if last == expected {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("{args:?} answers {last:?}, never {expected:?}");
    }
}

/// Looks at a condition until it holds.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..LOOKS {
        if condition().await {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("waited for {what}");
}

/// The file of a process before this Redis and nothing else. On a machine that stands still for a moment it waits: by default
/// memory would answer in place of Redis, without what Redis has.
pub(crate) fn redis_alone(url: &str) -> String {
    format!(
        "[backends.redis]\nurl = \"{url}\"\ntimeout = \"20s\"\nhedge = {{ enabled = false }}\n\
         breaker = {{ slow_min = \"15s\" }}\nhealth = {{ timeout = \"20s\" }}\n\
         [[route]]\nprefix = \"\"\nbackends = [\"redis\"]\n[limits]\ndeadline = \"50s\"\n"
    )
}
