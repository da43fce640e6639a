//! `serve`: opens the storage, opens the doors, waits for a signal, ends in order.
//! It must not know what the doors do.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use mainstay::{Clock, Storage};
use mainstay_server::{
    http::{HttpServer, Sections},
    resp::RespServer,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    args::Common,
    config::{Flag, Loaded, LogFormat, Settings},
    exit::{Exit, Failure},
    log, setup,
};

mod banner;
mod signals;

use banner::Banner;
use signals::Signals;

/// How long the banner waits for the first connections, so that it tells the truth.
const SETTLE: Duration = Duration::from_millis(300);
/// How long the storage has to close.
const CLOSE: Duration = Duration::from_secs(10);

/// Runs the server.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where RESP listens [default: 127.0.0.1:6390] [env: MAINSTAY__RESP__LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    resp: Option<String>,
    /// Where HTTP listens [default: 127.0.0.1:6391] [env: MAINSTAY__HTTP__LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// error, warn, info, debug, trace, or a filter [default: info] [env: MAINSTAY_LOG]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json [default: text] [env: MAINSTAY_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Serve {
    /// Ends with 0 when everything was finished, with 3 when something was not.
    pub(crate) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let loaded = setup::load(common, &self.flags())?;
        log::start(&loaded.settings.log)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
        let ended = runtime.block_on(serve(&loaded));
        // A forced stop does not wait for what is left.
        runtime.shutdown_background();
        ended
    }

    fn flags(&self) -> Vec<Flag> {
        let given = [
            ("--resp", "resp.listen", &self.resp),
            ("--http", "http.listen", &self.http),
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
        ];
        let flag = |(flag, path, text): (&'static str, &str, &Option<String>)| {
            Some(Flag { flag, path: path.to_owned(), text: text.clone()? })
        };
        given.into_iter().filter_map(flag).collect()
    }
}

async fn serve(loaded: &Loaded) -> Result<Exit, Failure> {
    let clock = Clock::system();
    let started = clock.now();
    let mut signals = Signals::listen()?;
    let storage = Storage::open(loaded.settings.storage()).await?;
    let doors = match Doors::open(&loaded.settings, &storage).await {
        Ok(doors) => doors,
        Err(failure) => {
            storage.close(CLOSE).await;
            return Err(failure);
        }
    };
    let (resp, http) = (doors.resp.local_addr(), doors.http.local_addr());
    tracing::info!(%resp, %http, config = loaded.summary(), "serving");

    let stop = CancellationToken::new();
    let mut serving = std::pin::pin!(doors.run(stop.clone()));
    let welcome = async {
        settle(&storage).await;
        if loaded.settings.log.format == LogFormat::Text {
            let ready = clock.now().duration_since(started);
            let banner = Banner { loaded, config: storage.config(), resp, http, ready };
            banner.show(&storage.status());
        }
        signals.stop().await
    };
    let signal = tokio::select! {
        signal = welcome => signal,
        _ = &mut serving => return Err(Failure::new("the server stopped by itself")),
    };

    tracing::info!(signal, "stopping; a second signal forces it");
    stop.cancel();
    let finish = async { serving.await & storage.close(CLOSE).await };
    let clean = tokio::select! {
        clean = finish => clean,
        signal = signals.stop() => {
            tracing::warn!(signal, "forced");
            false
        }
    };
    tracing::info!(clean, "stopped");
    Ok(if clean { Exit::Ok } else { Exit::Unclean })
}

/// Ends when every backend is connected or has said why not, at the latest after `SETTLE`.
async fn settle(storage: &Storage) {
    let known = async {
        let waiting = || {
            let backends = storage.status().backends;
            backends
                .iter()
                .any(|backend| !backend.reconnect.connected && backend.last_error.is_none())
        };
        while waiting() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // Being late is no failure: the banner then says what is not known yet.
    let _ = tokio::time::timeout(SETTLE, known).await;
}

/// Both servers, listening.
struct Doors {
    resp: RespServer,
    http: HttpServer,
}

impl Doors {
    async fn open(settings: &Settings, storage: &Storage) -> Result<Self, Failure> {
        let refused = |key: &str, flag: &str, error: String| {
            let error = error.strip_prefix(&format!("{key}: ")).unwrap_or(&error).to_owned();
            let failure = Failure::new(format!("{key}: {error}"));
            if !error.contains("in use") {
                return failure;
            }
            failure.hint(format!("is another mainstay running? {flag} 127.0.0.1:PORT listens elsewhere, port 0 takes a free one"))
        };
        let resp = RespServer::bind(settings.resp.clone(), storage.clone())
            .await
            .map_err(|error| refused("resp.listen", "--resp", error.to_string()))?;
        let sections = Sections::from_iter([
            ("resp".to_owned(), json!(settings.resp)),
            ("log".to_owned(), json!(settings.log)),
        ]);
        let http = HttpServer::bind(settings.http.clone(), storage.clone(), sections)
            .await
            .map_err(|error| refused("http.listen", "--http", error.to_string()))?;
        Ok(Self { resp, http })
    }

    /// Serves until cancelled. False: requests had to be broken off.
    async fn run(self, stop: CancellationToken) -> bool {
        let (_, clean) = tokio::join!(self.resp.run(stop.clone()), self.http.run(stop));
        clean
    }
}

/// How this address is reached from this host.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        ip if ip.is_ipv4() => std::net::Ipv4Addr::LOCALHOST.into(),
        _ => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}
