//! TLS on the doors: certificates that are read anew while the server runs, and handshakes within bounds.
//! It must not know what is said on a connection, nor who may do what.

use std::{
    fmt,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use mainstay::{Error, ErrorKind, EventKind, Result, Storage};
use serde::Serialize;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use utoipa::ToSchema;

mod config;
mod files;
mod places;
mod stream;

pub use config::TlsConfig;
pub(crate) use stream::Stream;

use crate::access::Door;
use files::{Files, Loaded};
use places::Places;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The certificates of the doors, now. Cheap to clone; clones share what is reloaded.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    config: TlsConfig,
    loaded: ArcSwap<Loaded>,
    /// Of what was loaded last, or refused last.
    seen: Mutex<Seen>,
    resp: Handshakes,
    http: Handshakes,
}

#[derive(Debug)]
struct Seen {
    fingerprint: Option<[u8; 32]>,
    /// Why the files of now are not used.
    problem: Option<String>,
    reloads: u64,
}

/// The handshakes of one door.
#[derive(Debug)]
struct Handshakes {
    places: Places,
    failed: AtomicU64,
}

/// What a look at the files came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reloaded {
    /// The files are those in use.
    Unchanged,
    /// New connections use what the files hold now; connections that stand go on.
    Changed,
}

/// The certificates, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TlsStatus {
    /// Whether clients have to present a certificate.
    pub mutual: bool,
    /// When the certificate in use ends, Unix seconds.
    pub not_after: u64,
    /// How often it was exchanged since the start.
    pub reloads: u64,
    /// Why the files as they are now are not used; absent: they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Handshakes that failed, took too long, or found no place in time.
    pub handshakes_failed: u64,
}

impl Tls {
    /// Reads the files. `None`: no certificate is configured.
    ///
    /// # Errors
    /// `InvalidArgument` for a section that does not validate, or a file that cannot be read or used.
    pub fn open(config: &TlsConfig) -> Result<Option<Self>> {
        config.validate()?;
        let Some(files) = Files::read(config)? else { return Ok(None) };
        let seen = Seen { fingerprint: Some(files.fingerprint()), problem: None, reloads: 0 };
        let handshakes =
            || Handshakes { places: Places::new(config.handshakes_max), failed: AtomicU64::new(0) };
        Ok(Some(Self(Arc::new(Shared {
            config: config.clone(),
            loaded: ArcSwap::from_pointee(files.load()?),
            seen: Mutex::new(seen),
            resp: handshakes(),
            http: handshakes(),
        }))))
    }

    /// Reads the files anew, and uses what they hold for new connections. Reads a few small files.
    ///
    /// # Errors
    /// `InvalidArgument` naming the file and what is wrong: then the certificate in use stays, and the status says so.
    pub fn reload(&self) -> Result<Reloaded> {
        let shared = &*self.0;
        // One at a time: what is loaded and what was seen go together.
        let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = Files::read(&shared.config).and_then(|files| {
            files.ok_or_else(|| Error::new(ErrorKind::Internal, "tls: no files are configured"))
        });
        let loaded = match read {
            Ok(files) => {
                let fingerprint = Some(files.fingerprint());
                if seen.fingerprint == fingerprint && seen.problem.is_none() {
                    return Ok(Reloaded::Unchanged);
                }
                seen.fingerprint = fingerprint;
                files.load()
            }
            Err(error) => Err(error),
        };
        match loaded {
            Ok(loaded) => {
                shared.loaded.store(Arc::new(loaded));
                (seen.problem, seen.reloads) = (None, seen.reloads + 1);
                Ok(Reloaded::Changed)
            }
            Err(error) => {
                seen.problem = Some(error.message().to_owned());
                Err(error)
            }
        }
    }

    /// The same, told to the events of this storage, which log it: a new certificate, and a problem that is not the last one.
    ///
    /// # Errors
    /// As `reload`.
    pub fn reload_told(&self, storage: &Storage) -> Result<Reloaded> {
        let before = self.status().problem;
        let reloaded = self.reload();
        let event = match &reloaded {
            Ok(Reloaded::Unchanged) => None,
            Ok(Reloaded::Changed) => Some(("loaded", "the files have changed".to_owned())),
            Err(error) if before.as_deref() == Some(error.message()) => None,
            Err(error) => {
                let reason = format!("{}; the certificate before stays in use", error.message());
                Some(("refused", reason))
            }
        };
        if let Some((state, reason)) = event {
            storage.events().publish(None, EventKind::Certificate { state }, reason);
        }
        reloaded
    }

    /// Looks at the files about every 30 s, until it is dropped.
    pub async fn watch(&self, storage: &Storage) {
        loop {
            sleep(LOOK_EVERY).await;
            let (tls, storage) = (self.clone(), storage.clone());
            // The file system may be slow. What went wrong has been told; a panic shows in the log by itself.
            let _ = tokio::task::spawn_blocking(move || tls.reload_told(&storage)).await;
        }
    }

    /// The state of now.
    pub fn status(&self) -> TlsStatus {
        let shared = &*self.0;
        let seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |handshakes: &Handshakes| handshakes.failed.load(Ordering::Relaxed);
        TlsStatus {
            mutual: shared.config.client_ca_file.is_some(),
            not_after: shared.loaded.load().not_after,
            reloads: seen.reloads,
            problem: seen.problem.clone(),
            handshakes_failed: failed(&shared.resp) + failed(&shared.http),
        }
    }

    /// Whether this door speaks TLS.
    pub fn covers(&self, door: Door) -> bool {
        self.0.config.covers(door)
    }

    /// Whether this door takes only clients with a certificate.
    pub fn is_mutual(&self, door: Door) -> bool {
        self.0.config.is_mutual(door)
    }

    /// Shakes hands, within the bounds on time and number: it waits for its turn as long as a handshake may take, which
    /// starts then. `None`: the connection is of no use, and counted.
    pub(crate) async fn accept(&self, door: Door, stream: TcpStream) -> Option<Stream> {
        let shared = &*self.0;
        let handshakes = match door {
            Door::Resp => &shared.resp,
            Door::Http => &shared.http,
        };
        let limit = shared.config.handshake_timeout;
        // Whoever is gone has no address, and its handshake fails at once.
        let peer = stream.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
        let ended = match timeout(limit, handshakes.places.enter(peer)).await {
            Err(_) => Err("too many handshakes at once (tls.handshakes_max)".to_owned()),
            Ok(_place) => {
                let handshake = self.acceptor(door).accept(stream);
                match timeout(limit, handshake).await {
                    Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("it took longer than tls.handshake_timeout".to_owned()),
                }
            }
        };
        ended
            .inspect_err(|problem| {
                handshakes.failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(target: "mainstay", door = door.as_str(), problem, "TLS handshake failed");
            })
            .ok()
    }

    fn acceptor(&self, door: Door) -> TlsAcceptor {
        let loaded = self.0.loaded.load();
        TlsAcceptor::from(Arc::clone(match door {
            Door::Resp => &loaded.resp,
            Door::Http => &loaded.http,
        }))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("config", &self.0.config).finish_non_exhaustive()
    }
}
