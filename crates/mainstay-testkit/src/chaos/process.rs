//! One `mainstay serve`: a process with ports, a folder and proxies of its own, that can be killed and paused.
//! It must not know what the other processes do.

use std::{fs, net::SocketAddr, path::Path};

use mainstay::config::Consistency;
use serde_json::Value as Json;
use tokio::net::TcpStream;

use super::{http::HttpClient, options::Options, record::Record};
use crate::{
    proxy::Proxy,
    servers::{
        ServerError,
        daemon::{Daemon, Launch},
        io_error,
        port::PortLease,
        workdir::WorkDir,
    },
};

/// So much of a log is shown where something went wrong.
const LOG_LINES: usize = 40;

/// The process and its ways to the servers.
#[derive(Debug)]
pub(super) struct Process {
    daemon: Daemon,
    resp: PortLease,
    http: PortLease,
    pub(super) to_redis: Proxy,
    /// A file has none.
    pub(super) to_record: Option<Proxy>,
    dir: WorkDir,
}

/// What a process says of its cache.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CacheState {
    pub(super) readable: bool,
    pub(super) reason: String,
    pub(super) phase: String,
    pub(super) generation: u64,
    pub(super) dirty_keys: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) writes_around: u64,
    pub(super) drained_keys: u64,
    pub(super) readmissions: u64,
    pub(super) inconsistent_keys: u64,
}

impl Process {
    /// Starts it; both doors are open when this returns. It reaches Redis by the URL if there is one, else through a proxy
    /// before the port.
    pub(super) async fn start(
        options: &Options,
        redis: u16,
        redis_url: Option<String>,
        record: &Record,
    ) -> Result<Self, ServerError> {
        let dir = WorkDir::new("mainstay")?;
        let (resp, http) = (PortLease::take()?, PortLease::take()?);
        let to_redis = Proxy::start(redis).await?;
        let to_record = match record.port() {
            Some(port) => Some(Proxy::start(port).await?),
            None => None,
        };
        let url = record.url(to_record.as_ref().map(Proxy::address));
        let redis_url = redis_url.unwrap_or_else(|| format!("redis://{}", to_redis.address()));
        let text = configuration(options, resp.get(), http.get(), &redis_url, &url);
        let file = dir.join("mainstay.toml");
        fs::write(&file, text).map_err(io_error("write mainstay.toml"))?;
        let args = vec!["--config".into(), file.into(), "serve".into()];
        let program = options.binary.display().to_string().into();
        let launch = Launch { program, args, dir: dir.path().to_owned(), user: None };
        let daemon = Daemon::new(launch);
        let mut process = Self { daemon, resp, http, to_redis, to_record, dir };
        process.launch().await?;
        Ok(process)
    }

    /// Starts the process anew.
    pub(super) async fn launch(&mut self) -> Result<(), ServerError> {
        let (resp, http) = (self.resp(), self.http());
        let open = async |at| TcpStream::connect(at).await.is_ok();
        self.daemon.start(async || open(resp).await && open(http).await).await
    }

    pub(super) fn resp(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.resp.get()).into()
    }

    pub(super) fn http(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.http.get()).into()
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

    /// Keeps what it has logged so far.
    pub(super) fn keep_log(&self, folder: &Path, name: &str) -> Result<(), ServerError> {
        let copied = fs::copy(self.dir.join("log"), folder.join(name));
        copied.map(drop).map_err(io_error("keep a log"))
    }

    /// What it says of its Redis, and the end of its log: for whoever has to find out why it does not recover.
    pub(super) async fn diagnosis(&self) -> String {
        let document = self.document("/v1/status").await;
        let log =
            fs::read_to_string(self.dir.join("log")).unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        format!("{:#}\n{tail}", document["backends"])
    }

    /// A document of its HTTP API; null when it does not answer.
    pub(super) async fn document(&self, target: &str) -> Json {
        let asked = async {
            let mut client = HttpClient::connect(self.http()).await.ok()?;
            Some(client.request("GET", target, None, "").await.ok()?.json())
        };
        let patience = std::time::Duration::from_secs(2);
        tokio::time::timeout(patience, asked).await.ok().flatten().unwrap_or_default()
    }

    /// What it says of its cache, if it answers.
    pub(super) async fn cache(&self) -> Option<CacheState> {
        let document = self.document("/v1/status").await;
        let cache = document["caches"].get(0)?;
        let number = |name: &str| cache[name].as_u64().unwrap_or(0);
        let text = |name: &str| cache[name].as_str().unwrap_or_default().to_owned();
        Some(CacheState {
            readable: cache["readable"] == true,
            reason: text("reason"),
            phase: text("phase"),
            generation: number("generation"),
            dirty_keys: number("dirty_keys"),
            hits: number("hits"),
            misses: number("misses"),
            writes_around: number("writes_around"),
            drained_keys: number("drained_keys"),
            readmissions: number("readmissions"),
            inconsistent_keys: number("inconsistent_keys"),
        })
    }
}

fn configuration(options: &Options, resp: u16, http: u16, redis: &str, record: &str) -> String {
    let consistency = match options.consistency {
        Consistency::Strict => "strict",
        Consistency::Bounded => "bounded",
    };
    let (lease, settings) = (options.lease.as_millis(), &options.settings);
    format!(
        "resp.listen = \"127.0.0.1:{resp}\"\nhttp.listen = \"127.0.0.1:{http}\"\n\
         backends.redis.url = \"{redis}\"\nbackends.db.url = \"{record}\"\n\
         consistency.lease = \"{lease}ms\"\n{settings}\n\
         [[route]]\ncache = [\"redis\"]\nrecord = \"db\"\nconsistency = \"{consistency}\"\n"
    )
}
