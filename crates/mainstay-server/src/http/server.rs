//! The socket: accepts connections within bounds, serves them, and ends them in order.
//! It must not know any path.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use mainstay::{Error, Storage, Tasks};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Api, HttpConfig, Sections, reject, session};

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
        let address = config.address()?;
        let api = Api::new(config, storage, sections)?;
        let refuse = |source| BindError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
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
        let config = self.api.config().clone();
        let doors = Doors::new(&self.api, &config);
        tokio::select! {
            () = doors.accept(&self.listener) => {}
            () = drained(&self.api, &cancel, config.drain_wait) => {}
        }
        drop(self.listener);
        self.api.close_streams();
        doors.closing.cancel();
        doors.tasks.close(config.drain_max).await
    }
}

/// Ends when the time has come to take no more connections.
async fn drained(api: &Api, cancel: &CancellationToken, wait: Duration) {
    cancel.cancelled().await;
    api.drain();
    tokio::time::sleep(wait).await;
}

/// What each connection needs.
struct Doors {
    router: Router,
    http: http1::Builder,
    places: Arc<Semaphore>,
    /// Connections over the limit that are being told so.
    refusals: Arc<Semaphore>,
    tasks: Tasks,
    closing: CancellationToken,
}

impl Doors {
    fn new(api: &Api, config: &HttpConfig) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_headers(config.headers_max)
            .max_header_size(usize::try_from(config.header_max).unwrap_or(usize::MAX));
        Self {
            router: api.router(),
            http,
            places: Arc::new(Semaphore::new(config.connections_max)),
            refusals: Arc::new(Semaphore::new(64)),
            tasks: Tasks::new(),
            closing: CancellationToken::new(),
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
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            self.tasks.spawn_to_end(self.serve(stream, peer, place));
        } else if let Ok(turn) = Arc::clone(&self.refusals).try_acquire_owned() {
            self.tasks.spawn_to_end(reject::too_many(stream, turn));
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + Send + 'static {
        // Answers are small; waiting to fill a packet only delays them. A failure costs latency, nothing else.
        let _ = stream.set_nodelay(true);
        let router = self.router.clone().map_request(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            request
        });
        let connection =
            self.http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let closing = self.closing.clone();
        session::with_own(async move {
            let _place = place;
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(target: "mainstay", %peer, %error, "http: a connection broke off");
            }
        })
    }
}
