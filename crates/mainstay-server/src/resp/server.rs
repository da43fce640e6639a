//! The listening socket: accepts, refuses, and drains.
//! It must not know what is said on a connection.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use mainstay::{Entropy, Error, ErrorKind, Result, Storage, Tasks};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    channels::Hub,
    command::{hash::Turns, script::Desk},
    config::RespConfig,
    connection,
    passing::Passing,
    roster::Roster,
    session::{Counters, Shared},
    wake::DRAIN,
};
use crate::{
    Guard,
    access::Door,
    admission::{Admission, NoPlace},
    http::HttpConfig,
    limits::{self, Limit},
    tls::Stream,
};

/// How long connections may take to finish what is in progress when the server drains.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// A server that listens, and serves once it runs.
#[derive(Debug)]
pub struct RespServer {
    listener: TcpListener,
    shared: Arc<Shared>,
    admission: Admission,
}

/// The settings of one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RespSettings {
    shared: Arc<Shared>,
}

impl RespSettings {
    /// Takes over other settings. Connections that stand keep the sizes that they began with; `listen` and pass-through stay
    /// where they are. So does the password of a server that was bound with users: `Access::replace` is what changes them;
    /// one that was bound without takes it over from here, and asks all for it anew. Nothing changes when it is refused.
    ///
    /// # Errors
    /// `InvalidArgument` for a configuration that does not validate.
    pub fn replace(&self, config: RespConfig) -> Result<()> {
        let guard = &self.shared.guard;
        config.validate_with(guard.would_guard(Door::Resp, config.password.is_some()))?;
        guard.follow(&config, &HttpConfig::default())?;
        let RespConfig { connections_max, connections_per_address, buffers_max, .. } = config;
        self.shared.door.set_limits(connections_max, connections_per_address, buffers_max);
        self.shared.settings.store(Arc::new(config));
        // Who waits in Redis looks whether it may go on.
        self.shared.clients.all().iter().for_each(|client| client.wake.rouse());
        Ok(())
    }
}

fn run_id() -> String {
    let entropy = Entropy::system();
    let mut digits = format!("{:032x}{:032x}", entropy.nonce(), entropy.nonce());
    digits.truncate(40);
    digits
}

impl RespServer {
    /// Opens the socket. Clients can connect at once; they are served by `run`.
    ///
    /// # Errors
    /// `InvalidArgument` for a configuration that does not validate, or an address that cannot be listened on.
    pub async fn bind(config: RespConfig, storage: Storage) -> Result<Self> {
        let guard = Guard::plain(&config, &HttpConfig::default())?;
        Self::bind_with(config, storage, guard).await
    }

    /// The same, with these users and certificates.
    ///
    /// # Errors
    /// As `bind`; also an address other than loopback that nothing guards.
    pub async fn bind_with(config: RespConfig, storage: Storage, guard: Guard) -> Result<Self> {
        config.validate_with(guard.guards(Door::Resp))?;
        guard.keep(Door::Resp, config.address()?)?;
        let address = config.address()?;
        let passing = Passing::new(&config, &storage)?;
        let hub = Arc::new(Hub::new(storage.clone(), passing.any().cloned()));
        let refused = |error: io::Error| {
            let text = format!("resp.listen: cannot listen on {address}: {error}");
            Error::new(ErrorKind::InvalidArgument, text)
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let local = listener.local_addr().map_err(refused)?;
        guard.warn(Door::Resp, local);
        let admission =
            Admission::of_connections(config.connections_max, config.connections_per_address);
        let door = limits::Door::new("resp", &Limit::RESP, admission.clone(), config.buffers_max);
        let shared = Arc::new(Shared {
            settings: ArcSwap::from_pointee(config),
            storage,
            guard,
            local,
            run_id: run_id(),
            clients: Arc::default(),
            cursors: super::cursor::Cursors::default(),
            counters: Counters::default(),
            door,
            scripts: Desk::default(),
            turns: Turns::default(),
            passing,
            hub,
        });
        Ok(Self { listener, shared, admission })
    }

    /// The address it listens on, with the port that was given for 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local
    }

    /// Who is connected, now and later.
    pub fn roster(&self) -> Roster {
        Roster::new(Arc::clone(&self.shared))
    }

    /// What may change while it serves.
    pub fn settings(&self) -> RespSettings {
        RespSettings { shared: Arc::clone(&self.shared) }
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
                    Ok((stream, peer)) => self.admit(&tasks, stream, peer, &cancel),
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
        self.shared.hub.close().await;
        // What is left is dropped at its next await.
        tasks.close(Duration::from_secs(1)).await;
    }

    fn refuse(&self, stream: &TcpStream, why: NoPlace) {
        let (limit, line) = match why {
            NoPlace::Full => (Limit::RespConnections, "-ERR max number of clients reached\r\n"),
            NoPlace::Address => (
                Limit::RespPerAddress,
                "-ERR max number of clients of this address reached; \
                 reuse connections, or raise resp.connections_per_address\r\n",
            ),
        };
        self.shared.counters.rejected.add(1);
        self.shared.door.refusals.count(limit);
        // A handshake only to say no is what too many connections are made for.
        if self.shared.guard.tls_at(Door::Resp).is_none() {
            // The line fits an empty send buffer; a client that cannot take it sees the connection close.
            let _ = stream.try_write(line.as_bytes());
        }
    }

    fn admit(
        &self,
        tasks: &Tasks,
        stream: TcpStream,
        peer: SocketAddr,
        cancel: &CancellationToken,
    ) {
        let admitted = match self.admission.try_admit_from(peer.ip()) {
            Ok(admitted) => admitted,
            Err(why) => return self.refuse(&stream, why),
        };
        // Replies are written in batches, so there is nothing to gain from waiting for more.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "RESP: TCP_NODELAY");
        }
        let local = stream.local_addr().unwrap_or(self.shared.local);
        let entered = self.shared.clients.enter(peer, local, self.shared.clock());
        let shared = Arc::clone(&self.shared);
        // A panic ends this task alone; the place and the entry in the list are given back either way.
        let cancel = cancel.clone();
        tasks.spawn(async move {
            let _admitted = admitted;
            let tls = shared.guard.tls_at(Door::Resp).cloned();
            let stream = match tls {
                None => Some(Stream::Plain(stream)),
                Some(tls) => tokio::select! {
                    biased;
                    () = cancel.cancelled() => None,
                    stream = tls.accept(Door::Resp, stream) => stream,
                },
            };
            if let Some(stream) = stream {
                connection::serve(shared, entered, stream).await;
            }
        });
    }
}
