//! `serve`: opens the storage, opens the doors, waits for a signal, ends in order.
//! It must not know what the doors do.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Args;
use mainstay::{Clock, Storage, task::Tasks};
use mainstay_drill::live::Live;
use mainstay_server::{Guard, http::HttpServer, resp::RespServer};
use tokio_util::sync::CancellationToken;

use crate::{
    args::Common,
    config::{Flag, Loaded, LogFormat, Settings},
    exit::{Exit, Failure},
    log::{self, Lines},
    otlp::Traces,
    setup,
};

mod banner;
mod core;
mod notify;
mod reload;
mod signals;

use banner::Banner;
use notify::Notify;
use reload::{Owners, Reloader, sections};
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
        let (layer, traces) = Traces::new(&loaded.settings.traces)?.unzip();
        let lines = log::start(&loaded.settings.log, layer)?;
        core::leave_none();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(loaded.settings.runtime.threads())
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
        let ended = runtime.block_on(async {
            let sending = traces.map(Traces::start);
            let ended = serve(common, self.flags(), loaded, lines).await;
            if let Some(sending) = sending {
                sending.finish().await;
            }
            ended
        });
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

async fn serve(
    common: &Common,
    flags: Vec<Flag>,
    loaded: Loaded,
    lines: Lines,
) -> Result<Exit, Failure> {
    let clock = Clock::system();
    let started = clock.now();
    let notify = Notify::from_environment();
    let mut signals = Signals::listen()?;
    let (storage, doors) = open(&loaded).await?;
    let (resp, http) = (doors.resp.local_addr(), doors.http.local_addr());
    tracing::info!(%resp, %http, config = loaded.summary(), "serving");
    loaded.notes.iter().for_each(|note| tracing::info!("{note}"));

    let started_with = loaded.clone();
    let reloader = Reloader::new(common, flags, loaded, doors.owners(&storage, lines));
    doors.http.api().serve_reloads(Arc::new(reloader.clone()));
    let loaded = &started_with;

    let stop = CancellationToken::new();
    let certificates = doors.guard.tls.clone();
    let watching = async {
        match &certificates {
            Some(tls) => tls.watch(&storage).await,
            None => std::future::pending().await,
        }
    };
    let mut serving = std::pin::pin!(doors.run(stop.clone()));
    let welcome = async {
        notify.ready().await;
        settle(&storage).await;
        if loaded.settings.log.format == LogFormat::Text {
            let ready = clock.now().duration_since(started);
            let config = storage.config();
            let banner = Banner { loaded, config: &config, resp, http, ready };
            banner.show(&storage.status());
        }
        signals.stop(&notify, &reloader).await
    };
    let signal = tokio::select! {
        signal = welcome => signal,
        _ = &mut serving => return Err(Failure::new("the server stopped by itself")),
        () = watching => return Err(Failure::new("the certificates are not looked at any more")),
        never = notify.watch(async || pulse(&storage).await) => match never {},
    };

    tracing::info!(signal, "stopping; a second signal forces it");
    notify.stopping(signal).await;
    stop.cancel();
    let finish = async { serving.await & storage.close(CLOSE).await };
    let clean = tokio::select! {
        clean = finish => clean,
        signal = signals.force() => {
            tracing::warn!(signal, "forced");
            false
        }
    };
    tracing::info!(clean, "stopped");
    Ok(if clean { Exit::Ok } else { Exit::Unclean })
}

/// The storage, and both servers before it.
async fn open(loaded: &Loaded) -> Result<(Storage, Doors), Failure> {
    let guard = setup::guard(loaded)?;
    let (share, most) = loaded.settings.traces.offered();
    let storage = Storage::builder(loaded.settings.storage())
        .trace_share(share)
        .traces_max(most)
        .open()
        .await?;
    match Doors::open(&loaded.settings, &storage, guard).await {
        Ok(doors) => Ok((storage, doors)),
        Err(failure) => {
            storage.close(CLOSE).await;
            Err(failure)
        }
    }
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

/// The state in a sentence, worked out by the runtime's own threads: where they or the storage's locks hang it never comes.
async fn pulse(storage: &Storage) -> Option<String> {
    let storage = storage.clone();
    let (tell, told) = tokio::sync::oneshot::channel();
    let tasks = Tasks::new();
    tasks.spawn(async move {
        // Nobody waits any more when it has taken too long.
        let _ = tell.send(storage.status().sentence);
    });
    told.await.ok()
}

/// Both servers, listening.
struct Doors {
    resp: RespServer,
    http: HttpServer,
    /// The users and certificates of both, which a reload replaces.
    guard: Guard,
}

impl Doors {
    async fn open(settings: &Settings, storage: &Storage, guard: Guard) -> Result<Self, Failure> {
        let refused = |key: &str, flag: &str, error: String| {
            let error = error.strip_prefix(&format!("{key}: ")).unwrap_or(&error).to_owned();
            let failure = Failure::new(format!("{key}: {error}"));
            if !error.contains("in use") {
                return failure;
            }
            failure.hint(format!("is another mainstay running? {flag} 127.0.0.1:PORT listens elsewhere, port 0 takes a free one"))
        };
        let resp = RespServer::bind_with(settings.resp.clone(), storage.clone(), guard.clone())
            .await
            .map_err(|error| refused("resp.listen", "--resp", error.to_string()))?;
        let sections = sections(settings);
        let http =
            HttpServer::bind_with(settings.http.clone(), storage.clone(), sections, guard.clone())
                .await
                .map_err(|error| refused("http.listen", "--http", error.to_string()))?;
        http.api().show_clients(resp.roster());
        http.api().serve_drills(Arc::new(Live::new(storage.clone())));
        Ok(Self { resp, http, guard })
    }

    /// Who takes over other settings.
    fn owners(&self, storage: &Storage, lines: Lines) -> Owners {
        let (resp, http) = (self.resp.settings(), self.http.api().clone());
        Owners { storage: storage.clone(), guard: self.guard.clone(), resp, http, lines }
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
