//! A `mainstay serve` of the test's own: free ports, an empty folder, ended with the test.

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use mainstay_testkit::load::{Client, Value};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

/// How often a condition is looked at before a test gives up.
const LOOKS: u32 = 1200;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The process.
pub(crate) struct Mainstay {
    child: Child,
    resp: SocketAddr,
    http: SocketAddr,
    folder: PathBuf,
}

/// A client that talks in texts.
pub(crate) struct TextClient(Client);

impl Mainstay {
    /// Starts it with these variables and waits until both doors answer.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let (resp, http) = (free_port(), free_port());
        let folder = std::env::temp_dir().join(format!(
            "mainstay-it-{}-{}",
            std::process::id(),
            resp.port()
        ));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.arg("serve").current_dir(&folder).kill_on_drop(true).stdin(Stdio::null());
        command.env_remove("REDIS_URL").env_remove("DATABASE_URL");
        command
            .env("MAINSTAY__RESP__LISTEN", resp.to_string())
            .env("MAINSTAY__HTTP__LISTEN", http.to_string());
        command.envs(variables.iter().copied());
        let child = command.spawn().unwrap();
        let mainstay = Self { child, resp, http, folder };
        until("both doors to open", async || {
            TcpStream::connect(resp).await.is_ok() && TcpStream::connect(http).await.is_ok()
        })
        .await;
        mainstay
    }

    /// Where RESP is spoken.
    pub(crate) fn resp(&self) -> SocketAddr {
        self.resp
    }

    /// A new RESP connection.
    pub(crate) async fn client(&self) -> TextClient {
        TextClient(Client::connect(self.resp).await.unwrap())
    }

    /// The body of an HTTP GET.
    pub(crate) async fn http_get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The status as a person reads it.
    pub(crate) async fn status_text(&self) -> String {
        self.http_get("/status.txt").await
    }

    /// Waits until a backend has this health.
    pub(crate) async fn wait_for(&self, backend: &str, health: &str) {
        until(&format!("{backend} to be {health}"), async || {
            let answer = self.http_get("/v1/status").await;
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let body = &body[body.find('{').unwrap_or(0)..=body.rfind('}').unwrap_or(0)];
            let Ok(status) = serde_json::from_str::<serde_json::Value>(body) else { return false };
            let backends = status["backends"].as_array().cloned().unwrap_or_default();
            backends.iter().any(|found| found["name"] == backend && found["health"] == health)
        })
        .await;
    }

    /// Waits until a key is answered from a cache.
    pub(crate) async fn until_cached(&self, key: &str) {
        until(&format!("{key} to be cached"), async || {
            self.http_get(&format!("/v1/kv/{key}?meta")).await.contains("\"source\":\"redis\"")
        })
        .await;
    }

    /// Asks it to end, and sees that it ends cleanly.
    pub(crate) async fn terminate(mut self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success()
        );
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        assert!(ended.expect("it ends within 20 s").unwrap().success(), "it ends cleanly");
    }
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

fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
