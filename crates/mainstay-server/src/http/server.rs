//! The socket: accepts connections within bounds, serves them, and ends them in order.
//! It must not know any path.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::HttpService};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use mainstay::{Error, Storage, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Api, HttpConfig, Sections, patience::Patient, reserve, session};
use crate::{
    Guard,
    access::Door,
    admission::{Admitted, NoPlace},
    limits::{self, Limit},
    resp::RespConfig,
    tls::{Stream, Tls},
};

/// What one connection may have read ahead and not yet written, where its head is no longer.
const BUFFER: usize = 128 << 10;

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Why the server could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The configuration does not validate.
    #[error(transparent)]
    Config(#[from] Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// An HTTP server that listens, and serves once it runs.
#[derive(Debug)]
pub struct HttpServer {
    api: Api,
    listener: TcpListener,
    address: SocketAddr,
}

impl HttpServer {
    /// Listens. `sections` are shown by `/v1/config` beside the storage's configuration, such as `resp`.
    ///
    /// # Errors
    /// A configuration that does not validate, also an address other than loopback without a token; an address that
    /// cannot be listened on.
    pub async fn bind(
        config: HttpConfig,
        storage: Storage,
        sections: Sections,
    ) -> Result<Self, BindError> {
        let guard = Guard::plain(&RespConfig::default(), &config)?;
        Self::bind_with(config, storage, sections, guard).await
    }

    /// The same, with these users and certificates.
    ///
    /// # Errors
    /// As `bind`.
    pub async fn bind_with(
        config: HttpConfig,
        storage: Storage,
        sections: Sections,
        guard: Guard,
    ) -> Result<Self, BindError> {
        let address = config.address()?;
        let api = Api::guarded(config, storage, sections, guard)?;
        let refuse = |source| BindError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        api.guard().warn(Door::Http, address);
        Ok(Self { api, listener, address })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The interface behind the socket.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Serves until `cancel`. Then `/readyz` says 503, after `drain_wait` no connection is taken any more, and requests
    /// in flight have `drain_max` to end. False: some had to be broken off.
    pub async fn run(self, cancel: CancellationToken) -> bool {
        let doors = Doors::new(&self.api);
        tokio::select! {
            () = doors.accept(&self.listener) => {}
            () = drained(&self.api, &cancel) => {}
        }
        drop(self.listener);
        self.api.close_streams();
        doors.closing.cancel();
        let limit = self.api.settings().config.drain_max;
        doors.tasks.close(limit).await
    }
}

/// Ends when the time has come to take no more connections.
async fn drained(api: &Api, cancel: &CancellationToken) {
    cancel.cancelled().await;
    api.drain();
    let wait = api.settings().config.drain_wait;
    tokio::time::sleep(wait).await;
}

/// What each connection needs.
struct Doors {
    api: Api,
    router: Router,
    door: limits::Door,
    tasks: Tasks,
    closing: CancellationToken,
    tls: Option<Tls>,
}

impl Doors {
    fn new(api: &Api) -> Self {
        Self {
            router: api.router(),
            api: api.clone(),
            door: api.door().clone(),
            tasks: Tasks::new(),
            closing: CancellationToken::new(),
            tls: api.guard().tls_at(Door::Http).cloned(),
        }
    }

    /// Never ends: an error of one connection, or of too many files, is no reason to stop.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => {
                    tracing::warn!(target: "mainstay", %error, "http: cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        match self.door.admission.try_admit_from(peer.ip()) {
            Ok(place) => self.tasks.spawn_to_end(self.serve(stream, peer, place)),
            Err(why) => {
                self.door.refusals.count(reserve::limit(why));
                if let Ok(turn) = self.api.reserve().try_admit_from(peer.ip()) {
                    self.tasks.spawn_to_end(self.serve_one(stream, peer, why, turn));
                }
            }
        }
    }

    /// What a connection that comes now is held to.
    fn http(&self) -> http1::Builder {
        let settings = self.api.settings();
        let config = &settings.config;
        let header_max = usize::try_from(config.header_max).unwrap_or(usize::MAX);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_headers(config.headers_max)
            .max_header_size(header_max)
            .max_buf_size(header_max.max(BUFFER));
        http
    }

    /// The same for a connection over the limit.
    fn over(&self) -> http1::Builder {
        let head_timeout = self.api.settings().config.header_timeout.min(reserve::HEAD_TIMEOUT);
        let mut over = self.http();
        over.keep_alive(false).header_read_timeout(head_timeout);
        over
    }

    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Admitted,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (opening, closing) = (self.open(stream), self.closing.clone());
        let (http, router) = (self.http(), self.router.clone());
        let refusals = Arc::clone(&self.door.refusals);
        session::with_own(async move {
            let _place = place;
            let stream = tokio::select! {
                stream = opening => stream,
                () = closing.cancelled() => None,
            };
            let Some(stream) = stream else { return };
            let asked = stream.asked();
            let mut connection = std::pin::pin!(connection(&http, stream, peer, router));
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                if error.is_parse_too_large() {
                    refusals.count(Limit::HttpHead);
                } else if error.is_timeout() && asked.get() {
                    // Not one that waited for a next request.
                    refusals.count(Limit::HttpHeaderTimeout);
                }
                tracing::debug!(target: "mainstay", %peer, %error, "http: a connection broke off");
            }
        })
    }

    /// Answers one request of a connection over the limit.
    fn serve_one(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        why: NoPlace,
        turn: Admitted,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (opening, over) = (self.open(stream), self.over());
        let router = reserve::router(self.router.clone(), why);
        let talk = async move {
            // A silent client holds its turn no longer than one that sends no head.
            let opened = tokio::time::timeout(reserve::HEAD_TIMEOUT, opening).await;
            if let Ok(Some(stream)) = opened {
                // Whoever breaks off has been counted.
                let _ = connection(&over, stream, peer, router).await;
            }
        };
        async move {
            let _turn = turn;
            // Whoever is too slow has been counted, too.
            let _ = tokio::time::timeout(reserve::PATIENCE, talk).await;
        }
    }

    /// Shakes hands, where that is to be done. `None`: it failed.
    fn open(
        &self,
        stream: TcpStream,
    ) -> impl Future<Output = Option<Patient<Stream>>> + Send + 'static {
        // Answers are small; waiting to fill a packet only delays them. A failure costs latency, nothing else.
        let _ = stream.set_nodelay(true);
        let (tls, limit) = (self.tls.clone(), self.api.settings().config.send_timeout);
        let refusals = Arc::clone(&self.door.refusals);
        async move {
            let stream = match tls {
                None => Stream::Plain(stream),
                Some(tls) => tls.accept(Door::Http, stream).await?,
            };
            Some(Patient::new(stream, limit, refusals))
        }
    }
}

fn connection(
    http: &http1::Builder,
    stream: Patient<Stream>,
    peer: SocketAddr,
    router: Router,
) -> http1::Connection<
    TokioIo<Patient<Stream>>,
    impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> + Send + 'static,
> {
    let router = router.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        request
    });
    http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
