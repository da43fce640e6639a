//! A TCP proxy on a free loopback port whose faults can be changed while connections run through it.
//! Knows nothing of the protocols that pass through.
#![expect(
    clippy::disallowed_methods,
    reason = "a proxy delays real bytes in real time, in a task of its own"
)]

mod connection;
mod pump;
mod toxics;

pub use toxics::{Direction, Flow, Toxics};

use crate::servers::ServerError;
use crate::servers::port::PortLease;
use connection::Links;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A proxy in front of one server. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Proxy {
    port: PortLease,
    faults: watch::Sender<Faults>,
    applied: watch::Receiver<u64>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

/// What the connections watch.
#[derive(Debug, Clone)]
struct Faults {
    toxics: Toxics,
    /// Where new connections lead.
    target: SocketAddr,
    /// Rises with each change, so that a change can be awaited.
    generation: u64,
    /// Rises with each cut: a connection that began under a smaller number is reset.
    cuts: u64,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    open: AtomicU64,
}

impl Proxy {
    /// Starts a proxy in front of `127.0.0.1:port`, without faults.
    pub async fn start(port: u16) -> Result<Self, ServerError> {
        Self::start_before(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
    }

    /// Starts a proxy in front of `target`, without faults. The target need not be up.
    pub async fn start_before(target: SocketAddr) -> Result<Self, ServerError> {
        let port = PortLease::take()?;
        let listener = listen(port.get()).map_err(crate::servers::io_error("listen"))?;
        let first = Faults { toxics: Toxics::default(), target, generation: 0, cuts: 0 };
        let (faults, watched) = watch::channel(first);
        let (report, applied) = watch::channel(0);
        let counts = Arc::new(Counts::default());
        let acceptor =
            Acceptor { port: port.get(), faults: watched, report, counts: Arc::clone(&counts) };
        let task = tokio::spawn(acceptor.run(listener));
        Ok(Self { port, faults, applied, counts, task })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.get()
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port()))
    }

    /// A server's URL with this proxy's port in the place of the server's.
    pub fn url(&self, server_url: &str, server_port: u16) -> String {
        server_url.replacen(&format!(":{server_port}"), &format!(":{}", self.port()), 1)
    }

    /// Puts these faults in force, in the place of those before; the port is open or closed when this returns.
    pub async fn set(&self, toxics: Toxics) {
        self.change(|faults| faults.toxics = toxics).await;
    }

    /// Lifts all faults.
    pub async fn heal(&self) {
        self.set(Toxics::default()).await;
    }

    /// Resets every open connection, once; new ones are welcome.
    pub async fn cut(&self) {
        self.change(|faults| faults.cuts += 1).await;
    }

    /// Leads new connections to another server, and resets those that are open: the server was replaced.
    pub async fn lead_to(&self, port: u16) {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.change(|faults| {
            faults.target = target;
            faults.cuts += 1;
        })
        .await;
    }

    /// The faults in force.
    pub fn toxics(&self) -> Toxics {
        self.faults.borrow().toxics.clone()
    }

    /// Connections accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        self.counts.open.load(Ordering::Relaxed)
    }

    async fn change(&self, change: impl FnOnce(&mut Faults)) {
        let mut generation = 0;
        self.faults.send_modify(|faults| {
            change(faults);
            faults.generation += 1;
            generation = faults.generation;
        });
        let mut applied = self.applied.clone();
        // Fails only when the acceptor is gone, and with it all that could be changed.
        let _acceptor_gone = applied.wait_for(|seen| *seen >= generation).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task that owns the port and the connections.
struct Acceptor {
    port: u16,
    faults: watch::Receiver<Faults>,
    report: watch::Sender<u64>,
    counts: Arc<Counts>,
}

impl Acceptor {
    async fn run(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        let mut links = JoinSet::new();
        loop {
            self.apply(&mut listener);
            tokio::select! {
                changed = self.faults.changed() => if changed.is_err() { return },
                client = accept(listener.as_ref()) => self.link(client, &mut links),
                Some(_) = links.join_next() => {}
            }
        }
    }

    /// Opens or closes the port, then reports which change has been applied.
    fn apply(&mut self, listener: &mut Option<TcpListener>) {
        let (refuse, generation) = {
            let faults = self.faults.borrow_and_update();
            (faults.toxics.refuse, faults.generation)
        };
        if refuse {
            *listener = None;
        } else if listener.is_none() {
            *listener = listen(self.port)
                .inspect_err(|error| tracing::warn!(%error, "proxy cannot listen"))
                .ok();
        }
        self.report.send_replace(generation);
    }

    fn link(&self, client: io::Result<TcpStream>, links: &mut JoinSet<()>) {
        let Ok(client) = client else { return };
        let number = self.counts.accepted.fetch_add(1, Ordering::Relaxed);
        let open = Open::new(Arc::clone(&self.counts));
        let target = self.faults.borrow().target;
        let link = Links { target, number, faults: self.faults.clone() };
        links.spawn(async move {
            let _open = open;
            link.run(client).await;
        });
    }
}

/// Counts a connection for as long as it lives, however it ends.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::Relaxed);
        Self(counts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(1024)
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
