//! The listening socket: accepts, refuses, and drains.
//! It must not know what is said on a connection.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use mainstay::{Error, ErrorKind, Result, Storage, Tasks};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    command::script::Desk,
    config::RespConfig,
    connection,
    session::{Counters, Shared},
    wake::DRAIN,
};
use crate::admission::Admission;

/// How long connections may take to finish what is in progress when the server drains.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// A server that listens, and serves once it runs.
#[derive(Debug)]
pub struct RespServer {
    listener: TcpListener,
    shared: Arc<Shared>,
    admission: Admission,
}

impl RespServer {
    /// Opens the socket. Clients can connect at once; they are served by `run`.
    ///
    /// # Errors
    /// `InvalidArgument` for a configuration that does not validate, or an address that cannot be listened on.
    pub async fn bind(config: RespConfig, storage: Storage) -> Result<Self> {
        config.validate()?;
        let address = config.address()?;
        let refused = |error: io::Error| {
            let text = format!("resp.listen: cannot listen on {address}: {error}");
            Error::new(ErrorKind::InvalidArgument, text)
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let local = listener.local_addr().map_err(refused)?;
        let admission = Admission::new(config.connections_max);
        let shared = Arc::new(Shared {
            config,
            storage,
            local,
            clients: Arc::default(),
            cursors: super::cursor::Cursors::default(),
            counters: Counters::default(),
            scripts: Desk::default(),
        });
        Ok(Self { listener, shared, admission })
    }

    /// The address it listens on, with the port that was given for 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local
    }

    /// Connections that are being served.
    pub fn connections(&self) -> usize {
        self.admission.taken()
    }

    /// Serves until cancelled; then takes no more connections, lets each finish the commands in progress for at most
    /// ten seconds, and closes the rest.
    pub async fn run(self, cancel: CancellationToken) {
        let tasks = Tasks::new();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(&tasks, stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "RESP: a connection could not be accepted");
                        // Out of descriptors: some must be closed before it is worth trying again.
                        sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        }
        drop(self.listener);
        for client in self.shared.clients.all() {
            client.wake.signal(DRAIN);
        }
        if timeout(DRAIN_LIMIT, self.admission.idle()).await.is_err() {
            let left = self.admission.taken();
            tracing::warn!(connections = left, "RESP: connections did not finish in time");
        }
        // What is left is dropped at its next await.
        tasks.close(Duration::from_secs(1)).await;
    }

    fn admit(&self, tasks: &Tasks, stream: TcpStream, peer: SocketAddr) {
        let Some(admitted) = self.admission.try_admit() else {
            self.shared.counters.rejected.add(1);
            // The line fits an empty send buffer; a client that cannot take it sees the connection close.
            let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
            return;
        };
        // Replies are written in batches, so there is nothing to gain from waiting for more.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "RESP: TCP_NODELAY");
        }
        let local = stream.local_addr().unwrap_or(self.shared.local);
        let entered = self.shared.clients.enter(peer, local, self.shared.clock());
        let shared = Arc::clone(&self.shared);
        // A panic ends this task alone; the place and the entry in the list are given back either way.
        tasks.spawn(async move {
            let _admitted = admitted;
            connection::serve(shared, entered, stream).await;
        });
    }
}
